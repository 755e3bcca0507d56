"""Tables of validity intervals (spells) of tickers, read from a file and checked.

A spell is half-open: it begins on `start`, and the day `end` no longer belongs to it. A file may have the last day
instead, in a column `last`. An empty end means that the spell has not ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.common.errors import InputError
from signals.common.storage import sha256_file
from signals.common.text import one_line, shown
from signals.data.price_index import OLDEST, count_rows
from signals.tabular.date_columns import FAR, days_of, factorized
from signals.tabular.table_files import MISSING, TICKER_KEYS, RawTable, column_key, read_raw
from signals.tabular.table_layouts import tickers_of

__all__ = ["EVER", "FAR", "Spells", "read_spells"]

EVER = OLDEST
TIMES = ("start", "end", "last")

Days = NDArray[np.datetime64]


@dataclass(frozen=True, slots=True, eq=False)
class Spells:
    """Rows (ticker, value, start, end), those of a ticker together and in order of date.

    Parameters
    ----------
    tickers : tuple of str
        Sorted, each once.
    code : ndarray of int64, shape (n,)
        Ticker of each row.
    value : ndarray of object, shape (n,)
        Text valid for the ticker during the spell; empty where the table has no such column.
    start, end : ndarray of datetime64[D], shape (n,)
        First day, and the day after the last; `EVER` and `FAR` where open.
    dated : bool
        Whether the file has dates; otherwise every row is valid on all days.
    warnings : tuple of str
        Warnings about rows that were left out.
    files : dict of str to str
        Name of the file and its SHA-256; empty for a frame.
    """

    tickers: tuple[str, ...]
    code: NDArray[np.int64]
    value: NDArray[np.object_]
    start: Days
    end: Days
    dated: bool
    warnings: tuple[str, ...]
    files: dict[str, str]

    def __len__(self) -> int:
        return len(self.code)

    def name(self, row: int) -> str:
        """Ticker of a row."""
        return self.tickers[int(self.code[row])]

    def at(self, day: np.datetime64) -> NDArray[np.intp]:
        """Rows whose spell contains a day."""
        return np.flatnonzero((self.start <= day) & (day < self.end))

    def find(self, code: NDArray[np.int64], day: Days) -> NDArray[np.intp]:
        """Row whose spell contains each pair of ticker code and day; -1 for none."""
        # one number that sorts like (ticker, day); FAR - EVER is less than 200,000 days
        place = np.searchsorted(_key(self.code, self.start), _key(code, day), side="right") - 1
        row = np.maximum(place, 0)
        held = (place >= 0) & (self.code[row] == code) & (day < self.end[row])
        return np.where(held, place, -1)


def _key(code: NDArray[np.int64], day: Days) -> NDArray[np.int64]:
    return np.asarray(code * 1_000_000 + (np.clip(day, EVER, FAR) - EVER).astype(np.int64))


def read_spells(
    source: Path | str | pd.DataFrame,
    *,
    what: str,
    value: str | None = None,
    undated: bool = False,
    open_start: bool = False,
    example: str,
) -> Spells:
    """Read and check a table of spells.

    Parameters
    ----------
    source : Path, str or DataFrame
        CSV (plain or gzipped, any of `,` `;` tab) or Parquet file, or a frame with the same columns.
    what : str
        Content of the table, for messages: `"index members"`.
    value : str, optional
        Column of values, in addition to ticker and dates.
    undated : bool
        Whether a table without dates is accepted.
    open_start : bool
        Whether an empty start is accepted, as a spell without beginning.
    example : str
        Header of such a file, for messages.

    Raises
    ------
    InputError
        For a missing column, a value that is not a date or not text, a spell that ends before it begins, or overlapping
        spells of a ticker.
    """
    path, raw = _table(source, what, (value,) if value else ())
    with _one_line():
        frame = raw.frame
        places = _places(frame, value, path, what, example)
        dated = "start" in places
        if not dated and (undated is False or {"end", "last"} & set(places)):
            raise InputError(
                f"expected a column start in {path.name}, the first day of each of the {what}; found "
                f"{', '.join(map(str, frame.columns))}; write {example}"
            )
        if {"end", "last"} <= set(places):
            raise InputError(f"expected end or last in {path.name}; found both; drop one")
        codes, names = tickers_of(frame[places["ticker"]], path)
        text = _text(frame[places[value]], path) if value else np.full(len(frame), "", dtype=object)
        size = len(frame)
        start: Days = np.full(size, EVER)
        end: Days = np.full(size, FAR)
        described = f"days, without a time, among {what}"
        if dated:
            start = days_of(frame[places["start"]], path, empty=EVER, what=described)
            if not open_start and (start == EVER).any():
                row = int(np.argmax(start == EVER)) + 1
                raise InputError(
                    f"expected a start in every row of {path.name}; found none for {names[codes[row - 1]]} in row "
                    f"{row}; write the first day"
                )
        if "end" in places:
            end = days_of(frame[places["end"]], path, empty=FAR, what=described)
        elif "last" in places:
            end = days_of(frame[places["last"]], path, empty=FAR, what=described)
            end = np.where(end < FAR, end + np.timedelta64(1, "D"), end)
        warnings = []
        if value and (empty := text == "").any():
            warnings.append(f"{path.name}: {count_rows(int(empty.sum()))} without {value} left out")
            codes, text, start, end = codes[~empty], text[~empty], start[~empty], end[~empty]
        if not len(codes):
            raise InputError(f"expected a {value} in {path.name}; found none in any row; write {example}")
        spells = _sorted(codes, names, text, start, end)
        checked = Spells(*spells, dated=dated, warnings=tuple(warnings), files=_hashes(source, path))
        _check(checked, path, what)
    return checked


def _table(source: Path | str | pd.DataFrame, what: str, text: Sequence[str]) -> tuple[Path, RawTable]:
    if isinstance(source, pd.DataFrame):
        if not len(source):
            raise InputError(f"expected {what} in the frame; found no rows; leave it out")
        return Path("the frame"), RawTable(source.reset_index(drop=True), bracketed=False)
    if not isinstance(source, str | Path):
        raise InputError(f"expected a file of {what}; found {type(source).__name__}; give its path, or a DataFrame")
    path = Path(source).expanduser()
    with _one_line():
        if path.is_dir():
            raise InputError(f"expected a file of {what}; found the folder {path}; name the file")
        return path, read_raw(path, text=(*text, *TIMES), what=what)


def _hashes(source: object, path: Path) -> dict[str, str]:
    return {} if isinstance(source, pd.DataFrame) else {path.name: sha256_file(path)}


@contextmanager
def _one_line() -> Iterator[None]:
    """Keep messages of `InputError` on one line, whatever text of the file they quote."""
    try:
        yield
    except InputError as error:
        raise InputError(one_line(str(error))) from None


def _places(frame: pd.DataFrame, value: str | None, path: Path, what: str, example: str) -> dict[str, str]:
    """Column of the ticker, the value and the dates; raise `InputError` when one is missing or there are two."""
    places: dict[str, str] = {}
    for name in frame.columns:
        key = column_key(name)
        key = "ticker" if key in TICKER_KEYS else key
        if key not in ("ticker", *TIMES, value):
            continue
        if key in places:
            raise InputError(f"expected one column for {key} in {path.name}; found {name} and {places[key]}; drop one")
        places[key] = name
    for key in ("ticker", *([value] if value else [])):
        if key not in places:
            raise InputError(
                f"expected a column {key} in {path.name} for the {what}; found "
                f"{', '.join(shown(name) for name in list(frame.columns)[:8])}; write {example}"
            )
    return places


def _text(column: pd.Series, path: Path) -> NDArray[np.object_]:
    """Cells as text without blanks around them; empty where there is none."""
    codes, values = factorized(column, path, missing=True)
    words = ["" if pd.isna(v) or (word := str(v).strip()) in MISSING else word for v in values]
    return np.asarray(np.array(words, dtype=object)[codes], dtype=object)


def _sorted(
    codes: NDArray[np.int32], names: Sequence[str], text: NDArray[np.object_], start: Days, end: Days
) -> tuple[tuple[str, ...], NDArray[np.int64], NDArray[np.object_], Days, Days]:
    tickers = tuple(sorted({names[code] for code in np.unique(codes)}))
    place = {name: code for code, name in enumerate(tickers)}
    code = np.array([place.get(name, -1) for name in names], dtype=np.int64)[codes]
    order = np.lexsort((end, start, code))
    return tickers, code[order], text[order], start[order], end[order]


def _check(spells: Spells, path: Path, what: str) -> None:
    bad = spells.end <= spells.start
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            f"expected every spell in {path.name} to end after it starts; found {spells.name(row)} from "
            f"{spells.start[row]} until {spells.end[row]} ({int(bad.sum()):,} such rows); correct the dates (the day "
            "in end is no longer part of it; a column last names the last day that is)"
        )
    twice = (spells.code[1:] == spells.code[:-1]) & (spells.start[1:] < spells.end[:-1])
    if twice.any():
        row = int(np.argmax(twice))
        if not spells.dated:
            found = f"{spells.name(row)} twice"
        else:
            until = f"until {spells.end[row]}" if spells.end[row] < FAR else "without end"
            found = f"{spells.name(row)} from {spells.start[row]} {until}, and again from {spells.start[row + 1]}"
        raise InputError(
            f"expected the spells of each ticker in {path.name} not to overlap; found {found} "
            f"({int(twice.sum()):,} such pairs); end one before the next of the {what} begins"
        )
