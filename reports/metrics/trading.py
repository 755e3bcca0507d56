"""Exposure, turnover and costs from positions, fills and orders."""

from __future__ import annotations

import numpy as np
import pandas as pd

from backtests.common.share_tolerances import SHARE_TOLERANCE

__all__ = [
    "account_value",
    "daily_costs",
    "exposure_table",
    "position_weights",
    "trading_metrics",
    "turnover",
    "turnover_of_gross_book",
]


def account_value(positions: pd.DataFrame) -> pd.Series:
    """Value of the account at each close, in account currency: the sum of all positions and cash."""
    return positions.sum(axis=1)


def position_weights(positions: pd.DataFrame) -> pd.DataFrame:
    """Each position as a fraction of account value, without cash; NaN while that value is not positive."""
    value = account_value(positions)
    return positions.drop(columns="cash", errors="ignore").div(value.where(value > 0), axis=0)


def exposure_table(positions: pd.DataFrame) -> pd.DataFrame:
    """Exposure at each close as fractions of account value.

    Parameters
    ----------
    positions : DataFrame of shape (n_days, n_tickers + 1)
        Account currency per ticker, and `cash`.

    Returns
    -------
    DataFrame of shape (n_days, 6)
        `gross` (sum of absolute positions), `net`, `long`, `short` (negative), `largest` (largest absolute
        position) and `holdings` (number of positions). The first five are NaN while the account value
        is zero or less.
    """
    held = positions.drop(columns="cash", errors="ignore")
    value = account_value(positions)
    value = value.where(value > 0)
    amounts = held.to_numpy(dtype="float64")
    longs = pd.Series(np.where(amounts > 0, amounts, 0.0).sum(axis=1), index=positions.index)
    shorts = pd.Series(np.where(amounts < 0, amounts, 0.0).sum(axis=1), index=positions.index)
    largest = np.abs(amounts).max(axis=1, initial=0.0)
    return pd.DataFrame(
        {
            "gross": (longs - shorts) / value,
            "net": (longs + shorts) / value,
            "long": longs / value,
            "short": shorts / value,
            "largest": pd.Series(largest, index=positions.index) / value,
            # rounding remainders of share arithmetic are not positions
            "holdings": (np.abs(amounts) > SHARE_TOLERANCE * value.fillna(0.0).to_numpy()[:, None]).sum(axis=1),
        }
    )


def _per_session(values: pd.Series, sessions: pd.DatetimeIndex) -> pd.Series:
    return values.groupby(values.index).sum().reindex(sessions, fill_value=0.0)


def _traded_value(transactions: pd.DataFrame, sessions: pd.DatetimeIndex) -> pd.Series:
    return _per_session(transactions["amount"].abs() * transactions["price"], sessions)


def _value_before(returns: pd.Series, positions: pd.DataFrame) -> pd.Series:
    """Account value at the previous close; before the first day it is derived from the first return."""
    value = account_value(positions)
    before = value.shift(1)
    first = 1.0 + float(returns.reindex(value.index).iloc[0])
    before.iloc[0] = value.iloc[0] / first if first > 0 else np.nan
    return before.where(before > 0)


def turnover(returns: pd.Series, positions: pd.DataFrame, transactions: pd.DataFrame) -> pd.Series:
    """One-way turnover per session: half of the traded value over the account value at the previous close.

    Replacing all positions counts 1 (100 %). Annual turnover is the mean times the sessions a year.
    """
    return 0.5 * _traded_value(transactions, positions.index) / _value_before(returns, positions)


def turnover_of_gross_book(positions: pd.DataFrame, transactions: pd.DataFrame) -> pd.Series:
    """Daily turnover as in pyfolio: traded value over the mean of the gross exposure of this and the previous day.

    Equal to `pyfolio.txn.get_turnover(positions, transactions)`; purchases and sales both count, so replacing all
    positions is 2 (200 %).
    """
    gross = positions.drop(columns="cash", errors="ignore").abs().sum(axis=1)
    book = gross.rolling(2).mean()
    book.iloc[0] = gross.iloc[0] / 2
    return (_traded_value(transactions, positions.index) / book).fillna(0.0)


