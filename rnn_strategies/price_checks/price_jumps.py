"""Detection of price jumps that are no market moves: unadjusted splits, misplaced decimal points, reused symbols."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from rnn_strategies.price_checks.ticker_bars import Histories

__all__ = ["Jump", "Return", "adjusted_splits", "reused_symbols", "split_like_jumps"]

# Smallest log return that is examined; the smallest usual split ratio is 4:3.
MIN_MOVE = np.log(1.25)
RATIOS = tuple(sorted({Fraction(n) for n in range(2, 21)} | {Fraction(3, 2), Fraction(4, 3)}))
# Number of bars before a jump that determine usual moves of the ticker, and the least number of them.
USUAL_BARS, MIN_USUAL_BARS = 63, 10
# Gap in sessions after which a symbol may belong to another share.
LONG_GAP = 20

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Jump:
    """A move that looks like a split for which the prices are not adjusted.

    Parameters
    ----------
    ticker : str
        Ticker of the move.
    date : datetime64[D]
        First day at the new price level.
    ratio : Fraction
        New shares for each old one: 2 for a halved price, 1/10 for a tenfold one.
    close : float
        Close divided by the close before.
    doubled : bool
        Whether `adj_factor` has the ratio too: then prices that were already adjusted were adjusted a second time.
    """

    ticker: str
    date: np.datetime64
    ratio: Fraction
    close: float
    doubled: bool

    def __str__(self) -> str:
        old, new = self.ratio.denominator, self.ratio.numerator
        return f"{self.ticker} on {self.date} ({new}:{old}, close x {self.close:.3g})"


@dataclass(frozen=True, slots=True)
class Return:
    """A ticker whose bars after a long gap look like those of another share.

    Parameters
    ----------
    ticker : str
        The ticker.
    last, first : datetime64[D]
        Last bar before the gap and first bar after it.
    gap : int
        Number of sessions from the last to the first.
    close : float
        First close divided by last close.
    dollars : float
        Median dollar volume after the gap divided by that before; NaN when unknown.
    """

    ticker: str
    last: np.datetime64
    first: np.datetime64
    gap: int
    close: float
    dollars: float

    def __str__(self) -> str:
        return f"{self.ticker} ({self.gap:,} sessions from {self.last} to {self.first}, price x {self.close:.3g})"


def _moves(bars: Histories, column: str) -> Values:
    """Log return of each row since the row before; 0 for the first row of a ticker."""
    with np.errstate(invalid="ignore", divide="ignore"):
        moves = np.log(bars.columns[column] / bars.before(column))
    return np.where(bars.follows, moves, 0.0)


def split_like_jumps(bars: Histories, *, strict: bool = False) -> list[Jump]:
    """Find moves of adjusted prices that look like a split.

    The session opens at a usual ratio to the close before and stays there; the move is more than eight usual moves; the
    range of the day and the dollar volume are near their usual values, which they are not when news moves a price; and
    hardly any other ticker moves as much on the day. Where only closes are known, only the close is tested.

    Parameters
    ----------
    bars : Histories
        All bars.
    strict : bool
        Whether closes without open, high and low must match a ratio within half a usual move; otherwise within one and
        a half, where ratios are far enough apart: then more splits are found (44 instead of 25 in the raw closes
        described below, 39 instead of 21 of 57 simulated ones), and more moves that are none (16 instead of 5 in the
        same closes adjusted). False by default.

    Notes
    -----
    Thresholds were chosen on real prices. In 1,093 raw histories of 2015-2017 adjustment factors jump by a quarter or
    more 81 times, including spin-offs and 15 times one broken symbol; about 45 are found, and among the 1,289 other
    moves of that size four, at least two of them spin-offs that the factors miss. In 600 adjusted histories of
    2006-2017 seven are found: six prices at ten times the right value and one exchange of 77 shares for 100.
    """
    moves, raw = _moves(bars, "close"), _moves(bars, "raw")
    rows = np.flatnonzero(np.abs(moves) > MIN_MOVE)
    busy = np.bincount(bars.session[rows], minlength=len(bars.dates))
    alive = np.bincount(bars.session, minlength=len(bars.dates))
    jumps = []
    for row in rows.tolist():
        session = bars.session[row]
        if busy[session] > max(3, 0.02 * alive[session]):
            continue
        ratio = _ratio_of(bars, row, moves, strict)
        if ratio is not None:
            doubled = bool(abs(raw[row]) < 0.5 * abs(moves[row]))
            jumps.append(Jump(bars.name(row), bars.day(row), ratio, float(np.exp(moves[row])), doubled))
    return sorted(jumps, key=lambda jump: (-abs(np.log(jump.close)), jump.ticker, jump.date))


def _ratio_of(bars: Histories, row: int, moves: Values, strict: bool) -> Fraction | None:
    """Ratio of the split that a move looks like; None when it does not look like one."""
    prices, columns = bars.prices, bars.columns
    begin = max(row - USUAL_BARS, 0)
    mine = slice(begin + int((bars.code[begin:row] != bars.code[row]).sum()), row)
    if row - mine.start < MIN_USUAL_BARS:
        return None
    move = float(moves[row])
    usual = max(float(np.median(np.abs(moves[mine][1:]))) * 1.4826, 0.005)
    at = move if prices.close_only else float(np.log(columns["open"][row] / columns["close"][row - 1]))
    logs = np.array([np.log(float(ratio)) for ratio in RATIOS])
    nearest = int(np.argmin(np.abs(logs - abs(at))))
    size, ratio = float(logs[nearest]), RATIOS[nearest]
    off, held = abs(abs(at) - size), abs(abs(move) - size)
    if np.sign(at) != np.sign(move) or abs(move) < 8 * usual:
        return None
    large = size >= np.log(3.5)
    if prices.close_only:
        # the close contains a day's return in addition to the ratio, and there are no other columns to test
        between = 0.15 * float(logs[nearest] - logs[nearest - 1])
        allowed = min(np.clip(1.5 * usual, 0.02, 0.05), max(between, 0.01))
        if strict:
            allowed = np.clip(0.5 * usual, 0.01, 0.02)
        if ratio < 2 or held > allowed or abs(move) < 20 * usual:
            return None
    elif off > (0.08 if large else np.clip(1.25 * usual, 0.012, 0.035)) or held > max(
        (4 if large else 3.5) * usual, 0.05 if large else 0.03
    ):
        return None
    if not prices.close_only:
        reach = np.log(columns["high"][mine.start : row + 1] / columns["low"][mine.start : row + 1])
        if reach[-1] > (6 if large else 5) * max(float(np.median(reach[:-1])), 0.003):
            return None
    if prices.volume_known:
        before = float(np.median(columns["volume"][mine]))
        today = float(columns["volume"][row])
        # share volume changes with the ratio and dollar volume does not; adjusted volume does not change either
        if before > 0 and today > 0:
            grown = float(np.log(today / before))
            if min(abs(grown + move), abs(grown)) > (2.6 if large else 1.1):
                return None
    return 1 / ratio if move > 0 else ratio


def adjusted_splits(bars: Histories) -> int:
    """Count correctly adjusted splits: raw close and `adj_factor` jump by a ratio, the adjusted close does not."""
    adjusted, raw = _moves(bars, "close"), _moves(bars, "raw")
    rows = np.flatnonzero((np.abs(raw - adjusted) > MIN_MOVE) & bars.follows)
    logs = np.array([np.log(float(ratio)) for ratio in RATIOS])
    off = np.abs(np.abs(raw[rows] - adjusted[rows])[:, None] - logs[None]).min(axis=1, initial=np.inf)
    return int((off < 0.02).sum())


def reused_symbols(bars: Histories) -> list[Return]:
    """Find tickers whose price or dollar volume after a long gap is unrelated to that before the gap."""
    moves = _moves(bars, "close")
    gap = np.zeros(len(moves), dtype=np.int64)
    gap[1:] = np.diff(bars.session)
    rows = np.flatnonzero(bars.follows & (gap > LONG_GAP))
    tickers = []
    for row in rows.tolist():
        begin, stop = max(row - USUAL_BARS, 0), min(row + USUAL_BARS, len(moves))
        before = np.arange(begin, row)[bars.code[begin:row] == bars.code[row]]
        after = np.arange(row, stop)[bars.code[row:stop] == bars.code[row]]
        steps = np.abs(moves[before[1:]])
        usual = max(float(np.median(steps)) * 1.4826, 0.01) if len(steps) >= 5 else np.nan
        jump = abs(float(moves[row]))
        far = jump > np.log(2) and jump > 4 * usual * np.sqrt(gap[row]) if usual == usual else jump > np.log(5)
        dollars = np.nan
        if bars.prices.volume_known:
            worth = [float(np.median(bars.columns["raw"][i] * bars.columns["volume"][i])) for i in (before, after)]
            dollars = worth[1] / worth[0] if min(worth) > 0 else np.nan
        other = abs(np.log(dollars)) > np.log(30) if dollars == dollars else False
        if far or other:
            close = float(np.exp(moves[row]))
            tickers.append(Return(bars.name(row), bars.day(row - 1), bars.day(row), int(gap[row]), close, dollars))
    return sorted(tickers, key=lambda reused: (-abs(np.log(reused.close)), reused.ticker, reused.first))
