"""Linked orders: brackets, whose legs follow the fills of the parent, and OCO groups.

Three rules of `backtests.common.broker_rules` differ from stock backtrader:
"bracket_legs_follow_parent", "bracket_legs_on_entry_bar" and "stop_orders_before_limit_orders". With any
rules, an order that ends because of another one has that reason in `order.info["broker_reason"]` and is marked with
`broker_follows`, so that a rejection is counted once.
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
    """Remaining size of a bracket leg: `left` signed shares, `ratio` of them per filled share of the parent."""

    __slots__ = ("left", "ratio", "split", "whole")

    def __init__(self, leg: Any, parent: Any, fractional: bool) -> None:
        self.ratio = leg.size / parent.size
        self.left = 0.0
        self.split = float(info_of(leg).get("broker_split", 1.0))
        self.whole = not fractional and float(leg.size).is_integer()

    def add(self, leg: Any, shares: float) -> float:
        """Add shares (in shares of today) to the remaining size, and return the new size of the leg."""
        split = float(info_of(leg).get("broker_split", 1.0))
        self.left, self.split = self.left * split / self.split + shares, split
        return whole_shares(self.left) if self.whole else self.left


class LinkedBroker(ChargingBroker):
    """Broker whose bracket legs follow the filled part of the parent, with reasons for ended linked orders.

    Attributes
    ----------
    both_reached : int
        Number of bars in which a stop and a limit order of one bracket or OCO group were both reached after the open,
        so that daily bars do not show which came first; with "stop_orders_before_limit_orders" the stop fills.
    """

    def init(self) -> None:
        """Reset the state; called by backtrader at the start of every run."""
        super().init()
        self._legs_follow = "bracket_legs_follow_parent" in self.rules
        self._entry_bar = "bracket_legs_on_entry_bar" in self.rules
        self._stop_first = "stop_orders_before_limit_orders" in self.rules
        self.both_reached = 0
        self._legs: dict[int, _Leg] = {}
        self._parent_filled: dict[int, float] = {}  # filled size of each parent when its legs were last resized
        self._entry_bar_legs: set[int] = set()  # legs whose parent filled at the open of this bar
        self._matched_refs: set[int] = set()  # linked orders already matched on this session
        self._counted: set[tuple[str, int]] = set()  # groups already counted in `both_reached` on this session
        self._link_reason = ""

    # -- activation and end of bracket legs
    # --------------------------------------------------------------------------------------

    def submit(self, order: Any, check: bool = True) -> Any:
        """Accept an order; a leg of a parent that has already filled is active from the next session."""
        submitted = super().submit(order, check)
        parent = order.parent
        if self._legs_follow and parent is not None and order.alive():
            # the strategy may pass a copy of the parent that it received in a notification
            parent = next((other for other in self.pending if other == parent), parent)
            if parent.executed.size:
                self._parent_filled[parent.ref] = parent.executed.size
                self._size_leg(order, parent, parent.executed.size)
                self._toactivate.append(order)
        return submitted

    def _skips_cash_check(self, order: Any) -> bool:
        # a leg is checked when it fills, after its parent; before that, its two exits would count as an entry
        return self._legs_follow and order.parent is not None

    def _take_children(self, order: Any) -> Any:
        if self._cancel_without_parent(order):
            return None
        parent_ref = super()._take_children(order)
        if parent_ref is None:
            self._mark_as_linked(order, self._parent_reason(order.parent))
        return parent_ref

    def _cancel_without_parent(self, order: Any) -> bool:
        """Cancel a leg whose parent ended unfilled before it; backtrader rejects it or leaves it waiting."""
        parent = order.parent
        if not self._legs_follow or parent is None or self._can_still_fill(parent):
            return False
        order.cancel()
        self._mark_as_linked(order, self._parent_reason(parent))
        self.notify(order)
        return True

    def _can_still_fill(self, parent: Any) -> bool:
        """Whether a parent can still fill, or has filled."""
        bracket = self._pchildren.get(parent.ref)
        if bracket is None:
            return False
        return bool(parent.executed.size) or any(parent in queue for queue in (bracket, self.submitted, self.pending))

    @staticmethod
    def _parent_reason(parent: Any) -> str:
        if parent.status == Order.Completed or (parent.alive() and "broker_reason" not in info_of(parent)):
            return "its bracket was over"
        return _linked_reason("its parent order", parent)

    def cancel(self, order: Any, bracket: bool = False) -> bool:
        """Cancel a waiting order, and record the reason."""
        if order in self.pending:
            if bracket:
                self._mark_as_linked(order, self._link_reason)
            else:
                order.addinfo(broker_reason=BY_STRATEGY)
        return bool(super().cancel(order, bracket))

    @staticmethod
    def _mark_as_linked(order: Any, reason: str) -> None:
        order.addinfo(broker_reason=reason, broker_follows=True)

    def _bracketize(self, order: Any, cancel: bool = False) -> None:
        if isinstance(order, SlimOrder) and order.ref not in self._pchildren:
            return
        family = self._pchildren.get(order.ref) if order.parent is None else None
        if not cancel and order.parent is None and not family and self.rules:
            return  # a split may have cancelled all orders of the bracket
        if family and len(family) > 1:
            if self._legs_follow and (not cancel or _opened(order)):
                family.popleft()
                self._resize_legs(order)
                return
            if not cancel and self._entry_bar and self._filled_at_open(order):
                family.popleft()
                for leg in family:
                    self._activate_leg(leg, order)
                return
        if order.parent is None:
            self._link_reason = _linked_reason("its parent order", order)
        else:
            self._link_reason = _linked_reason("another order of its bracket", order)
        super()._bracketize(order, cancel)

    def _resize_legs(self, parent: Any) -> None:
        """Resize and activate legs for the shares their parent has filled since the last call."""
        filled = parent.executed.size
        change = filled - self._parent_filled.get(parent.ref, 0.0)
        self._parent_filled[parent.ref] = filled
        for leg in list(self._pchildren[parent.ref]):
            if leg.ref == parent.ref or not leg.alive():
                continue
            if change:
                self._size_leg(leg, parent, change)
            if leg.executed.remsize:
                self._activate_leg(leg, parent)
            elif not parent.alive():
                self._link_reason = "its parent order filled less than a share for it"
                self.cancel(leg, bracket=True)

    def _size_leg(self, leg: Any, parent: Any, change: float) -> None:
        """Increase the size of a leg in proportion to a fill of its parent."""
        state = self._legs.get(leg.ref)
        if state is None:
            state = self._legs[leg.ref] = _Leg(leg, parent, self._terms.fractional)
            if change == parent.size:  # filled completely at once: the leg keeps its size
                state.left = leg.executed.remsize
                return
        _resize(leg, state.add(leg, state.ratio * change))

    def _activate_leg(self, leg: Any, parent: Any) -> None:
        """Activate a leg: on this bar if the parent filled at its open, otherwise from the next bar."""
        if leg.active():
            return
        waits = leg.status != Order.Created and leg.exectype not in (Order.Market, Order.Close)
        if self._entry_bar and waits and leg.data is parent.data and self._filled_at_open(parent):
            self._entry_bar_legs.add(leg.ref)
        else:
            self._toactivate.append(leg)

    def _filled_at_open(self, order: Any) -> bool:
        """Whether the last fill of an order was at the open or, for replayed fills, may have been."""
        if order.exectype in (Order.Market, Order.Close):
            return bool(order.exectype == Order.Market)  # the close may equal the open
        unslipped = getattr(order.executed.exbits[-1], "unslipped", None) if order.executed.exbits else None
        return unslipped is None or unslipped == order.data.open[0]

    def _reduce_other_legs(self, leg: Any, change: float) -> None:
        """Reduce the other legs by the fill of one leg, so that together they close the position once."""
        state = self._legs.get(leg.ref)
        if state is None:
            return
        state.add(leg, -change)
        for other in self._pchildren.get(leg.parent.ref, ()):
            other_state = self._legs.get(other.ref)
            if other.ref == leg.ref or other_state is None or not other.alive():
                continue
            _resize(other, other_state.add(other, -change * other_state.ratio / state.ratio))

    # -- OCO groups -------------------------------------------------------------------------------------------------

    def _ococheck(self, order: Any) -> None:
        if order.ref not in self._ocos:
            return
        group = self._group_of(order)
        if len(group) < 2:
            super()._ococheck(order)
            return
        others = [
            other for other in self.pending if other is not None and other.ref in group and other.ref != order.ref
        ]
        super()._ococheck(order)
        reason = "another order of its OCO group filled"
        if order.status not in (Order.Partial, Order.Completed):
            reason = _linked_reason("another order of its OCO group", order)
        for other in others:
            if other.status != Order.Canceled:
                continue
            self._mark_as_linked(other, reason)
            if self._legs_follow and other.parent is None and len(self._pchildren.get(other.ref, ())) > 1:
                self._bracketize(other, cancel=True)

    def _group_of(self, order: Any) -> Any:
        """Return the `ref` of each order of an active OCO group."""
        return self._ocol.get(self._ocos.get(self._ocos.get(order.ref)), ())

    # -- sequence of fills within a bar -----------------------------------------------------------------------------

    def _match_pending(self) -> None:
        self._matched_refs.clear()
        self._counted.clear()
        super()._match_pending()
        pending = self.pending
        while self._entry_bar_legs:
            # these legs are matched after all orders that fill at the open
            active, self._entry_bar_legs = self._entry_bar_legs, set()
            for order in pending:
                if order.ref in active:
                    order.activate()
            pending.append(None)
            while (order := pending.popleft()) is not None:
                if order.ref not in active:
                    pending.append(order)
                elif order.expire():
                    self._end_expired(order)
                else:
                    self._match_in_turn(order)

    def _match_in_turn(self, order: Any) -> None:
        if isinstance(order, SlimOrder) and order.ref not in self._registered:
            self._match(order)
            return
        while (first := self._linked_order_filled_first(order)) is not None:
            self.pending.appendleft(order)  # so that the fill of the other order can end it
            self.pending.remove(first)
            self._match_linked(first)
            if not self.pending or self.pending[0] is not order:
                return
            self.pending.popleft()
        self._match_linked(order)

    def _match_linked(self, order: Any) -> None:
        self._matched_refs.add(order.ref)
        before = order.executed.size
        self._match(order)
        change = order.executed.size - before
        if not (change and self._legs_follow):
            return
        if order.parent is not None:
            if order.alive():
                self._reduce_other_legs(order, change)
        elif order.alive() and len(self._pchildren.get(order.ref, ())) > 1:
            self._resize_legs(order)

    def _linked_order_filled_first(self, order: Any) -> Any:
        """Return the order of the same bracket or OCO group that fills before this one within the bar."""
        if not self._stop_first:
            return None
        linked = self._linked_live_orders(order)
        if not linked or (own_moment := self._fill_moment(order)) is None:
            return None
        earliest, first = own_moment, None
        for other in linked:
            moment = self._fill_moment(other)
            if moment is None:
                continue
            if own_moment[0] == moment[0] == INSIDE and own_moment[1] != moment[1]:
                self._count_both_reached(order)
            if moment < earliest:
                earliest, first = moment, other
        return first

    def _linked_live_orders(self, order: Any) -> list[Any]:
        """Active orders linked to this one that have not been matched on this session."""
        refs = set(self._group_of(order))
        if order.parent is not None:
            refs.update(leg.ref for leg in self._pchildren.get(order.parent.ref, ()) if leg.ref != order.parent.ref)
        refs -= self._matched_refs
        refs.discard(order.ref)
        if not refs:
            return []
        return [other for other in self.pending if other is not None and other.ref in refs and other.active()]

    def _fill_moment(self, order: Any) -> tuple[int, bool] | None:
        """Sort key of the fill within the bar: moment, then stops before limits; None without a fill."""
        data = order.data
        if not self._can_match(order) or (order.valid and data.datetime[0] > order.valid):
            return None
        moment = reach(order, data.open[0], data.high[0], data.low[0])
        return None if moment is None else (moment, order.exectype not in STOPS)

    def _can_match(self, order: Any) -> bool:
        """Whether the feed of an order has a bar that it can be matched against."""
        return len(order.data) > 0 and self.trades_today(order.data)

    def _count_both_reached(self, order: Any) -> None:
        """Count a bar that reached both a stop and a limit order, once per group and session."""
        leader = self._ocos.get(self._ocos.get(order.ref), order.ref)
        group = ("OCO", leader) if order.parent is None else ("bracket", order.parent.ref)
        if group not in self._counted:
            self._counted.add(group)
            self.both_reached += 1


def _linked_reason(what: str, order: Any) -> str:
    """Reason text that names how another order ended, and its own reason."""
    outcome = _ENDED.get(order.status, "ended")
    reason = info_of(order).get("broker_reason", "")
    if order.status == Order.Canceled and reason == BY_STRATEGY:
        return f"{what} was {reason}"
    return f"{what} {outcome}{f': {reason}' if reason and order.status != Order.Completed else ''}"


def _opened(order: Any) -> bool:
    """Whether an ended order has a fill that its legs can follow."""
    if not order.executed.size:
        return False
    return order.status != Order.Margin or any(bit.opened for bit in order.executed.exbits)


def _resize(leg: Any, size: float) -> None:
    leg.executed.remsize = size
    leg.size = leg.executed.size + size
