"""`'package.module:Name'`: how a user's own object is named wherever a built-in name is."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from signals.errors import InputError
from signals.storage import sha256_file

__all__ = ["import_name", "source_digest"]


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
    except Exception as error:
        raise InputError(
            f"expected {module_name!r} for {setting} to import; found {type(error).__name__}: {error}; mend that module"
        ) from error
    if not hasattr(module, name):
        raise InputError(f"expected {name!r} in {module_name} for {setting}; found no such name there")
    return getattr(module, name)


def source_digest(*names: Any) -> list[str]:
    """Hash the source file of every `'package.module:Name'` among some settings; built-in names have none.

    Whoever edits a strategy of her own expects the next run to use it: the text of the module is an input like prices.
    """
    digests = []
    for name in names:
        if isinstance(name, str) and ":" in name:
            try:
                spec = find_spec(name.partition(":")[0])
            except (ImportError, ValueError):
                spec = None
            origin = Path(spec.origin) if spec and spec.origin else None
            digests.append(sha256_file(origin) if origin and origin.is_file() else "")
    return digests
