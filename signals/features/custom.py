"""Custom features, `f(prices) -> Series`, and checks that they neither look ahead nor further back than declared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.common.errors import InputError, LookAheadError
from signals.data.panel import PRICE_COLUMNS, PricePanel
from signals.data.price_index import INDEX
from signals.features.bars import last_bar

__all__ = ["custom_feature"]

Values = NDArray[np.float64]

# Tolerances, relative to the value or to the spread of all values, when the future or the past before the warm-up is
# removed: for rounding, since sums in another order are no look-ahead, and for the tail of an exponential average.
FUTURE, PAST = 1e-9, 1e-6


def custom_feature(name: str, function: Callable[..., Any], panel: PricePanel, decisions: NDArray[np.int64]) -> Values:
    """Compute a user's own feature, and check that it is causal and keeps to its warm-up.

    Parameters
    ----------
    name : str
        Name of the feature in error messages.
    function : callable
        Takes a DataFrame like `Prices.frame`, index (date, ticker), and returns a Series or a DataFrame of one column
        on the same index, in any order. Its attribute `warm_up` is the number of sessions before a date it looks at.
    panel : PricePanel
        Prices.
    decisions : ndarray of int, shape (n_dates,)
        Session index of each decision date.

    Returns
    -------
    ndarray of float64, shape (n_tickers, n_dates)
        Value at the ticker's latest bar in the period that ends on each date; NaN without one, and for dates with
        fewer than `warm_up` sessions before them.

    Raises
    ------
    InputError
        When the function fails or returns something else, and when its values change once the rows after a date, or
        those more than `warm_up` sessions before it, are removed.

    Notes
    -----
    The two checks at one date do not prove that a feature is causal. They find the usual faults: `shift(-1)`, a mean
    over all dates, filling backwards, an average that depends on the whole history.
    """
    run = _CustomFeature(name, function, int(getattr(function, "warm_up")))  # noqa: B009 - checked when the text was read
    values = run.values(panel, decisions)
    known = np.flatnonzero((~np.isnan(values)).any(axis=0))
    if len(known):
        middle = int(known[len(known) // 2])
        _check_future(run, panel, decisions, values, middle)
        _check_past(run, panel, decisions, values, middle)
    return values


@dataclass(frozen=True, slots=True)
class _CustomFeature:
    """A user's feature: name, function and declared warm-up in sessions."""

    name: str
    function: Callable[..., Any]
    warm_up: int

    def values(self, panel: PricePanel, decisions: NDArray[np.int64]) -> Values:
        """Call the function and sample its values at the decision dates, shape (n_tickers, n_dates)."""
        session, column = np.nonzero(panel.traded)
        frame = _frame(panel, session, column)
        by_session = np.full(panel.close.shape, np.nan)
        by_session[session, column] = self._numbers(frame)
        latest = last_bar(panel)[decisions]
        starts = np.concatenate([[-1], decisions[:-1]])[:, None]
        sampled = np.take_along_axis(by_session, np.maximum(latest, 0), axis=0)
        sampled = np.where(latest > starts, sampled, np.nan)
        sampled[decisions < self.warm_up] = np.nan
        return np.ascontiguousarray(sampled.T)

    def _numbers(self, frame: pd.DataFrame) -> Values:
        """Call the function and check its result; values in the order of the frame's rows."""
        index = frame.index
        try:
            result = self.function(frame)
        except Exception as error:
            raise InputError(
                f"expected the feature {self.name} to compute; found {type(error).__name__}: "
                f"{' '.join(str(error).split())[:200]}; correct that function"
            ) from error
        if isinstance(result, pd.DataFrame) and result.shape[1] == 1:
            result = result.iloc[:, 0]
        if not isinstance(result, pd.Series):
            shape = f" with {result.shape[1]} columns" if isinstance(result, pd.DataFrame) else ""
            raise InputError(
                f"expected the feature {self.name} to return a Series on the index of prices; found "
                f"{type(result).__name__}{shape}; return one column"
            )
        if not result.index.equals(index):
            if len(result) != len(index) or not result.index.is_unique or not result.index.isin(index).all():
                raise InputError(
                    f"expected the feature {self.name} to return the index of prices, {len(index):,} rows of (date, "
                    f"ticker); found {len(result):,} rows of ({', '.join(map(str, result.index.names))}); reindex it"
                )
            result = result.reindex(index)
        kind = result.dtype
        if not pd.api.types.is_numeric_dtype(kind) or getattr(kind, "kind", "f") == "c":
            raise InputError(f"expected the feature {self.name} to return numbers; found {kind}; convert them")
        numbers = result.to_numpy(dtype=np.float64, na_value=np.nan)
        infinite = np.isinf(numbers)
        if infinite.any():
            date, ticker = index[int(np.argmax(infinite))]
            raise InputError(
                f"expected the feature {self.name} to return finite numbers or NaN; found {numbers[infinite][0]} for "
                f"{ticker} on {date:%Y-%m-%d} ({int(infinite.sum()):,} such); return NaN there"
            )
        return np.asarray(numbers)


