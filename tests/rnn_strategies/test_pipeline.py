"""Stages of a run: finished work is not repeated, and a change recomputes only what depends on it."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest

import rnn_strategies as rs
from rnn_strategies.pipelines.run_config import open_run
from rnn_strategies.runs.workspace import default_home
from rnn_strategies.trials.trial_ledger import default_ledger
from signals.common.errors import InputError, LockedError

CONTRACT = {
    "config.toml", "manifest.json", "signals.parquet", "seed_scores.parquet", "labels.parquet", "folds.parquet",
    "history.parquet", "returns.parquet", "positions.parquet", "transactions.parquet", "orders.parquet",
    "cash_flows.parquet", "benchmark.parquet", "seed_returns.parquet", "trials.parquet", "metrics.json", "report.html",
    "timings.json",
}  # fmt: skip


@pytest.fixture
def write(support):
    from configs import write_small

    return write_small


@pytest.fixture
def small(write, tmp_path):
    return write(tmp_path / "small.toml")


@pytest.fixture
def no_drawing(monkeypatch):
    """Leave the figures out where a test is about what is computed, not how it looks."""
    monkeypatch.setattr(
        "rnn_strategies.pipelines.panel_run.write_report", lambda folder: (folder / "report.html").write_text("-")
    )


class Watcher:
    """Listener that counts networks trained and reused."""

    def __init__(self):
        self.trained = self.reused = 0
        self.messages = []

    def __call__(self, event):
        self.messages.append(event.message)
        self.trained += ": trained" in event.message
        self.reused += ": reused" in event.message


def go(config, out, **options):
    watcher = Watcher()
    made = rs.run(config, out=out, jobs=1, on_progress=watcher, **options)
    return made, watcher


def contents(folder):
    volatile = {"timings.json", "report.html"}
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in volatile}


def test_a_run_leaves_every_file_of_the_contract_and_repeats_to_the_byte(small, tmp_path, monkeypatch):
    first, watcher = go(small, tmp_path / "a")
    assert {path.name for path in first.folder.iterdir()} == CONTRACT
    assert watcher.trained == 4 * 2
    monkeypatch.setenv("RNN_STRATEGIES_HOME", str(tmp_path / "other home"))
    second, watcher = go(small, tmp_path / "b")
    assert watcher.trained == 4 * 2
    assert contents(first.folder) == contents(second.folder)
    assert "simulated" in first.report.read_text().lower()


def test_frames_keep_their_contracts(small, tmp_path):
    made, _ = go(small, tmp_path / "a")
    signals = made.signals
    assert list(signals.columns) == ["score", "score_std", "fold", "trained_until"]
    assert signals["fold"].dtype == np.int32
    assert signals.index.names == ["date", "ticker"]
    assert signals.index.is_monotonic_increasing
    assert (signals["trained_until"] <= signals.index.get_level_values("date")).all()
    seeds = pd.read_parquet(made.folder / "seed_scores.parquet")
    assert list(seeds.columns) == ["date", "ticker", "seed", "score"]
    mean = seeds.groupby(["date", "ticker"])["score"].agg(["mean", lambda s: s.std(ddof=0)])
    np.testing.assert_allclose(mean["mean"], signals["score"], rtol=0, atol=1e-15)
    np.testing.assert_allclose(mean.iloc[:, 1], signals["score_std"], rtol=0, atol=1e-12)
    labels = pd.read_parquet(made.folder / "labels.parquet").reset_index()
    assert list(labels.columns) == ["date", "ticker", "label", "forward_return", "label_end"]
    assert (labels["label_end"] > labels["date"]).all()
    made.result.check()


def test_a_finished_run_computes_nothing_again(small, tmp_path):
    first, _ = go(small, tmp_path / "a")
    before = {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in first.folder.iterdir()}
    _, watcher = go(small, tmp_path / "a")
    assert (watcher.trained, watcher.reused) == (0, 0)
    assert {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in first.folder.iterdir()} == before


@pytest.mark.parametrize("damage", ["delete", "tamper"])
@pytest.mark.usefixtures("no_drawing")
def test_a_missing_or_altered_file_is_made_again(small, tmp_path, damage):
    first, _ = go(small, tmp_path / "a")
    before = contents(first.folder)
    target = first.folder / "returns.parquet"
    target.unlink() if damage == "delete" else target.write_bytes(b"x")
    _, watcher = go(small, tmp_path / "a")
    assert watcher.trained == 0
    assert contents(first.folder) == before


@pytest.mark.usefixtures("no_drawing")
def test_costs_and_allocation_retrain_nothing_a_model_setting_retrains_all(write, tmp_path):
    go(write(tmp_path / "base.toml"), tmp_path / "base")
    for name, change in {"cost": {"commission": "commission = 0.002"}, "allocation": {"k": "k = 5"}}.items():
        _, watcher = go(write(tmp_path / f"{name}.toml", **change), tmp_path / name)
        assert (watcher.trained, watcher.reused) == (0, 8), name
    for name, change in {"model": {"lookback": "lookback = 9"}, "training": {"batch_size": "batch_size = 256"}}.items():
        _, watcher = go(write(tmp_path / f"{name}.toml", **change), tmp_path / name)
        assert (watcher.trained, watcher.reused) == (8, 0), name


@pytest.mark.usefixtures("no_drawing")
def test_another_week_of_prices_trains_only_folds_that_are_new(write, tmp_path):
    base, _ = go(write(tmp_path / "a.toml", end='end = "2015-12-18"'), tmp_path / "a")
    more, watcher = go(write(tmp_path / "b.toml", end='end = "2015-12-24"'), tmp_path / "b")
    assert (watcher.trained, watcher.reused) == (0, 8)
    old = base.signals
    pd.testing.assert_frame_equal(more.signals.loc[: old.index.get_level_values("date").max()], old)
    assert len(more.signals) > len(old)
    _, watcher = go(write(tmp_path / "c.toml", end='end = "2016-01-15"'), tmp_path / "c")
    assert (watcher.trained, watcher.reused) == (2, 8)


@pytest.mark.usefixtures("no_drawing", "verify_every_run")
def test_prices_that_grew_under_the_same_configuration_refresh_the_same_folder(write, tmp_path):
    prices = rs.load_prices(source="simulated", seed=3, n_tickers=40, start="2012-01-01", end="2015-12-31")
    table = prices.frame.reset_index()
    file = tmp_path / "prices.parquet"
    config = write(tmp_path / "c.toml")
    rest = config.read_text().split("[universe]")[1]
    config.write_text(f'[prices]\nsource = "files"\npath = "{file}"\n[universe]{rest}')
    table[table["date"] < "2015-12-21"].to_parquet(file)
    first, _ = go(config, tmp_path / "a")
    last = first.signals.index.get_level_values("date").max()
    table.to_parquet(file)
    second, watcher = go(config, tmp_path / "a")
    assert (watcher.trained, watcher.reused) == (0, 8)
    assert second.signals.index.get_level_values("date").max() > last


@pytest.mark.usefixtures("no_drawing")
def test_a_folder_of_another_configuration_is_left_alone(write, tmp_path):
    go(write(tmp_path / "a.toml"), tmp_path / "a")
    before = contents(tmp_path / "a")
    with pytest.raises(InputError, match="found a run of another one; choose another --out"):
        go(write(tmp_path / "b.toml", k="k = 4"), tmp_path / "a")
    assert contents(tmp_path / "a") == before


@pytest.mark.usefixtures("no_drawing")
def test_an_edited_configuration_does_not_speak_for_old_results(small, tmp_path):
    made, _ = go(small, tmp_path / "a")
    recorded = made.folder / "config.toml"
    recorded.write_text(recorded.read_text().replace("k = 8", "k = 3"))
    with pytest.raises(InputError, match=r"config\.toml as the run wrote it; found it edited"):
        open_run(made.folder)
    with pytest.raises(InputError, match=r"found a run of another one"):
        open_run(small, out=made.folder, overrides=["report.risk_free_rate=0.05"])


@pytest.mark.usefixtures("no_drawing")
def test_a_title_may_change_and_only_the_report_is_drawn_again(small, tmp_path):
    made, _ = go(small, tmp_path / "a")
    before = contents(made.folder)
    again, watcher = go(small, tmp_path / "a", overrides=["report.title=Better"])
    assert "drawing the tear sheet" in watcher.messages
    assert 'title = "Better"' in (again.folder / "config.toml").read_text()
    assert {k: v for k, v in contents(made.folder).items() if k != "config.toml"} == {
        k: v for k, v in before.items() if k != "config.toml"
    }


@pytest.mark.usefixtures("no_drawing")
def test_a_strategy_that_was_edited_runs_again(small, tmp_path, monkeypatch):
    module = tmp_path / "plug" / "own_strategy.py"
    module.parent.mkdir()
    module.write_text("import backtrader as bt\n\n\nclass Own(bt.Strategy):\n    pass\n")
    monkeypatch.syspath_prepend(str(module.parent))
    made, _ = go(small, tmp_path / "a", overrides=["strategy.kind=own_strategy:Own"])
    assert made.result.transactions.empty
    module.write_text(module.read_text() + "# edited\n")
    _, watcher = go(small, tmp_path / "a", overrides=["strategy.kind=own_strategy:Own"])
    assert "trading the signals" in watcher.messages
    assert (watcher.trained, watcher.reused) == (0, 0)


@pytest.mark.usefixtures("no_drawing")
def test_a_trainer_that_was_edited_trains_again(small, support, tmp_path, monkeypatch):
    module = tmp_path / "plug" / "own_trainer.py"
    module.parent.mkdir()
    module.write_text((support / "linear_trainer.py").read_text())
    monkeypatch.syspath_prepend(str(module.parent))
    own = ["training.trainer=own_trainer:LinearTrainer"]
    _, watcher = go(small, tmp_path / "a", overrides=own)
    assert watcher.trained == 8
    module.write_text(module.read_text() + "# edited\n")
    _, watcher = go(small, tmp_path / "a", overrides=own)
    assert (watcher.trained, watcher.reused) == (8, 0)


@pytest.mark.parametrize("content", ["[]", "null", '{"stages": []}', '{"stages": {"signals": {}}}', "{"])
def test_a_damaged_manifest_is_said_in_one_line(small, tmp_path, content):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "manifest.json").write_text(content)
    with pytest.raises(InputError, match=r"manifest\.json.*delete it"):
        open_run(small, out=tmp_path / "a")


def test_stages_run_one_by_one_from_the_folder_alone(small, tmp_path):
    whole, _ = go(small, tmp_path / "whole")
    made = open_run(small, out=tmp_path / "steps", jobs=1)
    with pytest.raises(InputError, match=r"expected a finished stage signals in .*run `rnn-strategies signals"):
        made.compute_backtest()
    with pytest.raises(InputError, match="expected a finished stage backtest"):
        made.write_report()
    made.compute_signals()
    open_run(tmp_path / "steps", jobs=1).compute_backtest()
    open_run(tmp_path / "steps", jobs=1).write_report()
    assert contents(tmp_path / "steps") == contents(whole.folder)


@pytest.mark.usefixtures("no_drawing")
def test_a_damaged_network_is_trained_again_and_gives_the_same_bytes(small, tmp_path):
    first, _ = go(small, tmp_path / "a")
    weights = sorted(default_home().artifacts.glob("*/*/weights.h5"))
    weights[0].write_bytes(weights[0].read_bytes()[:-1])
    weights[1].unlink()
    second, watcher = go(small, tmp_path / "b")
    assert (watcher.trained, watcher.reused) == (2, 6)
    assert contents(second.folder) == contents(first.folder)


def test_two_processes_cannot_work_on_one_folder(small, tmp_path):
    made = open_run(small, out=tmp_path / "a", jobs=1)
    with made.locked(), pytest.raises(LockedError, match="another process working on it"), made.locked():
        pass


@pytest.mark.usefixtures("no_drawing")
def test_every_run_is_counted_once(write, tmp_path):
    small = write(tmp_path / "a.toml")
    made, _ = go(small, tmp_path / "a")
    go(small, tmp_path / "a")
    go(small, tmp_path / "again")
    trials = list(default_ledger().trials().values())
    assert len(trials) == 1
    assert trials[0].status == "done"
    assert trials[0].sharpe == made.metrics["sharpe_ratio"]
    go(write(tmp_path / "b.toml", k="k = 3"), tmp_path / "b")
    assert len(default_ledger().trials()) == 2
    families = {json.dumps(trial.family, sort_keys=True) for trial in default_ledger().trials().values()}
    assert len(families) == 1


@pytest.mark.usefixtures("no_drawing")
def test_an_interrupted_run_is_a_trial_too(small, tmp_path):
    def stop(event):
        if event.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rs.run(small, out=tmp_path / "a", jobs=1, on_progress=stop)
    assert [trial.status for trial in default_ledger().trials().values()] == ["started"]
    _, watcher = go(small, tmp_path / "a")
    assert watcher.reused >= 3
    assert [trial.status for trial in default_ledger().trials().values()] == ["done"]


@pytest.mark.usefixtures("no_drawing")
def test_processes_do_not_change_a_byte(write, tmp_path, monkeypatch):
    keras = write(tmp_path / "k.toml", trainer='trainer = "keras"', test='test = "1Y"')
    one, _ = go(keras, tmp_path / "one")
    monkeypatch.setenv("RNN_STRATEGIES_HOME", str(tmp_path / "other home"))
    two = rs.run(keras, out=tmp_path / "two", jobs=2)
    assert contents(one.folder) == contents(two.folder)


@pytest.mark.usefixtures("no_drawing")
def test_the_store_makes_a_run_independent_of_its_source(small, tmp_path):
    made, _ = go(small, tmp_path / "a")
    assert open_run(made.folder).prices.frame.equals(made.prices.frame)
    shutil.rmtree(default_home().root / "inputs")
    again = open_run(made.folder).prices
    assert again.frame.equals(made.prices.frame)


def test_pandas_reads_the_files_of_a_run_as_the_api_returns_them(tmp_path, support):
    from configs import write_small

    made = rs.run(write_small(tmp_path / "a.toml"), out=tmp_path / "run", jobs=1)
    result = made.result
    frames = {
        "signals": made.signals,
        "folds": made.folds,
        "returns": result.returns.to_frame(),
        "positions": result.positions,
        "transactions": result.transactions,
        "orders": result.orders,
        "cash_flows": result.cash_flows,
    }
    for name, frame in frames.items():
        pd.testing.assert_frame_equal(pd.read_parquet(made.folder / f"{name}.parquet"), frame)
    assert list(pd.read_parquet(made.folder / "labels.parquet").index.names) == ["date", "ticker"]


def test_the_fold_table_leaves_purged_dates_out(tmp_path, support):
    from configs import write_small

    more = ["labels.horizon=4"]
    made = rs.run(write_small(tmp_path / "a.toml"), out=tmp_path / "run", overrides=more, jobs=1)
    folds = made.folds.drop_duplicates("fold")
    weeks = pd.Timedelta(weeks=4)
    # a label of four weeks from the next open is known five weeks later at the latest
    for end, begin in (("train_end", "validation_start"), ("validation_end", "test_start")):
        assert (folds[end] + weeks <= folds[begin]).all(), folds[[end, begin]]
        assert (folds[end] + 2 * weeks > folds[begin]).all()
