"""The files a configuration names beside prices: index members, sectors, ticker changes, macro series."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from signals.dataset import Beside
from signals.macro import read_macro
from signals.membership import membership_remarks, read_membership
from signals.sectors import read_sectors
from signals.symbols import read_symbols

if TYPE_CHECKING:
    from signals.prices import Prices
    from signals.symbols import SymbolTable

__all__ = ["beside_digests", "beside_remarks", "read_beside", "symbols_of"]


def read_beside(paths: Mapping[str, Any]) -> Beside:
    """Read the files that `[universe]` and `[features]` name (`Config.beside`).

    Raises
    ------
    InputError
        Saying what in which file is not as expected.
    """
    macro = dict(paths.get("macro") or {})
    return Beside(
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
    return read_symbols(Path(settings.pop("path")), **settings)


def beside_digests(beside: Beside) -> dict[str, str]:
    """Content hash of every file that was read, by its name."""
    found: dict[str, str] = {}
    for part in (beside.membership, beside.sectors, beside.macro):
        if part is not None:
            found |= part.files
    return found


def beside_remarks(beside: Beside, prices: Prices, drawn: Iterable[str]) -> list[str]:
    """List what a reader of the report must know about them; `drawn` are the dates the universe was drawn on."""
    remarks = []
    if beside.membership is not None:
        remarks += membership_remarks(prices.panel(), drawn, beside.membership)
    for part in (beside.membership, beside.sectors, beside.macro):
        remarks += part.notes if part is not None else ()
    return remarks
