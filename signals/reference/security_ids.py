"""Security ids: the mapping of tickers, which change and are reused, to ids that do not change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.common.errors import InputError
from signals.data.corporate_actions import actions_frame
from signals.data.panel import PRICE_COLUMNS
from signals.data.price_index import INDEX, canonical_index, check_labels, check_order, count_rows, label_of
from signals.data.prices import Prices
from signals.reference.validity_intervals import FAR, Spells, read_spells

__all__ = ["SymbolTable", "read_symbol_changes"]

EXAMPLE = "id,ticker,start,end with the first day of the ticker and the first day it no longer is that of the id"


@dataclass(frozen=True, slots=True, eq=False)
class SymbolTable:
    """Spells in which a ticker stood for an id, as returned by `read_symbol_changes`.

    Parameters
    ----------
    spells : Spells
        One row per ticker and spell; the value is the id.
    on_uncovered : {"raise", "drop"}
        What to do with bars of a listed ticker outside all its spells.
    link : bool
        Whether prices are joined where an id changes its ticker.
    """

    spells: Spells
    on_uncovered: str = "raise"
    link: bool = True

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about rows that were left out."""
        return self.spells.warnings

    @property
    def files(self) -> dict[str, str]:
        """Name of the file and its SHA-256."""
        return self.spells.files

    def apply(self, prices: Prices) -> Prices:
        """Replace the ticker of every bar by the id for which it stood on that day.

        Parameters
        ----------
        prices : Prices
            Bars with tickers. A ticker that is not in the table keeps its name as id.

        Returns
        -------
        Prices
            The same bars, `ticker` being the id.

        Raises
        ------
        InputError
            For a bar of a listed ticker outside its spells (`on_uncovered = "raise"`), since its id is unknown. And
            when an id equals a ticker that is not in the table, so that two securities would become one.

        Notes
        -----
        Vendors with a series per ticker adjust each series separately, so that the adjusted price of an id jumps where
        its ticker changes. With `link`, prices and factor of the later part are multiplied so that the factor is
        continuous; raw prices are unchanged, and the earlier part is the same to the bit. Use `link = False` when a
        split or a dividend falls on the day of the change and the series are already adjusted across it. Without
        factors (`raw_known` False) series are not linked.
        """
        index = prices.frame.index
        levels, codes = index.levels, [np.asarray(code) for code in index.codes]
        listed = {ticker: code for code, ticker in enumerate(self.spells.tickers)}
        of_level = np.array([listed.get(ticker, -1) for ticker in levels[1]], dtype=np.int64)
        covered = np.flatnonzero(of_level[codes[1]] >= 0)
        if not len(covered):
            unused = f"{_source(self)}: no ticker of the prices is in it"
            return replace(prices, warnings=(*prices.warnings, unused), files={**prices.files, **self.files})
        days = levels[0].to_numpy().astype("datetime64[D]")
        row = self.spells.find(of_level[codes[1][covered]], days[codes[0][covered]])
        keep = np.ones(len(index), dtype=bool)
        keep[covered[row < 0]] = False
        warnings = list(prices.warnings)
        if not keep.all():
            first, rows = label_of(index, int(np.argmin(keep))), count_rows(int((~keep).sum()))
            if self.on_uncovered == "raise":
                raise InputError(
                    f"expected every bar of a ticker in {_source(self)} to lie in one of its spells; found {first} in "
                    f'none ({rows}); add the spell, or set on_uncovered = "drop" to leave such bars out'
                )
            if not keep.any():
                raise InputError(
                    f"expected bars inside the spells of {_source(self)}; found {first} and all others outside; "
                    "correct the dates"
                )
            warnings.append(f"{rows} left out: outside the spells of {_source(self)} (first: {first})")
        self._check_distinct(levels[1], of_level)

        ids = sorted({*self.spells.value, *(t for t, code in zip(levels[1], of_level, strict=True) if code < 0)})
        place = {name: code for code, name in enumerate(ids)}
        code = np.array([place.get(ticker, -1) for ticker in levels[1]], dtype=np.int64)[codes[1]]
        of_spell = np.array([place[name] for name in self.spells.value], dtype=np.int64)
        code[covered] = of_spell[row]
        spell = np.full(len(index), -1, dtype=np.int64)
        spell[covered] = row

        kept = np.flatnonzero(keep)
        kept = kept[np.argsort(codes[0][kept].astype(np.int64) * len(ids) + code[kept], kind="stable")]
        by_id = pd.MultiIndex(
            levels=[levels[0], pd.Index(ids, dtype=object)],
            codes=[codes[0][kept], code[kept]],
            names=INDEX,
            verify_integrity=False,
        )
        check_labels(by_id)
        by_id = canonical_index(by_id)
        check_order(by_id)
        columns = {name: prices.frame[name].to_numpy()[kept] for name in PRICE_COLUMNS}
        if self.link and prices.raw_known:
            linked = self._linked(columns, np.asarray(by_id.codes[1]), spell[kept])
            if linked:
                warnings.append(f"{linked} linked by their adjustment factors ({_source(self)})")
        for name in ("open", "high", "low"):
            if prices.close_only:
                columns[name] = columns["close"]
        for value in columns.values():
            value.setflags(write=False)
        return replace(
            prices,
            frame=pd.DataFrame(columns, index=by_id, copy=False),
            warnings=tuple(warnings),
            files={**prices.files, **self.files},
            actions=None if prices.actions is None else self._actions(prices.actions, listed),
        )

    def _actions(self, actions: pd.DataFrame, listed: Mapping[str, int]) -> pd.DataFrame:
        """Replace tickers by ids in splits and dividends; those outside the spells are left out."""
        days = actions.index.get_level_values("date").to_numpy().astype("datetime64[D]")
        tickers = list(actions.index.get_level_values("ticker"))
        code = np.array([listed.get(ticker, -1) for ticker in tickers], dtype=np.int64)
        spell = np.full(len(code), -1, dtype=np.int64)
        spell[code >= 0] = self.spells.find(code[code >= 0], days[code >= 0])
        rows = zip(days, tickers, code, spell, actions["split"], actions["dividend"], strict=True)
        return actions_frame(
            (day, ticker if at < 0 else str(self.spells.value[row]), split, dividend)
            for day, ticker, at, row, split, dividend in rows
            if at < 0 or row >= 0
        )

    def _check_distinct(self, tickers: pd.Index, of_level: NDArray[np.int64]) -> None:
        """Raise `InputError` when an id equals a ticker that is not in the table."""
        unnamed = {ticker for ticker, code in zip(tickers, of_level, strict=True) if code < 0}
        if both := sorted(unnamed & set(self.spells.value)):
            raise InputError(
                f"expected ids in {_source(self)} that differ from the other tickers of the prices; found {both[0]!r}, "
                "a ticker that is not in the table; add its spells, or use another id"
            )

    def _linked(
        self, columns: dict[str, NDArray[np.float64]], code: NDArray[np.int64], spell: NDArray[np.int64]
    ) -> str:
        """Multiply later parts so that the factor is continuous; return the number of changes in words, or ""."""
        order = np.argsort(code, kind="stable")  # rows are sorted by date within an id
        same = code[order][1:] == code[order][:-1]
        changed = np.flatnonzero(same & (spell[order][1:] != spell[order][:-1])) + 1
        if not len(changed):
            return ""
        factor = columns["adj_factor"]
        ends = np.r_[np.flatnonzero(~same) + 1, len(order)]
        for first in changed:
            last = ends[np.searchsorted(ends, first, side="right")]
            rows = order[first:last]
            ratio = factor[order[first - 1]] / factor[rows[0]]
            if ratio != 1.0:
                for name in ("open", "high", "low", "close", "adj_factor"):
                    columns[name][rows] *= ratio
        count = len(changed)
        return f"{count:,} change{'' if count == 1 else 's'} of ticker"

    def __repr__(self) -> str:
        ids = len(set(self.spells.value))
        return f"SymbolTable({ids:,} ids, {len(self.spells.tickers):,} tickers, {len(self.spells):,} spells)"


