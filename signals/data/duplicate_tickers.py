"""Pairs of tickers with equal or nearly equal returns: one security under two names, or two share classes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["TickerPair", "duplicate_tickers", "duplicate_warning"]

# Correlation from which two tickers count as nearly the same, over at least so many common returns. Of 6,178 US
# tickers 2006-2017 thirteen pairs reach it: share classes (GOOG and GOOGL 0.984), dual listings (BBL and BHP 0.970) and
# funds on one index. The closest pairs of different companies stay below.
NEARLY, ENOUGH = 0.97, 60
# Returns that agree this well are the same but for rounding, and fewer of them are enough.
SAME, FEW = 0.9999, 20
# Rows of a block in which candidates are looked for, and the correlation that makes one.
BLOCK, CANDIDATE = 42, 0.95
# With more tickers one block in four is looked at, which finds every pair with 210 dates in common or more.
MANY, ONE_IN = 1500, 4
# Returns are clipped at so many times the ticker's median absolute return.
CLIP = 6.0
COLUMNS = 512

Values = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TickerPair:
    """Two tickers with equal or nearly equal returns.

    Parameters
    ----------
    first, second : str
        The two, in alphabetical order.
    correlation : float
        Correlation of their close-to-close log returns on common dates, each return clipped at six times the ticker's
        median absolute return, without the hundredth of the dates on which the two differ most.
    returns : int
        Number of common returns.
    """

    first: str
    second: str
    correlation: float
    returns: int

    def __str__(self) -> str:
        how = "identical" if self.correlation >= SAME else f"correlation {self.correlation:.3f}"
        return f"{self.first} and {self.second} ({how})"


def duplicate_tickers(frame: pd.DataFrame) -> tuple[TickerPair, ...]:
    """Find pairs of tickers with the same or nearly the same returns.

    Parameters
    ----------
    frame : DataFrame
        Prices as in `Prices.frame`: index (date, ticker) sorted by both, column `close`.

    Returns
    -------
    tuple of TickerPair
        The highest correlation first: at least 0.97 over 60 common returns, or 0.9999 over 20. Returns on which
        neither price moved are not counted.

    Notes
    -----
    Candidates are pairs that correlate in a block of 42 dates, which takes one product of matrices a block; only they
    are measured on all their dates. Memory is that of the closes laid out as dates × tickers in float32.
    """
    names = frame.index.levels[1]
    if len(names) < 2:
        return ()
    scaled, known = _scaled_returns(frame)
    pairs = []
    for a, b in sorted(_candidates(scaled, known)):
        both = known[:, a] & known[:, b] & ((scaled[:, a] != 0) | (scaled[:, b] != 0))
        n = int(both.sum())
        if n < FEW:
            continue
        x, y = _without_misprints(scaled[both, a].astype(np.float64), scaled[both, b].astype(np.float64))
        size = float(np.sqrt((x @ x) * (y @ y)))
        correlation = float(x @ y) / size if size > 0 else 0.0
        if correlation >= (NEARLY if n >= ENOUGH else SAME):
            pairs.append(TickerPair(str(names[a]), str(names[b]), min(correlation, 1.0), n))
    return tuple(sorted(pairs, key=lambda pair: (-round(pair.correlation, 6), pair.first, pair.second)))


def _without_misprints(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Leave out the hundredth of the returns that differ most."""
    few = len(x) // 100
    if not few:
        return x, y
    kept = np.argsort(np.abs(x - y), kind="stable")[: len(x) - few]
    return x[kept], y[kept]


def duplicate_warning(pairs: tuple[TickerPair, ...], most: int = 3) -> str:
    """Describe the pairs in one line without a full stop; empty when there are none."""
    if not pairs:
        return ""
    more = f" and {len(pairs) - most:,} more" if len(pairs) > most else ""
    count = "one pair" if len(pairs) == 1 else f"{len(pairs):,} pairs"
    return (
        f"{count} of tickers with the same or nearly the same returns: {', '.join(map(str, pairs[:most]))}{more}; "
        "a portfolio of both holds one position twice; keep one of each pair, for example with universe.exclude"
    )


def _scaled_returns(frame: pd.DataFrame) -> tuple[Values, NDArray[np.bool_]]:
    """Log returns over the ticker's median absolute one, clipped, 0 where unknown; and where they are known.

    A return counts on a date only when the ticker had a bar on the date before too, of those on which any has one:
    returns over different spans are not compared.
    """
    dates, codes = (np.asarray(c) for c in frame.index.codes)
    shape = (len(frame.index.levels[0]), len(frame.index.levels[1]))
    close = np.full(shape, np.nan, dtype=np.float64)
    close[dates, codes] = frame["close"].to_numpy()
    scaled = np.zeros((max(shape[0] - 1, 0), shape[1]), dtype=np.float32)
    known = np.zeros(scaled.shape, dtype=bool)
    for begin in range(0, shape[1], COLUMNS):
        columns = slice(begin, begin + COLUMNS)
        with np.errstate(invalid="ignore", divide="ignore"):
            returns = np.diff(np.log(close[:, columns]), axis=0)
        returns[np.abs(returns) < 1e-9] = 0.0  # rounding of an unchanged price
        here = np.isfinite(returns)
        for j in range(returns.shape[1]):
            own = returns[here[:, j], j]
            moves = np.abs(own[own != 0])
            if len(moves) >= FEW:
                known[:, begin + j] = here[:, j]
                scaled[here[:, j], begin + j] = np.clip(own / np.median(moves), -CLIP, CLIP)
    return scaled, known


def _candidates(scaled: Values, known: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Pairs that correlate within a block of dates, each once."""
    n, tickers = scaled.shape
    begins = range(0, max(n - BLOCK // 2, 1), BLOCK if tickers <= MANY else ONE_IN * BLOCK)
    pairs: set[tuple[int, int]] = set()
    for begin in begins:
        block = slice(begin, begin + BLOCK if begin + BLOCK + BLOCK // 2 <= n else n)
        z = scaled[block]
        here = np.flatnonzero((known[block].sum(axis=0) >= min(FEW, len(z))) & (z != 0).any(axis=0))
        if len(here) < 2:
            continue
        z = z[:, here]
        z = np.asarray(z / np.sqrt((z * z).sum(axis=0)), dtype=z.dtype)
        for left in range(0, len(here), COLUMNS):
            close = z[:, left : left + COLUMNS].T @ z[:, left:] > CANDIDATE
            for i, j in np.argwhere(close).tolist():
                if i < j:
                    pairs.add((int(here[left + i]), int(here[left + j])))
    yield from pairs
