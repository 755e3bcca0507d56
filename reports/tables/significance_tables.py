"""The table about luck: each figure beside one plain sentence on what it means, or why it is missing."""

from __future__ import annotations

import math
from typing import Any

from reports.common.number_format import DASH, count, interval, number, percent, points
from reports.common.run_data import RunData
from reports.metrics.performance import Metrics
from reports.significance.bootstrap import RealityCheck, percentile_interval
from reports.significance.comparable_trials import TrialFamily
from reports.significance.measures import Luck, Path
from reports.tables.table import Table

__all__ = ["luck_table", "out_of_100"]

_Row = tuple[str, ...]
_NOTE = (
    "Sharpe ratios are a year's, less the risk-free rate. Sources: Bailey and López de Prado 2012 (probabilistic "
    "Sharpe ratio, track record) and 2014 (deflated Sharpe ratio); Lo 2002 (serial correlation); Bailey, Borwein, "
    "López de Prado and Zhu 2015 (overfitting); White 2000 (reality check); Politis and Romano 1994 (resampled "
    "histories) with block lengths after Politis and White 2004. No figure here knows of looks at the data that nobody "
    "recorded, of a leak, or of survivors in the data."
)


class WideTable(Table):
    """A table of sentences, which wants the whole width."""

    @property
    def wide(self) -> bool:
        """Always."""
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


def luck_table(luck: Luck, metrics: Metrics, run: RunData) -> Table:
    """Everything known about luck, and the reason where something is not.

    Parameters
    ----------
    luck : Luck
        As measured.
    metrics : dict
        With `luck_metrics` of it: the table shows the figures of the file.
    run : RunData
        For the names of what it is compared with.
    """
    rows: list[_Row] = [("This one history",), *_path_rows(luck, metrics)]
    rows += [("The trials it was chosen from",), *_family_rows(luck, metrics, run)]
    rows += [("The seeds of the networks",), *_seed_rows(luck, metrics)]
    return WideTable("Figures and what they mean", ("", "Figure", "What it means"), tuple(rows), _NOTE, left=3)


def _path_rows(luck: Luck, m: Metrics) -> list[_Row]:
    path = luck.path
    if path is None:
        return [("Sharpe ratio, 95% interval", DASH, f"Not known: {luck.reasons['path']}.")]
    low, high = percentile_interval(path.sharpe)
    covers = "zero is among them" if low <= 0 <= high else "zero is not among them"
    blocks = f"blocks of {_length(path.block, luck)}" if path.block >= 1.5 else f"single {luck.periodicity.counted}"
    errors = f"{number(m['sharpe_ratio_standard_error'])} and {number(m['sharpe_ratio_standard_error_robust'])}"
    rows: list[_Row] = [
        (
            "Sharpe ratio, 95% interval",
            f"{number(m['sharpe_ratio'])} ({interval(m['sharpe_ratio_low'], m['sharpe_ratio_high'], 2)})",
            f"19 in 20 histories resampled from this one in {blocks} had Sharpe ratios between these; {covers}.",
        ),
        (
            "Probabilistic Sharpe ratio",
            number(path.probability, 3),
            "Without any skill, a Sharpe ratio this high or higher would be seen by luck in "
            f"{out_of_100(1 - path.probability)} histories as long; allowing for serial correlation, which the formula "
            f"does not, in {out_of_100(1 - path.robust_probability)} (standard errors {errors}).",
        ),
        ("Minimum track record", *_track_record(path, luck)),
    ]
    if m["max_drawdown_low"] is None:
        return [
            *rows,
            ("Maximum drawdown, 95% interval", DASH, f"Not known: a {luck.periodicity.counted[:-1]} lost everything."),
        ]
    ends = f"{percent(m['max_drawdown_low'])} to {percent(m['max_drawdown_high'])}"
    meaning = "The deepest fall of 19 in 20 resampled histories lay between these; the one that happened is one draw."
    return [*rows, ("Maximum drawdown, 95% interval", f"{percent(m['max_drawdown'])} ({ends})", meaning)]


def _track_record(path: Path, luck: Luck) -> tuple[str, str]:
    there = path.found.sessions
    if math.isinf(path.needed):
        return DASH, "The Sharpe ratio is not above zero: no length of record would speak for skill."
    return f"{number(path.needed / luck.periodicity.periods_per_year, 1)} years", (
        f"It takes {_length(path.needed, luck)} of returns like these before luck alone would show such a Sharpe ratio "
        f"in fewer than 5 of 100 histories; there are {count(there)}{', too few' if there < path.needed else ''}."
    )


def _length(value: float, luck: Luck) -> str:
    return f"{count(math.ceil(value)) if value >= 100 else number(value, 0)} {luck.periodicity.counted}"


def _family_rows(luck: Luck, m: Metrics, run: RunData) -> list[_Row]:
    family = luck.family
    if family is None:
        return [("Trials", DASH, f"Not known: {luck.reasons['family']}.")]
    rows = [_counted(family, m), _deflated(family, luck, m)]
    over = luck.overfitting
    name = "Probability of backtest overfitting"
    if over is None:
        rows.append((name, DASH, f"Not known: {luck.reasons['overfitting']}."))
    else:
        rows.append(
            (
                name,
                percent(over.probability, 0),
                f"The history was halved in {count(len(over.logits))} ways. In {out_of_100(over.probability)} of "
                f"them, the best of {over.trials} trials in one half was not above their median in the other; in "
                f"{out_of_100(over.loss)} its Sharpe ratio there was negative. Choosing among as many "
                f"trials of pure noise gives about {number(100 * over.noise, 0)}.",
            )
        )
    if not luck.checks:
        rows.append(("Reality check", DASH, f"Not known: {luck.reasons['checks']}."))
    return rows + [_checked(name, check, family, run, luck) for name, check in luck.checks.items()]


