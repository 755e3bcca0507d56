"""Long-run variance of serially dependent values, and the interval and t statistic of their mean.

Two estimators, for two uses. The equal-weighted cosine estimator serves every mean over dates: it keeps the coverage of
the interval where the outcomes of neighbouring dates overlap. The Bartlett kernel serves statistics whose published
form has it: the Diebold-Mariano test and the standard error of a Sharpe ratio.

References
----------
Lazarus, Lewis, Stock and Watson (2018), HAR inference: recommendations for practice, Journal of Business & Economic
Statistics 36. Newey and West (1987), A simple, positive semi-definite, heteroskedasticity and autocorrelation
consistent covariance matrix, Econometrica 55. Diebold and Mariano (1995), Comparing predictive accuracy, Journal of
Business & Economic Statistics 13.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "TOO_FEW_DATES",
    "MeanInterval",
    "cosine_count",
    "cosine_variance",
    "mean_interval",
    "newey_west_lags",
    "newey_west_variance",
    "truncated_variance",
]

TOO_FEW_DATES = "too few independent dates"

Values = NDArray[np.float64]


class MeanInterval(NamedTuple):
    """Mean over dates and its 95 % interval.

    Parameters
    ----------
    mean : float
        NaN without any value.
    low, high : float
        Ends of the interval; NaN where there are too few independent dates.
    standard_error : float
        Of the mean; NaN likewise.
    df : int
        Degrees of freedom of Student's t, which are the number of cosines; 0 where there is no interval.
    """

    mean: float
    low: float
    high: float
    standard_error: float
    df: int

    @property
    def is_known(self) -> bool:
        """Whether there is an interval."""
        return self.df > 0

    def t(self, null: float = 0.0) -> float:
        """Compute the t statistic of the mean against `null`, for Student's t with `df` degrees of freedom.

        NaN without an interval, and for a series that is constant.
        """
        return (self.mean - null) / self.standard_error if self.standard_error > 0 else math.nan


UNKNOWN = MeanInterval(math.nan, math.nan, math.nan, math.nan, 0)


def mean_interval(by_date: pd.Series, *, horizon: int) -> MeanInterval:
    """Mean over dates with a 95 % interval that allows for overlapping outcomes and other serial dependence.

    Parameters
    ----------
    by_date : Series
        One value a date, in time order. Dates with NaN are left out, and neither they nor the gaps that they leave
        count as dates: the values that remain are treated as consecutive, which never shortens the assumed overlap.
    horizon : int
        Number of consecutive dates whose outcomes overlap: `labels.horizon` for labels over so many decision dates, 1
        for values that share nothing, such as returns of single sessions.

    Returns
    -------
    MeanInterval
        Without an interval where fewer than four values a date of the horizon are known (`cosine_count` is 0), and
        where no cosine has any weight although the values differ, which happens with a handful of values only. A
        constant has an interval of length zero.

    Notes
    -----
    With T values and B = `cosine_count(T, horizon)`: the variance of the mean is `cosine_variance(values, B) / T`, and
    the interval is the mean plus and minus the 97.5th percentile of Student's t with B degrees of freedom times its
    root (Lazarus, Lewis, Stock and Watson 2018).

    >>> mean_interval(pd.Series([0.5, 0.5, 0.5, 0.5]), horizon=1)
    MeanInterval(mean=0.5, low=0.5, high=0.5, standard_error=0.0, df=2)
    >>> mean_interval(pd.Series([0.5, 0.6, 0.4, 0.5]), horizon=2).is_known
    False
    """
    from scipy.special import stdtrit

    values = by_date.dropna().to_numpy(dtype=np.float64)
    n = len(values)
    if n == 0:
        return UNKNOWN
    mean = float(values.mean())
    count = cosine_count(n, horizon)
    largest = float(np.abs(values - mean).max())
    if count and largest <= 1e-12 * abs(mean):  # equal but for rounding
        return MeanInterval(mean, mean, mean, 0.0, count)
    variance = float(cosine_variance(values, count)) if count else 0.0
    if variance <= 1e-20 * largest**2:
        return UNKNOWN._replace(mean=mean)
    error = math.sqrt(variance / n)
    half = float(stdtrit(count, 0.975)) * error
    return MeanInterval(mean, mean - half, mean + half, error, count)


def cosine_count(n: int, horizon: int) -> int:
    """Choose the number of cosines B for n values whose outcomes overlap over `horizon` dates; 0 if n is too small.

    Notes
    -----
    `min(floor(0.4 n^(2/3)), floor(n / (2 horizon)))`, at least 2. The first bound is the recommendation of Lazarus,
    Lewis, Stock and Watson (2018). The second keeps frequencies at or below `1 / (4 horizon)` cycles per date, a
    quarter of that at which the spectrum of a moving sum over `horizon` dates is zero. With `n / (2 horizon) < 2` fewer
    than two cosines lie there, and the number is 0.

    >>> cosine_count(356, 1), cosine_count(356, 26), cosine_count(104, 26), cosine_count(103, 26)
    (20, 6, 2, 0)
    """
    if n < 4 * horizon:
        return 0
    # 0.4 n^(2/3) is a whole number for some n, such as 125, and its floating-point value may lie just below
    return max(min(math.floor(0.4 * math.pow(n, 2 / 3) + 1e-9), n // (2 * horizon)), 2)


def cosine_variance(values: ArrayLike, count: int) -> Values:
    """Long-run variance by the equal-weighted cosine estimator.

    Parameters
    ----------
    values : array-like, shape (n,) or (n, k)
        In time order, one series or one a column.
    count : int
        Number of cosines B, from 1 to n - 1.

    Returns
    -------
    ndarray, shape () or (k,)
        Mean over j = 1 ... B of the squared projections `sqrt(2/n) sum_t x_t cos(pi j (t - 1/2) / n)`, t = 1 ... n,
        which are coefficients of the type II discrete cosine transform (Lazarus, Lewis, Stock and Watson 2018). Divided
        by n it estimates the variance of the mean.

    >>> float(np.round(cosine_variance([1.0, 2.0, 3.0, 4.0], 1), 6))
    4.974874
    """
    from scipy.fft import dct

    array = np.asarray(values, dtype=np.float64)
    # cosines are orthogonal to a constant; taking the mean out first keeps its rounding errors out of them
    projections = dct(array - array.mean(axis=0), type=2, norm="ortho", axis=0)[1 : count + 1]
    return np.asarray((projections**2).mean(axis=0))


def newey_west_lags(n: int) -> int:
    """Default number of lags of a Bartlett kernel over n values, `floor(4 (n/100)^(2/9))`.

    >>> newey_west_lags(100), newey_west_lags(1000), newey_west_lags(3)
    (4, 6, 1)
    """
    return min(int(4 * (n / 100) ** (2 / 9)), n - 1)


def newey_west_variance(values: ArrayLike, lags: int | None = None) -> float:
    """Long-run variance with Bartlett weights (Newey and West 1987).

    Parameters
    ----------
    values : array-like, shape (n,)
        Observations in time order, without NaN.
    lags : int, optional
        Number of autocovariances in the sum, at most n - 1; `newey_west_lags(n)` by default. Lag k has the weight
        `1 - k / (lags + 1)`.

    Returns
    -------
    float
        Long-run variance, at least 0. Divided by n it estimates the variance of the mean, without a correction for
        small samples: the squared standard error of a regression on a constant with `cov_type="HAC"` in statsmodels.

    >>> newey_west_variance([1.0, -1.0, 1.0, -1.0])
    0.25
    """
    array = np.asarray(values, dtype=np.float64)
    used = newey_west_lags(len(array)) if lags is None else lags
    return max(_weighted_autocovariances(array, 1.0 - np.arange(used + 1) / (used + 1)), 0.0)


def truncated_variance(values: ArrayLike, lags: int) -> float:
    """Sum of all autocovariances up to a lag, with equal weights (Diebold and Mariano 1995); it may be negative.

    Parameters
    ----------
    values : array-like, shape (n,)
        In time order.
    lags : int
        Autocovariances that count, at most n - 1.

    >>> truncated_variance([1.0, -1.0, 1.0, -1.0], 1)
    -0.5
    """
    return _weighted_autocovariances(np.asarray(values, dtype=np.float64), np.ones(lags + 1))


def _weighted_autocovariances(values: Values, weights: Values) -> float:
    """Autocovariance at lag 0 and twice the weighted ones at lags 1, 2, ..., each a sum over n values divided by n."""
    n = len(values)
    centred = values - values.mean()
    total = float(centred @ centred)
    for lag, weight in enumerate(weights[1:n], start=1):
        total += 2.0 * float(weight) * float(centred[lag:] @ centred[:-lag])
    return total / n
