"""Bits of the compiled trainer: the same again, elsewhere, on any number of threads, whatever lies around a window."""

from __future__ import annotations

import hashlib
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from network_cases import CASES, samples_for, take, weights_for

from signals.dataset.windows import Samples, Windows
from signals.models.network import Network
from signals.models.recurrent_settings import RecurrentSettings
from signals.trainers.base import FitTask, TrainingSettings
from signals.trainers.compiled.trainer import CompiledTrainer, gradients

DROPPING = Network(RecurrentSettings(lookback=9, units=(7, 5), ticker_embedding_dim=3, dense_units=4), 9)
NETWORKS = {
    "lstm": DROPPING,
    "gru": replace(DROPPING, model=replace(DROPPING.model, cell="gru")),
    "masked": replace(DROPPING, model=replace(DROPPING.model, min_steps=3)),
}


def task_for(network, n=700, seed=5, **changes):
    settings = TrainingSettings(batch_size=200, epochs=2, learning_rate=0.01, global_clipnorm=0.5)
    training, validation = samples_for(network, n, 0), samples_for(network, 150, 1)
    return replace(FitTask(network, training, validation, settings, seed), **changes)


def digest(weights):
    text = hashlib.sha256()
    for path in sorted(weights):
        text.update(path.encode() + np.ascontiguousarray(weights[path]).tobytes())
    return text.hexdigest()


def fit(task, threads=1):
    return next(CompiledTrainer(threads=threads).fit([task]))


def same(one, other):
    return one.epochs == other.epochs and one.history == other.history and digest(one.weights) == digest(other.weights)


@pytest.mark.parametrize("name", NETWORKS)
def test_results_do_not_depend_on_threads(name):
    task = task_for(NETWORKS[name])
    alone = fit(task)
    assert same(alone, fit(task))
    for threads in (2, 3, 5):
        assert same(alone, fit(task, threads)), threads


@pytest.mark.parametrize("size", [1, 17, 33, 1024])
def test_results_do_not_depend_on_threads_at_any_batch_size(size):
    task = task_for(DROPPING, n=max(3 * size, 20), settings=TrainingSettings(batch_size=size, epochs=1))
    assert same(fit(task, 1), fit(task, 2))


def test_another_seed_gives_another_network():
    assert digest(fit(task_for(DROPPING)).weights) != digest(fit(task_for(DROPPING, seed=6)).weights)


def test_tasks_are_independent_of_each_other():
    """One after the other in one trainer, or each in a trainer of its own."""
    tasks = [task_for(NETWORKS["lstm"]), task_for(NETWORKS["gru"]), task_for(NETWORKS["lstm"], seed=6)]
    trainer = pickle.loads(pickle.dumps(CompiledTrainer(threads=2)))
    together = list(trainer.fit(tasks))
    assert [digest(one.weights) for one in together] == [digest(fit(task).weights) for task in tasks]


def test_inputs_are_not_modified():
    task = task_for(DROPPING)
    arrays = [task.training.windows.panel, task.training.category, task.training.label, task.training.month]
    before = [array.tobytes() for array in arrays]
    weights = fit(task).weights
    kept = digest(weights)
    CompiledTrainer().predict(DROPPING, weights, task.training)
    gradients(DROPPING, weights, task.training)
    assert [array.tobytes() for array in arrays] == before
    assert digest(weights) == kept
    fit(task)  # weights handed out are copies: the next fit does not write into them
    assert digest(weights) == kept


def test_read_only_arrays_and_views_are_accepted():
    task = task_for(DROPPING)
    training = task.training
    panel = np.asfortranarray(training.windows.panel)
    panel.flags.writeable = False
    labels = np.repeat(training.label, 2)[::2]
    viewed = Samples(replace(training.windows, panel=panel), training.category, training.month, labels)
    assert same(fit(task), fit(replace(task, training=viewed)))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("garbage", [np.nan, np.inf, 1e30])
