"""Skill over all rows together: figures equal independent ones, and intervals cover as often as they state."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from signals.evaluation.long_run_variance import mean_interval
from signals.evaluation.pooled_metrics import (
    hit_rate,
    mean_difference,
    neutral_score,
    outcome_over_time,
    pooled_auc,
    pooled_rank_correlation,
)


def series(values, names=("SPY",)) -> pd.Series:
    values = np.asarray(values, dtype=np.float64)
    days = pd.bdate_range("2010-01-04", periods=len(values) // len(names), name="date")
    return pd.Series(values, index=pd.MultiIndex.from_product([days, list(names)], names=["date", "ticker"]))


@given(st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=4, max_size=60))
@settings(max_examples=60, deadline=None)
def test_rank_correlation_and_auc_equal_those_of_scipy_and_sklearn(pairs):
    score, forward = (series(values) for values in zip(*pairs, strict=True))
    found = pooled_rank_correlation(score, forward, horizon=1).mean
    if score.nunique() < 2 or forward.nunique() < 2:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(spearmanr(score, forward).statistic, abs=1e-12)
    up = (forward > 0).astype(float)
    if up.nunique() == 2:
        assert pooled_auc(score, up, horizon=1).mean == pytest.approx(roc_auc_score(up, score), abs=1e-12)


def test_the_interval_of_a_rank_correlation_covers_with_persistent_scores_and_overlapping_outcomes():
    rng = np.random.default_rng(3)
    horizon, n, runs = 4, 240, 200
    covered = np.zeros(3)
    for _ in range(runs):
        shocks = rng.normal(size=n)
        score = np.zeros(n)
        for t in range(1, n):
            score[t] = 0.9 * score[t - 1] + shocks[t]
        forward = series(np.convolve(rng.normal(size=n + horizon - 1), np.ones(horizon), "valid"))
        scores = series(score)
        rho = pooled_rank_correlation(scores, forward, horizon=horizon)
        auc = pooled_auc(scores, (forward > 0).astype(float), horizon=horizon)
        rate, chance = hit_rate(scores, forward, neutral=0.0, horizon=horizon)
        covered += [rho.low <= 0 <= rho.high, auc.low <= 0.5 <= auc.high, rate.low <= chance <= rate.high]
    assert (covered / runs > 0.88).all(), covered / runs


def test_interval_covers_a_known_correlation():
    rng = np.random.default_rng(4)
    covered = 0
    for _ in range(200):
        common, own, other = rng.normal(size=(3, 250))
        found = pooled_rank_correlation(series(0.8 * common + own), series(0.8 * common + other), horizon=1)
        pearson = 0.64 / 1.64
        covered += found.low <= 6 / np.pi * np.arcsin(pearson / 2) <= found.high
    assert covered / 200 > 0.9


def test_hit_rate_by_hand():
    score = series([0.6, 0.7, 0.4, 0.5, 0.2, 0.9])
    forward = series([0.01, -0.02, -0.01, 0.03, 0.02, 0.0])
    rate, chance = hit_rate(score, forward, neutral=0.5, horizon=1)
    # a score of 0.5 and a return of 0 name no direction; of the others two are hits
    assert rate.mean == pytest.approx(2 / 4)
    assert chance == pytest.approx(0.5 * 0.5 + 0.5 * 0.5)
    assert np.isnan(hit_rate(score * 0 + 0.5, forward, neutral=0.5, horizon=1)[0].mean)


def test_a_mean_difference_has_the_interval_of_its_contributions():
    values = series([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])
    upper, lower = values > 5, values < 3
    found = mean_difference(values, upper, lower, horizon=1)
    share = 8 * np.array([0.5 / 2, -0.5 / 2, 0, 0, 0, -1 / 3, 0, 1 / 3])
    assert found.mean == pytest.approx(7 - 1.5)
    assert found.standard_error == pytest.approx(mean_interval(pd.Series(share), horizon=1).standard_error)


def test_neutral_score_and_outcome():
    assert neutral_score(series([0.0, 1.0])) == 0.5
    assert neutral_score(series([-0.2, 0.1])) == 0.0
    label, forward = series([0.2, -0.1, 0.3]), series([0.2, -0.1, np.nan])
    assert outcome_over_time(label, forward).tolist()[:2] == [1.0, 0.0]
    assert outcome_over_time(series([1.0, 0.0, 1.0]), forward).tolist() == [1.0, 0.0, 1.0]
