"""Report table on statistical significance: each figure with a sentence on its meaning or on why it is missing."""

from __future__ import annotations

import math
from typing import Any

from reports.common.number_format import DASH, count, interval, number, percent, points
from reports.common.run_data import RunData
from reports.metrics.performance import Metrics
from reports.significance.bootstrap import RealityCheck, percentile_interval
from reports.significance.comparable_trials import TrialFamily
from reports.significance.measures import Path, Significance
from reports.tables.table import Table

__all__ = ["out_of_100", "significance_table"]

_Row = tuple[str, ...]
_NOTE = (
    "Sharpe ratios are annual and in excess of the risk-free rate. Sources: Bailey and López de Prado 2012 "
    "(probabilistic Sharpe ratio, track record) and 2014 (deflated Sharpe ratio); Lo 2002 (serial correlation); "
    "Bailey, Borwein, López de Prado and Zhu 2015 (overfitting); White 2000 (reality check); Politis and Romano 1994 "
    "(resampled histories) with block lengths after Politis and White 2004. No figure here accounts for trials that "
    "were not recorded, for look-ahead bias, or for survivorship bias."
)


class WideTable(Table):
    """Table of sentences, which takes the whole width of the page."""

    @property
    def wide(self) -> bool:
        """Always True."""
        return True


def out_of_100(share: Any) -> str:
    """Write a probability as a frequency.

    >>> out_of_100(0.123), out_of_100(0.001), out_of_100(0.999)
    ('12 of 100', 'fewer than 1 of 100', 'more than 99 of 100')
    """
    value = float(share)
    if value < 0.005:
        return "fewer than 1 of 100"
    return "more than 99 of 100" if value >= 0.995 else f"{100 * value:.0f} of 100"


def significance_table(significance: Significance, metrics: Metrics, run: RunData) -> Table:
    """Table of all significance figures, with a reason in place of each figure that is not known.

    Parameters
    ----------
    significance : Significance
        Result of `measure_significance`.
    metrics : dict
        Figures of `metrics.json`, among them those of `significance_metrics`.
    run : RunData
        Names the benchmark and the universe.
    """
    rows: list[_Row] = [("This history",), *_path_rows(significance, metrics)]
    rows += [("Trials it was selected from",), *_family_rows(significance, metrics, run)]
    rows += [("Seeds of the networks",), *_seed_rows(significance, metrics)]
    return WideTable(
        "Significance figures and their meaning", ("", "Figure", "What it means"), tuple(rows), _NOTE, left=3
    )


def _path_rows(significance: Significance, m: Metrics) -> list[_Row]:
    path = significance.path
    if path is None:
        return [("Sharpe ratio, 95% interval", DASH, f"Not known: {significance.reasons['path']}.")]
    low, high = percentile_interval(path.sharpe)
    covers = "zero is inside the interval" if low <= 0 <= high else "zero is outside the interval"
    blocks = (
        f"blocks of {_length(path.block, significance)}"
        if path.block >= 1.5
        else f"single {significance.periodicity.counted}"
    )
    errors = f"{number(m['sharpe_ratio_standard_error'])} and {number(m['sharpe_ratio_standard_error_robust'])}"
    rows: list[_Row] = [
        (
            "Sharpe ratio, 95% interval",
            f"{number(m['sharpe_ratio'])} ({interval(m['sharpe_ratio_low'], m['sharpe_ratio_high'], 2)})",
            f"95% of the histories resampled from this one in {blocks} had a Sharpe ratio in the interval; {covers}.",
        ),
        (
            "Probabilistic Sharpe ratio",
            number(path.probability, 3),
            "If the true Sharpe ratio were zero, one this high or higher would occur in "
            f"{out_of_100(1 - path.probability)} histories of this length; with a standard error that allows for "
            f"serial correlation, in {out_of_100(1 - path.robust_probability)} (standard errors {errors}).",
        ),
        ("Minimum track record", *_track_record(path, significance)),
    ]
    if m["max_drawdown_low"] is None:
        return [
            *rows,
            (
                "Maximum drawdown, 95% interval",
                DASH,
                f"Not known: a {significance.periodicity.counted[:-1]} lost the whole account value.",
            ),
        ]
    ends = f"{percent(m['max_drawdown_low'])} to {percent(m['max_drawdown_high'])}"
    meaning = "95% of the resampled histories had a maximum drawdown in the interval."
    return [*rows, ("Maximum drawdown, 95% interval", f"{percent(m['max_drawdown'])} ({ends})", meaning)]


def _track_record(path: Path, significance: Significance) -> tuple[str, str]:
    sessions = path.found.sessions
    if math.isinf(path.needed):
        return DASH, "The Sharpe ratio is not above zero, so no length of record is evidence of skill."
    return f"{number(path.needed / significance.periodicity.periods_per_year, 1)} years", (
        f"{_length(path.needed, significance)} of such returns are needed for a Sharpe ratio above zero at 95% "
        f"confidence; there are {count(sessions)}{', too few' if sessions < path.needed else ''}."
    )


def _length(value: float, significance: Significance) -> str:
    return f"{count(math.ceil(value)) if value >= 100 else number(value, 0)} {significance.periodicity.counted}"


