"""From the last state to the loss: the dense layers, what they say, and how wrong it is."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from signals.trainers.compiled.layout import (
    ABSOLUTE,
    CLASSES,
    D_SAID,
    DENSE,
    DENSE_WEIGHTS,
    EMBEDDING,
    EMBEDDING_WEIGHTS,
    HIDDEN,
    JOINED,
    LEVELS,
    MONTHS,
    OUTPUT_WEIGHTS,
    OUTPUTS,
    PROBABILITY,
    SAID,
    TARGET,
    UNITS,
    VALUE,
)
from signals.trainers.compiled.updates import JIT
from signals.trainers.compiled.vectors import LANES, product

__all__ = ["answer", "judge"]


@njit(**JIT)
def answer(layers, head, P, X, category, month, rows, begin, n):
    """Run the dense layers: JOINED to SAID, probabilities where they are meant."""
    units = layers[len(layers) - 1, UNITS]
    embedding, months, dense, outputs = head[EMBEDDING], head[MONTHS], head[DENSE], head[OUTPUTS]
    embedded, monthly = head[JOINED] + units, head[JOINED] + units + embedding
    for lane in range(LANES):
        q = rows[begin + (lane if lane < n else 0)]
        row = head[EMBEDDING_WEIGHTS] + category[q] * embedding
        for k in range(embedding):
            X[embedded + k, lane] = P[row + k]
        m = month[q]
        for k in range(months):
            X[monthly + k, lane] = k == m
    joined, said = units + embedding + months, head[SAID]
    if dense > 0:
        product(dense, P, head[DENSE_WEIGHTS], dense, X, head[JOINED], joined + 1, head[HIDDEN])
        product(outputs, P, head[OUTPUT_WEIGHTS], outputs, X, head[HIDDEN], dense + 1, said)
    else:
        product(outputs, P, head[OUTPUT_WEIGHTS], outputs, X, head[JOINED], joined + 1, said)
    if head[TARGET] == PROBABILITY:
        for lane in range(LANES):
            X[said, lane] = 1.0 / (1.0 + math.exp(-np.float64(X[said, lane])))
    elif head[TARGET] == CLASSES:
        for lane in range(LANES):
            highest = np.float64(X[said, lane])
            for k in range(1, outputs):
                highest = max(highest, np.float64(X[said + k, lane]))
            total = 0.0
            for k in range(outputs):
                total += math.exp(np.float64(X[said + k, lane]) - highest)
            for k in range(outputs):
                X[said + k, lane] = math.exp(np.float64(X[said + k, lane]) - highest) / total


@njit(**JIT)
def judge(head, X, label, levels, rows, begin, n, share):
    """Sum of the losses of n samples; the gradients at the output, `share` of each sample's, go to D_SAID.

    Of several numbers a row the mean counts, as in Keras.
    """
    said, d_said, outputs, loss = head[SAID], head[D_SAID], head[OUTPUTS], 0.0
    target, n_levels = head[TARGET], head[LEVELS]
    values = outputs // n_levels
    for lane in range(LANES):
        for k in range(outputs):
            X[d_said + k, lane] = 0
        if lane >= n:
            continue
        row = rows[begin + lane]
        if target >= VALUE:
            for k in range(outputs):
                error = np.float64(X[said + k, lane]) - label[row * values + k // n_levels]
                if target == VALUE:
                    X[d_said + k, lane] = 2 * error * share / outputs
                    loss += error * error / outputs
                elif target == ABSOLUTE:
                    X[d_said + k, lane] = np.sign(error) * share / outputs
                    loss += abs(error) / outputs
                else:
                    slope = (1.0 if error > 0 else 0.0) - levels[k % n_levels]
                    X[d_said + k, lane] = slope * share / outputs
                    loss += slope * error / outputs
            continue
        y = label[row]
        if target == PROBABILITY:
            p = np.float64(X[said, lane])
            X[d_said, lane] = (p - y) * share
            loss -= y * math.log(max(p, 1e-7)) + (1 - y) * math.log(max(1 - p, 1e-7))
        else:
            for k in range(outputs):
                X[d_said + k, lane] = (np.float64(X[said + k, lane]) - (1.0 if k == y else 0.0)) * share
            loss -= math.log(max(np.float64(X[said + np.int64(y), lane]), 1e-7))
    return loss
