"""backtrader's broker with its traps closed.

Read beside `backtrader.brokers.BackBroker`, whose order of operations it keeps: market orders on feeds without gaps
give the same floats. What differs, and why:

* **Day orders, bar barrier.** A market order is for the next session. If its feed has no bar then, or the volume does
  not suffice, the rest expires; stock fills it whenever the next bar comes. Limit and stop orders wait, but are never
  matched against a bar that was over when they were given. An order for a feed without a bar today is rejected.
* **Delistings.** A holding without a bar for `delist_after` sessions is cashed out: longs at the last price ×
  (1 − `delist_haircut`), shorts at the last price. Orders waiting for it are cancelled.
* **Reductions are never refused** for lack of cash; stock refuses them when cash is below zero.
* **Shorts** need a `borrow_rate`, which is charged for every night on what the shares are worth.
* **Ruin.** At a close with value at or below zero, or below `maintenance_margin` × the sum of absolute positions, the
  account is closed and the run ends, aloud.
* **Slippage is not capped** at the bar's high and low: a bar that has only a close would make it zero in silence. Limit
  orders never slip through their limit.
* **NaN** is no bar: nothing fills at it, nothing is valued at it.
* **Reasons.** Every order that is not filled says why in `order.info["broker_reason"]`.
"""

from __future__ import annotations

import datetime as dt
import warnings
from typing import Any

import backtrader as bt
from backtrader.order import BuyOrder, Order, SellOrder

from backtests.clock import day_of
from backtests.costs import DAYS_PER_YEAR, BrokerSettings, VolumeShare, commission_info
from backtests.valuation import Holding, ValuedBroker
from signals.errors import InputError

__all__ = ["Broker", "RuinWarning"]


class RuinWarning(UserWarning):
    """The account was closed by ruin or a margin call, and the run ended early."""


