"""Accuracy of forecasts of series: errors, skill against a reference and its test, correlations, quantiles.

All functions take arrays of one common shape, and leave out elements whose actual value is NaN, since it is not known
yet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from signals.common.errors import InputError
from signals.evaluation.long_run_variance import cosine_count, cosine_variance, newey_west_variance, truncated_variance

__all__ = [
    "LOSSES",
    "Correlation",
    "DieboldMariano",
    "coverage",
    "diebold_mariano",
    "directional_accuracy",
    "information_coefficient",
    "mean_absolute_error",
    "pinball_loss",
    "root_mean_squared_error",
    "skill",
]

LOSSES = ("squared", "absolute")

Values = NDArray[np.float64]


class DieboldMariano(NamedTuple):
    """Test of equal accuracy: below zero the forecast is the better one; `p_value` is two-sided."""

    statistic: float
    p_value: float
    n: int


class Correlation(NamedTuple):
    """A correlation over n pairs, its t statistic, and the degrees of freedom of Student's t, 0 with too few pairs."""

    value: float
    t: float
    n: int
    df: int


def mean_absolute_error(actual: ArrayLike, forecast: ArrayLike) -> float:
    """Mean absolute error; NaN without known values.

    >>> mean_absolute_error([1.0, 2.0, np.nan], [1.0, 4.0, 9.0])
    1.0
    """
    y_true, y_pred = _known(actual, forecast)
    return float(np.abs(y_true - y_pred).mean()) if y_true.size else math.nan


def root_mean_squared_error(actual: ArrayLike, forecast: ArrayLike) -> float:
    """Square root of the mean squared error; NaN without known values.

    >>> root_mean_squared_error([1.0, 2.0], [1.0, 4.0]) ** 2
    2.0000000000000004
    """
    y_true, y_pred = _known(actual, forecast)
    return math.sqrt(float(((y_true - y_pred) ** 2).mean())) if y_true.size else math.nan


def skill(actual: ArrayLike, forecast: ArrayLike, reference: ArrayLike) -> float:
    """Forecast skill: one minus the mean squared error of a forecast over that of a reference.

    Returns
    -------
    float
        1 for a perfect forecast, 0 for one as good as the reference, below 0 for a worse one.

    >>> skill([1.0, 2.0], [1.0, 2.5], [1.0, 3.0])
    0.75
    """
    y_true, y_pred, other = _known(actual, forecast, reference)
    error = float(((y_true - other) ** 2).sum())
    return 1.0 - float(((y_true - y_pred) ** 2).sum()) / error if error > 0 else math.nan


def diebold_mariano(
    actual: ArrayLike, forecast: ArrayLike, reference: ArrayLike, *, steps: int = 1, loss: str = "squared"
) -> DieboldMariano:
    """Test whether two forecasts are equally good, in the order in which they were made.

    Parameters
    ----------
    actual, forecast, reference : array-like, shape (n,) or (n, ...)
        One row per origin, in time order. The loss of a row with several numbers is their mean, over known ones.
    steps : int
        Largest number of periods ahead; errors of overlapping forecasts are correlated up to `steps` - 1 rows apart.
    loss : {"squared", "absolute"}
        Loss function of an error.

    Returns
    -------
    DieboldMariano
        NaN with too few rows, or when the losses do not differ at all.

    Notes
    -----
    Diebold and Mariano (1995), with the correction for small samples of Harvey, Leybourne and Newbold (1997), whose
    statistic is compared with Student's t of n - 1 degrees of freedom. Where the estimated variance is not positive,
    as it may be with `steps` > 1, Bartlett weights make it so (Newey and West 1987).

    >>> result = diebold_mariano([0.0, 0, 0, 0], [1.0, 1, 1, 2], [2.0, 1, 2, 3])
    >>> round(result.statistic, 4), round(result.p_value, 4)
    (-2.6679, 0.0758)
    """
    from scipy.stats import t as student

    if loss not in LOSSES:
        raise InputError(f"expected a loss among {', '.join(LOSSES)}; found {loss!r}")
    y_true, y_pred, other = (np.asarray(values, dtype=np.float64) for values in (actual, forecast, reference))
    with np.errstate(invalid="ignore"):
        losses, reference_losses = (
            np.abs(y_true - values) ** (2 if loss == "squared" else 1) for values in (y_pred, other)
        )
    rows = (losses - reference_losses).reshape(len(y_true), -1)
    known = np.isfinite(rows)
    counted = known.any(axis=1)
    difference = np.where(known, rows, 0.0).sum(axis=1)[counted] / known.sum(axis=1)[counted]
    n = len(difference)
    if n < max(3, steps + 1):
        return DieboldMariano(math.nan, math.nan, n)
    mean = float(difference.mean())
    variance = truncated_variance(difference, steps - 1)
    if variance <= 0:
        variance = newey_west_variance(difference, steps - 1)
    if variance <= 1e-24 * mean * mean or not variance:
        return DieboldMariano(math.nan, math.nan, n)
    correction = math.sqrt((n + 1 - 2 * steps + steps * (steps - 1) / n) / n)
    statistic = correction * mean / math.sqrt(variance / n)
    return DieboldMariano(statistic, float(2 * student.sf(abs(statistic), n - 1)), n)


