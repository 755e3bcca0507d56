"""Strategies that go wrong are told so: ruin has a date, what is left at the end is open, the dead are not traded."""

from __future__ import annotations

import warnings

import backtrader as bt
import pandas as pd
import pytest
from diary import pandas_feeds, quiet

import rnn_strategies as rs
from backtests.broker.broker import RuinWarning

NAN = float("nan")
FREE = {"commission": 0.0, "slippage": 0.0, "borrow_rate": 0.0}


def run(prices, strategy, broker, *, feeds=None, **mode):
    """In a plain Cerebro with the ledger; gives (strategy, result)."""
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(rs.Broker(broker))
    (feeds or (lambda c: rs.add_prices(c, prices)))(cerebro)
    cerebro.addstrategy(strategy)
    cerebro.addanalyzer(rs.AccountRecorder)
    with quiet():
        ran = cerebro.run(**mode)[0]
    return ran, ran.analyzers.accountrecorder.result()


def rows(result, *columns):
    return [tuple(row) for row in result.orders[list(columns)].itertuples(index=False)]


# -- ruin -------------------------------------------------------------------------------------------------------------


class Stubborn(bt.Strategy):
    """Sells short what it owns a hundred times over, and goes on whatever happens."""

    params = (("size", 500),)

    def __init__(self):
        self.calls, self.heard, self.ended = [], [], False

    def next(self):
        self.calls.append(self.datetime.date(0))
        self.sell(size=self.p.size if len(self) == 1 else 1)

    def notify_order(self, order):
        self.heard.append((order.getstatusname(), order.info.get("broker_reason")))

    def stop(self):
        self.ended = True


@pytest.mark.parametrize("runonce", [True, False], ids=["vectorised", "bar by bar"])
@pytest.mark.parametrize("feeds", ["ours", "pandas"])
def test_ruin_ends_the_run_on_its_day(make_prices, settings, days, feeds, runonce):
    prices = make_prices({"S": [10.0, 10, 10, 31, 50, 5, 5, 5]})
    with pytest.warns(RuinWarning, match=r"ruined on 2015-01-07: its value was -5\d\d\."):
        strategy, result = run(
            prices,
            Stubborn,
            settings(**FREE, cash=1e4, maintenance_margin=0.0),
            feeds=pandas_feeds(prices) if feeds == "pandas" else None,
            runonce=runonce,
        )
    day = days(4)[3]
    assert result.stopped.startswith(f"The account was ruined on {day}: its value was -5")
    assert result.warnings[0] == result.stopped
    assert str(result.returns.index[-1].date()) == str(day)
    assert result.returns.iloc[-1] < -1.0
    assert [str(call) for call in strategy.calls] == [str(one) for one in days(4)]
    assert strategy.ended
    # what was given on the day of ruin is refused, in its words
    assert rows(result, "status", "reason")[-1] == ("rejected", result.stopped)
    result.check()


def test_ruin_on_the_last_session(make_prices, settings, days):
    prices = make_prices({"S": [10.0, 10, 10, 31]})
    with pytest.warns(RuinWarning):
        _, result = run(prices, Stubborn, settings(**FREE, cash=1e4, maintenance_margin=0.0))
    assert result.stopped.startswith(f"The account was ruined on {days(4)[3]}")
    assert len(result.returns) == 4


def test_ruin_is_not_outlived_by_the_names_that_go_on(make_prices, settings, scores, days):
    """One name ruins the account while ninety-nine others trade on for months."""
    d = days(60)
    closes = {f"T{j:02d}": [10.0] * 60 for j in range(20)}
    closes["T07"] = [10.0] * 5 + [300.0] * 55
    signals = {(d[0], name): -1.0 if name == "T07" else 1.0 for name in closes}
    signals |= {(d[t], name): 1.0 for t in range(10, 60, 10) for name in closes}
    result = rs.run_backtest(
        make_prices(closes), scores(signals), allocation=rs.Threshold(0.0, short=0.0), broker=settings(**FREE)
    )
    assert result.stopped.startswith(f"The account was ruined on {d[5]}")
    assert len(result.returns) == 6
    assert pd.Timestamp(d[5]) >= result.orders["submitted"].max()


def test_a_margin_call_says_what_it_is(make_prices, settings, days):
    prices = make_prices({"S": [10.0, 10, 10, 18, 50, 5]})
    with pytest.warns(RuinWarning, match="maintenance margin of 70 %"):
        _, result = run(prices, Stubborn, settings(**FREE, cash=1e4, maintenance_margin=0.7))
    # 10,000 less 8 on 501 shares; one more was sold at 18
    assert result.stopped == (
        f"The account was closed on {days(4)[3]}: its value of 5,992.00 was below the maintenance margin of 70 % of "
        "positions of 9,036.00."
    )


