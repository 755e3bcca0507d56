"""What features are computed from, and what comes out."""

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
    """Everything a feature may look at.

    Parameters
    ----------
    panel : PricePanel
        Prices, n_sessions by n_tickers.
    decisions : ndarray of int64, shape (n_dates,)
        Session index of each decision date, ascending.
    member : ndarray of bool, shape (n_tickers, n_dates)
        In the universe of that date, known at its close; what "the market" is made of.
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
        As asked for, in that order.
    values : ndarray of float64, shape (n_tickers, n_dates, n_features)
        Known at the close of the decision date; NaN where unknown, never infinite.
    warm_up : tuple of int
        Sessions before a decision date that each feature looks at, declared by it. A statement about the past that
        counts: with so many sessions kept, anything earlier may be cut off. No mask: values without enough history
        are NaN already.
    """

    names: tuple[str, ...]
    values: NDArray[np.float64]
    warm_up: tuple[int, ...]
