from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import rnn_strategies as rs
from backtests.benchmark import buy_and_hold, check_span, coverage_warning
from signals.calendar import sessions
from signals.common.errors import InputError


@pytest.fixture
def prices():
    days = pd.bdate_range("2020-01-06", "2020-01-17").astype("datetime64[ns]")
    rows = [(day, "SPY", 100.0 + i) for i, day in enumerate(days) if i != 3] + [(days[0], "GONE", 5.0)]
    frame = pd.DataFrame(rows, columns=["date", "ticker", "close"]).sort_values(["date", "ticker"])
    return rs.check_prices(frame.set_index(["date", "ticker"]), close_only=True, volume_known=False, raw_known=False)


def test_returns_are_close_to_close_and_a_missing_bar_counts_the_last_close(prices):
    dates = pd.bdate_range("2020-01-07", "2020-01-14", tz="UTC")
    held = buy_and_hold(prices, "SPY", dates)
    assert held.iloc[0] == 0.0
    np.testing.assert_allclose(held.iloc[1:4], [102 / 101 - 1, 0.0, 104 / 102 - 1])
    assert (1 + held).prod() == pytest.approx(106 / 101)


@pytest.mark.parametrize(
    ("ticker", "first", "last", "words"),
    [
        ("SPX", "2020-01-06", "2020-01-17", "found 2 other tickers"),
        (
            "GONE",
            "2020-01-06",
            "2020-01-17",
            "from 2020-01-06 to 2020-01-17, .*; found 2020-01-06 to 2020-01-06; give a",
        ),
        ("SPY", "2019-12-01", "2020-01-06", "give a longer file"),
        ("SPY", "2020-01-17", "2020-01-31", "give a longer file"),
    ],
)
def test_a_benchmark_that_covers_nothing_of_the_run_is_refused(prices, ticker, first, last, words):
    with pytest.raises(InputError, match=words):
        check_span(prices, ticker, first, last)


@pytest.mark.parametrize(
    ("first", "last", "covered"),
    [
        ("2020-01-07", "2020-01-14", ("2020-01-07", "2020-01-14")),
        ("2019-12-16", "2020-01-14", ("2020-01-07", "2020-01-14")),
        ("2020-01-07", "2020-02-07", ("2020-01-07", "2020-01-17")),
        ("2019-12-16", "2020-02-07", ("2020-01-07", "2020-01-17")),
    ],
)
def test_a_benchmark_of_a_part_of_the_run_is_held_over_that_part(prices, first, last, covered):
    days = pd.DatetimeIndex(sessions(first, last).astype("datetime64[ns]"), tz="UTC")
    check_span(prices, "SPY", first, last)
    held = buy_and_hold(prices, "SPY", days)
    assert (f"{held.index[0]:%Y-%m-%d}", f"{held.index[-1]:%Y-%m-%d}") == covered
    close = prices.frame.xs("SPY", level="ticker")["close"].tz_localize("UTC").reindex(days).ffill()
    expected = close.pct_change(fill_method=None).reindex(held.index).fillna(0.0)
    np.testing.assert_allclose(held, expected, rtol=0, atol=1e-15)
    text = coverage_warning("SPY", held.index, days)
    if len(held) == len(days):
        assert text == ""
    else:
        assert text.startswith(
            f"SPY covers {len(held)} of {len(days)} sessions of the account, from {days[0]:%Y-%m-%d}"
        )
        assert f"from {covered[0]} to {covered[1]}. The two are compared over these alone" in text


def test_a_benchmark_of_another_time_has_no_returns_and_is_named(prices):
    days = pd.DatetimeIndex(sessions("2021-01-04", "2021-01-29").astype("datetime64[ns]"), tz="UTC")
    held = buy_and_hold(prices, "SPY", days)
    assert held.empty
    assert coverage_warning("SPY", held.index, days).startswith("SPY is left out: it covers none of the 19 sessions")


def test_a_benchmark_whose_exchange_is_closed_at_the_end_covers_the_last_days(prices):
    days = pd.date_range("2020-01-07", "2020-01-20", tz="UTC")  # to the Monday of Martin Luther King
    held = buy_and_hold(prices, "SPY", days, calendar="24/7")
    assert held.index.equals(days)
    assert (held.iloc[-3:] == 0).all()
    assert buy_and_hold(
        prices, "SPY", pd.date_range("2020-01-07", "2020-01-21", tz="UTC"), calendar="24/7"
    ).index.equals(days)


def test_rare_prices_of_a_benchmark_are_refused():
    days = pd.bdate_range("2020-01-06", "2020-06-30").astype("datetime64[ns]")
    monthly = days.to_series().groupby(days.to_period("M")).first()
    monthly = monthly[monthly.isin(sessions("2020-01-06", "2020-06-30").astype("datetime64[ns]"))]
    index = pd.MultiIndex.from_product([pd.DatetimeIndex(monthly), ["SPY"]], names=["date", "ticker"])
    frame = pd.DataFrame({"close": np.linspace(100, 120, len(index))}, index=index)
    rare = rs.check_prices(frame, close_only=True, volume_known=False, raw_known=False)
    dates = pd.DatetimeIndex(sessions("2020-01-06", "2020-06-30").astype("datetime64[ns]"), tz="UTC")
    with pytest.raises(InputError, match="expected daily prices of benchmark SPY"):
        buy_and_hold(rare, "SPY", dates)
