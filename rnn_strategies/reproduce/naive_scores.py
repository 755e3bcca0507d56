"""Skill of naive predictors on the rows that the networks score."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rnn_strategies.pipelines.panel_run import Run
from rnn_strategies.reproduce.score_measures import measure_scores
from signals.common.storage import read_parquet
from signals.dataset.dataset import Dataset
from signals.dataset.fold_data import FoldData
from signals.evaluation.cross_section_metrics import rank_ic_by_date
from signals.evaluation.naive_predictors import more_naive_scores, naive_scores
from signals.walk_forward.panel_walk_forward import prepare

__all__ = ["NAIVE_SCORES", "measure_naive_scores"]

NAIVE_SCORES = {
    "mean_return": "mean return of 52 weeks",
    "last_return": "last return",
    "last_sign": "sign of the last return",
    "volatility": "volatility of 52 weeks",
    "ticker_mean": "ticker's mean label in training",
}


def measure_naive_scores(run: Run) -> dict[str, dict[str, Any]]:
    """Measure naive predictors on the rows of a run.

    Parameters
    ----------
    run : Run
        Run whose signals are computed.

    Returns
    -------
    dict of str to dict
        By name: `label`, `years` as `measure_scores` returns them, and `signs`, one per fold.

    Notes
    -----
    The sign of each predictor is that of its mean rank IC in the training slice of each fold, because high volatility,
    for example, can predict high or low returns. Nothing else is fitted.
    """
    config = run.config
    assert config.walk_forward is not None  # noqa: S101 - the preset has one
    prepared = prepare(
        run.prices,
        walk_forward=config.walk_forward,
        universe=config.universe,
        labels=config.labels,
        model=config.model,
        frequency=config.frequency,
    )
    parts: dict[str, list[pd.Series]] = {name: [] for name in NAIVE_SCORES}
    signs: dict[str, list[int]] = {name: [] for name in NAIVE_SCORES}
    for fold in prepared.folds:
        train_scores = _scores(prepared.data, fold, fold.training_ticker, fold.training_date, prepared.lookback)
        test_scores = _scores(prepared.data, fold, fold.test_ticker, fold.test_date, prepared.lookback)
        train_returns = _series(
            prepared.data,
            fold.training_ticker,
            fold.training_date,
            prepared.data.labels.forward_return[fold.training_ticker, fold.training_date],
        )
        for name in NAIVE_SCORES:
            sign = -1 if rank_ic_by_date(train_scores[name], train_returns).mean() < 0 else 1
            signs[name].append(sign)
            parts[name].append(sign * test_scores[name])
    forward = read_parquet(run.folder / "labels.parquet", index=["date", "ticker"])["forward_return"]
    horizon = config.labels.horizon
    return {
        name: {
            "label": label,
            "signs": signs[name],
            "years": measure_scores({0: pd.concat(parts[name])}, forward, horizon=horizon),
        }
        for name, label in NAIVE_SCORES.items()
    }


def _scores(
    data: Dataset, fold: FoldData, ticker: NDArray[np.int32], date: NDArray[np.int32], lookback: int
) -> dict[str, pd.Series]:
    label = fold.scaler.restore_target(fold.training.label)
    of_tickers = naive_scores(
        data.returns, ticker, date, lookback=lookback, training_label=label, training_ticker=fold.training_ticker
    )
    of_dates = more_naive_scores(
        data.returns,
        data.dates,
        data.eligible,
        ticker,
        date,
        lookback=lookback,
        training_label=label,
        training_date=fold.training_date,
    )
    scores = of_tickers | of_dates
    return {name: _series(data, ticker, date, scores[name]) for name in NAIVE_SCORES}


def _series(
    data: Dataset, ticker: NDArray[np.int32], date: NDArray[np.int32], values: NDArray[np.float64]
) -> pd.Series:
    names = np.asarray(data.panel.tickers, dtype=object)[ticker]
    days = data.dates[date].astype("datetime64[ns]")
    return pd.Series(values, index=pd.MultiIndex.from_arrays([days, names], names=["date", "ticker"]))
