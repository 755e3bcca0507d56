"""Trivial predictors: what a score must beat before it means anything."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["TRIVIAL_PREDICTORS", "trivial_scores"]

TRIVIAL_PREDICTORS = ("last_return", "mean_return", "volatility", "ticker_mean")


def trivial_scores(
    returns: NDArray[np.float64],
    ticker: NDArray[np.int32],
    end: NDArray[np.int32],
    *,
    lookback: int,
    training_label: NDArray[np.float64],
    training_ticker: NDArray[np.int32],
) -> dict[str, NDArray[np.float64]]:
    """Score rows without a network.

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
        of the look-back window. `ticker_mean`: the ticker's mean label in training, the overall mean if it is new.
    """
    views = np.lib.stride_tricks.sliding_window_view(returns, lookback, axis=1)
    at = (ticker, end - (lookback - 1))
    n_tickers = len(returns)
    count = np.bincount(training_ticker, minlength=n_tickers)
    total = np.bincount(training_ticker, training_label, n_tickers)
    overall = float(training_label.mean()) if len(training_label) else 0.5
    per_ticker = np.where(count > 0, total / np.maximum(count, 1), overall)
    return {
        "last_return": returns[ticker, end],
        "mean_return": views.mean(axis=2)[at],
        "volatility": views.std(axis=2, ddof=1)[at],
        "ticker_mean": per_ticker[ticker],
    }
