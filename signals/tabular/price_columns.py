"""Roles of the columns of a price table: date, ticker, fields, and others."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.common.errors import InputError
from signals.common.text import shown
from signals.data.column_names import COMPANIONS, NAMELIKE, OTHERS, TICKERS, compact, field_of, is_canonical, is_upper
from signals.tabular.field_ticker_columns import plain_name
from signals.tabular.table_format import FIELDS, TableFormat

__all__ = [
    "Roles",
    "assign_roles",
    "date_column",
    "is_companion",
    "is_number",
    "is_text",
    "is_ticker_like",
    "likely_close",
    "listed",
    "naming_column",
    "nested_prices",
    "quoted",
    "without_comment",
]

_TICKER = re.compile(r"[A-Z0-9][A-Z0-9.\-_^=/:]{0,14}")

# Cells that can be dates: digits with separators or a month, a moment, or digits alone.
_DATELIKE = re.compile(r"\s*(?:\d{5,19}(?:\.0)?|.*\d.*[-/ :年].*|\d+\.\d+\.\d+\.?.*)\s*", re.DOTALL)

# Ratio of high to low that few daily bars exceed, even of small companies.
_WIDEST_BAR = 1.2

# Rows from which the content of a column is recognised.
_SAMPLE = 5_000


@dataclass(frozen=True, slots=True)
class Roles:
    """Roles of the columns of a table.

    Parameters
    ----------
    date : object
        Column of dates.
    fields : dict of str to object
        Column of each field found.
    likely : bool
        Whether the close has an ambiguous name such as Price or Last, and is used because no other column is a close.
    words : list
        Columns that usually accompany prices, and second columns of a field.
    unknown : list
        All others.
    """

    date: Any
    fields: dict[str, Any]
    likely: bool
    words: list[Any]
    unknown: list[Any]


def date_column(frame: pd.DataFrame, path: Path, form: TableFormat) -> Any:
    """Find the column of dates.

    Raises
    ------
    InputError
        When there is none, naming the column that looks like one, or when there are two.
    """
    given = form.named("date")
    if given:
        return given_column(frame, given, "date", path)
    candidates = [name for name in frame.columns if (field_of(plain_name(str(name))) or ("",))[0] == "date"]
    like = None
    if len(candidates) != 1 or not _datelike(frame[candidates[0]]):
        # a ticker may be TIME or DAY
        like = next((name for name in frame.columns if _datelike(frame[name], strictly=True)), None)
        dated = [name for name in candidates if _datelike(frame[name])]
        candidates = dated if dated or (like is not None and like not in candidates) else candidates
    if not candidates:
        remedy = f"set column_names = {{ date = {quoted(like)} }}" if like is not None else "name one of them Date"
        raise InputError(
            f"expected a header with a date column in {path.name}; found {listed(map(str, frame.columns))}; {remedy}"
        )
    order = ["date", "datetime", "timestamp"]
    words = [compact(name) for name in candidates]
    for word in order:
        if words.count(word) > 1:
            first, second = (name for name, other in zip(candidates, words, strict=True) if other == word)
            raise InputError(
                f"expected one column for date in {path.name}; found {first} and {second}; drop one, or set "
                f"column_names = {{ date = {quoted(first)} }}"
            )
    return next((candidates[words.index(word)] for word in order if word in words), candidates[0])


def _datelike(column: pd.Series, *, strictly: bool = False) -> bool:
    if column.dtype.kind == "M" or isinstance(column.dtype, pd.DatetimeTZDtype):
        return True
    cells = column.dropna().astype(object).iloc[:20]
    texts = [str(cell).strip() for cell in cells if str(cell).strip()]
    if strictly and column.dtype.kind in "iuf":
        return False
    return bool(texts) and all(_DATELIKE.fullmatch(text) for text in texts)


def without_comment(frame: pd.DataFrame, date: Any) -> tuple[pd.DataFrame, str | None]:
    """Leave out a last row with a comment in the first cell alone, as of Barchart; also return the comment."""
    if len(frame) < 2 or frame.columns[0] != date or frame.shape[1] < 2:
        return frame, None
    first, *others = frame.iloc[-1]
    empty = all(pd.isna(cell) or (isinstance(cell, str) and not cell.strip()) for cell in others)
    if not (empty and isinstance(first, str) and len(re.findall(r"[^\W\d_]{3,}", first)) >= 3):
        return frame, None
    return frame.iloc[:-1], first.strip()


def given_column(frame: pd.DataFrame, name: str, what: str, path: Path) -> Any:
    """Return a column that a setting names.

    Raises
    ------
    InputError
        When there is none of that name.
    """
    if name not in frame.columns:
        raise InputError(
            f"expected a column {name!r} for {what} in {path.name}; found {listed(map(str, frame.columns))}; correct "
            "the name"
        )
    return name


def assign_roles(frame: pd.DataFrame, date: Any, path: Path, form: TableFormat) -> Roles:
    """Find the column of each price field: by the settings, then by unambiguous names, then by ambiguous ones.

    Parameters
    ----------
    frame : DataFrame
        Table as read from the file.
    date : hashable
        Name of the date column, which has no other role.
    path : Path
        File of the table, for messages.
    form : TableFormat
        Settings of the file; `column_names` assigns a column to a field, or none with an empty name.

    Returns
    -------
    Roles
        Column of each field that was found, and the names of the columns that are not used. An ambiguous name is used
        for the close only, when no other column is the close or the adjusted close.

    Raises
    ------
    InputError
        When two columns could be the same field, naming the setting that decides, or a named column does not exist.
    """
    certain: dict[str, list[Any]] = {}
    likely: list[Any] = []
    taken = {name for field in FIELDS if (name := form.named(field))}
    for name in frame.columns:
        known = field_of(name)
        if name == date or name in taken or known is None or known[0] == "date":
            continue
        if known[1]:
            certain.setdefault(known[0], []).append(name)
        elif pd.api.types.is_numeric_dtype(frame[name].dtype) or not is_text(frame[name]):
            likely.append(name)
    fields: dict[str, Any] = {}
    for field in FIELDS:
        given = form.named(field)
        if given:
            fields[field] = given_column(frame, given, field, path)
        elif given is None and field in certain:
            fields[field] = _one_of(certain[field], field, path)
    by_default = form.named("close") is None and not {"close", "adj_close"} & fields.keys() and bool(likely)
    if by_default:
        fields["close"] = _likely_of(likely, path)
    used = {date, *fields.values()}
    words = [n for n in frame.columns if n not in used and (field_of(n) is not None or compact(n) in OTHERS)]
    unknown = [n for n in frame.columns if n not in used and n not in words]
    return Roles(date, fields, by_default, words, unknown)


def _one_of(names: list[Any], field: str, path: Path) -> Any:
    """Choose among several columns for one field that with its canonical name."""
    plain = [name for name in names if is_canonical(name, field)]
    if len(plain) == 1:
        return plain[0]
    if len(names) == 1:
        return names[0]
    first, second, *_ = plain or names
    raise InputError(
        f"expected one column for {field} in {path.name}; found {second} and {first}; drop one, or set column_names = "
        f"{{ {field} = {quoted(first)} }}"
    )


def _likely_of(names: list[Any], path: Path) -> Any:
    if len(names) > 1:
        wide = ', or set layout = "wide" if each column holds the closes of a ticker'
        raise InputError(
            f"expected a close in {path.name}; found {listed(map(str, names))}; set column_names = {{ close = "
            f"{quoted(names[0])} }}, or name another of them{wide if all(map(is_upper, names)) else ''}"
        )
    return names[0]


def likely_close(frame: pd.DataFrame, roles: Roles) -> Any:
    """Column that could be the close: numbers between low and high, or the only column of numbers."""
    numbers = [name for name in (*roles.unknown, *roles.words) if is_number(frame[name])]
    if {"high", "low"} <= roles.fields.keys():
        low, high = (_sampled(frame[roles.fields[q]]) for q in ("low", "high"))
        for name in numbers:
            values = _sampled(frame[name])
            if ((values >= low * (1 - 1e-6)) & (values <= high * (1 + 1e-6)) | low.isna() | values.isna()).all():
                return name
        return None
    closes = [name for name in roles.unknown if name in numbers and "close" in compact(name)]
    return closes[0] if closes else numbers[0] if len(numbers) == 1 and numbers[0] in roles.unknown else None


def nested_prices(frame: pd.DataFrame, names: list[Any]) -> dict[str, Any] | None:
    """Columns that can be the four prices of one ticker, by field, whatever their names; None where there are none.

    Of the first four columns of numbers one is the highest and another the lowest in every row, and they are close to
    each other, which is usual for bars but unlikely for the closes of four stocks.
    """
    numbers = [name for name in names if is_number(frame[name])][:4]
    if len(numbers) < 4 or len(frame) < 3:
        return None
    values = np.array([_sampled(frame[name]) for name in numbers], dtype=np.float64)
    values = values[:, np.isfinite(values).all(axis=0) & (values > 0).all(axis=0)]
    if values.shape[1] < 3 or np.median(values.max(axis=0) / values.min(axis=0)) > _WIDEST_BAR:
        return None
    highs = [place for place in range(4) if (values[place] >= values.max(axis=0)).all()]
    lows = [place for place in range(4) if (values[place] <= values.min(axis=0)).all()]
    if len(highs) != 1 or len(lows) != 1 or highs == lows:
        return None
    first, second = (place for place in range(4) if place not in (*highs, *lows))
    return {
        field: numbers[place]
        for field, place in zip(("open", "high", "low", "close"), (first, *highs, *lows, second), strict=True)
    }


def naming_column(frame: pd.DataFrame, roles: Roles, path: Path, form: TableFormat, stem: str) -> Any:
    """Find the column of tickers; None where the file's name is the ticker.

    A column with a usual name of identifiers is used. A column whose name is ambiguous is used when its cells are
    identifiers. Any other column of identifiers is refused by name.

    Raises
    ------
    InputError
        When a column looks like tickers and neither its name nor a setting confirms it.
    """
    given = form.named("ticker")
    if given is not None:
        return given_column(frame, given, "tickers", path) if given else None
    by_word = {compact(name): name for name in reversed(roles.unknown)}
    priced = bool({"close", "adj_close"} & roles.fields.keys())
    for word in TICKERS:
        # in a table of closes, TIC and SID may be tickers
        if word in by_word and (priced or word in ("ticker", "symbol") or _identifies(frame[by_word[word]])):
            return by_word[word]
    days = frame[roles.date]
    crowded = bool(days.duplicated().any())
    for name in [by_word[word] for word in NAMELIKE if word in by_word]:
        labels = _labels(frame[name])
        if labels is None:
            continue
        distinct = labels.nunique()
        if _names_rows(labels, days) or (distinct == 1 and _suits(str(labels.iloc[0]), stem)):
            return name
        if distinct > 1 and crowded:
            _refuse_unnamed(name, labels, path)
    for name in roles.unknown:
        labels = _labels(frame[name])
        if labels is not None and labels.nunique() > 1 and _names_rows(labels, days, ticker_spelling=True):
            _refuse_unnamed(name, labels, path)
    if crowded:
        for name in (*roles.unknown, *roles.words):
            column = frame[name]
            if pd.api.types.is_integer_dtype(column.dtype) and _names_rows(column.astype(str), days):
                _refuse_unnamed(name, column, path)
    return None


def _refuse_unnamed(name: Any, labels: pd.Series, path: Path) -> None:
    first, other = labels.iloc[0], labels[labels != labels.iloc[0]].iloc[0]
    raise InputError(
        f"expected a ticker column in {path.name}; found the column {name}, which looks like one ({shown(first)}, "
        f'{shown(other)}, …); set ticker_column = {quoted(name)}, or ticker_column = "" if the file holds one ticker'
    )


def _labels(column: pd.Series) -> pd.Series | None:
    """Cells of a column of text; None for other columns."""
    if not is_text(column):
        return None
    return column.astype(object).map(lambda cell: cell.strip() if isinstance(cell, str) else "")


def is_text(column: pd.Series) -> bool:
    """Whether a column consists of words."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        values = pd.Series(column.cat.categories).astype(object)
    elif column.dtype.kind == "O" or isinstance(column.dtype, pd.StringDtype):
        cells = dict.fromkeys(cell for cell in column.iloc[:_SAMPLE] if isinstance(cell, str))
        values = pd.Series(list(cells), dtype=object)
    else:
        return False
    texts = values[values.map(lambda cell: isinstance(cell, str) and bool(cell.strip()))]
    if not len(texts):
        return False
    return bool(texts.str.contains(r"[^\W\d_]", regex=True).mean() > 0.5) and not texts.map(_valued).all()


