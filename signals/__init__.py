"""Prices, features, data sets, networks, and walk-forward out-of-sample scores (the signal frame).

The package is light to import: every name is loaded from its module when it is first used (PEP 562).
"""

from __future__ import annotations

from signals.common.lazy_names import lazy_names

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "CustomModel": "signals.models.custom",
        "EncoderDecoderSettings": "signals.models.encoder_decoder_settings",
        "FEATURES": "signals.features",
        "FeatureContext": "signals.features",
        "FilesSource": "signals.sources.files",
        "ForecastSettings": "signals.forecasting.settings",
        "InputError": "signals.common.errors",
        "LABELS": "signals.dataset.labels",
        "LabelSettings": "signals.dataset.labels",
        "PricePanel": "signals.data.prices",
        "Prices": "signals.data.prices",
        "ProgressEvent": "signals.common.progress_events",
        "RecurrentSettings": "signals.models.recurrent_settings",
        "ReferenceData": "signals.dataset.dataset",
        "SavedKerasModel": "signals.models.saved_keras",
        "SeriesTable": "signals.forecasting.series_table",
        "SimulatedSource": "signals.sources.simulated",
        "TrainingSettings": "signals.trainers.base",
        "UniverseFilters": "signals.dataset.universe",
        "WalkForward": "signals.dataset.folds",
        "YahooSource": "signals.sources.yahoo.source",
        "check_features": "signals.features",
        "check_prices": "signals.data.prices",
        "check_signals": "signals.scores.signal_frame",
        "compute_features": "signals.features",
        "compute_forecasts": "signals.forecasting.series_walk_forward",
        "compute_signals": "signals.walk_forward.panel_walk_forward",
        "load_prices": "signals.sources.registry",
        "read_macro": "signals.reference.macro_series",
        "read_membership": "signals.reference.membership",
        "read_scores": "signals.scores.score_files",
        "read_sectors": "signals.reference.sectors",
        "read_series": "signals.forecasting.series_table",
        "read_symbol_changes": "signals.reference.security_ids",
        "simulated_series": "signals.forecasting.simulated_series",
        "write_scores": "signals.scores.score_files",
    },
)
