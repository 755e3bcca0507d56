"""The decoder of an encoder-decoder: one cell, stepped over the horizon, and its attention; imports Keras."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from signals.models.cells import make_cell, one_mask_a_window, state_sizes
from signals.models.network_blocks import ACTIVATIONS
from signals.models.output_feedback import fed_back, taught

__all__ = ["Decoder"]


@keras.saving.register_keras_serializable(package="rnn_strategies")
class Decoder(keras.Layer):  # type: ignore[misc]  # Keras carries no annotations
    """Says one step after the other.

    With h_j the encoder's outputs, s the decoder's state, y what was said or is taught of the step before (at first 0),
    and x what does not change, every state begins as tanh(W h_final + b) of its own, and at each step

        additive:  a = softmax_j v tanh(U h_j + b + W s);  c = sum_j a_j h_j;  s' = cell(s, [y, x, c]);  z = [s', c]
        dot:       s' = cell(s, [y, x]);  a = softmax_j s' h_j;  c = sum_j a_j h_j;  z = tanh(C [c, s'])
        none:      s' = cell(s, [y, x]);  z = s'

    and the output is W z + b plus the highway's share. Steps that are not known have no weight in the attention.

    Parameters
    ----------
    kind, units
        Of the cell.
    attention : {"additive", "dot", "none"}
        See above.
    steps, outputs : int
        Steps, and outputs at each.
    target : str
        Kind of target, which decides the activation.
    levels : int
        Quantiles of every number; 0 for other targets.
    dropout, recurrent_dropout : float
        Shares of the cell's inputs and state, the same for all steps.
    reset_after : bool
        Of a GRU.
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
        self.plan: dict[str, Any] = {"kind": kind, "units": units, "attention": attention, "steps": steps}
        self.plan |= {"outputs": outputs, "target": target, "levels": levels, "dropout": dropout}
        self.plan |= {"recurrent_dropout": recurrent_dropout, "reset_after": reset_after}
        self.attention, self.steps, self.outputs, self.levels = attention, steps, outputs, levels
        shares = {"dropout": dropout, "recurrent_dropout": recurrent_dropout}
        self.cell = make_cell(kind, units, reset_after=reset_after, name=kind, **shares)
        self.starts = [
            layers.Dense(size, activation="tanh", name=f"start_{number}")
            for number, size in enumerate(state_sizes(self.cell), start=1)
        ]
        if attention == "additive":
            self.keys = layers.Dense(units, name="keys")
            self.query = layers.Dense(units, use_bias=False, name="query")
            self.weigh = layers.Dense(1, use_bias=False, name="weigh")
        elif attention == "dot":
            self.combine = layers.Dense(units, use_bias=False, activation="tanh", name="combine")
        self.said = layers.Dense(outputs, name=target)
        self.activation = keras.activations.get(ACTIVATIONS[target])

    def build(self, input_shape: Any) -> None:
        """Make the weights."""
        units, encoded = self.plan["units"], input_shape["encoded"][-1]
        for start in self.starts:
            start.build((None, input_shape["final"][-1]))
        width = sum(input_shape[name][-1] for name in ("teacher", "still") if name in input_shape)
        joined = units
        if self.attention == "additive":
            self.keys.build((None, None, encoded))
            self.query.build((None, units))
            self.weigh.build((None, None, units))
            width, joined = width + encoded, units + encoded
        elif self.attention == "dot":
            self.combine.build((None, encoded + units))
        self.width = width
        self.cell.build((None, width))
        self.said.build((None, joined))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, int]:
        """Rows, and everything said of them."""
        return input_shape["encoded"][0], self.steps * self.outputs

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Say all steps.

        Parameters
        ----------
        inputs : dict
            `encoded` (batch, lookback, width) and `final` (batch, width); where there is such a thing `known` (batch,
            lookback), `still` (batch, width), `offset` (batch, steps * outputs) and `teacher` (batch, steps, values).
        training : bool
            Whether dropout is on.
        """
        batch = ops.shape(inputs["encoded"])[0]
        states = [start(inputs["final"]) for start in self.starts]
        keys = self.keys(inputs["encoded"]) if self.attention == "additive" else None
        said = ops.zeros((batch, self.outputs), dtype=self.compute_dtype)
        all_said = []
        with one_mask_a_window([self.cell], [self.width], batch):
            for step in range(self.steps):
                entering = []
                if "teacher" in inputs:
                    entering.append(taught(fed_back(said, self.levels), inputs["teacher"][:, step]))
                if "still" in inputs:
                    entering.append(inputs["still"])
                if self.attention == "additive":
                    scores = self.weigh(ops.tanh(keys + ops.expand_dims(self.query(states[0]), 1)))[..., 0]
                    context = _context(scores, inputs)
                    entering.append(context)
                state, states = self.cell(ops.concatenate(entering, axis=-1), states, training=training)
                states = list(states) if isinstance(states, (list, tuple)) else [states]
                if self.attention == "additive":
                    state = ops.concatenate([state, context], axis=-1)
                elif self.attention == "dot":
                    context = _context(ops.sum(inputs["encoded"] * ops.expand_dims(state, 1), axis=-1), inputs)
                    state = self.combine(ops.concatenate([context, state], axis=-1))
                said = self.said(state)
                if "offset" in inputs:
                    said = said + inputs["offset"][:, step * self.outputs : (step + 1) * self.outputs]
                said = self.activation(said)
                all_said.append(said)
        return ops.concatenate(all_said, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Give what makes it again."""
        return dict(super().get_config()) | self.plan


def _context(scores: Any, inputs: Any) -> Any:
    """Mean of the encoder's outputs, weighted by scores (batch, lookback)."""
    if "known" in inputs:
        scores = ops.where(inputs["known"], scores, -1e9)
    return ops.sum(ops.expand_dims(ops.softmax(scores, axis=-1), -1) * inputs["encoded"], axis=1)
