"""What the trained networks said, put together: the frames a walk-forward run leaves behind."""

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
from signals.evaluation.naive_predictors import TRIVIAL_PREDICTORS, trivial_scores
from signals.execution.task_result import Outcome
from signals.scores.signal_frame import signal_frame
from signals.walk_forward.quantiles import pinball_losses, quantile_frame, split_quantiles

__all__ = ["Assembly", "SignalResult", "assemble"]


@dataclass(frozen=True, slots=True, repr=False)
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
        One row per fold and seed: slices (those of training and validation end with the last row that was not
        purged), epochs, losses, per-date AUC and rank IC beside trivial predictors; for
        quantiles the pinball loss beside that of the training slice's own quantiles.
    history : DataFrame
        `fold seed epoch loss validation_loss`.
    universe_sizes : dict
        Members of the universe at each date it was drawn.
    seconds : dict
        Wall time of each fold and seed; not reproducible, kept apart from everything that is.
    trained, reused : int
        Networks trained now, and taken from artifacts.
    core_seconds : dict
        Time of all cores for each fold and seed; not reproducible either.
    trainer : dict, optional
        Which trainer made the networks: `name`, `reason`, `versions` and, if there are any, `warnings`; None for a
        model of one's own and one that came trained.
    quantiles : DataFrame, optional
        `date ticker level value`, means over seeds, when `labels.quantiles` asks for them; the middle one is the score.
    warnings : tuple of str
        What the rows lack, see `Dataset.warnings`.
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
        """Sum the result up in a few lines, for a prompt or a notebook."""
        index = self.signals.index
        dates, tickers = (index.get_level_values(level).unique() for level in ("date", "ticker"))
        facts = [
            ("scores", f"{len(index):,} of {len(tickers):,} tickers on {len(dates):,} dates"),
            ("period", f"{dates[0]:%Y-%m-%d} to {dates[-1]:%Y-%m-%d}"),
            ("networks", f"{self.trained:,} trained, {self.reused:,} reused"),
        ]
        if self.trainer is not None:
            facts.append(("trainer", f"{self.trainer['name']}: {self.trainer['reason']}"))
        # every seed of a fold repeats the figure of their mean
        by_fold = self.folds.groupby("fold").first()
        for name, column, digits in (
            ("per-date AUC", "auc_ensemble", ".3f"),
            ("rank IC", "rank_ic_ensemble", ".3f"),
            ("pinball loss", "pinball_ensemble", ".4g"),
            ("of training's quantiles", "pinball_empirical", ".4g"),
        ):
            known = by_fold[column].dropna() if column in by_fold else by_fold.iloc[:0, :0]
            if len(known):
                facts.append((name, f"{known.mean():{digits}}, mean over folds ({len(known)})"))
        return Card("SignalResult", facts, self.warnings)

    def __repr__(self) -> str:
        return self.card().text()

    def _repr_html_(self) -> str:
        return self.card().html()


