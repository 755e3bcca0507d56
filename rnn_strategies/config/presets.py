"""Preset configurations: TOML files with comments, written by `rnn-strategies init`."""

from __future__ import annotations

import difflib
import os
from importlib.resources import files
from pathlib import Path

from signals.common.errors import InputError
from signals.common.former_names import PRESETS as FORMER_PRESETS
from signals.common.former_names import now_called
from signals.common.storage import atomic_write

__all__ = ["FORECAST_PRESETS", "PRESETS", "preset_text", "write_preset"]

PRESETS = ("demo", "us-weekly", "us-wide", "imported", "published-stacked", "improved-stacked")
FORECAST_PRESETS = (  # with a table [series]
    "seasonal",
    "published-univariate",
    "improved-univariate",
    "improved-univariate-return",
    "published-multivariate",
    "improved-multivariate",
)
DATA_PLACEHOLDER = "@DATA@"
DEFAULT_DATA = "../shared/data"


def preset_text(preset: str, data: str) -> str:
    """Return the text of a preset.

    Parameters
    ----------
    preset : str
        One of `PRESETS` or `FORECAST_PRESETS`.
    data : str
        Folder of the data files, which replaces `@DATA@` in the text.

    Raises
    ------
    InputError
        For an unknown preset.
    """
    known = (*PRESETS, *FORECAST_PRESETS)
    if preset not in known:
        close = difflib.get_close_matches(preset, known, n=1)
        former = now_called(FORMER_PRESETS, preset)
        hint = f"; {former}" if former else f"; did you mean {close[0]!r}?" if close else ""
        raise InputError(f"expected --preset to be one of {', '.join(known)}; found {preset!r}{hint}")
    text = files("rnn_strategies.presets").joinpath(f"{preset}.toml").read_text(encoding="utf-8")
    # the folder becomes part of a TOML string
    quoted = Path(data).as_posix().replace("\\", "\\\\").replace('"', '\\"')
    return text.replace(DATA_PLACEHOLDER, quoted)


def write_preset(path: Path, *, preset: str, data: str | None = None, force: bool = False) -> None:
    """Write a preset to a file.

    Parameters
    ----------
    path : Path
        File to write.
    preset : str
        One of `PRESETS` or `FORECAST_PRESETS`.
    data : str, optional
        Folder of the data files, relative to the working folder. By default the value of the environment variable
        `RNN_STRATEGIES_DATA`, or `../shared/data` when it is not set.
    force : bool
        Whether an existing file is overwritten; False by default.

    Raises
    ------
    InputError
        For an unknown preset, or for an existing file without `force`.
    """
    folder = data or os.environ.get("RNN_STRATEGIES_DATA") or DEFAULT_DATA
    # paths in a configuration are relative to its own folder, the option is relative to the working folder
    relative = folder if os.path.isabs(folder) else os.path.relpath(folder, path.parent)
    text = preset_text(preset, relative)
    if path.exists() and not force:
        raise InputError(f"expected no file at {path}; found one; choose another name or add --force")
    atomic_write(path, text.encode())
