"""Features by decision date. Every value at decision date t is known at the close of t."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from signals.prices import PricePanel

__all__ = ["last_bar", "period_returns"]


def last_bar(panel: PricePanel) -> NDArray[np.int32]:
    """Session index of the latest bar at or before each session, shape (n_sessions, n_tickers), -1 before the first."""
    sessions = np.arange(len(panel.dates), dtype=np.int32)[:, None]
    return np.maximum.accumulate(np.where(panel.traded, sessions, np.int32(-1)), axis=0)


def period_returns(panel: PricePanel, decisions: NDArray[np.int64]) -> NDArray[np.float64]:
    """Compute the simple return of each ticker from one decision date to the next.

    Parameters
    ----------
    panel : PricePanel
        Prices, n_sessions by n_tickers.
    decisions : ndarray of int, shape (n_dates,)
        Session index of each decision date, ascending.

    Returns
    -------
    ndarray of float64, shape (n_tickers, n_dates)
        Value at date k is known at its close. The price of a period is its last close; a ticker that did not trade
        in a whole period has no price there, hence no return for it and the next: a halt is not padded with zeros,
        because a row of zeros is how dead names leak their death into a data set.
    """
    latest = last_bar(panel)[decisions]
    starts = np.concatenate([[-1], decisions[:-1]])[:, None]
    close = np.take_along_axis(panel.close, np.maximum(latest, 0), axis=0)
    close = np.where(latest > starts, close, np.nan)
    returns = np.full(close.shape, np.nan)
    returns[1:] = close[1:] / close[:-1] - 1.0
    return np.ascontiguousarray(returns.T)
