"""Variants of a backtest of the same scores: one seed alone, scaled costs, scores one session later."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from backtests.engine import run_backtest
from rnn_strategies.config.panel_config import Config
from signals.data.prices import Prices

__all__ = ["delayed", "seed_returns", "seed_signals", "variant_returns"]


def variant_returns(config: Config, prices: Prices, signals: pd.DataFrame, *, cost: float = 1.0) -> pd.Series:
    """Backtest scores with the allocation, strategy and account of a run.

    Parameters
    ----------
    config : Config
        Settings of the run.
    prices : Prices
        Prices of the run.
    signals : DataFrame
        Scores, indexed by (date, ticker).
    cost : float
        Factor of every cost: commission, spread, slippage, borrow fee and interest on debt; 1 by default. Each cost is
        capped at the largest value that the broker accepts.

    Returns
    -------
    Series
        Returns per session, after costs.
    """
    broker = config.broker
    if cost != 1.0:
        broker = broker.with_scaled_costs(cost)
    strategy = None if config.strategy == "SignalStrategy" else config.strategy
    return run_backtest(prices, signals, allocation=config.allocation, broker=broker, strategy=strategy).returns


def seed_signals(signals: pd.DataFrame, seed_scores: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Signal frame of one seed alone."""
    rows = seed_scores[seed_scores["seed"] == seed].set_index(["date", "ticker"])["score"]
    return signals.assign(score=rows.reindex(signals.index).to_numpy(), score_std=0.0)


def seed_returns(
    config: Config, prices: Prices, signals: pd.DataFrame, seed_scores: pd.DataFrame, seeds: Sequence[int]
) -> pd.DataFrame:
    """Backtest the scores of each seed alone.

    Returns
    -------
    DataFrame
        Sessions by seed, the columns named after the seeds; NaN after an account was closed by ruin or a margin call.
    """
    columns = {str(seed): variant_returns(config, prices, seed_signals(signals, seed_scores, seed)) for seed in seeds}
    return pd.DataFrame(columns)


def delayed(signals: pd.DataFrame, prices: Prices) -> pd.DataFrame:
    """Signals with every score dated one session later; scores of the last session are left out."""
    sessions = prices.panel().dates
    dates = signals.index.get_level_values("date").to_numpy().astype("datetime64[D]")
    place = np.searchsorted(sessions, dates, side="right")
    kept = place < len(sessions)
    frame = signals[kept].copy()
    later = sessions[place[kept]].astype("datetime64[ns]")
    frame.index = pd.MultiIndex.from_arrays([later, frame.index.get_level_values("ticker")], names=["date", "ticker"])
    return frame
