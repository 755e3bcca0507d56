"""The trial ledger: every run anybody started, because a trial nobody counted cannot be counted later."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from rnn_strategies.home import Home, locked
from signals.errors import InputError

__all__ = ["Trial", "finish_trial", "read_trials", "start_trial"]


@dataclass(frozen=True, slots=True)
class Trial:
    """One way of looking at one set of prices.

    Parameters
    ----------
    id : str
        Hash of configuration and prices: running the same again is not another trial.
    parent : str or None
        Trial this one varies.
    config : str
        Configuration hash.
    kind : str
        `"run"`, or what else made it.
    family : dict
        Universe, calendar and period: trials that could have been chosen from each other.
    status : str
        `"started"`, `"done"` or `"failed"`.
    sharpe : float or None
        Annualised, once known.
    returns : str or None
        Path of the returns, relative to the folder that holds the ledger's folder where possible.
    """

    id: str
    parent: str | None
    config: str
    kind: str
    family: dict[str, Any]
    status: str
    sharpe: float | None = None
    returns: str | None = None


def read_trials(home: Home) -> dict[str, Trial]:
    """Latest state of every trial, oldest first; a line cut short by a crash is passed over."""
    trials: dict[str, Trial] = {}
    try:
        lines = home.trials.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return trials
    for line in lines:
        try:
            entry = json.loads(line)
            entry.pop("at", None)
            trials[entry["id"]] = Trial(**entry)
        except (ValueError, KeyError, TypeError):
            continue
    return trials


def start_trial(home: Home, trial: Trial) -> None:
    """Append a trial that begins, unless it has been counted already."""
    with locked(home.trials, wait=30):
        if trial.id not in read_trials(home):
            _append(home, trial)


def finish_trial(home: Home, trial: Trial) -> None:
    """Append how a trial ended, unless that very end is on record."""
    with locked(home.trials, wait=30):
        if read_trials(home).get(trial.id) != trial:
            _append(home, trial)


def _append(home: Home, trial: Trial) -> None:
    entry = {**asdict(trial), "at": datetime.now(UTC).isoformat(timespec="seconds")}
    line = json.dumps(entry, sort_keys=True, ensure_ascii=False) + "\n"
    try:
        home.trials.parent.mkdir(parents=True, exist_ok=True)
        with open(home.trials, "ab") as handle:
            # a crash may have left half a line behind: begin on a fresh one
            torn = handle.tell() > 0 and not _ends_with_newline(home)
            handle.write(b"\n" * torn + line.encode())
            handle.flush()
            os.fsync(handle.fileno())
    except OSError as error:
        raise InputError(
            f"expected to append to {home.trials}; the system says: {error.strerror}; make room"
        ) from error


def _ends_with_newline(home: Home) -> bool:
    with open(home.trials, "rb") as handle:
        handle.seek(-1, os.SEEK_END)
        return handle.read(1) == b"\n"
