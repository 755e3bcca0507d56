"""Benchmarks of backtests: this project and naive backtrader on the same market and decisions, and a large backtest.

Four legs are interleaved and measured by CPU time: `naive` (stock Cerebro, `PandasData`, `.loc` per ticker, observers,
pyfolio analyzer), `default` (`run_backtest`), `plain` (a user strategy with the feeds and broker of this project) and
`compat` (the same strategy without the rules in which the broker differs from stock backtrader). `compat` must end with
the same bits as `naive`, fill for fill; otherwise the benchmark fails, because only equal results can be compared.
`default` differs by the rules of the broker; the table shows the effect of each rule.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import backtrader as bt

import rnn_strategies as rs
from backtests.common.broker_rules import RULES
from tests.benchmarks.figures import Figure, Figures
from tests.benchmarks.market import Market, simulate
from tests.benchmarks.measure import ROOT, Leg, fresh_process, interleaved
from tests.benchmarks.naive import Account, PlainStrategy, account_of, naive_cerebro
from tests.benchmarks.peer_jobs.job import CASH, COMMISSION, PLACES, SLIPPAGE
from tests.benchmarks.peer_jobs.memory import peak_mb

__all__ = ["Job", "bench", "large", "rules", "versus"]

FULL, SMALL, LARGE = (500, 2520), (100, 504), (2500, 2520)
MISSING = 0.3
SETTINGS = rs.BrokerSettings(cash=CASH, commission=COMMISSION, slippage=SLIPPAGE)


@dataclass(frozen=True)
class Job:
    """A market and the decisions on it; inputs are prepared before the timing."""

    market: Market
    places: int

    @cached_property
    def inputs(self) -> dict[str, Any]:
        """Frames for stock backtrader, and prices and signals for this project."""
        market = self.market
        return {
            "frames": market.frames(),
            "scores": market.wide_scores(),
            "prices": market.prices(),
            "signals": market.signals(),
            "days": frozenset(day.item() for day in market.dates[market.decisions]),
        }

    def naive(self) -> Account:
        """Stock backtrader."""
        return account_of(naive_cerebro(self.inputs["frames"], self.inputs["scores"], SETTINGS, places=self.places))

    def default(self) -> Account:
        """`run_backtest` of this project, including its result object."""
        result = self.result()
        fills = result.transactions
        rows = zip(fills.index.date, fills["symbol"], fills["amount"], fills["price"], fills["commission"], strict=True)
        ended = result.orders[~result.orders["status"].isin(["filled", "partial", "liquidated", "open"])]
        refused = zip(ended["submitted"], ended["ticker"], ended["size"], ended["status"], strict=True)
        return Account(float(result.positions.iloc[-1].sum()), tuple(rows), tuple(refused))

    def result(self) -> rs.BacktestResult:
        """Result of `run_backtest`."""
        return _backtest(self.inputs["prices"], self.inputs["signals"], self.places)

    def plain(self) -> Account:
        """A user script with the feeds and the broker of this project."""
        return self.script(rs.Broker(SETTINGS))

    def compat(self) -> Account:
        """The same script with the rules of the stock broker."""
        return self.script(rs.Broker(SETTINGS, compat=True))

    def script(self, broker: Any) -> Account:
        """Run the plain strategy on a broker."""
        cerebro = bt.Cerebro(stdstats=False)
        cerebro.setbroker(broker)
        rs.add_prices(cerebro, self.inputs["prices"], signals=self.inputs["signals"])
        cerebro.addanalyzer(rs.AccountRecorder, _name="recorder")
        cerebro.addstrategy(PlainStrategy, days=self.inputs["days"], places=self.places)
        return account_of(cerebro)


def _backtest(prices: Any, signals: Any, places: int) -> rs.BacktestResult:
    return rs.run_backtest(prices, signals, allocation=rs.TopK(k=places), broker=SETTINGS)


def versus(market: Market, places: int, *, repetitions: int = 3, once: bool = False) -> dict[str, Leg]:
    """Run all four legs, and raise an error when their results differ.

    Parameters
    ----------
    market : Market
        What is traded.
    places : int
        Names held.
    repetitions : int
        Of every leg, interleaved.
    once : bool
        Whether the naive leg, which takes minutes at full size, runs only once.

    Raises
    ------
    SystemExit
        When `compat` and `naive` differ, naming the first fill that does.
    """
    job = Job(market, places)
    job.inputs  # noqa: B018 - prepared before the timing
    legs = {name: getattr(job, name) for name in ("naive", "default", "plain", "compat")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        taken = interleaved(legs, repetitions, once=("naive",) if once else ())
    _refuse_difference(taken["naive"].result, taken["compat"].result)
    return taken


def _refuse_difference(naive: Account, compat: Account) -> None:
    if naive == compat:
        return
    pairs = zip((*naive.fills, *naive.refused), (*compat.fills, *compat.refused), strict=False)
    first = next((pair for pair in pairs if pair[0] != pair[1]), "the shorter list is the beginning of the other")
    raise SystemExit(
        f"expected compat=True to trade as stock backtrader does; found {naive.value!r} after {len(naive.fills):,} "
        f"fills and {len(naive.refused):,} refusals (stock), and {compat.value!r} after {len(compat.fills):,} and "
        f"{len(compat.refused):,} (compat), first apart: {first}"
    )


def bench(*, small: bool = False) -> Figures:
    """Full size once and a smaller size three times, each with and without missing bars; then the large backtest."""
    figures: Figures = {}
    sizes = [("small_", SMALL)] if small else [("", FULL), ("small_", SMALL)]
    for prefix, (tickers, days) in sizes:
        places = min(PLACES, tickers // 5)
        for missing in (0.0, MISSING):
            taken = versus(simulate(tickers, days, missing=missing), places, once=not prefix)
            figures |= _compared(f"backtest.{prefix}{'gaps_' if missing else ''}", taken, f"{tickers} × {days:,}")
    figures |= rules(simulate(*SMALL, missing=MISSING), min(PLACES, SMALL[0] // 5))
    return figures if small else figures | large(*LARGE)


def rules(market: Market, places: int) -> Figures:
    """Final value of the plain strategy with each single rule of the broker; rules without effect are left out."""
    job = Job(market, places)
    stock = job.compat()
    figures: Figures = {}
    for rule in RULES:
        alone = job.script(rs.Broker(SETTINGS, compat=set(RULES) - {rule}))
        if alone != stock:
            figures[f"backtest.rule_{rule}_value_apart"] = Figure(
                alone.value / stock.value - 1.0, f"this rule alone, with holes; {_counted(alone)}"
            )
    return figures


def _compared(prefix: str, taken: dict[str, Leg], size: str) -> Figures:
    naive, default = taken["naive"], taken["default"]
    accounts = naive.result, default.result
    apart = accounts[1].value / accounts[0].value - 1.0
    same = len({fill[:2] for fill in accounts[0].fills} & {fill[:2] for fill in accounts[1].fills})
    # the agreed names are backtest.default_vs_naive and backtest.gaps_vs_naive
    main = f"{prefix}vs_naive" if prefix.endswith("gaps_") else f"{prefix}default_vs_naive"
    return {
        main: Figure(naive.seconds / default.seconds, f"× naive backtrader, {size}, `run_backtest`"),
        f"{prefix}plain_strategy_vs_naive": Figure(
            naive.seconds / taken["plain"].seconds, "× naive, one's own bt.Strategy on our feeds and broker"
        ),
        f"{prefix}compat_vs_naive": Figure(
            naive.seconds / taken["compat"].seconds, "× naive, the same with compat=True: equal bits, checked"
        ),
        f"{prefix}naive_cpu_s": Figure(naive.seconds, f"naive backtrader, {_counted(accounts[0])}"),
        f"{prefix}default_cpu_s": Figure(default.seconds, f"`run_backtest`, {_counted(accounts[1])}"),
        f"{prefix}default_value_apart": Figure(apart, "final value of `run_backtest` against naive, less 1"),
        f"{prefix}default_fills_shared": Figure(
            same / max(len(accounts[0].fills), 1), "share of naive's fills (day and ticker) that `run_backtest` has too"
        ),
    }


def _counted(account: Account) -> str:
    return f"{len(account.fills):,} fills, {len(account.refused):,} orders refused"


def large(tickers: int, days: int) -> Figures:
    """CPU time and peak memory of one large backtest in a process of its own."""
    path = ROOT / "build" / "bench" / f"market-{tickers}x{days}.npz"
    simulate(tickers, days).save(path)
    try:
        found = fresh_process(["-m", "tests.benchmarks.backtests", str(path), str(PLACES)])
    finally:
        path.unlink()
    name = f"backtest.{tickers}_tickers"
    return {
        f"{name}_cpu_s": Figure(found["cpu_s"], f"`run_backtest`, {tickers:,} × {days:,}, weekly top {PLACES}"),
        f"{name}_mb": Figure(found["mb"], f"peak memory of that process; {found['inputs_mb']:,.0f} MB before the run"),
        f"{name}_fills": Figure(found["fills"], f"fills; final value {found['value']:,.2f}"),
    }


def main(path: str, places: str) -> None:
    """Run one backtest of a saved market in this process and print its CPU time and memory."""
    market = Market.load(Path(path))
    prices, signals = market.prices(), market.signals()
    del market  # a user does not hold a second copy in memory
    before = peak_mb()
    began = time.process_time()
    result = _backtest(prices, signals, int(places))
    taken = time.process_time() - began
    print(
        json.dumps(
            {
                "cpu_s": taken,
                "mb": peak_mb(),
                "inputs_mb": before,
                "value": float(result.positions.iloc[-1].sum()),
                "fills": len(result.transactions),
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
