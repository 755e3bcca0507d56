"""One small network of every kind of the recurrent family, rows for them, and what training them has to keep.

Run as a program it trains each for two updates on the backend that `KERAS_BACKEND` names.
"""

from __future__ import annotations

import sys

import numpy as np

from signals.dataset.labels import Target
from signals.dataset.windows import MASKED, Samples, Windows
from signals.models.encoder_decoder_settings import EncoderDecoderSettings
from signals.models.network import Network
from signals.models.recurrent_settings import RecurrentSettings
from signals.trainers.base import FitTask, TrainingSettings
from signals.trainers.keras_trainer import KerasTrainer

__all__ = ["EVERYTHING", "FAMILY", "check", "fit", "rows_for"]

LEVELS = (0.1, 0.5, 0.9)
GROUPS = {"sector": 4, "year": 3}


def _recurrent(target, **changes):
    settings = {"lookback": 6, "units": (4, 3), "ticker_embedding_dim": 2, "dense_units": 3}
    return Network(RecurrentSettings(**(settings | changes)), 7, 2, target, GROUPS)


def _decoder(target, **changes):
    return Network(EncoderDecoderSettings(**({"lookback": 6, "units": (3,)} | changes)), 7, 2, target, GROUPS)


PROBABILITY, VALUES, QUANTILES = Target("probability"), Target("value", 2), Target("quantiles", 6, LEVELS)
# three networks that together hold every part there is
EVERYTHING = {
    "feedback of quantiles at every step": _recurrent(
        QUANTILES,
        cell="peephole_lstm",
        sequence_loss=True,
        output_recurrence=True,
        teacher_forcing_ratio=0.7,
        recurrent_skip_steps=2,
        autoregressive_lags=3,
        min_steps=3,
        input_dropout=0.1,
        recurrent_dropout=0.1,
        categorical_embeddings={"sector": 2},
        year_onehot=True,
    ),
    "both directions": _recurrent(
        Target("classes", 3),
        cell="gru",
        reset_after=False,
        bidirectional=True,
        recurrent_skip_steps=4,
        autoregressive_lags=2,
        min_steps=2,
        dense_units=0,
    ),
    "attention": _decoder(
        Target("value", 6, steps=3),
        bidirectional=True,
        autoregressive_lags=2,
        min_steps=4,
        dropout=0.1,
        recurrent_dropout=0.1,
    ),
}
FAMILY = EVERYTHING | {
    "lstm": _recurrent(PROBABILITY),
    "gru": _recurrent(VALUES, cell="gru"),
    "simple rnn": _recurrent(QUANTILES, cell="simple_rnn", sequence_loss=True, min_steps=2),
    "peephole": _recurrent(VALUES, cell="peephole_lstm", recurrent_dropout=0.1),
    "feedback of classes": _recurrent(Target("classes", 3), output_recurrence=True),
    "truncated": _recurrent(VALUES, tbptt_steps=2, sequence_loss=True, min_steps=2),
    "truncated feedback": _recurrent(PROBABILITY, tbptt_steps=4, output_recurrence=True, cell="gru"),
    "attention by product": _decoder(Target("quantiles", 9, LEVELS, steps=3), attention="dot", cell="gru"),
    "no attention": _decoder(Target("value", 6, steps=3), attention="none", cell="simple_rnn", ticker_embedding_dim=2),
}


def rows_for(network, n, seed=0):
    """Rows over a panel with unknown cells, labels at every step among them."""
    rng = np.random.default_rng(seed)
    model, target = network.model, network.target
    panel = rng.normal(size=(6, 40, network.n_features)).astype(np.float32)
    ticker, end = rng.integers(0, 6, n).astype(np.int32), rng.integers(model.lookback, 40, n).astype(np.int32)
    shape = (6, 40, target.values if target.is_numeric else 1)
    label = (rng.normal(size=shape) if target.is_numeric else rng.integers(0, max(target.outputs, 2), shape)).astype(
        "f4"
    )
    of_rows = label[ticker, end] if shape[2] > 1 else label[ticker, end, 0]
    steps = label.copy()
    steps[rng.random(shape[:2]) < 0.2] = MASKED
    steps[ticker, end] = label[ticker, end]
    if model.masked:
        panel[rng.random(shape[:2]) < 0.2] = MASKED
        panel[ticker, end] = rng.normal(size=(n, network.n_features))
    groups = {name: (ticker % network.group_sizes[name]).astype(np.int32) for name in model.groups}
    windows = Windows(panel, ticker, end, model.lookback)
    return Samples(windows, ticker + 1, end % 12, of_rows, groups, Windows(steps, ticker, end, model.lookback))


def fit(network):
    """Train for two updates."""
    settings = TrainingSettings(batch_size=20, epochs=1, learning_rate=0.01)
    return next(KerasTrainer().fit([FitTask(network, rows_for(network, 40), None, settings, 1)]))


def check(network):
    """Hold what two updates give to be finite, and predictions to go by a row's own features alone."""
    rows, trainer, fitted = rows_for(network, 40), KerasTrainer(), fit(network)
    assert np.isfinite(fitted.history[0].loss)
    again = np.array([31, 2, 17])  # once more, elsewhere
    chosen = np.concatenate([np.arange(40), again])
    cut = [Windows(w.panel, w.ticker[chosen], w.end[chosen], w.lookback) for w in (rows.windows, rows.step_labels)]
    cut[1].panel[:] = 1e9  # nothing of the labels is fed back where predictions are made
    groups = {name: ids[chosen] for name, ids in rows.groups.items()}
    some = Samples(cut[0], rows.category[chosen], rows.month[chosen], rows.label[:0], groups, cut[1])
    said = trainer.predict(network, fitted.weights, some)
    assert said.shape == (43, network.target.outputs)
    assert np.abs(said).max() < 1e3
    assert np.ptp(said, axis=0).min() > 0
    assert said[40:].tobytes() == said[again].tobytes()
    return fitted


if __name__ == "__main__":
    for name in sys.argv[1:] or FAMILY:
        check(FAMILY[name])
        print(name, flush=True)
