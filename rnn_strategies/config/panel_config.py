"""Configuration of a run on prices: the TOML tables, their validation with pydantic, and the resulting `Config`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, field_validator

from backtests.allocation_checks import check_enough_names
from backtests.allocations import Allocation, make_allocation
from backtests.broker.presets import preset_values
from backtests.broker.settings import BrokerSettings, with_preset
from rnn_strategies.config.model_table import AnyModel, read_model
from rnn_strategies.config.settings_tables import OPEN, STRICT, FolderName, build, check_table, table_of
from rnn_strategies.config.toml_files import config_hash, dropped, plain_values, read_tables, resolve_path, to_toml
from signals.common.errors import InputError
from signals.dataset.cross_section_size import check_cross_section
from signals.dataset.folds import WalkForward
from signals.dataset.labels import LabelSettings
from signals.dataset.universe import UniverseFilters
from signals.features import check_features
from signals.models.recurrent_settings import check_horizon
from signals.sources.registry import SOURCES
from signals.trainers.base import TrainingSettings

__all__ = ["Config", "load_config", "parse_config"]

# Tables that configure the computation of scores; a configuration with imported scores ([signals]) has none of them.
NETWORK_TABLES = ("universe", "features", "model", "training", "walk_forward")

# Settings of the broker that `false` switches off.
_OPTIONAL_BROKER_SETTINGS = ("borrow_rate", "max_participation_rate")

# Keys of [universe] that name reference files.
_REFERENCE_FILE_KEYS = ("membership", "sectors", "symbol_changes")


class _SymbolChanges(BaseModel):
    """File of ticker changes, and the treatment of bars outside its validity intervals."""

    model_config = STRICT
    path: str
    on_uncovered: Literal["raise", "drop"] = "raise"
    link: bool = True


_Universe: Any = table_of(
    UniverseFilters,
    membership=(str | None, None),
    sectors=(str | None, None),
    symbol_changes=(str | _SymbolChanges | None, None),
)
# Broker and labels treat a delisting alike, so the two settings are written once, in [broker].
_Labels: Any = table_of(LabelSettings, leave_out=("delist_after_sessions", "delist_haircut"))
_Training: Any = table_of(TrainingSettings, seeds=(tuple[int, ...], (0, 1, 2)))
_WalkForward: Any = table_of(WalkForward)
_Broker: Any = table_of(BrokerSettings)


class _Prices(BaseModel):
    model_config = OPEN
    source: str


class _Macro(BaseModel):
    """File of macro series, and the time from the period of a figure to its publication."""

    model_config = STRICT
    path: str
    publication_lag: str | dict[str, str] | None = None
    frequency: str | dict[str, str] | None = None
    dates: Literal["start", "end"] = "start"


class _Features(BaseModel):
    model_config = STRICT
    frequency: str = "weekly"
    inputs: tuple[str, ...] = ("return",)
    macro: _Macro | None = None

    @field_validator("frequency")
    @classmethod
    def _check_frequency(cls, value: str) -> str:
        if value not in ("daily", "weekly", "monthly"):
            raise ValueError("daily, weekly or monthly")
        return value


class _Signals(BaseModel):
    """File of imported scores, and the treatment of those that the prices do not cover."""

    model_config = STRICT
    path: str
    on_uncovered: Literal["raise", "drop"] = "raise"


class _Strategy(BaseModel):
    model_config = OPEN
    allocation: str
    kind: str = "SignalStrategy"


class _Benchmark(BaseModel):
    model_config = OPEN
    ticker: str | None = None
    source: str | None = None


class _Report(BaseModel):
    model_config = STRICT
    title: str | None = None
    risk_free_rate: float = Field(default=0.0, gt=-1, lt=1)


class _PanelTables(BaseModel):
    model_config = STRICT
    name: FolderName = "run"
    prices: _Prices
    universe: _Universe = Field(default_factory=_Universe)
    features: _Features = Field(default_factory=_Features)
    labels: _Labels = Field(default_factory=_Labels)
    model: dict[str, Any] = Field(default_factory=dict)
    training: _Training = Field(default_factory=_Training)
    walk_forward: _WalkForward | None = None
    signals: _Signals | None = None
    strategy: _Strategy
    broker: _Broker
    benchmark: _Benchmark = Field(default_factory=_Benchmark)
    report: _Report = Field(default_factory=_Report)


@dataclass(frozen=True, slots=True)
class Config:
    """A validated configuration of a run on prices, with every default filled in.

    Parameters
    ----------
    name : str
        Name of the run folder under `runs/`.
    prices, benchmark, report : dict
        Tables as plain values; the keys of `prices` and `benchmark` depend on their `source`.
    universe, labels, model, training, walk_forward, broker
        Settings of each part. When the scores are imported, `walk_forward` is None, and `universe`, `model` and
        `training` hold defaults that are not used.
    frequency : str
        Frequency of decision dates: `"daily"`, `"weekly"` or `"monthly"`.
    features : tuple of str
        Names of the features that a model receives at each time step.
    reference_files : dict
        Paths of the reference files: `membership`, `sectors`, `symbol_changes`, and `macro` with its settings; None
        for those that are not used.
    seeds : tuple of int
        Random seeds; one network is trained per fold and seed.
    allocation : Allocation
        Rule that turns scores into target weights.
    strategy : str
        Name of the strategy class, or `"package.module:Name"`.
    tables : dict
        The whole configuration as plain values, as written to `config.toml`.
    signals : dict, optional
        File of imported scores (`path`) and the treatment of those that the prices do not cover (`on_uncovered`).
    """

    name: str
    prices: dict[str, Any]
    universe: UniverseFilters
    frequency: str
    features: tuple[str, ...]
    reference_files: dict[str, Any]
    labels: LabelSettings
    model: AnyModel
    training: TrainingSettings
    seeds: tuple[int, ...]
    walk_forward: WalkForward | None
    allocation: Allocation
    strategy: str
    broker: BrokerSettings
    benchmark: dict[str, Any]
    report: dict[str, Any]
    tables: dict[str, Any]
    signals: dict[str, Any] | None = None

    @property
    def hash(self) -> str:
        """SHA-256 of every setting that can change a figure, so without the name, the title and the broker preset."""
        return config_hash(dropped(self._hashed_tables, "name", "title"))

    @property
    def identity(self) -> str:
        """The same hash without paths: equal settings on equal prices are one trial, wherever the files are stored."""
        return config_hash(
            dropped(self._hashed_tables, "name", "title", "path", "cache", "factor_files", "corporate_actions")
        )

    @property
    def _hashed_tables(self) -> dict[str, Any]:
        # the values of a broker preset are in the table, so its name changes no figure
        return self.tables | {"broker": dropped(self.tables["broker"], "preset")}

    def hash_of(self, *names: str) -> str:
        """SHA-256 of the named tables."""
        return config_hash({name: self.tables[name] for name in names})

    def to_toml(self) -> str:
        """Return the configuration as TOML text, defaults included; reading it gives the same configuration."""
        return to_toml(self.tables)


def load_config(
    path: Path | str, overrides: Sequence[str] = (), *, imported: Mapping[str, Any] | None = None
) -> Config:
    """Read a configuration file.

    Parameters
    ----------
    path : Path or str
        TOML file. Paths inside it are relative to its folder; `~` and `${VARIABLE}` are expanded.
    overrides : sequence of str
        `"table.key=value"`, the value as TOML; text needs no quotes.
    imported : mapping, optional
        Settings that replace those of `[signals]`; `path` is relative to the working folder. The tables of
        `NETWORK_TABLES` are then removed.

    Raises
    ------
    InputError
        When the file cannot be read, a key is unknown or missing, or a value is not allowed.
    """
    path = Path(path)
    tables = read_tables(path, overrides)
    if imported is not None:
        scores_path = str(Path(imported["path"]).resolve())
        tables = {name: table for name, table in tables.items() if name not in NETWORK_TABLES}
        signals_table = tables.get("signals")
        tables["signals"] = {
            **(signals_table if isinstance(signals_table, dict) else {}),
            **imported,
            "path": scores_path,
        }
    return parse_config(tables, base=path.parent)


def parse_config(tables: Mapping[str, Any], *, base: Path = Path()) -> Config:
    """Validate a configuration given as nested mappings; paths are relative to `base`."""
    tables = plain_values(tables)
    if "series" in tables and "prices" not in tables:
        raise InputError(
            "expected a table [prices]; found [series]; use `rnn-strategies run` or `rs.forecast` for series"
        )
    if isinstance(tables.get("broker"), dict):
        tables = {**tables, "broker": _with_preset_values(tables["broker"])}
    file = check_table(_PanelTables, tables)
    _check_score_source(file, tables)
    plain = file.model_dump(
        mode="json", exclude={"benchmark": {"ticker", "source"}} if not file.benchmark.ticker else {}
    )
    plain["broker"] |= dict.fromkeys(_disabled_preset_settings(plain["broker"]), False)
    for name in ("prices", "benchmark"):
        _check_price_source(plain[name], name)
        for key in ("path", "cache", "factor_files", "corporate_actions"):
            if plain[name].get(key) is not None:
                plain[name][key] = str(resolve_path(plain[name][key], base))
    model, plain["model"] = read_model(file.model, validate=_model_table, resolve=lambda path: resolve_path(path, base))
    check_horizon(model, file.labels.horizon)
    reference_files = {name: plain["universe"][name] for name in _REFERENCE_FILE_KEYS}
    reference_files["macro"] = plain["features"]["macro"]
    for name, value in reference_files.items():
        if isinstance(value, dict):
            value["path"] = str(resolve_path(value["path"], base))
        elif value is not None:
            plain["universe"][name] = reference_files[name] = str(resolve_path(value, base))
    check_features(file.features.inputs)
    if file.signals is None:
        del plain["signals"]
    else:
        plain = {name: table for name, table in plain.items() if name not in NETWORK_TABLES}
        plain["signals"]["path"] = str(resolve_path(plain["signals"]["path"], base))
    if file.benchmark.ticker is None and file.benchmark.model_extra:
        raise InputError(
            "expected benchmark.ticker with the other settings of [benchmark]; found none; add it, or remove "
            "[benchmark]"
        )
    strategy = dict(plain["strategy"])
    strategy_kind = strategy.pop("kind")
    allocation = make_allocation(strategy.pop("allocation"), **strategy)
    broker = build(BrokerSettings, file.broker)
    if allocation.can_be_short and broker.borrow_rate is None:
        raise InputError(
            f"expected broker.borrow_rate, because {plain['strategy']['allocation']} can be short; found none; "
            "write the yearly fee as a fraction, for example borrow_rate = 0.01"
        )
    labels = LabelSettings(
        **file.labels.model_dump(),
        delist_after_sessions=broker.delist_after_sessions,
        delist_haircut=broker.delist_haircut,
    )
    universe = build(UniverseFilters, file.universe)
    _check_ticker_count(_listed_tickers(universe, plain["prices"]), labels, file, allocation, strategy_kind)
    training = file.training.model_dump()
    seeds = training.pop("seeds")
    return Config(
        name=file.name,
        prices=plain["prices"],
        universe=universe,
        frequency=file.features.frequency,
        features=file.features.inputs,
        reference_files=reference_files,
        labels=labels,
        model=model,
        training=TrainingSettings(**training),
        seeds=tuple(seeds),
        walk_forward=None if file.walk_forward is None else build(WalkForward, file.walk_forward),
        allocation=allocation,
        strategy=strategy_kind,
        broker=broker,
        benchmark=plain["benchmark"],
        report=plain["report"],
        tables=plain,
        signals=plain.get("signals"),
    )


def _listed_tickers(universe: UniverseFilters, prices: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Tickers to which `universe.include` and `prices.tickers` restrict the universe; None without such lists."""
    tickers = prices.get("tickers")
    lists = [set(universe.include)] if universe.include else []
    if isinstance(tickers, list) and all(isinstance(ticker, str) for ticker in tickers) and tickers:
        lists.append(set(tickers))
    return tuple(sorted(set.intersection(*lists) - set(universe.exclude))) if lists else None


