"""Returns of a buy-and-hold benchmark."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from backtests.external_returns import align_returns
from signals.annualization import Periodicity, sessions_per_year
from signals.calendar import sessions
from signals.common.errors import InputError
from signals.data.prices import Prices

__all__ = ["buy_and_hold", "check_span", "coverage_warning"]


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
    Series named "benchmark", indexed by those of `dates` that the prices cover
        Close-to-close return up to each session; 0 on the first, as for the strategy. A session
        without a bar uses the last close, and returns of sessions on which only the benchmark's exchange was open are
        compounded, as `align_returns` does. It begins with the session after the first bar when that is later than the
        first session, ends with the last bar, and is empty when the prices cover none of the sessions.

    Raises
    ------
    InputError
        When the ticker is missing, or has less than daily bars.
    """
    _check_held(prices, ticker)
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
        known_until=_known_until(prices, close.index[-1], dates),
    )


def check_span(prices: Prices, ticker: str, first: Any, last: Any) -> None:
    """Check that a benchmark has prices within a backtest from `first` to `last`.

    Parameters
    ----------
    prices : Prices
        Prices that hold the ticker.
    ticker : str
        The benchmark.
    first, last : date-like
        First and last day of the backtest.

    Raises
    ------
    InputError
        When the ticker is missing, lists on `last` or later, or ends on `first` or earlier. Prices of a part of the
        backtest are compared over that part, see `coverage_warning`.
    """
    _check_held(prices, ticker)
    days = prices.frame.xs(ticker, level="ticker").index
    begin, end = pd.Timestamp(first), pd.Timestamp(last)
    if days[0] >= end or days[-1] <= begin:
        raise InputError(
            f"expected prices of benchmark {ticker} from {begin:%Y-%m-%d} to {end:%Y-%m-%d}, or of a part of that; "
            f"found {days[0]:%Y-%m-%d} to {days[-1]:%Y-%m-%d}; give a longer file, or remove [benchmark]"
        )


def coverage_warning(
    name: str,
    covered: pd.DatetimeIndex,
    dates: pd.DatetimeIndex,
    *,
    counted: str = "sessions",
    own: pd.DatetimeIndex | None = None,
) -> str:
    """Describe the part of an account that a benchmark covers; empty when it covers all of it.

    Parameters
    ----------
    name : str
        Name of the benchmark.
    covered : DatetimeIndex
        Dates of the account on which the benchmark has a return.
    dates : DatetimeIndex
        All dates of the account.
    counted : str
        Word for the dates: sessions, weeks or months.
    own : DatetimeIndex, optional
        All dates of the benchmark, for the message about one that covers no part.
    """
    if len(covered) == len(dates):
        return ""
    account = f"{counted} of the account, from {dates[0]:%Y-%m-%d} to {dates[-1]:%Y-%m-%d}"
    if not len(covered):
        span = f" It has data from {own[0]:%Y-%m-%d} to {own[-1]:%Y-%m-%d}." if own is not None and len(own) else ""
        return f"{name} is left out: it covers none of the {len(dates):,} {account}.{span}"
    return (
        f"{name} covers {len(covered):,} of {len(dates):,} {account}: from {covered[0]:%Y-%m-%d} to "
        f"{covered[-1]:%Y-%m-%d}. The two are compared over these alone."
    )


def _check_held(prices: Prices, ticker: str) -> None:
    if ticker not in prices.tickers:
        raise InputError(
            f"expected benchmark {ticker!r} in the benchmark prices; found {len(prices.tickers)} other tickers; "
            "correct benchmark.ticker or benchmark.path"
        )


def _known_until(prices: Prices, last_bar: pd.Timestamp, dates: pd.DatetimeIndex) -> pd.Timestamp:
    """Last day on which the benchmark's value is known: its exchange may be closed on the last of some dates."""
    end = dates[-1].tz_localize(None) if len(dates) else last_bar
    if last_bar >= end:
        return end
    day = pd.Timedelta(days=1)
    missing = sessions((last_bar + day).date(), end.date(), prices.calendar)
    return pd.Timestamp(missing[0]) - day if len(missing) else end
