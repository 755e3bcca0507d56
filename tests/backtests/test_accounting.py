"""The accounting identity in runs with everything at once, and on markets that nobody thought of."""

from __future__ import annotations

from dataclasses import replace

import backtrader as bt
import numpy as np
import pytest
from bookkeeper import TOLERANCE, audit, expected_flows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from real_world import Happens, with_actions

import rnn_strategies as rs
from signals.common.errors import CheckFailedError
from signals.data.corporate_actions import raw_panel


def test_with_shorts_delistings_rejections_and_partial_fills(random_prices, random_scores, settings):
    prices = random_prices(120, 260, seed=1, gaps=0.05, deaths=0.4, listings=0.3)
    signals = random_scores(prices, share=0.9)
    broker = settings(borrow_rate=0.03, delist_haircut=0.3, cash_buffer=0.0, max_participation_rate=0.05)
    allocation = rs.LongShortQuantile(0.2, gross=2.0, on_missing_score="hold")
    result = rs.run_backtest(prices, signals, allocation=allocation, broker=broker)
    statuses = result.orders["status"].value_counts()
    assert statuses["filled"] > 1000
    assert statuses["liquidated"] > 5
    assert statuses["partial"] > 20
    assert statuses["expired"] > 20
    assert (result.positions.iloc[:, :-1] < 0).any(axis=None)
    assert audit(result, prices.panel()) < TOLERANCE

    long_only = rs.run_backtest(prices, signals, allocation=rs.TopK(30), broker=settings(cash_buffer=0.0))
    assert (long_only.orders["status"] == "margin").sum() > 40
    assert any("rejected" in line for line in long_only.warnings)
    assert audit(long_only, prices.panel()) < TOLERANCE


def test_with_every_cost_there_is(random_prices, random_scores):
    prices = random_prices(60, 200, seed=2, gaps=0.05, deaths=0.4, listings=0.3)
    account = rs.BrokerSettings.from_preset(
        "retail",
        cash=200_000.0,
        commission=0.0005,
        slippage=0.0002,
        cash_interest_rate=0.03,
        delist_haircut=0.3,
        maintenance_margin=0.0,
        initial_margin=0.0,
    )
    signals = random_scores(prices, share=0.9)
    result = rs.run_backtest(prices, signals, allocation=rs.LongShortQuantile(0.2, gross=3.0), broker=account)
    kinds = result.cash_flows.groupby("kind")["amount"].agg(["count", "sum"])
    assert kinds.loc["borrow fee", "count"] > 100
    assert kinds.loc["cash interest", "sum"] > 0.0 > kinds.loc["borrow fee", "sum"]
    assert (result.orders["status"] == "liquidated").any()
    assert (result.orders["status"] == "partial").any()
    assert audit(result, prices.panel()) < TOLERANCE
    due = expected_flows(result, account)
    assert {kind for _, kind in due} >= {"borrow fee", "cash interest"}
    paid = result.cash_flows.groupby([result.cash_flows.index, "kind"])["amount"].sum()
    assert set(paid.index) == set(due)
    assert paid.to_numpy() == pytest.approx([due[key] for key in paid.index], rel=1e-9)


def test_with_splits_and_dividends_in_cash(random_prices, random_scores):
    """Raw prices: the books have dividends, splits and parts of shares, and the total return of adjusted prices."""
    plain = random_prices(40, 200, seed=4, gaps=0.02, deaths=0.3)
    rng = np.random.default_rng(0)
    events = [
        Happens(int(j), int(t), float(rng.choice([1.0, 1.0, 1.0, 2.0, 1.5, 0.1])), float(rng.choice([0.005, 0.02])))
        for j in range(40)
        for t in range(int(rng.integers(20, 60)), 200, 60)
    ]
    prices = with_actions(plain, events)
    account = rs.BrokerSettings.from_preset("institutional", cash=1e6, dividends="cash")
    signals = random_scores(prices, share=0.9)
    allocation = rs.LongShortQuantile(0.2, gross=1.5)
    result = rs.run_backtest(prices, signals, allocation=allocation, broker=account)
    kinds = result.cash_flows["kind"].value_counts()
    assert kinds["dividend"] > 20
    assert kinds["split"] > 10
    assert kinds["cash in lieu"] > 3
    raw = raw_panel(prices.panel())
    assert audit(result, raw, prices.actions) < TOLERANCE


