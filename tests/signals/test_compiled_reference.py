"""The plain network the compiled trainer is measured against is Keras's: to 1e-9 at double precision."""

from __future__ import annotations

import numpy as np
import pytest
from keras_reference import KerasReference, floats
from network_cases import CASES, samples_for, take, weights_for
from plain_network import evaluate, gradient, rows_of
from plain_optimizers import Descent

from signals.trainers.base import TrainingSettings

# the shapes that take another path through the equations; others differ in sizes only
SHAPES = ["gru, five features, classes", "gru, masked", "masked, two features, value", "two classes", "three layers"]
SHAPES += ["sequence alone", "one layer", "published", "published gru"]


@pytest.fixture(autouse=True, scope="module")
def _doubles():
    with floats("float64"):
        yield


def setting(name, n=23):
    network = CASES[name]
    return network, weights_for(network), rows_of(samples_for(network, n), network)


@pytest.mark.parametrize("name", SHAPES)
def test_reference_network_equals_keras(name):
    network, weights, rows = setting(name)
    keras = KerasReference(network, weights)
    assert list(weights) == keras.paths
    np.testing.assert_allclose(evaluate(network, weights, rows), keras.outputs(rows), rtol=0, atol=1e-12)
    plain, (loss, grads) = gradient(network, weights, rows), keras.gradient(rows)
    assert plain.loss == pytest.approx(loss, rel=1e-12)
    assert list(plain.weights) == list(grads)
    for path, value in grads.items():
        np.testing.assert_allclose(plain.weights[path], value, rtol=0, atol=1e-9 * np.abs(value).max(), err_msg=path)


@pytest.mark.parametrize("name", ["gru, five features, classes", "masked, two features, value", "three layers"])
def test_reference_gradient_equals_finite_differences(name):
    network, weights, rows = setting(name, n=9)
    rng = np.random.default_rng(3)
    # masks of any numbers: what dropout multiplies the inputs of a layer with
    sizes = (network.n_features, *network.model.units[:-1])
    masks = [None if k == 0 else rng.uniform(0, 2, (len(rows), size)) for k, size in enumerate(sizes)]
    whole = gradient(network, weights, rows, masks)
    weights = {path: np.asarray(value, np.float64) for path, value in weights.items()}
    for path, value in weights.items():
        way = rng.normal(size=value.shape)

        def loss(step, path=path, value=value, way=way):
            return gradient(network, weights | {path: value + step * way}, rows, masks).loss

        slope = (loss(1e-5) - loss(-1e-5)) / 2e-5
        assert (whole.weights[path] * way).sum() == pytest.approx(slope, rel=1e-6, abs=1e-9), path


@pytest.mark.parametrize("clip_norm", [None, 0.05])
@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_reference_updates_equal_keras(optimizer, clip_norm):
    network = CASES["masked, three layers"]
    weights, samples = weights_for(network), samples_for(network, 200)
    settings = TrainingSettings(optimizer=optimizer, global_clipnorm=clip_norm, learning_rate=0.01)
    keras, plain = KerasReference(network, weights), Descent(weights, settings)
    keras.compile(settings)
    for update in range(20):
        rows = rows_of(take(samples, np.arange(10 * update, 10 * update + 10)), network)
        keras.step(rows)
        plain.step(gradient(network, plain.weights, rows), rows.ticker)
    for path, value in keras.weights.items():
        np.testing.assert_allclose(plain.weights[path], value, rtol=0, atol=1e-9, err_msg=path)
    # the test can tell: whole squares in the embedding's second moment, and its norm, are another path
    whole = Descent(weights, settings, slices=False)
    for update in range(20):
        rows = rows_of(take(samples, np.arange(10 * update, 10 * update + 10)), network)
        whole.step(gradient(network, whole.weights, rows), rows.ticker)
    assert max(np.abs(whole.weights[path] - value).max() for path, value in keras.weights.items()) > 1e-5
