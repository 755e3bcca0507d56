"""Causality of features: no dependence on rows after the close of t, or older than the declared warm-up.

The tests iterate over the registry, so that a feature added to it is covered.
"""

from __future__ import annotations

import numpy as np
import pytest

import rnn_strategies as rs
from signals.data.panel import PRICE_COLUMNS, PricePanel
from signals.features import FEATURES, FeatureContext, compute_features, period_returns
from signals.features.expressions import parse_features


@pytest.fixture
def worlds(support):
    import feature_worlds

    return feature_worlds


@pytest.fixture(scope="module")
def prices():
    return rs.load_prices(
        source="simulated",
        seed=8,
        n_tickers=24,
        start="2009-01-01",
        end="2014-06-30",
        listing_fraction=0.3,
        delisting_fraction=0.3,
        missing_rate=0.03,
    )


DAYS = ["2013-10-16", "2013-12-31", "2014-01-03", "2014-03-28"]


def compute(worlds, prices, frequency, specs, **changes):
    made = worlds.context(prices, frequency, **changes)
    return made, compute_features(specs, made)


def assert_same_until(day, whole, other):
    """Compare bits up to and including `day`."""
    (a, features), (b, features_b) = whole, other
    dates = a.panel.dates[a.decisions] <= np.datetime64(day)
    dates_b = b.panel.dates[b.decisions] <= np.datetime64(day)
    both = [t for t in a.panel.tickers if t in b.panel.tickers]
    rows, rows_b = ([x.panel.tickers.index(t) for t in both] for x in (a, b))
    assert len(both) > 10
    for i, name in enumerate(features.names):
        mine, others = features.values[rows][:, dates, i], features_b.values[rows_b][:, dates_b, i]
        assert mine.shape == others.shape
        assert mine.tobytes() == others.tobytes(), f"{name} depends on data after {day}"
    # tickers that are not on the other side have nothing to compare: they were listed later
    known_later = [i for i, t in enumerate(a.panel.tickers) if t not in both]
    own = [i for i, name in enumerate(features.names) if not parse_features([name])[0].feature.shared]
    assert np.isnan(features.values[known_later][:, dates][:, :, own]).all()


@pytest.mark.parametrize("frequency", ["daily", "weekly", "monthly"])
def test_nothing_after_a_date_changes_a_bit_up_to_it(worlds, prices, frequency):
    specs = list(dict.fromkeys([*worlds.all_specs(), *worlds.all_specs(usual=False, groups=False)]))
    whole = compute(worlds, prices, frequency, specs, macro=worlds.macro_table())
    known = np.isfinite(whole[1].values).any(axis=(0, 1))
    assert known.all(), f"never known, so nothing was tested: {[s for s, k in zip(specs, known, strict=True) if not k]}"
    for day in DAYS[::2] if frequency == "daily" else DAYS:
        cut = compute(worlds, prices.until(day), frequency, specs, macro=worlds.macro_table(poisoned_after=day))
        assert_same_until(day, whole, cut)
        other = worlds.poisoned(prices, day, seed=len(day))
        assert_same_until(
            day, whole, compute(worlds, other, frequency, specs, macro=worlds.macro_table(poisoned_after=day), code=4)
        )


def test_later_rows_change_no_feature_of_real_delisted_stocks(worlds, shared_data):
    import pandas as pd

    path = shared_data / "us-stocks-with-delisted" / "daily.parquet"
    names = pd.read_parquet(path, columns=["ticker"])["ticker"].unique()
    prices = rs.load_prices(
        source="files", path=path, on_bad="repair", return_column="ret", tickers=sorted(names)[::40]
    )
    specs = list(dict.fromkeys([*worlds.all_specs(), *worlds.all_specs(usual=False, groups=False)]))
    whole = compute(worlds, prices, "weekly", specs, macro=worlds.macro_table())
    for day in ("2016-05-18", "2016-12-30"):
        for other in (prices.until(day), worlds.poisoned(prices, day)):
            assert_same_until(day, whole, compute(worlds, other, "weekly", specs, macro=worlds.macro_table()))


