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
_WAIT = 30.0  # seconds for another process to finish its line


@dataclass(frozen=True, slots=True)
class Trial:
    """One configuration on one set of prices, known from its first out-of-sample score on.

    Parameters
    ----------
    id : str
        Hash of configuration and inputs: running the same again is not another trial.
    parent : str or None
        Trial this one varies.
    config : str
        Configuration hash.
    kind : str
        `"run"`, `"imported"` or `"audit"`.
    family : dict
        Universe settings, calendar and period as text; compared only where an evaluation set is unknown.
    status : str
        `"started"`, `"done"` or `"failed"`.
    sharpe : float or None
        Annualised, once known.
    returns : str or None
        SHA-256 of the returns per session, which the ledger keeps; None as long as they are unknown.
    evaluated : str or None
        SHA-256 of the evaluation set, which the ledger keeps; None for trials of a ledger of former versions.
    folder : str or None
        Absolute path of the run folder when the trial ended.
    experiment : bool
        Whether the audit started it for a check of its own. The user did not choose the configuration, so it does not
        count among the trials that a result was selected from.
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
    """Trials on record: `ledger.jsonl`, to which lines are only ever appended, and the contents they refer to.

    Parameters
    ----------
    root : Path
        Folder of the ledger, made when first written to.
    """

    root: Path

    @property
    def path(self) -> Path:
        """File of the entries."""
        return self.root / "ledger.jsonl"

    # -- reading ----------------------------------------------------------------------------------------------------

    def trials(self) -> dict[str, Trial]:
        """Latest state of every trial by id, in the order in which they began to count; {} without a ledger."""
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
        """Give the returns of a trial per session, UTC, or None when they are unknown."""
        return None if trial.returns is None else self._returns(trial.returns)

    def evaluation_set(self, trial: Trial) -> EvaluationSet | None:
        """Give the evaluation set of a trial, or None when it is unknown."""
        path = None if trial.evaluated is None else self._evaluation_sets.get(trial.evaluated)
        try:
            return None if path is None else EvaluationSet.from_bytes(path.read_bytes())
        except (OSError, ValueError, KeyError, TypeError):
            return None

    # -- writing ----------------------------------------------------------------------------------------------------

    def check_writable(self) -> None:
        """Fail now, not after hours of training, when entries cannot be written.

        Raises
        ------
        InputError
            With the remedy.
        """
        with self._locked(), open(self.path, "ab"):
            pass

    def start(self, trial: Trial) -> None:
        """Append a trial that begins to count, unless it counts already."""
        with self._locked():
            known = self.trials().get(trial.id)
            if known is None or (known.experiment and not trial.experiment):
                self._append([asdict(trial)])

    def finish(self, trial: Trial) -> None:
        """Append how a trial ended, unless that very end is on record."""
        with self._locked():
            if self.trials().get(trial.id) != trial:
                self._append([asdict(trial)])

    def fail(self, trial: str) -> None:
        """Append that a trial failed; one that ended before keeps its results."""
        with self._locked():
            known = self.trials().get(trial)
            if known is not None and known.status == "started":
                self._append([asdict(replace(known, status="failed"))])

    def keep_returns(self, returns: pd.Series) -> str:
        """Keep the returns of a trial, so that they outlive its run folder; return their SHA-256."""
        frame = pd.DataFrame({"returns": returns.to_numpy(dtype=np.float64)}, index=_sessions(returns))
        with self._named():
            return self._kept_returns.put(lambda path: write_parquet(path, frame))

    def keep_evaluation_set(self, found: EvaluationSet) -> str:
        """Keep an evaluation set; return its SHA-256."""
        with self._named():
            return self._evaluation_sets.put(found.to_bytes())

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
            # the record comes last: an import that a crash cut short is done again, and finds what is known already
            self._append([*entries, {"imported": digest, "source": str(source), "trials": len(entries)}])

    # -- files ------------------------------------------------------------------------------------------------------

    @property
    def _kept_returns(self) -> ContentStore:
        return ContentStore(self.root / "returns")

    @property
    def _evaluation_sets(self) -> ContentStore:
        return ContentStore(self.root / "evaluation-sets")

    def _returns(self, digest: str) -> pd.Series | None:
        path = self._kept_returns.get(digest)
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
            raise self._refused("read", error) from error

    def _append(self, entries: list[dict[str, Any]]) -> None:
        at = datetime.now(UTC).isoformat(timespec="seconds")
        lines = [json.dumps({**entry, "at": at}, sort_keys=True) for entry in entries]
        with open(self.path, "a+b") as handle:
            # a crash may have left half a line behind: begin on a fresh one
            size = handle.seek(0, os.SEEK_END)
            handle.seek(max(size - 1, 0))
            torn = size > 0 and handle.read(1) != b"\n"
            handle.write(b"\n" * torn + "".join(f"{line}\n" for line in lines).encode())
            handle.flush()
            os.fsync(handle.fileno())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with FileLock(self.root / ".ledger.jsonl.lock", timeout=_WAIT):
                yield
        except Timeout:
            raise LockedError(
                f"expected the trial ledger {self.root} to be free; found another process that has been writing to it "
                f"for {_WAIT:.0f} s; run the same command again"
            ) from None
        except OSError as error:
            raise self._refused("write", error) from error

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Name the remedy for contents that cannot be written."""
        try:
            yield
        except (InputError, OSError) as error:
            reason = error.__cause__ if isinstance(error.__cause__, OSError) else error
            raise self._refused("write", reason) from error

    def _refused(self, verb: str, error: BaseException) -> InputError:
        reason = getattr(error, "strerror", None) or error
        return InputError(
            f"expected to {verb} the trial ledger in {self.root}; the system says: {reason}; give this user access to "
            f"that folder, or set {LEDGER_VARIABLE} to the absolute path of another one"
        )


def parse_trials(content: bytes) -> dict[str, Trial]:
    """Latest state of every trial in the lines of a ledger, in the order in which they began to count.

    A line cut short by a crash is passed over, and so are fields that this version does not know.
    """
    trials: dict[str, Trial] = {}
    for trial in _trial_entries(content):
        known = trials.get(trial.id)
        if known is not None and known.experiment and not trial.experiment:
            del trials[trial.id]  # what was an experiment of the audit begins to count when the user runs it
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
