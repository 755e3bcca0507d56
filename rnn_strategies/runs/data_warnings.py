"""Warnings about the prices and the walk-forward of a run, which the report prints first."""

from __future__ import annotations

import numpy as np

from rnn_strategies.config.panel_config import Config
from rnn_strategies.price_checks.adjusted_closes import missing_splits
from rnn_strategies.price_checks.price_jumps import split_like_jumps
from rnn_strategies.price_checks.ticker_bars import histories
from rnn_strategies.price_checks.ticker_lifetimes import lifetimes, survivorship_bias
from signals.calendar import sessions
from signals.data.prices import Prices
from signals.dataset.cross_section_size import small_universe_warning
from signals.dataset.universe import UniverseFilters
from signals.models.custom import CustomModel
from signals.models.saved_keras import SavedKerasModel
from signals.walk_forward.panel_walk_forward import SignalResult

__all__ = ["price_warnings", "signal_warnings"]

# Number of price moves that a warning lists.
MAX_LISTED_MOVES = 3


def price_warnings(prices: Prices, filters: UniverseFilters | None = None) -> list[str]:
    """Warnings about the prices, the most serious first.

    Parameters
    ----------
    prices : Prices
        Prices as returned by `check_prices`; the warnings of that check come last.
    filters : UniverseFilters, optional
        Filters of the run, for warnings that depend on them.
    """
    warnings = []
    if prices.simulated:
        warnings.append("The prices are simulated: the results do not apply to any real market.")
    bias = survivorship_bias(lifetimes(prices))
    if bias is not None:
        warnings.append(
            f"{bias.finding[0].upper()}{bias.finding[1:]}; survivorship bias makes the results look better than they "
            "were."
        )
    bars = histories(prices)
    filtered = filters is not None and filters.min_price is not None
    missing = missing_splits(bars)
    if missing is not None:
        warnings.append(f"{missing.sentence(raw_known=prices.raw_known, filtered=filtered)}.")
    if jumps := split_like_jumps(bars):
        more = f" and {len(jumps) - MAX_LISTED_MOVES:,} more" if len(jumps) > MAX_LISTED_MOVES else ""
        singular = len(jumps) == 1
        warnings.append(
            f"{'One overnight move looks' if singular else f'{len(jumps):,} overnight moves look'} like "
            f"{'a split' if singular else 'splits'} that the prices are not adjusted for, or like "
            f"{'a misprint' if singular else 'misprints'}: {', '.join(map(str, jumps[:MAX_LISTED_MOVES]))}{more}; "
            "adjust the prices for splits, or leave such names out."
        )
    if prices.close_only:
        warnings.append("Only closing prices exist: orders fill at the next close, not the next open.")
    if not prices.raw_known:
        warnings.append(
            "Adjustment factors are unknown: price and dollar-volume filters use adjusted prices, "
            "which later splits and dividends have changed."
        )
    if not prices.volume_known:
        warnings.append("Volume is unknown: no filter uses it, and it does not limit orders.")
    if empty_sessions := _empty_session_warning(prices):
        warnings.append(empty_sessions)
    return warnings + list(prices.warnings)


def _empty_session_warning(prices: Prices) -> str:
    """Warning about sessions on which no ticker has a bar; empty for none, and for weekly or monthly bars."""
    dates = prices.frame.index.levels[0].to_numpy().astype("datetime64[D]")
    expected = sessions(dates[0], dates[-1], prices.calendar)
    empty = expected[~np.isin(expected, dates)]
    # the price source itself warns of bars that are weeks apart
    if not len(empty) or len(empty) > len(expected) / 2:
        return ""
    listed = ", ".join(map(str, empty[:5])) + (f" and {len(empty) - 5:,} more" if len(empty) > 5 else "")
    plural = "" if len(empty) == 1 else "s"
    return (
        f"No ticker has a bar on {len(empty):,} session{plural} of {prices.calendar}: {listed}. There are no decisions "
        "and no trades on such a day; if the market was open, the data are incomplete."
    )


def signal_warnings(config: Config, result: SignalResult, prices: Prices) -> list[str]:
    """Warnings about the walk-forward: trainer, universe and seeds."""
    warnings = [*(result.trainer or {}).get("warnings", ()), *result.warnings]
    if absent := config.universe.unknown(prices.tickers):
        more = f" and {len(absent) - 5:,} more" if len(absent) > 5 else ""
        warnings.append(
            f"The prices do not hold {', '.join(absent[:5])}{more}, which universe.include or exclude names: they are "
            "misspelt, or missing in the data."
        )
    if result.folds["seed"].nunique() == 1 and not isinstance(config.model, CustomModel | SavedKerasModel):
        warnings.append("One seed only: the dispersion over seeds cannot be shown; use three or more seeds.")
    elif result.folds["seed"].nunique() > 1 and not result.signals["score_std"].any():
        warnings.append("All seeds gave the same scores: the model is deterministic, so seeds show no dispersion.")
    if small := small_universe_warning(config.labels, result.universe_sizes):
        warnings.append(small)
    # before the first date with enough history the universe is empty by definition
    sizes = list(result.universe_sizes.items())
    begun = next((i for i, (_, size) in enumerate(sizes) if size), len(sizes))
    empty = [day for day, size in sizes[begun:] if size == 0]
    if empty:
        warnings.append(
            f"The universe was empty on {', '.join(empty)}: nothing was scored until the next date on which it is "
            "selected."
        )
    return warnings
