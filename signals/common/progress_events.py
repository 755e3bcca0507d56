"""Progress events, which long computations pass to a callback."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["ProgressCallback", "ProgressEvent", "ignore_progress"]


@dataclass(frozen=True, slots=True)
class ProgressEvent:
    """One step of progress.

    Parameters
    ----------
    stage : str
        `"prices"`, `"signals"`, `"backtest"` or `"report"`; of series `"forecast"` or `"baselines"`.
    message : str
        Description of the step for the user.
    done, total : int, optional
        Units finished and units in all within the stage; 0 when the work has no natural unit.
    left : float, optional
        Estimate of the seconds that remain, where it is better than one from the count; NaN while it is not known.
    """

    stage: str
    message: str
    done: int = 0
    total: int = 0
    left: float | None = None


ProgressCallback = Callable[[ProgressEvent], None]


def ignore_progress(event: ProgressEvent) -> None:
    """Ignore the event; the default of `on_progress`."""
