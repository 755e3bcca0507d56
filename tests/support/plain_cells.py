"""Every recurrent network of the family in plain NumPy, float64, one step at a time, straight from the papers.

Slow and short on purpose: what the Keras networks are measured against. Weights go by their Keras names, gates lie in
Keras's order. s is the logistic function.

LSTM (Hochreiter, Schmidhuber 1997; Gers, Schmidhuber, Cummins 2000), gates i, f, g, o:
    i, f, o = s(x W + h U + b), g = tanh(x W + h U + b);  c' = f c + i g;  h' = o tanh(c')
Peephole LSTM (Gers, Schmidhuber 2000; Gers, Schraudolph, Schmidhuber 2002): i and f see p c, o sees p c'.
GRU (Cho et al. 2014), gates z, r, g:
    z, r = s(x W + h U + b);  g = tanh(x W + (r h) U + b);  h' = z h + (1 - z) g
GRU with the reset gate after the product (Keras's default):  g = tanh(x W + b + r (h U + d))
Simple RNN (Elman 1990):  h' = tanh(x W + h U + b)
"""

from __future__ import annotations

import numpy as np

from signals.dataset.windows import MASKED
from signals.models.encoder_decoder_settings import EncoderDecoderSettings

__all__ = ["evaluate", "layer", "part", "random_inputs", "random_weights"]


