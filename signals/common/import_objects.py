"""Import of a user's own objects by `'package.module:Name'`, and hashes of their source."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from signals.common.errors import InputError
from signals.common.storage import sha256_bytes, sha256_file

__all__ = ["import_name", "source_digest"]


def import_name(path: str, setting: str) -> Any:
    """Import `'package.module:Name'`.

    Parameters
    ----------
    path : str
        Module and name, separated by a colon.
    setting : str
        Name of the setting, for the error message.

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
            f"expected {module_name!r} for {setting} to import; found {type(error).__name__}: {error}; "
            "correct that module"
        ) from error
    if not hasattr(module, name):
        raise InputError(f"expected {name!r} in {module_name} for {setting}; found no such name there")
    return getattr(module, name)


def source_digest(*names: Any) -> list[str]:
    """Hash the source of every `'package.module:Name'` among some settings; built-in names have none.

    A user who edits a strategy expects the next run to use it. The source of its module is therefore an input like
    prices, and so is the source of every module of its package that it has loaded. Of an installed package only the
    module itself is hashed, since the others change with the version of the package only.
    """
    digests = []
    for name in names:
        if isinstance(name, str) and ":" in name:
            module = name.partition(":")[0].strip()
            parts = [f"{at} {sha256_file(file)}" for at, file in _sources(module)]
            digests.append(sha256_bytes("\n".join(parts).encode()) if parts else "")
    return digests


def _sources(name: str) -> list[tuple[str, Path]]:
    """List the loaded modules of the package of a user's module, by name, with their files."""
    try:
        import_module(name)
    except Exception:
        return []  # `import_name` reports the error
    top = name.partition(".")[0]
    files = {
        at: Path(file)
        for at, module in list(sys.modules.items())
        if (at == top or at.startswith(f"{top}.")) and (file := getattr(module, "__file__", None))
    }
    if name not in files or "site-packages" in files[name].parts:
        files = {name: files[name]} if name in files else {}
    return sorted((at, file) for at, file in files.items() if file.is_file())
