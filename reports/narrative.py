"""The report in words: what was done, what came of it, whether that could be luck, and what should worry the reader."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from reports.common.number_format import (
    DASH,
    UNKNOWN,
    count,
    interval,
    money,
    number,
    percent,
    points,
    prose_day,
    small_percent,
)
from reports.common.run_data import RunData
from reports.cost_sentences import cost_words, unknown_costs
from reports.metrics.performance import Metrics, return_metrics, ruin_date
from reports.metrics.signal_quality import OverTime, SignalQuality
from reports.significance.seed_dispersion import closed_accounts
from reports.tables.account_tables import account_settings, preset_words
from signals.evaluation.long_run_variance import TOO_FEW_DATES, MeanInterval

__all__ = ["headline_figures", "serious_warnings", "stamp_line", "summary", "verdict"]


def serious_warnings(run: RunData, quality: SignalQuality | None) -> list[str]:
    """List what the reader must know before any figure: one sentence each, the most serious first."""
    lines = [run.stopped] if run.stopped else []
    wealth = (1.0 + run.returns).cumprod()
    if not run.stopped and (wealth <= 0).any():
        lines.append(f"The account was worth nothing or less on {wealth.index[wealth <= 0][0]:%Y-%m-%d}.")
    broken = _identity_breach(run)
    if broken:
        lines.append(broken)
    if quality is not None and quality.remark:
        lines.append(quality.remark)
    # simulated prices have a label of their own above these lines
    told = ("the prices are simulated", "simulated prices") if run.simulated else ()
    lines += [line[:1].upper() + line[1:] for line in run.warnings if not line.lower().startswith(told)]
    lines += _closed_beside(run)
    if run.transactions is not None and run.transactions.empty:
        lines.append("Nothing was traded.")
    period = run.periodicity
    if len(run.returns) < int(period.periods_per_year):
        lines.append(f"Only {len(run.returns)} {period.counted}: figures a year are extrapolated from less than one.")
    return list(dict.fromkeys(lines))


def _closed_beside(run: RunData) -> list[str]:
    """Say which accounts that the run is compared with did not last to its end."""
    lines = []
    for name, other in ((run.benchmark_name, run.benchmark), ("The equal-weight universe", run.universe)):
        if other is not None and (ruined := ruin_date(other)):
            lines.append(f"{name} was closed by ruin on {ruined}: nothing is compared after that day.")
    if run.seed_returns is not None:
        closed = closed_accounts(run.seed_returns, run.returns.index)
        lines += [f"The account of seed {seed}, traded alone, was {how}." for seed, (how, _) in closed.items()]
    return lines


def _identity_breach(run: RunData, tolerance: float = 1e-6) -> str | None:
    """Positions that do not compound to the returns make every exposure figure wrong, and nothing else shows it."""
    if run.positions is None or len(run.positions) < 2:
        return None
    value = run.positions.sum(axis=1)
    before = value.shift(1)
    implied = value / before.where(before > 0) - 1.0
    gap = (implied - run.returns.reindex(value.index)).abs().dropna()
    if gap.empty or gap.max() <= tolerance:
        return None
    worst = gap.idxmax()
    return (
        f"Positions do not add up to the returns (off by {gap.max():.2g} on {worst:%Y-%m-%d}): exposure, turnover and "
        "holdings cannot be trusted."
    )


def _allocation(run: RunData) -> str:
    """Name what decided, as the configuration or the backtest names it."""
    table: Mapping[str, Any] = run.config.get("strategy") or {}
    name = str(table.get("allocation") or run.settings.get("allocation") or "The strategy")
    plain = [
        f"{key} = {value}"
        for key, value in sorted(table.items())
        if key not in ("allocation", "kind") and isinstance(value, bool | int | float | str)
    ]
    return f"{name} ({', '.join(plain)})" if plain else name


def _rhythm(dates: pd.DatetimeIndex) -> str:
    if len(dates) < 3:
        return ""
    gap = float(np.median(np.diff(dates.to_numpy()).astype("timedelta64[h]").astype(float))) / 24
    return "daily " if gap < 4 else "weekly " if gap < 11 else "monthly " if gap < 45 else ""


def _what(run: RunData, m: Metrics) -> str:
    if run.signals is not None:
        index = run.signals.index
        dates = index.get_level_values("date").unique()
        tickers = index.get_level_values("ticker").nunique()
        when = f" on {count(len(dates))} {_rhythm(pd.DatetimeIndex(dates))}decision dates"
    else:
        tickers = run.positions.shape[1] - ("cash" in run.positions) if run.positions is not None else 0
        when = ""
    names = f"{count(tickers)} ticker{'' if tickers == 1 else 's'}" if tickers else "its instruments"
    period = f"from {prose_day(m['start'])} to {prose_day(m['end'])}"
    text = f"{_allocation(run)} traded {names}{when} {period}"
    if run.settings.get("fills"):
        text += f" at the {run.settings['fills']}"
    if run.transactions is None:
        return f"{text}; what it traded, and at what cost, is not known."
    if m["transactions"] == 0:
        return f"{_allocation(run)} was offered {names}{when} {period} and never traded."
    preset = preset_words(account_settings(run))
    return f"{text}{cost_words(run, m)}{f', by the {preset}' if preset else ''}."


def _came_of_it(run: RunData, m: Metrics) -> str:
    whole, parts = [], []
    for name, suffix, prefix, other in (
        (f"{run.benchmark_name} bought and held", "", "benchmark", run.benchmark),
        ("the equal-weight universe after the same costs", "_universe", "universe", run.universe),
    ):
        if other is None:
            continue
        theirs = percent(m[f"{prefix}_annual_return"])
        if len(other) == len(run.returns):
            whole.append(f"{theirs} for {name}")
            continue
        span = f"{prose_day(m[f'common_start{suffix}'])} to {prose_day(m[f'common_end{suffix}'])}"
        if m[f"{prefix}_ruin_date"]:
            theirs = percent(m[f"{prefix}_cum_returns_final"])
            own, unit = percent(m[f"common_cum_returns_final{suffix}"]), "in all"
            name += ", which was then closed by ruin"
        else:
            own, unit = percent(m[f"common_annual_return{suffix}"]), "a year"
        covered = f"{count(len(other))} of {count(len(run.returns))} {run.periodicity.counted} that both cover"
        parts.append(f" Over the {covered}, from {span}, it returned {own} {unit}, against {theirs} for {name}.")
    beside = f", against {' and '.join(whole)}" if whole else ""
    made = f"{percent(m['annual_return'])} a year ({percent(m['cum_returns_final'])} in all)"
    if m["annual_return"] is None:
        made = f"{percent(m['cum_returns_final'])} in all"
    text = f"It returned {made}{beside}.{''.join(parts)}"
    edge = _edge(run, m)
    if edge is not None:
        luck = "which luck alone could explain" if edge.sign == 0 else "more than luck explains"
        ends = f"(95% interval {points(edge.low)} to {points(edge.high)})"
        if edge.hedged:
            text += (
                f" Its beta to {edge.name} was {number(m[f'beta{edge.suffix}'])}, so what counts is its alpha: "
                f"{points(edge.mean)} points a year {ends}, {luck}."
            )
        else:
            text += f" Its mean excess over {edge.name} was {points(edge.mean)} points a year {ends}, {luck}."
    return text


class _Edge(NamedTuple):
    """What it earned beyond the thing it should be compared with."""

    name: str
    suffix: str
    hedged: bool  # hardly moves with the comparison, so alpha is the fair measure and not the difference
    mean: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """1 when the interval lies above zero, -1 below, 0 when it covers zero."""
        return 1 if self.low > 0 else -1 if self.high < 0 else 0

    @property
    def noun(self) -> str:
        return f"its alpha to {self.name}" if self.hedged else f"its excess over {self.name}"


def _edge(run: RunData, m: Metrics) -> _Edge | None:
    """Compare with the universe if there is one, else with the benchmark; None without a known interval.

    What was closed by ruin is no measure.
    """
    if run.universe is not None and not m["universe_ruin_date"]:
        suffix, name = "_universe", "the universe"
    elif run.benchmark is not None and not m["benchmark_ruin_date"]:
        suffix, name = "", run.benchmark_name
    else:
        return None
    if run.returns.nunique() < 2 or _ruined(run):
        return None  # an account that never moved, or is gone, has no edge to speak of
    beta = m[f"beta{suffix}"]
    hedged = isinstance(beta, float) and abs(beta) < 0.5
    kind = "alpha" if hedged else "excess_return"
    mean, low, high = (m[f"{kind}{part}{suffix}"] for part in ("", "_low", "_high"))
    if isinstance(mean, float) and isinstance(low, float) and isinstance(high, float):
        return _Edge(name, suffix, hedged, mean, low, high)
    return None


def _the_signal(quality: SignalQuality) -> str:
    if quality.over_time is not None:
        return _the_signal_over_time(quality, quality.over_time)
    auc, rank_ic = quality.overall["auc"], quality.overall["rank_ic"]
    if not quality.dates:
        return "No decision date has a known outcome yet, so the scores cannot be judged."
    if math.isnan(auc.mean):
        return (
            f"On none of the {count(quality.dates)} decision dates with known outcomes do the outcomes of its names "
            "fall on both sides, so the scores cannot be compared within a date."
        )
    ends = [
        f" ({lead}{interval(mean.low, mean.high)})" if mean.is_known else ""
        for mean, lead in ((auc, "95% interval "), (rank_ic, ""))
    ]
    text = (
        f"Within a date the scores told later winners from losers with a mean AUC of {number(auc.mean, 3)}{ends[0]} "
        f"and a rank IC of {number(rank_ic.mean, 3)}{ends[1]}"
    )
    if not quality.rank_ic_dates:
        text = (
            f"Within a date the scores separated later winners from losers with a mean AUC of {number(auc.mean, 3)}"
            f"{ends[0]} on {count(quality.auc_dates)} of {count(quality.dates)} dates"
        )
    if len(quality.seeds) > 1:
        mean, spread = quality.seeds["auc"].mean(), quality.seeds["auc"].std()
        text += f"; its {len(quality.seeds)} seeds alone reached {number(mean, 3)} ± {number(spread, 3)}"
    trivial = _strongest_trivial(quality)
    if trivial is not None:
        name, reached = trivial
        text += f", the strongest trivial predictor ({name}) {number(reached, 3)}"
        if reached < 0.5:
            text += f", which turned round is {number(1.0 - reached, 3)}"
    text += f": {_against_chance(quality)}"
    if not quality.rank_ic_dates:
        text += "; there is no rank IC, which needs at least three names with different outcomes on a date"
    return f"{text}."


def _the_signal_over_time(quality: SignalQuality, over_time: OverTime) -> str:
    """Describe scores with one name a date, which cannot be ranked within a date."""
    skill = over_time.overall
    one = len(skill.tickers) == 1
    who = f"Only {skill.tickers[0]} is scored" if one else "Only one name is scored on a date"
    cannot = "and one name cannot be ranked within a date" if one else "and it cannot be ranked within the date"

    def ends(mean: MeanInterval, scale: float, digits: int) -> str:
        if not mean.is_known:
            return ""
        return f" (95% interval {interval(scale * mean.low, scale * mean.high, digits)})"

    auc, correlation, rate = skill.auc, skill.rank_correlation, skill.hit_rate
    figures = [
        f"the AUC is {number(auc.mean, 3)}{ends(auc, 1, 3)}",
        f"the rank correlation of score and outcome {number(correlation.mean, 3)}{ends(correlation, 1, 3)}",
        f"the hit rate {number(100 * rate.mean, 1)} %{ends(rate, 100, 1)}, where {number(100 * skill.chance, 1)} % is "
        "to be expected by chance",
    ]
    text = f"{who}, {cannot}; over time, on {count(skill.dates)} dates with known outcomes, "
    if math.isnan(auc.mean):
        return f"{text}all outcomes fall on one side, so the scores cannot be judged."
    text += f"{figures[0]}, {figures[1]} and {figures[2]}"
    if len(over_time.seeds) > 1:
        seeds = over_time.seeds["auc"]
        text += f"; its {len(seeds)} seeds alone reached an AUC of {number(seeds.mean(), 3)} ± {number(seeds.std(), 3)}"
    return f"{text}: {_against_chance(quality)}."


def _strongest_trivial(quality: SignalQuality) -> tuple[str, float] | None:
    """Name and AUC of the trivial predictor farthest from chance, in either direction."""
    known = quality.trivial["auc"].dropna()
    if known.empty:
        return None
    name = str((known - 0.5).abs().sort_values(ascending=False, kind="stable").index[0])
    return name.replace("_", " "), float(known[name])


def _skilful(quality: SignalQuality) -> int:
    """1 when the AUC's interval lies above chance, -1 below, 0 when it covers chance or is unknown."""
    auc = quality.auc
    return 1 if auc.low > 0.5 else -1 if auc.high < 0.5 else 0


