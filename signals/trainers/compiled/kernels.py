"""Compiled kernels (numba): forward pass, backpropagation through time, and update, one block of samples at a time.

A *block* consists of LANES samples; each row of the workspace holds one number of every sample. All data of a block,
from the gathered window to the last gradient, stay in the core's second-level cache: 0.8 MB for the published network.

A batch is split into at most CHUNKS *chunks* of whole blocks. Each chunk sums its gradient in its own array; `update`
adds the chunks in their order, then the embedding's gradients row by row in the order of the batch. Threads process
whole chunks, so the number of threads does not change the order of summation, nor the result, to the bit.

Nothing here is compiled with fast-math: the result of a loop for one lane must not depend on how LLVM vectorises the
loop, and loops over single numbers take little time compared with the products in `vectors`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit, types

from signals.dataset.windows import MASKED
from signals.trainers.compiled.heads import forward_head, loss_and_gradient
from signals.trainers.compiled.layout import (
    BACK_TO_INPUTS,
    BACK_TO_STATE,
    CELL,
    D_CELL,
    D_HIDDEN,
    D_INPUTS,
    D_JOINED,
    D_PREDICTION,
    D_STATE,
    DENSE,
    DENSE_BACK,
    DENSE_WEIGHTS,
    DEPTH,
    EMBEDDING,
    GATES,
    GRU,
    HIDDEN,
    INPUTS,
    IS_MASKED,
    JOINED,
    KEPT,
    KIND,
    KNOWN,
    LSTM,
    MASK,
    MONTHS,
    ONES,
    OUTPUT_BACK,
    OUTPUT_WEIGHTS,
    OUTPUTS,
    PREDICTION,
    STATE,
    STEPS,
    UNITS,
    WEIGHTS,
    ZEROS,
)
from signals.trainers.compiled.updates import CHUNKS, JIT, chunks_of, transpose, update
from signals.trainers.compiled.vectors import (
    LANES,
    contract,
    draw_masks,
    fetch,
    gru_back,
    gru_step,
    keep,
    lstm_back,
    lstm_step,
    multiply,
    product,
    simple_back,
    simple_step,
)

__all__ = [
    "CHUNKS",
    "GRADIENT",
    "LANES",
    "PREDICT",
    "SIGNATURE",
    "TRAIN",
    "TRANSPOSE",
    "UPDATE",
    "chunks_of",
    "make_entry",
]

# Modes of the entry, see `make_entry`.
TRANSPOSE, PREDICT, GRADIENT, UPDATE, TRAIN = range(5)


@njit(**JIT)
def gather(layers, head, X, panel, ticker, end, rows, begin, n):
    """Read the windows of n samples; the remaining lanes repeat the first sample."""
    # read once, because LLVM cannot know that writing to X does not change them
    steps, inputs, depth, state = head[STEPS], layers[0, INPUTS], layers[0, DEPTH], layers[0, STATE]
    masked, known = head[IS_MASKED], head[KNOWN]
    for lane in range(LANES):
        q = rows[begin + (lane if lane < n else 0)]
        window = panel[ticker[q], end[q] - (steps - 1) : end[q] + 1]
        for s in range(steps):
            for f in range(inputs):
                X[state + s * depth + f, lane] = window[s, f]
        if masked:
            for s in range(steps):
                is_known = window[s, 0] != MASKED
                X[known + s, lane] = is_known
                if not is_known:
                    X[state + s * depth : state + s * depth + inputs, lane] = 0


@njit(**JIT)
def fetch_next(head, panel, ticker, end, rows, begin, n):
    """Prefetch the windows of the next block, which are scattered in memory; waiting for them takes 3 % of the time."""
    steps, tickers_row, features = head[STEPS], panel.shape[1] * panel.shape[2], panel.shape[2]
    for lane in range(n):
        q = rows[begin + lane]
        fetch(panel, ticker[q] * tickers_row + (end[q] - (steps - 1)) * features, steps * features)


@njit(**JIT)
def copy(X, count, rows, out):
    """Copy `count` rows; slices would make numba compile the handling of other shapes, for 6 s."""
    for k in range(count):
        for lane in range(LANES):
            X[out + k, lane] = X[rows + k, lane]


@njit(**JIT)
def forward(layers, head, P, X):
    """Run the recurrent layers over all steps; the last output of the last layer is written to JOINED.

    An unknown step leaves the state unchanged, as Keras's masks do.
    """
    last = len(layers) - 1
    kind, masked = head[KIND], head[IS_MASKED]
    for s in range(head[STEPS]):
        for j in range(last + 1):
            units, inputs, depth, begin = layers[j, UNITS], layers[j, INPUTS], layers[j, DEPTH], layers[j, WEIGHTS]
            state, z = layers[j, STATE] + s * depth, layers[j, GATES] + s * 4 * units
            h = state + depth + inputs + 1
            above, mask = head[JOINED], head[ONES]
            if j < last:
                above, mask = layers[j + 1, STATE] + s * layers[j + 1, DEPTH], layers[j + 1, MASK]
            if kind == GRU:
                width = 3 * units
                product(2 * units, P, begin, width, X, state, depth, z + units)
                product(units, P, begin + 2 * units, width, X, state, inputs + 1, z)
                of_state = begin + (inputs + 1) * width + 2 * units
                product(units, P, of_state, width, X, state + inputs + 1, units + 1, z + 3 * units)
                gru_step(X, units, z, state + inputs + 1, h, above, mask)
            elif kind == LSTM:
                c = layers[j, CELL] + (s + 1) * units
                product(4 * units, P, begin, 4 * units, X, state, depth, z)
                lstm_step(X, units, z, c - units, c, h, above, mask)
                if masked:
                    keep(X, units, c, c - units, head[KNOWN] + s)
            else:
                product(units, P, begin, units, X, state, depth, z)
                simple_step(X, units, z, h, above, mask)
            if masked:
                keep(X, units, h, state + inputs + 1, head[KNOWN] + s)
    if masked:  # the last step may be unknown, too
        top = layers[last]
        end_state = top[STATE] + head[STEPS] * top[DEPTH] + top[INPUTS] + 1
        copy(X, top[UNITS], end_state, head[JOINED])


@njit(**JIT)
def backward(layers, head, P, back, X, G, D, at, n):
    """Add the gradient of a block to G, and write the gradients of its embedding rows to D from row `at` on."""
    last = len(layers) - 1
    units, steps, kind, masked = layers[last, UNITS], head[STEPS], head[KIND], head[IS_MASKED]
    gates = 4 if kind == LSTM else 3 if kind == GRU else 1
    embedding, months, dense, outputs = head[EMBEDDING], head[MONTHS], head[DENSE], head[OUTPUTS]
    joined = units + embedding + months
    if dense > 0:
        contract(dense + 1, outputs, X, head[HIDDEN], 0, head[D_PREDICTION], 0, 1, G, head[OUTPUT_WEIGHTS], outputs)
        product(dense, back, head[OUTPUT_BACK], dense, X, head[D_PREDICTION], outputs, head[D_HIDDEN])
        contract(joined + 1, dense, X, head[JOINED], 0, head[D_HIDDEN], 0, 1, G, head[DENSE_WEIGHTS], dense)
        product(units + embedding, back, head[DENSE_BACK], joined, X, head[D_HIDDEN], dense, head[D_JOINED])
    else:
        contract(joined + 1, outputs, X, head[JOINED], 0, head[D_PREDICTION], 0, 1, G, head[OUTPUT_WEIGHTS], outputs)
        product(units + embedding, back, head[OUTPUT_BACK], joined, X, head[D_PREDICTION], outputs, head[D_JOINED])
    d_joined = head[D_JOINED]
    for lane in range(n):
        for k in range(embedding):
            D[at + lane, k] = X[d_joined + units + k, lane]

    for j in range(last + 1):
        units, d_state, d_cell = layers[j, UNITS], layers[j, D_STATE], layers[j, D_CELL]
        X[d_cell : d_cell + units, :] = 0
        if j == last:
            copy(X, units, d_joined, d_state)
        else:
            X[d_state : d_state + units, :] = 0
    for s in range(steps - 1, -1, -1):
        for j in range(last, -1, -1):
            units, inputs, depth = layers[j, UNITS], layers[j, INPUTS], layers[j, DEPTH]
            state, z = layers[j, STATE] + s * depth, layers[j, GATES] + s * 4 * units
            d_state, d_cell = layers[j, D_STATE], layers[j, D_CELL]
            above, mask = head[ZEROS], head[ONES]
            if j < last:
                above, mask = layers[j + 1, D_INPUTS], layers[j + 1, MASK]
            kept, known, before = layers[j, KEPT], head[KNOWN] + s, state + inputs + 1
            if masked:
                copy(X, units, d_state, kept)
                copy(X, units, d_cell, kept + units)
            if kind == GRU:
                gru_back(X, units, z, before, d_state, d_cell, above, mask)
            elif kind == LSTM:
                lstm_back(X, units, z, layers[j, CELL] + s * units, before + depth, d_state, d_cell, above, mask)
            else:
                simple_back(X, units, z, d_state, above, mask)
            width = gates * units
            if masked:
                multiply(X, 4 * units, z, known)
                keep(X, units, d_cell, kept + units, known)
            if s > 0:
                of_state = z + units if kind == GRU else z
                product(units, back, layers[j, BACK_TO_STATE], units, X, of_state, width, d_state)
                if masked:
                    keep(X, units, d_state, kept, known)
            if j > 0:
                product(inputs, back, layers[j, BACK_TO_INPUTS], inputs, X, z, width, layers[j, D_INPUTS])
    for j in range(last + 1):
        units, inputs, depth, begin = layers[j, UNITS], layers[j, INPUTS], layers[j, DEPTH], layers[j, WEIGHTS]
        state, z = layers[j, STATE], layers[j, GATES]
        if kind == GRU:
            width, candidate = 3 * units, begin + 2 * units
            below = candidate + (inputs + 1) * width
            contract(depth, 2 * units, X, state, depth, z + units, 4 * units, steps, G, begin, width)
            contract(inputs + 1, units, X, state, depth, z, 4 * units, steps, G, candidate, width)
            contract(units + 1, units, X, state + inputs + 1, depth, z + 3 * units, 4 * units, steps, G, below, width)
        else:
            width = gates * units
            contract(depth, width, X, state, depth, z, 4 * units, steps, G, begin, width)


@njit(**JIT)
def dropout(layers, X, states, key, begin, threshold, kept):
    """Draw the masks of a block: one per sample, layer and input, the same at all steps, none on the first layer.

    A sample's masks depend on the key of the epoch and the sample's position in it (Steele's SplitMix64 seeds a
    xorshift32), not on its block or thread.
    """
    if len(layers) == 1:
        return
    for lane in range(LANES):
        x = key + np.uint64(begin + lane + 1) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        states[lane] = np.uint32((x ^ (x >> np.uint64(31))) >> np.uint64(32)) | np.uint32(1)
    for j in range(1, len(layers)):
        draw_masks(X, layers[j, MASK], layers[j, INPUTS], states, threshold, kept)
        if j + 1 < len(layers):
            for lane in range(LANES):
                states[lane] = (states[lane] * np.uint32(0x9E3779B1)) | np.uint32(1)


@njit(**JIT)
def process_rows(
    training, layers, head, P, back, X, G, D, losses, states, panel, ticker, end, category, month, label, levels,
    out, rows, begin, stop, chunk, chunks, share, key, threshold, kept,
):  # fmt: skip
    """Process rows block by block: predict, or sum the gradients of chunks `chunk` to `chunks` of one batch."""
    blocks, parts = (stop - begin + LANES - 1) // LANES, chunks_of(stop - begin)
    first, last = 0, blocks
    if training:
        chunks = min(chunks, parts)
        first, last = blocks * chunk // parts, blocks * chunks // parts
        for c in range(chunk, chunks):
            G[c, :] = 0
            losses[c] = 0
    for block in range(first, last):
        at = begin + block * LANES
        n = min(LANES, stop - at)
        gather(layers, head, X, panel, ticker, end, rows, at, n)
        if block + 1 < last:
            fetch_next(head, panel, ticker, end, rows, at + LANES, min(LANES, stop - at - LANES))
        if training and threshold > 0:
            dropout(layers, X, states, key, at, threshold, kept)
        else:
            for j in range(1, len(layers)):
                X[layers[j, MASK] : layers[j, MASK] + layers[j, INPUTS], :] = 1
        forward(layers, head, P, X)
        forward_head(layers, head, P, X, category, month, rows, at, n)
        if training:
            # the chunk of this block: the last one that begins at or before it
            c = ((block + 1) * parts - 1) // blocks
            losses[c] += loss_and_gradient(head, X, label, levels, rows, at, n, share)
            backward(layers, head, P, back, X, G[c], D, at - begin, n)
        else:
            for lane in range(n):
                for k in range(head[OUTPUTS]):
                    out[at + lane, k] = X[head[PREDICTION] + k, lane]


_FLOATS, _TABLE, _COUNTS = types.float32[::1], types.float32[:, ::1], types.int32[::1]
SIGNATURE = types.float64(
    types.int64, types.int64[:, ::1], types.int64[::1], _FLOATS, _FLOATS, _TABLE, _TABLE, _TABLE,
    types.float64[::1], _FLOATS, _TABLE, types.uint32[::1],
    types.float32[:, :, ::1], _COUNTS, _COUNTS, _COUNTS, _COUNTS, _FLOATS, _FLOATS, _TABLE,
    types.int64[::1],
    *[types.int64] * 5, types.uint64, types.float64, types.int64, types.float64, types.int64, types.float64,
)  # fmt: skip


def make_entry(*, cache: bool = True) -> Any:
    """Make the entry function, not yet compiled: `compile(SIGNATURE)` compiles it, or loads it from the cache.

    Its `mode` selects what it does with rows `begin` to `stop` of an epoch, `size` at a time:

    ========= ======================================================================================================
    TRANSPOSE writes the transposed weights, once before training
    PREDICT   writes the outputs of the rows to `out`
    GRADIENT  writes the gradients of chunks `chunk` to `chunks` of one batch to G, of its embedding rows to D
    UPDATE    updates the weights with the gradients of one batch
    TRAIN     GRADIENT and UPDATE, batch after batch
    ========= ======================================================================================================

    UPDATE and TRAIN return the sum of the rows' losses.

    numba's cache key contains the file and the bytecode of the function itself, but not of the functions it calls. The
    entry therefore closes over a digest of all source files: numba includes closure variables in the cache key.
    """
    here = Path(__file__).parent
    sources = [
        (here / f"{name}.py").read_text("utf-8")
        for name in ("layout", "vector_code", "vectors", "updates", "heads", "kernels")
    ]
    built_from = int(hashlib.sha256(f"{sources}{LANES}{MASKED}".encode()).hexdigest()[:15], 16)

    def entry(
        mode, layers, head, P, back, X, G, D, losses, gradient, moments, states, panel, ticker, end, category, month,
        label, levels, out, rows, begin, stop, size, chunk, chunks, key, drop, step, rate, optimizer, clip,
    ):  # fmt: skip
        if built_from == 0:
            return 0.0
        loss = 0.0
        threshold, kept = np.uint32(drop * 4294967296.0), np.float32(1.0 / (1.0 - drop))
        if mode == TRANSPOSE:
            transpose(layers, head, P, back)
        elif mode == UPDATE:
            loss = update(
                head, P, G, D, losses, gradient, moments, rows, category, begin, stop - begin, step, rate, optimizer,
                clip,
            )  # fmt: skip
            transpose(layers, head, P, back)
        else:
            training = mode != PREDICT
            for at in range(begin, stop, size):
                until = min(at + size, stop)
                process_rows(
                    training, layers, head, P, back, X, G, D, losses, states, panel, ticker, end, category, month,
                    label, levels, out, rows, at, until, chunk, chunks, 1.0 / (until - at), key, threshold, kept,
                )  # fmt: skip
                if mode == TRAIN:
                    step += 1
                    loss += update(
                        head, P, G, D, losses, gradient, moments, rows, category, at, until - at, step, rate,
                        optimizer, clip,
                    )  # fmt: skip
                    transpose(layers, head, P, back)
        return loss

    return njit(cache=cache, **JIT)(entry)
