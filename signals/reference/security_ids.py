"""Whose prices are these? Tickers change hands and companies change tickers; an id does neither."""

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

EXAMPLE = "id,ticker,start,end with the first day of the ticker and the first day it is somebody else's"


@dataclass(frozen=True, slots=True, eq=False)
class SymbolTable:
    """Spells in which a ticker stood for an id; made by `read_symbol_changes`.

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
        """What was left aside when reading."""
        return self.spells.warnings

    @property
    def files(self) -> dict[str, str]:
        """Name of the file and its SHA-256."""
        return self.spells.files

    def apply(self, prices: Prices) -> Prices:
        """Put every bar under the id its ticker stood for on that day.

        Parameters
        ----------
        prices : Prices
            Bars under tickers. A ticker that the table does not name keeps its name as id.

        Returns
        -------
        Prices
            The same bars, `ticker` being the id.

        Raises
        ------
        InputError
            For a bar of a listed ticker outside its spells (`on_uncovered = "raise"`): nobody knows whose it is. And
            when an id is also the name of a ticker that the table does not name, so that two securities would become
            one.

        Notes
        -----
        Where an id changes its ticker, vendors who keep a series per ticker start adjusting afresh, so that the
        adjusted price jumps although nothing happened. With `link`, the later part is multiplied (prices and factor
        alike, raw prices stay) so that the factor goes on where it stopped; the earlier part keeps its bits. That is
        wrong when a split or a dividend falls on the very day of the change and the series are already adjusted
        across it: `link = False` then. Without factors (`raw_known` False) there is nothing to link by.
        """
        index = prices.frame.index
        levels, codes = index.levels, [np.asarray(code) for code in index.codes]
        listed = {ticker: code for code, ticker in enumerate(self.spells.tickers)}
        of_level = np.array([listed.get(ticker, -1) for ticker in levels[1]], dtype=np.int64)
        ours = np.flatnonzero(of_level[codes[1]] >= 0)
        if not len(ours):
            unused = f"{_source(self)}: no ticker of the prices is in it"
            return replace(prices, warnings=(*prices.warnings, unused), files={**prices.files, **self.files})
        days = levels[0].to_numpy().astype("datetime64[D]")
        row = self.spells.find(of_level[codes[1][ours]], days[codes[0][ours]])
        keep = np.ones(len(index), dtype=bool)
        keep[ours[row < 0]] = False
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
                    "mend the dates"
                )
            warnings.append(f"{rows} left out: outside the spells of {_source(self)} (first: {first})")
        self._refuse_mixing(levels[1], of_level)

        ids = sorted({*self.spells.value, *(t for t, code in zip(levels[1], of_level, strict=True) if code < 0)})
        place = {name: code for code, name in enumerate(ids)}
        code = np.array([place.get(ticker, -1) for ticker in levels[1]], dtype=np.int64)[codes[1]]
        of_spell = np.array([place[name] for name in self.spells.value], dtype=np.int64)
        code[ours] = of_spell[row]
        spell = np.full(len(index), -1, dtype=np.int64)
        spell[ours] = row

        kept = np.flatnonzero(keep)
        kept = kept[np.argsort(codes[0][kept].astype(np.int64) * len(ids) + code[kept], kind="stable")]
        made = pd.MultiIndex(
            levels=[levels[0], pd.Index(ids, dtype=object)],
            codes=[codes[0][kept], code[kept]],
            names=INDEX,
            verify_integrity=False,
        )
        check_labels(made)
        made = canonical_index(made)
        check_order(made)
        columns = {name: prices.frame[name].to_numpy()[kept] for name in PRICE_COLUMNS}
        if self.link and prices.raw_known:
            linked = self._linked(columns, np.asarray(made.codes[1]), spell[kept])
            if linked:
                warnings.append(f"{linked} linked by their adjustment factors ({_source(self)})")
        for name in ("open", "high", "low"):
            if prices.close_only:
                columns[name] = columns["close"]
        for value in columns.values():
            value.setflags(write=False)
        return replace(
            prices,
            frame=pd.DataFrame(columns, index=made, copy=False),
            warnings=tuple(warnings),
            files={**prices.files, **self.files},
            actions=None if prices.actions is None else self._actions(prices.actions, listed),
        )

    def _actions(self, actions: pd.DataFrame, listed: Mapping[str, int]) -> pd.DataFrame:
        """Give splits and dividends under the ids; those outside the spells are nobody's."""
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

    def _refuse_mixing(self, tickers: pd.Index, of_level: NDArray[np.int64]) -> None:
        unnamed = {ticker for ticker, code in zip(tickers, of_level, strict=True) if code < 0}
        if both := sorted(unnamed & set(self.spells.value)):
            raise InputError(
                f"expected the ids in {_source(self)} to be no other ticker of the prices; found {both[0]!r}, a ticker "
                "the table does not name; add its own spells, or use another id"
            )

    def _linked(
        self, columns: dict[str, NDArray[np.float64]], code: NDArray[np.int64], spell: NDArray[np.int64]
    ) -> str:
        """Multiply later parts so that the factor goes on where it stopped; say how many changes that was."""
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
    """Read a table of ids and the tickers they traded under.

    Parameters
    ----------
    source : Path, str or DataFrame
        CSV (plain or gzipped) or Parquet file with the columns `id`, `ticker` (or `symbol`), `start` and `end`; others
        are left alone. `end` is the first day the ticker no longer stands for the id, empty while it does; a column
        `last` with the last day it does is taken in its place. An empty start means from the first bar on.
    on_uncovered : {"raise", "drop"}
        What to do with bars of a ticker in the table that lie in none of its spells: whose they are is unknown, so
        they are refused, or left out with a note. They are never kept under the ticker: reused symbols would become
        one history.
    link : bool
        Join prices where an id changes its ticker, see `SymbolTable.apply`.

    Returns
    -------
    SymbolTable

    Raises
    ------
    InputError
        One line naming the file: unreadable, a column missing, dates reversed, a ticker that stands for two ids at
        once, or an id with two tickers at once.

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
