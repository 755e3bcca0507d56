"""Prices become features, windows, trained networks and an out-of-sample signal frame.

Light to import: every name is loaded from its module when it is first used (PEP 562).
"""

from __future__ import annotations

from signals.lazy import lazy_names

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "CustomModel": "signals.models.own",
        "EncoderDecoderSettings": "signals.models.encoder_decoder",
        "FEATURES": "signals.features",
        "FeatureContext": "signals.features",
        "FilesSource": "signals.sources.files",
        "ForecastSettings": "signals.series.settings",
        "InputError": "signals.errors",
        "LABELS": "signals.labels",
        "LabelSettings": "signals.labels",
        "PricePanel": "signals.prices",
        "Prices": "signals.prices",
        "ProgressEvent": "signals.events",
        "RecurrentSettings": "signals.models.recurrent",
        "ReferenceData": "signals.dataset",
        "SavedKerasModel": "signals.models.external",
        "SeriesTable": "signals.series.table",
        "SimulatedSource": "signals.sources.simulated",
        "TrainingSettings": "signals.trainers.seam",
        "UniverseFilters": "signals.universe",
        "WalkForward": "signals.folds",
        "YahooSource": "signals.sources.yahoo",
        "check_features": "signals.features",
        "check_prices": "signals.prices",
        "check_signals": "signals.frames",
        "compute_features": "signals.features",
        "compute_forecasts": "signals.series.forecasts",
        "compute_signals": "signals.walk_forward",
        "load_prices": "signals.sources",
        "read_macro": "signals.macro",
        "read_membership": "signals.membership",
        "read_scores": "signals.score_files",
        "read_sectors": "signals.sectors",
        "read_series": "signals.series.table",
        "read_symbol_changes": "signals.symbols",
        "simulated_series": "signals.series.simulated",
        "write_scores": "signals.score_files",
    },
)
