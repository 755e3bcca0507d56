"""Slippage of every kind of order: what is charged is recorded, and what is recorded is what the report states."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from itertools import pairwise

import backtrader as bt
import numpy as np
import pandas as pd
import pytest

import rnn_strategies as rs
from backtests.journal.fill_journal import FillJournal
from reports.common.number_format import small_bps
from reports.common.run_data import run_from_result
from reports.cost_sentences import cost_words, unknown_costs
from reports.tables.performance_tables import trading_table

KINDS = ("Market", "Close", "Stop", "Limit", "StopLimit", "StopTrail", "StopTrailLimit")
SIDES = {"buy": 1, "sell": -1}
SIZE = 300
# 100 at the decision after returns of 2 % up and down in turn, then the bar that the order meets
WARM_UP = [100.0 if k % 2 else 102.0 for k in range(10)]
DECISION = len(WARM_UP) - 1
# half the way from the stop to its limit in the bar, so that slippage of 2 % would exceed the limit
STOP, LIMIT = 2.0, 3.0

COSTS = {
    "none": {},
    "fixed beyond the limit": {"slippage": 0.02},
    "spread": {"half_spread": 0.0003, "slippage": 0.0004},
    "volatility and fixed": {"volatility_slippage_coef": 0.3, "slippage": 0.001},
}


def fraction(costs):
    """Fraction of the price that an order loses at the bar after the decision."""
    returns = [now / before - 1.0 for before, now in pairwise(WARM_UP)]
    volatile = costs.get("volatility_slippage_coef", 0.0) * statistics.stdev(returns)
    return costs.get("slippage", 0.0) + costs.get("half_spread", 0.0) + volatile


def meeting_bar(kind, sign, moment):
    """Open, high, low and close of the bar that the order meets, and the price it fills at before slippage.

    The last figure is the price beyond which no order may fill; None where there is none.
    """
    stop, beyond = 100.0 + sign * STOP, 100.0 + sign * LIMIT
    below = 100.0 - sign * STOP
    bars = {
        # open, furthest up, furthest down in the direction of the order, close
        "gap": (100.0 + sign * 2.5, 100.0 + sign * 4.0, 100.0 - sign * 1.0, 100.0 + sign * 3.5),
        "inside": (100.0, 100.0 + sign * 4.0, 100.0 - sign * 1.0, 100.0 + sign * 3.5),
    }
    if kind == "Limit":
        bars = {
            "gap": (100.0 - sign * 2.5, 100.0 + sign, 100.0 - sign * 3.0, 100.0),
            "inside": (100.0, 100.0 + sign, 100.0 - sign * 3.0, 100.0),
        }
    open_, far, near, close = bars[moment]
    bar = (open_, max(far, near), min(far, near), close)
    at_open = moment == "gap"
    if kind == "Market":
        return bar, open_, None
    if kind == "Close":
        return bar, close, None
    if kind == "Limit":
        return bar, open_ if at_open else below, below
    limit = beyond if "Limit" in kind else None
    return bar, open_ if at_open else stop, limit


def options(kind, sign):
    given = {"exectype": getattr(bt.Order, kind)}
    if kind == "Limit":
        given["price"] = 100.0 - sign * STOP
    elif kind in ("Stop", "StopLimit"):
        given["price"] = 100.0 + sign * STOP
    elif "Trail" in kind:
        given["trailamount"] = STOP
    if kind == "StopLimit":
        given["plimit"] = 100.0 + sign * LIMIT
    elif kind == "StopTrailLimit":
        # as far from the price that it trails as later from the stop
        given |= {"price": 100.0, "plimit": 100.0 + sign * (LIMIT - STOP)}
    return given


def expected_fill(kind, sign, moment, costs):
    """Price before slippage and price of the fill, from the bar alone."""
    _, before, limit = meeting_bar(kind, sign, moment)
    if kind == "Close" or (kind == "Limit" and moment == "inside"):
        return before, before
    slipped = before * (1.0 + sign * fraction(costs))
    if limit is None:
        return before, slipped
    return before, min(slipped, limit) if sign > 0 else max(slipped, limit)


@pytest.fixture
def frame(days):
    def make(*bars):
        rows = [(price,) * 4 for price in WARM_UP] + list(bars) + [(bars[-1][3],) * 4] * 2
        table = pd.DataFrame(rows, columns=["open", "high", "low", "close"], dtype=float)
        stamps = pd.DatetimeIndex(days(len(rows)).astype("datetime64[ns]"))
        return table.assign(volume=1e9, date=stamps, ticker="A").set_index(["date", "ticker"])

    return make


def traded(frame, orders, broker, plan, *, feeds="ours"):
    """Run planned orders on this project's feeds or on backtrader's own; gives the result."""
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(broker)
    prices = rs.check_prices(frame)
    if feeds == "ours":
        rs.add_prices(cerebro, prices)
    else:
        cerebro.adddata(bt.feeds.PandasData(dataname=prices.frame.xs("A", level="ticker")), name="A")
    cerebro.addstrategy(plan(orders))
    cerebro.addanalyzer(rs.AccountRecorder)
    return cerebro.run()[0].analyzers.accountrecorder.result()


def account(**costs):
    return rs.Broker(
        rs.BrokerSettings(**{"cash": 1e6, "commission": 0.0, "slippage": 0.0, "borrow_rate": 0.0, **costs})
    )


def measured(result):
    """What the report is written from, and its figures."""
    run = run_from_result(result, title="t")
    metrics = rs.compute_metrics(
        result.returns,
        positions=result.positions,
        transactions=result.transactions,
        orders=result.orders,
        cash_flows=result.cash_flows,
    )
    return run, metrics


def assert_stated(result, slippage):
    """Hold the report's sentence, figures and table to an independent sum of slippage."""
    run, metrics = measured(result)
    words = cost_words(run, metrics)
    money = float((result.transactions["amount"].abs() * result.transactions["price"]).sum())
    row = dict(row[:2] for row in trading_table(metrics, run).rows if len(row) > 1)
    assert metrics["slippage_total"] == pytest.approx(slippage, rel=1e-9, abs=1e-9)
    if slippage:
        assert f"paying {small_bps(1e4 * slippage / money)} slippage on all money traded" in words
        assert "No " not in words
        assert metrics["annual_cost"] > 0.0
    else:
        assert words == ". No costs were charged"
    assert "unknown" not in words + row["Slippage, total / of traded value"]


