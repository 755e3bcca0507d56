"""Train every fold and seed on a table of series, and forecast every origin of the test slices once, out of sample."""

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
from signals.execution.executors import Remaining, run_tasks
from signals.execution.fold_tasks import Task, task_key, work
from signals.execution.task_result import Outcome
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
    """What a walk-forward run over series leaves behind; the frames are the files of a run folder.

    Parameters
    ----------
    problem : Problem
        What was forecast.
    cuts : tuple of SeriesFold
        Who learnt from what, and was judged on what.
    forecasts : DataFrame
        `date target_date series step level model seed forecast fold live`: made at the close of `date`, of the value of
        `target_date`, `step` periods ahead; `level` is NaN but for quantiles; `live` where the target period lies after
        the last row, and no actual value is known. Dates of those periods follow the frequency of the series. The last
        row itself is the last origin: all of its forecasts are live.
    actuals : DataFrame
        `date target_date series step actual last`: what came, NaN where it is not known yet, and the value at `date`;
        of every origin but the last row, of which nothing is known yet.
    folds : DataFrame
        One row per fold and seed: first and last date that is forecast in each slice, rows, epochs, losses.
    history : DataFrame
        `fold seed epoch loss validation_loss`, on the scale the network was trained on.
    parameters : int
        Numbers the network learns.
    seconds : dict
        Wall time of each fold and seed; not reproducible.
    trained, reused : int
        Networks trained now, and taken from artifacts.
    trainer : dict
        Which trainer made the networks: `name`, `reason`, `versions` and, if there are any, `warnings`.
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
        """Sum the result up in a few lines, for a prompt or a notebook."""
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
    """State what is forecast of a table, with the look-back that a network needs.

    Raises
    ------
    InputError
        For a series that is not in the table, and a table that is too short.
    """
    for name in settings.series:
        if name not in table.names:
            raise InputError(f"expected forecast.series among {', '.join(table.names)}; found {name!r}; mend it")
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
        The network; `winsorize_quantile` means nothing here, since levels that rise may not be cut off.
    training, walk_forward
        Settings; `walk_forward.test_start` is the first date that is forecast.
    seeds : sequence of int
        One network per fold and seed.
    artifacts : Path
        Folder of trained networks. What is there under the same key is not trained again.
    settings : ForecastSettings, optional
        What is forecast, and from what; one period ahead of every series by default.
    trainer : Trainer, optional
        The trainer itself, instead of `training.trainer`'s name; it must be picklable when `jobs` > 1.
    jobs : int
        Processes. Results do not depend on it.
    on_progress : callable
        Told of every finished network.
    name : str
        What the network is called in the frames.

    Returns
    -------
    ForecastResult
        A forecast made at date t uses values up to t, and a network whose last label was known by the first origin of
        its test slice.

    Raises
    ------
    InputError
        When the series are too short, or the network cannot be used for series.
    """
    settings = settings or ForecastSettings()
    check_model(model)
    check_horizon(model, settings.horizon)
    problem = make_problem(table, model, settings)
    seeds = usable_seeds(seeds, model)
    cuts = problem.folds(walk_forward)
    n_tasks = len(cuts) * len(seeds)

    def told(event: ProgressEvent) -> None:
        on_progress(replace(event, stage="forecast"))

    chosen = pick_trainer(training, model, trainer, max(jobs // max(n_tasks, 1), 1), told)
    training = training.filled(batch_of(chosen.trainer))
    facts = facts_of(chosen, training, target_of(problem, settings))
    folds = {cut.number: make_series_fold(problem, cut, model, settings) for cut in cuts}
    tasks = [Task(fold.data, model, training, seed) for fold in folds.values() for seed in seeds]
    one, at_once = partial(work, trainer=chosen.trainer, artifacts=Path(artifacts)), chosen.trainer.tasks_at_once
    rows = {(cut.number, seed): len(cut.train) for cut in cuts for seed in seeds}
    remaining = Remaining(rows, min(jobs, max(n_tasks // at_once, 1)))
    outcomes: dict[tuple[int, int], Outcome] = {}
    with closing(run_tasks(iter(tasks), one, at_once=at_once, jobs=jobs, n_tasks=n_tasks)) as finished:
        for outcome in finished:
            outcomes[outcome.fold, outcome.seed] = outcome
            facts["versions"] = dict(outcome.versions)
            verb = "reused" if outcome.reused else "trained"
            text = f"fold {outcome.fold + 1} of {len(cuts)}, seed {outcome.seed}: {verb}, {outcome.epochs} epochs"
            told(ProgressEvent("", text, len(outcomes), n_tasks, remaining.after(outcome)))
    kept = ArtifactStore(Path(artifacts)).load(task_key(tasks[0], chosen.trainer))
    assert kept is not None  # noqa: S101 - just trained or reused
    done = {key: outcomes[key] for key in sorted(outcomes)}
    return ForecastResult(
        problem=problem,
        cuts=cuts,
        forecasts=_forecasts(problem, folds, done, settings, name),
        actuals=pd.concat([_actuals(problem, fold) for fold in folds.values()], ignore_index=True),
        folds=pd.DataFrame([_fold_row(problem, folds[number], o) for (number, _), o in done.items()]),
        history=_history(done),
        parameters=sum(int(weight.size) for weight in kept.fitted.weights.values()),
        seconds={f"fold {number} seed {seed}": round(o.seconds, 3) for (number, seed), o in done.items()},
        trained=sum(not o.reused for o in done.values()),
        reused=sum(o.reused for o in done.values()),
        trainer=facts,
    )


def origin_rows(problem: Problem, origins: range) -> dict[str, NDArray[Any]]:
    """Make the columns that name each number of some origins: by origin, step and series."""
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
    problem: Problem, cut: SeriesFold, name: str, seed: int, values: NDArray[np.float64], levels: Sequence[float]
) -> pd.DataFrame:
    """Lay the forecasts of one model, seed and fold out as rows, see `ForecastResult.forecasts`.

    Parameters
    ----------
    problem : Problem
        What is forecast.
    cut : SeriesFold
        Whose `origins` are forecast.
    name : str
        The model.
    seed : int
        Its seed.
    values : ndarray of float64, shape (n_origins, horizon, k, len(levels))
        Forecasts.
    levels : sequence of float
        Quantile of each, or one NaN.
    """
    origins = cut.origins
    rows = origin_rows(problem, origins)
    live = np.repeat(problem.is_live(origins).ravel(), len(problem.targets))
    frame = pd.DataFrame({key: np.repeat(column, len(levels)) for key, column in rows.items()})
    return frame.assign(
        series=frame["series"].astype("str"),
        level=np.tile(np.asarray(levels, dtype=np.float64), values.size // len(levels)),
        model=pd.Series(name, index=frame.index, dtype="str"),
        seed=seed,
        forecast=values.ravel(),
        fold=np.int32(cut.number),
        live=np.repeat(live, len(levels)),
    )


def _forecasts(
    problem: Problem,
    folds: Mapping[int, PreparedFold],
    outcomes: Mapping[tuple[int, int], Outcome],
    settings: ForecastSettings,
    name: str,
) -> pd.DataFrame:
    levels = settings.quantiles or (np.nan,)
    parts = []
    for (number, seed), outcome in outcomes.items():
        fold = folds[number]
        said = outcome.scores.astype(np.float64).reshape(len(fold.cut.origins), -1)
        parts.append(forecast_rows(problem, fold.cut, name, seed, fold.forecasts(said, problem, settings), levels))
    return pd.concat(parts, ignore_index=True)


def _actuals(problem: Problem, fold: PreparedFold) -> pd.DataFrame:
    origins = fold.cut.test
    last = np.repeat(problem.last(origins)[:, None], problem.horizon, axis=1)
    columns = {"actual": problem.actual(origins).ravel(), "last": last.ravel()}
    frame = pd.DataFrame({**origin_rows(problem, origins), **columns})
    return frame.assign(series=frame["series"].astype("str"))


def _fold_row(problem: Problem, fold: PreparedFold, outcome: Outcome) -> dict[str, Any]:
    cut, ahead = fold.cut, problem.table.dates[1:].astype("datetime64[ns]")
    shared: dict[str, Any] = {"fold": np.int32(cut.number), "seed": outcome.seed}
    for name, span in (("train", cut.train), ("validation", cut.validation), ("test", cut.test)):
        shared |= {f"{name}_start": ahead[span.start], f"{name}_end": ahead[span.stop - 1], f"{name}_rows": len(span)}
    kept = outcome.history[outcome.epochs - 1] if 0 < outcome.epochs <= len(outcome.history) else None
    return shared | {
        "trained_until": fold.data.trained_until.astype("datetime64[ns]"),
        "epochs": np.int32(outcome.epochs),
        "epochs_run": np.int32(len(outcome.history)),
        "train_loss": kept.loss if kept else np.nan,
        "validation_loss": kept.validation_loss if kept else np.nan,
    }


def _history(outcomes: Mapping[tuple[int, int], Outcome]) -> pd.DataFrame:
    rows = [
        (number, seed, epoch, loss.loss, loss.validation_loss)
        for (number, seed), outcome in outcomes.items()
        for epoch, loss in enumerate(outcome.history, start=1)
    ]
    frame = pd.DataFrame(rows, columns=["fold", "seed", "epoch", "loss", "validation_loss"])
    return frame.astype({"fold": np.int32, "epoch": np.int32})
