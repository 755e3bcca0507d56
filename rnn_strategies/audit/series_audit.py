"""Audit of forecasts of series: folds, look-ahead by experiment, and skill beside baselines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from rnn_strategies.audit.check_result import Status, Verdict
from rnn_strategies.pipelines.forecast_run import ForecastRun
from signals.common.progress_events import ProgressCallback, ProgressEvent
from signals.forecasting.baseline_runs import compare, compute_baselines
from signals.forecasting.comparison import Comparison
from signals.forecasting.problem import Problem, SeriesFold
from signals.forecasting.series_table import SeriesTable
from signals.forecasting.series_walk_forward import NETWORK, ForecastResult, compute_forecasts

__all__ = ["COVERED", "UNPROVED", "audit_series"]

COVERED = ("fold-checks", "look-ahead", "baseline-attribution")
_NOT_COVERED = {
    "adjustments": "Series have no adjusted prices; what transforms them is in [series].",
    "warm-up": "Series have no features: a network sees the rows of its window, which the folds account for.",
    "delisted-names": "Series have no tickers; periods without a row are refused when the series are read.",
    "survivorship": "Series have no universe; which series were chosen, and when, cannot be seen in them.",
    "sensitivity": "Variations are tried for backtests only; `--set` with another --out forecasts with other settings.",
}
UNPROVED = (
    "That the figures were known at the end of their row: those of a file are as of its vintage, and published when "
    "series.publication_note says.",
    "That the test rows were not looked at before this configuration was chosen.",
)

# What forecasts of one row may differ by, relatively, when other rows are computed along with it.
CLOSE = 1e-6
KEYS = ["date", "series", "step", "level", "model", "seed"]


def audit_series(
    run: ForecastRun, wanted: Sequence[str], *, cutoffs: int, on_progress: ProgressCallback
) -> tuple[Verdict, ...]:
    """Audit forecasts; nothing in their folder is changed.

    Parameters
    ----------
    run : ForecastRun
        An opened folder, or a configuration.
    wanted : sequence of str
        Checks of the audit, see `rnn_strategies.audit.audit.CHECKS`; those about stocks are skipped with the reason.
    cutoffs : int
        Random origins after which the future is replaced, beside the last one of every fold.
    on_progress : callable
        Receives progress.

    Returns
    -------
    tuple of Verdict
        In the order of `wanted`.
    """
    work = _Work(run, on_progress)
    checks: dict[str, Callable[[], Verdict]] = {
        "fold-checks": lambda: _folds(work.result.problem, work.result.cuts),
        "look-ahead": lambda: _look_ahead(work, cutoffs),
        "baseline-attribution": lambda: _explained(work.comparison),
    }
    return tuple(
        checks[check]() if check in checks else Verdict(check, Status.SKIPPED, _NOT_COVERED[check]) for check in wanted
    )


class _Work:
    """Forecasts of a table by the configuration's networks and baselines."""

    def __init__(self, run: ForecastRun, on_progress: ProgressCallback) -> None:
        self.run, self.on_progress = run, on_progress
        self.config = run.config
        self.table = run.series
        on_progress(ProgressEvent("audit", "computing the forecasts as they are"))
        self.result, self.forecasts, self.comparison = self.forecast(self.table)

    def forecast(
        self, table: SeriesTable, artifacts: Path | None = None
    ) -> tuple[ForecastResult, pd.DataFrame, Comparison]:
        config = self.config
        result = compute_forecasts(
            table,
            model=config.model,
            training=config.training,
            walk_forward=config.walk_forward,
            seeds=config.seeds,
            artifacts=artifacts or self.run.home.artifacts,
            settings=config.forecast,
            jobs=self.run.jobs,
            on_progress=self.on_progress,
        )
        beside = compute_baselines(
            result.problem,
            result.cuts,
            config.baselines,
            lags=config.lags,
            quantiles=config.forecast.quantiles,
            returns=config.forecast.reference_baseline != "persistence",
        )
        frame = pd.concat([result.forecasts, beside.forecasts], ignore_index=True)
        return result, frame, compare(result, beside, config.forecast)


def _folds(problem: Problem, cuts: Sequence[SeriesFold]) -> Verdict:
    """Check of every fold that all values it trains on were known at the first origin of the next slice."""
    dates, evidence = problem.table.dates, []
    for cut in cuts:
        for name, part, following in (
            ("training", cut.train, cut.validation),
            ("validation", cut.validation, cut.test),
        ):
            last = part.stop - 1 + problem.horizon
            if last > following.start:
                return Verdict(
                    "fold-checks",
                    Status.FAILED,
                    f"Fold {cut.number} uses a {name} origin whose last period, {dates[last]}, was not known at "
                    f"{dates[following.start]}, when the next slice begins; purge such origins.",
                )
        evidence.append(
            (
                f"fold {cut.number}",
                f"{len(cut.train):,} training and {len(cut.validation):,} validation origins, the last label known on "
                f"{dates[cut.both.stop - 1 + problem.horizon]}, first forecast made on {dates[cut.test.start]}",
            )
        )
    finding = f"In {len(cuts)} folds all values trained on were known when the first forecast was made."
    return Verdict("fold-checks", Status.PASSED, finding, evidence)