def daily_costs(transactions: pd.DataFrame, orders: pd.DataFrame | None, sessions: pd.DatetimeIndex) -> pd.DataFrame:
    """Commission and slippage paid on each session, in account currency.

    Returns
    -------
    DataFrame of shape (n_sessions, 2)
        `commission` from the fills and `slippage` from the orders. A column is NaN throughout when the frames do not
        record it for every fill: unknown costs are not zero.
    """
    costs = pd.DataFrame(np.nan, index=sessions, columns=["commission", "slippage"])
    if transactions.empty:
        return costs.fillna(0.0)
    if "commission" in transactions and transactions["commission"].notna().all():
        costs["commission"] = _per_session(transactions["commission"], sessions)
    if orders is not None and "slippage" in orders:
        executed = orders.dropna(subset=["executed"])
        if len(executed) and executed["slippage"].notna().all():
            days = pd.DatetimeIndex(executed["executed"]).normalize().as_unit("ns").tz_localize("UTC")
            costs["slippage"] = _per_session(pd.Series(executed["slippage"].to_numpy(), index=days), sessions)
    return costs


def trading_metrics(
    returns: pd.Series,
    positions: pd.DataFrame | None,
    transactions: pd.DataFrame | None,
    orders: pd.DataFrame | None,
    *,
    periods_per_year: float = 252.0,
) -> dict[str, float]:
    """Compute exposure, turnover and cost figures; NaN where the frames do not contain the data.

    Parameters
    ----------
    returns, positions, transactions, orders
        As in `BacktestResult`.
    periods_per_year : float
        Sessions a year, for `annual_turnover` and `annual_cost`.

    Returns
    -------
    dict
        Fractions of account value unless named: `gross_exposure_mean`, `gross_exposure_max`,
        `net_exposure_mean`, `net_exposure_min`, `net_exposure_max`, `long_exposure_mean`,
        `short_exposure_mean`, `largest_position_max`; `holdings_mean`, `holdings_max` (positions);
        `transactions` (count); `traded_value`, `commission_total`, `slippage_total` (account currency; NaN when
        they are not recorded for every fill); `commission_bps`, `slippage_bps` (of traded value);
        `annual_turnover` (one-way, see `turnover`), `pyfolio_daily_turnover`; `annual_cost` (commission and
        slippage a year, of account value; NaN when either is unknown); `orders` and `orders_<status>` (counts).
    """
    nan = float("nan")
    out: dict[str, float] = dict.fromkeys(
        (
            *(
                "gross_exposure_mean",
                "gross_exposure_max",
                "net_exposure_mean",
                "net_exposure_min",
                "net_exposure_max",
            ),
            *(
                "long_exposure_mean",
                "short_exposure_mean",
                "largest_position_max",
                "holdings_mean",
                "holdings_max",
            ),
            *(
                "transactions",
                "traded_value",
                "commission_total",
                "slippage_total",
                "commission_bps",
                "slippage_bps",
            ),
            *("annual_turnover", "pyfolio_daily_turnover", "annual_cost", "orders"),
        ),
        nan,
    )
    if positions is not None and len(positions):
        table = exposure_table(positions)
        for side in ("gross", "net", "long", "short"):
            out[f"{side}_exposure_mean"] = float(table[side].mean())
        out["gross_exposure_max"] = float(table["gross"].max())
        out["net_exposure_min"], out["net_exposure_max"] = (
            float(table["net"].min()),
            float(table["net"].max()),
        )
        out["largest_position_max"] = float(table["largest"].max())
        out["holdings_mean"], out["holdings_max"] = (
            float(table["holdings"].mean()),
            int(table["holdings"].max()),
        )
    if transactions is not None:
        sessions = returns.index
        traded = float((transactions["amount"].abs() * transactions["price"]).sum())
        costs = daily_costs(transactions, orders, sessions)
        out["transactions"], out["traded_value"] = len(transactions), traded
        for kind in ("commission", "slippage"):
            out[f"{kind}_total"] = float(costs[kind].sum(skipna=False))
        for kind in ("commission", "slippage"):
            out[f"{kind}_bps"] = 1e4 * out[f"{kind}_total"] / traded if traded > 0 else nan
        if positions is not None and len(positions):
            before = _value_before(returns, positions)
            share = costs.sum(axis=1, skipna=False).reindex(positions.index) / before
            out["annual_turnover"] = periods_per_year * float(turnover(returns, positions, transactions).mean())
            out["pyfolio_daily_turnover"] = float(turnover_of_gross_book(positions, transactions).mean())
            out["annual_cost"] = periods_per_year * float(share.mean())
    if orders is not None:
        out["orders"] = len(orders)
        for status, count in orders["status"].value_counts().sort_index().items():
            out[f"orders_{status}"] = int(count)
    return out
