"""A network trained elsewhere and saved as `.keras`: its own values, or one clear line."""

from __future__ import annotations

import contextlib
import json
import zipfile

import numpy as np
import pytest

import rnn_strategies as rs
from signals.common.errors import InputError
from signals.dataset.dataset import make_dataset
from signals.models.keras_backend import load_keras
from signals.models.saved_keras import SavedKerasModel, check_keras_file
from signals.walk_forward.panel_walk_forward import compute_signals

UNIVERSE = rs.UniverseFilters(min_history=30)
WALK = rs.WalkForward(test_start="2014-01-01", test="26W")


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


@pytest.fixture(scope="module")
def keras():
    return load_keras()


def single(keras, *, lookback=8, n_features=1, outputs=1, activation="sigmoid", **more):
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.Input((lookback, n_features)),
            keras.layers.Rescaling(20.0),
            keras.layers.GRU(5),
            keras.layers.Dense(outputs, activation=activation),
        ],
        **more,
    )


def multiple(keras):
    keras.utils.set_random_seed(2)
    window = keras.Input((8, 2), name="window")
    who = keras.Input((1,), dtype="int32", name="who")
    month = keras.Input((12,), name="season")
    embedded = keras.layers.Flatten()(keras.layers.Embedding(40, 3)(who))
    joined = keras.layers.Concatenate()([keras.layers.LSTM(4)(window), embedded, month])
    return keras.Model([month, window, who], keras.layers.Dense(1, activation="sigmoid")(joined))


def saved(network, tmp_path, name="net.keras"):
    network.save(tmp_path / name)
    return tmp_path / name


def score(prices, model, **changes):
    options = {
        "walk_forward": WALK,
        "universe": UNIVERSE,
        "labels": rs.LabelSettings(),
        "model": model,
        "training": rs.TrainingSettings(),
        "seeds": [0, 1, 2],
        "artifacts": "unused",
    }
    return compute_signals(prices, **(options | changes))


def rows_of(prices, result, windows, features):
    """Unscaled windows, dates and ticker numbers of every scored row, gathered without the walk-forward."""
    data = make_dataset(
        prices,
        frequency="weekly",
        universe=UNIVERSE,
        labels=rs.LabelSettings(),
        windows=windows,
        walk_forward=WALK,
        features=features,
    )
    dates = result.signals.index.get_level_values("date").to_numpy().astype("datetime64[D]")
    columns = [data.panel.tickers.index(t) for t in result.signals.index.get_level_values("ticker")]
    ends = np.searchsorted(data.dates, dates)
    blocks = [data.features.values[c, e - windows.lookback + 1 : e + 1] for c, e in zip(columns, ends, strict=True)]
    return np.stack(blocks).astype(np.float32), dates, columns, data.panel.tickers


def own(network, *inputs):
    """What the network's owner gets from `predict`, in whole batches of Keras's default 32.

    A last batch that is not whole is another compiled function, and may differ in its last bit from the same rows in a
    whole one: then not even the owner's own values repeat.
    """
    n = len(inputs[0])
    whole = [np.concatenate([part, np.repeat(part[-1:], -n % 32, axis=0)]) for part in inputs]
    said = network.predict(whole if len(whole) > 1 else whole[0], verbose=0)[:n, 0]
    loose = network.predict(list(inputs) if len(inputs) > 1 else inputs[0], verbose=0)[:, 0]
    assert (said == loose)[: n - n % 32].all()
    np.testing.assert_allclose(said, loose, atol=1e-6)
    return said.astype(np.float64)


def test_single_input_network_scores_equal_its_predictions(prices, keras, tmp_path):
    network = single(keras)
    model = SavedKerasModel(saved(network, tmp_path), trained_until="2013-12-31")
    result = score(prices, model)
    windows, *_ = rows_of(prices, result, rs.RecurrentSettings(lookback=8), ["return"])
    expected = own(network, windows)
    assert len(expected) > 500
    assert result.signals["score"].to_numpy().tobytes() == expected.tobytes()
    assert (result.signals["score_std"] == 0).all()
    assert (result.signals["trained_until"] == np.datetime64("2013-12-31")).all()
    assert (result.trained, result.reused) == (0, 1)
    assert result.folds["train_start"].isna().all()


