from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from signals.common.errors import InputError
from signals.dataset.labels import PROBABILITY, Target
from signals.dataset.windows import MASKED, Samples, Windows
from signals.models.keras_backend import load_keras
from signals.models.network import Network
from signals.models.recurrent import build
from signals.models.recurrent_settings import RecurrentSettings
from signals.trainers.base import FitTask, TrainingSettings
from signals.trainers.keras_trainer import KerasTrainer
from signals.trainers.training_loop import mean_loss

SMALL = RecurrentSettings(lookback=8, units=(6, 4), ticker_embedding_dim=3, dense_units=4)
NETWORK = Network(SMALL, 13)


def samples(n, *, seed, pattern=0.0, lookback=8, n_tickers=12):
    rng = np.random.default_rng(seed)
    panel = rng.normal(size=(n_tickers, 200, 1)).astype(np.float32)
    ticker = rng.integers(0, n_tickers, n).astype(np.int32)
    end = rng.integers(lookback, 200, n).astype(np.int32)
    signal = pattern * panel[ticker, end, 0]
    label = (rng.random(n) < 1 / (1 + np.exp(-signal))).astype(np.float32)
    return Samples(Windows(panel, ticker, end, lookback), ticker + 1, end % 12, label)


def task(**changes):
    given = {
        "network": NETWORK,
        "training": samples(1500, seed=0, pattern=2.0),
        "validation": samples(400, seed=1, pattern=2.0),
        "settings": TrainingSettings(batch_size=256, epochs=3, learning_rate=0.02),
        "seed": 5,
    }
    return FitTask(**(given | changes))


@pytest.fixture(scope="module")
def fitted():
    return next(KerasTrainer().fit([task()]))


@pytest.mark.parametrize(
    ("tickers", "parameters"), [(2489, 29_371 + 10), (600, 4_481 + 6_000 + 10)], ids=["published", "preset"]
)
def test_parameter_count_is_the_published_one_plus_unknown_ticker_row(tickers, parameters):
    load_keras()
    assert build(RecurrentSettings(), tickers + 1).count_params() == parameters


def test_without_ticker_and_months_only_the_sequence_input_remains():
    load_keras()
    network = build(RecurrentSettings(ticker_embedding_dim=0, month_onehot=False), 1)
    assert [tensor.name for tensor in network.inputs] == ["sequence"]
    assert network.count_params() == 2700 + 1440 + 10 * 10 + 10 + 11


def test_every_size_is_a_setting():
    load_keras()
    network = build(
        RecurrentSettings(lookback=4, units=(3, 3, 2), ticker_embedding_dim=2, dense_units=5), 7, n_features=2
    )
    assert network.input_shape["sequence"] if isinstance(network.input_shape, dict) else True
    lstms = 4 * (3 * (2 + 3) + 3) + 4 * (3 * (3 + 3) + 3) + 4 * (2 * (3 + 2) + 2)
    assert network.count_params() == lstms + 7 * 2 + (2 + 2 + 12) * 5 + 5 + 5 + 1


def test_same_task_trains_to_the_same_bits(fitted):
    again = next(KerasTrainer().fit([task()]))
    assert again.history == fitted.history
    for name, value in fitted.weights.items():
        assert value.tobytes() == again.weights[name].tobytes(), name


def test_another_seed_gives_another_network(fitted):
    other = next(KerasTrainer().fit([task(seed=6)]))
    assert any((other.weights[name] != value).any() for name, value in fitted.weights.items())


def test_pattern_is_fitted_and_best_epoch_kept(fitted):
    losses = [epoch.validation_loss for epoch in fitted.history]
    assert min(losses) < np.log(2) - 0.02
    assert losses[fitted.epochs - 1] == min(losses)
    scored = KerasTrainer().predict(NETWORK, fitted.weights, task().validation)
    assert mean_loss(scored, task().validation.label, PROBABILITY) == pytest.approx(min(losses), abs=1e-12)


@pytest.mark.parametrize(
    ("target", "label", "naive"),
    [
        (Target("classes", 3), lambda up: (up > -0.5).astype(np.float32) + (up > 0.5), np.log(3)),
        (Target("value"), lambda up: up, 1.0),
    ],
    ids=["classes", "value"],
)
def test_classes_and_values_are_fitted(target, label, naive):
    def labelled(seed):
        rows = samples(1500, seed=seed)
        seen = rows.windows.panel[rows.windows.ticker, rows.windows.end, 0]
        return Samples(rows.windows, rows.category, rows.month, label(seen).astype(np.float32))

    network = Network(SMALL, 13, 1, target)
    one = task(
        network=network,
        training=labelled(0),
        validation=labelled(1),
        settings=TrainingSettings(batch_size=256, epochs=8, learning_rate=0.02),
    )
    fit = next(KerasTrainer().fit([one]))
    losses = [epoch.validation_loss for epoch in fit.history]
    assert min(losses) < 0.8 * naive
    said = KerasTrainer().predict(network, fit.weights, one.validation)
    assert said.shape == (1500, target.outputs)
    assert mean_loss(said, one.validation.label, target) == pytest.approx(min(losses), abs=1e-12)
    if target.kind == "classes":
        np.testing.assert_allclose(said.sum(axis=1), 1, atol=1e-6)


