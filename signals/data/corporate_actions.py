"""Splits and dividends: what they are, the door they pass, how they belong to adjustment factors, and raw prices.

Actions are a table: index (date, ticker), unique and sorted; `split`, new shares for one old one (1.0: none);
`dividend`, account currency per raw share held at the close before (0.0: none). The date is the ex-date: the first
session whose raw price is without it, also when the ticker did not trade on it. A share held at the close before is
worth `(price − dividend) / split` per new share on that date, if nothing else happened.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.calendar import sessions
from signals.common.errors import InputError
from signals.common.text import one_line
from signals.data.panel import PRICE_COLUMNS, PricePanel
from signals.data.price_index import INDEX, canonical_index, check_labels, check_order, label_of

__all__ = [
    "ACTION_COLUMNS",
    "Steps",
    "actions_frame",
    "check_actions",
    "check_agreement",
    "check_raw_known",
    "is_simple",
    "raw_panel",
    "simple_ratio",
    "steps_of",
]

ACTION_COLUMNS = ("split", "dividend")

# Ratios of splits that were written with six digits; beyond a hundred for a hundred any number is near a fraction.
ROUNDING = 1e-5
MOST_SHARES = 100

# Factors of vendors are rounded, and dividends too: what moves a price by less than this is no disagreement.
TOLERANCE = 2e-3

# A split that adjustment factors show by less than half is not in them, however rounded they are.
NOTABLE_SPLIT = 0.2

# Raw prices have fewer digits than this; rounding to them gives back the numbers that were delivered.
DIGITS = 11

LARGEST = 1e9

Values = NDArray[np.float64]


def simple_ratio(ratio: float, tolerance: float = ROUNDING) -> float:
    """Give a rounded ratio of shares back as the simple fraction it stands for; others stay as they are.

    >>> simple_ratio(7.000007), simple_ratio(0.333333), simple_ratio(1.498935)
    (7.0, 0.3333333333333333, 1.498935)
    """
    exact = Fraction(ratio)
    for most in (1, 2, 3, 4, 5, 8, 10, 20, 50, MOST_SHARES):
        near = exact.limit_denominator(most)
        if near.numerator <= MOST_SHARES and abs(near - exact) <= tolerance * exact:
            return float(near)
    return ratio


def is_simple(ratio: float) -> bool:
    """Whether a ratio of shares is one of whole numbers, the second up to a hundred.

    >>> is_simple(1 / 3), is_simple(1.498935)
    (True, False)
    """
    return float(Fraction(ratio).limit_denominator(MOST_SHARES)) == ratio


def actions_frame(rows: Iterable[tuple[Any, str, float, float]]) -> pd.DataFrame:
    """Table of (ex-date, ticker, split, dividend), in any order; those of one ticker on one day are joined.

    The earlier of two comes first; the dividend of the later is then per share it has made.
    """
    joined: dict[tuple[np.datetime64, str], tuple[float, float]] = {}
    for day, ticker, split, dividend in rows:
        key = (np.datetime64(day, "D"), ticker)
        before = joined.get(key, (1.0, 0.0))
        joined[key] = (before[0] * split, before[1] + before[0] * dividend)
    found = sorted((key, value) for key, value in joined.items() if value != (1.0, 0.0))
    index = pd.MultiIndex(
        levels=[pd.DatetimeIndex([], dtype="datetime64[ns]"), pd.Index([], dtype=object)], codes=[[], []], names=INDEX
    )
    if found:
        days = np.array([key[0] for key, _ in found], dtype="datetime64[ns]")
        names = np.array([key[1] for key, _ in found], dtype=object)
        index = canonical_index(pd.MultiIndex.from_arrays([pd.DatetimeIndex(days), names], names=INDEX))
    values = np.array([value for _, value in found], dtype=np.float64).reshape(-1, 2)
    return pd.DataFrame(values, index=index, columns=pd.Index(list(ACTION_COLUMNS), dtype=object))


def check_actions(frame: pd.DataFrame, *, calendar: str = "XNYS") -> pd.DataFrame:
    """Let splits and dividends in, or say what is wrong with them.

    Parameters
    ----------
    frame : DataFrame
        As at the head of this module; a column may be missing, a cell may be NaN: none.
    calendar : str
        Exchange calendar every ex-date must be a session of.

    Returns
    -------
    DataFrame
        Sorted, without rows in which nothing happens.

    Raises
    ------
    InputError
        One line: other labels or columns, two rows of one ticker and date, a split that is no number above 0, a
        dividend that is no number from 0 on, a date that is no session.
    """
    if not isinstance(frame, pd.DataFrame):
        raise InputError(f"expected actions as a pandas DataFrame; found {type(frame).__name__}; build a frame")
    names = [str(name) for name in frame.columns]
    if not names or not set(names) <= set(ACTION_COLUMNS) or len(set(names)) < len(names):
        raise InputError(
            f"expected the columns {', '.join(ACTION_COLUMNS)} of actions; found "
            f"{one_line(', '.join(names)) or 'none'}; rename or drop the others"
        )
    if not len(frame):
        return actions_frame(())
    check_labels(frame.index)
    index = canonical_index(frame.index)
    check_order(index)
    columns = {}
    for name, none in zip(ACTION_COLUMNS, (1.0, 0.0), strict=True):
        if name in frame.columns and not pd.api.types.is_numeric_dtype(frame[name].dtype):
            raise InputError(f"expected numbers in column {name} of actions; found {frame[name].dtype}; convert it")
        given = (
            frame[name].to_numpy(np.float64, na_value=np.nan) if name in frame.columns else np.full(len(frame), none)
        )
        columns[name] = np.where(np.isnan(given), none, given)
        good = (columns[name] > 0) & (columns[name] >= 1 / LARGEST) if name == "split" else columns[name] >= 0
        good &= columns[name] <= LARGEST
        if not good.all():
            row = int(np.argmin(good))
            what = "a split as new shares for one old one, above 0" if name == "split" else "a dividend of at least 0"
            raise InputError(f"expected {what}; found {columns[name][row]:g} for {label_of(index, row)}; mend it")
    days = index.levels[0].to_numpy().astype("datetime64[D]")
    closed = ~np.isin(days, sessions(days[0], days[-1], calendar))
    if closed.any():
        row = int(np.argmax(closed[np.asarray(index.codes[0])]))
        raise InputError(
            f"expected ex-dates that are sessions of {calendar}; found {label_of(index, row)}; write the first session "
            "without the dividend, or in new shares"
        )
    columns["split"] = np.array([simple_ratio(value, 2e-6) if value != 1.0 else 1.0 for value in columns["split"]])
    keep = (columns["split"] != 1.0) | (columns["dividend"] != 0.0)
    made = pd.DataFrame(columns, index=index).set_axis(pd.Index(list(ACTION_COLUMNS), dtype=object), axis=1)
    return made if keep.all() else made[keep].set_axis(canonical_index(index[keep]), axis=0)


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """From each bar to the next one of its ticker: what actions between them make of one raw price.

    Parameters
    ----------
    order : ndarray of int, shape (n_bars,)
        Rows of the table by ticker, then date.
    inside : ndarray of bool, shape (n_bars,)
        Whether the bar in `order` has one of its ticker before it.
    step : ndarray of float64, shape (n_bars,)
        (raw price before − dividends) / splits, as a fraction of the raw price before; 1.0 where nothing happened,
        not above 0 where the dividends are worth more than the share was.
    split : ndarray of float64, shape (n_bars,)
        New shares for one old one.
    """

    order: NDArray[np.intp]
    inside: NDArray[np.bool_]
    step: Values
    split: Values


def steps_of(day: NDArray[Any], ticker: NDArray[Any], raw_close: Values, actions: pd.DataFrame, names: Any) -> Steps:
    """Find between which bars actions fall, and what they do to prices.

    Parameters
    ----------
    day : ndarray of datetime64[D], shape (n_bars,)
    ticker : ndarray of int, shape (n_bars,)
        Places in `names`.
    raw_close : ndarray of float64, shape (n_bars,)
    actions : DataFrame
        Checked.
    names : sequence of str
        Tickers.
    """
    order = np.lexsort((day, ticker))
    code, when, close = ticker[order], day[order], raw_close[order]
    inside = np.r_[False, code[1:] == code[:-1]]
    step, split = np.ones(len(order)), np.ones(len(order))
    place = {name: at for at, name in enumerate(names)}
    starts = np.searchsorted(code, np.arange(len(place) + 1))
    days = actions.index.get_level_values("date").to_numpy().astype("datetime64[D]")
    rows = zip(days, actions.index.get_level_values("ticker"), actions["split"], actions["dividend"], strict=True)
    for ex, name, ratio, dividend in rows:
        at = place.get(name)
        if at is None:
            continue
        first, last = starts[at], starts[at + 1]
        row = first + int(np.searchsorted(when[first:last], ex))
        if first < row < last:  # before the first bar nobody held it, after the last there is no price to compare
            step[row] = (step[row] - dividend / close[row - 1]) / ratio
            split[row] *= ratio
    return Steps(order, inside, step, split)


def check_agreement(frame: pd.DataFrame, actions: pd.DataFrame) -> list[str]:
    """Hold actions to the adjustment factors of prices.

    Where the factors leave a split out altogether, raw prices made from them are not those of the time, and trading
    them with the split would double the money. Other differences are counted in a note.

    Parameters
    ----------
    frame : DataFrame
        Prices whose raw prices are known.
    actions : DataFrame
        Checked.

    Returns
    -------
    list of str
        Notes, at most one.

    Raises
    ------
    InputError
        Naming the first split that the factors do not show.
    """
    levels = frame.index.levels
    day = levels[0].to_numpy().astype("datetime64[D]")[np.asarray(frame.index.codes[0])]
    code = np.asarray(frame.index.codes[1])
    factor = frame["adj_factor"].to_numpy(np.float64)
    steps = steps_of(day, code, frame["close"].to_numpy(np.float64) / factor, actions, list(levels[1]))
    factor = factor[steps.order]
    shown_step = np.ones(len(factor))
    shown_step[1:] = np.where(steps.inside[1:], factor[:-1] / factor[1:], 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.abs(np.log(np.maximum(steps.step, 0.0)) - np.log(shown_step))
        size = np.abs(np.log(steps.split))

    def words(row: int) -> str:
        return f"{levels[1][code[steps.order[row]]]} on {day[steps.order[row]]}"

    missing = (size > NOTABLE_SPLIT) & (apart > size / 2)
    if missing.any():
        row = int(np.argmax(missing))
        raise InputError(
            f"expected adj_factor to show the splits of actions; found one of {steps.split[row]:.6g} for 1 for "
            f"{words(row)} and a factor that changes by {shown_step[row]:.6g}, not {steps.step[row]:.6g} "
            f"({int(missing.sum()):,} such splits); raw = adjusted / adj_factor has to be the price as it was traded: "
            "mend the factors, or leave actions out"
        )
    wrong = apart > TOLERANCE
    if not wrong.any():
        return []
    row = int(np.argmax(wrong))
    return [
        f"splits and dividends do not explain adj_factor on {int(wrong.sum()):,} of {len(frame):,} bars by more than "
        f"{100 * TOLERANCE:g} % (first: {words(row)}, where it changes by {shown_step[row]:.6g} and actions say "
        f"{steps.step[row]:.6g}): trading raw prices gives another total return there than adjusted ones"
    ]


def raw_panel(panel: PricePanel) -> PricePanel:
    """Prices as they were traded, to which the splits and dividends in `actions` have yet to happen.

    Parameters
    ----------
    panel : PricePanel
        Adjusted prices with known raw prices and actions; `prices.panel()`.

    Returns
    -------
    PricePanel
        Raw open, high, low and close; `adj_factor` 1.0; volume as it is. A panel that is raw comes back as it is.

    Raises
    ------
    InputError
        When raw prices or actions are not known.
    """
    check_raw_known(panel)
    factor = panel.adj_factor
    if not ((factor != 1.0) & ~np.isnan(factor)).any():
        return panel
    done: dict[int, Values] = {}
    changed: dict[str, Any] = {}
    for name in PRICE_COLUMNS[:4]:
        adjusted = getattr(panel, name)
        if id(adjusted) not in done:
            done[id(adjusted)] = _as_delivered(adjusted / factor)
        changed[name] = done[id(adjusted)]
    ones = np.where(np.isnan(factor), np.nan, 1.0)
    ones.setflags(write=False)
    return replace(panel, **changed, adj_factor=ones)


def check_raw_known(prices: Any) -> None:
    """Make sure that an account can trade raw prices: `Prices` or a `PricePanel` know them, and their actions.

    Raises
    ------
    InputError
        Saying what to give.
    """
    if not prices.raw_known:
        raise InputError(
            "expected prices whose raw prices are known; found adjusted ones alone; give adj_factor, adj_close beside "
            'close, or prices.factor_files, or set broker.dividends = "adjusted"'
        )
    if prices.actions is None:
        raise InputError(
            "expected prices whose splits and dividends are known; found none; give prices.factor_files or "
            "prices.corporate_actions "
            '(a file with date,ticker,split,dividend), or set broker.dividends = "adjusted"'
        )


def _as_delivered(raw: Values) -> Values:
    """Take off what multiplying and dividing by a factor has added in the last bits."""
    with np.errstate(invalid="ignore", divide="ignore"):
        # np.round(x, n) is off for large n; a power of ten up to 1e22 is exact, and so the division rounds once
        power = DIGITS - np.floor(np.log10(raw))
    scale = 10.0 ** np.clip(power, 0, 22)
    found = np.rint(raw * scale) / scale
    found.setflags(write=False)
    return np.asarray(found)
