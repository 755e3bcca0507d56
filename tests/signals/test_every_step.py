"""Labels of every step of a window: scaled like the last one's, and purged one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import rnn_strategies as rs
from signals.dataset.dataset import make_dataset
from signals.dataset.fold_data import make_fold_data
from signals.dataset.folds import make_folds
from signals.dataset.windows import MASKED
from signals.execution.fold_tasks import Task, run_tasks_with_trainer
from signals.trainers.keras_trainer import KerasTrainer

MODEL = rs.RecurrentSettings(lookback=8, sequence_loss=True)
FED_BACK = rs.RecurrentSettings(lookback=8, output_recurrence=True)
WALK = rs.WalkForward(test_start="2014-01-01", train="1Y", validation="13W", test="26W")
LABELS = {
    "a median of its date": rs.LabelSettings(horizon=3),
    "up": rs.LabelSettings(kind="up"),
    "a number": rs.LabelSettings(kind="return", horizon=5),
    "a number of its date": rs.LabelSettings(kind="residual", horizon=2),
    "three classes": rs.LabelSettings(kind="terciles"),
    "quantiles": rs.LabelSettings(kind="return", quantiles=(0.1, 0.5, 0.9)),
}


@pytest.fixture(scope="module")
def prices():
    return rs.load_prices(
        source="simulated",
        seed=4,
        n_tickers=30,
        start="2012-01-01",
        end="2014-12-31",
        delisting_fraction=0.4,
        listing_fraction=0.3,
    )


def dataset(prices, labels, model=MODEL):
    return make_dataset(
        prices,
        frequency="weekly",
        universe=rs.UniverseFilters(min_history=20),
        labels=labels,
        windows=model,
        walk_forward=WALK,
    )


def folds_of(data, model=MODEL):
    return [make_fold_data(data, fold, model) for fold in make_folds(data.dates, WALK, first=data.first)]


def slices(fold, data):
    """What is learnt from, and the session by whose close its labels have to be over."""
    validation, test = (data.decisions[span.start] for span in (fold.fold.validation, fold.fold.test))
    return (fold.training, validation), (fold.validation, test), (fold.both, test)


@pytest.mark.parametrize("name", LABELS)
@pytest.mark.parametrize("min_steps", [None, 3])
def test_step_labels_equal_row_labels_known_in_time(prices, name, min_steps):
    model = replace(MODEL, min_steps=min_steps)
    data = dataset(prices, LABELS[name], model)
    pad = 0 if min_steps is None else 7
    fold = folds_of(data, model)[0]
    for samples, latest in slices(fold, data):
        steps = samples.step_labels.gather(slice(None))
        assert steps.shape == (len(samples), 8, 1)
        np.testing.assert_array_equal(steps[:, -1, 0], samples.label)
        place = samples.windows.end[:, None] - pad + np.arange(-7, 1)[None, :]
        there = place >= 0
        cells = (np.broadcast_to(samples.windows.ticker[:, None], place.shape), np.maximum(place, 0))
        end, label = data.labels.end[cells], data.labels.label[cells]
        over = there & np.isfinite(label) & (end >= 0) & (end <= latest)
        expected = np.where(over, fold.scaler.apply_target(np.where(over, label, 0.0)), MASKED)
        np.testing.assert_array_equal(steps[..., 0], expected)
        assert over.mean() > 0.5
    assert fold.test.step_labels is None


def test_step_labels_that_end_after_the_slice_are_masked(prices):
    """A name that pauses is valued when it trades again: an earlier step's label may be over after a later one's."""
    data = dataset(prices, LABELS["up"])
    fold = folds_of(data)[0]
    row = len(fold.training) - 1
    ticker, date = fold.training_ticker[row], fold.training_date[row]
    validation, test = (data.decisions[span.start] for span in (fold.fold.validation, fold.fold.test))
    for end, known in ((validation, (True, True)), (validation + 1, (False, True)), (test + 1, (False, False))):
        ends = data.labels.end.copy()
        ends[ticker, date - 2] = end
        made = make_fold_data(replace(data, labels=replace(data.labels, end=ends)), fold.fold, MODEL)
        for samples, there in zip((made.training, made.both), known, strict=True):
            cell = samples.step_labels.panel[ticker, date - 2, 0]
            assert (cell != MASKED) == there
        assert (made.facts["rows"] == fold.facts["rows"]) == all(known)


@pytest.mark.parametrize("name", ["a median of its date", "a number"])
def test_labels_that_end_after_their_slice_have_no_effect(prices, name):
    """Poison: every label that is over later than a slice may know is replaced, and nothing it learns from moves."""
    data = dataset(prices, LABELS[name])
    for fold in folds_of(data)[:2]:
        validation, test = (data.decisions[span.start] for span in (fold.fold.validation, fold.fold.test))
        for latest, names in ((validation, ["training"]), (test, ["training", "validation", "both"])):
            label = np.where(data.labels.end > latest, 1e6, data.labels.label)
            again = make_fold_data(replace(data, labels=replace(data.labels, label=label)), fold.fold, MODEL)
            for part in names:
                one, two = (getattr(made, part).step_labels for made in (fold, again))
                assert one.gather(slice(None)).tobytes() == two.gather(slice(None)).tobytes()
                assert one.panel[:, : int(one.end.max()) + 1].max() < 1e5
            if latest == test:
                assert one.panel.tobytes() == two.panel.tobytes()
                assert again.facts == fold.facts


def test_changed_labels_inside_the_slice_have_an_effect(prices):
    data = dataset(prices, LABELS["a number"])
    fold = folds_of(data)[0]
    earlier = data.decisions[fold.fold.validation.start] - 30
    label = np.where(data.labels.end > earlier, 1e6, data.labels.label)
    again = make_fold_data(replace(data, labels=replace(data.labels, label=label)), fold.fold, MODEL)
    one, two = (made.training.step_labels.gather(slice(None)) for made in (fold, again))
    assert one.tobytes() != two.tobytes()


def test_artifact_key_depends_on_step_labels_before_the_first_row(prices):
    """A window of the first training row looks at steps, and their labels, that are no row of the fold."""
    data = dataset(prices, LABELS["up"])
    fold = folds_of(data)[1]
    first = fold.training_date.min()
    flipped = data.labels.label.copy()
    flipped[:, first - 3] = 1 - flipped[:, first - 3]
    other = replace(data, labels=replace(data.labels, label=flipped))
    assert make_fold_data(other, fold.fold, MODEL).facts["rows"] != fold.facts["rows"]
    # a network that learns from the last step only does not see them
    plain = rs.RecurrentSettings(lookback=8)
    assert make_fold_data(other, fold.fold, plain).facts == make_fold_data(data, fold.fold, plain).facts
    flipped[:, first - 3] = 1 - flipped[:, first - 3]
    flipped[:, first - 8] = 1 - flipped[:, first - 8]  # one step before the oldest that is looked at
    other = replace(data, labels=replace(data.labels, label=flipped))
    assert make_fold_data(other, fold.fold, MODEL).facts["rows"] == fold.facts["rows"]


def test_artifact_key_depends_on_which_slice_knows_a_step_label(prices):
    """A step in front of the first row whose label is over while the validation slice runs: only training loses it."""
    data = dataset(prices, LABELS["up"])
    fold = folds_of(data)[1]
    date = fold.training_date.min()
    ticker = fold.training_ticker[fold.training_date == date][0]
    ends = data.labels.end.copy()
    ends[ticker, date - 3] = data.decisions[fold.fold.validation.start] + 1
    made = make_fold_data(replace(data, labels=replace(data.labels, end=ends)), fold.fold, MODEL)
    for part, same in (("training", False), ("validation", True), ("both", True)):
        one, two = (getattr(which, part).step_labels.panel.tobytes() for which in (fold, made))
        assert (one == two) == same
    assert made.facts["rows"] != fold.facts["rows"]


def test_only_networks_with_output_recurrence_receive_step_labels(prices):
    data = dataset(prices, LABELS["up"])
    assert folds_of(data, FED_BACK)[0].training.step_labels is not None
    assert folds_of(data, rs.RecurrentSettings(lookback=8))[0].training.step_labels is None
    assert folds_of(data, rs.CustomModel("sklearn.linear_model:Ridge", lookback=8))[0].training.step_labels is None


@pytest.mark.slow
@pytest.mark.parametrize("model", [MODEL, FED_BACK], ids=["every step", "fed back"])
def test_networks_fit_a_pattern_in_every_step(prices, tmp_path, model):
    """The feature of a step equals its label; one step off, it has no information."""
    data = dataset(prices, LABELS["up"])
    values = np.where(np.isfinite(data.labels.label), data.labels.label, 0.5) + 0.0 * data.features.values[..., 0]
    data = replace(data, features=replace(data.features, values=values[..., None]))
    model = replace(model, units=(6,), dense_units=0, ticker_embedding_dim=0, month_onehot=False)
    fold = make_fold_data(data, make_folds(data.dates, WALK, first=data.first)[0], model)
    training = rs.TrainingSettings(batch_size=32, learning_rate=0.02, epochs=8, patience=8)
    (outcome,) = run_tasks_with_trainer([Task(fold, model, training, 0)], KerasTrainer(), tmp_path)
    truth = data.labels.label[fold.test_ticker, fold.test_date]
    known = np.isfinite(truth)
    assert ((outcome.scores[known] > 0.5) == truth[known]).mean() > 0.95