# feeds and costs
RUNS = [*(("ours", costs) for costs in COSTS), *(("backtrader's", costs) for costs in list(COSTS)[-2:])]


@pytest.mark.parametrize(("feeds", "costs"), RUNS)
@pytest.mark.parametrize("moment", ["gap", "inside"])
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("kind", KINDS)
def test_slippage_is_what_the_bar_and_the_settings_say(kind, side, moment, costs, feeds, frame, plan):
    sign = SIDES[side]
    bar, _, _ = meeting_bar(kind, sign, moment)
    orders = {DECISION: [("A", sign * SIZE, options(kind, sign))]}
    result = traded(frame(bar), orders, account(**COSTS[costs]), plan, feeds=feeds)
    before, paid = expected_fill(kind, sign, moment, COSTS[costs])
    (order,) = result.orders.itertuples()
    assert (order.type, order.side, order.status) == (kind.lower(), side, "filled")
    assert result.transactions["price"].tolist() == pytest.approx([paid], rel=1e-12)
    assert order.slippage == pytest.approx(abs(paid - before) * SIZE, rel=1e-9, abs=1e-9)
    assert_stated(result, abs(paid - before) * SIZE)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("kind", ["StopTrail", "StopTrailLimit"])
@pytest.mark.parametrize("trail", ["trailamount", "trailpercent"])
def test_a_stop_that_trailed_for_days_slips_from_where_it_was(kind, side, trail, frame, plan):
    sign = SIDES[side]
    # three closes away from the stop, which follows them, and then back through it
    away = [100.0 - sign * k for k in (1.0, 2.0, 3.0)]
    level = away[-1] + sign * (2.0 if trail == "trailamount" else 0.02 * away[-1])
    back = (away[-1], max(away[-1], level + sign), min(away[-1], level + sign), level + sign)
    given = {"exectype": getattr(bt.Order, kind), trail: 2.0 if trail == "trailamount" else 0.02}
    if kind == "StopTrailLimit":
        given |= {"price": 100.0, "plimit": 100.0 + sign * 5.0}
    orders = {DECISION: [("A", sign * SIZE, given)]}
    result = traded(frame(*((price,) * 4 for price in away), back), orders, account(slippage=0.001), plan)
    assert result.transactions["price"].tolist() == pytest.approx([level * (1 + sign * 0.001)], rel=1e-12)
    assert_stated(result, SIZE * level * 0.001)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("kind", ["Stop", "Limit", "StopLimit", "StopTrail"])
