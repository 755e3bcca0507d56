"""Every mode of `Cerebro` and every way to read it: equal to stock, bit for bit, with our feeds and broker.

Modes and memory, running again, optimisation, writers, timers, plots, signals, and bars read in every way.
"""

from __future__ import annotations

import datetime as dt
import io
import math
import warnings

import backtrader as bt
import matplotlib
import numpy as np
import pytest
from diary import Diary, assert_same, bits, lived, our_broker, our_feeds, pandas_feeds, quiet, stock_broker
from reference_strategies import Flow, flow
from two_runs import ACCOUNT, ORDERS, both

import rnn_strategies as rs


def plain(value):
    """An analysis as dictionaries of bits."""
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return bits(float(value)) if isinstance(value, float | np.floating) else str(value)


@pytest.mark.parametrize(
    "mode",
    [
        {"preload": False},
        {"runonce": False},
        {"preload": True, "runonce": True, "lookahead": 3},
        {"exactbars": -1},
        {"exactbars": -2},
    ],
    ids=str,
)
def test_modes(mode, prices):
    # without preloading, a feed that has not begun has nothing to show, and stock fails when asked
    both(our_feeds(prices), pandas_feeds(prices), strategy=flow(ORDERS, trades="begun"), **mode)


@pytest.mark.parametrize("exactbars", [True, 1])
def test_saving_memory(exactbars, full):
    both(our_feeds(full), pandas_feeds(full), exactbars=exactbars)


def test_the_same_cerebro_twice(prices):
    def twice(feeds, broker):
        cerebro = bt.Cerebro(stdstats=False)
        cerebro.setbroker(broker)
        ACCOUNT(broker)
        feeds(cerebro)
        cerebro.addstrategy(Flow, todo=tuple(ORDERS))
        cerebro.addanalyzer(Diary, _name="diary")
        return [cerebro.run()[0].analyzers.diary.events for _ in range(3)]

    ours, theirs = twice(our_feeds(prices), our_broker()), twice(pandas_feeds(prices), stock_broker())
    for found, expected in zip(ours, theirs, strict=True):
        assert_same(found, expected)


def test_first_vectorised_then_bar_by_bar(prices):
    def twice(feeds, broker):
        cerebro = bt.Cerebro(stdstats=False)
        cerebro.setbroker(broker)
        ACCOUNT(broker)
        feeds(cerebro)
        cerebro.addstrategy(Flow, todo=tuple(ORDERS))
        cerebro.addanalyzer(Diary, _name="diary")
        with quiet():
            return [cerebro.run(runonce=mode)[0].analyzers.diary.events for mode in (True, False, True)]

    ours, theirs = twice(our_feeds(prices), our_broker()), twice(pandas_feeds(prices), stock_broker())
    for found, expected in zip(ours, theirs, strict=True):
        assert_same(found, expected)


class Tuned(bt.Strategy):
    """What is tried out: an average and how much to buy."""

    params = (("period", 5), ("size", 10))

    def __init__(self):
        self.average = bt.ind.SMA(period=self.p.period)

    def next(self):
        self.order_target_size(target=self.p.size if self.data.close[0] > self.average[0] else 0)


# backtrader itself cannot send whole strategies between processes
@pytest.mark.parametrize(("maxcpus", "optreturn"), [(1, True), (1, False), (2, True)])
@pytest.mark.parametrize("optdatas", [True, False])
def test_optimisation(full, maxcpus, optreturn, optdatas):
    def tried(feeds, broker):
        cerebro = bt.Cerebro(stdstats=False, optdatas=optdatas, optreturn=optreturn)
        cerebro.setbroker(broker)
        ACCOUNT(broker)
        feeds(cerebro)
        cerebro.optstrategy(Tuned, period=[5, 9], size=[10, 25])
        cerebro.addanalyzer(bt.analyzers.Transactions, _name="fills")
        cerebro.addanalyzer(bt.analyzers.TimeReturn, _name="returns")
        found = []
        for (run,) in cerebro.run(maxcpus=maxcpus):
            options = (run.p.period, run.p.size)
            found.append(
                (options, plain(run.analyzers.fills.get_analysis()), plain(run.analyzers.returns.get_analysis()))
            )
        return found

    theirs = tried(pandas_feeds(full), stock_broker())
    assert tried(our_feeds(full), our_broker()) == theirs
    assert len(theirs) == 4
    assert len({str(returns) for *_, returns in theirs}) == 4


