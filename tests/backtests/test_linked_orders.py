"""Brackets, linked orders and OCO groups: what ends them, when their legs are live, and which of them fills first.

Every case is held in both directions: a market that is turned upside down around 100 gives the short bracket.
"""

from __future__ import annotations

import datetime as dt

import backtrader as bt
import numpy as np
import pandas as pd
import pytest
from diary import pandas_feeds

import rnn_strategies as rs
from reports.report import tear_sheet

SIDES = {"long": 1, "short": -1}
SIZE = 100
# as distances from 100 in the direction of the entry
STOP, TARGET = -5.0, 10.0


def mirrored(sign, bars):
    """Bars around 100, turned upside down for shorts: open, furthest with and against the entry, close."""
    rows = []
    for open_, best, worst, close in bars:
        prices = [100.0 + sign * value for value in (open_, best, worst, close)]
        rows.append((prices[0], max(prices[1:3]), min(prices[1:3]), prices[3]))
    return rows


def flat(value, n=1):
    return [(value,) * 4] * n


@pytest.fixture
def market(days):
    """Prices of A from bars around 100; None is a session without a bar, on which only B trades."""

    def make(bars, *, sign=1, volume=1e9):
        known = [k for k, bar in enumerate(bars) if bar is not None]
        stamps = pd.DatetimeIndex(days(len(bars)).astype("datetime64[ns]"))
        columns = ["open", "high", "low", "close"]
        table = pd.DataFrame(mirrored(sign, [bars[k] for k in known]), columns=columns, dtype=float)
        amount = volume if isinstance(volume, float) else [volume[k] for k in known]
        mine = table.assign(volume=amount, date=stamps[known], ticker="A")
        other = pd.DataFrame(dict.fromkeys(columns, 50.0), index=range(len(bars)))
        both = pd.concat([mine, other.assign(volume=1e9, date=stamps, ticker="B")])
        return rs.check_prices(both.set_index(["date", "ticker"]).sort_index())

    return make


class Linked(bt.Strategy):
    """Gives what is planned for a session, and keeps the orders by name."""

    params = (("plan", {}), ("sign", 1))

    def __init__(self):
        self.named, self.session, self.heard = {}, -1, []

    def prenext(self):
        self.next()

    def next(self):
        self.session += 1
        for act in self.p.plan.get(self.session, ()):
            act(self)

    def notify_order(self, order):
        self.heard.append((order.ref, order.getstatusname(), order.executed.size, order.executed.price))

    @property
    def a(self):
        return self.getdatabyname("A")


def level(strategy, distance):
    return 100.0 + strategy.p.sign * distance


def bracket(kind="Market", price=None, *, size=SIZE, stop=STOP, target=TARGET, **options):
    """Give a bracket by `buy_bracket` or `sell_bracket`; prices as distances from 100."""

    def give(strategy):
        order = strategy.buy_bracket if strategy.p.sign > 0 else strategy.sell_bracket
        given = {"exectype": getattr(bt.Order, kind), **options}
        if price is not None:
            given["price"] = level(strategy, price)
        strategy.named["parent"], strategy.named["stop"], strategy.named["target"] = order(
            data=strategy.a, size=size, stopprice=level(strategy, stop), limitprice=level(strategy, target), **given
        )

    return give


def by_hand(kind="Market", price=None, *, size=SIZE, first="stop", **options):
    """Give the same bracket by `parent=` and `transmit=False`, one of the legs first."""

    def give(strategy):
        enter, leave = strategy.buy, strategy.sell
        if strategy.p.sign < 0:
            enter, leave = leave, enter
        given = {"exectype": getattr(bt.Order, kind), **options}
        if price is not None:
            given["price"] = level(strategy, price)
        parent = enter(data=strategy.a, size=size, transmit=False, **given)
        legs = {
            "stop": {"exectype": bt.Order.Stop, "price": level(strategy, STOP)},
            "target": {"exectype": bt.Order.Limit, "price": level(strategy, TARGET)},
        }
        names = [first, "target" if first == "stop" else "stop"]
        strategy.named["parent"] = parent
        for name, transmit in zip(names, (False, True), strict=True):
            strategy.named[name] = leave(data=strategy.a, size=size, parent=parent, transmit=transmit, **legs[name])

    return give


def cancel(name):
    return lambda strategy: strategy.cancel(strategy.named[name])


WAYS = {
    "bracket": bracket,
    "by hand": by_hand,
    "by hand, target first": lambda *arguments, **options: by_hand(*arguments, first="target", **options),
}


