"""Requests to Yahoo Finance through yfinance: one ticker at a time, with pauses, retries and explicit errors.

yfinance's `download` never raises; failures become empty columns. Here each request returns a `Reply` or raises an
error that distinguishes an unknown ticker, an unreachable service, and a reply that cannot be interpreted.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.common.errors import ServiceError
from signals.tabular.table_files import one_line

__all__ = ["InvalidReplyError", "Reply", "UnknownTickerError", "UnreachableError", "YahooClient", "read_reply"]

# yfinance's names for what this project calls open, high, low, close, adjusted close and volume.
QUOTES = {
    "Open": "open",
    "High": "high",
    "Low": "low",
    "Close": "close",
    "Adj Close": "adj_close",
    "Volume": "volume",
}
ACTIONS = ("Dividends", "Stock Splits")

# Words in Yahoo's reply for a symbol that is unknown, or without prices in the span; other failures may be temporary.
_GONE = ("no data found", "data doesn't exist", "delisted", "not found")

Days = NDArray[np.datetime64]
Values = NDArray[np.float64]


class UnknownTickerError(ServiceError):
    """The ticker is unknown at Yahoo, or has no prices in the span."""


class InvalidReplyError(ServiceError):
    """Yahoo's reply cannot be interpreted as prices."""


class UnreachableError(ServiceError):
    """Yahoo sent no reply, refused the request (too many requests), or failed, at every attempt.

    Parameters
    ----------
    reason : str
        Failure of the last attempt.
    limited : bool
        Whether it was too many requests, so that requests for other tickers would fail too.
    """

    def __init__(self, reason: str, *, limited: bool = False) -> None:
        super().__init__(reason)
        self.limited = limited


@dataclass(frozen=True, slots=True, eq=False)
class Reply:
    """Yahoo's data of one ticker, in Yahoo's scale at the moment of the request.

    Parameters
    ----------
    days : ndarray of datetime64[D], shape (n,)
        Sessions with a price, ascending, each once.
    quotes : dict of str to ndarray of float64, shape (n,)
        `open high low close adj_close volume`: all but `adj_close` adjusted for every split up to the request, and
        `adj_close` for dividends too.
    action_days : ndarray of datetime64[D], shape (m,)
        Days with a dividend or split, ascending.
    dividends, splits : ndarray of float64, shape (m,)
        Per share, adjusted for later splits (0.0 for none); new shares for one old one (1.0 for none).
    listed, traded : datetime64[D] or None
        First day of trading and day of the last trade according to Yahoo.
    currency : str
        Currency of the quotes; "" when Yahoo does not state it.
    """

    days: Days
    quotes: dict[str, Values]
    action_days: Days
    dividends: Values
    splits: Values
    listed: np.datetime64 | None = None
    traded: np.datetime64 | None = None
    currency: str = ""


@dataclass(frozen=True, slots=True)
class YahooClient:
    """Client that requests daily bars from Yahoo.

    Parameters
    ----------
    zone : str
        Time zone of the exchange, to which days of a request belong.
    session : curl_cffi or requests Session, optional
        Session for a proxy, or for recorded replies in tests; yfinance creates one by default.
    max_attempts : int
        Requests per ticker before giving up.
    request_interval : float
        Seconds between requests.
    timeout : float
        Seconds to wait for a reply.
    sleep : callable
        Function that waits so many seconds; tests replace it.

    Notes
    -----
    After a failure that may be temporary, the n-th wait is 2**(n - 1) seconds, and 15 times as long after too many
    requests.
    """

    zone: str = "America/New_York"
    session: Any = None
    max_attempts: int = 5
    request_interval: float = 0.25
    timeout: float = 20.0
    sleep: Callable[[float], None] = time.sleep

    def request(self, ticker: str, start: np.datetime64, report: Callable[[str], None] = lambda text: None) -> Reply:
        """Request all bars of a ticker from a day up to now.

        The span ends now, because Yahoo adjusts for splits up to now but lists only those within the span, and because
        yfinance caches replies for spans in the past, also failed ones.

        Parameters
        ----------
        ticker : str
            Yahoo's symbol.
        start : datetime64[D]
            First day.
        report : callable
            Called with one line before each wait.

        Raises
        ------
        UnknownTickerError, InvalidReplyError, UnreachableError
            Their text is the reason alone, for the caller's message.
        """
        from yfinance.exceptions import YFPricesMissingError, YFRateLimitError, YFTzMissingError

        self.sleep(self.request_interval)
        for attempt in range(1, self.max_attempts + 1):
            limited = odd = False
            try:
                return self._request_once(ticker, start)
            except YFRateLimitError:
                limited, reason = True, "too many requests (429)"
            except YFTzMissingError:
                raise UnknownTickerError("unknown at Yahoo") from None
            except YFPricesMissingError as error:
                stated = one_line(str(error.yahoo_reason or ""))[:160]
                if any(word in stated.lower() for word in _GONE):
                    raise UnknownTickerError(stated) from None
                reason = stated or "an empty reply"
            except (KeyError, IndexError, TypeError, AttributeError, InvalidReplyError) as error:
                odd, reason = True, f"a reply in another form ({type(error).__name__}: {one_line(str(error))[:120]})"
            # other exceptions of curl, JSON or yfinance are passed on in the error
            except Exception as error:
                reason = f"{type(error).__name__}: {one_line(str(error))[:160]}"
            if attempt < self.max_attempts:
                wait = 2.0 ** (attempt - 1) * (15 if limited else 1)
                report(f"{reason}; trying again in {wait:.0f} s")
                self.sleep(wait)
        reason = f"{reason}, {self.max_attempts} times" if self.max_attempts > 1 else reason
        if odd:
            raise InvalidReplyError(reason)
        raise UnreachableError(reason, limited=limited)

    def _request_once(self, ticker: str, start: np.datetime64) -> Reply:
        import yfinance as yf

        with _raising_exceptions():
            share = yf.Ticker(ticker, session=self.session)
            # Else yfinance requests the zone separately, and treats any failure of that as "delisted".
            share._tz = self.zone
            frame = share.history(
                start=str(start), interval="1d", auto_adjust=False, actions=True, timeout=self.timeout
            )
            # a lazy mapping: reading all of it would send further requests
            about = share.get_history_metadata()
        reply = read_reply(frame, about)
        if not len(reply.days):
            raise InvalidReplyError("no bars")
        return reply


