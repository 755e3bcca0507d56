"""One TOML file is the whole configuration; pydantic reads it, and every mistake is one clear line."""

from __future__ import annotations

import difflib
import math
import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import tomli_w
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model, field_validator

from backtests.allocations import Allocation, make_allocation
from backtests.costs import BrokerSettings
from signals.errors import InputError
from signals.folds import WalkForward
from signals.labels import LabelSettings
from signals.models.stacked_lstm import ModelSettings
from signals.sources import SOURCES
from signals.storage import canonical_json, sha256_bytes
from signals.trainers.seam import TrainingSettings
from signals.universe import UniverseFilters

__all__ = ["Config", "load_config", "parse_config"]

_STRICT = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
_OPEN = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)
LONGEST_NAME = 100


def _table(settings: type, *, leave_out: Sequence[str] = (), **more: Any) -> type[BaseModel]:
    """Return a pydantic model with the fields of a settings dataclass, which stays the only place that names them."""
    assert is_dataclass(settings)  # noqa: S101 - a mistake of ours, not of a user
    hints = get_type_hints(settings)
    columns: dict[str, Any] = {}
    for field in fields(settings):
        if field.name in leave_out:
            continue
        if field.default is not MISSING:
            default: Any = field.default
        elif field.default_factory is not MISSING:
            default = field.default_factory()
        else:
            default = ...
        columns[field.name] = (Annotated[hints[field.name], BeforeValidator(_uncoerced(hints[field.name]))], default)
    return create_model(settings.__name__, __config__=_STRICT, **columns, **more)


def _uncoerced(hint: Any) -> Callable[[Any], Any]:
    """Refuse what pydantic would turn into a number: `cash = true` and `cash = "5"` are mistakes, not amounts."""
    kinds = set(get_args(hint)) or {hint}

    def check(value: Any) -> Any:
        if kinds & {int, float} and (isinstance(value, bool) and bool not in kinds):
            raise ValueError("a number")
        if kinds & {int, float} and isinstance(value, str) and str not in kinds:
            raise ValueError("a valid number, without quotes")
        return value

    return check


# Delisting is one fact with two readers: the broker cashes a dead name out, the label says what that returned.
_Universe: Any = _table(UniverseFilters)
_Labels: Any = _table(LabelSettings, leave_out=("delist_after", "delist_haircut"))
_Model: Any = _table(ModelSettings)
_Training: Any = _table(TrainingSettings, seeds=(tuple[int, ...], (0, 1, 2)))
_WalkForward: Any = _table(WalkForward)
_Broker: Any = _table(BrokerSettings)


class _Prices(BaseModel):
    model_config = _OPEN
    source: str


class _Features(BaseModel):
    model_config = _STRICT
    frequency: str = "weekly"

    @field_validator("frequency")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in ("daily", "weekly", "monthly"):
            raise ValueError("daily, weekly or monthly")
        return value


class _Strategy(BaseModel):
    model_config = _OPEN
    allocation: str
    strategy: str = "SignalStrategy"


class _Benchmark(BaseModel):
    model_config = _OPEN
    ticker: str | None = None
    source: str | None = None


class _Report(BaseModel):
    model_config = _STRICT
    title: str | None = None
    risk_free: float = Field(default=0.0, gt=-1, lt=1)


