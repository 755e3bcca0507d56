"""Each ticker has its own bars and nothing else; what backtrader offers on feeds keeps working."""

from __future__ import annotations

import warnings

import backtrader as bt
import numpy as np
import pytest

import rnn_strategies as rs
from backtests.feeds.bar_store import Market
from backtests.feeds.panel_feeds import PanelFeed
from backtests.feeds.session_clock import day_numbers, day_of
from signals.common.errors import InputError

NAN = float("nan")


class Watch(bt.Strategy):
    """Writes down every bar it sees, and on which days it is called."""

    def __init__(self):
        self.days, self.seen = [], {data._name: [] for data in self.datas}

    def prenext(self):
        self.next()

    def next(self):
        self.days.append(self.datetime.date(0).isoformat())
        for data in self.datas:
            if len(data) and data.datetime[0] == self.datetime[0]:
                bar = [getattr(data, line)[0] for line in ("open", "high", "low", "close", "volume", "signal")]
                self.seen[data._name].append((self.days[-1], *bar))


@pytest.fixture
def gappy(make_prices):
    nan = NAN
    return make_prices(
        {
            "OLD": [10, 11, 12, nan, nan, nan, nan, nan],
            "GAP": [20, nan, nan, 21, 22, nan, 24, nan],
            "NEW": [nan, nan, nan, nan, 5, 6, nan, nan],
        },
        volume={"OLD": 1e3, "GAP": 2e3, "NEW": 3e3},
    )


def bars(prices, ticker):
    rows = prices.frame.xs(ticker, level="ticker")
    return [(f"{day:%Y-%m-%d}", row.open, row.high, row.low, row.close, row.volume) for day, row in rows.iterrows()]


@pytest.mark.parametrize("mode", [{}, {"runonce": False}, {"preload": False}])
def test_every_feed_has_its_own_bars(gappy, settings, my_cerebro, mode):
    strategy, _ = my_cerebro(gappy, Watch, settings(), **mode)
    for ticker in ("OLD", "GAP", "NEW"):
        assert [row[:-1] for row in strategy.seen[ticker]] == bars(gappy, ticker)


def test_saving_memory(random_prices, settings, my_cerebro):
    """`exactbars` keeps only the bars in use; with feeds of unequal length backtrader itself fails then."""
    prices = random_prices(3, 40)
    strategy, _ = my_cerebro(prices, Watch, settings(), exactbars=1)
    assert [row[:-1] for row in strategy.seen["T001"]] == bars(prices, "T001")


def test_the_exchange_has_sessions_on_which_no_feed_trades(gappy, settings, my_cerebro, days):
    strategy, result = my_cerebro(gappy, Watch, settings())
    assert strategy.days == days(7).astype(str).tolist()  # the last session nobody traded is not in the prices
    strategy, result = my_cerebro(gappy.panel().select(["OLD"]), Watch, settings())
    assert strategy.days == days(7).astype(str).tolist()
    assert len(result.returns) == 7


def test_signals_are_a_line_that_is_nan_off_decision_dates(gappy, settings, my_cerebro, scores, days):
    d = days(8).astype(str)
    signals = scores({(d[0], "OLD"): 0.1, (d[0], "GAP"): 0.2, (d[3], "GAP"): 0.3, (d[3], "OLD"): 0.4})
    strategy, _ = my_cerebro(gappy, Watch, settings(), signals=signals)
    assert [row[-1] for row in strategy.seen["GAP"]] == pytest.approx([0.2, 0.3, NAN, NAN], nan_ok=True)
    # the second score of OLD is for a day it did not trade: there is no bar to carry it
    assert [row[-1] for row in strategy.seen["OLD"]] == pytest.approx([0.1, NAN, NAN], nan_ok=True)
    assert set(strategy.seen) == {"OLD", "GAP"}  # without tickers=..., those with signals


