from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signals.calendar import sessions
from signals.common.errors import InputError
from signals.data.panel import PricePanel
from signals.data.prices import check_prices
from signals.dataset.universe import UniverseFilters, universe_at, universe_schedule


def panel_of(make_bars, *, days=30, drop=(), **columns):
    """Constant prices per ticker, so that medians can be told by heart: close 10 × volume."""
    tickers = ("AAA", "BBB", "CCC", "DDD")
    frame = make_bars(tickers=tickers, days=days)
    for name in ("open", "high", "low", "close"):
        frame[name] = 10.0
    frame["adj_factor"] = 1.0
    frame["volume"] = np.tile([100.0, 400.0, 300.0, 200.0], days)
    for name, values in columns.items():
        frame[name] = np.tile(values, days)
    dates = frame.index.levels[0]
    gone = [(dates[day], ticker) for day, ticker in drop]
    return check_prices(frame.drop(index=gone)).panel()


def test_without_filters_all_recently_traded_tickers_are_selected(make_bars):
    panel = panel_of(make_bars, drop=[(day, "BBB") for day in range(25, 30)] + [(day, "CCC") for day in range(26, 30)])
    assert str(panel.dates[-1]) == "2010-02-16"
    assert universe_at(panel, panel.dates[-1], UniverseFilters()) == ("AAA", "CCC", "DDD")
    assert universe_at(panel, panel.dates[-1], UniverseFilters(max_stale=6)) == ("AAA", "BBB", "CCC", "DDD")
    assert universe_at(panel, panel.dates[-1], UniverseFilters(max_stale=1)) == ("AAA", "DDD")
    # a day that is no session stands for the one before
    assert universe_at(panel, "2010-01-10", UniverseFilters()) == universe_at(panel, "2010-01-08", UniverseFilters())


def test_dollar_volume_is_the_median_of_raw_close_times_volume(make_bars):
    panel = panel_of(make_bars)
    assert universe_at(panel, panel.dates[-1], UniverseFilters(dollar_volume_window=5, min_dollar_volume=2000.0)) == (
        "BBB",
        "CCC",
        "DDD",
    )
    assert universe_at(panel, panel.dates[-1], UniverseFilters(dollar_volume_window=5, min_dollar_volume=2000.01)) == (
        "BBB",
        "CCC",
    )
    assert universe_at(panel, panel.dates[-1], UniverseFilters(dollar_volume_window=5, max_tickers=1)) == ("BBB",)
    assert universe_at(panel, panel.dates[-1], UniverseFilters(dollar_volume_window=5, max_tickers=3)) == (
        "BBB",
        "CCC",
        "DDD",
    )
    assert universe_at(panel, panel.dates[-1], UniverseFilters(dollar_volume_window=5, max_tickers=99)) == (
        "AAA",
        "BBB",
        "CCC",
        "DDD",
    )


def test_min_price_uses_raw_prices(make_bars):
    # adjusted 10, factor 4: the share cost 2.50 that day
    panel = panel_of(make_bars, adj_factor=[1.0, 4.0, 1.0, 0.5])
    day = panel.dates[-1]
    assert universe_at(panel, day, UniverseFilters(min_price=2.5)) == ("AAA", "BBB", "CCC", "DDD")
    assert universe_at(panel, day, UniverseFilters(min_price=2.51)) == ("AAA", "CCC", "DDD")
    assert universe_at(panel, day, UniverseFilters(min_price=20.0)) == ("DDD",)
    # 400 × 2.50 = 1000 is no longer the largest; 200 × 20 = 4000 is
    assert universe_at(panel, day, UniverseFilters(dollar_volume_window=3, max_tickers=2)) == ("CCC", "DDD")


def test_missing_days_count_as_zero_dollar_volume(make_bars):
    # BBB trades on 4 of the last 9 sessions: the median day has no trade
    panel = panel_of(make_bars, drop=[(day, "BBB") for day in (21, 22, 24, 26, 28)])
    day = panel.dates[-1]
    assert universe_at(panel, day, UniverseFilters(dollar_volume_window=9, min_dollar_volume=1.0)) == (
        "AAA",
        "CCC",
        "DDD",
    )
    assert universe_at(panel, day, UniverseFilters(dollar_volume_window=11, max_tickers=1)) == ("BBB",)
    # the window reaches back before prices begin: those sessions count as none either
    assert universe_at(panel, panel.dates[3], UniverseFilters(dollar_volume_window=9, min_dollar_volume=1.0)) == ()
    assert universe_at(panel, panel.dates[4], UniverseFilters(dollar_volume_window=9, min_dollar_volume=1.0)) != ()


