"""Job in zipline-reloaded, which with daily bars decides at the close and fills at the close of the next session.

Assets and bars are given in memory, without a bundle on disk.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import zipline
from job import CASH, COMMISSION, INVESTED, PLACES, SLIPPAGE, chosen, do, imported, stamps
from sqlalchemy import create_engine
from zipline.algorithm import TradingAlgorithm
from zipline.api import order_target_percent, set_commission, set_slippage, sid
from zipline.assets import AssetDBWriter, AssetFinder
from zipline.data.data_portal import DataPortal
from zipline.data.in_memory_daily_bars import InMemoryDailyBarReader
from zipline.finance import commission, slippage
from zipline.finance.trading import SimulationParameters
from zipline.utils.calendar_utils import get_calendar

BEGAN = imported()


class Bars(InMemoryDailyBarReader):
    """Bars in memory. The reader of the library fails for the last day, and in the look-up of one value."""

    last_available_dt = property(lambda self: self.sessions[-1])

    def get_value(self, sid, dt, field):
        return self._values[field][self.sessions.get_loc(dt), sid]


def prepare(market):
    days = pd.DatetimeIndex(stamps(market["dates"]))
    sids = pd.Index(range(len(market["tickers"])), dtype="int64")
    engine = create_engine("sqlite://")
    equities = pd.DataFrame(
        {"symbol": market["tickers"], "start_date": days[0], "end_date": days[-1], "exchange": "NYSE"}, index=sids
    )
    exchanges = pd.DataFrame({"exchange": ["NYSE"], "canonical_name": ["NYSE"], "country_code": ["US"]})
    AssetDBWriter(engine).write(equities=equities, exchanges=exchanges)
    calendar = get_calendar("XNYS")
    frames = {n: pd.DataFrame(market[n], days, sids) for n in ("open", "high", "low", "close", "volume")}
    reader = Bars(frames, calendar, pd.Series("USD", sids), verify_indices=False)
    best = dict(zip(days[market["decisions"]], chosen(market["scores"]), strict=True))
    return days, calendar, AssetFinder(engine), reader, best


def trade(prepared):
    days, calendar, finder, reader, best = prepared

    def initialize(context):
        set_commission(commission.PerDollar(cost=COMMISSION))
        set_slippage(slippage.FixedBasisPointsSlippage(basis_points=1e4 * SLIPPAGE, volume_limit=1e6))

    def handle_data(context, data):
        row = best.get(data.current_session)
        if row is None:
            return
        kept = set(row.tolist())
        for asset in list(context.portfolio.positions):
            if asset.sid not in kept:
                order_target_percent(asset, 0.0)
        for column in row.tolist():
            order_target_percent(sid(column), INVESTED / PLACES)

    algorithm = TradingAlgorithm(
        sim_params=SimulationParameters(
            start_session=days[0], end_session=days[-1], trading_calendar=calendar, capital_base=CASH,
            data_frequency="daily",
        ),
        data_portal=DataPortal(
            finder, trading_calendar=calendar, first_trading_day=days[0], equity_daily_reader=reader
        ),
        trading_calendar=calendar, initialize=initialize, handle_data=handle_data,
        benchmark_returns=pd.Series(0.0, days),
    )  # fmt: skip
    result = algorithm.run()
    fills = [fill for session in result["transactions"] for fill in session]
    shares = np.array([fill["amount"] for fill in fills], np.float64)
    price = np.array([fill["price"] for fill in fills], np.float64)
    when = pd.DatetimeIndex([pd.Timestamp(fill["dt"]) for fill in fills]).tz_localize(None).normalize()
    return float(result["portfolio_value"].iloc[-1]), {
        "session": days.get_indexer(when), "ticker": np.array([fill["sid"].sid for fill in fills], np.int64),
        "shares": shares, "price": price, "commission": np.abs(shares) * price * COMMISSION,
    }  # fmt: skip


do(zipline.__version__, prepare, trade, BEGAN)
