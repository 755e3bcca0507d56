"""Comparison of the default broker with a strategy on stock backtrader that applies its rules by hand."""

from __future__ import annotations

import backtrader as bt
import numpy as np
from diary import pandas_feeds, quiet
from reference_strategies import Reference, table_of

import rnn_strategies as rs


def held_against_the_reference(prices, signals, allocation, params, *, delist_after=5, haircut=0.0, compat=(), **mode):
    """Hold values, cash, positions, fills and ends of orders against `Reference` on stock; gives the result of ours.

    `params` are those of `Reference`, which have to mean what the allocation means.
    """
    params = dict(params)
    gross = params.pop("gross", 0.98)
    costs = {"cash": 1e6, "commission": 0.001, "slippage": 0.0005}
    settings = rs.BrokerSettings(
        **costs,
        borrow_rate=0.0,
        cash_buffer=1.0 - gross if gross != 0.98 else 0.02,
        delist_after_sessions=delist_after,
        delist_haircut=haircut,
    )
    cerebro = bt.Cerebro(stdstats=False)
    rs.add_prices(cerebro, prices)
    cerebro.setbroker(rs.Broker(settings, compat=compat))
    cerebro.addstrategy(rs.SignalStrategy, allocation=allocation, signals=signals)
    cerebro.addanalyzer(rs.AccountRecorder)
    with quiet():
        ours = cerebro.run(**mode)[0].analyzers.accountrecorder.result()

    cerebro = bt.Cerebro(stdstats=False)
    pandas_feeds(prices)(cerebro)
    cerebro.broker.setcash(costs["cash"])
    cerebro.broker.setcommission(commission=costs["commission"])
    cerebro.broker.set_slippage_perc(costs["slippage"], slip_open=True, slip_out=True)
    cerebro.addstrategy(
        Reference, table=table_of(signals), gross=gross, delist_after=delist_after, haircut=haircut, **params
    )
    stock = cerebro.run()[0]

    values = np.array(stock.values)
    returns = values / np.r_[costs["cash"], values[:-1]] - 1.0
    assert ours.returns.to_numpy().tobytes() == returns.tobytes()
    assert ours.positions["cash"].to_numpy().tobytes() == np.array(stock.cash).tobytes()
    assert ours.positions.iloc[:, :-1].to_numpy().tobytes() == np.array(stock.held, float).tobytes()
    fills = ours.transactions
    ours_fills = zip(
        fills.index.date, fills["symbol"], fills["amount"], fills["price"], fills["commission"], strict=True
    )
    assert sorted(ours_fills) == sorted(stock.fills)
    names = {"filled": "Completed", "margin": "Margin", "expired": "Expired", "liquidated": "Completed"}
    names |= {"partial": "Margin"}
    done = ours.orders[ours.orders["status"] != "open"]
    ends = {ref: (ticker, status) for ref, ticker, status in stock.ends}
    found = [(order.ticker, names[order.status]) for order in done.itertuples()]
    assert found == [ends[ref] for ref in sorted(ends)]
    return ours
