"""Workspace of stored networks and inputs, and locks on files and folders."""

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
    """Hold the lock of a file or folder: a hidden file in the same folder.

    The lock file is not removed afterwards, because removing it would allow two processes to hold the lock.

    Raises
    ------
    LockedError
        When another process holds the lock for longer than `wait` seconds.
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
            f"expected to write in the folder of {path}; found an error of the system: {error.strerror or error}; "
            "choose another folder"
        ) from error


def default_home() -> Home:
    """Workspace in the folder that `RNN_STRATEGIES_HOME` names, or `.rnn-strategies` in the working folder."""
    return Home(Path(os.environ.get("RNN_STRATEGIES_HOME", ".rnn-strategies")))


@dataclass(frozen=True, slots=True)
class Home:
    """Workspace: folder of stored networks and inputs.

    Parameters
    ----------
    root : Path
        The folder, created by the first write. After its deletion networks are trained again, with the same results.
        Only bars from Yahoo, in its sub-folder `yahoo`, cannot be restored: they are downloaded again as Yahoo has
        revised them since. The trial ledger is not in it.
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
        """Trial ledger of former versions, which is imported into the user's ledger once and not changed."""
        return self.root / "trials.jsonl"
