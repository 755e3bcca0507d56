"""Round trips: fills matched first in, first out, with fractional shares, splits and dividends.

The result equals pyfolio's where shares are whole and there are no splits or dividends; pyfolio casts amounts to whole
shares and creates one Python object a share.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from backtests.common.share_tolerances import SHARE_TOLERANCE

__all__ = [
    "OPEN_COLUMNS",
    "ROUND_TRIP_COLUMNS",
    "net_gain",
    "open_trips",
    "round_trips",
    "summarise_open_trips",
    "summarise_round_trips",
]

ROUND_TRIP_COLUMNS = (
    "symbol",
    "side",
    "opened",
    "closed",
    "shares",
    "invested",
    "pnl",
    "dividends",
    "commission",
    "net_return",
    "holding_days",
)
OPEN_COLUMNS = ("symbol", "side", "opened", "shares", "invested", "value", "pnl", "dividends", "commission")


@dataclass(slots=True)
class _Lot:
    """Shares bought (or sold short) in one fill and not yet matched; amounts are per share."""

    day: int
    shares: float
    price: float
    commission: float
    dividends: float = 0.0


class _Event(NamedTuple):
    """Split or payment on the shares held; it applies before the fills of its day."""

    day: int
    amount: float
    shares: float


class _Trip(NamedTuple):
    """Closed round trip of one symbol; days are numbers since 1970, the rest as in `round_trips`."""

    side: str
    opened: int
    closed: int
    shares: float
    invested: float
    pnl: float
    dividends: float
    commission: float
    holding_days: float


class _Matched(NamedTuple):
    """Result of matching one symbol: its round trips, its open lots, and their direction."""

    trips: list[_Trip]
    lots: list[_Lot]
    direction: float


def round_trips(transactions: pd.DataFrame | None, cash_flows: pd.DataFrame | None = None) -> pd.DataFrame:
    """Match fills first in, first out.

    Parameters
    ----------
    transactions : DataFrame indexed by date, or None
        Columns `amount` (shares, negative for sales), `price`, `symbol` and optionally `commission` (account
        currency). Fills of one symbol on one session in the same direction count as one, at their average
        price.
    cash_flows : DataFrame indexed by date, optional
        As in `BacktestResult`, before the fills of their session: splits (`ticker`, `shares`) change the shares
        held and their cost per share; dividends and cash in lieu (`ticker`, `amount`) are divided among the shares
        held.

    Returns
    -------
    DataFrame
        One row per closing fill: `symbol`, `side` ("long" or "short"), `opened` (session of the oldest share
        matched), `closed`, `shares`, `invested` (cost of opening those shares), `pnl` (price gain, before
        commission), `dividends` (dividends and cash in lieu of fractional shares, negative when paid on shorts),
        `commission` (of opening and closing, pro rata), `net_return` ((pnl + dividends - commission) / invested) and
        `holding_days` (calendar days, mean over the shares). Shares that a split replaces entirely by cash are
        a round trip whose proceeds are in `dividends`. Shares still held at the end are not a round trip, see
        `open_trips`. Sorted by `closed`, then `symbol`.

    Notes
    -----
    A partial sale is a round trip of the shares sold, so a portfolio that is rebalanced weekly has many of
    them. With `open_trips` they add up to the gain of each ticker (`backtests.gains`).

    >>> days = pd.DatetimeIndex(["2024-01-02", "2024-01-04"], tz="UTC")
    >>> fills = pd.DataFrame({"amount": [1.5, -1.5], "price": [10.0, 20.0], "symbol": "A"}, index=days)
    >>> round_trips(fills)[["shares", "pnl", "holding_days"]].values.tolist()
    [[1.5, 15.0, 2.0]]
    """
    matched = _match_all(transactions, cash_flows)
    rows = [(symbol, *row) for symbol, match in matched.items() for row in match.trips]
    trips = pd.DataFrame(rows, columns=[name for name in ROUND_TRIP_COLUMNS if name != "net_return"])
    for column in ("opened", "closed"):
        trips[column] = _stamps(trips[column])
    for column in ("shares", "invested", "pnl", "dividends", "commission", "holding_days"):
        trips[column] = trips[column].astype("float64")
    trips["net_return"] = net_gain(trips) / trips["invested"].where(trips["invested"] > 0)
    return trips[list(ROUND_TRIP_COLUMNS)].sort_values(["closed", "symbol"], kind="stable", ignore_index=True)


def open_trips(
    transactions: pd.DataFrame | None, cash_flows: pd.DataFrame | None, positions: pd.DataFrame | None
) -> pd.DataFrame:
    """Positions open at the end, with their unrealised gains.

    Parameters
    ----------
    transactions, cash_flows
        As in `round_trips`.
    positions : DataFrame, optional
        Account currency at each close; the last row values the open shares. Without it values and gains are NaN.

    Returns
    -------
    DataFrame
        One row per symbol: `symbol`, `side`, `opened` (session of the oldest share), `shares`, `invested` (cost
        of opening them), `value` (at the last close, negative when short), `pnl` (unrealised price gain), `dividends`
        and `commission` (so far, of these shares). Sorted by `symbol`.
    """
    rows = []
    last = positions.iloc[-1] if positions is not None and len(positions) else {}
    for symbol, match in _match_all(transactions, cash_flows).items():
        shares = sum(lot.shares for lot in match.lots)
        if not match.lots:
            continue
        invested = sum(lot.shares * lot.price for lot in match.lots)
        value = float(last.get(symbol, np.nan))
        rows.append(
            (
                symbol,
                _side(match.direction),
                min(lot.day for lot in match.lots),
                shares,
                invested,
                value,
                value - match.direction * invested,
                sum(lot.shares * lot.dividends for lot in match.lots),
                sum(lot.shares * lot.commission for lot in match.lots),
            )
        )
    trips = pd.DataFrame(rows, columns=list(OPEN_COLUMNS))
    trips["opened"] = _stamps(trips["opened"])
    for column in OPEN_COLUMNS[3:]:
        trips[column] = trips[column].astype("float64")
    return trips.sort_values("symbol", kind="stable", ignore_index=True)


def net_gain(trips: pd.DataFrame) -> pd.Series:
    """Gain of each round trip, closed or open: price gain plus dividends minus commission."""
    return trips["pnl"] + trips["dividends"] - trips["commission"]


def _match_all(transactions: pd.DataFrame | None, cash_flows: pd.DataFrame | None) -> dict[object, _Matched]:
    if transactions is None or not len(transactions):
        return {}
    events = _events(cash_flows)
    matched = {}
    for symbol, fills in _daily_fills(transactions).groupby("symbol", sort=True):
        days, amounts, prices, fees = (fills[name].to_numpy() for name in ("day", "amount", "price", "commission"))
        matched[symbol] = _match(days, amounts, prices, fees, events.get(symbol, []))
    return matched


def _stamps(days: pd.Series) -> pd.Series:
    return pd.to_datetime(days.astype("int64"), unit="D", utc=True).astype("datetime64[ns, UTC]")


def _side(direction: float) -> str:
    return "long" if direction > 0 else "short"


def _days(index: pd.Index) -> NDArray[np.int64]:
    days = index.tz_localize(None).normalize() if isinstance(index, pd.DatetimeIndex) else pd.to_datetime(index)
    return np.asarray(days.to_numpy().astype("datetime64[D]").astype("int64"))


def _events(cash_flows: pd.DataFrame | None) -> dict[object, list[_Event]]:
    """Return splits, dividends and cash in lieu of every symbol, in order."""
    by_symbol: dict[object, list[_Event]] = {}
    if cash_flows is not None and "shares" in cash_flows and len(cash_flows):
        days = _days(cash_flows.index).tolist()
        amounts = cash_flows["amount"] if "amount" in cash_flows else pd.Series(0.0, index=cash_flows.index)
        rows = zip(days, cash_flows["ticker"], amounts.tolist(), cash_flows["shares"].tolist(), strict=True)
        for day, ticker, amount, shares in rows:
            if amount or shares:
                by_symbol.setdefault(ticker, []).append(_Event(day, float(amount), float(shares)))
    return by_symbol


def _daily_fills(transactions: pd.DataFrame) -> pd.DataFrame:
    """Sort fills, and merge those of one symbol, session and direction at their average price."""
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
    starts_group = (fills["symbol"] != fills["symbol"].shift()) | (fills["day"] != fills["day"].shift())
    starts_group |= np.sign(fills["amount"]) != np.sign(fills["amount"].shift())
    fills["value"] = fills["amount"] * fills["price"]
    merged = fills.groupby(starts_group.cumsum().to_numpy()).agg(
        {"symbol": "first", "day": "first", "amount": "sum", "value": "sum", "commission": "sum"}
    )
    merged["price"] = merged["value"] / merged["amount"]
    return merged


def _match(
    days: NDArray[np.int64],
    amounts: NDArray[np.float64],
    prices: NDArray[np.float64],
    commissions: NDArray[np.float64],
    events: list[_Event],
) -> _Matched:
    """Match the fills of one symbol first in, first out, and apply its splits and payments between them."""
    pending = deque(events)
    rows: list[_Trip] = []
    lots: deque[_Lot] = deque()
    direction = 0.0
    for day, amount, price, commission in zip(
        days.tolist(), amounts.tolist(), prices.tolist(), commissions.tolist(), strict=True
    ):
        while pending and pending[0].day <= day:
            _apply(pending.popleft(), lots, direction, rows)
        left = abs(amount)
        per_share = commission / left
        if lots and direction * amount < 0:
            opened = lots[0].day
            matched = invested = paid = received = age = 0.0
            while lots and left > SHARE_TOLERANCE * abs(amount):
                lot = lots[0]
                shares = min(lot.shares, left)
                matched += shares
                invested += shares * lot.price
                received += shares * lot.dividends
                paid += shares * (lot.commission + per_share)
                age += shares * (day - lot.day)
                left -= shares
                lot.shares -= shares
                if lot.shares <= SHARE_TOLERANCE * shares:
                    lots.popleft()
            pnl = direction * (matched * price - invested)
            rows.append(_Trip(_side(direction), opened, day, matched, invested, pnl, received, paid, age / matched))
        if left > SHARE_TOLERANCE * abs(amount):
            direction = 1.0 if amount > 0 else -1.0
            lots.append(_Lot(day, left, price, per_share))
    for event in pending:
        _apply(event, lots, direction, rows)
    return _Matched(rows, list(lots), direction)


def _apply(event: _Event, lots: deque[_Lot], direction: float, rows: list[_Trip]) -> None:
    """Divide a payment among the lots, or scale their shares for a split; their total cost is unchanged."""
    held = sum(lot.shares for lot in lots)
    if held <= 0.0:
        if event.amount and rows:  # cash in lieu of the last fractional share, whose split has just closed the position
            rows[-1] = rows[-1]._replace(dividends=rows[-1].dividends + event.amount)
        return
    for lot in lots:
        lot.dividends += event.amount / held
    if not event.shares:
        return
    after = held + direction * event.shares
    if after <= SHARE_TOLERANCE * held:
        invested = sum(lot.shares * lot.price for lot in lots)
        rows.append(
            _Trip(
                side=_side(direction),
                opened=lots[0].day,
                closed=event.day,
                shares=held,
                invested=invested,
                pnl=-direction * invested,
                dividends=sum(lot.shares * lot.dividends for lot in lots),
                commission=sum(lot.shares * lot.commission for lot in lots),
                holding_days=sum(lot.shares * (event.day - lot.day) for lot in lots) / held,
            )
        )
        lots.clear()
        return
    ratio = after / held
    for lot in lots:
        lot.shares *= ratio
        lot.price /= ratio
        lot.commission /= ratio
        lot.dividends /= ratio


def summarise_round_trips(trips: pd.DataFrame) -> dict[str, float | int]:
    """Summarise closed round trips, with dividends and after commission; means of no round trips are NaN.

    Returns
    -------
    dict
        `round_trips` (count), `round_trip_win_rate` (share with a net gain), `round_trip_mean_pnl`,
        `round_trip_total_pnl` and the `round_trip_dividends` in it (account currency), `round_trip_mean_return` and
        `round_trip_median_return` (of the money invested), `round_trip_profit_factor` (gains / losses),
        `round_trip_mean_holding_days` (calendar days).
    """
    net = net_gain(trips)
    gains, losses = float(net[net > 0].sum()), float(-net[net < 0].sum())
    empty = len(trips) == 0
    return {
        "round_trips": len(trips),
        "round_trip_win_rate": float("nan") if empty else float((net > 0).mean()),
        "round_trip_mean_pnl": float(net.mean()),
        "round_trip_total_pnl": float(net.sum()),
        "round_trip_dividends": float(trips["dividends"].sum()),
        "round_trip_mean_return": float(trips["net_return"].mean()),
        "round_trip_median_return": float(trips["net_return"].median()),
        "round_trip_profit_factor": gains / losses if losses > 0 else float("nan"),
        "round_trip_mean_holding_days": float(trips["holding_days"].mean()),
    }


def summarise_open_trips(still_open: pd.DataFrame) -> dict[str, float | int]:
    """Summarise open positions: `open_trips` (count) and `open_trips_pnl` (unrealised, account currency).

    The gain includes dividends and the commission paid so far, so that it and `round_trip_total_pnl` add up to the
    gains of all tickers; NaN where positions are not known.
    """
    gain = net_gain(still_open)
    return {"open_trips": len(still_open), "open_trips_pnl": float(gain.sum(skipna=False))}
