"""Significance in the report: figures equal those of the functions, reasons for missing ones, equal bytes."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import empyrical as ep
import numpy as np
import pandas as pd
import pytest

from backtests.result import BacktestResult
from reports.charts.charting import Chart
from reports.charts.significance_figures import significance_charts
from reports.common.run_data import RunData, read_run
from reports.metrics.performance import compute_metrics
from reports.report import tear_sheet, write_metrics, write_report
from reports.significance.bootstrap import percentile_interval, reality_check, resampled_figures
from reports.significance.comparable_trials import trial_family
from reports.significance.measures import measure_significance, significance_metrics
from reports.significance.overfitting import probability_of_backtest_overfitting
from reports.significance.seed_dispersion import measure_seeds
from reports.significance.sharpe_ratio import (
    deflated_sharpe_ratio,
    effective_trials,
    mean_correlation,
    min_track_record_length,
    moments,
    probabilistic_sharpe_ratio,
    robust_sharpe_error,
    sharpe_error,
)
from reports.tables.significance_tables import significance_table
from signals.common.errors import InputError
from signals.common.storage import read_json, write_json, write_parquet

YEAR = math.sqrt(252)
OWN = "c0ffee"


def others(returns: pd.Series, count: int, *, seed: int = 1) -> pd.DataFrame:
    """Simulated returns of trials that resemble the run's own."""
    rng = np.random.default_rng(seed)
    spread = float(returns.std())
    values = 0.7 * returns.to_numpy()[:, None] + 0.7 * spread * rng.standard_normal((len(returns), count))
    return pd.DataFrame(values, index=returns.index, columns=[f"{k:06x}" for k in range(count)])


def write_trials(folder: Path, wide: pd.DataFrame, *, started: int, finished: int | None = None) -> None:
    table = wide.rename_axis("trial", axis=1).stack().dropna().rename("returns").reset_index()
    table["date"] = table["date"].dt.tz_localize(None)
    table = table.sort_values(["trial", "date"], ignore_index=True)[["trial", "date", "returns"]]
    write_parquet(folder / "trials.parquet", table.set_index("trial"))
    manifest = read_json(folder / "manifest.json")
    manifest["trial"] = {
        "id": OWN,
        "family": {"calendar": "XNYS"},
        "started": started,
        "finished": wide.shape[1] if finished is None else finished,
    }
    write_json(folder / "manifest.json", manifest)


def write_seeds(folder: Path, returns: pd.Series, count: int) -> None:
    frame = others(returns, count, seed=2).set_axis([str(k) for k in range(count)], axis=1)
    write_parquet(folder / "seed_returns.parquet", frame)


@pytest.fixture
def copied(run, tmp_path) -> Path:
    folder = tmp_path / "run"
    shutil.copytree(run.folder, folder)
    return folder


@pytest.fixture(scope="module")
def significance_run(run, tmp_path_factory) -> Path:
    """A run with eleven other trials, two that never finished, and eleven seeds: read only."""
    folder = tmp_path_factory.mktemp("significance_run") / "run"
    shutil.copytree(run.folder, folder)
    write_trials(folder, others(run.returns, 11).assign(**{OWN: run.returns}), started=14)
    write_seeds(folder, run.returns, 11)
    return folder


@pytest.fixture(scope="module")
def html(significance_run) -> str:
    return write_report(significance_run, stamp="").read_text(encoding="utf-8")


def section_of(html: str) -> str:
    inside = re.search(r'<section id="significance">(.*?)</section>', html, flags=re.S).group(1)
    return " ".join(re.sub(r"<[^>]*>", " ", inside).split())


def rows_of(run: RunData) -> dict[str, tuple[str, str]]:
    significance = measure_significance(run)
    metrics = compute_metrics(run.returns, benchmark=run.benchmark, universe=run.universe) | significance_metrics(
        significance
    )
    return {row[0]: row[1:] for row in significance_table(significance, metrics, run).rows if len(row) > 1}


def charts_of(run: RunData) -> dict[str, Chart]:
    return {chart.name: chart for chart in significance_charts(measure_significance(run), run)}


