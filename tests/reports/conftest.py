"""A complete run directory, made from a seed and consistent with the accounting identity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from signals.common.storage import write_json, write_parquet
from signals.evaluation.cross_section_metrics import auc_by_date, rank_ic_by_date
from signals.evaluation.naive_predictors import NAIVE_PREDICTORS

COMMISSION, SLIPPAGE, CASH = 0.001, 0.0005, 1_000_000.0


@dataclass(frozen=True)
class Scenario:
    tickers: int = 40
    sessions: int = 540
    start: str = "2015-01-02"
    folds: int = 3
    seeds: int = 2
    held: int = 10
    shorts: bool = False
    skill: float = 0.06
    trade: bool = True
    benchmark: bool = True
    simulated: bool = True
    crash: bool = False  # the last day loses more than everything
    odd_names: tuple[str, ...] = ()
    seed: int = 7


@dataclass(frozen=True)
class MadeRun:
    """What was written, as frames."""

    folder: Path
    returns: pd.Series
    positions: pd.DataFrame
    transactions: pd.DataFrame
    orders: pd.DataFrame
    benchmark: pd.DataFrame


Maker = Callable[..., MadeRun]


@pytest.fixture(scope="session")
def make_run() -> Maker:
    """Function (folder, **changes to Scenario) -> MadeRun."""

    def make(folder: Path, **changes: Any) -> MadeRun:
        return _write(folder, Scenario(**changes))

    return make


@pytest.fixture(scope="session")
def run(make_run: Maker, tmp_path_factory: pytest.TempPathFactory) -> MadeRun:
    """Long only, simulated prices: read only."""
    return make_run(tmp_path_factory.mktemp("long") / "run")


@pytest.fixture(scope="session")
def short_run(make_run: Maker, tmp_path_factory: pytest.TempPathFactory) -> MadeRun:
    """Long and short, not simulated: read only."""
    return make_run(tmp_path_factory.mktemp("short") / "run", shorts=True, simulated=False, seed=11)


def _write(folder: Path, s: Scenario) -> MadeRun:
    rng = np.random.default_rng(s.seed)
    days = pd.bdate_range(s.start, periods=s.sessions)
    names = [*s.odd_names, *(f"T{i:03d}" for i in range(s.tickers - len(s.odd_names)))]
    market = rng.normal(0.0006, 0.008, s.sessions)
    drift = 0.012 * rng.standard_normal((s.sessions, s.tickers))
    close = 50 * np.exp(np.cumsum(market[:, None] * rng.uniform(0.6, 1.4, s.tickers) + drift, axis=0))
    opens = np.vstack([close[:1], close[:-1]]) * np.exp(0.003 * rng.standard_normal(close.shape))
    if s.crash:
        close[-1] = opens[-1] * 6.0  # deadly for whoever is short

    weeks = pd.Series(np.arange(s.sessions), index=days).groupby(days.to_period("W")).last().to_numpy()
    decisions = weeks[weeks < s.sessions - 1]
    entry = np.minimum(decisions + 1, s.sessions - 1)
    leave = np.append(entry[1:], -1)
    forward = np.full((len(decisions), s.tickers), np.nan)
    known = leave >= 0
    forward[known] = opens[leave[known]] / opens[entry[known]] - 1
    label = np.where(np.isnan(forward), np.nan, forward > np.nanmedian(np.nan_to_num(forward), axis=1)[:, None])
    truth = np.nan_to_num((forward - np.nanmean(np.nan_to_num(forward), axis=1)[:, None]) / 0.03)
    opinion = rng.standard_normal((len(decisions), s.tickers))
    for week in range(1, len(decisions)):  # opinions change slowly, so turnover is bearable
        opinion[week] = 0.9 * opinion[week - 1] + 0.45 * opinion[week]
    seed_scores = 0.5 + 0.03 * (rng.standard_normal((s.seeds, *forward.shape)) * 0.3 + opinion + s.skill * truth)
    score = seed_scores.mean(axis=0)
    fold = np.minimum(np.arange(len(decisions)) * s.folds // max(len(decisions), 1), s.folds - 1)

    book = _trade(days, names, opens, close, decisions, score, s)
    universe = pd.Series(np.vstack([np.zeros(s.tickers), close[1:] / close[:-1] - 1]).mean(axis=1), index=days)
    beside = {"benchmark": market} if s.benchmark else {}
    benchmark = pd.DataFrame(
        {**beside, "universe": universe.to_numpy() - 1e-5}, index=days.tz_localize("UTC").rename("date")
    )
    returns, positions, transactions, orders = book
    benchmark = benchmark.loc[returns.index]

    dates = days[decisions].to_numpy("datetime64[ns]")
    index = pd.MultiIndex.from_product([dates, pd.Index(names, dtype=object)], names=["date", "ticker"])
    until = np.repeat(dates - np.timedelta64(14, "D"), s.tickers)
    signals = pd.DataFrame(
        {
            "score": score.ravel(),
            "score_std": seed_scores.std(axis=0).ravel(),
            "fold": np.repeat(fold, s.tickers).astype("int32"),
            "trained_until": until,
        },
        index=index,
    ).sort_index()
    labels = pd.DataFrame(
        {
            "label": label.ravel(),
            "forward_return": forward.ravel(),
            "label_end": np.repeat(days[np.maximum(leave, 0)].to_numpy("datetime64[ns]"), s.tickers),
        },
        index=index,
    )
    labels = labels.dropna().sort_index()
    write_parquet(folder / "signals.parquet", signals)
    write_parquet(folder / "labels.parquet", labels)
    per_seed = [
        pd.DataFrame({"seed": k, "score": seed_scores[k].ravel()}, index=index).reset_index() for k in range(s.seeds)
    ]
    scores = pd.concat(per_seed).sort_values(["date", "ticker", "seed"], ignore_index=True)
    write_parquet(folder / "seed_scores.parquet", scores.set_index("date"))
    _write_folds(folder, s, signals, labels, scores, rng)

    write_parquet(folder / "returns.parquet", returns.to_frame())
    write_parquet(folder / "positions.parquet", positions)
    write_parquet(folder / "transactions.parquet", transactions)
    write_parquet(folder / "orders.parquet", orders.set_index("order_id"))
    write_parquet(folder / "benchmark.parquet", benchmark)
    source = "simulated" if s.simulated else "files"
    (folder / "config.toml").write_text(
        f'name = "made"\n\n[prices]\nsource = "{source}"\n\n[features]\nfrequency = "weekly"\n\n'
        f'[strategy]\nallocation = "{"LongShortQuantile" if s.shorts else "TopK"}"\nk = {s.held}\n\n'
        f"[broker]\ncash = {CASH:.0f}\ncommission = {COMMISSION}\nslippage = {SLIPPAGE}\n\n"
        '[benchmark]\nticker = "SPY"\n',
        encoding="utf-8",
    )
    warnings = ["The universe file holds only companies that still traded at its end, which flatters every figure."]
    write_json(
        folder / "manifest.json",
        {
            "simulated": s.simulated,
            "warnings": [] if s.simulated else warnings,
            "backtest": {
                "initial_cash": CASH,
                "warnings": [],
                "stopped": None,
                "settings": {"decision_dates": len(decisions)},
            },
            "versions": {"numpy": "2.4.6", "keras": "3.15.1"},
            "inputs": {"prices.parquet": "a" * 64},
            "outputs": {"returns.parquet": "b" * 64},
        },
    )
    write_json(
        folder / "timings.json",
        {"finished": "2024-05-06T07:08:09Z", "host": "box", "seconds": {"signals": 61.0, "backtest": 2.5}},
    )
    return MadeRun(folder, returns, positions, transactions, orders, benchmark)


def _trade(
    days: pd.DatetimeIndex,
    names: list[str],
    opens: np.ndarray,
    close: np.ndarray,
    decisions: np.ndarray,
    score: np.ndarray,
    s: Scenario,
) -> tuple[pd.Series, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    shares, cash, value = np.zeros(s.tickers), CASH, CASH
    after = {int(d) + 1: k for k, d in enumerate(decisions)} if s.trade else {}
    values, held, fills, orders = [], [], [], []
    for day in range(s.sessions):
        if day in after:
            rank = np.argsort(-score[after[day]], kind="stable")
            weight = np.zeros(s.tickers)
            weight[rank[: s.held]] = (0.5 if s.shorts else 0.98) / s.held
            if s.shorts:
                weight[rank[-s.held :]] = -(0.9 if s.crash else 0.5) / s.held
            change = weight * value / opens[day] - shares
            for i in np.flatnonzero(np.abs(change) > 1e-6):
                number, side = len(orders), "buy" if change[i] > 0 else "sell"
                refused = number % 211 == 210 and side == "buy"
                price = opens[day, i] * (1 + SLIPPAGE * np.sign(change[i]))
                fee = 0.0 if refused else COMMISSION * abs(change[i]) * price
                orders.append(
                    {
                        "order_id": number,
                        "submitted": days[day - 1],
                        "executed": pd.NaT if refused else days[day],
                        "ticker": names[i],
                        "side": side,
                        "type": "market",
                        "size": abs(change[i]),
                        "filled": 0.0 if refused else abs(change[i]),
                        "price": np.nan if refused else price,
                        "commission": fee,
                        "slippage": 0.0 if refused else abs(price - opens[day, i]) * abs(change[i]),
                        "status": "margin" if refused else "filled",
                        "reason": "not enough cash" if refused else "",
                    }
                )
                if refused:
                    continue
                shares[i] += change[i]
                cash -= change[i] * price + fee
                fills.append((days[day], change[i], price, names[i], fee))
        held.append(np.append(shares * close[day], cash))
        value = float(held[-1].sum())
        values.append(value)
    sessions = days.tz_localize("UTC").as_unit("ns").rename("date")
    returns = pd.Series(values, index=sessions, name="returns").pct_change()
    returns.iloc[0] = values[0] / CASH - 1
    positions = pd.DataFrame(np.array(held), index=sessions, columns=[*names, "cash"])
    columns = ["date", "amount", "price", "symbol", "commission"]
    transactions = pd.DataFrame(fills, columns=columns)
    transactions["date"] = pd.to_datetime(transactions["date"]).dt.tz_localize("UTC").astype("datetime64[ns, UTC]")
    transactions = transactions.astype({"amount": float, "price": float, "commission": float, "symbol": object})
    frame = pd.DataFrame(orders, columns=list(_ORDER_TYPES)).astype(_ORDER_TYPES)
    return returns, positions, transactions.set_index("date"), frame


_ORDER_TYPES = {
    "order_id": "int64",
    "submitted": "datetime64[ns]",
    "executed": "datetime64[ns]",
    "ticker": object,
    "side": object,
    "type": object,
    "size": float,
    "filled": float,
    "price": float,
    "commission": float,
    "slippage": float,
    "status": object,
    "reason": object,
}


def _write_folds(
    folder: Path,
    s: Scenario,
    signals: pd.DataFrame,
    labels: pd.DataFrame,
    scores: pd.DataFrame,
    rng: np.random.Generator,
) -> None:
    rows, history = [], []
    for fold, mine in signals.groupby("fold"):
        dates = mine.index.get_level_values("date")
        shared = {
            "train_start": dates[0] - pd.Timedelta(days=1500),
            "train_end": dates[0] - pd.Timedelta(days=380),
            "validation_start": dates[0] - pd.Timedelta(days=370),
            "validation_end": dates[0] - pd.Timedelta(days=21),
            "test_start": dates[0],
            "test_end": dates[-1],
            "trained_until": dates[0] - pd.Timedelta(days=14),
            "train_rows": 8000 + 2000 * int(fold),
            "validation_rows": 2000,
            "test_rows": len(mine),
            "tickers": s.tickers,
        }
        beside = {f"auc_{p}": 0.5 + 0.01 * rng.standard_normal() for p in NAIVE_PREDICTORS}
        beside |= {f"rank_ic_{p}": 0.02 * rng.standard_normal() for p in NAIVE_PREDICTORS}
        both = (auc_by_date(mine["score"], labels["label"]), rank_ic_by_date(mine["score"], labels["forward_return"]))
        for seed in range(s.seeds):
            own = scores[scores["seed"] == seed].set_index(["date", "ticker"])["score"].loc[mine.index]
            ran = int(rng.integers(3, 6))
            losses = 0.694 - 0.002 * np.log(np.arange(1, ran + 1)) + 0.0004 * rng.standard_normal((2, ran))
            kept = int(losses[1].argmin()) + 1
            history += [(int(fold), seed, e + 1, losses[0, e], losses[1, e] + 0.001) for e in range(ran)]
            rows.append(
                {"fold": int(fold), "seed": seed, **shared}
                | {
                    "epochs": kept,
                    "epochs_run": ran,
                    "train_loss": losses[0, kept - 1],
                    "validation_loss": losses[1, kept - 1],
                    "auc": float(auc_by_date(own, labels["label"]).mean()),
                    "rank_ic": float(rank_ic_by_date(own, labels["forward_return"]).mean()),
                    "auc_ensemble": float(both[0].mean()),
                    "rank_ic_ensemble": float(both[1].mean()),
                }
                | beside
            )
    folds = pd.DataFrame(rows).astype({"fold": "int32", "epochs": "int32", "epochs_run": "int32"})
    write_parquet(folder / "folds.parquet", folds.set_index("fold"))
    frame = pd.DataFrame(history, columns=["fold", "seed", "epoch", "loss", "validation_loss"])
    write_parquet(folder / "history.parquet", frame.astype({"fold": "int32", "epoch": "int32"}).set_index("fold"))
