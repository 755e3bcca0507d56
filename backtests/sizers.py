"""backtrader sizer that gives each order an equal part of the account."""

from __future__ import annotations

import math
from typing import Any

import backtrader as bt

from backtests.common.share_tolerances import ROUNDING
from signals.common.errors import InputError

__all__ = ["EqualWeightSizer"]

# Default fraction of cash left, as in `SignalStrategy`.
CASH_BUFFER = 0.02


class EqualWeightSizer(bt.Sizer):
    """Sizer that makes every order worth an equal part of the account.

    Account value × (1 − `cash_buffer`) / `n_positions`, at the close of the bar on which the order is given.
    backtrader's own sizers use the remaining cash, so that the second of two purchases is smaller.

    Parameters (backtrader style)
    -----------------------------
    n_positions : int, optional
        Number of equal parts the account is divided into; by default one per feed.
    cash_buffer : float, optional
        Fraction of the account left in cash, because the next open differs from this close and an order for more than
        the cash available would be rejected. By default the setting of the broker, or 0.02.
    fractional : bool, optional
        Whether fractional shares can be traded; by default the setting of the broker, or False.

    Examples
    --------
    In your own Cerebro::

        cerebro.addsizer(rs.EqualWeightSizer, n_positions=10)

    Notes
    -----
    The current position is ignored: the sizer is used by `buy()` and `sell()`, while `close()` and the `order_target_…`
    methods compute their own sizes. A feed without a price gets a size of 0.
    """

    params = (("n_positions", None), ("cash_buffer", None), ("fractional", None))

    def __init__(self) -> None:
        n_positions, buffer = self.p.n_positions, self.p.cash_buffer
        if n_positions is not None and not n_positions >= 1:
            raise InputError(
                f"expected n_positions of at least 1 for EqualWeightSizer; found {n_positions!r}; 10 gives a tenth each"
            )
        if buffer is not None and not 0.0 <= buffer < 1.0:
            raise InputError(f"expected cash_buffer as a fraction from 0 to below 1; found {buffer!r}; 0.02 is 2 %")

    def _getsizing(self, comminfo: Any, cash: float, data: Any, isbuy: bool) -> float:
        settings = getattr(self.broker, "settings", None)
        buffer = self.p.cash_buffer
        if buffer is None:
            buffer = getattr(settings, "cash_buffer", CASH_BUFFER)
        fractional = self.p.fractional
        if fractional is None:
            fractional = getattr(settings, "fractional", False)
        n_positions = self.p.n_positions if self.p.n_positions is not None else len(self.strategy.datas)
        price = float(data.close[0])
        order_value = float(self.broker.getvalue()) * (1.0 - buffer) / n_positions
        if not price > 0.0 or not order_value > 0.0:
            return 0.0
        shares = order_value / price
        return shares if fractional else float(math.floor(shares * (1.0 + ROUNDING)))
