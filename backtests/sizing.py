"""Share changes for target weights, and the order in which the orders are submitted. Pure functions of arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backtests.common.share_tolerances import HALF_SHARE, ROUNDING, SHARE_TOLERANCE

__all__ = ["share_changes", "submission_order"]

Values = NDArray[np.float64]
Flags = NDArray[np.bool_]


def share_changes(
    target: Values,
    weights: Values,
    shares: Values,
    closes: Values,
    tradable: Flags,
    *,
    value: float,
    fractional: bool = False,
    min_trade_value: float = 0.0,
) -> tuple[Values, int, int]:
    """Shares to buy (above zero) or sell (below zero) to get from current weights to target weights.

    Parameters
    ----------
    target, weights : ndarray of shape (n_tickers,)
        Target and current weights, both as fractions of `value`. Where they are equal nothing is traded.
    shares : ndarray of shape (n_tickers,)
        Current shares, negative when short.
    closes : ndarray of shape (n_tickers,)
        Today's closes; NaN only where not tradable.
    tradable : ndarray of bool, shape (n_tickers,)
        Tickers with a bar today. The others get no order.
    value : float
        Account currency that weights are fractions of.
    fractional : bool
        Whether fractional shares can be held; otherwise positions are truncated towards zero.
    min_trade_value : float
        Changes worth less are set to zero, unless they close the position.

    Returns
    -------
    changes : ndarray of shape (n_tickers,)
        Signed shares; a rounding remainder (`backtests.common.share_tolerances`) is set to zero.
    wanted : int
        Number of tickers whose target is neither zero nor their current weight.
    too_small : int
        Number of these targets that are worth less than one share and became zero.
    """
    traded = tradable & (target != weights)
    price = np.where(traded, closes, 1.0)
    position = np.where(traded, target, 0.0) * value / price
    if not fractional:
        position = np.trunc(position * (1.0 + ROUNDING))
    changes = np.where(traded, position - shares, 0.0)
    size = np.abs(changes)
    changes[(size < HALF_SHARE) & (size <= SHARE_TOLERANCE * np.maximum(np.abs(position), np.abs(shares)))] = 0.0
    small = (np.abs(changes) * price < min_trade_value) & (position != 0.0)
    changes[small] = 0.0
    wanted = traded & (target != 0.0)
    return changes, int(wanted.sum()), int((wanted & (position == 0.0)).sum())


def submission_order(shares: Values, changes: Values) -> NDArray[np.intp]:
    """Return the indices of the nonzero changes, in the order in which their orders should be submitted.

    Reductions come before additions, because the broker checks orders in sequence and a purchase may need the cash
    of a sale: first sales of longs, then purchases that cover shorts, then sales that open or add to shorts (a
    reversal is one order), then purchases that open or add. Within a group the order of the tickers is kept.
    """
    after = shares + changes
    reduces = (np.sign(after) * np.sign(shares) >= 0.0) & (np.abs(after) < np.abs(shares))
    sells = changes < 0.0
    group = np.select([reduces & sells, reduces & ~sells, sells], [0, 1, 2], default=3)
    given = np.flatnonzero(changes)
    return given[np.argsort(group[given], kind="stable")]
