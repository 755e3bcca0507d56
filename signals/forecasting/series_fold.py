"""One fold of a series problem: scaled by its own training rows, hashed, ready for any network."""

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

# a bound that nothing reaches, and that JSON can write
UNBOUNDED = float(np.finfo(np.float64).max)


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """What is subtracted, and what it is then divided by; arrays that broadcast against the values."""

    centre: NDArray[np.float64]
    width: NDArray[np.float64]

    @classmethod
    def fitted(cls, values: NDArray[np.float64], kind: str) -> Scale:
        """Fit over the first axis; what never moves is only centred.

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
        """Bring values to the scale; those not known become `MASKED`."""
        scaled = ((values - self.centre) / self.width).astype(np.float32)
        return np.where(np.isfinite(values), scaled, MASKED)

    def restore(self, scaled: NDArray[np.float64]) -> NDArray[np.float64]:
        """Bring scaled values back to their own unit."""
        return np.asarray(scaled * self.width + self.centre)


@dataclass(frozen=True, slots=True, eq=False)
class PreparedFold:
    """A fold ready to train, and how what a network says of it becomes forecasts.

    Parameters
    ----------
    cut : SeriesFold
        The cut.
    data : FoldData
        What trainers take; the one "ticker" is the table.
    labels : Scale
        Of the labels, shape (horizon, k).
    """

    cut: SeriesFold
    data: FoldData
    labels: Scale

    def forecasts(self, said: NDArray[np.float64], problem: Problem, settings: ForecastSettings) -> NDArray[np.float64]:
        """Turn scaled outputs of the origins into forecasts, shape (n, horizon, k, levels); one level for numbers.

        Quantiles that cross are put in order, which can only lower their pinball loss (Chernozhukov, Fernandez-Val and
        Galichon, 2010).
        """
        levels = max(len(settings.quantiles), 1)
        scaled = said.reshape(len(said), problem.horizon, len(problem.targets), levels)
        values = self.labels.restore(scaled.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
        if settings.target == "change":
            values = values + problem.last(self.cut.origins)[:, None, :, None]
        return np.sort(values, axis=3)


def target_of(problem: Problem, settings: ForecastSettings) -> Target:
    """Say what a network has to say about an origin."""
    levels = settings.quantiles
    values = problem.horizon * len(problem.targets)
    if not levels:
        return Target("value", values, steps=problem.horizon)
    return Target("quantiles", values * len(levels), levels, problem.horizon)


def check_model(model: NetworkSettings) -> None:
    """Hold a network to what can be done with series.

    Raises
    ------
    InputError
        For inputs there are none of: tickers, sectors, windows that are not whole.
    """
    if model.ticker_embedding_dim:
        raise InputError(
            "expected model.ticker_embedding_dim = 0, since a table of series has no tickers; found "
            f"{model.ticker_embedding_dim}; set it"
        )
    if model.masked:
        raise InputError(
            f"expected whole windows of series; found model.min_steps = {model.min_steps}; leave it out, and choose a "
            "shorter model.lookback"
        )
    for name in model.groups:
        if name not in OF_DATES:
            raise InputError(
                f"expected model.categorical_embeddings of {', '.join(OF_DATES)} for series; found {name!r}; drop it"
            )


def make_series_fold(
    problem: Problem, cut: SeriesFold, model: NetworkSettings, settings: ForecastSettings
) -> PreparedFold:
    """Scale, hash and lay out one fold.

    Scales are fitted on rows that are known when training is over: those the training windows look at and those their
    labels reach. Month, quarter, weekday and year are those of the first date that is forecast.

    Parameters
    ----------
    problem : Problem
        With a `lookback` of at least the model's and `settings.context`.
    cut : SeriesFold
        One of its folds.
    model : NetworkSettings
        The network.
    settings : ForecastSettings
        What is forecast, and from what.
    """
    table, horizon = problem.table, problem.horizon
    lookback = model.lookback
    begin = cut.train.start - (lookback - 1) - settings.context
    known = slice(begin, cut.train.stop + horizon)  # the rows training may look at
    levels = Scale.fitted(table.values[known], settings.scale)
    scales, seen = {"level": levels}, {"level": table.values}
    if "change" in settings.inputs:
        seen["change"] = np.diff(table.values, axis=0, prepend=np.nan)
        scales["change"] = Scale.fitted(seen["change"][known][1:], settings.scale)
    panel = np.concatenate([scales[name].apply(seen[name]) for name in settings.inputs], axis=1)[None]

    every = np.arange(len(table))
    label = problem.actual(every)
    if settings.target == "change":
        label = label - problem.last(every)[:, None]
        label_scale = Scale.fitted(label[cut.train.start : cut.train.stop], settings.scale)
    else:
        columns = list(problem.targets)
        shape = (horizon, len(columns))
        label_scale = Scale(*(np.broadcast_to(part[columns], shape) for part in (levels.centre, levels.width)))
    scaled = label_scale.apply(label).reshape(len(every), -1)

    # rows stand for the date that is forecast first
    months = problem.ahead[1 : len(table) + 1].astype("datetime64[D]")
    calendar = {name: calendar_categorical(name, months) for name in model.groups}
    groups = {name: found.vocabulary(_rows(cut.train)) for name, found in calendar.items()}
    month = (months.astype("datetime64[M]").astype(np.int64) % 12).astype(np.int32)
    teaches = model.sequence_loss or model.teacher_steps == "window"
    stop = cut.both.stop  # what is learnt from ends before what is scored

    def samples(span: range, *, labelled: bool = True) -> Samples:
        ticker, end = _rows(span)
        return Samples(
            Windows(panel[:, :stop] if labelled else panel, ticker, end, lookback),
            np.ones(len(span), np.int32),
            month[end],
            scaled[end] if labelled else np.zeros(0, np.float32),
            {name: found.ids(groups[name], (ticker, end)) for name, found in calendar.items()},
            Windows(scaled[None, :stop], ticker, end, lookback) if labelled and teaches else None,
        )

    until = table.dates[stop - 1 + horizon]
    names = tuple(f"{name} {part}" for part in settings.inputs for name in table.names)
    centre, width = (
        tuple(float(x) for name in settings.inputs for x in getattr(scales[name], part)) for part in ("centre", "width")
    )
    data = FoldData(
        fold=Fold(cut.number, cut.train, cut.validation, cut.test),
        tickers=("series",),
        # labels are restored here: a scaler has one target
        scaler=Scaler((-UNBOUNDED,) * len(names), (UNBOUNDED,) * len(names), centre, width),
        target=target_of(problem, settings),
        training=samples(cut.train),
        validation=samples(cut.validation),
        both=samples(cut.both),
        test=samples(cut.origins, labelled=False),
        test_ticker=np.zeros(len(cut.origins), np.int32),
        test_date=_rows(cut.origins)[1],
        training_ticker=np.zeros(len(cut.train), np.int32),
        trained_until=until,
        facts=_facts(problem, cut, settings, begin, names, groups),
        group_sizes={name: len(labels) + 1 for name, labels in groups.items()},
        training_date=_rows(cut.train)[1],
        validation_date=_rows(cut.validation)[1],
        groups=groups,
    )
    return PreparedFold(cut, data, label_scale)


def _rows(span: range) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    return np.zeros(len(span), np.int32), np.arange(span.start, span.stop, dtype=np.int32)


def _facts(
    problem: Problem,
    cut: SeriesFold,
    settings: ForecastSettings,
    begin: int,
    features: tuple[str, ...],
    groups: Mapping[str, tuple[str, ...]],
) -> dict[str, object]:
    """Everything an artifact's key needs: the settings that decide what is learnt, and the fold's own rows by hash."""
    table = problem.table
    end = cut.both.stop + problem.horizon
    rows = hashlib.sha256()
    for array in (table.dates[begin:end].astype("datetime64[D]").astype(np.int64), table.values[begin:end]):
        rows.update(np.ascontiguousarray(array).tobytes())
    learnt = {name: value for name, value in asdict(settings).items() if name not in (*REPORTING, "series")}
    slices = [span - begin for part in (cut.train, cut.validation, cut.both) for span in (part.start, part.stop)]
    return {
        "series": list(table.names),
        "forecast": {**learnt, "columns": list(problem.targets)},
        "features": list(features),
        "slices": slices,
        "rows": rows.hexdigest(),
        "trained_until": str(table.dates[end - 1]),
        "groups": {name: list(labels) for name, labels in groups.items()},
    }
