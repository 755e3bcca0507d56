"""Training loop shared by the trainers: batches of an epoch, early stopping, and the weights that are kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signals.common.errors import InputError
from signals.dataset.labels import Target
from signals.dataset.windows import Samples
from signals.trainers.base import EpochLoss, FitTask, Fitted, Weights

__all__ = ["EpochBatches", "draw_epoch", "fit_by_epochs", "mean_loss"]


@dataclass(frozen=True, slots=True)
class EpochBatches:
    """Order of the training rows in one epoch.

    Parameters
    ----------
    rows : ndarray of int64, shape (updates * size,)
        Indices of training samples, batch after batch.
    size : int
        Rows per update.
    category : ndarray of int32, shape (training rows,)
        Ticker id of every training row; some are replaced by 0, the unknown ticker.
    """

    rows: NDArray[np.int64]
    size: int
    category: NDArray[np.int32]


def draw_epoch(task: FitTask, rng: np.random.Generator) -> EpochBatches:
    """Draw the order of the rows, and the rows with an unknown ticker, for one epoch.

    All batches have the same size, as close to `settings.batch_size` as possible: for a trainer that compiles its step,
    a second batch shape takes as long as an epoch of a small fold. At most one row per batch is left out of an epoch,
    chosen at random.
    """
    samples, batch_size = task.training, task.settings.filled().batch_size
    assert batch_size is not None  # noqa: S101 - set by `filled`
    batches = -(-len(samples) // batch_size)
    size = len(samples) // batches
    rows = rng.permutation(len(samples))[: batches * size]
    unknown = rng.random(len(samples)) < task.network.model.unknown_category_rate
    return EpochBatches(rows, size, np.where(unknown, 0, samples.category).astype(np.int32))


def fit_by_epochs(
    task: FitTask,
    train_epoch: Callable[[EpochBatches], float],
    outputs: Callable[[Samples], NDArray[np.float32]],
    weights: Callable[[], Weights],
) -> Fitted:
    """Train epoch after epoch until the validation loss no longer falls (early stopping).

    Parameters
    ----------
    task : FitTask
        Rows, settings and seed. Without validation rows, training takes exactly `settings.epochs` epochs.
    train_epoch : callable
        Trains one epoch; returns the mean loss over its rows.
    outputs : callable
        Returns the outputs of the current network for some rows, shape (n, outputs).
    weights : callable
        Returns a copy of the current weights by their Keras names.

    Returns
    -------
    Fitted
        Weights after the epoch with the lowest validation loss; without validation rows, after the last epoch.

    Raises
    ------
    InputError
        When no epoch has a finite validation loss; without validation rows, when the last training loss is not finite.
    """
    rng = np.random.default_rng([task.seed, len(task.training)])
    history: list[EpochLoss] = []
    best, epochs = np.inf, 0
    kept: Weights | None = None
    for epoch in range(1, task.settings.epochs + 1):
        loss = train_epoch(draw_epoch(task, rng))
        if task.validation is None:
            history.append(EpochLoss(loss, float("nan")))
            epochs = epoch if np.isfinite(loss) else 0
            continue
        validation_loss = mean_loss(
            outputs(task.validation), task.validation.label, task.network.target, task.settings.loss
        )
        history.append(EpochLoss(loss, validation_loss))
        if validation_loss < best:
            best, kept, epochs = validation_loss, weights(), epoch
        elif epoch - epochs >= task.settings.patience:
            break
    if not epochs:
        raise _not_converged(task, "a loss that is not a number")
    kept = weights() if kept is None else kept
    # the loss of an epoch is computed before its last update
    if not all(np.isfinite(values).all() for values in kept.values()):
        raise _not_converged(task, "weights that are not numbers")
    return Fitted(kept, epochs, tuple(history))


def _not_converged(task: FitTask, found: str) -> InputError:
    remedy = f"lower training.learning_rate ({task.settings.learning_rate})"
    if not (np.isfinite(task.training.windows.panel).all() and np.isfinite(task.training.label).all()):
        remedy = "provide features and labels that are finite numbers"
    return InputError(f"expected training to converge; found {found} with seed {task.seed}; {remedy}")


def mean_loss(outputs: NDArray[Any], label: NDArray[Any], target: Target, loss: str = "mse") -> float:
    """Mean loss of some rows in float64, probabilities kept 1e-7 away from 0 and 1.

    Parameters
    ----------
    outputs : ndarray, shape (n, target.outputs)
        Predictions.
    label : ndarray, shape (n,) or (n, target.values)
        Labels.
    target : Target
        Cross-entropy for a probability or classes; `loss` for values; pinball loss (Koenker and Bassett 1978) for
        quantiles. For several values per row, the mean over them.
    loss : {"mse", "mae"}
        Squared or absolute error.

    >>> half = np.array([[0.5], [0.5]], np.float32)
    >>> round(mean_loss(half, np.array([0, 1], np.float32), Target("probability")), 4)
    0.6931
    >>> round(mean_loss(np.full((2, 3), 1 / 3, np.float32), np.array([0, 2], np.float32), Target("classes", 3)), 4)
    1.0986
    >>> mean_loss(np.array([[0.0, 2.0]]), np.array([1.0]), Target("quantiles", 2, levels=(0.25, 0.75)))
    0.25
    """
    values = outputs.astype(np.float64)
    if target.is_numeric:
        truth = np.asarray(label, dtype=np.float64).reshape(len(values), -1)
        if target.kind == "quantiles":
            error = np.repeat(truth, len(target.levels), axis=1) - values
            level = np.tile(target.levels, target.values)
            return float(np.mean(np.maximum(level * error, (level - 1) * error)))
        return float(np.mean(np.abs(values - truth) if loss == "mae" else (values - truth) ** 2))
    p = np.clip(values, 1e-7, 1 - 1e-7)
    if target.kind == "classes":
        return float(-np.mean(np.log(p[np.arange(len(p)), label.astype(np.int64)])))
    return float(-np.mean(np.where(label > 0.5, np.log(p[:, 0]), np.log1p(-p[:, 0]))))
