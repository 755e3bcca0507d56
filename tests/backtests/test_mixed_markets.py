"""Two calendars, resampled feeds and commission schemes of one's own in one run of the default broker."""

from __future__ import annotations

import backtrader as bt
import numpy as np
import pandas as pd
import pytest

import rnn_strategies as rs
from signals.calendar import sessions

FREE = {"cash": 1e5, "commission": 0.0, "slippage": 0.0}


def market(tickers, calendar="XNYS", *, n=40, seed=0, start="2019-04-01", first=0):
    """Random walks on an exchange's sessions; the last ticker begins `first` sessions late."""
    days = sessions(start, np.datetime64(start) + np.timedelta64(2 * n + 20, "D"), calendar)[:n]
    rng = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, (n, len(tickers))), axis=0))
    frames = [
        pd.DataFrame(
            {"date": days.astype("datetime64[ns]"), "ticker": ticker, "open": close[:, j], "high": close[:, j],
             "low": close[:, j], "close": close[:, j], "volume": 1e6, "adj_factor": 1.0}
        )[first if ticker == tickers[-1] else 0:]
        for j, ticker in enumerate(tickers)
    ]  # fmt: skip
    return rs.check_prices(pd.concat(frames).set_index(["date", "ticker"]).sort_index(), calendar=calendar)


def scored(prices, dates):
    index = pd.MultiIndex.from_product(
        [pd.DatetimeIndex(dates).as_unit("ns"), prices.tickers], names=["date", "ticker"]
    )
    return pd.DataFrame({"score": np.linspace(0.1, 0.9, len(index))}, index=index)


def run(feeds, strategy, broker, **options):
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(broker if isinstance(broker, rs.Broker) else rs.Broker(broker))
    feeds(cerebro)
    cerebro.addstrategy(strategy, **options)
    cerebro.addanalyzer(rs.AccountRecorder)
    return cerebro.run()[0]


GOLDEN_WEEK = pd.Timestamp("2019-04-26")  # Tokyo's last session before ten days off


@pytest.fixture(scope="module")
def new_york():
    return market(["AAA", "BBB"])


@pytest.fixture(scope="module")
def tokyo():
    return market(["T1", "T2"], "XTKS", seed=1)


class Buys(bt.Strategy):
    """Buys once, on a day, and listens."""

    params = (("name", ""), ("day", None), ("size", 10))

    def __init__(self):
        self.signals, self.heard = {}, []

    def prenext(self):
        self.next()

    def next(self):
        today = pd.Timestamp(self.datetime.date(0))
        self.signals[today] = [data.signal[0] for data in self.datas if hasattr(data.lines, "signal")]
        if today == self.p.day:
            self.buy(data=self.getdatabyname(self.p.name), size=self.p.size)

    def notify_order(self, order):
        if not order.alive():
            self.heard.append((str(self.datetime.date(0)), order.getstatusname(), order.executed.price))


def test_holidays_of_one_exchange_are_no_missing_bars_of_the_other(new_york, tokyo):
    """A holding lives through them, and a day order waits for the next session of its own exchange."""

    def feeds(cerebro):
        rs.add_prices(cerebro, new_york)
        rs.add_prices(cerebro, tokyo)

    done = run(feeds, Buys, rs.BrokerSettings(**FREE, delist_after_sessions=3), name="T1", day=GOLDEN_WEEK)
    orders = done.analyzers.accountrecorder.result().orders
    assert orders[["type", "status"]].to_numpy().tolist() == [["market", "filled"]]
    assert str(orders["executed"].iloc[0].date()) == "2019-05-07"

    held = run(
        feeds, Buys, rs.BrokerSettings(**FREE, delist_after_sessions=3), name="T1", day=pd.Timestamp("2019-04-10")
    )
    assert held.analyzers.accountrecorder.result().orders["status"].tolist() == ["filled"]


def test_a_score_is_not_repeated_on_sessions_of_another_exchange(new_york, tokyo):
    decisions = [pd.Timestamp("2019-04-04"), GOLDEN_WEEK]

    def feeds(cerebro):
        rs.add_prices(cerebro, new_york, signals=scored(new_york, decisions))
        rs.add_prices(cerebro, tokyo, signals=scored(tokyo, decisions))

    seen = run(feeds, Buys, rs.BrokerSettings(**FREE)).signals
    assert not np.isnan(seen[GOLDEN_WEEK]).any()
    assert np.isnan(seen[pd.Timestamp("2019-04-29")]).all()  # New York trades, Tokyo does not

    done = run(feeds, rs.SignalStrategy, rs.BrokerSettings(**FREE), allocation=rs.EqualWeight())
    orders = done.analyzers.accountrecorder.result().orders
    assert set(orders["submitted"].dt.date.astype(str)) == {"2019-04-04", "2019-04-26"}