def test_tickers_can_be_chosen(gappy):
    cerebro = bt.Cerebro()
    feeds = rs.add_prices(cerebro, gappy, tickers=["NEW", "GAP"])
    assert [feed._name for feed in feeds] == ["GAP", "NEW"]
    assert list(cerebro.datasbyname) == ["GAP", "NEW"]


@pytest.mark.parametrize(
    ("tickers", "message"),
    [(["GAAP"], r"found 'GAAP'.*close: GAP"), ([], "at least one ticker"), (["GAP"], r"own name; found 'GAP' twice")],
)
def test_names_that_will_not_do(gappy, tickers, message):
    cerebro = bt.Cerebro()
    rs.add_prices(cerebro, gappy, tickers=["GAP"])
    with pytest.raises(InputError, match=message):
        rs.add_prices(cerebro, gappy, tickers=tickers)


@pytest.mark.parametrize("runonce", [True, False])
def test_indicators_equal_those_on_pandas_feeds(random_prices, runonce, settings, my_cerebro):
    prices = random_prices(2, 60, gaps=0.2)

    class Averages(bt.Strategy):
        def __init__(self):
            self.averages = [bt.ind.SMA(data.close, period=5) for data in self.datas]
            self.seen = []

        def next(self):
            self.seen.append((self.datetime[0], *(average[0] for average in self.averages)))

    ours, _ = my_cerebro(prices, Averages, settings(), runonce=runonce)
    cerebro = bt.Cerebro(stdstats=False)
    for ticker in prices.tickers:
        cerebro.adddata(bt.feeds.PandasData(dataname=prices.frame.xs(ticker, level="ticker")), name=ticker)
    cerebro.addstrategy(Averages)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="datetime.datetime.utcnow", category=DeprecationWarning)
        stock = cerebro.run(runonce=runonce)[0]
    # between the bars of either feed our run also has sessions without any
    assert set(stock.seen) <= set(ours.seen)
    assert len(stock.seen) > 40


def test_resampling_to_weeks(random_prices, settings, my_cerebro):
    prices = random_prices(1, 60)

    class Weeks(bt.Strategy):
        def __init__(self):
            self.weeks = {}

        def next(self):
            week = self.datas[-1]
            self.weeks[week.datetime.date(0)] = (week.open[0], week.high[0], week.low[0], week.close[0])

    cerebro = bt.Cerebro(stdstats=False)
    feed = rs.add_prices(cerebro, prices)[0]
    cerebro.resampledata(feed, timeframe=bt.TimeFrame.Weeks, name="weekly")
    cerebro.setbroker(rs.Broker(settings()))
    cerebro.addstrategy(Weeks)
    strategy = cerebro.run()[0]
    bars = prices.frame.xs("T000", level="ticker")
    expected = bars.resample("W").agg({"open": "first", "high": "max", "low": "min", "close": "last"})
    assert len(strategy.weeks) >= len(expected) - 1
    assert list(strategy.weeks.values())[:-1] == [tuple(row) for row in expected.to_numpy()][: len(strategy.weeks) - 1]


def test_dates_between_from_and_to(random_prices):
    panel = random_prices(1, 30).panel()
    market = Market(panel, panel.tickers)
    first, last = panel.dates[5].item(), panel.dates[9].item()
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(PanelFeed(market=market, fromdate=first, todate=last), name="X")
    cerebro.addstrategy(bt.Strategy)
    assert len(cerebro.run()[0].data) == 5


def test_a_cerebro_can_run_twice(random_prices, settings, random_scores):
    prices = random_prices(4, 60, gaps=0.1)
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(rs.Broker(settings(borrow_rate=0.02)))
    rs.add_prices(cerebro, prices, signals=random_scores(prices))
    cerebro.addstrategy(rs.SignalStrategy, allocation=rs.LongShortQuantile(0.3))
    cerebro.addanalyzer(rs.AccountRecorder)
    first, second = (cerebro.run()[0].analyzers.accountrecorder.result() for _ in range(2))
    assert first.returns.to_numpy().tobytes() == second.returns.to_numpy().tobytes()
    assert first.orders.equals(second.orders)
    assert len(first.orders) > 10
    assert first.settings == second.settings


