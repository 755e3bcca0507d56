"""The reference trainer: Keras 3 on whatever backend is set, byte-reproducible on a CPU."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signals.errors import InputError
from signals.labels import Target
from signals.models.stacked_lstm import build
from signals.trainers.seam import EpochLoss, FitTask, Fitted, Network, Weights
from signals.windows import Samples

__all__ = ["KerasTrainer", "load_keras"]

# Every prediction goes through batches of exactly this many rows, the last one padded. With one static shape there is
# one compiled function and one order of additions, so a row's score has the same bits whatever else is scored with it:
# the backtest, a run cut short at any date, and one day of paper trading agree exactly.
PREDICT_BATCH = 1024

LOSSES = {
    "probability": "binary_crossentropy",
    "classes": "sparse_categorical_crossentropy",
    "value": "mean_squared_error",
}


def load_keras() -> Any:
    """Import Keras quietly; the backend is `KERAS_BACKEND` or Keras's own default, TensorFlow.

    Raises
    ------
    InputError
        When the backend that was asked for cannot be loaded.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # a network per fold looks like needless retracing to it
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # backends warn about NumPy and protobuf while they load
            import keras
    except (ImportError, ValueError) as error:
        backend = os.environ.get("KERAS_BACKEND", "tensorflow")
        raise InputError(
            f"expected Keras with the backend {backend!r} to load; found: {error}; install that backend or set "
            "KERAS_BACKEND to tensorflow, jax or torch"
        ) from error
    return keras


class KerasTrainer:
    """Adam through `train_on_batch`, with batches gathered from the panel."""

    name = "keras"
    tasks_at_once = 1

    def versions(self) -> dict[str, str]:
        """Versions of Keras, its backend and NumPy."""
        keras = load_keras()
        backend = keras.backend.backend()
        module = __import__({"torch": "torch", "jax": "jax"}.get(backend, backend))
        return {
            "keras": _major_minor(keras.__version__),
            "backend": f"{backend} {_major_minor(module.__version__)}",
            "numpy": _major_minor(np.__version__),
        }

    def fit(self, tasks: Sequence[FitTask]) -> Iterator[Fitted]:
        """Train each task on its own."""
        for task in tasks:
            yield self._fit_one(task)

    def _fit_one(self, task: FitTask) -> Fitted:
        keras = load_keras()
        # without this, layers of finished fits pile up in Keras's global state over hundreds of refits
        keras.backend.clear_session(free_memory=True)
        keras.utils.set_random_seed(task.seed)
        rng = np.random.default_rng([task.seed, len(task.training)])
        network = _built(task.network)
        optimizer = keras.optimizers.Adam(task.settings.learning_rate)
        optimizer.build(network.trainable_variables)  # variables made inside the first step would trace it twice
        network.compile(optimizer, LOSSES[task.network.target.kind], jit_compile=False)

        history: list[EpochLoss] = []
        best, kept = np.inf, network.get_weights()
        epochs = 0
        for epoch in range(task.settings.epochs):
            loss = self._one_pass(network, task, rng)
            if task.validation is None:
                history.append(EpochLoss(loss, float("nan")))
                kept, epochs = None, epoch + 1
                continue
            outputs = self._predict(network, task.network, task.validation)
            validation_loss = mean_loss(outputs, task.validation.label, task.network.target)
            history.append(EpochLoss(loss, validation_loss))
            if validation_loss < best:
                best, kept, epochs = validation_loss, network.get_weights(), epoch + 1
            elif epoch + 1 - epochs >= task.settings.patience:
                break
        if not epochs:
            raise InputError(
                f"expected training to converge; found a loss that is not a number with seed {task.seed}; lower "
                f"training.learning_rate ({task.settings.learning_rate})"
            )
        values = network.get_weights() if kept is None else kept
        names = [weight.path for weight in network.weights]
        weights = {name: np.asarray(value) for name, value in zip(names, values, strict=True)}
        return Fitted(weights, epochs, tuple(history))

    @staticmethod
    def _one_pass(network: Any, task: FitTask, rng: np.random.Generator) -> float:
        samples = task.training
        # Batches of one size, so that the step is compiled once: tracing a second shape costs as long as an epoch of
        # a small fold. At most one row per batch sits out a pass, another one each time.
        batches = -(-len(samples) // task.settings.batch_size)
        size = len(samples) // batches
        order = rng.permutation(len(samples))[: batches * size]
        unknown = rng.random(len(samples)) < task.network.model.unknown_share
        category = np.where(unknown, 0, samples.category).astype(np.int32)
        total = 0.0
        for begin in range(0, len(order), size):
            rows = order[begin : begin + size]
            network.reset_metrics()
            inputs = _inputs(task.network, samples, rows, category[rows])
            total += float(network.train_on_batch(inputs, samples.label[rows][:, None])) * len(rows)
        return total / len(order)

    def predict(self, network: Network, weights: Weights, samples: Samples) -> NDArray[np.float32]:
        """Rebuild the network around stored weights and score every row."""
        keras = load_keras()
        keras.backend.clear_session(free_memory=True)
        made = _built(network)
        made.set_weights([weights[weight.path] for weight in made.weights])
        return self._predict(made, network, samples)

    @staticmethod
    def _predict(made: Any, network: Network, samples: Samples) -> NDArray[np.float32]:
        outputs = np.empty((len(samples), network.target.outputs), dtype=np.float32)
        for begin in range(0, len(samples), PREDICT_BATCH):
            rows = np.arange(begin, min(begin + PREDICT_BATCH, len(samples)))
            padded = np.concatenate([rows, np.full(PREDICT_BATCH - len(rows), rows[0])])
            inputs = _inputs(network, samples, padded, samples.category[padded])
            outputs[rows] = np.asarray(made.predict_on_batch(inputs))[: len(rows)]
        return outputs


def _built(network: Network) -> Any:
    return build(network.model, network.n_categories, network.n_features, network.target)


def _inputs(
    network: Network, samples: Samples, rows: NDArray[np.int64], category: NDArray[np.int32]
) -> dict[str, NDArray[Any]]:
    inputs: dict[str, NDArray[Any]] = {"sequence": samples.windows.gather(rows)}
    if network.model.embedding:
        inputs["ticker"] = category
    if network.model.months:
        inputs["month"] = np.eye(12, dtype=np.float32)[samples.month[rows]]
    return inputs


def mean_loss(outputs: NDArray[np.float32], label: NDArray[np.float32], target: Target) -> float:
    """Mean loss of some rows in float64, probabilities kept 1e-7 away from 0 and 1.

    >>> half = np.array([[0.5], [0.5]], np.float32)
    >>> round(mean_loss(half, np.array([0, 1], np.float32), Target("probability")), 4)
    0.6931
    >>> round(mean_loss(np.full((2, 3), 1 / 3, np.float32), np.array([0, 2], np.float32), Target("classes", 3)), 4)
    1.0986
    """
    values = outputs.astype(np.float64)
    if target.kind == "value":
        return float(np.mean((values[:, 0] - label) ** 2))
    p = np.clip(values, 1e-7, 1 - 1e-7)
    if target.kind == "classes":
        return float(-np.mean(np.log(p[np.arange(len(p)), label.astype(np.int64)])))
    return float(-np.mean(np.where(label > 0.5, np.log(p[:, 0]), np.log1p(-p[:, 0]))))


def _major_minor(version: str) -> str:
    return ".".join(version.split(".")[:2])
