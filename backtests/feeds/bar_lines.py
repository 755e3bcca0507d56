"""backtrader lines over the bars of a `Market`, which follow its clock and never show future bars.

backtrader keeps the bars of a line in one array and counts backwards from the current one. Before the first bar, and
further back than it, Python's negative indices then count from the end of the array: the last bars of the run.
"""

from __future__ import annotations

import array
from functools import cached_property
from typing import Any

from backtrader.linebuffer import LineBuffer

from backtests.feeds.bar_store import Market

__all__ = ["PanelLine", "PastLine", "SignalLine", "detach_from_clock", "follow_clock"]

NAN = float("nan")


class PanelLine(LineBuffer):
    """Line filled from a market; the array that backtrader expects is created on first access."""

    market: Market
    name: str
    place: int

    def fill(self, market: Market, name: str, place: int) -> None:
        """Set the bars of one ticker, and move before the first bar."""
        self.market, self.name, self.place = market, name, place
        self.__dict__.pop("array", None)
        self.home()

    @cached_property
    def array(self) -> Any:
        """All bars as an array of the type that backtrader uses."""
        bars = array.array("d", self.market.run_of(self.name, self.place).tobytes())
        bars.extend([NAN] * self.extension)
        return bars

    def buflen(self) -> int:
        """Return the number of all bars, later ones included."""
        if "array" in self.__dict__:
            return int(super().buflen())
        return int(self.market.bars[self.place, -1])


class PastLine(PanelLine):
    """Line that is NaN before its first bar."""

    def __getitem__(self, ago: int) -> float:
        at = self._idx + ago
        return float(self.array[at]) if at >= 0 else NAN


class SignalLine(PastLine):
    """Line of scores: NaN on every session that is not a decision date, also when the feed shows an older bar."""

    feed: Any

    def __getitem__(self, ago: int) -> float:
        if ago == 0 and not self.feed.trades_now():
            return NAN
        return super().__getitem__(ago)


class _Following(PanelLine):
    """Line whose index is that of the market's clock; it reads the market's array without a copy."""

    @property
    def _idx(self) -> int:
        return self.counts[self.clock.step] - 1  # type: ignore[no-any-return]

    @_idx.setter
    def _idx(self, index: int) -> None:
        """Ignore the index, because the clock determines it."""

    @property
    def lencount(self) -> int:
        """Number of bars up to the current session."""
        return self.counts[self.clock.step]  # type: ignore[no-any-return]

    @lencount.setter
    def lencount(self, count: int) -> None:
        """Ignore the count, because the clock determines it."""

    @cached_property
    def view(self) -> Any:
        """The ticker's part of the market's array."""
        bars: Any = self.market.run_of(self.name, self.place)
        return memoryview(bars)

    def __len__(self) -> int:
        return self.counts[self.clock.step]  # type: ignore[no-any-return]

    def __getitem__(self, ago: int) -> float:
        return self.view[self.counts[self.clock.step] - 1 + ago]  # type: ignore[no-any-return]

    def __setitem__(self, ago: int, value: float) -> None:
        self.view = self.array  # writes change a private copy of the prices
        super().__setitem__(ago, value)

    def set(self, value: float, ago: int = 0) -> None:
        """Set the value `ago` bars from the current one."""
        self[ago] = value

    def reset(self) -> None:
        """Reset the line, detached from the clock."""
        detach_from_clock(self)
        self.reset()


class _FollowingPast(_Following):
    def __getitem__(self, ago: int) -> float:
        at = self.counts[self.clock.step] - 1 + ago
        return self.view[at] if at >= 0 else NAN


class _FollowingSignal(_FollowingPast):
    def __getitem__(self, ago: int) -> float:
        step = self.clock.step
        count = self.counts[step]
        if ago == 0 and (step == 0 or count == self.counts[step - 1] or self.feed.is_past()):
            return NAN
        at = count - 1 + ago
        return self.view[at] if at >= 0 else NAN


_FOLLOWING: dict[type[PanelLine], type[_Following]] = {
    PanelLine: _Following,
    PastLine: _FollowingPast,
    SignalLine: _FollowingSignal,
}
_ALONE = {following: alone for alone, following in _FOLLOWING.items()}


def follow_clock(line: Any, counts: memoryview) -> None:
    """Attach a line to its market's clock; `counts` is the number of bars of its ticker at each step of the clock."""
    line.clock, line.counts = line.market.clock, counts
    line.__class__ = _FOLLOWING[type(line)]


def detach_from_clock(line: Any) -> None:
    """Detach a line from the clock at its current position; other lines are unchanged."""
    if type(line) not in _ALONE:
        return
    index, count = line._idx, line.lencount
    line.__class__ = _ALONE[type(line)]
    line.__dict__["_idx"], line.__dict__["lencount"] = index, count
    for name in ("view", "counts", "clock"):
        line.__dict__.pop(name, None)
