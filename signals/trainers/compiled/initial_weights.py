"""Initial weights with the distributions of Keras's defaults, without Keras."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from signals.trainers.compiled.layout import Layout

__all__ = ["initial_weights"]


def initial_weights(layout: Layout, seed: int) -> dict[str, NDArray[np.float32]]:
    """Draw weights by their Keras paths.

    Kernels are Glorot-uniform, recurrent kernels orthogonal (Saxe et al. 2014), embeddings uniform within 0.05, biases
    0 but for the forget gates' 1 (Jozefowicz et al. 2015). The draws are NumPy's, not Keras's.
    """
    rng = np.random.default_rng([seed])
    drawn = {}
    for piece in layout.pieces:
        name = piece.path.rsplit("/", 1)[1]
        if name == "kernel":
            limit = np.sqrt(6 / (piece.shape[0] + piece.shape[1]))
            values = rng.uniform(-limit, limit, piece.shape)
        elif name == "recurrent_kernel":
            values = _orthogonal(rng, *piece.shape)
        elif name == "embeddings":
            values = rng.uniform(-0.05, 0.05, piece.shape)
        else:
            values = np.zeros(piece.shape)
            if "lstm_cell" in piece.path:
                units = piece.shape[0] // 4
                values[units : 2 * units] = 1.0
        drawn[piece.path] = values.astype(np.float32)
    return drawn


def _orthogonal(rng: np.random.Generator, rows: int, columns: int) -> NDArray[np.float64]:
    """Orthogonal matrix: Q of a normal matrix, with signs from the diagonal of R."""
    q, r = np.linalg.qr(rng.normal(size=(max(rows, columns), min(rows, columns))))
    q = q * np.sign(np.diag(r))
    return q.T if rows < columns else q
