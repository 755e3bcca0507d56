"""What holds on any market, with any costs and any orders: the books balance, and every fill is lawful."""

from __future__ import annotations

import warnings
from dataclasses import fields, replace

import backtrader as bt
import numpy as np
import pytest
from bookkeeper import TOLERANCE, audit, closes_by_session, expected_flows
from diary import pandas_feeds, quiet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markets import KINDS, accounts, build, flows, markets, set_account
from real_world import happenings, with_actions
from reference_strategies import Flow

import rnn_strategies as rs
from backtests.broker.broker import RuinWarning
from backtests.journal.fill_journal import FillJournal
from signals.data.corporate_actions import raw_panel

QUICK = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
MANY = settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)

MONEY = {
    "cash": st.sampled_from([2_000.0, 50_000.0, 1e6]),
    "commission": st.sampled_from([0.0, 0.001, 0.05]),
    "slippage": st.sampled_from([0.0, 0.01, 0.05]),
    "borrow_rate": st.sampled_from([None, 0.0, 0.03, 1.0]),
    "delist_after_sessions": st.integers(1, 6),
    "delist_haircut": st.sampled_from([0.0, 0.3, 1.0]),
    "cash_buffer": st.sampled_from([0.0, 0.02]),
    "fractional": st.booleans(),
    "max_participation_rate": st.sampled_from([None, 0.01, 0.2]),
    "maintenance_margin": st.sampled_from([0.0, 0.25, 0.6]),
    "min_trade_value": st.sampled_from([0.0, 100.0]),
    "commission_per_share": st.sampled_from([0.0, 0.005, 0.5]),
    "min_commission": st.sampled_from([0.0, 1.0, 25.0]),
    "half_spread": st.sampled_from([0.0, 0.002]),
    "volatility_slippage_coef": st.sampled_from([0.0, 0.1, 1.0]),
    "cash_interest_rate": st.sampled_from([0.0, 0.02, 1.0]),
    "margin_interest_rate": st.sampled_from([0.0, 0.08, 1.0]),
    "initial_margin": st.sampled_from([0.0, 0.5, 1.0]),
}
custom = st.builds(rs.BrokerSettings, **MONEY)
names = st.sampled_from(["ideal", "retail", "institutional"])
preset = st.builds(rs.BrokerSettings.from_preset, names, cash=MONEY["cash"])
brokers = custom | custom | preset


def test_the_settings_drawn_here_are_all_there_are():
    """A new cost that nobody draws would not be tested."""
    assert set(MONEY) | {"dividends", "preset"} == {field.name for field in fields(rs.BrokerSettings)}


# asked for what several feeds are worth together, stock takes that for the value of the account
TIDY = tuple(kind for kind in KINDS if kind != "worth")


@st.composite
def worlds(draw, *, gaps=True, kinds=KINDS):
    """A market, what happens to its shares, and what a strategy does in it."""
    prices = draw(markets(gaps=gaps))
    prices = with_actions(prices, draw(happenings(prices)))
    length = len(prices.frame.index.levels[0])
    return prices, draw(flows(length, kinds=kinds))


def run(prices, broker, todo, *, adjusted=True, feeds=None, trades="begun"):
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(broker)
    if feeds is None:
        rs.add_prices(cerebro, prices, adjusted=adjusted)
    else:
        feeds(cerebro)
    cerebro.addstrategy(Flow, todo=tuple(todo), trades=trades)
    cerebro.addanalyzer(rs.AccountRecorder)
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuinWarning)
        done = cerebro.run()[0]
    return done.analyzers.accountrecorder.result()


# -- the books -------------------------------------------------------------------------------------------------------


def books_balance(world, account, *, adjusted=True):
    """In a simulated run and in one replayed from its journal."""
    prices, todo = world
    account = account if adjusted else replace(account, dividends="cash")
    panel = prices.panel() if adjusted else raw_panel(prices.panel())
    actions = None if adjusted else prices.actions
    result = run(prices, rs.Broker(account), todo, adjusted=adjusted)
    assert audit(result, panel, actions) < TOLERANCE
    flows_are_due(result, account)
    fills_are_lawful(result, panel, account, prices.panel().close, closes_by_session(result, panel, actions))
    again = run(prices, rs.Broker(account, fills=FillJournal.from_result(result)), todo, adjusted=adjusted)
    for name in ("returns", "positions", "transactions", "cash_flows"):
        assert getattr(again, name).equals(getattr(result, name))
    if refused_as_they_filled(result):
        # they stay open in the replay, and so does what hung on them
        filled = result.orders["filled"] > 0.0
        same = [name for name in result.orders.columns if name not in ("status", "reason")]
        assert_same_orders(again.orders.loc[filled, same], result.orders.loc[filled, same])
        assert not again.orders.loc[~filled, "filled"].any()
    else:
        assert_same_orders(again.orders, result.orders)