def _family_rows(significance: Significance, m: Metrics, run: RunData) -> list[_Row]:
    family = significance.family
    if family is None:
        return [("Trials", DASH, f"Not known: {significance.reasons['family']}.")]
    rows = [_trial_count_row(family, m), _deflated_row(family, significance, m)]
    over = significance.overfitting
    name = "Probability of backtest overfitting"
    if over is None:
        rows.append((name, DASH, f"Not known: {significance.reasons['overfitting']}."))
    else:
        rows.append(
            (
                name,
                percent(over.probability, 0),
                f"The history was split into halves in {count(len(over.logits))} ways. In "
                f"{out_of_100(over.probability)} of them, the best of {over.trials} trials in one half was not above "
                f"the median of the other half; in {out_of_100(over.loss)} its Sharpe ratio there was negative. As "
                f"many trials of pure noise give about {number(100 * over.noise, 0)}.",
            )
        )
    if not significance.checks:
        rows.append(("Reality check", DASH, f"Not known: {significance.reasons['checks']}."))
    return rows + [
        _reality_check_row(name, check, family, run, significance) for name, check in significance.checks.items()
    ]


def _trial_count_row(family: TrialFamily, m: Metrics) -> _Row:
    others = ""
    if family.other_universes:
        further = "1 trial" if family.other_universes == 1 else f"{count(family.other_universes)} trials"
        others = f" In addition, {further} on the same days with other universes, not counted here."
    as_of = " Counted at the time given in the last line of this report."
    if family.started == 1:
        text = "The only trial on record with out-of-sample scores for these days and tickers."
        return ("Trials", "1", f"{text}{others}{as_of}")
    started, unfinished = count(family.started), family.started - family.finished
    text = f"{started} have out-of-sample scores for at least half of these days and tickers"
    if unfinished:
        text += f"; {count(unfinished)} of them without returns (failed, abandoned or still running) are counted too"
    left = family.finished - family.returns.shape[1]
    if left > 0:
        text += f"; {count(left)} that are too short, constant or equal to another are counted but not compared"
    effective = m["effective_trials"]
    if effective is None:
        return ("Trials", started, f"{text}.{others}{as_of}")
    correlation, independent = number(m["trial_correlation"]), number(effective, 1)
    text += f". Their returns have a mean correlation of {correlation}: equal to {independent} independent ones."
    return ("Trials", f"{started} (effective {independent})", f"{text}{others}{as_of}")


def _deflated_row(family: TrialFamily, significance: Significance, m: Metrics) -> _Row:
    name, deflation = "Deflated Sharpe ratio", significance.deflation
    if deflation is None:
        return (name, DASH, f"Not known: {significance.reasons['deflation']}.")
    value = number(deflation.probability, 3)
    if family.started == 1:
        return (name, value, "Equal to the probabilistic Sharpe ratio, because there is one trial.")
    text = (
        f"The best of {count(family.started)} trials without skill is expected to reach a Sharpe ratio of "
        f"{number(m['expected_best_sharpe_ratio'])}. If that were the true Sharpe ratio, one this high or "
        f"higher would occur in {out_of_100(1 - deflation.probability)} histories"
    )
    if not math.isnan(deflation.effective):
        effective = out_of_100(1 - deflation.effective_probability)
        text += f"; with {number(deflation.effective, 1)} effective trials, in {effective}"
    if deflation.assumed:
        text += (
            ". Too few trials have returns to estimate the variance between trials, so that of pure chance is assumed"
        )
    return (name, value, f"{text}.")


def _reality_check_row(
    name: str, check: RealityCheck, family: TrialFamily, run: RunData, significance: Significance
) -> _Row:
    against, above = {
        "benchmark": (run.benchmark_name, run.benchmark_name),
        "universe": ("the universe", "the equal-weight universe"),
        "zero": ("cash", "the risk-free rate"),
    }[name]
    trials, chance = family.returns.shape[1], out_of_100(check.p_value)
    excess = f"{points(check.edge * significance.periodicity.periods_per_year)} points a year above {above}"
    if trials == 1:
        text = f"The mean return is {excess}. If the true mean were zero, this much would occur in {chance} histories."
    else:
        best = "This run" if str(family.returns.columns[check.best]) == family.own else "Another trial"
        text = (
            f"{best} has the highest mean return, {excess}. If the true mean of every trial were zero, the best of "
            f"{trials} would reach this much in {chance} histories."
        )
    value = "p < 0.001" if check.p_value < 0.001 else f"p = {number(check.p_value, 3)}"
    return (f"Reality check against {against}", value, text)


def _seed_rows(significance: Significance, m: Metrics) -> list[_Row]:
    if significance.seeds is None:
        return [("Sharpe ratio by seed", DASH, f"Not known: {significance.reasons['seeds']}.")]
    ended = [(f"Seed {seed}", DASH, f"Traded alone, its account was {how}; it is excluded from the seed figures.")
             for seed, (how, _) in significance.seeds.closed.items()]  # fmt: skip
    extremes = f"{number(m['sharpe_ratio_seeds_min'])} to {number(m['sharpe_ratio_seeds_max'])}"
    text = (
        f"Mean ± standard deviation of {count(m['sharpe_ratio_seeds'])} seeds traded alone, from {extremes}; the mean "
        f"of their scores, which was traded, has {number(m['sharpe_ratio'])}."
    )
    if m["sharpe_ratio_seeds_low"] is None:
        text += " Two seeds are too few for a prediction interval."
    else:
        ends = interval(m["sharpe_ratio_seeds_low"], m["sharpe_ratio_seeds_high"], 2)
        text += f" The 95% prediction interval of one more seed is {ends}."
    spread = f"{number(m['sharpe_ratio_seeds_mean'])} ± {number(m['sharpe_ratio_seeds_std'])}"
    rows: list[_Row] = [("Sharpe ratio by seed", spread, text)]
    share = m["sharpe_ratio_seed_share"]
    if isinstance(share, float):
        meaning = (
            f"Of the variance of a single seed's Sharpe ratio, {percent(share, 0)} is due to the seed and "
            f"{percent(1 - share, 0)} to the sample of sessions (analysis of variance, seeds crossed with sessions)."
        )
        rows.append(("Variance due to the seed", percent(share, 0), meaning))
    return rows + ended
