"""Samples as arrays for the compiled code: contiguous arrays of fixed types, with all indices checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signals.common.errors import InputError
from signals.dataset.windows import Samples
from signals.models.network import Network

__all__ = ["Rows", "plain_array"]


@dataclass(frozen=True, slots=True)
class Rows:
    """Arrays of `Windows` and `Samples` that fit a network."""

    panel: NDArray[np.float32]
    ticker: NDArray[np.int32]
    end: NDArray[np.int32]
    category: NDArray[np.int32]
    month: NDArray[np.int32]
    label: NDArray[np.float32]  # the values of a row are adjacent

    @classmethod
    def of(cls, network: Network, samples: Samples, *, labelled: bool) -> Rows:
        """Check samples and convert their arrays.

        Raises
        ------
        InputError
            When samples do not fit the network, or an index is out of bounds; the compiled code does not check again.
        """
        _check(network, samples, labelled=labelled)
        windows = samples.windows
        return cls(
            plain_array(windows.panel, np.float32),
            plain_array(windows.ticker, np.int32),
            plain_array(windows.end, np.int32),
            plain_array(samples.category, np.int32),
            plain_array(samples.month, np.int32),
            plain_array(samples.label, np.float32).reshape(-1),
        )


def plain_array(array: NDArray[Any], kind: type) -> NDArray[Any]:
    """Convert to a contiguous, writable array without memory map; numba would compile again for any other type."""
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
            f"found {windows.lookback}, {features} and lengths {sorted(lengths)}; give samples made for this network"
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
                f"expected {network.target.values} numbers per label; found labels of shape {samples.label.shape}; "
                "give samples made for this network"
            )
    for name, values, low, high in bounds:
        # not `any(values < low)`, because NaN must be out of bounds, too
        if len(values) and not (values.min() >= low and values.max() <= high):
            raise InputError(
                f"expected {name} from {low} to {high}; found {values.min()} to {values.max()}; "
                "give samples made for this network"
            )
    if labelled and network.target.kind == "classes" and (samples.label % 1).any():
        raise InputError("expected whole numbers as classes; found others; give samples made for this network")