def test_multiple_input_network_scores_equal_its_predictions(prices, keras, tmp_path):
    network, features = multiple(keras), ["return", "volatility(21)"]
    ids = {ticker: 3 + i for i, ticker in enumerate(prices.tickers[:20])}
    model = SavedKerasModel(
        saved(network, tmp_path), trained_until="2013-12-31", tickers=ids, mean=(0, 0.02), std=(0.03, 0.01)
    )
    result = score(prices, model, features=features)
    windows, dates, columns, names = rows_of(prices, result, rs.RecurrentSettings(lookback=8), features)
    assert {names[c] for c in columns} <= set(ids)  # a ticker the network has no id for is not scored
    months = np.eye(12, dtype=np.float32)[dates.astype("datetime64[M]").astype(int) % 12]
    who = np.array([[ids[names[c]]] for c in columns], np.int32)
    scaled = (windows - np.float32([0, 0.02])) / np.float32([0.03, 0.01])
    expected = own(network, months, scaled, who)
    assert result.signals["score"].to_numpy().tobytes() == expected.tobytes()


def test_scores_do_not_depend_on_later_rows(prices, keras, tmp_path):
    model = SavedKerasModel(saved(single(keras), tmp_path), trained_until="2013-12-31")
    whole, cut = score(prices, model).signals, score(prices.until("2014-08-20"), model).signals
    early = whole[whole.index.get_level_values("date") <= "2014-08-20"]
    assert early["score"].to_numpy().tobytes() == cut["score"].to_numpy().tobytes()


def test_scores_of_terciles_and_values(prices, keras, tmp_path):
    three = single(keras, outputs=3, activation="softmax")
    result = score(
        prices,
        SavedKerasModel(saved(three, tmp_path), trained_until="2013-12-31"),
        labels=rs.LabelSettings(kind="terciles"),
    )
    assert result.signals["score"].between(-1, 1).all()
    assert (result.signals["score"] < 0).any()
    value = single(keras, activation="linear")
    result = score(
        prices,
        SavedKerasModel(saved(value, tmp_path, "v.keras"), trained_until="2013-12-31"),
        labels=rs.LabelSettings(kind="return"),
    )
    windows, *_ = rows_of(prices, result, rs.RecurrentSettings(lookback=8), ["return"])
    assert result.signals["score"].to_numpy().tobytes() == own(value, windows).tobytes()


def test_scores_before_trained_until_raise_an_error(prices, keras, tmp_path):
    path = saved(single(keras), tmp_path)
    with pytest.raises(InputError, match=r"model.trained_until = 2014-01-04; found a first score on 2014-01-03"):
        score(prices, SavedKerasModel(path, trained_until="2014-01-04"))
    assert len(score(prices, SavedKerasModel(path, trained_until="2014-01-03")).signals)  # known at that very close


def test_open_window_length_requires_lookback(prices, keras, tmp_path):
    path = saved(single(keras, lookback=None), tmp_path)
    with pytest.raises(InputError, match=r"no fixed length in the file and no model.lookback"):
        score(prices, SavedKerasModel(path, trained_until="2013-12-31"))
    assert len(score(prices, SavedKerasModel(path, trained_until="2013-12-31", lookback=5)).signals)


@pytest.mark.parametrize(
    ("build", "options", "changes", "words"),
    [
        (lambda k: single(k, n_features=2), {}, {}, r"as many features as .* has, 2; found 1"),
        (lambda k: single(k), {"lookback": 9}, {}, r"model.lookback = 9 periods; found 8 in the file"),
        (lambda k: single(k), {"inputs": {"nobody": "month"}}, {}, r"model.inputs among .*found 'nobody'"),
        (lambda k: single(k), {"mean": (0.0, 1.0), "std": (1.0, 1.0)}, {}, r"std of 1 features; found 2"),
        (lambda k: single(k, outputs=3, activation="softmax"), {}, {}, r"to match \[labels\]; found 3 numbers"),
        (lambda k: single(k, outputs=5), {}, {}, r"one output of 1 to 3 numbers"),
        (multiple, {}, {"features": ["return", "return(2)"]}, r"model.tickers, the id of each ticker"),
        (
            lambda k: single(k),
            {},
            {"universe": rs.UniverseFilters(min_price=1e9)},
            r"universe.min_price",
        ),
    ],
)
def test_mismatched_networks_raise_an_error(prices, keras, tmp_path, build, options, changes, words):
    model = SavedKerasModel(saved(build(keras), tmp_path), trained_until="2013-12-31", **options)
    with pytest.raises(InputError, match=words):
        score(prices, model, **changes)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"trained_until": "soon"}, "trained_until"),
        ({"inputs": {"a": "price"}}, "one of sequence, ticker, month; found 'price'"),
        ({"mean": (0.0,)}, "of equal length"),
        ({"mean": (0.0,), "std": (0.0,)}, "std above 0"),
    ],
)
def test_invalid_saved_model_settings_raise_an_error(options, words):
    with pytest.raises(InputError, match=words):
        SavedKerasModel("net.keras", **({"trained_until": "2013-12-31"} | options))


