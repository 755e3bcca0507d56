from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from monte_carlo import ERRORS, mean_and_error

from signals.calendar import decision_dates, sessions
from signals.common.errors import InputError
from signals.evaluation.cross_section_metrics import auc_by_date, rank_ic_by_date
from signals.evaluation.long_run_variance import mean_interval
from signals.sources.simulated import SimulatedSource


def forward_returns(prices):
    """Open-to-open return from the session after each weekly decision date to the session after the next."""
    panel = prices.panel()
    decisions = np.searchsorted(panel.dates, decision_dates(panel.dates[0], panel.dates[-1]))
    decisions = decisions[decisions + 1 < len(panel.dates)]
    opened = pd.DataFrame(panel.open, index=panel.dates, columns=panel.tickers).bfill(limit=2).to_numpy()
    value = opened[decisions[1:] + 1] / opened[decisions[:-1] + 1] - 1
    index = pd.DatetimeIndex(panel.dates[decisions[:-1]].astype("datetime64[ns]"), name="date")
    return pd.DataFrame(value, index=index, columns=pd.Index(panel.tickers, name="ticker")).stack().dropna()


def weekly_closes(prices):
    panel = prices.panel()
    dates = decision_dates(panel.dates[0], panel.dates[-1])
    closes = pd.DataFrame(panel.close, index=panel.dates, columns=panel.tickers).ffill(limit=4)
    found = closes.loc[dates]
    found.index = pd.DatetimeIndex(found.index.to_numpy().astype("datetime64[ns]"), name="date")
    found.columns.name = "ticker"
    return found


def above_median(returns):
    return (returns > returns.groupby("date").transform("median")).astype(float)


@pytest.fixture(scope="module")
def source():
    return SimulatedSource(seed=5)


@pytest.fixture(scope="module")
def prices(source):
    return source.load()


def test_simulated_prices_are_marked(prices):
    assert prices.simulated
    assert prices.source == "simulated"
    assert prices.warnings == ("simulated prices (seed 5, pattern 1)",)
    assert prices.raw_known
    assert prices.volume_known
    assert not prices.close_only
    assert prices.files == {}


def test_equal_settings_give_equal_prices(source, prices):
    pd.testing.assert_frame_equal(source.load().frame, prices.frame, check_exact=True)
    assert not SimulatedSource(seed=6).load().frame["close"].iloc[:50].equals(prices.frame["close"].iloc[:50])


@pytest.mark.parametrize("end", ["2007-02-14", "2012-06-29", "2013-12-31"])
def test_shorter_simulation_is_the_beginning_of_a_longer_one(source, prices, end):
    """Row for row and bit for bit: listings, delistings, splits and the pattern all unfold forward in time."""
    short = SimulatedSource(seed=5, end=end)
    pd.testing.assert_frame_equal(short.load().frame, prices.until(end).frame, check_exact=True)
    truth = source.truth()
    pd.testing.assert_frame_equal(
        short.truth(), truth[truth.index.get_level_values(0) <= pd.Timestamp(end)], check_exact=True
    )


def test_sessions_listings_delistings_and_gaps(prices):
    panel = prices.panel()
    assert panel.dates.tolist() == sessions("2007-01-01", "2017-12-31").tolist()
    traded = panel.traded
    first, last = traded.argmax(axis=0), len(traded) - 1 - traded[::-1].argmax(axis=0)
    listed, dead = (first > 20).sum(), (last < len(traded) - 20).sum()
    assert 0.08 <= listed / 120 <= 0.16
    assert 0.05 <= dead / 120 <= 0.12
    alive = np.array([traded[a : b + 1, i].mean() for i, (a, b) in enumerate(zip(first, last, strict=True))])
    assert 0.996 < alive.mean() < 0.9995
    calm = SimulatedSource(
        seed=5, listing_fraction=0.0, delisting_fraction=0.0, missing_rate=0.0, n_tickers=20, end="2008-12-31"
    ).load()
    assert calm.panel().traded.all()


