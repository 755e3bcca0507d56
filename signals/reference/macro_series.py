"""Macroeconomic series, point in time: figures are published after the period they describe, and revised later.

`read_macro` gives every observation of a file its `available_at`; `MacroTable.as_of` returns the values known at given
moments.
"""

from __future__ import annotations

import difflib
import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.calendar import add_offset
from signals.common.errors import InputError
from signals.common.storage import sha256_file
from signals.frequency import frequency_of, listed_periods, missing_periods
from signals.reference.macro_columns import MacroObservations, read_observations
from signals.tabular.date_columns import FAR

__all__ = ["MacroTable", "read_macro"]

Moments = NDArray[np.datetime64]
Counts = NDArray[np.int64]

# Days or months a period lasts, by the name of the frequency.
_LENGTHS = {"daily": (1, 0), "weekly": (7, 0), "monthly": (28, 1), "quarterly": (90, 3), "annual": (365, 12)}

_NEVER = 1 << 40

_LAG = re.compile(r"0D|[1-9][0-9]{0,4}[YMWD]")

REVISED = (
    "macro series include revisions made after their first publication, which is a look-ahead (a file with vintages, "
    "in a column available_at, avoids it)"
)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class MacroTable:
    """Observations of macroeconomic series with the moment each became known, as returned by `read_macro`.

    Parameters
    ----------
    observations : DataFrame
        Columns `series` (str), `period` (datetime64[ns], the date of the period in the file: FRED's is its first day),
        `value` (float64, no NaN) and `available_at` (datetime64[ns], UTC but naive); sorted by `available_at`. Several
        rows of one period are its vintages.
    names : tuple of str
        All series, sorted.
    warnings : tuple of str
        Warnings for the report.
    files : mapping of str to str
        Base name of the file and its SHA-256.
    """

    observations: pd.DataFrame
    names: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        some = ", ".join(self.names[:6]) + (", …" if len(self.names) > 6 else "")
        return f"MacroTable({len(self.names)} series, {len(self.observations)} observations: {some})"

    def as_of(self, series: str, moments: Moments, *, lag: int = 0) -> NDArray[np.float64]:
        """Values of a series as known at given moments.

        Parameters
        ----------
        series : str
            One of `names`.
        moments : ndarray of datetime64, shape (n,)
            UTC, in any order; usually `signals.calendar.session_closes` of the decision dates.
        lag : int
            0 for the latest period known at the moment; `k` for the period k before that one. Periods of a month or
            longer are counted on the calendar (12 months back is the same month of the year before), shorter ones by
            the observations known.

        Returns
        -------
        ndarray of float64, shape (n,)
            The last vintage with `available_at` <= moment; NaN where nothing was known, or where the period `lag`
            before was never observed. Later rows of the table change nothing.

        Raises
        ------
        InputError
            For a series that is not in the table, a negative lag (which would look ahead), or a moment that is NaT.
        """
        if series not in self.names:
            close = difflib.get_close_matches(str(series), self.names, n=3)
            known = f"close: {', '.join(close)}" if close else f"there are {', '.join(self.names[:8])}"
            raise InputError(f"expected the name of a macro series; found {series!r} ({known}); correct the name")
        if isinstance(lag, bool) or not isinstance(lag, int) or lag < 0:
            raise InputError(f"expected lag as a whole number of at least 0; found {lag!r}; later periods are unknown")
        times = np.asarray(moments).astype("datetime64[ns]")
        if np.isnat(times).any():
            raise InputError("expected moments in time; found NaT; leave it out")
        table = self.observations
        rows = table[(table["series"] == series).to_numpy()].sort_values(["available_at", "period"], kind="stable")
        published = rows["available_at"].to_numpy().astype("datetime64[ns]")
        states = _states(rows["period"].to_numpy().astype("datetime64[D]"), rows["value"].to_numpy(), lag)
        place = np.searchsorted(published, times, side="right")
        return np.append(np.nan, states)[place]


