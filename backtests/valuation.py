"""A broker that knows which session it is, which feeds have a bar on it, and what positions are worth."""

from __future__ import annotations

from typing import Any

import backtrader as bt

from backtests.clock import SessionClock, day_of
from backtests.feeds import PanelFeed

__all__ = ["Holding", "ValuedBroker"]


class Holding:
    """A feed, its position, and what is looked up on every session, without backtrader's attribute chains."""

    __slots__ = ("close", "data", "dates", "fine", "open", "position", "price", "seen")

    def __init__(self, data: Any, position: Any, fine: bool) -> None:
        self.data, self.position = data, position
        self.fine = fine  # whether its bars are the shortest of the run; a weekly one has no bar on most days
        self.dates, self.open, self.close = data.lines.datetime, data.lines.open, data.lines.close
        self.price = 0.0  # last close that was a number
        self.seen = 0  # session of that close, counted from the first one of the run

    def has_bar(self, now: float) -> bool:
        """Whether the feed has a bar on the current session, with prices in it."""
        i = self.dates._idx  # -1 before the first bar, where [0] would show the last one
        if i < 0 or self.dates.array[i] != now:
            return False
        first, last = self.open.array[i], self.close.array[i]
        return bool(first == first and last == last)


class ValuedBroker(bt.brokers.BackBroker):
    """Stock broker with a calendar, and values that cost only what is held.

    Sessions are those of the feeds of `add_prices`, or else the dates on which any feed has a bar. A position without a
    bar keeps its last price; a bar of NaN is no bar. Values are added up as stock does it, in the order of the feeds,
    and have its bits.
    """

    def init(self) -> None:
        """Begin anew; called by backtrader at the start of every run."""
        super().init()
        self._now = float("-inf")
        self._sessions: list[float] = []
        self._holdings: list[Holding] = []
        self._by_data: dict[Any, Holding] = {}
        self._worth: list[tuple[int, float]] = []
        self._borrowed = 0.0
        self._gross = 0.0
        self._plain = True

    def trades_today(self, data: Any) -> bool:
        """Whether the feed has a bar on the current session."""
        holding = self._by_data.get(data)
        return holding is None or holding.has_bar(self._now)

    def worths(self) -> list[tuple[int, float]]:
        """Positions at the last close: number of the feed in the Cerebro and account currency, flat ones left out."""
        if self._plain:
            return self._worth
        return [(j, self._value_of(h.data)) for j, h in enumerate(self._holdings) if h.position.size]

    def _begin(self) -> None:
        datas = self.cerebro.datas
        # every feed is touched once, in order, so that values are always added up in the order of the feeds
        finest = min((data._timeframe, data._compression) for data in datas)
        self._holdings = [
            Holding(data, self.positions[data], (data._timeframe, data._compression) == finest) for data in datas
        ]
        self._by_data = {holding.data: holding for holding in self._holdings if holding.fine}
        ours = {id(data.p.clock): data.p.clock for data in datas if isinstance(data, PanelFeed)}
        self._clocks: list[SessionClock] = list(ours.values())
        self._others = [data.lines.datetime for data in self._by_data if not isinstance(data, PanelFeed)]
        kinds = (bt.CommInfoBase, bt.CommissionInfo)
        self._plain = (
            self.p.shortcash
            and not self._fundhist
            and all(
                type(scheme) in kinds
                and scheme.stocklike
                and not scheme.p.interest
                and scheme.p.mult == 1.0
                and scheme.p.leverage == 1.0
                for scheme in self.comminfo.values()
            )
        )

    def _clock(self) -> float:
        """Date of the session that the feeds have just moved to."""
        now = max((clock.now for clock in self._clocks), default=float("-inf"))
        for dates in self._others:
            if dates._idx >= 0 and dates[0] > now:
                now = dates[0]
        return now

    def _get_value(self, datas: Any = None, lever: bool = False) -> float:
        if not self._plain:
            if datas is None:
                self._mark()
            return float(super()._get_value(datas, lever))
        if datas is not None:
            return sum(self._value_of(data) for data in datas)
        # the additions of stock, in its order: values have the same bits
        value = gross = borrowed = unrealized = marked = 0.0
        now, today = self._now, len(self._sessions) - 1
        self._worth = []
        for j, holding in enumerate(self._holdings):
            size = holding.position.size
            if not size:
                continue
            i = holding.dates._idx
            if holding.dates.array[i] == now or not holding.fine:
                close = holding.close.array[i]
                if close == close:  # NaN is no bar
                    holding.price, holding.seen = close, today
            worth = size * holding.price
            self._worth.append((j, worth))
            gain = size * (holding.price - holding.position.price) * 1.0
            marked += worth
            unrealized += gain
            if worth > 0:
                gross += worth
                worth -= gain
                value += worth
                value += gain
            else:
                value += worth
                gross -= worth
                borrowed -= worth
        self._value = self.cash + value
        self._fundval = self._value / self._fundshares
        self._valuemkt, self._valuemktlever, self._valuelever = value, marked, self.cash + marked
        self._leverage = marked / (value or 1.0)
        self._unrealized = unrealized
        self._gross, self._borrowed = gross, borrowed
        return float(self._value if not lever else self._valuelever)

    def _mark(self) -> None:
        """Note last prices, exposure and shorts where values are left to stock."""
        self._gross = self._borrowed = 0.0
        for holding in self._holdings:
            if not holding.position.size:
                continue
            if holding.has_bar(self._now) or not holding.fine:
                holding.price, holding.seen = holding.close[0], len(self._sessions) - 1
            worth = holding.position.size * holding.price
            self._gross += abs(worth)
            self._borrowed += max(-worth, 0.0)

    def _value_of(self, data: Any) -> float:
        size = self.positions[data].size
        if not size:
            return 0.0
        holding = self._by_data.get(data)
        return float(size * (holding.price if holding is not None else data.close[0]))

    def _day(self) -> str:
        return str(day_of(self._now))
