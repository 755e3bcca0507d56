"""Result of a walk-forward run: the frames of scores, labels, folds and history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.common.errors import InputError
from signals.common.summary_card import Card
from signals.dataset.dataset import Dataset
from signals.dataset.fold_data import FoldData
from signals.evaluation.cross_section_metrics import auc_by_date, binary_outcome, rank_ic_by_date
from signals.evaluation.naive_predictors import NAIVE_PREDICTORS, naive_scores
from signals.execution.task_result import TaskResult
from signals.scores.signal_frame import signal_frame
from signals.walk_forward.quantiles import pinball_losses, quantile_frame, split_quantiles

__all__ = ["ResultBuilder", "SignalResult", "assemble"]


@dataclass(frozen=True, slots=True, repr=False)
class SignalResult:
    """Result of a walk-forward run; its frames are the files of a run folder.

    Parameters
    ----------
    signals : DataFrame indexed by (date, ticker)
        `score` (mean over seeds), `score_std` (ddof 0), `fold`, `trained_until`.
    seed_scores : DataFrame
        `date ticker seed score`.
    labels : DataFrame indexed by (date, ticker)
        `label forward_return label_end` of the scored rows whose label is known.
    folds : DataFrame
        One row per fold and seed: slices (training and validation end with the last row that was not purged), epochs,
        losses, per-date AUC and rank IC of the scores and of the naive predictors; for quantiles, the pinball loss of
        the scores and of the training labels' quantiles.
    history : DataFrame
        `fold seed epoch loss validation_loss`.
    universe_sizes : dict
        Number of members of the universe at each date on which it was selected.
    seconds : dict
        Wall time of each fold and seed; not reproducible, so stored separately from reproducible results.
    trained, reused : int
        Number of networks trained in this run, and reused from artifacts.
    core_seconds : dict
        Time of all cores for each fold and seed; not reproducible.
    trainer : dict, optional
        Trainer of the networks: `name`, `reason`, `versions` and, if there are any, `warnings`; None for custom models
        and saved Keras models.
    quantiles : DataFrame, optional
        `date ticker level value`, means over seeds, when `labels.quantiles` asks for them; the middle one is the score.
    warnings : tuple of str
        Warnings about excluded rows, see `Dataset.warnings`.
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
    core_seconds: dict[str, float] = field(default_factory=dict)
    trainer: dict[str, Any] | None = None
    quantiles: pd.DataFrame | None = None
    warnings: tuple[str, ...] = ()

    def card(self) -> Card:
        """Summary of the result in a few lines, for a prompt or a notebook."""
        index = self.signals.index
        dates, tickers = (index.get_level_values(level).unique() for level in ("date", "ticker"))
        facts = [
            ("scores", f"{len(index):,} of {len(tickers):,} tickers on {len(dates):,} dates"),
            ("period", f"{dates[0]:%Y-%m-%d} to {dates[-1]:%Y-%m-%d}"),
            ("networks", f"{self.trained:,} trained, {self.reused:,} reused"),
        ]
        if self.trainer is not None:
            facts.append(("trainer", f"{self.trainer['name']}: {self.trainer['reason']}"))
        # the figure of the ensemble is the same in the rows of all seeds of a fold
        by_fold = self.folds.groupby("fold").first()
        for name, column, digits in (
            ("per-date AUC", "auc_ensemble", ".3f"),
            ("rank IC", "rank_ic_ensemble", ".3f"),
            ("pinball loss", "pinball_ensemble", ".4g"),
            ("pinball of training quantiles", "pinball_empirical", ".4g"),
        ):
            known = by_fold[column].dropna() if column in by_fold else by_fold.iloc[:0, :0]
            if len(known):
                facts.append((name, f"{known.mean():{digits}}, mean over folds ({len(known)})"))
        return Card("SignalResult", facts, self.warnings)

    def __repr__(self) -> str:
        return self.card().text()

    def _repr_html_(self) -> str:
        return self.card().html()


