"""Significance formulas: published figures, hand-worked examples, and simulations with known truth."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from monte_carlo import ERRORS, mean_and_error
from scipy import stats

from reports.significance.seed_dispersion import measure_seeds
from reports.significance.sharpe_ratio import (
    Moments,
    deflated_sharpe_ratio,
    effective_trials,
    expected_maximum,
    mean_correlation,
    min_track_record_length,
    moments,
    probabilistic_sharpe_ratio,
    robust_sharpe_error,
    sharpe_error,
    sharpe_influence,
)
from signals.evaluation.long_run_variance import newey_west_variance

# Bailey and López de Prado (2014): five years of 250 days, annual Sharpe ratio 2.5, annual variance of the trials' 1/2.
PUBLISHED = Moments(1250, 2.5 / math.sqrt(250), -3.0, 10.0)


def autoregressive(phi: float, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Unit-variance noise along the first axis; phi 0 is white."""
    noise = np.random.default_rng(seed).standard_normal((shape[0] + 100, *shape[1:])) * math.sqrt(1 - phi**2)
    for t in range(1, len(noise)):
        noise[t] += phi * noise[t - 1]
    return noise[100:]


def test_the_published_deflated_sharpe_ratio():
    deflated, threshold = deflated_sharpe_ratio(PUBLISHED, trials=100, trial_variance=0.5 / 250)
    assert round(threshold, 4) == 0.1132
    assert round(deflated, 4) == 0.9004
    # and the two other figures of its discussion: fewer trials, or normal returns
    fewer, _ = deflated_sharpe_ratio(PUBLISHED, trials=46, trial_variance=0.5 / 250)
    normal, _ = deflated_sharpe_ratio(PUBLISHED._replace(skew=0.0, kurtosis=3.0), trials=88, trial_variance=0.5 / 250)
    assert round(fewer, 4) == round(normal, 4) == 0.9505


def test_the_published_probabilistic_sharpe_ratio():
    monthly = Moments(24, 0.458, -2.448, 10.164)
    assert round(probabilistic_sharpe_ratio(monthly), 3) == 0.913
    assert round(probabilistic_sharpe_ratio(monthly._replace(skew=0.0, kurtosis=3.0)), 3) == 0.982


@pytest.mark.parametrize(("periods", "years"), [(252, 2.73), (52, 2.83), (12, 3.24)])
def test_the_published_minimum_track_record(periods, years):
    found = Moments(0, 2 / math.sqrt(periods))
    assert round(min_track_record_length(found, 1 / math.sqrt(periods)) / periods, 2) == years


@given(st.floats(0.01, 0.4), st.floats(-1.5, 1.5), st.floats(4.0, 15.0), st.floats(0.0, 0.9), st.floats(0.8, 0.99))
def test_the_track_record_is_where_the_probability_reaches_the_confidence(sharpe, skew, kurtosis, part, confidence):
    found = Moments(100, sharpe, skew, kurtosis)
    needed = min_track_record_length(found, part * sharpe, confidence=confidence)
    reached = probabilistic_sharpe_ratio(found._replace(sessions=needed), part * sharpe)
    assert reached == pytest.approx(confidence, abs=1e-9)


def test_no_record_is_long_enough_for_a_loss():
    assert min_track_record_length(Moments(500, -0.01)) == math.inf
    assert min_track_record_length(Moments(500, 0.02), 0.02) == math.inf


def test_moments_are_scipys():
    returns = np.random.default_rng(1).standard_t(5, 400) * 0.01 + 0.001
    found = moments(returns)
    assert found.sharpe == pytest.approx(returns.mean() / returns.std(ddof=1), rel=1e-12)
    assert found.skew == pytest.approx(stats.skew(returns), rel=1e-10)
    assert found.kurtosis == pytest.approx(stats.kurtosis(returns, fisher=False), rel=1e-10)
    for still in ([0.0] * 50, [0.01], []):
        assert math.isnan(moments(still).sharpe)
        assert math.isnan(probabilistic_sharpe_ratio(moments(still)))
        assert math.isnan(min_track_record_length(moments(still)))


