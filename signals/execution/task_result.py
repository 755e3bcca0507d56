"""Result of one (fold, seed) task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from signals.trainers.base import EpochLoss

__all__ = ["TaskResult"]


@dataclass(frozen=True, slots=True)
class TaskResult:
    """Result of one (fold, seed) task: scores of the test rows, best epoch, losses, whether it was reused, and timings.

    Scores have shape (n,), or (n, outputs) for quantiles and targets of several values. `epochs` is the number of
    epochs of the weights that were kept. `reused` is whether the network was loaded from an artifact. `seconds` is wall
    time, `core_seconds` the time of all cores together. `versions` are those of the trainer.
    """

    fold: int
    seed: int
    scores: NDArray[Any]
    epochs: int
    history: tuple[EpochLoss, ...]
    reused: bool
    seconds: float
    core_seconds: float = 0.0
    versions: Mapping[str, str] = field(default_factory=dict)
