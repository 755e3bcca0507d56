"""Date formats that a setting has to name: parsing, and proposals of formats that fit a file."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from signals.data.price_index import NEWEST, OLDEST
from signals.tabular.table_format import SERIAL_DATES, UNIX_DATES

__all__ = ["date_remedy", "moment_of", "serial_day"]

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

# Counts of days since 1899-12-30 of the years 1927 to 2119, which are neither years nor dates without separators.
_SERIALS = (10_000, 80_000)

_DAYS = (
    *("%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%m.%d.%Y", "%d-%m-%Y", "%m-%d-%Y"),
    *("%m/%d/%y", "%d/%m/%y", "%d.%m.%y", "%m.%d.%y", "%d-%m-%y", "%m-%d-%y", "%y%m%d", "%d%m%Y", "%m%d%Y"),
    *("%d-%b-%Y", "%d %b %Y", "%d/%b/%Y", "%d%b%Y", "%b %d, %Y", "%b %d %Y", "%b-%d-%Y", "%Y-%b-%d", "%Y %b %d"),
    *("%d-%B-%Y", "%d %B %Y", "%B %d, %Y", "%B %d %Y", "%d-%b-%y", "%d %b %y", "%d%b%y", "%b %d, %y", "%d. %B %Y"),
    *("%a, %d %b %Y", "%a %b %d %Y", "%a %d %b %Y", "%a, %b %d, %Y", "%A, %B %d, %Y", "%A, %d %B %Y"),
    *("%Y %m %d", "%Y年%m月%d日", "%d %m %Y", "%d.%m.%Y.", "%Y.%m.%d."),
)
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", "T%H:%M:%S", " %H:%M:%S.%f", " %H:%M:%S %Z", " %z")


@lru_cache(maxsize=65_536)  # a folder of files repeats the same few thousand dates
def moment_of(text: str, form: str) -> dt.datetime | None:
    """Parse a text in a given date format; None when it does not have that format.

    Parameters
    ----------
    text : str
        Text of a cell.
    form : str
        Format as in `TableFormat.date_format`.

    Returns
    -------
    datetime or None
        With a zone where the text or the format has one: moments counted since 1970 are UTC.
    """
    try:
        if form in UNIX_DATES:
            seconds, rest = divmod(int(float(text)) if "." in text else int(text), UNIX_DATES[form])
            return _EPOCH + dt.timedelta(seconds=seconds, microseconds=rest * 10**6 // UNIX_DATES[form])
        if form == SERIAL_DATES:
            day = float(text)
            return dt.datetime(1899, 12, 30) + dt.timedelta(days=day)
        return dt.datetime.strptime(text, form)
    except (ValueError, OverflowError):
        return None


def serial_day(text: str) -> bool:
    """Whether a text is a whole number in the range of spreadsheet dates."""
    return text.isdecimal() and _SERIALS[0] <= int(text) <= _SERIALS[1]


def date_remedy(texts: Sequence[str], zone: str) -> str:
    """Propose the setting with which every text is a day.

    Parameters
    ----------
    texts : sequence of str
        All distinct cells of the date column.
    zone : str
        Zone of the exchange.

    Returns
    -------
    str
        `set date_format = "%d/%m/%Y"`; two settings joined by "or" where both fit every text and give other days, first
        that with fewer days on weekends and shorter gaps. Without a fitting format, a general remedy.
    """
    remedy = _number_remedy(texts, zone) if texts and all(_is_whole(text) for text in texts) else None
    if remedy is not None:
        return remedy
    kept: dict[bytes, tuple[tuple[float, ...], str]] = {}
    for clock in _CLOCKS if texts else ():
        for form in _DAYS:
            days_timed = _days(texts, form + clock)
            if days_timed is not None and (not days_timed[1] or len(np.unique(days_timed[0])) == len(texts)):
                setting = f'date_format = "{form + clock}"' + (f' and time_zone = "{zone}"' if days_timed[1] else "")
                kept.setdefault(days_timed[0].tobytes(), (_implausibility(days_timed[0]), setting))
        if kept:
            break
    settings = [setting for _, setting in sorted(kept.values())]
    if not settings:
        return "write year-month-day, or set date_format"
    return f"set {settings[0]}" + (f", or {settings[1]}, whichever the file means" if settings[1:] else "")


def _number_remedy(texts: Sequence[str], zone: str) -> str | None:
    """Remedy for dates that are numbers: moments since 1970, or days of a spreadsheet; None for other numbers."""
    if all(serial_day(text) for text in texts):
        return f'set date_format = "{SERIAL_DATES}"'
    for form in UNIX_DATES:
        moments = [moment_of(text, form) for text in texts]
        if not all(m is not None and 1975 <= m.year < 2100 for m in moments):
            continue
        known = [m for m in moments if m is not None]
        if all(m.time() == dt.time() for m in known):
            return f'set date_format = "{form}"'
        if len({m.astimezone(zoneinfo.ZoneInfo(zone)).date() for m in known}) == len(known):
            return f'set date_format = "{form}" and time_zone = "{zone}"'
        return "minute and hourly bars are not supported: aggregate them to days first"
    return None


def _is_whole(text: str) -> bool:
    return text.removesuffix(".0").removeprefix("-").isdecimal() and text.isascii()


def _days(texts: Sequence[str], form: str) -> tuple[NDArray[np.datetime64], bool] | None:
    """Days of all texts and whether any has a time of day; None when a text does not have the format."""
    days = np.empty(len(texts), dtype="datetime64[D]")
    timed = False
    for place, text in enumerate(texts):
        moment = moment_of(text, form)
        if moment is None:
            return None
        timed |= moment.time() != dt.time()
        days[place] = np.datetime64(moment.date(), "D")
    return (days, timed) if ((days >= OLDEST) & (days < NEWEST)).all() else None


def _implausibility(days: NDArray[np.datetime64]) -> tuple[float, ...]:
    """Rank of a format by share of weekends and median gap, both of which are small for daily bars."""
    weekend = float((~np.is_busday(days)).mean())
    gaps = np.diff(np.unique(days)).astype(np.int64)
    return weekend, float(np.median(gaps)) if len(gaps) else 0.0
