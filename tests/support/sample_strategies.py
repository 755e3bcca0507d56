"""What the samples in backtrader's repository do, each in our words and under the name of its sample."""

from __future__ import annotations

import datetime as dt

import backtrader as bt


class OrderExecution(bt.Strategy):
    """order-execution: in on a crossing with one kind of order, out when it crosses back."""

    params = (("kind", "Market"), ("percent", 1.0), ("days", 0))

    def __init__(self):
        self.up = bt.ind.CrossOver(self.data.close, bt.ind.SMA(period=15))
        self.waiting = None

    def notify_order(self, order):
        if not order.alive():
            self.waiting = None

    def next(self):
        if self.waiting:
            return
        if self.position:
            if self.up[0] < 0:
                self.sell()
        elif self.up[0] > 0:
            valid = self.datetime.date(0) + dt.timedelta(days=self.p.days) if self.p.days else None
            near = self.data.close[0] * (1.0 + self.p.percent / 100.0)
            price = {"Limit": self.data.close[0] * (1.0 - self.p.percent / 100.0), "Stop": near, "StopLimit": near}
            options = {"price": price.get(self.p.kind)}
            if self.p.kind == "StopLimit":
                options["plimit"] = self.data.close[0] * (1.0 + 2 * self.p.percent / 100.0)
            self.waiting = self.buy(exectype=getattr(bt.Order, self.p.kind), valid=valid, **options)


class OrderTarget(bt.Strategy):
    """order_target: the target follows the day of the month, up in odd months and down in even ones."""

    params = (("by", "percent"),)

    def next(self):
        day = self.datetime.date(0)
        size = day.day if day.month % 2 else 31 - day.day
        if self.p.by == "size":
            self.order_target_size(target=size)
        elif self.p.by == "value":
            self.order_target_value(target=size * 1000)
        else:
            self.order_target_percent(target=size / 100.0)


class Bracket(bt.Strategy):
    """bracket: an entry with a stop and a limit, all good for some days."""

    params = (("helper", True),)

    def __init__(self):
        self.cross = bt.ind.CrossOver(bt.ind.SMA(period=5), bt.ind.SMA(period=15))
        self.live = []

    def notify_order(self, order):
        if not order.alive() and order.ref in self.live:
            self.live.remove(order.ref)

    def next(self):
        if self.live or self.position or self.cross[0] <= 0:
            return
        close = self.data.close[0]
        entry, stop, limit = close * 0.995, close * 0.975, close * 1.015
        days = dt.timedelta(3), dt.timedelta(1000), dt.timedelta(1000)
        if self.p.helper:
            orders = self.buy_bracket(
                price=entry, valid=days[0], stopprice=stop, limitprice=limit,
                stopargs={"valid": days[1]}, limitargs={"valid": days[2]},
            )  # fmt: skip
        else:
            first = self.buy(exectype=bt.Order.Limit, price=entry, valid=days[0], transmit=False)
            second = self.sell(exectype=bt.Order.Stop, price=stop, valid=days[1], parent=first, transmit=False)
            third = self.sell(exectype=bt.Order.Limit, price=limit, valid=days[2], parent=first, transmit=True)
            orders = [first, second, third]
        self.live = [order.ref for order in orders]


class OneCancels(bt.Strategy):
    """oco: three limits, the first to fill ends the others; out after some days."""

    def __init__(self):
        self.cross = bt.ind.CrossOver(bt.ind.SMA(period=5), bt.ind.SMA(period=15))
        self.live, self.since = [], 0

    def notify_order(self, order):
        if not order.alive() and order.ref in self.live:
            self.live.remove(order.ref)
        if order.status == order.Completed:
            self.since = len(self)

    def next(self):
        if self.live:
            return
        if not self.position:
            if self.cross[0] > 0:
                prices = [self.data.close[0] * part for part in (0.99, 0.98, 0.95)]
                first = self.buy(exectype=bt.Order.Limit, price=prices[0], valid=dt.timedelta(3))
                second = self.buy(exectype=bt.Order.Limit, price=prices[1], valid=dt.timedelta(50), oco=first)
                third = self.buy(exectype=bt.Order.Limit, price=prices[2], valid=dt.timedelta(50), oco=second)
                self.live = [first.ref, second.ref, third.ref]
        elif len(self) - self.since >= 10:
            self.close()


