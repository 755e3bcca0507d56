"""Samples as the compiled code takes them: one type of array, and every index looked at before it is used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signals.common.errors import InputError
from signals.dataset.windows import Samples
from signals.models.network import Network

__all__ = ["Rows", "plain"]


@dataclass(frozen=True, slots=True)
class Rows:
    """Arrays of `Windows` and `Samples` that fit a network."""

    panel: NDArray[np.float32]
    ticker: NDArray[np.int32]
    end: NDArray[np.int32]
    category: NDArray[np.int32]
    month: NDArray[np.int32]
    label: NDArray[np.float32]  # the numbers of a row one behind the other

    @classmethod
    def of(cls, network: Network, samples: Samples, *, labelled: bool) -> Rows:
        """Take samples over.

        Raises
        ------
        InputError
            When they are not the network's, or point outside its arrays: compiled code does not ask again.
        """
        _check(network, samples, labelled=labelled)
        windows = samples.windows
        return cls(
            plain(windows.panel, np.float32),
            plain(windows.ticker, np.int32),
            plain(windows.end, np.int32),
            plain(samples.category, np.int32),
            plain(samples.month, np.int32),
            plain(samples.label, np.float32).reshape(-1),
        )


def plain(array: NDArray[Any], kind: type) -> NDArray[Any]:
    """Contiguous, writable, no memory map: to numba anything else is another type, compiled anew."""
    return np.require(array, kind, ["C", "W", "E"])


def _check(network: Network, samples: Samples, *, labelled: bool) -> None:
    windows, model = samples.windows, network.model
    tickers, dates, features = windows.panel.shape
    lengths = {len(windows.ticker), len(windows.end), len(samples.month), len(samples)}
    if labelled:
        lengths.add(len(samples.label))
    if (features, windows.lookback) != (network.n_features, model.lookback) or len(lengths) > 1:
        raise InputError(
            f"expected windows of {model.lookback} steps with {network.n_features} features, and arrays of one length; "
            f"found {windows.lookback}, {features} and lengths {sorted(lengths)}; give the network its own samples"
        )
    bounds: list[tuple[str, NDArray[Any], Any, Any]] = [
        ("rows of the panel", windows.ticker, 0, tickers - 1),
        ("last dates of windows", windows.end, model.lookback - 1, dates - 1),
    ]
    if model.ticker_embedding_dim:
        bounds.append(("ticker ids", samples.category, 0, network.n_categories - 1))
    if model.month_onehot:
        bounds.append(("months", samples.month, 0, 11))
    if labelled:
        most = float(np.finfo(np.float32).max)
        among = {"probability": (0, 1), "classes": (0, network.target.outputs - 1)}
        bounds.append(("labels", samples.label, *among.get(network.target.kind, (-most, most))))
        if samples.label.size != len(samples) * network.target.values:
            raise InputError(
                f"expected {network.target.values} numbers a label; found labels of shape {samples.label.shape}; give "
                "the network its own samples"
            )
    for name, values, low, high in bounds:
        # not `any(values < low)`: a label that is no number is outside, too
        if len(values) and not (values.min() >= low and values.max() <= high):
            raise InputError(
                f"expected {name} from {low} to {high}; found {values.min()} to {values.max()}; "
                "give the network its own samples"
            )
    if labelled and network.target.kind == "classes" and (samples.label % 1).any():
        raise InputError("expected whole numbers as classes; found others; give the network its own samples")
