"""Rows of a fold on which baselines are fitted, and the result of fitting one."""

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
    """Rows on which the baselines of a fold are fitted, none later than the fold's first test origin.

    Parameters
    ----------
    problem : Problem
        Series and horizon.
    fold : SeriesFold
        Origins of its slices, purged.
    seed : int
        Seed of random methods.
    returns : bool
        Whether the series are changes, such as returns: moves are then measured from zero, not from the last value.
    """

    problem: Problem
    fold: SeriesFold
    seed: int = 0
    returns: bool = False

    @property
    def first(self) -> int:
        """First row of the table in the look-back of a training origin."""
        return max(self.fold.train.start - self.problem.lookback + 1, 0)

    @property
    def train_rows(self) -> range:
        """Rows of the table in the look-back or the horizon of training origins."""
        return range(self.first, self.fold.train.stop + self.problem.horizon)

    @property
    def rows(self) -> range:
        """Rows of the table in the look-back or the horizon of training and validation origins."""
        return range(self.first, self.fold.both.stop + self.problem.horizon)

    def values(self, rows: range | None = None) -> Values:
        """Values of the forecast series in some rows; in the training and validation rows by default."""
        rows = self.rows if rows is None else rows
        return self.problem.values[rows.start : rows.stop]

    def start(self, origins: range | NDArray[np.int64]) -> Values:
        """Values from which moves are measured, shape (n, k): the last value, or zero for returns."""
        last = self.problem.last(origins)
        return np.zeros_like(last) if self.returns else last

    def moves(self, origins: range | NDArray[np.int64]) -> Values:
        """Compute the moves of the series after some origins, shape (n, horizon, k)."""
        return self.problem.actual(origins) - self.start(origins)[:, None, :]


class Fit(NamedTuple):
    """Forecasts of a fitted baseline on a fold, see `BaselineForecast`."""

    values: Values
    parameters: int
    details: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
