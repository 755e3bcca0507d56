"""Rows of one fold: purged, scaled by the training slice, and hashed for the artifact key."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signals.common.errors import InputError
from signals.dataset.dataset import Dataset
from signals.dataset.folds import Fold
from signals.dataset.labels import Target
from signals.dataset.windows import MASKED, Samples, Windows, WindowSettings

__all__ = ["FoldData", "Scaler", "check_fold", "make_fold_data", "make_test_data"]

AS_IT_IS = (-np.inf, np.inf, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Scaler:
    """Clipping bounds and standardisation of the features and of a numeric target, fitted on the training slice.

    Parameters
    ----------
    low, high : tuple of float
        Bounds at which each feature is clipped; infinite for no clipping.
    mean, std : tuple of float
        Mean and standard deviation of each clipped feature; 0 and 1 for no standardisation.
    target : tuple of float
        The same four numbers for a numeric target, because the squared errors of a few extreme returns would dominate
        the loss; no effect on probabilities and classes.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    target: tuple[float, float, float, float] = AS_IT_IS

    def apply(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """Scale features, shape (..., n_features); unknown cells become `MASKED`."""
        scaled = np.empty(values.shape, dtype=np.float32)
        for f, (low, high, mean, std) in enumerate(zip(self.low, self.high, self.mean, self.std, strict=True)):
            scaled[..., f] = (np.clip(values[..., f], low, high) - mean) / std
        scaled[~np.isfinite(values).all(axis=-1)] = MASKED
        return scaled

    def apply_target(self, label: NDArray[np.float64]) -> NDArray[np.float32]:
        """Scale labels, shape (n,)."""
        low, high, mean, std = self.target
        return ((np.clip(label, low, high) - mean) / std).astype(np.float32)

    def restore_target(self, scaled: NDArray[Any]) -> NDArray[np.float64]:
        """Convert scaled labels, or predictions of them, back to their own unit."""
        _, _, mean, std = self.target
        return np.asarray(scaled.astype(np.float64) * std + mean)


@dataclass(frozen=True, slots=True)
class FoldData:
    """One fold, ready to train; only its test windows contain data from after the end of training.

    Parameters
    ----------
    fold : Fold
        Ranges of decision dates of the slices.
    tickers : tuple of str
        Vocabulary: tickers with a training row. Ticker i has id i + 1, any other id 0.
    scaler : Scaler
        Scaling of features and target, fitted on the cells that the training windows contain.
    target : Target
        What a model predicts for each row.
    training, validation, test : Samples
        Rows sorted by date, then ticker. Test labels are absent.
    both : Samples
        Training and validation rows together, including those purged between the two slices, for
        `refit_on_validation = true`.
    test_ticker, test_date : ndarray of int32
        Data-set row and column of each test sample.
    training_ticker : ndarray of int32
        Data-set rows of the training samples' tickers.
    trained_until : datetime64[D]
        Last session whose price entered a training or validation label; NaT when nothing was trained.
    facts : dict
        Components of the artifact key, except for trainer, seed and versions.
    group_sizes : mapping of str to int
        Number of ids of every other categorical in the training rows, the unknown id 0 included.
    training_date : ndarray of int32
        Data-set columns of the training samples' dates.
    groups : mapping of str to tuple of str
        Vocabulary of every other categorical: label i has id i + 1, any other id 0.
    validation_date : ndarray of int32
        Data-set columns of the validation samples' dates.
    """

    fold: Fold
    tickers: tuple[str, ...]
    scaler: Scaler
    target: Target
    training: Samples
    validation: Samples
    both: Samples
    test: Samples
    test_ticker: NDArray[np.int32]
    test_date: NDArray[np.int32]
    training_ticker: NDArray[np.int32]
    trained_until: np.datetime64
    facts: dict[str, Any]
    group_sizes: Mapping[str, int] = field(default_factory=dict)
    training_date: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    validation_date: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))


Rows = tuple[NDArray[np.int32], NDArray[np.int32]]


def make_fold_data(data: Dataset, fold: Fold, windows: WindowSettings) -> FoldData:
    """Purge the rows of one fold, fit scaler and vocabularies, and hash the rows.

    Raises
    ------
    InputError
        When a slice has no row left.
    """
    training, validation, both = _labelled_rows(data, fold)
    ends = np.concatenate([data.labels.end[rows] for rows in (training, validation, both)])
    return _fold_data(data, fold, windows, training, validation, both, data.panel.dates[ends.max()])


def check_fold(data: Dataset, fold: Fold) -> int:
    """Count the training rows of a fold, without preparing it; raises the errors of `make_fold_data`."""
    return len(_labelled_rows(data, fold)[0][0])


