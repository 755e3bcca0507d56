"""One fold and one seed: load or train its model, score its test rows. Runs in a worker process."""

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
from signals.execution.task_result import Outcome
from signals.models.custom import CustomModel
from signals.models.network import Network, NetworkSettings
from signals.models.saved_keras import OpenedModel
from signals.trainers.base import EpochLoss, FitTask, Fitted, Trainer, TrainingSettings, batch_of

__all__ = ["Task", "network_of", "score_opened", "task_key", "work", "work_own"]


@dataclass(frozen=True, slots=True)
class Task:
    """A fold, a model and a seed."""

    data: FoldData
    model: NetworkSettings | CustomModel
    training: TrainingSettings
    seed: int


def work(tasks: list[Task], trainer: Trainer, artifacts: Path, *, single_thread: bool = False) -> list[Outcome]:
    """Load or train each task's network and score its test rows."""
    if single_thread:
        _settle_worker()
    store = ArtifactStore(artifacts)
    spent = _Stopwatch()
    versions = trainer.versions()
    keys = [task_key(task, trainer) for task in tasks]
    networks = {i: artifact for i, key in enumerate(keys) if (artifact := store.load(key)) is not None}
    missing = [i for i in range(len(tasks)) if i not in networks]
    for i, artifact in zip(missing, _train([tasks[i] for i in missing], trainer), strict=True):
        store.save(keys[i], artifact)
        networks[i] = artifact
    charged = missing or range(len(tasks))
    shared = [part / len(charged) for part in spent.lap()]  # trained together: each cost its share
    outcomes = []
    for i, task in enumerate(tasks):
        fitted = networks[i].fitted
        score = _score(trainer.predict(network_of(task), fitted.weights, task.data.test), task.data)
        seconds, core_seconds = (a + b * (i in charged) for a, b in zip(spent.lap(), shared, strict=True))
        outcomes.append(_outcome(task, score, fitted, i not in missing, seconds, core_seconds, versions))
    return outcomes


def work_own(tasks: list[Task], *, single_thread: bool = False) -> list[Outcome]:
    """Fit anybody's own models and score their test rows."""
    if single_thread:
        _settle_worker()
    outcomes = []
    for task in tasks:
        spent = _Stopwatch()
        model, data = task.model, task.data
        assert isinstance(model, CustomModel)  # noqa: S101 - sorted out by the caller
        rows = data.both if task.training.refit_on_validation else data.training
        label = data.scaler.restore_target(rows.label)
        # sums of several threads round otherwise than those of one, and a score must not depend on how many there are
        with threadpool_limits(1):
            made = model.make(task.seed)
            training = task.training
            batch_size = training.filled().batch_size
            assert batch_size is not None  # noqa: S101 - just filled in
            model.fit(made, rows, label, data.target, epochs=training.epochs, batch_size=batch_size)
            said = model.predict(made, data.test, data.target)
        score = _score(said, data, standardised=False)
        fitted = Fitted({}, 1, (EpochLoss(float("nan"), float("nan")),))
        outcomes.append(_outcome(task, score, fitted, False, *spent.lap()))
    return outcomes


def score_opened(opened: OpenedModel, data: FoldData, category: NDArray[np.int32]) -> Outcome:
    """Score the test rows of a fold with a network that came trained."""
    spent = _Stopwatch()
    score = _score(opened.predict(data.test, category), data, standardised=False)
    return Outcome(data.fold.number, 0, score, 0, (), True, *spent.lap())


class _Stopwatch:
    """Wall time, and time of all cores this process worked on, since it was last asked."""

    def __init__(self) -> None:
        self._last = time.perf_counter(), time.process_time()

    def lap(self) -> tuple[float, float]:
        now = time.perf_counter(), time.process_time()
        wall, cores = now[0] - self._last[0], now[1] - self._last[1]
        self._last = now
        return wall, cores


def _outcome(
    task: Task,
    score: NDArray[Any],
    fitted: Fitted,
    reused: bool,
    seconds: float,
    core_seconds: float,
    versions: Mapping[str, str] | None = None,
) -> Outcome:
    number, said = task.data.fold.number, versions or {}
    return Outcome(number, task.seed, score, fitted.epochs, fitted.history, reused, seconds, core_seconds, said)


def _score(said: NDArray[Any], data: FoldData, *, standardised: bool = True) -> NDArray[Any]:
    """One number a row: a probability, of three classes the highest less the lowest, or the expected value.

    Of quantiles, and of targets with several numbers a row, all are kept, shape (n, outputs).
    """
    if data.target.is_numeric:
        one = not data.target.levels and (data.target.outputs == 1 or said.shape[1] == 1)
        numbers = said[:, 0] if one else said
        return np.asarray(data.scaler.restore_target(numbers) if standardised else numbers)
    if said.shape[1] == 3:
        return np.asarray(said[:, 2] - said[:, 0])
    return said[:, -1]  # of two classes the second


def _settle_worker() -> None:
    """Prepare a worker process for what its tasks are like."""
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[name] = "1"


def network_of(task: Task) -> Network:
    """Describe the network a task trains."""
    assert not isinstance(task.model, CustomModel)  # noqa: S101 - sorted out by the caller
    data = task.data
    n_features = data.test.windows.panel.shape[2]
    return Network(task.model, len(data.tickers) + 1, n_features, data.target, data.group_sizes)


def task_key(task: Task, trainer: Trainer) -> str:
    """Key of the artifact a task makes: everything that could change a bit of it, and nothing else."""
    training = asdict(task.training.filled(batch_of(trainer)))
    training["trainer"] = trainer.name
    return artifact_key(
        {
            **task.data.facts,
            "model": {"kind": type(task.model).__name__, **asdict(task.model)},  # type: ignore[arg-type]
            "training": training,
            "seed": task.seed,
            "versions": trainer.versions(),
            "plugin": source_digest(task.training.trainer),  # a trainer of one's own that was edited trains anew
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
    first = list(trainer.fit(fits))
    final = first
    if tasks and tasks[0].training.refit_on_validation:
        again = [
            replace(
                fit,
                training=task.data.both,
                validation=None,
                settings=replace(fit.settings, epochs=one.epochs),
            )
            for task, fit, one in zip(tasks, fits, first, strict=True)
        ]
        # the losses that chose the number of passes stay on record; the second fit has no validation rows to show
        final = [replace(two, history=one.history) for one, two in zip(first, trainer.fit(again), strict=True)]
    for task, fitted in zip(tasks, final, strict=True):
        data = task.data
        yield Artifact(fitted, data.tickers, data.scaler, str(data.trained_until), data.groups)
