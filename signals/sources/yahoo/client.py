"""Talking to Yahoo Finance through yfinance: one ticker at a time, politely, and every failure said aloud.

yfinance's `download` never raises: what went wrong becomes empty columns. Here each request ends in a `Reply` or in an
error that tells whether the ticker is not there, Yahoo is out of reach, or what it answered makes no sense.
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

__all__ = ["NotThereError", "OddReplyError", "Reply", "UnreachableError", "YahooDoor", "read_reply"]

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

# What Yahoo answers for a symbol it does not know, or knows without prices in the span; all else may pass.
_GONE = ("no data found", "data doesn't exist", "delisted", "not found")

Days = NDArray[np.datetime64]
Values = NDArray[np.float64]


class NotThereError(ServiceError):
    """Yahoo knows no such ticker, or has no prices of it in the span."""


class OddReplyError(ServiceError):
    """Yahoo answered, and the answer cannot be prices."""


class UnreachableError(ServiceError):
    """Yahoo did not answer, refused to (too many requests), or failed, and kept doing so.

    Parameters
    ----------
    reason : str
        What happened at the last attempt.
    limited : bool
        It was too many requests: asking for other tickers would make it worse.
    """

    def __init__(self, reason: str, *, limited: bool = False) -> None:
        super().__init__(reason)
        self.limited = limited


@dataclass(frozen=True, slots=True, eq=False)
class Reply:
    """What Yahoo says about one ticker, in Yahoo's own scale at the moment of the request.

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
        First day of trading and day of the last trade, as Yahoo tells them.
    currency : str
        Of the quotes; "" when Yahoo does not say.
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
class YahooDoor:
    """Asks Yahoo for daily bars.

    Parameters
    ----------
    zone : str
        Time zone of the exchange, to which days of a request belong.
    session : curl_cffi or requests Session, optional
        For a proxy, or for recorded replies in tests; yfinance makes its own otherwise.
    max_attempts : int
        Requests per ticker before giving up.
    request_interval : float
        Seconds between requests.
    timeout : float
        Seconds to wait for an answer.
    sleep : callable
        How to wait; tests do not.

    Notes
    -----
    After a failure that may pass, the n-th wait is 2**(n - 1) seconds, and 15 times as long when Yahoo complains about
    too many requests.
    """

    zone: str = "America/New_York"
    session: Any = None
    max_attempts: int = 5
    request_interval: float = 0.25
    timeout: float = 20.0
    sleep: Callable[[float], None] = time.sleep

    def ask(self, ticker: str, start: np.datetime64, tell: Callable[[str], None] = lambda text: None) -> Reply:
        """Ask for all bars of a ticker from a day up to now.

        Up to now, because Yahoo adjusts for splits up to now but lists only those within the span asked for; and
        because yfinance remembers its answers to spans in the past, the failed ones too.

        Parameters
        ----------
        ticker : str
            Yahoo's symbol.
        start : datetime64[D]
            First day.
        tell : callable
            Gets a line before each wait.

        Raises
        ------
        NotThereError, OddReplyError, UnreachableError
            See there; their text is the reason alone, for the caller to put into a line.
        """
        from yfinance.exceptions import YFPricesMissingError, YFRateLimitError, YFTzMissingError

        self.sleep(self.request_interval)
        for attempt in range(1, self.max_attempts + 1):
            limited = odd = False
            try:
                return self._ask(ticker, start)
            except YFRateLimitError:
                limited, reason = True, "too many requests (429)"
            except YFTzMissingError:
                raise NotThereError("unknown at Yahoo") from None
            except YFPricesMissingError as error:
                said = one_line(str(error.yahoo_reason or ""))[:160]
                if any(word in said.lower() for word in _GONE):
                    raise NotThereError(said) from None
                reason = said or "an empty answer"
            except (KeyError, IndexError, TypeError, AttributeError, OddReplyError) as error:
                odd, reason = True, f"an answer in another form ({type(error).__name__}: {one_line(str(error))[:120]})"
            # whatever else curl, JSON or yfinance may raise: the caller is told, nothing is hidden
            except Exception as error:
                reason = f"{type(error).__name__}: {one_line(str(error))[:160]}"
            if attempt < self.max_attempts:
                wait = 2.0 ** (attempt - 1) * (15 if limited else 1)
                tell(f"{reason}; trying again in {wait:.0f} s")
                self.sleep(wait)
        reason = f"{reason}, {self.max_attempts} times" if self.max_attempts > 1 else reason
        if odd:
            raise OddReplyError(reason)
        raise UnreachableError(reason, limited=limited)

    def _ask(self, ticker: str, start: np.datetime64) -> Reply:
        import yfinance as yf

        with _loud():
            share = yf.Ticker(ticker, session=self.session)
            # Else yfinance asks for the zone in a request of its own, and takes any failure of it for "delisted".
            share._tz = self.zone
            frame = share.history(
                start=str(start), interval="1d", auto_adjust=False, actions=True, timeout=self.timeout
            )
            # a lazy mapping, in which looking at everything would ask Yahoo for more
            about = share.get_history_metadata()
        reply = read_reply(frame, about)
        if not len(reply.days):
            raise OddReplyError("no bars")
        return reply


