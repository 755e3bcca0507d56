"""Validation of external return series, and their alignment with the sessions of an account.

Used for the `[benchmark]` table, `tear_sheet(benchmark=...)` and `compute_metrics(benchmark=...)`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.annualization import Periodicity, frequency_of
from signals.calendar import exchange_zone, session_closes, sessions
from signals.common.errors import InputError

__all__ = ["align_returns", "check_returns", "session_dates"]

# Largest plausible median of absolute daily returns; larger values are prices or percentages.
LARGEST_MEDIAN = 0.1
# Minimum number of values for the check of their median.
FEWEST = 20

_ORDER = {"daily": 0, "weekly": 1, "monthly": 2}

_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

Days = NDArray[np.datetime64]


def session_dates(index: Any, *, what: str = "returns", calendar: str | None = None) -> pd.DatetimeIndex:
    """Return the sessions that the time stamps of an index denote.

    Parameters
    ----------
    index : DatetimeIndex
        Naive or in any time zone, in order.
    what : str
        Name of the data in messages.
    calendar : str, optional
        Exchange calendar whose zone and closes are tried; New York by default.

    Returns
    -------
    DatetimeIndex named "date"
        The sessions at midnight UTC.

    Raises
    ------
    InputError
        When the index holds no dates, is not sorted, or holds other times of day.

    Notes
    -----
    A stamp denotes its own date when all stamps are midnights of the index's own zone (or naive midnights); else for
    the date in the zone of the exchange when they are midnights there; else for the UTC date when they are midnights
    in UTC; else for the session that closes at that moment when every stamp is a close of the calendar. Anything else,
    such as midnights of Berlin converted to UTC, could be either of two days and raises InputError.

    Examples
    --------
    >>> session_dates(pd.DatetimeIndex(["2024-03-01"], tz="Asia/Tokyo"))[0]
    Timestamp('2024-03-01 00:00:00+0000', tz='UTC')
    >>> session_dates(pd.DatetimeIndex(["2024-03-01 21:00"], tz="UTC"))[0]  # close of New York
    Timestamp('2024-03-01 00:00:00+0000', tz='UTC')
    """
    if not isinstance(index, pd.DatetimeIndex):
        raise InputError(f"expected {what} indexed by date; found an index of {index.dtype}; {_as_dates(index)}")
    if index.hasnans:
        raise InputError(
            f"expected a date for every value of {what}; found none in row {int(index.isna().argmax())}; drop it"
        )
    if not index.is_monotonic_increasing:
        raise InputError(f"expected {what} sorted by date; found dates that go back; use .sort_index()")
    days = _days_of(index, calendar or "XNYS")
    if days is None:
        _reject_repeated_dates(index.tz_localize(None).normalize(), what)
        off = index[int(np.argmax(index != index.normalize()))]
        zoned = "call .tz_convert(zone) with the zone whose midnights they are; " if index.tz is not None else ""
        raise InputError(
            f"expected {what} dated by session, at midnight; found {off}, which may belong to another day; {zoned}"
            "use index.normalize() where the date is that of the session"
        )
    return days.as_unit("ns").tz_localize("UTC").rename("date")


def _as_dates(index: Any) -> str:
    """Advice for the message on how to convert an index to dates."""
    if isinstance(index, pd.PeriodIndex):
        return "use .to_timestamp() on it"
    if isinstance(index, pd.MultiIndex):
        return "take one level of it, as .xs(name) does"
    if pd.api.types.is_integer_dtype(index.dtype) and len(index) and 17000101 <= index[0] <= 21991231:
        return "use pandas.to_datetime(index.astype(str))"
    return "use pandas.to_datetime on it"


def _days_of(index: pd.DatetimeIndex, calendar: str) -> pd.DatetimeIndex | None:
    """Naive dates of the stamps; None when they are ambiguous."""
    naive = index.tz_localize(None)
    if _midnights(naive):
        return naive
    if index.tz is None:
        return None
    local = index.tz_convert(exchange_zone(calendar)).tz_localize(None)
    moments = index.tz_convert("UTC").tz_localize(None)
    for stamps in (local, moments):
        if _midnights(stamps):
            return stamps
    days = local.normalize()
    try:
        closes = session_closes(days.to_numpy(), calendar)
    except InputError:
        return None
    return days if np.array_equal(closes, moments.as_unit("ns").to_numpy()) else None


def _midnights(stamps: pd.DatetimeIndex) -> bool:
    return bool((stamps == stamps.normalize()).all())


def _reject_repeated_dates(days: pd.DatetimeIndex, what: str) -> None:
    if not days.has_duplicates:
        return
    day = days[days.duplicated()][0]
    rows = int((days == day).sum())
    raise InputError(
        f"expected one return per session in {what}; found {rows} on {day:%Y-%m-%d}; drop the duplicates, or compound "
        "them: (1 + returns).groupby(returns.index.normalize()).prod() - 1"
    )


def check_returns(
    returns: Any,
    *,
    what: str = "returns",
    calendar: str | None = None,
    of_account: bool = True,
    periods_per_year: float = 252.0,
) -> pd.Series:
    """Check a series of simple returns and return it on midnights UTC.

    Parameters
    ----------
    returns : Series indexed by date
        Simple returns as fractions, one per session, week or month; see `session_dates` for the stamps.
    what : str
        Name of the series in messages.
    calendar : str, optional
        Exchange calendar of the dates, if known.
    of_account : bool
        Whether these are returns of an account, which may not contain NaN. Other returns may begin and end with NaN,
        where their value is not known.
    periods_per_year : float
        Number of returns a year, for the check of their size.

    Returns
    -------
    Series
        A copy in float64 on midnights UTC.

    Raises
    ------
    InputError
        For anything but a series of numbers, for dates that are not session dates, repeated dates, NaN, infinities, and
        values that look like prices or percentages.

    Examples
    --------
    >>> prices = pd.Series(100.0 + np.arange(30), index=pd.bdate_range("2024-01-01", periods=30))
    >>> check_returns(prices, what="benchmark returns")
    Traceback (most recent call last):
        ...
    signals.common.errors.InputError: expected benchmark returns as fractions ...; use .pct_change().dropna()
    """
    if isinstance(returns, pd.DataFrame):
        names = ", ".join(map(str, returns.columns[:3]))
        raise InputError(
            f"expected {what} as a Series; found a DataFrame with {returns.shape[1]} columns ({names}); pass one of "
            "them, such as frame.iloc[:, 0]"
        )
    if not isinstance(returns, pd.Series):
        raise InputError(f"expected {what} as a pandas Series; found {type(returns).__name__}; make it one, with dates")
    dates = session_dates(returns.index, what=what, calendar=calendar)
    _reject_repeated_dates(dates, what)
    kind = returns.dtype
    if not pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_bool_dtype(kind) or kind.kind == "c":
        percent = returns.map(lambda value: isinstance(value, str) and value.strip().endswith("%")).any()
        remedy = 'use .str.rstrip("% ").astype(float) / 100' if percent else "use .astype(float)"
        raise InputError(f"expected {what} as numbers; found {kind}; {remedy}")
    out = pd.Series(returns.to_numpy(dtype=np.float64, na_value=np.nan), index=dates, name=returns.name)
    out.attrs = dict(returns.attrs)
    values = out.to_numpy()
    _reject_values(np.isinf(values), out, what, "replace it, or drop the row")
    unknown = np.isnan(values)
    if not of_account and not unknown.all():
        known = np.flatnonzero(~unknown)
        unknown = unknown & (np.arange(len(values)) > known[0]) & (np.arange(len(values)) < known[-1])
    _reject_values(unknown, out, what, "fill it, or drop the row" if not of_account else "run the backtest again")
    _check_size(values[~np.isnan(values)], what, periods_per_year)
    return out


def _reject_values(odd: NDArray[np.bool_], series: pd.Series, what: str, remedy: str) -> None:
    if odd.any():
        at = int(np.argmax(odd))
        value = float(series.iloc[at])
        text = "NaN" if math.isnan(value) else f"{value:g}"
        raise InputError(
            f"expected {what} for every session as finite fractions; found {text} on {series.index[at]:%Y-%m-%d}; "
            f"{remedy}"
        )


def _check_size(values: NDArray[np.float64], what: str, periods_per_year: float) -> None:
    """Raise InputError for values that look like prices or percentages."""
    moved = np.abs(values[values != 0.0])
    if len(values) < 2 or not len(moved):
        return
    median = float(np.median(moved))
    small = len(values) < FEWEST
    limit = 1.0 if small else LARGEST_MEDIAN * math.sqrt(252.0 / periods_per_year)
    positive = bool((values > 0.0).all())
    if median <= limit or (small and not (positive and moved.min() > limit)):
        return
    meaning, remedy = ("prices", "use .pct_change().dropna()") if positive else ("percentages", "divide by 100")
    raise InputError(
        f"expected {what} as fractions of the value before, such as 0.01 for 1 %; found {median:.3g} as their median "
        f"size, which looks like {meaning}; {remedy}"
    )


def align_returns(
    other: pd.Series,
    dates: pd.DatetimeIndex,
    periodicity: Periodicity,
    *,
    what: str = "benchmark returns",
    bought_at_first_close: bool = False,
    calendar: str | None = None,
    known_until: Any = None,
) -> pd.Series:
    """Align checked comparison returns with the sessions of an account.

    Parameters
    ----------
    other : Series
        From `check_returns`. Leading NaN mean that its value is known from the last of these dates on.
    dates : DatetimeIndex
        Sessions of the account, or its weeks or months; midnights UTC.
    periodicity : Periodicity
        Frequency of the account's returns.
    what : str
        Name of `other` in messages.
    bought_at_first_close : bool
        Whether the account held nothing before its first close; `other` is then bought at that close too, and its first
        return is 0.
    calendar : str, optional
        Exchange calendar of `other`, if known.
    known_until : date-like, optional
        Last day for which `other` is known, when its exchange was closed on the last sessions of the account. By
        default the date of its last return, or the end of the following weekend if `other` has no returns on weekends.

    Returns
    -------
    Series
        On those sessions of the account that `other` covers, without gaps; empty when there are none. Each return is
        that of `other` since the previous session of the account: several returns are compounded (the exchange of
        `other` was open while that of the account was closed, or `other` is daily and the account weekly), and without
        a return it is 0 (the exchange of `other` was closed). Weekly and monthly returns belong to the account's week
        (Monday to Sunday) or month that contains their date.

    Raises
    ------
    InputError
        When `other` has fewer dates than the account, dates that are neither daily, weekly nor monthly, or weeks that
        end on another weekday.
    """
    own = _naive_days(dates)
    known = np.flatnonzero(other.notna().to_numpy())
    if not len(known) or not len(own):
        return other.iloc[:0].astype("float64")
    days = _naive_days(other.index)
    before = _session_before(own[0], periodicity)
    within = days[known]
    found = _check_frequency(within[(within > before) & (within <= own[-1])], own, periodicity, what, calendar)
    if found == periodicity.frequency and found in ("weekly", "monthly"):
        days = _same_periods(days, own, found, what)
    base = days[known[0] - 1] if known[0] > 0 else None
    days, values = days[known], other.to_numpy(dtype=np.float64)[known]
    inside = (days > before) & (days <= own[-1])
    if base is None:  # the first return covers the time since the previous session, or else since the previous day
        at = int(np.searchsorted(own, days[0]))
        on_session = at < len(own) and own[at] == days[0]
        base = (own[at - 1] if at else before) if on_session else days[0] - np.timedelta64(1, "D")
    last = _end_of_weekend(days) if known_until is None else np.datetime64(pd.Timestamp(known_until).date(), "D")
    previous = np.concatenate([[before], own[:-1]])
    whole = (previous >= base) & (own <= last)
    from_start = bought_at_first_close and base <= own[0] <= last
    whole[0] = whole[0] or from_start
    compounded = _compound(days[inside], values[inside], own)
    if from_start:
        compounded[0] = 0.0
    return pd.Series(compounded[whole], index=dates[whole], name=other.name)


def _naive_days(index: pd.DatetimeIndex) -> Days:
    return np.asarray(index.tz_localize(None).to_numpy().astype("datetime64[D]"))


def _end_of_weekend(days: Days) -> np.datetime64:
    """Last of the days, or the end of the following weekend when none of the days is on a weekend."""
    weekday = (days.astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday
    last, held = days[-1], set(weekday.tolist())
    while (nxt := (int(last.astype(np.int64)) + 4) % 7) in (5, 6) and nxt not in held:
        last = last + np.timedelta64(1, "D")
    return np.datetime64(last)


def _session_before(first: np.datetime64, periodicity: Periodicity) -> np.datetime64:
    """Last date before the first period of an account."""
    if periodicity.frequency == "weekly":
        return np.datetime64(first - np.timedelta64(7, "D"))
    if periodicity.frequency == "monthly":
        month = first.astype("datetime64[M]")
        return np.datetime64(month.astype("datetime64[D]") - np.timedelta64(1, "D"))
    try:
        earlier = sessions(
            first - np.timedelta64(30, "D"), first - np.timedelta64(1, "D"), periodicity.calendar or "XNYS"
        )
    except InputError:  # before the first year that calendars know
        earlier = np.array([], dtype="datetime64[D]")
    return np.datetime64(earlier[-1] if len(earlier) else first - np.timedelta64(1, "D"))


def _compound(days: Days, values: NDArray[np.float64], own: Days) -> NDArray[np.float64]:
    """Compound the returns of each session; 0 without any. A single return is copied to the bit."""
    group = np.searchsorted(own, days)
    out = np.zeros(len(own))
    number = np.bincount(group, minlength=len(own))
    single = number[group] == 1
    out[group[single]] = values[single]
    for several in np.flatnonzero(number > 1).tolist():
        out[several] = np.prod(1.0 + values[group == several]) - 1.0
    return out


def _same_periods(days: Days, own: Days, frequency: str, what: str) -> Days:
    """Give weekly or monthly returns the dates of the account for the same week (Monday to Sunday) or month.

    A week may be dated by its Friday, its last session, its Sunday or its first Monday, and a month likewise.
    """

    def period(dates: Days) -> NDArray[np.int64]:
        if frequency == "monthly":
            return dates.astype("datetime64[M]").astype(np.int64)
        return (dates.astype(np.int64) + 3) // 7  # 1970-01-01 was a Thursday

    if frequency == "weekly":
        theirs, ours = (_usual_weekday(dates) for dates in (days, own))
        if theirs != ours and {theirs, ours} & {1, 2, 3}:
            raise InputError(
                f"expected weeks of {what} that end when those of the account do; found {_WEEKDAYS[theirs]}s for "
                f"account weeks that end on {_WEEKDAYS[ours]}s; give daily returns"
            )
    own_periods = period(own)
    place = np.minimum(np.searchsorted(own_periods, period(days)), len(own) - 1)
    return np.where(own_periods[place] == period(days), own[place], days)


def _usual_weekday(dates: Days) -> int:
    return int(np.bincount((dates.astype(np.int64) + 3) % 7, minlength=7).argmax())


def _check_frequency(days: Days, own: Days, periodicity: Periodicity, what: str, calendar: str | None) -> str | None:
    """Return the frequency; InputError for series that are coarser than the account or irregular."""
    if len(days) < 2 or periodicity.frequency == "other":
        return None
    found = frequency_of(pd.DatetimeIndex(days.astype("datetime64[ns]")), calendar=calendar)
    if found is not None and _ORDER[found] <= _ORDER[periodicity.frequency]:
        return found
    within = own[(own >= days[0]) & (own <= days[-1])]
    absent = np.count_nonzero(~np.isin(within, days))
    if absent <= 1:  # one missing date among few can hide the frequency
        return None
    step = int(np.median(np.diff(days)).astype(int))
    if found:
        spread = f"{found} ones"
    elif step == 1 and periodicity.frequency == "daily":
        spread = f"dates without {absent:,} of {len(within):,} sessions"
    else:
        spread = f"dates usually {step} days apart"
    raise InputError(
        f"expected {periodicity.frequency} {what}, as the returns they are compared with; found {spread} "
        f"({len(days):,} from {days[0]} to {days[-1]}, where the returns have {len(own):,}); give one for every session"
    )
