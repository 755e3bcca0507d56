"""Compiled trainer; importing this package imports neither numba nor Keras."""

from __future__ import annotations

from signals.trainers.compiled.trainer import CompiledTrainer, load_compiled_code, unsupported_reason

__all__ = ["CompiledTrainer", "load_compiled_code", "unsupported_reason"]
