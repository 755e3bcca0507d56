"""Features of macro series, point in time: dated by the release of a value, not by the period it describes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from signals.features.feature import macro_feature

if TYPE_CHECKING:
    from signals.reference.macro_series import MacroTable

__all__ = ["Releases", "macro", "macro_change", "macro_growth"]

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Releases:
    """A macro table and the closes of the decision dates.

    Parameters
    ----------
    table : MacroTable
        Series with the moment each value was released.
    moments : ndarray of datetime64[ns], shape (n_dates,)
        When the exchange closed on each decision date, UTC.
    """

    table: MacroTable
    moments: NDArray[np.datetime64]

    def known(self, series: str, lag: int = 0) -> Values:
        """Latest value released by each close, or the one `lag` observations before it, as known then."""
        return self.table.as_of(series, self.moments, lag=lag)


@macro_feature("macro")
def macro(releases: Releases, series: str) -> Values:
    """Latest released value of a macro series, in its own unit; known at the close of t."""
    return releases.known(series)


@macro_feature("macro_change", observations=12)
def macro_change(releases: Releases, series: str, observations: int) -> Values:
    """Latest released value minus the one `observations` before it, both as known at the close of t; in its unit."""
    return releases.known(series) - releases.known(series, observations)


@macro_feature("macro_growth", observations=12)
def macro_growth(releases: Releases, series: str, observations: int) -> Values:
    """Latest released value over the one `observations` before it, minus one, both as known at the close of t.

    A fraction; NaN when the earlier value is not above zero, where growth is undefined.
    """
    before = releases.known(series, observations)
    return releases.known(series) / np.where(before > 0, before, np.nan) - 1.0
