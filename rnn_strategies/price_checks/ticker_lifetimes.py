"""First and last bar of every ticker, and the test of survivorship bias for report and audit."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from signals.data.prices import Prices

__all__ = ["CERTAIN", "NAMES", "RATE", "YEARS", "Lifetimes", "SurvivorshipBias", "lifetimes", "survivorship_bias"]

# Listings that end, by acquisition or failure, per listing and year: an assumption that is low for US stocks of any
# decade (Doidge, Karolyi and Stulz 2017, "The U.S. listing gap", Journal of Financial Economics 123). Probabilities
# below one in a thousand under this rate count as certainty.
RATE = 0.03
CERTAIN = 1e-3
# Least number of tickers and of years for the test.
NAMES, YEARS = 20, 2.0
ENDED = 30  # a ticker whose last bar is more calendar days before the end of the file counts as ended


@dataclass(frozen=True)
class Lifetimes:
    """First and last day of each ticker of the prices.

    Parameters
    ----------
    tickers : tuple of str
        Tickers, sorted.
    first, last : ndarray of datetime64[D], shape (n_tickers,)
        Dates of the first and last bar of each ticker.
    begin, end : datetime64[D]
        First and last bar of the whole table.
    """

    tickers: tuple[str, ...]
    first: NDArray[np.datetime64]
    last: NDArray[np.datetime64]
    begin: np.datetime64
    end: np.datetime64

    @property
    def years(self) -> float:
        """Calendar years from the first bar to the last."""
        return float((self.end - self.begin) / np.timedelta64(1, "D")) / 365.25

    @property
    def ended(self) -> NDArray[np.bool_]:
        """Mask, shape (n_tickers,), of tickers whose last bar is more than 30 calendar days before `end`."""
        return np.asarray((self.end - self.last) > np.timedelta64(ENDED, "D"))

    @property
    def ticker_years(self) -> float:
        """Sum of the years between the first and the last bar of each ticker."""
        return float(((self.last - self.first) / np.timedelta64(1, "D")).sum() / 365.25)

    @property
    def from_start(self) -> int:
        """Number of tickers that begin with the table."""
        return int((self.first == self.begin).sum())

    def named(self, names: frozenset[str]) -> NDArray[np.bool_]:
        """Mask of the tickers that are among `names`."""
        return np.fromiter((ticker in names for ticker in self.tickers), dtype=bool, count=len(self.tickers))


@dataclass(frozen=True, slots=True)
class SurvivorshipBias:
    """Result of the test for tickers that were left out because they ended.

    Parameters
    ----------
    certain : bool
        Whether the probability of a coincidence is below one in a thousand.
    finding : str
        The finding as a part of a sentence.
    missing : float
        Number of missing tickers at the assumed rate of 3 % a year; 0 where some tickers end.
    """

    certain: bool
    finding: str
    missing: float = 0.0


def lifetimes(prices: Prices) -> Lifetimes:
    """Find the first and last bar of each ticker."""
    levels, (days, codes) = prices.frame.index.levels, prices.frame.index.codes
    held = levels[0].to_numpy().astype("datetime64[D]")
    days, codes = np.asarray(days), np.asarray(codes)
    n = len(levels[1])
    first, last = np.full(n, len(held) - 1), np.zeros(n, dtype=np.int64)
    np.minimum.at(first, codes, days)
    np.maximum.at(last, codes, days)
    return Lifetimes(tuple(levels[1]), held[first], held[last], held[0], held[-1])


def survivorship_bias(lives: Lifetimes) -> SurvivorshipBias | None:
    """Test whether tickers that ended were left out of the prices.

    Parameters
    ----------
    lives : Lifetimes
        First and last bars of all tickers of the prices.

    Returns
    -------
    SurvivorshipBias or None
        None where tickers end at a usual rate, and for fewer than 20 tickers or at most two years.

    Notes
    -----
    If listings end at a rate of 3 % a year, n ticker-years without an end have the probability exp(-0.03 n); below one
    in a thousand (230 ticker-years) it counts as certain that ended tickers were left out.
    """
    n, ended, ticker_years = len(lives.tickers), int(lives.ended.sum()), lives.ticker_years
    if n < NAMES or lives.years <= YEARS:
        return None
    if not ended:
        balanced = " and all of them begin with it" if lives.from_start == n else ""
        finding = (
            f"all {n:,} tickers trade to the end of the file on {lives.end}{balanced}: those that ended in "
            f"{lives.years:.1f} years were left out"
        )
        chance = math.exp(-RATE * ticker_years)
        certain = chance < CERTAIN
        doubt = "" if certain else ", or none did"
        finding = f"{finding}{doubt} (probability at a rate of 3 % a year: {_chance(chance)})"
        return SurvivorshipBias(certain, finding, RATE * ticker_years)
    if ended < 0.002 * ticker_years:
        if _poisson(ended, RATE * ticker_years) < CERTAIN:
            return SurvivorshipBias(
                False,
                f"only {ended:,} of {n:,} tickers end in {lives.years:.1f} years where "
                f"{RATE * ticker_years:,.0f} are expected at 3 % a year: most tickers that ended are probably left out",
            )
    elif lives.from_start == n:
        return SurvivorshipBias(
            False, f"all {n:,} tickers begin with the file on {lives.begin}: no ticker was listed later"
        )
    return None


def _chance(chance: float) -> str:
    return f"{chance:.1g}" if chance > 1e-12 else "less than 1e-12"


def _poisson(k: int, mean: float) -> float:
    """Poisson probability of at most `k` events where `mean` are expected."""
    from scipy.special import pdtr

    return float(pdtr(k, mean))
