"""Reader of date columns: year-month-day in every spelling, and other formats by a setting, without guessing."""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.calendar import exchange_zone
from signals.common.errors import InputError
from signals.common.text import shown
from signals.data.price_index import NEWEST, OLDEST
from signals.tabular.date_formats import date_remedy, moment_of
from signals.tabular.table_files import MISSING
from signals.tabular.table_format import PLAIN, TableFormat

__all__ = ["FAR", "days_of", "factorized", "parse_day"]

FAR = NEWEST

DAILY_BARS = "daily bars, dated by the day,"

_DATE = re.compile(
    r"(?P<y>\d{4})(?:-?(?P<m>\d{2})-?(?P<d>\d{2})|(?P<s>[-/.])(?P<m1>\d{1,2})(?P=s)(?P<d1>\d{1,2}))"
    r"(?:[ T](?P<clock>\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?) ?(?P<zone>Z|UTC|[+-]\d{2}:?\d{2})?)?",
    re.ASCII,
)


def days_of(
    column: pd.Series,
    path: Path,
    *,
    empty: np.datetime64 | None = None,
    what: str = DAILY_BARS,
    form: TableFormat | None = None,
    calendar: str = "XNYS",
) -> NDArray[np.datetime64]:
    """Days of a date column; without a setting, time zones are ignored and the local date is used.

    Parameters
    ----------
    column : Series
        Text, whole numbers like 20110103, or dates of any unit.
    path : Path
        The file, for messages.
    empty : datetime64[D], optional
        Value of a missing date; without it a missing date is an error. With `FAR`, dates after 2199 get it too.
    what : str
        Expected content of the file, for the message about a time of day.
    form : TableFormat, optional
        Its `date_format` and `time_zone`; None for files without such settings, which messages then do not propose.
    calendar : str
        Exchange calendar, whose zone a message may propose.

    Returns
    -------
    ndarray of datetime64[D], shape (n,)

    Raises
    ------
    InputError
        For cells that are not a date from 1700 to 2199 in the expected format, and for times other than midnight,
        unless a zone is set; the message names the setting with which every row can be read.
    """
    settings = form or PLAIN
    missing = column.isna().to_numpy()
    if empty is None and missing.any():
        row = int(np.argmax(missing)) + 1
        raise InputError(f"expected a date in every row of {path.name}; found none in row {row}; add it")
    dtype = column.dtype
    if isinstance(dtype, pd.DatetimeTZDtype):
        moments = column
        column = (column if settings.zone is None else column.dt.tz_convert(settings.zone)).dt.tz_localize(None)
        return _of_dates(column, missing, path, empty, what, form, calendar, moments)
    if dtype.kind == "M":
        return _of_dates(column, missing, path, empty, what, form, calendar, column)
    codes, texts = factorized(column, path, missing=True)
    days = np.empty(len(texts), dtype="datetime64[D]")
    for place, text in enumerate(texts):
        if empty is not None and _stands_for_none(text, empty):
            days[place] = empty
            continue
        word = _plain(str(text))
        day, timed = _read(word, settings)
        if day is None:
            raise InputError(
                f"expected dates like {_example(settings)} in {path.name}; found {shown(word)} in row "
                f"{int(np.argmax(codes == place)) + 1}; {_remedy(texts, form, calendar)}"
            )
        if timed:
            zone = form is not None and _one_text_a_day(texts, settings, calendar)
            _refuse_time(word, path, what, exchange_zone(calendar) if zone else None)
        days[place] = day
    return np.asarray(days[codes])


def _plain(text: str) -> str:
    """Remove the decimals of a day written as a decimal number, 20210301.0."""
    word = text.strip()
    return word[:8] if len(word) > 9 and word[8] == "." and word[:8].isdecimal() and not word[9:].strip("0") else word


def _example(form: TableFormat) -> str:
    """Write an example of the expected format of a day."""
    example = dt.datetime(2011, 1, 3, tzinfo=dt.UTC)
    for name in ("unix_s", "unix_ms", "unix_us", "unix_ns"):
        if form.date_format == name:
            return str(int(example.timestamp()) * {"unix_s": 1, "unix_ms": 10**3, "unix_us": 10**6}.get(name, 10**9))
    if form.date_format == "excel":
        return "40546"
    return example.strftime(form.date_format or "%Y-%m-%d")


def _remedy(texts: pd.Index, form: TableFormat | None, calendar: str) -> str:
    """Name the setting with which every distinct cell of a date column can be read."""
    if form is None:
        return "write year-month-day"
    words = [_plain(str(text)) for text in texts if not pd.isna(text)]
    dated = [word for word in words if any(c.isdigit() for c in word)]
    if dated and len(dated) < len(words):
        return "delete the rows that have no date"
    if form.date_format is not None and all(_parse(word)[0] is not None for word in words):
        return "leave date_format out"
    return date_remedy(words, exchange_zone(calendar))


def _one_text_a_day(texts: pd.Index, form: TableFormat, calendar: str) -> bool:
    """Whether every distinct text of a column is on another day of the exchange, as with daily bars."""
    words = [_plain(str(text)) for text in texts if not pd.isna(text)]
    days = [_parse_as(word, form.date_format, exchange_zone(calendar))[0] for word in words]
    return None not in days and len(set(days)) == len(words)


