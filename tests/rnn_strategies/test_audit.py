"""Audit: verdicts, exit codes, unchanged run folders, and the pytest fixture."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import rnn_strategies as rs
from rnn_strategies.audit.audit import CHECKS, audit_run
from rnn_strategies.cli import app
from rnn_strategies.runs.backtest_variants import delayed
from rnn_strategies.trials.trial_ledger import default_ledger
from signals.common.errors import InputError


@pytest.fixture
def small(support, tmp_path):
    from configs import write_small

    return write_small(tmp_path / "small.toml")


@pytest.fixture(scope="module")
def support_path():
    from pathlib import Path

    return Path(__file__).resolve().parents[1] / "support"


@pytest.fixture
def finished(small, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "rnn_strategies.pipelines.panel_run.write_report", lambda folder: (folder / "report.html").write_text("-")
    )
    return rs.run(small, out=tmp_path / "run", jobs=1)


def bytes_of(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_every_check_gives_a_verdict_and_the_folder_stays_as_it_is(finished):
    before = bytes_of(finished.folder)
    found = audit_run(finished.folder, cutoffs=1, jobs=1)
    assert [verdict.check for verdict in found.verdicts] == list(CHECKS)
    assert found.passed, found.text()
    assert bytes_of(finished.folder) == before
    assert len(found.unproved) >= 5
    words = found.text()
    assert all(f"{check}:" in words for check in CHECKS)
    assert "cannot be proved" in words
    # stored networks of a custom trainer are not reused, because data that it reads by itself are not in their keys
    evidence = dict(found.verdict("look-ahead").evidence)
    assert any("0 models trained" not in words for words in evidence.values())


def test_sensitivity_varies_settings_and_registers_trained_variants(finished):
    verdict = audit_run(finished.folder, only=["sensitivity"], jobs=1).verdict("sensitivity")
    rows = {row["choice"]: row for row in verdict.table}
    assert list(rows) == [
        "as it is", "seed 0 alone", "seed 1 alone", "costs × 0", "costs × 2", "costs × 3",
        "executed one session later", "look-back 7 (seed 0)", "look-back 9 (seed 0)",
    ]  # fmt: skip
    sharpe = {name: float(row["Sharpe ratio"]) for name, row in rows.items()}
    assert sharpe["as it is"] == pytest.approx(finished.metrics["sharpe_ratio"], abs=0.005)
    assert sharpe["costs × 0"] > sharpe["as it is"] > sharpe["costs × 2"] > sharpe["costs × 3"]
    trials = list(default_ledger().trials().values())
    assert sorted(trial.kind for trial in trials) == ["audit", "audit", "run"]
    own = next(trial for trial in trials if trial.kind == "run")
    assert {trial.parent for trial in trials if trial.kind == "audit"} == {own.id}
    assert all(trial.family == own.family for trial in trials)
    audit_run(finished.folder, only=["sensitivity"], jobs=1)
    assert len(default_ledger().trials()) == 3  # asking again is no trial


def test_a_delay_moves_every_score_to_the_next_session():
    prices = rs.load_prices(source="simulated", seed=1, n_tickers=3, start="2014-01-01", end="2014-01-31")
    days = pd.DatetimeIndex(["2014-01-10", "2014-01-17", "2014-01-31"]).astype("datetime64[ns]")
    index = pd.MultiIndex.from_product([days, prices.tickers[:2]], names=["date", "ticker"])
    later = delayed(pd.DataFrame({"score": np.arange(6.0)}, index=index), prices)
    assert [str(day)[:10] for day in later.index.get_level_values("date").unique()] == ["2014-01-13", "2014-01-21"]
    assert later["score"].tolist() == [0.0, 1.0, 2.0, 3.0]


def test_feature_with_too_short_warm_up_fails(small, monkeypatch):
    from signals.features.feature import Feature

    monkeypatch.setattr(Feature, "warm_up", lambda self, arguments, longest: 5)
    path = small
    path.write_text(path.read_text() + '\n[features]\ninputs = ["return", "volatility(21)"]\n')
    verdict = audit_run(path, only=["warm-up"], jobs=1).verdict("warm-up")
    assert verdict.status == "failed"
    assert "volatility(21) (21, declares 5)" in verdict.finding


@pytest.mark.parametrize("trainer", ["keras", "compiled"])
def test_networks_of_built_in_trainers_are_reused(small, trainer):
    path = small
    text = path.read_text().replace('trainer = "linear_trainer:LinearTrainer"', f'trainer = "{trainer}"')
    path.write_text(text.replace("seeds = [0, 1]", "seeds = [0]"))
    found = audit_run(path, only=["look-ahead"], cutoffs=1, jobs=1)
    removed = [evidence for name, evidence in found.verdict("look-ahead").evidence if "removed" in name]
    assert removed
    assert all("0 models trained" in evidence for evidence in removed)


def test_audited_configuration_is_registered_once(small, tmp_path, monkeypatch):
    audit_run(small, only=["fold-checks"], jobs=1)
    assert [trial.kind for trial in default_ledger().trials().values()] == ["audit"]
    monkeypatch.setattr(
        "rnn_strategies.pipelines.panel_run.write_report", lambda folder: (folder / "report.html").write_text("-")
    )
    run = rs.run(small, out=tmp_path / "r", overrides=["model.lookback=9", "training.seeds=[0]"], jobs=1)
    audit_run(small, only=["sensitivity"], jobs=1)  # tries that look-back with that seed
    trials = default_ledger().trials()
    kept = [trial for trial in trials.values() if trial.config == run.config.hash]
    assert [(trial.kind, trial.returns is None) for trial in kept] == [("run", False)]


def test_imported_scores_have_checks_of_prices_only(tmp_path, small, monkeypatch):
    monkeypatch.setattr(
        "rnn_strategies.pipelines.panel_run.write_report", lambda folder: (folder / "report.html").write_text("-")
    )
    run = rs.run(small, out=tmp_path / "r", jobs=1)
    rs.export_scores(run.folder, tmp_path / "scores.csv")
    made = rs.import_scores(tmp_path / "scores.csv", out=tmp_path / "i", config=small)
    found = audit_run(made.folder, jobs=1)
    statuses = {verdict.check: verdict.status for verdict in found.verdicts}
    assert statuses["look-ahead"] == "skipped"
    assert found.covered.startswith("imported scores: covered are the checks of prices (adjustments, ")
    assert statuses["delisted-names"] == "passed"
    assert statuses["survivorship"] in ("passed", "noted")


@pytest.mark.parametrize(
    "options",
    [
        {"only": ["fold-checks"], "skip": ["fold-checks"]},
        {"only": ["lookahead"]},
        {"skip": ["nothing"]},
        {"cutoffs": -1},
    ],
)
def test_unknown_check_raises(small, options):
    with pytest.raises(InputError, match=r"expected (checks among|a number of cutoffs|at least one check)"):
        audit_run(small, **options)


def test_the_command_line(small, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["rnn-strategies"])
    assert app(
        ["audit", str(small), "--only", "fold-checks", "--json", str(tmp_path / "a.json")], standalone_mode=False
    ) in (
        None,
        0,
    )
    assert "PASSED   fold-checks" in capsys.readouterr().out
    saved = json.loads((tmp_path / "a.json").read_text())
    assert saved["verdicts"][0]["status"] == "passed"
    leaky = small.read_text() + '\n[features]\ninputs = ["return", "leaky_features:centred_average"]\n'
    small.write_text(leaky)
    code = app(["audit", str(small), "--only", "look-ahead"], standalone_mode=False)
    assert code == 1
    assert "leaky_features:centred_average" in capsys.readouterr().out


def test_audit_fixture_in_a_user_project(small, support_path, tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    (project / "conftest.py").write_text('pytest_plugins = ["rnn_strategies.testing"]\n')
    (project / "test_mine.py").write_text(
        f"def test_clean(audit_run):\n    audit_run({str(small)!r}, only=['fold-checks', 'look-ahead'], cutoffs=1, "
        "jobs=1)\n\n"
        f"def test_leaky(audit_run):\n    audit_run({str(small)!r}, only=['look-ahead'], jobs=1,\n"
        '            overrides=[\'features.inputs=["return", "leaky_features:next_open"]\'])\n'
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(project)]
    done = subprocess.run(
        command,
        cwd=project,
        capture_output=True,
        text=True,
        timeout=300,
        env={**__import__("os").environ, "PYTHONPATH": str(support_path)},
    )
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert "leaky_features:next_open" in done.stdout
