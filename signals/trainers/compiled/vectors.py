"""Explicit SIMD kernels: loops for which numba's own code generation reaches only half of a core's speed.

All kernels use a *workspace*, a float32 array of shape (rows, LANES). A row holds one number of each of LANES samples:
an input, a gate, a unit's state. One row fills one vector register, so an operation on rows is an operation on LANES
samples, samples are never combined, and the result for a sample does not depend on the other samples, to the bit. The
one exception is `contract`, which sums gradients over samples.

The functions below are numba intrinsics; their code is LLVM IR in separate functions, so that it is optimised once and
not once per caller. The tests contain a reference implementation of each in a few lines of NumPy.

Measured on an AVX-512 core that can do 7.9 multiply-adds of a vector per ns: `product` and `contract` 7.0; plain numba
loops reach 55-60 % of that. `math.tanh` takes 16-32 ns without Intel's SVML, which numba from PyPI does not have; the
functions below take 0.6 ns. Other tiles (5 x 5, 4 x 6, 8 x 3) and two vectors a row were tried and are slower.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from numba import types
from numba.extending import intrinsic

from signals.trainers.compiled.vector_code import (
    BITS,
    FREE,
    LANES,
    ZERO,
    Wide,
    cases,
    defined,
    in_parts,
    load,
    loop,
    many,
    multiply_add,
    prefetch,
    reciprocal,
    sigmoid,
    spread,
    store,
    tanh,
    whole,
)

__all__ = [
    "LANES",
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

INDEX = types.int64
# Sizes that fit the registers: 32 of 16 lanes with AVX-512, 16 of 8 lanes with AVX2.
PRODUCT_ROWS = 26 if LANES == 16 else 12
TILE_ROWS, TILE_COLUMNS = (6, 4) if LANES == 16 else (3, 3)
# Units whose activations are computed together, to hide the latency of each operation.
UNITS_AT_ONCE = 5
LINE = 16  # numbers of a cache line


def _intrinsic(
    name: str, kinds: Sequence[Any], write: Callable[..., None]
) -> tuple[Any, Callable[[Any, Any, Any, Any], Any]]:
    """Signature and code of an intrinsic: a call of the function that `write` writes, arrays as pointers."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        given = [
            context.make_array(kind)(context, builder, value).data if isinstance(kind, types.Array) else value
            for kind, value in zip(signature.args, arguments, strict=True)
        ]
        builder.call(defined(builder.module, name, [value.type for value in given], write), given)
        return context.get_dummy_value()

    return types.void(*kinds), generate


# -- products ----------------------------------------------------------------------------------------------------------


@intrinsic
def product(_typing, count, weights, begin, width, workspace, rows, depth, out):
    """workspace[out + r] = sum over k < depth of weights[begin + k * width + r] * workspace[rows + k], r < count."""
    return _intrinsic("product", [INDEX, weights, INDEX, INDEX, workspace, INDEX, INDEX, INDEX], _product)


def _product(
    b: Any, count: Any, weights: Any, begin: Any, width: Any, space: Any, rows: Any, depth: Any, out: Any
) -> None:
    def part(first: Any, size: Any) -> None:
        column = b.gep(weights, [b.add(begin, first)])

        def of_size(n: int) -> Callable[[], None]:
            def step(k: Any, sums: list[Any]) -> list[Any]:
                x = load(b, space, b.add(rows, k)).vectors[0]
                w = b.gep(column, [b.mul(k, width)])
                return [multiply_add(b, x, spread(b, b.load(b.gep(w, [whole(r)]))), sums[r]) for r in range(n)]

            return lambda: store(b, space, b.add(out, first), Wide(b, loop(b, depth, [ZERO] * n, step)))

        cases(b, size, {n: of_size(n) for n in range(1, PRODUCT_ROWS + 1)})

    in_parts(b, count, PRODUCT_ROWS, part)


@intrinsic
def contract(_typing, height, width, workspace, a, a_step, z, z_step, steps, gradient, begin, row):
    """Sum weight gradients over samples and time.

    gradient[begin + k * row + g] += sum over t < steps and lanes of
    workspace[a + t * a_step + k] * workspace[z + t * z_step + g], for k < height and g < width.
    """
    kinds = [INDEX, INDEX, workspace, *[INDEX] * 5, gradient, INDEX, INDEX]
    return _intrinsic("contract", kinds, _contract)


