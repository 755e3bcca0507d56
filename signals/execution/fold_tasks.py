"""Fold tasks: load or train the model of one fold and seed, and score its test rows; they run in worker processes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from signals.common.import_objects import source_digest
from signals.dataset.fold_data import FoldData
from signals.execution.artifacts import Artifact, ArtifactStore, artifact_key
from signals.execution.task_result import TaskResult
from signals.models.custom import CustomModel
from signals.models.network import Network, NetworkSettings
from signals.models.saved_keras import OpenedModel
from signals.trainers.base import EpochLoss, FitTask, Fitted, Trainer, TrainingSettings, batch_of

__all__ = ["Task", "network_of", "run_custom_tasks", "run_tasks_with_trainer", "score_saved_model", "task_key"]


@dataclass(frozen=True, slots=True)
class Task:
    """A fold, a model and a seed."""

    data: FoldData
    model: NetworkSettings | CustomModel
    training: TrainingSettings
    seed: int


def run_tasks_with_trainer(
    tasks: list[Task], trainer: Trainer, artifacts: Path, *, single_thread: bool = False
) -> list[TaskResult]:
    """Load or train each task's network and score its test rows."""
    if single_thread:
        _limit_threads()
    store = ArtifactStore(artifacts)
    stopwatch = _Stopwatch()
    versions = trainer.versions()
    keys = [task_key(task, trainer) for task in tasks]
    networks = {i: artifact for i, key in enumerate(keys) if (artifact := store.load(key)) is not None}
    untrained = [i for i in range(len(tasks)) if i not in networks]
    for i, artifact in zip(untrained, _train([tasks[i] for i in untrained], trainer), strict=True):
        store.save(keys[i], artifact)
        networks[i] = artifact
    timed = untrained or range(len(tasks))
    # networks trained together share the time equally
    shared = [seconds_part / len(timed) for seconds_part in stopwatch.lap()]
    results = []
    for i, task in enumerate(tasks):
        fitted = networks[i].fitted
        score = _score(trainer.predict(network_of(task), fitted.weights, task.data.test), task.data)
        seconds, core_seconds = (a + b * (i in timed) for a, b in zip(stopwatch.lap(), shared, strict=True))
        results.append(_task_result(task, score, fitted, i not in untrained, seconds, core_seconds, versions))
    return results


def run_custom_tasks(tasks: list[Task], *, single_thread: bool = False) -> list[TaskResult]:
    """Fit custom models and score their test rows."""
    if single_thread:
        _limit_threads()
    results = []
    for task in tasks:
        stopwatch = _Stopwatch()
        model, data = task.model, task.data
        assert isinstance(model, CustomModel)  # noqa: S101 - checked by the caller
        rows = data.both if task.training.refit_on_validation else data.training
        label = data.scaler.restore_target(rows.label)
        # sums over several threads round differently, and scores must not depend on the number of threads
        with threadpool_limits(1):
            fitted_model = model.make(task.seed)
            training = task.training
            batch_size = training.filled().batch_size
            assert batch_size is not None  # noqa: S101 - set by `filled`
            model.fit(fitted_model, rows, label, data.target, epochs=training.epochs, batch_size=batch_size)
            y_pred = model.predict(fitted_model, data.test, data.target)
        score = _score(y_pred, data, standardised=False)
        fitted = Fitted({}, 1, (EpochLoss(float("nan"), float("nan")),))
        results.append(_task_result(task, score, fitted, False, *stopwatch.lap()))
    return results


def score_saved_model(opened: OpenedModel, data: FoldData, category: NDArray[np.int32]) -> TaskResult:
    """Score the test rows of a fold with a saved Keras model."""
    stopwatch = _Stopwatch()
    score = _score(opened.predict(data.test, category), data, standardised=False)
    return TaskResult(data.fold.number, 0, score, 0, (), True, *stopwatch.lap())


class _Stopwatch:
    """Wall time and core time of this process since the previous call."""

    def __init__(self) -> None:
        self._last = time.perf_counter(), time.process_time()

    def lap(self) -> tuple[float, float]:
        now = time.perf_counter(), time.process_time()
        wall, cores = now[0] - self._last[0], now[1] - self._last[1]
        self._last = now
        return wall, cores


def _task_result(
    task: Task,
    score: NDArray[Any],
    fitted: Fitted,
    reused: bool,
    seconds: float,
    core_seconds: float,
    versions: Mapping[str, str] | None = None,
) -> TaskResult:
    number, history = task.data.fold.number, fitted.history
    return TaskResult(number, task.seed, score, fitted.epochs, history, reused, seconds, core_seconds, versions or {})


def _score(y_pred: NDArray[Any], data: FoldData, *, standardised: bool = True) -> NDArray[Any]:
    """Scores from predictions: a probability, the highest of three classes less the lowest, or the expected value.

    For quantiles, and for targets with several values per row, all outputs are kept, shape (n, outputs).
    """
    if data.target.is_numeric:
        single = not data.target.levels and (data.target.outputs == 1 or y_pred.shape[1] == 1)
        values = y_pred[:, 0] if single else y_pred
        return np.asarray(data.scaler.restore_target(values) if standardised else values)
    if y_pred.shape[1] == 3:
        return np.asarray(y_pred[:, 2] - y_pred[:, 0])
    return y_pred[:, -1]  # the second of two classes


def _limit_threads() -> None:
    """Limit the numerical libraries of a worker process to one thread."""
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[name] = "1"


def network_of(task: Task) -> Network:
    """Describe the network a task trains."""
    assert not isinstance(task.model, CustomModel)  # noqa: S101 - checked by the caller
    data = task.data
    n_features = data.test.windows.panel.shape[2]
    return Network(task.model, len(data.tickers) + 1, n_features, data.target, data.group_sizes)


def task_key(task: Task, trainer: Trainer) -> str:
    """Artifact key of a task: a hash of exactly what determines its weights."""
    training = asdict(task.training.filled(batch_of(trainer)))
    training["trainer"] = trainer.name
    return artifact_key(
        {
            **task.data.facts,
            "model": {"kind": type(task.model).__name__, **asdict(task.model)},  # type: ignore[arg-type]
            "training": training,
            "seed": task.seed,
            "versions": trainer.versions(),
            "plugin": source_digest(task.training.trainer),  # an edited custom trainer gives another key
        }
    )


def _train(tasks: list[Task], trainer: Trainer) -> Iterator[Artifact]:
    fits = [
        FitTask(
            network_of(task),
            task.data.training,
            task.data.validation,
            task.training.filled(batch_of(trainer)),
            task.seed,
        )
        for task in tasks
    ]
    results = list(trainer.fit(fits))
    final = results
    if tasks and tasks[0].training.refit_on_validation:
        retraining_fits = [
            replace(
                fit,
                training=task.data.both,
                validation=None,
                settings=replace(fit.settings, epochs=early_stopped.epochs),
            )
            for task, fit, early_stopped in zip(tasks, fits, results, strict=True)
        ]
        # the history keeps the losses of early stopping; the second fit has no validation rows
        pairs = zip(results, trainer.fit(retraining_fits), strict=True)
        final = [replace(retrained, history=early_stopped.history) for early_stopped, retrained in pairs]
    for task, fitted in zip(tasks, final, strict=True):
        data = task.data
        yield Artifact(fitted, data.tickers, data.scaler, str(data.trained_until), data.groups)