def test_history_is_counted_before_the_date(make_bars):
    panel = panel_of(make_bars, drop=[(day, "AAA") for day in range(20)] + [(5, "BBB")])
    day = panel.dates[24]
    assert universe_at(panel, day, UniverseFilters(min_history=4)) == ("AAA", "BBB", "CCC", "DDD")
    assert universe_at(panel, day, UniverseFilters(min_history=5)) == ("BBB", "CCC", "DDD")
    assert universe_at(panel, day, UniverseFilters(min_history=24)) == ("CCC", "DDD")
    assert universe_at(panel, day, UniverseFilters(min_history=25)) == ()


def test_ties_are_broken_alphabetically(make_bars):
    panel = panel_of(make_bars, volume=[5.0, 7.0, 5.0, 5.0])
    assert universe_at(panel, panel.dates[-1], UniverseFilters(dollar_volume_window=3, max_tickers=3)) == (
        "AAA",
        "BBB",
        "CCC",
    )


def test_include_and_exclude(make_bars):
    panel = panel_of(make_bars)
    day = panel.dates[-1]
    assert universe_at(panel, day, UniverseFilters(dollar_volume_window=3, max_tickers=2, exclude=("BBB",))) == (
        "CCC",
        "DDD",
    )
    assert universe_at(panel, day, UniverseFilters(include=("DDD", "AAA"))) == ("AAA", "DDD")
    assert universe_at(panel, day, UniverseFilters(include=["AAA"])) == ("AAA",)
    with pytest.raises(InputError, match=r"found 'AAAA' \(close: AAA\)"):
        universe_at(panel, day, UniverseFilters(include=("AAAA",)))
    # prices that end before EEE is listed must give what longer prices gave on that day
    assert universe_at(panel, day, UniverseFilters(include=("DDD", "EEE"))) == ("DDD",)
    listed = UniverseFilters(include=("AAA", "DDD", "EEE"), exclude=("CCC", "FFF"))
    assert universe_at(panel, day, listed) == ("AAA", "DDD")
    assert listed.unknown(panel.tickers) == ("EEE", "FFF")


def shares_without_return(frame, window):
    """The plain way: share of the last sessions on which a forward-filled close did not move."""
    close = frame["close"].unstack().ffill()
    return 1.0 - (close.diff().abs() > 1e-12 * close).iloc[-window:].sum().to_numpy() / window


@pytest.mark.parametrize("factor", [0.37, 3.0, 1e-4])
def test_rescaling_adjusted_history_does_not_change_the_universe(make_bars, factor):
    frame = make_bars(tickers=tuple("ABCDEFGH"), days=80, seed=3)
    frame["adj_factor"] = 1.0
    decimals = [2, 1, 2, 1, 0, 0, 1, 2]  # coarse prices often stay where they are
    for name in ("open", "high", "low", "close"):
        values = frame[name].to_numpy().reshape(-1, 8)
        frame[name] = np.column_stack([values[:, i].round(d) for i, d in enumerate(decimals)]).ravel()
    frame["high"] = frame[["open", "high", "close"]].max(axis=1)
    frame["low"] = frame[["open", "low", "close"]].min(axis=1)
    scaled = frame.copy()
    scaled[["open", "high", "low", "close", "adj_factor"]] *= factor
    threshold = float(np.sort(frame["close"].to_numpy()[-8:])[4])  # somebody's price, to the cent
    share = float(np.sort(shares_without_return(frame, 20))[3])  # somebody's share
    panels = check_prices(frame).panel(), check_prices(scaled).panel()
    quiet = UniverseFilters(max_zero_returns=share, zero_return_window=20)
    for filters in (
        UniverseFilters(min_price=threshold),
        UniverseFilters(dollar_volume_window=20, max_tickers=4),
        quiet,
    ):
        a, b = (universe_at(panel, panel.dates[-1], filters) for panel in panels)
        assert a == b
        assert len(a) == 4


