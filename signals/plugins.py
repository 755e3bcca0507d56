"""`'package.module:Name'`: how a user's own object is named wherever a built-in name is."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from signals.errors import InputError

__all__ = ["import_name"]


def import_name(path: str, setting: str) -> Any:
    """Import `'package.module:Name'`.

    Parameters
    ----------
    path : str
        Module and name, separated by a colon.
    setting : str
        The setting it came from, for the error.

    Raises
    ------
    InputError
        When the module cannot be imported or has no such name.

    >>> import_name("math:pi", "example")
    3.141592653589793
    """
    module_name, _, name = path.partition(":")
    if not module_name or not name:
        raise InputError(f"expected {setting} as 'package.module:Name'; found {path!r}")
    try:
        module = import_module(module_name)
    except ImportError as error:
        raise InputError(
            f"expected a module {module_name!r} for {setting}; found none ({error}); install it or add its folder to "
            "PYTHONPATH"
        ) from error
    if not hasattr(module, name):
        raise InputError(f"expected {name!r} in {module_name} for {setting}; found no such name there")
    return getattr(module, name)
