"""Which tickers may be traded, decided on a date from what was known at its close."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signals.calendar import as_day
from signals.common.errors import InputError
from signals.data.panel import PricePanel, check_tickers
from signals.reference.membership import Membership

__all__ = ["Schedule", "UniverseFilters", "filter_figures", "universe_at", "universe_schedule"]

_LEAST = (
    ("max_tickers", 1),
    ("dollar_volume_window", 1),
    ("zero_return_window", 1),
    ("min_history", 0),
    ("max_stale", 1),
)
# Rounding of adjusted prices: a return of this size is none, and a share this much above its bound is at it.
_NOTHING = 1e-12

# np.power may miss an exact power of ten by a bit
_TENS = np.array([float(f"1e{digits}") for digits in range(301)])

Schedule = tuple[tuple[np.datetime64, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class UniverseFilters:
    """Conditions a ticker has to meet on the day the universe is drawn.

    Parameters
    ----------
    min_price : float, optional
        Lowest raw close of the ticker's latest bar.
    min_dollar_volume : float, optional
        Lowest median daily dollar volume over `dollar_volume_window` sessions.
    max_tickers : int, optional
        Only so many tickers, those with the highest median dollar volume; ties go to the name that sorts first.
    dollar_volume_window : int
        Trailing sessions the median is taken over, the day itself included.
    min_history : int
        Sessions with a bar before the date (the date itself not counted).
    max_stale : int
        The latest bar must lie within this many last sessions: 1 asks for a bar on the day itself.
    max_zero_returns : float, optional
        Largest share of sessions without a return over `zero_return_window` sessions: a measure of liquidity where
        volume is unknown (Lesmond, Ogden and Trzcinka 1999), since whoever pays more to trade than the news is worth
        does not.
    zero_return_window : int
        Trailing sessions of that share, the day itself included.
    include : tuple of str
        When given, only these tickers are considered at all. Some may be listed later than the prices end, or not be
        in them; none of them in the prices is an error.
    exclude : tuple of str
        Never these, whether the prices hold them or not.

    Notes
    -----
    Dollar volume of a session is raw close × volume as delivered, raw close = close / adj_factor, to twelve digits.
    Nothing here changes when a ticker's adjusted history and its factor are multiplied by a constant, as happens with
    every new dividend and split. A session without a bar counts as zero dollars: nobody could have traded there, and a
    median over traded days only would make the rarest trader look liquid. A ticker with fewer sessions than
    `dollar_volume_window` since prices began has the missing ones counted as zero too. A session without a return is
    one whose close equals the last close before it (to 1e-12), adjusted closes both; or one without a bar or without an
    earlier one, those before prices began included. Closes of one ticker are compared with each other only, so no later
    dividend or split can move a ticker across this threshold, as it can across `min_price` where raw prices are
    unknown.

    References
    ----------
    Lesmond, Ogden and Trzcinka (1999), *A new estimate of transaction costs*, Review of Financial Studies 12(5).
    """

    min_price: float | None = None
    min_dollar_volume: float | None = None
    max_tickers: int | None = None
    dollar_volume_window: int = 63
    min_history: int = 0
    max_stale: int = 5
    max_zero_returns: float | None = None
    zero_return_window: int = 252
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, least in _LEAST:
            value = getattr(self, name)
            if value is None and name == "max_tickers":
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise InputError(f"expected universe.{name} to be a whole number of at least {least}; found {value!r}")
        for name in ("min_price", "min_dollar_volume"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int | float) and 0 <= value < float("inf")):
                raise InputError(f"expected universe.{name} to be a number of at least 0; found {value!r}")
        share = self.max_zero_returns
        if share is not None and (isinstance(share, bool) or not 0 <= share < 1):
            raise InputError(
                f"expected universe.max_zero_returns as a share of sessions in [0, 1); found {share!r}; 0.05 is one in "
                "twenty"
            )
        for name in ("include", "exclude"):
            value = getattr(self, name)
            if isinstance(value, str) or not all(isinstance(ticker, str) for ticker in value):
                raise InputError(f"expected universe.{name} as a list of tickers; found {value!r}; use a list")
            object.__setattr__(self, name, tuple(value))
        if both := sorted(set(self.include) & set(self.exclude)):
            raise InputError(f"expected a ticker in universe.include or exclude, not both; found {both[0]!r} in both")

    @property
    def needs_volume(self) -> bool:
        """Whether a filter looks at dollar volume."""
        return self.min_dollar_volume is not None or self.max_tickers is not None

    def unknown(self, tickers: Iterable[str]) -> tuple[str, ...]:
        """Names under include and exclude that are not among `tickers`, sorted: listed later, or misspelt."""
        return tuple(sorted({*self.include, *self.exclude} - set(tickers)))


def universe_at(
    panel: PricePanel, date: Any, filters: UniverseFilters, membership: Membership | None = None
) -> tuple[str, ...]:
    """Draw the universe at the close of one day.

    Parameters
    ----------
    panel : PricePanel
        Prices; nothing after `date` is looked at.
    date : date-like
        Known at its close; a day that is no session stands for the session before it.
    filters : UniverseFilters
        Conditions.
    membership : Membership, optional
        Only members of this index on the day are considered; `max_tickers` counts among them.

    Returns
    -------
    tuple of str
        Sorted; empty when no ticker meets them.

    Raises
    ------
    InputError
        When `date` is before the prices, volume is needed and unknown, or the prices hold none of the tickers of
        `filters.include` or of `membership`. That they lack some is no error: they may be listed later, and prices cut
        at an earlier day must give the same universe.
    """
    held = set(panel.tickers)
    if held.isdisjoint(filters.include):
        check_tickers(filters.include, panel.tickers)
    if membership is not None and held.isdisjoint(membership.tickers):
        named = ", ".join(membership.tickers[:3])
        raise InputError(
            f"expected index members among the {len(held):,} tickers of the prices; found none of them there "
            f"({named}, …); spell both alike, or name the ids of a symbol table in both"
        )
    if filters.needs_volume and not panel.volume_known:
        name = "min_dollar_volume" if filters.min_dollar_volume is not None else "max_tickers"
        raise InputError(
            f"expected prices with volume for universe.{name}; found none in the data; drop the filter or add volume"
        )
    t = panel.position(date)
    if t < 0:
        raise InputError(f"expected a date from {panel.dates[0]} on, where prices begin; found {as_day(date)}")
    seen = panel.traded[: t + 1]
    chosen = seen[-filters.max_stale :].any(axis=0)
    if membership is not None:
        chosen &= _named(panel, membership.members_at(panel.dates[t]))
    if filters.include:
        chosen &= _named(panel, frozenset(filters.include))
    if filters.exclude:
        chosen &= ~_named(panel, frozenset(filters.exclude))
    if filters.min_history:
        chosen &= seen[:-1].sum(axis=0) >= filters.min_history
    if filters.min_price is not None:
        recent = slice(max(t + 1 - filters.max_stale, 0), t + 1)
        latest = _last_number(_raw_close(panel, recent))
        chosen &= np.where(np.isnan(latest), -1.0, latest) >= _settled(np.array(filters.min_price))
    if filters.max_zero_returns is not None:
        chosen &= _share_without_return(panel, t, filters.zero_return_window) <= filters.max_zero_returns + _NOTHING
    if filters.needs_volume:
        dollars = _median_dollar_volume(panel, t, filters.dollar_volume_window)
        if filters.min_dollar_volume is not None:
            chosen &= dollars >= filters.min_dollar_volume
        if filters.max_tickers is not None:
            candidates = np.flatnonzero(chosen)
            # tickers are sorted, so a stable sort settles ties by name
            kept = candidates[np.argsort(-dollars[candidates], kind="stable")[: filters.max_tickers]]
            chosen = np.zeros_like(chosen)
            chosen[kept] = True
    return tuple(panel.tickers[column] for column in np.flatnonzero(chosen))


def universe_schedule(
    panel: PricePanel, dates: Iterable[Any], filters: UniverseFilters, membership: Membership | None = None
) -> Schedule:
    """Draw the universe on several days.

    Parameters
    ----------
    panel : PricePanel
        Prices.
    dates : iterable of date-like
        Days on which the universe is drawn anew, ascending.
    filters : UniverseFilters
        Conditions.
    membership : Membership, optional
        The index to choose from, as in `universe_at`.

    Returns
    -------
    tuple of (datetime64[D], tuple of str)
        Each date with the members from its close on.

    Raises
    ------
    InputError
        As `universe_at`, and when dates do not ascend.
    """
    days = [as_day(date) for date in dates]
    for before, after in pairwise(days):
        if after <= before:
            raise InputError(f"expected ascending dates for the universe; found {after} after {before}; sort them")
    return tuple((day, universe_at(panel, day, filters, membership)) for day in days)


def filter_figures(panel: PricePanel, date: Any, filters: UniverseFilters, name: str) -> str:
    """Describe the ticker that comes nearest to meeting a filter on a day; empty for filters without a figure.

    Parameters
    ----------
    panel : PricePanel
        Prices.
    date : date-like
        Known at its close.
    filters : UniverseFilters
        Windows of the figures.
    name : str
        Filter, such as `"min_price"`.
    """
    t = panel.position(date)
    if name == "min_price":
        highest = np.nanmax(_last_number(_raw_close(panel, slice(max(t + 1 - filters.max_stale, 0), t + 1))))
        return f"the highest {'raw ' if panel.raw_known else ''}close is {highest:,.6g}"
    if name == "min_history":
        return f"the longest history has {int(panel.traded[:t].sum(axis=0).max()):,} sessions before that day"
    if name == "min_dollar_volume":
        return f"the highest median is {_median_dollar_volume(panel, t, filters.dollar_volume_window).max():,.6g}"
    if name == "max_zero_returns":
        return f"the lowest share is {_share_without_return(panel, t, filters.zero_return_window).min():.3g}"
    return ""


def _named(panel: PricePanel, names: Collection[str]) -> NDArray[np.bool_]:
    return np.fromiter((ticker in names for ticker in panel.tickers), dtype=bool, count=len(panel.tickers))


def _last_number(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Last value of each column that is not NaN, or NaN."""
    backwards = values[::-1]
    row = np.argmax(~np.isnan(backwards), axis=0)
    return np.asarray(np.take_along_axis(backwards, row[None, :], axis=0)[0])


