"""Diagnosis of the installation: versions, backend, hardware and stored files."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rnn_strategies.runs.workspace import default_home
from rnn_strategies.trials.trial_ledger import default_ledger
from signals.common.errors import InputError
from signals.execution.trainer_choice import choose_trainer
from signals.models.keras_backend import load_keras
from signals.models.recurrent_settings import RecurrentSettings
from signals.trainers.base import TrainingSettings
from signals.trainers.keras_trainer import gpus

__all__ = ["diagnose"]

PACKAGES = (
    "rnn-strategies",
    "keras",
    "tensorflow",
    "jax",
    "torch",
    "numba",
    "llvmlite",
    "backtrader",
    "pyfolio-reloaded",
    "pandas",
    "numpy",
)


def diagnose() -> Iterator[tuple[str, str]]:
    """Yield (name, finding) pairs, one line each."""
    yield "Python", f"{sys.version.split()[0]} at {sys.executable}"
    for name in PACKAGES:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            yield name, "not installed"
    try:
        yield "Keras backend", load_keras().backend.backend()
        yield "accelerators", ", ".join(gpus()) or "none; training runs on the CPU"
    except (InputError, ImportError, OSError) as error:
        yield "Keras backend", f"cannot be loaded: {error}"
    yield "trainer", _trainer()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield "cores", f"{cores} usable of {os.cpu_count()}"
    home = default_home()
    yield "working folder", str(home.root.resolve()) if home.root.exists() else f"{home.root} (does not exist yet)"
    networks = list(home.artifacts.glob("*/*/meta.json"))
    yield "trained networks", f"{len(networks)}, {_megabytes(home.artifacts):.1f} MB"
    yield "stored inputs", f"{_megabytes(home.root / 'inputs'):.1f} MB"
    try:
        ledger = default_ledger()
        yield "trial ledger", f"{ledger.root}, {len(ledger.trials())} trials"
    except InputError as error:
        yield "trial ledger", str(error)


def _trainer() -> str:
    """Trainer that `auto` selects for the published network; the compiled trainer is compiled if it was not before."""
    announced: list[str] = []
    began = time.perf_counter()
    chosen = choose_trainer(TrainingSettings(), RecurrentSettings(), announce=announced.append)
    name = f"{chosen.trainer.name}: {chosen.reason}"
    if chosen.trainer.name != "compiled":
        return name
    state = "compiled now and stored" if announced else "compiled before"
    return f"{name}; {state}, ready in {time.perf_counter() - began:.1f} s"


def _megabytes(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6
