"""Planted leaks fail the audit with their names; configurations without leaks pass."""

from __future__ import annotations

import tomllib
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tomli_w

import rnn_strategies as rs
from rnn_strategies.audit.audit import audit_run
from signals.dataset import fold_data, universe
from signals.reference.macro_series import MacroTable

EXPERIMENTS = ["fold-checks", "adjustments", "look-ahead"]


@pytest.fixture
def simulated(support, tmp_path):
    """Function that writes the small configuration with tables changed."""
    from configs import write_small

    def write(**tables):
        path = write_small(tmp_path / "c.toml")
        settings = tomllib.loads(path.read_text())
        for name, changes in tables.items():
            settings[name] = settings.get(name, {}) | changes
        path.write_text(tomli_w.dumps(settings))
        return path

    return write


@pytest.fixture
def real(simulated, shared_data, tmp_path):
    """Function that writes the same for ninety real stocks."""
    import pyarrow.parquet as pq

    path = shared_data / "us-stocks-daily" / "ohlcv_top600.parquet"
    names = sorted(set(pq.read_table(path, columns=["ticker"])["ticker"].to_pylist()))[::7]
    prices = rs.load_prices(
        source="files", path=path, on_bad="repair", tickers=names, start="2009-06-01", end="2012-12-31"
    )
    # a factor that is not 1, as raw prices have it, so that filters on raw prices differ from those on adjusted ones
    frame = prices.frame.copy()
    scale = 0.5 + np.arange(len(prices.tickers)) / len(prices.tickers)
    frame["adj_factor"] = frame.index.get_level_values("ticker").map(dict(zip(prices.tickers, scale, strict=True)))
    frame.reset_index().to_parquet(tmp_path / "stocks.parquet")

    def write(**tables):
        walk = {"test_start": "2011-06-01"}
        source = {"source": "files", "path": str(tmp_path / "stocks.parquet")}
        path = simulated(**{**tables, "walk_forward": walk | tables.get("walk_forward", {})})
        settings = tomllib.loads(path.read_text())
        settings["prices"] = source
        if "universe" not in tables:  # these closes are adjusted for splits, so a filter on price would look ahead
            settings["universe"].pop("min_price", None)
        path.write_text(tomli_w.dumps(settings))
        return path

    return write


@pytest.fixture(params=["simulated", "real"])
def write(request):
    """Both markets, one after the other."""
    return request.getfixturevalue(request.param)


def failed(found, check, *words):
    verdict = found.verdict(check)
    assert verdict.status == "failed", verdict.finding
    for word in words:
        assert word in verdict.finding
    assert not found.passed
    return verdict


def examined(path, *checks, days=1):
    return audit_run(path, only=checks or EXPERIMENTS, cutoffs=days, jobs=1)


def test_what_is_clean_passes(write, request):
    found = examined(write(features={"inputs": ["return", "volatility(21) minus market"]}), days=2)
    others = [(v.check, v.status, v.finding) for v in found.verdicts if v.status != "passed"]
    if request.node.callspec.params["write"] == "real":  # the closes of these stocks are adjusted for splits
        ((check, status, finding),) = others
        assert (check, status) == ("adjustments", "noted")
        assert "are adjusted for later splits already" in finding
    else:
        assert others == []
    assert "bit-identical" in found.verdict("look-ahead").finding
    evidence = dict(found.verdict("look-ahead").evidence)
    assert sum("future removed" in name for name in evidence) >= 4
    assert sum("more decision dates" in name for name in evidence) == 1
    assert all("same to the bit" in words for words in evidence.values())


# -- features --------------------------------------------------------------------------------------------------------


def test_feature_with_a_future_label_fails(write, support):
    found = examined(write(features={"inputs": ["return", "leaky_features:next_open"]}))
    failed(found, "look-ahead", "leaky_features:next_open")


def test_a_centred_moving_average(write, support):
    found = examined(write(features={"inputs": ["return", "leaky_features:centred_average"]}))
    failed(found, "look-ahead", "leaky_features:centred_average")


def test_leak_on_few_rows_fails(write, support):
    """What asks only a few rows, and so is not noticed when the feature is tried once, is found by the experiments."""
    found = examined(write(features={"inputs": ["return", "leaky_features:rarely"]}), days=6)
    failed(found, "look-ahead", "leaky_features:rarely", "features")


