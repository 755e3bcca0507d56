"""Train every fold and seed, score every test date once, out of sample, and put the signal frame together."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from signals.artifacts import Artifact, ArtifactStore, artifact_key
from signals.assembly import Outcome, SignalResult, assemble
from signals.dataset import FoldData, make_dataset, make_fold_data
from signals.errors import InputError
from signals.events import Event, Listener, silent
from signals.folds import WalkForward, make_folds
from signals.labels import LabelSettings
from signals.models.stacked_lstm import ModelSettings
from signals.plugins import source_digest
from signals.prices import Prices
from signals.trainers import make_trainer
from signals.trainers.seam import FitTask, Trainer, TrainingSettings
from signals.universe import UniverseFilters

__all__ = ["SignalResult", "compute_signals"]


@dataclass(frozen=True, slots=True)
class _Task:
    data: FoldData
    model: ModelSettings
    training: TrainingSettings
    seed: int


def compute_signals(
    prices: Prices,
    *,
    walk_forward: WalkForward,
    universe: UniverseFilters,
    labels: LabelSettings,
    model: ModelSettings,
    training: TrainingSettings,
    seeds: Sequence[int],
    artifacts: Path,
    frequency: str = "weekly",
    trainer: Trainer | None = None,
    jobs: int = 1,
    listener: Listener = silent,
) -> SignalResult:
    """Run the walk-forward.

    Parameters
    ----------
    prices : Prices
        Checked prices.
    walk_forward, universe, labels, model, training
        Settings.
    seeds : sequence of int
        One network per fold and seed; the score is the mean over seeds.
    artifacts : Path
        Folder of trained networks. What is there under the same key is not trained again.
    frequency : {"weekly", "daily", "monthly"}
        Rhythm of decision dates.
    trainer : Trainer, optional
        The trainer itself, instead of `training.trainer`'s name; it must be picklable when `jobs` > 1.
    jobs : int
        Processes. Results do not depend on it.
    listener : callable
        Told of every finished network.

    Returns
    -------
    SignalResult
        A score at date t uses prices up to the close of t, and a model whose last label ended by the first date of
        its test slice.

    Raises
    ------
    InputError
        When history or universe leave nothing to train on.
    """
    seeds = list(seeds)
    if not seeds or len(set(seeds)) != len(seeds) or min(seeds) < 0 or max(seeds) >= 2**32:
        raise InputError(f"expected training.seeds as different numbers from 0 to 2^32 - 1; found {seeds}")
    made = trainer or make_trainer(training.trainer)
    data = make_dataset(
        prices,
        frequency=frequency,
        universe=universe,
        labels=labels,
        lookback=model.lookback,
        walk_forward=walk_forward,
    )
    folds = make_folds(data.dates, walk_forward, first=data.first)
    prepared = [make_fold_data(data, fold, model) for fold in folds]
    prepared = [fold for fold in prepared if len(fold.test)]
    tasks = [_Task(fold, model, training, seed) for fold in prepared for seed in seeds]

    outcomes: dict[tuple[int, int], Outcome] = {}
    for outcome in _run(tasks, made, Path(artifacts), jobs):
        outcomes[outcome.fold, outcome.seed] = outcome
        listener(Event("signals", _describe(outcome, len(prepared)), len(outcomes), len(tasks)))
    return assemble(data, prepared, seeds, outcomes, model.lookback)


def _run(tasks: list[_Task], trainer: Trainer, artifacts: Path, jobs: int) -> Iterator[Outcome]:
    chunks = [tasks[i : i + trainer.tasks_at_once] for i in range(0, len(tasks), trainer.tasks_at_once)]
    if jobs <= 1 or len(chunks) <= 1:
        for chunk in chunks:
            yield from _work(chunk, trainer, artifacts)
        return
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    # One thread a process: two processes with one thread each train more than one with two. `pre_dispatch` bounds
    # memory to the tasks in flight.
    parallel = Parallel(
        n_jobs=min(jobs, len(chunks)), return_as="generator_unordered", pre_dispatch="n_jobs", batch_size=1
    )
    try:
        for outcomes in parallel(delayed(_work)(chunk, trainer, artifacts, single_thread=True) for chunk in chunks):
            yield from outcomes
    except TerminatedWorkerError as error:
        raise InputError(
            "expected every training process to finish; found one killed, most often for want of memory; "
            "run again with fewer --jobs (finished networks are kept)"
        ) from error


def _work(tasks: list[_Task], trainer: Trainer, artifacts: Path, *, single_thread: bool = False) -> list[Outcome]:
    """Load or train each task's network and score its test rows; runs in a worker process."""
    if single_thread:
        _settle_worker()
    store = ArtifactStore(artifacts)
    began = time.perf_counter()
    keys = [_key(task, trainer) for task in tasks]
    networks = {i: artifact for i, key in enumerate(keys) if (artifact := store.load(key)) is not None}
    missing = [i for i in range(len(tasks)) if i not in networks]
    for i, artifact in zip(missing, _train([tasks[i] for i in missing], trainer), strict=True):
        store.save(keys[i], artifact)
        networks[i] = artifact
    outcomes = []
    for i, task in enumerate(tasks):
        fitted = networks[i].fitted
        scores = trainer.predict(task.model, len(task.data.tickers) + 1, fitted.weights, task.data.test)
        now = time.perf_counter()
        outcomes.append(
            Outcome(
                task.data.fold.number,
                task.seed,
                scores,
                fitted.epochs,
                fitted.history,
                i not in missing,
                now - began,
            )
        )
        began = now
    return outcomes


def _settle_worker() -> None:
    """Prepare a worker process for what its tasks are like."""
    from joblib.externals.loky import process_executor

    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[name] = "1"
    # loky takes 300 MB more than after the first task for a leak and restarts the worker; here it is a larger fold, and
    # a restart costs the import of a backend. What a fit leaves behind is bounded by a test of the trainer.
    process_executor._MAX_MEMORY_LEAK_SIZE = float("inf")


def _key(task: _Task, trainer: Trainer) -> str:
    training = asdict(task.training)
    training["trainer"] = trainer.name
    return artifact_key(
        {
            **task.data.facts,
            "model": asdict(task.model),
            "training": training,
            "seed": task.seed,
            "versions": trainer.versions(),
            "plugin": source_digest(task.training.trainer),  # a trainer of one's own that was edited trains anew
        }
    )


def _train(tasks: list[_Task], trainer: Trainer) -> Iterator[Artifact]:
    fits = [
        FitTask(
            task.model,
            len(task.data.tickers) + 1,
            task.data.training,
            task.data.validation,
            task.training,
            task.seed,
        )
        for task in tasks
    ]
    first = list(trainer.fit(fits))
    final = first
    if tasks and tasks[0].training.refit == "all":
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
        yield Artifact(fitted, data.tickers, data.clip, data.mean, data.std, str(data.trained_until))


def _describe(outcome: Outcome, folds: int) -> str:
    verb = "reused" if outcome.reused else "trained"
    return f"fold {outcome.fold + 1} of {folds}, seed {outcome.seed}: {verb}, {outcome.epochs} epochs"
