"""Parquet file of prices with their splits and dividends, so that one hash covers both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from signals.common.errors import InputError
from signals.common.storage import write_parquet
from signals.data.corporate_actions import ACTION_COLUMNS, actions_frame
from signals.data.panel import PRICE_COLUMNS
from signals.data.price_index import INDEX, canonical_index

__all__ = ["read_table", "write_table"]


def write_table(path: Path, frame: pd.DataFrame, actions: pd.DataFrame | None) -> None:
    """Write checked prices; equal ones give equal bytes.

    Splits and dividends, if there are any, are two more columns; those of a session without a bar have a row without
    prices.
    """
    if actions is not None and len(actions):
        frame = frame.join(actions, how="outer").sort_index()
        frame = frame.fillna({"split": 1.0, "dividend": 0.0})
    write_parquet(path, frame, describe_index=False)  # an input's hash is that of its bytes


def read_table(path: Path, actions: int | None) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Read what `write_table` wrote.

    Parameters
    ----------
    path : Path
        The file.
    actions : int, optional
        Expected number of splits and dividends; None when they are unknown.

    Returns
    -------
    frame, actions : DataFrame, DataFrame or None

    Raises
    ------
    InputError
        When the file is missing, damaged or not a price table.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, read_dictionary=["ticker"])
    except FileNotFoundError as error:
        raise InputError(f"expected a file {path}; found none; run the stage that writes it") from error
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"expected prices at {path}; found a damaged file ({reason}); load the prices again"
        ) from error
    columns = INDEX + PRICE_COLUMNS + (ACTION_COLUMNS if actions else ())
    if tuple(table.column_names) != columns:
        raise InputError(
            f"expected the columns {', '.join(columns)} in {path}; found {', '.join(table.column_names)}; write it "
            "with Prices.save"
        )
    raw = table.to_pandas()
    index = pd.MultiIndex.from_arrays([pd.DatetimeIndex(raw.pop("date")), raw.pop("ticker")], names=INDEX)
    if not actions:
        known = None if actions is None else actions_frame(())
        return raw.set_axis(canonical_index(index), axis=0), known
    values = raw[list(ACTION_COLUMNS)].to_numpy()
    happened = (values != np.array([1.0, 0.0])).any(axis=1)
    if int(happened.sum()) != actions:
        raise InputError(
            f"expected {actions} splits and dividends in {path}; found {int(happened.sum())}; load the prices again"
        )
    table_actions = pd.DataFrame(
        values[happened], canonical_index(index[happened]), pd.Index(ACTION_COLUMNS, dtype=object)
    )
    bars = raw["close"].notna().to_numpy()
    frame = raw.loc[bars, list(PRICE_COLUMNS)]
    return frame.set_axis(canonical_index(index[bars]), axis=0), table_actions
