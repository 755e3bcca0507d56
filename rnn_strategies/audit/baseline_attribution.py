"""Check of the skill of a score against naive predictors, and of its dependence on stocks that did not trade."""

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
    NAIVE_PREDICTORS,
    ZERO_RETURN,
    more_naive_scores,
    naive_scores,
)
from signals.evaluation.pooled_metrics import area_under_curve, outcome_over_time, pooled_auc

__all__ = ["NAME", "explained"]

NAME = "baseline-attribution"

PREDICTORS = (*NAIVE_PREDICTORS, *MORE_PREDICTORS)
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
MEASURE_NAMES = {"auc": "per-date AUC", "rank_ic": "rank IC", "pooled": "pooled AUC"}
# Skill below this fails no check: removing any hundredth of the rows changes it by as much.
MIN_SKILL = {"auc": 0.01, "rank_ic": 0.02, "pooled": 0.01}
# A change of an AUC by this much when rows with a zero last return are left out is noted.
MIN_AUC_CHANGE = 0.02
# Fractions of the skill that remain without the rows with a zero last return.
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
    """Compare a score with naive predictors, and measure the skill that remains without their contribution.

    Parameters
    ----------
    signals : DataFrame indexed by (date, ticker)
        Columns `score`, `fold`, `trained_until`.
    labels : DataFrame indexed by (date, ticker)
        `label` and `forward_return` of the scored rows whose outcome is known.
    data : Dataset
        Returns, universe and labels that the folds share.
    lookback : int
        Length of a window of the model, in decision dates.
    horizon : int
        Decision dates that an outcome covers, `labels.horizon`.
    folds : DataFrame, optional
        Content of `folds.parquet`; predictors that are fitted use its training slices. Without it they are fitted to
        the outcomes known at the first date of a fold.

    Returns
    -------
    Verdict
        Failed when there is skill, and two thirds of it vanish without the rows whose last return was exactly zero (or
        half of it, and the remainder is not significant): stocks that are delisted, halted or hardly traded. Noted when
        half of it vanishes or an AUC changes otherwise, when no significant skill remains beyond the naive predictors,
        and when the score predicts dates but not tickers. Passed otherwise, and when there is no skill. Skipped without
        a known outcome, and with too few independent dates for any interval.

    Notes
    -----
    All predictors are point in time and are evaluated on the same rows as the score. The part of the score beyond them
    is the residual of its ranks, date by date, on the ranks of the predictors; outcomes do not enter the regression.
    """
    rows = _rows(signals, labels, data, lookback, folds)
    if rows.empty or rows["outcome"].nunique() < 2:
        return Verdict(NAME, Status.SKIPPED, "No scored rows have known outcomes of both classes.")
    rows["beyond"], share = beyond(rows["score"], rows[list(WITHIN)], rows["fold"])
    rows["pooled_beyond"] = pooled_beyond(rows["score"], rows[list(PREDICTORS)], rows["fold"])
    skill = partial(_skill, horizon=horizon)
    whole, moving = skill(rows, "score"), skill(rows[~rows["still"]], "score")
    left = replace(skill(rows, "beyond"), pooled=pooled_auc(rows["pooled_beyond"], rows["outcome"], horizon=horizon))
    naive = {name: skill(rows, name) for name in PREDICTORS}

    still = float(rows["still"].mean())
    evidence = [
        ("the score", str(whole)),
        (f"without the {still:.1%} of rows whose last return was exactly zero", str(moving)),
        ("beyond the naive predictors", str(left)),
        ("variance of the score's ranks that they explain", f"{share:.0%}"),
    ]
    if still:
        evidence.insert(2, ("those rows alone", str(skill(rows[rows["still"]], "score"))))
    for name, measured in naive.items():
        text = f"pooled AUC {shown(measured.pooled)}" if name in DATE_PREDICTORS else str(measured)
        evidence.append((WORDS[name], text))
    status, finding = _status_and_finding(whole, moving, left, still, horizon)
    return Verdict(
        NAME,
        status,
        finding,
        tuple(evidence),
        tuple(_table(rows, whole, moving, left, naive)),
        (
            "That no other simple predictor explains the score: only those listed were tested, and their contribution "
            "is removed linearly in the ranks.",
        ),
    )