@contextmanager
def _raising_exceptions() -> Iterator[None]:
    """Make yfinance raise its exceptions instead of hiding them, and restore its global settings afterwards."""
    import yfinance as yf

    # Without a handler, yfinance's log messages would appear between our progress lines.
    logger = logging.getLogger("yfinance")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    hidden = yf.config.debug.hide_exceptions
    yf.config.debug.hide_exceptions = False
    try:
        with warnings.catch_warnings():
            # warnings of yfinance 1.7 on pandas 3; pandas is capped below 4
            warnings.filterwarnings("ignore", category=pd.errors.Pandas4Warning, module="yfinance")
            yield
    finally:
        yf.config.debug.hide_exceptions = hidden


def read_reply(frame: pd.DataFrame, about: Mapping[str, Any]) -> Reply:
    """Convert the table of `yfinance.Ticker.history` into a `Reply`.

    Parameters
    ----------
    frame : DataFrame
        Result of `history` with `auto_adjust=False, actions=True`, rows in any order.
    about : mapping
        Yahoo's description of the ticker.

    Raises
    ------
    InvalidReplyError
        When columns are missing, rows have no dates, or two different bars share a day.
    """
    if missing := [name for name in (*QUOTES, *ACTIONS) if name not in frame.columns]:
        raise InvalidReplyError(f"no columns {', '.join(missing)}, but {', '.join(map(str, frame.columns))}"[:160])
    if not isinstance(frame.index, pd.DatetimeIndex):
        raise InvalidReplyError(f"rows labelled by {frame.index.dtype}, not by dates")
    # midnight at the exchange is that day, whatever it is in UTC
    days = frame.index.tz_localize(None).to_numpy().astype("datetime64[D]")
    table = np.column_stack([_floats(frame[name]) for name in (*QUOTES, *ACTIONS)])
    order = np.argsort(days, kind="stable")
    days, table = days[order], table[order]
    again = np.r_[False, days[1:] == days[:-1]]
    if again.any():
        same = (table[1:] == table[:-1]) | (np.isnan(table[1:]) & np.isnan(table[:-1]))
        if (differ := again[1:] & ~same.all(axis=1)).any():
            raise InvalidReplyError(f"two different bars on {days[1:][differ][0]}")
        days, table = days[~again], table[~again]
    dividends, splits = np.nan_to_num(table[:, -2]), np.nan_to_num(table[:, -1])
    splits = np.where(splits > 0, splits, 1.0)
    acted = (dividends != 0) | (splits != 1)
    traded = np.isfinite(table[:, 3]) & np.isfinite(table[:, 4])
    return Reply(
        days=days[traded],
        quotes={name: table[traded, place].copy() for place, name in enumerate(QUOTES.values())},
        action_days=days[acted],
        dividends=dividends[acted],
        splits=splits[acted],
        listed=_day(about.get("firstTradeDate")),
        traded=_day(about.get("regularMarketTime")),
        currency=str(about.get("currency") or ""),
    )


def _floats(column: pd.Series) -> Values:
    try:
        return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    except (TypeError, ValueError) as error:
        raise InvalidReplyError(f"no numbers as {column.name} ({one_line(str(error))[:60]})") from None


def _day(moment: Any) -> np.datetime64 | None:
    """Day at the exchange; None when Yahoo gives none."""
    if not isinstance(moment, pd.Timestamp) or pd.isna(moment):
        return None
    return np.datetime64(moment.tz_localize(None).to_datetime64(), "D")
