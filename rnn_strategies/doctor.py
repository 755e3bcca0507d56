"""What is installed, what it runs on, and what is kept."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rnn_strategies.home import default_home
from signals.trainers.keras_trainer import load_keras

__all__ = ["diagnose"]

PACKAGES = (
    "rnn-strategies",
    "keras",
    "tensorflow",
    "jax",
    "torch",
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
        backend = load_keras().backend.backend()
        yield "Keras backend", backend
        yield "accelerators", _accelerators(backend)
    except (ImportError, OSError) as error:
        yield "Keras backend", f"cannot be loaded: {error}"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield "cores", f"{cores} usable of {os.cpu_count()}"
    home = default_home()
    yield "working folder", str(home.root.resolve()) if home.root.exists() else f"{home.root} (not made yet)"
    networks = list(home.artifacts.glob("*/*/meta.json"))
    yield "trained networks", f"{len(networks)}, {_megabytes(home.artifacts):.1f} MB"
    yield "stored inputs", f"{_megabytes(home.root / 'inputs'):.1f} MB"


def _accelerators(backend: str) -> str:
    if backend == "torch":
        torch = import_module("torch")  # an extra, present when it is the backend
        return f"{torch.cuda.device_count()} CUDA"
    import keras

    found = keras.distribution.list_devices("gpu")
    return ", ".join(found) if found else "none; training runs on the CPU"


def _megabytes(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6
