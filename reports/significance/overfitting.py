"""Probability of backtest overfitting by combinatorially symmetric cross-validation.

References
----------
Bailey, Borwein, López de Prado and Zhu (2015), The probability of backtest overfitting.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signals.common.errors import InputError

__all__ = ["Overfitting", "probability_of_backtest_overfitting"]


@dataclass(frozen=True, slots=True)
class Overfitting:
    """Result of `probability_of_backtest_overfitting`.

    Parameters
    ----------
    probability : float
        Share of splits in which the best trial of one half was not above the median in the other half.
    loss : float
        Share of splits in which it had a Sharpe ratio below zero in the other half.
    logits : ndarray of shape (n_splits,)
        `ln(w / (1 - w))` with `w` its rank in the other half (1 is worst) over the number of trials plus one.
    trials, blocks, sessions : int
        Number of trials compared, of blocks in the history, and of sessions in these blocks.
    """

    probability: float
    loss: float
    logits: NDArray[np.float64]
    trials: int
    blocks: int
    sessions: int

    @property
    def noise(self) -> float:
        """Expected `probability` for as many trials of pure noise: the share of ranks not above the median."""
        return ((self.trials + 1) // 2) / self.trials


def probability_of_backtest_overfitting(returns: Any, *, blocks: int = 16) -> Overfitting:
    """Estimate how often the best trial of one half of the history is not above the median in the other half.

    Parameters
    ----------
    returns : array of shape (n_sessions, n_trials)
        In excess of the risk-free rate; at least two trials.
    blocks : int
        Even number of blocks of equal length; the oldest sessions that do not fill a block are left out. Every choice
        of half of the blocks is one split.

    Returns
    -------
    Overfitting
        Trials are ranked by their Sharpe ratios. Equal Sharpe ratios have their mean rank; of several best trials the
        first is selected. A logit of exactly 0, the median, counts as overfitted, so that with an odd number of
        trials pure noise gives more than one half: two thirds with three (`Overfitting.noise`).

    Raises
    ------
    InputError
        With fewer than two trials, an odd number of blocks, or fewer than two sessions a block.

    Examples
    --------
    One trial is better in all blocks:

    >>> rng = np.random.default_rng(0)
    >>> found = probability_of_backtest_overfitting(rng.normal([0.5, 0, 0], 1.0, (800, 3)), blocks=8)
    >>> found.probability, len(found.logits)
    (0.0, 70)
    """
    values = np.asarray(returns, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] < 2:
        raise InputError(f"expected returns of at least two trials; found an array of shape {values.shape}; add trials")
    length, count = len(values) // blocks if blocks else 0, values.shape[1]
    if blocks < 2 or blocks % 2 or length < 2:
        raise InputError(
            f"expected an even number of blocks of two sessions or more; found {blocks} blocks for {len(values)} "
            "sessions; use fewer blocks"
        )
    by_block = values[len(values) - blocks * length :].reshape(blocks, length, count)
    first, second = by_block.sum(axis=1), (by_block**2).sum(axis=1)
    chosen = np.zeros((_splits(blocks), blocks))
    for split, half in enumerate(combinations(range(blocks), blocks // 2)):
        chosen[split, list(half)] = 1.0
    sessions = length * blocks // 2
    inside = _sharpe(_halves(chosen, first), _halves(chosen, second), sessions)
    outside = _sharpe(_halves(1.0 - chosen, first), _halves(1.0 - chosen, second), sessions)
    best = inside.argmax(axis=1)[:, None]
    best_outside = np.take_along_axis(outside, best, axis=1)
    rank = (outside < best_outside).sum(axis=1) + ((outside == best_outside).sum(axis=1) + 1) / 2
    weight = rank / (count + 1)
    logits = np.log(weight / (1.0 - weight))
    return Overfitting(
        probability=float((rank <= (count + 1) / 2).mean()),
        loss=float((best_outside < 0).mean()),
        logits=logits,
        trials=count,
        blocks=blocks,
        sessions=length * blocks,
    )


def _splits(blocks: int) -> int:
    from math import comb

    return comb(blocks, blocks // 2)


def _halves(chosen: NDArray[np.float64], sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum the blocks of each half, shape (n_splits, n_trials); einsum has no threads, so bits are reproducible."""
    total: NDArray[np.float64] = np.einsum("sb,bt->st", chosen, sums)
    return total


def _sharpe(first: NDArray[np.float64], second: NDArray[np.float64], sessions: int) -> NDArray[np.float64]:
    """Sharpe ratios from sums and sums of squares; infinite with the sign of the mean for a half without variation."""
    mean = first / sessions
    variance = (second - first * mean) / (sessions - 1)
    constant = variance <= 1e-12 * second / sessions
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = mean / np.sqrt(np.where(constant, 0.0, variance))
    return np.where(constant & (np.abs(mean) <= 1e-15), 0.0, ratio)
