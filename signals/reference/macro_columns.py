"""Layouts of files of macro series: FRED's wide tables, FRED-MD, ALFRED's vintages, long tables."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.common.errors import InputError
from signals.tabular.date_columns import days_of
from signals.tabular.series_columns import flat_columns, row_number_columns
from signals.tabular.table_files import DATE_KEYS, MISSING, column_key, is_unnamed, read_raw, shown, stem

__all__ = ["MacroObservations", "read_observations"]

DATES = ("observation_date", "sasdate", "period", *DATE_KEYS)
NAMES = ("series", "series_id")
PUBLISHED = ("available_at", "realtime_start")

# FRED-MD and FRED-QD put rows of codes under the header
_CODES = ("transform", "transform:", "factors", "factors:")
_VINTAGE = re.compile(r"(.+)_((?:1[789]|2[01])[0-9]{6})")
_AMERICAN = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})", re.ASCII)
_MOMENT = re.compile(
    r"(\d{4})-?\d{2}-?\d{2}(?:[ T]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)? ?(?:Z|[+-]\d{2}:?\d{2})?)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class MacroObservations:
    """Observations of one file, in no particular order.

    Parameters
    ----------
    names : tuple of str
        Names of the series, in file order.
    codes : ndarray of int, shape (n,)
        Index into `names` of each observation.
    days : ndarray of datetime64[D], shape (n,)
        Date of the observation in the file.
    values : ndarray of float64, shape (n,)
        NaN where the file has no figure.
    available : ndarray of datetime64[ns], shape (n,), or None
        Moment of publication, UTC; None when the file has none.
    warnings : tuple of str
        Warnings for the report.
    """

    names: tuple[str, ...]
    codes: NDArray[np.int64]
    days: NDArray[np.datetime64]
    values: NDArray[np.float64]
    available: NDArray[np.datetime64] | None = None
    warnings: tuple[str, ...] = ()

    def take(self, rows: NDArray[np.bool_]) -> MacroObservations:
        """Select observations."""
        return replace(
            self,
            codes=self.codes[rows],
            days=self.days[rows],
            values=self.values[rows],
            available=None if self.available is None else self.available[rows],
        )


def read_observations(path: Path) -> MacroObservations:
    """Read a file and recognise its layout.

    Raises
    ------
    InputError
        When there is no date column or no series, or a cell has another type than its column.
    """
    raw = flat_columns(read_raw(path, what="macro series", text=(*DATES, *NAMES, *PUBLISHED)).frame)
    raw = raw.drop(columns=row_number_columns(raw, dated=DATES))
    if odd := [name for name in raw.columns if not isinstance(name, str)]:
        raise InputError(f"expected one header line in {path.name}; found the column {shown(odd[0])}; flatten it")
    if not raw.columns.is_unique:
        doubled = raw.columns[raw.columns.duplicated()][0]
        raise InputError(f"expected each column once in {path.name}; found {shown(doubled)} twice; drop one")
    keys: dict[str, Any] = {}
    for name in raw.columns:
        key = column_key(name)
        if key in (*DATES, *NAMES, *PUBLISHED, "value") and key in keys:
            raise InputError(f"expected one column {key} in {path.name}; found {keys[key]} and {name}; drop one")
        keys.setdefault(key, name)
    dated = next((keys[key] for key in DATES if key in keys), None)
    if dated is None:
        raise InputError(
            f"expected a column observation_date, sasdate or date in {path.name}; found "
            f"{', '.join(shown(name) for name in raw.columns[:6])}; give the column of dates one of these names"
        )
    raw, warnings = _without_codes(raw, dated)
    if not len(raw):
        raise InputError(f"expected macro series in {path.name}; found no rows but codes; get the file again")
    days = _days(raw[dated], path, american=column_key(dated) == "sasdate")
    published = next((keys[key] for key in PUBLISHED if key in keys), None)
    named = next((keys[key] for key in NAMES if key in keys), None)
    if "value" in keys and (named is not None or published is not None):
        return _long(raw, days, keys["value"], named, published, path)
    if named is not None or published is not None:
        raise InputError(
            f"expected a column value with {named or published} in {path.name}; found none; give the column of figures "
            "this name"
        )
    columns = [name for name in raw.columns if name != dated and not is_unnamed(name)]
    if not columns:
        raise InputError(f"expected columns of series in {path.name}; found dates only; get the file again")
    vintages = [_VINTAGE.fullmatch(name) for name in columns]
    values = np.column_stack([_numbers(raw[name], path) for name in columns])
    observations = MacroObservations(
        names=tuple(columns),
        codes=np.tile(np.arange(len(columns)), len(days)),
        days=np.repeat(days, len(columns)),
        values=values.ravel(),
        warnings=tuple(f"{path.name}: {note}" for note in warnings),
    )
    return _vintages(observations, [m for m in vintages if m], path) if all(vintages) else observations


def _without_codes(raw: pd.DataFrame, dated: str) -> tuple[pd.DataFrame, list[str]]:
    """Leave out FRED-MD's rows of codes, and the empty lines at the end of its files."""
    labels = raw[dated].astype(object)
    coded = np.array([str(label).strip().lower() in _CODES for label in labels], dtype=bool)
    empty = raw.drop(columns=dated).isna().all(axis=1).to_numpy() & np.array(
        [pd.isna(label) or not str(label).strip() for label in labels], dtype=bool
    )
    warnings = ["its transformation codes are not applied"] if coded.any() else []
    if not (coded | empty).any():
        return raw, warnings
    return raw[~(coded | empty)], warnings


