"""Round trips: each sale matched with the oldest shares still held, fractions of shares included.

pyfolio casts amounts to whole shares and makes one Python object a share; this does neither, and agrees
with it where shares are whole.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["ROUND_TRIP_COLUMNS", "round_trips", "summarise_round_trips"]

ROUND_TRIP_COLUMNS = (
    "symbol",
    "side",
    "opened",
    "closed",
    "shares",
    "invested",
    "pnl",
    "commission",
    "net_return",
    "holding_days",
)

# Shares left over by rounding, relative to the fill: 0.1 + 0.2 - 0.3 is not a position.
_DUST = 1e-9


@dataclass(slots=True)
class _Lot:
    """Shares bought (or sold short) in one fill and not yet matched."""

    day: int
    shares: float
    price: float
    commission: float  # per share


def round_trips(transactions: pd.DataFrame | None, cash_flows: pd.DataFrame | None = None) -> pd.DataFrame:
    """Match fills first in, first out.

    Parameters
    ----------
    transactions : DataFrame indexed by date, or None
        Columns `amount` (shares, negative for sales), `price`, `symbol` and optionally `commission` (account
        currency). Fills of one symbol on one session in the same direction count as one, at their average
        price.
    cash_flows : DataFrame indexed by date, optional
        As in `BacktestResult`: splits (`ticker`, `shares`) change the shares that are held, and what each cost, before
        the fills of their session.

    Returns
    -------
    DataFrame
        One row per closing fill: `symbol`, `side` ("long" or "short"), `opened` (session of the oldest share
        matched), `closed`, `shares`, `invested` (what those shares cost to open), `pnl` (before commission),
        `commission` (of both ends, pro rata), `net_return` ((pnl - commission) / invested) and `holding_days`
        (calendar days, mean over the shares). Shares still held at the end are no round trip. Sorted by
        `closed`, then `symbol`.

    Notes
    -----
    A partial sale is a round trip of the shares sold, so a portfolio that is trimmed every week has many of
    them. Profits are those of prices: dividends, fees, interest and cash paid for parts of shares are cash flows.

    >>> days = pd.DatetimeIndex(["2024-01-02", "2024-01-04"], tz="UTC")
    >>> fills = pd.DataFrame({"amount": [1.5, -1.5], "price": [10.0, 20.0], "symbol": "A"}, index=days)
    >>> round_trips(fills)[["shares", "pnl", "holding_days"]].values.tolist()
    [[1.5, 15.0, 2.0]]
    """
    rows: list[tuple[object, ...]] = []
    if transactions is not None and len(transactions):
        fills = _daily_fills(transactions)
        splits = _splits(cash_flows)
        for symbol, mine in fills.groupby("symbol", sort=True):
            rows.extend(
                (symbol, *row)
                for row in _match(
                    mine["day"].to_numpy(),
                    mine["amount"].to_numpy(),
                    mine["price"].to_numpy(),
                    mine["commission"].to_numpy(),
                    splits.get(symbol, []),
                )
            )
    trips = pd.DataFrame(
        rows,
        columns=[
            "symbol",
            "side",
            "opened",
            "closed",
            "shares",
            "invested",
            "pnl",
            "commission",
            "holding_days",
        ],
    )
    for column in ("opened", "closed"):
        trips[column] = pd.to_datetime(trips[column].astype("int64"), unit="D", utc=True).astype("datetime64[ns, UTC]")
    for column in ("shares", "invested", "pnl", "commission", "holding_days"):
        trips[column] = trips[column].astype("float64")
    trips["net_return"] = (trips["pnl"] - trips["commission"]) / trips["invested"].where(trips["invested"] > 0)
    return trips[list(ROUND_TRIP_COLUMNS)].sort_values(["closed", "symbol"], kind="stable", ignore_index=True)


def _days(index: pd.Index) -> NDArray[np.int64]:
    days = index.tz_localize(None).normalize() if isinstance(index, pd.DatetimeIndex) else pd.to_datetime(index)
    return np.asarray(days.to_numpy().astype("datetime64[D]").astype("int64"))


def _splits(cash_flows: pd.DataFrame | None) -> dict[object, list[tuple[int, float]]]:
    """Day and change of shares of every split, by symbol, in order."""
    found: dict[object, list[tuple[int, float]]] = {}
    if cash_flows is not None and "shares" in cash_flows:
        days, shares = _days(cash_flows.index), cash_flows["shares"].to_numpy(dtype="float64")
        for row in np.flatnonzero(shares != 0.0):
            found.setdefault(cash_flows["ticker"].iloc[row], []).append((int(days[row]), float(shares[row])))
    return found


def _daily_fills(transactions: pd.DataFrame) -> pd.DataFrame:
    """Put fills in order, those of one symbol, session and direction merged at their average price."""
    fills = pd.DataFrame(
        {
            "symbol": transactions["symbol"].astype(object).to_numpy(),
            "day": _days(transactions.index),
            "amount": transactions["amount"].to_numpy(dtype="float64"),
            "price": transactions["price"].to_numpy(dtype="float64"),
            "commission": transactions["commission"].to_numpy(dtype="float64") if "commission" in transactions else 0.0,
        }
    )
    fills = fills[np.isfinite(fills["price"]) & (fills["amount"] != 0)]
    fills = fills.sort_values(["symbol", "day"], kind="stable", ignore_index=True)
    turned = (fills["symbol"] != fills["symbol"].shift()) | (fills["day"] != fills["day"].shift())
    turned |= np.sign(fills["amount"]) != np.sign(fills["amount"].shift())
    fills["value"] = fills["amount"] * fills["price"]
    merged = fills.groupby(turned.cumsum().to_numpy()).agg(
        {"symbol": "first", "day": "first", "amount": "sum", "value": "sum", "commission": "sum"}
    )
    merged["price"] = merged["value"] / merged["amount"]
    return merged


def _match(
    days: NDArray[np.int64],
    amounts: NDArray[np.float64],
    prices: NDArray[np.float64],
    commissions: NDArray[np.float64],
    splits: list[tuple[int, float]],
) -> list[tuple[object, ...]]:
    """Round trips of one symbol."""
    waiting = deque(splits)
    rows: list[tuple[object, ...]] = []
    lots: deque[_Lot] = deque()
    direction = 0.0
    for day, amount, price, commission in zip(
        days.tolist(), amounts.tolist(), prices.tolist(), commissions.tolist(), strict=True
    ):
        while waiting and waiting[0][0] <= day:
            _split(lots, direction * waiting.popleft()[1])
        left = abs(amount)
        per_share = commission / left
        if lots and direction * amount < 0:
            opened = lots[0].day
            matched = invested = paid = age = 0.0
            while lots and left > _DUST * abs(amount):
                lot = lots[0]
                shares = min(lot.shares, left)
                matched += shares
                invested += shares * lot.price
                paid += shares * (lot.commission + per_share)
                age += shares * (day - lot.day)
                left -= shares
                lot.shares -= shares
                if lot.shares <= _DUST * shares:
                    lots.popleft()
            pnl = direction * (matched * price - invested)
            side = "long" if direction > 0 else "short"
            rows.append((side, opened, day, matched, invested, pnl, paid, age / matched))
        if left > _DUST * abs(amount):
            direction = 1.0 if amount > 0 else -1.0
            lots.append(_Lot(day, left, price, per_share))
    return rows


def _split(lots: deque[_Lot], change: float) -> None:
    """Spread a change of shares over the lots; what they cost stays."""
    held = sum(lot.shares for lot in lots)
    if held <= 0.0 or held + change <= _DUST * held:
        lots.clear()  # less than a share was left, and paid out
        return
    ratio = (held + change) / held
    for lot in lots:
        lot.shares *= ratio
        lot.price /= ratio
        lot.commission /= ratio


def summarise_round_trips(trips: pd.DataFrame) -> dict[str, float | int]:
    """Figures of `round_trips`' result, after commission; NaN where there is nothing to average.

    Returns
    -------
    dict
        `round_trips` (count), `round_trip_win_rate` (share with a net gain), `round_trip_mean_pnl` and
        `round_trip_total_pnl` (account currency), `round_trip_mean_return` and `round_trip_median_return` (of
        the money invested), `round_trip_profit_factor` (gains / losses), `round_trip_mean_holding_days`
        (calendar days).
    """
    net = trips["pnl"] - trips["commission"]
    gains, losses = float(net[net > 0].sum()), float(-net[net < 0].sum())
    empty = len(trips) == 0
    return {
        "round_trips": len(trips),
        "round_trip_win_rate": float("nan") if empty else float((net > 0).mean()),
        "round_trip_mean_pnl": float(net.mean()),
        "round_trip_total_pnl": float(net.sum()),
        "round_trip_mean_return": float(trips["net_return"].mean()),
        "round_trip_median_return": float(trips["net_return"].median()),
        "round_trip_profit_factor": gains / losses if losses > 0 else float("nan"),
        "round_trip_mean_holding_days": float(trips["holding_days"].mean()),
    }
