"""backtrader commission schemes for the commission of the broker settings."""

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
    """Commission as a fraction of the traded value, as in backtrader; a NaN price is an error.

    Parameters (backtrader style)
    -----------------------------
    shares : {"stock", "whole", "fractional"}
        Sizes of `getsize`: backtrader's own; whole shares, where a remainder of the division below
        `backtests.common.share_tolerances.SHARE_TOLERANCE` is ignored; or fractional shares.
    """

    params: tuple[tuple[str, Any], ...] = (("shares", "stock"),)

    def getsize(self, price: float, cash: float) -> float:
        """Return the shares that `cash` buys, used by `order_target_percent` and `order_target_value`.

        Raises
        ------
        InputError
            When the price is NaN.
        """
        if price != price:
            raise InputError(
                "expected a price to compute an order size; found NaN, because a feed has no bar yet; trade only feeds "
                "with len(d) > 0 or broker.trades_today(d)"
            )
        if self.p.shares == "stock" or not price:
            return int(super().getsize(price, cash))
        return cash / price if self.p.shares == "fractional" else int(whole_shares(cash / price))


class CommissionModel(StockCommission):
    """Commission as the larger of a minimum and fraction × value + rate × shares.

    backtrader computes the commission of the closed and of the opened part of a fill separately: within `one_fill` the
    second result is the commission of the whole fill less the first result.

    Parameters
    ----------
    costs : Costs
        Formulas and rates.
    """

    params = (("costs", None),)

    def __init__(self) -> None:
        super().__init__()
        self._shares: float | None = None  # of the fill so far; None outside of one
        self._raw_per_share = 1.0

    @classmethod
    def from_settings(cls, settings: BrokerSettings, *, shares: str = "stock") -> CommissionModel:
        """Create the scheme; its parameter `commission` is the fraction of the value."""
        options = {"commtype": bt.CommInfoBase.COMM_PERC, "stocklike": True, "percabs": True}
        scheme: CommissionModel = cls(**options, commission=settings.commission, costs=Costs(settings), shares=shares)  # type: ignore[call-arg]
        return scheme

    @contextmanager
    def one_fill(self, raw_per_share: float) -> Iterator[None]:
        """Context in which all commissions belong to one fill, so that its minimum is charged once.

        `raw_per_share` is the number of raw shares (before adjustment for splits) in one share of the feed.
        """
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
    """Return the scheme of the settings: `StockCommission` when commission is only a fraction of the value.

    `shares` is that of `StockCommission`.

    Borrow fees are not included: backtrader charges interest on the opening price of a short position, `Broker` on its
    current value.
    """
    if not Costs(settings).simple_commission:
        return CommissionModel.from_settings(settings, shares=shares)
    options = {"commtype": bt.CommInfoBase.COMM_PERC, "stocklike": True, "percabs": True}
    return StockCommission(**options, commission=settings.commission, shares=shares)


def allow_fractions(scheme: Any) -> None:
    """Make a scheme that was set in a script compute order sizes in fractional shares, for `fractional = true`.

    Schemes that override `getsize`, and futures, are not changed.
    """
    if scheme.stocklike and type(scheme).getsize is bt.CommInfoBase.getsize:
        scheme.getsize = lambda price, cash: scheme.p.leverage * cash / price
