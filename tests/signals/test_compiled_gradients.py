"""The compiled trainer computes what Keras computes: gradients, updates and predictions, at every shape of network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from keras_reference import KerasReference
from network_cases import CASES, samples_for, take, weights_for
from plain_network import evaluate, gradient, rows_of
from plain_optimizers import Descent

from signals.trainers.base import FitTask, TrainingSettings
from signals.trainers.compiled.trainer import CompiledTrainer, gradients
from signals.trainers.training_loop import draw_epoch

# of each weight's largest gradient; measured errors are about a tenth of it
GRADIENT, PARAMETER, PREDICTION = 1e-5, 1e-4, 1e-5
# what the comparison with Keras itself covers; all cases are compared with the plain network, which is Keras's
AGAINST_KERAS = [
    "published", "published gru", "published, two features", "published, three classes", "value", "masked", "simple",
    "no dense, sequence alone, value", "quantiles of two values",
]  # fmt: skip


def assert_gradients(found, expected, tolerance=GRADIENT):
    assert list(expected) == list(found) or set(expected) == set(found)
    for path, value in expected.items():
        assert found[path].shape == value.shape, path
        most = np.abs(value).max()
        error = np.abs(found[path] - value).max()
        assert error <= tolerance * most, f"{path}: {error / most:.1e} of its largest"


@pytest.mark.parametrize("n", [1, 37])
@pytest.mark.parametrize("name", CASES)
def test_gradients_and_predictions_equal_the_reference_network(name, n):
    network = CASES[name]
    weights, samples = weights_for(network), samples_for(network, n)
    expected = gradient(network, weights, rows_of(samples, network))
    loss, found = gradients(network, weights, samples)
    assert loss == pytest.approx(expected.loss, rel=1e-5)
    assert_gradients(found, expected.weights)
    said = CompiledTrainer().predict(network, weights, samples)
    assert said.dtype == np.float32
    assert said.shape == (n, network.target.outputs)
    np.testing.assert_allclose(said, evaluate(network, weights, rows_of(samples, network)), rtol=0, atol=PREDICTION)


@pytest.mark.parametrize("name", ["value", "six values, no dense"])
def test_absolute_errors(name):
    network = CASES[name]
    weights, samples = weights_for(network), samples_for(network, 37)
    expected = gradient(network, weights, rows_of(samples, network), absolute=True)
    loss, found = gradients(network, weights, samples, loss="mae")
    assert loss == pytest.approx(expected.loss, rel=1e-5)
    assert_gradients(found, expected.weights)


@pytest.mark.parametrize("n", [2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 255, 256, 257, 300, 1024])
def test_batches_of_any_size(n):
    network = CASES["three layers"]
    weights, samples = weights_for(network), samples_for(network, n)
    expected = gradient(network, weights, rows_of(samples, network))
    loss, found = gradients(network, weights, samples)
    assert loss == pytest.approx(expected.loss, rel=1e-5)
    assert_gradients(found, expected.weights)


@pytest.mark.parametrize("name", AGAINST_KERAS)
def test_gradients_and_predictions_equal_keras(name):
    network = CASES[name]
    weights, samples = weights_for(network), samples_for(network, 130)
    keras, rows = KerasReference(network, weights), rows_of(samples, network)
    loss, found = gradients(network, weights, samples)
    expected_loss, expected = keras.gradient(rows)
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    assert_gradients(found, expected)
    said = CompiledTrainer().predict(network, weights, samples)
    np.testing.assert_allclose(said, keras.outputs(rows), rtol=0, atol=PREDICTION)


def fitted(network, samples, settings, *, threads=1):
    """Weights before and after one epoch; a rate of next to nothing leaves the first ones as they were."""
    task = FitTask(network, samples, None, settings, 3)
    start = next(CompiledTrainer().fit([replace(task, settings=replace(settings, learning_rate=1e-30))])).weights
    return task, start, next(CompiledTrainer(threads=threads).fit([task])).weights


def batches(task):
    """Rows of the one epoch of a task, batch by batch, as any trainer learns them."""
    order = draw_epoch(task, np.random.default_rng([task.seed, len(task.training)]))
    for begin in range(0, len(order.rows), order.size):
        yield rows_of(task.training, task.network, order.rows[begin : begin + order.size], order.category)


OPTIMIZERS = [("adam", None), ("rmsprop", None), ("adam", 0.05), ("rmsprop", 0.05)]


@pytest.mark.parametrize(("optimizer", "clip_norm"), OPTIMIZERS)
@pytest.mark.parametrize("name", ["three layers", "gru, five features, classes", "masked, two features, value"])
def test_twenty_updates_equal_the_reference_network(name, optimizer, clip_norm):
    network = CASES[name]
    network = replace(network, model=replace(network.model, unknown_category_rate=0.2))
    settings = TrainingSettings(
        batch_size=24, epochs=1, optimizer=optimizer, global_clipnorm=clip_norm, learning_rate=0.003
    )
    task, start, end = fitted(network, samples_for(network, 20 * 24), settings)
    plain, updates = Descent(start, settings), 0
    for rows in batches(task):
        plain.step(gradient(network, plain.weights, rows), rows.ticker)
        updates += 1
    assert updates == 20
    for path, value in plain.weights.items():
        assert np.abs(end[path] - start[path]).max() > 2 * PARAMETER, f"{path} has not moved"
        np.testing.assert_allclose(end[path], value, rtol=0, atol=PARAMETER / 4, err_msg=path)


@pytest.mark.parametrize(("optimizer", "clip_norm"), OPTIMIZERS)
@pytest.mark.parametrize("name", ["published", "published gru", "published, two features", "published, three classes"])
def test_twenty_updates_equal_keras(name, optimizer, clip_norm):
    network = CASES[name]
    if name != "published" and (optimizer, clip_norm) not in OPTIMIZERS[1:3]:
        pytest.skip("the other optimizers are tried on the published network")
    settings = TrainingSettings(
        batch_size=64, epochs=1, optimizer=optimizer, global_clipnorm=clip_norm, learning_rate=0.001
    )
    task, start, end = fitted(network, samples_for(network, 20 * 64), settings)
    keras = KerasReference(network, start)
    keras.compile(settings)
    for rows in batches(task):
        keras.step(rows)
    for path, value in keras.weights.items():
        assert np.abs(end[path] - start[path]).max() > 2 * PARAMETER, f"{path} has not moved"
        np.testing.assert_allclose(end[path], value, rtol=0, atol=PARAMETER, err_msg=path)


def test_gradient_of_a_batch_equals_sum_over_chunks():
    """The gradient of the mean is the mean of the gradients: nothing is lost at the edges of blocks."""
    network = CASES["published"]
    weights, samples = weights_for(network), samples_for(network, 90)
    whole = gradients(network, weights, samples)[1]
    parts = [np.arange(0, 7), np.arange(7, 40), np.arange(40, 90)]
    found = [gradients(network, weights, take(samples, part))[1] for part in parts]
    for path, value in whole.items():
        mean = sum(len(part) * one[path] for part, one in zip(parts, found, strict=True)) / 90
        np.testing.assert_allclose(mean, value, rtol=0, atol=GRADIENT * np.abs(value).max(), err_msg=path)
