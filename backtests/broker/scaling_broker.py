"""Broker that scales the purchases of a session to the cash available, instead of rejecting some of them."""

from __future__ import annotations

from typing import Any

from backtests.broker.broker import Broker
from backtests.broker.settings import BrokerSettings

__all__ = ["ScalingBroker"]

# Relative rounding tolerance of the sum of purchases.
_ROUNDING = 1e-12


class ScalingBroker(Broker):
    """Broker for a model portfolio, in which purchases are never rejected for lack of cash.

    When the purchases of a session, at its opens and with their costs, cost more than the cash after its sales, all of
    them are scaled by one factor, so that `cash_buffer` of that cash is left. Otherwise the broker behaves like
    `Broker`. For long accounts with market orders and fractional shares.

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

    def _pre_trade_check(
        self, order: Any, cash: float, opened: float, exposure: float, commission: float
    ) -> str | None:

        return None

    def _affordable(self, order: Any, price: float, ago: int) -> float:
        """Shares of the order to fill, positive."""
        size = abs(float(order.executed.remsize))
        if order.size < 0:
            return size
        if self._scaled_on != self._now:
            self._scaled_on, self._scale = self._now, self._find_scale(order, price)
        return size * self._scale

    def _find_scale(self, first: Any, price: float) -> float:
        """Factor for the purchases of this session; sales were filled before the first of them."""
        needed = self._cost_of(first, price)
        for order in self.pending:
            if order is None:  # end of the orders of this session
                break
            if order.size > 0 and self._can_match(order):
                self._update_volatility_slippage(order)
                needed += self._cost_of(order, self._market_price(order))
        self._update_volatility_slippage(first)
        if needed <= self.cash * (1.0 + _ROUNDING):
            return 1.0
        return max(self.cash, 0.0) * (1.0 - self._terms.cash_buffer) / needed

    def _cost_of(self, order: Any, price: float) -> float:
        size = float(order.executed.remsize)
        return size * price + sum(self._commissions(self._by_data[order.data], price, 0.0, size))
