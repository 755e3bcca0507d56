"""On a market without gaps our feeds, broker, strategy and ledger give the bits of plain backtrader.

The reference is what everybody writes: PandasData, the stock broker, a strategy that ranks and orders in `next`.
"""

from __future__ import annotations

import math

import backtrader as bt
import numpy as np
import pytest
from reference_strategies import Reference, table_of

import rnn_strategies as rs

COMMISSION, SLIPPAGE, CASH = 0.001, 0.0005, 1e6


def stock(prices, signals, cash=CASH, **params):
    cerebro = bt.Cerebro(stdstats=False)
    for ticker in prices.tickers:
        cerebro.adddata(bt.feeds.PandasData(dataname=prices.frame.xs(ticker, level="ticker")), name=ticker)
    cerebro.broker.setcash(cash)
    cerebro.broker.setcommission(commission=COMMISSION)
    cerebro.broker.set_slippage_perc(SLIPPAGE, slip_open=True, slip_out=True)
    cerebro.addstrategy(Reference, table=table_of(signals), guard=False, **params)
    return cerebro.run()[0]


@pytest.mark.parametrize(
    ("allocation", "params", "buffer"),
    [
        (rs.TopK(5, min_score=-math.inf), {}, 0.02),
        (rs.LongShortQuantile(0.2), {"kind": "both ends"}, 0.02),
        # fully invested: openings above the close make purchases fail for lack of cash
        (rs.TopK(5, min_score=-math.inf), {"gross": 1.0}, 0.0),
    ],
    ids=["long", "long-short", "rejections"],
)
def test_bit_for_bit(random_prices, random_scores, allocation, params, buffer):
    prices = random_prices(20, 250, seed=3)
    signals = random_scores(prices)
    broker = rs.BrokerSettings(cash=CASH, commission=COMMISSION, slippage=SLIPPAGE, borrow_rate=0.0, cash_buffer=buffer)
    ours = rs.run_backtest(prices, signals, allocation=allocation, broker=broker)
    reference = stock(prices, signals, **params)

    skipped = 250 - len(ours.returns)  # the reference also sees the days before the first decision
    values = np.array(reference.values)
    assert set(values[:skipped]) == {CASH}
    returns = values[skipped:] / np.r_[CASH, values[skipped:-1]] - 1.0
    assert ours.returns.to_numpy().tobytes() == returns.tobytes()
    assert ours.positions.iloc[:, :-1].to_numpy().tobytes() == np.array(reference.held, float)[skipped:].tobytes()
    fills = ours.transactions
    found = list(
        zip(fills.index.date, fills["symbol"], fills["amount"], fills["price"], fills["commission"], strict=True)
    )
    assert found == reference.fills
    assert len(found) > 200

    names = {"filled": "Completed", "margin": "Margin", "rejected": "Rejected", "partial": "Margin"}
    done = ours.orders[ours.orders["status"] != "open"]
    assert [(row.ticker, names[row.status]) for row in done.itertuples()] == [
        (ticker, status) for _, ticker, status in sorted(reference.ends)
    ]
    if buffer == 0.0:
        assert (done["status"] == "margin").sum() > 20
        assert any("short of cash" in reason for reason in done["reason"])
        assert any("rejected" in line and "margin" in line for line in ours.warnings)


def test_with_the_stock_broker_too(random_prices, random_scores, my_cerebro, settings):
    """Feeds, strategy and ledger of ours around backtrader's own broker: the same account."""
    prices = random_prices(10, 120, seed=4)
    signals = random_scores(prices)
    broker = bt.brokers.BackBroker(cash=CASH)
    broker.setcommission(commission=COMMISSION)
    broker.set_slippage_perc(SLIPPAGE, slip_open=True, slip_out=True)
    options = {"allocation": rs.TopK(3), "signals": signals}
    _, theirs = my_cerebro(prices, rs.SignalStrategy, broker, options=options)
    _, ours = my_cerebro(prices, rs.SignalStrategy, settings(), options=options)
    assert theirs.returns.equals(ours.returns)
    assert theirs.positions.equals(ours.positions)
    assert theirs.transactions.equals(ours.transactions)
    assert theirs.orders.equals(ours.orders)


def test_signals_from_a_frame_and_from_the_line_agree(random_prices, random_scores, my_cerebro, settings):
    prices = random_prices(8, 120, seed=6, gaps=0.1, deaths=0.3)
    signals = random_scores(prices, share=0.8)
    allocation = {"allocation": rs.TopK(3, on_missing_score="hold")}
    _, line = my_cerebro(prices, rs.SignalStrategy, settings(), signals=signals, options=allocation)
    _, frame = my_cerebro(prices, rs.SignalStrategy, settings(), options={**allocation, "signals": signals})
    assert line.orders.equals(frame.orders)
    assert len(line.orders) > 50
    # the live path of backtrader has no clock of its own, but here some ticker trades on every session
    _, live = my_cerebro(prices, rs.SignalStrategy, settings(), signals=signals, options=allocation, runonce=False)
    assert live.orders.equals(line.orders)
    assert live.returns.equals(line.returns)


def test_it_can_fail(random_prices, random_scores):
    """The comparison notices a commission that is off by a hundredth of a basis point."""
    prices = random_prices(20, 60, seed=3)
    signals = random_scores(prices)
    broker = rs.BrokerSettings(cash=CASH, commission=COMMISSION + 1e-6, slippage=SLIPPAGE)
    ours = rs.run_backtest(prices, signals, allocation=rs.TopK(5, min_score=-math.inf), broker=broker)
    assert ours.positions.sum(axis=1).iloc[-1] != stock(prices, signals).values[-1]