def _check_future(
    run: _CustomFeature, panel: PricePanel, decisions: NDArray[np.int64], values: Values, middle: int
) -> None:
    """Compute the feature without the rows after a date, and require equal values up to that date."""
    day = panel.dates[decisions[middle]]
    past = panel.until(day)
    rows = np.searchsorted(np.array(panel.tickers, dtype=object), np.array(past.tickers, dtype=object))
    dates = slice(0, middle + 1)
    again = run.values(past, decisions[dates])
    where = _first_difference(values[rows, dates], again, values, FUTURE)
    if where is not None:
        ticker, k = where
        if _first_difference(values, run.values(panel, decisions), values, FUTURE) is not None:
            raise InputError(
                f"expected the feature {run.name} to give the same values when called twice on the same prices; found "
                "others: it draws random numbers, or keeps state between calls; make it a pure function of prices"
            )
        raise LookAheadError(
            f"expected the feature {run.name} to use no rows after a date; found {past.tickers[ticker]} on "
            f"{panel.dates[decisions[k]]} change from {values[rows[ticker], k]:.6g} to {again[ticker, k]:.6g} when the "
            f"prices after {day} are removed; use past rows only"
        )


def _check_past(
    run: _CustomFeature, panel: PricePanel, decisions: NDArray[np.int64], values: Values, middle: int
) -> None:
    """Compute the feature without the rows before the warm-up of a date, and require equal values from that date on."""
    first = int(decisions[middle]) - run.warm_up
    # the value of a date is that of the latest bar in its period, which may be older than the date
    first -= int(decisions[middle] - decisions[middle - 1]) if middle else 0
    if first <= 0:
        return
    kept = PricePanel(
        dates=panel.dates[first:],
        tickers=panel.tickers,
        **{name: getattr(panel, name)[first:] for name in PRICE_COLUMNS},
        raw_known=panel.raw_known,
        close_only=panel.close_only,
        volume_known=panel.volume_known,
        calendar=panel.calendar,
    )
    before = middle - 1 if middle else 0
    again = run.values(kept, decisions[before:] - first)[:, middle - before :]
    where = _first_difference(values[:, middle:], again, values, PAST)
    if where is not None:
        ticker, k = where
        raise InputError(
            f"expected the feature {run.name} to look at most {run.warm_up} sessions back, as warm_up declares; found "
            f"{panel.tickers[ticker]} on {panel.dates[decisions[middle + k]]} change from "
            f"{values[ticker, middle + k]:.6g} to {again[ticker, k]:.6g} when prices before {kept.dates[0]} are "
            "removed; declare a larger warm_up or use fewer rows"
        )


def _first_difference(before: Values, after: Values, whole: Values, tolerance: float) -> tuple[int, int] | None:
    """Find the first date at which two sets of values differ: its first ticker and its position, as (row, date)."""
    spread = float(np.nanstd(whole))
    with np.errstate(invalid="ignore"):
        close = np.abs(before - after) <= tolerance * (np.maximum(np.abs(before), np.abs(after)) + spread)
    differs = ~close & ~(np.isnan(before) & np.isnan(after))
    if not differs.any():
        return None
    k, row = np.argwhere(differs.T)[0]
    return int(row), int(k)


def _frame(panel: PricePanel, session: NDArray[np.intp], column: NDArray[np.intp]) -> pd.DataFrame:
    """Rows as in `Prices.frame`: cells with a bar, by date and then ticker, in memory of their own."""
    days = pd.DatetimeIndex(panel.dates.astype("datetime64[ns]"))
    names = pd.Index(np.array(panel.tickers, dtype=object), dtype=object)
    index = pd.MultiIndex(levels=[days, names], codes=[session, column], names=INDEX, verify_integrity=False)
    columns = {name: getattr(panel, name)[session, column] for name in PRICE_COLUMNS}
    # leftover levels would name days without a bar, and tickers without any
    return pd.DataFrame(columns, index=index.remove_unused_levels(), copy=False)
