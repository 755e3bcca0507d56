"""Inputs of a run for its verification: prices from the content store and, where possible, from their source."""

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

__all__ = ["StoredInputs", "changed_reference_file", "read_inputs"]

# Sources that return the same prices every time; downloads are not repeated for a verification.
REPEATABLE = ("simulated", "files")


@dataclass(slots=True)
class StoredInputs:
    """Prices of a run, as far as they are still stored.

    Parameters
    ----------
    prices, benchmark : Prices or None
        Prices, and those of a benchmark with a source of its own; None when they are not stored.
    findings : list of (str, str)
        File and finding.
    warnings : list of str
        Inputs that are missing or changed.
    """

    prices: Prices | None = None
    benchmark: Prices | None = None
    findings: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def read_inputs(
    folder: Path, config: Config | None, claims: Mapping[str, Any], home: Home, scratch: Path
) -> StoredInputs:
    """Load the inputs that a manifest names, and check their hashes.

    Parameters
    ----------
    folder : Path
        The run folder.
    config : Config, optional
        Configuration of the run; with None the price source is not read.
    claims : mapping
        Manifest of the run.
    home : Home
        Folder of stored inputs.
    scratch : Path
        Temporary folder.
    """
    result = StoredInputs()
    inputs = claims.get("inputs", {})
    if "prices" not in inputs:
        result.findings.append(("manifest.json", "names no prices"))
        return result
    result.prices = _stored("prices", inputs["prices"], home, result)
    if "benchmark" in inputs:
        result.benchmark = _stored("benchmark", inputs["benchmark"], home, result)
    if config is not None and config.prices["source"] in REPEATABLE:
        _compare_with_source(folder, config, inputs["prices"], home, scratch, result)
    if result.prices is None:
        result.warnings.append(
            f"the prices are not stored in {home.inputs.root}: results that depend on them were not recomputed"
        )
    if "benchmark" in inputs and result.benchmark is None:
        result.warnings.append(
            f"the prices of the benchmark are not stored in {home.inputs.root}: its returns were used without "
            "recomputation"
        )
    return result


def _stored(name: str, known: Mapping[str, Any], home: Home, result: StoredInputs) -> Prices | None:
    digest = known["sha256"]
    if not isinstance(digest, str) or not re.fullmatch(r"[0-9a-f]{64}", digest):
        result.findings.append(("manifest.json", f"inputs.{name}.sha256 is {digest!r}, which is no SHA-256"))
        return None
    path = home.inputs.path(digest)
    if home.inputs.get(digest) is None:
        if path.exists():
            result.findings.append(
                (str(path), f"holds {name} whose hash is not the name of the file: they were changed after the run")
            )
        return None
    try:
        return Prices.load(path, known["meta"])
    except (InputError, TypeError, ValueError) as error:
        result.findings.append(
            ("manifest.json", f"inputs.{name}.meta does not describe the {name} of the run: {error}")
        )
        return None


def _compare_with_source(
    folder: Path, config: Config, known: Mapping[str, Any], home: Home, scratch: Path, result: StoredInputs
) -> None:
    """Read the prices from their source again, and compare their hash and the facts of the manifest about them."""
    try:
        again = RunFolder(folder, config, home)._load("prices", dict(config.prices))
    except (RnnStrategiesError, OSError):
        return  # the file may have been moved since
    path = scratch / "prices.again"
    again.save(path)
    same = sha256_file(path) == known["sha256"]
    path.unlink()
    if not same:
        result.warnings.append("the source of the prices now returns other prices than those of the run")
        return
    result.prices = result.prices or again
    differences = list(json_differences(known["meta"], again.meta(), place="inputs.prices.meta"))
    if differences:
        place, stated, actual = differences[0]
        result.findings.append(("manifest.json", f"{place} is {stated!r}; by its source it is {actual!r}"))
        result.prices = again


def changed_reference_file(config: Config, claims: Mapping[str, Any]) -> str | None:
    """Describe the first reference file that is missing or changed; None when there is none."""
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
    return f"the reference file {changed[0]} was changed after the run" if changed else None
