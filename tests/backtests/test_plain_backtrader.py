"""Strategies that know nothing of this project run on our feeds as they run on backtrader's own, trade for trade."""

from __future__ import annotations

import warnings

import backtrader as bt
import pytest

import rnn_strategies as rs

SAMPLES = "backtrader-sample-datas"
# backtrader's sample feeds of US stocks; their long histories hold many splits
STOCKS = ("orcl-1995-2014.txt.gz", "nvda-1999-2014.txt.gz", "yhoo-2003-2005.txt", "orcl-2014.txt")


class SmaCross(bt.Strategy):
    """backtrader's first example: in above the average, out below, one share at a time."""

    params = (("period", 15),)

    def __init__(self):
        self.sma = bt.ind.SMA(self.data, period=self.p.period)

    def next(self):
        if not self.position:
            if self.data.close[0] > self.sma[0]:
                self.buy()
        elif self.data.close[0] < self.sma[0]:
            self.sell()


class CrossOver(bt.Strategy):
    """Crossing of two averages, with a stop and a limit order in the way."""

    def __init__(self):
        self.cross = bt.ind.CrossOver(bt.ind.EMA(period=5), bt.ind.EMA(period=20))
        self.rsi = bt.ind.RSI_Safe(period=10)

    def next(self):
        if self.cross[0] > 0 and not self.position:
            self.buy_bracket(
                size=10,
                exectype=bt.Order.Market,
                stopprice=self.data.low[0] * 0.97,
                limitprice=self.data.close[0] * 1.06,
            )
        elif self.position and self.rsi[0] > 80:
            self.close()


class Rotation(bt.Strategy):
    """Half of the account in what rose most in a month, sized by `order_target_percent`."""

    def __init__(self):
        self.momentum = [bt.ind.ROC(data, period=20) for data in self.datas]

    def next(self):
        if len(self) % 10:
            return
        best = max(range(len(self.datas)), key=lambda i: self.momentum[i][0])
        for i, data in enumerate(self.datas):
            self.order_target_percent(data, target=0.5 if i == best else 0.1)


class Crossing(bt.SignalStrategy):
    """Documentation's shortest strategy."""

    def __init__(self):
        self.signal_add(bt.SIGNAL_LONGSHORT, bt.ind.CrossOver(bt.ind.SMA(period=10), bt.ind.SMA(period=30)))


class AboveAverage(bt.Indicator):
    """What a user hands to `cerebro.add_signal`."""

    lines = ("signal",)

    def __init__(self):
        self.lines.signal = self.data - bt.ind.SMA(period=25)


def strategy(kind, **options):
    return lambda cerebro: cerebro.addstrategy(kind, **options)


def signals(cerebro):
    cerebro.add_signal(bt.SIGNAL_LONG, AboveAverage)
    cerebro.add_signal(bt.SIGNAL_LONGEXIT, AboveAverage, plot=False)


WAYS = {
    "average": (strategy(SmaCross), bt.sizers.FixedSize, {}),
    "all in": (strategy(SmaCross, period=30), bt.sizers.AllInSizer, {"percents": 99}),
    "brackets": (strategy(CrossOver), None, {}),
    "rotation": (strategy(Rotation), None, {}),
    "signal strategy": (strategy(Crossing), bt.sizers.PercentSizer, {"percents": 30}),
    "add_signal": (signals, bt.sizers.PercentSizerInt, {"percents": 60}),
}


class Diary(bt.Analyzer):
    """Every order, every trade and every close of the account."""

    def start(self):
        self.orders, self.trades, self.values = [], [], []

    def notify_order(self, order):
        filled = order.executed
        when = bt.num2date(filled.dt).date() if filled.dt else None
        name = order.data._name
        self.orders.append((name, order.getstatusname(), order.size, when, filled.size, filled.price, filled.comm))

    def notify_trade(self, trade):
        if trade.isclosed:
            self.trades.append(
                (trade.data._name, trade.pnl, trade.pnlcomm, trade.barlen, bt.num2date(trade.dtclose).date())
            )

    def next(self):
        self.values.append((self.strategy.datetime.date(0), self.strategy.broker.getvalue()))


