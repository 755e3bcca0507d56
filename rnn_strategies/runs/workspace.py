"""Workspace that outlives a run: trained networks and inputs by content; and locks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from signals.common.errors import InputError, LockedError
from signals.common.storage import ContentStore

__all__ = ["Home", "default_home", "locked"]


@contextmanager
def locked(path: Path, *, wait: float = 0.0) -> Iterator[None]:
    """Hold the lock of a file or folder, a hidden file beside it, which stays: removing it would let two in.

    Raises
    ------
    LockedError
        When another process has it for longer than `wait` seconds.
    """
    path = Path(path).resolve()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.parent / f".{path.name}.lock", timeout=wait):
            yield
    except Timeout:
        raise LockedError(
            f"expected {path} to be free; found another process working on it; wait for it, or choose another --out"
        ) from None
    except OSError as error:
        raise InputError(
            f"expected to write beside {path}; the system says: {error.strerror or error}; choose another folder"
        ) from error


def default_home() -> Home:
    """`.rnn-strategies` in the working folder, or the folder `RNN_STRATEGIES_HOME` names."""
    return Home(Path(os.environ.get("RNN_STRATEGIES_HOME", ".rnn-strategies")))


@dataclass(frozen=True, slots=True)
class Home:
    """The working folder of the project.

    Parameters
    ----------
    root : Path
        Made when first written to. It is a cache: deleting it costs time, never results. The trial ledger is not in it.
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
        """Trial ledger of former versions; it is imported into the user's ledger once and left as it is."""
        return self.root / "trials.jsonl"
