"""What each function of `signals.trainers.compiled.vectors` does, in plain NumPy, on a workspace of any precision.

A workspace has shape (rows, lanes); the functions take the same arguments as the intrinsics and write in place.
"""

from __future__ import annotations

import numpy as np

__all__ = [
    "contract",
    "draw_masks",
    "fetch",
    "gru_back",
    "gru_step",
    "keep",
    "lstm_back",
    "lstm_step",
    "multiply",
    "product",
    "simple_back",
    "simple_step",
]


def _sigmoid(x):
    return 0.5 * (1 + np.tanh(0.5 * x))


def _rows(workspace, units, *begins):
    return [workspace[begin : begin + units] for begin in begins]


def product(count, weights, begin, width, workspace, rows, depth, out):
    columns = weights[begin + np.arange(depth)[:, None] * width + np.arange(count)]
    workspace[out : out + count] = columns.T @ workspace[rows : rows + depth]


def contract(height, width, workspace, a, a_step, z, z_step, steps, gradient, begin, row):
    for t in range(steps):
        left, right = workspace[a + t * a_step :][:height], workspace[z + t * z_step :][:width]
        gradient[begin + np.arange(height)[:, None] * row + np.arange(width)] += left @ right.T


def lstm_step(workspace, units, z, c_before, c, h, above, mask):
    i, f, g, o, before, factor = _rows(workspace, units, *(z + k * units for k in range(4)), c_before, mask)
    i[:], f[:], g[:], o[:] = _sigmoid(i), _sigmoid(f), np.tanh(g), _sigmoid(o)
    cell = f * before + i * g
    output = o * np.tanh(cell)
    workspace[c : c + units], workspace[h : h + units], workspace[above : above + units] = cell, output, factor * output


def lstm_back(workspace, units, z, c_before, h, dh, dc, above, mask):
    i, f, g, o = (row.copy() for row in _rows(workspace, units, *(z + k * units for k in range(4))))
    before, output, d, e, upper, factor = _rows(workspace, units, c_before, h, dh, dc, above, mask)
    d = d + factor * upper
    e = e + d * o * (1 - (output / o) ** 2)
    gradients = e * g * i * (1 - i), e * before * f * (1 - f), e * i * (1 - g**2), d * output * (1 - o)
    workspace[z : z + 4 * units] = np.concatenate(gradients)
    workspace[dc : dc + units] = e * f


def simple_step(workspace, units, z, h, above, mask):
    arguments, factor = _rows(workspace, units, z, mask)
    output = np.tanh(arguments)
    for row, value in ((z, output), (h, output), (above, factor * output)):
        workspace[row : row + units] = value


def simple_back(workspace, units, z, dh, above, mask):
    output, d, upper, factor = _rows(workspace, units, z, dh, above, mask)
    output[:] = (d + factor * upper) * (1 - output**2)


def gru_step(workspace, units, z, h_before, h, above, mask):
    inputs, update, reset, state = _rows(workspace, units, *(z + k * units for k in range(4)))
    before, factor = _rows(workspace, units, h_before, mask)
    update[:], reset[:] = _sigmoid(update), _sigmoid(reset)
    inputs[:] = np.tanh(inputs + reset * state)
    output = update * before + (1 - update) * inputs
    workspace[h : h + units], workspace[above : above + units] = output, factor * output


def gru_back(workspace, units, z, h_before, dh, direct, above, mask):
    gates = _rows(workspace, units, *(z + k * units for k in range(4)))
    candidate, update, reset, state = (row.copy() for row in gates)
    before, d, straight, upper, factor = _rows(workspace, units, h_before, dh, direct, above, mask)
    d = d + straight + factor * upper
    d_candidate = d * (1 - update) * (1 - candidate**2)
    d_update, d_reset = d * (before - candidate) * update * (1 - update), d_candidate * state * reset * (1 - reset)
    workspace[z : z + 4 * units] = np.concatenate([d_candidate, d_update, d_reset, d_candidate * reset])
    workspace[direct : direct + units] = d * update


def multiply(workspace, count, rows, factor):
    workspace[rows : rows + count] *= workspace[factor]


def fetch(array, begin, count):
    """Nothing to see: the numbers are on their way."""


def keep(workspace, count, rows, before, known):
    old = workspace[before : before + count]
    workspace[rows : rows + count] = np.where(workspace[known] != 0, workspace[rows : rows + count], old)


def draw_masks(workspace, rows, count, states, threshold, kept):
    state = states.astype(np.uint32)
    for row in range(rows, rows + count):
        for left, distance in ((True, 13), (False, 17), (True, 5)):
            state ^= state << np.uint32(distance) if left else state >> np.uint32(distance)
        workspace[row] = np.where(state < threshold, 0, kept)
