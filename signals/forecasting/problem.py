"""What is forecast of a table of series, from when, and who may learn from what."""

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
        Half-open. Purged already: the last period that an origin of the first two forecasts is known when the first
        forecast of the next slice is made, at its own origin.
    both : range
        Training and validation together, those in between included.
    live : range
        Origins of the last fold whose first target period lies after the last row: the last row itself. Empty in the
        other folds. They are forecast, and no actual value is known.
    """

    number: int
    train: range
    validation: range
    test: range
    both: range
    live: range = range(0)

    @property
    def origins(self) -> range:
        """Origins that are forecast: those of the test slice, which are scored, and live ones."""
        return range(self.test.start, self.live.stop) if self.live else self.test


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """Forecasts of some series of a table, `horizon` periods ahead, each made at the end of a row: its origin.

    Origin *t* knows rows up to *t*, and forecasts `values[t + 1]` to `values[t + horizon]`.

    Parameters
    ----------
    table : SeriesTable
        All series, those that are only looked at included.
    horizon : int
        Periods ahead.
    targets : tuple of int
        Columns that are forecast; all by default.
    lookback : int
        Rows, the origin's included, that an origin needs behind it.

    Raises
    ------
    InputError
        For a horizon or look-back that the table is too short for.
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
                f"expected targets among columns 0 to {len(self.table.names) - 1}; found {list(self.targets)}; mend it"
            )
        if self.horizon < 1 or self.lookback < 1 or self.lookback + self.horizon > len(self.table):
            raise InputError(
                "expected a look-back and a horizon of at least 1 that fit into the series; found "
                f"{self.lookback} and {self.horizon}, and {len(self.table)} rows; give longer series"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The series that are forecast, k of them."""
        return tuple(self.table.names[i] for i in self.targets)

    @property
    def values(self) -> NDArray[np.float64]:
        """Their values, shape (n, k)."""
        return self.table.values[:, list(self.targets)]

    def actual(self, origins: range | NDArray[np.int64]) -> NDArray[np.float64]:
        """Return what came after some origins, shape (n, horizon, k); NaN beyond the end of the table."""
        rows = np.asarray(origins, dtype=np.int64)[:, None] + np.arange(1, self.horizon + 1)
        known = rows < len(self.table)
        return np.where(known[:, :, None], self.values[np.where(known, rows, 0)], np.nan)

    def last(self, origins: range | NDArray[np.int64]) -> NDArray[np.float64]:
        """Return values at some origins, shape (n, k): what persistence forecasts."""
        return self.values[np.asarray(origins, dtype=np.int64)]

    def target_dates(self, origins: range | NDArray[np.int64]) -> NDArray[np.datetime64]:
        """Return dates that some origins forecast, shape (n, horizon).

        Beyond the end of the table they are the next ones of its frequency, see `SeriesTable.next_dates`.
        """
        rows = np.asarray(origins, dtype=np.int64)[:, None] + np.arange(1, self.horizon + 1)
        return np.asarray(self.ahead[rows])

    def is_live(self, origins: range | NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which target periods of some origins lie after the last row, shape (n, horizon)."""
        rows = np.asarray(origins, dtype=np.int64)[:, None] + np.arange(1, self.horizon + 1)
        return np.asarray(rows >= len(self.table))

    @property
    def ahead(self) -> NDArray[np.datetime64]:
        """Dates of the table and of the `horizon` periods after it, shape (n + horizon,)."""
        return np.concatenate([self.table.dates, self.table.next_dates(self.horizon)])

    def retraining_due(self, walk_forward: WalkForward) -> bool:
        """Tell whether the period after the last row begins a test slice, for which nothing is trained yet."""
        first = self.lookback - 1
        cuts = make_folds(self.ahead[1 : len(self.table) + 1], walk_forward, first=first)
        return len(cuts[-1].test) == 1 and cuts[-1].test.start == len(self.table) - 1

    def folds(self, walk_forward: WalkForward) -> tuple[SeriesFold, ...]:
        """Cut the origins.

        Slices are of the dates that are forecast, one period ahead: `walk_forward.test_start` is the first of them in
        the first test slice, forecast at the end of the period before. Lengths in numbers count rows. The last origin
        that is scored is the last but one row; the last row is a live origin of the last fold, whose networks and
        baselines forecast it, also where the next fold would begin there: nothing is trained for it alone. Training
        origins have `lookback` rows.

        Raises
        ------
        InputError
            When history holds no whole fold, or the horizon leaves nothing of a slice.
        """
        dates, first = self.table.dates[1:], self.lookback - 1
        if (start := as_day(walk_forward.test_start, name="walk_forward.test_start")) > dates[-1]:
            raise InputError(
                f"expected series beyond walk_forward.test_start = {start}; found them up to {dates[-1]}; give longer "
                "series or start earlier"
            )
        purge = self.horizon - 1  # origins whose last period ends after the next slice has begun
        folds = []
        for cut in make_folds(dates, walk_forward, first=first):
            train = range(cut.train.start, cut.train.stop - purge)
            validation = range(cut.validation.start, cut.validation.stop - purge)
            for name, span in (("train", train), ("validation", validation)):
                if not span:
                    raise InputError(
                        f"expected walk_forward.{name} longer than forecast.horizon less one; found no origin whose "
                        f"{self.horizon} periods are over in time for the fold that is tested from "
                        f"{dates[cut.test.start]}; lengthen it or shorten the horizon"
                    )
            both = range(train.start, validation.stop)
            live = range(len(dates), len(dates) + 1) if cut.test.stop == len(dates) else range(0)
            folds.append(SeriesFold(cut.number, train, validation, cut.test, both, live))
        return tuple(folds)