def test_slippage_of_parts_adds_up(kind, side, frame, plan):
    """An order that fills in parts, at other prices on every day."""
    sign = SIDES[side]
    first = 100.0 + sign * (2.5 if kind != "Limit" else -2.5)
    opens = [first, first - sign * 0.1, first - sign * 0.2]
    table = frame(*((price,) * 4 for price in opens))
    table["volume"] = 1000.0
    orders = {DECISION: [("A", sign * SIZE, options(kind, sign))]}
    result = traded(table, orders, account(slippage=0.001, max_participation_rate=0.1), plan)
    assert result.transactions["amount"].tolist() == [sign * 100.0] * 3
    assert result.transactions["price"].tolist() == pytest.approx([price * (1 + sign * 0.001) for price in opens])
    assert_stated(result, 100 * 0.001 * sum(opens))


def test_what_waits_in_part_at_the_end_is_counted(frame, plan):
    table = frame((97.0,) * 4)
    table["volume"] = 500.0
    orders = {DECISION: [("A", SIZE, options("Limit", 1))]}
    result = traded(table, orders, account(slippage=0.001, max_participation_rate=0.1), plan)
    assert (result.orders["status"].iloc[0], result.orders["filled"].iloc[0]) == ("open", 150.0)
    assert_stated(result, 150 * 0.097)


@pytest.mark.parametrize("size", [1, -1])
def test_a_limit_order_slips_up_to_its_limit_and_no_further(size, frame, plan):
    """Whether or not the bar has a range: with closes alone it has none."""
    orders = {DECISION: [("A", size, options("Limit", size))]}
    open_ = 100.0 - size * 2.5
    for slip in (0.001, 0.02):
        result = traded(frame((open_,) * 4), orders, account(slippage=slip), plan)
        slipped, limit = open_ * (1 + size * slip), 100.0 - size * STOP
        paid = min(slipped, limit) if size > 0 else max(slipped, limit)
        assert result.transactions["price"].tolist() == pytest.approx([paid], rel=1e-12)


# -- costs that are not known ------------------------------------------------------------------------------------------


class OwnSlippage(bt.brokers.BackBroker):
    """A user's broker with its own rule for the slippage of stop orders."""

    def _slip_up(self, pmax, price, doslip=True, lim=False):
        return min(price * 1.01, pmax)


def stock(*, slip_perc=0.0, slip_fixed=0.0):
    broker = bt.brokers.BackBroker(cash=1e6)
    if slip_perc:
        broker.set_slippage_perc(slip_perc)
    if slip_fixed:
        broker.set_slippage_fixed(slip_fixed)
    return broker


def assert_unknown(result, *kinds):
    """Hold the report to calling these costs unknown, and nothing that is unknown none or 0."""
    run, metrics = measured(result)
    words = cost_words(run, metrics)
    table = dict(row[:2] for row in trading_table(metrics, run).rows if len(row) > 1)
    assert unknown_costs(metrics) == list(kinds)
    assert words.endswith(f"its {' and '.join(kinds)} {'are' if len(kinds) > 1 else 'is'} unknown")
    assert "No " not in words
    assert " no " not in words
    for kind in kinds:
        assert metrics[f"{kind}_total"] is None
        assert table[f"{kind.capitalize()}, total / of traded value"] == "unknown"
    assert metrics["annual_cost"] is None
    assert table["Commission and slippage a year, of account value"] == "unknown"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "Market"])
def test_slippage_that_a_broker_does_not_record_is_unknown(kind, frame, plan):
    bar, _, _ = meeting_bar(kind, 1, "inside")
    orders = {DECISION: [("A", SIZE, options(kind, 1))]}
    for broker in (stock(slip_perc=0.001), stock(slip_fixed=0.01), OwnSlippage(cash=1e6)):
        result = traded(frame(bar), orders, broker, plan, feeds="backtrader's")
        assert result.orders["status"].tolist() == ["filled"]
        assert_unknown(result, "slippage")


