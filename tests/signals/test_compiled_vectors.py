"""Each explicit-SIMD function does what its plain twin does, at every size its code has a case of its own for."""

from __future__ import annotations

import numba
import numpy as np
import plain_vectors
import pytest

vectors = pytest.importorskip("signals.trainers.compiled.vectors")
LANES = vectors.LANES


def _callable(name):
    """The intrinsic as a function of Python's: intrinsics can only be called from compiled code."""
    count = plain_vectors.__dict__[name].__code__.co_argcount
    arguments = ", ".join(plain_vectors.__dict__[name].__code__.co_varnames[:count])
    space = {"intrinsic": getattr(vectors, name)}
    exec(f"def call({arguments}):\n    intrinsic({arguments})", space)
    return numba.njit(space["call"])


CALLS = {name: _callable(name) for name in plain_vectors.__all__}


def workspace(rows, seed=0, scale=1.0):
    return (scale * np.random.default_rng(seed).normal(size=(rows, LANES))).astype(np.float32)


def check(name, space, *arguments, at=0, tolerance=2e-6):
    """Call both on copies of a workspace, the plain one at double precision; nothing else may be written."""
    mine, twin = space.copy(), space.astype(np.float64)
    begin, end = arguments[:at], arguments[at:]
    CALLS[name](*begin, mine, *end)
    getattr(plain_vectors, name)(*begin, twin, *end)
    written = np.repeat((twin != space).any(axis=1)[:, None], LANES, axis=1)
    np.testing.assert_array_equal(mine[~written], space[~written], err_msg=name)
    np.testing.assert_allclose(mine, twin, rtol=tolerance, atol=tolerance)
    return mine


def test_every_intrinsic_has_a_reference_implementation():
    public = {name for name in vectors.__all__ if callable(getattr(vectors, name))}
    assert public == set(plain_vectors.__all__)


@pytest.mark.parametrize("depth", [1, 2, 37])
def test_product(depth):
    weights = np.random.default_rng(1).normal(size=4000).astype(np.float32)
    for count in range(1, 84):
        space = workspace(depth + count + 7, seed=count)
        check("product", space, count, weights, 5, count + depth % 3, 3, depth, depth + 5, at=4, tolerance=1e-5)


@pytest.mark.parametrize("steps", [1, 5])
def test_contract(steps):
    for height in range(1, 15):
        for width in range(1, 11):
            a_step, z_step = height + 1, width + 2
            space = workspace(steps * (a_step + z_step) + 4, seed=10 * height + width)
            gradient = np.random.default_rng(2).normal(size=(height + 2) * (width + 3)).astype(np.float32)
            twin, before = gradient.astype(np.float64), space.copy()
            given = (2, a_step, steps * a_step + 2, z_step, steps)
            CALLS["contract"](height, width, space, *given, gradient, 4, width + 3)
            plain_vectors.contract(height, width, space.astype(np.float64), *given, twin, 4, width + 3)
            np.testing.assert_allclose(gradient, twin, rtol=1e-5, atol=1e-5)
            untouched = np.ones(len(gradient), bool)
            untouched[4 + np.arange(height)[:, None] * (width + 3) + np.arange(width)] = False
            np.testing.assert_array_equal(gradient[untouched], twin[untouched].astype(np.float32))
            np.testing.assert_array_equal(space, before)


