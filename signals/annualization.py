"""Annualization: sessions a year by calendar, and periods a year by the frequency of a dated series."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.calendar import check_calendar, sessions
from signals.common.errors import InputError

__all__ = ["Periodicity", "frequency_of", "periodicity_of", "sessions_per_year"]

# The table: the round numbers of the field where it has them, else the mean number of sessions over these ten years.
FIXED = {"XNYS": 252.0, "24/7": 365.0}
PERIODS = {"weekly": 52.0, "monthly": 12.0}
YEARS = range(2010, 2020)
# For a calendar that does not cover all of these years, the whole years that it covers, up to this one.
LAST_YEAR = 2024

DEFAULT = "XNYS"

# Share of the steps of a daily series that go to the next session, and of the steps of a weekly or monthly series that
# go to the next week or month: some weeks have no session at all.
CONSECUTIVE, REGULAR = 0.8, 0.9
# Largest shares of dates that are not sessions, and of steps that leave sessions out, for a series to be of a calendar.
NON_SESSIONS, MISSING_STEPS = 0.01, 0.05

Days = NDArray[np.int64]

_NOUNS = {"daily": ("day", "session"), "weekly": ("week", "week"), "monthly": ("month", "month")}


@dataclass(frozen=True, slots=True)
class Periodicity:
    """Frequency of a series of returns, and the number of periods in a year.

    Parameters
    ----------
    frequency : {"daily", "weekly", "monthly", "other"}
        Distance of the dates; `"other"` only where `periods_per_year` was given.
    periods_per_year : float
        Factor of annual figures.
    calendar : str, optional
        Exchange calendar of a daily series; None where it does not matter.
    """

    frequency: str
    periods_per_year: float
    calendar: str | None = None

    def periods(self, months: float) -> int:
        """Periods in so many months, by the same table; at least 2.

        >>> Periodicity("daily", 252.0, "XNYS").periods(6), Periodicity("weekly", 52.0).periods(6)
        (126, 26)
        """
        return max(2, round(self.periods_per_year * months / 12.0))

    @property
    def noun(self) -> str:
        """Name of one period: day, week, month or period."""
        return _NOUNS.get(self.frequency, ("period", "period"))[0]

    @property
    def adjective(self) -> str:
        """Kind of the returns, for the start of a sentence part: daily, weekly, monthly, or per-period."""
        return self.frequency if self.frequency in _NOUNS else "per-period"

    @property
    def counted(self) -> str:
        """Name of several periods: sessions, weeks, months or periods."""
        return _NOUNS.get(self.frequency, ("period", "period"))[1] + "s"

    @property
    def stated(self) -> str:
        """Number of periods in a year, as text.

        >>> Periodicity("daily", 244.9, "XTKS").stated
        '244.9 sessions a year (XTKS)'
        """
        place = f" ({self.calendar})" if self.calendar and self.calendar != DEFAULT else ""
        return f"{self.periods_per_year:,.10g} {self.counted} a year{place}"


def sessions_per_year(calendar: str = DEFAULT) -> float:
    """Sessions a year of an exchange calendar, by a fixed table.

    Parameters
    ----------
    calendar : str
        Name of an exchange calendar of exchange_calendars, or an alias.

    Returns
    -------
    float
        252 for New York (and every US exchange with its calendar), 365 for `"24/7"`, else the mean number of sessions a
        year from 2010 to 2019. For calendars that begin later it is the mean of the whole years they cover up to 2024.

    Raises
    ------
    InputError
        For an unknown calendar, and one that covers none of these years.

    Examples
    --------
    >>> sessions_per_year("XNAS"), sessions_per_year("24/7"), sessions_per_year("XTKS")
    (252.0, 365.0, 244.9)
    """
    import exchange_calendars as xc

    check_calendar(calendar)
    return _mean_sessions(xc.resolve_alias(calendar))


@lru_cache(maxsize=128)
def _mean_sessions(calendar: str) -> float:
    if calendar in FIXED:
        return FIXED[calendar]
    whole = _count(calendar, YEARS[0], YEARS[-1])
    if whole is not None:
        return whole / len(YEARS)
    known = [count for year in range(YEARS[0], LAST_YEAR + 1) if (count := _count(calendar, year, year)) is not None]
    if not known:
        raise InputError(
            f"expected a calendar that is known for a year from {YEARS[0]} to {LAST_YEAR}, to count its sessions; "
            f"found {calendar}; give periods_per_year"
        )
    return float(np.mean(known))


def _count(calendar: str, first: int, last: int) -> int | None:
    try:
        return len(sessions(f"{first}-01-01", f"{last}-12-31", calendar))
    except (InputError, NotImplementedError):
        return None


def periodicity_of(
    dates: pd.DatetimeIndex,
    *,
    calendar: str | None = None,
    periods_per_year: float | None = None,
    what: str = "returns",
) -> Periodicity:
    """Recognise the frequency of a series from its dates, and give the number of its periods in a year.

    Parameters
    ----------
    dates : DatetimeIndex
        Ascending, each once; sessions at midnight, with or without a time zone.
    calendar : str, optional
        Exchange calendar of a daily series. Without it a series with a value on every calendar day is of `"24/7"`, and
        one on the sessions of New York, or on every weekday, is of `"XNYS"`; another one is refused.
    periods_per_year : float, optional
        Factor of annual figures, instead of the table's.
    what : str
        Name of the series in messages.

    Returns
    -------
    Periodicity
        52 periods a year for weekly series, 12 for monthly ones, and `sessions_per_year` for daily ones. A single date
        counts as daily.

    Raises
    ------
    InputError
        When neither the dates nor the arguments decide.

    Examples
    --------
    >>> periodicity_of(pd.date_range("2020-01-03", periods=30, freq="7D"))
    Periodicity(frequency='weekly', periods_per_year=52.0, calendar=None)
    >>> periodicity_of(pd.date_range("2020-01-01", periods=30)).periods_per_year
    365.0
    """
    if calendar is not None:
        check_calendar(calendar)
    frequency = frequency_of(dates, calendar=calendar)
    if periods_per_year is not None:
        number = isinstance(periods_per_year, int | float | np.integer | np.floating)
        if not number or isinstance(periods_per_year, bool) or not 0 < float(periods_per_year) < math.inf:
            raise InputError(
                f"expected periods_per_year as a number above 0; found {periods_per_year!r}; give 252 for sessions of "
                "New York"
            )
        return Periodicity(frequency or "other", float(periods_per_year), calendar)
    if frequency in PERIODS:
        return Periodicity(frequency, PERIODS[frequency])
    if frequency == "daily":
        calendar = calendar or _calendar_of(dates, what)
        return Periodicity("daily", sessions_per_year(calendar), calendar)
    step = int(np.median(np.diff(_days(dates))))
    of = f"of {calendar} " if calendar else ""
    raise InputError(
        f"expected {what} for every session {of}from the first to the last, or for every week or month; found "
        f"{len(dates):,} dates from {dates[0]:%Y-%m-%d} to {dates[-1]:%Y-%m-%d}, usually {step} day{'s' * (step != 1)} "
        f"apart; fill the gaps, or give {'another calendar or ' if calendar else ''}periods_per_year"
    )


def frequency_of(dates: pd.DatetimeIndex, *, calendar: str | None = None) -> str | None:
    """Recognise daily, weekly and monthly dates.

    Parameters
    ----------
    dates : DatetimeIndex
        Ascending, each once.
    calendar : str, optional
        Exchange calendar of daily dates; by default weekdays, or all days where there are dates on weekends.

    Returns
    -------
    str or None
        `"daily"` when four steps in five go to the next session; `"weekly"` and `"monthly"` when no week or month has
        two dates and nine steps in ten go to the next one; None for anything else.
    """
    days = _days(dates)
    if len(days) < 2:
        return "daily"
    if (_steps(days, calendar) <= 1).mean() >= CONSECUTIVE:
        return "daily"
    usual = float(np.median(np.diff(days)))
    for name, period, shortest, longest in (
        ("weekly", (days + 3) // 7, 5, 9),  # 1970-01-01 was a Thursday
        ("monthly", days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64), 25, 35),
    ):
        steps = np.diff(period)
        if shortest <= usual <= longest and steps.min() >= 1 and (steps == 1).mean() >= REGULAR:
            return name
    return None


def _days(dates: pd.DatetimeIndex) -> Days:
    naive = dates.tz_localize(None)
    return np.asarray(naive.to_numpy().astype("datetime64[D]").astype(np.int64))


def _steps(days: Days, calendar: str | None) -> Days:
    """Sessions from each date to the next one; without a calendar weekdays, or days where there are weekends."""
    stamps = days.astype("datetime64[D]")
    held = _sessions(stamps[0], stamps[-1], calendar or DEFAULT)
    if calendar is None and ((days + 3) % 7 >= 5).any():
        return np.diff(days)
    if calendar is not None and held is not None:
        return np.diff(np.searchsorted(held, stamps))
    weekdays = np.busday_count(stamps[:-1], stamps[1:])
    return np.asarray(weekdays if held is None else np.minimum(weekdays, np.diff(np.searchsorted(held, stamps))))


def _sessions(first: np.datetime64, last: np.datetime64, calendar: str) -> NDArray[np.datetime64] | None:
    """Sessions of a calendar; None for years that it does not cover."""
    try:
        return sessions(first, last, calendar)
    except InputError:
        return None


def _calendar_of(dates: pd.DatetimeIndex, what: str) -> str:
    """Recognise the calendar of daily dates when none is given."""
    days = _days(dates)
    weekday = (days + 3) % 7
    stamps = days.astype("datetime64[D]")
    held = _sessions(stamps[0], stamps[-1], DEFAULT)
    if (weekday >= 5).any():
        if (np.diff(days) > 1).mean() <= MISSING_STEPS:
            return "24/7"
        example = stamps[weekday >= 5][0]
    else:
        weekdays = np.busday_count(stamps[:-1], stamps[1:])
        if held is None or len(days) < 2 or (weekdays > 1).mean() <= NON_SESSIONS:
            return DEFAULT
        not_sessions = ~np.isin(stamps, held)
        gaps = np.diff(np.searchsorted(held, stamps)) > 1
        if not_sessions.mean() <= NON_SESSIONS and gaps.sum() <= max(1.0, MISSING_STEPS * len(days)):
            return DEFAULT
        example = stamps[not_sessions][0] if not_sessions.any() else held[~np.isin(held, stamps)][0]
    closed = held is None or example not in held
    raise InputError(
        f"expected {what} on the sessions of XNYS, on every weekday or on every day; found other dates (on {example} "
        f"XNYS was {'closed' if closed else 'open, and there is no value'}); give calendar, such as calendar = "
        '"XLON", or periods_per_year'
    )
