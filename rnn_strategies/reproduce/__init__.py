"""Reproduction of published systems on real data, compared with baselines."""

from __future__ import annotations

from signals.common.lazy_names import lazy_names

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "SYSTEMS": "rnn_strategies.reproduce.systems",
        "Report": "rnn_strategies.reproduce.report",
        "reproduce_systems": "rnn_strategies.reproduce.systems",
    },
)