def _counted(family: TrialFamily, m: Metrics) -> _Row:
    others = ""
    if family.other_universes:
        further = "1 trial" if family.other_universes == 1 else f"{count(family.other_universes)} trials"
        others = f" Beside them, {further} on the same days with other universes: not counted here."
    as_of = " As of the time that the last line of this report gives."
    if family.started == 1:
        text = "The only trial on record with out-of-sample scores for these days and tickers."
        return ("Trials", "1", f"{text}{others}{as_of}")
    started, silent = count(family.started), family.started - family.finished
    text = f"{started} have out-of-sample scores for at least half of these days and tickers"
    if silent:
        text += f"; {count(silent)} without any returns (failed, given up or not yet done) count all the same"
    left = family.finished - family.returns.shape[1]
    if left > 0:
        text += f"; {count(left)} too short, without movement or equal to another are counted but not compared"
    effective = m["effective_trials"]
    if effective is None:
        return ("Trials", started, f"{text}.{others}{as_of}")
    worth = f"{number(effective, 1)} unrelated ones"
    text += f". Their returns have a mean correlation of {number(m['trial_correlation'])}: worth about {worth}."
    return ("Trials", f"{started} (worth {number(effective, 1)})", f"{text}{others}{as_of}")


def _deflated(family: TrialFamily, luck: Luck, m: Metrics) -> _Row:
    name, found = "Deflated Sharpe ratio", luck.deflation
    if found is None:
        return (name, DASH, f"Not known: {luck.reasons['deflation']}.")
    value = number(found.probability, 3)
    if family.started == 1:
        return (name, value, "One trial leaves nothing to deflate: the probabilistic Sharpe ratio.")
    text = (
        f"The best of {count(family.started)} trials without skill is expected to reach a Sharpe ratio of "
        f"{number(m['expected_best_sharpe_ratio'])}. Were that the true one, one this high or higher would be seen by "
        f"luck in {out_of_100(1 - found.probability)} histories"
    )
    if not math.isnan(found.effective):
        text += f"; with {number(found.effective, 1)} trials, in {out_of_100(1 - found.effective_probability)}"
    if found.assumed:
        text += ". Returns of too few trials are known to measure their spread, so that of pure chance is assumed"
    return (name, value, f"{text}.")


def _checked(name: str, check: RealityCheck, family: TrialFamily, run: RunData, luck: Luck) -> _Row:
    against, beyond = {
        "benchmark": (run.benchmark_name, run.benchmark_name),
        "universe": ("the universe", "the equal-weight universe"),
        "zero": ("cash", "the risk-free rate"),
    }[name]
    trials, chance = family.returns.shape[1], out_of_100(check.p_value)
    edge = f"{points(check.edge * luck.periodicity.periods_per_year)} points a year beyond {beyond}"
    if trials == 1:
        text = f"The mean return is {edge}. Without any edge, this much would be seen by luck in {chance} histories."
    else:
        who = "This run" if str(family.returns.columns[check.best]) == family.own else "Another trial"
        text = (
            f"{who} has the highest mean return, {edge}. If no trial had any edge, the best of {trials} would show "
            f"this much by luck in {chance} histories."
        )
    value = "p < 0.001" if check.p_value < 0.001 else f"p = {number(check.p_value, 3)}"
    return (f"Reality check against {against}", value, text)


def _seed_rows(luck: Luck, m: Metrics) -> list[_Row]:
    if luck.seeds is None:
        return [("Sharpe ratio by seed", DASH, f"Not known: {luck.reasons['seeds']}.")]
    ended = [(f"Seed {seed}", DASH, f"Traded alone, its account was {how}: the figures of seeds leave it out.")
             for seed, (how, _) in luck.seeds.closed.items()]  # fmt: skip
    reached = f"{number(m['sharpe_ratio_seeds_min'])} to {number(m['sharpe_ratio_seeds_max'])}"
    text = (
        f"Mean ± deviation of {count(m['sharpe_ratio_seeds'])} seeds traded alone, from {reached}; the mean of their "
        f"scores, which was traded, reached {number(m['sharpe_ratio'])}."
    )
    if m["sharpe_ratio_seeds_low"] is None:
        text += " Two seeds are too few to say where a third would land."
    else:
        ends = interval(m["sharpe_ratio_seeds_low"], m["sharpe_ratio_seeds_high"], 2)
        text += f" One more seed would land between {ends.replace(' to ', ' and ')} 19 times in 20."
    spread = f"{number(m['sharpe_ratio_seeds_mean'])} ± {number(m['sharpe_ratio_seeds_std'])}"
    rows: list[_Row] = [("Sharpe ratio by seed", spread, text)]
    share = m["sharpe_ratio_seed_share"]
    if isinstance(share, float):
        meaning = (
            f"Of the variance of one network's Sharpe ratio, {percent(share, 0)} goes with its seed and "
            f"{percent(1 - share, 0)} with the sessions it met (analysis of variance, seeds crossed with sessions)."
        )
        rows.append(("Share that a seed explains", percent(share, 0), meaning))
    return rows + ended
