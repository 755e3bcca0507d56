"""Runs on real prices whose orders are known to the last bit: what changes them is explained in the CHANGELOG.

The frozen value of a run is the SHA-256 of its list of orders, every field in full. When a change is meant, say in
CHANGELOG.md what it changes and why, and put the values that the failing test shows in the place of the old ones.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from functools import cache
from pathlib import Path

import backtrader as bt
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from diary import assert_same, lived, our_broker, our_feeds, pandas_feeds, statuses, stock_broker
from markets import set_account
from reference_strategies import Reference, table_of

import rnn_strategies as rs

# orders, fills, hash
FROZEN = {
    "top": (3309, 3287, "d8ade17c0506ce4c6761cd7c21581c554fea417002ea14ad3b1de86f0137113b"),
    "crowded_top": (3304, 3209, "035913ff11d3502b03c4caf6ca90fa026edfe8740883c1e2b847c0e89401424d"),
    "both_ends": (4147, 4121, "750888ff034a26fa440d45b8117b4f87ab48bb35f2478a0e7b5aa604fcaec22c"),
    "threshold": (3189, 3162, "b6044c4886bb95888d773986e1f357f48bcb169c14907dcd19450921ffc4fd38"),
    "delistings": (5551, 5512, "289ea8014100b8250ec9f7d931cb2eabccd60ae911dd868c290bf27857136f0f"),
    "brackets": (3309, 1015, "f2463f65b9c6f02f7b22654a4d7f2a4a09d372fcb9a8d6583f80fdb7ef8d84f4"),
    "dividends_in_cash": (265, 264, "ac73c82219ea0ec15cf98453c9865d665fac1bba5b27e7b32d4113520325dc4a"),
}


def fingerprint(result):
    """Number of orders and of fills, and the hash of the canonical order list."""
    lines = []
    for order in result.orders.itertuples(index=False):
        fields = (value.hex() if isinstance(value, float) else str(value) for value in order)
        lines.append("|".join(fields))
    return len(lines), len(result.transactions), hashlib.sha256("\n".join(lines).encode()).hexdigest()


@cache
def stocks(folder: Path):
    """A hundred of the most traded US stocks, 2014 to 2016."""
    path = folder / "us-stocks-daily" / "ohlcv_top600.parquet"
    tickers = sorted(set(pq.read_table(path, columns=["ticker"]).column(0).unique().to_pylist()))[::6]
    return repaired_prices(path, tickers, "2014-01-01", "2016-12-31")


@cache
def funds(folder: Path):
    """Thirty funds, 2010 to 2013."""
    path = folder / "us-etfs-daily" / "ohlcv.parquet"
    tickers = sorted(set(pq.read_table(path, columns=["ticker"]).column(0).unique().to_pylist()))
    return repaired_prices(path, tickers, "2010-01-01", "2013-12-31")


def repaired_prices(path, tickers, first, last):
    """Rows of a file, with highs and lows that hold open and close."""
    within = [
        ("ticker", "in", tickers),
        ("date", ">=", pd.Timestamp(first).date()),
        ("date", "<=", pd.Timestamp(last).date()),
    ]
    frame = pq.read_table(path, filters=within).to_pandas()
    frame = frame.astype({"ticker": str, "volume": float}).assign(date=pd.to_datetime(frame["date"]).astype("M8[ns]"))
    frame["high"] = frame[["open", "high", "low", "close"]].max(axis=1)
    frame["low"] = frame[["open", "high", "low", "close"]].min(axis=1)
    frame = frame.set_index(["date", "ticker"]).sort_index().assign(adj_factor=1.0)
    return rs.check_prices(frame)


@cache
def with_the_dead(folder: Path):
    """1,093 stocks of which 508 stop trading; every fourth of them."""
    path = folder / "us-stocks-with-delisted" / "daily.parquet"
    prices = rs.load_prices(source="files", path=path, return_column="ret", on_bad="repair")
    return rs.check_prices(prices.frame[prices.frame.index.get_level_values("ticker").isin(prices.tickers[::4])])


def momentum(prices, *, sessions=60, every=5):
    """Return of the last 60 bars' sessions on every fifth session, where both prices are known."""
    panel = prices.panel()
    rows = np.arange(sessions, len(panel.dates), every)
    score = panel.close[rows] / panel.close[rows - sessions] - 1.0
    dates = pd.DatetimeIndex(panel.dates[rows].astype("datetime64[ns]"), name="date")
    wide = pd.DataFrame(score, index=dates, columns=pd.Index(panel.tickers, name="ticker"))
    return wide.stack().dropna().rename("score").to_frame().sort_index()


class Waiting(bt.Strategy):
    """Buys what fell at a limit below, with a stop under it and a target over it, and forgets what it does not get."""

    def __init__(self):
        self.asked = {}

    def prenext(self):
        self.next()

    def next(self):
        for data in self.datas:
            if len(data) < 6 or data.datetime[0] != self.datetime[0]:
                continue
            close, position = data.close[0], self.getposition(data).size
            waiting = self.asked.get(data)
            if waiting is not None and any(order.alive() for order in waiting):
                continue
            if not position and close < 0.97 * data.close[-5]:
                size = int(20_000 / close)
                self.asked[data] = self.buy_bracket(
                    data=data,
                    size=size,
                    price=close * 0.99,
                    stopprice=close * 0.95,
                    limitprice=close * 1.03,
                    valid=self.datetime.date(0) + dt.timedelta(days=5),
                    stopargs={"valid": None},
                    limitargs={"valid": None},
                )


