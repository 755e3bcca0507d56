"""Trial ledger: its location, damaged or locked files, and the import of a former ledger."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import platformdirs
import pytest

import rnn_strategies as rs
from rnn_strategies.runs.workspace import Home
from rnn_strategies.trials.comparable_trials import family_of
from rnn_strategies.trials.evaluation_set import EvaluationSet
from rnn_strategies.trials.ledger_import import import_old_ledger
from rnn_strategies.trials.trial_ledger import Trial, TrialLedger, default_ledger
from signals.common.errors import InputError, LockedError

TRIAL = Trial("a" * 16, None, "c" * 64, "run", {"universe": "u", "calendar": "XNYS", "period": ["x", "y"]}, "started")
DAYS = pd.date_range("2020-01-02", periods=3, tz="UTC", name="date").as_unit("ns")
RETURNS = pd.Series([0.01, -0.01, 0.02], DAYS, name="returns")


@pytest.fixture
def ledger(tmp_path):
    return TrialLedger(tmp_path / "ledger")


def weekly(first, periods, tickers, seed=0, frequency="W-FRI"):
    dates = pd.date_range(first, periods=periods, freq=frequency).to_numpy().astype("datetime64[D]")
    returns = np.random.default_rng(seed).normal(0, 0.01, 10_000)[dates.astype(int) % 10_000]  # one a day
    return EvaluationSet("XNYS", dates, tuple(tickers), np.round(returns, 4))


# -- where it is -------------------------------------------------------------------------------------------------------


def test_tests_never_reach_the_ledger_of_the_user(monkeypatch, tmp_path):
    """Neither here nor in a process that a test starts; the guard itself is what fails."""
    assert default_ledger().root == Path(os.environ["RNN_STRATEGIES_LEDGER"])
    code = "from rnn_strategies.trials.trial_ledger import default_ledger; print(default_ledger().root)"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == os.environ["RNN_STRATEGIES_LEDGER"]
    monkeypatch.delenv("RNN_STRATEGIES_LEDGER")
    with pytest.raises(AssertionError, match="the trial ledger of the user"):
        default_ledger()
    # a process without the variable uses a folder of the tests as the user's, which has to stay empty
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    if sys.platform == "linux":
        assert process.stdout.strip() == str(Path(os.environ["XDG_DATA_HOME"], "rnn-strategies"))
        assert "rnn-strategies-tests-" in os.environ["XDG_DATA_HOME"]


@pytest.mark.skipif(sys.platform != "linux", reason="the place is the platform's; this is how Linux names it")
def test_by_default_it_is_found_from_any_working_directory(support, tmp_path):
    from configs import write_tiny

    config = write_tiny(tmp_path / "c.toml")
    environment = {**os.environ, "XDG_DATA_HOME": str(tmp_path / "data"), "PYTHONPATH": os.pathsep.join(sys.path)}
    del environment["RNN_STRATEGIES_LEDGER"], environment["RNN_STRATEGIES_HOME"]
    for k, where in enumerate(("a", "b"), start=3):
        (tmp_path / where).mkdir()
        command = [sys.executable, "-c", "from rnn_strategies.cli import main; main()"]
        arguments = ["run", str(config), "--set", f"strategy.k={k}", "--jobs", "1"]
        subprocess.run([*command, *arguments], cwd=tmp_path / where, env=environment, check=True, capture_output=True)
    stated = json.loads((tmp_path / "b" / "runs" / "small" / "manifest.json").read_text())["trial"]
    assert (stated["started"], stated["finished"]) == (2, 2)
    assert (tmp_path / "data" / "rnn-strategies" / "ledger.jsonl").is_file()
    assert not (tmp_path / "a" / ".rnn-strategies" / "trials.jsonl").exists()


def test_the_place_is_that_of_the_platform(monkeypatch, tmp_path):
    monkeypatch.delenv("RNN_STRATEGIES_LEDGER")
    asked = []

    def place(name, appauthor):
        asked.append((name, appauthor))
        return tmp_path / name

    monkeypatch.setattr(platformdirs, "user_data_path", place)
    assert default_ledger().root == tmp_path / "rnn-strategies"
    assert asked == [("rnn-strategies", False)]
    monkeypatch.setattr(platformdirs, "user_data_path", lambda *_, **__: Path("~/.local/share/rnn-strategies"))
    with pytest.raises(InputError, match="set RNN_STRATEGIES_LEDGER to an absolute path"):
        default_ledger()


def test_a_place_that_depends_on_the_working_directory_is_refused(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RNN_STRATEGIES_LEDGER", "ledger")
    with pytest.raises(
        InputError, match=r"expected RNN_STRATEGIES_LEDGER as an absolute path.*found 'ledger'"
    ) as error:
        default_ledger()
    assert str(tmp_path / "ledger") in str(error.value)
    monkeypatch.setenv("RNN_STRATEGIES_LEDGER", "~/trials")
    assert default_ledger().root == Path.home() / "trials"


def test_unwritable_ledger_raises_before_any_work(support, tmp_path, monkeypatch):
    from configs import write_tiny

    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RNN_STRATEGIES_LEDGER", str(tmp_path / "file" / "ledger"))
    stages = []
    with pytest.raises(InputError) as error:
        rs.run(
            write_tiny(tmp_path / "c.toml"), out=tmp_path / "1", jobs=1, on_progress=lambda e: stages.append(e.stage)
        )
    assert "expected to write the trial ledger in" in str(error.value)
    assert "set RNN_STRATEGIES_LEDGER to the absolute path of another one" in str(error.value)
    assert set(stages) <= {"prices"}
    monkeypatch.setenv("RNN_STRATEGIES_LEDGER", str(tmp_path / "another"))
    rs.run(tmp_path / "c.toml", out=tmp_path / "1", jobs=1)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs permissions that hold for this user")
def test_folders_without_permission_are_named(ledger):
    ledger.root.mkdir()
    ledger.root.chmod(0o500)
    try:
        with pytest.raises(InputError, match=r"Permission denied.*RNN_STRATEGIES_LEDGER"):
            ledger.check_writable()
    finally:
        ledger.root.chmod(0o700)


@pytest.mark.parametrize("write", ["check_writable", "start", "keep_returns", "keep_evaluation_set"])
def test_a_full_disk_is_named_with_the_remedy(ledger, write, monkeypatch):
    import errno

    def full(*_arguments, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    arguments = {"start": [TRIAL], "keep_returns": [RETURNS], "keep_evaluation_set": [weekly("2020-01-03", 5, "AB")]}
    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(InputError, match=r"write the trial ledger in .*No space left.*RNN_STRATEGIES_LEDGER"):
        getattr(ledger, write)(*arguments.get(write, []))


# -- what it survives --------------------------------------------------------------------------------------------------


WRITER = """
import sys
from dataclasses import replace
from rnn_strategies.trials.trial_ledger import Trial, default_ledger
ledger = default_ledger()
for i in range(40):
    trial = Trial(f"{sys.argv[1]}{i:03}", None, "c", "run", {}, "started")
    ledger.start(trial)
    ledger.finish(replace(trial, status="done", sharpe=float(i)))