def factorized(column: pd.Series, path: Path, *, missing: bool = False) -> tuple[NDArray[np.intp], pd.Index]:
    """Code of each row and the distinct values of a column; missing cells are -1, or a value of their own.

    Raises
    ------
    InputError
        For cells that are lists or mappings, which Parquet files may have.
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
    column: pd.Series,
    missing: NDArray[np.bool_],
    path: Path,
    empty: np.datetime64 | None,
    what: str,
    form: TableFormat | None,
    calendar: str,
    moments: pd.Series,
) -> NDArray[np.datetime64]:
    values = column.to_numpy()
    days = values.astype("datetime64[D]")
    timed = (days != values) & ~missing
    if timed.any() and (form is None or form.zone is None):
        zone = exchange_zone(calendar) if form is not None and _one_moment_a_day(moments, calendar) else None
        _refuse_time(str(column.iloc[int(np.argmax(timed))]), path, what, zone)
    if empty is not None and empty >= FAR:
        missing = missing | (days >= FAR)
    odd = ((days < OLDEST) | (days >= NEWEST)) & ~missing
    if odd.any():
        raise InputError(f"expected dates like 2011-01-03 in {path.name}; found {days[odd][0]}; correct the file")
    return days if empty is None else np.where(missing, empty, days)


def _one_moment_a_day(moments: pd.Series, calendar: str) -> bool:
    distinct = pd.Series(moments.dropna().unique())
    zoned = distinct.dt.tz_convert(exchange_zone(calendar)) if distinct.dt.tz is not None else distinct
    return bool(zoned.dt.date.is_unique)


def parse_day(text: str) -> np.datetime64 | None:
    """Date of a text such as 2011-01-03 or 20110103; None for other texts and those with a time of day.

    >>> parse_day("20110103")
    np.datetime64('2011-01-03')
    >>> parse_day("2011-01-03 09:30") is None
    True
    """
    day, timed = _parse(text)
    return None if timed else day


def _stands_for_none(text: object, empty: np.datetime64) -> bool:
    if pd.isna(text) or (word := str(text).strip()) in MISSING:
        return True
    # databases write 9999-12-31 for an open end
    match = _DATE.fullmatch(word)
    return match is not None and bool(empty >= FAR) and int(match["y"]) >= 2200


@lru_cache(maxsize=65_536)  # a folder of files repeats the same few thousand dates
def _parse(text: str) -> tuple[np.datetime64 | None, bool]:
    """Day of a text, None if it is not a date, and whether a time of day other than midnight follows."""
    match = _DATE.fullmatch(text.strip())
    day = _day(match)
    return day, day is not None and match is not None and bool(match["clock"] and match["clock"].strip("0:."))


def _day(match: re.Match[str] | None) -> np.datetime64 | None:
    if match is None:
        return None
    month, date = int(match["m"] or match["m1"]), int(match["d"] or match["d1"])
    try:
        day = np.datetime64(f"{match['y']}-{month:02d}-{date:02d}", "D")
    except ValueError:
        return None
    return day if OLDEST <= day < NEWEST else None


def _read(text: str, form: TableFormat) -> tuple[np.datetime64 | None, bool]:
    if form.date_format is None and form.time_zone is None:
        return _parse(text)
    return _parse_as(text, form.date_format, form.time_zone)


@lru_cache(maxsize=65_536)
def _parse_as(text: str, date_format: str | None, time_zone: str | None) -> tuple[np.datetime64 | None, bool]:
    """Day of a text in a given format, and whether it has a time of day; with a zone, the day there, at any time."""
    if date_format is not None:
        moment = moment_of(text, date_format)
    else:
        match = _DATE.fullmatch(text)
        day = _day(match)
        moment = None if day is None or match is None else _moment(day, match)
    if moment is None:
        return None, False
    if time_zone is not None and moment.tzinfo is not None:
        moment = moment.astimezone(zoneinfo.ZoneInfo(time_zone))
    day = np.datetime64(moment.date(), "D")
    timed = time_zone is None and moment.time() != dt.time()
    return (day, timed) if OLDEST <= day < NEWEST else (None, False)


def _moment(day: np.datetime64, match: re.Match[str]) -> dt.datetime | None:
    """Moment of a day with its time and its offset from UTC, where it has them; None for invalid ones."""
    clock, zone = match["clock"] or "00:00", match["zone"]
    hours, minutes, *rest = clock.split(":")
    try:
        seconds = float(rest[0]) if rest else 0.0
        time = dt.timedelta(hours=int(hours), minutes=int(minutes), seconds=seconds)
        if time >= dt.timedelta(days=1):
            return None
        moment = dt.datetime.combine(day.astype(object), dt.time()) + time
        if zone is None:
            return moment
        offset = "+0000" if zone in ("Z", "UTC") else zone.replace(":", "")
        sign = -1 if offset[0] == "-" else 1
        distance = dt.timedelta(hours=int(offset[1:3]), minutes=int(offset[3:5]))
        return moment.replace(tzinfo=dt.timezone(sign * distance))
    except (ValueError, OverflowError):
        return None


def _refuse_time(found: str, path: Path, what: str, zone: str | None) -> None:
    remedy = "write year-month-day alone" if what != DAILY_BARS else "aggregate them to days first"
    kind = "minute and hourly bars are not supported: " if what == DAILY_BARS else ""
    other = f'set time_zone = "{zone}"' if zone else "convert it to the exchange's own"
    raise InputError(
        f"expected {what} in {path.name}; found {found}; {kind}{remedy} (a day in another time zone: {other})"
    )
