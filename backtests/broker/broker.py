"""Simulated account with the rules of `backtests.common.broker_rules`.

This module has day orders, matching against later bars only, delistings, margin, ruin and NaN prices. Its base classes
are `LinkedBroker` (brackets and OCO groups), `ChargingBroker` (costs of the settings) and `FastBroker`, whose results
are those of stock backtrader to the bit. Every order that ends unfilled has a reason in `order.info["broker_reason"]`.
"""

from __future__ import annotations

import datetime as dt
import math
import warnings
from collections.abc import Iterable
from typing import Any

import backtrader as bt
from backtrader.order import BuyOrder, Order, SellOrder

from backtests.broker.fast_broker import position_after
from backtests.broker.fill_sources import UNFILLED, FillSource, split_commission
from backtests.broker.linked_broker import LinkedBroker
from backtests.broker.order_notifications import handles_notification
from backtests.broker.orders import BY_STRATEGY, info_of
from backtests.broker.settings import BrokerSettings
from backtests.broker.valuation import Holding
from backtests.common.broker_rules import closed_rules
from backtests.common.share_tolerances import SHARE_TOLERANCE
from backtests.feeds.session_clock import day_of
from signals.common.errors import CheckFailedError, InputError

__all__ = ["Broker", "RuinWarning"]


class RuinWarning(UserWarning):
    """The account was closed by ruin or a margin call, and the run ended early."""


