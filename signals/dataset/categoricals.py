"""Categorical inputs other than the ticker: sector; month, quarter, weekday and year of the decision date."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from signals.common.errors import InputError

__all__ = ["CATEGORICALS", "Categorical", "calendar_categorical", "check_categoricals", "make_categoricals"]

OF_DATES = ("month", "quarter", "weekday", "year")
CATEGORICALS = ("sector", *OF_DATES)

Rows = tuple[NDArray[np.int32], NDArray[np.int32]]


@dataclass(frozen=True, slots=True, eq=False)
class Categorical:
    """Category of every (ticker, decision date), such as its sector or its month.

    Parameters
    ----------
    labels : tuple of str
        Names of the categories, each once.
    codes : ndarray of int32, shape (n_tickers, n_dates)
        Index into `labels`, known at the close of the decision date; -1 where the category is
        unknown.
    """

    labels: tuple[str, ...]
    codes: NDArray[np.int32]

    def vocabulary(self, rows: Rows) -> tuple[str, ...]:
        """Labels that occur in (ticker, date) rows, sorted, so that the order does not depend on later rows."""
        return tuple(sorted(self.labels[code] for code in np.unique(self.codes[rows]) if code >= 0))

    def ids(self, vocabulary: Sequence[str], rows: Rows) -> NDArray[np.int32]:
        """Ids of (ticker, date) rows: i + 1 for label i of the vocabulary, 0 for any other label and for unknown ones.

        >>> sectors = Categorical(("steel", "banks", "gold"), np.array([[0, 1, 2, -1]], np.int32))
        >>> training, all_rows = (np.zeros(2, int), np.arange(2)), (np.zeros(4, int), np.arange(4))
        >>> sectors.vocabulary(training)
        ('banks', 'steel')
        >>> sectors.ids(sectors.vocabulary(training), all_rows).tolist()
        [2, 1, 0, 0]
        """
        id_of = {label: i for i, label in enumerate(vocabulary, start=1)}
        # the last entry is that of code -1
        by_code = np.array([*(id_of.get(label, 0) for label in self.labels), 0], dtype=np.int32)
        return np.asarray(by_code[self.codes[rows]])


def check_categoricals(names: Sequence[str]) -> None:
    """Check that the categoricals a model asks for exist.

    Raises
    ------
    InputError
        For an unknown name; the message suggests the most similar known one.
    """
    for name in names:
        if name not in CATEGORICALS:
            close = difflib.get_close_matches(str(name), CATEGORICALS, n=1)
            advice = f"did you mean {close[0]!r}?" if close else "choose one of these"
            raise InputError(
                f"expected model.categorical_embeddings of {', '.join(CATEGORICALS[:-1])}; found {name!r}; {advice}"
            )


def calendar_categorical(name: str, dates: NDArray[np.datetime64], n_tickers: int = 1) -> Categorical:
    """Calendar category of each date, the same for all tickers: month ("01" to "12"), quarter, weekday or year.

    Monday is weekday "01".

    >>> weekdays = calendar_categorical("weekday", np.array(["2024-03-01", "2024-03-04"], "datetime64[D]"))
    >>> [weekdays.labels[code] for code in weekdays.codes[0]]
    ['05', '01']
    """
    months = dates.astype("datetime64[M]").astype(np.int64)
    numbers = {
        "month": months % 12 + 1,
        "quarter": months % 12 // 3 + 1,
        # the first day of 1970 was a Thursday
        "weekday": (dates.astype("datetime64[D]").astype(np.int64) + 3) % 7 + 1,
        "year": months // 12 + 1970,
    }[name]
    categories, codes = np.unique(numbers, return_inverse=True)
    labels = tuple(f"{number:02d}" for number in categories)
    return Categorical(labels, np.broadcast_to(codes.astype(np.int32), (n_tickers, len(dates))))


def make_categoricals(
    names: Sequence[str],
    dates: NDArray[np.datetime64],
    n_tickers: int,
    sectors: tuple[tuple[str, ...], NDArray[np.int32]] | None,
) -> Mapping[str, Categorical]:
    """Compute the categoricals that a model has an input for.

    Parameters
    ----------
    names : sequence of str
        Names from `CATEGORICALS`.
    dates : ndarray of datetime64[D], shape (n_dates,)
        Decision dates.
    n_tickers : int
        Number of tickers.
    sectors : tuple of names and codes, or None
        Sector names, and the code of each ticker on each date, -1 where its sector is unknown, as
        `signals.reference.sectors` returns them.

    Raises
    ------
    InputError
        For an unknown name, and for "sector" without a sector file.
    """
    check_categoricals(names)
    if "sector" in names and sectors is None:
        raise InputError(
            "expected a file of sectors, because model.categorical_embeddings names sector; found none; set "
            "universe.sectors to its path, or leave sector out"
        )
    return {
        name: Categorical(*sectors) if name == "sector" and sectors else calendar_categorical(name, dates, n_tickers)
        for name in names
    }
