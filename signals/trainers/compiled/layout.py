"""Memory layout: places of the weights in one vector, and of the numbers of a block of samples in the workspace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signals.common.errors import InputError
from signals.models.network import Network
from signals.models.recurrent_settings import RecurrentSettings
from signals.trainers.base import Weights

__all__ = ["Layout", "Piece"]

# Columns of `Layout.layers`, one line per recurrent layer. Sizes first, then places: of weights in the vector, of their
# transposes, and of rows in the workspace.
(
    INPUTS,
    UNITS,
    DEPTH,  # rows of one step's state: inputs, one, state before (and for a GRU a second one)
    WEIGHTS,
    BACK_TO_INPUTS,  # transposed, for gradients
    BACK_TO_STATE,
    STATE,
    GATES,
    CELL,
    MASK,  # dropout of the inputs
    D_STATE,
    D_CELL,
    D_INPUTS,
    KEPT,  # gradients of state and cell, kept over unknown steps
    LAYER_COLUMNS,
) = range(15)

# Places in `Layout.head`: sizes and places of everything that is not recurrent.
(
    KIND,
    IS_MASKED,
    STEPS,
    TARGET,
    EMBEDDING,
    MONTHS,
    DENSE,
    OUTPUTS,
    LEVELS,
    EMBEDDING_WEIGHTS,
    DENSE_WEIGHTS,
    DENSE_BACK,
    OUTPUT_WEIGHTS,
    OUTPUT_BACK,
    JOINED,
    HIDDEN,
    PREDICTION,
    D_PREDICTION,
    D_HIDDEN,
    D_JOINED,
    ONES,
    ZEROS,
    KNOWN,
    HEAD_PLACES,
) = range(24)

PROBABILITY, CLASSES, VALUE, ABSOLUTE, QUANTILES = range(5)  # numeric from VALUE on
TARGETS = {"probability": PROBABILITY, "classes": CLASSES, "value": VALUE, "quantiles": QUANTILES}
LSTM, GRU, SIMPLE = range(3)
KINDS = {"lstm": LSTM, "gru": GRU, "simple_rnn": SIMPLE}
GATES_OF = {"lstm": 4, "gru": 3, "simple_rnn": 1}
MONTHS_OF_A_YEAR = 12


@dataclass(frozen=True, slots=True)
class Piece:
    """A weight: its Keras path and shape, and the places of its rows in the vector."""

    path: str
    shape: tuple[int, ...]
    places: tuple[slice, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """Memory layout of a network.

    Parameters
    ----------
    pieces : tuple of Piece
        Weights, in the order of the vector: recurrent layers, dense layers, embedding. A recurrent layer is a matrix
        of shape (inputs + one + state, gates): the product of a step's state with it is the input of all gates, and the
        contraction of states with gate gradients is the gradient of all its weights.
    n_weights, n_shared, n_back, n_rows : int
        Length of the vector; length of its part without the embedding, which every sample uses; length of the
        transposes; rows of the workspace.
    layers, head : ndarray of int64
        Sizes and places that the kernels read; see the constants above.
    ones : ndarray of int64
        Rows of the workspace that are constant 1, with which biases are multiplied.
    """

    pieces: tuple[Piece, ...]
    n_weights: int
    n_shared: int
    n_back: int
    n_rows: int
    layers: NDArray[np.int64]
    head: NDArray[np.int64]
    ones: NDArray[np.int64]

    @classmethod
    def of(cls, network: Network) -> Layout:
        """Layout of a network."""
        return _lay_out(network)

    def vector(self, weights: Weights) -> NDArray[np.float32]:
        """Put named weights into one vector.

        Raises
        ------
        InputError
            When the weights are those of another network.
        """
        shapes = {path: np.shape(values) for path, values in weights.items()}
        expected = {piece.path: piece.shape for piece in self.pieces}
        if shapes != expected:
            odd = sorted(path for path in {*shapes, *expected} if shapes.get(path) != expected.get(path))[0]
            raise InputError(
                f"expected weights of this network, {odd} of shape {expected.get(odd, 'none')}; found "
                f"{shapes.get(odd, 'none')}; give the weights of this network"
            )
        vector = np.empty(self.n_weights, dtype=np.float32)
        for piece in self.pieces:
            rows = np.asarray(weights[piece.path], dtype=np.float32).reshape(len(piece.places), -1)
            for place, row in zip(piece.places, rows, strict=True):
                vector[place] = row
        return vector

    def named(self, vector: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Split a vector into named weights (copies)."""
        return {
            piece.path: np.concatenate([vector[place] for place in piece.places]).reshape(piece.shape)
            for piece in self.pieces
        }


