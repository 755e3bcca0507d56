"""backtrader strategy that executes an allocation on decision dates."""

from __future__ import annotations

from typing import Any

import backtrader as bt
import numpy as np
from numpy.typing import NDArray

from backtests.allocation_checks import check_target_weights, unequal_ties
from backtests.allocations import LongShortQuantile
from backtests.broker.order_notifications import handles_notification
from backtests.broker.valuation import ValuedBroker
from backtests.feeds.bar_store import Market
from backtests.feeds.panel_feeds import PanelFeed
from backtests.feeds.score_matrix import ScoreTable
from backtests.feeds.session_clock import day_numbers, day_of
from backtests.sizing import share_changes, submission_order
from signals.common.errors import InputError

__all__ = ["SignalStrategy"]

# Fraction of targets below one share above which a warning calls the account too small for the allocation.
TOO_SMALL = 0.05


class SignalStrategy(bt.Strategy):
    """Executes an allocation on every decision date.

    Decision dates are the dates of the signals; on other dates no orders are given. Order sizes are computed from
    today's closes and fill at the next open. Feeds without a bar today get no order.

    Parameters (backtrader style)
    -----------------------------
    allocation : Allocation
        Object with `target_weights(scores, weights, tradable)`. Weights are fractions of account
        value × (1 − cash_buffer), so that the limits of the allocation also hold for the whole account.
    signals : DataFrame, Series or ScoreTable, optional
        Scores by (date, ticker). Without it they are read from the feeds: `d.signal[0]`, NaN off decision dates.
    cash_buffer, fractional, min_trade_value : optional
        As in `BrokerSettings`; by default those of the broker, or 0.02, False and 0 with another broker.

    Examples
    --------
    In your own Cerebro::

        rs.add_prices(cerebro, prices, signals=signals)
        cerebro.addstrategy(rs.SignalStrategy, allocation=rs.TopK(k=50))
    """

    params = (
        ("allocation", None),
        ("signals", None),
        ("cash_buffer", None),
        ("fractional", None),
        ("min_trade_value", None),
    )

    def __init__(self) -> None:
        if not hasattr(self.p.allocation, "target_weights"):
            raise InputError(
                f"expected an allocation such as TopK(k=50); found {self.p.allocation!r}; pass allocation=... to "
                "addstrategy"
            )
        settings = getattr(self.broker, "settings", None)
        self.cash_buffer = float(_first(self.p.cash_buffer, getattr(settings, "cash_buffer", None), 0.02))
        self.fractional = bool(_first(self.p.fractional, getattr(settings, "fractional", None), False))
        self.min_trade_value = float(_first(self.p.min_trade_value, getattr(settings, "min_trade_value", None), 0.0))
        self.wanted = self.too_small = 0
        self.decisions = self.tied = self.all_tied = 0  # dates: all, those with tied scores, those with equal ones
        self.unequal = 0  # dates on which equal scores had different weights

    def start(self) -> None:
        """Arrange the scores in the order of the feeds, once before the first session.

        Raises
        ------
        InputError
            Without `signals` and without a feed that has a line `signal`.
        """
        self._scores: dict[float, NDArray[np.float64]] | None = None
        if self.p.signals is not None:
            signals = self.p.signals
            table = signals if isinstance(signals, ScoreTable) else ScoreTable.from_signals(signals)
            rows = table.aligned([data._name for data in self.datas])
            self._scores = dict(zip(day_numbers(table.dates).tolist(), rows, strict=True))
        elif not any(hasattr(data.lines, "signal") for data in self.datas):
            raise InputError(
                "expected signals for SignalStrategy; found neither signals=... nor feeds with a signal line; use "
                "add_prices(cerebro, prices, signals=signals)"
            )
        self._market: Market | None = None
        self._market_searched = False
        self._trades_observed = handles_notification(self, "notify_trade") or self.cerebro.p.tradehistory
        for data in self.datas:
            # backtrader sums values in the order in which positions were first requested
            self.broker.getposition(data)

    def _getminperstatus(self) -> int:
        # feeds start on different dates and each is traded on its own bars, so no date waits for the last feed
        self._minperstatus = -1
        return -1

    def clear(self) -> None:
        """Drop delivered notifications; backtrader would keep a copy of every state of every order."""
        self._orderspending: list[Any] = []
        self._tradespending: list[Any] = []

    def _addnotification(self, order: Any, quicknotify: bool = False) -> None:
        """Queue a notification of an order; trades are tracked only when something handles them."""
        if self._trades_observed:
            super()._addnotification(order, quicknotify)
            return
        if not order.simulated:
            self._orderspending.append(order)
        if quicknotify:
            self._notify(qorders=[order], qtrades=[])

    def next(self) -> None:
        """Compute target weights and give orders on decision dates."""
        if getattr(self.broker, "stopped", None):
            return
        if self._scores is not None:
            scores = self._scores.get(self.lines.datetime[0])
            if scores is None:
                return
            tradable = ~np.isnan(self._closes())
        else:
            tradable = ~np.isnan(self._closes())
            scores = np.where(tradable, self._signals(), np.nan)
            if np.isnan(scores).all():
                return
        self.rebalance(scores, tradable)

    def rebalance(self, scores: NDArray[np.float64], tradable: NDArray[np.bool_]) -> None:
        """Give orders for the target weights of these scores; arrays in the order of `self.datas`."""
        value = self.broker.getvalue() * (1.0 - self.cash_buffer)
        if value <= 0.0:
            return
        shares = self._shares()
        closes = self._closes()
        weights = np.zeros_like(shares)
        for j in np.flatnonzero(shares).tolist():
            weights[j] = (shares[j] * closes[j] if tradable[j] else self.broker.getvalue([self.datas[j]])) / value
        target = check_target_weights(
            self.p.allocation,
            self.p.allocation.target_weights(scores, weights, tradable),
            weights,
            tradable,
            tickers=[data._name for data in self.datas],
            day=str(day_of(self.lines.datetime[0])),
        )
        self._count_ties(scores, target, weights, tradable & ~np.isnan(scores))
        changes, wanted, too_small = share_changes(
            target,
            weights,
            shares,
            closes,
            tradable,
            value=value,
            fractional=self.fractional,
            min_trade_value=self.min_trade_value,
        )
        self.wanted += wanted
        self.too_small += too_small
        for j in submission_order(shares, changes).tolist():
            order = self.buy if changes[j] > 0.0 else self.sell
            order(data=self.datas[j], size=abs(float(changes[j])))

    def _count_ties(
        self,
        scores: NDArray[np.float64],
        target: NDArray[np.float64],
        weights: NDArray[np.float64],
        candidates: NDArray[np.bool_],
    ) -> None:
        """Count decision dates with tied scores and dates with unequal weights for equal scores."""
        self.decisions += 1
        allocation, scores = self.p.allocation, scores[candidates]
        limits_turnover = getattr(allocation, "max_turnover", None) is not None
        if unequal_ties(scores, target[candidates], weights[candidates], slowed=limits_turnover):
            self.unequal += 1
            return
        ties = getattr(allocation, "ties", None)
        tied = int(ties(scores)) if callable(ties) and len(scores) else 0
        self.tied += tied > 0
        self.all_tied += 0 < tied == len(scores)

    def warnings(self) -> list[str]:
        """Return warnings on tied scores and on targets worth less than one share."""
        sentences = []
        if self.unequal:
            sentences.append(
                f"On {self.unequal:,} of {self.decisions:,} decision dates {type(self.p.allocation).__name__} gave "
                "different weights to tickers with equal scores, so that the weights depend on something other than "
                "the scores, such as the order of the tickers; give equal scores equal weights."
            )
        if self.tied:
            which = (
                "all scores were equal"
                if self.tied == self.all_tied
                else "scores were tied at the border of the selection"
            )
            if 0 < self.all_tied < self.tied:
                which += f" (on {self.all_tied:,} of them all scores were equal)"
            rule = "tied tickers shared the remaining places in equal parts"
            if type(self.p.allocation) is LongShortQuantile:
                rule += ", and tickers tied across both sides were left out"
            sentences.append(f"On {self.tied:,} of {self.decisions:,} decision dates {which}: {rule}.")
        if self.too_small > TOO_SMALL * self.wanted:
            sentences.append(
                f"{self.too_small:,} of {self.wanted:,} targets were worth less than one share and were not held: the "
                "account is too small for the allocation; give it more cash or set fractional = true."
            )
        return sentences

    def _shares(self) -> NDArray[np.float64]:
        """Return the shares held now, in the order of the feeds."""
        if isinstance(self.broker, ValuedBroker):
            shares = np.zeros(len(self.datas))
            for j, size in self.broker.sizes():
                shares[j] = size
            return shares
        return np.array([self.broker.getposition(data).size for data in self.datas], dtype=np.float64)

    def _closes(self) -> NDArray[np.float64]:
        """Today's closes, NaN without a bar; `data.close[0]` of a feed without a bar today is not a current price."""
        today = self.lines.datetime[0]
        market = self._common_market()
        if market is not None and market.clock.now == today:
            return market.today("close")
        return np.array(
            [data.close[0] if len(data) > 0 and data.datetime[0] == today else float("nan") for data in self.datas]
        )

    def _signals(self) -> NDArray[np.float64]:
        """Return the current values of the signal lines, NaN for feeds without one."""
        market = self._common_market()
        if market is not None and market.scores is not None and market.clock.now == self.lines.datetime[0]:
            return market.scores[:, market.sessions[market.clock.step - 1]]
        lines = [getattr(data.lines, "signal", None) for data in self.datas]
        return np.array([line[0] if line is not None else float("nan") for line in lines], dtype=np.float64)

    def _common_market(self) -> Market | None:
        """Return the market whose tickers are the feeds, in its order; None when there is no such market."""
        if not self._market_searched:
            self._market_searched = True
            first = self.datas[0]
            if (
                all(isinstance(data, PanelFeed) and data.follows for data in self.datas)
                and len(self.datas) == len(first.market.tickers)
                and all(data.market is first.market and data.p.place == j for j, data in enumerate(self.datas))
            ):
                self._market = first.market
        return self._market


def _first(*values: Any) -> Any:
    return next(value for value in values if value is not None)
