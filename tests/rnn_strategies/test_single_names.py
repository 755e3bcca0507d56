"""Runs of one and of two tickers: cross-sectional measures raise errors, or are replaced by measures over time."""

from __future__ import annotations

import html
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

import rnn_strategies as rs
from rnn_strategies.audit.audit import audit_run
from rnn_strategies.audit.check_result import Status
from rnn_strategies.config.panel_config import load_config
from signals.calendar import sessions
from signals.common.errors import InputError
from signals.common.storage import read_json, read_parquet

RUN = """
name = "few"
[prices]
source = "simulated"
seed = 6
n_tickers = 1
n_sectors = 1
start = "2012-01-01"
end = "2014-12-31"
listing_fraction = 0.0
delisting_fraction = 0.0
[universe]
[features]
inputs = ["return"]
[labels]
kind = "up"
[model]
kind = "sklearn.linear_model:LogisticRegression"
lookback = 4
[training]
seeds = [0]
[walk_forward]
test_start = "2013-07-01"
validation = "26W"
test = "26W"
[strategy]
allocation = "TopK"
k = 1
[broker]
cash = 1_000_000
commission = 0.001
slippage = 0.0005
borrow_rate = 0.01
"""


def write(folder: Path, **changes: str) -> Path:
    """Write the configuration with lines replaced: `k="k = 2"` replaces the line that starts with `k =`."""
    lines = RUN.splitlines()
    for key, line in changes.items():
        if key == "kind":  # of the labels, not of the model
            place = lines.index('kind = "up"')
        else:
            place = next(i for i, old in enumerate(lines) if old.split("=")[0].strip() in (key, f"[{key}]"))
        lines[place] = line
    path = folder / "few.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def text_of(run) -> str:
    page = re.sub(r"(?s)<style.*?</style>|data:[^\"]*", "", run.report.read_text(encoding="utf-8"))
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    return rs.run(write(folder), out=folder / "run")


def test_a_run_of_one_name_states_that_it_cannot_be_ranked_and_gives_figures_over_time(one):
    signals = read_parquet(one.folder / "signals.parquet", index=["date", "ticker"])
    labels = read_parquet(one.folder / "labels.parquet", index=["date", "ticker"])
    joined = signals.join(labels, how="inner")
    metrics = one.metrics
    assert metrics["signal_dates"] == len(joined)
    assert metrics["auc_over_time"] == pytest.approx(roc_auc_score(joined["label"], joined["score"]))
    expected = spearmanr(joined["score"], joined["forward_return"]).statistic
    assert metrics["rank_correlation_over_time"] == pytest.approx(expected)
    hits = (joined["score"] > 0.5) == (joined["forward_return"] > 0)
    assert metrics["hit_rate"] == pytest.approx(hits.mean())
    for name in ("auc_over_time", "rank_correlation_over_time", "hit_rate"):
        assert metrics[f"{name}_low"] < metrics[name] < metrics[f"{name}_high"]
    assert metrics["auc"] is None
    assert metrics["rank_ic_dates"] == 0
    text = text_of(one)
    assert "Only SIM000 is scored, and one ticker cannot be ranked within a date" in text
    assert f"on {len(joined)} dates with known outcomes" in text
    assert "AUC over time" in text
    assert "known outcome yet" not in text


def test_scores_of_one_name_from_elsewhere_are_measured_over_time(tmp_path):
    days = sessions(np.datetime64("2015-01-02"), np.datetime64("2015-08-31"), "XNYS").astype(str)
    rng = np.random.default_rng(1)
    close = 30 * np.cumprod(1 + rng.normal(0, 0.012, len(days)))
    pd.DataFrame({"date": days, "ticker": "SPY", "close": close}).to_csv(tmp_path / "prices.csv", index=False)
    scores = pd.DataFrame({"date": days, "ticker": "SPY", "score": rng.normal(size=len(days))})
    scores.to_csv(tmp_path / "scores.csv", index=False)
    config = tmp_path / "theirs.toml"
    text = """
[prices]
source = "files"
path = "prices.csv"
[labels]
price_basis = "close_to_close"
{kind}
[strategy]
allocation = "TopK"
k = 1
[broker]
cash = 100_000
commission = 0.001
slippage = 0.0005
"""
    config.write_text(text.format(kind=""), encoding="utf-8")
    with pytest.raises(InputError, match=r'labels.kind = "above_median".*found one \(SPY\); set labels.kind = "up"'):
        rs.import_scores(tmp_path / "scores.csv", config=config, out=tmp_path / "run")
    config.write_text(text.format(kind='kind = "return"'), encoding="utf-8")
    rs.import_scores(tmp_path / "scores.csv", config=config, out=tmp_path / "run")
    run = rs.run(tmp_path / "run")
    labels = read_parquet(run.folder / "labels.parquet", index=["date", "ticker"])
    assert run.metrics["signal_dates"] == len(labels)
    up = labels["forward_return"] > 0
    score = scores["score"].to_numpy()[: len(labels)]
    assert run.metrics["auc_over_time"] == pytest.approx(roc_auc_score(up, score))
    assert "Only SPY is scored, and one ticker cannot be ranked within a date" in text_of(run)


