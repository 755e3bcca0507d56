"""Backtests of scores and an allocation in backtrader, and returns of the equal-weight universe."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd

from backtests.allocation_checks import check_enough_names, idle_cash_warning
from backtests.allocations import EqualWeight, LongShortQuantile, describe
from backtests.broker.broker import Broker, RuinWarning
from backtests.broker.fill_sources import FillSource
from backtests.broker.scaling_broker import ScalingBroker
from backtests.broker.settings import BrokerSettings
from backtests.feeds.panel_feeds import add_prices
from backtests.feeds.score_matrix import ScoreTable
from backtests.recorder import AccountRecorder
from backtests.result import BacktestResult
from backtests.strategy import SignalStrategy
from signals.common.errors import InputError
from signals.common.import_objects import import_name
from signals.common.progress_events import ProgressCallback, ProgressEvent, ignore_progress
from signals.data.corporate_actions import raw_panel
from signals.data.panel import PRICE_COLUMNS, PricePanel, check_tickers
from signals.data.prices import Prices

__all__ = ["equal_weight_returns", "run_backtest", "strategy_class"]

CLOSE_ONLY = "Only closing prices exist: orders fill at the next close, not the next open."


def run_backtest(
    prices: Prices | PricePanel,
    signals: pd.DataFrame | pd.Series,
    *,
    allocation: Any,
    broker: BrokerSettings,
    strategy: Any = None,
    start: Any = None,
    end: Any = None,
    fills: FillSource | None = None,
    on_progress: ProgressCallback = ignore_progress,
) -> BacktestResult:
    """Run a backtest of scores.

    The run goes from the first decision date to the last session of the prices. A score of date *t* is known at the
    close of *t* and traded at the open of the next session; with close-only prices at its close. Nothing is held before
    the first decision, so the first return is 0. Orders given on the last session are not filled: their status is open.

    Parameters
    ----------
    prices : Prices or PricePanel
        Checked prices. Only tickers with a signal take part.
    signals : DataFrame or Series
        Scores indexed by (date, ticker), a frame in column `score`; sorted, unique, finite. Its dates are the decision
        dates. A ticker without a row on a decision date has no score.
    allocation : Allocation
        Rule that turns scores into target weights: `TopK`, `LongShortQuantile`, … or any object with
        `target_weights(scores, weights, tradable)` and `can_be_short`. May be None with a strategy of your own.
    broker : BrokerSettings
        Costs and rules of the account.
    strategy : class or str, optional
        A `bt.Strategy` of your own, or `'package.module:Name'` of one; it reads scores as `d.signal[0]`. A feed without
        a bar today still shows its last bar; `self.broker.trades_today(d)` is False then. A subclass of
        `SignalStrategy` receives the allocation. By default `SignalStrategy`.
    start, end : date-like, optional
        First and last day of the run; decision dates outside are left out.
    fills : FillSource, optional
        Source of fills: simulated by default; a `FillJournal` replays recorded fills.
    on_progress : callable
        Called with a `ProgressEvent` after every twentieth of the sessions and at the end.

    Returns
    -------
    BacktestResult
        The result, whose accounting identity has been checked.

    Raises
    ------
    InputError
        For invalid signals, tickers or dates that the prices do not have, an allocation that can be short without a
        borrow rate or that ranks tickers where there is only one, and invalid target weights.
    CheckFailedError
        When the result violates the accounting identity.
    """
    return _trade(
        prices,
        signals,
        allocation=allocation,
        settings=broker,
        account=lambda: Broker(broker, fills=fills),
        strategy=strategy,
        start=start,
        end=end,
        on_progress=on_progress,
    )


def _trade(
    prices: Prices | PricePanel,
    signals: pd.DataFrame | pd.Series,
    *,
    allocation: Any,
    settings: BrokerSettings,
    account: Callable[[], Broker],
    strategy: Any = None,
    start: Any = None,
    end: Any = None,
    on_progress: ProgressCallback = ignore_progress,
) -> BacktestResult:
    """Run a backtest in an account that is created after the inputs have been checked."""
    kind = strategy_class(strategy)
    _check_allocation(allocation, settings, needed=issubclass(kind, SignalStrategy))
    panel = prices if isinstance(prices, PricePanel) else prices.panel()
    table = ScoreTable.from_signals(signals)
    if start is not None or end is not None:
        table = table.between(start, end)
    check_tickers(table.tickers, panel.tickers)
    if isinstance(allocation, LongShortQuantile):  # for TopK, empty places are a warning, not an error
        check_enough_names(allocation, len(table.tickers), names=table.tickers)
    panel, earlier = _split_at_first_decision(panel, table, end)
    if settings.max_participation_rate is not None and not panel.volume_known:
        raise InputError(
            "expected prices with volume, because broker.max_participation_rate is set; found none; remove "
            "that setting, or with a preset set it to false (None in Python)"
        )

    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(account())
    adjusted = settings.dividends == "adjusted"
    feeds = add_prices(cerebro, panel, signals=table, adjusted=adjusted)
    feeds[0].market.earlier = earlier if adjusted else raw_panel(earlier)
    options = {"allocation": allocation, "signals": table} if issubclass(kind, SignalStrategy) else {}
    cerebro.addstrategy(kind, **options)
    cerebro.addanalyzer(AccountRecorder, _name="recorder")
    cerebro.addanalyzer(_Progress, _name="progress", on_progress=on_progress, total=len(panel.dates))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuinWarning)  # the result holds the same text
        run = cerebro.run()[0]
    result: BacktestResult = run.analyzers.recorder.result()
    counts = np.count_nonzero(~np.isnan(table.values), axis=1)
    idle = idle_cash_warning(allocation, counts) if issubclass(kind, SignalStrategy) else ""
    result = replace(
        result,
        warnings=(*result.warnings, *([idle] if idle else ()), *((CLOSE_ONLY,) if panel.close_only else ())),
        settings={
            **result.settings,
            **({"simulated": True} if getattr(prices, "simulated", False) else {}),
            "allocation": None if allocation is None else type(allocation).__name__,
            "allocation_settings": describe(allocation),
            "decision_dates": len(table.dates),
            "first_decision": str(table.dates[0]),
            "last_decision": str(table.dates[-1]),
            "tickers": len(table.tickers),
            "fills": "next close" if panel.close_only else "next open",
        },
    )
    on_progress(ProgressEvent("backtest", "account settled", len(result.returns), len(panel.dates)))
    return result


def equal_weight_returns(
    prices: Prices | PricePanel,
    signals: pd.DataFrame | pd.Series,
    broker: BrokerSettings,
    *,
    on_progress: ProgressCallback = ignore_progress,
) -> pd.Series:
    """Compute returns of all tickers with a score in equal weights, rebalanced on the same dates at the same costs.

    This is the comparison for a selection of tickers. It does not depend on the size of the account: fractional shares
    are allowed, there is no limit on volume, no minimum commission and no initial margin, and the cash buffer is at
    least 2 %. Where overnight price rises make the purchases cost more than the cash available, all of them are scaled
    by one factor (see `ScalingBroker`), so that about 98 % stay invested. Commission, slippage and delistings are those
    of `broker`.

    Parameters
    ----------
    prices, signals, broker, on_progress
        As in `run_backtest`.

    Returns
    -------
    Series named "universe"
        Simple returns per session, from the first decision date on. They end on the day of ruin if the account was
        closed.
    """
    buffer = max(broker.cash_buffer, 0.02)
    unconstrained = replace(
        broker,
        fractional=True,
        max_participation_rate=None,
        min_trade_value=0.0,
        min_commission=0.0,
        cash_buffer=buffer,
        initial_margin=0.0,
    )
    result = _trade(
        prices,
        signals,
        allocation=EqualWeight(),
        settings=unconstrained,
        account=lambda: ScalingBroker(unconstrained),
        on_progress=on_progress,
    )
    return result.returns.rename("universe")


class _Progress(bt.Analyzer):
    """Analyzer that calls `on_progress` after every twentieth of the sessions."""

    params = (("on_progress", ignore_progress), ("total", 0))

    def start(self) -> None:
        self._done = 0
        self._step = max(self.p.total // 20, 1)

    def next(self) -> None:
        self._done += 1
        if self._done % self._step == 0:
            day = f"{self.strategy.datetime.date(0):%Y-%m-%d}"
            self.p.on_progress(ProgressEvent("backtest", day, self._done, self.p.total))


def strategy_class(strategy: Any) -> Any:
    """Return the class to run: `SignalStrategy` for None, or the one given or named `'package.module:Name'`.

    Raises
    ------
    InputError
        When it is not a backtrader strategy.
    """
    if strategy is None:
        return SignalStrategy
    kind = import_name(strategy, "strategy.kind") if isinstance(strategy, str) else strategy
    if not (isinstance(kind, type) and issubclass(kind, bt.Strategy)):
        raise InputError(
            f"expected a class derived from backtrader.Strategy; found {strategy!r}; pass the class itself"
        )
    return kind


def _check_allocation(allocation: Any, broker: BrokerSettings, *, needed: bool) -> None:
    if not isinstance(broker, BrokerSettings):
        raise InputError(f"expected BrokerSettings; found {broker!r}; state the costs, which have no default")
    if allocation is None and not needed:
        return
    for name in ("target_weights", "can_be_short"):
        if isinstance(allocation, type) or not hasattr(allocation, name):
            raise InputError(f"expected an allocation such as TopK(k=50); found {allocation!r}, which has no {name}")
    if allocation.can_be_short and broker.borrow_rate is None:
        raise InputError(
            f"expected broker.borrow_rate, because {type(allocation).__name__} can be short; found none; write the "
            "yearly fee as a fraction, for example borrow_rate = 0.01"
        )


def _split_at_first_decision(panel: PricePanel, table: ScoreTable, end: Any) -> tuple[PricePanel, PricePanel]:
    """Return the panel from the first decision date to the end, and the panel before it, without copying."""
    first, last = table.dates[0], table.dates[-1]
    stop = panel.position(end) if end is not None else len(panel.dates) - 1
    if first < panel.dates[0] or last > panel.dates[-1]:
        outside = first if first < panel.dates[0] else last
        raise InputError(
            f"expected decision dates within the prices, {panel.dates[0]} to {panel.dates[-1]}; found {outside}; give "
            "longer prices, or start= and end="
        )
    start = int(np.searchsorted(panel.dates, first))

    def sessions(rows: slice) -> PricePanel:
        return replace(panel, dates=panel.dates[rows], **{name: getattr(panel, name)[rows] for name in PRICE_COLUMNS})

    return sessions(slice(start, stop + 1)), sessions(slice(0, start))