@pytest.mark.parametrize("trials", [10, 100, 1000])
def test_the_expected_maximum_is_what_simulated_trials_show(trials):
    best = np.random.default_rng(trials).standard_normal((4000, trials)).max(axis=1)
    assert expected_maximum(trials) == pytest.approx(best.mean(), abs=0.05)


def test_the_expected_maximum_never_falls_as_trials_are_added():
    values = [expected_maximum(n) for n in np.linspace(1.0, 50.0, 400)]
    assert values[0] == 0.0
    assert all(np.diff(values) >= 0)


def test_plain_and_robust_errors_agree_on_what_they_share():
    """The influence function's own variance is Mertens' formula, skew and fat tails included."""
    returns = np.random.default_rng(3).gamma(0.5, 1.0, 3000) - 0.4
    plain = math.sqrt(float((sharpe_influence(returns) ** 2).mean()) / (len(returns) - 1))
    # the two differ by the deviation's degree of freedom only
    assert plain == pytest.approx(sharpe_error(moments(returns)), rel=1e-3)


def test_newey_west_by_hand():
    values = autoregressive(0.4, (100,), seed=2)  # 100 values: floor(4 (100/100)^(2/9)) = 4 lags
    c = values - values.mean()
    expected = c @ c / 100 + sum(2 * (1 - k / 5) * (c[k:] @ c[:-k]) / 100 for k in range(1, 5))
    assert newey_west_variance(values) == pytest.approx(expected, rel=1e-12)
    assert expected > 1.2 * values.var()


@pytest.mark.parametrize("phi", [0.0, 0.3])
def test_the_robust_error_is_the_spread_of_simulated_sharpe_ratios(phi):
    returns = autoregressive(phi, (1000, 1600), seed=5) + 0.05
    ratios = returns.mean(axis=0) / returns.std(axis=0, ddof=1)
    robust = np.mean([robust_sharpe_error(returns[:, k]) for k in range(0, 1600, 16)])
    plain = np.mean([sharpe_error(moments(returns[:, k])) for k in range(0, 1600, 16)])
    # the spread of 1,600 ratios has a standard error of 1.8 %
    assert robust == pytest.approx(ratios.std(ddof=1), rel=0.06)
    if phi:
        assert plain < 0.8 * ratios.std(ddof=1)  # what the formula assumes away
    assert plain == pytest.approx(1 / math.sqrt(1000), rel=0.02)


def test_mean_correlation_is_that_of_all_pairs():
    values = np.random.default_rng(2).standard_normal((200, 5)) @ np.random.default_rng(3).standard_normal((5, 6))
    matrix = np.corrcoef(values.T)
    assert mean_correlation(values) == pytest.approx(matrix[np.triu_indices(6, 1)].mean(), rel=1e-10)
    assert math.isnan(mean_correlation(values[:, :1]))
    assert effective_trials(0.25, 9) == 7.0


def best_of_family(skill: float, *, shared: float, families: int, seed: int) -> list[tuple[float, float, float]]:
    """Probabilistic, effective and plain deflated Sharpe ratio of the best of 20 trials, in many families."""
    rng, out = np.random.default_rng(seed), []
    for _ in range(families):
        common = rng.standard_normal((500, 1))
        trials = math.sqrt(shared) * common + math.sqrt(1 - shared) * rng.standard_normal((500, 20))
        trials[:, 7] += skill
        ratios = trials.mean(axis=0) / trials.std(axis=0, ddof=1)
        found = moments(trials[:, ratios.argmax()])
        spread = float(ratios.var(ddof=1))
        fewer = effective_trials(mean_correlation(trials), 20)
        out.append(
            (
                probabilistic_sharpe_ratio(found),
                deflated_sharpe_ratio(found, trials=fewer, trial_variance=spread)[0],
                deflated_sharpe_ratio(found, trials=20, trial_variance=spread)[0],
            )
        )
    return out


