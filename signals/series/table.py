"""Series over time as one checked table: read from a file, cut, and transformed."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.calendar import as_day
from signals.errors import InputError
from signals.sources.dates import days_of
from signals.sources.readers import column_key, read_raw, shown

__all__ = ["TRANSFORMS", "SeriesTable", "read_series"]

TRANSFORMS = ("level", "log", "difference", "log_difference", "return")

# Squares of what is larger are no numbers any more.
LARGEST = 1e100

DATES = ("date", "observation_date", "sasdate", "datetime", "day", "period")


@dataclass(frozen=True, slots=True, eq=False)
class SeriesTable:
    """Values of one or several series, one row a period, without gaps.

    Row *t* is known at the close of `dates[t]`, or, of series that are published later, with the delay that `release`
    states: what the forecasts then need is that much patience, not other numbers.

    Parameters
    ----------
    dates : ndarray of datetime64[D], shape (n,)
        What each row is dated by, ascending.
    values : ndarray of float64, shape (n, k)
        Finite numbers.
    names : tuple of str
        The k series.
    vintage : str
        As of when the figures are: revised later, they are not what was known then.
    release : str
        When a figure is published.
    source : str
        Where they come from, for people: a file's name, or `"simulated"`.

    Raises
    ------
    InputError
        For a figure that is missing or beyond 1e100, dates that do not ascend or leave a gap, names that repeat, naming
        series, date and value.
    """

    dates: NDArray[np.datetime64]
    values: NDArray[np.float64]
    names: tuple[str, ...]
    vintage: str = ""
    release: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        shape = (len(self.dates), len(self.names))
        if self.values.shape != shape or not min(shape):
            raise InputError(f"expected values of {shape[0]} dates and {shape[1]} series; found {self.values.shape}")
        if len(set(self.names)) != len(self.names):
            raise InputError(f"expected each series once; found {', '.join(self.names)}; drop one")
        step = np.diff(self.dates.astype("datetime64[D]").astype(np.int64))
        if len(step) and step.min() <= 0:
            row = int(np.argmax(step <= 0)) + 1
            found = "twice" if step[row - 1] == 0 else f"after {self.dates[row - 1]}"
            raise InputError(f"expected one row a date, in order; found {self.dates[row]} {found}; mend the file")
        # weekends and holidays are none; lags, seasons and windows count rows, and would be of other dates behind a gap
        if len(step) and (wide := step > max(3 * np.median(step), np.median(step) + 10)).any():
            row = int(np.argmax(wide))
            raise InputError(
                f"expected one row a period, {np.median(step):g} days apart, without gaps; found none between "
                f"{self.dates[row]} and {self.dates[row + 1]}; fill the gap, or begin after it with start"
            )
        with np.errstate(invalid="ignore"):
            sound = np.abs(self.values) <= LARGEST
        if not sound.all():
            row, column = (int(i) for i in np.argwhere(~sound)[0])
            raise InputError(
                f"expected a figure of {self.names[column]} on {self.dates[row]}; found {self.values[row, column]}; "
                "leave the series out, or begin later and end earlier with start and end"
            )

    def __len__(self) -> int:
        return len(self.dates)

    def digest(self) -> str:
        """SHA-256 of names, dates and values."""
        made = hashlib.sha256("\n".join(self.names).encode())
        made.update(np.ascontiguousarray(self.dates.astype("datetime64[D]").astype(np.int64)).tobytes())
        made.update(np.ascontiguousarray(self.values).tobytes())
        return made.hexdigest()

    def until(self, date: Any) -> SeriesTable:
        """Leave out everything after a day."""
        stop = int(np.searchsorted(self.dates, as_day(date), side="right"))
        return replace(self, dates=self.dates[:stop], values=self.values[:stop])

    def transformed(self, kind: str | Sequence[str], periods: int = 1) -> SeriesTable:
        """Return the table of something made of the series; the first `periods` rows of what looks back drop out.

        Parameters
        ----------
        kind : str or sequence of str
            `"level"`; `"log"`; `"difference"` from `periods` rows before; `"log_difference"`; `"return"`, simple. One
            for all series, or one each.
        periods : int
            Rows that differences and returns look back.

        Raises
        ------
        InputError
            For an unknown kind, and for a logarithm or a return of what is not above zero.

        >>> days = np.array(["2020-01-01", "2020-02-01", "2020-03-01"], dtype="datetime64[D]")
        >>> table = SeriesTable(days, np.array([[1.0], [2.0], [3.0]]), ("x",))
        >>> table.transformed("return").values[:, 0].tolist()
        [1.0, 0.5]
        """
        kinds = (kind,) * len(self.names) if isinstance(kind, str) else tuple(kind)
        if len(kinds) != len(self.names):
            raise InputError(f"expected one transform, or one for each of {len(self.names)} series; found {len(kinds)}")
        for one in kinds:
            if one not in TRANSFORMS:
                close = difflib.get_close_matches(one, TRANSFORMS, n=1)
                hint = f"; did you mean {close[0]!r}?" if close else ""
                raise InputError(f"expected series.transform among {', '.join(TRANSFORMS)}; found {one!r}{hint}")
        back = periods if any(one not in ("level", "log") for one in kinds) else 0
        if not 0 <= back < len(self):
            raise InputError(f"expected series.periods from 1 to {len(self) - 1}, the rows less one; found {periods}")
        if periods < 1:
            raise InputError(f"expected series.periods of at least 1; found {periods}")
        columns = []
        for column, one in enumerate(kinds):
            values = self.values[:, column]
            if one in ("log", "log_difference", "return") and values.min() <= 0:
                row = int(np.argmin(values))
                raise InputError(
                    f"expected figures above zero, of which a {one} can be made; found {values[row]:g} of "
                    f"{self.names[column]} on {self.dates[row]}; take differences"
                )
            values = np.log(values) if one.startswith("log") else values
            before, now = values[: len(values) - back], values[back:]
            if one in ("difference", "log_difference"):
                now = now - before
            elif one == "return":
                now = now / before - 1.0
            columns.append(now)
        return replace(self, dates=self.dates[back:], values=np.column_stack(columns))


def read_series(
    path: Path | str,
    columns: Sequence[str] = (),
    *,
    date: str | None = None,
    start: Any = None,
    end: Any = None,
    vintage: str = "",
    release: str = "",
) -> SeriesTable:
    """Read series from a CSV (plain or gzipped) or Parquet file, one column each.

    Parameters
    ----------
    path : Path or str
        The file.
    columns : sequence of str
        Series to take, in this order; all but the dates when not given.
    date : str, optional
        Column of the dates; the one with a usual name when not given.
    start, end : date-like, optional
        First and last day, both inclusive.
    vintage, release : str
        See `SeriesTable`.

    Raises
    ------
    InputError
        For what is no such file, an unknown column, a figure that is missing or no number, and dates that do not
        ascend, naming them.
    """
    path = Path(path)
    if isinstance(columns, str) or not all(isinstance(name, str) for name in columns):
        raise InputError(f"expected series.columns as a list of names; found {columns!r}; use a list")
    named = () if date is None else (column_key(date),)
    frame = read_raw(path, what="series", text=(*DATES, *named)).frame
    names = {str(name): name for name in frame.columns}
    dated = _date_column(names, date, path)
    wanted = list(columns) or [name for name in names if name != dated]
    for name in wanted:
        if name not in names or name == dated:
            known = [other for other in names if other != dated]
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known[:8])}"
            raise InputError(f"expected series.columns among those of {path.name}; found {name!r}; {hint}")
    if not wanted:
        raise InputError(f"expected series beside the dates in {path.name}; found none; get the file again")
    days = days_of(frame[names[dated]], path, what="series, dated by the day,")
    kept = np.ones(len(days), dtype=bool)
    if start is not None:
        kept &= days >= as_day(start, name="series.start")
    if end is not None:
        kept &= days <= as_day(end, name="series.end")
    if not kept.any():
        raise InputError(
            f"expected rows of {path.name} from {start or 'its first day'} to {end or 'its last'}; found none, of "
            f"{days.min()} to {days.max()}; change start or end"
        )
    values = np.column_stack([_numbers(frame[names[name]][kept], name, days[kept], path) for name in wanted])
    return SeriesTable(days[kept], values, tuple(wanted), vintage, release, path.name)


def _date_column(names: dict[str, Any], date: str | None, path: Path) -> str:
    if date is not None:
        if date not in names:
            close = difflib.get_close_matches(date, names, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(list(names)[:8])}"
            raise InputError(f"expected series.date to name a column of {path.name}; found {date!r}; {hint}")
        return date
    keys = {column_key(name): name for name in names}
    found = next((keys[key] for key in DATES if key in keys), None)
    if found is None:
        raise InputError(
            f"expected a column of dates in {path.name}; found {', '.join(shown(name) for name in list(names)[:6])}; "
            "name it with series.date"
        )
    return found


def _numbers(column: pd.Series, name: str, days: NDArray[np.datetime64], path: Path) -> NDArray[np.float64]:
    """Figures of a column; text that is none is named, a missing one is left for the table to name."""
    made: NDArray[np.float64] = pd.to_numeric(column.astype(object), errors="coerce").to_numpy(dtype=np.float64)
    odd = np.isnan(made) & ~column.isna().to_numpy()
    if odd.any():
        row = int(np.argmax(odd))
        raise InputError(
            f"expected numbers of {name} in {path.name}; found {shown(column.iloc[row])} on {days[row]}; mend the file"
        )
    return made
