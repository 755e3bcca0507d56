"""Data set shared by all folds: decision dates, features, universe and labels, computed from prices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from signals.calendar import as_day, decision_dates
from signals.common.errors import InputError
from signals.data.prices import PricePanel, Prices
from signals.dataset.categoricals import Categorical, make_categoricals
from signals.dataset.cross_section_size import check_cross_section
from signals.dataset.empty_universe import no_rows
from signals.dataset.folds import WalkForward, retraining_dates
from signals.dataset.labels import Labels, LabelSettings, Target, make_labels
from signals.dataset.universe import UniverseFilters, universe_schedule
from signals.dataset.windows import WindowSettings, valid_windows
from signals.features import FeatureContext, Features, compute_features, period_returns
from signals.features.expressions import parse_features

if TYPE_CHECKING:
    from signals.reference.macro_series import MacroTable
    from signals.reference.membership import Membership
    from signals.reference.sectors import SectorTable

__all__ = ["Dataset", "ReferenceData", "make_dataset"]


@dataclass(frozen=True, slots=True)
class ReferenceData:
    """Point-in-time data other than prices: index membership, sectors and macro series.

    Parameters
    ----------
    membership : Membership, optional
        Membership intervals of an index; the universe is selected from its members.
    sectors : SectorTable, optional
        Sectors, for features relative to the sector and for models with a sector input.
    macro : MacroTable, optional
        Series for `macro(...)` features.
    """

    membership: Membership | None = None
    sectors: SectorTable | None = None
    macro: MacroTable | None = None


NO_REFERENCE_DATA = ReferenceData()


@dataclass(frozen=True, slots=True)
class Dataset:
    """Data shared by all folds, as arrays by (ticker, decision date).

    Parameters
    ----------
    panel : PricePanel
        Prices by session.
    dates : ndarray of datetime64[D], shape (n_dates,)
        Decision dates.
    decisions : ndarray of int, shape (n_dates,)
        Session index of each decision date.
    returns : ndarray of float64, shape (n_tickers, n_dates)
        Return over the period that ends on the decision date, known at its close; input of the naive predictors.
    features : Features
        Model inputs, shape (n_tickers, n_dates, n_features), known at the close of each date.
    member : ndarray of bool, shape (n_tickers, n_dates)
        Whether the ticker is in that date's universe.
    eligible : ndarray of bool, shape (n_tickers, n_dates)
        Members with a bar on the date and a complete window up to it.
    labels : Labels
        Targets of the eligible rows.
    target : Target
        What a model predicts for each row.
    universe_sizes : dict of str to int
        Number of members at each date on which the universe was selected.
    categoricals : mapping of str to Categorical
        Category of every ticker and date, for each categorical input of the model: `sector`, `year`, …
    warnings : tuple of str
        Macro series that exclude rows because they begin late or have gaps, with the number of rows excluded.
    """

    panel: PricePanel
    dates: NDArray[np.datetime64]
    decisions: NDArray[np.int64]
    returns: NDArray[np.float64]
    features: Features
    member: NDArray[np.bool_]
    eligible: NDArray[np.bool_]
    labels: Labels
    target: Target
    universe_sizes: dict[str, int]
    categoricals: Mapping[str, Categorical] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def first(self) -> int:
        """Index of the first decision date with an eligible row; the number of dates when there is none."""
        any_row = self.eligible.any(axis=0)
        return int(any_row.argmax()) if any_row.any() else len(self.dates)


def make_dataset(
    prices: Prices,
    *,
    frequency: str,
    universe: UniverseFilters,
    labels: LabelSettings,
    windows: WindowSettings,
    walk_forward: WalkForward,
    features: Sequence[str] = ("return",),
    reference_data: ReferenceData = NO_REFERENCE_DATA,
) -> Dataset:
    """Compute decision dates, point-in-time universe, features and labels.

    Raises
    ------
    InputError
        When the prices span fewer than two decision dates, labels need opening prices that close-only data lack, the
        model has a sector input but there is no sector file, labels or features need more tickers per date than the
        universe ever has, or no row is left. The message names the cause.
    """
    if prices.close_only and labels.price_basis == "open_to_open":
        raise InputError(
            "expected opening prices for labels.price_basis = 'open_to_open'; found closes only; "
            "set price_basis = 'close_to_close' under [labels]"
        )
    panel = prices.panel()
    dates = decision_dates(panel.dates[0], panel.dates[-1], frequency, calendar=prices.calendar)
    if len(dates) < 2:
        raise InputError(
            f"expected prices over several {frequency} periods; found {panel.dates[0]} to {panel.dates[-1]}; "
            "give more history"
        )
    decisions = np.searchsorted(panel.dates, dates).astype(np.int64)
    returns = period_returns(panel, decisions)

    selection_dates = retraining_dates(dates, walk_forward)
    member = np.zeros((len(panel.tickers), len(dates)), dtype=bool)
    column = {ticker: i for i, ticker in enumerate(panel.tickers)}
    schedule = universe_schedule(panel, selection_dates, universe, reference_data.membership)
    begins = [int(np.searchsorted(dates, day)) for day, _ in schedule] + [len(dates)]
    for (_, members), begin, end in zip(schedule, begins, begins[1:], strict=False):
        member[[column[ticker] for ticker in members], begin:end] = True

    largest = max(schedule, key=lambda selection: len(selection[1]), default=(None, ()))[1]
    if largest:
        check_cross_section(labels, features, len(largest), names=largest)
    sectors = None if reference_data.sectors is None else reference_data.sectors.codes(panel.tickers, dates)
    if reference_data.sectors is not None:
        _check_sectors(reference_data.sectors.spells.tickers, panel.tickers)
    sector_codes = (
        None if reference_data.sectors is None or sectors is None else (reference_data.sectors.names, sectors)
    )
    computed = compute_features(features, FeatureContext(panel, decisions, member, sectors, reference_data.macro))
    finite = np.isfinite(computed.values)
    tradable = member & panel.traded[decisions].T

    def rows_with(columns: NDArray[np.bool_]) -> NDArray[np.bool_]:
        known = np.asarray(finite[:, :, columns].all(axis=2))
        return np.asarray(tradable & valid_windows(known, windows.lookback, windows.min_steps))

    eligible = rows_with(np.ones(len(computed.names), dtype=bool))
    # without any selection the prices end before the walk-forward begins, for which `make_folds` raises an error
    if schedule and not eligible.any():
        raise no_rows(panel, schedule, universe, reference_data.membership, member, computed, windows)
    return Dataset(
        panel=panel,
        dates=dates,
        decisions=decisions,
        returns=returns,
        features=computed,
        member=member,
        eligible=eligible,
        labels=make_labels(panel, decisions, eligible, labels),
        target=labels.target,
        universe_sizes={str(day): len(members) for day, members in schedule},
        categoricals=make_categoricals(getattr(windows, "groups", ()), dates, len(panel.tickers), sector_codes),
        warnings=_rows_lost_to_macro(features, computed, rows_with, dates, as_day(walk_forward.test_start)),
    )


def _check_sectors(sector_tickers: Sequence[str], tickers: Sequence[str]) -> None:
    """Raise an error for a sector file that names none of the tickers: other spelling, or another market."""
    if set(sector_tickers).isdisjoint(tickers):
        by_case = {ticker.lower(): ticker for ticker in tickers}
        alike = next(
            (f"{name!r} and {by_case[name.lower()]!r}" for name in sector_tickers if name.lower() in by_case), ""
        )
        found = f"{alike}, which differ only in case" if alike else f"{', '.join(sector_tickers[:3])}, …"
        raise InputError(
            f"expected universe.sectors to name some of the {len(tickers):,} tickers of the prices; found none of them "
            f"there ({found}); use the same spelling in both, or the security ids of a symbol table in both"
        )


def _rows_lost_to_macro(
    specs: Sequence[str],
    computed: Features,
    rows_with: Callable[[NDArray[np.bool_]], NDArray[np.bool_]],
    dates: NDArray[np.datetime64],
    test_start: np.datetime64,
) -> tuple[str, ...]:
    """Report how many rows each macro feature excludes that all other features would allow."""
    macro = np.array([spec.feature is not None and spec.feature.kind == "macro" for spec in parse_features(specs)])
    if not macro.any():
        return ()
    without = rows_with(~macro)
    warnings = []
    for i in np.flatnonzero(macro):
        known = np.asarray(np.isfinite(computed.values[:, :, i]).any(axis=0))
        lost = without & ~rows_with(~macro | (np.arange(len(macro)) == i))
        if not lost.any():
            continue
        begins = int(known.argmax())
        gaps = int((~known[begins:]).sum())
        facts = [f"is not known before {dates[begins]}"] if begins else []
        facts += [f"is not known on {gaps:,} of {len(dates) - begins:,} decision dates since then"] if gaps else []
        late = " and ".join(facts) if known.any() else "is never known"
        early = int(lost[:, dates < test_start].sum())
        warnings.append(
            f"{computed.names[i]} {late}: {int(lost.sum()):,} of {int(without.sum()):,} rows "
            f"({lost.sum() / without.sum():.1%}) are left out because their windows need it, {early:,} of them before "
            f"{test_start}, where rows are for training and validation only"
        )
    return tuple(warnings)
