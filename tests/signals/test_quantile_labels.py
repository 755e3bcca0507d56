"""Quantiles of a numeric label: settings, output, and the loss beside that of a naive forecast."""

from __future__ import annotations

import numpy as np
import pytest

import rnn_strategies as rs
from signals.common.errors import InputError
from signals.dataset.dataset import make_dataset
from signals.dataset.folds import make_folds
from signals.dataset.labels import Target
from signals.models.keras_backend import load_keras
from signals.trainers.compiled import CompiledTrainer
from signals.walk_forward.panel_walk_forward import compute_signals
from signals.walk_forward.quantiles import split_quantiles

LEVELS = (0.1, 0.5, 0.9)
LABELS = rs.LabelSettings(kind="return", quantiles=LEVELS)


@pytest.fixture(scope="module")
def prices():
    return rs.load_prices(source="simulated", seed=4, n_tickers=30, start="2012-01-01", end="2014-12-31")


def run(prices, artifacts, trainer=None, **changes):
    options = {
        "walk_forward": rs.WalkForward(test_start="2014-01-01", validation="13W", test="26W"),
        "universe": rs.UniverseFilters(min_history=30),
        "labels": LABELS,
        "model": rs.RecurrentSettings(lookback=8, units=(4, 3), ticker_embedding_dim=2, dense_units=4),
        "training": rs.TrainingSettings(batch_size=512, epochs=1),
        "seeds": [0, 1, 2],
        "artifacts": artifacts,
        "trainer": trainer,
    }
    return compute_signals(prices, **(options | changes))


def pinball(said, truth):
    error = truth[:, None] - said
    return float(np.where(error > 0, np.multiply(LEVELS, error), np.subtract(LEVELS, 1) * error).mean())


def test_target_outputs_match_the_quantile_levels():
    assert LABELS.target == Target("quantiles", 3, LEVELS)
    assert rs.LabelSettings(kind="return").target == Target("value")
    assert (LABELS.target.values, LABELS.target.is_numeric) == (1, True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "up"}, r"labels.quantiles with labels.kind of return, residual, volatility_scaled; found 'up'"),
        ({"quantiles": (0.1, 0.9)}, r"an odd number of ascending levels .* found \[0.1, 0.9\]"),
        ({"quantiles": (0.9, 0.5, 0.1)}, "ascending"),
        ({"quantiles": (0.5, 0.5, 0.9)}, "ascending"),
        ({"quantiles": (0.0, 0.5, 1.0)}, "between 0 and 1"),
        ({"quantiles": (float("nan"),)}, "between 0 and 1"),
    ],
)
def test_invalid_quantile_levels_raise_an_error(options, words):
    with pytest.raises(InputError, match=words):
        rs.LabelSettings(**{"kind": "return", "quantiles": LEVELS, **options})


def test_every_row_has_every_level_and_the_middle_one_is_the_score(prices, linear_trainer, tmp_path):
    result = run(prices, tmp_path, linear_trainer)
    frame = result.quantiles
    assert list(frame.columns) == ["date", "ticker", "level", "value"]
    wide = frame.pivot(index=["date", "ticker"], columns="level", values="value")
    assert tuple(wide.columns) == LEVELS
    assert wide.index.equals(result.signals.index)
    np.testing.assert_array_equal(wide[0.5].to_numpy(), result.signals["score"].to_numpy())
    assert (np.diff(wide.to_numpy(), axis=1) > 0).all()
    # one value of each seed, as for any score
    assert len(result.seed_scores) == 3 * len(result.signals)
    # in the unit of the labels: a tenth of the returns lie below the lowest
    below = (result.labels["label"] < wide[0.1].reindex(result.labels.index)).mean()
    assert 0.05 < below < 0.2


