"""Prices ticker by ticker: every bar beside the one before it, and which bars are no trades at all."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from signals.calendar import sessions
from signals.data.prices import Prices

__all__ = ["Histories", "Stretch", "histories", "stale_bars", "stretches"]

# two numbers that went through the same rounding are equal to this share of them
EQUAL = 1e-9
# Runs of fewer bars are not looked at: trading is suspended for a day or two all the time.
SHORTEST = 5

Values = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Histories:
    """All bars, those of a ticker together and in order of date.

    Parameters
    ----------
    prices : Prices
        Where they come from.
    dates : ndarray of datetime64[D], shape (n_sessions,)
        All sessions from the first bar to the last.
    code : ndarray of int32, shape (n,)
        Ticker of each bar, an index into `prices.tickers`.
    session : ndarray of int32, shape (n,)
        Session of each bar.
    columns : dict of str to ndarray of float64, shape (n,)
        The price columns, and `raw` = close / adj_factor.
    follows : ndarray of bool, shape (n,)
        Whether the bar in the row before is the same ticker's.
    """

    prices: Prices
    dates: NDArray[np.datetime64]
    code: NDArray[np.int32]
    session: NDArray[np.int32]
    columns: dict[str, Values]
    follows: Flags

    def before(self, column: str) -> Values:
        """Value of the row before; meaningless where `follows` is False."""
        values = self.columns[column]
        shifted = np.empty_like(values)
        shifted[:1], shifted[1:] = np.nan, values[:-1]
        return shifted

    def unchanged(self, column: str) -> Flags:
        """Whether a value equals the same ticker's one before."""
        values, before = self.columns[column], self.before(column)
        with np.errstate(invalid="ignore"):
            return np.asarray((np.abs(values - before) <= EQUAL * np.abs(values)) & self.follows)

    def name(self, row: int) -> str:
        """Ticker of a row."""
        return self.prices.tickers[int(self.code[row])]

    def day(self, row: int) -> np.datetime64:
        """Date of a row."""
        return np.datetime64(self.dates[self.session[row]])


@dataclass(frozen=True, slots=True)
class Stretch:
    """A run of bars that are no trades, too long to be chance.

    Parameters
    ----------
    ticker : str
        Whose.
    where : {"tail", "head", "inside"}
        After its last real trade, before its first, or in between.
    rows : slice
        Rows of `Histories`.
    first, last : datetime64[D]
        Its first and last date.
    chance : float
        Logarithm (base 10) of the number of such runs that were to be expected among all tickers, had the ticker
        simply gone on to be as idle as it otherwise is.
    """

    ticker: str
    where: str
    rows: slice
    first: np.datetime64
    last: np.datetime64
    chance: float

    @property
    def bars(self) -> int:
        """Its length."""
        return int(self.rows.stop - self.rows.start)

    def __str__(self) -> str:
        return f"{self.ticker} ({self.bars:,} bars, {self.first} to {self.last})"


def histories(prices: Prices) -> Histories:
    """Lay prices out ticker by ticker."""
    levels, (days, codes) = prices.frame.index.levels, prices.frame.index.codes
    held = levels[0].to_numpy().astype("datetime64[D]")
    dates = sessions(held[0], held[-1], prices.calendar)
    order = np.argsort(codes, kind="stable")  # rows are sorted by date already
    code = np.asarray(codes)[order].astype(np.int32)
    columns = {name: prices.frame[name].to_numpy()[order] for name in prices.frame.columns}
    columns["raw"] = columns["close"] / columns["adj_factor"]
    follows = np.zeros(len(code), dtype=bool)
    follows[1:] = code[1:] == code[:-1]
    session = np.searchsorted(dates, held).astype(np.int32)[np.asarray(days)[order]]
    return Histories(prices, dates, code, session, columns, follows)


def stale_bars(bars: Histories) -> Flags:
    """Tell which bars hold nothing new, shape (n,).

    The close is the close before (raw or adjusted), and, as far as these are known: nothing was quoted in between (low
    = high) or open, high and low are those of the bar before too; and volume is zero or that of the bar before. A real
    bar of a stock that hardly trades can look like that; `stretches` tells the two apart.
    """
    prices = bars.prices
    stale = bars.unchanged("close") | bars.unchanged("raw")
    if not prices.close_only:
        still = bars.columns["high"] - bars.columns["low"] <= EQUAL * bars.columns["close"]
        copied = bars.unchanged("open") & bars.unchanged("high") & bars.unchanged("low")
        stale &= still | copied
    if prices.volume_known:
        stale &= (bars.columns["volume"] == 0) | bars.unchanged("volume")
    return stale


def stretches(bars: Histories, stale: Flags, *, at_most: float = -2.0, inside_at_most: float = -3.0) -> list[Stretch]:
    """Find runs of stale bars that are too long for their ticker, the longest first.

    Parameters
    ----------
    bars : Histories
        All bars.
    stale : ndarray of bool, shape (n,)
        As `stale_bars` finds them.
    at_most, inside_at_most : float
        Highest `Stretch.chance` of runs at either end of a history, and inside.

    Notes
    -----
    A ticker that is idle on a share q of its sessions, and with probability c after an idle session, both counted
    outside the run (with one more success and two more trials, so that neither is ever 0), has a run of k sessions
    with probability q c^(k-1); times the number of places where one could have been, that is the number to expect.
    """
    n_tickers = len(bars.prices.tickers)
    edges = np.diff(np.concatenate([[False], stale, [False]]).astype(np.int8))
    begins, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    count = np.bincount(bars.code, minlength=n_tickers)
    idle = np.bincount(bars.code[stale], minlength=n_tickers)
    again = np.zeros(len(stale), dtype=bool)
    again[1:] = stale[1:] & stale[:-1]
    pairs = np.bincount(bars.code[again], minlength=n_tickers)
    found = []
    for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
        length = end - begin
        if length < SHORTEST:
            continue
        code = int(bars.code[begin])
        tail = end == len(stale) or not bars.follows[end]
        head = not bars.follows[begin - 1]
        n, m = count[code] - length, idle[code] - length
        share = (m + 1) / (n + 2)
        persistence = (pairs[code] - (length - 1) + 1) / (m + 2)
        places = n_tickers if tail or head else n_tickers * max(n, 1)
        chance = math.log10(share) + (length - 1) * math.log10(persistence) + math.log10(places)
        if chance > (at_most if tail or head else inside_at_most):
            continue
        # a history filled backwards repeats its first real bar, which ends such a run; forwards the real one precedes
        rows = slice(begin - 1, end - 1) if head and not tail else slice(begin, end)
        where = "tail" if tail else "head" if head else "inside"
        found.append(
            Stretch(bars.name(begin), where, rows, bars.day(rows.start), bars.day(rows.stop - 1), float(chance))
        )
    return sorted(found, key=lambda stretch: (-stretch.bars, stretch.ticker, stretch.first))
