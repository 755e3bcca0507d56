"""Trainers: arrays in, named weights out; which one trains a network, and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from signals.common.errors import InputError
from signals.common.import_objects import import_name
from signals.models.network import NetworkSettings
from signals.trainers.base import TRAINERS, Trainer, TrainingSettings

UNFIT = "the compiled trainer cannot train this network: "

__all__ = ["TRAINERS", "Choice", "as_then", "choose_trainer"]


@dataclass(frozen=True, slots=True)
class Choice:
    """A trainer, why it is this one, and what should be said about it.

    Parameters
    ----------
    trainer : Trainer
        Ready to be sent to other processes.
    reason : str
        Why it was chosen.
    warnings : tuple of str
        What makes it slower than it need be.
    """

    trainer: Trainer
    reason: str
    warnings: tuple[str, ...] = ()


def as_then(training: TrainingSettings, name: str | None) -> TrainingSettings:
    """Return settings with the trainer that `auto` came to in an earlier run, whose networks are then found.

    >>> as_then(TrainingSettings(trainer="auto"), "keras").trainer
    'keras'
    >>> as_then(TrainingSettings(trainer="compiled"), "keras").trainer
    'compiled'
    """
    return replace(training, trainer=name) if training.trainer == "auto" and name in TRAINERS else training


def choose_trainer(
    training: TrainingSettings,
    model: NetworkSettings,
    *,
    threads: int = 1,
    announce: Callable[[str], None] = lambda text: None,
) -> Choice:
    """Make the trainer that `training.trainer` names; `"auto"` is the compiled one wherever it can train the network.

    `"auto"` never fails for want of a part: whatever keeps the compiled trainer from being loaded, Keras trains the
    network and the reason says so. `'package.module:Name'` makes a trainer of one's own by calling it without
    arguments.

    Parameters
    ----------
    training : TrainingSettings
        Whose `trainer` is looked at.
    model : NetworkSettings
        The network.
    threads : int
        Threads of the compiled trainer; its results do not depend on them.
    announce : callable
        Told when something is compiled for the first time, before that begins.

    Raises
    ------
    InputError
        When the compiled trainer was asked for by name and cannot train this network or cannot be loaded, and for a
        name of one's own that is no trainer.
    """
    name = training.trainer
    if ":" in name:
        return Choice(_own_trainer(name), "as configured")
    if name == "keras":
        return _keras(model, "as configured")
    problem = _why_not_compiled(model, announce)
    if problem is None:
        from signals.trainers.compiled import CompiledTrainer

        reason = "as configured" if name == "compiled" else "its compiled code can train this network on the CPU"
        return Choice(CompiledTrainer(threads), reason)
    if name == "compiled":
        raise InputError(
            f"expected a network and a machine that training.trainer = 'compiled' can do with; found that {problem}; "
            "change that, or set training.trainer to 'keras' or 'auto'"
        )
    return _keras(model, problem)


def _why_not_compiled(model: NetworkSettings, announce: Callable[[str], None]) -> str | None:
    try:
        from signals.trainers.compiled import get_ready, why_not

        unfit = why_not(model)
        if unfit is not None:
            return f"{UNFIT}{unfit}"
        get_ready(announce)
    except Exception as error:  # compilers fail in many ways, and none of them may stop a run that Keras can do
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        return f"the compiled trainer cannot be loaded: {first}"
    return None


def _keras(model: NetworkSettings, reason: str) -> Choice:
    from signals.trainers.keras_trainer import KerasTrainer, lost_on_gpu

    lost = lost_on_gpu(model)
    warnings = []
    if reason.startswith(UNFIT):
        twice = ", and recurrent dropout doubles that" if model.recurrent_dropout else ""
        warnings.append(
            f"Training leaves the fast path, because {reason}: on a CPU "
            f"Keras takes about 5 times as long with batches of 1024, and 30 times with batches of 32{twice}."
        )
    if lost:
        warnings.append(
            f"The fast kernels of the GPU (cuDNN) are not used, because {lost} rules them out: training takes several "
            "times as long as without that setting."
        )
    return Choice(KerasTrainer(), reason, tuple(warnings))


def _own_trainer(name: str) -> Trainer:
    factory: Any = import_name(name, "training.trainer")
    if not all(callable(getattr(factory, method, None)) for method in ("fit", "predict", "versions")):
        raise InputError(
            f"expected training.trainer = {name!r} to name a class with fit, predict and versions; found "
            f"{type(factory).__name__}; see signals.trainers.base"
        )
    made: Trainer = factory()
    return made
