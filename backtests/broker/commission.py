"""The commission of the settings as a commission scheme of backtrader, for whoever asks the broker for one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import backtrader as bt

from backtests.broker.corporate_actions import whole_shares
from backtests.broker.costs import Costs
from backtests.broker.settings import BrokerSettings
from signals.common.errors import InputError

__all__ = ["CommissionModel", "StockCommission", "allow_fractions", "commission_scheme"]


class StockCommission(bt.CommissionInfo):
    """A fraction of the traded value, as in stock; a price that is no number is an error.

    Parameters (backtrader style)
    -----------------------------
    shares : {"stock", "whole", "fractional"}
        Which sizes `getsize` gives: backtrader's own; whole shares, where a remainder of the division below
        `backtests.common.share_tolerances.SHARE_TOLERANCE` is none; or fractions of a share too.
    """

    params: tuple[tuple[str, Any], ...] = (("shares", "stock"),)

    def getsize(self, price: float, cash: float) -> float:
        """Shares that so much cash buys: what `order_target_percent` and `order_target_value` order.

        Raises
        ------
        InputError
            Without a price.
        """
        if price != price:
            raise InputError(
                "expected a price to size an order by; found none, because a feed has no bar yet; trade only feeds "
                "with len(d) > 0, or ask broker.trades_today(d)"
            )
        if self.p.shares == "stock" or not price:
            return int(super().getsize(price, cash))
        return cash / price if self.p.shares == "fractional" else int(whole_shares(cash / price))


class CommissionModel(StockCommission):
    """Stock-like, the larger of a minimum and fraction × value + rate × shares.

    backtrader asks for the commission of what an order closes and of what it opens apart, though both are one fill: in
    `one_fill` the second answer is what the whole costs beyond the first.

    Parameters
    ----------
    costs : Costs
        What is charged.
    """

    params = (("costs", None),)

    def __init__(self) -> None:
        super().__init__()
        self._shares: float | None = None  # of the fill so far; None outside of one
        self._raw_per_share = 1.0

    @classmethod
    def from_settings(cls, settings: BrokerSettings, *, shares: str = "stock") -> CommissionModel:
        """Make the scheme; `commission` is the fraction, for whoever looks at it."""
        options = {"commtype": bt.CommInfoBase.COMM_PERC, "stocklike": True, "percabs": True}
        made: CommissionModel = cls(**options, commission=settings.commission, costs=Costs(settings), shares=shares)  # type: ignore[call-arg]
        return made

    @contextmanager
    def one_fill(self, raw_per_share: float) -> Iterator[None]:
        """Take what is asked for inside as parts of one fill of a feed whose share is so many raw ones."""
        self._shares, self._raw_per_share = 0.0, raw_per_share
        try:
            yield
        finally:
            self._shares, self._raw_per_share = None, 1.0

    def _getcommission(self, size: float, price: float, pseudoexec: bool) -> float:
        costs: Costs = self.p.costs
        if self._shares is None or not pseudoexec:
            return costs.commission(size, price, self._raw_per_share)
        before, self._shares = self._shares, self._shares + abs(size)
        return costs.commissions(before, abs(size), price, self._raw_per_share)[1]


def commission_scheme(settings: BrokerSettings, *, shares: str = "stock") -> StockCommission:
    """Return the scheme of the settings: a plain fraction when that is all they charge.

    `shares` is that of `StockCommission`.

    Borrowing is not in it: backtrader's interest is charged on the price a short was opened at, `Broker` charges it on
    what the shares are worth.
    """
    if not Costs(settings).simple_commission:
        return CommissionModel.from_settings(settings, shares=shares)
    options = {"commtype": bt.CommInfoBase.COMM_PERC, "stocklike": True, "percabs": True}
    return StockCommission(**options, commission=settings.commission, shares=shares)


def allow_fractions(scheme: Any) -> None:
    """Let a scheme that a script set itself size orders in fractions of a share, as `fractional = true` says.

    Schemes that size orders by a method of their own, and futures, are left as they are.
    """
    if scheme.stocklike and type(scheme).getsize is bt.CommInfoBase.getsize:
        scheme.getsize = lambda price, cash: scheme.p.leverage * cash / price
