"""Sessions as this room writes them: UTC midnights; pyfolio and empyrical go quietly wrong on anything else."""

from __future__ import annotations

import pandas as pd

from signals.errors import InputError

__all__ = ["DAYS_PER_YEAR", "align", "utc_sessions"]

DAYS_PER_YEAR = 252


def utc_sessions(data: pd.Series, *, what: str = "returns") -> pd.Series:
    """Copy a series or frame with its index turned into UTC midnights named `date`.

    Parameters
    ----------
    data : Series or DataFrame indexed by date
        Naive or in any time zone; the *local* calendar day is the session, so that midnight in Tokyo stays
        its day.
    what : str
        How an error message calls it.

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


def align(other: pd.Series | None, returns: pd.Series) -> pd.Series | None:
    """Put returns of `other` on the sessions of `returns`, without gaps; None when nothing is left.

    Parameters
    ----------
    other : Series or None
        Returns to compare with, any time zone, longer or shorter.
    returns : Series
        Already on UTC sessions.
    """
    if other is None:
        return None
    common = utc_sessions(other, what="benchmark returns")
    common = common[~common.index.duplicated(keep="last")].reindex(returns.index).dropna()
    return None if common.empty else common.astype("float64")
