"""Text of messages: one line whatever a file contains, and values quoted at a readable length."""

from __future__ import annotations

__all__ = ["one_line", "shown"]

# Characters of a message: enough for a long path and a dozen column names.
LONGEST_LINE = 1000


def one_line(text: str) -> str:
    r"""Text on one line: control characters are escaped, and a long text is shortened in the middle.

    >>> one_line("a\nb")
    'a\\nb'
    """
    line = "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text)
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE // 2]} … {line[-LONGEST_LINE // 2 :]}"


def shown(value: object, most: int = 60) -> str:
    r"""Quote a value for a message, cut to a readable length.

    >>> shown("x\n"), shown(3.5)
    ("'x\\n'", "'3.5'")
    """
    try:
        text = str(value)
    except ValueError:  # a whole number of more digits than Python converts to text
        text = f"a {type(value).__name__} of too many digits"
    return repr(text if len(text) <= most else text[: most - 1] + "…")
