"""Decisions on arrays: hand-computed cases, and promises that hold for any input."""

from __future__ import annotations

import math
import sys
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rnn_strategies as rs
from backtests.allocations import ALLOCATIONS, Allocation, describe, make_allocation
from signals.common.errors import InputError

NAN = float("nan")


def decide(allocation, scores, weights=None, tradable=None):
    n = len(scores)
    weights = np.zeros(n) if weights is None else np.array(weights, float)
    tradable = np.ones(n, bool) if tradable is None else np.array(tradable)
    return allocation.target_weights(np.array(scores, float), weights, tradable)


# -- each of them ----------------------------------------------------------------------------------------------------


def test_top_k_takes_the_best_in_equal_parts():
    assert decide(rs.TopK(2), [0.1, 0.5, NAN, 0.3]).tolist() == [0.0, 0.5, 0.0, 0.5]


def test_top_k_leaves_places_empty_rather_than_buying_an_expected_loss_or_no_opinion():
    assert decide(rs.TopK(3), [-0.1, 0.0, 0.2]).tolist() == [0.0, 0.0, 1 / 3]
    assert decide(rs.TopK(3), [0.5, 0.6], None).tolist() == [1 / 3, 1 / 3]
    assert decide(rs.TopK(1, min_score=0.5), [0.5, 0.4]).tolist() == [0.0, 0.0]
    assert decide(rs.TopK(2, min_score=-math.inf), [-0.1, -0.2, -0.3]).tolist() == [0.5, 0.5, 0.0]


def test_tied_names_share_the_places_they_compete_for():
    assert decide(rs.TopK(2), [0.5, 0.5, 0.5]).tolist() == pytest.approx([1 / 3] * 3)
    assert decide(rs.TopK(3), [0.1, 0.9, 0.1, 0.1, 0.0]).tolist() == pytest.approx([2 / 9, 1 / 3, 2 / 9, 2 / 9, 0.0])
    assert decide(rs.TopK(2), [0.5, 0.1, 0.5]).tolist() == [0.5, 0.0, 0.5]  # a tie that leaves nothing open
    assert decide(rs.TopK(2), [0.5, 0.0, 0.0]).tolist() == [0.5, 0.0, 0.0]  # at min_score nothing is bought
    assert decide(rs.LongShortQuantile(0.25), [0.1, 0.5, 0.5, 0.3]).tolist() == [-0.5, 0.25, 0.25, 0.0]
    assert decide(rs.LongShortQuantile(0.25), [0.5, 0.1, 0.1, 0.3]).tolist() == [0.5, -0.25, -0.25, 0.0]
    both = decide(rs.LongShortQuantile(0.4), [4.0, 3.0, 3.0, 1.0, 1.0])
    assert both.tolist() == pytest.approx([0.25, 0.125, 0.125, -0.25, -0.25])
    short = decide(rs.LongShortQuantile(0.4), [4.0, 3.0, 1.0, 1.0, 1.0])
    assert short.tolist() == pytest.approx([0.25, 0.25, -1 / 6, -1 / 6, -1 / 6])
    assert decide(rs.LongShortQuantile(0.5), [1.0, 1.0, 1.0, 1.0]).tolist() == [0.0] * 4


@settings(max_examples=200, deadline=None)
@given(
    scores=st.lists(st.sampled_from([-0.1, 0.0, 0.2, 0.3, 0.3000001]), min_size=1, max_size=12),
    k=st.integers(1, 6),
    quantile=st.sampled_from([0.1, 0.25, 0.5]),
    seed=st.integers(0, 100),
)
def test_the_order_of_the_names_decides_nothing(scores, k, quantile, seed):
    """Equal scores get equal weights, whatever the names are called and however they are sorted."""
    order = np.random.default_rng(seed).permutation(len(scores))
    for allocation in (rs.TopK(k), rs.TopK(k, min_score=-1.0), rs.LongShortQuantile(quantile)):
        weights = decide(allocation, scores)
        np.testing.assert_array_equal(decide(allocation, np.array(scores)[order]), weights[order])
        for score in set(scores):
            assert len(set(weights[np.array(scores) == score])) == 1
        assert np.abs(weights).sum() <= 1.0 + 1e-12
        unordered = allocation.ties(np.array(scores)) > 0
        if not unordered and isinstance(allocation, rs.TopK):
            assert np.count_nonzero(weights) <= k
            assert set(weights) <= {0.0, 1.0 / k}


