"""A table of the report: text in cells, ready to be escaped and printed."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Table"]


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as text.

    Parameters
    ----------
    title, note : str
        Heading, and one sentence below the table (may be empty).
    columns : tuple of str
        Column heads.
    rows : tuple of tuple of str
        As many cells as columns. A row with a single cell is a subheading.
    left : int
        How many leading columns hold words (left-aligned); the others hold numbers.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    left: int = 1

    @property
    def wide(self) -> bool:
        """Whether it needs the whole width of the page."""
        return len(self.columns) > 6
