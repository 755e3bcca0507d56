"""Outcomes of names that stopped trading: large returns to a liquidation, which stand in for what holders received."""

from __future__ import annotations

import numpy as np
import pandas as pd

from signals.data.prices import Prices
from signals.dataset.labels import LabelSettings, forward_returns

__all__ = ["liquidation_warnings"]

# Size from which a substituted return is named, and how many are.
LARGE, LISTED = 0.5, 3


def liquidation_warnings(labels: pd.DataFrame, prices: Prices, settings: LabelSettings) -> list[str]:
    """Name scored rows whose forward return is a large one to a liquidation.

    Parameters
    ----------
    labels : DataFrame indexed by (date, ticker)
        `forward_return` of the rows whose outcome is known. Its dates are taken as the decision dates.
    prices : Prices
        Where the outcomes come from.
    settings : LabelSettings
        How they were measured.

    Returns
    -------
    list of str
        One sentence that names the largest of the returns of at least 50 % in size, or none.

    Notes
    -----
    A name without a bar for `delist_after` sessions is liquidated at its last price, less the haircut. That return
    stands in for one that was not measured: holders of a bankrupt company may receive less, those of an acquired one
    more. Rows whose return is not found again, since dates in between were not scored, are left out.
    """
    large = labels[labels["forward_return"].abs() >= LARGE]
    if large.empty:
        return []
    names = large.index.get_level_values("ticker").unique()
    panel = prices.panel().select(names)
    dates = np.unique(labels.index.get_level_values("date").to_numpy().astype("datetime64[D]"))
    forward, end, closed = forward_returns(panel, np.searchsorted(panel.dates, dates).astype(np.int64), settings)
    found = []
    place = {ticker: i for i, ticker in enumerate(panel.tickers)}
    for (date, ticker), value in large["forward_return"].items():
        i, k = place[ticker], int(np.searchsorted(dates, date.to_datetime64().astype("datetime64[D]")))
        # an exit without a bar is a liquidation
        if (
            end[i, k] >= 0
            and not closed[i, k]
            and not panel.traded[end[i, k], i]
            and np.isclose(forward[i, k], value, rtol=1e-9)
        ):
            found.append((float(value), ticker, date, panel.dates[end[i, k]]))
    if not found:
        return []
    found.sort(key=lambda one: (-abs(one[0]), one[1], one[2]))
    listed = ", ".join(
        f"{ticker} {value:+.1%} from {date:%Y-%m-%d} to {day}" for value, ticker, date, day in found[:LISTED]
    )
    more = f" and {len(found) - LISTED:,} more" if len(found) > LISTED else ""
    return [
        "Returns to a liquidation at the last price, which stand in for what holders of names that stopped trading "
        f"received, are large: {listed}{more}; look at how these names ended, and set broker.delist_haircut."
    ]
