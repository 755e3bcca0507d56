"""The stacked recurrent network and its gradient in plain NumPy, float64, straight from the equations.

Slow and short on purpose: what the compiled trainer is measured against. Weights go by their Keras names.

LSTM, gates in Keras's order i, f, g, o:
    i, f, o = sigmoid(...), g = tanh(x W + h U + b);  c' = f c + i g;  h' = o tanh(c')
GRU with the reset gate after the recurrent product, gates z, r, g, a bias for x and one for h:
    z, r = sigmoid(x W + b + h U + d);  g = tanh(x W_g + b_g + r (h U_g + d_g));  h' = z h + (1 - z) g
Simple recurrent network (Elman 1990): h' = tanh(x W + h U + b).
A step that is not known leaves the state as it is; so is each step of the layers above.

References
----------
Hochreiter, Schmidhuber (1997), *Long short-term memory*. Cho et al. (2014), arXiv:1406.1078, in the form of
`keras.layers.GRU(reset_after=True)`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from signals.dataset.windows import MASKED

__all__ = ["Gradient", "Rows", "evaluate", "gradient", "rows_of"]


@dataclass(frozen=True)
class Rows:
    """A batch as the network sees it.

    sequence (n, steps, features), known (n, steps), ticker and month (n,), label (n, values).
    """

    sequence: np.ndarray
    known: np.ndarray
    ticker: np.ndarray
    month: np.ndarray
    label: np.ndarray

    def __len__(self):
        return len(self.ticker)


@dataclass(frozen=True)
class Gradient:
    """Mean loss of a batch and its gradient; `slices` holds each row's share of the embedding's, (n, embedding)."""

    loss: float
    weights: dict[str, np.ndarray]
    slices: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))


def rows_of(samples, network, chosen=slice(None), category=None):
    """Gather some rows of `Samples`; `category` overrides their ticker ids."""
    sequence = samples.windows.gather(chosen)
    masked = network.model.masked
    known = (sequence != MASKED).any(axis=2) if masked else np.ones(sequence.shape[:2], bool)
    ticker = samples.category if category is None else category
    label = samples.label[chosen] if len(samples.label) else np.zeros(len(sequence))
    label = label.reshape(len(sequence), -1).astype(np.float64)
    return Rows(sequence.astype(np.float64), known, ticker[chosen], samples.month[chosen], label)


def evaluate(network, weights, rows, masks=None):
    """Outputs of each row, shape (n, outputs): probabilities of a class target, the number itself of a value.

    `masks[k]`, of shape (n, inputs of layer k), multiplies the inputs of recurrent layer k (from 0) at every step.
    """
    return _forward(network, _doubles(weights), rows, masks)[0]


def gradient(network, weights, rows, masks=None, absolute=False):
    """Mean loss and gradient of a batch; of several numbers a row the mean counts."""
    weights = _doubles(weights)
    said, joined, hidden, caches = _forward(network, weights, rows, masks)
    kind, n = network.target.kind, len(rows)
    made = {}
    if kind == "value" and absolute:
        loss = np.mean(np.abs(said - rows.label))
        error = np.sign(said - rows.label) / said.size
    elif kind == "value":
        loss = np.mean((said - rows.label) ** 2)
        error = 2 * (said - rows.label) / said.size
    elif kind == "quantiles":
        levels = np.tile(network.target.levels, network.target.values)
        below = said > np.repeat(rows.label, len(network.target.levels), axis=1)
        distance = said - np.repeat(rows.label, len(network.target.levels), axis=1)
        loss = np.mean((below - levels) * distance)
        error = (below - levels) / said.size
    elif kind == "classes":
        right = np.eye(network.target.outputs)[rows.label[:, 0].astype(int)]
        loss = -np.mean(np.log((said * right).sum(axis=1)))
        error = (said - right) / n
    else:
        loss = -np.mean(np.where(rows.label > 0.5, np.log(said), np.log1p(-said)))
        error = (said - rows.label) / n

    made[f"{kind}/kernel"], made[f"{kind}/bias"] = hidden.T @ error, error.sum(axis=0)
    error = error @ weights[f"{kind}/kernel"].T
    if network.model.dense_units:
        made["dense/kernel"], made["dense/bias"] = joined.T @ error, error.sum(axis=0)
        error = error @ weights["dense/kernel"].T

    model, slices = network.model, np.zeros((n, 0))
    if model.ticker_embedding_dim:
        slices = error[:, model.units[-1] : model.units[-1] + model.ticker_embedding_dim]
        table = made["ticker_embedding/embeddings"] = np.zeros_like(weights["ticker_embedding/embeddings"])
        np.add.at(table, rows.ticker, slices)
    outside = np.zeros((*rows.known.shape, model.units[-1]))
    outside[:, -1] = error[:, : model.units[-1]]
    step_back = {"lstm": _lstm_back, "gru": _gru_back, "simple_rnn": _simple_back}[model.cell]
    for layer in reversed(range(len(model.units))):
        name = f"{model.cell}_{layer + 1}/{model.cell}_cell"
        own, outside = step_back(_layer(weights, name), caches[layer], rows.known, outside)
        made.update({f"{name}/{what}": value for what, value in own.items()})
        if masks is not None and masks[layer] is not None:
            outside = outside * masks[layer][:, None]
    return Gradient(float(loss), {name: made[name] for name in weights}, slices)


def _doubles(weights):
    return {name: np.asarray(value, dtype=np.float64) for name, value in weights.items()}


def _layer(weights, name):
    return [weights[f"{name}/{what}"] for what in ("kernel", "recurrent_kernel", "bias")]


def _sigmoid(x):
    return 0.5 * (1 + np.tanh(0.5 * x))


def _forward(network, weights, rows, masks):
    model, hidden, caches = network.model, rows.sequence, []
    # an unknown step is a huge number: it must not matter, but infinity times zero would
    hidden = np.where(rows.known[:, :, None], hidden, 0.0)
    for layer in range(len(model.units)):
        if masks is not None and masks[layer] is not None:
            hidden = hidden * masks[layer][:, None]
        forward = {"lstm": _lstm, "gru": _gru, "simple_rnn": _simple}[model.cell]
        kept = _layer(weights, f"{model.cell}_{layer + 1}/{model.cell}_cell")
        hidden, cache = forward(kept, hidden, rows.known)
        caches.append(cache)
    parts = [hidden[:, -1]]
    if model.ticker_embedding_dim:
        parts.append(weights["ticker_embedding/embeddings"][rows.ticker])
    if model.month_onehot:
        parts.append(np.eye(12)[rows.month])
    joined = np.concatenate(parts, axis=1)
    dense = joined @ weights["dense/kernel"] + weights["dense/bias"] if model.dense_units else joined
    kind = network.target.kind
    said = dense @ weights[f"{kind}/kernel"] + weights[f"{kind}/bias"]
    if kind == "classes":
        said = np.exp(said - said.max(axis=1, keepdims=True))
        said /= said.sum(axis=1, keepdims=True)
    elif kind == "probability":
        said = _sigmoid(said)
    return said, joined, dense, caches


def _lstm(layer, x, known):
    W, U, b = layer
    n, steps, units = len(x), x.shape[1], U.shape[0]
    h, c = np.zeros((n, units)), np.zeros((n, units))
    out, cache = np.empty((n, steps, units)), []
    for t in range(steps):
        a = x[:, t] @ W + h @ U + b
        i, f, g, o = (
            act(a[:, k * units : (k + 1) * units]) for k, act in enumerate((_sigmoid, _sigmoid, np.tanh, _sigmoid))
        )
        keep = ~known[:, t, None]
        new_c = f * c + i * g
        cache.append((x[:, t], h, c, i, f, g, o, np.tanh(new_c)))
        h, c = np.where(keep, h, o * np.tanh(new_c)), np.where(keep, c, new_c)
        out[:, t] = h
    return out, cache


def _lstm_back(layer, cache, known, outside):
    W, U, b = layer
    dW, dU, db, dx = np.zeros_like(W), np.zeros_like(U), np.zeros_like(b), np.zeros((*known.shape, len(W)))
    dh, dc = np.zeros((len(known), len(U))), np.zeros((len(known), len(U)))
    for t in reversed(range(known.shape[1])):
        x, h, c, i, f, g, o, tc = cache[t]
        dh = dh + outside[:, t]
        keep = known[:, t, None]
        inner = dc + dh * o * (1 - tc**2)
        da = keep * np.hstack(
            [inner * g * i * (1 - i), inner * c * f * (1 - f), inner * i * (1 - g**2), dh * tc * o * (1 - o)]
        )
        dW, dU, db = dW + x.T @ da, dU + h.T @ da, db + da.sum(axis=0)
        dx[:, t] = da @ W.T
        dh, dc = np.where(keep, da @ U.T, dh), np.where(keep, inner * f, dc)
    return {"kernel": dW, "recurrent_kernel": dU, "bias": db}, dx


def _gru(layer, x, known):
    W, U, (b, d) = layer
    n, steps, units = len(x), x.shape[1], U.shape[0]
    h, out, cache = np.zeros((n, units)), np.empty((n, steps, units)), []
    for t in range(steps):
        a, e = x[:, t] @ W + b, h @ U + d
        z, r = (_sigmoid((a + e)[:, k * units : (k + 1) * units]) for k in range(2))
        inner = e[:, 2 * units :]
        g = np.tanh(a[:, 2 * units :] + r * inner)
        cache.append((x[:, t], h, z, r, g, inner))
        h = np.where(known[:, t, None], z * h + (1 - z) * g, h)
        out[:, t] = h
    return out, cache


def _gru_back(layer, cache, known, outside):
    W, U, b = layer
    dW, dU, db, dx = np.zeros_like(W), np.zeros_like(U), np.zeros_like(b), np.zeros((*known.shape, len(W)))
    dh = np.zeros((len(known), len(U)))
    for t in reversed(range(known.shape[1])):
        x, h, z, r, g, inner = cache[t]
        dh = dh + outside[:, t]
        keep = known[:, t, None]
        dg = dh * (1 - z) * (1 - g**2)
        dz, dr = dh * (h - g) * z * (1 - z), dg * inner * r * (1 - r)
        da, de = keep * np.hstack([dz, dr, dg]), keep * np.hstack([dz, dr, dg * r])
        dW, dU, db = dW + x.T @ da, dU + h.T @ de, db + np.stack([da.sum(axis=0), de.sum(axis=0)])
        dx[:, t] = da @ W.T
        dh = np.where(keep, dh * z + de @ U.T, dh)
    return {"kernel": dW, "recurrent_kernel": dU, "bias": db}, dx


def _simple(layer, x, known):
    W, U, b = layer
    n, steps, units = len(x), x.shape[1], U.shape[0]
    h, out, cache = np.zeros((n, units)), np.empty((n, steps, units)), []
    for t in range(steps):
        new = np.tanh(x[:, t] @ W + h @ U + b)
        cache.append((x[:, t], h, new))
        h = np.where(known[:, t, None], new, h)
        out[:, t] = h
    return out, cache


def _simple_back(layer, cache, known, outside):
    W, U, b = layer
    dW, dU, db, dx = np.zeros_like(W), np.zeros_like(U), np.zeros_like(b), np.zeros((*known.shape, len(W)))
    dh = np.zeros((len(known), len(U)))
    for t in reversed(range(known.shape[1])):
        x, h, new = cache[t]
        dh = dh + outside[:, t]
        keep = known[:, t, None]
        da = keep * dh * (1 - new**2)
        dW, dU, db = dW + x.T @ da, dU + h.T @ da, db + da.sum(axis=0)
        dx[:, t] = da @ W.T
        dh = np.where(keep, da @ U.T, dh)
    return {"kernel": dW, "recurrent_kernel": dU, "bias": db}, dx
