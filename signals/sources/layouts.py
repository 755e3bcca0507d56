"""What the columns of one price file mean: long, wide, one ticker, or yfinance's two header rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.errors import InputError
from signals.sources.dates import days_of, factorized
from signals.sources.opening import one_line, shown
from signals.sources.readers import DATE_KEYS, TICKER_KEYS, RawTable, column_key, stem

__all__ = ["FIELDS", "Bars", "bars_of", "ticker_name", "tickers_of"]

FIELDS = ("open", "high", "low", "close", "adj_close", "adj_factor", "volume")

# Columns everybody writes and nobody misses; others that are left aside are named in a note.
_SILENT = {"open_interest", "per", "row_number", "dividends", "stock_splits", "capital_gains", "repaired?", *DATE_KEYS}

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bars:
    """Rows of one file or several, in file order.

    Parameters
    ----------
    days : ndarray of datetime64[D], shape (n,)
        Session of each row.
    codes : ndarray of int32, shape (n,)
        Index into `names` of each row.
    names : list of str
        Tickers, in no particular order.
    columns : dict of str to ndarray of float64
        Some of `FIELDS`, and the total return under the name the user gave.
    ignored : tuple of str
        Columns left aside.
    """

    days: NDArray[np.datetime64]
    codes: NDArray[np.int32]
    names: list[str]
    columns: dict[str, Values]
    ignored: tuple[str, ...] = ()


def ticker_name(name: str, *, stooq: bool = False) -> str:
    """Ticker as the rest of the world writes it: Stooq's `aapl.us` becomes `AAPL`, anything else stays.

    >>> ticker_name("aapl.us"), ticker_name("brk-b"), ticker_name("cdr", stooq=True)
    ('AAPL', 'brk-b', 'CDR')
    """
    name = name.strip()
    if name.lower().endswith(".us"):
        return name[:-3].upper()
    return name.upper() if stooq else name


def bars_of(raw: RawTable, path: Path, *, return_column: str | None = None, ticker: str | None = None) -> Bars:
    """Recognise the layout and give back plain rows.

    Parameters
    ----------
    raw : RawTable
        What `read_raw` found.
    path : Path
        The file, for messages, and because a file without ticker column is named after its ticker.
    return_column : str, optional
        Column of total returns to keep.
    ticker : str, optional
        Whose the bars are when no column says so; by default whose the file's name says.

    Raises
    ------
    InputError
        When there is no date, no close, a value that is no number, or bars shorter than a day.
    """
    frame = raw.frame
    if any(isinstance(name, tuple) for name in frame.columns):
        return _paired(frame, path)
    keys = {name: column_key(name) for name in frame.columns}
    wanted = {key: name for name, key in keys.items() if key in FIELDS + DATE_KEYS + TICKER_KEYS}
    for name, key in keys.items():
        if key in wanted and wanted[key] != name:
            raise InputError(f"expected one column for {key} in {path.name}; found {name} and {wanted[key]}; drop one")
    dated = next((wanted[key] for key in DATE_KEYS if key in wanted), None)
    if dated is None:
        raise InputError(
            f"expected a header with a date column in {path.name}; found {_some(map(str, frame.columns))}; "
            "name one of them Date"
        )
    _refuse_intraday(frame, wanted, dated, path)
    days = days_of(frame[dated], path)
    labels = next((wanted[key] for key in TICKER_KEYS if key in wanted), None)
    others = [name for name in frame.columns if name != dated]
    if labels is None and not {"close", "adj_close"} & set(wanted):
        if not others or all(keys[name] in FIELDS for name in others):
            raise InputError(f"expected a close in {path.name}; found {_some(map(str, frame.columns))}; add it")
        return _wide(frame, days, others, path)
    if not {"close", "adj_close"} & set(wanted):
        raise InputError(f"expected a close in {path.name}; found {_some(map(str, frame.columns))}; add it")
    if labels is None:
        codes, names = np.zeros(len(days), dtype=np.int32), [ticker or ticker_name(stem(path), stooq=raw.bracketed)]
    else:
        codes, names = tickers_of(frame[labels], path, stooq=raw.bracketed)
    columns = {key: _numbers(frame[wanted[key]], path) for key in FIELDS if key in wanted}
    if return_column is not None and return_column in frame.columns:
        columns["return"] = _numbers(frame[return_column], path)
    used = {dated, labels, return_column, *(wanted[key] for key in columns if key in wanted)}
    ignored = tuple(str(name) for name in others if name not in used and keys[name] not in _SILENT)
    return Bars(days, codes, names, columns, ignored)


def _some(names: Any, most: int = 8) -> str:
    listed = list(names)
    named = ", ".join(name if len(name) <= 40 else f"{name[:39]}…" for name in listed[:most])
    return named + (f" and {len(listed) - most} more" if len(listed) > most else "")


def _wide(frame: pd.DataFrame, days: NDArray[np.datetime64], names: list[Any], path: Path) -> Bars:
    closes = np.empty((len(days), len(names)))
    for column, name in enumerate(names):
        closes[:, column] = _numbers(frame[name], path)
    rows, codes = np.nonzero(~np.isnan(closes))
    if not len(rows):
        raise InputError(f"expected prices in {path.name}; found no number; get the file again")
    labels = [ticker_name(str(name)) for name in names]
    return Bars(days[rows], codes.astype(np.int32), labels, {"close": closes[rows, codes]})


def _paired(frame: pd.DataFrame, path: Path) -> Bars:
    """Lay out yfinance's (field, ticker) columns as rows."""
    days = days_of(frame["Date"], path)
    pairs = [name for name in frame.columns if isinstance(name, tuple)]
    names = list(dict.fromkeys(name[1] for name in pairs))
    place = {name: column for column, name in enumerate(names)}
    columns: dict[str, Values] = {}
    ignored: dict[str, None] = {}
    for name in pairs:
        key = column_key(name[0])
        if key not in FIELDS:
            if key not in _SILENT:
                ignored[name[0]] = None
            continue
        table = columns.setdefault(key, np.full((len(days), len(names)), np.nan))
        table[:, place[name[1]]] = _numbers(frame[name], path)
    flat = {key: table.ravel() for key, table in columns.items()}
    codes = np.tile(np.arange(len(names), dtype=np.int32), len(days))
    return Bars(np.repeat(days, len(names)), codes, [ticker_name(name) for name in names], flat, tuple(ignored))


