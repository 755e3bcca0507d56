"""Checks of an allocation against its universe, and of the target weights that it returns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtests.allocations import LongShortQuantile, TopK
from signals.common.errors import InputError
from signals.dataset.cross_section_size import counted_names

__all__ = ["check_enough_names", "check_target_weights", "idle_cash_warning", "unequal_ties"]

# Tolerance of the limit on the sum of absolute weights.
ROUNDING = 1e-9
# Tolerance within which weights of tickers with equal scores are equal.
SAME_WEIGHT = 1e-12
# Fraction of the gross limit below which unreachable exposure gives a warning.
REACHED = 0.95

Values = NDArray[np.float64]
Flags = NDArray[np.bool_]


def check_enough_names(allocation: Any, n_names: int, *, names: Sequence[str] = ()) -> None:
    """Raise InputError for an allocation that ranks tickers when there is only one.

    Parameters
    ----------
    allocation : Allocation
        Allocation to check.
    n_names : int
        Number of tickers that can have a score on one date.
    names : sequence of str
        Those tickers, for the message.

    Raises
    ------
    InputError
        For `LongShortQuantile`, and `TopK` with more than one place, on one ticker; the message names an
        alternative. With two tickers or more, places that stay empty give a warning, see `idle_cash_warning`.
    """
    if n_names != 1:
        return
    found = counted_names(n_names, names)
    if isinstance(allocation, LongShortQuantile):
        raise InputError(
            f"expected at least 2 tickers for LongShortQuantile, which buys some and sells others; found {found}; "
            'use allocation = "Threshold" with long and short'
        )
    if isinstance(allocation, TopK) and allocation.k > 1:
        raise InputError(
            f"expected k = 1 for TopK on one ticker; found k = {allocation.k} and {found}; set k = 1, and "
            f"gross = {allocation.gross / allocation.k:.4g} for the same part of the account"
        )


def idle_cash_warning(allocation: Any, counts: NDArray[np.int64]) -> str:
    """Warning on the part of the account that an allocation cannot invest for lack of tickers; empty without one.

    Parameters
    ----------
    allocation : Allocation
        Allocation to check; one without `reachable_gross` gives no warning.
    counts : ndarray of int, shape (n_dates,)
        Number of tickers with a score on each decision date.
    """
    reach = getattr(allocation, "reachable_gross", None)
    if not callable(reach) or not len(counts):
        return ""
    shares = np.array([reach(n) for n in range(int(counts.max()) + 1)])[counts] / allocation.gross
    median = float(np.median(shares))
    if median >= REACHED:
        return ""
    tickers = int(np.median(counts))
    idle = "most of the account stays" if median < 0.5 else f"{1 - median:.0%} of its gross limit stays"
    k = getattr(allocation, "k", None)
    limit = getattr(allocation, "max_weight", None)
    if isinstance(k, int | np.integer) and k > tickers:
        why, remedy = f"{type(allocation).__name__} has {k:,} places", f"set k to at most {tickers:,}"
    else:
        why, remedy = f"{type(allocation).__name__} gives a ticker at most {limit:g}", "raise max_weight"
    return (
        f"{why} and {tickers:,} {'ticker has' if tickers == 1 else 'tickers have'} a score on the median decision "
        f"date: {idle} in cash (at most {median:.0%} is invested); {remedy}, or widen the universe."
    )


def check_target_weights(
    allocation: Any, returned: Any, weights: Values, tradable: Flags, *, tickers: Sequence[str], day: str
) -> Values:
    """Check target weights against the contract of `Allocation.target_weights`.

    Parameters
    ----------
    allocation : Allocation
        Allocation that computed them.
    returned : array-like
        Target weights that it returned.
    weights : ndarray of shape (n_tickers,)
        Current weights.
    tradable : ndarray of bool, shape (n_tickers,)
        Tickers with a bar today.
    tickers : sequence of str
        Tickers in the order of the arrays.
    day : str
        Decision date, for the message.

    Returns
    -------
    ndarray of shape (n_tickers,)
        The target weights as float64.

    Raises
    ------
    InputError
        For another shape, values that are not finite, absolute weights whose sum exceeds both the allocation's `gross`
        (1 without one) and their current sum, a negative weight although `can_be_short` is False, and a changed weight
        of a ticker without a bar; the message names date, tickers and values. A weight of zero for a ticker without a
        bar is accepted, because such a ticker is not traded.
    """
    method = f"{type(allocation).__name__}.target_weights"
    n = len(weights)
    try:
        target: Values = np.asarray(returned, dtype=np.float64)
    except (TypeError, ValueError):
        target = np.empty(0)
    if target.shape != (n,):
        raise InputError(
            f"expected {method} to give {n} finite weights, one per ticker; found shape {target.shape} on {day}; "
            "return an array in the order of the scores"
        )

    def shown(rows: Flags) -> str:
        places = np.flatnonzero(rows)
        places = places[np.argsort(-np.abs(np.nan_to_num(target[places], nan=np.inf)), kind="stable")]
        listed = ", ".join(f"{target[j]:.6g} for {tickers[j]}" for j in places[:3])
        return listed + (f" and {len(places) - 3:,} more" if len(places) > 3 else "")

    broken = ~np.isfinite(target)
    if broken.any():
        raise InputError(
            f"expected {method} to give {n} finite weights, one per ticker; found {shown(broken)} on {day}; give 0 to "
            "tickers that are not to be held"
        )
    stated = getattr(allocation, "gross", None)
    limit = float(stated) if isinstance(stated, int | float | np.integer | np.floating) else 1.0
    total, now = math.fsum(np.abs(target)), math.fsum(np.abs(weights))
    if total > max(limit, now) * (1 + ROUNDING) + ROUNDING:
        source = "its gross" if stated is not None else "no gross is stated"
        raise InputError(
            f"expected {method} to give weights whose absolute values sum to at most {limit:g} ({source}); found "
            f"{total:.6g} on {day} ({shown(target != 0)}); scale them down, or give the allocation a larger attribute "
            "gross"
        )
    negative = (target < -ROUNDING) & (target < weights - ROUNDING)
    if negative.any() and not allocation.can_be_short:
        raise InputError(
            f"expected {method} to give no negative weight, since can_be_short is False; found {shown(negative)} on "
            f"{day}; let can_be_short be True, or give 0"
        )
    changed = ~tradable & (np.abs(target - weights) > ROUNDING) & (target != 0.0)
    if changed.any():
        j = int(np.argmax(changed))
        raise InputError(
            f"expected {method} to keep the weight of a ticker without a bar; found {shown(changed)} on {day}, "
            f"where {tickers[j]} has {weights[j]:.6g} and no bar; use the argument tradable"
        )
    return target


def unequal_ties(scores: Values, target: Values, weights: Values, *, slowed: bool = False) -> int:
    """Count the tickers whose score equals that of another ticker with another target weight.

    For such tickers the weights depend on something other than the scores, such as the order of the tickers.

    Parameters
    ----------
    scores : ndarray of shape (n_candidates,)
        Scores of tickers with a score and a bar today; all finite.
    target, weights : ndarray of shape (n_candidates,)
        Their target and their current weights.
    slowed : bool
        Whether a turnover limit makes targets depend on current weights; tickers with different current weights are
        then not compared.

    Examples
    --------
    >>> unequal_ties(np.array([0.7, 0.7, 0.7, 0.1]), np.array([0.5, 0.5, 0.0, 0.0]), np.zeros(4))
    3
    """
    order = np.lexsort((weights, scores)) if slowed else np.argsort(scores, kind="stable")
    scores, target, weights = scores[order], target[order], weights[order]
    same = scores[1:] == scores[:-1]
    if slowed:
        same &= weights[1:] == weights[:-1]
    differ = same & (np.abs(target[1:] - target[:-1]) > SAME_WEIGHT)
    if not differ.any():
        return 0
    group = np.concatenate([[0], np.cumsum(~same)])
    return int(np.isin(group, group[1:][differ]).sum())
