"""One TOML file is the whole configuration; pydantic reads it, and every mistake is one clear line."""

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

# What makes scores; none of it is there when [signals] names scores that are made already.
NETWORK_TABLES = ("universe", "features", "model", "training", "walk_forward")


# Settings of the broker that an account can be without.
_OPTIONAL = ("borrow_rate", "max_participation_rate")


# Delisting is one fact with two readers: the broker cashes a dead name out, the label says what that returned.
_FILES = ("membership", "sectors", "symbol_changes")


class _Symbols(BaseModel):
    """File of ticker changes, and what becomes of bars outside its spells."""

    model_config = STRICT
    path: str
    on_uncovered: Literal["raise", "drop"] = "raise"
    link: bool = True


_Universe: Any = table_of(
    UniverseFilters,
    membership=(str | None, None),
    sectors=(str | None, None),
    symbol_changes=(str | _Symbols | None, None),
)
_Labels: Any = table_of(LabelSettings, leave_out=("delist_after_sessions", "delist_haircut"))
_Training: Any = table_of(TrainingSettings, seeds=(tuple[int, ...], (0, 1, 2)))
_WalkForward: Any = table_of(WalkForward)
_Broker: Any = table_of(BrokerSettings)


class _Prices(BaseModel):
    model_config = OPEN
    source: str


class _Macro(BaseModel):
    """File of macro series, and how long after its period each figure was published."""

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
    def _known(cls, value: str) -> str:
        if value not in ("daily", "weekly", "monthly"):
            raise ValueError("daily, weekly or monthly")
        return value


class _Signals(BaseModel):
    """Scores made elsewhere; `on_uncovered` says what becomes of those the prices do not cover."""

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


class _File(BaseModel):
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
    """A validated configuration, every default spelled out.

    Parameters
    ----------
    name : str
        Name of the run folder under `runs/`.
    prices, strategy, benchmark, report : dict
        Tables whose keys depend on what they name.
    universe, labels, model, training, walk_forward, broker
        Settings of each part; `walk_forward` is None when the scores are imported, and what else makes scores is then
        at its defaults and means nothing.
    frequency : str
        Rhythm of decision dates.
    features : tuple of str
        What a model sees at each step.
    beside : dict
        Paths of files beside prices: `membership`, `sectors`, `symbol_changes`, and `macro` with its settings.
    seeds : tuple of int
        One network per fold and seed.
    allocation : Allocation
        What the strategy decides with.
    tables : dict
        The whole configuration as plain values, as written to `config.toml`.
    signals : dict, optional
        File of imported scores (`path`) and what becomes of those that the prices do not cover (`on_uncovered`).
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
        """SHA-256 of everything that can change a number; names and titles cannot, nor where costs were taken from."""
        return config_hash(dropped(self._numbers, "name", "title"))

    @property
    def identity(self) -> str:
        """The same without paths: equal settings on equal prices are one trial, wherever the file lies."""
        return config_hash(
            dropped(self._numbers, "name", "title", "path", "cache", "factor_files", "corporate_actions")
        )

    @property
    def _numbers(self) -> dict[str, Any]:
        # a preset's values are in the table beside its name
        return self.tables | {"broker": dropped(self.tables["broker"], "preset")}

    def hash_of(self, *names: str) -> str:
        """SHA-256 of some tables."""
        return config_hash({name: self.tables[name] for name in names})

    def to_toml(self) -> str:
        """Write the configuration as TOML, defaults included; reading it gives the same configuration."""
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
        Settings of `[signals]` to put in place of the file's own, the path relative to the working folder; tables that
        make scores are then left out.

    Raises
    ------
    InputError
        Naming what was expected, what was found, and the nearest known key.
    """
    path = Path(path)
    tables = read_tables(path, overrides)
    if imported is not None:
        path_of_scores = str(Path(imported["path"]).resolve())
        tables = {name: table for name, table in tables.items() if name not in NETWORK_TABLES}
        own = tables.get("signals")
        tables["signals"] = {**(own if isinstance(own, dict) else {}), **imported, "path": path_of_scores}
    return parse_config(tables, base=path.parent)


