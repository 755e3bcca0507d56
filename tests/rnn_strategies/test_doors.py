"""Optional inputs of a configuration: models, features, labels, members, sectors, ticker changes, macro series."""

from __future__ import annotations

import json
import tomllib

import numpy as np
import pandas as pd
import pytest
import tomli_w

import rnn_strategies as rs
from rnn_strategies.config.panel_config import load_config, parse_config
from signals.common.errors import InputError
from signals.models.custom import CustomModel
from signals.models.keras_backend import load_keras
from signals.models.saved_keras import SavedKerasModel


@pytest.fixture
def write(support):
    from configs import write_small

    return write_small


@pytest.fixture(autouse=True)
def no_drawing(monkeypatch):
    monkeypatch.setattr(
        "rnn_strategies.pipelines.panel_run.write_report", lambda folder: (folder / "report.html").write_text("-")
    )


def with_tables(path, **tables):
    """Add settings to tables of a written configuration; `model` and `prices` replace the whole table."""
    settings = tomllib.loads(path.read_text())
    for name, lines in tables.items():
        kept = {} if name in ("model", "prices") else settings.get(name, {})
        settings[name] = kept | tomllib.loads(lines)
    path.write_text(tomli_w.dumps(settings))
    return path


def manifest(run):
    return json.loads((run.folder / "manifest.json").read_text())


# -- models ----------------------------------------------------------------------------------------------------------


def test_an_estimator_by_name(write, tmp_path):
    lines = 'kind = "sklearn.linear_model:LogisticRegression"\nlookback = 8\noptions = {C = 0.1}'
    path = with_tables(write(tmp_path / "c.toml"), model=lines)
    config = load_config(path)
    assert config.model == CustomModel("sklearn.linear_model:LogisticRegression", {"C": 0.1}, lookback=8)
    made = rs.run(config, out=tmp_path / "run", jobs=1)
    assert made.signals["score"].between(0, 1).all()
    again = load_config(made.folder / "config.toml")
    assert again.tables == config.tables
    # an estimator that takes no chance would be one seed; this one has a random_state
    assert manifest(made)["seeds"] == [0, 1]


def test_saved_network(write, tmp_path):
    keras = load_keras()
    network = keras.Sequential([keras.Input((8, 1)), keras.layers.GRU(3), keras.layers.Dense(1, "sigmoid")])
    network.save(tmp_path / "mine.keras")
    lines = 'kind = "keras_file"\npath = "mine.keras"\ntrained_until = "2013-12-31"'
    path = with_tables(write(tmp_path / "c.toml"), model=lines)
    config = load_config(path)
    assert config.model == SavedKerasModel(str(tmp_path / "mine.keras"), "2013-12-31")
    made = rs.run(config, out=tmp_path / "run", jobs=1)
    assert (made.signals["trained_until"] == np.datetime64("2013-12-31")).all()
    assert manifest(made)["seeds"] == [0]
    before = made.signals
    # another network under the same name is another signal
    network.layers[-1].bias.assign([1.0])
    network.save(tmp_path / "mine.keras")
    assert (rs.run(config, out=tmp_path / "run", jobs=1).signals["score"] > before["score"]).all()


def test_custom_module_in_the_configuration(write, tmp_path, monkeypatch):
    (tmp_path / "mymodels.py").write_text(
        "class Last:\n"
        "    def __init__(self, sign=1.0):\n        self.sign = sign\n"
        "    def fit(self, X, y):\n        pass\n"
        "    def predict(self, X):\n        return self.sign * X[:, -1]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    lines = 'kind = "mymodels:Last"\nlookback = 8\noptions = {sign = -1.0}'
    made = rs.run(with_tables(write(tmp_path / "c.toml"), model=lines), out=tmp_path / "run", jobs=1)
    assert made.folds["rank_ic_last_return"].to_numpy() == pytest.approx(
        -made.folds["rank_ic"].to_numpy(), abs=0.01
    )  # but for clipping


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"model": 'kind = "recurent"'}, r"model.kind .*found 'recurent'; did you mean 'recurrent'"),
        ({"model": 'kind = "sklearn.linear_model:Ridge"\nunits = [3]'}, r"a known key in \[model\]; found 'units'"),
        ({"model": 'kind = "keras_file"\npath = "x.keras"'}, r"a setting model.trained_until; found none"),
        ({"model": 'lookback = "8"'}, r"model.lookback to be a valid number"),
        ({"model": "min_steps = 60"}, r"model.min_steps from 1 to the look-back of 52"),
        ({"features": 'inputs = ["retrun"]'}, r"did you mean|close|return"),
        ({"features": 'inputs = ["nowhere.at:all"]'}, r"nowhere"),
        ({"features": "inputs = []"}, r"feature"),
        ({"features": "macro = {publication_lag = '45D'}"}, r"a setting features.macro.path"),
        ({"universe": 'membership = ""'}, r"path"),
        ({"labels": 'kind = "tercile"'}, r"did you mean 'terciles'"),
        ({"labels": "horizon = 0"}, r"labels.horizon"),
        ({"walk_forward": 'retrain_every = "nevr"'}, r"walk_forward.retrain_every as .* 'never'; found 'nevr'"),
        ({"walk_forward": "test = 0"}, r"walk_forward.test as a length"),
        ({"model": 'kind = "keras_file"\npath = 5\ntrained_until = "2013-12-31"'}, r"model.path to be a valid string"),
        ({"universe": 'symbol_changes = {on_uncovered = "drop"}'}, r"universe.symbol_changes"),
    ],
)
def test_mistakes_are_one_line(write, tmp_path, tables, words):
    with pytest.raises(InputError, match=words) as caught:
        load_config(with_tables(write(tmp_path / "c.toml"), **tables))
    assert "\n" not in str(caught.value)


