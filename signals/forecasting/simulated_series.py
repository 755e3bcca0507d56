"""Simulated monthly series with seasons and a common cycle, which networks should forecast better than simple rules."""

from __future__ import annotations

import numpy as np

from signals.calendar import as_day
from signals.common.errors import InputError
from signals.forecasting.series_table import SeriesTable

__all__ = ["simulated_series"]

LEAD = 3  # months by which the first series runs ahead of the others


def simulated_series(
    *, seed: int = 0, n_months: int = 1200, n_series: int = 3, noise: float = 0.3, start: str = "1920-01-01"
) -> SeriesTable:
    """Simulate monthly series with a season and a common cycle.

    Every series is the sum of a common cycle, in which the first series leads the others by three months; of its own
    season, whose amplitude increases with the cycle; and of noise. The month, the last values, and the first series
    (for the others) are therefore informative: seasonal means ignore the cycle, persistence ignores the season, and
    linear models ignore the interaction of the two.

    Parameters
    ----------
    seed : int
        Seed of all random draws.
    n_months, n_series : int
        Size of the table; at least 24 months and 1 series.
    noise : float
        Standard deviation of the noise; those of season and cycle are about 1.
    start : str
        First month.

    Returns
    -------
    SeriesTable
        The table, with `"simulated"` as its source.

    Raises
    ------
    InputError
        For sizes or a noise outside these ranges.

    >>> simulated_series(n_months=24).names
    ('series_1', 'series_2', 'series_3')
    """
    if n_months < 24 or n_series < 1 or not 0 <= noise < np.inf:
        raise InputError(
            "expected at least 24 months, 1 series and a noise of at least 0 to simulate; found "
            f"{n_months}, {n_series} and {noise}"
        )
    rng = np.random.default_rng(seed)
    cycle = _autoregression(rng, n_months + LEAD, 0.95)
    month = np.arange(n_months) % 12
    columns = []
    for number in range(n_series):
        season = np.sum(
            [rng.normal() * np.sin(2 * np.pi * k * (month + rng.uniform(0, 12)) / 12) / k for k in (1, 2, 3)],
            axis=0,
        )
        season /= season.std()
        seen = cycle[LEAD:] if number == 0 else cycle[:-LEAD]
        columns.append((1.0 + 0.5 * seen) * season + seen + noise * rng.normal(size=n_months))
    first = as_day(start, name="series.start").astype("datetime64[M]")
    dates = (first + np.arange(n_months).astype("timedelta64[M]")).astype("datetime64[D]")
    names = tuple(f"series_{number}" for number in range(1, n_series + 1))
    return SeriesTable(dates, np.column_stack(columns), names, "simulated", "at the end of its month", "simulated")


def _autoregression(rng: np.random.Generator, n: int, phi: float) -> np.ndarray:
    """First-order autoregression with standard deviation 1."""
    shocks = rng.normal(size=n) * np.sqrt(1 - phi**2)
    values = np.empty(n)
    values[0] = rng.normal()
    for t in range(1, n):
        values[t] = phi * values[t - 1] + shocks[t]
    return values
