"""Baseline forecasts of series, fitted on the same rows as the networks."""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from signals.common.errors import InputError
from signals.forecasting.fallbacks import reason_of, stand_in, usable
from signals.forecasting.fold_history import Fit, FoldHistory, Values
from signals.forecasting.problem import Problem, SeriesFold
from signals.forecasting.simple_rules import drift, in_sample_mean, last_sign, persistence, seasonal, seasonal_mean

__all__ = ["BASELINES", "Baseline", "BaselineForecast", "forecast_baselines", "historical_quantiles", "parse_baselines"]


@dataclass(frozen=True, slots=True)
class Baseline:
    """Name of a baseline with its optional number: `ridge`, or `ridge(13)`.

    Parameters
    ----------
    name : str
        One of `BASELINES`.
    number : int, optional
        Its number, whose meaning depends on the baseline: lags, the largest order, or the period of a season.
    """

    name: str
    number: int | None = None

    def __str__(self) -> str:
        return self.name if self.number is None else f"{self.name}({self.number})"


@dataclass(frozen=True, slots=True)
class BaselineForecast:
    """Forecasts of a baseline for a fold's origins: those of the test slice, and live ones.

    Parameters
    ----------
    name : str
        Name as in `[forecast] baselines`, such as `"ridge(13)"`.
    values : ndarray of float64, shape (n_origins, horizon, n_series)
        Forecasts made at the end of each origin, in the units of the transformed table.
    parameters : int
        Number of estimated parameters.
    details : tuple of str
        Choices, such as the order, and problems of the fit.
    warnings : tuple of str
        Forecasts that were replaced by those of another order or of a simpler rule, with the reason, the fold and their
        number.
    """

    name: str
    values: Values
    parameters: int
    details: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


Fitting = Callable[[FoldHistory, int], Fit]


@dataclass(frozen=True, slots=True)
class _Kind:
    fit: Fitting
    number: str = ""  # meaning of its number; empty when it has none
    needs_number: bool = False
    several: bool = False  # whether it needs at least two series
    default: int = 0  # default of the number; 0 for the common number of lags


def forecast_baselines(
    problem: Problem,
    fold: SeriesFold,
    baselines: Iterable[str | Baseline],
    *,
    lags: int = 12,
    seed: int = 0,
    returns: bool = False,
) -> tuple[BaselineForecast, ...]:
    """Fit baselines on a fold's training and validation rows and forecast its test slice and live origins.

    Parameters
    ----------
    problem : Problem
        Series and horizon.
    fold : SeriesFold
        One fold. A baseline chooses its settings (penalty of ridge regression, number of trees) on the validation rows,
        and is then fitted again on training and validation rows together.
    baselines : iterable of str
        Names as in `BASELINES`, with their number where they have one: `"ridge(13)"`.
    lags : int
        Number of lagged rows, the origin's included, of every series of the table that models on lags use; the number
        of a baseline overrides it.
    seed : int
        Seed of baselines with random initialisation.
    returns : bool
        Whether the series are changes, such as returns: `last_sign` and `logistic` then use their sign.

    Returns
    -------
    tuple of BaselineForecast
        Forecasts in the given order, reproducible to the bit. Any exception of a library, and forecasts that are not
        finite, lead to another order or to the rule of `stand_in`, with a warning; no baseline stops a run.

    Raises
    ------
    InputError
        When the number of a baseline does not fit the series (more lags than rows), in the first fold.
    """
    history = FoldHistory(problem, fold, seed, returns)
    forecasts = []
    with threadpool_limits(1):  # faster for small matrices, and reproducible to the bit on any machine
        for baseline in parse_baselines(baselines, series=len(problem.table.names)):
            kind = BASELINES[baseline.name]
            fit = _fit_with_fallback(kind.fit, history, baseline.number or kind.default or lags)
            dates = problem.ahead[fold.origins.start + 1 : fold.origins.stop + 1]
            where = f"{baseline}, fold {fold.number + 1} ({dates[0]} to {dates[-1]})"
            texts = tuple(f"{where}: {text}" for text in fit.warnings)
            forecasts.append(BaselineForecast(str(baseline), fit.values, fit.parameters, fit.details, texts))
    return tuple(forecasts)


