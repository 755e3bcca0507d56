"""Sessions of exchanges, decision dates and calendar offsets.

Calendars are those of exchange_calendars; results never depend on the date on which a user's data end.
"""

from __future__ import annotations

import datetime as dt
import difflib
import re
import warnings
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signals.common.errors import InputError

__all__ = [
    "FREQUENCIES",
    "add_offset",
    "as_day",
    "check_calendar",
    "decision_dates",
    "planned_sessions",
    "session_closes",
    "sessions",
]

FREQUENCIES = ("daily", "weekly", "monthly")

# Daily bars of the usual vendors begin here; an earlier date is nearly always a date that was misread.
EARLIEST = np.datetime64("1962-01-01", "D")

Days = NDArray[np.datetime64]


def as_day(value: Any, *, name: str = "date") -> np.datetime64:
    """Turn a date given as text, `datetime`, `Timestamp` or `datetime64` into a day.

    Parameters
    ----------
    value : str, datetime.date, pandas.Timestamp or numpy.datetime64
        A calendar day without time zone; a time of day is refused, since labels are sessions.
    name : str
        Name of the value in the error message.

    Returns
    -------
    numpy.datetime64
        In days.

    Raises
    ------
    InputError
        When it is not a date.

    >>> as_day("2011-01-03")
    np.datetime64('2011-01-03')
    """
    bad = InputError(f"expected {name} to be a date like 2011-01-03; found {value!r}; write year-month-day")
    if isinstance(value, bool | int | float):
        raise bad
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        raise bad
    try:
        given = value if isinstance(value, str | np.datetime64) else value.isoformat()
        # "2011" and "2011-01" parse too, but which day was meant is a guess; "NaT" would be a date without a unit
        if isinstance(given, str) and len(given) < 10:
            raise bad
        exact = np.datetime64(given)
        day = exact.astype("datetime64[D]")
    except (AttributeError, TypeError, ValueError):
        raise bad from None
    if np.isnat(day) or day != exact:
        raise bad
    return np.datetime64(day)


def sessions(start: Any, end: Any, calendar: str = "XNYS") -> Days:
    """Days on which an exchange was, or will be, open.

    Parameters
    ----------
    start, end : date-like
        First and last day, both inclusive; they need not be sessions.
    calendar : str
        Name of an exchange calendar, `"XNYS"` for New York.

    Returns
    -------
    ndarray of datetime64[D]
        Ascending; a slice of whole calendar years, so that it cannot depend on `start` and `end` otherwise.

    Raises
    ------
    InputError
        For an unknown calendar (close matches are named), for days before 1962 or beyond the end of next year, and
        when `end` is before `start`.

    >>> sessions("2012-10-26", "2012-11-01")  # the storm of 29 and 30 October
    array(['2012-10-26', '2012-10-31', '2012-11-01'], dtype='datetime64[D]')
    """
    first, last = _span(start, end)
    days = _years(calendar, _year(first), _year(last))[0]
    return days[np.searchsorted(days, first) : np.searchsorted(days, last, side="right")]


def session_closes(days: Days, calendar: str = "XNYS") -> Days:
    """Moments at which sessions close; data published by then are known at the close of that day.

    Parameters
    ----------
    days : ndarray of datetime64, shape (n,)
        Sessions, in any order.
    calendar : str
        Name of an exchange calendar.

    Returns
    -------
    ndarray of datetime64[ns], shape (n,)
        In UTC (and naive, as NumPy has no zones); half days and daylight saving included.

    Raises
    ------
    InputError
        When one of the days is not a session, and as `sessions`.

    >>> session_closes(np.array(["2018-07-03", "2018-12-21"], dtype="datetime64[D]"))  # a half day; winter
    array(['2018-07-03T17:00:00.000000000', '2018-12-21T21:00:00.000000000'],
          dtype='datetime64[ns]')
    """
    wanted = np.asarray(days).astype("datetime64[D]")
    if not len(wanted):
        return np.array([], dtype="datetime64[ns]")
    first, last = _span(wanted.min(), wanted.max())
    known, closes = _year_closes(calendar, _year(first), _year(last))
    place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    if (odd := known[place] != wanted).any():
        raise InputError(
            f"expected sessions of {calendar}; found {wanted[int(np.argmax(odd))]}, when it was closed; choose sessions"
        )
    moments: Days = closes[place]
    return moments


