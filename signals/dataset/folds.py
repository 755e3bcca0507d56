"""Walk-forward folds: training, validation and test slices of decision dates."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from signals.calendar import add_offset, as_day
from signals.common.errors import InputError

__all__ = ["Fold", "WalkForward", "make_folds", "retraining_dates"]

Length = str | int

NEVER = "never"


@dataclass(frozen=True, slots=True)
class WalkForward:
    """Lengths of the walk-forward slices.

    Parameters
    ----------
    test_start : str
        First day of the first test slice, `"2011-01-01"`.
    train : str or int
        `"expanding"` for all history before the validation slice, or a rolling length: a calendar offset (`"4Y"`,
        `"26W"`) or a number of decision dates.
    validation, test : str or int
        Lengths of the slices, calendar offsets or numbers of decision dates.
    retrain_every : str or int, optional
        Time between retrainings; the test length by default. When it is shorter than `test`, each date is predicted by
        the latest model. A longer time is an error, because dates in between would have no model. `"never"` trains
        once, before `test_start`, and scores everything after it; the universe is still selected again after every test
        length.
    """

    test_start: str
    train: Length = "expanding"
    validation: Length = "26W"
    test: Length = "1Y"
    retrain_every: Length | None = None

    def __post_init__(self) -> None:
        _parse(self.test_start)
        for name, words in (
            ("train", ("expanding",)),
            ("validation", ()),
            ("test", ()),
            ("retrain_every", (NEVER,)),
        ):
            value = getattr(self, name)
            if value is None or value in words:
                continue
            try:
                if isinstance(value, str):
                    add_offset("2000-01-03", value)
                elif isinstance(value, bool) or value < 1:
                    raise InputError("")
            except InputError:
                known = "".join(f", {word!r}" for word in words)
                raise InputError(
                    f"expected walk_forward.{name} as a length like '4Y', '6M', '26W' or '10D', a number of decision "
                    f"dates{known}; found {value!r}; correct it"
                ) from None

    @property
    def cadence(self) -> Length:
        """Time between selections of the universe, and between retrainings unless there is only one."""
        return self.test if self.retrain_every in (None, NEVER) else self.retrain_every


@dataclass(frozen=True, slots=True)
class Fold:
    """One fold: half-open ranges of decision dates, by index.

    The slices follow each other without gap. Rows whose label ends after the next slice has begun are purged later, row
    by row, because the end of a label differs from row to row.
    """

    number: int
    train: range
    validation: range
    test: range


def _shift(
    dates: NDArray[np.datetime64], anchor: np.datetime64, length: Length, times: int, name: str
) -> np.datetime64:
    """Date `times` lengths after `anchor`; an integer length counts decision dates from the anchor."""
    if isinstance(length, str):
        return add_offset(anchor, length, times)
    if length < 1:
        raise InputError(f"expected walk_forward.{name} of at least 1 decision date; found {length}")
    position = int(np.searchsorted(dates, anchor)) + length * times
    if position < 0:
        return np.datetime64(dates[0] - np.timedelta64(1, "D"))
    return np.datetime64(dates[position] if position < len(dates) else dates[-1] + np.timedelta64(1, "D"))


def retraining_dates(dates: NDArray[np.datetime64], settings: WalkForward) -> NDArray[np.datetime64]:
    """Decision dates on which the universe is selected: every retraining, and at the same intervals before the first.

    The selections before the first retraining matter: networks train on these years, whose universe must be the one
    known then, later delisted tickers included. Before the first retraining, the universe is selected at least once a
    year, however long the test slices are.

    Returns
    -------
    ndarray of datetime64[D]
        Ascending, unique, each one of `dates`.
    """
    start = _parse(settings.test_start)
    chosen = {int(np.searchsorted(dates, start))} if len(dates) else set()
    forward = settings.cadence
    year_ago = _shift(dates, start, "1Y", -1, "retrain_every")
    back = "1Y" if len(dates) and _shift(dates, start, forward, -1, "retrain_every") < year_ago else forward
    for direction, length in ((-1, back), (1, forward)):
        step = direction
        while len(dates):
            day = _shift(dates, start, length, step, "retrain_every")
            position = int(np.searchsorted(dates, day))
            chosen.add(position)
            if day <= dates[0] or day > dates[-1]:
                break
            step += direction
    return dates[sorted(p for p in chosen if 0 <= p < len(dates))]


def make_folds(
    dates: NDArray[np.datetime64], settings: WalkForward, *, first: int = 0, trained: bool = False
) -> tuple[Fold, ...]:
    """Split decision dates into folds.

    Parameters
    ----------
    dates : ndarray of datetime64[D], shape (n_dates,)
        All decision dates, ascending and unique.
    settings : WalkForward
        Lengths of the slices, and time between retrainings.
    first : int
        Index of the first decision date that can have a row, with a complete look-back window.
    trained : bool
        Whether the model is already trained: the result is then one fold with a test slice only.

    Returns
    -------
    tuple of Fold
        Numbered from 0. The test slice of the last fold ends with the data and may be short.

    Raises
    ------
    InputError
        When the history is too short for a complete fold.
    """
    start = _parse(settings.test_start)
    if not len(dates) or start > dates[-1]:
        last = str(dates[-1]) if len(dates) else "nothing"
        raise InputError(
            f"expected prices beyond walk_forward.test_start = {settings.test_start}; found decision dates up to "
            f"{last}; give more history or start earlier"
        )
    if trained:
        tested = range(int(np.searchsorted(dates, start)), len(dates))
        return (Fold(0, range(0), range(0), tested),)
    folds: list[Fold] = []
    for number in range(len(dates)):
        begin = _shift(dates, start, settings.cadence, number, "retrain_every")
        if begin > dates[-1]:
            break
        following = _shift(dates, start, settings.cadence, number + 1, "retrain_every")
        test_end = _shift(dates, begin, settings.test, 1, "test")
        if np.searchsorted(dates, test_end) < np.searchsorted(dates, following):
            raise InputError(
                f"expected walk_forward.retrain_every no longer than walk_forward.test; found {settings.cadence!r} and "
                f"{settings.test!r}; decision dates from {test_end} to {following} would have no model"
            )
        test_end = min(test_end, following)
        validation_begin = _shift(dates, begin, settings.validation, -1, "validation")
        if settings.train == "expanding":
            train_begin = dates[0]
        else:
            train_begin = _shift(dates, validation_begin, settings.train, -1, "train")
        edges = [int(i) for i in np.searchsorted(dates, [train_begin, validation_begin, begin, test_end])]
        edges[0] = max(edges[0], first)
        fold = Fold(number, range(edges[0], edges[1]), range(edges[1], edges[2]), range(edges[2], edges[3]))
        if settings.retrain_every == NEVER:
            fold = replace(fold, test=range(edges[2], len(dates)))
        if not fold.test:
            continue
        if len(fold.train) < 2 or not fold.validation:
            usable = str(dates[first]) if first < len(dates) else "none"
            raise InputError(
                f"expected history for training and validation before {begin}; found {max(len(fold.train), 0)} and "
                f"{len(fold.validation)} decision dates (the first with a complete window is {usable}); set a later "
                "walk_forward.test_start, shorten the look-back, or give more history"
            )
        folds.append(fold)
        if settings.retrain_every == NEVER:
            break
    return tuple(folds)


def _parse(day: str) -> np.datetime64:
    return as_day(day, name="walk_forward.test_start")