def test_long_short_quantile():
    scores = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0]
    assert decide(rs.LongShortQuantile(0.2), scores).tolist() == [0.25, 0.25, 0, 0, 0, 0, 0, 0, -0.25, -0.25]
    assert decide(rs.LongShortQuantile(0.2, gross=2.0), scores).sum() == 0.0
    # 0.3 × 10 is 2.9999999999999996 in floats
    assert np.count_nonzero(decide(rs.LongShortQuantile(0.3), scores)) == 6
    # at least one on each side, as long as there are two names
    assert decide(rs.LongShortQuantile(0.1), [0.2, 0.1]).tolist() == [0.5, -0.5]
    assert decide(rs.LongShortQuantile(0.5), [0.2]).tolist() == [0.0]


def test_without_a_ranking_long_short_is_flat():
    assert not decide(rs.LongShortQuantile(0.3), [0.5] * 10).any()
    # the border runs through equal scores: they are on neither side
    assert decide(rs.LongShortQuantile(0.5), [0.9, 0.5, 0.5, 0.1]).tolist() == [0.5, 0.0, 0.0, -0.5]
    # nothing would be left on the short side
    assert not decide(rs.LongShortQuantile(0.5), [0.9, 0.5, 0.5, 0.5]).any()


def test_threshold():
    assert decide(rs.Threshold(0.6), [0.6, 0.61, 0.2, 0.9]).tolist() == [0.0, 0.5, 0.0, 0.5]
    assert decide(rs.Threshold(0.6, short=0.4), [0.7, 0.4, 0.3, NAN]).tolist() == [0.5, 0.0, -0.5, 0.0]
    assert not decide(rs.Threshold(0.6), [0.1, 0.2]).any()


def test_score_weighted():
    assert decide(rs.ScoreWeighted(), [3.0, 1.0, -2.0]).tolist() == [0.75, 0.25, 0.0]
    assert decide(rs.ScoreWeighted(0.5, long_only=False), [0.75, 0.5, 0.25]).tolist() == [0.5, 0.0, -0.5]
    assert np.isfinite(decide(rs.ScoreWeighted(), [1e308, 1e308, 1e308])).all()
    assert decide(rs.ScoreWeighted(), [5e-324, 5e-324]).tolist() == [0.5, 0.5]


def test_equal_weight_takes_every_score_whatever_it_is():
    assert decide(rs.EqualWeight(), [-1.0, 0.0, 5.0, NAN]).tolist() == [1 / 3, 1 / 3, 1 / 3, 0.0]


@pytest.mark.parametrize(
    "allocation",
    [rs.TopK(2), rs.LongShortQuantile(0.4), rs.Threshold(0.0, short=0.0), rs.ScoreWeighted(long_only=False)],
    ids=lambda a: type(a).__name__,
)
def test_zero_scores_and_no_scores_want_nothing(allocation):
    assert not decide(allocation, [0.0] * 5).any()
    assert not decide(allocation, [NAN] * 5).any()
    assert decide(allocation, []).tolist() == []


# -- what all of them share ------------------------------------------------------------------------------------------


def test_a_name_without_a_score_is_sold_or_held():
    assert decide(rs.TopK(1), [NAN, 0.5], [0.4, 0.0]).tolist() == [0.0, 1.0]
    held = decide(rs.TopK(1, on_missing_score="hold"), [NAN, 0.5], [0.4, 0.0])
    assert held.tolist() == [0.4, 0.6]
    assert decide(rs.TopK(1, on_missing_score="hold", max_weight=0.25), [NAN, 0.5], [0.4, 0.0]).tolist() == [0.25, 0.25]


def test_an_untradable_name_keeps_its_weight_and_the_others_get_what_it_leaves():
    target = decide(rs.TopK(2), [0.9, 0.8, 0.7], [0.3, 0.0, 0.0], [False, True, True])
    assert target[0] == 0.3
    assert target[1:].tolist() == [0.35, 0.35]
    # a short one locks gross exposure too
    assert decide(rs.TopK(1), [0.9, 0.8], [-0.3, 0.0], [False, True])[1] == 0.7
    # more locked than gross allows: nothing is bought, and what is locked is not touched
    assert decide(rs.TopK(1), [0.9, 0.8], [1.2, 0.0], [False, True]).tolist() == [1.2, 0.0]


