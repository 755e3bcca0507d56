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

# Sums of weights that exceed their limit by no more than this are at it.
ROUNDING = 1e-9
# Weights of names with equal scores that differ by no more than this are equal.
SAME_WEIGHT = 1e-12
# Part of the gross limit that has to be reachable; less is worth a warning.
REACHED = 0.95

Values = NDArray[np.float64]
Flags = NDArray[np.bool_]


def check_enough_names(allocation: Any, n_names: int, *, names: Sequence[str] = ()) -> None:
    """Refuse an allocation that ranks names where there is only one.

    Parameters
    ----------
    allocation : Allocation
        What is to decide.
    n_names : int
        Number of names that can have a score on one date.
    names : sequence of str
        Those names, for the message.

    Raises
    ------
    InputError
        For `LongShortQuantile`, and `TopK` with more than one place, on one name; the message says what to use
        instead. With two names or more, places that stay empty are a warning, see `idle_cash_warning`.
    """
    if n_names != 1:
        return
    found = counted_names(n_names, names)
    if isinstance(allocation, LongShortQuantile):
        raise InputError(
            f"expected at least 2 names for LongShortQuantile, which buys some and sells others short; found {found}; "
            'use allocation = "Threshold" with long and short'
        )
    if isinstance(allocation, TopK) and allocation.k > 1:
        raise InputError(
            f"expected k = 1 for TopK on one name; found k = {allocation.k} and {found}; set k = 1, and "
            f"gross = {allocation.gross / allocation.k:.4g} for the same part of the account"
        )


def idle_cash_warning(allocation: Any, counts: NDArray[np.int64]) -> str:
    """Describe the part of the account that an allocation cannot invest for lack of names; empty when there is none.

    Parameters
    ----------
    allocation : Allocation
        What decides; one without `reachable_gross` is not judged.
    counts : ndarray of int, shape (n_dates,)
        Names with a score on each decision date.
    """
    reach = getattr(allocation, "reachable_gross", None)
    if not callable(reach) or not len(counts):
        return ""
    shares = np.array([reach(n) for n in range(int(counts.max()) + 1)])[counts] / allocation.gross
    median = float(np.median(shares))
    if median >= REACHED:
        return ""
    names = int(np.median(counts))
    most = "most of the account stays" if median < 0.5 else f"{1 - median:.0%} of what it may invest stays"
    k = getattr(allocation, "k", None)
    limit = getattr(allocation, "max_weight", None)
    if isinstance(k, int | np.integer) and k > names:
        why, remedy = f"{type(allocation).__name__} has {k:,} places", f"set k to at most {names:,}"
    else:
        why, remedy = f"{type(allocation).__name__} gives a name at most {limit:g}", "raise max_weight"
    return (
        f"{why} and {names:,} {'name has' if names == 1 else 'names have'} a score on the median decision date: {most} "
        f"in cash (at most {median:.0%} is invested); {remedy}, or widen the universe."
    )


def check_target_weights(
    allocation: Any, returned: Any, weights: Values, tradable: Flags, *, tickers: Sequence[str], day: str
) -> Values:
    """Refuse target weights that break the contract of `Allocation.target_weights`.

    Parameters
    ----------
    allocation : Allocation
        What decided.
    returned : array-like
        What it returned as target weights.
    weights : ndarray of shape (n_tickers,)
        Current weights.
    tradable : ndarray of bool, shape (n_tickers,)
        Names with a bar today.
    tickers : sequence of str
        Names, in the order of the arrays.
    day : str
        Decision date, for the message.

    Returns
    -------
    ndarray of shape (n_tickers,)
        The target weights as float64.

    Raises
    ------
    InputError
        For another shape, values that are no finite numbers, absolute weights that sum to more than the allocation's
        `gross` (1 where it states none) and to more than they do now, a negative weight of one that cannot be short,
        and a changed weight of a name without a bar; the message names date, tickers and values. A weight of zero for a
        name without a bar is let through: such a name is not traded.
    """
    who = f"{type(allocation).__name__}.target_weights"
    n = len(weights)
    try:
        target: Values = np.asarray(returned, dtype=np.float64)
    except (TypeError, ValueError):
        target = np.empty(0)
    if target.shape != (n,):
        raise InputError(
            f"expected {who} to give {n} finite weights, one per ticker; found shape {target.shape} on {day}; "
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
            f"expected {who} to give {n} finite weights, one per ticker; found {shown(broken)} on {day}; give 0 to "
            "what is not to be held"
        )
    stated = getattr(allocation, "gross", None)
    limit = float(stated) if isinstance(stated, int | float | np.integer | np.floating) else 1.0
    total, now = math.fsum(np.abs(target)), math.fsum(np.abs(weights))
    if total > max(limit, now) * (1 + ROUNDING) + ROUNDING:
        source = "its gross" if stated is not None else "no gross is stated"
        raise InputError(
            f"expected {who} to give weights whose absolute values sum to at most {limit:g} ({source}); found "
            f"{total:.6g} on {day} ({shown(target != 0)}); scale them down, or give the allocation a larger attribute "
            "gross"
        )
    negative = (target < -ROUNDING) & (target < weights - ROUNDING)
    if negative.any() and not allocation.can_be_short:
        raise InputError(
            f"expected {who} to give no negative weight, since can_be_short is False; found {shown(negative)} on "
            f"{day}; let can_be_short be True, or give 0"
        )
    moved = ~tradable & (np.abs(target - weights) > ROUNDING) & (target != 0.0)
    if moved.any():
        j = int(np.argmax(moved))
        raise InputError(
            f"expected {who} to leave the weight of a name without a bar as it is; found {shown(moved)} on {day}, "
            f"where {tickers[j]} has {weights[j]:.6g} and no bar; look at tradable"
        )
    return target


def unequal_ties(scores: Values, target: Values, weights: Values, *, slowed: bool = False) -> int:
    """Count the names whose score is that of another name with another target weight.

    Something other than the scores decided between them, such as the order of the tickers.

    Parameters
    ----------
    scores : ndarray of shape (n_candidates,)
        Scores of names with a score and a bar today; all finite.
    target, weights : ndarray of shape (n_candidates,)
        Their target and their current weights.
    slowed : bool
        Whether a turnover limit makes targets depend on current weights: names with different ones are then not
        compared.

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
