from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signals.calendar import decision_dates
from signals.common.errors import InputError
from signals.dataset.folds import WalkForward, make_folds, retraining_dates

WEEKS = decision_dates("2007-01-01", "2017-11-10")
lengths = st.one_of(st.integers(5, 120), st.sampled_from(["26W", "1Y", "6M", "13W", "2Y"]))


@settings(max_examples=60, deadline=None)
@given(
    train=st.one_of(st.just("expanding"), lengths),
    validation=lengths,
    test=lengths,
    start=st.sampled_from(["2012-01-01", "2013-06-15", "2016-02-29"]),
)
def test_slices_are_adjacent_and_test_slices_partition_time(train, validation, test, start):
    folds = make_folds(WEEKS, WalkForward(test_start=start, train=train, validation=validation, test=test))
    tested = []
    for fold in folds:
        assert fold.train.stop == fold.validation.start
        assert fold.validation.stop == fold.test.start
        tested += list(fold.test)
    first = int(np.searchsorted(WEEKS, np.datetime64(start)))
    assert tested == list(range(first, len(WEEKS)))
    assert [fold.number for fold in folds] == list(range(len(folds)))


def test_yearly_folds_align_with_years():
    folds = make_folds(WEEKS, WalkForward(test_start="2011-01-01", validation="26W"))
    assert [str(WEEKS[fold.test.start])[:4] for fold in folds] == [str(y) for y in range(2011, 2018)]
    assert folds[0].train.start == 0
    assert str(WEEKS[folds[-1].test.stop - 1]) == "2017-11-10"


def test_rolling_training_slice_has_the_configured_length():
    folds = make_folds(WEEKS, WalkForward(test_start="2013-01-01", train="4Y", validation="1Y", test="1Y"))
    for fold in folds:
        years = (WEEKS[fold.train.stop - 1] - WEEKS[fold.train.start]) / np.timedelta64(365, "D")
        assert 3.9 < years < 4.05


def test_retraining_more_often_than_test_length_shortens_test_slices():
    folds = make_folds(WEEKS, WalkForward(test_start="2014-01-01", test="1Y", retrain_every="13W"))
    assert all(len(fold.test) <= 13 for fold in folds)
    assert len(folds) == pytest.approx(202 / 13, abs=1)


def test_retraining_less_often_than_test_length_raises_an_error():
    with pytest.raises(InputError, match=r"retrain_every no longer than walk_forward.test"):
        make_folds(WEEKS, WalkForward(test_start="2014-01-01", test="13W", retrain_every="1Y"))


def test_lengths_of_different_kinds_leave_no_date_without_a_model():
    with pytest.raises(InputError, match=r"decision dates from 2014-04-04 to 2015-01-01 would have no model"):
        make_folds(WEEKS, WalkForward(test_start="2014-01-01", test=13, retrain_every="1Y"))


def test_universe_is_selected_yearly_before_long_test_slices():
    drawn = retraining_dates(WEEKS, WalkForward(test_start="2013-01-01", test="3Y"))
    assert [str(day)[:4] for day in drawn] == [*map(str, range(2007, 2014)), "2016"]


@pytest.mark.parametrize(
    ("wf", "words"),
    [
        (WalkForward(test_start="2007-02-01"), "expected history for training and validation before 2007-02-01"),
        (WalkForward(test_start="2018-01-01"), "expected prices beyond walk_forward.test_start"),
    ],
)
def test_impossible_folds_raise_one_line_errors(wf, words):
    with pytest.raises(InputError, match=words):
        make_folds(WEEKS, wf)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"test_start": "soon"}, "date like 2011-01-03"),
        ({"test": "1 year"}, r"walk_forward.test as a length like '4Y'.*; found '1 year'; correct it"),
        ({"validation": 0}, r"walk_forward.validation as a length"),
        ({"train": "expnding"}, r"walk_forward.train as .*, 'expanding'; found 'expnding'"),
        ({"retrain_every": True}, r"walk_forward.retrain_every as .*, 'never'; found True"),
    ],
)
def test_invalid_lengths_raise_an_error(settings, words):
    with pytest.raises(InputError, match=words):
        WalkForward(**({"test_start": "2012-01-01"} | settings))


def test_folds_do_not_depend_on_later_dates():
    wf = WalkForward(test_start="2011-01-01", test="26W")
    whole, day = make_folds(WEEKS, wf), np.searchsorted(WEEKS, np.datetime64("2014-05-01"))
    for fold, cut in zip(whole, make_folds(WEEKS[:day], wf), strict=False):
        assert (fold.train, fold.validation, fold.test.start) == (cut.train, cut.validation, cut.test.start)
        assert cut.test.stop == min(fold.test.stop, day)
    assert retraining_dates(WEEKS[:day], wf).tolist() == [
        d for d in retraining_dates(WEEKS, wf).tolist() if d < WEEKS[day].item()
    ]


def test_universe_is_selected_at_every_retraining_and_back_to_the_first_date():
    drawn = retraining_dates(WEEKS, WalkForward(test_start="2011-01-01"))
    assert [str(day)[:4] for day in drawn] == [str(y) for y in range(2007, 2018)]
    assert drawn[0] == WEEKS[0]
    assert set(drawn) <= set(WEEKS)


def test_retrain_never_gives_one_fold_that_tests_all_later_dates():
    settings = WalkForward(test_start="2011-01-01", validation="26W", retrain_every="never")
    (fold,) = make_folds(WEEKS, settings)
    walked = make_folds(WEEKS, WalkForward(test_start="2011-01-01", validation="26W"))
    assert (fold.train, fold.validation) == (walked[0].train, walked[0].validation)
    assert fold.test == range(walked[0].test.start, len(WEEKS))
    # the universe is drawn as often as before
    drawn = retraining_dates(WEEKS, settings)
    assert drawn.tolist() == retraining_dates(WEEKS, WalkForward(test_start="2011-01-01", validation="26W")).tolist()


def test_trained_model_needs_no_history():
    (fold,) = make_folds(WEEKS, WalkForward(test_start=str(WEEKS[0])), trained=True)
    assert not fold.train
    assert not fold.validation
    assert fold.test == range(len(WEEKS))