def _refuse_intraday(frame: pd.DataFrame, wanted: dict[str, Any], dated: Any, path: Path) -> None:
    remedy = "daily bars only: aggregate minute and hourly bars to days first"
    period = next((name for name in frame.columns if column_key(name) == "per"), None)
    if period is not None:
        odd = [value for value in pd.unique(frame[period]) if str(value).strip().upper() not in ("D", "1440")]
        if odd:
            raise InputError(f"expected daily bars (PER = D) in {path.name}; found PER = {odd[0]}; {remedy}")
    clock = wanted.get("time")
    if clock is not None and clock != dated:
        odd = [value for value in pd.unique(frame[clock].astype(str)) if value.strip("0:. ") not in ("", "nan")]
        if odd:
            raise InputError(f"expected daily bars in {path.name}; found the time {odd[0]}; {remedy}")


def tickers_of(column: pd.Series, path: Path, *, stooq: bool = False) -> tuple[NDArray[np.int32], list[str]]:
    """Index of each row into the tickers, which are brought to the one spelling; a missing one is an error."""
    codes, labels = factorized(column, path)
    if (codes < 0).any():
        raise InputError(
            f"expected a ticker in every row of {path.name}; found none in row {_first(codes < 0)}; add it"
        )
    names = [ticker_name(str(label), stooq=stooq) for label in labels]
    if "" in names:
        row = _first(codes == names.index(""))
        raise InputError(f"expected a ticker in every row of {path.name}; found none in row {row}; add it")
    if len(set(names)) < len(names):
        # AAPL and aapl.us in one file: one ticker, whose rows are then checked for duplicates like any other
        unique = {name: code for code, name in enumerate(dict.fromkeys(names))}
        codes = np.array([unique[name] for name in names])[codes]
        names = list(unique)
    return codes.astype(np.int32), names


def _numbers(column: pd.Series, path: Path) -> Values:
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    cells = column.astype(object)
    try:
        values = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    except (OverflowError, TypeError, ValueError):  # whole numbers beyond any float, cells that are lists
        values = np.array([_number(cell) for cell in cells])
    bad = np.isnan(values) & column.notna().to_numpy()
    if bad.any() or pd.api.types.is_bool_dtype(column.dtype):
        row = _first(bad) if bad.any() else 1
        name = " ".join(column.name) if isinstance(column.name, tuple) else column.name
        raise InputError(
            f"expected numbers in column {name} of {path.name}; found {_found(column.iloc[row - 1])} in row {row}; "
            "mend the file"
        )
    return np.asarray(values)


def _number(cell: object) -> float:
    """Read a cell of unknown kind; NaN when it holds no number."""
    if not isinstance(cell, str | int | float) or isinstance(cell, bool):
        return np.nan
    try:
        return float(cell)
    except ValueError:
        return np.nan
    except OverflowError:
        return np.inf


def _found(value: object) -> str:
    return shown(value) if isinstance(value, str) else one_line(repr(value))[:60]


def _first(flags: Any) -> int:
    return int(np.argmax(np.asarray(flags))) + 1
