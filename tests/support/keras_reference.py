"""Reference values from Keras: outputs, gradients and updates of a network on given rows, in float32 or float64."""

from __future__ import annotations

import importlib
from contextlib import contextmanager

import numpy as np

from signals.dataset.windows import MASKED
from signals.models.keras_backend import load_keras
from signals.models.recurrent import build
from signals.trainers.keras_trainer import loss_of

__all__ = ["KerasReference", "floats"]


@contextmanager
def floats(kind):
    """Keras at another precision: "float32" or "float64"."""
    keras = load_keras()
    before = keras.config.floatx()
    keras.config.set_floatx(kind)
    keras.config.set_dtype_policy(kind)
    try:
        yield
    finally:
        keras.config.set_floatx(before)
        keras.config.set_dtype_policy(before)


class KerasReference:
    """A Keras network with given weights."""

    def __init__(self, network, weights):
        keras = load_keras()
        keras.backend.clear_session()
        self.keras, self.network = keras, network
        self.model = build(network.model, network.n_categories, network.n_features, network.target)
        self.paths = [weight.path for weight in self.model.weights]
        self.model.set_weights([weights[path] for path in self.paths])

    @property
    def weights(self):
        return dict(zip(self.paths, self.model.get_weights(), strict=True))

    def inputs(self, rows):
        sequence = np.where(rows.known[:, :, None], rows.sequence, np.float64(MASKED))
        given = {"sequence": sequence.astype(self.keras.config.floatx())}
        if self.network.model.ticker_embedding_dim:
            given["ticker"] = rows.ticker.astype(np.int32)
        if self.network.model.month_onehot:
            given["month"] = np.eye(12, dtype=self.keras.config.floatx())[rows.month]
        return given

    def outputs(self, rows):
        return np.asarray(self.model(self.inputs(rows), training=False))

    def gradient(self, rows):
        """Mean loss, and dense gradients by name."""
        if self.keras.backend.backend() != "tensorflow":
            raise NotImplementedError("gradients are taken with TensorFlow's tape")
        tensorflow = importlib.import_module("tensorflow")
        loss = self.keras.losses.get(loss_of(self.network.target))
        label = np.asarray(rows.label, self.keras.config.floatx())
        with tensorflow.GradientTape() as tape:
            value = self.keras.ops.mean(loss(label, self.model(self.inputs(rows), training=False)))
        grads = tape.gradient(value, [variable.value for variable in self.model.trainable_variables])
        dense = [np.asarray(tensorflow.convert_to_tensor(grad)) for grad in grads]
        return float(value), dict(zip(self.paths, dense, strict=True))

    def compile(self, settings):
        """Stock optimizer, as in the Keras trainer."""
        kind = {"adam": self.keras.optimizers.Adam, "rmsprop": self.keras.optimizers.RMSprop}[settings.optimizer]
        optimizer = kind(settings.learning_rate, global_clipnorm=settings.global_clipnorm)
        optimizer.build(self.model.trainable_variables)
        self.model.compile(optimizer, loss_of(self.network.target, settings.loss), jit_compile=False)

    def step(self, rows):
        """One update; returns the loss before it."""
        self.model.reset_metrics()
        return float(self.model.train_on_batch(self.inputs(rows), rows.label))
