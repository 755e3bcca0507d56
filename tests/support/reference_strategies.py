"""Strategies as everybody writes them in plain backtrader, without our functions: what ours is measured against."""

from __future__ import annotations

import datetime as dt
import math

import backtrader as bt
from backtrader.order import BuyOrder, Order, SellOrder


def has_bar(data, today):
    """Whether the feed has a bar today; one that has not begun shows the last bar of the run."""
    return len(data) > 0 and data.datetime[0] == today


class Reference(bt.Strategy):
    """Ranks by score and orders whole shares towards equal weights, on feeds with today's bar only.

    Nothing waits for feeds that begin later. Reductions are ordered before additions. Orders whose feed has no bar on
    the next session are taken back. A holding without a bar for `delist_after` sessions is sold by hand at its last
    price less a haircut, through the same code of the stock broker that fills every order.
    """

    params = (
        ("table", None),  # {date: {ticker: score}}
        ("kind", "top"),  # top, both ends, threshold
        ("k", 5),
        ("quantile", 0.2),
        ("long", 0.5),
        ("short", -0.5),
        ("gross", 0.98),
        ("first", "reductions"),  # reductions, feeds (as they come), purchases (and much is refused)
        ("delist_after", 5),
        ("haircut", 0.0),
        ("guard", True),  # whether orders without a bar are taken back, and the dead sold
    )

    def __init__(self):
        self.values, self.cash, self.held, self.fills, self.ends = [], [], [], [], []
        self.last, self.seen, self.by_hand = {}, {}, set()
        self.count = -1
        if self.p.guard:
            self.add_timer(when=bt.timer.SESSION_START, cheat=True, name="before")
            self.add_timer(when=bt.timer.SESSION_START, cheat=False, name="after")

    # -- before and after the broker ---------------------------------------------------------------------------------

    def notify_timer(self, timer, when, *args, **kwargs):
        today = max(data.datetime[0] for data in self.datas if len(data))
        if kwargs["name"] == "before":
            self.count += 1
            self.take_back(today)
        else:
            self.sell_the_dead(today)

    def take_back(self, today):
        """Orders on their way to a feed without a bar; `cancel` of stock does not find them yet."""
        for order in list(self.broker.submitted):
            if not has_bar(order.data, today):
                self.broker.submitted.remove(order)
                self.ends.append((order.ref, order.data._name, "Expired"))

    def sell_the_dead(self, today):
        for data in self.datas:
            size = self.broker.positions[data].size
            if has_bar(data, today):
                self.last[data], self.seen[data] = data.close[0], self.count
            elif size and self.count - self.seen[data] >= self.p.delist_after:
                kind, cut = (SellOrder, 1.0 - self.p.haircut) if size > 0 else (BuyOrder, 1.0)
                order = kind(owner=self, data=data, size=abs(size), exectype=Order.Market)
                self.broker._ocoize(order, None)
                order.submit()
                order.accept()
                self.broker._execute(order, ago=0, price=self.last[data] * cut, dtcoc=today)
                self.broker._get_value()
                # stock tells of it one session late, or not at all
                self.by_hand.add(order.ref)
                for bit in order.executed:
                    self.fills.append((bt.num2date(bit.dt).date(), data._name, bit.size, bit.price, bit.comm))
                self.ends.append((order.ref, data._name, order.getstatusname()))

    # -- what is written down ----------------------------------------------------------------------------------------

    def notify_order(self, order):
        if order.ref in self.by_hand:
            return
        for bit in order.executed.getpending():
            self.fills.append((bt.num2date(bit.dt).date(), order.data._name, bit.size, bit.price, bit.comm))
        if not order.alive():
            self.ends.append((order.ref, order.data._name, order.getstatusname()))

    def prenext(self):
        self.next()

    def next(self):
        self.values.append(self.broker.getvalue())
        self.cash.append(self.broker.getcash())
        sizes = [self.getposition(data).size for data in self.datas]
        self.held.append([size * data.close[0] if size else 0.0 for size, data in zip(sizes, self.datas, strict=True)])
        scores = self.p.table.get(self.datetime.date(0))
        if scores is not None and self.broker.getvalue() > 0.0:
            self.rebalance(scores, sizes)

    # -- what is decided ---------------------------------------------------------------------------------------------

    def rebalance(self, scores, sizes):
        today = self.datetime[0]
        value = self.broker.getvalue() * self.p.gross
        trades = [j for j, data in enumerate(self.datas) if has_bar(data, today)]
        locked = math.fsum(
            abs(size * data.close[0]) / value
            for j, (data, size) in enumerate(zip(self.datas, sizes, strict=True))
            if size and j not in trades
        )
        free = max(1.0 - locked, 0.0)
        parts = self.parts({j: scores[self.datas[j]._name] for j in trades if self.datas[j]._name in scores})
        changes = []
        for j in trades:
            weight = free * parts.get(j, 0.0)
            if weight == 0.0 and not sizes[j]:
                continue
            target = math.trunc(weight * value / self.datas[j].close[0] * (1 + 1e-12))
            if target != sizes[j]:
                change = target - sizes[j]
                ranks = {"reductions": self.rank(sizes[j], target), "feeds": 0, "purchases": -(change > 0)}
                changes.append((ranks[self.p.first], j, change))
        for _, j, change in sorted(changes):
            (self.buy if change > 0 else self.sell)(data=self.datas[j], size=abs(change))

    def parts(self, scores):
        ranked = sorted(scores, key=lambda j: -scores[j])  # equal ones stay in the order of the feeds
        if self.p.kind == "top":
            return dict.fromkeys(ranked[: self.p.k], 1.0 / self.p.k)
        if self.p.kind == "threshold":
            chosen = [j for j in scores if not self.p.short <= scores[j] <= self.p.long]
            return {j: (1.0 if scores[j] > self.p.long else -1.0) / len(chosen) for j in chosen}
        side = max(math.floor(self.p.quantile * len(ranked) + 1e-9), 1)
        if 2 * side > len(ranked):
            return {}
        return dict.fromkeys(ranked[:side], 0.5 / side) | dict.fromkeys(ranked[-side:], -0.5 / side)

    @staticmethod
    def rank(held, after):
        """Sales of longs, purchases that cover shorts, new shorts, new longs."""
        if abs(after) < abs(held) and after * held >= 0:
            return 0 if after < held else 1
        return 2 if after < held else 3


