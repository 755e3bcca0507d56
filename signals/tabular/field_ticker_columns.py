"""Columns named by a field and a ticker: two header rows as yfinance writes them, or both in one name."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from pathlib import Path

from signals.common.errors import InputError
from signals.common.text import shown
from signals.data.column_names import OTHERS, compact, field_of, word_list

__all__ = ["field_ticker_pairs", "paired_header", "plain_name", "split_names"]

# First cell of a header row, over the dates: the name of the level of fields, of tickers, or nothing.
_FIELD_LEVEL = ("price", "prices", "attribute", "attributes", "field", "fields", "item")
_TICKER_LEVEL = ("ticker", "tickers", "symbol", "symbols", "instrument", "asset")
_CORNERS = ("", "level0", "level1", *_FIELD_LEVEL, *_TICKER_LEVEL)

_SEPARATORS = "_ .|:-/,"

# Words before or after a field that are not tickers unless they are in capitals.
_QUALIFIERS = frozenset(
    word_list(
        "adj adjusted unadj unadjusted raw bid ask mid prev previous avg average mean day daily week weekly month "
        "monthly pre post total log norm session first last max min change pct ma sma ema rolling lag diff stock "
        "market index price prices usd eur gbp jpy inr chf cny cad aud btc eth usdt official regular split"
    )
)


def paired_header(rows: list[list[str]], path: Path) -> tuple[list[object], int] | None:
    """Names of a table with a header of two rows, and the number of its lines; None for any other table.

    A third line that names the dates alone, as pandas writes it, belongs to the header.

    Raises
    ------
    InputError
        When it is not clear which of the two rows has the fields.
    """
    first, second = rows[0], rows[1] if len(rows) > 1 else []
    if _numbered(first, second):
        # such a table that was read without its header and written again with row numbers
        inner = paired_header([row[1:] for row in rows], path)
        return None if inner is None else (["Unnamed: 0", *inner[0]], inner[1])
    if not (
        len(first) == len(second) > 1
        and compact(first[0]) in _CORNERS
        and compact(second[0]) in _CORNERS
        and any(_has_close(row[1:]) for row in (first, second))
        and all(row.strip() for row in (*first[1:], *second[1:]))
    ):
        return None
    third = rows[2] if len(rows) > 2 else []
    named = len(third) == len(first) and (field_of(third[0]) or ("",))[0] == "date" and not any(third[1:])
    pairs = [("Date", ""), *zip(first[1:], second[1:], strict=True)]
    return field_ticker_pairs(pairs, (first[0], second[0]), path), 3 if named else 2


def _numbered(first: list[str], second: list[str]) -> bool:
    return (
        len(first) == len(second) > 2
        and not compact(first[0])
        and second[0].strip() in ("0", "1")
        and compact(first[1]) in (*_FIELD_LEVEL, *_TICKER_LEVEL)
        and compact(second[1]) in (*_FIELD_LEVEL, *_TICKER_LEVEL)
    )


def field_ticker_pairs(names: Sequence[object], labels: tuple[object, object], path: Path) -> list[object]:
    """Names as (field, ticker) pairs, whichever of the two comes first in the file; the date as `Date`.

    Parameters
    ----------
    names : sequence
        Pairs, and the column of dates by its name or as a pair with an empty second part.
    labels : tuple
        Names of the two levels; empty or None for no name.
    path : Path
        The file, for messages.

    Raises
    ------
    InputError
        When both levels could be the fields.
    """
    pairs = [name if isinstance(name, tuple) else (name, "") for name in names]
    dates = [place for place, pair in enumerate(pairs) if not str(pair[1]).strip() and _field(pair[0]) == "date"]
    inner = [pair for place, pair in enumerate(pairs) if place not in dates]
    levels = [[_unnumbered(str(pair[level])) for pair in inner] for level in (0, 1)]
    turned = _fields_level(levels, labels, path) == 1
    ordered: list[object] = []
    for place, pair in enumerate(pairs):
        if place in dates:
            ordered.append("Date")
            continue
        field, ticker = (pair[1], pair[0]) if turned else (pair[0], pair[1])
        ordered.append((_unnumbered(str(field)), str(ticker)))
    twice = None
    if len(ordered) < 5000:
        twice = next((pair for place, pair in enumerate(ordered) if pair in ordered[:place]), None)
    if twice is not None:
        raise InputError(f"expected each column once in {path.name}; found {shown(twice)} twice; drop one")
    return ordered


def _fields_level(levels: list[list[str]], labels: tuple[object, object], path: Path) -> int:
    words = [compact(label) if label is not None else "" for label in labels]
    if (words[0] in _FIELD_LEVEL or words[1] in _TICKER_LEVEL) and _has_close(levels[0]):
        return 0
    if (words[1] in _FIELD_LEVEL or words[0] in _TICKER_LEVEL) and _has_close(levels[1]):
        return 1
    known = [all(_is_word(name) for name in level) for level in levels]
    if known[0] != known[1]:
        return 0 if known[0] else 1
    closes = [_has_close(level) for level in levels]
    if closes[0] != closes[1]:
        return 0 if closes[0] else 1
    raise InputError(
        f"expected fields in one header row of {path.name} and tickers in the other; found "
        f"{', '.join(dict.fromkeys(levels[0]))} and {', '.join(dict.fromkeys(levels[1]))}; name the rows "
        "Price and Ticker in their first cells"
    )


def split_names(names: Sequence[object]) -> list[object] | None:
    """Split names like `Close_AAA`, `AAA.Close` or `('Close', 'AAA')` into (field, ticker) pairs.

    Returns
    -------
    list or None
        None unless every name has both parts, in the same order, and one of the fields is a close.

    Examples
    --------
    >>> split_names(["Close_AAA", "Volume_AAA"]), split_names(["BRK_B_Close"]), split_names(["AAA", "BBB_Close"])
    ([('Close', 'AAA'), ('Volume', 'AAA')], [('Close', 'BRK_B')], None)
    """
    tuples = [_tuple(name) for name in names]
    if names and all(pair is not None for pair in tuples):
        pairs = [pair for pair in tuples if pair is not None]
        for level in (0, 1):
            if all(_is_word(pair[level]) for pair in pairs) and _has_close([pair[level] for pair in pairs]):
                return [(pair[level], pair[1 - level]) for pair in pairs]
        return None
    splits = []
    for field_first in (True, False):
        parts = [_split(str(name), field_first=field_first) for name in names]
        pairs = [pair for pair in parts if pair is not None]
        units = {ticker for _, ticker in pairs}
        if len(units) == 1 and compact(units.pop()) in _QUALIFIERS:
            continue  # as in Close USD, where the second part is a unit
        if pairs and len(pairs) == len(names) and _has_close([field for field, _ in pairs]):
            splits.append(pairs)
    return list(splits[0]) if len(splits) == 1 else None


def _split(name: str, *, field_first: bool) -> tuple[str, str] | None:
    """Longest field at one end of a name, and the ticker at the other; None where there are no such parts."""
    separators = [place for place, c in enumerate(name) if c in _SEPARATORS and 0 < place < len(name) - 1]
    for place in reversed(separators) if field_first else separators:
        field, ticker = (name[:place], name[place + 1 :]) if field_first else (name[place + 1 :], name[:place])
        if _is_word(field) and ticker.strip() and (ticker.isupper() or compact(ticker) not in _QUALIFIERS):
            return field.strip(), ticker.strip()
    return None


def plain_name(name: str) -> str:
    """First part of a flattened pair whose second part is empty, as for dates; any other name as it is.

    >>> plain_name("('Date', '')"), plain_name("Close")
    ('Date', 'Close')
    """
    pair = _tuple(name)
    return pair[0] if pair is not None and not pair[1].strip() else name


def _tuple(name: object) -> tuple[str, str] | None:
    """Parse a name that is a pair written as text, as pandas writes flattened columns; None for other names."""
    text = str(name).strip()
    if not (text.startswith("(") and text.endswith(")")):
        return None
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    pair = isinstance(value, tuple) and len(value) == 2 and all(isinstance(part, str) for part in value)
    return (value[0], value[1]) if pair else None


def _field(name: object) -> str | None:
    known = field_of(name)
    return known[0] if known else None


def _is_word(name: str) -> bool:
    known = field_of(name)
    return (known is not None and known[0] != "date" and (known[1] or name.lower() == name)) or compact(name) in OTHERS


def _has_close(names: Sequence[str]) -> bool:
    return any(_field(_unnumbered(name)) in ("close", "adj_close") for name in names)


def _unnumbered(name: str) -> str:
    """Name without the number that pandas adds to repeated names: `Close` for `Close.1`."""
    match = re.fullmatch(r"(.+)\.\d+", name.strip())
    return match[1] if match and _field(match[1]) is not None else name.strip()