class Assembly:
    """Folds put together one after the other, in any order, so that none has to be kept whole until the end.

    Parameters
    ----------
    data : Dataset
        What the folds share.
    seeds : sequence of int
        Order of the seeds.
    lookback : int
        Periods the trivial predictors look back.
    """

    def __init__(self, data: Dataset, seeds: Sequence[int], lookback: int) -> None:
        self._data = data
        self._seeds = seeds
        self._lookback = lookback
        self._parts: dict[int, _Part] = {}

    def add(self, fold: FoldData, outcomes: Mapping[int, Outcome]) -> None:
        """Take in a fold and its outcome of every seed."""
        data, number = self._data, fold.fold.number
        tickers = np.asarray(data.panel.tickers, dtype=object)
        date, ticker = data.dates[fold.test_date], tickers[fold.test_ticker]
        said = np.stack([outcomes[seed].scores for seed in self._seeds]).astype(np.float64)
        scores, quantiles = split_quantiles(said)
        levels = data.target.levels
        self._parts[number] = _Part(
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
            rows=_fold_rows(data, fold, self._seeds, scores, quantiles, outcomes, self._lookback),
            history=[
                (number, seed, epoch, loss.loss, loss.validation_loss)
                for seed in self._seeds
                for epoch, loss in enumerate(outcomes[seed].history, start=1)
            ],
            # what they said is in the frames now
            outcomes=[replace(outcomes[seed], scores=np.zeros(0)) for seed in self._seeds],
            quantiles=None if quantiles is None else quantile_frame(date, ticker, quantiles, levels),
        )

    def result(self, trainer: dict[str, Any] | None = None) -> SignalResult:
        """Join everything that was taken in.

        Parameters
        ----------
        trainer : dict, optional
            Facts about the trainer, to be kept with the result.

        Raises
        ------
        InputError
            When there is no test row at all.
        """
        parts = [self._parts[number] for number in sorted(self._parts)]
        if not parts:
            raise InputError(
                "expected test rows in at least one fold; found none; give more history or relax the filters"
            )
        joined = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
        signals = signal_frame(joined.pop("dates"), joined.pop("tickers"), **joined)
        seed_scores = pd.concat([frame for part in parts for frame in part.seed_scores], ignore_index=True)
        seed_scores = seed_scores.sort_values(["date", "ticker", "seed"], ignore_index=True)
        seed_scores["date"] = seed_scores["date"].astype("datetime64[ns]")
        seed_scores["ticker"] = seed_scores["ticker"].astype("str")
        said = [part.quantiles for part in parts if part.quantiles is not None]
        by_row = ["date", "ticker", "level"]
        losses = [row for part in parts for row in part.history]
        history = pd.DataFrame(losses, columns=["fold", "seed", "epoch", "loss", "validation_loss"])
        folds = pd.DataFrame([row for part in parts for row in part.rows])
        outcomes = sorted((o for part in parts for o in part.outcomes), key=lambda o: (o.fold, o.seed))
        done = {f"fold {o.fold} seed {o.seed}": o for o in outcomes}
        return SignalResult(
            signals=signals,
            seed_scores=seed_scores,
            labels=pd.concat([part.labels for part in parts]).sort_index(),
            folds=folds.astype({"fold": np.int32, "epochs": np.int32, "epochs_run": np.int32}),
            history=history.astype({"fold": np.int32, "epoch": np.int32}),
            universe_sizes=self._data.universe_sizes,
            seconds={name: round(o.seconds, 3) for name, o in done.items()},
            trained=sum(not o.reused for o in done.values()),
            reused=sum(o.reused for o in done.values()),
            core_seconds={name: round(o.core_seconds, 3) for name, o in done.items()},
            trainer=trainer,
            quantiles=pd.concat(said).sort_values(by_row, ignore_index=True) if said else None,
            warnings=self._data.warnings,
        )


@dataclass(frozen=True, slots=True)
class _Part:
    """What one fold adds to each frame."""

    columns: dict[str, NDArray[Any]]
    seed_scores: list[pd.DataFrame]
    labels: pd.DataFrame
    rows: list[dict[str, Any]]
    history: list[tuple[int, int, int, float, float]]
    outcomes: list[Outcome]
    quantiles: pd.DataFrame | None = None


def assemble(
    data: Dataset,
    folds: Sequence[FoldData],
    seeds: Sequence[int],
    outcomes: Mapping[tuple[int, int], Outcome],
    lookback: int,
) -> SignalResult:
    """Put the outcomes of all folds and seeds together; parameters and errors are those of `Assembly`."""
    made = Assembly(data, seeds, lookback)
    for fold in folds:
        made.add(fold, {seed: outcomes[fold.fold.number, seed] for seed in seeds})
    return made.result()


def _test_index(data: Dataset, fold: FoldData) -> pd.MultiIndex:
    tickers = np.asarray(data.panel.tickers, dtype=object)
    return pd.MultiIndex.from_arrays(
        [data.dates[fold.test_date].astype("datetime64[ns]"), pd.Index(tickers[fold.test_ticker], dtype="str")],
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
    seeds: Sequence[int],
    scores: NDArray[np.float64],
    quantiles: NDArray[np.float64] | None,
    outcomes: Mapping[int, Outcome],
    lookback: int,
) -> list[dict[str, Any]]:
    index = _test_index(data, fold)
    labels = _labels(data, fold)
    outcome_label = binary_outcome(labels["label"])

    def quality(score: NDArray[np.float64]) -> tuple[float, float]:
        series = pd.Series(score, index=index)
        auc = auc_by_date(series, outcome_label).mean()
        return float(auc), float(rank_ic_by_date(series, labels["forward_return"]).mean())

    cut = fold.fold
    common: dict[str, Any] = {"fold": cut.number}
    # a slice ends with its last row that was not purged
    slices = {
        "train": (cut.train, int(fold.training_date.max(initial=-1))),
        "validation": (cut.validation, int(fold.validation_date.max(initial=-1))),
        "test": (cut.test, cut.test.stop - 1),
    }
    shared = {}
    for name, (span, last) in slices.items():
        for end, position in (("start", span.start), ("end", last)):
            day = data.dates[position] if len(span) else np.datetime64("NaT", "D")  # a model that came trained
            shared[f"{name}_{end}"] = day.astype("datetime64[ns]")
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
    losses = [{}] * len(seeds) if quantiles is None else pinball_losses(data, fold, quantiles)
    rows = []
    for seed, score, loss in zip(seeds, scores, losses, strict=True):
        outcome = outcomes[seed]
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
            | loss
        )
    return rows
