"""Reproduction of the stacked LSTM on a panel of stocks, with other cells and output heads, and with baselines."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from rnn_strategies.config.panel_config import load_config
from rnn_strategies.config.presets import write_preset
from rnn_strategies.pipelines.panel_run import Run
from rnn_strategies.pipelines.run_config import open_run
from rnn_strategies.reproduce.naive_scores import measure_naive_scores
from rnn_strategies.reproduce.report import Report
from rnn_strategies.reproduce.score_measures import measure_scores, pooled_auc
from rnn_strategies.reproduce.stacked_report import stacked_report
from rnn_strategies.reproduce.variations import VARIATIONS, Variation
from rnn_strategies.runs.workspace import Home
from signals.common.progress_events import ProgressCallback, ProgressEvent
from signals.common.storage import read_parquet, sha256_file
from signals.models.custom import CustomModel
from signals.models.network import Network
from signals.models.registry import build_network
from signals.models.saved_keras import SavedKerasModel
from signals.trainers.compiled import unsupported_reason
from signals.trainers.compiled.layout import Layout

__all__ = ["reproduce_stacked"]

FILE = "us-stocks-daily/close_all.parquet"  # as `systems` lists it
FURTHER: tuple[str, ...] = ()  # overrides of every variation, with which tests use small settings
PUBLISHED = {"auc": 0.63, "second_edition": 0.6815}


def reproduce_stacked(
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
    """Run every variation and compare them in the tables of a report.

    Parameters
    ----------
    name : str
        Name of the system.
    data : Path
        Folder with the data files.
    out : Path
        Folder of the run folders, one per variation: `out/<name>/<key>`. Finished ones are not computed again.
    seeds : int
        Number of networks per fold.
    jobs : int
        Number of training processes.
    home : Home
        Folder of stored networks.
    on_progress : callable
        Called with every `ProgressEvent`.
    write : callable
        Called with the report after each variation.

    Returns
    -------
    Report
        The complete report.
    """
    common = [f"training.seeds={list(range(seeds))}", *FURTHER]
    figures: dict[str, Any] = {"published": PUBLISHED, "seeds": seeds, "models": {}, "trivial": {}}
    report = Report(name, "", (), ())
    first: Run | None = None
    for done, variation in enumerate(VARIATIONS, start=1):
        preset = out / name / f"{variation.preset}.toml"
        write_preset(preset, preset=variation.preset, data=str(data.resolve()), force=True)
        config = load_config(preset, [*variation.overrides, *common])
        run = open_run(
            config,
            out=out / name / variation.key,
            home=home,
            jobs=jobs,
            on_progress=_with_variation_name(on_progress, variation),
        )
        with run.locked():
            if first is not None:
                run.take_prices(first)
            run.compute_signals(again=False)
        first = first or run
        facts = {"label": variation.label, "preset": variation.preset, "settings": list(variation.overrides)}
        parameters = _n_parameters(run) or variation.parameters
        figures["models"][variation.key] = facts | {"parameters": parameters} | _measure(run)
        if run is first:
            figures["data"] = _panel_facts(data, run)
            figures["trivial"] = measure_naive_scores(run)
        report = stacked_report(run.config if run is first else first.config, figures, left=len(VARIATIONS) - done)
        write(report)
        on_progress(ProgressEvent("reproduce", f"{variation.label}: measured", done, len(VARIATIONS)))
    return report


def _with_variation_name(on_progress: ProgressCallback, variation: Variation) -> ProgressCallback:
    return lambda event: on_progress(replace(event, stage=f"{variation.key} {event.stage}"))


def _measure(run: Run) -> dict[str, Any]:
    labels = read_parquet(run.folder / "labels.parquet", index=["date", "ticker"])
    scores = read_parquet(run.folder / "seed_scores.parquet")
    by_seed = {int(seed): rows.set_index(["date", "ticker"])["score"] for seed, rows in scores.groupby("seed")}
    figures: dict[str, Any] = {
        "years": measure_scores(by_seed, labels["forward_return"], horizon=run.config.labels.horizon)
    }
    if run.config.labels.kind == "up":
        figures["pooled_auc_by_seed"] = [pooled_auc(score, labels["label"]) for score in by_seed.values()]
        figures["down"] = float(1.0 - labels["label"].mean())
    folds = read_parquet(run.folder / "folds.parquet")
    figures["epochs"] = folds["epochs"].tolist()
    return figures


def _n_parameters(run: Run) -> int | None:
    """Count the weights of the network of the last fold; None for custom and saved models."""
    config = run.config
    if isinstance(config.model, CustomModel | SavedKerasModel):
        return None
    tickers = int(read_parquet(run.folder / "folds.parquet")["tickers"].iloc[-1])
    network = Network(config.model, tickers + 1, len(config.features), config.labels.target)
    if unsupported_reason(config.model) is None:  # the layout of the compiled trainer needs no Keras
        return sum(math.prod(piece.shape) for piece in Layout.of(network).pieces)
    return int(build_network(network).count_params())


def _panel_facts(data: Path, run: Run) -> dict[str, Any]:
    """Facts about the data file, the scored rows and the training rows."""
    index = read_parquet(run.folder / "signals.parquet", index=["date", "ticker"]).index
    tickers = pd.Series(index.get_level_values("ticker"), index=pd.DatetimeIndex(index.get_level_values("date")).year)
    folds = read_parquet(run.folder / "folds.parquet").drop_duplicates("fold")
    return {
        "file": FILE,
        "sha256": sha256_file(data / FILE),
        "tickers_in_file": len(run.prices.tickers),
        "first": str(run.prices.first),
        "last": str(run.prices.last),
        "live_tickers": {str(year): int(n) for year, n in tickers.groupby(level=0).nunique().items()},
        "train_rows": folds["train_rows"].tolist(),
        "train_tickers": folds["tickers"].tolist(),
        "trained_until": [str(day)[:10] for day in folds["trained_until"]],
    }
