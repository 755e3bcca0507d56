"""Schemas of the tables of a run: columns, types, order of rows, and finite numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from signals.common.errors import InputError
from signals.common.storage import read_parquet

__all__ = ["check_tables"]

# Types by NumPy's letters: M time, i integer, f finite number, n number or NaN, O text. Columns that depend on the run
# (a ticker, a seed) are numbers. The first columns identify and order the rows.
DAY, WHOLE, NUMBER, MAYBE, TEXT = "M", "i", "f", "n", "O"
_SLICES = {f"{name}_{end}": DAY for name in ("train", "validation", "test") for end in ("start", "end")}

TABLES: dict[str, dict[str, str]] = {
    "signals.parquet": {
        "date": DAY, "ticker": TEXT, "score": NUMBER, "score_std": MAYBE, "fold": WHOLE, "trained_until": DAY,
    },
    "seed_scores.parquet": {"date": DAY, "ticker": TEXT, "seed": WHOLE, "score": NUMBER},
    "labels.parquet": {"date": DAY, "ticker": TEXT, "label": MAYBE, "forward_return": NUMBER, "label_end": DAY},
    "folds.parquet": {
        "fold": WHOLE, "seed": WHOLE, **_SLICES, "trained_until": DAY, "train_rows": WHOLE, "validation_rows": WHOLE,
        "test_rows": WHOLE, "tickers": WHOLE, "epochs": WHOLE, "epochs_run": WHOLE, "train_loss": MAYBE,
        "validation_loss": MAYBE, "auc": MAYBE, "rank_ic": MAYBE, "auc_ensemble": MAYBE, "rank_ic_ensemble": MAYBE,
    },
    "quantiles.parquet": {"date": DAY, "ticker": TEXT, "level": NUMBER, "value": NUMBER},
    "history.parquet": {"fold": WHOLE, "seed": WHOLE, "epoch": WHOLE, "loss": MAYBE, "validation_loss": MAYBE},
    "returns.parquet": {"date": DAY, "returns": NUMBER},
    "positions.parquet": {"date": DAY, "cash": NUMBER},
    "transactions.parquet": {"date": DAY, "amount": NUMBER, "price": NUMBER, "symbol": TEXT, "commission": NUMBER},
    "orders.parquet": {
        "order_id": WHOLE, "submitted": DAY, "executed": DAY, "ticker": TEXT, "side": TEXT, "type": TEXT,
        "size": NUMBER, "filled": NUMBER, "price": MAYBE, "commission": NUMBER, "slippage": MAYBE, "status": TEXT,
        "reason": TEXT,
    },
    "cash_flows.parquet": {"date": DAY, "ticker": TEXT, "kind": TEXT, "amount": NUMBER, "shares": NUMBER},
    "benchmark.parquet": {"date": DAY, "universe": NUMBER},
    "seed_returns.parquet": {"date": DAY},
    "trials.parquet": {"trial": TEXT, "date": DAY, "returns": NUMBER},
}  # fmt: skip

# Number of first columns that identify a row; 0 for tables whose rows are not unique, or in the order of the seeds.
NAMED_BY = {
    "signals.parquet": 2,
    "seed_scores.parquet": 3,
    "labels.parquet": 2,
    "quantiles.parquet": 3,
    "history.parquet": 0,
    "folds.parquet": 0,
    "transactions.parquet": 0,
    "cash_flows.parquet": 0,
    "trials.parquet": 2,
}
SORTED_BY = {"history.parquet": 1, "folds.parquet": 1, "transactions.parquet": 1, "cash_flows.parquet": 1}
OPTIONAL = ("orders.parquet", "transactions.parquet", "cash_flows.parquet", "history.parquet", "labels.parquet")
MAY_BE_NAN = ("auc_", "rank_ic_", "pinball")
# Tables of accounts that can be closed early and benchmarks of a part of the run: NaN at the ends only, or throughout.
MAY_END = ("benchmark.parquet", "seed_returns.parquet")


def check_tables(folder: Path, files: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Check that tables of a run can be read and match their schemas.

    Parameters
    ----------
    folder : Path
        The run folder.
    files : iterable of str
        Names of files; those that are no tables are skipped.

    Yields
    ------
    tuple of (str, str)
        File and finding, at most one per file.
    """
    for file in files:
        if file in TABLES:
            try:
                finding = _schema_error(file, read_parquet(folder / file))
            except InputError as error:
                finding = f"cannot be read: {error}"
            if finding is not None:
                yield file, finding


def _schema_error(file: str, table: pd.DataFrame) -> str | None:
    wanted = TABLES[file]
    missing = [name for name in wanted if name not in table]
    if missing:
        return f"has no column {missing[0]}"
    optional = file in OPTIONAL
    if table.empty:
        return None if optional else "has no rows"
    for name, column in table.items():
        kind = wanted.get(str(name), MAYBE if str(name).startswith(MAY_BE_NAN) else NUMBER)
        numbers = kind in (NUMBER, MAYBE)
        if column.dtype.kind != ("f" if numbers else kind):
            return f"holds {name} as {column.dtype}"
        known = column.loc[column.first_valid_index() : column.last_valid_index()] if file in MAY_END else column
        if file in MAY_END and column.isna().all():
            known = column.iloc[:0]
        if kind == NUMBER and not np.isfinite(known.to_numpy(dtype=np.float64)).all():
            return f"holds values of {name} that are not finite numbers"
    first = SORTED_BY.get(file, NAMED_BY.get(file, 1))
    keys = list(wanted)[:first]
    rows = pd.MultiIndex.from_frame(table[keys])
    if not rows.is_monotonic_increasing:
        return f"is not in the order of {', '.join(keys)}"
    if file not in SORTED_BY and not rows.is_unique:
        return f"has two rows of {', '.join(str(part) for part in rows[rows.duplicated()][0])}"
    return None
