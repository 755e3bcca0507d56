"""Broker with the costs of `BrokerSettings`, splits and dividends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backtrader.order import Order

from backtests.broker.commission import CommissionModel, allow_fractions, commission_scheme
from backtests.broker.corporate_actions import apply_actions
from backtests.broker.costs import Costs, VolumeShare, daily_volatility, raw_per_share
from backtests.broker.fast_broker import FastBroker
from backtests.broker.settings import BrokerSettings
from backtests.broker.valuation import Holding
from backtests.common.share_tolerances import SHARE_TOLERANCE
from backtests.feeds.action_schedule import CorporateActions
from backtests.feeds.panel_feeds import PanelFeed
from signals.common.errors import InputError

__all__ = ["ChargingBroker"]

# Kind of commission by `CommissionModel`; backtrader's kinds are 0 (fraction of the value) and 1 (fee per share).
_BY_MODEL = 2

# Number of closes that `daily_volatility` uses.
_CLOSES = 22


class ChargingBroker(FastBroker):
    """Commission, slippage, borrow fees, interest, splits and dividends.

    Parameters
    ----------
    settings : BrokerSettings, optional
        None means that cash and costs are set as in backtrader.
    costs : bool
        Whether all settings apply; otherwise only cash, commission and slippage, the latter as in backtrader.
    """

    def __init__(self, settings: BrokerSettings | None, *, costs: bool) -> None:
        self.settings = settings
        self._terms = settings or BrokerSettings(cash=float(self.p.cash), commission=0.0, slippage=0.0)
        self._costs = Costs(self._terms)
        self._charging = settings is not None and costs
        self._varying = self._charging and self._costs.varying_slippage
        self.changes: list[str] = []  # calls of the script that set costs in addition to the settings
        if settings is not None:
            self._apply(settings)
        super().__init__()

    def _apply(self, settings: BrokerSettings) -> None:
        self.p.cash = float(settings.cash)
        if not self._charging:
            self.p.commission = commission_scheme(settings)
            self.set_slippage_perc(settings.slippage)
            return
        whole = "whole" if "clear_share_remainders" in self.rules else "stock"
        self.p.commission = commission_scheme(settings, shares="fractional" if settings.fractional else whole)
        self.p.slip_perc = self._costs.slippage(float("nan"))
        self.p.slip_open = True
        if settings.max_participation_rate is not None:
            self.p.filler = VolumeShare(settings.max_participation_rate, fractional=settings.fractional)

    @property
    def books_known(self) -> bool:
        """Whether fills, commissions and `flows` reconcile the cash of every session.

        False when interest is booked as commission, as in backtrader, and with the history of a fund.
        """
        return not self._fundhist and not self._interest_booked

    def set_cash(self, cash: float) -> None:
        """Set the starting cash, as in backtrader; with settings, the result gets a warning."""
        self._note_change(f"setcash({cash:g})")
        super().set_cash(cash)

    setcash = set_cash

    def set_slippage_perc(self, *arguments: Any, **options: Any) -> None:
        """Set slippage, as in backtrader; with settings, the result gets a warning."""
        self._note_change(f"set_slippage_perc({_call_text(arguments, options)})")
        super().set_slippage_perc(*arguments, **options)

    def set_slippage_fixed(self, *arguments: Any, **options: Any) -> None:
        """Set slippage, as in backtrader; with settings, the result gets a warning."""
        self._note_change(f"set_slippage_fixed({_call_text(arguments, options)})")
        super().set_slippage_fixed(*arguments, **options)

    def setcommission(self, *arguments: Any, name: str | None = None, **options: Any) -> None:
        """Set a commission scheme, as in backtrader; the result gets a warning."""
        self._note_change(f"setcommission({_call_text(arguments, {**options, 'name': name} if name else options)})")
        super().setcommission(*arguments, name=name, **options)
        self._size_in_fractions(name)

    def addcommissioninfo(self, comminfo: Any, name: str | None = None) -> None:
        """Add a commission scheme, as in backtrader; the result gets a warning."""
        self._note_change(f"addcommissioninfo({type(comminfo).__name__}{f', name={name!r}' if name else ''})")
        super().addcommissioninfo(comminfo, name)
        self._size_in_fractions(name)

    def _size_in_fractions(self, name: str | None) -> None:
        if self._charging and self._terms.fractional:
            allow_fractions(self.comminfo[name])

    def _note_change(self, what: str) -> None:
        """Record that the settings no longer contain all costs."""
        if self._charging:
            self.changes.append(what)

    def init(self) -> None:
        """Reset the state; called by backtrader at the start of every run."""
        super().init()
        self._interest_booked = False  # as commission, in addition to the deduction from cash
        self.borrow_fees = 0.0
        self.flows: list[tuple[float, str, str, float, float]] = []
        self._before = float("-inf")  # previous session
        self._extra_slip = 0.0
        self._unslipped: float | None = None  # price of the fill in progress before slippage
        self._limit: float | None = None  # limit price of the order in progress
        self._actions: CorporateActions | None = None

    def _begin_run(self) -> None:
        super()._begin_run()
        ours = [h.data for h in self._holdings if isinstance(h.data, PanelFeed)]
        self._feed_of = {data._name: data for data in ours if not data._filters}
        markets = {id(data.market): data.market for data in ours}
        for market in markets.values():
            if self._charging and market.adjusted == (self._terms.dividends == "cash"):
                found = "adjusted" if market.adjusted else "raw"
                raise InputError(
                    f"expected feeds that match broker.dividends = {self._terms.dividends!r}; found {found} prices; "
                    f"use add_prices(..., adjusted={not market.adjusted}), or change that setting"
                )
        events = [action for market in markets.values() for action in market.actions]
        self._actions = CorporateActions(events) if events else None

    def _beyond_splits(self, data: Any) -> bool:
        """Whether splits are not applied to this feed: one resampled or filtered from a raw daily feed."""
        source = getattr(data, "data", data)
        derived = source is not data or bool(getattr(data, "_filters", ()))
        return derived and isinstance(source, PanelFeed) and not source.market.adjusted

    def _classify_holdings(self) -> None:
        super()._classify_holdings()
        for holding in self._holdings:
            if isinstance(self.getcommissioninfo(holding.data), CommissionModel):
                holding.charge = _BY_MODEL

    # -- for fills --------------------------------------------------------------------------------------------------

    def _commissions(self, holding: Holding, price: float, closed: float, opened: float) -> tuple[float, float]:
        if holding.charge != _BY_MODEL:
            return super()._commissions(holding, price, closed, opened)
        return self._costs.commissions(closed, opened, price, raw_per_share(holding.data))

    def _execute(
        self,
        order: Any,
        ago: int | None = None,
        price: float | None = None,
        cash: float | None = None,
        position: Any = None,
        dtcoc: float | None = None,
    ) -> Any:
        scheme = self.getcommissioninfo(order.data)
        if not isinstance(scheme, CommissionModel):
            return super()._execute(order, ago, price, cash, position, dtcoc)
        with scheme.one_fill(raw_per_share(order.data)):
            return super()._execute(order, ago, price, cash, position, dtcoc)

    def _update_volatility_slippage(self, order: Any) -> None:
        """Set the volatility-dependent slippage, from the volatility known at the previous close."""
        if not self._varying:
            return
        data = getattr(order.data, "data", order.data)  # the daily feed of a resampled one
        past = range(min(_CLOSES, len(data) - 1), 0, -1)
        days = [data.datetime[-ago] for ago in past]
        closes: Sequence[float] = [data.close[-ago] for ago in past]
        if isinstance(data, PanelFeed) and len(days) < _CLOSES:
            earlier_days, earlier = data.market.before(data.column, _CLOSES - len(days))
            days, closes = [*earlier_days, *days], [*earlier, *closes]
        if self._actions is not None:
            closes = self._actions.comparable(data._name, days, closes)
        costs = self._costs
        self._extra_slip = costs.slippage(daily_volatility(closes)) - costs.slippage(float("nan"))

    def _try_exec(self, order: Any) -> None:
        """Match an order of backtrader's own class, and store the price before slippage in its fills."""
        bits = order.executed.exbits
        before = len(bits)
        self._unslipped, self._limit = None, _limit_of(order)
        super()._try_exec(order)
        for k in range(before, len(order.executed.exbits)):
            bit = order.executed.exbits[k]
            # a limit that is reached within the bar, and a Close order, fill without slippage
            bit.unslipped = float(bit.price if self._unslipped is None else self._unslipped)
        self._limit = None

    def _market_price(self, order: Any) -> Any:
        if "uncapped_slippage" not in self.rules:
            return super()._market_price(order)
        slip = self._slip_up if order.size > 0 else self._slip_down
        return slip(0.0, order.data.open[0], doslip=self.p.slip_open)

    def _slip_up(self, pmax: float, price: float, doslip: bool = True, lim: bool = False) -> Any:
        self._unslipped = price
        if "uncapped_slippage" not in self.rules:
            return super()._slip_up(pmax, price, doslip, lim)
        slipped = self._slipped(price, 1.0) if doslip else price
        # backtrader passes the high of the bar, and does not pass the limit of a stop-limit order
        return slipped if self._limit is None else min(slipped, self._limit)

    def _slip_down(self, pmin: float, price: float, doslip: bool = True, lim: bool = False) -> Any:
        self._unslipped = price
        if "uncapped_slippage" not in self.rules:
            return super()._slip_down(pmin, price, doslip, lim)
        slipped = self._slipped(price, -1.0) if doslip else price
        return slipped if self._limit is None else max(slipped, self._limit)

    def _slipped(self, price: float, sign: float) -> float:
        return float(price * (1 + sign * (self.p.slip_perc + self._extra_slip)) + sign * self.p.slip_fixed)

    # -- nights, splits and dividends --------------------------------------------------------------------------------

    def _before_orders(self, nights: float) -> None:
        cash = self.cash
        if self._actions is not None:
            if due := self._actions.between(self._before, self._now):
                strategies = self.cerebro.runningstrats
                apply_actions(
                    self, due, self._feed_of, self._now, fractional=self._terms.fractional, strategies=strategies
                )
                self._positions_changed = True
            self._before = self._now
        if not (self._charging and nights):
            return
        if fee := self._costs.borrow_fee(self._borrowed, nights):
            self.borrow_fees += fee
            self._book_cash_flow("borrow fee", -fee)
        if interest := self._costs.cash_interest(cash, self._borrowed, nights):
            self._book_cash_flow("cash interest", interest)
        # a cash balance just below zero is a rounding remainder and not a debt
        debt = cash if not self._clears_remainders or cash < -SHARE_TOLERANCE * self._gross else 0.0
        if interest := self._costs.margin_interest(debt, nights):
            self._book_cash_flow("margin interest", -interest)

    def _book_cash_flow(self, kind: str, amount: float) -> None:
        self.cash += amount
        self.flows.append((self._now, "", kind, amount, 0.0))

    def _stock_value(self, datas: Any, lever: bool) -> float:
        for amount in self._cash_addition:
            self.flows.append((self._now, "", "deposit", float(amount), 0.0))
        return super()._stock_value(datas, lever)

    def _charge_interest(self) -> float:
        credit = super()._charge_interest()
        if credit:
            self._interest_booked = self._interest_booked or bool(self.p.int2pnl)
            self.borrow_fees += credit
            self.flows.append((self._now, "", "borrow fee", -credit, 0.0))
        return credit

    def _end_order(self, order: Any, status: int, reason: str) -> None:
        """End an order that is in no queue, and its linked orders."""
        order.addinfo(broker_reason=reason)
        order.status = status
        self.notify(order)
        self._ococheck(order)
        self._bracketize(order, cancel=True)

    # -- splits and dividends: the protocol of `apply_actions`
    # ------------------------------------------------------------

    def last_price(self, data: Any) -> float:
        """Return the last close at which the feed was valued."""
        return self._by_data[data].price

    def set_last_price(self, data: Any, price: float) -> None:
        """Value the feed at this price until it has a bar."""
        self._by_data[data].price = price

    def waiting_orders(self, data: Any) -> list[Any]:
        """Return the submitted and waiting orders for a feed."""
        return [order for order in (*self.submitted, *self.pending) if order.data is data]

    def withdraw(self, order: Any, reason: str) -> None:
        """Cancel a submitted or waiting order."""
        for queue in (self.submitted, self.pending):
            if order in queue:
                queue.remove(order)
                self._end_order(order, Order.Canceled, reason)
                return


def _limit_of(order: Any) -> float | None:
    """Return the limit of an order; None for kinds that have none."""
    if order.exectype == Order.Limit:
        return float(order.created.price)
    if order.exectype in (Order.StopLimit, Order.StopTrailLimit):
        return float(order.created.pricelimit)
    return None


def _call_text(arguments: tuple[Any, ...], options: dict[str, Any]) -> str:
    return ", ".join([*map(repr, arguments), *(f"{name}={value!r}" for name, value in options.items())])
