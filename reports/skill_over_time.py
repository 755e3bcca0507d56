"""Skill of scores that have one name a date: figures over time, and the tables that show them."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from reports.formats import count, interval_of_mean, number, percent
from reports.statistics import Metrics, json_number
from reports.tables import Table
from signals.long_run_variance import MeanInterval
from signals.pooled_skill import (
    hit_rate,
    neutral_score,
    outcome_over_time,
    pooled_auc,
    pooled_rank_correlation,
)

__all__ = ["SkillOverTime", "measure_over_time", "over_time_metrics", "over_time_table", "over_time_tables"]


@dataclass(frozen=True, slots=True)
class SkillOverTime:
    """Figures of a score with at most one name a date.

    Parameters
    ----------
    tickers : tuple of str
        The names, sorted; one unless names take turns.
    dates : int
        Decision dates with a known outcome.
    auc : MeanInterval
        Chance that the score of a date with outcome 1 is above that of a date with outcome 0, over all pairs of dates.
    rank_correlation : MeanInterval
        Spearman correlation of score and forward return over the dates.
    hit_rate : MeanInterval
        Share of dates on which the score lies on the side of `neutral` on which the forward return lies of zero.
    chance : float
        Hit rate to expect of calls that are independent of the outcome.
    rose : float
        Share of dates with a forward return above zero, which is the hit rate of always expecting a rise.
    neutral : float
        Score that expects neither.
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
    """Measure scores over time.

    Parameters
    ----------
    joined : DataFrame indexed by (date, ticker)
        `score`, `label` and `forward_return` of rows whose outcome is known, at most one a date, sorted by date.
    horizon : int
        Decision dates that an outcome covers, `labels.horizon`.
    neutral : float, optional
        Score that expects neither up nor down; found with `signals.pooled_skill.neutral_score` when not given.

    Returns
    -------
    SkillOverTime
        Labels that are not 0 and 1 count as such by the sign of the forward return, since one name has no median.
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
    """Flatten the figures for `metrics.json`; None throughout where several names are scored on a date.

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


def over_time_table(skill: SkillOverTime, seeds: pd.DataFrame) -> Table:
    """Compare the figures with chance, and with the single seeds where these are known.

    Parameters
    ----------
    skill : SkillOverTime
        Of the seed mean.
    seeds : DataFrame indexed by seed
        `auc`, `rank_correlation` and `hit_rate` of each seed alone; empty when seeds were not kept.
    """

    def alone(name: str, digits: int, scale: float = 1.0) -> str:
        if not len(seeds):
            return ""
        mean, spread = seeds[name].mean() * scale, seeds[name].std() * scale
        return f"{number(mean, digits)} ± {number(spread, digits)}" if len(seeds) > 1 else number(mean, digits)

    figures = (
        ("AUC over time", "auc", skill.auc, "0.500"),
        ("Rank correlation over time", "rank_correlation", skill.rank_correlation, "0.000"),
    )
    rows = [
        (label, number(mean.mean, 3), interval_of_mean(mean.mean, mean.low, mean.high), chance, alone(name, 3))
        for label, name, mean, chance in figures
    ]
    rate = skill.hit_rate
    ends = interval_of_mean(100 * rate.mean, 100 * rate.low, 100 * rate.high, 1)
    rows.append(
        ("Hit rate, %", number(100 * rate.mean, 1), ends, number(100 * skill.chance, 1), alone("hit_rate", 1, 100))
    )
    rows.append(("Hit rate of “always up”, %", number(100 * skill.rose, 1), "", "", ""))
    note = (
        f"Over {count(skill.dates)} decision date{'' if skill.dates == 1 else 's'} with a known outcome, of "
        f"{_named(skill)}: at most one name is scored on a date, so that nothing can be ranked within a date. Each "
        "figure compares dates with each other. Intervals allow for outcomes that overlap and for other dependence "
        f"between neighbouring dates. A hit is a score above {number(skill.neutral, 1)} before a rise, or below before "
        "a fall; by chance: calls as frequent that are independent of the outcome (Pesaran and Timmermann 1992)."
    )
    head = ("", "Seed mean" if len(seeds) else "Score", "95% interval", "By chance", "Single seeds")
    return Table("Skill of the scores over time", head, tuple(rows), note)


def over_time_tables(title: str, head: str, groups: dict[str, SkillOverTime]) -> Table:
    """List the figures of parts of the time, such as folds or years."""
    rows = tuple(
        (
            name,
            count(one.dates),
            number(one.auc.mean, 3),
            interval_of_mean(one.auc.mean, one.auc.low, one.auc.high),
            number(one.rank_correlation.mean, 3),
            percent(one.hit_rate.mean),
            percent(one.chance),
        )
        for name, one in groups.items()
    )
    columns = (head, "Dates", "AUC", "95% interval", "Rank correlation", "Hit rate", "By chance")
    return Table(title, columns, rows, "Each figure compares the dates of its row with each other.")


def _named(skill: SkillOverTime) -> str:
    more = f" and {len(skill.tickers) - 3:,} more" if len(skill.tickers) > 3 else ""
    return f"{', '.join(skill.tickers[:3])}{more}"
