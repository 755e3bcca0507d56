"""Names of a package that load their module when first used (PEP 562), so that importing the package stays light."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from signals.common.former_names import PYTHON_NAMES, now_called

__all__ = ["lazy_names"]


def lazy_names(
    package: str, modules: Mapping[str, str]
) -> tuple[list[str], Callable[[str], Any], Callable[[], list[str]]]:
    """Make `__all__`, `__getattr__` and `__dir__` of a package.

    Parameters
    ----------
    package : str
        `__name__` of the package.
    modules : mapping of str to str
        Public names and the module that defines each.

    >>> names, load, _ = lazy_names("example", {"pi": "math"})
    >>> names, load("pi")
    (['pi'], 3.141592653589793)
    """
    names = sorted(modules)

    def load(name: str) -> Any:
        if name in modules:
            return getattr(import_module(modules[name]), name)
        remedy = now_called(PYTHON_NAMES, name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}{'; ' if remedy else ''}{remedy}")

    return names, load, lambda: names