def test_contract_with_zero_step_reuses_one_row():
    space, gradient = workspace(8), np.zeros(6, np.float32)
    twin = np.zeros(6)
    CALLS["contract"](2, 3, space, 0, 0, 4, 0, 3, gradient, 0, 3)
    plain_vectors.contract(2, 3, space.astype(np.float64), 0, 0, 4, 0, 3, twin, 0, 3)
    np.testing.assert_allclose(gradient, twin, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scale", [0.5, 3.0, 30.0])
def test_lstm(scale):
    for units in range(1, 13):
        space = workspace(10 * units, seed=units, scale=scale)
        space[8 * units : 9 * units] = (space[8 * units : 9 * units] > 0) * 1.25  # a mask
        z, before, c, h, above, mask = 0, 4 * units, 5 * units, 6 * units, 7 * units, 8 * units
        space[before:c] /= scale
        after = check("lstm_step", space, units, z, before, c, h, above, mask, at=0)
        if scale < 10:  # saturated gates leave digits of 1 - tanh^2 to chance
            for row, seed in ((c, 1), (above, 2), (9 * units, 3)):
                after[row : row + units] = workspace(units, seed=seed)
            check("lstm_back", after, units, z, before, h, 9 * units, c, above, mask, at=0, tolerance=1e-5)


@pytest.mark.parametrize("scale", [0.5, 3.0, 30.0])
def test_gru(scale):
    for units in range(1, 13):
        space = workspace(10 * units, seed=units, scale=scale)
        space[8 * units : 9 * units] = (space[8 * units : 9 * units] > 0) * 1.25
        z, before, h, above, direct, mask, dh = (k * units for k in (0, 4, 5, 6, 7, 8, 9))
        space[before:h] = np.tanh(space[before:h])
        after = check("gru_step", space, units, z, before, h, above, mask, at=0)
        if scale < 10:
            for row, seed in ((direct, 1), (above, 2), (dh, 3)):
                after[row : row + units] = workspace(units, seed=seed)
            check("gru_back", after, units, z, before, dh, direct, above, mask, at=0, tolerance=1e-5)


@pytest.mark.parametrize("scale", [0.5, 3.0, 30.0])
def test_simple(scale):
    for units in range(1, 13):
        space = workspace(5 * units, seed=units, scale=scale)
        z, h, above, mask, dh = (k * units for k in range(5))
        space[mask:dh] = (space[mask:dh] > 0) * 1.25
        after = check("simple_step", space, units, z, h, above, mask, at=0)
        if scale < 10:
            for row, seed in ((above, 2), (dh, 3)):
                after[row : row + units] = workspace(units, seed=seed)
            check("simple_back", after, units, z, dh, above, mask, at=0, tolerance=1e-5)


def test_activations_are_accurate_over_the_whole_range():
    """At any argument, also far out, the cell is as exact as its twin; what is not a number stays none."""
    arguments = np.concatenate([-np.geomspace(1e-8, 300, 400)[::-1], [0.0, -0.0], np.geomspace(1e-8, 300, 400)])
    arguments = np.random.default_rng(0).permutation(arguments)
    arguments = np.resize(arguments, (-(-len(arguments) // LANES), LANES)).astype(np.float32)
    units = len(arguments)
    space = np.zeros((9 * units, LANES), np.float32)
    space[: 4 * units] = np.tile(arguments, (4, 1))
    space[4 * units : 5 * units] = 1.0
    check("lstm_step", space, units, 0, 4 * units, 5 * units, 6 * units, 7 * units, 8 * units, tolerance=1e-6)

    for wild in (np.nan, np.inf, -np.inf):
        one = workspace(9)
        one[:4, 1] = wild
        made = check("lstm_step", one, 1, 0, 4, 5, 6, 7, 8, tolerance=1e-6)
        assert np.isfinite(np.delete(made, 1, axis=1)).all()  # whatever one sample is, the others do not see it


def test_lanes_are_independent():
    """A sample's bits are the same in every lane and beside any others."""
    units = 7
    z, before, c, h, above, mask = (k * units for k in (0, 4, 5, 6, 7, 8))
    rng, one = np.random.default_rng(0), workspace(9 * units, seed=4)[:, :1]
    weights = rng.normal(size=5000).astype(np.float32)
    seen = []
    for lane in range(LANES):
        space = workspace(9 * units, seed=100 + lane)
        space[:, lane] = one[:, 0]
        CALLS["product"](4 * units, weights, 0, 4 * units, space, before, 2 * units, z)
        CALLS["lstm_step"](space, units, z, before, c, h, above, mask)
        CALLS["lstm_back"](space, units, z, before, h, h, c, above, mask)
        seen.append(space[:, lane].tobytes())
    assert len(set(seen)) == 1


def test_multiply():
    for count in (1, 2, 9):
        check("multiply", workspace(count + 4), count, 2, 0, tolerance=1e-7)


def test_keep():
    for count in (1, 2, 9):
        space = workspace(2 * count + 3)
        space[0] = space[0] > 0
        check("keep", space, count, 1, count + 2, 0, tolerance=0)
        space[1 : count + 1, 5] = np.inf  # whatever is put back, or left, is it to the bit
        space[count + 2 :, 6] = np.nan
        check("keep", space, count, 1, count + 2, 0, tolerance=0)


def test_fetch_changes_nothing():
    """Also behind the end of what there is, where asking is allowed and reading is not."""
    numbers = np.arange(100, dtype=np.float32)
    for begin, count in ((0, 1), (3, 52), (99, 1), (90, 4000), (2**40, 64)):
        CALLS["fetch"](numbers, begin, count)
    np.testing.assert_array_equal(numbers, np.arange(100))


def test_masks_follow_the_documented_generator():
    states = np.random.default_rng(0).integers(1, 2**32, LANES, dtype=np.uint32)
    before = states.copy()
    share = 0.2
    given = (states, np.uint32(share * 2**32), np.float32(1 / (1 - share)))
    made = check("draw_masks", workspace(2000), 3, 1990, *given, tolerance=0)
    np.testing.assert_array_equal(states, before)
    dropped = (made[3:1993] == 0).mean()
    assert abs(dropped - share) < 4 * np.sqrt(share * (1 - share) / (1990 * LANES))
