"""What backtrader's own samples do, on backtrader's own sample data: our feeds and broker give what stock gives.

Each strategy does what the sample of that name in backtrader's repository does, in our words; the data are the files
the samples read.
"""

from __future__ import annotations

import datetime as dt

import backtrader as bt
import pytest
from diary import assert_same, lived, our_broker, our_feeds, pandas_feeds, statuses, stock_broker
from markets import set_account

import rnn_strategies as rs

SAMPLES = "backtrader-sample-datas"


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
    """multidata-strategy: one asset is traded, the other says when."""

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


SINGLE = {
    **{f"order-execution {kind}": (OrderExecution, {"kind": kind}) for kind in ("Market", "Close", "Limit", "Stop")},
    "order-execution StopLimit": (OrderExecution, {"kind": "StopLimit"}),
    "order-execution, valid": (OrderExecution, {"kind": "Limit", "days": 4, "percent": 2.0}),
    **{f"order_target {by}": (OrderTarget, {"by": by}) for by in ("size", "value", "percent")},
    "bracket": (Bracket, {}),
    "bracket by hand": (Bracket, {"helper": False}),
    "oco": (OneCancels, {}),
    "stoptrail": (Trailing, {}),
    "stoptrail by an amount": (Trailing, {"amount": 20.0}),
    "stoptrail to a limit": (Trailing, {"limit": 5.0}),
    "stop-trading": (StopInNotify, {}),
    "stop-trading, trailing": (StopInNotify, {"trail": True}),
    "macd-settings": (MacdSettings, {}),
    "btfd": (BuyTheDip, {}),
    "btfd, most of it": (BuyTheDip, {"target": 95.0}),
    "multitrades": (MultiTrades, {}),
    "cheat-on-open": (AtTheOpen, {}),
    "order-close": (AtTheClose, {}),
    "signals-strategy": (LongShort, {}),
    "kselrsi": (Rsi, {}),
    "sizertest": (CloseOnly, {}),
}

ACCOUNT = {"cash": 100_000.0, "commission": 0.001}


def compare(ours, theirs, strategy, *, account=ACCOUNT, least=8, **options):
    account = set_account(**account)
    expected, _ = lived(theirs, stock_broker(), strategy, account=account, **options)
    found, _ = lived(ours, our_broker(), strategy, account=account, **options)
    assert_same(found, expected)
    assert statuses(expected).get("Completed", 0) >= least


@pytest.fixture(scope="module")
def index_future(shared_data):
    """backtrader's standard sample, two years of an index future."""
    path = shared_data / SAMPLES / "2005-2006-day-001.txt"
    return rs.load_prices(source="files", path=str(path), calendar="XETR")


@pytest.mark.parametrize("name", SINGLE)
def test_on_the_standard_sample(index_future, name):
    kind, params = SINGLE[name]
    options = {"cerebro_options": {"cheat_on_open": True}} if kind is AtTheOpen else {}
    sizers = {CloseOnly: (LongOnly, {}), MacdSettings: (bt.sizers.PercentSizer, {"percents": 50})}

    def more(cerebro):
        if kind in sizers:
            cerebro.addsizer(sizers[kind][0], **sizers[kind][1])

    compare(
        our_feeds(index_future),
        pandas_feeds(index_future),
        lambda cerebro: cerebro.addstrategy(kind, **params),
        more=more,
        least=2,
        **options,
    )


@pytest.mark.parametrize("name", ["order_target size", "bracket", "stop-trading", "btfd, most of it", "kselrsi"])
@pytest.mark.parametrize(
    "file",
    ["orcl-2003-2005.txt", "yhoo-2003-2005.txt", pytest.param("nvda-1999-2014.txt.gz", marks=pytest.mark.slow)],
)
def test_on_long_histories_of_stocks(shared_data, file, name):
    prices = rs.load_prices(source="files", path=str(shared_data / SAMPLES / file))
    kind, params = SINGLE[name]
    compare(our_feeds(prices), pandas_feeds(prices), lambda c: c.addstrategy(kind, **params), least=1)


SLIPPAGES = [
    ("perc", 0.01, {}),
    ("perc", 0.01, {"slip_match": False}),
    ("fixed", 0.5, {"slip_open": False}),
    ("perc", 0.02, {"slip_out": True}),
]


@pytest.mark.parametrize("slippage", SLIPPAGES, ids=str)
def test_slippage_sample(index_future, slippage):
    account = ACCOUNT | {"slippage": slippage}
    compare(our_feeds(index_future), pandas_feeds(index_future), lambda c: c.addstrategy(CloseOnly), account=account)


def test_commission_schemes_and_credit_interest(index_future):
    """commission-schemes, credit-interest: the index as a future, and shorts that pay."""
    future = {"commission": 2.0, "margin": 2000.0, "mult": 10.0}
    lent = {"commission": 0.0005, "interest": 0.15}
    for options in (future, lent, {**lent, "interest_long": True}):

        def account(broker, options=options):
            broker.setcash(50_000.0)
            broker.setcommission(**options)

        def strategy(cerebro):
            cerebro.addstrategy(CloseOnly)

        theirs, _ = lived(pandas_feeds(index_future), stock_broker(), strategy, account=account)
        ours, _ = lived(our_feeds(index_future), our_broker(), strategy, account=account)
        assert_same(ours, theirs)
        assert statuses(theirs)["Completed"] > 20


@pytest.fixture(scope="module")
def two_stocks(shared_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    for name in ("orcl-1995-2014.txt.gz", "yhoo-1996-2014.txt.gz"):
        (folder / name).symlink_to(shared_data / SAMPLES / name)
    return rs.load_prices(source="files", path=str(folder))


@pytest.mark.parametrize("kind", [Pairs, OtherData])
def test_two_stocks_that_begin_apart(two_stocks, kind):
    """pair-trading, multidata-strategy-unaligned: one was listed a year before the other."""
    assert not two_stocks.panel().traded.all(axis=0).all()
    # the vectorised path of backtrader cannot subtract lines of two lengths
    runonce = kind is not Pairs
    compare(our_feeds(two_stocks), pandas_feeds(two_stocks), lambda c: c.addstrategy(kind), least=40, runonce=runonce)


def test_mixing_timeframes(index_future):
    def make(feeds):
        def add(cerebro):
            feeds(index_future)(cerebro)
            cerebro.resampledata(cerebro.datas[0], timeframe=bt.TimeFrame.Months, name="months")

        return add

    compare(make(our_feeds), make(pandas_feeds), lambda c: c.addstrategy(MixedFrames), runonce=False)


def test_renko(index_future):
    """renko: bars made of moves instead of days, by a filter."""

    def make(feeds):
        def add(cerebro):
            feeds(index_future)(cerebro)
            cerebro.datas[0].addfilter(bt.filters.Renko, size=20.0)

        return add

    compare(make(our_feeds), make(pandas_feeds), lambda c: c.addstrategy(CloseOnly))


def test_data_filler(index_future):
    """data-filler: weekends become bars that repeat Friday's close."""

    def make(feeds):
        def add(cerebro):
            feeds(index_future)(cerebro)
            cerebro.datas[0].addfilter(bt.filters.CalendarDays, fill_price=0.0, fill_vol=0)

        return add

    compare(make(our_feeds), make(pandas_feeds), lambda c: c.addstrategy(CloseOnly))
