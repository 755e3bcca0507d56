"""Import of the trial ledger that former versions kept in the workspace, once, into the user's ledger."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from rnn_strategies.runs.workspace import Home
from rnn_strategies.trials.comparable_trials import returns_in_folder
from rnn_strategies.trials.trial_ledger import Trial, TrialLedger, parse_trials
from signals.common.errors import InputError
from signals.common.storage import sha256_bytes

__all__ = ["import_old_ledger"]


def import_old_ledger(ledger: TrialLedger, home: Home) -> None:
    """Import `trials.jsonl` of a workspace, unless a file of this content was imported before.

    Parameters
    ----------
    ledger : TrialLedger
        The user's ledger, which records the source of the trials.
    home : Home
        The workspace. Its file is read and not changed.

    Raises
    ------
    InputError
        When there is such a file and it cannot be read, or the user's ledger cannot be written.

    Notes
    -----
    Trials that the user's ledger already has stay as they are there. Paths become absolute; returns that the run
    folders still hold are copied. Former ledgers have no evaluation sets: their trials count among those of a run whose
    universe settings, calendar and period are the same text. Configurations that the audit varied are marked as
    experiments.
    """
    try:
        content = home.trials.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise InputError(
            f"expected to import the trial ledger {home.trials}; found an error of the system: "
            f"{error.strerror or error}; make it readable, or move it elsewhere to leave its trials out"
        ) from error
    digest = sha256_bytes(content)
    if digest not in ledger.imports():
        ledger.take_in(list(_converted(content, ledger, home)), source=home.trials.resolve(), digest=digest)


def _converted(content: bytes, ledger: TrialLedger, home: Home) -> Iterator[Trial]:
    for trial in parse_trials(content).values():
        folder = digest = None
        if trial.returns is not None:  # a path, relative to the folder that holds the workspace
            folder = (home.root.parent / Path(trial.returns)).resolve().parent
            returns = returns_in_folder(folder, trial.config)
            digest = None if returns is None else ledger.keep_returns(returns)
        yield replace(
            trial,
            returns=digest,
            folder=None if folder is None else str(folder),
            experiment=trial.kind == "audit" and trial.parent is not None,
        )
