"""Trainers behind one seam: arrays in, weights out, so that they are interchangeable."""

from __future__ import annotations

import difflib

from signals.errors import InputError
from signals.plugins import import_name
from signals.trainers.seam import Trainer

__all__ = ["TRAINERS", "make_trainer"]

TRAINERS = ("auto", "keras")


def make_trainer(name: str) -> Trainer:
    """Return the trainer of that name; `"auto"` is the fastest one that can train the network, today Keras.

    `'package.module:Name'` makes a trainer of one's own by calling it without arguments.

    Raises
    ------
    InputError
        For an unknown name, naming the nearest one.
    """
    if name in ("auto", "keras"):
        from signals.trainers.keras_trainer import KerasTrainer

        return KerasTrainer()
    if ":" in name:
        factory = import_name(name, "training.trainer")
        if not all(callable(getattr(factory, method, None)) for method in ("fit", "predict", "versions")):
            raise InputError(
                f"expected training.trainer = {name!r} to name a class with fit, predict and versions; found "
                f"{type(factory).__name__}; see signals.trainers.seam"
            )
        made: Trainer = factory()
        return made
    close = difflib.get_close_matches(name, TRAINERS, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise InputError(f"expected training.trainer to be one of {', '.join(TRAINERS)}; found {name!r}{hint}")
