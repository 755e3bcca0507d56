"""Baselines over the folds of a run, as rows beside those of the network, and the comparison of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from signals.common.progress_events import ProgressCallback, ProgressEvent, ignore_progress
from signals.forecasting.baselines import BaselineForecast, forecast_baselines, historical_quantiles
from signals.forecasting.comparison import Comparison, comparison_table
from signals.forecasting.problem import Problem, SeriesFold
from signals.forecasting.series_walk_forward import NETWORK, ForecastResult, forecast_rows
from signals.forecasting.settings import ForecastSettings

__all__ = ["HISTORICAL", "Baselines", "compare", "compute_baselines"]

HISTORICAL = "historical_quantiles"  # stands beside networks that say quantiles


@dataclass(frozen=True, slots=True)
class Baselines:
    """What the baselines forecast.

    Parameters
    ----------
    forecasts : DataFrame
        Columns and rows as in `ForecastResult.forecasts`; the seed is 0.
    parameters : dict of str to int
        Numbers that each one estimates, in the last fold.
    details : dict of str to tuple of str
        What each one chose in the last fold.
    warnings : tuple of str
        Forecasts, of all folds, that are not what was asked for, see `BaselineForecast.warnings`.
    """

    forecasts: pd.DataFrame
    parameters: dict[str, int]
    details: dict[str, tuple[str, ...]]
    warnings: tuple[str, ...] = ()


def compute_baselines(
    problem: Problem,
    cuts: Sequence[SeriesFold],
    baselines: Sequence[str],
    *,
    lags: int = 12,
    quantiles: Sequence[float] = (),
    returns: bool = False,
    on_progress: ProgressCallback = ignore_progress,
) -> Baselines:
    """Fit baselines on every fold's training and validation rows and forecast its test slice and live origins.

    Parameters
    ----------
    problem : Problem
        What is forecast.
    cuts : sequence of SeriesFold
        Its folds.
    baselines : sequence of str
        See `signals.forecasting.baselines`; persistence is always among them.
    lags : int
        Rows that those on lags see.
    quantiles : sequence of float
        Levels; with some, the last value plus quantiles of past changes stands beside the others.
    returns : bool
        Whether the series are changes themselves, see `forecast_baselines`.
    on_progress : callable
        Told of every fold.
    """
    names = baselines if "persistence" in baselines else ("persistence", *baselines)
    frames, parameters = [], {}
    warnings: list[str] = []
    details: dict[str, tuple[str, ...]] = {}
    for done, cut in enumerate(cuts, start=1):
        made: tuple[BaselineForecast, ...] = forecast_baselines(problem, cut, names, lags=lags, returns=returns)
        for one in made:
            frames.append(forecast_rows(problem, cut, one.name, 0, one.values[..., None], (np.nan,)))
            parameters[one.name], details[one.name] = one.parameters, one.details
            warnings += one.warnings
        if quantiles:
            usual = historical_quantiles(problem, cut, quantiles, returns=returns)
            frames.append(forecast_rows(problem, cut, HISTORICAL, 0, usual, quantiles))
            parameters[HISTORICAL], details[HISTORICAL] = len(problem.targets) * problem.horizon * len(quantiles), ()
        on_progress(ProgressEvent("baselines", f"fold {done} of {len(cuts)}", done, len(cuts)))
    return Baselines(pd.concat(frames, ignore_index=True), parameters, details, tuple(warnings))


def compare(
    result: ForecastResult, beside: Baselines, settings: ForecastSettings, *, name: str = NETWORK
) -> Comparison:
    """Judge the network and the baselines by what came.

    Parameters
    ----------
    result : ForecastResult
        The network's forecasts.
    beside : Baselines
        Those of the baselines, persistence among them.
    settings : ForecastSettings
        Whose `units` and `metric` the errors are in, and whose `reference` they are compared with.
    name : str
        What the network is called in the frames.
    """
    problem = result.problem
    ranges = dict(zip(problem.names, np.ptp(problem.values, axis=0).tolist(), strict=True))
    return comparison_table(
        pd.concat([result.forecasts, beside.forecasts], ignore_index=True),
        result.actuals,
        parameters={name: result.parameters, **beside.parameters},
        units=ranges if settings.error_units == "minmax" else None,
        metric=settings.metric,
        reference=settings.reference_baseline,
    )
