"""Everything else backtrader offers, in the same run as our feeds and broker: equal to stock, bit for bit.

Feeds of other kinds beside ours, filters, commission schemes, histories, analyzers, observers, indicators;
`test_identity_cerebro.py` has the modes of `Cerebro`.
"""

from __future__ import annotations

import datetime as dt
import warnings

import backtrader as bt
import numpy as np
import pytest
from diary import bits, lived, our_broker, our_feeds, pandas_feeds, stock_broker
from markets import Event, build
from reference_strategies import flow
from two_runs import ACCOUNT, GAPS, ORDERS, both

# -- feeds of other kinds ---------------------------------------------------------------------------------------------


def beside(prices, *, first):
    """Two more tickers as `PandasData`, before or after the others."""
    frame = build(2, 75, seed=44, events=[Event(0, 30, "missing", 4), Event(1, 12, "listed")]).frame

    def more(cerebro):
        for ticker in ("A", "B"):
            rows = frame.xs(ticker, level="ticker")
            cerebro.adddata(bt.feeds.PandasData(dataname=rows), name=f"own {ticker}")

    def make(feeds):
        parts = [more, feeds(prices)] if first else [feeds(prices), more]
        return lambda cerebro: [part(cerebro) for part in parts]

    return make


@pytest.mark.parametrize("first", [True, False], ids=["before ours", "after ours"])
@pytest.mark.parametrize("runonce", [True, False])
def test_feeds_of_ones_own_beside_ours(prices, first, runonce):
    make = beside(prices, first=first)
    both(make(our_feeds), make(pandas_feeds), runonce=runonce, touch=True)


@pytest.mark.parametrize("way", ["resampledata", "replaydata"])
@pytest.mark.parametrize("period", ["Weeks", "Months"])
def test_longer_bars_made_of_ours(prices, way, period):
    """Orders go to the daily feeds and to the weekly one."""

    def make(feeds):
        def add(cerebro):
            feeds(prices)(cerebro)
            for ticker in ("A", "B"):
                data = cerebro.datasbyname[ticker]
                if way == "replaydata":
                    cerebro.datas.remove(data)
                getattr(cerebro, way)(data, timeframe=getattr(bt.TimeFrame, period), name=f"{ticker} long")

        return add

    for runonce in (True, False):
        both(make(our_feeds), make(pandas_feeds), strategy=flow(ORDERS, trades="begun"), runonce=runonce, least=60)


class Live(bt.feed.DataBase):
    """A feed whose `islive` is true: backtrader then takes its bar-by-bar loop and asks all feeds for the next bar."""

    params = (("bars", ()),)

    def islive(self):
        return True

    def start(self):
        super().start()
        self.left = list(self.p.bars)

    def haslivedata(self):
        return bool(self.left)

    def _load(self):
        if not self.left:
            return False
        day, *quotes = self.left.pop(0)
        self.lines.datetime[0] = bt.date2num(day)
        for name, value in zip(("open", "high", "low", "close", "volume"), quotes, strict=True):
            getattr(self.lines, name)[0] = value
        return True


def test_beside_a_live_feed(prices):
    rows = build(1, 70, seed=45).frame.xs("A", level="ticker")
    bars = [(day.to_pydatetime(), *row[:5]) for day, row in zip(rows.index, rows.to_numpy(), strict=True)]

    def make(feeds):
        def add(cerebro):
            feeds(prices)(cerebro)
            cerebro.adddata(Live(bars=bars), name="live")

        return add

    both(make(our_feeds), make(pandas_feeds), strategy=flow(ORDERS, trades="begun"))


def drop_mondays(data):
    """A filter as the documentation has them: true when the bar was taken out."""
    if data.datetime.date(0).weekday() == 0:
        data.backwards()
        return True
    return False


