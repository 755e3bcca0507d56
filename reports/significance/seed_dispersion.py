"""Dispersion of the result over the seeds of the networks: the same strategy traded on the scores of each seed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from reports.metrics.performance import ruin_date
from reports.significance.sharpe_ratio import moments, sharpe_influence
from signals.evaluation.long_run_variance import newey_west_variance

__all__ = ["SeedDispersion", "closed_accounts", "measure_seeds"]


@dataclass(frozen=True, slots=True)
class SeedDispersion:
    """Result of `measure_seeds`; every Sharpe ratio is per session.

    Parameters
    ----------
    returns : DataFrame
        Sessions by seed: simple returns of trading that seed's scores alone, for accounts that were not closed before
        the end.
    sharpe : Series
        Sharpe ratio by seed.
    ensemble : float
        Sharpe ratio of the traded account, over the same sessions.
    low, high : float
        95 % prediction interval for the Sharpe ratio of one more seed; NaN with fewer than three seeds.
    share : float
        Share of the variance of one seed's Sharpe ratio that is due to the seed; the rest is due to the sample of
        sessions, which all seeds share. NaN when there is no variance.
    closed : dict of str to (str, Series)
        Seeds whose account was closed before the end: a clause on how and when, and the returns until then. They are
        excluded from the figures above.
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
        Sessions of an account that is not closed.

    Returns
    -------
    dict of str to (str, Series)
        By account: a clause on how and when it was closed, such as `"closed by ruin on 2024-03-01"`, and its returns
        until then. An account with a value above zero was closed for lack of margin.
    """
    closed = {}
    for name, column in returns.reindex(sessions).items():
        own_returns = column.loc[: column.last_valid_index()].dropna()
        ruined = ruin_date(own_returns)
        if own_returns.empty or (ruined is None and len(own_returns) == len(sessions)):
            continue
        why = f"ruin on {ruined}" if ruined else f"a margin call on {own_returns.index[-1]:%Y-%m-%d}"
        closed[str(name)] = (f"closed by {why}", own_returns)
    return closed


def measure_seeds(seeds: pd.DataFrame, ensemble: pd.Series, *, risk_free: float = 0.0) -> SeedDispersion | None:
    """Compare seeds over the sessions that all of them and the ensemble have.

    Parameters
    ----------
    seeds : DataFrame indexed by session
        Simple returns, one column per seed.
    ensemble : Series indexed by session
        Returns of the traded account, which uses the mean score over seeds.
    risk_free : float
        Rate per session.

    Returns
    -------
    SeedDispersion or None
        None when fewer than two seeds have a Sharpe ratio. A seed whose account was closed has none.

    Notes
    -----
    Analysis of variance with seeds crossed with sessions. The seeds' Sharpe ratios have the sample variance `b` (ddof
    1), the effect of the seed on given sessions. The sampling errors of the sessions have, per seed,
    a long-run variance (Lo 2002 with Newey and West 1987); the covariance `c` of these errors between two seeds, on
    average over pairs and not below zero, is the effect of the sessions on all seeds alike. The variance of one
    seed's Sharpe ratio is `b + c`, and `share = b / (b + c)`: 0 for seeds with equal trades, 1 for uncorrelated ones.

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
    return SeedDispersion(
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
    # the variance of the mean contains every pair: count² V(mean) = count own + count (count - 1) shared
    shared = (count * newey_west_variance(influence.mean(axis=1)) - own) / (count - 1)
    return float(max(shared, 0.0) / sessions)
