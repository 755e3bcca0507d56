"""Growth of the cost of training, with exponents: one size of the published network is varied at a time.

CPU seconds an epoch over `ROWS` windows, on one core; for folds and seeds those of a whole walk-forward of small folds.
An exponent of 1 is proportional; of 0, free.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping

from signals.trainers.base import Trainer
from signals.trainers.compiled import CompiledTrainer, load_compiled_code
from tests.benchmarks.figures import Figure, Figures
from tests.benchmarks.measure import interleaved, one_core
from tests.benchmarks.training_job import Job, fitting, make_network, make_samples, rates
from tests.benchmarks.training_walk import make_prices, walk

__all__ = ["bench", "exponent"]

ROWS = 16_384
TURNS = 3
VARIED: dict[str, tuple[int, ...]] = {
    "rows": (4096, 16_384, 65_536),
    "tickers": (250, 2500, 25_000),
    "lookback": (13, 52, 208),
    "features": (1, 4, 16),
    "batch": (32, 256, 1024, 4096),
    "units": (12, 25, 50, 100),
    "layers": (1, 2, 4),
}
WALKED = {"folds": (1, 2, 4), "seeds": (1, 2, 4)}
WALKED_TICKERS = 30


def bench(*, small: bool = False, trainer: Trainer | None = None) -> Figures:
    """Measure an epoch of each setting, those of one row interleaved, then whole walk-forwards."""
    if trainer is None:
        trainer = CompiledTrainer()
        load_compiled_code(print)
    figures: Figures = {}
    with one_core():
        for name, values in VARIED.items():
            jobs = {value: job(trainer, name, value, ROWS // 8 if small else ROWS) for value in values}
            for one in jobs.values():
                one.seconds(1)
            found = rates({str(value): one for value, one in jobs.items()}, 1 if small else TURNS)
            seconds = {value: one.rows / statistics.median(found[str(value)]) for value, one in jobs.items()}
            figures |= _figures(name, seconds, "CPU s an epoch")
        for name, values in WALKED.items():
            legs = {str(value): _walking(name, value, trainer.name) for value in values}
            taken = interleaved(legs, 1 if small else TURNS)
            seconds = {value: taken[str(value)].seconds for value in values}
            figures |= _figures(name, seconds, f"CPU s of a walk-forward, {WALKED_TICKERS} tickers")
    return figures


def job(trainer: Trainer, name: str, value: int, rows: int) -> Job:
    """Create the job with another number of rows, or of units in the first layer, with half of them in the second."""
    size = {"rows": rows} | ({name: value} if name in ("rows", "tickers", "lookback", "features") else {})
    samples = make_samples(**size)
    units = {"units": (value, max(value * 2 // 5, 1)), "layers": (25, *[10] * (value - 1))}.get(name, (25, 10))
    batch = {"batch_size": value} if name == "batch" else {}
    return fitting(trainer, make_network(samples, units=units), samples, **batch)


def exponent(seconds: Mapping[int, float]) -> float:
    """Slope of the logarithm of the cost over that of the size, by least squares."""
    x, y = [math.log(size) for size in seconds], [math.log(one) for one in seconds.values()]
    return statistics.linear_regression(x, y).slope


def _walking(name: str, value: int, trainer: str) -> Callable[[], object]:
    folds, seeds = {"folds": (value, 1), "seeds": (1, value)}[name]
    prices = make_prices(WALKED_TICKERS, folds)
    return lambda: walk(prices, range(seeds), trainer=trainer)


def _figures(name: str, seconds: Mapping[int, float], what: str) -> Figures:
    sizes = list(seconds)
    figures = {f"growth.train_{name}_{size}_cpu_s": Figure(seconds[size], what) for size in sizes}
    slope = Figure(exponent(seconds), f"exponent of that cost from {sizes[0]:,} to {sizes[-1]:,} {name}")
    return figures | {f"growth.train_{name}_exponent": slope}