def _status_and_finding(whole: Skill, moving: Skill, left: Skill, still: float, horizon: int) -> tuple[Status, str]:
    """Status of the check and its finding."""
    vanished: list[str] = []
    halved: list[str] = []
    for name, null in MEASURES.items():
        all_rows, without = getattr(whole, name), getattr(moving, name)
        if not _is_significant(all_rows, null) or all_rows.mean - null < MIN_SKILL[name]:
            continue
        kept = (without.mean - null) / (all_rows.mean - null)
        if not kept > THIRD or (kept < HALF and not _is_significant(without, null)):
            vanished.append(name)
        elif kept < HALF:
            halved.append(name)
    if vanished or halved:
        names = [*vanished, *halved]
        before = " and ".join(f"{MEASURE_NAMES[name]} of {getattr(whole, name).mean:.3f}" for name in names)
        after = " and ".join(f"{MEASURE_NAMES[name]} {shown(getattr(moving, name))}" for name in names)
        if vanished:
            verb = "comes" if len(names) == 1 else "come"
            return Status.FAILED, (
                f"The {before} {verb} from stocks that did not trade: {still:.1%} of the scored rows had a last return "
                f"of exactly zero; without them it is {after}. Leave out bars without a trade, and such stocks."
            )
        return Status.NOTED, (
            f"More than half of the {before} comes from stocks that are delisted, halted or hardly trade: without the "
            f"{still:.1%} of rows whose last return was exactly zero it is {after}."
        )
    changed = [
        name
        for name in ("auc", "pooled")
        if abs(getattr(whole, name).mean - getattr(moving, name).mean) >= MIN_AUC_CHANGE
    ]
    if changed:
        changes = " and ".join(
            f"{MEASURE_NAMES[name]} from {getattr(moving, name).mean:.3f} to {getattr(whole, name).mean:.3f}"
            for name in changed
        )
        return Status.NOTED, (
            f"Stocks that are delisted, halted or hardly trade ({still:.1%} of the scored rows had a last return of "
            f"exactly zero) change the {changes}: leave them out before you use either figure."
        )
    if whole.auc_by_date.isna().all() and whole.pooled.is_known:
        return _status_and_finding_over_time(whole, left)
    if not (whole.auc.is_known or whole.rank_ic.is_known or _is_significant(whole.pooled, 0.5)):
        covers = f"{horizon} decision date{'s' * (horizon > 1)}"
        return Status.SKIPPED, (
            f"There are {TOO_FEW_DATES} to distinguish skill from chance: {whole.auc_by_date.notna().sum()} with a "
            f"known AUC, where each outcome covers {covers} and at least {4 * horizon} dates are needed. Score a "
            "longer period."
        )
    within = [name for name in ("auc", "rank_ic") if _is_significant(getattr(whole, name), MEASURES[name])]
    if within:
        remaining = [name for name in within if _is_significant(getattr(left, name), MEASURES[name])]
        before = " and ".join(f"{MEASURE_NAMES[name]} {shown(getattr(whole, name))}" for name in within)
        after = " and ".join(f"{MEASURE_NAMES[name]} {shown(getattr(left, name))}" for name in within)
        if not remaining:
            return Status.NOTED, f"No significant skill of the {before} remains beyond naive predictors: {after}."
        return Status.PASSED, f"Skill remains beyond naive predictors: {after}, of {before}."
    if _is_significant(whole.pooled, 0.5):
        return Status.NOTED, (
            f"The pooled AUC of {shown(whole.pooled)} comes from predicting dates, not tickers: within dates the AUC "
            f"is {shown(whole.auc)}; beyond the direction of the market and the other naive predictors the pooled AUC "
            f"is {shown(left.pooled)}."
        )
    return Status.PASSED, f"There is no significant skill: per-date AUC {shown(whole.auc)}."


