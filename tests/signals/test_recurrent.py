from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import family
import numpy as np
import pytest
from keras_reference import floats
from plain_cells import evaluate, layer, part, random_weights

from signals.common.errors import InputError
from signals.dataset.labels import Target
from signals.dataset.windows import MASKED, Samples, Windows
from signals.models.encoder_decoder_settings import EncoderDecoderSettings
from signals.models.keras_backend import load_keras
from signals.models.network import Network
from signals.models.recurrent import build
from signals.models.recurrent_settings import RecurrentSettings, check_horizon
from signals.models.registry import build_network
from signals.trainers.base import FitTask, TrainingSettings
from signals.trainers.keras_trainer import KerasTrainer

VALUE = Target("value")
ALONE = {"ticker_embedding_dim": 0, "month_onehot": False}


@pytest.mark.parametrize(
    ("settings", "features", "target", "parameters"),
    [
        (RecurrentSettings(lookback=63, units=(20,), dense_units=0, **ALONE), 1, VALUE, 1_781),
        (RecurrentSettings(lookback=24, units=(12, 6), **ALONE), 2, Target("value", 2), 1_268),
        (
            RecurrentSettings(lookback=24, units=(12, 6), autoregressive_lags=13, **ALONE),
            2,
            Target("value", 2),
            1_268 + 13 * 2 * 2,
        ),
        (RecurrentSettings(units=(32,), cell="gru", dense_units=0, **ALONE), 100, VALUE, 12_897),
        (RecurrentSettings(units=(32,), cell="gru", reset_after=False, dense_units=0, **ALONE), 100, VALUE, 12_801),
        (RecurrentSettings(units=(20,), cell="peephole_lstm", dense_units=0, **ALONE), 1, VALUE, 1_781 + 3 * 20),
        (RecurrentSettings(units=(20,), cell="simple_rnn", dense_units=0, **ALONE), 1, VALUE, 20 * (1 + 20 + 1) + 21),
        (RecurrentSettings(units=(20,), bidirectional=True, dense_units=0, **ALONE), 1, VALUE, 2 * 1_760 + 41),
    ],
    ids=["univariate", "multivariate", "with a highway", "gru", "gru before", "peephole", "simple", "both directions"],
)
def test_parameter_counts_equal_published_counts(settings, features, target, parameters):
    load_keras()
    assert build(settings, 1, features, target).count_params() == parameters


def test_stacked_network_has_published_count_plus_unknown_ticker_row():
    load_keras()
    assert build(RecurrentSettings(), 2_489 + 1).count_params() == 29_371 + 10


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"bidirectional": True, "sequence_loss": True},
            "bidirectional without sequence_loss, because outputs of earlier steps would look ahead",
        ),
        (
            {"bidirectional": True, "output_recurrence": True},
            "bidirectional without output_recurrence, because outputs",
        ),
        ({"bidirectional": True, "tbptt_steps": 3}, "bidirectional without tbptt_steps"),
        ({"recurrent_skip_steps": 53}, "model.recurrent_skip_steps from 0 to the look-back of 52"),
        ({"recurrent_skip_steps": 4, "tbptt_steps": 8}, "no model.recurrent_skip_steps, which reaches further back"),
        ({"tbptt_steps": 0}, "model.tbptt_steps of at least 1 step"),
        ({"autoregressive_lags": 53}, "model.autoregressive_lags from 0 to the look-back of 52; found 53"),
        ({"teacher_forcing_ratio": 1.1}, r"model.teacher_forcing_ratio in \[0, 1\]; found 1.1"),
        ({"cell": "lstn"}, "model.cell to be one of lstm, gru, simple_rnn, peephole_lstm; found 'lstn'"),
        ({"units": ()}, "model.units like"),
        ({"categorical_embeddings": {"ticker": 3}}, "found ticker; use model.ticker_embedding_dim"),
        ({"categorical_embeddings": {"year": 3}}, "found year; use model.year_onehot"),
        ({"categorical_embeddings": {"month": 3}}, "found both; drop one"),
        (
            {"categorical_embeddings": {"sector": 0}},
            "widths of at least 1 in model.categorical_embeddings; found 0 for sector",
        ),
        ({"input_dropout": 1.0}, r"model.input_dropout in \[0, 1\)"),
        ({"dense_units": -1}, "model.dense_units of at least 0"),
    ],
    ids=str,
)
def test_invalid_recurrent_settings_raise_an_error(changes, message):
    with pytest.raises(InputError, match=message) as raised:
        RecurrentSettings(**changes)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attention": "bilinear"}, "model.attention to be one of additive, dot, none; found 'bilinear'"),
        ({"attention": "dot", "units": (8,), "decoder_units": 5}, "the width of the encoder's output, 8, as"),
        ({"attention": "dot", "output_recurrence": False}, "a decoder with inputs"),
        ({"decoder_units": -1}, "model.decoder_units of at least 0"),
        ({"autoregressive_lags": 99}, "model.autoregressive_lags from 0"),
    ],
    ids=str,
)
def test_invalid_encoder_decoder_settings_raise_an_error(changes, message):
    with pytest.raises(InputError, match=message):
        EncoderDecoderSettings(**changes)


