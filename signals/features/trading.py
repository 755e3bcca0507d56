"""Features of the traded volume. Parameters count sessions of the exchange.

Volumes are in dollars, raw close × volume, as in the universe filters, since the number of shares jumps at every
split. A session without a bar is left out, and four fifths of a window have to be known.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from signals.features.bars import Bars
from signals.features.feature import session_feature
from signals.features.rolling import enough, window_count, window_sum

__all__ = ["dollar_volume", "log_amihud", "relative_volume"]

Values = NDArray[np.float64]


def _mean(values: Values, bars: Bars, window: int) -> Values:
    known = np.isfinite(values)
    count = window_count(known, bars.decisions, window)
    total = window_sum(np.where(known, values, 0.0), bars.decisions, window)
    return np.where(enough(count, window), total / count, np.nan)


@session_feature("dollar_volume", "volume", window=21)
def dollar_volume(bars: Bars, window: int) -> Values:
    """Take the natural logarithm of the mean daily dollar volume of the last `window` sessions.

    Known at the close of t; NaN when nothing was traded.
    """
    return np.log(_positive(_mean(bars.dollars, bars, window)))


@session_feature("relative_volume", "volume", recent=5, usual=63)
def relative_volume(bars: Bars, recent: int, usual: int) -> Values:
    """Compare the mean daily dollar volume of the last `recent` sessions with that of the last `usual` sessions.

    Natural logarithm of the ratio, 0 when both are the same; known at the close of t, NaN when nothing was traded.

    References
    ----------
    Gervais, Kaniel and Mingelgrin (2001), "The high-volume return premium", Journal of Finance 56.
    """
    return np.log(_positive(_mean(bars.dollars, bars, recent)) / _positive(_mean(bars.dollars, bars, usual)))


@session_feature("log_amihud", "volume", window=21)
def log_amihud(bars: Bars, window: int) -> Values:
    """Measure illiquidity: the price move per million dollars traded.

    Natural logarithm of the mean of |session return| / dollar volume in millions over `window` sessions; sessions
    without volume are left out. Known at the close of t.

    References
    ----------
    Amihud (2002), "Illiquidity and stock returns", Journal of Financial Markets 5.
    """
    return np.log(_positive(_mean(np.abs(bars.returns) / (bars.dollars / 1e6), bars, window)))


def _positive(values: Values) -> Values:
    return np.where(values > 0, values, np.nan)
