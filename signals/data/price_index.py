"""The (date, ticker) index of prices: checks of its labels and order, and its canonical form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.common.errors import InputError
from signals.common.text import shown

__all__ = ["INDEX", "RESERVED", "canonical_index", "check_labels", "check_order", "count_rows", "label_of"]

INDEX = ("date", "ticker")
BLOCK = 1_000_000

# Names of columns that tables of positions have besides those of tickers.
RESERVED = ("cash", "date")

# Dates that 64-bit nanoseconds can represent, roughly; no price is that old.
OLDEST, NEWEST = np.datetime64("1700-01-01", "D"), np.datetime64("2200-01-01", "D")


def count_rows(count: int) -> str:
    """Count rows in words.

    >>> count_rows(1), count_rows(1234)
    ('1 row', '1,234 rows')
    """
    return f"{count:,} row{'' if count == 1 else 's'}"


def check_labels(index: pd.Index) -> None:
    """Check names, types and values of the labels, on the levels, which are short.

    Raises
    ------
    InputError
        For other levels than date and ticker, missing labels, dates that are not naive midnights, and tickers that are
        empty, not text, or among `RESERVED`.
    """
    if not isinstance(index, pd.MultiIndex) or tuple(index.names) != INDEX:
        found = ", ".join(str(name) for name in index.names)
        raise InputError(f'expected the index levels date, ticker; found {found}; use set_index(["date", "ticker"])')
    for name, codes in zip(INDEX, index.codes, strict=True):
        if len(codes) and int(np.min(codes)) < 0:
            count = int((np.asarray(codes) < 0).sum())
            raise InputError(f"expected a {name} in every row; found {count_rows(count)} without; fill or drop them")
    dates, tickers = index.levels
    if not isinstance(dates, pd.DatetimeIndex):
        found = f"{dates.dtype} like {dates[0]!r}" if len(dates) else str(dates.dtype)
        raise InputError(f"expected dates as datetime64; found {found}; use pandas.to_datetime")
    if dates.tz is not None:
        raise InputError(
            f"expected dates without time zone; found {dates[0]}; take the exchange's own day, without zone"
        )
    days = dates.to_numpy().astype("datetime64[D]")
    odd = (days < OLDEST) | (days >= NEWEST)
    if odd.any():
        raise InputError(f"expected dates from {OLDEST} until {NEWEST}; found {days[odd][0]}; correct the date")
    timed = np.asarray(dates != dates.normalize())
    if timed.any():
        raise InputError(
            f"expected daily bars, labelled by a date; found {dates[timed][0]} ({int(timed.sum()):,} such times); "
            "minute and hourly bars are not supported, aggregate them to days first"
        )
    for ticker in tickers:
        if not isinstance(ticker, str) or not ticker or ticker != ticker.strip() or not ticker.isprintable():
            raise InputError(
                f"expected tickers as text without blanks around it or control characters; found {shown(ticker)}; "
                "rename it"
            )
        if ticker in RESERVED:
            raise InputError(
                f"expected no ticker named {ticker!r}, which is a separate column of positions; found one; rename it"
            )


def canonical_index(index: pd.MultiIndex) -> pd.MultiIndex:
    """Rebuild an index with sorted levels and without unused labels: dates in nanoseconds, tickers as `object`."""
    levels: list[pd.Index] = []
    codes: list[NDArray[np.int32]] = []
    for position in range(2):
        level, code = index.levels[position], np.asarray(index.codes[position])
        used = np.zeros(len(level), dtype=bool)
        used[code] = True
        kept = level[used]
        values = kept.as_unit("ns").to_numpy() if position == 0 else np.asarray(kept, dtype=object)
        unique, inverse = np.unique(values, return_inverse=True)
        lookup = np.zeros(len(level), dtype=np.int32)
        lookup[used] = inverse
        codes.append(lookup[code])
        levels.append(pd.DatetimeIndex(unique) if position == 0 else pd.Index(unique, dtype=object))
    return pd.MultiIndex(levels=levels, codes=codes, names=INDEX, verify_integrity=False)


def check_order(index: pd.MultiIndex) -> None:
    """Check that the rows of a canonical index are unique and sorted by date, then ticker.

    Raises
    ------
    InputError
        Naming the first row that is not.
    """
    dates, tickers = (np.asarray(codes) for codes in index.codes)
    width = len(index.levels[1])

    def keys(rows: slice) -> NDArray[np.int64]:
        """One number per row that sorts like (date, ticker)."""
        return np.asarray(dates[rows].astype(np.int64) * width + tickers[rows])

    # in blocks, since a whole table of such numbers would be the largest thing in memory
    if all((np.diff(keys(slice(i, i + BLOCK + 1))) > 0).all() for i in range(0, len(dates), BLOCK)):
        return

    key = keys(slice(None))
    step = np.diff(key)
    _, first, count = np.unique(key, return_index=True, return_counts=True)
    if (count > 1).any():
        extra = int((count - 1).sum())
        raise InputError(
            f"expected one row per date and ticker; found {label_of(index, first[count > 1].min())} more than once "
            f"({count_rows(extra)} too many); drop the duplicates you do not trust"
        )
    row = int(np.argmax(step < 0))
    raise InputError(
        f"expected rows sorted by date, then ticker; found {label_of(index, row + 1)} after {label_of(index, row)}; "
        "use sort_index()"
    )


def label_of(index: pd.MultiIndex, row: Any) -> str:
    """Name a row of a canonical index for an error: `AAPL on 2011-01-03`."""
    date, ticker = index[int(row)]
    return f"{ticker} on {np.datetime64(date, 'D')}"
