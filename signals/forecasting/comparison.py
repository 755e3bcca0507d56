"""Networks and baselines in one table: nobody reads a network's error without that of "as it is now" beside it."""

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
    """Accuracy of every model, see `comparison_table`.

    Parameters
    ----------
    table : DataFrame
        One row a model, over everything that was forecast.
    by_series, by_step, by_fold : DataFrame
        The same columns for each series, step ahead and test slice, named in the first column.
    metric : {"rmse", "mae"}
        What the ratio and the Diebold-Mariano test are of.
    reference : str
        The model that they compare with.
    spans : dict of int to str
        First and last date that each fold forecasts.
    """

    table: pd.DataFrame
    by_series: pd.DataFrame
    by_step: pd.DataFrame
    by_fold: pd.DataFrame
    metric: str
    reference: str
    spans: Mapping[int, str] = field(default_factory=dict)

    def markdown(self) -> str:
        """Print the table, and under it the errors of each series, step and fold where there are several."""
        parts = [_markdown(self.table, self.metric, self.reference), _explained(self.metric, self.reference)]
        for what, frame in (("series", self.by_series), ("step", self.by_step), ("fold", self.by_fold)):
            if frame[what].nunique() > 1:
                parts.append(_errors(frame, what, self.metric, self.spans))
        return "\n".join(parts)

    def as_dict(self) -> dict[str, Any]:
        """Every figure, for JSON: numbers that are none are None."""
        frames = {"models": self.table, "series": self.by_series, "steps": self.by_step, "folds": self.by_fold}
        return {
            "metric": self.metric,
            "reference_baseline": self.reference,
            "spans": {str(fold): span for fold, span in self.spans.items()},
            **{name: [_plain(row) for row in frame.to_dict("records")] for name, frame in frames.items()},
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
    """Judge forecasts of several models, each of one or several seeds, by what came.

    Parameters
    ----------
    forecasts : DataFrame
        Columns date (the origin, at whose end it was made), series, step, level (NaN for a point forecast), model,
        seed, forecast, fold; live, if any, marks forecasts beyond the last row, which are not judged. Of a model with
        quantiles only, the middle one is its point forecast.
    actuals : DataFrame
        Columns date, target_date, series, step, actual (NaN where not known yet), last (the value at the origin).
    parameters : mapping of str to int, optional
        Parameters of each model.
    units : mapping of str to float, optional
        Errors of each series are divided by this, such as the range of the series where published errors are those of
        scaled values; 1 by default.
    metric : {"rmse", "mae"}
        Error that ratios and tests are of: the squared or the absolute loss.
    reference : str
        Model that the others are compared with. Where it is not persistence, the series are taken for changes
        themselves, such as returns: moves are then measured from zero.

    Returns
    -------
    Comparison
        Columns of its tables: `model`, `parameters`, `seeds`; `rmse` and `mae`, means over series of their errors and
        over seeds, with `_spread` over seeds (ddof 1) and of the `ensemble`, the mean forecast of the seeds; `ratio` of
        the error to the reference's; `seeds_better`, the share of seeds that have a lower error; `skill`, mean over
        series and seeds of 1 less the ratio of squared errors. Of the ensemble: `dm_statistic` and two-sided `dm_p`
        against the reference; `ic_level` and `ic_change`, Pearson's correlation of levels and of moves from the last
        value, `rank_` for Spearman's, means over series and steps, `_t` where there is one of them; `direction`, the
        share of moves foretold; `pinball` and `coverage` where there are quantiles.

    Raises
    ------
    InputError
        For an unknown metric, a missing reference, and a model that has no forecast where others have one, or two.
    """
    if metric not in METRICS:
        raise InputError(f"expected a metric among {', '.join(METRICS)}; found {metric!r}")
    cube = _Cube(forecasts, actuals, units or {})
    if reference not in cube.points:
        known = ", ".join(cube.points)
        raise InputError(f"expected forecasts of {reference!r} to compare with; found {known}; add it to the baselines")

    def rows(part: _Part, **label: Any) -> list[Row]:
        return [
            {**label, **_judge(cube, part, model, metric, reference, (parameters or {}).get(model))}
            for model in cube.points
        ]

    everything = _Part(cube)
    series = [row for i, name in enumerate(cube.series) for row in rows(_Part(cube, series=[i]), series=name)]
    steps = [row for i, step in enumerate(cube.steps) for row in rows(_Part(cube, steps=[i]), step=step)]
    folds = [row for fold in cube.folds for row in rows(_Part(cube, fold=fold), fold=fold)]
    return Comparison(
        pd.DataFrame(rows(everything)),
        pd.DataFrame(series),
        pd.DataFrame(steps),
        pd.DataFrame(folds),
        metric,
        reference,
        cube.spans,
    )


class _Cube:
    """Forecasts as arrays of shape (seeds, n, steps, series), actual and last values as (n, steps, series)."""

    def __init__(self, forecasts: pd.DataFrame, actuals: pd.DataFrame, units: Mapping[str, float]) -> None:
        if "live" in forecasts:
            # made at the last row: nothing is known of what they forecast
            forecasts = forecasts[~forecasts["live"] | forecasts["date"].isin(actuals["date"])]
        if actuals.duplicated(KEY).any():
            raise InputError("expected one actual value a date, series and step; found two; give each once")
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
                layers = [self._seeds(forecasts[of_model & (level == one)], name).mean(axis=0) for one in levels]
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
        found: Values = values.reindex(self._index).to_numpy(dtype=np.float64).reshape(self._shape)
        if column == "forecast" and not np.isfinite(found).all():
            raise InputError(f"expected forecasts that are numbers; found others of {name}; see how it was trained")
        return found


class _Part:
    """Which rows, steps and series count."""

    def __init__(
        self,
        cube: _Cube,
        *,
        series: Sequence[int] | None = None,
        steps: Sequence[int] | None = None,
        fold: int | None = None,
    ) -> None:
        self.series = list(range(len(cube.series))) if series is None else list(series)
        self.steps = list(range(len(cube.steps))) if steps is None else list(steps)
        self.rows = np.ones(len(cube.fold), dtype=bool) if fold is None else cube.fold == fold
        self.furthest = max(cube.steps[i] for i in self.steps)

    def __call__(self, values: Values) -> Values:
        """Cut an array whose last axes are dates, steps and series."""
        return values[..., self.rows, :, :][..., self.steps, :][..., self.series]


def _judge(cube: _Cube, part: _Part, model: str, metric: str, reference: str, parameters: int | None) -> Row:
    units = cube.units[part.series]
    truth, last, seeds = part(cube.actual) / units, part(cube.last) / units, part(cube.points[model]) / units
    other = (part(cube.points[reference]) / units).mean(axis=0)
    together = seeds.mean(axis=0)
    row: Row = {"model": model, "parameters": parameters, "seeds": len(seeds)}
    for name, error in METRICS.items():
        each = np.array([_over_series(error, truth, seed) for seed in seeds])
        row[name] = float(each.mean())
        row[f"{name}_spread"] = float(each.std(ddof=1)) if len(each) > 1 else math.nan
        row[f"ensemble_{name}"] = _over_series(error, truth, together)
        if name == metric:
            to_beat = _over_series(error, truth, other)
            row["ratio"] = row[name] / to_beat if to_beat > 0 else math.nan
            row["seeds_better"] = float((each < to_beat).mean())
    row["skill"] = float(np.mean([_over_series(skill, truth, seed, other) for seed in seeds]))
    if model == reference:
        row["dm_statistic"] = row["dm_p"] = math.nan
    else:
        test = diebold_mariano(truth, together, other, steps=part.furthest, loss=LOSS_OF[metric])
        row["dm_statistic"], row["dm_p"] = test.statistic, test.p_value
    if reference != "persistence":
        last = np.zeros_like(last)
    changes = truth - last, together - last
    for name, pair in (("ic_level", (truth, together)), ("ic_change", changes)):
        for rank in (False, True):
            found = [
                information_coefficient(pair[0][:, i, j], pair[1][:, i, j], rank=rank, steps=cube.steps[part.steps[i]])
                for i in range(len(part.steps))
                for j in range(len(part.series))
            ]
            prefix = f"rank_{name}" if rank else name
            row[prefix] = float(np.mean([one.value for one in found]))
            # a mean over several series or steps has no t statistic
            alone = found[0] if len(found) == 1 else None
            row[f"{prefix}_t"] = alone.t if alone else math.nan
            row[f"{prefix}_df"] = float(alone.df) if alone else math.nan
    row["direction"] = directional_accuracy(last, truth, together)
    if cube.quantiles:
        row["pinball"], row["coverage"] = math.nan, {}
    if model in cube.quantiles:
        levels, values = cube.quantiles[model]
        said = np.stack([part(values[..., i]) / units for i in range(len(levels))], axis=-1)
        row["pinball"], row["coverage"] = pinball_loss(truth, said, levels), coverage(truth, said, levels)
    return row


def _over_series(measure: Any, *values: Values) -> float:
    """Mean over series of what is measured of each one's rows and steps."""
    return float(np.mean([measure(*(one[..., j] for one in values)) for j in range(values[0].shape[-1])]))


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


def _explained(metric: str, reference: str) -> str:
    return (
        f"{metric.upper()}, its ratio to {reference}'s and skill: means over seeds, ± their spread. Ensemble: the mean "
        f"forecast of the seeds, whose are the Diebold-Mariano statistic (below zero: better than {reference}), "
        "correlations and direction. In brackets after a correlation: its t statistic, by the equal-weighted cosine "
        "estimator (Lazarus, Lewis, Stock and Watson 2018).\n"
    )


def _test(row: Row) -> str:
    """Write a statistic and its p-value; the sign says who was better."""
    if not np.isfinite(row["dm_p"]):
        return ""
    return f"{row['dm_statistic']:+.1f} ({'<0.001' if row['dm_p'] < 0.0005 else _figure(row['dm_p'], 3)})"


def _errors(frame: pd.DataFrame, what: str, metric: str, spans: Mapping[int, str]) -> str:
    """One row a model, one column a series, step or fold: its error, mean and spread over seeds."""
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


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
