"""Each rule of the broker alone: it changes what its description in `RULES` states, and nothing else.

`compat` names the rules that are off, so `set(RULES) - {name}` applies one. Each is compared with stock backtrader:
in a market made for it, where both are worked out by hand, and in an ordinary one, where both are the same to the bit.
"""

from __future__ import annotations

import datetime as dt

import backtrader as bt
import numpy as np
import pytest
from diary import assert_same, lived, our_feeds, pandas_feeds, statuses, stock_broker
from markets import QUIET_KINDS, build, random_flow, set_account
from reference_strategies import flow

import rnn_strategies as rs
from backtests.broker.broker import RuinWarning
from backtests.common.broker_rules import RULES
from signals.common.errors import InputError

NAN = float("nan")
MODEST = {"cash": 1e4, "commission": 0.0, "slippage": 0.0}


def only(*names, **settings):
    """Our broker with this rule only, or these."""
    return rs.Broker(rs.BrokerSettings(**(MODEST | settings)), compat=set(RULES) - set(names))


def stock(**settings):
    """The broker of stock with the same account."""
    broker = bt.brokers.BackBroker()
    settings = MODEST | settings
    set_account(cash=settings["cash"], commission=settings["commission"])(broker)
    if settings["slippage"]:
        broker.set_slippage_perc(settings["slippage"])
    return broker


class Plan(bt.Strategy):
    """Calls what is planned for a session with itself, and writes down what comes of it."""

    params = (("plan", {}),)

    def __init__(self):
        self.session = -1
        self.values, self.cash, self.fills, self.ends, self.comm = [], [], [], {}, {}

    def prenext(self):
        self.next()

    def notify_order(self, order):
        self.ends[order.ref] = order.getstatusname()
        self.comm[order.ref] = order.executed.comm
        # sessions are counted from 0, and the broker comes before `next`
        self.fills += [(self.session + 1, order.data._name, bit.size, bit.price) for bit in order.executed.getpending()]

    def next(self):
        self.session += 1
        self.values.append(self.broker.getvalue())
        self.cash.append(self.broker.getcash())
        if self.session in self.p.plan:
            self.p.plan[self.session](self)

    @property
    def statuses(self):
        return [self.ends[ref] for ref in sorted(self.ends)]


def buys(ticker, size, **options):
    return lambda strategy: strategy.buy(data=strategy.getdatabyname(ticker), size=size, **options)


def sells(ticker, size, **options):
    return lambda strategy: strategy.sell(data=strategy.getdatabyname(ticker), size=size, **options)


def went(feeds, broker, plan):
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(broker)
    feeds(cerebro)
    cerebro.addstrategy(Plan, plan=plan)
    return cerebro.run()[0]


def two(name, prices, plan, *, change=None, **settings):
    """Run with one rule and on stock backtrader; returns both strategies."""
    brokers = only(name, **settings), stock(**settings)
    if change is not None:
        for broker in brokers:
            change(broker)
    return went(our_feeds(prices), brokers[0], plan), went(pandas_feeds(prices), brokers[1], plan)


# -- a market for each ------------------------------------------------------------------------------------------------


def day_orders(make_prices):
    prices = make_prices({"A": [10, NAN, NAN, 12, 13], "B": [5.0] * 5})
    ours, theirs = two("day_orders", prices, {0: buys("A", 100)})
    assert (ours.statuses, ours.fills, ours.values) == (["Expired"], [], [1e4] * 5)
    assert (theirs.statuses, theirs.fills) == (["Completed"], [(3, "A", 100, 12.0)])

    def filler(broker):
        broker.set_filler(bt.broker.fillers.FixedSize(size=50))

    prices = make_prices({"A": [10.0, 11, 12, 13, 14]})
    ours, theirs = two("day_orders", prices, {0: buys("A", 120)}, change=filler)
    assert (ours.statuses, ours.fills) == (["Expired"], [(1, "A", 50, 11.0)])
    assert (theirs.statuses, theirs.fills) == (
        ["Completed"],
        [(1, "A", 50, 11.0), (2, "A", 50, 12.0), (3, "A", 20, 13.0)],
    )


