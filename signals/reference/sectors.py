"""Sectors of tickers, point in time, as codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.calendar import as_day
from signals.reference.validity_intervals import Spells, read_spells

__all__ = ["SectorTable", "read_sectors"]


@dataclass(frozen=True, slots=True, eq=False)
class SectorTable:
    """Spells of tickers in sectors, as returned by `read_sectors`.

    Parameters
    ----------
    spells : Spells
        One row per ticker and spell; the value is the sector.
    names : tuple of str
        Sectors in the order in which they first appear in time (by name where that is equal), so that a sector
        introduced later changes no earlier code.
    warnings : tuple of str
        Warnings for the report.
    """

    spells: Spells
    names: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def point_in_time(self) -> bool:
        """Whether the table has dates; otherwise the sectors are those of the day on which it was written."""
        return self.spells.dated

    @property
    def files(self) -> dict[str, str]:
        """Name of the file and its SHA-256."""
        return self.spells.files

    def codes(self, tickers: Sequence[str], dates: Any) -> NDArray[np.int32]:
        """Sector of each ticker on each day.

        Parameters
        ----------
        tickers : sequence of str
            Tickers, in any order.
        dates : array-like of dates, shape (n_dates,)
            Days; the sector is that of the spell with start <= day < end.

        Returns
        -------
        ndarray of int32, shape (n_tickers, n_dates)
            Index into `names`; -1 where the table has no sector.
        """
        days = np.array([as_day(date) for date in dates], dtype="datetime64[D]")
        order = np.argsort(days, kind="stable")
        ascending = days[order]
        sector_codes = np.full((len(tickers), len(days)), -1, dtype=np.int32)
        sector = {name: code for code, name in enumerate(self.names)}
        place: dict[str, list[int]] = {}
        for row, ticker in enumerate(tickers):
            place.setdefault(ticker, []).append(row)
        begin = np.searchsorted(ascending, self.spells.start)
        stop = np.searchsorted(ascending, self.spells.end)
        for spell, value in enumerate(self.spells.value):
            for row in place.get(self.spells.name(spell), ()):
                sector_codes[row, order[begin[spell] : stop[spell]]] = sector[value]
        return sector_codes

    def __repr__(self) -> str:
        dated = "point in time" if self.point_in_time else "one present-day view"
        return f"SectorTable({len(self.spells.tickers):,} tickers, {len(self.names)} sectors, {dated})"


def read_sectors(source: Path | str | pd.DataFrame, *, column: str = "sector") -> SectorTable:
    """Read a table of sectors.

    Parameters
    ----------
    source : Path, str or DataFrame
        CSV (plain or gzipped) or Parquet file with the columns `ticker` (or `symbol`), `sector`, and, for a table with
        dates, `start` and `end`: `end` is the first day the ticker is no longer in the sector, empty while it is (or
        `last`, the last day it is). Other columns are ignored. Tickers may be the ids of a symbol table.
    column : str
        Name of the column with the sector; `"industry"` for a finer one.

    Returns
    -------
    SectorTable

    Raises
    ------
    InputError
        For an unreadable file, a missing column, dates reversed, or a ticker in two sectors at once.

    Notes
    -----
    A table without dates has the sectors of today. Its use is a look-ahead, as `warnings` states, since companies move
    between sectors and sectors were redefined (GICS in 2016, 2018 and 2023).
    """
    column = column.strip().lower().replace(" ", "_")
    spells = read_spells(
        source, what="sectors", value=column, undated=True, open_start=True, example=f"ticker,{column},start,end"
    )
    since: dict[str, np.datetime64] = {}
    for name, start in zip(spells.value, spells.start, strict=True):
        since[name] = min(since.get(name, start), start)
    names = tuple(sorted(since, key=lambda name: (since[name], name)))
    warnings = list(spells.warnings)
    if not spells.dated:
        warnings.append(
            "Sectors are those of the day the file was made, not of each date, which is a slight look-ahead."
        )
    return SectorTable(spells, names, tuple(warnings))
