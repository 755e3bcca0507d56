"""Combinatorially symmetric cross-validation against a loop over every split, and on planted families."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from reports.significance.overfitting import probability_of_backtest_overfitting
from signals.common.errors import InputError


def by_enumeration(returns: np.ndarray, blocks: int) -> tuple[float, float, list[float]]:
    """The published algorithm word for word."""
    length = len(returns) // blocks
    parts = np.split(returns[len(returns) - blocks * length :], blocks)
    logits, losses = [], 0
    for half in combinations(range(blocks), blocks // 2):
        inside = np.concatenate([parts[k] for k in half])
        outside = np.concatenate([parts[k] for k in range(blocks) if k not in half])
        chosen = int(np.argmax(inside.mean(axis=0) / inside.std(axis=0, ddof=1)))
        sharpe = outside.mean(axis=0) / outside.std(axis=0, ddof=1)
        weight = rankdata(sharpe)[chosen] / (returns.shape[1] + 1)
        logits.append(math.log(weight / (1 - weight)))
        losses += sharpe[chosen] < 0
    return float(np.mean(np.array(logits) <= 1e-12)), losses / len(logits), logits


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 6), st.sampled_from([2, 4, 6, 8]), st.integers(0, 7), st.integers(0, 10_000))
def test_every_split_as_by_enumeration(trials, blocks, more, seed):
    returns = np.random.default_rng(seed).normal(0.0002, 0.01, (blocks * 5 + more, trials))
    found = probability_of_backtest_overfitting(returns, blocks=blocks)
    share, loss, logits = by_enumeration(returns, blocks)
    assert found.probability == pytest.approx(share)
    assert found.loss == pytest.approx(loss)
    np.testing.assert_allclose(found.logits, logits, atol=1e-12)
    assert (found.trials, found.blocks) == (trials, blocks)
    assert found.sessions == len(returns) // blocks * blocks


@pytest.mark.parametrize("trials", [2, 10, 20])
def test_about_one_half_on_noise(trials):
    rng = np.random.default_rng(trials)
    shares = [probability_of_backtest_overfitting(rng.normal(0, 0.01, (400, trials)), blocks=8) for _ in range(60)]
    assert np.mean([found.probability for found in shares]) == pytest.approx(0.5, abs=0.08)


def test_about_zero_with_one_dominant_trial_and_about_one_when_luck_turns():
    rng = np.random.default_rng(5)
    noise = rng.normal(0, 0.01, (1600, 10))
    better = noise.copy()
    better[:, 4] += 0.002
    found = probability_of_backtest_overfitting(better)
    assert found.probability < 0.02
    assert found.loss < 0.02
    assert len(found.logits) == 12_870
    # trials that sum to nothing: what one half gives to a trial the other takes away
    turned = noise - noise.mean(axis=0)
    assert probability_of_backtest_overfitting(turned).probability > 0.9


def test_trials_at_rest_and_equal_trials():
    returns = np.random.default_rng(6).normal(0, 0.01, (160, 3))
    returns[:80, 0] = 0.0  # began to trade late
    returns[:, 2] = returns[:, 1]
    found = probability_of_backtest_overfitting(returns, blocks=8)
    assert np.isfinite(found.logits).all()
    assert 0 <= found.probability <= 1
    same = probability_of_backtest_overfitting(returns[:, [1, 2]], blocks=8)
    assert same.probability == 1.0  # choosing between equals never lands above their median
    assert (same.logits == 0).all()


@pytest.mark.parametrize(
    ("shape", "blocks", "words"),
    [
        ((100, 1), 8, "at least two trials; found an array of shape (100, 1)"),
        ((100,), 8, "at least two trials"),
        ((100, 3), 7, "found 7 blocks for 100 sessions; use fewer blocks"),
        ((10, 3), 8, "found 8 blocks for 10 sessions"),
        ((10, 3), 0, "found 0 blocks"),
    ],
)
def test_what_cannot_be_split_is_one_line(shape, blocks, words):
    with pytest.raises(InputError) as error:
        probability_of_backtest_overfitting(np.ones(shape), blocks=blocks)
    assert words in str(error.value)
    assert "\n" not in str(error.value)
