"""Inputs and results of the computation of features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from signals.data.panel import PricePanel

if TYPE_CHECKING:
    from signals.reference.macro_series import MacroTable

__all__ = ["FeatureContext", "Features"]


@dataclass(frozen=True, slots=True, eq=False)
class FeatureContext:
    """Inputs of features: prices, decision dates, universe, sectors and macro series.

    Parameters
    ----------
    panel : PricePanel
        Prices, n_sessions by n_tickers.
    decisions : ndarray of int64, shape (n_dates,)
        Session index of each decision date, ascending.
    member : ndarray of bool, shape (n_tickers, n_dates)
        Whether the ticker is in the universe of that date, known at its close; the market is the mean over members.
    sectors : ndarray of int32, shape (n_tickers, n_dates), optional
        Code of the sector as known on that date, -1 where unknown.
    macro : MacroTable, optional
        Series with the moment each value was released.
    """

    panel: PricePanel
    decisions: NDArray[np.int64]
    member: NDArray[np.bool_]
    sectors: NDArray[np.int32] | None = None
    macro: MacroTable | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Values by ticker, decision date and feature.

    Parameters
    ----------
    names : tuple of str
        Names as requested, in that order.
    values : ndarray of float64, shape (n_tickers, n_dates, n_features)
        Known at the close of the decision date; NaN where unknown, never infinite.
    warm_up : tuple of int
        Sessions before a decision date that each feature looks at, as it declares. Data before so many sessions do not
        change the value. The number is not a mask: values without enough history are NaN already.
    """

    names: tuple[str, ...]
    values: NDArray[np.float64]
    warm_up: tuple[int, ...]
