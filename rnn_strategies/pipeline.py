"""The spine: prices -> signals -> backtest -> report, each stage resumable, each file whole or absent."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from backtests.benchmark import buy_and_hold, check_span
from backtests.engine import equal_weight_universe, run_backtest, strategy_class
from backtests.result import BacktestResult
from reports.tear_sheet import write_metrics, write_report
from rnn_strategies import __version__
from rnn_strategies.config import Config, load_config
from rnn_strategies.home import Home, default_home, locked
from rnn_strategies.manifest import Manifest, key_of, versions
from rnn_strategies.remarks import price_remarks, signal_remarks
from rnn_strategies.trials import Trial, finish_trial, start_trial
from signals.calendar import as_day
from signals.errors import InputError
from signals.events import Event, Listener, silent
from signals.panel import check_tickers
from signals.plugins import source_digest
from signals.prices import Prices
from signals.sources import load_prices
from signals.storage import atomic_write, read_json, read_parquet, sha256_file, sweep, write_json, write_parquet
from signals.walk_forward import compute_signals

__all__ = ["Run", "open_run", "run"]

SIGNAL_FILES = ("signals.parquet", "seed_scores.parquet", "labels.parquet", "folds.parquet", "history.parquet")
BACKTEST_FILES = (
    "returns.parquet",
    "positions.parquet",
    "transactions.parquet",
    "orders.parquet",
    "benchmark.parquet",
    "metrics.json",
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
    given_folder = not isinstance(target, Config) and Path(target).is_dir()
    if isinstance(target, Config):
        config, folder = target, Path(out) if out else Path("runs") / target.name
    elif given_folder:
        if out or overrides:
            raise InputError(
                f"expected a configuration file together with --out or --set; found the run folder {target}; "
                f"use {Path(target) / 'config.toml'} and another --out"
            )
        config, folder = load_config(Path(target) / "config.toml"), Path(target)
    else:
        config = load_config(target, overrides)
        folder = Path(out) if out else Path("runs") / config.name
    claimed = Manifest(folder).data.get("config_hash")
    if claimed is not None and claimed != config.hash:
        if given_folder:
            raise InputError(
                f"expected {folder / 'config.toml'} as the run left it; found it edited; give a copy of it and "
                "another --out"
            )
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
    _seconds: dict[str, Any] = field(default_factory=dict, repr=False)
    _from_source: bool = field(default=False, repr=False)

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
        return BacktestResult.load(self.folder, **self._manifest.data["backtest"])

    @cached_property
    def prices(self) -> Prices:
        """The checked prices of the run: as they were read then, or, while a run is made, from their source."""
        return self._input("prices", dict(self.config.prices))

    @cached_property
    def benchmark(self) -> Prices:
        """Prices of the benchmark: its own source, or the run's prices when it names none."""
        options = {key: value for key, value in self.config.benchmark.items() if value is not None}
        ticker = options.pop("ticker")
        if "source" not in options and "path" not in options:
            check_tickers([ticker], self.prices.tickers)
            return self.prices
        return self._input("benchmark", {"source": "files", "tickers": [ticker], **options})

    def locked(self) -> AbstractContextManager[None]:
        """Context in which no other process can work on the same folder."""
        return locked(self.folder)

    # -- stages -----------------------------------------------------------------------------------------------------

    def all_stages(self) -> None:
        """Signals, backtest and report; a stage whose inputs have not changed since it finished is left alone."""
        self._from_source = True
        self._check_before_training()
        trial = self._begin_trial()  # counted even if it never ends
        try:
            ran = [
                self._stage("signals", self._signals_key, self._compute_signals, SIGNAL_FILES),
                self._stage("backtest", self._backtest_key, self._compute_backtest, BACKTEST_FILES),
            ]
        except InputError:
            finish_trial(self.home, replace(trial, status="failed"))
            raise
        retitled = (self.folder / "config.toml").read_text(encoding="utf-8") != self.config.to_toml()
        if any(ran) or retitled or not self.report.exists():
            self.write_report()
        self._end_trial(trial)

    def compute_signals(self) -> None:
        """Train or reuse every network and write the signal files."""
        self._from_source = True
        self._begin_trial()
        self._stage("signals", self._signals_key, self._compute_signals, SIGNAL_FILES, again=True)

    def compute_backtest(self) -> None:
        """Trade the signals of the folder and write the result files and metrics."""
        self._need("signals")
        self._stage("backtest", self._backtest_key, self._compute_backtest, BACKTEST_FILES, again=True)

    def write_report(self) -> None:
        """Write the tear sheet from the files of the folder."""
        self._need("backtest")
        self.listener(Event("report", "drawing the tear sheet"))
        self._write_config()
        began = time.perf_counter()
        write_report(self.folder)
        self._seconds["report"] = round(time.perf_counter() - began, 3)
        self._write_timings()

    def _check_before_training(self) -> None:
        """Find the mistakes that would otherwise show only after hours of training."""
        strategy_class(self._strategy)
        if self._has_benchmark:
            begin = max(as_day(self.config.walk_forward.start, name="walk_forward.start"), self.prices.first)
            check_span(self.benchmark, self.config.benchmark["ticker"], begin, self.prices.last)

    @property
    def _strategy(self) -> str | None:
        return None if self.config.strategy == "SignalStrategy" else self.config.strategy

    def _need(self, stage: str) -> None:
        if not self._manifest.is_done(stage):
            target = self.folder if (self.folder / "config.toml").exists() else "CONFIG"
            raise InputError(
                f"expected finished {stage} in {self.folder}; found none, or altered files; run "
                f"`rnn-strategies {stage} {target}` first"
            )

    def _stage(
        self, name: str, key: Callable[[], str], work: Callable[[], None], files: Sequence[str], *, again: bool = False
    ) -> bool:
        """Do a stage unless the manifest says it is done with these inputs and files; return whether it ran."""
        made_from = key()
        if not again and self._manifest.is_done(name, made_from):
            self.listener(Event(name, "already done"))
            return False
        # files of an older run must not be taken for results of this one if work stops half-way
        if self._manifest.forget(name):
            self._write_manifest()
        sweep(self.folder)
        began = time.perf_counter()
        work()
        self._write_config()  # only now: a configuration that cannot run must not claim the folder
        self._seconds[name] = round(time.perf_counter() - began, 3)
        self._manifest.finish(name, made_from, files)
        self._write_manifest()
        self._write_timings()
        return True

    def _signals_key(self) -> str:
        parts = self.config.hash_of("universe", "features", "labels", "model", "training", "walk_forward")
        dead = [self.config.labels.delist_after, self.config.labels.delist_haircut]
        plugins = source_digest(self.config.training.trainer)
        return key_of(__version__, parts, dead, self._digest("prices"), plugins, versions())

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
        self._manifest.data |= {
            "universe_sizes": result.universe_sizes,
            "seeds": list(config.seeds),
            "warnings": [*price_remarks(self.prices), *signal_remarks(config, result)],
        }
        self._seconds["networks"] = result.seconds
        self.listener(Event("signals", f"{result.trained} networks trained, {result.reused} reused"))

    def _backtest_key(self) -> str:
        parts = self.config.hash_of("strategy", "broker", "benchmark")
        plugins = source_digest(self.config.strategy, self.config.tables["strategy"]["allocation"])
        risk_free = self.config.report["risk_free"]
        benchmark = self._digest("benchmark") if self._has_benchmark else None
        signals = sha256_file(self.folder / "signals.parquet")
        made_from = [benchmark, signals, self._digest("prices"), plugins]
        return key_of(__version__, parts, risk_free, made_from, versions())

    def _compute_backtest(self) -> None:
        config, signals = self.config, self.signals
        self.listener(Event("backtest", "trading the signals"))
        result = run_backtest(
            self.prices,
            signals,
            allocation=config.allocation,
            broker=config.broker,
            strategy=self._strategy,
            listener=self.listener,
        )
        self.listener(Event("backtest", "trading the equal-weight universe, for comparison"))
        universe = equal_weight_universe(self.prices, signals, broker=config.broker)
        # a run that was stopped by ruin ends before its universe does
        beside = {"universe": universe.reindex(result.returns.index).fillna(0.0)}
        if self._has_benchmark:
            held = buy_and_hold(self.benchmark, config.benchmark["ticker"], result.returns.index)
            beside = {"benchmark": held, **beside}
        result.save(self.folder)
        write_parquet(self.folder / "benchmark.parquet", pd.DataFrame(beside, index=result.returns.index))
        self._manifest.data["backtest"] = {
            "initial_cash": result.initial_cash,
            "warnings": list(result.warnings),
            "stopped": result.stopped,
            "settings": result.settings,
        }
        self._write_manifest()  # the metrics read the risk-free rate from it
        write_metrics(self.folder)

    # -- what is written down ---------------------------------------------------------------------------------------

    @cached_property
    def _manifest(self) -> Manifest:
        return Manifest(self.folder)

    @property
    def _has_benchmark(self) -> bool:
        return self.config.benchmark.get("ticker") is not None

    def _input(self, name: str, options: dict[str, Any]) -> Prices:
        """Load prices from the content store, or from their source while a run is made: the source may have grown."""
        known = self._manifest.input(name)
        stored = self.home.inputs.get(known["sha256"]) if known and not self._from_source else None
        if known and stored:
            return Prices.load(stored, known["meta"])
        self.listener(Event("prices", f"reading {name}"))
        prices = load_prices(source=options.pop("source"), **options)
        digest = self.home.inputs.put(lambda path: prices.save(path))
        if known and not self._from_source and known["sha256"] != digest:
            raise InputError(
                f"expected the {name} this run was made from; the source now gives others and the copy in "
                f"{self.home.root} is gone; use `rnn-strategies run` to make the run anew"
            )
        self._manifest.keep_input(name, prices, digest)
        return prices

    def _digest(self, name: str) -> str:
        """Content hash of an input, which is loaded for it; a benchmark may lie among the prices themselves."""
        loaded = getattr(self, name)
        known = self._manifest.input(name if loaded is not self.prices else "prices")
        return str(known["sha256"]) if known else ""

    def _write_config(self) -> None:
        atomic_write(self.folder / "config.toml", self.config.to_toml().encode())

    def _write_manifest(self) -> None:
        self._manifest.write(
            name=self.config.name,
            simulated=self.prices.simulated,
            config_hash=self.config.hash,
            risk_free=self.config.report["risk_free"],
        )

    def _write_timings(self) -> None:
        path = self.folder / "timings.json"
        timings = read_json(path) if path.exists() else {}
        timings.setdefault("seconds", {}).update(self._seconds)
        timings["finished"] = datetime.now(UTC).isoformat(timespec="seconds")
        timings["host"] = f"{platform.system()} {platform.machine()}, {self.jobs} training processes"
        write_json(path, timings)

    def _begin_trial(self) -> Trial:
        config, prices = self.config, self._digest("prices")
        trial = Trial(
            id=key_of(config.identity, prices)[:16],
            parent=None,
            config=config.hash,
            kind="run",
            family={
                "universe": config.hash_of("prices", "universe")[:16],
                "calendar": self.prices.calendar,
                "period": [config.walk_forward.start, str(self.prices.last)],
            },
            status="started",
        )
        start_trial(self.home, trial)
        return trial

    def _end_trial(self, trial: Trial) -> None:
        returns = _relative(self.folder / "returns.parquet", self.home.root.parent)
        finish_trial(self.home, replace(trial, status="done", sharpe=self.metrics.get("sharpe_ratio"), returns=returns))


def _relative(path: Path, base: Path) -> str:
    try:
        return str(path.resolve().relative_to(base.resolve()))
    except ValueError:
        return str(path.resolve())
