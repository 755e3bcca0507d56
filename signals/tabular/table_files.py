"""Reader of one CSV or Parquet file as a table of columns, whose roles are assigned later.

Columns of names stay text, so that tickers `NA` and `TRUE`, or with leading zeros, are not converted.
"""

from __future__ import annotations

import csv
import re
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.common.errors import InputError
from signals.common.text import one_line, shown
from signals.data.column_names import CLOCKS, NAMELIKE, TICKERS, compact, field_of
from signals.tabular.csv_header import read_header
from signals.tabular.field_ticker_columns import field_ticker_pairs
from signals.tabular.table_format import TableFormat
from signals.tabular.text_files import BOMB_RATIO, EmptyTableError, open_text, reading

__all__ = [
    "MISSING",
    "SUFFIXES",
    "RawTable",
    "column_key",
    "is_price_file",
    "is_unnamed",
    "one_line",
    "read_raw",
    "shown",
    "stem",
]

_TEXT = (".csv", ".txt", ".tsv")
SUFFIXES = (*(f"{kind}{packed}" for packed in ("", ".gz", ".zip") for kind in _TEXT), ".zip", ".parquet")

DATE_KEYS = ("date", "datetime", "timestamp", "time", "day", "session", "dtyyyymmdd")
TICKER_KEYS = ("ticker", "symbol")
_SYNONYMS = {
    "adjclose": "adj_close",
    "adjusted_close": "adj_close",
    "adj_close*": "adj_close",
    "vol": "volume",
    "openint": "open_interest",
    "openinterest": "open_interest",
}
# Texts for missing numbers in data files; not applied to tickers.
MISSING = ["", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "-", "#N/A", "<NA>", "NaT"]


# Twenty times the number of stocks in New York.
MOST_COLUMNS = 100_000

# Names that tools give to the index of a frame when they write it as a column.
_INDEX = re.compile(r"index|level_\d+|__index_level_\d+__|row_?(?:number|num|nr|id)?|#|no\.?|nr\.?", re.IGNORECASE)
_UNNAMED = re.compile(r"(?:Unnamed: ?\d+(?:_level_\d+)?(?:\.\d+)*)?")


@dataclass(frozen=True, slots=True)
class RawTable:
    """Columns of one file.

    Parameters
    ----------
    frame : DataFrame
        Columns in file order with their names in the file; a table with two header rows (yfinance) has (field, ticker)
        pairs as names, and the date as `"Date"`.
    bracketed : bool
        Whether column names are written `<LIKE THIS>`, as by Stooq.
    """

    frame: pd.DataFrame
    bracketed: bool


def is_price_file(path: Path) -> bool:
    """Whether the name ends in one of `SUFFIXES`, and the file is not hidden."""
    return path.name.lower().endswith(SUFFIXES) and not path.name.startswith(".")


def stem(path: Path) -> str:
    """File name without its suffix.

    >>> stem(Path("prices/aapl.us.csv.gz"))
    'aapl.us'
    """
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)]
    return path.name


def column_key(name: object) -> str:
    """Normalize the spelling of a column name.

    >>> [column_key(name) for name in ("Adj Close", "<VOL>", "Symbol")]
    ['adj_close', 'volume', 'symbol']
    """
    key = str(name).strip().strip("<>").strip().lower().replace(" ", "_")
    return _SYNONYMS.get(key, key)


def read_raw(
    path: Path,
    *,
    what: str = "prices",
    text: Sequence[str] = (),
    form: TableFormat | None = None,
    keep_row_numbers: bool = False,
) -> RawTable:
    """Read a text table (plain, gzipped or zipped; any of `,` `;` `|` tab) or a Parquet file.

    Parameters
    ----------
    path : Path
        The file.
    what : str
        Content of the rows, for the error about a file without rows.
    text : sequence of str
        Further columns of names, by `column_key`, whose cells such as `NA` and `007` are not converted.
    form : TableFormat, optional
        Format of the table; given for price files, which have such settings.
    keep_row_numbers : bool
        Whether columns of row numbers stay, for a caller whose settings may name one of them.

    Returns
    -------
    RawTable
        Without empty lines and, unless `keep_row_numbers`, without row numbers and columns that have neither name nor
        cells.

    Raises
    ------
    InputError
        For anything that is not such a file: unknown suffix, missing, empty, damaged, undecodable, ragged lines.
    """
    if not is_price_file(path):
        raise InputError(f"expected a file ending in {', '.join(SUFFIXES)}; found {path.name}; convert it first")
    with reading(path):
        packed = path.name.lower().endswith(".parquet")
        raw = _read_parquet(path, text, form) if packed else _read_csv(path, text, form)
        frame = _without_blank_rows(raw.frame)
        frame = frame if keep_row_numbers else _without_index(frame)
        if not len(frame):
            names = [str(name) for name in frame.columns]
            found = f"no rows but the line {shown(names[0])}" if len(names) == 1 else "no rows"
            raise EmptyTableError(f"expected {what} in {path.name}; found {found}; get the file again or leave it out")
    return RawTable(frame, raw.bracketed)


