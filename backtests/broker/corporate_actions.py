"""Splits and dividends of accounts that trade raw prices: what they do to cash, shares, last prices and orders.

Adjusted prices have both inside them, and nothing happens to an account. On raw prices the price falls by the dividend
or changes by the ratio of the split, and the account has to be given what it is due, or every split would be a loss.

At the first session without it (the ex-date), before anything else of that session:

* **Dividend.** Shares held at the close before × the dividend, in cash, at once: payment days, weeks later, are not
  known to any source here. Whoever is short pays it. Taxes are not withheld.
* **Split.** Shares × the ratio, average price / the ratio. Without fractional shares what is left over a whole number,
  towards zero, is paid as *cash in lieu* at the last price in new shares.
* **Last price.** (last close − dividend) / ratio, which is what the new shares are worth until there is a bar, so the
  value of the account is the same before and after.
* **Orders on their way.** A split adjusts every waiting order, as brokers adjust orders that are good till cancelled:
  what is left of its size × the ratio, its stop, limit and trailing amounts / the ratio. An order of which less than a
  share would be left is cancelled, and the result lists it in a warning. A dividend alone leaves orders as they are,
  and limits with them.

A ticker without a bar on that session (a halt) gets what it is due all the same.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from backtests.broker.orders import SlimOrder, info_of
from backtests.common.share_tolerances import SHARE_TOLERANCE
from backtests.feeds.action_schedule import CorporateAction

__all__ = ["SPLIT_WORDS", "Account", "Flow", "apply_actions", "split_order", "split_shares", "whole_shares"]

# First words of the reason of an order that a split ended.
SPLIT_WORDS = "split of"


class Flow(NamedTuple):
    """Money that moves, and shares that change, without a trade; `amount` is negative when paid."""

    day: float
    ticker: str
    kind: str
    amount: float
    shares: float


class Account(Protocol):
    """What `apply_actions` needs of a broker."""

    cash: float
    flows: list[Any]
    positions: Any

    def last_price(self, data: Any) -> float:
        """Last close at which the feed was valued, in shares of that day."""

    def set_last_price(self, data: Any, price: float) -> None:
        """Value the feed at this price until it has a bar."""

    def waiting_orders(self, data: Any) -> Iterable[Any]:
        """Orders for the feed that are on their way or wait: the broker's own objects."""

    def withdraw(self, order: Any, reason: str) -> None:
        """Cancel one of them, and what depends on it; nothing when it has ended meanwhile."""


def apply_actions(
    account: Account,
    actions: Iterable[CorporateAction],
    feeds: Mapping[str, Any],
    now: float,
    *,
    fractional: bool,
    strategies: Iterable[Any] = (),
) -> None:
    """Let splits and dividends happen to an account.

    Called first thing of a session, before fees, checks of orders and fills::

        if due := self._actions.between(before, self._now):
            apply_actions(self, due, self._feed_of, self._now, fractional=self.settings.fractional,
                          strategies=self.cerebro.runningstrats)

    Parameters
    ----------
    account : Account
        Cash, positions, orders and `flows` of it are changed. Kinds of flows are `"dividend"`, `"split"` (no money,
        only shares) and `"cash in lieu"`.
    actions : iterable of CorporateAction
        In order of date.
    feeds : mapping of str to feed
        Feed of each ticker; events of others are passed over.
    now : float
        The session, as backtrader counts days; flows are dated by it.
    fractional : bool
        Whether parts of a share can be held.
    strategies : iterable of bt.Strategy
        Their open trades (`notify_trade`) change with the shares. Profits of trades do not contain dividends.
    """
    for action in actions:
        data = feeds.get(action.ticker)
        if data is None:
            continue
        position = account.positions[data]
        size, last = position.size, account.last_price(data)
        worth = max((last - action.dividend) / action.split, 0.0)
        if size:
            if action.dividend:
                _pay(account, Flow(now, action.ticker, "dividend", float(size * action.dividend), 0.0))
            if action.split != 1.0:
                change, left = split_shares(size, action.split, fractional=fractional)
                # the sum of fills and flows has to have the bits of the position, so that zero is zero
                position.fix(size + change, position.price / action.split if size + change else 0.0)
                account.flows.append(Flow(now, action.ticker, "split", 0.0, float(change)))
                if left:
                    _pay(account, Flow(now, action.ticker, "cash in lieu", left * worth, 0.0))
                for strategy in strategies:
                    _split_trades(strategy, data, action.split, position.size, left, worth)
        if worth == worth:  # NaN before the first bar
            account.set_last_price(data, worth)
        if action.split != 1.0:
            for order in list(account.waiting_orders(data)):
                reason = split_order(order, action.split, fractional=fractional)
                if reason:
                    account.withdraw(order, reason)


