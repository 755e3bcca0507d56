"""Summary cards: a heading, facts and warnings of a result, shown at a prompt and in notebooks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Card", "markdown_table", "markdown_text"]

# More warnings would hide the facts; the report has all of them.
MAX_WARNINGS = 5


@dataclass(frozen=True, slots=True)
class Card:
    """A heading, facts by name, and warnings; all are plain text, escaped in HTML.

    Parameters
    ----------
    title : str
        Heading: what the result is.
    facts : sequence of (str, str)
        Name and value of each line.
    warnings : sequence of str
        Warnings; the first five are shown, each once, and the number of the others.

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
        return "\n".join([*lines, *(f"  ! {warning}" for warning in self._shown_warnings())])

    def html(self) -> str:
        """Format the card as a small HTML table, without styles except for alignment."""
        rows = "".join(
            f'<tr><th scope="row" style="text-align: left">{escape(name)}</th>'
            f'<td style="text-align: left">{escape(value)}</td></tr>'
            for name, value in self.facts
        )
        items = "".join(f"<li>{escape(warning)}</li>" for warning in self._shown_warnings())
        below = f"<ul>{items}</ul>" if items else ""
        return f"<div><strong>{escape(self.title)}</strong><table><tbody>{rows}</tbody></table>{below}</div>"

    def _shown_warnings(self) -> list[str]:
        distinct = list(dict.fromkeys(self.warnings))
        shown = distinct[:MAX_WARNINGS]
        more = len(distinct) - len(shown)
        return [*shown, f"and {more} more"] if more else shown


def markdown_text(text: str) -> str:
    r"""Write text of unknown content on one line of Markdown that is also readable in a terminal.

    A `<` that would begin an HTML tag gets a backslash before it, so that it is shown literally; nothing else changes.

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
        Number of leading columns that hold words and are left-aligned; the others hold numbers.

    >>> print(markdown_table([["model", "RMSE"], ["a|b", "1.5"]]), end="")
    | model | RMSE |
    | --- | ---: |
    | a\|b | 1.5 |
    """
    cells = [[markdown_text(cell).replace("|", "\\|") for cell in line] for line in lines]
    head, *body = [f"| {' | '.join(line)} |" for line in cells]
    ruler = "|" + "|".join([" --- "] * words + [" ---: "] * (len(lines[0]) - words)) + "|"
    return "\n".join([head, ruler, *body]) + "\n"
