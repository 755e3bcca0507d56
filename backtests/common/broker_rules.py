"""Rules in which the broker and feeds of this package differ from stock backtrader.

`Broker(settings)` applies all of them, `Broker(compat=True)` none: results are then those of backtrader's own broker,
to the bit. `Broker(settings, compat={"close_ruined_account"})` applies all but the rules named.
"""

from __future__ import annotations

from collections.abc import Iterable

from signals.common.errors import InputError
from signals.common.former_names import RULES as FORMER_RULES
from signals.common.former_names import now_called

__all__ = ["RULES", "closed_rules"]

RULES: dict[str, str] = {
    "day_orders": (
        "A market order is valid for the next session: without a bar there, or beyond the volume limit, the rest "
        "expires. Stock backtrader fills it at the next bar, however much later."
    ),
    "match_later_bars_only": (
        "An order for a feed without a bar today is rejected, and waiting orders are matched only against bars that "
        "come after they were given. Stock backtrader accepts both and fills limit and stop orders at past bars."
    ),
    "cash_out_delisted_holdings": (
        "A holding without a bar for delist_after_sessions sessions is cashed out: longs at the last price × "
        "(1 − delist_haircut), shorts at the last price, and waiting orders for such a ticker are cancelled. Stock "
        "backtrader keeps both until the end of the run."
    ),
    "keep_last_price_over_nan_bars": (
        "A bar of NaN is ignored: a holding keeps its last price and nothing fills. Stock backtrader fills at NaN, and "
        "cash is NaN from then on. Values are summed in the order of the feeds, in stock backtrader in the order in "
        "which positions were first requested, which may change the last bit."
    ),
    "value_of_given_feeds": (
        "The value of several feeds is the sum of their positions. Stock backtrader adds the cash to it, and uses the "
        "sum as the value of the whole account until the next bar."
    ),
    "reject_non_finite_sizes": (
        "An order whose size is not finite is rejected with a reason. Stock backtrader rejects it for lack of cash or, "
        "without its cash check, accepts it, and cash is NaN from then on."
    ),
    "never_refuse_reductions": (
        "An order that only reduces a position is never rejected for lack of cash. Stock backtrader rejects it when "
        "cash is below zero, so that an account without cash cannot sell."
    ),
    "clear_share_remainders": (
        "A remainder of share arithmetic (`share_tolerances`: at most 1e-9 of the position or the order, and less than "
        "half a share) is treated as zero: a fill includes the remainder of a position, no order is made for a "
        "remainder, a lack of cash or margin of 1e-9 of an order does not reject it, and 99.9999999999 shares are 100. "
        "In stock backtrader 0.1 + 0.2 - 0.3 shares stay a position, which blocks orders and pays minimum commissions."
    ),
    "require_borrow_rate_for_shorts": ("A short sale needs borrow_rate. Stock backtrader lends shares without a fee."),
    "ignore_refused_orders_in_cash_check": (
        "The shares of a rejected order do not count in the cash check of later orders. In stock backtrader they do, "
        "so that a short sale can be treated as a reduction of a position that does not exist."
    ),
    "cancel_unchecked_orders": (
        "An order can be cancelled in the same `next` in which it was given. In stock backtrader that has no effect, "
        "and the order fills on the next session."
    ),
    "initial_margin": (
        "An order that opens or enlarges a position is rejected, before the session or when it fills, when the account "
        "value would be less than initial_margin × the sum of absolute positions. Stock backtrader checks cash only, "
        "which a short sale increases."
    ),
    "close_ruined_account": (
        "At a close with value at or below zero, or below maintenance_margin × the sum of absolute positions, the "
        "account is closed and the run ends. Stock backtrader continues with a negative value."
    ),
    "uncapped_slippage": (
        "Slippage is not capped at the bar's high and low, and limit orders never slip through their limit. Stock "
        "backtrader caps it there, so that bars with only a close have no slippage, and sells below the limit."
    ),
    "bracket_legs_follow_parent": (
        "The legs of a bracket follow what its parent has filled: they are active once a part of it is filled, for the "
        "filled part, also when the rest expires, is cancelled or rejected, and a fill of one leg reduces the others. "
        "Legs are excluded from the cash check before their parent has filled, and are cancelled with a parent without "
        "fills. In stock backtrader legs are inactive until all of the parent is filled, and are cancelled with its "
        "rest."
    ),
    "bracket_legs_on_entry_bar": (
        "Stop and limit legs of a bracket are active on the bar on which the parent filled at the open, after all "
        "orders that fill at opens, and from the next bar when it filled inside its bar. Stock backtrader always waits "
        "for the next bar, so that a stop that was reached on the entry bar is not executed."
    ),
    "stop_orders_before_limit_orders": (
        "Of the legs of a bracket, or the orders of an OCO group, that are reached within one bar, one whose price is "
        "reached at the open fills first, then stop orders, then limit orders. Stock backtrader fills them in the "
        "order of submission."
    ),
    "refuse_deposits": ("add_cash raises an error. Stock backtrader counts deposits as returns."),
    "interest_separate_from_commission": (
        "Interest of a custom commission scheme is not booked as commission. Stock backtrader adds it to the "
        "commission of the order that closes the position, although it was already deducted from the cash."
    ),
    "release_finished_orders": ("Finished orders are not stored. Stock backtrader keeps every order of the run."),
    "nan_before_first_bar": (
        "Before its first bar a feed of `add_prices` shows NaN. In stock backtrader it shows the last bar of the run."
    ),
    "exchange_sessions": (
        "Every session of the exchange is a session of the run, also when none of the tickers trades. Stock backtrader "
        "uses only dates of bars, so that the run ends with the last bar of any ticker and holdings delisted before it "
        "are not cashed out. That also applies here with runonce=False, preload=False, resampling, replay or filters."
    ),
}


def closed_rules(compat: bool | Iterable[str]) -> frozenset[str]:
    """Return the names of the rules that apply: all but those in `compat`, none when it is True.

    Raises
    ------
    InputError
        For a name that is not a rule.

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
