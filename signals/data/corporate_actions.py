"""Splits and dividends: their table and its checks, agreement with adjustment factors, and raw prices.

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
    "PriceSteps",
    "actions_frame",
    "check_actions",
    "check_agreement",
    "check_raw_known",
    "is_simple",
    "price_steps",
    "raw_panel",
    "simple_ratio",
]

ACTION_COLUMNS = ("split", "dividend")

# Tolerance for ratios of splits written with six digits, and the largest numerator and denominator of a simple ratio:
# beyond a hundred, any number is close to a fraction.
ROUNDING = 1e-5
MOST_SHARES = 100

# Vendors round factors and dividends, so that smaller relative differences of a price are no disagreement.
TOLERANCE = 2e-3

# Log of the smallest split ratio that is looked for in adjustment factors; rounding cannot hide larger ones.
NOTABLE_SPLIT = 0.2

# Raw prices have fewer digits than this, so rounding to it restores the numbers of the file.
DIGITS = 11

LARGEST = 1e9

Values = NDArray[np.float64]


def simple_ratio(ratio: float, tolerance: float = ROUNDING) -> float:
    """Replace a rounded ratio of shares by the simple fraction it approximates; other ratios stay as they are.

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
    """Table of (ex-date, ticker, split, dividend), in any order; rows of one ticker on one day are combined.

    Rows are applied in the order given: the dividend of a later row is per share after the split of an earlier one.
    """
    joined: dict[tuple[np.datetime64, str], tuple[float, float]] = {}
    for day, ticker, split, dividend in rows:
        key = (np.datetime64(day, "D"), ticker)
        before = joined.get(key, (1.0, 0.0))
        joined[key] = (before[0] * split, before[1] + before[0] * dividend)
    rows_by_key = sorted((key, value) for key, value in joined.items() if value != (1.0, 0.0))
    index = pd.MultiIndex(
        levels=[pd.DatetimeIndex([], dtype="datetime64[ns]"), pd.Index([], dtype=object)], codes=[[], []], names=INDEX
    )
    if rows_by_key:
        days = np.array([key[0] for key, _ in rows_by_key], dtype="datetime64[ns]")
        names = np.array([key[1] for key, _ in rows_by_key], dtype=object)
        index = canonical_index(pd.MultiIndex.from_arrays([pd.DatetimeIndex(days), names], names=INDEX))
    values = np.array([value for _, value in rows_by_key], dtype=np.float64).reshape(-1, 2)
    return pd.DataFrame(values, index=index, columns=pd.Index(list(ACTION_COLUMNS), dtype=object))


def check_actions(frame: pd.DataFrame, *, calendar: str = "XNYS") -> pd.DataFrame:
    """Check splits and dividends, and return them in canonical form.

    Parameters
    ----------
    frame : DataFrame
        Table as described in this module. A missing column, or NaN, means no split or no dividend.
    calendar : str
        Exchange calendar every ex-date must be a session of.

    Returns
    -------
    DataFrame
        Sorted, without rows in which nothing happens.

    Raises
    ------
    InputError
        For other labels or columns, two rows of one ticker and date, a split that is not a number above 0, a dividend
        that is not a number of at least 0, and a date that is not a session.
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
            raise InputError(f"expected {what}; found {columns[name][row]:g} for {label_of(index, row)}; correct it")
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
    checked = pd.DataFrame(columns, index=index).set_axis(pd.Index(list(ACTION_COLUMNS), dtype=object), axis=1)
    return checked if keep.all() else checked[keep].set_axis(canonical_index(index[keep]), axis=0)


@dataclass(frozen=True, slots=True, eq=False)
class PriceSteps:
    """Effect on the raw price of the splits and dividends between consecutive bars of a ticker.

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