@pytest.mark.parametrize("shared", [0.0, 0.5])
def test_the_best_of_many_without_skill_is_seen_through(shared):
    plain, effective, deflated = np.array(best_of_family(0.0, shared=shared, families=300, seed=8)).T
    assert (plain > 0.95).mean() > 0.2  # judged alone, the best of a family looks like skill
    assert (deflated > 0.95).mean() <= 0.05
    assert ((plain >= effective) & (effective >= deflated)).all()


def test_skill_survives_deflation():
    _, _, deflated = np.array(best_of_family(0.3, shared=0.3, families=50, seed=9)).T
    assert (deflated > 0.95).mean() > 0.9


# -- seeds ----------------------------------------------------------------------------------------------------------

DAYS = pd.bdate_range("2020-01-01", periods=1500, tz="UTC", name="date")


def fan_of(shared: float, spread: float, count: int, seed: int):
    """Seeds with a common part, own noise and own skill (deviation `spread` of the Sharpe ratio per session)."""
    rng = np.random.default_rng(seed)
    own = rng.standard_normal((len(DAYS), count))
    values = math.sqrt(shared) * rng.standard_normal((len(DAYS), 1)) + math.sqrt(1 - shared) * own
    values = 0.01 * (values + 0.05 + spread * rng.standard_normal(count))
    seeds = pd.DataFrame(values, index=DAYS, columns=[str(k) for k in range(count)])
    return measure_seeds(seeds, seeds.mean(axis=1))


@pytest.mark.parametrize(("shared", "spread"), [(0.9, 0.0), (0.5, 0.0), (0.1, 0.0), (0.8, 0.03)])
def test_the_share_of_the_seed_is_the_planted_one(shared, spread):
    found = [fan_of(shared, spread, 8, seed) for seed in range(160)]
    own = (1 - shared) / len(DAYS) + spread**2  # variance that goes with the seed, of a Sharpe ratio per session
    expected = own / (own + shared / len(DAYS))
    mean, error = mean_and_error(fan.share for fan in found)
    # a ratio of estimated variances: with eight seeds its mean lies up to .032 below the ratio of the true ones
    assert mean == pytest.approx(expected - 0.016, abs=0.016 + ERRORS * error)
    assert error < 0.011


def test_one_more_seed_lands_in_the_interval():
    inside = []
    for seed in range(300):
        fan = fan_of(0.8, 0.02, 6, seed)
        rest = measure_seeds(fan.returns.iloc[:, :5], fan.returns.mean(axis=1))
        inside.append(rest.low <= fan.sharpe.iloc[5] <= rest.high)
    assert np.mean(inside) == pytest.approx(0.95, abs=ERRORS * math.sqrt(0.95 * 0.05 / len(inside)))
    half = stats.t.ppf(0.975, 4) * rest.sharpe.std() * math.sqrt(1 + 1 / 5)
    assert (rest.low, rest.high) == pytest.approx((rest.sharpe.mean() - half, rest.sharpe.mean() + half))


def test_seeds_that_agree_and_seeds_that_are_too_few():
    returns = pd.Series(np.random.default_rng(1).normal(0.001, 0.01, len(DAYS)), index=DAYS)
    same = measure_seeds(pd.DataFrame({"0": returns, "1": returns, "2": returns}), returns)
    assert same.share == 0.0
    assert same.low == pytest.approx(same.ensemble) == same.high
    assert measure_seeds(pd.DataFrame({"0": returns}), returns) is None
    assert measure_seeds(pd.DataFrame({"0": returns, "1": 0.0 * returns}), returns) is None  # one never traded
    two = measure_seeds(pd.DataFrame({"0": returns, "1": returns.iloc[::-1].to_numpy()}, index=DAYS), returns)
    assert math.isnan(two.low)
    assert two.ensemble == pytest.approx(returns.mean() / returns.std())
