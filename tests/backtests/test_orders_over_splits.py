"""Orders that wait over a split of raw prices: held to the same run without the split, counted in new shares.

The rule of `backtests.broker.corporate_actions`: what is left of the size is multiplied by the ratio, towards zero in
whole shares; stop, limit and trailing amounts are divided by it; less than one share is cancelled, and a warning lists
it.
"""

from __future__ import annotations

import backtrader as bt
import numpy as np
import pandas as pd
import pytest

import rnn_strategies as rs

RATIOS = {"2:1": 2.0, "3:2": 1.5, "1:10": 0.1}
SIDES = {"buy": 1, "sell": -1}
SPLIT, TRIGGER = 4, 6

# price, in old shares, as distances from 50 in the direction of the order; the bar on which each is reached
WAITING = {
    "Limit": {"price": -4.0},
    "Stop": {"price": 4.0},
    "StopLimit": {"price": 4.0, "plimit": 5.0},
    "StopTrail": {"trailamount": 4.0},
    "StopTrail, percent": {"trailpercent": 0.08},
    "StopTrailLimit": {"price": 0.0, "plimit": 1.0, "trailamount": 4.0},
}
BARS = {
    "gap": {"Limit": (-5.0, -3.0, -6.0, -4.0), "Stop": (4.5, 6.0, 3.0, 5.0)},
    "inside": {"Limit": (-1.0, 0.0, -6.0, -1.0), "Stop": (1.0, 6.0, 0.0, 5.0)},
}


def options(name, sign):
    """Arguments of an order whose prices are in old shares."""
    given = {"exectype": getattr(bt.Order, name.split(",")[0])}
    for key, value in WAITING[name].items():
        given[key] = 50.0 + sign * value if key in ("price", "plimit") else value
    return given


@pytest.fixture
def raw_market(days):
    """Raw prices of A from bars in old shares and splits by session; None is a session without a bar."""

    def make(bars, splits=None, *, volume=1e6):
        splits = splits or {}
        n = len(bars)
        shares = np.cumprod([splits.get(t, 1.0) for t in range(n)])
        known = [t for t in range(n) if bars[t] is not None]
        stamps = pd.DatetimeIndex(days(n).astype("datetime64[ns]"))
        columns = ["open", "high", "low", "close"]
        worth = np.array([bars[t] for t in known], dtype=float)
        frame = pd.DataFrame(worth / shares[-1], columns=columns)  # adjusted: in the shares of the last session
        amount = np.broadcast_to(np.asarray(volume, dtype=float), n)[known]
        frame = frame.assign(volume=amount, adj_factor=shares[known] / shares[-1], date=stamps[known], ticker="A")
        calm = pd.DataFrame(dict.fromkeys(columns, 20.0), index=range(n))
        other = calm.assign(volume=1e6, adj_factor=1.0, date=stamps, ticker="B")
        index = pd.MultiIndex.from_arrays([stamps[sorted(splits)], ["A"] * len(splits)], names=["date", "ticker"])
        actions = pd.DataFrame({"split": [splits[t] for t in sorted(splits)], "dividend": 0.0}, index=index)
        both = pd.concat([frame, other]).set_index(["date", "ticker"]).sort_index()
        return rs.check_prices(both, actions=actions.astype(float))

    return make


class Planned(bt.Strategy):
    """Does what is planned for a session."""

    params = (("plan", {}),)

    def __init__(self):
        self.session = -1

    def prenext(self):
        self.next()

    def next(self):
        self.session += 1
        for act in self.p.plan.get(self.session, ()):
            act(self, self.getdatabyname("A"))


def give(signed, **given):
    return lambda strategy, data: (strategy.buy if signed > 0 else strategy.sell)(data=data, size=abs(signed), **given)


def traded(prices, plan, **changes):
    terms = {"cash": 1e5, "commission": 0.0, "slippage": 0.0, "borrow_rate": 0.0, "dividends": "cash"} | changes
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(rs.Broker(rs.BrokerSettings(**terms)))
    rs.add_prices(cerebro, prices, adjusted=False)
    cerebro.addstrategy(Planned, plan=plan)
    cerebro.addanalyzer(rs.AccountRecorder)
    return cerebro.run()[0].analyzers.accountrecorder.result()


def path(kind, moment, sign, *, reached=True):
    """Bars in old shares, turned upside down for sales; the order is reached on `TRIGGER` or never."""
    quiet = [(0.0, 0.5, -0.5, 0.0)] * 9
    if reached:
        quiet[TRIGGER] = BARS[moment]["Limit" if kind == "Limit" else "Stop"]
    rows = []
    for open_, best, worst, close in quiet:
        prices = [50.0 + sign * value for value in (open_, best, worst, close)]
        rows.append((prices[0], max(prices[1:3]), min(prices[1:3]), prices[3]))
    return rows


