"""Stages of a run on prices: signals, backtest and report; stages resume, and files are written atomically."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from backtests.allocation_checks import check_enough_names
from backtests.benchmark import buy_and_hold, check_span, coverage_warning
from backtests.engine import equal_weight_returns, run_backtest, strategy_class
from reports.report import write_metrics, write_report
from rnn_strategies.config.reference_files import reference_digests, reference_warnings
from rnn_strategies.runs.backtest_variants import seed_returns
from rnn_strategies.runs.data_warnings import price_warnings, signal_warnings
from rnn_strategies.runs.manifest import key_of, versions
from rnn_strategies.runs.version import __version__
from rnn_strategies.trials.registered_run import TRIALS, CountedRun
from signals.calendar import as_day, sessions
from signals.common.errors import InputError
from signals.common.import_objects import source_digest
from signals.common.progress_events import ProgressEvent
from signals.common.storage import (
    atomic_write,
    read_json,
    read_parquet,
    remove_temporary_files,
    sha256_file,
    write_json,
    write_parquet,
)
from signals.data.corporate_actions import check_raw_known
from signals.dataset.liquidation_returns import liquidation_warnings
from signals.walk_forward.panel_walk_forward import SignalResult, compute_signals

__all__ = ["Run"]

SIGNAL_FILES = ("signals.parquet", "seed_scores.parquet", "labels.parquet", "folds.parquet", "history.parquet")
QUANTILES = "quantiles.parquet"  # written when labels.quantiles is set
BACKTEST_FILES = (
    "returns.parquet",
    "positions.parquet",
    "transactions.parquet",
    "orders.parquet",
    "cash_flows.parquet",
    "benchmark.parquet",
    TRIALS,
    "metrics.json",
)


@dataclass(repr=False)
class Run(CountedRun):
    """Run folder with its stages; parameters are those of `RunFolder`."""

    @property
    def signal_files(self) -> tuple[str, ...]:
        """Names of the files that the signals stage writes."""
        return (*SIGNAL_FILES, *((QUANTILES,) if self.config.labels.quantiles else ()))

    # -- stages -----------------------------------------------------------------------------------------------------

    def all_stages(self) -> None:
        """Run signals, backtest and report; a finished stage with unchanged inputs is skipped."""
        self._from_source = True
        self._check_before_training()
        self.prepare_ledger()
        try:
            ran = [
                self._signals_stage(),
                self._stage("backtest", self._backtest_key, self._compute_backtest, self._backtest_files),
            ]
        except Exception:
            self._fail_trial()
            raise
        self._end_trial()
        retitled = (self.folder / "config.toml").read_text(encoding="utf-8") != self.config.to_toml()
        if any(ran) or retitled or not self.report.exists():
            self.write_report()

    def compute_signals(self, *, again: bool = True) -> None:
        """Train or reuse every network and write the signal files; with `again=False` finished files are kept."""
        self._from_source = True
        self.prepare_ledger()
        self._signals_stage(again=again)

    def compute_backtest(self) -> None:
        """Backtest the signals of the folder and write the result files and metrics."""
        self._require_stage("signals")
        self.prepare_ledger()
        self._stage("backtest", self._backtest_key, self._compute_backtest, self._backtest_files, again=True)
        self._end_trial()

    def write_report(self) -> None:
        """Write the report from the files of the folder and the current trials of the ledger."""
        self._require_stage("backtest")
        self._refresh_family()
        self.draw_report()

    def draw_report(self) -> None:
        """Write the report from the files of the folder, without reading the trial ledger."""
        self._require_stage("backtest")
        self.on_progress(ProgressEvent("report", "drawing the tear sheet"))
        self._write_config()
        self._manifest.rename(self.config.name)
        began = time.perf_counter()
        write_report(self.folder)
        self._seconds["report"] = round(time.perf_counter() - began, 3)
        self._write_timings()

    def _signals_stage(self, *, again: bool = False) -> bool:
        """Run the signals stage unless it is finished; the trial is registered with the first out-of-sample score."""
        ran = self._stage("signals", self._signals_key, self._compute_signals, lambda: self.signal_files, again=again)
        if self._counted is None:  # the stage was finished before
            self._begin_trial(*(self.signals.index.unique(level) for level in ("date", "ticker")))
        return ran

    def _check_before_training(self) -> None:
        """Check settings of the later stages before training, which can take hours."""
        strategy_class(self._strategy)
        self._check_names()
        if self.config.broker.dividends == "cash":
            check_raw_known(self.prices)
        if self._has_benchmark:
            ticker, calendar = self.config.benchmark["ticker"], self.prices.calendar
            begin = max(self._first_decision, self.prices.first)
            check_span(self.benchmark, ticker, begin, self.prices.last)
            days = pd.DatetimeIndex(sessions(begin, self.prices.last, calendar).astype("datetime64[ns]"), tz="UTC")
            buy_and_hold(self.benchmark, ticker, days, calendar=calendar)

    def _check_names(self) -> None:
        """Reject an allocation that ranks more tickers than the universe can hold."""
        if self._strategy is None:
            filters, names = self.config.universe, self.prices.tickers
            known = set(filters.include or names) - set(filters.exclude)
            names = tuple(ticker for ticker in names if ticker in known)
            most = len(names) if filters.max_tickers is None else min(filters.max_tickers, len(names))
            check_enough_names(self.config.allocation, most, names=names)

    @property
    def _first_decision(self) -> np.datetime64:
        """First day on which a score can be dated."""
        return as_day(self._walk_forward.test_start, name="walk_forward.test_start")

    @property
    def _strategy(self) -> str | None:
        return None if self.config.strategy == "SignalStrategy" else self.config.strategy

    def _require_stage(self, stage: str) -> None:
        if not self._manifest.is_done(stage):
            target = self.folder if (self.folder / "config.toml").exists() else "CONFIG"
            raise InputError(
                f"expected a finished stage {stage} in {self.folder}; found none, or changed files; run "
                f"`rnn-strategies {stage} {target}` first"
            )

    def _stage(
        self,
        name: str,
        key: Callable[[], str],
        work: Callable[[], None],
        files: Callable[[], Sequence[str]],
        *,
        again: bool = False,
    ) -> bool:
        """Run a stage unless the manifest records it as finished with these inputs and files; return whether it ran."""
        stage_key = key()
        if not again and self._manifest.is_done(name, stage_key):
            self.on_progress(ProgressEvent(name, "already done"))
            return False
        # files of an older run must not be taken for results of this one if it is interrupted
        if self._manifest.forget(name):
            self._write_manifest()
        remove_temporary_files(self.folder)
        began = time.perf_counter()
        work()
        self._write_config()  # after the work, so that a configuration that fails does not occupy the folder
        self._seconds[name] = round(time.perf_counter() - began, 3)
        self._manifest.finish(name, stage_key, files())
        self._write_manifest()
        self._write_timings()
        return True

    def _signals_key(self) -> str:
        parts = self.config.hash_of("universe", "features", "labels", "model", "training", "walk_forward")
        delisting = [self.config.labels.delist_after_sessions, self.config.labels.delist_haircut]
        kind = self.config.tables["model"]["kind"]
        plugins = source_digest(self.config.training.trainer, kind, *self.config.features)
        prices = self._digest("prices")
        return key_of(__version__, parts, delisting, prices, self._read_files, plugins, self._versions)

    @property
    def _versions(self) -> dict[str, str]:
        """Versions of the packages that compute results; results of other versions are computed again."""
        return versions()

    def _make_signals(self) -> SignalResult:
        config = self.config
        self.on_progress(ProgressEvent("signals", "training walk-forward"))
        return compute_signals(
            self.prices,
            walk_forward=self._walk_forward,
            universe=config.universe,
            labels=config.labels,
            model=config.model,
            training=config.training,
            seeds=config.seeds,
            artifacts=self.home.artifacts,
            frequency=config.frequency,
            features=config.features,
            reference_data=self._reference_data,
            jobs=self.jobs,
            on_progress=self.on_progress,
            on_first_score=self._begin_trial,
        )

    def _compute_signals(self) -> None:
        config, result = self.config, self._make_signals()
        for name, frame in (
            ("signals", result.signals),
            ("labels", result.labels),
            ("seed_scores", result.seed_scores),
            ("folds", result.folds),
            ("history", result.history),
        ):
            write_parquet(self.folder / f"{name}.parquet", frame)
        if result.quantiles is not None:
            write_parquet(self.folder / QUANTILES, result.quantiles)
        self._manifest.data |= {
            **({} if result.trainer is None else {"trainer": result.trainer}),
            "universe_sizes": result.universe_sizes,
            "files": reference_digests(self._reference_data),
            "seeds": sorted({int(seed) for seed in result.folds["seed"]}),
            "warnings": list(
                dict.fromkeys(
                    (
                        *price_warnings(self.prices, config.universe),
                        *signal_warnings(config, result, self.prices),
                        *liquidation_warnings(result.labels, self.prices, config.labels),
                        *reference_warnings(self._reference_data, self.prices, result.universe_sizes),
                    )
                )
            ),
        }
        self._seconds["networks"] = result.seconds
        total = round(sum(result.core_seconds.values()), 3)
        self._core_seconds = {
            "signals": {
                "total": total,
                "trained": result.trained,
                "reused": result.reused,
                "networks": result.core_seconds,
            }
        }
        self.on_progress(ProgressEvent("signals", f"{result.trained} models trained, {result.reused} reused"))

    def _backtest_key(self) -> str:
        parts = self.config.hash_of("strategy", "broker", "benchmark")
        plugins = source_digest(self.config.strategy, self.config.tables["strategy"]["allocation"])
        risk_free_rate = self.config.report["risk_free_rate"]
        benchmark = self._digest("benchmark") if self._has_benchmark else None
        signals = sha256_file(self.folder / "signals.parquet")
        inputs = [benchmark, signals, self._digest("prices"), plugins]
        return key_of(__version__, parts, risk_free_rate, inputs, self._versions)

    def _compute_backtest(self) -> None:
        config, signals = self.config, self.signals
        self.on_progress(ProgressEvent("backtest", "trading the signals"))
        result = run_backtest(
            self.prices,
            signals,
            allocation=config.allocation,
            broker=config.broker,
            strategy=self._strategy,
            on_progress=self.on_progress,
        )
        self.on_progress(ProgressEvent("backtest", "trading the equal-weight universe, for comparison"))
        universe = equal_weight_returns(self.prices, signals, broker=config.broker)
        # either account can be closed early by ruin: returns are cut at the end of the run, or NaN after the universe's
        comparisons = {"universe": universe.reindex(result.returns.index)}
        coverage = ""
        if self._has_benchmark:
            benchmark = self._benchmark_returns(result.returns.index)
            coverage = coverage_warning(self.config.benchmark["ticker"], benchmark.dropna().index, result.returns.index)
            comparisons = {"benchmark": benchmark, **comparisons}
        result.save(self.folder)
        write_parquet(self.folder / "benchmark.parquet", pd.DataFrame(comparisons, index=result.returns.index))
        self._write_alternatives(result.returns)
        self._manifest.data["backtest"] = {
            "initial_cash": result.initial_cash,
            "warnings": list(dict.fromkeys([*result.warnings, *([coverage] if coverage else [])])),
            "stopped": result.stopped,
            "settings": result.settings,
        }
        self._write_manifest()  # `write_metrics` reads the risk-free rate from it
        write_metrics(self.folder)

    def _benchmark_returns(self, sessions: pd.DatetimeIndex) -> pd.Series:
        ticker, calendar = self.config.benchmark["ticker"], self.prices.calendar
        return buy_and_hold(self.benchmark, ticker, sessions, calendar=calendar)

    def _backtest_files(self) -> tuple[str, ...]:
        return (*BACKTEST_FILES, *(("seed_returns.parquet",) if len(self._seeds) > 1 else ()))

    @property
    def _seeds(self) -> list[int]:
        return [int(seed) for seed in self._manifest.data.get("seeds", ())]

    def _write_alternatives(self, returns: pd.Series) -> None:
        """Write the returns of each seed traded alone, and those of comparable trials."""
        if len(self._seeds) > 1:
            self.on_progress(ProgressEvent("backtest", "trading each seed alone"))
            scores = read_parquet(self.folder / "seed_scores.parquet")
            by_seed = seed_returns(self.config, self.prices, self.signals, scores, self._seeds)
            write_parquet(self.folder / "seed_returns.parquet", by_seed.reindex(returns.index))
        self._write_family(returns)

    # -- metadata files ---------------------------------------------------------------------------------------------

    def _write_config(self) -> None:
        atomic_write(self.folder / "config.toml", self.config.to_toml().encode())

    def _write_manifest(self) -> None:
        self._manifest.write(
            name=self.config.name,
            simulated=self.prices.simulated,
            config_hash=self.config.hash,
            risk_free_rate=self.config.report["risk_free_rate"],
        )

    def _write_timings(self) -> None:
        path = self.folder / "timings.json"
        timings = read_json(path) if path.exists() else {}
        timings.setdefault("seconds", {}).update(self._seconds)
        if self._core_seconds:
            timings["core_seconds"] = self._core_seconds
        timings["finished"] = datetime.now(UTC).isoformat(timespec="seconds")
        timings["host"] = f"{platform.system()} {platform.machine()}, {self.jobs} training processes"
        write_json(path, timings)