def planned_sessions(start: Any, end: Any, calendar: str = "XNYS") -> tuple[Days, Days]:
    """Sessions that were held, and sessions as scheduled beforehand.

    Parameters
    ----------
    start, end, calendar
        As for `sessions`.

    Returns
    -------
    held, planned : ndarray of datetime64[D]
        Ascending. The second also has the days that were cancelled at short notice, see `decision_dates`.

    >>> held, planned = planned_sessions("2001-09-10", "2001-09-17")
    >>> len(held), len(planned)
    (2, 6)
    """
    first, last = _span(start, end)
    days, cancelled = _years(calendar, _year(first), _year(last))
    held, planned = (
        dates[np.searchsorted(dates, first) : np.searchsorted(dates, last, side="right")]
        for dates in (days, np.union1d(days, cancelled))
    )
    return held, planned


def exchange_zone(calendar: str = "XNYS") -> str:
    """Time zone of an exchange, by its IANA name.

    >>> exchange_zone("XTKS")
    'Asia/Tokyo'
    """
    year = dt.date.today().year
    return str(_exchange(calendar, year, year).tz)


def decision_dates(start: Any, end: Any, frequency: str = "weekly", calendar: str = "XNYS") -> Days:
    """Sessions at whose close decisions are made.

    Parameters
    ----------
    start, end : date-like
        Both inclusive.
    frequency : {"daily", "weekly", "monthly"}
        Every session, or the last session of each week (Monday to Sunday) or calendar month *as scheduled
        beforehand*.
    calendar : str
        Name of an exchange calendar.

    Returns
    -------
    ndarray of datetime64[D]
        A date is returned when it lies in [start, end] and is the scheduled last session of its whole period. An
        incomplete last period gives none, so dates never change when data are appended.

    Notes
    -----
    On the Monday before, it was not known that the exchange would stay closed from 11 to 14 September 2001, or on
    Friday 11 June 2004. When the scheduled last session of a period was cancelled like that, the period has no decision
    date, since choosing the session before it would use later information. exchange_calendars lists such closures for
    New York; on other exchanges it mixes them with announced holidays, and every closure is taken as scheduled.
    """
    first, last = _span(start, end)
    if frequency not in FREQUENCIES:
        raise InputError(
            f"expected a frequency among {', '.join(FREQUENCIES)}; found {frequency!r}"
            f"{_nearest(str(frequency), FREQUENCIES)}; choose one"
        )
    if frequency == "daily":
        return sessions(first, last, calendar)
    # Whole years up to the end of the last week, so that the period of every candidate is complete.
    sunday = last + np.timedelta64(6 - int(last.astype(np.int64) + 3) % 7, "D")
    days, cancelled = _years(calendar, _year(first), _year(sunday))
    planned = np.union1d(days, cancelled)
    if frequency == "weekly":
        period = (planned.astype(np.int64) + 3) // 7  # 1970-01-01 was a Thursday
    else:
        period = planned.astype("datetime64[M]").astype(np.int64)
    lasts = planned[np.append(period[1:] != period[:-1], True)]
    chosen: Days = lasts[(lasts >= first) & (lasts <= last) & np.isin(lasts, days)]
    return chosen


_OFFSET = re.compile(r"([1-9][0-9]{0,4})([YMWD])")