def test_splits_move_raw_prices_and_nothing_else(prices):
    frame = prices.frame
    factor = frame["adj_factor"].unstack()
    assert (factor.ffill().iloc[0].dropna() == 1.0).all()
    ratio = (factor / factor.shift()).stack()
    events = ratio[(ratio != 1.0) & ratio.notna()]
    assert 10 <= len(events) <= 200
    assert set(events.round(6)) <= {2.0, 3.0, 0.1}
    adjusted = frame["close"].groupby("ticker").pct_change()
    assert adjusted.loc[events.index].abs().max() < 0.4
    raw = (frame["close"] / frame["adj_factor"]).groupby("ticker").pct_change()
    halved = events.index[events == 2.0]
    assert raw.loc[halved].between(-0.7, -0.3).all()


def test_simulated_prices_are_plausible(prices):
    frame = prices.frame
    close = frame["close"].unstack()
    daily = np.log(close).diff()
    volatility = daily.std() * np.sqrt(252)
    assert volatility.min() > 0.2
    assert volatility.max() < 0.8
    assert 0.1 < daily.mean(axis=1).std() * np.sqrt(252) < 0.35
    # volatility clusters, and is no longer there in plain returns
    squared = daily.abs()
    assert squared.corrwith(squared.shift(1)).mean() > 0.05
    assert abs(daily.corrwith(daily.shift(1)).mean()) < 0.03
    # overnight gaps exist and are smaller than the day
    gap = np.log(frame["open"].unstack()).sub(np.log(close.shift(1)))
    assert 0.3 < gap.std().median() / daily.std().median() < 0.6
    dollars = (frame["close"] / frame["adj_factor"] * frame["volume"]).groupby("ticker").median()
    assert dollars.min() > 1e5
    assert dollars.max() < 1e10


def test_sectors_move_together():
    prices = SimulatedSource(
        seed=1, n_tickers=40, n_sectors=2, end="2012-12-31", signal_strength=0.0, listing_fraction=0.0
    ).load()
    returns = np.log(prices.frame["close"].unstack()).diff()
    residual = returns.sub(returns.mean(axis=1), axis=0)
    correlation = residual.corr().to_numpy().copy()
    group = np.linalg.eigh(correlation)[1][:, -1] > 0
    assert group.sum() == 20
    together = group[:, None] == group[None, :]
    np.fill_diagonal(correlation, np.nan)
    within, across = np.nanmean(correlation[together]), np.nanmean(correlation[~together])
    assert within > 0.01
    assert across < -0.03
    assert within - across > 0.06


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_planted_pattern_has_the_stated_strength(seed):
    source = SimulatedSource(seed=seed)
    returns = forward_returns(source.load())
    truth = source.truth()["expected_return"]
    score = truth[truth.index.isin(returns.index)]
    returns = returns.reindex(score.index)
    started = score.groupby("date").transform("std") > 0
    ic = rank_ic_by_date(score[started], returns[started])
    assert 0.10 < ic.mean() < 0.17
    auc = auc_by_date(score[started], above_median(returns[started]))
    assert 0.55 < auc.mean() < 0.60
    # it decays: half of it is gone after eight years
    years = ic.index.year
    assert ic[years <= 2009].mean() > 1.3 * ic[years >= 2014].mean()
    # reversal is the largest part, but not all of it
    last_week = -weekly_closes(source.load()).pct_change(fill_method=None).stack().reindex(score.index)
    simple = rank_ic_by_date(last_week[started], returns[started])
    assert 0.03 < simple.mean() < 0.9 * ic.mean()


def test_the_pattern_scales_and_fades():
    half = SimulatedSource(seed=2, signal_strength=0.5, end="2009-12-31").truth()["expected_return"]
    whole = SimulatedSource(seed=2, signal_strength=1.0, end="2009-12-31").truth()["expected_return"]
    assert half.std() == pytest.approx(whole.std() / 2, rel=0.05)
    quick = SimulatedSource(seed=2, half_life=0.5).truth()["expected_return"].groupby("date").std()
    assert quick.iloc[-1] < 1e-4 * quick.max()


