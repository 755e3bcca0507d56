"""Adam, RMSprop and clipping by the global norm as Keras 3 does them, in plain NumPy, float64.

On TensorFlow the gradient of an embedding is a list of slices, one a row of the batch, and Keras squares the slices
before it sums those of one ticker: the second moment is fed with the sum of squares, and the global norm counts every
slice. Clipped gradients are whole arrays again. `slices=False` is what the other backends do.

References
----------
Kingma, Ba (2015), *Adam*, arXiv:1412.6980, in the form of `keras.optimizers.Adam`; Hinton (2012), lecture 6e of
*Neural networks for machine learning*; Pascanu et al. (2013), *On the difficulty of training recurrent neural
networks*, for the norm.
"""

from __future__ import annotations

import numpy as np

__all__ = ["Descent"]

TABLE = "ticker_embedding/embeddings"


class Descent:
    """Weights that are updated: `step(gradient, tickers)` takes one `plain_network.Gradient`."""

    def __init__(self, weights, settings, *, slices=True):
        self.weights = {name: np.asarray(value, np.float64).copy() for name, value in weights.items()}
        self.settings, self.slices, self.steps = settings, slices, 0
        self.first = {name: np.zeros_like(value) for name, value in self.weights.items()}
        self.second = {name: np.zeros_like(value) for name, value in self.weights.items()}

    def step(self, gradient, tickers):
        values = dict(gradient.weights)
        squares = {name: value**2 for name, value in values.items()}
        if self.slices and TABLE in squares:
            squares[TABLE] = np.zeros_like(values[TABLE])
            np.add.at(squares[TABLE], tickers, gradient.slices**2)
        if (most := self.settings.global_clipnorm) is not None:
            norm = np.sqrt(sum(square.sum() for square in squares.values()))
            values = {name: value * min(1.0, most / norm) for name, value in values.items()}
            squares = {name: value**2 for name, value in values.items()}
        self.steps += 1
        update = {"adam": self._adam, "rmsprop": self._rmsprop}[self.settings.optimizer]
        for name in self.weights:
            self.weights[name] -= update(name, values[name], squares[name])

    def _adam(self, name, value, square):
        m, v = self.first[name], self.second[name]
        m += (value - m) * (1 - 0.9)
        v += (square - v) * (1 - 0.999)
        # Keras rounds these two to float32, whatever the weights are
        b1, b2 = np.float64(np.float32(0.9)), np.float64(np.float32(0.999))
        rate = self.settings.learning_rate * np.sqrt(1 - b2**self.steps) / (1 - b1**self.steps)
        return rate * m / (np.sqrt(v) + 1e-7)

    def _rmsprop(self, name, value, square):
        v = self.second[name]
        v *= 0.9
        v += 0.1 * square
        return self.settings.learning_rate * value / np.sqrt(v + 1e-7)
