"""Models of one's own in the walk-forward: scikit-learn estimators, Keras models, anything with fit and predict."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.svm import LinearSVC

import rnn_strategies as rs
from signals.common.errors import InputError
from signals.models.custom import CustomModel
from signals.models.keras_backend import load_keras
from signals.walk_forward.panel_walk_forward import compute_signals

WALK = rs.WalkForward(test_start="2014-01-01", validation="13W", test="26W")


@pytest.fixture(scope="module")
def prices():
    return rs.load_prices(
        source="simulated",
        seed=4,
        n_tickers=30,
        start="2012-01-01",
        end="2014-12-31",
        listing_fraction=0.3,
        delisting_fraction=0.3,
    )


def score(prices, model, **changes):
    options = {
        "walk_forward": WALK,
        "universe": rs.UniverseFilters(min_history=30),
        "labels": rs.LabelSettings(),
        "model": model,
        "training": rs.TrainingSettings(),
        "seeds": [0, 1],
        "artifacts": "unused",
    }
    return compute_signals(prices, **(options | changes))


class Recorder:
    """Mean of the labels by sign of the last return; remembers what it was shown."""

    seen: ClassVar = []

    def fit(self, X, y):
        self.up = y[X[:, -1, 0] > 0].mean()
        self.down = y[X[:, -1, 0] <= 0].mean()
        Recorder.seen.append((X.shape, X.min(), np.unique(y)))

    def predict(self, X):
        return np.where(X[:, -1, 0] > 0, self.up, self.down)


def test_object_with_fit_and_predict_is_copied_and_fitted_in_every_fold(prices):
    Recorder.seen.clear()
    mine = Recorder()
    result = score(prices, CustomModel(mine, lookback=8, layout="windows"), seeds=[0])
    assert not hasattr(mine, "up")  # what was passed is never fitted itself
    assert [shape[1:] for shape, _, _ in Recorder.seen] == [(8, 1), (8, 1)]  # two folds
    assert Recorder.seen[0][0][0] < Recorder.seen[1][0][0]
    assert all(y.tolist() == [0.0, 1.0] for *_, y in Recorder.seen)
    assert result.signals.groupby("fold")["score"].nunique().tolist() == [2, 2]
    assert (result.folds["trained_until"] <= result.folds["test_start"]).all()


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(C=0.1),
        RandomForestClassifier(10, max_depth=3),
        LinearSVC(),
        Ridge(),
        "sklearn.linear_model:LogisticRegression",
    ],
    ids=str,
)
def test_estimators_of_scikit_learn(prices, estimator):
    result = score(prices, CustomModel(estimator, lookback=8), seeds=[0, 1])
    assert np.isfinite(result.signals["score"]).all()
    again = score(prices, CustomModel(estimator, lookback=8), seeds=[0, 1])
    pd.testing.assert_frame_equal(result.signals, again.signals, check_exact=True)
    seeded = not isinstance(estimator, Ridge) and hasattr(estimator, "random_state")
    if isinstance(estimator, RandomForestClassifier):
        assert seeded
        assert (result.signals["score_std"] > 0).any()
    early = result.signals[result.signals.index.get_level_values("date") <= "2014-09-10"]
    cut = score(prices.until("2014-09-10"), CustomModel(estimator, lookback=8)).signals
    pd.testing.assert_frame_equal(early, cut, check_exact=True)


def test_results_do_not_depend_on_processes(prices):
    one = score(prices, CustomModel(RandomForestClassifier(10), lookback=8), jobs=1)
    two = score(prices, CustomModel(RandomForestClassifier(10), lookback=8), jobs=2)
    pd.testing.assert_frame_equal(one.signals, two.signals, check_exact=True)


def test_scores_equal_those_of_the_estimator_fitted_by_hand(prices):
    from signals.dataset.dataset import make_dataset
    from signals.dataset.fold_data import make_fold_data
    from signals.dataset.folds import make_folds

    model = CustomModel(LogisticRegression(), lookback=8)
    data = make_dataset(
        prices,
        frequency="weekly",
        universe=rs.UniverseFilters(min_history=30),
        labels=rs.LabelSettings(),
        windows=model,
        walk_forward=WALK,
    )
    fold = make_fold_data(data, make_folds(data.dates, WALK, first=data.first)[0], model)
    X, y = fold.training.windows.gather(slice(None))[:, :, 0], fold.training.label
    expected = (
        LogisticRegression().fit(X, y.astype(float)).predict_proba(fold.test.windows.gather(slice(None))[:, :, 0])
    )
    got = score(prices, model).signals
    # float32 products of eight numbers, added in one order a date at a time and in another over all rows at once
    np.testing.assert_allclose(got.loc[got["fold"] == 0, "score"], expected[:, 1], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "estimator"),
    [
        ("terciles", LogisticRegression()),
        ("return", Ridge()),
        ("residual", Ridge()),
        ("volatility_scaled", Ridge()),
        ("up", LogisticRegression()),
    ],
)
def test_every_kind_of_label(prices, kind, estimator):
    result = score(prices, CustomModel(estimator, lookback=8), labels=rs.LabelSettings(kind=kind, estimation_window=26))
    low, high = result.signals["score"].min(), result.signals["score"].max()
    assert (low < 0 < high) if kind != "up" else (0 <= low < high <= 1)
    if kind == "return":
        assert high < 0.2  # in the label's own unit, not standardised


def test_short_histories_are_scored_by_models_that_support_nan(prices):
    tree = HistGradientBoostingClassifier(max_iter=5)
    short = score(prices, CustomModel(tree, lookback=26, min_steps=4), seeds=[0]).signals
    whole = score(prices, CustomModel(tree, lookback=26), seeds=[0]).signals
    assert len(short) > len(whole)
    with pytest.raises(InputError, match=r"expected (fit|predict) of LogisticRegression to accept X .*NaN"):
        score(prices, CustomModel(LogisticRegression(), lookback=26, min_steps=4))


def test_classifier_for_numeric_labels_raises_an_error(prices):
    with pytest.raises(InputError, match=r"expected a regressor for numeric labels; found the classifier Logistic"):
        score(prices, CustomModel(LogisticRegression(), lookback=8), labels=rs.LabelSettings(kind="residual"))


def test_retrain_never_fits_once(prices):
    Recorder.seen.clear()
    fixed = rs.WalkForward(test_start="2014-01-01", validation="13W", test="26W", retrain_every="never")
    result = score(prices, CustomModel(Recorder(), lookback=8, layout="windows"), walk_forward=fixed, seeds=[0])
    assert len(Recorder.seen) == 1
    assert (result.signals["fold"] == 0).all()
    walked = score(prices, CustomModel(Recorder(), lookback=8, layout="windows"), seeds=[0]).signals
    assert len(result.signals) == len(walked)  # the universe is evaluated again all the same
    first = walked["fold"] == 0
    pd.testing.assert_frame_equal(result.signals[first], walked[first])


def test_refit_on_validation_includes_validation_rows(prices):
    Recorder.seen.clear()
    model = CustomModel(Recorder(), lookback=8, layout="windows")
    score(prices, model, seeds=[0])
    score(prices, model, seeds=[0], training=rs.TrainingSettings(refit_on_validation=True))
    rows = [shape[0] for shape, *_ in Recorder.seen]
    assert all(both > plain for plain, both in zip(rows[:2], rows[2:], strict=True))


def test_keras_model_is_rebuilt_for_every_fold_and_seed(prices):
    keras = load_keras()
    network = keras.Sequential([keras.Input((8, 1)), keras.layers.GRU(3), keras.layers.Dense(1, activation="sigmoid")])
    with pytest.raises(InputError, match="compiled"):
        score(prices, CustomModel(network, lookback=8, layout="windows"))
    network.compile("adam", "binary_crossentropy")
    before = [w.copy() for w in network.get_weights()]
    training = rs.TrainingSettings(epochs=1, batch_size=256)
    one = score(prices, CustomModel(network, lookback=8, layout="windows"), training=training)
    two = score(prices, CustomModel(network, lookback=8, layout="windows"), training=training)
    pd.testing.assert_frame_equal(one.signals, two.signals, check_exact=True)
    assert (one.signals["score_std"] > 0).all()
    assert all((a == b).all() for a, b in zip(before, network.get_weights(), strict=True))


class Relative:
    """Ranks a row among the rows it is shown: those of one date, or it would look ahead."""

    def fit(self, X, y):
        pass

    def predict(self, X):
        return (X[:, -1] - X[:, -1].mean()) / X[:, -1].std()


def test_predict_receives_rows_of_one_date(prices):
    whole = score(prices, CustomModel(Relative(), lookback=8), seeds=[0]).signals["score"]
    by_date = whole.groupby("date")
    np.testing.assert_allclose(by_date.mean(), 0, atol=1e-6)
    np.testing.assert_allclose(by_date.std(ddof=0), 1, atol=1e-6)
    cut = score(prices.until("2014-09-10"), CustomModel(Relative(), lookback=8), seeds=[0]).signals["score"]
    pd.testing.assert_series_equal(whole[whole.index.get_level_values("date") <= "2014-09-10"], cut, check_exact=True)


@pytest.mark.parametrize("estimator", [Ridge(), LogisticRegression()], ids=str)
def test_scores_do_not_depend_on_processes_or_threads(prices, estimator):
    labels = rs.LabelSettings(kind="return" if isinstance(estimator, Ridge) else "up")
    one, two = (score(prices, CustomModel(estimator, lookback=8), jobs=jobs, labels=labels) for jobs in (1, 2))
    pd.testing.assert_frame_equal(one.signals, two.signals, check_exact=True)


class Noisy:
    def fit(self, X, y):
        self.noise = np.random.normal(size=X.shape[1])  # noqa: NPY002

    def predict(self, X):
        return X @ self.noise


def test_random_models_without_seed_argument_are_reproducible(prices):
    one, two = (score(prices, CustomModel(Noisy, lookback=8)) for _ in range(2))
    pd.testing.assert_frame_equal(one.signals, two.signals, check_exact=True)
    assert (one.signals["score_std"] > 0).all()


def test_seed_in_options_is_the_only_seed(prices):
    named = CustomModel("sklearn.ensemble:RandomForestClassifier", {"n_estimators": 5, "random_state": 1}, lookback=8)
    assert named.seed_name is None
    result = score(prices, named)
    assert sorted(result.seed_scores["seed"].unique()) == [0]


class Broken:
    def fit(self, X, y):
        raise RuntimeError("no\nluck")

    def predict(self, X):
        return X[:, 0]


class Wide(DummyClassifier):
    def predict_proba(self, X):
        return super().predict_proba(X) * np.nan


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (
            lambda: CustomModel(Broken(), lookback=8),
            r"fit of Broken to accept X .*RuntimeError: no luck; correct the model",
        ),
        (lambda: CustomModel(Wide(), lookback=8), r"predict of Wide to return 1 or 1 finite numbers per row"),
        (lambda: CustomModel("math:sqrt", lookback=8), r"math:sqrt"),
        (lambda: CustomModel("collections:OrderedDict", lookback=8), r"an object with fit\(X, y\) and predict\(X\)"),
        (lambda: CustomModel("nowhere.at:All", lookback=8), r"a module 'nowhere.at' for model.kind"),
        (lambda: CustomModel("sklearn.linear_model:Ridge", {"beta": 1}, lookback=8), r"Ridge\(beta"),
        (lambda: CustomModel(Ridge(), {"alpha": 1}, lookback=8), r"model.options only with a class"),
        (lambda: CustomModel(Ridge(), layout="wide"), r"model.layout to be one of flat, windows"),
        (lambda: CustomModel(Ridge(), lookback=1), r"model.lookback of at least 2"),
        (lambda: CustomModel(Ridge(), lookback=8, min_steps=9), r"model.min_steps from 1 to the look-back of 8"),
    ],
)
def test_unusable_custom_models_raise_one_line_errors(prices, model, words):
    with pytest.raises(InputError, match=words) as caught:
        score(prices, model())
    assert "\n" not in str(caught.value)
