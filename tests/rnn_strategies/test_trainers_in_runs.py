"""Runs with both trainers: the recorded trainer, its verification, and the cost of another week of data."""

from __future__ import annotations

import json

import pandas as pd
import pytest

import rnn_strategies as rs
from rnn_strategies.audit.audit import audit_run
from rnn_strategies.doctor import diagnose
from rnn_strategies.verify.verify import verify_run
from signals.models.keras_backend import load_keras

TRAINERS = ["compiled", pytest.param("keras", marks=pytest.mark.slow)]


@pytest.fixture
def write(support):
    from configs import write_small

    def write(path, trainer="auto", **changes):
        shorter = {"end": 'end = "2014-12-19"', "n_tickers": "n_tickers = 20"}
        return write_small(path, trainer=f'trainer = "{trainer}"', **(shorter | changes))

    return write


@pytest.fixture
def no_drawing(monkeypatch):
    monkeypatch.setattr(
        "rnn_strategies.pipelines.panel_run.write_report", lambda folder: (folder / "report.html").write_text("-")
    )


@pytest.fixture
def no_compiler(monkeypatch):
    """Make the import of numba fail, until it is repaired."""

    def load_compiled_code(announce):
        raise ImportError("no numba here")

    with monkeypatch.context() as patch:
        patch.setattr("signals.trainers.compiled.load_compiled_code", load_compiled_code)
        yield patch


class Watcher:
    def __init__(self):
        self.messages = []

    def __call__(self, event):
        self.messages.append(event.message)

    def count(self, word):
        return sum(f": {word}" in message for message in self.messages)


def go(config, out, **options):
    watcher = Watcher()
    return rs.run(config, out=out, jobs=1, on_progress=watcher, **options), watcher


def read(run, name):
    return json.loads((run.folder / name).read_bytes())


def test_run_records_trainer_and_costs_of_its_networks(write, tmp_path):
    made, watcher = go(write(tmp_path / "c.toml"), tmp_path / "run")
    reason = "its compiled code supports this network on the CPU"
    assert f"trainer compiled: {reason}; batches of 512, rate 0.0036" in watcher.messages
    trainer = read(made, "manifest.json")["trainer"]
    assert (trainer["name"], trainer["reason"]) == ("compiled", reason)
    assert {"numba", "numpy"} <= trainer["versions"].keys()
    assert {"numba", "llvmlite"} <= read(made, "manifest.json")["versions"].keys()
    assert f"compiled: {reason}" in made.report.read_text()
    cost = read(made, "timings.json")["core_seconds"]["signals"]
    assert cost["networks"].keys() == read(made, "timings.json")["seconds"]["networks"].keys()
    assert cost["total"] == pytest.approx(sum(cost["networks"].values()), abs=1e-3) != 0
    found = verify_run(made.folder, home=made.home)
    assert found.passed, found.text()
    assert found.warnings == ()


@pytest.mark.usefixtures("no_drawing")
def test_recorded_trainer_is_verified(write, tmp_path):
    made, _ = go(write(tmp_path / "c.toml", trainer="compiled"), tmp_path / "run")
    path = made.folder / "manifest.json"
    original = path.read_text()
    for change in ({"name": "keras"}, {"versions": {"numba": "9.9"}}, {"reason": 5}):
        manifest = json.loads(original)
        manifest["trainer"].update(change)
        path.write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")
        found = verify_run(made.folder, home=made.home)
        assert "manifest.json" in {one.file for one in found.findings}, change
        assert "trainer" in found.text()
    path.write_text(original)
    assert verify_run(made.folder, home=made.home).passed


@pytest.mark.usefixtures("no_drawing")
def test_auto_goes_on_with_keras_and_its_networks_are_still_verified_later(write, tmp_path, no_compiler):
    config = write(tmp_path / "c.toml", seeds="seeds = [0]")
    made, watcher = go(config, tmp_path / "run")
    reason = "the compiled trainer cannot be loaded: no numba here"
    assert f"trainer keras: {reason}; batches of 512, rate 0.0036" in watcher.messages
    assert read(made, "manifest.json")["trainer"]["reason"] == reason
    assert watcher.count("trained") == 2
    no_compiler.undo()
    found = verify_run(made.folder, home=made.home)
    assert found.passed, found.text()
    assert found.warnings == ()
    watcher = Watcher()
    audit_run(made.folder, only=["warm-up"], jobs=1, on_progress=watcher)
    assert (watcher.count("trained"), watcher.count("reused")) == (0, 2)  # the run's own networks are audited
    # the compiled trainer's networks are others, and neither is taken for the other
    _, watcher = go(config, tmp_path / "other")
    assert (watcher.count("trained"), watcher.count("reused")) == (2, 0)


