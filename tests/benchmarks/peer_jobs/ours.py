"""Job in this project, with `run_backtest`."""

from __future__ import annotations

import numpy as np
from job import CASH, COMMISSION, PLACES, SLIPPAGE, do, imported

import rnn_strategies as rs
from tests.benchmarks.market import Market

BEGAN = imported()


def prepare(market):
    whole = Market(**market)
    return whole, whole.prices(), whole.signals()


def trade(prepared):
    market, prices, signals = prepared
    settings = rs.BrokerSettings(cash=CASH, commission=COMMISSION, slippage=SLIPPAGE)
    result = rs.run_backtest(prices, signals, allocation=rs.TopK(k=PLACES), broker=settings)
    fills = result.transactions
    days = fills.index.tz_localize(None).to_numpy().astype("datetime64[D]")
    return float(result.positions.iloc[-1].sum()), {
        "session": np.searchsorted(market.dates, days),
        "ticker": np.searchsorted(market.tickers, fills["symbol"].to_numpy(str)),
        "shares": fills["amount"].to_numpy(np.float64),
        "price": fills["price"].to_numpy(np.float64),
        "commission": fills["commission"].to_numpy(np.float64),
    }


do("this tree", prepare, trade, BEGAN)
