"""The signal frame is held to its contract before it becomes an array."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from backtests.feeds.score_matrix import ScoreTable
from signals.common.errors import InputError


@pytest.fixture
def frame(scores):
    return scores(
        {("2015-01-09", "B"): 0.2, ("2015-01-09", "A"): 0.1, ("2015-01-16", "B"): 0.3, ("2015-01-16", "C"): 0.4}
    )


def test_laid_out(frame):
    table = ScoreTable.from_signals(frame)
    assert table.tickers == ("A", "B", "C")
    assert table.dates.astype(str).tolist() == ["2015-01-09", "2015-01-16"]
    assert np.array_equal(table.values, [[0.1, 0.2, np.nan], [np.nan, 0.3, 0.4]], equal_nan=True)
    assert np.array_equal(table.aligned(["C", "X", "B"])[1], [0.4, np.nan, 0.3], equal_nan=True)
    assert ScoreTable.from_signals(frame["score"]).tickers == table.tickers  # a Series will do


def test_on_sessions(frame, days):
    sessions = days(15)
    lines = ScoreTable.from_signals(frame).by_session(sessions, ["A", "B"])
    assert lines.shape == (2, 15)
    assert np.isfinite(lines).sum() == 3
    assert lines[1, list(sessions.astype(str)).index("2015-01-16")] == 0.3


def test_cut_by_dates_drops_tickers_that_have_no_row_left(frame):
    assert ScoreTable.from_signals(frame).between(end="2015-01-12").tickers == ("A", "B")
    assert ScoreTable.from_signals(frame).between("2015-01-16", "2015-01-16").tickers == ("B", "C")
    with pytest.raises(
        InputError, match=r"expected a decision date from 2016-01-01.*found signals from 2015-01-09 to 2015"
    ):
        ScoreTable.from_signals(frame).between("2016-01-01")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: f.iloc[::-1], "unsorted; call sort_index"),
        (lambda f: f.iloc[[0, 0, 1]], r"two for A on 2015-01-09"),
        (lambda f: f.iloc[:0], "at least one signal; found none"),
        (lambda f: f.rename(columns={"score": "value"}), "column score"),
        (lambda f: f.reset_index(), "indexed by"),
        (lambda f: f.swaplevel().sort_index(), "indexed by"),
        (lambda f: f.replace(0.3, np.nan), r"finite scores; found 1 others, the first for B on 2015-01-16"),
        (lambda f: f.replace(0.3, np.inf), "finite scores"),
        (lambda f: f.set_index(f.index.set_levels(f.index.levels[0] + pd.Timedelta("16h"), level=0)), "midnight"),
        (lambda f: f.set_index(f.index.set_levels(f.index.levels[0].tz_localize("UTC"), level=0)), "naive"),
    ],
)
def test_broken_contracts(frame, spoil, message):
    with pytest.raises(InputError, match=message):
        ScoreTable.from_signals(spoil(frame))


def test_a_decision_date_that_is_no_session(scores, days):
    table = ScoreTable.from_signals(scores({("2015-01-10", "A"): 1.0}))  # a Saturday
    with pytest.raises(InputError, match=r"among the sessions.*found 2015-01-10"):
        table.by_session(days(20), ["A"])