"""


def test_two_processes_writing_at_once_lose_nothing():
    processes = [subprocess.Popen([sys.executable, "-c", WRITER, name]) for name in "AB"]
    assert [process.wait(timeout=240) for process in processes] == [0, 0]
    trials = default_ledger().trials()
    assert len(trials) == 80
    assert all(trial.status == "done" for trial in trials.values())


def test_ledger_locked_by_another_process_raises(ledger, monkeypatch):
    from filelock import FileLock

    monkeypatch.setattr("rnn_strategies.trials.trial_ledger._LOCK_TIMEOUT", 0.01)
    ledger.root.mkdir()
    with FileLock(ledger.root / ".ledger.jsonl.lock"), pytest.raises(LockedError, match="run the same command again"):
        ledger.start(TRIAL)


def test_recorded_result_is_not_written_twice(ledger):
    for _ in range(3):
        ledger.start(TRIAL)
        ledger.finish(replace(TRIAL, status="done", sharpe=1.0))
        ledger.fail(TRIAL.id)
    assert len(ledger.path.read_text().splitlines()) == 2
    assert ledger.trials()[TRIAL.id].status == "done"


def test_incomplete_lines_and_unknown_fields_are_ignored(ledger):
    ledger.start(TRIAL)
    line = json.dumps({**asdict(replace(TRIAL, id="b" * 16)), "colour": "red", "at": "later"})
    with open(ledger.path, "a") as handle:
        handle.write(f'{line}\nnull\n[1]\n{{"id": 3}}\n{line[:40]}')
    ledger.start(replace(TRIAL, id="e" * 16))
    assert [name[0] for name in ledger.trials()] == ["a", "b", "e"]


def test_contents_that_were_damaged_are_unknown_and_written_again(ledger):
    trial = replace(
        TRIAL, returns=ledger.keep_returns(RETURNS), evaluated=ledger.keep_evaluation_set(weekly("2020", 9, "A"))
    )
    assert ledger.returns(trial).equals(RETURNS)
    for path in [path for path in ledger.root.rglob("*") if path.is_file()]:
        path.write_bytes(b"damaged")
    assert (ledger.returns(trial), ledger.evaluation_set(trial)) == (None, None)
    assert ledger.keep_returns(RETURNS) == trial.returns
    assert ledger.keep_evaluation_set(weekly("2020", 9, "A")) == trial.evaluated
    assert ledger.returns(trial).equals(RETURNS)
    assert ledger.evaluation_set(trial).tickers == ("A",)


# -- what was tested ---------------------------------------------------------------------------------------------------


def test_an_evaluation_set_is_read_as_it_was_written():
    one = weekly("2019-05-03", 60, ["NA", "é", "X"])
    one.market_returns[3] = np.nan
    two = EvaluationSet.from_bytes(one.to_bytes())
    assert (two.calendar, two.tickers, two.to_bytes()) == (one.calendar, one.tickers, one.to_bytes())
    np.testing.assert_array_equal(two.dates, one.dates)
    np.testing.assert_array_equal(two.market_returns, one.market_returns)
    for damaged in (b"{}", b"[", b'{"dates": [], "tickers": [], "market_returns": [], "calendar": ""}'):
        with pytest.raises((ValueError, KeyError)):
            EvaluationSet.from_bytes(damaged)


def test_days_are_shared_whatever_the_frequency_of_decisions():
    year = weekly("2020-01-03", 52, "A")
    for frequency, periods in (("B", 255), ("ME", 12), ("QE", 4)):
        other = weekly("2020-01-03", periods, "A", frequency=frequency)
        assert year.shared_dates(other) > 0.7
        assert other.shared_dates(year) > 0.7
    assert year.shared_dates(weekly("2020-07-03", 52, "A")) == pytest.approx(0.49, abs=0.02)
    assert year.shared_dates(weekly("2021-07-02", 52, "A")) == 0
    assert weekly("2020-07-03", 9, "A").shared_dates(year) == 1
    # of a yearly test most days are of no decision
    assert weekly("2018-12-31", 3, "A", frequency="YE").shared_dates(weekly("2018-12-31", 105, "A")) > 0.97
    assert weekly("2018-12-31", 105, "A").shared_dates(weekly("2018-12-31", 3, "A", frequency="YE")) < 0.3


def test_equal_names_of_another_market_are_no_shared_tickers():
    one, again = weekly("2020-01-03", 52, "ABCD"), weekly("2020-03-06", 52, "ABXYZ")
    assert (one.shared_tickers(again), again.shared_tickers(one)) == (0.5, 0.4)
    assert one.shared_tickers(weekly("2020-01-03", 52, "ABCD", seed=1)) == 0
    # too few common dates to tell, or no returns at all: names decide
    assert one.shared_tickers(weekly("2020-12-04", 52, "ABCD", seed=1)) == 1
    unknown = replace(one, market_returns=np.full(52, np.nan))
    assert unknown.shared_tickers(weekly("2020-01-03", 52, "ABCD", seed=1)) == 1


def test_the_market_is_the_mean_return_of_the_tickers_on_each_date():
    from rnn_strategies.trials.evaluation_set import evaluation_set

    prices = rs.load_prices(
        source="simulated", seed=2, n_tickers=5, start="2020-01-01", end="2020-12-31", missing_rate=0.1
    )
    panel = prices.panel()
    names, days = panel.tickers[1:4], panel.dates[[0, 7, 100, 101, 200]]
    found = evaluation_set(prices, [*days, days[1], np.datetime64("2020-07-04")], names)
    change = panel.close[1:] / panel.close[:-1] - 1
    expected = [np.nan, *(np.nanmean(change[i - 1, 1:4]) for i in (7, 100, 101)), np.nan, np.nanmean(change[199, 1:4])]
    assert len(found.dates) == 6
    np.testing.assert_allclose(found.market_returns, expected, atol=5.1e-5)


def of(ledger, name, evaluated=None, **changes):
    digest = None if evaluated is None else ledger.keep_evaluation_set(evaluated)
    trial = replace(TRIAL, id=name * 16, evaluated=digest, **changes)
    ledger.start(trial)
    return trial


def test_a_family_is_what_tested_at_least_half_of_the_days_and_tickers(ledger):
    own = of(ledger, "0", weekly("2020-01-03", 100, "ABCD"))
    of(ledger, "1", weekly("2020-01-03", 100, "ABXYZ"))
    of(ledger, "2", weekly("2020-01-03", 100, "AXYZ"))
    of(ledger, "3", weekly("2021-06-04", 100, "ABCD"))
    of(ledger, "4", weekly("2020-06-05", 100, "ABCDEFGH"), family={})
    of(ledger, "5", weekly("2020-01-03", 100, "ABCD"), experiment=True)
    of(ledger, "6", weekly("2020-01-03", 100, "ABCD", seed=1))
    found = family_of(ledger, own, RETURNS)
    assert (found.started, found.finished, found.other_universes) == (3, 1, 2)  # 0, 1 and 4; beside them 2 and 6
    assert found.returns["date"].dt.tz is None


def test_without_an_evaluation_set_settings_decide(ledger):
    """As for the trials of former versions."""
    own = of(ledger, "0", weekly("2020-01-03", 100, "ABCD"))
    of(ledger, "1")
    of(ledger, "2", family={**TRIAL.family, "universe": "v"})
    of(ledger, "3", family={**TRIAL.family, "period": ["x", "z"]})
    found = family_of(ledger, own, RETURNS)
    assert (found.started, found.other_universes) == (2, 1)


# -- a ledger of former versions ---------------------------------------------------------------------------------------


@pytest.fixture
def former(support, tmp_path, monkeypatch):
    """A workspace with the ledger that former versions wrote, and the two runs in it; the user's ledger is empty."""
    from configs import write_tiny

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "rnn_strategies.pipelines.panel_run.write_report", lambda folder: (folder / "report.html").write_text("-")
    )
    config, entries = write_tiny(Path("c.toml")), []
    monkeypatch.setenv("RNN_STRATEGIES_HOME", ".rnn-strategies")
    monkeypatch.setenv("RNN_STRATEGIES_LEDGER", str(tmp_path / "another"))
    for k in (3, 4):
        made = rs.run(config, out=Path("runs") / str(k), overrides=[f"strategy.k={k}"], jobs=1)
        trial = default_ledger().trials()[json.loads((made.folder / "manifest.json").read_text())["trial"]["id"]]
        entry = {name: getattr(trial, name) for name in ("id", "parent", "config", "kind", "family")}
        entries += [
            entry | {"status": "started", "sharpe": None, "returns": None},
            entry | {"status": "done", "sharpe": trial.sharpe, "returns": f"runs/{k}/returns.parquet"},
        ]
    audited = {**entries[0], "id": "d" * 16, "parent": entries[0]["id"], "kind": "audit", "status": "done"}
    entries += [audited, {**entries[0], "id": "f" * 16, "config": "x"}]
    lines = [json.dumps(entry | {"at": "2026-01-02T03:04:05+00:00"}) for entry in entries]
    Path(".rnn-strategies/trials.jsonl").write_text("\n".join(lines) + '\n{"id": "torn')
    monkeypatch.setenv("RNN_STRATEGIES_LEDGER", str(tmp_path / "user"))
    shutil.rmtree(tmp_path / "another")
    return config