def test_cells_outside_the_windows_have_no_effect(name, garbage):
    network = NETWORKS[name]
    clean = task_for(network)
    dirty = replace(
        clean,
        training=samples_for(network, 700, 0, outside=garbage),
        validation=samples_for(network, 150, 1, outside=garbage),
    )
    clean = replace(
        clean, training=samples_for(network, 700, 0, outside=0.0), validation=samples_for(network, 150, 1, outside=0.0)
    )
    assert (clean.training.windows.panel != dirty.training.windows.panel).any()
    fits = [fit(task, threads) for task in (clean, dirty) for threads in (1, 2)]
    assert all(same(fits[0], one) for one in fits[1:])
    said = [CompiledTrainer().predict(network, fits[0].weights, task.validation) for task in (clean, dirty)]
    assert said[0].tobytes() == said[1].tobytes()
    assert np.isfinite(said[0]).all()


def test_nothing_is_read_beyond_the_panel():
    """A window that ends where the panel does, in memory that is followed by garbage, and one that begins it."""
    network = DROPPING
    rng = np.random.default_rng(0)
    memory = np.full(4 * 20 + 64, np.nan, np.float32)
    panel = memory[32 : 32 + 4 * 20].reshape(4, 20, 1)
    panel[:] = rng.normal(size=panel.shape)
    windows = Windows(panel, np.array([0, 3], np.int32), np.array([8, 19], np.int32), 9)
    rows = Samples(windows, np.ones(2, np.int32), np.zeros(2, np.int32), np.ones(2, np.float32))
    weights = weights_for(network)
    assert np.isfinite(CompiledTrainer().predict(network, weights, rows)).all()
    loss, found = gradients(network, weights, rows)
    assert np.isfinite(loss)
    assert all(np.isfinite(value).all() for value in found.values())


@pytest.mark.parametrize("name", ["published", "gru, five features, classes", "masked, two features, value"])
def test_score_of_a_row_does_not_depend_on_other_rows(name):
    """The live path scores one date, the backtest all of them: they must agree exactly."""
    network = CASES[name]
    weights, rows = weights_for(network), samples_for(network, 500)
    trainer = CompiledTrainer()
    whole = trainer.predict(network, weights, rows)
    assert CompiledTrainer(threads=2).predict(network, weights, rows).tobytes() == whole.tobytes()
    order = np.random.default_rng(0).permutation(500)
    for chosen in (order, order[:16], order[:15], order[:7], order[:1], order[100:351], np.repeat(order[:3], 5)):
        assert trainer.predict(network, weights, take(rows, chosen)).tobytes() == whole[chosen].tobytes()
    assert trainer.predict(network, weights, take(rows, order[:0])).shape == (0, network.target.outputs)


def test_nan_row_affects_only_its_own_score():
    network = CASES["published"]
    weights, rows = weights_for(network), samples_for(network, 40)
    whole = CompiledTrainer().predict(network, weights, rows)
    panel = rows.windows.panel.copy()
    panel[rows.windows.ticker[5]] = np.nan
    spoilt = rows.windows.ticker == rows.windows.ticker[5]
    said = CompiledTrainer().predict(network, weights, replace(rows, windows=replace(rows.windows, panel=panel)))
    assert np.isnan(said[spoilt]).all()
    assert said[~spoilt].tobytes() == whole[~spoilt].tobytes()


PRINT_DIGESTS = """
import sys
sys.path[:0] = {paths!r}
from test_compiled_bits import NETWORKS, digest, fit, task_for
print(*[digest(fit(task_for(network), {threads}).weights) for network in NETWORKS.values()])
"""


def elsewhere(threads, **environment):
    here = Path(__file__).resolve()
    paths = [str(here.parent), str(here.parents[1] / "support"), str(here.parents[2])]
    code = PRINT_DIGESTS.format(paths=paths, threads=threads)
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_results_are_the_same_in_another_process():
    expected = [digest(fit(task_for(network)).weights) for network in NETWORKS.values()]
    assert elsewhere(2, PYTHONHASHSEED="7") == expected


@pytest.mark.slow
def test_results_are_the_same_after_recompilation(tmp_path):
    expected = [digest(fit(task_for(network)).weights) for network in NETWORKS.values()]
    assert elsewhere(1, NUMBA_CACHE_DIR=str(tmp_path)) == expected
