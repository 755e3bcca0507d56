"""How many shares an order without a size is for."""

from __future__ import annotations

import math
from typing import Any

import backtrader as bt

from backtests.common.share_tolerances import ROUNDING
from signals.common.errors import InputError

__all__ = ["EqualWeightSizer"]

# Cash left when nobody says how much; as in `SignalStrategy`.
CASH_BUFFER = 0.02


class EqualWeightSizer(bt.Sizer):
    """Every order is worth an equal part of the account.

    Account value × (1 − `cash_buffer`) / `n_positions`, at the close of the bar the order is given on. backtrader's own
    sizers go by what cash is left, so that of two purchases the second gets less.

    Parameters (backtrader style)
    -----------------------------
    n_positions : int, optional
        Number of equal parts the account is divided into; by default one per feed.
    cash_buffer : float, optional
        Fraction of the account left in cash, because the next open is not this close and an order for more than there
        is would be refused. By default the broker's own setting, or 0.02.
    fractional : bool, optional
        Whether parts of a share can be traded; by default as the broker says, or not.

    Examples
    --------
    In your own Cerebro::

        cerebro.addsizer(rs.EqualWeightSizer, n_positions=10)

    Notes
    -----
    What is held already does not matter: this sizes `buy()` and `sell()`, while `close()` and the `order_target_…`
    methods bring sizes of their own. A feed without a price gets no shares.
    """

    params = (("n_positions", None), ("cash_buffer", None), ("fractional", None))

    def __init__(self) -> None:
        n_positions, buffer = self.p.n_positions, self.p.cash_buffer
        if n_positions is not None and not n_positions >= 1:
            raise InputError(
                f"expected n_positions of at least 1 for EqualWeightSizer; found {n_positions!r}; 10 is a tenth each"
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
        worth = float(self.broker.getvalue()) * (1.0 - buffer) / n_positions
        if not price > 0.0 or not worth > 0.0:
            return 0.0
        shares = worth / price
        return shares if fractional else float(math.floor(shares * (1.0 + ROUNDING)))
