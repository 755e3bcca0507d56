"""Naive predictors, which a score is compared with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "DATE_PREDICTORS",
    "MORE_PREDICTORS",
    "NAIVE_PREDICTORS",
    "ZERO_RETURN",
    "more_naive_scores",
    "naive_scores",
]

NAIVE_PREDICTORS = ("last_return", "mean_return", "volatility", "ticker_mean")
# Those of `more_naive_scores`, which the audit uses and the report does not.
MORE_PREDICTORS = ("last_sign", "was_zero", "month_mean", "market")
# The same for all tickers of a date.
DATE_PREDICTORS = ("month_mean", "market")
# Returns up to this size are zero: a padded price over itself, after rounding.
ZERO_RETURN = 1e-12


def naive_scores(
    returns: NDArray[np.float64],
    ticker: NDArray[np.int32],
    end: NDArray[np.int32],
    *,
    lookback: int,
    training_label: NDArray[np.float64],
    training_ticker: NDArray[np.int32],
) -> dict[str, NDArray[np.float64]]:
    """Scores of the naive predictors of the report.

    Parameters
    ----------
    returns : ndarray, shape (n_tickers, n_dates)
        Returns by decision date; the value at t is known at the close of t.
    ticker, end : ndarray of int, shape (n,)
        The rows to score.
    lookback : int
        Periods of the trailing mean and volatility.
    training_label, training_ticker : ndarray, shape (n_training,)
        Labels of the training slice, for the mean label of each ticker.

    Returns
    -------
    dict of str to ndarray, shape (n,)
        `last_return`: the last period's return. `mean_return` and `volatility`: mean and standard deviation (ddof 1)
        of the look-back window, of its known periods where a history is short. `ticker_mean`: the ticker's mean label
        in training, the overall mean if it is new.
    """
    padded = np.pad(returns, ((0, 0), (lookback - 1, 0)), constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, lookback, axis=1)[ticker, end]
    known = np.isfinite(windows)
    n = known.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(known, windows, 0.0).sum(axis=1) / n
        deviation = np.sqrt((np.where(known, windows - mean[:, None], 0.0) ** 2).sum(axis=1) / (n - 1))
    n_tickers = len(returns)
    count = np.bincount(training_ticker, minlength=n_tickers)
    total = np.bincount(training_ticker, training_label, n_tickers)
    overall = float(training_label.mean()) if len(training_label) else 0.5
    per_ticker = np.where(count > 0, total / np.maximum(count, 1), overall)
    return {
        "last_return": returns[ticker, end],
        "mean_return": mean,
        "volatility": deviation,
        "ticker_mean": per_ticker[ticker],
    }


def more_naive_scores(
    returns: NDArray[np.float64],
    dates: NDArray[np.datetime64],
    eligible: NDArray[np.bool_],
    ticker: NDArray[np.int32],
    end: NDArray[np.int32],
    *,
    lookback: int,
    training_label: NDArray[np.float64],
    training_date: NDArray[np.int32],
) -> dict[str, NDArray[np.float64]]:
    """Scores of the naive predictors of the audit, which reveal leaks and scores that only follow the market.

    Parameters
    ----------
    returns : ndarray, shape (n_tickers, n_dates)
        Returns by decision date; the value at t is known at the close of t.
    dates : ndarray of datetime64[D], shape (n_dates,)
        Decision dates.
    eligible : ndarray of bool, shape (n_tickers, n_dates)
        Whether a ticker belongs to the market on each date.
    ticker, end : ndarray of int, shape (n,)
        The rows to score.
    lookback : int
        Periods in a window.
    training_label, training_date : ndarray, shape (n_training,)
        Labels of the training slice and the index of their dates.

    Returns
    -------
    dict of str to ndarray, shape (n,)
        `last_sign`: sign of the last period's return. `was_zero`: share of the window's known returns that are exactly
        zero, as those of a delisted stock padded with its last price are. `month_mean`: mean training label of the
        calendar month. `market`: mean of the last period's returns over the date's eligible tickers. The last two are
        the same for all rows of a date: they distinguish dates, not tickers.
    """
    last = returns[ticker, end]
    known = np.isfinite(returns)
    zero = known & (np.abs(np.where(known, returns, 1.0)) < ZERO_RETURN)
    counted = []
    for flags in (zero, known):
        total = np.pad(np.cumsum(flags, axis=1, dtype=np.int32), ((0, 0), (1, 0)))
        counted.append(total[ticker, end + 1] - total[ticker, np.maximum(end + 1 - lookback, 0)])
    month = dates.astype("datetime64[M]").astype(np.int64) % 12
    of_training = month[training_date]
    count = np.bincount(of_training, minlength=12)
    overall = float(training_label.mean()) if len(training_label) else 0.5
    by_month = np.where(count > 0, np.bincount(of_training, training_label, 12) / np.maximum(count, 1), overall)
    market = np.full(len(dates), np.nan)
    for k in np.unique(end).tolist():
        # only the rows that count, so that later listings cannot change the order of additions
        of_date = returns[eligible[:, k], k]
        of_date = of_date[np.isfinite(of_date)]
        if len(of_date):
            market[k] = of_date.mean()
    return {
        "last_sign": np.sign(last),
        "was_zero": counted[0] / np.maximum(counted[1], 1),
        "month_mean": by_month[month[end]],
        "market": market[end],
    }
