"""Comparison of two files: the first figure that differs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.common.errors import InputError
from signals.common.storage import read_parquet

__all__ = ["first_difference", "json_differences", "strange_stamp", "value_text"]

# Columns that identify a row of each table; fills and cash flows of one day have no further identification.
KEYS: dict[str, tuple[str, ...]] = {
    "signals.parquet": ("date", "ticker"),
    "seed_scores.parquet": ("date", "ticker", "seed"),
    "labels.parquet": ("date", "ticker"),
    "quantiles.parquet": ("date", "ticker", "level"),
    "folds.parquet": ("fold", "seed"),
    "history.parquet": ("fold", "seed", "epoch"),
    "transactions.parquet": ("date", "symbol"),
    "orders.parquet": ("order_id", "ticker"),
    "cash_flows.parquet": ("date", "ticker"),
    "trials.parquet": ("trial", "date"),
}
ABSENT = object()
MAX_TEXT_LENGTH = 90


def first_difference(file: Path, again: Path, *, tolerance: float | None = None) -> str | None:
    """Describe the first difference between a file of a run and the recomputed file.

    Parameters
    ----------
    file : Path
        File in the run folder.
    again : Path
        The recomputed file.
    tolerance : float, optional
        Relative difference of numbers that is allowed; none by default.

    Returns
    -------
    str or None
        Predicate of a sentence about the file, with row, column and both values; None when nothing differs.
    """
    if not file.is_file():
        return "is missing"
    if file.read_bytes() == again.read_bytes():
        return None
    if file.suffix == ".parquet":
        difference = _of_tables(file, again, tolerance)
    elif file.suffix == ".json":
        difference = _of_json(file, again, tolerance)
    else:
        difference = _of_text(file, again, pictures=tolerance is None)
    if difference is None and tolerance is None and file.suffix != ".html":
        return "holds the same figures in other bytes: it was changed after the run"
    return difference


# -- tables ------------------------------------------------------------------------------------------------------------


def _of_tables(file: Path, again: Path, tolerance: float | None) -> str | None:
    two = read_parquet(again)
    try:
        one = read_parquet(file)
    except InputError as error:
        return f"cannot be read: {error}"
    if list(one.columns) != list(two.columns):
        changed = sorted({*one.columns} ^ {*two.columns})
        return f"has other columns than those recomputed: {', '.join(map(str, changed)) or 'in another order'}"
    # pandas can store text in several dtypes
    other = [
        name
        for name in one.columns
        if one[name].dtype != two[name].dtype and {one[name].dtype.kind, two[name].dtype.kind} != {"O"}
    ]
    if other:
        return f"holds {other[0]} as {one[other[0]].dtype}; recomputed as {two[other[0]].dtype}"
    keys = [name for name in KEYS.get(file.name, ("date",)) if name in one.columns]
    rows = min(len(one), len(two))
    misplaced = np.zeros(rows, dtype=bool)
    for key in keys:
        misplaced |= _differs(one[key].to_numpy()[:rows], two[key].to_numpy()[:rows], None)
    if misplaced.any() or len(one) != len(two):
        return _other_rows(one, two, keys, int(misplaced.argmax()) if misplaced.any() else rows)
    cells = {name: _differs(one[name].to_numpy(), two[name].to_numpy(), tolerance) for name in one.columns}
    wrong = np.stack(list(cells.values()), axis=1) if rows else np.zeros((0, len(cells)), dtype=bool)
    if not wrong.any():
        return None
    row, place = (int(i) for i in np.argwhere(wrong)[0])
    name = one.columns[place]
    return _describe_difference(
        f"{name}{_row_name(one, keys, row)}", one[name].iloc[row], two[name].iloc[row], int(wrong.sum()) - 1
    )


def _differs(one: NDArray[Any], two: NDArray[Any], tolerance: float | None) -> NDArray[np.bool_]:
    if one.dtype.kind == "f":
        unequal = (one != two) & ~(np.isnan(one) & np.isnan(two))
        if tolerance is not None:
            close = np.abs(one - two) <= tolerance * np.maximum(np.maximum(np.abs(one), np.abs(two)), 1e-12)
            unequal &= ~close
        return np.asarray(unequal)
    if one.dtype.kind == "M":
        return np.asarray((one != two) & ~(np.isnat(one) & np.isnat(two)))
    return np.asarray((pd.Series(one) != pd.Series(two)) & ~(pd.isna(one) & pd.isna(two)), dtype=bool)


def _other_rows(one: pd.DataFrame, two: pd.DataFrame, keys: list[str], row: int) -> str:
    """Describe the row that is missing, superfluous or different."""
    have, want = _row_name(one, keys, row), _row_name(two, keys, row)
    count = "" if len(one) == len(two) else f" ({len(one):,} rows; recomputed {len(two):,})"
    if len(one) < len(two):
        return f"lacks the row{want}{count}"
    if len(one) > len(two):
        return f"has a row{have} that is not among those recomputed{count}"
    return f"has a row{have} where the one recomputed is{want}"


def _row_name(frame: pd.DataFrame, keys: list[str], row: int) -> str:
    if row >= len(frame):
        return " at the end"
    parts = []
    for key in keys:
        value = frame[key].iloc[row]
        if isinstance(value, pd.Timestamp):
            parts.append(f"on {value:%Y-%m-%d}")
        elif key in ("ticker", "symbol"):
            parts.append(f"of {value}")
        else:
            parts.append(f"of {key.removesuffix('_id')} {value}")
    return "".join(f" {part}" for part in parts)


# -- JSON --------------------------------------------------------------------------------------------------------------


def json_differences(
    one: Any, two: Any, tolerance: float | None = None, place: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Yield every place (names joined by dots) at which two JSON values differ, and both values.

    >>> list(json_differences({"a": {"b": 1}}, {"a": {"b": 2}}))
    [('a.b', 1, 2)]
    """
    if isinstance(one, dict) and isinstance(two, dict):
        for key in sorted({*one, *two}):
            inner = f"{place}.{key}" if place else str(key)
            yield from json_differences(one.get(key, ABSENT), two.get(key, ABSENT), tolerance, inner)
    elif isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
        for i, (a, b) in enumerate(zip(one, two, strict=True)):
            yield from json_differences(a, b, tolerance, f"{place}[{i}]")
    elif type(one) is not type(two) or one != two:
        both = isinstance(one, float) and isinstance(two, float)
        if not (both and tolerance is not None and abs(one - two) <= tolerance * max(abs(one), abs(two), 1e-12)):
            yield place, one, two


