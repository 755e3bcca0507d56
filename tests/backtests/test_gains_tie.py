"""Gains by ticker, dividends, fees and interest add up to the account's change, in every kind of run.

The sums are made here once more, from fills, cash flows and the closes of the prices alone, and the report's round
trips, what is still open and its table of gains are held to them.
"""

from __future__ import annotations

import math

import backtrader as bt
import numpy as np
import pandas as pd
import pytest
from diary import our_feeds, pandas_feeds
from real_world import Happens, with_actions

import rnn_strategies as rs
from backtests.broker.broker import Broker, RuinWarning
from backtests.common.share_tolerances import SHARE_TOLERANCE
from backtests.gains import account_flows
from reports.common.number_format import count, money
from reports.common.run_data import run_from_result
from reports.metrics.gains import gains_of_trips, trips_gap
from reports.metrics.round_trips import net_gain, open_trips, round_trips
from reports.tables.gains_table import gains_table
from reports.tables.performance_tables import round_trip_table
from signals.common.errors import CheckFailedError
from signals.data.corporate_actions import raw_panel

NAN = float("nan")
CASH = 100_000.0


def lived(prices, account, strategy, *, feeds=our_feeds, **options):
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(account)
    feeds(prices, **options)(cerebro)
    cerebro.addstrategy(strategy)
    cerebro.addanalyzer(rs.AccountRecorder)
    return cerebro.run()[0].analyzers.accountrecorder.result()


def account(**changes):
    terms = {"cash": CASH, "commission": 0.001, "slippage": 0.0005, "borrow_rate": 0.0} | changes
    return rs.BrokerSettings(**terms)


# -- runs: each gives a result and the closes that value what is still held -------------------------------------------


class Case:
    """What every run is made from: fixtures, and a random market with dividends and splits."""

    def __init__(self, make_prices, random_prices, random_scores, plan):
        self.make_prices, self.random_prices = make_prices, random_prices
        self.random_scores, self.plan = random_scores, plan

    def market(self, **options):
        prices = self.random_prices(6, 80, seed=3, **options)
        events = [
            Happens(j, t, ratio, 0.01) for j, t, ratio in ((0, 30, 2.0), (1, 40, 1.5), (2, 50, 0.1), (3, 35, 1.0))
        ]
        return with_actions(prices, events)

    def trade(self, orders, prices, *, raw=False, feeds=our_feeds, broker=None, **terms):
        options = {"adjusted": False} if raw else {}
        made = rs.Broker(account(**terms)) if broker is None else broker
        result = lived(prices, made, self.plan(orders), feeds=feeds, **options)
        return result, raw_panel(prices.panel()) if raw else prices.panel()

    def allocate(self, allocation, prices, **terms):
        scores = self.random_scores(prices, every=4)
        result = rs.run_backtest(prices, scores, allocation=allocation, broker=account(**terms))
        return result, raw_panel(prices.panel()) if terms.get("dividends") == "cash" else prices.panel()


ORDERS = {5: [("T000", 100), ("T001", 33), ("T002", 7), ("T003", -50)], 60: [("T000", -80), ("T003", 20)]}


def dividends_reinvested(case):
    return case.trade(ORDERS, case.market())


def dividends_in_cash(case):
    return case.trade(ORDERS, case.market(), raw=True, dividends="cash")


def dividends_in_cash_of_an_allocation(case):
    return case.allocate(rs.LongShortQuantile(0.3, gross=1.5), case.market(), dividends="cash", borrow_rate=0.05)


def dividends_paid_on_a_short(case):
    orders = {5: [("T000", -100), ("T003", -60)], 70: [("T000", 200)]}
    return case.trade(orders, case.market(), raw=True, dividends="cash", borrow_rate=0.02)


def splits_in_fractions(case):
    return case.trade(ORDERS, case.market(), raw=True, dividends="cash", fractional=True)


def a_split_that_pays_a_position_out(case):
    return case.trade({5: [("T002", 7)], 60: [("T000", 3)]}, case.market(), raw=True, dividends="cash")


def borrow_fees(case):
    orders = {0: [("A", -500), ("B", 100)], 6: [("A", 200)]}
    return case.trade(orders, case.make_prices({"A": np.linspace(50, 40, 12), "B": [20.0] * 12}), borrow_rate=0.2)


