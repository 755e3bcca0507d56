"""Detection of handlers for order and trade notifications, so that unused copies of orders are not made."""

from __future__ import annotations

from typing import Any

import backtrader as bt

__all__ = ["discard_order_copies", "handles_notification"]


def handles_notification(strategy: Any, notification: str) -> bool:
    """Whether the strategy, its observers or its analyzers handle `notify_order` or `notify_trade`.

    Analyzers with `outcomes_only = True` need final order states only and do not count for `notify_order`.
    """
    overridden = getattr(type(strategy), notification) is not getattr(bt.Strategy, notification)
    if overridden or notification in strategy.__dict__ or strategy.getobservers():
        return True
    analyzers = [*strategy.analyzers, *strategy._slave_analyzers]
    while analyzers:
        analyzer = analyzers.pop()
        handled = getattr(type(analyzer), notification) is not getattr(bt.Analyzer, notification)
        handled = handled or notification in analyzer.__dict__
        if handled and not (notification == "notify_order" and getattr(analyzer, "outcomes_only", False)):
            return True
        analyzers += analyzer._children
    return False


class _DiscardingList(list[Any]):
    """List that stays empty when it is extended."""

    def extend(self, _: Any) -> None:
        """Discard the items."""


def discard_order_copies(strategy: Any) -> None:
    """Stop a strategy from storing a copy of every state of every order.

    backtrader appends them to a list that is never read; with 36,000 orders the garbage collector spent a third of the
    run on it. No public result depends on the list, so this applies in every mode.
    """
    strategy._orders = _DiscardingList()
