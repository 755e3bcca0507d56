"""The verdict and the first paragraph for every combination of skill, edge and trouble."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from reports.common.number_format import percent
from reports.common.run_data import RunData
from reports.metrics.performance import compute_metrics
from reports.metrics.signal_quality import SignalQuality
from reports.narrative import headline_figures, serious_warnings, summary, verdict
from signals.evaluation.long_run_variance import MeanInterval

DAYS = pd.bdate_range("2018-01-01", periods=600, tz="UTC", name="date")
NOISE = pd.Series(np.random.default_rng(1).normal(0.0, 0.01, len(DAYS)), index=DAYS, name="returns")


def interval_of(low: float, high: float) -> MeanInterval:
    return MeanInterval((low + high) / 2, low, high, (high - low) / 4, 20)


def quality(low: float, high: float, *, trivial: float = 0.501, remark: str | None = None) -> SignalQuality:
    auc = interval_of(low, high)
    by_date = pd.DataFrame({"auc": [auc.mean] * 3, "rank_ic": 0.01, "tickers": 10, "fold": 0})
    table = pd.DataFrame({"auc": [trivial], "rank_ic": [0.0]}, index=["volatility"])
    return SignalQuality(
        by_date=by_date,
        overall={"auc": auc, "rank_ic": interval_of(0.0, 0.02)},
        folds=pd.DataFrame(),
        years=pd.DataFrame(),
        seeds=pd.DataFrame({"auc": [0.5, 0.52], "rank_ic": [0.0, 0.02]}),
        trivial=table,
        deciles=pd.DataFrame(),
        spread=interval_of(0.0, 0.0),
        remark=remark,
        horizon=1,
    )


def run_with(edge: float, **changes: object) -> RunData:
    """A run that earned `edge` a day more than the universe, with a little noise."""
    noise = pd.Series(np.random.default_rng(2).normal(edge, 0.001, len(DAYS)), index=DAYS)
    noise += edge - noise.mean()
    return RunData(**({"title": "x", "returns": NOISE + noise, "universe": NOISE} | changes))


def words(run: RunData, found: SignalQuality | None) -> str:
    return verdict(run, metrics_of(run), found)


def metrics_of(run: RunData) -> dict:
    return compute_metrics(run.returns, benchmark=run.benchmark, universe=run.universe, transactions=run.transactions)


SKILL, NONE, WRONG = quality(0.51, 0.53), quality(0.49, 0.52), quality(0.47, 0.49)


@pytest.mark.parametrize(
    ("edge", "found", "expected"),
    [
        (0.001, SKILL, "The scores were better than chance and its excess over the universe after costs is more"),
        (0.0, SKILL, "The scores were better than chance, but its excess over the universe after costs may be luck."),
        (
            -0.001,
            SKILL,
            "The scores were better than chance, but its excess over the universe after costs is negative.",
        ),
        (
            0.001,
            NONE,
            "The scores cannot be told from chance, and yet its excess over the universe after costs is more",
        ),
        (0.0, NONE, "The scores cannot be told from chance, and its excess over the universe after costs may be luck."),
        (-0.001, WRONG, "The scores were worse than chance, and its excess over the universe after costs is negative."),
        (
            0.001,
            None,
            "Its excess over the universe after costs is more than luck explains, on this one path, and the trials",
        ),
        (0.0, None, "Its excess over the universe after costs may be luck."),
        (-0.001, None, "Its excess over the universe after costs is negative, and not by chance."),
    ],
)
def test_verdict(edge, found, expected):
    text = words(run_with(edge), found)
    assert text.startswith(expected)
    assert text.count(". ") == 0


UNKNOWN = MeanInterval(0.7, float("nan"), float("nan"), float("nan"), 0)


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (run_with(0.0), "its excess over the universe after costs may be luck."),
        (run_with(-0.001), "its excess over the universe after costs is negative, and not by chance."),
        (run_with(0.001), "its excess over the universe after costs is more than luck explains, on this one path"),
        (run_with(0.0, universe=None), "there is nothing to compare the returns with."),
    ],
)
def test_too_few_independent_dates_are_no_verdict_on_the_scores(run, expected):
    found = replace(SKILL, overall={"auc": UNKNOWN, "rank_ic": UNKNOWN}, horizon=26)
    text = words(run, found)
    assert text.startswith(f"There are too few independent dates to distinguish the scores from chance; {expected}")
    assert "a mean AUC of 0.700 and a rank IC of 0.700" in " ".join(summary(run, metrics_of(run), found))
    assert "too few independent dates to distinguish from chance." in " ".join(summary(run, metrics_of(run), found))
    assert headline_figures(run, metrics_of(run), found)[-1][1:] == ("0.700", "of 3 dates; too few independent dates")


def test_a_trivial_predictor_turned_round_counts_too():
    found = quality(0.51, 0.53, trivial=0.46)
    assert "though no better than a trivial predictor (volatility)" in words(run_with(0.0), found)
    run = run_with(0.0)
    text = " ".join(summary(run, metrics_of(run), found))
    assert "the strongest trivial predictor (volatility) 0.460, which turned round is 0.540" in text


def test_trouble_outranks_everything():
    assert (
        words(run_with(0.01, stopped="Ruined."), SKILL)
        == "The account was ruined; nothing else in this report matters."
    )
    assert words(run_with(0.01), quality(0.6, 0.7, remark="Too good")).startswith("The scores are too good")
    none = pd.DataFrame({"amount": [], "price": [], "symbol": [], "commission": []}, index=DAYS[:0])
    assert words(run_with(0.0, transactions=none), SKILL).startswith("Nothing was traded")
    assert words(run_with(0.01, simulated=True), SKILL).endswith("so this says nothing about any market.")


def test_a_market_neutral_run_is_judged_by_alpha():
    own = pd.Series(np.random.default_rng(5).normal(0.0005, 0.001, len(DAYS)), index=DAYS)
    run = run_with(0.0, returns=own, universe=NOISE + 0.002)
    metrics = metrics_of(run)
    assert metrics["excess_return_universe"] < 0
    text = " ".join(summary(run, metrics, SKILL))
    assert "so what counts is its alpha: +" in text
    assert "its alpha to the universe after costs is more than luck explains" in verdict(run, metrics, SKILL)
    labels = [label for label, _, _ in headline_figures(run, metrics, SKILL)]
    assert labels == [
        *("Annual return", "Alpha a year", "Sharpe ratio", "Maximum drawdown", "Per-date AUC"),
    ]


def test_nothing_to_compare_with():
    run = run_with(0.001, universe=None)
    assert words(run, None) == "There is nothing to compare with, so skill cannot be told from market."
    assert words(run, SKILL) == "The scores were better than chance; there is nothing to compare the returns with."


def test_benchmark_stands_in_for_a_missing_universe():
    run = run_with(0.001, universe=None, benchmark=NOISE, benchmark_name="SPY")
    assert "its excess over SPY" in words(run, SKILL)
    text = " ".join(summary(run, metrics_of(run), None))
    assert f"{percent(metrics_of(run)['benchmark_annual_return'])} for SPY bought and held" in text


def test_what_is_only_written_when_known():
    run = run_with(0.0, universe=None)
    text = " ".join(summary(run, metrics_of(run), None))
    assert text.startswith("The strategy traded its instruments from 1\xa0Jan\xa02018 to")
    assert "at what cost, is not known" in text  # no transactions: nobody knows what was paid


@pytest.mark.parametrize(("line", "kept"), [("simulated prices (seed 7)", False), ("volume is unknown", True)])
def test_the_label_is_not_repeated(line, kept):
    run = run_with(0.0, simulated=True, warnings=(line,))
    assert serious_warnings(run, None) == (["Volume is unknown"] if kept else [])


def test_order_of_warnings():
    ruined = NOISE.copy()
    ruined.iloc[-1] = -1.2
    run = RunData(
        title="x",
        returns=ruined.iloc[-100:],
        positions=pd.DataFrame({"A": 1.0, "cash": 1.0}, index=DAYS[-100:]),
        warnings=("A remark.",),
    )
    first, second, third, fourth, *_ = serious_warnings(run, quality(0.6, 0.7, remark="Too good: look for a leak."))
    assert first.startswith("The account was worth nothing or less on")
    assert second.startswith("Positions do not add up")
    assert third.startswith("Too good")
    assert fourth == "A remark."
