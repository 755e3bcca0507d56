"""Reports of reproduced systems: facts, tables and notes, as Markdown and JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from signals.common.storage import atomic_write, read_json, write_json

__all__ = [
    "HINDSIGHT",
    "SUMMARY",
    "Report",
    "Table",
    "Text",
    "number",
    "plain",
    "spread",
    "write_report",
    "write_summary",
]

HINDSIGHT = "best baseline, by hindsight"  # selected on the test rows, which favours the baselines
SUMMARY = ("measure", "published", "published network", "improved network", "naive", HINDSIGHT)


@dataclass(frozen=True, slots=True)
class Table:
    """Table with a caption, column names, and rows of formatted cells."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """Return the table as Markdown, the first column left-aligned and the others right-aligned."""
        cells = [[_cell(cell) for cell in row] for row in (self.columns, *self.rows)]
        width = [max(len(row[i]) for row in cells) for i in range(len(self.columns))]
        lines = [
            "| " + " | ".join(c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(row, width, strict=True)))
            for row in cells
        ]
        rule = "|" + "|".join("-" * (w + 1) + (":" if i else "-") for i, w in enumerate(width)) + "|"
        return "\n".join([f"{self.caption}:", "", f"{lines[0]} |", rule, *(f"{line} |" for line in lines[1:])])


@dataclass(frozen=True, slots=True)
class Text:
    """Table that is already Markdown text, with a caption."""

    caption: str
    body: str

    def markdown(self) -> str:
        """Return caption and table as Markdown."""
        return f"{self.caption}:\n\n{self.body.strip()}"


@dataclass(frozen=True, slots=True)
class Report:
    """Report of one system with its published figure and its baselines.

    Parameters
    ----------
    system : str
        Name of the system and of its files.
    title : str
        Short description.
    facts : tuple of (str, str)
        Architecture, parameters, published figure, data and protocol, in the order of the report.
    tables : tuple of Table or Text
        Tables of results.
    notes : tuple of str
        Notes about limitations of the results.
    figures : dict
        Every figure as a number, for the JSON file.
    summary : dict of str to str
        Cells of the system's row in the table over all systems, by the names of `SUMMARY`.
    """

    system: str
    title: str
    facts: tuple[tuple[str, str], ...]
    tables: tuple[Table | Text, ...]
    notes: tuple[str, ...] = ()
    figures: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, str] = field(default_factory=dict)

    def markdown(self) -> str:
        """Return the whole report as Markdown."""
        parts = [f"## {self.system}: {self.title}"]
        parts.append("\n".join(f"- {name}: {text}" for name, text in self.facts))
        parts += [table.markdown() for table in self.tables]
        if self.notes:
            parts.append("\n".join(f"* {note}" for note in self.notes))
        return "\n\n".join(parts) + "\n"

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain values, numbers with all their digits; NaN and infinity become null."""
        return {
            "system": self.system,
            "title": self.title,
            "facts": dict(self.facts),
            "notes": list(self.notes),
            "figures": plain(self.figures),
            "summary": self.summary,
        }


def write_report(report: Report, folder: Path) -> None:
    """Write `<system>.md` and `<system>.json` into a folder, each atomically."""
    atomic_write(folder / f"{report.system}.md", report.markdown().encode())
    write_json(folder / f"{report.system}.json", report.as_json())


def write_summary(systems: Sequence[str], folder: Path) -> str | None:
    """Write `summary.md`, with one row for each system whose JSON file is in the folder; None when there is none."""
    rows = []
    for system in systems:
        path = folder / f"{system}.json"
        cells = read_json(path).get("summary") if path.is_file() else None
        if isinstance(cells, dict):
            rows.append((system, *(str(cells.get(name, "-")) for name in SUMMARY)))
    if not rows:
        return None
    text = Table("Published systems", ("system", *SUMMARY), tuple(rows)).markdown() + "\n"
    atomic_write(folder / "summary.md", text.encode())
    return text


def number(value: float | None, digits: int = 3, *, sign: bool = False) -> str:
    """Format a number with a number of decimals; None and non-finite values become a dash.

    >>> number(0.12345), number(-0.00001), number(float("nan")), number(1.5, 1, sign=True)
    ('0.123', '0.000', '-', '+1.5')
    """
    if value is None or not math.isfinite(value):
        return "-"
    text = f"{value:{'+' if sign else ''}.{digits}f}"
    return text.replace("-", "") if not text.strip("+-0.") and not sign else text


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Format the mean over seeds and their standard deviation (ddof 1); a single value has no deviation.

    >>> spread([1.0, 2.0, 3.0], 1), spread([1.0], 1), spread([])
    ('2.0 ± 1.0', '1.0', '-')
    """
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return "-"
    mean = sum(known) / len(known)
    if len(known) == 1:
        return number(mean, digits)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in known) / (len(known) - 1))
    return f"{number(mean, digits)} ± {number(deviation, digits)}"


def plain(value: Any) -> Any:
    """Convert NumPy numbers to Python numbers, and non-finite ones to None, because JSON cannot express them."""
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
