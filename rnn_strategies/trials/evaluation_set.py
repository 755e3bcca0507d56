"""Evaluation set of a trial: decision dates and tickers with out-of-sample scores, and how much two sets share."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.common.storage import canonical_json
from signals.data.prices import Prices

__all__ = ["MIN_OVERLAP", "EvaluationSet", "evaluation_set", "set_of_scores"]

# Least fraction of the days, and of the tickers, of one trial that a comparable trial has tested too. A trial with
# returns on fewer than half of a run's sessions cannot be compared with it either
# (`reports.significance.comparable_trials`).
MIN_OVERLAP = 0.5
# Calendar days that a decision covers at most; it covers the days until the next decision. Scores less frequent than
# quarterly therefore leave days that are not tested.
_LONGEST_PERIOD = 100
# Two markets with the same names (simulated ones above all) are distinguished by the mean return of the tickers on the
# common dates, which are uncorrelated for different markets. The bound is low, because counting too few trials is the
# worse error; with fewer common dates a correlation is too uncertain, and equal tickers count as equal securities.
_MIN_CORRELATION, _MIN_COMMON_DATES = 0.3, 20

Days = NDArray[np.datetime64]


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationSet:
    """Dates and tickers with out-of-sample scores of one trial.

    Parameters
    ----------
    calendar : str
        Exchange calendar of the dates; for information only, as comparisons use dates and tickers.
    dates : ndarray of datetime64[D], shape (n_dates,)
        Decision dates with at least one score, ascending.
    tickers : tuple of str
        Tickers with at least one score, sorted.
    market_returns : ndarray of float64, shape (n_dates,)
        Mean return of those tickers over the session that ends on each date, rounded to 1e-4; NaN where it is unknown.
    """

    calendar: str
    dates: Days
    tickers: tuple[str, ...]
    market_returns: NDArray[np.float64]

    def facts(self) -> dict[str, Any]:
        """Summary in plain JSON: calendar, first and last date, number of dates and of tickers."""
        return {
            "calendar": self.calendar,
            "first": str(self.dates[0]),
            "last": str(self.dates[-1]),
            "dates": len(self.dates),
            "tickers": len(self.tickers),
        }

    def shared_dates(self, other: EvaluationSet) -> float:
        """Share of the days of this set that the other one covers too, 0 to 1.

        A decision covers the days until the next decision, so that weekly and daily decisions over one period agree.
        """
        first = min(self.dates[0], other.dates[0])
        last = max(self.dates[-1], other.dates[-1])
        mine, theirs = (_days_covered(one.dates, first, last) for one in (self, other))
        return float((mine & theirs).sum() / mine.sum())

    def shared_tickers(self, other: EvaluationSet) -> float:
        """Share of the tickers of this set that the other one scored too, 0 to 1; 0 when they are of another market."""
        if not self._same_market(other):
            return 0.0
        return len({*self.tickers} & {*other.tickers}) / len(self.tickers)

    def _same_market(self, other: EvaluationSet) -> bool:
        """Whether equal names may mean equal securities: False when the mean returns of common dates are unrelated."""
        _, mine, theirs = np.intersect1d(self.dates, other.dates, assume_unique=True, return_indices=True)
        both = np.stack([self.market_returns[mine], other.market_returns[theirs]])
        both = both[:, np.isfinite(both).all(axis=0)]
        if both.shape[1] < _MIN_COMMON_DATES or not np.ptp(both, axis=1).all():
            return True
        return float(np.asarray(np.corrcoef(both))[0, 1]) >= _MIN_CORRELATION

    def to_bytes(self) -> bytes:
        """Write the set as JSON; equal sets give equal bytes."""
        known = np.isfinite(self.market_returns)
        returns = [round(float(x), 4) if ok else None for x, ok in zip(self.market_returns, known, strict=True)]
        dates = [str(day) for day in self.dates]
        return canonical_json(
            {"calendar": self.calendar, "dates": dates, "tickers": list(self.tickers), "market_returns": returns}
        )

    @classmethod
    def from_bytes(cls, content: bytes) -> EvaluationSet:
        """Read what `to_bytes` wrote; `ValueError`, `KeyError` or `TypeError` for anything else."""
        read = json.loads(content)
        dates = np.array(read["dates"], dtype="datetime64[D]")
        returns = np.array([np.nan if x is None else float(x) for x in read["market_returns"]])
        tickers = tuple(str(ticker) for ticker in read["tickers"])
        if not len(dates) or len(dates) != len(returns) or not tickers:
            raise ValueError("an evaluation set has at least one date and one ticker")
        return cls(str(read["calendar"]), dates, tickers, returns)


def evaluation_set(prices: Prices, dates: Iterable[Any], tickers: Iterable[str]) -> EvaluationSet:
    """Describe the dates and tickers that were scored.

    Parameters
    ----------
    prices : Prices
        Prices from which the scores were computed.
    dates : iterable of dates
        Decision dates, at least one; repetitions are allowed.
    tickers : iterable of str
        Scored tickers, at least one; repetitions are allowed.
    """
    days = np.unique(np.asarray(dates, dtype="datetime64[D]"))
    names = tuple(sorted(set(tickers)))
    return EvaluationSet(prices.calendar, days, names, _market_returns(prices, days, names))


def set_of_scores(prices: Prices, signals: pd.DataFrame) -> EvaluationSet:
    """Describe the dates and tickers of a signal frame, which is indexed by (date, ticker)."""
    return evaluation_set(prices, *(signals.index.unique(level) for level in ("date", "ticker")))


def _days_covered(dates: Days, first: np.datetime64, last: np.datetime64) -> NDArray[np.bool_]:
    """Calendar days from `first` to `last` that lie between a decision and the next one, the last date included."""
    start = (dates - first).astype(np.int64)
    length = np.append(np.minimum(np.diff(start), _LONGEST_PERIOD), 1)
    steps = np.zeros(int((last - first).astype(np.int64)) + 2, dtype=np.int64)
    np.add.at(steps, start, 1)
    np.add.at(steps, start + length, -1)
    return np.asarray(np.cumsum(steps)[:-1] > 0)


def _market_returns(prices: Prices, days: Days, tickers: tuple[str, ...]) -> NDArray[np.float64]:
    """Mean close-to-close return of some tickers over the session that ends on each day; NaN where there is none."""
    index = prices.frame.index
    sessions = index.levels[0].to_numpy().astype("datetime64[D]")
    place = np.searchsorted(sessions, days)
    known = (place > 0) & (place < len(sessions))
    known[known] = sessions[place[known]] == days[known]
    wanted = np.unique(np.concatenate([place[known] - 1, place[known]]))
    columns = index.levels[1].get_indexer(list(tickers))
    rows = np.isin(index.codes[0], wanted) & np.isin(index.codes[1], columns)
    close = np.full((len(wanted), len(index.levels[1])), np.nan)
    row = np.searchsorted(wanted, index.codes[0][rows])
    close[row, index.codes[1][rows]] = prices.frame["close"].to_numpy(dtype=np.float64)[rows]
    returns = np.full(len(days), np.nan)
    end = np.searchsorted(wanted, place[known])  # the session before each wanted one is wanted too, and next to it
    change = close[end] / close[end - 1] - 1.0
    traded = np.isfinite(change)
    counts = traded.sum(axis=1)
    means = np.where(traded, change, 0.0).sum(axis=1) / np.maximum(counts, 1)
    returns[known] = np.where(counts > 0, means, np.nan)
    return np.round(returns, 4)