class _File(BaseModel):
    model_config = _STRICT
    name: str = "run"
    prices: _Prices
    universe: _Universe = Field(default_factory=_Universe)
    features: _Features = Field(default_factory=_Features)
    labels: _Labels = Field(default_factory=_Labels)
    model: _Model = Field(default_factory=_Model)
    training: _Training = Field(default_factory=_Training)
    walk_forward: _WalkForward
    strategy: _Strategy
    broker: _Broker
    benchmark: _Benchmark = Field(default_factory=_Benchmark)
    report: _Report = Field(default_factory=_Report)

    @field_validator("name")
    @classmethod
    def _folder_name(cls, value: str) -> str:
        plain = value == Path(value).name and not value.startswith(".") and value.isprintable()
        if not value or not plain or len(value.encode()) > LONGEST_NAME:
            raise ValueError(f"a plain folder name of at most {LONGEST_NAME} bytes")
        return value


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
        Settings of each part.
    frequency : str
        Rhythm of decision dates.
    seeds : tuple of int
        One network per fold and seed.
    allocation : Allocation
        What the strategy decides with.
    tables : dict
        The whole configuration as plain values, as written to `config.toml`.
    """

    name: str
    prices: dict[str, Any]
    universe: UniverseFilters
    frequency: str
    labels: LabelSettings
    model: ModelSettings
    training: TrainingSettings
    seeds: tuple[int, ...]
    walk_forward: WalkForward
    allocation: Allocation
    strategy: str
    broker: BrokerSettings
    benchmark: dict[str, Any]
    report: dict[str, Any]
    tables: dict[str, Any]

    @property
    def hash(self) -> str:
        """SHA-256 of everything that can change a number; names and titles cannot."""
        return _hash(_dropped(self.tables, "name", "title"))

    @property
    def identity(self) -> str:
        """The same without paths: equal settings on equal prices are one trial, wherever the file lies."""
        return _hash(_dropped(self.tables, "name", "title", "path"))

    def hash_of(self, *names: str) -> str:
        """SHA-256 of some tables."""
        return _hash({name: self.tables[name] for name in names})

    def to_toml(self) -> str:
        """Write the configuration as TOML, defaults included; reading it gives the same configuration."""
        return tomli_w.dumps(_without_none(self.tables))


def _hash(tables: Any) -> str:
    return sha256_bytes(canonical_json(tables))


def _dropped(tables: Any, *names: str) -> Any:
    if isinstance(tables, dict):
        return {key: _dropped(value, *names) for key, value in tables.items() if key not in names}
    return tables


def load_config(path: Path | str, overrides: Sequence[str] = ()) -> Config:
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
        Naming what was expected, what was found, and the nearest known key.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise InputError(
            f"expected a configuration file {path}; found none that can be read ({reason}); "
            "make one with `rnn-strategies init`"
        ) from error
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"expected TOML in {path}; found a mistake: {error}; mend that line") from error
    for override in overrides:
        _apply(tables, override)
    return parse_config(tables, base=path.parent)


def parse_config(tables: Mapping[str, Any], *, base: Path = Path()) -> Config:
    """Validate a configuration given as nested mappings; paths are relative to `base`."""
    tables = _plain(tables)
    try:
        file = _File.model_validate(tables)
    except ValidationError as error:
        raise InputError(_explain(error, _File)) from None
    plain = file.model_dump(
        mode="json", exclude={"benchmark": {"ticker", "source"}} if not file.benchmark.ticker else {}
    )
    for name in ("prices", "benchmark"):
        _check_source(plain[name], name)
        if "path" in plain[name]:
            plain[name]["path"] = str(_resolve(plain[name]["path"], base))
    if file.benchmark.ticker is None and file.benchmark.model_extra:
        raise InputError(
            "expected benchmark.ticker beside its other settings; found none; name it, or leave [benchmark] out"
        )
    strategy = dict(plain["strategy"])
    decides = strategy.pop("strategy")
    allocation = make_allocation(strategy.pop("allocation"), **strategy)
    broker = _build(BrokerSettings, file.broker)
    if allocation.can_be_short and broker.borrow_rate is None:
        raise InputError(
            f"expected broker.borrow_rate, because {plain['strategy']['allocation']} can be short; found none; "
            "write the yearly fee as a fraction, for example borrow_rate = 0.01"
        )
    training = file.training.model_dump()
    seeds = training.pop("seeds")
    return Config(
        name=file.name,
        prices=plain["prices"],
        universe=_build(UniverseFilters, file.universe),
        frequency=file.features.frequency,
        labels=LabelSettings(
            **file.labels.model_dump(), delist_after=broker.delist_after, delist_haircut=broker.delist_haircut
        ),
        model=_build(ModelSettings, file.model),
        training=TrainingSettings(**training),
        seeds=tuple(seeds),
        walk_forward=_build(WalkForward, file.walk_forward),
        allocation=allocation,
        strategy=decides,
        broker=broker,
        benchmark=plain["benchmark"],
        report=plain["report"],
        tables=plain,
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
    table = _table(getattr(import_module(module), name), source=(str, ...), **more)
    try:
        table.model_validate(options)
    except ValidationError as error:
        raise InputError(_explain(error, table, place)) from None


def _build(kind: type, table: BaseModel) -> Any:
    return kind(**{name: getattr(table, name) for name in type(table).model_fields})


def _resolve(path: str, base: Path) -> Path:
    if not path:
        raise InputError("expected a path of price files; found an empty one; write where they are")
    expanded = os.path.expandvars(os.path.expanduser(path))
    if "$" in expanded:
        raise InputError(f"expected every variable in {path!r} to be set; found it unset; export it or write the path")
    return Path(os.path.abspath(base / expanded))


def _apply(tables: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key.strip():
        raise InputError(f"expected --set table.key=value; found {override!r}")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    *path, last = key.strip().split(".")
    table = tables
    for name in path:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise InputError(f"expected {key!r} to name a setting in a table; found that {name!r} is a value")
    table[last] = value


_HINTS = {
    "broker.cash": "write the starting capital in account currency, for example cash = 1_000_000",
    "broker.commission": "costs are never silently zero: write a fraction, commission = 0.001 is 10 basis points",
    "broker.slippage": "costs are never silently zero: write a fraction, slippage = 0.0005 is 5 basis points",
    "walk_forward.start": 'write the first day of the first test slice, for example start = "2011-01-01"',
    "strategy": 'add [strategy] with allocation = "TopK" and k = 50',
    "strategy.allocation": 'write what to hold, for example allocation = "TopK" and k = 50',
    "prices.source": 'write source = "files" or source = "simulated"',
}


def _explain(error: ValidationError, root: type[BaseModel], place: str = "") -> str:
    """First mistake of a validation as one line: expected, found, what to do."""
    mistakes = error.errors()
    # a misspelt key also leaves its setting missing: the spelling is the mistake
    first = next((one for one in mistakes if one["type"] == "extra_forbidden"), mistakes[0])
    inside = [str(part) for part in first["loc"]]
    where = [place, *inside] if place else inside
    name = ".".join(where)
    if first["type"] == "extra_forbidden":
        known = _known_keys(root, inside[:-1])
        close = difflib.get_close_matches(where[-1], known, n=1, cutoff=0.5)
        advice = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
        place = f"[{'.'.join(where[:-1])}]" if where[:-1] else "the configuration"
        return f"expected a known key in {place}; found {where[-1]!r}; {advice}"
    if first["type"] == "missing":
        whole_table = len(where) == 1
        what = f"a table [{name}]" if whole_table else f"a setting {name}"
        return f"expected {what}; found none; {_HINTS.get(name, 'add it')}"
    found = first["input"]
    expected = first["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return f"expected {name} to be {expected}; found {found!r}; mend it in the configuration"


def _known_keys(root: type[BaseModel], place: Sequence[str]) -> list[str]:
    model = root
    for part in place:
        annotation = model.model_fields[part].annotation
        assert isinstance(annotation, type)  # noqa: S101 - our own tables are classes
        model = annotation
    return sorted(model.model_fields)


def _plain(value: Any, name: str = "") -> Any:
    """Turn TOML dates, written without quotes, into text, and refuse `nan` and `inf`, which no setting can mean."""
    if isinstance(value, Mapping):
        return {key: _plain(inner, f"{name}.{key}" if name else str(key)) for key, inner in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(
            f"expected {name} to be a finite number; found {value}; leave a limit out to switch it off, or write a "
            "number beyond every score"
        )
    return value.isoformat() if isinstance(value, date) else value


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(inner) for key, inner in value.items() if inner is not None}
    return value
