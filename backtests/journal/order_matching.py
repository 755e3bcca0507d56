"""Which order each fill of a backtest belongs to: a finished run becomes a journal."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.common.errors import InputError

__all__ = ["FinishedBacktest", "journal_of"]

# Sizes, prices and commissions this close are the same: averages over fills are rounded.
SAME = 1e-9

# Combinations of fills tried for one order before its fills count as untraceable.
PATIENCE = 20_000

# Fills without an owner yet, and those of liquidations.
NOBODY, BROKER = -2, -1


class FinishedBacktest(Protocol):
    """Frames of a `BacktestResult` that a journal is made from."""

    @property
    def returns(self) -> pd.Series:
        """Simple returns by session."""
        ...

    @property
    def orders(self) -> pd.DataFrame:
        """Orders with their status, size, average price and commission."""
        ...

    @property
    def transactions(self) -> pd.DataFrame:
        """Fills with their ticker, amount, price and commission."""
        ...


def journal_of(result: FinishedBacktest) -> pd.DataFrame:
    """Frame of the fills of a backtest, each with the order it belongs to, and how its market orders ended.

    Transactions do not name their order, so it is found: same ticker and side, filled after it was given and no later
    than its last fill, and adding up to what the order says was filled, at its average price and commission.

    Raises
    ------
    InputError
        When fills and orders do not belong together.
    """
    orders, fills = result.orders, result.transactions
    own = orders[orders["type"] == "liquidation"]
    given = orders[orders["type"] != "liquidation"].copy()
    given["number"] = given.groupby(["submitted", "ticker"]).cumcount() + 1
    table = pd.DataFrame(
        {
            "date": fills.index.tz_localize(None).as_unit("ns"),
            "ticker": fills["symbol"].to_numpy(dtype=object),
            "amount": fills["amount"].to_numpy(np.float64),
            "price": fills["price"].to_numpy(np.float64),
            "commission": fills["commission"].to_numpy(np.float64),
        }
    )
    table["given"] = np.datetime64("NaT", "ns")
    table["number"] = 0
    owner = _owners(table, own, given)
    kept = owner >= 0
    rows = given.loc[owner[kept]]
    table.loc[kept, "given"] = rows["submitted"].to_numpy()
    table.loc[kept, "number"] = rows["number"].to_numpy()
    table = table[kept].assign(status="", reason="")
    table["given"] = table["given"].astype("datetime64[ns]")
    sessions = pd.DatetimeIndex(result.returns.index).tz_localize(None).as_unit("ns")
    return pd.concat([table, _endings(given, sessions)], ignore_index=True)


def _endings(given: pd.DataFrame, sessions: pd.DatetimeIndex) -> pd.DataFrame:
    """How market orders ended: they live for one session, the one after they were given."""
    ended = given[(given["type"] == "market") & given["status"].isin(["margin", "rejected", "expired", "partial"])]
    place = sessions.searchsorted(ended["submitted"].to_numpy(), side="right")
    ended = ended[place < len(sessions)]
    place = place[place < len(sessions)]
    return pd.DataFrame(
        {
            "date": sessions[place],
            "ticker": ended["ticker"].to_numpy(dtype=object),
            "amount": 0.0,
            "price": np.nan,
            "commission": 0.0,
            "given": ended["submitted"].to_numpy(),
            "number": ended["number"].to_numpy(),
            "status": ended["status"].replace("partial", "expired").to_numpy(dtype=object),
            "reason": ended["reason"].to_numpy(dtype=object),
        }
    )


def _owners(table: pd.DataFrame, own: pd.DataFrame, given: pd.DataFrame) -> NDArray[np.int64]:
    """Index label of the order of each fill, `BROKER` for those of liquidations."""
    owner = np.full(len(table), NOBODY, dtype=np.int64)
    by_ticker = {ticker: rows.to_numpy() for ticker, rows in pd.Series(table.index).groupby(table["ticker"].to_numpy())}
    columns = {name: table[name].to_numpy() for name in ("date", "amount", "price", "commission")}
    doubtful = []
    for label, orders in ((BROKER, own), (NOBODY, given)):
        for order in orders[orders["filled"] > 0.0].itertuples():
            rows = _candidates(order, by_ticker, owner, columns)
            found = _single(order, rows, columns)
            if found is None:
                doubtful.append(order)
            else:
                owner[found] = order.Index if label == NOBODY else BROKER
    # orders with one fill leave no doubt, so that those with several have few to choose from
    for order in doubtful:
        owner[_several(order, _candidates(order, by_ticker, owner, columns), columns)] = order.Index
    if (owner == NOBODY).any():
        row = table.iloc[int(np.argmax(owner == NOBODY))]
        raise InputError(
            f"expected an order for every fill of the result; found none for {row['amount']:+,.10g} {row['ticker']} on "
            f"{row['date']:%Y-%m-%d}; give the result as run_backtest returned it"
        )
    return owner


def _candidates(
    order: Any, by_ticker: dict[str, NDArray[Any]], owner: NDArray[np.int64], columns: dict[str, NDArray[Any]]
) -> NDArray[Any]:
    rows = by_ticker.get(order.ticker, np.zeros(0, dtype=np.int64))
    day, amount = columns["date"][rows], columns["amount"][rows]
    side = 1.0 if order.side == "buy" else -1.0
    first, last = np.datetime64(order.submitted), np.datetime64(order.executed)
    chosen: NDArray[Any] = rows[(owner[rows] == NOBODY) & (day >= first) & (day <= last) & (amount * side > 0.0)]
    return chosen


def _single(order: Any, rows: NDArray[Any], columns: dict[str, NDArray[Any]]) -> int | None:
    last = np.datetime64(order.executed)
    for k in rows:
        if columns["date"][k] == last and _same([k], order, columns):
            return int(k)
    return None


def _same(rows: list[int], order: Any, columns: dict[str, NDArray[Any]]) -> bool:
    size = np.abs(columns["amount"][rows])
    total = float(size.sum())
    price = float((size * columns["price"][rows]).sum()) / total
    fee = float(columns["commission"][rows].sum())
    return bool(
        abs(total - order.filled) <= SAME * order.filled
        and abs(price - order.price) <= SAME * order.price
        and abs(fee - order.commission) <= SAME * max(order.commission, 1e-6)
    )


def _several(order: Any, rows: NDArray[Any], columns: dict[str, NDArray[Any]]) -> list[int]:
    """Find fills that add up to the order, the earliest ones that do: at most one a session, or any if need be."""
    for once in (True, False):
        found = _sum_up(order, rows, columns, once=once)
        if found:
            return found
    raise InputError(
        f"expected fills that add up to {order.filled:,.10g} {order.ticker} of the order given on "
        f"{order.submitted:%Y-%m-%d}; found none; give the result as run_backtest returned it"
    )


def _sum_up(order: Any, rows: NDArray[Any], columns: dict[str, NDArray[Any]], *, once: bool) -> list[int]:
    size, day, last = np.abs(columns["amount"]), columns["date"], np.datetime64(order.executed)
    left = PATIENCE
    stack: list[tuple[int, list[int], float]] = [(0, [], 0.0)]
    while stack and left:
        left -= 1
        at, taken, total = stack.pop()
        if taken and day[taken[-1]] == last and _same(taken, order, columns):
            return taken
        if at == len(rows) or total > order.filled * (1.0 + SAME):
            continue
        row = int(rows[at])
        # leaving a fill out is tried after taking it
        stack.append((at + 1, taken, total))
        if not (once and taken and day[taken[-1]] == day[row]):
            stack.append((at + 1, [*taken, row], total + float(size[row])))
    return []