class ResultBuilder:
    """Builder of a `SignalResult` from folds in any order, which keeps of each fold only its frames.

    Parameters
    ----------
    data : Dataset
        Data shared by the folds.
    seeds : sequence of int
        Order of the seeds.
    lookback : int
        Number of periods that the naive predictors look back.
    """

    def __init__(self, data: Dataset, seeds: Sequence[int], lookback: int) -> None:
        self._data = data
        self._seeds = seeds
        self._lookback = lookback
        self._frames_by_fold: dict[int, _FoldFrames] = {}

    def add(self, fold: FoldData, results: Mapping[int, TaskResult]) -> None:
        """Add a fold with the task result of every seed."""
        data, number = self._data, fold.fold.number
        tickers = np.asarray(data.panel.tickers, dtype=object)
        date, ticker = data.dates[fold.test_date], tickers[fold.test_ticker]
        y_pred = np.stack([results[seed].scores for seed in self._seeds]).astype(np.float64)
        scores, quantiles = split_quantiles(y_pred)
        levels = data.target.levels
        self._frames_by_fold[number] = _FoldFrames(
            columns={
                "dates": date,
                "tickers": ticker,
                "score": scores.mean(axis=0),
                "score_std": scores.std(axis=0),
                "fold": np.full(len(date), number),
                "trained_until": np.full(len(date), fold.trained_until),
            },
            seed_scores=[
                pd.DataFrame({"date": date, "ticker": ticker, "seed": seed, "score": score})
                for seed, score in zip(self._seeds, scores, strict=True)
            ],
            labels=_labels(data, fold),
            rows=_fold_rows(data, fold, self._seeds, scores, quantiles, results, self._lookback),
            history=[
                (number, seed, epoch, loss.loss, loss.validation_loss)
                for seed in self._seeds
                for epoch, loss in enumerate(results[seed].history, start=1)
            ],
            # the scores are in the frames
            task_results=[replace(results[seed], scores=np.zeros(0)) for seed in self._seeds],
            quantiles=None if quantiles is None else quantile_frame(date, ticker, quantiles, levels),
        )

    def result(self, trainer: dict[str, Any] | None = None) -> SignalResult:
        """Concatenate the frames of all folds that were added.

        Parameters
        ----------
        trainer : dict, optional
            Facts about the trainer, stored in the result.

        Raises
        ------
        InputError
            When there is no test row.
        """
        folds_frames = [self._frames_by_fold[number] for number in sorted(self._frames_by_fold)]
        if not folds_frames:
            raise InputError(
                "expected test rows in at least one fold; found none; give more history or relax the filters"
            )
        joined = {
            name: np.concatenate([frames.columns[name] for frames in folds_frames]) for name in folds_frames[0].columns
        }
        signals = signal_frame(joined.pop("dates"), joined.pop("tickers"), **joined)
        seed_scores = pd.concat([frame for frames in folds_frames for frame in frames.seed_scores], ignore_index=True)
        seed_scores = seed_scores.sort_values(["date", "ticker", "seed"], ignore_index=True)
        seed_scores["date"] = seed_scores["date"].astype("datetime64[ns]")
        seed_scores["ticker"] = seed_scores["ticker"].astype("str")
        quantiles_by_fold = [frames.quantiles for frames in folds_frames if frames.quantiles is not None]
        by_row = ["date", "ticker", "level"]
        losses = [row for frames in folds_frames for row in frames.history]
        history = pd.DataFrame(losses, columns=["fold", "seed", "epoch", "loss", "validation_loss"])
        folds = pd.DataFrame([row for frames in folds_frames for row in frames.rows])
        task_results = sorted(
            (o for frames in folds_frames for o in frames.task_results), key=lambda o: (o.fold, o.seed)
        )
        results_by_name = {f"fold {o.fold} seed {o.seed}": o for o in task_results}
        return SignalResult(
            signals=signals,
            seed_scores=seed_scores,
            labels=pd.concat([frames.labels for frames in folds_frames]).sort_index(),
            folds=folds.astype({"fold": np.int32, "epochs": np.int32, "epochs_run": np.int32}),
            history=history.astype({"fold": np.int32, "epoch": np.int32}),
            universe_sizes=self._data.universe_sizes,
            seconds={name: round(o.seconds, 3) for name, o in results_by_name.items()},
            trained=sum(not o.reused for o in results_by_name.values()),
            reused=sum(o.reused for o in results_by_name.values()),
            core_seconds={name: round(o.core_seconds, 3) for name, o in results_by_name.items()},
            trainer=trainer,
            quantiles=pd.concat(quantiles_by_fold).sort_values(by_row, ignore_index=True)
            if quantiles_by_fold
            else None,
            warnings=self._data.warnings,
        )


