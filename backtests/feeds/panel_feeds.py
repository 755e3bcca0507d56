"""backtrader feeds of checked prices and scores, one feed per ticker with its own bars."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd

from backtests.common.broker_rules import RULES
from backtests.feeds.action_schedule import CorporateActions
from backtests.feeds.bar_lines import PanelLine, PastLine, SignalLine, detach_from_clock, follow_clock
from backtests.feeds.bar_store import Market
from backtests.feeds.min_period import MinPeriodStatus
from backtests.feeds.score_matrix import ScoreTable
from signals.common.errors import InputError
from signals.data.corporate_actions import raw_panel
from signals.data.panel import PricePanel, check_tickers
from signals.data.prices import Prices

__all__ = ["PanelFeed", "add_prices"]

# Line names, equal to those of `Market`, with `signal`.
_LINES = ("open", "high", "low", "close", "volume", "openinterest", "datetime", "signal")


class PanelFeed(bt.feed.DataBase):
    """Daily feed of one ticker of a `Market`; created by `add_prices`.

    Lines are the usual ones and `signal`: the score of the ticker on decision dates, NaN on all others and without a
    bar. Before its first bar a feed shows NaN, where backtrader would show the last one of the run; between bars and
    after the last one it shows its last bar, as in backtrader.

    Parameters (backtrader style)
    -----------------------------
    market : Market
        The bars, and the clock that all feeds of the market share.
    place : int
        Index of the ticker. Only the first feed is advanced by backtrader, and it advances the clock.

    Notes
    -----
    In backtrader's usual mode the feeds follow the clock without cost per session. With filters, resampling,
    `fromdate`, time zones, `lookahead`, `exactbars`, and with `runonce=False`, each advances by itself like
    backtrader's feeds.
    """

    lines: Any = ("signal",)
    params = (("market", None), ("place", 0))

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        self.market: Market = self.p.market
        self.market.clock.feeds.append(self)
        self.column = int(self.market.columns[self.p.place])
        self.follows = False  # whether this feed follows the market's clock
        # shortcut for `data.close`, which backtrader otherwise resolves through `lines` on each access
        self.__dict__.update({name: getattr(self.lines, name) for name in _LINES})

    def start(self) -> None:
        """Move before the first bar; the rules of the broker determine the values there."""
        super().start()
        broker = getattr(getattr(self, "_env", None), "broker", None)
        rules = getattr(broker, "rules", RULES)
        self.market.prepare(all_sessions="exchange_sessions" in rules)
        if broker is not None and not hasattr(broker, "flows") and not self.market.adjusted:
            raise InputError(
                f"expected rs.Broker for raw prices, because splits and dividends are applied by the broker; found "
                f"{type(broker).__name__}; use cerebro.setbroker(rs.Broker(settings)), or adjusted prices"
            )
        if isinstance(broker, bt.brokers.BackBroker) and not hasattr(broker, "rules"):
            self._warn_of_stock(type(broker).__name__)
        for line in self.lines.lines:
            past = "nan_before_first_bar" in rules and line is not self.lines.datetime
            line.__class__ = PastLine if past else PanelLine
        self.lines.signal.__class__ = SignalLine
        self.lines.signal.feed = self
        self._filled = False
        self._loaded = 0
        self._tick_nullify()

    def stop(self) -> None:
        """Keep the position at the end of the run, detached from the clock."""
        super().stop()
        self.follows = False
        self.__dict__.pop("advance_peek", None)
        if not self.p.place:
            for strategy in getattr(self._env, "runningstrats", ()):
                MinPeriodStatus.remove(strategy)
        for line in self.lines.lines:
            detach_from_clock(line)

    def preload(self) -> None:
        """Fill all lines at once; with filters, dates or time zones backtrader loads bar by bar."""
        bounds = (self.p.fromdate, self.p.todate, self.p.tz, self.p.tzinput)
        if self._filters or any(bound is not None for bound in bounds):
            super().preload()
            return
        for name in _LINES:
            getattr(self.lines, name).fill(self.market, name, self.p.place)
        self._filled = True
        self._loaded = len(self.market.run_of("datetime", self.p.place))  # so that further loads return no bar

    def _load(self) -> bool:
        """Load one bar, for live runs, resampling and `exactbars`."""
        if self._loaded == 0:
            self._bars = [(getattr(self.lines, name), self.market.run_of(name, self.p.place)) for name in _LINES]
        if self._loaded >= int(self.market.bars[self.p.place, -1]):
            return False
        for line, values in self._bars:
            line[0] = float(values[self._loaded])
        self._loaded += 1
        self.market.clock.moved()
        return True

    def __len__(self) -> int:
        if self.follows:
            return self._counts[self._clock_of.step]
        return int(self.lines.lines[0].lencount)

    def _warn_of_stock(self, name: str) -> None:
        """Say what becomes of an account at a broker that values what it does not hold."""
        if self.market.warned or self.market.bars[self.p.place, 1]:
            return
        self.market.warned = True
        warnings.warn(
            f"expected rs.Broker for feeds that begin after the first session, such as {self._name}; found {name}, "
            "which values the account at NaN once it is asked for a position before the first bar; use "
            "cerebro.setbroker(rs.Broker(settings)), or rs.Broker(compat=True) for its own rules",
            stacklevel=2,
        )

    def can_follow(self) -> bool:
        """Whether the lines are as the market laid them out."""
        return self._filled and not self.lines.datetime.extension

    def follow(self) -> None:
        """Be where the clock is from now on."""
        self._counts, self._clock_of = memoryview(self.market.bars[self.p.place]), self.market.clock
        for line in self.lines.lines:
            follow_clock(line, self._counts)
        if self.p.place:
            # backtrader requests the next date of every feed on every session, and advances feeds with that date
            self.__dict__["advance_peek"] = _no_next_date
        self.follows = True

    def trades_now(self) -> bool:
        """Whether there is a bar on the current session."""
        dates = self.lines.datetime
        return len(self) > 0 and bool(dates[0] == self.market.clock.now) and not self.is_past()

    def is_past(self) -> bool:
        """Whether the run is at a session of another market after the last session of this market."""
        strategies = getattr(self._env, "runningstrats", ())
        if not strategies or not len(strategies[0]):
            return False
        return bool(strategies[0].lines.datetime[0] // 1.0 > self.market.clock.now)

    def raw_per_share(self) -> float:
        """Return the raw shares in one share of this feed at the current bar."""
        market = self.market
        session = market.sessions[market.rows_of(self.p.place)[max(len(self), 1) - 1]]
        return float(market.panel.adj_factor[session, self.column])

    def advance_peek(self) -> float:
        """Return the date of the next bar or, for the first feed, of the next session."""
        market = self.market
        if market.shared is None:
            # first call of a run in backtrader's usual mode; decides whether the feeds follow the clock
            market.shared = market.clock.beating = all(feed.can_follow() for feed in market.clock.feeds)
            if market.shared:
                for feed in market.clock.feeds:
                    feed.follow()
                for strategy in getattr(self._env, "runningstrats", ()):
                    MinPeriodStatus.install(strategy, market)
        return market.clock.peek() if self.follows else float(super().advance_peek())

    def advance(self, size: int = 1, datamaster: Any = None, ticks: bool = True) -> None:
        """Advance to the next bar; the first feed advances the clock of all feeds."""
        if self.follows:
            self.market.begin_session()
            return
        super().advance(size, datamaster, ticks)
        self.market.clock.moved()

    def rewind(self, size: int = 1) -> None:
        """Go back one bar; the live mode reads the next bar of every feed and keeps the earliest."""
        super().rewind(size)
        self.market.clock.moved()


def _no_next_date() -> float:
    """Return infinity as the next date of a feed that the first feed advances."""
    return math.inf


def add_prices(
    cerebro: Any,
    prices: Prices | PricePanel,
    *,
    signals: pd.DataFrame | pd.Series | ScoreTable | None = None,
    tickers: Iterable[str] | None = None,
    adjusted: bool = True,
) -> list[PanelFeed]:
    """Add one feed per ticker to any `bt.Cerebro`.

    Parameters
    ----------
    cerebro : bt.Cerebro
        Cerebro that the feeds are added to.
    prices : Prices or PricePanel
        Checked prices. A feed has only the bars of its ticker; missing bars are not filled.
    signals : DataFrame or Series, optional
        Scores indexed by (date, ticker), a frame in column `score`; read them as `d.signal[0]`.
    tickers : iterable of str, optional
        Tickers to add; by default those of the signals, or all.
    adjusted : bool
        Whether feeds show prices adjusted for splits and dividends. Otherwise they show raw prices, and `rs.Broker`
        applies splits and dividends to the account on their ex-dates; the prices must contain them.

    Returns
    -------
    list of PanelFeed
        Sorted by ticker; `feed._name` is the ticker.

    Raises
    ------
    InputError
        For a ticker that is unknown or already the name of a feed, and for invalid signals.
    """
    if not isinstance(prices, Prices | PricePanel):
        raise InputError(f"expected Prices; found {type(prices).__name__}; use load_prices(...) or check_prices(frame)")
    panel = prices if isinstance(prices, PricePanel) else prices.panel()
    if not adjusted:
        panel = raw_panel(panel)
    table = signals if isinstance(signals, ScoreTable) or signals is None else ScoreTable.from_signals(signals)
    if tickers is None:
        tickers = panel.tickers if table is None else table.tickers
    wanted = sorted(set(tickers))
    check_tickers(wanted, panel.tickers)
    if not wanted:
        raise InputError("expected at least one ticker; found none; omit tickers to add all")
    for name in wanted:
        if name in cerebro.datasbyname:
            raise InputError(
                f"expected every feed to have its own name; found {name!r} twice in this Cerebro; add it once"
            )
    scores = None if table is None else table.by_session(panel.dates, wanted)
    decisions = None if table is None else np.searchsorted(panel.dates, table.dates)
    actions = () if adjusted else CorporateActions.from_panel(panel, wanted)
    simulated = getattr(prices, "simulated", False)
    market = Market(
        panel, wanted, scores=scores, decisions=decisions, simulated=simulated, adjusted=adjusted, actions=actions
    )
    feeds = [PanelFeed(market=market, place=place) for place in range(len(wanted))]
    for feed, ticker in zip(feeds, wanted, strict=True):
        cerebro.adddata(feed, name=ticker)
    return feeds
