"""Tasks through processes: the same results whatever does them, bounded memory, errors that are said."""

from __future__ import annotations

import gc
import math
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import rnn_strategies as rs
from signals.common.errors import InputError
from signals.dataset.fold_data import FoldData
from signals.execution.executors import RemainingTime, run_tasks
from signals.execution.task_result import TaskResult
from signals.walk_forward.panel_walk_forward import compute_signals


@pytest.fixture(scope="module")
def prices():
    return rs.load_prices(source="simulated", seed=4, n_tickers=30, start="2012-01-01", end="2014-12-31")


def run(prices, artifacts, **changes):
    options = {
        "walk_forward": rs.WalkForward(test_start="2014-01-01", validation="13W", test="26W"),
        "universe": rs.UniverseFilters(min_history=30),
        "labels": rs.LabelSettings(),
        "model": rs.RecurrentSettings(lookback=8, units=(4, 3), ticker_embedding_dim=2, dense_units=4),
        "training": rs.TrainingSettings(trainer="compiled", batch_size=256, epochs=2),
        "seeds": [0, 1],
        "artifacts": artifacts,
    }
    return compute_signals(prices, **(options | changes))


def same(one, two):
    for name in ("signals", "seed_scores", "labels", "folds", "history"):
        pd.testing.assert_frame_equal(getattr(one, name), getattr(two, name), check_exact=True)


