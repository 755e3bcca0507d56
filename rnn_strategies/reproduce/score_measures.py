"""Skill of cross-sectional scores by calendar year and seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from signals.evaluation.cross_section_metrics import auc_by_date, decile_spread_by_date, rank_ic_by_date
from signals.evaluation.long_run_variance import mean_interval

__all__ = ["ALL_YEARS", "MEASURES", "dead_rows_auc", "measure_scores", "pooled_auc"]

MEASURES = ("auc", "rank_ic", "decile_spread")
ALL_YEARS = "all"


def measure_scores(
    scores: Mapping[int, pd.Series], forward_return: pd.Series, *, horizon: int
) -> dict[str, dict[str, Any]]:
    """Measure scores per calendar year and over all years.

    Parameters
    ----------
    scores : mapping of int to Series indexed by (date, ticker)
        One series per seed, all on the same rows.
    forward_return : Series indexed by (date, ticker)
        Forward return of the rows; rows without one are left out.
    horizon : int
        Decision dates that a return covers, `labels.horizon`.

    Returns
    -------
    dict of str to dict
        By year, and `"all"`: `dates`, `rows`, and for each of `MEASURES` a list `<measure>_by_seed` and, of the mean
        score over seeds, `<measure>` and `<measure>_t`, the standard errors by which its mean over dates exceeds zero
        (a half for the AUC), with `<measure>_df`, the degrees of freedom of Student's t that it is compared with:
        NaN and 0 where there are too few independent dates, see `signals.evaluation.long_run_variance.mean_interval`.

    Notes
    -----
    Each measure is computed within a date and averaged over dates. AUC: probability that a ticker above the median
    return of its date has a higher score than one below it, whatever the training target. Decile spread: mean return
    of the tenth with the highest scores minus that of the tenth with the lowest, per period, before costs.
    """
    median = forward_return.groupby(level="date").transform("median")
    above = (forward_return > median).astype(np.float64).where(forward_return.notna())
    together = pd.concat(scores.values(), axis=1).mean(axis=1)
    by_seed = {seed: _by_date(score, forward_return, above) for seed, score in scores.items()}
    ensemble = _by_date(together, forward_return, above)
    rows = forward_return.reindex(together.index).notna().groupby(level="date").sum()
    years = pd.DatetimeIndex(ensemble.index).year
    by_year: dict[str, dict[str, Any]] = {}
    for name in (*(str(year) for year in sorted(set(years))), ALL_YEARS):
        of_year = np.ones(len(years), dtype=bool) if name == ALL_YEARS else np.asarray(years == int(name))
        kept = ensemble[of_year]
        figures: dict[str, Any] = {
            "dates": int(kept["auc"].notna().sum()),
            "rows": int(rows.reindex(kept.index).sum()),
        }
        for measure in MEASURES:
            null = 0.5 if measure == "auc" else 0.0
            figures[f"{measure}_by_seed"] = [float(frame.loc[kept.index, measure].mean()) for frame in by_seed.values()]
            mean = mean_interval(kept[measure], horizon=horizon)
            figures[measure], figures[f"{measure}_t"], figures[f"{measure}_df"] = mean.mean, mean.t(null), mean.df
        by_year[name] = figures
    return by_year


def _by_date(score: pd.Series, forward_return: pd.Series, above: pd.Series) -> pd.DataFrame:
    columns = {
        "auc": auc_by_date(score, above),
        "rank_ic": rank_ic_by_date(score, forward_return),
        "decile_spread": decile_spread_by_date(score, forward_return),
    }
    return pd.DataFrame(columns)


def pooled_auc(score: pd.Series, label: pd.Series) -> float:
    """AUC over all rows at once, as published: it mixes skill among weeks with skill among stocks.

    >>> index = pd.MultiIndex.from_product([pd.to_datetime(["2017-01-06", "2017-01-13"]), ["A", "B"]],
    ...                                    names=["date", "ticker"])
    >>> float(pooled_auc(pd.Series([0.1, 0.2, 0.8, 0.9], index), pd.Series([0.0, 0.0, 1.0, 1.0], index)))
    1.0
    """
    frame = pd.DataFrame({"score": score, "label": label}).dropna()
    names = [[pd.Timestamp(0)], range(len(frame))]
    frame.index = pd.MultiIndex.from_product(names, names=["date", "ticker"])
    return float(auc_by_date(frame["score"], frame["label"]).iloc[0])


def dead_rows_auc(dead: float, down: float) -> float:
    """AUC of scores without skill that recognise padded rows by their zero returns; padded rows are never up.

    Parameters
    ----------
    dead : float
        Fraction of padded rows of delisted tickers.
    down : float
        Fraction of the other rows that did not rise.

    >>> round(dead_rows_auc(0.2, 0.49), 3)
    0.669
    >>> dead_rows_auc(0.0, 0.49)
    0.5
    """
    recognised = dead / (dead + (1.0 - dead) * down)  # fraction of padded rows among all rows that are not up
    return recognised + (1.0 - recognised) * 0.5
