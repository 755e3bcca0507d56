"""Description of a network: the protocol of its settings, the sizes of its data, and its target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from signals.dataset.labels import PROBABILITY, Target
from signals.dataset.windows import WindowSettings

__all__ = ["Network", "NetworkSettings"]


class NetworkSettings(WindowSettings, Protocol):
    """Settings that every kind of network in this package has."""

    @property
    def masked(self) -> bool:
        """Whether windows may have unknown steps."""
        ...

    @property
    def unknown_category_rate(self) -> float:
        """Share of ticker ids replaced by "unknown" in training."""
        ...

    @property
    def ticker_embedding_dim(self) -> int:
        """Width of the ticker embedding; 0 for none."""
        ...

    @property
    def month_onehot(self) -> bool:
        """Whether the month enters as 12 one-hot inputs."""
        ...

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the other categoricals for which the network has an input."""
        ...

    @property
    def sequence_loss(self) -> bool:
        """Whether the loss covers the outputs at every step of the window."""
        ...

    @property
    def teacher_steps(self) -> str | None:
        """Steps whose true outputs are fed back in training: `"window"`, `"horizon"`, or None for no feedback."""
        ...

    @property
    def teacher_forcing_ratio(self) -> float:
        """Share of the fed-back outputs that are the true ones in training; in prediction there are none."""
        ...

    @property
    def recurrent_dropout(self) -> float:
        """Dropout rate of the state from step to step."""
        ...


@dataclass(frozen=True, slots=True)
class Network:
    """Everything that determines the shapes of a network's weights, and its target.

    Parameters
    ----------
    model : NetworkSettings
        Sizes and parts.
    n_categories : int
        Rows of the ticker embedding, the unknown ticker included.
    n_features : int
        Features per step.
    target : Target
        Output and loss: cross-entropy for a probability or classes, `training.loss` for values, pinball loss for
        quantiles.
    group_sizes : mapping of str to int
        Rows of every other categorical's embedding, the unknown category 0 included.
    """

    model: NetworkSettings
    n_categories: int
    n_features: int = 1
    target: Target = PROBABILITY
    group_sizes: Mapping[str, int] = field(default_factory=dict)
