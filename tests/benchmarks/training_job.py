"""Training job of the benchmarks: the published network on rows of a random panel, for each trainer."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from signals.dataset.windows import Samples, Windows
from signals.models.network import Network
from signals.models.recurrent import build
from signals.models.recurrent_settings import RecurrentSettings
from signals.trainers.base import FitTask, Trainer, TrainingSettings
from tests.benchmarks.environments import JOBS, python_of, why_not
from tests.benchmarks.measure import cpu_seconds

__all__ = [
    "TICKERS",
    "Job",
    "fitting",
    "make_network",
    "make_samples",
    "predicting",
    "published",
    "rates",
    "ratio",
    "torch_serving",
]

TICKERS = 2489


@dataclass(frozen=True)
class Job:
    """Training on `rows` rows: `seconds(epochs)` trains a number of epochs and gives the CPU seconds it took.

    A fit has a cost that does not grow with its rows: building and tracing a network. So the rate is what more epochs
    add, and `epochs` are the two numbers of them that are compared. In a job of predictions an epoch is one scoring of
    the rows.
    """

    seconds: Callable[[int], float]
    rows: int
    epochs: tuple[int, int] = (1, 4)


def make_samples(rows: int, *, tickers: int = TICKERS, lookback: int = 52, features: int = 1) -> Samples:
    """Draw rows from a panel of standard normal features, with random windows and random binary labels."""
    rng = np.random.default_rng(0)
    panel = rng.normal(size=(tickers, lookback + 250, features)).astype(np.float32)
    ticker = rng.integers(0, tickers, rows).astype(np.int32)
    end = rng.integers(lookback - 1, panel.shape[1], rows).astype(np.int32)
    label = (rng.random(rows) < 0.5).astype(np.float32)
    return Samples(Windows(panel, ticker, end, lookback), ticker + 1, end % 12, label)


def make_network(samples: Samples, **model: Any) -> Network:
    """Describe the published network, or one that differs in `model`, for these rows."""
    panel = samples.windows.panel
    settings = RecurrentSettings(lookback=samples.windows.lookback, **model)
    return Network(settings, n_categories=len(panel) + 1, n_features=panel.shape[2])


def fitting(trainer: Trainer, network: Network, samples: Samples, **training: Any) -> Job:
    """New networks trained by a trainer of this project."""

    def seconds(epochs: int) -> float:
        task = FitTask(network, samples, None, TrainingSettings(epochs=epochs, **training), seed=0)
        return cpu_seconds(lambda: list(trainer.fit([task])))

    return Job(seconds, len(samples))


def published(network: Network, samples: Samples) -> Job:
    """One network in the published loop: `fit` of Keras with Adam in batches of 32, windows built beforehand."""
    made = build(network.model, network.n_categories, network.n_features)
    made.compile("adam", "binary_crossentropy")
    inputs = {
        "sequence": samples.windows.gather(slice(None)),
        "ticker": samples.category,
        "month": np.eye(12, dtype=np.float32)[samples.month],
    }

    def seconds(epochs: int) -> float:
        return cpu_seconds(lambda: made.fit(inputs, samples.label, batch_size=32, epochs=epochs, verbose=0))

    return Job(seconds, len(samples))


def predicting(trainer: Trainer, network: Network, samples: Samples, times: int = 3) -> Job:
    """Scoring rows once, or `times` times as many, with a network rebuilt from its weights."""
    task = FitTask(network, samples, None, TrainingSettings(epochs=1), seed=0)
    weights = next(iter(trainer.fit([task]))).weights
    sizes = {1: samples, times: repeated(samples, times)}

    def seconds(epochs: int) -> float:
        return cpu_seconds(lambda: trainer.predict(network, weights, sizes[epochs]))

    return Job(seconds, len(samples), (1, times))


def repeated(samples: Samples, times: int) -> Samples:
    """Repeat the same rows."""
    windows = samples.windows
    ticker, end, *rest = (
        np.tile(one, times) for one in (windows.ticker, windows.end, samples.category, samples.month, samples.label)
    )
    return Samples(replace(windows, ticker=ticker, end=end), *rest)


@contextmanager
def torch_serving(network: Network, samples: Samples) -> Iterator[tuple[str, Callable[[int], Job]] | None]:
    """Start the job in torch, in a process that trains when it is asked to: its version, and the job by batch size.

    The environment is that of `make bench-peers`, or this one; None, and the reason printed, where neither has torch.
    """
    python = python_of("torch") or (Path(sys.executable) if find_spec("torch") else None)
    if python is None:
        print(f"torch: not here: {why_not('torch')}")
        yield None
        return
    model, windows = network.model, samples.windows
    size = {
        name: getattr(model, name) for name in ("lookback", "units", "ticker_embedding_dim", "dense_units", "dropout")
    }
    size |= {"categories": network.n_categories, "features": network.n_features}
    size["learning_rate"] = TrainingSettings().filled().learning_rate
    arrays = {name: getattr(samples, name) for name in ("category", "month", "label")}
    arrays |= {"panel": windows.panel, "ticker": windows.ticker, "start": windows.end - (windows.lookback - 1)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "job.npz"
        np.savez(path, network=np.asarray(json.dumps(size)), **arrays)
        command = [str(python), str(JOBS / "with_torch.py"), str(path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

            def of_batch(batch: int) -> Job:
                def seconds(epochs: int) -> float:
                    assert process.stdin is not None
                    process.stdin.write(json.dumps({"batch": batch, "epochs": epochs}) + "\n")
                    process.stdin.flush()
                    return float(_answer(process)["seconds"])

                return Job(seconds, len(samples))

            yield str(_answer(process)["version"]), of_batch
            assert process.stdin is not None
            process.stdin.close()


def _answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"torch ended with {process.wait()}; its output is above")
    answer: dict[str, Any] = json.loads(line)
    return answer


def rates(jobs: Mapping[str, Job], repetitions: int) -> dict[str, list[float]]:
    """Rows per CPU second of each job at each repetition; jobs are interleaved, so that load slows all of them."""
    found: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(repetitions):
        for name, job in jobs.items():
            less, more = job.epochs
            took = -job.seconds(less) + job.seconds(more)
            found[name].append(job.rows * (more - less) / took)
    return found


def ratio(ours: list[float], theirs: list[float]) -> tuple[float, str]:
    """Median and range over repetitions of the ratio of two rates."""
    each = [one / other for one, other in zip(ours, theirs, strict=True)]
    return statistics.median(each), f"{min(each):.3g} to {max(each):.3g} over {len(each)} turns"
