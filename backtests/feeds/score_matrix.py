"""Scores as an array of decision dates × tickers, NaN without a score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.calendar import as_day
from signals.common.errors import InputError

__all__ = ["ScoreTable"]


@dataclass(frozen=True, slots=True, eq=False)
class ScoreTable:
    """Scores by decision date and ticker; created by `from_signals`.

    Parameters
    ----------
    dates : ndarray of datetime64[D], shape (n_dates,)
        Decision dates, ascending.
    tickers : tuple of str
        Sorted.
    values : ndarray of float64, shape (n_dates, n_tickers)
        Known at the close of the date; NaN where the ticker has no row.
    """

    dates: NDArray[np.datetime64]
    tickers: tuple[str, ...]
    values: NDArray[np.float64]

    @classmethod
    def from_signals(cls, signals: pd.DataFrame | pd.Series) -> ScoreTable:
        """Create the table from a signal frame.

        Parameters
        ----------
        signals : DataFrame or Series
            Indexed by (date, ticker), sorted and unique, naive dates; a frame with a column `score`.

        Raises
        ------
        InputError
            With the first invalid row.
        """
        if list(signals.index.names) != ["date", "ticker"]:
            raise InputError(
                f"expected signals indexed by (date, ticker); found {list(signals.index.names)}; set_index"
            )
        if isinstance(signals, pd.DataFrame):
            if "score" not in signals.columns:
                raise InputError(
                    f"expected a column score in the signals; found {', '.join(map(str, signals.columns))}"
                )
            signals = signals["score"]
        if not len(signals):
            raise InputError(
                "expected at least one signal; found none; check the dates and the universe of the signals"
            )
        index = signals.index
        if getattr(index.levels[0].dtype, "kind", "M") != "M" or getattr(index.levels[0], "tz", None) is not None:
            raise InputError(
                f"expected naive session dates in the signals; found {index.levels[0].dtype}; use tz_localize(None)"
            )
        if not index.is_unique:
            raise InputError(
                f"expected one signal per date and ticker; found two for {_name(index[index.duplicated()][0])}"
            )
        if not index.is_monotonic_increasing:
            raise InputError("expected signals sorted by date and ticker; found them unsorted; call sort_index()")
        score = signals.to_numpy(dtype=np.float64)
        if not np.isfinite(score).all():
            bad = ~np.isfinite(score)
            raise InputError(
                f"expected finite scores; found {int(bad.sum())} others, the first for {_name(index[bad][0])}; "
                "remove rows without a score"
            )
        stamps = index.get_level_values("date").to_numpy()
        days = stamps.astype("datetime64[D]")
        if (days != stamps).any():
            raise InputError(f"expected dates at midnight; found {stamps[days != stamps][0]}; normalize them")
        names = index.get_level_values("ticker").to_numpy()
        dates, row = np.unique(days, return_inverse=True)
        tickers = sorted(set(names))
        place = {ticker: column for column, ticker in enumerate(tickers)}
        values = np.full((len(dates), len(tickers)), np.nan)
        values[row, [place[name] for name in names]] = score
        values.setflags(write=False)
        return cls(dates, tuple(tickers), values)

    def between(self, start: Any = None, end: Any = None) -> ScoreTable:
        """Return the table from `start` to `end`, both inclusive, without tickers that have no row there.

        Raises
        ------
        InputError
            When no score is left.
        """
        keep: NDArray[np.bool_] = np.ones(len(self.dates), dtype=bool)
        if start is not None:
            keep &= self.dates >= as_day(start, name="start")
        if end is not None:
            keep &= self.dates <= as_day(end, name="end")
        values = self.values[keep]
        scored: NDArray[np.bool_] = np.asarray((~np.isnan(values)).any(axis=0))
        if not scored.any():
            raise InputError(
                f"expected a decision date from {start or 'the first'} to {end or 'the last'}; found signals from "
                f"{self.dates[0]} to {self.dates[-1]}; choose other dates"
            )
        tickers = tuple(ticker for ticker, kept in zip(self.tickers, scored.tolist(), strict=True) if kept)
        return ScoreTable(self.dates[keep], tickers, np.ascontiguousarray(values[:, scored]))

    def aligned(self, tickers: Sequence[str]) -> NDArray[np.float64]:
        """Return the scores in another order of tickers, shape (n_dates, len(tickers)); NaN for others."""
        place = {ticker: column for column, ticker in enumerate(self.tickers)}
        values = np.full((len(self.dates), len(tickers)), np.nan)
        for column, ticker in enumerate(tickers):
            if ticker in place:
                values[:, column] = self.values[:, place[ticker]]
        return values

    def by_session(self, sessions: NDArray[np.datetime64], tickers: Sequence[str]) -> NDArray[np.float64]:
        """Return the scores on all sessions, shape (len(tickers), n_sessions); NaN on other dates.

        Raises
        ------
        InputError
            For a decision date that is not among the sessions.
        """
        at = np.searchsorted(sessions, self.dates)
        known = at < len(sessions)
        known[known] = sessions[at[known]] == self.dates[known]
        if not known.all():
            day = self.dates[~known][0]
            raise InputError(
                f"expected decision dates among the sessions of the prices, {sessions[0]} to {sessions[-1]}; found "
                f"{day}; date signals by the session at whose close they are known"
            )
        values = np.full((len(tickers), len(sessions)), np.nan)
        values[:, at] = self.aligned(tickers).T
        return values


def _name(row: tuple[pd.Timestamp, str]) -> str:
    return f"{row[1]} on {row[0]:%Y-%m-%d}"