def ran(prices, plan, *, sign=1, compat=False, **settings):
    """Run on this project's feeds and broker; gives the result, and its orders by name."""
    terms = {"cash": 1e5, "commission": 0.0, "slippage": 0.0, "borrow_rate": 0.0} | settings
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(rs.Broker(rs.BrokerSettings(**terms), compat=compat))
    rs.add_prices(cerebro, prices)
    cerebro.addstrategy(Linked, plan=plan, sign=sign)
    cerebro.addanalyzer(rs.AccountRecorder)
    strategy = cerebro.run()[0]
    result = strategy.analyzers.accountrecorder.result()
    refs = sorted(order.ref for order in strategy.named.values())
    given = result.orders[result.orders["type"] != "liquidation"]
    assert len(given) == len(refs)
    return result, {name: given.iloc[refs.index(order.ref)] for name, order in strategy.named.items()}


def fills(result):
    """Session, signed shares and price of every fill, in order."""
    days = result.returns.index
    return [(days.get_loc(day), row.amount, row.price) for day, row in result.transactions.iterrows()]


def expected(sign, *rows):
    """Fills of a long bracket around 100, turned upside down for a short one."""
    return [(session, sign * shares, 100.0 + sign * price) for session, shares, price in rows]


def assert_ends(rows, **ends):
    """Hold status and reason of each order to (status, beginning of the reason)."""
    found = {name: (rows[name]["status"], rows[name]["reason"]) for name in ends}
    for name, (status, reason) in ends.items():
        assert found[name][0] == status, found
        assert found[name][1].startswith(reason) if reason else found[name][1] == "", found


def assert_counted_once(result, words, value):
    """Hold the warnings to one line on orders that came to nothing, worth `value`."""
    lines = [line for line in result.warnings if line.startswith("Orders worth")]
    assert len(lines) == 1, result.warnings
    assert lines[0].startswith(f"Orders worth {value:,.0f},"), lines
    assert words in lines[0]


both = pytest.mark.parametrize("side", SIDES)
every_way = pytest.mark.parametrize("way", WAYS)


# -- a parent that comes to nothing -----------------------------------------------------------------------------------


@both
@every_way
def test_legs_of_a_parent_that_is_too_dear_end_with_it_and_count_once(way, side, market):
    sign = SIDES[side]
    size = 2_001  # twice the account at the initial margin of one half
    result, rows = ran(market(flat(0.0, 5), sign=sign), {0: [WAYS[way](size=size)]}, sign=sign)
    reason = "100,100.00 short of cash" if side == "long" else "positions of 200,100.00 would be more than"
    assert_ends(
        rows,
        parent=("margin", reason),
        stop=("cancelled", f"its parent order was refused: {reason}"),
        target=("cancelled", f"its parent order was refused: {reason}"),
    )
    assert_counted_once(result, "(1 margin;", size * 100.0)
    assert not fills(result)


@both
@every_way
def test_legs_of_a_parent_that_is_refused_at_its_open_end_with_it(way, side, market):
    """Paid for at the close before, too dear at the open; for shorts the margin is what is lacking."""
    sign = SIDES[side]
    size = 990 if side == "long" else 1_990
    gap = flat(20.0, 4) if side == "long" else flat(-20.0, 4)
    result, rows = ran(market([*flat(0.0), *gap], sign=sign), {0: [WAYS[way](size=size)]}, sign=sign)
    reason = "not enough cash at the price of" if side == "long" else "positions of"
    assert_ends(rows, parent=("margin", reason))
    for leg in ("stop", "target"):
        assert_ends(rows, **{leg: ("cancelled", f"its parent order was refused: {reason}")})
    assert_counted_once(result, "(1 margin;", size * 100.0)


@both
@every_way
def test_legs_of_a_parent_without_a_bar_to_be_given_on_end_with_it(way, side, market):
    bars = [*flat(0.0), None, *flat(0.0, 3)]
    result, rows = ran(market(bars, sign=SIDES[side]), {1: [WAYS[way]()]}, sign=SIDES[side])
    assert_ends(rows, parent=("rejected", "no bar on"))
    for leg in ("stop", "target"):
        assert_ends(rows, **{leg: ("cancelled", "its parent order was rejected: no bar on")})
    assert_counted_once(result, "(1 rejected;", SIZE * 100.0)


