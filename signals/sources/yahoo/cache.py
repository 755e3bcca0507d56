"""Cache of downloads from Yahoo: one Parquet file per ticker with bars, splits, dividends and the span requested.

Files are replaced atomically, so an interrupted download loses at most the current ticker.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from signals.common.errors import InputError
from signals.common.storage import atomic_write, canonical_json
from signals.data.panel import PRICE_COLUMNS
from signals.tabular.table_files import one_line

__all__ = ["Action", "History", "cache_path", "read_history", "write_history"]

SCHEMA = 1
_KEY = b"rnn_strategies"

Days = NDArray[np.datetime64]
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Action:
    """A dividend, a split or both.

    Parameters
    ----------
    day : datetime64[D]
        First session without the dividend, or in new shares.
    dividend : float
        Per share as it was paid, in shares of that day; 0.0 for none.
    split : float
        New shares for one old one; 1.0 for none.
    """

    day: np.datetime64
    dividend: float = 0.0
    split: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """Cached data of one ticker.

    Parameters
    ----------
    ticker : str
        Yahoo's symbol as the user wrote it.
    days : ndarray of datetime64[D], shape (n,)
        Ascending, each once.
    columns : dict of str to ndarray of float64, shape (n,)
        `PRICE_COLUMNS`: OHLC adjusted in the scale of the first download, volume in shares of the day, and
        `adj_factor` = adjusted / as traded.
    asked_from : datetime64[D]
        First day that was ever requested.
    checked_until : datetime64[D]
        Last session that is settled: the reply reached it, or showed that the ticker was no longer traded.
    actions : tuple of Action
        In order of day.
    currency : str
        Currency of the prices.
    listed : datetime64[D] or None
        First day of trading according to Yahoo.
    gone : bool
        Whether Yahoo no longer has the ticker, because it was delisted or renamed.
    revised : mapping of str to str
        By day, the difference between Yahoo's present bar and the one kept.
    unadjusted : tuple of str
        Days of dividends that the adjusted prices do not show.
    """

    ticker: str
    days: Days
    columns: dict[str, Values]
    asked_from: np.datetime64
    checked_until: np.datetime64
    actions: tuple[Action, ...] = ()
    currency: str = ""
    listed: np.datetime64 | None = None
    gone: bool = False
    revised: Mapping[str, str] = field(default_factory=dict)
    unadjusted: tuple[str, ...] = ()

    def reaches(self, start: np.datetime64) -> bool:
        """Whether the data go back to `start`, or to the listing of the ticker."""
        from_listing = self.listed is not None and self.listed >= self.asked_from
        return bool(from_listing or self.asked_from <= start)


def cache_path(folder: Path, ticker: str) -> Path:
    """File of a ticker, with a name that is readable, safe and unique for any ticker.

    Tickers contain slashes, dots and device names of Windows, and some file systems ignore case. The name therefore has
    only the letters, digits and dashes of the ticker, and a hash of it.

    >>> cache_path(Path("cache"), "BRK/B").name
    'BRK_B-82f670123a29d4ca.parquet'
    """
    digest = hashlib.sha256(ticker.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return Path(folder) / f"{re.sub('[^A-Z0-9-]', '_', ticker.upper())[:40]}-{digest}.parquet"


def write_history(folder: Path, history: History) -> None:
    """Replace the file of a ticker."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    about = {
        "schema": SCHEMA,
        "ticker": history.ticker,
        "asked_from": str(history.asked_from),
        "checked_until": str(history.checked_until),
        "actions": [[str(a.day), a.dividend, a.split] for a in history.actions],
        "currency": history.currency,
        "listed": None if history.listed is None else str(history.listed),
        "gone": history.gone,
        "revised": dict(history.revised),
        "unadjusted": list(history.unadjusted),
    }
    table = pa.table(
        {
            "date": pa.array(history.days.astype("datetime64[D]")),
            **{name: pa.array(history.columns[name]) for name in PRICE_COLUMNS},
        }
    ).replace_schema_metadata({_KEY: canonical_json(about)})

    def write(handle: IO[bytes]) -> None:
        pq.write_table(table, handle, compression="zstd", version="2.6", write_page_checksum=True)

    atomic_write(cache_path(folder, history.ticker), write)


def read_history(folder: Path, ticker: str) -> History | None:
    """Read the cached data of a ticker; None when it was never downloaded.

    Raises
    ------
    InputError
        When the file is damaged, or not of this ticker.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = cache_path(folder, ticker)
    try:
        table = pq.read_table(path, page_checksum_verification=True)
        about = json.loads((table.schema.metadata or {}).get(_KEY, b"{}"))
        return _history(ticker, table, about)
    except FileNotFoundError:
        return None
    # a damaged file may have any content
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = one_line((str(error).splitlines() or ["unreadable"])[0])[:120]
        raise InputError(
            f"expected the cached bars of {ticker} from Yahoo in {path}; found a damaged file ({reason}); delete it to "
            "download them again"
        ) from error


def _history(ticker: str, table: Any, about: dict[str, Any]) -> History:
    if about.get("schema") != SCHEMA or about["ticker"] != ticker:
        raise ValueError(f"schema {about.get('schema')} of {about.get('ticker')}")
    days = table["date"].to_numpy().astype("datetime64[D]")
    columns = {name: np.array(table[name].to_numpy(), dtype=np.float64) for name in PRICE_COLUMNS}
    if not len(days) or (days[1:] <= days[:-1]).any():
        raise ValueError("dates do not ascend")
    return History(
        ticker=ticker,
        days=days,
        columns=columns,
        asked_from=_day(about["asked_from"]),
        checked_until=_day(about["checked_until"]),
        actions=tuple(Action(_day(day), float(paid), float(ratio)) for day, paid, ratio in about["actions"]),
        currency=str(about["currency"]),
        listed=None if about["listed"] is None else _day(about["listed"]),
        gone=bool(about["gone"]),
        revised={str(day): str(text) for day, text in about["revised"].items()},
        unadjusted=tuple(map(str, about["unadjusted"])),
    )


def _day(text: str) -> np.datetime64:
    return np.datetime64(text, "D")
