"""Update of the cache: missing data are requested ticker by ticker, and each reply is stored at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from signals.common.errors import InputError, LockedError
from signals.common.progress_events import ProgressCallback, ProgressEvent, ignore_progress
from signals.common.storage import remove_temporary_files
from signals.sources.yahoo.cache import History, read_history, write_history
from signals.sources.yahoo.client import InvalidReplyError, UnknownTickerError, UnreachableError, YahooClient
from signals.sources.yahoo.coverage import coverage_of
from signals.sources.yahoo.linking import OVERLAP, extend, first_download

__all__ = ["Refresh", "RefreshResult"]

# After so many tickers in a row without a reply the service or the network is down, and the update stops.
GIVE_UP_AFTER = 3

# Seconds to wait for another process that updates the same cache.
PATIENCE = 600.0


@dataclass(frozen=True, slots=True)
class RefreshResult:
    """Result of an update of the cache, by ticker.

    Parameters
    ----------
    histories : dict of str to History
        Tickers that are now up to date in the cache.
    failed : dict of str to str
        Tickers that Yahoo does not have, or not in a usable form, with the reason.
    unreached : dict of str to str
        Tickers for which Yahoo sent no reply, with the reason; later ones may not have been requested.
    """

    histories: dict[str, History] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    unreached: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refresh:
    """Update of the cache for some tickers.

    Parameters
    ----------
    folder : Path
        Folder of the cache.
    client : YahooClient
        Client that sends the requests.
    calendar : str
        Exchange calendar of the tickers.
    min_coverage : float
        Share of the expected sessions a reply must have to be stored, so that a truncated first download does not
        become the cached history.
    revisions : {"keep", "accept"}
        As in `extend`.
    on_progress : callable
        Called with a `ProgressEvent` per ticker, and one before each wait.
    """

    folder: Path
    client: YahooClient
    calendar: str = "XNYS"
    min_coverage: float = 0.99
    revisions: str = "keep"
    on_progress: ProgressCallback = ignore_progress

    def run(self, tickers: Sequence[str], start: np.datetime64, until: np.datetime64) -> RefreshResult:
        """Bring some tickers up to date.

        Parameters
        ----------
        tickers : sequence of str
            Tickers that are not up to date.
        start : datetime64[D]
            First day that is needed.
        until : datetime64[D]
            Last session that is over.

        Returns
        -------
        RefreshResult
            The update stops early after too many requests, or after three tickers in a row without a reply.

        Raises
        ------
        LockedError
            When another process has been updating the cache for ten minutes.
        """
        result = RefreshResult()
        unreached_in_a_row = 0
        with self._locked():
            for place, ticker in enumerate(tickers):
                report = _TickerProgress(self.on_progress, ticker, place, len(tickers))
                try:
                    history = self._update(ticker, start, until, report)
                    result.histories[ticker] = history
                    message = f"{len(history.days):,} bars" + (", no longer at Yahoo" if history.gone else "")
                    unreached_in_a_row = 0
                except UnreachableError as error:
                    result.unreached[ticker] = message = str(error)
                    unreached_in_a_row = GIVE_UP_AFTER if error.limited else unreached_in_a_row + 1
                except (UnknownTickerError, InvalidReplyError) as error:
                    result.failed[ticker] = message = str(error)
                    unreached_in_a_row = 0
                report(message, finished=1)
                if unreached_in_a_row >= GIVE_UP_AFTER:
                    break
        return result

    def _update(self, ticker: str, start: np.datetime64, until: np.datetime64, report: _TickerProgress) -> History:
        history = read_history(self.folder, ticker)
        since = start
        if history is not None:
            whole = self.revisions == "accept" or not history.reaches(start)
            since = min(start, history.asked_from) if whole else history.days[-OVERLAP:][0]
        try:
            reply = self.client.request(ticker, since, report)
        except UnknownTickerError:
            if history is None:
                raise
            # a delisted or renamed ticker: the cached bars are complete
            since = min(since, history.asked_from)
            history = replace(history, gone=True, asked_from=since, checked_until=max(until, history.checked_until))
        else:
            done = reply.days[reply.days <= until]
            coverage = coverage_of(ticker, done, since, until, self.calendar, listed=reply.listed, traded=reply.traded)
            if not coverage.bars or coverage.below(self.min_coverage):
                raise InvalidReplyError(coverage.warning)
            if history is None:
                history = first_download(ticker, reply, since, until)
            else:
                history = extend(history, reply, since, until, revisions=self.revisions)
        write_history(self.folder, history)
        return history

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / ".lock", timeout=PATIENCE):
                remove_temporary_files(self.folder)
                yield
        except Timeout:
            raise LockedError(
                f"expected the cache {self.folder} to be free; found another process updating it; wait for it"
            ) from None
        except OSError as error:
            raise InputError(
                f"expected to write under {self.folder}; found {error.strerror or error}; free disk space or choose "
                "another cache"
            ) from error


@dataclass(frozen=True, slots=True)
class _TickerProgress:
    """Callback that reports the progress of one ticker among many."""

    on_progress: ProgressCallback
    ticker: str
    place: int
    total: int

    def __call__(self, text: str, *, finished: int = 0) -> None:
        self.on_progress(ProgressEvent("prices", f"{self.ticker}: {text}", self.place + finished, self.total))
