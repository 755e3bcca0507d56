"""The files a configuration names beside prices: index members, sectors, ticker changes, macro series."""

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
    """Read the files that `[universe]` and `[features]` name (`Config.beside`).

    Raises
    ------
    InputError
        Saying what in which file is not as expected.
    """
    macro = dict(paths.get("macro") or {})
    return ReferenceData(
        membership=read_membership(Path(paths["membership"])) if paths.get("membership") else None,
        sectors=read_sectors(Path(paths["sectors"])) if paths.get("sectors") else None,
        macro=read_macro(macro.pop("path"), **macro) if macro else None,
    )


def symbols_of(paths: Mapping[str, Any]) -> SymbolTable | None:
    """Read the file of ticker changes, if `[universe]` names one."""
    named = paths.get("symbol_changes")
    if not named:
        return None
    settings = dict(named) if isinstance(named, Mapping) else {"path": named}
    return read_symbol_changes(Path(settings.pop("path")), **settings)


def reference_digests(reference_data: ReferenceData) -> dict[str, str]:
    """Content hash of every file that was read, by its name."""
    found: dict[str, str] = {}
    for part in (reference_data.membership, reference_data.sectors, reference_data.macro):
        if part is not None:
            found |= part.files
    return found


def reference_warnings(reference_data: ReferenceData, prices: Prices, drawn: Iterable[str]) -> list[str]:
    """List what a reader of the report must know about them; `drawn` are the dates the universe was drawn on."""
    warnings = []
    if reference_data.membership is not None:
        warnings += membership_warnings(prices.panel(), drawn, reference_data.membership)
    for part in (reference_data.membership, reference_data.sectors, reference_data.macro):
        warnings += part.warnings if part is not None else ()
    return warnings
