"""The figures of `metrics.json`: empyrical's, under empyrical's names, and ours beside them.

252 sessions a year, sample standard deviations (ddof 1). Whatever is undefined (a Sharpe ratio without any
variation, an annual return of an account below zero) is None, never NaN: NaN is not JSON.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd

from reports.round_trips import open_trips, round_trips, summarise_open_trips, summarise_round_trips
from reports.sessions import DAYS_PER_YEAR, align, utc_sessions
from reports.trading import trading_metrics
from signals.errors import InputError
from signals.long_run_variance import mean_interval

__all__ = ["Metrics", "compare", "compute_metrics", "drawdown_dates", "json_number", "return_metrics"]

Metrics = dict[str, float | int | str | None]

_COMPARISONS = (
    *("alpha", "alpha_low", "alpha_high", "beta", "correlation", "tracking_error", "information_ratio"),
    *("excess_sharpe", "excess_return", "excess_return_low", "excess_return_high"),
)


@contextmanager
def _undefined_is_silent() -> Iterator[None]:
    """Let a ratio be NaN without a word: the caller turns it into None, which says the same without noise."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def json_number(value: Any) -> float | int | str | None:
    """Make a value fit JSON: Python int, float or text, and None for what is no finite real number.

    >>> [json_number(v) for v in (np.float64(0.5), np.int64(3), float("nan"), float("inf"), 1j, "2024-01-02")]
    [0.5, 3, None, None, None, '2024-01-02']
    """
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, complex | np.complexfloating):
        return None
    if isinstance(value, int | np.integer):
        return int(value)
    number = float(value)
    return number if math.isfinite(number) else None


def return_metrics(returns: pd.Series, *, daily_risk_free: float = 0.0) -> Metrics:
    """Figures of one series of returns, as empyrical computes them.

    Parameters
    ----------
    returns : Series
        Simple returns per session.
    daily_risk_free : float
        Rate per session; used by Sharpe, Sortino (as required return), omega and downside risk.

    Returns
    -------
    dict
        empyrical's names: `cum_returns_final annual_return annual_volatility sharpe_ratio sortino_ratio
        calmar_ratio omega_ratio max_drawdown downside_risk stability_of_timeseries skew kurtosis tail_ratio
        value_at_risk` (5th percentile of daily returns) `conditional_value_at_risk`; then `best_day`,
        `worst_day` and `positive_days` (share of sessions with a gain).
    """
    import empyrical as ep
    from scipy import stats

    rate = daily_risk_free
    ruined = bool((returns <= -1).any())
    figures: dict[str, Callable[[], Any]] = {
        "cum_returns_final": lambda: ep.cum_returns_final(returns),
        # of an account below zero there is no root; for some lengths empyrical takes one and finds a number
        "annual_return": lambda: ep.annual_return(returns) if not ruined else math.nan,
        "annual_volatility": lambda: ep.annual_volatility(returns),
        "sharpe_ratio": lambda: ep.sharpe_ratio(returns, risk_free=rate),
        "sortino_ratio": lambda: ep.sortino_ratio(returns, required_return=rate),
        "calmar_ratio": lambda: ep.calmar_ratio(returns) if not ruined else math.nan,
        "omega_ratio": lambda: ep.omega_ratio(returns, risk_free=rate),
        "max_drawdown": lambda: ep.max_drawdown(returns),
        "downside_risk": lambda: ep.downside_risk(returns, required_return=rate),
        # the regression is on log wealth, which a ruined account does not have
        "stability_of_timeseries": lambda: ep.stability_of_timeseries(returns) if not ruined else math.nan,
        "skew": lambda: stats.skew(returns),
        "kurtosis": lambda: stats.kurtosis(returns),
        "tail_ratio": lambda: ep.tail_ratio(returns),
        "value_at_risk": lambda: ep.value_at_risk(returns),
        "conditional_value_at_risk": lambda: ep.conditional_value_at_risk(returns),
        "best_day": returns.max,
        "worst_day": returns.min,
        "positive_days": lambda: (returns > 0).mean(),
    }
    with _undefined_is_silent():
        return {name: json_number(figure()) for name, figure in figures.items()}


def drawdown_dates(returns: pd.Series) -> tuple[str | None, str | None, str | None]:
    """Peak, valley and recovery of the deepest drawdown as ISO dates; None where there is none (yet).

    The peak of a fall that starts with the first return is the first session.
    """
    wealth = np.concatenate([[1.0], (1.0 + returns.to_numpy()).cumprod()])
    peak_so_far = np.maximum.accumulate(wealth)
    depth = wealth / peak_so_far - 1.0
    valley = int(depth.argmin())
    if depth[valley] >= 0:
        return None, None, None
    peak = int(np.flatnonzero(depth[: valley + 1] == 0)[-1])
    after = np.flatnonzero(depth[valley:] == 0)
    days = returns.index.strftime("%Y-%m-%d")
    recovery = days[valley + int(after[0]) - 1] if len(after) else None
    return days[max(peak - 1, 0)], days[valley - 1], recovery


