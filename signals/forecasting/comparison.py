"""Comparison of the forecasts of networks and baselines in one table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.common.errors import InputError
from signals.common.summary_card import markdown_table
from signals.evaluation.forecast_accuracy import (
    coverage,
    diebold_mariano,
    directional_accuracy,
    information_coefficient,
    mean_absolute_error,
    pinball_loss,
    root_mean_squared_error,
    skill,
)
from signals.evaluation.long_run_variance import TOO_FEW_DATES

__all__ = ["METRICS", "Comparison", "comparison_table"]

METRICS = {"rmse": root_mean_squared_error, "mae": mean_absolute_error}
LOSS_OF = {"rmse": "squared", "mae": "absolute"}
KEY = ["date", "series", "step"]

Values = NDArray[np.float64]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Forecast accuracy of every model, see `comparison_table`.

    Parameters
    ----------
    table : DataFrame
        One row per model, over all forecasts.
    by_series, by_step, by_fold : DataFrame
        The same columns by series, step ahead and test slice, which are in the first column.
    metric : {"rmse", "mae"}
        Error of the ratio and of the Diebold-Mariano test.
    reference : str
        Model with which all models are compared.
    spans : dict of int to str
        First and last forecast date of each fold.
    """

    table: pd.DataFrame
    by_series: pd.DataFrame
    by_step: pd.DataFrame
    by_fold: pd.DataFrame
    metric: str
    reference: str
    spans: Mapping[int, str] = field(default_factory=dict)

    def markdown(self) -> str:
        """Print the table, followed by the errors by series, step and fold where there are several."""
        parts = [_markdown(self.table, self.metric, self.reference), _legend(self.metric, self.reference)]
        for what, frame in (("series", self.by_series), ("step", self.by_step), ("fold", self.by_fold)):
            if frame[what].nunique() > 1:
                parts.append(_errors(frame, what, self.metric, self.spans))
        return "\n".join(parts)

    def as_dict(self) -> dict[str, Any]:
        """All figures as JSON values; numbers that are not finite become None."""
        frames = {"models": self.table, "series": self.by_series, "steps": self.by_step, "folds": self.by_fold}
        return {
            "metric": self.metric,
            "reference_baseline": self.reference,
            "spans": {str(fold): span for fold, span in self.spans.items()},
            **{name: [_json_value(row) for row in frame.to_dict("records")] for name, frame in frames.items()},
        }


def comparison_table(
    forecasts: pd.DataFrame,
    actuals: pd.DataFrame,
    *,
    parameters: Mapping[str, int] | None = None,
    units: Mapping[str, float] | None = None,
    metric: str = "rmse",
    reference: str = "persistence",
) -> Comparison:
    """Evaluate the forecasts of several models, each with one or several seeds, against the actual values.

    Parameters
    ----------
    forecasts : DataFrame
        Columns date (the origin, at whose end the forecast was made), series, step, level (NaN for a point forecast),
        model, seed, forecast, fold; the optional column live marks forecasts beyond the last row, which are not
        evaluated. The point forecast of a model with quantiles only is the middle quantile.
    actuals : DataFrame
        Columns date, target_date, series, step, actual (NaN where not known yet), last (the value at the origin).
    parameters : mapping of str to int, optional
        Number of parameters of each model.
    units : mapping of str to float, optional
        Divisor of the errors of each series, such as its range where published errors are those of scaled values; 1 by
        default.
    metric : {"rmse", "mae"}
        Error of ratios and tests, with the squared or the absolute loss.
    reference : str
        Model with which the others are compared. When it is not persistence, the series are taken to be changes, such
        as returns, and moves are measured from zero.

    Returns
    -------
    Comparison
        Columns of its tables: `model`, `parameters`, `seeds`; `rmse` and `mae`, means over series and seeds, with the
        suffix `_spread` for the standard deviation over seeds (ddof 1), and the prefix `ensemble_` for the mean
        forecast of the seeds; `ratio` of the error to that of the reference; `seeds_better`, the share of seeds with a
        lower error than the reference; `skill`, mean over series and seeds of 1 less the ratio of squared errors. For
        the ensemble: `dm_statistic` and two-sided `dm_p` against the reference; `ic_level` and `ic_change`, Pearson's
        correlation of levels and of moves from the last value, with the prefix `rank_` for Spearman's, means over
        series and steps, with `_t` for a single series and step; `direction`, the share of moves whose direction was
        forecast correctly; `pinball` and `coverage` for quantiles.

    Raises
    ------
    InputError
        For an unknown metric, a missing reference, and a model with missing or duplicate forecasts.
    """
    if metric not in METRICS:
        raise InputError(f"expected a metric among {', '.join(METRICS)}; found {metric!r}")
    arrays = _ForecastArrays(forecasts, actuals, units or {})
    if reference not in arrays.points:
        known = ", ".join(arrays.points)
        raise InputError(f"expected forecasts of {reference!r} to compare with; found {known}; add it to the baselines")

    def rows(subset: _Subset, **label: Any) -> list[Row]:
        return [
            {**label, **_evaluate(arrays, subset, model, metric, reference, (parameters or {}).get(model))}
            for model in arrays.points
        ]

    all_forecasts = _Subset(arrays)
    series = [row for i, name in enumerate(arrays.series) for row in rows(_Subset(arrays, series=[i]), series=name)]
    steps = [row for i, step in enumerate(arrays.steps) for row in rows(_Subset(arrays, steps=[i]), step=step)]
    folds = [row for fold in arrays.folds for row in rows(_Subset(arrays, fold=fold), fold=fold)]
    return Comparison(
        pd.DataFrame(rows(all_forecasts)),
        pd.DataFrame(series),
        pd.DataFrame(steps),
        pd.DataFrame(folds),
        metric,
        reference,
        arrays.spans,
    )


