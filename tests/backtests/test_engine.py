"""The one call: what it takes, what it refuses, and where the run begins and ends."""

from __future__ import annotations

import sys
from types import ModuleType

import backtrader as bt
import numpy as np
import pandas as pd
import pytest

import rnn_strategies as rs
from signals.common.errors import InputError


@pytest.fixture(scope="module")
def prices(random_prices):
    return random_prices(5, 60, seed=8)


@pytest.fixture(scope="module")
def signals(prices, random_scores):
    return random_scores(prices)


def go(prices, signals, settings, **options):
    return rs.run_backtest(prices, signals, **{"allocation": rs.TopK(2), "broker": settings(), **options})


def test_from_the_first_decision_to_the_last_session(prices, signals, settings):
    result = go(prices, signals, settings)
    first = signals.index[0][0]
    assert result.returns.index[0] == first.tz_localize("UTC")
    assert result.returns.index[-1].tz_localize(None).to_datetime64() == prices.last.astype("datetime64[ns]")
    assert result.returns.iloc[0] == 0.0
    assert result.orders["submitted"].iloc[0] == first
    assert result.settings["decision_dates"] == 12
    assert result.settings["allocation"] == "TopK"
    assert result.settings["allocation_settings"]["k"] == 2
    assert result.settings["broker"]["commission"] == 0.001
    assert result.settings["strategy"] == "SignalStrategy"
    assert result.settings["fills"] == "next open"


def test_start_and_end(prices, signals, settings, days):
    d = days(60)
    result = go(prices, signals, settings, start=str(d[20]), end=str(d[40]))
    decisions = signals.index.get_level_values("date").unique()
    inside = decisions[(decisions >= str(d[20])) & (decisions <= str(d[40]))]
    assert result.returns.index[0] == inside[0].tz_localize("UTC")
    assert str(result.returns.index[-1].date()) == str(d[40])
    assert result.settings["decision_dates"] == len(inside)
    # an end without anything after it is the same as prices that end there
    cut = go(prices.until(d[40]), signals[signals.index.get_level_values("date") <= d[40]], settings, start=d[20])
    assert cut.returns.equals(result.returns)
    assert cut.orders.equals(result.orders)


def test_only_tickers_with_a_signal_take_part(prices, signals, settings):
    some = signals[signals.index.get_level_values("ticker").isin(["T001", "T003"])]
    result = go(prices, some, settings)
    assert list(result.positions.columns) == ["T001", "T003", "cash"]


def test_a_panel_will_do(prices, signals, settings):
    assert go(prices.panel(), signals, settings).returns.equals(go(prices, signals, settings).returns)
    assert go(prices, signals["score"], settings).returns.equals(go(prices, signals, settings).returns)


def test_close_only_prices_fill_at_the_next_close_and_say_so(make_prices, scores, settings, days):
    prices = make_prices({"A": [10.0, 10.1, 12.0, 13.0]}, close_only=True)
    rows = scores({(days(1)[0], "A"): 1.0})
    result = rs.run_backtest(prices, rows, allocation=rs.TopK(1), broker=settings(slippage=0.0, commission=0.0))
    assert result.orders[["submitted", "price"]].to_numpy().tolist() == [[pd.Timestamp(days(1)[0]), 10.1]]
    assert str(result.orders["executed"].iloc[0].date()) == str(days(2)[1])
    assert result.warnings == ("Only closing prices exist: orders fill at the next close, not the next open.",)
    assert result.settings["fills"] == "next close"
    # the return of the day after the decision is not earned
    assert result.returns.iloc[1] == 0.0


def test_progress(prices, signals, settings):
    heard = []
    go(prices, signals, settings, on_progress=heard.append)
    assert {event.stage for event in heard} == {"backtest"}
    assert len(heard) > 10
    assert [event.done for event in heard] == sorted(event.done for event in heard)
    assert heard[-1].done == heard[-1].total == 56


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: f.iloc[:0], "at least one signal"),
        (lambda f: f.iloc[::-1], "unsorted"),
        (lambda f: f.rename(index={"T001": "T01"}, level="ticker").sort_index(), r"found 'T01' \(close: T00"),
        (lambda f: f.rename(index=lambda day: day + pd.DateOffset(years=1), level="date"), "dates within the prices"),
        (lambda f: f.rename(index=lambda day: day - pd.DateOffset(years=1), level="date"), "dates within the prices"),
    ],
)
def test_signals_that_do_not_fit(prices, signals, settings, spoil, message):
    with pytest.raises(InputError, match=message) as refused:
        go(prices, spoil(signals), settings)
    assert "\n" not in str(refused.value)


