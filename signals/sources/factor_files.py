"""Factor files: split and dividend factors of raw prices, in the format of LEAN (QuantConnect).

A line has a date, a price factor (dividends), a split factor and optionally the raw close of that date. It applies to
days up to and including its date; adjusted price = raw price × price factor × split factor. There is no header.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.calendar import sessions
from signals.common.errors import InputError
from signals.common.storage import sha256_file
from signals.common.text import shown
from signals.data.corporate_actions import actions_frame, is_simple, simple_ratio
from signals.tabular.date_columns import parse_day
from signals.tabular.table_files import is_price_file, stem
from signals.tabular.table_layouts import TableBars
from signals.tabular.text_files import open_text, reading

__all__ = ["FactorTable", "factors_of", "find_factor_files", "read_factors"]

Values = NDArray[np.float64]

# No file of one line per dividend and split is longer.
MOST_LINES = 100_000

# Factors have seven digits, so that smaller changes are rounding, not dividends.
SMALLEST = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class FactorTable:
    """Factors of one ticker.

    Parameters
    ----------
    name : str
        Base name of the file.
    days : ndarray of datetime64[D], shape (n,)
        Last day to which each line applies, ascending.
    price, split : ndarray of float64, shape (n,)
        Price factor (dividends) and split factor.
    reference : ndarray of float64, shape (n,)
        Raw close on the line's day, NaN where none is given.
    """

    name: str
    days: NDArray[np.datetime64]
    price: Values
    split: Values
    reference: Values

    @property
    def factor(self) -> Values:
        """Price factor × split factor."""
        return np.asarray(self.price * self.split)

    def at(self, days: NDArray[np.datetime64]) -> Values:
        """Factor of each day: that of the first line dated on or after it.

        Raises
        ------
        InputError
            For a day beyond the last line.
        """
        line = np.searchsorted(self.days, days)
        if (line == len(self.days)).any():
            late = days[line == len(self.days)].min()
            raise InputError(
                f"expected factors for every bar; found none for {late} in {self.name}, whose last line is of "
                f"{self.days[-1]}; get a newer file, or set prices.end"
            )
        return np.asarray(self.factor[line])

    def actions(
        self, name: str, days: NDArray[np.datetime64], close: Values, calendar: str
    ) -> list[tuple[np.datetime64, str, float, float]]:
        """Recover the splits and dividends from which the factors were computed.

        A price factor is that of the next line × (1 − dividend / raw close of the line's day), a split factor that of
        the next line × old shares for one new one. The ex-date is the session after the line's day. Split ratios are
        replaced by the simple fraction they approximate; dividends are as precise as factors of seven digits allow.
        Without a bar on the line's day its reference price is used.

        Parameters
        ----------
        name : str
            The ticker.
        days, close : ndarray, shape (n,)
            Bars of the ticker in order of date, raw closes.
        calendar : str
            Exchange calendar.

        Returns
        -------
        list of (ex-date, ticker, split, dividend)

        Raises
        ------
        InputError
            For a price factor above the next one, which no dividend explains.
        """
        rows = []
        trading = sessions(days[0], days[-1], calendar)
        for row in range(len(self.days) - 1):
            paid, ratio = 1.0 - self.price[row] / self.price[row + 1], self.split[row + 1] / self.split[row]
            after = int(np.searchsorted(trading, self.days[row], side="right"))
            if self.days[row] < days[0] or after == len(trading) or (abs(paid) < SMALLEST and ratio == 1.0):
                continue
            if not np.isfinite(ratio) or ratio <= 0.0:
                raise InputError(
                    f"expected split factors whose ratio is a number in {self.name}; found {self.split[row]:g} before "
                    f"{self.split[row + 1]:g} on {self.days[row]}; get the file again"
                )
            if paid <= -SMALLEST:
                raise InputError(
                    f"expected price factors that ascend in {self.name}; found {self.price[row]:g} before "
                    f"{self.price[row + 1]:g} on {self.days[row]}; get the file again"
                )
            last = int(np.searchsorted(days, self.days[row], side="right")) - 1
            # the bar's own close, so that raw and adjusted prices give one total return
            quoted = days[last] == self.days[row] or not self.reference[row] > 0
            held = close[last] if quoted else self.reference[row]
            rows.append((trading[after], name, simple_ratio(ratio), max(paid, 0.0) * held if paid > SMALLEST else 0.0))
        return rows

    def disagreements(self, days: NDArray[np.datetime64], close: Values) -> tuple[int, int, str]:
        """Compare reference prices with raw closes.

        Parameters
        ----------
        days, close : ndarray, shape (n,)
            Bars of the ticker in order of date.

        Returns
        -------
        wrong, compared : int
            Lines whose reference is more than 1 % off, and lines that could be compared.
        first : str
            The first of the former in words.
        """
        place = np.minimum(np.searchsorted(days, self.days), len(days) - 1)
        known = (days[place] == self.days) & (self.reference > 0) & (close[place] > 0)
        off = known & (np.abs(close[place] / np.where(known, self.reference, 1.0) - 1) > 0.01)
        if not off.any():
            return 0, int(known.sum()), ""
        line = int(np.argmax(off))
        first = f"{close[place[line]]:g} and {self.reference[line]:g} on {self.days[line]}"
        return int(off.sum()), int(known.sum()), first


def find_factor_files(path: Path, tickers: Sequence[str]) -> dict[str, Path]:
    """Factor file of each ticker.

    Parameters
    ----------
    path : Path
        A folder with `aapl.csv` or `AAPL_factors.csv` for each ticker, in any case; or one file, for one ticker.
    tickers : sequence of str
        Tickers that need one.

    Raises
    ------
    InputError
        When a ticker has none, or has two.
    """
    if not path.exists():
        raise InputError(
            f"expected a factor file or a folder of them at {path}; found none; correct prices.factor_files"
        )
    if not path.is_dir():
        if len(tickers) != 1:
            raise InputError(
                f"expected one factor file per ticker; found the file {path.name} for {len(tickers):,} tickers; name "
                "their folder"
            )
        return {tickers[0]: path}
    named: dict[str, list[Path]] = {}
    plain: dict[str, list[Path]] = {}
    for file in sorted(path.iterdir()):
        if file.is_file() and is_price_file(file) and not file.name.lower().endswith(".parquet"):
            key = stem(file).lower()
            ending = next((e for e in ("_factors", "_factor") if key.endswith(e)), None)
            (named if ending else plain).setdefault(key.removesuffix(ending or ""), []).append(file)
    paths: dict[str, Path] = {}
    for ticker in tickers:
        files = named.get(ticker.lower()) or plain.get(ticker.lower()) or []
        if len(files) != 1:
            what = f"{files[0].name} and {files[1].name}" if files else "none"
            raise InputError(
                f"expected one factor file named after each ticker in {path}, like {ticker}_factors.csv; found {what} "
                f"for {ticker}; add it, or choose tickers"
            )
        paths[ticker] = files[0]
    return paths


def factors_of(
    path: Path, bars: TableBars, warnings: list[str], files: dict[str, str], calendar: str = "XNYS"
) -> tuple[Values, pd.DataFrame | None]:
    """Factor of every bar from the factor file of its ticker, and the splits and dividends behind the factors.

    Parameters
    ----------
    path : Path
        Folder of factor files, or the factor file of the only ticker.
    bars : TableBars
        Raw bars, those of a ticker together and in order of date.
    warnings : list of str
        A warning is appended for each ticker whose factor file does not agree with its prices.
    files : dict of str to str
        The SHA-256 of each factor file is added.
    calendar : str
        Exchange calendar, for ex-dates.

    Returns
    -------
    factor : ndarray of float64, shape (n_bars,)
    actions : DataFrame or None
        None, with a warning, when the factors do not correspond to splits and dividends.

    Raises
    ------
    InputError
        As `find_factor_files`, `read_factors` and `FactorTable.at`.
    """
    held = np.unique(bars.codes)
    paths = find_factor_files(path, [bars.names[code] for code in held])
    factor = np.empty(len(bars.days))
    close = bars.columns["close"]
    actions: list[tuple[np.datetime64, str, float, float]] | None = []
    for code in held:
        name = bars.names[code]
        table = read_factors(paths[name])
        files[f"factors/{table.name}"] = sha256_file(paths[name])
        rows = slice(*np.searchsorted(bars.codes, [code, code + 1]))
        factor[rows] = table.at(bars.days[rows])
        try:
            if actions is not None:
                actions += table.actions(name, bars.days[rows], close[rows], calendar)
        except InputError as error:
            warnings.append(f"splits and dividends are not known: {error}")
            actions = None
        wrong, compared, first = table.disagreements(bars.days[rows], close[rows])
        if wrong:
            warnings.append(
                f"{table.name}: {wrong} of {compared} reference prices differ from the raw close of {name} by more "
                f"than 1 % ({first}): perhaps the factors of another security"
            )
    warnings.append(f"adjusted prices are raw prices times the factors of {len(held):,} factor files")
    odd = [row for row in actions or () if not is_simple(row[2])]
    if odd:
        day, name, ratio, _ = odd[0]
        warnings.append(
            f"{len(odd)} splits are not simple ratios of shares (first: {ratio:.6g} for 1 of {name} on {day}): the "
            "ratios of the factor files are used"
        )
    return factor, None if actions is None else actions_frame(actions)


def read_factors(path: Path) -> FactorTable:
    """Read one factor file.

    Raises
    ------
    InputError
        For another kind of file, dates that do not ascend, or a factor that is not a number above zero.
    """
    days: list[np.datetime64] = []
    rows: list[tuple[float, float, float]] = []
    with reading(path), open_text(path) as handle:
        try:
            for number, row in enumerate(csv.reader(handle), start=1):
                if not row:
                    continue
                if number > MOST_LINES:
                    raise InputError(
                        f"expected a line per dividend and split in {path.name}; found more than {MOST_LINES:,}; "
                        "name the factor file"
                    )
                day, *values = _line(row, number, path)
                if days and day <= days[-1]:
                    raise InputError(
                        f"expected ascending dates in {path.name}; found {day} after {days[-1]} in line {number}; "
                        "sort it"
                    )
                days.append(day)
                rows.append((values[0], values[1], values[2]))
        except csv.Error as error:
            raise InputError(
                f"expected factors in {path.name}; found a damaged line ({error}); get it again"
            ) from error
    if not days:
        raise InputError(f"expected factors in {path.name}; found no line; get it again")
    price, split, reference = np.array(rows).T
    return FactorTable(path.name, np.array(days), price, split, reference)


def _line(row: list[str], number: int, path: Path) -> tuple[np.datetime64, float, float, float]:
    day = parse_day(row[0])
    values = [_number(cell) for cell in row[1:]]
    good = day is not None and len(values) in (2, 3) and all(0 < value < math.inf for value in values[:2])
    if day is None or not good:
        raise InputError(
            f"expected date, price factor, split factor and perhaps a reference price in {path.name}; found "
            f"{shown(','.join(row))} in line {number}; get the file again"
        )
    return day, values[0], values[1], values[2] if len(values) == 3 and values[2] > 0 else math.nan


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
