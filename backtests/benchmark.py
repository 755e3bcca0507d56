"""What doing nothing would have returned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from signals.errors import InputError
from signals.prices import Prices

__all__ = ["buy_and_hold", "check_span"]


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
    sessions = dates.tz_localize(None)
    check_span(prices, ticker, sessions[0], sessions[-1])
    close = prices.frame.xs(ticker, level="ticker")["close"]
    held = close.reindex(close.index.union(sessions)).ffill().reindex(sessions).to_numpy(np.float64)
    returns = np.concatenate([[0.0], held[1:] / held[:-1] - 1.0])
    return pd.Series(returns, index=dates, name="benchmark")


def check_span(prices: Prices, ticker: str, first: Any, last: Any) -> None:
    """Make sure that a benchmark has prices for a backtest from `first` to `last`.

    Raises
    ------
    InputError
        When the ticker is missing, lists after `first` or ends before `last`.
    """
    if ticker not in prices.tickers:
        raise InputError(
            f"expected benchmark {ticker!r} in the benchmark prices; found {len(prices.tickers)} other tickers; "
            "mend benchmark.ticker or benchmark.path"
        )
    days = prices.frame.xs(ticker, level="ticker").index
    begin, end = pd.Timestamp(first), pd.Timestamp(last)
    # a holiday in front is no gap: the first bar may be a few days later than the first day asked for
    if days[0] > begin + pd.Timedelta(days=7) or days[-1] < end:
        raise InputError(
            f"expected prices of benchmark {ticker} from {begin:%Y-%m-%d} to {end:%Y-%m-%d}; found {days[0]:%Y-%m-%d} "
            f"to {days[-1]:%Y-%m-%d}; give a longer file or leave the benchmark out"
        )