def is_unnamed(name: object) -> bool:
    """Whether a column has no name in the file, or one that pandas made up."""
    return isinstance(name, str) and _UNNAMED.fullmatch(name.strip()) is not None


def _without_blank_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Leave out empty rows, which spreadsheets write below a table."""
    if not len(frame) or not frame.shape[1]:
        return frame
    first = frame.iloc[:, 0]
    if not _blank(first).any():
        return frame
    filled: NDArray[np.bool_] = np.zeros(len(frame), dtype=bool)
    for place in range(frame.shape[1]):
        filled |= ~_blank(frame.iloc[:, place])
    return frame if filled.all() else frame[filled].reset_index(drop=True)


def _blank(column: pd.Series) -> NDArray[np.bool_]:
    missing: NDArray[np.bool_] = column.isna().to_numpy(dtype=bool)
    if isinstance(column.dtype, pd.CategoricalDtype):
        blank = [isinstance(label, str) and not label.strip() for label in column.cat.categories]
        missing = missing | np.array([*blank, False], dtype=bool)[column.cat.codes.to_numpy()]
    elif column.dtype.kind == "O" or isinstance(column.dtype, pd.StringDtype):
        missing = missing | column.map(lambda cell: isinstance(cell, str) and not cell.strip()).to_numpy(dtype=bool)
    return missing


def _without_index(frame: pd.DataFrame) -> pd.DataFrame:
    """Leave out columns of row numbers, and those that have neither a name nor a cell."""
    dropped = []
    for place, name in enumerate(frame.columns):
        if not isinstance(name, str):
            continue
        unnamed = is_unnamed(name)
        if not unnamed and _INDEX.fullmatch(name.strip()) is None:
            continue
        column = frame.iloc[:, place]
        if (unnamed and _blank(column).all()) or _counts(column, strictly=not unnamed):
            dropped.append(place)
    if not dropped or frame.shape[1] - len(dropped) < 2:
        return frame
    return frame.iloc[:, [place for place in range(frame.shape[1]) if place not in dropped]]


def _counts(column: pd.Series, *, strictly: bool) -> bool:
    """Whether a column has row numbers: whole numbers, which have to be consecutive if `strictly`."""
    if not pd.api.types.is_integer_dtype(column.dtype) or column.isna().any() or not len(column):
        return False
    values = column.to_numpy(dtype=np.int64)
    return not strictly or (values[0] in (0, 1) and bool((np.diff(values) == 1).all()))


def _labels(names: Sequence[Any], more: Sequence[str], form: TableFormat | None) -> list[int]:
    """Positions of columns that are read as text: dates, tickers and those that the caller names."""

    def is_label(name: Any) -> bool:
        if not isinstance(name, str):
            return False
        if column_key(name) in (*DATE_KEYS, *TICKER_KEYS, *more):
            return True
        if form is None:
            return False
        word = compact(name)
        dated = (field_of(name) or ("",))[0] == "date"
        return dated or word in TICKERS or word in NAMELIKE or word in CLOCKS or name in form.own_names

    places = [place for place, name in enumerate(names) if is_label(name)]
    if form is None:
        return places
    # a setting may give a column of numbers the role of a field
    priced = {form.named(field) for field in (form.column_names or {}) if field not in ("date", "ticker")}
    return [place for place in places if names[place] not in priced]


def _read_parquet(path: Path, more: Sequence[str], form: TableFormat | None) -> RawTable:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        described = pq.read_metadata(path)
        if described.num_rows * described.num_columns * 8 > max(2**30, BOMB_RATIO * path.stat().st_size):
            raise InputError(
                f"expected a Parquet file of prices in {path.name}; found {described.num_rows:,} rows in "
                f"{path.stat().st_size:,} bytes, a compression that prices never have; get it again"
            )
        schema = described.schema.to_arrow_schema()
        # dictionary encoding avoids a Python object for each of millions of equal strings
        named = [schema.field(place) for place in _labels(schema.names, more, form)]
        text = [field.name for field in named if _is_text(field.type)]
        frame = pq.read_table(path, read_dictionary=text).to_pandas(date_as_object=False)
    # pandas trusts its own metadata in the file, so that damaged metadata fail in many ways
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, AttributeError, SyntaxError) as error:
        if isinstance(error, InputError | FileNotFoundError | PermissionError | IsADirectoryError):
            raise
        reason = (str(error).splitlines() or ["unreadable"])[0]
        raise InputError(
            f"expected a Parquet file {path.name}; found a damaged one ({reason[:120]}); get it again"
        ) from error
    labels = tuple(frame.columns.names)
    frame = _flat(frame)
    if isinstance(frame.columns, pd.MultiIndex):
        if frame.columns.nlevels != 2:
            raise InputError(
                f"expected at most two levels of column names in {path.name}; found {frame.columns.nlevels}; keep the "
                "field and the ticker"
            )
        pairs = field_ticker_pairs(frame.columns.tolist(), (labels[0], labels[1]), path)
        frame.columns = pd.Index(pairs, tupleize_cols=False)
    return RawTable(frame, bracketed=False)


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _flat(frame: pd.DataFrame) -> pd.DataFrame:
    """Turn the index that pandas stored into columns; one without a name is the dates, unless it is a row number."""
    dated = any((field_of(name) or ("",))[0] == "date" for name in frame.columns if isinstance(name, str))
    names: list[Any] = list(frame.index.names)
    if names == [None] and isinstance(frame.index, pd.RangeIndex):
        return frame.reset_index(drop=True)
    for place, name in enumerate(names):
        level = frame.index.get_level_values(place)
        if name is None and (isinstance(level, pd.DatetimeIndex) or (len(names) == 1 and not dated)):
            names[place] = "Date"
        elif name is None:
            names[place] = f"Unnamed: {place}" if pd.api.types.is_integer_dtype(level.dtype) else f"level_{place}"
    if doubled := [name for name in names if name in frame.columns]:
        raise InputError(f"expected each column once; found {doubled[0]!r} as column and as index; drop one")
    frame.index.names = names
    return frame.reset_index()


def _ragged(path: Path, separator: str, before: int, width: int, error: Exception) -> str:
    """Message about the first line that has more cells than the header; pandas' reason where there is none."""
    expected = f"expected {width} values in every line of {path.name}, as its header names"
    with open_text(path) as handle:
        rows = csv.reader(handle, delimiter=separator)
        try:
            for row in rows:
                if rows.line_num > before and len(row) > width:
                    remedy = (
                        "put cells with a decimal or thousands comma in quotes" if separator == "," else "correct it"
                    )
                    return f"{expected}; found {len(row)} in line {rows.line_num}; {remedy}"
        except csv.Error:
            pass
    return f"{expected}; found otherwise ({str(error).splitlines()[0][:120]}); correct the file"