@pytest.mark.parametrize("kind", ["up", "above_median"])
def test_a_run_of_two_names_states_that_there_is_no_rank_ic_and_counts_dates(tmp_path, kind):
    run = rs.run(write(tmp_path, n_tickers="n_tickers = 2", kind=f'kind = "{kind}"'), out=tmp_path / "run")
    labels = read_parquet(run.folder / "labels.parquet", index=["date", "ticker"])["label"]
    by_date = labels.groupby(level="date")
    both = int((by_date.nunique() == 2).sum())
    text, metrics = text_of(run), run.metrics
    assert metrics["signal_dates"] == both
    assert (metrics["rank_ic"], metrics["rank_ic_dates"], metrics["auc_over_time"]) == (None, 0, None)
    assert f"on {both} of {by_date.ngroups} dates" in text
    assert "there is no rank IC, which needs at least three names" in text
    assert f"no rank IC on {by_date.ngroups}" in text
    if both < by_date.ngroups:
        assert f"there is no AUC on {by_date.ngroups - both} and" in text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": 'kind = "above_median"'}, 'labels.kind = "above_median"'),
        ({"kind": 'kind = "residual"'}, 'labels.kind = "residual"'),
        ({"inputs": 'inputs = ["return minus market"]'}, "the feature 'return minus market'"),
        ({"inputs": 'inputs = ["beta"]'}, "the feature 'beta'"),
        ({"k": "k = 5"}, "expected k = 1 for TopK on one ticker"),
        ({"allocation": 'allocation = "LongShortQuantile"', "k": "quantile = 0.2"}, "2 tickers for LongShortQuantile"),
    ],
)
@pytest.mark.parametrize("stated", [True, False])
def test_ranking_of_a_single_ticker_raises_before_training(tmp_path, changes, message, stated):
    if stated:
        changes = {**changes, "universe": '[universe]\ninclude = ["SIM000"]', "n_tickers": "n_tickers = 5"}
        with pytest.raises(InputError, match=re.escape(message)):
            load_config(write(tmp_path, **changes))
        return
    with pytest.raises(InputError, match=re.escape(message)):
        rs.run(write(tmp_path, **changes), out=tmp_path / "run")
    assert not (tmp_path / "run" / "signals.parquet").exists()


def test_thirds_of_two_names_are_refused(tmp_path):
    path = write(tmp_path, n_tickers="n_tickers = 2", kind='kind = "terciles"')
    with pytest.raises(InputError, match=r'3 names .*"terciles".*found 2 \(SIM000, SIM001\); .*"above_median", "up"'):
        rs.run(path, out=tmp_path / "run")


def test_more_places_than_names_are_a_warning_in_the_report(tmp_path):
    run = rs.run(write(tmp_path, n_tickers="n_tickers = 4", k="k = 10"), out=tmp_path / "run")
    warnings = read_json(run.folder / "manifest.json")["backtest"]["warnings"]
    (warning,) = [line for line in warnings if "most of the account stays in cash" in line]
    assert warning.startswith("TopK has 10 places and 4 tickers have a score on the median decision date")
    assert warning in text_of(run)


def test_audit_evaluates_a_single_ticker_over_time(one):
    audit = audit_run(one, only=["baseline-attribution"])
    verdict = audit.verdict("baseline-attribution")
    assert verdict.status in (Status.PASSED, Status.NOTED)
    assert "over time" in verdict.finding
    assert "unknown" not in verdict.finding
