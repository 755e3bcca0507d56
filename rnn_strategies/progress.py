"""Progress on a console: a bar for a person, plain lines for a pipe, with what remains."""

from __future__ import annotations

import time
from typing import TextIO

from signals.events import Event

__all__ = ["ConsoleProgress"]


class ConsoleProgress:
    """Listener that prints events.

    Parameters
    ----------
    stream : text stream
        A terminal gets one line that is rewritten while a stage counts; anything else gets a line per event.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._began: dict[str, float] = {}
        self._open_line = False

    def __call__(self, event: Event) -> None:
        """Print one event."""
        now = time.monotonic()
        began = self._began.setdefault(event.stage, now)
        text = f"[{event.stage}] {event.message}"
        if event.total:
            text = f"[{event.stage} {event.done}/{event.total}] {event.message}{self._left(event, now - began)}"
        if not self._live:
            print(text, file=self._stream, flush=True)
            return
        end = "" if event.total and event.done < event.total else "\n"
        print(f"\r\x1b[2K{text}", end=end, file=self._stream, flush=True)

    @staticmethod
    def _left(event: Event, elapsed: float) -> str:
        if not 0 < event.done < event.total:
            return ""
        seconds = elapsed / event.done * (event.total - event.done)
        return f", about {seconds / 60:.0f} min left" if seconds >= 90 else f", about {seconds:.0f} s left"
