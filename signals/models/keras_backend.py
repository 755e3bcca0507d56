"""Import of Keras with the backend that is set."""

from __future__ import annotations

import logging
import os
import warnings
from typing import Any

from signals.common.errors import InputError

__all__ = ["load_keras"]


def load_keras() -> Any:
    """Import Keras quietly; the backend is `KERAS_BACKEND` or Keras's own default, TensorFlow.

    Raises
    ------
    InputError
        When the backend that was asked for cannot be loaded.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # a network per fold looks like needless retracing to it
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # backends warn about NumPy and protobuf while they load
            import keras
    except (ImportError, ValueError) as error:
        backend = os.environ.get("KERAS_BACKEND", "tensorflow")
        raise InputError(
            f"expected Keras with the backend {backend!r} to load; found: {error}; install that backend or set "
            "KERAS_BACKEND to tensorflow, jax or torch"
        ) from error
    return keras