def test_sessions_without_a_return_are_counted(make_bars):
    closes = np.full((30, 4), 10.0)
    closes[:, 0] += np.arange(30)  # AAA moves every day
    closes[10::2, 1] += 1  # BBB too from the tenth on
    closes[20:, 2] += np.arange(10) // 2  # CCC every other day at the end: on 4 of the last 10

    def members(drop=(), day=-1, **filters):
        bars = make_bars(tickers=("AAA", "BBB", "CCC", "DDD"), days=30)
        for name in ("open", "high", "low", "close"):
            bars[name] = closes.ravel()
        dates = bars.index.levels[0]
        panel = check_prices(bars.drop(index=[(dates[i], ticker) for i, ticker in drop])).panel()
        return universe_at(panel, panel.dates[day], UniverseFilters(zero_return_window=10, **filters))

    assert members() == ("AAA", "BBB", "CCC", "DDD")
    assert members(max_zero_returns=0.6) == ("AAA", "BBB", "CCC")
    assert members(max_zero_returns=0.59) == ("AAA", "BBB")
    assert members(max_zero_returns=0.0) == ("AAA", "BBB")
    # a session without a bar has no return; the bar after it is compared with the last one before
    assert members(drop=[(25, "AAA")], max_zero_returns=0.1) == ("AAA", "BBB")
    assert members(drop=[(25, "AAA")], max_zero_returns=0.09) == ("BBB",)
    assert members(drop=[(20, "BBB"), (22, "BBB")], max_zero_returns=0.2) == ("AAA",)  # 21, 23 are back at 10: no move
    assert members(drop=[(20, "BBB"), (22, "BBB")], max_zero_returns=0.4) == ("AAA", "BBB")
    # the window of an early day begins before prices do: nobody traded then
    assert members(day=8, max_zero_returns=0.19) == ()
    assert members(day=8, max_zero_returns=0.2) == ("AAA",)
    assert members(day=9, max_zero_returns=0.1) == ("AAA",)  # the first bar has no return
    assert members(day=10, max_zero_returns=0.0) == ("AAA",)


def test_universe_does_not_depend_on_later_prices(make_bars):
    rng = np.random.default_rng(1)
    frame = make_bars(tickers=tuple("ABCDEFGH"), days=80, seed=3)
    frame = frame[rng.random(len(frame)) < 0.8]
    poisoned = frame.copy()
    future = poisoned.index.get_level_values(0) > pd.Timestamp("2010-03-03")
    poisoned.loc[future, ["open", "high", "low", "close"]] *= 50
    poisoned.loc[future, "volume"] = rng.integers(1, 10**9, int(future.sum())).astype(float)
    filters = UniverseFilters(
        dollar_volume_window=20,
        max_tickers=4,
        min_price=10.0,
        min_history=20,
        max_stale=2,
        max_zero_returns=0.3,
        zero_return_window=20,
    )
    whole = check_prices(frame)
    expected = universe_at(whole.panel(), "2010-03-03", filters)
    assert expected
    assert universe_at(check_prices(poisoned).panel(), "2010-03-03", filters) == expected
    assert universe_at(whole.until("2010-03-03").panel(), "2010-03-03", filters) == expected
    assert universe_at(whole.panel().until("2010-03-03"), "2010-03-03", filters) == expected


def test_schedule(make_bars):
    panel = panel_of(make_bars, drop=[(day, "BBB") for day in range(20, 30)])
    schedule = universe_schedule(
        panel, ["2010-01-15", panel.dates[-1]], UniverseFilters(dollar_volume_window=3, max_tickers=2)
    )
    assert [(str(day), members) for day, members in schedule] == [
        ("2010-01-15", ("BBB", "CCC")),
        ("2010-02-16", ("CCC", "DDD")),
    ]
    assert universe_schedule(panel, [], UniverseFilters()) == ()
    with pytest.raises(InputError, match="expected ascending dates"):
        universe_schedule(panel, ["2010-01-15", "2010-01-15"], UniverseFilters())
    with pytest.raises(InputError, match="expected a date from 2010-01-04 on"):
        universe_schedule(panel, ["2009-12-31"], UniverseFilters())


def test_volume_filters_without_volume_raise_an_error(make_bars):
    panel = check_prices(make_bars()[["close"]], close_only=True, volume_known=False).panel()
    day = panel.dates[-1]
    assert universe_at(panel, day, UniverseFilters(min_price=1.0)) == ("AAA", "BBB")
    with pytest.raises(InputError, match=r"prices with volume for universe\.max_tickers; found none"):
        universe_at(panel, day, UniverseFilters(max_tickers=1))
    with pytest.raises(InputError, match=r"prices with volume for universe\.min_dollar_volume; found none"):
        universe_at(panel, day, UniverseFilters(min_dollar_volume=1.0))


