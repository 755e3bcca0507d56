"""Interface of trainers: settings, fit tasks, fitted networks, and the `Trainer` protocol."""

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
LOSSES = ("mse", "mae")  # of values; probabilities have cross-entropy, quantiles the pinball loss

Weights = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """Settings of the training of a network.

    Parameters
    ----------
    trainer : str
        `"keras"`; `"compiled"`, many times faster on a CPU; `"auto"`, the compiled trainer wherever it supports the
        network; or `'package.module:Name'` of a custom trainer.
    batch_size : int, optional
        Rows per update. The default depends on the trainer: the published 32 for the compiled trainer, for which the
        batch size does not affect the speed, and 1024 for Keras, which is many times faster with large batches.
    learning_rate : float, optional
        The default depends on the batch size: 0.001 at 32, as published, 0.005 at 1024, and a power of the batch size
        through these two values otherwise. With 1024 and 0.005 the accuracy is the same with many training rows, but
        lower with few (by 0.005 of AUC at 20,000 to 40,000 rows).
    optimizer : {"adam", "rmsprop"}
        Optimizer, with Keras's defaults for its other settings.
    global_clipnorm : float, optional
        Largest norm of the gradient over all weights together; a gradient with a larger norm is scaled down to it.
        Gradients are not clipped by default.
    epochs : int
        Largest number of epochs, 5 by default; the weights after the epoch with the lowest validation loss are kept.
    patience : int
        Number of consecutive epochs without a lower validation loss after which training stops; 2 by default.
    refit_on_validation : bool
        Whether the network is then trained again on training and validation rows together, for the number of epochs
        that early stopping chose; False by default.
    loss : {"mse", "mae"}
        Loss of numeric labels: mean squared error (the default) or mean absolute error. It has no effect on labels with
        classes, which use cross-entropy, and on quantiles, which use the pinball loss.
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
            raise InputError(
                f"expected training.global_clipnorm above 0, or no such setting; found {self.global_clipnorm}"
            )
        if not isinstance(self.refit_on_validation, bool):
            raise InputError(
                f"expected training.refit_on_validation to be true or false; found {self.refit_on_validation!r}"
            )
        if self.loss not in LOSSES:
            raise InputError(f"expected training.loss to be one of {', '.join(LOSSES)}; found {self.loss!r}")

    def filled(self, batch_size: int = 1024) -> TrainingSettings:
        """Return settings with defaults for a missing batch size and learning rate.

        The default rate is a power of the batch size, to two digits, through the values that were measured as best:
        0.001 at 32 and 0.005 at 1024.

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
    """Name of the loss with which a target is trained.

    >>> loss_used(Target("probability"), TrainingSettings(loss="mae"))
    'cross-entropy'
    """
    if target.kind == "quantiles":
        return "pinball"
    return training.loss if target.kind == "value" else "cross-entropy"


@dataclass(frozen=True, slots=True)
class FitTask:
    """One network to train, for one fold and seed.

    Parameters
    ----------
    network : Network
        Network to build.
    training : Samples
        Training rows.
    validation : Samples or None
        Rows for early stopping; without them (None), training takes exactly `settings.epochs` epochs.
    settings : TrainingSettings
        Batch size, learning rate, epochs.
    seed : int
        Seed of initial weights, order of rows, dropout and unknown tickers.
    """

    network: Network
    training: Samples
    validation: Samples | None
    settings: TrainingSettings
    seed: int


@dataclass(frozen=True, slots=True)
class EpochLoss:
    """Losses of an epoch: mean over its updates, and on the validation rows (NaN without any)."""

    loss: float
    validation_loss: float


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained network: named weights, number of epochs of these weights, and the losses of every epoch run."""

    weights: Weights
    epochs: int
    history: tuple[EpochLoss, ...]


def batch_of(trainer: Trainer) -> int:
    """Batch size of a trainer when the settings give none; 1024 for a custom trainer without this attribute."""
    batch_size: int = getattr(trainer, "batch_size", 1024)
    return batch_size


class Trainer(Protocol):
    """Trainer of networks. Fit tasks contain no test rows, so that no trainer can use them."""

    name: str
    tasks_at_once: int
    batch_size: int  # when the settings give none

    def versions(self) -> dict[str, str]:
        """Return the versions (major.minor) on which trained weights depend; they are part of the artifact key."""
        ...

    def fit(self, tasks: Sequence[FitTask]) -> Iterator[Fitted]:
        """Train each task, in order; each call receives at most `tasks_at_once` tasks."""
        ...

    def predict(self, network: Network, weights: Weights, samples: Samples) -> NDArray[np.float32]:
        """Output of each row, shape (n, network.target.outputs).

        This is the only inference path: the output of a row must not depend on the other rows, to the bit.
        """
        ...
