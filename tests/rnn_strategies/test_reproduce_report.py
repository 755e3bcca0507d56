"""Measures of `reproduce` and the files of its reports."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from rnn_strategies.reproduce.report import Report, Table, number, spread, write_report
from rnn_strategies.reproduce.score_measures import dead_rows_auc, measure_scores, pooled_auc
from rnn_strategies.reproduce.stacked_report import _with_t
from signals.evaluation.cross_section_metrics import auc_by_date
from signals.evaluation.long_run_variance import mean_interval


@pytest.fixture
def panel():
    """Two seeds' scores and returns of 25 tickers on 30 weeks over a new year, some returns unknown."""
    rng = np.random.default_rng(5)
    dates = pd.date_range("2015-09-04", periods=30, freq="7D")
    index = pd.MultiIndex.from_product([dates, [f"T{i:02d}" for i in range(25)]], names=["date", "ticker"])
    forward = pd.Series(rng.normal(0, 0.03, len(index)), index=index)
    scores = {seed: pd.Series(forward.to_numpy() + rng.normal(0, 0.1, len(index)), index=index) for seed in (0, 1)}
    forward.iloc[rng.choice(len(index), 20, replace=False)] = np.nan
    return scores, forward


def test_every_year_is_measured_as_by_hand(panel):
    scores, forward = panel
    found = measure_scores(scores, forward, horizon=1)
    assert list(found) == ["2015", "2016", "all"]
    mean = (scores[0] + scores[1]) / 2
    for name in found:
        of_year = forward.dropna() if name == "all" else forward.dropna().loc[name]
        for score, measured in ((scores[0], lambda m, f: f[f"{m}_by_seed"][0]), (mean, lambda m, f: f[m])):
            aucs, ics, spreads = [], [], []
            for _, truth in of_year.groupby(level="date"):
                said = score.loc[truth.index]
                aucs.append(roc_auc_score(truth > truth.median(), said))
                ics.append(spearmanr(said, truth).statistic)
                order, k = np.argsort(said.to_numpy()), len(truth) // 10
                ranked = truth.to_numpy()[order]
                spreads.append(ranked[-k:].mean() - ranked[:k].mean())
            assert measured("auc", found[name]) == pytest.approx(np.mean(aucs), abs=1e-12)
            assert measured("rank_ic", found[name]) == pytest.approx(np.mean(ics), abs=1e-12)
            assert measured("decile_spread", found[name]) == pytest.approx(np.mean(spreads), abs=1e-12)
        assert found[name]["dates"] == of_year.index.get_level_values("date").nunique()
        assert found[name]["rows"] == len(of_year)
    assert len(found["all"]["auc_by_seed"]) == 2
    # how far the AUC lies from a half, not from nothing
    assert 0 < found["all"]["auc_t"] < 30


def test_t_statistics_have_the_horizon_and_their_degrees_of_freedom(panel):
    """17 weeks of 2015, 13 of 2016: with returns over four weeks the second year has too few independent dates."""
    scores, forward = panel
    found = measure_scores(scores, forward, horizon=4)
    median = forward.groupby("date").transform("median")
    above = (forward > median).astype(float).where(forward.notna())
    auc = auc_by_date((scores[0] + scores[1]) / 2, above)
    by_year = {"2015": auc.loc["2015"], "2016": auc.loc["2016"], "all": auc}
    for name, mine in by_year.items():
        expected = mean_interval(mine, horizon=4)
        assert found[name]["auc_df"] == expected.df
        assert found[name]["auc_t"] == pytest.approx(expected.t(0.5), nan_ok=True)
    assert [found[name]["auc_df"] for name in by_year] == [2, 0, 3]
    assert _with_t(found["2016"], "auc", 1, 4).endswith("(too few independent dates)")
    assert _with_t(found["all"], "auc", 1, 4).endswith(f"({found['all']['auc_t']:+.1f})")


def test_dates_count_and_not_rows(panel):
    """A score that predicts the week but no stock has no skill within dates, and much in pooled rows."""
    _, forward = panel
    week = forward.groupby(level="date").transform("mean")
    shifted = forward + np.sign(week) * 0.1
    week_score = pd.Series(np.sign(week).to_numpy(), index=forward.index)
    assert measure_scores({0: week_score}, shifted, horizon=1)["all"]["auc"] == pytest.approx(0.5)
    up = (shifted > 0).astype(float).where(shifted.notna())
    assert pooled_auc(week_score, up) > 0.95


def test_a_pooled_auc_is_that_of_all_rows(panel):
    scores, forward = panel
    label = (forward > 0).astype(float).where(forward.notna())
    rows = label.notna()
    assert pooled_auc(scores[1], label) == pytest.approx(roc_auc_score(label[rows], scores[1][rows]))


def test_padded_rows_alone_reach_the_published_auc():
    rng = np.random.default_rng(0)
    n, dead = 200_000, rng.random(200_000) < 0.2
    up = (rng.random(n) < 0.51) & ~dead
    score = np.where(dead, -1.0, rng.random(n))
    assert dead_rows_auc(0.2, 0.49) == pytest.approx(roc_auc_score(up, score), abs=0.005)


def test_numbers_and_spreads():
    assert [number(x) for x in (0.12345, -0.0001, float("nan"), None, -1.5)] == ["0.123", "0.000", "-", "-", "-1.500"]
    assert number(0.25, 1, sign=True) == "+0.2"
    assert spread([0.5, 0.6, 0.7], 2) == "0.60 ± 0.10"  # ddof 1
    assert spread([0.5]) == "0.500"
    assert spread([float("nan")]) == "-"


def test_a_report_is_written_whole_and_the_same_twice(tmp_path):
    table = Table("Errors", ("model", "2018"), (("a|b", "0.1"), ("longer", "10.25")))
    figures = {"rmse": np.float64(0.5), "none": math.nan, "many": [np.int64(1), 2.5], "deep": {3: np.float32(0.5)}}
    report = Report("name", "a title", (("data", "a file"),), (table,), ("a remark",), figures)
    text = report.markdown()
    assert text.splitlines()[0] == "## name: a title"
    assert "- data: a file" in text
    assert "| a\\|b   |   0.1 |" in text
    assert "| longer | 10.25 |" in text
    assert "|--------|------:|" in text
    assert "* a remark" in text
    write_report(report, tmp_path / "out")
    first = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert set(first) == {"name.md", "name.json"}
    assert first["name.md"].decode() == text
    read = json.loads(first["name.json"])
    assert read["figures"] == {"rmse": 0.5, "none": None, "many": [1, 2.5], "deep": {"3": 0.5}}
    write_report(report, tmp_path / "out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == first
