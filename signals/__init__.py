"""Prices become features, windows, trained networks and an out-of-sample signal frame.

Light to import: every name is loaded from its module when it is first used (PEP 562).
"""

from __future__ import annotations

from signals.lazy import lazy_names

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Event": "signals.events",
        "FilesSource": "signals.sources.files",
        "InputError": "signals.errors",
        "LabelSettings": "signals.labels",
        "ModelSettings": "signals.models.stacked_lstm",
        "PricePanel": "signals.prices",
        "Prices": "signals.prices",
        "SimulatedSource": "signals.sources.simulated",
        "TrainingSettings": "signals.trainers.seam",
        "UniverseFilters": "signals.universe",
        "WalkForward": "signals.folds",
        "check_prices": "signals.prices",
        "check_signals": "signals.frames",
        "compute_signals": "signals.walk_forward",
        "load_prices": "signals.sources",
    },
)
