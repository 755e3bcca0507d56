"""What backtrader's own samples do, on backtrader's own sample data: our feeds and broker give what stock gives.

The strategies are in `sample_strategies`; the data are the files the samples read.
"""

from __future__ import annotations

import backtrader as bt
import pytest
from diary import assert_same, lived, our_broker, our_feeds, pandas_feeds, statuses, stock_broker
from markets import set_account
from sample_strategies import (
    AtTheClose,
    AtTheOpen,
    Bracket,
    BuyTheDip,
    CloseOnly,
    LongOnly,
    LongShort,
    MacdSettings,
    MixedFrames,
    MultiTrades,
    OneCancels,
    OrderExecution,
    OrderTarget,
    OtherData,
    Pairs,
    Rsi,
    StopInNotify,
    Trailing,
)

import rnn_strategies as rs

SAMPLES = "backtrader-sample-datas"


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
