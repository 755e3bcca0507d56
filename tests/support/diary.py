"""Everything a backtrader run tells its user, bit for bit, so that two runs can be held against each other."""

from __future__ import annotations

import datetime as dt
import warnings
from contextlib import contextmanager

import backtrader as bt

import rnn_strategies as rs

# what our broker writes into the free-form notes of an order besides the user's own
OUR_NOTES = "broker_"


def bits(value):
    """Numbers as text that is equal only when every bit is; all else as it is."""
    if isinstance(value, bool | str | int | None | dt.date | dt.timedelta):
        return value
    if isinstance(value, float):  # numpy's float64 too
        return "nan" if value != value else float(value).hex()
    if isinstance(value, list | tuple):
        return tuple(map(bits, value))
    if isinstance(value, dict):
        return {key: bits(entry) for key, entry in value.items()}
    return value


class Diary(bt.Analyzer):
    """Every notification in the order in which it came, and the account at every close.

    Running numbers of orders and trades count from the first of the run; `touch` says whether every position is looked
    up at every close, as many strategies do, which makes the stock broker add values up in another order.
    """

    params = (("touch", False),)

    def start(self):
        self.events = []
        self._orders, self._trades = next(bt.Order.refbasis), next(bt.Trade.refbasis)

    def notify_order(self, order):
        self.events.append(("order", self.order(order)))

    def notify_trade(self, trade):
        self.events.append(("trade", self.trade(trade)))

    def notify_cashvalue(self, cash, value):
        self.events.append(("cashvalue", bits((cash, value))))

    def notify_fund(self, cash, value, fundvalue, shares):
        self.events.append(("fund", bits((cash, value, fundvalue, shares))))

    def next(self):
        broker = self.strategy.broker
        today = self.strategy.datetime[0]
        if self.p.touch:
            held = [(broker.getposition(data).size, broker.getposition(data).price) for data in self.datas]
        else:
            found = broker.positions
            held = [
                (j, found[data].size, found[data].price)
                for j, data in enumerate(self.datas)
                if data in found and found[data].size
            ]
        state = (broker.getvalue(), broker.getcash(), broker.get_value(mkt=True), broker.get_leverage())
        self.events.append(("close", str(bt.num2date(today)), bits(state), bits(held)))

    def stop(self):
        # what nobody is told any more: orders given on the last bar, and those that still wait
        broker = self.strategy.broker
        for name in ("notifs", "submitted", "pending"):
            left = [self.order(order) for order in getattr(broker, name)]
            self.events.append((f"left in {name}", tuple(left)))

    def order(self, order):
        """All that an order shows, as one tuple."""
        created, executed = order.created, order.executed
        parent = getattr(order.parent, "ref", None)
        notes = {key: value for key, value in order.info.items() if not key.startswith(OUR_NOTES)}
        bit = ("dt", "size", "price", "closed", "closedvalue", "closedcomm", "opened", "openedvalue", "openedcomm")
        bit += ("value", "comm", "pnl", "psize", "pprice")
        return (
            order.ref - self._orders,
            order.data._name,
            order.ordtypename(),
            order.getordername(),
            order.getstatusname(),
            ("size", bits(order.size)),
            ("made of", isinstance(order, bt.BuyOrder), isinstance(order, bt.SellOrder), isinstance(order, bt.Order)),
            ("family", None if parent is None else parent - self._orders, order.transmit, order.tradeid, notes),
            ("limits", bits((order.price, order.pricelimit, order.plimit, order.valid, order.dteos))),
            ("trail", bits((order.trailamount, order.trailpercent))),
            ("created", bits([getattr(created, name) for name in ("dt", "size", "remsize", "price", "pricelimit")])),
            ("closed at", bits((created.pclose, created.trailamount, created.trailpercent, created.plimit))),
            ("executed", bits([getattr(executed, name) for name in ("dt", "size", "remsize", "price", "value")])),
            ("booked", bits([getattr(executed, name) for name in ("comm", "margin", "pnl", "psize", "pprice")])),
            ("bits", len(executed), executed.p1, executed.p2),
            ("pending", bits([[getattr(part, name) for name in bit] for part in executed.getpending()])),
            ("state", order.alive(), order.active(), order.triggered, getattr(order, "plen", None)),
            ("scheme", order.comminfo is None, type(order.owner).__name__),
        )

    def trade(self, trade):
        """All that a trade shows, as one tuple."""
        names = ("size", "price", "value", "commission", "pnl", "pnlcomm", "isopen", "isclosed", "justopened")
        names += ("baropen", "dtopen", "barclose", "dtclose", "barlen", "status", "tradeid", "historyon")
        history = [dict(entry.event) | dict(entry.status) for entry in trade.history]
        for entry in history:
            entry.pop("order", None)
        return (
            trade.ref - self._trades,
            trade.data._name,
            *((name, bits(getattr(trade, name))) for name in names),
            tuple(str(sorted((key, bits(value)) for key, value in entry.items())) for entry in history),
        )