def _against_chance(quality: SignalQuality) -> str:
    if not quality.auc.is_known:
        return f"{TOO_FEW_DATES} to distinguish from chance"
    return {1: "better than chance", 0: "not to be told from chance", -1: "worse than chance"}[_skilful(quality)]


def _the_cost(run: RunData, m: Metrics) -> str:
    parts = []
    if m["max_drawdown_valley"]:
        recovery = m["max_drawdown_recovery"]
        end = f"recovered by {prose_day(recovery)}" if recovery else "not recovered since"
        parts.append(
            f"The deepest drawdown was {percent(m['max_drawdown'])} (from {prose_day(m['max_drawdown_peak'])} to "
            f"{prose_day(m['max_drawdown_valley'])}, {end})."
        )
    if m["annual_turnover"]:
        turned = f"The account was turned over {number(m['annual_turnover'], 1)} times a year"
        if m["annual_cost"] is None:
            parts.append(f"{turned}; what commission and slippage cost a year is unknown.")
        else:
            parts.append(
                f"{turned}, and commission and slippage cost {small_percent(m['annual_cost'])} of its value a year."
            )
    return " ".join(parts)


def summary(run: RunData, metrics: Metrics, quality: SignalQuality | None) -> list[str]:
    """Write the first paragraph: sentences on what was traded, what it returned, the signal, and the price of it."""
    lines = [_what(run, metrics), _came_of_it(run, metrics)]
    if quality is not None:
        lines.append(_the_signal(quality))
    lines.append(_the_cost(run, metrics))
    return [line for line in lines if line]


