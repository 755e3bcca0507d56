"""Windows as index pairs into one panel: never materialised, gathered a batch at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Samples", "Windows", "valid_windows"]


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

    def covered(self) -> NDArray[np.bool_]:
        """Cells of the panel, shape (n_tickers, n_dates), that at least one window looks at."""
        n_tickers, n_dates = self.panel.shape[:2]
        steps = np.zeros((n_tickers, n_dates + 1), dtype=np.int64)
        np.add.at(steps, (self.ticker, self.end - (self.lookback - 1)), 1)
        np.add.at(steps, (self.ticker, self.end + 1), -1)
        covered: NDArray[np.bool_] = np.cumsum(steps, axis=1)[:, :n_dates] > 0
        return covered


@dataclass(frozen=True, slots=True)
class Samples:
    """What a network sees of some (ticker, decision date) rows, and what it should say.

    Parameters
    ----------
    windows : Windows
        The sequence input.
    category : ndarray of int32, shape (n,)
        Ticker id; 0 is the unknown ticker.
    month : ndarray of int32, shape (n,)
        Month of the decision date, 0 for January.
    label : ndarray of float32, shape (n,)
        Target; empty when only predictions are wanted.
    """

    windows: Windows
    category: NDArray[np.int32]
    month: NDArray[np.int32]
    label: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.category)


def valid_windows(values: NDArray[np.float64], lookback: int) -> NDArray[np.bool_]:
    """Which window ends have a whole window of numbers behind them.

    Parameters
    ----------
    values : ndarray, shape (n_tickers, n_dates)
        NaN where nothing is known.
    lookback : int
        Steps in a window.

    Returns
    -------
    ndarray of bool, shape (n_tickers, n_dates)
        True at (i, t) when values[i, t - lookback + 1 : t + 1] holds no NaN.

    >>> valid_windows(np.array([[np.nan, 1.0, 2.0, 3.0]]), 2).tolist()
    [[False, False, True, True]]
    """
    known = np.cumsum(np.isfinite(values), axis=1)
    before = np.zeros_like(known)
    before[:, lookback:] = known[:, :-lookback] if lookback < values.shape[1] else 0
    return np.asarray(known - before == lookback)
