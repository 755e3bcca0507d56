"""Consistency checks between the files of a run, for parts that cannot be recomputed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from backtests.result import BacktestResult
from reports.metrics.gains import trips_gap
from signals.common.errors import CheckFailedError, InputError
from signals.common.storage import read_parquet
from signals.evaluation.cross_section_metrics import auc_by_date, binary_outcome, rank_ic_by_date
from signals.scores.signal_frame import check_signals

__all__ = ["check_account", "check_imported", "check_quantiles", "check_scores"]

# Tolerance for sums of many numbers in another order.
ROUNDING = 1e-9
EXACT = 1e-12

FileFinding = tuple[str, str]


def check_scores(folder: Path) -> Iterator[FileFinding]:
    """Check the signal files of a run against each other; yields file and finding, the first of each kind."""
    signals = read_parquet(folder / "signals.parquet", index=["date", "ticker"])
    seeds = read_parquet(folder / "seed_scores.parquet", index=["date", "ticker"])
    folds = read_parquet(folder / "folds.parquet")
    history = read_parquet(folder / "history.parquet")
    labels = read_parquet(folder / "labels.parquet", index=["date", "ticker"])
    try:
        check_signals(signals)
    except InputError as error:
        yield "signals.parquet", str(error)
        return
    yield from _check_mean(signals, seeds, folds)
    yield from _check_labels(signals, labels)
    yield from _check_folds(signals, folds)
    yield from _check_skill(seeds, labels, folds, signals)
    if (folder / "quantiles.parquet").exists():
        yield from check_quantiles(signals["score"], read_parquet(folder / "quantiles.parquet"), labels, folds)
    yield from _check_history(folds, history)


def check_imported(folder: Path) -> Iterator[FileFinding]:
    """Check imported scores and their labels against each other."""
    signals = read_parquet(folder / "signals.parquet", index=["date", "ticker"])
    try:
        check_signals(signals)
    except InputError as error:
        yield "signals.parquet", str(error)
        return
    yield from _check_labels(signals, read_parquet(folder / "labels.parquet", index=["date", "ticker"]))


def check_account(folder: Path, claims: Mapping[str, Any]) -> Iterator[FileFinding]:
    """Check the files of a backtest against each other and against the initial cash of the account."""
    stated = claims.get("backtest")
    if not isinstance(stated, dict) or not _is_account(stated):
        yield "manifest.json", "the entry backtest lacks initial cash, warnings, stop reason or settings"
        return
    result = BacktestResult.load(folder, **stated)
    try:
        result.check(ROUNDING)
    except CheckFailedError as error:
        yield "returns.parquet", f"does not follow from positions, transactions and cash_flows.parquet: {error}"
        return
    yield from _check_orders(result)
    gap = trips_gap(result.positions, result.transactions, result.cash_flows)
    if gap is not None:
        yield (
            "transactions.parquet",
            f"round trips of {gap[0]} do not add up to its gain by fills, cash flows and positions: {gap[1]:.3g} apart",
        )
    names = [name for name in ("benchmark.parquet", "seed_returns.parquet") if (folder / name).exists()]
    for name in names:
        returns = read_parquet(folder / name, index=["date"])
        if not returns.index.equals(result.returns.index):
            yield name, "has other sessions than returns.parquet"
    yield from _check_own_trial(folder, claims, result)


def _check_own_trial(folder: Path, claims: Mapping[str, Any], result: BacktestResult) -> Iterator[FileFinding]:
    stated = claims.get("trial")
    trial = stated if isinstance(stated, dict) else {}
    table = read_parquet(folder / "trials.parquet", index=["trial"])
    own = table.loc[table.index == str(trial.get("id")), "returns"].to_numpy(np.float64)
    if own.tobytes() != result.returns.to_numpy(np.float64).tobytes():
        text = f"the returns of trial {trial.get('id')}, which is this run, are not those of returns.parquet"
        yield "trials.parquet", text
    finished, started = trial.get("finished"), trial.get("started")
    if finished != table.index.nunique():
        yield "manifest.json", f"trial.finished is {finished}; trials.parquet has {table.index.nunique()}"
    elif not isinstance(started, int) or started < finished:
        yield "manifest.json", f"trial.started is {started}, fewer than trial.finished, {finished}"
    warnings = claims.get("warnings")
    if not isinstance(warnings, list) or not all(isinstance(line, str) for line in warnings):
        yield "manifest.json", "warnings is not a list of texts"


def _is_account(stated: Mapping[str, Any]) -> bool:
    kinds = {"initial_cash": float, "warnings": list, "stopped": str | None, "settings": dict}
    if stated.keys() != kinds.keys() or not all(isinstance(stated[name], kind) for name, kind in kinds.items()):
        return False
    fees = stated["settings"].get("borrow_fees")
    return fees is None or isinstance(fees, float)


def _row(index: pd.MultiIndex, wrong: NDArray[np.bool_]) -> str:
    date, ticker = index[int(wrong.argmax())]
    return f"of {ticker} on {date:%Y-%m-%d}"


def _check_mean(signals: pd.DataFrame, seeds: pd.DataFrame, folds: pd.DataFrame) -> Iterator[FileFinding]:
    order = list(dict.fromkeys(folds["seed"]))
    if not folds.set_index(["fold", "seed"]).index.is_unique or len(folds) != len(order) * folds["fold"].nunique():
        yield "folds.parquet", "does not have one row for every fold and seed"
        return
    wide = seeds.set_index("seed", append=True)["score"].unstack("seed")
    if not wide.index.equals(signals.index) or sorted(wide.columns) != sorted(order) or wide.isna().any(axis=None):
        yield "seed_scores.parquet", "does not have one score of every seed for every row of signals.parquet"
        return
    values = np.ascontiguousarray(wide[order].to_numpy(np.float64).T)
    for name, again in (("score", values.mean(axis=0)), ("score_std", values.std(axis=0))):
        there = signals[name].to_numpy(np.float64)
        wrong = ~(np.abs(there - again) <= EXACT)
        if wrong.any():
            at = int(wrong.argmax())
            yield (
                "signals.parquet",
                f"{name} {_row(signals.index, wrong)} is {float(there[at])!r}; computed from seed_scores.parquet it is "
                f"{float(again[at])!r}",
            )
            return


def _check_labels(signals: pd.DataFrame, labels: pd.DataFrame) -> Iterator[FileFinding]:
    if not labels.index.isin(signals.index).all() or not labels.index.is_unique:
        yield "labels.parquet", "has duplicate rows, or rows that are not in signals.parquet"
        return
    early = labels["label_end"].to_numpy() <= labels.index.get_level_values("date").to_numpy()
    if early.any():
        yield "labels.parquet", f"label_end {_row(labels.index, early)} is not after that day"
    lost = labels["forward_return"].to_numpy() < -1.0
    if lost.any():
        yield "labels.parquet", f"forward_return {_row(labels.index, lost)} is below -1"


def _check_folds(signals: pd.DataFrame, folds: pd.DataFrame) -> Iterator[FileFinding]:
    days = signals.index.get_level_values("date")
    for number, rows in folds.groupby("fold"):
        mine = np.asarray(signals["fold"] == number)
        facts = rows.iloc[0]
        until = signals["trained_until"][mine].unique()
        derived = (("test_rows", int(mine.sum())), *(("trained_until", day) for day in until))
        for name, value in derived:
            if facts[name] != value or rows[name].nunique() != 1:
                yield "folds.parquet", f"{name} of fold {number} is {facts[name]}; in signals.parquet it is {value}"
                return
        if mine.any() and not facts["test_start"] <= days[mine].min() <= days[mine].max() <= facts["test_end"]:
            yield (
                "folds.parquet",
                f"fold {number} scores from {facts['test_start']} to {facts['test_end']}; signals.parquet has scores "
                "on other dates",
            )
            return
    if set(folds["fold"]) != set(signals["fold"]):
        yield "folds.parquet", "has other folds than signals.parquet"


def _check_skill(
    seeds: pd.DataFrame, labels: pd.DataFrame, folds: pd.DataFrame, signals: pd.DataFrame
) -> Iterator[FileFinding]:
    up = binary_outcome(labels["label"])
    for row in folds.itertuples():
        mine = signals.index[np.asarray(signals["fold"] == row.fold)]
        own = seeds[seeds["seed"] == row.seed]["score"].reindex(mine)
        for prefix, score in (("", own), ("_ensemble", signals["score"].reindex(mine))):
            here = labels.index.isin(mine)
            again = {
                f"auc{prefix}": float(auc_by_date(score, up[here]).mean()),
                f"rank_ic{prefix}": float(rank_ic_by_date(score, labels["forward_return"][here]).mean()),
            }
            for name, value in again.items():
                stated = float(getattr(row, name))
                if not (abs(stated - value) <= ROUNDING or (np.isnan(stated) and np.isnan(value))):
                    yield (
                        "folds.parquet",
                        f"{name} of fold {row.fold}, seed {row.seed} is {stated!r}; recomputed {value!r}",
                    )
                    return


def check_quantiles(
    score: pd.Series, quantiles: pd.DataFrame, labels: pd.DataFrame, folds: pd.DataFrame
) -> Iterator[FileFinding]:
    """Check that the middle quantile is the score, and that the pinball losses of the folds follow from the labels."""
    file = "quantiles.parquet"
    try:
        wide = quantiles.pivot(index=["date", "ticker"], columns="level", values="value")
    except (KeyError, ValueError) as error:
        yield file, f"does not have one value for every date, ticker and level: {error}"
        return
    values = wide.to_numpy(np.float64)
    if not wide.index.equals(score.index) or not np.isfinite(values).all() or not wide.shape[1] % 2:
        yield file, "does not have one value for each of an odd number of levels for every row of signals.parquet"
        return
    wrong = (np.diff(values, axis=1) < 0).any(axis=1)
    if wrong.any():
        yield file, f"the quantiles {_row(wide.index, wrong)} do not ascend"
        return
    middle = values[:, wide.shape[1] // 2]
    wrong = ~(np.abs(middle - score.to_numpy(np.float64)) <= EXACT)
    if wrong.any():
        at = int(wrong.argmax())
        median, stated_score = middle[at], score.to_numpy()[at]
        yield (
            file,
            f"the middle quantile {_row(wide.index, wrong)} is {median!r}; the score in signals.parquet is "
            f"{stated_score!r}",
        )
        return
    level = wide.columns.to_numpy(np.float64)
    label = labels["label"].reindex(wide.index).to_numpy(np.float64)
    deviation = label[:, None] - values
    loss = np.maximum(level * deviation, (level - 1) * deviation).mean(axis=1)
    days = wide.index.get_level_values("date")
    for row in folds.itertuples():
        mine = np.isfinite(label) & (days >= row.test_start) & (days <= row.test_end)
        again = float(loss[mine].mean()) if mine.any() else float("nan")
        stated = float(getattr(row, "pinball_ensemble", np.nan))
        if not (abs(stated - again) <= ROUNDING or (np.isnan(stated) and np.isnan(again))):
            yield "folds.parquet", f"pinball_ensemble of fold {row.fold} is {stated!r}; recomputed {again!r}"
            return


def _check_history(folds: pd.DataFrame, history: pd.DataFrame) -> Iterator[FileFinding]:
    for row in folds.itertuples():
        mine = history[(history["fold"] == row.fold) & (history["seed"] == row.seed)]
        name = f"of fold {row.fold}, seed {row.seed}"
        if len(mine) != row.epochs_run or list(mine["epoch"]) != list(range(1, len(mine) + 1)):
            yield "history.parquet", f"{name} has {len(mine)} epochs; folds.parquet states {row.epochs_run}"
            return
        if not 0 < row.epochs <= len(mine):
            continue  # a saved network has no history
        kept = mine.iloc[row.epochs - 1]
        pairs = ((row.train_loss, kept["loss"]), (row.validation_loss, kept["validation_loss"]))
        if any(a != b and not (np.isnan(a) and np.isnan(b)) for a, b in pairs):
            yield "history.parquet", f"the losses {name} in epoch {row.epochs} are not those of folds.parquet"
            return


def _check_orders(result: BacktestResult) -> Iterator[FileFinding]:
    """Compare filled shares, value and commission of the orders with the transactions, by ticker."""
    orders, fills = result.orders, result.transactions
    sign = np.where(orders["side"] == "buy", 1.0, -1.0)
    by_orders = {
        "shares": (sign * orders["filled"]).groupby(orders["ticker"]).sum(),
        "value": (sign * orders["filled"] * orders["price"].fillna(0.0)).groupby(orders["ticker"]).sum(),
        "commission": orders["commission"].groupby(orders["ticker"]).sum(),
    }
    by_fills = {
        "shares": fills["amount"].groupby(fills["symbol"]).sum(),
        "value": (fills["amount"] * fills["price"]).groupby(fills["symbol"]).sum(),
        "commission": fills["commission"].groupby(fills["symbol"]).sum(),
    }
    turnover = max(float((fills["amount"] * fills["price"]).abs().sum()), 1.0)
    for name, filled in by_orders.items():
        both = pd.DataFrame({"orders": filled, "fills": by_fills[name]}).fillna(0.0)
        wrong = ((both["orders"] - both["fills"]).abs() > ROUNDING * turnover).to_numpy()
        if wrong.any():
            ticker = both.index[int(wrong.argmax())]
            row = both.loc[ticker]
            yield (
                "orders.parquet",
                f"filled {name} of {ticker} add up to {row['orders']:,.6f}; in transactions.parquet to "
                f"{row['fills']:,.6f}",
            )
            return
