"""Checks for price tables in other shapes: repeated headers, a row per field, a column per date, factors, exchanges."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.common.errors import InputError
from signals.data.column_names import compact, field_of
from signals.tabular.price_columns import Roles, is_number, is_text, listed, quoted
from signals.tabular.table_format import TableFormat

__all__ = ["refuse_dates_across", "refuse_exchanged", "refuse_factor", "refuse_fields_below", "without_headers"]

_DAY = re.compile(r"\d{4}[-/.]?\d{1,2}[-/.]?\d{1,2}(?:[ T].*)?|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}")

# Rows from which the content of a column is recognised.
_SAMPLE = 5_000

# Factors of CRSP and Compustat, by which raw prices are divided.
_DIVISORS = ("cfacpr", "ajexdi")


def refuse_dates_across(frame: pd.DataFrame, path: Path) -> None:
    """Raise `InputError` for a table that has dates as column names, which has to be transposed."""
    dated = [name for name in frame.columns if isinstance(name, str) and _DAY.fullmatch(name.strip())]
    if len(dated) > 1 and 2 * len(dated) > frame.shape[1]:
        raise InputError(
            f"expected a column of dates in {path.name}; found dates as names of columns ({listed(dated, 3)}); "
            "transpose the table, so that each row is a day"
        )


def without_headers(frame: pd.DataFrame, date: Any) -> tuple[pd.DataFrame, int]:
    """Leave out rows that repeat the header, as in concatenated files; also return their number."""
    if frame[date].dtype.kind in "iufM" or isinstance(frame[date].dtype, pd.DatetimeTZDtype):
        return frame, 0
    days = frame[date]
    if isinstance(days.dtype, pd.CategoricalDtype) and date not in days.cat.categories:
        return frame, 0

    def named(column: Any) -> NDArray[np.bool_]:
        cells = frame[column].astype(object)
        return np.array([isinstance(cell, str) and cell == column for cell in cells], dtype=bool)

    again = named(date)
    for name in frame.columns if again.any() else ():
        again &= named(name)
    return (frame[~again].reset_index(drop=True), int(again.sum())) if again.any() else (frame, 0)


def refuse_fields_below(frame: pd.DataFrame, roles: Roles, path: Path) -> None:
    """Raise `InputError` for a table with a row for each field, with the pandas call that gives each a column."""
    for name in roles.unknown:
        if not is_text(frame[name]):
            continue
        cells = list(dict.fromkeys(cell for cell in frame[name].iloc[:_SAMPLE] if isinstance(cell, str)))
        known = [field_of(cell) for cell in cells]
        fields = {field[0] for field in known if field is not None}
        if len(cells) < 2 or None in known or not {"close", "adj_close"} & fields:
            continue
        others = [n for n in frame.columns if n not in (name, roles.date)]
        index = [str(roles.date), *(str(n) for n in others if not is_number(frame[n]))]
        values = [str(n) for n in others if is_number(frame[n])] or ["value"]
        raise InputError(
            f"expected a column for each field in {path.name}; found their names in {name} ({listed(cells, 5)}); "
            f"write it with pandas: frame.pivot(index={index}, columns={str(name)!r}, values={values[-1]!r})"
        )


def refuse_factor(frame: pd.DataFrame, roles: Roles, labels: Any, path: Path, form: TableFormat) -> None:
    """Raise `InputError` for raw closes with factors of CRSP or Compustat that change.

    The message names the factor and the settings that decide, since unadjusted splits would look like losses.
    """
    if {"adj_close", "adj_factor"} & roles.fields.keys() or form.named("adj_close") is not None:
        return
    for name in roles.unknown:
        if compact(name) not in _DIVISORS or not is_number(frame[name]):
            continue
        values = pd.to_numeric(frame[name], errors="coerce")
        of = np.zeros(len(frame)) if labels is None else frame[labels].astype(str).to_numpy()
        changes = values.groupby(of).nunique().gt(1).any()
        if changes:
            returns = next((n for n in roles.words if compact(n) in ("ret", "trt1d", "return", "returns")), None)
            chained = f"set return_column = {quoted(returns)}, or " if returns is not None else ""
            raise InputError(
                f"expected adjusted closes with {name} of {path.name}, which changes; found none; {chained}add a "
                f'column adj_close, the close divided by {name}, or set column_names = {{ adj_close = "" }} to leave '
                "splits in"
            )


def refuse_exchanged(columns: Mapping[str, NDArray[np.float64]], roles: Roles, path: Path) -> None:
    """Raise `InputError` where high and low are exchanged, with the setting that exchanges the two columns."""
    if not {"high", "low"} <= columns.keys():
        return
    high_of, low_of = columns["high"], columns["low"]
    below, above = int(np.count_nonzero(high_of < low_of)), int(np.count_nonzero(high_of > low_of))
    if below > 2 and below > 10 * above:
        high, low = (str(roles.fields[name]) for name in ("high", "low"))
        raise InputError(
            f"expected highs of at least the lows in {path.name}; found {high} below {low} in {below:,} rows; set "
            f"column_names = {{ high = {quoted(low)}, low = {quoted(high)} }}"
        )
