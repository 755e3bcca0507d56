"""Stationary bootstrap, its block length, and White's reality check.

Random numbers come from a fixed seed, so equal inputs give equal results.

References
----------
Politis and Romano (1994), The stationary bootstrap. Politis and White (2004), Automatic block-length selection for the
dependent bootstrap. Patton, Politis and White (2009), Correction to "Automatic block-length selection". White (2000),
A reality check for data snooping.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "RESAMPLES",
    "RealityCheck",
    "block_length",
    "percentile_interval",
    "reality_check",
    "resampled_figures",
    "stationary_indices",
]

RESAMPLES = 2000
_SEED = 20_000
_CHUNK = 2**21  # indices held at once: 8 MB


def block_length(values: Any) -> float:
    """Mean block length for the stationary bootstrap of the mean.

    Parameters
    ----------
    values : array of shape (n_sessions,)
        Series of values; a constant series has length 1.

    Returns
    -------
    float
        Between 1 and the lesser of 3 √T and T/3 (but at least 1).

    Notes
    -----
    Politis and White (2004) with the constant of Patton, Politis and White (2009): autocovariances weighted by a
    flat-top window of twice the first lag from which five (or log10 T) autocorrelations in a row are negligible.
    """
    series = np.asarray(values, dtype=np.float64)
    n = len(series)
    if n < 9 or np.ptp(series) == 0:
        return 1.0
    centred = series - series.mean()
    run_length = max(5, int(math.log10(n)))
    most = min(math.ceil(math.sqrt(n)) + run_length, n - 2)
    covariance = np.array([float((centred[lag:] * centred[: n - lag]).sum()) / n for lag in range(most + 1)])
    negligible = np.abs(covariance / covariance[0]) < 2.0 * math.sqrt(math.log10(n) / n)
    runs = np.convolve(negligible[1:], np.ones(run_length), mode="valid") == run_length
    # runs[k]: lags k + 1 … k + run_length are all negligible; the first such k is used, as in the published programs
    width = min(2 * (int(runs.argmax()) + 1), most) if runs.any() else most
    lags = np.arange(1, width + 1)
    weight = np.minimum(1.0, 2.0 * (1.0 - lags / width))
    bias = 2.0 * float((weight * lags * covariance[1 : width + 1]).sum())
    long_run = covariance[0] + 2.0 * float((weight * covariance[1 : width + 1]).sum())
    longest = float(math.ceil(min(3.0 * math.sqrt(n), n / 3)))
    if long_run == 0:
        return longest
    return float(min(max((bias / long_run) ** 2 * n, 1.0) ** (1 / 3), longest))


def stationary_indices(
    sessions: int, *, block: float, rng: np.random.Generator, resamples: int = RESAMPLES
) -> Iterator[NDArray[np.int32]]:
    """Draw resampled histories as session numbers, in chunks.

    Parameters
    ----------
    sessions : int
        Length of the history and of each resample.
    block : float
        Mean length of a block, at least 1.
    rng : Generator
        Source of randomness.
    resamples : int
        Number of histories in all.

    Yields
    ------
    ndarray of shape (chunk, sessions)
        Blocks of geometric length that begin anywhere and wrap around the end (Politis and Romano 1994).
    """
    rows = max(1, _CHUNK // sessions)
    place = np.arange(sessions, dtype=np.int32)
    for done in range(0, resamples, rows):
        shape = (min(rows, resamples - done), sessions)
        begins = rng.random(shape) < 1.0 / block
        begins[:, 0] = True
        starts = rng.integers(sessions, size=shape, dtype=np.int32)
        latest = np.maximum.accumulate(np.where(begins, place, 0), axis=1)
        yield (np.take_along_axis(starts, latest, axis=1) + place - latest) % sessions


def resampled_figures(
    returns: Any, *, risk_free: float = 0.0, resamples: int = RESAMPLES, seed: int = _SEED
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Sharpe ratio and maximum drawdown of resampled histories.

    Parameters
    ----------
    returns : array of shape (n_sessions,)
        Simple returns per session.
    risk_free : float
        Rate per session, taken off for the Sharpe ratio only.
    resamples, seed : int
        Number of histories, and the random seed.

    Returns
    -------
    sharpe : ndarray of shape (resamples,)
        Per session; 0 for a history without any variation.
    drawdown : ndarray of shape (resamples,)
        Deepest fall of wealth below its peak, a fraction, zero or negative; NaN when a return of -100 % or worse
        exists, because wealth is then zero or negative.
    block : float
        Mean block length used: the longer of those for the returns and for their squared deviations, because
        drawdowns depend on volatility clustering.
    """
    values = np.asarray(returns, dtype=np.float64)
    centred = values - values.mean()
    block = max(block_length(values), block_length(centred**2))
    ruin = bool((values <= -1).any())
    rng = np.random.default_rng(seed)
    ratios, falls = [], []
    for chosen in stationary_indices(len(values), block=block, rng=rng, resamples=resamples):
        drawn = values[chosen]
        spread = drawn.std(axis=1, ddof=1)
        excess = drawn.mean(axis=1) - risk_free
        ratios.append(np.divide(excess, spread, out=np.zeros_like(excess), where=spread > 0))
        if not ruin:
            wealth = np.cumprod(1.0 + drawn, axis=1)
            peak = np.maximum(np.maximum.accumulate(wealth, axis=1), 1.0)
            falls.append((wealth / peak).min(axis=1) - 1.0)
    drawdown = np.concatenate(falls) if falls else np.full(resamples, math.nan)
    return np.concatenate(ratios), np.minimum(drawdown, 0.0), block


