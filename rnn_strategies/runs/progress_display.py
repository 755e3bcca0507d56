"""Progress display: bars in a notebook, a rewritten line in a terminal, plain lines elsewhere; with time remaining."""

from __future__ import annotations

import math
import sys
import time
from html import escape
from importlib import import_module
from typing import Any, TextIO

from signals.common.progress_events import ProgressCallback, ProgressEvent

__all__ = ["ConsoleProgress", "NotebookProgress", "in_notebook", "show_progress"]


def in_notebook() -> bool:
    """Whether this code runs in the kernel of a notebook; IPython is not imported for the test."""
    ipython = sys.modules.get("IPython")
    if ipython is None:
        return False
    return getattr(ipython.get_ipython(), "kernel", None) is not None


def show_progress(stream: TextIO | None = None, *, verbose: bool = False) -> ProgressCallback:
    """Return a progress callback for the environment: bars in a notebook, lines elsewhere.

    Parameters
    ----------
    stream : text stream, optional
        Stream of the lines outside a notebook; standard error by default.
    verbose : bool
        Whether every event is printed on a line of its own outside a notebook, with the seconds since the start;
        False by default.

    Returns
    -------
    callable
        For `on_progress=`: a bar in a notebook, else lines.

    Examples
    --------
    In a notebook::

        rs.compute_signals(prices, ..., on_progress=rs.show_progress())
    """
    return NotebookProgress() if in_notebook() else ConsoleProgress(stream or sys.stderr, verbose=verbose)


class ConsoleProgress:
    """Progress callback that prints events to a text stream.

    Parameters
    ----------
    stream : text stream
        On a terminal one line is rewritten during a stage; on other streams every event is a line.
    verbose : bool
        Whether a terminal also gets one line per event, with the seconds since the start; False by default.
    """

    def __init__(self, stream: TextIO, *, verbose: bool = False) -> None:
        self._stream = stream
        self._live = stream.isatty() and not verbose
        self._start = time.monotonic() if verbose else None
        self._pace = _Pace()

    def __call__(self, event: ProgressEvent) -> None:
        """Print one event."""
        text = _line(event, self._pace.left(event))
        if self._start is not None:
            text = f"{time.monotonic() - self._start:8.1f} s {text}"
        if not self._live:
            print(text, file=self._stream, flush=True)
            return
        end = "" if event.total and event.done < event.total else "\n"
        print(f"\r\x1b[2K{text}", end=end, file=self._stream, flush=True)


class NotebookProgress:
    """Listener that draws one bar per stage in the output of a notebook cell, and updates it in place.

    One display shows all stages; it is created at the first event and updated afterwards.
    """

    def __init__(self) -> None:
        self._pace = _Pace()
        self._latest: dict[str, tuple[ProgressEvent, str]] = {}
        self._handle: Any = None

    def __call__(self, event: ProgressEvent) -> None:
        """Show one event."""
        display: Any = import_module("IPython.display").display
        left = self._pace.left(event)
        last = self._latest.get(event.stage)
        # the closing event of a stage has no count: the full bar stays
        if not event.total and last is not None and last[0].total:
            event = ProgressEvent(event.stage, event.message, last[0].done, last[0].total)
        self._latest[event.stage] = event, left
        shown = _Bars(list(self._latest.values()))
        if self._handle is None:
            self._handle = display(shown, display_id=True)
        else:
            self._handle.update(shown)


class _Bars:
    """All stages so far, as HTML and as text."""

    def __init__(self, rows: list[tuple[ProgressEvent, str]]) -> None:
        self._rows = rows

    def _repr_html_(self) -> str:
        lines = []
        for event, left in self._rows:
            bar = ""
            if event.total:
                bar = f'<progress value="{event.done}" max="{event.total}"></progress> {event.done}/{event.total}'
            words = escape(event.message + left)
            lines.append(f"<tr><th>{escape(event.stage)}</th><td>{bar}</td><td>{words}</td></tr>")
        return f"<table><tbody>{''.join(lines)}</tbody></table>"

    def __repr__(self) -> str:
        return "\n".join(_line(event, left) for event, left in self._rows)


def _line(event: ProgressEvent, left: str) -> str:
    if event.total:
        return f"[{event.stage} {event.done}/{event.total}] {event.message}{left}"
    return f"[{event.stage}] {event.message}"


class _Pace:
    """Estimate of the time remaining in each stage, from its rate so far.

    A stage is timed from its last event before the first counted unit. Where the first event of a stage has counted
    units, their duration is unknown, and there is no estimate before the next event. A stage that restarts its count is
    timed from there.
    """

    def __init__(self) -> None:
        self._base: dict[str, tuple[float, int]] = {}  # moment, and units that were done
        self._last: dict[str, tuple[int, int]] = {}

    def left(self, event: ProgressEvent) -> str:
        """Text of the time remaining in the event's stage; empty when it is unknown, or less than a second."""
        now = time.monotonic()
        done, total = self._last.get(event.stage, (0, 0))
        if event.stage not in self._base or event.done < done or (total and event.total != total) or not event.done:
            self._base[event.stage] = now, event.done
        self._last[event.stage] = event.done, event.total
        if not 0 < event.done < event.total:
            return ""
        began, first = self._base[event.stage]
        seconds = event.left
        if seconds is None:
            seconds = (
                (now - began) / (event.done - first) * (event.total - event.done) if event.done > first else math.nan
            )
        if math.isnan(seconds) or round(seconds) < 1:
            return ""
        return f", about {seconds / 60:.0f} min left" if seconds >= 90 else f", about {seconds:.0f} s left"
