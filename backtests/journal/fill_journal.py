"""Journal of recorded fills that the broker replays instead of simulating fills."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from backtrader.order import Order

from backtests.broker.fill_sources import Ending, Fill
from backtests.common.share_tolerances import SHARE_TOLERANCE
from backtests.feeds.session_clock import day_numbers, day_of
from backtests.journal.journal_table import ENDINGS, check_journal
from backtests.journal.order_matching import FinishedBacktest, journal_of
from signals.common.errors import CheckFailedError, InputError
from signals.common.storage import read_parquet, write_parquet

__all__ = ["FillJournal"]


@dataclass(slots=True, eq=False)
class _Entry:
    """Row of the journal: a fill, or the end of an order when the amount is 0."""

    day: int
    ticker: str
    amount: float
    price: float
    commission: float
    order: tuple[int, str, int] | None
    status: str
    reason: str
    taken: bool = False


class FillJournal:
    """Recorded fills; `Broker(settings, fills=journal)` books them instead of simulating fills.

    An order fills at the recorded prices, sizes and commissions, completely or partly. A market order without an entry
    expires. A recorded fill without a matching order stops the run with a `CheckFailedError`, because the orders of the
    strategy differ from those of the journal. Delistings, splits, dividends, fees, interest, ruin and the cash check of
    orders without an entry are computed by the broker, so that liquidations are not part of a journal.

    Parameters
    ----------
    frame : DataFrame
        Fills in the format of `FillJournal.from_frame`.
    simulate_after : date-like, optional
        Last session that is replayed; later ones are simulated as usual. By default nothing is simulated: orders
        submitted after the last entry expire, and those of the last session of the run stay open.

    Notes
    -----
    An entry belongs to an order when ticker, session of submission, and number among the orders of that ticker and
    session agree (columns `given`, `number`). Entries without these columns are matched with the first order of that
    ticker and side on their session whose size and limit allow the fill; this is unambiguous as long as no ticker has
    two open orders on the same side.

    Examples
    --------
    >>> journal = FillJournal.from_frame(
    ...     pd.DataFrame(
    ...         {"date": ["2015-01-05"], "ticker": ["A"], "amount": [100.0], "price": [10.0], "commission": [1.0]}
    ...     )
    ... )
    >>> journal
    FillJournal(1 fill of 1 ticker, 2015-01-05 to 2015-01-05)
    """

    def __init__(self, frame: pd.DataFrame, *, simulate_after: Any = None) -> None:
        self.frame = check_journal(frame)
        self._until = float("inf") if simulate_after is None else _day_number(simulate_after)
        self.begin()

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, *, simulate_after: Any = None) -> Self:
        """Create a journal from a frame of fills, one row each.

        Parameters
        ----------
        frame : DataFrame
            Columns `date` (session of the fill; also as the index), `ticker`, `amount` (signed shares), `price`,
            `commission` (account currency, not negative), and optionally `sequence` (order of the rows within a
            session, by default that of the frame), `given` (session on which the order was submitted) with `number`
            (from 1: number of the order among those of that ticker and session, rejected ones included), and `status`
            with `reason`: a row of amount 0 and status margin, rejected, expired or cancelled records how an order
            ended.
        simulate_after : date-like, optional
            As in the class.

        Raises
        ------
        InputError
            With the first invalid row.
        """
        return cls(frame, simulate_after=simulate_after)

    @classmethod
    def from_result(cls, result: FinishedBacktest, *, simulate_after: Any = None) -> Self:
        """Create a journal from the fills of a backtest and the ends of its unfilled market orders.

        Fills of orders of type `liquidation` are left out, because the broker repeats delistings itself. The frames do
        not contain the session on which a limit or stop order was rejected for cash; such an order stays open.

        Raises
        ------
        InputError
            When the fills and the orders of the result are inconsistent.
        """
        return cls(journal_of(result), simulate_after=simulate_after)

    @classmethod
    def read(cls, path: Path, *, simulate_after: Any = None) -> Self:
        """Read a journal that `write` wrote.

        Raises
        ------
        InputError
            When the file is missing, damaged or not a journal.
        """
        try:
            return cls(read_parquet(Path(path)), simulate_after=simulate_after)
        except InputError as error:
            if str(path) in str(error):
                raise
            raise InputError(f"{error} (in {path})") from error

    def write(self, path: Path) -> None:
        """Write the journal as Parquet, atomically; equal journals give equal bytes."""
        write_parquet(Path(path), self.frame)

    def __len__(self) -> int:
        """Return the number of fills."""
        return int((self.frame["amount"] != 0.0).sum())

    def __repr__(self) -> str:
        fills = self.frame[self.frame["amount"] != 0.0]
        if not len(fills):
            return "FillJournal(no fills)"
        tickers = fills["ticker"].nunique()
        first, last = fills["date"].iloc[[0, -1]]
        return (
            f"FillJournal({len(fills):,} fill{'s' * (len(fills) > 1)} of {tickers:,} ticker{'s' * (tickers > 1)}, "
            f"{first:%Y-%m-%d} to {last:%Y-%m-%d})"
        )

    # -- the protocol FillSource ---------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Mark all entries as unused at the start of a run."""
        self._keys: dict[int, tuple[int, str, int]] = {}
        self._counts: dict[tuple[int, str], int] = {}
        self._fills: list[_Entry] = []
        self._endings: dict[tuple[int, str, int], _Entry] = {}
        self._at: dict[tuple[int, str], list[_Entry]] = {}
        self._of_order: dict[tuple[int, str, int], list[_Entry]] = {}
        self._of_ticker: dict[str, list[_Entry]] = {}
        self._settled = 0  # index of the first fill that `left_over` has not checked
        for entry in _entries(self.frame):
            if not entry.amount:
                if entry.order is not None:
                    self._endings[entry.order] = entry
                continue
            self._fills.append(entry)
            self._at.setdefault((entry.day, entry.ticker), []).append(entry)
            if entry.order is None:
                self._of_ticker.setdefault(entry.ticker, []).append(entry)
            else:
                self._of_order.setdefault(entry.order, []).append(entry)

    def given(self, order: Any, day: float) -> None:
        """Store the number of the order among those of its ticker and session."""
        ticker = order.data._name
        place = (int(day), ticker)
        number = self._counts[place] = self._counts.get(place, 0) + 1
        self._keys[order.ref] = (*place, number)

    def expects(self, order: Any, day: float) -> bool:
        """Whether the journal has fills of the order on this session or, for other than market orders, later."""
        key = self._keys.get(order.ref)
        if key is not None and any(not entry.taken for entry in self._of_order.get(key, ())):
            return True
        today, market = int(day), order.exectype == Order.Market
        return any(
            not entry.taken
            and (entry.day == today if market else entry.day >= today)
            and entry.amount * order.size > 0.0
            for entry in self._of_ticker.get(order.data._name, ())
        )

    def fills_of(self, order: Any, day: float) -> Sequence[Fill] | None:
        """Return the fills of the order on this session; each fill is returned once.

        Raises
        ------
        CheckFailedError
            When the recorded shares exceed the remaining size of the order or have the opposite sign.
        """
        today = int(day)
        if today > self._until or order.exectype == Order.Historical:
            return None
        fills: list[Fill] = []
        remaining = float(order.executed.remsize)
        key = self._keys.get(order.ref)
        for entry in self._at.get((today, order.data._name), ()):
            if entry.taken or (entry.order is not None and entry.order != key):
                continue
            same_side = entry.amount * remaining > 0.0
            excess = abs(entry.amount) - abs(remaining)
            fits = same_side and excess <= SHARE_TOLERANCE * abs(order.size)
            if entry.order is None:
                if not fits or _beyond_limit(order, entry.price):
                    continue
            elif not fits:
                raise CheckFailedError(
                    f"expected fills of at most {remaining:+,.10g} {entry.ticker} on {day_of(day)}, the remaining size "
                    f"of the order given on {day_of(entry.order[0])}; found {entry.amount:+,.10g} in the journal; "
                    "run the strategy with the prices and settings that it traded with"
                )
            entry.taken = True
            # a rounding remainder would keep the order open
            size = remaining if abs(excess) <= SHARE_TOLERANCE * abs(order.size) else entry.amount
            fills.append(Fill(size, entry.price, entry.commission))
            remaining -= size
            if not remaining:
                break
        return fills

    def ending_of(self, order: Any, day: float) -> Ending | None:
        """Return the recorded end of the order on this session; None without one."""
        key = self._keys.get(order.ref)
        entry = None if key is None else self._endings.get(key)
        if entry is None or entry.day != int(day):
            return None
        return Ending(ENDINGS[entry.status], entry.reason)

    def left_over(self, day: float) -> list[str]:
        """Return messages on fills up to this session that no order used, each message once."""
        messages = []
        last = min(int(day), self._until)
        while self._settled < len(self._fills) and self._fills[self._settled].day <= last:
            entry = self._fills[self._settled]
            self._settled += 1
            if not entry.taken:
                messages.append(
                    f"expected an order for every recorded fill; found none for {entry.amount:+,.10g} {entry.ticker} "
                    f"at {entry.price:,.10g} on {day_of(entry.day)}; run the strategy with "
                    "the prices and settings that it traded with"
                )
        return messages


