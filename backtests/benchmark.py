"""What doing nothing would have returned."""

from __future__ import annotations

import numpy as np
import pandas as pd

from signals.errors import InputError
from signals.prices import Prices

__all__ = ["buy_and_hold"]


def buy_and_hold(prices: Prices, ticker: str, dates: pd.DatetimeIndex) -> pd.Series:
    """Daily returns of holding one ticker, without costs.

    Parameters
    ----------
    prices : Prices
        Prices that hold the ticker.
    ticker : str
        The benchmark.
    dates : DatetimeIndex
        Sessions of the backtest, UTC midnight.

    Returns
    -------
    Series named "benchmark", indexed by `dates`
        Close-to-close return up to each session; 0 on the first, where the strategy has not earned either. A session
        without a bar counts the last close.

    Raises
    ------
    InputError
        When the ticker is missing, or its prices do not span the backtest.
    """
    tickers = prices.frame.index.get_level_values("ticker")
    if ticker not in tickers:
        raise InputError(
            f"expected benchmark {ticker!r} in the benchmark prices; found {tickers.nunique()} other tickers; "
            "mend benchmark.ticker or benchmark.path"
        )
    close = prices.frame.xs(ticker, level="ticker")["close"]
    sessions = dates.tz_localize(None)
    if close.index[0] > sessions[0] or close.index[-1] < sessions[-1]:
        raise InputError(
            f"expected prices of benchmark {ticker} from {sessions[0]:%Y-%m-%d} to {sessions[-1]:%Y-%m-%d}; found "
            f"{close.index[0]:%Y-%m-%d} to {close.index[-1]:%Y-%m-%d}; give a longer file or leave the benchmark out"
        )
    held = close.reindex(close.index.union(sessions)).ffill().reindex(sessions).to_numpy(np.float64)
    returns = np.concatenate([[0.0], held[1:] / held[:-1] - 1.0])
    return pd.Series(returns, index=dates, name="benchmark")
