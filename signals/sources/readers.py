"""One price file as a table of columns, before anybody asks what the columns mean.

Text stays text where it names things: a ticker `NA` or `TRUE`, or one with leading zeros, survives.
"""

from __future__ import annotations

import csv
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from signals.errors import InputError
from signals.sources.opening import BOMB_RATIO, first_lines, one_line, open_text, reading, shown

__all__ = ["MISSING", "SUFFIXES", "RawTable", "column_key", "is_price_file", "one_line", "read_raw", "shown", "stem"]

SUFFIXES = (".csv", ".csv.gz", ".txt", ".txt.gz", ".parquet")

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
# What data files write for "no number". Never applied to tickers.
MISSING = ["", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "-", "#N/A", "<NA>", "NaT"]


# Twenty times the stocks of New York side by side.
MOST_COLUMNS = 100_000


@dataclass(frozen=True, slots=True)
class RawTable:
    """Columns of one file.

    Parameters
    ----------
    frame : DataFrame
        Columns in file order under the names the file gave them; a table with two header rows (yfinance) has
        (field, ticker) pairs as names, and the date as `"Date"`.
    bracketed : bool
        Column names were written `<LIKE THIS>`, as Stooq does.
    """

    frame: pd.DataFrame
    bracketed: bool


def is_price_file(path: Path) -> bool:
    """Whether the name ends like a file this module reads."""
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
    """Bring a column name to one spelling.

    >>> [column_key(name) for name in ("Adj Close", "<VOL>", "Symbol")]
    ['adj_close', 'volume', 'symbol']
    """
    key = str(name).strip().strip("<>").strip().lower().replace(" ", "_")
    return _SYNONYMS.get(key, key)


def read_raw(path: Path, *, what: str = "prices", text: Sequence[str] = ()) -> RawTable:
    """Read a CSV (plain or gzipped, any of `,` `;` tab) or Parquet file.

    Parameters
    ----------
    path : Path
        The file.
    what : str
        What its rows are, for the error about a file without any.
    text : sequence of str
        More columns, by `column_key`, whose words name things, so that `NA` and `007` stay what they are.

    Raises
    ------
    InputError
        For anything that is not such a file: unknown suffix, missing, empty, damaged, undecodable, ragged lines.
    """
    if not is_price_file(path):
        raise InputError(f"expected a file ending in {', '.join(SUFFIXES)}; found {path.name}; convert it first")
    with reading(path):
        raw = _read_parquet(path, text) if path.name.lower().endswith(".parquet") else _read_csv(path, text)
    if not len(raw.frame):
        raise InputError(f"expected {what} in {path.name}; found no rows; get the file again or leave it out")
    return raw


def _read_parquet(path: Path, more: Sequence[str] = ()) -> RawTable:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        described = pq.read_metadata(path)
        if described.num_rows * described.num_columns * 8 > max(2**30, BOMB_RATIO * path.stat().st_size):
            raise InputError(
                f"expected a Parquet file of prices in {path.name}; found {described.num_rows:,} rows in "
                f"{path.stat().st_size:,} bytes, which no prices shrink to; get it again"
            )
        schema = described.schema.to_arrow_schema()
        # millions of equal strings would cost a Python object each
        named = [field for field in schema if column_key(field.name) in (*TICKER_KEYS, *more)]
        text = [field.name for field in named if _is_text(field.type)]
        frame = pq.read_table(path, read_dictionary=text).to_pandas(date_as_object=False)
    # pandas reads its own description out of the file and trusts it: a damaged one fails in many ways
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, AttributeError, SyntaxError) as error:
        if isinstance(error, InputError | FileNotFoundError | PermissionError | IsADirectoryError):
            raise
        reason = (str(error).splitlines() or ["unreadable"])[0]
        raise InputError(
            f"expected a Parquet file {path.name}; found a damaged one ({reason[:120]}); get it again"
        ) from error
    frame = _flat(frame)
    if isinstance(frame.columns, pd.MultiIndex):
        frame.columns = pd.Index(_pairs(frame.columns.tolist()), tupleize_cols=False)
    return RawTable(frame, bracketed=False)


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _flat(frame: pd.DataFrame) -> pd.DataFrame:
    """Turn the index pandas stored into columns; one without a name is the dates, unless those are elsewhere."""
    names = list(frame.index.names)
    if names == [None]:
        dated = any(column_key(name) in DATE_KEYS for name in frame.columns)
        if dated or isinstance(frame.index, pd.RangeIndex):
            return frame.reset_index(drop=True)
        names = ["Date"]
    if doubled := [name for name in names if name in frame.columns]:
        raise InputError(f"expected each column once; found {doubled[0]!r} as column and as index; drop one")
    frame.index.names = names
    return frame.reset_index()


