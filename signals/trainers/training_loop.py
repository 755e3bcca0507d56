"""What trainers share: which rows make a batch, when passes end, and which weights are kept."""

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

__all__ = ["Pass", "fit_by_passes", "mean_loss", "one_pass"]


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass over the training rows.

    Parameters
    ----------
    rows : ndarray of int64, shape (updates * size,)
        Rows of the training samples in the order they are learnt.
    size : int
        Rows per update.
    category : ndarray of int32, shape (training rows,)
        Ticker id of every training row, some of them replaced by 0, the unknown ticker.
    """

    rows: NDArray[np.int64]
    size: int
    category: NDArray[np.int32]


def one_pass(task: FitTask, rng: np.random.Generator) -> Pass:
    """Draw the order of the rows and the tickers that are unknown for one pass.

    Batches have one size, as near to `settings.batch_size` as that goes: a second shape costs a trainer that compiles
    its step as long as an epoch of a small fold. At most one row per batch sits out a pass, another one each time.
    """
    samples, batch_size = task.training, task.settings.filled().batch_size
    assert batch_size is not None  # noqa: S101 - just filled in
    batches = -(-len(samples) // batch_size)
    size = len(samples) // batches
    rows = rng.permutation(len(samples))[: batches * size]
    unknown = rng.random(len(samples)) < task.network.model.unknown_category_rate
    return Pass(rows, size, np.where(unknown, 0, samples.category).astype(np.int32))


def fit_by_passes(
    task: FitTask,
    learn: Callable[[Pass], float],
    outputs: Callable[[Samples], NDArray[np.float32]],
    weights: Callable[[], Weights],
) -> Fitted:
    """Learn pass after pass until the validation loss no longer falls.

    Parameters
    ----------
    task : FitTask
        Rows, settings and seed. Without validation rows there are exactly `settings.epochs` passes.
    learn : callable
        Learns one pass; returns the mean loss over its rows.
    outputs : callable
        Outputs of the present network for some rows, shape (n, outputs).
    weights : callable
        A copy of the present weights by their Keras names.

    Returns
    -------
    Fitted
        With the weights after the pass of the lowest validation loss, or after the last pass without validation rows.

    Raises
    ------
    InputError
        When no pass ends with a validation loss that is a number, or the last one without validation rows does not.
    """
    rng = np.random.default_rng([task.seed, len(task.training)])
    history: list[EpochLoss] = []
    best, epochs = np.inf, 0
    kept: Weights | None = None
    for epoch in range(1, task.settings.epochs + 1):
        loss = learn(one_pass(task, rng))
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
        raise _failed(task, "a loss that is not a number")
    kept = weights() if kept is None else kept
    # the loss of a pass is taken before its last update
    if not all(np.isfinite(values).all() for values in kept.values()):
        raise _failed(task, "weights that are not numbers")
    return Fitted(kept, epochs, tuple(history))


def _failed(task: FitTask, found: str) -> InputError:
    advice = f"lower training.learning_rate ({task.settings.learning_rate})"
    if not (np.isfinite(task.training.windows.panel).all() and np.isfinite(task.training.label).all()):
        advice = "give features and labels that are finite numbers"
    return InputError(f"expected training to converge; found {found} with seed {task.seed}; {advice}")


def mean_loss(outputs: NDArray[Any], label: NDArray[Any], target: Target, loss: str = "mse") -> float:
    """Mean loss of some rows in float64, probabilities kept 1e-7 away from 0 and 1.

    Parameters
    ----------
    outputs : ndarray, shape (n, target.outputs)
        What was said.
    label : ndarray, shape (n,) or (n, target.values)
        What was true.
    target : Target
        Cross-entropy for a probability or classes; `loss` for values; pinball loss (Koenker and Bassett 1978) for
        quantiles. Of several numbers a row the mean counts.
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
