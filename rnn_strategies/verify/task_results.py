"""Results of the networks of a run for its verification: from stored networks, or from the files of the run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.common.storage import read_parquet
from signals.dataset.windows import Samples
from signals.execution.task_result import TaskResult
from signals.models.network import Network
from signals.trainers.base import EpochLoss, FitTask, Fitted, Trainer, Weights, batch_of
from signals.walk_forward.panel_walk_forward import Prepared

__all__ = ["DisagreementError", "FrozenTrainer", "MissingNetworkError", "read_outcomes"]


class DisagreementError(Exception):
    """A file of the run is inconsistent with the others; `file` is its name."""

    def __init__(self, file: str, text: str) -> None:
        super().__init__(text)
        self.file = file


class MissingNetworkError(Exception):
    """A trained network of the run is not stored."""


class FrozenTrainer:
    """A trainer that predicts with stored networks and trains none.

    Parameters
    ----------
    trainer : Trainer
        The trainer of the stored networks.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self.name = trainer.name
        self.tasks_at_once = trainer.tasks_at_once
        self.batch_size = batch_of(trainer)

    def versions(self) -> dict[str, str]:
        """Return the versions of the trainer."""
        return self._trainer.versions()

    def fit(self, tasks: Sequence[FitTask]) -> Iterator[Fitted]:
        """Raise an error for any task, because a task means that its network is not stored.

        Raises
        ------
        MissingNetworkError
            When there is a task.
        """
        if tasks:
            raise MissingNetworkError
        return iter(())

    def predict(self, network: Network, weights: Weights, samples: Samples) -> NDArray[np.float32]:
        """Predict with the trainer."""
        return self._trainer.predict(network, weights, samples)


def read_outcomes(prepared: Prepared, seeds: Sequence[int], folder: Path) -> Iterator[TaskResult]:
    """Read the result of each fold and seed from `seed_scores`, `folds` and `history` of a run.

    Parameters
    ----------
    prepared : Prepared
        Folds of the run.
    seeds : sequence of int
        Seeds of the run.
    folder : Path
        The run folder.

    Raises
    ------
    DisagreementError
        When a file lacks rows of a fold or seed, or has them twice.
    """
    data = prepared.data
    tickers = np.asarray(data.panel.tickers, dtype=object)
    scores = read_parquet(folder / "seed_scores.parquet", index=["seed", "date", "ticker"])["score"]
    folds = read_parquet(folder / "folds.parquet", index=["fold", "seed"])
    history = read_parquet(folder / "history.parquet")
    for name, frame in (("seed_scores.parquet", scores), ("folds.parquet", folds)):
        if not frame.index.is_unique:
            raise DisagreementError(name, f"has two rows of {frame.index[frame.index.duplicated()][0]}")
    for fold in prepared.folds:
        number = fold.fold.number
        days = data.dates[fold.test_date].astype("datetime64[ns]")
        names = tickers[fold.test_ticker]
        for seed in seeds:
            rows = pd.MultiIndex.from_arrays([np.full(len(days), seed), days, names], names=scores.index.names)
            score = scores.reindex(rows)
            if score.isna().any():
                _, day, name = score.index[score.isna()][0]
                text = f"has no score of seed {seed} for {name} on {day:%Y-%m-%d}"
                raise DisagreementError("seed_scores.parquet", text)
            if (number, seed) not in folds.index:
                raise DisagreementError("folds.parquet", f"has no row of fold {number}, seed {seed}")
            rows_of_epochs = history[(history["fold"] == number) & (history["seed"] == seed)]
            pairs = zip(rows_of_epochs["loss"], rows_of_epochs["validation_loss"], strict=True)
            losses = tuple(EpochLoss(*pair) for pair in pairs)
            epochs = int(folds.loc[(number, seed), "epochs"])
            yield TaskResult(number, seed, score.to_numpy(np.float64), epochs, losses, True, 0.0)