def test_unsupported_targets_and_missing_group_sizes_raise_an_error():
    load_keras()
    with pytest.raises(InputError, match=r"found classes; use model.kind = 'recurrent'"):
        build_network(Network(EncoderDecoderSettings(), 1, 1, Target("classes", 3)))
    with pytest.raises(InputError, match=r"number of categories of 'sector'.*found none"):
        build(RecurrentSettings(categorical_embeddings={"sector": 2}), 3)


def test_sequence_loss_is_the_mean_over_known_labels():
    """Unknown labels count nothing, and steps whose features are unknown count like any other."""
    model = RecurrentSettings(lookback=6, units=(3,), sequence_loss=True, min_steps=2, **ALONE)
    network = Network(model, 7, 2, Target("value", 2))
    rows = family.rows_for(network, 30)
    settings = TrainingSettings(batch_size=30, epochs=1, learning_rate=1e-12)
    fit = next(KerasTrainer().fit([FitTask(network, rows, None, settings, 1)]))
    given = {"sequence": rows.windows.gather(slice(None))}
    said, label = evaluate(network, fit.weights, given), rows.step_labels.gather(slice(None))
    known = label[..., 0] != MASKED
    assert 0.1 < known.mean() < 0.9
    assert (given["sequence"] == MASKED).mean() > 0.1
    expected = np.mean((said - label)[known] ** 2)
    assert fit.history[0].loss == pytest.approx(expected, rel=1e-5)


def chunks(model, weights, weights_then, x):
    """Outputs of a network of LSTMs whose chunks of `truncate` steps begin from what other weights made of the past."""
    names, known = [f"lstm_{number}" for number in range(1, len(model.units) + 1)], np.ones(x.shape[:2], bool)
    states, said = [None] * len(names), []
    bounds = [0, *range(model.lookback % model.tbptt_steps or model.tbptt_steps, model.lookback + 1, model.tbptt_steps)]
    for begin, end in pairwise(bounds):
        now = then = x[:, begin:end]
        for number, name in enumerate(names):
            now, _ = layer("lstm", part(weights, name), now, known, begin=states[number])
            then, states[number] = layer("lstm", part(weights_then, name), then, known, begin=states[number])
        said.append(now @ weights["value/kernel"] + weights["value/bias"])
    return np.concatenate(said, axis=1)


@pytest.mark.parametrize("every_step", [False, True], ids=["last step", "every step"])
def test_tbptt_gradients_equal_those_of_the_truncated_computation(every_step):
    keras = load_keras()
    if keras.backend.backend() != "tensorflow":
        pytest.skip("gradients are taken with TensorFlow's tape")
    tensorflow = importlib.import_module("tensorflow")
    model = RecurrentSettings(lookback=8, units=(3, 2), dense_units=0, tbptt_steps=3, sequence_loss=every_step, **ALONE)
    rng = np.random.default_rng(0)
    x, pull = rng.normal(size=(4, 8, 2)), rng.normal(size=(4, 8, 1))
    if not every_step:
        pull[:, :-1] = 0
    with floats("float64"):
        made = build(model, 1, 2, VALUE)
        weights = random_weights({weight.path: tuple(weight.shape) for weight in made.weights})
        made.set_weights(list(weights.values()))
        whole = build(replace(model, tbptt_steps=None), 1, 2, VALUE)
        whole.set_weights(list(weights.values()))
        sequence = tensorflow.constant(x)
        with tensorflow.GradientTape() as tape:
            tape.watch(sequence)
            said = made({"sequence": sequence}, training=False)
            loss = tensorflow.reduce_sum(said * (pull if every_step else pull[:, -1]))
        variables = [variable.value for variable in made.trainable_variables]
        *gradients, of_inputs = (np.asarray(found) for found in tape.gradient(loss, [*variables, sequence]))
        np.testing.assert_allclose(said, whole({"sequence": x}, training=False), atol=1e-12)

    def loss_at(name, place, by):
        changed = {path: value.copy() for path, value in weights.items()}
        changed[name][place] += by
        return np.sum(chunks(model, changed, weights, x) * pull)

    assert np.sum(chunks(model, weights, weights, x) * pull) == pytest.approx(float(loss), abs=1e-12)
    for name, gradient in zip(weights, gradients, strict=True):
        for place in np.ndindex(gradient.shape):
            expected = (loss_at(name, place, 1e-5) - loss_at(name, place, -1e-5)) / 2e-5
            assert gradient[place] == pytest.approx(expected, abs=1e-8), (name, place)
    if not every_step:
        assert (of_inputs[:, :5] == 0).all()
    assert (np.abs(of_inputs[:, 5:]).max(axis=(0, 2)) > 1e-6).all()


