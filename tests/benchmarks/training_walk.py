"""A whole walk-forward over simulated prices: what training comes to where folds, seeds and processes enter."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from signals.common.progress_events import ProgressEvent
from signals.data.prices import Prices
from signals.dataset.folds import WalkForward
from signals.dataset.labels import LabelSettings
from signals.dataset.universe import UniverseFilters
from signals.execution.fold_tasks import Task, network_of
from signals.models.recurrent_settings import RecurrentSettings
from signals.sources.simulated import SimulatedSource
from signals.trainers.base import FitTask, Trainer, TrainingSettings
from signals.walk_forward.panel_walk_forward import compute_signals, prepare

__all__ = ["make_prices", "make_tasks", "rows_learnt", "settings", "walk", "work_through"]

PASSES = 5


def make_prices(tickers: int, folds: int) -> Prices:
    """Simulate a market without gaps: a year to look back, four to learn, half to choose, then a year for each fold."""
    source = SimulatedSource(
        n_tickers=tickers,
        start="2006-05-01",
        end=f"{2011 + folds}-12-31",
        listing_fraction=0.0,
        delisting_fraction=0.0,
        missing_rate=0.0,
    )
    return source.load()


def settings() -> dict[str, Any]:
    """Give what makes folds of one size: the published network, four rolling years, judged on half a year."""
    return {
        "walk_forward": WalkForward(test_start="2012-01-01", train="4Y", validation="26W", test="1Y"),
        "universe": UniverseFilters(min_history=1),
        "labels": LabelSettings(kind="above_median"),
        "model": RecurrentSettings(),
    }


def training(trainer: str = "compiled") -> TrainingSettings:
    """Default training without an early end, so that every run learns as many rows."""
    return TrainingSettings(trainer=trainer, epochs=PASSES, patience=PASSES)


def walk(prices: Prices, seeds: Sequence[int], *, jobs: int = 1, trainer: str = "compiled") -> float:
    """Compute signals from nothing; wall seconds from the end of what happens once (data, folds) to the frames."""
    began: list[float] = []

    def listen(event: ProgressEvent) -> None:
        if not began:  # the trainer has just been chosen
            began.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as artifacts:
        compute_signals(
            prices, **settings(), training=training(trainer), seeds=seeds, artifacts=Path(artifacts), jobs=jobs,
            on_progress=listen,
        )  # fmt: skip
        return time.perf_counter() - began[0]


def make_tasks(prices: Prices, seeds: Sequence[int]) -> list[Task]:
    """Prepare the networks of such a run."""
    made = settings()
    return [Task(fold, made["model"], training(), seed) for fold in prepare(prices, **made).folds for seed in seeds]


def rows_learnt(tasks: Sequence[Task]) -> int:
    """Rows of all passes."""
    return sum(len(task.data.training) * task.training.epochs for task in tasks)


def work_through(tasks: Sequence[Task], trainer: Trainer) -> None:
    """Train and score, and nothing else: what no arrangement of processes can save."""
    for task in tasks:
        network, data = network_of(task), task.data
        fit = FitTask(network, data.training, data.validation, task.training, task.seed)
        trainer.predict(network, next(iter(trainer.fit([fit]))).weights, data.test)
