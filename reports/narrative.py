"""Text of the report: warnings, summary paragraph, conclusion and headline figures."""

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
    """List the warnings shown above all figures, one sentence each, the most serious first."""
    lines = [run.stopped] if run.stopped else []
    wealth = (1.0 + run.returns).cumprod()
    if not run.stopped and (wealth <= 0).any():
        lines.append(f"The account value fell to zero or below on {wealth.index[wealth <= 0][0]:%Y-%m-%d}.")
    mismatch = _positions_mismatch(run)
    if mismatch:
        lines.append(mismatch)
    if quality is not None and quality.warning:
        lines.append(quality.warning)
    # the page shows a label of its own for simulated prices above these lines
    label_prefixes = ("the prices are simulated", "simulated prices") if run.simulated else ()
    lines += [line[:1].upper() + line[1:] for line in run.warnings if not line.lower().startswith(label_prefixes)]
    lines += _closed_comparisons(run)
    if run.transactions is not None and run.transactions.empty:
        lines.append("No trades were made.")
    period = run.periodicity
    if len(run.returns) < int(period.periods_per_year):
        lines.append(
            f"Only {len(run.returns)} {period.counted}: annual figures are extrapolated from less than one year."
        )
    return list(dict.fromkeys(lines))


def _closed_comparisons(run: RunData) -> list[str]:
    """List the comparison and single-seed accounts that were closed before the end of the run."""
    lines = []
    for name, other in ((run.benchmark_name, run.benchmark), ("The equal-weight universe", run.universe)):
        if other is not None and (ruined := ruin_date(other)):
            lines.append(f"{name} was closed by ruin on {ruined}: comparisons end on that day.")
    if run.seed_returns is not None:
        closed = closed_accounts(run.seed_returns, run.returns.index)
        lines += [f"The account of seed {seed}, traded alone, was {how}." for seed, (how, _) in closed.items()]
    return lines


def _positions_mismatch(run: RunData, tolerance: float = 1e-6) -> str | None:
    """Return a warning when the positions do not compound to the returns; exposure figures would then be wrong."""
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
        "holdings may be wrong."
    )


def _allocation(run: RunData) -> str:
    """Name of the allocation with its parameters, from the configuration or the backtest."""
    table: Mapping[str, Any] = run.config.get("strategy") or {}
    name = str(table.get("allocation") or run.settings.get("allocation") or "The strategy")
    plain = [
        f"{key} = {value}"
        for key, value in sorted(table.items())
        if key not in ("allocation", "kind") and isinstance(value, bool | int | float | str)
    ]
    return f"{name} ({', '.join(plain)})" if plain else name


def _decision_frequency(dates: pd.DatetimeIndex) -> str:
    """Frequency of the decision dates from their median gap: "daily ", "weekly ", "monthly " or empty."""
    if len(dates) < 3:
        return ""
    gap = float(np.median(np.diff(dates.to_numpy()).astype("timedelta64[h]").astype(float))) / 24
    return "daily " if gap < 4 else "weekly " if gap < 11 else "monthly " if gap < 45 else ""


def _traded_sentence(run: RunData, m: Metrics) -> str:
    """Sentence on the strategy, its tickers, dates, fills and costs."""
    if run.signals is not None:
        index = run.signals.index
        dates = index.get_level_values("date").unique()
        tickers = index.get_level_values("ticker").nunique()
        when = f" on {count(len(dates))} {_decision_frequency(pd.DatetimeIndex(dates))}decision dates"
    else:
        tickers = run.positions.shape[1] - ("cash" in run.positions) if run.positions is not None else 0
        when = ""
    names = f"{count(tickers)} ticker{'' if tickers == 1 else 's'}" if tickers else "its instruments"
    period = f"from {prose_day(m['start'])} to {prose_day(m['end'])}"
    text = f"{_allocation(run)} traded {names}{when} {period}"
    if run.settings.get("fills"):
        text += f" at the {run.settings['fills']}"
    if run.transactions is None:
        return f"{text}; its trades and their costs are not known."
    if m["transactions"] == 0:
        return f"{_allocation(run)} was run on {names}{when} {period} and made no trades."
    preset = preset_words(account_settings(run))
    return f"{text}{cost_words(run, m)}{f', by the {preset}' if preset else ''}."


