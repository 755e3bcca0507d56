"""Charts of the scores: cumulative rank IC, AUC by fold, score buckets, learning curves and universe size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from reports.charts.charting import PALETTE, Chart, NothingToDrawError, draw
from reports.common.number_format import interval_of_mean, number
from reports.metrics.signal_quality import SignalQuality
from signals.evaluation.naive_predictors import NAIVE_PREDICTORS

__all__ = ["signal_charts"]


def signal_charts(
    quality: SignalQuality,
    history: pd.DataFrame | None,
    folds: pd.DataFrame | None,
    universe_sizes: Mapping[str, int] | None = None,
    signals: pd.DataFrame | None = None,
) -> list[Chart]:
    """Draw the charts of the scores; a chart without data gives its reason.

    Parameters
    ----------
    quality : SignalQuality
        Measures of the out-of-sample scores.
    history, folds : DataFrame or None
        `history.parquet` and `folds.parquet`, for the learning curves.
    universe_sizes : mapping of str to int, optional
        Number of members at each selection date of the universe, from `manifest.json`.
    signals : DataFrame indexed by (date, ticker), optional
        The scores, for the number of tickers scored on each date.
    """
    return [
        draw(
            "rank_ic",
            lambda axes: _cumulative_rank_ic(axes, quality),
            title="Rank IC, summed over decision dates",
            note="Sum of the rank IC over decision dates; dotted lines mark the first date of each fold.",
        ),
        draw(
            "auc_by_fold",
            lambda axes: _auc_by_fold(axes, quality),
            title="AUC by fold",
            note="Seed mean with its 95% interval over dates (no bar: too few independent dates), single seeds, and "
            "the naive predictors.",
        ),
        draw(
            "deciles",
            lambda axes: _deciles(axes, quality),
            title="Forward return by score bucket",
            note="Mean over dates of each bucket's return minus that of all scored tickers, with 95% intervals (no "
            "bar: too few independent dates).",
        ),
        draw(
            "learning",
            lambda axes: _learning_curves(axes, history, folds),
            title="Learning curves",
            note="Loss by epoch, one line a fold (mean over seeds; later folds are darker); rings mark the selected "
            "epoch.",
        ),
        draw(
            "universe_size",
            lambda axes: _universe_size(axes, universe_sizes, signals),
            title="Universe size",
            note="Members of the universe at each selection date, and tickers scored on each decision date.",
        ),
    ]


def _cumulative_rank_ic(axes: Axes, quality: SignalQuality) -> str:
    values = quality.by_date["rank_ic"].dropna()
    if quality.over_time is not None:
        raise NothingToDrawError("one ticker cannot be ranked within a date")
    if len(values) < 2:
        few = "known outcomes" if quality.dates < 2 else "at least three tickers with different known outcomes"
        raise NothingToDrawError(f"fewer than two dates have {few}")
    total = values.cumsum()
    axes.plot(total.index, total.to_numpy(), color=PALETTE["strategy"], linewidth=1.8)
    axes.axhline(0.0, color=PALETTE["ink"], linewidth=0.8)
    for start in quality.by_date.groupby("fold").head(1).index[1:]:
        axes.axvline(start, color=PALETTE["muted"], linewidth=0.8, linestyle=":")
    axes.xaxis_date()
    axes.set_ylabel("Rank IC")
    mean = quality.overall["rank_ic"]
    return f"Cumulative rank IC over {len(values)} dates, mean {number(mean.mean, 4)}, sum {number(total.iloc[-1])}"


def _auc_by_fold(axes: Axes, quality: SignalQuality) -> str:
    if quality.over_time is not None:
        raise NothingToDrawError("one ticker cannot be ranked within a date; the tables show the AUC over time")
    table = quality.folds.dropna(subset=["auc"])
    if table.empty:
        raise NothingToDrawError("no fold has dates with known outcomes of both classes")
    place = np.arange(len(table), dtype="float64")
    handles: list[tuple[Any, str]] = []
    low, high = table["auc"] - table["auc_low"], table["auc_high"] - table["auc"]
    bars = axes.errorbar(
        place, table["auc"], yerr=np.vstack([low, high]),  # no bar where an end is NaN
        fmt="o", color=PALETTE["strategy"], markersize=6, capsize=3, linewidth=1.4, zorder=4,
    )  # fmt: skip
    handles.append((bars, "seed mean"))
    per_seed = table["auc_seeds_mean"].notna().any()
    if per_seed:
        spread = axes.vlines(
            place - 0.18,
            table["auc_seeds_mean"] - table["auc_seeds_std"].fillna(0.0),
            table["auc_seeds_mean"] + table["auc_seeds_std"].fillna(0.0),
            color=PALETTE["light"],
            linewidth=5,
        )
        handles.append((spread, "single seeds ± std"))
    markers = dict(zip(NAIVE_PREDICTORS, "^vsD", strict=True))
    for predictor, marker in markers.items():
        column = f"auc_{predictor}"
        if column in table and table[column].notna().any():
            points = axes.scatter(
                place + 0.18, table[column], marker=marker, s=22, facecolor="none",
                edgecolor=PALETTE["universe"], linewidth=1.0, zorder=3,
            )  # fmt: skip
            handles.append((points, predictor.replace("_", " ")))
    axes.axhline(0.5, color=PALETTE["ink"], linewidth=0.8)
    step = max(1, len(table) // 12)
    axes.set_xticks(place[::step], [str(fold + 1) for fold in table.index[::step]])
    axes.set_xlim(-0.6, len(table) - 0.4)
    axes.set(xlabel="Fold", ylabel="Mean per-date AUC")
    axes.grid(visible=False, axis="x")
    axes.legend([handle for handle, _ in handles], [text for _, text in handles])
    mean = quality.overall["auc"]
    ends = interval_of_mean(mean.mean, mean.low, mean.high, 4)
    return f"AUC of {len(table)} folds; overall {number(mean.mean, 4)}, 95% interval: {ends}"


def _deciles(axes: Axes, quality: SignalQuality) -> str:
    table = quality.deciles
    if len(table) < 2:
        raise NothingToDrawError("too few tickers on a date to sort into buckets")
    values = 1e4 * table["excess"]
    known = table["excess_low"].notna()
    ends = np.vstack([values - 1e4 * table["excess_low"], 1e4 * table["excess_high"] - values])[:, known.to_numpy()]
    shades = [PALETTE["gain"] if value >= 0 else PALETTE["loss"] for value in values]
    axes.bar(table.index, values, color=shades, alpha=0.75, width=0.75)
    axes.errorbar(
        table.index[known], values[known], yerr=ends, fmt="none", ecolor=PALETTE["ink"], capsize=2, linewidth=1.0
    )
    axes.axhline(0.0, color=PALETTE["ink"], linewidth=0.8)
    axes.set_xticks(list(table.index))
    axes.set(xlabel="Score bucket, lowest to highest", ylabel="Excess return, basis points")
    axes.grid(visible=False, axis="x")
    span = f"from {number(values.iloc[0], 1)} to {number(values.iloc[-1], 1)}"
    return f"Excess forward return by score bucket, {span} basis points"


def _universe_size(axes: Axes, sizes: Mapping[str, int] | None, signals: pd.DataFrame | None) -> str:
    selected = pd.Series(dict(sizes or {}), dtype="float64")
    selected = selected.set_axis(pd.to_datetime(selected.index)).sort_index()
    # the universe is empty before the first date with enough history
    selected = selected.loc[selected.ne(0.0).idxmax() :] if selected.gt(0).any() else selected.iloc[:0]
    scored = pd.Series(dtype="float64") if signals is None else signals.groupby(level="date").size()
    if selected.empty and scored.empty:
        raise NothingToDrawError("neither universe sizes nor scores were recorded")
    words = []
    if not selected.empty:
        # a universe keeps its members until the next selection date
        last = max(selected.index[-1], scored.index[-1]) if len(scored) else selected.index[-1]
        ends = selected.index.append(pd.DatetimeIndex([last]))
        axes.step(ends, [*selected, selected.iloc[-1]], where="post", color=PALETTE["universe"], label="universe")
        words.append(f"universe of {_range_text(selected)} tickers")
    if len(scored):
        axes.plot(scored.index, scored.to_numpy(), color=PALETTE["strategy"], linewidth=1.0, label="scored")
        words.append(f"{_range_text(scored)} of them scored" if words else f"{_range_text(scored)} tickers scored")
    axes.set_ylim(bottom=0)
    axes.xaxis_date()
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.set_ylabel("Tickers")
    axes.legend()
    return f"Over time: {', '.join(words)}"


def _range_text(counts: pd.Series) -> str:
    low, high = f"{int(counts.min()):,}", f"{int(counts.max()):,}"
    return low if low == high else f"{low} to {high}"


def _learning_curves(axes: Axes, history: pd.DataFrame | None, folds: pd.DataFrame | None) -> str:
    if history is None or history.empty:
        raise NothingToDrawError("no training history was recorded")
    curves = history.groupby(["fold", "epoch"])[["loss", "validation_loss"]].mean()
    numbers = sorted(curves.index.get_level_values("fold").unique())
    shades = colormaps["Blues"](np.linspace(0.4, 1.0, len(numbers)))
    warm = colormaps["Oranges"](np.linspace(0.4, 1.0, len(numbers)))
    best_epochs = (
        folds.groupby("fold")["epochs"].median() if folds is not None and "epochs" in folds else pd.Series(dtype=float)
    )
    for fold, shade, other in zip(numbers, shades, warm, strict=True):
        curve = curves.loc[fold]
        axes.plot(curve.index, curve["loss"], color=shade, linestyle="--", linewidth=1.1, marker=".", markersize=4)
        axes.plot(curve.index, curve["validation_loss"], color=other, linewidth=1.5, marker=".", markersize=4)
        epoch = best_epochs.get(fold)
        if epoch is not None and round(float(epoch)) in curve.index:
            axes.plot(
                [round(float(epoch))], [curve["validation_loss"].loc[round(float(epoch))]], marker="o",
                markersize=8, markerfacecolor="none", markeredgecolor=other, linestyle="none",
            )  # fmt: skip
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="Epoch", ylabel="Loss")
    axes.legend(
        [Line2D([], [], color=shades[-1], linestyle="--"), Line2D([], [], color=warm[-1])], ["training", "validation"]
    )
    return f"Training and validation loss by epoch for {len(numbers)} folds"
