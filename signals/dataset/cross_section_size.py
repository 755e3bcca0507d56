"""Checks that a universe has enough tickers per date for cross-sectional labels and features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from signals.common.errors import InputError
from signals.dataset.labels import LABELS, LabelSettings
from signals.features.expressions import parse_features

__all__ = ["check_cross_section", "counted_names", "small_universe_warning"]


def check_cross_section(
    labels: LabelSettings, features: Sequence[str], n_names: int, *, names: Sequence[str] = ()
) -> None:
    """Raise an error for cross-sectional labels and features when every date has too few tickers for them.

    Parameters
    ----------
    labels : LabelSettings
        Target.
    features : sequence of str
        Features, see `signals.features.expressions`.
    n_names : int
        Largest number of tickers on any date.
    names : sequence of str
        These tickers, for the message.

    Raises
    ------
    InputError
        Names the setting and an alternative.

    >>> check_cross_section(LabelSettings(kind="up"), ["return"], 1)
    """
    found = counted_names(n_names, names)
    needed = LABELS[labels.kind].least_names
    if n_names < needed:
        instead = '"above_median", ' if n_names >= LABELS["above_median"].least_names else ""
        raise InputError(
            f'expected at least {needed} names on a date for labels.kind = "{labels.kind}", which compares the '
            f'names of a date; found {found}; set labels.kind = {instead}"up" or "return"'
        )
    for spec in parse_features(features) if n_names < 2 else ():
        if spec.versus is not None:
            plain = spec.name[: spec.name.rindex(" minus ")].strip()
            raise InputError(
                f"expected at least 2 names on a date for the feature {spec.name!r}, which subtracts their mean; found "
                f"{found}; use {plain!r} instead"
            )
        if spec.feature is not None and "market" in spec.feature.needs:
            raise InputError(
                f"expected at least 2 names on a date for the feature {spec.name!r}, which is measured against the "
                f"mean of the universe; found {found}; use 'volatility' or 'return' instead"
            )


def counted_names(n_names: int, names: Sequence[str] = ()) -> str:
    """Format a number of tickers, followed by the tickers when there are at most three.

    >>> counted_names(1, ["SPY"]), counted_names(2, ["KO", "PEP"]), counted_names(40)
    ('one (SPY)', '2 (KO, PEP)', '40')
    """
    count = "one" if n_names == 1 else f"{n_names:,}"
    return f"{count} ({', '.join(names)})" if 0 < len(names) == n_names <= 3 else count


def small_universe_warning(labels: LabelSettings, universe_sizes: Mapping[str, int]) -> str:
    """Warning about universe selections with too few tickers for the labels; empty when there are none.

    Parameters
    ----------
    labels : LabelSettings
        Target.
    universe_sizes : mapping of str to int
        Number of members on each date on which the universe was selected.
    """
    needed = LABELS[labels.kind].least_names
    small = [day for day, size in universe_sizes.items() if 0 < size < needed]
    if not small:
        return ""
    return (
        f"On {len(small):,} of {len(universe_sizes):,} selection dates, the first {small[0]}, the universe had fewer "
        f'than {needed} names: labels.kind = "{labels.kind}" compares the names of a date, and rows of such dates have '
        "no label."
    )
