"""Header of a text table: its separator, the lines that name the columns, and proposed names where there are none."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from signals.common.errors import InputError
from signals.common.text import shown
from signals.data.column_names import TICKERS, compact, field_of
from signals.tabular.field_ticker_columns import paired_header
from signals.tabular.table_format import PLAIN, TableFormat
from signals.tabular.text_files import first_lines

__all__ = ["TableHeader", "read_header"]

SEPARATORS = ",;\t|"

# Lines that are examined; vendors write only a few comments before the header.
_LINES = 24

_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[,;\t]*', re.IGNORECASE)
_DAY = re.compile(
    r"(?:1[789]|2[01])\d{6}|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?:[ T].*)?|\d{1,2}[- ][A-Za-z]{3,9}[- ,]+\d{2,4}"
)
_MOMENT = re.compile(r"1\d{9}|1\d{12}|1\d{15}|1\d{18}")
_CLOCK = re.compile(r"\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?")
_NUMBER = re.compile(r"[$€£¥]?[+-]?[\d.,' ]*\d[\d.,' ]*(?:[eE][+-]?\d+)?[KMBkmb%]?")

# Orders in which tools write the four prices.
_ORDERS = (
    ("open", "high", "low", "close"),
    ("close", "open", "high", "low"),
    ("close", "high", "low", "open"),
    ("open", "close", "high", "low"),
    ("low", "high", "open", "close"),
)
_KLINES = (
    *("date", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "trades", "taker_buy_base"),
    *("taker_buy_quote", "ignore"),
)


@dataclass(frozen=True, slots=True)
class TableHeader:
    """Header of a text table.

    Parameters
    ----------
    separator : str
        Character between the cells of a line.
    names : list
        Names of the columns: text, empty where there is none, or (field, ticker) pairs with the date as `"Date"`.
    lines : int
        Number of lines before the first row.
    """

    separator: str
    names: list[object]
    lines: int


def read_header(path: Path, form: TableFormat | None) -> TableHeader:
    """Read the header of a text table; to be used inside `reading`.

    Parameters
    ----------
    path : Path
        The file.
    form : TableFormat, optional
        Format of the file, whose `header` may locate the header; None for files that have no such settings.

    Raises
    ------
    InputError
        For an empty or damaged file, and where no line names the columns: the message names the setting that helps.
    """
    header = (form or PLAIN).header
    lines = first_lines(path, _LINES + (header if isinstance(header, int) else 0))
    at = next(place for place, line in enumerate(lines) if line.strip())
    named = _SEPARATOR_LINE.fullmatch(lines[at].rstrip("\r\n"))
    at += named is not None
    if isinstance(header, int):
        at = header - 1
    separator = named[1] if named else _separator([line for line in lines[at:] if line.strip()][:6])
    try:
        rows = [next(csv.reader([line], delimiter=separator), []) for line in lines]
    except csv.Error as error:
        raise InputError(f"expected a table in {path.name}; found a damaged line ({error}); get it again") from error
    if isinstance(header, Sequence):
        return _given(list(header), rows, at, separator, path)
    if not rows[at]:
        raise InputError(f"expected names of columns in line {at + 1} of {path.name}; found none; correct header")
    double = paired_header(rows[at:], path)
    if double is not None:
        return TableHeader(separator, double[0], at + double[1])
    if header is None:
        _check_names(rows, at, path, form)
    return TableHeader(separator, _first_named([name.strip() for name in rows[at]], rows[at + 1 :]), at + 1)


def _separator(lines: list[str]) -> str:
    """Character that splits the first lines into equally many cells."""

    def score(separator: str) -> tuple[bool, int, int]:
        try:
            widths = [len(next(csv.reader([line], delimiter=separator), [])) for line in lines]
        except csv.Error:
            return False, 0, 0
        return len(set(widths)) == 1 and widths[0] > 1, widths[0] if widths else 0, lines[0].count(separator)

    return max(SEPARATORS, key=score)


def _given(names: list[str], rows: list[list[str]], at: int, separator: str, path: Path) -> TableHeader:
    """Header with the names of a setting, for a file without a header."""
    if [compact(name) for name in names] == [compact(name) for name in rows[at]]:
        raise InputError(
            f"expected no names of columns in {path.name}, since header gives them; found them in line {at + 1}; set "
            f"header = {at + 1}"
        )
    if len(names) != len(rows[at]):
        raise InputError(
            f"expected as many names in header as {path.name} has columns; found {len(names)} names and "
            f"{len(rows[at])} columns; name every column, also unused ones"
        )
    return TableHeader(separator, [name.strip() for name in names], at)


def _first_named(names: list[str], rows: list[list[str]]) -> list[object]:
    """Name a first column without a name, as pandas writes an index: dates, or row numbers or tickers before them."""
    if names and names[0] == "":
        cell = next((row[0].strip() for row in rows if row), "")
        counted = cell.isdecimal() and not _DAY.fullmatch(cell)
        other = counted or not any(c.isdigit() for c in cell)
        names = ["Unnamed: 0" if other and any(map(_dated, names[1:])) else "Date", *names[1:]]
    return list(names)


def _check_names(rows: list[list[str]], at: int, path: Path, form: TableFormat | None) -> None:
    """Raise `InputError` for a first line of data or of a comment, with the setting that locates the names."""
    cells = [cell.strip() for cell in rows[at]]
    if _named(cells) or not cells[0]:
        return
    if _is_data(cells):
        names = _proposed(rows[at:])
        listed = ", ".join(f'"{name}"' for name in names)
        remedy = f"set header = [{listed}]" if form is not None else f"write a first line {','.join(names)}"
        raise InputError(
            f"expected a header with a date column in {path.name}; found {_some(cells)}; line {at + 1} holds data, not "
            f"names: {remedy}"
        )
    for place in range(at + 1, len(rows)):
        if len(rows[place]) > 1 and _named(rows[place]) and any(_dated(cell) for cell in rows[place]):
            remedy = f"set header = {place + 1}" if form is not None else f"delete the lines before line {place + 1}"
            raise InputError(
                f"expected a header in line {at + 1} of {path.name}; found {shown(_some(cells))}; {remedy}, the line "
                "that names the columns"
            )


def _named(cells: list[str]) -> bool:
    return any((known := field_of(cell)) is not None and known[1] for cell in cells) or any(
        compact(cell) in TICKERS for cell in cells
    )


def _dated(name: str) -> bool:
    return (field_of(name) or ("",))[0] == "date"


def _is_data(cells: list[str]) -> bool:
    days = [bool(_DAY.fullmatch(cell) or _MOMENT.fullmatch(cell)) for cell in cells]
    values = [day or bool(_NUMBER.fullmatch(cell)) for day, cell in zip(days, cells, strict=True)]
    return any(days) and 2 <= sum(values) >= len(cells) - 2


def _proposed(rows: list[list[str]]) -> list[str]:
    """Propose names for the columns of a file without a header, consistent with the prices in its rows."""
    rows = [[cell.strip() for cell in row] for row in rows if len(row) == len(rows[0])]
    first = rows[0]
    names = [f"column_{place + 1}" for place in range(len(first))]
    date = next(p for p, cell in enumerate(first) if _DAY.fullmatch(cell) or _MOMENT.fullmatch(cell))
    if len(first) == len(_KLINES) and date == 0 and _MOMENT.fullmatch(first[6]):
        return list(_KLINES)
    names[date] = "date"
    texts = [p for p, cell in enumerate(first) if p != date and not _NUMBER.fullmatch(cell)]
    named = [p for p in texts if not _CLOCK.fullmatch(first[p])]
    for p in texts:
        names[p] = "ticker" if p in named[:1] else names[p] if p in named else "time"
    places = [p for p in range(len(first)) if p != date and p not in texts]
    prices: tuple[str, ...] = ("close", "volume")[: len(places)]
    if len(places) > 3:
        fits = (order for order in _ORDERS if _consistent(rows, dict(zip(order, places[:4], strict=True))))
        prices = (*next(fits, _ORDERS[0]), "volume")
    for place, name in zip(places, prices, strict=False):
        names[place] = name
    return names


def _consistent(rows: list[list[str]], place: dict[str, int]) -> bool:
    try:
        for row in rows:
            price = {name: float(row[column]) for name, column in place.items()}
            if max(price.values()) > price["high"] or min(price.values()) < price["low"]:
                return False
    except ValueError:
        return False
    return True


def _some(cells: list[str], most: int = 8) -> str:
    listed = ", ".join(cell if len(cell) <= 40 else f"{cell[:39]}…" for cell in cells[:most])
    return listed + (f" and {len(cells) - most} more" if len(cells) > most else "")
