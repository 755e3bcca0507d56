"""Registry of price sources: built-in ones by name, those of the user by `'package.module:Name'`."""

from __future__ import annotations

import difflib
import inspect
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from signals.common.errors import InputError
from signals.common.former_names import renamed_key
from signals.common.import_objects import import_name

if TYPE_CHECKING:
    from signals.data.prices import Prices

__all__ = ["SOURCES", "PriceSource", "load_prices", "open_source"]

SOURCES = {
    "files": ("signals.sources.files", "FilesSource"),
    "simulated": ("signals.sources.simulated", "SimulatedSource"),
    "yahoo": ("signals.sources.yahoo.source", "YahooSource"),
}


@runtime_checkable
class PriceSource(Protocol):
    """Interface of price sources: an object with a method `load`."""

    def load(self) -> Prices:
        """Load the prices and check them with `check_prices`.

        Raises
        ------
        InputError
            When the data are missing or not usable.
        ServiceError
            When an outside service failed.
        """
        ...


def open_source(*, source: str, **options: Any) -> PriceSource:
    """Create a source from its name and options, without reading data.

    Parameters
    ----------
    source : str
        `"files"`, `"simulated"`, `"yahoo"`, or `'package.module:Name'` of a class (or function) that returns a
        `PriceSource`.
    **options
        Keyword arguments of the source.

    Raises
    ------
    InputError
        For an unknown source, an unknown option (similar ones are named), or a missing required option.
    """
    if not isinstance(source, str):
        raise InputError(f"expected prices.source as a name; found {source!r}; choose one of {', '.join(SOURCES)}")
    if source in SOURCES:
        module, name = SOURCES[source]
        factory = getattr(import_module(module), name)
    elif ":" in source:
        factory = import_name(source, "prices.source")
    else:
        close = difflib.get_close_matches(source, SOURCES, n=1)
        hint = f" (close: {close[0]})" if close else ""
        raise InputError(
            f"expected prices.source to be {', '.join(SOURCES)} or 'package.module:Name'; found {source!r}{hint}"
        )
    _check_options(factory, source, options)
    price_source = factory(**options)
    if not isinstance(price_source, PriceSource):
        raise InputError(
            f"expected {source} to return an object with a load() method; found {type(price_source).__name__}; "
            "see PriceSource"
        )
    return price_source


def load_prices(*, source: str, **options: Any) -> Prices:
    """Load prices: `open_source(...)`, then `load()`.

    Parameters
    ----------
    source : str
        As in `open_source`.
    **options
        Keyword arguments of the source.

    Returns
    -------
    Prices

    Raises
    ------
    InputError
        As `open_source`, and for invalid data.
    """
    from signals.data.prices import Prices

    prices = open_source(source=source, **options).load()
    if not isinstance(prices, Prices):
        raise InputError(
            f"expected {source} to load Prices; found {type(prices).__name__}; pass its frame through check_prices"
        )
    return prices


def _check_options(factory: Any, source: str, options: dict[str, Any]) -> None:
    if not callable(factory):
        raise InputError(f"expected {source} to be a class or function; found {type(factory).__name__}; name another")
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return  # some compiled callables have no signature
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    for option in options:
        if option not in parameters:
            close = difflib.get_close_matches(option, parameters, n=1)
            hint = f" (close: {close[0]})" if close else ""
            remedy = renamed_key("prices", option, parameters) or "correct the name"
            raise InputError(
                f"expected options of {source} among {', '.join(parameters)}; found {option!r}{hint}; {remedy}"
            )
    needed = [p.name for p in parameters.values() if p.default is p.empty and p.kind is not p.VAR_POSITIONAL]
    if missing := [name for name in needed if name not in options]:
        raise InputError(f"expected prices.{missing[0]} for the source {source}; found none; set it")