def test_what_the_position_limit_cuts_off_stays_in_cash():
    assert decide(rs.TopK(2, max_weight=0.1), [0.2, 0.1]).tolist() == [0.1, 0.1]
    assert decide(rs.LongShortQuantile(0.5, max_weight=0.1), [0.2, 0.1]).tolist() == [0.1, -0.1]


def test_the_turnover_cap_goes_a_part_of_the_way():
    target = decide(rs.TopK(1, max_turnover=0.5), [0.1, 0.9], [1.0, 0.0])
    assert target.tolist() == [0.75, 0.25]
    assert decide(rs.TopK(1, max_turnover=2.0), [0.1, 0.9], [1.0, 0.0]).tolist() == [0.0, 1.0]


def test_later_names_change_no_bit():
    """Names that nobody knew yet stand in the array with NaN; pairwise summation would shift the last bit."""
    rng = np.random.default_rng(5)
    scores, weights = rng.normal(size=200), rng.normal(size=200) / 100
    for allocation in (
        rs.ScoreWeighted(long_only=False, max_turnover=0.3),
        rs.TopK(30, max_turnover=0.1, on_missing_score="hold"),
        rs.LongShortQuantile(0.1, max_weight=0.02),
    ):
        known = decide(allocation, scores, weights)
        place = np.sort(rng.choice(900, 200, replace=False))
        wide_scores, wide_weights = np.full(900, NAN), np.zeros(900)
        wide_scores[place], wide_weights[place] = scores, weights
        wide = decide(allocation, wide_scores, wide_weights)
        assert wide[place].tobytes() == known.tobytes()
        assert not np.delete(wide, place).any()


# -- properties ------------------------------------------------------------------------------------------------------

numbers = st.floats(-1.0, 1.0).map(lambda x: round(x, 3))
shared = st.fixed_dictionaries(
    {
        "gross": st.sampled_from([0.5, 1.0, 2.0]),
        "max_weight": st.sampled_from([None, 0.05, 0.3]),
        "max_turnover": st.sampled_from([None, 0.1, 1.0]),
        "on_missing_score": st.sampled_from(["zero", "hold"]),
    }
)
kinds = st.sampled_from(
    [
        lambda **s: rs.TopK(3, **s),
        lambda **s: rs.TopK(3, min_score=-math.inf, **s),
        lambda **s: rs.LongShortQuantile(0.25, **s),
        lambda **s: rs.Threshold(0.2, **s),
        lambda **s: rs.Threshold(0.2, short=-0.2, **s),
        lambda **s: rs.ScoreWeighted(**s),
        lambda **s: rs.ScoreWeighted(0.1, long_only=False, **s),
        lambda **s: rs.EqualWeight(**s),
    ]
)


@st.composite
def dates(draw):
    n = draw(st.integers(1, 12))
    scores = draw(st.lists(st.one_of(numbers, st.just(NAN)), min_size=n, max_size=n))
    weights = draw(st.lists(st.one_of(st.just(0.0), numbers), min_size=n, max_size=n))
    tradable = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    return np.array(scores), np.array(weights), np.array(tradable)


@settings(max_examples=400, deadline=None)
@given(kinds, shared, dates(), st.randoms())
def test_promises(kind, limits, date, random):
    allocation: Allocation = kind(**limits)
    scores, weights, tradable = date
    before = scores.tobytes(), weights.tobytes(), tradable.tobytes()
    target = allocation.target_weights(scores, weights, tradable)
    assert (scores.tobytes(), weights.tobytes(), tradable.tobytes()) == before  # nothing is changed in place
    assert target.shape == scores.shape
    assert np.isfinite(target).all()

    # what cannot be traded is untouched
    assert (target[~tradable] == weights[~tradable]).all()
    scored = tradable & ~np.isnan(scores)
    kept = ~scored if allocation.on_missing_score == "hold" else ~tradable
    if allocation.max_turnover is not None:
        assert np.abs(target - weights).sum() <= allocation.max_turnover + 1e-12
        assert np.abs(target).sum() <= max(allocation.gross + np.abs(weights[kept]).sum(), np.abs(weights).sum()) + 1e-9
    else:
        assert np.abs(target).sum() <= max(allocation.gross, np.abs(target[kept]).sum()) + 1e-12
        if allocation.max_weight is not None:
            assert (np.abs(target[tradable]) <= allocation.max_weight).all()
        if allocation.on_missing_score == "zero":
            assert not target[tradable & np.isnan(scores)].any()
        if not allocation.can_be_short:
            assert (target[scored] >= 0.0).all()

    # the order of the tickers does not matter, as long as no ranking is decided by it
    if len(set(scores[scored])) == scored.sum():
        order = list(range(len(scores)))
        random.shuffle(order)
        again = allocation.target_weights(scores[order], weights[order], tradable[order])
        assert again.tobytes() == target[order].tobytes()


