"""The bars of one `add_prices`, laid out for backtrader: each ticker's own bars in a row, and one cursor for all.

backtrader moves every line of every feed by one at every bar: eight lines × tickers × sessions of Python calls, most of
the time of a portfolio backtest. Here only the clock moves. How many bars a ticker has had by a session is looked up in
a table, so tickers that were listed later, miss bars or died cost as little as the others.
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
    """Bars of some tickers of a panel, and the session they are at.

    Parameters
    ----------
    panel : PricePanel
        Prices, n_sessions by n_tickers.
    tickers : sequence of str
        Which of them, each a ticker of the panel.
    scores : ndarray of float64, shape (len(tickers), n_sessions), optional
        Scores, NaN where there is none.
    decisions : ndarray of int, shape (n_dates,), optional
        Sessions that are decision dates, whether or not anybody has a score on them.
    simulated : bool
        Whether the prices were invented.
    adjusted : bool
        Whether prices are adjusted for splits and dividends.
    actions : iterable of CorporateAction
        Splits and dividends that have to happen to the account, because the prices are raw.

    Attributes
    ----------
    clock : SessionClock
        Counts the sessions that have begun.
    base : int
        Where today's row begins in the flat arrays of `quotes`; the ticker in column j of the panel is at `base + j`.
    shared : bool or None
        Whether the feeds follow the clock instead of moving by themselves; None before the run has begun.
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
        self.earlier: PricePanel | None = None  # what came before the panel, to be looked back at only
        self.warned = False  # whether somebody was told what stock makes of late listings
        self._all_sessions: bool | None = None
        self._runs: dict[str, NDArray[np.float64]] = {}

    def prepare(self, *, all_sessions: bool = True) -> None:
        """Lay the sessions out, and go back before the first.

        Parameters
        ----------
        all_sessions : bool
            Whether sessions count on which none of the tickers trades.
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
        # bars that ticker j has had when `step` sessions have begun: a row per ticker, which starts with 0
        self.bars = np.zeros((len(self.tickers), len(sessions) + 1), dtype=np.int32)
        np.cumsum(self._traded, axis=1, out=self.bars[:, 1:])
        self.ends = np.cumsum(self.bars[:, -1], dtype=np.int64)

    def rows_of(self, place: int) -> NDArray[np.intp]:
        """Sessions on which the ticker at this place trades, as numbers from 0."""
        return np.flatnonzero(self._traded[place])

    def run_of(self, line: str, place: int) -> NDArray[np.float64]:
        """Values of one line of one ticker, its own bars only, shape (n_bars,): a view of what all tickers share."""
        if line not in self._runs:
            self._runs[line] = self._lay_out(line)
        stop = int(self.ends[place])
        return self._runs[line][stop - int(self.bars[place, -1]) : stop]

    def _lay_out(self, line: str) -> NDArray[np.float64]:
        """Bars of all tickers, one ticker after the other."""
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
        """All of the panel's opens, closes, …, row after row, to be read at `base + column`."""
        values: Any = np.ascontiguousarray(getattr(self.panel, name)).reshape(-1)
        return memoryview(values)

    def today(self, name: str) -> NDArray[np.float64]:
        """Today's opens, closes, … in the order of the tickers; NaN where there is no bar."""
        row: NDArray[np.float64] = getattr(self.panel, name)[self.sessions[self.clock.step - 1]]
        return row[self.columns]

    def before(self, column: int, count: int) -> tuple[list[float], list[float]]:
        """Dates and closes of the last bars before the panel, oldest first: at most `count`."""
        if self.earlier is None:
            return [], []
        closes = self.earlier.close[:, column]
        rows = np.flatnonzero(~np.isnan(closes))[-count:]
        return day_numbers(self.earlier.dates[rows]).tolist(), closes[rows].tolist()

    def go_on(self) -> None:
        """Begin the next session."""
        step = self.clock.step
        self.base = int(self.sessions[step]) * len(self.panel.tickers)
        self.clock.step = step + 1

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what can be laid out anew: `optstrategy` sends feeds to other processes."""
        made = {"sessions", "numbers", "bars", "ends", "_traded", "clock"}
        state = {name: value for name, value in self.__dict__.items() if name not in made}
        return state | {"_runs": {}, "_all_sessions": None, "_prepared": self._all_sessions, "feeds": self.clock.feeds}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Be ready as before."""
        prepared, feeds = state.pop("_prepared"), state.pop("feeds")
        self.__dict__.update(state)
        self.clock = SessionClock([])
        self.clock.feeds = feeds
        if prepared is not None:
            self.prepare(all_sessions=prepared)
