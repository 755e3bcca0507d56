"""Output recurrence: recurrent layers that see at each step what they said at the step before; imports Keras."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from keras import layers, ops

from signals.dataset.labels import Target
from signals.dataset.windows import MASKED
from signals.models.cells import make_cell, one_mask_a_window, state_sizes
from signals.models.network_blocks import ACTIVATIONS

if TYPE_CHECKING:
    from signals.models.recurrent_settings import RecurrentSettings

__all__ = ["FeedbackCell", "FeedbackRNN", "fed_back", "feedback_layer", "taught"]


def fed_back(said: Any, levels: int) -> Any:
    """Give what a step hears of the output before it: all of it, of quantiles the middle level of each number."""
    return said[:, levels // 2 :: levels] if levels else said


def taught(before: Any, teacher: Any) -> Any:
    """Put the true output where it is given, and the network's own where it is `MASKED`."""
    return ops.where(ops.equal(teacher, float(MASKED)), before, teacher)


@keras.saving.register_keras_serializable(package="rnn_strategies")
class FeedbackCell(keras.Layer):  # type: ignore[misc]  # Keras carries no annotations
    """Stacked cells and the layers up to the output, as one cell: its first state is what it said last, at first 0.

    Parameters
    ----------
    kind : str
        Of the cells.
    units : sequence of int
        Of the cells, first to last.
    parts : sequence of int
        Widths of what lies beside each other in its input: features, the true output of the step before, what enters
        beside the cells, what joins the output before its activation (0 or `outputs`).
    dense, outputs : int
        Units of the linear layer before the output (0 for none), and of the output.
    target : str
        Kind of target, which decides the activation.
    levels : int
        Quantiles of every number; 0 for other targets.
    input_dropout, dropout, recurrent_dropout : float
        Shares for the first cell's inputs, the others' inputs and all states.
    reset_after : bool
        Of GRUs.
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
        self.plan: dict[str, Any] = {
            "kind": kind,
            "units": list(units),
            "parts": list(parts),
            "dense": dense,
            "outputs": outputs,
        }
        self.plan |= {"target": target, "levels": levels, "input_dropout": input_dropout, "dropout": dropout}
        self.plan |= {"recurrent_dropout": recurrent_dropout, "reset_after": reset_after}
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
        self.said = layers.Dense(outputs, name=target)
        self.activation = keras.activations.get(ACTIVATIONS[target])
        self.state_size = [outputs, *(size for cell in self.cells for size in state_sizes(cell))]
        self.output_size = outputs

    def build(self, input_shape: Any) -> None:
        """Make the weights."""
        for cell, width in zip(self.cells, self.widths, strict=True):
            cell.build((None, width))
        joined = self.plan["units"][-1] + self.parts[2]
        if self.dense is not None:
            self.dense.build((None, joined))
        self.said.build((None, self.plan["dense"] or joined))

    def call(self, inputs: Any, states: Any, training: bool = False) -> tuple[Any, list[Any]]:
        """One step."""
        features, teacher, beside, offset = _split(inputs, self.parts)
        said, *states = states
        hidden = ops.concatenate([features, taught(fed_back(said, self.levels), teacher)], axis=-1)
        after: list[Any] = []
        for cell in self.cells:
            size = len(state_sizes(cell))
            hidden, new = cell(hidden, states[len(after) : len(after) + size], training=training)
            after += new if isinstance(new, (list, tuple)) else [new]
        joined = ops.concatenate([hidden, beside], axis=-1) if self.parts[2] else hidden
        said = self.said(joined if self.dense is None else self.dense(joined))
        said = self.activation(said + offset if self.parts[3] else said)
        return said, [said, *after]

    def get_config(self) -> dict[str, Any]:
        """Give what makes it again."""
        return dict(super().get_config()) | self.plan


@keras.saving.register_keras_serializable(package="rnn_strategies")
class FeedbackRNN(layers.RNN):  # type: ignore[misc]  # Keras carries no annotations
    """`keras.layers.RNN` of a `FeedbackCell`: one dropout mask for all steps of a window, as everywhere in Keras."""

    def call(self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False) -> Any:
        """Run over the windows."""
        with one_mask_a_window(self.cell.cells, self.cell.widths, ops.shape(sequences)[0]):
            return super().call(sequences, initial_state=initial_state, mask=mask, training=training)


def feedback_layer(
    settings: RecurrentSettings, n_features: int, beside: int, target: Target, **options: Any
) -> tuple[Any, Any]:
    """Make the layer and the input of its true outputs.

    Parameters
    ----------
    settings : RecurrentSettings
        Sizes.
    n_features, beside : int
        Features of a step, and numbers that enter beside the cells.
    target : Target
        What the output says.
    **options
        Of the layer: `return_sequences`, `return_state`.

    Returns
    -------
    layer : FeedbackRNN
        Reads features, true outputs, what is beside, and the highway's share, in this order along the last axis.
    teacher : KerasTensor, shape (batch, lookback, fed back)
        Input: the true output of the step before each, `MASKED` where the network goes by its own.
    """
    fed = target.outputs if target.kind == "classes" else target.values
    cell = FeedbackCell(
        settings.cell,
        settings.units,
        parts=(n_features, fed, beside, target.outputs if settings.autoregressive_lags else 0),
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
    teacher = keras.Input((settings.lookback, fed), name="teacher")
    return FeedbackRNN(cell, name="feedback", **options), teacher


def _split(inputs: Any, parts: list[int]) -> list[Any]:
    """Take apart what lies beside each other."""
    ends = [sum(parts[: number + 1]) for number in range(len(parts))]
    return [inputs[:, end - width : end] for end, width in zip(ends, parts, strict=True)]
