"""Layouts of price tables (long, wide, one ticker, or (field, ticker) columns), and conversion to bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.calendar import exchange_zone
from signals.common.errors import InputError
from signals.common.text import shown
from signals.data.column_names import compact, field_of, is_upper, is_wordy
from signals.tabular.date_columns import days_of, factorized
from signals.tabular.field_ticker_columns import split_names
from signals.tabular.misplaced_tables import (
    refuse_dates_across,
    refuse_exchanged,
    refuse_factor,
    refuse_fields_below,
    without_headers,
)
from signals.tabular.number_columns import numbers_of
from signals.tabular.price_columns import (
    Roles,
    assign_roles,
    date_column,
    is_companion,
    is_number,
    is_text,
    is_ticker_like,
    likely_close,
    listed,
    naming_column,
    nested_prices,
    quoted,
    without_comment,
)
from signals.tabular.table_files import RawTable, is_unnamed, stem
from signals.tabular.table_format import FIELDS, PLAIN, TableFormat
from signals.tabular.text_files import EmptyTableError

__all__ = ["FIELDS", "TableBars", "bars_of", "ticker_name", "tickers_of"]

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TableBars:
    """Bars of one file or several, in file order.

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
        Columns that were ignored.
    warnings : tuple of str
        Warnings for the report: what was assumed or left out.
    """

    days: NDArray[np.datetime64]
    codes: NDArray[np.int32]
    names: list[str]
    columns: dict[str, Values]
    ignored: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def ticker_name(name: str, *, stooq: bool = False) -> str:
    """Normalize a ticker: Stooq's `aapl.us` becomes `AAPL`, and others stay as they are.

    >>> ticker_name("aapl.us"), ticker_name("brk-b"), ticker_name("cdr", stooq=True)
    ('AAPL', 'brk-b', 'CDR')
    """
    name = name.strip()
    if name.lower().endswith(".us"):
        return name[:-3].upper()
    return name.upper() if stooq else name


def bars_of(
    raw: RawTable,
    path: Path,
    *,
    return_column: str | None = None,
    ticker: str | None = None,
    form: TableFormat = PLAIN,
    calendar: str = "XNYS",
) -> TableBars:
    """Recognise the layout of a table and convert it to bars.

    Parameters
    ----------
    raw : RawTable
        Result of `read_raw`.
    path : Path
        The file, for messages, and for the ticker of a file without a ticker column.
    return_column : str, optional
        Column of total returns to keep.
    ticker : str, optional
        Ticker of a file without a ticker column; by default the name of the file.
    form : TableFormat
        Settings for ambiguous tables.
    calendar : str
        Exchange calendar, whose time zone a message may propose.

    Raises
    ------
    InputError
        When there is no date, no close, a value that is not a number, bars shorter than a day, or more than one way to
        read the table; the message names the setting that decides.

    Notes
    -----
    Layouts are tried in this order: (field, ticker) columns in two header rows or in one name; fields, with a close, a
    ticker column, or open, high and low; otherwise tickers with their closes. Words of price tables are never tickers
    unless they are in capitals among other tickers, as OPEN and LOW.
    """
    frame = raw.frame
    if any(isinstance(name, tuple) for name in frame.columns):
        return _paired(frame, path, form, calendar)
    frame = _with_text_names(frame, path)
    if form.named("date") is None:
        refuse_dates_across(frame, path)
    date = date_column(frame, path, form)
    frame, repeated = without_headers(frame, date)
    frame, comment = without_comment(frame, date)
    warnings = [] if comment is None else [f"a last line that is not a row of the table left out: {shown(comment)}"]
    warnings += [f"lines that repeat the header left out: {repeated:,}"] if repeated else []
    others = [name for name in frame.columns if name != date]
    if form.layout == "wide":
        # a volume that is not in capitals is never a ticker
        others = [name for name in others if is_upper(name) or (field_of(name) or ("",))[0] != "volume"]
        return replace(_wide(frame, date, others, path, form, calendar), warnings=tuple(warnings))
    roles = assign_roles(frame, date, path, form)
    has_close = bool({"close", "adj_close"} & roles.fields.keys()) and not roles.likely
    if not has_close and form.layout is None and (pairs := split_names(others)) is not None:
        paired = frame[[date, *others]].set_axis(pd.Index(["Date", *pairs], tupleize_cols=False), axis=1)
        return _paired(paired, path, form, calendar)
    refuse_fields_below(frame, roles, path)
    labels = naming_column(frame, roles, path, form, ticker or stem(path))
    if labels is None and form.layout is None and _is_wide(frame, roles, path, form, return_column):
        return replace(_wide(frame, date, others, path, form, calendar), warnings=tuple(warnings))
    if not {"close", "adj_close"} & roles.fields.keys():
        _refuse_without_close(frame, roles, labels, path)
    if return_column is None:
        _refuse_other_adjusted(roles, path, form)
        refuse_factor(frame, roles, labels, path, form)
    _refuse_intraday(frame, roles, labels, path, form, calendar)
    days = days_of(frame[date], path, form=form, calendar=calendar)
    if labels is None:
        codes, names = np.zeros(len(days), dtype=np.int32), [ticker or ticker_name(stem(path), stooq=raw.bracketed)]
    else:
        codes, names = tickers_of(frame[labels], path, stooq=raw.bracketed)

    def numbers(name: Any, *, volume: bool = False) -> Values:
        return numbers_of(
            frame[name],
            path,
            form,
            volume=volume,
            others=lambda: (frame[n] for n in roles.fields.values() if n != name),
        )

    columns = {key: numbers(roles.fields[key], volume=key == "volume") for key in FIELDS if key in roles.fields}
    refuse_exchanged(columns, roles, path)
    if return_column is not None and return_column in frame.columns:
        columns["return"] = numbers(return_column)
    if roles.likely:
        warnings.append(f"the column {roles.fields['close']} is used as the close")
    if compact(roles.fields.get("close")) == "prc" and (columns["close"] < 0).any():
        # CRSP writes the mean of bid and ask, where there was no trade, with a minus sign
        warnings.append(
            f"{int((columns['close'] < 0).sum()):,} closes with a minus sign are means of bid and ask, as CRSP writes"
        )
        columns["close"] = np.abs(columns["close"])
    used = {date, labels, return_column, *roles.fields.values()}
    ignored = tuple(str(name) for name in others if name not in used and not is_companion(name))
    return TableBars(days, codes, names, columns, ignored, tuple(warnings))


def _with_text_names(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Name every column by a text; Parquet files may have numbers as names."""
    if all(isinstance(name, str) for name in frame.columns):
        return frame
    names = [str(name) for name in frame.columns]
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise InputError(f"expected each column once in {path.name}; found {twice!r} twice; drop one")
    return frame.set_axis(pd.Index(names, dtype=object), axis=1)


