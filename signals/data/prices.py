"""Checked prices: the table `Prices`, and its checks, `check_prices`.

`Prices` is a checked long table; `Prices.panel()` lays it out as arrays. OHLC are adjusted for splits and
dividends, raw = adjusted / `adj_factor`. An absent row means the ticker did not trade. A row dated *t* is known at
the close of *t*.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.calendar import as_day, sessions
from signals.common.errors import InputError
from signals.common.summary_card import Card
from signals.common.text import one_line, shown
from signals.data.column_names import field_of
from signals.data.corporate_actions import actions_frame, check_actions, check_agreement
from signals.data.duplicate_tickers import duplicate_tickers, duplicate_warning
from signals.data.panel import PRICE_COLUMNS, PricePanel, known_facts, listed, select_actions, shortened
from signals.data.price_frame_hints import factor_jumps, reshaping, shown_layout
from signals.data.price_index import INDEX, canonical_index, check_labels, check_order, count_rows, label_of
from signals.data.price_table import read_table, write_table

__all__ = ["PRICE_COLUMNS", "PricePanel", "Prices", "check_prices"]

QUOTES = PRICE_COLUMNS[:4]

# Adjusting multiplies four rounded numbers by one rounded factor: a high may end this far below its close.
TOLERANCE = 1e-6

# Larger numbers are not plausible as price, factor or volume, and products of them overflow.
LARGEST = 1e18

Values = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Prices:
    """Checked prices, as returned by `check_prices`.

    Parameters
    ----------
    frame : DataFrame
        Index (date, ticker), unique and sorted; columns `PRICE_COLUMNS` in float64 without NaN.
    source : str
        `"files"`, `"simulated"` or the caller's own name.
    simulated : bool
        Whether the prices are simulated, which every output states.
    raw_known : bool
        Whether `adj_factor` came with the data; otherwise it is 1.0 and adjusted prices are used as raw ones.
    close_only : bool
        Whether only closes are known; then open = high = low = close.
    volume_known : bool
        Whether volume came with the data; otherwise it is 0.0.
    calendar : str
        Exchange calendar whose sessions the dates are.
    warnings : tuple of str
        Warnings for the report: what was repaired, dropped or assumed.
    files : mapping of str to str
        Base name of each input file and its SHA-256.
    actions : DataFrame, optional
        Splits and dividends, None when they are unknown: index (date, ticker), sorted and unique; columns `split` (new
        shares for one old one, 1.0 for none) and `dividend` (account currency per raw share held at the close before,
        0.0 for none). The date is the ex-date: the first session whose raw price is without it, traded or not. See
        `signals.data.corporate_actions`.
    """

    frame: pd.DataFrame
    source: str
    simulated: bool
    raw_known: bool
    close_only: bool
    volume_known: bool
    calendar: str
    warnings: tuple[str, ...]
    files: Mapping[str, str]
    actions: pd.DataFrame | None = None

    @property
    def tickers(self) -> tuple[str, ...]:
        """All tickers, sorted."""
        return tuple(self.frame.index.levels[1])

    @property
    def first(self) -> np.datetime64:
        """First session with a bar."""
        return np.datetime64(self.frame.index.levels[0][0], "D")

    @property
    def last(self) -> np.datetime64:
        """Last session with a bar."""
        return np.datetime64(self.frame.index.levels[0][-1], "D")

    def card(self) -> Card:
        """Summary of the prices in a few lines, for a prompt or a notebook."""
        days = len(self.frame.index.levels[0])
        facts = [
            ("source", shortened(self.source, 60)),
            ("tickers", listed(self.tickers)),
            ("period", f"{self.first} to {self.last}, bars on {days:,} sessions of {self.calendar}"),
            ("bars", f"{len(self.frame):,}"),
            ("known", known_facts(self)),
        ]
        return Card(f"Prices{' (simulated)' if self.simulated else ''}", facts, self.warnings)

    def __repr__(self) -> str:
        return self.card().text()

    def _repr_html_(self) -> str:
        return self.card().html()

    def panel(self) -> PricePanel:
        """Lay the table out as sessions × tickers arrays, all sessions of the calendar from first to last."""
        levels, codes = self.frame.index.levels, self.frame.index.codes
        held = levels[0].to_numpy().astype("datetime64[D]")
        days = sessions(held[0], held[-1], self.calendar)
        shape = (len(days), len(levels[1]))
        cell = np.searchsorted(days, held)[codes[0]] * shape[1] + codes[1]

        def lay(column: str) -> Values:
            array = np.full(shape, np.nan)
            array.ravel()[cell] = self.frame[column].to_numpy()
            array.setflags(write=False)
            return array

        close = lay("close")
        return PricePanel(
            dates=days,
            tickers=tuple(levels[1]),
            open=close if self.close_only else lay("open"),
            high=close if self.close_only else lay("high"),
            low=close if self.close_only else lay("low"),
            close=close,
            volume=lay("volume"),
            adj_factor=lay("adj_factor"),
            raw_known=self.raw_known,
            close_only=self.close_only,
            volume_known=self.volume_known,
            calendar=self.calendar,
            actions=self.actions,
        )

    def until(self, date: Any) -> Prices:
        """Rows up to and including `date`, without any trace of later rows.

        Raises
        ------
        InputError
            When no row is left.
        """
        day = as_day(date)
        if day < self.first:
            raise InputError(f"expected a date from {self.first} on, where prices begin; found {day}")
        held = self.frame.index.levels[0].to_numpy().astype("datetime64[D]")
        rows = np.searchsorted(self.frame.index.codes[0], np.searchsorted(held, day, side="right"))
        kept = self.frame.iloc[: int(rows)]
        # unused levels would still contain the names of tickers listed later
        index = canonical_index(kept.index)
        actions = None if self.actions is None else select_actions(self.actions, day, index.levels[1])
        return replace(self, frame=kept.set_axis(index, axis=0), actions=actions)

    def meta(self) -> dict[str, Any]:
        """All fields but the table, as plain JSON."""
        return {
            "source": self.source,
            "simulated": self.simulated,
            "raw_known": self.raw_known,
            "close_only": self.close_only,
            "volume_known": self.volume_known,
            "calendar": self.calendar,
            "warnings": list(self.warnings),
            "files": dict(self.files),
            **({} if self.actions is None else {"actions": len(self.actions)}),
        }

    def save(self, path: Path) -> None:
        """Write the table as canonical Parquet: equal prices give equal bytes. `load` needs `meta()` as well."""
        write_table(Path(path), self.frame, self.actions)

    @classmethod
    def load(cls, path: Path, meta: Mapping[str, Any]) -> Prices:
        """Read what `save` wrote, together with its `meta()`.

        The rows are not checked again: `check_prices` has checked them, and the content store verifies their hash.

        Raises
        ------
        InputError
            When the file is missing, damaged or not a price table, or `meta` lacks an entry.
        """
        wanted = ("source", "simulated", "raw_known", "close_only", "volume_known", "calendar", "warnings", "files")
        if missing := [name for name in wanted if name not in meta]:
            raise InputError(
                f"expected {', '.join(missing)} in the description of {path}; found none; load the prices again"
            )
        frame, actions = read_table(Path(path), meta.get("actions"))
        return cls(
            frame=frame,
            source=str(meta["source"]),
            simulated=bool(meta["simulated"]),
            raw_known=bool(meta["raw_known"]),
            close_only=bool(meta["close_only"]),
            volume_known=bool(meta["volume_known"]),
            calendar=str(meta["calendar"]),
            warnings=tuple(meta["warnings"]),
            files=dict(meta["files"]),
            actions=actions,
        )


def check_prices(
    frame: pd.DataFrame,
    *,
    calendar: str = "XNYS",
    source: str = "frame",
    simulated: bool = False,
    raw_known: bool | None = None,
    close_only: bool = False,
    volume_known: bool = True,
    on_bad: str = "raise",
    warnings: Iterable[str] = (),
    files: Mapping[str, str] | None = None,
    actions: pd.DataFrame | None = None,
) -> Prices:
    """Check a table of prices, and return it as `Prices`.

    Parameters
    ----------
    frame : DataFrame
        Index (date, ticker) sorted by both; columns `open high low close volume adj_factor`, daily bars, adjusted
        prices, naive dates. `adj_factor` may be absent (raw prices are then unknown), `volume` when `volume_known`
        is False, and `open high low` when `close_only` is True.
    calendar : str
        Exchange calendar every date must be a session of.
    source, simulated, close_only, volume_known, warnings, files
        Fields of the result, see `Prices`.
    raw_known : bool, optional
        Whether `adj_factor` came with the data; by default whether the column is there.
    on_bad : {"raise", "repair"}
        `"repair"` widens high and low to contain open and close, and drops rows with a missing or non-positive
        price, a missing or negative volume, a bad `adj_factor`, or a date that is not a session; each kind is counted
        in a warning. Wrong columns, bad labels, duplicate and unsorted rows are refused either way, since their repair
        would be a guess. Rows with a volume of zero stay, even when the price did not move.
    actions : DataFrame, optional
        Splits and dividends, see `signals.data.corporate_actions`; those of other tickers, and before the first or
        after the last session, are left out. They are compared with `adj_factor` where raw prices are known.

    Returns
    -------
    Prices

    Raises
    ------
    InputError
        One line naming ticker, date, column and value of the first offender, how many there are, and the remedy.

    Notes
    -----
    A high or low that misses open or close by no more than 1e-6 of the price is rounding of adjusted data: it is
    widened with a warning, never refused. Tickers with the same or nearly the same returns are named in a warning, see
    `signals.data.duplicate_tickers`.
    """
    if on_bad not in ("raise", "repair"):
        raise InputError(f'expected on_bad = "raise" or "repair"; found {on_bad!r}; choose one')
    if not isinstance(frame, pd.DataFrame):
        raise InputError(f"expected prices as a pandas DataFrame; found {type(frame).__name__}; build a frame")
    if not len(frame):
        raise InputError("expected at least one row of prices; found none; choose other dates or tickers")
    if not isinstance(frame.index, pd.MultiIndex) or tuple(frame.index.names) != INDEX:
        raise InputError(f"expected the index levels date, ticker; found {shown_layout(frame)}; use {reshaping(frame)}")
    check_labels(frame.index)
    columns, known = _columns(frame, raw_known=raw_known, close_only=close_only, volume_known=volume_known)
    index = canonical_index(frame.index)
    check_order(index)

    warnings = [str(warning) for warning in warnings]
    keep = np.ones(len(frame), dtype=bool)

    def drop(bad: Flags, expected: str, column: str, remedy: str = "correct the data") -> None:
        bad = bad & keep
        if not bad.any():
            return
        row, rows = int(np.argmax(bad)), count_rows(int(bad.sum()))
        found = f"{column} = {columns[column][row]:.10g}" if column in columns else "a bar"
        if on_bad == "raise":
            raise InputError(
                f"expected {expected}; found {found} for {label_of(index, row)} ({rows}); {remedy}, or set "
                'on_bad = "repair" to drop such rows'
            )
        warnings.append(f"{rows} dropped: expected {expected} (first: {found} for {label_of(index, row)})")
        keep[bad] = False

    for name, value in columns.items():
        if close_only and name in ("open", "high", "low"):
            continue
        # minimum and maximum show NaN and infinities too, and are much cheaper than masks when nothing is wrong
        low, high = float(value.min()), float(value.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            drop(~np.isfinite(value), f"a number as {name}", name)
        if name == "volume" and not low >= 0:
            drop(value < 0, "volume of at least 0", name)
        if name != "volume" and not low > 0:
            drop(value <= 0, f"{name} above 0", name)
        least = 0.0 if name == "volume" else 1 / LARGEST
        if not (low >= least and high <= LARGEST):
            drop((value > LARGEST) | (value < least), f"{name} between {least:g} and {LARGEST:g}", name)
    days = index.levels[0].to_numpy().astype("datetime64[D]")
    closed = ~np.isin(days, sessions(days[0], days[-1], calendar))
    if closed.any():
        drop(closed[index.codes[0]], f"dates that are sessions of {calendar}", "date", _calendar_remedy(days[closed]))
    if not close_only:
        _contain(columns, keep, lambda row: label_of(index, row), on_bad, warnings)

    if not keep.any():
        raise InputError(
            f"expected prices; found no valid row among {count_rows(len(frame))} ({warnings[-1]}); correct the data"
        )
    if not keep.all():
        close = columns["close"][keep]
        columns = {n: close if close_only and n in QUOTES else value[keep] for n, value in columns.items()}
        index = canonical_index(index[keep])
    if known and (
        jumps := factor_jumps(columns["close"], columns["adj_factor"], index.codes[1], partial(label_of, index))
    ):
        warnings.append(jumps)
    for value in columns.values():
        value.setflags(write=False)
    checked = pd.DataFrame(columns, index=index, copy=False)
    duplicates = duplicate_warning(duplicate_tickers(checked))
    if duplicates and duplicates not in warnings:
        warnings.append(duplicates)
    if actions is not None:
        actions = _actions(check_actions(actions, calendar=calendar), index)
        if known:
            warnings += check_agreement(checked, actions)
    return Prices(
        frame=checked,
        source=source,
        simulated=simulated,
        raw_known=known,
        close_only=close_only,
        volume_known=volume_known,
        calendar=calendar,
        warnings=tuple(warnings),
        files=dict(files or {}),
        actions=actions,
    )


def _actions(actions: pd.DataFrame, index: pd.MultiIndex) -> pd.DataFrame:
    """Select the splits and dividends of the tickers that have prices, from the first session to the last."""
    days, tickers = index.levels
    kept = select_actions(actions, np.datetime64(days[-1], "D"), tickers)
    kept = kept[kept.index.get_level_values("date") >= days[0]]
    return kept.set_axis(canonical_index(kept.index), axis=0) if len(kept) else actions_frame(())


def _columns(
    frame: pd.DataFrame, *, raw_known: bool | None, close_only: bool, volume_known: bool
) -> tuple[dict[str, Values], bool]:
    """Columns as new float64 arrays, in order, and whether raw prices are known."""
    optional = {
        "adj_factor": not raw_known,
        "volume": not volume_known,
        "open": close_only,
        "high": close_only,
        "low": close_only,
    }
    names = list(frame.columns)
    missing = [name for name in PRICE_COLUMNS if name not in names and not optional.get(name)]
    extra = [name for name in names if name not in PRICE_COLUMNS]
    if missing or extra or len(set(names)) != len(names):
        lower = {str(name).lower() for name in names}
        remedy = f"add {', '.join(missing)}" if missing else "drop or rename the others"
        if missing and lower >= set(missing):
            remedy = "use rename(columns=str.lower)"
        elif not missing and len(set(names)) == len(names):
            remedy = f"drop or rename the others: use filter(items={[name for name in PRICE_COLUMNS if name in names]})"
            if any((field_of(name) or ("",))[0] == "adj_close" for name in extra):
                remedy = f'adj_close is supported by load_prices(source="files") only; {remedy}'
        raise InputError(
            f"expected the columns {', '.join(PRICE_COLUMNS)}, each once; found "
            f"{one_line(', '.join(map(str, names))) or 'none'}; {remedy}"
        )
    columns = {"close": _floats(frame["close"])}
    for name in PRICE_COLUMNS:
        if close_only and name in QUOTES:
            columns[name] = columns["close"]
        elif name in names:
            columns[name] = _floats(frame[name])
        else:
            columns[name] = np.full(len(frame), 1.0 if name == "adj_factor" else 0.0)
    return {name: columns[name] for name in PRICE_COLUMNS}, "adj_factor" in names if raw_known is None else raw_known


def _calendar_remedy(closed: NDArray[np.datetime64]) -> str:
    """Propose a calendar for rows on days that are no sessions; rows on weekends suggest trading on every day."""
    weekends = int((~np.is_busday(closed)).sum())
    if weekends and weekends >= len(closed) / 2:
        return 'set calendar = "24/7" if the market has no closing days'
    return "set calendar to that of the exchange, correct the data"


def _floats(column: pd.Series) -> Values:
    dtype = column.dtype
    if not pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype) or dtype.kind == "c":
        cells = column.astype(object)
        first = next((cell for cell in cells if not isinstance(cell, int | float) or cell is True), cells.iloc[0])
        raise InputError(f"expected numbers in column {column.name}; found {shown(first)} ({dtype}); convert it first")
    return np.array(column.to_numpy(dtype=np.float64, na_value=np.nan))


def _contain(
    columns: dict[str, Values], keep: Flags, where: Callable[[int], str], on_bad: str, warnings: list[str]
) -> None:
    """Check that high and low contain open and close; raise `InputError`, or widen them with a warning."""
    opened, high, low, close = (columns[name] for name in QUOTES)
    # low <= min(open, close) and max(open, close) <= high put low below high by themselves
    top, bottom = np.maximum(opened, close), np.minimum(opened, close)
    with np.errstate(over="ignore"):  # rows that are dropped later may have any values
        too_low, too_high = high < top * (1 - TOLERANCE), low > bottom * (1 + TOLERANCE)
    for name, value, bound, bad, far, relation in (
        ("high", high, top, high < top, too_low, "at least open"),
        ("low", low, bottom, low > bottom, too_high, "at most open"),
    ):
        wrong, close_enough = far & keep, bad & keep & ~far
        if wrong.any():
            row, rows = int(np.argmax(wrong)), count_rows(int(wrong.sum()))
            found = f"{name} = {value[row]:.10g} and {bound[row]:.10g} for {where(row)}"
            if on_bad == "raise":
                raise InputError(
                    f"expected {name} {relation} and close; found {found} ({rows}); correct the data, or set "
                    f'on_bad = "repair" to widen {name}'
                )
            warnings.append(f"{rows} with {name} widened to contain open and close (first: {found})")
        if close_enough.any():
            rows = count_rows(int(close_enough.sum()))
            warnings.append(f"{rows} with {name} widened within rounding (1e-6 of the price)")
        value[bad] = bound[bad]
