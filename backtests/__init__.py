"""Prices, signals and an allocation become a backtest result, in backtrader.

Light to import: every name is loaded from its module when it is first used (PEP 562).
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULES = {
    "Allocation": "backtests.allocations",
    "BacktestResult": "backtests.result",
    "Broker": "backtests.broker",
    "BrokerSettings": "backtests.costs",
    "EqualWeight": "backtests.allocations",
    "Ledger": "backtests.ledger",
    "LongShortQuantile": "backtests.allocations",
    "ScoreWeighted": "backtests.allocations",
    "SignalStrategy": "backtests.strategy",
    "Threshold": "backtests.allocations",
    "TopK": "backtests.allocations",
    "add_prices": "backtests.feeds",
    "equal_weight_universe": "backtests.engine",
    "make_allocation": "backtests.allocations",
    "run_backtest": "backtests.engine",
}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