def _is_wide(frame: pd.DataFrame, roles: Roles, path: Path, form: TableFormat, return_column: str | None) -> bool:
    """Whether columns are tickers, each with its closes.

    Raises
    ------
    InputError
        When the columns could be tickers or fields, because CLOSE is among them or names are not in capitals.
    """
    unknown = [name for name in roles.unknown if name != return_column]
    words = [*roles.fields.values(), *roles.words]
    if any(map(is_wordy, unknown)):
        return False
    if not words:
        if not all(map(is_upper, unknown)) and (bars := nested_prices(frame, unknown)) is not None:
            named = ", ".join(f"{field} = {quoted(name)}" for field, name in bars.items())
            raise InputError(
                f"expected open, high, low and close of {path.name} under known names, or tickers; found "
                f"{listed(map(str, bars.values()))}, of which {bars['high']} is always the highest and {bars['low']} "
                f'the lowest; set column_names = {{ {named} }}, or layout = "wide" if each column holds the closes of '
                "a ticker"
            )
        return bool(unknown)
    if {"open", "high", "low"} <= roles.fields.keys() or form.named("close") or form.named("adj_close"):
        return False
    # capitals distinguish tickers from words only where other tickers are in capitals and the date is not
    capitals = all(map(is_ticker_like, words)) and any(map(is_upper, unknown)) and not is_upper(roles.date)
    if capitals and not roles.likely and {"close", "adj_close"} & roles.fields.keys():
        close = next(roles.fields[field] for field in ("close", "adj_close") if field in roles.fields)
        raise InputError(
            f"expected either tickers or fields as columns of {path.name}; found {close} and {listed(unknown)}; set "
            f'layout = "wide" if each column holds the closes of a ticker, or layout = "long" if {close} is the close '
            "of one ticker"
        )
    return capitals


