"""Output recurrence: recurrent layers whose input includes the output of the previous step; imports Keras."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from keras import layers, ops

from signals.dataset.labels import Target
from signals.dataset.windows import MASKED
from signals.models.cells import make_cell, shared_dropout_masks, state_sizes
from signals.models.network_blocks import ACTIVATIONS

if TYPE_CHECKING:
    from signals.models.recurrent_settings import RecurrentSettings

__all__ = ["FeedbackCell", "FeedbackRNN", "apply_teacher_forcing", "feedback_layer", "feedback_part"]


def feedback_part(output: Any, levels: int) -> Any:
    """Select the part of the previous output that is fed back: all of it, or the middle quantile of each value."""
    return output[:, levels // 2 :: levels] if levels else output


def apply_teacher_forcing(previous: Any, teacher: Any) -> Any:
    """Replace the network's previous output by the true one, except where the true one is `MASKED`."""
    return ops.where(ops.equal(teacher, float(MASKED)), previous, teacher)


@keras.saving.register_keras_serializable(package="rnn_strategies")
class FeedbackCell(keras.Layer):  # type: ignore[misc]  # Keras carries no annotations
    """Stacked cells and the layers up to the output, as one cell whose first state is its last output, initially 0.

    Parameters
    ----------
    kind : str
        Kind of the cells.
    units : sequence of int
        Units of the cells, first to last.
    parts : sequence of int
        Widths of the parts of its input: features, true output of the previous step, static inputs, and the linear term
        that is added to the output before its activation (0 or `outputs`).
    dense, outputs : int
        Units of the linear layer before the output (0 for none), and of the output.
    target : str
        Kind of target, which determines the activation.
    levels : int
        Number of quantiles of every value; 0 for other targets.
    input_dropout, dropout, recurrent_dropout : float
        Dropout rates of the first cell's inputs, of the other cells' inputs, and of all states.
    reset_after : bool
        Whether the reset gate of GRUs is applied after the recurrent product.
    """

    def __init__(
        self,
        kind: str,
        units: Any,
        *,
        parts: Any,
        dense: int,
        outputs: int,
        target: str,
        levels: int = 0,
        input_dropout: float = 0.0,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        reset_after: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.constructor_arguments: dict[str, Any] = {
            "kind": kind,
            "units": list(units),
            "parts": list(parts),
            "dense": dense,
            "outputs": outputs,
        }
        self.constructor_arguments |= {
            "target": target,
            "levels": levels,
            "input_dropout": input_dropout,
            "dropout": dropout,
        }
        self.constructor_arguments |= {"recurrent_dropout": recurrent_dropout, "reset_after": reset_after}
        self.cells = [
            make_cell(
                kind,
                size,
                name=f"{kind}_{number}",
                reset_after=reset_after,
                dropout=dropout if number > 1 else input_dropout,
                recurrent_dropout=recurrent_dropout,
            )
            for number, size in enumerate(units, start=1)
        ]
        self.parts, self.levels = list(parts), levels
        self.widths = [parts[0] + parts[1], *units[:-1]]
        self.dense = layers.Dense(dense, name="dense") if dense else None
        self.output_layer = layers.Dense(outputs, name=target)
        self.activation = keras.activations.get(ACTIVATIONS[target])
        self.state_size = [outputs, *(size for cell in self.cells for size in state_sizes(cell))]
        self.output_size = outputs

    def build(self, input_shape: Any) -> None:
        """Create the weights."""
        for cell, width in zip(self.cells, self.widths, strict=True):
            cell.build((None, width))
        joined = self.constructor_arguments["units"][-1] + self.parts[2]
        if self.dense is not None:
            self.dense.build((None, joined))
        self.output_layer.build((None, self.constructor_arguments["dense"] or joined))

    def call(self, inputs: Any, states: Any, training: bool = False) -> tuple[Any, list[Any]]:
        """Compute one step."""
        features, teacher, static, offset = _split(inputs, self.parts)
        output, *states = states
        hidden = ops.concatenate(
            [features, apply_teacher_forcing(feedback_part(output, self.levels), teacher)], axis=-1
        )
        new_states: list[Any] = []
        for cell in self.cells:
            size = len(state_sizes(cell))
            hidden, new = cell(hidden, states[len(new_states) : len(new_states) + size], training=training)
            new_states += new if isinstance(new, (list, tuple)) else [new]
        joined = ops.concatenate([hidden, static], axis=-1) if self.parts[2] else hidden
        output = self.output_layer(joined if self.dense is None else self.dense(joined))
        output = self.activation(output + offset if self.parts[3] else output)
        return output, [output, *new_states]

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor, for serialisation."""
        return dict(super().get_config()) | self.constructor_arguments


@keras.saving.register_keras_serializable(package="rnn_strategies")
class FeedbackRNN(layers.RNN):  # type: ignore[misc]  # Keras carries no annotations
    """`keras.layers.RNN` of a `FeedbackCell`, with one dropout mask for all steps of a window, as in Keras's layers."""

    def call(self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False) -> Any:
        """Run the cell over the windows."""
        with shared_dropout_masks(self.cell.cells, self.cell.widths, ops.shape(sequences)[0]):
            return super().call(sequences, initial_state=initial_state, mask=mask, training=training)


def feedback_layer(
    settings: RecurrentSettings, n_features: int, static_width: int, target: Target, **options: Any
) -> tuple[Any, Any]:
    """Make the layer with output recurrence, and the input of its true outputs.

    Parameters
    ----------
    settings : RecurrentSettings
        Sizes.
    n_features, static_width : int
        Features of a step, and width of the static inputs.
    target : Target
        Kind and shape of the output.
    **options
        Options of the layer: `return_sequences`, `return_state`.

    Returns
    -------
    layer : FeedbackRNN
        Its input: features, true outputs, static inputs and the linear term, in this order along the last axis.
    teacher : KerasTensor, shape (batch, lookback, fed back)
        Input: the true output of the previous step, `MASKED` where the network's own output is fed back.
    """
    feedback_width = target.outputs if target.kind == "classes" else target.values
    cell = FeedbackCell(
        settings.cell,
        settings.units,
        parts=(n_features, feedback_width, static_width, target.outputs if settings.autoregressive_lags else 0),
        dense=settings.dense_units,
        outputs=target.outputs,
        target=target.kind,
        levels=len(target.levels),
        input_dropout=settings.input_dropout,
        dropout=settings.dropout,
        recurrent_dropout=settings.recurrent_dropout,
        reset_after=settings.reset_after,
        name="cell",
    )
    teacher = keras.Input((settings.lookback, feedback_width), name="teacher")
    return FeedbackRNN(cell, name="feedback", **options), teacher


def _split(inputs: Any, parts: list[int]) -> list[Any]:
    """Split the last axis into parts of the given widths."""
    ends = [sum(parts[: number + 1]) for number in range(len(parts))]
    return [inputs[:, end - width : end] for end, width in zip(ends, parts, strict=True)]
