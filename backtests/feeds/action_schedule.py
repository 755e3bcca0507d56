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
    """What is due to the shares of one ticker from a session on.

    `day` is backtrader's number of the ex-date; `split` is new shares for one old one, 1.0 for none; `dividend` is
    account currency per share held at the close before, in old shares; 0.0 for none.
    """

    day: float
    ticker: str
    split: float
    dividend: float


class CorporateActions:
    """Events by session: which splits and dividends have come since the last one.

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
        """Take those of a panel of raw prices, as `signals.data.corporate_actions.raw_panel` gives it.

        Raises
        ------
        InputError
            When its actions are unknown, or its prices are adjusted for them already.
        """
        frame = panel.actions
        if frame is None:
            raise InputError(
                "expected prices whose splits and dividends are known; found none; give prices.factor_files or "
                'prices.corporate_actions, or set broker.dividends = "adjusted"'
            )
        if not len(frame):
            return cls(())
        factors = panel.adj_factor
        if ((factors != 1.0) & ~np.isnan(factors)).any():
            raise InputError(
                "expected raw prices, to which splits and dividends have yet to happen; found adjusted ones; use "
                "raw_panel(prices)"
            )
        wanted = set(panel.tickers if tickers is None else tickers)
        days = day_numbers(frame.index.get_level_values("date").to_numpy())
        names = frame.index.get_level_values("ticker")
        rows = zip(days.tolist(), names, frame["split"].tolist(), frame["dividend"].tolist(), strict=True)
        return cls(CorporateAction(*row) for row in rows if row[1] in wanted)

    def between(self, before: float, now: float) -> Sequence[CorporateAction]:
        """Events after session `before`, up to and including session `now`, in order; usually none.

        Sessions are backtrader's day numbers. A run that leaves sessions out misses no event.
        """
        days = self._days
        if not days or days[-1] <= before:
            return ()
        first = bisect_right(days, before)
        if days[first] > now:
            return ()
        return self._actions[first : bisect_right(days, now, lo=first)]

    def comparable(self, ticker: str, days: Sequence[float], closes: Sequence[float]) -> Sequence[float]:
        """Raw closes in shares of the last of them, without the dividends since: what returns are computed from.

        Parameters
        ----------
        ticker : str
        days : sequence of float
            Sessions of the closes, as backtrader counts days, ascending.
        closes : sequence of float
            Oldest first.

        Returns
        -------
        sequence of float
            The same numbers when nothing happened between them.
        """
        if not days:
            return closes
        found = list(closes)
        for action in self._of.get(ticker, ()):
            if days[0] < action.day <= days[-1]:
                first = bisect_left(days, action.day)  # first close without what was paid
                before = closes[first - 1]
                step = (before - action.dividend) / (before * action.split)
                found[:first] = [close * step for close in found[:first]]
        return found

    def __len__(self) -> int:
        return len(self._actions)

    def __iter__(self) -> Iterator[CorporateAction]:
        return iter(self._actions)
