"""Backtests of prices, signals and an allocation in backtrader.

Light to import: every name is loaded from its module when it is first used (PEP 562).
"""

from __future__ import annotations

from signals.common.lazy_names import lazy_names

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "AccountRecorder": "backtests.recorder",
        "Allocation": "backtests.allocations",
        "BacktestResult": "backtests.result",
        "Broker": "backtests.broker.broker",
        "BrokerSettings": "backtests.broker.settings",
        "EqualWeight": "backtests.allocations",
        "EqualWeightSizer": "backtests.sizers",
        "Fill": "backtests.broker.fill_sources",
        "FillJournal": "backtests.journal.fill_journal",
        "FillSource": "backtests.broker.fill_sources",
        "LongShortQuantile": "backtests.allocations",
        "ScoreWeighted": "backtests.allocations",
        "SignalIndicator": "backtests.indicators",
        "SignalStrategy": "backtests.strategy",
        "Threshold": "backtests.allocations",
        "TopK": "backtests.allocations",
        "add_prices": "backtests.feeds.panel_feeds",
        "equal_weight_returns": "backtests.engine",
        "make_allocation": "backtests.allocations",
        "run_backtest": "backtests.engine",
    },
)