def assert_same_orders(replayed, orders):
    """Compare replayed orders with the first ones; a journal does not know what orders lost that waited for a price."""
    assert replayed.drop(columns="slippage").equals(orders.drop(columns="slippage"))
    known = replayed["slippage"].notna()
    assert replayed.loc[known, "slippage"].equals(orders.loc[known, "slippage"])
    assert (replayed.loc[~known, "type"] != "market").all()


def refused_as_they_filled(result):
    """Whether limit or stop orders were refused, with what hung on them, on days that no frame names."""
    orders = result.orders
    return ((orders["type"] != "market") & orders["status"].isin(["margin", "rejected"])).any()


def flows_are_due(result, account):
    """Fees and interest are what the positions of the close before make them."""
    nightly = result.cash_flows[result.cash_flows["kind"].isin(["borrow fee", "cash interest", "margin interest"])]
    found = nightly.groupby([nightly.index, "kind"])["amount"].sum().to_dict()
    due = expected_flows(result, account)
    assert set(found) == set(due)
    for key, amount in due.items():
        assert found[key] == pytest.approx(amount, rel=1e-9)


def fills_are_lawful(result, panel, account, comparable, closes):
    """Hold every order and fill to the bars, the costs and each other.

    `comparable` are closes from which splits and dividends are taken out, `closes` the last one of every ticker at
    every session.
    """
    orders, fills = result.orders, result.transactions
    assert (orders["filled"] >= 0.0).all()
    assert (orders["filled"] <= orders["size"] * (1 + 1e-9)).all()
    status = orders["status"]
    assert (orders["filled"][status.isin(["filled", "liquidated"])] > 0.0).all()
    whole = orders[status == "filled"]
    assert np.allclose(whole["filled"], whole["size"], rtol=1e-9, atol=0.0)
    assert not orders["filled"][status.isin(["margin", "rejected", "expired", "cancelled"])].any()
    assert orders["executed"].notna().equals(orders["filled"] > 0.0)
    explained = status.isin(["margin", "rejected", "expired", "cancelled", "partial", "liquidated"])
    assert all(len(reason) > 5 for reason in orders["reason"][explained])
    assert orders["filled"].sum() == pytest.approx(fills["amount"].abs().sum(), rel=1e-9)
    assert orders["commission"].sum() == pytest.approx(fills["commission"].sum(), rel=1e-9)
    row = {day: t for t, day in enumerate(panel.dates)}
    column = {ticker: j for j, ticker in enumerate(panel.tickers)}
    sessions = list(result.returns.index)
    liquidated = orders[status == "liquidated"]
    dead = set(zip(liquidated["executed"], liquidated["ticker"], strict=True))
    for stamp, fill in zip(fills.index, fills.itertuples(index=False), strict=True):
        day = stamp.tz_localize(None)
        t, j = row[np.datetime64(day, "D")], column[fill.symbol]
        last = int(np.flatnonzero(panel.traded[: t + 1, j])[-1])
        assert fill.commission == pytest.approx(commission_of(account, fill, panel.adj_factor[last, j]), rel=1e-12)
        if (day, fill.symbol) in dead:
            assert not panel.traded[t, j]
            left = 1.0 - account.delist_haircut if fill.amount < 0 else 1.0
            assert fill.price == pytest.approx(closes[sessions.index(stamp)][fill.symbol] * left, rel=1e-12)
            continue
        assert panel.traded[t, j]
        slip = slippage_of(account, comparable[:t, j])
        low = panel.low[t, j] * (1.0 - (slip if fill.amount < 0 else 0.0))
        high = panel.high[t, j] * (1.0 + (slip if fill.amount > 0 else 0.0))
        assert low * (1 - 1e-9) <= fill.price <= high * (1 + 1e-9)
        if account.max_participation_rate is not None:
            most = account.max_participation_rate * panel.volume[t, j] / panel.adj_factor[t, j]
            assert abs(fill.amount) <= most * (1 + 1e-12)
    for order in orders[(orders["type"] == "market") & (orders["filled"] > 0.0)].itertuples():
        t, j = row[np.datetime64(order.executed, "D")], column[order.ticker]
        assert t == row[np.datetime64(order.submitted, "D")] + 1
        if order.reason.startswith("volume sufficed"):
            most = account.max_participation_rate * panel.volume[t, j] / panel.adj_factor[t, j]
            assert order.filled == pytest.approx(most if account.fractional else np.floor(most), rel=1e-12)
        slip = slippage_of(account, comparable[:t, j])
        side = 1.0 if order.side == "buy" else -1.0
        assert order.price == pytest.approx(panel.open[t, j] * (1.0 + side * slip), rel=1e-9)


