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
        Sizes of the data and what the output says: numbers or quantiles of numbers, or one probability.

    Returns
    -------
    keras.Model
        Inputs as of `signals.models.recurrent.build`, with `teacher` (batch, steps, values a step); output (batch,
        target.outputs), steps × values × levels.

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
            "expected numbers, quantiles or one probability from an encoder-decoder; found classes; use model.kind "
            "= 'recurrent' for them"
        )
    inputs = network_blocks.read_inputs(settings, network.n_features)
    made = network_blocks.recurrent(settings, return_sequences=True, return_state=True)
    encoded, *states = network_blocks.run(made, inputs.sequence, inputs.known)
    given = {"encoded": encoded, "known": inputs.known}
    # the states h after the last step, of a bidirectional layer those of both its halves
    given["final"] = network_blocks.beside_each_other(
        states[:: len(states) // 2] if settings.bidirectional else states[:1]
    )
    given["still"] = network_blocks.beside_each_other(
        network_blocks.beside(inputs, settings, network.n_categories, network.group_sizes)
    )
    if settings.autoregressive_lags:
        given["offset"] = network_blocks.highway(inputs, settings.autoregressive_lags, target.outputs, every_step=False)
    if settings.output_recurrence:
        given["teacher"] = keras.Input((target.steps, target.values // target.steps), name="teacher")
        inputs.made.append(given["teacher"])
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
    said = decoder({name: value for name, value in given.items() if value is not None})
    return keras.Model(inputs.made, said, name="encoder_decoder")
