"""What a run was made from: prices from the content store and, where that is possible, from their source."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rnn_strategies.config.panel_config import Config
from rnn_strategies.config.reference_files import read_reference_data, reference_digests
from rnn_strategies.runs.run_folder import RunFolder
from rnn_strategies.runs.workspace import Home
from rnn_strategies.verify.file_differences import json_differences
from signals.common.errors import InputError, RnnStrategiesError
from signals.common.storage import sha256_file
from signals.data.prices import Prices
from signals.models.saved_keras import SavedKerasModel

__all__ = ["Inputs", "beside_is_there", "read_inputs"]

# Sources that give the same again whenever they are asked; a download is not repeated to verify a run.
REPEATABLE = ("simulated", "files")


@dataclass(slots=True)
class Inputs:
    """Prices of a run, as far as they are still there.

    Parameters
    ----------
    prices, benchmark : Prices or None
        The benchmark only where it has a source of its own.
    findings : list of (str, str)
        File, and what is wrong with it.
    warnings : list of str
        What is not there any more.
    """

    prices: Prices | None = None
    benchmark: Prices | None = None
    findings: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def read_inputs(folder: Path, config: Config | None, claims: Mapping[str, Any], home: Home, scratch: Path) -> Inputs:
    """Load the inputs that a manifest names, and hold them to their hashes.

    Parameters
    ----------
    folder : Path
        The run.
    config : Config, optional
        Its configuration; None leaves the source alone.
    claims : mapping
        Its manifest.
    home : Home
        Where inputs are kept.
    scratch : Path
        Folder to write to.
    """
    found = Inputs()
    inputs = claims.get("inputs", {})
    if "prices" not in inputs:
        found.findings.append(("manifest.json", "names no prices"))
        return found
    found.prices = _stored("prices", inputs["prices"], home, found)
    if "benchmark" in inputs:
        found.benchmark = _stored("benchmark", inputs["benchmark"], home, found)
    if config is not None and config.prices["source"] in REPEATABLE:
        _compare_with_source(folder, config, inputs["prices"], home, scratch, found)
    if found.prices is None:
        found.warnings.append(
            f"the prices are not kept in {home.inputs.root}: what follows from them was not recomputed"
        )
    if "benchmark" in inputs and found.benchmark is None:
        found.warnings.append(
            f"the prices of the benchmark are not kept in {home.inputs.root}: its returns are taken as they are"
        )
    return found


def _stored(name: str, known: Mapping[str, Any], home: Home, found: Inputs) -> Prices | None:
    digest = known["sha256"]
    if not isinstance(digest, str) or not re.fullmatch(r"[0-9a-f]{64}", digest):
        found.findings.append(("manifest.json", f"inputs.{name}.sha256 is {digest!r}, which is no SHA-256"))
        return None
    path = home.inputs.path(digest)
    if home.inputs.get(digest) is None:
        if path.exists():
            found.findings.append(
                (str(path), f"holds other {name} than its name says: they were changed after the run")
            )
        return None
    try:
        return Prices.load(path, known["meta"])
    except (InputError, TypeError, ValueError) as error:
        found.findings.append(("manifest.json", f"inputs.{name}.meta does not describe the {name} of the run: {error}"))
        return None


def _compare_with_source(
    folder: Path, config: Config, known: Mapping[str, Any], home: Home, scratch: Path, found: Inputs
) -> None:
    """Read the prices from their source once more: only there is what the manifest says about them."""
    try:
        again = RunFolder(folder, config, home)._load("prices", dict(config.prices))
    except (RnnStrategiesError, OSError):
        return  # a file that has moved since proves nothing
    path = scratch / "prices.again"
    again.save(path)
    same = sha256_file(path) == known["sha256"]
    path.unlink()
    if not same:
        found.warnings.append("the source of the prices now gives others than those the run was made from")
        return
    found.prices = found.prices or again
    differences = list(json_differences(known["meta"], again.meta(), place="inputs.prices.meta"))
    if differences:
        place, stated, true = differences[0]
        found.findings.append(("manifest.json", f"{place} is {stated!r}; its source says {true!r}"))
        found.prices = again


def beside_is_there(config: Config, claims: Mapping[str, Any]) -> str | None:
    """Say which of the files that were read beside prices is not what it was; None when all are."""
    if config.signals is not None:
        return None
    try:
        digests = reference_digests(read_reference_data(config.reference_files))
        if isinstance(config.model, SavedKerasModel):
            config.model.digest()
    except (RnnStrategiesError, OSError) as error:
        return str(error)
    stated = claims.get("files")
    changed = [name for name, _, _ in json_differences(stated, digests)]
    return f"{changed[0]} is not the file it was" if changed else None
