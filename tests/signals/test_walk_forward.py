from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import rnn_strategies as rs
from signals.calendar import decision_dates
from signals.common.errors import InputError
from signals.dataset.fold_data import Scaler
from signals.evaluation.cross_section_metrics import auc_by_date
from signals.evaluation.naive_predictors import NAIVE_PREDICTORS, naive_scores
from signals.execution.artifacts import ARTIFACT_SCHEMA, Artifact, ArtifactStore, artifact_key
from signals.scores.signal_frame import check_signals
from signals.trainers.base import EpochLoss, Fitted
from signals.walk_forward.panel_walk_forward import compute_signals


@pytest.fixture(scope="module")
def prices():
    return rs.load_prices(source="simulated", seed=4, n_tickers=30, start="2012-01-01", end="2014-12-31")


def run(prices, trainer, artifacts, **changes):
    options = {
        "walk_forward": rs.WalkForward(test_start="2014-01-01", validation="13W", test="26W"),
        "universe": rs.UniverseFilters(min_history=30),
        "labels": rs.LabelSettings(),
        "model": rs.RecurrentSettings(lookback=8, units=(4, 3), ticker_embedding_dim=2, dense_units=4),
        "training": rs.TrainingSettings(batch_size=512, epochs=1),
        "seeds": [0, 1],
        "artifacts": artifacts,
        "trainer": trainer,
    }
    return compute_signals(prices, **(options | changes))


def test_every_test_date_is_scored_exactly_once(prices, linear_trainer, tmp_path):
    result = run(prices, linear_trainer, tmp_path)
    dates = result.signals.index.get_level_values("date").unique()
    assert dates.to_numpy().astype("datetime64[D]").tolist() == decision_dates("2014-01-01", "2014-12-31").tolist()
    assert result.signals.index.is_unique


def test_fold_table_metrics_match_the_frames(prices, linear_trainer, tmp_path):
    result = run(prices, linear_trainer, tmp_path)
    score = result.signals["score"][result.signals["fold"] == 1]
    expected = auc_by_date(score, result.labels["label"].reindex(score.index)).mean()
    row = result.folds[result.folds["fold"] == 1].iloc[0]
    assert row["auc_ensemble"] == pytest.approx(expected, abs=1e-12)
    assert {f"auc_{name}" for name in NAIVE_PREDICTORS} < set(result.folds.columns)
    assert (result.folds["trained_until"] <= result.folds["test_start"]).all()
    assert len(result.history) == 4


def test_seeds_are_independent_of_each_other(prices, linear_trainer, tmp_path):
    both = run(prices, linear_trainer, tmp_path / "a").seed_scores
    one = run(prices, linear_trainer, tmp_path / "b", seeds=[1]).seed_scores
    pd.testing.assert_frame_equal(both[both["seed"] == 1].reset_index(drop=True), one)


@pytest.mark.parametrize("seeds", [[], [1, 1], [-1]])
def test_seeds_are_checked(prices, linear_trainer, tmp_path, seeds):
    with pytest.raises(InputError, match=r"training.seeds"):
        run(prices, linear_trainer, tmp_path, seeds=seeds)


def test_refit_on_validation_trains_another_network_for_the_same_epochs(prices, tmp_path):
    settings = {"batch_size": 256, "epochs": 2}
    plain = run(prices, None, tmp_path, seeds=[0], training=rs.TrainingSettings(**settings))
    refit = run(prices, None, tmp_path, seeds=[0], training=rs.TrainingSettings(**settings, refit_on_validation=True))
    assert (refit.trained, refit.reused) == (2, 0)
    assert refit.folds["epochs"].tolist() == plain.folds["epochs"].tolist()
    assert refit.folds["validation_loss"].tolist() == plain.folds["validation_loss"].tolist()
    assert (refit.signals["score"] != plain.signals["score"]).mean() > 0.99


def test_other_labels_give_other_networks(prices, linear_trainer, tmp_path):
    run(prices, linear_trainer, tmp_path)
    again = run(prices, linear_trainer, tmp_path)
    other = run(prices, linear_trainer, tmp_path, labels=rs.LabelSettings(kind="up"))
    assert (again.trained, other.trained) == (0, 4)


def test_missing_test_rows_raise_an_error(prices, linear_trainer, tmp_path):
    with pytest.raises(InputError, match=r"universe.min_price = 1e\+09 leaves none of 26"):
        run(prices, linear_trainer, tmp_path, universe=rs.UniverseFilters(min_price=1e9))


SCALER = Scaler((-0.1, -2.0), (0.2, 3.0), (0.01, 0.5), (0.03, 1.0))


