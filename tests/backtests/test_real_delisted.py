"""508 real stocks that stopped trading: each one that is held is cashed out, and the haircut matters."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import rnn_strategies as rs
from signals.calendar import decision_dates

CASH = 1e9


@pytest.fixture(scope="module")
def prices(shared_data):
    return rs.load_prices(
        source="files",
        path=shared_data / "us-stocks-with-delisted" / "daily.parquet",
        return_column="ret",
        on_bad="repair",
    )


@pytest.fixture(scope="module")
def ended(shared_data):
    """Ticker and last session of the 508, from the file itself."""
    table = pq.read_table(
        shared_data / "us-stocks-with-delisted" / "daily.parquet", columns=["date", "ticker", "ended"]
    )
    frame = table.to_pandas()
    return frame[frame["ended"]].groupby("ticker")["date"].max().astype("datetime64[ns]")


@pytest.fixture(scope="module")
def signals(prices, ended):
    """Every stock that will end has one score, on the first weekly date it trades on."""
    dates = decision_dates(prices.first, prices.last).astype("datetime64[ns]")
    index = prices.frame.index
    index = index[index.get_level_values("ticker").isin(ended.index) & index.get_level_values("date").isin(dates)]
    return pd.DataFrame({"score": 1.0}, index=index[~index.get_level_values("ticker").duplicated()])


@pytest.fixture(scope="module")
def results(prices, signals):
    """At most a thousandth of the account in each, kept until it dies, at three haircuts."""
    hold = rs.EqualWeight(on_missing_score="hold", max_weight=0.001)
    costs = {"cash": CASH, "commission": 0.001, "slippage": 0.0005, "fractional": True}
    return {
        haircut: rs.run_backtest(
            prices, signals, allocation=hold, broker=rs.BrokerSettings(**costs, delist_haircut=haircut)
        )
        for haircut in (0.0, 0.3, 1.0)
    }


def test_all_508_are_held_and_each_is_cashed_out_five_sessions_after_its_last_bar(prices, ended, results):
    assert len(ended) == 508
    panel = prices.panel()
    orders = results[0.0].orders
    dead = orders[orders["status"] == "liquidated"]
    bars = {ticker: np.flatnonzero(panel.traded[:, j]) for j, ticker in enumerate(panel.tickers)}
    # a name may also pause for five sessions and come back; the last liquidation is the one that counts here
    for ticker, last in dead.groupby("ticker")["executed"].max().items():
        day = int(np.searchsorted(panel.dates, np.datetime64(last, "D")))
        before = bars[ticker][bars[ticker] < day]
        assert day - before.max() == 5
    bought = set(orders["ticker"][(orders["side"] == "buy") & (orders["filled"] > 0)])
    assert len(bought) > 500  # a few have their last bar on the very day they would have been bought
    # the last sessions of the file are too few to call a name dead that ended just before them
    due = {ticker for ticker in bought if len(panel.dates) - 1 - bars[ticker].max() >= 5}
    assert set(dead["ticker"]) >= due
    assert len(due) > 490
    final = results[0.0].positions.iloc[-1]
    assert not final[sorted(due)].any()


def test_prices_and_haircuts_to_the_cent(prices, results):
    closes = prices.frame["close"]
    for haircut, result in results.items():
        dead = result.orders[result.orders["status"] == "liquidated"]
        for order in dead.itertuples():
            history = closes.xs(order.ticker, level="ticker")
            last = history[history.index < order.executed].iloc[-1]
            assert order.price == pytest.approx(last * (1.0 - haircut), rel=1e-12)
            assert order.side == "sell"


def test_haircuts_matter(results):
    final = {haircut: float((1.0 + result.returns).prod()) for haircut, result in results.items()}
    assert final[0.0] > final[0.3] + 0.05
    assert final[0.3] > final[1.0] + 0.1
    for result in results.values():
        assert result.stopped is None


def test_long_and_short_with_costs_balances(prices):
    rng = np.random.default_rng(4)
    dates = decision_dates(prices.first, prices.last).astype("datetime64[ns]")
    index = prices.frame.index
    index = index[index.get_level_values("date").isin(dates)]
    signals = pd.DataFrame({"score": rng.normal(size=len(index))}, index=index)
    broker = rs.BrokerSettings(
        cash=1e7, commission=0.001, slippage=0.0005, borrow_rate=0.03, delist_haircut=0.3, max_participation_rate=0.02
    )
    allocation = rs.LongShortQuantile(0.1, max_turnover=0.3)
    result = rs.run_backtest(prices, signals, allocation=allocation, broker=broker, start="2016-04-01")
    statuses = result.orders["status"].value_counts()
    assert statuses["liquidated"] > 10
    assert len(result.positions.columns) > 700
    assert (result.orders["type"] == "liquidation").sum() == statuses["liquidated"]
    result.check()