def _refuse_without_close(frame: pd.DataFrame, roles: Roles, labels: Any, path: Path) -> None:
    like = likely_close(frame, roles)
    words = [*roles.fields.values(), *roles.words]
    if like is not None:
        remedy = f"set column_names = {{ close = {quoted(like)} }} if that is the close"
    elif labels is None and _could_be_tickers(roles, words):
        remedy = 'set layout = "wide" if each column holds the closes of a ticker'
    elif numbers := [name for name in roles.unknown if is_number(frame[name])]:
        close = f"column_names = {{ close = {quoted(numbers[0])} }} if that is the close"
        wide = 'layout = "wide" if each column holds the closes of a ticker'
        remedy = f"set {close}, or {wide}" if len(numbers) == 1 else f"set {wide}, or {close}"
    else:
        remedy = "add it, or name its column by column_names"
    raise InputError(f"expected a close in {path.name}; found {listed(map(str, frame.columns))}; {remedy}")


def _could_be_tickers(roles: Roles, words: list[Any]) -> bool:
    if not words or {"open", "high", "low"} <= roles.fields.keys() or not all(map(is_ticker_like, words)):
        return False
    return bool(roles.unknown) or not is_upper(roles.date)


def _refuse_other_adjusted(roles: Roles, path: Path, form: TableFormat) -> None:
    """Raise `InputError` for an adjusted close under an unknown name, without which splits would look like losses."""
    if "close" not in roles.fields or "adj_close" in roles.fields or form.named("adj_close") is not None:
        return
    for name in (*roles.unknown, *roles.words):
        word = compact(name)
        priced = any(part in word for part in ("close", "price", "prc", "last", "px"))
        if "adj" in word and "unadj" not in word and "factor" not in word and priced:
            raise InputError(
                f"expected the adjusted close of {path.name} under a known name; found {name}; set column_names = "
                f'{{ adj_close = {quoted(name)} }}, or column_names = {{ adj_close = "" }} to ignore it'
            )


def _wide(
    frame: pd.DataFrame, date: Any, names: Sequence[Any], path: Path, form: TableFormat, calendar: str
) -> TableBars:
    days = days_of(frame[date], path, form=form, calendar=calendar)
    if (unnamed := [place for place, name in enumerate(names) if is_unnamed(name)]) and len(names) > 1:
        raise InputError(
            f"expected a ticker as name of every column of {path.name}; found none for column {unnamed[0] + 2}; name "
            "it or delete it"
        )
    closes = np.empty((len(days), len(names)))
    for column, name in enumerate(names):
        try:
            closes[:, column] = numbers_of(frame[name], path, form, others=lambda: (frame[n] for n in names[:50]))
        except InputError as error:
            numbers = [other for other in names if is_number(frame[other])]
            if not is_text(frame[name]) or len(numbers) != 1:
                raise
            close = f"column_names = {{ close = {quoted(numbers[0])} }}"
            if len(names) != 2:
                raise InputError(f"{error}, or set {close} if that is the close") from None
            raise InputError(
                f"{error}, or set ticker_column = {quoted(name)} and {close} if it names the ticker"
            ) from None
    rows, codes = np.nonzero(~np.isnan(closes))
    if not len(rows):
        raise EmptyTableError(f"expected prices in {path.name}; found no number; get the file again")
    labels = [ticker_name(str(name)) for name in names]
    return TableBars(days[rows], codes.astype(np.int32), labels, {"close": closes[rows, codes]})