def margin_interest(case):
    prices = case.make_prices({"A": [100.0] * 10, "B": [100.0] * 2 + [150.0] * 8})
    orders = {0: [("A", 800), ("B", -500)], 3: [("B", 500)]}
    return case.trade(orders, prices, margin_interest_rate=0.2, borrow_rate=0.1, maintenance_margin=0.0)


def cash_interest(case):
    return case.trade({3: [("A", 100)]}, case.make_prices({"A": np.linspace(30, 60, 15)}), cash_interest_rate=0.08)


def delisting(case):
    prices = case.make_prices({"DEAD": [10, 10, 12] + [NAN] * 9, "SHORT": [8, 8, 9] + [NAN] * 9, "B": [5.0] * 12})
    orders = {0: [("DEAD", 1000), ("SHORT", -500), ("B", 100)]}
    return case.trade(orders, prices, delist_haircut=0.4, borrow_rate=0.1)


def delisting_at_nothing(case):
    prices = case.make_prices({"DEAD": [10, 10, 12] + [NAN] * 9, "B": [5.0] * 12})
    return case.trade({0: [("DEAD", 1000)]}, prices, delist_haircut=1.0)


def fractional(case):
    return case.allocate(rs.TopK(3), case.market(gaps=0.05, deaths=0.4), fractional=True, cash_interest_rate=0.03)


def remainders(case):
    orders = {0: [("A", 0.1)], 1: [("A", 0.2)], 2: [("A", -0.3)], 4: [("A", 0.7)], 5: [("A", -0.4)]}
    return case.trade(orders, case.make_prices({"A": np.linspace(9, 12, 9)}), min_commission=1.0)


class Brackets(bt.Strategy):
    """A bracket whenever nothing is held, long and short in turn; the last one is open at the end."""

    def __init__(self):
        self.given = []

    def next(self):
        for k, data in enumerate(self.datas):
            waits = any(order.alive() for order in self.given if order.data is data)
            if self.getposition(data).size or waits:
                continue
            close, sign = data.close[0], 1 if (len(self) + k) % 2 else -1
            order = self.buy_bracket if sign > 0 else self.sell_bracket
            levels = {"stopprice": close * (1 - 0.02 * sign), "limitprice": close * (1 + 0.03 * sign)}
            self.given += order(data=data, size=50, exectype=bt.Order.Market, **levels)


def brackets(case):
    prices = case.random_prices(3, 100, seed=8)
    settings = account(borrow_rate=0.05, max_participation_rate=0.001, slippage=0.002)
    return lived(prices, rs.Broker(settings), Brackets), prices.panel()


def still_open_on_both_sides(case):
    prices = case.make_prices({"A": np.linspace(50, 70, 8), "B": np.linspace(40, 45, 8), "C": [30.0] * 8})
    orders = {0: [("A", 100), ("B", -200)], 3: [("A", 50), ("C", 10)], 5: [("C", -10)]}
    return case.trade(orders, prices, borrow_rate=0.1)


def reversals(case):
    prices = case.make_prices({"A": 50 + 5 * np.sin(np.arange(20))})
    return case.trade({0: [("A", 100)], 4: [("A", -250)], 9: [("A", 300)], 14: [("A", -170)]}, prices)


def closed_by_ruin(case):
    prices = case.make_prices({"A": [10.0, 10, 10, 31, 50, 5]})
    with pytest.warns(RuinWarning):
        return case.trade({0: [("A", -9_000)]}, prices)


def partial_fills(case):
    prices = case.random_prices(6, 60, seed=5, gaps=0.05, deaths=0.3)
    return case.allocate(
        rs.TopK(2), prices, max_participation_rate=0.0005, commission_per_share=0.01, min_commission=2.0
    )


def backtraders_own_broker(case):
    broker = bt.brokers.BackBroker(cash=CASH)
    broker.setcommission(commission=0.001)
    broker.set_slippage_perc(0.001)
    orders = {5: [("T000", 100), ("T001", 33), ("T003", -50)], 60: [("T000", -80), ("T003", 20)], 70: [("T001", -60)]}
    return case.trade(orders, case.random_prices(6, 80, seed=3), feeds=pandas_feeds, broker=broker)


