"""Bars ordered by ticker, and detection of bars without trades."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from signals.calendar import sessions
from signals.data.prices import Prices

__all__ = ["Histories", "Stretch", "histories", "stale_bars", "stretches"]

# Relative tolerance for the equality of prices.
EQUAL = 1e-9
# Shortest run of bars that is examined: trading is often suspended for a day or two.
MIN_RUN = 5

Values = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Histories:
    """All bars, those of a ticker together and in order of date.

    Parameters
    ----------
    prices : Prices
        The prices.
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
        """Values of the row before; they belong to another ticker where `follows` is False."""
        values = self.columns[column]
        shifted = np.empty_like(values)
        shifted[:1], shifted[1:] = np.nan, values[:-1]
        return shifted

    def unchanged(self, column: str) -> Flags:
        """Mask of values that equal the previous value of the same ticker."""
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
    """A run of bars without trades that is too long to be a coincidence.

    Parameters
    ----------
    ticker : str
        Ticker of the run.
    where : {"tail", "head", "inside"}
        After the last real trade of the ticker, before its first, or in between.
    rows : slice
        Rows of `Histories`.
    first, last : datetime64[D]
        First and last date of the run.
    chance : float
        Logarithm (base 10) of the number of such runs to be expected among all tickers, if the ticker had as few trades
        as on its other sessions.
    """

    ticker: str
    where: str
    rows: slice
    first: np.datetime64
    last: np.datetime64
    chance: float

    @property
    def bars(self) -> int:
        """Number of bars."""
        return int(self.rows.stop - self.rows.start)

    def __str__(self) -> str:
        return f"{self.ticker} ({self.bars:,} bars, {self.first} to {self.last})"


def histories(prices: Prices) -> Histories:
    """Order prices by ticker and date."""
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
    """Find bars that repeat the bar before; mask of shape (n,).

    The close (raw or adjusted) equals the close before, and, as far as these columns are known: low equals high, or
    open, high and low equal those of the bar before; and volume is zero or equals that of the bar before. A real bar of
    a stock that hardly trades can look the same; `stretches` distinguishes the two.
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
        Result of `stale_bars`.
    at_most, inside_at_most : float
        Largest `Stretch.chance` of runs at either end of a history (-2 by default), and inside (-3 by default).

    Notes
    -----
    A ticker without trades on a fraction q of its sessions, and with probability c after such a session, both estimated
    outside the run (with one success and two trials added, so that neither is 0), has a run of k sessions with
    probability q c^(k-1); multiplied by the number of possible positions, that is the expected number of runs.
    """
    n_tickers = len(bars.prices.tickers)
    edges = np.diff(np.concatenate([[False], stale, [False]]).astype(np.int8))
    begins, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    count = np.bincount(bars.code, minlength=n_tickers)
    idle = np.bincount(bars.code[stale], minlength=n_tickers)
    again = np.zeros(len(stale), dtype=bool)
    again[1:] = stale[1:] & stale[:-1]
    pairs = np.bincount(bars.code[again], minlength=n_tickers)
    runs = []
    for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
        length = end - begin
        if length < MIN_RUN:
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
        # a history filled backwards repeats the real bar at the end of the run, one filled forwards that before it
        rows = slice(begin - 1, end - 1) if head and not tail else slice(begin, end)
        where = "tail" if tail else "head" if head else "inside"
        runs.append(
            Stretch(bars.name(begin), where, rows, bars.day(rows.start), bars.day(rows.stop - 1), float(chance))
        )
    return sorted(runs, key=lambda stretch: (-stretch.bars, stretch.ticker, stretch.first))
