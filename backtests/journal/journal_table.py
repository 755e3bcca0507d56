"""Columns of the journal of fills, and their validation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from backtrader.order import Order
from numpy.typing import NDArray

from signals.common.errors import InputError

__all__ = ["ENDINGS", "JOURNAL_COLUMNS", "check_journal"]

JOURNAL_COLUMNS = (
    "date",
    "ticker",
    "amount",
    "price",
    "commission",
    "sequence",
    "given",
    "number",
    "status",
    "reason",
)
ENDINGS = {
    "margin": Order.Margin,
    "rejected": Order.Rejected,
    "expired": Order.Expired,
    "cancelled": Order.Canceled,
}

_REQUIRED = JOURNAL_COLUMNS[:5]
_ADVICE = "correct the journal"


def check_journal(frame: pd.DataFrame) -> pd.DataFrame:
    """Validate a frame of fills; the format is that of `FillJournal.from_frame`.

    Returns
    -------
    DataFrame
        A copy with `JOURNAL_COLUMNS` in this order, sorted by (date, sequence): dates as midnights without a time zone,
        `given` NaT and `number` 0 where unknown, `status` and `reason` empty for fills.

    Raises
    ------
    InputError
        With the first invalid row.
    """
    if not isinstance(frame, pd.DataFrame):
        raise InputError(f"expected a DataFrame of fills; found {type(frame).__name__}; {_ADVICE}")
    if frame.index.name == "date" and "date" not in frame.columns:
        frame = frame.reset_index()
    missing = [name for name in _REQUIRED if name not in frame.columns]
    if missing:
        raise InputError(f"expected journal columns {', '.join(_REQUIRED)}; missing {', '.join(missing)}; {_ADVICE}")
    unknown = [str(name) for name in frame.columns if name not in JOURNAL_COLUMNS]
    if unknown:
        raise InputError(
            f"expected journal columns among {', '.join(JOURNAL_COLUMNS)}; found {unknown[0]!r}; remove it"
        )
    table = pd.DataFrame(index=range(len(frame)))
    table["date"] = _days(frame["date"], "date")
    ticker = frame["ticker"].to_numpy(dtype=object)
    _require(np.array([isinstance(name, str) and name != "" for name in ticker], bool), table, ticker, "ticker", "text")
    table["ticker"] = pd.Series(ticker, dtype=object)
    for name in ("amount", "price", "commission"):
        table[name] = _numbers(frame[name], name)
    for name, default in (("sequence", np.arange(len(frame))), ("number", np.zeros(len(frame)))):
        values = _numbers(frame[name], name) if name in frame.columns else default.astype(np.float64)
        table[name] = values
        if name == "number":
            table[name] = table[name].fillna(0.0)
        whole = (table[name] % 1.0 == 0.0) & (table[name] >= 0.0)
        _require(whole.to_numpy(), table, table[name], name, "a whole number, not negative")
        table[name] = table[name].astype(np.int64)
    unknown_dates = np.full(len(frame), np.datetime64("NaT", "ns"))
    table["given"] = _days(frame["given"], "given", optional=True) if "given" in frame.columns else unknown_dates
    for name in ("status", "reason"):
        text = frame[name].to_numpy(dtype=object) if name in frame.columns else np.full(len(frame), "", dtype=object)
        table[name] = pd.Series(["" if _absent(value) else str(value) for value in text], dtype=object)
    table = table[list(JOURNAL_COLUMNS)].sort_values(["date", "sequence"], kind="stable", ignore_index=True)
    table.columns = pd.Index(list(JOURNAL_COLUMNS), dtype=object)
    _check_rows(table)
    return table


def _check_rows(table: pd.DataFrame) -> None:
    status = table["status"]
    fill = (status == "").to_numpy()
    _require(
        status.isin(["", *ENDINGS]).to_numpy(),
        table,
        status,
        "status",
        f"one of {', '.join(ENDINGS)}, or empty for a fill",
    )
    amount, price, fee = (table[name] for name in ("amount", "price", "commission"))
    valid = np.isfinite(amount) & ((amount != 0.0) == fill)
    _require(valid.to_numpy(), table, amount, "amount", "signed shares, 0 only in rows with a status")
    _require(~fill | (np.isfinite(price) & (price > 0.0)).to_numpy(), table, price, "price", "a price above 0")
    _require(
        ~fill | (np.isfinite(fee) & (fee >= 0.0)).to_numpy(),
        table,
        fee,
        "commission",
        "an amount of money that was paid, not negative",
    )
    known = table["given"].notna().to_numpy()
    _require(
        known == (table["number"] > 0).to_numpy(),
        table,
        table["number"],
        "number",
        "1 or more where given is known, and 0 where it is not",
    )
    _require(fill | known, table, table["given"], "given", "known in rows with a status")
    in_time = ~known | (table["given"] <= table["date"]).to_numpy()
    _require(in_time, table, table["given"], "given", "no later than the fill")
    _require(~table.duplicated(["date", "sequence"]).to_numpy(), table, table["sequence"], "sequence", "once a session")
    again = table.assign(fill=fill).duplicated(["ticker", "given", "number", "fill"]).to_numpy() & ~fill
    _require(~again, table, status, "status", "one ending for an order")


def _require(holds: NDArray[np.bool_], table: pd.DataFrame, values: Any, name: str, what: str) -> None:
    if holds.all():
        return
    at = int(np.argmin(holds))
    ticker = f" of {table['ticker'].iloc[at]}" if "ticker" in table.columns else ""
    value = values[at] if isinstance(values, np.ndarray) else values.iloc[at]
    if isinstance(value, pd.Timestamp) and not pd.isna(value):
        value = f"{value:%Y-%m-%d}"
    elif isinstance(value, str):
        value = repr(value)
    raise InputError(
        f"expected journal column {name}: {what}; found {value}{ticker} on {table['date'].iloc[at]:%Y-%m-%d}; {_ADVICE}"
    )


def _days(column: pd.Series, name: str, *, optional: bool = False) -> NDArray[Any]:
    if pd.api.types.is_numeric_dtype(column) and column.notna().any():
        raise InputError(f"expected journal column {name}: dates; found numbers; {_ADVICE}")
    text = not pd.api.types.is_datetime64_any_dtype(column)
    try:
        stamps = pd.DatetimeIndex(pd.to_datetime(column.to_numpy(), utc=True, format="ISO8601" if text else None))
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"expected journal column {name}: dates such as 2015-01-05; found {str(error).splitlines()[0]}; {_ADVICE}"
        ) from error
    naive = stamps.tz_localize(None).as_unit("ns")
    missing = naive.isna() & (not optional)
    timed = (naive != naive.normalize()) & naive.notna()
    for invalid, what in ((missing, "no date"), (timed, "a time of day")):
        if invalid.any():
            at = int(np.argmax(invalid))
            raise InputError(
                f"expected journal column {name}: session dates at midnight; found {what} in row {at + 1}; {_ADVICE}"
            )
    days: NDArray[np.datetime64] = naive.to_numpy()
    return days


def _numbers(column: pd.Series, name: str) -> NDArray[Any]:
    if column.dtype == bool:
        raise InputError(f"expected journal column {name}: numbers; found true and false; {_ADVICE}")
    try:
        numbers: NDArray[np.float64] = column.to_numpy(dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"expected journal column {name}: numbers; found {error}; {_ADVICE}") from error
    return numbers


def _absent(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and value != value)
