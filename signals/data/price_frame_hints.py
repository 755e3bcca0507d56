"""Hints for frames that are not yet a table of prices: how to reshape them, and adjustment factors misunderstood."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.common.text import one_line
from signals.data.column_names import TICKERS, compact, field_of

__all__ = ["factor_jumps", "reshaping", "shown_layout"]

# Log of the smallest step of the factors that counts: splits from 4:3 on, which are larger than usual daily returns.
_STEP = 0.25

# Largest difference between the move of the price and the step, as a fraction of the step.
_NEAR = 0.25


def shown_layout(frame: pd.DataFrame) -> str:
    """Describe index and columns of a frame for a message."""
    levels = ", ".join(str(name) for name in frame.index.names)
    if isinstance(frame.columns, pd.MultiIndex):
        levels += f" and columns by {', '.join(str(name) for name in frame.columns.names)}"
    return one_line(levels)


def reshaping(frame: pd.DataFrame) -> str:
    """Methods, one after the other, that give a frame the index levels date and ticker.

    Parameters
    ----------
    frame : DataFrame
        As `yfinance.download` or `Ticker.history` gives it, a long table, a wide one of closes, or the bars of one
        ticker.

    Returns
    -------
    str
        Python code to append to the frame and a dot.
    """
    if isinstance(frame.columns, pd.MultiIndex) and frame.columns.nlevels == 2:
        fields = [sum(_is_field(name) for name in frame.columns.unique(level)) for level in (0, 1)]
        level = 1 if fields[0] >= fields[1] else 0
        return (
            f'stack({level}, future_stack=True).dropna(how="all").rename_axis(["date", "ticker"])'
            f".rename(columns=str.lower).sort_index(){_without_zone(frame.index)}"
        )
    dates = [name for name in frame.columns if (field_of(name) or ("",))[0] == "date"]
    tickers = [name for word in TICKERS for name in frame.columns if compact(name) == word]
    if dates and tickers:
        named = f"[{dates[0]!r}, {tickers[0]!r}]"
        return f'set_index({named}).rename_axis(["date", "ticker"]).sort_index()'
    if isinstance(frame.index, pd.MultiIndex) and frame.index.nlevels == 2:
        level = next((i for i in (0, 1) if isinstance(frame.index.levels[i], pd.DatetimeIndex)), 0)
        order = "" if level == 0 else "set_index(frame.index.swaplevel())."
        return f'{order}rename_axis(["date", "ticker"]).sort_index()'
    indexed = f"set_index({dates[0]!r})." if dates else ""
    if tickers:
        return f'{indexed}set_index({tickers[0]!r}, append=True).rename_axis(["date", "ticker"]).sort_index()'
    if any(_is_field(name) for name in frame.columns):
        zone = _without_zone(frame.index)
        return f'{indexed}assign(ticker="NAME").set_index("ticker", append=True).rename_axis(["date", "ticker"]){zone}'
    return (
        f'{indexed}stack(future_stack=True).dropna().rename_axis(["date", "ticker"]).to_frame("close") with '
        "close_only=True and volume_known=False"
    )


def _without_zone(index: pd.Index) -> str:
    return ".tz_localize(None, level=0)" if isinstance(index, pd.DatetimeIndex) and index.tz is not None else ""


def _is_field(name: object) -> bool:
    return (field_of(name) or ("",))[0] not in ("", "date")


def factor_jumps(
    close: NDArray[np.float64], factor: NDArray[np.float64], codes: NDArray[Any], where: Callable[[int], str]
) -> str:
    """Find steps of adjustment factors on which the adjusted close jumps as well: the factors mean something else.

    Raw prices are adjusted / `adj_factor`. Where the factor steps by a split, the adjusted close must not.

    Parameters
    ----------
    close, factor : ndarray of float64, shape (n,)
        Adjusted closes and factors, those of each ticker in order of date.
    codes : ndarray of int, shape (n,)
        Ticker of each row.
    where : callable
        Takes a row and returns its ticker and date as text.

    Returns
    -------
    str
        Message with what was expected, the first such days, and the remedy; empty unless most steps are like that.
    """
    if not len(factor) or factor.min() == factor.max():
        return ""
    order = np.argsort(codes, kind="stable")
    together = codes[order][1:] == codes[order][:-1]
    with np.errstate(divide="ignore", invalid="ignore"):  # invalid prices are refused elsewhere
        step = np.log(factor[order][1:] / factor[order][:-1])
        notable = np.flatnonzero(together & (np.abs(step) > _STEP) & np.isfinite(step))
        step = step[notable]
        move = np.log(close[order][notable + 1] / close[order][notable])
    jumps = np.abs(np.abs(move) - np.abs(step)) < _NEAR * np.abs(step)
    if jumps.sum() * 2 <= len(notable):
        return ""
    rows: list[int] = order[notable[jumps] + 1].tolist()
    verb = "multiply" if float((np.sign(move[jumps]) * np.sign(step[jumps])).sum()) < 0 else "divide"
    return (
        "expected adjusted prices that do not jump where adj_factor does, since raw = adjusted / adj_factor; found "
        f"such jumps for {', '.join(where(row) for row in rows[:3])} ({len(rows):,} of {len(notable):,} steps of it); "
        f"{verb} open, high, low and close by adj_factor, or leave it out"
    )
