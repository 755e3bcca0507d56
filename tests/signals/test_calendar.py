from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signals.calendar import add_offset, as_day, decision_dates, exchange_zone, session_closes, sessions
from signals.common.errors import InputError


def days(*texts):
    return np.array(texts, dtype="datetime64[D]")


def test_sessions_leave_out_weekends_holidays_and_sudden_closures():
    assert sessions("2012-10-26", "2012-11-01").tolist() == days("2012-10-26", "2012-10-31", "2012-11-01").tolist()
    assert np.datetime64("2018-12-05") not in sessions("2018-12-01", "2018-12-31")
    assert len(sessions("2016-01-01", "2016-12-31")) == 252
    assert sessions("2016-01-01", "2016-01-03").tolist() == []


def test_sessions_reach_from_1990_to_a_year_ahead():
    ahead = dt.date.today() + dt.timedelta(days=300)
    found = sessions("1990-01-01", ahead)
    assert found[0] == np.datetime64("1990-01-02")
    assert found[-1] >= np.datetime64(ahead) - np.timedelta64(5, "D")
    assert found.dtype == np.dtype("datetime64[D]")


@pytest.mark.parametrize("start", ["2015-06-01", "2014-12-31", "1999-01-04"])
def test_sessions_do_not_depend_on_the_requested_span(start):
    wide = sessions(start, "2017-11-10")
    narrow = sessions("2015-06-01", "2016-02-03")
    inside = (wide >= np.datetime64("2015-06-01")) & (wide <= np.datetime64("2016-02-03"))
    assert wide[inside].tolist() == narrow.tolist()


@pytest.mark.parametrize(
    ("start", "end", "calendar", "words"),
    [
        ("2000-01-01", "2001-01-01", "nyse", "close: NYSE"),
        ("2000-01-01", "2001-01-01", "XNYX", "XNYS"),
        ("1950-01-01", "2001-01-01", "XNYS", "1950-01-01"),
        ("2000-01-01", "2099-01-01", "XNYS", "2099-01-01"),
        ("2001-01-01", "2000-01-01", "XNYS", "end on or after start"),
        ("1990-01-01", "1999-01-01", "XTAE", "expected calendar XTAE to cover the years 1990 to 1999"),
    ],
)
def test_sessions_refuse(start, end, calendar, words):
    with pytest.raises(InputError, match="expected") as caught:
        sessions(start, end, calendar)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_calendars():
    assert np.datetime64("2016-07-04") in sessions("2016-07-01", "2016-07-08", "XLON")
    assert np.datetime64("2016-07-04") not in sessions("2016-07-01", "2016-07-08", "NASDAQ")


def test_weekly_is_the_scheduled_last_session():
    # Good Friday 2016-03-25 was known, so Thursday it is
    assert (
        decision_dates("2016-03-14", "2016-04-01").tolist() == days("2016-03-18", "2016-03-24", "2016-04-01").tolist()
    )


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        # closed 11 to 14 September 2001, Friday included, decided on the morning of the 11th
        ("2001-09-01", "2001-09-28", ["2001-09-07", "2001-09-21", "2001-09-28"]),
        # Friday 11 June 2004, announced during that week
        ("2004-06-01", "2004-06-18", ["2004-06-04", "2004-06-18"]),
        # Monday and Tuesday closed do not matter
        ("2012-10-22", "2012-11-02", ["2012-10-26", "2012-11-02"]),
    ],
)
def test_a_cancelled_last_session_leaves_no_decision_date(start, end, expected):
    assert decision_dates(start, end).tolist() == days(*expected).tolist()


def test_monthly_and_daily():
    assert decision_dates("2017-09-01", "2017-11-29", "monthly").tolist() == days("2017-09-29", "2017-10-31").tolist()
    assert decision_dates("2017-11-20", "2017-11-24", "daily").tolist() == sessions("2017-11-20", "2017-11-24").tolist()


def test_an_incomplete_last_period_yields_no_row():
    assert decision_dates("2017-11-06", "2017-11-09").tolist() == []
    assert decision_dates("2017-11-06", "2017-11-10").tolist() == days("2017-11-10").tolist()
    assert decision_dates("2017-11-06", "2017-11-12").tolist() == days("2017-11-10").tolist()


def test_year_ends_are_whole_weeks():
    # the week of Wednesday 2014-12-31 ends on Friday 2015-01-02
    assert decision_dates("2014-12-22", "2014-12-31").tolist() == days("2014-12-26").tolist()
    assert decision_dates("2014-12-22", "2015-01-02").tolist() == days("2014-12-26", "2015-01-02").tolist()