@contextmanager
def _loud() -> Iterator[None]:
    """Make yfinance raise instead of hiding, and leave its global switches as they were."""
    import yfinance as yf

    # Its warnings (a cookie more or less) go to whoever set up logging, not into our progress lines.
    logger = logging.getLogger("yfinance")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    hidden = yf.config.debug.hide_exceptions
    yf.config.debug.hide_exceptions = False
    try:
        with warnings.catch_warnings():
            # yfinance 1.7 on pandas 3: not ours to mend, and pandas is capped below 4
            warnings.filterwarnings("ignore", category=pd.errors.Pandas4Warning, module="yfinance")
            yield
    finally:
        yf.config.debug.hide_exceptions = hidden


def read_reply(frame: pd.DataFrame, about: Mapping[str, Any]) -> Reply:
    """Take the table of `yfinance.Ticker.history` apart.

    Parameters
    ----------
    frame : DataFrame
        With `auto_adjust=False, actions=True`, rows in any order.
    about : mapping
        Yahoo's description of the ticker.

    Raises
    ------
    OddReplyError
        When columns are missing, dates are none, or two different bars share a day.
    """
    if missing := [name for name in (*QUOTES, *ACTIONS) if name not in frame.columns]:
        raise OddReplyError(f"no columns {', '.join(missing)}, but {', '.join(map(str, frame.columns))}"[:160])
    if not isinstance(frame.index, pd.DatetimeIndex):
        raise OddReplyError(f"rows labelled by {frame.index.dtype}, not by dates")
    # midnight at the exchange is that day, whatever it is in UTC
    days = frame.index.tz_localize(None).to_numpy().astype("datetime64[D]")
    table = np.column_stack([_floats(frame[name]) for name in (*QUOTES, *ACTIONS)])
    order = np.argsort(days, kind="stable")
    days, table = days[order], table[order]
    again = np.r_[False, days[1:] == days[:-1]]
    if again.any():
        same = (table[1:] == table[:-1]) | (np.isnan(table[1:]) & np.isnan(table[:-1]))
        if (differ := again[1:] & ~same.all(axis=1)).any():
            raise OddReplyError(f"two different bars on {days[1:][differ][0]}")
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
        raise OddReplyError(f"no numbers as {column.name} ({one_line(str(error))[:60]})") from None


def _day(moment: Any) -> np.datetime64 | None:
    """Day at the exchange, when Yahoo names one."""
    if not isinstance(moment, pd.Timestamp) or pd.isna(moment):
        return None
    return np.datetime64(moment.tz_localize(None).to_datetime64(), "D")
