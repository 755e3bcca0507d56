"""Days in a column of a file: as people, pandas and Parquet write them, and never guessed."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.errors import InputError
from signals.price_index import NEWEST, OLDEST
from signals.sources.opening import shown
from signals.sources.readers import MISSING

__all__ = ["FAR", "days_of", "factorized", "parse_day"]

FAR = NEWEST

DAILY_BARS = "daily bars, dated by the day,"

_DATE = re.compile(
    r"(?P<y>\d{4})-?(?P<m>\d{2})-?(?P<d>\d{2})"
    r"(?:[ T](?P<clock>\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?) ?(?:Z|[+-]\d{2}:?\d{2})?)?",
    re.ASCII,
)


def days_of(
    column: pd.Series, path: Path, *, empty: np.datetime64 | None = None, what: str = DAILY_BARS
) -> NDArray[np.datetime64]:
    """Days of a date column; a time zone is dropped, the wall clock it shows is kept.

    Parameters
    ----------
    column : Series
        Text, whole numbers like 20110103, or dates of any unit.
    path : Path
        The file, for messages.
    empty : datetime64[D], optional
        What a missing date stands for; without it, that is an error. When it is `FAR`, any date beyond 2199 is taken
        for it too.
    what : str
        What is expected of the file, for the message about a time of day.

    Returns
    -------
    ndarray of datetime64[D], shape (n,)

    Raises
    ------
    InputError
        For what is no date from 1700 to 2199 written year-month-day, and for times other than midnight.
    """
    missing = column.isna().to_numpy()
    if empty is None and missing.any():
        row = int(np.argmax(missing)) + 1
        raise InputError(f"expected a date in every row of {path.name}; found none in row {row}; add it")
    dtype = column.dtype
    if isinstance(dtype, pd.DatetimeTZDtype):
        column, dtype = column.dt.tz_localize(None), np.dtype("M8[ns]")
    if dtype.kind == "M":
        return _of_dates(column, missing, path, empty, what)
    codes, texts = factorized(column, path, missing=True)
    days = np.empty(len(texts), dtype="datetime64[D]")
    for place, text in enumerate(texts):
        if empty is not None and _stands_for_none(text, empty):
            days[place] = empty
            continue
        day, timed = _parse(str(text))
        if day is None:
            raise InputError(
                f"expected dates like 2011-01-03 in {path.name}; found {shown(str(text).strip())} in row "
                f"{int(np.argmax(codes == place)) + 1}; write year-month-day"
            )
        if timed:
            _refuse_time(str(text).strip(), path, what)
        days[place] = day
    return np.asarray(days[codes])


def factorized(column: pd.Series, path: Path, *, missing: bool = False) -> tuple[NDArray[np.intp], pd.Index]:
    """Distinct values of a column and which of them each row holds; missing ones are -1, or a value of their own.

    Raises
    ------
    InputError
        For cells that are lists or mappings, as a Parquet file may hold.
    """
    try:
        codes, values = pd.factorize(column, use_na_sentinel=not missing)
    except TypeError:
        raise InputError(
            f"expected one value in each cell of column {shown(column.name)} of {path.name}; found "
            f"{shown(column.iloc[0])}; write it out as text"
        ) from None
    return codes, values


def _of_dates(
    column: pd.Series, missing: NDArray[np.bool_], path: Path, empty: np.datetime64 | None, what: str
) -> NDArray[np.datetime64]:
    values = column.to_numpy()
    days = values.astype("datetime64[D]")
    timed = (days != values) & ~missing
    if timed.any():
        _refuse_time(str(column.iloc[int(np.argmax(timed))]), path, what)
    if empty is not None and empty >= FAR:
        missing = missing | (days >= FAR)
    odd = ((days < OLDEST) | (days >= NEWEST)) & ~missing
    if odd.any():
        raise InputError(f"expected dates like 2011-01-03 in {path.name}; found {days[odd][0]}; mend the file")
    return days if empty is None else np.where(missing, empty, days)


def parse_day(text: str) -> np.datetime64 | None:
    """Day a text names, year-month-day or 20110103, without a time of day; None when it is none.

    >>> parse_day("20110103")
    np.datetime64('2011-01-03')
    """
    day, timed = _parse(text)
    return None if timed else day


def _stands_for_none(text: object, empty: np.datetime64) -> bool:
    if pd.isna(text) or (word := str(text).strip()) in MISSING:
        return True
    # 9999-12-31 is how databases write an end that has not come
    match = _DATE.fullmatch(word)
    return match is not None and bool(empty >= FAR) and int(match["y"]) >= 2200


@lru_cache(maxsize=65_536)  # a folder of files repeats the same few thousand dates
def _parse(text: str) -> tuple[np.datetime64 | None, bool]:
    """Day written in a text, None if it is none, and whether a time of day other than midnight follows."""
    match = _DATE.fullmatch(text.strip())
    if match is None:
        return None, False
    try:
        day = np.datetime64(f"{match['y']}-{match['m']}-{match['d']}", "D")
    except ValueError:
        return None, False
    return (day if OLDEST <= day < NEWEST else None), bool(match["clock"] and match["clock"].strip("0:."))


def _refuse_time(found: str, path: Path, what: str) -> None:
    remedy = "write year-month-day alone" if what != DAILY_BARS else "aggregate them to days first"
    kind = "minute and hourly bars are not supported: " if what == DAILY_BARS else ""
    raise InputError(
        f"expected {what} in {path.name}; found {found}; {kind}{remedy} (a day in another time zone: convert it to "
        "the exchange's own)"
    )
