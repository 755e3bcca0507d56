"""Who hears of what: copies of orders and trades that nobody hears of need not be made."""

from __future__ import annotations

from typing import Any

import backtrader as bt

__all__ = ["forget_copies", "hears"]


def hears(strategy: Any, notification: str) -> bool:
    """Whether the strategy, or what observes it, takes up `notify_order` or `notify_trade`.

    Analyzers that only want to know how orders ended say so with `outcomes_only`, and do not count for `notify_order`.
    """
    taken = getattr(type(strategy), notification) is not getattr(bt.Strategy, notification)
    if taken or notification in strategy.__dict__ or strategy.getobservers():
        return True
    analyzers = [*strategy.analyzers, *strategy._slave_analyzers]
    while analyzers:
        analyzer = analyzers.pop()
        takes = getattr(type(analyzer), notification) is not getattr(bt.Analyzer, notification)
        takes = takes or notification in analyzer.__dict__
        if takes and not (notification == "notify_order" and getattr(analyzer, "outcomes_only", False)):
            return True
        analyzers += analyzer._children
    return False


class _Forgetful(list[Any]):
    """Takes nothing."""

    def extend(self, _: Any) -> None:
        """Forget them."""


def forget_copies(strategy: Any) -> None:
    """Keep a strategy from keeping a copy of every state of every order.

    backtrader's strategies put them into a list that nothing ever reads; with 36,000 orders the garbage collector spent
    a third of the run on looking through it. Done in every mode, as it changes nothing that can be asked for.
    """
    strategy._orders = _Forgetful()
