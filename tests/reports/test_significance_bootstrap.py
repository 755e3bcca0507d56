"""Resampled histories: block lengths against another implementation, coverage, and the reality check's error rates."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.significance.bootstrap import (
    block_length,
    percentile_interval,
    reality_check,
    resampled_figures,
    stationary_indices,
)

# `optimal_block_length(x)["stationary"]` of the library arch 8.0.0 on the series of `autoregressive` below.
ARCH = [
    *((0.0, 40, 3.021102072055683), (0.0, 1000, 0.8107296887873405), (0.2, 250, 3.0454626291969644)),
    *((0.2, 3000, 7.7199426080708236), (0.5, 250, 6.538276201389019), (0.5, 1000, 11.86604124578066)),
    *((0.8, 250, 16.45729584187056), (0.8, 3000, 42.16757053025552), (0.95, 1000, 53.30889465193084)),
    *((-0.4, 40, 7.269958511238997), (-0.4, 1000, 15.80238089997173)),
]


def autoregressive(phi: float, n: int) -> np.ndarray:
    noise = np.random.default_rng(int(100 * abs(phi)) + n).standard_normal(n + 200)
    series = np.zeros(n + 200)
    for t in range(1, n + 200):
        series[t] = phi * series[t - 1] + noise[t]
    return series[200:]


@pytest.mark.parametrize(("phi", "n", "expected"), ARCH)
def test_block_lengths_are_those_of_another_implementation(phi, n, expected):
    assert block_length(autoregressive(phi, n)) == pytest.approx(max(expected, 1.0), rel=1e-9)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=60))
def test_a_block_is_never_shorter_than_one_nor_longer_than_a_third(values):
    length = block_length(values)
    assert 1.0 <= length <= max(1.0, math.ceil(len(values) / 3))


@settings(max_examples=30)
@given(st.integers(1, 40), st.floats(1.0, 30.0), st.integers(1, 50))
def test_resampled_sessions_follow_each_other_but_where_a_block_begins(sessions, block, resamples):
    parts = list(stationary_indices(sessions, block=block, rng=np.random.default_rng(1), resamples=resamples))
    chosen = np.concatenate(parts)
    assert chosen.shape == (resamples, sessions)
    assert chosen.min() >= 0
    assert chosen.max() < sessions
    if block == 1.0 or sessions < 3:
        return
    follows = (np.diff(chosen, axis=1) - 1) % sessions == 0
    # a new block also continues the old one once in `sessions` times
    expected = 1 - 1 / block * (1 - 1 / sessions)
    spread = math.sqrt(expected * (1 - expected) / follows.size)
    assert abs(follows.mean() - expected) < 5 * spread + 1e-9


def test_parts_do_not_depend_on_how_many_are_held_at_once(monkeypatch):
    whole = resampled_figures(autoregressive(0.3, 100) / 100, resamples=50)
    monkeypatch.setattr("reports.significance.bootstrap._CHUNK", 5_000)
    assert len(list(stationary_indices(100, block=3, rng=np.random.default_rng(1), resamples=101))) == 3
    again = resampled_figures(autoregressive(0.3, 100) / 100, resamples=50)
    assert all(np.array_equal(a, b) for a, b in zip(whole[:2], again[:2], strict=True))


def test_figures_are_those_of_each_history_by_itself():
    returns = autoregressive(0.4, 120) / 100
    ratios, falls, block = resampled_figures(returns, risk_free=0.0001, resamples=40, seed=3)
    chosen = np.concatenate(list(stationary_indices(120, block=block, rng=np.random.default_rng(3), resamples=40)))
    for k in range(40):
        drawn = returns[chosen[k]]
        assert ratios[k] == pytest.approx((drawn.mean() - 0.0001) / drawn.std(ddof=1), rel=1e-10)
        wealth = np.concatenate([[1.0], np.cumprod(1 + drawn)])
        assert falls[k] == pytest.approx((wealth / np.maximum.accumulate(wealth) - 1).min(), abs=1e-12)
    centred = returns - returns.mean()
    assert block == max(block_length(returns), block_length(centred**2))


def test_ruin_and_rest():
    returns = np.zeros(100)
    returns[::50] = 0.01
    ratios, falls, _ = resampled_figures(returns, resamples=200)
    assert np.isfinite(ratios).all()  # some histories hold no movement at all
    assert (ratios == 0).any()
    assert falls.max() == 0.0
    _, falls, _ = resampled_figures(np.append(returns, -1.2), resamples=20)
    assert np.isnan(falls).all()


@pytest.mark.parametrize("phi", [0.0, 0.25])
def test_nineteen_intervals_in_twenty_hold_the_true_sharpe_ratio(phi):
    held = []
    for seed in range(300):
        noise = np.random.default_rng([seed, 7]).standard_normal(560) * math.sqrt(1 - phi**2)
        for t in range(1, 560):
            noise[t] += phi * noise[t - 1]
        low, high = percentile_interval(resampled_figures(0.01 * (noise[60:] + 0.06), resamples=300)[0])
        held.append(low <= 0.06 <= high)
    # percentile intervals of 500 sessions hold it in 92.5 to 94 % of histories; three standard errors are 4.5 points
    assert 0.88 <= np.mean(held) <= 0.985


# -- reality check --------------------------------------------------------------------------------------------------


def family() -> np.ndarray:
    """Eight correlated trials, one of them a little better."""
    own = np.random.default_rng(9).normal(0, 0.01, (1000, 8))
    trials = own + np.random.default_rng(10).normal(0, 0.01, (1000, 1))
    trials[:, 3] += 0.0006
    return trials


def test_the_p_value_is_that_of_another_implementation():
    # arch 8.0.0: SPA(zeros, -family(), block_size=1, reps=5000, studentize=False, seed=1).pvalues["upper"]
    assert reality_check(family(), resamples=5000).p_value == pytest.approx(0.8636, abs=0.02)


def test_one_trial_without_dependence_is_a_plain_test_of_a_mean():
    values = np.random.default_rng(4).normal(0, 0.01, 800)
    values += 0.01 * 1.5 / math.sqrt(800) - values.mean()
    found = reality_check(values[:, None], resamples=20_000)
    assert found.block == pytest.approx(1.0, abs=1.0)
    assert found.p_value == pytest.approx(0.0668, abs=0.012)  # beyond 1.5 deviations
    assert found.edge == pytest.approx(values.mean())


def test_error_rates_of_the_reality_check():
    rng = np.random.default_rng(12)
    values = []
    for _ in range(400):
        trials = rng.normal(0, 0.01, (300, 10)) + rng.normal(0, 0.01, (300, 1))
        values.append(reality_check(trials, resamples=200).p_value)
    # three standard errors of 400 draws
    assert np.mean(np.array(values) <= 0.05) == pytest.approx(0.05, abs=0.033)
    assert np.mean(values) == pytest.approx(0.5, abs=0.043)
    # the single best trial, tested as if it were the only one, is taken for skill far too often
    alone = []
    for _ in range(100):
        trials = rng.normal(0, 0.01, (300, 10))
        best = trials[:, [trials.mean(axis=0).argmax()]]
        alone.append(reality_check(best, resamples=200).p_value)
    assert np.mean(np.array(alone) <= 0.05) > 0.25


def test_a_planted_edge_is_found_and_named():
    trials = family()
    trials[:, 5] += 0.003
    found = reality_check(trials)
    assert found.best == 5
    assert 1 / 2001 <= found.p_value < 0.005
    assert reality_check(trials) == found  # nothing but the input decides
    assert reality_check(trials + 0.01).p_value == 1 / 2001  # no history shows so much, but this one did
