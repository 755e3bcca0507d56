"""Encoder-decoder on simulated seasonal series: it beats persistence and seasonal means for every seed."""

from __future__ import annotations

import pytest

from rnn_strategies.config.presets import write_preset
from rnn_strategies.pipelines.forecast_run import forecast

QUICK = (
    "forecast.horizon=3",
    "model.lookback=15",
    "model.units=[12]",
    "training.epochs=8",
    "training.learning_rate=0.005",
    "training.seeds=[0]",
)
SIMPLE = ("persistence", "seasonal(12)", "seasonal_mean(12)")


@pytest.mark.parametrize(
    ("more", "seeds", "share"), [(QUICK, 1, 0.6), pytest.param((), 5, 0.7, marks=pytest.mark.slow)]
)
def test_attention_beats_persistence_and_seasonal_means(tmp_path, more, seeds, share):
    write_preset(tmp_path / "seasonal.toml", preset="seasonal")
    baselines = f"forecast.baselines={[*SIMPLE]}"
    run = forecast(tmp_path / "seasonal.toml", out=tmp_path / "out", overrides=[baselines, *more], jobs=1)
    rows = {row["model"]: row for row in run.accuracy["models"]}
    assert rows["network"]["seeds"] == seeds
    assert rows["network"]["seeds_better"] == 1.0  # than persistence
    assert rows["network"]["dm_p"] < 1e-4
    easiest = min(rows[name]["rmse"] for name in SIMPLE)
    scored = run.forecasts.query("model == 'network'").merge(run.actuals.dropna(subset=["actual"]))
    squared = (scored["forecast"] - scored["actual"]) ** 2
    errors = squared.groupby([scored["seed"], scored["series"]]).mean().pow(0.5).groupby("seed").mean()
    assert len(errors) == seeds
    assert errors.max() < share * easiest
    assert "(SIMULATED)" in run.table
