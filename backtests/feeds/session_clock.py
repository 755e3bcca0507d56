"""backtrader day numbers, and the session clock that the feeds of a market share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["SessionClock", "day_numbers", "day_of", "days_of"]

# backtrader counts days from 0001-01-01 as day 1; numpy from 1970-01-01 as day 0.
_EPOCH = 719163.0


@dataclass(slots=True, eq=False)
class SessionClock:
    """Sessions of the exchange, shared by the feeds of one `add_prices`.

    backtrader uses only dates on which some feed has a bar. Without this clock the run would end with the last bar of
    any ticker, and a holding delisted shortly before could not be cashed out.

    Parameters
    ----------
    dates : list of float
        Sessions as backtrader day numbers, ascending.

    Attributes
    ----------
    step : int
        Number of sessions that have begun: 0 before the first one.

    Notes
    -----
    In backtrader's usual mode the first feed advances the clock. In its live mode (`runonce=False`, or filters and
    resampling) the current session is the latest date that any of the feeds has reached.
    """

    dates: list[float]
    feeds: list[Any] = field(default_factory=list, init=False)
    step: int = field(default=0, init=False)
    beating: bool = field(default=False, init=False)
    _latest: float | None = field(default=None, init=False)

    def reset(self) -> None:
        """Move before the first session."""
        self.step, self.beating, self._latest = 0, False, None

    def peek(self) -> float:
        """Return the next session, or infinity after the last."""
        return self.dates[self.step] if self.step < len(self.dates) else float("inf")

    def moved(self) -> None:
        """Discard the cached session after a feed has moved."""
        self._latest = None

    @property
    def now(self) -> float:
        """Current session; minus infinity before the first."""
        if self.beating:
            return self.dates[self.step - 1] if self.step else float("-inf")
        if self._latest is None:
            reached = [feed.lines.datetime[0] for feed in self.feeds if len(feed)]
            self._latest = float(max(reached, default=float("-inf")))
        return self._latest


def day_numbers(dates: NDArray[np.datetime64]) -> NDArray[np.float64]:
    """Convert session dates to backtrader day numbers.

    >>> day_numbers(np.array(["2016-02-29"], dtype="datetime64[D]"))
    array([736023.])
    """
    return np.asarray(dates, dtype="datetime64[D]").astype(np.int64).astype(np.float64) + _EPOCH


def day_of(number: float) -> np.datetime64:
    """Convert a backtrader day number to its session date; the time of day is ignored.

    >>> day_of(736023.0)
    np.datetime64('2016-02-29')
    """
    return np.datetime64(int(number - _EPOCH), "D")


def days_of(numbers: NDArray[np.float64]) -> NDArray[np.datetime64]:
    """Convert backtrader day numbers to session dates; times of day are ignored.

    >>> days_of(np.array([736023.9]))
    array(['2016-02-29'], dtype='datetime64[D]')
    """
    return (np.asarray(numbers, dtype=np.float64) - _EPOCH).astype(np.int64).astype("datetime64[D]")
