"""Dense layers on top of the last state: forward pass, loss, and its gradient."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from signals.trainers.compiled.layout import (
    ABSOLUTE,
    CLASSES,
    D_PREDICTION,
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
    PREDICTION,
    PROBABILITY,
    TARGET,
    UNITS,
    VALUE,
)
from signals.trainers.compiled.updates import JIT
from signals.trainers.compiled.vectors import LANES, product

__all__ = ["forward_head", "loss_and_gradient"]


@njit(**JIT)
def forward_head(layers, head, P, X, category, month, rows, begin, n):
    """Run the dense layers from JOINED to PREDICTION, with sigmoid or softmax for probabilities."""
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
    joined, pred = units + embedding + months, head[PREDICTION]
    if dense > 0:
        product(dense, P, head[DENSE_WEIGHTS], dense, X, head[JOINED], joined + 1, head[HIDDEN])
        product(outputs, P, head[OUTPUT_WEIGHTS], outputs, X, head[HIDDEN], dense + 1, pred)
    else:
        product(outputs, P, head[OUTPUT_WEIGHTS], outputs, X, head[JOINED], joined + 1, pred)
    if head[TARGET] == PROBABILITY:
        for lane in range(LANES):
            X[pred, lane] = 1.0 / (1.0 + math.exp(-np.float64(X[pred, lane])))
    elif head[TARGET] == CLASSES:
        for lane in range(LANES):
            highest = np.float64(X[pred, lane])
            for k in range(1, outputs):
                highest = max(highest, np.float64(X[pred + k, lane]))
            total = 0.0
            for k in range(outputs):
                total += math.exp(np.float64(X[pred + k, lane]) - highest)
            for k in range(outputs):
                X[pred + k, lane] = math.exp(np.float64(X[pred + k, lane]) - highest) / total


@njit(**JIT)
def loss_and_gradient(head, X, label, levels, rows, begin, n, share):
    """Sum of the losses of n samples; the gradients at the output, times `share`, are written to D_PREDICTION.

    For several values per row, the loss is the mean over them, as in Keras.
    """
    pred, d_pred, outputs, loss = head[PREDICTION], head[D_PREDICTION], head[OUTPUTS], 0.0
    target, n_levels = head[TARGET], head[LEVELS]
    values = outputs // n_levels
    for lane in range(LANES):
        for k in range(outputs):
            X[d_pred + k, lane] = 0
        if lane >= n:
            continue
        row = rows[begin + lane]
        if target >= VALUE:
            for k in range(outputs):
                error = np.float64(X[pred + k, lane]) - label[row * values + k // n_levels]
                if target == VALUE:
                    X[d_pred + k, lane] = 2 * error * share / outputs
                    loss += error * error / outputs
                elif target == ABSOLUTE:
                    X[d_pred + k, lane] = np.sign(error) * share / outputs
                    loss += abs(error) / outputs
                else:
                    slope = (1.0 if error > 0 else 0.0) - levels[k % n_levels]
                    X[d_pred + k, lane] = slope * share / outputs
                    loss += slope * error / outputs
            continue
        y = label[row]
        if target == PROBABILITY:
            p = np.float64(X[pred, lane])
            X[d_pred, lane] = (p - y) * share
            loss -= y * math.log(max(p, 1e-7)) + (1 - y) * math.log(max(1 - p, 1e-7))
        else:
            for k in range(outputs):
                X[d_pred + k, lane] = (np.float64(X[pred + k, lane]) - (1.0 if k == y else 0.0)) * share
            loss -= math.log(max(np.float64(X[pred + np.int64(y), lane]), 1e-7))
    return loss
