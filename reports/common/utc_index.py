"""Conversion of session dates to UTC midnights, which pyfolio and empyrical need for correct results."""

from __future__ import annotations

import numpy as np
import pandas as pd

from backtests.external_returns import align_returns, check_returns
from backtests.result import OPENED_AT_FIRST_CLOSE
from signals.annualization import Periodicity
from signals.common.errors import InputError

__all__ = ["align", "utc_sessions"]

# Maximum number of consecutive weekdays without a session: the longest holidays of Shanghai and Tokyo have seven.
LONGEST_HOLIDAY = 8


def utc_sessions(data: pd.Series, *, what: str = "returns") -> pd.Series:
    """Copy a series or frame with its index converted to UTC midnights named `date`.

    Parameters
    ----------
    data : Series or DataFrame indexed by date
        Naive or in any time zone; the *local* calendar day is the session, so that midnight in Tokyo keeps
        its date. Several rows of one session are kept.
    what : str
        Name of the data in error messages.

    Raises
    ------
    InputError
        When the index holds no dates or is not sorted.

    >>> utc_sessions(pd.Series([0.1], index=pd.DatetimeIndex(["2024-03-01"], tz="Asia/Tokyo"))).index[0]
    Timestamp('2024-03-01 00:00:00+0000', tz='UTC')
    """
    if not isinstance(data.index, pd.DatetimeIndex):
        raise InputError(
            f"expected {what} indexed by date; found an index of {data.index.dtype}; use pandas.to_datetime on it"
        )
    index = data.index.tz_localize(None).normalize().as_unit("ns").tz_localize("UTC")
    if not index.is_monotonic_increasing:
        raise InputError(f"expected {what} sorted by date; found dates that go back; use .sort_index()")
    out = data.copy()
    out.index = index.rename("date")
    return out


def align(
    other: pd.Series | None, returns: pd.Series, periodicity: Periodicity, *, what: str = "benchmark returns"
) -> pd.Series | None:
    """Check comparison returns and align them with the sessions of the account; None without common sessions.

    Parameters
    ----------
    other : Series or None
        Simple returns, see `backtests.external_returns.check_returns`; they may cover other dates.
    returns : Series
        Returns of the account on UTC sessions. Where their `attrs` state that the account was opened at its first
        close, as in results of the recorder, `other` is bought at that close too and its return on that session is 0.
    periodicity : Periodicity
        Frequency of the account's returns.
    what : str
        Name of `other` in error messages.

    Raises
    ------
    InputError
        As in `check_returns` and `align_returns`.
    """
    if other is None:
        return None
    checked = check_returns(
        other,
        what=what,
        calendar=periodicity.calendar,
        of_account=False,
        periods_per_year=periodicity.periods_per_year,
    )
    _reject_gap(checked, returns.index, periodicity, what)
    opened = bool(returns.attrs.get(OPENED_AT_FIRST_CLOSE))
    common = align_returns(checked, returns.index, periodicity, what=what, bought_at_first_close=opened)
    return None if common.empty else common


def _reject_gap(other: pd.Series, dates: pd.DatetimeIndex, periodicity: Periodicity, what: str) -> None:
    """Raise InputError when more consecutive sessions are missing than any holiday has; they would count as 0."""
    known = other.dropna().index
    if periodicity.frequency != "daily" or len(known) < 2:
        return
    own = dates[(dates > known[0]) & (dates < known[-1]) & (dates.day_of_week < 5)]
    absent = ~own.isin(known)
    ends = np.flatnonzero(np.diff(np.concatenate([[False], absent, [False]]).astype(np.int8)))
    if not len(ends):
        return
    starts, stops = ends[::2], ends[1::2]
    longest = int(np.argmax(stops - starts))
    first, last = own[starts[longest]], own[stops[longest] - 1]
    count = int(stops[longest] - starts[longest])
    if count > LONGEST_HOLIDAY and len(known[(known > own[0]) & (known < own[-1])]) > len(own) // 2:
        raise InputError(
            f"expected {what} for every session; found none on {count:,} in a row, from {first:%Y-%m-%d} to "
            f"{last:%Y-%m-%d}; add them, or give the series from {last + pd.Timedelta(days=1):%Y-%m-%d} on"
        )
