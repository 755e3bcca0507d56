"""Report tables on the scores: overall skill, skill by fold and year, fold slices and score buckets."""

from __future__ import annotations

import pandas as pd

from reports.common.number_format import DASH, count, day, interval_of_mean, number
from reports.metrics.signal_quality import SignalQuality
from reports.tables.skill_over_time_tables import over_time_table, over_time_tables
from reports.tables.table import Table
from signals.evaluation.naive_predictors import NAIVE_PREDICTORS

__all__ = ["bucket_table", "fold_skill_table", "fold_slices_table", "skill_table", "year_skill_table"]

_PREDICTOR_NAMES = {
    "last_return": "Last return",
    "mean_return": "Mean return",
    "volatility": "Volatility",
    "ticker_mean": "Ticker's mean label",
}


def _spread(mean: object, deviation: object, digits: int) -> str:
    if number(mean, digits) == DASH:
        return DASH
    middle, width = number(mean, digits), number(deviation, digits)
    return middle if width == DASH else f"{middle} ± {width}"


def skill_table(quality: SignalQuality) -> Table:
    """Table of AUC and rank IC of the seed mean, single seeds and naive predictors over all test dates."""
    if quality.over_time is not None:
        return over_time_table(quality.over_time.overall, quality.over_time.seeds)
    auc, rank_ic = quality.overall["auc"], quality.overall["rank_ic"]
    rows: list[tuple[str, ...]] = [
        (
            "Seed mean (traded)",
            number(auc.mean, 3),
            interval_of_mean(auc.mean, auc.low, auc.high),
            number(rank_ic.mean, 3),
            interval_of_mean(rank_ic.mean, rank_ic.low, rank_ic.high),
        )
    ]
    if len(quality.seeds):
        rows.append(
            (
                f"Single seeds ({len(quality.seeds)})",
                _spread(quality.seeds["auc"].mean(), quality.seeds["auc"].std(), 3),
                "",
                _spread(quality.seeds["rank_ic"].mean(), quality.seeds["rank_ic"].std(), 3),
                "",
            )
        )
    for predictor in NAIVE_PREDICTORS:
        naive = quality.naive_predictors.loc[predictor]
        if not naive.isna().all():
            rows.append((_PREDICTOR_NAMES[predictor], number(naive["auc"], 3), "", number(naive["rank_ic"], 3), ""))
    dates = quality.auc_dates
    note = (
        f"Means over {count(dates)} decision date{'' if dates == 1 else 's'}, computed within each date; chance is an "
        f"AUC of 0.5 and a rank IC of 0. {_excluded_dates(quality)}{_interval_method(quality)} ± is the standard "
        "deviation over seeds. The last rows are naive predictors, computed without a network."
    )
    return Table("Skill of the scores", ("", "AUC", "95% interval", "Rank IC", "95% interval"), tuple(rows), note)


def _excluded_dates(quality: SignalQuality) -> str:
    """Sentence on dates with known outcomes that have no AUC or no rank IC; empty when there are none."""
    small = int((quality.by_date["tickers"] < 3).sum())
    without = {"AUC": quality.dates - quality.auc_dates, "rank IC": quality.dates - quality.rank_ic_dates}
    parts = [f"no {name} on {count(number)}" for name, number in without.items() if number]
    if not parts:
        return ""
    return (
        f"Of {count(quality.dates)} dates with known outcomes there is {' and '.join(parts)}: an AUC needs outcomes of "
        f"both classes, a rank IC at least three tickers, which {count(small)} dates do not have, and differences in "
        "score and outcome. "
    )


def _interval_method(quality: SignalQuality) -> str:
    """Sentence on the estimator of the intervals in the tables and charts of the scores."""
    horizon, auc = quality.horizon, quality.overall["auc"]
    method = "equal-weighted cosine estimator of the standard error (Lazarus, Lewis, Stock and Watson 2018)"
    if not auc.is_known:
        covers = f"{count(horizon)} decision date{'s' * (horizon > 1)}"
        return (
            f"Each outcome covers {covers}, so that at least {count(4 * horizon)} dates are needed for an interval by "
            f"the {method}."
        )
    overlap = f"outcomes that overlap over {count(horizon)} decision dates and for other " if horizon > 1 else ""
    return (
        f"Each interval is the mean over dates plus and minus Student's t, here with {auc.df} degrees of freedom, "
        f"times the {method}, which allows for {overlap}dependence between neighbouring dates."
    )


def fold_slices_table(folds: pd.DataFrame | None) -> Table | None:
    """Table of the slices and the training of each fold; None without `folds.parquet`."""
    if folds is None or folds.empty:
        return None
    slices = ("train", "validation", "test")
    rows = []
    for fold, of_fold in folds.groupby("fold", sort=True):
        first = of_fold.iloc[0]
        rows.append(
            (
                str(int(fold) + 1),
                *(f"{day(first[f'{part}_start'])} … {day(first[f'{part}_end'])}" for part in slices),
                day(first["trained_until"]),
                " / ".join(count(first[f"{part}_rows"]) for part in slices),
                count(first["tickers"]),
                f"{_epoch_counts(of_fold['epochs'])} of {_epoch_counts(of_fold['epochs_run'])}",
                number(of_fold["validation_loss"].mean(), 4),
            )
        )
    columns = (
        "Fold",
        "Training",
        "Validation",
        "Test",
        "Trained until",
        "Rows",
        "Tickers",
        "Epochs",
        "Loss",
    )
    note = (
        "Decision dates, both ends included, without the purged dates. Rows: training / validation / test. Epochs: "
        "best epoch of epochs run, by seed. Loss: validation loss, mean over seeds. No price after “trained until” was "
        "used for training or for the choice of the epoch."
    )
    return Table("Fold slices and training", columns, tuple(rows), note, left=5)


