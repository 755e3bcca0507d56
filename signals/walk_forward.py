"""Train every fold and seed, score every test date once, out of sample, and put the signal frame together."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.artifacts import Artifact, ArtifactStore, artifact_key
from signals.dataset import Dataset, FoldData, make_dataset, make_fold_data
from signals.diagnostics import auc_by_date, rank_ic_by_date
from signals.errors import InputError
from signals.events import Event, Listener, silent
from signals.folds import WalkForward, make_folds
from signals.frames import signal_frame
from signals.labels import LabelSettings
from signals.models.stacked_lstm import ModelSettings
from signals.prices import Prices
from signals.trainers import make_trainer
from signals.trainers.seam import EpochLoss, FitTask, Trainer, TrainingSettings
from signals.trivial import TRIVIAL_PREDICTORS, trivial_scores
from signals.universe import UniverseFilters

__all__ = ["SignalResult", "compute_signals"]


@dataclass(frozen=True, slots=True)
class SignalResult:
    """What a walk-forward run leaves behind; the frames are the files of a run directory.

    Parameters
    ----------
    signals : DataFrame indexed by (date, ticker)
        `score` (mean over seeds), `score_std` (ddof 0), `fold`, `trained_until`.
    seed_scores : DataFrame
        `date ticker seed score`.
    labels : DataFrame indexed by (date, ticker)
        `label forward_return label_end` of the scored rows whose outcome is known.
    folds : DataFrame
        One row per fold and seed: slices, epochs, losses, per-date AUC and rank IC beside trivial predictors.
    history : DataFrame
        `fold seed epoch loss validation_loss`.
    universe_sizes : dict
        Members of the universe at each date it was drawn.
    seconds : dict
        Wall time of each fold and seed; not reproducible, kept apart from everything that is.
    trained, reused : int
        Networks trained now, and taken from artifacts.
    """

    signals: pd.DataFrame
    seed_scores: pd.DataFrame
    labels: pd.DataFrame
    folds: pd.DataFrame
    history: pd.DataFrame
    universe_sizes: dict[str, int]
    seconds: dict[str, float]
    trained: int
    reused: int


@dataclass(frozen=True, slots=True)
class _Task:
    data: FoldData
    model: ModelSettings
    training: TrainingSettings
    seed: int


@dataclass(frozen=True, slots=True)
class _Outcome:
    fold: int
    seed: int
    scores: NDArray[np.float32]
    epochs: int
    history: tuple[EpochLoss, ...]
    reused: bool
    seconds: float


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
    if not seeds or len(set(seeds)) != len(seeds) or min(seeds) < 0:
        raise InputError(f"expected training.seeds as different non-negative numbers like [0, 1, 2]; found {seeds}")
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

    outcomes: dict[tuple[int, int], _Outcome] = {}
    for outcome in _run(tasks, made, Path(artifacts), jobs):
        outcomes[outcome.fold, outcome.seed] = outcome
        listener(Event("signals", _describe(outcome, len(prepared)), len(outcomes), len(tasks)))
    return _assemble(data, prepared, seeds, outcomes, model.lookback)


def _run(tasks: list[_Task], trainer: Trainer, artifacts: Path, jobs: int) -> Iterator[_Outcome]:
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


def _work(tasks: list[_Task], trainer: Trainer, artifacts: Path, *, single_thread: bool = False) -> list[_Outcome]:
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
            _Outcome(
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


def _describe(outcome: _Outcome, folds: int) -> str:
    verb = "reused" if outcome.reused else "trained"
    return f"fold {outcome.fold + 1} of {folds}, seed {outcome.seed}: {verb}, {outcome.epochs} epochs"


def _assemble(
    data: Dataset,
    folds: list[FoldData],
    seeds: list[int],
    outcomes: dict[tuple[int, int], _Outcome],
    lookback: int,
) -> SignalResult:
    tickers = np.asarray(data.panel.tickers, dtype=object)
    parts: dict[str, list[NDArray[Any]]] = {}
    seed_parts, fold_rows, history_rows = [], [], []
    for fold in folds:
        date, ticker = data.dates[fold.test_date], tickers[fold.test_ticker]
        scores = np.stack([outcomes[fold.fold.number, seed].scores for seed in seeds]).astype(np.float64)
        columns = {
            "dates": date,
            "tickers": ticker,
            "score": scores.mean(axis=0),
            "score_std": scores.std(axis=0),
            "fold": np.full(len(date), fold.fold.number),
            "trained_until": np.full(len(date), fold.trained_until),
        }
        for name, column in columns.items():
            parts.setdefault(name, []).append(column)
        for seed, score in zip(seeds, scores, strict=True):
            seed_parts.append(pd.DataFrame({"date": date, "ticker": ticker, "seed": seed, "score": score}))
            for epoch, loss in enumerate(outcomes[fold.fold.number, seed].history, start=1):
                history_rows.append((fold.fold.number, seed, epoch, loss.loss, loss.validation_loss))
        fold_rows += _fold_rows(data, fold, seeds, scores, outcomes, lookback)

    joined = {name: np.concatenate(columns) for name, columns in parts.items()}
    if not joined:
        raise InputError("expected test rows in at least one fold; found none; give more history or relax the filters")
    signals = signal_frame(joined.pop("dates"), joined.pop("tickers"), **joined)
    seed_scores = pd.concat(seed_parts, ignore_index=True).sort_values(["date", "ticker", "seed"], ignore_index=True)
    seed_scores["date"] = seed_scores["date"].astype("datetime64[ns]")
    seed_scores["ticker"] = seed_scores["ticker"].astype(object)
    history = pd.DataFrame(history_rows, columns=["fold", "seed", "epoch", "loss", "validation_loss"])
    return SignalResult(
        signals=signals,
        seed_scores=seed_scores,
        labels=pd.concat([_labels(data, fold) for fold in folds]).sort_index(),
        folds=pd.DataFrame(fold_rows).astype({"fold": np.int32, "epochs": np.int32, "epochs_run": np.int32}),
        history=history.astype({"fold": np.int32, "epoch": np.int32}),
        universe_sizes=data.universe_sizes,
        seconds={f"fold {f} seed {s}": round(o.seconds, 3) for (f, s), o in sorted(outcomes.items())},
        trained=sum(not o.reused for o in outcomes.values()),
        reused=sum(o.reused for o in outcomes.values()),
    )


def _test_index(data: Dataset, fold: FoldData) -> pd.MultiIndex:
    tickers = np.asarray(data.panel.tickers, dtype=object)
    return pd.MultiIndex.from_arrays(
        [data.dates[fold.test_date].astype("datetime64[ns]"), pd.Index(tickers[fold.test_ticker], dtype=object)],
        names=["date", "ticker"],
    )


def _labels(data: Dataset, fold: FoldData) -> pd.DataFrame:
    """Outcomes of the test rows that are known by the end of the data."""
    rows = (fold.test_ticker, fold.test_date)
    known = data.labels.end[rows] >= 0
    frame = pd.DataFrame(
        {
            "label": data.labels.label[rows],
            "forward_return": data.labels.forward_return[rows],
            "label_end": data.panel.dates[np.maximum(data.labels.end[rows], 0)].astype("datetime64[ns]"),
        },
        index=_test_index(data, fold),
    )
    return frame[known]


def _fold_rows(
    data: Dataset,
    fold: FoldData,
    seeds: list[int],
    scores: NDArray[np.float64],
    outcomes: dict[tuple[int, int], _Outcome],
    lookback: int,
) -> list[dict[str, Any]]:
    index = _test_index(data, fold)
    labels = _labels(data, fold)

    def quality(score: NDArray[np.float64]) -> tuple[float, float]:
        series = pd.Series(score, index=index)
        auc = auc_by_date(series, labels["label"]).mean()
        return float(auc), float(rank_ic_by_date(series, labels["forward_return"]).mean())

    cut = fold.fold
    common: dict[str, Any] = {"fold": cut.number}
    slices = {"train": cut.train, "validation": cut.validation, "test": cut.test}
    shared = {}
    for name, span in slices.items():
        for end, position in (("start", span.start), ("end", span.stop - 1)):
            shared[f"{name}_{end}"] = data.dates[position].astype("datetime64[ns]")
    shared["trained_until"] = fold.trained_until.astype("datetime64[ns]")
    shared |= {
        "train_rows": len(fold.training),
        "validation_rows": len(fold.validation),
        "test_rows": len(fold.test),
        "tickers": len(fold.tickers),
    }
    beside = {}
    trivial = trivial_scores(
        data.returns,
        fold.test_ticker,
        fold.test_date,
        lookback=lookback,
        training_label=fold.training.label.astype(np.float64),
        training_ticker=fold.training_ticker,
    )
    for name in TRIVIAL_PREDICTORS:
        beside[f"auc_{name}"], beside[f"rank_ic_{name}"] = quality(trivial[name])
    together = quality(scores.mean(axis=0))
    rows = []
    for seed, score in zip(seeds, scores, strict=True):
        outcome = outcomes[cut.number, seed]
        kept = outcome.history[outcome.epochs - 1] if 0 < outcome.epochs <= len(outcome.history) else None
        auc, rank_ic = quality(score)
        rows.append(
            common
            | {"seed": seed}
            | shared
            | {
                "epochs": outcome.epochs,
                "epochs_run": len(outcome.history),
                "train_loss": kept.loss if kept else np.nan,
                "validation_loss": kept.validation_loss if kept else np.nan,
                "auc": auc,
                "rank_ic": rank_ic,
                "auc_ensemble": together[0],
                "rank_ic_ensemble": together[1],
            }
            | beside
        )
    return rows
