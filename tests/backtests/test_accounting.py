"""The accounting identity in runs with everything at once, and on markets that nobody thought of."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rnn_strategies as rs
from signals.errors import CheckFailedError


def identity(result):
    """Worked out anew, not by `check`: value, compounding, cash from the fills, positions from the fills."""
    value = result.positions.sum(axis=1)
    wealth = result.initial_cash * (1.0 + result.returns).cumprod()
    scale = result.positions.abs().sum(axis=1)
    worst = float(((value - wealth).abs() / scale).max())
    flow = (result.transactions["amount"] * result.transactions["price"] + result.transactions["commission"]).sum()
    cash = result.initial_cash - flow - result.settings["borrow_fees"]
    return max(worst, abs(cash - result.positions["cash"].iloc[-1]) / scale.iloc[-1])


def test_with_shorts_delistings_rejections_and_partial_fills(random_prices, random_scores, settings):
    prices = random_prices(120, 260, seed=1, gaps=0.05, deaths=0.4, listings=0.3)
    signals = random_scores(prices, share=0.9)
    broker = settings(borrow_rate=0.03, delist_haircut=0.3, cash_buffer=0.0, max_volume_share=0.05)
    allocation = rs.LongShortQuantile(0.2, gross=2.0, missing="hold")
    result = rs.run_backtest(prices, signals, allocation=allocation, broker=broker)
    statuses = result.orders["status"].value_counts()
    assert statuses["filled"] > 1000
    assert statuses["liquidated"] > 5
    assert statuses["partial"] > 20
    assert statuses["expired"] > 20
    assert (result.positions.iloc[:, :-1] < 0).any(axis=None)
    assert identity(result) < 1e-9

    long_only = rs.run_backtest(prices, signals, allocation=rs.TopK(30), broker=settings(cash_buffer=0.0))
    assert (long_only.orders["status"] == "margin").sum() > 40
    assert any("refused" in line for line in long_only.warnings)
    assert identity(long_only) < 1e-9


allocations = st.sampled_from(
    [
        rs.TopK(3),
        rs.TopK(3, max_turnover=0.2, missing="hold"),
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
        "delist_after": st.integers(1, 6),
        "delist_haircut": st.sampled_from([0.0, 0.5, 1.0]),
        "cash_buffer": st.sampled_from([0.0, 0.02, 0.3]),
        "fractional": st.booleans(),
        "max_volume_share": st.sampled_from([None, 0.01]),
        "maintenance_margin": st.sampled_from([0.0, 0.5]),
        "min_trade_value": st.sampled_from([0.0, 100.0]),
    }
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(allocations, brokers, st.integers(0, 10_000), st.sampled_from([0.01, 0.2]), st.booleans())
def test_on_any_market(random_prices, random_scores, allocation, broker, seed, volatility, rough):
    gaps = {"gaps": 0.2, "deaths": 0.5, "listings": 0.5} if rough else {}
    prices = random_prices(8, 50, seed=seed, volatility=volatility, **gaps)
    signals = random_scores(prices, every=3, seed=seed, share=0.8)
    result = rs.run_backtest(prices, signals, allocation=allocation, broker=rs.BrokerSettings(**broker))
    assert identity(result) < 1e-9
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
        slip = 1 + broker["slippage"] if order.side == "buy" else 1 - broker["slippage"]
        assert order.price == pytest.approx(panel.open[t, j] * slip, rel=1e-12)
    for order in orders[orders["status"] == "liquidated"].itertuples():
        assert not panel.traded[row[np.datetime64(order.executed, "D")], column[order.ticker]]


def test_the_check_runs_in_production(random_prices, random_scores, settings, monkeypatch):
    """A broker that books a cent too little does not get away with it."""
    from backtests.broker import Broker

    prices = random_prices(4, 40)
    stock = Broker._match_pending

    def careless(self):
        stock(self)
        self.cash += 0.01

    monkeypatch.setattr(Broker, "_match_pending", careless)
    with pytest.raises(CheckFailedError, match="expected cash"):
        rs.run_backtest(prices, random_scores(prices), allocation=rs.TopK(2), broker=settings(cash=1e4))
