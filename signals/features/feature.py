"""Declaration of a built-in feature: name, kind, parameters, needs, and sessions of history."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Feature", "Parameter", "date_feature", "macro_feature", "period_feature", "session_feature"]

Values = NDArray[np.float64]
Arguments = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One number (or series name) in the brackets of a feature.

    Parameters
    ----------
    name : str
        Name in the documentation and in error messages.
    unit : {"periods", "sessions", "observations", "series"}
        Decision dates, sessions of the exchange, observations of a macro series, or the name of one.
    default : int, optional
        Value when it is left out; None when it is required.
    least : int
        Smallest value allowed.
    """

    name: str
    unit: str
    default: int | None = None
    least: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Feature:
    """A built-in feature; the docstring of its function states meaning, unit, when it is known, and the source.

    Parameters
    ----------
    name : str
        As written in a configuration.
    kind : {"period", "session", "date", "macro"}
        Computed per ticker from the closes of periods, per ticker from bars, from the date alone, or from macro series.
    parameters : tuple of Parameter
        Parameters in brackets, in order.
    function : callable
        Of `Bars` (period, session), of `Schedule` (date) or of `Releases` (macro), then the parameters; returns
        (n_dates, n_tickers) or (n_dates,).
    needs : frozenset of str
        Required data, among "volume", "open", "range" (high and low), "market".
    check : callable, optional
        Takes the parameters and raises `InputError` when they do not fit together.
    """

    name: str
    kind: str
    parameters: tuple[Parameter, ...]
    function: Callable[..., Values]
    needs: frozenset[str] = frozenset()
    check: Callable[..., None] | None = None

    @property
    def shared(self) -> bool:
        """Equal for all tickers of a date."""
        return self.kind in ("date", "macro")

    @property
    def usage(self) -> str:
        """Name with its default parameters.

        >>> from signals.features import FEATURES
        >>> FEATURES["momentum"].usage, FEATURES["macro"].usage
        ('momentum(52, 4)', 'macro(SERIES)')
        """
        inside = ", ".join(p.name.upper() if p.default is None else str(p.default) for p in self.parameters)
        return f"{self.name}({inside})" if inside else self.name

    @property
    def summary(self) -> str:
        """First line of its documentation."""
        return (self.function.__doc__ or "").strip().partition("\n")[0]

    def look_back(self, arguments: Arguments) -> int:
        """Sessions of bars before a decision date without which the value is NaN for every ticker; 0 for none."""
        return max(self._numbers(arguments)) if self.kind == "session" else 0

    def warm_up(self, arguments: Arguments, longest: int) -> int:
        """Sessions before a decision date that the value can depend on.

        Parameters
        ----------
        arguments : tuple
            Its parameters.
        longest : int
            Sessions of the longest period, from one decision date to the next.
        """
        if self.shared:
            return 0
        most = max(self._numbers(arguments))
        if self.kind == "period":
            # the price that far back may be of the first session of its period
            return (most + 1) * longest
        # members of the market of a session are chosen at the decision date before it
        return max(most + (longest if "market" in self.needs else 0), longest)

    def _numbers(self, arguments: Arguments) -> list[int]:
        return [a for a, p in zip(arguments, self.parameters, strict=True) if p.unit in ("periods", "sessions")]


FeatureDecorator = Callable[[Callable[..., Values]], Feature]


def period_feature(
    name: str, *, least: int = 1, check: Callable[..., None] | None = None, **defaults: int
) -> FeatureDecorator:
    """Make a per-ticker feature whose parameters count decision dates."""
    return _feature_decorator(name, "period", "periods", defaults, least=least, check=check)


def session_feature(name: str, *needs: str, least: int = 1, **defaults: int) -> FeatureDecorator:
    """Make a per-ticker feature whose parameters count sessions."""
    return _feature_decorator(name, "session", "sessions", defaults, needs=needs, least=least)


def date_feature(name: str, **defaults: int) -> FeatureDecorator:
    """Make a feature of the date alone; its parameters count sessions."""
    return _feature_decorator(name, "date", "sessions", defaults, least=0)


def macro_feature(name: str, **defaults: int) -> FeatureDecorator:
    """Make a feature of one macro series, the first parameter; the others count its observations."""
    make_observed = _feature_decorator(name, "macro", "observations", defaults)

    def make(function: Callable[..., Values]) -> Feature:
        feature = make_observed(function)
        series = Parameter("series", "series")
        return Feature(name, "macro", (series, *feature.parameters), function)

    return make


def _feature_decorator(
    name: str,
    kind: str,
    unit: str,
    defaults: dict[str, int],
    *,
    needs: tuple[str, ...] = (),
    least: int = 1,
    check: Callable[..., None] | None = None,
) -> FeatureDecorator:
    parameters = tuple(Parameter(key, unit, value, least) for key, value in defaults.items())

    def make(function: Callable[..., Values]) -> Feature:
        return Feature(name, kind, parameters, function, frozenset(needs), check)

    return make
