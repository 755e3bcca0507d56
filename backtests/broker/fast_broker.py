"""backtrader's broker without its idle work: the same orders, fills and values, to the bit.

Read beside `backtrader.brokers.BackBroker`. What is done otherwise, and what it bought (500 tickers × 2,520 days):

* Passes over all positions for interest and futures are left out when no commission scheme asks for them, and values
  are added up over what is held (a tenth of the time).
* Market orders are slim objects (`backtests.broker.orders`) and skip the bookkeeping of brackets and OCO groups, unless
a
  later order refers to them (half of what was left). What stock does with a child of a parent that is over already,
  which is to send the parent once more, is not repeated in all its consequences.
* Their fills are computed here, with the floating-point operations of stock in its order.

Every other kind of order, and accounts with futures, interest, leverage or commission schemes of one's own, take
backtrader's path, in the same run.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import backtrader as bt
from backtrader.order import Order

from backtests.broker.order_notifications import forget_copies
from backtests.broker.orders import ARGUMENTS, PLAIN, SlimOrder, make_market_order
from backtests.broker.valuation import Holding, PanelHolding, ValuedBroker
from backtests.common.share_tolerances import HALF_SHARE, SHARE_TOLERANCE, is_remainder, settled

__all__ = ["FastBroker", "position_after"]


def position_after(size: float, price: float, change: float, at: float) -> tuple[float, float, float, float]:
    """Position after a fill, as `backtrader.Position.update` computes it.

    Parameters
    ----------
    size, price : float
        Signed shares held, and their average price.
    change, at : float
        Signed shares filled, and their price.

    Returns
    -------
    size, price : float
        After the fill.
    opened, closed : float
        Parts of the change, with its sign: a reversal does both.

    Examples
    --------
    >>> position_after(10, 5.0, -15, 6.0)
    (-5, 6.0, -5, -10)
    """
    after = size + change
    if not after:
        return after, 0.0, 0, change
    if not size:
        return after, at, change, 0
    if (size > 0) == (change > 0):
        return after, (price * size + change * at) / after, change, 0
    if (size > 0) == (after > 0):
        return after, price, 0, change
    return after, at, after, -size


class FastBroker(ValuedBroker):
    """Stock broker, fast. `Broker` closes the traps on top of it."""

    cash: float
    _forgets_refused = False  # whether the shares of a refused order count in the check of those after it
    _no_remainders = False  # whether remainders of share arithmetic are taken for nothing

    def init(self) -> None:
        """Begin anew; called by backtrader at the start of every run."""
        super().init()
        self._moment: tuple[float, Any] = (float("nan"), None)
        self._enrolled: set[int] = set()

    def _begin(self) -> None:
        super()._begin()
        for strategy in self.cerebro.runningstrats:
            forget_copies(strategy)

    # -- orders -----------------------------------------------------------------------------------------------------

    def buy(self, owner: Any, data: Any, size: float, *arguments: Any, **options: Any) -> Any:
        """Give an order to buy, as in stock; None for a remainder of what is held."""
        if size < HALF_SHARE and self._is_remainder_of_position(data, size):
            return None
        order = self._slim(True, owner, data, size, arguments, options)
        return super().buy(owner, data, size, *arguments, **options) if order is None else order

    def sell(self, owner: Any, data: Any, size: float, *arguments: Any, **options: Any) -> Any:
        """Give an order to sell, as in stock; None for a remainder of what is held."""
        if size < HALF_SHARE and self._is_remainder_of_position(data, size):
            return None
        order = self._slim(False, owner, data, size, arguments, options)
        return super().sell(owner, data, size, *arguments, **options) if order is None else order

    def _is_remainder_of_position(self, data: Any, size: float) -> bool:
        """Whether an order would change a position by what rounding leaves, which is nothing to trade."""
        holding = self._by_data.get(data) if self._no_remainders and size else None
        return holding is not None and is_remainder(size, of=holding.position.size)

    def _slim(
        self, buys: bool, owner: Any, data: Any, size: float, arguments: tuple[Any, ...], options: dict[str, Any]
    ) -> Any:
        """Give a plain market order; None when it is anything else."""
        given = dict(zip(ARGUMENTS, arguments, strict=False)) | options if arguments else options
        holding = self._by_data.get(data)
        plain = holding is not None and holding.plain and size > 0 and data._compensate is None
        plain = plain and not (self.p.coc or self.p.coo)
        price, tradeid = None, 0
        for name, value in given.items():
            if name == "price":
                price = value
            elif name == "tradeid":
                tradeid = value
            elif name in PLAIN:
                plain = plain and value in PLAIN[name]
            else:
                plain = plain and value is None
        if plain:
            order = make_market_order(buys, owner, data, size, price, tradeid)
            return self._take(order)
        for name in ("oco", "parent"):
            if isinstance(given.get(name), SlimOrder):
                self._enrol(given[name])
        return None

    def _take(self, order: Any) -> Any:
        """Queue a slim order for the check before the next session."""
        order.plen = len(order.data)
        if self.p.checksubmit:
            order.status = Order.Submitted
            self.submitted.append(order)
            self._remember(order)
            self.notify(order)
        else:
            self.submit_accept(order)
        return order

    def _remember(self, order: Any) -> None:
        """Keep every order for ever, as stock does."""
        self.orders.append(order)

    def _enrol(self, order: Any) -> None:
        """Take up the bookkeeping that stock begins with every order, because another one refers to this one."""
        if order.ref in self._enrolled:
            return
        self._enrolled.add(order.ref)
        self._ocos[order.ref] = order.ref
        waiting = next((one for one in (*self.submitted, *self.pending) if one == order), None)
        if waiting is not None:
            self._pchildren[order.ref] = deque([waiting])
            if not waiting.executed.size:  # a fill ends its group
                self._ocol[order.ref].append(order.ref)
        elif order.status == Order.Completed:
            self._pchildren[order.ref] = deque()

    def _ococheck(self, order: Any) -> None:
        if order.ref not in self._ocos:
            return
        # stock looks through all waiting orders for companions that nearly no order has
        if self._ocos[order.ref] == order.ref and len(self._ocol.get(order.ref, ())) < 2:
            self._ocol.pop(order.ref, None)
        else:
            super()._ococheck(order)

    def _bracketize(self, order: Any, cancel: bool = False) -> None:
        if not isinstance(order, SlimOrder) or order.ref in self._pchildren:
            super()._bracketize(order, cancel)

    # -- the check before the session -------------------------------------------------------------------------------

    def check_submitted(self) -> None:
        """Check new orders one after the other against the cash that those before leave, at the prices they saw."""
        if self.p.coo:
            super().check_submitted()
            return
        cash = self.cash
        pretended: dict[Any, Any] = {}
        while self.submitted:
            order = self.submitted.popleft()
            if not isinstance(order, SlimOrder):
                if self._take_children(order) is None:
                    continue
                if self._needs_no_check(order):
                    self.submit_accept(order)
                    continue
            if self._lapsed(order):
                continue
            data = order.data
            if data not in pretended:
                pretended[data] = self.positions[data].clone()
            position = pretended[data]
            before = position.size, position.price
            cash, opened, exposure, commission = self._pretend(order, cash, position)
            why = self._refusal(order, cash, opened, exposure, commission)
            if why is None:
                self.submit_accept(order)
                continue
            if self._forgets_refused:
                position.size, position.price = before
            self._refuse(order, why)

    def _pretend(self, order: Any, cash: float, position: Any) -> tuple[float, float, float, float]:
        """Execute an order at the price it saw, on a copy of the position.

        Returns
        -------
        cash, opened, exposure, commission : float
            Cash left; shares opened; what the order adds to the sum of absolute positions; its commission. The last two
            are 0 for futures.
        """
        holding = self._by_data[order.data]
        held, size, price = position.size, order.executed.remsize, order.created.price
        if not holding.plain:
            cash = super()._execute(order, cash=cash, position=position)
            stocklike = self.getcommissioninfo(order.data).stocklike
            exposure = price * (abs(position.size) - abs(held)) if stocklike else 0.0
            return cash, position.upopened, exposure, 0.0
        position.size, position.price, opened, closed = position_after(held, position.price, size, price)
        for_closed, for_opened = self._commissions(holding, price, closed, opened)
        if closed:
            cash += -closed * price
            cash -= for_closed
        if opened:
            cash -= opened * price
            cash -= for_opened
        return cash, opened, price * (abs(position.size) - abs(held)), for_closed + for_opened

    def _needs_no_check(self, order: Any) -> bool:
        """Whether the order cannot fill before another one did."""
        return False

    def _lapsed(self, order: Any) -> bool:
        """Whether the order came to nothing before the check."""
        return False

    def _refusal(self, order: Any, cash: float, opened: float, exposure: float, commission: float) -> str | None:
        """Why an order is refused that leaves this cash and adds this to the sum of absolute positions."""
        return None if cash >= 0.0 else "not enough cash"

    def _refuse(self, order: Any, reason: str | None) -> None:
        """Refuse an order that waits nowhere any more, for lack of cash."""
        order.margin()
        self.notify(order)
        self._ococheck(order)
        self._bracketize(order, cancel=True)

    def submit_accept(self, order: Any) -> None:
        """Let an order wait for a price."""
        if not isinstance(order, SlimOrder):
            super().submit_accept(order)
            return
        order.plen = len(order.data)
        order.status = Order.Accepted
        self.pending.append(order)
        self.notify(order)

    # -- fills ------------------------------------------------------------------------------------------------------

    def _commissions(self, holding: Holding, price: float, closed: float, opened: float) -> tuple[float, float]:
        """Commission of what a fill closes and of what it opens: a fraction of the value, or a fee per share."""
        rate = holding.rate
        if holding.charge:
            return abs(closed) * rate, abs(opened) * rate
        return abs(closed) * rate * price, abs(opened) * rate * price

    def _execute(
        self,
        order: Any,
        ago: int | None = None,
        price: float | None = None,
        cash: float | None = None,
        position: Any = None,
        dtcoc: float | None = None,
    ) -> Any:
        data = order.data
        self._moved = True
        if ago is None or not self._by_data[data].plain or data._compensate is not None:
            return super()._execute(order, ago, price, cash, position, dtcoc)
        if price is None:
            return None
        size = order.executed.remsize
        if self.p.filler is not None:
            whole, size = abs(size), self.p.filler(order, price, ago)
            if size and self._no_remainders and is_remainder(whole - size, of=whole):
                size = whole
            if not order.isbuy():
                size = -size
        self._fill(order, size, price, dtcoc or data.datetime[ago])
        return None

    def _fill(
        self, order: Any, size: float, price: float, moment: float, commissions: tuple[float, float] | None = None
    ) -> None:
        """Fill an order at a price: stock's arithmetic for shares that cost what they are worth."""
        if not size:
            return
        data = order.data
        holding = self._by_data[data]
        position = self.positions[data]
        if self._no_remainders and -HALF_SHARE < position.size + size < HALF_SHARE:
            size = self._settle(order, size)
        self._moved = True
        average = position.price
        after, after_price, opened, closed = position_after(position.size, average, size, price)
        for_closed, for_opened = commissions or self._commissions(holding, price, closed, opened)
        gain = -closed * (price - average) * 1.0
        cash = self.cash
        worth_closed = worth_opened = 0.0
        if closed:
            worth_closed = -closed * average
            cash += worth_closed + gain
            cash -= for_closed
            self.cash = cash
        else:
            for_closed = 0.0
        refused, why = 0.0, None
        if opened:
            worth_opened = opened * price
            cash -= worth_opened
            cash -= for_opened
            exposure = price * (abs(after) - abs(position.size))
            short = commissions is None and cash < 0.0 and not self._is_rounding(cash, worth_opened)
            why = None if short else self._objection(exposure, for_closed + for_opened)
            if short or (why is not None and commissions is None):
                refused, opened, worth_opened, for_opened = opened, 0, 0.0, 0.0
                self._objection(-price * abs(closed), for_closed)
            else:
                position.adjbase = price
                self.cash = cash
        else:
            for_opened = 0.0
            self._objection(-price * abs(closed), for_closed)
        filled = closed + opened
        if filled:
            position.update(filled, price, self._moment_of(data, holding))
            if closed and self.p.int2pnl:
                for_closed += self.d_credit.pop(data, 0.0)
            scheme = self.getcommissioninfo(data)
            order.execute(
                moment, filled, price, closed, worth_closed, for_closed, opened, worth_opened, for_opened,
                scheme.p.margin, gain, after, after_price,
            )  # fmt: skip
            order.comminfo = scheme
            self.notify(order)
            self._ococheck(order)
        if refused:
            self._refuse(order, why)

    def _settle(self, order: Any, size: float) -> float:
        """Take along what a fill would leave of a position as a remainder, and end the order with it."""
        whole = settled(self.positions[order.data].size, size)
        if whole != size and order.executed.remsize == size:
            if isinstance(order, SlimOrder):
                order.own_executed()
            order.executed.remsize = whole
            order.size = order.executed.size + whole
        return whole

    def _is_rounding(self, cash: float, worth: float) -> bool:
        """Whether cash is below zero only by the rounding of what was paid for shares."""
        return self._no_remainders and cash >= -SHARE_TOLERANCE * abs(worth)

    def _objection(self, exposure: float, commission: float) -> str | None:
        """Why a fill may not add this to the sum of absolute positions; what it takes away makes room for others."""
        return None

    def _moment_of(self, data: Any, holding: Holding) -> Any:
        """Date of the feed's bar as a datetime; the same for all feeds of a market, and dear to make."""
        if not isinstance(holding, PanelHolding):
            return data.datetime.datetime()
        number = data.datetime[0]
        if self._moment[0] != number:
            self._moment = (number, bt.num2date(number))
        return self._moment[1]

    def _match_market(self, order: Any) -> None:
        """Fill a slim order at the open, when its feed has had a bar since it was given."""
        holding = self._by_data[order.data]
        if not isinstance(holding, PanelHolding) or not holding.plain or self.p.coc or self.p.coo:
            self._try_exec(order)
            return
        data = order.data
        if not data.datetime[0] > order.created.dt:
            return
        self._execute(order, ago=0, price=self._market_price(order))

    def _market_price(self, order: Any) -> Any:
        """Price a market order fills at; None when there is none within the bar."""
        data = order.data
        if order.size > 0:
            return self._slip_up(data.high[0], data.open[0], doslip=self.p.slip_open)
        return self._slip_down(data.low[0], data.open[0], doslip=self.p.slip_open)

    def _match_pending(self) -> None:
        """Go once through the orders that wait."""
        pending = self.pending
        pending.append(None)
        while True:
            order = pending.popleft()
            if order is None:
                return
            if order.expire():
                self._end_expired(order)
            elif not order.active():
                pending.append(order)
            else:
                self._match_in_turn(order)

    def _match_in_turn(self, order: Any) -> None:
        """Match an order whose turn it is among those that wait."""
        self._match(order)

    def _end_expired(self, order: Any) -> None:
        self.notify(order)
        self._ococheck(order)
        self._bracketize(order, cancel=True)

    def _match(self, order: Any) -> None:
        """Match one order against the bar, and keep it waiting when it is not done."""
        if isinstance(order, SlimOrder):
            self._match_market(order)
        else:
            self._try_exec(order)
        if order.alive():
            self.pending.append(order)
        elif order.status == Order.Completed:
            self._bracketize(order)

    # -- one session ------------------------------------------------------------------------------------------------

    def next(self) -> None:
        """Do what happens between the last close and this one."""
        nights = self._begin_session()
        while self._toactivate:
            self._toactivate.popleft().activate()
        self._before_orders(nights)
        if self.p.checksubmit and self.submitted:
            self.check_submitted()
        if not self._plain:
            self._charge_interest()
        if self._userhist:
            self._process_order_history()
        if self.pending:
            self._match_pending()
        self._after_fills()
        if not self._plain:
            self._settle_futures()
        self._get_value()

    def _begin_session(self) -> float:
        """Find out which session it is; gives the nights since the last one."""
        if not self._holdings:
            self._begin()
        before, self._now = self._now, self._clock()
        if self._now > before:  # a weekly bar can come after the daily ones of its last day
            self._sessions.append(self._now)
        return self._now - before if len(self._sessions) > 1 else 0.0

    def _before_orders(self, nights: float) -> None:
        """Do what comes before orders are checked."""

    def _after_fills(self) -> None:
        """Do what comes after orders were filled, before the account is valued."""

    def _charge_interest(self) -> float:
        """Charge the interest of commission schemes, as stock does; gives the sum."""
        credit = 0.0
        for data, position in self.positions.items():
            if position:
                today = data.datetime.datetime()
                due = self.getcommissioninfo(data).get_credit_interest(data, position, today)
                self.d_credit[data] += due
                credit += due
                position.datetime = today
        self.cash -= credit
        return credit

    def _settle_futures(self) -> None:
        """Adjust cash for futures, as stock does."""
        for data, position in self.positions.items():
            if position:
                close = data.close[0]
                self.cash += self.getcommissioninfo(data).cashadjust(position.size, position.adjbase, close)
                position.adjbase = close