def lived(feed, way, *, broker=None, **options):
    """Run in a Cerebro, with the stock broker unless told otherwise; gives its diary."""
    add, sizer, sizing = WAYS[way]
    cerebro = bt.Cerebro(stdstats=False)
    if broker is not None:
        cerebro.setbroker(broker)
    cerebro.broker.setcash(100_000.0)
    cerebro.broker.setcommission(commission=0.001)
    feed(cerebro)
    add(cerebro)
    if sizer is not None:
        cerebro.addsizer(sizer, **sizing)
    cerebro.addanalyzer(Diary, _name="diary")
    with warnings.catch_warnings():
        # the live loop of backtrader, which runonce=False takes
        warnings.filterwarnings("ignore", message="datetime.datetime.utcnow", category=DeprecationWarning)
        return cerebro.run(**options)[0].analyzers.diary


def pandas_feeds(prices):
    def feed(cerebro):
        for ticker in prices.tickers:
            cerebro.adddata(bt.feeds.PandasData(dataname=prices.frame.xs(ticker, level="ticker")), name=ticker)

    return feed


def our_feeds(prices):
    return lambda cerebro: rs.add_prices(cerebro, prices)


def assert_same(ours, theirs, *, least=4):
    assert ours.values == theirs.values
    assert ours.orders == theirs.orders
    assert ours.trades == theirs.trades
    assert len(theirs.orders) >= least
    assert len({value for _, value in theirs.values}) > 10


def assert_both_same(prices, way, theirs, *, least=4, **options):
    """Our feeds around the broker of stock, and around ours."""
    assert_same(lived(our_feeds(prices), way, **options), theirs, least=least)
    assert_same(lived(our_feeds(prices), way, broker=rs.Broker(compat=True), **options), theirs, least=least)


@pytest.mark.parametrize("runonce", [True, False], ids=["vectorised", "bar by bar"])
@pytest.mark.parametrize("way", WAYS)
def test_simulated_prices(random_prices, way, runonce):
    prices = random_prices(4, 300, seed=11)
    assert_both_same(prices, way, lived(pandas_feeds(prices), way, runonce=runonce), runonce=runonce)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("file", STOCKS)
def test_sample_stocks(shared_data, file, way):
    prices = rs.load_prices(source="files", path=str(shared_data / SAMPLES / file))
    assert_both_same(prices, way, lived(pandas_feeds(prices), way), least=2)


@pytest.mark.parametrize("way", ["average", "rotation", "signal strategy"])
def test_several_sample_stocks_at_once(shared_data, tmp_path, way):
    for name in ("orcl-2003-2005.txt", "yhoo-2003-2005.txt"):
        (tmp_path / name).symlink_to(shared_data / SAMPLES / name)
    prices = rs.load_prices(source="files", path=str(tmp_path))
    assert len(prices.tickers) == 2
    assert_both_same(prices, way, lived(pandas_feeds(prices), way))


@pytest.mark.parametrize("way", WAYS)
def test_the_reader_of_backtrader_itself(shared_data, way):
    """Against `BacktraderCSVData` on backtrader's standard sample, an index future of Frankfurt."""
    path = shared_data / SAMPLES / "2005-2006-day-001.txt"
    prices = rs.load_prices(source="files", path=str(path), calendar="XETR")
    name = prices.tickers[0]
    theirs = lived(lambda cerebro: cerebro.adddata(bt.feeds.BacktraderCSVData(dataname=str(path)), name=name), way)
    assert_both_same(prices, way, theirs)


@pytest.mark.parametrize(
    ("file", "words"),
    [("2006-min-005.txt.gz", "09:05:00"), ("ticksample.csv", "daily bars"), ("bidask.csv", "expected a close")],
)
def test_samples_that_are_no_daily_bars_are_refused(shared_data, file, words):
    with pytest.raises(rs.InputError, match=words):
        rs.load_prices(source="files", path=str(shared_data / SAMPLES / file), calendar="XETR")


def test_it_can_fail(random_prices):
    """The comparison notices one close that is a millionth off."""
    prices = random_prices(2, 120, seed=5)
    frame = prices.frame.copy()
    frame.loc[frame.index[150], ["close", "high"]] *= 1 + 1e-6
    frame["high"] = frame[["open", "high", "low", "close"]].max(axis=1)
    other = rs.check_prices(frame)
    assert lived(our_feeds(other), "rotation").values != lived(pandas_feeds(prices), "rotation").values
