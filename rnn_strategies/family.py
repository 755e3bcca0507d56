"""The trials a run could have been chosen from: how many there were, and what those that finished returned."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from rnn_strategies.home import Home
from rnn_strategies.manifest import Manifest
from rnn_strategies.trials import Trial, read_trials
from signals.errors import InputError
from signals.storage import read_parquet

__all__ = ["Family", "family_of", "returns_of", "trial_table"]


@dataclass(frozen=True, slots=True)
class Family:
    """Trials on the same universe, calendar and period.

    Parameters
    ----------
    started : int
        Trials anybody began, this one included: abandoned and failed ones were choices too.
    finished : int
        Those whose returns are known.
    returns : DataFrame
        `trial`, `date`, `returns`, one row per trial and session, sorted.
    """

    started: int
    finished: int
    returns: pd.DataFrame


def family_of(home: Home, trial: Trial, own: pd.Series) -> Family:
    """Collect the trials of a family from the ledger.

    Parameters
    ----------
    home : Home
        Where the ledger is.
    trial : Trial
        The run's own trial, which has begun.
    own : Series
        Its returns per session.

    Returns
    -------
    Family
        Returns of another trial count only while its folder still holds the run the ledger speaks of.
    """
    trials = {one.id: one for one in read_trials(home).values() if one.family == trial.family}
    known = {trial.id: own}
    for one in trials.values():
        if one.id != trial.id and (returns := returns_of(home, one)) is not None:
            known[one.id] = returns
    frames = [trial_table(name, returns) for name, returns in known.items()]
    table = pd.concat(frames).sort_values(["trial", "date"], ignore_index=True)
    return Family(len({*trials, trial.id}), len(known), table)


def trial_table(name: str, returns: pd.Series) -> pd.DataFrame:
    """Give the rows of one trial: `trial`, `date`, `returns`."""
    return pd.DataFrame({"trial": name, "date": _sessions(returns), "returns": returns.to_numpy(dtype="float64")})


def returns_of(home: Home, trial: Trial) -> pd.Series | None:
    """Give the returns of a trial while its folder still holds the run the ledger speaks of, else None."""
    if trial.returns is None:
        return None
    path = home.root.parent / Path(trial.returns)
    try:
        if Manifest(path.parent).data.get("config_hash") != trial.config:
            return None
        returns: pd.Series = read_parquet(path, index=["date"])["returns"]
    except (InputError, OSError, KeyError):
        return None
    return returns if np.isfinite(returns.to_numpy(dtype=np.float64)).all() else None


def _sessions(returns: pd.Series) -> pd.DatetimeIndex:
    index = pd.DatetimeIndex(returns.index)
    return (index if index.tz is None else index.tz_convert("UTC").tz_localize(None)).astype("datetime64[ns]")
