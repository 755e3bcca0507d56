"""Warnings about large liquidation returns of delisted tickers."""

from __future__ import annotations

import numpy as np
import pandas as pd

from signals.data.prices import Prices
from signals.dataset.labels import LabelSettings, forward_returns

__all__ = ["liquidation_warnings"]

# Smallest absolute return that is reported, and the number of returns that are listed.
LARGE, LISTED = 0.5, 3


def liquidation_warnings(labels: pd.DataFrame, prices: Prices, settings: LabelSettings) -> list[str]:
    """Report scored rows whose forward return is a large return to a liquidation.

    Parameters
    ----------
    labels : DataFrame indexed by (date, ticker)
        Column `forward_return` of the rows whose outcome is known; its dates are taken as the decision dates.
    prices : Prices
        Prices from which the returns were computed.
    settings : LabelSettings
        Definition of the returns.

    Returns
    -------
    list of str
        One sentence that lists the largest returns of at least 50 % in absolute value; empty when there are none.

    Notes
    -----
    A ticker without a bar for `delist_after_sessions` sessions is liquidated at its last price, less the haircut. This
    return replaces one that cannot be measured: holders of a bankrupt company may receive less, holders of an acquired
    company more. Rows whose return cannot be reproduced, because dates in between were not scored, are omitted.
    """
    large = labels[labels["forward_return"].abs() >= LARGE]
    if large.empty:
        return []
    names = large.index.get_level_values("ticker").unique()
    panel = prices.panel().select(names)
    dates = np.unique(labels.index.get_level_values("date").to_numpy().astype("datetime64[D]"))
    forward, end, closed = forward_returns(panel, np.searchsorted(panel.dates, dates).astype(np.int64), settings)
    liquidations = []
    column = {ticker: i for i, ticker in enumerate(panel.tickers)}
    for (date, ticker), value in large["forward_return"].items():
        i, k = column[ticker], int(np.searchsorted(dates, date.to_datetime64().astype("datetime64[D]")))
        # an exit without a bar is a liquidation
        if (
            end[i, k] >= 0
            and not closed[i, k]
            and not panel.traded[end[i, k], i]
            and np.isclose(forward[i, k], value, rtol=1e-9)
        ):
            liquidations.append((float(value), ticker, date, panel.dates[end[i, k]]))
    if not liquidations:
        return []
    liquidations.sort(key=lambda row: (-abs(row[0]), row[1], row[2]))
    listed = ", ".join(
        f"{ticker} {value:+.1%} from {date:%Y-%m-%d} to {day}" for value, ticker, date, day in liquidations[:LISTED]
    )
    more = f" and {len(liquidations) - LISTED:,} more" if len(liquidations) > LISTED else ""
    return [
        "Returns to a liquidation at the last price, which approximate what holders of delisted tickers received, are "
        f"large: {listed}{more}; check how these tickers were delisted, and set broker.delist_haircut."
    ]
