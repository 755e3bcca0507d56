"""Reader of number columns: decimal commas, thousands separators, currency signs, volumes in millions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.common.errors import InputError
from signals.common.text import one_line, shown
from signals.tabular.table_format import PLAIN, TableFormat

__all__ = ["numbers_of"]

Values = NDArray[np.float64]

_BLANKS = "[ \u00a0\u2009\u202f]"
_MARKS: Mapping[str, str] = {" ": _BLANKS, "'": "['\u2019]"}
_CURRENCY = "[$\u20ac\u00a3\u00a5\u20b9]"
_SCALES = {"": 1.0, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}

# Decimal and thousands marks in use, the most frequent first.
_STYLES = ((".", None), (".", ","), (",", None), (",", "."), (".", " "), (",", " "), (".", "'"), (",", "'"), (".", "_"))

# Cells from which the format of numbers is recognised.
_SAMPLE = 20_000


def numbers_of(
    column: pd.Series,
    path: Path,
    form: TableFormat = PLAIN,
    *,
    volume: bool = False,
    others: Callable[[], Iterable[pd.Series]] = tuple,
) -> Values:
    """Read a column of numbers.

    Parameters
    ----------
    column : Series
        Numbers, or text with numbers.
    path : Path
        The file, for messages.
    form : TableFormat
        Decimal and thousands marks. Groups must have the right number of digits, so that `100,36` is never 10036.
    volume : bool
        Whether rounded numbers such as `4.88M` are accepted.
    others : callable
        Returns the other number columns of the table; settings that a message proposes have to fit these too.

    Returns
    -------
    ndarray of float64, shape (n,)
        NaN for missing cells.

    Raises
    ------
    InputError
        Naming the first cell that is not a number, and the settings with which it could be read.
    """
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    cells = column.astype(object)
    missing = column.isna().to_numpy()
    if form.mark == "." and form.thousands is None:
        try:
            values = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        except (OverflowError, TypeError, ValueError):  # whole numbers beyond any float, cells that are lists
            values = np.array([_number(cell) for cell in cells])
    else:
        values = np.array([np.nan if isinstance(cell, str) else _number(cell) for cell in cells], dtype=np.float64)
    bad = np.isnan(values) & ~missing
    if bad.any():
        values = np.array(values)
        values[bad] = _parsed(cells[bad], form.mark, form.thousands, volume=volume)
        bad = np.isnan(values) & ~missing
    if bad.any() or pd.api.types.is_bool_dtype(column.dtype):
        row = int(np.argmax(bad)) + 1 if bad.any() else 1
        name = " ".join(map(str, column.name)) if isinstance(column.name, tuple) else column.name
        raise InputError(
            f"expected numbers in column {name} of {path.name}; found {_found(column.iloc[row - 1])} in row {row}; "
            f"{_remedy(column, others(), form, volume)}"
        )
    return np.asarray(values)


def _parsed(cells: pd.Series, mark: str, thousands: str | None, *, volume: bool) -> Values:
    """Numbers of cells in one format; NaN for other cells."""
    texts = cells.map(lambda cell: cell.strip() if isinstance(cell, str) else "").astype(str)
    parts = texts.str.extract(_pattern(mark, thousands, volume))
    digits = parts["digits"]
    if thousands is not None:
        digits = digits.str.replace(_MARKS.get(thousands, re.escape(thousands)), "", regex=True)
    if mark != ".":
        digits = digits.str.replace(mark, ".", regex=False)
    values = pd.to_numeric(parts["sign"].str.cat(digits), errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    if not volume:
        return np.asarray(values)
    scale = parts["scale"].str.upper().map(_SCALES).to_numpy(dtype=np.float64, na_value=1.0)
    return np.asarray(values * np.where(np.isnan(scale), 1.0, scale))


@lru_cache(maxsize=64)
def _pattern(mark: str, thousands: str | None, volume: bool) -> re.Pattern[str]:
    whole = r"\d+"
    if thousands is not None:
        # groups of three, or of two before the last as in India
        group = _MARKS.get(thousands, re.escape(thousands))
        whole = rf"(?:\d+|\d{{1,3}}(?:{group}\d{{2,3}})*{group}\d{{3}})"
    point = re.escape(mark)
    scale = r"(?P<scale>[KMBTkmbt]?)" if volume else ""
    return re.compile(
        rf"^(?:{_CURRENCY}{_BLANKS}?)?(?P<sign>[+-]?)(?:{_CURRENCY}{_BLANKS}?)?"
        rf"(?P<digits>(?:{whole}(?:{point}\d*)?|{point}\d+)(?:[eE][+-]?\d+)?){scale}(?:{_BLANKS}?{_CURRENCY})?$",
        re.ASCII,
    )


def _remedy(column: pd.Series, others: Iterable[pd.Series], form: TableFormat, volume: bool) -> str:
    """Name the settings with which the column and every other one can be read."""
    own = _texts(column)
    texts = [cells for other in others if len(cells := _texts(other))]
    styles = [
        style
        for style in _STYLES
        if len(own)
        and style != (form.mark, form.thousands)
        and _fits(own, *style, volume=volume)
        and all(_fits(cells, *style, volume=True) for cells in texts)
    ]
    # where a decimal mark alone fits, it is not proposed with a thousands mark
    styles = [style for style in styles if style[1] is None or (style[0], None) not in styles]
    settings = [_settings(*style, spelled=form.decimal is not None) for style in styles[:2]]
    if not settings:
        return "correct the file"
    return f"set {settings[0]}" + (f", or {settings[1]}, whichever the numbers mean" if settings[1:] else "")


def _settings(mark: str, thousands: str | None, *, spelled: bool) -> str:
    named = [f'decimal = "{mark}"'] if mark != "." or spelled else []
    named += [f'thousands = "{thousands}"'] if thousands is not None else []
    return " and ".join(named)


def _texts(column: pd.Series) -> pd.Series:
    """Distinct texts among the first cells of a column."""
    if pd.api.types.is_numeric_dtype(column.dtype):
        return pd.Series(dtype=object)
    cells = column.dropna().astype(object).iloc[:_SAMPLE]
    return pd.Series(cells[cells.map(lambda cell: isinstance(cell, str))].unique(), dtype=object)


def _fits(cells: pd.Series, mark: str, thousands: str | None, *, volume: bool) -> bool:
    return not np.isnan(_parsed(cells, mark, thousands, volume=volume)).any()


def _number(cell: object) -> float:
    """Read a cell of unknown type; NaN when it is not a number."""
    if not isinstance(cell, str | int | float | np.number) or isinstance(cell, bool):
        return np.nan
    try:
        return float(cell)
    except ValueError:
        return np.nan
    except OverflowError:
        return np.inf


def _found(value: Any) -> str:
    return shown(value) if isinstance(value, str) else one_line(repr(value))[:60]
