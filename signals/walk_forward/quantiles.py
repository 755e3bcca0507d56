"""Predicted quantiles of labels: ordering, table, and pinball loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.dataset.dataset import Dataset
from signals.dataset.fold_data import FoldData
from signals.trainers.training_loop import mean_loss

__all__ = ["pinball_losses", "quantile_frame", "split_quantiles"]

Values = NDArray[np.float64]


def split_quantiles(y_pred: Values) -> tuple[Values, Values | None]:
    """Split the predictions of each seed into scores and quantiles.

    Parameters
    ----------
    y_pred : ndarray, shape (seeds, n) or (seeds, n, levels)
        Scores, or quantiles of an odd number of levels.

    Returns
    -------
    scores : ndarray, shape (seeds, n)
        The scores; for quantiles, the middle one.
    quantiles : ndarray, shape (seeds, n, levels), or None
        Ascending. Quantiles that cross are sorted, which never increases their pinball loss.

    References
    ----------
    Chernozhukov, Fernández-Val and Galichon (2010), "Quantile and Probability Curves Without Crossing", Econometrica.

    >>> split_quantiles(np.array([[[0.3, 0.1, 0.2]]]))[1].tolist()
    [[[0.1, 0.2, 0.3]]]
    """
    if y_pred.ndim == 2:
        return y_pred, None
    quantiles = np.sort(y_pred, axis=2)
    return np.ascontiguousarray(quantiles[:, :, quantiles.shape[2] // 2]), quantiles


def quantile_frame(
    date: NDArray[np.datetime64], ticker: NDArray[Any], quantiles: Values, levels: Sequence[float]
) -> pd.DataFrame:
    """Table `date ticker level value`, sorted, of the mean over seeds of quantiles (seeds, n, levels)."""
    values = quantiles.mean(axis=0)
    frame = pd.DataFrame(
        {
            "date": np.repeat(date.astype("datetime64[ns]"), len(levels)),
            "ticker": pd.Index(np.repeat(ticker, len(levels)), dtype="str"),
            "level": np.tile(np.asarray(levels, dtype=np.float64), len(date)),
            "value": values.ravel(),
        }
    )
    return frame.sort_values(["date", "ticker", "level"], ignore_index=True)


def pinball_losses(data: Dataset, fold: FoldData, quantiles: Values) -> list[dict[str, float]]:
    """Pinball loss of each seed's quantiles over the test rows of a fold, with the losses of two references.

    Parameters
    ----------
    data : Dataset
        Labels.
    fold : FoldData
        Rows.
    quantiles : ndarray, shape (seeds, n, levels)
        In the unit of the labels.

    Returns
    -------
    list of dict, one per seed
        `pinball`: loss of the seed, mean over rows and levels (Koenker and Bassett 1978). `pinball_ensemble`: loss of
        the mean over seeds. `pinball_empirical`: loss of the quantiles of the training slice's labels, the same for
        every row. Only rows whose label is known by the end of the data count; NaN without any.
    """
    rows = (fold.test_ticker, fold.test_date)
    known = (data.labels.end[rows] >= 0) & np.isfinite(data.labels.label[rows])
    label = data.labels.label[rows][known]
    training_labels = data.labels.label[fold.training_ticker, fold.training_date]

    def loss(y_pred: Values) -> float:
        return mean_loss(y_pred, label, data.target) if len(label) and np.isfinite(y_pred).all() else float("nan")

    empirical = (
        np.quantile(training_labels, data.target.levels)
        if len(training_labels)
        else np.full(quantiles.shape[2], np.nan)
    )
    shared = {
        "pinball_ensemble": loss(quantiles.mean(axis=0)[known]),
        "pinball_empirical": loss(np.tile(empirical, (len(label), 1))),
    }
    return [{"pinball": loss(seed_quantiles[known]), **shared} for seed_quantiles in quantiles]