def test_a_filter_on_one_of_them(prices):
    def filtered(feeds):
        def add(cerebro):
            feeds(prices)(cerebro)
            cerebro.datasbyname["B"].addfilter(drop_mondays)

        return add

    for runonce in (True, False):
        both(filtered(our_feeds), filtered(pandas_feeds), runonce=runonce)


# -- money ------------------------------------------------------------------------------------------------------------


class Stepped(bt.CommInfoBase):
    """A scheme of one's own: a fee per order and a fraction, less for large orders."""

    params = (("stocklike", True), ("commtype", bt.CommInfoBase.COMM_PERC))

    def _getcommission(self, size, price, pseudoexec):
        return 1.0 + abs(size) * price * (0.0005 if abs(size) > 100 else 0.001)


def fixed(broker):
    broker.setcommission(commission=0.02, commtype=bt.CommInfoBase.COMM_FIXED, stocklike=True)


def future(broker):
    broker.setcommission(commission=2.0, margin=1500.0, mult=10.0, name="B")


def auto_margin(broker):
    broker.setcommission(commission=2.0, automargin=5.0, mult=10.0, name="C", stocklike=False)


def own_scheme(broker):
    broker.addcommissioninfo(Stepped(), name="A")


def own_default(broker):
    broker.addcommissioninfo(Stepped())


def interest(broker):
    broker.setcommission(commission=0.002, interest=0.25, interest_long=True, name="A")
    broker.setcommission(commission=0.001, interest=0.1, name="D")


def leverage(broker):
    broker.setcommission(commission=0.001, leverage=3.0, name="A")


