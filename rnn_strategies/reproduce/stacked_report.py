"""The tables of the stacked system, and what has to be said beside them."""

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
    "published: trained to 2016, tested on 2017 alone, the epoch chosen on 2017 itself, clipping quantiles of the "
    "whole sample, survivors known in 2017, all rows of the year pooled, and tickers without bars padded with returns "
    "of zero"
)


def stacked_report(config: Config, figures: Mapping[str, Any], *, left: int = 0) -> Report:
    """Lay the figures of the stacked system out.

    Parameters
    ----------
    config : Config
        Of the reference network.
    figures : mapping
        `models`, `trivial`, `data`, `published` and `seeds`, as `reproduce_stacked` collects them.
    left : int
        Models that are still to come.
    """
    models = {key: one for key, one in figures["models"].items() if one["preset"] == "improved-stacked"}
    years = list(next(iter(models.values()))["years"])
    named = [*years[:-1], "all years"]
    lines = [*models.values(), *figures["trivial"].values()]
    tables = (
        Table(
            "Per-date AUC (above the median of the date or not); mean ± spread over seeds (t of the seeds' mean score)",
            ("model", "parameters", *named),
            tuple((one["label"], _count(one), *(_auc(one["years"][year]) for year in years)) for one in lines),
        ),
        Table(
            "Per-date rank IC; mean ± spread over seeds (t of the seeds' mean score)",
            ("model", *named),
            tuple((one["label"], *(_beside(one["years"][year], "rank_ic", 1, 4) for year in years)) for one in lines),
        ),
        Table(
            "Decile spread, basis points a week before costs; mean ± spread over seeds (t of the seeds' mean score)",
            ("model", *named),
            tuple(
                (one["label"], *(_beside(one["years"][year], "decile_spread", 1e4, 1) for year in years))
                for one in lines
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
    return _beside(figures, "auc", 1, 4)


def _beside(figures: Mapping[str, Any], measure: str, unit: float, digits: int) -> str:
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
    learnt = ", ".join(f"{n:,}" for n in data["train_rows"])
    return (
        ("architecture", "52 weekly returns -> LSTM 25 -> LSTM 10, joined by a ticker embedding of 10 and the month "
         "one-hot -> dense 10 -> 1"),
        ("parameters", f"29,371 with the 2,489 tickers published, and 10 of ours for tickers that are new; "
         f"{_count(reference)} with the {data['train_tickers'][-1]:,} tickers of the last training slice"),
        ("published", f"AUC {published['auc']} over all rows of 2017; second edition {published['second_edition']}"),
        ("ours", f"{_auc(reference['years'][ALL_YEARS])}, per-date AUC, {figures['seeds']} seeds"),
        ("naive", f"{_auc(naive['years'][ALL_YEARS])}, {naive['label']}, the best trivial predictor, by hindsight"),
        ("data", f"{data['file']}, SHA-256 {data['sha256']}; {data['tickers_in_file']:,} tickers, {data['first']} to "
         f"{data['last']}, adjusted closes, final as of the file; survivors only"),
        ("universe", f"drawn at each retraining from what was known then: at most {universe.max_zero_returns:.0%} of "
                     "the "
         f"last {universe.zero_return_window} sessions without a return (Lesmond, Ogden and Trzcinka 1999: there is no "
         f"volume), {universe.min_history} sessions of history, an adjusted close of at least {universe.min_price:g}; "
         f"only names with a bar on the day are scored: {live}"),
        ("slices", f"train {walk_forward.train}, validation {walk_forward.validation}, test {walk_forward.test} from "
         f"{walk_forward.test_start}, retrained for each; {learnt} training rows; no label of one slice ends after the "
         "next "
         "begins"),
        ("epoch", f"the pass with the lowest loss on the validation slice, of at most {config.training.epochs}; "
         f"{config.training.optimizer}, batch {config.training.batch_size}, rate {config.training.learning_rate:g}"),
        ("units", "returns are simple, from the close of one decision date to that of the next; clipped and "
         "standardised with quantiles, mean and deviation of each training slice"),
        ("heads", "class.: above the median of the date, cross-entropy; regression: return less beta times the mean of "
         "the date's universe, squared error; no ticker, no months, neither: without those inputs"),
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
        notes.append(f"Not finished: {left} more models are to come.")
    down = 0.5
    for one in figures["models"].values():
        if "pooled_auc_by_seed" not in one:
            continue
        down = one["down"]
        years = one["years"][ALL_YEARS]
        notes.append(
            "The published settings, but for the dropout of the first layer, on live names of 2017 (up or not, epoch "
            f"chosen on the 26 weeks before the year: {max(one['epochs'])} at most): AUC "
            f"{spread(one['pooled_auc_by_seed'], 4)} over all rows at once, {spread(years['auc_by_seed'], 4)} within "
            "dates."
        )
    notes += [
        "The published AUC cannot be trusted: padding gives a dead ticker returns of zero for ever, and a label that "
        f"is never up. Scores without any skill that know dead rows by their zeros reach "
        f"{dead_rows_auc(0.2, down):.3f} where a fifth of the rows is dead ({dead_rows_auc(0.15, down):.3f} at 15 %).",
        "Trivial predictors are read upwards or downwards as the training slice of each fold says: high volatility "
        "may be good or bad.",
        "Every ticker of the file still traded in November 2017, so its universe holds survivors only, whatever a "
        "filter sees; and min_price looks at adjusted closes, which later splits have changed.",
        "Small names bounce between bid and ask: the reversal of last week's return is partly not there to be earned, "
        "and decile spreads are before all costs.",
    ]
    return tuple(notes)
