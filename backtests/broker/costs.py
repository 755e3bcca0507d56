"""Commission, slippage, borrow fees and interest: pure functions of prices, sizes and nights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from backtests.broker.settings import BrokerSettings

__all__ = [
    "DAYS_PER_YEAR",
    "Costs",
    "VolumeShare",
    "daily_volatility",
    "raw_per_share",
]

DAYS_PER_YEAR = 365.0

# Number of returns in the volatility estimate: about a month of sessions.
VOLATILITY_RETURNS = 21
FEWEST_RETURNS = 5

# Maximum slippage as a fraction of the price, so that no sale has a negative price.
LARGEST_SLIPPAGE = 0.5


class Costs:
    """Costs of fills and of holding overnight under given settings. Amounts are in account currency, at least zero.

    Parameters
    ----------
    settings : BrokerSettings
        Costs and rules of the account.

    Attributes
    ----------
    simple_commission : bool
        Whether commission is only a fraction of the value, so that backtrader's own formula applies.
    varying_slippage : bool
        Whether slippage depends on volatility; otherwise `slippage(nan)` is the same for every order.

    Examples
    --------
    >>> costs = Costs(BrokerSettings.from_preset("retail", cash=100_000))
    >>> costs.commission(-300, 50.0)  # 300 shares at 0.005
    1.5
    >>> costs.commission(40, 50.0)  # 0.20 is below the minimum
    1.0
    """

    __slots__ = (
        "_borrow_rate",
        "_cash_rate",
        "_fraction",
        "_margin_rate",
        "_minimum",
        "_multiple",
        "_per_share",
        "_slippage",
        "simple_commission",
        "varying_slippage",
    )

    def __init__(self, settings: BrokerSettings) -> None:
        self._fraction = float(settings.commission)
        self._per_share = float(settings.commission_per_share)
        self._minimum = float(settings.min_commission)
        self._slippage = float(settings.slippage) + float(settings.half_spread)
        self._multiple = float(settings.volatility_slippage_coef)
        self._borrow_rate = float(settings.borrow_rate or 0.0)
        self._cash_rate = float(settings.cash_interest_rate)
        self._margin_rate = float(settings.margin_interest_rate)
        self.simple_commission = not self._per_share and not self._minimum
        self.varying_slippage = self._multiple > 0.0

    def commission(self, size: float, price: float, raw_per_share: float = 1.0) -> float:
        """Commission of one fill: the larger of the minimum and fraction × value + rate × raw shares.

        Parameters
        ----------
        size : float
            Shares of the feed, signed. A reversal through zero is one fill and pays the minimum once; an order that
            fills on several sessions pays it on each.
        price : float
            Price per share of the fill.
        raw_per_share : float
            Raw shares in one share of the feed on that day: `adj_factor` on adjusted prices, 1.0 on raw ones.

        Returns
        -------
        float
            Account currency; 0 for a size of 0.
        """
        shares = abs(size)
        if not shares:
            return 0.0
        paid = shares * self._fraction * price  # backtrader's order of factors, for its bits
        if self.simple_commission:
            return paid
        return max(paid + shares * raw_per_share * self._per_share, self._minimum)

    def commissions(
        self, closed: float, opened: float, price: float, raw_per_share: float = 1.0
    ) -> tuple[float, float]:
        """Commission of the closed and of the opened part of a fill; their sum is the commission of the whole fill.

        The closed part is charged as a fill of its own, so that its commission is right when the opened part is
        rejected for lack of cash.

        Parameters
        ----------
        closed, opened : float
            Signed shares of the feed.
        price, raw_per_share : float
            As in `commission`.
        """
        for_closed = self.commission(closed, price, raw_per_share)
        if not opened or self.simple_commission:
            return for_closed, self.commission(opened, price, raw_per_share)
        return for_closed, self.commission(closed + opened, price, raw_per_share) - for_closed

    def slippage(self, volatility: float) -> float:
        """Fraction of its price by which an order fills worse than the open or its stop, at most one half.

        Parameters
        ----------
        volatility : float
            Volatility of the ticker, from `daily_volatility`, known at the close before the fill. NaN adds nothing.
        """
        moved = self._multiple * volatility
        return min(self._slippage + moved, LARGEST_SLIPPAGE) if moved > 0.0 else self._slippage

    def borrow_fee(self, borrowed: float, nights: float) -> float:
        """Fee for shares sold short, worth `borrowed` (>= 0) at the close before `nights` nights."""
        return borrowed * self._borrow_rate * nights / DAYS_PER_YEAR if _charged(borrowed, nights) else 0.0

    def cash_interest(self, cash: float, borrowed: float, nights: float) -> float:
        """Interest earned on cash above zero.

        Parameters
        ----------
        cash : float
            Cash at the close before.
        borrowed : float
            Value of shares sold short at that close (>= 0); their proceeds are collateral and earn no interest.
        nights : float
            Calendar days since that close.
        """
        free = cash - borrowed
        return free * self._cash_rate * nights / DAYS_PER_YEAR if _charged(free, nights) else 0.0

    def margin_interest(self, cash: float, nights: float) -> float:
        """Interest paid on cash below zero at the close before `nights` nights; an amount of at least zero."""
        debt = -cash
        return debt * self._margin_rate * nights / DAYS_PER_YEAR if _charged(debt, nights) else 0.0


def _charged(amount: float, nights: float) -> bool:
    """Whether the amount and the number of nights are positive and finite; before the first session they are not."""
    return amount > 0.0 and 0.0 < nights < math.inf


def daily_volatility(closes: Sequence[float]) -> float:
    """Sample standard deviation (ddof 1) of the last 21 close-to-close returns.

    Parameters
    ----------
    closes : sequence of float
        Closes of the ticker up to the close before the fill, oldest first and adjusted for splits; NaN is skipped. Only
        the last 22 are used.

    Returns
    -------
    float
        Daily volatility as a fraction; NaN when fewer than 5 returns are known.

    Examples
    --------
    >>> round(daily_volatility([100, 110, 99, 108.9, 98.01, 107.811]), 12)  # alternating returns of 10 % and -10 %
    0.109544511501
    """
    known = [close for close in closes if close > 0.0][-VOLATILITY_RETURNS - 1 :]
    returns = [now / before - 1.0 for before, now in pairwise(known)]
    count = len(returns)
    if count < FEWEST_RETURNS:
        return math.nan
    mean = math.fsum(returns) / count
    return math.sqrt(math.fsum((value - mean) ** 2 for value in returns) / (count - 1))


def raw_per_share(data: Any) -> float:
    """Raw shares in one share of a feed today, from `data.raw_per_share()`; 1.0 for feeds without this method."""
    method = getattr(getattr(data, "data", data), "raw_per_share", None)  # of a resampled feed the daily one
    return float(method()) if callable(method) else 1.0


@dataclass(frozen=True, slots=True)
class VolumeShare:
    """backtrader filler that limits an order to a fraction of the bar's volume.

    Volume is in raw shares; the limit is converted to shares of the feed with `raw_per_share`, because prices may be
    adjusted for splits and dividends.

    Parameters
    ----------
    share : float
        Largest fraction of the bar's volume.
    fractional : bool
        Whether fractional shares can fill.
    """

    share: float
    fractional: bool = False

    def __call__(self, order: Any, price: float, ago: int) -> float:
        """Return the shares of the order that fill in this bar, at least 0."""
        limit = order.data.volume[ago] * self.share / raw_per_share(order.data)
        if not limit > 0.0:  # NaN: the volume is unknown
            return 0.0
        if not self.fractional:
            limit = float(math.floor(limit))
        return float(min(limit, abs(order.executed.remsize)))
