"""What a reader must know before believing a run; the report prints these first."""

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

# Moves that a warning names.
LISTED = 3


def price_warnings(prices: Prices, filters: UniverseFilters | None = None) -> list[str]:
    """List warnings about the prices, the most serious first.

    Parameters
    ----------
    prices : Prices
        As they passed `check_prices`; the notes of that check come last.
    filters : UniverseFilters, optional
        Filters of the run, for warnings that depend on them.
    """
    warnings = []
    if prices.simulated:
        warnings.append("The prices are simulated: nothing here says anything about a real market.")
    bias = survivorship_bias(lifetimes(prices))
    if bias is not None:
        warnings.append(
            f"{bias.finding[0].upper()}{bias.finding[1:]}; results are flattered by knowing which names survive."
        )
    bars = histories(prices)
    filtered = filters is not None and filters.min_price is not None
    missing = missing_splits(bars)
    if missing is not None:
        warnings.append(f"{missing.sentence(raw_known=prices.raw_known, filtered=filtered)}.")
    if jumps := split_like_jumps(bars):
        more = f" and {len(jumps) - LISTED:,} more" if len(jumps) > LISTED else ""
        one = len(jumps) == 1
        warnings.append(
            f"{'One overnight move looks' if one else f'{len(jumps):,} overnight moves look'} like "
            f"{'a split' if one else 'splits'} that the prices are not adjusted for, or like "
            f"{'a misprint' if one else 'misprints'}: {', '.join(map(str, jumps[:LISTED]))}{more}; adjust the prices "
            "for splits, or leave such names out."
        )
    if prices.close_only:
        warnings.append("Only closing prices exist: orders fill at the next close, not the next open.")
    if not prices.raw_known:
        warnings.append(
            "Adjustment factors are unknown: price and dollar-volume filters use adjusted prices, "
            "which later splits and dividends have changed."
        )
    if not prices.volume_known:
        warnings.append("Volume is unknown: no filter looked at it, and it limits no order.")
    if absent := _empty_sessions(prices):
        warnings.append(absent)
    return warnings + list(prices.warnings)


def _empty_sessions(prices: Prices) -> str:
    """Name sessions on which no ticker has a bar; empty for none, and where bars are weekly or monthly."""
    held = prices.frame.index.levels[0].to_numpy().astype("datetime64[D]")
    expected = sessions(held[0], held[-1], prices.calendar)
    empty = expected[~np.isin(expected, held)]
    # the price source itself says so of bars that lie weeks apart
    if not len(empty) or len(empty) > len(expected) / 2:
        return ""
    listed = ", ".join(map(str, empty[:5])) + (f" and {len(empty) - 5:,} more" if len(empty) > 5 else "")
    plural = "" if len(empty) == 1 else "s"
    return (
        f"No ticker has a bar on {len(empty):,} session{plural} of {prices.calendar}: {listed}. Nothing is decided or "
        "traded on such a day; if the market was open, the data lack it."
    )


def signal_warnings(config: Config, result: SignalResult, prices: Prices) -> list[str]:
    """Remarks about the walk-forward."""
    warnings = [*(result.trainer or {}).get("warnings", ()), *result.warnings]
    if absent := config.universe.unknown(prices.tickers):
        more = f" and {len(absent) - 5:,} more" if len(absent) > 5 else ""
        warnings.append(
            f"The prices do not hold {', '.join(absent[:5])}{more}, which universe.include or exclude names: misspelt, "
            "or not in the file."
        )
    if result.folds["seed"].nunique() == 1 and not isinstance(config.model, CustomModel | SavedKerasModel):
        warnings.append("One seed only: the spread between equally good networks is not shown; use three or more.")
    elif result.folds["seed"].nunique() > 1 and not result.signals["score_std"].any():
        warnings.append("All seeds gave the same scores: there is no chance in this model, and no spread to show.")
    if small := small_universe_warning(config.labels, result.universe_sizes):
        warnings.append(small)
    # before the first date with enough history the universe is empty by definition
    sizes = list(result.universe_sizes.items())
    begun = next((i for i, (_, size) in enumerate(sizes) if size), len(sizes))
    empty = [day for day, size in sizes[begun:] if size == 0]
    if empty:
        warnings.append(f"The universe was empty on {', '.join(empty)}: nothing was scored until it was drawn again.")
    return warnings
