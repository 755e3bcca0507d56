"""`Broker(compat=True)` on our feeds is backtrader, bit for bit: every order status, trade, fill, value, in order.

Here on full rectangles, where every ticker has a bar on every session; `test_identity_gaps.py` takes them away.
"""

from __future__ import annotations

import backtrader as bt
import numpy as np
import pandas as pd
import pytest
from diary import assert_same, difference, lived, our_broker, our_feeds, pandas_feeds, statuses, stock_broker
from markets import build, random_flow, set_account
from reference_strategies import Flow, Reference, flow, table_of
from two_runs import COSTS, same_events

import rnn_strategies as rs


def scored(prices, *, every=5, seed=1):
    """Normal scores of every ticker on every so many sessions."""
    rng = np.random.default_rng(seed)
    days = np.unique(prices.frame.index.get_level_values("date"))[4::every]
    index = prices.frame.index[prices.frame.index.get_level_values("date").isin(days)]
    return pd.DataFrame({"score": rng.normal(size=len(index))}, index=index)


def reference(prices, **params):
    every = params.pop("every", 5)
    table = table_of(scored(prices, every=every))
    return lambda cerebro: cerebro.addstrategy(Reference, table=table, guard=False, **params)


KINDS = {
    "top": {"kind": "top", "k": 5},
    "both ends": {"kind": "both ends", "quantile": 0.2},
    "threshold": {"kind": "threshold"},
}


@pytest.mark.parametrize("runonce", [True, False], ids=["vectorised", "bar by bar"])
@pytest.mark.parametrize("kind", KINDS)
def test_rotations(kind, runonce):
    prices = build(20, 150, seed=3)
    events = same_events(prices, reference(prices, **KINDS[kind]), runonce=runonce, least=500)
    assert set(statuses(events)) == {"Completed"}
    assert sum(event[0] == "trade" for event in events) > 200


@pytest.mark.parametrize("kind", KINDS)
def test_rotations_with_a_thousand_refusals(kind):
    prices = build(40, 110, seed=4)
    crowded = {"gross": 20.0, "first": "purchases"} if kind != "top" else {"k": 15, "gross": 1.7, "first": "feeds"}
    strategy = reference(prices, every=1, **(KINDS[kind] | crowded))
    events = same_events(prices, strategy)
    assert statuses(events)["Margin"] > 1000
    assert statuses(events)["Completed"] > 100


@pytest.mark.parametrize("kind", ["top", "threshold"])
def test_refusals_while_an_order_fills(kind):
    """Orders are accepted at the close and too expensive at the open; orders through zero fill in part."""
    prices = build(6, 200, seed=5, volatility=0.06)
    rules = {"k": 2, "gross": 1.0} if kind == "top" else {"long": 0.2, "short": -0.2, "gross": 3.0}
    account = {"cash": 2e4, "commission": 0.001}
    events = same_events(prices, reference(prices, every=1, kind=kind, **rules), account=account)
    orders = [event[1] for event in events if event[0] == "order"]
    accepted = {order[0] for order in orders if order[4] == "Accepted"}
    late = [order for order in orders if order[4] == "Margin" and order[0] in accepted]
    partly = [order for order in orders if order[4] == "Partial"]
    assert len(late) > 20 if kind == "top" else len(partly) > 3


def test_signal_strategy_is_the_same_strategy_on_both():
    prices = build(20, 150, seed=6)
    signals = scored(prices)
    allocation = rs.LongShortQuantile(0.2, gross=1.5, max_turnover=0.7)

    def strategy(cerebro):
        cerebro.addstrategy(rs.SignalStrategy, allocation=allocation, signals=signals)

    events = same_events(prices, strategy, least=500)
    assert statuses(events)["Completed"] > 100


