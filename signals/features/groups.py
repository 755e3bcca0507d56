"""Means of the market and of its sectors, over the members of each date.

Sums run over the members that have a value, in the order of their names, and over nothing else: a ticker listed later,
or another numbering of sectors, does not change the order of additions, and so no value to the bit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from signals.features.context import FeatureContext

__all__ = ["market_returns", "minus_group_mean"]

Values = NDArray[np.float64]


def minus_group_mean(values: Values, member: NDArray[np.bool_], sectors: NDArray[np.int32] | None) -> Values:
    """Subtract the mean of each date's members, or of those of the ticker's sector.

    Parameters
    ----------
    values : ndarray, shape (n_tickers, n_dates)
        NaN where unknown.
    member : ndarray of bool, shape (n_tickers, n_dates)
        Whether the ticker is in the universe of that date.
    sectors : ndarray of int32, shape (n_tickers, n_dates), optional
        Sector codes, -1 where unknown; without them all tickers are one group.

    Returns
    -------
    ndarray, shape (n_tickers, n_dates)
        NaN where the value, the sector, or every member of the group is unknown.
    """
    deviations = np.full(values.shape, np.nan)
    for k in range(values.shape[1]):
        value = values[:, k]
        code = np.zeros(len(value), dtype=np.int64) if sectors is None else sectors[:, k].astype(np.int64)
        grouped = ~np.isnan(value) & (code >= 0)
        rows = grouped & member[:, k]
        if not rows.any():
            continue
        # np.bincount adds one after the other, in the order of rows
        total = np.bincount(code[rows], value[rows], minlength=int(code.max()) + 1)
        count = np.bincount(code[rows], minlength=int(code.max()) + 1)
        with np.errstate(invalid="ignore"):
            mean = total / count
        deviations[grouped, k] = value[grouped] - mean[code[grouped]]
    return deviations


def market_returns(context: FeatureContext) -> Values:
    """Mean session return of the universe, shape (n_sessions,).

    The members of a session are those of the decision date before it: they were chosen without knowing its return. NaN
    up to the first decision date, and where no member has a return.
    """
    close, decisions = context.panel.close, context.decisions
    market = np.full(len(close), np.nan)
    for k, begin in enumerate(decisions):
        end = decisions[k + 1] if k + 1 < len(decisions) else len(close) - 1
        members = np.flatnonzero(context.member[:, k])
        held = np.take(close[begin : end + 1], members, axis=1)
        returns = held[1:] / held[:-1] - 1.0
        for row, session in enumerate(range(begin + 1, end + 1)):
            known = returns[row][~np.isnan(returns[row])]
            if len(known):
                market[session] = np.bincount(np.zeros(len(known), dtype=np.int64), known)[0] / len(known)
    return market
