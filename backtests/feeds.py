"""Prices as backtrader feeds: arrays in, no parsing, each ticker with its own bars only."""

from __future__ import annotations

import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from backtests.scores import ScoreTable
from signals.errors import InputError
from signals.panel import PricePanel, check_tickers
from signals.prices import Prices

__all__ = ["PanelFeed", "SessionClock", "add_prices"]

# backtrader counts days from 0001-01-01 as day 1; numpy from 1970-01-01 as day 0.
_EPOCH = 719163.0


@dataclass(slots=True, eq=False)
class SessionClock:
    """Sessions of the exchange, shared by the feeds of one `add_prices`.

    backtrader knows only dates on which some feed has a bar. Without this clock the last bar of the last live ticker
    would end the run, and a holding that died before could never be cashed out.

    Parameters
    ----------
    dates : ndarray of float64
        Sessions in backtrader's day numbers, ascending.
    """

    dates: NDArray[np.float64]
    position: int = field(default=-1, init=False)
    beating: bool = field(default=False, init=False)

    def reset(self) -> None:
        """Go back before the first session."""
        self.position, self.beating = -1, False

    def peek(self) -> float:
        """Next session, or infinity after the last."""
        after = self.position + 1
        return float(self.dates[after]) if after < len(self.dates) else float("inf")

    @property
    def now(self) -> float:
        """Current session; minus infinity before the first and while the clock is not in use."""
        return float(self.dates[self.position]) if self.beating and self.position >= 0 else float("-inf")


class PanelFeed(bt.feed.DataBase):
    """One ticker of a `PricePanel` as a daily feed; made by `add_prices`.

    Lines are the usual ones and `signal`: the score of the ticker on decision dates, NaN on all others.

    Parameters (backtrader style)
    -----------------------------
    panel : PricePanel
        Prices, n_sessions by n_tickers.
    column : int
        Which ticker.
    signal : ndarray of shape (n_sessions,), optional
        Scores.
    clock : SessionClock
        Sessions of the exchange.
    pacemaker : bool
        Whether this feed beats the clock. One feed of a run does.
    """

    lines: Any = ("signal",)
    params = (("panel", None), ("column", 0), ("signal", None), ("clock", None), ("pacemaker", False))

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
        return True

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
            return
        if self.p.pacemaker and self.p.clock.beating:
            clock = self.p.clock
            clock.position += 1
            after = self._dates._idx + 1
            if after >= self._n or self._dates.array[after] > clock.now:
                return
        # `tick_open` and the like stay None: the broker then reads the bar itself, which holds the same numbers
        for line in self._every_line:
            line._idx += 1
            line.lencount += 1


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
    place = {ticker: column for column, ticker in enumerate(panel.tickers)}
    clock = SessionClock(day_numbers(panel.dates))
    feeds = []
    for j, ticker in enumerate(wanted):
        signal = None if scores is None else scores[j]
        feed = PanelFeed(panel=panel, column=place[ticker], signal=signal, clock=clock, pacemaker=j == 0)
        cerebro.adddata(feed, name=ticker)
        feeds.append(feed)
    return feeds


def day_numbers(dates: NDArray[np.datetime64]) -> NDArray[np.float64]:
    """Session dates as backtrader counts days.

    >>> day_numbers(np.array(["2016-02-29"], dtype="datetime64[D]"))
    array([736023.])
    """
    return np.asarray(dates, dtype="datetime64[D]").astype(np.int64).astype(np.float64) + _EPOCH


def day_of(number: float) -> np.datetime64:
    """Session date of one of backtrader's day numbers, whatever the time of day."""
    return np.datetime64(int(number - _EPOCH), "D")
