"""Prices as backtrader feeds: arrays in, no parsing, each ticker with its own bars only."""

from __future__ import annotations

import array
from collections.abc import Iterable
from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd
from backtrader.linebuffer import LineBuffer
from numpy.typing import NDArray

from backtests.clock import SessionClock, day_numbers
from backtests.scores import ScoreTable
from signals.errors import InputError
from signals.panel import PricePanel, check_tickers
from signals.prices import Prices

__all__ = ["PanelFeed", "add_prices"]


class PastLine(LineBuffer):
    """A line that never shows the future.

    backtrader keeps all bars in one array and counts backwards from the current one. Before the first bar, and further
    back than it, Python's negative indices then count from the end of the array: the last bars of the run. Here they
    are NaN.
    """

    def __getitem__(self, ago: int) -> float:
        at = self._idx + ago
        return float(self.array[at]) if at >= 0 else float("nan")


class SignalLine(PastLine):
    """Scores: NaN on every session that is not a decision date, also when the feed still shows an older bar."""

    def __getitem__(self, ago: int) -> float:
        if ago == 0 and not self.feed.trades_now():
            return float("nan")
        return super().__getitem__(ago)


class PanelFeed(bt.feed.DataBase):
    """One ticker of a `PricePanel` as a daily feed; made by `add_prices`.

    Lines are the usual ones and `signal`: the score of the ticker on decision dates, NaN on all others and without a
    bar. Before its first bar a feed shows NaN, where backtrader would show the last one of the run; between bars and
    after the last one it shows its last bar, as in backtrader.

    Parameters (backtrader style)
    -----------------------------
    panel : PricePanel
        Prices, n_sessions by n_tickers.
    column : int
        Which ticker.
    signal : ndarray of shape (n_sessions,), optional
        Scores.
    decisions : ndarray of int, shape (n_dates,), optional
        Sessions that are decision dates, whether or not this ticker has a score on them.
    clock : SessionClock
        Sessions of the exchange.
    pacemaker : bool
        Whether this feed beats the clock. One feed of a run does.
    simulated : bool
        Whether the prices were invented; the ledger then says so.
    """

    lines: Any = ("signal",)
    params = (
        ("panel", None),
        ("column", 0),
        ("signal", None),
        ("decisions", None),
        ("clock", None),
        ("pacemaker", False),
        ("simulated", False),
    )

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        self.p.clock.feeds.append(self)
        for line in self.lines.lines:
            if line is not self.lines.datetime:
                line.__class__ = PastLine
        self.lines.signal.__class__ = SignalLine
        self.lines.signal.feed = self

    def start(self) -> None:
        """Find the ticker's own bars."""
        super().start()
        panel = self.p.panel
        traded = ~np.isnan(panel.close[:, self.p.column])
        numbers = day_numbers(panel.dates)
        if self.p.fromdate is not None:
            traded &= numbers >= bt.date2num(self.p.fromdate)
        if self.p.todate is not None:
            traded &= numbers <= bt.date2num(self.p.todate)
        self._rows = np.flatnonzero(traded)
        self._numbers = numbers[self._rows]
        self._loaded = 0
        self._preloaded = False
        self._tick_nullify()
        if self.p.pacemaker:
            self.p.clock.reset()

    def preload(self) -> None:
        """Fill the lines from the panel in one go; filters take backtrader's own path, bar by bar."""
        if self._filters or self.p.tz is not None or self.p.tzinput is not None:
            super().preload()
        else:
            for name, values in self._columns():
                line = getattr(self.lines, name)
                line.array = array.array("d", np.ascontiguousarray(values, dtype=np.float64).tobytes())
                line.array.extend([float("nan")] * line.extension)
            self._loaded = len(self._rows)  # at the end of the lines backtrader asks `_load` for more
            self._last()
            self.home()
        # what every bar needs, without the lookups of `len` and `datetime[1]`
        self._every_line = tuple(self.lines.lines)
        self._dates = self.lines.datetime
        self._n = self._dates.buflen()
        self._preloaded = True

    def _columns(self) -> list[tuple[str, NDArray[np.float64]]]:
        panel, rows, column = self.p.panel, self._rows, self.p.column
        signal = np.full(len(rows), np.nan) if self.p.signal is None else self.p.signal[rows]
        quotes = [(name, getattr(panel, name)[rows, column]) for name in ("open", "high", "low", "close", "volume")]
        return [*quotes, ("openinterest", np.zeros(len(rows))), ("datetime", self._numbers), ("signal", signal)]

    def _load(self) -> bool:
        """Load one bar: the path of live runs, resampling and `exactbars`."""
        if self._loaded >= len(self._rows):
            return False
        if self._loaded == 0:
            self._bars = self._columns()
        for name, values in self._bars:
            getattr(self.lines, name)[0] = float(values[self._loaded])
        self._loaded += 1
        self.p.clock.moved()
        return True

    def trades_now(self) -> bool:
        """Whether there is a bar on the current session."""
        dates = self.lines.datetime
        return dates._idx >= 0 and bool(dates[0] == self.p.clock.now)

    def advance_peek(self) -> float:
        """Date of the next bar, or for the pacemaker of the next session."""
        if self.p.pacemaker:
            clock = self.p.clock
            clock.beating = True
            return float(clock.peek())
        after = self._dates._idx + 1
        return float(self._dates.array[after]) if after < self._n else float("inf")

    def advance(self, size: int = 1, datamaster: Any = None, ticks: bool = True) -> None:
        """Move to the next bar; the pacemaker moves only when the session that has come is one it traded on."""
        if datamaster is not None or size != 1 or not self._preloaded:
            super().advance(size, datamaster, ticks)
            self.p.clock.moved()
            return
        clock = self.p.clock
        if not clock.beating:
            clock.moved()
        elif self.p.pacemaker:
            clock.position += 1
            after = self._dates._idx + 1
            if after >= self._n or self._dates.array[after] > clock.now:
                return
        # `tick_open` and the like stay None: the broker then reads the bar itself, which holds the same numbers
        for line in self._every_line:
            line._idx += 1
            line.lencount += 1

    def rewind(self, size: int = 1) -> None:
        """Go back: the live mode looks at the next bar of every feed first, and keeps the earliest."""
        super().rewind(size)
        self.p.clock.moved()


