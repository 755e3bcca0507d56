"""What this project's broker and feeds do otherwise than backtrader's: every closed trap has a name here.

`Broker(settings)` closes all of them, `Broker(compat=True)` none: it then gives the bits of backtrader's own broker.
`Broker(settings, compat={"close_ruined_account"})` leaves only those named open.
"""

from __future__ import annotations

from collections.abc import Iterable

from signals.common.errors import InputError
from signals.common.former_names import RULES as FORMER_RULES
from signals.common.former_names import now_called

__all__ = ["RULES", "closed_rules"]

RULES: dict[str, str] = {
    "day_orders": (
        "A market order is for the next session: without a bar there, or beyond the volume that may fill, the rest "
        "expires. Stock fills it at whatever bar comes next, be it weeks later."
    ),
    "match_later_bars_only": (
        "An order for a feed without a bar today is rejected, and waiting orders are matched only against bars that "
        "come after they were given. Stock takes both and fills limit and stop orders at bars that are over."
    ),
    "cash_out_delisted_holdings": (
        "A holding without a bar for delist_after sessions is cashed out: longs at the last price × "
        "(1 − delist_haircut), shorts at the last price, and orders that wait for such a name are cancelled. Stock "
        "keeps both for ever."
    ),
    "keep_last_price_over_nan_bars": (
        "A bar of NaN is no bar: a holding keeps its last price and nothing fills. Stock fills at NaN, and cash is NaN "
        "for ever. Values are then added up in the order of the feeds, in stock in that of the first look at each "
        "position, which may change a last bit."
    ),
    "value_of_given_feeds": (
        "The value of several feeds is what they are worth. Stock adds the cash to it, and takes the sum for the value "
        "of the whole account until the next bar."
    ),
    "reject_non_finite_sizes": (
        "An order for a size that is no finite number is rejected and says so. Stock finds it too dear, or "
        "without its check takes it, and cash is NaN for ever."
    ),
    "never_refuse_reductions": (
        "An order that only reduces a position is never refused for lack of cash. Stock refuses it when cash is below "
        "zero, so that an account in need of money cannot sell."
    ),
    "clear_share_remainders": (
        "A remainder of share arithmetic (`share_tolerances`: at most 1e-9 of the position or the order, and less than "
        "half a share) is nothing: a fill takes along what it would leave of a position, an order for it is not made, "
        "cash or margin short by 1e-9 of an order does not refuse it, and 99.9999999999 shares are 100. In stock "
        "0.1 + 0.2 - 0.3 shares stay a position, which blocks orders and pays minimum commissions."
    ),
    "require_borrow_rate_for_shorts": (
        "A short sale needs borrow_rate. Stock lends shares for nothing without a word."
    ),
    "ignore_refused_orders_in_cash_check": (
        "The shares of an order that is refused do not count in the check of those after it. In stock they do, so that "
        "a sale is taken for a reduction of shares that nobody has."
    ),
    "cancel_unchecked_orders": (
        "An order can be cancelled in the same `next` in which it was given. In stock that does nothing, and the order "
        "fills on the next session."
    ),
    "initial_margin": (
        "An order that opens or adds is refused, before the session or when it fills, when the account would be worth "
        "less than initial_margin × the sum of absolute positions. Stock looks at cash alone, which a short sale "
        "increases."
    ),
    "close_ruined_account": (
        "At a close with value at or below zero, or below maintenance_margin × the sum of absolute positions, the "
        "account is closed and the run ends. Stock trades on with less than nothing."
    ),
    "uncapped_slippage": (
        "Slippage is not capped at the bar's high and low, and limit orders never slip through their limit. Stock caps "
        "it there, so that with a bar that has only a close nothing slips, and sells at less than the limit."
    ),
    "bracket_legs_follow_parent": (
        "The legs of a bracket follow what its parent has filled: they are live once some of it is filled, for their "
        "part of it, also when its rest expires, is cancelled or refused, and what one leg fills makes the others "
        "smaller. Legs take no part in the check for cash before their parent has filled, and are cancelled with a "
        "parent that never did. In stock legs sleep until all of the parent is filled and are cancelled with its rest."
    ),
    "bracket_legs_on_entry_bar": (
        "Stop and limit legs of a bracket are live on the bar on which the parent filled at the open, after all orders "
        "that fill at opens, and from the next bar when it filled inside its bar. Stock always waits for the next bar, "
        "so that a stop that was passed on the entry bar is not executed."
    ),
    "stop_orders_before_limit_orders": (
        "Of the legs of a bracket, or the orders of an OCO group, that are reached within one bar, one whose price is "
        "passed at the open fills first, then stop orders, then limit orders. Stock goes by the order in which they "
        "were given."
    ),
    "refuse_deposits": ("add_cash is refused. Stock counts deposits as returns."),
    "interest_separate_from_commission": (
        "Interest of a commission scheme of your own stays apart from commissions. Stock books it into the commission "
        "of the order that closes the position, after it was taken from the cash already."
    ),
    "release_finished_orders": ("Orders that are over are let go. Stock keeps every order ever given."),
    "nan_before_first_bar": (
        "Before its first bar a feed of `add_prices` shows NaN. In stock it shows the last bar of the run."
    ),
    "exchange_sessions": (
        "Every session of the exchange is one of the run, also when none of the tickers trades. Stock knows only dates "
        "of bars, so the last bar of the last live ticker would end the run and no dead holding would be cashed out. "
        "Here too that is so where feeds move alone: with runonce=False, preload=False, resampling, replay, filters."
    ),
}


def closed_rules(compat: bool | Iterable[str]) -> frozenset[str]:
    """Names of the rules that hold: all but those in `compat`, none when it is True.

    Raises
    ------
    InputError
        For a name that is no rule.

    Examples
    --------
    >>> len(closed_rules(True)), "day_orders" in closed_rules({"day_orders"})
    (0, False)
    >>> "day_orders" in closed_rules({"uncapped_slippage"})
    True
    """
    if isinstance(compat, bool):
        return frozenset() if compat else frozenset(RULES)
    names = [compat] if isinstance(compat, str) or not isinstance(compat, Iterable) else list(compat)
    for name in names:
        if name not in RULES:
            remedy = now_called(FORMER_RULES, str(name)) or "choose among them"
            raise InputError(
                f"expected compat as True, False or names among {', '.join(RULES)}; found {name!r}; {remedy}"
            )
    return frozenset(RULES) - frozenset(names)
