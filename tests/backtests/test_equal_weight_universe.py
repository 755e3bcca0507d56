"""The equal-weight universe holds about 98 % of its value in equal parts, whatever prices do overnight."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import rnn_strategies as rs
from signals.calendar import sessions

DAYS = sessions("2016-02-01", "2016-04-29")


def market(opens: np.ndarray, closes: np.ndarray) -> rs.Prices:
    names = [f"N{i:02d}" for i in range(opens.shape[1])]
    index = pd.MultiIndex.from_product([DAYS[: len(opens)].astype("datetime64[ns]"), names], names=["date", "ticker"])
    columns = {
        "open": opens.ravel(),
        "high": np.maximum(opens, closes).ravel(),
        "low": np.minimum(opens, closes).ravel(),
        "close": closes.ravel(),
        "volume": 1e9,
    }
    return rs.check_prices(pd.DataFrame(columns, index=index))


def scores_on(prices: rs.Prices, *sessions: int) -> pd.Series:
    dates = prices.frame.index.get_level_values("date")
    chosen = prices.frame.index[dates.isin(dates.unique()[list(sessions)])]
    return pd.Series(1.0, index=chosen, name="score")


def account(**changes: object) -> rs.BrokerSettings:
    return rs.BrokerSettings(**({"cash": 1e5, "commission": 0.0, "slippage": 0.0} | changes))


@pytest.mark.parametrize("gap", [-0.2, 0.0, 0.015, 0.04, 0.5])
@pytest.mark.parametrize("names", [1, 2, 7])
def test_a_gap_after_the_decision_leaves_it_invested(names, gap):
    close = np.full((20, names), 40.0)
    close[1:] *= 1 + gap
    close[10:] *= 2  # everything doubles later
    opens = np.vstack([close[:1], close[1:]])
    earned = (
        1 + rs.equal_weight_returns(market(opens, close), scores_on(market(opens, close), 0), account())
    ).prod() - 1
    bought = 0.98 * (1 + gap)  # at the close it was sized at 98 %
    assert earned == pytest.approx(bought if bought <= 1 else 0.98)


@pytest.mark.parametrize("costs", [{"commission": 0.05}, {"slippage": 0.04}, {"commission": 0.03, "half_spread": 0.02}])
def test_costs_above_the_buffer_are_paid_out_of_what_is_invested(costs):
    close = np.full((20, 3), 40.0)
    earned = (
        1 + rs.equal_weight_returns(market(close, close), scores_on(market(close, close), 0), account(**costs))
    ).prod()
    spent = (1 + costs.get("commission", 0.0)) * (1 + costs.get("slippage", 0.0) + costs.get("half_spread", 0.0))
    assert earned == pytest.approx(0.02 + 0.98 / spent)


def test_purchases_that_fit_are_those_of_an_account():
    rng = np.random.default_rng(3)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.01, (60, 12)), axis=0))
    opens = np.vstack([close[:1], close[:-1]]) * np.exp(rng.normal(0, 0.002, close.shape))
    prices, broker = market(opens, close), account(commission=0.001, slippage=0.0005, fractional=True)
    scores = scores_on(prices, *range(0, 55, 5))
    held = rs.run_backtest(prices, scores, allocation=rs.EqualWeight(), broker=broker)
    assert set(held.orders["status"]) == {"filled"}
    assert rs.equal_weight_returns(prices, scores, broker).equals(held.returns)


def test_every_rebalancing_after_a_gap_keeps_equal_parts():
    rng = np.random.default_rng(4)
    close = 50 * np.exp(np.cumsum(rng.normal(0.0, 0.02, (60, 4)), axis=0))
    opens = np.vstack([close[:1], close[:-1]]) * 1.06  # every night up, every day down again
    prices = market(opens, close)
    universe = rs.equal_weight_returns(prices, scores_on(prices, *range(0, 55, 5)), account())
    refused = rs.run_backtest(
        prices, scores_on(prices, 0), allocation=rs.EqualWeight(), broker=account(fractional=True)
    )
    assert "margin" in set(refused.orders["status"])  # an account has purchases refused
    cost = 1 / 1.06 - 1  # bought at the open, worth less at the close
    assert universe.iloc[1] == pytest.approx(0.98 * ((close[1] / opens[1]).mean() - 1), rel=0.02)
    assert universe.iloc[1] < 0.5 * cost
