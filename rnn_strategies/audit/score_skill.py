"""Skill of a score within dates, over all rows together, and beyond naive predictors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.evaluation.cross_section_metrics import auc_by_date, rank_ic_by_date
from signals.evaluation.long_run_variance import TOO_FEW_DATES, MeanInterval, mean_interval
from signals.evaluation.pooled_metrics import pooled_auc

__all__ = [
    "MEASURES",
    "Skill",
    "beyond",
    "measure",
    "pooled_beyond",
    "shown",
]

# Name of each measure, and its value without skill.
MEASURES = {"auc": 0.5, "rank_ic": 0.0, "pooled": 0.5}
# Rows per coefficient that a date needs for a regression of its own.
MIN_ROWS_PER_COEFFICIENT = 5

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Skill:
    """Three measures of one score, each with its 95 % interval.

    Parameters
    ----------
    auc, rank_ic : MeanInterval
        Means over dates of the AUC and the rank information coefficient within each date.
    pooled : MeanInterval
        AUC over all rows together, which mixes skill among tickers with skill among dates.
    auc_by_date, rank_ic_by_date : Series indexed by date
        Values of each date, whose means are the first two.
    """

    auc: MeanInterval
    rank_ic: MeanInterval
    pooled: MeanInterval
    auc_by_date: pd.Series
    rank_ic_by_date: pd.Series

    def __str__(self) -> str:
        parts = (
            ("per-date AUC", self.auc, ".3f"),
            ("rank IC", self.rank_ic, "+.3f"),
            ("pooled AUC", self.pooled, ".3f"),
        )
        return ", ".join(f"{name} {shown(mean, form)}" for name, mean, form in parts)


def shown(mean: MeanInterval, form: str = ".3f") -> str:
    """Format a mean with its interval, or with the reason why it has none.

    >>> shown(MeanInterval(0.51, float("nan"), float("nan"), float("nan"), 0))
    '0.510 (too few independent dates)'
    """
    if math.isnan(mean.mean):
        return "unknown"
    if not mean.is_known:
        return f"{mean.mean:{form}} ({TOO_FEW_DATES})"
    return f"{mean.mean:{form}} ({mean.low:{form}} to {mean.high:{form}})"


def measure(score: pd.Series, outcome: pd.Series, forward: pd.Series, *, horizon: int) -> Skill:
    """Measure the skill of a score.

    Parameters
    ----------
    score, outcome, forward : Series indexed by (date, ticker)
        Score, binary outcome (1 or 0, NaN for neither), and forward return.
    horizon : int
        Decision dates that an outcome covers, `labels.horizon`.
    """
    auc, rank_ic = auc_by_date(score, outcome), rank_ic_by_date(score, forward)
    return Skill(
        mean_interval(auc, horizon=horizon),
        mean_interval(rank_ic, horizon=horizon),
        pooled_auc(score, outcome, horizon=horizon),
        auc,
        rank_ic,
    )


def beyond(score: pd.Series, predictors: pd.DataFrame, fold: pd.Series) -> tuple[pd.Series, float]:
    """Residual of a score on other predictors, in ranks within each date.

    Parameters
    ----------
    score : Series indexed by (date, ticker)
        Score, sorted by date.
    predictors : DataFrame, same index
        Predictors whose contribution is removed; NaN is treated as the middle rank.
    fold : Series, same index
        Number of the fold that computed the score.

    Returns
    -------
    residual : Series
        Ranks of the score within the date minus their least-squares fit on the ranks of the predictors. A date with
        fewer than five rows per coefficient uses the coefficients of all dates of its fold.
    explained : float
        Fraction of the variance of the ranks of the score that is fitted, over all rows; NaN without variance.
    """
    dates = score.index.get_level_values("date")
    columns = [_ranks(score, dates), *(_ranks(predictors[name], dates) for name in predictors)]
    y, X = columns[0], np.stack(columns[1:], axis=1)
    residual = np.empty_like(y)
    codes = pd.factorize(dates)[0]
    cuts = np.flatnonzero(np.diff(codes)) + 1
    spans = [slice(a, b) for a, b in zip([0, *cuts.tolist()], [*cuts.tolist(), len(y)], strict=True)]
    min_rows = MIN_ROWS_PER_COEFFICIENT * (X.shape[1] + 1)
    fold_weights: dict[int, Values] = {}
    numbers = fold.to_numpy()
    for span in spans:
        if span.stop - span.start >= min_rows:
            weights = _fit(X[span], y[span])
        else:
            number = int(numbers[span.start])
            if number not in fold_weights:
                fold_weights[number] = _fit(X[numbers == number], y[numbers == number])
            weights = fold_weights[number]
        residual[span] = y[span] - X[span] @ weights
    whole = float(y @ y)
    explained = 1.0 - float(residual @ residual) / whole if whole > 0 else math.nan
    return pd.Series(residual, index=score.index), explained


def pooled_beyond(score: pd.Series, predictors: pd.DataFrame, fold: pd.Series) -> pd.Series:
    """Residual of a score on other predictors, in ranks over all rows of its fold."""
    numbers = fold.to_numpy()
    y, X = _ranks(score, numbers), np.stack([_ranks(predictors[name], numbers) for name in predictors], axis=1)
    residual = np.empty_like(y)
    for number in np.unique(numbers).tolist():
        rows = numbers == number
        residual[rows] = y[rows] - X[rows] @ _fit(X[rows], y[rows])
    return pd.Series(residual, index=score.index)


def _ranks(values: pd.Series, groups: Sequence[object] | NDArray[np.generic] | pd.Index) -> Values:
    """Ranks within groups, scaled to the range from -1/2 to 1/2; 0 where the value is NaN."""
    grouped = values.groupby(np.asarray(groups))
    rank, count = grouped.rank(method="average"), grouped.transform("count")
    return np.asarray(((rank - 0.5) / count - 0.5).fillna(0.0), dtype=np.float64)


def _fit(X: Values, y: Values) -> Values:
    # ranks have mean 0, so no constant is needed; constant columns get the weight 0
    return np.asarray(np.linalg.lstsq(X, y, rcond=None)[0], dtype=np.float64)
