"""What trainers share: batches of one size, unknown tickers, patience, the weights that are kept."""

from __future__ import annotations

import numpy as np
import pytest

from signals.common.errors import InputError
from signals.dataset.windows import Samples, Windows
from signals.models.network import Network
from signals.models.recurrent_settings import RecurrentSettings
from signals.trainers.base import FitTask, TrainingSettings
from signals.trainers.training_loop import draw_epoch, fit_by_epochs


def task(n=1000, *, validation=True, unknown_category_rate=0.05, **settings):
    rows = np.arange(n, dtype=np.int32)
    windows = Windows(np.zeros((n, 8, 1), np.float32), rows, np.full(n, 7, np.int32), 8)
    samples = Samples(windows, rows + 1, rows % 12, (rows % 2).astype(np.float32))
    network = Network(RecurrentSettings(lookback=8, unknown_category_rate=unknown_category_rate), n + 1)
    return FitTask(network, samples, samples if validation else None, TrainingSettings(**settings), seed=3)


@pytest.mark.parametrize(("n", "batch"), [(1000, 256), (1000, 1000), (1000, 4096), (1001, 7), (5, 1)])
def test_batches_have_equal_size_and_at_most_one_row_per_batch_is_left_out(n, batch):
    one = draw_epoch(task(n, batch_size=batch), np.random.default_rng(0))
    batches = -(-n // batch)
    assert len(one.rows) == batches * one.size
    assert one.size <= batch
    assert n - len(one.rows) < batches
    assert len(np.unique(one.rows)) == len(one.rows)
    assert one.category.shape == (n,)


def test_unknown_tickers_are_drawn_again_in_every_epoch():
    rng = np.random.default_rng(0)
    first, second = (draw_epoch(task(20_000, unknown_category_rate=0.1), rng) for _ in range(2))
    for one in (first, second):
        assert (one.category == 0).mean() == pytest.approx(0.1, abs=0.01)
        known = one.category != 0
        assert (one.category[known] == np.arange(1, 20_001)[known]).all()
    assert (first.rows != second.rows).mean() > 0.9
    assert ((first.category == 0) & (second.category == 0)).mean() == pytest.approx(0.01, abs=0.005)


class Counting:
    """Weights are the number of the epoch; outputs have the given validation losses."""

    def __init__(self, losses):
        self.losses = losses
        self.epochs = []
        self.weight = np.zeros(1, np.float32)

    def learn(self, one):
        self.epochs.append(one)
        self.weight[0] = len(self.epochs)
        return 1.0

    def outputs(self, samples):
        said = np.exp(-self.losses[len(self.epochs) - 1])
        return np.where(samples.label > 0.5, said, 1 - said).astype(np.float32)[:, None]

    def weights(self):
        return {"w": self.weight.copy()}

    def fit(self, task):
        return fit_by_epochs(task, self.learn, self.outputs, self.weights)


def test_best_epoch_is_kept_and_patience_stops_training():
    fitted = Counting([0.7, 0.5, 0.6, 0.55, 0.4]).fit(task(epochs=5, patience=2))
    assert (fitted.epochs, len(fitted.history), fitted.weights["w"].tolist()) == (2, 4, [2.0])
    assert [round(epoch.validation_loss, 4) for epoch in fitted.history] == [0.7, 0.5, 0.6, 0.55]
    fitted = Counting([0.7, 0.5, 0.6, 0.55, 0.4]).fit(task(epochs=5, patience=3))
    assert (fitted.epochs, len(fitted.history), fitted.weights["w"].tolist()) == (5, 5, [5.0])


def test_without_validation_rows_the_last_epoch_is_kept():
    fitted = Counting([]).fit(task(validation=False, epochs=3, patience=1))
    assert (fitted.epochs, fitted.weights["w"].tolist()) == (3, [3.0])
    assert all(np.isnan(epoch.validation_loss) for epoch in fitted.history)


def test_same_task_has_same_batches():
    first, again = Counting([0.5] * 3), Counting([0.5] * 3)
    first.fit(task(epochs=2))
    again.fit(task(epochs=2))
    for one, two in zip(first.epochs, again.epochs, strict=True):
        assert one.rows.tobytes() + one.category.tobytes() == two.rows.tobytes() + two.category.tobytes()


@pytest.mark.parametrize("validation", [True, False])
def test_nan_loss_raises_an_error(validation):
    network = Counting([np.nan] * 3)
    network.learn = lambda one: float("nan")
    network.epochs = [None]
    with pytest.raises(InputError, match=r"loss that is not a number with seed 3; lower training.learning_rate"):
        network.fit(task(validation=validation, epochs=3))


def test_infinite_weights_after_the_last_update_raise_an_error():
    """The loss of an epoch is taken before its last update."""
    network = Counting([0.5] * 3)
    network.learn = lambda one: 0.5
    network.epochs = [None]
    network.weights = lambda: {"w": np.array([1.0, np.nan], np.float32)}
    with pytest.raises(InputError, match=r"weights that are not numbers with seed 3; lower training.learning_rate"):
        network.fit(task(validation=False, epochs=1))
