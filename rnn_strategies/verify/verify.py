"""`rnn-strategies verify`: every figure of a run computed again from its files; the first one that differs is named."""

from __future__ import annotations

import os
import tempfile
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from rnn_strategies.runs.workspace import Home, default_home, locked
from rnn_strategies.verify.forecast_folder import is_forecast, verify_forecast
from rnn_strategies.verify.steps import Verification
from signals.common.errors import InputError, RnnStrategiesError
from signals.common.progress_events import ProgressCallback, ignore_progress
from signals.common.storage import read_json

__all__ = ["Finding", "Verified", "verify_run"]


@dataclass(frozen=True, slots=True)
class Finding:
    """A file of a run that does not say what was recomputed.

    Parameters
    ----------
    file : str
        Its name in the run folder, or a path where it lies elsewhere.
    text : str
        Half a sentence: the first figure that differs, in the file and recomputed.
    """

    file: str
    text: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What verifying a run has shown.

    Parameters
    ----------
    folder : Path
        The run.
    findings : tuple of Finding
        At most one a file, in the order in which the files are made.
    warnings : tuple of str
        What could not be recomputed, and what does not belong.
    files, figures : int
        Files that were looked at, and figures of `metrics.json` among them.
    figures_of : str
        The file those figures are in; forecasts of series have `accuracy.json` instead.
    """

    folder: Path
    findings: tuple[Finding, ...]
    warnings: tuple[str, ...]
    files: int
    figures: int
    figures_of: str = "metrics.json"

    @property
    def passed(self) -> bool:
        """Whether nothing differs."""
        return not self.findings

    def text(self) -> str:
        """One line per finding, or one that says there is none; then what could not be recomputed."""
        lines = [f"{self.folder / one.file}: {one.text}" for one in self.findings]
        if self.passed:
            counted = f"{self.files} files, {self.figures} figures in {self.figures_of}"
            lines.append(f"{self.folder}: nothing differs ({counted})")
        lines += [f"{self.folder}: note: {line}" for line in self.warnings]
        return "\n".join(" ".join(line.split()) for line in lines)


def verify_run(
    folder: Path | str, *, home: Home | None = None, on_progress: ProgressCallback = ignore_progress
) -> Verified:
    """Compute every figure of a run again and compare; nothing is written.

    Prices come from the content store, trained networks from where they are kept; the stages then run again in a
    scratch folder, by the code that made them, and every file of the run must be what comes out, byte for byte but for
    the line that says when the report was made. What is not kept any more is said, and what follows from it is held to
    the other files of the run instead.

    Parameters
    ----------
    folder : Path or str
        A run folder.
    home : Home, optional
        Where networks and inputs are kept; `.rnn-strategies` when not given.
    on_progress : callable
        Told of progress.

    Returns
    -------
    Verified
        A run made by other versions of its libraries is compared to nine digits, its pictures not at all.

    Raises
    ------
    InputError
        When there is no such folder.
    LockedError
        When another process works on it.

    Notes
    -----
    The trials that the run was selected from are those of its own `trials.parquet`: no ledger is needed. Where the
    trial ledger of this user has a record of the folder, the run is compared with that record too.

    Who changes prices, networks, ledger and every file of a run to one consistent story is not found out: what lies
    outside the run folder is the anchor.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"expected a run folder {folder}; found none; name the folder that `run` wrote")
    with _undisturbed(folder), tempfile.TemporaryDirectory(prefix="rnn-strategies-verify-") as scratch:
        if is_forecast(folder):
            made = verify_forecast(folder, home or default_home(), Path(scratch), on_progress)
            differing = tuple(Finding(file, text) for file, text in made.findings)
            return Verified(folder, differing, tuple(made.warnings), len(made.seen), made.figures, "accuracy.json")
        work = Verification(folder, home or default_home(), Path(scratch), on_progress)
        work.go()
    found = tuple(Finding(file, text) for file, text in work.in_order())
    return Verified(folder, found, tuple(dict.fromkeys(work.warnings)), len(work.seen), _figures(folder))


def _figures(folder: Path) -> int:
    try:
        found = read_json(folder / "metrics.json")
    except RnnStrategiesError:
        return 0
    return len(found) if isinstance(found, dict) else 0


def _undisturbed(folder: Path) -> AbstractContextManager[None]:
    """Hold the lock of a run if it left one; verifying must not leave one of its own."""
    lock = folder.resolve().parent / f".{folder.resolve().name}.lock"
    return locked(folder) if lock.exists() and os.access(lock, os.W_OK) else nullcontext()
