"""The spine: prices -> signals -> backtest -> report, each stage resumable, each file whole or absent."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd

from backtests.benchmark import buy_and_hold
from backtests.engine import equal_weight_universe, run_backtest
from backtests.result import BacktestResult
from reports.tear_sheet import write_metrics, write_report
from rnn_strategies import __version__
from rnn_strategies.config import Config, load_config
from rnn_strategies.home import Home, default_home
from rnn_strategies.remarks import price_remarks, signal_remarks
from rnn_strategies.trials import Trial, finish_trial, start_trial
from signals.errors import InputError
from signals.events import Event, Listener, silent
from signals.prices import Prices
from signals.sources import load_prices
from signals.storage import (
    atomic_write,
    canonical_json,
    read_json,
    read_parquet,
    sha256_bytes,
    sha256_file,
    sweep,
    write_json,
    write_parquet,
)
from signals.walk_forward import compute_signals

__all__ = ["Run", "open_run", "run"]

MANIFEST_SCHEMA = 1
STAGES = ("signals", "backtest")
SIGNAL_FILES = ("signals.parquet", "seed_scores.parquet", "labels.parquet", "folds.parquet", "history.parquet")
BACKTEST_FILES = (
    "returns.parquet",
    "positions.parquet",
    "transactions.parquet",
    "orders.parquet",
    "benchmark.parquet",
    "metrics.json",
)
PACKAGES = (
    "rnn-strategies",
    "backtrader",
    "empyrical-reloaded",
    "exchange-calendars",
    "keras",
    "matplotlib",
    "numpy",
    "pandas",
    "pyarrow",
    "pyfolio-reloaded",
    "scikit-learn",
    "tensorflow",
)


def run(
    config: Config | Path | str,
    *,
    out: Path | str | None = None,
    overrides: Sequence[str] = (),
    jobs: int | None = None,
    home: Home | None = None,
    listener: Listener = silent,
) -> Run:
    """Run all stages; what is done already is not done again.

    Parameters
    ----------
    config : Config, or path of a TOML file
        The configuration.
    out : Path, optional
        Run folder; `runs/<name>` when not given.
    overrides : sequence of str
        `"table.key=value"` settings on top of a file.
    jobs : int, optional
        Training processes; one per core when not given. Results do not depend on it.
    home : Home, optional
        Where networks, inputs and trials are kept; `.rnn-strategies` when not given.
    listener : callable
        Told of progress.

    Returns
    -------
    Run
        The finished run folder.

    Raises
    ------
    InputError
        For anything the user has to mend. Finished work is kept.
    """
    made = open_run(config, out=out, overrides=overrides, jobs=jobs, home=home, listener=listener)
    with made.locked():
        made.all_stages()
    return made


def open_run(
    target: Config | Path | str,
    *,
    out: Path | str | None = None,
    overrides: Sequence[str] = (),
    jobs: int | None = None,
    home: Home | None = None,
    listener: Listener = silent,
) -> Run:
    """Return the run folder of a configuration, or an existing one by its path; nothing is computed or written yet.

    Raises
    ------
    InputError
        When the folder holds a run of another configuration.
    """
    if isinstance(target, Config):
        config, folder = target, Path(out) if out else Path("runs") / target.name
    elif Path(target).is_dir():
        if out or overrides:
            raise InputError(
                f"expected a configuration file together with --out or --set; found the run folder {target}; "
                f"use {Path(target) / 'config.toml'} and another --out"
            )
        config, folder = load_config(Path(target) / "config.toml"), Path(target)
    else:
        config = load_config(target, overrides)
        folder = Path(out) if out else Path("runs") / config.name
    recorded = folder / "config.toml"
    if recorded.exists() and load_config(recorded).hash != config.hash:
        raise InputError(
            f"expected {folder} to be empty or to hold this configuration; found a run of another one; "
            "choose another --out or name, or delete the folder"
        )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Run(folder, config, home or default_home(), jobs or cores, listener)


@dataclass
class Run:
    """A run folder and what can be done with it.

    Parameters
    ----------
    folder : Path
        Where the files are.
    config : Config
        The configuration.
    home : Home
        Where networks, inputs and trials are kept.
    jobs : int
        Training processes.
    listener : callable
        Told of progress.
    """

    folder: Path
    config: Config
    home: Home
    jobs: int = 1
    listener: Listener = silent
    _manifest: dict[str, Any] = field(default_factory=dict, repr=False)
    _seconds: dict[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        path = self.folder / "manifest.json"
        if path.exists():
            self._manifest = read_json(path)

    # -- what a notebook asks for -----------------------------------------------------------------------------------

    @property
    def report(self) -> Path:
        """Path of the tear sheet."""
        return self.folder / "report.html"

    @property
    def metrics(self) -> dict[str, Any]:
        """Figures of `metrics.json`."""
        found: dict[str, Any] = read_json(self.folder / "metrics.json")
        return found

    @property
    def signals(self) -> pd.DataFrame:
        """The out-of-sample signal frame, indexed by (date, ticker)."""
        return read_parquet(self.folder / "signals.parquet", index=["date", "ticker"])

    @property
    def folds(self) -> pd.DataFrame:
        """One row per fold and seed."""
        return read_parquet(self.folder / "folds.parquet")

    @property
    def result(self) -> BacktestResult:
        """Returns, positions, transactions and orders."""
        return BacktestResult.load(self.folder, **self._manifest["backtest"])

    @cached_property
    def prices(self) -> Prices:
        """The checked prices of the run, from the source, or from the content store once it has them."""
        known = self._manifest.get("inputs", {}).get("prices")
        if known and not self._source_wanted:
            stored = self.home.inputs.get(known["sha256"])
            if stored:
                return Prices.load(stored, known["meta"])
        self.listener(Event("prices", "reading prices"))
        options = dict(self.config.prices)
        prices = load_prices(source=options.pop("source"), **options)
        self._keep("prices", prices)
        if known and not self._source_wanted and known["sha256"] != self._input("prices")["sha256"]:
            raise InputError(
                f"expected the prices this run was made from; the source now gives others and the copy in "
                f"{self.home.root} is gone; use `rnn-strategies run` to make the run anew"
            )
        return prices

    _source_wanted = False  # True while `run` looks at the source itself, which may have grown

    def locked(self) -> Any:
        """Context in which no other process can work on the same folder."""
        return self.home.lock(str(self.folder.resolve()))

    # -- stages -----------------------------------------------------------------------------------------------------

    def all_stages(self) -> None:
        """Signals, backtest and report; a stage whose inputs have not changed since it finished is left alone."""
        self._source_wanted = True
        trial = self._begin_trial()  # counted even if it never ends
        ran = [self._stage("signals", self._signals_key(), self._compute_signals, SIGNAL_FILES)]
        ran.append(self._stage("backtest", self._backtest_key(), self._compute_backtest, BACKTEST_FILES))
        if any(ran) or not self.report.exists():
            self.write_report()
        self._end_trial(trial)

    def compute_signals(self) -> None:
        """Train or reuse every network and write the signal files."""
        self._source_wanted = True
        self._begin_trial()
        self._stage("signals", self._signals_key(), self._compute_signals, SIGNAL_FILES, again=True)

    def compute_backtest(self) -> None:
        """Trade the signals of the folder and write the result files and metrics."""
        self._need("signals", "signals")
        self._stage("backtest", self._backtest_key(), self._compute_backtest, BACKTEST_FILES, again=True)

    def write_report(self) -> None:
        """Write the tear sheet from the files of the folder."""
        self._need("backtest", "backtest")
        self.listener(Event("report", "drawing the tear sheet"))
        began = time.perf_counter()
        # the stamp needs timings that end before the report does, so drawing time appears in the file alone
        self._write_timings()
        write_report(self.folder)
        self._seconds["report"] = round(time.perf_counter() - began, 3)
        self._write_timings()

    def _need(self, stage: str, command: str) -> None:
        if stage not in self._manifest.get("stages", {}):
            raise InputError(
                f"expected finished {stage} in {self.folder}; found none; run `rnn-strategies {command} "
                f"{self.folder if (self.folder / 'config.toml').exists() else 'CONFIG'}` first"
            )

    def _stage(self, name: str, key: str, work: Any, files: Iterable[str], *, again: bool = False) -> bool:
        """Do a stage unless the manifest says it is done with these inputs and files; return whether it ran."""
        done = self._manifest.get("stages", {}).get(name)
        if not again and done and done["key"] == key and self._intact(done["outputs"]):
            self.listener(Event(name, f"{name}: already done"))
            return False
        # files of an older run must not be taken for results of this one if work stops half-way
        self._forget(name)
        sweep(self.folder)
        self._write_config()
        began = time.perf_counter()
        work()
        self._seconds[name] = round(time.perf_counter() - began, 3)
        outputs = {file: sha256_file(self.folder / file) for file in files if (self.folder / file).exists()}
        self._manifest.setdefault("stages", {})[name] = {"key": key, "outputs": outputs}
        self._write_manifest()
        self._write_timings()
        return True

    def _intact(self, outputs: dict[str, str]) -> bool:
        return all(
            (self.folder / name).exists() and sha256_file(self.folder / name) == digest
            for name, digest in outputs.items()
        )

    def _forget(self, name: str) -> None:
        stages = self._manifest.get("stages", {})
        gone = [stage for stage in STAGES[STAGES.index(name) :] if stages.pop(stage, None)]
        if gone:
            self._write_manifest()

    def _signals_key(self) -> str:
        parts = self.config.hash_of("universe", "features", "labels", "model", "training", "walk_forward")
        dead = [self.config.labels.delist_after, self.config.labels.delist_haircut]
        return _key(__version__, parts, dead, self._input("prices")["sha256"], _versions())

    def _compute_signals(self) -> None:
        config = self.config
        self.listener(Event("signals", "training walk-forward"))
        result = compute_signals(
            self.prices,
            walk_forward=config.walk_forward,
            universe=config.universe,
            labels=config.labels,
            model=config.model,
            training=config.training,
            seeds=config.seeds,
            artifacts=self.home.artifacts,
            frequency=config.frequency,
            jobs=self.jobs,
            listener=self.listener,
        )
        for name, frame in (
            ("signals", result.signals),
            ("labels", result.labels),
            ("seed_scores", result.seed_scores.set_index("date")),
            ("folds", result.folds.set_index("fold")),
            ("history", result.history.set_index("fold")),
        ):
            write_parquet(self.folder / f"{name}.parquet", frame)
        self._manifest["universe_sizes"] = result.universe_sizes
        self._manifest["seeds"] = list(config.seeds)
        self._manifest["warnings"] = [*price_remarks(self.prices), *signal_remarks(config, result)]
        self._seconds["networks"] = result.seconds
        self.listener(Event("signals", f"{result.trained} networks trained, {result.reused} reused"))

    def _backtest_key(self) -> str:
        parts = self.config.hash_of("strategy", "broker", "benchmark")
        risk_free = self.config.report["risk_free"]
        benchmark = self._input("benchmark")["sha256"] if self.config.benchmark.get("ticker") else None
        signals = sha256_file(self.folder / "signals.parquet")
        return _key(__version__, parts, risk_free, benchmark, signals, self._input("prices")["sha256"], _versions())

    def _compute_backtest(self) -> None:
        config, signals = self.config, self.signals
        self.listener(Event("backtest", "trading the signals"))
        result = run_backtest(
            self.prices,
            signals,
            allocation=config.allocation,
            broker=config.broker,
            strategy=None if config.strategy == "SignalStrategy" else config.strategy,
            listener=self.listener,
        )
        self.listener(Event("backtest", "trading the equal-weight universe, for comparison"))
        universe = equal_weight_universe(self.prices, signals, broker=config.broker)
        beside = {"universe": universe.reindex(result.returns.index).fillna(0.0)}
        if config.benchmark.get("ticker"):
            beside = {
                "benchmark": buy_and_hold(self.benchmark, config.benchmark["ticker"], result.returns.index),
                **beside,
            }
        result.save(self.folder)
        write_parquet(self.folder / "benchmark.parquet", pd.DataFrame(beside, index=result.returns.index))
        self._manifest["backtest"] = {
            "initial_cash": result.initial_cash,
            "warnings": list(result.warnings),
            "stopped": result.stopped,
            "settings": result.settings,
        }
        self._write_manifest()  # the metrics read the risk-free rate and the warnings from here
        write_metrics(self.folder)

    @cached_property
    def benchmark(self) -> Prices:
        """Prices of the benchmark: its own source, or the run's prices when it names none."""
        options = {key: value for key, value in self.config.benchmark.items() if value is not None}
        ticker = options.pop("ticker")
        if "source" not in options and "path" not in options:
            return self.prices
        prices = load_prices(source=options.pop("source", "files"), tickers=[ticker], **options)
        self._keep("benchmark", prices)
        return prices

    # -- what is written down ---------------------------------------------------------------------------------------

    def _input(self, name: str) -> dict[str, Any]:
        getattr(self, name)  # loading it records it
        inputs = self._manifest["inputs"]
        found: dict[str, Any] = inputs.get(name, inputs["prices"])
        return found

    def _keep(self, name: str, prices: Prices) -> None:
        """Put an input into the content store and its description into the manifest."""
        digest = self.home.inputs.put(lambda path: prices.save(path))
        dates = prices.frame.index.get_level_values("date")
        self._manifest.setdefault("inputs", {})[name] = {
            "sha256": digest,
            "meta": prices.meta(),
            "rows": len(prices.frame),
            "tickers": int(prices.frame.index.get_level_values("ticker").nunique()),
            "first": f"{dates.min():%Y-%m-%d}",
            "last": f"{dates.max():%Y-%m-%d}",
        }

    def _write_config(self) -> None:
        atomic_write(self.folder / "config.toml", self.config.to_toml().encode())

    def _write_manifest(self) -> None:
        stages = self._manifest.get("stages", {})
        self._manifest |= {
            "schema": MANIFEST_SCHEMA,
            "name": self.config.name,
            "simulated": self.prices.simulated,
            "config_hash": self.config.hash,
            "versions": _versions(),
            "risk_free": self.config.report["risk_free"],
            "outputs": {file: digest for stage in stages.values() for file, digest in stage["outputs"].items()},
        }
        write_json(self.folder / "manifest.json", self._manifest)

    def _write_timings(self) -> None:
        path = self.folder / "timings.json"
        timings = read_json(path) if path.exists() else {}
        timings.setdefault("seconds", {}).update(self._seconds)
        timings["finished"] = datetime.now(UTC).isoformat(timespec="seconds")
        timings["host"] = f"{platform.system()} {platform.machine()}, {self.jobs} training processes"
        write_json(path, timings)

    def _begin_trial(self) -> Trial:
        prices = self._input("prices")
        config = self.config
        trial = Trial(
            id=_key(config.hash, prices["sha256"])[:16],
            parent=None,
            config=config.hash,
            kind="run",
            family={
                "universe": _key(prices["sha256"], config.hash_of("universe"))[:16],
                "calendar": self.prices.calendar,
                "period": [config.walk_forward.start, prices["last"]],
            },
            status="started",
        )
        start_trial(self.home, trial)
        return trial

    def _end_trial(self, trial: Trial) -> None:
        ended = Trial(
            id=trial.id,
            parent=trial.parent,
            config=trial.config,
            kind=trial.kind,
            family=trial.family,
            status="done",
            sharpe=self.metrics.get("sharpe_ratio"),
            returns=_relative(self.folder / "returns.parquet", self.home.root.parent),
        )
        finish_trial(self.home, ended)


def _relative(path: Path, base: Path) -> str:
    try:
        return str(path.resolve().relative_to(base.resolve()))
    except ValueError:
        return str(path.resolve())


def _key(*parts: Any) -> str:
    return sha256_bytes(canonical_json(list(parts)))


def _versions() -> dict[str, str]:
    """Versions of everything that computes or draws; the same on one machine until something is installed."""
    found = {
        "python": ".".join(map(str, sys.version_info[:3])),
        "keras_backend": os.environ.get("KERAS_BACKEND", "tensorflow"),
    }
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
