"""The decoder of an encoder-decoder: one cell, stepped over the horizon, and its attention; imports Keras."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from signals.models.cells import make_cell, shared_dropout_masks, state_sizes
from signals.models.network_blocks import ACTIVATIONS
from signals.models.output_feedback import apply_teacher_forcing, feedback_part

__all__ = ["Decoder"]


@keras.saving.register_keras_serializable(package="rnn_strategies")
class Decoder(keras.Layer):  # type: ignore[misc]  # Keras carries no annotations
    """Decoder that forecasts one step after the other.

    With h_j the encoder's outputs, s the decoder's state, y the output of the previous step or the true one (teacher
    forcing; 0 before the first step), and x the static inputs, every state is initialised to tanh(W h_final + b) with
    its own weights, and at each step

        additive:  a = softmax_j v tanh(U h_j + b + W s);  c = sum_j a_j h_j;  s' = cell(s, [y, x, c]);  z = [s', c]
        dot:       s' = cell(s, [y, x]);  a = softmax_j s' h_j;  c = sum_j a_j h_j;  z = tanh(C [c, s'])
        none:      s' = cell(s, [y, x]);  z = s'

    and the output is W z + b plus the linear autoregressive term. Unknown steps have no weight in the attention.

    Parameters
    ----------
    kind, units
        Kind and units of the cell.
    attention : {"additive", "dot", "none"}
        Kind of attention, see above.
    steps, outputs : int
        Number of steps, and of outputs at each step.
    target : str
        Kind of target, which determines the activation.
    levels : int
        Number of quantiles of every value; 0 for other targets.
    dropout, recurrent_dropout : float
        Dropout rates of the cell's inputs and state, with the same masks at all steps.
    reset_after : bool
        Whether the reset gate of a GRU is applied after the recurrent product.
    """

    def __init__(
        self,
        kind: str,
        units: int,
        *,
        attention: str,
        steps: int,
        outputs: int,
        target: str,
        levels: int = 0,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        reset_after: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.constructor_arguments: dict[str, Any] = {
            "kind": kind,
            "units": units,
            "attention": attention,
            "steps": steps,
            "outputs": outputs,
            "target": target,
            "levels": levels,
            "dropout": dropout,
            "recurrent_dropout": recurrent_dropout,
            "reset_after": reset_after,
        }
        self.attention, self.steps, self.outputs, self.levels = attention, steps, outputs, levels
        rates = {"dropout": dropout, "recurrent_dropout": recurrent_dropout}
        self.cell = make_cell(kind, units, reset_after=reset_after, name=kind, **rates)
        self.initial_states = [
            layers.Dense(size, activation="tanh", name=f"start_{number}")
            for number, size in enumerate(state_sizes(self.cell), start=1)
        ]
        if attention == "additive":
            self.keys = layers.Dense(units, name="keys")
            self.query = layers.Dense(units, use_bias=False, name="query")
            self.attention_score = layers.Dense(1, use_bias=False, name="weigh")
        elif attention == "dot":
            self.combine = layers.Dense(units, use_bias=False, activation="tanh", name="combine")
        self.output_layer = layers.Dense(outputs, name=target)
        self.activation = keras.activations.get(ACTIVATIONS[target])

    def build(self, input_shape: Any) -> None:
        """Create the weights."""
        units, encoded = self.constructor_arguments["units"], input_shape["encoded"][-1]
        for initial_state in self.initial_states:
            initial_state.build((None, input_shape["final"][-1]))
        width = sum(input_shape[name][-1] for name in ("teacher", "static") if name in input_shape)
        joined = units
        if self.attention == "additive":
            self.keys.build((None, None, encoded))
            self.query.build((None, units))
            self.attention_score.build((None, None, units))
            width, joined = width + encoded, units + encoded
        elif self.attention == "dot":
            self.combine.build((None, encoded + units))
        self.width = width
        self.cell.build((None, width))
        self.output_layer.build((None, joined))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, int]:
        """Shape of the output: rows, and outputs of all steps."""
        return input_shape["encoded"][0], self.steps * self.outputs

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Forecast all steps.

        Parameters
        ----------
        inputs : dict
            `encoded` (batch, lookback, width) and `final` (batch, width); optionally `known` (batch, lookback),
            `static` (batch, width), `offset` (batch, steps * outputs) and `teacher` (batch, steps, values).
        training : bool
            Whether dropout is applied.
        """
        batch = ops.shape(inputs["encoded"])[0]
        states = [initial_state(inputs["final"]) for initial_state in self.initial_states]
        keys = self.keys(inputs["encoded"]) if self.attention == "additive" else None
        output = ops.zeros((batch, self.outputs), dtype=self.compute_dtype)
        outputs_by_step = []
        with shared_dropout_masks([self.cell], [self.width], batch):
            for step in range(self.steps):
                cell_inputs = []
                if "teacher" in inputs:
                    previous = feedback_part(output, self.levels)
                    cell_inputs.append(apply_teacher_forcing(previous, inputs["teacher"][:, step]))
                if "static" in inputs:
                    cell_inputs.append(inputs["static"])
                if self.attention == "additive":
                    scores = self.attention_score(ops.tanh(keys + ops.expand_dims(self.query(states[0]), 1)))[..., 0]
                    context = _context(scores, inputs)
                    cell_inputs.append(context)
                state, states = self.cell(ops.concatenate(cell_inputs, axis=-1), states, training=training)
                states = list(states) if isinstance(states, (list, tuple)) else [states]
                if self.attention == "additive":
                    state = ops.concatenate([state, context], axis=-1)
                elif self.attention == "dot":
                    context = _context(ops.sum(inputs["encoded"] * ops.expand_dims(state, 1), axis=-1), inputs)
                    state = self.combine(ops.concatenate([context, state], axis=-1))
                output = self.output_layer(state)
                if "offset" in inputs:
                    output = output + inputs["offset"][:, step * self.outputs : (step + 1) * self.outputs]
                output = self.activation(output)
                outputs_by_step.append(output)
        return ops.concatenate(outputs_by_step, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor, for serialisation."""
        return dict(super().get_config()) | self.constructor_arguments


def _context(scores: Any, inputs: Any) -> Any:
    """Context vector: mean of the encoder's outputs, weighted by the softmax of scores (batch, lookback)."""
    if "known" in inputs:
        scores = ops.where(inputs["known"], scores, -1e9)
    return ops.sum(ops.expand_dims(ops.softmax(scores, axis=-1), -1) * inputs["encoded"], axis=1)
