"""Two files that should say the same, and the first figure in which they do not."""

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

# What names a row of each table; fills and cash flows of one day have no name of their own.
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
LONGEST = 90


def first_difference(file: Path, again: Path, *, tolerance: float | None = None) -> str | None:
    """Say where a file of a run parts from what was computed again.

    Parameters
    ----------
    file : Path
        In the run folder.
    again : Path
        The same file, computed again.
    tolerance : float, optional
        Relative difference of numbers that is let pass; none when not given.

    Returns
    -------
    str or None
        Half a sentence that names row, column and both values; None when nothing differs.
    """
    if not file.is_file():
        return "is missing"
    if file.read_bytes() == again.read_bytes():
        return None
    if file.suffix == ".parquet":
        found = _of_tables(file, again, tolerance)
    elif file.suffix == ".json":
        found = _of_json(file, again, tolerance)
    else:
        found = _of_text(file, again, pictures=tolerance is None)
    if found is None and tolerance is None and file.suffix != ".html":
        return "holds the same figures in other bytes: it is not the file that the run wrote"
    return found


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
    # text is text, whichever dtype pandas keeps it in
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
    return _said(f"{name}{_row_name(one, keys, row)}", one[name].iloc[row], two[name].iloc[row], int(wrong.sum()) - 1)


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
    """Say which row is missing, too much, or another one."""
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
    said = []
    for key in keys:
        value = frame[key].iloc[row]
        if isinstance(value, pd.Timestamp):
            said.append(f"on {value:%Y-%m-%d}")
        elif key in ("ticker", "symbol"):
            said.append(f"of {value}")
        else:
            said.append(f"of {key.removesuffix('_id')} {value}")
    return "".join(f" {part}" for part in said)


# -- JSON --------------------------------------------------------------------------------------------------------------


def json_differences(
    one: Any, two: Any, tolerance: float | None = None, place: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Give every place, with dots between its names, where two JSON values differ, and both values.

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
    found = list(json_differences(one, json.loads(again.read_bytes()), tolerance))
    return _said(*found[0], len(found) - 1) if found else None


# -- text --------------------------------------------------------------------------------------------------------------

_STAMP = re.compile(r'<p class="stamp">([^<]*)</p>')
_STAMP_PART = re.compile(
    r"(?:finished|trials as of) [-+:.\dTZ]+|host [\w .-]+, \d+ training processes|[a-z]+ \d+\.\d s"
)
_PICTURE = re.compile(r"data:image/[^\"']*")
_CHART = re.compile(r'<figure class="chart[^"]*" id="chart-([^"]*)"')


def strange_stamp(report: Path) -> str | None:
    """Say what is wrong with the volatile line of a report, which cannot be written again; None when nothing is."""
    _, stamp = _without_stamp(report.read_text(encoding="utf-8", errors="replace"))
    strange = [part for part in stamp.split(" · ") if part and not _STAMP_PART.fullmatch(part)]
    return f"says {strange[0]!r} in its last line, which no run writes" if strange else None


def _without_stamp(html: str) -> tuple[str, str]:
    """Take the volatile line out of a report; return the rest and that line, empty where there is none."""
    found = list(_STAMP.finditer(html))
    if not found:
        return html, ""
    last = found[-1]
    return html[: last.start()] + html[last.end() :], last.group(1)


def _of_text(file: Path, again: Path, *, pictures: bool) -> str | None:
    try:
        texts = [path.read_text(encoding="utf-8") for path in (file, again)]
    except UnicodeDecodeError:
        return "is no text"
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
            return f"shows another picture than the one drawn again in line {number + 1}, chart {chart!r}"
        return f"line {number + 1} is {_around(one, two)!r}; written again it is {_around(two, one)!r}"
    return "ends in other line breaks than those written again"


def _around(line: str, other: str) -> str:
    """Give the part of a line that differs, without tags where that leaves something, and a little before it."""
    plain, against = (re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", text)).strip() for text in (line, other))
    if plain == against:
        plain, against = line.strip(), other.strip()
    if len(plain) <= LONGEST:
        return plain
    same = next(
        (i for i, (a, b) in enumerate(zip(plain, against, strict=False)) if a != b), min(len(plain), len(against))
    )
    begin = max(same - LONGEST // 3, 0)
    return ("…" if begin else "") + plain[begin : begin + LONGEST] + ("…" if begin + LONGEST < len(plain) else "")


def _said(what: str, one: Any, two: Any, more: int) -> str:
    rest = "" if more <= 0 else f" (and {more:,} more {'figure' if more == 1 else 'figures'})"
    return f"{what} is {value_text(one)}; recomputed {value_text(two)}{rest}"


def value_text(value: Any) -> str:
    """Write a value the way a finding shows it."""
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
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"