def _identifies(column: pd.Series) -> bool:
    """Whether cells are words or whole numbers, as identifiers are, in contrast to prices."""
    if pd.api.types.is_integer_dtype(column.dtype) or is_text(column):
        return True
    if not isinstance(column.dtype, pd.CategoricalDtype):
        return False
    return all(str(label).strip().isdecimal() for label in column.cat.categories)


def _valued(text: str) -> bool:
    """Whether a text is a number in a vendor's format: 4.88M, $5, 1e5."""
    return re.fullmatch(r"\s*[$€£¥]?[+-]?[\d.,' ]*\d(?:[eE][+-]?\d+)?\s*[KMBTkmbt%]?\s*", text) is not None


def is_number(column: pd.Series) -> bool:
    """Whether a column consists of numbers, or of texts most of which are plain numbers."""
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        return True
    return bool(_sampled(column).notna().mean() > 0.5)


def _sampled(column: pd.Series) -> pd.Series:
    """First cells of a column as numbers; NaN for other cells."""
    cells = column.iloc[:_SAMPLE].astype(object)
    try:
        return pd.to_numeric(cells, errors="coerce").astype(np.float64)
    except (OverflowError, TypeError):  # whole numbers beyond 64 bits, or bytes, dates and the like
        return cells.map(_number_of)