def _entries(frame: pd.DataFrame) -> list[_Entry]:
    days = day_numbers(frame["date"].to_numpy().astype("datetime64[D]")).astype(np.int64).tolist()
    known = frame["given"].notna().to_numpy()
    given = np.zeros(len(frame), dtype=np.int64)
    given[known] = day_numbers(frame["given"].to_numpy()[known].astype("datetime64[D]")).astype(np.int64)
    columns = [frame[name].tolist() for name in ("ticker", "amount", "price", "commission", "number")]
    rows = zip(days, *columns, given.tolist(), frame["status"], frame["reason"], strict=True)
    return [
        _Entry(day, ticker, amount, price, fee, (session, ticker, number) if number else None, status, reason)
        for day, ticker, amount, price, fee, number, session, status, reason in rows
    ]


def _beyond_limit(order: Any, price: float) -> bool:
    """Whether the price is beyond the limit of the order."""
    if order.exectype == Order.Limit:
        limit = order.created.price
    elif order.exectype in (Order.StopLimit, Order.StopTrailLimit):
        limit = order.created.pricelimit
    else:
        return False
    if limit is None:
        return False
    tolerance = SHARE_TOLERANCE * abs(limit)
    return bool(price > limit + tolerance if order.isbuy() else price < limit - tolerance)


def _day_number(day: Any) -> float:
    try:
        stamp = np.datetime64(pd.Timestamp(day).tz_localize(None), "D")
    except (TypeError, ValueError) as error:
        raise InputError(f"expected simulate_after as a date; found {day!r}; write it as '2020-12-31'") from error
    if np.isnat(stamp):
        raise InputError(f"expected simulate_after as a date; found {day!r}; write it as '2020-12-31'")
    return float(day_numbers(np.array([stamp]))[0])