SCHEMES = {
    scheme.__name__: scheme for scheme in (fixed, future, auto_margin, own_scheme, own_default, interest, leverage)
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_commission_schemes(scheme, prices):
    def account(broker):
        ACCOUNT(broker)
        SCHEMES[scheme](broker)

    both(our_feeds(prices), pandas_feeds(prices), account=account, touch=True)


def test_a_future_booked_on_its_share(full):
    """`compensate`: what is done on one feed changes the position of another."""

    def make(feeds):
        def add(cerebro):
            feeds(full)(cerebro)
            cerebro.datasbyname["B"].compensate(cerebro.datasbyname["A"])

        return add

    both(make(our_feeds), make(pandas_feeds))


def test_histories_of_orders_and_of_a_fund(full):
    days = [str(day.date()) for day in full.frame.index.levels[0]]
    orders = [[days[5], 100, 40.0, "A"], [days[9], -30, 41.0, "A"], [days[9], 20, 30.0, "C"]]

    def more(cerebro):
        cerebro.add_order_history(orders, notify=True)

    both(our_feeds(full), pandas_feeds(full), more=more)
    # the vectorised loop of backtrader does not know the date that this asks for
    fund = [[dt.date.fromisoformat(day), 100.0 + j, 3e5 + 1000.0 * j] for j, day in enumerate(days)]
    options = {"more": lambda cerebro: cerebro.set_fund_history(list(fund)), "runonce": False}
    both(our_feeds(full), pandas_feeds(full), least=20, **options)


# -- what watches -----------------------------------------------------------------------------------------------------

ANALYZERS = {
    "AnnualReturn": {},
    "Calmar": {},
    "DrawDown": {},
    "TimeDrawDown": {},
    "GrossLeverage": {},
    "LogReturnsRolling": {},
    "PeriodStats": {},
    "PositionsValue": {"headers": True, "cash": True},
    "PyFolio": {},
    "Returns": {},
    "SharpeRatio": {"timeframe": bt.TimeFrame.Months},
    "SharpeRatio_A": {},
    "SQN": {},
    "TimeReturn": {},
    "TradeAnalyzer": {},
    "Transactions": {},
    "VWR": {},
}


def plain(value):
    """An analysis as dictionaries of bits."""
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return bits(float(value)) if isinstance(value, float | np.floating) else str(value)


def test_every_analyzer(prices):
    names = {name for name in dir(bt.analyzers) if isinstance(getattr(bt.analyzers, name), type)}
    kinds = {name for name in names if issubclass(getattr(bt.analyzers, name), bt.Analyzer)}
    kinds -= {"Analyzer", "TimeFrameAnalyzerBase", "Eventful"}
    # some stand there under two names
    listed = {getattr(bt.analyzers, name) for name in ANALYZERS}
    assert {getattr(bt.analyzers, name) for name in kinds} <= listed

    def more(cerebro):
        for name, options in ANALYZERS.items():
            cerebro.addanalyzer(getattr(bt.analyzers, name), _name=name, **options)

    # some ask the observers
    ours, theirs = both(our_feeds(prices), pandas_feeds(prices), more=more, cerebro_options={"stdstats": True})
    for name in ANALYZERS:
        found = getattr(ours.analyzers, name).get_analysis()
        assert plain(found) == plain(getattr(theirs.analyzers, name).get_analysis()), name
        assert len(found)


def test_every_observer(prices):
    def more(cerebro):
        for name in (
            "DrawDown",
            "DrawDownLength",
            "DrawDown_Old",
            "FundValue",
            "FundShares",
            "TimeReturn",
            "LogReturns",
        ):
            cerebro.addobserver(getattr(bt.observers, name))
        cerebro.addobserver(bt.observers.Benchmark, data=cerebro.datas[1], timeframe=bt.TimeFrame.Days)
        cerebro.addobserver(bt.observers.Trades)

    ours, theirs = both(our_feeds(prices), pandas_feeds(prices), more=more, cerebro_options={"stdstats": True})
    mine, stocks = ours.getobservers(), theirs.getobservers()
    assert len(mine) == len(stocks) > 10
    for found, expected in zip(mine, stocks, strict=True):
        assert type(found) is type(expected)
        for our_line, their_line in zip(found.lines, expected.lines, strict=True):
            assert np.array(our_line.array).tobytes() == np.array(their_line.array).tobytes(), type(found)


# bases of others, and those that need a function, or a library that is not here
UNMADE = [
    "LinePlotterIndicator",
    "CointN",
    "Signal",
    "OLS_TransformationN",
    "OLS_Slope_InterceptN",
    "OLS_BetaN",
    "ApplyN",
    "BaseApplyN",
    "ExponentialSmoothingDynamic",
    "FindFirstIndex",
    "FindLastIndex",
    "MovingAverageBase",
    "OperationN",
    "Oscillator",
    "OscillatorMixIn",
    "PeriodN",
    "ReduceN",
]
OF_TWO = ("CrossDown", "CrossOver", "CrossUp", "NonZeroDifference")
INDICATORS = sorted(name for name in set(bt.Indicator._indcol) - set(UNMADE) if hasattr(bt.ind, name))


class Measured(bt.Strategy):
    """Has every indicator of backtrader on every feed."""

    def __init__(self):
        self.made = {}
        for data in self.datas:
            for name in INDICATORS:
                more = [bt.ind.SMA(data, period=3)] if name in OF_TWO else []
                self.made[name, data._name] = getattr(bt.ind, name)(data, *more)

    def prenext(self):
        pass


@pytest.mark.parametrize("runonce", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize("gaps", [[], GAPS], ids=["full", "holed"])
def test_every_indicator(runonce, gaps):
    """On the vectorised path they read the arrays of the lines directly."""
    prices = build(3, 180, seed=46, events=gaps)
    made = []
    for feeds, broker in ((our_feeds, our_broker), (pandas_feeds, stock_broker)):
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _, ran = lived(
                feeds(prices, ["B", "C"]), broker(), lambda cerebro: cerebro.addstrategy(Measured), runonce=runonce
            )
        made.append(ran.made)
    assert len(made[0]) > 200
    for key, ours in made[0].items():
        for our_line, their_line in zip(ours.lines, made[1][key].lines, strict=True):
            assert np.array(our_line.array).tobytes() == np.array(their_line.array).tobytes(), key
