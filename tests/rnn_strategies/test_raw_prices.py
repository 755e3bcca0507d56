"""Runs on raw prices: splits and dividends in the account, their files, and verification."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest

import rnn_strategies as rs
from rnn_strategies.audit.perturbed_inputs import Inputs, cut, poisoned
from rnn_strategies.config.panel_config import parse_config
from signals.common.errors import InputError
from signals.data.corporate_actions import actions_frame
from signals.dataset.dataset import ReferenceData


@pytest.fixture
def config(support, tmp_path, monkeypatch):
    """Configuration of a run on simulated prices with many splits; drawing takes most of the time."""
    from configs import SMALL

    monkeypatch.setattr(
        "rnn_strategies.pipelines.panel_run.write_report", lambda run: (run / "report.html").write_text("-")
    )
    text = SMALL.replace("n_tickers = 40", "n_tickers = 12\nsplit_rate = 0.9")
    text = text.replace('allocation = "TopK"\nk = 8', 'allocation = "EqualWeight"').replace("seed = 3", "seed = 11")
    text = text.replace('"2012-01-01"', '"2012-09-01"').replace('"2015-12-31"', '"2014-12-31"')
    text = text.replace("min_history = 60", "min_history = 40").replace("seeds = [0, 1]", "seeds = [0]")
    (tmp_path / "c.toml").write_text(text + 'dividends = "cash"\n')
    return tmp_path / "c.toml"


def test_a_run_on_raw_prices_is_made_and_verified(config, tmp_path):
    from verified import assert_verified

    overrides = ["broker.fractional=true"]
    raw = rs.run(config, out=tmp_path / "raw", overrides=overrides, jobs=1)
    flows = raw.result.cash_flows
    assert set(flows["kind"]) == {"split"}
    assert len(flows) >= 2
    assert raw.prices.actions is not None
    assert raw.result.settings["broker"]["dividends"] == "cash"
    raw.result.check()
    assert_verified(raw.folder)

    # splits alone change nothing in an account that holds parts of shares
    adjusted = rs.run(config, out=tmp_path / "adj", overrides=[*overrides, 'broker.dividends="adjusted"'], jobs=1)
    assert len(adjusted.result.cash_flows) == 0
    np.testing.assert_allclose(raw.result.returns, adjusted.result.returns, rtol=0, atol=1e-11)


@pytest.fixture(scope="module")
def market():
    """Prices with many splits, a dividend of every ticker each quarter, and scores."""
    prices = rs.load_prices(
        source="simulated", seed=11, n_tickers=8, split_rate=0.9, start="2013-01-02", end="2014-06-30"
    )
    panel = prices.panel()
    paid = [(day, ticker, 1.0, 0.05) for ticker in prices.tickers for day in panel.dates[20::63]]
    splits = prices.actions.reset_index().itertuples(index=False, name=None)
    prices = replace(prices, actions=actions_frame([*paid, *splits]))
    dates = pd.DatetimeIndex(panel.dates[::5].astype("datetime64[ns]"))
    index = pd.MultiIndex.from_product([dates, prices.tickers], names=["date", "ticker"])
    scores = pd.DataFrame({"score": np.random.default_rng(0).normal(size=len(index))}, index=index)
    return prices, scores[scores.index.isin(prices.frame.index)]


@pytest.mark.parametrize("day", ["2013-07-09", "2013-10-17", "2014-03-03"])
@pytest.mark.parametrize("future", [cut, partial(poisoned, seed=1)])
def test_accounts_on_raw_prices_know_no_later_split(market, day, future):
    prices, scores = market
    day = np.datetime64(day)
    other = future(Inputs(prices, ReferenceData()), day).prices
    assert future is cut or len(other.actions) > len(prices.until(day).actions)
    broker = rs.BrokerSettings(cash=1e5, commission=0.001, slippage=0.0, borrow_rate=0.01, dividends="cash")
    runs = []
    for known in (prices, other):
        asked = scores[(scores.index.get_level_values("date") <= day) & scores.index.isin(known.frame.index)]
        runs.append(rs.run_backtest(known, asked, allocation=rs.LongShortQuantile(0.3), broker=broker))
    utc = pd.Timestamp(day, tz="UTC")
    one, two = runs
    assert len(one.cash_flows[:utc]) > 5
    for name in ("returns", "transactions", "cash_flows"):
        before, after = (getattr(result, name)[:utc] for result in runs)
        assert before.to_numpy().tolist() == after.to_numpy().tolist()
    names = list(one.positions.columns)
    assert one.positions[:utc].to_numpy().tobytes() == two.positions.reindex(columns=names)[:utc].to_numpy().tobytes()


def with_files(config, more=""):
    """The configuration with prices from a file."""
    text = config.read_text()
    start, end = text.index("[prices]"), text.index("[universe]")
    return text[:start] + f'[prices]\nsource = "files"\npath = "prices.parquet"\n{more}\n' + text[end:]


def test_prices_without_actions_are_refused_before_anything_is_trained(config, tmp_path, monkeypatch):
    monkeypatch.setattr("rnn_strategies.pipelines.panel_run.compute_signals", None)
    prices = rs.load_prices(source="simulated", n_tickers=12, start="2012-09-01", end="2014-12-31")
    config.write_text(with_files(config))
    prices.frame.drop(columns="adj_factor").to_parquet(tmp_path / "prices.parquet")
    with pytest.raises(InputError, match=r"raw prices are known; found adjusted ones alone; .*broker\.dividends"):
        rs.run(config, out=tmp_path / "none", jobs=1)
    prices.frame.to_parquet(tmp_path / "prices.parquet")
    with pytest.raises(
        InputError, match=r"whose splits and dividends are known; found none; .*prices\.corporate_actions"
    ):
        rs.run(config, out=tmp_path / "none", jobs=1)


def test_a_file_of_actions_is_named_relative_to_the_configuration(config, tmp_path):
    tables = tomllib.loads(with_files(config, 'corporate_actions = "actions.csv"'))
    found = parse_config(tables, base=tmp_path / "sub")
    assert found.prices["corporate_actions"] == str((tmp_path / "sub" / "actions.csv").resolve())
    # where a file lies is no setting: what is in it is part of the prices, and of their hash
    assert found.identity == parse_config(tables, base=tmp_path / "other").identity
