"""Progress events: what long work tells whoever watches, without knowing who that is."""

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
        What just happened, for a person.
    done, total : int, optional
        Units finished and units in all within the stage; 0 when the work has no natural unit.
    left : float, optional
        Seconds that remain, from whoever knows better than the count does; NaN while that is not known.
    """

    stage: str
    message: str
    done: int = 0
    total: int = 0
    left: float | None = None


ProgressCallback = Callable[[ProgressEvent], None]


def ignore_progress(event: ProgressEvent) -> None:
    """Ignore the event: the default on_progress."""
