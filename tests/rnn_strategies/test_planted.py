"""Planted pattern: it is found where it exists, and not found otherwise."""

from __future__ import annotations

import pytest
from monte_carlo import ERRORS, mean_and_error

import rnn_strategies as rs
from signals.evaluation.cross_section_metrics import auc_by_date
from signals.walk_forward.panel_walk_forward import compute_signals

SIMULATIONS = 100


def auc_over_simulations(pattern, artifacts):
    """Mean AUC of each of a hundred independent markets, each with a network seed of its own."""
    markets = []
    for seed in range(SIMULATIONS):
        prices = rs.load_prices(
            source="simulated", seed=seed, n_tickers=60, start="2010-01-01", end="2014-12-31", signal_strength=pattern
        )
        run = compute_signals(
            prices,
            walk_forward=rs.WalkForward(test_start="2013-01-01", validation="26W", test="1Y"),
            universe=rs.UniverseFilters(min_history=126),
            labels=rs.LabelSettings(),
            model=rs.RecurrentSettings(lookback=12, units=(12, 8), ticker_embedding_dim=2),
            training=rs.TrainingSettings(batch_size=256, learning_rate=0.01, epochs=6),
            seeds=[seed],
            artifacts=artifacts,
            jobs=1,  # starting processes takes longer than two small networks
        )
        by_date = auc_by_date(run.signals["score"], run.labels["label"]).dropna()
        assert len(by_date) >= 100
        markets.append(by_date.mean())
    mean, error = mean_and_error(markets)
    print(f"pattern {pattern:g}: AUC {mean:.4f} ± {error:.4f} over {len(markets)} markets")
    return mean, error


@pytest.mark.slow
def test_a_planted_pattern_is_found(tmp_path):
    mean, error = auc_over_simulations(1.0, tmp_path)
    assert mean - ERRORS * error > 0.5


@pytest.mark.slow
def test_without_a_pattern_nothing_is_found(tmp_path):
    mean, error = auc_over_simulations(0.0, tmp_path)
    assert mean == pytest.approx(0.5, abs=ERRORS * error)
    assert error < 0.0015  # a leak worth half a hundredth would be seen
