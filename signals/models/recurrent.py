"""Recurrent networks in Keras: stacked layers, embeddings, output feedback and linear terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from signals.dataset.labels import PROBABILITY, Target
from signals.models.recurrent_settings import RecurrentSettings

__all__ = ["build"]


def build(
    settings: RecurrentSettings,
    n_categories: int,
    n_features: int = 1,
    target: Target = PROBABILITY,
    group_sizes: Mapping[str, int] | None = None,
) -> Any:
    """Build the network.

    Parameters
    ----------
    settings : RecurrentSettings
        Sizes and parts.
    n_categories : int
        Rows of the ticker embedding, the unknown ticker included.
    n_features : int
        Features per time step.
    target : Target
        Kind and shape of the output.
    group_sizes : mapping of str to int, optional
        Rows of every other categorical's embedding, the unknown category included.

    Returns
    -------
    keras.Model
        Inputs: `sequence` (batch, lookback, n_features), `ticker` (batch,) int, `month` (batch, 12), one (batch,) int
        for each other embedding, by its name, `year` (batch, years) and `teacher` (batch, lookback, width of the
        feedback); unused inputs are absent. Output (batch, target.outputs), or with `sequence_loss` (batch, lookback,
        target.outputs): a probability, probabilities of classes, values, or quantiles. With outputs at every step,
        static inputs enter at every step.

    References
    ----------
    Jansen (2018), *Hands-On Machine Learning for Algorithmic Trading*, chapter 18: stacked LSTM with ticker embedding
    and month dummies; 29,371 parameters for 2,489 tickers. This network has one more embedding row, for unknown
    tickers, and the sigmoid that the cross-entropy loss needs.
    """
    import keras
    from keras import layers, ops

    from signals.models import network_blocks

    inputs = network_blocks.sequence_input(settings, n_features)
    truncate = settings.tbptt_steps if (settings.tbptt_steps or settings.lookback) < settings.lookback else None
    all_steps = settings.sequence_loss or settings.output_recurrence

    def run(stack: list[Any], sequence: Any) -> Any:
        return network_blocks.run_layers(stack, sequence, inputs.known, truncate)

    options = {"return_sequences": settings.sequence_loss, "return_state": truncate is not None}
    hidden = []
    if not settings.output_recurrence:
        hidden.append(run(network_blocks.recurrent_layers(settings, **options), inputs.sequence))
    if settings.recurrent_skip_steps:
        hidden.append(network_blocks.skip_states(inputs, settings))
    static = network_blocks.static_inputs(inputs, settings, n_categories, group_sizes or {})
    hidden += [layers.RepeatVector(settings.lookback)(part) for part in static] if all_steps else static
    offset = (
        network_blocks.autoregressive_term(inputs, settings.autoregressive_lags, target.outputs, all_steps)
        if settings.autoregressive_lags
        else None
    )

    if settings.output_recurrence:
        from signals.models.output_feedback import feedback_layer

        layer, teacher = feedback_layer(settings, n_features, sum(part.shape[-1] for part in hidden), target, **options)
        inputs.tensors.append(teacher)
        parts = [inputs.sequence, teacher, *hidden, *([] if offset is None else [offset])]
        return keras.Model(inputs.tensors, run([layer], ops.concatenate(parts, axis=-1)), name="recurrent")

    joined = layers.Concatenate(name="joined")(hidden) if len(hidden) > 1 else hidden[0]
    joined = layers.Dense(settings.dense_units, name="dense")(joined) if settings.dense_units else joined
    activation = network_blocks.ACTIVATIONS[target.kind]
    if offset is None:
        output = layers.Dense(target.outputs, activation=activation, name=target.kind)(joined)
    else:
        linear = layers.Dense(target.outputs, name=target.kind)(joined)
        output = layers.Activation(activation, name="output")(
            layers.Add(name="with_autoregressive_term")([linear, offset])
        )
    return keras.Model(inputs.tensors, output, name="recurrent")
