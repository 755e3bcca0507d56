"""Keras trainer, the reference: Keras 3 on any backend, reproducible to the bit on a CPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signals.common.errors import InputError
from signals.dataset.labels import Target
from signals.dataset.windows import MASKED, Samples
from signals.models.keras_backend import load_keras
from signals.models.network import Network, NetworkSettings
from signals.models.registry import build_network
from signals.trainers.base import FitTask, Fitted, Weights
from signals.trainers.training_loop import EpochBatches, fit_by_epochs

__all__ = ["KerasTrainer", "gpu_obstacle", "gpus", "loss_of"]

# Every prediction goes through batches of exactly this many rows, the last one padded. With one static shape there is
# one compiled function and one order of summation, so the score of a row does not depend on the other rows, to the bit:
# the backtest, a run that ends at an earlier date, and one day of paper trading agree exactly.
PREDICT_BATCH = 1024

CROSS_ENTROPIES = {"probability": "binary_crossentropy", "classes": "sparse_categorical_crossentropy"}
ERRORS = {"mse": "mean_squared_error", "mae": "mean_absolute_error"}


class KerasTrainer:
    """Trainer that calls `train_on_batch` with batches gathered from the panel."""

    name = "keras"
    tasks_at_once = 1
    batch_size = 1024

    def versions(self) -> dict[str, str]:
        """Versions of Keras, its backend and NumPy."""
        keras = load_keras()
        backend = keras.backend.backend()
        module = import_module(backend)
        return {
            "keras": _major_minor(keras.__version__),
            "backend": f"{backend} {_major_minor(module.__version__)}",
            "numpy": _major_minor(np.__version__),
        }

    def fit(self, tasks: Sequence[FitTask]) -> Iterator[Fitted]:
        """Train each task on its own."""
        for task in tasks:
            yield self._fit_one(replace(task, settings=task.settings.filled(self.batch_size)))

    def _fit_one(self, task: FitTask) -> Fitted:
        keras = load_keras()
        # otherwise, layers of finished fits accumulate in Keras's global state over hundreds of fits
        keras.backend.clear_session(free_memory=True)
        keras.utils.set_random_seed(task.seed)
        network = build_network(task.network)
        kind = {"adam": keras.optimizers.Adam, "rmsprop": keras.optimizers.RMSprop}[task.settings.optimizer]
        optimizer = kind(task.settings.learning_rate, global_clipnorm=task.settings.global_clipnorm)
        optimizer.build(network.trainable_variables)  # variables created in the first step would cause a second trace
        network.compile(optimizer, loss_of(task.network.target, task.settings.loss), jit_compile=False)
        rng = np.random.default_rng([task.seed, len(task.training), 1])

        def train_epoch(epoch: EpochBatches) -> float:
            return self._train_epoch(network, task, epoch, rng)

        def outputs(samples: Samples) -> NDArray[np.float32]:
            return self._predict(network, task.network, samples)

        def weights() -> Weights:
            names = [weight.path for weight in network.weights]
            # copies, because some backends return the memory in which they continue training
            return {name: np.array(value) for name, value in zip(names, network.get_weights(), strict=True)}

        return fit_by_epochs(task, train_epoch, outputs, weights)

    @staticmethod
    def _train_epoch(network: Any, task: FitTask, epoch: EpochBatches, rng: np.random.Generator) -> float:
        samples, total, unknown_rate = task.training, 0.0, task.network.model.unknown_category_rate
        unknown = {name: rng.random(len(samples)) < unknown_rate for name in task.network.model.groups}
        samples = replace(samples, groups={k: np.where(unknown[k], 0, samples.groups[k]) for k in unknown})
        for begin in range(0, len(epoch.rows), epoch.size):
            rows = epoch.rows[begin : begin + epoch.size]
            network.reset_metrics()
            inputs = _inputs(task.network, samples, rows, epoch.category[rows])
            if "teacher" in inputs:
                inputs["teacher"] = _teacher_outputs(task.network, samples, rows, rng)
            total += float(network.train_on_batch(inputs, *_labels_and_weights(task.network, samples, rows))) * len(
                rows
            )
        return total / len(epoch.rows)

    def predict(self, network: Network, weights: Weights, samples: Samples) -> NDArray[np.float32]:
        """Rebuild the network with stored weights and score every row."""
        keras = load_keras()
        keras.backend.clear_session(free_memory=True)
        model = build_network(network)
        model.set_weights([weights[weight.path] for weight in model.weights])
        return self._predict(model, network, samples)

    @staticmethod
    def _predict(model: Any, network: Network, samples: Samples) -> NDArray[np.float32]:
        outputs = np.empty((len(samples), network.target.outputs), dtype=np.float32)
        for begin in range(0, len(samples), PREDICT_BATCH):
            rows = np.arange(begin, min(begin + PREDICT_BATCH, len(samples)))
            padded = np.concatenate([rows, np.full(PREDICT_BATCH - len(rows), rows[0])])
            inputs = _inputs(network, samples, padded, samples.category[padded])
            y_pred = np.asarray(model.predict_on_batch(inputs))[: len(rows)]
            outputs[rows] = y_pred[:, -1] if y_pred.ndim == 3 else y_pred
        return outputs


def gpus() -> list[str]:
    """Names of the GPUs available to Keras's backend; loads the backend."""
    keras = load_keras()
    if keras.backend.backend() == "torch":  # Keras does not list devices there
        torch = import_module("torch")
        return [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    return list(keras.distribution.list_devices("gpu"))


def gpu_obstacle(model: NetworkSettings) -> str | None:
    """Name the setting that prevents the fast kernels of a GPU (cuDNN); None without such a setting or a GPU."""
    setting = None
    if model.recurrent_dropout:
        setting = "recurrent_dropout"
    elif model.masked:
        setting = "min_steps"
    elif getattr(model, "cell", "lstm") not in ("lstm", "gru"):
        setting = "cell"
    elif not getattr(model, "reset_after", True):
        setting = "reset_after"
    elif model.teacher_steps == "window":
        setting = "output_recurrence"
    if setting is None:  # checked first, because looking for a GPU loads the backend
        return None
    return f"model.{setting}" if gpus() else None


def loss_of(target: Target, loss: str = "mse") -> Any:
    """Keras's name or function of the loss of a target; see `training_loop.mean_loss`."""
    if target.kind != "quantiles":
        return CROSS_ENTROPIES.get(target.kind) or ERRORS[loss]
    from keras import ops

    level = np.tile(np.asarray(target.levels, np.float32), target.values)

    def pinball(y_true: Any, y_pred: Any) -> Any:
        error = ops.repeat(y_true, len(target.levels), axis=-1) - y_pred
        levels = ops.convert_to_tensor(level)  # torch does not multiply with NumPy arrays
        return ops.mean(ops.maximum(levels * error, (levels - 1) * error), axis=-1)

    return pinball


def _labels_and_weights(network: Network, samples: Samples, rows: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
    """Labels of a batch and, for labels of every step, weights that are zero at unknown steps."""
    if not network.model.sequence_loss:
        return (samples.label[rows].reshape(len(rows), -1),)
    labels = _step_labels(samples, rows)
    known = (labels != MASKED).all(axis=2)
    # scaled to the mean over the known steps of the batch; the last step is always known
    return np.where(known[:, :, None], labels, 0), (known / known.mean()).astype(np.float32)


def _step_labels(samples: Samples, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    if samples.step_labels is None:
        raise InputError(
            "expected labels of every step of the windows, which model.sequence_loss and model.output_recurrence need "
            "for training; found those of the last step only; give Samples its step_labels"
        )
    return samples.step_labels.gather(rows)


def _inputs(
    network: Network, samples: Samples, rows: NDArray[np.int64], category: NDArray[np.int32]
) -> dict[str, NDArray[Any]]:
    model = network.model
    inputs: dict[str, NDArray[Any]] = {"sequence": samples.windows.gather(rows)}
    if model.ticker_embedding_dim:
        inputs["ticker"] = category
    if model.month_onehot:
        inputs["month"] = np.eye(12, dtype=np.float32)[samples.month[rows]]
    for name in model.groups:
        ids = samples.groups[name][rows]
        inputs[name] = np.eye(network.group_sizes[name], dtype=np.float32)[ids, 1:] if name == "year" else ids
    if model.teacher_steps is not None:
        steps, width = _feedback_shape(network)
        inputs["teacher"] = np.full((len(rows), steps, width), MASKED)
    return inputs


def _feedback_shape(network: Network) -> tuple[int, int]:
    """Shape (steps, width) of the fed-back outputs."""
    target = network.target
    if network.model.teacher_steps == "horizon":
        return target.steps, target.values // target.steps
    return network.model.lookback, target.outputs if target.kind == "classes" else target.values


def _teacher_outputs(
    network: Network, samples: Samples, rows: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Teacher forcing: true output of the previous step, `MASKED` where the network's own output is fed back.

    The first step has no previous one. The true output of a step may be known only after the next step: it is used in
    training only, where all labels of a window are in the past, and never in prediction.
    """
    steps, width = _feedback_shape(network)
    teacher = np.full((len(rows), steps, width), MASKED)
    if network.model.teacher_steps == "horizon":
        y_true = samples.label[rows].reshape(len(rows), steps, width)
    else:
        y_true = _step_labels(samples, rows)
        if network.target.kind == "classes":
            known = y_true != MASKED
            classes = np.where(known, y_true, 0)[..., 0].astype(np.int64)
            y_true = np.where(known, np.eye(width, dtype=np.float32)[classes], MASKED)
    teacher[:, 1:] = y_true[:, :-1]
    if network.model.teacher_forcing_ratio < 1:
        teacher[rng.random((len(rows), steps)) >= network.model.teacher_forcing_ratio] = MASKED
    return teacher


def _major_minor(version: str) -> str:
    return ".".join(version.split(".")[:2])
