"""Prices become features, windows, trained networks and an out-of-sample signal frame.

Light to import: every name is loaded from its module when it is first used (PEP 562).
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULES = {
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
}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