def _pairs(names: list[tuple[object, ...]]) -> list[object]:
    """(field, ticker) names in that order, whichever way round yfinance grouped them; the date as `Date`."""
    first = [column_key(name[0]) for name in names if column_key(name[0]) not in DATE_KEYS]
    turned = not {"close", "adj_close"} & set(first)
    pairs: list[object] = []
    for name in names:
        if column_key(name[0]) in DATE_KEYS:
            pairs.append("Date")
        else:
            pairs.append((str(name[1]), str(name[0])) if turned else (str(name[0]), str(name[1])))
    return pairs


def _read_csv(path: Path, more: Sequence[str] = ()) -> RawTable:
    lines = first_lines(path, 4)
    separator = max(",;\t", key=lines[0].count)
    try:
        rows = [row for line in lines for row in csv.reader([line], delimiter=separator)]
    except csv.Error as error:
        raise InputError(f"expected a table in {path.name}; found a damaged line ({error}); get it again") from error
    names, headers = _header(rows)
    keys = [column_key(name) if isinstance(name, str) else "" for name in names]
    doubled = {name for name, count in Counter(names).items() if count > 1}
    if len(names) > MOST_COLUMNS:
        raise InputError(f"expected at most {MOST_COLUMNS:,} columns in {path.name}; found {len(names):,}; split it")
    if doubled:
        raise InputError(f"expected each column once in {path.name}; found {min(map(str, doubled))!r} twice; drop one")
    places = range(len(names))
    labels = [i for i in places if keys[i] in (*DATE_KEYS, *TICKER_KEYS, *more)]
    try:
        with open_text(path) as handle, warnings.catch_warnings():
            # a line longer than the header would otherwise be cut with no more than a warning
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                handle,
                sep=separator,
                header=None,
                skiprows=headers,
                names=list(places),
                index_col=False,
                dtype=dict.fromkeys(labels, str),  # "category" would make numbers of 000001 and 600000
                keep_default_na=False,
                na_values={i: MISSING for i in places if i not in labels},
                skip_blank_lines=True,
                low_memory=False,
            )
    except (pd.errors.ParserError, pd.errors.ParserWarning, ValueError) as error:
        if isinstance(error, UnicodeDecodeError):
            raise
        raise InputError(
            f"expected {len(names)} values in every line of {path.name}, as its header names; found otherwise "
            f"({str(error).splitlines()[0][:120]}); mend the file"
        ) from error
    for i in labels:
        frame[i] = frame[i].astype("category")
    frame.columns = pd.Index(names, tupleize_cols=False)
    return RawTable(frame, bracketed=any(isinstance(name, str) and name.strip().startswith("<") for name in names))


def _header(rows: list[list[str]]) -> tuple[list[object], int]:
    """Column names, and how many lines they take: one, or two or three as yfinance writes several tickers."""
    first, second = rows[0], rows[1] if len(rows) > 1 else []
    fields = {column_key(name) for name in first[1:]}, {column_key(name) for name in second[1:]}
    corners = {"price", "ticker", "attributes", ""}
    double = (
        len(first) == len(second) > 1
        and column_key(first[0]) in corners
        and column_key(second[0]) in corners
        and ("close" in fields[0] or "close" in fields[1])
    )
    if not double:
        names: list[object] = [name.strip() for name in first]
        if names[0] == "":
            # pandas writes an index without a name like this: dates, or mere row numbers beside a date column
            dated = any(column_key(name) in DATE_KEYS for name in names[1:])
            names[0] = "row number" if dated else "Date"
        return names, 1
    third = rows[2] if len(rows) > 2 else []
    named = len(third) == len(first) and column_key(third[0]) in DATE_KEYS and not any(third[1:])
    return _pairs([("Date", ""), *zip(first[1:], second[1:], strict=True)]), 3 if named else 2
