"""Market of the benchmarks: simulated prices and scores as arrays, with or without missing bars, for every engine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.calendar import decision_dates, sessions
from signals.data.prices import Prices, check_prices

__all__ = ["Market", "simulate"]

Values = NDArray[np.float64]
FIRST, LAST = "2010-01-04", "2024-12-31"
QUOTES = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True, eq=False)
class Market:
    """Daily bars and scores.

    Parameters
    ----------
    dates : ndarray of datetime64[D], shape (n_sessions,)
        Sessions of the New York exchange.
    tickers : ndarray of str, shape (n_tickers,)
        Sorted.
    open, high, low, close, volume : ndarray of shape (n_sessions, n_tickers)
        NaN where there is no bar.
    decisions : ndarray of int, shape (n_decisions,)
        Sessions at whose close scores are known: the last of each week, say, but not the last of the run.
    scores : ndarray of shape (n_decisions, n_tickers)
        Within (0, 1), no two alike; NaN without a bar.
    """

    dates: NDArray[np.datetime64]
    tickers: NDArray[np.str_]
    open: Values
    high: Values
    low: Values
    close: Values
    volume: Values
    decisions: NDArray[np.intp]
    scores: Values

    @property
    def missing(self) -> float:
        """Fraction of the panel without a bar."""
        return float(np.isnan(self.close).mean())

    def prices(self) -> Prices:
        """Prices in the format of this project."""
        row, column = np.nonzero(~np.isnan(self.close))
        index = pd.MultiIndex.from_arrays(
            [self.dates[row].astype("datetime64[ns]"), self.tickers[column].astype(object)], names=["date", "ticker"]
        )
        frame = pd.DataFrame({name: getattr(self, name)[row, column] for name in QUOTES}, index=index)
        return check_prices(frame.assign(adj_factor=1.0), source="benchmark", simulated=True)

    def signals(self) -> pd.Series:
        """Scores in the format of this project."""
        row, column = np.nonzero(~np.isnan(self.scores))
        index = pd.MultiIndex.from_arrays(
            [self.dates[self.decisions[row]].astype("datetime64[ns]"), self.tickers[column].astype(object)],
            names=["date", "ticker"],
        )
        return pd.Series(self.scores[row, column], index=index, name="score")

    def frames(self) -> dict[str, pd.DataFrame]:
        """One frame per ticker with its own bars only, as users of backtrader have them."""
        stamps = pd.DatetimeIndex(self.dates.astype("datetime64[ns]"))
        own = ~np.isnan(self.close)
        return {
            ticker: pd.DataFrame({name: getattr(self, name)[own[:, j], j] for name in QUOTES}, index=stamps[own[:, j]])
            for j, ticker in enumerate(self.tickers.tolist())
        }

    def wide_scores(self) -> pd.DataFrame:
        """Scores as a table, decision dates by tickers."""
        stamps = pd.DatetimeIndex(self.dates[self.decisions].astype("datetime64[ns]"))
        return pd.DataFrame(self.scores, index=stamps, columns=self.tickers.tolist())

    def save(self, path: Path) -> None:
        """Write the arrays, readable with numpy alone."""
        arrays = {name: getattr(self, name) for name in ("dates", "tickers", *QUOTES, "decisions", "scores")}
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **arrays)

    @classmethod
    def load(cls, path: Path) -> Market:
        """Read what `save` wrote."""
        with np.load(path) as arrays:
            return cls(**arrays)


def simulate(tickers: int, days: int, *, missing: float = 0.0, frequency: str = "weekly", seed: int = 0) -> Market:
    """Simulate a market: one common factor, overnight gaps, persistent scores without skill.

    Parameters
    ----------
    tickers, days : int
        Size of the panel; at most 3,773 days.
    missing : float
        Share of the panel without a bar, exact to a cell. A third of the tickers is listed later, a fifth delisted
        earlier, at dates spread evenly; halts of 5 to 20 sessions and single days make up the rest, half each.
    frequency : {"daily", "weekly", "monthly"}
        Of the decisions.
    seed : int
        Equal arguments give equal markets.
    """
    rng = np.random.default_rng(seed)
    dates = sessions(FIRST, LAST)[:days]
    if len(dates) < days:
        raise ValueError(f"expected at most {len(dates)} days; found {days}")
    shape = (days, tickers)
    returns = rng.normal(0.0003, 0.008, (days, 1)) + rng.normal(0.0, 0.016, shape)
    close = np.round(rng.uniform(15.0, 300.0, tickers) * np.exp(np.cumsum(returns - 0.00016, axis=0)), 4)
    open_ = close.copy()
    open_[1:] = np.round(close[:-1] * (1.0 + rng.normal(0.0, 0.004, (days - 1, tickers))), 4)
    above, below = np.abs(rng.normal(0.0, 0.006, (2, *shape)))
    bars = {
        "open": open_,
        "high": np.round(np.maximum(open_, close) * (1.0 + above), 4),
        "low": np.round(np.minimum(open_, close) * (1.0 - below), 4),
        "close": close,
        "volume": np.floor(rng.lognormal(13.0, 1.0, shape)),
    }
    decided = np.searchsorted(dates, decision_dates(dates[0], dates[-1], frequency))
    decided = decided[decided < days - 1]
    hidden = rng.normal(size=(len(decided), tickers))
    for week in range(1, len(decided)):
        hidden[week] = 0.8 * hidden[week - 1] + 0.6 * hidden[week]
    scores = 1.0 / (1.0 + np.exp(-0.6 * hidden))
    if missing:
        holes = _holes(rng, days, tickers, missing)
        for values in bars.values():
            values[holes] = np.nan
        scores[holes[decided]] = np.nan
    names = np.array([f"T{j:04d}" for j in range(tickers)])
    return Market(dates=dates, tickers=names, **bars, decisions=decided, scores=scores)


def _holes(rng: np.random.Generator, days: int, tickers: int, share: float) -> NDArray[np.bool_]:
    """Mask of missing bars."""
    wanted = round(share * days * tickers)
    holes = np.zeros((days, tickers), dtype=bool)
    order = rng.permutation(tickers)
    late, early = order[: tickers // 3], order[-(tickers // 5) :]
    session = np.arange(days)[:, None]
    holes[:, late] = session < np.linspace(1, days - 20, len(late)).astype(int)
    if len(early):
        holes[:, early] |= session >= np.linspace(20, days - 1, len(early)).astype(int)
    halted = (wanted - int(holes.sum())) // 2
    while halted > 0:
        ticker, start, length = rng.integers(tickers), rng.integers(days), rng.integers(5, 21)
        block = holes[start : start + min(length, halted), ticker]
        halted -= int((~block).sum())
        block[:] = True
    left = wanted - int(holes.sum())
    if left < 0:
        raise ValueError(f"expected more than {holes.mean():.0%} missing; found {share:.0%}; ask for more")
    holes.ravel()[rng.choice(np.flatnonzero(~holes.ravel()), left, replace=False)] = True
    return holes
