"""Parts of recurrent networks: inputs, the recurrent layers, what enters beside them; import it inside functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import keras
from keras import layers, ops

from signals.errors import InputError
from signals.models.cells import make_layer
from signals.windows import MASKED

if TYPE_CHECKING:
    from signals.models.encoder_decoder import EncoderDecoderSettings
    from signals.models.recurrent import RecurrentSettings

__all__ = [
    "ACTIVATIONS",
    "Inputs",
    "reference_data",
    "beside_each_other",
    "highway",
    "last_steps",
    "read_inputs",
    "recurrent",
    "run",
    "skipped",
]

ACTIVATIONS = {"probability": "sigmoid", "classes": "softmax", "value": "linear", "quantiles": "linear"}


@dataclass(slots=True)
class Inputs:
    """What enters a network.

    Parameters
    ----------
    made : list of KerasTensor
        Every input.
    sequence : KerasTensor, shape (batch, lookback, features)
        The windows, 0 where a step is not known.
    known : KerasTensor of bool, shape (batch, lookback), or None
        Which steps are known; None when all are.
    """

    made: list[Any]
    sequence: Any
    known: Any = None


def read_inputs(settings: RecurrentSettings | EncoderDecoderSettings, n_features: int) -> Inputs:
    """Make the input of the windows; steps of which every feature is `MASKED` are not known."""
    sequence = keras.Input((settings.lookback, n_features), name="sequence")
    if not settings.masked:
        return Inputs([sequence], sequence)
    known = ops.any(ops.not_equal(sequence, float(MASKED)), axis=-1)
    return Inputs([sequence], ops.where(ops.expand_dims(known, -1), sequence, 0.0), known)


def beside(
    inputs: Inputs,
    settings: RecurrentSettings | EncoderDecoderSettings,
    n_categories: int,
    group_sizes: Mapping[str, int],
) -> list[Any]:
    """Make the inputs that do not change from step to step, and their embeddings.

    Returns
    -------
    list of KerasTensor, shape (batch, width)
        Ticker embedding, months, other categoricals in the order of `settings.groups`.
    """
    merged = []
    if settings.ticker_embedding_dim:
        ticker = keras.Input((), dtype="int32", name="ticker")
        inputs.made.append(ticker)
        merged.append(layers.Embedding(n_categories, settings.ticker_embedding_dim, name="ticker_embedding")(ticker))
    if settings.month_onehot:
        month = keras.Input((12,), name="month")
        inputs.made.append(month)
        merged.append(month)
    for name in settings.groups:
        if name not in group_sizes:
            raise InputError(
                f"expected the number of groups of {name!r}, which model.categorical_embeddings and model.year_onehot "
                "ask for; found "
                f"{', '.join(group_sizes) or 'no group'}; give Network its group_sizes"
            )
        if name == "year":
            entered = keras.Input((group_sizes["year"] - 1,), name="year")
            merged.append(entered)
        else:
            entered = keras.Input((), dtype="int32", name=name)
            table = layers.Embedding(group_sizes[name], settings.categorical_embeddings[name], name=f"{name}_embedding")
            merged.append(table(entered))
        inputs.made.append(entered)
    return merged


def recurrent(
    settings: RecurrentSettings | EncoderDecoderSettings, *, return_sequences: bool, return_state: bool
) -> list[Any]:
    """Make the stacked recurrent layers, to be run by `run`.

    Parameters
    ----------
    settings : RecurrentSettings or EncoderDecoderSettings
        Cell, units, shares of dropout.
    return_sequences : bool
        Whether the last layer says something at every step, as those below it do.
    return_state : bool
        Whether layers return their states after the last step as well.
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