# -- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: rs.TopK(0), "k"),
        (lambda: rs.TopK(2.5), "k"),
        (lambda: rs.TopK(True), "k"),
        (lambda: rs.TopK(5, min_score=NAN), "min_score"),
        (lambda: rs.TopK(5, gross=0.0), "gross"),
        (lambda: rs.TopK(5, gross=-1.0), "gross"),
        (lambda: rs.TopK(5, max_weight=0.0), "max_weight"),
        (lambda: rs.TopK(5, max_turnover=-0.1), "max_turnover"),
        (lambda: rs.TopK(5, on_missing_score="keep"), "on_missing_score"),
        (lambda: rs.LongShortQuantile(0.6), "quantile"),
        (lambda: rs.LongShortQuantile(0.0), "quantile"),
        (lambda: rs.Threshold(NAN), "long"),
        (lambda: rs.Threshold(0.1, short=0.2), "short"),
        (lambda: rs.ScoreWeighted("a"), "center"),
        (lambda: rs.ScoreWeighted(long_only=1), "long_only"),
    ],
)
def test_bad_settings(make, named):
    with pytest.raises(InputError, match=rf"expected.*{named}.*found"):
        make()


def test_made_by_name():
    assert make_allocation("TopK", k=5, max_weight=0.1) == rs.TopK(5, max_weight=0.1)
    assert set(ALLOCATIONS) == {"EqualWeight", "LongShortQuantile", "ScoreWeighted", "Threshold", "TopK"}
    assert describe(rs.TopK(5))["k"] == 5


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("topk", {"k": 5}, r"did you mean 'TopK'"),
        ("Momentum", {}, r"expected an allocation among .*TopK.*found 'Momentum'"),
        ("TopK", {"kk": 5}, r"found 'kk'; did you mean 'k'"),
        ("TopK", {"k": 5, "max_weigth": 0.1}, r"did you mean 'max_weight'"),
        ("TopK", {}, r"expected a setting k for TopK"),
        ("nowhere:Thing", {}, r"expected a module 'nowhere'"),
        ("math:pi", {}, r"target_weights"),
    ],
)
def test_bad_names(name, params, message):
    with pytest.raises(InputError, match=message):
        make_allocation(name, **params)


def test_one_of_ones_own(monkeypatch):
    class Halves(Allocation):
        def choose(self, scores):
            return np.full(len(scores), 0.5 / len(scores))

    module = ModuleType("my_rules")
    module.Halves = Halves
    monkeypatch.setitem(sys.modules, "my_rules", module)
    made = make_allocation("my_rules:Halves", gross=1.0)
    assert decide(made, [0.1, 0.2]).tolist() == [0.25, 0.25]
    assert not made.can_be_short

    class Anything:
        can_be_short = False

        def __init__(self, share):
            self.share = share

        def target_weights(self, scores, weights, tradable):
            return np.where(tradable, self.share, weights)

    module.Anything = Anything
    assert decide(make_allocation("my_rules:Anything", share=0.1), [1.0], [0.0]).tolist() == [0.1]
    assert describe(make_allocation("my_rules:Anything", share=0.1)) == {}
    with pytest.raises(InputError, match="expected settings that my_rules:Anything takes; found"):
        make_allocation("my_rules:Anything", part=0.1)


def test_frozen():
    with pytest.raises(AttributeError):
        rs.TopK(5).k = 6