def match_later_bars_only(make_prices):
    prices = make_prices({"A": [10, NAN, NAN, 12, 13], "B": [5.0] * 5})
    ours, theirs = two("match_later_bars_only", prices, {1: buys("A", 100)})
    assert (ours.statuses, ours.fills) == (["Rejected"], [])
    assert (theirs.statuses, theirs.fills) == (["Completed"], [(3, "A", 100, 12.0)])

    prices = make_prices({"A": [10, NAN, NAN, 9, 8], "B": [5.0] * 5})
    limit = {"exectype": bt.Order.Limit, "price": 10.5}
    ours, theirs = two("match_later_bars_only", prices, {0: buys("A", 100, **limit)})
    assert ours.fills == [(3, "A", 100, 9.0)]
    assert theirs.fills == [(1, "A", 100, 10.0)]  # the bar it was given at, which was over


def cash_out_delisted_holdings(make_prices):
    prices = make_prices({"A": [10, 10, 12, NAN, NAN, NAN, NAN, NAN], "B": [5.0] * 8})
    ours, theirs = two(
        "cash_out_delisted_holdings", prices, {0: buys("A", 100)}, delist_after_sessions=3, delist_haircut=0.25
    )
    assert ours.fills == [(1, "A", 100, 10.0), (5, "A", -100, 9.0)]
    assert ours.values == [1e4, 1e4, 10_200, 10_200, 10_200, 9_900, 9_900, 9_900]
    assert theirs.fills == ours.fills[:1]
    assert theirs.values == [1e4, 1e4, *[10_200] * 6]
    ours, theirs = two(
        "cash_out_delisted_holdings", prices, {0: sells("A", 100)}, delist_after_sessions=3, delist_haircut=0.25
    )
    assert ours.fills[1:] == [(5, "A", 100, 12.0)]
    assert ours.values == theirs.values  # the same, but for good


def keep_last_price_over_nan_bars(make_prices):
    """Feeds of this project have no bars of NaN, feeds of one's own can."""
    rows = make_prices({"A": [10.0, 10, 11, 12, 13, 14]}).frame.xs("A", level="ticker").copy()
    rows.iloc[2:4] = np.nan

    def feed(cerebro):
        cerebro.adddata(bt.feeds.PandasData(dataname=rows), name="A")

    plan = {0: buys("A", 100), 1: buys("A", 10)}
    ours, theirs = went(feed, only("keep_last_price_over_nan_bars"), plan), went(feed, stock(), plan)
    assert ours.fills == [(1, "A", 100, 10.0), (4, "A", 10, 13.0)]
    assert ours.values == [1e4, 1e4, 1e4, 1e4, 10_300, 10_410]
    assert np.isnan(theirs.values[2:]).all()
    assert np.isnan(theirs.cash[-1])


def value_of_given_feeds(make_prices):
    prices = make_prices({"A": [10.0] * 4, "B": [20.0] * 4})
    told = []

    def ask(strategy):
        told.append((strategy.broker.getvalue(strategy.datas), strategy.broker.getvalue()))

    plan = {0: lambda s: (buys("A", 10)(s), buys("B", 10)(s)), 2: ask}
    two("value_of_given_feeds", prices, plan)
    assert told == [(300.0, 1e4), (1e4, 1e4)]

    def ask_some(strategy):
        told.append((strategy.broker.getvalue([strategy.datas[0]] * 2), strategy.broker.getvalue()))

    two("value_of_given_feeds", prices, plan | {2: ask_some})
    assert told[2:] == [(200.0, 1e4), (9_900.0, 9_900.0)]  # stock forgets what B is worth


def reject_non_finite_sizes(make_prices):
    prices = make_prices({"A": [10.0] * 6})
    plan = {0: buys("A", NAN), 1: buys("A", float("inf")), 2: buys("A", 10)}
    ours, theirs = two("reject_non_finite_sizes", prices, plan)
    assert ours.statuses == ["Rejected", "Rejected", "Completed"]
    assert theirs.statuses == ["Margin", "Margin", "Completed"]

    def unchecked(broker):
        broker.set_checksubmit(False)

    ours, theirs = two("reject_non_finite_sizes", prices, plan, change=unchecked)
    assert ours.statuses == ["Rejected", "Rejected", "Completed"]
    assert ours.cash[-1] == 9_900.0
    assert np.isnan(theirs.cash[-1])


