"""The score as an indicator: what it shows on each bar, and what `cerebro.add_signal` makes of it."""

from __future__ import annotations

import datetime as dt
import warnings

import backtrader as bt
import numpy as np
import pandas as pd
import pytest

import rnn_strategies as rs
from backtests.feeds.score_matrix import ScoreTable


class Look(bt.Strategy):
    """Writes down the line on every bar of the first feed."""

    params = (("options", {}), ("feed", 0))

    def __init__(self):
        self.line = rs.SignalIndicator(self.datas[self.p.feed], **self.p.options)
        self.seen = {}

    def prenext(self):
        self.next()

    def next(self):
        data = self.datas[self.p.feed]
        if len(data):
            self.seen[data.datetime.date(0)] = self.line.signal[0]


def seen(feed, *, index=0, runonce=True, **options):
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(rs.Broker(compat=True))
    feed(cerebro)
    cerebro.addstrategy(Look, options=options, feed=index)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="datetime.datetime.utcnow", category=DeprecationWarning)
        return cerebro.run(runonce=runonce)[0].seen


def expected(prices, signals, ticker, *, threshold=0.0, neutral=0.0, forward_fill=True):
    """The same in pandas: scores of the ticker on decision dates, carried to its own bars."""
    own = prices.frame.xs(ticker, level="ticker").index
    decided = signals["score"].unstack().reindex(columns=[ticker])[ticker] - threshold
    out = {}
    for day in own:
        before = decided[decided.index <= day]
        known = len(before) and (forward_fill or before.index[-1] == day) and not np.isnan(before.iloc[-1])
        out[day.date()] = before.iloc[-1] if known else neutral
    return out


@pytest.fixture(scope="module")
def market(random_prices, random_scores):
    prices = random_prices(4, 90, seed=3, gaps=0.15, deaths=0.5, listings=0.5)
    return prices, random_scores(prices, share=0.6)


@pytest.mark.parametrize("runonce", [True, False], ids=["vectorised", "bar by bar"])
@pytest.mark.parametrize("options", [{}, {"threshold": 0.5, "neutral": -1.0}, {"forward_fill": False}], ids=str)
def test_the_line_on_our_feeds_and_on_any(market, options, runonce):
    prices, signals = market
    ours = [t for t in prices.tickers if t in signals.index.get_level_values("ticker")]
    for index, ticker in enumerate(ours):
        wanted = expected(prices, signals, ticker, **options)
        assert len(set(wanted.values())) > 2
        found = seen(
            lambda cerebro: rs.add_prices(cerebro, prices, signals=signals), index=index, runonce=runonce, **options
        )
        assert found == wanted
        bars = prices.frame.xs(ticker, level="ticker")
        plain = lambda cerebro: cerebro.adddata(bt.feeds.PandasData(dataname=bars), name=ticker)  # noqa: B023, E731
        assert seen(plain, runonce=runonce, signals=signals, **options) == wanted
        nameless = lambda cerebro: cerebro.adddata(bt.feeds.PandasData(dataname=bars))  # noqa: B023, E731
        table = ScoreTable.from_signals(signals)
        assert seen(nameless, runonce=runonce, signals=table, ticker=ticker, **options) == wanted


def test_later_scores_and_prices_change_no_bit(market):
    prices, signals = market
    cut = prices.panel().dates[50]
    whole = seen(lambda cerebro: rs.add_prices(cerebro, prices, signals=signals))
    until = signals[signals.index.get_level_values("date") <= pd.Timestamp(cut)]
    part = seen(lambda cerebro: rs.add_prices(cerebro, prices.until(cut), signals=until, tickers=[prices.tickers[0]]))
    assert part
    assert {day: whole[day] for day in part} == part


def test_add_signal_is_long_while_the_score_is_above(make_prices, scores, settings):
    """Hand-made: up on the 2nd session, down on the 5th; bought and sold at the opens after them."""
    closes = np.array([10.0, 10.0, 10.1, 10.2, 10.3, 10.4, 10.5, 10.6])
    prices = make_prices({"AAA": closes, "BBB": closes[::-1]})
    days = prices.panel().dates
    signals = scores({(days[1], "AAA"): 0.7, (days[4], "AAA"): 0.3, (days[4], "BBB"): 0.9})
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(rs.Broker(compat=True))
    cerebro.setbroker(rs.Broker(settings(cash=1000.0, commission=0.0, slippage=0.0)))
    rs.add_prices(cerebro, prices, signals=signals)
    cerebro.add_signal(bt.SIGNAL_LONG, rs.SignalIndicator, threshold=0.5)
    cerebro.addsizer(rs.EqualWeightSizer, n_positions=1)
    cerebro.addanalyzer(rs.AccountRecorder)
    result = cerebro.run()[0].analyzers.accountrecorder.result()
    fills = [
        (np.datetime64(day.date()), row.symbol, row.amount, row.price) for day, row in result.transactions.iterrows()
    ]
    assert fills == [(days[2], "AAA", 98.0, 10.1), (days[5], "AAA", -98.0, 10.4)]
    result.check()