@both
@every_way
def test_with_stocks_rule_on_legs_what_was_rejected_counts_once_too(way, side, market):
    bars = [*flat(0.0), None, *flat(0.0, 3)]
    plan = {1: [WAYS[way]()]}
    result, rows = ran(market(bars, sign=SIDES[side]), plan, sign=SIDES[side], compat={"bracket_legs_follow_parent"})
    assert {row["status"] for row in rows.values()} == {"rejected"}
    assert_counted_once(result, "(1 rejected;", SIZE * 100.0)


@both
@every_way
def test_legs_of_a_parent_that_expires_end_with_it(way, side, market):
    sign = SIDES[side]
    # a day order without a bar on its day
    result, rows = ran(market([*flat(0.0), None, *flat(0.0, 3)], sign=sign), {0: [WAYS[way]()]}, sign=sign)
    assert_ends(rows, parent=("expired", "no bar on"))
    for leg in ("stop", "target"):
        assert_ends(rows, **{leg: ("cancelled", "its parent order expired: no bar on")})
    assert_counted_once(result, "(1 expired;", SIZE * 100.0)


@both
def test_legs_of_a_parent_whose_validity_ends_end_with_it(side, market):
    sign = SIDES[side]
    kept = {"stopargs": {"valid": None}, "limitargs": {"valid": None}}
    entry = bracket("Limit", -3.0, valid=dt.timedelta(days=4), **kept)
    result, rows = ran(market(flat(0.0, 8), sign=sign), {0: [entry]}, sign=sign)
    assert_ends(
        rows,
        parent=("expired", "its validity ended"),
        stop=("cancelled", "its parent order expired: its validity ended"),
        target=("cancelled", "its parent order expired: its validity ended"),
    )
    assert_counted_once(result, "(1 expired;", SIZE * (100.0 - sign * 3.0))


@both
@every_way
def test_legs_of_a_parent_that_is_cancelled_end_with_it(way, side, market):
    sign = SIDES[side]
    entry = WAYS[way]("Limit", -3.0)
    for session in (0, 2):  # at once, and after it has waited
        plan = {0: [entry], session: [entry, cancel("parent")] if session == 0 else [cancel("parent")]}
        result, rows = ran(market(flat(0.0, 6), sign=sign), plan, sign=sign)
        assert_ends(
            rows,
            parent=("cancelled", "cancelled by the strategy"),
            stop=("cancelled", "its parent order was cancelled by the strategy"),
            target=("cancelled", "its parent order was cancelled by the strategy"),
        )
        assert result.warnings == ()


@both
def test_legs_of_a_dead_name_say_so(side, market):
    bars = [*flat(0.0, 3), *[None] * 8]
    _, rows = ran(market(bars, sign=SIDES[side]), {0: [bracket()]}, sign=SIDES[side])
    reasons = {rows[leg]["reason"] for leg in ("stop", "target")}
    assert all("delisted: cashed out on" in reason for reason in reasons)
    assert {rows[leg]["status"] for leg in ("stop", "target")} == {"cancelled"}


# -- a parent that is filled in part ----------------------------------------------------------------------------------


@both
@every_way
@pytest.mark.parametrize("ending", ["stop", "target"])
def test_legs_of_a_day_order_follow_the_part_that_the_volume_allowed(ending, way, side, market):
    sign = SIDES[side]
    reached = {"stop": (0.0, 1.0, -6.0, -6.0), "target": (0.0, 11.0, -1.0, 11.0)}[ending]
    volume = [1e6, 300.0, 1e6, 1e6, 1e6]
    prices = market([*flat(0.0, 3), reached, *flat(reached[3])], sign=sign, volume=volume)
    result, rows = ran(prices, {0: [WAYS[way]()]}, sign=sign, max_participation_rate=0.1)
    price = STOP if ending == "stop" else TARGET
    assert fills(result) == expected(sign, (1, 30.0, 0.0), (3, -30.0, price))
    other = "target" if ending == "stop" else "stop"
    assert_ends(rows, parent=("partial", "volume sufficed for 30 of 100 shares"))
    assert_ends(rows, **{ending: ("filled", ""), other: ("cancelled", "another order of its bracket filled")})
    assert rows[ending]["size"] == rows[other]["size"] == 30.0
    assert_counted_once(result, "(1 partial;", 70 * 100.0)
    assert result.positions["A"].iloc[-1] == 0.0