def read_macro(
    path: Path | str,
    *,
    publication_lag: str | Mapping[str, str] | None = None,
    series: Sequence[str] | None = None,
    frequency: str | Mapping[str, str] | None = None,
    dates: str = "start",
) -> MacroTable:
    """Read macroeconomic series from a CSV (plain or gzipped) or Parquet file.

    Parameters
    ----------
    path : Path or str
        One of

        * FRED's wide layout: `observation_date` or `DATE`, then a column per series, `.` where there is no figure;
        * FRED-MD: `sasdate` as month/day/year, with its row of transformation codes (which are not applied);
        * ALFRED's vintages: `observation_date`, then columns named `SERIES_YYYYMMDD` after the day of publication;
        * long: `date`, `value`, `series` (without it the series is named after the file), and best `available_at`.
    publication_lag : str or mapping of str to str, optional
        Time from the end of a period to the publication of its figure: `"45D"`, `"6W"`, `"1M"` or `"0D"`, for all
        series or one per series (the others are then ignored). Required unless the file has dates of publication,
        and refused if it has. There is no default, since a lag that is too short would be a look-ahead.
    series : sequence of str, optional
        Series to read; all by default.
    frequency : str or mapping of str to str, optional
        `"daily"`, `"weekly"`, `"monthly"`, `"quarterly"` or `"annual"`; by default recognised from the dates.
    dates : {"start", "end"}
        Day of the period in the file. FRED dates months, quarters and years by their first day, but weeks by their
        last. With `"start"` for a last day figures become known later than necessary, never too early.

    Returns
    -------
    MacroTable

    Raises
    ------
    InputError
        When the file or an argument is not as expected.

    Notes
    -----
    With a lag, `available_at` is midnight UTC at the end of the period, moved by the lag: a figure for January with
    `"15D"` is known from 16 February 00:00 UTC, after the close of 15 February in America: it is first used at the
    close of 16 February. An `available_at` in the file without a time of day likewise counts from the end of that day
    (UTC); with a time it counts from then.

    The length of a period is the shortest distance between the dates *so far*, so that a later change from quarters to
    months changes nothing before it.
    """
    path = Path(path).expanduser()
    if dates not in ("start", "end"):
        raise InputError(f'expected dates = "start" or "end"; found {dates!r}; choose one')
    sheet = read_observations(path)
    wanted = _wanted(sheet, path, publication_lag, series)
    warnings = list(sheet.warnings)
    if left := len(sheet.names) - len(wanted):
        warnings.append(f"{path.name}: {left} series ignored")
    keep = np.isin(sheet.codes, [sheet.names.index(name) for name in wanted]) & ~np.isnan(sheet.values)
    sheet = sheet.take(keep)
    for name in wanted:
        if not (sheet.codes == sheet.names.index(name)).any():
            raise InputError(f"expected figures of {name} in {path.name}; found none; leave the series out")
    warnings += [warning for name in wanted if (warning := _missing_warning(sheet, name, path))]
    if sheet.available is None:
        available = _released(sheet, path, wanted, publication_lag, frequency, dates)
        warnings.append(REVISED)
    else:
        available = sheet.available
    frame = pd.DataFrame(
        {
            "series": pd.Series(np.array(sheet.names, dtype=object)[sheet.codes], dtype=object),
            "period": sheet.days.astype("datetime64[ns]"),
            "value": sheet.values,
            "available_at": available,
        }
    )
    twice = frame.duplicated(["series", "period", "available_at"])
    if twice.any():
        first = frame[twice.to_numpy()].iloc[0]
        raise InputError(
            f"expected one figure per series, period and publication in {path.name}; found two of {first['series']} "
            f"for {first['period'].date()} ({int(twice.sum())} such rows); drop one"
        )
    frame = frame.sort_values(["available_at", "series", "period"], kind="stable", ignore_index=True)
    return MacroTable(frame, tuple(sorted(wanted)), tuple(warnings), {path.name: sha256_file(path)})


def _missing_warning(sheet: MacroObservations, name: str, path: Path) -> str:
    """Write a warning that names the periods of a series without a figure; empty when all have one."""
    days = np.unique(sheet.days[sheet.codes == sheet.names.index(name)])
    frequency = frequency_of(days)
    missing = missing_periods(days, frequency)[1]
    if not len(missing):
        return ""
    by_calendar = frequency.unit == "month"
    return (
        f"{path.name}: {name} ({frequency.name}) has no figure for {len(missing):,} of {len(days) + len(missing):,} "
        f"periods, {listed_periods(missing, frequency)}: features use the last figure before, and changes "
        + ("from or to these periods are not known" if by_calendar else "count figures, over longer times there")
    )


def _wanted(
    sheet: MacroObservations, path: Path, lag: str | Mapping[str, str] | None, series: Sequence[str] | None
) -> tuple[str, ...]:
    """Check the series and lags of the arguments, and return the names of the series to keep."""
    if isinstance(series, str) or (series is not None and not series):
        raise InputError(f'expected series as a list like ["UMCSENT"]; found {series!r}; use a list, or leave it out')
    if sheet.available is not None:
        if lag is not None:
            raise InputError(
                f"expected a lag or publication dates; found a lag and publication dates in {path.name}; drop the lag"
            )
    elif lag is None:
        raise InputError(
            f'expected a lag like "45D" (or a column available_at in {path.name}); found none; figures are dated by '
            "their period and published after it, so without a lag they would be known too early"
        )
    lags: Iterable[str] = lag if isinstance(lag, Mapping) else ()
    for name in (*(series or ()), *lags):
        if name not in sheet.names:
            close = difflib.get_close_matches(str(name), sheet.names, n=3)
            known = f"close: {', '.join(close)}" if close else f"there are {', '.join(sheet.names[:8])}"
            raise InputError(f"expected series of {path.name}; found {name!r} ({known}); correct the name")
    if isinstance(lag, Mapping) and (without := [name for name in series or () if name not in lag]):
        raise InputError(f"expected a lag for every series; found none for {without[0]}; add it")
    return tuple(dict.fromkeys(series or (lags if isinstance(lag, Mapping) else sheet.names)))