def s(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def lstm(w, x, h, c):
    i, f, g, o = np.split(x @ w["kernel"] + h @ w["recurrent_kernel"] + w["bias"], 4, axis=1)
    c = s(f) * c + s(i) * np.tanh(g)
    return s(o) * np.tanh(c), c


def peephole_lstm(w, x, h, c):
    i, f, g, o = np.split(x @ w["kernel"] + h @ w["recurrent_kernel"] + w["bias"], 4, axis=1)
    p_i, p_f, p_o = w["peephole"]
    new = s(f + p_f * c) * c + s(i + p_i * c) * np.tanh(g)
    return s(o + p_o * new) * np.tanh(new), new


def gru(w, x, h):
    (W_z, W_r, W_g), (U_z, U_r, U_g) = np.split(w["kernel"], 3, axis=1), np.split(w["recurrent_kernel"], 3, axis=1)
    if w["bias"].ndim == 2:
        (b_z, b_r, b_g), (d_z, d_r, d_g) = (np.split(b, 3) for b in w["bias"])
        z, r = s(x @ W_z + b_z + h @ U_z + d_z), s(x @ W_r + b_r + h @ U_r + d_r)
        g = np.tanh(x @ W_g + b_g + r * (h @ U_g + d_g))
    else:
        b_z, b_r, b_g = np.split(w["bias"], 3)
        z, r = s(x @ W_z + h @ U_z + b_z), s(x @ W_r + h @ U_r + b_r)
        g = np.tanh(x @ W_g + (r * h) @ U_g + b_g)
    return (z * h + (1 - z) * g,)


def simple_rnn(w, x, h):
    return (np.tanh(x @ w["kernel"] + h @ w["recurrent_kernel"] + w["bias"]),)


CELLS = {"lstm": lstm, "peephole_lstm": peephole_lstm, "gru": gru, "simple_rnn": simple_rnn}
PARTS = ("kernel", "recurrent_kernel", "bias", "peephole")


def part(weights, name):
    """Weights below a name, without it."""
    found = {path[len(name) + 1 :].split("/")[-1]: w for path, w in weights.items() if path.startswith(f"{name}/")}
    assert found, (name, list(weights))
    return found


def start(kind, w, n):
    zeros = np.zeros((n, len(w["recurrent_kernel"])))
    return (zeros, zeros) if "lstm" in kind else (zeros,)


def layer(kind, w, x, known, reach=1, first=0, begin=None):
    """States h of every step, each from the states `reach` steps before; steps before `first` stay zero."""
    states = [begin or start(kind, w, len(x)) for _ in range(reach)]
    for t in range(x.shape[1]):
        before = states[t]
        after = CELLS[kind](w, x[:, t], *before) if t >= first else before
        states.append(tuple(np.where(known[:, t, None], new, old) for new, old in zip(after, before, strict=True)))
    return np.stack([state[0] for state in states[reach:]], axis=1), states[-1]


def stack(model, weights, x, known):
    """Outputs of the highest recurrent layer at every step, and its h after the last step of each direction."""
    for number in range(1, len(model.units) + 1):
        name = f"{model.cell}_{number}"
        if not model.bidirectional:
            x, states = layer(model.cell, part(weights, name), x, known)
            last = states[0]
            continue
        ahead, end = layer(model.cell, part(weights, f"bidirectional_{name}/forward_{name}"), x, known)
        back, begin = layer(
            model.cell, part(weights, f"bidirectional_{name}/backward_{name}"), x[:, ::-1], known[:, ::-1]
        )
        x, last = np.concatenate([ahead, back[:, ::-1]], axis=2), np.concatenate([end[0], begin[0]], axis=1)
    return x, last


def still(network, weights, given):
    """What does not change from step to step."""
    model, found = network.model, [np.zeros((len(given["sequence"]), 0))]
    if model.ticker_embedding_dim:
        found.append(weights["ticker_embedding/embeddings"][given["ticker"]])
    if model.month_onehot:
        found.append(given["month"])
    for name in model.groups:
        found.append(given["year"] if name == "year" else weights[f"{name}_embedding/embeddings"][given[name]])
    return np.concatenate(found, axis=1)


def linear(weights, name, x):
    return x @ weights[f"{name}/kernel"] + weights.get(f"{name}/bias", 0.0)


def highway(network, weights, x, t):
    """Share of the last `highway` steps up to t in the output."""
    if not network.model.autoregressive_lags:
        return 0.0
    kernels = np.split(weights["highway/kernel"], network.model.autoregressive_lags)
    return sum(x[:, t - back] @ kernels[-1 - back] for back in range(len(kernels)) if t >= back)


def say(target, sums):
    return {"probability": s, "classes": softmax}.get(target.kind, lambda x: x)(sums)


def heard(target, said):
    """What is fed back of an output."""
    return said.reshape(len(said), -1, len(target.levels))[:, :, len(target.levels) // 2] if target.levels else said


def evaluate(network, weights, given):
    """Outputs of a network for inputs by name: (n, outputs), or (n, lookback, outputs) with `every_step`."""
    weights = {name: np.asarray(value, np.float64) for name, value in weights.items()}
    model = network.model
    known = (given["sequence"] != MASKED).any(axis=2) if model.masked else np.ones(given["sequence"].shape[:2], bool)
    x = np.where(known[:, :, None], given["sequence"], 0).astype(np.float64)
    given = {name: np.asarray(value, np.float64 if value.dtype.kind == "f" else None) for name, value in given.items()}
    if isinstance(model, EncoderDecoderSettings):
        return _decoded(network, weights, x, known, given)
    beside = still(network, weights, given)
    skipped = np.zeros((*x.shape[:2], 0))
    if model.recurrent_skip_steps:
        first = model.lookback % model.recurrent_skip_steps
        states, _ = layer(model.cell, part(weights, f"skip_{model.cell}"), x, known, model.recurrent_skip_steps, first)
        padded = np.concatenate([np.zeros((len(x), model.recurrent_skip_steps - 1, states.shape[2])), states], axis=1)
        skipped = np.concatenate([padded[:, k : k + model.lookback] for k in range(model.recurrent_skip_steps)], axis=2)
    if model.output_recurrence:
        return _fed_back(network, weights, x, known, given, np.concatenate([skipped, _repeat(beside, x)], axis=2))
    states, last = stack(model, weights, x, known)
    if model.bidirectional:  # the first step's half has read the whole window
        states = np.repeat(last[:, None], model.lookback, axis=1)
    joined = np.concatenate([states, skipped, _repeat(beside, x)], axis=2)
    said = [_head(network, weights, "", joined[:, t], highway(network, weights, x, t)) for t in range(model.lookback)]
    return np.stack(said, axis=1) if model.sequence_loss else said[-1]


def _repeat(beside, x):
    return np.repeat(beside[:, None], x.shape[1], axis=1)


def _head(network, weights, scope, joined, offset):
    if network.model.dense_units:
        joined = linear(weights, f"{scope}dense", joined)
    return say(network.target, linear(weights, f"{scope}{network.target.kind}", joined) + offset)


def _fed_back(network, weights, x, known, given, beside):
    """Output recurrence: each step hears what was said at the step before, or what a teacher puts in its place."""
    model, scope = network.model, "feedback/cell/"
    cells = [part(weights, f"{scope}{model.cell}_{number}") for number in range(1, len(model.units) + 1)]
    states = [start(model.cell, w, len(x)) for w in cells]
    said, all_said = np.zeros((len(x), network.target.outputs)), []
    for t in range(model.lookback):
        before = np.where(given["teacher"][:, t] == MASKED, heard(network.target, said), given["teacher"][:, t])
        hidden = np.concatenate([x[:, t], before], axis=1)
        keep = known[:, t, None]
        for number, w in enumerate(cells):
            after = CELLS[model.cell](w, hidden, *states[number])
            hidden = after[0]
            states[number] = tuple(np.where(keep, new, old) for new, old in zip(after, states[number], strict=True))
        joined = np.concatenate([hidden, beside[:, t]], axis=1)
        said = np.where(keep, _head(network, weights, scope, joined, highway(network, weights, x, t)), said)
        all_said.append(said)
    return np.stack(all_said, axis=1) if model.sequence_loss else said


def _decoded(network, weights, x, known, given):
    """Bahdanau, Cho, Bengio (2015), appendix A; Luong, Pham, Manning (2015), sections 3 and 3.1."""
    model, target = network.model, network.target
    encoded, last = stack(model, weights, x, known)
    offset = highway(network, weights, x, model.lookback - 1) + np.zeros((len(x), target.outputs))
    offset = offset.reshape(len(x), target.steps, -1)
    cell = part(weights, f"decoder/{model.cell}")
    names = ["decoder/start_1", "decoder/start_2"] if "lstm" in model.cell else ["decoder/start_1"]
    states = tuple(np.tanh(linear(weights, name, last)) for name in names)
    beside, said, all_said = still(network, weights, given), np.zeros(offset[:, 0].shape), []

    def mean(scores):
        return np.einsum("nt,ntk->nk", softmax(np.where(known, scores, -np.inf)), encoded)

    for step in range(target.steps):
        entering = [beside]
        if model.output_recurrence:
            teacher = given["teacher"][:, step]
            entering.insert(0, np.where(teacher == MASKED, heard(target, said), teacher))
        if model.attention == "additive":
            query = linear(weights, "decoder/query", states[0])
            context = mean(
                linear(weights, "decoder/weigh", np.tanh(linear(weights, "decoder/keys", encoded) + query[:, None]))[
                    ..., 0
                ]
            )
            entering.append(context)
        states = CELLS[model.cell](cell, np.concatenate(entering, axis=1), *states)
        state = states[0]
        if model.attention == "additive":
            state = np.concatenate([state, context], axis=1)
        elif model.attention == "dot":
            context = mean(np.einsum("nk,ntk->nt", state, encoded))
            state = np.tanh(linear(weights, "decoder/combine", np.concatenate([context, state], axis=1)))
        said = say(target, linear(weights, f"decoder/{target.kind}", state) + offset[:, step])
        all_said.append(said)
    return np.concatenate(all_said, axis=1)


def random_weights(shapes, seed=0, scale=0.5):
    """Weights of which none is zero, for shapes by name."""
    rng = np.random.default_rng(seed)
    return {name: scale * rng.normal(size=shape) for name, shape in shapes.items()}


def random_inputs(network, n, seed=0):
    """Inputs by name: gaps within masked windows, a teacher that knows half of the steps."""
    rng = np.random.default_rng(seed)
    model, target = network.model, network.target
    given = {"sequence": rng.normal(size=(n, model.lookback, network.n_features))}
    if model.masked:
        unknown = rng.random((n, model.lookback)) < 0.4
        unknown[:, -1] = False
        given["sequence"][unknown] = MASKED
    if model.ticker_embedding_dim:
        given["ticker"] = rng.integers(0, network.n_categories, n)
    if model.month_onehot:
        given["month"] = np.eye(12)[rng.integers(0, 12, n)]
    for name in model.groups:
        ids = rng.integers(0, network.group_sizes[name], n)
        given[name] = np.eye(network.group_sizes[name])[ids, 1:] if name == "year" else ids
    if model.teacher_steps:
        horizon = model.teacher_steps == "horizon"
        width = target.outputs if target.kind == "classes" else target.values
        shape = (n, target.steps, width // target.steps) if horizon else (n, model.lookback, width)
        given["teacher"] = np.where(rng.random((*shape[:2], 1)) < 0.5, rng.normal(size=shape), MASKED)
    return given
