"""Fast check of whether the feeds of a strategy have as many bars as its indicators need."""

from __future__ import annotations

from typing import Any

import backtrader as bt
import numpy as np

__all__ = ["MinPeriodStatus"]


class MinPeriodStatus:
    """Replacement of `Strategy._getminperstatus` that reads the bar counts of a market instead of each feed's length.

    For 500 feeds, backtrader's method took a fifth of the time of a run.

    Parameters
    ----------
    strategy : bt.Strategy
        Strategy whose feeds all follow the clock of one market.
    """

    def __init__(self, strategy: Any) -> None:
        market = strategy.datas[0].market
        places = [data.p.place for data in strategy.datas]
        self.strategy, self.clock = strategy, market.clock
        self.bars = np.ascontiguousarray(market.bars[places].T)  # a row per step of the clock
        self.needed = np.array(strategy._minperiods, dtype=np.int32)

    def __call__(self) -> int:
        """Return the largest number of missing bars of any feed; below zero when no bar is missing."""
        lacking = int((self.needed - self.bars[self.clock.step]).max())
        self.strategy._minperstatus = lacking
        return lacking

    @classmethod
    def install(cls, strategy: Any, market: Any) -> None:
        """Install the replacement in a strategy with backtrader's own method and feeds of one market only."""
        if type(strategy)._getminperstatus is not bt.Strategy._getminperstatus:
            return
        if all(getattr(data, "market", None) is market and data.follows for data in strategy.datas):
            strategy._getminperstatus = cls(strategy)

    @staticmethod
    def remove(strategy: Any) -> None:
        """Restore backtrader's method."""
        strategy.__dict__.pop("_getminperstatus", None)
