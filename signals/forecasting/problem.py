"""Forecast problem: series, horizon and origins, and their walk-forward folds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from signals.calendar import as_day
from signals.common.errors import InputError
from signals.dataset.folds import WalkForward, make_folds
from signals.forecasting.series_table import SeriesTable

__all__ = ["Problem", "SeriesFold"]


@dataclass(frozen=True, slots=True)
class SeriesFold:
    """One fold: ranges of origins, by row of the table.

    Parameters
    ----------
    number : int
        From 0.
    train, validation, test : range
        Half-open ranges, already purged: the last period that a training or validation origin forecasts is known at the
        first origin of the next slice.
    both : range
        Training and validation together, including the purged origins between them.
    live : range
        Origins of the last fold whose first target period lies after the last row: the last row itself. Empty in the
        other folds. Their actual values are not known yet.
    """

    number: int
    train: range
    validation: range
    test: range
    both: range
    live: range = range(0)

    @property
    def origins(self) -> range:
        """Origins that are forecast: those of the test slice, which are evaluated, and live ones."""
        return range(self.test.start, self.live.stop) if self.live else self.test


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """Forecast problem: some series of a table, `horizon` periods ahead; each forecast is made at a row, its origin.

    A forecast at origin *t* uses rows up to *t*, and forecasts `values[t + 1]` to `values[t + horizon]`.

    Parameters
    ----------
    table : SeriesTable
        All series, including those that are inputs only.
    horizon : int
        Periods ahead.
    targets : tuple of int
        Indices of the columns that are forecast; all by default.
    lookback : int
        Number of rows up to and including the origin that a forecast needs.

    Raises
    ------
    InputError
        When the table is too short for the horizon and the look-back.
    """

    table: SeriesTable
    horizon: int = 1
    targets: tuple[int, ...] = ()
    lookback: int = 1

    def __post_init__(self) -> None:
        if not self.targets:
            object.__setattr__(self, "targets", tuple(range(len(self.table.names))))
        if not all(0 <= column < len(self.table.names) for column in self.targets):
            raise InputError(
                f"expected targets among columns 0 to {len(self.table.names) - 1}; found {list(self.targets)}"
            )
        if self.horizon < 1 or self.lookback < 1 or self.lookback + self.horizon > len(self.table):
            raise InputError(
                "expected a look-back and a horizon of at least 1 that fit into the series; found "
                f"{self.lookback} and {self.horizon}, and {len(self.table)} rows; give longer series"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the k series that are forecast."""
        return tuple(self.table.names[i] for i in self.targets)

    @property
    def values(self) -> NDArray[np.float64]:
        """Values of the series that are forecast, shape (n, k)."""
        return self.table.values[:, list(self.targets)]

    def actual(self, origins: range | NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the actual values after some origins, shape (n, horizon, k); NaN beyond the end of the table."""
        rows = np.asarray(origins, dtype=np.int64)[:, None] + np.arange(1, self.horizon + 1)
        known = rows < len(self.table)
        return np.where(known[:, :, None], self.values[np.where(known, rows, 0)], np.nan)

    def last(self, origins: range | NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the values at some origins, shape (n, k): the forecasts of persistence."""
        return self.values[np.asarray(origins, dtype=np.int64)]

    def target_dates(self, origins: range | NDArray[np.int64]) -> NDArray[np.datetime64]:
        """Return the dates that some origins forecast, shape (n, horizon).

        Beyond the end of the table, dates follow its frequency, see `SeriesTable.next_dates`.
        """
        rows = np.asarray(origins, dtype=np.int64)[:, None] + np.arange(1, self.horizon + 1)
        return np.asarray(self.ahead[rows])

    def is_live(self, origins: range | NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return a mask of the target periods that lie after the last row, shape (n, horizon)."""
        rows = np.asarray(origins, dtype=np.int64)[:, None] + np.arange(1, self.horizon + 1)
        return np.asarray(rows >= len(self.table))

    @property
    def ahead(self) -> NDArray[np.datetime64]:
        """Dates of the table and of the `horizon` periods after it, shape (n + horizon,)."""
        return np.concatenate([self.table.dates, self.table.next_dates(self.horizon)])

    def retraining_due(self, walk_forward: WalkForward) -> bool:
        """Return whether the period after the last row begins a test slice, for which no network is trained yet."""
        first = self.lookback - 1
        folds = make_folds(self.ahead[1 : len(self.table) + 1], walk_forward, first=first)
        return len(folds[-1].test) == 1 and folds[-1].test.start == len(self.table) - 1

    def folds(self, walk_forward: WalkForward) -> tuple[SeriesFold, ...]:
        """Split the origins into folds.

        Slices are defined by the dates that are forecast one period ahead: `walk_forward.test_start` is the first such
        date of the first test slice, forecast at the end of the previous period. Integer lengths count rows. The last
        origin that is evaluated is the row before the last. The last row is a live origin of the last fold, whose
        networks and baselines make its forecasts, even where a new fold would begin there. Training origins have
        `lookback` rows.

        Raises
        ------
        InputError
            When the history is too short for a complete fold, or a slice is empty after purging.
        """
        dates, first = self.table.dates[1:], self.lookback - 1
        if (start := as_day(walk_forward.test_start, name="walk_forward.test_start")) > dates[-1]:
            raise InputError(
                f"expected series beyond walk_forward.test_start = {start}; found them up to {dates[-1]}; give longer "
                "series or start earlier"
            )
        purge = self.horizon - 1  # number of origins whose last period ends after the next slice has begun
        folds = []
        for slices in make_folds(dates, walk_forward, first=first):
            train = range(slices.train.start, slices.train.stop - purge)
            validation = range(slices.validation.start, slices.validation.stop - purge)
            for name, span in (("train", train), ("validation", validation)):
                if not span:
                    raise InputError(
                        f"expected walk_forward.{name} longer than forecast.horizon less one; found no origin whose "
                        f"{self.horizon} periods end in time for the fold that is tested from "
                        f"{dates[slices.test.start]}; lengthen it or shorten the horizon"
                    )
            both = range(train.start, validation.stop)
            live = range(len(dates), len(dates) + 1) if slices.test.stop == len(dates) else range(0)
            folds.append(SeriesFold(slices.number, train, validation, slices.test, both, live))
        return tuple(folds)
