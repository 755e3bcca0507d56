"""Charts on significance: wealth by seed, Sharpe ratios of resampled histories and trials, overfitting logits."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from reports.charts.charting import (
    PALETTE,
    PERCENT,
    Chart,
    NothingToDrawError,
    chart_text,
    draw,
    rebased_wealth,
    wealth_of,
)
from reports.common.number_format import number, percent
from reports.common.run_data import RunData
from reports.significance.measures import Significance

__all__ = ["significance_charts"]


def significance_charts(significance: Significance, run: RunData) -> list[Chart]:
    """Draw the significance charts; a chart without data gives its reason.

    Parameters
    ----------
    significance : Significance
        Result of `measure_significance`.
    run : RunData
        Returns of the account and of the benchmark.
    """
    return [
        draw(
            "seed_dispersion",
            lambda axes: _seed_dispersion(axes, significance, run),
            title="Growth of 1, one line per seed",
            note="Each seed's scores traded alone, after the same costs, and the mean score over seeds, which was "
            f"traded. {'Logarithmic scale. ' if _needs_log(significance) else ''}Final values in brackets.",
            size=(12.1, 4.0),
            narrow=(5.2, 3.8),
        ),
        draw(
            "resampled_sharpe",
            lambda axes: _sharpe_ratios(axes, significance),
            title="Sharpe ratios of resampled histories",
            note="Histories of the same length, resampled from blocks of this one."
            + (" Ticks: the comparable trials." if significance.deflation and significance.deflation.ratios else ""),
        ),
        draw(
            "logits",
            lambda axes: _logits(axes, significance),
            title="Rank of the best trial in the other half",
            note="Logit of its rank, over all splits of the history into halves: at or left of 0 it was not above "
            "the median.",
        ),
    ]


def _needs_log(significance: Significance) -> bool:
    if significance.seeds is None:
        return False
    wealth = (1.0 + significance.seeds.returns).cumprod().to_numpy()
    return bool(wealth.min() > 0 and wealth.max() / wealth.min() > 4)


def _seed_dispersion(axes: Axes, significance: Significance, run: RunData) -> str:
    dispersion = significance.seeds
    if dispersion is None:
        raise NothingToDrawError(significance.reasons["seeds"])
    last = []
    for seed in dispersion.returns:
        wealth = wealth_of(dispersion.returns[seed])
        axes.plot(wealth.index, wealth.to_numpy(), color=PALETTE["light"], linewidth=1.0, zorder=2)
        last.append(float(wealth.iloc[-1]))
    seeds = f"{len(last)} single seeds ({number(min(last))} to {number(max(last))})"
    shown = [(Line2D([], [], color=PALETTE["light"]), seeds)]
    for seed, (closure, own_returns) in dispersion.closed.items():
        wealth = wealth_of(own_returns)
        axes.plot(wealth.index, wealth.to_numpy(), color=PALETTE["loss"], linewidth=1.0, marker="x", markevery=[-1])
        shown.append((Line2D([], [], color=PALETTE["loss"], marker="x"), f"seed {seed}, {closure}"))
    for label, role, returns in (
        ("Mean of the seeds' scores", "strategy", run.returns),
        (chart_text(run.benchmark_name, width=24), "benchmark", run.benchmark),
    ):
        if returns is not None:
            wealth = rebased_wealth(returns, run.returns)
            axes.plot(wealth.index, wealth.to_numpy(), color=PALETTE[role], linewidth=1.7, zorder=3)
            shown.insert(
                0 if role == "strategy" else len(shown),
                (Line2D([], [], color=PALETTE[role]), f"{label} ({number(wealth.iloc[-1])})"),
            )
    axes.axhline(1.0, color=PALETTE["ink"], linewidth=0.8, alpha=0.6)
    axes.legend([line for line, _ in shown], [text for _, text in shown])
    axes.set_ylabel("Wealth, start = 1")
    axes.xaxis_date()
    if _needs_log(significance):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    return "Growth of 1: " + ", ".join(text for _, text in shown)


def _sharpe_ratios(axes: Axes, significance: Significance) -> str:
    if significance.path is None:
        raise NothingToDrawError(significance.reasons["path"])
    year = math.sqrt(significance.periodicity.periods_per_year)
    values = significance.path.sharpe * year
    own = significance.path.found.sharpe * year
    share, edges = np.histogram(values, bins=40)
    axes.bar(edges[:-1], share / len(values), width=np.diff(edges), align="edge", color=PALETTE["light"], linewidth=0)
    lines = [(own, "strategy", "-", f"This run ({number(own)})"), (0.0, "ink", "-", "No skill (0)")]
    family, deflation = significance.family, significance.deflation
    if family is not None and deflation is not None and family.started > 1:
        best = deflation.threshold * year
        lines.append((best, "loss", "--", f"Best of {family.started} without skill, expected ({number(best)})"))
    for place, role, style, _ in lines:
        axes.axvline(place, color=PALETTE[role], linestyle=style, linewidth=1.6)
    handles = [Line2D([], [], color=PALETTE[role], linestyle=style) for _, role, style, _ in lines]
    texts = [text for *_, text in lines]
    if deflation is not None and deflation.ratios:
        trials = [ratio * year for ratio in deflation.ratios]
        axes.plot(
            trials, np.zeros(len(trials)), marker="|", markersize=14, color=PALETTE["universe"], linestyle="none",
            clip_on=False, zorder=5,
        )  # fmt: skip
        handles.append(Line2D([], [], marker="|", markersize=10, color=PALETTE["universe"], linestyle="none"))
        texts.append(f"{len(trials)} trials")
    axes.legend(handles, texts)
    axes.yaxis.set_major_formatter(PERCENT)
    axes.set(xlabel="Sharpe ratio a year", ylabel="Share of histories")
    axes.grid(visible=False, axis="x")
    return f"Histogram of the Sharpe ratios of {len(values):,} resampled histories; " + ", ".join(texts)


def _logits(axes: Axes, significance: Significance) -> str:
    overfitting = significance.overfitting
    if overfitting is None:
        raise NothingToDrawError(significance.reasons["overfitting"])
    # few trials have few ranks; 0 is a bin edge, and a logit of 0 is counted in the bin left of it
    bins = min(12, max(3, overfitting.trials // 2))
    half = np.linspace(0.0, math.log(overfitting.trials) + 1e-9, bins + 1)
    counts, _ = np.histogram(-overfitting.logits, bins=np.concatenate([-half[:0:-1], half]))
    share, edges = counts[::-1] / len(overfitting.logits), np.concatenate([-half[:0:-1], half])
    shades = [PALETTE["loss"] if right <= 0 else PALETTE["gain"] for right in edges[1:]]
    axes.bar(edges[:-1], share, width=np.diff(edges), align="edge", color=shades, alpha=0.75, edgecolor="white")
    axes.axvline(0.0, color=PALETTE["ink"], linewidth=0.8)
    above = 1.0 - overfitting.probability
    axes.legend(
        [Line2D([], [], color=PALETTE[role], linewidth=6, alpha=0.75) for role in ("loss", "gain")],
        [f"not above the median ({percent(overfitting.probability, 0)})", f"above ({percent(above, 0)})"],
    )
    axes.yaxis.set_major_formatter(PERCENT)
    axes.set(xlabel="Logit of the rank out of sample", ylabel="Share of splits")
    axes.grid(visible=False, axis="x")
    return (
        f"Histogram of {len(overfitting.logits):,} logits; in {percent(overfitting.probability, 0)} of the splits the "
        "best trial of one half was not above the median in the other"
    )