def whole(shares):
    return float(np.trunc(shares + np.copysign(1e-9, shares)))


def assert_cancelled_aloud(result, name, count=1):
    """No order may end over a split without the split in its reason and in a warning."""
    ended = result.orders[result.orders["status"] == "cancelled"]
    assert len(ended) == count
    assert ended["reason"].str.startswith("split of ").all()
    (line,) = [line for line in result.warnings if "cancelled by a split" in line]
    assert name.split(",")[0].lower() in line


@pytest.mark.parametrize(("moment", "fractional"), [("gap", False), ("inside", False), ("inside", True)])
@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", WAITING)
def test_it_fills_where_it_would_have_filled_without_the_split(name, side, ratio, moment, fractional, raw_market):
    sign, k, sizes = SIDES[side], RATIOS[ratio], (100, 25, 3)
    bars = path(name, moment, sign)
    plan = {1: [give(sign * size, **options(name, sign)) for size in sizes]}
    without = traded(raw_market(bars), plan, fractional=fractional)
    over = traded(raw_market(bars, {SPLIT: k}), plan, fractional=fractional)
    assert [without.returns.index.get_loc(day) for day in without.transactions.index] == [TRIGGER] * 3
    left = [size * k if fractional else whole(size * k) for size in sizes]
    some = np.array(left) != 0.0
    assert over.transactions.index.equals(without.transactions.index[some])
    # raw prices are rounded at their tenth decimal
    assert (over.transactions["price"] * k).tolist() == pytest.approx(
        without.transactions["price"][some].tolist(), rel=1e-9
    )
    assert over.transactions["amount"].tolist() == pytest.approx([sign * shares for shares in left if shares])
    assert over.orders["filled"].tolist() == pytest.approx(left)
    assert over.orders["size"].tolist() == pytest.approx([n or size for n, size in zip(left, sizes, strict=True)])
    if some.all():
        assert over.warnings == ()
    else:
        assert_cancelled_aloud(over, name)


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("name", WAITING)
def test_one_that_is_never_reached_is_open_at_the_end(name, ratio, raw_market):
    bars = path(name, "gap", 1, reached=False)
    result = traded(raw_market(bars, {SPLIT: RATIOS[ratio]}), {1: [give(100, **options(name, 1))]})
    assert result.orders["status"].tolist() == ["open"]
    assert result.orders["size"].tolist() == [pytest.approx(100 * RATIOS[ratio])]
    assert result.warnings == ()


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("given", [1, SPLIT - 1, SPLIT])
@pytest.mark.parametrize("kind", ["Market", "Close"])
def test_orders_for_the_next_session_too(kind, given, ratio, raw_market):
    k = RATIOS[ratio]
    bars = path("Market", "gap", 1, reached=False)
    result = traded(raw_market(bars, {SPLIT: k}), {given: [give(100, exectype=getattr(bt.Order, kind))]})
    after = k if given == SPLIT - 1 else 1.0  # on its way when the split comes
    price = 50.0 / k if given >= SPLIT - 1 else 50.0
    (fill,) = result.transactions.itertuples()
    assert (fill.amount, fill.price) == (pytest.approx(100 * after), pytest.approx(price))
    assert result.returns.index.get_loc(fill.Index) == given + 1


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("name", ["Limit", "Stop"])
def test_only_what_is_left_of_it_is_split(name, ratio, raw_market):
    """40 of 100 fill before the split, at a volume that allows no more; the rest after it."""
    k = RATIOS[ratio]
    bars = path(name, "gap", 1, reached=False)
    price = 52.0 if name == "Limit" else 48.0  # reached at once
    volume = [1e6, 1e6, 400.0, 0.0, *[1e6] * 5]
    waits = give(100, exectype=getattr(bt.Order, name), price=price)
    result = traded(raw_market(bars, {SPLIT: k}, volume=volume), {1: [waits]}, max_participation_rate=0.1)
    fills = [(result.returns.index.get_loc(day), row.amount) for day, row in result.transactions.iterrows()]
    assert fills == [(2, 40.0), (SPLIT, pytest.approx(60 * k))]
    assert result.orders["filled"].tolist() == [pytest.approx(40 + 60 * k)]
    assert result.orders["status"].tolist() == ["filled"]
    assert result.positions["A"].iloc[-1] == pytest.approx((40 * k + 60 * k) * 50.0 / k)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("first", ["stop", "target"])
