"""Trials that a run could have been selected from: their number, and the returns of those that finished."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from rnn_strategies.runs.manifest import Manifest
from rnn_strategies.trials.evaluation_set import MIN_OVERLAP, EvaluationSet
from rnn_strategies.trials.trial_ledger import Trial, TrialLedger
from signals.common.errors import InputError
from signals.common.storage import read_parquet

__all__ = ["Family", "Relatives", "family_of", "relatives_of", "returns_in_folder", "trial_table"]


@dataclass(frozen=True, slots=True)
class Relatives:
    """Trials of a ledger whose evaluation set overlaps that of one trial.

    Parameters
    ----------
    family : dict of str to Trial
        Those that tested at least half of its days and at least half of its tickers, itself included where the ledger
        has it, in the order in which they were first recorded.
    other_universes : int
        Number of those that tested at least half of its days, but with other tickers.
    """

    family: dict[str, Trial]
    other_universes: int


@dataclass(frozen=True, slots=True)
class Family:
    """Trials that a run could have been selected from, and what is known of them.

    Parameters
    ----------
    started : int
        Trials with out-of-sample scores, this one included: abandoned and failed ones were choices too.
    finished : int
        Those whose returns are known.
    returns : DataFrame
        `trial`, `date`, `returns`, one row per trial and session, sorted.
    other_universes : int
        Trials on the same days with other tickers, which are not among them.
    """

    started: int
    finished: int
    returns: pd.DataFrame
    other_universes: int = 0


def relatives_of(ledger: TrialLedger, trial: Trial, evaluated: EvaluationSet | None = None) -> Relatives:
    """Find the trials whose evaluation set overlaps that of a trial, without experiments of the audit.

    Parameters
    ----------
    ledger : TrialLedger
        Trials on record.
    trial : Trial
        The trial, which need not be in the ledger.
    evaluated : EvaluationSet, optional
        Its evaluation set, where the ledger does not have it.

    Notes
    -----
    The overlap is the fraction of the days and tickers of *this* trial that the other one had tested too. A narrower
    universe or a shorter period taken from one that was searched before is not a new test, so the earlier trials count
    for it; with a symmetric measure such as the Jaccard index they would not. Where either evaluation set is unknown,
    universe settings, calendar and period are compared as text.
    """
    evaluated = evaluated or ledger.evaluation_set(trial)
    overlaps: dict[str | None, tuple[bool, bool] | None] = {}  # many trials share one evaluation set
    family, others = {}, 0
    for other in ledger.trials().values():
        if other.id == trial.id:
            family[other.id] = other
        if other.id == trial.id or other.experiment:
            continue
        if other.evaluated not in overlaps:
            overlaps[other.evaluated] = _overlap(evaluated, ledger.evaluation_set(other))
        same_days, same_tickers = overlaps[other.evaluated] or _same_settings(trial, other)
        if same_days and same_tickers:
            family[other.id] = other
        elif same_days:
            others += 1
    return Relatives(family, others)


def family_of(ledger: TrialLedger, trial: Trial, own: pd.Series, *, evaluated: EvaluationSet | None = None) -> Family:
    """Collect the trials that a run could have been selected from.

    Parameters
    ----------
    ledger : TrialLedger
        Trials on record.
    trial : Trial
        Trial of the run.
    own : Series
        Returns of the run per session.
    evaluated : EvaluationSet, optional
        Its evaluation set, where the ledger does not have it.
    """
    relatives = relatives_of(ledger, trial, evaluated)
    known = {trial.id: own}
    for relative in relatives.family.values():
        if relative.id != trial.id and (returns := _returns_of(ledger, relative)) is not None:
            known[relative.id] = returns
    return Family(len({*relatives.family, trial.id}), len(known), trials_table(known), relatives.other_universes)


def trials_table(returns: Mapping[str, pd.Series]) -> pd.DataFrame:
    """Put returns by trial into one table, sorted: `trial`, `date`, `returns`."""
    frames = [trial_table(name, series) for name, series in returns.items()]
    return pd.concat(frames).sort_values(["trial", "date"], ignore_index=True)


def trial_table(name: str, returns: pd.Series) -> pd.DataFrame:
    """Rows of one trial: `trial`, `date`, `returns`."""
    return pd.DataFrame({"trial": name, "date": _sessions(returns), "returns": returns.to_numpy(dtype="float64")})


def returns_in_folder(folder: Path, config: str) -> pd.Series | None:
    """Read the returns in a run folder; None when it does not hold the configuration with this hash."""
    try:
        if Manifest(folder).data.get("config_hash") != config:
            return None
        returns: pd.Series = read_parquet(folder / "returns.parquet", index=["date"])["returns"]
    except (InputError, OSError, KeyError):
        return None
    return returns if np.isfinite(returns.to_numpy(dtype=np.float64)).all() else None


def _returns_of(ledger: TrialLedger, trial: Trial) -> pd.Series | None:
    """Read the returns that the ledger stores, or those in the run folder of the trial; None when there are neither."""
    returns = ledger.returns(trial)
    if returns is None and trial.folder is not None:
        return returns_in_folder(Path(trial.folder), trial.config)
    return returns


def _overlap(mine: EvaluationSet | None, theirs: EvaluationSet | None) -> tuple[bool, bool] | None:
    """Whether another trial tested the days, and the tickers, that a trial tested; None where that is unknown."""
    if mine is None or theirs is None:
        return None
    return mine.shared_dates(theirs) >= MIN_OVERLAP, mine.shared_tickers(theirs) >= MIN_OVERLAP


def _same_settings(mine: Trial, theirs: Trial) -> tuple[bool, bool]:
    """Whether calendar and period, and the universe, of two trials are the same text."""
    same = {name: mine.family.get(name) == theirs.family.get(name) for name in ("universe", "calendar", "period")}
    return same["calendar"] and same["period"], same["universe"]


def _sessions(returns: pd.Series) -> pd.DatetimeIndex:
    index = pd.DatetimeIndex(returns.index)
    return (index if index.tz is None else index.tz_convert("UTC").tz_localize(None)).astype("datetime64[ns]")