def backtraders_own_broker_and_brackets(case):
    prices = case.random_prices(3, 100, seed=8)
    broker = bt.brokers.BackBroker(cash=CASH)
    broker.setcommission(commission=0.002)
    return lived(prices, broker, Brackets, feeds=pandas_feeds), prices.panel()


def backtraders_own_broker_and_remainders(case):
    broker = bt.brokers.BackBroker(cash=CASH)
    orders = {0: [("A", 0.1)], 1: [("A", 0.2)], 2: [("A", -0.3)], 4: [("A", 0.7)], 5: [("A", -0.4)]}
    return case.trade(orders, case.make_prices({"A": np.linspace(9, 12, 9)}), feeds=pandas_feeds, broker=broker)


def with_compat(case):
    broker = rs.Broker(account(), compat=True)
    return case.trade(ORDERS, case.random_prices(6, 80, seed=3), broker=broker)


RUNS = (
    dividends_reinvested,
    dividends_in_cash,
    dividends_in_cash_of_an_allocation,
    dividends_paid_on_a_short,
    splits_in_fractions,
    a_split_that_pays_a_position_out,
    borrow_fees,
    margin_interest,
    cash_interest,
    delisting,
    delisting_at_nothing,
    fractional,
    remainders,
    brackets,
    still_open_on_both_sides,
    reversals,
    closed_by_ruin,
    partial_fills,
    backtraders_own_broker,
    backtraders_own_broker_and_brackets,
    backtraders_own_broker_and_remainders,
    with_compat,
)


@pytest.fixture
def case(make_prices, random_prices, random_scores, plan):
    return Case(make_prices, random_prices, random_scores, plan)


def last_prices(panel, last):
    """Close of each ticker that the last session of the result values it at."""
    rows = panel.dates <= np.datetime64(last.tz_localize(None), "D")
    closes = pd.DataFrame(panel.close[rows], columns=list(panel.tickers)).ffill().iloc[-1]
    return closes.fillna(0.0)


def by_hand(result, panel):
    """Gain of each ticker from its fills, its flows and the last close of the prices: prices, dividends, commission."""
    fills, flows = result.transactions, result.cash_flows
    shares = fills["amount"].groupby(fills["symbol"]).sum()
    shares = shares.add(flows["shares"].groupby(flows["ticker"]).sum().drop("", errors="ignore"), fill_value=0.0)
    held = shares.where(shares.abs() > SHARE_TOLERANCE * fills["amount"].abs().max(), 0.0)
    worth = held * last_prices(panel, result.returns.index[-1]).reindex(held.index)
    paid = (fills["amount"] * fills["price"]).groupby(fills["symbol"]).sum()
    dividends = flows["amount"].groupby(flows["ticker"]).sum().drop("", errors="ignore")
    return pd.DataFrame(
        {
            "price_gain": worth - paid,
            "dividends": dividends.reindex(worth.index).fillna(0.0),
            "commission": fills["commission"].groupby(fills["symbol"]).sum(),
            "open_value": worth,
        }
    )


