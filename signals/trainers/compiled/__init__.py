"""The compiled trainer; importing this package imports neither numba nor Keras."""

from __future__ import annotations

from signals.trainers.compiled.trainer import CompiledTrainer, get_ready, why_not

__all__ = ["CompiledTrainer", "get_ready", "why_not"]
