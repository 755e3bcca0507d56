"""Job in vectorbt: one call over the whole table of target weights.

Targets are laid on the session after the decision and valued at the close before it, so sizes are those of the
decision; orders of one session are sorted by value, so sales come first. All this is asked for: by default vectorbt
fills and sizes at the close of the session itself.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import vectorbt as vbt
from job import CASH, COMMISSION, INVESTED, PLACES, SLIPPAGE, chosen, do, imported, stamps

BEGAN = imported()


def prepare(market):
    index = pd.DatetimeIndex(stamps(market["dates"]))
    return market, {name: pd.DataFrame(market[name], index, market["tickers"]) for name in ("open", "close")}


def trade(prepared):
    market, frames = prepared
    target = np.full(market["close"].shape, np.nan)
    rows = market["decisions"] + 1
    weights = np.zeros((len(rows), target.shape[1]))
    np.put_along_axis(weights, chosen(market["scores"]), INVESTED / PLACES, axis=1)
    target[rows] = weights
    portfolio = vbt.Portfolio.from_orders(
        frames["close"], size=target, size_type="targetpercent", price=frames["open"],
        val_price=frames["close"].shift(1), size_granularity=1.0, fees=COMMISSION, slippage=SLIPPAGE,
        init_cash=CASH, cash_sharing=True, group_by=True, call_seq="auto", freq="1D",
    )  # fmt: skip
    orders = portfolio.orders.values
    side = np.where(orders["side"] == 0, 1.0, -1.0)
    value = float(portfolio.value().iloc[-1])
    portfolio.returns()
    return value, {
        "session": orders["idx"], "ticker": orders["col"], "shares": side * orders["size"],
        "price": orders["price"], "commission": orders["fees"],
    }  # fmt: skip


do(vbt.__version__, prepare, trade, BEGAN)
