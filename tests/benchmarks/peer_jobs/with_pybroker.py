"""Job in PyBroker: targets set after the close of each decision date, filled at the next open."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pybroker
from job import CASH, COMMISSION, INVESTED, PLACES, SLIPPAGE, chosen, do, imported, stamps
from pybroker import FeeMode, PriceType, Strategy, StrategyConfig
from pybroker.slippage import FixedSlippageModel

BEGAN = imported()


def prepare(market):
    days, tickers = market["close"].shape
    frame = pd.DataFrame(
        {
            "date": np.repeat(stamps(market["dates"]), tickers),
            "symbol": np.tile(market["tickers"].astype(object), days),
            **{name: market[name].ravel() for name in ("open", "high", "low", "close", "volume")},
        }
    )
    names = market["tickers"].tolist()
    wanted = {
        day: [names[j] for j in row]
        for day, row in zip(stamps(market["dates"][market["decisions"]]), chosen(market["scores"]), strict=True)
    }
    return market, frame, wanted


def trade(prepared):
    market, frame, wanted = prepared
    config = StrategyConfig(
        initial_cash=CASH, fee_mode=FeeMode.ORDER_PERCENT, fee_amount=100.0 * COMMISSION, round_fill_price=False,
        round_test_result=False,
    )  # fmt: skip

    def rebalance(contexts):
        some = next(iter(contexts.values()))
        best = wanted.get(some.dt if isinstance(some.dt, np.datetime64) else np.datetime64(some.dt, "ns"))
        if best is None:
            return
        best = set(best)
        share = float(some.total_equity) * INVESTED / PLACES
        for name, context in contexts.items():
            held = context.long_pos()
            shares = int(held.shares) if held else 0
            change = (int(share / context.close[-1]) if name in best else 0) - shares
            if change > 0:
                context.buy_shares, context.buy_fill_price = change, PriceType.OPEN
            elif change < 0:
                context.sell_shares, context.sell_fill_price = -change, PriceType.OPEN

    pybroker.disable_logging()
    pybroker.disable_progress_bar()
    strategy = Strategy(frame, frame["date"].iloc[0], frame["date"].iloc[-1], config)
    strategy.add_execution(None, market["tickers"].tolist())
    strategy.set_after_exec(rebalance)
    strategy.set_slippage_model(FixedSlippageModel(bps=1e4 * SLIPPAGE))
    result = strategy.backtest(calc_bootstrap=False)
    orders = result.orders
    side = np.where(orders["type"] == "buy", 1.0, -1.0)
    return float(result.portfolio["market_value"].iloc[-1]), {
        "session": np.searchsorted(stamps(market["dates"]), orders["date"].to_numpy().astype("datetime64[ns]")),
        "ticker": np.searchsorted(market["tickers"], orders["symbol"].to_numpy(str)),
        "shares": side * orders["shares"].to_numpy(np.float64),
        "price": orders["fill_price"].to_numpy(np.float64),
        "commission": orders["fees"].to_numpy(np.float64),
    }


do(pybroker.__version__, prepare, trade, BEGAN)
