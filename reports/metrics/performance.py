"""Figures of `metrics.json`: empyrical's figures under empyrical's names, comparisons, trading and round trips.

Sessions a year follow the table of `signals.annualization`; standard deviations are sample ones (ddof 1). Undefined
figures (a Sharpe ratio without any variation, an annual return of an account below zero) are None, because NaN is not
valid JSON.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd

from backtests.external_returns import check_returns
from reports.common.utc_index import align, utc_sessions
from reports.metrics.drawdowns import deepest_drawdowns
from reports.metrics.round_trips import open_trips, round_trips, summarise_open_trips, summarise_round_trips
from reports.metrics.trading import trading_metrics
from signals.annualization import periodicity_of
from signals.common.errors import InputError
from signals.evaluation.long_run_variance import mean_interval

__all__ = ["Metrics", "compare", "compute_metrics", "drawdown_dates", "json_number", "return_metrics", "ruin_date"]

Metrics = dict[str, float | int | str | None]

_COMPARISONS = (
    *("alpha", "alpha_low", "alpha_high", "beta", "correlation", "tracking_error", "information_ratio"),
    *("excess_sharpe", "excess_return", "excess_return_low", "excess_return_high"),
    *("common_start", "common_end", "common_annual_return", "common_cum_returns_final"),
)


@contextmanager
def _suppress_undefined_warnings() -> Iterator[None]:
    """Suppress warnings of ratios that are NaN; the caller turns them into None."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def json_number(value: Any) -> float | int | str | None:
    """Convert a value for JSON: Python int, float or text, and None for anything but a finite real number.

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


def ruin_date(returns: pd.Series) -> str | None:
    """First date on which an account with these returns had a value of zero or less, as ISO text; None without one.

    >>> ruin_date(pd.Series([0.1, -1.2], index=pd.bdate_range("2024-01-01", periods=2)))
    '2024-01-02'
    """
    lost = np.flatnonzero((1.0 + returns.to_numpy(dtype=np.float64)).cumprod() <= 0.0)
    return f"{returns.index[lost[0]]:%Y-%m-%d}" if len(lost) else None


def return_metrics(returns: pd.Series, *, daily_risk_free: float = 0.0, periods_per_year: float = 252.0) -> Metrics:
    """Compute the figures of one series of returns with empyrical.

    Parameters
    ----------
    returns : Series
        Simple returns per session.
    daily_risk_free : float
        Rate per session; used by Sharpe, Sortino (as required return), omega and downside risk.
    periods_per_year : float
        Sessions a year: empyrical's `annualization`.

    Returns
    -------
    dict
        empyrical's names: `cum_returns_final annual_return annual_volatility sharpe_ratio sortino_ratio
        calmar_ratio omega_ratio max_drawdown downside_risk stability_of_timeseries skew kurtosis tail_ratio
        value_at_risk` (5th percentile of daily returns) `conditional_value_at_risk`; then `best_day`,
        `worst_day` and `positive_days` (share of sessions with a gain), and `ruin_date` (see the function).
    """
    import empyrical as ep
    from scipy import stats

    rate, year = daily_risk_free, periods_per_year
    ruined = bool((returns <= -1).any())
    figures: dict[str, Callable[[], Any]] = {
        "cum_returns_final": lambda: ep.cum_returns_final(returns),
        # undefined for a value below zero; empyrical returns a number for some lengths
        "annual_return": lambda: ep.annual_return(returns, annualization=year) if not ruined else math.nan,
        "annual_volatility": lambda: ep.annual_volatility(returns, annualization=year),
        "sharpe_ratio": lambda: ep.sharpe_ratio(returns, risk_free=rate, annualization=year),
        "sortino_ratio": lambda: ep.sortino_ratio(returns, required_return=rate, annualization=year),
        "calmar_ratio": lambda: ep.calmar_ratio(returns, annualization=year) if not ruined else math.nan,
        "omega_ratio": lambda: ep.omega_ratio(returns, risk_free=rate, annualization=year),
        "max_drawdown": lambda: ep.max_drawdown(returns),
        "downside_risk": lambda: ep.downside_risk(returns, required_return=rate, annualization=year),
        # the regression is on log wealth, which is undefined after ruin
        "stability_of_timeseries": lambda: ep.stability_of_timeseries(returns) if not ruined else math.nan,
        "skew": lambda: stats.skew(returns),
        "kurtosis": lambda: stats.kurtosis(returns),
        "tail_ratio": lambda: ep.tail_ratio(returns),
        "value_at_risk": lambda: ep.value_at_risk(returns),
        "conditional_value_at_risk": lambda: ep.conditional_value_at_risk(returns),
        "best_day": returns.max,
        "worst_day": returns.min,
        "positive_days": lambda: (returns > 0).mean(),
        "ruin_date": lambda: ruin_date(returns),
    }
    with _suppress_undefined_warnings():
        return {name: json_number(figure()) for name, figure in figures.items()}


def drawdown_dates(returns: pd.Series) -> tuple[str | None, str | None, str | None]:
    """Peak, valley and recovery of the deepest drawdown as ISO dates; None where there is none (yet).

    The peak of a drawdown that starts with the first return is the first session.
    """
    drawdowns = deepest_drawdowns(returns, top=1)
    if not drawdowns:
        return None, None, None
    deepest = drawdowns[0]
    recovery = f"{deepest.recovery:%Y-%m-%d}" if deepest.recovery else None
    return f"{deepest.peak:%Y-%m-%d}", f"{deepest.valley:%Y-%m-%d}", recovery


def compare(
    returns: pd.Series,
    other: pd.Series | None,
    *,
    daily_risk_free: float = 0.0,
    periods_per_year: float = 252.0,
) -> Metrics:
    """Compare returns with other returns over the sessions both have.

    Returns
    -------
    dict
        empyrical's `alpha` (annual), `beta` and `excess_sharpe` (daily mean of the difference over its deviation);
        `information_ratio` (`excess_sharpe` times the root of the sessions a year), `tracking_error` (annual),
        `correlation`, `excess_return` (mean daily difference times the sessions a year), `common_days`; 95 % intervals
        (`signals.evaluation.long_run_variance.mean_interval` of values per session, which do not overlap)
        `excess_return_low`, `excess_return_high` and, for the estimated beta, `alpha_low`, `alpha_high`; and the
        first and last common session (`common_start`, `common_end`) with the figures of `returns` over them
        (`common_annual_return`, `common_cum_returns_final`). All are None without `other`.
    """
    import empyrical as ep

    if other is None:
        return {**dict.fromkeys(_COMPARISONS), "common_days": 0}
    common, year = returns.reindex(other.index), periods_per_year
    active = common - other
    own = return_metrics(common, periods_per_year=year)
    with _suppress_undefined_warnings():
        sharpe = ep.excess_sharpe(common, other)
        excess = mean_interval(active, horizon=1)
        beta = ep.beta(common, other, risk_free=daily_risk_free)
        residual = mean_interval(common - daily_risk_free - beta * (other - daily_risk_free), horizon=1)
        values = {
            "alpha": ep.alpha(common, other, risk_free=daily_risk_free, annualization=year),
            "alpha_low": (1.0 + residual.low) ** year - 1.0,
            "alpha_high": (1.0 + residual.high) ** year - 1.0,
            "beta": beta,
            "excess_sharpe": sharpe,
            "information_ratio": sharpe * math.sqrt(year),
            "tracking_error": active.std() * math.sqrt(year),
            "correlation": np.corrcoef(common, other)[0, 1] if len(other) > 1 else math.nan,
            "excess_return": excess.mean * year,
            "excess_return_low": excess.low * year,
            "excess_return_high": excess.high * year,
            "common_start": f"{other.index[0]:%Y-%m-%d}",
            "common_end": f"{other.index[-1]:%Y-%m-%d}",
            "common_annual_return": own["annual_return"],
            "common_cum_returns_final": own["cum_returns_final"],
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
    risk_free_rate: float = 0.0,
    calendar: str | None = None,
    periods_per_year: float | None = None,
) -> Metrics:
    """Compute all figures of a backtest as one flat dict of JSON values.

    Parameters
    ----------
    returns : Series indexed by session
        Simple returns after costs per session, week or month, as fractions. Dates are naive or midnights of any time
        zone; see `backtests.external_returns.session_dates`.
    benchmark, universe : Series, optional
        Returns to compare with: a benchmark, and the equal-weight universe after the same costs, as fractions, at
        least as frequent as `returns`. Returns since the account's session before are compounded, and a session
        without one counts 0. They may cover other dates; only the common span is compared, and `common_days`,
        `common_start` and `common_end` describe it.
    positions, transactions, orders, cash_flows : DataFrame, optional
        As in `BacktestResult`.
    risk_free_rate : float
        Rate a year, a fraction; the rate per session is its root of the order sessions a year.
    calendar : str, optional
        Exchange calendar of daily returns. By default that of the result that the returns come from, else it is
        inferred from the dates: `"24/7"` or New York; other dates are an error. See
        `signals.annualization.periodicity_of`.
    periods_per_year : float, optional
        Sessions a year, instead of the table: 252 for New York, 365 for 24/7, the mean of 2010 to 2019 for other
        calendars, 52 for weekly and 12 for monthly returns.

    Returns
    -------
    dict
        `start`, `end` (ISO dates), `days` (number of returns), `frequency`, `periods_per_year` (sessions a year, used
        for all annual figures), `calendar`, `risk_free_rate`; `return_metrics` of the strategy, of the
        benchmark under `benchmark_…` and of the universe under `universe_…`; `compare` against the benchmark under
        plain names and against the universe under `…_universe`; dates of the deepest drawdown; `trading_metrics`;
        `summarise_round_trips` and `summarise_open_trips`. All keys are always present (except `orders_<status>`, one
        per status that occurs); unknown figures are None.

    Raises
    ------
    InputError
        When `returns` is empty, unsorted, holds NaN or infinities, or a date twice; when it or a comparison is not
        a series of simple returns; when its frequency is neither given nor can be inferred.

    Examples
    --------
    >>> days = pd.date_range("2024-01-01", periods=4, tz="UTC")
    >>> figures = compute_metrics(pd.Series([0.1, -0.5, 0.0, 1.0], index=days))
    >>> figures["max_drawdown"], figures["max_drawdown_valley"], figures["alpha"]
    (-0.5, '2024-01-02', None)
    """
    calendar = calendar or (returns.attrs.get("calendar") if isinstance(returns, pd.Series) else None)
    returns = check_returns(returns, calendar=calendar)
    if returns.empty:
        raise InputError("expected returns for every session; found none; run the backtest again")
    periodicity = periodicity_of(returns.index, calendar=calendar, periods_per_year=periods_per_year)
    benchmark = align(benchmark, returns, periodicity)
    universe = align(universe, returns, periodicity, what="returns of the universe")
    positions = None if positions is None else utc_sessions(positions, what="positions").fillna(0.0)
    transactions = None if transactions is None else utc_sessions(transactions, what="transactions")
    year = periodicity.periods_per_year
    rate = (1.0 + risk_free_rate) ** (1.0 / year) - 1.0

    out: Metrics = {
        "start": f"{returns.index[0]:%Y-%m-%d}",
        "end": f"{returns.index[-1]:%Y-%m-%d}",
        "days": len(returns),
        "frequency": periodicity.frequency,
        "periods_per_year": year,
        "calendar": periodicity.calendar,
        "risk_free_rate": risk_free_rate,
    }
    out |= return_metrics(returns, daily_risk_free=rate, periods_per_year=year)
    for part, day in zip(("peak", "valley", "recovery"), drawdown_dates(returns), strict=True):
        out[f"max_drawdown_{part}"] = day
    for prefix, other in (("benchmark", benchmark), ("universe", universe)):
        figures = (
            dict.fromkeys(return_metrics(returns.iloc[:1]))
            if other is None
            else return_metrics(other, daily_risk_free=rate, periods_per_year=year)
        )
        out |= {f"{prefix}_{name}": value for name, value in figures.items()}
    for suffix, other in (("", benchmark), ("_universe", universe)):
        compared = compare(returns, other, daily_risk_free=rate, periods_per_year=year)
        out |= {f"{name}{suffix}": value for name, value in compared.items()}
    out |= _clean(trading_metrics(returns, positions, transactions, orders, periods_per_year=year))
    trips = summarise_round_trips(round_trips(transactions, cash_flows))
    trips |= summarise_open_trips(open_trips(transactions, cash_flows, positions))
    out |= _clean(trips) if transactions is not None else dict.fromkeys(trips)
    return out


def _clean(figures: Mapping[str, float]) -> Metrics:
    return {name: json_number(value) for name, value in figures.items()}