def test_a_leak_in_the_last_weeks_only(write, support):
    path = write(features={"inputs": ["return", "leaky_features:at_the_end"]})
    failed(examined(path), "look-ahead", "leaky_features:at_the_end")


def test_feature_with_cached_values_is_noted(write, support):
    import leaky_features

    leaky_features.SHOWN.clear()
    found = examined(write(features={"inputs": ["return", "leaky_features:remembers"]}))
    verdict = found.verdict("look-ahead")
    assert verdict.status == "noted"
    assert "'leaky_features:remembers' did not change where prices were replaced" in verdict.finding


def test_trainer_receives_no_test_rows(write, support):
    """What a trainer is given ends before the first score: it cannot peek."""
    path = write(training={"trainer": "leaky_trainers:Peeping"})
    assert examined(path).passed


# -- folds -----------------------------------------------------------------------------------------------------------


def test_a_scaler_fitted_on_all_data(write, monkeypatch):
    fit = fold_data._fit_scaler

    def on_everything(data, training, windows):
        ticker, date = np.nonzero(data.eligible)
        return fit(data, (ticker.astype(np.int32), date.astype(np.int32)), windows)

    monkeypatch.setattr(fold_data, "_fit_scaler", on_everything)
    failed(examined(write()), "look-ahead", "folds", "of return")


def test_stopping_on_the_test_slice(write, monkeypatch):
    rows = fold_data._rows

    def stops_on_the_test(data, fold, windows):
        made = made_honestly(data, fold, windows)
        ticker, date = rows(data, fold.test, latest=data.decisions[-1])
        seen = replace(made.validation.windows, ticker=ticker, end=date)
        label = data.labels.label[ticker, date].astype(np.float32)
        return replace(made, validation=replace(made.validation, windows=seen, label=label))

    made_honestly = fold_data.make_fold_data
    monkeypatch.setattr("signals.walk_forward.panel_walk_forward.make_fold_data", stops_on_the_test)
    failed(examined(write(), "fold-checks"), "fold-checks", "validation")


def test_shuffled_folds_without_purge(write, monkeypatch):
    made_honestly = fold_data.make_fold_data

    def shuffled(data, fold, windows):
        made = made_honestly(data, fold, windows)
        ticker, date = (a.astype(np.int32) for a in np.nonzero(data.eligible & np.isfinite(data.labels.label)))
        rng = np.random.default_rng(fold.number)
        chosen = np.sort(rng.permutation(len(ticker))[: len(made.training)])
        ticker, date = ticker[chosen], date[chosen]
        rows = replace(
            made.training,
            windows=replace(made.test.windows, ticker=ticker, end=date),
            label=data.labels.label[ticker, date].astype(np.float32),
            category=np.zeros(len(ticker), np.int32),
            month=np.zeros(len(ticker), np.int32),
        )
        return replace(made, training=rows)

    monkeypatch.setattr("signals.walk_forward.panel_walk_forward.make_fold_data", shuffled)
    failed(examined(write(), "fold-checks"), "fold-checks", "is trained with later data", "training")


# -- universe --------------------------------------------------------------------------------------------------------


def test_a_filter_on_adjusted_prices(write, monkeypatch):
    monkeypatch.setattr(universe, "_raw_close", lambda panel, recent: panel.close[recent])
    found = examined(write(universe={"min_price": 20.0}), "adjustments")
    failed(found, "adjustments", "adjusted prices")


# -- strategy --------------------------------------------------------------------------------------------------------


def test_benchmark_among_the_prices_passes(simulated):
    for seed in (3, 4, 5):
        found = examined(simulated(prices={"seed": seed}, benchmark={"ticker": "SIM000"}), "look-ahead", days=2)
        assert found.verdict("look-ahead").status == "passed", found.text()


def test_a_strategy_that_reads_the_next_close(write, support):
    path = write(strategy={"allocation": "TopK", "k": 5, "kind": "leaky_strategies:Clairvoyant"})
    failed(examined(path), "look-ahead", "orders")


# -- macro series ----------------------------------------------------------------------------------------------------