def _read_csv(path: Path, more: Sequence[str], form: TableFormat | None) -> RawTable:
    head = read_header(path, form)
    names = [f"Unnamed: {place}" if name == "" else name for place, name in enumerate(head.names)]
    doubled = {name for name, count in Counter(names).items() if count > 1}
    if len(names) > MOST_COLUMNS:
        raise InputError(f"expected at most {MOST_COLUMNS:,} columns in {path.name}; found {len(names):,}; split it")
    if doubled:
        raise InputError(f"expected each column once in {path.name}; found {min(map(str, doubled))!r} twice; drop one")
    places = range(len(names))
    labels = _labels(names, more, form)
    mark = "." if form is None else form.mark
    kinds: Any = dict.fromkeys(labels, str)  # "category" would convert 000001 and 600000 to numbers
    if mark == head.separator:
        mark, kinds = ".", str  # quoted decimal commas with commas as separators: pandas would misread 1.531
    try:
        with open_text(path) as handle, warnings.catch_warnings():
            # pandas would only warn that it truncates a line longer than the header
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                handle,
                sep=head.separator,
                header=None,
                skiprows=head.lines,
                names=list(places),
                index_col=False,
                dtype=kinds,
                decimal=mark,
                keep_default_na=False,
                na_values={i: MISSING for i in places if i not in labels},
                skip_blank_lines=True,
                low_memory=False,
            )
    except (pd.errors.ParserError, pd.errors.ParserWarning, ValueError) as error:
        if isinstance(error, UnicodeDecodeError):
            raise
        raise InputError(_ragged(path, head.separator, head.lines, len(names), error)) from error
    for i in labels:
        frame[i] = frame[i].astype("category")
    frame.columns = pd.Index(names, tupleize_cols=False)
    return RawTable(frame, bracketed=any(isinstance(name, str) and name.strip().startswith("<") for name in names))
