"""Price source `yahoo`: daily prices from Yahoo Finance, cached, and checked against the exchange calendar."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from signals.calendar import as_day, exchange_zone, session_closes, sessions
from signals.common.errors import InputError, ServiceError
from signals.common.progress_events import ProgressCallback, ignore_progress
from signals.common.storage import read_json, sha256_file, write_json
from signals.data.corporate_actions import actions_frame
from signals.data.panel import PRICE_COLUMNS
from signals.data.price_index import INDEX
from signals.data.prices import Prices, check_prices
from signals.sources.yahoo.cache import History, cache_path, read_history
from signals.sources.yahoo.client import YahooClient
from signals.sources.yahoo.coverage import Coverage, coverage_of, coverage_warnings, reasons
from signals.sources.yahoo.refresh import Refresh

__all__ = ["YahooSource"]

REPORT = "report.json"

# A bar is final only some time after the close, because of closing auctions and Yahoo's delay.
SETTLED = np.timedelta64(60, "m")

SURVIVORS = (
    "prices from Yahoo Finance, for personal and research use: most delisted tickers are missing there, so tickers "
    "chosen today have survivorship bias"
)

_SYMBOL = re.compile(r"[A-Za-z0-9.\-^=_&]{1,32}", re.ASCII)


def _now() -> np.datetime64:
    return np.datetime64(datetime.now(UTC).replace(tzinfo=None), "s")


@dataclass(frozen=True, slots=True)
class YahooSource:
    """Daily prices from Yahoo Finance through yfinance, kept in a cache.

    Parameters
    ----------
    tickers : sequence of str
        Yahoo's symbols: `"BRK-B"`, `"7203.T"`, `"^GSPC"`.
    start, end : str
        First and last day, both inclusive; without `end`, up to the last session that is over.
    calendar : str
        Exchange calendar every date must be a session of.
    cache : Path or str, optional
        Folder of the cache; by default `yahoo` in `.rnn-strategies`, or in the folder `RNN_STRATEGIES_HOME` names.
    on_bad : {"raise", "repair"}
        What to do with bad rows, see `check_prices`.
    min_coverage : float
        Share of the expected sessions (from listing to last trade) on which a ticker must have bars; spans below a
        year count as a year.
    on_missing_ticker : {"raise", "skip"}
        What to do with a ticker that Yahoo does not have, or of which it has too few bars: raise an error, or leave it
        out with a warning. An unreachable service is always an error; finished downloads stay in the cache, and the
        next call continues from there.
    revisions : {"keep", "accept"}
        What to do with bars that Yahoo has changed since the first download: keep the first values and report the
        change, or replace them. The latter downloads everything again, and networks trained on the old bars are
        trained again.
    max_attempts : int
        Requests per ticker before giving up; waits double from 1 s, from 15 s after too many requests.
    request_interval : float
        Seconds between tickers.
    on_progress : callable
        Called with a `ProgressEvent` per ticker, and one before each wait.
    session, sleep, clock
        HTTP session, function that waits, and function that returns the time in UTC, for proxies and tests.

    Notes
    -----
    Only missing data are requested: nothing when the cache reaches `end`, else the latest bars with 30 sessions of
    overlap, by which they are linked (`signals.sources.yahoo.linking`). Adjusted prices keep the scale of the first
    download, so a new dividend or split changes no old bar, feature or network. Adjusted prices over `adj_factor` are
    prices as they were traded, before later splits, and volume is in shares of the day. A bar is stored from one hour
    after the close of its session on.
    """

    tickers: Sequence[str]
    start: str
    end: str | None = None
    calendar: str = "XNYS"
    cache: Path | str | None = None
    on_bad: str = "raise"
    min_coverage: float = 0.99
    on_missing_ticker: str = "raise"
    revisions: str = "keep"
    max_attempts: int = 5
    request_interval: float = 0.25
    on_progress: ProgressCallback = field(default=ignore_progress, repr=False)
    session: Any = field(default=None, repr=False)
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)
    clock: Callable[[], np.datetime64] = field(default=_now, repr=False)

    def __post_init__(self) -> None:
        for name, known in (("on_missing_ticker", ("raise", "skip")), ("revisions", ("keep", "accept"))):
            if (value := getattr(self, name)) not in known:
                raise InputError(f'expected {name} = "{known[0]}" or "{known[1]}"; found {value!r}; choose one')
        if not 0 <= self.min_coverage <= 1:
            raise InputError(f"expected min_coverage from 0 to 1; found {self.min_coverage!r}; 0.99 is 99 %")
        if not isinstance(self.max_attempts, int) or self.max_attempts < 1:
            raise InputError(f"expected max_attempts of at least 1; found {self.max_attempts!r}; write a whole number")
        if not 0 <= self.request_interval <= 3600:
            raise InputError(
                f"expected request_interval in seconds, from 0 to 3600; found {self.request_interval!r}; write a number"
            )
        if isinstance(self.tickers, str) or not len(self.tickers):
            raise InputError(
                f'expected tickers as a list of symbols like ["AAPL", "SPY"]; found {self.tickers!r}; use a list'
            )
        for ticker in self.tickers:
            if not isinstance(ticker, str) or not _SYMBOL.fullmatch(ticker):
                hint = "Yahoo writes share classes with a dash, BRK-B" if "/" in str(ticker) else "correct the name"
                raise InputError(
                    f"expected Yahoo's symbols (letters, digits and . - ^ = _ &); found {str(ticker)[:40]!r}; {hint}"
                )

    @property
    def folder(self) -> Path:
        """Folder of the cache."""
        if self.cache is not None:
            return Path(self.cache).expanduser()
        return Path(os.environ.get("RNN_STRATEGIES_HOME", ".rnn-strategies")) / "yahoo"

    def load(self) -> Prices:
        """Update the cache where necessary, and read the prices from it.

        Returns
        -------
        Prices
            With warnings about missing bars, revisions and tickers left out; `report` has a table by ticker.

        Raises
        ------
        InputError
            For invalid dates or tickers, damaged files, more than one currency, or bad bars.
        ServiceError
            When Yahoo is unreachable, or a ticker is missing or too short and `on_missing_ticker` is `"raise"`.
        """
        start, end, until = self._span()
        wanted = tuple(sorted(set(self.tickers)))
        histories = {ticker: read_history(self.folder, ticker) for ticker in wanted}
        stale = [ticker for ticker in wanted if self._stale(histories[ticker], start, end)]
        failed: dict[str, str] = {}
        if stale:
            refreshed = self._refresh().run(stale, start, until)
            histories |= refreshed.histories
            failed |= refreshed.failed
            if refreshed.unreached:
                ready = len(wanted) - len(stale) + len(refreshed.histories)
                raise ServiceError(
                    f"expected replies from Yahoo; found {reasons(refreshed.unreached)}; {ready} of {len(wanted)} "
                    f"tickers are up to date in {self.folder}: run again later to continue from there"
                )
        counts: dict[str, Coverage] = {}
        for ticker, history in histories.items():
            if ticker in failed or history is None:
                continue
            coverage = coverage_of(ticker, history.days, start, end, self.calendar, listed=history.listed)
            counts[ticker] = coverage
            if coverage.below(self.min_coverage) or not coverage.bars:
                failed[ticker] = coverage.warning
        kept = [h for t in wanted if t not in failed and (h := histories[t]) is not None]
        self._write_report(wanted, histories, counts, failed, start, end)
        if failed and (self.on_missing_ticker == "raise" or not kept):
            raise ServiceError(
                f"expected prices of {len(wanted)} tickers from Yahoo; found none, or too few, of {len(failed)}: "
                f'{reasons(failed)}; correct the names, or set on_missing_ticker = "skip" to leave them out (all of '
                f"them: {self.folder / REPORT})"
            )
        warnings = [SURVIVORS]
        if failed:
            warnings.append(f"{len(failed)} of {len(wanted)} tickers left out: {reasons(failed)}")
        warnings += coverage_warnings([counts[h.ticker] for h in kept], kept, start, end)
        _check_currency(kept)
        files = {path.name: sha256_file(path) for path in (cache_path(self.folder, h.ticker) for h in kept)}
        check = partial(
            check_prices,
            _frame(kept, start, end),
            calendar=self.calendar,
            source="yahoo",
            raw_known=True,
            on_bad=self.on_bad,
            files=files,
        )
        try:
            return check(warnings=warnings, actions=_actions(kept, start, end, self.calendar))
        except InputError as error:
            # bad bars are refused again; splits that contradict valid bars only rule out trading raw prices
            return check(warnings=[*warnings, f"splits and dividends are not known: {error}"])

    def actions(self) -> pd.DataFrame:
        """Dividends and splits in the cache, without a request to Yahoo.

        Returns
        -------
        DataFrame
            Index (date, ticker): the first session without the dividend, or in new shares. Columns `dividend` (per
            share as it was paid) and `split` (new shares for one old one, 1.0 for none).
        """
        rows = [
            (action.day, ticker, action.dividend, action.split)
            for ticker in sorted(set(self.tickers))
            if (history := read_history(self.folder, ticker)) is not None
            for action in history.actions
        ]
        days = np.array([row[0] for row in rows], dtype="datetime64[ns]")
        names = pd.Index([row[1] for row in rows], dtype=object)
        columns = {"dividend": [row[2] for row in rows], "split": [row[3] for row in rows]}
        index = pd.MultiIndex.from_arrays([pd.DatetimeIndex(days), names], names=INDEX)
        return pd.DataFrame(columns, index=index, dtype=np.float64).sort_index()

    def report(self) -> pd.DataFrame:
        """Table by ticker of the last `load` into this cache: bars, first, last, expected, missing, status."""
        tickers = read_json(self.folder / REPORT)["tickers"]
        return pd.DataFrame.from_dict(tickers, orient="index").rename_axis("ticker")

    def _span(self) -> tuple[np.datetime64, np.datetime64, np.datetime64]:
        """First and last day to return, and the last session that is over."""
        start = as_day(self.start, name="start")
        now = self.clock().astype("datetime64[s]")
        today = now.astype("datetime64[D]")
        recent = sessions(today - np.timedelta64(30, "D"), today, self.calendar)
        until = recent[session_closes(recent, self.calendar) + SETTLED <= now][-1]
        end = until if self.end is None else min(as_day(self.end, name="end"), until)
        if end < start:
            raise InputError(
                f"expected start on or before {end}, the last session available; found {start}; choose an earlier one"
            )
        return start, end, until

    def _stale(self, history: History | None, start: np.datetime64, end: np.datetime64) -> bool:
        if history is None or self.revisions == "accept" or not history.reaches(start):
            return True
        return bool(history.checked_until < end)

    def _refresh(self) -> Refresh:
        client = YahooClient(
            zone=exchange_zone(self.calendar),
            session=self.session,
            max_attempts=self.max_attempts,
            request_interval=self.request_interval,
            sleep=self.sleep,
        )
        return Refresh(
            folder=self.folder,
            client=client,
            calendar=self.calendar,
            min_coverage=self.min_coverage,
            revisions=self.revisions,
            on_progress=self.on_progress,
        )

    def _write_report(
        self,
        wanted: Sequence[str],
        histories: Mapping[str, History | None],
        counts: Mapping[str, Coverage],
        failed: Mapping[str, str],
        start: np.datetime64,
        end: np.datetime64,
    ) -> None:
        tickers = {}
        for ticker in wanted:
            row: dict[str, Any] = {"status": failed.get(ticker, "complete")}
            if (coverage := counts.get(ticker)) is not None:
                row |= coverage.row()
                row["status"] = failed.get(ticker, "short" if coverage.missing else "complete")
            if (history := histories.get(ticker)) is not None:
                row |= {"gone": history.gone, "revised": len(history.revised), "unadjusted": len(history.unadjusted)}
            tickers[ticker] = row
        report = {"start": str(start), "end": str(end), "calendar": self.calendar, "tickers": tickers}
        path = self.folder / REPORT
        # an unchanged cache on a read-only disk can still be read
        if not path.exists() or read_json(path) != report:
            write_json(path, report)


def _actions(histories: Sequence[History], start: np.datetime64, end: np.datetime64, calendar: str) -> pd.DataFrame:
    """List splits and dividends from start to end: on sessions, and dividends per share held at the close before.

    Yahoo's dividend on the day of a split is per share after the split.
    """
    trading = sessions(start, end, calendar)
    rows = []
    for history in histories:
        for action in history.actions:
            place = int(np.searchsorted(trading, action.day))
            if start <= action.day and place < len(trading):
                rows.append((trading[place], history.ticker, action.split, action.dividend * action.split))
    return actions_frame(rows)


def _check_currency(histories: Sequence[History]) -> None:
    by_currency: dict[str, str] = {}
    for history in histories:
        if history.currency:
            by_currency.setdefault(history.currency, history.ticker)
    if len(by_currency) > 1:
        found = ", ".join(f"{currency} ({ticker})" for currency, ticker in sorted(by_currency.items()))
        raise InputError(
            f"expected prices in one currency; found {found}; load each currency by itself (accounts have one currency)"
        )


def _frame(histories: Sequence[History], start: np.datetime64, end: np.datetime64) -> pd.DataFrame:
    """Bars of all tickers from start to end, sorted by date and ticker; `histories` are sorted by ticker."""
    spans = [slice(*np.searchsorted(h.days, [start, end + np.timedelta64(1, "D")])) for h in histories]
    days, session = np.unique(
        np.concatenate([h.days[span] for h, span in zip(histories, spans, strict=True)]), return_inverse=True
    )
    codes = np.repeat(np.arange(len(histories)), [span.stop - span.start for span in spans])
    order = np.argsort(session * len(histories) + codes, kind="stable")
    names = pd.Index([h.ticker for h in histories], dtype=object)
    index = pd.MultiIndex(
        levels=[pd.DatetimeIndex(days.astype("datetime64[ns]")), names],
        codes=[session[order], codes[order]],
        names=INDEX,
        verify_integrity=False,
    )
    columns = {
        name: np.concatenate([h.columns[name][span] for h, span in zip(histories, spans, strict=True)])[order]
        for name in PRICE_COLUMNS
    }
    return pd.DataFrame(columns, index=index, copy=False)
