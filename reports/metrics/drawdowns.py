"""Drawdowns of a series of returns: depth, peak, valley and recovery."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

__all__ = ["Drawdown", "deepest_drawdowns"]


class Drawdown(NamedTuple):
    """Decline of the account from its highest value so far until it reaches that value again.

    Parameters
    ----------
    depth : float
        Largest loss from the peak, a fraction below 0.
    peak, valley : Timestamp
        Session of the highest value before, and of the lowest value. A drawdown that begins with the first return
        has the first session as its peak, because there is no session before.
    recovery : Timestamp or None
        Session on which the peak was reached again; None where it was not.
    """

    depth: float
    peak: pd.Timestamp
    valley: pd.Timestamp
    recovery: pd.Timestamp | None


def deepest_drawdowns(returns: pd.Series, *, top: int = 5) -> list[Drawdown]:
    """Find the deepest drawdowns, the deepest first; they do not overlap.

    Parameters
    ----------
    returns : Series indexed by session
        Simple returns.
    top : int
        Maximum number of drawdowns.

    Returns
    -------
    list of Drawdown
        Empty when wealth never declined.

    Examples
    --------
    >>> days = pd.bdate_range("2024-01-01", periods=4)
    >>> [(round(drawdown.depth, 2), drawdown.peak.day, drawdown.valley.day) for drawdown in
    ...  deepest_drawdowns(pd.Series([-0.1, 0.2, -0.5, 0.0], index=days))]
    [(-0.5, 2, 3), (-0.1, 1, 1)]
    """
    wealth = np.concatenate([[1.0], (1.0 + returns.to_numpy(dtype=np.float64)).cumprod()])
    depth = wealth / np.maximum.accumulate(wealth) - 1.0
    at_peak = np.flatnonzero(depth == 0.0)  # the start, before the first return, is one of them
    index, drawdowns = returns.index, []
    for peak, after in zip(at_peak, [*at_peak[1:], len(depth)], strict=True):
        if after - peak < 2:
            continue
        valley = int(peak + 1 + depth[peak + 1 : after].argmin())
        recovery = index[after - 1] if after < len(depth) else None
        drawdowns.append(Drawdown(float(depth[valley]), index[max(int(peak) - 1, 0)], index[valley - 1], recovery))
    return sorted(drawdowns, key=lambda drawdown: drawdown.depth)[:top]