def test_the_volume_limit_is_in_raw_shares(random_prices, random_scores, settings):
    """Before a split of 4 for 1 one share of adjusted prices is a quarter of a share that was traded."""
    prices = with_actions(random_prices(6, 60, seed=6), [Happens(j, 30, 4.0) for j in range(6)])
    account = settings(max_participation_rate=0.001)
    result = rs.run_backtest(prices, random_scores(prices), allocation=rs.TopK(2), broker=account)
    panel = prices.panel()
    limited = result.orders[result.orders["reason"].str.startswith("volume sufficed")]
    days = panel.dates.astype("datetime64[ns]")
    assert (limited["executed"] < days[30]).sum() > 3
    assert (limited["executed"] >= days[30]).sum() > 3
    for order in limited.itertuples():
        t, j = panel.position(order.executed), panel.tickers.index(order.ticker)
        raw = np.floor(0.001 * panel.volume[t, j] * (4.0 if t < 30 else 1.0))
        assert order.filled == raw
    assert audit(result, panel) < TOLERANCE


def test_debt_pays_interest_for_every_night(make_prices, settings, my_cerebro, plan):
    prices = make_prices({"A": [100.0] * 12, "S": [100.0] * 2 + [150.0] * 10})
    account = settings(
        cash=100_000.0, borrow_rate=0.5, margin_interest_rate=0.2, cash_interest_rate=0.1, maintenance_margin=0.0
    )
    orders = {0: [("A", 800), ("S", -500)], 3: [("S", 500)]}  # to cover takes 75,000, and 50,000 came in
    _, result = my_cerebro(prices, plan(orders), account)
    assert (result.orders["status"] == "filled").all()
    assert (result.positions["cash"].iloc[4:] < 0.0).all()
    due = expected_flows(result, account)
    kinds = [kind for _, kind in due]
    assert (kinds.count("borrow fee"), kinds.count("margin interest")) == (3, 7)
    assert kinds.count("cash interest") == 2  # until the shares owed are worth more than the cash
    paid = result.cash_flows.groupby([result.cash_flows.index, "kind"])["amount"].sum()
    assert paid.to_dict() == pytest.approx(due, rel=1e-9)
    assert audit(result, prices.panel()) < TOLERANCE


@pytest.mark.parametrize("compat", [False, True])
def test_with_interest_of_a_scheme_of_ones_own(compat, make_prices, settings, my_cerebro, plan):
    prices = make_prices({"A": [10.0, 10.5, 11.0, 12.0, 12.0], "B": [20.0] * 5})
    broker = rs.Broker(settings(borrow_rate=0.0), compat=compat)
    scheme = bt.CommissionInfo(commission=0.002, stocklike=True, interest=0.3, interest_long=True)
    broker.addcommissioninfo(scheme, name="A")
    _, result = my_cerebro(prices, plan({0: [("A", 1000), ("B", -100)], 3: [("A", -1000)]}), broker)
    assert (result.orders["status"] == "filled").all()
    # three nights, Monday to Thursday, on the price at which the position was opened
    interest = 0.3 * 1000 * result.orders["price"][0] / 365 * 3
    if compat:
        # taken from the cash night by night, and booked into the commission of the sale once more
        plain = 0.002 * 1000 * result.orders["price"][2]
        assert result.orders["commission"][2] == pytest.approx(plain + interest, rel=1e-12)
    else:
        assert -result.cash_flows["amount"].sum() == pytest.approx(interest, rel=1e-12)
        assert audit(result, prices.panel()) < TOLERANCE


def test_the_bookkeeper_finds_what_is_missing(make_prices, settings, my_cerebro, plan):
    prices = make_prices({"A": [10.0, 10.5, 11.0, 12.0]})
    _, result = my_cerebro(prices, plan({0: [("A", 1000)], 2: [("A", -400)]}), settings())
    panel = prices.panel()
    assert audit(result, panel) < 1e-12
    positions, fills, returns = result.positions.copy(), result.transactions.copy(), result.returns.copy()
    positions.iloc[1, -1] += 0.01
    fills.iloc[0, 1] *= 1 + 1e-7
    returns.iloc[3] += 1e-8
    for change in ({"positions": positions}, {"transactions": fills}, {"returns": returns}):
        assert audit(replace(result, **change), panel) > TOLERANCE