def _paired(frame: pd.DataFrame, path: Path, form: TableFormat, calendar: str) -> TableBars:
    """Convert (field, ticker) columns to rows."""
    if "Date" not in frame.columns:
        raise InputError(
            f"expected a column of dates in {path.name}; found {listed(map(str, frame.columns))}; name the first one "
            "Date"
        )
    days = days_of(frame["Date"], path, form=form, calendar=calendar)
    pairs = [name for name in frame.columns if isinstance(name, tuple)]
    names = list(dict.fromkeys(name[1] for name in pairs))
    place = {name: column for column, name in enumerate(names)}
    firsts = {name[0]: frame[name] for name in reversed(pairs)}
    roles = assign_roles(pd.DataFrame({"Date": frame["Date"], **dict(reversed(firsts.items()))}), "Date", path, form)
    key_of = {name: key for key, name in roles.fields.items()}
    columns: dict[str, Values] = {}
    ignored: dict[str, None] = {}
    for name in pairs:
        key = key_of.get(name[0])
        if key is None:
            if not is_companion(name[0]):
                ignored[str(name[0])] = None
            continue
        table = columns.setdefault(key, np.full((len(days), len(names)), np.nan))
        values = numbers_of(
            frame[name], path, form, volume=key == "volume", others=lambda: (frame[n] for n in pairs[:50])
        )
        table[:, place[name[1]]] = values
    if not {"close", "adj_close"} & columns.keys():
        raise InputError(f"expected a close in {path.name}; found {listed(map(str, firsts))}; add it")
    flat = {key: table.ravel() for key, table in columns.items()}
    codes = np.tile(np.arange(len(names), dtype=np.int32), len(days))
    labels = [ticker_name(name) for name in names]
    return TableBars(np.repeat(days, len(names)), codes, labels, flat, tuple(ignored))


def _refuse_intraday(
    frame: pd.DataFrame, roles: Roles, labels: Any, path: Path, form: TableFormat, calendar: str
) -> None:
    """Raise `InputError` for intraday bars; a time of day is accepted where a zone is set and each day has one bar."""
    remedy = "daily bars only: aggregate minute and hourly bars to days first"
    words = {compact(name): name for name in roles.words}
    if "per" in words:
        odd = [value for value in pd.unique(frame[words["per"]]) if str(value).strip().upper() not in ("D", "1440")]
        if odd:
            raise InputError(f"expected daily bars (PER = D) in {path.name}; found PER = {odd[0]}; {remedy}")
    if "time" in words:
        odd = [value for value in pd.unique(frame[words["time"]].astype(str)) if value.strip("0:. ") not in ("", "nan")]
        if not odd:
            return
        keys = [roles.date] if labels is None else [roles.date, labels]
        if frame[keys].astype(str).duplicated().any():
            raise InputError(f"expected daily bars in {path.name}; found the time {odd[0]}; {remedy}")
        if form.zone is None:
            raise InputError(
                f"expected daily bars in {path.name}; found the time {odd[0]}; {remedy}, or, where each row is the bar "
                f'of its day, set time_zone = "{exchange_zone(calendar)}"'
            )


def tickers_of(column: pd.Series, path: Path, *, stooq: bool = False) -> tuple[NDArray[np.int32], list[str]]:
    """Code of each row and the normalized tickers; a missing ticker raises `InputError`."""
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
        # AAPL and aapl.us in one file are one ticker, whose rows are later checked for duplicates
        unique = {name: code for code, name in enumerate(dict.fromkeys(names))}
        codes = np.array([unique[name] for name in names])[codes]
        names = list(unique)
    return codes.astype(np.int32), names


def _first(flags: Any) -> int:
    return int(np.argmax(np.asarray(flags))) + 1
