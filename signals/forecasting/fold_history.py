"""The rows of a fold that a baseline may be fitted on, and the result of fitting one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from signals.forecasting.problem import Problem, SeriesFold

__all__ = ["Fit", "FoldHistory"]

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FoldHistory:
    """What a baseline of a fold may learn from: nothing later than what the fold's first forecast knows.

    Parameters
    ----------
    problem : Problem
        Series and horizon.
    fold : SeriesFold
        Origins of its slices, purged.
    seed : int
        Of what is random.
    returns : bool
        Whether the series are changes themselves: moves are then measured from zero, not from the last value.
    """

    problem: Problem
    fold: SeriesFold
    seed: int = 0
    returns: bool = False

    @property
    def first(self) -> int:
        """First row of the table that a training origin's look-back holds."""
        return max(self.fold.train.start - self.problem.lookback + 1, 0)

    @property
    def train_rows(self) -> range:
        """Rows of the table that the training origins know or forecast."""
        return range(self.first, self.fold.train.stop + self.problem.horizon)

    @property
    def rows(self) -> range:
        """Rows of the table that training and validation origins know or forecast."""
        return range(self.first, self.fold.both.stop + self.problem.horizon)

    def values(self, rows: range | None = None) -> Values:
        """Give the forecast series' values of some rows; of all that may be learnt from by default."""
        rows = self.rows if rows is None else rows
        return self.problem.values[rows.start : rows.stop]

    def start(self, origins: range | NDArray[np.int64]) -> Values:
        """Give what moves are measured from, shape (n, k): the last value, or zero of returns."""
        last = self.problem.last(origins)
        return np.zeros_like(last) if self.returns else last

    def moves(self, origins: range | NDArray[np.int64]) -> Values:
        """Give how far values moved after some origins, shape (n, horizon, k)."""
        return self.problem.actual(origins) - self.start(origins)[:, None, :]


class Fit(NamedTuple):
    """What fitting a baseline on a fold gives, see `BaselineForecast`."""

    values: Values
    parameters: int
    details: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