def never_refuse_reductions(make_prices):
    prices = make_prices({"A": [10.0, 10, 10, 15, 15, 15, 15], "B": [10.0] * 7})
    plan = {0: sells("A", 900), 1: buys("B", 1900), 3: buys("A", 900), 5: sells("B", 100)}
    ours, theirs = two("never_refuse_reductions", prices, plan)
    assert ours.statuses == ["Completed"] * 4
    assert ours.cash == [1e4, 19_000, 0, 0, -13_500, -13_500, -12_500]
    assert theirs.statuses == ["Completed", "Completed", "Margin", "Completed"]
    assert theirs.cash == [1e4, 19_000, 0, 0, 0, 0, 1_000]
    # what opens is refused all the same
    ours, theirs = two("never_refuse_reductions", prices, {0: buys("A", 1_001)})
    assert ours.statuses == theirs.statuses == ["Margin"]


def clear_share_remainders(make_prices):
    prices = make_prices({"A": [10.0] * 6})
    plan = {0: buys("A", 0.1), 1: buys("A", 0.2), 2: sells("A", 0.3)}
    ours, theirs = two("clear_share_remainders", prices, plan)
    assert ours.statuses == theirs.statuses == ["Completed"] * 3
    assert ours.fills[2] == (3, "A", -(0.1 + 0.2), 10.0)
    assert theirs.fills[2] == (3, "A", -0.3, 10.0)
    assert ours.getposition().size == 0.0 < theirs.getposition().size < 1e-15
    # nothing is left over for an order, or a minimum commission, of its own
    remainder = {1: sells("A", 1e-15)}
    ours, theirs = two("clear_share_remainders", prices, {0: buys("A", 10)} | remainder)
    assert (ours.statuses, theirs.statuses) == (["Completed"], ["Completed", "Completed"])
    # parts that cost all the cash there is, and an ulp more
    third = 1e4 / 3 * (1 + 1e-15)
    prices = make_prices({"A": [3.0] * 4})
    ours, theirs = two("clear_share_remainders", prices, {0: buys("A", third)})
    assert (ours.statuses, theirs.statuses) == (["Completed"], ["Margin"])


def require_borrow_rate_for_shorts(make_prices):
    prices = make_prices({"A": [10.0] * 6})
    plan = {0: sells("A", 10), 1: buys("A", 30), 2: sells("A", 20), 3: sells("A", 40)}
    ours, theirs = two("require_borrow_rate_for_shorts", prices, plan)
    assert ours.statuses == ["Rejected", "Completed", "Completed", "Rejected"]
    assert theirs.statuses == ["Completed"] * 4
    assert ours.getposition().size == 10
    assert theirs.getposition().size == -40
    ours, _ = two("require_borrow_rate_for_shorts", prices, plan, borrow_rate=0.0)
    assert ours.fills == theirs.fills


def ignore_refused_orders_in_cash_check(make_prices):
    """Seen where reductions are never refused: which orders are taken for reductions."""
    prices = make_prices({"A": [10.0] * 4})
    plan = {0: lambda s: (buys("A", 2_000)(s), sells("A", 500)(s))}
    assert went(
        our_feeds(prices), only("ignore_refused_orders_in_cash_check", "never_refuse_reductions"), plan
    ).statuses == ["Margin", "Margin"]
    naked = went(our_feeds(prices), only("never_refuse_reductions"), plan)
    assert naked.statuses == ["Margin", "Completed"]
    assert naked.getposition().size == -500  # sold what the refused purchase would have brought
    # a purchase that can be paid, and its sale, are no matter
    ours, theirs = two(
        "ignore_refused_orders_in_cash_check", prices, {0: lambda s: (buys("A", 900)(s), sells("A", 500)(s))}
    )
    assert ours.statuses == theirs.statuses == ["Completed", "Completed"]


def cancel_unchecked_orders(make_prices):
    prices = make_prices({"A": [10.0] * 4})
    plan = {0: lambda s: s.cancel(buys("A", 10)(s))}
    ours, theirs = two("cancel_unchecked_orders", prices, plan)
    assert (ours.statuses, ours.fills) == (["Canceled"], [])
    assert (theirs.statuses, theirs.fills) == (["Completed"], [(1, "A", 10, 10.0)])
    limit = {"exectype": bt.Order.Limit, "price": 9.0}
    kept = []
    plan = {0: lambda s: kept.append(buys("A", 10, **limit)(s)), 1: lambda s: s.cancel(kept[-1])}
    ours, theirs = two("cancel_unchecked_orders", prices, plan)
    assert ours.statuses == theirs.statuses == ["Canceled"]


