"""Trials of runs: every configuration with out-of-sample scores counts once, whatever its folder."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest

import rnn_strategies as rs
from rnn_strategies.audit.audit import audit_run
from rnn_strategies.pipelines.run_config import open_run
from rnn_strategies.trials.trial_ledger import default_ledger
from signals.common.errors import InputError
from signals.common.storage import write_json


@pytest.fixture
def small(support, tmp_path):
    from configs import write_tiny

    return write_tiny(tmp_path / "small.toml")


@pytest.fixture(autouse=True)
def no_drawing(monkeypatch):
    monkeypatch.setattr(
        "rnn_strategies.pipelines.panel_run.write_report", lambda folder: (folder / "report.html").write_text("-")
    )


def counted(run):
    return json.loads((run.folder / "manifest.json").read_text())["trial"]


def returns_of(run):
    return pd.read_parquet(run.folder / "trials.parquet").reset_index()


def test_swept_abandoned_and_failed_runs_are_counted_and_repeats_are_not(small, tmp_path):
    first = rs.run(small, out=tmp_path / "1", jobs=1)
    assert (counted(first)["started"], counted(first)["finished"]) == (1, 1)
    for k in (5, 7, 9):  # a sweep
        swept = rs.run(small, out=tmp_path / f"k{k}", overrides=[f"strategy.k={k}"], jobs=1)
    assert (counted(swept)["started"], counted(swept)["finished"]) == (4, 4)

    def interrupt(event):
        if event.stage == "signals" and event.done == 1:
            raise KeyboardInterrupt

    def fail(event):
        if event.stage == "backtest":
            raise InputError("as if the disk were full")

    with pytest.raises(KeyboardInterrupt):  # abandoned
        rs.run(small, out=tmp_path / "k6", overrides=["strategy.k=6"], jobs=1, on_progress=interrupt)
    with pytest.raises(InputError, match="disk"):  # failed
        rs.run(small, out=tmp_path / "k8", overrides=["strategy.k=8"], jobs=1, on_progress=fail)
    rs.run(small, out=tmp_path / "again", jobs=1)  # a repetition
    last = rs.run(small, out=tmp_path / "last", overrides=["strategy.k=2"], jobs=1)
    # 1, three swept, one abandoned, one failed, the last: the repetition is none
    assert (counted(last)["started"], counted(last)["finished"]) == (7, 5)
    statuses = sorted(trial.status for trial in default_ledger().trials().values())
    assert statuses == ["done"] * 5 + ["failed", "started"]


@pytest.mark.parametrize(
    "change", ["universe.min_history=1000000", "model.lookback=2000", "walk_forward.validation=200W", "strategy.k=0"]
)
def test_a_run_that_is_refused_before_its_first_score_is_no_trial(small, tmp_path, change):
    with pytest.raises(InputError):
        rs.run(small, out=tmp_path / "f", overrides=[change], jobs=1)
    assert default_ledger().trials() == {}


def test_a_run_that_is_stopped_before_its_first_score_is_no_trial(small, tmp_path):
    def interrupt(event):
        if event.stage == "signals":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rs.run(small, out=tmp_path / "1", jobs=1, on_progress=interrupt)
    assert default_ledger().trials() == {}


def test_a_failed_repetition_keeps_the_results_of_the_trial(small, tmp_path):
    rs.run(small, out=tmp_path / "1", jobs=1)
    before = default_ledger().trials()

    def fail(event):
        if event.stage == "backtest":
            raise InputError("as if the disk were full")

    with pytest.raises(InputError, match="disk"):
        rs.run(small, out=tmp_path / "2", jobs=1, on_progress=fail)
    assert default_ledger().trials() == before


def test_a_repetition_leaves_the_same_bytes(small, tmp_path):
    one = rs.run(small, out=tmp_path / "1", jobs=1)
    two = rs.run(small, out=tmp_path / "2", jobs=1)
    for name in ("trials.parquet", "metrics.json", "manifest.json"):
        assert (one.folder / name).read_bytes() == (two.folder / name).read_bytes(), name


def test_returns_of_the_family_are_those_of_its_runs(small, tmp_path):
    one = rs.run(small, out=tmp_path / "1", jobs=1)
    two = rs.run(small, out=tmp_path / "2", overrides=["strategy.k=4"], jobs=1)
    table = returns_of(two)
    assert table["trial"].nunique() == 2
    assert counted(two)["id"] in set(table["trial"])
    other = table[table["trial"] != counted(two)["id"]]["returns"].to_numpy()
    assert other.tobytes() == one.result.returns.to_numpy().tobytes()


def test_returns_are_kept_after_the_run_folder_is_deleted(small, tmp_path):
    """Folders are used again, moved and deleted; the trials they held stay what they were."""
    first = rs.run(small, out=tmp_path / "1", jobs=1).result.returns.to_numpy()
    own = next(iter(default_ledger().trials()))
    shutil.rmtree(tmp_path / "1")
    rs.run(small, out=tmp_path / "1", overrides=["strategy.k=4"], jobs=1)
    shutil.move(tmp_path / "1", tmp_path / "moved")
    last = rs.run(small, out=tmp_path / "3", overrides=["strategy.k=6"], jobs=1)
    assert (counted(last)["started"], counted(last)["finished"]) == (3, 3)
    table = returns_of(last)
    assert table[table["trial"] == own]["returns"].to_numpy().tobytes() == first.tobytes()


def test_each_seed_alone_is_what_trading_it_alone_gives(small, tmp_path):
    both = rs.run(small, out=tmp_path / "1", overrides=["training.seeds=[0, 1]"], jobs=1)
    alone = rs.run(small, out=tmp_path / "2", overrides=["training.seeds=[1]"], jobs=1)
    table = pd.read_parquet(both.folder / "seed_returns.parquet")
    assert list(table.columns) == ["0", "1"]
    np.testing.assert_array_equal(table["1"].to_numpy(), alone.result.returns.to_numpy())
    assert not (alone.folder / "seed_returns.parquet").exists()


# -- what makes a family: what was tested ----------------------------------------------------------------------------


def family(run):
    return tuple(counted(run)[name] for name in ("started", "finished", "other_universes"))


@pytest.mark.parametrize(
    "change",
    [
        "universe.min_price=0.5",  # all prices are above one
        "universe.min_history=59",
        "universe.max_tickers=1000",
        "walk_forward.test_start=2014-03-01",
        "features.frequency=daily",
        "features.frequency=monthly",
        "prices.end=2015-06-19",
    ],
)
def test_a_change_that_leaves_dates_and_members_much_the_same_does_not_reset_the_count(small, tmp_path, change):
    rs.run(small, out=tmp_path / "1", jobs=1)
    more = ["walk_forward.validation=3M", "model.lookback=4"] if "monthly" in change else []
    again = rs.run(small, out=tmp_path / "2", overrides=[change, *more], jobs=1)
    assert family(again) == (2, 2, 0)


def test_narrower_universe_or_shorter_period_is_no_new_test(small, tmp_path):
    """Both were searched already; a wider universe and a longer period were not."""
    shorter, narrower = ["walk_forward.test_start=2015-01-01"], ["universe.max_tickers=2"]
    before = rs.run(small, out=tmp_path / "1", overrides=shorter, jobs=1)
    assert family(before) == (1, 1, 0)
    whole = rs.run(small, out=tmp_path / "2", jobs=1)
    assert family(whole) == (1, 1, 0)
    assert family(rs.run(small, out=tmp_path / "3", overrides=[*shorter, "strategy.k=4"], jobs=1)) == (3, 3, 0)
    few = rs.run(small, out=tmp_path / "4", overrides=[*narrower, "strategy.k=1"], jobs=1)
    assert counted(few)["evaluated"]["tickers"] < 5
    assert family(few) == (2, 2, 0)  # the whole, and itself
    other = rs.run(small, out=tmp_path / "5", overrides=["strategy.k=5"], jobs=1)
    assert family(other) == (2, 2, 1)  # the whole, and itself; beside them the narrower


def test_trials_of_other_universes_are_counted_separately(small, tmp_path):
    rs.run(small, out=tmp_path / "1", jobs=1)
    other = rs.run(small, out=tmp_path / "2", overrides=["prices.seed=4"], jobs=1)  # the same names, other prices
    assert family(other) == (1, 1, 1)
    assert other.metrics["trials_other_universes"] == 1
    later = ["prices.start=2014-01-01", "prices.end=2017-06-30", "walk_forward.test_start=2016-01-01"]
    assert family(rs.run(small, out=tmp_path / "3", overrides=later, jobs=1)) == (1, 1, 0)


def test_a_copy_of_the_prices_elsewhere_is_the_same_market(small, tmp_path):
    made = rs.run(small, out=tmp_path / "1", jobs=1)
    made.prices.frame.reset_index().to_parquet(tmp_path / "prices.parquet")
    text = small.read_text().replace('source = "simulated"', f'source = "files"\npath = "{tmp_path}/prices.parquet"')
    lines = [line for line in text.splitlines() if line.split(" =")[0] not in ("seed", "n_tickers", "start", "end")]
    (tmp_path / "files.toml").write_text("\n".join(lines))
    assert family(rs.run(tmp_path / "files.toml", out=tmp_path / "2", jobs=1)) == (2, 2, 0)


def test_experiments_of_the_audit_are_marked_and_deflate_nothing(small, tmp_path):
    made = rs.run(small, out=tmp_path / "1", jobs=1)
    audit_run(made.folder, only=["sensitivity"], jobs=1)
    assert [trial.experiment for trial in default_ledger().trials().values()] == [False, True, True]
    made.write_report()
    assert family(made) == (1, 1, 0)
    assert made.metrics["deflated_sharpe_ratio"] == made.metrics["probabilistic_sharpe_ratio"]
    # a configuration that was an experiment counts from when the user runs it
    varied = rs.run(small, out=tmp_path / "2", overrides=["model.lookback=9", "training.seeds=[0]"], jobs=1)
    assert family(varied) == (2, 2, 0)
    assert [trial.experiment for trial in default_ledger().trials().values()] == [False, True, False]


def test_a_configuration_that_was_audited_before_it_was_run_is_one_trial(small, tmp_path):
    audit_run(small, only=["fold-checks"], jobs=1)  # which shows its result
    assert family(rs.run(small, out=tmp_path / "1", overrides=["strategy.k=4"], jobs=1)) == (2, 2, 0)
    assert family(rs.run(small, out=tmp_path / "2", jobs=1)) == (2, 2, 0)


# -- a report drawn again ----------------------------------------------------------------------------------------------


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "timings.json"}


def as_of(run):
    return json.loads((run.folder / "timings.json").read_text())["trials_as_of"]


def test_a_report_drawn_again_counts_what_was_tried_since(small, tmp_path):
    from verified import assert_verified

    one = rs.run(small, out=tmp_path / "1", jobs=1)
    before = contents(one.folder)
    one.write_report()
    assert contents(one.folder) == before  # nothing was tried since
    for k in (4, 5):
        rs.run(small, out=tmp_path / f"k{k}", overrides=[f"strategy.k={k}"], jobs=1)
    assert contents(one.folder) == before
    one.write_report()
    assert family(one) == (3, 3, 0)
    assert one.metrics["trials"] == 3
    assert returns_of(one)["trial"].nunique() == 3
    changed = {name for name, content in contents(one.folder).items() if content != before[name]}
    assert changed == {"trials.parquet", "metrics.json", "manifest.json"}
    assert as_of(one) >= json.loads((one.folder / "timings.json").read_text())["finished"][:10]
    assert_verified(one.folder)
    again = rs.run(small, out=tmp_path / "1", jobs=1)  # finished as it is
    assert family(again) == (3, 3, 0)


def test_a_report_without_its_ledger_keeps_the_trials_of_the_folder(small, tmp_path, monkeypatch):
    rs.run(small, out=tmp_path / "0", overrides=["strategy.k=4"], jobs=1)
    made = rs.run(small, out=tmp_path / "1", jobs=1)
    before = contents(made.folder)
    monkeypatch.setenv("RNN_STRATEGIES_LEDGER", str(tmp_path / "none"))
    with monkeypatch.context() as patch:
        patch.setenv("RNN_STRATEGIES_HOME", str(tmp_path / "no workspace"))
        patch.setattr("rnn_strategies.runs.run_folder.load_prices", lambda **_: pytest.fail("a report needs no prices"))
        open_run(made.folder).write_report()
    assert contents(made.folder) == before
    # the folder is registered again by running it, and nothing is computed for that
    rs.run(made.folder, jobs=1)
    assert [trial.status for trial in default_ledger().trials().values()] == ["done"]
    assert contents(made.folder) == before


def test_a_report_of_a_former_version_is_counted_by_the_rules_of_now(small, tmp_path):
    from verified import assert_verified

    made = rs.run(small, out=tmp_path / "1", jobs=1)
    path = made.folder / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["trial"]["evaluated"], manifest["trial"]["other_universes"]
    manifest["trial"] |= {"family": {"universe": "as text"}, "started": 3}  # two of them the audit's
    write_json(path, manifest)
    open_run(made.folder).write_report()
    assert family(made) == (1, 1, 0)
    assert_verified(made.folder)


def test_interrupted_report_update_is_not_taken_for_finished(small, tmp_path, monkeypatch):
    made = rs.run(small, out=tmp_path / "1", jobs=1)
    rs.run(small, out=tmp_path / "2", overrides=["strategy.k=4"], jobs=1)
    with monkeypatch.context() as patch:
        patch.setattr("rnn_strategies.trials.registered_run.write_metrics", lambda _: pytest.fail("killed"))
        with pytest.raises(pytest.fail.Exception):
            open_run(made.folder).write_report()
    with pytest.raises(InputError, match="changed files; run `rnn-strategies backtest"):
        open_run(made.folder).write_report()
    rs.run(made.folder, jobs=1)
    assert family(made) == (2, 2, 0)


def test_a_run_verifies_without_a_ledger(small, tmp_path, monkeypatch):
    from verified import assert_verified

    rs.run(small, out=tmp_path / "0", overrides=["strategy.k=4"], jobs=1)
    made = rs.run(small, out=tmp_path / "1", jobs=1)
    assert assert_verified(made.folder).warnings == ()
    shutil.rmtree(default_ledger().root)
    shutil.rmtree(tmp_path / "0")
    found = assert_verified(made.folder)
    assert ["the trial ledger has no record" in line for line in found.warnings] == [True]
    assert not default_ledger().root.exists()
    (tmp_path / "file").write_text("")
    for unusable in (tmp_path / "file" / "ledger", "relative"):
        monkeypatch.setenv("RNN_STRATEGIES_LEDGER", str(unusable))
        assert_verified(made.folder)
