"""Report tables on the skill over time of scores with one ticker a date."""

from __future__ import annotations

import pandas as pd

from reports.common.number_format import count, interval_of_mean, number, percent
from reports.metrics.skill_over_time import SkillOverTime
from reports.tables.table import Table

__all__ = ["over_time_table", "over_time_tables"]


def over_time_table(skill: SkillOverTime, seeds: pd.DataFrame) -> Table:
    """Table of AUC, rank correlation and hit rate over time, with chance and single seeds.

    Parameters
    ----------
    skill : SkillOverTime
        Figures of the mean score over seeds.
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
        f"{_ticker_names(skill)}: at most one ticker is scored on a date, so tickers cannot be ranked within a date. "
        "Each figure compares dates with each other. Intervals allow for outcomes that overlap and for other "
        f"dependence between neighbouring dates. A hit is a score above {number(skill.neutral, 1)} before a rise, or "
        "below before a fall; by chance: the hit rate of equally frequent predictions that are independent of the "
        "outcome (Pesaran and Timmermann 1992)."
    )
    head = ("", "Seed mean" if len(seeds) else "Score", "95% interval", "By chance", "Single seeds")
    return Table("Skill of the scores over time", head, tuple(rows), note)


def over_time_tables(title: str, head: str, groups: dict[str, SkillOverTime]) -> Table:
    """Table of the figures over time of each group of dates, such as folds or years."""
    rows = tuple(
        (
            name,
            count(skill.dates),
            number(skill.auc.mean, 3),
            interval_of_mean(skill.auc.mean, skill.auc.low, skill.auc.high),
            number(skill.rank_correlation.mean, 3),
            percent(skill.hit_rate.mean),
            percent(skill.chance),
        )
        for name, skill in groups.items()
    )
    columns = (head, "Dates", "AUC", "95% interval", "Rank correlation", "Hit rate", "By chance")
    return Table(title, columns, rows, "Each figure compares the dates of its row with each other.")


def _ticker_names(skill: SkillOverTime) -> str:
    more = f" and {len(skill.tickers) - 3:,} more" if len(skill.tickers) > 3 else ""
    return f"{', '.join(skill.tickers[:3])}{more}"
