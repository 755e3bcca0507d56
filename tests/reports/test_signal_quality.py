"""Skill within dates: perfect, absent and too good to be true."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from reports.signal_quality import measure_signals, signal_metrics
from signals.storage import canonical_json, read_parquet


def frames(score: np.ndarray, forward: np.ndarray) -> tuple[pd.DataFrame, pd.DataFrame]:
    dates, tickers = score.shape
    index = pd.MultiIndex.from_product(
        [pd.date_range("2020-01-03", periods=dates, freq="W-FRI"), [f"T{i:02d}" for i in range(tickers)]],
        names=["date", "ticker"],
    )
    label = (forward > np.median(forward, axis=1)[:, None]).astype(float)
    signals = pd.DataFrame({"score": score.ravel(), "fold": 0}, index=index)
    return signals, pd.DataFrame({"label": label.ravel(), "forward_return": forward.ravel()}, index=index)


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(3).standard_normal((60, 20)) / 100


def test_perfect_foresight(noise):
    quality = measure_signals(*frames(noise, noise))
    assert quality.overall["auc"].mean == 1.0
    assert quality.overall["rank_ic"].mean == pytest.approx(1.0)
    assert quality.deciles["forward_return"].is_monotonic_increasing
    assert quality.deciles["rows"].tolist() == [120] * 10
    assert quality.spread.low > 0


def test_too_good_is_said_aloud_but_not_of_simulations(noise):
    signals, labels = frames(noise, noise)
    assert measure_signals(signals, labels).remark.startswith("Too good: look for a leak")
    assert measure_signals(signals, labels, simulated=True).remark is None


def test_noise_covers_chance(noise):
    other = np.random.default_rng(4).standard_normal(noise.shape)
    quality = measure_signals(*frames(other, noise))
    auc = quality.overall["auc"]
    assert auc.low < 0.5 < auc.high
    assert quality.remark is None


def test_deciles_by_hand():
    score = np.array([[1.0, 2.0, 3.0, 4.0]] * 3)
    forward = np.array([[0.00, 0.02, 0.04, 0.10]] * 3)
    quality = measure_signals(*frames(score, forward))
    # four names a date make two buckets
    assert quality.deciles["forward_return"].tolist() == [pytest.approx(0.01), pytest.approx(0.07)]
    assert quality.deciles["excess"].tolist() == [pytest.approx(-0.03), pytest.approx(0.03)]
    assert quality.spread.mean == pytest.approx(0.06)


def test_equal_scores_share_a_bucket(noise):
    quality = measure_signals(*frames(np.ones_like(noise), noise))
    assert len(quality.deciles) == 1
    assert math.isnan(quality.spread.mean)
    assert quality.overall["auc"].mean == 0.5


def test_order_of_rows_does_not_matter(noise):
    signals, labels = frames(noise, noise[::-1])
    mixed = signals.sample(frac=1.0, random_state=1)
    left, right = measure_signals(signals, labels), measure_signals(mixed, labels)
    assert left.overall == right.overall
    pd.testing.assert_frame_equal(left.deciles, right.deciles)


def test_unknown_outcomes_are_left_out(noise):
    signals, labels = frames(noise, noise)
    known = labels.iloc[:-40]
    quality = measure_signals(signals, known)
    assert len(quality.by_date) == len(noise) - 2
    nothing = measure_signals(signals, labels.iloc[:0])
    assert math.isnan(nothing.overall["auc"].mean)
    canonical_json(signal_metrics(nothing))


def test_seed_spread_agrees_with_folds_parquet(run):
    signals = read_parquet(run.folder / "signals.parquet", index=["date", "ticker"])
    labels = read_parquet(run.folder / "labels.parquet", index=["date", "ticker"])
    folds = read_parquet(run.folder / "folds.parquet")
    quality = measure_signals(
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
    assert quality.trivial.loc["volatility", "auc"] == pytest.approx(expected)
    metrics = signal_metrics(quality)
    assert metrics["seeds"] == 2
    assert metrics["auc_low"] < metrics["auc"] < metrics["auc_high"]


def test_metrics_without_signals_have_the_same_keys(noise):
    full = signal_metrics(measure_signals(*frames(noise, noise), simulated=True))
    assert list(full) == list(signal_metrics(None))
    assert set(signal_metrics(None).values()) == {None}
