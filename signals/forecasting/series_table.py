"""Table of time series: validation, reading from a file, and transforms."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signals.calendar import as_day
from signals.common.errors import InputError
from signals.frequency import Frequency, frequency_of, listed_periods, missing_periods, next_dates, no_dates
from signals.tabular.date_columns import days_of
from signals.tabular.series_columns import (
    DATES,
    ON_MISSING,
    complete_rows,
    date_column,
    figures,
    flat_columns,
    row_number_columns,
)
from signals.tabular.table_files import column_key, read_raw

__all__ = ["TRANSFORMS", "SeriesTable", "check_order", "read_series"]

TRANSFORMS = ("level", "log", "difference", "log_difference", "return")

# Bound on absolute values, so that their squares are finite.
LARGEST = 1e100


@dataclass(frozen=True, slots=True, eq=False)
class SeriesTable:
    """Values of one or several series, one row per period, without gaps.

    Row *t* is known at the close of `dates[t]` or, for series that are published later, after the delay stated in
    `publication_note`: forecasts can then be made only after that delay, but have the same values.

    Parameters
    ----------
    dates : ndarray of datetime64[D], shape (n,)
        Date of each row, ascending.
    values : ndarray of float64, shape (n, k)
        Finite numbers.
    names : tuple of str
        Names of the k series.
    vintage_note : str
        Vintage of the figures; later revisions differ from the figures that were known at the time.
    publication_note : str
        Publication time of the figures.
    source : str
        Source of the figures, for messages: a file name, or `"simulated"`.
    calendar : str, optional
        Exchange calendar whose sessions the rows are, for daily series; see `signals.frequency.frequency_of`.
    closed : ndarray of datetime64[D]
        Days on which a daily series has no figure, such as holidays that a file lists with a blank.
    warnings : tuple of str
        Rows that were left out or filled when the table was read.

    Raises
    ------
    InputError
        For a missing figure or one beyond 1e100, dates that do not ascend, missing periods, and duplicate names; the
        message contains series, date and value.
    """

    dates: NDArray[np.datetime64]
    values: NDArray[np.float64]
    names: tuple[str, ...]
    vintage_note: str = ""
    publication_note: str = ""
    source: str = ""
    calendar: str | None = None
    closed: NDArray[np.datetime64] = field(default_factory=no_dates)
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        shape = (len(self.dates), len(self.names))
        if self.values.shape != shape or not min(shape):
            raise InputError(f"expected values of {shape[0]} dates and {shape[1]} series; found {self.values.shape}")
        if len(set(self.names)) != len(self.names):
            raise InputError(f"expected each series once; found {', '.join(self.names)}; drop one")
        check_order(self.dates)
        # lags, seasons and windows count rows, and would refer to wrong dates after a gap
        frequency = self.frequency
        after, missing = missing_periods(self.dates, frequency, self.closed)
        if len(missing):
            then = (
                ", name the exchange whose sessions the rows are with series.calendar,"
                if frequency.name == "daily" and self.calendar is None
                else ""
            )
            raise InputError(
                f"expected one row per period, without gaps ({frequency.name}); found none for "
                f'{listed_periods(missing, frequency)}; set series.on_missing = "fill" to carry the last figure '
                f"forward{then} or begin after the last gap with series.start = {str(self.dates[after[-1] + 1])!r}"
            )
        with np.errstate(invalid="ignore"):
            sound = np.abs(self.values) <= LARGEST
        if not sound.all():
            row, column = (int(i) for i in np.argwhere(~sound)[0])
            raise InputError(
                f"expected a figure of {self.names[column]} on {self.dates[row]}; found {self.values[row, column]}; "
                "correct it, or leave the series out"
            )

    @property
    def frequency(self) -> Frequency:
        """Frequency of the rows."""
        return frequency_of(self.dates, self.calendar)

    def next_dates(self, count: int) -> NDArray[np.datetime64]:
        """Dates of the next rows after the last one, see `signals.frequency.next_dates`."""
        return next_dates(self.dates, count, self.frequency)

    def __len__(self) -> int:
        return len(self.dates)

    def digest(self) -> str:
        """SHA-256 of names, dates and values, as hexadecimal text."""
        sha256 = hashlib.sha256("\n".join(self.names).encode())
        sha256.update(np.ascontiguousarray(self.dates.astype("datetime64[D]").astype(np.int64)).tobytes())
        sha256.update(np.ascontiguousarray(self.values).tobytes())
        return sha256.hexdigest()

    def until(self, date: Any) -> SeriesTable:
        """Return the rows up to and including a day."""
        stop = int(np.searchsorted(self.dates, as_day(date), side="right"))
        return replace(self, dates=self.dates[:stop], values=self.values[:stop])

    def transformed(self, kind: str | Sequence[str], periods: int = 1) -> SeriesTable:
        """Return a table of transformed series; differences and returns lose the first `periods` rows.

        Parameters
        ----------
        kind : str or sequence of str
            `"level"`; `"log"`; `"difference"` from `periods` rows before; `"log_difference"`; `"return"`, simple.
            Either one transform for all series, or one for each.
        periods : int
            Number of rows that differences and returns look back.

        Raises
        ------
        InputError
            For an unknown transform, and for a logarithm or a return of a figure that is not above zero.

        >>> days = np.array(["2020-01-01", "2020-02-01", "2020-03-01"], dtype="datetime64[D]")
        >>> table = SeriesTable(days, np.array([[1.0], [2.0], [3.0]]), ("x",))
        >>> table.transformed("return").values[:, 0].tolist()
        [1.0, 0.5]
        """
        kinds = (kind,) * len(self.names) if isinstance(kind, str) else tuple(kind)
        if len(kinds) != len(self.names):
            raise InputError(f"expected one transform, or one for each of {len(self.names)} series; found {len(kinds)}")
        for transform in kinds:
            if transform not in TRANSFORMS:
                close = difflib.get_close_matches(transform, TRANSFORMS, n=1)
                hint = f"; did you mean {close[0]!r}?" if close else ""
                raise InputError(f"expected series.transform among {', '.join(TRANSFORMS)}; found {transform!r}{hint}")
        back = periods if any(transform not in ("level", "log") for transform in kinds) else 0
        if not 0 <= back < len(self):
            raise InputError(
                f"expected series.transform_periods from 1 to {len(self) - 1}, the rows less one; found {periods}"
            )
        if periods < 1:
            raise InputError(f"expected series.transform_periods of at least 1; found {periods}")
        columns = []
        for column, transform in enumerate(kinds):
            values = self.values[:, column]
            if transform in ("log", "log_difference", "return") and values.min() <= 0:
                row = int(np.argmin(values))
                raise InputError(
                    f"expected figures above zero for the transform {transform!r}; found {values[row]:g} of "
                    f"{self.names[column]} on {self.dates[row]}; use 'difference'"
                )
            values = np.log(values) if transform.startswith("log") else values
            before, now = values[: len(values) - back], values[back:]
            if transform in ("difference", "log_difference"):
                now = now - before
            elif transform == "return":
                now = now / before - 1.0
            columns.append(now)
        return replace(self, dates=self.dates[back:], values=np.column_stack(columns))


def check_order(dates: NDArray[np.datetime64]) -> None:
    """Check that dates ascend.

    Raises
    ------
    InputError
        For the first date that occurs twice, or follows a later one.
    """
    step = np.diff(dates.astype("datetime64[D]").astype(np.int64))
    if len(step) and step.min() <= 0:
        row = int(np.argmax(step <= 0)) + 1
        found = "twice" if step[row - 1] == 0 else f"after {dates[row - 1]}"
        raise InputError(
            f"expected one row per date, in order; found {dates[row]} {found}; sort the file, or drop a row"
        )


def read_series(
    path: Path | str,
    columns: Sequence[str] = (),
    *,
    date: str | None = None,
    start: Any = None,
    end: Any = None,
    vintage_note: str = "",
    publication_note: str = "",
    calendar: str | None = None,
    on_missing: str = "raise",
) -> SeriesTable:
    """Read series from a CSV (plain or gzipped) or Parquet file, one column each.

    Parameters
    ----------
    path : Path or str
        The file. Its header may have two lines, as yfinance writes it (see
        `signals.tabular.series_columns.flat_columns`).
    columns : sequence of str
        Names of the series, in this order; by default all columns except dates and row numbers.
    date : str, optional
        Column of the dates; by default a column with one of the usual names.
    start, end : date-like, optional
        First and last day, both inclusive.
    vintage_note, publication_note : str
        See `SeriesTable`.
    calendar : str, optional
        Exchange calendar whose sessions the rows of a daily series are. By default a daily series has a row on every
        weekday, except the holidays of the exchange whose calendar it follows, if any.
    on_missing : {"raise", "drop", "fill"}
        Treatment of dates on which some series have no figure. `"raise"` raises an error. `"drop"` leaves the rows out:
        in daily series, up to ten consecutive missing rows count as holidays; in others they are gaps, which are an
        error. `"fill"` carries the last figure forward, also into periods without a row; rows before the first figure
        are left out. `SeriesTable.warnings` reports the number of rows left out or filled.

    Raises
    ------
    InputError
        For a file that is not readable, an unknown column, a figure that is missing or not a number, dates that do not
        ascend, and periods without a row; the message names the rows and the setting that helps.
    """
    path = Path(path)
    if isinstance(columns, str) or not all(isinstance(name, str) for name in columns):
        raise InputError(f"expected series.columns as a list of names; found {columns!r}; use a list")
    if on_missing not in ON_MISSING:
        raise InputError(
            f"expected series.on_missing among {', '.join(ON_MISSING)}; found {on_missing!r}; choose one of them"
        )
    named = () if date is None else (column_key(date),)
    frame = flat_columns(read_raw(path, what="series", text=(*DATES, *named), keep_row_numbers=True).frame)
    numbering = [name for name in row_number_columns(frame, dated=(*DATES, *named)) if name not in (date, *columns)]
    frame = frame.drop(columns=numbering)
    names = {str(name): name for name in frame.columns}
    dated = date_column(list(names), date, path)
    wanted = list(columns) or [name for name in names if name != dated]
    for name in wanted:
        if name not in names or name == dated:
            known = [other for other in names if other != dated]
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known[:8])}"
            raise InputError(f"expected series.columns among those of {path.name}; found {name!r}; {hint}")
    if not wanted:
        raise InputError(
            f"expected columns of series besides the dates in {path.name}; found none; download the file again"
        )
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
    days = days[kept]
    values = np.column_stack([figures(frame[names[name]][kept], name, days, path) for name in wanted])
    check_order(days)
    days, values, closed, warnings = complete_rows(
        days, values, wanted, on_missing=on_missing, calendar=calendar, file=path.name
    )
    return SeriesTable(
        days, values, tuple(wanted), vintage_note, publication_note, path.name, calendar, closed, warnings
    )
