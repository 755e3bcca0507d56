"""Data of one fold of a series problem: scaled by its training rows, and hashed for the artifact key."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from signals.common.errors import InputError
from signals.dataset.categoricals import OF_DATES, calendar_categorical
from signals.dataset.fold_data import FoldData, Scaler
from signals.dataset.folds import Fold
from signals.dataset.labels import Target
from signals.dataset.windows import MASKED, Samples, Windows
from signals.forecasting.problem import Problem, SeriesFold
from signals.forecasting.settings import REPORTING, ForecastSettings
from signals.models.network import NetworkSettings

__all__ = ["PreparedFold", "Scale", "check_model", "make_series_fold", "target_of"]

# a bound that no value reaches, and that JSON can represent
UNBOUNDED = float(np.finfo(np.float64).max)


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """Scaling (values - centre) / width; both are arrays that broadcast against the values."""

    centre: NDArray[np.float64]
    width: NDArray[np.float64]

    @classmethod
    def fitted(cls, values: NDArray[np.float64], kind: str) -> Scale:
        """Fit over the first axis; constant columns are only centred.

        >>> Scale.fitted(np.array([[1.0], [3.0], [5.0]]), "minmax").apply(np.array([[7.0]])).tolist()
        [[1.5]]
        """
        if kind == "none":
            return cls(np.zeros(values.shape[1:]), np.ones(values.shape[1:]))
        centre, width = (
            (values.mean(axis=0), values.std(axis=0))
            if kind == "standard"
            else (values.min(axis=0), np.ptp(values, axis=0))
        )
        return cls(centre, np.where(width > 0, width, 1.0))

    def apply(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """Scale values; unknown ones (NaN) become `MASKED`."""
        scaled = ((values - self.centre) / self.width).astype(np.float32)
        return np.where(np.isfinite(values), scaled, MASKED)

    def restore(self, scaled: NDArray[np.float64]) -> NDArray[np.float64]:
        """Convert scaled values back to their own unit."""
        return np.asarray(scaled * self.width + self.centre)


@dataclass(frozen=True, slots=True, eq=False)
class PreparedFold:
    """A fold ready to train, and the conversion of network outputs to forecasts.

    Parameters
    ----------
    fold : SeriesFold
        Ranges of origins.
    data : FoldData
        Data for trainers; the table is its only "ticker".
    labels : Scale
        Scale of the labels, shape (horizon, k).
    """

    fold: SeriesFold
    data: FoldData
    labels: Scale

    def forecasts(
        self, y_pred: NDArray[np.float64], problem: Problem, settings: ForecastSettings
    ) -> NDArray[np.float64]:
        """Convert scaled outputs to forecasts, shape (n, horizon, k, levels); one level for point forecasts.

        Quantiles that cross are sorted, which can only lower their pinball loss (Chernozhukov, Fernandez-Val and
        Galichon, 2010).
        """
        levels = max(len(settings.quantiles), 1)
        scaled = y_pred.reshape(len(y_pred), problem.horizon, len(problem.targets), levels)
        values = self.labels.restore(scaled.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
        if settings.target == "change":
            values = values + problem.last(self.fold.origins)[:, None, :, None]
        return np.sort(values, axis=3)


def target_of(problem: Problem, settings: ForecastSettings) -> Target:
    """Return the target of a network: kind and shape of its output at an origin."""
    levels = settings.quantiles
    values = problem.horizon * len(problem.targets)
    if not levels:
        return Target("value", values, steps=problem.horizon)
    return Target("quantiles", values * len(levels), levels, problem.horizon)


def check_model(model: NetworkSettings) -> None:
    """Check that a network has no inputs that series cannot provide.

    Raises
    ------
    InputError
        For ticker and sector inputs, and for windows with unknown steps.
    """
    if model.ticker_embedding_dim:
        raise InputError(
            "expected model.ticker_embedding_dim = 0, because a table of series has no tickers; found "
            f"{model.ticker_embedding_dim}; set it to 0"
        )
    if model.masked:
        raise InputError(
            f"expected complete windows of series; found model.min_steps = {model.min_steps}; leave it out, and choose "
            "a shorter model.lookback"
        )
    for name in model.groups:
        if name not in OF_DATES:
            raise InputError(
                f"expected model.categorical_embeddings of {', '.join(OF_DATES)} for series; found {name!r}; drop it"
            )


def make_series_fold(
    problem: Problem, fold: SeriesFold, model: NetworkSettings, settings: ForecastSettings
) -> PreparedFold:
    """Scale and hash the rows of one fold, and make its samples.

    Scales are fitted on rows that are known at the end of training: those in the training windows and those in their
    labels. Month, quarter, weekday and year are those of the first date that is forecast.

    Parameters
    ----------
    problem : Problem
        Problem with a `lookback` of at least the model's and `settings.context`.
    fold : SeriesFold
        One of its folds.
    model : NetworkSettings
        The network.
    settings : ForecastSettings
        Target, inputs and scaling.
    """
    table, horizon = problem.table, problem.horizon
    lookback = model.lookback
    begin = fold.train.start - (lookback - 1) - settings.context
    known = slice(begin, fold.train.stop + horizon)  # the rows that training may use
    levels = Scale.fitted(table.values[known], settings.scale)
    scales, inputs = {"level": levels}, {"level": table.values}
    if "change" in settings.inputs:
        inputs["change"] = np.diff(table.values, axis=0, prepend=np.nan)
        scales["change"] = Scale.fitted(inputs["change"][known][1:], settings.scale)
    panel = np.concatenate([scales[name].apply(inputs[name]) for name in settings.inputs], axis=1)[None]

    all_rows = np.arange(len(table))
    label = problem.actual(all_rows)
    if settings.target == "change":
        label = label - problem.last(all_rows)[:, None]
        label_scale = Scale.fitted(label[fold.train.start : fold.train.stop], settings.scale)
    else:
        columns = list(problem.targets)
        shape = (horizon, len(columns))
        label_scale = Scale(*(np.broadcast_to(part[columns], shape) for part in (levels.centre, levels.width)))
    scaled = label_scale.apply(label).reshape(len(all_rows), -1)

    # the month of a row is that of the first date it forecasts
    months = problem.ahead[1 : len(table) + 1].astype("datetime64[D]")
    calendar = {name: calendar_categorical(name, months) for name in model.groups}
    groups = {name: categorical.vocabulary(_row_indices(fold.train)) for name, categorical in calendar.items()}
    month = (months.astype("datetime64[M]").astype(np.int64) % 12).astype(np.int32)
    needs_step_labels = model.sequence_loss or model.teacher_steps == "window"
    stop = fold.both.stop  # the panel of training and validation ends before the test slice

    def samples(span: range, *, labelled: bool = True) -> Samples:
        ticker, end = _row_indices(span)
        return Samples(
            Windows(panel[:, :stop] if labelled else panel, ticker, end, lookback),
            np.ones(len(span), np.int32),
            month[end],
            scaled[end] if labelled else np.zeros(0, np.float32),
            {name: categorical.ids(groups[name], (ticker, end)) for name, categorical in calendar.items()},
            Windows(scaled[None, :stop], ticker, end, lookback) if labelled and needs_step_labels else None,
        )

    until = table.dates[stop - 1 + horizon]
    names = tuple(f"{name} {part}" for part in settings.inputs for name in table.names)
    centre, width = (
        tuple(float(x) for name in settings.inputs for x in getattr(scales[name], part)) for part in ("centre", "width")
    )
    data = FoldData(
        fold=Fold(fold.number, fold.train, fold.validation, fold.test),
        tickers=("series",),
        # labels are restored by `PreparedFold`, because a `Scaler` has only one target
        scaler=Scaler((-UNBOUNDED,) * len(names), (UNBOUNDED,) * len(names), centre, width),
        target=target_of(problem, settings),
        training=samples(fold.train),
        validation=samples(fold.validation),
        both=samples(fold.both),
        test=samples(fold.origins, labelled=False),
        test_ticker=np.zeros(len(fold.origins), np.int32),
        test_date=_row_indices(fold.origins)[1],
        training_ticker=np.zeros(len(fold.train), np.int32),
        trained_until=until,
        facts=_facts(problem, fold, settings, begin, names, groups),
        group_sizes={name: len(labels) + 1 for name, labels in groups.items()},
        training_date=_row_indices(fold.train)[1],
        validation_date=_row_indices(fold.validation)[1],
        groups=groups,
    )
    return PreparedFold(fold, data, label_scale)


def _row_indices(span: range) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    return np.zeros(len(span), np.int32), np.arange(span.start, span.stop, dtype=np.int32)


def _facts(
    problem: Problem,
    fold: SeriesFold,
    settings: ForecastSettings,
    begin: int,
    features: tuple[str, ...],
    groups: Mapping[str, tuple[str, ...]],
) -> dict[str, object]:
    """Components of the artifact key: settings that affect the network, and a hash of the fold's rows."""
    table = problem.table
    end = fold.both.stop + problem.horizon
    rows = hashlib.sha256()
    for array in (table.dates[begin:end].astype("datetime64[D]").astype(np.int64), table.values[begin:end]):
        rows.update(np.ascontiguousarray(array).tobytes())
    relevant = {name: value for name, value in asdict(settings).items() if name not in (*REPORTING, "series")}
    spans = [span - begin for part in (fold.train, fold.validation, fold.both) for span in (part.start, part.stop)]
    return {
        "series": list(table.names),
        "forecast": {**relevant, "columns": list(problem.targets)},
        "features": list(features),
        "slices": spans,
        "rows": rows.hexdigest(),
        "trained_until": str(table.dates[end - 1]),
        "groups": {name: list(labels) for name, labels in groups.items()},
    }