def test_the_comparison_can_fail(worlds, prices):
    """Poison from a week earlier than compared: every feature of prices must be noticed."""
    other = worlds.poisoned(prices, "2014-03-14", seed=2)
    for feature in FEATURES.values():
        if feature.shared:
            continue
        spec = [s for s in worlds.all_specs(usual=False, groups=False) if s.startswith(f"{feature.name}(")]
        if feature.name == "momentum":  # which looks away from the last two weeks
            spec = ["momentum(6, 0)"]
        whole = compute(worlds, prices, "weekly", spec)
        with pytest.raises(AssertionError, match="depends on data after"):
            assert_same_until("2014-03-28", whole, compute(worlds, other, "weekly", spec))


def later(context, first):
    """The same world without its sessions before `first`."""
    panel = context.panel
    kept = context.decisions >= first
    cut = PricePanel(
        dates=panel.dates[first:],
        tickers=panel.tickers,
        **{name: getattr(panel, name)[first:] for name in PRICE_COLUMNS},
        calendar=panel.calendar,
    )
    return FeatureContext(
        cut, context.decisions[kept] - first, context.member[:, kept], context.sectors[:, kept], context.macro
    )


@pytest.mark.parametrize("frequency", ["daily", "weekly", "monthly"])
def test_a_feature_looks_no_further_back_than_its_warm_up(worlds, prices, frequency):
    made = worlds.context(prices, frequency, macro=worlds.macro_table())
    for spec in [*worlds.all_specs(), *worlds.all_specs(usual=False)]:
        whole = compute_features([spec], made)
        (warm_up,) = whole.warm_up
        for k in (len(made.decisions) - 1, len(made.decisions) * 15 // 16):
            first = int(made.decisions[k]) - warm_up
            assert first >= 0
            cut = compute_features([spec], later(made, first))
            n = len(made.decisions) - k
            assert np.isfinite(whole.values[:, -n:]).any(), f"{spec} is unknown where it is compared"
            np.testing.assert_allclose(
                cut.values[:, -n:], whole.values[:, -n:], rtol=1e-9, err_msg=f"{spec} needs more than {warm_up}"
            )


@pytest.mark.parametrize("frequency", ["daily", "weekly", "monthly"])
def test_with_less_history_a_value_is_unknown(worlds, prices, frequency):
    made = worlds.context(prices, frequency)
    for spec in worlds.all_specs(usual=False):
        (parsed,) = parse_features([spec])
        if parsed.feature.shared:
            continue
        least = max(parsed.arguments)
        k = len(made.decisions) - 3
        if parsed.feature.kind == "session":
            too_late, in_time = int(made.decisions[k]) - least + 1, int(made.decisions[k]) - least
        else:  # the price `least` periods ago is gone when the session of that decision date is
            too_late, in_time = int(made.decisions[k - least]) + 1, int(made.decisions[k - least - 1]) + 1
        assert np.isnan(compute_features([spec], later(made, too_late)).values[:, -3]).all(), spec
        if "market" not in parsed.feature.needs:
            assert np.isfinite(compute_features([spec], later(made, in_time)).values[:, -3]).any(), spec


def test_a_halt_is_not_padded(worlds, prices):
    """No bar in a period: no value, whatever the feature, even where its window still has bars enough."""
    frame = prices.frame.reset_index()
    halted = frame["ticker"].eq("SIM005") & frame["date"].between("2013-03-04", "2013-03-08")
    assert halted.sum() > 3
    kept = rs.check_prices(frame[~halted].set_index(["date", "ticker"]), raw_known=True)
    specs = [s for s in worlds.all_specs(groups=False) if not parse_features([s])[0].feature.shared]
    made, features = compute(worlds, kept, "weekly", specs)
    days = made.panel.dates[made.decisions]
    row = made.panel.tickers.index("SIM005")
    k = int(np.searchsorted(days, np.datetime64("2013-03-08")))
    assert np.isnan(features.values[row, k]).all()
    assert np.isfinite(features.values[row, k - 1]).all()
    # windows of a year are hardly touched by a week's halt, short ones wait until they are full again
    after = dict(zip(specs, features.values[row, k + 1], strict=True))
    assert np.isnan([after["return(1)"], after["relative_volume(5, 63)"], after["relative_true_range(14)"]]).sum() >= 2
    assert np.isfinite([after["beta(252)"], after["drawdown(252)"]]).all()


def test_reused_symbol_has_no_return_over_its_absence(worlds, prices):
    frame = prices.frame.reset_index()
    absent = frame["ticker"].eq("SIM005") & frame["date"].between("2012-05-01", "2013-04-30")
    kept = rs.check_prices(frame[~absent].set_index(["date", "ticker"]), raw_known=True)
    made, features = compute(worlds, kept, "weekly", ["momentum(52, 4)", "return(60)", "return"])
    days = made.panel.dates[made.decisions]
    row = made.panel.tickers.index("SIM005")
    back = int(np.searchsorted(days, np.datetime64("2013-05-03")))
    values = features.values[row]
    assert np.isnan(values[back : back + 30, :2]).all()
    assert np.isfinite(values[back + 1, 2])
    assert np.isfinite(values[back + 57, 0])


@pytest.mark.parametrize("frequency", ["daily", "weekly", "monthly"])
def test_return_feature_equals_period_returns(worlds, prices, frequency):
    made, features = compute(worlds, prices, frequency, ["volatility(8)", "return"])
    known = period_returns(made.panel, made.decisions)
    assert np.ascontiguousarray(features.values[:, :, 1]).tobytes() == known.tobytes()


def test_blocks_of_tickers_do_not_change_a_bit(worlds, prices, monkeypatch):
    made, whole = compute(worlds, prices, "weekly", worlds.all_specs(groups=False), macro=worlds.macro_table())
    for block in (1, 2, 7):
        monkeypatch.setattr("signals.features.compute.BLOCK", block)
        assert compute_features(list(whole.names), made).values.tobytes() == whole.values.tobytes()


@pytest.mark.parametrize("factor", [0.5, 1 / 7.03, 31.7])
def test_a_later_split_changes_no_feature(worlds, prices, factor):
    """A split after the data multiplies all adjusted prices and factors; the raw ones, and the features, stay."""
    frame = prices.frame.copy()
    names = frame.index.get_level_values("ticker")
    scale = np.where(names.isin(["SIM003", "SIM010"]), factor, 1.0)
    for column in ("open", "high", "low", "close", "adj_factor"):
        frame[column] = frame[column] * scale
    specs = worlds.all_specs()
    macro = worlds.macro_table()
    _, before = compute(worlds, prices, "weekly", specs, macro=macro)
    _, after = compute(worlds, rs.check_prices(frame, raw_known=True), "weekly", specs, macro=macro)
    for i, spec in enumerate(specs):
        spread = np.nanstd(before.values[:, :, i])
        np.testing.assert_allclose(
            after.values[:, :, i], before.values[:, :, i], rtol=1e-9, atol=1e-9 * spread, err_msg=spec
        )


def test_memory_of_features_is_bounded_by_that_of_prices(worlds):
    import tracemalloc

    rng = np.random.default_rng(0)
    days = (
        rs.load_prices(source="simulated", n_tickers=1, start="2007-01-01", end="2014-12-31", missing_rate=0.0)
        .panel()
        .dates
    )
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.01, (len(days), 900)), axis=0))
    volume, factor = np.full(close.shape, 1e5), np.ones(close.shape)
    panel = PricePanel(days, tuple(f"T{i:03d}" for i in range(900)), close, close, close, close, volume, factor)
    decisions = np.arange(4, len(days), 5)
    made = FeatureContext(panel, decisions, np.ones((900, len(decisions)), dtype=bool))
    for spec in ("skewness(252)", "beta(252)", "relative_volume(5, 252)"):
        tracemalloc.start()
        found = compute_features([spec], made)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak - found.values.nbytes < 4 * close.nbytes, spec
