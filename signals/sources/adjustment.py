"""Adjustment factors of raw prices, from adjusted closes, total returns, or splits and dividends."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.common.errors import InputError
from signals.data.corporate_actions import NOTABLE_SPLIT, price_steps

__all__ = ["actions_factor", "chained_factor", "close_factor", "large_replaced_returns"]

Values = NDArray[np.float64]


def close_factor(close: Values, adjusted_close: Values) -> Values:
    """Factor by which raw prices are multiplied to give adjusted ones: adjusted close / close.

    Where one of the two is missing or not positive the factor is NaN if only the adjusted close is bad, and 1.0 if the
    close is, so that the check of prices names the column that is wrong.

    >>> close_factor(np.array([10.0, 5.0]), np.array([2.0, 5.0]))
    array([0.2, 1. ])
    """
    good_close = np.isfinite(close) & (close > 0)
    good = good_close & np.isfinite(adjusted_close) & (adjusted_close > 0)
    factor = np.where(good_close, np.nan, 1.0)
    np.divide(adjusted_close, close, out=factor, where=good)
    return factor


def chained_factor(
    close: Values, total_return: Values, ticker: NDArray[np.int32], *, where: Callable[[int], str] = "row {}".format
) -> tuple[Values, int]:
    """Factor that makes adjusted closes move by the given total returns.

    Parameters
    ----------
    close : ndarray, shape (n,)
        Raw closes, the rows of a ticker together and in order of date.
    total_return : ndarray, shape (n,)
        Simple total return since the ticker's row before; that of a ticker's first row is not used. Where it is
        missing, the raw close ratio is used instead, which assumes no split and no dividend that day.
    ticker : ndarray of int, shape (n,)
        Ticker of each row.
    where : callable
        Takes a row and returns its name for the error message.

    Returns
    -------
    factor : ndarray, shape (n,)
        1.0 at each ticker's first row; raw × factor is the adjusted price, close[t] × factor[t] over the same at
        t - 1 is 1 + total_return[t].
    filled : int
        Rows whose return was missing.

    Raises
    ------
    InputError
        For a total return of -100 % or less, after which no price can be computed.

    Notes
    -----
    The factor is 1 at the first row, not at the last as with vendors: rows appended later then leave every earlier
    adjusted price unchanged, to the bit. With 1 at the last row, each new dividend would rescale all history.

    >>> factor, filled = chained_factor(np.array([10.0, 5.0, 5.5]), np.array([np.nan, 0.0, 0.1]), np.zeros(3, np.int32))
    >>> factor.round(6).tolist(), filled
    ([1.0, 2.0, 2.0], 0)
    """
    begins = np.r_[True, ticker[1:] != ticker[:-1]]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.r_[1.0, close[1:] / close[:-1]]
    missing = ~np.isfinite(total_return) & ~begins
    worthless = ~begins & (total_return <= -1)
    if worthless.any():
        row = int(np.argmax(worthless))
        raise InputError(
            f"expected total returns above -1 (-100 %); found {total_return[row]:g} for {where(row)} "
            f"({int(worthless.sum())} such rows); correct the data"
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        step = np.where(begins | missing, 1.0, (1.0 + total_return) / ratio)
    # A bad close affects the two steps around it; the check of prices then names that close, not these steps.
    step = np.where(np.isfinite(step) & (step > 0), step, 1.0)
    factor = np.empty(len(close))
    starts = np.flatnonzero(begins)
    for start, stop in zip(starts, np.r_[starts[1:], len(close)], strict=True):
        np.cumprod(step[start:stop], out=factor[start:stop])
    return factor, int(missing.sum())


def large_replaced_returns(
    close: Values, total_return: Values, ticker: NDArray[np.int32], *, least: float = 0.25
) -> NDArray[np.intp]:
    """Rows whose missing total return is replaced by a raw close ratio that is far from 1, the farthest first.

    Parameters
    ----------
    close, total_return, ticker
        As in `chained_factor`.
    least : float
        Absolute return from which a row counts as large; splits are rarely smaller.

    >>> large_replaced_returns(np.array([10.0, 5.0, 5.1]), np.full(3, np.nan), np.zeros(3, np.int32)).tolist()
    [1]
    """
    begins = np.r_[True, ticker[1:] != ticker[:-1]]
    with np.errstate(divide="ignore", invalid="ignore"):
        returns = np.r_[0.0, close[1:] / close[:-1] - 1.0]
    rows = np.flatnonzero(~np.isfinite(total_return) & ~begins & (np.abs(returns) >= least) & np.isfinite(returns))
    return rows[np.argsort(-np.abs(np.log1p(returns[rows])), kind="stable")]


def actions_factor(
    days: NDArray[np.datetime64],
    ticker: NDArray[np.int32],
    close: Values,
    names: list[str],
    actions: pd.DataFrame,
) -> Values:
    """Factor that makes adjusted closes move like the wealth of a holder who receives splits and dividends.

    Parameters
    ----------
    days, ticker, close : ndarray, shape (n,)
        Raw bars, the rows of a ticker together and in order of date; `ticker` are places in `names`.
    names : list of str
        Tickers.
    actions : DataFrame
        Checked splits and dividends.

    Returns
    -------
    ndarray, shape (n,)
        1.0 at each ticker's first row (later bars then change no earlier one). On an ex-date it grows by split × close
        before / (close before − dividend): dividends are reinvested at the close before, less the dividend, as vendors
        do it.

    Raises
    ------
    InputError
        For a dividend of no less than the close before, and for a split that the closes do not show, since they are
        then adjusted already.
    """
    steps = price_steps(days, ticker, close, actions, names)

    def words(row: int) -> str:
        return f"{names[ticker[row]]} on {days[row]}"

    with np.errstate(divide="ignore", invalid="ignore"):
        moved = np.abs(np.log(np.r_[1.0, close[1:] / close[:-1]]))
        size = np.abs(np.log(steps.split))
        still = (size > NOTABLE_SPLIT) & (moved < 0.3 * size)
    if still.any():
        row = int(np.argmax(still))
        raise InputError(
            f"expected closes as they were traded with actions; found {close[row - 1]:g} and then {close[row]:g} for "
            f"{words(row)}, across a split of {steps.split[row]:.6g} for 1; these prices are adjusted already: leave "
            "actions out, or add a column adj_factor"
        )
    worthless = steps.step <= 0
    if worthless.any():
        row = int(np.argmax(worthless))
        raise InputError(
            f"expected dividends below the close before; found more than {close[row - 1]:g} for {words(row)}; "
            "correct it"
        )
    # a bad close affects the step after it; the check of prices then names that close, not this step
    step = np.where(np.isfinite(steps.step), steps.step, 1.0)
    factor = np.empty(len(close))
    starts = np.flatnonzero(~steps.inside)
    for start, stop in zip(starts, np.r_[starts[1:], len(close)], strict=True):
        np.cumprod(1.0 / step[start:stop], out=factor[start:stop])
    return factor
