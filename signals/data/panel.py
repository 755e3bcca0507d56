"""Prices as arrays: sessions × tickers, NaN where a ticker did not trade."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.calendar import as_day
from signals.common.errors import InputError
from signals.common.summary_card import Card

__all__ = ["PRICE_COLUMNS", "PricePanel", "check_tickers", "known_facts", "listed", "select_actions", "shortened"]

PRICE_COLUMNS = ("open", "high", "low", "close", "volume", "adj_factor")

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class PricePanel:
    """Prices of all tickers on all sessions, as returned by `Prices.panel`.

    Parameters
    ----------
    dates : ndarray of datetime64[D], shape (n_sessions,)
        All sessions of the calendar from the first to the last, traded or not.
    tickers : tuple of str
        Sorted.
    open, high, low, close : ndarray of float64, shape (n_sessions, n_tickers)
        Adjusted prices, C-contiguous and read-only.
    volume, adj_factor : ndarray of float64, same shape
        Volume as delivered; raw price = adjusted / adj_factor.
    raw_known, close_only, volume_known : bool
        As in `Prices`.
    calendar : str
        Exchange calendar of `dates`.
    actions : DataFrame, optional
        Splits and dividends, as in `Prices`; None when they are unknown. Those dated outside `dates` are ignored.
    """

    dates: NDArray[np.datetime64]
    tickers: tuple[str, ...]
    open: Values
    high: Values
    low: Values
    close: Values
    volume: Values
    adj_factor: Values
    raw_known: bool = True
    close_only: bool = False
    volume_known: bool = True
    calendar: str = "XNYS"
    actions: pd.DataFrame | None = None

    @property
    def traded(self) -> NDArray[np.bool_]:
        """True where there is a bar, shape (n_sessions, n_tickers)."""
        return ~np.isnan(self.close)

    def card(self) -> Card:
        """Summary of the panel in a few lines, for a prompt or a notebook."""
        traded = int(self.traded.sum())
        size = len(self.dates) * len(self.tickers)
        facts = [
            ("sessions", f"{len(self.dates):,} of {self.calendar}{_span(self.dates)}"),
            ("tickers", listed(self.tickers)),
            ("bars", f"{traded:,}" + (f" ({traded / size:.1%} of all cells)" if size else "")),
            ("known", known_facts(self)),
        ]
        return Card("PricePanel", facts)

    def __repr__(self) -> str:
        return self.card().text()

    def _repr_html_(self) -> str:
        return self.card().html()

    def position(self, date: Any) -> int:
        """Index of the last session on or before `date`; -1 when there is none."""
        return int(np.searchsorted(self.dates, as_day(date), side="right")) - 1

    def until(self, date: Any) -> PricePanel:
        """Sessions up to and including `date`, as known at that close.

        Tickers without a bar by then are left out, since they were not yet listed; otherwise the arrays are views.

        Raises
        ------
        InputError
            When `date` is before the first bar.
        """
        n = self.position(date) + 1
        seen = (~np.isnan(self.close[:n])).any(axis=0)
        if not seen.any():
            raise InputError(f"expected a date from {self.dates[0]} on, where prices begin; found {as_day(date)}")
        if seen.all():
            return self._map(lambda array: array[:n], self.dates[:n], self.tickers)
        columns = np.flatnonzero(seen)
        tickers = tuple(self.tickers[column] for column in columns)
        return self._map(lambda array: np.take(array[:n], columns, axis=1), self.dates[:n], tickers)

    def select(self, tickers: Iterable[str]) -> PricePanel:
        """Select tickers, sorted; all sessions stay.

        Raises
        ------
        InputError
            For a ticker that is not here; similar names are given.
        """
        wanted = sorted(set(tickers))
        check_tickers(wanted, self.tickers)
        place = {ticker: column for column, ticker in enumerate(self.tickers)}
        columns = np.array([place[ticker] for ticker in wanted], dtype=np.intp)
        return self._map(lambda array: np.take(array, columns, axis=1), self.dates, tuple(wanted))

    def _map(
        self, subset: Callable[[Values], Values], dates: NDArray[np.datetime64], tickers: tuple[str, ...]
    ) -> PricePanel:
        """Apply `subset` to every array, once to an array that stands for several columns."""
        subsets: dict[int, Values] = {}
        changed: dict[str, Any] = {"dates": dates, "tickers": tickers}
        for name in PRICE_COLUMNS:
            array = getattr(self, name)
            # a close-only panel has one array for four columns, and so has its subset
            if id(array) not in subsets:
                subsets[id(array)] = subset(array)
                subsets[id(array)].setflags(write=False)
            changed[name] = subsets[id(array)]
        if self.actions is not None:
            changed["actions"] = select_actions(self.actions, dates[-1] if len(dates) else None, tickers)
        same = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in changed}
        return PricePanel(**same, **changed)


def select_actions(
    actions: pd.DataFrame, last: np.datetime64 | None, tickers: Iterable[str] | None = None
) -> pd.DataFrame:
    """Keep the splits and dividends of some tickers up to and including a day; none when `last` is None."""
    days = actions.index.get_level_values("date")
    keep = np.zeros(len(actions), dtype=bool) if last is None else np.asarray(days <= last)
    if tickers is not None:
        keep &= np.asarray(actions.index.get_level_values("ticker").isin(list(tickers)))
    return actions if keep.all() else actions[keep]


def listed(tickers: Sequence[str], most: int = 4) -> str:
    r"""Write the number of tickers and the first few of them.

    >>> listed(("AAPL", "SPY")), listed([f"T{i}" for i in range(1200)])
    ('2: AAPL, SPY', '1,200: T0, T1, T2, T3, …')
    """
    named = ", ".join(shortened(ticker) for ticker in tickers[:most])
    return f"{len(tickers):,}: {named}{', …' if len(tickers) > most else ''}" if tickers else "none"


def shortened(name: str, most: int = 20) -> str:
    """Shorten a name to at most `most` characters, without control characters."""
    plain = "".join(c if c.isprintable() else "?" for c in name)
    return plain if len(plain) <= most else f"{plain[: most - 1]}…"


def known_facts(prices: Any) -> str:
    """Describe which data `Prices` or a `PricePanel` have, in words."""
    quotes = "closes only" if prices.close_only else "open, high, low, close"
    volume = "volume" if prices.volume_known else "no volume"
    raw = "raw prices" if prices.raw_known else "no raw prices"
    actions = "" if prices.actions is None else "; splits and dividends"
    return f"{quotes}; {volume}; {raw}{actions}"


def _span(dates: NDArray[np.datetime64]) -> str:
    return f", {dates[0]} to {dates[-1]}" if len(dates) else ""


def check_tickers(wanted: Iterable[str], known: Iterable[str]) -> None:
    """Raise `InputError` for tickers that the data do not have.

    Raises
    ------
    InputError
        Naming the first unknown ticker, how many there are, and known ones with a similar name.
    """
    have = set(known)
    missing = [ticker for ticker in wanted if ticker not in have]
    if not missing:
        return
    by_case = {str(ticker).lower(): ticker for ticker in sorted(have)}
    close = difflib.get_close_matches(str(missing[0]).lower(), list(by_case), n=3, cutoff=0.5)
    hint = f" (close: {', '.join(by_case[name] for name in close)})" if close else ""
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    raise InputError(
        f"expected one of the {len(have):,} tickers of the prices; found {missing[0]!r}{more}{hint}; correct the name"
    )
