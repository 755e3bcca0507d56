"""Skill of the scores: rank IC and AUC within each date, by fold, year and seed, compared with naive predictors."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd

from reports.metrics.performance import Metrics, json_number
from reports.metrics.skill_over_time import SkillOverTime, measure_over_time, over_time_metrics
from signals.evaluation.cross_section_metrics import auc_by_date, binary_outcome, rank_ic_by_date
from signals.evaluation.long_run_variance import MeanInterval, mean_interval
from signals.evaluation.naive_predictors import NAIVE_PREDICTORS

__all__ = ["TOO_GOOD_AUC", "OverTime", "SignalQuality", "measure_signals", "signal_metrics"]

# On clean prices of live tickers, 0.50 to 0.53 is usual for weekly or monthly returns; published figures of 0.6 and
# more that were reproduced came from delisted tickers, shared dates or early stopping on the test set.
TOO_GOOD_AUC = 0.58

_MEASURES = ("auc", "rank_ic")


@dataclass(frozen=True, slots=True)
class SignalQuality:
    """Result of `measure_signals`.

    Parameters
    ----------
    by_date : DataFrame indexed by date
        `auc`, `rank_ic` of the seed mean, `tickers` (rows scored) and `fold`; one row per decision date whose
        outcome is known.
    overall : dict of str to MeanInterval
        Mean over dates with its 95 % interval, for `auc` and `rank_ic`.
    folds : DataFrame indexed by fold
        `dates`, and for each measure m: `m`, `m_low`, `m_high` (seed mean), `m_seeds_mean`, `m_seeds_std`
        (over seeds, ddof 1, NaN with one), and `m_<predictor>` for each naive predictor.
    years : DataFrame indexed by calendar year
        The same columns; `m_<predictor>` is NaN for a year that a fold crosses the start or end of.
    seeds : DataFrame indexed by seed
        `auc`, `rank_ic`: means over all dates of each seed alone; empty without seed scores.
    naive_predictors : DataFrame indexed by predictor
        `auc`, `rank_ic`: means over folds weighted by their dates.
    deciles : DataFrame indexed by bucket, 1 = lowest scores
        `forward_return` (mean over dates of the bucket's mean return, a fraction), `excess` (the same minus
        the mean of all scored tickers of that date), `excess_low`, `excess_high` (95 % interval) and `rows`.
    spread : MeanInterval
        Highest bucket minus lowest bucket, mean over dates of the forward return.
    warning : str or None
        Set when the overall AUC is implausibly high.
    horizon : int
        Decision dates over which the outcomes of neighbouring dates overlap. Ends of intervals are NaN wherever this
        leaves too few independent dates, see `signals.evaluation.long_run_variance.mean_interval`.
    over_time : OverTime or None
        Figures over time, where no date has more than one scored ticker; figures within dates are then NaN.
    """

    by_date: pd.DataFrame
    overall: dict[str, MeanInterval]
    folds: pd.DataFrame
    years: pd.DataFrame
    seeds: pd.DataFrame
    naive_predictors: pd.DataFrame
    deciles: pd.DataFrame
    spread: MeanInterval
    warning: str | None
    horizon: int
    over_time: OverTime | None = None

    @property
    def auc(self) -> MeanInterval:
        """AUC used for the conclusion: the mean within dates, or over time with one ticker a date."""
        return self.overall["auc"] if self.over_time is None else self.over_time.overall.auc

    @property
    def dates(self) -> int:
        """Number of decision dates with a known outcome."""
        return len(self.by_date)

    @property
    def auc_dates(self) -> int:
        """Number of decision dates with an AUC."""
        return int(self.by_date["auc"].notna().sum()) if self.over_time is None else self.over_time.overall.dates

    @property
    def rank_ic_dates(self) -> int:
        """Number of decision dates with a rank IC, which needs three tickers."""
        return int(self.by_date["rank_ic"].notna().sum())


@dataclass(frozen=True, slots=True)
class OverTime:
    """Skill over time of scores with one ticker a date.

    Parameters
    ----------
    overall : SkillOverTime
        Over all dates.
    folds, years : dict of int to SkillOverTime
        Over the test dates of each fold, and over each calendar year.
    seeds : DataFrame indexed by seed
        `auc`, `rank_correlation`, `hit_rate` of each seed alone; empty without seed scores.
    """

    overall: SkillOverTime
    folds: dict[int, SkillOverTime]
    years: dict[int, SkillOverTime]
    seeds: pd.DataFrame


def measure_signals(
    signals: pd.DataFrame,
    labels: pd.DataFrame,
    *,
    horizon: int,
    seed_scores: pd.DataFrame | None = None,
    folds: pd.DataFrame | None = None,
    simulated: bool = False,
) -> SignalQuality:
    """Measure out-of-sample scores against outcomes within each date.

    Parameters
    ----------
    signals : DataFrame indexed by (date, ticker)
        `score` and optionally `fold`, as in `signals.parquet`.
    labels : DataFrame indexed by (date, ticker)
        `label` (of any kind, see `signals.evaluation.cross_section_metrics.binary_outcome`) and `forward_return` (a
        fraction over the horizon); rows whose outcome is not known yet may be missing.
    horizon : int
        Decision dates that an outcome covers, `labels.horizon`; outcomes of as many consecutive dates overlap.
    seed_scores : DataFrame, optional
        Columns `date`, `ticker`, `seed`, `score`.
    folds : DataFrame, optional
        `folds.parquet`; only its columns `fold`, `auc_<predictor>` and `rank_ic_<predictor>` are read.
    simulated : bool
        Simulated prices may contain a pattern on purpose, so a high AUC gives no warning.

    Returns
    -------
    SignalQuality

    Notes
    -----
    The unit of observation is the date, not the row: intervals are those of a mean over dates, by
    `signals.evaluation.long_run_variance.mean_interval`.
    """
    joined = signals.join(labels[["label", "forward_return"]], how="inner")
    by_date = _skill_by_date(joined)
    dates = joined.index.get_level_values("date")
    by_date["tickers"] = joined.groupby(dates)["score"].size().reindex(by_date.index)
    fold = joined["fold"] if "fold" in joined else pd.Series(0, index=joined.index)
    by_date["fold"] = fold.groupby(dates).first().reindex(by_date.index).astype("int64")

    seeds = _skill_by_seed(seed_scores, labels)
    overall = {name: mean_interval(by_date[name], horizon=horizon) for name in _MEASURES}
    table = _fold_table(by_date, seeds, folds, horizon)
    years = _year_table(by_date, seeds, table, horizon)
    deciles, spread = _score_buckets(joined, horizon)
    over_time = None
    if len(by_date) and by_date["tickers"].max() <= 1:
        over_time = _over_time(joined.sort_index(), by_date["fold"], seed_scores, labels, horizon)
    auc = overall["auc"] if over_time is None else over_time.overall.auc
    warning = None
    if not simulated and auc.mean > TOO_GOOD_AUC and auc.low > 0.5:  # an interval that covers chance gives no warning
        which = "mean per-date AUC" if over_time is None else "AUC over time"
        warning = (
            f"Implausibly high skill: look for look-ahead bias. The {which} is {auc.mean:.3f}; on clean prices of live "
            "tickers 0.50 to 0.53 is usual. Common causes are delisted tickers, labels that start before their score "
            "is known, and scaling over all years."
        )
    return SignalQuality(
        by_date=by_date,
        overall=overall,
        folds=table,
        years=years,
        seeds=_mean_by_seed(seeds),
        naive_predictors=_naive_overall(table),
        deciles=deciles,
        spread=spread,
        warning=warning,
        horizon=horizon,
        over_time=over_time,
    )


def signal_metrics(quality: SignalQuality | None) -> Metrics:
    """Flatten the overall figures for `metrics.json`; all are None without signals.

    Returns
    -------
    dict
        For m in `auc`, `rank_ic`: `m`, `m_low`, `m_high`, `m_seeds_mean`, `m_seeds_std`, `m_<predictor>`;
        then `signal_dates`, `seeds` (counts), `top_minus_bottom` (forward return, highest minus lowest score
        bucket) with `_low` and `_high`. Ends of an interval are None where there are too few independent dates.
        `rank_ic_dates` counts the dates with three tickers, on which `rank_ic` is measured. With one ticker a date
        these are None; `reports.metrics.skill_over_time.over_time_metrics` gives figures for such scores.
    """
    out: Metrics = {}
    for name in _MEASURES:
        mean = quality.overall[name] if quality else None
        out[name] = json_number(mean.mean) if mean else None
        out[f"{name}_low"] = json_number(mean.low) if mean else None
        out[f"{name}_high"] = json_number(mean.high) if mean else None
        known = quality is not None and len(quality.seeds) > 0
        out[f"{name}_seeds_mean"] = json_number(quality.seeds[name].mean()) if quality and known else None
        out[f"{name}_seeds_std"] = json_number(quality.seeds[name].std()) if quality and known else None
        for predictor in NAIVE_PREDICTORS:
            value = quality.naive_predictors[name].get(predictor) if quality else None
            out[f"{name}_{predictor}"] = json_number(value)
    out["signal_dates"] = quality.auc_dates if quality else None
    out["rank_ic_dates"] = quality.rank_ic_dates if quality else None
    out["seeds"] = len(quality.seeds) if quality else None
    for suffix, value in zip(("", "_low", "_high"), quality.spread[:3] if quality else (None,) * 3, strict=True):
        out[f"top_minus_bottom{suffix}"] = json_number(value)
    return out | over_time_metrics(quality.over_time.overall if quality and quality.over_time else None)


def _skill_by_date(joined: pd.DataFrame) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "auc": auc_by_date(joined["score"], binary_outcome(joined["label"])),
            "rank_ic": rank_ic_by_date(joined["score"], joined["forward_return"]),
        }
    )
    return frame.rename_axis("date").sort_index()


def _over_time(
    joined: pd.DataFrame, fold: pd.Series, seed_scores: pd.DataFrame | None, labels: pd.DataFrame, horizon: int
) -> OverTime:
    overall = measure_over_time(joined, horizon=horizon)
    dates = joined.index.get_level_values("date")

    def parts(group: pd.Series | pd.Index) -> dict[int, SkillOverTime]:
        return {
            int(key): measure_over_time(rows, horizon=horizon, neutral=overall.neutral)
            for key, rows in joined.groupby(group, sort=True)
        }

    seeds = {}
    for seed, rows in seed_scores.groupby("seed", sort=True) if seed_scores is not None else ():
        joined_seed = rows.set_index(["date", "ticker"]).join(labels, how="inner").sort_index()
        skill = measure_over_time(joined_seed, horizon=horizon, neutral=overall.neutral)
        seeds[int(seed)] = (skill.auc.mean, skill.rank_correlation.mean, skill.hit_rate.mean)
    columns = ["auc", "rank_correlation", "hit_rate"]
    return OverTime(
        overall=overall,
        folds=parts(fold.reindex(dates).to_numpy()),
        years=parts(pd.DatetimeIndex(dates).year),
        seeds=pd.DataFrame.from_dict(seeds, orient="index", columns=columns).rename_axis("seed"),
    )


def _skill_by_seed(seed_scores: pd.DataFrame | None, labels: pd.DataFrame) -> dict[int, pd.DataFrame]:
    if seed_scores is None or seed_scores.empty:
        return {}
    return {
        int(seed): _skill_by_date(rows.set_index(["date", "ticker"]).join(labels, how="inner"))
        for seed, rows in seed_scores.groupby("seed", sort=True)
    }


def _mean_by_seed(seeds: dict[int, pd.DataFrame]) -> pd.DataFrame:
    rows = {seed: frame[list(_MEASURES)].mean() for seed, frame in seeds.items()}
    return pd.DataFrame(rows, index=list(_MEASURES)).T.rename_axis("seed")


def _skill_table(
    by_date: pd.DataFrame, group: pd.Series | pd.Index, name: str, seeds: dict[int, pd.DataFrame], horizon: int
) -> pd.DataFrame:
    rows: dict[int, dict[str, float]] = {}
    for key, of_group in by_date.groupby(group, sort=True):
        row: dict[str, float] = {"dates": len(of_group)}
        for measure in _MEASURES:
            mean = mean_interval(of_group[measure], horizon=horizon)
            row[measure], row[f"{measure}_low"], row[f"{measure}_high"] = mean.mean, mean.low, mean.high
            per_seed = pd.Series(
                [frame[measure].reindex(of_group.index).mean() for frame in seeds.values()], dtype="float64"
            )
            row[f"{measure}_seeds_mean"], row[f"{measure}_seeds_std"] = float(per_seed.mean()), float(per_seed.std())
        rows[int(key)] = row
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(name)


def _fold_table(
    by_date: pd.DataFrame, seeds: dict[int, pd.DataFrame], folds: pd.DataFrame | None, horizon: int
) -> pd.DataFrame:
    table = _skill_table(by_date, by_date["fold"], "fold", seeds, horizon)
    if folds is not None:
        # naive predictors do not depend on the seed: all rows of a fold hold the same value
        first = folds.groupby("fold").first()
        for name in _MEASURES:
            for predictor in NAIVE_PREDICTORS:
                column = f"{name}_{predictor}"
                if column in first:
                    table[column] = first[column].reindex(table.index)
    return table


def _year_table(
    by_date: pd.DataFrame, seeds: dict[int, pd.DataFrame], folds: pd.DataFrame, horizon: int
) -> pd.DataFrame:
    year = pd.DatetimeIndex(by_date.index).year
    table = _skill_table(by_date, year, "year", seeds, horizon)
    reach = pd.Series(year, index=by_date.index).groupby(by_date["fold"]).agg(["min", "max"])
    for key in table.index:
        folds_of_year = reach.index[(reach["min"] <= key) & (reach["max"] >= key)]
        if (reach.loc[folds_of_year, "min"] == reach.loc[folds_of_year, "max"]).all():
            naive = _naive_overall(folds.loc[folds_of_year])
            for name, predictor in itertools.product(_MEASURES, NAIVE_PREDICTORS):
                if f"{name}_{predictor}" in folds:
                    table.loc[key, f"{name}_{predictor}"] = naive.loc[predictor, name]
    return table


def _naive_overall(table: pd.DataFrame) -> pd.DataFrame:
    rows = {}
    for predictor in NAIVE_PREDICTORS:
        values = {}
        for name in _MEASURES:
            known = table.get(f"{name}_{predictor}", pd.Series(dtype="float64")).dropna()
            weights = table["dates"].reindex(known.index) if len(known) else known
            values[name] = float(np.average(known, weights=weights)) if len(known) else float("nan")
        rows[predictor] = values
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("predictor")


def _score_buckets(joined: pd.DataFrame, horizon: int) -> tuple[pd.DataFrame, MeanInterval]:
    """Mean forward return by bucket of the score, and highest minus lowest.

    There are ten buckets, or fewer, such that the median date has about two tickers in each.
    """
    rows = joined.dropna(subset=["score", "forward_return"])
    dates = rows.index.get_level_values("date")
    by_date = rows.groupby(dates)
    tickers = float(by_date.size().median()) if len(rows) else 0.0
    buckets = int(min(10, max(2, tickers // 2)))
    # tied scores get the mean rank, so equal scores are in the same bucket
    place = (by_date["score"].rank(method="average") - 0.5) / by_date["score"].transform("size")
    bucket = np.minimum((place * buckets).astype("int64") + 1, buckets)
    market = by_date["forward_return"].transform("mean")
    values = pd.DataFrame(
        {"date": dates, "bucket": bucket.to_numpy(), "forward_return": rows["forward_return"].to_numpy()}
    )
    values["excess"] = values["forward_return"] - market.to_numpy()
    means = values.groupby(["bucket", "date"])[["forward_return", "excess"]].mean()
    counts = values.groupby("bucket").size()
    table: dict[int, dict[str, float]] = {}
    for number in counts.index:
        of_bucket = means.loc[number].sort_index()
        excess = mean_interval(of_bucket["excess"], horizon=horizon)
        table[int(number)] = {
            "forward_return": float(of_bucket["forward_return"].mean()),
            "excess": excess.mean,
            "excess_low": excess.low,
            "excess_high": excess.high,
            "rows": int(counts[number]),
        }
    columns = ["forward_return", "excess", "excess_low", "excess_high", "rows"]
    frame = pd.DataFrame.from_dict(table, orient="index", columns=columns).rename_axis("bucket")
    if 1 in frame.index and buckets in frame.index:
        returns = means["forward_return"]
        difference = (returns.loc[buckets] - returns.loc[1]).sort_index()
        return frame, mean_interval(difference, horizon=horizon)
    return frame, mean_interval(pd.Series(dtype="float64"), horizon=horizon)
