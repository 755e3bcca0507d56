"""Skill over time of scores with one ticker a date: AUC, rank correlation and hit rate."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from reports.metrics.performance import Metrics, json_number
from signals.evaluation.long_run_variance import MeanInterval
from signals.evaluation.pooled_metrics import (
    hit_rate,
    neutral_score,
    outcome_over_time,
    pooled_auc,
    pooled_rank_correlation,
)

__all__ = ["SkillOverTime", "measure_over_time", "over_time_metrics"]


@dataclass(frozen=True, slots=True)
class SkillOverTime:
    """Skill over time of scores with at most one ticker a date.

    Parameters
    ----------
    tickers : tuple of str
        Tickers scored, sorted; several when the scored ticker changes over time.
    dates : int
        Number of decision dates with a known outcome.
    auc : MeanInterval
        Probability that the score of a date with outcome 1 is above that of a date with outcome 0, over all pairs of
        dates.
    rank_correlation : MeanInterval
        Spearman correlation of score and forward return over the dates.
    hit_rate : MeanInterval
        Share of dates on which `score - neutral` and the forward return have the same sign.
    chance : float
        Expected hit rate of predictions that are independent of the outcome.
    rose : float
        Share of dates with a forward return above zero, which is the hit rate of always predicting a rise.
    neutral : float
        Score that predicts neither a rise nor a fall.
    """

    tickers: tuple[str, ...]
    dates: int
    auc: MeanInterval
    rank_correlation: MeanInterval
    hit_rate: MeanInterval
    chance: float
    rose: float
    neutral: float


def measure_over_time(joined: pd.DataFrame, *, horizon: int, neutral: float | None = None) -> SkillOverTime:
    """Compute AUC, rank correlation and hit rate over time.

    Parameters
    ----------
    joined : DataFrame indexed by (date, ticker)
        `score`, `label` and `forward_return` of rows whose outcome is known, at most one a date, sorted by date.
    horizon : int
        Decision dates that an outcome covers, `labels.horizon`.
    neutral : float, optional
        Score that predicts neither a rise nor a fall; from `signals.evaluation.pooled_metrics.neutral_score` by
        default.

    Returns
    -------
    SkillOverTime
        Labels other than 0 and 1 are replaced by the sign of the forward return, because one ticker has no median.
    """
    score, forward = joined["score"], joined["forward_return"]
    neutral = neutral_score(score) if neutral is None else neutral
    outcome = outcome_over_time(joined["label"], forward)
    rate, chance = hit_rate(score, forward, neutral=neutral, horizon=horizon)
    moved = forward[forward.notna() & (forward != 0)]
    return SkillOverTime(
        tickers=tuple(sorted(joined.index.get_level_values("ticker").unique())),
        dates=len(joined),
        auc=pooled_auc(score, outcome, horizon=horizon),
        rank_correlation=pooled_rank_correlation(score, forward, horizon=horizon),
        hit_rate=rate,
        chance=chance,
        rose=float((moved > 0).mean()) if len(moved) else float("nan"),
        neutral=neutral,
    )


def over_time_metrics(skill: SkillOverTime | None) -> Metrics:
    """Flatten the figures for `metrics.json`; all are None where several tickers are scored on a date.

    Returns
    -------
    dict
        For m in `auc_over_time`, `rank_correlation_over_time`, `hit_rate`: `m`, `m_low`, `m_high`; then
        `hit_rate_chance`.
    """
    out: Metrics = {}
    for name, figure in (
        ("auc_over_time", skill and skill.auc),
        ("rank_correlation_over_time", skill and skill.rank_correlation),
        ("hit_rate", skill and skill.hit_rate),
    ):
        for suffix, value in zip(("", "_low", "_high"), figure[:3] if figure else (None,) * 3, strict=True):
            out[f"{name}{suffix}"] = json_number(value)
    out["hit_rate_chance"] = json_number(skill.chance) if skill else None
    return out
