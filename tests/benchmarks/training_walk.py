"""Whole walk-forward over simulated prices: training time with folds, seeds and processes."""

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

EPOCHS = 5


def make_prices(tickers: int, folds: int) -> Prices:
    """Simulate a market without gaps: one year of windows, four of training, half of validation, one per test fold."""
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
    """Return settings of folds of one size: the published network, four rolling years, half a year of validation."""
    return {
        "walk_forward": WalkForward(test_start="2012-01-01", train="4Y", validation="26W", test="1Y"),
        "universe": UniverseFilters(min_history=1),
        "labels": LabelSettings(kind="above_median"),
        "model": RecurrentSettings(),
    }


def training(trainer: str = "compiled") -> TrainingSettings:
    """Default training without early stopping, so that every run trains on the same number of rows."""
    return TrainingSettings(trainer=trainer, epochs=EPOCHS, patience=EPOCHS)


def walk(prices: Prices, seeds: Sequence[int], *, jobs: int = 1, trainer: str = "compiled") -> float:
    """Compute signals without stored networks; wall seconds after the preparation of data and folds."""
    began: list[float] = []

    def listen(event: ProgressEvent) -> None:
        if not began:  # first event after the selection of the trainer
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
    """Training rows of all epochs."""
    return sum(len(task.data.training) * task.training.epochs for task in tasks)


def work_through(tasks: Sequence[Task], trainer: Trainer) -> None:
    """Train and predict without anything else: the minimum for any number of processes."""
    for task in tasks:
        network, data = network_of(task), task.data
        fit = FitTask(network, data.training, data.validation, task.training, task.seed)
        trainer.predict(network, next(iter(trainer.fit([fit]))).weights, data.test)
