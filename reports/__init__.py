"""Results, signals and fold files become statistics, figures and one HTML tear sheet.

Light to import: every name is loaded from its module when it is first used (PEP 562).
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULES = {
    "compute_metrics": "reports.statistics",
    "tear_sheet": "reports.tear_sheet",
    "write_metrics": "reports.tear_sheet",
    "write_report": "reports.tear_sheet",
}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