def test_the_report_begins_with_it(make_prices, settings):
    prices = make_prices({"S": [10.0, 10, 10, 31, 31]})
    with pytest.warns(RuinWarning):
        _, result = run(prices, Stubborn, settings(**FREE, cash=1e4))
    card = str(result)
    assert result.stopped in card


# -- the last bar -----------------------------------------------------------------------------------------------------


def test_orders_after_the_last_bar_are_open(make_prices, settings, days):
    class Late(bt.Strategy):
        def next(self):
            if len(self) == 5:
                self.buy(size=10)
                self.buy(size=20, exectype=bt.Order.Limit, price=1.0)
                self.buy_bracket(size=5, exectype=bt.Order.Market, stopprice=5.0, limitprice=20.0)
            if len(self) == 2:
                self.buy(size=7, exectype=bt.Order.Stop, price=99.0)

    _, result = run(make_prices({"A": [10.0] * 5}), Late, settings(**FREE))
    d = days(5)
    assert rows(result, "type", "size", "filled", "status") == [
        ("stop", 7.0, 0.0, "open"),
        ("market", 10.0, 0.0, "open"),
        ("limit", 20.0, 0.0, "open"),
        ("market", 5.0, 0.0, "open"),
        ("stop", 5.0, 0.0, "open"),
        ("limit", 5.0, 0.0, "open"),
    ]
    assert result.orders["submitted"].dt.date.astype(str).tolist() == [str(d[1]), *[str(d[4])] * 5]
    assert result.orders["executed"].isna().all()
    assert len(result.transactions) == 0


def test_a_decision_on_the_last_session_is_tomorrows(make_prices, settings, scores, days):
    d = days(6)
    signals = scores({(d[0], "A"): 1.0, (d[0], "B"): -1.0, (d[5], "A"): -1.0, (d[5], "B"): 1.0})
    prices = make_prices({"A": [10.0] * 6, "B": [5.0] * 6})
    result = rs.run_backtest(prices, signals, allocation=rs.TopK(1), broker=settings())
    assert rows(result, "ticker", "side", "status") == [
        ("A", "buy", "filled"),
        ("A", "sell", "open"),
        ("B", "buy", "open"),
    ]
    assert result.warnings == ()  # nothing is wrong with them


def test_what_was_half_filled_at_the_end_is_open_for_the_rest(make_prices, settings):
    class Large(bt.Strategy):
        def next(self):
            if len(self) == 4:
                self.buy(size=100, exectype=bt.Order.Limit, price=12.0)

    prices = make_prices({"A": [10.0] * 5}, volume=1000.0)
    _, result = run(prices, Large, settings(**FREE, max_participation_rate=0.04))
    assert rows(result, "filled", "status") == [(40.0, "open")]
    assert result.positions["A"].iloc[-1] == 400.0


# -- names that died --------------------------------------------------------------------------------------------------


class Blind(bt.Strategy):
    """Buys the dead on every session, with whatever order."""

    params = (("kind", bt.Order.Market), ("price", None))

    def __init__(self):
        self.heard = []

    def prenext(self):
        self.next()

    def notify_order(self, order):
        self.heard.append(order.getstatusname())

    def next(self):
        self.buy(data=self.getdatabyname("DEAD"), size=1, exectype=self.p.kind, price=self.p.price)


@pytest.mark.parametrize("kind", ["Market", "Limit", "Stop", "Close"])
@pytest.mark.parametrize("runonce", [True, False], ids=["vectorised", "bar by bar"])
def test_orders_in_a_dead_name_are_rejected_aloud(make_prices, settings, days, kind, runonce):
    d = days(10)
    prices = make_prices({"DEAD": [10.0, 10, 10] + [NAN] * 7, "B": [5.0] * 10})

    class OneKind(Blind):
        params = (("kind", getattr(bt.Order, kind)), ("price", {"Limit": 1.0, "Stop": 99.0}.get(kind)))

    strategy, result = run(prices, OneKind, settings(**FREE), runonce=runonce)
    refused = result.orders[result.orders["status"] == "rejected"]
    assert refused["submitted"].dt.date.astype(str).tolist() == [str(day) for day in d[3:]]
    assert refused["reason"].tolist() == [f"no bar on {day} when the order was given" for day in d[3:]]
    assert strategy.heard.count("Rejected") >= 6
    if kind == "Market":
        assert any(
            "were rejected (7 rejected; first buy 1 DEAD on 2015-01-07: no bar" in line for line in result.warnings
        )


