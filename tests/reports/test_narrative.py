"""Conclusion and summary paragraph of the report for combinations of skill, excess return and warnings."""

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


def quality(low: float, high: float, *, naive: float = 0.501, warning: str | None = None) -> SignalQuality:
    auc = interval_of(low, high)
    by_date = pd.DataFrame({"auc": [auc.mean] * 3, "rank_ic": 0.01, "tickers": 10, "fold": 0})
    table = pd.DataFrame({"auc": [naive], "rank_ic": [0.0]}, index=["volatility"])
    return SignalQuality(
        by_date=by_date,
        overall={"auc": auc, "rank_ic": interval_of(0.0, 0.02)},
        folds=pd.DataFrame(),
        years=pd.DataFrame(),
        seeds=pd.DataFrame({"auc": [0.5, 0.52], "rank_ic": [0.0, 0.02]}),
        naive_predictors=table,
        deciles=pd.DataFrame(),
        spread=interval_of(0.0, 0.0),
        warning=warning,
        horizon=1,
    )


def run_with(edge: float, **changes: object) -> RunData:
    """Run whose returns exceed those of the universe by `edge` a day on average, with noise."""
    noise = pd.Series(np.random.default_rng(2).normal(edge, 0.001, len(DAYS)), index=DAYS)
    noise += edge - noise.mean()
    return RunData(**({"title": "x", "returns": NOISE + noise, "universe": NOISE} | changes))


def conclusion(run: RunData, found: SignalQuality | None) -> str:
    return verdict(run, metrics_of(run), found)


def metrics_of(run: RunData) -> dict:
    return compute_metrics(run.returns, benchmark=run.benchmark, universe=run.universe, transactions=run.transactions)


SKILL, NONE, WRONG = quality(0.51, 0.53), quality(0.49, 0.52), quality(0.47, 0.49)


@pytest.mark.parametrize(
    ("edge", "found", "expected"),
    [
        (
            0.001,
            SKILL,
            "The scores were better than chance and its excess over the universe after costs is significantly positive",
        ),
        (
            0.0,
            SKILL,
            "The scores were better than chance, but its excess over the universe after costs is not significantly "
            "different from zero.",
        ),
        (
            -0.001,
            SKILL,
            "The scores were better than chance, but its excess over the universe after costs is "
            "significantly negative.",
        ),
        (
            0.001,
            NONE,
            "The scores were not distinguishable from chance, although its excess over the universe after costs is "
            "significantly positive",
        ),
        (
            0.0,
            NONE,
            "The scores were not distinguishable from chance, and its excess over the universe after costs is not "
            "significantly different from zero.",
        ),
        (
            -0.001,
            WRONG,
            "The scores were worse than chance, and its excess over the universe after costs is "
            "significantly negative.",
        ),
        (
            0.001,
            None,
            "Its excess over the universe after costs is significantly positive on this single "
            "history; the number of trials",
        ),
        (0.0, None, "Its excess over the universe after costs is not significantly different from zero."),
        (-0.001, None, "Its excess over the universe after costs is significantly negative."),
    ],
)
def test_verdict(edge, found, expected):
    text = conclusion(run_with(edge), found)
    assert text.startswith(expected)
    assert text.count(". ") == 0


UNKNOWN = MeanInterval(0.7, float("nan"), float("nan"), float("nan"), 0)


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (run_with(0.0), "its excess over the universe after costs is not significantly different from zero."),
        (run_with(-0.001), "its excess over the universe after costs is significantly negative."),
        (run_with(0.001), "its excess over the universe after costs is significantly positive on this single history"),
        (run_with(0.0, universe=None), "there is no comparison for the returns."),
    ],
)
def test_too_few_independent_dates_give_no_conclusion_on_the_scores(run, expected):
    found = replace(SKILL, overall={"auc": UNKNOWN, "rank_ic": UNKNOWN}, horizon=26)
    text = conclusion(run, found)
    assert text.startswith(f"There are too few independent dates to distinguish the scores from chance; {expected}")
    assert "a mean AUC of 0.700 and a rank IC of 0.700" in " ".join(summary(run, metrics_of(run), found))
    assert "too few independent dates to distinguish from chance." in " ".join(summary(run, metrics_of(run), found))
    assert headline_figures(run, metrics_of(run), found)[-1][1:] == ("0.700", "of 3 dates; too few independent dates")


