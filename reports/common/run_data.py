"""Input of the report, read from a run directory or from a backtest result."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from backtests.benchmark import coverage_warning
from backtests.external_returns import check_returns
from backtests.result import OPENED_AT_FIRST_CLOSE
from reports.common.cerebro_results import result_of
from reports.common.utc_index import align, utc_sessions
from signals.annualization import Periodicity, periodicity_of
from signals.common.errors import InputError
from signals.common.storage import read_json, read_parquet
from signals.dataset.labels import LabelSettings

__all__ = ["RunData", "read_run", "run_from_result"]


@dataclass(frozen=True, slots=True)
class RunData:
    """Input of the report; data that are not known are None or empty.

    Parameters
    ----------
    title : str
        Heading of the report.
    returns : Series
        Simple returns per UTC session, after costs.
    positions, transactions, orders : DataFrame or None
        As in `BacktestResult`; positions and transactions on UTC sessions.
    benchmark, universe : Series or None
        Returns to compare with, on the same sessions or a part of them. Returns of a universe that was closed by ruin
        end on that day.
    benchmark_name : str
        Name of the benchmark.
    signals, labels, seed_scores, folds, history : DataFrame or None
        The files of the signals stage.
    seed_returns : DataFrame or None
        UTC sessions by seed: returns of trading that seed's scores alone, with the same allocation and costs; NaN after
        an account was closed.
    trials : DataFrame or None
        UTC sessions by trial: returns of the trials that this run could have been selected from, NaN where a trial has
        none.
    cash_flows : DataFrame or None
        As in `BacktestResult`: `kind` and `amount` of cash flows other than trades, on UTC sessions.
    warnings : tuple of str
        One sentence each, the most serious first.
    stopped : str or None
        Reason why the account was closed before the end.
    simulated : bool
        True when prices come from a random-number generator.
    settings : dict
        `BacktestResult.settings`.
    config : dict
        Tables of `config.toml`.
    config_text : str
        The file itself.
    manifest, timings : dict
        The JSON files of a run directory.
    calendar : str or None
        Exchange calendar of the sessions, where it is known.
    periods_per_year : float or None
        Sessions a year, where they were given instead of being recognised.
    """

    title: str
    returns: pd.Series
    positions: pd.DataFrame | None = None
    transactions: pd.DataFrame | None = None
    orders: pd.DataFrame | None = None
    benchmark: pd.Series | None = None
    universe: pd.Series | None = None
    benchmark_name: str = "Benchmark"
    signals: pd.DataFrame | None = None
    labels: pd.DataFrame | None = None
    seed_scores: pd.DataFrame | None = None
    folds: pd.DataFrame | None = None
    history: pd.DataFrame | None = None
    seed_returns: pd.DataFrame | None = None
    trials: pd.DataFrame | None = None
    cash_flows: pd.DataFrame | None = None
    warnings: tuple[str, ...] = ()
    stopped: str | None = None
    simulated: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    config_text: str = ""
    manifest: Mapping[str, Any] = field(default_factory=dict)
    timings: Mapping[str, Any] = field(default_factory=dict)
    calendar: str | None = None
    periods_per_year: float | None = None

    @property
    def periodicity(self) -> Periodicity:
        """Frequency of the returns, and how many of them make a year."""
        return periodicity_of(self.returns.index, calendar=self.calendar, periods_per_year=self.periods_per_year)

    @property
    def risk_free_rate(self) -> float:
        """Risk-free rate a year that the configuration, or else the manifest, states; 0 without one."""
        stated = (self.config.get("report") or {}).get("risk_free_rate", self.manifest.get("risk_free_rate"))
        return float(stated or 0.0)

    @property
    def horizon(self) -> int:
        """Decision dates that a label covers, `labels.horizon` of the configuration or its default."""
        return int((self.config.get("labels") or {}).get("horizon", LabelSettings().horizon))


def read_run(folder: Path) -> RunData:
    """Read a run directory.

    Parameters
    ----------
    folder : Path
        Must hold `returns.parquet`; every other file of a run is read if present. From `manifest.json` come `simulated`
        (bool), `warnings` (list), `backtest` (with `warnings`, `stopped`, `settings`), `trial` (with `id`, `started`,
        `finished`, `other_universes`), and for provenance `config_hash`, `versions`, `inputs` and `outputs`.

    Raises
    ------
    InputError
        When the folder holds no finished run, or a file in it is damaged.
    """
    folder = Path(folder)
    if not (folder / "returns.parquet").exists():
        raise InputError(
            f"expected a finished backtest in {folder}; found no returns.parquet; run `rnn-strategies backtest` first"
        )
    manifest = read_json(folder / "manifest.json") if (folder / "manifest.json").exists() else {}
    timings = read_json(folder / "timings.json") if (folder / "timings.json").exists() else {}
    config_text, config = _read_config(folder / "config.toml")
    backtest = manifest.get("backtest") or {}
    returns = utc_sessions(read_parquet(folder / "returns.parquet", index=["date"])["returns"])
    calendar = _calendar(manifest, config)
    periodicity = periodicity_of(returns.index, calendar=calendar, what=f"returns in {folder}")
    comparisons = _optional(folder / "benchmark.parquet", ["date"])
    warnings = [str(line) for line in (*(backtest.get("warnings") or ()), *(manifest.get("warnings") or ()))]
    return RunData(
        title=str((config.get("report") or {}).get("title") or config.get("name") or folder.resolve().name),
        returns=returns,
        positions=_on_sessions(_optional(folder / "positions.parquet", ["date"]), "positions"),
        transactions=_on_sessions(_optional(folder / "transactions.parquet", ["date"]), "transactions"),
        orders=_optional(folder / "orders.parquet", None),
        benchmark=_column(comparisons, "benchmark", returns, periodicity),
        universe=_column(comparisons, "universe", returns, periodicity),
        benchmark_name=str((config.get("benchmark") or {}).get("ticker") or "Benchmark"),
        signals=_optional(folder / "signals.parquet", ["date", "ticker"]),
        labels=_optional(folder / "labels.parquet", ["date", "ticker"]),
        seed_scores=_optional(folder / "seed_scores.parquet", None),
        folds=_optional(folder / "folds.parquet", None),
        history=_optional(folder / "history.parquet", None),
        seed_returns=_seed_returns(folder / "seed_returns.parquet"),
        trials=_trials(folder / "trials.parquet"),
        cash_flows=_on_sessions(_optional(folder / "cash_flows.parquet", ["date"]), "cash flows"),
        warnings=tuple(dict.fromkeys(warnings)),
        stopped=backtest.get("stopped") or None,
        simulated=bool(manifest.get("simulated") or (config.get("prices") or {}).get("source") == "simulated"),
        settings=backtest.get("settings") or {},
        config=config,
        config_text=config_text,
        manifest=manifest,
        timings=timings,
        calendar=calendar,
    )


def run_from_result(
    result: Any,
    *,
    title: str,
    benchmark: pd.Series | None = None,
    universe: pd.Series | None = None,
    benchmark_name: str | None = None,
    calendar: str | None = None,
    periods_per_year: float | None = None,
) -> RunData:
    """Make the input of a report from a result that `result_of` accepts, without signal files."""
    result = result_of(result)
    calendar = calendar or result.settings.get("calendar") or result.returns.attrs.get("calendar")
    returns = check_returns(result.returns, calendar=calendar)
    if returns.empty:
        raise InputError("expected returns for every session; found none; run the backtest on bars")
    returns.attrs.setdefault(OPENED_AT_FIRST_CLOSE, float(returns.iloc[0]) == 0.0)
    periodicity = periodicity_of(returns.index, calendar=calendar, periods_per_year=periods_per_year)
    name = benchmark_name or str(getattr(benchmark, "name", None) or "Benchmark")
    return RunData(
        title=title,
        returns=returns,
        positions=_on_sessions(result.positions, "positions"),
        transactions=_on_sessions(result.transactions, "transactions"),
        orders=result.orders,
        cash_flows=_on_sessions(getattr(result, "cash_flows", None), "cash flows"),
        benchmark=(held := align(benchmark, returns, periodicity)),
        universe=align(universe, returns, periodicity, what="returns of the universe"),
        benchmark_name=name,
        warnings=(*result.warnings, *_coverage_warnings(benchmark, held, name, returns, periodicity)),
        stopped=result.stopped,
        simulated=bool(result.settings.get("simulated")),
        settings=result.settings,
        calendar=calendar,
        periods_per_year=periods_per_year,
    )


def _calendar(manifest: Mapping[str, Any], config: Mapping[str, Any]) -> str | None:
    """Exchange calendar stated in the inputs, the backtest settings or the configuration of a run; None without one."""
    prices = (manifest.get("inputs") or {}).get("prices") or {}
    meta = prices.get("meta") if isinstance(prices, Mapping) else None
    for stated in (meta, (manifest.get("backtest") or {}).get("settings"), config.get("prices")):
        if isinstance(stated, Mapping) and isinstance(calendar := stated.get("calendar"), str):
            return calendar
    return None


def _coverage_warnings(
    given: pd.Series | None, held: pd.Series | None, name: str, returns: pd.Series, periodicity: Periodicity
) -> list[str]:
    """Warning on the part of the account that a benchmark covers; empty when it covers all of it."""
    if given is None or given.dropna().empty:
        return []
    covered = returns.index[:0] if held is None else held.index
    own = given.dropna().index
    text = coverage_warning(name, covered, returns.index, counted=periodicity.counted, own=own)
    return [text] if text else []


def _optional(path: Path, index: list[str] | None) -> pd.DataFrame | None:
    return read_parquet(path, index=index) if path.exists() else None


def _on_sessions(frame: pd.DataFrame | None, what: str) -> pd.DataFrame | None:
    if frame is None:
        return None
    if frame.empty and not isinstance(frame.index, pd.DatetimeIndex):
        frame = frame.set_axis(pd.DatetimeIndex([]), axis=0)
    frame = utc_sessions(frame, what=what)
    return frame.fillna(0.0) if what == "positions" else frame


def _column(frame: pd.DataFrame | None, name: str, returns: pd.Series, periodicity: Periodicity) -> pd.Series | None:
    if frame is None or name not in frame or frame[name].isna().all():
        return None
    return align(frame[name], returns, periodicity, what=name)


def _seed_returns(path: Path) -> pd.DataFrame | None:
    """Read returns by seed, one column per seed in numerical order; None without the file."""
    frame = _optional(path, ["date"])
    if frame is None:
        return None
    frame = _check_finite(frame, path, may_end=True).rename(columns=str)
    return utc_sessions(frame[sorted(frame, key=lambda seed: (len(seed), seed))], what=path.name)


def _trials(path: Path) -> pd.DataFrame | None:
    """Read returns of trials as a table of sessions by trial; None without the file."""
    frame = _optional(path, ["date", "trial"])
    if frame is None:
        return None
    if "returns" not in frame or frame.index.has_duplicates:
        found = "a trial with a date twice" if "returns" in frame else f"columns {', '.join(map(str, frame.columns))}"
        raise InputError(f"expected trial, date and returns, once each, in {path}; found {found}; write the run again")
    wide = _check_finite(frame[["returns"]], path)["returns"].unstack("trial").sort_index(axis=0)
    return utc_sessions(wide.rename(columns=str).sort_index(axis=1), what=path.name)


def _check_finite(frame: pd.DataFrame, path: Path, *, may_end: bool = False) -> pd.DataFrame:
    """Check that all values are finite; with `may_end`, NaN after the last value of a column is allowed."""
    for name, column in frame.items():
        last = column.last_valid_index() if may_end else None
        known = column if last is None else column.loc[:last]
        if column.dtype.kind not in "fiu" or not np.isfinite(known.to_numpy(dtype=np.float64)).all():
            raise InputError(f"expected finite returns in {path}; found other values in {name}; write the run again")
    return frame.astype("float64")


def _read_config(path: Path) -> tuple[str, dict[str, Any]]:
    if not path.exists():
        return "", {}
    try:
        text = path.read_text(encoding="utf-8")
        return text, tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"expected TOML in {path}; found a syntax error: {error}; write the run again") from error