@dataclass(frozen=True, slots=True)
class _FoldFrames:
    """Rows of one fold in each frame."""

    columns: dict[str, NDArray[Any]]
    seed_scores: list[pd.DataFrame]
    labels: pd.DataFrame
    rows: list[dict[str, Any]]
    history: list[tuple[int, int, int, float, float]]
    task_results: list[TaskResult]
    quantiles: pd.DataFrame | None = None


def assemble(
    data: Dataset,
    folds: Sequence[FoldData],
    seeds: Sequence[int],
    task_results: Mapping[tuple[int, int], TaskResult],
    lookback: int,
) -> SignalResult:
    """Build the result from the task results of all folds and seeds; parameters and errors as in `ResultBuilder`."""
    builder = ResultBuilder(data, seeds, lookback)
    for fold in folds:
        builder.add(fold, {seed: task_results[fold.fold.number, seed] for seed in seeds})
    return builder.result()


def _test_index(data: Dataset, fold: FoldData) -> pd.MultiIndex:
    tickers = np.asarray(data.panel.tickers, dtype=object)
    return pd.MultiIndex.from_arrays(
        [data.dates[fold.test_date].astype("datetime64[ns]"), pd.Index(tickers[fold.test_ticker], dtype="str")],
        names=["date", "ticker"],
    )


def _labels(data: Dataset, fold: FoldData) -> pd.DataFrame:
    """Labels of the test rows that are known by the end of the data."""
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
    seeds: Sequence[int],
    scores: NDArray[np.float64],
    quantiles: NDArray[np.float64] | None,
    task_results: Mapping[int, TaskResult],
    lookback: int,
) -> list[dict[str, Any]]:
    index = _test_index(data, fold)
    labels = _labels(data, fold)
    outcome_label = binary_outcome(labels["label"])

    def quality(score: NDArray[np.float64]) -> tuple[float, float]:
        series = pd.Series(score, index=index)
        auc = auc_by_date(series, outcome_label).mean()
        return float(auc), float(rank_ic_by_date(series, labels["forward_return"]).mean())

    slices_of_fold = fold.fold
    common: dict[str, Any] = {"fold": slices_of_fold.number}
    # a slice ends with its last row that was not purged
    slices = {
        "train": (slices_of_fold.train, int(fold.training_date.max(initial=-1))),
        "validation": (slices_of_fold.validation, int(fold.validation_date.max(initial=-1))),
        "test": (slices_of_fold.test, slices_of_fold.test.stop - 1),
    }
    shared = {}
    for name, (span, last) in slices.items():
        for end, position in (("start", span.start), ("end", last)):
            # a saved Keras model has no training and validation slices
            day = data.dates[position] if len(span) else np.datetime64("NaT", "D")
            shared[f"{name}_{end}"] = day.astype("datetime64[ns]")
    shared["trained_until"] = fold.trained_until.astype("datetime64[ns]")
    shared |= {
        "train_rows": len(fold.training),
        "validation_rows": len(fold.validation),
        "test_rows": len(fold.test),
        "tickers": len(fold.tickers),
    }
    naive_metrics = {}
    naive = naive_scores(
        data.returns,
        fold.test_ticker,
        fold.test_date,
        lookback=lookback,
        training_label=fold.training.label.astype(np.float64),
        training_ticker=fold.training_ticker,
    )
    for name in NAIVE_PREDICTORS:
        naive_metrics[f"auc_{name}"], naive_metrics[f"rank_ic_{name}"] = quality(naive[name])
    ensemble = quality(scores.mean(axis=0))
    losses = [{}] * len(seeds) if quantiles is None else pinball_losses(data, fold, quantiles)
    rows = []
    for seed, score, loss in zip(seeds, scores, losses, strict=True):
        result = task_results[seed]
        best_epoch = result.history[result.epochs - 1] if 0 < result.epochs <= len(result.history) else None
        auc, rank_ic = quality(score)
        rows.append(
            common
            | {"seed": seed}
            | shared
            | {
                "epochs": result.epochs,
                "epochs_run": len(result.history),
                "train_loss": best_epoch.loss if best_epoch else np.nan,
                "validation_loss": best_epoch.validation_loss if best_epoch else np.nan,
                "auc": auc,
                "rank_ic": rank_ic,
                "auc_ensemble": ensemble[0],
                "rank_ic_ensemble": ensemble[1],
            }
            | naive_metrics
            | loss
        )
    return rows