@pytest.mark.parametrize("name", family.EVERYTHING)
def test_networks_of_every_part_train_and_predict(name):
    network = family.EVERYTHING[name]
    fit = family.check(network)
    if name == "attention":
        again = family.fit(network)
        assert fit.history[0].loss == again.history[0].loss
        assert all(value.tobytes() == again.weights[path].tobytes() for path, value in fit.weights.items())


@pytest.mark.slow
@pytest.mark.parametrize("name", family.FAMILY)
def test_training_is_reproducible_to_the_bit(name):
    fit, again = (family.fit(family.FAMILY[name]) for _ in range(2))
    assert fit.history[0].loss == again.history[0].loss
    assert all(value.tobytes() == again.weights[path].tobytes() for path, value in fit.weights.items())


@pytest.mark.slow
def test_teacher_forcing_ratio_is_applied_in_training_only():
    weights = []
    for share in (0.0, 1.0):
        model = RecurrentSettings(
            lookback=4, units=(3,), output_recurrence=True, teacher_forcing_ratio=share, dense_units=0, **ALONE
        )
        network = Network(model, 7, 2, VALUE)
        rows = family.rows_for(network, 20)
        settings = TrainingSettings(batch_size=20, epochs=1, learning_rate=0.01)
        weights.append(next(KerasTrainer().fit([FitTask(network, rows, None, settings, 1)])).weights)
    assert any((value != weights[1][path]).any() for path, value in weights[0].items())


def test_output_recurrence_fits_an_echo():
    """A label is that of the step before plus a shock that is seen: only the fed-back output tells the former."""
    rng = np.random.default_rng(0)
    shock = rng.normal(size=(4, 400, 1)).astype(np.float32)
    label = np.zeros_like(shock)
    for t in range(1, 400):
        label[:, t] = 0.9 * label[:, t - 1] + shock[:, t]
    ends = np.arange(40, 400, dtype=np.int32)
    ticker, end = np.repeat(np.arange(4, dtype=np.int32), len(ends)), np.tile(ends, 4)
    rows = Samples(
        Windows(shock, ticker, end, 12), ticker, end % 12, label[ticker, end, 0], {}, Windows(label, ticker, end, 12)
    )
    model = RecurrentSettings(
        lookback=12, cell="simple_rnn", units=(4,), sequence_loss=True, output_recurrence=True, dense_units=0, **ALONE
    )
    task = FitTask(
        Network(model, 5, 1, VALUE), rows, rows, TrainingSettings(batch_size=64, epochs=6, learning_rate=0.01), 1
    )
    losses = [epoch.validation_loss for epoch in next(KerasTrainer().fit([task])).history]
    assert min(losses) < 0.6 * label.var()


INSTALLED = [name for name in ("tensorflow", "jax", "torch") if importlib.util.find_spec(name)]
SUPPORT = Path(__file__).parents[1] / "support"


def train_elsewhere(backend, names):
    path = os.pathsep.join([str(SUPPORT), *sys.path])
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": path}
    command = [sys.executable, "-W", "ignore", str(SUPPORT / "family.py"), *names]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


@pytest.mark.parametrize("backend", [name for name in INSTALLED if name != "tensorflow"])
def test_networks_of_every_part_train_on_other_backends(backend):
    assert train_elsewhere(backend, list(family.EVERYTHING)) == list(family.EVERYTHING)


@pytest.mark.slow
@pytest.mark.parametrize("backend", INSTALLED)
def test_every_network_trains_on_every_installed_backend(backend):
    assert train_elsewhere(backend, []) == list(family.FAMILY)


@pytest.mark.parametrize("horizon", [1, 3])
def test_teacher_forcing_with_overlapping_horizons_raises_an_error(horizon):
    with_feedback = RecurrentSettings(output_recurrence=True)
    for model in (
        replace(with_feedback, teacher_forcing_ratio=0.0),
        RecurrentSettings(),
        EncoderDecoderSettings(),
        object(),
    ):
        check_horizon(model, horizon)
    if horizon == 1:
        check_horizon(with_feedback, horizon)
        return
    with pytest.raises(InputError, match=r"found a horizon of 3; set model.teacher_forcing_ratio = 0, or model.kind"):
        check_horizon(with_feedback, horizon)