def read_symbol_changes(
    source: Path | str | pd.DataFrame, *, on_uncovered: str = "raise", link: bool = True
) -> SymbolTable:
    """Read a table of ids and their tickers.

    Parameters
    ----------
    source : Path, str or DataFrame
        CSV (plain or gzipped) or Parquet file with the columns `id`, `ticker` (or `symbol`), `start` and `end`; others
        are ignored. `end` is the first day the ticker no longer stands for the id, empty while it does; a column
        `last` with the last day it does may replace it. An empty start means from the first bar on.
    on_uncovered : {"raise", "drop"}
        What to do with bars of a ticker in the table that lie in none of its spells, so that their id is unknown: raise
        an error, or leave them out with a warning. They are never kept under the ticker, since reused symbols would
        then become one history.
    link : bool
        Whether to link prices where an id changes its ticker, see `SymbolTable.apply`.

    Returns
    -------
    SymbolTable

    Raises
    ------
    InputError
        For an unreadable file, a missing column, dates reversed, a ticker that stands for two ids at once, or an id
        with two tickers at once.

    Notes
    -----
    Facebook's change of ticker is one id with two rows::

        id,ticker,start,end
        facebook,FB,2012-05-18,2022-06-09
        facebook,META,2022-06-09,
    """
    if on_uncovered not in ("raise", "drop"):
        raise InputError(f'expected on_uncovered = "raise" or "drop"; found {on_uncovered!r}; choose one')
    spells = read_spells(source, what="symbols", value="id", open_start=True, example=EXAMPLE)
    order = np.lexsort((spells.start, spells.value.astype(str)))
    for before, after in pairwise(order):
        if spells.value[before] == spells.value[after] and spells.start[after] < spells.end[before]:
            until = f"until {spells.end[before]}" if spells.end[before] < FAR else "without end"
            raise InputError(
                f"expected each id to have one ticker at a time; found {spells.value[before]!r} as "
                f"{spells.name(before)} {until} and as {spells.name(after)} from {spells.start[after]}; end one before "
                "the other begins"
            )
    return SymbolTable(spells, on_uncovered, link)


def _source(table: SymbolTable) -> str:
    return next(iter(table.files), "the symbol table")