def add_prices(
    cerebro: Any,
    prices: Prices | PricePanel,
    *,
    signals: pd.DataFrame | pd.Series | ScoreTable | None = None,
    tickers: Iterable[str] | None = None,
) -> list[PanelFeed]:
    """Add one feed per ticker to any `bt.Cerebro`.

    Parameters
    ----------
    cerebro : bt.Cerebro
        Yours.
    prices : Prices or PricePanel
        Checked prices. A ticker has only the bars it traded; nothing is filled in.
    signals : DataFrame or Series, optional
        Scores indexed by (date, ticker), a frame in column `score`; read them as `d.signal[0]`.
    tickers : iterable of str, optional
        Which ones: by default those of the signals, or all.

    Returns
    -------
    list of PanelFeed
        Sorted by ticker; `feed._name` is the ticker.

    Raises
    ------
    InputError
        For a ticker that is unknown or already the name of a feed, and for signals that break their contract.
    """
    panel = prices if isinstance(prices, PricePanel) else prices.panel()
    table = signals if isinstance(signals, ScoreTable) or signals is None else ScoreTable.from_signals(signals)
    if tickers is None:
        tickers = panel.tickers if table is None else table.tickers
    wanted = sorted(set(tickers))
    check_tickers(wanted, panel.tickers)
    if not wanted:
        raise InputError("expected at least one ticker; found none; leave tickers out to take all")
    for name in wanted:
        if name in cerebro.datasbyname:
            raise InputError(
                f"expected every feed to have its own name; found {name!r} twice in this Cerebro; add it once"
            )
    scores = None if table is None else table.by_session(panel.dates, wanted)
    decisions = None if table is None else np.searchsorted(panel.dates, table.dates)
    place = {ticker: column for column, ticker in enumerate(panel.tickers)}
    clock = SessionClock(day_numbers(panel.dates))
    feeds = []
    for j, ticker in enumerate(wanted):
        signal = None if scores is None else scores[j]
        feed = PanelFeed(
            panel=panel,
            column=place[ticker],
            signal=signal,
            decisions=decisions,
            clock=clock,
            pacemaker=j == 0,
            simulated=getattr(prices, "simulated", False),
        )
        cerebro.adddata(feed, name=ticker)
        feeds.append(feed)
    return feeds
