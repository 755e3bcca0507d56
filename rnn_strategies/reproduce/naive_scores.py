"""What needs no model, on the rows that the networks score."""

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
from signals.evaluation.naive_predictors import more_trivial_scores, trivial_scores
from signals.walk_forward.panel_walk_forward import prepare

__all__ = ["TRIVIAL", "measure_trivial"]

TRIVIAL = {
    "mean_return": "mean return of 52 weeks",
    "last_return": "last return",
    "last_sign": "sign of the last return",
    "volatility": "volatility of 52 weeks",
    "ticker_mean": "ticker's mean label in training",
}


def measure_trivial(run: Run) -> dict[str, dict[str, Any]]:
    """Measure trivial predictors on the rows of a run.

    Parameters
    ----------
    run : Run
        Whose scores are there.

    Returns
    -------
    dict of str to dict
        By name: `label`, `years` as `measure_scores` gives them, and `signs`, one a fold.

    Notes
    -----
    A high volatility may be a good sign or a bad one. Which, the training slice of each fold says (the sign of its mean
    rank IC), not the test slice: the one thing that is learnt here.
    """
    config = run.config
    assert config.walk_forward is not None  # noqa: S101 - the preset has one
    made = prepare(
        run.prices,
        walk_forward=config.walk_forward,
        universe=config.universe,
        labels=config.labels,
        model=config.model,
        frequency=config.frequency,
    )
    parts: dict[str, list[pd.Series]] = {name: [] for name in TRIVIAL}
    signs: dict[str, list[int]] = {name: [] for name in TRIVIAL}
    for fold in made.folds:
        learnt = _scores(made.data, fold, fold.training_ticker, fold.training_date, made.lookback)
        tested = _scores(made.data, fold, fold.test_ticker, fold.test_date, made.lookback)
        came = _series(
            made.data,
            fold.training_ticker,
            fold.training_date,
            made.data.labels.forward_return[fold.training_ticker, fold.training_date],
        )
        for name in TRIVIAL:
            sign = -1 if rank_ic_by_date(learnt[name], came).mean() < 0 else 1
            signs[name].append(sign)
            parts[name].append(sign * tested[name])
    forward = read_parquet(run.folder / "labels.parquet", index=["date", "ticker"])["forward_return"]
    horizon = config.labels.horizon
    return {
        name: {
            "label": label,
            "signs": signs[name],
            "years": measure_scores({0: pd.concat(parts[name])}, forward, horizon=horizon),
        }
        for name, label in TRIVIAL.items()
    }


def _scores(
    data: Dataset, fold: FoldData, ticker: NDArray[np.int32], date: NDArray[np.int32], lookback: int
) -> dict[str, pd.Series]:
    label = fold.scaler.restore_target(fold.training.label)
    of_tickers = trivial_scores(
        data.returns, ticker, date, lookback=lookback, training_label=label, training_ticker=fold.training_ticker
    )
    of_dates = more_trivial_scores(
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
    return {name: _series(data, ticker, date, scores[name]) for name in TRIVIAL}


def _series(
    data: Dataset, ticker: NDArray[np.int32], date: NDArray[np.int32], values: NDArray[np.float64]
) -> pd.Series:
    names = np.asarray(data.panel.tickers, dtype=object)[ticker]
    days = data.dates[date].astype("datetime64[ns]")
    return pd.Series(values, index=pd.MultiIndex.from_arrays([days, names], names=["date", "ticker"]))
