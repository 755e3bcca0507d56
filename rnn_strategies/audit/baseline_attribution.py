"""How much of a score's skill is trivial: known to a ticker's mean, its last return, its volatility, or its death."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rnn_strategies.audit.check_result import Status, Verdict
from rnn_strategies.audit.score_skill import MEASURES, Skill, beyond, measure, pooled_beyond, shown
from signals.dataset.dataset import Dataset
from signals.evaluation.cross_section_metrics import binary_outcome
from signals.evaluation.long_run_variance import TOO_FEW_DATES, MeanInterval
from signals.evaluation.naive_predictors import (
    DATE_PREDICTORS,
    MORE_PREDICTORS,
    NOTHING,
    TRIVIAL_PREDICTORS,
    more_trivial_scores,
    trivial_scores,
)
from signals.evaluation.pooled_metrics import area_under_curve, outcome_over_time, pooled_auc

__all__ = ["NAME", "explained"]

NAME = "baseline-attribution"

PREDICTORS = (*TRIVIAL_PREDICTORS, *MORE_PREDICTORS)
WITHIN = tuple(name for name in PREDICTORS if name not in DATE_PREDICTORS)
WORDS = {
    "last_return": "last return",
    "mean_return": "mean return of the window",
    "volatility": "volatility of the window",
    "ticker_mean": "the ticker's mean label in training",
    "last_sign": "sign of the last return",
    "was_zero": "was zero before",
    "month_mean": "the month's mean label in training",
    "market": "direction of the market",
}
SAID = {"auc": "per-date AUC", "rank_ic": "rank IC", "pooled": "pooled AUC"}
# Skill below this is not worth failing over: so little moves with any hundredth of the rows.
MATERIAL = {"auc": 0.01, "rank_ic": 0.02, "pooled": 0.01}
# An AUC that rows without movement change by this much, in whichever direction, is not one of the others.
MOVED = 0.02
# Shares of the skill that are left without the rows that did not move.
THIRD, HALF = 1 / 3, 1 / 2


def explained(
    signals: pd.DataFrame,
    labels: pd.DataFrame,
    data: Dataset,
    *,
    lookback: int,
    horizon: int,
    folds: pd.DataFrame | None = None,
) -> Verdict:
    """Compare a score with predictors that know nothing, and look at what it says beyond them.

    Parameters
    ----------
    signals : DataFrame indexed by (date, ticker)
        `score`, `fold`, `trained_until`.
    labels : DataFrame indexed by (date, ticker)
        `label` and `forward_return` of the scored rows whose outcome is known.
    data : Dataset
        Returns, universe and labels that the folds share.
    lookback : int
        Periods in a window of the model.
    horizon : int
        Decision dates that an outcome covers, `labels.horizon`.
    folds : DataFrame, optional
        `folds.parquet`; its training slices are those of the predictors that learn. Without it they learn from
        whatever was known by the first date of a fold.

    Returns
    -------
    Verdict
        Failed when there is skill, and two thirds of it go with the rows whose last return was exactly zero (or half,
        and what remains is not certain): names that are dead, halted or hardly traded. Noted when half goes with them
        or they move an AUC otherwise, when nothing certain is left beyond the trivial predictors, and when the score
        knows which dates are good but not which tickers. Passed otherwise, and when there is no skill to explain.
        Skipped without a known outcome and where there are too few independent dates for any interval.

    Notes
    -----
    All predictors are point in time, and scored on the same rows as the score. What is beyond them is the residual of
    the ranks of the score, date by date, on the ranks of the predictors: nothing in it looks at outcomes.
    """
    rows = _rows(signals, labels, data, lookback, folds)
    if rows.empty or rows["outcome"].nunique() < 2:
        return Verdict(NAME, Status.SKIPPED, "No scored row has a known outcome that could be explained.")
    rows["beyond"], share = beyond(rows["score"], rows[list(WITHIN)], rows["fold"])
    rows["pooled_beyond"] = pooled_beyond(rows["score"], rows[list(PREDICTORS)], rows["fold"])
    skill = partial(_skill, horizon=horizon)
    whole, moving = skill(rows, "score"), skill(rows[~rows["still"]], "score")
    left = replace(skill(rows, "beyond"), pooled=pooled_auc(rows["pooled_beyond"], rows["outcome"], horizon=horizon))
    trivial = {name: skill(rows, name) for name in PREDICTORS}

    still = float(rows["still"].mean())
    evidence = [
        ("the score", str(whole)),
        (f"without the {still:.1%} of rows whose last return was exactly zero", str(moving)),
        ("beyond the trivial predictors", str(left)),
        ("variance of the score's ranks that they explain", f"{share:.0%}"),
    ]
    if still:
        evidence.insert(2, ("those rows alone", str(skill(rows[rows["still"]], "score"))))
    for name, measured in trivial.items():
        text = f"pooled AUC {shown(measured.pooled)}" if name in DATE_PREDICTORS else str(measured)
        evidence.append((WORDS[name], text))
    status, finding = _judge(whole, moving, left, still, horizon)
    return Verdict(
        NAME,
        status,
        finding,
        tuple(evidence),
        tuple(_table(rows, whole, moving, left, trivial)),
        (
            "That nothing else explains the score: only the predictors listed were tried, and what is taken out of the "
            "score is linear in their ranks.",
        ),
    )


def _judge(whole: Skill, moving: Skill, left: Skill, still: float, horizon: int) -> tuple[Status, str]:
    """Choose the verdict and its sentence."""
    gone: list[str] = []
    halved: list[str] = []
    for name, null in MEASURES.items():
        all_rows, without = getattr(whole, name), getattr(moving, name)
        if not _certain(all_rows, null) or all_rows.mean - null < MATERIAL[name]:
            continue
        kept = (without.mean - null) / (all_rows.mean - null)
        if not kept > THIRD or (kept < HALF and not _certain(without, null)):
            gone.append(name)
        elif kept < HALF:
            halved.append(name)
    if gone or halved:
        names = [*gone, *halved]
        before = " and ".join(f"{SAID[name]} of {getattr(whole, name).mean:.3f}" for name in names)
        after = " and ".join(f"{SAID[name]} {shown(getattr(moving, name))}" for name in names)
        if gone:
            come = "comes" if len(names) == 1 else "come"
            return Status.FAILED, (
                f"The {before} {come} from dead names: {still:.1%} of the scored rows had a last return of exactly "
                f"zero; without them it is {after}. Leave out bars without a trade, and such names."
            )
        return Status.NOTED, (
            f"More than half of the {before} is that of names that are dead or hardly trade: without the {still:.1%} "
            f"of rows whose last return was exactly zero it is {after}."
        )
    moved = [name for name in ("auc", "pooled") if abs(getattr(whole, name).mean - getattr(moving, name).mean) >= MOVED]
    if moved:
        said = " and ".join(
            f"{SAID[name]} from {getattr(moving, name).mean:.3f} to {getattr(whole, name).mean:.3f}" for name in moved
        )
        return Status.NOTED, (
            f"Names that are dead or hardly trade ({still:.1%} of the scored rows had a last return of exactly zero) "
            f"move the {said}: neither figure is worth much before they are left out."
        )
    if whole.auc_by_date.isna().all() and whole.pooled.is_known:
        return _judge_over_time(whole, left)
    if not (whole.auc.is_known or whole.rank_ic.is_known or _certain(whole.pooled, 0.5)):
        covers = f"{horizon} decision date{'s' * (horizon > 1)}"
        return Status.SKIPPED, (
            f"There are {TOO_FEW_DATES} to distinguish skill from chance: {whole.auc_by_date.notna().sum()} with a "
            f"known AUC, where each outcome covers {covers} and at least {4 * horizon} dates are needed. Score a "
            "longer period."
        )
    within = [name for name in ("auc", "rank_ic") if _certain(getattr(whole, name), MEASURES[name])]
    if within:
        beyond_it = [name for name in within if _certain(getattr(left, name), MEASURES[name])]
        before = " and ".join(f"{SAID[name]} {shown(getattr(whole, name))}" for name in within)
        after = " and ".join(f"{SAID[name]} {shown(getattr(left, name))}" for name in within)
        if not beyond_it:
            return Status.NOTED, f"Nothing certain is left of the {before} beyond trivial predictors: {after}."
        return Status.PASSED, f"Skill is left beyond trivial predictors: {after}, of {before}."
    if _certain(whole.pooled, 0.5):
        return Status.NOTED, (
            f"The pooled AUC of {shown(whole.pooled)} knows which dates are good, not which tickers: within dates the "
            f"AUC is {shown(whole.auc)}; beyond the market's direction and the rest the pooled one is "
            f"{shown(left.pooled)}."
        )
    return Status.PASSED, f"There is no skill that needs an explanation: per-date AUC {shown(whole.auc)}."


def _judge_over_time(whole: Skill, left: Skill) -> tuple[Status, str]:
    """Judge a score where no date can be ranked, such as that of a single name."""
    start = "No date has names with outcomes on both sides, so the score is judged over time: its AUC over all rows is"
    if not _certain(whole.pooled, 0.5):
        return Status.PASSED, f"{start} {shown(whole.pooled)}, which is no skill that needs an explanation."
    if not _certain(left.pooled, 0.5):
        return Status.NOTED, (
            f"{start} {shown(whole.pooled)}, and nothing certain is left of it beyond trivial predictors: "
            f"{shown(left.pooled)}."
        )
    return Status.PASSED, f"{start} {shown(whole.pooled)}, and beyond trivial predictors {shown(left.pooled)}."


def _certain(mean: MeanInterval, null: float) -> bool:
    return bool(mean.low > null)


def _skill(rows: pd.DataFrame, name: str, *, horizon: int) -> Skill:
    return measure(rows[name], rows["outcome"], rows["forward"], horizon=horizon)


def _rows(
    signals: pd.DataFrame, labels: pd.DataFrame, data: Dataset, lookback: int, folds: pd.DataFrame | None
) -> pd.DataFrame:
    """Scored rows with a known outcome, and what every trivial predictor says about them."""
    joined = signals[["score", "fold"]].join(labels[["label", "forward_return"]], how="inner").sort_index()

    def outcome(rows: pd.DataFrame) -> pd.Series:
        if rows.index.get_level_values("date").is_unique:
            return outcome_over_time(rows["label"], rows["forward_return"])
        return binary_outcome(rows["label"])

    frame = pd.DataFrame(
        {
            "score": joined["score"],
            "fold": joined["fold"],
            "outcome": outcome(joined),
            "forward": joined["forward_return"],
        }
    )
    if frame.empty:
        return frame
    day = frame.index.get_level_values("date").to_numpy().astype("datetime64[D]")
    end = np.searchsorted(data.dates, day).astype(np.int32)
    ticker = pd.Index(data.panel.tickers).get_indexer(frame.index.get_level_values("ticker")).astype(np.int32)
    values = {name: np.full(len(frame), np.nan) for name in PREDICTORS}
    numbers = frame["fold"].to_numpy()
    for number, training in _training(signals, data, folds):
        rows = np.flatnonzero(numbers == number)
        label = data.labels.label[training]
        mine = ticker[rows], end[rows]
        said = trivial_scores(
            data.returns, *mine, lookback=lookback, training_label=label, training_ticker=training[0]
        ) | more_trivial_scores(
            data.returns,
            data.dates,
            data.eligible,
            *mine,
            lookback=lookback,
            training_label=label,
            training_date=training[1],
        )
        for name in PREDICTORS:
            values[name][rows] = said[name]
    still = np.abs(np.nan_to_num(values["last_return"], nan=1.0)) < NOTHING
    return frame.assign(**values, still=still)


Cells = tuple[NDArray[np.int32], NDArray[np.int32]]


def _training(signals: pd.DataFrame, data: Dataset, folds: pd.DataFrame | None) -> Iterator[tuple[int, Cells]]:
    """(ticker, date) of the rows each fold learnt from, by date and then ticker, as the models had them."""
    labels = data.labels
    over = data.panel.dates[np.maximum(labels.end, 0)]
    usable = data.eligible & np.isfinite(labels.label) & (labels.end >= 0)
    if folds is not None:
        slices = (folds if "fold" in folds.columns else folds.reset_index()).groupby("fold").first()
    for number, mine in signals.groupby("fold", sort=True):
        first = mine.index.get_level_values("date").min().to_datetime64().astype("datetime64[D]")
        begin, stop, latest = data.dates[0], first, first
        if folds is not None and not pd.isna(slices.loc[number, "train_start"]):
            begin, stop, latest = (
                slices.loc[number, name].to_datetime64().astype("datetime64[D]")
                for name in ("train_start", "train_end", "validation_start")
            )
        inside = (data.dates >= begin) & (data.dates <= stop)
        date, ticker = np.nonzero((usable & inside[None, :] & (over <= latest)).T)
        yield int(number), (ticker.astype(np.int32), date.astype(np.int32))


def _table(
    rows: pd.DataFrame, whole: Skill, moving: Skill, left: Skill, trivial: Mapping[str, Skill]
) -> Iterator[dict[str, str]]:
    """One line a fold: the score, without still rows, beyond, and each predictor."""
    for number, mine in rows.groupby("fold", sort=True):
        dates = mine.index.get_level_values("date").unique()
        yield {
            "fold": str(number),
            "dates": f"{len(dates):,}",
            "rows": f"{len(mine):,}",
            "last return zero": f"{mine['still'].mean():.1%}",
            "score: AUC / IC / pooled": _three(whole, dates, mine, "score"),
            "without zeros": _three(moving, dates, mine[~mine["still"]], "score"),
            "beyond": _three(left, dates, mine, "pooled_beyond"),
            **{WORDS[name]: _three(skill, dates, mine, name) for name, skill in trivial.items()},
        }


def _three(skill: Skill, dates: pd.DatetimeIndex, rows: pd.DataFrame, pooled: str) -> str:
    """Per-date AUC, rank IC and pooled AUC of one fold."""
    area = f"{area_under_curve(rows[pooled], rows['outcome']):.3f}"
    if pooled in DATE_PREDICTORS:
        return f"– / – / {area}"
    auc, rank_ic = (series.reindex(dates).mean() for series in (skill.auc_by_date, skill.rank_ic_by_date))
    return f"{auc:.3f} / {rank_ic:+.3f} / {area}"