def _return_sentence(run: RunData, m: Metrics) -> str:
    """Sentences on the return of the account, its comparisons, and the interval of its excess return or alpha."""
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
    comparisons = f", against {' and '.join(whole)}" if whole else ""
    returned = f"{percent(m['annual_return'])} a year ({percent(m['cum_returns_final'])} in all)"
    if m["annual_return"] is None:
        returned = f"{percent(m['cum_returns_final'])} in all"
    text = f"It returned {returned}{comparisons}.{''.join(parts)}"
    excess = _excess_over_comparison(run, m)
    if excess is not None:
        zero = "zero lies inside the interval" if excess.sign == 0 else "zero lies outside the interval"
        ends = f"(95% interval {points(excess.low)} to {points(excess.high)}; {zero})"
        if excess.hedged:
            text += (
                f" Its beta to {excess.name} was {number(m[f'beta{excess.suffix}'])}, so it is evaluated by its alpha: "
                f"{points(excess.mean)} percentage points a year {ends}."
            )
        else:
            text += f" Its mean excess over {excess.name} was {points(excess.mean)} percentage points a year {ends}."
    return text


class _ExcessReturn(NamedTuple):
    """Annual excess return, or alpha, over the comparison, with its 95 % interval."""

    name: str
    suffix: str
    hedged: bool  # beta to the comparison is below 0.5, so alpha is reported instead of the difference
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


def _excess_over_comparison(run: RunData, m: Metrics) -> _ExcessReturn | None:
    """Compare with the universe if there is one, else with the benchmark; None without a known interval.

    A comparison that was closed by ruin is not used.
    """
    if run.universe is not None and not m["universe_ruin_date"]:
        suffix, name = "_universe", "the universe"
    elif run.benchmark is not None and not m["benchmark_ruin_date"]:
        suffix, name = "", run.benchmark_name
    else:
        return None
    if run.returns.nunique() < 2 or _ruined(run):
        return None  # an account without variation, or one that was closed, has no meaningful excess return
    beta = m[f"beta{suffix}"]
    hedged = isinstance(beta, float) and abs(beta) < 0.5
    kind = "alpha" if hedged else "excess_return"
    mean, low, high = (m[f"{kind}{part}{suffix}"] for part in ("", "_low", "_high"))
    if isinstance(mean, float) and isinstance(low, float) and isinstance(high, float):
        return _ExcessReturn(name, suffix, hedged, mean, low, high)
    return None


def _signal_sentence(quality: SignalQuality) -> str:
    """Sentence on the AUC and rank IC of the scores, their intervals, and the strongest naive predictor."""
    if quality.over_time is not None:
        return _signal_sentence_over_time(quality, quality.over_time)
    auc, rank_ic = quality.overall["auc"], quality.overall["rank_ic"]
    if not quality.dates:
        return "No decision date has a known outcome yet, so the scores cannot be evaluated."
    if math.isnan(auc.mean):
        return (
            f"None of the {count(quality.dates)} decision dates with known outcomes has outcomes of both classes, so "
            "the scores cannot be compared within a date."
        )
    ends = [
        f" ({lead}{interval(mean.low, mean.high)})" if mean.is_known else ""
        for mean, lead in ((auc, "95% interval "), (rank_ic, ""))
    ]
    text = (
        f"Within a date, the scores ranked later returns with a mean AUC of {number(auc.mean, 3)}{ends[0]} "
        f"and a rank IC of {number(rank_ic.mean, 3)}{ends[1]}"
    )
    if not quality.rank_ic_dates:
        text = (
            f"Within a date, the scores ranked later returns with a mean AUC of {number(auc.mean, 3)}"
            f"{ends[0]} on {count(quality.auc_dates)} of {count(quality.dates)} dates"
        )
    if len(quality.seeds) > 1:
        mean, spread = quality.seeds["auc"].mean(), quality.seeds["auc"].std()
        text += f"; its {len(quality.seeds)} single seeds had {number(mean, 3)} ± {number(spread, 3)}"
    naive = _strongest_naive_predictor(quality)
    if naive is not None:
        name, naive_auc = naive
        text += f", the strongest naive predictor ({name}) had {number(naive_auc, 3)}"
        if naive_auc < 0.5:
            text += f" ({number(1.0 - naive_auc, 3)} with its sign reversed)"
    text += f": {_against_chance(quality)}"
    if not quality.rank_ic_dates:
        text += "; there is no rank IC, which needs at least three names with different outcomes on a date"
    return f"{text}."


