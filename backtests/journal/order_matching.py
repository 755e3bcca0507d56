"""Assignment of the fills of a backtest to their orders, for a journal of a finished run."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.common.errors import InputError

__all__ = ["FinishedBacktest", "journal_of"]

# Relative tolerance of sizes, prices and commissions, because averages over fills are rounded.
SAME = 1e-9

# Maximum number of combinations of fills tried for one order.
MAX_COMBINATIONS = 20_000

# Owner of fills that are not yet assigned, and of fills of liquidations.
UNASSIGNED, BROKER = -2, -1


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
    """Create the frame of a journal from a backtest: fills with their orders, and ends of market orders.

    Transactions do not contain their order. The order of a fill has the same ticker and side, was submitted before the
    fill and has its last fill no earlier; its fills add up to its filled size, average price and commission.

    Raises
    ------
    InputError
        When fills and orders are inconsistent.
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
    """Return the ends of market orders, which are valid for one session, the one after their submission."""
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
    owner = np.full(len(table), UNASSIGNED, dtype=np.int64)
    by_ticker = {ticker: rows.to_numpy() for ticker, rows in pd.Series(table.index).groupby(table["ticker"].to_numpy())}
    columns = {name: table[name].to_numpy() for name in ("date", "amount", "price", "commission")}
    ambiguous = []
    for label, orders in ((BROKER, own), (UNASSIGNED, given)):
        for order in orders[orders["filled"] > 0.0].itertuples():
            rows = _candidates(order, by_ticker, owner, columns)
            row_index = _single(order, rows, columns)
            if row_index is None:
                ambiguous.append(order)
            else:
                owner[row_index] = order.Index if label == UNASSIGNED else BROKER
    # orders with one fill are assigned first, so that few candidates remain for orders with several fills
    for order in ambiguous:
        owner[_several(order, _candidates(order, by_ticker, owner, columns), columns)] = order.Index
    if (owner == UNASSIGNED).any():
        row = table.iloc[int(np.argmax(owner == UNASSIGNED))]
        raise InputError(
            f"expected an order for every fill of the result; found none for {row['amount']:+,.10g} {row['ticker']} on "
            f"{row['date']:%Y-%m-%d}; pass the unchanged result of run_backtest"
        )
    return owner


def _candidates(
    order: Any, by_ticker: dict[str, NDArray[Any]], owner: NDArray[np.int64], columns: dict[str, NDArray[Any]]
) -> NDArray[Any]:
    rows = by_ticker.get(order.ticker, np.zeros(0, dtype=np.int64))
    day, amount = columns["date"][rows], columns["amount"][rows]
    side = 1.0 if order.side == "buy" else -1.0
    first, last = np.datetime64(order.submitted), np.datetime64(order.executed)
    chosen: NDArray[Any] = rows[(owner[rows] == UNASSIGNED) & (day >= first) & (day <= last) & (amount * side > 0.0)]
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
    """Find the earliest fills that add up to the order: at most one a session, else any number."""
    for once in (True, False):
        matched = _sum_up(order, rows, columns, once=once)
        if matched:
            return matched
    raise InputError(
        f"expected fills that add up to {order.filled:,.10g} {order.ticker} of the order given on "
        f"{order.submitted:%Y-%m-%d}; found none; pass the unchanged result of run_backtest"
    )


def _sum_up(order: Any, rows: NDArray[Any], columns: dict[str, NDArray[Any]], *, once: bool) -> list[int]:
    size, day, last = np.abs(columns["amount"]), columns["date"], np.datetime64(order.executed)
    left = MAX_COMBINATIONS
    stack: list[tuple[int, list[int], float]] = [(0, [], 0.0)]
    while stack and left:
        left -= 1
        at, taken, total = stack.pop()
        if taken and day[taken[-1]] == last and _same(taken, order, columns):
            return taken
        if at == len(rows) or total > order.filled * (1.0 + SAME):
            continue
        row = int(rows[at])
        # the branch that uses the fill is searched before the branch that skips it
        stack.append((at + 1, taken, total))
        if not (once and taken and day[taken[-1]] == day[row]):
            stack.append((at + 1, [*taken, row], total + float(size[row])))
    return []
