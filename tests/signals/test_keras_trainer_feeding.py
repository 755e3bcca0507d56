"""What the Keras trainer hands to a network: labels of every step, true outputs fed back, categoricals; its losses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from signals.common.errors import InputError
from signals.dataset.labels import Target
from signals.dataset.windows import MASKED, Samples, Windows
from signals.models.keras_backend import load_keras
from signals.models.network import Network
from signals.trainers.base import FitTask, TrainingSettings
from signals.trainers.keras_trainer import KerasTrainer, loss_of
from signals.trainers.training_loop import mean_loss

STEPS, N = 4, 6


class Recorder:
    """Stands in for a Keras model, and keeps what it was given."""

    def __init__(self, outputs):
        self.outputs, self.batches, self.asked = outputs, [], []
        self.trainable_variables, self.weights = [], []

    def compile(self, optimizer, loss, **options):
        self.loss = loss

    def reset_metrics(self):
        pass

    def train_on_batch(self, inputs, label, weight=None):
        self.batches.append((inputs, label, weight))
        return 1.0

    def predict_on_batch(self, inputs):
        self.asked.append(inputs)
        steps = np.arange(STEPS, dtype=np.float32)[None, :, None]
        return np.broadcast_to(steps, (len(inputs["sequence"]), STEPS, self.outputs))

    def get_weights(self):
        return []

    def set_weights(self, weights):
        assert weights == []


@dataclass(frozen=True)
class Settings:
    """A network of ours that is none: only what it asks to be given."""

    recorder: Any
    lookback: int = STEPS
    min_steps: int | None = None
    winsorize_quantile: float = 0.0
    masked: bool = False
    unknown_category_rate: float = 0.0
    ticker_embedding_dim: int = 0
    month_onehot: bool = False
    groups: tuple[str, ...] = ()
    sequence_loss: bool = False
    teacher_steps: str | None = None
    teacher_forcing_ratio: float = 1.0
    recurrent_dropout: float = 0.0


@pytest.fixture(autouse=True)
def networks_that_record(monkeypatch):
    monkeypatch.setattr("signals.trainers.keras_trainer.build_network", lambda network: network.model.recorder)


def samples(labels, groups=None):
    """Windows over one series; `labels` of each date, shape (dates, values)."""
    dates = STEPS + N - 1
    panel = np.arange(dates, dtype=np.float32).reshape(1, dates, 1)
    end = np.arange(STEPS - 1, dates, dtype=np.int32)
    zeros = np.zeros(N, np.int32)
    of_steps = Windows(labels[None].astype(np.float32), zeros, end, STEPS)
    label = labels[end].astype(np.float32)
    windows = Windows(panel, zeros, end, STEPS)
    return Samples(windows, zeros, zeros, label if label.shape[1] > 1 else label[:, 0], groups or {}, of_steps)


def fitted(target, rows, batch_size=N, epochs=1, group_sizes=None, **wishes):
    recorder = Recorder(target.outputs)
    network = Network(Settings(recorder, **wishes), 2, 1, target, group_sizes or {})
    task = FitTask(network, rows, None, TrainingSettings(batch_size=batch_size, epochs=epochs, learning_rate=0.1), 5)
    next(KerasTrainer().fit([task]))
    return recorder, network


def dated(values=1):
    """Labels that say which date they are of."""
    dates = STEPS + N - 1
    return np.arange(dates, dtype=np.float64)[:, None] + 100.0 * np.arange(values)


def test_step_labels_have_zero_weight_where_unknown():
    labels = dated(2)
    labels[2, 1] = MASKED
    recorder, _ = fitted(Target("value", 2), samples(labels), sequence_loss=True)
    inputs, truth, weight = recorder.batches[0]
    dates = inputs["sequence"][..., 0].astype(int)  # each step's own date
    known = dates != 2
    np.testing.assert_array_equal(truth[known], np.stack([dates[known], dates[known] + 100], axis=1))
    assert (truth[~known] == 0).all()
    assert (weight[~known] == 0).all()
    assert len(set(weight[known])) == 1
    assert weight.mean() == pytest.approx(1)  # the mean over known steps, whatever Keras divides by


def test_teacher_outputs_are_lagged_one_step_and_masked_in_prediction():
    labels = dated()
    labels[1] = MASKED
    rows = samples(labels)
    recorder, network = fitted(Target("value"), rows, teacher_steps="window")
    inputs, truth, weight = recorder.batches[0]
    dates = inputs["sequence"][..., 0]
    assert inputs["teacher"].shape == (N, STEPS, 1)
    assert (inputs["teacher"][:, 0] == MASKED).all()
    before = dates[:, :-1]
    np.testing.assert_array_equal(inputs["teacher"][:, 1:, 0], np.where(before == 1, MASKED, before))
    assert weight is None
    np.testing.assert_array_equal(truth[:, 0], dates[:, -1])
    said = KerasTrainer().predict(network, {}, rows)
    assert (recorder.asked[-1]["teacher"] == MASKED).all()
    np.testing.assert_array_equal(said, np.full((N, 1), STEPS - 1))  # what is said at the last step


def test_teacher_outputs_of_classes_are_one_hot():
    labels = dated() % 3
    labels[0] = MASKED
    recorder, _ = fitted(Target("classes", 3), samples(labels), teacher_steps="window")
    inputs = recorder.batches[0][0]
    assert inputs["teacher"].shape == (N, STEPS, 3)
    first = inputs["sequence"][:, 0, 0].argmin()  # the window that begins on the first date
    assert (inputs["teacher"][first, 1] == MASKED).all()
    np.testing.assert_array_equal(inputs["teacher"][first, 2:], np.eye(3)[[1, 2]])


def test_decoder_teacher_outputs_are_the_horizon_steps():
    rows = samples(dated(6))
    recorder, _ = fitted(Target("value", 6, steps=3), rows, teacher_steps="horizon")
    inputs, truth, _ = recorder.batches[0]
    assert inputs["teacher"].shape == (N, 3, 2)
    np.testing.assert_array_equal(inputs["teacher"][:, 1:], truth.reshape(N, 3, 2)[:, :-1])
    assert (inputs["teacher"][:, 0] == MASKED).all()


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_teacher_forcing_ratio_is_drawn_by_the_seed(share):
    wishes = {"teacher_steps": "window", "teacher_forcing_ratio": share, "epochs": 200}
    taught = []
    for _ in range(2):
        recorder, _ = fitted(Target("value"), samples(dated()), **wishes)
        taught.append(np.stack([inputs["teacher"][:, 1:] for inputs, _, _ in recorder.batches]) != MASKED)
    np.testing.assert_array_equal(*taught)
    assert taught[0].mean() == pytest.approx(share, abs=0.03)
    if 0 < share < 1:
        assert len({one.tobytes() for one in taught[0]}) > 1


def test_categoricals_are_ids_and_year_is_one_hot():
    groups = {"sector": np.array([0, 1, 2, 1, 0, 2], np.int32), "year": np.array([0, 1, 2, 2, 1, 0], np.int32)}
    recorder, _ = fitted(
        Target("value"), samples(dated(), groups), group_sizes={"sector": 3, "year": 3}, groups=("sector", "year")
    )
    inputs = recorder.batches[0][0]
    row = inputs["sequence"][:, 0, 0].astype(int)
    np.testing.assert_array_equal(inputs["sector"], groups["sector"][row])
    # a year that training has not seen is no year at all
    np.testing.assert_array_equal(inputs["year"], np.array([[0, 0], [1, 0], [0, 1]])[groups["year"][row]])


def test_unknown_categories_are_drawn_in_training_only():
    groups = {"sector": np.ones(N, np.int32), "year": np.ones(N, np.int32)}
    rows = samples(dated(), groups)
    recorder, network = fitted(
        Target("value"),
        rows,
        epochs=200,
        group_sizes={"sector": 2, "year": 2},
        groups=("sector", "year"),
        unknown_category_rate=0.2,
    )
    for name in groups:
        known = np.stack([inputs[name].reshape(N) for inputs, _, _ in recorder.batches])
        assert known.mean() == pytest.approx(0.8, abs=0.05)
    KerasTrainer().predict(network, {}, rows)
    assert all(recorder.asked[-1][name][:N].all() for name in groups)


def test_missing_step_labels_raise_an_error():
    rows = replace(samples(dated()), step_labels=None)
    with pytest.raises(InputError, match=r"expected labels of every step .*give Samples its step_labels"):
        fitted(Target("value"), rows, sequence_loss=True)


@pytest.mark.parametrize(
    ("target", "loss"),
    [
        (Target("value"), "mse"),
        (Target("value", 4, steps=2), "mse"),
        (Target("value", 4), "mae"),
        (Target("quantiles", 3, (0.1, 0.5, 0.9)), "mse"),
        (Target("quantiles", 6, (0.2, 0.5, 0.7)), "mae"),
    ],
    ids=str,
)
def test_keras_loss_equals_mean_loss(target, loss):
    keras = load_keras()
    rng = np.random.default_rng(0)
    said = rng.normal(size=(9, target.outputs)).astype(np.float32)
    truth = rng.normal(size=(9, target.values)).astype(np.float32)
    value = keras.ops.mean(keras.losses.get(loss_of(target, loss))(truth, said))
    assert float(value) == pytest.approx(mean_loss(said, truth, target, loss), rel=1e-5)