def add_offset(date: Any, offset: str, n: int = 1) -> np.datetime64:
    """Move a day by `n` calendar offsets.

    Parameters
    ----------
    date : date-like
        Where to start.
    offset : str
        A number and a unit: `"4Y"`, `"3M"`, `"26W"` or `"10D"` (calendar days).
    n : int
        How many offsets; negative goes back. Months and years are counted from `date` at once, so that repeated
        steps cannot drift, and end at the last day of a shorter month.

    Returns
    -------
    numpy.datetime64
        In days.

    Raises
    ------
    InputError
        For a malformed offset.

    >>> add_offset("2008-02-29", "1Y"), add_offset("2011-01-03", "26W", -2)
    (np.datetime64('2009-02-28'), np.datetime64('2010-01-04'))
    """
    day = as_day(date)
    match = _OFFSET.fullmatch(offset) if isinstance(offset, str) else None
    if match is None:
        raise InputError(
            f"expected an offset like 4Y, 3M, 26W or 10D; found {offset!r}; write a whole number and one of Y, M, W, D"
        )
    count, unit = int(match[1]) * n, match[2]
    if unit in "WD":
        return np.datetime64(day + np.timedelta64(count * (7 if unit == "W" else 1), "D"))
    month = day.astype("datetime64[M]")
    target = month + np.timedelta64(count * (12 if unit == "Y" else 1), "M")
    last = (target + np.timedelta64(1, "M")).astype("datetime64[D]") - np.timedelta64(1, "D")
    return np.datetime64(min(target.astype("datetime64[D]") + (day - month.astype("datetime64[D]")), last))


def _span(start: Any, end: Any) -> tuple[np.datetime64, np.datetime64]:
    first, last = as_day(start, name="start"), as_day(end, name="end")
    if last < first:
        raise InputError(f"expected end on or after start; found start {first} and end {last}; exchange them")
    latest = np.datetime64(f"{dt.date.today().year + 1}-12-31", "D")
    if first < EARLIEST or last > latest:
        outside = first if first < EARLIEST else last
        raise InputError(
            f"expected dates from {EARLIEST} to {latest}, where exchange calendars are known; found {outside}; "
            "remove rows outside, or correct the date"
        )
    return first, last


def _year(day: np.datetime64) -> int:
    return int(day.astype("datetime64[Y]").astype(np.int64)) + 1970


@lru_cache(maxsize=64)
def _years(calendar: str, first: int, last: int) -> tuple[Days, Days]:
    """Sessions of whole years, and days that were planned as sessions and cancelled at short notice."""
    import exchange_calendars as xc

    exchange = _exchange(calendar, first, last)
    days = exchange.sessions.to_numpy().astype("datetime64[D]")
    cancelled = np.array([], dtype="datetime64[D]")
    if xc.resolve_alias(calendar) == "XNYS":
        adhoc = np.array([np.datetime64(day, "D") for day in exchange.adhoc_holidays], dtype="datetime64[D]")
        cancelled = np.unique(adhoc[(adhoc >= days[0]) & (adhoc <= days[-1])])
    days.setflags(write=False)
    return days, cancelled


@lru_cache(maxsize=64)
def _year_closes(calendar: str, first: int, last: int) -> tuple[Days, Days]:
    """Sessions of whole years, and the moment each of them closes, in UTC."""
    closes = _exchange(calendar, first, last).closes
    days = closes.index.to_numpy().astype("datetime64[D]")
    return days, closes.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("datetime64[ns]")


def check_calendar(calendar: Any) -> None:
    """Raise `InputError` for a value that is not the name of an exchange calendar.

    Raises
    ------
    InputError
        Naming close matches.
    """
    import exchange_calendars as xc

    known = xc.get_calendar_names()
    if calendar not in known:
        raise InputError(
            f"expected the name of an exchange calendar; found {calendar!r}{_nearest(str(calendar), known)}; "
            "New York is XNYS"
        )


def _exchange(calendar: str, first: int, last: int) -> Any:
    """Calendar of exchange_calendars over whole years."""
    import exchange_calendars as xc

    check_calendar(calendar)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # names that pandas 4 removes, in some of the calendars
            return xc.get_calendar(calendar, start=f"{first}-01-01", end=f"{last}-12-31")
    except ValueError as error:
        raise InputError(
            f"expected calendar {calendar} to cover the years {first} to {last}; exchange_calendars reports: "
            f"{str(error)[:160]}; use fewer years or another calendar"
        ) from error


def _nearest(word: str, known: tuple[str, ...] | list[str]) -> str:
    by_case = {name.lower(): name for name in known}
    close = difflib.get_close_matches(str(word).lower(), list(by_case), n=3, cutoff=0.5)
    return f" (close: {', '.join(by_case[name] for name in close)})" if close else ""