@settings(max_examples=60, deadline=None)
@given(
    start=st.dates(dt.date(1995, 1, 1), dt.date(2018, 12, 31)),
    length=st.integers(0, 800),
    cut=st.integers(0, 800),
    frequency=st.sampled_from(["weekly", "monthly", "daily"]),
)
def test_decision_dates_do_not_depend_on_where_data_stop(start, length, cut, frequency):
    end = start + dt.timedelta(days=length)
    earlier = min(start + dt.timedelta(days=cut), end)
    long, short = decision_dates(start, end, frequency), decision_dates(start, earlier, frequency)
    assert long[long <= np.datetime64(earlier)].tolist() == short.tolist()
    # and each one closes its period: the next session belongs to another
    for day in short:
        if frequency == "weekly":
            assert (sessions(day, day + np.timedelta64(10, "D"))[1].astype(int) + 3) // 7 > (day.astype(int) + 3) // 7


def test_unknown_frequency():
    with pytest.raises(InputError, match=r"found 'week' \(close: weekly\)"):
        decision_dates("2016-01-01", "2016-02-01", "week")


@pytest.mark.parametrize(
    ("date", "offset", "n", "expected"),
    [
        ("2011-01-03", "4Y", 1, "2015-01-03"),
        ("2011-01-03", "26W", 1, "2011-07-04"),
        ("2011-01-31", "1M", 1, "2011-02-28"),
        ("2011-01-31", "1M", 2, "2011-03-31"),
        ("2012-02-29", "1Y", -1, "2011-02-28"),
        ("2011-01-03", "10D", 3, "2011-02-02"),
        ("2011-01-03", "10D", 0, "2011-01-03"),
    ],
)
def test_add_offset(date, offset, n, expected):
    assert add_offset(date, offset, n) == np.datetime64(expected)


@pytest.mark.parametrize("offset", ["4", "Y", "Y4", "0Y", "-1Y", "1.5Y", "4 years", "4Q", "", 4, None, "4y"])
def test_malformed_offsets(offset):
    with pytest.raises(InputError, match="expected an offset like 4Y, 3M, 26W or 10D; found"):
        add_offset("2011-01-03", offset)


@pytest.mark.parametrize(
    "value",
    [
        "2011-01-03",
        dt.date(2011, 1, 3),
        dt.datetime(2011, 1, 3),
        pd.Timestamp("2011-01-03"),
        np.datetime64("2011-01-03", "ns"),
    ],
)
def test_as_day(value):
    day = as_day(value)
    assert day == np.datetime64("2011-01-03")
    assert day.dtype == np.dtype("datetime64[D]")


@pytest.mark.parametrize(
    "value",
    [
        "2011",
        "2011-01",
        "03/01/2011",
        "soon",
        20110103,
        True,
        None,
        float("nan"),
        np.datetime64("NaT", "D"),
        pd.NaT,
        "2011-01-03T10:00",
        dt.datetime(2011, 1, 3, 10),
        pd.Timestamp("2011-01-03", tz="America/New_York"),
        "2011-02-30",
    ],
)
def test_invalid_days_are_refused(value):
    with pytest.raises(InputError, match=r"expected prices\.start to be a date like 2011-01-03; found"):
        as_day(value, name="prices.start")


def test_session_closes_include_half_days_and_daylight_saving():
    asked = days("2018-12-24", "2018-07-03", "2018-03-09", "2018-03-12", "1990-07-03")
    moments = [str(moment)[11:16] for moment in session_closes(asked)]
    assert moments == ["18:00", "17:00", "21:00", "20:00", "20:00"]
    assert session_closes(asked).dtype == np.dtype("datetime64[ns]")
    assert str(session_closes(days("2018-06-01"), "XTKS")[0]) == "2018-06-01T06:00:00.000000000"
    assert session_closes(asked[:0]).tolist() == []


def test_session_closes_do_not_depend_on_the_other_days():
    whole = sessions("2015-01-01", "2019-12-31")
    moments = session_closes(whole)
    assert session_closes(whole[700:701])[0] == moments[700]
    assert session_closes(whole[::-1]).tolist() == moments[::-1].tolist()
    assert (moments[1:] > moments[:-1]).all()


@pytest.mark.parametrize("closed", ["2018-12-25", "2018-12-22"])
def test_session_closes_refuse_other_days(closed):
    with pytest.raises(InputError, match=f"expected sessions of XNYS; found {closed}"):
        session_closes(days("2018-12-24", closed))


def test_exchange_zones():
    assert exchange_zone() == "America/New_York"
    with pytest.raises(InputError, match="close: NYSE"):
        exchange_zone("nyse")
