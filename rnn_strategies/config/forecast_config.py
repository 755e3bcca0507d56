"""Configuration of a forecast of series: the TOML tables, their validation, and the resulting `ForecastConfig`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field

from rnn_strategies.config.model_table import MODELS, read_model
from rnn_strategies.config.settings_tables import STRICT, FolderName, build, check_table, table_of
from rnn_strategies.config.toml_files import config_hash, dropped, plain_values, read_tables, resolve_path, to_toml
from signals.common.errors import InputError
from signals.dataset.folds import WalkForward
from signals.forecasting.baselines import parse_baselines
from signals.forecasting.series_fold import check_model
from signals.forecasting.series_table import SeriesTable, read_series
from signals.forecasting.settings import SERIES_TRAINING, ForecastSettings
from signals.forecasting.simulated_series import simulated_series
from signals.models.custom import CustomModel
from signals.models.network import NetworkSettings
from signals.models.recurrent_settings import check_horizon
from signals.models.saved_keras import SavedKerasModel
from signals.trainers.base import TrainingSettings

__all__ = ["ForecastConfig", "load_forecast_config", "parse_forecast_config"]

# Defaults of [model] that differ from those for stocks: series have no ticker, and few rows.
_SERIES_MODEL: dict[str, Any] = {
    "lookback": 24,
    "units": [20],
    "ticker_embedding_dim": 0,
    "month_onehot": False,
    "dense_units": 0,
    "dropout": 0.0,
}
_SERIES_TRAINING: dict[str, Any] = {
    name: getattr(SERIES_TRAINING, name) for name in ("batch_size", "epochs", "patience")
}
# Not available for series: clipping would cut off the levels of a rising series, and windows are always complete.
_UNAVAILABLE = ("winsorize_quantile", "min_steps")

BASELINES = ("persistence", "drift", "mean", "ridge")


class _Transform(BaseModel):
    model_config = STRICT
    transform: str | tuple[str, ...] = "level"
    transform_periods: int = Field(default=1, ge=1)


class _SeriesFile(_Transform):
    source: Literal["file"] = "file"
    path: str
    columns: tuple[str, ...] = ()
    date: str | None = None
    start: str | None = None
    end: str | None = None
    vintage_note: str = ""
    publication_note: str = ""
    calendar: str | None = None
    on_missing: Literal["raise", "drop", "fill"] = "raise"


class _SimulatedSeries(_Transform):
    source: Literal["simulated"]
    seed: int = Field(default=0, ge=0)
    n_months: int = 1200
    n_series: int = 3
    noise: float = 0.3
    start: str = "1920-01-01"


_SERIES_SOURCES: dict[str, type[_Transform]] = {"file": _SeriesFile, "simulated": _SimulatedSeries}

_Forecast: Any = table_of(ForecastSettings, baselines=(tuple[str, ...], BASELINES), lags=(int, Field(default=12, ge=1)))
_Training: Any = table_of(TrainingSettings, seeds=(tuple[int, ...], (0, 1, 2)))
_WalkForward: Any = table_of(WalkForward)


class _ForecastTables(BaseModel):
    model_config = STRICT
    name: FolderName = "forecast"
    title: str = ""
    series: dict[str, Any]
    forecast: _Forecast = Field(default_factory=_Forecast)
    model: dict[str, Any] = Field(default_factory=dict)
    training: _Training = Field(default_factory=_Training)
    walk_forward: _WalkForward


@dataclass(frozen=True, slots=True)
class ForecastConfig:
    """A validated configuration of a forecast, with every default filled in.

    Parameters
    ----------
    name, title : str
        Name of the run folder under `runs/`, and heading of the table.
    series : dict
        Source of the series, their transformation, and the notes on vintage and publication.
    forecast : ForecastSettings
        Target, horizon, inputs, scaling and error measure.
    baselines : tuple of str
        Names of the baselines that the network is compared with.
    lags : int
        Number of lagged rows that baselines on lags receive, where their name states none.
    model, training, walk_forward
        Settings of each part.
    seeds : tuple of int
        Random seeds; one network is trained per fold and seed.
    tables : dict
        The whole configuration as plain values, as written to `config.toml`.
    """

    name: str
    title: str
    series: dict[str, Any]
    forecast: ForecastSettings
    baselines: tuple[str, ...]
    lags: int
    model: NetworkSettings
    training: TrainingSettings
    walk_forward: WalkForward
    seeds: tuple[int, ...]
    tables: dict[str, Any]

    @property
    def hash(self) -> str:
        """SHA-256 of every setting that can change a figure; the content of the file of series is not part of it."""
        return config_hash(dropped(self.tables, "name", "title"))

    def to_toml(self) -> str:
        """Return the configuration as TOML text, defaults included; reading it gives the same configuration."""
        return to_toml(self.tables)

    def load_series(self) -> SeriesTable:
        """Read or simulate the series, and transform them."""
        options = {key: value for key, value in self.series.items() if value is not None}
        kind, transform, periods = options.pop("source"), options.pop("transform"), options.pop("transform_periods")
        table = simulated_series(**options) if kind == "simulated" else read_series(**options)
        return table.transformed(transform, periods)


def load_forecast_config(path: Path | str, overrides: Sequence[str] = ()) -> ForecastConfig:
    """Read a configuration file.

    Parameters
    ----------
    path : Path or str
        TOML file. Paths inside it are relative to its folder; `~` and `${VARIABLE}` are expanded.
    overrides : sequence of str
        `"table.key=value"`, the value as TOML; text needs no quotes.

    Raises
    ------
    InputError
        When the file cannot be read, a key is unknown or missing, or a value is not allowed.
    """
    return parse_forecast_config(read_tables(path, overrides), base=Path(path).parent)


def parse_forecast_config(tables: Mapping[str, Any], *, base: Path = Path()) -> ForecastConfig:
    """Validate a configuration given as plain tables; parameters and errors are those of `load_forecast_config`."""
    tables = plain_values(tables)
    if "prices" in tables and "series" not in tables:
        raise InputError("expected a table [series]; found [prices]; use `rnn-strategies run` for stocks")
    training_table: Any = tables.get("training", {})
    if isinstance(training_table, dict):
        tables = {**tables, "training": {**_SERIES_TRAINING, **training_table}}
    file = check_table(_ForecastTables, tables)
    plain: dict[str, Any] = file.model_dump(mode="json")
    source = file.series.get("source", "file")
    if not isinstance(source, str) or source not in _SERIES_SOURCES:
        raise InputError(f"expected series.source to be {' or '.join(_SERIES_SOURCES)}; found {source!r}; correct it")
    plain["series"] = check_table(_SERIES_SOURCES[source], file.series, "series").model_dump(mode="json")
    if "path" in plain["series"]:
        plain["series"]["path"] = str(resolve_path(plain["series"]["path"], base))
    model, plain["model"] = _read_model(file.model, base)
    check_horizon(model, file.forecast.horizon)
    baselines = [str(baseline) for baseline in parse_baselines(file.forecast.baselines)]
    if (reference := file.forecast.reference_baseline) not in ("persistence", *baselines):
        raise InputError(
            f"expected forecast.reference_baseline among the baselines, {', '.join(baselines)}; found {reference!r}; "
            "add it to forecast.baselines"
        )
    training = file.training.model_dump()
    seeds = training.pop("seeds")
    series = {key: tuple(value) if isinstance(value, list) else value for key, value in plain["series"].items()}
    return ForecastConfig(
        name=file.name,
        title=file.title or file.name,
        series=series,
        forecast=build(ForecastSettings, file.forecast),
        baselines=tuple(file.forecast.baselines),
        lags=file.forecast.lags,
        model=model,
        training=TrainingSettings(**training),
        walk_forward=build(WalkForward, file.walk_forward),
        seeds=tuple(seeds),
        tables=plain,
    )


def _read_model(table: Mapping[str, Any], base: Path) -> tuple[NetworkSettings, dict[str, Any]]:
    """Read `[model]` with the defaults for series."""
    kind = str(table.get("kind", "recurrent"))
    if ":" in kind or MODELS.get(kind) is SavedKerasModel:
        raise InputError(
            f"expected model.kind of a network that is trained here, recurrent or encoder_decoder; found {kind!r}; "
            "use custom and saved models on stocks, with `rnn-strategies run`"
        )
    known = {field.name for field in fields(MODELS[kind])} if kind in MODELS else set()

    def validate(settings: type, options: Mapping[str, Any], leave_out: tuple[str, ...] = ()) -> dict[str, Any]:
        checked = check_table(table_of(settings, leave_out=(*leave_out, *_UNAVAILABLE)), options, "model")
        plain: dict[str, Any] = checked.model_dump(mode="json")
        return plain

    filled = {name: value for name, value in _SERIES_MODEL.items() if name in known} | dict(table)
    model, plain = read_model(filled, validate=validate, resolve=lambda path: resolve_path(path, base))
    assert not isinstance(model, CustomModel | SavedKerasModel)  # noqa: S101 - rejected above
    check_model(model)
    return model, plain
