"""Lines over the bars of a `Market`: they never show the future, and once a run has begun nothing moves them.

backtrader keeps the bars of a line in one array and counts backwards from the current one. Before the first bar, and
further back than it, Python's negative indices then count from the end of the array: the last bars of the run.
"""

from __future__ import annotations

import array
from functools import cached_property
from typing import Any

from backtrader.linebuffer import LineBuffer

from backtests.feeds.bar_store import Market

__all__ = ["PanelLine", "PastLine", "SignalLine", "follow_clock", "move_alone"]

NAN = float("nan")


class PanelLine(LineBuffer):
    """A line filled from a market; the array backtrader expects is only made when somebody asks for it."""

    market: Market
    name: str
    place: int

    def fill(self, market: Market, name: str, place: int) -> None:
        """Hold all bars of one ticker, and stand before the first."""
        self.market, self.name, self.place = market, name, place
        self.__dict__.pop("array", None)
        self.home()

    @cached_property
    def array(self) -> Any:
        """All bars, as backtrader's own arrays."""
        bars = array.array("d", self.market.run_of(self.name, self.place).tobytes())
        bars.extend([NAN] * self.extension)
        return bars

    def buflen(self) -> int:
        """Return the number of bars, of those to come too."""
        if "array" in self.__dict__:
            return int(super().buflen())
        return int(self.market.bars[self.place, -1])


class PastLine(PanelLine):
    """NaN before the first bar."""

    def __getitem__(self, ago: int) -> float:
        at = self._idx + ago
        return float(self.array[at]) if at >= 0 else NAN


class SignalLine(PastLine):
    """Scores: NaN on every session that is not a decision date, also when the feed still shows an older bar."""

    feed: Any

    def __getitem__(self, ago: int) -> float:
        if ago == 0 and not self.feed.trades_now():
            return NAN
        return super().__getitem__(ago)


class _Following(PanelLine):
    """A line whose index is where the market's clock says; reads the market's own array, without a copy."""

    @property
    def _idx(self) -> int:
        return self.counts[self.clock.step] - 1  # type: ignore[no-any-return]

    @_idx.setter
    def _idx(self, index: int) -> None:
        """Leave it: the clock is what moves."""

    @property
    def lencount(self) -> int:
        """Bars so far."""
        return self.counts[self.clock.step]  # type: ignore[no-any-return]

    @lencount.setter
    def lencount(self, count: int) -> None:
        """Leave it."""

    @cached_property
    def view(self) -> Any:
        """The ticker's part of what the market laid out."""
        bars: Any = self.market.run_of(self.name, self.place)
        return memoryview(bars)

    def __len__(self) -> int:
        return self.counts[self.clock.step]  # type: ignore[no-any-return]

    def __getitem__(self, ago: int) -> float:
        return self.view[self.counts[self.clock.step] - 1 + ago]  # type: ignore[no-any-return]

    def __setitem__(self, ago: int, value: float) -> None:
        self.view = self.array  # somebody writes into prices: into a copy of his own
        super().__setitem__(ago, value)

    def set(self, value: float, ago: int = 0) -> None:
        """Set the value `ago` bars from the current one."""
        self[ago] = value

    def reset(self) -> None:
        """Begin anew, moving alone."""
        move_alone(self)
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
    """Let a line be where its market's clock is; `counts` are the bars its ticker has had by step of the clock."""
    line.clock, line.counts = line.market.clock, counts
    line.__class__ = _FOLLOWING[type(line)]


def move_alone(line: Any) -> None:
    """Let a line that followed the clock move by itself again, from where it is; any other line stays as it is."""
    if type(line) not in _ALONE:
        return
    index, count = line._idx, line.lencount
    line.__class__ = _ALONE[type(line)]
    line.__dict__["_idx"], line.__dict__["lencount"] = index, count
    for name in ("view", "counts", "clock"):
        line.__dict__.pop(name, None)