def test_a_decision_date_that_is_no_session(prices, scores, settings):
    with pytest.raises(InputError, match=r"among the sessions of the prices.*found 2015-01-17"):
        go(prices, scores({("2015-01-16", "T001"): 1.0, ("2015-01-17", "T001"): 1.0}), settings)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"allocation": rs.LongShortQuantile(0.3)}, r"broker\.borrow_rate, because LongShortQuantile can be short"),
        ({"allocation": None}, "expected an allocation"),
        ({"allocation": rs.TopK}, "expected an allocation"),
        ({"allocation": "TopK"}, "expected an allocation"),
        ({"broker": {"cash": 1e6}}, "expected BrokerSettings"),
        ({"strategy": "nowhere:Thing"}, "expected a module 'nowhere'"),
        ({"strategy": "math:pi"}, "backtrader.Strategy"),
        ({"strategy": int}, "backtrader.Strategy"),
        ({"start": "2020-01-01"}, "expected a decision date from 2020-01-01"),
        ({"end": "not a day"}, "expected end to be a date"),
    ],
)
def test_bad_options(prices, signals, settings, options, message):
    with pytest.raises(InputError, match=message):
        go(prices, signals, settings, **options)


def test_a_volume_limit_needs_volume(make_prices, scores, settings, days):
    prices = make_prices({"A": [10.0] * 5}, volume=0.0, volume_known=False)
    with pytest.raises(InputError, match="max_participation_rate"):
        go(prices, scores({(days(1)[0], "A"): 1.0}), settings, broker=settings(max_participation_rate=0.1))


class MyOwn(bt.Strategy):
    """Buys what has a positive score, ten shares of each."""

    def next(self):
        for data in self.datas:
            if data.signal[0] > 0 and not self.getposition(data).size:
                self.buy(data=data, size=10)


def test_a_strategy_of_ones_own(prices, signals, settings, monkeypatch):
    module = ModuleType("my_strategies")
    module.MyOwn = MyOwn
    monkeypatch.setitem(sys.modules, "my_strategies", module)
    by_class = go(prices, signals, settings, strategy=MyOwn, allocation=None)
    by_name = go(prices, signals, settings, strategy="my_strategies:MyOwn", allocation=None)
    assert by_class.orders.equals(by_name.orders)
    assert set(by_class.orders["size"]) == {10.0}
    assert by_class.settings["strategy"] == "MyOwn"
    assert by_class.settings["allocation"] is None


def test_a_subclass_is_given_the_allocation(prices, signals, settings):
    class Half(rs.SignalStrategy):
        def rebalance(self, scores, tradable):
            super().rebalance(scores / 2, tradable)

    result = go(prices, signals, settings, strategy=Half)
    assert result.orders.equals(go(prices, signals, settings).orders)
    assert result.settings["strategy"] == "Half"


def test_ruin_is_in_the_result_and_warns_nobody_else(make_prices, scores, settings, days):
    d = days(6)
    prices = make_prices({"A": [10.0] * 6, "B": [10.0, 10, 10, 60, 60, 60]})
    rows = scores({(d[0], "A"): 1.0, (d[0], "B"): -1.0})
    broker = settings(borrow_rate=0.0)
    result = rs.run_backtest(prices, rows, allocation=rs.LongShortQuantile(0.5), broker=broker)
    assert result.stopped.startswith(f"The account was ruined on {d[3]}: its value was -")
    assert len(result.returns) == 4
    assert result.warnings[0] == result.stopped


def test_allocations_without_a_rate_never_need_one(prices, signals, settings):
    result = go(prices, signals, settings, allocation=rs.Threshold(0.5))
    assert (result.positions.to_numpy() >= 0.0).all()
    assert len(result.orders) > 5


def test_signal_strategy_without_signals_says_so(prices, settings, my_cerebro):
    with pytest.raises(InputError, match="expected an allocation such as"):
        my_cerebro(prices, rs.SignalStrategy, settings())
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(bt.feeds.PandasData(dataname=prices.frame.xs("T001", level="ticker")), name="T001")
    cerebro.addstrategy(rs.SignalStrategy, allocation=rs.TopK(1))
    with pytest.raises(InputError, match=r"neither signals=\.\.\. nor feeds with a signal line"):
        cerebro.run()


def test_weights_that_are_held_are_not_traded(prices, signals, settings, days):
    """`missing = "hold"` and a name without an opinion: not one share moves, whatever the prices do."""
    first = signals.index.get_level_values("date")[0]
    only_once = signals[
        (signals.index.get_level_values("date") == first) | (signals.index.get_level_values("ticker") == "T000")
    ]
    allocation = rs.TopK(5, on_missing_score="hold", min_score=-np.inf)
    result = go(prices, only_once, settings, allocation=allocation)
    assert (result.orders.groupby("ticker").size().drop("T000") == 1).all()


def test_settings_are_plain_json(prices, signals, settings):
    from signals.common.storage import canonical_json

    result = go(prices, signals, settings, allocation=rs.TopK(2, min_score=-np.inf))
    assert b'"min_score":"-inf"' in canonical_json(result.settings)


class Broken(rs.EqualWeight):
    """An allocation of somebody's own with a mistake in it."""

    def target_weights(self, scores, weights, tradable):
        return np.full(len(scores), np.nan)


def test_an_allocation_that_answers_nonsense_is_refused(prices, signals, settings):
    with pytest.raises(InputError, match=r"Broken.target_weights to give \d+ finite weights, one per ticker"):
        go(prices, signals, settings, allocation=Broken())
