"""Snapshots of all stages of a run up to a day, and the first difference between two runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from backtests.benchmark import buy_and_hold
from backtests.engine import run_backtest
from backtests.result import BacktestResult
from rnn_strategies.audit.perturbed_inputs import Inputs
from rnn_strategies.config.panel_config import Config
from signals.common.errors import InputError
from signals.common.progress_events import ProgressCallback, ignore_progress
from signals.dataset.windows import MASKED
from signals.walk_forward.panel_walk_forward import Prepared, SignalResult, compute_signals, prepare

__all__ = ["Difference", "Observed", "first_difference", "first_prepared_difference", "observe", "settings_of"]


@dataclass(frozen=True, slots=True)
class Observed:
    """Results of all stages of a run.

    Parameters
    ----------
    prepared : Prepared
        Universe, features, labels and folds.
    signals : SignalResult
        Scores.
    result : BacktestResult
        Orders and account.
    benchmark : Series, optional
        Returns of the benchmark per session; None without a benchmark.
    """

    prepared: Prepared
    signals: SignalResult
    result: BacktestResult
    benchmark: pd.Series | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """First difference between two runs.

    Parameters
    ----------
    stage, column : str
        Stage and column, such as `"features"` and `"momentum(52, 4)"`.
    date, ticker : str
        Row; the ticker is empty where there is none.
    before, after : str
        The two values.
    rounding : bool
        Whether all values of the column agree within rounding (1e-9 relative); False by default.
    """

    stage: str
    column: str
    date: str
    ticker: str
    before: str
    after: str
    rounding: bool = False

    def __str__(self) -> str:
        who = f" of {self.ticker}" if self.ticker else ""
        return f"{self.stage}: {self.column!r}{who} on {self.date} changed from {self.before} to {self.after}"


def settings_of(config: Config) -> dict[str, Any]:
    """Arguments of `prepare` that a configuration holds."""
    if config.walk_forward is None:
        raise InputError(
            "expected a configuration that computes scores; found imported scores; audit the program that computed them"
        )
    return {
        "walk_forward": config.walk_forward,
        "universe": config.universe,
        "labels": config.labels,
        "model": config.model,
        "frequency": config.frequency,
        "features": config.features,
    }


def observe(
    config: Config, inputs: Inputs, *, artifacts: Path, jobs: int, on_progress: ProgressCallback = ignore_progress
) -> Observed:
    """Compute all stages of a run; only trained networks are written, to the folder of artifacts."""
    settings = settings_of(config)
    prepared = prepare(inputs.prices, reference_data=inputs.reference_data, **settings)
    signals = compute_signals(
        inputs.prices,
        reference_data=inputs.reference_data,
        training=config.training,
        seeds=config.seeds,
        artifacts=artifacts,
        jobs=jobs,
        on_progress=on_progress,
        **settings,
    )
    result = run_backtest(
        inputs.prices,
        signals.signals,
        allocation=config.allocation,
        broker=config.broker,
        strategy=None if config.strategy == "SignalStrategy" else config.strategy,
    )
    ticker = config.benchmark.get("ticker")
    benchmark = None
    if ticker:
        calendar = inputs.prices.calendar
        benchmark = buy_and_hold(inputs.benchmark or inputs.prices, ticker, result.returns.index, calendar=calendar)
    return Observed(prepared, signals, result, benchmark)


def first_difference(one: Observed, two: Observed, until: np.datetime64) -> Difference | None:
    """First difference between two runs up to a day: earliest stage, and in it the earliest date; None when equal.

    A difference of rounding is returned only when there is no other one.
    """
    return _first_table_difference(_tables(one, until), _tables(two, until))


def first_prepared_difference(one: Prepared, two: Prepared, until: np.datetime64) -> Difference | None:
    """First difference between two runs in the stages before training: universe, features, labels and folds."""
    return _first_table_difference(_prepared_tables(one, until), _prepared_tables(two, until))


Tables = Iterator[tuple[str, str, pd.DataFrame]]


def _first_table_difference(one: Tables, two: Tables) -> Difference | None:
    rounding = None
    for (stage, column, a), (_, _, b) in zip(one, two, strict=True):
        difference = _compare(stage, column, a, b)
        if difference is not None and not difference.rounding:
            return difference
        rounding = rounding or difference
    return rounding


def _tables(observed: Observed, until: np.datetime64) -> Tables:
    yield from _prepared_tables(observed.prepared, until)
    yield from _scores(observed.signals, until)
    yield from _account(observed, until)


def _prepared_tables(prepared: Prepared, until: np.datetime64) -> Tables:
    """Stage, column and values known on a day, in the order in which they are computed; rows are dates or folds."""
    data = prepared.data
    dates = data.dates[data.dates <= until]
    known = np.asarray(data.panel.traded[data.panel.dates <= until].any(axis=0))
    names = [ticker for ticker, seen in zip(data.panel.tickers, known, strict=True) if seen]
    wide = partial(_wide, dates=dates, names=names, known=known)
    yield "universe", "member", wide(data.member.astype(np.float64))
    for f, name in enumerate(data.features.names):
        yield "features", name, wide(data.features.values[:, :, f])
    yield "rows", "may be scored", wide(data.eligible.astype(np.float64))
    day = data.panel.dates[np.maximum(data.labels.end, 0)]
    over = (data.labels.end >= 0) & (day <= until)
    yield "labels", "forward_return", wide(np.where(over, data.labels.forward_return, np.nan))
    yield "labels", "label", wide(np.where(over, data.labels.label, np.nan))
    yield "labels", "label_end", wide(np.where(over, day.astype(np.float64), np.nan))
    yield from _folds(prepared, until)


def _wide(
    values: NDArray[np.float64], dates: NDArray[np.datetime64], names: list[str], known: NDArray[np.bool_]
) -> pd.DataFrame:
    return pd.DataFrame(values[known][:, : len(dates)].T, index=dates, columns=names)


def _folds(prepared: Prepared, until: np.datetime64) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Facts about the training data of each fold whose test slice starts by the day."""
    rows: dict[str, dict[Any, float]] = {}
    data = prepared.data
    for fold in prepared.folds:
        first = data.dates[fold.fold.test.start]
        if first > until:
            continue
        facts: dict[str, float] = {
            "first date of training": float(fold.fold.train.start),
            "first date of validation": float(fold.fold.validation.start),
            "rows of training": len(fold.training),
            "rows of validation": len(fold.validation),
            "tickers": len(fold.tickers),
            "trained_until": float(fold.trained_until.astype(np.float64)) if fold.trained_until else np.nan,
        }
        scaler = fold.scaler
        for f, name in enumerate(data.features.names):
            facts |= {
                f"lower bound of {name}": scaler.low[f],
                f"upper bound of {name}": scaler.high[f],
                f"mean of {name}": scaler.mean[f],
                f"standard deviation of {name}": scaler.std[f],
            }
        facts |= {f"target {i}": value for i, value in enumerate(scaler.target)}
        facts["sum of training labels"] = float(fold.training.label.astype(np.float64).sum())
        if fold.both.step_labels is not None:
            for name, samples in (("training", fold.training), ("all", fold.both)):
                assert samples.step_labels is not None  # noqa: S101 - all slices have them or none
                panel = samples.step_labels.panel
                facts[f"sum of {name} labels of steps"] = float(panel[panel != MASKED].astype(np.float64).sum())
        for name, ids in fold.training.groups.items():
            facts |= {f"ids of {name}": float(fold.group_sizes[name]), f"sum of ids of {name}": float(ids.sum())}
        for column, value in facts.items():
            rows.setdefault(column, {})[first] = value
    for column, values in rows.items():
        yield "folds", column, pd.DataFrame({"": values})


