"""`make bench`: every ratio is measured in one run, both sides interleaved, on CPU time; medians over repetitions.

Prints a table and writes build/bench.json, a flat object of numbers. Names follow the project's agreed list.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

# One core per measured leg: ratios on shared machines are steadier, and walk-forward trains one thread per process.
for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ[name] = "1"

import numpy as np  # noqa: E402 - the thread counts must be set first

ROOT = Path(__file__).resolve().parents[2]


def cpu_seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def interleaved(legs: dict[str, Callable[[], object]], repetitions: int) -> dict[str, float]:
    """Median CPU seconds of each leg, legs taking turns so that a busy machine slows all of them."""
    taken: dict[str, list[float]] = {name: [] for name in legs}
    for _ in range(repetitions):
        for name, work in legs.items():
            taken[name].append(cpu_seconds(work))
    return {name: statistics.median(values) for name, values in taken.items()}


def bench_training() -> dict[str, float]:
    """The default Keras trainer against the published loop: the same network and rows, `fit` at batch 32."""
    from signals.models.stacked_lstm import ModelSettings, build
    from signals.trainers.keras_trainer import KerasTrainer, load_keras
    from signals.trainers.seam import FitTask, Network, TrainingSettings
    from signals.windows import Samples, Windows

    load_keras()
    rng = np.random.default_rng(0)
    tickers, rows = 2489, 16_384
    panel = rng.normal(size=(tickers, 300, 1)).astype(np.float32)
    windows = Windows(
        panel, rng.integers(0, tickers, rows).astype(np.int32), rng.integers(52, 300, rows).astype(np.int32), 52
    )
    label = (rng.random(rows) < 0.5).astype(np.float32)
    samples = Samples(windows, windows.ticker + 1, windows.end % 12, label)
    network, trainer = Network(ModelSettings(), tickers + 1), KerasTrainer()

    def ours(epochs: int) -> Callable[[], object]:
        task = FitTask(network, samples, None, TrainingSettings(epochs=epochs), 0)
        return lambda: next(trainer.fit([task]))

    book_rows = 2048
    book = build(network.model, tickers + 1)
    book.compile("adam", "binary_crossentropy")
    inputs = {
        "sequence": windows.gather(slice(0, book_rows)),
        "ticker": samples.category[:book_rows],
        "month": np.eye(12, dtype=np.float32)[samples.month[:book_rows]],
    }

    def published() -> object:
        return book.fit(inputs, label[:book_rows], batch_size=32, epochs=1, verbose=0)

    published()
    # a fit traces its step once; two lengths take that constant out of the rate
    taken = interleaved({"one": ours(1), "three": ours(3), "book": published}, repetitions=3)
    ours_rate = 2 * rows / (taken["three"] - taken["one"])
    fitted = next(trainer.fit([FitTask(network, samples, None, TrainingSettings(epochs=1), 0)]))
    predicted = cpu_seconds(lambda: trainer.predict(network, fitted.weights, samples))
    return {
        "train.keras_rows_per_second": ours_rate,
        "train.book_rows_per_second": book_rows / taken["book"],
        "train.keras_vs_book": ours_rate * taken["book"] / book_rows,
        "predict.rows_per_second": rows / predicted,
    }


def bench_backtest() -> dict[str, float]:
    """Our default backtest against what a typical user writes in backtrader; 100 tickers, four years, weekly top 20."""
    import backtrader as bt
    import pandas as pd

    import rnn_strategies as rs
    from signals.calendar import decision_dates
    from signals.frames import signal_frame

    prices = rs.load_prices(
        source="simulated", seed=0, tickers=100, start="2010-01-01", end="2013-12-31",
        listings=0.0, delistings=0.0, missing=0.0,
    )  # fmt: skip
    days = decision_dates("2010-01-01", "2013-12-31")
    tickers = np.array(prices.tickers, object)
    rng = np.random.default_rng(0)
    n = len(days) * len(tickers)
    signals = signal_frame(
        np.repeat(days, len(tickers)), np.tile(tickers, len(days)), score=rng.random(n), score_std=np.zeros(n),
        fold=np.zeros(n), trained_until=np.full(n, np.datetime64("2009-12-31")),
    )  # fmt: skip
    by_ticker = {name: frame.droplevel("ticker") for name, frame in prices.frame.groupby(level="ticker")}
    wide = signals["score"].unstack()

    class Naive(bt.Strategy):
        def next(self):
            day = pd.Timestamp(self.data.datetime.date())
            if day not in wide.index:
                return
            scores = {d._name: wide.loc[day, d._name] for d in self.datas}
            chosen = sorted(scores, key=scores.get, reverse=True)[:20]
            for d in self.datas:
                if d._name not in chosen and self.getposition(d).size:
                    self.order_target_percent(d, target=0.0)
            for name in chosen:
                self.order_target_percent(self.getdatabyname(name), target=0.98 / 20)

    def naive() -> object:
        cerebro = bt.Cerebro()
        for name, frame in by_ticker.items():
            cerebro.adddata(bt.feeds.PandasData(dataname=frame[["open", "high", "low", "close", "volume"]]), name=name)
        cerebro.broker.setcash(1e7)
        cerebro.broker.setcommission(commission=0.001)
        cerebro.broker.set_slippage_perc(0.0005)
        cerebro.addanalyzer(bt.analyzers.PyFolio)
        cerebro.addstrategy(Naive)
        return cerebro.run()

    broker = rs.BrokerSettings(cash=1e7, commission=0.001, slippage=0.0005)

    def ours() -> object:
        return rs.run_backtest(prices, signals, allocation=rs.TopK(k=20), broker=broker)

    taken = interleaved({"naive": naive, "ours": ours}, repetitions=3)
    return {
        "backtest.default_vs_naive": taken["naive"] / taken["ours"],
        "backtest.100_tickers_4_years_cpu_s": taken["ours"],
    }


def bench_command_line() -> dict[str, float]:
    """Wall time of `--help`, and of the demo from nothing but an installed environment."""
    command = str(Path(sys.executable).with_name("rnn-strategies"))

    def wall(*arguments: str, folder: str) -> float:
        began = time.perf_counter()
        environment = {k: v for k, v in os.environ.items() if "THREADS" not in k}
        subprocess.run([command, *arguments], cwd=folder, env=environment, check=True, capture_output=True)
        return time.perf_counter() - began

    with tempfile.TemporaryDirectory() as folder:
        help_s = statistics.median(wall("--help", folder=folder) for _ in range(5))
        wall("init", "demo.toml", folder=folder)
        demo_s = wall("run", "demo.toml", folder=folder)
        repeat_s = wall("run", "demo.toml", folder=folder)
    return {"cli.help_s": help_s, "pipeline.demo_s": demo_s, "pipeline.demo_again_s": repeat_s}


def main() -> None:
    results: dict[str, float] = {}
    for bench in (bench_command_line, bench_training, bench_backtest):
        results |= bench()
        print(f"{bench.__name__} done", file=sys.stderr)
    cpu = platform.processor() or platform.machine()
    print(f"Python {platform.python_version()}, {cpu}, {os.cpu_count()} cores")
    for name, value in results.items():
        print(f"{name:<40} {value:>12,.2f}")
    target = ROOT / "build" / "bench.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(results, indent=2) + "\n")
    print(target.relative_to(ROOT))


if __name__ == "__main__":
    main()
