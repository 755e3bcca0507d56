"""Verification of a run: every figure is recomputed from its files, and the first one that differs is reported."""

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
    """A file of a run that differs from the recomputed one.

    Parameters
    ----------
    file : str
        Name of the file in the run folder, or the path of a file elsewhere.
    text : str
        Predicate of a sentence about the file: the first figure that differs, as written and as recomputed.
    """

    file: str
    text: str


@dataclass(frozen=True, slots=True)
class Verified:
    """Result of the verification of a run.

    Parameters
    ----------
    folder : Path
        The run folder.
    findings : tuple of Finding
        At most one per file, in the order in which the files are written.
    warnings : tuple of str
        Results that could not be recomputed, and files that do not belong to the run.
    files, figures : int
        Numbers of compared files, and of compared figures in `figures_of`.
    figures_of : str
        File with the figures: `metrics.json` by default, `accuracy.json` for forecasts of series.
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
        """One line per finding, or a line that nothing differs; then the warnings."""
        lines = [f"{self.folder / finding.file}: {finding.text}" for finding in self.findings]
        if self.passed:
            counts = f"{self.files} files, {self.figures} figures in {self.figures_of}"
            lines.append(f"{self.folder}: nothing differs ({counts})")
        lines += [f"{self.folder}: note: {line}" for line in self.warnings]
        return "\n".join(" ".join(line.split()) for line in lines)


def verify_run(
    folder: Path | str, *, home: Home | None = None, on_progress: ProgressCallback = ignore_progress
) -> Verified:
    """Recompute every figure of a run and compare it with the files of the run; nothing is written.

    Prices are read from the content store and trained networks from the workspace. The stages run again in a temporary
    folder, and every file of the run must equal the recomputed file byte for byte, except for the line of the report
    with its date and durations. Inputs that are no longer stored are reported as warnings, and the files that depend on
    them are checked for consistency with the other files of the run instead.

    Parameters
    ----------
    folder : Path or str
        A run folder.
    home : Home, optional
        Folder of stored networks and inputs; `.rnn-strategies` by default.
    on_progress : callable
        Called with every `ProgressEvent`; ignores them by default.

    Returns
    -------
    Verified
        Findings and warnings. A run computed with other versions of its libraries is compared to nine digits, without
        its charts.

    Raises
    ------
    InputError
        When there is no such folder.
    LockedError
        When another process works on it.

    Notes
    -----
    The trials that the run was selected from are read from its `trials.parquet`, so no ledger is needed. Where the
    trial ledger of this user has a record of the folder, the run is compared with that record too.

    Consistent changes of prices, networks, ledger and every file of a run are not detected: the check relies on the
    data outside the run folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"expected a run folder {folder}; found none; name the folder that `run` wrote")
    with _existing_lock(folder), tempfile.TemporaryDirectory(prefix="rnn-strategies-verify-") as scratch:
        if is_forecast(folder):
            result = verify_forecast(folder, home or default_home(), Path(scratch), on_progress)
            findings = tuple(Finding(file, text) for file, text in result.findings)
            return Verified(folder, findings, tuple(result.warnings), len(result.seen), result.figures, "accuracy.json")
        verification = Verification(folder, home or default_home(), Path(scratch), on_progress)
        verification.run_checks()
    findings = tuple(Finding(file, text) for file, text in verification.in_order())
    warnings = tuple(dict.fromkeys(verification.warnings))
    return Verified(folder, findings, warnings, len(verification.seen), _count_figures(folder))


def _count_figures(folder: Path) -> int:
    try:
        metrics = read_json(folder / "metrics.json")
    except RnnStrategiesError:
        return 0
    return len(metrics) if isinstance(metrics, dict) else 0


def _existing_lock(folder: Path) -> AbstractContextManager[None]:
    """Hold the lock of a run if its lock file exists; verification must not create one."""
    lock = folder.resolve().parent / f".{folder.resolve().name}.lock"
    return locked(folder) if lock.exists() and os.access(lock, os.W_OK) else nullcontext()
