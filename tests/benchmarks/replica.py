"""Replica of the job in numpy, with switches for the differences between engines.

It tests the stated differences of a peer: with them switched on, the replica must compute the fills of the peer.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.benchmarks.market import Market
from tests.benchmarks.peer_jobs.job import CASH, COMMISSION, INVESTED, PLACES, SLIPPAGE, chosen

__all__ = ["replicate"]


def replicate(
    market: Market,
    *,
    places: int = PLACES,
    sized_at: str = "close before",
    filled_at: str = "open",
    rounds: str = "position",
) -> dict[str, np.ndarray]:
    """Trade a whole market; no order is rejected.

    Parameters
    ----------
    market : Market
        Without holes.
    places : int
        Names held.
    sized_at : {"close before", "open"}
        Prices at which the account is valued and sizes are made: those of the decision, or those of the fill.
    filled_at : {"open", "close"}
        Of the session after the decision.
    rounds : {"position", "change", "outlay"}
        What becomes a whole number: the position, towards zero; the change, towards zero; or the change, downwards,
        such that it and its costs, reckoned before slippage, stay within the amount that is to be moved.

    Returns
    -------
    dict
        `session`, `ticker`, `shares`, `price`, `commission` of each fill, by session and ticker.
    """
    cash, width = CASH, len(market.tickers)
    held = np.zeros(width)
    fills: dict[str, list[Any]] = {name: [] for name in ("session", "ticker", "shares", "price", "commission")}
    for decision, best in zip(market.decisions, chosen(market.scores, places), strict=True):
        session = decision + 1
        base = market.close[decision] if sized_at == "close before" else market.open[session]
        weight = np.zeros(width)
        weight[best] = INVESTED / places
        wanted = weight * (cash + held @ base)
        if rounds == "position":
            change = np.trunc(wanted / base * (1.0 + 1e-12)) - held
        elif rounds == "change":
            change = np.trunc((wanted / base - held) * (1.0 + 1e-12))
        else:
            amount = wanted - held * base
            costs = 1.0 + np.sign(amount) * (COMMISSION + SLIPPAGE)
            change = np.where(weight > 0.0, np.floor(amount / (base * costs)), -held)
        traded = np.flatnonzero(change)
        price = getattr(market, filled_at)[session, traded] * (1.0 + SLIPPAGE * np.sign(change[traded]))
        paid = np.abs(change[traded]) * (base[traded] if rounds == "outlay" else price) * COMMISSION
        cash -= float((change[traded] * price + paid).sum())
        held += change
        row = (np.full(len(traded), session), traded, change[traded], price, paid)
        for column, values in zip(fills.values(), row, strict=True):
            column.append(values)
    return {name: np.concatenate(values) for name, values in fills.items()}
