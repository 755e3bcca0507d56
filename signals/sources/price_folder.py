"""Price files of a folder: their selection, and tickers in file names."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from signals.common.errors import InputError
from signals.common.text import one_line
from signals.tabular.table_files import SUFFIXES, is_price_file, stem
from signals.tabular.table_layouts import ticker_name

__all__ = ["FileNames", "list_files", "listed", "named_after", "vendor_names"]

# File names of single tickers, as vendors write them.
_VENDORS = (
    re.compile(r"(?P<ticker>[A-Za-z0-9.\-^=]+)(?P<rest>_[a-z]{2}_[dwm])"),
    re.compile(r"(?P<ticker>.+)(?P<rest> (?:Historical Data|Stock Price History|Historical Prices))"),
    re.compile(r"(?P<head>(?:daily|daily_adjusted|time_series)_)(?P<ticker>[A-Za-z0-9.\-^=]+)"),
    re.compile(
        r"(?P<ticker>[A-Za-z0-9.\-^=#]+)(?P<rest>_(?:Daily|daily|data|D1|1d|1D|EOD|eod|daily_raw)(?:_\d{12}_\d{12})?)"
    ),
    re.compile(r"(?P<ticker>[A-Z0-9]{5,})(?P<rest>-1d)(?:-\d{4}(?:-\d{2}){0,2})"),
)


@dataclass(frozen=True, slots=True)
class FileNames:
    """Template of the names of files of single tickers.

    Parameters
    ----------
    template : str, optional
        `"{ticker}_daily_raw"`, without the suffix; `*` stands for any text. None for names that are the tickers.
    """

    template: str | None

    def check(self) -> None:
        """Check that the template has one place for the ticker.

        Raises
        ------
        InputError
            When it has none, or two.
        """
        if self.template is not None and self.template.count("{ticker}") != 1:
            raise InputError(
                f'expected file_names like "{{ticker}}_daily_raw"; found {self.template!r}; write {{ticker}} once'
            )

    def ticker(self, file: Path) -> str | None:
        """Ticker in the name of a file; None when the name does not fit the template, or without a template."""
        if self.template is None:
            return None
        before, _, after = self.template.partition("{ticker}")
        parts = [".*".join(map(re.escape, part.split("*"))) for part in (before, after)]
        match = re.fullmatch(f"{parts[0]}(?P<ticker>.+{'?' if '*' in after else ''}){parts[1]}", stem(file), re.DOTALL)
        return match["ticker"].strip() or None if match else None


def vendor_names(files: Sequence[Path]) -> str | None:
    """Template that fits the names of all files as a vendor writes them, None when there is none."""
    for pattern in _VENDORS:
        matches = [pattern.fullmatch(stem(file)) for file in files]
        if not matches or not all(matches):
            continue
        parts = {(m.groupdict().get("head") or "", m.groupdict().get("rest") or "") for m in matches if m}
        if len(parts) == 1:
            head, rest = parts.pop()
            more = any(m is not None and m.end("ticker") + len(rest) < m.end() for m in matches)
            return f"{head}{{ticker}}{rest}{'*' if more else ''}"
    return None


def list_files(
    path: Path, names: FileNames, *, subfolders: bool, is_other: Callable[[Path], bool], warnings: list[str]
) -> list[Path]:
    """Price files of a folder, sorted; with those of sub-folders if `subfolders`, or if the folder itself has none.

    Parameters
    ----------
    path : Path
        The folder.
    names : FileNames
        Template of the names of price files.
    subfolders : bool
        Whether files in sub-folders are read as well.
    is_other : callable
        Takes a file and returns whether it is another kind of file, such as a factor file.
    warnings : list of str
        A warning that names the ignored files is appended.

    Raises
    ------
    InputError
        When there is no price file.
    """
    inside = sorted(child for child in path.iterdir() if not child.name.startswith("."))

    def is_wanted(child: Path) -> bool:
        return (
            child.is_file()
            and is_price_file(child)
            and not is_other(child)
            and (names.template is None or names.ticker(child) is not None)
        )

    files = [child for child in inside if is_wanted(child)]
    folders = [child for child in inside if child.is_dir()]
    if folders and (subfolders or not files):
        nested = [child for folder in folders for child in folder.rglob("*") if not _hidden(child, path)]
        nested_files = sorted(child for child in nested if is_wanted(child))
        files = sorted([*files, *nested_files])
        left = [child for child in inside if child not in files and not child.is_dir()]
    else:
        left = [child for child in inside if child not in files]
    if not files:
        named = f"named {names.template} and " if names.template is not None else ""
        raise InputError(
            f"expected files {named}ending in {', '.join(SUFFIXES)} in the folder {path}; found {len(inside)} other "
            "entries; name the folder that holds them"
        )
    if left:
        warnings.append(one_line(f"ignored in the folder: {listed([child.name for child in left])}"))
    return files


def _hidden(child: Path, path: Path) -> bool:
    return any(part.startswith(".") for part in child.relative_to(path).parts)


def named_after(file: Path, names: FileNames) -> str:
    """Ticker that a file of one ticker is named after."""
    return names.ticker(file) or ticker_name(stem(file))


def listed(names: Sequence[str], most: int = 5) -> str:
    """List the first of some names and count the others."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
