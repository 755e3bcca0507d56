"""Look-back windows as index pairs into one panel, gathered one batch at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["MASKED", "Samples", "WindowSettings", "Windows", "valid_windows"]

# Value of an unknown step. Standardised features are clipped and lie within a few units of zero, so no known step has
# this value; a network with masking skips such steps.
MASKED = np.float32(-1e6)


class WindowSettings(Protocol):
    """Settings of a model that determine its windows."""

    @property
    def lookback(self) -> int:
        """Periods in a window."""
        ...

    @property
    def min_steps(self) -> int | None:
        """Smallest number of known periods in a window; all of them when None."""
        ...

    @property
    def winsorize_quantile(self) -> float | None:
        """Quantile at which features are clipped before standardisation; None for neither."""
        ...


@dataclass(frozen=True, slots=True)
class Windows:
    """Look-back windows, each a (ticker, end) pair pointing into a shared panel.

    Parameters
    ----------
    panel : ndarray of float32, shape (n_tickers, n_dates, n_features)
        Feature values by decision date; cell (i, t) is known at the close of decision date t.
    ticker, end : ndarray of int32, shape (n_windows,)
        Row of the panel, and the last date of the window (inclusive).
    lookback : int
        Steps in a window.
    """

    panel: NDArray[np.float32]
    ticker: NDArray[np.int32]
    end: NDArray[np.int32]
    lookback: int

    def __len__(self) -> int:
        return len(self.ticker)

    def gather(self, rows: NDArray[np.int64] | slice) -> NDArray[np.float32]:
        """Windows `rows` as an array of shape (n_rows, lookback, n_features), oldest step first.

        >>> panel = np.arange(8, dtype=np.float32).reshape(2, 4, 1)
        >>> w = Windows(panel, np.array([1], np.int32), np.array([2], np.int32), lookback=3)
        >>> w.gather(slice(None))[0, :, 0].tolist()
        [4.0, 5.0, 6.0]
        """
        views = np.lib.stride_tricks.sliding_window_view(self.panel, self.lookback, axis=1)
        batch = views[self.ticker[rows], self.end[rows] - (self.lookback - 1)]
        return np.ascontiguousarray(batch.transpose(0, 2, 1))


@dataclass(frozen=True, slots=True)
class Samples:
    """Network inputs and targets of (ticker, decision date) rows.

    Parameters
    ----------
    windows : Windows
        The sequence input.
    category : ndarray of int32, shape (n,)
        Ticker id; 0 is the unknown ticker.
    month : ndarray of int32, shape (n,)
        Month of the decision date, 0 for January.
    label : ndarray of float32, shape (n,) or (n, values)
        Target: 0 or 1, the class, or standardised values; empty when only predictions are wanted.
    groups : mapping of str to ndarray of int32, shape (n,)
        Ids of other categoricals by name (`sector`, `year`, …), 0 where unknown.
    step_labels : Windows, optional
        Target of every step of the windows, (n, lookback, values) when gathered, `MASKED` where it is unknown; for
        networks with a loss at every step.
    """

    windows: Windows
    category: NDArray[np.int32]
    month: NDArray[np.int32]
    label: NDArray[np.float32]
    groups: Mapping[str, NDArray[np.int32]] = field(default_factory=dict)
    step_labels: Windows | None = None

    def __len__(self) -> int:
        return len(self.category)


def valid_windows(known: NDArray[np.bool_], lookback: int, min_steps: int | None = None) -> NDArray[np.bool_]:
    """Mask of the window ends with enough known steps.

    Parameters
    ----------
    known : ndarray of bool, shape (n_tickers, n_dates)
        Whether the step is known.
    lookback : int
        Steps in a window.
    min_steps : int, optional
        Number of consecutive steps up to the end that must be known; the whole window by default.

    Returns
    -------
    ndarray of bool, shape (n_tickers, n_dates)
        True at (i, t) when known[i, t - min_steps + 1 : t + 1] are all True.

    >>> valid_windows(np.array([[False, True, True, True]]), 2).tolist()
    [[False, False, True, True]]
    >>> valid_windows(np.array([[False, True, True, True]]), 4, min_steps=3).tolist()
    [[False, False, False, True]]
    """
    steps = lookback if min_steps is None else min_steps
    total = np.cumsum(known, axis=1)
    before = np.zeros_like(total)
    before[:, steps:] = total[:, :-steps] if steps < known.shape[1] else 0
    return np.asarray(total - before == steps)