def test_an_order_never_fills_in_a_longer_bar_that_began_before_it(new_york):
    def feeds(cerebro):
        daily = rs.add_prices(cerebro, new_york, tickers=["AAA"])[0]
        cerebro.resampledata(daily, timeframe=bt.TimeFrame.Weeks, name="weekly")

    # given on a Wednesday: the open of that week's Monday is over
    done = run(feeds, Buys, rs.BrokerSettings(**FREE), name="weekly", day=pd.Timestamp("2019-04-10"))
    ((filled, status, price),) = done.heard
    assert status == "Completed"
    monday = pd.Timestamp("2019-04-15")
    assert pd.Timestamp(filled) >= monday
    assert price == new_york.frame["open"][monday, "AAA"]


def test_volatility_slippage_is_paid_from_the_first_fill_on():
    prices = market(["AAA", "BBB"], n=80)
    dates = prices.frame.index.levels[0]
    broker = rs.BrokerSettings(**FREE, volatility_slippage_coef=0.1)
    result = rs.run_backtest(prices, scored(prices, dates[60::5]), allocation=rs.TopK(1), broker=broker)
    first = result.orders.iloc[0]
    closes = prices.frame["close"].xs(first["ticker"], level="ticker")[: dates[60]].to_numpy()[-22:]
    expected = 0.1 * (closes[1:] / closes[:-1] - 1.0).std(ddof=1)
    assert first["slippage"] / (first["filled"] * first["price"]) * (1 + expected) == pytest.approx(expected, rel=1e-9)
    assert expected > 0.001


class Own(bt.CommInfoBase):
    """A commission scheme that the fast path does not know."""

    params = (("stocklike", True), ("commtype", bt.CommInfoBase.COMM_PERC))


@pytest.mark.parametrize("scheme", ["own class", "leverage", "interest"])
def test_values_hold_with_schemes_of_ones_own_and_late_listings(scheme):
    prices = market(["AAA", "LATE"], first=10)
    broker = rs.Broker(rs.BrokerSettings(**FREE))
    if scheme == "own class":
        broker.addcommissioninfo(Own())
    else:
        broker.setcommission(commission=0.0, name="AAA", **{scheme: 2.0 if scheme == "leverage" else 0.01})

    class Looks(Buys):
        def next(self):
            self.worth = self.broker.getvalue(list(self.datas))
            assert self.broker.getvalue() == self.broker.get_value()
            for data in self.datas:
                self.getposition(data)
            super().next()

    def feeds(cerebro):
        rs.add_prices(cerebro, prices)

    done = run(feeds, Looks, broker, name="AAA", day=pd.Timestamp("2019-04-03"), size=100)
    assert broker.stopped is None
    closes = prices.frame["close"].xs("AAA", level="ticker")
    bought = prices.frame["open"][pd.Timestamp("2019-04-04"), "AAA"]
    assert done.broker.getvalue() == pytest.approx(1e5 + 100 * (closes.iloc[-1] - bought), rel=1e-12)
    assert done.worth == pytest.approx(100 * closes.iloc[-1], rel=1e-12)


def test_the_margin_at_the_open_counts_the_gap_of_the_night(make_prices, settings, my_cerebro, plan):
    """A short that doubles overnight leaves no room for another one at that open."""
    prices = make_prices({"A": [10.0, 10, 20, 20, 20], "B": [10.0] * 5}, {"A": [10.0, 10, 20, 20, 20], "B": [10.0] * 5})
    broker = settings(**(FREE | {"cash": 2_000.0}), borrow_rate=0.0)
    _, result = my_cerebro(prices, plan({0: [("A", -100)], 1: [("A", 100), ("B", -250)]}), broker)
    assert result.orders["status"].tolist() == ["filled", "filled", "margin"]
    assert "initial margin" in result.orders["reason"].iloc[-1]


def test_orders_given_at_the_open_by_cheating_are_taken(new_york):
    class Cheats(Buys):
        def next_open(self):
            if len(self) == 5:
                self.buy(data=self.datas[0], size=1)

    cerebro = bt.Cerebro(stdstats=False, cheat_on_open=True)
    cerebro.setbroker(rs.Broker(rs.BrokerSettings(**FREE)))
    rs.add_prices(cerebro, new_york)
    cerebro.addstrategy(Cheats)
    ((_, status, _),) = cerebro.run()[0].heard
    assert status == "Completed"