class Broker(LinkedBroker):
    """Simulated account for daily bars.

    Parameters
    ----------
    settings : BrokerSettings, optional
        Costs and rules. They can be left out with `compat=True`; cash and costs are then set as in backtrader.
    compat : bool or collection of str
        True disables all rules: results are those of `backtrader.brokers.BackBroker`, bit for bit; of the settings only
        cash, commission and slippage apply, and on raw prices splits and dividends are still applied. Names from
        `backtests.common.broker_rules.RULES` disable those rules.
    fills : FillSource, optional
        Source of fills: simulated by default; a `FillJournal` replays recorded fills.

    Attributes
    ----------
    settings : BrokerSettings or None
        As given.
    rules : frozenset of str
        Names of the rules that apply.
    stopped : str or None
        Reason and date of the closure of the account; None while it is open.
    borrow_fees : float
        Fees paid for borrowed shares so far, in account currency.
    flows : list of (day, ticker, kind, amount, shares)
        Cash flows and changes of shares other than trades: fees, interest, dividends, splits. Days are backtrader day
        numbers, amounts are changes of the cash.

    Notes
    -----
    In your own Cerebro: `cerebro.setbroker(rs.Broker(settings))`. Sessions are those of `add_prices` and the dates
    on which any other feed has a bar; daily feeds of your own must be dated at midnight. In a run with several
    timeframes the rules on missing bars apply to the finest one.
    """

    def __init__(
        self,
        settings: BrokerSettings | None = None,
        *,
        compat: bool | Iterable[str] = False,
        fills: FillSource | None = None,
    ) -> None:
        self.rules = closed_rules(compat)
        if settings is None and self.rules:
            raise InputError(
                "expected BrokerSettings; found none; use Broker(BrokerSettings(cash=..., commission=..., "
                "slippage=...)), or Broker(compat=True) for backtrader's own rules"
            )
        if settings is not None and not isinstance(settings, BrokerSettings):
            raise InputError(f"expected BrokerSettings; found {settings!r}; use Broker(BrokerSettings(cash=...))")
        if fills is not None and (isinstance(fills, type) or not isinstance(fills, FillSource)):
            raise InputError(
                f"expected fills from a source such as FillJournal.read(path); found {fills!r:.60}; pass a FillJournal"
            )
        self.fills = fills
        self._ignores_refused = "ignore_refused_orders_in_cash_check" in self.rules
        self._clears_remainders = "clear_share_remainders" in self.rules
        self.p.int2pnl = "interest_separate_from_commission" not in self.rules
        super().__init__(settings, costs=bool(self.rules))

    def init(self) -> None:
        """Reset the state; called by backtrader at the start of every run."""
        super().init()
        self.stopped: str | None = None
        self._opened_at = float(self.p.cash)
        self._filled = self._spent = 0.0  # sum of absolute positions and commissions as orders fill
        self._no_order_handlers = False  # whether no notification handler needs copies of open orders
        self._day_orders, self._bar_barrier = "day_orders" in self.rules, "match_later_bars_only" in self.rules
        if self.fills is not None:
            self.fills.begin()

    # -- cash ------------------------------------------------------------------------------------------------------

    def add_cash(self, cash: float) -> None:
        """Raise InputError: backtrader would count deposits as returns."""
        if "refuse_deposits" in self.rules:
            raise InputError(
                f"expected no deposits or withdrawals; found {cash:,.2f}; set the required cash at the start"
            )
        super().add_cash(cash)

    # -- orders -----------------------------------------------------------------------------------------------------

    def _queue_order(self, order: Any) -> Any:
        return order if self._reject_invalid(order) else super()._queue_order(order)

    def submit(self, order: Any, check: bool = True) -> Any:
        """Accept an order, or reject it with a reason: after the account was closed, and on feeds without a bar."""
        # these attributes are read many times per order; otherwise each access searches the parameters
        order.data, order.owner, order.parent = order.p.data, order.p.owner, order.p.parent
        if check and self._reject_invalid(order):
            return order
        return super().submit(order, check)

    def _reject_invalid(self, order: Any) -> bool:
        if self.fills is not None:
            self.fills.given(order, self._now)
        if self.stopped is not None:
            reason = self.stopped
        elif self._bar_barrier and not self._sessions:
            order.reject(self)
            order.addinfo(broker_session=float("nan"), broker_reason="given before the first session")
            self.notify(order)
            return True
        elif self._bar_barrier and not 0 <= order.exectype < len(Order.ExecTypes):
            reason = f"its kind, {order.exectype!r}, is none of backtrader's"
        elif not math.isfinite(order.size) and "reject_non_finite_sizes" in self.rules:
            reason = f"its size of {order.size} is no number of shares"
        elif self._bar_barrier and not self._has_bar_now(order.data):
            reason = f"no bar on {day_of(self._clock())} when the order was given"
        elif self._beyond_splits(order.data):
            reason = "splits and dividends of raw prices do not reach resampled feeds"
        else:
            if order.created.dt != self._now:
                order.addinfo(broker_session=self._now)
            return False
        order.addinfo(broker_session=self._now)
        if self._cancel_without_parent(order):
            return True
        order.reject(self)
        order.addinfo(broker_reason=reason)
        if order.parent is not None and order.parent.status == Order.Rejected:
            order.addinfo(broker_follows=True)
        self.notify(order)
        return True

    def cancel(self, order: Any, bracket: bool = False) -> bool:
        """Cancel a waiting order, also one submitted in the same session."""
        if not bracket and "cancel_unchecked_orders" in self.rules and order in self.submitted:
            self.withdraw(order, BY_STRATEGY)
            return True
        return bool(super().cancel(order, bracket))

    def transmit(self, order: Any, check: bool = True) -> Any:
        """Queue an order for the check before the next session."""
        if "release_finished_orders" not in self.rules:
            return super().transmit(order, check)
        if check and self.p.checksubmit:
            order.submit()
            self.submitted.append(order)
            self.notify(order)
        else:
            self.submit_accept(order)
        return order

    def _store_order(self, order: Any) -> None:
        if "release_finished_orders" not in self.rules:
            super()._store_order(order)

    def check_submitted(self) -> None:
        """Check new orders in sequence against the cash left by earlier ones, at their reference prices."""
        self._exposure, self._paid = self._gross, 0.0
        super().check_submitted()

    def _expired_before_open(self, order: Any) -> bool:
        if not (self._day_orders and order.exectype == Order.Market) or self.trades_today(order.data):
            return False
        if not self._by_data[order.data].in_session(self._now):
            return False  # the exchange of this feed has no session now
        if self.fills is not None and self.fills.expects(order, self._now):
            return False
        self._end_order(order, Order.Expired, f"no bar on {self._day()}")
        return True

    def _pre_trade_check(
        self, order: Any, cash: float, opened: float, exposure: float, commission: float
    ) -> str | None:

        total_exposure, paid = self._exposure + exposure, self._paid + commission
        if self.fills is not None and self.fills.expects(order, self._now):
            self._exposure, self._paid = total_exposure, paid
            return None
        short = not cash >= 0.0 and not self._is_rounding(cash, opened * order.created.price)
        if short and (opened or "never_refuse_reductions" not in self.rules):
            return f"{-cash:,.2f} short of cash at the price of {self._day_of(order)}"
        if opened and (reason := self._margin_violation(self._value, total_exposure, paid)):
            return reason
        self._exposure, self._paid = total_exposure, paid
        return None

    def _refuse(self, order: Any, reason: str | None) -> None:
        if reason is not None:
            order.addinfo(broker_reason=reason)
        super()._refuse(order, reason)

    def notify(self, order: Any) -> None:
        """Notify the strategy of an order; add a reason to an order rejected for cash while it fills."""
        if self._no_order_handlers and order.status in (Order.Submitted, Order.Accepted):
            return
        if order.status == Order.Margin and "broker_reason" not in order.info:
            order.addinfo(broker_reason=f"not enough cash at the price of {self._day()}")
        super().notify(order)

    # -- one session ------------------------------------------------------------------------------------------------

    def next(self) -> None:
        """Process one session: fees, cash checks, fills, delistings, valuation and ruin."""
        if self.stopped is not None:
            self.cerebro.runstop()
            return
        super().next()
        if "close_ruined_account" in self.rules:
            self._close_if_ruined()

    def _begin_run(self) -> None:
        super()._begin_run()
        self._no_order_handlers = not any(
            handles_notification(strategy, "notify_order") for strategy in self.cerebro.runningstrats
        )
        if "keep_last_price_over_nan_bars" in self.rules:
            # every position is created in the order of the feeds, so that values are summed in that order
            for holding in self._holdings:
                self.positions[holding.data] = holding.position
        if self.fills is not None and not self._plain:
            raise InputError(
                "expected stocks with the commission of the settings, because fills are replayed; found another "
                "commission scheme; remove it"
            )

    def _before_orders(self, nights: float) -> None:
        super()._before_orders(nights)
        self._filled, self._spent, self._opened_at = self._gross, 0.0, self._value
        if self._plain and "initial_margin" in self.rules and (self.submitted or self.pending):
            self._value_at_open()

    def _value_at_open(self) -> None:
        """Value the account at today's opens, so that the margin check at fills includes overnight gaps."""
        self._update_held()
        values = []
        for holding in self._held:
            price = holding.open_on(self._now)
            values.append(holding.position.size * (price if price == price else holding.price))
        self._filled = float(sum(map(abs, values)))
        self._opened_at = self.cash + float(sum(values))

    def _after_fills(self) -> None:
        if self.fills is not None:
            for warning in self.fills.left_over(self._now):
                raise CheckFailedError(warning)
        if "cash_out_delisted_holdings" in self.rules:
            self._cash_out_delisted()

    # -- fills ------------------------------------------------------------------------------------------------------

    def _execute(
        self,
        order: Any,
        ago: int | None = None,
        price: float | None = None,
        cash: float | None = None,
        position: Any = None,
        dtcoc: float | None = None,
    ) -> Any:
        if ago is not None and price is not None:
            if self._clears_remainders and order.executed.remsize:
                self._absorb_remainder(order, order.executed.remsize)
            if self._lacks_borrow_rate(order):
                self._end_order(order, Order.Rejected, "a short sale needs borrow_rate in the broker settings")
                return None
        return super()._execute(order, ago, price, cash, position, dtcoc)

    def _lacks_borrow_rate(self, order: Any) -> bool:
        return (
            order.size < 0
            and "require_borrow_rate_for_shorts" in self.rules
            and self._terms.borrow_rate is None
            and self.positions[order.data].size + order.executed.remsize < 0
        )

    def _margin_check_at_fill(self, exposure: float, commission: float) -> str | None:
        total_exposure, paid = self._filled + exposure, self._spent + commission
        if exposure > 0.0 and (reason := self._margin_violation(self._opened_at, total_exposure, paid)):
            return reason
        self._filled, self._spent = total_exposure, paid
        return None

    def _margin_violation(self, value: float, exposure: float, paid: float) -> str | None:
        """Reason when the account value would be below the initial margin of the exposure; None otherwise."""
        value, margin = value - paid, self._terms.initial_margin
        if "initial_margin" not in self.rules or value >= margin * exposure:
            return None
        if self._clears_remainders and value >= margin * exposure * (1.0 - SHARE_TOLERANCE):
            return None
        return (
            f"positions of {exposure:,.2f} would be more than a value of {value:,.2f} allows at an initial margin of "
            f"{100 * margin:g} %"
        )

    def _end_expired(self, order: Any) -> None:
        order.addinfo(broker_reason="its validity ended")
        super()._end_expired(order)

    def _match(self, order: Any) -> None:
        if self.fills is not None and self._book_replayed_fills(order, self.fills):
            return
        if not self._can_match(order):
            holding = self._by_data[order.data]
            session_over = holding.fine and holding.in_session(self._now)
            if session_over and self._day_orders and order.exectype == Order.Market:
                self._end_order(order, Order.Expired, f"no bar on {self._day()}")
            else:
                self.pending.append(order)
            return
        self._update_volatility_slippage(order)
        if not self._day_orders or order.exectype != Order.Market:
            super()._match(order)
            return
        super()._match(order)
        if self.pending and self.pending[-1] is order and order.data.datetime[0] > order.created.dt:
            self.pending.pop()
            filled, size = abs(order.executed.size), abs(order.size)
            reason = f"volume sufficed for {filled:,.10g} of {size:,.10g} shares"
            self._end_order(
                order, Order.Expired, reason if self.p.filler else f"no price for it in the bar of {self._day()}"
            )

    def _has_bar_now(self, data: Any) -> bool:
        """Whether the feed has a bar on the session of the feeds; `next_open` and timers run before the broker."""
        holding = self._by_data[data]
        return not holding.fine or holding.has_bar(self._clock())

    def _can_match(self, order: Any) -> bool:
        data = order.data
        if self._bar_barrier:
            if not self.trades_today(data):
                return False
            if self._by_data[data].fine:
                return True
            # a bar of a longer timeframe must have begun after the order was submitted
            submitted = info_of(order).get("broker_session", order.created.dt)
            return len(data) > 1 and bool(data.datetime[-1] // 1.0 >= submitted // 1.0)
        if not self._keeps_price or not len(data):
            return True
        first, last = data.open[0], data.close[0]
        return bool(first == first and last == last)

    def _book_replayed_fills(self, order: Any, source: FillSource) -> bool:
        """Book the recorded fills of an order; False when it is to be simulated."""
        fills = source.fills_of(order, self._now)
        if fills is None:
            return False
        holding = self._by_data[order.data]
        for fill in fills:
            held = self.positions[order.data].size
            opened, closed = _opened_and_closed(held, fill.size)
            simulated = self._commissions(holding, fill.price, closed, opened)
            paid = split_commission(fill.commission, closed, opened, simulated)
            self._fill(order, fill.size, fill.price, self._now, paid)
            if not held and not holding.has_bar(self._now):  # valued at the last close until the next bar
                last = float(order.data.close[0])
                holding.price = last if last == last else fill.price
                holding.seen, holding.seen_on = holding.number(len(self._sessions)), self._now
        if not order.alive():
            self._bracketize(order)
        elif ending := source.ending_of(order, self._now):
            self._end_order(order, ending.status, ending.reason)
        elif order.exectype == Order.Market and self._day_orders:
            self._end_order(order, Order.Expired, UNFILLED)
        else:
            self.pending.append(order)
        return True

    # -- delistings -------------------------------------------------------------------------------------------------

    def _cash_out_delisted(self) -> None:
        limit, sessions = self._terms.delist_after_sessions, len(self._sessions)
        self._update_held()
        for holding in self._held:
            if not holding.fine or holding.number(sessions) - holding.seen < limit:
                continue
            if not holding.has_bar(self._now):
                self._cash_out(holding)
        for order in list(self.pending):  # waiting orders for delisted tickers that are not held
            data = order.data
            if self.trades_today(data) or not len(data):
                continue
            if self._by_data[data].since(self._sessions, data.datetime[0]) >= limit:
                self.withdraw(order, f"delisted: no bar since {day_of(data.datetime[0])}")

    def _cash_out(self, holding: Holding) -> None:
        data, size = holding.data, holding.position.size
        for waiting in self.waiting_orders(data):
            self.withdraw(waiting, f"delisted: cashed out on {self._day()}")
        last = day_of(holding.seen_on)
        haircut = self._terms.delist_haircut if size > 0 else 0.0
        kind = SellOrder if size > 0 else BuyOrder
        order = kind(owner=None, data=data, size=abs(size), exectype=Order.Market)
        loss = f", less {100 * haircut:g} %" if haircut else ""
        reason = f"no bar since {last}; cashed out at its price{loss}"
        order.addinfo(broker_session=self._now, broker_liquidation=True, broker_reason=reason)
        self._ocoize(order, None)
        order.submit()
        order.accept()
        filler, self.p.filler = self.p.filler, None  # the volume limit does not apply to delistings
        try:
            self._execute(order, ago=0, price=holding.price * (1.0 - haircut), dtcoc=self._now)
        finally:
            self.p.filler = filler

    def _close_if_ruined(self) -> None:
        value, needed = self._value, self._terms.maintenance_margin * self._gross
        if value != value:
            raise CheckFailedError(
                f"expected a finite account value on {self._day()}; found NaN; look for a price or a commission that "
                "is NaN"
            )
        if value > 0.0 and value >= needed:
            return
        if value <= 0.0:
            self.stopped = f"The account was ruined on {self._day()}: its value was {value:,.2f}."
        else:
            self.stopped = (
                f"The account was closed on {self._day()}: its value of {value:,.2f} was below the maintenance margin "
                f"of {100 * self._terms.maintenance_margin:g} % of positions of {self._gross:,.2f}."
            )
        for order in list(self.pending):
            self.withdraw(order, self.stopped)
        warnings.warn(self.stopped, RuinWarning, stacklevel=2)

    @staticmethod
    def _day_of(order: Any) -> dt.date:
        moment: dt.datetime = bt.num2date(order.created.dt)
        return moment.date()


def _opened_and_closed(held: float, change: float) -> tuple[float, float]:
    """Split a change of a position into its opened and its closed part."""
    _, _, opened, closed = position_after(held, 1.0, change, 1.0)
    return opened, closed