@both
@every_way
def test_legs_grow_with_a_parent_that_fills_day_by_day(way, side, market):
    """30 on each of two days, then the stop ends the position and what is left of the entry."""
    sign = SIDES[side]
    volume = [1e6, 300.0, 300.0, 1e6, 1e6]
    entry = WAYS[way]("Limit", 0.0)
    prices = market([*flat(0.0, 3), (-1.0, 0.5, -6.0, -6.0), *flat(-6.0)], sign=sign, volume=volume)
    result, rows = ran(prices, {0: [entry]}, sign=sign, max_participation_rate=0.1, cash=1e6)
    # on the third day the entry's rest of 40 fills at the open below its limit, and the stop has 100 to sell
    assert fills(result) == expected(sign, (1, 30.0, 0.0), (2, 30.0, 0.0), (3, 40.0, -1.0), (3, -100.0, STOP))
    assert_ends(rows, parent=("filled", ""), stop=("filled", ""), target=("cancelled", "another order of its bracket"))


@both
@every_way
def test_a_stop_that_fills_before_all_of_its_parent_ends_the_rest_of_it(way, side, market):
    sign = SIDES[side]
    volume = [1e6, 300.0, 1e6, 1e6]
    entry = WAYS[way]("Limit", 0.0)
    # the next day opens through the stop, above the limit for shorts and below for longs
    prices = market([*flat(0.0, 2), *flat(-7.0, 2)], sign=sign, volume=volume)
    result, rows = ran(prices, {0: [entry]}, sign=sign, max_participation_rate=0.1)
    done = fills(result)
    assert done[0] == expected(sign, (1, 30.0, 0.0))[0]
    assert sum(shares for _, shares, _ in done) == 0.0
    assert result.positions["A"].iloc[-1] == 0.0
    assert rows["stop"]["status"] == "filled"
    assert rows["stop"]["filled"] == rows["parent"]["filled"]


@both
# by hand the legs have no validity of their own
@pytest.mark.parametrize(("end", "way"), [*(("cancelled", way) for way in WAYS), ("expired", "bracket")])
def test_what_was_filled_stays_protected_when_the_rest_ends(end, way, side, market):
    sign = SIDES[side]
    volume = [1e6, 300.0, 0.0, 0.0, 0.0, 0.0, 1e6, 1e6]
    options = {}
    if end == "expired":
        options = {"valid": dt.timedelta(days=4), "stopargs": {"valid": None}, "limitargs": {"valid": None}}
    plan = {0: [WAYS[way]("Limit", 0.0, **options)]}
    if end == "cancelled":
        plan[3] = [cancel("parent")]
    prices = market([*flat(0.0, 6), (0.0, 0.0, -8.0, -8.0), *flat(-8.0)], sign=sign, volume=volume)
    result, rows = ran(prices, plan, sign=sign, max_participation_rate=0.1)
    assert fills(result) == expected(sign, (1, 30.0, 0.0), (6, -30.0, STOP))
    reason = "cancelled by the strategy" if end == "cancelled" else "its validity ended"
    assert_ends(rows, parent=("partial", reason), stop=("filled", ""), target=("cancelled", "another order of its"))
    if end == "cancelled":
        assert result.warnings == ()  # nothing was refused, and nothing failed to be filled
    else:
        assert_counted_once(result, "(1 partial;", 70 * 100.0)


@both
@every_way
def test_what_one_leg_fills_in_part_the_other_does_not_sell_again(way, side, market):
    """The target sells 40 within the volume of its bar, the stop the 60 that are left."""
    sign = SIDES[side]
    volume = [1e6, 1e6, 400.0, 1e6, 1e6]
    bars = [*flat(0.0, 2), (9.0, 11.0, 8.0, 9.0), (0.0, 0.0, -6.0, -6.0), *flat(-6.0)]
    prices = market(bars, sign=sign, volume=volume)
    result, rows = ran(prices, {0: [WAYS[way]()]}, sign=sign, max_participation_rate=0.1)
    assert fills(result) == expected(sign, (1, 100.0, 0.0), (2, -40.0, TARGET), (3, -60.0, STOP))
    assert result.positions["A"].iloc[-1] == 0.0
    assert_ends(rows, stop=("filled", ""), target=("partial", "another order of its bracket filled"))
    assert rows["stop"]["size"] == 60.0
    # what the stop sold was not to be sold by the target: nothing is missing
    assert result.warnings == ()