def test_metrics_equal_what_the_functions_compute_from_the_files(significance_run):
    written = write_metrics(significance_run)
    assert written == json.loads((significance_run / "metrics.json").read_bytes())
    returns = pd.read_parquet(significance_run / "returns.parquet")["returns"]
    trials = (
        pd.read_parquet(significance_run / "trials.parquet")
        .reset_index()
        .pivot(index="date", columns="trial", values="returns")
    )
    seeds = pd.read_parquet(significance_run / "seed_returns.parquet")
    beside = pd.read_parquet(significance_run / "benchmark.parquet")

    found = moments(returns)
    assert written["sharpe_ratio"] == pytest.approx(found.sharpe * YEAR)
    assert written["probabilistic_sharpe_ratio"] == probabilistic_sharpe_ratio(found)
    robust = robust_sharpe_error(returns)
    assert written["probabilistic_sharpe_ratio_robust"] == probabilistic_sharpe_ratio(found, error=robust)
    assert written["sharpe_ratio_standard_error"] == sharpe_error(found) * YEAR
    assert written["sharpe_ratio_standard_error_robust"] == robust * YEAR
    needed = min_track_record_length(found)
    assert written["min_track_record_length"] == (needed if math.isfinite(needed) else None)
    ratios, falls, block = resampled_figures(returns)
    low, high = percentile_interval(ratios)
    assert (written["sharpe_ratio_low"], written["sharpe_ratio_high"]) == (low * YEAR, high * YEAR)
    assert (written["max_drawdown_low"], written["max_drawdown_high"]) == percentile_interval(falls)
    assert written["bootstrap_block_length"] == block
    assert written["sharpe_ratio_low"] < written["sharpe_ratio"] < written["sharpe_ratio_high"]

    assert (written["trials"], written["trials_finished"], written["trials_compared"]) == (14, 12, 12)
    assert written["trials_other_universes"] == 0
    spread = float((trials.mean() / trials.std()).std())
    assert written["trial_sharpe_ratio_std"] == pytest.approx(spread * YEAR)
    effective = effective_trials(mean_correlation(trials), 14)
    assert written["effective_trials"] == pytest.approx(effective)
    deflated, threshold = deflated_sharpe_ratio(found, trials=14, trial_variance=spread**2)
    assert written["deflated_sharpe_ratio"] == pytest.approx(deflated)
    assert written["expected_best_sharpe_ratio"] == pytest.approx(threshold * YEAR)
    fewer, _ = deflated_sharpe_ratio(found, trials=effective, trial_variance=spread**2)
    assert written["deflated_sharpe_ratio_effective"] == pytest.approx(fewer)
    assert written["deflated_sharpe_ratio"] < fewer < written["probabilistic_sharpe_ratio"]

    over = probability_of_backtest_overfitting(trials, blocks=16)
    assert written["probability_of_backtest_overfitting"] == over.probability
    assert written["probability_of_loss_out_of_sample"] == over.loss
    for name, column in (("", "benchmark"), ("_universe", "universe")):
        excess = trials.to_numpy() - beside[[column]].to_numpy()
        assert written[f"reality_check_p_value{name}"] == reality_check(excess).p_value
    assert written["reality_check_p_value_zero"] == reality_check(trials).p_value

    alone = seeds.mean() / seeds.std() * YEAR
    assert written["sharpe_ratio_seeds"] == 11
    for name in ("mean", "std", "min", "max"):
        assert written[f"sharpe_ratio_seeds_{name}"] == pytest.approx(getattr(alone, name)())
    assert written["sharpe_ratio_seed_share"] == measure_seeds(seeds, returns).share
    assert 0 < written["sharpe_ratio_seed_share"] < 1


def test_the_risk_free_rate_is_taken_off_everywhere(copied, run):
    write_trials(copied, others(run.returns, 3).assign(**{OWN: run.returns}), started=4)
    config = copied / "config.toml"
    config.write_text(config.read_text() + "[report]\nrisk_free_rate = 0.05\n", encoding="utf-8")
    daily = 1.05 ** (1 / 252) - 1
    written = write_metrics(copied)
    returns = run.returns
    assert written["sharpe_ratio"] == ep.sharpe_ratio(returns, risk_free=daily)
    assert written["probabilistic_sharpe_ratio"] == probabilistic_sharpe_ratio(moments(returns - daily))
    assert written["sharpe_ratio_low"] < written["sharpe_ratio"] < written["sharpe_ratio_high"]
    trials = others(returns, 3).assign(**{OWN: returns}).sort_index(axis=1) - daily
    assert written["reality_check_p_value_zero"] == reality_check(trials).p_value
    assert written["probability_of_backtest_overfitting"] == probability_of_backtest_overfitting(trials).probability


