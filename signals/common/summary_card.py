"""How results show themselves at a prompt and in a notebook: a heading, a few facts, and what has to be said."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Card", "markdown_table", "markdown_text"]

# A page of remarks would hide the facts; the report has them all.
MOST_REMARKS = 5


@dataclass(frozen=True, slots=True)
class Card:
    """A heading, facts by name, and remarks; everything is text, and escaped where it becomes HTML.

    Parameters
    ----------
    title : str
        What it is.
    facts : sequence of (str, str)
        Name and value of each line.
    warnings : sequence of str
        Sentences a reader must not miss; the first few are shown.

    Examples
    --------
    >>> print(Card("Prices", [("tickers", "40"), ("sessions", "1,006")], ["Simulated."]).text())
    Prices
      tickers   40
      sessions  1,006
      ! Simulated.
    """

    title: str
    facts: Sequence[tuple[str, str]]
    warnings: Sequence[str] = ()

    def text(self) -> str:
        """Lines for a prompt."""
        width = max((len(name) for name, _ in self.facts), default=0)
        lines = [self.title, *(f"  {name:<{width}}  {value}" for name, value in self.facts)]
        return "\n".join([*lines, *(f"  ! {remark}" for remark in self._remarks())])

    def html(self) -> str:
        """Show the same as a small table, without style of its own but for alignment."""
        rows = "".join(
            f'<tr><th scope="row" style="text-align: left">{escape(name)}</th>'
            f'<td style="text-align: left">{escape(value)}</td></tr>'
            for name, value in self.facts
        )
        said = "".join(f"<li>{escape(remark)}</li>" for remark in self._remarks())
        below = f"<ul>{said}</ul>" if said else ""
        return f"<div><strong>{escape(self.title)}</strong><table><tbody>{rows}</tbody></table>{below}</div>"

    def _remarks(self) -> list[str]:
        once = list(dict.fromkeys(self.warnings))
        shown = once[:MOST_REMARKS]
        more = len(once) - len(shown)
        return [*shown, f"and {more} more"] if more else shown


def markdown_text(text: str) -> str:
    r"""Write text from outside on one line of Markdown, readable in a terminal too.

    What would begin an HTML tag gets a backslash before it, so that it shows as it is written; nothing else changes.

    >>> print(markdown_text("S&P 500,\n a < b, <b>"))
    S&P 500, a < b, \<b>
    """
    return re.sub(r"<(?=[A-Za-z/!?])", r"\\<", " ".join(text.split()))


def markdown_table(lines: Sequence[Sequence[str]], *, words: int = 1) -> str:
    r"""Write cells as a Markdown table, the first line as its head.

    Parameters
    ----------
    lines : sequence of sequence of str
        Cells, as many in each line.
    words : int
        How many leading columns hold words (left-aligned); the others hold numbers.

    >>> print(markdown_table([["model", "RMSE"], ["a|b", "1.5"]]), end="")
    | model | RMSE |
    | --- | ---: |
    | a\|b | 1.5 |
    """
    cells = [[markdown_text(cell).replace("|", "\\|") for cell in line] for line in lines]
    head, *body = [f"| {' | '.join(line)} |" for line in cells]
    ruler = "|" + "|".join([" --- "] * words + [" ---: "] * (len(lines[0]) - words)) + "|"
    return "\n".join([head, ruler, *body]) + "\n"
