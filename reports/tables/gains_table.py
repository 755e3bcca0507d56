"""Table of gains by ticker, with the cash flows that reconcile them with the change of the account."""

from __future__ import annotations

import numpy as np
import pandas as pd

from backtests.gains import account_flows, unexplained
from reports.common.number_format import DASH, count, money
from reports.common.run_data import RunData
from reports.metrics.gains import TIE, gains_of_trips
from reports.tables.table import Table

__all__ = ["gains_table"]


def gains_table(run: RunData, trips: pd.DataFrame, still_open: pd.DataFrame, *, top: int = 10) -> Table | None:
    """List the largest gains and losses by ticker and the reconciling rows; None without positions or trades."""
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
    residual = unexplained(change, run.positions, run.transactions, run.cash_flows)
    if not abs(residual) <= TIE * max(abs(start), float(np.abs(run.positions.iloc[-1]).sum())):
        rows.append(("Not recorded", *[DASH] * 4, money(residual)))
    rows.append(("Change of the account", *[DASH] * 4, money(change)))
    note = (
        "Account currency. Closed and still open: price gains by first in, first out, open positions at the last "
        "close. Dividends include cash in lieu of fractional shares."
    )
    columns = ("Ticker", "Closed", "Still open", "Dividends", "Commission", "Gain")
    return Table("Gains by ticker", columns, tuple(rows), note)