def test_legs_of_a_bracket_close_what_the_split_left(first, ratio, side, raw_market):
    sign, k = SIDES[side], RATIOS[ratio]

    def bracket(strategy, data):
        order = strategy.buy_bracket if sign > 0 else strategy.sell_bracket
        levels = {"stopprice": 50.0 - sign * 4.0, "limitprice": 50.0 + sign * 4.0}
        order(data=data, size=25, exectype=bt.Order.Market, **levels)

    towards = sign if first == "target" else -sign
    bars = path("Stop", "inside", towards)
    result = traded(raw_market(bars, {SPLIT: k}), {1: [bracket]})
    rest = whole(25 * k)
    assert result.transactions["amount"].tolist() == [sign * 25.0, -sign * rest]
    assert result.transactions["price"].iloc[1] * k == pytest.approx(50.0 + towards * 4.0)
    assert result.positions["A"].iloc[-1] == 0.0
    assert sorted(result.orders["status"]) == ["cancelled", "filled", "filled"]
    assert (
        result.orders["reason"][result.orders["status"] == "cancelled"] == "another order of its bracket filled"
    ).all()
    assert result.warnings == ()


def test_a_bracket_of_which_less_than_a_share_is_left_is_listed_and_paid_out(raw_market):
    def bracket(strategy, data):
        strategy.buy_bracket(data=data, size=5, exectype=bt.Order.Market, stopprice=46.0, limitprice=54.0)

    result = traded(raw_market(path("Stop", "inside", 1), {SPLIT: 0.1}), {1: [bracket]})
    assert result.positions["A"].iloc[-1] == 0.0
    assert result.cash_flows["kind"].tolist() == ["split", "cash in lieu"]
    assert result.cash_flows["amount"].sum() == pytest.approx(5 * 50.0)
    reasons = result.orders["reason"][result.orders["status"] == "cancelled"].tolist()
    assert len(reasons) == 2
    assert all("split of 0.1 for 1" in reason for reason in reasons)
    assert any("cancelled by a split" in line for line in result.warnings)


@pytest.mark.parametrize("ratio", RATIOS)
def test_orders_of_an_oco_group_are_split_together(ratio, raw_market):
    k = RATIOS[ratio]

    def group(strategy, data):
        first = strategy.buy(data=data, size=20, exectype=bt.Order.Limit, price=46.0)
        strategy.buy(data=data, size=20, exectype=bt.Order.Stop, price=54.0, oco=first)

    result = traded(raw_market(path("Stop", "inside", 1), {SPLIT: k}), {1: [group]})
    assert result.orders["status"].tolist() == ["cancelled", "filled"]
    assert result.orders["reason"].iloc[0] == "another order of its OCO group filled"
    assert result.transactions[["amount", "price"]].to_numpy().tolist() == [
        [pytest.approx(20 * k), pytest.approx(54.0 / k)]
    ]


@pytest.mark.parametrize("halt", [False, True])
def test_several_splits_and_a_halt_on_one_of_them(halt, raw_market):
    """2:1, then 1:10, then 3:2: 100 shares at 54 become 30 at 180."""
    splits = {2: 2.0, SPLIT: 0.1, 5: 1.5}
    bars = path("Stop", "inside", 1)
    if halt:
        bars[SPLIT] = None
    result = traded(raw_market(bars, splits), {1: [give(100, exectype=bt.Order.Stop, price=54.0)]})
    (fill,) = result.transactions.itertuples()
    assert (fill.amount, fill.price) == (pytest.approx(30.0), pytest.approx(180.0))
    assert result.returns.index.get_loc(fill.Index) == TRIGGER


def test_every_order_ends_in_the_table(raw_market):
    """Whatever the size and ratio: filled, open, or cancelled with the split as its reason and in a warning."""
    for ratio in (2.0, 1.5, 0.1, 1 / 3, 7.0):
        sizes = [1, 2, 3, 9, 10, 11, 30]
        plan = {1: [give(size, **options("Limit", 1)) for size in sizes]}
        result = traded(raw_market(path("Limit", "gap", 1), {SPLIT: ratio}), plan)
        assert len(result.orders) == len(sizes)
        gone = [size for size in sizes if not whole(size * ratio)]
        ended = result.orders["status"] == "cancelled"
        assert result.orders["size"][ended].tolist() == gone
        assert (result.orders["status"][~ended] == "filled").all()
        if gone:
            assert_cancelled_aloud(result, "Limit", len(gone))