def test_macro_figures_used_before_their_release_fail(write, tmp_path, monkeypatch):
    """Released half an hour after the close of New York, and used at that close."""
    days = pd.bdate_range("2008-01-31", "2016-12-31", freq="BME")
    closed = pd.DatetimeIndex([f"{day:%Y-%m-%d} 16:30" for day in days]).tz_localize("America/New_York")
    table = pd.DataFrame(
        {
            "series": "RATE",
            "date": (days - pd.offsets.MonthBegin(1)).strftime("%Y-%m-%d"),
            "value": np.sin(np.arange(len(days))),
            "available_at": closed.tz_convert("UTC").strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
    )
    table.to_csv(tmp_path / "rates.csv", index=False)
    features = {"frequency": "monthly", "inputs": ["return", "macro(RATE)"], "macro": {"path": "rates.csv"}}
    path = write(
        features=features,
        model={"lookback": 4},
        walk_forward={"validation": "6M", "test": "1Y"},
    )
    assert examined(path, "look-ahead").passed
    original = MacroTable.as_of
    hour = np.timedelta64(1, "h")
    monkeypatch.setattr(MacroTable, "as_of", lambda self, s, m, **k: original(self, s, np.asarray(m) + hour, **k))
    failed(examined(path, "look-ahead"), "look-ahead", "features", "macro(RATE)")


# -- names ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def died(simulated, shared_data, tmp_path):
    """Function that writes the configuration for real stocks, half of which stop trading, changed by a function."""
    prices = rs.load_prices(
        source="files",
        path=shared_data / "us-stocks-with-delisted" / "daily.parquet",
        return_column="ret",
        on_bad="repair",
    )
    chosen = set(prices.tickers[::4])

    def write(change, **tables):
        frame = prices.frame[prices.frame.index.get_level_values("ticker").isin(chosen)]
        known = {"raw_known": prices.raw_known, "on_bad": "repair"}
        changed = change(rs.check_prices(frame, **known))
        changed.frame.reset_index().to_parquet(tmp_path / "died.parquet")
        walk = {"test_start": "2016-04-01", "validation": "8W", "test": "26W"}
        filters = {"min_history": 40}
        path = simulated(**{"walk_forward": walk, "universe": filters, "model": {"lookback": 5}, **tables})
        settings = tomllib.loads(path.read_text())
        settings["prices"] = {"source": "files", "path": str(tmp_path / "died.parquet")}
        path.write_text(tomli_w.dumps(settings))
        return path

    return write


@pytest.fixture(params=["simulated", "real"])
def with_names_changed(request, support, tmp_path):
    """Write a configuration whose prices were changed by a function: simulated ones, or stocks that died."""
    if request.param == "real":
        return request.getfixturevalue("died")
    write = request.getfixturevalue("simulated")

    def changed(change, **tables):
        prices = rs.load_prices(
            source="simulated",
            seed=5,
            n_tickers=60,
            start="2010-01-01",
            end="2015-12-31",
            listing_fraction=0.2,
            delisting_fraction=0.4,
        )
        change(prices).frame.reset_index().to_parquet(tmp_path / "changed.parquet")
        path = write(**tables)
        settings = tomllib.loads(path.read_text())
        settings["prices"] = {"source": "files", "path": str(tmp_path / "changed.parquet")}
        path.write_text(tomli_w.dumps(settings))
        return path

    return changed


def test_dead_tickers_padded(with_names_changed):
    from audit_worlds import padded

    found = examined(with_names_changed(padded), "delisted-names")
    failed(found, "delisted-names", "after")
    assert examined(with_names_changed(lambda prices: prices), "delisted-names").passed


def test_a_universe_of_survivors(with_names_changed):
    def survivors(prices):
        last = prices.frame.reset_index().groupby("ticker", observed=True)["date"].max()
        alive = last.index[last == last.max()]
        kept = prices.frame[prices.frame.index.get_level_values("ticker").isin(alive)]
        return rs.check_prices(kept, raw_known=prices.raw_known)

    failed(examined(with_names_changed(survivors), "survivorship"), "survivorship")
    assert examined(with_names_changed(lambda prices: prices), "survivorship").passed