def networks(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_results_do_not_depend_on_processes_or_threads(prices, tmp_path):
    one = run(prices, tmp_path / "1", jobs=1)
    assert (one.trained, len(one.folds)) == (4, 4)
    for jobs in (2, 8):  # two processes; four processes with two threads each
        many = run(prices, tmp_path / str(jobs), jobs=jobs)
        same(one, many)
        assert networks(tmp_path / "1") == networks(tmp_path / str(jobs))


def test_single_task_runs_in_this_process_with_all_threads(prices, tmp_path):
    once = {
        "walk_forward": rs.WalkForward(test_start="2014-01-01", validation="13W", retrain_every="never"),
        "seeds": [3],
    }
    same(run(prices, tmp_path / "1", **once), run(prices, tmp_path / "3", jobs=3, **once))


def test_compiled_trainer_does_not_import_keras(support, tmp_path):
    """In a process of its own: whatever else these tests have loaded must not hide it."""
    code = f"""
import sys
import rnn_strategies as rs
sys.path.insert(0, {str(support)!r})
from pathlib import Path
from watching_trainer import Watching
from signals.walk_forward.panel_walk_forward import compute_signals
if __name__ == "__main__":
    prices = rs.load_prices(source="simulated", seed=4, n_tickers=20, start="2012-01-01", end="2014-12-31")
    folder = Path({str(tmp_path)!r})
    result = compute_signals(
        prices, walk_forward=rs.WalkForward(test_start="2014-01-01", validation="13W", test="26W"),
        universe=rs.UniverseFilters(min_history=30), labels=rs.LabelSettings(), seeds=[0], artifacts=folder / "a",
        model=rs.RecurrentSettings(lookback=8, units=(4, 3), ticker_embedding_dim=2, dense_units=4),
        trainer=Watching(folder),
        jobs=2,
        training=rs.TrainingSettings(epochs=1),
    )
    assert result.trained == 2
    (folder / "parent.txt").write_text("\\n".join(sorted(sys.modules)))
"""
    environment = {**os.environ, "PYTHONPATH": str(support)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    looked = list(tmp_path.glob("*.txt"))
    assert len(looked) >= 2  # the parent and at least one worker
    for path in looked:
        assert {name.split(".")[0] for name in path.read_text().split()} & {"keras", "tensorflow", "jax"} == set(), path


QUARTERS = rs.WalkForward(test_start="2013-01-01", validation="13W", test="3M")


def test_only_one_fold_is_in_memory(prices, linear_trainer, tmp_path):
    most = 0

    def look(event):
        nonlocal most
        most = max(most, sum(isinstance(thing, FoldData) for thing in gc.get_objects()))

    done = run(prices, tmp_path, trainer=linear_trainer, walk_forward=QUARTERS, seeds=[0], on_progress=look)
    assert len(done.folds) == 8
    assert 1 <= most <= 2


def test_fold_is_prepared_only_when_a_process_is_about_to_be_free(prices, linear_trainer, tmp_path, monkeypatch):
    from signals.walk_forward import panel_walk_forward

    make, in_flight = panel_walk_forward.make_fold_data, []

    def counting(data, fold, windows):
        in_flight.append(fold.number + 1 - len(list(tmp_path.glob("*/*/meta.json"))))
        return make(data, fold, windows)

    monkeypatch.setattr(panel_walk_forward, "make_fold_data", counting)
    run(prices, tmp_path, trainer=linear_trainer, walk_forward=QUARTERS, seeds=[0], jobs=2)
    assert len(in_flight) == 8
    # two at work, one that waits, and joblib takes as many at once as there are processes
    assert max(in_flight) <= 5


@pytest.mark.parametrize("jobs", [1, 2])
def test_error_in_fold_preparation_is_raised_without_hanging(prices, linear_trainer, tmp_path, monkeypatch, jobs):
    from signals.walk_forward import panel_walk_forward

    make = panel_walk_forward.make_fold_data

    def failing(data, fold, windows):
        if fold.number == 6:
            raise MemoryError("no room for fold 6")
        return make(data, fold, windows)

    monkeypatch.setattr(panel_walk_forward, "make_fold_data", failing)
    with pytest.raises(MemoryError, match="no room for fold 6"):
        run(prices, tmp_path, trainer=linear_trainer, walk_forward=QUARTERS, seeds=[0], jobs=jobs)


def test_killed_process_raises_an_error_and_finished_networks_are_kept(prices, support, tmp_path):
    from watching_trainer import Dying

    options = {"walk_forward": QUARTERS, "seeds": [0]}
    rows = run(prices, tmp_path / "calm", trainer=Dying(10**9), **options).folds["train_rows"].tolist()
    with pytest.raises(InputError, match=r"found one killed, most often because memory ran out") as caught:
        run(prices, tmp_path / "a", trainer=Dying(rows[4]), jobs=2, **options)
    assert "\n" not in str(caught.value)
    again = run(prices, tmp_path / "a", trainer=Dying(10**9), jobs=1, **options)
    assert again.reused >= 3
    same(run(prices, tmp_path / "calm", trainer=Dying(10**9), **options), again)


def test_every_task_result_has_timings_and_trainer_versions(prices, tmp_path):
    said = []
    result = run(prices, tmp_path, jobs=1, on_progress=said.append)
    assert result.core_seconds.keys() == result.seconds.keys() == {f"fold {f} seed {s}" for f in (0, 1) for s in (0, 1)}
    assert all(cost > 0 for cost in result.core_seconds.values())
    assert result.trainer["name"] == "compiled"
    assert result.trainer["versions"]["numba"]
    assert result.trainer["reason"] == "as configured"
    messages = [event.message for event in said]
    assert "trainer compiled: as configured; batches of 256, rate 0.0026" in messages
    assert [event.done for event in said if event.total] == [1, 2, 3, 4]
    left = [event.left for event in said if event.total]
    assert all(seconds > 0 for seconds in left[:-1])
    assert left[-1] == 0


def outcome(fold, seed=0, *, reused=False, seconds=1.0):
    return TaskResult(fold, seed, np.zeros(0), 1, (), reused, seconds)


def test_remaining_time_is_estimated_from_trained_networks():
    remaining = RemainingTime({(fold, 0): 100 * (fold + 1) for fold in range(5)}, processes=2)
    assert math.isnan(remaining.after(outcome(0, reused=True, seconds=0.01)))
    # 2 s for 200 rows; 300 + 400 + 500 rows are left for two processes
    assert remaining.after(outcome(1, seconds=2.0)) == pytest.approx(6.0)
    assert remaining.after(outcome(2, reused=True, seconds=0.01)) == pytest.approx(4.5)
    assert remaining.after(outcome(3, seconds=4.0)) == pytest.approx(5.0)  # one is left, and one process works on it
    assert remaining.after(outcome(4, seconds=4.0)) == 0


def test_process_with_growing_memory_is_replaced_without_loss_or_warning(support):
    pytest.importorskip("psutil")  # without it loky does not look
    from hoarding import hoard

    done = list(run_tasks(range(7), hoard, at_once=1, jobs=2, n_tasks=7))
    assert sorted(task for _, task in done) == list(range(7))
    assert len({process for process, _ in done}) > 2  # some were replaced


def test_process_pool_constants_are_not_changed(prices, linear_trainer, tmp_path):
    from joblib import Parallel, delayed
    from joblib.externals.loky import process_executor

    limit = process_executor._MAX_MEMORY_LEAK_SIZE
    run(prices, tmp_path, trainer=linear_trainer, jobs=2)
    assert Parallel(n_jobs=2)(delayed(leak_limit)() for _ in range(4)) == [limit] * 4  # the same processes


def leak_limit():
    from joblib.externals.loky import process_executor

    return process_executor._MAX_MEMORY_LEAK_SIZE


def test_interruption_stops_the_processes_without_messages(prices, linear_trainer, tmp_path, caplog, recwarn):
    def interrupt(event):
        if event.done == 2:
            raise KeyboardInterrupt

    options = {"trainer": linear_trainer, "walk_forward": QUARTERS, "seeds": [0, 1]}
    with pytest.raises(KeyboardInterrupt):
        run(prices, tmp_path / "a", jobs=2, on_progress=interrupt, **options)
    gc.collect()
    assert not [record.getMessage() for record in caplog.records]
    assert not [str(warning.message) for warning in recwarn.list]
    again = run(prices, tmp_path / "a", jobs=2, **options)  # processes are there again, and what was done is kept
    assert again.reused >= 2
    same(again, run(prices, tmp_path / "b", jobs=1, **options))
