"""Manifest of a run folder: content hashes of inputs and outputs, versions, and the keys of finished stages."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from signals.common.errors import InputError
from signals.common.storage import canonical_json, read_json, sha256_bytes, sha256_file, write_json
from signals.data.prices import Prices

__all__ = ["Manifest", "key_of", "versions"]

SCHEMA = 1
STAGES = ("signals", "backtest")
PACKAGES = (
    "rnn-strategies",
    "backtrader",
    "empyrical-reloaded",
    "exchange-calendars",
    "jax",
    "keras",
    "llvmlite",
    "matplotlib",
    "numba",
    "numpy",
    "pandas",
    "pyarrow",
    "pyfolio-reloaded",
    "scikit-learn",
    "statsmodels",
    "tensorflow",
    "torch",
)


class Manifest:
    """`manifest.json` of a run folder. It holds no times or paths of a run, so a repeated run writes the same bytes.

    Parameters
    ----------
    folder : Path
        The run folder; an existing manifest is read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "manifest.json"
        self.data: dict[str, Any] = read_json(self.path) if self.path.exists() else {}
        if not _has_manifest_schema(self.data):
            raise InputError(
                f"expected {self.path} as this program writes it; found other contents; delete it and run again"
            )

    def write(self, **facts: Any) -> None:
        """Write the manifest, with facts about the run added."""
        self.data |= facts
        stages = self.data.get("stages", {}).values()
        self.data |= {
            "schema": SCHEMA,
            "versions": versions(),
            "outputs": {file: digest for stage in stages for file, digest in stage["outputs"].items()},
        }
        write_json(self.path, self.data)

    def rename(self, name: str) -> None:
        """Record another name of the run; results and versions stay as they are."""
        if self.data.get("name") != name:
            self.data["name"] = name
            write_json(self.path, self.data)

    def renew(self, stage: str, files: Iterable[str]) -> None:
        """Record new hashes of files of a finished stage that were written again."""
        for file in files:
            self.data["outputs"][file] = self.data["stages"][stage]["outputs"][file] = sha256_file(self.folder / file)
        write_json(self.path, self.data)

    # -- inputs -----------------------------------------------------------------------------------------------------

    def input(self, name: str) -> dict[str, Any] | None:
        """Record of an input: content hash, `meta`, rows, tickers, first and last date; None when there is none."""
        record: dict[str, Any] | None = self.data.get("inputs", {}).get(name)
        return record

    def keep_input(self, name: str, prices: Prices, digest: str) -> None:
        """Record prices under their content hash."""
        self.data.setdefault("inputs", {})[name] = {
            "sha256": digest,
            "meta": prices.meta(),
            "rows": len(prices.frame),
            "tickers": len(prices.tickers),
            "first": str(prices.first),
            "last": str(prices.last),
        }

    # -- stages -----------------------------------------------------------------------------------------------------

    def is_done(self, stage: str, key: str | None = None) -> bool:
        """Whether a stage is finished (with this key, if one is given) and its files are unchanged since."""
        done = self.data.get("stages", {}).get(stage)
        if done is None or (key is not None and done["key"] != key):
            return False
        return all(
            (self.folder / file).exists() and sha256_file(self.folder / file) == digest
            for file, digest in done["outputs"].items()
        )

    def forget(self, stage: str) -> bool:
        """Mark a stage and every later one as unfinished; return whether any was finished."""
        stages = self.data.get("stages", {})
        return bool([name for name in STAGES[STAGES.index(stage) :] if stages.pop(name, None)])

    def finish(self, stage: str, key: str, files: Iterable[str]) -> None:
        """Record that a stage is finished, with the key of its inputs and the hashes of the files that it wrote."""
        outputs = {file: sha256_file(self.folder / file) for file in files}
        self.data.setdefault("stages", {})[stage] = {"key": key, "outputs": outputs}


def _has_manifest_schema(data: Any) -> bool:
    """Whether the parts of a manifest that this program reads have the expected types."""
    if not isinstance(data, dict):
        return False
    stages, inputs = data.get("stages", {}), data.get("inputs", {})
    return (
        isinstance(stages, dict)
        and isinstance(inputs, dict)
        and all(isinstance(s, dict) and isinstance(s.get("outputs"), dict) and "key" in s for s in stages.values())
        and all(isinstance(i, dict) and "sha256" in i and "meta" in i for i in inputs.values())
        and ("backtest" not in stages or isinstance(data.get("backtest"), dict))
    )


def key_of(*parts: Any) -> str:
    """SHA-256 of plain values."""
    return sha256_bytes(canonical_json(list(parts)))


def versions() -> dict[str, str]:
    """Versions of Python, the Keras backend and the packages of `PACKAGES` that are installed."""
    installed = {
        "python": ".".join(map(str, sys.version_info[:3])),
        "keras_backend": _keras_backend(),
    }
    for name in PACKAGES:
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            continue
    return installed


def _keras_backend() -> str:
    """Name of the backend that Keras would load, in its own order of precedence, without importing Keras."""
    home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    try:
        configured = json.loads((home / "keras.json").read_bytes()).get("backend")
    except (OSError, ValueError, AttributeError):
        configured = None
    return os.environ.get("KERAS_BACKEND") or configured or "tensorflow"
