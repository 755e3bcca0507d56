"""The built-in features, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from signals.features import dates, levels, macro, returns, risk, trading
from signals.features.feature import Feature

__all__ = ["FEATURES"]

_MODULES = (returns, risk, levels, trading, dates, macro)

FEATURES: Mapping[str, Feature] = MappingProxyType(
    {value.name: value for module in _MODULES for value in vars(module).values() if isinstance(value, Feature)}
)
"""Every built-in feature by name; tests iterate over this mapping."""
