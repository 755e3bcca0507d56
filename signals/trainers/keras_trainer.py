"""The reference trainer: Keras 3 on whatever backend is set, byte-reproducible on a CPU."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signals.errors import InputError
from signals.models.stacked_lstm import ModelSettings, build
from signals.trainers.passes import Pass, fit_by_passes
from signals.trainers.seam import FitTask, Fitted, Network, Weights
from signals.windows import Samples

__all__ = ["KerasTrainer", "gpus", "load_keras", "lost_on_gpu"]

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
    """One `train_on_batch` after the other, with batches gathered from the panel."""

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
        # without this, layers of finished fits pile up in Keras's global state over hundreds of refits
        keras.backend.clear_session(free_memory=True)
        keras.utils.set_random_seed(task.seed)
        network = _built(task.network)
        kind = {"adam": keras.optimizers.Adam, "rmsprop": keras.optimizers.RMSprop}[task.settings.optimizer]
        optimizer = kind(task.settings.learning_rate, global_clipnorm=task.settings.clip_norm)
        optimizer.build(network.trainable_variables)  # variables made inside the first step would trace it twice
        network.compile(optimizer, LOSSES[task.network.target.kind], jit_compile=False)

        def learn(one: Pass) -> float:
            return self._learn(network, task, one)

        def outputs(samples: Samples) -> NDArray[np.float32]:
            return self._predict(network, task.network, samples)

        def weights() -> Weights:
            names = [weight.path for weight in network.weights]
            # copies: some backends hand out the very memory they go on training in
            return {name: np.array(value) for name, value in zip(names, network.get_weights(), strict=True)}

        return fit_by_passes(task, learn, outputs, weights)

    @staticmethod
    def _learn(network: Any, task: FitTask, one: Pass) -> float:
        samples, total = task.training, 0.0
        for begin in range(0, len(one.rows), one.size):
            rows = one.rows[begin : begin + one.size]
            network.reset_metrics()
            inputs = _inputs(task.network, samples, rows, one.category[rows])
            total += float(network.train_on_batch(inputs, samples.label[rows][:, None])) * len(rows)
        return total / len(one.rows)

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


def gpus() -> list[str]:
    """Names of the GPUs that Keras's backend sees; loads it."""
    keras = load_keras()
    if keras.backend.backend() == "torch":  # Keras does not list devices there
        torch = import_module("torch")
        return [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    return list(keras.distribution.list_devices("gpu"))


def lost_on_gpu(model: ModelSettings) -> str | None:
    """Name the setting that keeps the fast kernels of a GPU (cuDNN) from a network, if there are both."""
    setting = None
    if model.recurrent_dropout:
        setting = "recurrent_dropout"
    elif model.masked:
        setting = "min_steps"
    if setting is None:  # only now: looking for a GPU loads the backend
        return None
    return f"model.{setting}" if gpus() else None


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


def _major_minor(version: str) -> str:
    return ".".join(version.split(".")[:2])
