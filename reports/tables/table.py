"""Data structure of a report table: cells of plain text, escaped by the template."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Table"]


@dataclass(frozen=True, slots=True)
class Table:
    """Title, column heads, rows and note of a report table.

    Parameters
    ----------
    title, note : str
        Heading, and the text below the table (may be empty).
    columns : tuple of str
        Column heads.
    rows : tuple of tuple of str
        As many cells as columns. A row with a single cell is a subheading.
    left : int
        Number of leading columns that hold words (left-aligned); the others hold numbers.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    left: int = 1

    @property
    def wide(self) -> bool:
        """Whether the table takes the whole width of the page: more than six columns."""
        return len(self.columns) > 6
