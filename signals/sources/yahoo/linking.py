"""Linking of downloads: cached bars stay as first downloaded, and later bars are rescaled to continue them.

Yahoo's adjusted prices equal raw prices on the day of the request, so each dividend and split rescales all history,
and with it every feature and every network's inputs. Here the first download sets the scale. Where a later download
overlaps with the cache, the two differ by a constant ratio, and dividing the new bars by it continues the old series:
returns are the vendor's, and old bars are unchanged to the bit. An overlap without a constant ratio means that Yahoo
has revised history.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from signals.data.panel import PRICE_COLUMNS
from signals.sources.adjustment import close_factor
from signals.sources.yahoo.cache import Action, History
from signals.sources.yahoo.client import InvalidReplyError, Reply

__all__ = ["OVERLAP", "extend", "first_download"]

# Sessions requested again to link a new download, and the number of them whose median gives the ratio.
OVERLAP = 30
_RATIO_OF = 21

# Yahoo's numbers have about seven digits; relative differences below a basis point are no revision.
TOLERANCE = 1e-4

# A fall within this fraction of the logarithm of a split is a split for which the prices were not adjusted.
_SPLIT_TOLERANCE = 0.3

QUOTES = PRICE_COLUMNS[:4]

Days = NDArray[np.datetime64]
Values = NDArray[np.float64]


def first_download(ticker: str, reply: Reply, asked_from: np.datetime64, until: np.datetime64) -> History:
    """Create the history of a ticker from its first download.

    Parameters
    ----------
    ticker : str
        As the user wrote it.
    reply : Reply
        All bars since `asked_from`.
    asked_from : datetime64[D]
        First day requested.
    until : datetime64[D]
        Last session that is over; later bars are not complete and are left out.

    Raises
    ------
    InvalidReplyError
        When no bar is left, or the prices are not adjusted for a dividend or a split that Yahoo lists.
    """
    _check_splits(reply)
    unpaid = _unadjusted(reply)
    if len(unpaid) and len(unpaid) == len(_paid(reply)):
        raise InvalidReplyError(f"dividends ({unpaid[0]} …) but no prices adjusted for them")
    days, columns = _as_traded(reply, until)
    if not len(days):
        raise InvalidReplyError(f"no bars up to {until}")
    return History(
        ticker=ticker,
        days=days,
        columns=columns,
        asked_from=asked_from,
        checked_until=_checked(days[-1], reply, until),
        actions=_actions(reply, until),
        currency=reply.currency,
        listed=reply.listed,
        unadjusted=tuple(day for day in unpaid if day <= str(until)),
    )


def extend(
    history: History, reply: Reply, asked_from: np.datetime64, until: np.datetime64, *, revisions: str = "keep"
) -> History:
    """Link a later download to the cached history.

    Parameters
    ----------
    history : History
        Cached history.
    reply : Reply
        Bars since `asked_from`, overlapping with the cached ones.
    asked_from, until : datetime64[D]
        As in `first_download`.
    revisions : {"keep", "accept"}
        `"keep"`: cached bars stay as they are, to the bit, and revisions by Yahoo are recorded. `"accept"`: bars that
        differ by more than 1e-4 are replaced (in the old scale), bars that Yahoo has added or removed are added or
        removed, and all others stay, to the bit.

    Raises
    ------
    InvalidReplyError
        When nothing overlaps (a reused symbol), or splits do not agree with the cached prices.
    """
    days, new = _as_traded(reply, until)
    common, kept_rows, new_rows = np.intersect1d(history.days, days, assume_unique=True, return_indices=True)
    if not len(common):
        if revisions == "accept":
            return first_download(history.ticker, reply, asked_from, until)
        raise InvalidReplyError(f"no bar in common with those kept up to {history.days[-1]}: perhaps a reused symbol")
    old = {name: history.columns[name][kept_rows] for name in PRICE_COLUMNS}
    again = {name: new[name][new_rows] for name in PRICE_COLUMNS}
    ratio = _middle(again["close"] / old["close"])
    splits_fit = abs(_middle(_raw(again) / _raw(old)) - 1) < 0.01
    if not splits_fit and revisions == "keep":
        raise InvalidReplyError(f"splits that do not fit: closes up to {common[-1]} as traded differ from those kept")
    linked = {name: new[name] / ratio if name != "volume" else new[name] for name in PRICE_COLUMNS}
    differ = _differ(again, old, ratio)
    inside = (days >= history.days[0]) & (days <= history.days[-1])
    late = inside & ~np.isin(days, history.days)
    dropped = (history.days >= days[0]) & (history.days <= days[-1]) & ~np.isin(history.days, days)

    # cached bars that stay, and new bars that are used
    stay = np.ones(len(history.days), dtype=bool)
    use = ~inside
    revised = dict(history.revised)
    if revisions == "accept":
        stay[kept_rows[differ]] = False
        stay &= ~dropped
        use[new_rows[differ]] = True
        use |= late
        revised = {}
    else:
        for row in np.flatnonzero(differ):
            was, now = old["close"][row], again["close"][row] / ratio
            revised[str(common[row])] = f"close {was:.6g}, now {now:.6g}" if abs(now / was - 1) > TOLERANCE else "bar"
        revised |= {str(day): "now has a bar" for day in days[late]}
        revised |= {str(day): "now has no bar" for day in history.days[dropped]}
    order = np.argsort(np.r_[history.days[stay], days[use]], kind="stable")
    merged = {name: np.r_[history.columns[name][stay], linked[name][use]][order] for name in PRICE_COLUMNS}
    all_days = np.r_[history.days[stay], days[use]][order]
    actions = {action.day: action for action in (*_actions(reply, until), *history.actions)}
    if revisions == "accept":
        actions |= {action.day: action for action in _actions(reply, until)}
    unpaid = (day for day in _unadjusted(reply) if str(history.days[-1]) < day <= str(until))
    return replace(
        history,
        days=all_days,
        columns=merged,
        asked_from=min(asked_from, history.asked_from),
        checked_until=max(history.checked_until, _checked(all_days[-1], reply, until)),
        actions=tuple(actions[day] for day in sorted(actions)),
        currency=reply.currency or history.currency,
        listed=reply.listed if reply.listed is not None else history.listed,
        gone=False,
        revised=dict(sorted(revised.items())),
        unadjusted=tuple(sorted({*history.unadjusted, *unpaid})),
    )


def _as_traded(reply: Reply, until: np.datetime64) -> tuple[Days, dict[str, Values]]:
    """Bars up to `until`: adjusted prices in the scale of the reply, and factors to prices as they were traded."""
    quotes = reply.quotes
    later = _later_splits(reply, reply.days)
    factor = close_factor(quotes["close"], quotes["adj_close"])
    columns = {name: quotes[name] * factor for name in QUOTES}
    columns["volume"] = quotes["volume"] / later
    columns["adj_factor"] = factor / later
    done = reply.days <= until
    return reply.days[done], {name: columns[name][done] for name in PRICE_COLUMNS}


def _later_splits(reply: Reply, days: Days) -> Values:
    """Product of the split ratios after each day: the number of today's shares for one share of that day."""
    onward = np.append(np.cumprod(reply.splits[::-1])[::-1], 1.0)
    return np.asarray(onward[np.searchsorted(reply.action_days, days, side="right")])