def test_the_yahoo_source_has_settings_but_no_clock():
    tables = {
        "prices": {"source": "yahoo", "tickers": ["SPY"], "start": "2012-01-01"},
        "labels": {"kind": "up"},
        "walk_forward": {"test_start": "2014-01-01"},
        "strategy": {"allocation": "TopK", "k": 1},
        "broker": {"cash": 1e5, "commission": 0.001, "slippage": 0.0},
    }
    assert parse_config(tables).prices["source"] == "yahoo"
    tables["prices"]["clock"] = 3
    with pytest.raises(InputError, match="a known key"):
        parse_config(tables)


# -- files beside prices ---------------------------------------------------------------------------------------------


@pytest.fixture
def reference_data(tmp_path):
    """Files that go with the simulated prices of the small configuration."""
    names = rs.load_prices(source="simulated", seed=3, n_tickers=40, start="2012-01-01", end="2015-12-31").tickers
    members = pd.DataFrame({"ticker": names, "start": "2012-01-01", "end": ""})
    members.loc[:9, "end"] = "2014-12-01"
    members.to_csv(tmp_path / "members.csv", index=False)
    sectors = pd.DataFrame({"ticker": names, "sector": [f"S{i % 3}" for i in range(len(names))], "start": "2012-01-01"})
    sectors.to_csv(tmp_path / "sectors.csv", index=False)
    months = pd.date_range("2010-01-01", "2015-12-01", freq="MS")
    rates = pd.DataFrame({"observation_date": months.strftime("%Y-%m-%d"), "RATE": np.linspace(1, 3, len(months))})
    rates.to_csv(tmp_path / "rates.csv", index=False)
    return names


UNIVERSE = 'membership = "members.csv"\nsectors = "sectors.csv"'
FEATURES = (
    'inputs = ["return", "return(4) minus sector", "macro(RATE)"]\nmacro = {path = "rates.csv", '
    'publication_lag = "45D"}'
)


def test_members_sectors_and_macro_series(write, tmp_path, reference_data):
    path = with_tables(write(tmp_path / "c.toml"), universe=UNIVERSE, features=FEATURES)
    made = rs.run(path, out=tmp_path / "run", jobs=1)
    dates = made.signals.index.get_level_values("date")
    left = made.signals[made.signals.index.get_level_values("ticker").isin(reference_data[:10])]
    assert len(left)
    # who left the index is out from the next time the universe is drawn
    assert left.index.get_level_values("date").max() < pd.Timestamp("2015-01-10") <= dates.max()
    assert set(manifest(made)["files"]) == {"members.csv", "sectors.csv", "rates.csv"}
    assert load_config(made.folder / "config.toml").tables == made.config.tables

    done = (made.folder / "signals.parquet").stat().st_mtime_ns
    rs.run(path, out=tmp_path / "run", jobs=1)
    assert (made.folder / "signals.parquet").stat().st_mtime_ns == done
    rates = (tmp_path / "rates.csv").read_text().replace(",3.0\n", ",4.0\n")
    (tmp_path / "rates.csv").write_text(rates)
    rs.run(path, out=tmp_path / "run", jobs=1)
    assert (made.folder / "signals.parquet").stat().st_mtime_ns != done  # an edited file is another input


def test_sectors_without_dates_are_a_warning_of_the_report(write, tmp_path, reference_data):
    pd.read_csv(tmp_path / "sectors.csv").drop(columns="start").to_csv(tmp_path / "sectors.csv", index=False)
    path = with_tables(write(tmp_path / "c.toml"), universe=UNIVERSE, features=FEATURES)
    warnings = manifest(rs.run(path, out=tmp_path / "run", jobs=1))["warnings"]
    assert any("Sectors are those of the day the file was made" in line for line in warnings)