@pytest.mark.parametrize("csv", [True, False])
def test_writers(csv, prices):
    files = []

    def more(cerebro):
        files.append(io.StringIO())
        cerebro.addwriter(bt.WriterFile, out=files[-1], csv=csv, rounding=6)

    both(our_feeds(prices), pandas_feeds(prices), more=more)
    theirs, ours = (file.getvalue() for file in files)
    # our feeds have lines and parameters of their own, which a writer shows too
    assert len(ours) > 500
    if csv:
        rows = [[line for line in text.splitlines() if line[:1].isdigit()] for text in (theirs, ours)]
        assert len(rows[0]) == len(rows[1]) > 30
    values = [[line for line in text.splitlines() if "Begin" in line or "End" in line] for text in (theirs, ours)]
    assert values[0] == values[1]


class Timed(bt.Strategy):
    """Orders on the notifications of a timer, and on Mondays."""

    def __init__(self):
        self.rang = []
        self.add_timer(when=bt.timer.SESSION_START, weekdays=[1], weekcarry=True, kind="monday")
        self.add_timer(when=dt.time(0, 0), monthdays=[1, 15], monthcarry=True, kind="monthly", cheat=True)

    def prenext(self):
        pass

    def notify_timer(self, timer, when, *args, **kwargs):
        self.rang.append((str(when), kwargs["kind"], len(self.data)))
        for data in self.datas:
            if len(data):
                self.order_target_percent(data, 0.1 if kwargs["kind"] == "monday" else 0.15)


def test_timers(prices):
    ours, theirs = both(
        our_feeds(prices), pandas_feeds(prices), strategy=lambda cerebro: cerebro.addstrategy(Timed), least=50
    )
    assert ours.rang == theirs.rang
    assert len({kind for _, kind, _ in ours.rang}) == 2


@pytest.fixture
def drawn():
    """Figures of `cerebro.plot`, drawn without a screen."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    yield plt
    plt.close("all")


def test_plots(prices, drawn):
    def figures(feeds, broker):
        cerebro = bt.Cerebro(stdstats=True)
        cerebro.setbroker(broker)
        ACCOUNT(broker)
        feeds(cerebro)
        cerebro.addstrategy(Flow, todo=tuple(ORDERS))
        cerebro.addindicator(bt.ind.SMA, period=5)
        cerebro.run()
        drawn.close("all")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = cerebro.plot(iplot=False)
        shown = []
        for figure in made[0]:
            for axes in figure.axes:
                for line in axes.lines:
                    shown.append(np.asarray(line.get_ydata(), float).tobytes())
        return shown

    theirs = figures(pandas_feeds(prices), stock_broker())
    assert figures(our_feeds(prices), our_broker()) == theirs
    assert len(theirs) > 10


class Crossing(bt.SignalStrategy):
    """Documentation's shortest strategy."""

    def __init__(self):
        self.signal_add(bt.SIGNAL_LONGSHORT, bt.ind.CrossOver(bt.ind.SMA(period=3), bt.ind.SMA(period=8)))


def test_signals_of_backtrader(prices):
    both(our_feeds(prices), pandas_feeds(prices), strategy=lambda cerebro: cerebro.addstrategy(Crossing), least=6)


def test_bars_read_in_every_way(prices):
    """Lines as everybody reads them: by index, slices, arrays, delayed, and as numbers of days."""

    class Reads(bt.Strategy):
        def __init__(self):
            self.read = []
            self.before = [data.close(-1) for data in self.datas]
            self.spread = [data.high - data.low for data in self.datas]

        def prenext(self):
            self.next()

        def next(self):
            for data, before, spread in zip(self.datas, self.before, self.spread, strict=True):
                if not len(data):
                    continue
                back = min(len(data), 4)
                self.read.append(
                    (
                        len(data),
                        data.buflen(),
                        data.datetime.datetime(0),
                        data.datetime.date(1 - back),
                        tuple(data.close.get(size=back)),
                        tuple(data.get(size=back)),
                        data.close.getzero(0, 3).tolist() if hasattr(data.close.getzero(0, 3), "tolist") else None,
                        tuple(data.lines.open.array[:5]),
                        data.num2date(data.datetime[0]),
                        bool(data.close[0] > data.open[0]),
                        bool(data.close > data.open),
                        before[0] if len(data) > 1 else None,
                        spread[0],
                        len(data.close),
                        data._name,
                    )
                )

    ours, theirs = (
        lived(feeds(prices), broker(), lambda cerebro: cerebro.addstrategy(Reads))[1]
        for feeds, broker in ((our_feeds, our_broker), (pandas_feeds, stock_broker))
    )
    assert bits(ours.read) == bits(theirs.read)
    assert len(ours.read) > 200
    assert not math.isnan(ours.read[-1][-3])


def test_dates_and_tickers_can_be_chosen(full):
    """A feed that was cut is a feed that was made of less."""
    some = rs.check_prices(full.frame[full.frame.index.get_level_values("date") >= "2015-02-02"])
    both(our_feeds(some, ["B", "D"]), pandas_feeds(full, ["B", "D"], start="2015-02-02"), least=50)
