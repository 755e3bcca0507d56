"""Orders that depend on each other: brackets, whose legs follow what the parent filled, and OCO groups.

Three named rules (`backtests.common.broker_rules`) say what is done otherwise than in stock:
"bracket_legs_follow_parent", "bracket_legs_on_entry_bar" and "stop_orders_before_limit_orders". Whatever the rules, an
order that ends because of another one says so in `order.info["broker_reason"]`, and is marked with `broker_follows`, so
that what was refused is counted once.
"""

from __future__ import annotations

from typing import Any

from backtrader.order import Order

from backtests.broker.charging_broker import ChargingBroker
from backtests.broker.corporate_actions import whole_shares
from backtests.broker.order_reach import INSIDE, STOPS, reach
from backtests.broker.orders import BY_STRATEGY, SlimOrder, info_of

__all__ = ["LinkedBroker"]

_ENDED = {
    Order.Completed: "filled",
    Order.Canceled: "was cancelled",
    Order.Expired: "expired",
    Order.Margin: "was refused",
    Order.Rejected: "was rejected",
}


class _Leg:
    """What is left of a leg: `left` signed shares, `ratio` of them for one share that the parent fills."""

    __slots__ = ("left", "ratio", "split", "whole")

    def __init__(self, leg: Any, parent: Any, fractional: bool) -> None:
        self.ratio = leg.size / parent.size
        self.left = 0.0
        self.split = float(info_of(leg).get("broker_split", 1.0))
        self.whole = not fractional and float(leg.size).is_integer()

    def add(self, leg: Any, shares: float) -> float:
        """Change what is left, in shares of today; gives the size that the leg is to have."""
        split = float(info_of(leg).get("broker_split", 1.0))
        self.left, self.split = self.left * split / self.split + shares, split
        return whole_shares(self.left) if self.whole else self.left


