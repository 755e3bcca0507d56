"""Reproduction of systems that forecast series: published and improved networks and baselines on the same origins."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rnn_strategies.config.presets import write_preset
from rnn_strategies.config.toml_files import dropped
from rnn_strategies.pipelines.forecast_run import ForecastRun, forecast
from rnn_strategies.reproduce.download import downloaded_note
from rnn_strategies.reproduce.report import HINDSIGHT, Report, Text, number
from rnn_strategies.reproduce.series_systems import SERIES_SYSTEMS, SeriesSystem
from rnn_strategies.runs.workspace import Home
from signals.common.progress_events import ProgressCallback, ProgressEvent
from signals.common.storage import sha256_file
from signals.evaluation.long_run_variance import TOO_FEW_DATES
from signals.forecasting.comparison import Comparison, comparison_table
from signals.forecasting.series_walk_forward import NETWORK

__all__ = ["reproduce_series"]

PERSISTENCE = "persistence"

FURTHER: tuple[str, ...] = ()  # overrides of every preset, with which tests use small settings


def reproduce_series(
    name: str,
    data: Path,
    out: Path,
    *,
    seeds: int,
    jobs: int,
    home: Home,
    on_progress: ProgressCallback,
    write: Callable[[Report], None] = lambda report: None,
) -> Report:
    """Forecast with every preset of a system, and compare networks and baselines in one table for each problem.

    Parameters
    ----------
    name : str
        One of `SERIES_SYSTEMS`.
    data : Path
        Folder with the data files.
    out : Path
        Folder of the run folders, one per network: `out/<name>/<label>`. Finished ones are not computed again.
    seeds : int
        Number of networks per fold.
    jobs : int
        Number of training processes.
    home : Home
        Folder of stored networks.
    on_progress : callable
        Called with every `ProgressEvent`.
    write : callable
        Called with the report after each network.
    """
    system = SERIES_SYSTEMS[name]
    runs: dict[str, ForecastRun] = {}
    report = Report(name, system.title, (), ())
    labels = [label for problem in system.problems for label in problem.networks]
    for problem in system.problems:
        for label, (preset, overrides) in problem.networks.items():
            file = out / name / f"{preset}.toml"
            write_preset(file, preset=preset, data=str(data.resolve()), force=True)
            more = [*overrides, *_vintage(system, data), f"training.seeds={list(range(seeds))}", *FURTHER]
            folder = out / name / label.replace(" ", "-").replace(",", "")
            runs[label] = forecast(file, out=folder, overrides=more, jobs=jobs, home=home, on_progress=on_progress)
            left = len(labels) - len(runs)
            report = _report(name, system, runs, data, seeds, left)
            write(report)
            on_progress(ProgressEvent("reproduce", f"{name}, {label}: measured", len(runs), len(labels)))
    return report


def _vintage(system: SeriesSystem, data: Path) -> list[str]:
    """Override of the vintage note for a downloaded file; that of the preset describes the published vintage."""
    note = None if system.file is None else downloaded_note(data / system.file)
    return [] if note is None else [f"series.vintage_note={json.dumps(note)}"]


def _report(
    name: str, system: SeriesSystem, runs: Mapping[str, ForecastRun], data: Path, seeds: int, left: int
) -> Report:
    tables, figures, outcome = [], {}, []
    summary: dict[str, str] = {}
    for problem in system.problems:
        mine = {label: runs[label] for label in problem.networks if label in runs}
        if not mine:
            continue
        compared = _compare(mine)
        figures[problem.caption] = compared.as_dict()
        tables.append(Text(f"{problem.caption} ({_units(next(iter(mine.values())))})", compared.markdown()))
        published = system.error if problem is system.problems[0] else None
        outcome += _outcome(problem.caption, compared, list(mine), published)
        summary = summary or _summary(system, compared, list(mine))
    notes = [f"Not finished: {left} more networks remain."] * bool(left)
    first = next(iter(runs.values()))
    facts = (
        ("architecture", system.architecture),
        ("parameters", system.parameters),
        ("published", system.published),
        *outcome,
        *_provenance(system, first, data),
        *((f"protocol of {label}", _protocol(run)) for label, run in runs.items()),
        ("published protocol", system.differs),
    )
    about = {
        label: {
            "preset": run.config.name,
            "configuration": dropped(run.config.tables, "path"),  # without paths of this machine
            "epochs": run.folds["epochs"].tolist(),
            "trainer": run._manifest.data["trainer"]["name"],
        }
        for label, run in runs.items()
    }
    return Report(
        name,
        system.title,
        facts,
        tuple(tables),
        (*notes, *system.notes),
        {"seeds": seeds, "problems": figures, "networks": about, "data": dict(_provenance(system, first, data))},
        summary,
    )


def _compare(runs: Mapping[str, ForecastRun]) -> Comparison:
    """Compare the networks of several runs on the same origins with the baselines of the run that has most of them."""
    baseline_run = max(runs.values(), key=lambda run: len(run.config.baselines))
    frames, parameters = [], {}
    for label, run in runs.items():
        forecasts = run.forecasts
        frames.append(forecasts[forecasts["model"] == NETWORK].assign(model=label))
        parameters[label] = _parameters(run)[NETWORK]
    baselines = baseline_run.forecasts
    frames.append(baselines[baselines["model"] != NETWORK])
    parameters |= {model: count for model, count in _parameters(baseline_run).items() if model != NETWORK}
    settings = baseline_run.config.forecast
    table = baseline_run.series
    targets = settings.series or table.names
    ranges = {target: float(np.ptp(table.values[:, table.names.index(target)])) for target in targets}
    return comparison_table(
        pd.concat(frames, ignore_index=True),
        baseline_run.actuals,
        parameters=parameters,
        units=ranges if settings.error_units == "minmax" else None,
        metric=settings.metric,
        reference=settings.reference_baseline,
    )


def _parameters(run: ForecastRun) -> dict[str, int]:
    return {row["model"]: row["parameters"] for row in run.accuracy["models"] if row["parameters"] is not None}


def _units(run: ForecastRun) -> str:
    settings = run.config.forecast
    unit = "fractions of the range of all rows" if settings.error_units == "minmax" else "units of the series"
    return (
        f"{settings.metric.upper()} in {unit}; mean ± standard deviation over seeds; "
        f"{', '.join(run.forecasts['series'].unique())}"
    )


def _outcome(caption: str, compared: Comparison, networks: list[str], published: float | None) -> list[tuple[str, str]]:
    """Facts about our networks, the naive forecast and the best baseline of one problem, and of its last block."""
    lines = []
    last = _last_block(compared)
    for name, rows in [(caption, compared.table), *([(f"{caption}, the last", last)] if last is not None else [])]:
        best = _best_baseline(compared, rows, networks)
        naive = _row(rows, compared.reference)
        level = f", correlation of levels {number(naive['ic_level'], 4)}" if compared.reference == PERSISTENCE else ""
        compare = published if last is None or rows is last else None
        lines += [
            (f"ours, {name}", "; ".join(_ours(compared, rows, label) for label in networks)),
            (
                f"naive, {name}",
                f"{compared.reference} {naive[compared.metric]:.4g}{level}"
                + (f"; {number(naive[compared.metric] / compare)} of the published error" if compare else ""),
            ),
            (f"best baseline by hindsight, {name}", f"{best}: {_format_error(compared, rows, best)}"),
        ]
    return lines


def _ours(compared: Comparison, rows: pd.DataFrame, model: str) -> str:
    """Error of a network, and the correlation of forecast and actual changes, or of forecasts and actual values."""
    row, of = _row(rows, model), "changes" if compared.reference == PERSISTENCE else "the series"
    t = ""
    if math.isfinite(row["ic_change_t"]):
        t = f", t {number(row['ic_change_t'], 1)} with {row['ic_change_df']:.0f} degrees of freedom"
    elif math.isfinite(row["ic_change"]) and row["ic_change_df"] == 0:
        t = f" ({TOO_FEW_DATES})"
    return f"{model}: {_format_error(compared, rows, model)}, IC of {of} {number(row['ic_change'])}{t}"


def _summary(system: SeriesSystem, compared: Comparison, networks: list[str]) -> dict[str, str]:
    """Cells of the table over all systems: the published problem, its last block where there are several."""
    last = _last_block(compared)
    rows = compared.table if last is None else last
    published, improved = (networks[:1], networks[1:]) if system.error else ([], networks)
    best = _best_baseline(compared, rows, networks)
    naive = _row(rows, compared.reference)[compared.metric]
    return {
        "measure": f"{compared.metric.upper()}{', last block' if last is not None else ''}",
        "published": f"{system.error:g}" if system.error else "-",
        "published network": "; ".join(_format_error(compared, rows, label) for label in published) or "-",
        "improved network": "; ".join(_format_error(compared, rows, label) for label in improved) or "-",
        "naive": f"{naive:.4g} {compared.reference}",
        HINDSIGHT: f"{_row(rows, best)[compared.metric]:.4g} {best}",
    }


def _last_block(compared: Comparison) -> pd.DataFrame | None:
    folds = compared.by_fold
    return folds[folds["fold"] == folds["fold"].max()] if folds["fold"].nunique() > 1 else None


def _row(rows: pd.DataFrame, model: str) -> dict[str, Any]:
    row: dict[str, Any] = rows[rows["model"] == model].iloc[0].to_dict()
    return row


def _best_baseline(compared: Comparison, rows: pd.DataFrame, networks: list[str]) -> str:
    baselines = rows[~rows["model"].isin(networks)]
    return str(baselines.loc[baselines[compared.metric].idxmin(), "model"])


def _format_error(compared: Comparison, rows: pd.DataFrame, model: str) -> str:
    row = _row(rows, model)
    error, deviation = float(row[compared.metric]), float(row[f"{compared.metric}_spread"])
    text = f"{error:.4g}" + (f" ± {deviation:.2g}" if math.isfinite(deviation) else "")
    return f"{text} ({number(row['ratio'])} of {compared.reference})"


def _provenance(system: SeriesSystem, run: ForecastRun, data: Path) -> tuple[tuple[str, str], ...]:
    table = run.series
    facts = [("data", "SIMULATED series; the results do not apply to real series")]
    if system.file is not None:
        digest = sha256_file(data / system.file)
        facts = [("data", f"{system.file}, SHA-256 {digest}; {', '.join(table.names)}")]
    if table.vintage_note:
        facts.append(("vintage", table.vintage_note))
    if table.publication_note:
        facts.append(("release", table.publication_note))
    return tuple(facts)


def _protocol(run: ForecastRun) -> str:
    """Describe target, slices, scaling and training of a network."""
    config, folds = run.config, run.folds
    training, walk_forward = config.training, config.walk_forward
    target = {"level": "predicts the value", "change": "predicts the change from the last value"}[
        config.forecast.target
    ]
    scaled = {
        "standard": "standardised on training rows only",
        "minmax": "min-max scaled on training rows only",
        "none": "not scaled",
    }[config.forecast.scale]
    ahead = run.actuals.loc[run.actuals["actual"].notna(), "target_date"]
    best = folds["epochs"]
    epochs = f"{best.min()} to {best.max()}" if best.min() < best.max() else f"{best.min()}"
    return (
        f"{target}; window {config.model.lookback}; train {walk_forward.train}, validation {walk_forward.validation}, "
        f"test {walk_forward.test} from {walk_forward.test_start} ({ahead.min():%Y-%m-%d} to {ahead.max():%Y-%m-%d}); "
        f"{scaled}; {training.optimizer}, {_loss(run)}, batch {training.batch_size}; best epochs {epochs} of at most "
        f"{training.epochs}, those with the lowest loss on the validation slice; preset {config.name}"
    )


def _loss(run: ForecastRun) -> str:
    """Loss function of the networks: the pinball loss for quantiles, else that of the configuration."""
    return "pinball" if run.config.forecast.quantiles else run.config.training.loss
