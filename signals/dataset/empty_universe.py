"""Diagnosis of an empty data set: the filter, feature or history length that leaves no row."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signals.common.errors import InputError
from signals.data.panel import PricePanel
from signals.dataset.universe import Schedule, UniverseFilters, filter_figures, universe_at
from signals.features import Features
from signals.reference.membership import Membership

__all__ = ["no_rows"]

# Filters in the order in which they are applied, each with its remedy.
_REMEDY = {
    "membership": "correct the dates of the membership file",
    "include": "name other tickers, or raise universe.max_stale",
    "exclude": "exclude fewer",
    "min_history": "lower it, or give more history",
    "min_price": "lower it",
    "max_zero_returns": "raise it",
    "min_dollar_volume": "lower it",
}

_OFF: dict[str, Any] = {
    "include": (),
    "exclude": (),
    "min_history": 0,
    "min_price": None,
    "max_zero_returns": None,
    "min_dollar_volume": None,
}


def no_rows(
    panel: PricePanel,
    schedule: Schedule,
    filters: UniverseFilters,
    membership: Membership | None,
    member: NDArray[np.bool_],
    features: Features,
    windows: Any,
) -> InputError:
    """Find the cause of an empty data set.

    Parameters
    ----------
    panel : PricePanel
        Prices.
    schedule : tuple of (date, members)
        Selected universe of each selection date.
    filters : UniverseFilters
        Conditions of the selection.
    membership : Membership, optional
        Index from which it was selected.
    member : ndarray of bool, shape (n_tickers, n_dates)
        Membership on every decision date.
    features : Features
        Values by (ticker, date, feature).
    windows : WindowSettings
        Length of the windows.

    Returns
    -------
    InputError
        Its message names the setting that leaves no row, in one line.
    """
    if not member.any():
        return InputError(_which_filter(panel, schedule, filters, membership))
    known = np.isfinite(features.values)
    for f, name in enumerate(features.names):
        if not known[:, :, f][member].any():
            cause = (
                "no member of the universe shares its sector with another member that has a value"
                if name.endswith(" minus sector")
                else "its history is too short, or what it is computed from is missing"
            )
            return InputError(
                f"expected values of the feature {name!r} for members of the universe; found none on any date: "
                f"{cause}; drop the feature, or provide the data it needs"
            )
    min_known = windows.lookback if windows.min_steps is None else windows.min_steps
    longest = _longest_run(np.asarray(known.all(axis=2)))
    if longest < min_known:
        setting = "model.lookback" if windows.min_steps is None else "model.min_steps"
        return InputError(
            f"expected {min_known:,} decision dates in a row with every feature known ({setting}); found at most "
            f"{longest:,} for any ticker; give more history, shorten {setting}, or take features with shorter windows"
        )
    return InputError(
        f"expected members of the universe with {min_known:,} known decision dates up to a date on which they trade; "
        "found none: tickers are members only before they have that much history, or after they stopped trading; "
        "change the universe filters or the membership"
    )


def _which_filter(
    panel: PricePanel, schedule: Schedule, filters: UniverseFilters, membership: Membership | None
) -> str:
    """Find the filter that leaves no ticker, by adding the filters one at a time at the last selection date."""
    day = schedule[-1][0]
    dates = "its only selection date" if len(schedule) == 1 else f"any of its {len(schedule):,} selection dates"
    applied = replace(filters, max_tickers=None, **_OFF)
    before = len(universe_at(panel, day, applied))
    intro = f"expected tickers in the universe; found none on {dates}"
    if not before:
        return (
            f"{intro}: no ticker had a bar in the last {filters.max_stale} sessions up to {day} (universe.max_stale); "
            "raise it, or provide prices up to a later day"
        )
    members: Membership | None = None
    for name, remedy in _REMEDY.items():
        if name == "membership":
            if membership is None:
                continue
            members = membership
        else:
            value = getattr(filters, name)
            if value == _OFF[name]:
                continue
            applied = replace(applied, **{name: value})
        if universe_at(panel, day, applied, members):
            continue
        setting = f"universe.{name}"
        if name not in ("membership", "include", "exclude"):
            setting += f" = {getattr(filters, name):g}"
        figures = filter_figures(panel, day, filters, name)
        best = f" ({figures})" if figures else ""
        return f"{intro}: {setting} leaves none of {before:,} with a bar on {day}{best}; {remedy}"
    return f"{intro}; the last was on {day}; relax the universe filters"


def _longest_run(known: NDArray[np.bool_]) -> int:
    """Length of the longest run of True in any row."""
    run = np.zeros(len(known), dtype=np.int64)
    longest = 0
    for column in known.T:
        run = np.where(column, run + 1, 0)
        longest = max(longest, int(run.max(initial=0)))
    return longest
