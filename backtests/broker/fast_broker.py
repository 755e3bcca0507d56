"""Faster version of backtrader's broker with the same orders, fills and values, to the bit.

Differences from `backtrader.brokers.BackBroker`, and their effect on run time (500 tickers × 2,520 days):

* Loops over all positions for interest and futures are skipped when no commission scheme needs them, and values
  are summed over the holdings only (a tenth of the time).
* Market orders are slim objects (`backtests.broker.orders`) and skip the bookkeeping of brackets and OCO groups, unless
  a later order refers to them (half of the remaining time). One behaviour of stock backtrader is not reproduced
  completely: for a child of a parent that has already ended it submits the parent again.
* Their fills are computed here, with the floating-point operations of stock backtrader in the same order.

Every other kind of order, and accounts with futures, interest, leverage or custom commission schemes, use
backtrader's own code, in the same run.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import backtrader as bt
from backtrader.order import Order

from backtests.broker.order_notifications import discard_order_copies
from backtests.broker.orders import ARGUMENTS, PLAIN, SlimOrder, make_market_order
from backtests.broker.valuation import Holding, PanelHolding, ValuedBroker
from backtests.common.share_tolerances import HALF_SHARE, SHARE_TOLERANCE, is_remainder, settled

__all__ = ["FastBroker", "position_after"]


def position_after(size: float, price: float, change: float, at: float) -> tuple[float, float, float, float]:
    """Compute the position after a fill, as `backtrader.Position.update` does.

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
        Parts of the change, with its sign; both are nonzero for a reversal.

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
    """Fast equivalent of backtrader's broker; `Broker` adds its rules to it."""

    cash: float
    _ignores_refused = False  # whether rejected orders are ignored in the cash check of later orders
    _clears_remainders = False  # whether remainders of share arithmetic are treated as zero

    def init(self) -> None:
        """Reset the state; called by backtrader at the start of every run."""
        super().init()
        self._moment: tuple[float, Any] = (float("nan"), None)
        self._registered: set[int] = set()

    def _begin_run(self) -> None:
        super()._begin_run()
        for strategy in self.cerebro.runningstrats:
            discard_order_copies(strategy)

    # -- orders -----------------------------------------------------------------------------------------------------

    def buy(self, owner: Any, data: Any, size: float, *arguments: Any, **options: Any) -> Any:
        """Submit an order to buy, as in backtrader; None for a rounding remainder of the position."""
        if size < HALF_SHARE and self._is_remainder_of_position(data, size):
            return None
        order = self._give_market_order(True, owner, data, size, arguments, options)
        return super().buy(owner, data, size, *arguments, **options) if order is None else order

    def sell(self, owner: Any, data: Any, size: float, *arguments: Any, **options: Any) -> Any:
        """Submit an order to sell, as in backtrader; None for a rounding remainder of the position."""
        if size < HALF_SHARE and self._is_remainder_of_position(data, size):
            return None
        order = self._give_market_order(False, owner, data, size, arguments, options)
        return super().sell(owner, data, size, *arguments, **options) if order is None else order

    def _is_remainder_of_position(self, data: Any, size: float) -> bool:
        """Whether the size of an order is a rounding remainder of the position."""
        holding = self._by_data.get(data) if self._clears_remainders and size else None
        return holding is not None and is_remainder(size, of=holding.position.size)

    def _give_market_order(
        self, buys: bool, owner: Any, data: Any, size: float, arguments: tuple[Any, ...], options: dict[str, Any]
    ) -> Any:
        """Submit a slim order for a plain market order; None for any other kind."""
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
            return self._queue_order(order)
        for name in ("oco", "parent"):
            if isinstance(given.get(name), SlimOrder):
                self._register_order(given[name])
        return None

    def _queue_order(self, order: Any) -> Any:
        """Queue a slim order for the check before the next session."""
        order.plen = len(order.data)
        if self.p.checksubmit:
            order.status = Order.Submitted
            self.submitted.append(order)
            self._store_order(order)
            self.notify(order)
        else:
            self.submit_accept(order)
        return order

    def _store_order(self, order: Any) -> None:
        """Store every order, as backtrader does."""
        self.orders.append(order)

    def _register_order(self, order: Any) -> None:
        """Start the bracket and OCO bookkeeping of a slim order, because another order refers to it."""
        if order.ref in self._registered:
            return
        self._registered.add(order.ref)
        self._ocos[order.ref] = order.ref
        waiting = next((other for other in (*self.submitted, *self.pending) if other == order), None)
        if waiting is not None:
            self._pchildren[order.ref] = deque([waiting])
            if not waiting.executed.size:  # a fill ends its OCO group
                self._ocol[order.ref].append(order.ref)
        elif order.status == Order.Completed:
            self._pchildren[order.ref] = deque()

    def _ococheck(self, order: Any) -> None:
        if order.ref not in self._ocos:
            return
        # backtrader searches all waiting orders for members of the group, which few orders have
        if self._ocos[order.ref] == order.ref and len(self._ocol.get(order.ref, ())) < 2:
            self._ocol.pop(order.ref, None)
        else:
            super()._ococheck(order)

    def _bracketize(self, order: Any, cancel: bool = False) -> None:
        if not isinstance(order, SlimOrder) or order.ref in self._pchildren:
            super()._bracketize(order, cancel)

    # -- the check before the session -------------------------------------------------------------------------------

    def check_submitted(self) -> None:
        """Check new orders in sequence against the cash left by earlier ones, at their reference prices."""
        if self.p.coo:
            super().check_submitted()
            return
        cash = self.cash
        simulated: dict[Any, Any] = {}
        while self.submitted:
            order = self.submitted.popleft()
            if not isinstance(order, SlimOrder):
                if self._take_children(order) is None:
                    continue
                if self._skips_cash_check(order):
                    self.submit_accept(order)
                    continue
            if self._expired_before_open(order):
                continue
            data = order.data
            if data not in simulated:
                simulated[data] = self.positions[data].clone()
            position = simulated[data]
            before = position.size, position.price
            cash, opened, exposure, commission = self._simulate_fill(order, cash, position)
            reason = self._pre_trade_check(order, cash, opened, exposure, commission)
            if reason is None:
                self.submit_accept(order)
                continue
            if self._ignores_refused:
                position.size, position.price = before
            self._refuse(order, reason)

    def _simulate_fill(self, order: Any, cash: float, position: Any) -> tuple[float, float, float, float]:
        """Simulate the fill of an order at its reference price, on a copy of the position.

        Returns
        -------
        cash, opened, exposure, commission : float
            Cash left; shares opened; change of the sum of absolute positions; commission. The last two are 0 for
            futures.
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

    def _skips_cash_check(self, order: Any) -> bool:
        """Whether the order needs no cash check, because it cannot fill before another order has filled."""
        return False

    def _expired_before_open(self, order: Any) -> bool:
        """Whether the order expired before the cash check."""
        return False

    def _pre_trade_check(
        self, order: Any, cash: float, opened: float, exposure: float, commission: float
    ) -> str | None:
        """Reason to reject an order before the session, given the cash and exposure after it; None to accept it."""
        return None if cash >= 0.0 else "not enough cash"

    def _refuse(self, order: Any, reason: str | None) -> None:
        """Reject an order that is in no queue, for lack of cash or margin."""
        order.margin()
        self.notify(order)
        self._ococheck(order)
        self._bracketize(order, cancel=True)

    def submit_accept(self, order: Any) -> None:
        """Accept an order and add it to the waiting orders."""
        if not isinstance(order, SlimOrder):
            super().submit_accept(order)
            return
        order.plen = len(order.data)
        order.status = Order.Accepted
        self.pending.append(order)
        self.notify(order)

    # -- fills ------------------------------------------------------------------------------------------------------

    def _commissions(self, holding: Holding, price: float, closed: float, opened: float) -> tuple[float, float]:
        """Commission of the closed and opened parts of a fill: a fraction of the value, or a fee per share."""
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
        self._positions_changed = True
        if ago is None or not self._by_data[data].plain or data._compensate is not None:
            return super()._execute(order, ago, price, cash, position, dtcoc)
        if price is None:
            return None
        size = order.executed.remsize
        if self.p.filler is not None:
            whole, size = abs(size), self.p.filler(order, price, ago)
            if size and self._clears_remainders and is_remainder(whole - size, of=whole):
                size = whole
            if not order.isbuy():
                size = -size
        self._fill(order, size, price, dtcoc or data.datetime[ago])
        return None

    def _fill(
        self, order: Any, size: float, price: float, moment: float, commissions: tuple[float, float] | None = None
    ) -> None:
        """Fill an order at a price, with backtrader's arithmetic for plain stocks."""
        if not size:
            return
        data = order.data
        holding = self._by_data[data]
        position = self.positions[data]
        if self._clears_remainders and -HALF_SHARE < position.size + size < HALF_SHARE:
            size = self._absorb_remainder(order, size)
        self._positions_changed = True
        average = position.price
        after, after_price, opened, closed = position_after(position.size, average, size, price)
        for_closed, for_opened = commissions or self._commissions(holding, price, closed, opened)
        gain = -closed * (price - average) * 1.0
        cash = self.cash
        value_closed = value_opened = 0.0
        if closed:
            value_closed = -closed * average
            cash += value_closed + gain
            cash -= for_closed
            self.cash = cash
        else:
            for_closed = 0.0
        rejected, reason = 0.0, None
        if opened:
            value_opened = opened * price
            cash -= value_opened
            cash -= for_opened
            exposure = price * (abs(after) - abs(position.size))
            short = commissions is None and cash < 0.0 and not self._is_rounding(cash, value_opened)
            reason = None if short else self._margin_check_at_fill(exposure, for_closed + for_opened)
            if short or (reason is not None and commissions is None):
                rejected, opened, value_opened, for_opened = opened, 0, 0.0, 0.0
                self._margin_check_at_fill(-price * abs(closed), for_closed)
            else:
                position.adjbase = price
                self.cash = cash
        else:
            for_opened = 0.0
            self._margin_check_at_fill(-price * abs(closed), for_closed)
        filled = closed + opened
        if filled:
            position.update(filled, price, self._moment_of(data, holding))
            if closed and self.p.int2pnl:
                for_closed += self.d_credit.pop(data, 0.0)
            scheme = self.getcommissioninfo(data)
            order.execute(
                moment, filled, price, closed, value_closed, for_closed, opened, value_opened, for_opened,
                scheme.p.margin, gain, after, after_price,
            )  # fmt: skip
            order.comminfo = scheme
            self.notify(order)
            self._ococheck(order)
        if rejected:
            self._refuse(order, reason)

    def _absorb_remainder(self, order: Any, size: float) -> float:
        """Return the fill size that also closes a rounding remainder of the position, and adjust the order to it."""
        whole = settled(self.positions[order.data].size, size)
        if whole != size and order.executed.remsize == size:
            if isinstance(order, SlimOrder):
                order.own_executed()
            order.executed.remsize = whole
            order.size = order.executed.size + whole
        return whole

    def _is_rounding(self, cash: float, value: float) -> bool:
        """Whether cash is negative only by a rounding error of the value paid for shares."""
        return self._clears_remainders and cash >= -SHARE_TOLERANCE * abs(value)

    def _margin_check_at_fill(self, exposure: float, commission: float) -> str | None:
        """Reason to reject a fill that adds this exposure; a negative exposure is released for other fills."""
        return None

    def _moment_of(self, data: Any, holding: Holding) -> Any:
        """Date of the feed's bar as a datetime, cached because it is equal for all feeds of a market."""
        if not isinstance(holding, PanelHolding):
            return data.datetime.datetime()
        number = data.datetime[0]
        if self._moment[0] != number:
            self._moment = (number, bt.num2date(number))
        return self._moment[1]

    def _match_market(self, order: Any) -> None:
        """Fill a slim order at the open, if its feed has had a bar since it was submitted."""
        holding = self._by_data[order.data]
        if not isinstance(holding, PanelHolding) or not holding.plain or self.p.coc or self.p.coo:
            self._try_exec(order)
            return
        data = order.data
        if not data.datetime[0] > order.created.dt:
            return
        self._execute(order, ago=0, price=self._market_price(order))

    def _market_price(self, order: Any) -> Any:
        """Fill price of a market order; None when there is none within the bar."""
        data = order.data
        if order.size > 0:
            return self._slip_up(data.high[0], data.open[0], doslip=self.p.slip_open)
        return self._slip_down(data.low[0], data.open[0], doslip=self.p.slip_open)

    def _match_pending(self) -> None:
        """Match each waiting order once."""
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
        """Match the next order of the queue of waiting orders."""
        self._match(order)

    def _end_expired(self, order: Any) -> None:
        self.notify(order)
        self._ococheck(order)
        self._bracketize(order, cancel=True)

    def _match(self, order: Any) -> None:
        """Match one order against the bar, and return it to the queue if it is still alive."""
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
        """Process one session: checks, fills, interest, futures and valuation."""
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
        """Determine the current session; return the nights since the last one."""
        if not self._holdings:
            self._begin_run()
        before, self._now = self._now, self._clock()
        if self._now > before:  # a weekly bar can arrive after the daily bars of its last day
            self._sessions.append(self._now)
        return self._now - before if len(self._sessions) > 1 else 0.0

    def _before_orders(self, nights: float) -> None:
        """Process events before the cash check of orders."""

    def _after_fills(self) -> None:
        """Process events after the fills, before the account is valued."""

    def _charge_interest(self) -> float:
        """Charge the interest of commission schemes, as backtrader does; return the sum."""
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
        """Adjust cash for futures, as backtrader does."""
        for data, position in self.positions.items():
            if position:
                close = data.close[0]
                self.cash += self.getcommissioninfo(data).cashadjust(position.size, position.adjbase, close)
                position.adjbase = close