@pytest.mark.parametrize(
    "kind",
    ["LONGSHORT", "LONG", "LONG_INV", "LONG_ANY", "SHORT", "SHORT_INV", "SHORT_ANY"],
)
def test_no_opinion_is_no_signal_of_any_kind(make_prices, scores, kind):
    prices = make_prices({"AAA": np.linspace(10, 20, 12)})
    days = prices.panel().dates
    first_opinion = scores({(days[8], "AAA"): 1.0})
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(rs.Broker(compat=True))
    rs.add_prices(cerebro, prices, signals=first_opinion)
    cerebro.add_signal(getattr(bt, f"SIGNAL_{kind}"), rs.SignalIndicator)
    cerebro.addanalyzer(rs.AccountRecorder)
    orders = cerebro.run()[0].analyzers.accountrecorder.result().orders
    assert (orders["submitted"].to_numpy() >= days[8].astype("M8[ns]")).all()


def test_it_combines_with_backtraders_own_indicators(market):
    prices, signals = market

    class Both(bt.Strategy):
        def __init__(self):
            score = rs.SignalIndicator(self.data)
            self.agreed = bt.And(score.signal > 0, self.data.close > bt.ind.SMA(period=3))
            self.ups = set()

        def next(self):
            if self.agreed[0]:
                self.ups.add(self.data.datetime.date(0))

    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(rs.Broker(compat=True))
    rs.add_prices(cerebro, prices, signals=signals, tickers=[prices.tickers[0]])
    cerebro.addstrategy(Both)
    strategy = cerebro.run()[0]
    line = expected(prices, signals, prices.tickers[0])
    close = prices.frame.xs(prices.tickers[0], level="ticker")["close"]
    above = close > close.rolling(3).mean()
    assert strategy.ups == {day.date() for day, up in above.items() if line[day.date()] > 0 and up}
    assert len(strategy.ups) > 3


def test_feeds_without_scores_are_refused(make_prices, scores):
    prices = make_prices({"AAA": np.linspace(10, 20, 12)})
    with pytest.raises(rs.InputError, match=r"signals for AAA; found none; pass signals="):
        seen(lambda cerebro: rs.add_prices(cerebro, prices))
    other = scores({(prices.panel().dates[1], "BBB"): 1.0})
    with pytest.raises(rs.InputError, match=r"signals for AAA; found none among 1 tickers"):
        seen(lambda cerebro: rs.add_prices(cerebro, prices), signals=other)


def test_bars_before_the_close_are_refused(scores):
    moments = pd.date_range("2015-01-05 10:00", periods=30, freq="15min")
    bars = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close", "volume"), 10.0), index=moments)
    intraday = bt.feeds.PandasData(dataname=bars, timeframe=bt.TimeFrame.Minutes, compression=15)
    signals = scores({("2015-01-05", "AAA"): 1.0})
    with pytest.raises(rs.InputError, match="bars of a day or longer"):
        seen(lambda cerebro: cerebro.adddata(intraday, name="AAA"), signals=signals)


def test_a_time_of_day_on_daily_bars_is_that_day(shared_data):
    """`BacktraderCSVData` dates its bars a moment before midnight."""
    path = shared_data / "backtrader-sample-datas" / "2006-day-001.txt"
    index = pd.MultiIndex.from_tuples([(pd.Timestamp("2006-01-10"), "FUT")], names=["date", "ticker"])
    signals = pd.Series([2.5], index=index)
    found = seen(
        lambda cerebro: cerebro.adddata(bt.feeds.BacktraderCSVData(dataname=str(path)), name="FUT"), signals=signals
    )
    assert found[dt.date(2006, 1, 9)] == 0.0
    assert found[dt.date(2006, 1, 10)] == found[dt.date(2006, 12, 29)] == 2.5
