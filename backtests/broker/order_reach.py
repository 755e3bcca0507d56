"""Moment within a bar at which the price of an order is reached: open, inside, close, or never."""

from __future__ import annotations

from typing import Any

from backtrader.order import Order

__all__ = ["AT_CLOSE", "AT_OPEN", "INSIDE", "STOPS", "reach"]

# Moments of a bar, in order of time.
AT_OPEN, INSIDE, AT_CLOSE = 0, 1, 2

STOPS = (Order.Stop, Order.StopTrail, Order.StopLimit, Order.StopTrailLimit)


def reach(order: Any, open_: float, high: float, low: float) -> int | None:
    """Return the moment of a bar at which the price of an order is reached.

    Parameters
    ----------
    order : bt.Order
        Order of any kind. A stop-limit order counts as reached when its stop is, regardless of its limit; one that was
        triggered on an earlier bar is treated as a limit order.
    open_, high, low : float
        Prices of the bar.

    Returns
    -------
    int or None
        `AT_OPEN`, `INSIDE` or `AT_CLOSE`; None when the bar does not reach the price.
    """
    kind, price = order.exectype, order.created.price
    if kind == Order.Market:
        return AT_OPEN
    if kind == Order.Close:
        return AT_CLOSE
    if kind == Order.Limit or (kind in (Order.StopLimit, Order.StopTrailLimit) and order.triggered):
        price = price if kind == Order.Limit else order.created.pricelimit
        better, best = (open_ <= price, low <= price) if order.size > 0 else (open_ >= price, high >= price)
    elif kind in STOPS:
        better, best = (open_ >= price, high >= price) if order.size > 0 else (open_ <= price, low <= price)
    else:
        return None
    return AT_OPEN if better else INSIDE if best else None
