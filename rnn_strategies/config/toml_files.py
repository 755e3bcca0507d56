"""TOML files as plain tables: reading, overrides of the command line, hashing and writing."""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import tomli_w

from signals.common.errors import InputError
from signals.common.storage import canonical_json, sha256_bytes

__all__ = ["config_hash", "dropped", "is_of_series", "plain_values", "read_tables", "resolve_path", "to_toml"]


def read_tables(path: Path | str, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read a TOML file and apply overrides.

    Parameters
    ----------
    path : Path or str
        The file.
    overrides : sequence of str
        `"table.key=value"`, the value as TOML; text needs no quotes.

    Raises
    ------
    InputError
        When the file cannot be read or is not TOML, or when an override is not of the form `table.key=value`.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise InputError(
            f"expected a configuration file {path}; found none that can be read ({reason}); "
            "write one with `rnn-strategies init`"
        ) from error
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"expected TOML in {path}; found a syntax error: {error}; correct that line") from error
    for override in overrides:
        _apply_override(tables, override)
    return tables


def is_of_series(target: Path | str) -> bool:
    """Return whether a configuration file, or that of a run folder, has a table `[series]`."""
    path = Path(target)
    file = path / "config.toml" if path.is_dir() else path
    return file.is_file() and "series" in read_tables(file)


def plain_values(value: Any, name: str = "") -> Any:
    """Convert TOML dates (written without quotes) to text, and reject `nan` and `inf`, which no setting accepts."""
    if isinstance(value, Mapping):
        return {key: plain_values(inner, f"{name}.{key}" if name else str(key)) for key, inner in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(
            f"expected {name} to be a finite number; found {value}; leave the key out to have no limit, or write a "
            "number larger than every score"
        )
    return value.isoformat() if isinstance(value, date) else value


def resolve_path(path: str, base: Path) -> Path:
    """Expand `~` and `${VARIABLE}` in a path, and return it as an absolute path; a relative one starts at `base`."""
    if not path:
        raise InputError("expected the path of a file or folder; found an empty text; write the path")
    expanded = os.path.expandvars(os.path.expanduser(path))
    if "$" in expanded:
        raise InputError(
            f"expected every environment variable in {path!r} to be set; found one that is not; export it or write "
            "the path"
        )
    return Path(os.path.abspath(base / expanded))


def to_toml(tables: Mapping[str, Any]) -> str:
    """Return tables as TOML text; keys whose value is None are left out, because TOML cannot express None."""
    return tomli_w.dumps(_without_none(tables))


def config_hash(tables: Any) -> str:
    """SHA-256 of plain tables, as hexadecimal text."""
    return sha256_bytes(canonical_json(tables))


def dropped(tables: Any, *names: str) -> Any:
    """Return tables without the keys of the given names, at any depth."""
    if isinstance(tables, dict):
        return {key: dropped(value, *names) for key, value in tables.items() if key not in names}
    return tables


def _apply_override(tables: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key.strip():
        raise InputError(f"expected --set table.key=value; found {override!r}")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    *path, last = key.strip().split(".")
    table = tables
    for name in path:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise InputError(f"expected {key!r} to name a setting in a table; found that {name!r} is not a table")
    table[last] = value


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(inner) for key, inner in value.items() if inner is not None}
    return value
