"""Job in bt, which has one price per session and trades at it.

It is given the opens and the weights a session late, so that it fills at the open ours fills at; sizes are then made at
that same open instead of the close before it, and the account is valued at opens.
"""

from __future__ import annotations

import bt
import numpy as np
import pandas as pd
from job import CASH, COMMISSION, INVESTED, PLACES, SLIPPAGE, chosen, do, imported, stamps

BEGAN = imported()


def prepare(market):
    index = pd.DatetimeIndex(stamps(market["dates"]))
    names = market["tickers"].tolist()
    weights = np.full((len(market["decisions"]), len(names)), np.nan)
    np.put_along_axis(weights, chosen(market["scores"]), INVESTED / PLACES, axis=1)
    opens = pd.DataFrame(market["open"], index, names)
    return opens, pd.DataFrame(weights, index[market["decisions"] + 1], names)


def trade(prepared):
    opens, weights = prepared
    strategy = bt.Strategy("job", [bt.algos.WeighTarget(weights), bt.algos.Rebalance()])
    test = bt.Backtest(
        strategy, opens, initial_capital=CASH, commissions=lambda size, price: abs(size) * price * COMMISSION,
        additional_data={"bidoffer": opens * 2.0 * SLIPPAGE},
    )  # fmt: skip
    test.run()
    done = test.strategy.get_transactions()
    shares = done["quantity"].to_numpy(np.float64)
    price = done["price"].to_numpy(np.float64)
    days = done.index.get_level_values(0)
    return float(test.strategy.values.iloc[-1]), {
        "session": opens.index.get_indexer(days),
        "ticker": opens.columns.get_indexer(done.index.get_level_values(1)),
        "shares": shares, "price": price,
        # charged on the price before slippage
        "commission": np.abs(shares) * price / (1.0 + SLIPPAGE * np.sign(shares)) * COMMISSION,
    }  # fmt: skip


do(bt.__version__, prepare, trade, BEGAN)