def _of_json(file: Path, again: Path, tolerance: float | None) -> str | None:
    try:
        one = json.loads(file.read_bytes())
    except ValueError as error:
        return f"cannot be read: {error}"
    differences = list(json_differences(one, json.loads(again.read_bytes()), tolerance))
    return _describe_difference(*differences[0], len(differences) - 1) if differences else None


# -- text --------------------------------------------------------------------------------------------------------------

_STAMP = re.compile(r'<p class="stamp">([^<]*)</p>')
_STAMP_PART = re.compile(
    r"(?:finished|trials as of) [-+:.\dTZ]+|host [\w .-]+, \d+ training processes|[a-z]+ \d+\.\d s"
)
_PICTURE = re.compile(r"data:image/[^\"']*")
_CHART = re.compile(r'<figure class="chart[^"]*" id="chart-([^"]*)"')


def strange_stamp(report: Path) -> str | None:
    """Describe the first unexpected part of the line of a report with date and durations; None when there is none.

    That line differs between runs, so it cannot be compared with a recomputed one.
    """
    _, stamp = _without_stamp(report.read_text(encoding="utf-8", errors="replace"))
    unexpected = [part for part in stamp.split(" · ") if part and not _STAMP_PART.fullmatch(part)]
    return f"has {unexpected[0]!r} in its last line, which no run writes" if unexpected else None


def _without_stamp(html: str) -> tuple[str, str]:
    """Split a report into the text without the line of date and durations, and that line ("" without one)."""
    stamps = list(_STAMP.finditer(html))
    if not stamps:
        return html, ""
    last = stamps[-1]
    return html[: last.start()] + html[last.end() :], last.group(1)


def _of_text(file: Path, again: Path, *, pictures: bool) -> str | None:
    try:
        texts = [path.read_text(encoding="utf-8") for path in (file, again)]
    except UnicodeDecodeError:
        return "is not UTF-8 text"
    if file.suffix == ".html":
        texts = [_without_stamp(text)[0] for text in texts]
    if not pictures:
        texts = [_PICTURE.sub("data:", text) for text in texts]
    if texts[0] == texts[1]:
        return None
    chart = ""
    lines = [text.splitlines() for text in texts]
    for number in range(max(map(len, lines))):
        one, two = (side[number] if number < len(side) else "" for side in lines)
        if found := _CHART.search(two):
            chart = found.group(1)
        if one == two:
            continue
        if _PICTURE.sub("", one) == _PICTURE.sub("", two):
            return f"has another image than the recomputed one in line {number + 1}, chart {chart!r}"
        return f"line {number + 1} is {_around(one, two)!r}; recomputed it is {_around(two, one)!r}"
    return "has other line breaks at its end than the recomputed file"


def _around(line: str, other: str) -> str:
    """Return the part of a line that differs and some text before it, without tags unless only tags differ."""
    plain, against = (re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", text)).strip() for text in (line, other))
    if plain == against:
        plain, against = line.strip(), other.strip()
    if len(plain) <= MAX_TEXT_LENGTH:
        return plain
    same = next(
        (i for i, (a, b) in enumerate(zip(plain, against, strict=False)) if a != b), min(len(plain), len(against))
    )
    begin = max(same - MAX_TEXT_LENGTH // 3, 0)
    return (
        ("…" if begin else "")
        + plain[begin : begin + MAX_TEXT_LENGTH]
        + ("…" if begin + MAX_TEXT_LENGTH < len(plain) else "")
    )


def _describe_difference(what: str, one: Any, two: Any, more: int) -> str:
    rest = "" if more <= 0 else f" (and {more:,} more {'figure' if more == 1 else 'figures'})"
    return f"{what} is {value_text(one)}; recomputed {value_text(two)}{rest}"


def value_text(value: Any) -> str:
    """Format a value for a finding."""
    if value is ABSENT:
        return "absent"
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d}"
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return repr(value)
    if value is pd.NaT:
        return "empty"
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= MAX_TEXT_LENGTH else text[:MAX_TEXT_LENGTH] + "…"
