"""Test whether supposedly raw closes are already adjusted for later splits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rnn_strategies.price_checks.price_jumps import adjusted_splits, split_like_jumps
from rnn_strategies.price_checks.ticker_bars import Histories
from signals.data.corporate_actions import NOTABLE_SPLIT

__all__ = ["MissingSplits", "missing_splits"]

# Splits in a hundred years of a listing. Measured: 56 in 1,744 stock-years of 1,093 US stocks 2015-2017 (3.2 %, most of
# them reverse splits of small companies), 9 in 110 of AAPL, AIG, BAC, IBM and SPY 1998-2020.
RATE = 0.03
# Share of them that `split_like_jumps` finds: 53 of the 66 split-like steps of these 1,093 factors with open, high, low
# and volume, 25 strictly with closes alone.
FOUND, FOUND_IN_CLOSES = 0.75, 0.4
# No visible split is evidence from so many expected ones (a probability of 0.7 %), and so are some visible splits when
# they are at most a quarter of the expected ones and as improbable: adjusted prices have misprints and crashes.
MIN_EXPECTED, MAX_VISIBLE_FRACTION = 5.0, 0.25


@dataclass(frozen=True, slots=True)
class MissingSplits:
    """Splits that should be visible in raw closes and are not.

    Parameters
    ----------
    expected : float
        Number of splits that should be visible: those of the corporate actions, or 3 per hundred ticker-years where
        none are listed, times the fraction that can be recognised.
    found : int
        Number of visible splits.
    ticker_years : float
        Number of bars divided by sessions per year, over all tickers.
    listed : bool
        Whether the splits are known from a list of corporate actions.
    """

    expected: float
    found: int
    ticker_years: float
    listed: bool

    def sentence(self, *, raw_known: bool, filtered: bool) -> str:
        """Return a warning without a full stop.

        Parameters
        ----------
        raw_known : bool
            Whether raw closes are derived with adjustment factors; otherwise the closes are taken as raw ones.
        filtered : bool
            Whether `universe.min_price` is set.
        """
        what = "Raw closes (close / adj_factor) are adjusted" if raw_known else "The closes are adjusted"
        effect = (
            "universe.min_price looks ahead, because later splits have changed these prices: leave it out, or provide "
            "unadjusted prices"
            if filtered
            else "a filter on price would look ahead: do not use one"
        )
        return f"{what} for later splits already ({self}); {effect}"

    def __str__(self) -> str:
        """Describe the missing splits as a part of a sentence."""
        shown = f"{self.found:,} {'is' if self.found == 1 else 'are'}" if self.found else "none is"
        if self.listed:
            singular = self.expected == 1
            return (
                f"of {self.expected:,.0f} {'split' if singular else 'splits'} that the corporate actions list {shown} "
                "visible in the closes"
            )
        return (
            f"in {self.ticker_years:,.0f} ticker-years about {self.expected:,.0f} visible splits are expected, at "
            f"{100 * RATE:.0f} splits per hundred years, and {shown} found"
        )


def missing_splits(bars: Histories) -> MissingSplits | None:
    """Test whether the raw closes are adjusted for later splits.

    Parameters
    ----------
    bars : Histories
        All bars. Raw closes are close / adj_factor where the data have factors, and otherwise the closes themselves.

    Returns
    -------
    MissingSplits or None
        None where the raw closes show splits, where fewer than five are expected, for simulated prices, and for the
        calendar 24/7, whose instruments have no splits.

    Notes
    -----
    The number of splits in n ticker-years is taken as Poisson with mean 0.03 n, of which three quarters are recognised
    (two fifths in closes without open, high, low and volume). Where splits are listed the list is used instead: more
    than half of them have to show.
    """
    prices = bars.prices
    years = len(bars.code) / _sessions_a_year(bars.dates)
    if prices.simulated or prices.calendar == "24/7":
        return None
    if prices.actions is not None:
        listed, shown = _listed_splits(bars)
        if listed:
            return MissingSplits(float(listed), shown, years, True) if 2 * shown < listed else None
    share = FOUND_IN_CLOSES if prices.close_only or not prices.volume_known else FOUND
    expected = RATE * share * years
    if expected < MIN_EXPECTED:
        return None
    visible = adjusted_splits(bars) + sum(not jump.doubled for jump in split_like_jumps(bars, strict=True))
    if visible and (visible > MAX_VISIBLE_FRACTION * expected or _poisson(visible, expected) > np.exp(-MIN_EXPECTED)):
        return None
    return MissingSplits(expected, visible, years, False)


def _listed_splits(bars: Histories) -> tuple[int, int]:
    """Count the listed splits between two bars of their ticker, and those of them that the raw closes show."""
    assert bars.prices.actions is not None  # noqa: S101 - checked by the caller
    actions = bars.prices.actions
    actions = actions[np.abs(np.log(actions["split"].to_numpy(np.float64))) > NOTABLE_SPLIT]
    place = {ticker: code for code, ticker in enumerate(bars.prices.tickers)}
    starts = np.searchsorted(bars.code, np.arange(len(place) + 1))
    raw = bars.columns["raw"]
    listed = shown = 0
    days = actions.index.get_level_values("date").to_numpy().astype("datetime64[D]")
    for day, ticker, split in zip(days, actions.index.get_level_values("ticker"), actions["split"], strict=True):
        code = place.get(ticker)
        if code is None:
            continue
        begin, end = int(starts[code]), int(starts[code + 1])
        row = begin + int(np.searchsorted(bars.dates[bars.session[begin:end]], day))
        if not begin < row < end:
            continue
        listed += 1
        move, size = float(np.log(raw[row] / raw[row - 1])), float(np.log(split))
        shown += abs(move + size) < abs(move)
    return listed, shown


def _sessions_a_year(dates: NDArray[np.datetime64]) -> float:
    """Sessions per year of the calendar over these dates; 252 for spans up to half a year."""
    years = float((dates[-1] - dates[0]) / np.timedelta64(1, "D")) / 365.25
    return len(dates) / years if years > 0.5 else 252.0


def _poisson(k: int, mean: float) -> float:
    """Poisson probability of at most `k` events where `mean` are expected."""
    from scipy.special import pdtr

    return float(pdtr(k, mean))