@both
def test_less_than_a_share_for_a_leg_ends_it(side, market):
    """A leg for a part of the entry: 3 of 100 shares, of which 30 are filled."""
    sign = SIDES[side]

    def give(strategy):
        enter, leave = (strategy.buy, strategy.sell) if sign > 0 else (strategy.sell, strategy.buy)
        parent = enter(data=strategy.a, size=SIZE, transmit=False)
        stop = {"exectype": bt.Order.Stop, "price": level(strategy, STOP)}
        small = leave(data=strategy.a, size=3, parent=parent, transmit=False, **stop)
        strategy.named |= {"parent": parent, "small": small}
        strategy.named["half"] = leave(data=strategy.a, size=50, parent=parent, **stop)

    volume = [1e6, 300.0, 1e6, 1e6]
    prices = market([*flat(0.0, 2), *flat(-7.0, 2)], sign=sign, volume=volume)
    result, rows = ran(prices, {0: [give]}, sign=sign, max_participation_rate=0.1)
    assert rows["small"]["status"] == "cancelled"
    assert rows["small"]["reason"] == "its parent order filled less than a share for it"
    assert fills(result) == expected(sign, (1, 30.0, 0.0), (2, -15.0, -7.0))
    result, rows = ran(prices, {0: [give]}, sign=sign, max_participation_rate=0.1, fractional=True)
    # whichever of two stops fills first ends the other: they are one bracket
    assert fills(result)[1][1] == pytest.approx(-sign * 0.9)


# -- when legs are live -----------------------------------------------------------------------------------------------


@both
@every_way
@pytest.mark.parametrize(
    ("kind", "price", "bar"),
    [
        ("Market", None, (0.0, 1.0, -6.0, -6.0)),
        ("Limit", 1.0, (0.0, 1.0, -6.0, -6.0)),  # opens below its limit
        ("Stop", -1.0, (0.0, 1.0, -6.0, -6.0)),  # opens beyond its stop
        ("StopLimit", -1.0, (0.0, 1.0, -6.0, -6.0)),
    ],
)
def test_a_stop_is_live_on_the_bar_whose_open_filled_its_parent(kind, price, bar, way, side, market):
    sign = SIDES[side]
    options = {"plimit": level_of(sign, 2.0)} if kind == "StopLimit" else {}
    plan = {0: [WAYS[way](kind, price, **options)]}
    bars = [*flat(-2.0), bar, (-20.0,) * 4, (-20.0,) * 4]
    result, rows = ran(market(bars, sign=sign), plan, sign=sign)
    assert fills(result) == expected(sign, (1, 100.0, 0.0), (1, -100.0, STOP))
    assert_ends(rows, parent=("filled", ""), stop=("filled", ""), target=("cancelled", "another order of its bracket"))
    # stock waits for the next bar, which opens far below
    stocks, _ = ran(market(bars, sign=sign), plan, sign=sign, compat=True)
    assert fills(stocks) == expected(sign, (1, 100.0, 0.0), (2, -100.0, -20.0))
    only, _ = ran(market(bars, sign=sign), plan, sign=sign, compat={"bracket_legs_on_entry_bar"})
    assert fills(only) == fills(stocks)


def level_of(sign, distance):
    return 100.0 + sign * distance


@both
@every_way
@pytest.mark.parametrize(
    ("kind", "price", "bar", "paid"),
    [
        ("Limit", -1.0, (0.0, 1.0, -6.0, -6.0), -1.0),
        ("Stop", 1.0, (0.0, 2.0, -6.0, -6.0), 1.0),
        ("Close", None, (0.0, 1.0, -6.0, -1.0), -1.0),
        ("Close", None, (0.0, 1.0, -6.0, 0.0), 0.0),  # a close at the open is a close all the same
    ],
)
def test_a_stop_is_live_from_the_next_bar_when_its_parent_filled_later(kind, price, bar, paid, way, side, market):
    sign = SIDES[side]
    bars = [*flat(0.0), bar, (-20.0,) * 4, (-20.0,) * 4]
    result, _ = ran(market(bars, sign=sign), {0: [WAYS[way](kind, price)]}, sign=sign)
    assert fills(result) == expected(sign, (1, 100.0, paid), (2, -100.0, -20.0))
    assert result.settings.get("both_reached") is None


@both
@every_way
def test_a_target_is_live_on_the_entry_bar_too(way, side, market):
    sign = SIDES[side]
    bars = [*flat(0.0), (0.0, 11.0, -1.0, 0.0), *flat(0.0, 2)]
    result, _ = ran(market(bars, sign=sign), {0: [WAYS[way]()]}, sign=sign)
    assert fills(result) == expected(sign, (1, 100.0, 0.0), (1, -100.0, TARGET))