RETAIL = {
    "commission": 0.0,
    "slippage": 0.0,
    "commission_per_share": 0.005,
    "min_commission": 1.0,
    "half_spread": 0.0005,
    "volatility_slippage_coef": 0.1,
    "cash_interest_rate": 0.01,
    "margin_interest_rate": 0.06,
}
PLAIN = {"commission": 0.001, "slippage": 0.0005}


def top(folder):
    prices = stocks(folder)
    broker = rs.BrokerSettings(cash=1e6, **PLAIN)
    return rs.run_backtest(prices, momentum(prices), allocation=rs.TopK(20), broker=broker)


def crowded_top(folder):
    """No cash left over: the open is not the close, and some purchases are refused."""
    prices = stocks(folder)
    broker = rs.BrokerSettings(cash=1e6, cash_buffer=0.0, **PLAIN)
    return rs.run_backtest(prices, momentum(prices), allocation=rs.TopK(20), broker=broker)


def both_ends(folder):
    prices = stocks(folder)
    broker = rs.BrokerSettings(cash=3e5, borrow_rate=0.02, **RETAIL)
    allocation = rs.LongShortQuantile(0.1, gross=1.5, max_turnover=0.8)
    return rs.run_backtest(prices, momentum(prices), allocation=allocation, broker=broker)


def threshold(folder):
    prices = funds(folder)
    broker = rs.BrokerSettings(cash=5e4, fractional=True, borrow_rate=0.01, min_trade_value=100.0, **PLAIN)
    allocation = rs.Threshold(0.03, short=-0.05, max_weight=0.2)
    return rs.run_backtest(prices, momentum(prices), allocation=allocation, broker=broker)


def delistings(folder):
    prices = with_the_dead(folder)
    broker = rs.BrokerSettings(cash=1e7, delist_haircut=0.3, max_participation_rate=0.02, **PLAIN)
    allocation = rs.TopK(60, on_missing_score="hold")
    return rs.run_backtest(prices, momentum(prices, sessions=20, every=10), allocation=allocation, broker=broker)


def brackets(folder):
    prices = funds(folder)
    broker = rs.BrokerSettings(cash=3e5, borrow_rate=0.01, **PLAIN)
    return rs.run_backtest(prices, momentum(prices), allocation=None, strategy=Waiting, broker=broker)


def dividends_in_cash(folder):
    """Raw prices: splits change shares, dividends are paid."""
    sample = folder / "corporate-actions-sample"
    prices = rs.load_prices(source="files", path=sample, file_names="{ticker}_daily_raw", factor_files=sample)
    broker = rs.BrokerSettings(cash=1e5, dividends="cash", **RETAIL)
    rows = momentum(prices, sessions=120, every=20)
    return rs.run_backtest(prices, rows, allocation=rs.TopK(2), broker=broker, start="1999-01-01", end="2008-12-31")


RUNS = {run.__name__: run for run in (top, crowded_top, both_ends, threshold, delistings, brackets, dividends_in_cash)}


@cache
def result_of(name: str, folder: Path):
    return RUNS[name](folder)


@pytest.mark.parametrize("name", RUNS)
def test_orders_are_the_same_as_ever(name, shared_data):
    found = fingerprint(result_of(name, shared_data))
    assert found == FROZEN[name], (
        f"the orders of the golden run {name!r} changed: if that is meant, explain in CHANGELOG.md what changes and "
        f"why, and freeze {found!r}"
    )


def test_every_kind_of_end_is_among_them(shared_data):
    """Golden runs that leave a status out would not notice when it changes."""
    found = {status for name in RUNS for status in result_of(name, shared_data).orders["status"].unique()}
    assert found >= {"filled", "partial", "margin", "expired", "cancelled", "liquidated", "open"}


@pytest.mark.parametrize("market", [stocks, with_the_dead], ids=["stocks", "with the dead"])
@pytest.mark.parametrize("kind", ["top", "both ends"])
def test_compat_is_stock_on_real_prices(market, kind, shared_data):
    prices = market(shared_data)
    some = prices.tickers[::3] if market is with_the_dead else prices.tickers
    prices = prices.until(np.unique(prices.frame.index.get_level_values("date"))[150])
    prices = rs.check_prices(prices.frame[prices.frame.index.get_level_values("ticker").isin(some)].copy())
    table = table_of(momentum(prices, sessions=20, every=10))

    def strategy(cerebro):
        cerebro.addstrategy(Reference, table=table, kind=kind, k=20, gross=1.0, guard=False)

    account = set_account(cash=1e6, commission=0.001, slippage=("perc", 0.0005, {}))
    theirs, _ = lived(pandas_feeds(prices), stock_broker(), strategy, account=account)
    ours, _ = lived(our_feeds(prices), our_broker(), strategy, account=account)
    assert_same(ours, theirs)
    assert statuses(theirs)["Completed"] > 200
