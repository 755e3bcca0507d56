"""Effect of splits and dividends on an account that trades raw prices: cash, shares, last prices and orders.

Adjusted prices already contain both, so that the account is not changed. Raw prices fall by the dividend or change by
the ratio of the split, so that the account must receive the dividend and the new shares.

On the ex-date, before any other event of that session:

* **Dividend.** Shares held at the close before × the dividend, in cash, on the ex-date, because no source has payment
  dates. Short positions pay the dividend. Taxes are not withheld.
* **Split.** Shares × the ratio, average price / the ratio. Without fractional shares, the fraction above a whole
  number (towards zero) is paid as *cash in lieu* at the last price in new shares.
* **Last price.** (last close − dividend) / ratio, the value of a new share until the next bar, so that the value of
  the account is unchanged.
* **Open orders.** A split adjusts every waiting order, as brokers do for orders that are good till cancelled: its
  remaining size × the ratio, its stop, limit and trailing amounts / the ratio. An order with less than one
  remaining share is cancelled, and the result lists it in a warning. A dividend alone does not change orders.

This also applies to a ticker without a bar on that session (a halt).
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

# Prefix of the reason of an order that a split cancelled.
SPLIT_WORDS = "split of"


class Flow(NamedTuple):
    """Cash flow or change of shares other than a trade; `amount` is negative when paid."""

    day: float
    ticker: str
    kind: str
    amount: float
    shares: float


class Account(Protocol):
    """Attributes and methods of a broker that `apply_actions` needs."""

    cash: float
    flows: list[Any]
    positions: Any

    def last_price(self, data: Any) -> float:
        """Return the last close at which the feed was valued, per share of that day."""

    def set_last_price(self, data: Any, price: float) -> None:
        """Value the feed at this price until its next bar."""

    def waiting_orders(self, data: Any) -> Iterable[Any]:
        """Return the submitted and waiting orders for the feed: the broker's own objects."""

    def withdraw(self, order: Any, reason: str) -> None:
        """Cancel one of these orders and its linked orders; no effect if it has ended."""


def apply_actions(
    account: Account,
    actions: Iterable[CorporateAction],
    feeds: Mapping[str, Any],
    now: float,
    *,
    fractional: bool,
    strategies: Iterable[Any] = (),
) -> None:
    """Apply splits and dividends to an account.

    Called at the start of a session, before fees, checks of orders and fills::

        if due := self._actions.between(before, self._now):
            apply_actions(self, due, self._feed_of, self._now, fractional=self.settings.fractional,
                          strategies=self.cerebro.runningstrats)

    Parameters
    ----------
    account : Account
        Its cash, positions, orders and `flows` are changed. Kinds of flows are `"dividend"`, `"split"` (shares
        only) and `"cash in lieu"`.
    actions : iterable of CorporateAction
        Sorted by date.
    feeds : mapping of str to feed
        Feed of each ticker; events of other tickers are ignored.
    now : float
        Current session as a backtrader day number; the date of the flows.
    fractional : bool
        Whether fractional shares can be held.
    strategies : iterable of bt.Strategy
        Strategies whose open trades (`notify_trade`) are adjusted. Profits of trades do not contain dividends.
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
                # the sum of fills and flows must equal the position to the bit, so that a closed position is 0.0
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
    """Compute the change of a number of shares by a split.

    Parameters
    ----------
    size : float
        Shares before the split, negative when short.
    ratio : float
        New shares for one old share.
    fractional : bool
        Whether fractional shares can be held.

    Returns
    -------
    change : float
        Change of the shares.
    left : float
        Fraction of a new share that is paid in cash, with the sign of `size`; 0.0 with fractional shares.

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
    """Truncate a number of shares towards zero; a number within rounding of a whole number is that number.

    >>> whole_shares(70 * 0.1), whole_shares(-2.7)
    (7.0, -2.0)
    """
    whole = float(round(shares))
    if abs(shares - whole) <= SHARE_TOLERANCE * max(abs(shares), 1.0):
        return whole
    return float(math.trunc(shares))


def split_order(order: Any, ratio: float, *, fractional: bool) -> str | None:
    """Adjust an order for a split, in place.

    Its remaining size is multiplied by the ratio; its prices (stop, limit, trailing amount, and the reference price of
    a market order) are divided by it. Earlier fills are unchanged, and copies that were passed to the strategy keep the
    old numbers.

    Returns
    -------
    str or None
        Reason to cancel the order instead; None after an adjustment.
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
    # copies of the order share `created`, so a copy is changed
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
    """Adjust open trades for a split, so that the sale of all shares closes them.

    The last trade takes the rounding to whole shares; a trade whose last fraction of a share was paid in cash is
    closed.
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