def test_section_contains_all_figures(html):
    text = section_of(html)
    for words in (
        *("Statistical significance", "Probabilistic Sharpe ratio", "Minimum track record", "Deflated Sharpe ratio"),
        *(
            "this high or higher would occur in",
            "14 have out-of-sample scores for at least half of these days and tickers",
        ),
        *("2 of them without returns (failed, abandoned or still running) are counted too", "mean correlation of 0."),
        *(
            "The best of 14 trials without skill is expected to reach a Sharpe ratio of",
            "split into halves in 12,870 ways",
        ),
        *("Reality check against SPY", "Reality check against the universe", "Reality check against cash"),
        *("11 seeds traded alone", "prediction interval of one more seed is", "is due to the seed"),
        *("Growth of 1, one line per seed", "Rank of the best trial in the other half", "Ticks: the comparable trials"),
    ):
        assert words in text, words
    assert "not drawn" not in text
    assert "Not known" not in text
    assert html.index('id="statistics"') < html.index('id="significance"') < html.index('id="returns"')
    images = re.findall(r'<img [^>]*alt="([^"]*)"', html)
    assert sum("single seeds (" in alt for alt in images) == 1
    assert sum("logits" in alt for alt in images) == 1


def test_equal_files_give_equal_bytes(significance_run, html):
    assert write_report(significance_run, stamp="").read_text(encoding="utf-8") == html
    write_metrics(significance_run)
    figures = (significance_run / "metrics.json").read_bytes()
    write_metrics(significance_run)
    assert (significance_run / "metrics.json").read_bytes() == figures


def test_seeds_are_in_the_order_of_their_numbers(significance_run):
    assert list(read_run(significance_run).seed_returns) == [str(k) for k in range(11)]


def test_without_the_files_there_are_reasons(run):
    data = read_run(run.folder)
    assert (data.seed_returns, data.trials) == (None, None)
    text = section_of(write_report(run.folder, stamp="").read_text(encoding="utf-8"))
    assert "Not known: the number of variants that were tried was not recorded" in text
    assert "Growth of 1, one line per seed not drawn: there are no returns of single seeds." in text
    written = significance_metrics(measure_significance(data))
    known = {name for name, value in written.items() if value is not None}
    assert {"probabilistic_sharpe_ratio", "sharpe_ratio_low", "max_drawdown_low"} <= known
    assert not any(("trial" in name or "seed" in name or "reality" in name or "deflated" in name) for name in known)


def test_bare_result_has_only_figures_from_returns(run, tmp_path):
    result = BacktestResult(
        returns=run.returns, positions=run.positions, transactions=run.transactions, orders=run.orders,
        initial_cash=1e6, warnings=(), stopped=None, settings={},
    )  # fmt: skip
    text = section_of(tear_sheet(result, path=tmp_path / "x.html").read_text(encoding="utf-8"))
    significance = measure_significance(RunData(title="x", returns=run.returns))
    assert f"Probabilistic Sharpe ratio {significance.path.probability:.3f} If the true Sharpe ratio were zero" in text
    assert "Sharpe ratios of resampled histories Histories of the same length" in text
    assert "Trials – Not known" in text
    assert "Sharpe ratio by seed – Not known" in text


def test_single_trial_has_the_probabilistic_sharpe_ratio(copied, run):
    write_trials(copied, run.returns.to_frame(OWN), started=1)
    written = write_metrics(copied)
    assert written["trials"] == written["effective_trials"] == 1
    assert written["deflated_sharpe_ratio"] == written["probabilistic_sharpe_ratio"]
    assert written["probability_of_backtest_overfitting"] is None
    rows = rows_of(read_run(copied))
    assert rows["Trials"][1].startswith("The only trial on record")
    assert "two trials with different returns are needed; there are 1" in rows["Probability of backtest overfitting"][1]
    assert rows["Reality check against cash"][1].startswith("The mean return is ")