def initial_margin(make_prices):
    prices = make_prices({"A": [10.0] * 4, "B": [10.0] * 4})
    ours, theirs = two("initial_margin", prices, {0: sells("A", 2_001), 1: sells("A", 2_000)})
    assert ours.statuses == ["Margin", "Completed"]  # twice the value of 10,000 and no more
    assert theirs.statuses == ["Completed", "Completed"]
    assert theirs.getposition().size == -4_001
    # two orders of one session count together
    together = {0: lambda s: (sells("A", 1_500)(s), sells("B", 1_500)(s))}
    ours, _ = two("initial_margin", prices, together)
    assert ours.statuses == ["Completed", "Margin"]
    ours, theirs = two("initial_margin", prices, together, initial_margin=0.0)
    assert ours.fills == theirs.fills
    # what was closed on the session makes room for what is opened
    prices = make_prices({name: [10.0] * 5 for name in "ABCD"})
    plan = {
        0: lambda s: (sells("A", 900)(s), buys("B", 900)(s)),
        2: lambda s: (buys("A", 900)(s), sells("B", 900)(s), sells("C", 900)(s), buys("D", 900)(s)),
    }
    ours, theirs = two("initial_margin", prices, plan)
    assert ours.fills == theirs.fills
    assert len(ours.fills) == 6
    # what is refused for lack of cash when it fills takes no room
    prices = make_prices({"A": [10.0, 12, 12], "B": [10.0] * 3}, {"A": [10.0, 12, 12], "B": [10.0] * 3})
    ours, theirs = two("initial_margin", prices, {0: lambda s: (buys("A", 950)(s), sells("B", 1_000)(s))})
    assert ours.statuses == theirs.statuses == ["Margin", "Completed"]
    # a reversal closes and opens
    prices = make_prices({"A": [10.0] * 5})
    ours, theirs = two("initial_margin", prices, {0: sells("A", 1_900), 2: buys("A", 2_500), 3: sells("A", 2_000)})
    assert ours.fills == theirs.fills
    assert len(ours.fills) == 3


def close_ruined_account(make_prices):
    prices = make_prices({"A": [10.0, 10, 10, 31, 50, 5]})
    plan = {0: sells("A", 500)}
    with pytest.warns(RuinWarning, match=r"ruined on 2015-01-07: its value was -500\.00"):
        ours, theirs = two("close_ruined_account", prices, plan)
    assert ours.values == [1e4, 1e4, 1e4, -500]
    assert theirs.values == [1e4, 1e4, 1e4, -500, -10_000, 12_500]
    assert ours.broker.stopped.startswith("The account was ruined on 2015-01-07")


def uncapped_slippage(make_prices):
    prices = make_prices({"A": [10.0] * 4}, close_only=True)
    ours, theirs = two("uncapped_slippage", prices, {0: buys("A", 10), 1: sells("A", 10)}, slippage=0.01)
    assert [price for *_, price in ours.fills] == [10.1, 9.9]
    assert [price for *_, price in theirs.fills] == [10.0, 10.0]


def brackets(*, parent=None, size=10, stop=9.0, limit=11.0, **options):
    """Give a bracket of a purchase of A; by default a market order."""
    kind = {"exectype": bt.Order.Market} if parent is None else {"price": parent}
    return lambda strategy: strategy.buy_bracket(
        data=strategy.getdatabyname("A"), size=size, stopprice=stop, limitprice=limit, **kind, **options
    )


def bars(make_prices, *rows, **more):
    """Prices of A, each row open, high, low and close."""
    opens, highs, lows, closes = ({"A": [float(row[k]) for row in rows]} for k in range(4))
    return make_prices(opens, closes, highs=highs, lows=lows, **more)