@both
def test_an_open_beyond_the_stop_buys_and_sells_at_it(side, market):
    sign = SIDES[side]
    bars = [*flat(0.0), (-8.0, -7.0, -9.0, -8.0), *flat(-8.0, 2)]
    result, _ = ran(market(bars, sign=sign), {0: [bracket()]}, sign=sign)
    assert fills(result) == expected(sign, (1, 100.0, -8.0), (1, -100.0, -8.0))


@both
def test_what_a_stop_on_the_entry_bar_brings_in_is_not_spent_at_the_open(side, market):
    """Orders that fill at the open come before it; a purchase of B that needs its money is refused."""
    sign = SIDES[side]
    size = 900

    def another(strategy):
        strategy.named["other"] = strategy.buy(data=strategy.getdatabyname("B"), size=1_900)

    bars = [*flat(0.0), (0.0, 1.0, -6.0, -6.0), *flat(-6.0, 2)]
    _, rows = ran(market(bars, sign=sign), {0: [bracket(size=size), another]}, sign=sign, initial_margin=0.9)
    assert rows["stop"]["status"] == "filled"
    assert rows["other"]["status"] == "margin"


# -- both legs within one bar -----------------------------------------------------------------------------------------


@both
@every_way
@pytest.mark.parametrize("entry_bar", [True, False])
def test_the_stop_fills_first_and_the_bar_is_counted(entry_bar, way, side, market):
    sign = SIDES[side]
    wide = (0.0, 12.0, -7.0, 0.0)
    bars = [*flat(0.0), *([] if entry_bar else flat(0.0)), wide, *flat(0.0, 2)]
    session = 1 if entry_bar else 2
    result, rows = ran(market(bars, sign=sign), {0: [WAYS[way]()]}, sign=sign)
    assert fills(result) == expected(sign, (1, 100.0, 0.0), (session, -100.0, STOP))
    assert_ends(rows, stop=("filled", ""), target=("cancelled", "another order of its bracket filled"))
    assert result.settings["both_reached"] == 1
    (line,) = result.warnings
    assert line.startswith("1 bar reached both a stop and a limit order of one bracket or OCO group after the open")


@both
@every_way
def test_an_open_beyond_the_target_fills_the_target_and_is_not_counted(way, side, market):
    sign = SIDES[side]
    bars = [*flat(0.0, 2), (11.0, 12.0, -7.0, 0.0), *flat(0.0, 2)]
    result, _ = ran(market(bars, sign=sign), {0: [WAYS[way]()]}, sign=sign)
    assert fills(result) == expected(sign, (1, 100.0, 0.0), (2, -100.0, 11.0))
    assert "both_reached" not in result.settings
    assert result.warnings == ()


@both
@pytest.mark.parametrize("first", ["target", "stop"])
@pytest.mark.parametrize("kind", ["Stop", "StopTrail", "StopLimit"])
def test_of_an_oco_group_the_stop_fills_first_too(kind, first, side, market):
    sign = SIDES[side]

    def enter(strategy):
        strategy.named["entry"] = (strategy.buy if sign > 0 else strategy.sell)(data=strategy.a, size=SIZE)

    def exits(strategy):
        leave = strategy.sell if sign > 0 else strategy.buy
        stop = {"exectype": getattr(bt.Order, kind), "price": level(strategy, STOP)}
        if kind == "StopTrail":
            stop = {"exectype": bt.Order.StopTrail, "trailamount": -STOP}
        elif kind == "StopLimit":
            stop["plimit"] = level(strategy, STOP - 5.0)
        given = {"stop": stop, "target": {"exectype": bt.Order.Limit, "price": level(strategy, TARGET)}}
        leader = leave(data=strategy.a, size=SIZE, **given[first])
        other = "stop" if first == "target" else "target"
        strategy.named |= {first: leader, other: leave(data=strategy.a, size=SIZE, oco=leader, **given[other])}

    bars = [*flat(0.0, 3), (0.0, 12.0, -7.0, -6.0), *flat(-6.0, 2)]
    result, rows = ran(market(bars, sign=sign), {0: [enter], 1: [exits]}, sign=sign)
    assert fills(result) == expected(sign, (1, 100.0, 0.0), (3, -100.0, STOP))
    assert_ends(rows, stop=("filled", ""), target=("cancelled", "another order of its OCO group filled"))
    assert result.settings["both_reached"] == 1