def test_an_order_on_the_last_bar_of_a_name_expires_and_says_why(make_prices, settings, days):
    prices = make_prices({"DEAD": [10.0, 10, 10] + [NAN] * 7, "B": [5.0] * 10})
    _, result = run(prices, Blind, settings(**FREE))
    d = days(10)
    last = result.orders[result.orders["submitted"] == pd.Timestamp(d[2])]
    assert last[["status", "reason"]].to_numpy().tolist() == [["expired", f"no bar on {d[3]}"]]


def test_what_waits_for_a_dead_name_ends_with_it(make_prices, settings, days):
    """Whether or not any of it is held: a limit nobody will ever meet is not left open to the end."""

    class Waits(bt.Strategy):
        def next(self):
            if len(self) == 2:
                for name in ("DEAD", "HELD"):
                    self.buy(data=self.getdatabyname(name), size=5, exectype=bt.Order.Limit, price=1.0)
            if len(self) == 1:
                self.buy(data=self.getdatabyname("HELD"), size=10)

    dead = [10.0, 10, 10] + [NAN] * 9
    prices = make_prices({"DEAD": dead, "HELD": dead, "B": [5.0] * 12})
    _, result = run(prices, Waits, settings(**FREE))
    ends = dict(zip(result.orders["ticker"] + " " + result.orders["type"], result.orders["status"], strict=True))
    assert ends == {
        "HELD market": "filled",
        "DEAD limit": "cancelled",
        "HELD limit": "cancelled",
        "HELD liquidation": "liquidated",
    }
    reasons = result.orders["reason"][result.orders["type"] == "limit"]
    assert all(reason.startswith("delisted") for reason in reasons)


def test_closing_a_dead_holding_is_refused_until_it_is_cashed_out(make_prices, settings, days):
    class Closes(bt.Strategy):
        def next(self):
            if len(self) == 1:
                self.buy(data=self.getdatabyname("DEAD"), size=10)
            elif len(self) > 3:
                self.close(data=self.getdatabyname("DEAD"))

    prices = make_prices({"DEAD": [10.0, 10, 10] + [NAN] * 9, "B": [5.0] * 12})
    _, result = run(prices, Closes, settings(**FREE))
    counts = result.orders["status"].value_counts()
    assert counts["rejected"] == 4
    assert counts["liquidated"] == 1
    assert result.positions["DEAD"].iloc[-1] == 0.0


def test_a_name_that_was_never_listed_cannot_be_bought(make_prices, settings):
    class Early(bt.Strategy):
        def prenext(self):
            self.next()

        def next(self):
            if len(self.data) < 3:
                self.buy(data=self.getdatabyname("LATE"), size=3)

    prices = make_prices({"A": [10.0] * 8, "LATE": [NAN] * 5 + [7.0, 7.0, 7.0]})
    _, result = run(prices, Early, settings(**FREE))
    assert rows(result, "status")[0] == ("rejected",)
    assert len(result.transactions) == 0


# -- money it does not have -------------------------------------------------------------------------------------------


def test_greed_is_in_the_first_lines(make_prices, settings):
    class Greedy(bt.Strategy):
        def next(self):
            self.order_target_percent(target=1.7)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, result = run(make_prices({"A": [10.0] * 8}), Greedy, settings(**FREE))
    assert set(result.orders["status"]) == {"margin", "open"}
    assert "more than the traded value, were rejected (7 margin" in result.warnings[0]
    assert result.returns.abs().sum() == 0.0


def test_a_mistake_in_a_strategy_is_not_swallowed(make_prices, settings):
    class Wrong(bt.Strategy):
        def next(self):
            if len(self) == 3:
                raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        run(make_prices({"A": [10.0] * 8}), Wrong, settings(**FREE))


@pytest.mark.parametrize("size", [NAN, float("inf"), 0.0])
def test_sizes_that_cannot_be_meant_leave_the_account_alone(make_prices, settings, size):
    class Odd(bt.Strategy):
        def next(self):
            if len(self) == 2:
                self.buy(size=size)

    _, result = run(make_prices({"A": [10.0] * 6}), Odd, settings(**FREE))
    assert (result.positions["cash"] == 1e6).all()
    assert len(result.transactions) == 0
    assert result.stopped is None
    if size:
        assert rows(result, "status") == [("rejected",)]
