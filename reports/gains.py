"""Gains by ticker: closed round trips, what is still open, dividends and commission, tied to the account's change."""

from __future__ import annotations

import numpy as np
import pandas as pd

from backtests.gains import account_flows, gains_by_ticker, unexplained
from reports.formats import DASH, count, money
from reports.round_trips import open_trips, round_trips
from reports.run_files import RunData
from reports.tables import Table

__all__ = ["TIE", "gains_of_trips", "gains_table", "trips_gap"]

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
        `closed` and `open` (gains of prices), `dividends`, `commission` (above zero) and `gain`, their sum after
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
    """Ticker whose round trips do not add up to what its fills, flows and last position say; None when all do.

    Returns
    -------
    tuple of (str, float) or None
        Ticker, and by how much in account currency.
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


def gains_table(run: RunData, trips: pd.DataFrame, still_open: pd.DataFrame, *, top: int = 10) -> Table | None:
    """List the largest gains and losses by ticker, and what adds them up to the account; None when nothing is known."""
    if run.positions is None or run.transactions is None or not len(run.positions) or run.transactions.empty:
        return None
    gains = gains_of_trips(trips, still_open)
    names = gains["gain"].abs().sort_values(ascending=False, kind="stable").index
    known = "commission" in run.transactions and not run.transactions["commission"].isna().any()

    def cells(row: pd.Series) -> tuple[str, ...]:
        commission = money(-row["commission"]) if known else "unknown"
        return money(row["closed"]), money(row["open"]), money(row["dividends"]), commission, money(row["gain"])

    rows = [(str(name), *cells(gains.loc[name])) for name in names[:top]]
    if len(names) > top:
        rows.append((f"{count(len(names) - top)} others", *cells(gains.loc[names[top:]].sum())))
    flows = account_flows(run.cash_flows, gains.index)
    rows += [(kind[:1].upper() + kind[1:], *[DASH] * 4, money(amount)) for kind, amount in flows.items()]
    value = run.positions.sum(axis=1)
    start = float(value.iloc[0]) / (1.0 + float(run.returns.iloc[0]))
    change = float(value.iloc[-1]) - start
    rest = unexplained(change, run.positions, run.transactions, run.cash_flows)
    if not abs(rest) <= TIE * max(abs(start), float(np.abs(run.positions.iloc[-1]).sum())):
        rows.append(("Not recorded", *[DASH] * 4, money(rest)))
    rows.append(("Change of the account", *[DASH] * 4, money(change)))
    note = (
        "Account currency; closed and open are gains of prices, first in, first out, open ones at the last close; "
        "dividends include cash in lieu of parts of a share."
    )
    columns = ("Ticker", "Closed", "Still open", "Dividends", "Commission", "Gain")
    return Table("Gains by ticker", columns, tuple(rows), note)