@pytest.mark.parametrize("make", RUNS, ids=lambda make: make.__name__)
def test_everything_adds_up_to_the_change_of_the_account(make, case):
    result, panel = make(case)
    assert len(result.transactions) > 0
    change = result.positions.iloc[-1].sum() - result.initial_cash
    assert change == pytest.approx(result.initial_cash * ((1 + result.returns).prod() - 1), rel=1e-9, abs=1e-6)
    hand = by_hand(result, panel)
    gain = hand["price_gain"] + hand["dividends"] - hand["commission"]
    rest = result.cash_flows[result.cash_flows["ticker"] == ""]["amount"]
    scale = max(result.initial_cash, float(result.positions.iloc[-1].abs().sum()))
    assert abs(change - math.fsum([*gain, *rest])) <= 1e-9 * scale

    found = result.gains()
    assert found.index.tolist() == hand.index.tolist()
    for name, column in hand.items():
        assert found[name].to_numpy() == pytest.approx(column.to_numpy(), rel=1e-9, abs=1e-9 * scale), name
    assert account_flows(result.cash_flows, found.index).sum() == pytest.approx(rest.sum())

    # the report's round trips and what is still open say the same of every ticker
    trips = round_trips(result.transactions, result.cash_flows)
    left = open_trips(result.transactions, result.cash_flows, result.positions)
    assert trips_gap(result.positions, result.transactions, result.cash_flows) is None
    told = gains_of_trips(trips, left)
    assert told["gain"].to_numpy() == pytest.approx(gain.to_numpy(), rel=1e-9, abs=1e-9 * scale)
    assert told["dividends"].to_numpy() == pytest.approx(hand["dividends"].to_numpy(), rel=1e-9, abs=1e-9 * scale)

    # still open: which, how much, and what has not been realised
    held = hand["open_value"][hand["open_value"] != 0.0]
    assert left["symbol"].tolist() == held.index.tolist()
    assert left["value"].to_numpy() == pytest.approx(held.to_numpy(), rel=1e-9)
    run = run_from_result(result, title="t")
    rows = {row[0]: row[1] for row in round_trip_table(trips, left).rows}
    assert rows["Still open at the end"] == count(len(held))
    unrealised = gain.sum() - float(net_gain(trips).sum())
    assert net_gain(left).sum() == pytest.approx(unrealised, rel=1e-6, abs=1e-6)
    assert rows["… unrealised net gain"] == money(round(unrealised, 9) + 0.0)

    # and so does its table of gains
    table = {row[0]: row[-1] for row in gains_table(run, trips, left).rows}
    assert table["Change of the account"] == money(change)
    assert "Not recorded" not in table
    for ticker, amount in gain.items():
        assert table[ticker] == money(amount)
    for kind, amount in result.cash_flows[result.cash_flows["ticker"] == ""].groupby("kind")["amount"].sum().items():
        assert table[kind.capitalize()] == money(amount)


def test_the_runs_have_what_they_are_for(case):
    """So that none of the sums above is one of zeros."""
    kinds = {make.__name__: set(make(case)[0].cash_flows["kind"]) for make in RUNS if make is not closed_by_ruin}
    assert kinds["dividends_reinvested"] == set()
    assert kinds["dividends_in_cash"] == {"dividend", "split", "cash in lieu"}
    assert kinds["dividends_in_cash_of_an_allocation"] >= {"dividend", "split", "borrow fee"}
    assert kinds["dividends_paid_on_a_short"] >= {"dividend", "borrow fee"}
    assert kinds["splits_in_fractions"] == {"dividend", "split"}
    assert "cash in lieu" in kinds["a_split_that_pays_a_position_out"]
    assert kinds["borrow_fees"] == {"borrow fee"}
    assert kinds["margin_interest"] == {"borrow fee", "margin interest"}
    assert kinds["cash_interest"] == {"cash interest"}
    assert set(case_statuses(delisting, case)) == {"filled", "liquidated"}
    assert {"filled", "cancelled"} <= set(case_statuses(brackets, case))
    assert {"partial", "filled"} <= set(case_statuses(partial_fills, case))
    assert len(still_open_on_both_sides(case)[0].gains()) == 3
    result, _ = dividends_paid_on_a_short(case)
    assert result.gains()["dividends"].loc["T003"] < 0.0


def case_statuses(make, case):
    return make(case)[0].orders["status"]


def test_interest_that_nothing_records_has_a_row_of_its_own(case):
    """backtrader's own broker takes the interest of a scheme from the cash without a notification."""
    broker = bt.brokers.BackBroker(cash=CASH)
    broker.addcommissioninfo(bt.CommissionInfo(commission=0.0, stocklike=True, interest=0.3, interest_long=True))
    prices = case.make_prices({"A": [10.0] * 10})
    result, _ = case.trade({0: [("A", 1000)]}, prices, feeds=pandas_feeds, broker=broker)
    change = result.positions.iloc[-1].sum() - CASH
    assert change < -10.0
    trips = round_trips(result.transactions, result.cash_flows)
    left = open_trips(result.transactions, result.cash_flows, result.positions)
    table = {row[0]: row[-1] for row in gains_table(run_from_result(result, title="t"), trips, left).rows}
    assert table["A"] == money(0.0)
    assert table["Not recorded"] == table["Change of the account"] == money(change)


def test_a_broker_that_loses_a_cent_is_found(case, monkeypatch):
    after = Broker._after_fills

    def careless(self):
        after(self)
        self.cash -= 0.01

    monkeypatch.setattr(Broker, "_after_fills", careless)
    with pytest.raises(CheckFailedError):
        cash_interest(case)