def test_a_ledger_of_former_versions_is_imported_once(former, tmp_path, monkeypatch):
    old = Path(".rnn-strategies/trials.jsonl").read_bytes()
    made = rs.run(former, out="runs/5", overrides=["strategy.k=5"], jobs=1)
    stated = json.loads((made.folder / "manifest.json").read_text())["trial"]
    # two runs, one that was begun only, and this one; what the audit tried does not count
    assert (stated["started"], stated["finished"]) == (4, 3)
    trials = default_ledger().trials()
    assert [trial.experiment for trial in trials.values()] == [False, False, True, False, False]
    assert [trial.folder for trial in trials.values()][:2] == [str(tmp_path / "runs" / k) for k in "34"]
    length = len(default_ledger().path.read_text().splitlines())
    shutil.rmtree("runs/3")  # its returns were copied
    monkeypatch.chdir("/")
    monkeypatch.setenv("RNN_STRATEGIES_HOME", str(tmp_path / ".rnn-strategies"))
    made = rs.run(tmp_path / "c.toml", out=tmp_path / "runs/6", overrides=["strategy.k=6"], jobs=1)
    stated = json.loads((made.folder / "manifest.json").read_text())["trial"]
    assert (stated["started"], stated["finished"]) == (5, 4)
    assert len(default_ledger().path.read_text().splitlines()) == length + 2  # begun and done
    assert (tmp_path / ".rnn-strategies/trials.jsonl").read_bytes() == old