def _labelled_rows(data: Dataset, fold: Fold) -> tuple[Rows, Rows, Rows]:
    """Rows of training, of validation, and of both slices together."""
    validation_day = data.decisions[fold.validation.start]
    test_day = data.decisions[fold.test.start]
    # a label may end on the day the next slice begins: it is known at that day's close, at which the slice predicts
    training = _rows(data, fold.train, latest=validation_day)
    validation = _rows(data, fold.validation, latest=test_day)
    both = _rows(data, range(fold.train.start, fold.validation.stop), latest=test_day)
    for name, rows, span in (("training", training, fold.train), ("validation", validation, fold.validation)):
        if not len(rows[0]):
            raise InputError(
                f"expected {name} rows between {data.dates[span.start]} and {data.dates[span.stop - 1]} for the fold "
                f"that is tested from {data.dates[fold.test.start]}; found {int(data.eligible[:, span].sum()):,} in "
                "the universe and none whose label is known in time (history too short, universe filters too strict, "
                f"or labels.horizon too long for a slice of {len(span)} dates); change one of them"
            )
    return training, validation, both


def make_test_data(data: Dataset, fold: Fold, windows: WindowSettings) -> FoldData:
    """Prepare only the test rows of a fold, unscaled, for a saved Keras model."""
    none = (np.zeros(0, np.int32), np.zeros(0, np.int32))
    return _fold_data(data, fold, windows, none, none, none, np.datetime64("NaT", "D"))


def _fold_data(
    data: Dataset,
    fold: Fold,
    windows: WindowSettings,
    training: Rows,
    validation: Rows,
    both: Rows,
    trained_until: np.datetime64,
) -> FoldData:
    test = _rows(data, fold.test, latest=None)
    scaler = _fit_scaler(data, training, windows)
    # windows of short histories begin before the first date: padding with masked steps allows the same indexing for all
    pad = windows.lookback - 1 if windows.min_steps is not None else 0
    scaled = scaler.apply(data.features.values)
    panel = np.pad(scaled, ((0, 0), (pad, 0), (0, 0)), constant_values=MASKED) if pad else scaled

    vocabulary = np.unique(training[0])
    category = np.zeros(len(data.returns), dtype=np.int32)
    category[vocabulary] = np.arange(1, len(vocabulary) + 1)
    months = (data.dates.astype("datetime64[M]").astype(np.int64) % 12).astype(np.int32)

    groups = {name: categorical.vocabulary(training) for name, categorical in data.categoricals.items()}

    # the panel of training and validation ends before the test slice: a trainer has no access to later cells
    width = int(both[1].max()) + pad + 1 if len(both[0]) else 0
    training_panel = panel[:, :width]
    latest = {"training": data.decisions[fold.validation.start], "both": data.decisions[fold.test.start]}
    steps = (
        {name: _step_labels(data, scaler, day, pad)[:, :width] for name, day in latest.items()}
        if len(both[0]) and _needs_step_labels(windows)
        else {}
    )

    def samples(rows: Rows, slice_name: str) -> Samples:
        labelled = slice_name != "test"
        label = scaler.apply_target(data.labels.label[rows]) if labelled else np.zeros(0, np.float32)
        end = (rows[1] + pad).astype(np.int32)
        return Samples(
            Windows(training_panel if labelled else panel, rows[0], end, windows.lookback),
            category[rows[0]],
            months[rows[1]],
            label,
            {name: categorical.ids(groups[name], rows) for name, categorical in data.categoricals.items()},
            Windows(steps[slice_name], rows[0], end, windows.lookback) if labelled and steps else None,
        )

    tickers = tuple(data.panel.tickers[i] for i in vocabulary)
    return FoldData(
        fold=fold,
        tickers=tickers,
        scaler=scaler,
        target=data.target,
        training=samples(training, "training"),
        # labels known when the test slice begins, like those of both slices together
        validation=samples(validation, "both"),
        both=samples(both, "both"),
        test=samples(test, "test"),
        test_ticker=test[0],
        test_date=test[1],
        training_ticker=training[0],
        trained_until=trained_until,
        facts={
            "fold": [str(data.dates[i]) for i in (fold.train.start, fold.train.stop, fold.validation.stop)],
            "universe": list(tickers),
            "features": list(data.features.names),
            "target": [data.target.kind, data.target.outputs, *data.target.levels],
            "rows": _digest(data, both, training, windows, groups, tuple(latest.values())) if len(both[0]) else "",
            "trained_until": str(trained_until),
            **({"groups": {name: list(labels) for name, labels in groups.items()}} if groups else {}),
        },
        group_sizes={name: len(labels) + 1 for name, labels in groups.items()},
        training_date=training[1],
        groups=groups,
        validation_date=validation[1],
    )


def _needs_step_labels(windows: WindowSettings) -> bool:
    """Whether training needs the labels of every step of the windows."""
    return bool(getattr(windows, "sequence_loss", False)) or getattr(windows, "teacher_steps", None) == "window"