class Trailing(bt.Strategy):
    """stoptrail: in on a crossing, out by a stop that follows."""

    params = (("percent", 0.05), ("amount", None), ("limit", None))

    def __init__(self):
        self.cross = bt.ind.CrossUp(bt.ind.SMA(period=5), bt.ind.SMA(period=15))
        self.order = None

    def next(self):
        if not self.position:
            if self.cross[0]:
                self.buy()
                self.order = None
        elif self.order is None:
            options = {"trailamount": self.p.amount, "trailpercent": None if self.p.amount else self.p.percent}
            if self.p.limit is not None:
                price = self.data.close[0]
                options |= {"price": price, "plimit": price - self.p.limit}
            kind = bt.Order.StopTrail if self.p.limit is None else bt.Order.StopTrailLimit
            self.order = self.sell(exectype=kind, **options)


class StopInNotify(bt.Strategy):
    """stop-trading: the stop is given when the purchase is heard of."""

    params = (("loss", 0.02), ("trail", False))

    def __init__(self):
        self.cross = bt.ind.CrossUp(bt.ind.EMA(period=10), bt.ind.EMA(period=20))
        self.average = bt.ind.SMA(period=10)

    def notify_order(self, order):
        if order.status != order.Completed or not order.isbuy():
            return
        if self.p.trail:
            self.sell(exectype=bt.Order.StopTrail, trailamount=order.executed.price * self.p.loss)
        else:
            self.sell(exectype=bt.Order.Stop, price=order.executed.price * (1.0 - self.p.loss))

    def next(self):
        if not self.position and self.cross[0] > 0:
            self.buy()


class MacdSettings(bt.Strategy):
    """macd-settings: in when MACD crosses its signal in a rising market, out below a stop that only rises."""

    def __init__(self):
        self.macd = bt.ind.MACD(period_me1=12, period_me2=26, period_signal=9)
        self.cross = bt.ind.CrossOver(self.macd.macd, self.macd.signal)
        self.range = bt.ind.ATR(period=14)
        average = bt.ind.SMA(period=30)
        self.direction = average - average(-10)
        self.stop_at = 0.0

    def next(self):
        close = self.data.close[0]
        if not self.position:
            if self.cross[0] > 0.0 and self.direction[0] < 0.0:
                self.buy()
                self.stop_at = close - 3.0 * self.range[0]
        elif close < self.stop_at:
            self.close()
        else:
            self.stop_at = max(self.stop_at, close - 3.0 * self.range[0])


class BuyTheDip(bt.Strategy):
    """btfd: fell by so much from the day before: buy, and sell some days later."""

    params = (("fall", -0.01), ("hold", 2), ("target", 100.0))

    def __init__(self):
        self.change = bt.ind.PctChange(self.data, period=1)
        self.left = 0

    def next(self):
        self.left -= 1
        if self.position and not self.left:
            self.order_target_percent(target=0.0)
        elif not self.position and self.change[0] < self.p.fall:
            self.order_target_percent(target=self.p.target / 100.0)
            self.left = self.p.hold


class MultiTrades(bt.Strategy):
    """multitrades: three trades of one asset, kept apart by their numbers."""

    def __init__(self):
        self.cross = bt.ind.CrossOver(self.data, bt.ind.SMA(period=15))
        self.number = 0

    def next(self):
        if self.cross[0] > 0:
            self.close(tradeid=self.number)
            self.number = (self.number + 1) % 3
            self.buy(tradeid=self.number)
        elif self.cross[0] < 0:
            self.close(tradeid=self.number)
            self.number = (self.number + 1) % 3
            self.sell(tradeid=self.number)


