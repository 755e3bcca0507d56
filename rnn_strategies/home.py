"""Where work that outlives a run is kept: trained networks, inputs by content, trials, locks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from signals.errors import LockedError
from signals.storage import ContentStore, sha256_bytes

__all__ = ["Home", "default_home"]


def default_home() -> Home:
    """`.rnn-strategies` in the working folder, or the folder `RNN_STRATEGIES_HOME` names."""
    return Home(Path(os.environ.get("RNN_STRATEGIES_HOME", ".rnn-strategies")))


@dataclass(frozen=True, slots=True)
class Home:
    """The working folder of the project.

    Parameters
    ----------
    root : Path
        Made when first written to. Deleting it loses time, never results.
    """

    root: Path

    @property
    def artifacts(self) -> Path:
        """Trained networks, one per fold and seed."""
        return self.root / "artifacts"

    @property
    def inputs(self) -> ContentStore:
        """Prices as they were read, under the hash of their content."""
        return ContentStore(self.root / "inputs")

    @property
    def trials(self) -> Path:
        """Every run that was ever started."""
        return self.root / "trials.jsonl"

    @contextmanager
    def lock(self, name: str, *, wait: float = 0.0) -> Iterator[None]:
        """Hold a named lock, or raise `LockedError` when another process has it for longer than `wait` seconds."""
        folder = self.root / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(folder / f"{sha256_bytes(name.encode())[:16]}.lock", timeout=wait):
                yield
        except Timeout:
            raise LockedError(
                f"expected {name} to be free; found another process working on it; wait for it, or choose another --out"
            ) from None