def _released(
    sheet: MacroObservations,
    path: Path,
    wanted: tuple[str, ...],
    lag: str | Mapping[str, str] | None,
    frequency: str | Mapping[str, str] | None,
    dates: str,
) -> Moments:
    """Moment of publication of each figure: the end of its period plus the lag of its series."""
    available = np.full(len(sheet.days), np.datetime64("NaT", "ns"))
    for name in wanted:
        rows = np.flatnonzero(sheet.codes == sheet.names.index(name))
        days, inverse = np.unique(sheet.days[rows], return_inverse=True)
        given = frequency.get(name) if isinstance(frequency, Mapping) else frequency
        ends = days + np.timedelta64(1, "D") if dates == "end" else _ends(days, *_lengths(days, given, name, path))
        offset = lag[name] if isinstance(lag, Mapping) else lag
        if not isinstance(offset, str) or not _LAG.fullmatch(offset):
            raise InputError(
                f"expected the lag of {name} like 45D, 6W, 1M or 0D; found {offset!r}; write a whole number and a unit"
            )
        if offset != "0D":
            ends = np.array([add_offset(end, offset) for end in ends], dtype="datetime64[D]")
        if (ends >= FAR).any():
            raise InputError(f"expected a lag that ends before {FAR}; found {offset!r} for {name}; shorten it")
        available[rows] = ends.astype("datetime64[ns]")[inverse]
    return available


def _lengths(days: Moments, frequency: str | None, name: str, path: Path) -> tuple[Counts, Counts]:
    """Length of each period in days and in whole months, from the dates up to its own; the first equals the second."""
    if frequency is not None:
        if frequency not in _LENGTHS:
            raise InputError(f"expected a frequency among {', '.join(_LENGTHS)}; found {frequency!r}; choose one")
        length, months = _LENGTHS[frequency]
        return np.full(len(days), length), np.full(len(days), months)
    if len(days) < 2:
        raise InputError(
            f"expected at least two dates of {name} in {path.name}, to infer the length of its periods; found one; set "
            "frequency"
        )
    gaps = np.minimum.accumulate(np.diff(days).astype(np.int64))
    steps = np.minimum.accumulate(np.diff(_month(days)))
    return np.append(gaps[0], gaps), np.append(steps[0], steps)


def _ends(days: Moments, lengths: Counts, months: Counts) -> Moments:
    """First day after each period."""
    whole = (lengths >= 28) & (months >= 1)
    by_month = (_month(days) + months).astype("datetime64[M]").astype("datetime64[D]")
    # daily figures of markets have no weekends, so that the distance from Friday to Monday is three days
    by_day = days + np.where(lengths < 7, 1, lengths).astype("timedelta64[D]")
    return np.where(whole, by_month, by_day)


def _month(days: Moments) -> Counts:
    return days.astype("datetime64[M]").astype(np.int64)


def _states(days: Moments, values: NDArray[np.float64], lag: int) -> NDArray[np.float64]:
    """Value of the period `lag` before the latest, after each publication; rows in order of publication."""
    states = np.full(len(days), np.nan)
    months = dict(zip(days.astype(np.int64).tolist(), _month(days).tolist(), strict=True))
    known: list[int] = []  # days of the periods published so far, ascending
    held: dict[int, float] = {}
    of_month: dict[int, int] = {}
    gap = step = _NEVER  # shortest distance between two known periods, in days and in months
    for row, (day, value) in enumerate(zip(days.astype(np.int64).tolist(), values.tolist(), strict=True)):
        if day not in held:
            place = bisect_left(known, day)
            for other in known[max(place - 1, 0) : place + 1]:
                gap, step = min(gap, abs(day - other)), min(step, abs(months[day] - months[other]))
            known.insert(place, day)
            of_month[months[day]] = day
        held[day] = value
        if lag == 0:
            states[row] = held[known[-1]]
        elif gap >= 28 and 1 <= step < _NEVER:
            earlier = of_month.get(months[known[-1]] - lag * step)
            states[row] = np.nan if earlier is None else held[earlier]
        elif len(known) > lag:
            states[row] = held[known[-1 - lag]]
    return states
