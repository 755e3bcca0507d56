"""Coverage of downloads: bars of a ticker compared with the sessions of its exchange."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signals.calendar import sessions
from signals.sources.yahoo.cache import History

__all__ = ["Coverage", "coverage_of", "coverage_warnings", "reasons"]

# Shorter spans count as a year of sessions, so that two absent bars of a young ticker weigh no more than of an old one.
YEAR = 252

Days = NDArray[np.datetime64]


@dataclass(frozen=True, slots=True)
class Coverage:
    """Number of bars of one ticker compared with its exchange calendar.

    Parameters
    ----------
    ticker : str
        The ticker.
    bars : int
        Sessions of the span with a bar.
    first, last : datetime64[D] or None
        First and last bar; None when there is none.
    expected : int
        Sessions on which it should have traded: from the first bar, or Yahoo's first day of trading if that is earlier,
        to the last bar, or Yahoo's day of the last trade if that is later.
    late_start, early_end : int
        Sessions of the span before the first and after the last bar.
    """

    ticker: str
    bars: int
    first: np.datetime64 | None
    last: np.datetime64 | None
    expected: int
    late_start: int
    early_end: int

    @property
    def missing(self) -> int:
        """Expected sessions without a bar."""
        return self.expected - self.bars

    @property
    def share(self) -> float:
        """Bars as a fraction of the expected sessions."""
        return self.bars / self.expected if self.expected else 0.0

    def below(self, minimum: float) -> bool:
        """Whether the share of bars is below a minimum, with shorter spans counted as a year."""
        return self.missing > (1 - minimum) * max(self.expected, YEAR) + 1e-9

    @property
    def warning(self) -> str:
        """Description of the coverage, for an error."""
        if not self.bars:
            return f"no bars in {self.expected:,} sessions"
        return f"{self.bars:,} bars in {self.expected:,} sessions ({self.share:.1%}), from {self.first} to {self.last}"

    def row(self) -> dict[str, Any]:
        """Plain values, for a table."""
        return {
            "bars": self.bars,
            "first": None if self.first is None else str(self.first),
            "last": None if self.last is None else str(self.last),
            "expected": self.expected,
            "missing": self.missing,
            "late_start": self.late_start,
            "early_end": self.early_end,
        }


def coverage_of(
    ticker: str,
    days: Days,
    start: np.datetime64,
    end: np.datetime64,
    calendar: str,
    *,
    listed: np.datetime64 | None = None,
    traded: np.datetime64 | None = None,
) -> Coverage:
    """Count the bars of a ticker in a span.

    Parameters
    ----------
    ticker : str
        The ticker.
    days : ndarray of datetime64[D]
        Days with a bar, ascending.
    start, end : datetime64[D]
        The span, both inclusive.
    calendar : str
        Exchange calendar.
    listed, traded : datetime64[D], optional
        First and last day of trading according to Yahoo, by which a truncated reply differs from that of a new or a
        delisted ticker.
    """
    open_days = sessions(start, end, calendar)
    held = open_days[np.isin(open_days, days)]
    if not len(held):
        return Coverage(ticker, 0, None, None, len(open_days), len(open_days), 0)
    first, last = held[0], held[-1]
    begin = min(first, max(listed, start)) if listed is not None else first
    finish = max(last, min(traded, end)) if traded is not None else last
    return Coverage(
        ticker=ticker,
        bars=len(held),
        first=np.datetime64(first, "D"),
        last=np.datetime64(last, "D"),
        expected=int(((open_days >= begin) & (open_days <= finish)).sum()),
        late_start=int((open_days < first).sum()),
        early_end=int((open_days > last).sum()),
    )


def coverage_warnings(
    counts: Sequence[Coverage], histories: Sequence[History], start: np.datetime64, end: np.datetime64
) -> list[str]:
    """Warnings about missing sessions, short histories, delistings and revisions, for the report of a run."""
    warnings = []
    if holes := [c for c in counts if c.missing]:
        worst = max(holes, key=lambda c: (c.missing, c.ticker))
        warnings.append(
            f"{sum(c.missing for c in holes)} sessions without a bar in {_tickers(len(holes))} (most: {worst.ticker}, "
            f"{worst.missing} of {worst.expected})"
        )
    if late := [c for c in counts if c.late_start]:
        last = max(late, key=lambda c: (c.late_start, c.ticker))
        verb = "begins" if len(late) == 1 else "begin"
        warnings.append(f"{_tickers(len(late))} {verb} after {start} (latest: {last.ticker}, {last.first})")
    if early := [c for c in counts if c.early_end]:
        first = max(early, key=lambda c: (c.early_end, c.ticker))
        verb = "ends" if len(early) == 1 else "end"
        warnings.append(f"{_tickers(len(early))} {verb} before {end} (earliest: {first.ticker}, {first.last})")
    if gone := [h.ticker for h in histories if h.gone]:
        warnings.append(f"no longer at Yahoo, delisted or renamed; the cached bars are used: {_listed(gone)}")
    if revised := [h for h in histories if h.revised]:
        bars = sum(len(h.revised) for h in revised)
        day, text = next(iter(revised[0].revised.items()))
        warnings.append(
            f"{bars} bars of {_tickers(len(revised))} revised by Yahoo since the first download, the first values are "
            f"used (first: {revised[0].ticker} on {day}: {text})"
        )
    if unpaid := [h for h in histories if h.unadjusted]:
        warnings.append(
            f"{sum(len(h.unadjusted) for h in unpaid)} dividends of {_tickers(len(unpaid))} that Yahoo's adjusted "
            f"prices do not show (first: {unpaid[0].ticker} on {unpaid[0].unadjusted[0]})"
        )
    return warnings


def reasons(failed: Mapping[str, str], most: int = 5) -> str:
    """List the first few failed tickers with their reasons, and count the others.

    >>> reasons({"XX": "unknown at Yahoo", "YY": "no bars"}, most=1)
    'XX (unknown at Yahoo) and 1 more'
    """
    return _listed([f"{ticker} ({reason})" for ticker, reason in failed.items()], most)


def _tickers(count: int) -> str:
    return f"{count:,} ticker" + ("" if count == 1 else "s")


def _listed(names: Sequence[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
