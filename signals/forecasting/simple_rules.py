"""Baselines without a fitted model: persistence, drift, mean, sign of the last change and seasonal rules."""

from __future__ import annotations

import numpy as np

from signals.common.errors import InputError
from signals.forecasting.fold_history import Fit, FoldHistory, Values

__all__ = ["drift", "in_sample_mean", "last_sign", "persistence", "seasonal", "seasonal_mean"]


def persistence(history: FoldHistory, number: int) -> Fit:
    """Last known value, for every step ahead."""
    return Fit(_ahead(history, history.problem.last(history.fold.origins)), 0)


def drift(history: FoldHistory, number: int) -> Fit:
    """Last value plus the mean change per row in the training and validation rows."""
    known = history.values()
    slope = (known[-1] - known[0]) / (len(known) - 1)
    steps = np.arange(1, history.problem.horizon + 1)[:, None]
    return Fit(_ahead(history, history.problem.last(history.fold.origins)) + steps * slope, slope.size)


def in_sample_mean(history: FoldHistory, number: int) -> Fit:
    """Mean of the training and validation rows, for every step ahead."""
    mean = history.values().mean(axis=0)
    return Fit(_ahead(history, np.broadcast_to(mean, (len(history.fold.origins), mean.size))), mean.size)


def last_sign(history: FoldHistory, number: int) -> Fit:
    """Forecast a change of mean absolute size in the direction of the last change."""
    origins = np.asarray(history.fold.origins)
    sign = np.sign(history.problem.last(origins) - history.start(np.maximum(origins - 1, 0)))
    size = np.abs(history.moves(history.fold.both)).mean(axis=0)
    return Fit(_ahead(history, history.start(origins)) + sign[:, None, :] * size, size.size)


def seasonal(history: FoldHistory, period: int) -> Fit:
    """Last known value of the same season (seasonal persistence)."""
    steps = np.arange(1, history.problem.horizon + 1)
    rows = np.asarray(history.fold.origins)[:, None] + steps - period * -(-steps // period)
    if rows.min() < 0:
        raise InputError(f"expected a period shorter than the history; found seasonal({period}); shorten it")
    return Fit(history.problem.values[rows], 0)


def seasonal_mean(history: FoldHistory, period: int) -> Fit:
    """Mean of the same season over the training and validation rows."""
    rows, known = np.asarray(history.rows), history.values()
    if len(rows) < period:
        raise InputError(
            f"expected a period no longer than the {len(rows)} training and validation rows; found "
            f"seasonal_mean({period}); shorten it"
        )
    means = np.stack([known[rows % period == season].mean(axis=0) for season in range(period)])
    ahead = np.asarray(history.fold.origins)[:, None] + np.arange(1, history.problem.horizon + 1)
    return Fit(means[ahead % period], means.size)


def _ahead(history: FoldHistory, values: Values) -> Values:
    """Repeat the value of each origin for every step ahead."""
    return np.repeat(values[:, None, :], history.problem.horizon, axis=1)
