from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from signals.diagnostics import auc_by_date, clustered_mean, rank_ic_by_date


@pytest.fixture
def scored():
    rng = np.random.default_rng(3)
    dates = pd.date_range("2020-01-03", periods=6, freq="W-FRI")
    index = pd.MultiIndex.from_product([dates, [f"T{i}" for i in range(12)]], names=["date", "ticker"])
    score = pd.Series(np.round(rng.random(len(index)), 1), index=index)  # rounding makes ties
    outcome = pd.Series(np.round(rng.normal(size=len(index)), 1), index=index)
    return score, outcome


def test_rank_ic_is_spearman_within_each_date(scored):
    score, outcome = scored
    for date, value in rank_ic_by_date(score, outcome).items():
        assert value == pytest.approx(spearmanr(score[date], outcome[date]).statistic, abs=1e-12)


def test_auc_is_the_area_within_each_date(scored):
    score, outcome = scored
    label = (outcome > 0).astype(float)
    for date, value in auc_by_date(score, label).items():
        assert value == pytest.approx(roc_auc_score(label[date], score[date]), abs=1e-12)


def test_order_of_rows_and_missing_rows_do_not_matter(scored):
    score, outcome = scored
    shuffled = score.sample(frac=1.0, random_state=0)
    pd.testing.assert_series_equal(rank_ic_by_date(shuffled, outcome), rank_ic_by_date(score, outcome))
    fewer = score.drop(score.index[5])
    assert rank_ic_by_date(fewer, outcome).iloc[0] != rank_ic_by_date(score, outcome).iloc[0]


def test_a_date_of_one_class_has_no_auc(scored):
    score, outcome = scored
    assert auc_by_date(score, pd.Series(1.0, index=outcome.index)).isna().all()


def test_interval_is_wider_when_neighbouring_dates_are_alike():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=400)
    alike = np.convolve(noise, np.ones(6) / 6, mode="valid")
    independent = rng.permutation(alike)
    wide, narrow = clustered_mean(pd.Series(alike)), clustered_mean(pd.Series(independent))
    assert wide.high - wide.low > 1.3 * (narrow.high - narrow.low)


def test_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(400):
        found = clustered_mean(pd.Series(rng.normal(size=150)))
        covered += found.low <= 0 <= found.high
    assert 0.91 <= covered / 400 <= 0.98
