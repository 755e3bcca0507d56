"""Who may learn from what of a table of series, and who is judged on what."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signals.common.errors import InputError
from signals.dataset.folds import WalkForward
from signals.forecasting.problem import Problem
from signals.forecasting.series_table import SeriesTable


def monthly(n, k=1):
    dates = (np.datetime64("2000-01") + np.arange(n).astype("timedelta64[M]")).astype("datetime64[D]")
    return SeriesTable(dates, np.arange(n * k, dtype=float).reshape(n, k), tuple("abcdef"[:k]))


def test_slices_are_defined_by_forecast_dates():
    problem = Problem(monthly(60), lookback=6)
    (fold,) = problem.folds(WalkForward("2004-01-01", validation=12, test="1Y"))
    dates = problem.table.dates
    assert str(dates[fold.test[0]]) == "2003-12-01"  # forecast one period before
    assert str(dates[fold.test[-1] + 1]) == "2004-12-01"
    assert fold.test == range(47, 59)
    assert fold.validation == range(35, 47)
    assert fold.train == range(5, 35)
    assert fold.both == range(5, 47)


def test_longer_horizons_are_purged():
    (fold,) = Problem(monthly(60), horizon=4, lookback=6).folds(WalkForward("2004-01-01", validation=12, test="1Y"))
    assert (fold.train, fold.validation, fold.test) == (range(5, 32), range(35, 44), range(47, 59))
    assert fold.both == range(5, 44)


@settings(max_examples=80, deadline=None)
@given(
    n=st.integers(40, 90),
    horizon=st.integers(1, 5),
    lookback=st.integers(1, 12),
    validation=st.integers(6, 12),
    test=st.one_of(st.integers(1, 12), st.sampled_from(["1Y", "3M"])),
    train=st.one_of(st.just("expanding"), st.integers(8, 15)),
)
def test_training_labels_are_known_at_the_first_test_origin(n, horizon, lookback, validation, test, train):
    problem = Problem(monthly(n), horizon=horizon, lookback=lookback)
    start = problem.table.dates[36]
    try:
        folds = problem.folds(WalkForward(str(start), train=train, validation=validation, test=test))
    except InputError:
        return
    for fold in folds:
        assert fold.train.stop - 1 + horizon <= fold.validation.start
        assert fold.validation.stop - 1 + horizon <= fold.test.start
        assert fold.train.start >= lookback - 1
        assert fold.both == range(fold.train.start, fold.validation.stop)
    ahead = [problem.table.dates[t + 1] for fold in folds for t in fold.test]
    assert ahead == list(problem.table.dates[36:])  # every date from the start on is forecast once, one period ahead


def test_actual_and_last_values_by_hand():
    problem = Problem(monthly(10, 2), horizon=2, targets=(1,))
    assert problem.names == ("b",)
    assert problem.actual(range(6, 10))[..., 0].tolist()[0] == [15, 17]
    np.testing.assert_array_equal(problem.actual(range(8, 10))[..., 0], [[19, np.nan], [np.nan, np.nan]])
    assert problem.last(range(6, 8)).tolist() == [[13], [15]]
    assert problem.target_dates(range(8, 9)).tolist()[0][0] == problem.table.dates[9].item()
    assert problem.target_dates(range(8, 9))[0, 1] == np.datetime64("2000-11-01")  # after the last row


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Problem(monthly(9), targets=(1,)), "columns 0 to 0; found [1]"),
        (lambda: Problem(monthly(10), horizon=0), "expected a look-back and a horizon of at least 1"),
        (lambda: Problem(monthly(10), horizon=3, lookback=8), "found 8 and 3, and 10 rows"),
        (lambda: Problem(monthly(30)).folds(WalkForward("2012-01-01", validation=6)), "found them up to 2002-06-01"),
        (
            lambda: Problem(monthly(60), horizon=7).folds(WalkForward("2004-01-01", validation=6)),
            "expected walk_forward.validation longer than forecast.horizon less one",
        ),
    ],
)
def test_invalid_problems_raise_an_error(make, said):
    with pytest.raises(InputError) as error:
        make()
    assert said in str(error.value)
