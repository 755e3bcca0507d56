"""Skill within dates: perfect, absent and implausibly high."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pandas as pd
import pytest

from reports.metrics.signal_quality import SignalQuality, measure_signals, signal_metrics
from reports.tables.signal_tables import bucket_table, fold_skill_table, skill_table, year_skill_table
from signals.common.storage import canonical_json, read_parquet
from signals.evaluation.long_run_variance import TOO_FEW_DATES, mean_interval, newey_west_variance


def frames(score: np.ndarray, forward: np.ndarray) -> tuple[pd.DataFrame, pd.DataFrame]:
    dates, tickers = score.shape
    index = pd.MultiIndex.from_product(
        [pd.date_range("2020-01-03", periods=dates, freq="W-FRI"), [f"T{i:02d}" for i in range(tickers)]],
        names=["date", "ticker"],
    )
    label = (forward > np.median(forward, axis=1)[:, None]).astype(float)
    signals = pd.DataFrame({"score": score.ravel(), "fold": 0}, index=index)
    return signals, pd.DataFrame({"label": label.ravel(), "forward_return": forward.ravel()}, index=index)


measure_weekly = partial(measure_signals, horizon=1)


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(3).standard_normal((60, 20)) / 100


def test_perfect_foresight(noise):
    quality = measure_weekly(*frames(noise, noise))
    assert quality.overall["auc"].mean == 1.0
    assert quality.overall["rank_ic"].mean == pytest.approx(1.0)
    assert quality.deciles["forward_return"].is_monotonic_increasing
    assert quality.deciles["rows"].tolist() == [120] * 10
    assert quality.spread.low > 0


def test_too_good_is_said_aloud_but_not_of_simulations(noise):
    signals, labels = frames(noise, noise)
    assert measure_weekly(signals, labels).warning.startswith("Implausibly high skill: look for look-ahead bias")
    assert measure_weekly(signals, labels, simulated=True).warning is None


def test_noise_covers_chance(noise):
    other = np.random.default_rng(4).standard_normal(noise.shape)
    quality = measure_weekly(*frames(other, noise))
    auc = quality.overall["auc"]
    assert auc.low < 0.5 < auc.high
    assert quality.warning is None


def test_deciles_by_hand():
    score = np.array([[1.0, 2.0, 3.0, 4.0]] * 3)
    forward = np.array([[0.00, 0.02, 0.04, 0.10]] * 3)
    quality = measure_weekly(*frames(score, forward))
    # four names a date make two buckets
    assert quality.deciles["forward_return"].tolist() == [pytest.approx(0.01), pytest.approx(0.07)]
    assert quality.deciles["excess"].tolist() == [pytest.approx(-0.03), pytest.approx(0.03)]
    assert quality.spread.mean == pytest.approx(0.06)


def test_equal_scores_share_a_bucket(noise):
    quality = measure_weekly(*frames(np.ones_like(noise), noise))
    assert len(quality.deciles) == 1
    assert math.isnan(quality.spread.mean)
    assert quality.overall["auc"].mean == 0.5


def test_order_of_rows_does_not_matter(noise):
    signals, labels = frames(noise, noise[::-1])
    mixed = signals.sample(frac=1.0, random_state=1)
    left, right = measure_weekly(signals, labels), measure_weekly(mixed, labels)
    assert left.overall == right.overall
    pd.testing.assert_frame_equal(left.deciles, right.deciles)


def test_unknown_outcomes_are_left_out(noise):
    signals, labels = frames(noise, noise)
    known = labels.iloc[:-40]
    quality = measure_weekly(signals, known)
    assert len(quality.by_date) == len(noise) - 2
    nothing = measure_weekly(signals, labels.iloc[:0])
    assert math.isnan(nothing.overall["auc"].mean)
    canonical_json(signal_metrics(nothing))


def test_seed_spread_agrees_with_folds_parquet(run):
    signals = read_parquet(run.folder / "signals.parquet", index=["date", "ticker"])
    labels = read_parquet(run.folder / "labels.parquet", index=["date", "ticker"])
    folds = read_parquet(run.folder / "folds.parquet")
    quality = measure_weekly(
        signals, labels, seed_scores=read_parquet(run.folder / "seed_scores.parquet"), folds=folds, simulated=True
    )
    by_fold = folds.groupby("fold")
    for name in ("auc", "rank_ic"):
        table = quality.folds
        np.testing.assert_allclose(table[f"{name}_seeds_mean"], by_fold[name].mean(), rtol=1e-12)
        np.testing.assert_allclose(table[f"{name}_seeds_std"], by_fold[name].std(), rtol=1e-9)
        np.testing.assert_allclose(table[name], by_fold[f"{name}_ensemble"].first(), rtol=1e-12)
        np.testing.assert_allclose(table[f"{name}_volatility"], by_fold[f"{name}_volatility"].first())
    weights = quality.folds["dates"]
    expected = np.average(quality.folds["auc_volatility"], weights=weights)
    assert quality.naive_predictors.loc["volatility", "auc"] == pytest.approx(expected)
    metrics = signal_metrics(quality)
    assert metrics["seeds"] == 2
    assert metrics["auc_low"] < metrics["auc"] < metrics["auc_high"]


def by_weeks(noise: np.ndarray, weeks: int) -> SignalQuality:
    """60 weeks from January 2020 on, folds of so many weeks, two seeds, naive figures that encode the fold."""
    signals, labels = frames(noise[::-1], noise)
    week = np.arange(len(noise)) // weeks
    signals["fold"] = np.repeat(week, noise.shape[1])
    rows = signals.reset_index()
    seeds = pd.concat([rows.assign(seed=0), rows.assign(seed=1, score=-rows["score"])])
    figures = {f"{name}_volatility": np.unique(week) / 100 for name in ("auc", "rank_ic")}
    return measure_weekly(signals, labels, seed_scores=seeds, folds=pd.DataFrame({"fold": np.unique(week), **figures}))


def test_years_by_hand(noise):
    quality = by_weeks(noise, 13)
    years = quality.years
    assert years["dates"].to_dict() == {2020: 52, 2021: 8}
    for year, mine in quality.by_date.groupby(quality.by_date.index.year):
        assert years.loc[year, "auc"] == pytest.approx(mine["auc"].mean())
        assert years.loc[year, "rank_ic_low"] == mean_interval(mine["rank_ic"], horizon=1).low
        # the traded score is that of the first seed; the second has the opposite sign
        assert years.loc[year, "auc_seeds_mean"] == pytest.approx(0.5)
        assert years.loc[year, "auc_seeds_std"] == pytest.approx(abs(mine["auc"].mean() - 0.5) * math.sqrt(2))
    # four folds of 13 weeks are the year 2020, the fifth the beginning of 2021
    assert years["auc_volatility"].to_dict() == {2020: pytest.approx(0.015), 2021: pytest.approx(0.04)}
    table = year_skill_table(quality)
    assert [row[0] for row in table.rows] == ["AUC", "2020", "2021", "Rank IC", "2020", "2021"]
    assert table.rows[1][1] == "52"
    assert table.rows[1][-1] == "0.015"
    assert {row[0] for row in fold_skill_table(quality).rows} >= {"1 (2020)", "4 (2020)", "5 (2021)"}


def test_years_say_nothing_of_folds_that_cross_them(noise):
    quality = by_weeks(noise, 16)  # the fourth fold begins in 2020 and ends in 2021
    assert quality.years.filter(like="volatility").isna().all(axis=None) or "auc_volatility" not in quality.years
    assert "Volatility" not in year_skill_table(quality).columns
    assert {row[0] for row in fold_skill_table(quality).rows} >= {"1 (2020)", "4"}


def test_years_are_not_shown_twice(noise):
    quality = by_weeks(noise, 52)
    assert year_skill_table(quality) is None
    assert [row[0] for row in fold_skill_table(quality).rows[:3]] == ["AUC", "1 (2020)", "2 (2021)"]
    folds = quality.folds.set_index(quality.years.index)
    pd.testing.assert_frame_equal(quality.years[folds.columns], folds)


def test_metrics_without_signals_have_the_same_keys(noise):
    full = signal_metrics(measure_weekly(*frames(noise, noise), simulated=True))
    assert list(full) == list(signal_metrics(None))
    assert set(signal_metrics(None).values()) == {None}


def test_every_interval_has_the_horizon_of_the_label(noise):
    """60 dates with outcomes over 3 dates: all means, the differences of two buckets, folds and years."""
    signals, labels = frames(noise[::-1], noise)
    signals["fold"] = np.repeat(np.arange(60) // 20, noise.shape[1])
    one, three = (measure_signals(signals, labels, horizon=horizon) for horizon in (1, 3))
    for name in ("auc", "rank_ic"):
        assert three.overall[name] == mean_interval(three.by_date[name], horizon=3)
        assert (one.overall[name].df, three.overall[name].df) == (6, 6)
        for table, key in ((three.folds, three.by_date["fold"]), (three.years, three.by_date.index.year)):
            for group, mine in three.by_date.groupby(key):
                expected = mean_interval(mine[name], horizon=3)
                assert (table.loc[group, f"{name}_low"], table.loc[group, f"{name}_high"]) == pytest.approx(
                    (expected.low, expected.high), nan_ok=True
                )
    forward = labels["forward_return"].groupby("date")
    bucket = np.ceil(signals["score"].groupby("date").rank() / 2)
    top, bottom = (labels["forward_return"][bucket == k].groupby("date").mean() for k in (10, 1))
    assert three.spread[:3] == pytest.approx(mean_interval(top - bottom, horizon=3)[:3])
    excess = mean_interval(top - forward.mean(), horizon=3)
    assert tuple(three.deciles.loc[10, ["excess", "excess_low", "excess_high"]]) == pytest.approx(excess[:3])
    assert three.spread.df == 6
    wide = measure_signals(signals, labels, horizon=10)
    assert wide.overall["auc"].df == wide.spread.df == 3
    assert wide.overall["auc"].mean == one.overall["auc"].mean


def test_too_few_independent_dates_are_named_in_every_table(noise):
    """60 dates with outcomes over 16: T/(2h) is below two."""
    signals, labels = frames(noise, noise)
    quality = measure_signals(signals, labels, horizon=16)
    assert not quality.overall["auc"].is_known
    assert quality.warning is None  # an AUC of 1 on three and a half independent dates is not called a leak
    text = skill_table(quality)
    assert text.rows[0][1:] == ("1.000", TOO_FEW_DATES, "1.000", TOO_FEW_DATES)
    assert "Each outcome covers 16 decision dates, so that at least 64 dates are needed for an interval" in text.note
    assert {row[3] for row in fold_skill_table(quality).rows if len(row) > 1} == {TOO_FEW_DATES}
    assert {row[3] for row in bucket_table(quality).rows} == {TOO_FEW_DATES}
    assert f"before costs ({TOO_FEW_DATES})." in bucket_table(quality).note
    figures = signal_metrics(quality)
    assert (figures["auc"], figures["auc_low"], figures["top_minus_bottom_high"]) == (1.0, None, None)
    # folds may have too few where all dates together have enough
    signals["fold"] = np.repeat(np.arange(60) // 20, noise.shape[1])
    mixed = measure_signals(signals, labels, horizon=6)
    assert mixed.overall["auc"].is_known
    assert {row[3] for row in fold_skill_table(mixed).rows if len(row) > 1} == {TOO_FEW_DATES}


def test_the_report_names_the_method_in_one_sentence(noise):
    other = np.random.default_rng(4).standard_normal(noise.shape)
    note = skill_table(measure_signals(*frames(other, noise), horizon=4)).note
    assert (
        "which allows for dependence between neighbouring dates."
        in skill_table(measure_weekly(*frames(other, noise))).note
    )
    assert (
        "Each interval is the mean over dates plus and minus Student's t, here with 6 degrees of freedom, times the "
        "equal-weighted cosine estimator of the standard error (Lazarus, Lewis, Stock and Watson 2018), which allows "
        "for outcomes that overlap over 4 decision dates and for other dependence between neighbouring dates." in note
    )


def test_noise_whose_outcomes_overlap_is_called_skill_one_time_in_twenty_or_few_more():
    """Scores that persist and returns over 12 dates: the former interval called a quarter of them skill."""
    rng = np.random.default_rng(11)
    draws, dates, horizon, wrong, former = 300, 156, 12, 0, 0
    for _ in range(draws):
        steps = rng.standard_normal((dates + horizon - 1, 6))
        forward = np.stack([steps[k : k + horizon].sum(axis=0) for k in range(dates)])
        score = np.tile(rng.standard_normal(6), (dates, 1))  # the same ranks on every date
        rank_ic = np.array([np.corrcoef(np.argsort(np.argsort(a)), np.argsort(np.argsort(b)))[0, 1]
                            for a, b in zip(score, forward, strict=True)])  # fmt: skip
        mean = mean_interval(pd.Series(rank_ic), horizon=horizon)
        wrong += mean.low > 0 or mean.high < 0
        former += abs(mean.mean) > 1.96 * math.sqrt(newey_west_variance(rank_ic) / dates)
    assert wrong / draws < 0.10
    assert former / draws > 0.15