def _ruined(run: RunData) -> bool:
    return run.stopped is not None or bool(((1.0 + run.returns).cumprod() <= 0).any())


def verdict(run: RunData, metrics: Metrics, quality: SignalQuality | None) -> str:
    """One sentence a careful reader would sign."""
    if _ruined(run):
        return "The account was ruined; nothing else in this report matters."
    if run.transactions is not None and run.transactions.empty:
        return "Nothing was traded, so there is nothing to judge."
    judged = _judge(run, metrics, quality)
    if run.simulated:
        return f"{judged} Prices are simulated, so this says nothing about any market."
    return judged


def _judge(run: RunData, metrics: Metrics, quality: SignalQuality | None) -> str:
    if quality is not None and quality.remark:
        return "The scores are too good to be true; find the leak before reading on."
    edge = _edge(run, metrics)
    if quality is None or math.isnan(quality.auc.mean):
        if edge is None:
            return "There is nothing to compare with, so skill cannot be told from market."
        text = _edge_alone(edge, metrics)
        return f"{text[0].upper()}{text[1:]}."
    if not quality.auc.is_known:
        rest = "there is nothing to compare the returns with" if edge is None else _edge_alone(edge, metrics)
        return f"There are {TOO_FEW_DATES} to distinguish the scores from chance; {rest}."
    skill = _skilful(quality)
    scores = {
        1: "The scores were better than chance",
        0: "The scores cannot be told from chance",
        -1: "The scores were worse than chance",
    }[skill]
    trivial = _strongest_trivial(quality)
    if skill > 0 and trivial is not None and abs(trivial[1] - 0.5) >= quality.auc.mean - 0.5:
        scores += f", though no better than a trivial predictor ({trivial[0]}),"
    return _judge_both(edge, skill, scores, metrics)