def test_a_naive_predictor_with_reversed_sign_is_compared():
    found = quality(0.51, 0.53, naive=0.46)
    assert "though no better than a naive predictor (volatility)" in conclusion(run_with(0.0), found)
    run = run_with(0.0)
    text = " ".join(summary(run, metrics_of(run), found))
    assert "the strongest naive predictor (volatility) had 0.460 (0.540 with its sign reversed)" in text


def test_conclusion_states_ruin_leak_and_missing_trades_first():
    assert (
        conclusion(run_with(0.01, stopped="Ruined."), SKILL)
        == "The account was closed or lost all of its value; the other figures of this report are not meaningful."
    )
    assert conclusion(run_with(0.01), quality(0.6, 0.7, warning="Implausibly high")).startswith(
        "The scores are implausibly good"
    )
    none = pd.DataFrame({"amount": [], "price": [], "symbol": [], "commission": []}, index=DAYS[:0])
    assert conclusion(run_with(0.0, transactions=none), SKILL).startswith("No trades were made")
    assert conclusion(run_with(0.01, simulated=True), SKILL).endswith("so this is no evidence about any market.")


def test_market_neutral_run_is_evaluated_by_alpha():
    own = pd.Series(np.random.default_rng(5).normal(0.0005, 0.001, len(DAYS)), index=DAYS)
    run = run_with(0.0, returns=own, universe=NOISE + 0.002)
    metrics = metrics_of(run)
    assert metrics["excess_return_universe"] < 0
    text = " ".join(summary(run, metrics, SKILL))
    assert "so it is evaluated by its alpha: +" in text
    assert "its alpha to the universe after costs is significantly positive" in verdict(run, metrics, SKILL)
    labels = [label for label, _, _ in headline_figures(run, metrics, SKILL)]
    assert labels == [
        *("Annual return", "Alpha a year", "Sharpe ratio", "Maximum drawdown", "Per-date AUC"),
    ]


def test_conclusion_without_comparison():
    run = run_with(0.001, universe=None)
    assert (
        conclusion(run, None) == "There is no comparison, so skill cannot be separated from the return of the market."
    )
    assert conclusion(run, SKILL) == "The scores were better than chance; there is no comparison for the returns."


def test_benchmark_replaces_a_missing_universe():
    run = run_with(0.001, universe=None, benchmark=NOISE, benchmark_name="SPY")
    assert "its excess over SPY" in conclusion(run, SKILL)
    text = " ".join(summary(run, metrics_of(run), None))
    assert f"{percent(metrics_of(run)['benchmark_annual_return'])} for SPY bought and held" in text


def test_unknown_tickers_and_costs_are_not_stated():
    run = run_with(0.0, universe=None)
    text = " ".join(summary(run, metrics_of(run), None))
    assert text.startswith("The strategy traded its instruments from 1\xa0Jan\xa02018 to")
    assert "its trades and their costs are not known" in text  # there are no transactions


@pytest.mark.parametrize(("line", "kept"), [("simulated prices (seed 7)", False), ("volume is unknown", True)])
def test_simulated_label_is_not_repeated_as_a_warning(line, kept):
    run = run_with(0.0, simulated=True, warnings=(line,))
    assert serious_warnings(run, None) == (["Volume is unknown"] if kept else [])


def test_order_of_warnings():
    ruined = NOISE.copy()
    ruined.iloc[-1] = -1.2
    run = RunData(
        title="x",
        returns=ruined.iloc[-100:],
        positions=pd.DataFrame({"A": 1.0, "cash": 1.0}, index=DAYS[-100:]),
        warnings=("A warning.",),
    )
    first, second, third, fourth, *_ = serious_warnings(
        run, quality(0.6, 0.7, warning="Implausibly high skill: look for look-ahead bias.")
    )
    assert first.startswith("The account value fell to zero or below on")
    assert second.startswith("Positions do not add up")
    assert third.startswith("Implausibly high")
    assert fourth == "A warning."
