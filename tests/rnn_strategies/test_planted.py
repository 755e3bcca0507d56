"""The planted truth: a pattern that is there is found, one that is not there is not."""

from __future__ import annotations

import pandas as pd
import pytest

import rnn_strategies as rs
from signals.diagnostics import auc_by_date
from signals.long_run_variance import mean_interval
from signals.walk_forward import compute_signals

SIMULATIONS = 10


def auc_over_simulations(pattern, artifacts):
    """Per-date AUC of ten independent markets, each with its own network seed, dates of one market kept together."""
    dates = []
    for seed in range(SIMULATIONS):
        prices = rs.load_prices(
            source="simulated", seed=seed, tickers=60, start="2010-01-01", end="2014-12-31", pattern=pattern
        )
        run = compute_signals(
            prices,
            walk_forward=rs.WalkForward(start="2013-01-01", validation="26W", test="1Y"),
            universe=rs.UniverseFilters(min_history=126),
            labels=rs.LabelSettings(),
            model=rs.ModelSettings(lookback=12, units=(12, 8), embedding=2),
            training=rs.TrainingSettings(batch_size=256, learning_rate=0.01, epochs=6),
            seeds=[seed],
            artifacts=artifacts,
            jobs=2,
        )
        dates.append(auc_by_date(run.signals["score"], run.labels["label"]).dropna())
    series = pd.concat(dates)
    assert len(series) >= SIMULATIONS * 100
    return mean_interval(series, horizon=1)


@pytest.mark.slow
def test_a_planted_pattern_is_found(tmp_path):
    found = auc_over_simulations(1.0, tmp_path)
    print(f"planted: AUC {found.mean:.4f} [{found.low:.4f}, {found.high:.4f}]")
    assert found.low > 0.5


@pytest.mark.slow
def test_without_a_pattern_nothing_is_found(tmp_path):
    found = auc_over_simulations(0.0, tmp_path)
    print(f"nothing planted: AUC {found.mean:.4f} [{found.low:.4f}, {found.high:.4f}]")
    assert found.low <= 0.5 <= found.high
    assert (found.high - found.low) / 2 < 0.01
