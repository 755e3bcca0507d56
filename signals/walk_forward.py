"""Train every fold and seed, score every test date once, out of sample, and put the signal frame together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signals.assembly import Outcome, SignalResult, assemble
from signals.calendar import as_day
from signals.dataset import NOTHING_BESIDE, Beside, Dataset, make_dataset
from signals.errors import InputError
from signals.events import Event, Listener, silent
from signals.features import check_features
from signals.fold_data import FoldData, make_fold_data, make_test_data
from signals.folds import Fold, WalkForward, make_folds
from signals.labels import LabelSettings
from signals.models.external import KerasModel, OpenedModel
from signals.models.own import OwnModel
from signals.models.stacked_lstm import ModelSettings
from signals.prices import Prices
from signals.tasks import Task, score_opened, work, work_own
from signals.trainers import make_trainer
from signals.trainers.seam import Trainer, TrainingSettings
from signals.universe import UniverseFilters

__all__ = ["Prepared", "SignalResult", "compute_signals", "prepare", "usable_seeds"]


def compute_signals(
    prices: Prices,
    *,
    walk_forward: WalkForward,
    universe: UniverseFilters,
    labels: LabelSettings,
    model: ModelSettings | OwnModel | KerasModel,
    training: TrainingSettings,
    seeds: Sequence[int],
    artifacts: Path,
    frequency: str = "weekly",
    features: Sequence[str] = ("return",),
    beside: Beside = NOTHING_BESIDE,
    trainer: Trainer | None = None,
    jobs: int = 1,
    listener: Listener = silent,
) -> SignalResult:
    """Run the walk-forward.

    Parameters
    ----------
    prices : Prices
        Checked prices.
    walk_forward, universe, labels, training
        Settings.
    model : ModelSettings, OwnModel or KerasModel
        The network of this project, a model of one's own, or a network that comes trained.
    seeds : sequence of int
        One model per fold and seed; the score is the mean over seeds. A model without chance in it has one.
    artifacts : Path
        Folder of trained networks. What is there under the same key is not trained again.
    frequency : {"weekly", "daily", "monthly"}
        Rhythm of decision dates.
    features : sequence of str
        What the model sees at each step, see `signals.features`.
    beside : Beside
        Index membership, sectors and macro series.
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
    seeds = usable_seeds(seeds, model)
    prepared = prepare(
        prices,
        walk_forward=walk_forward,
        universe=universe,
        labels=labels,
        model=model,
        frequency=frequency,
        features=features,
        beside=beside,
    )
    data, folds = prepared.data, prepared.folds
    if prepared.opened is not None:
        outcome = score_opened(prepared.opened, folds[0], prepared.category)
        return assemble(data, folds, seeds, {(0, 0): outcome}, prepared.opened.lookback)
    assert not isinstance(model, KerasModel)  # noqa: S101 - opened above
    tasks = [Task(fold, model, training, seed) for fold in folds for seed in seeds]
    one: Callable[..., list[Outcome]]
    if isinstance(model, OwnModel):
        one, at_once = work_own, 1
    else:
        made = trainer or make_trainer(training.trainer)
        one, at_once = partial(work, trainer=made, artifacts=Path(artifacts)), made.tasks_at_once

    outcomes: dict[tuple[int, int], Outcome] = {}
    for outcome in _run(tasks, one, at_once, jobs):
        outcomes[outcome.fold, outcome.seed] = outcome
        listener(Event("signals", _describe(outcome, len(folds)), len(outcomes), len(tasks)))
    return assemble(data, folds, seeds, outcomes, model.lookback)


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything up to training.

    Parameters
    ----------
    data : Dataset
        What the folds share.
    folds : list of FoldData
        Folds with rows to score.
    opened : OpenedModel, optional
        The network, when it comes trained.
    category : ndarray of int32
        That network's own id of the ticker of each row it scores.
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
    model: ModelSettings | OwnModel | KerasModel,
    frequency: str = "weekly",
    features: Sequence[str] = ("return",),
    beside: Beside = NOTHING_BESIDE,
) -> Prepared:
    """Do everything up to training; parameters and errors are those of `compute_signals`."""
    check_features(features)
    make = partial(
        make_dataset,
        prices,
        frequency=frequency,
        universe=universe,
        labels=labels,
        walk_forward=walk_forward,
        features=features,
        beside=beside,
    )
    if isinstance(model, KerasModel):
        opened = model.open()
        data = make(windows=opened)
        return _for_opened(opened, data, make_folds(data.dates, walk_forward, trained=True)[0])
    data = make(windows=model)
    folds = [make_fold_data(data, fold, model) for fold in make_folds(data.dates, walk_forward, first=data.first)]
    return Prepared(data, [fold for fold in folds if len(fold.test)])


def usable_seeds(seeds: Sequence[int], model: Any) -> list[int]:
    """Give the seeds a model makes use of: one where there is no chance in it; `InputError` for seeds that are none."""
    seeds = list(seeds)
    if not seeds or len(set(seeds)) != len(seeds) or min(seeds) < 0 or max(seeds) >= 2**32:
        raise InputError(f"expected training.seeds as different numbers from 0 to 2^32 - 1; found {seeds}")
    if isinstance(model, KerasModel):
        return [0]
    return seeds[:1] if isinstance(model, OwnModel) and not model.has_chance else seeds


def _for_opened(opened: OpenedModel, data: Dataset, fold: Fold) -> Prepared:
    """Prepare the rows that a network from elsewhere may score, and its own ids of their tickers."""
    settings, names = opened.settings, data.features.names
    if opened.n_features != len(names):
        raise InputError(
            f"expected as many features as {settings.path} has, {opened.n_features}; found {len(names)} under "
            f"features.inputs ({', '.join(names)}); list what it was trained on"
        )
    fits = {"probability": (1, 2), "classes": (1, 3), "value": (1,)}
    if opened.outputs not in fits[data.target.kind]:
        raise InputError(
            f"expected {settings.path} to say what [labels] asks for; found {opened.outputs} numbers a row; choose the "
            "labels.kind it was trained on"
        )
    until = as_day(settings.trained_until, name="model.trained_until")
    first = data.dates[fold.test.start]
    if first < until:
        raise InputError(
            f"expected walk_forward.start on or after model.trained_until = {settings.trained_until}; found a first "
            f"score on {first}; scores of dates the network was trained on prove nothing"
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


def _run(tasks: list[Task], one: Callable[..., list[Outcome]], at_once: int, jobs: int) -> Iterator[Outcome]:
    chunks = [tasks[i : i + at_once] for i in range(0, len(tasks), at_once)]
    if jobs <= 1 or len(chunks) <= 1:
        for chunk in chunks:
            yield from one(chunk)
        return
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    # One thread a process: two processes with one thread each train more than one with two. `pre_dispatch` bounds
    # memory to the tasks in flight.
    parallel = Parallel(
        n_jobs=min(jobs, len(chunks)), return_as="generator_unordered", pre_dispatch="n_jobs", batch_size=1
    )
    try:
        for outcomes in parallel(delayed(one)(chunk, single_thread=True) for chunk in chunks):
            yield from outcomes
    except TerminatedWorkerError as error:
        raise InputError(
            "expected every training process to finish; found one killed, most often for want of memory; "
            "run again with fewer --jobs (finished networks are kept)"
        ) from error


def _describe(outcome: Outcome, folds: int) -> str:
    verb = "reused" if outcome.reused else "trained"
    return f"fold {outcome.fold + 1} of {folds}, seed {outcome.seed}: {verb}, {outcome.epochs} epochs"