def _pay(account: Account, flow: Flow) -> None:
    account.cash += flow.amount
    account.flows.append(flow)


def split_shares(size: float, ratio: float, *, fractional: bool) -> tuple[float, float]:
    """Say what a split does to a number of shares.

    Parameters
    ----------
    size : float
        Old shares, negative when short.
    ratio : float
        New shares for one old one.
    fractional : bool
        Whether parts of a share can be held.

    Returns
    -------
    change : float
        To be added to the old shares.
    left : float
        Part of a new share that is paid in cash, with the sign of `size`; 0.0 with fractional shares.

    Examples
    --------
    >>> split_shares(100, 2.0, fractional=False), split_shares(15, 1.5, fractional=False)
    ((100.0, 0.0), (7.0, 0.5))
    >>> split_shares(-25, 0.1, fractional=False), split_shares(25, 0.1, fractional=True)
    ((23.0, -0.5), (-22.5, 0.0))
    """
    exact = size * ratio
    if fractional:
        return exact - size, 0.0
    whole = whole_shares(exact)
    left = exact - whole
    return whole - size, 0.0 if abs(left) <= SHARE_TOLERANCE * max(abs(exact), 1.0) else left


def whole_shares(shares: float) -> float:
    """Whole part of a number of shares, towards zero; products and quotients next to a whole number are that number.

    >>> whole_shares(70 * 0.1), whole_shares(-2.7)
    (7.0, -2.0)
    """
    whole = float(round(shares))
    if abs(shares - whole) <= SHARE_TOLERANCE * max(abs(shares), 1.0):
        return whole
    return float(math.trunc(shares))


def split_order(order: Any, ratio: float, *, fractional: bool) -> str | None:
    """Carry an order over a split, in place.

    What is left of its size is multiplied by the ratio; the prices in it (stop, limit, trailing amount, and the price a
    market order was given at) are divided by it. What was filled before stays as it was, and copies that the strategy
    was notified of keep the old numbers.

    Returns
    -------
    str or None
        Why the order has to be cancelled instead.
    """
    if isinstance(order, SlimOrder):
        order.own_executed()
    old = order.executed.remsize
    change, _ = split_shares(old, ratio, fractional=fractional)
    remaining = old + change
    if not remaining:
        return f"{SPLIT_WORDS} {ratio:.6g} for 1: less than a share is left of it"
    order.executed.remsize = remaining
    order.size = order.executed.size + remaining
    order.addinfo(broker_split=ratio * info_of(order).get("broker_split", 1.0))
    # copies of the order share what it was created with, so that gets a copy of its own
    created = copy.copy(order.created)
    created.size = order.size
    for name in ("price", "pclose", "pricelimit", "trailamount"):
        value = getattr(created, name)
        if value:
            setattr(created, name, value / ratio)
    order.created = created
    if order.trailamount:
        order.trailamount = order.trailamount / ratio
    if order._limitoffset:
        order._limitoffset = order._limitoffset / ratio
    return None


def _split_trades(strategy: Any, data: Any, ratio: float, size: float, left: float, worth: float) -> None:
    """Let open trades follow the shares, so that the sale of all of them closes them.

    The last one takes what whole shares leave over; a trade whose last part of a share was paid in cash is closed.
    """
    trades = [of_id[-1] for of_id in strategy._trades.get(data, {}).values() if of_id and of_id[-1].isopen]
    for trade in trades:
        trade.size, trade.price = trade.size * ratio, trade.price / ratio
        if trade is trades[-1]:
            trade.size = size - sum(other.size for other in trades[:-1])
            trade.pnl += left * (worth - trade.price)
            trade.pnlcomm = trade.pnl - trade.commission
        trade.value = trade.size * trade.price
        if not trade.size:
            trade.isopen, trade.isclosed, trade.justopened = False, True, False
            trade.barclose, trade.dtclose = len(data), data.datetime[0]
            trade.barlen = trade.barclose - trade.baropen
            trade.status = trade.Closed
            strategy._tradespending.append(copy.copy(trade))
