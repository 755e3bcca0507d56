"""Import of Keras with the configured backend."""

from __future__ import annotations

import logging
import os
import warnings
from typing import Any

from signals.common.errors import InputError

__all__ = ["load_keras"]


def load_keras() -> Any:
    """Import Keras without its log messages; the backend is `KERAS_BACKEND` or Keras's default, TensorFlow.

    Raises
    ------
    InputError
        When the configured backend cannot be loaded.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(
        logging.ERROR
    )  # TensorFlow would warn of retracing, because each fold builds a network
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