def information_coefficient(
    actual: ArrayLike, forecast: ArrayLike, *, rank: bool = False, steps: int = 1
) -> Correlation:
    """Correlation of forecasts with actual values over time.

    Parameters
    ----------
    actual, forecast : array-like, shape (n,)
        In time order. Levels correlate by persistence alone, so give changes or returns.
    rank : bool
        Spearman's instead of Pearson's.
    steps : int
        Periods ahead: outcomes up to `steps` - 1 rows apart overlap.

    Returns
    -------
    Correlation
        With the t statistic of the slope of a regression of one on the other. Its standard error is that of the
        equal-weighted cosine estimator (Lazarus, Lewis, Stock and Watson 2018) with `cosine_count(n, steps)` cosines,
        which are the degrees of freedom of Student's t. The t statistic is NaN with fewer than `4 * steps` pairs, and
        both are NaN without variation.

    >>> information_coefficient([1.0, 2, 3, 5], [1.0, 2, 3, 4], rank=True).value
    1.0
    """
    from scipy.stats import rankdata

    y_true, y_pred = _known(actual, forecast)
    if rank:
        y_true, y_pred = rankdata(y_true), rankdata(y_pred)
    n = len(y_true)
    if n < 3:
        return Correlation(math.nan, math.nan, n, 0)
    y, x = y_true - y_true.mean(), y_pred - y_pred.mean()
    xx, yy = float(x @ x), float(y @ y)
    # a constant leaves rounding errors behind
    if xx <= 1e-24 * float(y_pred @ y_pred) or yy <= 1e-24 * float(y_true @ y_true):
        return Correlation(math.nan, math.nan, n, 0)
    correlation = min(max(float(x @ y) / math.sqrt(xx * yy), -1.0), 1.0)
    slope = float(x @ y) / xx
    count = cosine_count(n, steps)
    variance = n * float(cosine_variance(x * (y - slope * x), count)) / xx**2 if count else math.nan
    # residuals of rounding errors only: one series is a linear function of the other
    t = slope / math.sqrt(variance) if variance > 1e-24 * slope * slope else math.nan
    return Correlation(correlation, t, n, count)


def directional_accuracy(last: ArrayLike, actual: ArrayLike, forecast: ArrayLike) -> float:
    """Share of moves whose direction was forecast correctly; no move, or a forecast of none, counts one half.

    Parameters
    ----------
    last, actual, forecast : array-like, shape (n,)
        Value at the origin, actual value, and forecast.

    >>> directional_accuracy([1.0, 1.0, 1.0], [2.0, 0.5, 3.0], [1.5, 1.5, 1.0])
    0.5
    """
    start, y_true, y_pred = _known(last, actual, forecast)
    hits = np.sign(y_true - start) * np.sign(y_pred - start)
    return float((hits + 1).mean() / 2) if hits.size else math.nan


def pinball_loss(actual: ArrayLike, forecast: ArrayLike, levels: Sequence[float]) -> float:
    """Mean pinball loss of quantile forecasts (Koenker and Bassett 1978), over rows and levels.

    Parameters
    ----------
    actual : array-like, shape (n,)
        Actual values.
    forecast : array-like, shape (n, len(levels))
        Quantiles of these levels.

    >>> pinball_loss([1.0], [[0.0, 2.0]], (0.25, 0.75))
    0.25
    """
    y_true, y_pred = _quantiles(actual, forecast, levels)
    error, level = y_true[:, None] - y_pred, np.asarray(levels)
    return float(np.maximum(level * error, (level - 1) * error).mean()) if error.size else math.nan


def coverage(actual: ArrayLike, forecast: ArrayLike, levels: Sequence[float]) -> dict[float, float]:
    """Share of actual values at or below each quantile; close to its level when the quantile is calibrated.

    >>> coverage([1.0, 3.0], [[0.0, 2.0], [3.0, 4.0]], (0.25, 0.75))
    {0.25: 0.5, 0.75: 1.0}
    """
    y_true, y_pred = _quantiles(actual, forecast, levels)
    if not len(y_true):
        return dict.fromkeys(levels, math.nan)
    return {level: float((y_true <= y_pred[:, i]).mean()) for i, level in enumerate(levels)}


def _known(actual: ArrayLike, *others: ArrayLike) -> tuple[Values, ...]:
    """Flatten arrays of one shape to the elements that are known in all of them."""
    arrays = [np.asarray(values, dtype=np.float64) for values in (actual, *others)]
    if len({array.shape for array in arrays}) != 1:
        raise InputError(f"expected arrays of one shape; found {', '.join(str(array.shape) for array in arrays)}")
    known = np.logical_and.reduce([np.isfinite(array) for array in arrays])
    return tuple(array[known] for array in arrays)


def _quantiles(actual: ArrayLike, forecast: ArrayLike, levels: Sequence[float]) -> tuple[Values, Values]:
    y_true, y_pred = np.asarray(actual, dtype=np.float64), np.asarray(forecast, dtype=np.float64)
    if y_pred.shape != (*y_true.shape, len(levels)):
        raise InputError(f"expected forecasts of shape {(*y_true.shape, len(levels))}; found {y_pred.shape}")
    known = np.isfinite(y_true) & np.isfinite(y_pred).all(axis=-1)
    return y_true[known], y_pred[known]
