"""Dropout of the compiled trainer, as seen in its losses: with few units there are few masks, and each has its loss."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from network_cases import samples_for, take
from plain_network import evaluate, gradient, rows_of
from plain_optimizers import Descent
from scipy import stats

from signals.models.network import Network
from signals.models.recurrent_settings import RecurrentSettings
from signals.trainers.base import FitTask, TrainingSettings
from signals.trainers.compiled.trainer import CompiledTrainer

SHARE = 0.3
KEPT = 1 / (1 - SHARE)
FEW = RecurrentSettings(
    lookback=6, units=(3, 2), ticker_embedding_dim=2, dense_units=3, dropout=SHARE, unknown_category_rate=0.0
)
STILL = TrainingSettings(batch_size=64, epochs=1500, learning_rate=1e-30)


def one_row(network, copies=1, seed=0):
    return take(samples_for(network, 5, seed), np.zeros(copies, np.int64))


def masks_of(network):
    """Every mask of the layers behind the first, and its probability."""
    sizes = network.model.units[:-1]
    for drops in itertools.product((True, False), repeat=sum(sizes)):
        numbers = np.where(drops, 0.0, KEPT)
        parts = np.split(numbers, np.cumsum(sizes)[:-1])
        yield [None, *(part[None] for part in parts)], SHARE ** sum(drops) * (1 - SHARE) ** (len(drops) - sum(drops))


def losses_of(network, weights, rows):
    """Loss of the one row under each mask, and the masks' probabilities."""
    made = [(gradient(network, weights, rows, masks).loss, chance) for masks, chance in masks_of(network)]
    return np.array([loss for loss, _ in made]), np.array([chance for _, chance in made])


def fit(network, samples, settings, seed=1):
    return next(CompiledTrainer().fit([FitTask(network, samples, None, settings, seed)]))


def recorded(fitted):
    return np.array([epoch.loss for epoch in fitted.history])


@pytest.mark.parametrize(
    "model",
    [FEW, replace(FEW, cell="gru"), replace(FEW, units=(2, 2, 2)), replace(FEW, units=(1, 2, 1, 2))],
    ids=["lstm", "gru", "three layers", "four layers"],
)
def test_dropout_masks_equal_those_of_keras(model):
    """One mask a row for all steps and another one each epoch, scaled, none on the first layer, layers independent.

    A mask that changed from step to step, another scale, or one on the first layer would give losses that no mask of
    the list gives.
    """
    network = Network(model, 4)
    row = one_row(network)
    fitted = fit(network, row, STILL)
    losses, chances = losses_of(network, fitted.weights, rows_of(row, network))
    found = recorded(fitted)
    nearest = np.abs(found[:, None] - losses).argmin(axis=1)
    np.testing.assert_allclose(found, losses[nearest], rtol=1e-5)
    # masks that cannot be told apart count as one
    groups = np.unique(np.round(losses, 5), return_inverse=True)[1]
    expected = np.bincount(groups, chances) * len(found)
    counts = np.bincount(groups[nearest], minlength=len(expected)).astype(float)
    assert len(expected) > 3
    assert stats.chisquare(counts, expected).pvalue > 1e-3
    # masks of consecutive epochs are independent
    same = np.mean(groups[nearest][1:] == groups[nearest][:-1])
    assert same == pytest.approx(np.sum((expected / len(found)) ** 2), abs=0.06)


def test_each_row_of_a_batch_has_its_own_mask():
    """Copies of one row: were masks shared, by a lane, a block or the batch, the mean loss would vary as one does."""
    network = Network(FEW, 4)
    row, copies = one_row(network), 64
    fitted = fit(network, one_row(network, copies), replace(STILL, batch_size=copies))
    losses, chances = losses_of(network, fitted.weights, rows_of(row, network))
    mean = (losses * chances).sum()
    variance = ((losses - mean) ** 2 * chances).sum() / copies
    found = recorded(fitted)
    assert found.mean() == pytest.approx(mean, abs=4 * np.sqrt(variance / len(found)))
    assert found.var() == pytest.approx(variance, rel=0.15)


def test_each_seed_has_its_own_masks():
    network = Network(FEW, 4)
    row = one_row(network)
    marks = []
    for seed in (1, 2):
        fitted = fit(network, row, replace(STILL, epochs=300), seed=seed)
        losses, _ = losses_of(network, fitted.weights, rows_of(row, network))
        marks.append(np.abs(recorded(fitted)[:, None] - losses).argmin(axis=1))
    assert (marks[0] != marks[1]).mean() > 0.5


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_gradients_pass_through_the_masks(cell):
    """Each update is that of the network under the mask its loss tells of."""
    network = Network(replace(FEW, cell=cell, lookback=12), 4)
    row, settings = one_row(network), TrainingSettings(batch_size=1, epochs=14, learning_rate=0.02)
    start = fit(network, row, replace(STILL, epochs=1)).weights
    fitted = fit(network, row, settings)
    plain, rows = Descent(start, settings), rows_of(row, network)
    for loss in recorded(fitted):
        options = [gradient(network, plain.weights, rows, masks) for masks, _ in masks_of(network)]
        nearest = min(options, key=lambda one: abs(one.loss - loss))
        assert nearest.loss == pytest.approx(loss, rel=1e-4)
        plain.step(nearest, rows.ticker)
    for path, value in plain.weights.items():
        np.testing.assert_allclose(fitted.weights[path], value, rtol=0, atol=1e-4, err_msg=path)


def test_validation_and_prediction_have_no_dropout():
    network = Network(FEW, 4)
    rows = samples_for(network, 40)
    fitted = next(CompiledTrainer().fit([FitTask(network, rows, rows, replace(STILL, epochs=3, patience=5), 1)]))
    expected = evaluate(network, fitted.weights, rows_of(rows, network))
    np.testing.assert_allclose(CompiledTrainer().predict(network, fitted.weights, rows), expected, rtol=0, atol=1e-5)
    assert len({epoch.validation_loss for epoch in fitted.history}) == 1
    assert len({epoch.loss for epoch in fitted.history}) == 3


def test_losses_without_dropout_are_those_of_the_full_network():
    network = Network(replace(FEW, dropout=0.0), 4)
    rows = samples_for(network, 40)
    fitted = fit(network, rows, replace(STILL, epochs=2))
    assert recorded(fitted) == pytest.approx(gradient(network, fitted.weights, rows_of(rows, network)).loss, rel=1e-5)


def test_single_layer_has_no_dropout():
    one, other = (
        fit(Network(replace(FEW, units=(3,), dropout=share), 4), one_row(Network(FEW, 4)), replace(STILL, epochs=3))
        for share in (0.0, 0.5)
    )
    assert recorded(one).tolist() == recorded(other).tolist()