def _check_ticker_count(
    tickers: tuple[str, ...] | None,
    labels: LabelSettings,
    file: _PanelTables,
    allocation: Allocation,
    strategy_kind: str,
) -> None:
    """Reject labels, features and allocations that need more tickers than the configuration lists."""
    if not tickers:
        return
    inputs = file.features.inputs if file.signals is None else ("return",)
    check_cross_section(labels, inputs, len(tickers), names=tickers)
    if strategy_kind == "SignalStrategy":
        check_enough_names(allocation, len(tickers), names=tickers)


def _with_preset_values(broker: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in the values of the broker preset; `false` stands for None, which TOML cannot express."""
    filled = with_preset({name: value for name, value in broker.items() if value is not None})
    return {
        name: None if value is False and name in _OPTIONAL_BROKER_SETTINGS else value for name, value in filled.items()
    }


def _disabled_preset_settings(broker: Mapping[str, Any]) -> list[str]:
    """Names of settings that the preset has and the configuration switches off.

    They are written as `false`, because a setting that is left out would take the preset's value when read again.
    """
    preset = preset_values(broker["preset"]) if broker["preset"] else {}
    return [name for name in _OPTIONAL_BROKER_SETTINGS if broker[name] is None and preset.get(name) is not None]


def _check_score_source(file: _PanelTables, tables: Mapping[str, Any]) -> None:
    """Check that scores have one source: networks trained walk-forward, or a file of scores."""
    if file.signals is None and file.walk_forward is None:
        raise InputError(
            "expected a table [walk_forward]; found none; add it with the first day of the first test slice, or "
            "add [signals] with the path of a file of scores"
        )
    network_tables = [name for name in NETWORK_TABLES if name in tables]
    if file.signals is not None and network_tables:
        raise InputError(
            f"expected no [{network_tables[0]}] with [signals], which names scores that exist already; found both; "
            "remove one of them"
        )
    if file.signals is not None and file.labels.quantiles:
        raise InputError(
            "expected no labels.quantiles with [signals], which names scores that exist already; found both; remove "
            "one of them"
        )


def _check_price_source(options: Mapping[str, Any], place: str) -> None:
    """Check the options of a built-in price source against its settings; a custom source checks its own options."""
    options = {key: value for key, value in options.items() if value is not None}
    if place == "benchmark":
        if not options.keys() - {"ticker"}:
            return  # no benchmark, or a ticker of the prices themselves
        options.setdefault("source", "files")
    source = options["source"]
    if source not in SOURCES:
        return
    module, name = SOURCES[source]
    more: dict[str, Any] = {"ticker": (str, ...)} if place == "benchmark" else {}
    table = table_of(getattr(import_module(module), name), source=(str, ...), **more)
    check_table(table, options, place)


def _model_table(settings: type, options: Mapping[str, Any], leave_out: Sequence[str] = ()) -> dict[str, Any]:
    """Check the `[model]` table against the settings class of its kind, and fill in the defaults."""
    plain: dict[str, Any] = check_table(table_of(settings, leave_out=leave_out), options, "model").model_dump(
        mode="json"
    )
    return plain
