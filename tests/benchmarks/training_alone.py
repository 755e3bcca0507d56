"""Measurements in separate processes: `python -m tests.benchmarks.training_alone start|million|loop ...`.

Each prints one JSON object. Imports are local, because how long they take and what they hold is part of the figures.
"""

from __future__ import annotations

import json
import sys
import time

BEGAN = time.perf_counter()


def start() -> dict[str, float]:
    """Wall seconds until the compiled trainer is ready: imports, and compilation or loading of compiled code."""
    from signals.trainers.compiled import load_compiled_code

    announced: list[str] = []
    load_compiled_code(announced.append)
    return {"seconds": time.perf_counter() - BEGAN, "compiled": float(bool(announced))}


def million(rows: int) -> dict[str, float]:
    """Train on so many windows of 52 weeks from 2,500 tickers, with a tenth more to validate on; peak memory."""
    import numpy as np

    from signals.dataset.windows import Samples, Windows
    from signals.models.network import Network
    from signals.models.recurrent_settings import RecurrentSettings
    from signals.trainers.base import FitTask, TrainingSettings
    from signals.trainers.compiled import CompiledTrainer
    from tests.benchmarks.peer_jobs.memory import peak_mb

    tickers, lookback = 2500, 52
    weeks = -(-rows * 11 // (10 * tickers)) + lookback - 1
    rng = np.random.default_rng(0)
    panel = rng.standard_normal((tickers, weeks, 1), dtype=np.float32)

    def slices(begin: int, stop: int) -> Samples:
        # by date and then ticker, as in a fold
        end, ticker = np.divmod(np.arange(begin, stop, dtype=np.int32), np.int32(tickers))
        end += np.int32(lookback - 1)
        label = rng.integers(0, 2, stop - begin).astype(np.float32)
        return Samples(Windows(panel, ticker, end, lookback), ticker + np.int32(1), end % np.int32(12), label)

    task = FitTask(
        Network(RecurrentSettings(lookback=lookback), tickers + 1),
        slices(0, rows),
        slices(rows, rows + rows // 10),
        TrainingSettings(epochs=2),
        seed=0,
    )
    began = time.process_time()
    fitted = next(CompiledTrainer().fit([task]))
    return {"mb": peak_mb(), "cpu_s": time.process_time() - began, "epochs": len(fitted.history)}


def loop(tickers: int, folds: int, seeds: int, first: int, step: int) -> None:
    """Go through every `step`-th network of a walk-forward whenever a line is read; wall seconds and rows."""
    from signals.trainers.compiled import CompiledTrainer, load_compiled_code
    from tests.benchmarks.training_walk import make_prices, make_tasks, rows_learnt, work_through

    load_compiled_code(lambda announced: None)
    tasks = make_tasks(make_prices(tickers, folds), range(seeds))[first::step]
    trainer = CompiledTrainer()
    print(json.dumps({"rows": rows_learnt(tasks)}), flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        work_through(tasks, trainer)
        print(json.dumps({"seconds": time.perf_counter() - began}), flush=True)


if __name__ == "__main__":
    what, *numbers = sys.argv[1:]
    answer = {"start": start, "million": million, "loop": loop}[what](*map(int, numbers))
    if answer is not None:
        print(json.dumps(answer))
