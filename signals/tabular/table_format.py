"""Settings of the format of price tables, for what cannot be recognised with certainty."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal

from signals.common.errors import InputError
from signals.common.text import shown

__all__ = ["FIELDS", "PLAIN", "SERIAL_DATES", "UNIX_DATES", "TableFormat"]

FIELDS = ("open", "high", "low", "close", "adj_close", "adj_factor", "volume")

# Moments counted since 1970-01-01 UTC, with the number of units in a second.
UNIX_DATES = MappingProxyType({"unix_s": 1, "unix_ms": 10**3, "unix_us": 10**6, "unix_ns": 10**9})

# Days counted since 1899-12-30, as spreadsheets store a date.
SERIAL_DATES = "excel"

_DECIMALS = (".", ",")
_THOUSANDS = (",", ".", "'", " ", "_")
_LAYOUTS = ("long", "wide")


@dataclass(frozen=True)
class TableFormat:
    """Format of a table; every setting is optional, and a plain table needs none.

    Parameters
    ----------
    date_format : str, optional
        `"%d/%m/%Y"` and the like as `datetime.strptime` takes them, `"unix_s"`, `"unix_ms"`, `"unix_us"` or `"unix_ns"`
        for moments counted since 1970, `"excel"` for day numbers of a spreadsheet. By default dates are written
        year-month-day.
    time_zone : str, optional
        Time zone whose date is the day of a bar, such as `"America/New_York"`, for bars with a time of day. Times
        without a zone are times in this one.
    decimal : {".", ","}, optional
        Decimal mark of numbers; `"."` by default, and `","` when `thousands = "."`.
    thousands : {",", ".", "'", " ", "_"}, optional
        Mark between groups of digits.
    header : int or sequence of str, optional
        Number of the line that names the columns, counted from 1, or the names themselves when no line does.
    column_names : mapping of str to str, optional
        Name in the file of `date`, `open`, `high`, `low`, `close`, `adj_close`, `adj_factor` or `volume`; an empty name
        means that the file has no such column, whatever its columns are called.
    ticker_column : str, optional
        Name in the file of the column of tickers; an empty name means that there is none.
    layout : {"long", "wide"}, optional
        `"long"` when columns are fields of bars (with or without a column of tickers), `"wide"` when they are tickers
        and the cells their closes; by default recognised from the names.
    """

    date_format: str | None = None
    time_zone: str | None = None
    decimal: Literal[".", ","] | None = None
    thousands: Literal[",", ".", "'", " ", "_"] | None = None
    header: int | Sequence[str] | None = None
    column_names: Mapping[str, str] | None = None
    ticker_column: str | None = None
    layout: Literal["long", "wide"] | None = None

    def check(self) -> TableFormat:
        """Check every setting.

        Raises
        ------
        InputError
            Naming the setting, its value and the allowed values.
        """
        for name, value, allowed in (
            ("decimal", self.decimal, _DECIMALS),
            ("thousands", self.thousands, _THOUSANDS),
            ("layout", self.layout, _LAYOUTS),
        ):
            if value is not None and value not in allowed:
                choices = " or ".join(f'"{choice}"' for choice in allowed)
                raise InputError(f"expected {name} = {choices}; found {value!r}; choose one of them")
        if self.thousands is not None and self.thousands == self.mark:
            raise InputError(
                f"expected two marks as decimal and thousands; found {self.thousands!r} as both; change one of them"
            )
        self._check_dates()
        self._check_header()
        self._check_columns()
        return self

    @cached_property
    def mark(self) -> str:
        """Decimal mark."""
        return self.decimal or ("," if self.thousands == "." else ".")

    @cached_property
    def zone(self) -> zoneinfo.ZoneInfo | None:
        """Time zone of the days; None when all times have to be midnight."""
        return None if self.time_zone is None else zoneinfo.ZoneInfo(self.time_zone)

    def named(self, field: str) -> str | None:
        """Column that a setting names for a field or `"ticker"`: empty for no column, None without a setting."""
        if field == "ticker" and self.ticker_column is not None:
            return self.ticker_column
        return (self.column_names or {}).get(field)

    @cached_property
    def own_names(self) -> tuple[str, ...]:
        """Columns that settings name."""
        given = [self.ticker_column or "", *(self.column_names or {}).values()]
        return tuple(dict.fromkeys(name for name in given if name))

    def _check_dates(self) -> None:
        example = 'write for example date_format = "%d/%m/%Y"'
        form = self.date_format
        if form is not None and form not in (*UNIX_DATES, SERIAL_DATES):
            year = isinstance(form, str) and any(part in form for part in ("%Y", "%y", "%c", "%x", "%D", "%F"))
            day = dt.datetime(2011, 2, 3)
            try:
                back = dt.datetime.strptime(day.strftime(form), form) if year else None
            except ValueError:
                back = None
            if back is None or back.date() != day.date():
                raise InputError(
                    f"expected date_format to name year, month and day, or one of "
                    f"{', '.join((*UNIX_DATES, SERIAL_DATES))}; found {form!r}; {example}"
                )
        if self.time_zone is not None:
            try:
                zoneinfo.ZoneInfo(self.time_zone)
            except (zoneinfo.ZoneInfoNotFoundError, ValueError, TypeError, OSError):
                raise InputError(
                    f"expected time_zone to name a zone; found {self.time_zone!r}; write for example "
                    'time_zone = "America/New_York"'
                ) from None

    def _check_header(self) -> None:
        header = self.header
        if header is None:
            return
        if isinstance(header, bool) or not (
            (isinstance(header, int) and 1 <= header <= 1000)
            or (
                isinstance(header, Sequence)
                and not isinstance(header, str)
                and len(header) > 1
                and all(isinstance(name, str) for name in header)
            )
        ):
            raise InputError(
                f"expected header as the number of the line that names the columns, or their names; found {header!r}; "
                'write for example header = 2, or header = ["date", "open", "high", "low", "close", "volume"]'
            )
        if isinstance(header, Sequence):
            twice = [name for place, name in enumerate(header) if name and name in header[:place]]
            if twice:
                raise InputError(f"expected each name in header once; found {twice[0]!r} twice; rename one")

    def _check_columns(self) -> None:
        names: Any = self.column_names
        if names is not None and not (
            isinstance(names, Mapping) and all(isinstance(word, str) for pair in names.items() for word in pair)
        ):
            raise InputError(
                f'expected column_names as a table like {{ close = "Close/Last" }}; found {names!r}; write one'
            )
        allowed = ("date", "ticker", *FIELDS)
        for field in names or ():
            if field not in allowed:
                raise InputError(f"expected fields in column_names among {', '.join(allowed)}; found {field!r}")
        if self.ticker_column is not None and not isinstance(self.ticker_column, str):
            raise InputError(f"expected ticker_column as the name of a column; found {shown(self.ticker_column)}")
        other = (names or {}).get("ticker", self.ticker_column)
        if self.ticker_column is not None and other != self.ticker_column:
            raise InputError(
                f"expected one column of tickers; found {self.ticker_column!r} as ticker_column and {other!r} in "
                "column_names; leave one out"
            )


PLAIN = TableFormat()
