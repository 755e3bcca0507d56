"""Features of the date alone: equal for all tickers, and known in advance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from signals.calendar import planned_sessions
from signals.data.panel import PricePanel
from signals.features.feature import date_feature

__all__ = [
    "Schedule",
    "days_to_month_end",
    "month_cos",
    "month_sin",
    "read_schedule",
    "turn_of_month",
    "weekday_cos",
    "weekday_sin",
]

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """Position of decision dates in their week, month and year; arrays of shape (n_dates,).

    Parameters
    ----------
    month : ndarray of int64
        0 for January.
    weekday : ndarray of int64
        0 for Monday.
    passed : ndarray of int64
        Sessions of the month up to and including the date.
    left : ndarray of int64
        Sessions of the month after the date, as scheduled beforehand: at the close of 10 September 2001 it was not
        known that the next four would be cancelled.
    """

    month: NDArray[np.int64]
    weekday: NDArray[np.int64]
    passed: NDArray[np.int64]
    left: NDArray[np.int64]


def read_schedule(panel: PricePanel, decisions: NDArray[np.int64]) -> Schedule:
    """Look decision dates up in the exchange calendar of the prices."""
    days = panel.dates[decisions].astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    first, after = months.astype("datetime64[D]"), (months + np.timedelta64(1, "M")).astype("datetime64[D]")
    held, planned = planned_sessions(first[0], after[-1] - np.timedelta64(1, "D"), panel.calendar)
    return Schedule(
        month=months.astype(np.int64) % 12,
        weekday=(days.astype(np.int64) + 3) % 7,  # 1970-01-01 was a Thursday
        passed=np.searchsorted(held, days, side="right") - np.searchsorted(held, first),
        left=np.searchsorted(planned, after) - np.searchsorted(planned, days, side="right"),
    )


@date_feature("month_sin")
def month_sin(dates: Schedule) -> Values:
    """Sine of the month on a circle of twelve, January at 0; no unit, between −1 and 1."""
    return np.asarray(np.sin(2 * np.pi * dates.month / 12))


@date_feature("month_cos")
def month_cos(dates: Schedule) -> Values:
    """Cosine of the month on a circle of twelve, January at 1; no unit, between −1 and 1."""
    return np.asarray(np.cos(2 * np.pi * dates.month / 12))


@date_feature("weekday_sin")
def weekday_sin(dates: Schedule) -> Values:
    """Sine of the weekday on a circle of seven, Monday at 0; no unit; nearly constant at weekly frequency."""
    return np.asarray(np.sin(2 * np.pi * dates.weekday / 7))


@date_feature("weekday_cos")
def weekday_cos(dates: Schedule) -> Values:
    """Cosine of the weekday on a circle of seven, Monday at 1; no unit; nearly constant at weekly frequency."""
    return np.asarray(np.cos(2 * np.pi * dates.weekday / 7))


@date_feature("turn_of_month", last=1, first=3)
def turn_of_month(dates: Schedule, last: int, first: int) -> Values:
    """1 when the date is one of the `last` scheduled sessions of its month or the `first` ones, else 0.

    References
    ----------
    Lakonishok and Smidt (1988), "Are seasonal anomalies real? A ninety-year perspective", Review of Financial
    Studies 1.
    """
    return ((dates.left < last) | (dates.passed <= first)).astype(np.float64)


@date_feature("days_to_month_end")
def days_to_month_end(dates: Schedule) -> Values:
    """Sessions left in the month after the date, as scheduled beforehand; 0 on the last one."""
    return dates.left.astype(np.float64)