class _Places:
    """Allocator of consecutive places."""

    def __init__(self) -> None:
        self.used = 0

    def take(self, count: int) -> int:
        self.used += count
        return self.used - count

    def slice(self, count: int) -> slice:
        begin = self.take(count)
        return slice(begin, begin + count)


def _lay_out(network: Network) -> Layout:
    model, steps = network.model, network.model.lookback
    assert isinstance(model, RecurrentSettings)  # noqa: S101 - checked by the trainer
    gru = model.cell == "gru"
    weights, back, rows = _Places(), _Places(), _Places()
    pieces: list[Piece] = []
    ones: list[NDArray[np.int64]] = []
    layers = np.zeros((len(model.units), LAYER_COLUMNS), dtype=np.int64)
    head = np.zeros(HEAD_PLACES, dtype=np.int64)

    inputs = network.n_features
    for number, units in enumerate(model.units, start=1):
        depth, width = inputs + 1 + units + gru, GATES_OF[model.cell] * units
        begin = weights.used
        pieces.extend(_recurrent(f"{model.cell}_{number}/{model.cell}_cell", inputs, units, width, weights))
        layers[number - 1] = line = [
            inputs,
            units,
            depth,
            begin,
            back.take(width * inputs) if number > 1 else 0,
            back.take(width * units),
            rows.take(depth * (steps + 1)),
            rows.take(4 * units * steps),
            rows.take(units * (steps + 1)) if model.cell == "lstm" else 0,
            rows.take(inputs) if number > 1 else 0,
            rows.take(units),
            rows.take(units),
            rows.take(inputs) if number > 1 else 0,
            rows.take(2 * units) if model.masked else 0,
        ]
        first = line[STATE] + depth * np.arange(steps + 1)
        ones.append(first + inputs)
        if gru:
            ones.append(first + depth - 1)
        inputs = units

    trainable_inputs = inputs + model.ticker_embedding_dim  # inputs of the dense layer that have a gradient
    joined = trainable_inputs + (MONTHS_OF_A_YEAR if model.month_onehot else 0)
    outputs = network.target.outputs
    head[[KIND, IS_MASKED, STEPS, TARGET]] = KINDS[model.cell], model.masked, steps, TARGETS[network.target.kind]
    head[[EMBEDDING, MONTHS, DENSE, OUTPUTS]] = (
        model.ticker_embedding_dim,
        joined - trainable_inputs,
        model.dense_units,
        outputs,
    )
    head[LEVELS] = max(len(network.target.levels), 1)
    stack = [("dense", joined, model.dense_units, DENSE_WEIGHTS, DENSE_BACK)] if model.dense_units else []
    stack.append((network.target.kind, model.dense_units or joined, outputs, OUTPUT_WEIGHTS, OUTPUT_BACK))
    for name, height, width, at, transposed in stack:
        head[at], head[transposed] = weights.used, back.take(height * width)
        pieces.append(Piece(f"{name}/kernel", (height, width), (weights.slice(height * width),)))
        pieces.append(Piece(f"{name}/bias", (width,), (weights.slice(width),)))
    head[EMBEDDING_WEIGHTS] = n_shared = weights.used
    if model.ticker_embedding_dim:
        shape = (network.n_categories, model.ticker_embedding_dim)
        pieces.append(Piece("ticker_embedding/embeddings", shape, (weights.slice(shape[0] * shape[1]),)))

    head[[JOINED, HIDDEN, PREDICTION, D_PREDICTION, D_HIDDEN, D_JOINED, ONES, ZEROS, KNOWN]] = [
        rows.take(count)
        for count in (
            joined + 1,
            model.dense_units + 1,
            outputs,
            outputs,
            model.dense_units,
            trainable_inputs,
            inputs,
            inputs,
            steps,
        )
    ]
    ones += [head[JOINED] + [joined], head[HIDDEN] + [model.dense_units], head[ONES] + np.arange(inputs)]
    sizes = weights.used, n_shared, back.used, rows.used
    return Layout(tuple(pieces), *sizes, layers, head, np.concatenate(ones))


def _recurrent(name: str, inputs: int, units: int, width: int, weights: _Places) -> Iterator[Piece]:
    """Weights of one recurrent layer: inputs, bias, state, and for a GRU the bias of the recurrent product."""
    kernel, bias = weights.slice(inputs * width), [weights.slice(width)]
    recurrent = weights.slice(units * width)
    shape: tuple[Any, ...] = (width,)
    if width == 3 * units:
        bias.append(weights.slice(width))
        shape = (2, width)
    yield Piece(f"{name}/kernel", (inputs, width), (kernel,))
    yield Piece(f"{name}/recurrent_kernel", (units, width), (recurrent,))
    yield Piece(f"{name}/bias", shape, tuple(bias))