def _known_labels(data: Dataset, latest: np.int64) -> NDArray[np.bool_]:
    """Mask of the labels that are known at the close of session `latest`, shape (n_tickers, n_dates)."""
    end = data.labels.end
    return np.asarray(np.isfinite(data.labels.label) & (end >= 0) & (end <= latest))


def _step_labels(data: Dataset, scaler: Scaler, latest: np.int64, pad: int) -> NDArray[np.float32]:
    """Scaled labels that end by session `latest`, `MASKED` elsewhere, shape (n_tickers, pad + n_dates, 1).

    The purge applies to the label of every step as it does to the label of a row.
    """
    known = _known_labels(data, latest)
    label = np.full(known.shape, MASKED)
    label[known] = scaler.apply_target(data.labels.label[known])
    return np.pad(label, ((0, 0), (pad, 0)), constant_values=MASKED)[:, :, None]


def _rows(data: Dataset, span: range, latest: np.int64 | None) -> Rows:
    """(ticker, date) indices of a slice's rows, sorted by date, then ticker; with `latest`, those with known labels."""
    selected = data.eligible[:, span.start : span.stop]
    if latest is not None:
        selected = selected & _known_labels(data, latest)[:, span.start : span.stop]
    date, ticker = np.nonzero(selected.T)
    return ticker.astype(np.int32), (date + span.start).astype(np.int32)


def _cells_in_windows(data: Dataset, rows: Rows, lookback: int) -> NDArray[np.bool_]:
    """Mask of the known cells that the windows of some rows contain, shape (n_tickers, n_dates)."""
    n_tickers, n_dates = data.eligible.shape
    steps = np.zeros((n_tickers, n_dates + 1), dtype=np.int64)
    np.add.at(steps, (rows[0], np.maximum(rows[1] - (lookback - 1), 0)), 1)
    np.add.at(steps, (rows[0], rows[1] + 1), -1)
    covered = np.cumsum(steps, axis=1)[:, :n_dates] > 0
    return np.asarray(covered & np.isfinite(data.features.values).all(axis=2))


def _fit_scaler(data: Dataset, training: Rows, windows: WindowSettings) -> Scaler:
    n_features = data.features.values.shape[2]
    quantile = windows.winsorize_quantile
    columns, target = [AS_IT_IS] * n_features, AS_IT_IS
    if quantile is not None and len(training[0]):
        seen = _cells_in_windows(data, training, windows.lookback)
        # one feature at a time, in contiguous memory, so that the order of summation does not depend on other features
        columns = [_fit_column(data.features.values[..., f][seen], quantile) for f in range(n_features)]
        if data.target.is_numeric:
            target = _fit_column(data.labels.label[training], quantile)
    low, high, mean, std = zip(*columns, strict=True)
    return Scaler(low, high, mean, std, target)


def _fit_column(values: NDArray[np.float64], quantile: float) -> tuple[float, float, float, float]:
    """Clipping bounds, mean and standard deviation of some numbers."""
    low, high = (float(q) for q in np.quantile(values, [quantile, 1 - quantile]))
    clipped = np.clip(values, low, high)
    return low, high, float(clipped.mean()), float(clipped.std()) or 1.0


def _digest(
    data: Dataset,
    rows: Rows,
    training: Rows,
    windows: WindowSettings,
    groups: Mapping[str, tuple[str, ...]],
    latest: tuple[np.int64, ...],
) -> str:
    """SHA-256 of the fold's rows: tickers, dates, the features in its windows, labels, and the purge.

    The hash includes the ids of other categoricals and, for a model trained on the labels of every step, these labels
    and which of them each slice may use. Indices are relative to the tickers and dates that occur in the rows, so that
    tickers listed later and a longer history in front do not change the hash.
    """
    ticker, date = rows
    touched, local = np.unique(ticker, return_inverse=True)
    origin, last = max(int(date.min()) - (windows.lookback - 1), 0), int(date.max())
    span = slice(origin, last + 1)
    seen = _cells_in_windows(data, rows, windows.lookback)[touched, span]
    block = np.where(seen[:, :, None], data.features.values[touched, span], 0.0)
    arrays: list[NDArray[Any]] = [
        data.dates[span].astype(np.int64),
        seen,
        block,
        local.astype(np.int64),
        date.astype(np.int64) - origin,
        data.labels.label[rows],
        np.asarray([len(training[0])], dtype=np.int64),
    ]
    arrays += [data.categoricals[name].ids(labels, rows) for name, labels in groups.items()]
    if _needs_step_labels(windows):
        known = [_known_labels(data, day)[touched, span] & seen for day in latest]
        arrays += [np.where(known[-1], data.labels.label[touched, span], 0.0), *known]
    digest = hashlib.sha256()
    digest.update("\n".join(data.panel.tickers[i] for i in touched).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