class Pairs(bt.Strategy):
    """pair-trading: the spread of two stocks in standard deviations of its past."""

    def __init__(self):
        self.spread = self.data0 - self.data1
        self.score = (self.spread - bt.ind.SMA(self.spread, period=20)) / bt.ind.StdDev(self.spread, period=20)
        self.side = 0

    def next(self):
        score = self.score[0]
        if score > 1.5 and self.side != 1:
            self.side = 1
            self.order_target_value(self.data0, -20_000)
            self.order_target_value(self.data1, 20_000)
        elif score < -1.5 and self.side != 2:
            self.side = 2
            self.order_target_value(self.data0, 20_000)
            self.order_target_value(self.data1, -20_000)
        elif abs(score) < 0.3 and self.side:
            self.side = 0
            self.close(self.data0)
            self.close(self.data1)


class OtherData(bt.Strategy):
    """multidata-strategy: one asset is traded on signals of the other."""

    def __init__(self):
        self.signal = bt.ind.CrossOver(self.data1.close, bt.ind.SMA(self.data1, period=15))

    def next(self):
        if not self.position and self.signal[0] > 0:
            self.buy(size=100)
        elif self.position and self.signal[0] < 0:
            self.sell(size=100)


class MixedFrames(bt.Strategy):
    """mixing-timeframes: daily closes against the pivot point of the month before."""

    def __init__(self):
        self.pivot = bt.ind.PivotPoint(self.data1)
        self.above = self.data0.close - self.pivot.s1()

    def next(self):
        if self.above[0] > 0 and not self.position:
            self.buy(size=10)
        elif self.above[0] < 0 and self.position:
            self.close()


class AtTheOpen(bt.Strategy):
    """cheat-on-open: decided at the close, sized and given at the open."""

    def __init__(self):
        self.up = bt.ind.CrossOver(bt.ind.SMA(period=10), bt.ind.SMA(period=30))
        self.wish = None

    def next(self):
        self.wish = True if self.up[0] > 0 else False if self.up[0] < 0 else None

    def next_open(self):
        if self.wish is not None:
            self.order_target_percent(target=0.9 if self.wish else 0.0)
            self.wish = None


class AtTheClose(bt.Strategy):
    """order-close: sold and bought at the close."""

    def next(self):
        if self.position:
            self.close(exectype=bt.Order.Close)
        elif self.data.close[0] < self.data.open[0]:
            self.buy(exectype=bt.Order.Close)


class LongShort(bt.SignalStrategy):
    """signals-strategy: price against its average; out by a slower one."""

    def __init__(self):
        self.signal_add(bt.SIGNAL_LONGSHORT, self.data - bt.ind.SMA(period=30))
        self.signal_add(bt.SIGNAL_LONGEXIT, bt.ind.SMA(period=5) - bt.ind.SMA(period=15))


class Rsi(bt.SignalStrategy):
    """kselrsi: two relative strengths, both low."""

    def __init__(self):
        fast, slow = bt.ind.RSI(period=7), bt.ind.RSI(period=14)
        self.signal_add(bt.SIGNAL_LONG, bt.And(fast < 45, slow < 50))
        self.signal_add(bt.SIGNAL_LONGEXIT, bt.Or(fast > 60, slow > 55) * -1.0)


class LongOnly(bt.Sizer):
    """sizertest: sells what there is."""

    params = (("stake", 10),)

    def _getsizing(self, comminfo, cash, data, isbuy):
        if isbuy:
            return self.p.stake
        return min(self.broker.getposition(data).size, self.p.stake)


class CloseOnly(bt.Strategy):
    """sizertest: long above the average, short below, as the sizer lets."""

    def __init__(self):
        self.cross = bt.ind.CrossOver(self.data, bt.ind.SMA(period=15))

    def next(self):
        if self.cross[0] > 0:
            self.buy()
        elif self.cross[0] < 0:
            self.sell()
