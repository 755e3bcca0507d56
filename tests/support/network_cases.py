"""Networks of many shapes with weights and rows to try them on, for tests of trainers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from signals.dataset.labels import Target
from signals.dataset.windows import MASKED, Samples, Windows
from signals.models.network import Network
from signals.models.recurrent_settings import RecurrentSettings

__all__ = ["CASES", "SMALL", "samples_for", "take", "weights_for"]

SMALL = RecurrentSettings(
    lookback=7, units=(6, 4), ticker_embedding_dim=3, dense_units=5, dropout=0.0, unknown_category_rate=0.0
)
CLASSES, VALUE = Target("classes", 3), Target("value")


def _small(n_categories=9, n_features=1, target=None, **changes):
    settings = replace(SMALL, **changes)
    return Network(settings, n_categories, n_features, *([] if target is None else [target]))


CASES = {
    "published": Network(RecurrentSettings(dropout=0.0, unknown_category_rate=0.0), 40),
    "published gru": Network(RecurrentSettings(cell="gru", dropout=0.0, unknown_category_rate=0.0), 40),
    "published, two features": Network(RecurrentSettings(dropout=0.0, unknown_category_rate=0.0), 40, 2),
    "published, three classes": Network(RecurrentSettings(dropout=0.0, unknown_category_rate=0.0), 40, 1, CLASSES),
    "gru": _small(cell="gru"),
    "gru, five features, classes": _small(cell="gru", n_features=5, target=CLASSES),
    "gru, value": _small(cell="gru", target=VALUE),
    "gru, one layer": _small(cell="gru", units=(8,)),
    "gru, odd units": _small(cell="gru", units=(17, 3)),
    "gru, one unit": _small(cell="gru", units=(1, 1)),
    "gru, masked": _small(cell="gru", min_steps=2),
    "five features": _small(n_features=5),
    "sixteen features": _small(n_features=16),
    "twenty-three features": _small(n_features=23),
    "two classes": _small(target=Target("classes", 2)),
    "classes": _small(target=CLASSES),
    "value": _small(target=VALUE),
    "one layer": _small(units=(8,)),
    "three layers": _small(units=(5, 16, 2)),
    "four layers": _small(units=(4, 3, 2, 1)),
    "one unit": _small(units=(1,), dense_units=1, ticker_embedding_dim=1),
    "one unit twice": _small(units=(1, 1)),
    "three units": _small(units=(3, 3)),
    "seventeen units": _small(units=(17, 17)),
    "thirty-three units": _small(units=(33, 5), dense_units=33),
    "wide top": _small(units=(2, 40), dense_units=17),
    "many units": _small(units=(64, 32), lookback=4),
    "no embedding": _small(ticker_embedding_dim=0),
    "no months": _small(month_onehot=False),
    "sequence alone": _small(ticker_embedding_dim=0, month_onehot=False),
    "wide embedding": _small(ticker_embedding_dim=33),
    "wide dense": _small(dense_units=70),
    "two steps": _small(lookback=2),
    "masked": _small(min_steps=2),
    "simple": _small(cell="simple_rnn"),
    "simple, one layer, value": _small(cell="simple_rnn", units=(8,), target=VALUE),
    "simple, odd units, two features": _small(cell="simple_rnn", units=(17, 3, 1), n_features=2),
    "simple, masked": _small(cell="simple_rnn", min_steps=2),
    "no dense": _small(dense_units=0),
    "no dense, sequence alone, value": _small(
        dense_units=0, ticker_embedding_dim=0, month_onehot=False, units=(20,), target=VALUE
    ),
    "no dense, gru, masked, classes": _small(dense_units=0, cell="gru", min_steps=2, target=CLASSES),
    "two values": _small(n_features=2, target=Target("value", 2)),
    "six values, no dense": _small(dense_units=0, target=Target("value", 6, steps=3)),
    "quantiles": _small(target=Target("quantiles", 3, (0.1, 0.5, 0.9))),
    "quantiles of two values": _small(cell="gru", target=Target("quantiles", 4, (0.2, 0.8))),
    "masked, two features, value": _small(min_steps=1, n_features=2, target=VALUE),
    "masked, three layers": _small(min_steps=3, units=(4, 5, 3)),
}


def weights_for(network, seed=0):
    """Weights of which none is zero, by Keras's names and in Keras's order."""
    rng = np.random.default_rng([seed, 1])
    model, gates = network.model, {"lstm": 4, "gru": 3, "simple_rnn": 1}[network.model.cell]
    shapes, inputs = {}, network.n_features
    for number, units in enumerate(model.units, start=1):
        name = f"{model.cell}_{number}/{model.cell}_cell"
        shapes[f"{name}/kernel"] = (inputs, gates * units)
        shapes[f"{name}/recurrent_kernel"] = (units, gates * units)
        shapes[f"{name}/bias"] = (2, gates * units) if model.cell == "gru" else (gates * units,)
        inputs = units
    if model.ticker_embedding_dim:
        shapes["ticker_embedding/embeddings"] = (network.n_categories, model.ticker_embedding_dim)
    joined = inputs + model.ticker_embedding_dim + 12 * model.month_onehot
    if model.dense_units:
        shapes |= {"dense/kernel": (joined, model.dense_units), "dense/bias": (model.dense_units,)}
    kind = network.target.kind
    shapes |= {
        f"{kind}/kernel": (model.dense_units or joined, network.target.outputs),
        f"{kind}/bias": (network.target.outputs,),
    }

    def draw(shape):
        scale = 0.3 if len(shape) == 1 or shape[0] == 2 else 1.2 / np.sqrt(shape[0])
        return (scale * rng.normal(size=shape)).astype(np.float32)

    return {name: draw(shape) for name, shape in shapes.items()}


def samples_for(network, n, seed=0, *, outside=np.nan):
    """Rows of windows over a panel in which every cell that no window looks at is `outside`."""
    rng = np.random.default_rng([seed, 2])
    model, target = network.model, network.target
    tickers = max(network.n_categories - 1, 3)
    dates = 2 * model.lookback + 11
    panel = rng.normal(size=(tickers, dates, network.n_features)).astype(np.float32)
    ticker = rng.integers(0, tickers, n).astype(np.int32)
    first = rng.integers(model.lookback + 1, model.lookback + 6, tickers)  # of each ticker's ends
    end = (first[ticker] + rng.integers(0, 4, n)).astype(np.int32)
    if model.masked:
        # the last `min_steps` of every window are known, gaps before them are not
        unknown = rng.random(panel.shape[:2]) < 0.4
        for i, t in zip(ticker, end, strict=True):
            unknown[i, t - model.min_steps + 1 : t + 1] = False
        unknown[0, : first[0] - model.min_steps + 1] = True  # and one ticker is young
        panel[unknown] = MASKED
    seen = np.zeros(panel.shape[:2], bool)
    for i, t in zip(ticker, end, strict=True):
        seen[i, t - model.lookback + 1 : t + 1] = True
    panel[~seen] = outside
    category = (ticker % (network.n_categories - 1) + 1).astype(np.int32)
    category[rng.random(n) < 0.1] = 0
    month = rng.integers(0, 12, n).astype(np.int32)
    shape = (n, target.values) if target.values > 1 else n
    label = rng.normal(size=shape) if target.is_numeric else rng.integers(0, max(target.outputs, 2), n)
    return Samples(Windows(panel, ticker, end, model.lookback), category, month, label.astype(np.float32))


def take(samples, rows):
    """Some rows, over the same panel."""
    windows = samples.windows
    some = Windows(windows.panel, windows.ticker[rows], windows.end[rows], windows.lookback)
    label = samples.label[rows] if len(samples.label) else samples.label
    return Samples(some, samples.category[rows], samples.month[rows], label)
