"""Score files: reading of scores from other models, and export of scores to other programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.common.errors import InputError
from signals.common.storage import atomic_write, sha256_file, write_parquet
from signals.data.price_index import count_rows
from signals.scores.signal_frame import check_signals, signal_frame
from signals.tabular.date_columns import days_of
from signals.tabular.table_files import DATE_KEYS, TICKER_KEYS, column_key, read_raw, shown

__all__ = ["EXPORT_FORMATS", "ScoreFile", "read_scores", "write_scores"]

# Column names of the ticker in alphalens and qlib, and of the score in alphalens.
_NAMES = (*TICKER_KEYS, "asset", "instrument")
_SCORES = ("score", "factor")
_OPTIONAL = ("score_std", "fold", "trained_until")


@dataclass(frozen=True, slots=True)
class ScoreFile:
    """Scores of a file, with its hash and warnings.

    Parameters
    ----------
    frame : DataFrame indexed by (date, ticker)
        A signal frame: `score score_std fold trained_until`; NaN, 0 and NaT in columns that the file does not have.
    name : str
        Base name of the file.
    sha256 : str
        SHA-256 of the file.
    warnings : tuple of str
        Warnings for the report: what was left out.
    """

    frame: pd.DataFrame
    name: str
    sha256: str
    warnings: tuple[str, ...] = field(default=())


def read_scores(path: Path | str) -> ScoreFile:
    """Read scores of another model from a file.

    Parameters
    ----------
    path : Path or str
        CSV (plain or gzipped; comma, semicolon or tab) or Parquet, one row per date and ticker, in any order. Columns
        `date`, `ticker` and `score`, or those of alphalens (`date asset factor`) and qlib (`datetime instrument
        score`); optionally `score_std` (standard deviation over models), `fold` (whole number) and `trained_until`
        (last day of the training data).

    Returns
    -------
    ScoreFile
        A date *t* means known at the close of *t*. Rows without a score are left out.

    Raises
    ------
    InputError
        For other columns, dates that are not written year-month-day or have a time of day, two scores for one date and
        ticker, infinite scores, and scores dated before the end of the training data.

    Notes
    -----
    Midnight in any time zone is that day, as in alphalens' UTC midnights; any other time of day is refused, because the
    session to which it belongs is not known.
    """
    path = Path(path)
    raw = read_raw(path, what="scores", text=_NAMES).frame
    columns, unused = _columns(raw, path)
    n = len(raw)
    score = _numbers(raw[columns["score"]], path)
    keep = ~np.isnan(score)
    warnings = []
    if unused:
        warnings.append(f"Columns of {path.name} that were not used: {', '.join(unused)}.")
    if not keep.any():
        raise InputError(f"expected a score in at least one row of {path.name}; found none; get the file again")
    if not keep.all():
        warnings.append(f"{count_rows(int(n - keep.sum()))} of {path.name} had no score and were left out.")
    # dates of rows without a score are checked too, since an invalid one suggests a damaged file
    days = days_of(raw[columns["date"]], path, what="session dates")
    tickers = _tickers(raw[columns["ticker"]], path)
    std = _numbers(raw[columns["score_std"]], path) if "score_std" in columns else np.full(n, np.nan)
    if (std < 0).any():
        row = int(np.argmax(std < 0)) + 1
        raise InputError(f"expected score_std of at least 0 in {path.name}; found {std[row - 1]:g} in row {row}")
    trained: NDArray[np.datetime64] = np.full(n, np.datetime64("NaT", "D"))
    if "trained_until" in columns:
        never = np.datetime64("NaT", "D")
        trained = days_of(raw[columns["trained_until"]], path, empty=never, what="days in trained_until")
    fold = _folds(raw[columns["fold"]], path) if "fold" in columns else np.zeros(n, dtype=np.int32)
    try:
        frame = signal_frame(
            days[keep],
            tickers[keep],
            score=score[keep],
            score_std=std[keep],
            fold=fold[keep],
            trained_until=trained[keep],
        )
    except InputError as error:
        raise InputError(f"{path.name}: {error}") from None
    return ScoreFile(frame, path.name, sha256_file(path), tuple(warnings))


def _columns(raw: pd.DataFrame, path: Path) -> tuple[dict[str, Any], list[str]]:
    """Column of each part of a score, and the unused columns."""
    if any(isinstance(name, tuple) for name in raw.columns):
        raise InputError(
            f"expected one row per date and ticker in {path.name}; found two header rows; stack the table first"
        )
    places = {"date": DATE_KEYS, "ticker": _NAMES, "score": _SCORES, **{name: (name,) for name in _OPTIONAL}}
    by_role: dict[str, Any] = {}
    for name in raw.columns:
        wanted = next((place for place, keys in places.items() if column_key(name) in keys), None)
        if wanted is None:
            continue
        if wanted in by_role:
            raise InputError(
                f"expected one column for the {wanted} in {path.name}; found {shown(by_role[wanted])} and "
                f"{shown(name)}; drop one"
            )
        by_role[wanted] = name
    missing = [name for name in ("date", "ticker", "score") if name not in by_role]
    if missing:
        names = ", ".join(shown(name) for name in raw.columns[:8]) + (" and more" if raw.shape[1] > 8 else "")
        raise InputError(
            f"expected columns date, ticker and score in {path.name}; found no {' and no '.join(missing)} among "
            f"{names}; write one row per date and ticker under that header"
        )
    unused = [str(name) for name in raw.columns if name not in by_role.values()]
    return by_role, [shown(name)[1:-1] for name in unused]


def _tickers(column: pd.Series, path: Path) -> NDArray[np.object_]:
    codes, labels = pd.factorize(column)
    names = []
    for place, label in enumerate(labels):
        if not isinstance(label, str) or not label.strip():
            row = int(np.argmax(codes == place)) + 1
            raise InputError(
                f"expected tickers as text in {path.name}; found {shown(label)} in row {row}; write them as text"
            )
        names.append(label.strip())
    if (codes < 0).any():
        row = int(np.argmax(codes < 0)) + 1
        raise InputError(f"expected a ticker in every row of {path.name}; found none in row {row}; add it")
    named: NDArray[np.object_] = np.asarray(names, dtype=object)[codes]
    return named


def _numbers(column: pd.Series, path: Path) -> NDArray[np.float64]:
    """Numbers of a column, NaN where the file has none."""
    kind = column.dtype
    if pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind) and kind != np.complex128:
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        bad = np.isinf(values)
    else:
        values = pd.to_numeric(column.astype(object), errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        flags = column.map(lambda value: isinstance(value, bool | np.bool_), na_action="ignore").eq(True)
        bad = (np.isnan(values) & column.notna().to_numpy()) | np.isinf(values) | flags.to_numpy(dtype=bool)
    if bad.any():
        row = int(np.argmax(bad)) + 1
        raise InputError(
            f"expected finite numbers in column {shown(column.name)} of {path.name}; found "
            f"{shown(column.iloc[row - 1])} in row {row}; correct the file, or leave the row out"
        )
    return np.asarray(values)


def _folds(column: pd.Series, path: Path) -> NDArray[np.int32]:
    values = _numbers(column, path)
    bad = ~((values >= 0) & (values == np.floor(values)) & (values < 2**31))
    if bad.any():
        row = int(np.argmax(bad)) + 1
        raise InputError(
            f"expected fold as a whole number from 0 on in {path.name}; found {shown(column.iloc[row - 1])} in row "
            f"{row}; correct it or drop the column"
        )
    return values.astype(np.int32)


# -- export ------------------------------------------------------------------------------------------------------------


def _plain(signals: pd.DataFrame) -> pd.DataFrame:
    return signals


def _alphalens(signals: pd.DataFrame) -> pd.DataFrame:
    return signals[["score"]].set_axis(["factor"], axis=1).rename_axis(["date", "asset"])


def _qlib(signals: pd.DataFrame) -> pd.DataFrame:
    return signals[["score"]].rename_axis(["datetime", "instrument"])


EXPORT_FORMATS: Mapping[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "csv": _plain,
    "parquet": _plain,
    "alphalens": _alphalens,
    "qlib": _qlib,
}


def write_scores(signals: pd.DataFrame, path: Path | str, *, format: str | None = None) -> Path:
    """Write a signal frame for other programs.

    Parameters
    ----------
    signals : DataFrame indexed by (date, ticker)
        A signal frame.
    path : Path or str
        File to write, ending in `.csv` or `.parquet`.
    format : {"csv", "parquet", "alphalens", "qlib"}, optional
        `"csv"` and `"parquet"`: all columns under our names; by default what the file name ends in. `"alphalens"`:
        index (date, asset), column `factor`. `"qlib"`: index (datetime, instrument), column `score`. The last two are
        written as CSV or Parquet, whichever the file name ends in; `pandas.read_parquet` gives their index back.

    Returns
    -------
    Path
        The file. Floating-point numbers are written so that they read back with the same bits.

    Raises
    ------
    InputError
        For an unknown format, a file name that does not fit it, or a frame that is not a signal frame.

    Notes
    -----
    A date *t* means known at the close of *t*. alphalens' forward returns start at the price of that date: give it
    opens moved back by one session, at which scores can be traded, or closes, which assumes a trade at the close *t*.
    """
    path = Path(path)
    suffix = path.suffix.lower().removeprefix(".")
    if format is None:
        format = suffix
    if format not in EXPORT_FORMATS:
        raise InputError(f"expected a format among {', '.join(EXPORT_FORMATS)}; found {format!r}; name one of them")
    if suffix not in ("csv", "parquet") or (format in ("csv", "parquet") and suffix != format):
        fits = f".{format}" if format in ("csv", "parquet") else ".csv or .parquet"
        raise InputError(f"expected a file name ending in {fits} for the format {format}; found {path.name}; rename it")
    frame = EXPORT_FORMATS[format](check_signals(signals))
    if suffix == "csv":
        atomic_write(path, frame.reset_index().to_csv(index=False, lineterminator="\n").encode())
    else:
        write_parquet(path, frame)
    return path
