"""Reader of the user's file of splits and dividends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.common.errors import InputError
from signals.common.text import shown
from signals.data.corporate_actions import ACTION_COLUMNS
from signals.data.price_index import INDEX
from signals.tabular.date_columns import FAR, days_of
from signals.tabular.table_files import MISSING, TICKER_KEYS, column_key, read_raw
from signals.tabular.table_layouts import tickers_of

__all__ = ["read_actions"]

EXAMPLE = "date,ticker,split,dividend"

# Column names of other tools.
SYNONYMS = {"ex_date": "date", "dividends": "dividend", "splits": "split", "stock_splits": "split"}


def read_actions(path: Path | str) -> pd.DataFrame:
    """Read splits and dividends from a CSV (plain or gzipped) or Parquet file, without the checks of `check_actions`.

    Columns `date` (ex-date), `ticker` (or `symbol`), and `split`, `dividend` or both; empty cells mean none.

    Raises
    ------
    InputError
        One line naming the file.
    """
    path = Path(path).expanduser()
    frame = read_raw(path, what="splits and dividends").frame
    places: dict[str, str] = {}
    for name in frame.columns:
        key = column_key(name)
        key = "ticker" if key in TICKER_KEYS else SYNONYMS.get(key, key)
        if key in ("date", "ticker", *ACTION_COLUMNS):
            if key in places:
                raise InputError(f"expected one column for {key} in {path.name}; found two; drop one")
            places[key] = name
    if not {"date", "ticker"} <= set(places) or not set(ACTION_COLUMNS) & set(places):
        found = ", ".join(shown(name) for name in list(frame.columns)[:8])
        raise InputError(f"expected the columns {EXAMPLE} in {path.name}; found {found}; write them")
    days = days_of(frame[places["date"]], path, empty=FAR, what="ex-dates")
    if (days == FAR).any():
        row = int(np.argmax(days == FAR)) + 1
        raise InputError(f"expected an ex-date in every row of {path.name}; found none in row {row}; write it")
    codes, names = tickers_of(frame[places["ticker"]], path)
    found_columns = {key: _numbers(frame[places[key]], path) for key in ACTION_COLUMNS if key in places}
    order = np.lexsort((np.array(names, dtype=object)[codes].astype(str), days))
    index = pd.MultiIndex.from_arrays(
        [pd.DatetimeIndex(days[order].astype("datetime64[ns]")), np.array(names, dtype=object)[codes][order]],
        names=INDEX,
    )
    return pd.DataFrame({key: values[order] for key, values in found_columns.items()}, index=index)


def _numbers(column: pd.Series, path: Path) -> NDArray[np.float64]:
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        return np.asarray(column.to_numpy(np.float64, na_value=np.nan))
    values = np.full(len(column), np.nan)
    for row, cell in enumerate(column):
        text = "" if cell is None or cell != cell else str(cell).strip()
        if text in MISSING:
            continue
        try:
            values[row] = float(text)
        except ValueError:
            raise InputError(
                f"expected a number as {column.name} in row {row + 1} of {path.name}; found {shown(cell)}; write a "
                "split of 2:1 as 2"
            ) from None
    return values
