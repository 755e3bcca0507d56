"""No look-ahead in parts of the recurrent family: step labels, fed-back outputs, sectors, years."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import rnn_strategies as rs
from rnn_strategies.audit.perturbed_inputs import Inputs, cut, poisoned
from signals.dataset.dataset import ReferenceData
from signals.reference.sectors import read_sectors
from signals.trainers.keras_trainer import KerasTrainer
from signals.walk_forward.panel_walk_forward import compute_signals, prepare

SMALL = {"lookback": 6, "units": (3,), "unknown_category_rate": 0.1}
NETWORKS = {
    "every step": rs.RecurrentSettings(
        **SMALL,
        dense_units=0,
        sequence_loss=True,
        autoregressive_lags=3,
        categorical_embeddings={"sector": 2, "quarter": 2},
        year_onehot=True,
    ),
    "fed back": rs.RecurrentSettings(
        **SMALL, min_steps=4, dense_units=3, output_recurrence=True, teacher_forcing_ratio=0.7
    ),
    "both directions": rs.RecurrentSettings(
        **SMALL, bidirectional=True, recurrent_skip_steps=2, categorical_embeddings={"weekday": 1, "sector": 2}
    ),
    "encoder-decoder": rs.EncoderDecoderSettings(
        **SMALL, teacher_forcing_ratio=0.5, categorical_embeddings={"sector": 2}, year_onehot=True
    ),
}
LABELS = {
    "every step": rs.LabelSettings(kind="return", horizon=3, quantiles=(0.1, 0.5, 0.9)),
    "fed back": rs.LabelSettings(kind="terciles"),
    "both directions": rs.LabelSettings(),
    "encoder-decoder": rs.LabelSettings(kind="residual", horizon=4),
}
DAYS = [np.datetime64(day) for day in ("2014-03-12", "2014-07-02", "2014-07-25")]  # the second, a later fold's eve


@pytest.fixture(scope="module")
def inputs():
    prices = rs.load_prices(
        source="simulated",
        seed=11,
        n_tickers=24,
        start="2012-06-01",
        end="2014-09-30",
        listing_fraction=0.3,
        delisting_fraction=0.3,
    )
    moved = "2014-05-05"
    rows = [(name, f"S{i % 3}", "2012-01-01", moved if i % 4 == 0 else "") for i, name in enumerate(prices.tickers)]
    rows += [(name, "S1", moved, "") for name in prices.tickers[::4]]
    sectors = read_sectors(pd.DataFrame(rows, columns=["ticker", "sector", "start", "end"]))
    return Inputs(prices, ReferenceData(sectors=sectors))


def futures(inputs, day):
    yield poisoned(inputs, day, seed=7)
    yield cut(inputs, day)


def settings(name, **walk_forward):
    return {
        "walk_forward": rs.WalkForward(
            test_start="2014-01-01", **({"validation": "13W", "test": "26W"} | walk_forward)
        ),
        "universe": rs.UniverseFilters(min_price=1.0, min_history=60, max_tickers=20),
        "labels": LABELS[name],
        "model": NETWORKS[name],
    }


def training_rows(data, fold):
    """Everything of a fold that a trainer sees, by ticker names, since numbers move with what is listed later."""
    yield repr((fold.facts, fold.scaler, fold.tickers, fold.groups, dict(fold.group_sizes), fold.trained_until))
    for samples in (fold.training, fold.validation, fold.both):
        yield [data.panel.tickers[i] for i in samples.windows.ticker]
        arrays = [samples.windows.gather(slice(None)), samples.category, samples.month, samples.label]
        arrays += [samples.groups[name] for name in sorted(samples.groups)]
        if samples.step_labels is not None:
            arrays.append(samples.step_labels.gather(slice(None)))
        yield from (array.tobytes() for array in arrays)


def scored(data, fold, until):
    rows = data.dates[fold.test_date] <= until
    yield [data.panel.tickers[i] for i in fold.test_ticker[rows]]
    yield fold.test.windows.gather(rows).tobytes()
    yield from (fold.test.groups[name][rows].tobytes() for name in sorted(fold.test.groups))


@pytest.mark.parametrize("name", NETWORKS)
def test_what_networks_learn_from_and_score(inputs, name):
    whole = prepare(inputs.prices, reference_data=inputs.reference_data, **settings(name))
    for day in DAYS:
        mine = [fold for fold in whole.folds if whole.data.dates[fold.fold.test.start] <= day]
        assert mine
        for other in futures(inputs, day):
            there = prepare(other.prices, reference_data=other.reference_data, **settings(name))
            for one, two in zip(mine, there.folds, strict=False):
                assert list(training_rows(whole.data, one)) == list(training_rows(there.data, two))
                assert list(scored(whole.data, one, day)) == list(scored(there.data, two, day))


def test_the_comparison_can_fail(inputs):
    """A sector that changed the day before, and a label of a step that ended then, are seen."""
    name, day = "every step", DAYS[2]
    whole = prepare(inputs.prices, reference_data=inputs.reference_data, **settings(name))
    other = poisoned(inputs, np.datetime64("2014-06-13"), seed=7)
    there = prepare(other.prices, reference_data=inputs.reference_data, **settings(name))
    assert list(training_rows(whole.data, whole.folds[1])) != list(training_rows(there.data, there.folds[1]))
    there = prepare(inputs.prices, reference_data=other.reference_data, **settings(name))
    assert list(training_rows(whole.data, whole.folds[0])) == list(training_rows(there.data, there.folds[0]))
    assert list(scored(whole.data, whole.folds[0], day)) != list(scored(there.data, there.folds[0], day))


@pytest.mark.parametrize(
    "name", [name if name == "fed back" else pytest.param(name, marks=pytest.mark.slow) for name in NETWORKS]
)
def test_scores_of_networks(inputs, tmp_path, name):
    options = settings(name, test="1Y") | {"training": rs.TrainingSettings(batch_size=512, epochs=1), "seeds": [0]}
    day = DAYS[2]

    def scores(given):
        return compute_signals(
            given.prices, reference_data=given.reference_data, artifacts=tmp_path, trainer=KerasTrainer(), **options
        )

    whole, other = scores(inputs), scores(poisoned(inputs, day, seed=7))
    # the same key: it stands for everything that the network was trained on, see above
    assert (whole.trained, other.trained, other.reused) == (1, 0, 1)
    frames = [result.signals[result.signals.index.get_level_values("date") <= day] for result in (whole, other)]
    pd.testing.assert_frame_equal(*frames, check_exact=True)
    assert frames[0]["score"].std() > 0
    if whole.quantiles is not None:
        tables = [result.quantiles[result.quantiles["date"] <= day] for result in (whole, other)]
        pd.testing.assert_frame_equal(*tables, check_exact=True)
