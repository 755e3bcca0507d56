"""Quality of a score over all rows: AUC, rank correlation and hit rate, with intervals that allow for dependence.

With one ticker a date these are figures of a time series: whether the score was higher before better periods. With
several tickers they mix differences between dates with differences between tickers;
`signals.evaluation.cross_section_metrics` has figures within dates.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from signals.evaluation.long_run_variance import MeanInterval, mean_interval

__all__ = [
    "area_under_curve",
    "hit_rate",
    "mean_difference",
    "neutral_score",
    "outcome_over_time",
    "pooled_auc",
    "pooled_rank_correlation",
]

Values = NDArray[np.float64]


def area_under_curve(score: pd.Series, outcome: pd.Series) -> float:
    """AUC over all rows known in both, ties counted one half; NaN when all outcomes are alike."""
    known = (score.notna() & outcome.notna()).to_numpy()
    up = outcome.to_numpy()[known] == 1.0
    n_up, n_down = int(up.sum()), int((~up).sum())
    if not n_up or not n_down:
        return math.nan
    ranks = rankdata(score.to_numpy()[known])
    return float((ranks[up].sum() - n_up * (n_up + 1) / 2) / (n_up * n_down))


def pooled_auc(score: pd.Series, outcome: pd.Series, *, horizon: int) -> MeanInterval:
    """AUC over all rows, with an interval that allows for dependence within dates and between neighbouring dates.

    Parameters
    ----------
    score, outcome : Series indexed by (date, ticker)
        Score, and whether the row went up (1 or 0); rows missing in either are left out.
    horizon : int
        Decision dates that an outcome covers, `labels.horizon`.

    Returns
    -------
    MeanInterval
        All NaN when all outcomes are alike.

    Notes
    -----
    Each row's contribution to the error is that of DeLong, DeLong and Clarke-Pearson (1988). Contributions are summed
    by date, and the interval is that of the mean of these sums over dates,
    `signals.evaluation.long_run_variance.mean_interval`.
    """
    frame = pd.DataFrame({"score": score, "outcome": outcome}).dropna()
    up = frame["outcome"].to_numpy() == 1.0
    n_up, n_down = int(up.sum()), int((~up).sum())
    if not n_up or not n_down:
        return mean_interval(pd.Series(dtype="float64"), horizon=horizon)
    ranks = frame["score"].rank(method="average")
    within = frame["score"].groupby(frame["outcome"]).rank(method="average")
    # rows of the other class with a lower score, ties counted one half
    lower = (ranks - within).to_numpy()
    value = np.where(up, lower / n_down, 1.0 - lower / n_up)
    area = float(value[up].mean())
    share = (value - area) / np.where(up, n_up, n_down)
    return _around(area, share, frame, horizon)


def pooled_rank_correlation(score: pd.Series, forward_return: pd.Series, *, horizon: int) -> MeanInterval:
    """Spearman correlation of score and outcome over all rows, with an interval as that of `pooled_auc`.

    Parameters
    ----------
    score, forward_return : Series indexed by (date, ticker)
        Rows missing in either are left out.
    horizon : int
        Decision dates that an outcome covers, `labels.horizon`.

    Returns
    -------
    MeanInterval
        All NaN with fewer than three rows, or without any variation in one of the two.

    Notes
    -----
    Ranks are scaled to (0, 1) and ties share theirs. A row's contribution to the error is the influence function of
    Pearson's correlation of the ranks (Devlin, Gnanadesikan and Kettenring 1975) and that of the estimation of the
    ranks themselves, which is the mean over all rows of what the row adds to their ranks (Hoeffding 1948).
    """
    frame = pd.DataFrame({"score": score, "outcome": forward_return}).dropna()
    n = len(frame)
    if n < 3:
        return mean_interval(pd.Series(dtype="float64"), horizon=horizon)
    u, v = (_centred_ranks(frame[name].to_numpy(dtype=np.float64)) for name in ("score", "outcome"))
    uu, vv = float(u @ u) / n, float(v @ v) / n
    if not (uu > 0 and vv > 0):
        return mean_interval(pd.Series(dtype="float64"), horizon=horizon)
    rho = float(u @ v) / n / math.sqrt(uu * vv)
    product = u * v + _added_to_ranks(u, v) + _added_to_ranks(v, u)
    # without ties the variances of ranks are fixed, so that only their product has an error
    share = (product - product.mean()) / math.sqrt(uu * vv) / n
    return _around(rho, share, frame, horizon)


def hit_rate(
    score: pd.Series, forward_return: pd.Series, *, neutral: float, horizon: int
) -> tuple[MeanInterval, float]:
    """Share of rows whose score lies on the side of its neutral value on which the outcome lies of zero.

    Parameters
    ----------
    score, forward_return : Series indexed by (date, ticker)
        Rows missing in either are left out, and so are scores at the neutral value and returns of zero, which name no
        direction.
    neutral : float
        Score that expects neither up nor down, see `neutral_score`.
    horizon : int
        Decision dates that an outcome covers, `labels.horizon`.

    Returns
    -------
    rate : MeanInterval
        Hits over rows, with an interval as that of `pooled_auc`.
    chance : float
        Expected rate of a score with the same shares of up and down that is independent of the outcome (Pesaran and
        Timmermann 1992); NaN without rows.
    """
    frame = pd.DataFrame({"score": score - neutral, "outcome": forward_return}).dropna()
    frame = frame[(frame["score"] != 0) & (frame["outcome"] != 0)]
    if frame.empty:
        return mean_interval(pd.Series(dtype="float64"), horizon=horizon), math.nan
    predicted_up, up = (frame["score"] > 0).to_numpy(), (frame["outcome"] > 0).to_numpy()
    hit = predicted_up == up
    rate, p, q = float(hit.mean()), float(predicted_up.mean()), float(up.mean())
    return _around(rate, (hit - rate) / len(hit), frame, horizon), p * q + (1 - p) * (1 - q)


def mean_difference(values: pd.Series, upper: pd.Series, lower: pd.Series, *, horizon: int) -> MeanInterval:
    """Mean of some rows less that of others, with an interval as that of `pooled_auc`.

    Parameters
    ----------
    values : Series indexed by (date, ticker)
        Without NaN.
    upper, lower : Series of bool, same index
        The rows of each mean; no row is in both.
    horizon : int
        Decision dates that an outcome covers, `labels.horizon`.
    """
    if not (upper.any() and lower.any()):
        return mean_interval(pd.Series(dtype="float64"), horizon=horizon)
    high, low = float(values[upper].mean()), float(values[lower].mean())
    share = (values - high).where(upper, 0.0) / int(upper.sum()) - (values - low).where(lower, 0.0) / int(lower.sum())
    return _around(high - low, share.to_numpy(dtype=np.float64), values.to_frame(), horizon)


def outcome_over_time(label: pd.Series, forward_return: pd.Series) -> pd.Series:
    """Turn labels of rows that are alone on their date into binary outcomes (up or down).

    Parameters
    ----------
    label, forward_return : Series indexed by (date, ticker)
        Labels of 0 and 1 stay; any other kind has no median within the date, and counts by the sign of the forward
        return.

    Returns
    -------
    Series
        0, 1 or NaN on the same index.
    """
    if set(label.dropna().unique()) <= {0.0, 1.0}:
        return label
    return (forward_return > 0).astype(np.float64).where(forward_return.notna())


def neutral_score(score: pd.Series) -> float:
    """Score that expects neither up nor down: 0.5 where all scores lie within 0 and 1, as probabilities do, else 0.

    >>> neutral_score(pd.Series([0.4, 0.7])), neutral_score(pd.Series([-0.01, 0.02]))
    (0.5, 0.0)
    """
    return 0.5 if bool(score.between(0.0, 1.0).all()) and len(score) else 0.0


def _around(value: float, share: Values, frame: pd.DataFrame, horizon: int) -> MeanInterval:
    """Interval around a figure, of the rows' contributions to its error."""
    by_date = pd.Series(share, index=frame.index).groupby(level="date").sum()
    errors = mean_interval(by_date * len(by_date), horizon=horizon)
    half = (errors.high - errors.low) / 2
    return errors._replace(mean=value, low=value - half, high=value + half)


def _centred_ranks(values: Values) -> Values:
    """Average ranks, spread evenly around 0 from -1/2 to 1/2."""
    return np.asarray((rankdata(values) - 0.5) / len(values) - 0.5)


def _added_to_ranks(u: Values, v: Values) -> Values:
    """Mean over all rows of v times whether the row's u is at most theirs, ties counted one half."""
    order = np.argsort(u, kind="stable")
    total = np.cumsum(v[order][::-1])[::-1]
    _, first, inverse, count = np.unique(u[order], return_index=True, return_inverse=True, return_counts=True)
    padded = np.r_[total, 0.0]
    at_least, above = padded[first], padded[first + count]
    mean_by_row = np.empty_like(u)
    mean_by_row[order] = (0.5 * (at_least + above))[inverse] / len(u)
    return mean_by_row
