"""What a reader must know before believing a run; the report prints these first."""

from __future__ import annotations

import numpy as np

from rnn_strategies.config import Config
from signals.calendar import sessions
from signals.models.external import KerasModel
from signals.models.own import OwnModel
from signals.prices import Prices
from signals.walk_forward import SignalResult

__all__ = ["only_survivors", "price_remarks", "signal_remarks"]


def price_remarks(prices: Prices) -> list[str]:
    """Remarks about the prices, the most serious first."""
    remarks = []
    if prices.simulated:
        remarks.append("The prices are simulated: nothing here says anything about a real market.")
    survivors = only_survivors(prices)
    if survivors:
        remarks.append(
            f"All {survivors} tickers trade to the end of the file: the universe holds survivors only, "
            "and results are flattered by knowing who would survive."
        )
    if prices.close_only:
        remarks.append("Only closing prices exist: orders fill at the next close, not the next open.")
    if not prices.raw_known:
        remarks.append(
            "Adjustment factors are unknown: price and dollar-volume filters use adjusted prices, "
            "which later splits and dividends have changed."
        )
    if not prices.volume_known:
        remarks.append("Volume is unknown: no filter looked at it, and it limits no order.")
    if absent := _empty_sessions(prices):
        remarks.append(absent)
    return remarks + list(prices.notes)


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


def signal_remarks(config: Config, result: SignalResult, prices: Prices) -> list[str]:
    """Remarks about the walk-forward."""
    remarks = list((result.trainer or {}).get("warnings", ()))
    if absent := config.universe.unknown(prices.tickers):
        more = f" and {len(absent) - 5:,} more" if len(absent) > 5 else ""
        remarks.append(
            f"The prices do not hold {', '.join(absent[:5])}{more}, which universe.include or exclude names: misspelt, "
            "or not in the file."
        )
    if result.folds["seed"].nunique() == 1 and not isinstance(config.model, OwnModel | KerasModel):
        remarks.append("One seed only: the spread between equally good networks is not shown; use three or more.")
    elif result.folds["seed"].nunique() > 1 and not result.signals["score_std"].any():
        remarks.append("All seeds gave the same scores: there is no chance in this model, and no spread to show.")
    # before the first date with enough history the universe is empty by definition
    sizes = list(result.universe_sizes.items())
    begun = next((i for i, (_, size) in enumerate(sizes) if size), len(sizes))
    empty = [day for day, size in sizes[begun:] if size == 0]
    if empty:
        remarks.append(f"The universe was empty on {', '.join(empty)}: nothing was scored until it was drawn again.")
    return remarks


def only_survivors(prices: Prices) -> int:
    """Return the number of tickers if, over more than two years, none of at least 20 stopped trading; else 0."""
    dates = prices.frame.index.get_level_values("date")
    codes = prices.frame.index.codes[prices.frame.index.names.index("ticker")]
    days = dates.to_numpy().astype("datetime64[D]")
    last = np.full(codes.max() + 1, days.min())
    np.maximum.at(last, codes, days)
    lived = last[np.unique(codes)]
    long_enough = days.max() - days.min() > np.timedelta64(2 * 365, "D")
    ended = (days.max() - lived) > np.timedelta64(30, "D")
    return 0 if ended.any() or not long_enough or len(lived) < 20 else len(lived)
