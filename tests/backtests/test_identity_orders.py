"""Orders as odd as they come, and settings that change while they wait: what stock does, ours does, bit for bit."""

from __future__ import annotations

from copy import copy

import backtrader as bt
import numpy as np
import pytest
from diary import bits, lived, our_broker, our_feeds, pandas_feeds, statuses, stock_broker
from markets import build
from two_runs import COSTS, same_events

CHANGES = {
    "commission": lambda broker: broker.setcommission(commission=0.01),
    "slippage": lambda broker: broker.set_slippage_perc(0.01),
    "future": lambda broker: broker.setcommission(commission=5.0, margin=100.0, mult=2.0, name="B"),
    "own scheme": lambda broker: broker.addcommissioninfo(bt.CommInfoBase(commission=2.0, margin=50.0, mult=3.0)),
    "coc": lambda broker: broker.set_coc(True),
    "coo": lambda broker: broker.set_coo(True),
    "unchecked": lambda broker: broker.set_checksubmit(False),
    "filler": lambda broker: broker.set_filler(bt.broker.fillers.FixedSize(size=20)),
    "cash": lambda broker: broker.setcash(1e5),
    "shorts as a cost": lambda broker: broker.set_shortcash(False),
    "cash taken by hand": lambda broker: setattr(broker, "cash", broker.cash - 500.0),
}


@pytest.mark.parametrize("change", CHANGES)
def test_settings_that_change_during_the_run(change):
    prices = build(4, 60, seed=22)

    class Changes(bt.Strategy):
        def next(self):
            for j, data in enumerate(self.datas):
                if len(self) % (3 + j) == 0:
                    self.order_target_percent(data, 0.2 if len(self) % 2 else -0.1)
            if len(self) == 20:
                CHANGES[change](self.broker)

    same_events(prices, lambda cerebro: cerebro.addstrategy(Changes))


def test_families_of_market_orders():
    """Parents, children and companions of market orders, sent or on their way, over or cancelled, in any order."""
    prices = build(4, 70, seed=23)

    class Families(bt.Strategy):
        def __init__(self):
            self.last = {}

        def notify_order(self, order):
            if order.status == order.Completed and order.isbuy() and len(self) % 2:
                price = order.executed.price * 1.01
                self.sell(data=order.data, size=1, exectype=bt.Order.Limit, price=price, oco=order)
            if order.status == order.Accepted and len(self) % 5 == 0:
                self.cancel(order)

        def next(self):
            for j, data in enumerate(self.datas):
                if len(self) % (3 + j) == 0:
                    old = self.last.get(j)
                    self.last[j] = order = self.buy(data=data, size=4)
                    self.sell(data=data, size=2, parent=order)
                    self.buy(data=data, size=1, oco=order)
                    if old is not None:
                        self.sell(data=data, size=1, oco=old, exectype=bt.Order.Limit, price=data.close[0] * 1.01)
                    if len(self) % 2:
                        self.cancel(order)
                if len(self) % (5 + j) == 0:
                    head = self.buy(data=data, size=5, transmit=False)
                    stop = {"exectype": bt.Order.Stop, "price": data.close[0] * 0.98}
                    self.sell(data=data, size=5, parent=head, transmit=False, **stop)
                    self.sell(data=data, size=5, parent=head, exectype=bt.Order.Limit, price=data.close[0] * 1.02)

    for rules in ({}, {"checksubmit": False}):
        events = same_events(prices, lambda cerebro: cerebro.addstrategy(Families), account=COSTS | {"rules": rules})
    assert {"Completed", "Canceled"} <= set(statuses(events))


def test_orders_given_by_position_of_their_arguments():
    prices = build(2, 40, seed=24)

    class ByPosition(bt.Strategy):
        def next(self):
            for data in self.datas:
                self.buy(data, 5, data.close[0] * 1.1)
                self.sell(data, 2, None, None, bt.Order.Market)
                self.broker.buy(self, data, 3)
                self.broker.sell(self, data, 1, None, None, None, None, 2)
                self.broker.buy(self, data, size=4, oco=None, parent=None, transmit=True)

    same_events(prices, lambda cerebro: cerebro.addstrategy(ByPosition))


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("size", [0, -3, True, np.int64(3), np.float64(2.5), 1e-9, 1e15, NAN, INF], ids=str)
@pytest.mark.parametrize("price", [None, 0.0, 1e-9, NAN], ids=str)
def test_orders_that_cannot_be_meant(size, price):
    prices = build(2, 30, seed=25)

    class Odd(bt.Strategy):
        def next(self):
            self.buy(data=self.datas[0], size=7)
            if len(self) == 10:
                self.buy(data=self.datas[1], size=size, price=price)
                self.sell(data=self.datas[0], size=size, price=price)

    same_events(prices, lambda cerebro: cerebro.addstrategy(Odd))


class Faces(bt.Strategy):
    """Writes down all that an order can be asked for, at every notification."""

    def __init__(self):
        self.faces = []

    def next(self):
        for j, data in enumerate(self.datas):
            if len(self) % (2 + j) == 0:
                self.buy(data=data, size=3 + j, tradeid=j, why="because")
            if len(self) % (3 + j) == 0:
                self.sell(data=data, size=5)

    def notify_order(self, order):
        face = {}
        for name in dir(order):
            # running numbers differ by run, `p` holds what the others show
            if name.startswith("__") or name in ("ref", "refbasis", "params", "p"):
                continue
            value = getattr(order, name)
            face[name] = type(value).__name__ if callable(value) else bits(value)
        for name in ("created", "executed"):
            part = getattr(order, name)
            shown = [key for key in dir(part) if not key.startswith("__") and not callable(getattr(part, key))]
            face[name] = {key: bits(getattr(part, key)) for key in shown if key != "exbits"}
        given = order.p._getkwargs()
        face["parameters"] = {name: bits(given[name]) for name in given if name not in ("owner", "data")}
        face["text"] = [line for line in str(order).splitlines() if not line.startswith(("Ref", "CommInfo", "Broker"))]
        face["asked"] = (order.alive(), order.active(), order.isbuy(), order.issell(), order.getstatusname())
        face["again"] = (order == order.clone(), order != copy(order), order.getordername(), order.brokerstatus())
        unequal = ("owner", "data", "comminfo", "broker", "params", "info")
        self.faces.append({name: value for name, value in face.items() if name not in unequal})
        self.faces[-1]["info"] = dict(order.info)
        self.faces[-1]["data"] = order.data._name, type(order.owner), order.p.data is order.data


def test_the_face_of_an_order():
    """Attributes of stock backtrader's orders exist on ours, with equal values."""
    prices = build(3, 30, seed=19)
    faces = []
    for feeds, broker in ((our_feeds, our_broker), (pandas_feeds, stock_broker)):
        _, ran = lived(feeds(prices), broker(), lambda cerebro: cerebro.addstrategy(Faces))
        faces.append(ran.faces)
    ours, theirs = faces
    assert len(ours) == len(theirs) > 50
    for mine, stocks in zip(ours, theirs, strict=True):
        missing = set(stocks) - set(mine)
        assert not missing
        assert {name: mine[name] for name in stocks} == stocks