def _days(column: pd.Series, path: Path, *, american: bool) -> NDArray[np.datetime64]:
    if american:
        # month/day/year is read here only, because the format of FRED-MD prescribes it
        column = column.astype(object).map(_iso)
    return days_of(column, path, what="macro series, dated by the day,")


def _iso(text: object) -> object:
    match = _AMERICAN.fullmatch(str(text).strip())
    return f"{match[3]}-{int(match[1]):02d}-{int(match[2]):02d}" if match else text


def _long(
    raw: pd.DataFrame, days: NDArray[np.datetime64], value: str, named: str | None, published: str | None, path: Path
) -> MacroObservations:
    warnings = []
    names: tuple[str, ...] = (stem(path),)
    if named is None:
        codes = np.zeros(len(raw), dtype=np.int64)
    else:
        places, labels = pd.factorize(raw[named].astype(object), use_na_sentinel=False)
        words = ["" if pd.isna(label) else str(label).strip() for label in labels]
        if "" in words:
            row = int(np.argmax(places == words.index(""))) + 1
            raise InputError(f"expected a series in every row of {path.name}; found none in row {row}; add it")
        names = tuple(dict.fromkeys(words))
        codes = np.array([names.index(word) for word in words], dtype=np.int64)[places]
    available = None
    if published is not None:
        available, bare = _moments(raw[published], path)
        if bare:
            warnings.append(f"{path.name}: publication dates without a time of day count from the end of that day, UTC")
    return MacroObservations(names, codes, days, _numbers(raw[value], path), available, tuple(warnings))


