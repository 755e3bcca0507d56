"""What the random seed of the networks did to the result: the same trading, one seed at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from reports.metrics.performance import ruin_date
from reports.significance.sharpe_ratio import moments, sharpe_influence
from signals.evaluation.long_run_variance import newey_west_variance

__all__ = ["SeedFan", "closed_accounts", "measure_seeds"]


@dataclass(frozen=True, slots=True)
class SeedFan:
    """Outcome of `measure_seeds`; every Sharpe ratio is per session.

    Parameters
    ----------
    returns : DataFrame
        Sessions by seed: simple returns of trading that seed's scores alone, of accounts that lasted to the end.
    sharpe : Series
        Sharpe ratio by seed.
    ensemble : float
        Sharpe ratio of what was traded, over the same sessions.
    low, high : float
        Where the Sharpe ratio of one more seed would lie, 19 times in 20; NaN with fewer than three seeds.
    share : float
        Part of the variance of one seed's Sharpe ratio that goes with the seed; the rest goes with the sessions it
        met, which all seeds share. NaN when there is no variance.
    closed : dict of str to (str, Series)
        Seeds whose account was closed before the end: how and when, and its returns until then. They are in none of the
        figures above.
    """

    returns: pd.DataFrame
    sharpe: pd.Series
    ensemble: float
    low: float
    high: float
    share: float
    closed: dict[str, tuple[str, pd.Series]] = field(default_factory=dict)


def closed_accounts(returns: pd.DataFrame, sessions: pd.DatetimeIndex) -> dict[str, tuple[str, pd.Series]]:
    """Find accounts that were closed before the last session.

    Parameters
    ----------
    returns : DataFrame
        Sessions by account, NaN after the end of one.
    sessions : DatetimeIndex
        Sessions that an account has when it lasts.

    Returns
    -------
    dict of str to (str, Series)
        By account: how and when it was closed, such as `"closed by ruin on 2024-03-01"`, and its returns until then.
        An account with a value above zero was closed for lack of margin.
    """
    found = {}
    for name, column in returns.reindex(sessions).items():
        held = column.loc[: column.last_valid_index()].dropna()
        ruined = ruin_date(held)
        if held.empty or (ruined is None and len(held) == len(sessions)):
            continue
        why = f"ruin on {ruined}" if ruined else f"a margin call on {held.index[-1]:%Y-%m-%d}"
        found[str(name)] = (f"closed by {why}", held)
    return found


def measure_seeds(seeds: pd.DataFrame, ensemble: pd.Series, *, risk_free: float = 0.0) -> SeedFan | None:
    """Compare seeds over the sessions that all of them and the ensemble have.

    Parameters
    ----------
    seeds : DataFrame indexed by session
        Simple returns, one column per seed.
    ensemble : Series indexed by session
        Returns of what was traded: the mean of the seeds' scores.
    risk_free : float
        Rate per session.

    Returns
    -------
    SeedFan or None
        None with fewer than two seeds that have a Sharpe ratio. A seed whose account was closed has none.

    Notes
    -----
    Analysis of variance with seeds crossed with sessions. The seeds' Sharpe ratios have the sample variance `b` (ddof
    1): what another seed changes when the sessions stay. The errors that other sessions would bring have, per seed,
    a long-run variance (Lo 2002 with Newey and West 1987); the covariance `c` of these errors between two seeds, on
    average over pairs and not below zero, is what another history changes for all seeds alike. One seed's Sharpe ratio
    varies by `b + c`, and `share = b / (b + c)`. Seeds that agree on every trade have share 0, unrelated ones share 1.

    The interval of one more seed is Student's prediction interval, `mean ± t sqrt(b (1 + 1/n))`.
    """
    closed = closed_accounts(seeds, ensemble.index)
    common = seeds.drop(columns=[name for name in seeds if str(name) in closed]).reindex(ensemble.index).dropna()
    excess = common - risk_free
    common = common.loc[:, [name for name in common if len(common) > 2 and np.ptp(excess[name].to_numpy()) > 0]]
    count = common.shape[1]
    if count < 2:
        return None
    values = common.to_numpy(dtype=np.float64) - risk_free
    sharpe = pd.Series([moments(values[:, k]).sharpe for k in range(count)], index=common.columns, name="sharpe")
    between = float(sharpe.var(ddof=1))
    shared = _shared_error(values)
    low = high = math.nan
    if count >= 3:
        from scipy.special import stdtrit

        half = float(stdtrit(count - 1, 0.975)) * math.sqrt(between * (1.0 + 1.0 / count))
        low, high = float(sharpe.mean()) - half, float(sharpe.mean()) + half
    return SeedFan(
        returns=common,
        sharpe=sharpe,
        ensemble=moments(ensemble.reindex(common.index).to_numpy() - risk_free).sharpe,
        low=low,
        high=high,
        share=between / (between + shared) if between + shared > 0 else math.nan,
        closed=closed,
    )


def _shared_error(values: np.ndarray) -> float:
    """Covariance of the sampling errors of two seeds' Sharpe ratios, mean over pairs, at least 0."""
    sessions, count = values.shape
    influence = sharpe_influence(values)
    own = float(np.mean([newey_west_variance(influence[:, k]) for k in range(count)]))
    # the variance of the mean holds every pair: count² V(mean) = count own + count (count - 1) shared
    shared = (count * newey_west_variance(influence.mean(axis=1)) - own) / (count - 1)
    return float(max(shared, 0.0) / sessions)
