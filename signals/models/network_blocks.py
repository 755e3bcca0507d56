"""Parts of recurrent networks: inputs, recurrent layers, linear terms; imports Keras, so import it inside functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import keras
from keras import layers, ops

from signals.common.errors import InputError
from signals.dataset.windows import MASKED
from signals.models.cells import make_layer

if TYPE_CHECKING:
    from signals.models.encoder_decoder_settings import EncoderDecoderSettings
    from signals.models.recurrent_settings import RecurrentSettings

__all__ = [
    "ACTIVATIONS",
    "Inputs",
    "autoregressive_term",
    "concatenate",
    "last_steps",
    "recurrent_layers",
    "run_layers",
    "sequence_input",
    "skip_states",
    "static_inputs",
]

ACTIVATIONS = {"probability": "sigmoid", "classes": "softmax", "value": "linear", "quantiles": "linear"}


@dataclass(slots=True)
class Inputs:
    """Inputs of a network.

    Parameters
    ----------
    tensors : list of KerasTensor
        All inputs of the model.
    sequence : KerasTensor, shape (batch, lookback, features)
        The windows, 0 where a step is unknown.
    known : KerasTensor of bool, shape (batch, lookback), or None
        Mask of the known steps; None when all are known.
    """

    tensors: list[Any]
    sequence: Any
    known: Any = None


def sequence_input(settings: RecurrentSettings | EncoderDecoderSettings, n_features: int) -> Inputs:
    """Make the input of the windows; a step whose features are all `MASKED` is unknown."""
    sequence = keras.Input((settings.lookback, n_features), name="sequence")
    if not settings.masked:
        return Inputs([sequence], sequence)
    known = ops.any(ops.not_equal(sequence, float(MASKED)), axis=-1)
    return Inputs([sequence], ops.where(ops.expand_dims(known, -1), sequence, 0.0), known)


def static_inputs(
    inputs: Inputs,
    settings: RecurrentSettings | EncoderDecoderSettings,
    n_categories: int,
    group_sizes: Mapping[str, int],
) -> list[Any]:
    """Make the static inputs, which are the same at all steps, and their embeddings.

    Returns
    -------
    list of KerasTensor, shape (batch, width)
        Ticker embedding, months, other categoricals in the order of `settings.groups`.
    """
    parts = []
    if settings.ticker_embedding_dim:
        ticker = keras.Input((), dtype="int32", name="ticker")
        inputs.tensors.append(ticker)
        parts.append(layers.Embedding(n_categories, settings.ticker_embedding_dim, name="ticker_embedding")(ticker))
    if settings.month_onehot:
        month = keras.Input((12,), name="month")
        inputs.tensors.append(month)
        parts.append(month)
    for name in settings.groups:
        if name not in group_sizes:
            raise InputError(
                f"expected the number of categories of {name!r}, which model.categorical_embeddings and "
                f"model.year_onehot need; found {', '.join(group_sizes) or 'none'}; give Network its group_sizes"
            )
        if name == "year":
            tensor = keras.Input((group_sizes["year"] - 1,), name="year")
            parts.append(tensor)
        else:
            tensor = keras.Input((), dtype="int32", name=name)
            table = layers.Embedding(group_sizes[name], settings.categorical_embeddings[name], name=f"{name}_embedding")
            parts.append(table(tensor))
        inputs.tensors.append(tensor)
    return parts


def recurrent_layers(
    settings: RecurrentSettings | EncoderDecoderSettings, *, return_sequences: bool, return_state: bool
) -> list[Any]:
    """Make the stacked recurrent layers, for `run_layers`.

    Parameters
    ----------
    settings : RecurrentSettings or EncoderDecoderSettings
        Cell, units and dropout rates.
    return_sequences : bool
        Whether the last layer returns its output at every step, as the layers below it do.
    return_state : bool
        Whether the layers also return their states after the last step.
    """
    last = len(settings.units)
    return [
        make_layer(
            settings.cell,
            units,
            name=f"{settings.cell}_{number}",
            reset_after=settings.reset_after,
            bidirectional=settings.bidirectional,
            dropout=settings.dropout if number > 1 else settings.input_dropout,
            recurrent_dropout=settings.recurrent_dropout,
            return_sequences=return_sequences or number < last,
            return_state=return_state,
        )
        for number, units in enumerate(settings.units, start=1)
    ]


def run_layers(stack: Sequence[Any], sequence: Any, known: Any, truncate: int | None = None) -> Any:
    """Run stacked recurrent layers over the windows.

    Parameters
    ----------
    stack : sequence of layers
        Layers, first to last; with `truncate` they must return their states.
    sequence : KerasTensor, shape (batch, lookback, features)
        Input of the first layer.
    known : KerasTensor of bool, shape (batch, lookback), or None
        Mask of the known steps; unknown steps leave states and outputs unchanged.
    truncate : int, optional
        Number of steps through which gradients flow back: the layers run over chunks of that length, aligned to the
        window's end, and pass their states on without gradient. Each chunk has its own dropout masks.

    Returns
    -------
    KerasTensor
        Outputs of the last layer; without `truncate`, followed by its states if it returns them.

    References
    ----------
    Williams, Peng (1990), *An efficient gradient-based algorithm for on-line training of recurrent network
    trajectories*.
    """
    lookback = sequence.shape[1]
    if truncate is None:
        output = sequence
        for layer in stack:
            output = layer(sequence, mask=known)
            sequence = output[0] if layer.return_state else output
        return _unmasked(output, known)
    every_step = stack[-1].return_sequences
    # an output after the last step only needs no gradients before the last chunk
    begins = range(lookback % truncate, lookback, truncate) if every_step else [lookback - truncate]
    bounds = sorted({0, *begins, lookback})
    states: list[Any] = [None] * len(stack)
    outputs = []
    for begin, end in pairwise(bounds):
        chunk = sequence[:, begin:end]
        mask = None if known is None else known[:, begin:end]
        previous_states = states[-1]
        for number, layer in enumerate(stack):
            chunk, *chunk_states = layer(chunk, initial_state=states[number], mask=mask)
            states[number] = [ops.stop_gradient(state) for state in chunk_states]
        if every_step and previous_states and known is not None:
            # Keras's backends differ in the output at an unknown first step; here it repeats the output before it
            known_before = ops.cumsum(ops.cast(mask, "int32"), axis=1) > 0
            chunk = ops.where(ops.expand_dims(known_before, -1), chunk, ops.expand_dims(previous_states[0], 1))
        outputs.append(chunk)
    return _unmasked(ops.concatenate(outputs, axis=1) if every_step else outputs[-1], known)


def _unmasked(outputs: Any, known: Any) -> Any:
    """Remove Keras's masks from outputs, with which Keras would weight the loss of every step a second time."""
    if known is None:
        return outputs
    return [ops.copy(part) for part in outputs] if isinstance(outputs, (list, tuple)) else ops.copy(outputs)


