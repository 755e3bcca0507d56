"""Settings dataclasses as tables of a configuration file, validated with pydantic; an error is one line of text."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError, create_model

from signals.common.errors import InputError
from signals.common.former_names import renamed_key

__all__ = ["OPEN", "STRICT", "FolderName", "build", "check_table", "table_of"]

STRICT = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
OPEN = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

LONGEST_NAME = 100


def _folder_name(value: str) -> str:
    plain = value == Path(value).name and not value.startswith(".") and value.isprintable()
    if not value or not plain or len(value.encode()) > LONGEST_NAME:
        raise ValueError(f"a plain folder name of at most {LONGEST_NAME} bytes")
    return value


FolderName = Annotated[str, AfterValidator(_folder_name)]

_HINTS = {
    "broker.cash": "write the starting capital in account currency, for example cash = 1_000_000",
    "broker.commission": "there is no default cost: write a fraction, commission = 0.001 is 10 basis points, "
    'or preset = "retail"',
    "broker.slippage": "there is no default cost: write a fraction, slippage = 0.0005 is 5 basis points, "
    'or preset = "retail"',
    "walk_forward.test_start": 'write the first day of the first test slice, for example test_start = "2011-01-01"',
    "strategy": 'add [strategy] with allocation = "TopK" and k = 50',
    "strategy.allocation": 'name an allocation, for example allocation = "TopK" and k = 50',
    "prices.source": 'write source = "files" or source = "simulated"',
}


def table_of(settings: type, *, leave_out: Sequence[str] = (), **more: Any) -> type[BaseModel]:
    """Return a pydantic model with the fields, types and defaults of a settings dataclass.

    Parameters
    ----------
    settings : type
        The dataclass. Fields with `repr=False` (a clock, an HTTP session) are no settings and are left out.
    leave_out : sequence of str
        Fields that the table does not have.
    **more
        Further fields as pydantic defines them: `name=(type, default)`.
    """
    assert is_dataclass(settings)  # noqa: S101 - fails for a fault of this project only, never for a user's input
    hints = get_type_hints(settings)
    columns: dict[str, Any] = {}
    for field in fields(settings):
        if field.name in leave_out or not field.repr:
            continue
        if field.default is not MISSING:
            default: Any = field.default
        elif field.default_factory is not MISSING:
            default = field.default_factory()
        else:
            default = ...
        if hints[field.name] == str | Path:
            hints[field.name] = str
        validator = BeforeValidator(_reject_coercion(hints[field.name]))
        columns[field.name] = (Annotated[hints[field.name], validator], default)
    return create_model(settings.__name__, __config__=STRICT, **columns, **more)


def _reject_coercion(hint: Any) -> Callable[[Any], Any]:
    """Return a validator that rejects values which pydantic would turn into a number, such as `true` and `"5"`."""
    is_mapping = get_origin(hint) in (Mapping, dict)
    kinds = {get_args(hint)[1]} if is_mapping else set(get_args(hint)) or {hint}

    def check(value: Any) -> Any:
        if is_mapping and isinstance(value, Mapping):
            return {name: check_number(inner) for name, inner in value.items()}
        return check_number(value)

    def check_number(value: Any) -> Any:
        if kinds & {int, float} and (isinstance(value, bool) and bool not in kinds):
            raise ValueError("a number")
        if kinds & {int, float} and isinstance(value, str) and str not in kinds:
            raise ValueError("a valid number, without quotes")
        return value

    return check


def build(kind: type, table: BaseModel) -> Any:
    """Create a settings object from its validated table."""
    return kind(**{field.name: getattr(table, field.name) for field in fields(kind) if hasattr(table, field.name)})


def check_table(table: Any, options: Mapping[str, Any], place: str = "") -> Any:
    """Validate the plain values of a table.

    Parameters
    ----------
    table : type of BaseModel
        Pydantic model of the table.
    options : mapping
        Keys and values as written in the file.
    place : str
        Name of the table in the configuration; empty for the whole configuration.

    Raises
    ------
    InputError
        The first error of the validation as one line: expected, found, what to do.
    """
    try:
        return table.model_validate(options)
    except ValidationError as error:
        raise InputError(_validation_message(error, table, place)) from None


def _validation_message(error: ValidationError, root: type[BaseModel], place: str = "") -> str:
    """Return the first error of a validation as one line: expected, found, what to do."""
    details = error.errors()
    # a misspelt key is reported as an unknown and as a missing one; the unknown one is the useful message
    first = next((detail for detail in details if detail["type"] == "extra_forbidden"), details[0])
    # where a key is a table or a single value, pydantic adds the name of the class, which starts with an underscore
    inside = [str(part) for part in first["loc"] if not str(part).startswith("_")]
    where = [place, *inside] if place else inside
    name = ".".join(where)
    if first["type"] == "extra_forbidden":
        known = _known_keys(root, inside[:-1])
        former = renamed_key(".".join(where[:-1]), where[-1], known)
        close = difflib.get_close_matches(where[-1], known, n=1, cutoff=0.5)
        advice = former or (f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}")
        place = f"[{'.'.join(where[:-1])}]" if where[:-1] else "the configuration"
        return f"expected a known key in {place}; found {where[-1]!r}; {advice}"
    if first["type"] == "missing":
        is_table = len(where) == 1
        what = f"a table [{name}]" if is_table else f"a setting {name}"
        return f"expected {what}; found none; {_HINTS.get(name, 'add it')}"
    value = first["input"]
    expected = first["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return f"expected {name} to be {expected}; found {value!r}; correct it in the configuration"


def _known_keys(root: type[BaseModel], place: Sequence[str]) -> list[str]:
    model = root
    for part in place:
        annotation = model.model_fields[part].annotation
        # the annotation of an optional table is a union with None
        members = [kind for kind in get_args(annotation) if kind is not type(None)]
        annotation = next((kind for kind in members if hasattr(kind, "model_fields")), annotation)
        assert isinstance(annotation, type)  # noqa: S101 - every table of a configuration is a class
        model = annotation
    return sorted(model.model_fields)
