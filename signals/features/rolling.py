"""Sums and extremes over trailing sessions whose bits do not depend on data outside the window.

A running sum (`cumsum`, pandas' `rolling`) carries rounding from the first session on, so removing old history changes
its last bits; NumPy's own reductions may add in another order when there is one more column. Here the sum of a window
is composed of sums of 1, 2, 4, … sessions, cell by cell: the order of additions depends on the width alone, the work
on its logarithm, and no array is larger than the prices.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["COVERAGE", "enough", "window_count", "window_max", "window_min", "window_sum"]

Values = NDArray[np.float64]

COVERAGE = 0.8
"""Share of the sessions (or periods) of a window that must be known for a value to be known.

With 1, one missing bar would make a year of values NaN, as on 2011-02-17, when most tickers of a widely used file have
none. A much smaller share would accept windows that are half empty, at a listing or after a long halt.
"""


def enough(count: Values, width: int) -> NDArray[np.bool_]:
    """Whether `count` of `width` is enough: at least `COVERAGE`, rounded up.

    >>> enough(np.array([3.0, 4.0, 5.0]), 5).tolist()
    [False, True, True]
    """
    return np.asarray(count >= -(-4 * width // 5))


def window_sum(values: Values, ends: NDArray[np.int64], width: int) -> Values:
    """Sum of the `width` rows up to and including each of `ends`.

    Parameters
    ----------
    values : ndarray, shape (n_rows, n)
        Without NaN.
    ends : ndarray of int, shape (n_ends,)
        Last row of each window, ascending.
    width : int
        Rows in a window.

    Returns
    -------
    ndarray of float64, shape (n_ends, n)
        NaN where fewer than `width` rows exist.

    >>> window_sum(np.array([[1.0], [2.0], [3.0], [4.0]]), np.array([1, 2, 3]), 3).ravel().tolist()
    [nan, 6.0, 9.0]
    """
    total = np.full((len(ends), values.shape[1]), np.nan)
    whole = ends >= width - 1
    start = ends[whole] - (width - 1)
    if not len(start):
        return total
    window_total: Values | None = None
    for size, sums in _doubled(values, width, np.add):
        if width & size:
            part = sums[start]
            window_total = part if window_total is None else window_total + part
            start = start + size
    total[whole] = window_total
    return total


def window_count(known: NDArray[np.bool_], ends: NDArray[np.int64], width: int) -> Values:
    """Count the known values in the `width` rows up to and including each of `ends`; arguments as of `window_sum`.

    >>> window_count(np.array([[True], [False], [True]]), np.array([1, 2]), 3).ravel().tolist()
    [nan, 2.0]
    """
    return window_sum(known.astype(np.float64), ends, width)


def window_max(values: Values, ends: NDArray[np.int64], width: int) -> Values:
    """Largest number in the `width` rows up to and including each of `ends`; NaN is ignored.

    >>> window_max(np.array([[5.0], [2.0], [np.nan], [4.0]]), np.array([1, 2, 3]), 3).ravel().tolist()
    [nan, 5.0, 4.0]
    """
    largest = np.full((len(ends), values.shape[1]), np.nan)
    whole = ends >= width - 1
    last = ends[whole]
    if not len(last):
        return largest
    for size, extremes in _doubled(values, width, np.fmax):
        if 2 * size > width:
            # two windows of this size cover the whole one; a number that counts twice does not change a maximum
            largest[whole] = np.fmax(extremes[last - (width - 1)], extremes[last - (size - 1)])
    return largest


def window_min(values: Values, ends: NDArray[np.int64], width: int) -> Values:
    """Smallest number in the `width` rows up to and including each of `ends`; NaN is ignored."""
    return -window_max(-values, ends, width)


def _doubled(values: Values, width: int, combine: np.ufunc) -> Iterator[tuple[int, Values]]:
    """Reductions of 1, 2, 4, … rows up to `width`; row i of each begins at row i of `values`."""
    size, current = 1, values
    while True:
        yield size, current
        if 2 * size > width:
            return
        current = combine(current[:-size], current[size:])
        size *= 2
