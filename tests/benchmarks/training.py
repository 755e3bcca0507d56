"""Benchmarks of training and prediction: all trainers on the same network and rows, interleaved, on one core."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from signals.dataset.windows import Samples
from signals.models.keras_backend import load_keras
from signals.models.network import Network
from signals.trainers.base import FitTask, Trainer, TrainingSettings
from signals.trainers.compiled import CompiledTrainer, load_compiled_code
from signals.trainers.keras_trainer import KerasTrainer
from tests.benchmarks.figures import Figure, Figures
from tests.benchmarks.measure import interleaved, one_core
from tests.benchmarks.training_job import (
    fitting,
    make_network,
    make_samples,
    predicting,
    published,
    rates,
    ratio,
    torch_serving,
)

__all__ = ["bench"]

REPETITIONS = 7
# Rows of each leg: a few seconds of work for the two fits whose difference gives the rate.
ROWS = {"book": 4096, "keras": 32_768, "compiled": 65_536, "torch": 8192}
YEAR = 500 * 52
TORCH_BATCHES = (256, 1024, 4096)


def bench(*, small: bool = False) -> Figures:
    """Time the published loop, Keras, the compiled trainer and torch, then prediction."""
    with one_core():
        return _bench(1 if small else REPETITIONS, {name: rows // 2 if small else rows for name, rows in ROWS.items()})


def _bench(repetitions: int, rows: dict[str, int]) -> Figures:
    load_keras()
    load_compiled_code(print)
    samples = {name: make_samples(count) for name, count in rows.items()}
    network = make_network(samples["book"])
    trainers = {"keras": KerasTrainer(), "compiled": CompiledTrainer()}
    batch = KerasTrainer.batch_size
    jobs = {
        "book": published(network, samples["book"]),
        "keras": fitting(trainers["keras"], network, samples["keras"]),
        "compiled": fitting(trainers["compiled"], network, samples["compiled"], batch_size=1024),
        "compiled_32": fitting(trainers["compiled"], network, samples["compiled"], batch_size=32, learning_rate=0.001),
    }
    if batch != 1024:
        jobs["keras_1024"] = fitting(trainers["keras"], network, samples["keras"], batch_size=1024)
    with torch_serving(network, samples["torch"]) as torch:
        if torch is not None:
            version, of_batch = torch
            jobs |= {f"torch_{size}": of_batch(size) for size in TORCH_BATCHES}
        for job in jobs.values():
            job.seconds(1)
        rate = rates(jobs, repetitions)
    middle = {name: statistics.median(each) for name, each in rate.items()}

    def against(ours: str, theirs: str, what: str) -> Figure:
        value, spread = ratio(rate[ours], rate[theirs])
        return Figure(value, f"{what}; {spread}")

    figures = {
        "train.keras_vs_book": against("keras", "book", f"× the published loop; Keras, batch {batch}"),
        "train.compiled_vs_book": against("compiled", "book", f"× the published loop; compiled, batch {batch}"),
        "train.compiled_vs_book_batch_32": against("compiled_32", "book", "× the published loop, both batch 32"),
        "train.compiled_vs_keras_1024": against(
            "compiled", "keras_1024" if batch != 1024 else "keras", "× Keras at batch 1024"
        ),
    }
    if torch is not None:
        best = max((name for name in jobs if name.startswith("torch")), key=lambda name: middle[name])
        description = f"× torch {version} `nn.LSTM` at its best batch, {best.removeprefix('torch_')}"
        figures["train.compiled_vs_torch"] = against("compiled", best, description)
    words = {
        "book": "the published loop: Keras `fit`, batch 32; 52 × 1 windows, forward, backward and update",
        "keras": f"Keras, batch {batch}",
        "compiled": f"compiled, batch {batch}",
    }
    figures |= {
        f"train.{name}_rows_per_second": Figure(middle[name], words.get(name, name.replace("_", ", batch ")))
        for name in jobs
    }
    return figures | _predictions(trainers, network, samples["keras"], repetitions) | _retrains(trainers, repetitions)


def _predictions(trainers: Mapping[str, Trainer], network: Network, samples: Samples, repetitions: int) -> Figures:
    found = rates({name: predicting(trainer, network, samples) for name, trainer in trainers.items()}, repetitions)
    return {
        "predict.rows_per_second": Figure(statistics.median(found["compiled"]), "52 × 1 windows, compiled, one core"),
        "predict.keras_rows_per_second": Figure(statistics.median(found["keras"]), "the same in Keras"),
    }


def _retrains(trainers: Mapping[str, Trainer], repetitions: int) -> Figures:
    """Fit a small fold as in a walk-forward: with constant costs, and validation after every epoch."""
    train_samples, validation_samples = make_samples(YEAR), make_samples(YEAR // 2)
    settings = TrainingSettings(epochs=5, patience=5)
    task = FitTask(make_network(train_samples), train_samples, validation_samples, settings, seed=0)
    legs = {name: lambda trainer=trainer: list(trainer.fit([task])) for name, trainer in trainers.items()}
    taken = interleaved(legs, min(repetitions, 3))
    words = "default fits a minute on one core: 500 tickers × 52 weeks, 5 epochs, each validated on 26 further weeks"
    return {
        "train.retrains_per_minute": Figure(60 / taken["compiled"].seconds, f"compiled, {words}"),
        "train.keras_retrains_per_minute": Figure(60 / taken["keras"].seconds, "the same in Keras"),
    }