def _vintages(observations: MacroObservations, matches: list[re.Match[str]], path: Path) -> MacroObservations:
    """Read ALFRED's columns, each a series as of a day of publication; only changed values are observations."""
    names = tuple(dict.fromkeys(match[1] for match in matches))
    try:
        day = np.array([f"{m[2][:4]}-{m[2][4:6]}-{m[2][6:]}" for m in matches], dtype="datetime64[D]")
    except ValueError as error:
        raise InputError(
            f"expected columns of {path.name} named SERIES_YYYYMMDD; found {error}; correct the header"
        ) from None
    order = np.argsort(day, kind="stable")
    values = observations.values.reshape(-1, len(matches))
    changed = np.zeros(values.shape, dtype=bool)
    for name in names:
        columns = [c for c in order if matches[c][1] == name]
        before = np.full(len(values), np.nan)
        for column in columns:
            figure = values[:, column]
            changed[:, column] = ~np.isnan(figure) & (figure != before)
            before = np.where(np.isnan(figure), before, figure)
    by_vintage = MacroObservations(
        names=names,
        codes=np.array([names.index(m[1]) for m in matches], dtype=np.int64)[observations.codes],
        days=observations.days,
        values=observations.values,
        available=_ends(day)[observations.codes],
        warnings=(*observations.warnings, f"{path.name}: vintages count from the end of the day in their name, UTC"),
    )
    return by_vintage.take(changed.ravel())


def _ends(days: NDArray[np.datetime64]) -> NDArray[np.datetime64]:
    return (days + np.timedelta64(1, "D")).astype("datetime64[ns]")


def _moments(column: pd.Series, path: Path) -> tuple[NDArray[np.datetime64], bool]:
    """Moments in UTC, row by row, and whether any is a day alone, which counts as the midnight at its end."""
    missing = column.isna().to_numpy() | (column.astype(object) == "").to_numpy()
    if missing.any():
        row = int(np.argmax(missing)) + 1
        raise InputError(f"expected a publication date in every row of {path.name}; found none in row {row}; add it")
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return column.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("datetime64[ns]"), False
    if column.dtype.kind == "M":
        column = column.dt.strftime("%Y-%m-%d %H:%M:%S.%f")
    places, texts = pd.factorize(column.astype(object), use_na_sentinel=False)
    moments = np.empty(len(texts), dtype="datetime64[ns]")
    bare = False
    for place, text in enumerate(texts):
        moment = _moment(str(text).strip())
        if moment is None:
            raise InputError(
                f"expected publication dates like 2011-01-03 or 2011-01-03 13:30 in {path.name}; found {shown(text)} "
                f"in row {int(np.argmax(places == place)) + 1}; write year-month-day and the time in UTC"
            )
        moments[place], whole = moment
        bare |= whole
    return moments[places], bare


def _moment(text: str) -> tuple[np.datetime64, bool] | None:
    """Moment in UTC, and whether the text has a day only; None for other texts."""
    match = _MOMENT.fullmatch(text)
    if match is None or not 1700 <= int(match[1]) < 2200:
        return None
    try:
        stamp = pd.Timestamp(text)
    except ValueError:
        return None
    if stamp.tzinfo is not None:
        return np.datetime64(stamp.tz_convert("UTC").tz_localize(None).to_datetime64(), "ns"), False
    whole = stamp == stamp.normalize()
    return np.datetime64((stamp + pd.Timedelta(days=1) if whole else stamp).to_datetime64(), "ns"), whole


def _numbers(column: pd.Series, path: Path) -> NDArray[np.float64]:
    """Figures of a column; FRED writes a dot where there is none."""
    if pd.api.types.is_numeric_dtype(column.dtype) and column.dtype.kind in "iuf":
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        bad = np.isinf(values)
    else:
        texts = [str(value).strip() for value in column.astype(object)]
        missing = np.array([text in (".", *MISSING) for text in texts], dtype=bool) | column.isna().to_numpy()
        values = np.array([np.nan if absent else _number(text) for text, absent in zip(texts, missing, strict=True)])
        bad = ~np.isfinite(values) & ~missing
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            f"expected numbers in column {shown(column.name)} of {path.name}; found {shown(column.iloc[row])} in row "
            f"{row + 1}; correct it, or write . where there is none"
        )
    return np.asarray(values, dtype=np.float64)


def _number(text: str) -> float:
    try:
        # float() accepts underscores, as in 1_000
        return np.nan if "_" in text else float(text)
    except ValueError:
        return np.nan
