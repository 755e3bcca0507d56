"""Registry of networks: builds the Keras model that a class of settings describes."""

from __future__ import annotations

from typing import Any

from signals.common.errors import InputError
from signals.models.encoder_decoder_settings import EncoderDecoderSettings
from signals.models.network import Network
from signals.models.recurrent_settings import RecurrentSettings

__all__ = ["build_network"]


def build_network(network: Network) -> Any:
    """Build the Keras model of a network, with fresh initial weights.

    Parameters
    ----------
    network : Network
        Settings, sizes of the data and target.

    Returns
    -------
    keras.Model
        Model with the inputs and output of `signals.models.recurrent.build` or `signals.models.encoder_decoder.build`.

    Raises
    ------
    InputError
        When the settings are of a class that this package does not build.
    """
    settings = network.model
    if isinstance(settings, RecurrentSettings):
        from signals.models.recurrent import build

        return build(settings, network.n_categories, network.n_features, network.target, network.group_sizes)
    if isinstance(settings, EncoderDecoderSettings):
        from signals.models import encoder_decoder

        return encoder_decoder.build(settings, network)
    raise InputError(
        f"expected the settings of a network as RecurrentSettings or EncoderDecoderSettings; "
        f"found {type(settings).__name__}; use one of these"
    )
