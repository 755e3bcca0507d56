"""Computation of features, given as text, at every decision date."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from signals.calendar import session_closes
from signals.common.errors import InputError
from signals.features.bars import Bars
from signals.features.context import FeatureContext, Features
from signals.features.custom import custom_feature
from signals.features.dates import read_schedule
from signals.features.expressions import Spec, parse_features
from signals.features.groups import market_returns, minus_group_mean
from signals.features.macro import Releases

__all__ = ["compute_features"]

Values = NDArray[np.float64]

BLOCK = 128
"""Tickers computed together: a decade of their sessions fits a processor's cache."""


def compute_features(specs: Sequence[str], context: FeatureContext) -> Features:
    """Compute features at every decision date.

    Parameters
    ----------
    specs : sequence of str
        Features as text, see `signals.features.expressions`.
    context : FeatureContext
        Prices, decision dates, universe, and sectors and macro series where a feature needs them.

    Returns
    -------
    Features
        A value at decision date k is known at its close, and data appended later do not change a bit of it. It is NaN
        when the ticker had no bar in the period that ends on that date (a halt is not padded), or too little history.

    Raises
    ------
    InputError
        As `check_features`; when the prices, sectors or macro series lack what a feature needs; and when a user's
        function fails, looks ahead or looks further back than it declares.
    """
    parsed = parse_features(specs)
    for spec in parsed:
        _check_needs(spec, context)
    values = np.full((len(context.panel.tickers), len(context.decisions), len(parsed)), np.nan)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        _per_date(parsed, context, values)
        _per_ticker(parsed, context, values)
    for i, spec in enumerate(parsed):
        if spec.function is not None:
            values[:, :, i] = custom_feature(spec.name, spec.function, context.panel, context.decisions)
        if spec.versus is not None:
            sectors = context.sectors if spec.versus == "sector" else None
            values[:, :, i] = minus_group_mean(values[:, :, i], context.member, sectors)
    # a period is as long as the calendar made it; the longest one bounds how far back a value can reach
    longest = int(np.diff(context.decisions).max()) if len(context.decisions) > 1 else 1
    return Features(tuple(s.name for s in parsed), values, tuple(_warm_up(s, longest) for s in parsed))


def _warm_up(spec: Spec, longest: int) -> int:
    if spec.feature is not None:
        return spec.feature.warm_up(spec.arguments, longest)
    # before the latest bar of the period, which is the date itself or up to a period earlier
    return int(getattr(spec.function, "warm_up")) + longest  # noqa: B009 - checked when the text was read


def _check_needs(spec: Spec, context: FeatureContext) -> None:
    panel = context.panel
    lacking = {
        "volume": "" if panel.volume_known else "volume",
        "open": "opening prices" if panel.close_only else "",
        "range": "high and low" if panel.close_only else "",
    }
    for need in sorted(spec.feature.needs if spec.feature else ()):
        if lacking.get(need):
            raise InputError(
                f"expected prices with {lacking[need]} for the feature {spec.name!r}; found none in the data; "
                "drop the feature or load prices that have them"
            )
    if spec.versus == "sector" and context.sectors is None:
        raise InputError(f"expected sectors for the feature {spec.name!r}; found none; give a sector file")
    if spec.feature is not None and spec.feature.kind == "macro" and context.macro is None:
        raise InputError(f"expected macro series for the feature {spec.name!r}; found none; give a file with their lag")


def _per_date(parsed: tuple[Spec, ...], context: FeatureContext, values: Values) -> None:
    """Fill in the features that are equal for all tickers."""
    kinds = {spec.feature.kind for spec in parsed if spec.feature}
    if not len(context.decisions):
        return
    schedule = read_schedule(context.panel, context.decisions) if "date" in kinds else None
    releases = None
    if "macro" in kinds and context.macro is not None:
        moments = session_closes(context.panel.dates[context.decisions], context.panel.calendar)
        releases = Releases(context.macro, moments)
    for i, spec in enumerate(parsed):
        if spec.feature is not None and spec.feature.shared:
            source = schedule if spec.feature.kind == "date" else releases
            by_date = spec.feature.function(source, *spec.arguments)
            values[:, :, i] = np.where(np.isfinite(by_date), by_date, np.nan)


def _per_ticker(parsed: tuple[Spec, ...], context: FeatureContext, values: Values) -> None:
    """Fill in the features that differ between tickers, a block of tickers at a time."""
    wanted = [(i, spec, spec.feature) for i, spec in enumerate(parsed) if spec.feature and not spec.feature.shared]
    n_tickers = len(context.panel.tickers) if wanted else 0
    market = market_returns(context) if any("market" in feature.needs for _, _, feature in wanted) else None
    for first in range(0, n_tickers, BLOCK):
        columns = slice(first, min(first + BLOCK, n_tickers))
        bars = Bars(context.panel, context.decisions, columns, market)
        halted = np.isnan(bars.latest)
        for i, spec, feature in wanted:
            by_ticker = feature.function(bars, *spec.arguments)
            by_ticker = np.where(halted | ~np.isfinite(by_ticker), np.nan, by_ticker)
            by_ticker[context.decisions < feature.look_back(spec.arguments)] = np.nan
            values[columns, :, i] = by_ticker.T
