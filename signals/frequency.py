"""Frequency of dated rows, missing periods, and the dates that follow the last row."""

from __future__ import annotations

import datetime as dt
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signals.calendar import EARLIEST, sessions
from signals.common.errors import InputError

__all__ = ["Frequency", "frequency_of", "listed_periods", "missing_periods", "next_dates", "no_dates"]

Days = NDArray[np.datetime64]
Whole = NDArray[np.int64]

# Calendars that are tried, in this order, for the weekdays on which a daily series has no row.
CALENDARS = ("XNYS", "XLON", "XPAR", "XETR", "XTSE", "XSWX", "XTKS", "XHKG", "XASX")
# Outside the years of calendars, closures of up to so many weekdays in a row are holidays: four in September 2001.
CLOSED = 4
# Days that a file lists without a figure are holidays up to so many in a row; the New Year of China takes seven.
BLANK = 10

DAYS_A_MONTH = 365.25 / 12
NAMES = {1: "monthly", 3: "quarterly", 12: "annual"}


@dataclass(frozen=True, slots=True)
class Frequency:
    """Distance between dated rows, see `frequency_of`.

    Parameters
    ----------
    name : str
        `"daily"`, `"weekly"`, `"monthly"`, `"quarterly"`, `"annual"`, or like `"every 14 days"`.
    unit : {"day", "week", "month"}
        What `step` counts.
    step : int
        Units from one row to the next.
    weekdays : tuple of int
        Of daily rows: days of the week (0 is Monday) that have rows; all seven of prices around the clock.
    calendar : str
        Of daily rows: exchange calendar whose holidays have no row; empty where none explains them.
    """

    name: str
    unit: str
    step: int
    weekdays: tuple[int, ...] = ()
    calendar: str = ""

    def period_name(self, day: np.datetime64) -> str:
        """Name the period that a day lies in: a day, the Monday of a week, a month, quarter or year.

        >>> Frequency("quarterly", "month", 3).period_name(np.datetime64("2001-07-01"))
        '2001 Q3'
        """
        if self.unit == "week":
            return f"the week of {day - np.timedelta64(int(_weekday(day)), 'D')}"
        if self.unit == "day":
            return str(day)
        month = day.astype("datetime64[M]")
        if self.step % 12 == 0:
            return str(day.astype("datetime64[Y]"))
        return f"{str(month)[:4]} Q{(int(_month(day)) % 12) // 3 + 1}" if self.step == 3 else str(month)


def no_dates() -> Days:
    """Make an empty array of dates."""
    return np.array([], dtype="datetime64[D]")


