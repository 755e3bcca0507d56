"""The commission of the settings as a commission scheme of backtrader, for whoever asks the broker for one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import backtrader as bt

from backtests.costs import Costs
from backtests.settings import BrokerSettings
from signals.errors import InputError

__all__ = ["CommissionModel", "StockCommission", "commission_scheme"]


class StockCommission(bt.CommissionInfo):
    """A fraction of the traded value, as in stock; a price that is no number is said aloud."""

    def getsize(self, price: float, cash: float) -> int:
        """Shares that so much cash buys.

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
        return int(super().getsize(price, cash))


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
    def from_settings(cls, settings: BrokerSettings) -> CommissionModel:
        """Make the scheme; `commission` is the fraction, for whoever looks at it."""
        options = {"commtype": bt.CommInfoBase.COMM_PERC, "stocklike": True, "percabs": True}
        made: CommissionModel = cls(**options, commission=settings.commission, costs=Costs(settings))  # type: ignore[call-arg]
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


def commission_scheme(settings: BrokerSettings) -> StockCommission:
    """Return the scheme of the settings: a plain fraction when that is all they charge.

    Borrowing is not in it: backtrader's interest is charged on the price a short was opened at, `Broker` charges it on
    what the shares are worth.
    """
    if not Costs(settings).simple_commission:
        return CommissionModel.from_settings(settings)
    options = {"commtype": bt.CommInfoBase.COMM_PERC, "stocklike": True, "percabs": True}
    return StockCommission(**options, commission=settings.commission)
