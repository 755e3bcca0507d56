"""From prices to rows a network can learn from: decision dates, returns, universe and labels, then one fold's share."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signals.calendar import decision_dates
from signals.errors import InputError
from signals.features import period_returns
from signals.folds import Fold, WalkForward, refit_dates
from signals.labels import Labels, LabelSettings, make_labels
from signals.models.stacked_lstm import ModelSettings
from signals.prices import PricePanel, Prices
from signals.universe import UniverseFilters, universe_schedule
from signals.windows import Samples, Windows, valid_windows

__all__ = ["Dataset", "FoldData", "make_dataset", "make_fold_data"]


@dataclass(frozen=True, slots=True)
class Dataset:
    """Everything the folds share; arrays by (ticker, decision date).

    Parameters
    ----------
    panel : PricePanel
        Prices by session.
    dates : ndarray of datetime64[D], shape (n_dates,)
        Decision dates.
    decisions : ndarray of int, shape (n_dates,)
        Session index of each.
    returns : ndarray of float64, shape (n_tickers, n_dates)
        Return over the period that ends on the decision date, known at its close.
    eligible : ndarray of bool, shape (n_tickers, n_dates)
        In that date's universe, with a bar on the date and a whole window behind it.
    labels : Labels
        Targets of the eligible rows.
    universe_sizes : dict of str to int
        Members at each date the universe was drawn.
    """

    panel: PricePanel
    dates: NDArray[np.datetime64]
    decisions: NDArray[np.int64]
    returns: NDArray[np.float64]
    eligible: NDArray[np.bool_]
    labels: Labels
    universe_sizes: dict[str, int]

    @property
    def first(self) -> int:
        """Index of the first decision date with an eligible row; the number of dates when there is none."""
        any_row = self.eligible.any(axis=0)
        return int(any_row.argmax()) if any_row.any() else len(self.dates)


def make_dataset(
    prices: Prices,
    *,
    frequency: str,
    universe: UniverseFilters,
    labels: LabelSettings,
    lookback: int,
    walk_forward: WalkForward,
) -> Dataset:
    """Compute decision dates, returns, point-in-time universe and labels.

    Raises
    ------
    InputError
        When prices hold no two decision dates, or labels need opens that close-only prices do not have.
    """
    if prices.close_only and labels.measured == "open_to_open":
        raise InputError(
            "expected opening prices for labels.measured = 'open_to_open'; found closes only; "
            "set measured = 'close_to_close' under [labels]"
        )
    panel = prices.panel()
    dates = decision_dates(panel.dates[0], panel.dates[-1], frequency, calendar=prices.calendar)
    if len(dates) < 2:
        raise InputError(
            f"expected prices over several {frequency} periods; found {panel.dates[0]} to {panel.dates[-1]}; "
            "give more history"
        )
    decisions = np.searchsorted(panel.dates, dates).astype(np.int64)
    returns = period_returns(panel, decisions)

    drawn = refit_dates(dates, walk_forward)
    member = np.zeros((len(panel.tickers), len(dates)), dtype=bool)
    column = {ticker: i for i, ticker in enumerate(panel.tickers)}
    schedule = universe_schedule(panel, drawn, universe)
    begins = [int(np.searchsorted(dates, day)) for day, _ in schedule] + [len(dates)]
    for (_, members), begin, end in zip(schedule, begins, begins[1:], strict=False):
        member[[column[ticker] for ticker in members], begin:end] = True

    eligible = member & panel.traded[decisions].T & valid_windows(returns, lookback)
    return Dataset(
        panel,
        dates,
        decisions,
        returns,
        eligible,
        make_labels(panel, decisions, eligible, labels),
        {str(day): len(members) for day, members in schedule},
    )


@dataclass(frozen=True, slots=True)
class FoldData:
    """One fold, ready to train: nothing in it, but for the test windows, comes from after its training is over.

    Parameters
    ----------
    fold : Fold
        The cut.
    tickers : tuple of str
        Vocabulary: tickers with a training row. Ticker i has id i + 1, any other id 0.
    clip, mean, std
        How returns were standardised, from the cells the training windows look at.
    training, validation, test : Samples
        Rows by (date, ticker). Test labels are absent.
    both : Samples
        Training and validation rows together, those in between included, for `refit = "all"`.
    test_ticker, test_date : ndarray of int32
        Rows of the test samples in the data set.
    training_ticker : ndarray of int32
        Data-set rows of the training samples' tickers.
    trained_until : datetime64[D]
        Last session whose price entered a training or validation label.
    facts : dict
        What an artifact's key is made of, but for trainer, seed and versions.
    """

    fold: Fold
    tickers: tuple[str, ...]
    clip: tuple[float, float]
    mean: float
    std: float
    training: Samples
    validation: Samples
    both: Samples
    test: Samples
    test_ticker: NDArray[np.int32]
    test_date: NDArray[np.int32]
    training_ticker: NDArray[np.int32]
    trained_until: np.datetime64
    facts: dict[str, Any]


def make_fold_data(data: Dataset, fold: Fold, model: ModelSettings) -> FoldData:
    """Purge, fit the scaler and the vocabulary, and hash one fold's own rows.

    Raises
    ------
    InputError
        When a slice has no row left.
    """
    validation_day = data.decisions[fold.validation.start]
    test_day = data.decisions[fold.test.start]
    # a label may end on the very day the next slice begins: it is known at that day's close, when the slice decides
    training = _rows(data, fold.train, latest=validation_day)
    validation = _rows(data, fold.validation, latest=test_day)
    both = _rows(data, range(fold.train.start, fold.validation.stop), latest=test_day)
    test = _rows(data, fold.test, latest=None)
    for name, rows, span in (("training", training, fold.train), ("validation", validation, fold.validation)):
        if not len(rows[0]):
            raise InputError(
                f"expected {name} rows between {data.dates[span.start]} and {data.dates[span.stop - 1]} for the fold "
                f"that is tested from {data.dates[fold.test.start]}; found none (history too short, universe filters "
                "too strict, or every label purged); give more history or relax the filters"
            )

    seen = _windows(data.returns[:, :, None].astype(np.float32), training, model.lookback).covered()
    values = data.returns[seen]
    low, high = (float(q) for q in np.quantile(values, [model.clip_quantile, 1 - model.clip_quantile]))
    clipped = np.clip(values, low, high)
    mean, std = float(clipped.mean()), float(clipped.std()) or 1.0
    scaled = (np.clip(data.returns, low, high) - mean) / std
    panel = np.ascontiguousarray(np.nan_to_num(scaled, nan=0.0)[:, :, None], dtype=np.float32)

    vocabulary = np.unique(training[0])
    category = np.zeros(len(data.returns), dtype=np.int32)
    category[vocabulary] = np.arange(1, len(vocabulary) + 1)
    months = (data.dates.astype("datetime64[M]").astype(np.int64) % 12).astype(np.int32)

    def samples(rows: tuple[NDArray[np.int32], NDArray[np.int32]], *, labelled: bool = True) -> Samples:
        label = data.labels.label[rows].astype(np.float32) if labelled else np.zeros(0, np.float32)
        return Samples(_windows(panel, rows, model.lookback), category[rows[0]], months[rows[1]], label)

    ends = np.concatenate([data.labels.end[training], data.labels.end[validation], data.labels.end[both]])
    trained_until = data.panel.dates[ends.max()]
    tickers = tuple(data.panel.tickers[i] for i in vocabulary)
    return FoldData(
        fold=fold,
        tickers=tickers,
        clip=(low, high),
        mean=mean,
        std=std,
        training=samples(training),
        validation=samples(validation),
        both=samples(both),
        test=samples(test, labelled=False),
        test_ticker=test[0],
        test_date=test[1],
        training_ticker=training[0],
        trained_until=trained_until,
        facts={
            "fold": [str(data.dates[i]) for i in (fold.train.start, fold.train.stop, fold.validation.stop)],
            "universe": list(tickers),
            "rows": _digest(data, both, training, model.lookback),
            "trained_until": str(trained_until),
        },
    )


def _rows(data: Dataset, span: range, latest: np.int64 | None) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """(ticker, date) indices of a slice's rows, by date and then ticker; labelled ones that end by `latest`."""
    wanted = data.eligible[:, span.start : span.stop]
    if latest is not None:
        end = data.labels.end[:, span.start : span.stop]
        wanted = wanted & (end >= 0) & (end <= latest)
    date, ticker = np.nonzero(wanted.T)
    return ticker.astype(np.int32), (date + span.start).astype(np.int32)


