"""Audit of forecasts of series: folds, look-ahead, and skill compared with baselines."""

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
    "adjustments": "Series have no adjusted prices; [series] configures their transformation.",
    "warm-up": "Series have no features: a network receives the rows of its window, which the folds take into account.",
    "delisted-names": "Series have no tickers; periods without a row are rejected when the series are read.",
    "survivorship": "Series have no universe; the selection of the series cannot be tested with the data.",
    "sensitivity": "Variations are computed for backtests only; use `--set` with another --out for other settings.",
}
UNPROVED = (
    "That the values were known at the end of their period: a file holds the revisions of its vintage, and "
    "series.publication_note states the delay of publication.",
    "That the configuration was chosen without knowledge of the test period.",
)

# Relative difference allowed between forecasts of one row that were computed together with different other rows.
TOLERANCE = 1e-6
KEYS = ["date", "series", "step", "level", "model", "seed"]


def audit_series(
    run: ForecastRun, wanted: Sequence[str], *, cutoffs: int, on_progress: ProgressCallback
) -> tuple[Verdict, ...]:
    """Audit forecasts of series; nothing in their folder is changed.

    Parameters
    ----------
    run : ForecastRun
        An opened run folder.
    wanted : sequence of str
        Checks of the audit, see `rnn_strategies.audit.audit.CHECKS`; those about stocks are skipped with a reason.
    cutoffs : int
        Number of random origins after which later rows are replaced, in addition to the last one of every fold.
    on_progress : callable
        Called with every `ProgressEvent`.

    Returns
    -------
    tuple of Verdict
        In the order of `wanted`.
    """
    forecaster = _Forecaster(run, on_progress)
    checks: dict[str, Callable[[], Verdict]] = {
        "fold-checks": lambda: _check_folds(forecaster.result.problem, forecaster.result.cuts),
        "look-ahead": lambda: _check_look_ahead(forecaster, cutoffs),
        "baseline-attribution": lambda: _compare_with_baselines(forecaster.comparison),
    }
    return tuple(
        checks[check]() if check in checks else Verdict(check, Status.SKIPPED, _NOT_COVERED[check]) for check in wanted
    )


class _Forecaster:
    """Forecasts of a table by the networks and baselines of a configuration."""

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
        baselines = compute_baselines(
            result.problem,
            result.cuts,
            config.baselines,
            lags=config.lags,
            quantiles=config.forecast.quantiles,
            returns=config.forecast.reference_baseline != "persistence",
        )
        frame = pd.concat([result.forecasts, baselines.forecasts], ignore_index=True)
        return result, frame, compare(result, baselines, config.forecast)


def _check_folds(problem: Problem, cuts: Sequence[SeriesFold]) -> Verdict:
    """Check for every fold that all values it is trained on were known at the first origin of the next slice."""
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
    finding = f"In {len(cuts)} folds all values used for training were known at the first forecast."
    return Verdict("fold-checks", Status.PASSED, finding, evidence)


def _check_look_ahead(forecaster: _Forecaster, cutoffs: int) -> Verdict:
    """Remove and replace the rows after some origins, and compare every forecast until then."""
    origins = _select_origins(forecaster, cutoffs)
    if not origins:
        return Verdict("look-ahead", Status.SKIPPED, "No fold forecasts more than one origin: there is no day to test.")
    tested = []
    with TemporaryDirectory() as folder:
        # stored networks of a custom trainer are not reused: data that it reads by itself are not in their keys
        artifacts = Path(folder) if ":" in forecaster.config.training.trainer else None
        for origin, fold in origins:
            day = forecaster.table.dates[origin]
            for kind, table, tolerance in _perturbed_tables(forecaster.table, origin, fold):
                other = forecaster.forecast(table, artifacts)[1]
                difference = _first_difference(forecaster.forecasts, other, day, tolerance)
                if difference is not None:
                    return Verdict(
                        "look-ahead",
                        Status.FAILED,
                        f"With the rows after {day} {kind}, {difference}: it uses later rows.",
                    )
                tested.append(f"{day} {kind}")
    return Verdict(
        "look-ahead",
        Status.PASSED,
        f"No forecast of networks or baselines until a day changes when the rows after it are removed or replaced "
        f"({len(tested)} experiments on {len(origins)} days).",
        [("tested", ", ".join(tested))],
    )


def _select_origins(forecaster: _Forecaster, cutoffs: int) -> list[tuple[int, SeriesFold]]:
    """Select the last origin of every fold, and some at random, with the fold that forecasts each.

    The first origin of a fold is excluded: in a table that ends there it is a live origin of the previous fold.
    """
    rng = np.random.default_rng(int(forecaster.config.hash[:8], 16))
    cuts = [cut for cut in forecaster.result.cuts if len(cut.test) > 1]
    chosen = {cut.test[-1]: cut for cut in cuts}
    every = [(origin, cut) for cut in cuts for origin in cut.test[1:]]
    for place in rng.choice(len(every), min(cutoffs, len(every)), replace=False):
        chosen.setdefault(*every[place])
    return sorted(chosen.items())


def _perturbed_tables(table: SeriesTable, origin: int, fold: SeriesFold) -> list[tuple[str, SeriesTable, float]]:
    """Table without the rows after an origin, and table with other rows up to the end of the fold's test slice."""
    perturbed = [("removed", table.until(table.dates[origin]), TOLERANCE)]
    rest = fold.test.stop - origin - 1
    if rest > 0:
        values = table.values[: fold.test.stop].copy()
        rng = np.random.default_rng(origin)
        scale = np.abs(values).max(axis=0) + 1.0
        values[origin + 1 :] = rng.normal(size=(rest, values.shape[1])) * scale
        perturbed.append(("replaced", replace(table, dates=table.dates[: fold.test.stop], values=values), TOLERANCE))
    return perturbed


def _first_difference(whole: pd.DataFrame, other: pd.DataFrame, day: np.datetime64, tolerance: float) -> str | None:
    """Describe the first forecast until a day that differs; None when none does."""
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


def _compare_with_baselines(comparison: Comparison) -> Verdict:
    """Compare the error of the network with that of the best baseline."""
    table = comparison.table.set_index("model")
    metric = comparison.metric
    others = table.drop(index=NETWORK)
    best = str(others[metric].idxmin())
    error, least = float(table.loc[NETWORK, metric]), float(others.loc[best, metric])
    evidence = [(model, f"{metric.upper()} {value:.4g}") for model, value in table[metric].items()]
    text = (
        f"The {metric.upper()} of the network is {error:.4g}, that of the best baseline ({best}, in hindsight) "
        f"{least:.4g}"
    )
    if error < least:
        return Verdict("baseline-attribution", Status.PASSED, f"{text}.", evidence)
    return Verdict(
        "baseline-attribution", Status.NOTED, f"{text}: the network is no better than that baseline.", evidence
    )
