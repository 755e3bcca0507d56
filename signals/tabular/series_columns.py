"""Columns and rows of a file of series: dates, row numbers, headers of two lines, missing figures."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.common.errors import InputError
from signals.frequency import frequency_of, listed_periods, missing_periods, no_dates
from signals.tabular.table_files import DATE_KEYS, MISSING, column_key, shown

__all__ = ["DATES", "ON_MISSING", "complete_rows", "date_column", "figures", "flat_columns", "row_number_columns"]

DATES = ("date", "observation_date", "sasdate", *(key for key in DATE_KEYS if key != "date"), "period")
ON_MISSING = ("raise", "drop", "fill")

# Names of columns of row numbers; the first two stand for columns without a name.
_UNNAMED = re.compile(r"row_number|unnamed:?_?[0-9._]*")
_COUNTS = ("index", "level_0", "id", "no", "no.", "#", "rownames")
# Larger numbers in a column called Date are dates like 20110103.
_MOST_ROWS = 10_000_000

_PAIR = re.compile(r"\('([^']*)', '([^']*)'\)")

Days = NDArray[np.datetime64]
Values = NDArray[np.float64]


# -- columns -----------------------------------------------------------------------------------------------------------


def flat_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """Flatten (field, ticker) pairs, as yfinance writes them, into names of the part that differs.

    Columns `("Close", "SPY")` and `("Volume", "SPY")` become `Close` and `Volume`; with several tickers and one field
    the names are those of the tickers, with several of both `SPY Close`. A pair written as text by pandas, `"('Close',
    'SPY')"`, counts as a pair.
    """
    pairs: dict[Any, tuple[str, str]] = {}
    for name in frame.columns:
        match = _PAIR.fullmatch(name) if isinstance(name, str) else None
        if match is not None:
            pairs[name] = match[1], match[2]
        elif isinstance(name, tuple):
            pairs[name] = str(name[0]), str(name[-1])
    pairs = {name: pair for name, pair in pairs.items() if column_key(pair[0]) not in DATES}
    fields, tickers = ({pair[i] for pair in pairs.values()} for i in (0, 1))

    def flat(name: Any) -> Any:
        if name not in pairs:
            return name[0] if isinstance(name, tuple) else name
        field, ticker = pairs[name]
        return field if len(tickers) == 1 else ticker if len(fields) == 1 else f"{ticker} {field}"

    return frame.set_axis(pd.Index([flat(name) for name in frame.columns], dtype=object, tupleize_cols=False), axis=1)


def row_number_columns(frame: pd.DataFrame, *, dated: Sequence[str] = DATES) -> list[Any]:
    """Find columns of row numbers, such as an index that was written to the file.

    These are a column without a name (or called `Unnamed: 0`) of ascending whole numbers; one called `index`, `id` or
    the like that counts up by one from 0 or 1; and one called `Date` of ascending whole numbers that are not dates,
    where another column has the dates.

    Parameters
    ----------
    frame : DataFrame
        The file.
    dated : sequence of str
        Names of columns of dates, by `column_key`.
    """
    keys = {name: column_key(name) for name in frame.columns}
    dates = [name for name, key in keys.items() if key in dated]
    numbered = []
    for name, key in keys.items():
        unnamed = bool(_UNNAMED.fullmatch(key)) or (key == "date" and len(dates) > 1)
        if not (unnamed or key in _COUNTS):
            continue
        column = frame[name]
        numbers = pd.to_numeric(column.astype(object), errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        steps = np.diff(numbers)
        counted = not np.isnan(numbers).any() and not (numbers % 1).any() and bool((steps > 0).all())
        if counted and numbers[-1] < _MOST_ROWS and (unnamed or (numbers[0] in (0, 1) and bool((steps == 1).all()))):
            numbered.append(name)
    return numbered


def date_column(names: Sequence[str], date: str | None, path: Path) -> str:
    """Find the column of dates.

    Parameters
    ----------
    names : sequence of str
        Columns of the file.
    date : str, optional
        Name of the column, where it is not a usual one.

    Raises
    ------
    InputError
        When there is none, naming the columns of the file.
    """
    if date is not None:
        if date not in names:
            close = difflib.get_close_matches(date, names, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(list(names)[:8])}"
            raise InputError(f"expected series.date to name a column of {path.name}; found {date!r}; {hint}")
        return date
    keys = {column_key(name): name for name in names}
    match = next((keys[key] for key in DATES if key in keys), None)
    if match is None:
        raise InputError(
            f"expected a column of dates in {path.name}; found {', '.join(shown(name) for name in list(names)[:6])}; "
            "name it with series.date"
        )
    return match


def figures(column: pd.Series, name: str, days: Days, path: Path) -> Values:
    """Figures of a column; NaN for missing ones, which FRED writes as a dot.

    Raises
    ------
    InputError
        For text that is not a number.
    """
    cells = column.astype(object)
    values: Values = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    blank = cells.isna().to_numpy() | np.array([str(cell).strip() in (".", *MISSING) for cell in cells], dtype=bool)
    odd = np.isnan(values) & ~blank
    if odd.any():
        row = int(np.argmax(odd))
        raise InputError(
            f"expected numbers of {name} in {path.name}; found {shown(column.iloc[row])} on {days[row]}; correct the "
            "file, or leave the series out with series.columns"
        )
    return values


# -- rows --------------------------------------------------------------------------------------------------------------


def complete_rows(
    dates: Days, values: Values, names: Sequence[str], *, on_missing: str, calendar: str | None, file: str
) -> tuple[Days, Values, Days, tuple[str, ...]]:
    """Refuse, drop or fill dates on which a series has no figure.

    Parameters
    ----------
    dates : ndarray of datetime64[D], shape (n,)
        Ascending.
    values : ndarray of float64, shape (n, k)
        NaN where a series has no figure.
    names : sequence of str
        The k series.
    on_missing : {"raise", "drop", "fill"}
        See `read_series`.
    calendar : str, optional
        Exchange calendar of daily series.
    file : str
        Name of the file, for messages.

    Returns
    -------
    dates, values : ndarray
        Rows in which every series has a figure.
    closed : ndarray of datetime64[D]
        Days that were dropped.
    warnings : tuple of str
        Number of the rows or figures that were left out or filled.

    Raises
    ------
    InputError
        With `"raise"`, naming the first missing figure and the remedies.
    """
    missing = np.isnan(values)
    if missing.all(axis=0).any():
        name = names[int(np.argmax(missing.all(axis=0)))]
        raise InputError(f"expected figures of {name} in {file}; found none; leave it out with series.columns")
    incomplete = missing.any(axis=1)
    if on_missing == "raise":
        if incomplete.any():
            raise InputError(_missing_message(dates, missing, names, calendar))
        return dates, values, no_dates(), ()
    if on_missing == "drop":
        if not incomplete.any():
            return dates, values, no_dates(), ()
        if incomplete.all():
            raise InputError(
                f"expected dates of {file} on which all series have a figure; found none; leave out one of "
                f"{', '.join(names)}, or set series.on_missing = 'fill'"
            )
        lacking = ", ".join(name for name, column in zip(names, missing.T, strict=True) if column.any())
        left = f"{file}: {int(incomplete.sum()):,} of {len(dates):,} rows have no figure of {lacking} and are left out"
        return dates[~incomplete], values[~incomplete], dates[incomplete], (f"{left} (on_missing = drop)",)
    return _filled(dates, values, names, calendar, file)


def _filled(
    dates: Days, values: Values, names: Sequence[str], calendar: str | None, file: str
) -> tuple[Days, Values, Days, tuple[str, ...]]:
    """Add a row for every missing period, and carry the last figure of every series forward."""
    frequency = frequency_of(dates, calendar)
    absent = missing_periods(dates, frequency)[1]
    whole = np.union1d(dates, absent)
    by_period = np.full((len(whole), len(names)), np.nan)
    by_period[np.searchsorted(whole, dates)] = values
    known = ~np.isnan(by_period)
    stop = int(np.flatnonzero(known.any(axis=1))[-1]) + 1  # rows without any figure at the end are left out
    begins = known.argmax(axis=0)
    begin = int(begins.max())
    warnings = []
    if begin:
        late = ", ".join(name for name, first in zip(names, begins, strict=True) if first == begin)
        warnings.append(f"{file}: {begin:,} rows before {whole[begin]} are left out: {late} begins there")
    row = np.arange(len(whole))[:, None]
    latest = np.maximum.accumulate(np.where(known, row, 0), axis=0)
    carried = np.take_along_axis(by_period, latest, axis=0)
    for column, name in enumerate(names):
        filled = np.flatnonzero(~known[begin:stop, column]) + begin
        if len(filled):
            warnings.append(
                f"{file}: {len(filled):,} of {stop - begin:,} figures of {name} are missing and carry the one before "
                f"(on_missing = fill), as actual values too: {listed_periods(whole[filled], frequency)}"
            )
    return whole[begin:stop], carried[begin:stop], no_dates(), tuple(warnings)


def _missing_message(dates: Days, missing: NDArray[np.bool_], names: Sequence[str], calendar: str | None) -> str:
    """Message about the first missing figure, with remedies that depend on where figures are missing."""
    incomplete: NDArray[np.bool_] = np.asarray(missing.any(axis=1))
    row = int(np.argmax(incomplete))
    lacking = [name for name, column in zip(names, missing.T, strict=True) if column.any()]
    name = names[int(np.argmax(missing[row]))]
    whole = np.flatnonzero(~incomplete)
    found = f"nan ({int(incomplete.sum()):,} of {len(dates):,} rows lack a figure)"
    fill = '"fill" to carry the figure before forward'
    remedies = []
    if len(whole) and not incomplete[whole[0] : whole[-1]].any():
        begin = f"begin with series.start = '{dates[whole[0]]}'" if whole[0] else ""
        end = f"end with series.end = '{dates[whole[-1]]}'" if whole[-1] < len(dates) - 1 else ""
        remedies.append(" and ".join(part for part in (begin, end) if part))
    elif frequency_of(dates, calendar).name == "daily" and len(whole):
        remedies.append(f'set series.on_missing = "drop" to leave such days out, as holidays are, or {fill}')
    else:
        remedies.append(f"set series.on_missing = {fill}")
    if len(lacking) < len(names):
        remedies.append(f"leave {', '.join(lacking)} out with series.columns")
    return f"expected a figure of {name} on {dates[row]}; found {found}; {', or '.join(remedies)}"