def test_masked_steps_have_no_effect():
    """A short history scores like a network of that length: unknown steps are skipped, not read as numbers."""
    load_keras()
    long = Network(RecurrentSettings(lookback=8, min_steps=3, units=(6, 4), ticker_embedding_dim=3, dense_units=4), 13)
    short = Network(RecurrentSettings(lookback=5, units=(6, 4), ticker_embedding_dim=3, dense_units=4), 13)
    weights = next(KerasTrainer().fit([task(network=long, settings=TrainingSettings(epochs=1))])).weights
    rows = samples(300, seed=4)
    known = Samples(
        Windows(rows.windows.panel, rows.windows.ticker, rows.windows.end, 5), rows.category, rows.month, rows.label
    )
    expected = KerasTrainer().predict(short, weights, known)

    panel = np.concatenate([rows.windows.gather(slice(None))], axis=0)
    panel[:, :3] = MASKED
    steps = Windows(panel, np.arange(300, dtype=np.int32), np.full(300, 7, np.int32), 8)
    masked = KerasTrainer().predict(long, weights, Samples(steps, rows.category, rows.month, rows.label))
    np.testing.assert_allclose(masked, expected, atol=1e-6)


def test_training_without_validation_runs_every_epoch():
    fit = next(KerasTrainer().fit([task(validation=None, settings=TrainingSettings(batch_size=256, epochs=2))]))
    assert fit.epochs == 2
    assert all(np.isnan(epoch.validation_loss) for epoch in fit.history)


def test_patience_stops_training_without_improvement():
    noise = task(
        training=samples(600, seed=2),
        validation=samples(300, seed=3),
        settings=TrainingSettings(batch_size=64, epochs=30, patience=1, learning_rate=0.05),
    )
    fit = next(KerasTrainer().fit([noise]))
    assert len(fit.history) < 30
    assert len(fit.history) == fit.epochs + 1


def test_score_of_a_row_does_not_depend_on_other_rows(fitted):
    """The live path scores one date, the backtest all of them: they must agree exactly."""
    trainer, rows = KerasTrainer(), samples(2500, seed=4)
    whole = trainer.predict(NETWORK, fitted.weights, rows)
    order = np.random.default_rng(0).permutation(2500)
    for chosen in (order, order[:7], order[:1], order[100:1500]):
        windows = Windows(rows.windows.panel, rows.windows.ticker[chosen], rows.windows.end[chosen], 8)
        some = Samples(windows, rows.category[chosen], rows.month[chosen], rows.label[chosen])
        assert trainer.predict(NETWORK, fitted.weights, some).tobytes() == whole[chosen].tobytes()


def test_diverging_fit_raises_an_error():
    broken = samples(600, seed=2)
    broken.windows.panel[:] = np.nan
    with pytest.raises(InputError, match=r"not a number with seed 5; provide features and labels that are finite"):
        next(KerasTrainer().fit([task(training=broken, settings=TrainingSettings(epochs=1))]))


def test_missing_backend_raises_an_error():
    code = "from signals.trainers.keras_trainer import load_keras; load_keras()"
    environment = {**os.environ, "KERAS_BACKEND": "nosuch"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert "expected Keras with the backend 'nosuch' to load" in done.stderr.splitlines()[-1]


def test_unknown_ticker_row_is_trained(fitted):
    names = [name for name in fitted.weights if "embedding" in name]
    untouched = next(KerasTrainer().fit([task(settings=TrainingSettings(epochs=1, learning_rate=1e-9))]))
    assert (fitted.weights[names[0]][0] != untouched.weights[names[0]][0]).any()


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_cells_and_recurrent_dropout_fit_the_pattern(cell):
    model = RecurrentSettings(
        lookback=8, cell=cell, units=(6, 4), ticker_embedding_dim=3, dense_units=4, recurrent_dropout=0.1
    )
    fit = next(KerasTrainer().fit([task(network=Network(model, 13))]))
    assert min(epoch.validation_loss for epoch in fit.history) < np.log(2) - 0.02
    assert any(f"{cell}_1/" in name for name in fit.weights)


def test_weights_are_copies_that_later_epochs_do_not_change():
    """The best epoch is returned even when later ones are worse."""
    best = next(KerasTrainer().fit([task(settings=TrainingSettings(batch_size=256, epochs=1, learning_rate=0.02))]))
    noise = samples(400, seed=9)
    worse = task(validation=noise, settings=TrainingSettings(batch_size=256, epochs=3, learning_rate=0.02, patience=3))
    fit = next(KerasTrainer().fit([worse]))
    assert len(fit.history) == 3
    said = KerasTrainer().predict(NETWORK, fit.weights, noise)
    losses = [epoch.validation_loss for epoch in fit.history]
    assert mean_loss(said, noise.label, PROBABILITY) == pytest.approx(losses[fit.epochs - 1], abs=1e-12)
    assert best.weights.keys() == fit.weights.keys()


def test_the_optimizer_and_the_norm_of_gradients_are_settings(fitted):
    short = {"batch_size": 256, "epochs": 1, "learning_rate": 0.02}
    kinds = [{"global_clipnorm": 1e5}, {"optimizer": "rmsprop"}, {"global_clipnorm": 1e-4}, {"global_clipnorm": 1e6}]
    plain, rms, clipped, loose = (
        next(KerasTrainer().fit([task(settings=TrainingSettings(**short, **more))])).weights for more in kinds
    )
    assert any((plain[name] != rms[name]).any() for name in plain)
    assert any((plain[name] != clipped[name]).any() for name in plain)
    assert all((plain[name] == loose[name]).all() for name in plain)