def compare(returns: pd.Series, other: pd.Series | None, *, daily_risk_free: float = 0.0) -> Metrics:
    """Figures of returns against other returns, over the sessions both have.

    Returns
    -------
    dict
        empyrical's `alpha` (annual), `beta` and `excess_sharpe` (daily mean of the difference over its deviation);
        `information_ratio` (`excess_sharpe` times the root of 252), `tracking_error` (annual), `correlation`,
        `excess_return` (mean daily difference times 252), `common_days`; and 95 % intervals
        (`signals.long_run_variance.mean_interval` of daily values, which do not overlap) `excess_return_low`,
        `excess_return_high` and, for the estimated beta, `alpha_low`, `alpha_high`.
    """
    import empyrical as ep

    if other is None:
        return {**dict.fromkeys(_COMPARISONS), "common_days": 0}
    mine = returns.reindex(other.index)
    active = mine - other
    with _undefined_is_silent():
        sharpe = ep.excess_sharpe(mine, other)
        excess = mean_interval(active, horizon=1)
        beta = ep.beta(mine, other, risk_free=daily_risk_free)
        residual = mean_interval(mine - daily_risk_free - beta * (other - daily_risk_free), horizon=1)
        values = {
            "alpha": ep.alpha(mine, other, risk_free=daily_risk_free),
            "alpha_low": (1.0 + residual.low) ** DAYS_PER_YEAR - 1.0,
            "alpha_high": (1.0 + residual.high) ** DAYS_PER_YEAR - 1.0,
            "beta": beta,
            "excess_sharpe": sharpe,
            "information_ratio": sharpe * math.sqrt(DAYS_PER_YEAR),
            "tracking_error": active.std() * math.sqrt(DAYS_PER_YEAR),
            "correlation": np.corrcoef(mine, other)[0, 1] if len(other) > 1 else math.nan,
            "excess_return": excess.mean * DAYS_PER_YEAR,
            "excess_return_low": excess.low * DAYS_PER_YEAR,
            "excess_return_high": excess.high * DAYS_PER_YEAR,
        }
    return {**{name: json_number(values[name]) for name in _COMPARISONS}, "common_days": len(other)}


def compute_metrics(
    returns: pd.Series,
    *,
    benchmark: pd.Series | None = None,
    universe: pd.Series | None = None,
    positions: pd.DataFrame | None = None,
    transactions: pd.DataFrame | None = None,
    orders: pd.DataFrame | None = None,
    cash_flows: pd.DataFrame | None = None,
    risk_free: float = 0.0,
) -> Metrics:
    """Every figure of a backtest as one flat, JSON-ready dict.

    Parameters
    ----------
    returns : Series indexed by session
        Simple returns after costs, naive or in any time zone.
    benchmark, universe : Series, optional
        Returns to compare with: a benchmark, and the equal-weight universe after the same costs. They may
        cover other dates; only common sessions count, and `common_days` says how many there are.
    positions, transactions, orders, cash_flows : DataFrame, optional
        As in `BacktestResult`.
    risk_free : float
        Rate a year, a fraction; turned into a rate per session by the 252nd root.

    Returns
    -------
    dict
        `start`, `end` (ISO dates), `days`, `risk_free`; `return_metrics` of the strategy, of the benchmark
        under `benchmark_…` and of the universe under `universe_…`; `compare` against the benchmark under
        plain names and against the universe under `…_universe`; dates of the deepest drawdown;
        `trading_metrics`; `summarise_round_trips` and `summarise_open_trips`. All keys are always there (but
        `orders_<status>`, one per status seen); what is not known is None.

    Raises
    ------
    InputError
        When `returns` is empty, unsorted or holds NaN.

    Examples
    --------
    >>> days = pd.date_range("2024-01-01", periods=4, tz="UTC")
    >>> figures = compute_metrics(pd.Series([0.1, -0.5, 0.0, 1.0], index=days))
    >>> figures["max_drawdown"], figures["max_drawdown_valley"], figures["alpha"]
    (-0.5, '2024-01-02', None)
    """
    returns = utc_sessions(returns)
    if returns.empty or returns.isna().any():
        found = "none" if returns.empty else f"NaN on {returns.index[returns.isna()][0]:%Y-%m-%d}"
        raise InputError(f"expected returns for every session; found {found}; run the backtest again")
    benchmark, universe = align(benchmark, returns), align(universe, returns)
    positions = None if positions is None else utc_sessions(positions, what="positions").fillna(0.0)
    transactions = None if transactions is None else utc_sessions(transactions, what="transactions")
    rate = (1.0 + risk_free) ** (1.0 / DAYS_PER_YEAR) - 1.0

    out: Metrics = {
        "start": f"{returns.index[0]:%Y-%m-%d}",
        "end": f"{returns.index[-1]:%Y-%m-%d}",
        "days": len(returns),
        "risk_free": risk_free,
    }
    out |= return_metrics(returns, daily_risk_free=rate)
    for part, day in zip(("peak", "valley", "recovery"), drawdown_dates(returns), strict=True):
        out[f"max_drawdown_{part}"] = day
    for prefix, other in (("benchmark", benchmark), ("universe", universe)):
        figures = (
            dict.fromkeys(return_metrics(returns.iloc[:1]))
            if other is None
            else return_metrics(other, daily_risk_free=rate)
        )
        out |= {f"{prefix}_{name}": value for name, value in figures.items()}
    out |= compare(returns, benchmark, daily_risk_free=rate)
    out |= {f"{name}_universe": value for name, value in compare(returns, universe, daily_risk_free=rate).items()}
    out |= _clean(trading_metrics(returns, positions, transactions, orders))
    trips = summarise_round_trips(round_trips(transactions, cash_flows))
    trips |= summarise_open_trips(open_trips(transactions, cash_flows, positions))
    out |= _clean(trips) if transactions is not None else dict.fromkeys(trips)
    return out


def _clean(figures: Mapping[str, float]) -> Metrics:
    return {name: json_number(value) for name, value in figures.items()}
