"""The compiled trainer: patterns are fitted, the best epoch is kept, and unsupported settings are refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from network_cases import CASES, samples_for

from signals.common.errors import InputError
from signals.dataset.labels import Target
from signals.dataset.windows import Samples, Windows
from signals.models.network import Network
from signals.models.recurrent_settings import RecurrentSettings
from signals.trainers.base import FitTask, TrainingSettings
from signals.trainers.compiled.trainer import CompiledTrainer, unsupported_reason
from signals.trainers.keras_trainer import KerasTrainer
from signals.trainers.training_loop import mean_loss

SMALL = RecurrentSettings(lookback=8, units=(6, 4), ticker_embedding_dim=3, dense_units=4)
SETTINGS = TrainingSettings(batch_size=64, epochs=8, learning_rate=0.02)


def samples(n, *, seed, label, tickers=12):
    """Rows whose label is a function of the last two steps of their window."""
    rng = np.random.default_rng(seed)
    panel = rng.normal(size=(tickers, 200, 1)).astype(np.float32)
    ticker = rng.integers(0, tickers, n).astype(np.int32)
    end = rng.integers(8, 200, n).astype(np.int32)
    said = label(panel[ticker, end, 0], panel[ticker, end - 1, 0], rng)
    return Samples(Windows(panel, ticker, end, 8), ticker + 1, (end % 12).astype(np.int32), said.astype(np.float32))


LABELS = {
    "probability": lambda last, before, rng: rng.random(len(last)) < 1 / (1 + np.exp(-2 * last + before)),
    "classes": lambda last, before, rng: (last > -0.5).astype(float) + (last > 0.5),
    "value": lambda last, before, rng: last - 0.5 * before,
}
NAIVE = {"probability": np.log(2), "classes": np.log(3), "value": 1.25}


def task_for(kind, cell="lstm", **changes):
    network = Network(replace(SMALL, cell=cell), 13, 1, Target(kind, 3 if kind == "classes" else 1))
    label = LABELS[kind]
    given = FitTask(network, samples(1500, seed=0, label=label), samples(500, seed=1, label=label), SETTINGS, 5)
    return replace(given, **changes)


def fit(task, trainer=None):
    return next((trainer or CompiledTrainer()).fit([task]))


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("kind", LABELS)
def test_pattern_is_fitted_and_best_epoch_kept(kind, cell, optimizer):
    task = task_for(kind, cell, settings=replace(SETTINGS, optimizer=optimizer))
    fitted = fit(task)
    losses = [epoch.validation_loss for epoch in fitted.history]
    assert min(losses) < 0.85 * NAIVE[kind]
    assert losses[fitted.epochs - 1] == min(losses)
    said = CompiledTrainer().predict(task.network, fitted.weights, task.validation)
    assert mean_loss(said, task.validation.label, task.network.target) == min(losses)
    if kind == "classes":
        np.testing.assert_allclose(said.sum(axis=1), 1, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("kind", LABELS)
def test_validation_loss_falls_as_fast_as_with_keras(kind):
    """Other draws, the same loss after every epoch, within what chance allows."""
    few = replace(SETTINGS, epochs=4, patience=4, learning_rate=0.01)
    ours, keras = (
        np.array([[epoch.loss for epoch in fit(task_for(kind, settings=few, seed=i), trainer).history] for i in seeds])
        for trainer, seeds in ((CompiledTrainer(), range(40)), (KerasTrainer(), range(20)))
    )
    error = np.sqrt(sum(curves.var(axis=0, ddof=1) / len(curves) for curves in (ours, keras)))
    assert (np.abs(ours.mean(axis=0) - keras.mean(axis=0)) < 3.5 * error).all(), (ours.mean(axis=0), keras.mean(axis=0))


def test_patience_stops_training_on_noise():
    noise = {"label": lambda last, before, rng: rng.random(len(last)) < 0.5}
    task = task_for(
        "probability",
        training=samples(600, seed=2, **noise),
        validation=samples(300, seed=3, **noise),
        settings=replace(SETTINGS, epochs=30, patience=2, learning_rate=0.05),
    )
    fitted = fit(task)
    assert len(fitted.history) == fitted.epochs + 2 < 30


def test_without_validation_every_epoch_is_run():
    fitted = fit(task_for("value", validation=None, settings=replace(SETTINGS, epochs=3)))
    assert fitted.epochs == len(fitted.history) == 3
    assert all(np.isnan(epoch.validation_loss) for epoch in fitted.history)
    assert np.isfinite([epoch.loss for epoch in fitted.history]).all()


@pytest.mark.parametrize("rows", [1, 2, 63, 65])
def test_few_rows_are_enough(rows):
    label = LABELS["probability"]
    task = task_for("probability", training=samples(rows, seed=0, label=label), settings=replace(SETTINGS, epochs=2))
    assert all(np.isfinite(value).all() for value in fit(task).weights.values())


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kind", LABELS)
def test_nan_fit_raises_an_error(kind, threads):
    task = task_for(kind)
    task.training.windows.panel[:] = np.nan
    with pytest.raises(InputError, match=r"not a number with seed 5; provide features and labels that are finite"):
        fit(task, CompiledTrainer(threads=threads))


@pytest.mark.parametrize("validated", [True, False])
def test_diverging_values_raise_an_error(validated):
    """Labels of 1e30 square beyond a float: no weights of such a fit may come out."""
    task = task_for("value", settings=replace(SETTINGS, learning_rate=0.5, epochs=3))
    task.training.label[:] *= np.float32(1e30)
    task = task if validated else replace(task, validation=None)
    with pytest.raises(InputError, match="not a number"):
        fit(task)


def test_unknown_ticker_row_is_trained():
    name = "ticker_embedding/embeddings"
    moved = fit(task_for("probability")).weights[name]
    still = fit(task_for("probability", settings=replace(SETTINGS, epochs=1, learning_rate=1e-30))).weights[name]
    assert (moved[0] != still[0]).any()
    model = replace(SMALL, unknown_category_rate=0.0)
    network = replace(task_for("probability").network, model=model)
    never = fit(task_for("probability", network=network)).weights[name]
    np.testing.assert_allclose(never[0], still[0], rtol=0, atol=1e-20)


def test_tickers_without_rows_keep_their_initial_weights():
    task = task_for("probability")
    network = replace(task.network, n_categories=20)
    name = "ticker_embedding/embeddings"
    moved = fit(replace(task, network=network)).weights[name]
    still = fit(replace(task, network=network, settings=replace(SETTINGS, epochs=1, learning_rate=1e-30))).weights[name]
    np.testing.assert_allclose(moved[13:], still[13:], rtol=0, atol=1e-20)
    assert (moved[:13] != still[:13]).any(axis=1).all()


def test_unsupported_reason_names_the_setting():
    assert unsupported_reason(SMALL) is None
    for network in CASES.values():
        assert unsupported_reason(network.model) is None
    assert "recurrent dropout" in unsupported_reason(replace(SMALL, recurrent_dropout=0.1))
    assert "peephole_lstm cells" in unsupported_reason(replace(SMALL, cell="peephole_lstm"))


@pytest.mark.parametrize(
    "setting",
    [
        {"input_dropout": 0.1},
        {"cell": "gru", "reset_after": False},
        {"bidirectional": True},
        {"sequence_loss": True},
        {"output_recurrence": True},
        {"recurrent_skip_steps": 2},
        {"autoregressive_lags": 3},
        {"tbptt_steps": 4},
        {"categorical_embeddings": {"sector": 2}},
        {"year_onehot": True},
    ],
    ids=lambda setting: list(setting)[-1],
)
def test_settings_that_only_keras_supports_are_unsupported(setting):
    assert unsupported_reason(replace(SMALL, **setting)) == f"it does not support model.{list(setting)[-1]}"


def test_window_without_known_steps_predicts_like_keras():
    """It cannot come from this project, whose windows end in known steps; from elsewhere it may."""
    network = CASES["masked"]
    fitted = next(CompiledTrainer().fit([FitTask(network, samples_for(network, 40), None, SETTINGS, 1)]))
    rows = samples_for(network, 3)
    panel = np.full_like(rows.windows.panel, -1e6)
    empty = replace(rows, windows=replace(rows.windows, panel=panel))
    said = [trainer.predict(network, fitted.weights, empty) for trainer in (CompiledTrainer(), KerasTrainer())]
    np.testing.assert_allclose(said[0], said[1], rtol=0, atol=1e-5)


def test_integer_settings_do_not_recompile():
    """0 is no 0.0 to a compiler: a second compilation would take as long as the first."""
    from signals.trainers.compiled.trainer import _entry

    task = task_for("value")
    network = replace(task.network, model=replace(SMALL, dropout=0))
    next(
        CompiledTrainer().fit([replace(task, network=network, settings=replace(SETTINGS, epochs=1, global_clipnorm=1))])
    )
    assert len(_entry().signatures) == 1