def _contract(
    b: Any, height: Any, width: Any, space: Any, a: Any, a_step: Any, z: Any, z_step: Any, steps: Any,
    gradient: Any, begin: Any, row: Any,
) -> None:  # fmt: skip
    def tile(k0: Any, rows: Any, g0: Any, columns: Any) -> None:
        corner = b.gep(gradient, [b.add(begin, b.add(b.mul(k0, row), g0))])

        def of_size(n_rows: int, n_columns: int) -> Callable[[], None]:
            def step(t: Any, sums: list[Any]) -> list[Any]:
                right = load(b, space, b.add(b.add(z, g0), b.mul(t, z_step)), n_columns).vectors
                left = load(b, space, b.add(b.add(a, k0), b.mul(t, a_step)), n_rows).vectors
                return [
                    multiply_add(b, left[k], right[g], sums[k * n_columns + g])
                    for k in range(n_rows)
                    for g in range(n_columns)
                ]

            def write() -> None:
                sums = loop(b, steps, [ZERO] * (n_rows * n_columns), step)
                _add_lanes(b, corner, row, sums, n_columns)

            return write

        sizes = [(k, g) for k in range(1, TILE_ROWS + 1) for g in range(1, TILE_COLUMNS + 1)]
        cases(b, b.add(b.mul(rows, whole(8)), columns), {8 * k + g: of_size(k, g) for k, g in sizes})

    def across(k0: Any, rows: Any) -> None:
        in_parts(b, width, TILE_COLUMNS, lambda g0, columns: tile(k0, rows, g0, columns))

    in_parts(b, height, TILE_ROWS, across)


def _add_lanes(b: Any, corner: Any, row: Any, sums: list[Any], n_columns: int) -> None:
    """Sum the lanes of each vector, and add the totals to the rows of a tile of the gradient."""
    n_rows, together = len(sums) // n_columns, LANES // n_columns
    for k0 in range(0, n_rows, together):
        some = range(k0, min(k0 + together, n_rows))
        totals = _lane_totals(b, sums[some.start * n_columns : some.stop * n_columns])
        for k in some:
            numbers = many([(k - k0) * n_columns + g for g in range(n_columns)])
            part = b.shuffle_vector(totals, totals, numbers)
            place = b.bitcast(b.gep(corner, [b.mul(whole(k), row)]), part.type.as_pointer())
            b.store(b.fadd(b.load(place, align=4), part, flags=FREE), place, align=4)


def _lane_totals(b: Any, vectors: list[Any]) -> Any:
    """One vector with the lane totals of up to LANES vectors, in their order: halves change places and are added.

    After the stage that leaves groups of n lanes, each group holds partial sums of one vector; two vectors become one
    at every stage, so vectors enter in bit-reversed order to leave in their own.
    """
    bits = max(len(vectors) - 1, 0).bit_length()
    vectors = vectors + [ZERO] * (2**bits - len(vectors))
    if bits:
        vectors = [vectors[int(format(i, f"0{bits}b")[::-1], 2)] for i in range(2**bits)]
    group = LANES
    while len(vectors) > 1:
        half = group // 2
        low = [start + begin + i for begin in range(0, LANES, group) for start in (0, LANES) for i in range(half)]
        vectors = [
            b.fadd(
                b.shuffle_vector(p, q, many(low)),
                b.shuffle_vector(p, q, many([i + half for i in low])),
                flags=FREE,
            )
            for p, q in zip(vectors[0::2], vectors[1::2], strict=True)
        ]
        group = half
    totals = vectors[0]
    while group > 1:
        half = group // 2
        low = [begin + i for begin in range(0, totals.type.count, group) for i in range(half)]
        totals = b.fadd(
            b.shuffle_vector(totals, totals, many(low)),
            b.shuffle_vector(totals, totals, many([i + half for i in low])),
            flags=FREE,
        )
        group = half
    return totals


# -- cells -------------------------------------------------------------------------------------------------------------
# Rows of one step: gates side by side, `units` rows each. The forward pass leaves the gates' values where their
# arguments were, the backward pass leaves their gradients there.


def _by_units(b: Any, units: Any, body: Callable[[Any, int], None]) -> None:
    """Run `body(unit, count)` for all units, UNITS_AT_ONCE at a time, then the remaining ones singly."""
    several, rest = b.udiv(units, whole(UNITS_AT_ONCE)), b.urem(units, whole(UNITS_AT_ONCE))

    def together(k: Any, _: list[Any]) -> list[Any]:
        body(b.mul(k, whole(UNITS_AT_ONCE)), UNITS_AT_ONCE)
        return []

    def alone(k: Any, _: list[Any]) -> list[Any]:
        body(b.add(b.mul(several, whole(UNITS_AT_ONCE)), k), 1)
        return []

    for count, write in ((several, together), (rest, alone)):
        with b.if_then(b.icmp_signed(">", count, whole(0))):
            loop(b, count, [], write)


@intrinsic
def lstm_step(_typing, workspace, units, z, c_before, c, h, above, mask):
    """From the arguments of the gates i, f, g, o at z: the cell at c, the output at h, and times its mask at above."""
    return _intrinsic("lstm_step", [workspace, *[INDEX] * 7], _lstm_step)


