"""backtrader indicator of scores, for `cerebro.add_signal` and for strategies that combine indicators."""

from __future__ import annotations

from typing import Any, ClassVar

import backtrader as bt
import numpy as np
from numpy.typing import NDArray

from backtests.feeds.panel_feeds import PanelFeed
from backtests.feeds.score_matrix import ScoreTable
from backtests.feeds.session_clock import day_numbers
from signals.common.errors import InputError

__all__ = ["SignalIndicator"]


class SignalIndicator(bt.Indicator):
    """Indicator line with the score of a feed's ticker from the last decision date.

    The value is known at the close of each bar, like any indicator. A score is kept until the next decision date; a
    ticker without a row on that date has no score from then on.

    Lines
    -----
    signal
        Score minus `threshold`; `neutral` without a score.

    Parameters (backtrader style)
    -----------------------------
    signals : DataFrame, Series or ScoreTable, optional
        Scores by (date, ticker). By default the scores of the feed, from `add_prices(..., signals=...)`; with
        this parameter any daily feed can be used.
    ticker : str, optional
        Ticker whose scores are used; by default the name of the feed.
    threshold : float
        Subtracted from the score, because backtrader uses the sign: 0.5 for probabilities.
    neutral : float
        Value without a score. 0 is neither long nor short for every kind of `add_signal`; the kinds that end in `_ANY`
        would treat NaN as a signal.
    forward_fill : bool
        Whether the line keeps the score between decision dates; otherwise it is neutral there.

    Examples
    --------
    Long while the score is above one half, in your own Cerebro::

        rs.add_prices(cerebro, prices, signals=signals, tickers=["AAA"])
        cerebro.add_signal(bt.SIGNAL_LONG, rs.SignalIndicator, threshold=0.5)
        cerebro.addsizer(rs.EqualWeightSizer)

    `add_signal` trades the first feed only; `rs.SignalStrategy` trades many.
    """

    lines: Any = ("signal",)
    params = (("signals", None), ("ticker", None), ("threshold", 0.0), ("neutral", 0.0), ("forward_fill", True))
    plotinfo: ClassVar[Any] = {"subplot": True, "plotyhlines": [0.0]}

    def __init__(self) -> None:
        if not hasattr(self.data.lines, "datetime"):
            raise InputError("expected a feed for SignalIndicator; found lines without dates; pass the feed itself")
        if getattr(self.data, "_timeframe", bt.TimeFrame.Days) < bt.TimeFrame.Days:
            raise InputError(
                "expected bars of a day or longer for SignalIndicator; found shorter ones, which end before the "
                "close at which the score of their day is known; resample them to days first"
            )
        self._decisions, self._scores = self._table()

    def _table(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Decision dates as backtrader day numbers, and the ticker's score on each."""
        signals, name = self.p.signals, self.p.ticker or getattr(self.data, "_name", "")
        if signals is not None:
            table = signals if isinstance(signals, ScoreTable) else ScoreTable.from_signals(signals)
            if name not in table.tickers:
                raise InputError(
                    f"expected signals for {name or 'a feed with a name'}; found none among {len(table.tickers):,} "
                    "tickers; name the feed like its ticker, or pass ticker=..."
                )
            return day_numbers(table.dates), table.values[:, table.tickers.index(name)]
        feed = self.data
        ours = isinstance(feed, PanelFeed) and self.p.ticker in (None, name)
        decisions, scores = (feed.market.decisions, feed.market.scores) if ours else (None, None)
        if decisions is None or scores is None:
            raise InputError(
                f"expected signals for {name or 'the feed'}; found none; pass signals=..., or make the feed with "
                "add_prices(cerebro, prices, signals=...)"
            )
        return day_numbers(feed.market.panel.dates[decisions]), scores[feed.p.place, decisions]

    def next(self) -> None:
        """Set the score of the bar that has just closed."""
        self.lines.signal[0] = float(self._values_on(np.array([self.data.lines.datetime[0]]))[0])

    def once(self, start: int, end: int) -> None:
        """Set all scores at once; backtrader calls this when the bars are preloaded."""
        days = np.frombuffer(self.data.lines.datetime.array, dtype=np.float64, count=end)[start:]
        self.lines.signal.array[start:end] = type(self.lines.signal.array)("d", self._values_on(days).tobytes())

    def _values_on(self, moments: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values of the line on the dates of the given bars; the time of day is ignored."""
        days = np.floor(moments)
        last = np.searchsorted(self._decisions, days, side="right") - 1
        known = last >= 0
        if not self.p.forward_fill:
            known &= self._decisions[np.maximum(last, 0)] == days
        values = self._scores[np.maximum(last, 0)] - self.p.threshold
        return np.asarray(np.where(known & ~np.isnan(values), values, self.p.neutral), dtype=np.float64)