def pandas_feeds(prices, tickers=None, *, start=None):
    """Adds what everybody has: one `PandasData` per ticker, with the rows the ticker has and no others."""

    def add(cerebro):
        for ticker in tickers or prices.tickers:
            rows = prices.frame.xs(ticker, level="ticker")
            cerebro.adddata(bt.feeds.PandasData(dataname=rows if start is None else rows[rows.index >= start]), ticker)

    return add


def our_feeds(prices, tickers=None, **options):
    """Adds the feeds of this project."""
    return lambda cerebro: rs.add_prices(cerebro, prices, tickers=tickers, **options)


def stock_broker():
    return bt.brokers.BackBroker()


def our_broker():
    return rs.Broker(compat=True)


def lived(feeds, broker, strategy, *, account=None, more=None, touch=False, cerebro_options=None, **run_options):
    """Run in a Cerebro; gives (events of the diary, strategy).

    `account` is called with the broker and sets cash and costs, `more` with the Cerebro and adds whatever else.
    """
    cerebro = bt.Cerebro(**({"stdstats": False} | (cerebro_options or {})))
    cerebro.setbroker(broker)
    if account is not None:
        account(broker)
    feeds(cerebro)
    strategy(cerebro)
    cerebro.addanalyzer(Diary, _name="diary", touch=touch)
    if more is not None:
        more(cerebro)
    with quiet():
        ran = cerebro.run(**run_options)[0]
    return ran.analyzers.diary.events, ran


@contextmanager
def quiet():
    """Live runs of backtrader, which `runonce=False` takes, warn about themselves."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="datetime.datetime.utcnow", category=DeprecationWarning)
        yield


def difference(ours, theirs):
    """First event that is not the same, in words; None when there is none."""
    for n, (our, their) in enumerate(zip(ours, theirs, strict=False)):
        if our != their:
            if our[0] == their[0] == "order":
                pairs = zip(our[1], their[1], strict=True)
                return f"event {n}, order {our[1][:5]}: " + "; ".join(f"{a} is not {b}" for a, b in pairs if a != b)
            before = [event for event in theirs[:n] if event[0] == "close"]
            return f"event {n}, after {before[-1][1] if before else 'the start'}: ours {our}; stock {their}"
    if len(ours) != len(theirs):
        longer, whose = (ours, "ours") if len(ours) > len(theirs) else (theirs, "stock")
        at = min(len(ours), len(theirs))
        return f"{len(ours)} events of ours, {len(theirs)} of stock; {whose} goes on with {longer[at]}"
    return None


def assert_same(ours, theirs):
    """Fail with the first event that is not the same."""
    __tracebackhide__ = True
    found = difference(ours, theirs)
    if found is not None:
        raise AssertionError(found)  # not pytest.fail, which would hide what hypothesis found


def statuses(events):
    """How many orders ended how."""
    last = {event[1][0]: event[1][4] for event in events if event[0] == "order"}
    counts = {}
    for status in last.values():
        counts[status] = counts.get(status, 0) + 1
    return counts
