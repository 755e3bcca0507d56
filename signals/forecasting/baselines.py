"""What a network has to beat: forecasts of series without one, fitted on the rows it learns from."""

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
    """One baseline of a list: `ridge`, or with its number, `ridge(13)`.

    Parameters
    ----------
    name : str
        One of `BASELINES`.
    number : int, optional
        What the number of that baseline means: lags, the largest order, or the period of a season.
    """

    name: str
    number: int | None = None

    def __str__(self) -> str:
        return self.name if self.number is None else f"{self.name}({self.number})"


@dataclass(frozen=True, slots=True)
class BaselineForecast:
    """What a baseline forecasts of a fold's origins: its test slice and live ones.

    Parameters
    ----------
    name : str
        As it was asked for.
    values : ndarray of float64, shape (n_origins, horizon, k)
        Made at the end of each origin, in the units of the table.
    parameters : int
        Numbers that were estimated.
    details : tuple of str
        What was chosen, and what did not go smoothly.
    warnings : tuple of str
        Which of the forecasts are not what was asked for: another order's, or those of a simpler rule, with the reason,
        the fold and their number.
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
    number: str = ""  # what its number means; none is taken when empty
    needs_number: bool = False
    several: bool = False  # whether it takes at least two series
    default: int = 0  # of the number; 0 for the lags in general


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
        One fold. What a baseline has to choose (how strong ridge regression is, how many trees) it chooses on the
        validation rows, and is then fitted again on both.
    baselines : iterable of str
        Names as in `BASELINES`, with their number where they take one: `"ridge(13)"`.
    lags : int
        Rows, the origin's included, that models on lags see, of every series of the table; the number of each
        overrides it.
    seed : int
        Of the networks among them.
    returns : bool
        Whether the series are changes themselves, such as returns: `last_sign` and `logistic` then go by their sign.

    Returns
    -------
    tuple of BaselineForecast
        In the order asked for. The same bits in every run. Whatever a library raises, and forecasts that are no finite
        numbers, lead to another order or to the rule of `stand_in`, with a warning; no baseline ends a run.

    Raises
    ------
    InputError
        For a number of a baseline that does not fit the series (more lags than rows), found in the first fold.
    """
    history = FoldHistory(problem, fold, seed, returns)
    made = []
    with threadpool_limits(1):  # such small products are faster on one thread, and repeat to the bit on any machine
        for baseline in parse_baselines(baselines, series=len(problem.table.names)):
            kind = BASELINES[baseline.name]
            fit = _guarded(kind.fit, history, baseline.number or kind.default or lags)
            dates = problem.ahead[fold.origins.start + 1 : fold.origins.stop + 1]
            where = f"{baseline}, fold {fold.number + 1} ({dates[0]} to {dates[-1]})"
            said = tuple(f"{where}: {text}" for text in fit.warnings)
            made.append(BaselineForecast(str(baseline), fit.values, fit.parameters, fit.details, said))
    return tuple(made)


def _guarded(fitting: Fitting, history: FoldHistory, number: int) -> Fit:
    """Fit a baseline; the forecasts it cannot make are those of `stand_in`."""
    name, other = stand_in(history)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            fit = fitting(history, number)
    except Exception as error:
        # a setting that cannot be used shows in the first fold, before any network is trained
        if isinstance(error, MemoryError) or (isinstance(error, InputError) and history.fold.number == 0):
            raise
        text = f"it failed ({reason_of(error)}); {name} is used for all {other.size:,} forecasts"
        return Fit(other, 0, (), (text,))
    bad = ~usable(fit.values)
    if not bad.any():
        return fit
    first = history.problem.ahead[history.fold.origins[int(np.argwhere(bad)[0, 0])]]
    text = (
        f"{int(bad.sum()):,} of {bad.size:,} forecasts are no finite numbers, the first made on {first}; {name} is "
        "used for them"
    )
    return fit._replace(values=np.where(bad, other, fit.values), warnings=(*fit.warnings, text))


def parse_baselines(names: Iterable[str | Baseline], *, series: int | None = None) -> tuple[Baseline, ...]:
    """Read names of baselines.

    Parameters
    ----------
    names : iterable of str
        `"persistence"`, `"seasonal(12)"`.
    series : int, optional
        Series of the table, where it is known.

    Raises
    ------
    InputError
        For an unknown name, a number that is missing or means nothing, one that is named twice, and a model of several
        series where there is one.

    >>> [str(one) for one in parse_baselines(["drift", "ridge( 13 )"])]
    ['drift', 'ridge(13)']
    """
    made: list[Baseline] = []
    for text in names:
        found = re.fullmatch(r"\s*(\w+)\s*(?:\(\s*(\d+)\s*\))?\s*", str(text))
        name, number = (found[1], int(found[2]) if found[2] else None) if found else (str(text), None)
        if name not in BASELINES:
            close = difflib.get_close_matches(name, BASELINES, n=1)
            hint = f"did you mean {close[0]!r}?" if close else "take some of those"
            raise InputError(f"expected forecast.baselines among {', '.join(BASELINES)}; found {text!r}; {hint}")
        kind = BASELINES[name]
        if number is not None and (not kind.number or number < 1):
            takes = f"takes {kind.number} of at least 1" if kind.number else "takes no number"
            raise InputError(f"expected a baseline like {name!r}, which {takes}; found {text!r}; mend it")
        if number is None and kind.needs_number:
            raise InputError(f"expected {kind.number} of {name!r}, as in '{name}(12)'; found {text!r}; add it")
        if kind.several and series == 1:
            raise InputError(
                f"expected several series for {name!r}; found one, of which 'arima' is the model; leave {name} out"
            )
        if (one := Baseline(name, number)) in made:
            raise InputError(f"expected each baseline once; found {one} twice; drop one")
        made.append(one)
    return tuple(made)


def historical_quantiles(
    problem: Problem, fold: SeriesFold, levels: Sequence[float], *, returns: bool = False
) -> Values:
    """Forecast quantiles as the last value plus those of the changes in training and validation.

    Of `returns`, quantiles of the values themselves.

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
