"""Every built-in feature against a plain pandas computation of its documentation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import rnn_strategies as rs
from signals.calendar import decision_dates
from signals.common.errors import InputError
from signals.features import FEATURES, FeatureContext, compute_features
from signals.features.expressions import parse_features
from signals.features.rolling import window_max, window_min, window_sum


class Wide:
    """A panel as pandas tables, sessions × tickers, and one decision date to look from."""

    def __init__(self, context: FeatureContext) -> None:
        panel = context.panel
        self.context = context
        days = pd.DatetimeIndex(panel.dates.astype("datetime64[ns]"))
        for name in ("open", "high", "low", "close", "volume", "adj_factor"):
            setattr(self, name, pd.DataFrame(getattr(panel, name), index=days, columns=list(panel.tickers)))
        self.returns = self.close.pct_change(fill_method=None)
        self.dollars = self.close / self.adj_factor * self.volume
        period = np.searchsorted(context.decisions, np.arange(len(days)))
        self.closes = self.close.groupby(period).last()  # last close of each period, NaN without one
        self.days = days[context.decisions]
        self.market = pd.Series(np.nan, index=days)
        for session in range(1, len(days)):
            before = int(np.searchsorted(context.decisions, session)) - 1
            if before >= 0:
                self.market.iloc[session] = self.returns.iloc[session][context.member[:, before]].mean()

    def window(self, table: pd.DataFrame, k: int, width: int) -> pd.DataFrame:
        """Last `width` sessions, without the tickers of which fewer than four fifths are known."""
        t = int(self.context.decisions[k])
        found = table.iloc[max(t - width + 1, 0) : t + 1]
        return found.loc[:, found.notna().sum() >= 0.8 * width - 1e-9]

    def between(self, k: int, far: int, near: int) -> pd.Series:
        closes = self.closes.iloc[k - far : k - near + 1]
        found = closes.iloc[-1] / closes.iloc[0] - 1
        return found[closes.notna().sum() >= 0.8 * (far - near + 1) - 1e-9]

    def regression(self, k: int, width: int):
        """Slope and residual deviation of each ticker on the market."""
        both = self.returns.where(self.market.notna(), np.nan, axis=0)
        slopes, deviations = {}, {}
        for ticker, x in self.window(both, k, width).items():
            x = x.dropna()
            m = self.market[x.index]
            slope, constant = np.polyfit(m, x, 1)
            slopes[ticker] = slope
            deviations[ticker] = np.sqrt(((x - constant - slope * m) ** 2).sum() / (len(x) - 2))
        return pd.Series(slopes, dtype=float), pd.Series(deviations, dtype=float)


def channel(w: Wide, k: int, n: int) -> pd.Series:
    low, high = w.window(w.low, k, n).min(), w.window(w.high, k, n).max()
    return ((w.closes.iloc[k] - low) / (high - low)).where(high > low)


def true_range(w: Wide, k: int, n: int) -> pd.Series:
    before = w.close.shift(1)
    reach = np.maximum(w.high - w.low, np.maximum((w.high - before).abs(), (w.low - before).abs())) / before
    return w.window(reach, k, n).mean()


def cutler_rsi(w: Wide, k: int, n: int) -> pd.Series:
    moves = w.window(w.returns, k, n)
    return moves.clip(lower=0).sum() / moves.abs().sum().replace(0, np.nan)


def month_end(day: pd.Timestamp) -> int:
    sessions = rs_sessions(day, day + pd.offsets.MonthEnd(0))
    return len(sessions) - 1


def rs_sessions(first, last):
    import exchange_calendars as xc

    return xc.get_calendar("XNYS", start="2005-01-01", end="2020-12-31").sessions_in_range(first, last)


def turn_of_month(w: Wide, k: int, last: int, first: int) -> float:
    day = w.days[k]
    of_month = list(rs_sessions(day.replace(day=1), day + pd.offsets.MonthEnd(0)))
    place = of_month.index(day)
    return float(place < first or place >= len(of_month) - last)


def released(w: Wide, k: int, series: str, lag: int = 0) -> float:
    table = w.context.macro.observations
    # New York closes at 21:00 UTC at the latest, and the invented releases come at midnight
    known = table[table["available_at"] <= w.days[k] + pd.Timedelta("12h")].sort_values("period")
    return known["value"].iloc[-1 - lag] if len(known) > lag else np.nan


REFERENCES = {
    "return": lambda w, k, n: w.between(k, n, 0),
    "momentum": lambda w, k, far, near: w.between(k, far, near),
    "reversal": lambda w, k, n: -w.between(k, n, 0),
    "volatility": lambda w, k, n: w.window(w.returns, k, n).std(),
    "downside_volatility": lambda w, k, n: (w.window(w.returns, k, n).clip(upper=0) ** 2).mean() ** 0.5,
    "skewness": lambda w, k, n: w.window(w.returns, k, n).skew(),
    "max_return": lambda w, k, n: w.window(w.returns, k, n).max(),
    "beta": lambda w, k, n: w.regression(k, n)[0],
    "idiosyncratic_volatility": lambda w, k, n: w.regression(k, n)[1],
    "drawdown": lambda w, k, n: w.closes.iloc[k] / w.window(w.close, k, n).max() - 1,
    "sma_distance": lambda w, k, n: w.closes.iloc[k] / w.window(w.close, k, n).mean() - 1,
    "stochastic_k": channel,
    "relative_true_range": true_range,
    "cutler_rsi": cutler_rsi,
    "overnight_return": lambda w, k, n: w.window(w.open / w.close.shift(1) - 1, k, n).mean(),
    "intraday_return": lambda w, k, n: w.window(w.close / w.open - 1, k, n).mean(),
    "dollar_volume": lambda w, k, n: np.log(w.window(w.dollars, k, n).mean()),
    "relative_volume": lambda w, k, short, long: np.log(
        w.window(w.dollars, k, short).mean() / w.window(w.dollars, k, long).mean()
    ),
    "log_amihud": lambda w, k, n: np.log(
        w.window((w.returns.abs() / w.dollars * 1e6).replace(np.inf, np.nan), k, n).mean().replace(0, np.nan)
    ),
    "month_sin": lambda w, k: np.sin(2 * np.pi * (w.days[k].month - 1) / 12),
    "month_cos": lambda w, k: np.cos(2 * np.pi * (w.days[k].month - 1) / 12),
    "weekday_sin": lambda w, k: np.sin(2 * np.pi * w.days[k].day_of_week / 7),
    "weekday_cos": lambda w, k: np.cos(2 * np.pi * w.days[k].day_of_week / 7),
    "turn_of_month": turn_of_month,
    "days_to_month_end": lambda w, k: month_end(w.days[k]),
    "macro": released,
    "macro_change": lambda w, k, series, n: released(w, k, series) - released(w, k, series, n),
    "macro_growth": lambda w, k, series, n: released(w, k, series) / released(w, k, series, n) - 1,
}


def test_every_feature_has_a_reference():
    assert REFERENCES.keys() == FEATURES.keys()


def assert_equals_reference(context: FeatureContext, specs: list[str], every: int) -> None:
    """Compare features with their references at every so-many-th decision date, the last one included."""
    wide = Wide(context)
    found = compute_features(specs, context)
    tickers = list(context.panel.tickers)
    for i, spec in enumerate(specs):
        (parsed,) = parse_features([spec])
        needed = max([a for a in parsed.arguments if isinstance(a, int)], default=0)
        compared = 0
        for k in range(len(context.decisions) - 1, -1, -every):
            enough = context.decisions[k] >= needed if parsed.feature.kind == "session" else k >= needed
            expected = pd.Series(np.nan, index=tickers)
            if enough or parsed.feature.shared:
                expected = REFERENCES[parsed.feature.name](wide, k, *parsed.arguments)
                if parsed.feature.shared:
                    expected = pd.Series(expected, index=tickers)
                else:
                    expected = expected.reindex(tickers).where(wide.closes.iloc[k].notna())
            values = found.values[:, k, i]
            scale = np.nanmax(np.abs(expected)) if expected.notna().any() else 0.0
            np.testing.assert_allclose(
                values, expected, rtol=1e-9, atol=1e-11 * scale, err_msg=f"{spec} on {wide.days[k]:%Y-%m-%d}"
            )
            compared += int(np.isfinite(values).sum())
        assert compared > len(tickers), f"{spec} is hardly ever known"


@pytest.fixture
def worlds(support):
    import feature_worlds

    return feature_worlds


@pytest.mark.parametrize(("frequency", "every"), [("daily", 111), ("weekly", 17), ("monthly", 3)])
def test_simulated_prices(worlds, frequency, every):
    prices = rs.load_prices(
        source="simulated",
        seed=5,
        n_tickers=12,
        start="2008-06-01",
        end="2014-05-15",
        listing_fraction=0.3,
        delisting_fraction=0.3,
        missing_rate=0.04,
    )
    context = worlds.context(prices, frequency, macro=worlds.macro_table())
    assert_equals_reference(context, worlds.all_specs(groups=False), every)
    assert_equals_reference(context, worlds.all_specs(groups=False, usual=False), every)


def of_prices(worlds) -> list[str]:
    return [s for s in worlds.all_specs(groups=False) if FEATURES[s.partition("(")[0]].kind != "macro"]


def test_real_etfs(shared_data, worlds):
    path = shared_data / "us-etfs-daily" / "ohlcv.parquet"
    names = ["SPY", "TLT", "GLD", "XLF", "SHY", "EEM"]
    prices = rs.load_prices(
        source="files", path=path, on_bad="repair", tickers=names, start="2007-01-01", end="2010-12-31"
    )
    assert_equals_reference(worlds.context(prices), of_prices(worlds), 23)


def test_features_of_real_delisted_stocks(shared_data, worlds):
    path = shared_data / "us-stocks-with-delisted" / "daily.parquet"
    names = pd.read_parquet(path, columns=["ticker"])["ticker"].unique()
    prices = rs.load_prices(
        source="files", path=path, on_bad="repair", return_column="ret", tickers=sorted(names)[::60]
    )
    context = worlds.context(prices)
    assert (~context.panel.traded[-1]).any()
    specs = [s.replace("252", "120").replace("(52, 4)", "(26, 2)") for s in of_prices(worlds)]
    assert_equals_reference(context, specs, 13)


def test_one_day_of_missing_bars_keeps_yearly_windows_known(shared_data, worlds):
    """On 2011-02-17 a well-known file has hardly any bars; windows have to live with that."""
    path = shared_data / "us-stocks-daily" / "close_all.parquet"
    some = pd.read_parquet(path, filters=[("date", "==", pd.Timestamp("2011-02-16").date())])["ticker"].iloc[::150]
    prices = rs.load_prices(source="files", path=path, tickers=sorted(some), start="2009-12-01", end="2011-12-31")
    lost = prices.frame.loc["2011-02-17"] if "2011-02-17" in prices.frame.index.levels[0] else []
    assert len(lost) < len(some) / 2
    context = worlds.context(prices)
    found = compute_features(["return", "volatility(21)", "momentum(52, 4)"], context)
    k = int(np.searchsorted(context.panel.dates[context.decisions], np.datetime64("2011-02-18")))
    seasoned = np.isfinite(found.values[:, k - 1]).all(axis=1)
    assert seasoned.sum() > 15
    assert np.isfinite(found.values[seasoned, k : k + 5]).all(axis=2).mean() > 0.95


def test_the_mean_of_market_and_sector(worlds):
    prices = rs.load_prices(
        source="simulated", seed=2, n_tickers=30, start="2012-01-01", end="2012-12-31", missing_rate=0.05
    )
    made = worlds.context(prices)
    found = compute_features(["volatility(10)", "volatility(10) minus market", "volatility(10) minus sector"], made)
    plain, market, sector = (pd.DataFrame(found.values[:, :, i]) for i in range(3))
    members = plain.where(made.member)
    pd.testing.assert_frame_equal(market, plain - members.mean(), rtol=1e-12, atol=1e-15)
    for k in plain:
        code = pd.Series(made.sectors[:, k])
        means = members[k].groupby(code).mean()
        expected = (plain[k] - code.map(means)).where(code >= 0)
        pd.testing.assert_series_equal(sector[k], expected, rtol=1e-12, atol=1e-15, check_names=False)
    assert sector.isna().sum().sum() > plain.isna().sum().sum()  # some sectors are unknown
    assert (~made.member & np.isfinite(market.to_numpy())).any()  # no member, measured against them all the same


def test_date_features_follow_the_scheduled_sessions():
    """On Monday 10 September 2001 it was not known that the exchange would be closed from the next day on."""
    prices = rs.load_prices(source="simulated", n_tickers=2, start="2001-08-01", end="2001-10-31", missing_rate=0.0)
    panel = prices.panel()
    made = FeatureContext(panel, np.arange(len(panel.dates)), np.ones((2, len(panel.dates)), dtype=bool))
    left = compute_features(["days_to_month_end"], made).values[0, :, 0]
    on = {str(day): value for day, value in zip(panel.dates, left, strict=True)}
    assert on["2001-09-10"] == 14
    assert on["2001-09-17"] == 9
    assert on["2001-09-28"] == 0


def test_macro_values_are_known_when_released_and_not_before(worlds):
    prices = rs.load_prices(source="simulated", n_tickers=2, start="2012-01-01", end="2012-06-30")
    made = worlds.context(prices, "daily", macro=worlds.macro_table())
    days = made.panel.dates[made.decisions]
    value = compute_features(["macro(TEST)"], made).values[0, :, 0]
    table = made.macro.observations.set_index("period")
    january = table.loc["2012-01-01"]
    assert str(january["available_at"].date()) == "2012-02-15"
    assert value[days == np.datetime64("2012-02-14")] == table.loc["2011-12-01", "value"]
    assert value[days == np.datetime64("2012-02-15")] == january["value"]


def test_real_macro_series(worlds, shared_data):
    from signals.reference.macro_series import read_macro

    path = shared_data / "us-macro-monthly" / "sentiment_ip_1978_2019.csv"
    prices = rs.load_prices(source="simulated", n_tickers=2, start="2014-01-01", end="2015-12-31")
    made = worlds.context(prices, "monthly", macro=read_macro(path, publication_lag="30D"))
    growth, level = compute_features(["macro_growth(INDPRO, 12)", "macro(UMCSENT)"], made).values[0].T
    table = pd.read_csv(path, parse_dates=["date"], index_col="date")
    for k, day in enumerate(pd.DatetimeIndex(made.panel.dates[made.decisions].astype("datetime64[ns]"))):
        # a month is over at the first of the next one, and published 30 days later
        month = max(m for m in table.index if m + pd.DateOffset(months=1) + pd.Timedelta("30D") <= day)
        assert level[k] == table.loc[month, "UMCSENT"]
        before = table.loc[month - pd.DateOffset(years=1), "INDPRO"]
        np.testing.assert_allclose(growth[k], table.loc[month, "INDPRO"] / before - 1, rtol=1e-9)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("dollar_volume", "expected prices with volume for the feature 'dollar_volume'; found none"),
        ("log_amihud minus market", "prices with volume"),
        ("relative_true_range", "prices with high and low"),
        ("stochastic_k", "prices with high and low"),
        ("overnight_return", "prices with opening prices"),
        ("return minus sector", "expected sectors for the feature 'return minus sector'"),
        ("macro(UMCSENT)", "expected macro series for the feature"),
    ],
)
def test_prices_that_lack_what_a_feature_needs(worlds, make_bars, spec, message):
    closes = rs.check_prices(make_bars(days=40)[["close"]], close_only=True, volume_known=False, raw_known=False)
    made = worlds.context(closes)
    made = FeatureContext(made.panel, made.decisions, made.member)
    with pytest.raises(InputError, match=message):
        compute_features([spec], made)
    assert np.isfinite(compute_features(["volatility(8) minus market"], made).values).any()


def test_an_unknown_series_is_named(worlds, make_bars):
    made = worlds.context(rs.check_prices(make_bars(days=40), raw_known=True), macro=worlds.macro_table())
    with pytest.raises(InputError, match=r"macro series; found 'TSET' \(close: TEST\)"):
        compute_features(["macro_change(TSET)"], made)


def test_values_are_finite_or_nan_on_extreme_prices(worlds, make_bars):
    frame = make_bars(days=120)
    flat, wild = ("AAA", "BBB")
    for column in ("open", "high", "low", "close"):
        frame.loc[(slice(None), flat), column] = 5.0
        frame.loc[(slice(None), wild), column] = np.tile([1e-17, 1e17], 60)
    frame.loc[(slice(None), flat), "volume"] = 0.0
    made = worlds.context(rs.check_prices(frame, raw_known=True), macro=worlds.macro_table())
    specs = worlds.all_specs(usual=False)
    found = compute_features(specs, made)
    assert not np.isinf(found.values).any()
    at = {spec: found.values[0, -1, i] for i, spec in enumerate(specs)}
    assert (at["volatility(8)"], at["return(3)"], at["drawdown(8)"], at["relative_true_range(8)"]) == (0, 0, 0, 0)
    for spec in ("skewness(8)", "cutler_rsi(8)", "stochastic_k(8)", "dollar_volume(8)", "log_amihud(8)"):
        assert np.isnan(at[spec]), spec


numbers = st.floats(-1e6, 1e6, allow_nan=False, width=64)


@given(st.data())
def test_window_sums_and_extremes_equal_numpy(data):
    rows, columns = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 4))
    width = data.draw(st.integers(1, 45))
    values = data.draw(npst.arrays(np.float64, (rows, columns), elements=numbers))
    ends = np.array(sorted(data.draw(st.sets(st.integers(0, rows - 1), max_size=8))), dtype=np.int64)
    found = {
        name: f(values, ends, width) for name, f in (("sum", window_sum), ("max", window_max), ("min", window_min))
    }
    for i, end in enumerate(ends):
        window = values[max(end - width + 1, 0) : end + 1]
        for name, plain in (("sum", np.sum), ("max", np.max), ("min", np.min)):
            expected = plain(window, axis=0) if len(window) == width else np.full(columns, np.nan)
            np.testing.assert_allclose(found[name][i], expected, rtol=1e-12, atol=1e-15 * np.abs(window).sum())
    # the same bits alone, without what lies before and after, and with anything in its place
    for i, end in enumerate(ends):
        if end >= width - 1:
            alone = np.ascontiguousarray(values[end - width + 1 : end + 1, :1])
            assert window_sum(alone, np.array([width - 1]), width)[0, 0] == found["sum"][i, 0]
            other = np.full_like(values, 1e300)
            other[end - width + 1 : end + 1] = values[end - width + 1 : end + 1]
            with np.errstate(over="ignore"):
                assert window_sum(other, np.array([end]), width)[0].tobytes() == found["sum"][i].tobytes()


def test_decision_dates_of_the_context_are_those_of_the_calendar(worlds, make_bars):
    """The worlds of these tests are laid out as the pipeline does it."""
    made = worlds.context(rs.check_prices(make_bars(days=60), raw_known=True))
    days = decision_dates(made.panel.dates[0], made.panel.dates[-1], "weekly")
    assert (made.panel.dates[made.decisions] == days).all()
