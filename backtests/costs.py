"""What trading costs, and what the account may do: the settings of the broker, checked once."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from signals.errors import InputError

__all__ = ["BrokerSettings", "VolumeShare", "commission_info"]

# A fraction above this is a percentage or a number of basis points that was not converted.
LARGEST_COST = 0.05

DAYS_PER_YEAR = 365.0


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """Costs and rules of the account. Fractions are fractions: 0.001 is 0.1 %, or 10 basis points.

    Parameters
    ----------
    cash : float
        Starting capital in account currency.
    commission : float
        Fraction of the traded value, both ways. At most 0.05.
    slippage : float
        Fraction of the price by which every market order fills worse than the open. At most 0.05.
    borrow_rate : float, optional
        Yearly fee on the value of shares sold short, charged for every night (actual/365) on the value at the close
        before it. Without it no short position can be opened.
    delist_after : int
        Sessions without a bar after which a holding is cashed out at its last price.
    delist_haircut : float
        Fraction of that price a long holding loses then; a short one is closed at the last price.
    cash_buffer : float
        Fraction of account value that strategies leave uninvested: the open is not the close they size at, and a
        target of 100 % would be refused for lack of cash.
    fractional : bool
        Whether parts of a share can be traded; otherwise sizes are truncated towards zero.
    max_volume_share : float, optional
        Participation limit: largest fraction of the bar's volume an order can fill. The rest of a market order
        expires with its day.
    maintenance_margin : float
        Fraction of the sum of absolute positions that the account has to be worth at each close, at least. Below it,
        and at or below zero, the account is closed and the run ends.
    min_trade_value : float
        Changes worth less, in account currency, are not traded, unless they close a position.
    """

    cash: float
    commission: float
    slippage: float
    borrow_rate: float | None = None
    delist_after: int = 5
    delist_haircut: float = 0.0
    cash_buffer: float = 0.02
    fractional: bool = False
    max_volume_share: float | None = None
    maintenance_margin: float = 0.25
    min_trade_value: float = 0.0

    def __post_init__(self) -> None:
        self._require("cash", 0.0 < _number(self.cash) < math.inf, "an amount of money above 0")
        for name in ("commission", "slippage"):
            self._require_cost(name)
        if self.borrow_rate is not None:
            self._require(
                "borrow_rate", 0.0 <= _number(self.borrow_rate) <= 1.0, "a yearly fraction from 0 to 1, such as 0.01"
            )
        sessions = isinstance(self.delist_after, int | np.integer) and not isinstance(self.delist_after, bool)
        self._require("delist_after", sessions and self.delist_after >= 1, "a whole number of sessions, at least 1")
        self._require("delist_haircut", 0.0 <= _number(self.delist_haircut) <= 1.0, "a fraction from 0 to 1")
        self._require("cash_buffer", 0.0 <= _number(self.cash_buffer) < 1.0, "a fraction from 0 to below 1")
        self._require("fractional", isinstance(self.fractional, bool), "true or false")
        if self.max_volume_share is not None:
            self._require(
                "max_volume_share", 0.0 < _number(self.max_volume_share) <= 1.0, "a fraction above 0, up to 1"
            )
        self._require(
            "maintenance_margin", 0.0 <= _number(self.maintenance_margin) < 1.0, "a fraction from 0 to below 1"
        )
        self._require(
            "min_trade_value", 0.0 <= _number(self.min_trade_value) < math.inf, "an amount of money, at least 0"
        )

    def _require(self, name: str, holds: bool, what: str) -> None:
        if not holds:
            raise InputError(f"expected broker.{name} as {what}; found {getattr(self, name)!r}; mend it")

    def _require_cost(self, name: str) -> None:
        value = _number(getattr(self, name))
        if value > LARGEST_COST:
            # from 1 on it can only be a number of basis points, below that it is a percentage
            meant = value / (1e4 if value >= 1.0 else 1e2)
            raise InputError(
                f"expected broker.{name} as a fraction of at most {LARGEST_COST}; found {value:g}, which is "
                f"{100 * value:g} %; did you mean {meant:g} (= {1e4 * meant:g} bp)?"
            )
        self._require(name, value >= 0.0, f"a fraction from 0 to {LARGEST_COST}, such as 0.001 for 10 bp")

    def describe(self) -> dict[str, Any]:
        """All settings as plain values."""
        return asdict(self)


def commission_info(settings: BrokerSettings) -> Any:
    """Return backtrader's commission scheme: stock-like, a fraction of the traded value.

    Borrowing is not in it: backtrader's interest is charged on the price a short was opened at, `Broker` charges it on
    what the shares are worth.
    """
    import backtrader as bt

    return bt.CommissionInfo(
        commission=settings.commission, commtype=bt.CommInfoBase.COMM_PERC, stocklike=True, percabs=True
    )


@dataclass(frozen=True, slots=True)
class VolumeShare:
    """backtrader filler: no more than a share of the bar's volume.

    Parameters
    ----------
    share : float
        Largest fraction of the bar's volume.
    fractional : bool
        Whether parts of a share can fill.
    """

    share: float
    fractional: bool = False

    def __call__(self, order: Any, price: float, ago: int) -> float:
        """Shares of the order that fill in this bar, at least 0."""
        most = order.data.volume[ago] * self.share
        if not self.fractional:
            most = float(math.floor(most))
        return float(min(most, abs(order.executed.remsize)))


def _number(value: Any) -> float:
    """Return the value as float, NaN (which no range holds) when it is no number."""
    if isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool):
        return float(value)
    return math.nan