def bracket_legs_follow_parent(make_prices):
    prices = make_prices({"A": [10.0, 10, 10, 8, 8, 8]})

    def filler(broker):
        broker.set_filler(bt.broker.fillers.FixedSize(size=4))

    # a limit order fills 4 of 10 on a Monday, and then its validity is over: its stop protects the 4
    entry = brackets(
        parent=10.0, limit=20.0, valid=dt.timedelta(days=3), stopargs={"valid": None}, limitargs={"valid": None}
    )
    ours, theirs = two("bracket_legs_follow_parent", prices, {0: entry}, change=filler)
    assert ours.fills == [(1, "A", 4, 10.0), (3, "A", -4, 8.0)]
    assert ours.statuses == ["Expired", "Completed", "Canceled"]
    assert theirs.fills == ours.fills[:1]
    assert theirs.statuses == ["Expired", "Canceled", "Canceled"]
    # two exits are no entry, for which there would be no cash
    ours, theirs = two("bracket_legs_follow_parent", make_prices({"A": [10.0] * 4}), {0: short_bracket})
    assert ours.statuses[0] == "Completed"
    assert theirs.statuses[0] != "Completed"


def short_bracket(strategy):
    data = strategy.getdatabyname("A")
    strategy.sell_bracket(data=data, size=1_500, exectype=bt.Order.Market, stopprice=12.0, limitprice=8.0)


def bracket_legs_on_entry_bar(make_prices):
    prices = bars(make_prices, (10, 10, 10, 10), (10, 10.5, 8, 10), (7, 7, 7, 7))
    ours, theirs = two("bracket_legs_on_entry_bar", prices, {0: brackets()})
    assert ours.fills == [(1, "A", 10, 10.0), (1, "A", -10, 9.0)]
    assert theirs.fills == [(1, "A", 10, 10.0), (2, "A", -10, 7.0)]
    # filled within its bar: what came before and what after cannot be known
    prices = bars(make_prices, (10, 10, 10, 10), (10, 10.5, 8, 10), (7, 7, 7, 7))
    ours, theirs = two("bracket_legs_on_entry_bar", prices, {0: brackets(parent=9.5)})
    assert ours.fills == theirs.fills == [(1, "A", 10, 9.5), (2, "A", -10, 7.0)]
    # at an open below its limit
    prices = bars(make_prices, (10, 10, 10, 10), (9.4, 10.5, 8, 10), (7, 7, 7, 7))
    ours, theirs = two("bracket_legs_on_entry_bar", prices, {0: brackets(parent=9.5)})
    assert ours.fills == [(1, "A", 10, 9.4), (1, "A", -10, 9.0)]
    assert theirs.fills[1] == (2, "A", -10, 7.0)


def stop_orders_before_limit_orders(make_prices):
    wide = (10, 11.5, 8.5, 10)

    def by_hand(strategy):
        parent = strategy.buy(size=10, transmit=False)
        strategy.sell(size=10, exectype=bt.Order.Limit, price=11.0, parent=parent, transmit=False)
        strategy.sell(size=10, exectype=bt.Order.Stop, price=9.0, parent=parent)

    prices = bars(make_prices, (10, 10, 10, 10), (10, 10, 10, 10), wide, (10, 10, 10, 10))
    ours, theirs = two("stop_orders_before_limit_orders", prices, {0: by_hand})
    assert ours.fills[1] == (2, "A", -10, 9.0)
    assert theirs.fills[1] == (2, "A", -10, 11.0)
    assert ours.broker.both_reached == 1
    # an open beyond the limit leaves no doubt
    gap = bars(make_prices, (10, 10, 10, 10), (10, 10, 10, 10), (11.2, 11.5, 8.5, 10), (10, 10, 10, 10))
    ours, theirs = two("stop_orders_before_limit_orders", gap, {0: brackets()})
    assert ours.fills[1] == (2, "A", -10, 11.2)
    assert theirs.fills[1] == (2, "A", -10, 9.0)
    assert ours.broker.both_reached == 0

    def companions(strategy):
        first = strategy.sell(size=10, exectype=bt.Order.Limit, price=11.0)
        strategy.sell(size=10, exectype=bt.Order.Stop, price=9.0, oco=first)

    ours, theirs = two("stop_orders_before_limit_orders", prices, {0: buys("A", 10), 1: companions})
    assert (ours.fills[1][3], theirs.fills[1][3]) == (9.0, 11.0)
    assert sorted(ours.statuses) == sorted(theirs.statuses) == ["Canceled", "Completed", "Completed"]