def test_fold_table_has_pinball_losses_of_seeds_ensemble_and_training_labels(prices, linear_trainer, tmp_path):
    result = run(prices, tmp_path, linear_trainer)
    wide = result.quantiles.pivot(index=["date", "ticker"], columns="level", values="value")
    for number, rows in result.folds.groupby("fold"):
        mine = result.labels.index[result.signals["fold"].reindex(result.labels.index) == number]
        truth = result.labels.loc[mine, "label"].to_numpy()
        assert rows["pinball_ensemble"].iloc[0] == pytest.approx(pinball(wide.loc[mine].to_numpy(), truth), rel=1e-9)
        assert rows["pinball"].nunique() == 3
        assert (rows["pinball_ensemble"] <= rows["pinball"].mean()).all()  # the loss is convex
        assert rows["pinball_empirical"].nunique() == 1
    data = make_dataset(
        prices,
        frequency="weekly",
        universe=rs.UniverseFilters(min_history=30),
        labels=LABELS,
        windows=rs.RecurrentSettings(lookback=8),
        walk_forward=rs.WalkForward(test_start="2014-01-01", validation="13W", test="26W"),
    )
    fold = make_folds(
        data.dates, rs.WalkForward(test_start="2014-01-01", validation="13W", test="26W"), first=data.first
    )[0]
    label, end = (values[:, fold.train.start : fold.train.stop] for values in (data.labels.label, data.labels.end))
    learnt = label[(end >= 0) & (end <= data.decisions[fold.validation.start])]
    first = result.labels["label"][result.signals["fold"].reindex(result.labels.index) == 0].to_numpy()
    expected = pinball(np.tile(np.quantile(learnt, LEVELS), (len(first), 1)), first)
    assert result.folds["pinball_empirical"].iloc[0] == pytest.approx(expected, rel=1e-9)


def test_single_level_gives_a_median_and_a_table(prices, linear_trainer, tmp_path):
    result = run(prices, tmp_path, linear_trainer, labels=rs.LabelSettings(kind="residual", quantiles=(0.5,)))
    np.testing.assert_array_equal(result.quantiles["value"].to_numpy(), result.signals["score"].to_numpy())
    assert result.folds["pinball"].notna().all()


def test_compiled_trainer_predicts_quantiles_and_levels_enter_the_key(prices, tmp_path):
    training = rs.TrainingSettings(trainer="compiled", batch_size=64, epochs=3)
    result = run(prices, tmp_path, CompiledTrainer(), seeds=[0], training=training)
    wide = result.quantiles.pivot(index=["date", "ticker"], columns="level", values="value")
    assert (np.diff(wide.to_numpy(), axis=1) >= 0).all()
    assert (result.folds["pinball"] < 1.1 * result.folds["pinball_empirical"]).all()
    assert run(prices, tmp_path, CompiledTrainer(), seeds=[0], training=training).reused == 2
    other = rs.LabelSettings(kind="return", quantiles=(0.2, 0.5, 0.9))
    assert run(prices, tmp_path, CompiledTrainer(), seeds=[0], training=training, labels=other).reused == 0


class Spread:
    """Says the mean of the window, and a little less and more."""

    def __init__(self, width=3):
        self.width = width

    def fit(self, X, y):
        return self

    def predict(self, X):
        return X.mean(axis=1, keepdims=True) + np.linspace(-0.1, 0.1, self.width)


def test_custom_model_must_predict_all_quantiles(prices, tmp_path):
    result = run(prices, tmp_path, model=rs.CustomModel(Spread(), lookback=8), seeds=[0])
    values = result.quantiles["value"].to_numpy().reshape(-1, 3)
    np.testing.assert_allclose(values - values[:, 1:2], np.tile([-0.1, 0, 0.1], (len(values), 1)), atol=1e-7)
    with pytest.raises(InputError, match="to return 3 finite numbers per row; found 1 per row"):
        run(prices, tmp_path, model=rs.CustomModel(Spread(1), lookback=8), seeds=[0])


def test_crossing_quantiles_are_sorted_for_each_seed():
    said = np.array([[[3.0, 1.0, 2.0], [0.0, 1.0, 2.0]]])
    scores, quantiles = split_quantiles(said)
    assert scores.tolist() == [[2.0, 1.0]]
    assert quantiles.tolist() == [[[1.0, 2.0, 3.0], [0.0, 1.0, 2.0]]]
    scores, quantiles = split_quantiles(said[:, :, 0])
    assert (scores.tolist(), quantiles) == ([[3.0, 0.0]], None)


@pytest.mark.slow
def test_saved_network_must_have_one_output_per_level(prices, tmp_path):
    keras = load_keras()
    for outputs in (3, 1):
        network = keras.Sequential([keras.Input((8, 1)), keras.layers.GRU(3), keras.layers.Dense(outputs)])
        network.save(tmp_path / f"{outputs}.keras")
    trained = {"trained_until": "2013-12-31"}
    result = run(prices, tmp_path, model=rs.SavedKerasModel(tmp_path / "3.keras", **trained))
    assert len(result.quantiles) == 3 * len(result.signals)
    assert result.folds["pinball"].notna().all()
    assert result.folds["pinball_empirical"].isna().all()  # nothing was trained here
    with pytest.raises(InputError, match=r"to match \[labels\]; found 1 numbers per row"):
        run(prices, tmp_path, model=rs.SavedKerasModel(tmp_path / "1.keras", **trained))
