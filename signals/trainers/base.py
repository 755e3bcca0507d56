"""The seam every trainer fits: what goes in, what comes out, nothing about how."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from signals.common.errors import InputError
from signals.dataset.labels import Target
from signals.dataset.windows import Samples
from signals.models.network import Network

__all__ = [
    "LOSSES",
    "OPTIMIZERS",
    "TRAINERS",
    "EpochLoss",
    "FitTask",
    "Fitted",
    "Trainer",
    "TrainingSettings",
    "Weights",
    "batch_of",
    "loss_used",
]

OPTIMIZERS = ("adam", "rmsprop")
TRAINERS = ("auto", "keras", "compiled")
LOSSES = ("mse", "mae")  # of numbers; probabilities have cross-entropy, quantiles the pinball loss

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
    global_clipnorm : float, optional
        Gradients are scaled down to this norm, taken over all weights together; by default they are left alone.
    epochs : int
        At most so many passes; the one with the lowest validation loss is kept.
    patience : int
        Passes without a lower validation loss before training stops.
    refit_on_validation : bool
        Whether the network is trained again on training and validation rows together, for the number of epochs just
        chosen.
    loss : {"mse", "mae"}
        Of numbers: mean squared or mean absolute error. Probabilities and classes are trained by cross-entropy,
        quantiles by the pinball loss, whatever this says.
    """

    trainer: str = "auto"
    batch_size: int | None = None
    learning_rate: float | None = None
    optimizer: str = "adam"
    global_clipnorm: float | None = None
    epochs: int = 5
    patience: int = 2
    refit_on_validation: bool = False
    loss: str = "mse"

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
        if self.global_clipnorm is not None and not 0 < self.global_clipnorm < float("inf"):
            raise InputError(f"expected training.global_clipnorm above 0, or none at all; found {self.global_clipnorm}")
        if not isinstance(self.refit_on_validation, bool):
            raise InputError(
                f"expected training.refit_on_validation to be true or false; found {self.refit_on_validation!r}"
            )
        if self.loss not in LOSSES:
            raise InputError(f"expected training.loss to be one of {', '.join(LOSSES)}; found {self.loss!r}")

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


def loss_used(target: Target, training: TrainingSettings) -> str:
    """Name the loss that a target is trained by.

    >>> loss_used(Target("probability"), TrainingSettings(loss="mae"))
    'cross-entropy'
    """
    if target.kind == "quantiles":
        return "pinball"
    return training.loss if target.kind == "value" else "cross-entropy"


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
