"""Quality of a score date by date: rank information coefficient, AUC and decile spread.

Outcomes of one date share that date's market return, so observations are dates, not rows: a pooled AUC over rows
mixes differences between dates with differences between stocks. All figures are computed within a date;
`signals.evaluation.long_run_variance` has the interval of their mean over dates.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = [
    "auc_by_date",
    "binary_outcome",
    "decile_spread_by_date",
    "rank_ic_by_date",
]


def _ranks_within(dates: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average ranks (from 1) of `values` within each date, ties shared; `dates` need not be sorted."""
    ranks: NDArray[np.float64] = pd.Series(values).groupby(dates).rank(method="average").to_numpy()
    return ranks


def _aligned(score: pd.Series, truth: pd.Series) -> tuple[pd.DatetimeIndex, NDArray[np.int64], pd.DataFrame]:
    frame = pd.DataFrame({"score": score, "truth": truth}).dropna()
    codes, dates = pd.factorize(frame.index.get_level_values("date"), sort=True)
    return pd.DatetimeIndex(dates, name="date"), codes, frame


def rank_ic_by_date(score: pd.Series, forward_return: pd.Series) -> pd.Series:
    """Spearman correlation of score and realised return across the tickers of each date.

    Parameters
    ----------
    score, forward_return : Series indexed by (date, ticker)
        Rows missing in either are left out.

    Returns
    -------
    Series indexed by date
        NaN on a date with fewer than three rows or without any variation in one of the two.
    """
    dates, codes, frame = _aligned(score, forward_return)
    n = len(dates)
    count = np.bincount(codes, minlength=n)
    x = _ranks_within(codes, frame["score"].to_numpy())
    y = _ranks_within(codes, frame["truth"].to_numpy())
    with np.errstate(invalid="ignore", divide="ignore"):
        x = x - (np.bincount(codes, x, n) / count)[codes]
        y = y - (np.bincount(codes, y, n) / count)[codes]
        spread = np.bincount(codes, x * x, n) * np.bincount(codes, y * y, n)
        values = np.where((count >= 3) & (spread > 0), np.bincount(codes, x * y, n) / np.sqrt(spread), np.nan)
    return pd.Series(values, index=dates, name="rank_ic")


def decile_spread_by_date(score: pd.Series, forward_return: pd.Series, *, groups: int = 10) -> pd.Series:
    """Mean realised return of the highest-scored tenth of each date less that of the lowest, before costs.

    Parameters
    ----------
    score, forward_return : Series indexed by (date, ticker)
        Rows missing in either are left out.
    groups : int
        Number of groups, tenths by default: the highest and the lowest hold `count // groups` tickers each, equally
        weighted.

    Returns
    -------
    Series indexed by date
        Simple return over the horizon of `forward_return`; NaN on a date with fewer rows than groups or without any
        variation in the score.

    Notes
    -----
    Tickers that tie at the edge of a group share its remaining places, so the order of rows does not matter.
    """
    dates, codes, frame = _aligned(score, forward_return)
    n = len(dates)
    count = np.bincount(codes, minlength=n)
    size = (count // groups)[codes]
    scored = frame["score"].groupby(codes)
    first, last = scored.rank(method="min").to_numpy(), scored.rank(method="max").to_numpy()
    tied = last - first + 1
    low = np.clip(size - (first - 1), 0, tied) / tied
    high = np.clip(size - (count[codes] - last), 0, tied) / tied
    # one difference a row, so that a constant score gives exactly zero
    weighted_return = np.bincount(codes, (high - low) * frame["truth"].to_numpy(), n)
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = weighted_return / (count // groups)
    varied = np.bincount(codes, tied < count[codes], n) > 0
    return pd.Series(np.where(varied & (count >= groups), spread, np.nan), index=dates, name="decile_spread")


def auc_by_date(score: pd.Series, label: pd.Series) -> pd.Series:
    """Area under the ROC curve of each date: the probability that an up ticker scores above a down ticker.

    Parameters
    ----------
    score, label : Series indexed by (date, ticker)
        `label` is 0 or 1; rows missing in either are left out.

    Returns
    -------
    Series indexed by date
        NaN on a date whose labels are all alike.

    Notes
    -----
    The Mann-Whitney form with ties counted one half (Hanley and McNeil 1982).
    """
    dates, codes, frame = _aligned(score, label)
    n = len(dates)
    truth = frame["truth"].to_numpy()
    ranks = _ranks_within(codes, frame["score"].to_numpy())
    ups = np.bincount(codes, truth, n)
    downs = np.bincount(codes, 1.0 - truth, n)
    with np.errstate(invalid="ignore", divide="ignore"):
        area = (np.bincount(codes, ranks * truth, n) - ups * (ups + 1) / 2) / (ups * downs)
    return pd.Series(np.where((ups > 0) & (downs > 0), area, np.nan), index=dates, name="auc")


def binary_outcome(label: pd.Series) -> pd.Series:
    """Turn labels of any kind into binary outcomes (up or down), as an AUC requires.

    Parameters
    ----------
    label : Series indexed by (date, ticker)
        0 and 1 stay; of thirds (0, 1, 2) the highest is up, the lowest down and the middle left out; a number is up
        when it lies above the median of its date.

    Returns
    -------
    Series
        0, 1 or NaN on the same index.

    >>> binary_outcome(pd.Series([0.0, 1.0, 2.0])).tolist()
    [0.0, nan, 1.0]
    """
    values = set(label.dropna().unique())
    if values <= {0.0, 1.0}:
        return label
    if values <= {0.0, 1.0, 2.0}:
        return label.map({0.0: 0.0, 2.0: 1.0})
    median = label.groupby(level="date").transform("median")
    return (label > median).astype(np.float64).where(label.notna())
