"""Every network of the family equals a plain NumPy evaluation of its equations."""

from __future__ import annotations

import numpy as np
import pytest
from plain_cells import evaluate, random_inputs, random_weights

from signals.dataset.labels import Target
from signals.models.encoder_decoder_settings import EncoderDecoderSettings
from signals.models.keras_backend import load_keras
from signals.models.network import Network
from signals.models.recurrent_settings import RecurrentSettings
from signals.models.registry import build_network

PROBABILITY, CLASSES, VALUES = Target("probability"), Target("classes", 3), Target("value", 2)
LEVELS = (0.1, 0.5, 0.9)
QUANTILES, STEPS = Target("quantiles", 6, LEVELS), Target("value", 6, steps=3)
GROUPS = {"sector": 4, "quarter": 5, "year": 4}


def recurrent(target=VALUES, **changes):
    settings = {"lookback": 5, "units": (4, 3), "ticker_embedding_dim": 2, "dense_units": 3}
    return Network(RecurrentSettings(**(settings | changes)), 6, 2, target, GROUPS)


def decoder(target=STEPS, **changes):
    return Network(EncoderDecoderSettings(**({"lookback": 5, "units": (4, 3)} | changes)), 6, 2, target, GROUPS)


WHOLE = {"sequence_loss": True, "min_steps": 2, "recurrent_skip_steps": 3, "autoregressive_lags": 2}
FEEDBACK = {"output_recurrence": True, "min_steps": 2}
CASES = {
    "lstm": recurrent(),
    "lstm, masked": recurrent(min_steps=2),
    "lstm, both directions": recurrent(bidirectional=True),
    "lstm, every step, skip, highway": recurrent(**WHOLE),
    "gru": recurrent(cell="gru"),
    "gru, reset before": recurrent(cell="gru", reset_after=False, min_steps=2),
    "gru, masked, both directions, skip": recurrent(
        cell="gru", min_steps=2, bidirectional=True, recurrent_skip_steps=2, autoregressive_lags=3
    ),
    "simple": recurrent(cell="simple_rnn", units=(3,)),
    "simple, every step, skip, highway": recurrent(cell="simple_rnn", **WHOLE),
    "peephole": recurrent(cell="peephole_lstm", units=(3, 2, 3)),
    "peephole, masked, both directions": recurrent(cell="peephole_lstm", min_steps=2, bidirectional=True),
    "peephole, every step, skip, highway": recurrent(cell="peephole_lstm", **WHOLE),
    "no dense layer, one skip, long highway": recurrent(
        PROBABILITY, dense_units=0, recurrent_skip_steps=5, autoregressive_lags=5
    ),
    "other categoricals": recurrent(
        CLASSES, categorical_embeddings={"sector": 2, "quarter": 1}, year_onehot=True, month_onehot=False
    ),
    "a month table": recurrent(categorical_embeddings={"quarter": 3}, sequence_loss=True, dense_units=0),
    "feedback, probability": recurrent(PROBABILITY, output_recurrence=True),
    "feedback, classes, gru": recurrent(
        CLASSES, cell="gru", reset_after=False, sequence_loss=True, recurrent_skip_steps=2, **FEEDBACK
    ),
    "feedback, values, peephole": recurrent(
        VALUES, cell="peephole_lstm", dense_units=0, autoregressive_lags=2, **FEEDBACK
    ),
    "feedback, quantiles, simple": recurrent(
        QUANTILES, cell="simple_rnn", sequence_loss=True, autoregressive_lags=3, **FEEDBACK
    ),
    "truncated, masked": recurrent(min_steps=2, tbptt_steps=3),
    "truncated, every step, masked": recurrent(
        cell="gru", sequence_loss=True, min_steps=2, autoregressive_lags=2, tbptt_steps=2
    ),
    "truncated, feedback": recurrent(tbptt_steps=3, cell="peephole_lstm", sequence_loss=True, **FEEDBACK),
    "additive attention": decoder(),
    "additive attention, masked, no feedback": decoder(
        output_recurrence=False, cell="simple_rnn", decoder_units=5, min_steps=2, categorical_embeddings={"sector": 1}
    ),
    "attention by product, both directions": decoder(
        attention="dot", cell="gru", min_steps=2, bidirectional=True, autoregressive_lags=2
    ),
    "no attention, quantiles": decoder(
        Target("quantiles", 18, LEVELS, steps=3),
        attention="none",
        cell="peephole_lstm",
        autoregressive_lags=3,
        ticker_embedding_dim=2,
        month_onehot=True,
        year_onehot=True,
    ),
    "decoder of one probability": decoder(PROBABILITY),
}


@pytest.fixture(scope="module")
def keras():
    return load_keras()


@pytest.mark.parametrize("name", CASES)
def test_network_equals_its_equations(keras, name):
    network = CASES[name]
    keras.backend.clear_session()
    made = build_network(network)
    shapes = {weight.path: tuple(weight.shape) for weight in made.weights}
    assert len(shapes) == len(made.weights)  # they are stored by these names
    weights = random_weights(shapes)
    made.set_weights(list(weights.values()))
    given = random_inputs(network, 11)
    kinds = {"f": np.float32, "i": np.int32}
    given = {name: value.astype(kinds[value.dtype.kind]) for name, value in given.items()}
    assert {tensor.name for tensor in made.inputs} == set(given)
    said = keras.ops.convert_to_numpy(made(given, training=False))
    expected = evaluate(network, weights, given)
    assert (
        said.shape == (11, network.model.lookback, network.target.outputs)
        if network.model.sequence_loss
        else (11, network.target.outputs)
    )
    np.testing.assert_allclose(said, expected, rtol=0, atol=1e-6)
    assert np.ptp(expected, axis=0).min() > 0.001  # rows differ, so that the comparison can fail


@pytest.mark.parametrize("shares", [{}, {"dropout": 0.4}, {"dropout": 0.3, "recurrent_dropout": 0.4}], ids=str)
def test_zero_peephole_equals_lstm_of_keras(keras, shares):
    from signals.models.cells import PeepholeLSTMCell

    sequence = np.random.default_rng(0).normal(size=(5, 6, 3)).astype(np.float32)
    mask = np.random.default_rng(1).random((5, 6)) < 0.7
    layers = [
        keras.layers.LSTM(4, seed=3, return_sequences=True, **shares),
        keras.layers.RNN(PeepholeLSTMCell(4, seed=3, **shares), return_sequences=True),
    ]
    said = []
    for layer in layers:
        layer.build(sequence.shape)
        layer.set_weights([*layers[0].get_weights(), *layer.get_weights()[3:]])
        said.append(layer(sequence, mask=mask, training=True))
    plain, ours = (keras.ops.convert_to_numpy(values) for values in said)
    np.testing.assert_allclose(ours, plain, atol=1e-6)
    if shares:
        assert np.abs(ours - keras.ops.convert_to_numpy(layers[1](sequence, mask=mask))).max() > 0.01


@pytest.mark.parametrize("name", ["peephole, masked, both directions", "feedback, values, peephole"])
def test_networks_with_custom_layers_round_trip_through_keras_files(keras, tmp_path, name):
    """In safe mode: nothing of them needs code that a file brings along."""
    network = CASES[name]
    made = build_network(network)
    made.save(tmp_path / "network.keras")
    again = keras.models.load_model(tmp_path / "network.keras", safe_mode=True)
    given = {name: value.astype(np.float32) for name, value in random_inputs(network, 3).items()}
    one, other = (keras.ops.convert_to_numpy(model(given, training=False)) for model in (made, again))
    np.testing.assert_array_equal(one, other)