def _edge_alone(edge: _Edge, m: Metrics) -> str:
    """Judge the returns where the scores are not judged."""
    return {
        1: f"{edge.noun} after costs is more than luck explains, on this one path{_one_of_many(m)}",
        0: f"{edge.noun} after costs may be luck",
        -1: f"{edge.noun} after costs is negative, and not by chance",
    }[edge.sign]


def _one_of_many(m: Metrics) -> str:
    """Half a sentence on the trials this one may have been chosen from."""
    trials, deflated = m.get("trials"), m.get("deflated_sharpe_ratio")
    if trials is None:
        return ", and the trials that led here are not counted"
    if trials == 1:
        return ", and the only trial of its family on record"
    judged = "" if deflated is None else f" (deflated Sharpe ratio {number(deflated)})"
    return f", and one of {count(trials)} trials{judged}"


def _judge_both(edge: _Edge | None, skill: int, scores: str, m: Metrics) -> str:
    if edge is None:
        return f"{scores.rstrip(',')}; there is nothing to compare the returns with."
    if edge.sign > 0 and skill > 0:
        return f"{scores} and {edge.noun} after costs is more than luck explains; it is one path{_one_of_many(m)}."
    if edge.sign > 0:
        return (
            f"{scores.rstrip(',')}, and yet {edge.noun} after costs is more than luck explains: "
            "look for another cause before crediting them."
        )
    result = "may be luck" if edge.sign == 0 else "is negative"
    return f"{scores.rstrip(',')}, {'but' if skill > 0 else 'and'} {edge.noun} after costs {result}."


