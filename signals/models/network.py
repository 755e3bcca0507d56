"""What describes a network: its settings as a protocol, sizes of the data, and its target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from signals.dataset.labels import PROBABILITY, Target
from signals.dataset.windows import WindowSettings

__all__ = ["Network", "NetworkSettings"]


class NetworkSettings(WindowSettings, Protocol):
    """What the settings of a network of this project say about it, whatever its kind."""

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
        """Names of other categoricals it has an input for."""
        ...

    @property
    def sequence_loss(self) -> bool:
        """Whether it is trained on outputs at every step of the window."""
        ...

    @property
    def teacher_steps(self) -> str | None:
        """What true outputs are fed back in training: of the `"window"`'s steps, of the `"horizon"`'s, or None."""
        ...

    @property
    def teacher_forcing_ratio(self) -> float:
        """Share of the fed-back outputs that are the true ones in training; never in prediction."""
        ...

    @property
    def recurrent_dropout(self) -> float:
        """Share of the state that is dropped from step to step in training."""
        ...


@dataclass(frozen=True, slots=True)
class Network:
    """Everything that decides the shape of a network's weights and what it is trained to say.

    Parameters
    ----------
    model : NetworkSettings
        Sizes.
    n_categories : int
        Rows of the ticker embedding, the unknown ticker included.
    n_features : int
        Features per step.
    target : Target
        Output and loss: cross-entropy for a probability or classes, mean squared error (or what `training.loss` says)
        for values, pinball loss for quantiles.
    group_sizes : mapping of str to int
        Rows of every other categorical's table, the unknown one (0) included.
    """

    model: NetworkSettings
    n_categories: int
    n_features: int = 1
    target: Target = PROBABILITY
    group_sizes: Mapping[str, int] = field(default_factory=dict)
