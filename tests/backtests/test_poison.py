"""What comes after a date changes no bit of what was before it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import rnn_strategies as rs

N_DAYS = 120


@pytest.fixture(scope="module")
def market(random_prices, random_scores):
    prices = random_prices(30, N_DAYS, seed=21, gaps=0.05, deaths=0.4, listings=0.4)
    return prices, random_scores(prices, share=0.9)


def poisoned(prices, signals, day, seed=0):
    """Other prices and scores after `day`: rescaled, names gone, names new that sort before all others."""
    rng = np.random.default_rng(seed)
    frame, scores = prices.frame.reset_index(), signals.reset_index()
    stamp = pd.Timestamp(day)

    past, future = frame[frame["date"] <= stamp], frame[frame["date"] > stamp].copy()
    future[["open", "high", "low", "close"]] *= np.exp(rng.uniform(-4, 4, (len(future), 1)))
    future = future[~future["ticker"].isin(["T003", "T011"])]
    lasting = sorted(future["ticker"][future["date"] == future["date"].max()])[:2]
    new = future[future["ticker"].isin(lasting)].assign(ticker=lambda f: "0" + f["ticker"])
    later = scores[scores["date"] > stamp].copy()
    later["score"] = rng.normal(size=len(later))
    later = later[later["ticker"].isin(set(future["ticker"])) & (rng.random(len(later)) < 0.7)]
    known = new[["date", "ticker"]].merge(later[["date"]].drop_duplicates()).assign(score=1.0)
    scores = pd.concat([scores[scores["date"] <= stamp], later, known]).set_index(["date", "ticker"]).sort_index()
    scores = scores[scores.index.isin(pd.MultiIndex.from_frame(pd.concat([past, future, new])[["date", "ticker"]]))]
    return rs.check_prices(pd.concat([past, future, new]).set_index(["date", "ticker"]).sort_index()), scores


def until(result, day):
    stamp = pd.Timestamp(day, tz="UTC")
    positions = result.positions[:stamp]
    held = positions.loc[:, (positions != 0).any(axis=0)]
    orders = result.orders[result.orders["submitted"] <= day]
    done = orders[orders["executed"] <= day]
    return {
        "returns": result.returns[:stamp].to_numpy().tobytes(),
        "held": (list(held.columns), held.to_numpy().tobytes()),
        "fills": result.transactions[:stamp].to_csv(),
        "given": orders[["order_id", "submitted", "ticker", "side", "type", "size"]].to_csv(index=False),
        "done": done.to_csv(index=False),
    }


ALLOCATIONS = [
    rs.LongShortQuantile(0.2, gross=1.5, on_missing_score="hold"),
    rs.TopK(5, max_turnover=0.4, max_weight=0.15),
    rs.ScoreWeighted(long_only=False, max_weight=0.2),
    rs.EqualWeight(),
]


@pytest.mark.parametrize("allocation", ALLOCATIONS, ids=lambda a: type(a).__name__)
@pytest.mark.parametrize("session", [7, 9, 10, 63, 64, 100])
def test_up_to_a_date_every_bit_is_the_same(market, settings, allocation, session):
    prices, signals = market
    day = str(prices.panel().dates[session])
    broker = settings(borrow_rate=0.02, delist_haircut=0.3, max_participation_rate=0.05, fractional=session % 2 == 0)
    whole = until(rs.run_backtest(prices, signals, allocation=allocation, broker=broker), day)
    other = rs.run_backtest(*poisoned(prices, signals, day), allocation=allocation, broker=broker)
    assert any(ticker.startswith("0T") for ticker in other.positions.columns)
    assert until(other, day) == whole
    cut = rs.run_backtest(
        prices.until(day), signals[signals.index.get_level_values("date") <= day], allocation=allocation, broker=broker
    )
    assert until(cut, day) == whole
    assert whole["done"].count("\n") > 1


def test_the_comparison_can_fail(market, settings):
    prices, signals = market
    dates = prices.panel().dates
    whole = rs.run_backtest(prices, signals, allocation=rs.TopK(5), broker=settings())
    other = rs.run_backtest(*poisoned(prices, signals, dates[60]), allocation=rs.TopK(5), broker=settings())
    assert until(other, str(dates[63])) != until(whole, str(dates[63]))
