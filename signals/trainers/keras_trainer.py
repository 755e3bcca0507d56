"""The reference trainer: Keras 3 on whatever backend is set, byte-reproducible on a CPU."""

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
from signals.trainers.training_loop import Pass, fit_by_passes

__all__ = ["KerasTrainer", "gpus", "loss_of", "lost_on_gpu"]

# Every prediction goes through batches of exactly this many rows, the last one padded. With one static shape there is
# one compiled function and one order of additions, so a row's score has the same bits whatever else is scored with it:
# the backtest, a run cut short at any date, and one day of paper trading agree exactly.
PREDICT_BATCH = 1024

CROSS_ENTROPIES = {"probability": "binary_crossentropy", "classes": "sparse_categorical_crossentropy"}
ERRORS = {"mse": "mean_squared_error", "mae": "mean_absolute_error"}


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
        # without this, layers of finished fits pile up in Keras's global state over hundreds of fits
        keras.backend.clear_session(free_memory=True)
        keras.utils.set_random_seed(task.seed)
        network = build_network(task.network)
        kind = {"adam": keras.optimizers.Adam, "rmsprop": keras.optimizers.RMSprop}[task.settings.optimizer]
        optimizer = kind(task.settings.learning_rate, global_clipnorm=task.settings.global_clipnorm)
        optimizer.build(network.trainable_variables)  # variables made inside the first step would trace it twice
        network.compile(optimizer, loss_of(task.network.target, task.settings.loss), jit_compile=False)
        rng = np.random.default_rng([task.seed, len(task.training), 1])

        def learn(one: Pass) -> float:
            return self._learn(network, task, one, rng)

        def outputs(samples: Samples) -> NDArray[np.float32]:
            return self._predict(network, task.network, samples)

        def weights() -> Weights:
            names = [weight.path for weight in network.weights]
            # copies: some backends hand out the very memory they go on training in
            return {name: np.array(value) for name, value in zip(names, network.get_weights(), strict=True)}

        return fit_by_passes(task, learn, outputs, weights)

    @staticmethod
    def _learn(network: Any, task: FitTask, one: Pass, rng: np.random.Generator) -> float:
        samples, total, share = task.training, 0.0, task.network.model.unknown_category_rate
        unknown = {name: rng.random(len(samples)) < share for name in task.network.model.groups}
        samples = replace(samples, groups={k: np.where(unknown[k], 0, samples.groups[k]) for k in unknown})
        for begin in range(0, len(one.rows), one.size):
            rows = one.rows[begin : begin + one.size]
            network.reset_metrics()
            inputs = _inputs(task.network, samples, rows, one.category[rows])
            if "teacher" in inputs:
                inputs["teacher"] = _teacher(task.network, samples, rows, rng)
            total += float(network.train_on_batch(inputs, *_truth(task.network, samples, rows))) * len(rows)
        return total / len(one.rows)

    def predict(self, network: Network, weights: Weights, samples: Samples) -> NDArray[np.float32]:
        """Rebuild the network around stored weights and score every row."""
        keras = load_keras()
        keras.backend.clear_session(free_memory=True)
        made = build_network(network)
        made.set_weights([weights[weight.path] for weight in made.weights])
        return self._predict(made, network, samples)

    @staticmethod
    def _predict(made: Any, network: Network, samples: Samples) -> NDArray[np.float32]:
        outputs = np.empty((len(samples), network.target.outputs), dtype=np.float32)
        for begin in range(0, len(samples), PREDICT_BATCH):
            rows = np.arange(begin, min(begin + PREDICT_BATCH, len(samples)))
            padded = np.concatenate([rows, np.full(PREDICT_BATCH - len(rows), rows[0])])
            inputs = _inputs(network, samples, padded, samples.category[padded])
            said = np.asarray(made.predict_on_batch(inputs))[: len(rows)]
            outputs[rows] = said[:, -1] if said.ndim == 3 else said
        return outputs


def gpus() -> list[str]:
    """Names of the GPUs that Keras's backend sees; loads it."""
    keras = load_keras()
    if keras.backend.backend() == "torch":  # Keras does not list devices there
        torch = import_module("torch")
        return [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    return list(keras.distribution.list_devices("gpu"))


def lost_on_gpu(model: NetworkSettings) -> str | None:
    """Name the setting that keeps the fast kernels of a GPU (cuDNN) from a network, if there are both."""
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
    if setting is None:  # only now: looking for a GPU loads the backend
        return None
    return f"model.{setting}" if gpus() else None


def loss_of(target: Target, loss: str = "mse") -> Any:
    """Give what Keras calls the loss of a target; see `passes.mean_loss`."""
    if target.kind != "quantiles":
        return CROSS_ENTROPIES.get(target.kind) or ERRORS[loss]
    from keras import ops

    level = np.tile(np.asarray(target.levels, np.float32), target.values)

    def pinball(truth: Any, said: Any) -> Any:
        error = ops.repeat(truth, len(target.levels), axis=-1) - said
        share = ops.convert_to_tensor(level)  # torch multiplies no arrays of NumPy
        return ops.mean(ops.maximum(share * error, (share - 1) * error), axis=-1)

    return pinball


def _truth(network: Network, samples: Samples, rows: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
    """Labels of a batch, and for labels of every step the weights that leave unknown ones out."""
    if not network.model.sequence_loss:
        return (samples.label[rows].reshape(len(rows), -1),)
    labels = _step_labels(samples, rows)
    known = (labels != MASKED).all(axis=2)
    # the mean over the known steps of the batch, of which the last one always is
    return np.where(known[:, :, None], labels, 0), (known / known.mean()).astype(np.float32)


def _step_labels(samples: Samples, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    if samples.step_labels is None:
        raise InputError(
            "expected labels of every step of the windows, which model.sequence_loss and model.output_recurrence learn "
            "from; found those of the last step only; give Samples its step_labels"
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
        steps, width = _taught(network)
        inputs["teacher"] = np.full((len(rows), steps, width), MASKED)
    return inputs


def _taught(network: Network) -> tuple[int, int]:
    """Count the steps and numbers of the fed-back outputs."""
    target = network.target
    if network.model.teacher_steps == "horizon":
        return target.steps, target.values // target.steps
    return network.model.lookback, target.outputs if target.kind == "classes" else target.values


def _teacher(
    network: Network, samples: Samples, rows: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Give the true output of the step before each step, `MASKED` where the network has to go by its own.

    The first step has none before it. What a step is taught may be known only after that step: it is fed in training
    alone, where all of a window's labels are past, and never in prediction.
    """
    steps, width = _taught(network)
    taught = np.full((len(rows), steps, width), MASKED)
    if network.model.teacher_steps == "horizon":
        before = samples.label[rows].reshape(len(rows), steps, width)
    else:
        before = _step_labels(samples, rows)
        if network.target.kind == "classes":
            known = before != MASKED
            classes = np.where(known, before, 0)[..., 0].astype(np.int64)
            before = np.where(known, np.eye(width, dtype=np.float32)[classes], MASKED)
    taught[:, 1:] = before[:, :-1]
    if network.model.teacher_forcing_ratio < 1:
        taught[rng.random((len(rows), steps)) >= network.model.teacher_forcing_ratio] = MASKED
    return taught


def _major_minor(version: str) -> str:
    return ".".join(version.split(".")[:2])
