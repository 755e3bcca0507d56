from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from signals.evaluation.cross_section_metrics import auc_by_date, decile_spread_by_date, rank_ic_by_date


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


def test_decile_spread_is_the_mean_of_the_ends():
    rng = np.random.default_rng(8)
    dates = pd.date_range("2020-01-03", periods=3, freq="W-FRI")
    index = pd.MultiIndex.from_product([dates, [f"T{i:02}" for i in range(47)]], names=["date", "ticker"])
    score = pd.Series(rng.permutation(len(index)).astype(float), index=index)
    gain = pd.Series(rng.normal(size=len(index)), index=index)
    spread = decile_spread_by_date(score, gain)
    for date in dates:
        order = score[date].sort_values().index
        expected = gain[date][order[-4:]].mean() - gain[date][order[:4]].mean()
        assert spread[date] == pytest.approx(expected, abs=1e-15)
    perfect = decile_spread_by_date(gain, gain)
    assert (perfect >= spread).all()
    assert (perfect > 2).all()


def test_tied_tickers_share_the_places_of_a_group():
    dates = [pd.Timestamp("2020-01-03")]
    index = pd.MultiIndex.from_product([dates, list("abcdefgh")], names=["date", "ticker"])
    score = pd.Series([0.0, 1, 1, 1, 1, 1, 2, 2], index=index)
    gain = pd.Series([-8.0, 1, 2, 3, 4, 5, 7, 9], index=index)
    found = decile_spread_by_date(score, gain, groups=4)
    assert found.tolist() == [8.0 - (-8.0 + 3.0) / 2]  # the second place below is shared by the five that tie
    mixed = list(np.random.default_rng(0).permutation(8))
    assert decile_spread_by_date(score.iloc[mixed], gain, groups=4).tolist() == found.tolist()


def test_dates_with_fewer_rows_than_groups_have_no_spread(scored):
    score, outcome = scored
    first, second = score.index.get_level_values("date").unique()[:2]
    score = score.copy()
    score[second] = 0.5
    short = score[score.index.get_level_values("date") == first].index[:3]
    spread = decile_spread_by_date(score.drop(short), outcome)
    assert np.isnan(spread[first])
    assert np.isnan(spread[second])
    assert spread.iloc[2:].notna().all()
