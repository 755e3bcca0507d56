"""Custom features: their input, their sampling at decision dates, and the checks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import rnn_strategies as rs
from signals.common.errors import InputError
from signals.features import compute_features


@pytest.fixture
def worlds(support):
    import feature_worlds

    return feature_worlds


@pytest.fixture(scope="module")
def prices():
    return rs.load_prices(
        source="simulated",
        seed=3,
        n_tickers=15,
        start="2011-01-01",
        end="2013-06-28",
        listing_fraction=0.3,
        delisting_fraction=0.4,
        missing_rate=0.03,
    )


@pytest.mark.parametrize("frequency", ["daily", "weekly", "monthly"])
@pytest.mark.parametrize(
    "name", ["five_sessions", "one_column", "other_order", "less_market", "own_average", "mutates", "whole_numbers"]
)
def test_custom_feature_is_sampled_at_the_latest_bar_of_each_period(worlds, prices, frequency, name):
    import own_features

    made = worlds.context(prices, frequency)
    found = compute_features([f"own_features:{name}"], made)
    function = getattr(own_features, name)
    result = function(prices.frame.copy())
    result = result.iloc[:, 0] if isinstance(result, pd.DataFrame) else result
    wide = result.astype(float).reindex(prices.frame.index).unstack("ticker")
    sessions = pd.DatetimeIndex(made.panel.dates.astype("datetime64[ns]"))
    traded = prices.frame["close"].unstack("ticker").reindex(sessions).notna()
    wide = wide.reindex(sessions)
    for k, decision in enumerate(made.decisions):
        begin = made.decisions[k - 1] + 1 if k else 0
        for i, ticker in enumerate(made.panel.tickers):
            bars = np.flatnonzero(traded[ticker].to_numpy()[begin : decision + 1])
            expected = wide[ticker].iloc[begin + bars[-1]] if len(bars) and decision >= function.warm_up else np.nan
            value = found.values[i, k, 0]
            assert value == expected or (np.isnan(value) and np.isnan(expected)), (ticker, k)
    assert np.isfinite(found.values).mean() > 0.4
    assert found.warm_up[0] >= function.warm_up


def test_custom_feature_receives_the_checked_prices(worlds, prices, support, monkeypatch):
    import own_features

    seen = []

    def look(frame):
        seen.append(frame)
        return frame["close"]

    look.warm_up = 0
    monkeypatch.setattr(own_features, "look", look, raising=False)
    compute_features(["own_features:look"], worlds.context(prices))
    pd.testing.assert_frame_equal(seen[0], prices.frame, check_exact=True)
    assert len(seen) == 3  # the whole, without the future, without the early past
    assert len(seen[1]) < len(seen[0])
    assert len(seen[2]) < len(seen[0])


def test_custom_feature_minus_market_subtracts_the_mean(worlds, prices):
    made = worlds.context(prices)
    plain, market = (
        compute_features([f"own_features:five_sessions{versus}"], made).values[:, :, 0]
        for versus in ("", " minus market")
    )
    mean = np.nanmean(np.where(made.member, plain, np.nan)[:, 10:], axis=0)
    np.testing.assert_allclose(market[:, 10:], plain[:, 10:] - mean, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", ["five_sessions", "own_average", "less_market"])
def test_nothing_after_a_date_changes_a_value_up_to_it(worlds, prices, name):
    day = "2013-01-25"
    whole = worlds.context(prices)
    before = compute_features([f"own_features:{name}"], whole).values[:, :, 0]
    for other in (prices.until(day), worlds.poisoned(prices, day)):
        made = worlds.context(other)
        n = int((made.panel.dates[made.decisions] <= np.datetime64(day)).sum())
        rows = [whole.panel.tickers.index(t) for t in made.panel.tickers if t in whole.panel.tickers]
        rows_b = [i for i, t in enumerate(made.panel.tickers) if t in whole.panel.tickers]
        after = compute_features([f"own_features:{name}"], made).values[:, :, 0]
        np.testing.assert_allclose(after[rows_b, :n], before[rows, :n], rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tomorrow", r"to use no rows after a date; found SIM\d+ on 20\d\d-\d\d-\d\d change from \S+ to nan when"),
        ("whole_sample", r"to use no rows after a date; found SIM\d+ on 2011-01-14 change"),
        ("centred", r"to use no rows after a date"),
        ("fifty_but_says_ten", r"to look at most 10 sessions back, .* found SIM\d+ on .* declare a larger warm_up"),
        ("never_forgets", r"to look at most 100 sessions back"),
        ("raises", r"feature own_features:raises to compute; found KeyError: 'cloze'; correct"),
        ("array", r"to return a Series on the index of prices; found ndarray; return one column"),
        ("two_columns", r"found DataFrame with 2 columns"),
        ("shorter", r"the index of prices, [\d,]+ rows of \(date, ticker\); found [\d,]+ rows"),
        ("other_index", r"found [\d,]+ rows of \(None\); reindex it"),
        ("text", r"to return numbers; found str"),
        ("infinite", r"finite numbers or NaN; found inf for SIM\d+ on 2011-01-03 \(1 such\)"),
    ],
)
@pytest.mark.parametrize("frequency", ["daily", "weekly", "monthly"])
def test_invalid_custom_feature_is_refused(worlds, prices, name, message, frequency):
    if name == "whole_sample":
        message = message.replace("2011-01-14", r"2011-\d\d-\d\d")
    with pytest.raises(InputError, match=message) as caught:
        compute_features([f"own_features:{name}"], worlds.context(prices, frequency))
    assert "\n" not in str(caught.value)


def test_look_ahead_error_names_first_date_and_ticker(worlds, prices):
    made = worlds.context(prices, "daily")
    with pytest.raises(InputError, match=rf"found {made.panel.tickers[0]} on 2011-01-04 change"):
        compute_features(["own_features:whole_sample"], made)


def test_custom_feature_without_values_is_nan(worlds, prices):
    assert np.isnan(compute_features(["own_features:unknown"], worlds.context(prices)).values).all()


def test_a_history_shorter_than_the_warm_up_gives_no_value(worlds, prices):
    short = prices.until("2011-03-18")
    assert np.isnan(compute_features(["own_features:own_average"], worlds.context(short)).values).all()