@pytest.mark.parametrize("touch", [True, False])
def test_reversals_through_zero(touch):
    """Closing and opening are booked apart: two commissions, two trades, one order."""
    prices = build(3, 80, seed=7)

    class Reverse(bt.Strategy):
        def next(self):
            for j, data in enumerate(self.datas):
                if len(self) % (3 + j) == 0:
                    up = (len(self) // (3 + j)) % 2
                    self.order_target_percent(data, 0.3 if up else -0.25)

    events = same_events(prices, lambda cerebro: cerebro.addstrategy(Reverse), touch=touch)
    flips = [event[1] for event in events if event[0] == "trade" and dict(event[1][2:15])["justopened"]]
    assert len(flips) > 40


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("touch", [True, False])
def test_every_kind_of_order(seed, touch):
    prices = build(5, 120, seed=seed)
    todo = random_flow(seed, 120, 5, per_session=3.0)
    events = same_events(prices, flow(todo), account={"cash": 7e4, "commission": 0.001}, touch=touch, least=300)
    found = {event[1][3] for event in events if event[0] == "order"}
    assert found == {"Market", "Close", "Limit", "Stop", "StopLimit", "StopTrail", "StopTrailLimit"}
    ends = statuses(events)
    assert min(ends[name] for name in ("Completed", "Canceled", "Expired", "Margin")) >= 3


def test_the_order_of_additions_is_that_in_which_positions_are_first_looked_at():
    """Stock adds worths up in the order of the first look at a position, which shows in the last bits of the value."""
    prices = build(8, 120, seed=8, volatility=0.03)
    rng = np.random.default_rng(0)
    orders = [rng.permutation(8).tolist() for _ in range(6)]
    seen = set()
    for order in orders:

        class Buys(bt.Strategy):
            params = (("order", order),)

            def next(self):
                if len(self) <= 8:
                    self.buy(data=self.datas[self.p.order[len(self) - 1]], size=997)

        events = same_events(prices, lambda cerebro, kind=Buys: cerebro.addstrategy(kind), account=COSTS)
        seen.add(events[-5][2] if events[-5][0] == "close" else next(e[2] for e in reversed(events) if e[0] == "close"))
    assert len(seen) > 1  # it does matter


ACCOUNTS = {
    "stock's own": {},
    "free": {"cash": 1e6},
    "slippage within the bar": COSTS | {"slippage": ("perc", 0.01, {})},
    "slippage or nothing": COSTS | {"slippage": ("perc", 0.01, {"slip_match": False})},
    "slippage or nothing, limits too": COSTS | {"slippage": ("perc", 0.01, {"slip_match": False, "slip_limit": False})},
    "slippage of pennies": COSTS | {"slippage": ("fixed", 0.07, {})},
    "slippage, not at the open": COSTS | {"slippage": ("perc", 0.01, {"slip_open": False})},
    "unchecked": COSTS | {"rules": {"checksubmit": False}},
    "cheating on the close": COSTS | {"rules": {"coc": True}},
    "shorts as a cost": COSTS | {"rules": {"shortcash": False}},
    "fund": COSTS | {"rules": {"fundmode": True}},
    "interest": COSTS | {"interest": (0.05, False)},
    "interest on longs too": COSTS | {"interest": (0.5, True)},
    "interest apart": COSTS | {"interest": (0.5, True), "rules": {"int2pnl": False}},
    "a few shares a bar": COSTS | {"filler": "fixed"},
    "a tenth of the bar": COSTS | {"filler": "percentage"},
    "what traded at the price": COSTS | {"filler": "range"},
}


@pytest.mark.parametrize("account", ACCOUNTS)
def test_whatever_is_set_on_a_broker_of_stock(account):
    prices = build(4, 100, seed=9)
    todo = random_flow(9, 100, 4, per_session=2.0)
    same_events(prices, flow(todo), account=ACCOUNTS[account], touch=True, least=150)


@pytest.mark.parametrize("option", ["cheat_on_open", "quicknotify", "tradehistory", "oldsync"])
def test_whatever_is_set_on_a_cerebro(option):
    prices = build(4, 80, seed=10)
    todo = random_flow(10, 80, 4, per_session=2.0)
    same_events(prices, flow(todo), cerebro_options={option: True}, touch=True, least=120)


def test_orders_at_the_open_by_cheating():
    prices = build(3, 60, seed=11)

    class AtTheOpen(bt.Strategy):
        def next_open(self):
            for j, data in enumerate(self.datas):
                if len(self) % (4 + j) == 0:
                    self.order_target_percent(data, 0.2 if len(self) % 8 else -0.1)

    options = {"cheat_on_open": True}
    same_events(prices, lambda cerebro: cerebro.addstrategy(AtTheOpen), cerebro_options=options)


SIZERS = {
    "fixed": (bt.sizers.FixedSize, {"stake": 7}),
    "reverser": (bt.sizers.FixedReverser, {"stake": 7}),
    "target": (bt.sizers.FixedSizeTarget, {"stake": 20}),
    "percent": (bt.sizers.PercentSizer, {"percents": 15}),
    "percent int": (bt.sizers.PercentSizerInt, {"percents": 15}),
    "all in": (bt.sizers.AllInSizer, {"percents": 95}),
    "all in int": (bt.sizers.AllInSizerInt, {}),
}


@pytest.mark.parametrize("sizer", SIZERS)
def test_sizers(sizer):
    prices = build(3, 80, seed=12)
    todo = random_flow(12, 80, 3, per_session=1.5, kinds=("sizer", "sizer", "flatten", "target percent"))
    kind, options = SIZERS[sizer]
    same_events(prices, flow(todo), more=lambda cerebro: cerebro.addsizer(kind, **options), least=60)


def test_deposits_and_withdrawals():
    prices = build(3, 60, seed=13)

    class Saver(bt.Strategy):
        def next(self):
            if len(self) % 10 == 3:
                self.broker.add_cash(1000.0 if len(self) % 20 == 3 else -500.0)
            self.order_target_percent(self.datas[len(self) % 3], 0.3)

    for fundmode in (True, False):
        same_events(prices, lambda c: c.addstrategy(Saver), account=COSTS | {"rules": {"fundmode": fundmode}})


def test_several_strategies_share_an_account():
    prices = build(4, 80, seed=14)

    def strategies(cerebro):
        cerebro.addstrategy(Flow, todo=tuple(random_flow(1, 80, 4)))
        cerebro.addstrategy(Flow, todo=tuple(random_flow(2, 80, 4)))

    same_events(prices, strategies, least=100)


def test_settings_with_compat_are_set_as_on_stock():
    """Cash, commission and slippage of `BrokerSettings`, and nothing else of them."""
    prices = build(5, 100, seed=15)
    todo = random_flow(15, 100, 5, per_session=2.0)
    settings = rs.BrokerSettings(cash=2e5, commission=0.002, slippage=0.004, max_participation_rate=0.001)
    account = set_account(cash=2e5, commission=0.002, slippage=("perc", 0.004, {}))
    theirs, _ = lived(pandas_feeds(prices), stock_broker(), flow(todo), account=account)
    ours, _ = lived(our_feeds(prices), rs.Broker(settings, compat=True), flow(todo))
    assert_same(ours, theirs)


def test_our_broker_on_feeds_of_stock_and_the_broker_of_stock_on_ours():
    prices = build(5, 100, seed=16)
    todo = random_flow(16, 100, 5, per_session=2.0)
    account = set_account(**COSTS)
    theirs, _ = lived(pandas_feeds(prices), stock_broker(), flow(todo), account=account)
    for feeds, broker in ((pandas_feeds, our_broker), (our_feeds, stock_broker)):
        ours, _ = lived(feeds(prices), broker(), flow(todo), account=account)
        assert_same(ours, theirs)


class Ears(bt.Strategy):
    """Notifications that a strategy handles by itself, without an analyzer that handles them."""

    def __init__(self):
        self.events = []
        self._orders_before, self._trades_before = next(bt.Order.refbasis), next(bt.Trade.refbasis)

    def notify_order(self, order):
        self.events.append((order.ref - self._orders_before, order.getstatusname(), order.executed.size, order.isbuy()))

    def notify_trade(self, trade):
        self.events.append((trade.ref - self._trades_before, trade.size, trade.pnlcomm))

    def notify_cashvalue(self, cash, value):
        self.events.append((cash, value))

    def next(self):
        for j, data in enumerate(self.datas):
            if len(self) % (2 + j) == 0:
                self.order_target_value(data, 1000.0 * ((len(self) + j) % 5 - 2))


@pytest.mark.parametrize("whole", [True, False])
def test_what_the_strategy_alone_hears(whole):
    prices = build(3, 60, seed=17)

    def heard(feeds, broker):
        cerebro = bt.Cerebro(stdstats=False)
        feeds(cerebro)
        cerebro.setbroker(broker)
        kind = Ears if whole else type("Deaf", (Ears,), {"notify_order": bt.Strategy.notify_order})
        cerebro.addstrategy(kind)
        return cerebro.run()[0].events

    theirs = heard(pandas_feeds(prices), stock_broker())
    assert heard(our_feeds(prices), our_broker()) == theirs
    assert len(theirs) > 130


def test_it_can_fail():
    """A hundredth of a basis point of commission, one close a millionth off, one share more: all are noticed."""
    prices = build(4, 60, seed=18)
    todo = random_flow(18, 60, 4)
    theirs, _ = lived(pandas_feeds(prices), stock_broker(), flow(todo), account=set_account(**COSTS))
    dearer = set_account(**(COSTS | {"commission": 0.001 + 1e-6}))
    ours, _ = lived(our_feeds(prices), our_broker(), flow(todo), account=dearer)
    assert difference(ours, theirs) is not None
    frame = prices.frame.copy()
    frame.iloc[150, [1, 3]] = frame.iloc[150, 1] * (1 + 1e-6)
    ours, _ = lived(our_feeds(rs.check_prices(frame)), our_broker(), flow(todo), account=set_account(**COSTS))
    assert difference(ours, theirs) is not None
    assert difference(theirs[:-1], theirs) is not None
