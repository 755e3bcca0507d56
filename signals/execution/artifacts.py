"""Store of trained networks, one per fold and seed, keyed by a hash of everything that determines them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signals.common.errors import InputError
from signals.common.storage import atomic_write, canonical_json, read_json, sha256_bytes, write_json
from signals.dataset.fold_data import Scaler
from signals.trainers.base import EpochLoss, Fitted, Weights

__all__ = ["ARTIFACT_SCHEMA", "Artifact", "ArtifactStore", "artifact_key"]

# Incremented whenever the same rows and settings would train to other weights than before.
ARTIFACT_SCHEMA = 2


@dataclass(frozen=True, slots=True)
class Artifact:
    """A trained network with its scaler and vocabularies.

    Parameters
    ----------
    fitted : Fitted
        Weights, epochs and losses.
    tickers : tuple of str
        Vocabulary: ticker i has id i + 1, id 0 is the unknown ticker.
    scaler : Scaler
        Scaling of features and target.
    trained_until : str
        Last session whose price entered a label, ISO date.
    groups : mapping of str to tuple of str
        Vocabularies of other categoricals: label i has id i + 1, any other id 0.
    """

    fitted: Fitted
    tickers: tuple[str, ...]
    scaler: Scaler
    trained_until: str
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def artifact_key(facts: Mapping[str, Any]) -> str:
    """SHA-256 of the facts and the artifact schema, as canonical JSON."""
    return sha256_bytes(canonical_json({**facts, "artifact_schema": ARTIFACT_SCHEMA}))


class ArtifactStore:
    """Folder of artifacts: `root/<key[:2]>/<key>/{weights.h5, meta.json}`.

    `meta.json` is written last and contains the checksum of the weights, so an incomplete or damaged artifact counts as
    absent, and its network is trained again.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def folder(self, key: str) -> Path:
        """Folder of the artifact with this key, whether it exists or not."""
        return self.root / key[:2] / key

    def save(self, key: str, artifact: Artifact) -> None:
        """Write an artifact: weights first, then `meta.json`, which makes it valid."""
        weights = _to_hdf5(artifact.fitted.weights)
        atomic_write(self.folder(key) / "weights.h5", weights)
        write_json(
            self.folder(key) / "meta.json",
            {
                "schema": ARTIFACT_SCHEMA,
                "weights_sha256": sha256_bytes(weights),
                "epochs": artifact.fitted.epochs,
                "history": [[e.loss, _none_if_nan(e.validation_loss)] for e in artifact.fitted.history],
                "tickers": list(artifact.tickers),
                "scaler": {name: list(values) for name, values in _scaler_fields(artifact.scaler).items()},
                "trained_until": artifact.trained_until,
                **({"groups": {k: list(v) for k, v in artifact.groups.items()}} if artifact.groups else {}),
            },
        )

    def load(self, key: str) -> Artifact | None:
        """Read an artifact, or None when it is absent, incomplete or damaged."""
        try:
            meta = read_json(self.folder(key) / "meta.json")
            content = (self.folder(key) / "weights.h5").read_bytes()
            if meta["schema"] != ARTIFACT_SCHEMA or sha256_bytes(content) != meta["weights_sha256"]:
                return None
            history = tuple(EpochLoss(a, float("nan") if b is None else b) for a, b in meta["history"])
            bounds: dict[str, Any] = {name: tuple(map(float, values)) for name, values in meta["scaler"].items()}
            return Artifact(
                Fitted(_from_hdf5(content), int(meta["epochs"]), history),
                tuple(meta["tickers"]),
                Scaler(**bounds),
                str(meta["trained_until"]),
                {name: tuple(labels) for name, labels in meta.get("groups", {}).items()},
            )
        except (InputError, OSError, AttributeError, KeyError, TypeError, ValueError):
            return None


def _scaler_fields(scaler: Scaler) -> dict[str, tuple[float, ...]]:
    """Fields of a scaler as JSON values, without an infinite target scaling, which JSON cannot represent."""
    fields: dict[str, tuple[float, ...]] = asdict(scaler)
    if not all(np.isfinite(fields["target"])):
        fields.pop("target")
    return fields


def _none_if_nan(value: float) -> float | None:
    return None if np.isnan(value) else value


def _to_hdf5(weights: Weights) -> bytes:
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w", track_order=False) as file:
        for name in sorted(weights):
            # names hold slashes, which HDF5 would read as groups
            file.create_dataset(name.replace("/", "|"), data=weights[name], track_times=False)
    return buffer.getvalue()


def _from_hdf5(content: bytes) -> dict[str, NDArray[np.float32]]:
    import h5py

    with h5py.File(io.BytesIO(content), "r") as file:
        return {name.replace("|", "/"): np.asarray(file[name]) for name in file}
