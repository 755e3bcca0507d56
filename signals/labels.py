"""What the networks learn to predict, and when each answer was known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from signals.errors import InputError
from signals.features import last_bar
from signals.prices import PricePanel

__all__ = ["LabelSettings", "Labels", "make_labels"]

KINDS = ("above_median", "up")
MEASURES = ("open_to_open", "close_to_close")


@dataclass(frozen=True, slots=True)
class LabelSettings:
    """How the target is measured.

    Parameters
    ----------
    kind : {"above_median", "up"}
        Return above the median of that date's universe, or above zero.
    measured : {"open_to_open", "close_to_close"}
        From the next open to the open after the horizon, as it can be traded, or between the closes of decision
        dates (when only closes exist).
    horizon : int
        Decision dates ahead.
    delist_after : int
        Sessions without a bar after which a holder is cashed out.
    delist_haircut : float
        Fraction of the last price lost on that day.
    """

    kind: str = "above_median"
    measured: str = "open_to_open"
    horizon: int = 1
    delist_after: int = 5
    delist_haircut: float = 0.0

    def __post_init__(self) -> None:
        for name, value, allowed in (("kind", self.kind, KINDS), ("measured", self.measured, MEASURES)):
            if value not in allowed:
                raise InputError(f"expected labels.{name} to be one of {', '.join(allowed)}; found {value!r}")
        if self.horizon < 1:
            raise InputError(f"expected labels.horizon of at least 1 decision date; found {self.horizon}")


@dataclass(frozen=True, slots=True)
class Labels:
    """Targets by ticker and decision date, arrays of shape (n_tickers, n_dates).

    Parameters
    ----------
    label : ndarray of float64
        0 or 1, NaN where it is not known or the row is not in the universe.
    forward_return : ndarray of float64
        Simple return over the horizon, NaN likewise.
    end : ndarray of int64
        Session index of the last price that entered the label; -1 where unknown.
    """

    label: NDArray[np.float64]
    forward_return: NDArray[np.float64]
    end: NDArray[np.int64]


def make_labels(
    panel: PricePanel, decisions: NDArray[np.int64], eligible: NDArray[np.bool_], settings: LabelSettings
) -> Labels:
    """Label every eligible row.

    Parameters
    ----------
    panel : PricePanel
        Prices, n_sessions by n_tickers.
    decisions : ndarray of int, shape (n_dates,)
        Session index of each decision date.
    eligible : ndarray of bool, shape (n_tickers, n_dates)
        Rows in that date's universe, each with a bar on the decision date.
    settings : LabelSettings
        Target and its measurement.

    Returns
    -------
    Labels

    Notes
    -----
    A name that dies inside the horizon gets the return to its liquidation; one that merely pauses is valued where it
    trades next. The median of a date needs every return of that date, so with `above_median` the whole date is known
    only when its slowest name is, and is not labelled before.
    """
    forward, end = _forward_returns(panel, decisions, settings)
    known = eligible & (end >= 0)
    forward = np.where(known, forward, np.nan)
    end = np.where(known, end, -1)
    if settings.kind == "up":
        label = np.where(known, forward > 0, np.nan)
        return Labels(label.astype(np.float64), forward, end)
    label = np.full(forward.shape, np.nan)
    for k in range(len(decisions)):
        rows = eligible[:, k]
        if not rows.any() or not known[rows, k].all():
            forward[:, k], end[:, k] = np.nan, -1
            continue
        label[rows, k] = forward[rows, k] > np.median(forward[rows, k])
        end[rows, k] = end[rows, k].max()
    return Labels(label, forward, end)


def _forward_returns(
    panel: PricePanel, decisions: NDArray[np.int64], settings: LabelSettings
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return to the exit and the session of the exit, both (n_tickers, n_dates); -1 where not known yet."""
    n_sessions, n_tickers = panel.close.shape
    n_dates = len(decisions)
    delay = 1 if settings.measured == "open_to_open" else 0
    price = panel.open if delay else panel.close

    latest = last_bar(panel)
    sessions = np.arange(n_sessions, dtype=np.int32)[:, None]
    liquidation = (sessions - latest == settings.delist_after) & (latest >= 0)
    next_liquidation = _next_true(liquidation)
    next_bar = _next_true(panel.traded)

    forward = np.full((n_dates, n_tickers), np.nan)
    end = np.full((n_dates, n_tickers), -1, dtype=np.int64)
    columns = np.arange(n_tickers)
    for k in range(n_dates - settings.horizon):
        entry, leave = decisions[k] + delay, decisions[k + settings.horizon] + delay
        if leave >= n_sessions:
            break
        last = latest[entry]
        paid = np.where(panel.traded[entry], price[entry], panel.close[np.maximum(last, 0), columns])
        bar, dead = next_bar[leave].astype(np.int64), next_liquidation[entry].astype(np.int64)
        sold = bar < dead
        exit_session = np.where(sold, bar, dead)
        known = (exit_session < n_sessions) & (last >= 0)
        at = np.where(known, exit_session, 0)
        final = panel.close[np.maximum(latest[at, columns], 0), columns] * (1.0 - settings.delist_haircut)
        got = np.where(sold, price[at, columns], final)
        forward[k] = np.where(known, got / paid - 1.0, np.nan)
        end[k] = np.where(known, exit_session, -1)
    return np.ascontiguousarray(forward.T), np.ascontiguousarray(end.T)


def _next_true(flags: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Index of the first True at or after each row, per column; the number of rows where there is none."""
    n = len(flags)
    index = np.where(flags, np.arange(n, dtype=np.int32)[:, None], np.int32(n))
    return np.asarray(np.minimum.accumulate(index[::-1], axis=0)[::-1])