class Flow(bt.Strategy):
    """Does what a list says, whatever it is; see `markets.Do` for the fields and `markets.KINDS` for what it can do."""

    params = (("todo", ()), ("trades", "any"))

    def __init__(self):
        self.plan = {}
        for do in self.p.todo:
            self.plan.setdefault(do.session, []).append(do)
        self.session = -1
        self.given = []

    def prenext(self):
        self.next()

    def next(self):
        self.session += 1
        self.sent = len(self.given)
        for do in self.plan.get(self.session, ()):
            data = self.datas[do.ticker % len(self.datas)]
            # a feed that has not begun has no bar to price an order at
            if len(data) or self.p.trades == "any":
                made = getattr(self, "do_" + do.what.replace(" ", "_"))(do, data)
                self.given.extend(order for order in made or () if order is not None)

    def give(self, do, data, **options):
        valid = {
            "none": None,
            "day": dt.timedelta(),
            "two days": dt.timedelta(days=2),
            "week": dt.timedelta(days=7),
            "date": self.datetime.date(0) + dt.timedelta(days=3),
            "number": self.datetime[0] + 2.0,
        }[do.valid]
        return (self.buy if do.size > 0 else self.sell)(
            data=data, size=abs(do.size), valid=valid, tradeid=do.other % 2, **options
        )

    def do_market(self, do, data):
        return [(self.buy if do.size > 0 else self.sell)(data=data, size=abs(do.size), note=do.other)]

    def do_limit(self, do, data):
        return [self.give(do, data, exectype=Order.Limit, price=data.close[0] * (1 + do.near))]

    def do_stop(self, do, data):
        return [self.give(do, data, exectype=Order.Stop, price=data.close[0] * (1 + do.near))]

    def do_stop_limit(self, do, data):
        price = data.close[0] * (1 + do.near)
        return [self.give(do, data, exectype=Order.StopLimit, price=price, plimit=price * (1 + do.near / 2))]

    def do_close(self, do, data):
        return [self.give(do, data, exectype=Order.Close)]

    def do_trail(self, do, data):
        if do.other % 2:
            return [self.give(do, data, exectype=Order.StopTrail, trailpercent=abs(do.near) + 0.001)]
        return [self.give(do, data, exectype=Order.StopTrail, trailamount=data.close[0] * (abs(do.near) + 0.001))]

    def do_trail_limit(self, do, data):
        price = data.close[0]
        return [
            self.give(
                do,
                data,
                exectype=Order.StopTrailLimit,
                price=price,
                plimit=price * (1 + do.near / 4),
                trailamount=price * (abs(do.near) + 0.001),
            )
        ]

    def do_bracket(self, do, data):
        price, off = data.close[0], abs(do.near) + 0.005
        entry = (
            {"exectype": Order.Market} if do.other % 2 else {"exectype": Order.Limit, "price": price * (1 + do.near)}
        )
        if do.size > 0:
            return self.buy_bracket(
                data=data, size=do.size, stopprice=price * (1 - off), limitprice=price * (1 + off), **entry
            )
        return self.sell_bracket(
            data=data, size=-do.size, stopprice=price * (1 + off), limitprice=price * (1 - off), **entry
        )

    def do_oco(self, do, data):
        first = self.give(do, data, exectype=Order.Limit, price=data.close[0] * (1 - abs(do.near)))
        second = self.give(do, data, exectype=Order.Stop, price=data.close[0] * (1 + abs(do.near)), oco=first)
        third = (
            (self.buy if do.other % 2 else self.sell)(data=data, size=abs(do.size), oco=first) if do.other > 2 else None
        )
        return [first, second, third]

    def do_cancel(self, do, data):
        if do.other < len(self.given):
            self.cancel(self.given[-1 - do.other])

    def do_cancel_old(self, do, data):
        """Cancel what was given on an earlier session; stock does not find an order before the next one."""
        old = self.given[: self.sent]
        if do.other < len(old):
            self.cancel(old[-1 - do.other])

    def do_target_percent(self, do, data):
        return [self.order_target_percent(data=data, target=do.size / 500)]

    def do_target_size(self, do, data):
        return [self.order_target_size(data=data, target=do.size)]

    def do_target_value(self, do, data):
        return [self.order_target_value(data=data, target=do.size * 20)]

    def do_flatten(self, do, data):
        return [self.close(data=data, size=abs(do.size) if do.other % 2 else None)]

    def do_sizer(self, do, data):
        return [self.buy(data=data) if do.size > 0 else self.sell(data=data)]

    def do_at_a_price(self, do, data):
        """A market order whose price only the check for cash goes by, and whose validity nobody looks at."""
        return [self.give(do, data, price=data.close[0] * (1 + do.near))]

    def do_worth(self, do, data):
        """Asked for the value of several feeds, stock forgets that of the account."""
        other = self.datas[do.other % len(self.datas)]
        if len(other) or self.p.trades == "any":
            self.broker.getvalue([data, other])

    def do_look(self, do, data):
        self.getposition(data)
        self.broker.getvalue([data])


def flow(todo, **options):
    """Adds a `Flow` to a Cerebro."""
    return lambda cerebro: cerebro.addstrategy(Flow, todo=tuple(todo), **options)


def table_of(signals):
    """Scores as a dictionary of dictionaries: what `Reference` reads."""
    table = {}
    for (day, ticker), score in signals["score"].items():
        table.setdefault(day.date(), {})[ticker] = score
    return table