def last_steps(sequence: Any, steps: int, every_step: bool) -> Any:
    """Concatenate the last `steps` steps, oldest first; 0 before the window begins.

    Returns
    -------
    KerasTensor, shape (batch, steps * features), or (batch, lookback, steps * features) with `every_step`
        Steps up to the last step, or up to each step.
    """
    lookback, width = sequence.shape[1:]
    if not every_step:
        return ops.reshape(sequence[:, lookback - steps :], (-1, steps * width))
    padded = ops.pad(sequence, [[0, 0], [steps - 1, 0], [0, 0]])
    return ops.concatenate([padded[:, back : back + lookback] for back in range(steps)], axis=-1)


def autoregressive_term(inputs: Inputs, steps: int, outputs: int, every_step: bool) -> Any:
    """Linear function of the last steps that is added to the output before its activation; unknown steps count as 0.

    Its weights are initialised to zero, so the initial network is the one without this term.

    References
    ----------
    Lai, Chang, Yang, Liu (2018), *Modeling long- and short-term temporal patterns with deep neural networks*: the
    autoregressive component of LSTNet, here with all series as inputs.
    """
    steps_in_order = last_steps(inputs.sequence, steps, every_step)
    return layers.Dense(outputs, use_bias=False, kernel_initializer="zeros", name="highway")(steps_in_order)


def skip_states(inputs: Inputs, settings: RecurrentSettings) -> Any:
    """States of a recurrent layer with skip connections, whose previous state is `recurrent_skip_steps` steps old.

    The window is split into `skip` = `settings.recurrent_skip_steps` sequences of every `skip`-th step, which share
    their weights. The oldest steps that do not fill all sequences are left out.

    Returns
    -------
    KerasTensor, shape (batch, skip * units)
        States of the last `skip` steps, oldest first, with `units` = `settings.recurrent_skip_units`. With
        `sequence_loss` or `output_recurrence` the shape is (batch, lookback, skip * units), one row per step of the
        window, with 0 before the first state.

    References
    ----------
    Lai, Chang, Yang, Liu (2018): the recurrent-skip component of LSTNet.
    """
    period, (lookback, _) = settings.recurrent_skip_steps, inputs.sequence.shape[1:]
    length, left_out = divmod(lookback, period)
    every_step, units = settings.sequence_loss or settings.output_recurrence, settings.recurrent_skip_units

    def split_by_phase(x: Any) -> Any:
        width = x.shape[2:]
        phases = ops.reshape(x[:, left_out:], (-1, length, period, *width))
        return ops.reshape(ops.swapaxes(phases, 1, 2), (-1, length, *width))

    layer = make_layer(
        settings.cell,
        units,
        name=f"skip_{settings.cell}",
        reset_after=settings.reset_after,
        dropout=settings.input_dropout,
        recurrent_dropout=settings.recurrent_dropout,
        return_sequences=every_step,
    )
    states = layer(split_by_phase(inputs.sequence), mask=None if inputs.known is None else split_by_phase(inputs.known))
    if not every_step:
        return ops.reshape(states, (-1, period * units))
    states = ops.swapaxes(ops.reshape(states, (-1, period, length, units)), 1, 2)
    states = ops.reshape(states, (-1, length * period, units))
    return last_steps(ops.pad(states, [[0, 0], [left_out, 0], [0, 0]]), period, True)


def concatenate(parts: Sequence[Any]) -> Any:
    """Concatenate along the last axis; None for an empty sequence."""
    return ops.concatenate(parts, axis=-1) if len(parts) > 1 else next(iter(parts), None)