def _status_and_finding_over_time(whole: Skill, left: Skill) -> tuple[Status, str]:
    """Status and finding for a score that cannot be ranked within dates, such as that of a single ticker."""
    start = (
        "No date has tickers with outcomes of both classes, so skill is measured over time: the AUC over all rows is"
    )
    if not _is_significant(whole.pooled, 0.5):
        return Status.PASSED, f"{start} {shown(whole.pooled)}, which is no significant skill."
    if not _is_significant(left.pooled, 0.5):
        return Status.NOTED, (
            f"{start} {shown(whole.pooled)}, and no significant skill remains beyond naive predictors: "
            f"{shown(left.pooled)}."
        )
    return Status.PASSED, f"{start} {shown(whole.pooled)}, and beyond naive predictors {shown(left.pooled)}."


def _is_significant(mean: MeanInterval, null: float) -> bool:
    """Whether the 95 % interval lies above the value without skill."""
    return bool(mean.low > null)


def _skill(rows: pd.DataFrame, name: str, *, horizon: int) -> Skill:
    return measure(rows[name], rows["outcome"], rows["forward"], horizon=horizon)


def _rows(
    signals: pd.DataFrame, labels: pd.DataFrame, data: Dataset, lookback: int, folds: pd.DataFrame | None
) -> pd.DataFrame:
    """Scored rows with a known outcome, and the predictions of every naive predictor for them."""
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
        cells = ticker[rows], end[rows]
        predictions = naive_scores(
            data.returns, *cells, lookback=lookback, training_label=label, training_ticker=training[0]
        ) | more_naive_scores(
            data.returns,
            data.dates,
            data.eligible,
            *cells,
            lookback=lookback,
            training_label=label,
            training_date=training[1],
        )
        for name in PREDICTORS:
            values[name][rows] = predictions[name]
    still = np.abs(np.nan_to_num(values["last_return"], nan=1.0)) < ZERO_RETURN
    return frame.assign(**values, still=still)


Cells = tuple[NDArray[np.int32], NDArray[np.int32]]


def _training(signals: pd.DataFrame, data: Dataset, folds: pd.DataFrame | None) -> Iterator[tuple[int, Cells]]:
    """Yield the number of each fold and the (ticker, date) of its training rows, by date and then ticker."""
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
    rows: pd.DataFrame, whole: Skill, moving: Skill, left: Skill, naive: Mapping[str, Skill]
) -> Iterator[dict[str, str]]:
    """One row per fold: the score, the score without zero returns, the part beyond the predictors, each predictor."""
    for number, mine in rows.groupby("fold", sort=True):
        dates = mine.index.get_level_values("date").unique()
        yield {
            "fold": str(number),
            "dates": f"{len(dates):,}",
            "rows": f"{len(mine):,}",
            "last return zero": f"{mine['still'].mean():.1%}",
            "score: AUC / IC / pooled": _format_measures(whole, dates, mine, "score"),
            "without zeros": _format_measures(moving, dates, mine[~mine["still"]], "score"),
            "beyond": _format_measures(left, dates, mine, "pooled_beyond"),
            **{WORDS[name]: _format_measures(skill, dates, mine, name) for name, skill in naive.items()},
        }


def _format_measures(skill: Skill, dates: pd.DatetimeIndex, rows: pd.DataFrame, pooled: str) -> str:
    """Per-date AUC, rank IC and pooled AUC of one fold."""
    area = f"{area_under_curve(rows[pooled], rows['outcome']):.3f}"
    if pooled in DATE_PREDICTORS:
        return f"– / – / {area}"
    auc, rank_ic = (series.reindex(dates).mean() for series in (skill.auc_by_date, skill.rank_ic_by_date))
    return f"{auc:.3f} / {rank_ic:+.3f} / {area}"
