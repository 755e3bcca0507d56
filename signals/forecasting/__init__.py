"""Forecasts of time series: walk-forward recurrent networks, baselines, and their comparison.

Every name is loaded from its module when it is first used (PEP 562), so that the import is fast.
"""

from __future__ import annotations

from signals.common.lazy_names import lazy_names

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Comparison": "signals.forecasting.comparison",
        "ForecastResult": "signals.forecasting.series_walk_forward",
        "ForecastSettings": "signals.forecasting.settings",
        "Problem": "signals.forecasting.problem",
        "SeriesFold": "signals.forecasting.problem",
        "SeriesTable": "signals.forecasting.series_table",
        "comparison_table": "signals.forecasting.comparison",
        "compute_baselines": "signals.forecasting.baseline_runs",
        "compute_forecasts": "signals.forecasting.series_walk_forward",
        "diebold_mariano": "signals.evaluation.forecast_accuracy",
        "forecast_baselines": "signals.forecasting.baselines",
        "read_series": "signals.forecasting.series_table",
        "simulated_series": "signals.forecasting.simulated_series",
    },
)
