"""The trial ledger and the family it makes: everything that was tried counts, nothing counts twice."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import rnn_strategies as rs
from rnn_strategies.family import family_of
from rnn_strategies.home import Home, default_home
from rnn_strategies.trials import Trial, finish_trial, read_trials, start_trial
from signals.errors import InputError

TRIAL = Trial("a" * 16, None, "c" * 64, "run", {"universe": "u", "calendar": "XNYS", "period": ["x", "y"]}, "started")


@pytest.fixture
def small(support, tmp_path):
    from configs import write_small

    return write_small(tmp_path / "small.toml")


@pytest.fixture(autouse=True)
def no_drawing(monkeypatch):
    monkeypatch.setattr("rnn_strategies.pipeline.write_report", lambda folder: (folder / "report.html").write_text("-"))


def counted(run):
    return json.loads((run.folder / "manifest.json").read_text())["trial"]


def returns_of(run):
    return pd.read_parquet(run.folder / "trials.parquet")


def test_swept_abandoned_and_failed_runs_are_counted_and_repeats_are_not(small, tmp_path):
    first = rs.run(small, out=tmp_path / "1", jobs=1)
    assert (counted(first)["started"], counted(first)["finished"]) == (1, 1)
    for k in (5, 9, 12):  # a sweep
        swept = rs.run(small, out=tmp_path / f"k{k}", overrides=[f"strategy.k={k}"], jobs=1)
    assert (counted(swept)["started"], counted(swept)["finished"]) == (4, 4)

    def interrupt(event):
        if event.stage == "signals":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):  # abandoned
        rs.run(small, out=tmp_path / "k20", overrides=["strategy.k=20"], jobs=1, listener=interrupt)
    with pytest.raises(InputError):  # failed
        rs.run(small, out=tmp_path / "f", overrides=["universe.min_history=1000000"], jobs=1)
    with pytest.raises(InputError):  # failed within the family
        rs.run(small, out=tmp_path / "g", overrides=["model.lookback=2000"], jobs=1)
    rs.run(small, out=tmp_path / "again", jobs=1)  # a repetition
    last = rs.run(small, out=tmp_path / "last", overrides=["strategy.k=3"], jobs=1)
    # 1, three swept, one abandoned, one failed on the same universe, the last: the repetition is none
    assert (counted(last)["started"], counted(last)["finished"]) == (7, 5)
    statuses = sorted(trial.status for trial in read_trials(default_home()).values())
    assert statuses == ["done"] * 5 + ["failed"] * 2 + ["started"]


def test_a_repetition_leaves_the_same_bytes(small, tmp_path):
    one = rs.run(small, out=tmp_path / "1", jobs=1)
    two = rs.run(small, out=tmp_path / "2", jobs=1)
    for name in ("trials.parquet", "seed_returns.parquet", "metrics.json", "manifest.json"):
        assert (one.folder / name).read_bytes() == (two.folder / name).read_bytes(), name


def test_returns_of_the_family_are_those_of_its_runs(small, tmp_path):
    one = rs.run(small, out=tmp_path / "1", jobs=1)
    two = rs.run(small, out=tmp_path / "2", overrides=["strategy.k=4"], jobs=1)
    table = returns_of(two)
    assert table["trial"].nunique() == 2
    assert counted(two)["id"] in set(table["trial"])
    other = table[table["trial"] != counted(two)["id"]]["returns"].to_numpy()
    assert other.tobytes() == one.result.returns.to_numpy().tobytes()


def test_a_folder_that_was_used_again_is_not_the_trial_it_was(small, tmp_path):
    import shutil

    rs.run(small, out=tmp_path / "1", jobs=1)
    shutil.rmtree(tmp_path / "1")
    rs.run(small, out=tmp_path / "1", overrides=["strategy.k=4"], jobs=1)
    last = rs.run(small, out=tmp_path / "3", overrides=["strategy.k=6"], jobs=1)
    assert (counted(last)["started"], counted(last)["finished"]) == (3, 2)
    shutil.rmtree(tmp_path / "1")
    last = rs.run(small, out=tmp_path / "4", overrides=["strategy.k=7"], jobs=1)
    assert (counted(last)["started"], counted(last)["finished"]) == (4, 2)


def test_each_seed_alone_is_what_trading_it_alone_gives(small, tmp_path):
    both = rs.run(small, out=tmp_path / "1", jobs=1)
    alone = rs.run(small, out=tmp_path / "2", overrides=["training.seeds=[1]"], jobs=1)
    table = pd.read_parquet(both.folder / "seed_returns.parquet").set_index("date")
    assert list(table.columns) == ["0", "1"]
    np.testing.assert_array_equal(table["1"].to_numpy(), alone.result.returns.to_numpy())
    assert not (alone.folder / "seed_returns.parquet").exists()


def test_another_family_is_another_question(tmp_path):
    home = Home(tmp_path / "home")
    start_trial(home, TRIAL)
    start_trial(home, replace(TRIAL, id="b" * 16))
    start_trial(home, replace(TRIAL, id="e" * 16, family={**TRIAL.family, "period": ["x", "z"]}))
    own = pd.Series([0.01, -0.01], pd.date_range("2020-01-02", periods=2, tz="UTC"))
    family = family_of(home, TRIAL, own)
    assert (family.started, family.finished) == (2, 1)
    assert family.returns["date"].dt.tz is None


WRITER = """
import sys
from dataclasses import replace
from rnn_strategies.home import Home
from rnn_strategies.trials import Trial, finish_trial, start_trial
home = Home(__import__("pathlib").Path(sys.argv[1]))
for i in range(40):
    trial = Trial(f"{sys.argv[2]}{i:03}", None, "c", "run", {}, "started")
    start_trial(home, trial)
    finish_trial(home, replace(trial, status="done", sharpe=float(i)))
"""


def test_two_processes_writing_at_once_lose_nothing(tmp_path):
    processes = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "home"), name]) for name in "AB"]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    trials = read_trials(Home(tmp_path / "home"))
    assert len(trials) == 80
    assert all(trial.status == "done" for trial in trials.values())


def test_an_end_on_record_is_not_written_twice(tmp_path):
    home = Home(tmp_path / "home")
    start_trial(home, TRIAL)
    for _ in range(3):
        start_trial(home, TRIAL)
        finish_trial(home, replace(TRIAL, status="done", sharpe=1.0))
    assert len(home.trials.read_text().splitlines()) == 2
