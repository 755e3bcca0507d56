"""A run folder as it lies on the disk: files, manifest, inputs, and how it shows itself."""

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
    """What is in a run folder, and where its inputs come from; nothing is computed here.

    Parameters
    ----------
    folder : Path
        Where the files are.
    config : Config
        The configuration.
    home : Home
        Where networks and inputs are kept.
    jobs : int
        Training processes.
    on_progress : callable
        Told of progress.
    accept_revisions : bool
        Whether bars that a source has revised since they were first seen replace those; networks trained on them train
        anew.
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

    # -- what a notebook asks for -----------------------------------------------------------------------------------

    @property
    def report(self) -> Path:
        """Path of the tear sheet."""
        return self.folder / "report.html"

    @property
    def trainer(self) -> dict[str, Any]:
        """What trained the networks of the folder, and why that; empty as long as nothing was trained."""
        stated = self._manifest.data.get("trainer")
        return dict(stated) if isinstance(stated, dict) else {}

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
        """Prices of the benchmark: from its own source, by default on the run's calendar, or else those of the run."""
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
        """Context in which no other process can work on the same folder."""
        return locked(self.folder)

    # -- inputs -----------------------------------------------------------------------------------------------------

    @cached_property
    def _manifest(self) -> Manifest:
        return Manifest(self.folder)

    @property
    def _has_benchmark(self) -> bool:
        return self.config.benchmark.get("ticker") is not None

    def take_prices(self, other: RunFolder) -> None:
        """Use the prices that a run of the same source has read already.

        Raises
        ------
        InputError
            When the other run's prices come from elsewhere.
        """
        mine, theirs = ([run.config.prices, run.config.reference_files.get("symbol_changes")] for run in (self, other))
        if mine != theirs:
            raise InputError(f"expected the prices of {self.folder} and {other.folder} from one source; found two")
        self._manifest.keep_input("prices", other.prices, other._digest("prices"))
        self.__dict__["prices"] = other.prices  # where a cached property keeps what it made

    def _input(self, name: str, options: dict[str, Any]) -> Prices:
        """Load prices from the content store, or from their source while a run is made: the source may have grown."""
        known = self._manifest.input(name)
        stored = self.home.inputs.get(known["sha256"]) if known and not self._from_source else None
        if known and stored:
            return Prices.load(stored, known["meta"])
        self.on_progress(ProgressEvent("prices", f"reading {name}"))
        prices = self._load(name, options)
        digest = self.home.inputs.put(lambda path: prices.save(path))
        if known and not self._from_source and known["sha256"] != digest:
            raise InputError(
                f"expected the {name} this run was made from; the source now gives others and the copy in "
                f"{self.home.root} is gone; use `rnn-strategies run` to make the run anew"
            )
        self._manifest.keep_input(name, prices, digest)
        return prices

    def _load(self, name: str, options: dict[str, Any]) -> Prices:
        """Read prices from their source; those of the run under security ids when a file of ticker changes is named."""
        source = options.pop("source")
        if source == "yahoo":
            options |= {"on_progress": self.on_progress} | ({"revisions": "accept"} if self.accept_revisions else {})
        prices = load_prices(source=source, **options)
        symbols = symbols_of(self.config.reference_files) if name == "prices" else None
        return prices if symbols is None else symbols.apply(prices)

    def _digest(self, name: str) -> str:
        """Content hash of an input, which is loaded for it; a benchmark may lie among the prices themselves."""
        loaded = getattr(self, name)
        known = self._manifest.input(name if loaded is not self.prices else "prices")
        return str(known["sha256"]) if known else ""

    # -- how it shows itself ----------------------------------------------------------------------------------------

    def card(self) -> Card:
        """Give what is done, and the main figures if there are any."""
        facts = [("folder", str(self.folder)), ("decides", str(self.config.tables["strategy"]["allocation"]))]
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
        except RnnStrategiesError as error:  # showing something must never fail
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
