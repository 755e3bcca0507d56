"""The trials a run could have been chosen from: how many there were, and those that can be compared."""

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
    """Trials that tested what one run tested: at least half of its days and at least half of its tickers.

    Parameters
    ----------
    own : str
        Which of them this run is.
    started : int
        How many had out-of-sample scores; trials that failed after that, were given up or are still running are among
        them.
    finished : int
        How many have returns.
    returns : DataFrame
        Sessions by trial: simple returns of those that can be compared, over the sessions all of them have. Left out
        are trials that cover less than half of this run's sessions, never moved, or repeat another one to the bit.
    other_universes : int
        How many trials on the same days tested other universes; they are not among those started.
    """

    own: str
    started: int
    finished: int
    returns: pd.DataFrame
    other_universes: int = 0


def trial_family(run: RunData) -> TrialFamily | None:
    """TrialFamily of a run; None when nobody counted trials.

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
    # the family's snapshot holds this run as well; what was just read beside it is the same and surely complete
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
