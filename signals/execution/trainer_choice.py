"""Choice of the trainer for a network, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from signals.common.errors import InputError
from signals.common.import_objects import import_name
from signals.models.network import NetworkSettings
from signals.trainers.base import TRAINERS, Trainer, TrainingSettings

UNSUPPORTED = "the compiled trainer cannot train this network: "

__all__ = ["TRAINERS", "TrainerChoice", "choose_trainer", "with_recorded_trainer"]


@dataclass(frozen=True, slots=True)
class TrainerChoice:
    """A chosen trainer, with the reason and warnings.

    Parameters
    ----------
    trainer : Trainer
        The trainer; it can be sent to other processes.
    reason : str
        Reason of the choice.
    warnings : tuple of str
        Settings that make training slow.
    """

    trainer: Trainer
    reason: str
    warnings: tuple[str, ...] = ()


def with_recorded_trainer(training: TrainingSettings, name: str | None) -> TrainingSettings:
    """Replace `"auto"` by the trainer that it selected in a recorded run, so that its stored networks are reused.

    >>> with_recorded_trainer(TrainingSettings(trainer="auto"), "keras").trainer
    'keras'
    >>> with_recorded_trainer(TrainingSettings(trainer="compiled"), "keras").trainer
    'compiled'
    """
    return replace(training, trainer=name) if training.trainer == "auto" and name in TRAINERS else training


def choose_trainer(
    training: TrainingSettings,
    model: NetworkSettings,
    *,
    threads: int = 1,
    announce: Callable[[str], None] = lambda text: None,
) -> TrainerChoice:
    """Make the trainer that `training.trainer` names; `"auto"` is the compiled one wherever it supports the network.

    With `"auto"`, any failure to load the compiled trainer leads to the Keras trainer, and the reason describes the
    failure. `'package.module:Name'` names a custom trainer, which is called without arguments.

    Parameters
    ----------
    training : TrainingSettings
        Settings, of which `trainer` is used.
    model : NetworkSettings
        The network.
    threads : int
        Number of threads of the compiled trainer; its results do not depend on it.
    announce : callable
        Called with a message before code is compiled for the first time.

    Raises
    ------
    InputError
        When `training.trainer` is `"compiled"` and the compiled trainer does not support the network or cannot be
        loaded, and when a custom name is not a trainer.
    """
    name = training.trainer
    if ":" in name:
        return TrainerChoice(_custom_trainer(name), "as configured")
    if name == "keras":
        return _keras(model, "as configured")
    problem = _compiled_obstacle(model, announce)
    if problem is None:
        from signals.trainers.compiled import CompiledTrainer

        reason = "as configured" if name == "compiled" else "its compiled code supports this network on the CPU"
        return TrainerChoice(CompiledTrainer(threads), reason)
    if name == "compiled":
        raise InputError(
            f"expected a network and a machine that training.trainer = 'compiled' supports; found that {problem}; "
            "change that, or set training.trainer to 'keras' or 'auto'"
        )
    return _keras(model, problem)


def _compiled_obstacle(model: NetworkSettings, announce: Callable[[str], None]) -> str | None:
    try:
        from signals.trainers.compiled import load_compiled_code, unsupported_reason

        unsupported = unsupported_reason(model)
        if unsupported is not None:
            return f"{UNSUPPORTED}{unsupported}"
        load_compiled_code(announce)
    except Exception as error:  # no failure of the compiler may stop a run that Keras can train
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        return f"the compiled trainer cannot be loaded: {first}"
    return None


def _keras(model: NetworkSettings, reason: str) -> TrainerChoice:
    from signals.trainers.keras_trainer import KerasTrainer, gpu_obstacle

    obstacle = gpu_obstacle(model)
    warnings = []
    if reason.startswith(UNSUPPORTED):
        recurrent_dropout_note = ", and recurrent dropout doubles that" if model.recurrent_dropout else ""
        warnings.append(
            f"Training does not use the fast path, because {reason}: on a CPU Keras takes about 5 times as long with "
            f"batches of 1024, and 30 times with batches of 32{recurrent_dropout_note}."
        )
    if obstacle:
        warnings.append(
            f"The fast kernels of the GPU (cuDNN) are not used, because {obstacle} prevents them: training takes "
            "several times as long as without that setting."
        )
    return TrainerChoice(KerasTrainer(), reason, tuple(warnings))


def _custom_trainer(name: str) -> Trainer:
    factory: Any = import_name(name, "training.trainer")
    if not all(callable(getattr(factory, method, None)) for method in ("fit", "predict", "versions")):
        raise InputError(
            f"expected training.trainer = {name!r} to name a class with fit, predict and versions; found "
            f"{type(factory).__name__}; see signals.trainers.base"
        )
    trainer: Trainer = factory()
    return trainer