def test_day_numbers_are_backtraders():
    dates = np.array(["1999-12-31", "2016-02-29", "2024-11-01"], dtype="datetime64[D]")
    assert day_numbers(dates).tolist() == [bt.date2num(day) for day in dates.tolist()]
    assert [day_of(number + 0.9) for number in day_numbers(dates)] == list(dates)


def test_filters_see_every_bar(random_prices):
    prices = random_prices(2, 30)
    cerebro = bt.Cerebro(stdstats=False)
    feeds = rs.add_prices(cerebro, prices)
    feeds[1].addfilter(lambda data: data.backwards() or True if data.datetime.date(0).weekday() == 4 else False)
    cerebro.addstrategy(Watch)
    strategy = cerebro.run()[0]
    fridays = sum(day.weekday() == 4 for day in prices.panel().dates.tolist())
    assert len(strategy.seen["T000"]) == 30
    assert len(strategy.seen["T001"]) == 30 - fridays


@pytest.mark.parametrize("mode", [{}, {"runonce": False}])
def test_no_line_shows_the_future_and_no_score_outlives_its_day(gappy, settings, my_cerebro, scores, days, mode):
    d = days(8).astype(str)

    class Peek(bt.Strategy):
        def __init__(self):
            self.seen = []

        def prenext(self):
            self.next()

        def next(self):
            self.seen.append([(data.close[0], data.close[-1], data.signal[0]) for data in self.datas])

    signals = scores({(d[2], "OLD"): 0.1, (d[0], "GAP"): 0.2, (d[4], "NEW"): 0.3, (d[4], "GAP"): 0.4})
    strategy, _ = my_cerebro(gappy, Peek, settings(), signals=signals, **mode)
    gap, new, old = (np.array(rows) for rows in zip(*strategy.seen, strict=True))
    assert gap[:, 0].tolist() == [20, 20, 20, 21, 22, 22, 24]
    assert np.array_equal(gap[:, 1], [NAN, NAN, NAN, 20, 21, 21, 22], equal_nan=True)
    assert np.array_equal(gap[:, 2], [0.2, NAN, NAN, NAN, 0.4, NAN, NAN], equal_nan=True)
    assert np.array_equal(new[:, 0], [NAN, NAN, NAN, NAN, 5, 6, 6], equal_nan=True)
    # the last bar of OLD carries a score: it is not shown for ever
    assert np.array_equal(old[:, 2], [NAN, NAN, 0.1, NAN, NAN, NAN, NAN], equal_nan=True)

    # in stock backtrader a feed that has not begun shows the last bar of the run
    cerebro = bt.Cerebro(stdstats=False)
    for ticker in ("GAP", "NEW"):
        cerebro.adddata(bt.feeds.PandasData(dataname=gappy.frame.xs(ticker, level="ticker")), name=ticker)

    class First(bt.Strategy):
        def prenext(self):
            if len(self) == 1:
                self.shown = self.datas[1].close[0]

    cerebro.addstrategy(First)
    assert cerebro.run()[0].shown == 6.0


def test_nothing_of_a_feed_is_an_iterator_of_itertools(gappy, settings, my_cerebro):
    """From Python 3.14 on they cannot be sent to the processes of an optimisation."""
    kinds = []

    class Look(bt.Strategy):
        def next(self):
            for feed in self.datas:
                assert feed.follows
                for value in vars(feed).values():
                    kinds.extend([type(value), type(getattr(value, "__self__", None))])

    my_cerebro(gappy, Look, settings())
    assert len(kinds) > 100
    assert "itertools" not in {kind.__module__ for kind in kinds}
