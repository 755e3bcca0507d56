"""Index membership, point in time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from signals.calendar import as_day
from signals.data.panel import PricePanel
from signals.reference.validity_intervals import Spells, read_spells

__all__ = ["Membership", "membership_warnings", "read_membership"]

EXAMPLE = "ticker,start,end with the day of joining and the first day no longer a member, empty while it is one"


@dataclass(frozen=True, slots=True, eq=False)
class Membership:
    """Spells of index membership, as returned by `read_membership`.

    Parameters
    ----------
    spells : Spells
        One row per ticker and spell.
    """

    spells: Spells

    @property
    def tickers(self) -> tuple[str, ...]:
        """All tickers that were ever members, sorted."""
        return self.spells.tickers

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about rows that were left out."""
        return self.spells.warnings

    @property
    def files(self) -> dict[str, str]:
        """Name of the file and its SHA-256."""
        return self.spells.files

    def members_at(self, date: Any) -> frozenset[str]:
        """Members on a day.

        Parameters
        ----------
        date : date-like
            The day; members at its close are those of spells with start <= date < end. Later days of the table, on
            which members leave or join, are not used.

        Returns
        -------
        frozenset of str
            Empty before the first and after the last spell.
        """
        rows = self.spells.at(as_day(date))
        return frozenset(self.spells.tickers[code] for code in self.spells.code[rows])

    def __repr__(self) -> str:
        return f"Membership({len(self.tickers):,} tickers, {len(self.spells):,} spells)"


def read_membership(source: Path | str | pd.DataFrame) -> Membership:
    """Read an index-membership table.

    Parameters
    ----------
    source : Path, str or DataFrame
        CSV (plain or gzipped) or Parquet file with the columns `ticker` (or `symbol`), `start` and `end`; others are
        ignored. `end` is the first day the ticker is no longer a member, empty for a member of today; a column `last`
        with the last day of membership may replace it. A ticker that joins twice has two rows. Tickers are spelt as in
        the prices, or are the ids of a symbol table (see `signals.reference.security_ids`).

    Returns
    -------
    Membership

    Raises
    ------
    InputError
        For an unreadable file, a missing column, an empty start, dates reversed, or overlapping spells of one ticker.

    Notes
    -----
    A list of today's members without dates is refused, since selecting past prices by it is survivorship bias. To use
    such a list regardless, name the tickers under `include` of the universe filters.
    """
    return Membership(read_spells(source, what="index members", example=EXAMPLE))


def membership_warnings(panel: PricePanel, dates: Iterable[Any], membership: Membership) -> list[str]:
    """Warning about index members without prices, a source of survivorship bias.

    Parameters
    ----------
    panel : PricePanel
        Prices.
    dates : iterable of date-like
        Dates on which the universe is evaluated.
    membership : Membership
        The index.

    Returns
    -------
    list of str
        One warning for the report, or none when every member has a bar on or before each of its dates.
    """
    begun = np.where(panel.traded.any(axis=0), panel.traded.argmax(axis=0), len(panel.dates))
    first = dict(zip(panel.tickers, begun.tolist(), strict=True))
    share, worst, missing = 1.0, "", set()
    for date in dates:
        t = panel.position(date)
        members = membership.members_at(date)
        without = {ticker for ticker in members if first.get(ticker, len(panel.dates)) > t}
        missing |= without
        held = 1 - len(without) / len(members) if members else 1.0
        if held < share:
            share, worst = held, f"{len(members) - len(without):,} of {len(members):,} on {as_day(date)}"
    if not missing:
        return []
    names = sorted(missing)
    listed = ", ".join(names[:5]) + (f" and {len(names) - 5:,} more" if len(names) > 5 else "")
    return [
        f"Prices are missing for index members ({listed}): at worst {worst} have any. Missing members are often those "
        "that failed, so that results are biased upwards (survivorship bias)."
    ]
