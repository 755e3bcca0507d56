"""Result of one (fold, seed) task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from signals.trainers.base import EpochLoss

__all__ = ["Outcome"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One fold and seed, done: scores of its test rows, the passes that were kept, how it was come by, and its cost.

    Scores have the shape (n,), or (n, levels) for quantiles. `seconds` is wall time, `core_seconds` the time of all
    cores together; `versions` are those of the trainer.
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
