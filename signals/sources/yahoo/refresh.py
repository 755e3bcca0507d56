"""Bringing the cache up to date: ask for what is missing, ticker by ticker, and keep each answer at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from signals.common.errors import InputError, LockedError
from signals.common.progress_events import ProgressCallback, ProgressEvent, ignore_progress
from signals.common.storage import sweep
from signals.sources.yahoo.cache import History, read_history, write_history
from signals.sources.yahoo.client import NotThereError, OddReplyError, UnreachableError, YahooDoor
from signals.sources.yahoo.coverage import coverage_of
from signals.sources.yahoo.linking import OVERLAP, extend, first_seen

__all__ = ["Refresh", "Renewed"]

# After so many tickers in a row without an answer it is the service or the line, not the tickers.
GIVE_UP_AFTER = 3

# Seconds to wait for another process that fills the same cache.
PATIENCE = 600.0


@dataclass(frozen=True, slots=True)
class Renewed:
    """What became of the tickers that were asked for.

    Parameters
    ----------
    histories : dict of str to History
        Tickers that are up to date now, and in the cache.
    failed : dict of str to str
        Tickers Yahoo does not have, or not in a usable form, and why.
    unreached : dict of str to str
        Tickers Yahoo did not answer for, and why; those after them were perhaps not asked for at all.
    """

    histories: dict[str, History] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    unreached: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refresh:
    """Asks for tickers and keeps the answers.

    Parameters
    ----------
    folder : Path
        The cache.
    door : YahooDoor
        How Yahoo is asked.
    calendar : str
        Exchange calendar of the tickers.
    min_coverage : float
        Share of the expected sessions an answer must hold to be kept: what is cut short once must not become
        "as first seen".
    revisions : {"keep", "accept"}
        As in `extend`.
    on_progress : callable
        Gets an `ProgressEvent` per ticker, and one before each wait.
    """

    folder: Path
    door: YahooDoor
    calendar: str = "XNYS"
    min_coverage: float = 0.99
    revisions: str = "keep"
    on_progress: ProgressCallback = ignore_progress

    def run(self, tickers: Sequence[str], start: np.datetime64, until: np.datetime64) -> Renewed:
        """Bring some tickers up to date.

        Parameters
        ----------
        tickers : sequence of str
            Those that are not.
        start : datetime64[D]
            First day that is needed.
        until : datetime64[D]
            Last session that is over.

        Returns
        -------
        Renewed
            It stops early when Yahoo complains about too many requests, or answers for none of three in a row.

        Raises
        ------
        LockedError
            When another process has been filling the cache for ten minutes.
        """
        renewed = Renewed()
        silence = 0
        with self._locked():
            for place, ticker in enumerate(tickers):
                tell = _Teller(self.on_progress, ticker, place, len(tickers))
                try:
                    history = self._update(ticker, start, until, tell)
                    renewed.histories[ticker] = history
                    message = f"{len(history.days):,} bars" + (", no longer at Yahoo" if history.gone else "")
                    silence = 0
                except UnreachableError as error:
                    renewed.unreached[ticker] = message = str(error)
                    silence = GIVE_UP_AFTER if error.limited else silence + 1
                except (NotThereError, OddReplyError) as error:
                    renewed.failed[ticker] = message = str(error)
                    silence = 0
                tell(message, finished=1)
                if silence >= GIVE_UP_AFTER:
                    break
        return renewed

    def _update(self, ticker: str, start: np.datetime64, until: np.datetime64, tell: _Teller) -> History:
        history = read_history(self.folder, ticker)
        since = start
        if history is not None:
            whole = self.revisions == "accept" or not history.reaches(start)
            since = min(start, history.asked_from) if whole else history.days[-OVERLAP:][0]
        try:
            reply = self.door.ask(ticker, since, tell)
        except NotThereError:
            if history is None:
                raise
            # a name that died or was renamed: what was seen of it is all there will be
            since = min(since, history.asked_from)
            history = replace(history, gone=True, asked_from=since, checked_until=max(until, history.checked_until))
        else:
            done = reply.days[reply.days <= until]
            found = coverage_of(ticker, done, since, until, self.calendar, listed=reply.listed, traded=reply.traded)
            if not found.bars or found.below(self.min_coverage):
                raise OddReplyError(found.warning)
            if history is None:
                history = first_seen(ticker, reply, since, until)
            else:
                history = extend(history, reply, since, until, revisions=self.revisions)
        write_history(self.folder, history)
        return history

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / ".lock", timeout=PATIENCE):
                sweep(self.folder)
                yield
        except Timeout:
            raise LockedError(
                f"expected the cache {self.folder} to be free; found another process filling it; wait for it"
            ) from None
        except OSError as error:
            raise InputError(
                f"expected to write under {self.folder}; the system says: {error.strerror or error}; make room or "
                "choose another cache"
            ) from error


@dataclass(frozen=True, slots=True)
class _Teller:
    """Progress of one ticker among many."""

    on_progress: ProgressCallback
    ticker: str
    place: int
    total: int

    def __call__(self, text: str, *, finished: int = 0) -> None:
        self.on_progress(ProgressEvent("prices", f"{self.ticker}: {text}", self.place + finished, self.total))