class Broker(ValuedBroker):
    """Simulated account for daily bars.

    Parameters
    ----------
    settings : BrokerSettings
        Costs and rules.

    Attributes
    ----------
    settings : BrokerSettings
        As given.
    stopped : str or None
        Why and when the account was closed.
    borrow_fees : float
        Fees paid for borrowed shares so far, in account currency.

    Notes
    -----
    For a user's own Cerebro: `cerebro.setbroker(rs.Broker(settings))`. Sessions are those of `add_prices`, or else the
    dates on which any feed has a bar. In a run with several timeframes the rules for gaps hold for the finest one.
    """

    def __init__(self, settings: BrokerSettings) -> None:
        if not isinstance(settings, BrokerSettings):
            raise InputError(f"expected BrokerSettings; found {settings!r}; use Broker(BrokerSettings(cash=...))")
        self.settings = settings
        self.p.cash = float(settings.cash)
        self.p.commission = commission_info(settings)
        self.p.slip_perc = float(settings.slippage)
        self.p.slip_open = True
        self.p.int2pnl = False
        if settings.max_volume_share is not None:
            self.p.filler = VolumeShare(settings.max_volume_share, fractional=settings.fractional)
        super().__init__()

    def init(self) -> None:
        """Begin anew; called by backtrader at the start of every run."""
        super().init()
        self.stopped: str | None = None
        self.borrow_fees = 0.0
        self._unheard = False  # whether copies of orders on their way would be made for nobody

    # -- what a strategy may ask ------------------------------------------------------------------------------------

    def add_cash(self, cash: float) -> None:
        """Refuse deposits: backtrader would count them as returns."""
        raise InputError(f"expected no deposits or withdrawals; found {cash:,.2f}; start with the cash you need")

    # -- orders -----------------------------------------------------------------------------------------------------

    def submit(self, order: Any, check: bool = True) -> Any:
        """Take an order, or reject it aloud: after the account was closed, and on feeds without a bar today."""
        order.addinfo(broker_session=self._now)
        # asked for many times per order, and otherwise looked up through the parameters each time
        order.data, order.owner, order.parent = order.p.data, order.p.owner, order.p.parent
        if check and self.stopped is not None:
            return self._reject(order, self.stopped)
        if check and not self.trades_today(order.data):
            return self._reject(order, f"no bar on {self._day()} when the order was given")
        return super().submit(order, check)

    def transmit(self, order: Any, check: bool = True) -> Any:
        """Queue an order for the check before the next session, without keeping it for ever as stock does."""
        if check and self.p.checksubmit:
            order.submit()
            self.submitted.append(order)
            self.notify(order)
        else:
            self.submit_accept(order)
        return order

    def check_submitted(self) -> None:
        """Check new orders one after the other against the cash that those before leave, at the prices they saw."""
        cash = self.cash
        positions: dict[Any, Any] = {}
        while self.submitted:
            order = self.submitted.popleft()
            if self._take_children(order) is None:
                continue
            if order.exectype == Order.Market and not self.trades_today(order.data):
                self._drop(order, Order.Expired, f"no bar on {self._day()}")
                continue
            if order.data not in positions:
                positions[order.data] = self.positions[order.data].clone()
            position = positions[order.data]
            cash = self._execute(order, cash=cash, position=position)
            if cash >= 0.0 or not position.upopened:
                self.submit_accept(order)
            else:
                self._drop(order, Order.Margin, f"{-cash:,.2f} short of cash at the price of {self._day_of(order)}")

    def _execute(
        self,
        order: Any,
        ago: int | None = None,
        price: float | None = None,
        cash: float | None = None,
        position: Any = None,
        dtcoc: float | None = None,
    ) -> Any:
        filling = ago is not None and price is not None
        unborrowed = filling and order.size < 0 and self.settings.borrow_rate is None
        if unborrowed and self.positions[order.data].size + order.executed.remsize < 0:
            self._drop(order, Order.Rejected, "a short sale needs borrow_rate in the broker settings")
            return None
        return super()._execute(order, ago, price, cash, position, dtcoc)

    def notify(self, order: Any) -> None:
        """Tell the strategy; an order refused while it fills says why."""
        if self._unheard and order.status in (Order.Submitted, Order.Accepted):
            return
        if order.status == Order.Margin and "broker_reason" not in order.info:
            order.addinfo(broker_reason=f"not enough cash at the price of {self._day()}")
        super().notify(order)

    def _begin(self) -> None:
        super()._begin()
        self._unheard = not any(_listens(strategy) for strategy in self.cerebro.runningstrats)

    def _ococheck(self, order: Any) -> None:
        # stock looks through all waiting orders for companions that nearly no order has
        if self._ocos[order.ref] == order.ref and len(self._ocol.get(order.ref, ())) < 2:
            self._ocol.pop(order.ref, None)
        else:
            super()._ococheck(order)

    def _reject(self, order: Any, reason: str) -> Any:
        order.reject(self)
        order.addinfo(broker_reason=reason)
        self.notify(order)
        return order

    def _drop(self, order: Any, status: int, reason: str) -> None:
        """End an order that is in no queue any more, and what depends on it."""
        order.addinfo(broker_reason=reason)
        order.status = status
        self.notify(order)
        self._ococheck(order)
        self._bracketize(order, cancel=True)

    # -- one session ------------------------------------------------------------------------------------------------

    def next(self) -> None:
        """Do what happens between the last close and this one: fees, checks, fills, delistings, valuation."""
        if not self._holdings:
            self._begin()
        before, self._now = self._now, self._clock()
        if self.stopped is not None:
            self.cerebro.runstop()
            return
        if self._now > before:  # a weekly bar can come after the daily ones of its last day
            self._sessions.append(self._now)
        while self._toactivate:
            self._toactivate.popleft().activate()
        self._charge_borrowing(self._now - before)
        if self.p.checksubmit and self.submitted:
            self.check_submitted()
        if not self._plain:
            self._charge_interest()
        if self._userhist:
            self._process_order_history()
        if self.pending:
            self._match_pending()
        self._cash_out_dead()
        if not self._plain:
            self._settle_futures()
        self._get_value()
        self._stop_when_ruined()

    def _charge_borrowing(self, nights: float) -> None:
        if self._borrowed and self.settings.borrow_rate:
            fee = self._borrowed * self.settings.borrow_rate * nights / DAYS_PER_YEAR
            self.borrow_fees += fee
            self.cash -= fee

    def _charge_interest(self) -> None:
        """Charge the interest of a user's own commission scheme, as stock does."""
        for holding in self._holdings:
            position = holding.position
            if position.size:
                today = holding.data.datetime.datetime()
                credit = self.getcommissioninfo(holding.data).get_credit_interest(holding.data, position, today)
                self.d_credit[holding.data] += credit
                self.borrow_fees += credit
                self.cash -= credit
                position.datetime = today

    def _settle_futures(self) -> None:
        """Adjust cash for futures, as stock does."""
        for holding in self._holdings:
            position = holding.position
            if position.size:
                close = holding.data.close[0]
                scheme = self.getcommissioninfo(holding.data)
                self.cash += scheme.cashadjust(position.size, position.adjbase, close)
                position.adjbase = close

    def _match_pending(self) -> None:
        self.pending.append(None)
        while True:
            order = self.pending.popleft()
            if order is None:
                return
            if order.expire():
                self._drop(order, Order.Expired, "its validity ended")
            elif not order.active():
                self.pending.append(order)
            elif not self.trades_today(order.data):
                if order.exectype == Order.Market:
                    self._drop(order, Order.Expired, f"no bar on {self._day()}")
                else:
                    self.pending.append(order)
            else:
                self._try_exec(order)
                self._after_match(order)

    def _after_match(self, order: Any) -> None:
        if order.status == Order.Completed:
            self._bracketize(order)
            if not self._pchildren[order.ref]:
                del self._pchildren[order.ref]  # stock keeps an empty queue for every order ever filled
        elif order.alive():
            if order.exectype == Order.Market and order.data.datetime[0] > order.created.dt:
                done = abs(order.executed.size)
                self._drop(order, Order.Expired, f"volume sufficed for {done:,.10g} of {abs(order.size):,.10g} shares")
            else:
                self.pending.append(order)

    def _slip_up(self, pmax: float, price: float, doslip: bool = True, lim: bool = False) -> float:
        if not doslip:
            return price
        slipped = price * (1 + self.p.slip_perc) if self.p.slip_perc else price + self.p.slip_fixed
        return float(min(slipped, pmax) if lim else slipped)

    def _slip_down(self, pmin: float, price: float, doslip: bool = True, lim: bool = False) -> float:
        if not doslip:
            return price
        slipped = price * (1 - self.p.slip_perc) if self.p.slip_perc else price - self.p.slip_fixed
        return float(max(slipped, pmin) if lim else slipped)

    # -- delistings -------------------------------------------------------------------------------------------------

    def _cash_out_dead(self) -> None:
        today = len(self._sessions) - 1
        for holding in self._by_data.values():
            if not holding.position.size or today - holding.seen < self.settings.delist_after:
                continue
            if not holding.has_bar(self._now):
                self._cash_out(holding)

    def _cash_out(self, holding: Holding) -> None:
        data, size = holding.data, holding.position.size
        for waiting in [order for order in self.pending if order.data is data]:
            self.pending.remove(waiting)
            self._drop(waiting, Order.Canceled, f"delisted: cashed out on {self._day()}")
        last = day_of(self._sessions[holding.seen])
        haircut = self.settings.delist_haircut if size > 0 else 0.0
        kind = SellOrder if size > 0 else BuyOrder
        order = kind(owner=None, data=data, size=abs(size), exectype=Order.Market)
        loss = f", less {100 * haircut:g} %" if haircut else ""
        why = f"no bar since {last}; cashed out at its price{loss}"
        order.addinfo(broker_session=self._now, broker_liquidation=True, broker_reason=why)
        self._ocoize(order, None)
        order.submit()
        order.accept()
        filler, self.p.filler = self.p.filler, None  # nobody trades any more: volume is no limit
        try:
            self._execute(order, ago=0, price=holding.price * (1.0 - haircut), dtcoc=self._now)
        finally:
            self.p.filler = filler

    def _stop_when_ruined(self) -> None:
        value, needed = self._value, self.settings.maintenance_margin * self._gross
        if value > 0.0 and value >= needed:
            return
        if value <= 0.0:
            self.stopped = f"The account was ruined on {self._day()}: its value was {value:,.2f}."
        else:
            self.stopped = (
                f"The account was closed on {self._day()}: its value of {value:,.2f} was below the maintenance margin "
                f"of {100 * self.settings.maintenance_margin:g} % of positions of {self._gross:,.2f}."
            )
        for order in list(self.pending):
            self.pending.remove(order)
            self._drop(order, Order.Canceled, self.stopped)
        warnings.warn(self.stopped, RuinWarning, stacklevel=2)

    @staticmethod
    def _day_of(order: Any) -> dt.date:
        moment: dt.datetime = bt.num2date(order.created.dt)
        return moment.date()


def _listens(strategy: Any) -> bool:
    """Whether the strategy, or what observes it, wants to hear of orders that are merely on their way."""
    if type(strategy).notify_order is not bt.Strategy.notify_order or strategy.getobservers():
        return True
    analyzers = [*strategy.analyzers, *strategy._slave_analyzers]
    while analyzers:
        analyzer = analyzers.pop()
        if type(analyzer).notify_order is not bt.Analyzer.notify_order and not getattr(
            analyzer, "outcomes_only", False
        ):
            return True
        analyzers += analyzer._children
    return False