def test_the_report_counts_such_bars(market, tmp_path):
    wide = (0.0, 12.0, -7.0, 1.0)
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(rs.Broker(rs.BrokerSettings(cash=1e5, commission=0.0, slippage=0.0)))
    rs.add_prices(cerebro, market([*flat(0.0), *[wide] * 4, *flat(0.0, 2)]))
    cerebro.addstrategy(Linked, plan={0: [bracket()], 2: [bracket()]})
    cerebro.addanalyzer(rs.AccountRecorder)
    result = cerebro.run()[0].analyzers.accountrecorder.result()
    assert result.settings["both_reached"] == 2
    page = tear_sheet(result, path=tmp_path / "report.html").read_text(encoding="utf-8")
    assert "2 bars reached both a stop and a limit order of one bracket or OCO group" in page


# -- OCO groups that come to nothing ----------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("ending", ["refused", "cancelled", "expired"])
def test_an_oco_order_gives_the_true_reason_and_counts_once(ending, side, market):
    sign = SIDES[side]
    size = 3_000 if ending == "refused" else SIZE
    valid = {"valid": dt.timedelta(days=4)} if ending == "expired" else {}

    def give(strategy):
        enter = strategy.buy if sign > 0 else strategy.sell
        limit = {"exectype": bt.Order.Limit, "price": level(strategy, -3.0)}
        first = enter(data=strategy.a, size=SIZE, **limit)
        kind = {"exectype": bt.Order.Limit, "price": level(strategy, -4.0), "oco": first, **valid}
        strategy.named |= {"first": first, "other": enter(data=strategy.a, size=size, **kind)}

    plan = {0: [give]}
    if ending == "cancelled":
        plan[2] = [cancel("other")]
    result, rows = ran(market(flat(0.0, 8), sign=sign), plan, sign=sign)
    status = {"refused": "margin", "cancelled": "cancelled", "expired": "expired"}[ending]
    assert rows["other"]["status"] == status
    why = {"refused": "was refused: ", "cancelled": "was cancelled by the strategy", "expired": "expired: its validity"}
    assert_ends(rows, first=("cancelled", f"another order of its OCO group {why[ending]}"))
    if ending == "cancelled":
        assert result.warnings == ()
    else:
        assert_counted_once(result, f"(1 {status};", size * (100.0 - sign * 4.0))


# -- orders that are linked later or never sent -----------------------------------------------------------------------


@both
def test_a_leg_that_is_given_after_its_parent_filled_protects_it(side, market):
    """With `parent=` of an order that has filled, from `next` or from a notification; live from the next session."""
    sign = SIDES[side]

    def enter(strategy):
        strategy.named["parent"] = (strategy.buy if sign > 0 else strategy.sell)(data=strategy.a, size=SIZE)

    def protect(strategy):
        leave = strategy.sell if sign > 0 else strategy.buy
        stop = {"exectype": bt.Order.Stop, "price": level(strategy, STOP)}
        strategy.named["stop"] = leave(data=strategy.a, size=SIZE, parent=strategy.named["parent"], **stop)

    bars = [*flat(0.0, 3), (0.0, 0.0, -6.0, -6.0), *flat(-6.0)]
    result, rows = ran(market(bars, sign=sign), {0: [enter], 1: [protect]}, sign=sign)
    assert fills(result) == expected(sign, (1, 100.0, 0.0), (3, -100.0, STOP))
    assert_ends(rows, parent=("filled", ""), stop=("filled", ""))


@both
@pytest.mark.parametrize("ending", ["refused", "cancelled", "expired", "rejected"])
def test_a_leg_that_is_given_after_its_parent_ended_does_not_wait_for_it(ending, side, market):
    sign = SIDES[side]
    bars = flat(0.0, 8) if ending != "rejected" else [*flat(0.0), None, *flat(0.0, 6)]
    valid = {"valid": dt.timedelta(days=4)} if ending == "expired" else {}

    def enter(strategy):
        order = strategy.buy if sign > 0 else strategy.sell
        limit = {"exectype": bt.Order.Limit, "price": level(strategy, -3.0), **valid}
        size = 3_000 if ending == "refused" else SIZE
        strategy.named["parent"] = order(data=strategy.a, size=size, **limit)

    def protect(strategy):
        leave = strategy.sell if sign > 0 else strategy.buy
        stop = {"exectype": bt.Order.Stop, "price": level(strategy, STOP)}
        strategy.named["stop"] = leave(data=strategy.a, size=SIZE, parent=strategy.named["parent"], **stop)

    plan = {1 if ending == "rejected" else 0: [enter], 6: [protect]}
    if ending == "cancelled":
        plan[2] = [cancel("parent")]
    result, rows = ran(market(bars, sign=sign), plan, sign=sign)
    words = {
        "refused": "was refused: ",
        "cancelled": "was cancelled by the strategy",
        "expired": "expired: its validity ended",
        "rejected": "was rejected: no bar on",
    }
    assert_ends(rows, stop=("cancelled", f"its parent order {words[ending]}"))
    assert len([line for line in result.warnings if line.startswith("Orders worth")]) == (ending != "cancelled")