def run(made: Sequence[Any], sequence: Any, known: Any, truncate: int | None = None) -> Any:
    """Run recurrent layers one above the other over the windows.

    Parameters
    ----------
    made : sequence of layers
        First to last; with `truncate` they return their states.
    sequence : KerasTensor, shape (batch, lookback, features)
        What the first one reads.
    known : KerasTensor of bool, shape (batch, lookback), or None
        Steps that are not leave states and outputs as they were.
    truncate : int, optional
        Gradients flow back through so many steps only: the layers run over chunks of that length, aligned to the
        window's end, and hand their states on as numbers. Dropout is drawn anew for each chunk.

    Returns
    -------
    KerasTensor
        Outputs of the last layer; without `truncate` its states beside them if it returns them.

    References
    ----------
    Williams, Peng (1990), *An efficient gradient-based algorithm for on-line training of recurrent network
    trajectories*.
    """
    lookback = sequence.shape[1]
    if truncate is None:
        said = sequence
        for layer in made:
            said = layer(sequence, mask=known)
            sequence = said[0] if layer.return_state else said
        return _unmasked(said, known)
    every_step = made[-1].return_sequences
    # what is said after the last step alone needs no gradients before the last chunk
    begins = range(lookback % truncate, lookback, truncate) if every_step else [lookback - truncate]
    bounds = sorted({0, *begins, lookback})
    states: list[Any] = [None] * len(made)
    outputs = []
    for begin, end in pairwise(bounds):
        part = sequence[:, begin:end]
        mask = None if known is None else known[:, begin:end]
        handed_on = states[-1]
        for number, layer in enumerate(made):
            part, *after = layer(part, initial_state=states[number], mask=mask)
            states[number] = [ops.stop_gradient(state) for state in after]
        if every_step and handed_on and known is not None:
            # Keras's backends differ in what an unknown first step says; here it repeats what was said before it
            begun = ops.cumsum(ops.cast(mask, "int32"), axis=1) > 0
            part = ops.where(ops.expand_dims(begun, -1), part, ops.expand_dims(handed_on[0], 1))
        outputs.append(part)
    return _unmasked(ops.concatenate(outputs, axis=1) if every_step else outputs[-1], known)


def _unmasked(said: Any, known: Any) -> Any:
    """Take Keras's marks off outputs, by which it would weigh the loss of every step a second time."""
    if known is None:
        return said
    return [ops.copy(part) for part in said] if isinstance(said, (list, tuple)) else ops.copy(said)


def last_steps(sequence: Any, steps: int, every_step: bool) -> Any:
    """Lay the last `steps` steps beside each other, oldest first; 0 where the window has not begun.

    Returns
    -------
    KerasTensor, shape (batch, steps * features), or (batch, lookback, steps * features) of every step
        Up to the last step, or up to each.
    """
    lookback, width = sequence.shape[1:]
    if not every_step:
        return ops.reshape(sequence[:, lookback - steps :], (-1, steps * width))
    padded = ops.pad(sequence, [[0, 0], [steps - 1, 0], [0, 0]])
    return ops.concatenate([padded[:, back : back + lookback] for back in range(steps)], axis=-1)


def highway(inputs: Inputs, steps: int, outputs: int, every_step: bool) -> Any:
    """Linear function of the last steps, which joins the output before its activation; unknown steps count as 0.

    Its weights are zero at first: the network starts as it would without it.

    References
    ----------
    Lai, Chang, Yang, Liu (2018), *Modeling long- and short-term temporal patterns with deep neural networks*: the
    autoregressive component of LSTNet; ours also sees the other series.
    """
    seen = last_steps(inputs.sequence, steps, every_step)
    return layers.Dense(outputs, use_bias=False, kernel_initializer="zeros", name="highway")(seen)


def skipped(inputs: Inputs, settings: RecurrentSettings) -> Any:
    """Recurrent layer whose state is `settings.skip` steps old: the states of its last `skip` steps.

    The window is dealt out to `skip` chains of every `skip`-th step, which share their weights. The oldest steps that
    do not fill a round are left out.

    Returns
    -------
    KerasTensor, shape (batch, skip * units), or (batch, lookback, skip * units) with `every_step`
        States of the last `skip` steps, oldest first; 0 before there is one.

    References
    ----------
    Lai, Chang, Yang, Liu (2018): the recurrent-skip component of LSTNet.
    """
    period, (lookback, _) = settings.recurrent_skip_steps, inputs.sequence.shape[1:]
    rounds, rest = divmod(lookback, period)
    every_step, units = settings.sequence_loss or settings.output_recurrence, settings.recurrent_skip_units

    def deal(x: Any) -> Any:
        width = x.shape[2:]
        dealt = ops.reshape(x[:, rest:], (-1, rounds, period, *width))
        return ops.reshape(ops.swapaxes(dealt, 1, 2), (-1, rounds, *width))

    layer = make_layer(
        settings.cell,
        units,
        name=f"skip_{settings.cell}",
        reset_after=settings.reset_after,
        dropout=settings.input_dropout,
        recurrent_dropout=settings.recurrent_dropout,
        return_sequences=every_step,
    )
    states = layer(deal(inputs.sequence), mask=None if inputs.known is None else deal(inputs.known))
    if not every_step:
        return ops.reshape(states, (-1, period * units))
    states = ops.swapaxes(ops.reshape(states, (-1, period, rounds, units)), 1, 2)
    states = ops.reshape(states, (-1, rounds * period, units))
    return last_steps(ops.pad(states, [[0, 0], [rest, 0], [0, 0]]), period, True)


def beside_each_other(parts: Sequence[Any]) -> Any:
    """Join along the last axis; None without any part."""
    return ops.concatenate(parts, axis=-1) if len(parts) > 1 else next(iter(parts), None)