def commission_of(account, fill, factor):
    worth = abs(fill.amount) * fill.price
    charged = worth * account.commission + abs(fill.amount) * factor * account.commission_per_share
    return max(charged, account.min_commission)


def slippage_of(account, closes):
    """Fraction of the open that a market order loses, from the closes before it."""
    fixed = account.slippage + account.half_spread
    known = closes[~np.isnan(closes)][-22:]
    returns = known[1:] / known[:-1] - 1.0
    if len(returns) < 5:
        return fixed
    return min(fixed + account.volatility_slippage_coef * float(np.std(returns, ddof=1)), 0.5)


@QUICK
@given(worlds(), brokers)
def test_the_books_balance_with_any_costs_orders_and_market(world, account):
    books_balance(world, account)


@QUICK
@given(worlds(), brokers)
def test_and_on_raw_prices_with_dividends_in_cash_and_splits(world, account):
    books_balance(world, account, adjusted=False)


@pytest.mark.slow
@MANY
@given(worlds(), brokers, st.booleans())
def test_the_books_balance_many_times(world, account, adjusted):
    books_balance(world, account, adjusted=adjusted)


def keeps_books(account):
    """Stock books interest twice and takes the absolute worth of shorts booked as costs; futures have no books here."""
    interest = account["interest"] is not None or account["special"] == "lent"
    return not interest and account["special"] != "future" and account["rules"] != {"shortcash": False}


sound = accounts().filter(keeps_books)


def stock_books_balance(world, account, ours):
    prices, todo = world
    broker = rs.Broker(compat=True) if ours else bt.brokers.BackBroker()
    # an account worth nothing at all, to the cent, has no return after it
    set_account(**account | {"cash": account["cash"] + 0.1234})(broker)
    result = run(prices, broker, todo, feeds=None if ours else pandas_feeds(prices), trades="begun")
    assert audit(result, prices.panel()) < TOLERANCE
    return result


@QUICK
@given(worlds(kinds=TIDY), sound, st.booleans())
def test_the_ledger_keeps_the_books_of_stock_too(world, account, ours):
    stock_books_balance(world, account, ours)


@pytest.mark.slow
@MANY
@given(worlds(kinds=TIDY), sound, st.booleans())
def test_the_ledger_keeps_the_books_of_stock_many_times(world, account, ours):
    stock_books_balance(world, account, ours)


# -- what an account may not do --------------------------------------------------------------------------------------


@QUICK
@given(worlds(), st.sampled_from([0.0, 0.01]))
def test_no_purchase_takes_cash_below_zero(world, commission):
    """Where nothing is lent: no shorts, and no fee that a sale could not pay for itself."""
    prices, todo = world
    account = rs.BrokerSettings(cash=20_000.0, commission=commission, slippage=0.01)
    result = run(prices, rs.Broker(account), todo)
    assert (result.positions >= -1e-9).all(axis=None)


@QUICK
@given(flows(20, kinds=("market", "target size", "limit", "flatten")), st.sampled_from([0.25, 0.5, 1.0]))
def test_what_is_opened_leaves_the_initial_margin(todo, margin):
    """On prices that stand still nothing but an order can move the account away from it."""
    prices = build(3, 20, volatility=0.0, tick=0.01)
    account = rs.BrokerSettings(
        cash=20_000.0, commission=0.0, slippage=0.0, borrow_rate=0.0, initial_margin=margin, maintenance_margin=0.0
    )
    result = run(prices, rs.Broker(account), todo)
    gross = result.positions.iloc[:, :-1].abs().sum(axis=1)
    assert (gross * margin <= 20_000.0 * (1 + 1e-9)).all()
    assert audit(result, prices.panel()) < TOLERANCE


def with_rows_of_nan(prices):
    """Adds `PandasData` feeds that have a row on every session, of NaN where the ticker did not trade."""

    def add(cerebro):
        sessions = prices.panel().dates.astype("datetime64[ns]")
        for ticker in prices.tickers:
            rows = prices.frame.xs(ticker, level="ticker").reindex(sessions)
            cerebro.adddata(bt.feeds.PandasData(dataname=rows), ticker)

    return add


@QUICK
@given(worlds(kinds=("market", "sizer")), brokers)
def test_a_bar_of_nan_is_no_bar(world, account):
    """Fills, positions and reasons are those of feeds that lack the bar; in stock cash would be NaN for ever."""
    prices, todo = world
    account = replace(account, volatility_slippage_coef=0.0, commission_per_share=0.0, max_participation_rate=None)
    result = run(prices, rs.Broker(account), todo, trades="any")
    filled = run(prices, rs.Broker(account), todo, trades="any", feeds=with_rows_of_nan(prices))
    for name in ("returns", "positions", "transactions", "cash_flows", "orders"):
        assert getattr(filled, name).equals(getattr(result, name)), name