def frequency_of(dates: Days, calendar: str | None = None) -> Frequency:
    """Recognise the frequency of rows from their dates.

    Parameters
    ----------
    dates : ndarray of datetime64[D], shape (n,)
        Ascending; n >= 1.
    calendar : str, optional
        Exchange calendar of daily rows. By default the weekdays that have rows (all seven where weekends do), without
        the holidays of one exchange: among those on most of whose holidays there is no row, the one that explains the
        most weekdays without a row.

    Returns
    -------
    Frequency
        Frequency of the lower median of the distances between rows, so that gaps change nothing as long as they are
        fewer than half of the rows.

    Raises
    ------
    InputError
        For a calendar with rows that are not daily, an unknown calendar, and rows on days that are not its sessions.
    """
    steps: Whole = np.diff(dates.astype("datetime64[D]").astype(np.int64)).astype(np.int64)
    step = int(np.sort(steps)[(len(steps) - 1) // 2]) if len(steps) else 1
    if calendar is not None:
        if step > 4:
            raise InputError(
                f"expected daily rows with a calendar; found rows {step} days apart and calendar {calendar!r}; leave "
                "calendar out"
            )
        held = sessions(dates[0], dates[-1], calendar)
        if (odd := ~np.isin(dates, held)).any():
            raise InputError(
                f"expected rows on sessions of {calendar}; found {dates[odd][0]}, when it was closed; name the "
                "calendar of the series, or leave calendar out"
            )
        return Frequency("daily", "day", 1, (), calendar)
    if step == 1:
        weekdays = _weekdays_with_rows(dates)
        return Frequency("daily", "day", 1, weekdays, _observed_calendar(dates, weekdays))
    if 6 <= step <= 8:
        return Frequency("weekly", "week", 1)
    months = max(round(step / DAYS_A_MONTH), 1)
    whole_weeks = step % 7 == 0 and not np.any(steps % step) and not (_day_of_month(dates) == 1).all()
    if step >= 28 and abs(step - months * DAYS_A_MONTH) <= 4 and not whole_weeks:
        return Frequency(NAMES.get(months, f"every {months} months"), "month", months)
    return Frequency(f"every {step} days", "day", step)


def missing_periods(dates: Days, frequency: Frequency, closed: Days | None = None) -> tuple[Whole, Days]:
    """Find the periods between the first and the last row that have no row.

    Parameters
    ----------
    dates : ndarray of datetime64[D], shape (n,)
        Ascending.
    frequency : Frequency
        Frequency of the rows.
    closed : ndarray of datetime64[D], optional
        Days known to have no figure, such as holidays that a file lists with a blank.

    Returns
    -------
    after : ndarray of int64, shape (m,)
        Row that each missing period follows.
    periods : ndarray of datetime64[D], shape (m,)
        The date its row would have, ascending.
    """
    if len(dates) < 2:
        return np.zeros(0, np.int64), no_dates()
    if frequency.unit == "day" and frequency.step == 1:
        days = _absent(dates, frequency, holidays=True)
        if closed is not None and len(closed):
            days = days[~(np.isin(days, closed) & (_run_lengths(dates, days) <= BLANK))]
        return np.searchsorted(dates, days) - 1, days
    distance = np.diff(dates).astype(np.int64)
    if frequency.unit == "day":
        steps = np.round(distance / frequency.step).astype(np.int64)
        usual = float(frequency.step)
    elif frequency.unit == "week":
        steps, usual = np.diff(_week(dates)), 7.0
    else:
        steps = np.round(np.diff(_month(dates)) / frequency.step).astype(np.int64)
        usual = frequency.step * DAYS_A_MONTH
    # a row that is dated late in its own period, and the next one early, leave none out
    wide = np.flatnonzero((steps > 1) & (distance > 1.5 * usual))
    after = np.repeat(wide, steps[wide] - 1)
    number = np.concatenate([np.arange(1, steps[row]) for row in wide]) if len(wide) else np.zeros(0, np.int64)
    return after, _moved(dates, after, number, frequency)


def next_dates(dates: Days, count: int, frequency: Frequency) -> Days:
    """Dates of the rows that follow the last one.

    Days of a daily series are the weekdays that have rows, less the holidays of its calendar as far as that is known:
    to the end of next year. A week's date is its most frequent weekday; a month's, quarter's or year's is its first or
    last day or weekday where all rows have that, else the most frequent day of the month.

    >>> months = np.array(["2001-01-31", "2001-02-28", "2001-03-31"], dtype="datetime64[D]")
    >>> next_dates(months, 2, frequency_of(months))
    array(['2001-04-30', '2001-05-31'], dtype='datetime64[D]')
    """
    last = dates[-1]
    if frequency.unit == "day" and frequency.step == 1:
        # no calendar is closed for half of the time
        until = last + np.timedelta64(4 * count + 30, "D")
        days = np.arange(last + np.timedelta64(1, "D"), until)
        if frequency.weekdays:
            days = days[np.isin(_weekday(days), frequency.weekdays)]
        if frequency.calendar:
            days = days[~_closed(days, frequency.calendar, weekends=not frequency.weekdays)]
        return days[:count]
    return _moved(dates, np.full(count, len(dates) - 1), np.arange(1, count + 1), frequency)


def listed_periods(periods: Days, frequency: Frequency, most: int = 3) -> str:
    """Name periods in a message, the first few of them.

    >>> listed_periods(np.array(["2001-09-01", "2001-10-01"], "datetime64[D]"), Frequency("monthly", "month", 1))
    '2001-09 and 2001-10'
    """
    names = [frequency.period_name(day) for day in periods[:most]]
    if len(periods) > most:
        return f"{', '.join(names)} and {len(periods) - most:,} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


# -- days --------------------------------------------------------------------------------------------------------------


def _absent(dates: Days, frequency: Frequency, *, holidays: bool = False) -> Days:
    """Find expected days without a row; with `holidays`, less those on which the calendar is closed."""
    days = np.arange(dates[0], dates[-1] + np.timedelta64(1, "D"))
    if frequency.weekdays:
        days = days[np.isin(_weekday(days), frequency.weekdays)]
    days = np.setdiff1d(days, dates)
    if holidays and len(days) and frequency.calendar:
        days = days[~_closed(days, frequency.calendar, weekends=not frequency.weekdays)]
    if holidays and len(days) and frequency.weekdays and len(frequency.weekdays) < 7:
        outside = (days < EARLIEST) | (days > _latest())
        days = days[~(outside & (_run_lengths(dates, days) <= CLOSED))]
    return days


def _weekdays_with_rows(dates: Days) -> tuple[int, ...]:
    """Find the days of the week that have rows in half of the weeks; of less than 15 rows, Monday to Friday or all."""
    counts = np.bincount(_weekday(dates), minlength=7)
    if len(dates) < 15:
        return tuple(range(7 if counts[5:].any() else 5))
    usual = float(np.median(np.sort(counts)[::-1][:5]))
    return tuple(int(day) for day in np.flatnonzero(counts >= 0.5 * usual))


def _observed_calendar(dates: Days, weekdays: tuple[int, ...]) -> str:
    """Calendar whose holidays have no row; empty where every weekday has one, or no calendar is followed."""
    expected = np.arange(dates[0], dates[-1] + np.timedelta64(1, "D"))
    expected = expected[np.isin(_weekday(expected), weekdays)]
    missing = np.setdiff1d(expected, dates)
    best, fewest = "", len(missing)
    if not fewest or not set(weekdays) <= set(range(5)):
        return best
    for name in CALENDARS:
        try:
            holidays = expected[_closed(expected, name, federal=False)]
            open_days = int((~_closed(missing, name)).sum())
        except InputError:  # a calendar that does not go back so far
            continue
        # a day that is missing by accident may be a holiday somewhere
        followed = 2 * int(np.isin(holidays, missing).sum()) >= max(len(holidays), 1)
        if followed and open_days < fewest:
            best, fewest = name, open_days
            if not open_days:
                break
    return best


def _closed(days: Days, calendar: str, *, weekends: bool = False, federal: bool = True) -> NDArray[np.bool_]:
    """Whether an exchange is closed on each day; outside the years of its calendar, only on `weekends`.

    In New York, holidays of the US bond market and the Federal Reserve count too, if `federal`.
    """
    known = (days >= EARLIEST) & (days <= _latest())
    closed = np.isin(_weekday(days), (5, 6)) if weekends else np.zeros(len(days), dtype=bool)
    if known.any():
        closed[known] = ~np.isin(days[known], sessions(days[known][0], days[known][-1], calendar))
        if calendar == "XNYS" and federal and not weekends:
            closed |= np.isin(days, _federal_holidays(days[0], days[-1]))
    return closed


def _federal_holidays(first: np.datetime64, last: np.datetime64) -> Days:
    from pandas.tseries.holiday import USFederalHolidayCalendar

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas uses names there that it has deprecated itself
        holidays: Any = USFederalHolidayCalendar().holidays(str(first), str(last))
    return np.asarray(holidays.to_numpy().astype("datetime64[D]"))


def _latest() -> np.datetime64:
    return np.datetime64(f"{dt.date.today().year + 1}-12-31", "D")


def _run_lengths(dates: Days, days: Days) -> Whole:
    """Count the missing days between the same two rows, for each of them."""
    _, inverse, counts = np.unique(np.searchsorted(dates, days), return_inverse=True, return_counts=True)
    return np.asarray(counts[inverse])


# -- periods -----------------------------------------------------------------------------------------------------------


def _moved(dates: Days, rows: Whole, number: Whole, frequency: Frequency) -> Days:
    """Dates so many periods after some rows."""
    if frequency.unit == "day":
        return np.asarray(dates[rows] + (number * frequency.step).astype("timedelta64[D]"))
    if frequency.unit == "week":
        usual = int(np.bincount(_weekday(dates), minlength=7).argmax())
        return _monday(_week(dates[rows]) + number) + np.timedelta64(usual, "D")
    return _in_months(_month(dates[rows]) + number * frequency.step, dates)


def _in_months(months: Whole, dates: Days) -> Days:
    """Date within each month by the rule that all rows follow."""
    own = _month(dates)
    for rule in (_first, _last, _last_weekday, _first_weekday):
        if (rule(own) == dates).all():
            return rule(months)
    day = int(np.bincount(_day_of_month(dates)).argmax())
    return np.asarray(np.minimum(_first(months) + np.timedelta64(day - 1, "D"), _last(months)))


def _first(months: Whole) -> Days:
    return np.asarray(months.astype("datetime64[M]").astype("datetime64[D]"))


def _last(months: Whole) -> Days:
    return _first(months + 1) - np.timedelta64(1, "D")


def _first_weekday(months: Whole) -> Days:
    return np.asarray(np.busday_offset(_first(months), 0, roll="forward"))


def _last_weekday(months: Whole) -> Days:
    return np.asarray(np.busday_offset(_last(months), 0, roll="backward"))


def _weekday(days: Any) -> Any:
    return (np.asarray(days).astype("datetime64[D]").astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday


def _week(days: Days) -> Whole:
    return np.asarray((days.astype("datetime64[D]").astype(np.int64) + 3) // 7)


def _monday(weeks: Whole) -> Days:
    return np.asarray((weeks * 7 - 3).astype("datetime64[D]"))


def _month(days: Any) -> Any:
    return np.asarray(days).astype("datetime64[M]").astype(np.int64)


def _day_of_month(days: Days) -> Whole:
    return np.asarray((days - days.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64) + 1)