def test_trials_without_returns_are_counted(copied, run):
    """A family of which only this run finished: its spread is unknown, its size is not."""
    write_trials(copied, run.returns.to_frame(OWN), started=20)
    written = write_metrics(copied)
    expected, _ = deflated_sharpe_ratio(moments(run.returns), trials=20, trial_variance=1 / (len(run.returns) - 1))
    assert written["deflated_sharpe_ratio"] == expected
    assert written["trial_sharpe_ratio_std"] is None
    assert written["effective_trials"] is None
    rows = rows_of(read_run(copied))
    assert rows["Trials"][0] == "20"
    assert "that of pure chance is assumed" in rows["Deflated Sharpe ratio"][1]
    # the snapshot may be missing altogether
    (copied / "trials.parquet").unlink()
    assert write_metrics(copied) == written


def test_trials_that_cannot_be_compared_are_counted(copied, run):
    wide = others(run.returns, 5).assign(**{OWN: run.returns})
    wide["000001"] = 0.0  # never traded
    wide["000002"] = wide["000003"]  # the very same
    wide["aaaaaa"] = run.returns  # the very same as this run, and before it in the alphabet
    wide.iloc[: len(wide) * 2 // 3, wide.columns.get_loc("000004")] = np.nan
    wide.iloc[-20:, wide.columns.get_loc("000000")] = np.nan  # stopped a little early
    write_trials(copied, wide, started=9)
    family = trial_family(read_run(copied))
    assert (family.started, family.finished) == (9, 7)
    assert list(family.returns) == ["000000", "000002", OWN]
    assert len(family.returns) == len(run.returns) - 20
    text = rows_of(read_run(copied))["Trials"][1]
    assert "2 of them without returns" in text
    assert "4 that are too short, constant or equal to another are counted but not compared" in text


@pytest.mark.parametrize(("others_tested", "words"), [(0, ""), (1, "1 trial on"), (1200, "1,200 trials on")])
@pytest.mark.parametrize("started", [1, 5])
def test_trials_with_other_universes_are_mentioned_and_not_counted(copied, run, others_tested, words, started):
    write_trials(copied, run.returns.to_frame(OWN), started=started)
    without = write_metrics(copied)
    manifest = read_json(copied / "manifest.json")
    manifest["trial"]["other_universes"] = others_tested
    write_json(copied / "manifest.json", manifest)
    assert write_metrics(copied) == without | {"trials_other_universes": others_tested}
    text = rows_of(read_run(copied))["Trials"][1]
    assert ("the same days with other universes, not counted here." in text) == bool(words)
    assert words in text
    assert text.endswith("Counted at the time given in the last line of this report.")


def test_another_trial_may_be_the_best(copied, run):
    wide = others(run.returns, 3).assign(**{OWN: run.returns})
    wide["000001"] += 0.004
    write_trials(copied, wide, started=4)
    rows = rows_of(read_run(copied))
    assert rows["Reality check against SPY"][0] == "p < 0.001"
    assert rows["Reality check against SPY"][1].startswith("Another trial has the highest mean return")


@pytest.mark.parametrize("sessions", [10, 59, 61, 150])
def test_short_runs_give_reasons_for_missing_figures(make_run, tmp_path, sessions):
    made = make_run(tmp_path / "run", sessions=sessions, folds=1, seeds=1)
    write_trials(made.folder, others(made.returns, 4).assign(**{OWN: made.returns}), started=5)
    write_seeds(made.folder, made.returns, 3)
    written = write_metrics(made.folder)
    run = read_run(made.folder)
    reasons = {name: chart.reason for name, chart in charts_of(run).items()}
    text = " ".join([*(" ".join(row) for row in rows_of(run).values()), *filter(None, reasons.values())])
    assert reasons["seed_dispersion"] is None
    assert (reasons["resampled_sharpe"] is None) == (sessions >= 60)
    assert (written["probabilistic_sharpe_ratio"] is None) == (sessions < 60)
    assert written["probability_of_backtest_overfitting"] is None
    assert f"160 sessions that all trials have are needed; there are {sessions}" in text
    if sessions < 60:
        assert f"60 sessions are needed; there are {sessions}" in text
        assert written["deflated_sharpe_ratio"] is None
    assert written["sharpe_ratio_seeds"] == 3
    assert not re.search(r"\b(nan|inf|none)\b", text, flags=re.I)


def test_ruined_and_constant_accounts_have_no_figures(run):
    ruined = run.returns.copy()
    ruined.iloc[-1] = -1.2
    rows = rows_of(RunData(title="x", returns=ruined))
    assert rows["Maximum drawdown, 95% interval"] == ("–", "Not known: a session lost the whole account value.")
    still = RunData(title="x", returns=0.0 * run.returns)
    assert "the account's return never changed" in rows_of(still)["Sharpe ratio, 95% interval"][1]
    assert charts_of(still)["resampled_sharpe"].reason == "the account's return never changed"
    falling = RunData(title="x", returns=-run.returns.abs())
    assert rows_of(falling)["Minimum track record"][0] == "–"
    assert significance_metrics(measure_significance(falling))["min_track_record_length"] is None


@pytest.mark.parametrize(
    ("name", "spoil", "words"),
    [
        ("trials.parquet", lambda f: f.rename(columns={"returns": "r"}), "found columns"),
        ("trials.parquet", lambda f: f.rename(columns={"date": "day"}), "expected columns date, trial"),
        ("trials.parquet", lambda f: pd.concat([f, f.iloc[:1]]), "found a trial with a date twice"),
        ("trials.parquet", lambda f: f.assign(returns=np.nan), "expected finite returns"),
        ("trials.parquet", lambda f: f.assign(returns="x"), "expected finite returns"),
        ("seed_returns.parquet", lambda f: f.assign(**{"1": np.inf}), "found other values in 1"),
        ("seed_returns.parquet", lambda f: f.iloc[::-1], "found dates that go back"),
        ("seed_returns.parquet", lambda f: f.rename(columns={"date": "day"}), "expected columns date"),
    ],
)
def test_a_damaged_file_is_one_line(
    significance_run, tmp_path, name, spoil: Callable[[pd.DataFrame], pd.DataFrame], words
):
    folder = tmp_path / "run"
    shutil.copytree(significance_run, folder)
    spoil(pd.read_parquet(folder / name).reset_index()).to_parquet(folder / name, index=False)
    with pytest.raises(InputError, match=re.escape(name)) as error:
        write_metrics(folder)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_outside_text_is_escaped(copied, run):
    evil = "<script>alert('x')</script>"
    wide = others(run.returns, 2).assign(**{OWN: run.returns}).rename(columns={"000000": evil})
    write_trials(copied, wide, started=3)
    seeds = others(run.returns, 2).set_axis([evil, "$x$"], axis=1)
    write_parquet(copied / "seed_returns.parquet", seeds)
    config = copied / "config.toml"
    config.write_text(config.read_text().replace('"SPY"', f'"{evil}"'), encoding="utf-8")
    assert "<script" not in write_report(copied, stamp="").read_text(encoding="utf-8")


def test_conclusion_and_headline_name_the_number_of_trials(significance_run):
    from reports.narrative import headline_figures, verdict

    data = read_run(significance_run)
    metrics = write_metrics(significance_run)
    small = {label: text for label, _, text in headline_figures(data, metrics, None)}
    assert small["Sharpe ratio"].startswith("95%: ")
    better = metrics | {
        "excess_return_universe": 0.2,
        "excess_return_low_universe": 0.1,
        "excess_return_high_universe": 0.3,
        "beta_universe": 1.0,
        "deflated_sharpe_ratio": 0.42,
    }
    assert "on this single history, one of 14 trials (deflated Sharpe ratio 0.42)" in verdict(data, better, None)
    assert "on this single history, the only trial on record" in verdict(data, better | {"trials": 1}, None)
    assert "the number of trials that preceded it is not recorded" in verdict(data, better | {"trials": None}, None)


def test_two_trials_that_agree_do_not_speak_for_five_hundred():
    """Where returns of most trials are unknown, their spread is at least that of pure chance."""
    from reports.significance.comparable_trials import TrialFamily
    from reports.significance.measures import _deflation, _path

    rng = np.random.default_rng(3)
    own = pd.Series(rng.normal(0.0006, 0.01, 1000), pd.date_range("2015-01-01", periods=1000, tz="UTC"))
    twins = pd.DataFrame({"a": own, "b": own + rng.normal(0, 1e-6, 1000)})
    reasons: dict[str, str] = {}
    path = _path(own, 0.0, reasons)
    most = _deflation(TrialFamily("a", 2, 2, twins), path, 0.0, reasons)
    few = _deflation(TrialFamily("a", 500, 2, twins), path, 0.0, reasons)
    assert not most.assumed
    assert few.assumed
    assert few.spread == pytest.approx(1 / np.sqrt(999))
    assert few.threshold > 0.05 > most.threshold
    assert few.probability < most.probability