def _lstm_step(b: Any, space: Any, units: Any, z: Any, c_before: Any, c: Any, h: Any, above: Any, mask: Any) -> None:
    def body(u: Any, n: int) -> None:
        gates = [b.add(b.add(z, u), b.mul(whole(i), units)) for i in range(4)]
        i, f, g, o = (load(b, space, gate, n) for gate in gates)
        i, f, g, o = sigmoid(i), sigmoid(f), tanh(g), sigmoid(o)
        cell = f * load(b, space, b.add(c_before, u), n) + i * g
        output = o * tanh(cell)
        for gate, value in zip(gates, (i, f, g, o), strict=True):
            store(b, space, gate, value)
        store(b, space, b.add(c, u), cell)
        store(b, space, b.add(h, u), output)
        store(b, space, b.add(above, u), output * load(b, space, b.add(mask, u), n))

    _by_units(b, units, body)


@intrinsic
def lstm_back(_typing, workspace, units, z, c_before, h, dh, dc, above, mask):
    """Gradients of the gates' arguments at z; dc is carried on; the output's gradient is dh + mask * above."""
    return _intrinsic("lstm_back", [workspace, *[INDEX] * 8], _lstm_back)


def _lstm_back(
    b: Any, space: Any, units: Any, z: Any, c_before: Any, h: Any, dh: Any, dc: Any, above: Any, mask: Any
) -> None:
    def body(u: Any, n: int) -> None:
        gates = [b.add(b.add(z, u), b.mul(whole(i), units)) for i in range(4)]
        i, f, g, o = (load(b, space, gate, n) for gate in gates)
        before, output, dh_, dc_, above_, mask_ = (
            load(b, space, b.add(row, u), n) for row in (c_before, h, dh, dc, above, mask)
        )
        cell = output * reciprocal(o)  # its tanh
        d = dh_ + mask_ * above_
        e = dc_ + d * o * (1.0 - cell * cell)
        di, df, dg = e * g * (i * (1.0 - i)), e * before * (f * (1.0 - f)), e * i * (1.0 - g * g)
        for gate, value in zip(gates, (di, df, dg, d * output * (1.0 - o)), strict=True):
            store(b, space, gate, value)
        store(b, space, b.add(dc, u), e * f)

    _by_units(b, units, body)


@intrinsic
def gru_step(_typing, workspace, units, z, h_before, h, above, mask):
    """From arguments at z the output at h, and times its mask at above.

    The arguments: the inputs' part of the candidate, update gate, reset gate, the state's part of the candidate.
    """
    return _intrinsic("gru_step", [workspace, *[INDEX] * 6], _gru_step)


def _gru_step(b: Any, space: Any, units: Any, z: Any, h_before: Any, h: Any, above: Any, mask: Any) -> None:
    def body(u: Any, n: int) -> None:
        parts = [b.add(b.add(z, u), b.mul(whole(i), units)) for i in range(4)]
        inputs, update, reset, state = (load(b, space, part, n) for part in parts)
        update, reset = sigmoid(update), sigmoid(reset)
        candidate = tanh(inputs + reset * state)
        output = candidate + update * (load(b, space, b.add(h_before, u), n) - candidate)
        for part, value in zip(parts, (candidate, update, reset), strict=False):
            store(b, space, part, value)
        store(b, space, b.add(h, u), output)
        store(b, space, b.add(above, u), output * load(b, space, b.add(mask, u), n))

    _by_units(b, units, body)


@intrinsic
def gru_back(_typing, workspace, units, z, h_before, dh, direct, above, mask):
    """Gradients of the arguments at z; direct is carried on; the output's gradient is dh + direct + mask * above."""
    return _intrinsic("gru_back", [workspace, *[INDEX] * 7], _gru_back)


def _gru_back(
    b: Any, space: Any, units: Any, z: Any, h_before: Any, dh: Any, direct: Any, above: Any, mask: Any
) -> None:
    def body(u: Any, n: int) -> None:
        parts = [b.add(b.add(z, u), b.mul(whole(i), units)) for i in range(4)]
        candidate, update, reset, state = (load(b, space, part, n) for part in parts)
        before, dh_, direct_, above_, mask_ = (
            load(b, space, b.add(row, u), n) for row in (h_before, dh, direct, above, mask)
        )
        d = dh_ + direct_ + mask_ * above_
        d_candidate = d * (1.0 - update) * (1.0 - candidate * candidate)
        d_update = d * (before - candidate) * (update * (1.0 - update))
        d_reset = d_candidate * state * (reset * (1.0 - reset))
        for part, value in zip(parts, (d_candidate, d_update, d_reset, d_candidate * reset), strict=True):
            store(b, space, part, value)
        store(b, space, b.add(direct, u), d * update)

    _by_units(b, units, body)


