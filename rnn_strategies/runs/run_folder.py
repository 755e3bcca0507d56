"""Run folder: access to its files, manifest and inputs, and its summary."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from backtests.result import BacktestResult
from rnn_strategies.config.panel_config import Config
from rnn_strategies.config.reference_files import symbols_of
from rnn_strategies.runs.manifest import STAGES, Manifest
from rnn_strategies.runs.workspace import Home, locked
from signals.common.errors import InputError, RnnStrategiesError
from signals.common.progress_events import ProgressCallback, ProgressEvent, ignore_progress
from signals.common.storage import read_json, read_parquet
from signals.common.summary_card import Card
from signals.data.panel import check_tickers
from signals.data.prices import Prices
from signals.sources.registry import SOURCES, load_prices

__all__ = ["RunFolder"]


@dataclass(repr=False)
class RunFolder:
    """Contents of a run folder and its inputs; nothing is computed here.

    Parameters
    ----------
    folder : Path
        Folder of the files.
    config : Config
        The configuration.
    home : Home
        Folder of stored networks and inputs.
    jobs : int
        Number of training processes; 1 by default.
    on_progress : callable
        Called with every `ProgressEvent`; ignores them by default.
    accept_revisions : bool
        Whether bars that a source has revised since they were downloaded replace the stored ones; networks trained on
        those bars are then retrained. False by default.
    """

    folder: Path
    config: Config
    home: Home
    jobs: int = 1
    on_progress: ProgressCallback = ignore_progress
    accept_revisions: bool = False
    _seconds: dict[str, Any] = field(default_factory=dict)
    _core_seconds: dict[str, Any] = field(default_factory=dict)
    _from_source: bool = False

    # -- contents ---------------------------------------------------------------------------------------------------

    @property
    def report(self) -> Path:
        """Path of the report."""
        return self.folder / "report.html"

    @property
    def trainer(self) -> dict[str, Any]:
        """Trainer of the networks and the reason for its selection; empty while no network has been trained."""
        trainer = self._manifest.data.get("trainer")
        return dict(trainer) if isinstance(trainer, dict) else {}

    @property
    def metrics(self) -> dict[str, Any]:
        """Content of `metrics.json`."""
        metrics: dict[str, Any] = read_json(self.folder / "metrics.json")
        return metrics

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
        """Checked prices of the run: from the source while a run is computed, else the stored copy of that time."""
        return self._input("prices", dict(self.config.prices))

    @cached_property
    def benchmark(self) -> Prices:
        """Prices of the benchmark: those of its own source, or of the run when `[benchmark]` names no source."""
        options = {key: value for key, value in self.config.benchmark.items() if value is not None}
        ticker = options.pop("ticker")
        if "source" not in options and "path" not in options:
            check_tickers([ticker], self.prices.tickers)
            return self.prices
        options = {"source": "files", "tickers": [ticker], **options}
        if options["source"] in SOURCES:
            options.setdefault("calendar", self.prices.calendar)
        return self._input("benchmark", options)

    def locked(self) -> AbstractContextManager[None]:
        """Context that holds the lock of the folder; `LockedError` at once when another process holds it."""
        return locked(self.folder)

    # -- inputs -----------------------------------------------------------------------------------------------------

    @cached_property
    def _manifest(self) -> Manifest:
        return Manifest(self.folder)

    @property
    def _has_benchmark(self) -> bool:
        return self.config.benchmark.get("ticker") is not None

    def take_prices(self, other: RunFolder) -> None:
        """Use the prices that another run has already read from the same source.

        Raises
        ------
        InputError
            When the two runs have different price sources.
        """
        mine, theirs = ([run.config.prices, run.config.reference_files.get("symbol_changes")] for run in (self, other))
        if mine != theirs:
            raise InputError(f"expected the prices of {self.folder} and {other.folder} from one source; found two")
        self._manifest.keep_input("prices", other.prices, other._digest("prices"))
        self.__dict__["prices"] = other.prices  # the attribute in which the cached property stores its value

    def _input(self, name: str, options: dict[str, Any]) -> Prices:
        """Load prices from the content store, or from their source while a run is computed, to get later bars too."""
        recorded = self._manifest.input(name)
        stored = self.home.inputs.get(recorded["sha256"]) if recorded and not self._from_source else None
        if recorded and stored:
            return Prices.load(stored, recorded["meta"])
        self.on_progress(ProgressEvent("prices", f"reading {name}"))
        prices = self._load(name, options)
        digest = self.home.inputs.put(lambda path: prices.save(path))
        if recorded and not self._from_source and recorded["sha256"] != digest:
            raise InputError(
                f"expected the {name} that this run was computed from; found other ones in the source, and no copy in "
                f"{self.home.root}; use `rnn-strategies run` to compute the run again"
            )
        self._manifest.keep_input(name, prices, digest)
        return prices

    def _load(self, name: str, options: dict[str, Any]) -> Prices:
        """Read prices from their source, under security ids when a file of ticker changes is configured."""
        source = options.pop("source")
        if source == "yahoo":
            options |= {"on_progress": self.on_progress} | ({"revisions": "accept"} if self.accept_revisions else {})
        prices = load_prices(source=source, **options)
        symbols = symbols_of(self.config.reference_files) if name == "prices" else None
        return prices if symbols is None else symbols.apply(prices)

    def _digest(self, name: str) -> str:
        """Content hash of an input, which is loaded first; a benchmark can be a ticker of the prices themselves."""
        loaded = getattr(self, name)
        recorded = self._manifest.input(name if loaded is not self.prices else "prices")
        return str(recorded["sha256"]) if recorded else ""

    # -- summary ----------------------------------------------------------------------------------------------------

    def card(self) -> Card:
        """Summary of the finished stages and the main figures."""
        facts = [("folder", str(self.folder)), ("allocation", str(self.config.tables["strategy"]["allocation"]))]
        warnings: list[str] = []
        try:
            data = self._manifest.data
            done = [stage for stage in STAGES if self._manifest.is_done(stage)]
            facts.append(("done", ", ".join(done + ["report"] * self.report.exists()) or "nothing yet"))
            if "signals" in done:
                scores = self.signals
                days = scores.index.get_level_values("date")
                facts.append(("scores", f"{len(scores):,} from {days[0]:%Y-%m-%d} to {days[-1]:%Y-%m-%d}"))
            if "backtest" in done:
                facts += _figures(self.metrics)
            warnings = [*(data.get("backtest") or {}).get("warnings", ()), *data.get("warnings", ())]
        except RnnStrategiesError as error:  # a representation must not raise
            warnings = [str(error)]
        return Card(f"Run {self.config.name}", facts, warnings)

    def __repr__(self) -> str:
        return self.card().text()

    def _repr_html_(self) -> str:
        return self.card().html()


def _figures(metrics: dict[str, Any]) -> list[tuple[str, str]]:
    facts = [("period", f"{metrics.get('start')} to {metrics.get('end')}")]
    for name, prefix in (("strategy", ""), ("benchmark", "benchmark_"), ("equal-weight universe", "universe_")):
        annual, sharpe = metrics.get(f"{prefix}annual_return"), metrics.get(f"{prefix}sharpe_ratio")
        if annual is not None:
            ratio = "n/a" if sharpe is None else f"{sharpe:.2f}"
            facts.append((name, f"annual return {annual:+.2%}, Sharpe ratio {ratio}"))
    return facts
