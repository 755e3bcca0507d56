"""Walk-forward run on a panel of stocks: train every fold and seed, and score every test date out of sample."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signals.calendar import as_day
from signals.common.errors import InputError
from signals.common.progress_events import ProgressCallback, ProgressEvent, ignore_progress
from signals.data.prices import Prices
from signals.dataset.dataset import NO_REFERENCE_DATA, Dataset, ReferenceData, make_dataset
from signals.dataset.fold_data import FoldData, check_fold, make_fold_data, make_test_data
from signals.dataset.folds import Fold, WalkForward, make_folds
from signals.dataset.labels import LabelSettings, Target
from signals.dataset.universe import UniverseFilters
from signals.execution.executors import RemainingTime, run_tasks
from signals.execution.fold_tasks import Task, run_custom_tasks, run_tasks_with_trainer, score_saved_model
from signals.execution.task_result import TaskResult
from signals.execution.trainer_choice import TrainerChoice, choose_trainer
from signals.features import check_features
from signals.models.custom import CustomModel
from signals.models.network import NetworkSettings
from signals.models.recurrent_settings import check_horizon
from signals.models.saved_keras import OpenedModel, SavedKerasModel
from signals.trainers.base import Trainer, TrainingSettings, batch_of, loss_used
from signals.walk_forward.results import ResultBuilder, SignalResult, assemble

__all__ = ["Prepared", "SignalResult", "compute_signals", "facts_of", "pick_trainer", "prepare", "usable_seeds"]


def compute_signals(
    prices: Prices,
    *,
    walk_forward: WalkForward,
    universe: UniverseFilters,
    labels: LabelSettings,
    model: NetworkSettings | CustomModel | SavedKerasModel,
    training: TrainingSettings,
    seeds: Sequence[int],
    artifacts: Path,
    frequency: str = "weekly",
    features: Sequence[str] = ("return",),
    reference_data: ReferenceData = NO_REFERENCE_DATA,
    trainer: Trainer | None = None,
    jobs: int = 1,
    on_progress: ProgressCallback = ignore_progress,
    on_first_score: Callable[[NDArray[np.datetime64], Sequence[str]], None] | None = None,
) -> SignalResult:
    """Train models walk-forward on a panel of prices and compute their out-of-sample scores.

    Parameters
    ----------
    prices : Prices
        Checked prices, as returned by `load_prices` or `check_prices`.
    walk_forward : WalkForward
        Dates and lengths of the training, validation and test slices.
    universe : UniverseFilters
        Filters that select the tickers, evaluated at each retraining date.
    labels : LabelSettings
        What the model predicts, and over which horizon.
    training : TrainingSettings
        Settings of the training of a network. Of them a custom model uses `refit_on_validation`, and `epochs` when it
        is a Keras model; a saved model uses none.
    model : NetworkSettings, CustomModel or SavedKerasModel
        A network of this package, a custom model, or a saved Keras model.
    seeds : sequence of int
        Random seeds. One model is trained per fold and seed; the score is the mean over seeds. A deterministic model
        uses only the first seed.
    artifacts : Path
        Folder of trained networks. A network stored there under the same key is not trained again.
    frequency : {"weekly", "daily", "monthly"}
        Frequency of decision dates.
    features : sequence of str
        Inputs of the model at each step, see `signals.features`.
    reference_data : ReferenceData
        Index membership, sectors and macro series.
    trainer : Trainer, optional
        A trainer object, which replaces `training.trainer`; it must be picklable when `jobs` > 1.
    jobs : int
        Number of processes. Results do not depend on it.
    on_progress : callable
        Called with a `ProgressEvent` after every finished network.
    on_first_score : callable, optional
        Called once, when the first out-of-sample scores are known, with all decision dates and tickers that this run
        will score.

    Returns
    -------
    SignalResult
        A score at date t uses prices up to the close of t, and a model whose last label ended by the first date of
        its test slice.

    Raises
    ------
    InputError
        When no training rows are left, because of a short history or an empty universe.
    """
    seeds = usable_seeds(seeds, model)
    check_features(features)
    check_horizon(model, labels.horizon)
    options: dict[str, Any] = {"frequency": frequency, "features": features, "reference_data": reference_data}
    make_data = partial(make_dataset, prices, walk_forward=walk_forward, universe=universe, labels=labels, **options)
    if isinstance(model, SavedKerasModel):
        prepared = _prepare_saved_model(model, make_data, walk_forward)
        assert prepared.opened is not None  # noqa: S101 - set by `_prepare_saved_model`
        result = score_saved_model(prepared.opened, prepared.folds[0], prepared.category)
        if on_first_score is not None:
            on_first_score(*_scored_rows(prepared.data, [prepared.folds[0].fold]))
        return assemble(prepared.data, prepared.folds, seeds, {(0, 0): result}, prepared.opened.lookback)
    data, folds = _make_folds(make_data, walk_forward, model)
    n_tasks = len(folds) * len(seeds)
    trainer_facts: dict[str, Any] | None = None
    run_chunk: Callable[..., list[TaskResult]]
    if isinstance(model, CustomModel):
        run_chunk, at_once = run_custom_tasks, 1
    else:
        choice = pick_trainer(training, model, trainer, max(jobs // max(n_tasks, 1), 1), on_progress)
        training = training.filled(batch_of(choice.trainer))
        trainer_facts = facts_of(choice, training, data.target)
        run_chunk, at_once = (
            partial(run_tasks_with_trainer, trainer=choice.trainer, artifacts=Path(artifacts)),
            choice.trainer.tasks_at_once,
        )

    open_folds: dict[int, FoldData] = {}

    def tasks() -> Iterator[Task]:
        for fold_slices in folds:
            fold_data = open_folds[fold_slices.number] = make_fold_data(data, fold_slices, model)
            for seed in seeds:
                yield Task(fold_data, model, training, seed)

    rows = {(fold_slices.number, seed): n for fold_slices, n in folds.items() for seed in seeds}
    remaining = RemainingTime(rows, min(jobs, max(n_tasks // at_once, 1)))
    builder = ResultBuilder(data, seeds, model.lookback)
    results: dict[int, dict[int, TaskResult]] = {fold_slices.number: {} for fold_slices in folds}
    with closing(run_tasks(tasks(), run_chunk, at_once=at_once, jobs=jobs, n_tasks=n_tasks)) as finished:
        for n_done, result in enumerate(finished, start=1):
            if n_done == 1 and on_first_score is not None:
                on_first_score(*_scored_rows(data, folds))
            by_seed = results[result.fold]
            by_seed[result.seed] = result
            if len(by_seed) == len(seeds):  # only the frames of a finished fold are kept
                builder.add(open_folds.pop(result.fold), results.pop(result.fold))
            if trainer_facts is not None:
                trainer_facts["versions"] = dict(result.versions)
            on_progress(
                ProgressEvent("signals", _describe(result, len(folds)), n_done, n_tasks, remaining.after(result))
            )
    return builder.result(trainer_facts)


@dataclass(frozen=True, slots=True)
class Prepared:
    """Data set and folds, ready for training.

    Parameters
    ----------
    data : Dataset
        Data shared by the folds.
    folds : list of FoldData
        Folds with rows to score.
    opened : OpenedModel, optional
        The loaded network, for a saved Keras model.
    category : ndarray of int32
        This network's ticker id of each row that it scores.
    """

    data: Dataset
    folds: list[FoldData]
    opened: OpenedModel | None = None
    category: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))

    @property
    def lookback(self) -> int:
        """Periods in a window."""
        return self.folds[0].test.windows.lookback


def prepare(
    prices: Prices,
    *,
    walk_forward: WalkForward,
    universe: UniverseFilters,
    labels: LabelSettings,
    model: NetworkSettings | CustomModel | SavedKerasModel,
    frequency: str = "weekly",
    features: Sequence[str] = ("return",),
    reference_data: ReferenceData = NO_REFERENCE_DATA,
) -> Prepared:
    """Prepare data set and folds without training; parameters and errors are those of `compute_signals`."""
    check_features(features)
    check_horizon(model, labels.horizon)
    options: dict[str, Any] = {"frequency": frequency, "features": features, "reference_data": reference_data}
    make_data = partial(make_dataset, prices, walk_forward=walk_forward, universe=universe, labels=labels, **options)
    if isinstance(model, SavedKerasModel):
        return _prepare_saved_model(model, make_data, walk_forward)
    data, folds = _make_folds(make_data, walk_forward, model)
    return Prepared(data, [make_fold_data(data, fold, model) for fold in folds])


def _make_folds(
    make_data: Callable[..., Dataset], walk_forward: WalkForward, model: NetworkSettings | CustomModel
) -> tuple[Dataset, dict[Fold, int]]:
    """Make the data set, and the folds with rows to score, each with its number of training rows.

    An error in the preparation of any fold is raised here, before any training.
    """
    data = make_data(windows=model)
    rows = {fold: check_fold(data, fold) for fold in make_folds(data.dates, walk_forward, first=data.first)}
    scored = {fold: n for fold, n in rows.items() if data.eligible[:, fold.test.start : fold.test.stop].any()}
    return data, scored


def _scored_rows(data: Dataset, folds: Iterable[Fold]) -> tuple[NDArray[np.datetime64], list[str]]:
    """Decision dates and tickers of the test rows of some folds."""
    tested = np.zeros(len(data.dates), dtype=np.bool_)
    for fold in folds:
        tested[fold.test.start : fold.test.stop] = True
    rows = data.eligible & tested
    return data.dates[rows.any(axis=0)], [data.panel.tickers[i] for i in np.flatnonzero(rows.any(axis=1))]


def usable_seeds(seeds: Sequence[int], model: Any) -> list[int]:
    """Return the seeds that a model uses, one for a deterministic model; raises `InputError` for invalid seeds."""
    seeds = list(seeds)
    if not seeds or len(set(seeds)) != len(seeds) or min(seeds) < 0 or max(seeds) >= 2**32:
        raise InputError(f"expected training.seeds as different numbers from 0 to 2^32 - 1; found {seeds}")
    if isinstance(model, SavedKerasModel):
        return [0]
    return seeds[:1] if isinstance(model, CustomModel) and not model.uses_seed else seeds


def _prepare_saved_model(
    model: SavedKerasModel, make_data: Callable[..., Dataset], walk_forward: WalkForward
) -> Prepared:
    """Prepare the rows that a saved Keras model may score, and its ticker ids of these rows."""
    opened = model.open()
    data = make_data(windows=opened)
    fold = make_folds(data.dates, walk_forward, trained=True)[0]
    settings, names = opened.settings, data.features.names
    if opened.n_features != len(names):
        raise InputError(
            f"expected as many features as {settings.path} has, {opened.n_features}; found {len(names)} under "
            f"features.inputs ({', '.join(names)}); list the features it was trained on"
        )
    allowed_outputs = {"probability": (1, 2), "classes": (1, 3), "value": (1,), "quantiles": (data.target.outputs,)}
    if opened.outputs not in allowed_outputs[data.target.kind]:
        raise InputError(
            f"expected the outputs of {settings.path} to match [labels]; found {opened.outputs} numbers per row; "
            "choose the labels.kind it was trained on"
        )
    until = as_day(settings.trained_until, name="model.trained_until")
    first = data.dates[fold.test.start]
    if first < until:
        raise InputError(
            f"expected walk_forward.test_start on or after model.trained_until = {settings.trained_until}; found a "
            f"first score on {first}; scores of dates the network was trained on are not out of sample"
        )
    ids = np.asarray([settings.tickers.get(ticker, -1) for ticker in data.panel.tickers], dtype=np.int32)
    if "ticker" in opened.roles:
        data = replace(data, eligible=data.eligible & (ids >= 0)[:, None])
    test = replace(make_test_data(data, fold, opened), trained_until=until)
    if not len(test.test):
        raise InputError(
            f"expected rows to score from {first} on; found none; give more history, relax the universe filters, or "
            "add the tickers to model.tickers"
        )
    return Prepared(data, [test], opened, ids[test.test_ticker])


def pick_trainer(
    training: TrainingSettings,
    model: NetworkSettings,
    trainer: Trainer | None,
    threads: int,
    on_progress: ProgressCallback,
) -> TrainerChoice:
    """Choose the trainer, before any process starts so that code is compiled once, and report the choice."""

    def announce(text: str) -> None:
        on_progress(ProgressEvent("signals", text))

    if trainer is not None:
        return TrainerChoice(trainer, "as given")
    choice = choose_trainer(training, model, threads=threads, announce=announce)
    suited = training.filled(batch_of(choice.trainer))
    announce(
        f"trainer {choice.trainer.name}: {choice.reason}; batches of {suited.batch_size}, rate {suited.learning_rate:g}"
    )
    for warning in choice.warnings:
        announce(warning)
    return choice


def facts_of(choice: TrainerChoice, training: TrainingSettings, target: Target) -> dict[str, Any]:
    """Facts about the trainer for the result: name, reason, batch size, learning rate, loss and warnings."""
    facts: dict[str, Any] = {
        "name": choice.trainer.name,
        "reason": choice.reason,
        "batch_size": training.batch_size,
        "learning_rate": training.learning_rate,
        "loss": loss_used(target, training),
        "versions": {},
    }
    return facts | ({"warnings": list(choice.warnings)} if choice.warnings else {})


def _describe(result: TaskResult, n_folds: int) -> str:
    verb = "reused" if result.reused else "trained"
    return f"fold {result.fold + 1} of {n_folds}, seed {result.seed}: {verb}, {result.epochs} epochs"
