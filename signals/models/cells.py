"""Recurrent cells and layers by name; imports Keras, so import it inside functions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
from keras import layers, ops

__all__ = ["PeepholeLSTMCell", "make_cell", "make_layer", "shared_dropout_masks", "state_sizes"]


@keras.saving.register_keras_serializable(package="rnn_strategies")
class PeepholeLSTMCell(layers.LSTMCell):  # type: ignore[misc]  # Keras carries no annotations
    """LSTM cell with peephole connections: `keras.layers.LSTMCell` whose gates also see the cell's state.

    With the gates in Keras's order i, f, g, o and element-wise weights p:

        i, f = sigmoid(x W + h U + p c + b);  g = tanh(x W + h U + b);  c' = f c + i g
        o = sigmoid(x W + h U + p c' + b);  h' = o tanh(c')

    The additional weights, `peephole` of shape (3, units), are initialised to zero, so the initial cell is a plain
    LSTM.

    References
    ----------
    Gers, Schmidhuber (2000), *Recurrent nets that time and count*. Gers, Schraudolph, Schmidhuber (2002), *Learning
    precise timing with LSTM recurrent networks*.
    """

    def build(self, input_shape: Any) -> None:
        """Create the weights."""
        super().build(input_shape)
        self.peephole = self.add_weight(shape=(3, self.units), name="peephole", initializer="zeros")

    def call(self, inputs: Any, states: Any, training: bool = False) -> tuple[Any, list[Any]]:
        """Compute one step: from (batch, features) and [h, c], each of shape (batch, units), to h' and [h', c']."""
        h, c = states
        x_masks = self.get_dropout_mask(inputs) if training and self.dropout else None
        h_masks = self.get_recurrent_dropout_mask(h) if training and self.recurrent_dropout else None
        sums = _product(inputs, self.kernel, x_masks) + _product(h, self.recurrent_kernel, h_masks) + self.bias
        i, f, g, o = ops.split(sums, 4, axis=1)
        p_i, p_f, p_o = self.peephole[0], self.peephole[1], self.peephole[2]
        new_c = ops.sigmoid(f + p_f * c) * c + ops.sigmoid(i + p_i * c) * ops.tanh(g)
        new_h = ops.sigmoid(o + p_o * new_c) * ops.tanh(new_c)
        return new_h, [new_h, new_c]


def _product(values: Any, kernel: Any, masks: Any) -> Any:
    """Product with a kernel after dropout, with one mask, or one for each gate as in Keras's recurrent dropout."""
    if not isinstance(masks, list):
        return ops.matmul(values if masks is None else values * masks, kernel)
    parts = ops.split(kernel, len(masks), axis=1)
    return ops.concatenate([ops.matmul(values * mask, part) for mask, part in zip(masks, parts, strict=True)], axis=1)


def make_cell(kind: str, units: int, *, reset_after: bool = True, **options: Any) -> Any:
    """Make a recurrent cell, one step of a layer.

    Parameters
    ----------
    kind : str
        One of `signals.models.recurrent_settings.CELLS`.
    units : int
        Size of its state.
    reset_after : bool
        Whether the reset gate of a GRU is applied after the recurrent product; other cells ignore it.
    **options
        Options of every Keras cell: `dropout`, `recurrent_dropout`, `name`.
    """
    if kind == "gru":
        return layers.GRUCell(units, reset_after=reset_after, **options)
    classes = {"lstm": layers.LSTMCell, "simple_rnn": layers.SimpleRNNCell, "peephole_lstm": PeepholeLSTMCell}
    return classes[kind](units, **options)


def make_layer(
    kind: str,
    units: int,
    *,
    name: str,
    reset_after: bool = True,
    bidirectional: bool = False,
    dropout: float = 0.0,
    recurrent_dropout: float = 0.0,
    **options: Any,
) -> Any:
    """Make a recurrent layer, Keras's own where one exists, because these have fast kernels on a GPU.

    Parameters
    ----------
    kind, units, reset_after, dropout, recurrent_dropout
        See `make_cell`.
    name : str
        Name of the layer. A bidirectional layer is named `bidirectional_<name>`, and its two halves have this name.
    bidirectional : bool
        Whether a second layer of the same size reads the window from its end; the outputs of both are concatenated.
    **options
        `return_sequences`, `return_state`.
    """
    rates = {"dropout": dropout, "recurrent_dropout": recurrent_dropout}
    if kind == "peephole_lstm":
        layer = layers.RNN(PeepholeLSTMCell(units, name="peephole_lstm_cell", **rates), name=name, **options)
    elif kind == "gru":
        layer = layers.GRU(units, reset_after=reset_after, name=name, **rates, **options)
    else:
        layer = {"lstm": layers.LSTM, "simple_rnn": layers.SimpleRNN}[kind](units, name=name, **rates, **options)
    return layers.Bidirectional(layer, name=f"bidirectional_{name}") if bidirectional else layer


def state_sizes(cell: Any) -> list[int]:
    """Sizes of a cell's states: h and c of an LSTM, h of others."""
    return list(cell.state_size) if isinstance(cell.state_size, (list, tuple)) else [cell.state_size]


@contextmanager
def shared_dropout_masks(cells: Sequence[Any], widths: Sequence[int], batch: Any) -> Iterator[None]:
    """Draw one dropout mask per window for cells that are stepped in a custom loop, as Keras's recurrent layers do.

    The masks are drawn before the first step, outside of any loop that a backend traces, and reset after the last step.

    Parameters
    ----------
    cells : sequence of Keras cells
        Cells that are stepped.
    widths : sequence of int
        Number of inputs of each cell.
    batch : int or scalar tensor
        Rows of the batch.
    """
    for cell, width in zip(cells, widths, strict=True):
        cell.get_dropout_mask(ops.ones((batch, width), dtype=cell.compute_dtype))
        cell.get_recurrent_dropout_mask(ops.ones((batch, cell.units), dtype=cell.compute_dtype))
    try:
        yield
    finally:
        for cell in cells:
            cell.reset_dropout_mask()
            cell.reset_recurrent_dropout_mask()