def test_no_predictor_has_skill_without_the_pattern():
    """A ridge on lagged returns and their products, fitted on the past, ranks no better than chance."""
    from sklearn.linear_model import Ridge

    found = {name: [] for name in ("ridge", "lag0", "volatility", "mean")}
    for seed in range(30):
        source = SimulatedSource(seed=seed, n_tickers=40, end="2010-12-31", signal_strength=0.0)
        prices = source.load()
        assert (source.truth()["expected_return"] == 0).all()
        weekly = weekly_closes(prices).pct_change(fill_method=None)
        lags = {f"lag{k}": weekly.shift(k).stack() for k in range(6)}
        lags["volatility"] = weekly.rolling(26).std().stack()
        lags["mean"] = weekly.rolling(52).mean().stack()
        X = pd.DataFrame(lags).dropna()
        X["product"] = X["lag0"] * X["lag1"]
        y = forward_returns(prices)
        both = X.index.intersection(y.index).sort_values()
        X, y = (X.loc[both] - X.loc[both].mean()) / X.loc[both].std(), y.loc[both]
        past = both.get_level_values(0) < pd.Timestamp("2009-07-01")
        target = y.groupby("date").rank(pct=True) - 0.5
        model = Ridge(alpha=1.0).fit(X[past], target[past])
        score = pd.Series(model.predict(X[~past]), index=both[~past])
        found["ridge"].append(rank_ic_by_date(score, y[~past]).mean())
        for name in ("lag0", "volatility", "mean"):
            found[name].append(rank_ic_by_date(X[name], y).mean())
    for name, markets in found.items():
        mean, error = mean_and_error(markets)
        assert mean == pytest.approx(0.0, abs=ERRORS * error), name
        assert error < 0.005, name


def test_a_linear_model_finds_the_pattern():
    """The same test can fail: with the pattern the ridge does find something."""
    from sklearn.linear_model import Ridge

    prices = SimulatedSource(seed=0).load()
    weekly = weekly_closes(prices).pct_change(fill_method=None)
    X = pd.DataFrame({f"lag{k}": weekly.shift(k).stack() for k in range(6)}).dropna()
    y = forward_returns(prices)
    both = X.index.intersection(y.index).sort_values()
    X, y = X.loc[both], y.loc[both]
    past = both.get_level_values(0) < pd.Timestamp("2012-01-01")
    model = Ridge(alpha=1e-3).fit(X[past], (y.groupby("date").rank(pct=True) - 0.5)[past])
    score = pd.Series(model.predict(X[~past]), index=both[~past])
    assert mean_interval(rank_ic_by_date(score, y[~past]), horizon=1).low > 0.04


def test_truth_is_known_at_the_close():
    """Truth at a date is the same when every later day is simulated otherwise, by ending there."""
    whole = SimulatedSource(seed=9, n_tickers=20, end="2009-12-31").truth()
    day = whole.index.levels[0][60]
    cut = SimulatedSource(seed=9, n_tickers=20, end=str(day.date())).truth()
    pd.testing.assert_series_equal(cut.loc[day]["expected_return"], whole.loc[day]["expected_return"], check_exact=True)


@pytest.mark.parametrize(
    "bad",
    [
        {"seed": -1},
        {"seed": 1.5},
        {"n_tickers": 0},
        {"n_sectors": 0},
        {"listing_fraction": 1.0},
        {"delisting_fraction": -0.1},
        {"missing_rate": 1.5},
        {"split_rate": -1},
        {"signal_strength": -1.0},
        {"signal_strength": float("nan")},
        {"half_life": 0},
    ],
)
def test_bad_settings(bad):
    with pytest.raises(InputError, match=rf"^expected {next(iter(bad))} .*; found"):
        SimulatedSource(**bad)


def test_bad_periods():
    with pytest.raises(InputError, match="end on or after start"):
        SimulatedSource(start="2010-01-01", end="2009-01-01").load()
    with pytest.raises(InputError, match="found none; choose later ends"):
        SimulatedSource(start="2010-01-01", end="2010-01-03").load()
    with pytest.raises(InputError, match="expected end to be a date"):
        SimulatedSource(end="soon").load()


def test_a_few_days_are_enough():
    prices = SimulatedSource(
        n_tickers=3, start="2010-01-04", end="2010-01-05", listing_fraction=0, missing_rate=0
    ).load()
    assert len(prices.frame) == 6
    assert len(SimulatedSource(n_tickers=3, start="2010-01-04", end="2010-01-05").truth()) == 0