def _actions(reply: Reply, until: np.datetime64) -> tuple[Action, ...]:
    paid = reply.dividends * _later_splits(reply, reply.action_days)
    rows = zip(reply.action_days, paid.tolist(), reply.splits.tolist(), strict=True)
    return tuple(Action(np.datetime64(day, "D"), amount, split) for day, amount, split in rows if day <= until)


def _checked(last: np.datetime64, reply: Reply, until: np.datetime64) -> np.datetime64:
    """Last session that the reply settles: `until` if the last trade reported by Yahoo has a bar, else the last bar."""
    if reply.traded is not None and reply.traded <= last:
        return until
    return last if last < until else until


def _raw(columns: dict[str, Values]) -> Values:
    return np.asarray(columns["close"] / columns["adj_factor"])


def _middle(ratios: Values) -> float:
    """Median of the last ratios, which a single revised bar does not affect."""
    good = ratios[np.isfinite(ratios) & (ratios > 0)][-_RATIO_OF:]
    return float(np.median(good)) if len(good) else 1.0


def _differ(again: dict[str, Values], old: dict[str, Values], ratio: float) -> NDArray[np.bool_]:
    """Bars whose prices, adjusted or raw, differ from the cached ones; volume, often corrected later, is ignored."""
    pairs = [(again[name] / ratio, old[name]) for name in QUOTES] + [(_raw(again), _raw(old))]
    differ = np.zeros(len(old["close"]), dtype=bool)
    for now, was in pairs:
        exceeds = np.abs(now - was) > TOLERANCE * np.abs(was)
        differ |= exceeds | (np.isnan(now) != np.isnan(was))
    return differ


def _paid(reply: Reply) -> NDArray[np.intp]:
    """Positions of the dividends with a bar on their day and one before, so that adjusted prices show their effect."""
    place = np.searchsorted(reply.days, reply.action_days)
    there = (place > 0) & (place < len(reply.days)) & (reply.dividends > 0)
    there[there] &= reply.days[place[there]] == reply.action_days[there]
    return np.flatnonzero(there)


def _unadjusted(reply: Reply) -> list[str]:
    """Days of dividends of which the adjusted prices show less than half."""
    factor = close_factor(reply.quotes["close"], reply.quotes["adj_close"])
    missed = []
    for row in _paid(reply):
        place = int(np.searchsorted(reply.days, reply.action_days[row]))
        expected = reply.dividends[row] / reply.quotes["close"][place - 1]
        shown = 1 - factor[place - 1] / factor[place]
        if expected > 1e-5 and not shown > expected / 2:
            missed.append(str(reply.action_days[row]))
    return missed


def _check_splits(reply: Reply) -> None:
    close = reply.quotes["close"]
    for day, ratio in zip(reply.action_days, reply.splits, strict=True):
        place = int(np.searchsorted(reply.days, day))
        if not 0 < place < len(close) or 1 / 1.5 < ratio < 1.5:
            continue
        with np.errstate(divide="ignore", invalid="ignore"):
            unlike = abs(np.log(close[place] / close[place - 1]) + np.log(ratio))
        if unlike < _SPLIT_TOLERANCE * abs(np.log(ratio)):
            raise InvalidReplyError(f"a split of {ratio:g} on {day} that its prices are not adjusted for")