@intrinsic
def simple_step(_typing, workspace, units, z, h, above, mask):
    """From arguments at z the output at h and at z, and times its mask at above."""
    return _intrinsic("simple_step", [workspace, *[INDEX] * 5], _simple_step)


def _simple_step(b: Any, space: Any, units: Any, z: Any, h: Any, above: Any, mask: Any) -> None:
    def body(u: Any, n: int) -> None:
        output = tanh(load(b, space, b.add(z, u), n))
        for row in (z, h):
            store(b, space, b.add(row, u), output)
        store(b, space, b.add(above, u), output * load(b, space, b.add(mask, u), n))

    _by_units(b, units, body)


@intrinsic
def simple_back(_typing, workspace, units, z, dh, above, mask):
    """Gradients of the arguments at z, where the outputs are; the output's gradient is dh + mask * above."""
    return _intrinsic("simple_back", [workspace, *[INDEX] * 5], _simple_back)


def _simple_back(b: Any, space: Any, units: Any, z: Any, dh: Any, above: Any, mask: Any) -> None:
    def body(u: Any, n: int) -> None:
        output, dh_, above_, mask_ = (load(b, space, b.add(row, u), n) for row in (z, dh, above, mask))
        store(b, space, b.add(z, u), (dh_ + mask_ * above_) * (1.0 - output * output))

    _by_units(b, units, body)


@intrinsic
def fetch(_typing, array, begin, count):
    """Prefetch `count` numbers of a contiguous array from `begin` on, without waiting for them."""

    def write(b: Any, numbers: Any, begin: Any, count: Any) -> None:
        def step(line: Any, _: list[Any]) -> list[Any]:
            prefetch(b, b.gep(numbers, [b.add(begin, b.mul(line, whole(LINE)))]))
            return []

        loop(b, b.add(b.udiv(b.add(count, whole(LINE - 2)), whole(LINE)), whole(1)), [], step)

    return _intrinsic("fetch", [array, INDEX, INDEX], write)


# -- masks -------------------------------------------------------------------------------------------------------------


@intrinsic
def multiply(_typing, workspace, count, rows, factor):
    """Multiply `count` rows by the one row `factor`."""
    return _intrinsic("multiply", [workspace, *[INDEX] * 3], _multiply)


def _multiply(b: Any, space: Any, count: Any, rows: Any, factor: Any) -> None:
    by = load(b, space, factor)

    def step(k: Any, _: list[Any]) -> list[Any]:
        row = b.add(rows, k)
        store(b, space, row, load(b, space, row) * by)
        return []

    loop(b, count, [], step)


@intrinsic
def keep(_typing, workspace, count, rows, before, known):
    """Reset `count` rows to the rows from `before` on, in the lanes where the row `known` is 0."""
    return _intrinsic("keep", [workspace, *[INDEX] * 4], _keep)


def _keep(b: Any, space: Any, count: Any, rows: Any, before: Any, known: Any) -> None:
    is_known = b.fcmp_ordered("!=", load(b, space, known).vectors[0], ZERO)

    def step(k: Any, _: list[Any]) -> list[Any]:
        new, old = (load(b, space, b.add(row, k)).vectors[0] for row in (rows, before))
        store(b, space, b.add(rows, k), Wide(b, [b.select(is_known, new, old)]))
        return []

    loop(b, count, [], step)


@intrinsic
def draw_masks(_typing, workspace, rows, count, states, threshold, kept):
    """Fill `count` rows with 0 where a random 32-bit number lies below `threshold`, and `kept` elsewhere.

    `states` holds the state of a generator per lane (Marsaglia's xorshift32, never 0) and is not changed.
    """
    kinds = [workspace, INDEX, INDEX, states, types.uint32, types.float32]
    return _intrinsic("draw_masks", kinds, _draw_masks)


def _draw_masks(b: Any, space: Any, rows: Any, count: Any, states: Any, threshold: Any, kept: Any) -> None:
    thresholds, kept_ = spread(b, threshold), spread(b, kept)

    def step(k: Any, state: list[Any]) -> list[Any]:
        s = state[0]
        for shift, distance in ((b.shl, 13), (b.lshr, 17), (b.shl, 5)):
            s = b.xor(s, shift(s, many([distance] * LANES)))
        dropped = b.icmp_unsigned("<", s, thresholds)
        store(b, space, b.add(rows, k), Wide(b, [b.select(dropped, ZERO, kept_)]))
        return [s]

    first = b.load(b.bitcast(states, BITS.as_pointer()), align=4)
    loop(b, count, [first], step)