class _ForecastArrays:
    """Forecasts as arrays of shape (seeds, n, steps, series), actual and last values as (n, steps, series)."""

    def __init__(self, forecasts: pd.DataFrame, actuals: pd.DataFrame, units: Mapping[str, float]) -> None:
        if "live" in forecasts:
            # forecasts made at the last row have no actual values
            forecasts = forecasts[~forecasts["live"] | forecasts["date"].isin(actuals["date"])]
        if actuals.duplicated(KEY).any():
            raise InputError("expected one actual value per date, series and step; found two; give each once")
        self.series = list(dict.fromkeys(actuals["series"]))
        self.steps = sorted(actuals["step"].unique().tolist())
        dates = np.sort(actuals["date"].unique())
        if unknown := set(units) - set(self.series):
            raise InputError(f"expected units of {', '.join(self.series)}; found {', '.join(sorted(unknown))}")
        self.units = np.array([units.get(name, 1.0) for name in self.series])
        self._index = pd.MultiIndex.from_product([dates, self.steps, self.series], names=["date", "step", "series"])
        self._shape = (len(dates), len(self.steps), len(self.series))
        self.actual = self._array(actuals, "actual", "actuals")
        self.last = self._array(actuals, "last", "actuals")

        level = forecasts["level"] if "level" in forecasts else pd.Series(np.nan, index=forecasts.index)
        self.points: dict[str, Values] = {}
        self.quantiles: dict[str, tuple[tuple[float, ...], Values]] = {}
        for name in dict.fromkeys(forecasts["model"]):
            of_model = forecasts["model"] == name
            point = of_model & level.isna()
            levels = sorted(level[of_model].dropna().unique().tolist())
            if levels:
                layers = [self._seeds(forecasts[of_model & (level == q)], name).mean(axis=0) for q in levels]
                self.quantiles[name] = tuple(levels), np.stack(layers, axis=-1)
            if not point.any():
                point = of_model & (level == levels[len(levels) // 2])
            self.points[name] = self._seeds(forecasts[point], name)
        first = forecasts.drop_duplicates("date").set_index("date")["fold"].reindex(dates)
        if first.isna().any():
            raise InputError(f"expected forecasts of {first.index[first.isna()][0]:%Y-%m-%d}; found actual values only")
        self.fold = first.to_numpy(dtype=np.int64)
        self.folds = np.unique(self.fold).tolist()
        ahead = actuals[actuals["step"] == self.steps[0]].groupby("date")["target_date"].first().reindex(dates)
        self.spans = {fold: _span(ahead[self.fold == fold]) for fold in self.folds}

    def _seeds(self, rows: pd.DataFrame, name: str) -> Values:
        return np.stack([self._array(rows[rows["seed"] == seed], "forecast", name) for seed in rows["seed"].unique()])

    def _array(self, rows: pd.DataFrame, column: str, name: str) -> Values:
        values = rows.set_index(["date", "step", "series"])[column]
        if values.index.has_duplicates or len(values) != len(self._index):
            raise InputError(
                f"expected one forecast of {name} for each of {len(self._index)} dates, steps and series; found "
                f"{len(values)}; forecast the same dates with every model"
            )
        array: Values = values.reindex(self._index).to_numpy(dtype=np.float64).reshape(self._shape)
        if column == "forecast" and not np.isfinite(array).all():
            raise InputError(f"expected finite forecasts; found NaN or infinity from {name}; check its training")
        return array


class _Subset:
    """Subset of rows, steps and series."""

    def __init__(
        self,
        arrays: _ForecastArrays,
        *,
        series: Sequence[int] | None = None,
        steps: Sequence[int] | None = None,
        fold: int | None = None,
    ) -> None:
        self.series = list(range(len(arrays.series))) if series is None else list(series)
        self.steps = list(range(len(arrays.steps))) if steps is None else list(steps)
        self.rows = np.ones(len(arrays.fold), dtype=bool) if fold is None else arrays.fold == fold
        self.furthest = max(arrays.steps[i] for i in self.steps)

    def __call__(self, values: Values) -> Values:
        """Select the subset of an array whose last axes are dates, steps and series."""
        return values[..., self.rows, :, :][..., self.steps, :][..., self.series]


def _evaluate(
    arrays: _ForecastArrays, subset: _Subset, model: str, metric: str, reference: str, parameters: int | None
) -> Row:
    units = arrays.units[subset.series]
    y_true, last, seeds = (
        subset(arrays.actual) / units,
        subset(arrays.last) / units,
        subset(arrays.points[model]) / units,
    )
    reference_forecast = (subset(arrays.points[reference]) / units).mean(axis=0)
    ensemble = seeds.mean(axis=0)
    row: Row = {"model": model, "parameters": parameters, "seeds": len(seeds)}
    for name, error in METRICS.items():
        each = np.array([_over_series(error, y_true, seed) for seed in seeds])
        row[name] = float(each.mean())
        row[f"{name}_spread"] = float(each.std(ddof=1)) if len(each) > 1 else math.nan
        row[f"ensemble_{name}"] = _over_series(error, y_true, ensemble)
        if name == metric:
            reference_error = _over_series(error, y_true, reference_forecast)
            row["ratio"] = row[name] / reference_error if reference_error > 0 else math.nan
            row["seeds_better"] = float((each < reference_error).mean())
    row["skill"] = float(np.mean([_over_series(skill, y_true, seed, reference_forecast) for seed in seeds]))
    if model == reference:
        row["dm_statistic"] = row["dm_p"] = math.nan
    else:
        test = diebold_mariano(y_true, ensemble, reference_forecast, steps=subset.furthest, loss=LOSS_OF[metric])
        row["dm_statistic"], row["dm_p"] = test.statistic, test.p_value
    if reference != "persistence":
        last = np.zeros_like(last)
    changes = y_true - last, ensemble - last
    for name, pair in (("ic_level", (y_true, ensemble)), ("ic_change", changes)):
        for rank in (False, True):
            correlations = [
                information_coefficient(
                    pair[0][:, i, j], pair[1][:, i, j], rank=rank, steps=arrays.steps[subset.steps[i]]
                )
                for i in range(len(subset.steps))
                for j in range(len(subset.series))
            ]
            prefix = f"rank_{name}" if rank else name
            row[prefix] = float(np.mean([correlation.value for correlation in correlations]))
            # the mean over several series or steps has no t statistic
            single = correlations[0] if len(correlations) == 1 else None
            row[f"{prefix}_t"] = single.t if single else math.nan
            row[f"{prefix}_df"] = float(single.df) if single else math.nan
    row["direction"] = directional_accuracy(last, y_true, ensemble)
    if arrays.quantiles:
        row["pinball"], row["coverage"] = math.nan, {}
    if model in arrays.quantiles:
        levels, values = arrays.quantiles[model]
        y_pred = np.stack([subset(values[..., i]) / units for i in range(len(levels))], axis=-1)
        row["pinball"], row["coverage"] = pinball_loss(y_true, y_pred, levels), coverage(y_true, y_pred, levels)
    return row


def _over_series(measure: Any, *values: Values) -> float:
    """Mean over series of a measure of the rows and steps of each."""
    return float(np.mean([measure(*(array[..., j] for array in values)) for j in range(values[0].shape[-1])]))


def _span(dates: pd.Series) -> str:
    known = dates.dropna()
    return f"{known.min():%Y-%m-%d} to {known.max():%Y-%m-%d}" if len(known) else "not known yet"


def _markdown(table: pd.DataFrame, metric: str, reference: str) -> str:
    moves = ["IC level", "IC change (t)", "rank IC change"] if reference == "persistence" else ["IC (t)", "rank IC"]
    lines = [
        ["model", "parameters", metric.upper(), f"/ {reference}", "skill", "ensemble", "DM (p)", *moves, "direction"]
    ]
    quantiles = "pinball" in table
    if quantiles:
        lines[0] += ["pinball", "coverage"]
    for row in table.to_dict("records"):
        change = _figure(row["ic_change"], 3)
        if change and np.isfinite(row["ic_change_t"]):
            change += f" ({row['ic_change_t']:.1f})"
        elif change and row["ic_change_df"] == 0:
            change += f" ({TOO_FEW_DATES})"
        lines.append(
            [
                row["model"],
                "" if pd.isna(row["parameters"]) else f"{int(row['parameters']):,}",
                _error(row, metric),
                _figure(row["ratio"], 3),
                _figure(row["skill"], 3),
                _error_figure(row[f"ensemble_{metric}"]) if row["seeds"] > 1 else "",
                _test(row),
                *([_figure(row["ic_level"], 4)] if reference == "persistence" else []),
                change,
                _figure(row["rank_ic_change"], 3),
                _figure(row["direction"], 3),
            ]
        )
        if quantiles:
            shares = ", ".join(f"{level:g}: {share:.2f}" for level, share in row["coverage"].items())
            lines[-1] += [_error_figure(row["pinball"]), shares]
    return markdown_table(lines)


def _legend(metric: str, reference: str) -> str:
    return (
        f"{metric.upper()}, its ratio to that of {reference}, and skill: means over seeds, ± standard deviation. "
        "Ensemble: the mean forecast of the seeds. The Diebold-Mariano statistic (below zero: better than "
        f"{reference}), correlations and direction are those of the ensemble. In parentheses after a correlation: "
        "its t statistic, by the equal-weighted cosine estimator (Lazarus, Lewis, Stock and Watson 2018).\n"
    )


def _test(row: Row) -> str:
    """Format a Diebold-Mariano statistic with sign, and its p-value."""
    if not np.isfinite(row["dm_p"]):
        return ""
    return f"{row['dm_statistic']:+.1f} ({'<0.001' if row['dm_p'] < 0.0005 else _figure(row['dm_p'], 3)})"


def _errors(frame: pd.DataFrame, what: str, metric: str, spans: Mapping[int, str]) -> str:
    """Table of errors (mean ± standard deviation over seeds): a row per model, a column per series, step or fold."""
    labels = list(dict.fromkeys(frame[what]))
    heads = [spans.get(label, str(label)) if what == "fold" else str(label) for label in labels]
    lines = [[f"{metric.upper()} by {what}", *heads]]
    for model in dict.fromkeys(frame["model"]):
        rows = frame[frame["model"] == model].set_index(what).loc[labels].to_dict("records")
        lines.append([model, *(_error(row, metric) for row in rows)])
    return markdown_table(lines)


def _error(row: Row, metric: str) -> str:
    text = _error_figure(row[metric])
    spread = row[f"{metric}_spread"]
    return f"{text} ± {spread:.2g}" if np.isfinite(spread) else text


def _error_figure(value: float) -> str:
    return f"{value:.4g}" if np.isfinite(value) else ""


def _figure(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if np.isfinite(value) else ""


def _json_value(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _json_value(item) for key, item in value.items()}
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
