"""From target weights to share changes, and the order in which they are given."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtests.sizing import share_changes, submission_order


def changes(target, weights, shares, closes, tradable=None, **options):
    tradable = [True] * len(target) if tradable is None else tradable
    arrays = (np.array(x, float) for x in (target, weights, shares, closes))
    return share_changes(*arrays, np.array(tradable), **{"value": 1000.0, **options})


def test_whole_shares_are_truncated_towards_zero():
    got, wanted, too_small = changes([0.5, -0.5, 0.02], [0, 0, 0], [0, 0, 0], [30, 30, 30])
    assert got.tolist() == [16.0, -16.0, 0.0]
    assert (wanted, too_small) == (3, 1)


def test_parts_of_shares():
    got, _, too_small = changes([0.5, 0.02], [0, 0], [0, 0], [30, 30], fractional=True)
    assert got.tolist() == [500 / 30, 20 / 30]
    assert too_small == 0


def test_an_exact_number_of_shares_does_not_lose_one_to_rounding():
    assert changes([0.29], [0.0], [0.0], [0.1], value=100.0)[0].tolist() == [290.0]  # 0.29 × 100 is 28.999999999999996


def test_closing_sells_exactly_what_is_held():
    assert changes([0.0], [0.3], [0.1 + 0.2], [100.0])[0].tolist() == [-(0.1 + 0.2)]


def test_equal_weights_and_untradable_names_are_left_alone():
    got, wanted, _ = changes([0.3, 0.2], [0.3, 0.1], [9.7, 5.0], [30.0, np.nan], [True, False])
    assert got.tolist() == [0.0, 0.0]
    assert wanted == 0


def test_small_changes_wait_unless_they_close():
    got, _, _ = changes([0.5, 0.0, 0.1], [0.49, 0.01, 0.0], [49, 1, 0], [10, 10, 10], min_trade_value=50.0)
    assert got.tolist() == [0.0, -1.0, 10.0]


def test_reductions_before_additions():
    shares = np.array([0.0, 10.0, -5.0, 10.0, -10.0, 0.0, 5.0])
    change = np.array([3.0, -4.0, 5.0, -20.0, 30.0, -2.0, 5.0])
    # sell of a long; cover of a short; sales that open (reversal, new short); purchases that open (new, reversal, more)
    assert submission_order(shares, change).tolist() == [1, 2, 3, 5, 0, 4, 6]
    assert submission_order(shares, np.zeros(7)).tolist() == []


weights = st.lists(st.floats(-1, 1, allow_nan=False), min_size=5, max_size=5)


@settings(max_examples=200, deadline=None)
@given(weights, st.lists(st.integers(-50, 50), min_size=5, max_size=5), st.booleans())
def test_sizes_come_as_close_to_the_target_as_whole_shares_allow(target, shares, fractional):
    closes = np.array([7.0, 13.0, 1.5, 250.0, 40.0])
    held = np.array(shares, float)
    got, _, _ = changes(target, held * closes / 1000, held, closes, fractional=fractional)
    position = (held + got) * closes / 1000
    gap = np.abs(np.array(target) - position)
    assert (gap <= (1e-12 if fractional else closes / 1000 + 1e-9)).all()
    assert (np.abs(position) <= np.maximum(np.abs(target), np.abs(held * closes / 1000)) + 1e-9).all()
    order = submission_order(held, got)
    assert sorted(order) == np.flatnonzero(got).tolist()
    smaller = [abs(held[j] + got[j]) < abs(held[j]) and (held[j] + got[j]) * held[j] >= 0 for j in order]
    assert smaller == sorted(smaller, reverse=True)


def test_a_value_that_later_names_do_not_change():
    rng = np.random.default_rng(0)
    target, closes = rng.normal(size=50), rng.uniform(1, 300, 50)
    alone = changes(target, np.zeros(50), np.zeros(50), closes, value=123456.7)[0]
    wide = changes(np.r_[target, np.zeros(37)], np.zeros(87), np.zeros(87), np.r_[closes, np.ones(37)], value=123456.7)[
        0
    ]
    assert wide[:50].tobytes() == alone.tobytes()
    assert alone.any()


@pytest.mark.parametrize("close", [np.nan, 5.0])
def test_nothing_is_bought_of_a_name_without_a_bar(close):
    assert changes([0.5], [0.0], [0.0], [close], [False])[0].tolist() == [0.0]