def artifact():
    rng = np.random.default_rng(0)
    weights = {"lstm/kernel": rng.normal(size=(3, 4)).astype(np.float32), "a": np.zeros(2, np.float32)}
    history = (EpochLoss(0.7, 0.69), EpochLoss(0.6, float("nan")))
    return Artifact(Fitted(weights, 2, history), ("A", "NA"), SCALER, "2014-01-03")


def test_artifact_round_trips_and_its_bytes_are_reproducible(tmp_path):
    one, two = ArtifactStore(tmp_path / "1"), ArtifactStore(tmp_path / "2")
    key = artifact_key({"seed": 0})
    one.save(key, artifact())
    two.save(key, artifact())
    for name in ("weights.h5", "meta.json"):
        assert (one.folder(key) / name).read_bytes() == (two.folder(key) / name).read_bytes()
    back = one.load(key)
    assert back.fitted.history[0] == artifact().fitted.history[0]
    assert np.isnan(back.fitted.history[1].validation_loss)
    assert (back.tickers, back.scaler) == (("A", "NA"), SCALER)
    one.save(key, replace(artifact(), scaler=replace(SCALER, target=(-1.0, 1.0, 0.0, 0.5))))
    assert one.load(key).scaler.target == (-1.0, 1.0, 0.0, 0.5)
    for name, value in artifact().fitted.weights.items():
        assert back.fitted.weights[name].tobytes() == value.tobytes()


@pytest.mark.parametrize("damage", ["flip", "cut", "no meta", "no weights", "meta"])
def test_damaged_artifact_counts_as_absent(tmp_path, damage):
    store, key = ArtifactStore(tmp_path), artifact_key({"seed": 0})
    store.save(key, artifact())
    weights, meta = store.folder(key) / "weights.h5", store.folder(key) / "meta.json"
    content = weights.read_bytes()
    if damage == "flip":
        weights.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    elif damage == "cut":
        weights.write_bytes(content[: len(content) // 2])
    elif damage == "no meta":
        meta.unlink()
    elif damage == "no weights":
        weights.unlink()
    else:
        meta.write_text("{}")
    assert store.load(key) is None


def test_artifact_keys_depend_on_facts_and_schema():
    assert artifact_key({"a": 1, "b": 2}) == artifact_key({"b": 2, "a": 1})
    assert artifact_key({"a": 1}) != artifact_key({"a": 2})
    assert ARTIFACT_SCHEMA >= 1


def signals():
    dates = np.array(["2020-01-03", "2020-01-03", "2020-01-10"], "datetime64[ns]")
    index = pd.MultiIndex.from_arrays([dates, pd.Index(["A", "B", "A"], dtype=object)], names=["date", "ticker"])
    trained = np.full(3, np.datetime64("2020-01-03"), "datetime64[ns]")
    return pd.DataFrame(
        {"score": [0.1, 0.2, 0.3], "score_std": 0.0, "fold": np.int32(0), "trained_until": trained}, index=index
    )


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda f: f.reset_index(), "indexed by date, ticker"),
        (lambda f: f.drop(columns="fold"), "missing fold"),
        (lambda f: f.iloc[:0], "at least one signal"),
        (lambda f: f.iloc[[0, 0, 1]], "two for A on 2020-01-03"),
        (lambda f: f.iloc[::-1], "sorted"),
        (lambda f: f.assign(score=np.inf), "3 others, the first for A on 2020-01-03"),
        (lambda f: f.assign(trained_until=np.datetime64("2020-01-04", "ns")), "models trained on later prices"),
    ],
)
def test_invalid_signal_frames_raise_an_error(break_it, words):
    check_signals(signals())
    with pytest.raises(InputError, match=words):
        check_signals(break_it(signals()))


def test_naive_predictors_by_hand():
    returns = np.array([[0.1, 0.2, 0.4, 0.3], [0.0, -0.1, 0.1, 0.5]])
    scores = naive_scores(
        returns, np.array([0, 1], np.int32), np.array([2, 3], np.int32), lookback=3,
        training_label=np.array([1.0, 0.0, 1.0]), training_ticker=np.array([0, 0, 0], np.int32),
    )  # fmt: skip
    np.testing.assert_allclose(scores["last_return"], [0.4, 0.5])
    np.testing.assert_allclose(scores["mean_return"], [0.7 / 3, 0.5 / 3])
    np.testing.assert_allclose(
        scores["volatility"], [np.std([0.1, 0.2, 0.4], ddof=1), np.std([-0.1, 0.1, 0.5], ddof=1)]
    )
    np.testing.assert_allclose(scores["ticker_mean"], [2 / 3, 2 / 3])  # the second ticker is new: the overall mean