def headline_figures(run: RunData, metrics: Metrics, quality: SignalQuality | None) -> list[tuple[str, str, str]]:
    """Build the strip below the first paragraph: (label, figure, small print) each."""
    m = metrics
    figures = [("Annual return", *_annual_returns(run, m))]
    edge = _edge(run, m)
    if edge is not None:
        label, word = ("Alpha a year", "to") if edge.hedged else ("Excess a year", "over")
        ends = f"{points(edge.low)} to {points(edge.high)}"
        figures.append((label, f"{points(edge.mean)} pp", f"{word} {edge.name}; 95%: {ends}"))
    ends = interval(m.get("sharpe_ratio_low"), m.get("sharpe_ratio_high"), 2)
    small = f"volatility {percent(m['annual_volatility'])}" if ends == DASH else f"95%: {ends}"
    figures.append(("Sharpe ratio", number(m["sharpe_ratio"]), small))
    valley = f"low on {prose_day(m['max_drawdown_valley'])}" if m["max_drawdown_valley"] else "never below a peak"
    figures.append(("Maximum drawdown", percent(m["max_drawdown"]), valley))
    if quality is not None:
        auc = quality.auc
        dates = f"of {count(quality.auc_dates)} dates"
        small = f"95%: {interval(auc.low, auc.high)}"
        if not auc.is_known:
            small = dates if math.isnan(auc.mean) else f"{dates}; {TOO_FEW_DATES}"
        label = "Per-date AUC" if quality.over_time is None else "AUC over time"
        figures.append((label, number(auc.mean, 3), small))
    if m["annual_cost"] is not None:
        paid = float(m["commission_total"] or 0) + float(m["slippage_total"] or 0)
        figures.append(("Costs a year", percent(m["annual_cost"], 2), f"{money(paid)} of commission and slippage"))
    elif m["transactions"]:
        figures.append(("Costs a year", UNKNOWN, f"{' and '.join(unknown_costs(m))} not recorded"))
    return figures


def _annual_returns(run: RunData, m: Metrics) -> tuple[str, str]:
    """Annual return and, in small print, those of what it is compared with: all over the span that all cover."""
    others = [
        (name, prefix, other)
        for name, prefix, other in (
            (run.benchmark_name, "benchmark_", run.benchmark),
            ("universe", "universe_", run.universe),
        )
        if other is not None
    ]
    if all(len(other) == len(run.returns) for *_, other in others):
        beside = [f"{name} {percent(m[f'{prefix}annual_return'])}" for name, prefix, _ in others]
        return percent(m["annual_return"]), ", ".join(beside) or "after costs"
    span = run.returns.index
    for *_, other in others:
        span = span.intersection(other.index)
    if span.empty:
        return percent(m["annual_return"]), "after costs"
    year = run.periodicity.periods_per_year

    def annual(returns: pd.Series) -> str:
        return percent(return_metrics(returns.reindex(span), periods_per_year=year)["annual_return"])

    beside = [f"{name} {annual(other)}" for name, _, other in others]
    dates = f"{prose_day(f'{span[0]:%Y-%m-%d}')} to {prose_day(f'{span[-1]:%Y-%m-%d}')} only"
    return annual(run.returns), f"{', '.join(beside)}; {dates}"


def stamp_line(timings: Mapping[str, Any]) -> str:
    """Describe when, where and how long, from `timings.json`; the only volatile text of a report.

    >>> stamp_line({"finished": "2024-05-06T07:08:09Z", "host": "box", "seconds": {"signals": 61.04}})
    'finished 2024-05-06T07:08:09Z · host box · signals 61.0 s'
    """
    parts = []
    for key, value in sorted(timings.items()):
        if isinstance(value, Mapping):
            inner = sorted(value.items())
            parts += [f"{name} {float(taken):.1f} s" for name, taken in inner if isinstance(taken, int | float)]
        elif isinstance(value, int | float) and not isinstance(value, bool):
            parts.append(f"{key} {float(value):.1f} s")
        elif isinstance(value, str):
            parts.append(f"{key.replace('_', ' ')} {value}")
    return " · ".join(parts)
