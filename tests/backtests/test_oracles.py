"""Strategies whose result can be worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

import rnn_strategies as rs

ALL_BUT_EQUAL = [
    rs.TopK(3),
    rs.LongShortQuantile(0.3),
    rs.Threshold(0.0, short=0.0),
    rs.ScoreWeighted(long_only=False),
    rs.ScoreWeighted(),
]


@pytest.mark.parametrize("allocation", ALL_BUT_EQUAL, ids=lambda a: type(a).__name__)
def test_zero_scores_trade_nothing(random_prices, random_scores, settings, allocation):
    prices = random_prices(6, 60, gaps=0.1)
    signals = random_scores(prices) * 0.0
    result = rs.run_backtest(prices, signals, allocation=allocation, broker=settings(borrow_rate=0.01))
    assert len(result.orders) == 0
    assert len(result.transactions) == 0
    assert not result.returns.any()
    assert (result.positions["cash"] == 1e6).all()
    tied = [text for text in result.warnings if "all scores were equal" in text]
    assert list(result.warnings) == tied  # and of nothing else
    assert len(tied) == isinstance(allocation, rs.LongShortQuantile)


def test_perfect_foresight_earns_the_hand_computed_return(make_prices, days, scores, settings):
    """Two names; each week the one that will rise is bought, at the next open, in a size that today's close decides."""
    rng = np.random.default_rng(7)
    opens = {name: 100 * np.exp(np.cumsum(rng.normal(0, 0.03, 41))) for name in ("A", "B")}
    prices = make_prices(opens, {name: x * 1.001 for name, x in opens.items()})
    d, step = days(41), 5
    earned, rows = 1.0, {}
    for t in range(0, 35, step):  # decided at the close of t, in at the open of t + 1, out at the open of t + 6
        gains = {name: x[t + 1 + step] / x[t + 1] for name, x in opens.items()}
        rows |= {(d[t], name): gain - 1.0 for name, gain in gains.items()}
        earned *= max(1.0, *gains.values())
    rows[d[35], "A"] = 0.0  # out at the open of 36
    free = settings(commission=0.0, slippage=0.0, cash_buffer=0.0, fractional=True)
    result = rs.run_backtest(prices, scores(rows), allocation=rs.TopK(1), broker=free)
    cash, shares, at = 1e6, 0.0, None
    for t in range(0, 36, step):
        gains = {name: rows.get((d[t], name), -1.0) for name in opens}
        best = max(gains, key=gains.get)
        value = cash + (shares * prices_close(prices, at, d[t]) if at else 0.0)
        wanted = value / prices_close(prices, best, d[t]) if gains[best] > 0.0 else 0.0
        if at is not None and (at != best or wanted == 0.0):
            cash, shares, at = cash + shares * opens[at][t + 1], 0.0, None
        if wanted:
            need = (wanted - shares) * opens[best][t + 1]
            if need <= cash:  # an open above the close makes the purchase too dear: it is refused
                cash, shares, at = cash - need, wanted, best
    assert result.positions.sum(axis=1).iloc[-1] == pytest.approx(cash, rel=1e-12)
    assert cash > 1e6 * (1.0 + 0.5 * (earned - 1.0))


def prices_close(prices, ticker, day):
    return prices.frame["close"][np.datetime64(day, "ns"), ticker]


def test_foresight_without_a_gap_between_close_and_open(make_prices, days, scores, settings):
    """Each open is the close before it, so nothing is refused and the account is the product of the best returns."""
    rng = np.random.default_rng(8)
    closes = {name: 50 * np.exp(np.cumsum(rng.normal(0, 0.04, 42))) for name in ("A", "B", "C")}
    opens = {name: np.r_[x[0], x[:-1]] for name, x in closes.items()}
    prices, d = make_prices(opens, closes), days(42)
    gains = [{name: closes[name][t + 5] / closes[name][t] - 1.0 for name in closes} for t in range(0, 35, 5)]
    rows = {(d[5 * w], name): gain for w, gain_of in enumerate(gains) for name, gain in gain_of.items()}
    rows[d[35], "A"] = -1.0
    free = settings(commission=0.0, slippage=0.0, cash_buffer=0.0, fractional=True)
    result = rs.run_backtest(prices, scores(rows), allocation=rs.TopK(1), broker=free)
    earned = math.prod(1.0 + max(0.0, *gain_of.values()) for gain_of in gains)
    assert float((1.0 + result.returns).prod()) == pytest.approx(earned, rel=1e-9)
    assert earned > 1.2