def test_interrupted_import_is_repeated(former):
    home, ledger = Home(Path(".rnn-strategies")), default_ledger()
    import_old_ledger(ledger, home)
    whole, trials = ledger.path.read_bytes(), ledger.trials()
    assert len(ledger.imports()) == 1
    import_old_ledger(ledger, home)
    assert ledger.path.read_bytes() == whole
    for length in range(0, len(whole), 97):
        ledger.path.write_bytes(whole[:length])
        import_old_ledger(ledger, home)
        assert ledger.trials() == trials
        assert len(ledger.imports()) == 1


def test_what_a_former_version_added_since_is_imported_and_what_is_known_stays(former):
    home, ledger = Home(Path(".rnn-strategies")), default_ledger()
    import_old_ledger(ledger, home)
    first = next(iter(ledger.trials().values()))
    ledger.finish(replace(first, sharpe=7.0))
    with open(home.trials, "a") as handle:
        handle.write("\n" + json.dumps({**asdict(TRIAL), "returns": "gone/returns.parquet", "status": "done"}) + "\n")
    import_old_ledger(ledger, home)
    trials = ledger.trials()
    assert trials[first.id].sharpe == 7.0
    assert trials[TRIAL.id].folder == str(Path("gone").resolve())
    assert trials[TRIAL.id].returns is None


def test_unreadable_old_ledger_raises(tmp_path, ledger):
    (tmp_path / "home" / "trials.jsonl").mkdir(parents=True)
    with pytest.raises(InputError, match=r"expected to import the trial ledger .*trials\.jsonl.*move it elsewhere"):
        import_old_ledger(ledger, Home(tmp_path / "home"))