@pytest.mark.usefixtures("no_drawing")
def test_gpu_restrictions_are_among_the_warnings(write, tmp_path, monkeypatch):
    monkeypatch.setattr(load_keras().distribution, "list_devices", lambda kind: ["gpu:0"])
    config = write(tmp_path / "c.toml", trainer="keras", lookback="lookback = 8\nmin_steps = 4", seeds="seeds = [0]")
    made, watcher = go(config, tmp_path / "run")
    warning = "because model.min_steps prevents them"
    assert any(warning in message for message in watcher.messages)
    assert any(warning in line for line in read(made, "manifest.json")["warnings"])
    monkeypatch.undo()  # a machine without a GPU verifies it
    monkeypatch.setattr(
        "rnn_strategies.pipelines.panel_run.write_report", lambda run: (run / "report.html").write_text("-")
    )
    found = verify_run(made.folder, home=made.home)
    assert "manifest.json" not in {one.file for one in found.findings}, found.text()


@pytest.mark.usefixtures("no_drawing")
@pytest.mark.parametrize("trainer", TRAINERS)
def test_another_week_costs_the_new_fold_only_and_scores_are_appended(write, tmp_path, trainer):
    prices = rs.load_prices(source="simulated", seed=3, n_tickers=20, start="2012-01-01", end="2015-01-31")
    table = prices.frame.reset_index()
    file = tmp_path / "prices.parquet"
    config = write(tmp_path / "c.toml", trainer)
    config.write_text(
        f'[prices]\nsource = "files"\npath = "{file}"\n[universe]{config.read_text().split("[universe]")[1]}'
    )

    def until(day):
        table[table["date"] <= day].to_parquet(file)
        made, watcher = go(config, tmp_path / "run")
        return made.signals, pd.read_parquet(made.folder / "seed_scores.parquet"), watcher

    old, old_seeds, watcher = until("2014-12-12")
    assert (watcher.count("trained"), watcher.count("reused")) == (4, 0)
    for day, trained in (("2014-12-19", 0), ("2015-01-09", 2)):  # the second one begins a fold
        new, new_seeds, watcher = until(day)
        assert (watcher.count("trained"), watcher.count("reused")) == (trained, 4)
        last = old.index.get_level_values("date").max()
        assert new.index.get_level_values("date").max() > last
        pd.testing.assert_frame_equal(new.loc[:last], old, check_exact=True)
        before = new_seeds[new_seeds["date"] <= last]
        pd.testing.assert_frame_equal(before.reset_index(drop=True), old_seeds, check_exact=True)


@pytest.mark.usefixtures("no_drawing")
def test_the_audit_takes_the_network_that_auto_trained(write, tmp_path):
    made, _ = go(write(tmp_path / "c.toml", seeds="seeds = [0]"), tmp_path / "run")
    verdict = audit_run(made.folder, only=["warm-up"], jobs=1).verdict("warm-up")
    assert {"network"} <= {row["what"] for row in verdict.table}


def test_doctor_tests_the_trainer(no_compiler):
    findings = dict(diagnose())
    assert findings["trainer"] == "keras: the compiled trainer cannot be loaded: no numba here"
    no_compiler.undo()
    findings = dict(diagnose())
    assert findings["trainer"].startswith("compiled: its compiled code supports this network on the CPU; compiled ")
    assert findings["numba"][0].isdigit()


@pytest.mark.slow
def test_the_demo_runs_compiled(tmp_path, support):
    from verified import assert_verified

    from rnn_strategies.config.presets import write_preset

    write_preset(tmp_path / "demo.toml", preset="demo")
    made = rs.run(tmp_path / "demo.toml", out=tmp_path / "run")
    assert read(made, "manifest.json")["trainer"]["name"] == "compiled"
    assert_verified(made.folder)
