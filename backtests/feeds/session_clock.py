"""Which session it is: backtrader's day numbers, and the clock that the feeds of a market share."""

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

    backtrader knows only dates on which some feed has a bar. Without this clock the last bar of the last live ticker
    would end the run, and a holding that died before could never be cashed out.

    Parameters
    ----------
    dates : list of float
        Sessions in backtrader's day numbers, ascending.

    Attributes
    ----------
    step : int
        How many sessions have begun: 0 before the first one.

    Notes
    -----
    In backtrader's usual mode one of the feeds, the pacemaker, beats the clock. In its live mode (`runonce=False`, or
    filters and resampling) nobody does: it is then the latest date that any of the feeds has reached.
    """

    dates: list[float]
    feeds: list[Any] = field(default_factory=list, init=False)
    step: int = field(default=0, init=False)
    beating: bool = field(default=False, init=False)
    _latest: float | None = field(default=None, init=False)

    def reset(self) -> None:
        """Go back before the first session."""
        self.step, self.beating, self._latest = 0, False, None

    def peek(self) -> float:
        """Next session, or infinity after the last."""
        return self.dates[self.step] if self.step < len(self.dates) else float("inf")

    def moved(self) -> None:
        """Note that a feed went on or back."""
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
    """Session dates as backtrader counts days.

    >>> day_numbers(np.array(["2016-02-29"], dtype="datetime64[D]"))
    array([736023.])
    """
    return np.asarray(dates, dtype="datetime64[D]").astype(np.int64).astype(np.float64) + _EPOCH


def day_of(number: float) -> np.datetime64:
    """Session date of one of backtrader's day numbers, whatever the time of day.

    >>> day_of(736023.0)
    np.datetime64('2016-02-29')
    """
    return np.datetime64(int(number - _EPOCH), "D")


def days_of(numbers: NDArray[np.float64]) -> NDArray[np.datetime64]:
    """Session dates of many of backtrader's day numbers.

    >>> days_of(np.array([736023.9]))
    array(['2016-02-29'], dtype='datetime64[D]')
    """
    return (np.asarray(numbers, dtype=np.float64) - _EPOCH).astype(np.int64).astype("datetime64[D]")
