"""Walk-forward run on a table of series: train every fold and seed, and forecast every test origin out of sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.common.errors import InputError
from signals.common.progress_events import ProgressCallback, ProgressEvent, ignore_progress
from signals.common.summary_card import Card
from signals.dataset.folds import WalkForward
from signals.execution.artifacts import ArtifactStore
from signals.execution.executors import RemainingTime, run_tasks
from signals.execution.fold_tasks import Task, run_tasks_with_trainer, task_key
from signals.execution.task_result import TaskResult
from signals.forecasting.problem import Problem, SeriesFold
from signals.forecasting.series_fold import PreparedFold, check_model, make_series_fold, target_of
from signals.forecasting.series_table import SeriesTable
from signals.forecasting.settings import SERIES_TRAINING, ForecastSettings
from signals.models.network import NetworkSettings
from signals.models.recurrent_settings import check_horizon
from signals.trainers.base import Trainer, TrainingSettings, batch_of
from signals.walk_forward.panel_walk_forward import facts_of, pick_trainer, usable_seeds

__all__ = ["NETWORK", "ForecastResult", "compute_forecasts", "forecast_rows", "make_problem", "origin_rows"]

NETWORK = "network"


@dataclass(frozen=True, slots=True, repr=False)
class ForecastResult:
    """Result of a walk-forward run over series; its frames are the files of a run folder.

    Parameters
    ----------
    problem : Problem
        Series, horizon and origins.
    cuts : tuple of SeriesFold
        Training, validation and test origins of the folds.
    forecasts : DataFrame
        `date target_date series step level model seed forecast fold live`: forecasts made at the close of `date` of the
        value of `target_date`, `step` periods ahead; `level` is NaN except for quantiles; `live` is true where the
        target period lies after the last row, so that no actual value is known. Dates of these periods follow the
        frequency of the series. The last row is the last origin; all its forecasts are live.
    actuals : DataFrame
        `date target_date series step actual last`: the actual value, NaN where it is not known yet, and the value at
        `date`, for every origin except the last row, for which no actual value is known.
    folds : DataFrame
        One row per fold and seed: first and last forecast date of each slice, rows, epochs, losses.
    history : DataFrame
        `fold seed epoch loss validation_loss`, in the scaled units of training.
    parameters : int
        Number of parameters of the network.
    seconds : dict
        Wall time of each fold and seed; not reproducible.
    trained, reused : int
        Number of networks trained in this run, and reused from artifacts.
    trainer : dict
        Trainer of the networks: `name`, `reason`, `versions` and, if there are any, `warnings`.
    """

    problem: Problem
    cuts: tuple[SeriesFold, ...]
    forecasts: pd.DataFrame
    actuals: pd.DataFrame
    folds: pd.DataFrame
    history: pd.DataFrame
    parameters: int
    seconds: dict[str, float]
    trained: int
    reused: int
    trainer: dict[str, Any] = field(default_factory=dict)

    def card(self) -> Card:
        """Summary of the result in a few lines, for a prompt or a notebook."""
        dates = self.actuals["date"]
        horizon = self.problem.horizon
        facts = [
            ("series", ", ".join(self.problem.names)),
            ("forecasts", f"from {dates.nunique():,} origins, {horizon} period{'s' * (horizon > 1)} ahead"),
            ("period", f"{dates.iloc[0]:%Y-%m-%d} to {dates.iloc[-1]:%Y-%m-%d}"),
            ("live", f"made at the end of {self.problem.table.dates[-1]}, no actual value yet"),
            ("networks", f"{self.trained:,} trained, {self.reused:,} reused, {self.parameters:,} parameters each"),
            ("trainer", f"{self.trainer['name']}: {self.trainer['reason']}"),
        ]
        return Card("ForecastResult", facts)

    def __repr__(self) -> str:
        return self.card().text()

    def _repr_html_(self) -> str:
        return self.card().html()


def make_problem(table: SeriesTable, model: NetworkSettings, settings: ForecastSettings) -> Problem:
    """Make the forecast problem of a table, with the look-back that a network needs.

    Raises
    ------
    InputError
        For an unknown series, and for a table that is too short.
    """
    for name in settings.series:
        if name not in table.names:
            raise InputError(f"expected forecast.series among {', '.join(table.names)}; found {name!r}; correct it")
    columns = tuple(table.names.index(name) for name in settings.series)
    return Problem(table, settings.horizon, columns, model.lookback + settings.context)


def compute_forecasts(
    table: SeriesTable,
    *,
    model: NetworkSettings,
    walk_forward: WalkForward,
    training: TrainingSettings = SERIES_TRAINING,
    seeds: Sequence[int],
    artifacts: Path,
    settings: ForecastSettings | None = None,
    trainer: Trainer | None = None,
    jobs: int = 1,
    on_progress: ProgressCallback = ignore_progress,
    name: str = NETWORK,
) -> ForecastResult:
    """Run the walk-forward.

    Parameters
    ----------
    table : SeriesTable
        The series.
    model : NetworkSettings
        The network; `winsorize_quantile` has no effect, because clipping would distort series with a trend.
    training, walk_forward
        Settings; `walk_forward.test_start` is the first date that is forecast.
    seeds : sequence of int
        Seeds; one network is trained per fold and seed.
    artifacts : Path
        Folder of trained networks. A network stored there under the same key is not trained again.
    settings : ForecastSettings, optional
        Target, inputs and horizon; by default every series, one period ahead.
    trainer : Trainer, optional
        A trainer object, which replaces `training.trainer`; it must be picklable when `jobs` > 1.
    jobs : int
        Number of processes. Results do not depend on it.
    on_progress : callable
        Called with a `ProgressEvent` after every finished network.
    name : str
        Name of the network in the frames.

    Returns
    -------
    ForecastResult
        A forecast made at date t uses values up to t, and a network whose last label was known by the first origin of
        its test slice.

    Raises
    ------
    InputError
        When the series are too short, or the network has inputs that series cannot provide.
    """
    settings = settings or ForecastSettings()
    check_model(model)
    check_horizon(model, settings.horizon)
    problem = make_problem(table, model, settings)
    seeds = usable_seeds(seeds, model)
    cuts = problem.folds(walk_forward)
    n_tasks = len(cuts) * len(seeds)

    def report_progress(event: ProgressEvent) -> None:
        on_progress(replace(event, stage="forecast"))

    choice = pick_trainer(training, model, trainer, max(jobs // max(n_tasks, 1), 1), report_progress)
    training = training.filled(batch_of(choice.trainer))
    facts = facts_of(choice, training, target_of(problem, settings))
    prepared_folds = {fold.number: make_series_fold(problem, fold, model, settings) for fold in cuts}
    tasks = [Task(prepared.data, model, training, seed) for prepared in prepared_folds.values() for seed in seeds]
    run_chunk, at_once = (
        partial(run_tasks_with_trainer, trainer=choice.trainer, artifacts=Path(artifacts)),
        choice.trainer.tasks_at_once,
    )
    rows = {(fold.number, seed): len(fold.train) for fold in cuts for seed in seeds}
    remaining = RemainingTime(rows, min(jobs, max(n_tasks // at_once, 1)))
    results: dict[tuple[int, int], TaskResult] = {}
    with closing(run_tasks(iter(tasks), run_chunk, at_once=at_once, jobs=jobs, n_tasks=n_tasks)) as finished:
        for result in finished:
            results[result.fold, result.seed] = result
            facts["versions"] = dict(result.versions)
            verb = "reused" if result.reused else "trained"
            text = f"fold {result.fold + 1} of {len(cuts)}, seed {result.seed}: {verb}, {result.epochs} epochs"
            report_progress(ProgressEvent("", text, len(results), n_tasks, remaining.after(result)))
    artifact = ArtifactStore(Path(artifacts)).load(task_key(tasks[0], choice.trainer))
    assert artifact is not None  # noqa: S101 - trained or reused above
    ordered = {key: results[key] for key in sorted(results)}
    return ForecastResult(
        problem=problem,
        cuts=cuts,
        forecasts=_forecasts(problem, prepared_folds, ordered, settings, name),
        actuals=pd.concat([_actuals(problem, prepared) for prepared in prepared_folds.values()], ignore_index=True),
        folds=pd.DataFrame([_fold_row(problem, prepared_folds[number], o) for (number, _), o in ordered.items()]),
        history=_history(ordered),
        parameters=sum(int(weight.size) for weight in artifact.fitted.weights.values()),
        seconds={f"fold {number} seed {seed}": round(o.seconds, 3) for (number, seed), o in ordered.items()},
        trained=sum(not o.reused for o in ordered.values()),
        reused=sum(o.reused for o in ordered.values()),
        trainer=facts,
    )


def origin_rows(problem: Problem, origins: range) -> dict[str, NDArray[Any]]:
    """Make the identifying columns of each forecast of some origins: by origin, step and series."""
    n, horizon, k = len(origins), problem.horizon, len(problem.targets)
    dates = problem.ahead[origins.start : origins.stop].astype("datetime64[ns]")
    ahead = problem.target_dates(origins).astype("datetime64[ns]")
    return {
        "date": np.repeat(dates, horizon * k),
        "target_date": np.repeat(ahead.ravel(), k),
        "series": np.tile(np.asarray(problem.names, dtype=object), n * horizon),
        "step": np.tile(np.repeat(np.arange(1, horizon + 1, dtype=np.int32), k), n),
    }


def forecast_rows(
    problem: Problem, fold: SeriesFold, name: str, seed: int, values: NDArray[np.float64], levels: Sequence[float]
) -> pd.DataFrame:
    """Make a row for each forecast of one model, seed and fold, see `ForecastResult.forecasts`.

    Parameters
    ----------
    problem : Problem
        Series and horizon.
    fold : SeriesFold
        Fold whose `origins` are forecast.
    name : str
        Name of the model.
    seed : int
        Seed of the model.
    values : ndarray of float64, shape (n_origins, horizon, k, len(levels))
        Forecasts.
    levels : sequence of float
        Quantile levels, or one NaN for a point forecast.
    """
    origins = fold.origins
    rows = origin_rows(problem, origins)
    live = np.repeat(problem.is_live(origins).ravel(), len(problem.targets))
    frame = pd.DataFrame({key: np.repeat(column, len(levels)) for key, column in rows.items()})
    return frame.assign(
        series=frame["series"].astype("str"),
        level=np.tile(np.asarray(levels, dtype=np.float64), values.size // len(levels)),
        model=pd.Series(name, index=frame.index, dtype="str"),
        seed=seed,
        forecast=values.ravel(),
        fold=np.int32(fold.number),
        live=np.repeat(live, len(levels)),
    )


def _forecasts(
    problem: Problem,
    folds: Mapping[int, PreparedFold],
    results: Mapping[tuple[int, int], TaskResult],
    settings: ForecastSettings,
    name: str,
) -> pd.DataFrame:
    levels = settings.quantiles or (np.nan,)
    parts = []
    for (number, seed), result in results.items():
        prepared = folds[number]
        y_pred = result.scores.astype(np.float64).reshape(len(prepared.fold.origins), -1)
        parts.append(
            forecast_rows(problem, prepared.fold, name, seed, prepared.forecasts(y_pred, problem, settings), levels)
        )
    return pd.concat(parts, ignore_index=True)


def _actuals(problem: Problem, prepared: PreparedFold) -> pd.DataFrame:
    origins = prepared.fold.test
    last = np.repeat(problem.last(origins)[:, None], problem.horizon, axis=1)
    columns = {"actual": problem.actual(origins).ravel(), "last": last.ravel()}
    frame = pd.DataFrame({**origin_rows(problem, origins), **columns})
    return frame.assign(series=frame["series"].astype("str"))


def _fold_row(problem: Problem, prepared: PreparedFold, result: TaskResult) -> dict[str, Any]:
    fold, ahead = prepared.fold, problem.table.dates[1:].astype("datetime64[ns]")
    shared: dict[str, Any] = {"fold": np.int32(fold.number), "seed": result.seed}
    for name, span in (("train", fold.train), ("validation", fold.validation), ("test", fold.test)):
        shared |= {f"{name}_start": ahead[span.start], f"{name}_end": ahead[span.stop - 1], f"{name}_rows": len(span)}
    best_epoch = result.history[result.epochs - 1] if 0 < result.epochs <= len(result.history) else None
    return shared | {
        "trained_until": prepared.data.trained_until.astype("datetime64[ns]"),
        "epochs": np.int32(result.epochs),
        "epochs_run": np.int32(len(result.history)),
        "train_loss": best_epoch.loss if best_epoch else np.nan,
        "validation_loss": best_epoch.validation_loss if best_epoch else np.nan,
    }


def _history(results: Mapping[tuple[int, int], TaskResult]) -> pd.DataFrame:
    rows = [
        (number, seed, epoch, loss.loss, loss.validation_loss)
        for (number, seed), result in results.items()
        for epoch, loss in enumerate(result.history, start=1)
    ]
    frame = pd.DataFrame(rows, columns=["fold", "seed", "epoch", "loss", "validation_loss"])
    return frame.astype({"fold": np.int32, "epoch": np.int32})
