"""A fast broker that charges what the settings say, and lets companies split shares and pay dividends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backtrader.order import Order

from backtests.commission import CommissionModel, commission_scheme
from backtests.corporate_actions import CorporateActions, apply_actions
from backtests.costs import Costs, VolumeShare, daily_volatility, raw_per_share
from backtests.fast_broker import FastBroker
from backtests.settings import BrokerSettings
from backtests.valuation import Holding
from signals.errors import InputError

__all__ = ["ChargingBroker"]

# Commission by the model of the settings, beside the two of stock: a fraction of the value, or a fee per share.
_BY_MODEL = 2

# Bars that `daily_volatility` looks at.
_CLOSES = 22


class ChargingBroker(FastBroker):
    """Commission, slippage, borrow fees, interest, splits and dividends.

    Parameters
    ----------
    settings : BrokerSettings, optional
        Without them cash and costs are set as in backtrader.
    costs : bool
        Whether all of the settings hold; otherwise only cash, commission and slippage, the latter as in stock.

    """

    def __init__(self, settings: BrokerSettings | None, *, costs: bool) -> None:
        self.settings = settings
        self._terms = settings or BrokerSettings(cash=float(self.p.cash), commission=0.0, slippage=0.0)
        self._costs = Costs(self._terms)
        self._charging = settings is not None and costs
        self._varying = self._charging and self._costs.varying_slippage
        self.changes: list[str] = []  # costs that were set in the script, beside the settings
        if settings is not None:
            self._apply(settings)
        super().__init__()

    def _apply(self, settings: BrokerSettings) -> None:
        self.p.cash = float(settings.cash)
        self.p.commission = commission_scheme(settings)
        if not self._charging:
            self.set_slippage_perc(settings.slippage)
            return
        self.p.slip_perc = self._costs.slippage(float("nan"))
        self.p.slip_open = True
        if settings.max_volume_share is not None:
            self.p.filler = VolumeShare(settings.max_volume_share, fractional=settings.fractional)

    @property
    def books_known(self) -> bool:
        """Whether fills, commissions and `flows` explain the cash of every session.

        With stock's booking of interest into commissions, and with the history of a fund, they do not.
        """
        return not self._fundhist and not self._interest_booked

    def set_cash(self, cash: float) -> None:
        """Set the cash to start with, as in stock; the result says so when the settings say something else."""
        self._note_change(f"setcash({cash:g})")
        super().set_cash(cash)

    setcash = set_cash

    def set_slippage_perc(self, *arguments: Any, **options: Any) -> None:
        """Set slippage, as in stock; the result says so when the settings say something else."""
        self._note_change(f"set_slippage_perc({_shown(arguments, options)})")
        super().set_slippage_perc(*arguments, **options)

    def set_slippage_fixed(self, *arguments: Any, **options: Any) -> None:
        """Set slippage, as in stock; the result says so when the settings say something else."""
        self._note_change(f"set_slippage_fixed({_shown(arguments, options)})")
        super().set_slippage_fixed(*arguments, **options)

    def setcommission(self, *arguments: Any, name: str | None = None, **options: Any) -> None:
        """Set a commission scheme, as in stock; the result says so."""
        self._note_change(f"setcommission({_shown(arguments, {**options, 'name': name} if name else options)})")
        super().setcommission(*arguments, name=name, **options)

    def addcommissioninfo(self, comminfo: Any, name: str | None = None) -> None:
        """Add a commission scheme, as in stock; the result says so."""
        self._note_change(f"addcommissioninfo({type(comminfo).__name__}{f', name={name!r}' if name else ''})")
        super().addcommissioninfo(comminfo, name)

    def _note_change(self, what: str) -> None:
        """Keep in mind that the settings no longer state all costs."""
        if self._charging:
            self.changes.append(what)

    def init(self) -> None:
        """Begin anew; called by backtrader at the start of every run."""
        super().init()
        self._interest_booked = False  # into commissions, after it was taken from the cash
        self.borrow_fees = 0.0
        self.flows: list[tuple[float, str, str, float, float]] = []
        self._before = float("-inf")  # the session before this one
        self._extra_slip = 0.0
        self._actions: CorporateActions | None = None

    def _begin(self) -> None:
        super()._begin()
        self._feed_of = {holding.data._name: holding.data for holding in self._holdings}
        markets = {id(data.market): data.market for data in self._feed_of.values() if hasattr(data, "market")}
        for market in markets.values():
            if self._charging and market.adjusted == (self._terms.dividends == "cash"):
                found = "adjusted" if market.adjusted else "raw"
                raise InputError(
                    f"expected feeds that fit broker.dividends = {self._terms.dividends!r}; found {found} prices; say "
                    f"add_prices(..., adjusted={not market.adjusted}), or change that setting"
                )
        events = [action for market in markets.values() for action in market.actions]
        self._actions = CorporateActions(events) if events else None

    def _judge(self) -> None:
        super()._judge()
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

    def _note_slippage(self, order: Any) -> None:
        """Note the slippage beyond the constant part: by the ticker's volatility as known at the close before."""
        if not self._varying:
            return
        data = order.data
        past = range(min(_CLOSES, len(data) - 1), 0, -1)
        closes: Sequence[float] = [data.close[-ago] for ago in past]
        if self._actions is not None:
            closes = self._actions.comparable(data._name, [data.datetime[-ago] for ago in past], closes)
        costs = self._costs
        self._extra_slip = costs.slippage(daily_volatility(closes)) - costs.slippage(float("nan"))

    # -- for nights, and what companies do ---------------------------------------------------------------------------

    def _before_orders(self, nights: float) -> None:
        cash = self.cash
        if self._actions is not None:
            if due := self._actions.between(self._before, self._now):
                strategies = self.cerebro.runningstrats
                apply_actions(
                    self, due, self._feed_of, self._now, fractional=self._terms.fractional, strategies=strategies
                )
                self._moved = True
            self._before = self._now
        if not (self._charging and nights):
            return
        if fee := self._costs.borrow_fee(self._borrowed, nights):
            self.borrow_fees += fee
            self._move("borrow fee", -fee)
        if earned := self._costs.cash_interest(cash, self._borrowed, nights):
            self._move("cash interest", earned)
        if owed := self._costs.margin_interest(cash, nights):
            self._move("margin interest", -owed)

    def _move(self, kind: str, amount: float) -> None:
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

    def _drop(self, order: Any, status: int, reason: str) -> None:
        """End an order that is in no queue any more, and what depends on it."""
        order.addinfo(broker_reason=reason)
        order.status = status
        self.notify(order)
        self._ococheck(order)
        self._bracketize(order, cancel=True)

    # -- splits and dividends: what `apply_actions` asks ------------------------------------------------------------

    def last_price(self, data: Any) -> float:
        """Last close that the feed was valued at."""
        return self._by_data[data].price

    def set_last_price(self, data: Any, price: float) -> None:
        """Value the feed at this price until it has a bar."""
        self._by_data[data].price = price

    def waiting_orders(self, data: Any) -> list[Any]:
        """Orders for a feed that are on their way or wait for a price."""
        return [order for order in (*self.submitted, *self.pending) if order.data is data]

    def withdraw(self, order: Any, reason: str) -> None:
        """Cancel an order that is on its way or waits."""
        for queue in (self.submitted, self.pending):
            if order in queue:
                queue.remove(order)
                self._drop(order, Order.Canceled, reason)
                return


def _shown(arguments: tuple[Any, ...], options: dict[str, Any]) -> str:
    return ", ".join([*map(repr, arguments), *(f"{name}={value!r}" for name, value in options.items())])