@pytest.mark.parametrize("kind", KINDS)
def test_backtraders_own_broker_without_slippage_charges_none(kind, frame, plan):
    bar, before, _ = meeting_bar(kind, 1, "inside")
    orders = {DECISION: [("A", SIZE, options(kind, 1))]}
    result = traded(frame(bar), orders, stock(), plan, feeds="backtrader's")
    assert result.transactions["price"].tolist() == [before]
    run, metrics = measured(result)
    assert (metrics["slippage_total"], metrics["commission_total"]) == (0.0, 0.0)
    # its cash flows are not recorded, so nothing is stated about interest
    assert cost_words(run, metrics) == ". No commission and no slippage were charged"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", SIDES)
def test_with_compat_slippage_is_recorded_too(kind, side, frame, plan):
    """Fills are those of stock backtrader, capped by the bar; the recorder has the prices before slippage."""
    sign = SIDES[side]
    bar, before, _ = meeting_bar(kind, sign, "inside")
    orders = {DECISION: [("A", sign * SIZE, options(kind, sign))]}
    settings = rs.BrokerSettings(cash=1e6, commission=0.0, slippage=0.001, borrow_rate=0.0)
    ours = traded(frame(bar), orders, rs.Broker(settings, compat=True), plan)
    theirs = traded(frame(bar), orders, stock(slip_perc=0.001), plan, feeds="backtrader's")
    assert ours.transactions["price"].tolist() == theirs.transactions["price"].tolist()
    paid = ours.transactions["price"].iloc[0]
    assert ours.orders["slippage"].tolist() == pytest.approx([abs(paid - before) * SIZE])


def test_fills_that_were_given_have_no_known_slippage(frame, plan):
    """A journal and a history of orders state a price, and not the price before slippage."""
    table = frame((98.0, 102.0, 97.0, 100.0))
    day = table.index[DECISION + 1][0]
    entry = {"date": [day], "ticker": ["A"], "amount": [100.0], "price": [98.5], "commission": [2.0]}
    journal = FillJournal.from_frame(pd.DataFrame(entry))
    limit = {"exectype": bt.Order.Limit, "price": 99.0}
    broker = rs.Broker(rs.BrokerSettings(cash=1e6, commission=0.0, slippage=0.0), fills=journal)
    replayed = traded(table, {DECISION: [("A", 100, limit)]}, broker, plan)
    assert replayed.transactions["price"].tolist() == [98.5]
    assert np.isnan(replayed.orders["slippage"]).all()
    assert_unknown(replayed, "slippage")

    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(account())
    rs.add_prices(cerebro, rs.check_prices(table))
    cerebro.add_order_history([[f"{day:%Y-%m-%d}", 100, 98.5]], notify=True)
    cerebro.addstrategy(plan({}))
    cerebro.addanalyzer(rs.AccountRecorder)
    booked = cerebro.run()[0].analyzers.accountrecorder.result()
    assert booked.transactions["price"].tolist() == [98.5]
    assert_unknown(booked, "slippage")


def test_frames_from_elsewhere_without_costs_are_unknown(frame, plan):
    bar, _, _ = meeting_bar("Market", 1, "inside")
    result = traded(frame(bar), {DECISION: [("A", SIZE)]}, account(slippage=0.001, commission=0.001), plan)
    bare = result.transactions.drop(columns="commission")
    assert_unknown(
        replace(result, transactions=bare, orders=result.orders.drop(columns="slippage")), "commission", "slippage"
    )
    gap = result.transactions.assign(commission=math.nan)
    assert_unknown(replace(result, transactions=gap), "commission")
    assert_unknown(replace(result, orders=result.orders.iloc[:0]), "slippage")


def test_the_report_says_unknown_too(frame, plan, tmp_path):
    bar, _, _ = meeting_bar("Stop", 1, "inside")
    orders = {DECISION: [("A", SIZE, options("Stop", 1))]}
    result = traded(frame(bar), orders, stock(slip_perc=0.001), plan, feeds="backtrader's")
    page = rs.tear_sheet(result, path=tmp_path / "report.html").read_text(encoding="utf-8")
    assert "its slippage is unknown" in page
    assert "were charged" not in page
    ours = traded(frame(bar), orders, account(slippage=0.001), plan)
    page = rs.tear_sheet(ours, path=tmp_path / "ours.html").read_text(encoding="utf-8")
    assert f"paying {small_bps(1e4 * 0.001 / 1.001)} slippage on all money traded" in page
    assert "were charged" not in page