@pytest.mark.parametrize(
    "bad",
    [
        {"max_tickers": 0},
        {"max_tickers": 2.5},
        {"dollar_volume_window": 0},
        {"min_history": -1},
        {"max_stale": 0},
        {"min_price": -1.0},
        {"min_price": float("nan")},
        {"max_zero_returns": 1.0},
        {"max_zero_returns": float("nan")},
        {"max_zero_returns": True},
        {"zero_return_window": 0},
        {"min_dollar_volume": float("inf")},
        {"include": "AAA"},
        {"exclude": (1,)},
        {"include": ("AAA",), "exclude": ("AAA",)},
    ],
)
def test_invalid_filters_raise_an_error(bad):
    with pytest.raises(InputError, match=rf"^expected .*{min(bad)}.*; found"):
        UniverseFilters(**bad)


def test_universe_of_real_prices(shared_data):
    from signals.sources.registry import load_prices

    prices = load_prices(
        source="files", path=shared_data / "us-stocks-daily" / "ohlcv_top600.parquet", on_bad="repair", end="2012-12-31"
    )
    panel = prices.panel()
    filters = UniverseFilters(min_price=5.0, max_tickers=50, min_history=252)
    members = universe_at(panel, "2011-06-30", filters)
    assert len(members) == 50
    assert {"AAPL", "GOOGL", "XOM", "BAC"} <= set(members)
    dollars = (prices.frame["close"] * prices.frame["volume"]).unstack().loc[:"2011-06-30"].iloc[-63:]
    best = dollars.fillna(0.0).median().nlargest(50).index
    assert set(best) == set(members)


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_rescaling_history_before_splits_does_not_change_the_universe(data):
    """Raw quotes of any size, decimal or in sixteenths: multiplying adjusted history and factor changes no decision."""
    days, tickers = 30, tuple("ABCDE")
    dates = sessions("2010-01-04", "2010-02-16")
    unit = data.draw(st.sampled_from([0.0001, 0.01, 0.0625, 1.0, 1000.0]))
    steps = data.draw(st.lists(st.integers(1, 99_999), min_size=len(tickers), max_size=len(tickers)))
    moves = np.array(data.draw(st.lists(st.integers(-3, 3), min_size=days, max_size=days)))
    raw = np.maximum(np.array(steps) + moves[:, None], 1) * unit
    volume = np.tile(np.array(data.draw(st.lists(st.integers(1, 10**9), min_size=5, max_size=5)), float), (days, 1))
    first, scale = np.ones(raw.shape), np.ones(raw.shape)
    for column in range(len(tickers)):
        split = data.draw(st.integers(0, days))
        first[:split, column] = data.draw(st.floats(1e-6, 1e6))
        split = data.draw(st.integers(0, days))
        scale[:split, column] = data.draw(st.floats(1e-6, 1e6))

    def panel(factor):
        close = raw * factor
        return PricePanel(dates[:days], tickers, close, close, close, close, volume, factor)

    one, other = panel(first), panel(first * scale)
    for t in (8, 20, days - 1):
        price = float(raw[t, data.draw(st.integers(0, 4))])
        dollars = float(np.median((raw * volume)[t - 7 : t + 1], axis=0)[data.draw(st.integers(0, 4))])
        for filters in (
            UniverseFilters(min_price=price),
            UniverseFilters(min_dollar_volume=dollars, dollar_volume_window=8),
            UniverseFilters(max_tickers=2, dollar_volume_window=8, min_price=price),
        ):
            assert universe_at(one, dates[t], filters) == universe_at(other, dates[t], filters)
        at = universe_at(other, dates[t], UniverseFilters(min_price=price))
        assert at == tuple(name for name, value in zip(tickers, raw[t], strict=True) if value >= price)


@pytest.mark.parametrize("day", [12, 30, 55, 79])
def test_later_listings_do_not_change_the_universe(make_bars, day):
    """Bit for bit: prices cut at a day, and prices with more names and poisoned later rows, draw the same universe."""
    frame = make_bars(tickers=tuple("BDFHJ"), days=80, seed=5)
    late = make_bars(tickers=("A", "C", "Z"), days=80, seed=6)
    cut = frame.index.levels[0][day]
    more = pd.concat([frame, late[late.index.get_level_values(0) > cut]]).sort_index()
    more.loc[more.index.get_level_values(0) > cut, ["open", "high", "low", "close"]] *= 1e3
    filters = UniverseFilters(
        dollar_volume_window=20, max_tickers=3, min_history=5, include=("A", "B", "C", "D", "F"), exclude=("Z", "H")
    )
    whole, cut_off = check_prices(more), check_prices(frame).until(cut)
    dates = whole.panel().dates[10 : day + 1]
    assert universe_schedule(whole.panel(), dates, filters) == universe_schedule(cut_off.panel(), dates, filters)
