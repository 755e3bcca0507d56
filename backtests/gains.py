"""Gains by ticker, cash flows of the account, and their difference from the change of the account."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["GAIN_COLUMNS", "account_flows", "gains_by_ticker", "unexplained"]

GAIN_COLUMNS = ("price_gain", "dividends", "commission", "gain", "open_value")


def gains_by_ticker(
    positions: pd.DataFrame, transactions: pd.DataFrame, cash_flows: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Attribute the gain of the account to its tickers.

    Parameters
    ----------
    positions : DataFrame
        As in `BacktestResult`: account currency at each close, `cash` last. The last row values open positions.
    transactions : DataFrame
        Fills with `amount`, `price`, `symbol` and, where it is known, `commission`.
    cash_flows : DataFrame, optional
        With `ticker` and `amount`; None for no cash flows.

    Returns
    -------
    DataFrame indexed by ticker, sorted, one row for each ticker that was traded or is held at the end
        Account currency. `price_gain`: proceeds of sales less cost of purchases plus `open_value`, the value of the
        position at the last close; `dividends`: dividends and cash in lieu of fractional shares, negative when paid on
        a short position; `commission`: paid, positive; `gain` = `price_gain` + `dividends` - `commission`.

    Examples
    --------
    >>> days = pd.DatetimeIndex(["2024-01-02", "2024-01-03"], tz="UTC")
    >>> held = pd.DataFrame({"A": [100.0, 120.0], "cash": [899.0, 899.0]}, index=days)
    >>> fills = pd.DataFrame({"amount": [10.0], "price": [10.0], "symbol": ["A"], "commission": [1.0]}, index=days[:1])
    >>> gains_by_ticker(held, fills)["gain"].to_dict()
    {'A': 19.0}
    """
    tickers = positions.columns.drop("cash", errors="ignore")
    symbols = transactions["symbol"]
    unknown = symbols[~symbols.isin(tickers)].unique().tolist()
    names = pd.Index([*tickers, *unknown], dtype=object)
    where = names.get_indexer(symbols)
    count = len(names)
    paid = transactions["amount"].to_numpy(np.float64) * transactions["price"].to_numpy(np.float64)
    spent = np.bincount(where, weights=paid, minlength=count)
    fee = transactions["commission"].to_numpy(np.float64) if "commission" in transactions else np.zeros(len(paid))
    fees = np.bincount(where, weights=np.nan_to_num(fee), minlength=count)
    open_value = np.zeros(count)
    if len(positions):
        open_value[: len(tickers)] = positions[tickers].iloc[-1].to_numpy(np.float64)
    dividends: NDArray[np.float64] = np.zeros(count)
    if cash_flows is not None and len(cash_flows):
        at = names.get_indexer(cash_flows["ticker"])
        amount = cash_flows["amount"].to_numpy(np.float64)
        np.add.at(dividends, at[at >= 0], amount[at >= 0])
    price_gain = open_value - spent
    columns = (price_gain, dividends, fees, price_gain + dividends - fees, open_value)
    traded = np.bincount(where, minlength=count) > 0
    frame = pd.DataFrame(dict(zip(GAIN_COLUMNS, columns, strict=True)), index=names.rename("ticker"))
    return frame[traded | (open_value != 0.0) | (dividends != 0.0)].sort_index(axis=0)


def account_flows(cash_flows: pd.DataFrame | None, tickers: pd.Index) -> pd.Series:
    """Cash flows without a ticker, summed by kind: fees, interest, deposits; negative when paid."""
    if cash_flows is None or not len(cash_flows):
        return pd.Series(dtype=np.float64)
    own = cash_flows[~cash_flows["ticker"].isin(tickers)]
    return own["amount"].groupby(own["kind"]).sum()


def unexplained(
    change: float, positions: pd.DataFrame, transactions: pd.DataFrame, cash_flows: pd.DataFrame | None
) -> float:
    """Part of the account's change that neither gains of tickers nor recorded cash flows explain; 0 up to rounding.

    Parameters
    ----------
    change : float
        Value of the account at the last close less the cash it began with.
    positions, transactions, cash_flows : DataFrame
        As in `gains_by_ticker`.
    """
    gains = gains_by_ticker(positions, transactions, cash_flows)
    other_flows = account_flows(cash_flows, gains.index)
    return change - math.fsum(gains["gain"]) - math.fsum(other_flows)
