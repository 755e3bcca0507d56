"""Intervals of means over dates: the cosine estimator by hand, its edge cases and its coverage; Bartlett weights."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.signal import lfilter
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.sandwich_covariance import S_hac_simple

from reports.significance.sharpe_ratio import robust_sharpe_error, sharpe_influence
from signals.evaluation.forecast_accuracy import diebold_mariano, information_coefficient
from signals.evaluation.long_run_variance import (
    TOO_FEW_DATES,
    cosine_count,
    cosine_variance,
    mean_interval,
    newey_west_lags,
    newey_west_variance,
    truncated_variance,
)


def moving_sums(rng, n_series, n, horizon, phi):
    """Series in columns: sums of `horizon` consecutive terms of an AR(1) process with coefficient `phi`, mean 0."""
    burn = 50
    terms = lfilter([1.0], [1.0, -phi], rng.standard_normal((n + horizon - 1 + burn, n_series)), axis=0)[burn:]
    total = np.concatenate([np.zeros((1, n_series)), terms.cumsum(axis=0)])
    return total[horizon:] - total[:-horizon]


# -- the equal-weighted cosine estimator


def test_interval_by_hand():
    values = np.random.default_rng(0).normal(0.01, 0.1, 60)
    n, horizon = 60, 4
    b = min(math.floor(0.4 * n ** (2 / 3)), math.floor(n / (2 * horizon)))
    assert b == 6
    t = np.arange(1, n + 1)
    projections = [math.sqrt(2 / n) * sum(values * np.cos(math.pi * j * (t - 0.5) / n)) for j in range(1, b + 1)]
    error = math.sqrt(np.mean(np.square(projections)) / n)
    found = mean_interval(pd.Series(values), horizon=horizon)
    assert found.df == b
    assert found.standard_error == pytest.approx(error, rel=1e-12)
    half = stats.t.ppf(0.975, b) * error
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), rel=1e-12)
    assert found.t(0.02) == pytest.approx((values.mean() - 0.02) / error, rel=1e-12)


@given(n=st.integers(1, 3000), horizon=st.integers(1, 260))
def test_number_of_cosines_is_the_rule_in_whole_numbers(n, horizon):
    found = cosine_count(n, horizon)
    if n / (2 * horizon) < 2:
        assert found == 0
        return
    # b <= 0.4 n^(2/3) in whole numbers: 125 b^3 <= 8 n^2
    first = max(b for b in range(n) if 125 * b**3 <= 8 * n * n)
    assert found == max(min(first, n // (2 * horizon)), 2)
    assert found < n


def test_a_whole_number_is_not_rounded_down():
    assert [cosine_count(125 * k**3, 1) for k in (1, 2, 3, 4, 5)] == [10, 40, 90, 160, 250]


def test_dates_without_value_are_left_out():
    values = pd.Series([0.1, np.nan, 0.3, -0.2, 0.25, np.nan, 0.4])
    assert mean_interval(values, horizon=1) == mean_interval(values.dropna(), horizon=1)
    assert mean_interval(values, horizon=1).is_known
    # five values are fewer than four a date of a horizon of two, though seven dates are not fewer than eight by much
    assert not mean_interval(values, horizon=2).is_known
    assert mean_interval(values, horizon=2).mean == pytest.approx(0.17)


@pytest.mark.parametrize(("n", "horizon"), [(0, 1), (1, 1), (3, 1), (4, 2), (103, 26), (47, 12)])
def test_too_few_dates_have_a_mean_and_no_interval(n, horizon):
    values = np.random.default_rng(1).normal(size=n)
    found = mean_interval(pd.Series(values), horizon=horizon)
    assert not found.is_known
    assert np.isnan([found.low, found.high, found.standard_error, found.t()]).all()
    assert math.isnan(found.mean) if n == 0 else found.mean == pytest.approx(values.mean())
    assert mean_interval(pd.Series(np.random.default_rng(1).normal(size=4 * horizon)), horizon=horizon).df == 2


def test_a_constant_has_an_interval_of_no_length_and_no_t():
    found = mean_interval(pd.Series([0.1] * 7), horizon=1)
    assert found.low == found.mean == found.high
    assert found.is_known
    assert math.isnan(found.t(0.05))


def test_values_without_weight_on_any_cosine_have_no_interval():
    """A symmetric series has no odd cosine, and this one no second: a variance of 0 would be false certainty."""
    values = pd.Series([1.0, 0.0, 1.0, 1.0, 0.0, 1.0])
    assert cosine_count(6, 1) == 2
    found = mean_interval(values, horizon=1)
    assert not found.is_known
    assert math.isnan(found.low)
    assert found.mean == pytest.approx(2 / 3)


@given(st.integers(0, 1000), st.floats(-100, 100), st.floats(0.01, 100))
def test_interval_moves_with_its_values(seed, shift, scale):
    values = pd.Series(np.random.default_rng(seed).normal(size=80))
    one, two = mean_interval(values, horizon=3), mean_interval(shift + scale * values, horizon=3)
    assert np.allclose(two[:3], shift + scale * np.array(one[:3]), rtol=1e-9, atol=1e-9)
    turned = mean_interval(-values[::-1], horizon=3)  # the same backwards in time
    assert np.allclose((-turned.high, -turned.low), (one.low, one.high), rtol=1e-9)


def test_interval_is_wider_when_neighbouring_dates_are_alike():
    alike = moving_sums(np.random.default_rng(0), 200, 400, 6, 0.0)
    independent = np.random.default_rng(1).permuted(alike, axis=0)
    b = cosine_count(400, 6)
    # a sum of 6 has 6 times the long-run variance of its shuffled values
    assert np.median(cosine_variance(alike, b) / cosine_variance(independent, b)) > 4


def test_interval_as_text():
    assert TOO_FEW_DATES == "too few independent dates"


# -- coverage


CASES = list(itertools.product((0.0, 0.3), (104, 156, 356, 520), (1, 4, 12, 26)))


def coverage(phi, n, horizon, draws, seed):
    """Share of simulated series whose 95 % interval holds their true mean of 0, and its Monte Carlo standard error."""
    rng = np.random.default_rng(seed)
    b = cosine_count(n, horizon)
    held = 0
    for _ in range(draws // 1000):
        values = moving_sums(rng, 1000, n, horizon, phi)
        half = stats.t.ppf(0.975, b) * np.sqrt(cosine_variance(values, b) / n)
        mean = values.mean(axis=0)
        held += int((np.abs(mean) <= half).sum())
        one = mean_interval(pd.Series(values[:, 0]), horizon=horizon)  # the function that every table calls
        assert one[:3] == pytest.approx((mean[0], mean[0] - half[0], mean[0] + half[0]), rel=1e-9)
    share = held / draws
    return share, math.sqrt(share * (1 - share) / draws)


@pytest.mark.slow
@pytest.mark.parametrize(("phi", "n", "horizon"), CASES)
def test_intervals_have_nominal_coverage(phi, n, horizon):
    """The band of 92 to 97 % holds by three Monte Carlo standard errors on either side."""
    share, error = coverage(phi, n, horizon, draws=20_000, seed=CASES.index((phi, n, horizon)))
    print(f"AR {phi}, T = {n}, h = {horizon}, B = {cosine_count(n, horizon)}: {share:.4f} ± {error:.4f}")
    assert share - 3 * error >= 0.92
    assert share + 3 * error <= 0.97


@pytest.mark.parametrize(("phi", "n", "horizon"), [(0.0, 104, 26), (0.3, 356, 12), (0.3, 520, 1)])
def test_intervals_cover_in_a_few_draws(phi, n, horizon):
    share, error = coverage(phi, n, horizon, draws=2_000, seed=0)
    assert share + 3 * error >= 0.92
    assert share - 3 * error <= 0.97


def test_the_same_simulation_finds_the_bartlett_kernel_too_narrow():
    """The interval that this one replaced: usual lags and a normal distribution."""
    values = moving_sums(np.random.default_rng(2), 1000, 356, 12, 0.0)
    half = [1.96 * math.sqrt(newey_west_variance(column) / 356) for column in values.T]
    assert (np.abs(values.mean(axis=0)) <= half).mean() < 0.85


def test_correlations_of_overlapping_changes_have_nominal_size():
    """Of two unrelated series of sums over 12 periods one in twenty correlations is called significant, or few more."""
    rng = np.random.default_rng(3)
    draws, n, steps = 1000, 240, 12
    x, y = (moving_sums(rng, draws, n, steps, 0.0) for _ in range(2))
    found = [information_coefficient(x[:, k], y[:, k], steps=steps) for k in range(draws)]
    assert {one.df for one in found} == {10}
    share = np.mean([abs(one.t) > stats.t.ppf(0.975, one.df) for one in found])
    assert share < 0.10


# -- Bartlett weights


@pytest.mark.parametrize("lags", [0, 1, 4, 25, None])
@pytest.mark.parametrize("correction", [False, True])
def test_bartlett_variance_equals_statsmodels(lags, correction):
    values = 0.02 + moving_sums(np.random.default_rng(5), 1, 157, 4, 0.2)[:, 0]
    n = len(values)
    used = newey_west_lags(n) if lags is None else lags
    fit = OLS(values, np.ones(n)).fit(cov_type="HAC", cov_kwds={"maxlags": used, "use_correction": correction})
    corrected = newey_west_variance(values, lags) * (n / (n - 1) if correction else 1.0)
    assert math.sqrt(corrected / n) == pytest.approx(fit.bse[0], rel=1e-12)
    centred = values - values.mean()
    assert newey_west_variance(values, lags) == pytest.approx(S_hac_simple(centred, used).item() / n, rel=1e-12)


def test_default_lags_equal_statsmodels():
    for n in (20, 99, 100, 101, 250, 1781, 2520):
        values = np.random.default_rng(n).normal(size=n)
        assert newey_west_variance(values) == pytest.approx(S_hac_simple(values - values.mean()).item() / n, rel=1e-12)


def test_the_sharpe_ratios_robust_error_equals_statsmodels():
    returns = 0.0005 + 0.01 * moving_sums(np.random.default_rng(6), 1, 800, 2, 0.1)[:, 0]
    fit = OLS(sharpe_influence(returns), np.ones(800)).fit(cov_type="HAC", cov_kwds={"maxlags": newey_west_lags(800)})
    assert robust_sharpe_error(returns) == pytest.approx(fit.bse[0], rel=1e-9)


def losses(difference):
    """Actual values and two forecasts whose squared losses differ by so much."""
    return np.zeros(len(difference)), np.sqrt(1 + difference), np.ones(len(difference))


def test_diebold_mariano_equals_statsmodels():
    """At one step its small-sample correction is statsmodels'; at more it multiplies the uncorrected t statistic."""
    rng = np.random.default_rng(7)
    d = 0.3 * np.tanh(rng.normal(size=80)) + 0.05
    fit = OLS(d, np.ones(80)).fit(cov_type="HAC", cov_kwds={"maxlags": 0, "use_correction": True}, use_t=True)
    found = diebold_mariano(*losses(d))
    assert (found.statistic, found.p_value) == pytest.approx((fit.tvalues[0], fit.pvalues[0]), rel=1e-9)
    # alternating losses have a negative truncated variance, and Bartlett weights take its place
    swinging = np.tile([0.6, -0.4], 10) + 0.01 * rng.normal(size=20)
    assert truncated_variance(swinging, 1) < 0
    fit = OLS(swinging, np.ones(20)).fit(cov_type="HAC", cov_kwds={"maxlags": 1, "use_correction": False})
    corrected = fit.tvalues[0] * math.sqrt((20 + 1 - 4 + 2 / 20) / 20)
    assert diebold_mariano(*losses(swinging), steps=2).statistic == pytest.approx(corrected, rel=1e-9)


def test_truncated_variance_equals_statsmodels_uniform_kernel():
    from statsmodels.stats.sandwich_covariance import weights_uniform

    values = moving_sums(np.random.default_rng(8), 1, 90, 3, 0.0)[:, 0]
    expected = S_hac_simple(values - values.mean(), 2, weights_func=weights_uniform).item() / 90
    assert truncated_variance(values, 2) == pytest.approx(expected, rel=1e-12)
