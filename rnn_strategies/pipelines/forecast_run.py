"""Walk-forward forecasts of series with baselines, written to a run folder with their accuracy."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from rnn_strategies.config.forecast_config import ForecastConfig, load_forecast_config
from rnn_strategies.runs.manifest import Manifest, key_of, versions
from rnn_strategies.runs.progress_display import in_notebook, show_progress
from rnn_strategies.runs.version import __version__
from rnn_strategies.runs.workspace import Home, default_home, locked
from signals.common.errors import InputError, RnnStrategiesError
from signals.common.import_objects import source_digest
from signals.common.progress_events import ProgressCallback, ProgressEvent, ignore_progress
from signals.common.storage import (
    atomic_write,
    read_json,
    read_parquet,
    remove_temporary_files,
    write_json,
    write_parquet,
)
from signals.common.summary_card import Card, markdown_text
from signals.forecasting.baseline_runs import Baselines, compare, compute_baselines
from signals.forecasting.live_forecasts import latest_forecasts, live_markdown
from signals.forecasting.series_table import SeriesTable
from signals.forecasting.series_walk_forward import NETWORK, ForecastResult, compute_forecasts, make_problem

__all__ = ["ForecastRun", "forecast", "open_forecast"]

STAGE = "forecast"
MAX_TABLE_WARNINGS = 12  # the manifest has all of them
FILES = (
    "forecasts.parquet",
    "actuals.parquet",
    "folds.parquet",
    "history.parquet",
    "accuracy.json",
    "table.md",
)


def forecast(
    config: ForecastConfig | Path | str,
    *,
    out: Path | str | None = None,
    overrides: Sequence[str] = (),
    jobs: int | None = None,
    home: Home | None = None,
    on_progress: ProgressCallback | None = None,
) -> ForecastRun:
    """Forecast series walk-forward and compare the network with baselines. Finished work is not computed again.

    Parameters
    ----------
    config : ForecastConfig, or path of a TOML file or run folder
        The configuration.
    out : Path, optional
        Run folder; `runs/<name>` by default.
    overrides : sequence of str
        Settings as `"table.key=value"`, which replace those of the file.
    jobs : int, optional
        Number of training processes; one per core by default. Results do not depend on it.
    home : Home, optional
        Folder of stored networks; `.rnn-strategies` by default.
    on_progress : callable, optional
        Called with every `ProgressEvent`. By default a notebook shows a progress bar, and a script shows nothing.

    Returns
    -------
    ForecastRun
        The finished run folder.

    Raises
    ------
    InputError
        For faults in the configuration or the data. Finished networks are kept.
    """
    opened = open_forecast(config, out=out, overrides=overrides, jobs=jobs, home=home, on_progress=on_progress)
    with opened.locked():
        opened.compute()
    return opened


def open_forecast(
    target: ForecastConfig | Path | str,
    *,
    out: Path | str | None = None,
    overrides: Sequence[str] = (),
    jobs: int | None = None,
    home: Home | None = None,
    on_progress: ProgressCallback | None = None,
) -> ForecastRun:
    """Return the run folder of a configuration, or an existing one by its path; nothing is computed or written.

    Parameters are those of `forecast`.

    Raises
    ------
    InputError
        When the folder holds forecasts of another configuration.
    """
    if isinstance(target, ForecastConfig):
        config, folder = target, Path(out) if out else Path("runs") / target.name
    elif Path(target).is_dir():
        if out or overrides:
            raise InputError(
                f"expected a configuration file together with --out or --set; found the folder {target}; use "
                f"{Path(target) / 'config.toml'} and another --out"
            )
        config, folder = load_forecast_config(Path(target) / "config.toml"), Path(target)
    else:
        config = load_forecast_config(target, overrides)
        folder = Path(out) if out else Path("runs") / config.name
    recorded_hash = Manifest(folder).data.get("config_hash")
    if recorded_hash is not None and recorded_hash != config.hash:
        raise InputError(
            f"expected {folder} to be empty or to hold this configuration; found a run of another one; "
            "choose another --out or name, or delete the folder"
        )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    on_progress = on_progress or (show_progress() if in_notebook() else ignore_progress)
    return ForecastRun(folder, config, home or default_home(), jobs or cores, on_progress)


@dataclass(repr=False)
class ForecastRun:
    """Run folder of forecasts.

    Parameters
    ----------
    folder : Path
        Folder of the files.
    config : ForecastConfig
        The configuration.
    home : Home
        Folder of stored networks.
    jobs : int
        Number of training processes; 1 by default.
    on_progress : callable
        Called with every `ProgressEvent`; ignores them by default.
    """

    folder: Path
    config: ForecastConfig
    home: Home
    jobs: int = 1
    on_progress: ProgressCallback = ignore_progress

    # -- contents ---------------------------------------------------------------------------------------------------

    @cached_property
    def series(self) -> SeriesTable:
        """The transformed series."""
        return self.config.load_series()

    @property
    def forecasts(self) -> pd.DataFrame:
        """Forecasts of the network, by seed, and of every baseline; see `ForecastResult`."""
        return read_parquet(self.folder / "forecasts.parquet")

    @property
    def actuals(self) -> pd.DataFrame:
        """Actual values of every forecast date and step."""
        return read_parquet(self.folder / "actuals.parquet")

    @property
    def folds(self) -> pd.DataFrame:
        """One row per fold and seed."""
        return read_parquet(self.folder / "folds.parquet")

    @property
    def accuracy(self) -> dict[str, Any]:
        """Content of `accuracy.json`: every figure of the table, and details."""
        accuracy: dict[str, Any] = read_json(self.folder / "accuracy.json")
        return accuracy

    @property
    def table(self) -> str:
        """Comparison of the network with the baselines, as Markdown text."""
        return (self.folder / "table.md").read_text(encoding="utf-8")

    def locked(self) -> AbstractContextManager[None]:
        """Context that holds the lock of the folder against other processes."""
        return locked(self.folder)

    def card(self) -> Card:
        """Summary of the finished work and the main figures."""
        facts, warnings = [("folder", str(self.folder))], []
        try:
            done = self._manifest.is_done(STAGE)
            facts.append(("done", "forecasts and their accuracy" if done else "nothing yet"))
            if done:
                simulated = " (simulated)" if self._manifest.data["simulated"] else ""
                facts.append(("series", ", ".join(self._manifest.data["series"]["names"]) + simulated))
                facts += [(row["model"], self._figures(row)) for row in self.accuracy["models"]]
                facts += self._live_facts()
                warnings = self._manifest.data.get("warnings", [])
        except RnnStrategiesError as error:  # a representation must not raise
            facts.append(("damaged", str(error)))
        return Card(f"ForecastRun {self.config.name}", facts, warnings)

    def _live_facts(self) -> list[tuple[str, str]]:
        """Forecast of the network for the first period after the last row, for each series."""
        if "live" not in self.forecasts:  # folders of older versions have no such column
            return []
        rows = latest_forecasts(self.forecasts)
        rows = rows[(rows["model"] == NETWORK) & (rows["step"] == 1)]
        if levels := sorted(rows["level"].dropna().unique()):
            rows = rows[rows["level"] == levels[len(levels) // 2]]
        return [
            ("live forecast", f"{name} of {part['target_date'].iloc[0]:%Y-%m-%d}: {part['forecast'].mean():.5g}")
            for name, part in rows.groupby("series", sort=False)
        ]

    def _figures(self, row: dict[str, Any]) -> str:
        settings = self.config.forecast
        text = f"{settings.metric.upper()} {row[settings.metric]:.4g}"
        return text if row["ratio"] is None else f"{text}, {row['ratio']:.3f} x {settings.reference_baseline}"

    def __repr__(self) -> str:
        return self.card().text()

    def _repr_html_(self) -> str:
        return self.card().html()

    # -- computation ------------------------------------------------------------------------------------------------

    def compute(self) -> None:
        """Forecast and compare, unless the manifest records this as finished with equal series, settings, versions."""
        config, manifest = self.config, self._manifest
        plugin = source_digest(config.training.trainer)
        key = key_of(__version__, config.hash, config.title, self.series.digest(), plugin, versions())
        if manifest.is_done(STAGE, key):
            self.on_progress(ProgressEvent(STAGE, "already done"))
            return
        # files of an older run must not be taken for results of this one if it is interrupted
        if manifest.data.get("stages", {}).pop(STAGE, None):
            manifest.write()
        remove_temporary_files(self.folder)
        began = time.perf_counter()
        # baselines take seconds and come first, so that faults in the settings show before networks are trained
        problem = make_problem(self.series, config.model, config.forecast)
        baselines = compute_baselines(
            problem,
            problem.folds(config.walk_forward),
            config.baselines,
            lags=config.lags,
            quantiles=config.forecast.quantiles,
            returns=config.forecast.reference_baseline != "persistence",
            on_progress=self.on_progress,
        )
        result = self._forecast()
        warnings = self._warnings(result, baselines)
        self._write_results(result, baselines, warnings)
        manifest.data |= {
            "warnings": warnings,
            "name": config.name,
            "config_hash": config.hash,
            "simulated": config.series["source"] == "simulated",
            "series": self._series_facts(),
            "trainer": result.trainer,
            "parameters": result.parameters,
        }
        atomic_write(self.folder / "config.toml", config.to_toml().encode())
        manifest.finish(STAGE, key, FILES)
        manifest.write()
        self._write_timings(result, time.perf_counter() - began)
        self.on_progress(ProgressEvent(STAGE, f"{result.trained} networks trained, {result.reused} reused"))

    @cached_property
    def _manifest(self) -> Manifest:
        return Manifest(self.folder)

    def _forecast(self) -> ForecastResult:
        config = self.config
        return compute_forecasts(
            self.series,
            model=config.model,
            training=config.training,
            walk_forward=config.walk_forward,
            seeds=config.seeds,
            artifacts=self.home.artifacts,
            settings=config.forecast,
            jobs=self.jobs,
            on_progress=self.on_progress,
        )

    def _warnings(self, result: ForecastResult, baselines: Baselines) -> list[str]:
        """Warnings of the trainer, the series and the baselines, without duplicates."""
        warnings = [*result.trainer.get("warnings", ()), *self.series.warnings, *baselines.warnings]
        if result.problem.retraining_due(self.config.walk_forward):
            first = result.problem.target_dates(result.cuts[-1].live)[0, 0]
            warnings.append(
                f"The live forecast is made by the networks and baselines of the last fold, trained until "
                f"{result.folds['trained_until'].iloc[-1]:%Y-%m-%d}: from {first} on walk_forward trains new ones, as "
                "soon as the series have that row."
            )
        return list(dict.fromkeys(warnings))

    def _write_results(self, result: ForecastResult, baselines: Baselines, warnings: Sequence[str]) -> None:
        forecasts = pd.concat([result.forecasts, baselines.forecasts], ignore_index=True)
        for name, frame in (
            ("forecasts", forecasts),
            ("actuals", result.actuals),
            ("folds", result.folds),
            ("history", result.history),
        ):
            write_parquet(self.folder / f"{name}.parquet", frame)
        settings = self.config.forecast
        comparison = compare(result, baselines, settings)
        accuracy = {
            "error_units": settings.error_units,
            "details": {name: list(details) for name, details in baselines.details.items()},
        }
        write_json(self.folder / "accuracy.json", comparison.as_dict() | accuracy)
        parts = [self._heading(result), comparison.markdown(), live_markdown(forecasts), _warning_lines(warnings)]
        text = "\n\n".join(part.rstrip() for part in parts if part) + "\n"
        atomic_write(self.folder / "table.md", text.encode())

    def _heading(self, result: ForecastResult) -> str:
        """Title of the table, and its series, source, network and training."""
        config, table, problem = self.config, self.series, result.problem
        ahead = result.actuals.loc[result.actuals["step"] == 1, "target_date"]
        steps = "1 period" if problem.horizon == 1 else f"1 to {problem.horizon} periods"
        target = {"level": "the value itself", "change": "the change from the last value"}[config.forecast.target]
        units = {"series": "those of the series", "minmax": "fractions of each series' range over all rows"}
        lines = [
            f"# {config.title}",
            f"{', '.join(problem.names)}, {steps} ahead, {ahead.min():%Y-%m-%d} to {ahead.max():%Y-%m-%d}"
            + (" (SIMULATED)" if config.series["source"] == "simulated" else ""),
            f"source {table.source}; figures as of: {table.vintage_note or 'not stated'}; published: "
            f"{table.publication_note or 'not stated'}",
            f"network: {result.parameters:,} parameters, predicts {target}; {len(config.seeds)} seeds; best epochs "
            f"{result.folds['epochs'].min()} to {result.folds['epochs'].max()} of {config.training.epochs}, selected "
            "on the validation slice",
            f"trained by {result.trainer['name']} with the loss {result.trainer['loss']}; units of errors: "
            f"{units[config.forecast.error_units]}",
        ]
        if last := int((result.folds["epochs"] == config.training.epochs).sum()):
            lines.append(
                f"the last epoch was the best one in {last} of {len(result.folds)} networks: training.epochs = "
                f"{config.training.epochs} stopped them while the validation loss still fell"
            )
        title, *facts = (markdown_text(line) for line in lines)  # names of series can hold Markdown characters
        return "\n".join([title, "", *(f"- {line}" for line in facts)])

    def _series_facts(self) -> dict[str, Any]:
        table = self.series
        return {
            "sha256": table.digest(),
            "names": list(table.names),
            "rows": len(table),
            "first": str(table.dates[0]),
            "last": str(table.dates[-1]),
            "source": table.source,
            "vintage_note": table.vintage_note,
            "publication_note": table.publication_note,
        }

    def _write_timings(self, result: ForecastResult, seconds: float) -> None:
        write_json(
            self.folder / "timings.json",
            {
                "seconds": {STAGE: round(seconds, 3), "networks": result.seconds},
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
                "host": f"{platform.system()} {platform.machine()}, {self.jobs} training processes",
            },
        )


def _warning_lines(warnings: Sequence[str]) -> str:
    """Return the first `MAX_TABLE_WARNINGS` warnings as a Markdown list; empty without warnings."""
    if not warnings:
        return ""
    shown = [f"- {markdown_text(text)}" for text in warnings[:MAX_TABLE_WARNINGS]]
    if len(warnings) > MAX_TABLE_WARNINGS:
        shown.append(f"- and {len(warnings) - MAX_TABLE_WARNINGS:,} more, in manifest.json")
    return "\n".join(["Warnings:", "", *shown])
