"""Features of the distribution of session returns. Parameters count sessions of the exchange.

A session return is the simple return from the close of the session before, known where the ticker has a bar on both;
four fifths of a window have to be known. Nothing is annualised.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from signals.features.bars import Bars
from signals.features.feature import session_feature
from signals.features.rolling import enough, window_count, window_max, window_sum

__all__ = ["beta", "downside_volatility", "idiosyncratic_volatility", "max_return", "skewness", "volatility"]

Values = NDArray[np.float64]

# Squared deviations below this share of the sum of squares are rounding: all returns of the window are then the same.
NOISE = 1e-12


def _known(values: Values) -> tuple[Values, NDArray[np.bool_]]:
    known = ~np.isnan(values)
    return np.where(known, values, 0.0), known


def _squared_deviations(sum_of_squares: Values, total: Values, count: Values) -> Values:
    """Sum of squared deviations from the mean."""
    deviations = sum_of_squares - total * total / count
    return np.asarray(np.where(deviations > NOISE * sum_of_squares, deviations, 0.0))


@session_feature("volatility", least=2, window=21)
def volatility(bars: Bars, window: int) -> Values:
    """Measure the standard deviation of session returns over `window` sessions.

    Per session, as a fraction, ddof 1; known at the close of t.
    """
    x, known = _known(bars.returns)
    count = window_count(known, bars.decisions, window)
    total, squared = (window_sum(values, bars.decisions, window) for values in (x, x * x))
    deviation = np.sqrt(_squared_deviations(squared, total, count) / (count - 1))
    return np.where(enough(count, window) & (count > 1), deviation, np.nan)


@session_feature("downside_volatility", least=2, window=63)
def downside_volatility(bars: Bars, window: int) -> Values:
    """Measure the root mean square of the negative session returns, others counted as zero, over `window` sessions.

    Per session, as a fraction; known at the close of t.

    References
    ----------
    Sortino and van der Meer (1991), "Downside risk", Journal of Portfolio Management 17.
    """
    x, known = _known(bars.returns)
    count = window_count(known, bars.decisions, window)
    loss = np.minimum(x, 0.0)
    semideviation = np.sqrt(window_sum(loss * loss, bars.decisions, window) / count)
    return np.where(enough(count, window), semideviation, np.nan)


@session_feature("skewness", least=4, window=63)
def skewness(bars: Bars, window: int) -> Values:
    """Measure the skewness of session returns over `window` sessions.

    Adjusted Fisher-Pearson coefficient (pandas' `skew`), no unit; known at the close of t, NaN when all returns are the
    same.
    """
    x, known = _known(bars.returns)
    square = x * x
    n = window_count(known, bars.decisions, window)
    total, squared, cubed = (window_sum(values, bars.decisions, window) for values in (x, square, square * x))
    mean = total / n
    spread = _squared_deviations(squared, total, n)
    third = cubed - 3 * mean * squared + 2 * n * mean * mean * mean
    coefficient = n * np.sqrt(n - 1) / (n - 2) * third / (spread * np.sqrt(spread))
    return np.where(enough(n, window) & (n > 2) & (spread > 0), coefficient, np.nan)


@session_feature("max_return", window=21)
def max_return(bars: Bars, window: int) -> Values:
    """Find the highest session return of the last `window` sessions.

    A fraction, known at the close of t.

    References
    ----------
    Bali, Cakici and Whitelaw (2011), "Maxing out: stocks as lotteries and the cross-section of expected returns",
    Journal of Financial Economics 99.
    """
    count = window_count(~np.isnan(bars.returns), bars.decisions, window)
    return np.where(enough(count, window), window_max(bars.returns, bars.decisions, window), np.nan)


def _regression(bars: Bars, window: int) -> tuple[Values, Values, Values, Values]:
    """Count, and sums of squares and products around the means, of returns (x) and the market's (m): n, xx, xm, mm."""
    assert bars.market is not None  # noqa: S101 - declared by `needs`, computed before
    both = bars.returns + bars.market[:, None]
    known = ~np.isnan(both)
    x = np.where(known, bars.returns, 0.0)
    m = np.where(known, bars.market[:, None], 0.0)
    n = window_count(known, bars.decisions, window)
    sx, sm, sxx, sxm, smm = (window_sum(v, bars.decisions, window) for v in (x, m, x * x, x * m, m * m))
    mm = _squared_deviations(smm, sm, n)
    n = np.where(enough(n, window) & (mm > 0), n, np.nan)
    return n, _squared_deviations(sxx, sx, n), sxm - sx * sm / n, mm


@session_feature("beta", "market", least=3, window=252)
def beta(bars: Bars, window: int) -> Values:
    """Measure the slope of session returns on the market's over `window` sessions.

    No unit, known at the close of t. The market return of a session is the mean session return of the members of the
    universe as of the decision date before that session.

    References
    ----------
    Sharpe (1964), "Capital asset prices", Journal of Finance 19; ordinary least squares with intercept.
    """
    n, _, xm, mm = _regression(bars, window)
    return np.where(n > 2, xm / mm, np.nan)


@session_feature("idiosyncratic_volatility", "market", least=4, window=63)
def idiosyncratic_volatility(bars: Bars, window: int) -> Values:
    """Measure the standard deviation of session returns not explained by the market over `window` sessions.

    Residual of the regression of `beta`, per session, as a fraction, ddof 2; known at the close of t.

    References
    ----------
    Ang, Hodrick, Xing and Zhang (2006), "The cross-section of volatility and expected returns", Journal of Finance 61
    (there with three factors).
    """
    n, xx, xm, mm = _regression(bars, window)
    residual = np.maximum(xx - xm * xm / mm, 0.0)
    return np.where(n > 2, np.sqrt(residual / (n - 2)), np.nan)
