"""Splits and dividends of raw prices by session."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from backtests.feeds.session_clock import day_numbers
from signals.common.errors import InputError

if TYPE_CHECKING:
    from signals.data.panel import PricePanel

__all__ = ["CorporateAction", "CorporateActions"]


class CorporateAction(NamedTuple):
    """Split, dividend or both of one ticker on an ex-date.

    `day` is the backtrader day number of the ex-date; `split` is new shares for one old share, 1.0 for none; `dividend`
    is account currency per old share held at the previous close, 0.0 for none.
    """

    day: float
    ticker: str
    split: float
    dividend: float


class CorporateActions:
    """Splits and dividends sorted by session.

    Parameters
    ----------
    actions : iterable of CorporateAction
        In any order.
    """

    def __init__(self, actions: Iterable[CorporateAction]) -> None:
        self._actions = tuple(sorted(actions))
        self._days = [action.day for action in self._actions]
        self._of: dict[str, list[CorporateAction]] = {}
        for action in self._actions:
            self._of.setdefault(action.ticker, []).append(action)

    @classmethod
    def from_panel(cls, panel: PricePanel, tickers: Iterable[str] | None = None) -> CorporateActions:
        """Create the schedule from a panel of raw prices, see `signals.data.corporate_actions.raw_panel`.

        Raises
        ------
        InputError
            When its actions are unknown, or its prices are adjusted for them already.
        """
        frame = panel.actions
        if frame is None:
            raise InputError(
                "expected prices with known splits and dividends; found none; set prices.factor_files or "
                'prices.corporate_actions, or set broker.dividends = "adjusted"'
            )
        if not len(frame):
            return cls(())
        factors = panel.adj_factor
        if ((factors != 1.0) & ~np.isnan(factors)).any():
            raise InputError(
                "expected raw prices, which are not adjusted for splits and dividends; found adjusted ones; use "
                "raw_panel(prices)"
            )
        wanted = set(panel.tickers if tickers is None else tickers)
        days = day_numbers(frame.index.get_level_values("date").to_numpy())
        names = frame.index.get_level_values("ticker")
        rows = zip(days.tolist(), names, frame["split"].tolist(), frame["dividend"].tolist(), strict=True)
        return cls(CorporateAction(*row) for row in rows if row[1] in wanted)

    def between(self, before: float, now: float) -> Sequence[CorporateAction]:
        """Return events after session `before`, up to and including session `now`, in order; usually none.

        Sessions are backtrader day numbers. Events on sessions that a run skips are included in the next call.
        """
        days = self._days
        if not days or days[-1] <= before:
            return ()
        first = bisect_right(days, before)
        if days[first] > now:
            return ()
        return self._actions[first : bisect_right(days, now, lo=first)]

    def comparable(self, ticker: str, days: Sequence[float], closes: Sequence[float]) -> Sequence[float]:
        """Adjust raw closes for later splits and dividends, so that returns can be computed from them.

        Parameters
        ----------
        ticker : str
        days : sequence of float
            Sessions of the closes as backtrader day numbers, ascending.
        closes : sequence of float
            Oldest first.

        Returns
        -------
        sequence of float
            Closes per share of the last one; unchanged without events between them.
        """
        if not days:
            return closes
        adjusted = list(closes)
        for action in self._of.get(ticker, ()):
            if days[0] < action.day <= days[-1]:
                first = bisect_left(days, action.day)  # first close after the event
                before = closes[first - 1]
                factor = (before - action.dividend) / (before * action.split)
                adjusted[:first] = [close * factor for close in adjusted[:first]]
        return adjusted

    def __len__(self) -> int:
        return len(self._actions)

    def __iter__(self) -> Iterator[CorporateAction]:
        return iter(self._actions)
