"""Baselines over the folds of a run, as rows like those of the network, and the comparison of all models."""

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

HISTORICAL = "historical_quantiles"  # baseline of networks that predict quantiles


@dataclass(frozen=True, slots=True)
class Baselines:
    """Forecasts of the baselines.

    Parameters
    ----------
    forecasts : DataFrame
        Columns and rows as in `ForecastResult.forecasts`; the seed is 0.
    parameters : dict of str to int
        Number of estimated parameters of each baseline, in the last fold.
    details : dict of str to tuple of str
        Choices of each baseline in the last fold, such as its order.
    warnings : tuple of str
        Replaced forecasts in all folds, see `BaselineForecast.warnings`.
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
        Series and horizon.
    cuts : sequence of SeriesFold
        Folds of the problem.
    baselines : sequence of str
        Names, see `signals.forecasting.baselines`; persistence is always included.
    lags : int
        Number of lags of the models on lags.
    quantiles : sequence of float
        Quantile levels; if any, the baseline `historical_quantiles` is added, the last value plus quantiles of past
        changes.
    returns : bool
        Whether the series are changes, such as returns, see `forecast_baselines`.
    on_progress : callable
        Called with a `ProgressEvent` after every fold.
    """
    names = baselines if "persistence" in baselines else ("persistence", *baselines)
    frames, parameters = [], {}
    warnings: list[str] = []
    details: dict[str, tuple[str, ...]] = {}
    for n_done, cut in enumerate(cuts, start=1):
        forecasts: tuple[BaselineForecast, ...] = forecast_baselines(problem, cut, names, lags=lags, returns=returns)
        for forecast in forecasts:
            frames.append(forecast_rows(problem, cut, forecast.name, 0, forecast.values[..., None], (np.nan,)))
            parameters[forecast.name], details[forecast.name] = forecast.parameters, forecast.details
            warnings += forecast.warnings
        if quantiles:
            historical = historical_quantiles(problem, cut, quantiles, returns=returns)
            frames.append(forecast_rows(problem, cut, HISTORICAL, 0, historical, quantiles))
            parameters[HISTORICAL], details[HISTORICAL] = len(problem.targets) * problem.horizon * len(quantiles), ()
        on_progress(ProgressEvent("baselines", f"fold {n_done} of {len(cuts)}", n_done, len(cuts)))
    return Baselines(pd.concat(frames, ignore_index=True), parameters, details, tuple(warnings))


def compare(
    result: ForecastResult, baselines: Baselines, settings: ForecastSettings, *, name: str = NETWORK
) -> Comparison:
    """Compare the network and the baselines with the actual values.

    Parameters
    ----------
    result : ForecastResult
        The network's forecasts.
    baselines : Baselines
        The baselines' forecasts, persistence included.
    settings : ForecastSettings
        Settings, of which `error_units`, `metric` and `reference_baseline` are used.
    name : str
        Name of the network in the frames.
    """
    problem = result.problem
    ranges = dict(zip(problem.names, np.ptp(problem.values, axis=0).tolist(), strict=True))
    return comparison_table(
        pd.concat([result.forecasts, baselines.forecasts], ignore_index=True),
        result.actuals,
        parameters={name: result.parameters, **baselines.parameters},
        units=ranges if settings.error_units == "minmax" else None,
        metric=settings.metric,
        reference=settings.reference_baseline,
    )
