"""Features of the price level and of the range of sessions. Parameters count sessions of the exchange.

All are ratios of adjusted prices of one ticker, so a later split or dividend, which multiplies its whole past, changes
none of them. Four fifths of a window have to be known.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from signals.features.bars import Bars
from signals.features.feature import session_feature
from signals.features.rolling import enough, window_count, window_max, window_min, window_sum

__all__ = [
    "cutler_rsi",
    "drawdown",
    "intraday_return",
    "overnight_return",
    "relative_true_range",
    "sma_distance",
    "stochastic_k",
]

Values = NDArray[np.float64]


def _mean(values: Values, bars: Bars, window: int) -> Values:
    """Mean over the sessions where `values` is known, NaN when those are too few."""
    known = ~np.isnan(values)
    count = window_count(known, bars.decisions, window)
    total = window_sum(np.where(known, values, 0.0), bars.decisions, window)
    return np.where(enough(count, window), total / count, np.nan)


def _covered(bars: Bars, window: int) -> NDArray[np.bool_]:
    return enough(window_count(~np.isnan(bars.close), bars.decisions, window), window)


@session_feature("drawdown", window=252)
def drawdown(bars: Bars, window: int) -> Values:
    """Measure how far the close is below the highest close of the last `window` sessions.

    A fraction, 0 at a new high and negative below it; known at the close of t.

    References
    ----------
    George and Hwang (2004), "The 52-week high and momentum investing", Journal of Finance 59.
    """
    below_high = bars.latest / window_max(bars.close, bars.decisions, window) - 1.0
    return np.where(_covered(bars, window), below_high, np.nan)


@session_feature("sma_distance", least=2, window=50)
def sma_distance(bars: Bars, window: int) -> Values:
    """Measure how far the close is from the mean close of the last `window` sessions.

    A fraction of that mean, known at the close of t.

    References
    ----------
    Brock, Lakonishok and LeBaron (1992), "Simple technical trading rules", Journal of Finance 47.
    """
    return bars.latest / _mean(bars.close, bars, window) - 1.0


@session_feature("stochastic_k", "range", window=14)
def stochastic_k(bars: Bars, window: int) -> Values:
    """Place the close between the lowest low (0) and the highest high (1) of the last `window` sessions.

    Known at the close of t; NaN when high and low never differed. Lane's stochastic %K, as a fraction.
    """
    low = window_min(bars.low, bars.decisions, window)
    high = window_max(bars.high, bars.decisions, window)
    return np.where(_covered(bars, window) & (high > low), (bars.latest - low) / (high - low), np.nan)


@session_feature("relative_true_range", "range", window=14)
def relative_true_range(bars: Bars, window: int) -> Values:
    """Average the true range over `window` sessions.

    From the lower of low and previous close to the higher of high and previous close, as a fraction of the previous
    close; known at the close of t. A simple mean, since Wilder's smoothing depends on the whole history.

    References
    ----------
    Wilder (1978), "New Concepts in Technical Trading Systems".
    """
    reach = np.maximum(bars.high, bars.previous) - np.minimum(bars.low, bars.previous)
    return _mean(reach / bars.previous, bars, window)


@session_feature("cutler_rsi", window=14)
def cutler_rsi(bars: Bars, window: int) -> Values:
    """Share of rises in all movement of the last `window` sessions: rises / (rises + falls).

    Between 0 and 1, of sums of session returns, known at the close of t; NaN when nothing moved. Wilder's relative
    strength index with plain sums (Cutler's form), divided by 100.
    """
    rises = _mean(np.maximum(bars.returns, 0.0), bars, window)
    falls = _mean(np.maximum(-bars.returns, 0.0), bars, window)
    return np.where(rises + falls > 0, rises / (rises + falls), np.nan)


@session_feature("overnight_return", "open", window=21)
def overnight_return(bars: Bars, window: int) -> Values:
    """Average the return from the previous close to the open over `window` sessions.

    A fraction per session, known at the close of t.

    References
    ----------
    Lou, Polk and Skouras (2019), "A tug of war: overnight versus intraday expected returns", Journal of Financial
    Economics 134.
    """
    return _mean(bars.open / bars.previous - 1.0, bars, window)


@session_feature("intraday_return", "open", window=21)
def intraday_return(bars: Bars, window: int) -> Values:
    """Average the return from the open to the close over `window` sessions.

    A fraction per session, known at the close of t; see `overnight_return`.
    """
    return _mean(bars.close / bars.open - 1.0, bars, window)
