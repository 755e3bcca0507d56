"""Reference files that a configuration names: index membership, sectors, ticker changes, macro series."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from signals.dataset.dataset import ReferenceData
from signals.reference.macro_series import read_macro
from signals.reference.membership import membership_warnings, read_membership
from signals.reference.sectors import read_sectors
from signals.reference.security_ids import read_symbol_changes

if TYPE_CHECKING:
    from signals.data.prices import Prices
    from signals.reference.security_ids import SymbolTable

__all__ = ["read_reference_data", "reference_digests", "reference_warnings", "symbols_of"]


def read_reference_data(paths: Mapping[str, Any]) -> ReferenceData:
    """Read membership, sectors and macro series.

    Parameters
    ----------
    paths : mapping
        `Config.reference_files`.

    Raises
    ------
    InputError
        When a file cannot be read or its content is not as expected.
    """
    macro = dict(paths.get("macro") or {})
    return ReferenceData(
        membership=read_membership(Path(paths["membership"])) if paths.get("membership") else None,
        sectors=read_sectors(Path(paths["sectors"])) if paths.get("sectors") else None,
        macro=read_macro(macro.pop("path"), **macro) if macro else None,
    )


def symbols_of(paths: Mapping[str, Any]) -> SymbolTable | None:
    """Read the file of ticker changes; None when `[universe]` names none."""
    symbol_changes = paths.get("symbol_changes")
    if not symbol_changes:
        return None
    settings = dict(symbol_changes) if isinstance(symbol_changes, Mapping) else {"path": symbol_changes}
    return read_symbol_changes(Path(settings.pop("path")), **settings)


def reference_digests(reference_data: ReferenceData) -> dict[str, str]:
    """Content hashes of the files that were read, by file name."""
    digests: dict[str, str] = {}
    for part in (reference_data.membership, reference_data.sectors, reference_data.macro):
        if part is not None:
            digests |= part.files
    return digests


def reference_warnings(reference_data: ReferenceData, prices: Prices, universe_dates: Iterable[str]) -> list[str]:
    """Warnings about the reference files, for the report.

    Parameters
    ----------
    reference_data : ReferenceData
        The files as read.
    prices : Prices
        Prices of the run.
    universe_dates : iterable of str
        Dates on which the universe was evaluated.
    """
    warnings = []
    if reference_data.membership is not None:
        warnings += membership_warnings(prices.panel(), universe_dates, reference_data.membership)
    for part in (reference_data.membership, reference_data.sectors, reference_data.macro):
        warnings += part.warnings if part is not None else ()
    return warnings
