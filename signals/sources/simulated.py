"""Simulated prices with a planted pattern, for the demonstration and for tests with a known result.

Prices are simulated forward in time from random streams that are drawn session by session, so a simulation that ends
earlier equals the beginning of one that ends later, row for row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.signal import lfilter

from signals.annualization import sessions_per_year
from signals.calendar import as_day, decision_dates, sessions
from signals.common.errors import InputError
from signals.data.corporate_actions import actions_frame
from signals.data.price_index import INDEX
from signals.data.prices import Prices, check_prices

__all__ = ["SimulatedSource"]

Values = NDArray[np.float64]

OVERNIGHT = 0.2  # share of a day's variance between the last close and the open
MARKET, SECTOR = 0.007, 0.007  # daily volatility of the common factors
SPREAD_YEARS = 10  # listings and delistings are spread evenly over this many years after `start`
WEEK = 5  # sessions over which the expected return of a week is spread

# Weight of each part of the pattern. Each part lies within [-1, 1].
REVERSAL, ECHO, INTERACTION, MOMENTUM = -1.0, -0.5, 0.7, 0.6
# Weekly expected return at full strength, in units of the ticker's own weekly volatility.
AMPLITUDE = 0.33


@dataclass(frozen=True, slots=True)
class SimulatedSource:
    """Simulated daily prices of a small stock market.

    Parameters
    ----------
    seed : int
        Equal settings and seeds give equal prices, on any machine of the same numpy.
    n_tickers : int
        Number of tickers, named `SIM000`, `SIM001`, …
    start, end : str
        First and last day.
    signal_strength : float
        Strength of the planted pattern, from 0 to 3. With 0 past prices do not predict whether a ticker's future
        return is above the others'.
    half_life : float
        Half-life of the pattern's strength in years, from full strength at `start`.
    n_sectors : int
        Number of sectors, each with a common factor.
    listing_fraction : float
        Share of the tickers that are listed later, evenly over the ten years after `start`.
    delisting_fraction : float
        Share of the tickers that stop trading, evenly over the ten years after `start` or after their listing.
    missing_rate : float
        Probability that a ticker has no bar on a session.
    split_rate : float
        Probability of a share split per ticker and year: 2:1 or 3:1 at raw prices above 60, 1:10 below 5.
    calendar : str
        Exchange calendar.

    Notes
    -----
    Log returns are a common drift, plus a market and a sector factor, plus a residual, each symmetric around zero with
    its own clustered volatility (log-normal AR(1), independent of the shocks). Because of the symmetry every ticker,
    whatever its volatility, is above the median with probability one half, so without the pattern every score has an
    expected AUC of 0.5. (Mean simple returns do rise with volatility, as for any log-symmetric return; medians do not.)

    The pattern: over the sessions after a weekly decision date the residual of a ticker is expected to earn
    `signal_strength` × strength × its weekly volatility × g, where g mixes a reversal of the last week, an echo of the
    week before, the product of the two (an interaction that linear models cannot represent) and the momentum of weeks
    3 to 12, all of the ticker's own weekly residual returns. It is added between the open and the close of each
    session, so returns measured open to open and close to close both contain it.

    Shares are adjusted forward: `adj_factor` is 1.0 until a ticker's first split and the product of its split ratios
    after it. Later splits therefore never change earlier adjusted prices, unlike vendors' backward adjustment. Raw
    prices jump at splits; volume is in shares of the day.
    """

    seed: int = 0
    n_tickers: int = 120
    start: str = "2007-01-01"
    end: str = "2017-12-31"
    signal_strength: float = 1.0
    half_life: float = 8.0
    n_sectors: int = 8
    listing_fraction: float = 0.15
    delisting_fraction: float = 0.1
    missing_rate: float = 0.002
    split_rate: float = 0.1
    calendar: str = "XNYS"

    def __post_init__(self) -> None:
        for name, least in (("seed", 0), ("n_tickers", 1), ("n_sectors", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise InputError(f"expected {name} to be a whole number of at least {least}; found {value!r}")
        for name in ("listing_fraction", "delisting_fraction", "missing_rate", "split_rate"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"expected {name} between 0 and 1 (1 excluded); found {getattr(self, name)!r}")
        if not 0 <= self.signal_strength <= 3:
            raise InputError(f"expected signal_strength between 0 (off) and 3; found {self.signal_strength!r}")
        if not self.half_life > 0:
            raise InputError(f"expected half_life above 0 years; found {self.half_life!r}")

    def load(self) -> Prices:
        """Simulate prices.

        Returns
        -------
        Prices
            With `simulated=True`.

        Raises
        ------
        InputError
            When the period has no session or no bar.
        """
        market = _simulate(self)
        rows, columns = np.nonzero(market.traded)
        names = pd.Index(market.names, dtype=object)
        days = pd.DatetimeIndex(market.dates.astype("datetime64[ns]"))
        frame = pd.DataFrame(
            {name: values[rows, columns] for name, values in market.columns.items()},
            index=pd.MultiIndex(levels=[days, names], codes=[rows, columns], names=INDEX, verify_integrity=False),
        )
        factor = market.columns["adj_factor"]
        days_of_splits, split = np.nonzero(factor[1:] != factor[:-1])
        ratio = factor[1:][days_of_splits, split] / factor[:-1][days_of_splits, split]
        happened = zip(market.dates[1:][days_of_splits], split, ratio, strict=True)
        note = f"simulated prices (seed {self.seed}, pattern {self.signal_strength:g})"
        return check_prices(
            frame,
            calendar=self.calendar,
            source="simulated",
            simulated=True,
            raw_known=True,
            warnings=(note,),
            actions=actions_frame((day, market.names[at], float(new), 0.0) for day, at, new in happened),
        )

    def truth(self) -> pd.DataFrame:
        """Return the expected returns of the planted pattern.

        Returns
        -------
        DataFrame
            Index (date, ticker): weekly decision dates, tickers with a bar on that day. Column `expected_return`: log
            return the ticker's residual is expected to earn over the next five sessions; known at the close of `date`.
        """
        market = _simulate(self)
        rows, columns = np.nonzero(market.traded[market.decisions])
        days = pd.DatetimeIndex(market.dates[market.decisions].astype("datetime64[ns]"))
        names = pd.Index(market.names, dtype=object)
        index = pd.MultiIndex(levels=[days, names], codes=[rows, columns], names=INDEX, verify_integrity=False)
        return pd.DataFrame({"expected_return": market.expected[rows, columns]}, index=index)


@dataclass(frozen=True, slots=True)
class _SimulatedMarket:
    """Arrays of a simulation: sessions × tickers, and expected returns by decision date."""

    dates: NDArray[np.datetime64]
    names: list[str]
    traded: NDArray[np.bool_]
    columns: dict[str, Values]
    decisions: NDArray[np.int64]
    expected: Values


def _simulate(settings: SimulatedSource) -> _SimulatedMarket:
    dates = sessions(as_day(settings.start, name="start"), as_day(settings.end, name="end"), settings.calendar)
    if not len(dates):
        raise InputError(
            f"expected sessions between {settings.start} and {settings.end}; found none; choose later ends"
        )
    T, N = len(dates), settings.n_tickers
    # One stream per purpose, each drawn session by session: ending earlier draws a prefix of the same numbers.
    seeds = np.random.SeedSequence(settings.seed).spawn(9)
    fixed, shocks, factors, own_vol, factor_vol, presence, ranges, activity, corporate = map(
        np.random.default_rng, seeds
    )

    volatility = fixed.uniform(0.014, 0.026, N)
    beta = fixed.uniform(0.7, 1.3, N)
    sector = fixed.permutation(N) % settings.n_sectors
    first_price = np.exp(fixed.normal(np.log(35), 0.6, N))
    dollar_volume = np.exp(fixed.normal(np.log(2e7), 1.0, N))
    life = _life(fixed, settings)

    # Each ticker's volatility is the product of a common factor and one of its own.
    turbulence = _cluster(factor_vol.standard_normal((T, 1)), persistence=0.98, spread=0.3)
    own = volatility * turbulence * _cluster(own_vol.standard_normal((T, N)), persistence=0.95, spread=0.25)
    night_day = np.sqrt([OVERNIGHT, 1 - OVERNIGHT])
    common = factors.standard_normal((T, 1 + settings.n_sectors, 2)) * turbulence[:, :, None] * night_day
    residual = shocks.standard_normal((T, N, 2)) * own[:, :, None] * night_day

    decisions = np.searchsorted(dates, decision_dates(dates[0], dates[-1], "weekly", settings.calendar))
    years = (dates - dates[0]).astype(np.float64) / 365.25
    strength = settings.signal_strength * AMPLITUDE * 0.5 ** (years / settings.half_life)
    expected = _plant(residual, decisions, volatility * np.sqrt(WEEK), strength)

    moves = MARKET * beta[:, None] * common[:, :1] + SECTOR * common[:, 1 + sector] + residual
    moves[:, :, 1] += 0.0003  # drift of the market, the same for all tickers
    path = np.cumsum(moves.reshape(T, N, 2).transpose(0, 2, 1).reshape(2 * T, N), axis=0)
    price = first_price * np.exp(path)
    opened, close = price[0::2], price[1::2]
    reach = np.abs(ranges.standard_normal((T, N, 2))) * (0.6 * own)[:, :, None]
    columns = {
        "open": opened,
        "high": np.maximum(opened, close) * np.exp(reach[:, :, 0]),
        "low": np.minimum(opened, close) * np.exp(-reach[:, :, 1]),
        "close": close,
    }
    factor = _splits(corporate.random((T, N, 2)), close, settings.split_rate / sessions_per_year(settings.calendar))
    excitement = _cluster(activity.standard_normal((T, N)), persistence=0.9, spread=0.4)
    surprise = np.exp(0.25 * np.abs(moves.sum(axis=2)) / volatility)
    columns["volume"] = np.round(dollar_volume * excitement * surprise / (close / factor)) + 1.0
    columns["adj_factor"] = factor
    day = np.arange(T)[:, None]
    traded = (day >= life[0]) & (day < life[1]) & (presence.random((T, N)) >= settings.missing_rate)
    if not traded.any():
        raise InputError(
            f"expected at least one bar between {settings.start} and {settings.end}; found none; take more tickers "
            "or a longer period"
        )
    width = max(3, len(str(N - 1)))
    return _SimulatedMarket(dates, [f"SIM{i:0{width}d}" for i in range(N)], traded, columns, decisions, expected)


def _cluster(shocks: Values, *, persistence: float, spread: float) -> Values:
    """Positive multipliers around 1 that move slowly: exp of an AR(1) with standard deviation `spread`."""
    noise = shocks * (spread * np.sqrt(1 - persistence**2))
    noise[0] = shocks[0] * spread  # starts in equilibrium
    return np.asarray(np.exp(lfilter([1.0], [1.0, -persistence], noise, axis=0)))


def _life(rng: np.random.Generator, settings: SimulatedSource) -> tuple[Values, Values]:
    """First session of each ticker, and the session from which it no longer trades; both independent of `end`."""
    year = sessions_per_year(settings.calendar)
    span = SPREAD_YEARS * year
    N = settings.n_tickers
    order = rng.permutation(N)
    listed = np.zeros(N)
    late = order[: round(settings.listing_fraction * N)]
    listed[late] = np.floor(rng.random(N)[late] * span) + 1
    delisted = rng.permutation(N)[: round(settings.delisting_fraction * N)]
    ends = np.full(N, np.inf)
    # at least a year of trading, so that delisted tickers have been in universes
    ends[delisted] = listed[delisted] + year + np.floor(rng.random(N)[delisted] * (span - year))
    return listed, ends


def _plant(residual: Values, decisions: NDArray[np.int64], scale: Values, strength: Values) -> Values:
    """Add the planted return to `residual` in place; return it by decision date, shape (n_decisions, n_tickers)."""
    T, N = residual.shape[:2]
    bounds = np.append(decisions + 1, T)
    weeks = np.zeros((len(decisions), N))
    expected = np.zeros((len(decisions), N))
    before = 0
    for k, decision in enumerate(decisions):
        weeks[k] = residual[before : decision + 1].sum(axis=(0, 2)) / scale
        before = decision + 1
        if k < 12:
            continue
        last, echo = np.tanh(weeks[k]), np.tanh(weeks[k - 1])
        momentum = np.tanh(weeks[k - 11 : k - 1].sum(axis=0) / np.sqrt(10))
        shape = REVERSAL * last + ECHO * echo + INTERACTION * last * echo + MOMENTUM * momentum
        expected[k] = strength[decision] * scale * shape
        residual[before : bounds[k + 1], :, 1] += expected[k] / WEEK
    return expected


def _splits(chance: Values, close: Values, rate: float) -> Values:
    """Forward adjustment factors: the product of a ticker's split ratios so far; `rate` is that of a session."""
    ratio = np.ones(close.shape)
    current = np.ones(close.shape[1])
    for day, ticker in zip(*np.nonzero(chance[:, :, 0] < rate), strict=True):
        raw = close[max(day - 1, 0), ticker] / current[ticker]
        if raw > 60:
            ratio[day, ticker] = 2.0 if chance[day, ticker, 1] < 0.7 else 3.0
        elif raw < 5:
            ratio[day, ticker] = 0.1
        current[ticker] *= ratio[day, ticker]
    return np.asarray(np.cumprod(ratio, axis=0))
