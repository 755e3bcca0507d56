"""Train every fold and seed, score every test date once, out of sample, and put the signal frame together."""

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
from signals.execution.executors import Remaining, run_tasks
from signals.execution.fold_tasks import Task, score_opened, work, work_own
from signals.execution.task_result import Outcome
from signals.execution.trainer_choice import Choice, choose_trainer
from signals.features import check_features
from signals.models.custom import CustomModel
from signals.models.network import NetworkSettings
from signals.models.recurrent_settings import check_horizon
from signals.models.saved_keras import OpenedModel, SavedKerasModel
from signals.trainers.base import Trainer, TrainingSettings, batch_of, loss_used
from signals.walk_forward.results import Assembly, SignalResult, assemble

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
    """Run the walk-forward.

    Parameters
    ----------
    prices : Prices
        Checked prices.
    walk_forward, universe, labels, training
        Settings.
    model : NetworkSettings, CustomModel or SavedKerasModel
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
    on_progress : callable
        Told of every finished network.
    on_first_score : callable, optional
        Called once, as soon as the first out-of-sample scores are known, with the decision dates and the tickers that
        this walk-forward scores in all.

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
    check_features(features)
    check_horizon(model, labels.horizon)
    options: dict[str, Any] = {"frequency": frequency, "features": features, "reference_data": reference_data}
    make = partial(make_dataset, prices, walk_forward=walk_forward, universe=universe, labels=labels, **options)
    if isinstance(model, SavedKerasModel):
        prepared = _for_opened(model, make, walk_forward)
        assert prepared.opened is not None  # noqa: S101 - just made
        outcome = score_opened(prepared.opened, prepared.folds[0], prepared.category)
        if on_first_score is not None:
            on_first_score(*_scored(prepared.data, [prepared.folds[0].fold]))
        return assemble(prepared.data, prepared.folds, seeds, {(0, 0): outcome}, prepared.opened.lookback)
    data, cuts = _cut(make, walk_forward, model)
    n_tasks = len(cuts) * len(seeds)
    trainer_facts: dict[str, Any] | None = None
    one: Callable[..., list[Outcome]]
    if isinstance(model, CustomModel):
        one, at_once = work_own, 1
    else:
        chosen = pick_trainer(training, model, trainer, max(jobs // max(n_tasks, 1), 1), on_progress)
        training = training.filled(batch_of(chosen.trainer))
        trainer_facts = facts_of(chosen, training, data.target)
        one, at_once = partial(work, trainer=chosen.trainer, artifacts=Path(artifacts)), chosen.trainer.tasks_at_once

    at_work: dict[int, FoldData] = {}

    def tasks() -> Iterator[Task]:
        for cut in cuts:
            fold = at_work[cut.number] = make_fold_data(data, cut, model)
            for seed in seeds:
                yield Task(fold, model, training, seed)

    rows = {(cut.number, seed): n for cut, n in cuts.items() for seed in seeds}
    remaining = Remaining(rows, min(jobs, max(n_tasks // at_once, 1)))
    made = Assembly(data, seeds, model.lookback)
    outcomes: dict[int, dict[int, Outcome]] = {cut.number: {} for cut in cuts}
    with closing(run_tasks(tasks(), one, at_once=at_once, jobs=jobs, n_tasks=n_tasks)) as finished:
        for done, outcome in enumerate(finished, start=1):
            if done == 1 and on_first_score is not None:
                on_first_score(*_scored(data, cuts))
            mine = outcomes[outcome.fold]
            mine[outcome.seed] = outcome
            if len(mine) == len(seeds):  # of a fold that is done nothing is kept but its frames
                made.add(at_work.pop(outcome.fold), outcomes.pop(outcome.fold))
            if trainer_facts is not None:
                trainer_facts["versions"] = dict(outcome.versions)
            on_progress(
                ProgressEvent("signals", _describe(outcome, len(cuts)), done, n_tasks, remaining.after(outcome))
            )
    return made.result(trainer_facts)


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
    model: NetworkSettings | CustomModel | SavedKerasModel,
    frequency: str = "weekly",
    features: Sequence[str] = ("return",),
    reference_data: ReferenceData = NO_REFERENCE_DATA,
) -> Prepared:
    """Do everything up to training; parameters and errors are those of `compute_signals`."""
    check_features(features)
    check_horizon(model, labels.horizon)
    options: dict[str, Any] = {"frequency": frequency, "features": features, "reference_data": reference_data}
    make = partial(make_dataset, prices, walk_forward=walk_forward, universe=universe, labels=labels, **options)
    if isinstance(model, SavedKerasModel):
        return _for_opened(model, make, walk_forward)
    data, cuts = _cut(make, walk_forward, model)
    return Prepared(data, [make_fold_data(data, cut, model) for cut in cuts])


def _cut(
    make: Callable[..., Dataset], walk_forward: WalkForward, model: NetworkSettings | CustomModel
) -> tuple[Dataset, dict[Fold, int]]:
    """Make what the folds share, and cut those that score something; with each the rows it trains on.

    Whatever would keep one of them from being prepared is found here, before anything is trained.
    """
    data = make(windows=model)
    rows = {cut: check_fold(data, cut) for cut in make_folds(data.dates, walk_forward, first=data.first)}
    scored = {cut: n for cut, n in rows.items() if data.eligible[:, cut.test.start : cut.test.stop].any()}
    return data, scored


def _scored(data: Dataset, cuts: Iterable[Fold]) -> tuple[NDArray[np.datetime64], list[str]]:
    """Decision dates and tickers of the test rows of some folds."""
    tested = np.zeros(len(data.dates), dtype=np.bool_)
    for cut in cuts:
        tested[cut.test.start : cut.test.stop] = True
    rows = data.eligible & tested
    return data.dates[rows.any(axis=0)], [data.panel.tickers[i] for i in np.flatnonzero(rows.any(axis=1))]


def usable_seeds(seeds: Sequence[int], model: Any) -> list[int]:
    """Give the seeds a model makes use of: one where there is no chance in it; `InputError` for seeds that are none."""
    seeds = list(seeds)
    if not seeds or len(set(seeds)) != len(seeds) or min(seeds) < 0 or max(seeds) >= 2**32:
        raise InputError(f"expected training.seeds as different numbers from 0 to 2^32 - 1; found {seeds}")
    if isinstance(model, SavedKerasModel):
        return [0]
    return seeds[:1] if isinstance(model, CustomModel) and not model.has_chance else seeds


def _for_opened(model: SavedKerasModel, make: Callable[..., Dataset], walk_forward: WalkForward) -> Prepared:
    """Prepare the rows that a network from elsewhere may score, and its own ids of their tickers."""
    opened = model.open()
    data = make(windows=opened)
    fold = make_folds(data.dates, walk_forward, trained=True)[0]
    settings, names = opened.settings, data.features.names
    if opened.n_features != len(names):
        raise InputError(
            f"expected as many features as {settings.path} has, {opened.n_features}; found {len(names)} under "
            f"features.inputs ({', '.join(names)}); list what it was trained on"
        )
    fits = {"probability": (1, 2), "classes": (1, 3), "value": (1,), "quantiles": (data.target.outputs,)}
    if opened.outputs not in fits[data.target.kind]:
        raise InputError(
            f"expected {settings.path} to say what [labels] asks for; found {opened.outputs} numbers a row; choose the "
            "labels.kind it was trained on"
        )
    until = as_day(settings.trained_until, name="model.trained_until")
    first = data.dates[fold.test.start]
    if first < until:
        raise InputError(
            f"expected walk_forward.test_start on or after model.trained_until = {settings.trained_until}; found a "
            "first "
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


def pick_trainer(
    training: TrainingSettings,
    model: NetworkSettings,
    trainer: Trainer | None,
    threads: int,
    on_progress: ProgressCallback,
) -> Choice:
    """Choose the trainer before any process starts, so that what has to be compiled is compiled once; and say so."""

    def announce(text: str) -> None:
        on_progress(ProgressEvent("signals", text))

    if trainer is not None:
        return Choice(trainer, "as given")
    chosen = choose_trainer(training, model, threads=threads, announce=announce)
    suited = training.filled(batch_of(chosen.trainer))
    announce(
        f"trainer {chosen.trainer.name}: {chosen.reason}; batches of {suited.batch_size}, rate {suited.learning_rate:g}"
    )
    for warning in chosen.warnings:
        announce(warning)
    return chosen


def facts_of(chosen: Choice, training: TrainingSettings, target: Target) -> dict[str, Any]:
    """Say what trains the networks and why that, with the batch and the rate that were left open and the loss used."""
    facts: dict[str, Any] = {
        "name": chosen.trainer.name,
        "reason": chosen.reason,
        "batch_size": training.batch_size,
        "learning_rate": training.learning_rate,
        "loss": loss_used(target, training),
        "versions": {},
    }
    return facts | ({"warnings": list(chosen.warnings)} if chosen.warnings else {})


def _describe(outcome: Outcome, folds: int) -> str:
    verb = "reused" if outcome.reused else "trained"
    return f"fold {outcome.fold + 1} of {folds}, seed {outcome.seed}: {verb}, {outcome.epochs} epochs"