def refuse_deposits(make_prices):
    prices = make_prices({"A": [10.0] * 4})

    def deposit(strategy):
        strategy.broker.add_cash(500.0)

    with pytest.raises(InputError, match="no deposits"):
        went(our_feeds(prices), only("refuse_deposits"), {1: deposit})
    assert went(pandas_feeds(prices), stock(), {1: deposit}).values == [1e4, 1e4, 10_500, 10_500]


def interest_separate_from_commission(make_prices):
    prices = make_prices({"A": [10.0] * 6})

    def lends(broker):
        broker.setcommission(commission=0.0, interest=0.365, name="A")

    ours, theirs = two(
        "interest_separate_from_commission", prices, {0: sells("A", 100), 3: buys("A", 100)}, change=lends
    )
    assert ours.values == theirs.values
    paid = 1e4 - ours.values[-1]
    assert paid > 2.0
    assert list(ours.comm.values()) == [0.0, 0.0]
    assert list(theirs.comm.values()) == [0.0, pytest.approx(paid)]


def release_finished_orders(make_prices):
    class Deaf(bt.Strategy):
        def next(self):
            self.buy(size=1)

    prices = make_prices({"A": [10.0] * 6})
    kept = []
    for feeds, broker in ((our_feeds, only("release_finished_orders")), (pandas_feeds, stock())):
        cerebro = bt.Cerebro(stdstats=False)
        cerebro.setbroker(broker)
        feeds(prices)(cerebro)
        cerebro.addstrategy(Deaf)
        strategy = cerebro.run()[0]
        told = [order.getstatusname() for order in strategy._orders]
        kept.append(
            (len(broker.orders), told.count("Accepted"), broker.getposition(strategy.data).size, broker.getcash())
        )
    assert kept == [(0, 0, 5, 9_950.0), (6, 5, 5, 9_950.0)]


def nan_before_first_bar(make_prices):
    prices = make_prices({"A": [1.0, 2, 3, 4, 5, 6], "LATE": [NAN, NAN, NAN, 7, 8, 9]})
    read = []

    def look(strategy):
        late = strategy.getdatabyname("LATE")
        read.append((late.close[0], late.close[-1], strategy.getposition(late).size, strategy.broker.getvalue()))

    two("nan_before_first_bar", prices, {1: look, 3: look})
    assert read == [
        pytest.approx((NAN, NAN, 0, 1e4), nan_ok=True),
        pytest.approx((7.0, NAN, 0, 1e4), nan_ok=True),
        (9.0, 8.0, 0, 1e4),
        (7.0, 9.0, 0, 1e4),
    ]


def exchange_sessions(make_prices):
    prices = make_prices({"A": [10, 11, NAN, 12, NAN, NAN], "B": [5, 5, NAN, 5, 5, NAN], "C": [1.0] * 6})
    cerebros = []
    for feeds, broker in ((our_feeds, only("exchange_sessions")), (pandas_feeds, stock())):
        strategy = went(feeds(prices, ["A", "B"]), broker, {0: buys("A", 100), 1: buys("A", 100)})
        cerebros.append(strategy)
    ours, theirs = cerebros
    assert (len(ours.values), len(theirs.values)) == (6, 4)
    assert [value for t, value in enumerate(ours.values) if t not in (2, 5)] == theirs.values
    assert ours.fills == [(1, "A", 100, 11.0), (3, "A", 100, 12.0)]


CASES = {
    case.__name__: case
    for case in (
        day_orders,
        match_later_bars_only,
        cash_out_delisted_holdings,
        keep_last_price_over_nan_bars,
        value_of_given_feeds,
        reject_non_finite_sizes,
        never_refuse_reductions,
        clear_share_remainders,
        require_borrow_rate_for_shorts,
        ignore_refused_orders_in_cash_check,
        cancel_unchecked_orders,
        initial_margin,
        close_ruined_account,
        uncapped_slippage,
        bracket_legs_follow_parent,
        bracket_legs_on_entry_bar,
        stop_orders_before_limit_orders,
        refuse_deposits,
        interest_separate_from_commission,
        release_finished_orders,
        nan_before_first_bar,
        exchange_sessions,
    )
}


def test_every_rule_has_its_case():
    assert list(CASES) == list(RULES)
    assert all(rule.rstrip(")").endswith(".") and "stock" in rule.lower() for rule in RULES.values())


@pytest.mark.parametrize("name", CASES)
def test_what_it_changes_is_what_it_says(name, make_prices):
    CASES[name](make_prices)


