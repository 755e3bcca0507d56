"""Returns of a benchmark that is bought and held."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from backtests.outside_returns import align_returns
from signals.calendar import sessions
from signals.errors import InputError
from signals.periodicity import Periodicity, sessions_per_year
from signals.prices import Prices

__all__ = ["buy_and_hold", "check_span"]


def buy_and_hold(prices: Prices, ticker: str, dates: pd.DatetimeIndex, *, calendar: str | None = None) -> pd.Series:
    """Compute the daily returns of holding one ticker, without costs.

    Parameters
    ----------
    prices : Prices
        Prices that hold the ticker.
    ticker : str
        The benchmark.
    dates : DatetimeIndex
        Sessions of the backtest, UTC midnight.
    calendar : str, optional
        Exchange calendar of `dates`; that of the prices by default.

    Returns
    -------
    Series named "benchmark", indexed by `dates`
        Close-to-close return up to each session; 0 on the first, where the strategy has not earned either. A session
        without a bar counts the last close, and returns of sessions on which only the benchmark's exchange was open are
        compounded, as `align_returns` does. It begins with the first bar when that is later than the first session.

    Raises
    ------
    InputError
        When the ticker is missing, when its prices do not span the backtest, or have less than daily bars.
    """
    held = dates.tz_localize(None)
    check_span(prices, ticker, held[0], held[-1], calendar=calendar)
    close = prices.frame.xs(ticker, level="ticker")["close"]
    price = close.to_numpy(np.float64)
    own = pd.Series(
        np.concatenate([[np.nan], price[1:] / price[:-1] - 1.0]),
        index=pd.DatetimeIndex(close.index).tz_localize("UTC"),
        name="benchmark",
    )
    return align_returns(
        own,
        dates,
        Periodicity("daily", sessions_per_year(calendar or prices.calendar), calendar or prices.calendar),
        what=f"prices of benchmark {ticker}",
        bought_at_first_close=True,
        calendar=prices.calendar,
        known_until=held[-1],
    )


def check_span(prices: Prices, ticker: str, first: Any, last: Any, *, calendar: str | None = None) -> None:
    """Make sure that a benchmark has prices for a backtest from `first` to `last`.

    Parameters
    ----------
    prices : Prices
        Prices that hold the ticker.
    ticker : str
        The benchmark.
    first, last : date-like
        First and last day of the backtest.
    calendar : str, optional
        Exchange calendar of the backtest. Where the benchmark has another one, its exchange may be closed on the last
        days.

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
    if calendar is not None and calendar != prices.calendar:
        opened = sessions(min(days[0], end).date(), end.date(), prices.calendar)
        end = pd.Timestamp(opened[-1]) if len(opened) else end
    # a holiday in front is no gap: the first bar may be a few days later than the first day asked for
    if days[0] > begin + pd.Timedelta(days=7) or days[-1] < end:
        raise InputError(
            f"expected prices of benchmark {ticker} from {begin:%Y-%m-%d} to {end:%Y-%m-%d}; found {days[0]:%Y-%m-%d} "
            f"to {days[-1]:%Y-%m-%d}; give a longer file or leave the benchmark out"
        )
