"""Bars of one `add_prices` call in contiguous arrays by ticker, with one clock for all feeds.

backtrader advances every line of every feed at every bar: eight lines × tickers × sessions of Python calls, most of the
time of a portfolio backtest. Here only the clock advances. The number of bars of a ticker up to a session is read from
a table, so that tickers with late listings, missing bars or delistings cost no more than others.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtests.feeds.action_schedule import CorporateAction
from backtests.feeds.session_clock import SessionClock, day_numbers
from signals.data.panel import PricePanel

__all__ = ["Market"]

QUOTES = ("open", "high", "low", "close", "volume")


class Market:
    """Bars of selected tickers of a panel, and the current session.

    Parameters
    ----------
    panel : PricePanel
        Prices, n_sessions by n_tickers.
    tickers : sequence of str
        Selected tickers, each a ticker of the panel.
    scores : ndarray of float64, shape (len(tickers), n_sessions), optional
        Scores, NaN without one.
    decisions : ndarray of int, shape (n_dates,), optional
        Indices of the sessions that are decision dates, with or without scores.
    simulated : bool
        Whether the prices are simulated.
    adjusted : bool
        Whether prices are adjusted for splits and dividends.
    actions : iterable of CorporateAction
        Splits and dividends that are applied to the account, because the prices are raw.

    Attributes
    ----------
    clock : SessionClock
        Counts the sessions that have begun.
    base : int
        Start of today's row in the flat arrays of `quotes`; the ticker in column j of the panel is at `base + j`.
    shared : bool or None
        Whether the feeds follow the clock instead of advancing individually; None before the start of the run.
    """

    def __init__(
        self,
        panel: PricePanel,
        tickers: Any,
        *,
        scores: NDArray[np.float64] | None = None,
        decisions: NDArray[np.intp] | None = None,
        simulated: bool = False,
        adjusted: bool = True,
        actions: Iterable[CorporateAction] = (),
    ) -> None:
        self.panel, self.tickers = panel, tuple(tickers)
        self.scores, self.decisions, self.simulated = scores, decisions, simulated
        self.adjusted, self.actions = adjusted, tuple(actions)
        place = {ticker: column for column, ticker in enumerate(panel.tickers)}
        self.columns = np.array([place[ticker] for ticker in self.tickers], dtype=np.intp)
        self.clock = SessionClock([])
        self.base = 0
        self.shared: bool | None = None
        self.earlier: PricePanel | None = None  # prices before the panel, for look-back only
        self.warned = False  # whether the warning on late listings with backtrader's broker was given
        self._all_sessions: bool | None = None
        self._runs: dict[str, NDArray[np.float64]] = {}

    def prepare(self, *, all_sessions: bool = True) -> None:
        """Prepare the sessions, and move before the first one.

        Parameters
        ----------
        all_sessions : bool
            Whether sessions without a bar of any ticker are included.
        """
        self.clock.reset()
        self.base, self.shared = 0, None
        if self._all_sessions == all_sessions:
            return
        self._all_sessions = all_sessions
        self._runs.clear()
        traded = ~np.isnan(self.panel.close[:, self.columns])
        sessions = np.arange(len(traded)) if all_sessions else np.flatnonzero(traded.any(axis=1))
        self.sessions = sessions  # rows of the panel
        self.numbers = day_numbers(self.panel.dates[sessions])
        self.clock.dates = self.numbers.tolist()
        self._traded = np.ascontiguousarray(traded[sessions].T)
        # number of bars of each ticker after `step` sessions: a row per ticker, which starts with 0
        self.bars = np.zeros((len(self.tickers), len(sessions) + 1), dtype=np.int32)
        np.cumsum(self._traded, axis=1, out=self.bars[:, 1:])
        self.ends = np.cumsum(self.bars[:, -1], dtype=np.int64)

    def rows_of(self, place: int) -> NDArray[np.intp]:
        """Return the sessions on which the ticker at this place has a bar, as indices from 0."""
        return np.flatnonzero(self._traded[place])

    def run_of(self, line: str, place: int) -> NDArray[np.float64]:
        """Return the values of one line of one ticker on its bars, shape (n_bars,), as a view of a shared array."""
        if line not in self._runs:
            self._runs[line] = self._lay_out(line)
        stop = int(self.ends[place])
        return self._runs[line][stop - int(self.bars[place, -1]) : stop]

    def _lay_out(self, line: str) -> NDArray[np.float64]:
        """Return the values of a line for all tickers, one ticker after the other."""
        shape = self._traded.shape
        if line == "datetime":
            values: NDArray[np.float64] = np.broadcast_to(self.numbers, shape)
        elif line in QUOTES:
            values = getattr(self.panel, line)[np.ix_(self.sessions, self.columns)].T
        elif line == "signal" and self.scores is not None:
            values = self.scores[:, self.sessions]
        else:
            return np.full(int(self.ends[-1]), np.nan if line == "signal" else 0.0)
        return np.ascontiguousarray(values[self._traded], dtype=np.float64)

    def quotes(self, name: str) -> memoryview:
        """Return all values of a price column of the panel, row by row, to be read at `base + column`."""
        values: Any = np.ascontiguousarray(getattr(self.panel, name)).reshape(-1)
        return memoryview(values)

    def today(self, name: str) -> NDArray[np.float64]:
        """Return today's values of a price column in the order of the tickers; NaN without a bar."""
        row: NDArray[np.float64] = getattr(self.panel, name)[self.sessions[self.clock.step - 1]]
        return row[self.columns]

    def before(self, column: int, count: int) -> tuple[list[float], list[float]]:
        """Return dates and closes of the last `count` bars before the panel, oldest first; fewer if there are fewer."""
        if self.earlier is None:
            return [], []
        closes = self.earlier.close[:, column]
        rows = np.flatnonzero(~np.isnan(closes))[-count:]
        return day_numbers(self.earlier.dates[rows]).tolist(), closes[rows].tolist()

    def begin_session(self) -> None:
        """Advance to the next session."""
        step = self.clock.step
        self.base = int(self.sessions[step]) * len(self.panel.tickers)
        self.clock.step = step + 1

    def __getstate__(self) -> dict[str, Any]:
        """Exclude data that `prepare` recomputes, because `optstrategy` sends feeds to other processes."""
        recomputed = {"sessions", "numbers", "bars", "ends", "_traded", "clock"}
        state = {name: value for name, value in self.__dict__.items() if name not in recomputed}
        return state | {"_runs": {}, "_all_sessions": None, "_prepared": self._all_sessions, "feeds": self.clock.feeds}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the state and prepare the sessions."""
        prepared, feeds = state.pop("_prepared"), state.pop("feeds")
        self.__dict__.update(state)
        self.clock = SessionClock([])
        self.clock.feeds = feeds
        if prepared is not None:
            self.prepare(all_sessions=prepared)