@both
def test_a_bracket_that_is_not_transmitted_is_never_traded_and_says_so(side, market):
    def give(strategy):
        order = strategy.buy if SIDES[side] > 0 else strategy.sell
        strategy.named["kept"] = order(data=strategy.a, size=SIZE, transmit=False)

    result, rows = ran(market(flat(0.0, 5)), {0: [give]}, sign=SIDES[side])
    assert_ends(rows, kept=("open", "not sent: transmit was False"))
    assert not fills(result)


# -- what stock does --------------------------------------------------------------------------------------------------


def random_plan(seed, sessions, sign):
    """Brackets, linked orders and OCO groups of random distances, one every other session."""
    rng = np.random.default_rng(seed)

    def act(draw):
        def give(strategy):
            close, data = strategy.a.close[0], strategy.a
            enter, leave = (strategy.buy, strategy.sell) if sign > 0 else (strategy.sell, strategy.buy)
            far = {"stopprice": close * (1 - sign * draw[1]), "limitprice": close * (1 + sign * draw[2])}
            if draw[0] < 0.4:
                whole = strategy.buy_bracket if sign > 0 else strategy.sell_bracket
                kind = {"exectype": bt.Order.Market} if draw[0] < 0.2 else {"price": close * (1 - sign * draw[3])}
                whole(data=data, size=10, **kind, **far)
            elif draw[0] < 0.7:
                parent = enter(data=data, size=10, transmit=False)
                leave(data=data, size=10, exectype=bt.Order.Stop, price=far["stopprice"], parent=parent, transmit=False)
                leave(data=data, size=10, exectype=bt.Order.StopTrail, trailpercent=draw[2], parent=parent)
            else:
                first = enter(data=data, size=5, exectype=bt.Order.Limit, price=close * (1 - draw[1]))
                enter(data=data, size=5, exectype=bt.Order.Stop, price=close * (1 + draw[2]), oco=first)

        return give

    draws = np.column_stack([rng.random(sessions), rng.uniform(0.005, 0.04, (sessions, 3))])
    return {t: [act(draw)] for t, draw in enumerate(draws.tolist()) if t % 2 == 0}


@both
@pytest.mark.parametrize("seed", range(4))
def test_compat_is_stock_for_linked_orders(seed, side, random_prices):
    """Every notification, fill and cash of a plain Cerebro, in a wild market in which legs meet within bars."""
    sign = SIDES[side]
    prices = random_prices(1, 120, seed=seed, volatility=0.03)
    name = prices.tickers[0]
    frame = prices.frame.reset_index()
    frame["ticker"] = "A"
    prices = rs.check_prices(frame.set_index(["date", "ticker"]))
    assert name == "T000"
    runs = []
    for broker, feeds in (
        (rs.Broker(compat=True), lambda cerebro: rs.add_prices(cerebro, prices)),
        (bt.brokers.BackBroker(), pandas_feeds(prices)),
    ):
        cerebro = bt.Cerebro(stdstats=False)
        broker.set_cash(1e6)
        broker.setcommission(commission=0.001)
        cerebro.setbroker(broker)
        feeds(cerebro)
        cerebro.addstrategy(Linked, plan=random_plan(seed, 120, sign), sign=sign)
        strategy = cerebro.run()[0]
        first = strategy.heard[0][0]
        heard = [(ref - first, status, size, price) for ref, status, size, price in strategy.heard]
        runs.append((heard, broker.getcash(), broker.getvalue(), broker.getposition(strategy.a).size))
    assert runs[0] == runs[1]
    ended = [status for _, status, *_ in runs[0][0]]
    assert min(ended.count("Completed"), ended.count("Canceled")) > 20
