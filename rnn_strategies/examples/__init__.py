"""Example notebooks, without outputs, on simulated prices; `rnn-strategies init --example NAME` copies one."""

from __future__ import annotations

import difflib
from importlib.resources import files
from pathlib import Path

from signals.common.errors import InputError
from signals.common.storage import atomic_write

__all__ = ["EXAMPLES", "write_example"]

EXAMPLES = ("backtest_from_scratch", "own_cerebro")


def write_example(name: str, path: Path | None = None, *, force: bool = False) -> Path:
    """Copy an example notebook.

    Parameters
    ----------
    name : str
        One of `EXAMPLES`.
    path : Path, optional
        File to write; `<name>.ipynb` in the working folder by default.
    force : bool
        Whether an existing file is overwritten; False by default.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        For an unknown example, another suffix than `.ipynb`, or an existing file.
    """
    if name not in EXAMPLES:
        close = difflib.get_close_matches(name, EXAMPLES, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise InputError(f"expected --example to be one of {', '.join(EXAMPLES)}; found {name!r}{hint}")
    path = path or Path(f"{name}.ipynb")
    if path.suffix != ".ipynb":
        raise InputError(f"expected a file name with the suffix .ipynb for a notebook; found {path}; rename it")
    if path.exists() and not force:
        raise InputError(f"expected no file at {path}; found one; choose another name or add --force")
    atomic_write(path, files(__name__).joinpath(f"{name}.ipynb").read_bytes())
    return path