def parse_config(tables: Mapping[str, Any], *, base: Path = Path()) -> Config:
    """Validate a configuration given as nested mappings; paths are relative to `base`."""
    tables = plain_values(tables)
    if "series" in tables and "prices" not in tables:
        raise InputError(
            "expected a table [prices]; found [series]; use `rnn-strategies run` or `rs.forecast` for series"
        )
    if isinstance(tables.get("broker"), dict):
        tables = {**tables, "broker": _filled_in(tables["broker"])}
    file = check_table(_File, tables)
    _check_who_scores(file, tables)
    plain = file.model_dump(
        mode="json", exclude={"benchmark": {"ticker", "source"}} if not file.benchmark.ticker else {}
    )
    plain["broker"] |= dict.fromkeys(_switched_off(plain["broker"]), False)
    for name in ("prices", "benchmark"):
        _check_source(plain[name], name)
        for key in ("path", "cache", "factor_files", "corporate_actions"):
            if plain[name].get(key) is not None:
                plain[name][key] = str(resolve_path(plain[name][key], base))
    model, plain["model"] = read_model(file.model, validate=_model_table, resolve=lambda path: resolve_path(path, base))
    check_horizon(model, file.labels.horizon)
    reference_files = {name: plain["universe"][name] for name in _FILES} | {"macro": plain["features"]["macro"]}
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
            "expected benchmark.ticker beside its other settings; found none; name it, or leave [benchmark] out"
        )
    strategy = dict(plain["strategy"])
    decides = strategy.pop("kind")
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
    _check_names(_stated_names(universe, plain["prices"]), labels, file, allocation, decides)
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
        strategy=decides,
        broker=broker,
        benchmark=plain["benchmark"],
        report=plain["report"],
        tables=plain,
        signals=plain.get("signals"),
    )


def _stated_names(universe: UniverseFilters, prices: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Names that the universe is confined to by the configuration; None where it does not state them."""
    tickers = prices.get("tickers")
    stated = [set(universe.include)] if universe.include else []
    if isinstance(tickers, list) and all(isinstance(ticker, str) for ticker in tickers) and tickers:
        stated.append(set(tickers))
    return tuple(sorted(set.intersection(*stated) - set(universe.exclude))) if stated else None


def _check_names(
    names: tuple[str, ...] | None, labels: LabelSettings, file: _File, allocation: Allocation, decides: str
) -> None:
    """Refuse labels, features and allocations that compare more names than the configuration states."""
    if not names:
        return
    check_cross_section(labels, file.features.inputs if file.signals is None else ("return",), len(names), names=names)
    if decides == "SignalStrategy":
        check_enough_names(allocation, len(names), names=names)


def _filled_in(broker: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in what the preset says. TOML has no word for None: what is not given is the preset's, and false is none."""
    filled = with_preset({name: value for name, value in broker.items() if value is not None})
    return {name: None if value is False and name in _OPTIONAL else value for name, value in filled.items()}


def _switched_off(broker: Mapping[str, Any]) -> list[str]:
    """Name what the preset has and the account has not: it has to be said in the file, or it would come back."""
    preset = preset_values(broker["preset"]) if broker["preset"] else {}
    return [name for name in _OPTIONAL if broker[name] is None and preset.get(name) is not None]


def _check_who_scores(file: _File, tables: Mapping[str, Any]) -> None:
    """Make sure that scores come from one place: networks trained walk-forward, or a file."""
    if file.signals is None and file.walk_forward is None:
        raise InputError(
            "expected a table [walk_forward]; found none; add it with the first day of the first test slice, or "
            "[signals] with the path of scores that are made already"
        )
    made = [name for name in NETWORK_TABLES if name in tables]
    if file.signals is not None and made:
        raise InputError(
            f"expected no [{made[0]}] beside [signals], whose scores are made already; found both; leave one out"
        )
    if file.signals is not None and file.labels.quantiles:
        raise InputError(
            "expected no labels.quantiles beside [signals], whose scores are made already; found both; leave one out"
        )


def _check_source(options: Mapping[str, Any], place: str) -> None:
    """Hold the options of a built-in source to the settings it has; anybody's own source checks its own."""
    options = {key: value for key, value in options.items() if value is not None}
    if place == "benchmark":
        if not options.keys() - {"ticker"}:
            return  # none, or one among the prices themselves
        options.setdefault("source", "files")
    source = options["source"]
    if source not in SOURCES:
        return
    module, name = SOURCES[source]
    more: dict[str, Any] = {"ticker": (str, ...)} if place == "benchmark" else {}
    table = table_of(getattr(import_module(module), name), source=(str, ...), **more)
    check_table(table, options, place)


def _model_table(settings: type, options: Mapping[str, Any], leave_out: Sequence[str] = ()) -> dict[str, Any]:
    """Hold the `[model]` table to the settings of its kind, and fill in the defaults."""
    plain: dict[str, Any] = check_table(table_of(settings, leave_out=leave_out), options, "model").model_dump(
        mode="json"
    )
    return plain