def _signal_sentence_over_time(quality: SignalQuality, over_time: OverTime) -> str:
    """Sentence on scores with one ticker a date, which cannot be ranked within a date."""
    skill = over_time.overall
    single = len(skill.tickers) == 1
    scored = f"Only {skill.tickers[0]} is scored" if single else "Only one ticker is scored on a date"
    cannot = "and one ticker cannot be ranked within a date" if single else "and it cannot be ranked within the date"

    def ends(mean: MeanInterval, scale: float, digits: int) -> str:
        if not mean.is_known:
            return ""
        return f" (95% interval {interval(scale * mean.low, scale * mean.high, digits)})"

    auc, correlation, rate = skill.auc, skill.rank_correlation, skill.hit_rate
    figures = [
        f"the AUC is {number(auc.mean, 3)}{ends(auc, 1, 3)}",
        f"the rank correlation of score and outcome {number(correlation.mean, 3)}{ends(correlation, 1, 3)}",
        f"the hit rate {number(100 * rate.mean, 1)} %{ends(rate, 100, 1)}, where {number(100 * skill.chance, 1)} % is "
        "expected by chance",
    ]
    text = f"{scored}, {cannot}; over time, on {count(skill.dates)} dates with known outcomes, "
    if math.isnan(auc.mean):
        return f"{text}all outcomes are in one class, so the scores cannot be evaluated."
    text += f"{figures[0]}, {figures[1]} and {figures[2]}"
    if len(over_time.seeds) > 1:
        seeds = over_time.seeds["auc"]
        text += f"; its {len(seeds)} single seeds had an AUC of {number(seeds.mean(), 3)} ± {number(seeds.std(), 3)}"
    return f"{text}: {_against_chance(quality)}."


def _strongest_naive_predictor(quality: SignalQuality) -> tuple[str, float] | None:
    """Name and AUC of the naive predictor farthest from chance, in either direction."""
    known = quality.naive_predictors["auc"].dropna()
    if known.empty:
        return None
    name = str((known - 0.5).abs().sort_values(ascending=False, kind="stable").index[0])
    return name.replace("_", " "), float(known[name])


def _auc_sign(quality: SignalQuality) -> int:
    """1 when the AUC's interval lies above chance, -1 below, 0 when it covers chance or is unknown."""
    auc = quality.auc
    return 1 if auc.low > 0.5 else -1 if auc.high < 0.5 else 0


def _against_chance(quality: SignalQuality) -> str:
    """Words that compare the interval of the AUC with 0.5."""
    if not quality.auc.is_known:
        return f"{TOO_FEW_DATES} to distinguish from chance"
    return {1: "better than chance", 0: "not distinguishable from chance", -1: "worse than chance"}[_auc_sign(quality)]


def _risk_and_cost_sentence(run: RunData, m: Metrics) -> str:
    """Sentences on the deepest drawdown, turnover, and the annual cost of trading."""
    parts = []
    if m["max_drawdown_valley"]:
        recovery = m["max_drawdown_recovery"]
        end = f"recovered by {prose_day(recovery)}" if recovery else "not recovered since"
        parts.append(
            f"The deepest drawdown was {percent(m['max_drawdown'])} (from {prose_day(m['max_drawdown_peak'])} to "
            f"{prose_day(m['max_drawdown_valley'])}, {end})."
        )
    if m["annual_turnover"]:
        turnover = f"Annual turnover was {number(m['annual_turnover'], 1)} times the account value"
        if m["annual_cost"] is None:
            parts.append(f"{turnover}; the annual cost of commission and slippage is unknown.")
        else:
            parts.append(
                f"{turnover}, and commission and slippage cost {small_percent(m['annual_cost'])} of it a year."
            )
    return " ".join(parts)


def summary(run: RunData, metrics: Metrics, quality: SignalQuality | None) -> list[str]:
    """Write the first paragraph: sentences on the trades, the return, the scores, and risk and costs."""
    lines = [_traded_sentence(run, metrics), _return_sentence(run, metrics)]
    if quality is not None:
        lines.append(_signal_sentence(quality))
    lines.append(_risk_and_cost_sentence(run, metrics))
    return [line for line in lines if line]


def _ruined(run: RunData) -> bool:
    return run.stopped is not None or bool(((1.0 + run.returns).cumprod() <= 0).any())


def verdict(run: RunData, metrics: Metrics, quality: SignalQuality | None) -> str:
    """Conclusion of the report, one or two sentences: significance of the scores and of the excess return."""
    if _ruined(run):
        return "The account was closed or lost all of its value; the other figures of this report are not meaningful."
    if run.transactions is not None and run.transactions.empty:
        return "No trades were made, so there is no result to evaluate."
    conclusion = _conclusion(run, metrics, quality)
    if run.simulated:
        return f"{conclusion} Prices are simulated, so this is no evidence about any market."
    return conclusion


def _conclusion(run: RunData, metrics: Metrics, quality: SignalQuality | None) -> str:
    """Conclusion for an account that lasted to the end and traded, without the sentence on simulated prices."""
    if quality is not None and quality.warning:
        return "The scores are implausibly good; look for look-ahead bias before using any other figure."
    excess = _excess_over_comparison(run, metrics)
    if quality is None or math.isnan(quality.auc.mean):
        if excess is None:
            return "There is no comparison, so skill cannot be separated from the return of the market."
        text = _excess_clause(excess, metrics)
        return f"{text[0].upper()}{text[1:]}."
    if not quality.auc.is_known:
        rest = "there is no comparison for the returns" if excess is None else _excess_clause(excess, metrics)
        return f"There are {TOO_FEW_DATES} to distinguish the scores from chance; {rest}."
    skill = _auc_sign(quality)
    scores = {
        1: "The scores were better than chance",
        0: "The scores were not distinguishable from chance",
        -1: "The scores were worse than chance",
    }[skill]
    naive = _strongest_naive_predictor(quality)
    if skill > 0 and naive is not None and abs(naive[1] - 0.5) >= quality.auc.mean - 0.5:
        scores += f", though no better than a naive predictor ({naive[0]}),"
    return _conclusion_on_both(excess, skill, scores, metrics)


