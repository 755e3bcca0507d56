"""Market orders without the weight: the same attributes, statuses and notifications at a tenth of the cost.

Making one of backtrader's orders goes through two metaclasses, a dictionary of parameters, a dictionary for remarks and
the end of the session as a datetime, and every notification copies it generically. Here what nobody asks for is not
made. Only plain market orders are slim; `Broker` gives every other kind to backtrader's own classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backtrader.order import BuyOrder, Order, OrderBase, OrderData, SellOrder
from backtrader.utils import AutoOrderedDict

__all__ = ["ARGUMENTS", "BY_STRATEGY", "PLAIN", "SlimOrder", "info_of", "make_market_order"]

# Reason of an order that the strategy cancelled.
BY_STRATEGY = "cancelled by the strategy"


# What `buy` and `sell` of backtrader's brokers take after the size, in this order.
ARGUMENTS = (
    "price", "plimit", "exectype", "valid", "tradeid", "oco", "trailamount", "trailpercent", "parent", "transmit",
    "histnotify", "_checksubmit",
)  # fmt: skip
# Values with which an order is a plain market order; everything else has to be None.
PLAIN = {"transmit": (True,), "histnotify": (False,), "_checksubmit": (True,), "exectype": (None, Order.Market)}


class _Data(OrderData):
    """What was asked for or filled, without an attribute for everything that has not happened."""

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
        """Copy it attribute by attribute: without a dictionary of its own it costs the garbage collector half."""
        new: _Data = object.__new__(_Data)
        new.dt, new.size, new.remsize, new.price, new.pricelimit = (
            self.dt, self.size, self.remsize, self.price, self.pricelimit,
        )  # fmt: skip
        new.value, new.comm, new.pnl, new.margin = self.value, self.comm, self.pnl, self.margin
        new.psize, new.pprice, new.p1, new.p2, new.exbits = self.psize, self.pprice, self.p1, self.p2, self.exbits
        return new


class SlimOrder(Order):
    """What the slim orders to buy and to sell have in common."""

    # what is the same in all of them costs nothing
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
    _told = False  # whether copies look at the same `executed`

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    @property
    def info(self) -> Any:
        """Remarks of the user: one dictionary for an order and all its copies."""
        if not self._remarks:
            self._remarks.append(AutoOrderedDict())
        return self._remarks[0]

    @property
    def dteos(self) -> Any:
        """End of the session the order was given on, in backtrader's day numbers."""
        data = self.data
        given = data.num2date(self.created.dt)
        end = data.p.sessionend
        last = given.replace(hour=end.hour, minute=end.minute, second=end.second, microsecond=end.microsecond)
        return data.date2num(last)

    def clone(self) -> Any:
        """Copy it for a notification: what was executed since the last one is pending in the copy.

        As long as nothing was filled, copies and order look at the same `executed`; `own_executed` parts them.
        """
        twin = object.__new__(type(self))
        if self.executed.exbits:
            self.own_executed()
            executed = self.executed
            executed.p1, executed.p2 = executed.p2, len(executed.exbits)
            twin.__dict__.update(self.__dict__)
            twin.executed = executed.copy()
        else:
            self._told = True
            twin.__dict__.update(self.__dict__)
        return twin

    def own_executed(self) -> None:
        """Have an `executed` that no copy looks at, before it changes."""
        if self._told:
            self._told = False
            self.executed = self.executed.copy()

    def execute(self, *fill: Any) -> None:
        """Book a fill."""
        self.own_executed()
        super().execute(*fill)

    def reject(self, broker: Any = None) -> Any:
        """Mark it as rejected."""
        self.own_executed()
        return super().reject(broker)

    def cancel(self) -> None:
        """Mark it as cancelled."""
        self.own_executed()
        super().cancel()

    def margin(self) -> None:
        """Mark it as refused for lack of cash."""
        self.own_executed()
        super().margin()


class SlimBuy(SlimOrder, BuyOrder):
    """A market order to buy."""


class SlimSell(SlimOrder, SellOrder):
    """A market order to sell."""


def _parameters(order: Any) -> Any:
    """Parameters as they were given, in backtrader's own kind of object."""
    made = OrderBase.params()
    made.__dict__.update(
        owner=order.owner, data=order.data, size=abs(order.size), price=order.price, tradeid=order.tradeid
    )
    return made


for _kind in (SlimOrder, SlimBuy, SlimSell):
    # backtrader's metaclass makes a class of `params` in every class body, so it is replaced afterwards
    _kind.params = _kind.p = property(_parameters)


def make_market_order(buys: bool, owner: Any, data: Any, size: float, price: float | None, tradeid: int) -> Any:
    """Make a market order, seen by nobody yet.

    Parameters
    ----------
    buys : bool
        Buy or sell.
    owner, data
        Strategy and feed.
    size : float
        Shares, above zero.
    price : float, optional
        What the check for cash goes by; by default the close of the feed's current bar.
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
        _remarks=[],
    )
    return order


def info_of(order: Any) -> Mapping[str, Any]:
    """Return the remarks on an order, without making room for some where there are none."""
    if isinstance(order, SlimOrder) and not order._remarks:
        return {}
    return order.info  # type: ignore[no-any-return]