def test_constant_long_is_buy_and_hold_minus_cost(make_prices, days, scores, settings):
    rng = np.random.default_rng(9)
    opens = 40 * np.exp(np.cumsum(rng.normal(0, 0.01, 80)))
    closes = opens * np.exp(rng.normal(0, 0.005, 80))
    prices, d = make_prices({"A": opens}, {"A": closes}), days(80)
    broker = settings(commission=0.002, slippage=0.001)
    result = rs.run_backtest(prices, scores({(d[0], "A"): 1.0}), allocation=rs.TopK(1), broker=broker)
    shares = math.trunc(0.98 * 1e6 / closes[0])
    paid = opens[1] * 1.001
    value = 1e6 - shares * paid * 1.002 + shares * closes[1:]
    assert result.positions.sum(axis=1).to_numpy() == pytest.approx(np.r_[1e6, value], rel=1e-12)
    assert result.returns.to_numpy() == pytest.approx(np.r_[0.0, value / np.r_[1e6, value[:-1]] - 1.0], abs=1e-12)
    order = result.orders.iloc[0]
    assert (order["size"], order["filled"], order["status"]) == (shares, shares, "filled")
    assert order["price"] == pytest.approx(paid, rel=1e-15)
    assert order["slippage"] == pytest.approx(shares * opens[1] * 0.001, rel=1e-9)
    assert order["commission"] == pytest.approx(shares * paid * 0.002, rel=1e-12)
    assert str(order["submitted"].date()) == str(d[0])
    assert str(order["executed"].date()) == str(d[1])


def test_a_single_long_name_that_is_rebalanced_every_week(make_prices, days, scores, settings):
    """Parts of shares: after each decision the position is 98 % of the value at the close it was decided on."""
    rng = np.random.default_rng(10)
    closes = 40 * np.exp(np.cumsum(rng.normal(0, 0.02, 60)))
    opens = np.r_[closes[0], closes[:-1]]
    prices, d = make_prices({"A": opens}, {"A": closes}), days(60)
    free = settings(commission=0.0, slippage=0.0, fractional=True)
    rows = {(d[t], "A"): 1.0 for t in range(0, 60, 5)}
    result = rs.run_backtest(prices, scores(rows), allocation=rs.TopK(1), broker=free)
    value = [1e6]
    shares = cash = 0.0
    for t in range(59):
        if t % 5 == 0:
            shares = 0.98 * value[-1] / closes[t]
            cash = value[-1] - shares * closes[t]
        value.append(cash + shares * closes[t + 1])
    assert result.positions.sum(axis=1).to_numpy() == pytest.approx(value, rel=1e-12)


def test_equal_weight_universe_is_the_mean_after_costs(make_prices, days, scores, settings):
    closes = {"A": [10.0, 10, 11, 12.1], "B": [20.0, 20, 18, 18.9]}
    opens = {"A": [10.0, 10, 10, 11], "B": [20.0, 20, 20, 18]}
    d = days(4)
    rows = scores({(d[0], "A"): -5.0, (d[0], "B"): 0.0})  # the scores do not matter
    returns = rs.equal_weight_returns(make_prices(opens, closes), rows, settings(cash_buffer=0.0, commission=0.001))
    assert returns.name == "universe"
    assert returns.iloc[0] == 0.0
    # 49 % of the money into each at the close of the first day (an idea always keeps the usual buffer, lest the last
    # purchases be refused), bought half a thousandth dearer, a thousandth of that paid
    bought = 1.0 - 2 * 0.49 * (1.0005 * 1.001 - 1.0)
    grown = bought + 0.49 * np.array([0.0, 0.1 - 0.1, 0.21 - 0.055])
    assert (1 + returns).cumprod().to_numpy() == pytest.approx(np.r_[1.0, grown], rel=1e-12)


def test_a_small_account_does_not_make_the_universe_look_bad(random_prices, random_scores, settings):
    prices = random_prices(30, 60)
    signals = random_scores(prices)
    rich, poor = (rs.equal_weight_returns(prices, signals, settings(cash=cash)) for cash in (1e9, 1e3))
    assert poor.to_numpy() == pytest.approx(rich.to_numpy(), abs=1e-12)
    alone = rs.run_backtest(prices, signals, allocation=rs.EqualWeight(), broker=settings(cash=1e3))
    assert any("worth less than one share" in line for line in alone.warnings)