def _look_ahead(work: _Work, cutoffs: int) -> Verdict:
    """Cut the rows after some origins off, and replace them, and compare every forecast made until then."""
    origins = _origins(work, cutoffs)
    if not origins:
        return Verdict("look-ahead", Status.SKIPPED, "No fold forecasts more than one origin: there is no day to try.")
    tried = []
    with TemporaryDirectory() as folder:
        # networks of a trainer of one's own are trained again: what it may have looked at is not in their keys
        artifacts = Path(folder) if ":" in work.config.training.trainer else None
        for origin, fold in origins:
            day = work.table.dates[origin]
            for kind, table, tolerance in _other_futures(work.table, origin, fold):
                other = work.forecast(table, artifacts)[1]
                found = _first_difference(work.forecasts, other, day, tolerance)
                if found is not None:
                    return Verdict(
                        "look-ahead",
                        Status.FAILED,
                        f"With the rows after {day} {kind}, {found}: it used what was not known then.",
                    )
                tried.append(f"{day} {kind}")
    return Verdict(
        "look-ahead",
        Status.PASSED,
        f"No forecast of networks or baselines made until a day changes when the rows after it are cut off or replaced "
        f"({len(tried)} experiments on {len(origins)} days).",
        [("tried", ", ".join(tried))],
    )


def _origins(work: _Work, cutoffs: int) -> list[tuple[int, SeriesFold]]:
    """Choose the last origin of every fold, and some at random, with the fold that forecasts each.

    The first origin of a fold is none of them: in a table that ends there it is a live origin of the fold before.
    """
    rng = np.random.default_rng(int(work.config.hash[:8], 16))
    cuts = [cut for cut in work.result.cuts if len(cut.test) > 1]
    chosen = {cut.test[-1]: cut for cut in cuts}
    every = [(origin, cut) for cut in cuts for origin in cut.test[1:]]
    for place in rng.choice(len(every), min(cutoffs, len(every)), replace=False):
        chosen.setdefault(*every[place])
    return sorted(chosen.items())


def _other_futures(table: SeriesTable, origin: int, fold: SeriesFold) -> list[tuple[str, SeriesTable, float]]:
    """Tables without the rows after an origin, and with others up to the end of the fold's test slice."""
    futures = [("cut off", table.until(table.dates[origin]), CLOSE)]
    rest = fold.test.stop - origin - 1
    if rest > 0:
        values = table.values[: fold.test.stop].copy()
        rng = np.random.default_rng(origin)
        scale = np.abs(values).max(axis=0) + 1.0
        values[origin + 1 :] = rng.normal(size=(rest, values.shape[1])) * scale
        futures.append(("replaced", replace(table, dates=table.dates[: fold.test.stop], values=values), CLOSE))
    return futures


def _first_difference(whole: pd.DataFrame, other: pd.DataFrame, day: np.datetime64, tolerance: float) -> str | None:
    """Say which forecast made until a day differs first; None when none does."""
    merged = whole[whole["date"] <= day].merge(other, on=KEYS, suffixes=("", "_again"))
    one, two = merged["forecast"].to_numpy(), merged["forecast_again"].to_numpy()
    wrong = np.abs(one - two) > tolerance * (np.abs(one) + np.std(one))
    if not wrong.any():
        return None
    row = merged.iloc[int(np.argmax(wrong))]
    return (
        f"{row['model']} forecasts {row['series']} {row['step']} ahead of {row['date']:%Y-%m-%d} as "
        f"{row['forecast_again']:.6g} instead of {row['forecast']:.6g}"
    )


def _explained(comparison: Comparison) -> Verdict:
    """Put the network beside the best of the baselines."""
    table = comparison.table.set_index("model")
    metric = comparison.metric
    others = table.drop(index=NETWORK)
    best = str(others[metric].idxmin())
    error, least = float(table.loc[NETWORK, metric]), float(others.loc[best, metric])
    evidence = [(model, f"{metric.upper()} {value:.4g}") for model, value in table[metric].items()]
    text = f"The network's {metric.upper()} is {error:.4g}, the best baseline's ({best}, by hindsight) {least:.4g}"
    if error < least:
        return Verdict("baseline-attribution", Status.PASSED, f"{text}.", evidence)
    return Verdict(
        "baseline-attribution", Status.NOTED, f"{text}: the baseline explains what the network forecasts.", evidence
    )
