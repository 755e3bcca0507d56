"""Encoder-decoder networks with attention in Keras."""

from __future__ import annotations

from typing import Any

from signals.common.errors import InputError
from signals.models.encoder_decoder_settings import EncoderDecoderSettings
from signals.models.network import Network

__all__ = ["build"]


def build(settings: EncoderDecoderSettings, network: Network) -> Any:
    """Build the Keras model.

    Parameters
    ----------
    settings : EncoderDecoderSettings
        Sizes and parts.
    network : Network
        Sizes of the data, and the target: values, quantiles of values, or one probability.

    Returns
    -------
    keras.Model
        Inputs as in `signals.models.recurrent.build`, with `teacher` of shape (batch, steps, values per step); output
        of shape (batch, target.outputs), steps × values × levels.

    Raises
    ------
    InputError
        For a target of classes.

    References
    ----------
    Cho et al. (2014), *Learning phrase representations using RNN encoder-decoder*. Bahdanau, Cho, Bengio (2015),
    *Neural machine translation by jointly learning to align and translate*. Luong, Pham, Manning (2015),
    *Effective approaches to attention-based neural machine translation*.
    """
    import keras

    from signals.models import network_blocks
    from signals.models.decoder import Decoder

    target = network.target
    if target.kind == "classes":
        raise InputError(
            "expected a target of values, quantiles or one probability for an encoder-decoder; found classes; use "
            "model.kind = 'recurrent' for them"
        )
    inputs = network_blocks.sequence_input(settings, network.n_features)
    encoder = network_blocks.recurrent_layers(settings, return_sequences=True, return_state=True)
    encoded, *states = network_blocks.run_layers(encoder, inputs.sequence, inputs.known)
    decoder_inputs = {"encoded": encoded, "known": inputs.known}
    # the states h after the last step; for a bidirectional layer, those of both halves
    decoder_inputs["final"] = network_blocks.concatenate(
        states[:: len(states) // 2] if settings.bidirectional else states[:1]
    )
    decoder_inputs["static"] = network_blocks.concatenate(
        network_blocks.static_inputs(inputs, settings, network.n_categories, network.group_sizes)
    )
    if settings.autoregressive_lags:
        decoder_inputs["offset"] = network_blocks.autoregressive_term(
            inputs, settings.autoregressive_lags, target.outputs, every_step=False
        )
    if settings.output_recurrence:
        decoder_inputs["teacher"] = keras.Input((target.steps, target.values // target.steps), name="teacher")
        inputs.tensors.append(decoder_inputs["teacher"])
    decoder = Decoder(
        settings.cell,
        settings.decoder_units or settings.encoded,
        attention=settings.attention,
        steps=target.steps,
        outputs=target.outputs // target.steps,
        target=target.kind,
        levels=len(target.levels),
        dropout=settings.dropout,
        recurrent_dropout=settings.recurrent_dropout,
        reset_after=settings.reset_after,
        name="decoder",
    )
    output = decoder({name: value for name, value in decoder_inputs.items() if value is not None})
    return keras.Model(inputs.tensors, output, name="encoder_decoder")
