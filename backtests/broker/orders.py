"""Slim market orders: the attributes, statuses and notifications of backtrader's orders at a tenth of the cost.

Creating one of backtrader's orders involves two metaclasses, a dictionary of parameters, a dictionary for user
information and the end of the session as a datetime, and every notification copies it generically. Slim orders create
these on access. Only plain market orders are slim; `Broker` uses backtrader's own classes for every other kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backtrader.order import BuyOrder, Order, OrderBase, OrderData, SellOrder
from backtrader.utils import AutoOrderedDict

__all__ = ["ARGUMENTS", "BY_STRATEGY", "PLAIN", "SlimOrder", "info_of", "make_market_order"]

# Reason of an order that the strategy cancelled.
BY_STRATEGY = "cancelled by the strategy"


# Parameters of `buy` and `sell` of backtrader's brokers after the size, in this order.
ARGUMENTS = (
    "price", "plimit", "exectype", "valid", "tradeid", "oco", "trailamount", "trailpercent", "parent", "transmit",
    "histnotify", "_checksubmit",
)  # fmt: skip
# Values of a plain market order; all other parameters must be None.
PLAIN = {"transmit": (True,), "histnotify": (False,), "_checksubmit": (True,), "exectype": (None, Order.Market)}


class _Data(OrderData):
    """Order data (created or executed) with class-level defaults for unset attributes."""

    dt: Any = None
    size: float = 0
    remsize: float = 0
    price = pricelimit = pclose = value = comm = pnl = 0.0
    trailamount: float | None = 0.0
    trailpercent: float | None = 0.0
    _plimit: float | None = 0.0
    margin: Any = None
    psize: float = 0
    pprice: float = 0
    p1 = p2 = 0
    exbits: Any = ()

    def copy(self) -> _Data:
        """Copy attribute by attribute; without an instance dictionary, garbage collection costs half."""
        new: _Data = object.__new__(_Data)
        new.dt, new.size, new.remsize, new.price, new.pricelimit = (
            self.dt, self.size, self.remsize, self.price, self.pricelimit,
        )  # fmt: skip
        new.value, new.comm, new.pnl, new.margin = self.value, self.comm, self.pnl, self.margin
        new.psize, new.pprice, new.p1, new.p2, new.exbits = self.psize, self.pprice, self.p1, self.p2, self.exbits
        return new


class SlimOrder(Order):
    """Base class of the slim orders to buy and to sell."""

    # class-level values, equal for all slim orders
    comminfo = None
    broker = None
    triggered = False
    _active = True
    _limitoffset = 0.0
    _plimit = None
    position = 0
    pricelimit = valid = oco = trailamount = trailpercent = parent = None
    exectype = Order.Market
    transmit = True
    simulated = histnotify = False
    pannotated = None
    status = Order.Created
    executed: _Data
    _shares_executed = False  # whether copies share `executed`

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    @property
    def info(self) -> Any:
        """Values that the user attached with `addinfo`: one dictionary for an order and all its copies."""
        if not self._info_holder:
            self._info_holder.append(AutoOrderedDict())
        return self._info_holder[0]

    @property
    def dteos(self) -> Any:
        """End of the session on which the order was submitted, as a backtrader day number."""
        data = self.data
        submitted = data.num2date(self.created.dt)
        end = data.p.sessionend
        last = submitted.replace(hour=end.hour, minute=end.minute, second=end.second, microsecond=end.microsecond)
        return data.date2num(last)

    def clone(self) -> Any:
        """Copy the order for a notification; fills since the last notification are pending in the copy.

        Before the first fill, copies and order share `executed`; `own_executed` separates them.
        """
        twin = object.__new__(type(self))
        if self.executed.exbits:
            self.own_executed()
            executed = self.executed
            executed.p1, executed.p2 = executed.p2, len(executed.exbits)
            twin.__dict__.update(self.__dict__)
            twin.executed = executed.copy()
        else:
            self._shares_executed = True
            twin.__dict__.update(self.__dict__)
        return twin

    def own_executed(self) -> None:
        """Replace a shared `executed` by a copy, before it changes."""
        if self._shares_executed:
            self._shares_executed = False
            self.executed = self.executed.copy()

    def execute(self, *fill: Any) -> None:
        """Book a fill."""
        self.own_executed()
        super().execute(*fill)

    def reject(self, broker: Any = None) -> Any:
        """Mark the order as rejected."""
        self.own_executed()
        return super().reject(broker)

    def cancel(self) -> None:
        """Mark the order as cancelled."""
        self.own_executed()
        super().cancel()

    def margin(self) -> None:
        """Mark the order as rejected for lack of cash or margin."""
        self.own_executed()
        super().margin()


class SlimBuy(SlimOrder, BuyOrder):
    """Market order to buy."""


class SlimSell(SlimOrder, SellOrder):
    """Market order to sell."""


def _parameters(order: Any) -> Any:
    """Parameters of the order as a backtrader parameter object."""
    parameters = OrderBase.params()
    parameters.__dict__.update(
        owner=order.owner, data=order.data, size=abs(order.size), price=order.price, tradeid=order.tradeid
    )
    return parameters


for _kind in (SlimOrder, SlimBuy, SlimSell):
    # backtrader's metaclass converts `params` in every class body to a class, so it is replaced afterwards
    _kind.params = _kind.p = property(_parameters)


def make_market_order(buys: bool, owner: Any, data: Any, size: float, price: float | None, tradeid: int) -> Any:
    """Create a slim market order without submitting it.

    Parameters
    ----------
    buys : bool
        True for an order to buy, False to sell.
    owner, data
        Strategy and feed.
    size : float
        Shares, positive.
    price : float, optional
        Reference price of the cash check; by default the close of the feed's current bar.
    tradeid : int
        As in backtrader.
    """
    signed = size if buys else -size
    close = data.close[0]
    reference = price or close
    created = object.__new__(_Data)
    created.dt, created.size, created.price, created.pricelimit = data.datetime[0], signed, reference, reference
    created.pclose, created.trailamount, created.trailpercent, created._plimit = close, None, None, None
    executed = object.__new__(_Data)
    executed.remsize, executed.exbits = signed, []
    order = object.__new__(SlimBuy if buys else SlimSell)
    order.__dict__.update(
        ref=next(Order.refbasis),
        owner=owner,
        data=data,
        size=signed,
        price=price,
        tradeid=tradeid,
        created=created,
        executed=executed,
        _info_holder=[],
    )
    return order


def info_of(order: Any) -> Mapping[str, Any]:
    """Return the user information of an order, without creating a dictionary when there is none."""
    if isinstance(order, SlimOrder) and not order._info_holder:
        return {}
    return order.info  # type: ignore[no-any-return]