allocations = st.sampled_from(
    [
        rs.TopK(3),
        rs.TopK(3, max_turnover=0.2, on_missing_score="hold"),
        rs.LongShortQuantile(0.3, gross=2.0),
        rs.Threshold(0.3, short=-0.3, max_weight=0.2),
        rs.ScoreWeighted(long_only=False),
        rs.EqualWeight(max_weight=0.3),
    ]
)
brokers = st.fixed_dictionaries(
    {
        "cash": st.sampled_from([500.0, 1e5, 1e9]),
        "commission": st.sampled_from([0.0, 0.002]),
        "slippage": st.sampled_from([0.0, 0.01]),
        "borrow_rate": st.sampled_from([0.0, 0.5]),
        "delist_after_sessions": st.integers(1, 6),
        "delist_haircut": st.sampled_from([0.0, 0.5, 1.0]),
        "cash_buffer": st.sampled_from([0.0, 0.02, 0.3]),
        "fractional": st.booleans(),
        "max_participation_rate": st.sampled_from([None, 0.01]),
        "maintenance_margin": st.sampled_from([0.0, 0.5]),
        "min_trade_value": st.sampled_from([0.0, 100.0]),
        "commission_per_share": st.sampled_from([0.0, 0.02]),
        "min_commission": st.sampled_from([0.0, 5.0]),
        "half_spread": st.sampled_from([0.0, 0.002]),
        "cash_interest_rate": st.sampled_from([0.0, 0.2]),
        "margin_interest_rate": st.sampled_from([0.0, 0.5]),
        "initial_margin": st.sampled_from([0.0, 0.5]),
    }
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(allocations, brokers, st.integers(0, 10_000), st.sampled_from([0.01, 0.2]), st.booleans())
def test_on_any_market(random_prices, random_scores, allocation, broker, seed, volatility, rough):
    gaps = {"gaps": 0.2, "deaths": 0.5, "listings": 0.5} if rough else {}
    prices = random_prices(8, 50, seed=seed, volatility=volatility, **gaps)
    signals = random_scores(prices, every=3, seed=seed, share=0.8)
    result = rs.run_backtest(prices, signals, allocation=allocation, broker=rs.BrokerSettings(**broker))
    assert audit(result, prices.panel()) < TOLERANCE
    orders, fills = result.orders, result.transactions
    assert orders["filled"].sum() == pytest.approx(fills["amount"].abs().sum())
    assert orders["commission"].sum() == pytest.approx(fills["commission"].sum())
    done = orders["status"].isin(["filled", "liquidated"])
    assert (orders["filled"][done] == orders["size"][done]).all()
    assert (orders["filled"] <= orders["size"] * (1 + 1e-12)).all()
    assert not orders["filled"][orders["status"].isin(["margin", "rejected", "expired", "cancelled"])].any()
    assert all(len(reason) > 5 for reason in orders["reason"][~done & (orders["status"] != "open")])
    if not broker["fractional"]:
        assert (fills["amount"] % 1 == 0).all()
    if not allocation.can_be_short:
        assert (result.positions.iloc[:, :-1] >= 0).all(axis=None)
    # nothing trades before the day after the first decision, and never on a day without a bar but to be cashed out
    panel = prices.panel()
    row = {day: t for t, day in enumerate(panel.dates)}
    column = {ticker: j for j, ticker in enumerate(panel.tickers)}
    for order in orders[orders["status"] == "filled"].itertuples():
        t, j = row[np.datetime64(order.executed, "D")], column[order.ticker]
        assert panel.traded[t, j]
        assert t == row[np.datetime64(order.submitted, "D")] + 1
        slip = broker["slippage"] + broker["half_spread"]
        side = 1 if order.side == "buy" else -1
        assert order.price == pytest.approx(panel.open[t, j] * (1 + side * slip), rel=1e-12)
    for order in orders[orders["status"] == "liquidated"].itertuples():
        assert not panel.traded[row[np.datetime64(order.executed, "D")], column[order.ticker]]


def test_the_check_runs_in_production(random_prices, random_scores, settings, monkeypatch):
    """A broker that books a cent too little does not get away with it."""
    from backtests.broker.broker import Broker

    prices = random_prices(4, 40)
    stock = Broker._match_pending

    def careless(self):
        stock(self)
        self.cash += 0.01

    monkeypatch.setattr(Broker, "_match_pending", careless)
    with pytest.raises(CheckFailedError, match="expected cash"):
        rs.run_backtest(prices, random_scores(prices), allocation=rs.TopK(2), broker=settings(cash=1e4))
