from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import rnn_strategies as rs
from backtests.benchmark import buy_and_hold, check_span
from signals.errors import InputError


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
        ("GONE", "2020-01-06", "2020-01-17", "from 2020-01-06 to 2020-01-17; found 2020-01-06 to 2020-01-06"),
        ("SPY", "2019-12-01", "2020-01-17", "give a longer file"),
        ("SPY", "2020-01-06", "2020-01-20", "give a longer file"),
    ],
)
def test_a_benchmark_that_does_not_span_the_run_is_refused(prices, ticker, first, last, words):
    with pytest.raises(InputError, match=words):
        check_span(prices, ticker, first, last)
