"""One or several series over time: forecast walk-forward by recurrent networks, beside what is simpler.

Light to import: every name is loaded from its module when it is first used (PEP 562).
"""

from __future__ import annotations

from signals.lazy import lazy_names

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Comparison": "signals.series.comparison",
        "ForecastResult": "signals.series.forecasts",
        "ForecastSettings": "signals.series.settings",
        "Problem": "signals.series.problem",
        "SeriesFold": "signals.series.problem",
        "SeriesTable": "signals.series.table",
        "comparison_table": "signals.series.comparison",
        "compute_baselines": "signals.series.beside",
        "compute_forecasts": "signals.series.forecasts",
        "diebold_mariano": "signals.series.accuracy",
        "forecast_baselines": "signals.series.baselines",
        "read_series": "signals.series.table",
        "simulated_series": "signals.series.simulated",
    },
)
