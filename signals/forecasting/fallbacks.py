"""Replacement, by persistence or the mean, of forecasts that a baseline cannot make."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from signals.forecasting.fold_history import FoldHistory, Values
from signals.forecasting.series_table import LARGEST
from signals.forecasting.simple_rules import in_sample_mean, persistence

__all__ = ["reason_of", "stand_in", "usable"]


def stand_in(history: FoldHistory) -> tuple[str, Values]:
    """Name and forecasts of the rule that replaces forecasts a baseline cannot make.

    The rule is persistence; for returns, the mean of the training and validation rows.
    """
    name, fit = ("mean", in_sample_mean) if history.returns else ("persistence", persistence)
    return name, fit(history, 0).values


def usable(values: Values) -> NDArray[np.bool_]:
    """Return a mask of the forecasts that are finite and whose squares are finite."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.abs(values) <= LARGEST)


def reason_of(error: Exception) -> str:
    """Short description of an exception, at most about 120 characters."""
    text = " ".join(str(error).split()).rstrip(".")
    return f"{type(error).__name__}: {text[:117] + '…' if len(text) > 118 else text}" if text else type(error).__name__