class LinkedBroker(ChargingBroker):
    """Broker whose brackets protect what was in fact filled, and that says why linked orders ended.

    Attributes
    ----------
    both_reached : int
        Bars in which a stop and a limit order of one bracket or OCO group were both reached after the open, so that
        daily bars do not show which came first. With the rule "stop_orders_before_limit_orders" the stop filled.
    """

    def init(self) -> None:
        """Reset the state; called by backtrader at the start of every run."""
        super().init()
        self._legs_follow = "bracket_legs_follow_parent" in self.rules
        self._entry_bar = "bracket_legs_on_entry_bar" in self.rules
        self._stop_first = "stop_orders_before_limit_orders" in self.rules
        self.both_reached = 0
        self._legs: dict[int, _Leg] = {}
        self._seen: dict[int, float] = {}  # what parents had filled when their legs last followed
        self._entering: set[int] = set()  # legs whose parent filled at the open of this bar
        self._tried: set[int] = set()  # linked orders that had their turn on this session
        self._counted: set[tuple[str, int]] = set()  # groups that were counted in `both_reached` on this session
        self._why = ""

    # -- when legs come and go --------------------------------------------------------------------------------------

    def submit(self, order: Any, check: bool = True) -> Any:
        """Take an order; a leg of a parent that has filled already is live from the next session."""
        taken = super().submit(order, check)
        parent = order.parent
        if self._legs_follow and parent is not None and order.alive():
            # a strategy may hold a copy of the parent, made when it was notified of it
            parent = next((one for one in self.pending if one == parent), parent)
            if parent.executed.size:
                self._seen[parent.ref] = parent.executed.size
                self._size_leg(order, parent, parent.executed.size)
                self._toactivate.append(order)
        return taken

    def _needs_no_check(self, order: Any) -> bool:
        # a leg fills after its parent and is checked then; in the check its two exits would count as an entry
        return self._legs_follow and order.parent is not None

    def _take_children(self, order: Any) -> Any:
        if self._ends_with_parent(order):
            return None
        taken = super()._take_children(order)
        if taken is None:
            self._follows(order, self._why_over(order.parent))
        return taken

    def _ends_with_parent(self, order: Any) -> bool:
        """Cancel a leg whose parent ended unfilled before it, where stock rejects it or lets it wait for ever."""
        parent = order.parent
        if not self._legs_follow or parent is None or self._is_under_way(parent):
            return False
        order.cancel()
        self._follows(order, self._why_over(parent))
        self.notify(order)
        return True

    def _is_under_way(self, parent: Any) -> bool:
        """Whether a parent can still fill, or has."""
        family = self._pchildren.get(parent.ref)
        if family is None:
            return False
        return bool(parent.executed.size) or any(parent in queue for queue in (family, self.submitted, self.pending))

    @staticmethod
    def _why_over(parent: Any) -> str:
        if parent.status == Order.Completed or (parent.alive() and "broker_reason" not in info_of(parent)):
            return "its bracket was over"
        return _because("its parent order", parent)

    def cancel(self, order: Any, bracket: bool = False) -> bool:
        """Cancel an order that waits for a price, and note why."""
        if order in self.pending:
            if bracket:
                self._follows(order, self._why)
            else:
                order.addinfo(broker_reason=BY_STRATEGY)
        return bool(super().cancel(order, bracket))

    @staticmethod
    def _follows(order: Any, why: str) -> None:
        order.addinfo(broker_reason=why, broker_follows=True)

    def _bracketize(self, order: Any, cancel: bool = False) -> None:
        if isinstance(order, SlimOrder) and order.ref not in self._pchildren:
            return
        family = self._pchildren.get(order.ref) if order.parent is None else None
        if not cancel and order.parent is None and not family and self.rules:
            return  # a split may have withdrawn the whole family
        if family and len(family) > 1:
            if self._legs_follow and (not cancel or _opened(order)):
                family.popleft()
                self._follow(order)
                return
            if not cancel and self._entry_bar and self._filled_at_open(order):
                family.popleft()
                for leg in family:
                    self._wake(leg, order)
                return
        if order.parent is None:
            self._why = _because("its parent order", order)
        else:
            self._why = _because("another order of its bracket", order)
        super()._bracketize(order, cancel)

    def _follow(self, parent: Any) -> None:
        """Let legs follow what their parent filled since they last did."""
        filled = parent.executed.size
        change = filled - self._seen.get(parent.ref, 0.0)
        self._seen[parent.ref] = filled
        for leg in list(self._pchildren[parent.ref]):
            if leg.ref == parent.ref or not leg.alive():
                continue
            if change:
                self._size_leg(leg, parent, change)
            if leg.executed.remsize:
                self._wake(leg, parent)
            elif not parent.alive():
                self._why = "its parent order filled less than a share for it"
                self.cancel(leg, bracket=True)

    def _size_leg(self, leg: Any, parent: Any, change: float) -> None:
        """Make a leg larger by its part of what the parent has filled."""
        state = self._legs.get(leg.ref)
        if state is None:
            state = self._legs[leg.ref] = _Leg(leg, parent, self._terms.fractional)
            if change == parent.size:  # filled at once: the leg stays as it was given
                state.left = leg.executed.remsize
                return
        _resize(leg, state.add(leg, state.ratio * change))

    def _wake(self, leg: Any, parent: Any) -> None:
        """Make a leg live: on this bar when the parent filled at its open, otherwise from the next one."""
        if leg.active():
            return
        waits = leg.status != Order.Created and leg.exectype not in (Order.Market, Order.Close)
        if self._entry_bar and waits and leg.data is parent.data and self._filled_at_open(parent):
            self._entering.add(leg.ref)
        else:
            self._toactivate.append(leg)

    def _filled_at_open(self, order: Any) -> bool:
        """Whether the last fill of an order was at the open, or before it; fills of a journal may have been."""
        if order.exectype in (Order.Market, Order.Close):
            return bool(order.exectype == Order.Market)  # a close may be a price of the open
        unslipped = getattr(order.executed.exbits[-1], "unslipped", None) if order.executed.exbits else None
        return unslipped is None or unslipped == order.data.open[0]

    def _leg_filled(self, leg: Any, change: float) -> None:
        """Make the other legs smaller by what one of them filled: together they close a position once."""
        state = self._legs.get(leg.ref)
        if state is None:
            return
        state.add(leg, -change)
        for other in self._pchildren.get(leg.parent.ref, ()):
            its = self._legs.get(other.ref)
            if other.ref == leg.ref or its is None or not other.alive():
                continue
            _resize(other, its.add(other, -change * its.ratio / state.ratio))

    # -- OCO groups -------------------------------------------------------------------------------------------------

    def _ococheck(self, order: Any) -> None:
        if order.ref not in self._ocos:
            return
        group = self._group_of(order)
        if len(group) < 2:
            super()._ococheck(order)
            return
        others = [one for one in self.pending if one is not None and one.ref in group and one.ref != order.ref]
        super()._ococheck(order)
        why = "another order of its OCO group filled"
        if order.status not in (Order.Partial, Order.Completed):
            why = _because("another order of its OCO group", order)
        for other in others:
            if other.status != Order.Canceled:
                continue
            self._follows(other, why)
            if self._legs_follow and other.parent is None and len(self._pchildren.get(other.ref, ())) > 1:
                self._bracketize(other, cancel=True)

    def _group_of(self, order: Any) -> Any:
        """Return the running numbers of the orders of an OCO group that is not over."""
        return self._ocol.get(self._ocos.get(self._ocos.get(order.ref)), ())

    # -- the order of fills within a bar ----------------------------------------------------------------------------

    def _match_pending(self) -> None:
        self._tried.clear()
        self._counted.clear()
        super()._match_pending()
        pending = self.pending
        while self._entering:
            # after the orders that fill at the open: what these legs bring in comes later
            live, self._entering = self._entering, set()
            for order in pending:
                if order.ref in live:
                    order.activate()
            pending.append(None)
            while (order := pending.popleft()) is not None:
                if order.ref not in live:
                    pending.append(order)
                elif order.expire():
                    self._end_expired(order)
                else:
                    self._match_in_turn(order)

    def _match_in_turn(self, order: Any) -> None:
        if isinstance(order, SlimOrder) and order.ref not in self._enrolled:
            self._match(order)
            return
        while (first := self._earlier_rival(order)) is not None:
            self.pending.appendleft(order)  # so that the rival can end it
            self.pending.remove(first)
            self._match_linked(first)
            if not self.pending or self.pending[0] is not order:
                return
            self.pending.popleft()
        self._match_linked(order)

    def _match_linked(self, order: Any) -> None:
        self._tried.add(order.ref)
        before = order.executed.size
        self._match(order)
        change = order.executed.size - before
        if not (change and self._legs_follow):
            return
        if order.parent is not None:
            if order.alive():
                self._leg_filled(order, change)
        elif order.alive() and len(self._pchildren.get(order.ref, ())) > 1:
            self._follow(order)

    def _earlier_rival(self, order: Any) -> Any:
        """Order of the same bracket or OCO group that fills before this one within the bar."""
        if not self._stop_first:
            return None
        rivals = self._rivals(order)
        if not rivals or (mine := self._moment_in_bar(order)) is None:
            return None
        earliest, first = mine, None
        for rival in rivals:
            moment = self._moment_in_bar(rival)
            if moment is None:
                continue
            if mine[0] == moment[0] == INSIDE and mine[1] != moment[1]:
                self._count_both(order)
            if moment < earliest:
                earliest, first = moment, rival
        return first

    def _rivals(self, order: Any) -> list[Any]:
        """Live orders that end when this one fills, or that end it, and have not had their turn on this session."""
        refs = set(self._group_of(order))
        if order.parent is not None:
            refs.update(leg.ref for leg in self._pchildren.get(order.parent.ref, ()) if leg.ref != order.parent.ref)
        refs -= self._tried
        refs.discard(order.ref)
        if not refs:
            return []
        return [one for one in self.pending if one is not None and one.ref in refs and one.active()]

    def _moment_in_bar(self, order: Any) -> tuple[int, bool] | None:
        """Moment at which the bar reaches an order, then stops before limits; None when it does not."""
        data = order.data
        if not self._can_match(order) or (order.valid and data.datetime[0] > order.valid):
            return None
        moment = reach(order, data.open[0], data.high[0], data.low[0])
        return None if moment is None else (moment, order.exectype not in STOPS)

    def _can_match(self, order: Any) -> bool:
        """Whether the feed of an order has a bar that it can be matched against."""
        return len(order.data) > 0 and self.trades_today(order.data)

    def _count_both(self, order: Any) -> None:
        leader = self._ocos.get(self._ocos.get(order.ref), order.ref)
        group = ("OCO", leader) if order.parent is None else ("bracket", order.parent.ref)
        if group not in self._counted:
            self._counted.add(group)
            self.both_reached += 1


def _because(what: str, order: Any) -> str:
    """Say what happened to another order, and why."""
    word = _ENDED.get(order.status, "ended")
    reason = info_of(order).get("broker_reason", "")
    if order.status == Order.Canceled and reason == BY_STRATEGY:
        return f"{what} was {reason}"
    return f"{what} {word}{f': {reason}' if reason and order.status != Order.Completed else ''}"


def _opened(order: Any) -> bool:
    """Whether an order that ended has filled something that its legs can follow."""
    if not order.executed.size:
        return False
    return order.status != Order.Margin or any(bit.opened for bit in order.executed.exbits)


def _resize(leg: Any, size: float) -> None:
    leg.executed.remsize = size
    leg.size = leg.executed.size + size