# -- an ordinary market -----------------------------------------------------------------------------------------------

ORDINARY = {"cash": 1e6, "commission": 0.001, "slippage": 0.0, "borrow_rate": 0.0}


@pytest.fixture(scope="module")
def ordinary():
    """Full histories, every kind of order, nothing that any rule is about; and what stock makes of it."""
    prices = build(4, 100, seed=31)
    todo = random_flow(31, 100, 4, per_session=2.0, kinds=QUIET_KINDS)
    account = set_account(cash=1e6, commission=0.001)
    events, _ = lived(pandas_feeds(prices), stock_broker(), flow(todo), account=account, touch=True)
    ends = statuses(events)
    assert ends["Completed"] > 100
    assert {"Canceled", "Expired"} <= set(ends)
    return prices, todo, events


@pytest.mark.parametrize("name", [*RULES, "all of them", "none of them"])
def test_elsewhere_it_changes_nothing(name, ordinary):
    prices, todo, theirs = ordinary
    settings = rs.BrokerSettings(**ORDINARY)
    closed = {"all of them": set(RULES), "none of them": set()}.get(name, {name})
    broker = rs.Broker(settings, compat=set(RULES) - closed)
    ours, _ = lived(our_feeds(prices), broker, flow(todo), touch=True)
    assert_same(ours, theirs)


@pytest.mark.parametrize(
    "name",
    [
        "bracket_legs_follow_parent",
        "bracket_legs_on_entry_bar",
        "stop_orders_before_limit_orders",
        "clear_share_remainders",
        "all of them",
    ],
)
def test_brackets_and_oco_groups_that_leave_nothing_open_are_those_of_stock(name):
    """One leg a bar is reached at most, never on the entry bar, and parents fill at once."""
    prices = build(2, 200, seed=32, volatility=0.01)

    class Careful(bt.Strategy):
        def __init__(self):
            self.given = []

        def next(self):
            for data in self.datas:
                close, held = data.close[0], self.getposition(data).size
                if any(order.alive() and order.data is data for order in self.given):
                    continue
                self.given = [order for order in self.given if order.alive()]
                if held:
                    first = self.sell(data=data, size=held, exectype=bt.Order.Limit, price=close * 1.03)
                    other = self.sell(data=data, size=held, exectype=bt.Order.Stop, price=close * 0.97, oco=first)
                    self.given += [first, other]
                elif len(self) % 3 == 0:
                    levels = {"stopprice": close * 0.95, "limitprice": close * 1.05}
                    self.given += self.buy_bracket(data=data, size=20, exectype=bt.Order.Market, **levels)
                else:
                    self.given.append(self.buy(data=data, size=10))

    def strategy(cerebro):
        cerebro.addstrategy(Careful)

    closed = set(RULES) if name == "all of them" else {name}
    broker = rs.Broker(rs.BrokerSettings(**ORDINARY), compat=set(RULES) - closed)
    ours, ran = lived(our_feeds(prices), broker, strategy, touch=True)
    account = set_account(cash=1e6, commission=0.001)
    theirs, _ = lived(pandas_feeds(prices), stock_broker(), strategy, account=account, touch=True)
    assert_same(ours, theirs)
    ends = statuses(theirs)
    assert min(ends["Completed"], ends["Canceled"]) > 20
    assert ran.broker.both_reached == 0


@pytest.mark.parametrize("name", RULES)
def test_the_others_stay_as_they_were(name, make_prices):
    """With one rule off all others apply: the market of another rule has the result of that rule."""
    broker = rs.Broker(rs.BrokerSettings(**MODEST), compat={name})
    assert broker.rules == set(RULES) - {name}
    if name == "refuse_deposits":
        broker.add_cash(1.0)
    else:
        with pytest.raises(InputError, match="no deposits"):
            broker.add_cash(1.0)


def test_names_that_are_no_rules_are_refused():
    with pytest.raises(InputError, match="'ruins'"):
        rs.Broker(rs.BrokerSettings(**MODEST), compat={"ruins"})
    with pytest.raises(InputError, match="expected BrokerSettings; found none"):
        rs.Broker()
    with pytest.raises(InputError, match="expected BrokerSettings; found none"):
        rs.Broker(compat={"close_ruined_account"})
