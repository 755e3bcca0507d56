"""Gains by ticker from round trips: closed, open, dividends and commission, and their check against the fills."""

from __future__ import annotations

import pandas as pd

from backtests.gains import gains_by_ticker
from reports.metrics.round_trips import open_trips, round_trips

__all__ = ["TIE", "gains_of_trips", "trips_gap"]

# Largest error of the identities, relative to the account and what it traded.
TIE = 1e-9


def gains_of_trips(trips: pd.DataFrame, still_open: pd.DataFrame) -> pd.DataFrame:
    """Gains of each ticker by its round trips, in account currency.

    Parameters
    ----------
    trips, still_open : DataFrame
        From `round_trips` and `open_trips`.

    Returns
    -------
    DataFrame indexed by ticker
        `closed` and `open` (price gains), `dividends`, `commission` (positive) and `gain`, their sum minus
        commission.
    """
    both = pd.concat([trips, still_open], ignore_index=True)
    frame = pd.DataFrame(
        {
            "closed": trips["pnl"].groupby(trips["symbol"]).sum(),
            "open": still_open["pnl"].groupby(still_open["symbol"]).sum(),
            "dividends": both["dividends"].groupby(both["symbol"]).sum(),
            "commission": both["commission"].groupby(both["symbol"]).sum(),
        }
    ).fillna(0.0)
    return frame.assign(gain=frame["closed"] + frame["open"] + frame["dividends"] - frame["commission"])


def trips_gap(
    positions: pd.DataFrame, transactions: pd.DataFrame, cash_flows: pd.DataFrame | None
) -> tuple[str, float] | None:
    """First ticker whose gain by round trips differs from its gain by fills, cash flows and last position.

    Returns
    -------
    tuple of (str, float) or None
        Ticker and difference in account currency; None when all tickers agree.
    """
    trips = round_trips(transactions, cash_flows)
    by_trip = gains_of_trips(trips, open_trips(transactions, cash_flows, positions))["gain"]
    by_fill = gains_by_ticker(positions, transactions, cash_flows)["gain"]
    gap = by_trip.sub(by_fill, fill_value=0.0).abs()
    traded = float((transactions["amount"] * transactions["price"]).abs().sum())
    wrong = ~(gap <= TIE * max(traded, 1.0))
    if not wrong.any():
        return None
    ticker = gap[wrong].index[0]
    return str(ticker), float(gap[ticker])
