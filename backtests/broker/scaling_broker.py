"""A broker that scales purchases down to the cash there is, instead of refusing the last ones."""

from __future__ import annotations

from typing import Any

from backtests.broker.broker import Broker
from backtests.broker.settings import BrokerSettings

__all__ = ["ScalingBroker"]

# Rounding of a sum of purchases, relative: what fits but for that is not scaled.
_ROUNDING = 1e-12


class ScalingBroker(Broker):
    """Broker of an idea rather than an account: orders are sized at a close and always bought at the next open.

    Where the purchases of a session, at its opens and with their costs, are worth more than the cash that its sales
    have left, all of them are scaled by one factor, so that they leave `cash_buffer` of that cash. Where they fit,
    nothing is done otherwise than by `Broker`. For long accounts with market orders and fractional shares.

    Parameters
    ----------
    settings : BrokerSettings
        Costs and rules, without a limit on volume.
    """

    def __init__(self, settings: BrokerSettings) -> None:
        super().__init__(settings)
        self.p.filler = self._affordable

    def init(self) -> None:
        """Reset the state; called by backtrader at the start of every run."""
        super().init()
        self._scaled_on, self._scale = float("-inf"), 1.0

    def _refusal(self, order: Any, cash: float, opened: float, exposure: float, commission: float) -> str | None:
        return None

    def _affordable(self, order: Any, price: float, ago: int) -> float:
        """Shares of an order to fill, above zero."""
        size = abs(float(order.executed.remsize))
        if order.size < 0:
            return size
        if self._scaled_on != self._now:
            self._scaled_on, self._scale = self._now, self._find_scale(order, price)
        return size * self._scale

    def _find_scale(self, first: Any, price: float) -> float:
        """Find the factor for the purchases of this session; sales were given, and filled, before the first of them."""
        needed = self._cost_of(first, price)
        for order in self.pending:
            if order is None:  # those behind it wait for another session
                break
            if order.size > 0 and self._can_match(order):
                self._note_slippage(order)
                needed += self._cost_of(order, self._market_price(order))
        self._note_slippage(first)
        if needed <= self.cash * (1.0 + _ROUNDING):
            return 1.0
        return max(self.cash, 0.0) * (1.0 - self._terms.cash_buffer) / needed

    def _cost_of(self, order: Any, price: float) -> float:
        size = float(order.executed.remsize)
        return size * price + sum(self._commissions(self._by_data[order.data], price, 0.0, size))