def test_unbuilt_network_raises_an_error(keras, tmp_path):
    with pytest.warns(UserWarning, match="not yet been built"):
        path = saved(keras.Sequential([keras.layers.LSTM(2), keras.layers.Dense(1)]), tmp_path)
    with pytest.raises(InputError, match="built Keras model"):
        SavedKerasModel(path, trained_until="2013-12-31").open()


def test_named_outputs_raise_an_error(keras, tmp_path):
    window = keras.Input((8, 1))
    path = saved(keras.Model(window, {"y": keras.layers.LSTM(1)(window)}), tmp_path)
    with pytest.raises(InputError, match="one output"):
        SavedKerasModel(path, trained_until="2013-12-31").open()


def test_stateful_network_raises_an_error(keras, tmp_path):
    window = keras.Input((8, 1), batch_size=32)
    path = saved(keras.Model(window, keras.layers.LSTM(1, stateful=True)(window)), tmp_path)
    with pytest.raises(InputError, match="stateful = False"):
        check_keras_file(path)


def test_ticker_id_outside_the_embedding_raises_a_one_line_error(prices, keras, tmp_path):
    ids = {ticker: 1000 + i for i, ticker in enumerate(prices.tickers)}
    model = SavedKerasModel(saved(multiple(keras), tmp_path), trained_until="2013-12-31", tickers=ids)
    with pytest.raises(InputError, match=r"model\.tickers") as caught:
        score(prices, model, features=["return", "volatility(21)"])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


# -- safety ---------------------------------------------------------------------------------------------------------


def test_lambda_layer_raises_an_error(keras, tmp_path):
    network = keras.Sequential([keras.Input((8, 1)), keras.layers.Lambda(lambda x: x[:, 0])])
    with pytest.raises(InputError, match=r"only Keras's own layers .*found 'Lambda'"):
        check_keras_file(saved(network, tmp_path))


def test_registered_custom_object_raises_an_error(keras, tmp_path):
    @keras.saving.register_keras_serializable("mine")
    class Doubled(keras.layers.Layer):
        def call(self, x):
            return x * 2

    network = keras.Sequential([keras.Input((8, 1)), Doubled(), keras.layers.LSTM(2)])
    with pytest.raises(InputError, match=r"found 'Doubled'"):
        check_keras_file(saved(network, tmp_path))


def rewritten(path, change):
    """The same archive with another config.json."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    change(config)
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def smuggle(config, part):
    config["config"]["layers"][-1]["config"]["activation"] = part


@pytest.mark.parametrize(
    "part",
    [
        {"class_name": "system", "module": "os", "config": "id", "registered_name": None},
        {"class_name": "function", "module": "builtins", "config": "exec", "registered_name": "function"},
        {"class_name": "__lambda__", "config": {"code": "4wA="}},
        {"class_name": "TFSMLayer", "module": "keras.layers", "config": {"filepath": "/tmp/x"}},
        {"class_name": "run", "module": "kerasish.evil", "config": {}},
        {"class_name": ["Lambda"], "module": "keras.layers", "config": {}},
        {"class_name": "Dense", "module": {"a": 1}, "config": {}},
    ],
)
def test_objects_that_run_code_raise_an_error_before_loading(keras, tmp_path, part):
    path = rewritten(saved(single(keras), tmp_path), lambda config: smuggle(config, part))
    with pytest.raises(InputError, match=r"only Keras's own layers|names of layers"):
        check_keras_file(path)


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        (None, "net.keras", "no such file"),
        (b"", "net.keras", "damaged or other file"),
        (b"PK\x03\x04 not really", "net.keras", "damaged or other file"),
        (b"\x89HDF\r\n", "net.h5", r"expected a \.keras file"),
    ],
)
def test_other_files_raise_an_error(tmp_path, content, name, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=words):
        SavedKerasModel(tmp_path / name, trained_until="2013-12-31").open()


def test_damaged_archives_raise_one_line_errors(keras, tmp_path):
    path = saved(single(keras), tmp_path)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for cut in (10, len(content) // 2, len(content) - 30):
        path.write_bytes(content[:cut])
        with pytest.raises(InputError):
            SavedKerasModel(path, trained_until="2013-12-31").open()
    for _ in range(30):
        broken = bytearray(content)
        for at in rng.integers(0, len(content), 20):
            broken[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(broken))
        with contextlib.suppress(InputError):  # some bits do no harm; anything but one clear line fails here
            SavedKerasModel(path, trained_until="2013-12-31").open()
    path.write_bytes(content)
    rewritten(path, lambda config: config["config"].pop("layers"))
    with pytest.raises(InputError):
        SavedKerasModel(path, trained_until="2013-12-31").open()
