"""The seam every trainer fits: what goes in, what comes out, nothing about how."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from signals.errors import InputError
from signals.labels import PROBABILITY, Target
from signals.models.stacked_lstm import ModelSettings
from signals.windows import Samples

__all__ = [
    "OPTIMIZERS",
    "TRAINERS",
    "EpochLoss",
    "FitTask",
    "Fitted",
    "Network",
    "Trainer",
    "TrainingSettings",
    "Weights",
    "batch_of",
]

OPTIMIZERS = ("adam", "rmsprop")
TRAINERS = ("auto", "keras", "compiled")

Weights = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How a network is trained.

    Parameters
    ----------
    trainer : str
        `"keras"`; `"compiled"`, many times faster on a CPU; `"auto"`, the compiled one wherever it can train the
        network; or `'package.module:Name'` of one's own.
    batch_size : int, optional
        Rows per update.
    learning_rate : float, optional
        Left open, the batch is what suits the trainer, and the rate what suits the batch: the published 32 and 0.001
        for the compiled one, to which every batch size costs the same; 1024 and 0.005 for Keras, which is many times
        faster there. Those learn as much from many rows, and less from few (.005 of AUC from 20,000 to 40,000).
    optimizer : {"adam", "rmsprop"}
        With Keras's other settings.
    clip_norm : float, optional
        Gradients are scaled down to this norm, taken over all weights together; by default they are left alone.
    epochs : int
        At most so many passes; the one with the lowest validation loss is kept.
    patience : int
        Passes without a lower validation loss before training stops.
    refit : {"none", "all"}
        `"all"` trains again on training and validation rows together, for the number of passes just chosen.
    """

    trainer: str = "auto"
    batch_size: int | None = None
    learning_rate: float | None = None
    optimizer: str = "adam"
    clip_norm: float | None = None
    epochs: int = 5
    patience: int = 2
    refit: str = "none"

    def __post_init__(self) -> None:
        if ":" not in self.trainer and self.trainer not in TRAINERS:
            close = difflib.get_close_matches(self.trainer, TRAINERS, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise InputError(
                f"expected training.trainer to be one of {', '.join(TRAINERS)}; found {self.trainer!r}{hint}"
            )
        if min(1 if self.batch_size is None else self.batch_size, self.epochs, self.patience) < 1:
            raise InputError(
                "expected training.batch_size, epochs and patience of at least 1; found "
                f"{self.batch_size}, {self.epochs} and {self.patience}"
            )
        if self.learning_rate is not None and not 0 < self.learning_rate < 1:
            raise InputError(f"expected training.learning_rate between 0 and 1; found {self.learning_rate}")
        if self.optimizer not in OPTIMIZERS:
            raise InputError(
                f"expected training.optimizer to be one of {', '.join(OPTIMIZERS)}; found {self.optimizer!r}"
            )
        if self.clip_norm is not None and not 0 < self.clip_norm < float("inf"):
            raise InputError(f"expected training.clip_norm above 0, or none at all; found {self.clip_norm}")
        if self.refit not in ("none", "all"):
            raise InputError(f"expected training.refit to be none or all; found {self.refit!r}")

    def filled(self, batch_size: int = 1024) -> TrainingSettings:
        """Put a batch size and a learning rate where they were left open.

        The rate goes through what was measured as best, 0.001 at 32 and 0.005 at 1024: a power of the batch, to two
        digits.

        >>> TrainingSettings().filled().learning_rate, TrainingSettings(batch_size=32).filled().learning_rate
        (0.005, 0.001)
        >>> TrainingSettings(batch_size=256).filled().learning_rate
        0.0026
        """
        size = batch_size if self.batch_size is None else self.batch_size
        if self.learning_rate is not None:
            return replace(self, batch_size=size)
        rate = 0.001 * 5 ** (math.log2(size / 32) / 5)
        return replace(self, batch_size=size, learning_rate=min(float(f"{rate:.2g}"), 0.5))


@dataclass(frozen=True, slots=True)
class Network:
    """Everything that decides the shape of a network's weights and what it is trained to say.

    Parameters
    ----------
    model : ModelSettings
        Sizes.
    n_categories : int
        Rows of the ticker embedding, the unknown ticker included.
    n_features : int
        Features per step.
    target : Target
        Output and loss: cross-entropy for a probability or classes, mean squared error for a value.
    """

    model: ModelSettings
    n_categories: int
    n_features: int = 1
    target: Target = PROBABILITY


@dataclass(frozen=True, slots=True)
class FitTask:
    """One network to train: a fold and a seed, as arrays.

    Parameters
    ----------
    network : Network
        What to build.
    training : Samples
        Rows to learn from.
    validation : Samples or None
        Rows that choose the epoch; None trains exactly `settings.epochs` passes.
    settings : TrainingSettings
        Batch, rate, passes.
    seed : int
        Of everything random: initial weights, order of rows, dropout, unknown tickers.
    """

    network: Network
    training: Samples
    validation: Samples | None
    settings: TrainingSettings
    seed: int


@dataclass(frozen=True, slots=True)
class EpochLoss:
    """Loss after a pass: mean over its updates, and on the validation rows (NaN without any)."""

    loss: float
    validation_loss: float


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained network: named weights, passes kept, and the losses of every pass that was run."""

    weights: Weights
    epochs: int
    history: tuple[EpochLoss, ...]


def batch_of(trainer: Trainer) -> int:
    """Batch size of a trainer where the settings leave it open; one of your own need not say."""
    found: int = getattr(trainer, "batch_size", 1024)
    return found


class Trainer(Protocol):
    """What trains and evaluates networks. No callback ever sees a test row: a task does not hold any."""

    name: str
    tasks_at_once: int
    batch_size: int  # where the settings leave it open

    def versions(self) -> dict[str, str]:
        """Return the versions (major.minor) that can change a trained bit; they are part of an artifact's key."""
        ...

    def fit(self, tasks: Sequence[FitTask]) -> Iterator[Fitted]:
        """Train each task, in order; a trainer of many networks at once is given `tasks_at_once` of them."""
        ...

    def predict(self, network: Network, weights: Weights, samples: Samples) -> NDArray[np.float32]:
        """Output of each row, shape (n, network.target.outputs).

        The one inference path: a row's bits never depend on its neighbours.
        """
        ...
