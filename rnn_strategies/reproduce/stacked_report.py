"""Report of the stacked system: tables, facts and notes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rnn_strategies.config.panel_config import Config
from rnn_strategies.reproduce.report import HINDSIGHT, Report, Table, number, spread
from rnn_strategies.reproduce.score_measures import ALL_YEARS, dead_rows_auc
from signals.evaluation.long_run_variance import TOO_FEW_DATES

__all__ = ["stacked_report"]

BASELINES = ("logistic", "boosting", "mlp")

TITLE = "stacked LSTM on a panel of US stocks, weekly"

_DIFFERS = (
    "published: trained until 2016, tested on 2017 alone, the epoch selected on 2017 itself, clipping quantiles of the "
    "whole sample, tickers that survived until 2017, all rows of the year pooled, and tickers without bars padded with "
    "zero returns"
)


def stacked_report(config: Config, figures: Mapping[str, Any], *, left: int = 0) -> Report:
    """Create the report of the stacked system.

    Parameters
    ----------
    config : Config
        Configuration of the reference network.
    figures : mapping
        `models`, `trivial` (naive predictors), `data`, `published` and `seeds`, as `reproduce_stacked` collects them.
    left : int
        Number of models that have not been run yet; 0 by default.
    """
    models = {key: one for key, one in figures["models"].items() if one["preset"] == "improved-stacked"}
    years = list(next(iter(models.values()))["years"])
    named = [*years[:-1], "all years"]
    lines = [*models.values(), *figures["trivial"].values()]
    tables = (
        Table(
            "Per-date AUC (return above the median of the date or not); mean ± standard deviation over seeds (t of the "
            "mean score of the seeds)",
            ("model", "parameters", *named),
            tuple((line["label"], _count(line), *(_auc(line["years"][year]) for year in years)) for line in lines),
        ),
        Table(
            "Per-date rank IC; mean ± standard deviation over seeds (t of the mean score of the seeds)",
            ("model", *named),
            tuple(
                (line["label"], *(_with_t(line["years"][year], "rank_ic", 1, 4) for year in years)) for line in lines
            ),
        ),
        Table(
            "Decile spread, basis points per week before costs; mean ± standard deviation over seeds (t of the mean "
            "score of the seeds)",
            ("model", *named),
            tuple(
                (line["label"], *(_with_t(line["years"][year], "decile_spread", 1e4, 1) for year in years))
                for line in lines
            ),
        ),
    )
    return Report(
        "stacked",
        TITLE,
        _facts(config, figures, models),
        tables,
        _notes(figures, next(iter(models.values()))["years"], config.labels.horizon, left),
        dict(figures),
        _summary(figures, models),
    )


def _summary(figures: Mapping[str, Any], models: Mapping[str, Any]) -> dict[str, str]:
    """Cells of the table over all systems."""

    def best(of: Mapping[str, Any]) -> str:
        if not of:
            return "-"
        one = max(of.values(), key=lambda one: one["years"][ALL_YEARS]["auc"])
        return f"{spread(one['years'][ALL_YEARS]['auc_by_seed'], 4)} {one['label']}"

    pooled = [one["pooled_auc_by_seed"] for one in figures["models"].values() if "pooled_auc_by_seed" in one]
    reference = next(iter(models.values()))
    years = [year for year in reference["years"] if year != ALL_YEARS]
    return {
        "measure": f"AUC, per date {years[0]}-{years[-1]} (published: all rows of 2017)",
        "published": f"{figures['published']['auc']:g}",
        "published network": f"{spread(pooled[0], 4)} over all rows, without its first dropout" if pooled else "-",
        "improved network": spread(reference["years"][ALL_YEARS]["auc_by_seed"], 4),
        "naive": best(figures["trivial"]),
        HINDSIGHT: best({key: one for key, one in models.items() if key in BASELINES}),
    }


def _count(one: Mapping[str, Any]) -> str:
    return f"{one['parameters']:,}" if one.get("parameters") else "-"


def _auc(figures: Mapping[str, Any]) -> str:
    return _with_t(figures, "auc", 1, 4)


def _with_t(figures: Mapping[str, Any], measure: str, unit: float, digits: int) -> str:
    """Format mean and standard deviation over seeds, with the t statistic in parentheses."""
    by_seed = [value * unit for value in figures[f"{measure}_by_seed"]]
    t = number(figures[f"{measure}_t"], 1, sign=True) if figures[f"{measure}_df"] else TOO_FEW_DATES
    return f"{spread(by_seed, digits)} ({t})"


def _facts(config: Config, figures: Mapping[str, Any], models: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    data, published = figures["data"], figures["published"]
    reference = next(iter(models.values()))
    naive = max(figures["trivial"].values(), key=lambda one: one["years"][ALL_YEARS]["auc"])
    walk_forward, universe = config.walk_forward, config.universe
    assert walk_forward is not None  # noqa: S101 - the preset has one
    live = ", ".join(f"{year} {n:,}" for year, n in data["live_tickers"].items())
    train_rows = ", ".join(f"{n:,}" for n in data["train_rows"])
    return (
        ("architecture", "52 weekly returns -> LSTM 25 -> LSTM 10, joined by a ticker embedding of 10 and the month "
         "one-hot -> dense 10 -> 1"),
        ("parameters", f"29,371 with the 2,489 tickers published, plus 10 for the embedding of unknown tickers; "
         f"{_count(reference)} with the {data['train_tickers'][-1]:,} tickers of the last training slice"),
        ("published", f"AUC {published['auc']} over all rows of 2017; second edition {published['second_edition']}"),
        ("ours", f"{_auc(reference['years'][ALL_YEARS])}, per-date AUC, {figures['seeds']} seeds"),
        ("naive", f"{_auc(naive['years'][ALL_YEARS])}, {naive['label']}, the best naive predictor, by hindsight"),
        ("data", f"{data['file']}, SHA-256 {data['sha256']}; {data['tickers_in_file']:,} tickers, {data['first']} to "
         f"{data['last']}, closes with all later adjustments; survivorship bias: delisted tickers are missing"),
        ("universe", f"selected at each retraining from data known then: at most {universe.max_zero_returns:.0%} of "
         f"the last {universe.zero_return_window} sessions with a zero return (Lesmond, Ogden and Trzcinka 1999, as "
         f"there is no volume), {universe.min_history} sessions of history, an adjusted close of at least "
         f"{universe.min_price:g}; only tickers with a bar on the day are scored: {live}"),
        ("slices", f"train {walk_forward.train}, validation {walk_forward.validation}, test {walk_forward.test} from "
         f"{walk_forward.test_start}, retrained for each; {train_rows} training rows; no label of one slice ends after "
         "the next slice begins"),
        ("epoch", f"that with the lowest loss on the validation slice, of at most {config.training.epochs}; "
         f"{config.training.optimizer}, batch {config.training.batch_size}, rate {config.training.learning_rate:g}"),
        ("units", "returns are simple, from the close of one decision date to that of the next; clipped and "
         "standardised with quantiles, mean and standard deviation of each training slice"),
        ("heads", "class.: return above the median of the date, cross-entropy; regression: return minus beta times the "
         "mean of the date's universe, squared error; no ticker, no months, neither: without those inputs"),
        ("protocol", _DIFFERS),
    )  # fmt: skip


def _notes(
    figures: Mapping[str, Any], of_years: Mapping[str, Mapping[str, Any]], horizon: int, left: int
) -> tuple[str, ...]:
    degrees = ", ".join(
        f"{'all years' if year == ALL_YEARS else year} {one['auc_df']}" for year, one in of_years.items()
    )
    notes = [
        "Each t is the mean over dates, less 0.5 for an AUC, over its standard error by the equal-weighted cosine "
        "estimator (Lazarus, Lewis, Stock and Watson 2018), which allows for dependence between neighbouring dates; "
        f"outcomes cover {horizon} decision date{'s' * (horizon > 1)}. Compare it with Student's t of so many degrees "
        f"of freedom: {degrees}.",
    ]
    if left:
        notes.append(f"Not finished: {left} more models remain.")
    down = 0.5
    for one in figures["models"].values():
        if "pooled_auc_by_seed" not in one:
            continue
        down = one["down"]
        years = one["years"][ALL_YEARS]
        notes.append(
            "The published settings, without the dropout of the first layer, on tickers that traded in 2017 (return "
            f"above zero or not, epoch selected on the 26 weeks before the year: {max(one['epochs'])} at most): AUC "
            f"{spread(one['pooled_auc_by_seed'], 4)} over all rows at once, {spread(years['auc_by_seed'], 4)} within "
            "dates."
        )
    notes += [
        "The published AUC is not out of sample: padding gives a delisted ticker zero returns after its end, with the "
        "label not up. Scores without skill that recognise padded rows by zero returns reach an AUC of "
        f"{dead_rows_auc(0.2, down):.3f} where 20 % of the rows are padded ({dead_rows_auc(0.15, down):.3f} at 15 %).",
        "The sign of each naive predictor is that of its rank IC in the training slice of the fold, because high "
        "volatility, for example, can predict high or low returns.",
        "The universe has survivorship bias, because every ticker of the file still traded in November 2017; and "
        "min_price uses adjusted closes, which later splits have changed.",
        "Prices of small stocks bounce between bid and ask: the reversal of the return of the last week can only "
        "partly be earned, and decile spreads are before all costs.",
    ]
    return tuple(notes)