def _excess_clause(excess: _ExcessReturn, m: Metrics) -> str:
    """Clause on the sign of the excess return, used where the scores have no interval."""
    return {
        1: f"{excess.noun} after costs is significantly positive{_trials_clause(m)}",
        0: f"{excess.noun} after costs is not significantly different from zero",
        -1: f"{excess.noun} after costs is significantly negative",
    }[excess.sign]


def _trials_clause(m: Metrics) -> str:
    """Clause on the number of trials that this run may have been selected from."""
    trials, deflated = m.get("trials"), m.get("deflated_sharpe_ratio")
    if trials is None:
        return " on this single history; the number of trials that preceded it is not recorded"
    if trials == 1:
        return " on this single history, the only trial on record"
    probability = "" if deflated is None else f" (deflated Sharpe ratio {number(deflated)})"
    return f" on this single history, one of {count(trials)} trials{probability}"


def _conclusion_on_both(excess: _ExcessReturn | None, skill: int, scores: str, m: Metrics) -> str:
    """Conclusion where both the scores and, if there is a comparison, the excess return have an interval."""
    if excess is None:
        return f"{scores.rstrip(',')}; there is no comparison for the returns."
    if excess.sign > 0 and skill > 0:
        return f"{scores} and {excess.noun} after costs is significantly positive{_trials_clause(m)}."
    if excess.sign > 0:
        return (
            f"{scores.rstrip(',')}, although {excess.noun} after costs is significantly positive: "
            "look for a cause other than the scores."
        )
    result = "is not significantly different from zero" if excess.sign == 0 else "is significantly negative"
    return f"{scores.rstrip(',')}, {'but' if skill > 0 else 'and'} {excess.noun} after costs {result}."


def headline_figures(run: RunData, metrics: Metrics, quality: SignalQuality | None) -> list[tuple[str, str, str]]:
    """Build the headline figures below the first paragraph: one (label, figure, small print) each."""
    m = metrics
    figures = [("Annual return", *_annual_returns(run, m))]
    excess = _excess_over_comparison(run, m)
    if excess is not None:
        label, preposition = ("Alpha a year", "to") if excess.hedged else ("Excess a year", "over")
        ends = f"{points(excess.low)} to {points(excess.high)}"
        figures.append((label, f"{points(excess.mean)} pp", f"{preposition} {excess.name}; 95%: {ends}"))
    ends = interval(m.get("sharpe_ratio_low"), m.get("sharpe_ratio_high"), 2)
    small = f"volatility {percent(m['annual_volatility'])}" if ends == DASH else f"95%: {ends}"
    figures.append(("Sharpe ratio", number(m["sharpe_ratio"]), small))
    valley = f"low on {prose_day(m['max_drawdown_valley'])}" if m["max_drawdown_valley"] else "no drawdown"
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
    """Annual return and, in small print, those of the comparisons: all over the sessions that all of them cover."""
    others = [
        (name, prefix, other)
        for name, prefix, other in (
            (run.benchmark_name, "benchmark_", run.benchmark),
            ("universe", "universe_", run.universe),
        )
        if other is not None
    ]
    if all(len(other) == len(run.returns) for *_, other in others):
        comparisons = [f"{name} {percent(m[f'{prefix}annual_return'])}" for name, prefix, _ in others]
        return percent(m["annual_return"]), ", ".join(comparisons) or "after costs"
    span = run.returns.index
    for *_, other in others:
        span = span.intersection(other.index)
    if span.empty:
        return percent(m["annual_return"]), "after costs"
    year = run.periodicity.periods_per_year

    def annual(returns: pd.Series) -> str:
        return percent(return_metrics(returns.reindex(span), periods_per_year=year)["annual_return"])

    comparisons = [f"{name} {annual(other)}" for name, _, other in others]
    dates = f"{prose_day(f'{span[0]:%Y-%m-%d}')} to {prose_day(f'{span[-1]:%Y-%m-%d}')} only"
    return annual(run.returns), f"{', '.join(comparisons)}; {dates}"


def stamp_line(timings: Mapping[str, Any]) -> str:
    """Text on the time, host and duration of the run from `timings.json`; the only text of a report that varies.

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