def price_steps(
    day: NDArray[Any], ticker: NDArray[Any], raw_close: Values, actions: pd.DataFrame, names: Any
) -> PriceSteps:
    """Effect of splits and dividends on the raw price from bar to bar.

    Parameters
    ----------
    day : ndarray of datetime64[D], shape (n_bars,)
        Session of each bar.
    ticker : ndarray of int, shape (n_bars,)
        Index into `names` of each bar.
    raw_close : ndarray of float64, shape (n_bars,)
        Raw close of each bar.
    actions : DataFrame
        Checked splits and dividends.
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
        if first < row < last:  # there is no holder before the first bar, and no price to compare after the last
            step[row] = (step[row] - dividend / close[row - 1]) / ratio
            split[row] *= ratio
    return PriceSteps(order, inside, step, split)


def check_agreement(frame: pd.DataFrame, actions: pd.DataFrame) -> list[str]:
    """Compare splits and dividends with the adjustment factors of prices.

    Where the factors omit a split, raw prices computed from them are not those that were traded, and an account that
    trades them with the split would gain or lose by it. Other differences are counted in a warning.

    Parameters
    ----------
    frame : DataFrame
        Prices whose raw prices are known.
    actions : DataFrame
        Checked.

    Returns
    -------
    list of str
        Warnings, at most one.

    Raises
    ------
    InputError
        Naming the first split that the factors do not show.
    """
    levels = frame.index.levels
    day = levels[0].to_numpy().astype("datetime64[D]")[np.asarray(frame.index.codes[0])]
    code = np.asarray(frame.index.codes[1])
    factor = frame["adj_factor"].to_numpy(np.float64)
    steps = price_steps(day, code, frame["close"].to_numpy(np.float64) / factor, actions, list(levels[1]))
    factor = factor[steps.order]
    shown_step = np.ones(len(factor))
    shown_step[1:] = np.where(steps.inside[1:], factor[:-1] / factor[1:], 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_difference = np.abs(np.log(np.maximum(steps.step, 0.0)) - np.log(shown_step))
        size = np.abs(np.log(steps.split))

    def words(row: int) -> str:
        return f"{levels[1][code[steps.order[row]]]} on {day[steps.order[row]]}"

    missing = (size > NOTABLE_SPLIT) & (log_difference > size / 2)
    if missing.any():
        row = int(np.argmax(missing))
        raise InputError(
            f"expected adj_factor to show the splits of actions; found one of {steps.split[row]:.6g} for 1 for "
            f"{words(row)} and a factor that changes by {shown_step[row]:.6g}, not {steps.step[row]:.6g} "
            f"({int(missing.sum()):,} such splits); raw = adjusted / adj_factor has to be the price as it was traded: "
            "correct the factors, or leave actions out"
        )
    wrong = log_difference > TOLERANCE
    if not wrong.any():
        return []
    row = int(np.argmax(wrong))
    return [
        f"splits and dividends do not explain adj_factor on {int(wrong.sum()):,} of {len(frame):,} bars by more than "
        f"{100 * TOLERANCE:g} % (first: {words(row)}, where it changes by {shown_step[row]:.6g} and actions by "
        f"{steps.step[row]:.6g}): trading raw prices gives another total return there than adjusted ones"
    ]


def raw_panel(panel: PricePanel) -> PricePanel:
    """Raw prices, as they were traded: splits and dividends in `actions` are not included in them.

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
    raw_by_array: dict[int, Values] = {}
    changed: dict[str, Any] = {}
    for name in PRICE_COLUMNS[:4]:
        adjusted = getattr(panel, name)
        if id(adjusted) not in raw_by_array:
            raw_by_array[id(adjusted)] = _without_rounding_noise(adjusted / factor)
        changed[name] = raw_by_array[id(adjusted)]
    ones = np.where(np.isnan(factor), np.nan, 1.0)
    ones.setflags(write=False)
    return replace(panel, **changed, adj_factor=ones)


def check_raw_known(prices: Any) -> None:
    """Check that raw prices, splits and dividends of `Prices` or a `PricePanel` are known, to trade raw prices.

    Raises
    ------
    InputError
        Naming the data to provide.
    """
    if not prices.raw_known:
        raise InputError(
            "expected prices whose raw prices are known; found adjusted ones alone; give adj_factor, adj_close with "
            'close, or prices.factor_files, or set broker.dividends = "adjusted"'
        )
    if prices.actions is None:
        raise InputError(
            "expected prices whose splits and dividends are known; found none; give prices.factor_files or "
            "prices.corporate_actions "
            '(a file with date,ticker,split,dividend), or set broker.dividends = "adjusted"'
        )


def _without_rounding_noise(raw: Values) -> Values:
    """Round away the errors in the last bits that multiplying and dividing by a factor have added."""
    with np.errstate(invalid="ignore", divide="ignore"):
        # np.round(x, n) is off for large n; a power of ten up to 1e22 is exact, and so the division rounds once
        power = DIGITS - np.floor(np.log10(raw))
    scale = 10.0 ** np.clip(power, 0, 22)
    rounded = np.rint(raw * scale) / scale
    rounded.setflags(write=False)
    return np.asarray(rounded)