def test_a_ticker_change_is_one_security(write, tmp_path, reference_data):
    """One half of a history under another symbol, put together again by a file of ticker changes."""
    prices = rs.load_prices(source="simulated", seed=3, n_tickers=40, start="2012-01-01", end="2015-12-31")
    frame = prices.frame.reset_index()
    old = (frame["ticker"] == reference_data[0]) & (frame["date"] < "2013-07-01")
    frame.loc[old, "ticker"] = "OLDNAME"
    frame.to_csv(tmp_path / "prices.csv", index=False)
    changes = pd.DataFrame(
        {
            "id": reference_data[0],
            "ticker": ["OLDNAME", reference_data[0]],
            "start": ["2012-01-01", "2013-07-01"],
            "end": ["2013-07-01", ""],
        }
    )
    changes.to_csv(tmp_path / "changes.csv", index=False)
    files = 'source = "files"\npath = "prices.csv"'
    path = with_tables(write(tmp_path / "c.toml"), prices=files, universe='symbol_changes = "changes.csv"')
    made = rs.run(path, out=tmp_path / "run", jobs=1)
    assert made.prices.tickers == prices.tickers
    whole = rs.run(write(tmp_path / "whole.toml"), out=tmp_path / "whole", jobs=1)
    np.testing.assert_allclose(made.signals["score"].to_numpy(), whole.signals["score"].to_numpy(), atol=1e-6)


def test_bars_outside_the_spells_of_a_ticker_can_be_left_out(write, tmp_path, reference_data):
    changes = pd.DataFrame({"id": ["X"], "ticker": [reference_data[0]], "start": ["2012-06-01"], "end": [""]})
    changes.to_csv(tmp_path / "changes.csv", index=False)
    path = with_tables(write(tmp_path / "c.toml"), universe='symbol_changes = "changes.csv"')
    with pytest.raises(InputError, match="on_uncovered"):
        rs.run(path, out=tmp_path / "run", jobs=1)
    path = with_tables(path, universe='symbol_changes = {path = "changes.csv", on_uncovered = "drop"}')
    made = rs.run(path, out=tmp_path / "run", jobs=1)
    assert "X" in made.prices.tickers
    assert load_config(made.folder / "config.toml").tables == made.config.tables


def test_edit_in_a_custom_package_changes_the_key(write, tmp_path, monkeypatch):
    import importlib
    import sys

    folder = tmp_path / "myown"
    folder.mkdir()
    (folder / "__init__.py").write_text("from myown.inside import Last\n")
    code = "class Last:\n    def fit(self, X, y): pass\n    def predict(self, X): return SIGN * X[:, -1]\n"
    (folder / "inside.py").write_text("SIGN = 1.0\n" + code)
    monkeypatch.syspath_prepend(str(tmp_path))
    path = with_tables(write(tmp_path / "c.toml"), model='kind = "myown:Last"\nlookback = 8')
    before = rs.run(path, out=tmp_path / "run", jobs=1).signals["score"]
    (folder / "inside.py").write_text("SIGN = -10.0\n" + code)
    for name in ("myown", "myown.inside"):
        del sys.modules[name]
    importlib.invalidate_caches()
    after = rs.run(path, out=tmp_path / "run", jobs=1).signals["score"]
    np.testing.assert_allclose(after, -10 * before)


@pytest.mark.parametrize("table", ["universe", "features"])
def test_a_missing_file_is_one_line(write, tmp_path, reference_data, table):
    path = with_tables(write(tmp_path / "c.toml"), universe=UNIVERSE, features=FEATURES)
    (tmp_path / {"universe": "members.csv", "features": "rates.csv"}[table]).unlink()
    with pytest.raises(InputError, match=r"members.csv|rates.csv") as caught:
        rs.run(path, out=tmp_path / "run", jobs=1)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


# -- labels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["up", "terciles", "return", "residual", "volatility_scaled"])
def test_every_kind_of_label_runs_to_the_report(write, tmp_path, kind):
    path = with_tables(write(tmp_path / "c.toml"), labels=f'kind = "{kind}"\nhorizon = 4\nestimation_window = 26')
    made = rs.run(path, out=tmp_path / "run", jobs=1)
    assert 0.3 < made.metrics["auc"] < 0.7
    labels = pd.read_parquet(made.folder / "labels.parquet").reset_index()
    weeks = (labels["label_end"] - labels["date"]).dt.days
    assert weeks.median() >= 28  # four weeks and the next open


def test_unknown_ticker_in_filters_is_a_warning(write, tmp_path):
    path = with_tables(write(tmp_path / "c.toml"), universe='exclude = ["SIM000", "SMI001"]')
    warnings = manifest(rs.run(path, out=tmp_path / "run", jobs=1))["warnings"]
    assert any("do not hold SMI001, which universe.include or exclude names" in line for line in warnings)
