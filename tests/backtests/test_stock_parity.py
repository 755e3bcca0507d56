"""On a market without gaps our feeds, broker, strategy and ledger give the bits of plain backtrader.

The reference is what everybody writes: PandasData, the stock broker, a strategy that ranks and orders in `next`.
"""

from __future__ import annotations

import math

import backtrader as bt
import numpy as np
import pytest

import rnn_strategies as rs

COMMISSION, SLIPPAGE, CASH = 0.001, 0.0005, 1e6


class Reference(bt.Strategy):
    """Top and bottom names by score, equal weights; written without any of our functions."""

    params = (("table", None), ("k", 5), ("short", False), ("gross", 0.98), ("single", 0.0))

    def __init__(self):
        self.values, self.held, self.fills, self.statuses = [], [], [], []

    def notify_order(self, order):
        if order.executed.size:
            for bit in order.executed.iterpending():
                self.fills.append((bt.num2date(bit.dt).date(), order.data._name, bit.size, bit.price, bit.comm))
        if not order.alive():
            self.statuses.append((order.ref, order.data._name, order.getstatusname()))

    def next(self):
        sizes = [self.getposition(data).size for data in self.datas]
        self.values.append(self.broker.getvalue())
        self.held.append([size * data.close[0] for size, data in zip(sizes, self.datas, strict=True)])
        scores = self.p.table.get(self.datetime.date(0))
        if scores is None:
            return
        ranked = sorted(range(len(self.datas)), key=lambda i: -scores[i])
        parts = dict.fromkeys(ranked[: self.p.k], 1.0 / self.p.k)
        if self.p.short:
            parts = dict.fromkeys(ranked[: self.p.k], 0.5 / self.p.k)
            parts |= dict.fromkeys(ranked[-self.p.k :], -0.5 / self.p.k)
        value = self.broker.getvalue() * self.p.gross
        changes = []
        for i, data in enumerate(self.datas):
            target = math.trunc(parts.get(i, 0.0) * value / data.close[0] * (1 + 1e-12))
            if target != sizes[i]:
                changes.append((i, target - sizes[i], sizes[i], target))

        def rank(change):
            _, delta, held, after = change
            if abs(after) < abs(held) and after * held >= 0:
                return 0 if delta < 0 else 1
            return 2 if delta < 0 else 3

        for i, delta, _, _ in sorted(changes, key=rank):
            (self.buy if delta > 0 else self.sell)(data=self.datas[i], size=abs(delta))


def stock(prices, signals, cash=CASH, **params):
    cerebro = bt.Cerebro(stdstats=False)
    for ticker in prices.tickers:
        cerebro.adddata(bt.feeds.PandasData(dataname=prices.frame.xs(ticker, level="ticker")), name=ticker)
    cerebro.broker.setcash(cash)
    cerebro.broker.setcommission(commission=COMMISSION)
    cerebro.broker.set_slippage_perc(SLIPPAGE, slip_open=True, slip_out=True)
    wide = signals["score"].unstack()
    table = {day.date(): row for day, row in zip(wide.index, wide.to_numpy(), strict=True)}
    cerebro.addstrategy(Reference, table=table, **params)
    return cerebro.run()[0]


@pytest.mark.parametrize(
    ("allocation", "params", "buffer"),
    [
        (rs.TopK(5, min_score=-math.inf), {}, 0.02),
        (rs.LongShortQuantile(0.2), {"short": True, "k": 4}, 0.02),
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
        (ticker, status) for _, ticker, status in sorted(reference.statuses)
    ]
    if buffer == 0.0:
        assert (done["status"] == "margin").sum() > 20
        assert any("short of cash" in reason for reason in done["reason"])
        assert any("refused" in line and "margin" in line for line in ours.warnings)


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
    allocation = {"allocation": rs.TopK(3, missing="hold")}
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
