"""Update of the weights after a batch: sum of the gradients, optimizer step, and transposed weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from signals.trainers.compiled.layout import (
    BACK_TO_INPUTS,
    BACK_TO_STATE,
    DENSE,
    DENSE_BACK,
    DENSE_WEIGHTS,
    EMBEDDING,
    GRU,
    INPUTS,
    KIND,
    LSTM,
    MONTHS,
    OUTPUT_BACK,
    OUTPUT_WEIGHTS,
    OUTPUTS,
    UNITS,
    WEIGHTS,
)
from signals.trainers.compiled.vectors import LANES

__all__ = ["CHUNKS", "JIT", "chunks_of", "transpose", "update"]

CHUNKS = 16
ADAM, RMSPROP = range(2)

# Not fast-math: the result for one number must not depend on how LLVM vectorises the loop.
JIT: dict[str, Any] = {"nogil": True, "error_model": "numpy", "boundscheck": False}


@njit(**JIT)
def chunks_of(n):
    """Count the chunks into which a batch of n rows is split."""
    return min(CHUNKS, (n + LANES - 1) // LANES)


@njit(**JIT)
def transpose(layers, head, weights, back):
    """Write the transposed weights, which products with gradients read.

    The order of the gates is that of the workspace rows of a step: candidate, update, reset for the input part of a
    GRU, Keras's order for all others.
    """
    gates = 4 if head[KIND] == LSTM else 3 if head[KIND] == GRU else 1
    for j in range(len(layers)):
        inputs, units, begin = layers[j, INPUTS], layers[j, UNITS], layers[j, WEIGHTS]
        width = gates * units
        if j > 0:
            turn = 2 * units if head[KIND] == GRU else 0
            for g in range(width):
                column = (g + turn) % width
                for k in range(inputs):
                    back[layers[j, BACK_TO_INPUTS] + g * inputs + k] = weights[begin + k * width + column]
        begin += (inputs + 1) * width
        for g in range(width):
            for k in range(units):
                back[layers[j, BACK_TO_STATE] + g * units + k] = weights[begin + k * width + g]
    dense, outputs = head[DENSE], head[OUTPUTS]
    joined = layers[len(layers) - 1, UNITS] + head[EMBEDDING] + head[MONTHS]
    for k in range(joined):
        for g in range(dense):
            back[head[DENSE_BACK] + g * joined + k] = weights[head[DENSE_WEIGHTS] + k * dense + g]
    below = dense if dense > 0 else joined
    for k in range(below):
        for g in range(outputs):
            back[head[OUTPUT_BACK] + g * below + k] = weights[head[OUTPUT_WEIGHTS] + k * outputs + g]


@njit(**JIT)
def update(head, P, G, D, losses, gradient, moments, rows, category, begin, n, step, rate, optimizer, clip):
    """Sum the chunks of a batch, and update the weights like Keras's Adam or RMSprop; return the sum of losses.

    As in Keras on TensorFlow, the reference, the embedding's gradient consists of one slice per row of the batch, and
    the slices are squared before those of a ticker are summed; only clipping makes it dense. (On other backends,
    Keras's gradient is always dense.)
    """
    shared, embedding, loss = G.shape[1], head[EMBEDDING], 0.0
    mean, variance, squares = moments[0], moments[1], moments[2]
    for k in range(shared):  # a loop, because slices would make numba compile the handling of other shapes, for 6 s
        gradient[k] = G[0, k]
    loss += losses[0]
    for chunk in range(1, chunks_of(n)):
        loss += losses[chunk]
        for k in range(shared):
            gradient[k] += G[chunk, k]
    for k in range(shared):
        squares[k] = gradient[k] * gradient[k]
    gradient[shared:] = 0
    squares[shared:] = 0
    if embedding > 0:
        for i in range(n):
            at = shared + category[rows[begin + i]] * embedding
            for k in range(embedding):
                gradient[at + k] += D[i, k]
                squares[at + k] += D[i, k] * D[i, k]
    if clip > 0:
        total = 0.0
        for k in range(len(gradient)):
            total += np.float64(squares[k])
        shrink = np.float32(clip / max(math.sqrt(total), clip))
        for k in range(len(gradient)):
            gradient[k] *= shrink
            squares[k] = gradient[k] * gradient[k]
    tiny = np.float32(1e-7)
    if optimizer == ADAM:
        b1, b2 = np.float32(1 - 0.9), np.float32(1 - 0.999)
        stride = np.float32(rate * math.sqrt(1 - 0.999**step) / (1 - 0.9**step))
        for k in range(len(P)):
            mean[k] += (gradient[k] - mean[k]) * b1
            variance[k] += (squares[k] - variance[k]) * b2
            P[k] -= mean[k] * stride / (np.sqrt(variance[k]) + tiny)
    else:
        old, new, stride = np.float32(0.9), np.float32(1 - 0.9), np.float32(rate)
        for k in range(len(P)):
            variance[k] = old * variance[k] + new * squares[k]
            P[k] -= stride * gradient[k] / np.sqrt(variance[k] + tiny)
    return loss