def _epoch_counts(values: pd.Series) -> str:
    """Write the counts by seed, separated by commas; a single count when all seeds agree."""
    return ", ".join(count(value) for value in values) if values.nunique() > 1 else count(values.iloc[0])


def fold_skill_table(quality: SignalQuality) -> Table:
    """Table of AUC and rank IC by fold, with the naive predictors; a fold of one calendar year shows the year."""
    years = _years_of_folds(quality)
    names = {fold: f"{fold + 1} ({year})" if year else str(fold + 1) for fold, year in years.items()}
    if quality.over_time is not None:
        parts = {names[fold]: skill for fold, skill in quality.over_time.folds.items()}
        return over_time_tables("Skill over time by fold", "Fold", parts)
    return _skill_rows(
        "Skill by fold",
        "Fold",
        quality.folds,
        {int(fold): names[int(fold)] for fold in quality.folds.index},
        "Means over the test dates of each fold; intervals as for all dates; ± is the standard deviation over seeds. "
        "The last columns are naive predictors.",
    )


def year_skill_table(quality: SignalQuality) -> Table | None:
    """Table of AUC and rank IC by calendar year; None when each fold is one calendar year."""
    years = _years_of_folds(quality)
    if all(years.values()) and len(set(years.values())) == len(years):
        return None
    if quality.over_time is not None:
        parts = {str(year): skill for year, skill in quality.over_time.years.items()}
        return over_time_tables("Skill over time by year", "Year", parts)
    return _skill_rows(
        "Skill by year",
        "Year",
        quality.years,
        {int(year): str(year) for year in quality.years.index},
        "Means over the test dates of each year; intervals as for all dates; ± is the standard deviation over seeds. "
        "Naive predictors are measured by fold, so they are shown only for years whose folds lie within the year.",
    )


def _years_of_folds(quality: SignalQuality) -> dict[int, int]:
    """Calendar year of each fold's test dates, 0 where there are several."""
    year = pd.Series(pd.DatetimeIndex(quality.by_date.index).year, index=quality.by_date.index)
    bounds = year.groupby(quality.by_date["fold"]).agg(["min", "max"])
    return {int(fold): int(row["min"]) if row["min"] == row["max"] else 0 for fold, row in bounds.iterrows()}


def _skill_rows(title: str, head: str, table: pd.DataFrame, names: dict[int, str], note: str) -> Table:
    known = [p for p in NAIVE_PREDICTORS if f"auc_{p}" in table and table[f"auc_{p}"].notna().any()]
    rows: list[tuple[str, ...]] = []
    for name, label, digits in (("auc", "AUC", 3), ("rank_ic", "Rank IC", 3)):
        rows.append((label,))
        for key, row in table.iterrows():
            rows.append(
                (
                    names[int(key)],
                    count(row["dates"]),
                    number(row[name], digits),
                    interval_of_mean(row[name], row[f"{name}_low"], row[f"{name}_high"], digits),
                    _spread(row[f"{name}_seeds_mean"], row[f"{name}_seeds_std"], digits),
                    *(number(row[f"{name}_{predictor}"], digits) for predictor in known),
                )
            )
    columns = (head, "Dates", "Seed mean", "95% interval", "Single seeds", *(_PREDICTOR_NAMES[p] for p in known))
    return Table(title, columns, tuple(rows), note)


def bucket_table(quality: SignalQuality) -> Table | None:
    """Table of mean forward return by score bucket; None when there are too few tickers a date."""
    if len(quality.deciles) < 2:
        return None
    rows = tuple(
        (
            str(int(bucket)),
            number(1e4 * row["forward_return"], 1),
            number(1e4 * row["excess"], 1),
            interval_of_mean(row["excess"], 1e4 * row["excess_low"], 1e4 * row["excess_high"], 1),
            count(row["rows"]),
        )
        for bucket, row in quality.deciles.iterrows()
    )
    spread = quality.spread
    ends = interval_of_mean(spread.mean, 1e4 * spread.low, 1e4 * spread.high, 1)
    note = (
        "Bucket 1 holds the lowest scores. "
        f"Highest minus lowest bucket: {number(1e4 * spread.mean, 1)} bp a period before costs"
        f"{f' (95% interval: {ends})' if spread.is_known else '' if ends == DASH else f' ({ends})'}."
    )
    columns = ("Bucket", "Return, bp", "Excess, bp", "95% interval", "Rows")
    return Table("Forward return by score bucket", columns, rows, note)