def _number_of(cell: object) -> float:
    try:
        return float(str(cell))
    except ValueError:
        return np.nan


def _names_rows(labels: pd.Series, days: pd.Series, *, ticker_spelling: bool = False) -> bool:
    """Whether labels distinguish the rows of a date, or divide a table into blocks, as tickers do."""
    codes = pd.factorize(labels)[0]
    distinct = int(codes.max()) + 1 if len(codes) else 0
    if distinct < 2:
        return False
    places = pd.factorize(days.astype(object))[0]
    if len(np.unique(places)) < len(places):
        pairs = places.astype(np.int64) * distinct + codes
        return len(np.unique(pairs)) == len(pairs)
    changes: NDArray[np.bool_] = codes[1:] != codes[:-1]
    spelled = not ticker_spelling or all(_TICKER.fullmatch(str(label)) for label in pd.unique(labels))
    return bool(spelled and changes.sum() == distinct - 1 and distinct <= len(codes) // 2)


def _suits(label: str, stem: str) -> bool:
    """Whether the only label of a file is a ticker: spelled like one, or the name of the file."""
    return _TICKER.fullmatch(label) is not None or label.lower() == stem.lower()


def is_ticker_like(name: Any) -> bool:
    """Whether a column name could be a ticker although it is a word of price tables."""
    return is_upper(name) and compact(name) not in ("volume", "vol") and compact(name) != ""


def is_companion(name: Any) -> bool:
    """Whether a column is a usual companion of prices, which is ignored without a warning."""
    return compact(name) in COMPANIONS


def quoted(name: object) -> str:
    """Quote a column name as in TOML."""
    text = str(name)
    return (
        "'" + text + "'"
        if '"' in text and "'" not in text
        else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    )


def listed(names: Any, most: int = 8) -> str:
    """List the first of some names, and count the others."""
    texts = list(names)
    first = ", ".join(text if len(text) <= 40 else f"{text[:39]}…" for text in texts[:most])
    return first + (f" and {len(texts) - most} more" if len(texts) > most else "")
