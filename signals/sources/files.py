"""Price source `files`: a long table, a wide table of closes, or a folder with a file per ticker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.calendar import as_day, sessions
from signals.common.errors import InputError
from signals.common.storage import sha256_file
from signals.common.text import one_line
from signals.data.corporate_actions import check_actions
from signals.data.panel import check_tickers
from signals.data.price_frame_hints import factor_jumps
from signals.data.price_index import INDEX, count_rows
from signals.data.prices import Prices, check_prices
from signals.sources.action_files import read_actions
from signals.sources.adjustment import actions_factor, chained_factor, close_factor, large_replaced_returns
from signals.sources.factor_files import factors_of
from signals.sources.price_folder import FileNames, list_files, listed, named_after, vendor_names
from signals.tabular.table_files import read_raw, stem
from signals.tabular.table_format import FIELDS, TableFormat
from signals.tabular.table_layouts import TableBars, bars_of
from signals.tabular.text_files import EmptyTableError, reading

__all__ = ["FilesSource"]

QUOTES = ("open", "high", "low", "close")

FIELDS_AND_RETURN = (*FIELDS, "return")


@dataclass(frozen=True, slots=True)
class FilesSource:
    """Prices from text tables (CSV and the like; plain, gzipped or one in a zip archive) or Parquet files.

    Parameters
    ----------
    path : Path or str
        One of

        * a long table: a date and a ticker column, a row per bar;
        * a wide table: a row per date, a column per ticker, closes in the cells (assumed to be adjusted; no volume);
        * the file of one ticker, named after it;
        * a folder of such files; those of its sub-folders when it has none itself, or with `subfolders`.

        Columns are recognised as yfinance (also with two or three header rows, or flattened), pandas, Stooq and many
        vendors write them, whatever their case. Ambiguous tables are refused, and the message names the setting that
        decides. Tables that list the newest day first are reversed. The ticker is the file's name, `AAPL.csv`;
        Stooq's `aapl.us.txt` becomes `AAPL`.
    tickers : sequence of str, optional
        Tickers to load; all by default.
    start, end : str, optional
        First and last day, both inclusive; all days by default.
    calendar : str
        Exchange calendar every date must be a session of.
    on_bad : {"raise", "repair"}
        What to do with bad rows, see `check_prices`.
    return_column : str, optional
        Column of total returns (simple, since the ticker's bar before) in a table of raw prices. Adjusted prices are
        chained from it, starting at each ticker's first bar.
    factor_files : Path or str, optional
        Folder of split and dividend factors of raw prices, one file per ticker (`AAPL_factors.csv` or `aapl.csv`), or
        the factor file of the only ticker; see `signals.sources.factor_files`. Adjusted = raw × factors.
    corporate_actions : Path or str, optional
        File of splits and dividends with the columns `date` (ex-date), `ticker` and `split` (new shares for one old
        one), `dividend` (per raw share held at the close before) or both: for accounts that trade raw prices
        (`broker.dividends = "cash"`). Factor files bring their own.
    file_names : str, optional
        Template of the file names of a folder when they are not the tickers, as `"{ticker}_daily_raw"`, without the
        suffix; `*` stands for any text, as in `"{ticker}-1d-*"`. Other files of the folder are ignored.
    subfolders : bool
        Whether the price files in sub-folders are read too.
    date_format, time_zone, decimal, thousands, header, column_names, ticker_column, layout : optional
        Format of the tables, see `signals.tabular.table_format.TableFormat`.

    Notes
    -----
    Adjusted and raw prices by the columns and files that are given:

    ==========================  =============================================================================
    close and adj_close         all four prices × adj_close / close; raw prices known. Yahoo's close is itself
                                adjusted for splits, so its "raw" prices are as traded but for later splits
    adj_factor                  prices are adjusted already, raw = price / adj_factor (this project's format)
    close and `return_column`   chained; raw prices known
    close and `factor_files`    all four prices × factor; raw prices, splits and dividends known
    close, `corporate_actions`  prices are raw, and are adjusted by them
    adj_close alone             used as close; raw prices unknown
    close alone                 assumed to be adjusted; raw prices unknown
    ==========================  =============================================================================

    Rows without any price are days without a trade: they are left out and counted in a warning. A single missing price
    is an error. Dates of each ticker must ascend within a file. Of a time with a zone the local date is used: midnight
    in New York is that day.
    """

    path: Path | str
    tickers: Sequence[str] | None = None
    start: str | None = None
    end: str | None = None
    calendar: str = "XNYS"
    on_bad: str = "raise"
    return_column: str | None = None
    factor_files: Path | str | None = None
    corporate_actions: Path | str | None = None
    file_names: str | None = None
    subfolders: bool = False
    date_format: str | None = None
    time_zone: str | None = None
    decimal: Literal[".", ","] | None = None
    thousands: Literal[",", ".", "'", " ", "_"] | None = None
    header: int | Sequence[str] | None = None
    column_names: Mapping[str, str] | None = None
    ticker_column: str | None = None
    layout: Literal["long", "wide"] | None = None

    def load(self) -> Prices:
        """Read, adjust and check.

        Returns
        -------
        Prices

        Raises
        ------
        InputError
            Naming the file and what was expected and found in it.
        """
        path = Path(self.path).expanduser()
        first = as_day(self.start, name="start") if self.start is not None else None
        last = as_day(self.end, name="end") if self.end is not None else None
        if first is not None and last is not None and last < first:
            raise InputError(f"expected end on or after start; found start {first} and end {last}; exchange them")
        wanted = _wanted(self.tickers)
        names, form = FileNames(self.file_names), self._format()
        names.check()
        warnings: list[str] = []
        with reading(path):
            paths = self._paths(path, names, wanted, warnings)
            pieces, paths = self._pieces(paths, names, form, warnings)
            bars = _combine(pieces, paths)
            del pieces
            if wanted is not None:
                check_tickers(wanted, bars.names)
        files = {str(file.relative_to(path)) if path.is_dir() else file.name: sha256_file(file) for file in paths}
        try:
            bars = _in_order(_traded(_without_empty(_only(bars, wanted)), warnings))
            if wanted is not None:
                _check_priced(wanted, bars)
            actions = self._actions(files)
            with np.errstate(over="ignore", invalid="ignore"):  # infinite values are refused below, by name
                bars, raw_known, derived = self._adjust(bars, warnings, files, actions)
            bars = _within(bars, first, last)
            if wanted is not None:
                _check_priced(wanted, bars, " from start to end")
            frame = _frame(bars)
            if "open" not in frame.columns:
                warnings.append("there are closes only, no open, high or low")
            prices = check_prices(
                frame,
                calendar=self.calendar,
                source="files",
                raw_known=raw_known,
                close_only="open" not in frame.columns,
                volume_known="volume" in frame.columns,
                on_bad=self.on_bad,
                warnings=warnings,
                files=files,
                actions=derived if actions is None else actions,
            )
        except InputError as error:
            raise InputError(one_line(f"{path.name}: {error}{_more_help(str(error))}")) from None
        sparse = _sparse(prices)
        return replace(prices, warnings=(*prices.warnings, sparse)) if sparse else prices

    def _format(self) -> TableFormat:
        return TableFormat(**{field.name: getattr(self, field.name) for field in fields(TableFormat)}).check()

    def _pieces(
        self, paths: list[Path], names: FileNames, form: TableFormat, warnings: list[str]
    ) -> tuple[list[TableBars], list[Path]]:
        """Read every file; of several files, those without a row are left out and named in a warning."""
        pieces: list[TableBars] = []
        kept: list[Path] = []
        empty: list[str] = []
        failure: EmptyTableError | None = None
        for file in paths:
            try:
                with reading(file):
                    pieces.append(self._read(file, names, form))
                    kept.append(file)
            except EmptyTableError as error:
                failure = failure or error
                empty.append(file.name)
        if failure is not None and not pieces:
            raise failure
        if empty:
            warnings.append(one_line(f"files without any row left out: {listed(empty, 20)}"))
        alone = [
            file
            for file, piece in zip(kept, pieces, strict=True)
            if [n.lower() for n in piece.names] == [stem(file).lower()]
        ]
        if names.template is None and alone and (template := vendor_names(alone)) is not None:
            warnings.append(
                one_line(
                    f'tickers are the names of the files, such as {stem(alone[0])}: set file_names = "{template}" to '
                    "name them by a part of it"
                )
            )
        return pieces, kept

    def _read(self, file: Path, names: FileNames, form: TableFormat) -> TableBars:
        bars = bars_of(
            read_raw(file, form=form),
            file,
            return_column=self.return_column,
            ticker=names.ticker(file),
            form=form,
            calendar=self.calendar,
        )
        return _oldest_first(bars)

    def _paths(self, path: Path, names: FileNames, wanted: tuple[str, ...] | None, warnings: list[str]) -> list[Path]:
        if not path.exists():
            raise InputError(f"expected a price file or folder {path}; found none; correct prices.path")
        if not path.is_dir():
            return [path]
        mixed = (
            self.file_names is None
            and self.factor_files is not None
            and path.resolve() == Path(self.factor_files).expanduser().resolve()
        )

        def is_factors(file: Path) -> bool:
            return mixed and stem(file).lower().endswith(("_factors", "_factor"))

        files = list_files(path, names, subfolders=self.subfolders, is_other=is_factors, warnings=warnings)
        if wanted is not None:
            # Where all files are named after tickers, only those of the wanted ones are read.
            named = {named_after(file, names): file for file in files}
            if len(named) == len(files) and all(ticker in named for ticker in wanted):
                return sorted(named[ticker] for ticker in wanted)
        return files

    def _actions(self, files: dict[str, str]) -> pd.DataFrame | None:
        """Read splits and dividends from the user's own file."""
        if self.corporate_actions is None:
            return None
        path = Path(self.corporate_actions).expanduser()
        if not path.is_file():
            raise InputError(
                f"expected a file of splits and dividends at {path}; found none; correct prices.corporate_actions"
            )
        with reading(path):
            found = read_actions(path)
        files[f"actions/{path.name}"] = sha256_file(path)
        return check_actions(found, calendar=self.calendar)

    def _adjust(
        self, bars: TableBars, warnings: list[str], files: dict[str, str], actions: pd.DataFrame | None
    ) -> tuple[TableBars, bool, pd.DataFrame | None]:
        """Adjust the quotes; also return whether raw prices are known, and the actions behind factor files."""
        columns = dict(bars.columns)
        adjusted, total = columns.pop("adj_close", None), columns.pop("return", None)
        given = [n for n, c in (("adj_close", adjusted), ("adj_factor", columns.get("adj_factor"))) if c is not None]
        if self.return_column is not None:
            given.append(self.return_column)
            if total is None:
                raise InputError(
                    f"expected a column {self.return_column!r} of total returns; found none; correct return_column"
                )
        if self.factor_files is not None:
            given.append("factor files")
        if len(given) > 1:
            raise InputError(
                f"expected one way to adjust prices; found {' and '.join(given)}; drop all columns but one"
            )
        derived: pd.DataFrame | None = None
        if adjusted is not None and "close" not in columns:
            columns["close"] = adjusted
            adjusted = None
        if adjusted is not None:
            columns["adj_factor"] = close_factor(columns["close"], adjusted)
        elif total is not None:
            columns["adj_factor"], filled = chained_factor(
                columns["close"],
                total,
                bars.codes,
                where=lambda row: f"{bars.names[bars.codes[row]]} on {bars.days[row]}",
            )
            warnings.append(f"adjusted prices are chained from the total returns in {self.return_column!r}")
            if filled:
                warnings.append(f"{count_rows(filled)} without a total return: the raw close ratio is used")
                close, rows = columns["close"], large_replaced_returns(columns["close"], total, bars.codes)
                if len(rows):
                    each = [
                        f"{bars.names[bars.codes[row]]} on {bars.days[row]} {close[row] / close[row - 1] - 1:+.1%}"
                        for row in rows.tolist()
                    ]
                    warnings.append(
                        f"{count_rows(len(rows))} of them with a large raw close ratio, which may be a split: "
                        f"{listed(each)}; give their total returns, or leave the tickers out"
                    )
        elif self.factor_files is not None:
            folder = Path(self.factor_files).expanduser()
            columns["adj_factor"], derived = factors_of(folder, bars, warnings, files, self.calendar)
        elif actions is not None and not given and "close" in columns:
            columns["adj_factor"] = actions_factor(bars.days, bars.codes, columns["close"], bars.names, actions)
            warnings.append(
                "adjusted prices are raw prices adjusted by the splits and dividends in prices.corporate_actions"
            )
        else:
            if "adj_factor" in columns and "close" in columns:
                _check_factor(bars, columns)
            return _with(bars, columns), "adj_factor" in columns, None
        factor = np.where(np.isfinite(columns["adj_factor"]), columns["adj_factor"], 1.0)
        for name in QUOTES:
            if name in columns:
                columns[name] = columns[name] * factor
        return _with(bars, columns), True, derived


def _check_factor(bars: TableBars, columns: Mapping[str, NDArray[np.float64]]) -> None:
    """Raise `InputError` for a column adj_factor by which the prices are not adjusted."""
    jumps = factor_jumps(
        columns["close"],
        columns["adj_factor"],
        bars.codes,
        lambda row: f"{bars.names[bars.codes[row]]} on {bars.days[row]}",
    )
    if jumps:
        raise InputError(jumps)


def _sparse(prices: Prices) -> str:
    """Warning for prices most of whose bars are as far apart as weekly or monthly ones; else an empty text."""
    day, ticker = (np.asarray(codes) for codes in prices.frame.index.codes)
    held = prices.frame.index.levels[0].to_numpy().astype("datetime64[D]")
    place = np.searchsorted(sessions(held[0], held[-1], prices.calendar), held)
    bars = np.bincount(ticker)
    first, last = np.full(len(bars), len(held)), np.zeros(len(bars), dtype=np.int64)
    np.minimum.at(first, ticker, day)
    np.maximum.at(last, ticker, day)
    spans = place[last] - place[first]
    gap = float(np.median(spans[bars > 1] / (bars[bars > 1] - 1))) if (bars > 1).any() else 1.0
    if gap < 4:
        return ""
    return (
        f"bars lie {gap:.0f} sessions apart: weekly or monthly bars are taken as daily ones with days without a trade "
        "between them, on which delisting rules and filters of the universe depend"
    )


def _wanted(tickers: Sequence[str] | None) -> tuple[str, ...] | None:
    if tickers is None:
        return None
    if isinstance(tickers, str) or not all(isinstance(ticker, str) for ticker in tickers):
        raise InputError(f'expected tickers as a list of names like ["AAPL", "SPY"]; found {tickers!r}; use a list')
    if not tickers:
        raise InputError("expected at least one ticker; found an empty list; leave tickers out to take all")
    return tuple(sorted(set(tickers)))


def _with(bars: TableBars, columns: dict[str, NDArray[np.float64]]) -> TableBars:
    return replace(bars, columns=columns)


def _take(bars: TableBars, rows: NDArray[np.bool_] | NDArray[np.intp]) -> TableBars:
    columns = {name: values[rows] for name, values in bars.columns.items()}
    return replace(bars, days=bars.days[rows], codes=bars.codes[rows], columns=columns)


def _combine(pieces: list[TableBars], paths: list[Path]) -> TableBars:
    """Combine the rows of all files, which must have the same columns."""
    if len(pieces) == 1:
        return pieces[0]
    for piece, path in zip(pieces, paths, strict=True):
        if set(piece.columns) != set(pieces[0].columns):
            differing = sorted(set(piece.columns) ^ set(pieces[0].columns), key=FIELDS_AND_RETURN.index)
            without = ", ".join(f'{name} = ""' for name in differing if name not in ("close", "return"))
            remedy = f", or set column_names = {{ {without} }} to ignore them" if without else ""
            raise InputError(
                f"expected the same columns in every file of a folder; found {', '.join(pieces[0].columns)} in "
                f"{paths[0].name} and {', '.join(piece.columns)} in {path.name}; put like files together{remedy}"
            )
    names = list(dict.fromkeys(name for piece in pieces for name in piece.names))
    place = {name: code for code, name in enumerate(names)}
    codes = [np.array([place[n] for n in piece.names], dtype=np.int32)[piece.codes] for piece in pieces]
    return TableBars(
        days=np.concatenate([piece.days for piece in pieces]),
        codes=np.concatenate(codes),
        names=names,
        columns={name: np.concatenate([piece.columns[name] for piece in pieces]) for name in pieces[0].columns},
        ignored=tuple(dict.fromkeys(name for piece in pieces for name in piece.ignored)),
        warnings=tuple(dict.fromkeys(note for piece in pieces for note in piece.warnings)),
    )


def _oldest_first(bars: TableBars) -> TableBars:
    """Reverse a table that lists the newest day of every ticker first, if a ticker has three rows or more."""
    if len(bars.days) < 3 or bars.days[0] <= bars.days[-1]:
        return bars
    order = np.argsort(bars.codes, kind="stable")
    step, same = np.diff(bars.days[order]).astype(np.int64), np.diff(bars.codes[order]) == 0
    if (step[same] >= 0).any() or np.bincount(bars.codes).max() < 3:
        return bars
    reversed_bars = _take(bars, np.arange(len(bars.days))[::-1])
    return replace(reversed_bars, warnings=(*bars.warnings, "rows listed newest first were reversed"))


def _without_empty(bars: TableBars) -> TableBars:
    """Leave out adjusted closes, factors and volumes that have no value in any row."""
    empty = [
        name
        for name in ("adj_close", "adj_factor", "volume")
        if name in bars.columns and len(bars.columns) > 1 and np.isnan(bars.columns[name]).all()
    ]
    if not empty:
        return bars
    columns = {name: values for name, values in bars.columns.items() if name not in empty}
    warning = f"columns without any value ignored: {', '.join(empty)}"
    return replace(bars, columns=columns, warnings=(*bars.warnings, warning))


def _more_help(message: str) -> str:
    """Remedy for unknown volumes that keeps rows of known prices; empty for other errors."""
    unknown = message.startswith("expected a number as volume") and "volume = nan" in message
    return ', or column_names = { volume = "" } to keep them without volume' if unknown else ""


def _check_priced(wanted: tuple[str, ...], bars: TableBars, period: str = "") -> None:
    """Raise `InputError` for a requested ticker that has no bar."""
    held = {bars.names[code] for code in np.unique(bars.codes)}
    if missing := [ticker for ticker in wanted if ticker not in held]:
        raise InputError(
            f"expected prices of every ticker in prices.tickers{period}; found none of {listed(missing)}; leave them "
            "out, or get their prices"
        )


def _traded(bars: TableBars, warnings: list[str]) -> TableBars:
    """Leave out rows without any price; warn of ignored columns, rows and tickers."""
    if bars.ignored:
        warnings.append(one_line(f"ignored columns: {listed(bars.ignored, 8)}"))
    warnings.extend(map(one_line, bars.warnings))
    quotes = [bars.columns[name] for name in (*QUOTES, "adj_close") if name in bars.columns]
    empty = np.isnan(quotes[0])
    for quote in quotes[1:]:
        empty &= np.isnan(quote)
    if empty.all():
        raise InputError("expected prices; found none in any row; get the data again")
    if empty.any():
        warnings.append(f"{count_rows(int(empty.sum()))} without any price left out: did not trade")
        bars = _take(bars, ~empty)
    absent = sorted(set(range(len(bars.names))) - set(np.unique(bars.codes).tolist()))
    if absent:
        names = listed([bars.names[code] for code in absent], 20)
        warnings.append(one_line(f"tickers without any price left out: {names}"))
    return bars


def _in_order(bars: TableBars) -> TableBars:
    """Group rows by ticker; raise `InputError` unless those of each ticker are in order of date."""
    order = np.argsort(bars.codes, kind="stable")
    codes, days = bars.codes[order], bars.days[order]
    back = (codes[1:] == codes[:-1]) & (days[1:] < days[:-1])
    if back.any():
        row = int(np.argmax(back))
        raise InputError(
            f"expected the dates of each ticker to ascend; found {days[row + 1]} after {days[row]} for "
            f"{bars.names[codes[row]]} ({count_rows(int(back.sum()))} out of order); sort the file by date"
        )
    return _take(bars, order)


def _only(bars: TableBars, wanted: tuple[str, ...] | None) -> TableBars:
    if wanted is None:
        return bars
    is_wanted = np.array([name in wanted for name in bars.names], dtype=bool)
    if is_wanted.all():
        return bars
    # names of unwanted tickers are removed with their rows, since later steps use the names
    place = np.cumsum(is_wanted, dtype=np.int32) - 1
    kept = _take(bars, is_wanted[bars.codes])
    names = [name for name, is_kept in zip(bars.names, is_wanted, strict=True) if is_kept]
    return replace(kept, codes=place[kept.codes], names=names)


def _within(bars: TableBars, first: np.datetime64 | None, last: np.datetime64 | None) -> TableBars:
    keep = np.ones(len(bars.days), dtype=bool)
    if first is not None:
        keep &= bars.days >= first
    if last is not None:
        keep &= bars.days <= last
    if keep.all():
        return bars
    if not keep.any():
        raise InputError(
            f"expected prices from {first or bars.days.min()} to {last or bars.days.max()}; found them from "
            f"{bars.days.min()} to {bars.days.max()}; choose other dates"
        )
    return _take(bars, keep)


def _frame(bars: TableBars) -> pd.DataFrame:
    """Frame sorted by date and ticker, with the columns that `check_prices` requires."""
    columns = {name: bars.columns[name] for name in (*QUOTES, "volume", "adj_factor") if name in bars.columns}
    quotes = [name for name in QUOTES if name in columns]
    if quotes not in ([*QUOTES], ["close"]):
        aside = ", ".join(f'{name} = ""' for name in quotes if name != "close")
        raise InputError(
            f"expected open, high, low and close, or close alone; found {', '.join(quotes)}; name the others by "
            f"column_names, or set column_names = {{ {aside} }} to read closes alone"
        )
    alphabet = sorted(bars.names)
    place = {name: code for code, name in enumerate(alphabet)}
    rank = np.array([place[name] for name in bars.names], dtype=np.int64)
    days, inverse = np.unique(bars.days, return_inverse=True)
    order = np.argsort(inverse * len(alphabet) + rank[bars.codes], kind="stable")
    index = pd.MultiIndex(
        levels=[pd.DatetimeIndex(days.astype("datetime64[ns]")), pd.Index(alphabet, dtype=object)],
        codes=[inverse[order], rank[bars.codes[order]]],
        names=INDEX,
        verify_integrity=False,
    )
    return pd.DataFrame({name: values[order] for name, values in columns.items()}, index=index, copy=False)
