"""Parser of features written as text.

=============================== =======================================================================================
`"volatility"`                  a built-in feature with its usual parameters, see `FEATURES`
`"momentum(26, 2)"`             with other ones: decision dates for returns, sessions for features of bars
`"macro(UMCSENT)"`              a macro series; a name with a comma goes in quotes
`"return minus market"`         less the mean of that date's universe
`"return minus sector"`         less the mean of the members of that date's universe in the ticker's sector
`"package.module:function"`     a function of the user's own, see `signals.features.custom`
=============================== =======================================================================================
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from signals.common.errors import InputError
from signals.common.former_names import FEATURES as FORMER_FEATURES
from signals.common.former_names import now_called
from signals.common.import_objects import import_name
from signals.features.catalogue import FEATURES
from signals.features.feature import Feature, Parameter

__all__ = ["Spec", "check_features", "parse_features"]

GROUPS = ("market", "sector")

_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_ -]*?)\s*(?:\((.*)\))?", re.DOTALL)
_VERSUS = re.compile(r"(.*?)\s+minus\s+([^\s()'\"]+)", re.DOTALL)
_FORMER_VERSUS = re.compile(r".*?\s+(vs\s+[^\s()'\"]+)", re.DOTALL)
_PART = re.compile(r"""\s*("[^"]*"|'[^']*'|[^,]*?)\s*(?:,|$)""")


@dataclass(frozen=True, slots=True)
class Spec:
    """A parsed feature.

    Parameters
    ----------
    name : str
        The text, with single blanks.
    feature : Feature, optional
        The built-in feature; None for a user's function.
    arguments : tuple
        Its parameters, defaults filled in.
    function : callable, optional
        A user's function, with the attribute `warm_up`.
    versus : {"market", "sector", None}
        Group whose mean is subtracted; None for no subtraction.
    """

    name: str
    feature: Feature | None
    arguments: tuple[Any, ...]
    function: Callable[..., Any] | None
    versus: str | None


def check_features(specs: Sequence[str]) -> None:
    """Check the features of a configuration before any data are read.

    Parameters
    ----------
    specs : sequence of str
        Features, see this module.

    Raises
    ------
    InputError
        For an unknown feature (the closest is named), wrong parameters, the same feature twice, and a user's function
        that cannot be imported or does not declare its `warm_up`.

    >>> check_features(["return", "momentum(52, 4) minus market"])
    """
    parse_features(specs)


def parse_features(specs: Sequence[str]) -> tuple[Spec, ...]:
    """Parse features; raises as `check_features`."""
    if isinstance(specs, str) or not isinstance(specs, Sequence) or not len(specs):
        raise InputError(f'expected a list of at least one feature; found {specs!r}; write for example ["return"]')
    parsed = [_parse(spec) for spec in specs]
    seen: dict[Any, str] = {}
    for spec in parsed:
        key = (spec.feature and spec.feature.name, spec.arguments, spec.function, spec.versus)
        if key in seen:
            raise InputError(f"expected each feature once; found {spec.name!r} and {seen[key]!r}; drop one")
        seen[key] = spec.name
    return tuple(parsed)


def _parse(text: Any) -> Spec:
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"expected a feature as text; found {text!r}; write for example 'return'")
    name = " ".join(text.split())
    body, versus = name, None
    if (match := _FORMER_VERSUS.fullmatch(name)) and (former := now_called(FORMER_FEATURES, match[1])):
        raise InputError(f"expected 'minus market' or 'minus sector' in feature {name!r}; found {match[1]!r}; {former}")
    if match := _VERSUS.fullmatch(name):
        body, versus = match[1], match[2]
        if versus not in GROUPS:
            close = difflib.get_close_matches(versus, GROUPS, n=1)
            hint = f" (close: {close[0]})" if close else ""
            raise InputError(f"expected 'minus market' or 'minus sector' in feature {name!r}; found {versus!r}{hint}")
    match = _NAME.fullmatch(body)
    if match is None and ":" in body:
        return Spec(name, None, (), _custom_function(body), versus)
    feature = FEATURES.get(match[1]) if match else None
    if match is None or feature is None:
        raise _unknown(body if match is None else match[1])
    if versus and feature.shared:
        raise InputError(
            f"expected a feature that differs between tickers before 'minus {versus}'; found {body!r}, equal for all; "
            f"drop 'minus {versus}'"
        )
    arguments = _arguments(feature, match[2], body)
    return Spec(name, feature, arguments, None, versus)


def _unknown(name: str) -> InputError:
    wanted = name.lower().replace(" ", "_").replace("-", "_")
    if former := now_called(FORMER_FEATURES, wanted):
        return InputError(f"expected a feature; found {name!r}; {former}")
    if close := difflib.get_close_matches(wanted, FEATURES, n=1, cutoff=0.5):
        return InputError(f"expected a feature; found {name!r} (close: {close[0]}); correct the name")
    return InputError(
        f"expected a feature; found {name!r}; choose among {', '.join(sorted(FEATURES))}, or write "
        "'package.module:function'"
    )


def _arguments(feature: Feature, inside: str | None, body: str) -> tuple[Any, ...]:
    given = _split(inside or "")
    wanted = feature.parameters
    missing = [p.name for p in wanted[len(given) :] if p.default is None]
    if missing or len(given) > len(wanted):
        raise InputError(f"expected {feature.usage} with {_describe(wanted)}; found {body!r}; correct the arguments")
    values = [_value(part, p, body) for part, p in zip(given, wanted, strict=False)]
    arguments = (*values, *(p.default for p in wanted[len(given) :]))
    if feature.check is not None:
        feature.check(*arguments)
    return arguments


def _split(inside: str) -> list[str]:
    """Split at commas that are not in quotes."""
    parts: list[str] = []
    place = 0
    while place < len(inside.rstrip()):
        match = _PART.match(inside, place)
        if match is None:  # text after a closing quote
            return [inside]
        parts.append(match[1])
        place = match.end()
    return [*parts, ""] if inside.rstrip().endswith(",") else parts


def _describe(parameters: tuple[Parameter, ...]) -> str:
    if not parameters:
        return "nothing in brackets"
    return ", ".join(p.name if p.name == p.unit else f"{p.name} ({p.unit})" for p in parameters)


def _value(text: str, parameter: Parameter, body: str) -> Any:
    if parameter.unit == "series":
        name = text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text
        if name:
            return name
    elif re.fullmatch(r"[0-9]{1,5}", text) and int(text) >= parameter.least:
        return int(text)
    what = "the name of a series" if parameter.unit == "series" else f"a whole number of at least {parameter.least}"
    raise InputError(f"expected {what} as {parameter.name} of {body!r}; found {text!r}; correct it")


def _custom_function(path: str) -> Callable[..., Any]:
    function = import_name(path, "a feature")
    if not callable(function):
        raise InputError(f"expected {path} to be a function of prices; found {type(function).__name__}; name another")
    warm_up = getattr(function, "warm_up", None)
    if not isinstance(warm_up, int) or isinstance(warm_up, bool) or warm_up < 0:
        name = path.partition(":")[2]
        raise InputError(
            f"expected {path} to declare how many sessions before a date it looks at; found warm_up = {warm_up!r}; "
            f"write for example {name}.warm_up = 20 below it"
        )
    checked: Callable[..., Any] = function
    return checked