def _scores(signals: SignalResult, until: np.datetime64) -> Iterator[tuple[str, str, pd.DataFrame]]:
    kept = signals.seed_scores[signals.seed_scores["date"] <= until]
    for seed, rows in kept.groupby("seed", sort=True):
        yield "scores", f"score of seed {seed}", rows.pivot(index="date", columns="ticker", values="score")
    frame = signals.signals[signals.signals.index.get_level_values("date") <= until]
    yield "scores", "score", frame["score"].unstack("ticker")


def _account(observed: Observed, until: np.datetime64) -> Iterator[tuple[str, str, pd.DataFrame]]:
    result, day = observed.result, pd.Timestamp(until)
    orders = result.orders
    asked = orders[orders["submitted"] <= day].reset_index(drop=True)
    asked.index = pd.Index([f"{t:%Y-%m-%d}, order {i + 1}" for i, t in enumerate(asked["submitted"])])
    for column in ("ticker", "side", "type", "size"):
        yield "orders", column, asked[[column]].rename(columns={column: ""})
    done = orders[orders["executed"] <= day].reset_index(drop=True)
    done.index = pd.Index([f"{t:%Y-%m-%d}, fill {i + 1}" for i, t in enumerate(done["executed"])])
    for column in ("filled", "price", "commission", "slippage", "status"):
        yield "orders", column, done[[column]].rename(columns={column: ""})
    utc = day.tz_localize("UTC")
    yield "account", "returns", result.returns[:utc].to_frame("")
    held = result.positions[:utc]
    # a ticker that is listed later can have a column of zeros in one run and no column in the other
    yield "account", "positions", held.loc[:, (held != 0).any()]
    if observed.benchmark is not None:
        yield "benchmark", "returns", observed.benchmark[:utc].to_frame("")


def _compare(stage: str, column: str, a: pd.DataFrame, b: pd.DataFrame) -> Difference | None:
    if a.shape == b.shape and a.index.equals(b.index) and a.columns.equals(b.columns):
        one, two = a.to_numpy(), b.to_numpy()
        if one.dtype == np.float64 and two.dtype == np.float64:
            if one.tobytes() == two.tobytes():
                return None
            differs = (one != two) & ~(np.isnan(one) & np.isnan(two))
        else:
            differs = np.asarray(one != two, dtype=bool)
    else:
        index, columns = a.index.union(b.index), a.columns.union(b.columns)
        a, b = a.reindex(index=index, columns=columns), b.reindex(index=index, columns=columns)
        differs = ~((a == b) | (a.isna() & b.isna())).to_numpy()
    if not differs.any():
        return None
    row, place = (int(i) for i in np.argwhere(differs)[0])
    before, after = a.iat[row, place], b.iat[row, place]
    date = a.index[row]
    return Difference(
        stage,
        column,
        date if isinstance(date, str) else f"{pd.Timestamp(date):%Y-%m-%d}",
        str(a.columns[place]),
        _format_value(before),
        _format_value(after),
        rounding=_is_rounding(a.to_numpy()[differs], b.to_numpy()[differs]),
    )


def _is_rounding(a: NDArray[Any], b: NDArray[Any]) -> bool:
    if a.dtype != np.float64 or b.dtype != np.float64:
        return False
    return bool((np.abs(a - b) <= 1e-9 * np.maximum(np.abs(a), np.abs(b))).all())


def _format_value(value: Any) -> str:
    if isinstance(value, float | np.floating):
        return "nothing" if np.isnan(value) else f"{value:.6g}"
    return "nothing" if value is None or value is pd.NaT else str(value)
