"""Training and prediction: the default Keras trainer against the published loop, on the same network and rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.benchmarks.figures import Figure, Figures
from tests.benchmarks.measure import cpu_seconds, interleaved

__all__ = ["bench"]

TICKERS, ROWS, BOOK_ROWS, LOOKBACK = 2489, 16_384, 2048, 52


def bench() -> Figures:
    """Time `fit` of both, interleaved, and prediction from an artifact's weights."""
    from signals.models.stacked_lstm import ModelSettings, build
    from signals.trainers.keras_trainer import KerasTrainer, load_keras
    from signals.trainers.seam import FitTask, Network, TrainingSettings
    from signals.windows import Samples, Windows

    load_keras()
    rng = np.random.default_rng(0)
    panel = rng.normal(size=(TICKERS, 300, 1)).astype(np.float32)
    ticker = rng.integers(0, TICKERS, ROWS).astype(np.int32)
    windows = Windows(panel, ticker, rng.integers(LOOKBACK, 300, ROWS).astype(np.int32), LOOKBACK)
    label = (rng.random(ROWS) < 0.5).astype(np.float32)
    samples = Samples(windows, windows.ticker + 1, windows.end % 12, label)
    network, trainer = Network(ModelSettings(), TICKERS + 1), KerasTrainer()

    def ours(epochs: int) -> Callable[[], object]:
        task = FitTask(network, samples, None, TrainingSettings(epochs=epochs), 0)
        return lambda: next(trainer.fit([task]))

    book = build(network.model, TICKERS + 1)
    book.compile("adam", "binary_crossentropy")
    inputs = {
        "sequence": windows.gather(slice(0, BOOK_ROWS)),
        "ticker": samples.category[:BOOK_ROWS],
        "month": np.eye(12, dtype=np.float32)[samples.month[:BOOK_ROWS]],
    }

    def published() -> object:
        return book.fit(inputs, label[:BOOK_ROWS], batch_size=32, epochs=1, verbose=0)

    published()
    # a fit traces its step once; two lengths take that constant out of the rate
    taken = interleaved({"one": ours(1), "three": ours(3), "book": published}, repetitions=3)
    rate = 2 * ROWS / (taken["three"].seconds - taken["one"].seconds)
    book_rate = BOOK_ROWS / taken["book"].seconds
    fitted = next(trainer.fit([FitTask(network, samples, None, TrainingSettings(epochs=1), 0)]))
    predicted = cpu_seconds(lambda: trainer.predict(network, fitted.weights, samples))
    return {
        "train.keras_vs_book": Figure(rate / book_rate, "× the published loop (`fit`, batch 32), CPU time"),
        "train.keras_rows_per_second": Figure(rate, "52 × 1 windows, forward, backward and update, one core"),
        "train.book_rows_per_second": Figure(book_rate, "the published loop"),
        "predict.rows_per_second": Figure(ROWS / predicted, "one core, network rebuilt from its artifact"),
    }
