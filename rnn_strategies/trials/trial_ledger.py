"""Trial ledger of a user: every configuration whose out-of-sample scores were computed, whatever the working directory.

The ledger is no cache. It is the only record of how many configurations were tried, which the deflated Sharpe ratio of
every later report needs, and nothing can restore it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import platformdirs
from filelock import FileLock, Timeout

from rnn_strategies.trials.evaluation_set import EvaluationSet
from signals.common.errors import InputError, LockedError
from signals.common.storage import ContentStore, read_parquet, write_parquet

__all__ = ["LEDGER_VARIABLE", "Trial", "TrialLedger", "default_ledger", "parse_trials"]

LEDGER_VARIABLE = "RNN_STRATEGIES_LEDGER"
_LOCK_TIMEOUT = 30.0  # seconds


@dataclass(frozen=True, slots=True)
class Trial:
    """One configuration on one set of prices, recorded when its first out-of-sample score is known.

    Parameters
    ----------
    id : str
        Hash of configuration and inputs: the same run repeated is the same trial.
    parent : str or None
        Id of the trial whose configuration this one varies.
    config : str
        Configuration hash.
    kind : str
        `"run"`, `"imported"` or `"audit"`.
    family : dict
        Universe settings, calendar and period as text; compared where an evaluation set is unknown.
    status : str
        `"started"`, `"done"` or `"failed"`.
    sharpe : float or None
        Annualised Sharpe ratio; None until the trial is done.
    returns : str or None
        SHA-256 of the returns per session, which the ledger stores; None while they are unknown.
    evaluated : str or None
        SHA-256 of the evaluation set, which the ledger stores; None for trials of a ledger of former versions.
    folder : str or None
        Absolute path of the run folder when the trial ended.
    experiment : bool
        Whether the audit ran the configuration for one of its checks. The user did not choose it, so it does not count
        among the trials that a result was selected from.
    """

    id: str
    parent: str | None
    config: str
    kind: str
    family: dict[str, Any]
    status: str
    sharpe: float | None = None
    returns: str | None = None
    evaluated: str | None = None
    folder: str | None = None
    experiment: bool = False


_FIELDS = tuple(field.name for field in fields(Trial))


def default_ledger() -> TrialLedger:
    r"""Ledger in the folder that `RNN_STRATEGIES_LEDGER` names, or else in the user's data folder of the platform.

    That is `$XDG_DATA_HOME/rnn-strategies` (`~/.local/share/rnn-strategies`) on Linux, `~/Library/Application
    Support/rnn-strategies` on macOS and `%LOCALAPPDATA%\rnn-strategies` on Windows. Nothing is written yet.

    Raises
    ------
    InputError
        When the variable names no absolute path, or there is no user's data folder.
    """
    given = os.environ.get(LEDGER_VARIABLE)
    if given:
        root = Path(given).expanduser()
        if not root.is_absolute():
            raise InputError(
                f"expected {LEDGER_VARIABLE} as an absolute path, so that one ledger is found from every working "
                f"directory; found {given!r}; set it to {Path(given).absolute()} or another absolute path"
            )
        return TrialLedger(root)
    root = platformdirs.user_data_path("rnn-strategies", appauthor=False)
    if not root.is_absolute():  # without a home directory
        raise InputError(
            f"expected the user's data folder, for the trial ledger, at an absolute path; found {root}; set "
            f"{LEDGER_VARIABLE} to an absolute path"
        )
    return TrialLedger(root)


@dataclass(frozen=True, slots=True)
class TrialLedger:
    """Trials on record: the append-only file `ledger.jsonl`, and the returns and evaluation sets that it refers to.

    Parameters
    ----------
    root : Path
        Folder of the ledger, created by the first write.
    """

    root: Path

    @property
    def path(self) -> Path:
        """File of the entries."""
        return self.root / "ledger.jsonl"

    # -- reading ----------------------------------------------------------------------------------------------------

    def trials(self) -> dict[str, Trial]:
        """Latest state of every trial by id, in the order in which they were first recorded; {} without a ledger."""
        return parse_trials(self._content())

    def imports(self) -> set[str]:
        """SHA-256 of every ledger of former versions that was imported."""
        return {str(entry["imported"]) for entry in _entries(self._content()) if "imported" in entry}

    def recorded_returns(self, trial: str) -> list[pd.Series]:
        """Every series of returns that was ever recorded for a trial and is kept, the latest first."""
        digests = [trial_.returns for trial_ in _trial_entries(self._content()) if trial_.id == trial]
        kept = (self._returns(digest) for digest in dict.fromkeys(reversed(digests)) if digest is not None)
        return [returns for returns in kept if returns is not None]

    def returns(self, trial: Trial) -> pd.Series | None:
        """Read the returns of a trial per session (UTC), or None when they are unknown."""
        return None if trial.returns is None else self._returns(trial.returns)

    def evaluation_set(self, trial: Trial) -> EvaluationSet | None:
        """Read the evaluation set of a trial, or None when it is unknown."""
        path = None if trial.evaluated is None else self._evaluation_sets.get(trial.evaluated)
        try:
            return None if path is None else EvaluationSet.from_bytes(path.read_bytes())
        except (OSError, ValueError, KeyError, TypeError):
            return None

    # -- writing ----------------------------------------------------------------------------------------------------

    def check_writable(self) -> None:
        """Check that entries can be written, before training that can take hours.

        Raises
        ------
        InputError
            When the ledger cannot be written.
        """
        with self._locked(), open(self.path, "ab"):
            pass

    def start(self, trial: Trial) -> None:
        """Append a trial that has its first score, unless it is on record."""
        with self._locked():
            known = self.trials().get(trial.id)
            if known is None or (known.experiment and not trial.experiment):
                self._append([asdict(trial)])

    def finish(self, trial: Trial) -> None:
        """Append the result of a trial, unless the same result is on record."""
        with self._locked():
            if self.trials().get(trial.id) != trial:
                self._append([asdict(trial)])

    def fail(self, trial: str) -> None:
        """Append that a trial failed; a trial that has finished before keeps its results."""
        with self._locked():
            known = self.trials().get(trial)
            if known is not None and known.status == "started":
                self._append([asdict(replace(known, status="failed"))])

    def keep_returns(self, returns: pd.Series) -> str:
        """Store the returns of a trial, independently of its run folder; return their SHA-256."""
        frame = pd.DataFrame({"returns": returns.to_numpy(dtype=np.float64)}, index=_sessions(returns))
        with self._explained_write_errors():
            return self._stored_returns.put(lambda path: write_parquet(path, frame))

    def keep_evaluation_set(self, evaluated: EvaluationSet) -> str:
        """Store an evaluation set; return its SHA-256."""
        with self._explained_write_errors():
            return self._evaluation_sets.put(evaluated.to_bytes())

    def take_in(self, trials: Iterable[Trial], *, source: Path, digest: str) -> None:
        """Append trials of another ledger that are not known here, and a record of the import; once only.

        Parameters
        ----------
        trials : iterable of Trial
            Trials of the other ledger.
        source : Path
            File they come from, for the record.
        digest : str
            SHA-256 of that file.
        """
        with self._locked():
            if digest in self.imports():
                return
            known = self.trials()
            entries = [asdict(trial) for trial in trials if trial.id not in known]
            # the record comes last: an import interrupted by a crash is repeated and skips the trials it has appended
            self._append([*entries, {"imported": digest, "source": str(source), "trials": len(entries)}])

    # -- files ------------------------------------------------------------------------------------------------------

    @property
    def _stored_returns(self) -> ContentStore:
        return ContentStore(self.root / "returns")

    @property
    def _evaluation_sets(self) -> ContentStore:
        return ContentStore(self.root / "evaluation-sets")

    def _returns(self, digest: str) -> pd.Series | None:
        path = self._stored_returns.get(digest)
        try:
            returns: pd.Series | None = None if path is None else read_parquet(path, index=["date"])["returns"]
        except (InputError, KeyError):
            return None
        return returns

    def _content(self) -> bytes:
        try:
            return self.path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return b""
        except OSError as error:
            raise self._access_error("read", error) from error

    def _append(self, entries: list[dict[str, Any]]) -> None:
        at = datetime.now(UTC).isoformat(timespec="seconds")
        lines = [json.dumps({**entry, "at": at}, sort_keys=True) for entry in entries]
        with open(self.path, "a+b") as handle:
            # a crash can have left an incomplete last line: start a new one
            size = handle.seek(0, os.SEEK_END)
            handle.seek(max(size - 1, 0))
            incomplete = size > 0 and handle.read(1) != b"\n"
            handle.write(b"\n" * incomplete + "".join(f"{line}\n" for line in lines).encode())
            handle.flush()
            os.fsync(handle.fileno())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with FileLock(self.root / ".ledger.jsonl.lock", timeout=_LOCK_TIMEOUT):
                yield
        except Timeout:
            raise LockedError(
                f"expected the trial ledger {self.root} to be free; found another process that has been writing to it "
                f"for {_LOCK_TIMEOUT:.0f} s; run the same command again"
            ) from None
        except OSError as error:
            raise self._access_error("write", error) from error

    @contextmanager
    def _explained_write_errors(self) -> Iterator[None]:
        """Context that turns errors of writing into an `InputError` with a remedy."""
        try:
            yield
        except (InputError, OSError) as error:
            reason = error.__cause__ if isinstance(error.__cause__, OSError) else error
            raise self._access_error("write", reason) from error

    def _access_error(self, verb: str, error: BaseException) -> InputError:
        reason = getattr(error, "strerror", None) or error
        return InputError(
            f"expected to {verb} the trial ledger in {self.root}; found an error of the system: {reason}; give this "
            f"user access to that folder, or set {LEDGER_VARIABLE} to the absolute path of another one"
        )


def parse_trials(content: bytes) -> dict[str, Trial]:
    """Latest state of every trial in the lines of a ledger, in the order in which they were first recorded.

    Lines that a crash left incomplete and fields that this version does not know are ignored.
    """
    trials: dict[str, Trial] = {}
    for trial in _trial_entries(content):
        known = trials.get(trial.id)
        if known is not None and known.experiment and not trial.experiment:
            del trials[trial.id]  # an experiment of the audit becomes a trial when the user runs its configuration
        trials[trial.id] = trial
    return trials


def _trial_entries(content: bytes) -> Iterator[Trial]:
    for entry in _entries(content):
        if not isinstance(entry.get("id"), str) or not isinstance(entry.get("family"), dict):
            continue
        try:
            yield Trial(**{name: entry[name] for name in _FIELDS if name in entry})
        except TypeError:
            continue


def _entries(content: bytes) -> Iterator[Mapping[str, Any]]:
    for line in content.decode("utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            yield entry


def _sessions(returns: pd.Series) -> pd.DatetimeIndex:
    index = pd.DatetimeIndex(returns.index)
    utc = index.tz_localize("UTC") if index.tz is None else index.tz_convert("UTC")
    return utc.as_unit("ns").rename("date")
