"""Features of returns between decision dates. Parameters count decision dates, like the look-back of the network."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from signals.common.errors import InputError
from signals.features.bars import Bars
from signals.features.feature import period_feature
from signals.features.rolling import enough, window_count

__all__ = ["momentum", "reversal", "simple_return"]

Values = NDArray[np.float64]


def _between(bars: Bars, far: int, near: int) -> Values:
    """Return from the close `far` periods ago to the close `near` periods ago, shape (n_dates, n).

    Both periods need a bar, and four fifths of those in between, since a symbol that trades again after years usually
    belongs to another company.
    """
    close = bars.latest
    returns = np.full(close.shape, np.nan)
    if far >= len(close):
        return returns
    returns[far:] = close[far - near : len(close) - near] / close[: len(close) - far] - 1.0
    width = far - near + 1
    ends = np.arange(far - near, len(close) - near, dtype=np.int64)
    returns[far:][~enough(window_count(~np.isnan(close), ends, width), width)] = np.nan
    return returns


@period_feature("return", periods=1)
def simple_return(bars: Bars, periods: int) -> Values:
    """Measure the simple return over the last `periods` decision dates.

    From the last close of the period that ended `periods` decision dates ago to the last close of this one, as a
    fraction, known at the close of t. With 1 exactly `period_returns`.
    """
    return _between(bars, periods, 0)


def _check_momentum(far: int, near: int) -> None:
    if far <= near:
        raise InputError(
            f"expected momentum(far, near) with far above near; found momentum({far}, {near}); "
            "write for example momentum(52, 4)"
        )


@period_feature("momentum", least=0, check=_check_momentum, far=52, near=4)
def momentum(bars: Bars, far: int, near: int) -> Values:
    """Measure the simple return from `far` decision dates ago to `near` decision dates ago, the latest ones left out.

    A fraction, known at the close of t − `near`; with weekly dates 52 and 4 are the usual twelve months without the
    last.

    References
    ----------
    Jegadeesh and Titman (1993), "Returns to buying winners and selling losers", Journal of Finance 48.
    """
    return _between(bars, far, near)


@period_feature("reversal", periods=1)
def reversal(bars: Bars, periods: int) -> Values:
    """Take minus the simple return over the last `periods` decision dates.

    A fraction, known at the close of t; high after losses.

    References
    ----------
    Jegadeesh (1990), "Evidence of predictable behavior of security returns", Journal of Finance 45; Lehmann (1990),
    "Fads, martingales, and market efficiency", Quarterly Journal of Economics 105.
    """
    return -_between(bars, periods, 0)