def _raw_close(panel: PricePanel, recent: slice) -> NDArray[np.float64]:
    return _settled(panel.close[recent] / panel.adj_factor[recent])


def _settled(value: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round to twelve significant digits.

    Dividing an adjusted price by its factor gives 4.999999999999999 for a raw price of 5, or 5, depending on the
    factor: without rounding, a new dividend could move a ticker across a threshold. Digits are counted from the first
    significant one because the error is relative: an index quoted at 5,000,000 errs in its ninth decimal.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        digits = 11 - np.floor(np.log10(value))
    places = np.clip(np.nan_to_num(digits, nan=0.0, posinf=0.0, neginf=0.0), -300, 300).astype(np.intp)
    # powers of ten below one are not exact, so a large value is divided, not multiplied
    up, down = _TENS[np.maximum(places, 0)], _TENS[np.maximum(-places, 0)]
    return np.asarray(np.rint(value * up / down) / up * down)


def _median_dollar_volume(panel: PricePanel, t: int, window: int) -> NDArray[np.float64]:
    recent = slice(max(t + 1 - window, 0), t + 1)
    dollars = _raw_close(panel, recent) * panel.volume[recent]
    whole = np.zeros((window, dollars.shape[1]))
    whole[window - len(dollars) :] = np.nan_to_num(dollars, nan=0.0)
    return np.asarray(np.median(whole, axis=0))


def _share_without_return(panel: PricePanel, t: int, window: int) -> NDArray[np.float64]:
    """Share of the sessions up to `t` on which each ticker's close did not move, shape (n_tickers,)."""
    begin = max(t + 1 - window, 0)
    last = _last_number(panel.close[:begin]) if begin else np.full(panel.close.shape[1], np.nan)
    moved = np.zeros(panel.close.shape[1], dtype=np.int64)
    for close in panel.close[begin : t + 1]:
        traded = ~np.isnan(close)
        # a comparison with NaN is false: the first bar has no return
        moved += np.abs(close - last) > _NOTHING * last
        last = np.where(traded, close, last)
    return np.asarray(1.0 - moved / window)
