"""Benchmarks of the recurrent family: each cell compiled and in Keras, and a published forecaster of one series."""

from __future__ import annotations

import statistics
from dataclasses import replace

import numpy as np

from signals.dataset.labels import Target
from signals.dataset.windows import Samples
from signals.models.keras_backend import load_keras
from signals.models.network import Network
from signals.models.recurrent_settings import RecurrentSettings
from signals.trainers.base import TrainingSettings
from signals.trainers.compiled import CompiledTrainer, load_compiled_code
from signals.trainers.keras_trainer import KerasTrainer
from tests.benchmarks.figures import Figure, Figures
from tests.benchmarks.measure import one_core
from tests.benchmarks.training_job import fitting, make_network, make_samples, rates, ratio

__all__ = ["bench"]

REPETITIONS = 5
COMPILED_ROWS, KERAS_ROWS, SERIES_ROWS = 65_536, 16_384, 2_000
# The forecaster of a daily index: 63 levels, 20 units, one output; batches of 20 (see `reproduce`).
FORECASTER = RecurrentSettings(
    lookback=63,
    units=(20,),
    ticker_embedding_dim=0,
    month_onehot=False,
    dense_units=0,
    dropout=0.0,
    unknown_category_rate=0.0,
)
SERIES = TrainingSettings(batch_size=20, learning_rate=0.001, optimizer="rmsprop")


def bench(*, small: bool = False) -> Figures:
    """Time every cell, then the forecaster."""
    load_keras()
    load_compiled_code(print)
    with one_core():
        return _cells(2 if small else REPETITIONS, small) | _forecaster(2 if small else REPETITIONS)


def _cells(repetitions: int, small: bool) -> Figures:
    compiled, keras = CompiledTrainer(), KerasTrainer()
    many, few = (make_samples(rows // 4 if small else rows) for rows in (COMPILED_ROWS, KERAS_ROWS))
    jobs = {
        f"{trainer.name} {cell}": fitting(trainer, make_network(samples, cell=cell), samples, batch_size=1024)
        for trainer, samples in ((compiled, many), (keras, few))
        for cell in ("lstm", "gru", "simple_rnn", "peephole_lstm")
        if trainer is keras or cell != "peephole_lstm"
    }
    for job in jobs.values():
        job.seconds(1)
    rate = rates(jobs, repetitions)
    figures: Figures = {}
    for cell in ("gru", "simple_rnn"):
        for other, theirs, words in (("lstm", "compiled lstm", "the LSTM"), ("keras", f"keras {cell}", "Keras's")):
            value, spread = ratio(rate[f"compiled {cell}"], rate[theirs])
            figures[f"train.{cell}_vs_{other}"] = Figure(value, f"× {words}; compiled {cell}, batch 1024; {spread}")
    for name, each in rate.items():
        figures[f"train.{name.replace(' ', '_')}_rows_per_second"] = Figure(
            statistics.median(each), f"{name}, batch 1024"
        )
    return figures


def _forecaster(repetitions: int) -> Figures:
    drawn = make_samples(SERIES_ROWS, tickers=1, lookback=FORECASTER.lookback)
    walk = np.cumsum(drawn.windows.panel * np.float32(0.01), axis=1)
    level = walk[0, np.minimum(drawn.windows.end + 1, walk.shape[1] - 1), 0]
    samples = Samples(replace(drawn.windows, panel=walk), drawn.category, drawn.month, level)
    network = Network(FORECASTER, 2, 1, Target("value"))
    settings = {name: getattr(SERIES, name) for name in ("batch_size", "learning_rate", "optimizer")}
    jobs = {one.name: fitting(one, network, samples, **settings) for one in (CompiledTrainer(), KerasTrainer())}
    for job in jobs.values():
        job.seconds(1)
    rate = rates(jobs, repetitions)
    value, spread = ratio(rate["compiled"], rate["keras"])
    words = f"× Keras; LSTM 20 on windows of 63, batches of 20, both in this project's loop; {spread}"
    return {"train.forecaster_vs_keras": Figure(value, words)}
