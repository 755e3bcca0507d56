"""Point-in-time universe: the tickers that may be traded, selected from data known at the close of a date."""

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

_MINIMA = (
    ("max_tickers", 1),
    ("dollar_volume_window", 1),
    ("zero_return_window", 1),
    ("min_history", 0),
    ("max_stale", 1),
)
# Tolerance for rounding in adjusted prices: a smaller return counts as zero, and a bound may be exceeded by this much.
_TOLERANCE = 1e-12

# np.power may miss an exact power of ten by a bit
_POWERS_OF_TEN = np.array([float(f"1e{digits}") for digits in range(301)])

Schedule = tuple[tuple[np.datetime64, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class UniverseFilters:
    """Conditions that a ticker must meet on the day on which the universe is selected.

    Parameters
    ----------
    min_price : float, optional
        Lowest raw close of the ticker's latest bar.
    min_dollar_volume : float, optional
        Lowest median daily dollar volume over `dollar_volume_window` sessions.
    max_tickers : int, optional
        Largest number of tickers; those with the highest median dollar volume are kept, ties in alphabetical order.
    dollar_volume_window : int
        Trailing sessions over which the median is taken, the day itself included.
    min_history : int
        Smallest number of sessions with a bar before the date (the date itself not counted).
    max_stale : int
        The latest bar must lie within this many last sessions; 1 requires a bar on the day itself.
    max_zero_returns : float, optional
        Largest share of sessions without a return over `zero_return_window` sessions: a measure of liquidity where
        volume is unknown (Lesmond, Ogden and Trzcinka 1999), because investors do not trade on news that is worth less
        than their transaction costs.
    zero_return_window : int
        Trailing sessions of that share, the day itself included.
    include : tuple of str
        When given, only these tickers are considered. Some of them may be absent from the prices, such as those listed
        later; it is an error if all are absent.
    exclude : tuple of str
        Tickers that are never selected; they may be absent from the prices.

    Notes
    -----
    Dollar volume of a session is raw close × volume as delivered, with raw close = close / adj_factor rounded to twelve
    digits. The selection does not change when a ticker's adjusted history and its factor are multiplied by a constant,
    as happens with every new dividend and split. A session without a bar counts as zero dollar volume: no trade was
    possible, and a median over traded days only would make rarely traded tickers look liquid. For a ticker with fewer
    sessions than `dollar_volume_window` since prices began, the missing sessions count as zero too. A session without a
    return is one whose adjusted close equals the last adjusted close before it (to 1e-12), or one without a bar or
    without an earlier bar, sessions before prices began included. Only closes of the same ticker are compared, so a
    later dividend or split cannot move a ticker across this threshold, as it can across `min_price` where raw prices
    are unknown.

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
        for name, least in _MINIMA:
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
                f"expected universe.max_zero_returns as a share of sessions in [0, 1); found {share!r}; for "
                "example, 0.05 is one session in twenty"
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
        """Whether a filter uses dollar volume."""
        return self.min_dollar_volume is not None or self.max_tickers is not None

    def unknown(self, tickers: Iterable[str]) -> tuple[str, ...]:
        """Tickers in `include` and `exclude` that are not in `tickers`, sorted: listed later, or misspelt."""
        return tuple(sorted({*self.include, *self.exclude} - set(tickers)))


def universe_at(
    panel: PricePanel, date: Any, filters: UniverseFilters, membership: Membership | None = None
) -> tuple[str, ...]:
    """Select the universe at the close of one day.

    Parameters
    ----------
    panel : PricePanel
        Prices; data after `date` are not used.
    date : date-like
        Day at whose close the universe is selected; a day without a session stands for the session before it.
    filters : UniverseFilters
        Conditions.
    membership : Membership, optional
        Only members of this index on the day are considered; `max_tickers` counts among them.

    Returns
    -------
    tuple of str
        Selected tickers, sorted; empty when no ticker meets the conditions.

    Raises
    ------
    InputError
        When `date` is before the first price, volume is needed but unknown, or the prices contain none of the tickers
        of `filters.include` or of `membership`. Some of them may be absent: they may be listed later, and prices
        truncated at an earlier day must give the same universe.
    """
    available = set(panel.tickers)
    if available.isdisjoint(filters.include):
        check_tickers(filters.include, panel.tickers)
    if membership is not None and available.isdisjoint(membership.tickers):
        examples = ", ".join(membership.tickers[:3])
        raise InputError(
            f"expected index members among the {len(available):,} tickers of the prices; found none of them there "
            f"({examples}, …); use the same spelling in both, or the security ids of a symbol table in both"
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
        chosen &= _ticker_mask(panel, membership.members_at(panel.dates[t]))
    if filters.include:
        chosen &= _ticker_mask(panel, frozenset(filters.include))
    if filters.exclude:
        chosen &= ~_ticker_mask(panel, frozenset(filters.exclude))
    if filters.min_history:
        chosen &= seen[:-1].sum(axis=0) >= filters.min_history
    if filters.min_price is not None:
        recent = slice(max(t + 1 - filters.max_stale, 0), t + 1)
        latest = _last_known(_raw_close(panel, recent))
        chosen &= np.where(np.isnan(latest), -1.0, latest) >= _round_to_12_digits(np.array(filters.min_price))
    if filters.max_zero_returns is not None:
        chosen &= _zero_return_share(panel, t, filters.zero_return_window) <= filters.max_zero_returns + _TOLERANCE
    if filters.needs_volume:
        dollars = _median_dollar_volume(panel, t, filters.dollar_volume_window)
        if filters.min_dollar_volume is not None:
            chosen &= dollars >= filters.min_dollar_volume
        if filters.max_tickers is not None:
            candidates = np.flatnonzero(chosen)
            # tickers are sorted, so a stable sort breaks ties in alphabetical order
            kept = candidates[np.argsort(-dollars[candidates], kind="stable")[: filters.max_tickers]]
            chosen = np.zeros_like(chosen)
            chosen[kept] = True
    return tuple(panel.tickers[column] for column in np.flatnonzero(chosen))


def universe_schedule(
    panel: PricePanel, dates: Iterable[Any], filters: UniverseFilters, membership: Membership | None = None
) -> Schedule:
    """Select the universe on several days.

    Parameters
    ----------
    panel : PricePanel
        Prices.
    dates : iterable of date-like
        Days on which the universe is selected, ascending.
    filters : UniverseFilters
        Conditions.
    membership : Membership, optional
        Index from whose members the universe is selected, as in `universe_at`.

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
    """Describe the figure of the ticker that is closest to meeting a filter; empty for filters without a figure.

    Parameters
    ----------
    panel : PricePanel
        Prices.
    date : date-like
        Day at whose close the filter is evaluated.
    filters : UniverseFilters
        Conditions, of which the windows are used.
    name : str
        Filter, such as `"min_price"`.
    """
    t = panel.position(date)
    if name == "min_price":
        highest = np.nanmax(_last_known(_raw_close(panel, slice(max(t + 1 - filters.max_stale, 0), t + 1))))
        return f"the highest {'raw ' if panel.raw_known else ''}close is {highest:,.6g}"
    if name == "min_history":
        return f"the longest history has {int(panel.traded[:t].sum(axis=0).max()):,} sessions before that day"
    if name == "min_dollar_volume":
        return f"the highest median is {_median_dollar_volume(panel, t, filters.dollar_volume_window).max():,.6g}"
    if name == "max_zero_returns":
        return f"the lowest share is {_zero_return_share(panel, t, filters.zero_return_window).min():.3g}"
    return ""


def _ticker_mask(panel: PricePanel, names: Collection[str]) -> NDArray[np.bool_]:
    return np.fromiter((ticker in names for ticker in panel.tickers), dtype=bool, count=len(panel.tickers))


def _last_known(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Last value of each column that is not NaN; NaN for a column without one."""
    backwards = values[::-1]
    row = np.argmax(~np.isnan(backwards), axis=0)
    return np.asarray(np.take_along_axis(backwards, row[None, :], axis=0)[0])


def _raw_close(panel: PricePanel, recent: slice) -> NDArray[np.float64]:
    return _round_to_12_digits(panel.close[recent] / panel.adj_factor[recent])


def _round_to_12_digits(value: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round to twelve significant digits.

    Dividing an adjusted price by its factor gives 4.999999999999999 for a raw price of 5, or 5, depending on the
    factor: without rounding, a new dividend could move a ticker across a threshold. Digits are counted from the first
    significant one because the error is relative: an index quoted at 5,000,000 errs in its ninth decimal.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        digits = 11 - np.floor(np.log10(value))
    places = np.clip(np.nan_to_num(digits, nan=0.0, posinf=0.0, neginf=0.0), -300, 300).astype(np.intp)
    # powers of ten below one are not exact, so a large value is divided, not multiplied
    up, down = _POWERS_OF_TEN[np.maximum(places, 0)], _POWERS_OF_TEN[np.maximum(-places, 0)]
    return np.asarray(np.rint(value * up / down) / up * down)


def _median_dollar_volume(panel: PricePanel, t: int, window: int) -> NDArray[np.float64]:
    recent = slice(max(t + 1 - window, 0), t + 1)
    dollars = _raw_close(panel, recent) * panel.volume[recent]
    whole = np.zeros((window, dollars.shape[1]))
    whole[window - len(dollars) :] = np.nan_to_num(dollars, nan=0.0)
    return np.asarray(np.median(whole, axis=0))


def _zero_return_share(panel: PricePanel, t: int, window: int) -> NDArray[np.float64]:
    """Share of the sessions up to `t` on which each ticker's close did not move, shape (n_tickers,)."""
    begin = max(t + 1 - window, 0)
    last = _last_known(panel.close[:begin]) if begin else np.full(panel.close.shape[1], np.nan)
    moved = np.zeros(panel.close.shape[1], dtype=np.int64)
    for close in panel.close[begin : t + 1]:
        traded = ~np.isnan(close)
        # a comparison with NaN is false: the first bar has no return
        moved += np.abs(close - last) > _TOLERANCE * last
        last = np.where(traded, close, last)
    return np.asarray(1.0 - moved / window)
