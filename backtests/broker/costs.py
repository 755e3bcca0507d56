"""What trading and holding cost: pure functions of prices, sizes and nights, which the broker asks."""

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

# A month of sessions: long enough to be a number, short enough to follow a crisis.
VOLATILITY_RETURNS = 21
FEWEST_RETURNS = 5

# No order loses more of its price than this, however wild the name: a sale below zero would mean nothing.
LARGEST_SLIPPAGE = 0.5


class Costs:
    """What fills and nights cost under given settings. Amounts are in account currency and never below zero.

    Parameters
    ----------
    settings : BrokerSettings
        Costs and rules of the account.

    Attributes
    ----------
    simple_commission : bool
        Whether commission is a fraction of the value and nothing else, so that backtrader's own formula holds.
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
            What a share was filled at.
        raw_per_share : float
            Raw shares in one share of the feed on that day: `adj_factor` on adjusted prices, 1.0 on raw ones.

        Returns
        -------
        float
            0 when nothing was filled.
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
        """Commission of what a fill closes, and of what it opens beyond that; together they are that of the whole.

        What closes pays as if it were alone, so nothing is owed for a rest that is refused for lack of cash.

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
            Of the ticker, from `daily_volatility`, known at the close before the fill. NaN adds nothing.
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
            At the close before.
        borrowed : float
            What shares sold short were worth then (>= 0): their proceeds are collateral and earn nothing.
        nights : float
            Calendar days since.
        """
        free = cash - borrowed
        return free * self._cash_rate * nights / DAYS_PER_YEAR if _charged(free, nights) else 0.0

    def margin_interest(self, cash: float, nights: float) -> float:
        """Interest paid on cash below zero at the close before `nights` nights; an amount of at least zero."""
        owed = -cash
        return owed * self._margin_rate * nights / DAYS_PER_YEAR if _charged(owed, nights) else 0.0


def _charged(amount: float, nights: float) -> bool:
    """Whether there is something to charge: before the first session no night has passed, whatever the clock says."""
    return amount > 0.0 and 0.0 < nights < math.inf


def daily_volatility(closes: Sequence[float]) -> float:
    """Sample standard deviation (ddof 1) of the last 21 close-to-close returns.

    Parameters
    ----------
    closes : sequence of float
        Of the ticker's bars up to the close before the fill, oldest first and adjusted for splits, which are no
        returns; NaN is no bar. Only the last 22 count.

    Returns
    -------
    float
        Daily volatility as a fraction; NaN when fewer than 5 returns are known.

    Examples
    --------
    >>> round(daily_volatility([100, 110, 99, 108.9, 98.01, 107.811]), 12)  # 10 % up and down in turn
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
    """Raw shares in one share of a feed today: asked of feeds that know (`data.raw_per_share()`), 1.0 for others."""
    ask = getattr(getattr(data, "data", data), "raw_per_share", None)  # of a resampled feed the daily one
    return float(ask()) if callable(ask) else 1.0


@dataclass(frozen=True, slots=True)
class VolumeShare:
    """backtrader filler: no more than a share of the bar's volume to an order.

    Volume is in raw shares, and a share on prices adjusted for splits and dividends is `raw_per_share` of them: the
    limit is in shares of the feed.

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
        most = order.data.volume[ago] * self.share / raw_per_share(order.data)
        if not most > 0.0:  # NaN is no volume
            return 0.0
        if not self.fractional:
            most = float(math.floor(most))
        return float(min(most, abs(order.executed.remsize)))
