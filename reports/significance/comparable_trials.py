"""Trials that a run could have been selected from: their number, and the returns of those that can be compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from reports.common.run_data import RunData

__all__ = ["TrialFamily", "trial_family"]

_COVER = 0.5  # a trial with returns on fewer of the run's sessions is counted, but not compared


@dataclass(frozen=True, slots=True)
class TrialFamily:
    """Trials with out-of-sample scores for at least half of the days and at least half of the tickers of a run.

    Parameters
    ----------
    own : str
        Name of this run among them.
    started : int
        Number of trials with out-of-sample scores; it includes trials that failed after that, were abandoned or are
        still running.
    finished : int
        Number of trials with returns.
    returns : DataFrame
        Sessions by trial: simple returns of those that can be compared, over the sessions all of them have. Trials
        that cover less than half of this run's sessions, are constant, or equal another one to the bit are left out.
    other_universes : int
        Number of trials on the same days with other universes; they are not included in `started`.
    """

    own: str
    started: int
    finished: int
    returns: pd.DataFrame
    other_universes: int = 0


def trial_family(run: RunData) -> TrialFamily | None:
    """Read the comparable trials of a run; None when trials were not recorded.

    Parameters
    ----------
    run : RunData
        With `trials`, and `manifest["trial"]` that holds `id`, `started`, `finished` and `other_universes`.

    Returns
    -------
    TrialFamily or None
    """
    stated = run.manifest.get("trial")
    info: Mapping[str, object] = stated if isinstance(stated, Mapping) else {}
    if run.trials is None and not _count(info, "started"):
        return None
    own = str(info.get("id") or "this run")
    table = pd.DataFrame(index=run.returns.index) if run.trials is None else run.trials.reindex(run.returns.index)
    # the table of trials may hold this run without its last sessions; the returns of the run are complete
    table = table.assign(**{own: run.returns})
    finished = max(table.shape[1], _count(info, "finished"))
    started, others = max(finished, _count(info, "started")), _count(info, "other_universes")
    return TrialFamily(own, started, finished, _comparable(table, own), others)


def _count(info: Mapping[str, object], name: str) -> int:
    value = info.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _comparable(table: pd.DataFrame, own: str) -> pd.DataFrame:
    covered = table.loc[:, table.notna().mean() >= _COVER].dropna()
    seen: set[bytes] = set()
    kept = []
    for name in (own, *(str(name) for name in covered if name != own)):
        values = covered[name].to_numpy(dtype=np.float64)
        if len(values) and np.ptp(values) > 0 and values.tobytes() not in seen:
            seen.add(values.tobytes())
            kept.append(name)
    return covered[sorted(kept)]