def _windows(panel: NDArray[np.float32], rows: tuple[NDArray[np.int32], NDArray[np.int32]], lookback: int) -> Windows:
    return Windows(panel, rows[0], rows[1], lookback)


def _digest(
    data: Dataset,
    rows: tuple[NDArray[np.int32], NDArray[np.int32]],
    training: tuple[NDArray[np.int32], NDArray[np.int32]],
    lookback: int,
) -> str:
    """SHA-256 of the fold's own rows: names, dates, the returns its windows look at, labels, and the purge.

    Indices are taken relative to what the rows touch, so that a ticker listed later or a year added in front changes
    nothing here.
    """
    ticker, date = rows
    touched, local = np.unique(ticker, return_inverse=True)
    origin = int(date.min()) - (lookback - 1)
    seen = _windows(data.returns[touched][:, :, None].astype(np.float32), (local.astype(np.int32), date), lookback)
    block = np.where(seen.covered(), data.returns[touched], 0.0)[:, origin : int(date.max()) + 1]
    digest = hashlib.sha256()
    digest.update("\n".join(data.panel.tickers[i] for i in touched).encode())
    for array in (
        data.dates[origin : int(date.max()) + 1].astype(np.int64),
        block,
        local.astype(np.int64),
        date.astype(np.int64) - origin,
        data.labels.label[rows],
        np.asarray([len(training[0])], dtype=np.int64),
    ):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
