"""What `reproduce` says about a system: facts, tables and remarks, as Markdown for people and JSON for programs."""

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

HINDSIGHT = "best baseline, by hindsight"  # chosen on the test rows, in favour of the baselines
SUMMARY = ("measure", "published", "published network", "improved network", "naive", HINDSIGHT)


@dataclass(frozen=True, slots=True)
class Table:
    """One table: a caption, names of columns, and rows of cells that are text already."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """Lay the table out in columns of equal width, the first to the left and the others to the right."""
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
    """A table that is Markdown already, under its caption."""

    caption: str
    body: str

    def markdown(self) -> str:
        """Put the caption above."""
        return f"{self.caption}:\n\n{self.body.strip()}"


@dataclass(frozen=True, slots=True)
class Report:
    """One system beside its published figure and its baselines.

    Parameters
    ----------
    system : str
        Its name, which is that of its files.
    title : str
        What it is, in a few words.
    facts : tuple of (str, str)
        Architecture, parameters, published figure, data, protocol, in the order they are to be read.
    tables : tuple of Table or Text
        The figures.
    notes : tuple of str
        What a reader must know before believing them.
    figures : dict
        Every figure as a number, for the JSON file.
    summary : dict of str to str
        The cells of the system's row in the table over all systems, by `SUMMARY`.
    """

    system: str
    title: str
    facts: tuple[tuple[str, str], ...]
    tables: tuple[Table | Text, ...]
    notes: tuple[str, ...] = ()
    figures: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, str] = field(default_factory=dict)

    def markdown(self) -> str:
        """Write the whole report as Markdown."""
        parts = [f"## {self.system}: {self.title}"]
        parts.append("\n".join(f"- {name}: {text}" for name, text in self.facts))
        parts += [table.markdown() for table in self.tables]
        if self.notes:
            parts.append("\n".join(f"* {note}" for note in self.notes))
        return "\n\n".join(parts) + "\n"

    def as_json(self) -> dict[str, Any]:
        """Give the same as plain values, numbers with all their digits; what is not a number is null."""
        return {
            "system": self.system,
            "title": self.title,
            "facts": dict(self.facts),
            "notes": list(self.notes),
            "figures": plain(self.figures),
            "summary": self.summary,
        }


def write_report(report: Report, folder: Path) -> None:
    """Write `<system>.md` and `<system>.json` into a folder, each whole or not at all."""
    atomic_write(folder / f"{report.system}.md", report.markdown().encode())
    write_json(folder / f"{report.system}.json", report.as_json())


def write_summary(systems: Sequence[str], folder: Path) -> str | None:
    """Write `summary.md`: one row for each system whose JSON file lies in the folder; None when there is none."""
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
    """Write a number with so many decimals, or a dash where there is none.

    >>> number(0.12345), number(-0.00001), number(float("nan")), number(1.5, 1, sign=True)
    ('0.123', '0.000', '-', '+1.5')
    """
    if value is None or not math.isfinite(value):
        return "-"
    text = f"{value:{'+' if sign else ''}.{digits}f}"
    return text.replace("-", "") if not text.strip("+-0.") and not sign else text


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Write the mean over seeds and their standard deviation (ddof 1); the value alone where there is one.

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
    """Turn numbers of NumPy into Python's, and what is not finite into None, as JSON has no word for it."""
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
