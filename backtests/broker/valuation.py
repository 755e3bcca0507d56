"""Broker base class with the current session, the feeds that have a bar on it, and fast valuation of positions."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any

import backtrader as bt

from backtests.broker.commission import CommissionModel, StockCommission
from backtests.feeds.bar_store import Market
from backtests.feeds.panel_feeds import PanelFeed
from backtests.feeds.session_clock import SessionClock, day_of

__all__ = ["Holding", "PanelHolding", "ValuedBroker"]


class Holding:
    """Feed and position with cached attributes that are read on every session."""

    __slots__ = (
        "charge", "close", "data", "dates", "fine", "j", "open", "plain", "position", "price",
        "rate", "seen", "seen_on", "whole",
    )  # fmt: skip

    def __init__(self, data: Any, position: Any, fine: bool, whole: bool, j: int) -> None:
        self.data, self.position, self.j = data, position, j
        self.fine = fine  # whether its timeframe is the shortest of the run; a weekly feed has no bar on most days
        self.whole = whole  # whether sessions are days, regardless of the time of day of a bar
        self.dates, self.open, self.close = data.lines.datetime, data.lines.open, data.lines.close
        self.price = 0.0  # last close that is not NaN
        self.seen, self.seen_on = 0, float("-inf")  # number and date of the session of that close
        self.plain = False  # whether it is a plain stock (no margin, leverage or interest)
        self.rate, self.charge = 0.0, 0  # commission: fraction of value, per share, or by `CommissionModel`

    def in_session(self, now: float) -> bool:
        """Whether the feed's market has a session now; with several calendars, some markets may have none."""
        return True

    def number(self, sessions: int) -> int:
        """Count the sessions of the feed's market; `sessions` are those of the run."""
        return sessions

    def since(self, sessions: list[float], date: float) -> int:
        """Count the sessions of the feed's market after a date; `sessions` are those of the run."""
        return len(sessions) - bisect_right(sessions, date)

    def open_on(self, now: float) -> float:
        """Today's open; NaN without a bar."""
        return float(self.open[0]) if self._is_today(now) else float("nan")

    def has_bar(self, now: float) -> bool:
        """Whether the feed has a bar without NaN prices on the current session."""
        if not self._is_today(now):
            return False
        first, last = self.open[0], self.close[0]
        return bool(first == first and last == last)

    def close_on(self, now: float) -> float:
        """Today's close; NaN without a bar."""
        return float(self.close[0]) if self._is_today(now) else float("nan")

    def _is_today(self, now: float) -> bool:
        if not len(self.dates):
            return False
        moment = self.dates[0]
        return bool(moment == now or (self.whole and moment // 1.0 == now))


class PanelHolding(Holding):
    """Holding of a feed that follows the clock of its market; prices are read from the row of the session."""

    __slots__ = ("closes", "column", "market")

    def __init__(self, data: Any, position: Any, j: int, closes: memoryview) -> None:
        super().__init__(data, position, True, True, j)
        self.market: Market = data.market
        self.column: int = data.column
        self.closes = closes

    def in_session(self, now: float) -> bool:
        """Whether the session is one of this market."""
        return self.market.clock.now == now

    def number(self, sessions: int) -> int:
        """Count the sessions of this market."""
        return self.market.clock.step

    def since(self, sessions: list[float], date: float) -> int:
        """Count the sessions of this market after a date."""
        return self.market.clock.step - bisect_right(self.market.clock.dates, date)

    def open_on(self, now: float) -> float:
        """Today's open; NaN without a bar."""
        return float(self.data.open[0]) if self.has_bar(now) else float("nan")

    def has_bar(self, now: float) -> bool:
        """Whether the ticker has a bar on the current session, which may be one of another market."""
        close = self.closes[self.market.base + self.column]
        return bool(close == close and self.market.clock.now == now)

    def close_on(self, now: float) -> float:
        """Today's close; NaN without a bar."""
        market = self.market
        if market.clock.now != now:
            return float("nan")
        return self.closes[market.base + self.column]


class _Positions(dict[Any, Any]):
    """Positions in the order in which they were first requested; backtrader sums values in that order."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        super().__init__()
        self.make = make

    def __missing__(self, data: Any) -> Any:
        position = self[data] = self.make(data)
        return position


class ValuedBroker(bt.brokers.BackBroker):
    """backtrader's broker with sessions, and a valuation whose cost depends only on the number of holdings.

    Sessions are those of the feeds of `add_prices`, or else the dates on which any feed has a bar. Values are summed in
    the same order as in backtrader and are equal to the bit.

    Attributes
    ----------
    rules : frozenset of str
        Names of the rules that apply, see `backtests.common.broker_rules`. With "keep_last_price_over_nan_bars" a
        position without a bar, or with a bar of NaN, keeps its last price.
    """

    rules: frozenset[str] = frozenset()

    def init(self) -> None:
        """Reset the state; called by backtrader at the start of every run."""
        super().init()
        self.positions = _Positions(self._position_of)
        self._now = float("-inf")
        self._sessions: list[float] = []
        self._holdings: list[Holding] = []
        self._by_data: dict[Any, Holding] = {}
        self._held: list[Holding] = []
        self._positions_changed = False  # whether a position changed since `_held` was computed
        self._worth: list[tuple[int, float]] = []
        self._borrowed = 0.0
        self._gross = 0.0
        self._plain = False
        self._whole_days = True
        self._keeps_price = "keep_last_price_over_nan_bars" in self.rules
        self._keeps_value = "value_of_given_feeds" in self.rules

    def trades_today(self, data: Any) -> bool:
        """Whether the feed has a bar on the current session."""
        holding = self._by_data.get(data)
        return holding is None or not holding.fine or holding.has_bar(self._now)

    def worths(self) -> list[tuple[int, float]]:
        """Return (index of the feed in the Cerebro, value in account currency) of each nonzero position."""
        if self._plain or self._keeps_price:
            return self._worth
        return [(h.j, self._value_of(h.data)) for h in self._holdings if h.position.size]

    def sizes(self) -> list[tuple[int, float]]:
        """Return (index of the feed in the Cerebro, shares) of each nonzero position."""
        if not self._holdings:
            return []
        self._update_held()
        return [(holding.j, float(holding.position.size)) for holding in self._held]

    def setcommission(self, *arguments: Any, **options: Any) -> None:
        """Set a commission scheme, as in backtrader."""
        super().setcommission(*arguments, **options)
        self._classify_holdings()

    def addcommissioninfo(self, comminfo: Any, name: str | None = None) -> None:
        """Add a commission scheme, as in backtrader."""
        super().addcommissioninfo(comminfo, name)
        self._classify_holdings()

    def set_shortcash(self, shortcash: bool) -> None:
        """Set whether short sales add cash, as in backtrader."""
        super().set_shortcash(shortcash)
        self._classify_holdings()

    # -- one session ------------------------------------------------------------------------------------------------

    def _begin_run(self) -> None:
        datas = self.cerebro.datas
        finest = min((data._timeframe, data._compression) for data in datas)
        self._whole_days = finest[0] >= bt.TimeFrame.Days
        # reuse existing positions without changing the order of `positions`
        existing = dict(self.positions)
        closes: dict[int, memoryview] = {}
        for j, data in enumerate(datas):
            position = existing[data] if data in existing else bt.Position()
            fine = (data._timeframe, data._compression) == finest
            if fine and isinstance(data, PanelFeed) and data.follows:
                market = data.market
                if id(market) not in closes:
                    closes[id(market)] = market.quotes("close")
                self._holdings.append(PanelHolding(data, position, j, closes[id(market)]))
            else:
                self._holdings.append(Holding(data, position, fine, self._whole_days, j))
        self._by_data = {holding.data: holding for holding in self._holdings}
        ours = {id(data.market): data.market.clock for data in datas if isinstance(data, PanelFeed)}
        self._clocks: list[SessionClock] = list(ours.values())
        self._others = [h.dates for h in self._holdings if h.fine and not isinstance(h.data, PanelFeed)]
        self._classify_holdings()

    def _position_of(self, data: Any) -> Any:
        holding = self._by_data.get(data)
        return bt.Position() if holding is None else holding.position

    def _classify_holdings(self) -> None:
        """Determine which feeds are plain stocks with a simple commission."""
        stocks = bool(self.p.shortcash) and not self._fundhist
        for holding in self._holdings:
            scheme = self.getcommissioninfo(holding.data)
            holding.plain = stocks and _is_plain(scheme)
            if holding.plain:
                holding.rate = scheme.p.commission
                holding.charge = 0 if scheme._commtype == bt.CommInfoBase.COMM_PERC else 1
        was, self._plain = self._plain, all(holding.plain for holding in self._holdings)
        if was and not self._plain:
            for holding in self._held:  # backtrader sets this at every close, for futures
                holding.position.adjbase = holding.price

    def _clock(self) -> float:
        """Date of the session that the feeds have reached."""
        now = max((clock.now for clock in self._clocks), default=float("-inf"))
        for dates in self._others:
            if len(dates) and dates[0] > now:
                now = dates[0]
        return now // 1.0 if self._whole_days else now

    # -- values -----------------------------------------------------------------------------------------------------

    def _update_held(self) -> None:
        if not self._positions_changed:
            return
        self._positions_changed = False
        if self._keeps_price:
            self._held = [holding for holding in self._holdings if holding.position.size]
        else:
            by_data = self._by_data
            self._held = [by_data[data] for data, position in self.positions.items() if position.size]

    def _update_prices(self) -> None:
        """Update the prices at which holdings are valued."""
        self._update_held()
        now, sessions = self._now, len(self._sessions)
        if self._keeps_price:
            for holding in self._held:
                close = holding.close_on(now) if holding.fine else holding.close[0]
                if close == close:  # a bar of NaN is ignored
                    holding.price, holding.seen, holding.seen_on = close, holding.number(sessions), now
        else:
            for holding in self._held:
                holding.price = holding.close[0]
                if not holding.fine or holding.has_bar(now):
                    holding.seen, holding.seen_on = holding.number(sessions), now

    def _get_value(self, datas: Sequence[Any] | None = None, lever: bool = False) -> float:
        if self._fundhist or self._cash_addition or not (self._plain or self._keeps_price):
            return self._stock_value(datas, lever)
        if datas and (len(datas) == 1 or self._keeps_value):
            return sum(self._value_of(data) for data in datas)
        if datas:
            return float(super()._get_value(datas, lever))
        # the additions of backtrader, in its order, so that values are equal to the bit
        value = gross = borrowed = unrealized = marked = 0.0
        self._update_prices()
        self._worth = []
        for holding in self._held:
            position, price = holding.position, holding.price
            size = position.size
            worth = size * price
            self._worth.append((holding.j, worth))
            if not holding.plain:
                marked, unrealized, value = self._add(holding, marked, unrealized, value)
                gross += abs(worth)
                borrowed += max(-worth, 0.0)
                continue
            gain = size * (price - position.price) * 1.0
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

    def _add(self, holding: Holding, marked: float, unrealized: float, value: float) -> tuple[float, float, float]:
        """Add the value of a position by its commission scheme: margins, leverage, shorts booked as a cost."""
        scheme, position, price = self.getcommissioninfo(holding.data), holding.position, holding.price
        worth = self._scheme_value(scheme, position, price)
        gain = scheme.profitandloss(position.size, position.price, price)
        if not self.p.shortcash:
            worth = abs(worth)
        owned = (worth - gain) / scheme.get_leverage() + gain if worth > 0 else worth
        return marked + worth, unrealized + gain, value + owned

    def _scheme_value(self, scheme: Any, position: Any, price: float) -> float:
        if self.p.shortcash:
            return float(scheme.getvaluesize(position.size, price))
        return float(scheme.getvalue(position, price))

    def _stock_value(self, datas: Sequence[Any] | None, lever: bool) -> float:
        """Compute the value with backtrader's code, and exposure and short value in addition."""
        value = float(super()._get_value(datas, lever))
        if datas is None:
            self._positions_changed = True
            self._update_prices()
            worths = [holding.position.size * holding.price for holding in self._held]
            self._gross = float(sum(map(abs, worths)))
            self._borrowed = float(sum(-worth for worth in worths if worth < 0.0))
            if self._plain:
                self._worth = [(h.j, worth) for h, worth in zip(self._held, worths, strict=True)]
        return value

    def _value_of(self, data: Any) -> float:
        size = self.positions[data].size
        if not self._keeps_price:
            return float(size * data.close[0])
        holding = self._by_data.get(data)
        if not size:
            return 0.0
        price = holding.price if holding is not None else data.close[0]
        if holding is None or holding.plain:
            return float(size * price)
        return self._scheme_value(self.getcommissioninfo(data), holding.position, price)

    def _day(self) -> str:
        return str(day_of(self._now))


_SIMPLE = (bt.CommInfoBase, bt.CommissionInfo, StockCommission, CommissionModel)


def _is_plain(scheme: Any) -> bool:
    return bool(
        type(scheme) in _SIMPLE
        and scheme.stocklike
        and not scheme.p.interest
        and scheme.p.mult == 1.0
        and scheme.p.leverage == 1.0
    )