def percentile_interval(values: NDArray[np.float64], level: float = 0.95) -> tuple[float, float]:
    """Central percentile interval that contains the share `level` of the values.

    >>> percentile_interval(np.arange(101.0), 0.5)
    (25.0, 75.0)
    """
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(values, [tail, 1.0 - tail])
    return float(low), float(high)


@dataclass(frozen=True, slots=True)
class RealityCheck:
    """Result of `reality_check`.

    Parameters
    ----------
    p_value : float
        Probability that the best of as many trials with a true mean of zero has at least the observed mean.
    best : int
        Column of the best trial.
    edge : float
        Its mean return beyond the comparison, per session.
    block : float
        Mean block length used.
    """

    p_value: float
    best: int
    edge: float
    block: float


def reality_check(excess: Any, *, resamples: int = RESAMPLES, seed: int = _SEED + 1) -> RealityCheck:
    """Test whether the best of several trials has a positive mean excess return (White 2000).

    Parameters
    ----------
    excess : array of shape (n_sessions, n_trials)
        Return of each trial less that of the comparison, session by session.
    resamples, seed : int
        Number of histories, and the random seed.

    Returns
    -------
    RealityCheck
        Of the hypothesis that no trial has a positive mean excess. All trials are resampled together, which preserves
        their correlation. The p-value counts the history itself as one of the resamples (Davison and Hinkley 1997)
        and is never 0. The block length is the mean of those of the single trials.
    """
    values = np.asarray(excess, dtype=np.float64)
    sessions, count = values.shape
    mean = values.mean(axis=0)
    best = int(mean.argmax())
    centred = values - mean
    block = float(np.mean([block_length(values[:, trial]) for trial in range(count)]))
    rng = np.random.default_rng(seed)
    as_large = 0
    for chosen in stationary_indices(sessions, block=block, rng=rng, resamples=resamples):
        # counts of each session give the means of all trials in one product (einsum has no threads: reproducible bits)
        row = np.arange(len(chosen), dtype=np.int64)[:, None] * sessions
        drawn = np.bincount((row + chosen).ravel(), minlength=len(chosen) * sessions).reshape(len(chosen), sessions)
        means = np.einsum("bt,tk->bk", drawn.astype(np.float64), centred) / sessions
        as_large += int((means.max(axis=1) >= mean[best]).sum())
    return RealityCheck((1 + as_large) / (1 + resamples), best, float(mean[best]), block)