def _fit_with_fallback(fitting: Fitting, history: FoldHistory, number: int) -> Fit:
    """Fit a baseline; forecasts that it cannot make are replaced by those of `stand_in`."""
    name, fallback = stand_in(history)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            fit = fitting(history, number)
    except Exception as error:
        # an unusable setting fails in the first fold, before any network is trained
        if isinstance(error, MemoryError) or (isinstance(error, InputError) and history.fold.number == 0):
            raise
        text = f"it failed ({reason_of(error)}); {name} is used for all {fallback.size:,} forecasts"
        return Fit(fallback, 0, (), (text,))
    unusable = ~usable(fit.values)
    if not unusable.any():
        return fit
    first = history.problem.ahead[history.fold.origins[int(np.argwhere(unusable)[0, 0])]]
    text = (
        f"{int(unusable.sum()):,} of {unusable.size:,} forecasts are not finite, the first made on {first}; {name} is "
        "used for them"
    )
    return fit._replace(values=np.where(unusable, fallback, fit.values), warnings=(*fit.warnings, text))


def parse_baselines(names: Iterable[str | Baseline], *, series: int | None = None) -> tuple[Baseline, ...]:
    """Parse names of baselines.

    Parameters
    ----------
    names : iterable of str
        `"persistence"`, `"seasonal(12)"`.
    series : int, optional
        Number of series of the table, if known.

    Raises
    ------
    InputError
        For an unknown name, a missing or meaningless number, a duplicate, and a model of several series for a table of
        one.

    >>> [str(baseline) for baseline in parse_baselines(["drift", "ridge( 13 )"])]
    ['drift', 'ridge(13)']
    """
    baselines: list[Baseline] = []
    for text in names:
        match = re.fullmatch(r"\s*(\w+)\s*(?:\(\s*(\d+)\s*\))?\s*", str(text))
        name, number = (match[1], int(match[2]) if match[2] else None) if match else (str(text), None)
        if name not in BASELINES:
            close = difflib.get_close_matches(name, BASELINES, n=1)
            hint = f"did you mean {close[0]!r}?" if close else "choose among these"
            raise InputError(f"expected forecast.baselines among {', '.join(BASELINES)}; found {text!r}; {hint}")
        kind = BASELINES[name]
        if number is not None and (not kind.number or number < 1):
            takes = f"takes {kind.number} of at least 1" if kind.number else "takes no number"
            raise InputError(f"expected a baseline like {name!r}, which {takes}; found {text!r}; correct it")
        if number is None and kind.needs_number:
            raise InputError(f"expected {kind.number} of {name!r}, as in '{name}(12)'; found {text!r}; add it")
        if kind.several and series == 1:
            raise InputError(f"expected several series for {name!r}; found one; leave {name} out, or use 'arima'")
        if (baseline := Baseline(name, number)) in baselines:
            raise InputError(f"expected each baseline once; found {baseline} twice; drop one")
        baselines.append(baseline)
    return tuple(baselines)


def historical_quantiles(
    problem: Problem, fold: SeriesFold, levels: Sequence[float], *, returns: bool = False
) -> Values:
    """Forecast quantiles as the last value plus quantiles of the changes in training and validation.

    For `returns`, they are quantiles of the values themselves.

    Returns
    -------
    ndarray of float64, shape (n_test, horizon, k, len(levels))
    """
    history = FoldHistory(problem, fold, returns=returns)
    quantiles = np.quantile(history.moves(fold.both), levels, axis=0)
    return history.start(fold.origins)[:, None, :, None] + np.moveaxis(quantiles, 0, -1)


def _on_lags(name: str) -> Fitting:
    def fit(history: FoldHistory, number: int) -> Fit:
        from signals.forecasting.lag_models import forecast_on_lags  # scikit-learn is heavy

        return forecast_on_lags(name, history, number)

    return fit


def _by_equations(name: str) -> Fitting:
    def fit(history: FoldHistory, number: int) -> Fit:
        from signals.forecasting import arima_var  # statsmodels is heavy

        return (arima_var.arima if name == "arima" else arima_var.var)(history, number)

    return fit


BASELINES: dict[str, _Kind] = {
    "persistence": _Kind(persistence),
    "drift": _Kind(drift),
    "mean": _Kind(in_sample_mean),
    "last_sign": _Kind(last_sign),
    "seasonal": _Kind(seasonal, "its period in rows", needs_number=True),
    "seasonal_mean": _Kind(seasonal_mean, "its period in rows", needs_number=True),
    "ridge": _Kind(_on_lags("ridge"), "lags"),
    "logistic": _Kind(_on_lags("logistic"), "lags"),
    "mlp": _Kind(_on_lags("mlp"), "lags"),
    "gradient_boosting": _Kind(_on_lags("gradient_boosting"), "lags"),
    "arima": _Kind(_by_equations("arima"), "the largest orders", default=2),
    "var": _Kind(_by_equations("var"), "the largest order", several=True),
}
