"""Weights of the compiled trainer are Keras's: their names, their first values, and both trainers read both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from network_cases import CASES, samples_for, weights_for
from scipy import stats

from signals.models.keras_backend import load_keras
from signals.models.network import Network
from signals.models.recurrent import build
from signals.models.recurrent_settings import RecurrentSettings
from signals.trainers.base import FitTask, TrainingSettings
from signals.trainers.compiled.trainer import CompiledTrainer
from signals.trainers.keras_trainer import KerasTrainer

BOTH_WAYS = ["published", "published gru", "gru, five features, classes", "masked, two features, value", "four layers"]
BOTH_WAYS += ["sequence alone"]
ONE_EPOCH = TrainingSettings(batch_size=32, epochs=1)
TRAINERS = {"keras": KerasTrainer(), "compiled": CompiledTrainer()}


def built(network):
    keras = load_keras()
    keras.backend.clear_session()
    return build(network.model, network.n_categories, network.n_features, network.target)


@pytest.mark.parametrize("maker", TRAINERS)
@pytest.mark.parametrize("name", BOTH_WAYS)
def test_each_trainer_predicts_with_networks_of_the_other(name, maker):
    network = CASES[name]
    fitted = next(TRAINERS[maker].fit([FitTask(network, samples_for(network, 90), None, ONE_EPOCH, 4)]))
    keras = built(network)
    assert {weight.path: tuple(weight.shape) for weight in keras.weights} == {
        path: value.shape for path, value in fitted.weights.items()
    }
    assert {value.dtype for value in fitted.weights.values()} == {np.dtype(np.float32)}
    keras.set_weights([fitted.weights[weight.path] for weight in keras.weights])
    rows = samples_for(network, 50, seed=8, outside=0.0)
    said = [trainer.predict(network, fitted.weights, rows) for trainer in TRAINERS.values()]
    np.testing.assert_allclose(said[0], said[1], rtol=0, atol=1e-5)
    assert np.ptp(said[0]) > 1e-3


def test_weights_round_trip_through_the_layout():
    """With a learning rate near 0, thirty epochs return the initial weights."""
    network = CASES["gru, five features, classes"]
    still = replace(ONE_EPOCH, learning_rate=1e-30)
    samples = samples_for(network, 90)
    one, many = (
        next(CompiledTrainer().fit([FitTask(network, samples, None, replace(still, epochs=epochs), 4)])).weights
        for epochs in (1, 30)
    )
    for path, value in one.items():
        np.testing.assert_allclose(value, many[path], rtol=0, atol=1e-20, err_msg=path)


@pytest.fixture(scope="module", params=["lstm", "gru"])
def drawn(request):
    """First weights of 40 networks: by the initializers of the Keras network, and by the compiled trainer."""
    network = Network(
        RecurrentSettings(lookback=3, cell=request.param, units=(9, 6), ticker_embedding_dim=5, dense_units=7), 30, 4
    )
    samples, theirs, ours, model = samples_for(network, 8), [], [], built(network)
    makers = {}
    for layer in model.layers:
        for owner, named in ((layer, layer.weights), (getattr(layer, "cell", None), layer.weights)):
            for what in ("kernel", "recurrent", "embeddings"):
                maker = getattr(owner, f"{what}_initializer", None)
                ending = {"recurrent": "recurrent_kernel"}.get(what, what)
                makers |= {w.path: maker for w in named if maker is not None and w.path.split("/")[-1] == ending}
    for seed in range(40):
        values = {weight.path: np.asarray(weight) for weight in model.weights}
        values |= {path: np.asarray(type(maker)(seed=seed)(values[path].shape)) for path, maker in makers.items()}
        theirs.append(values)
        task = FitTask(network, samples, None, replace(ONE_EPOCH, learning_rate=1e-30), seed)
        ours.append(next(CompiledTrainer().fit([task])).weights)
    assert {path for path in theirs[0] if not path.endswith("bias")} == set(makers)
    return theirs, ours


def test_initial_weights_have_the_distributions_of_keras(drawn):
    theirs, ours = drawn
    for path in theirs[0]:
        a, b = (np.stack([one[path] for one in made]) for made in (theirs, ours))
        if path.endswith("bias"):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-20, err_msg=path)
            continue
        assert stats.ks_2samp(a.ravel(), b.ravel()).pvalue > 1e-3, path
        if not path.endswith("recurrent_kernel"):  # the others are uniform: nothing lies beyond the bounds
            assert np.abs(b).max() == pytest.approx(np.abs(a).max(), rel=0.02), path
        # no place in the matrix is special, and no seed repeats another
        assert np.abs(b.mean(axis=0)).max() < 5 * b.std() / np.sqrt(len(b)), path
        assert len({one.tobytes() for one in b}) == len(b), path


def test_recurrent_kernels_are_orthogonal_and_forget_biases_one(drawn):
    for one in drawn[1]:
        for path, value in one.items():
            if path.endswith("recurrent_kernel"):
                np.testing.assert_allclose(value @ value.T, np.eye(len(value)), atol=1e-5)
            if path.endswith("lstm_cell/bias"):
                units = len(value) // 4
                np.testing.assert_allclose(value, np.repeat([0, 1, 0, 0], units), atol=1e-20)


def test_weights_of_another_shape_raise_an_error():
    network, other = CASES["three layers"], CASES["one layer"]
    rows = samples_for(network, 5)
    with pytest.raises((KeyError, ValueError)):
        CompiledTrainer().predict(network, weights_for(other), rows)
    wrong = weights_for(network) | {"dense/kernel": np.zeros((3, 2), np.float32)}
    with pytest.raises(ValueError, match=r"broadcast|reshape|shape"):
        CompiledTrainer().predict(network, wrong, rows)
