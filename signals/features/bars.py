"""Prices as features see them: the price of a period, session returns, and which bars exist."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from signals.data.panel import PricePanel

__all__ = ["Bars", "last_bar", "period_closes", "period_returns"]

Values = NDArray[np.float64]


def last_bar(panel: PricePanel) -> NDArray[np.int32]:
    """Session index of the latest bar at or before each session, shape (n_sessions, n_tickers), -1 before the first."""
    return _last(panel.traded)


def period_returns(panel: PricePanel, decisions: NDArray[np.int64]) -> Values:
    """Compute the simple return of each ticker from one decision date to the next.

    Parameters
    ----------
    panel : PricePanel
        Prices, n_sessions by n_tickers.
    decisions : ndarray of int, shape (n_dates,)
        Session index of each decision date, ascending.

    Returns
    -------
    ndarray of float64, shape (n_tickers, n_dates)
        Value at date k is known at its close. The price of a period is its last close; a ticker that did not trade
        in a whole period has no price there, hence no return for it and the next. A halt is not padded with zeros,
        because rows of zero returns would disclose that a stock was delisted later.
    """
    close = period_closes(panel.close, last_bar(panel)[decisions], decisions)
    returns = np.full(close.shape, np.nan)
    returns[1:] = close[1:] / close[:-1] - 1.0
    return np.ascontiguousarray(returns.T)


def period_closes(close: Values, latest: NDArray[np.int32], decisions: NDArray[np.int64]) -> Values:
    """Last close of each ticker in the period that ends on each decision date, shape (n_dates, n_tickers).

    Parameters
    ----------
    close : ndarray, shape (n_sessions, n_tickers)
        Closes, NaN without a bar.
    latest : ndarray of int32, shape (n_dates, n_tickers)
        Session of the latest bar at or before each decision date, -1 when there is none.
    decisions : ndarray of int, shape (n_dates,)
        Session index of each decision date.
    """
    starts = np.concatenate([[-1], decisions[:-1]])[:, None]
    closes = np.take_along_axis(close, np.maximum(latest, 0), axis=0)
    return np.where(latest > starts, closes, np.nan)


class Bars:
    """Bars of a block of tickers; intermediate results that several features share are computed once.

    Parameters
    ----------
    panel : PricePanel
        Prices.
    decisions : ndarray of int, shape (n_dates,)
        Session index of each decision date.
    columns : slice
        Tickers of this block. Every feature works cell by cell along the tickers, so the division into blocks changes
        no value to the bit; blocks keep temporaries in the processor's cache.
    market : ndarray, shape (n_sessions,), optional
        Session return of the market.
    """

    def __init__(
        self,
        panel: PricePanel,
        decisions: NDArray[np.int64],
        columns: slice,
        market: Values | None = None,
    ) -> None:
        self._panel = panel
        self._columns = columns
        self.decisions = decisions
        self.market = market

    def _block(self, name: str) -> Values:
        return np.ascontiguousarray(getattr(self._panel, name)[:, self._columns])

    @cached_property
    def open(self) -> Values:
        """Adjusted opens, shape (n_sessions, n), like all arrays here unless stated otherwise."""
        return self._block("open")

    @cached_property
    def high(self) -> Values:
        """Adjusted highs."""
        return self._block("high")

    @cached_property
    def low(self) -> Values:
        """Adjusted lows."""
        return self._block("low")

    @cached_property
    def close(self) -> Values:
        """Adjusted closes."""
        return self._block("close")

    @cached_property
    def previous(self) -> Values:
        """Close of the session before, NaN when there was no bar then."""
        before = np.full(self.close.shape, np.nan)
        before[1:] = self.close[:-1]
        return before

    @cached_property
    def returns(self) -> Values:
        """Simple return of a session; NaN unless there is a bar on it and on the session before."""
        return self.close / self.previous - 1.0

    @cached_property
    def dollars(self) -> Values:
        """Raw close × volume, as traded."""
        return self.close / self._block("adj_factor") * self._block("volume")

    @cached_property
    def latest(self) -> Values:
        """Last close in the period that ends on each decision date, shape (n_dates, n); NaN when there was no bar."""
        return period_closes(self.close, _last(~np.isnan(self.close))[self.decisions], self.decisions)


def _last(traded: NDArray[np.bool_]) -> NDArray[np.int32]:
    sessions = np.arange(len(traded), dtype=np.int32)[:, None]
    return np.maximum.accumulate(np.where(traded, sessions, np.int32(-1)), axis=0)
