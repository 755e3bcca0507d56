"""Significance of a Sharpe ratio: standard errors, probabilistic and deflated Sharpe ratios, track record length.

Every Sharpe ratio here is per session (mean over sample standard deviation, not annualised); kurtosis is 3 for a normal
distribution. To annualise a result, multiply it by the root of the sessions a year (`signals.annualization`).

References
----------
Lo (2002), The statistics of Sharpe ratios. Mertens (2002), Comments on variance of the IID estimator in Lo (2002).
Bailey and López de Prado (2012), The Sharpe ratio efficient frontier. Bailey and López de Prado (2014), The deflated
Sharpe ratio: correcting for selection bias, backtest overfitting and non-normality.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from signals.evaluation.long_run_variance import newey_west_variance

__all__ = [
    "Moments",
    "deflated_sharpe_ratio",
    "effective_trials",
    "expected_maximum",
    "mean_correlation",
    "min_track_record_length",
    "moments",
    "probabilistic_sharpe_ratio",
    "robust_sharpe_error",
    "sharpe_error",
    "sharpe_influence",
]

_NORMAL = NormalDist()


class Moments(NamedTuple):
    """Number of returns, Sharpe ratio, skew and kurtosis of a series of returns.

    Parameters
    ----------
    sessions : int
        Number of returns.
    sharpe : float
        Mean over sample deviation (ddof 1), per session; NaN without any variation.
    skew : float
        Third standardised moment.
    kurtosis : float
        Fourth standardised moment, 3 for a normal distribution.
    """

    sessions: int
    sharpe: float
    skew: float = 0.0
    kurtosis: float = 3.0


def moments(returns: Any) -> Moments:
    """Compute the moments of returns in excess of the risk-free rate.

    >>> moments([0.01, -0.01, 0.02, 0.02]).sessions
    4
    """
    values = np.asarray(returns, dtype=np.float64)
    if len(values) < 2 or np.ptp(values) <= 1e-12 * np.abs(values).max():  # equal up to rounding
        return Moments(len(values), math.nan, math.nan, math.nan)
    centred = values - values.mean()
    spread = math.sqrt(float((centred**2).mean()))
    z = centred / spread
    return Moments(
        len(values),
        float(values.mean() / values.std(ddof=1)),
        float((z**3).mean()),
        float((z**4).mean()),
    )


def sharpe_error(found: Moments) -> float:
    """Compute the standard error of a Sharpe ratio, per session, when returns are independent but not normal.

    Notes
    -----
    `sqrt((1 - skew SR + (kurtosis - 1)/4 SR²) / (T - 1))`, Mertens (2002), as used by Bailey and López de Prado (2012).
    Serial correlation and clustered volatility make it too small or too large: use `robust_sharpe_error` for such
    returns.
    """
    if found.sessions < 2:
        return math.nan
    shape = 1.0 - found.skew * found.sharpe + (found.kurtosis - 1.0) / 4.0 * found.sharpe**2
    return math.sqrt(max(shape, 0.0) / (found.sessions - 1))


def sharpe_influence(returns: Any) -> NDArray[np.float64]:
    """Contribution of each session to the error of the Sharpe ratio.

    Parameters
    ----------
    returns : array of shape (n_sessions,) or (n_sessions, n_series)

    Returns
    -------
    ndarray of the same shape
        `z - SR/2 (z² - 1)` with `z` the standardised return: the linear part of the estimator (Lo 2002, appendix A).
        Its plain variance over T is Mertens' formula; its long-run variance over T allows for serial correlation.
    """
    values = np.asarray(returns, dtype=np.float64)
    centred = values - values.mean(axis=0)
    spread = np.sqrt((centred**2).mean(axis=0))
    z = centred / spread
    influence: NDArray[np.float64] = z - values.mean(axis=0) / spread / 2.0 * (z**2 - 1.0)
    return influence


def robust_sharpe_error(returns: Any) -> float:
    """Compute the standard error of a Sharpe ratio, per session, for serially dependent returns.

    Lo (2002): the asymptotic variance of the estimator with `signals.evaluation.long_run_variance.newey_west_variance`
    of `sharpe_influence`, at the usual number of lags.
    """
    values = np.asarray(returns, dtype=np.float64)
    if len(values) < 3 or np.ptp(values) == 0:
        return math.nan
    return math.sqrt(newey_west_variance(sharpe_influence(values)) / len(values))


def probabilistic_sharpe_ratio(found: Moments, benchmark: float = 0.0, *, error: float | None = None) -> float:
    """Probability that the true Sharpe ratio lies above `benchmark` (Bailey and López de Prado 2012).

    Parameters
    ----------
    found : Moments
        Moments of the returns.
    benchmark : float
        Sharpe ratio per session to compare with.
    error : float, optional
        Standard error to use instead of `sharpe_error`, which assumes serially independent returns.

    Returns
    -------
    float
        One minus the probability that a strategy whose true Sharpe ratio is `benchmark` shows one this high or higher.
        NaN without any variation.

    Examples
    --------
    Two years of monthly returns, from the paper:

    >>> round(probabilistic_sharpe_ratio(Moments(24, 0.458, -2.448, 10.164)), 3)
    0.913
    """
    spread = sharpe_error(found) if error is None else error
    if not spread > 0:
        return math.nan
    return _NORMAL.cdf((found.sharpe - benchmark) / spread)


def min_track_record_length(found: Moments, benchmark: float = 0.0, *, confidence: float = 0.95) -> float:
    """Compute the number of sessions needed for this Sharpe ratio to exceed `benchmark` with the given confidence.

    Returns
    -------
    float
        Bailey and López de Prado (2012); infinite when the Sharpe ratio is not above the benchmark, NaN when it is
        not known.

    Examples
    --------
    2 a year against 1 a year on daily normal returns takes 2.73 years:

    >>> round(min_track_record_length(Moments(0, 2 / 252**0.5), 1 / 252**0.5) / 252, 2)
    2.73
    """
    if math.isnan(found.sharpe):
        return math.nan
    if found.sharpe <= benchmark:
        return math.inf
    shape = 1.0 - found.skew * found.sharpe + (found.kurtosis - 1.0) / 4.0 * found.sharpe**2
    return 1.0 + shape * (_NORMAL.inv_cdf(confidence) / (found.sharpe - benchmark)) ** 2


def expected_maximum(trials: float) -> float:
    """Compute the expected maximum of `trials` independent standard normal numbers.

    Bailey and López de Prado (2014), equation 1.

    The approximation through the Gumbel distribution turns negative just above one trial; 0 is returned there.

    >>> round(expected_maximum(100), 2), expected_maximum(1)
    (2.53, 0.0)
    """
    if trials <= 1:
        return 0.0
    first = _NORMAL.inv_cdf(1.0 - 1.0 / trials)
    second = _NORMAL.inv_cdf(1.0 - 1.0 / (trials * math.e))
    return max(0.0, (1.0 - np.euler_gamma) * first + np.euler_gamma * second)


def deflated_sharpe_ratio(
    found: Moments, *, trials: float, trial_variance: float, error: float | None = None
) -> tuple[float, float]:
    """Probabilistic Sharpe ratio against the expected best Sharpe ratio of several trials without skill.

    Parameters
    ----------
    found : Moments
        Moments of the returns of the selected trial.
    trials : float
        Number of trials it was selected from: all that were started, or the effective number.
    trial_variance : float
        Variance of the trials' Sharpe ratios, per session squared.
    error : float, optional
        As in `probabilistic_sharpe_ratio`.

    Returns
    -------
    tuple of float
        The deflated Sharpe ratio, a probability; and the expected best Sharpe ratio per session.

    Notes
    -----
    Bailey and López de Prado (2014) use the number of *independent* trials. Among trials with equal pairwise
    correlation, the variance between them is already reduced by the common part, so that the count of all trials gives
    the right maximum and the effective number one that is too low: the count is the conservative choice.

    Examples
    --------
    The paper's example, 100 trials over five years of 250 days:

    >>> example = Moments(1250, 2.5 / 250**0.5, -3.0, 10.0)
    >>> deflated, threshold = deflated_sharpe_ratio(example, trials=100, trial_variance=0.5 / 250)
    >>> round(deflated, 4), round(threshold, 4)
    (0.9004, 0.1132)
    """
    threshold = math.sqrt(trial_variance) * expected_maximum(trials)
    return probabilistic_sharpe_ratio(found, threshold, error=error), threshold


def mean_correlation(returns: Any) -> float:
    """Mean correlation between columns; NaN with fewer than two.

    Parameters
    ----------
    returns : array of shape (n_sessions, n_trials)
        Returns; no column may be constant.
    """
    values = np.asarray(returns, dtype=np.float64)
    count = values.shape[1]
    if count < 2:
        return math.nan
    z = values - values.mean(axis=0)
    z /= np.sqrt((z**2).mean(axis=0))
    # the variance of the sum contains every pair, without a correlation matrix
    both = float((z.sum(axis=1) ** 2).mean())
    return float((both - count) / (count * (count - 1)))


def effective_trials(correlation: float, trials: int) -> float:
    """Effective number of independent trials among correlated ones.

    Parameters
    ----------
    correlation : float
        Mean correlation between the trials' returns; a negative one counts as 0.
    trials : int
        Number of trials started.

    Notes
    -----
    `correlation + (1 - correlation) trials`, Bailey and López de Prado (2014), appendix 3: linear between one trial
    (correlation 1) and all of them (correlation 0).

    >>> effective_trials(0.5, 11), effective_trials(1.0, 11), effective_trials(-0.2, 11)
    (6.0, 1.0, 11.0)
    """
    shared = min(max(correlation, 0.0), 1.0)
    return shared + (1.0 - shared) * trials
