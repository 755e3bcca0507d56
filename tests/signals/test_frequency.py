"""Frequencies of series: periods without a row are found whatever the frequency, and the next dates follow it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from signals.calendar import sessions
from signals.common.errors import InputError
from signals.frequency import Frequency, frequency_of, listed_periods, missing_periods, next_dates

FREQUENCIES = {
    "MS": ("monthly", 1), "ME": ("monthly", 1), "BME": ("monthly", 1), "BMS": ("monthly", 1), "QS": ("quarterly", 3),
    "QE": ("quarterly", 3), "QS-FEB": ("quarterly", 3), "YS": ("annual", 12), "YE": ("annual", 12),
    "6MS": ("every 6 months", 6), "W-FRI": ("weekly", 1), "W-SAT": ("weekly", 1), "W-WED": ("weekly", 1),
    "2W": ("every 14 days", 14), "4W": ("every 28 days", 28), "D": ("daily", 1), "B": ("daily", 1),
}  # fmt: skip


def days(freq, n=72, start="2001-02-05"):
    return pd.date_range(start, periods=n, freq=freq).to_numpy().astype("datetime64[D]")


@pytest.mark.parametrize("freq", FREQUENCIES)
def test_frequency_is_recognised_from_the_dates(freq):
    dates = days(freq)
    found = frequency_of(dates)
    assert (found.name, found.step) == FREQUENCIES[freq]
    assert len(missing_periods(dates, found)[1]) == 0


@pytest.mark.parametrize("freq", FREQUENCIES)
@pytest.mark.parametrize("gap", [1, 2, 5])
def test_every_missing_period_is_found_and_given_its_date(freq, gap):
    dates = days(freq)
    kept = np.delete(dates, np.arange(30, 30 + gap))
    frequency = frequency_of(kept)
    after, periods = missing_periods(kept, frequency)
    assert periods.tolist() == dates[30 : 30 + gap].tolist()
    assert (kept[after] == dates[29]).all()
    assert frequency.name == FREQUENCIES[freq][0]


@pytest.mark.parametrize("freq", FREQUENCIES)
def test_next_dates_continue_the_rows(freq):
    dates = days(freq, 80)
    assert next_dates(dates[:70], 10, frequency_of(dates[:70])).tolist() == dates[70:].tolist()


@pytest.mark.parametrize("calendar", ["XNYS", "XLON", "XTKS"])
def test_holidays_of_an_exchange_are_no_gaps_and_a_session_is_one(calendar):
    dates = sessions("2008-01-01", "2011-12-31", calendar)
    found = frequency_of(dates)
    assert found.calendar == calendar
    assert len(missing_periods(dates, found)[1]) == 0
    kept = np.delete(dates, [100, 101])
    assert missing_periods(kept, frequency_of(kept))[1].tolist() == dates[[100, 101]].tolist()
    assert missing_periods(kept, frequency_of(kept, calendar))[1].tolist() == dates[[100, 101]].tolist()
    later = sessions("2012-01-01", "2012-01-31", calendar)
    assert next_dates(dates, len(later), found).tolist() == later.tolist()


def test_a_lone_missing_weekday_is_no_holiday_because_some_exchange_was_closed():
    dates = days("B", 500, "2000-01-03")
    kept = dates[dates != np.datetime64("2000-01-10")]  # closed in Tokyo
    assert missing_periods(kept, frequency_of(kept))[1].tolist() == [np.datetime64("2000-01-10").item()]


def test_holidays_of_the_bond_market_are_no_gaps():
    dates = sessions("2003-01-01", "2005-12-31")
    columbus_and_veterans = ["2003-10-13", "2003-11-11", "2004-10-11", "2004-11-11", "2005-10-10", "2005-11-11"]
    dates = np.setdiff1d(dates, np.array(columbus_and_veterans, dtype="datetime64[D]"))
    assert len(missing_periods(dates, frequency_of(dates))[1]) == 0


def test_days_listed_without_a_figure_are_no_gaps_unless_they_are_many_in_a_row():
    dates = days("B", 300)
    few, many = dates[100:103], dates[100:120]
    for blank, missing in ((few, 0), (many, 20)):
        kept = np.setdiff1d(dates, blank)
        assert len(missing_periods(kept, frequency_of(kept), blank)[1]) == missing


def test_before_the_calendars_begin_short_closures_are_holidays():
    dates = days("B", 300, "1955-01-03")
    kept = np.delete(dates, [20, 50, 51, 52, 53])
    assert len(missing_periods(kept, frequency_of(kept))[1]) == 0
    kept = np.delete(dates, np.arange(50, 55))
    assert len(missing_periods(kept, frequency_of(kept))[1]) == 5


def test_weeks_that_end_on_another_day_leave_none_out():
    dates = days("W-FRI", 60)
    dates[10] -= np.timedelta64(1, "D")  # Good Friday
    dates[20] -= np.timedelta64(4, "D")  # the exchange stayed shut
    assert len(missing_periods(dates, frequency_of(dates))[1]) == 0
    assert next_dates(dates[:11], 1, frequency_of(dates[:11])).tolist() == [dates[11].item()]


def test_a_calendar_is_of_daily_rows_on_its_sessions():
    with pytest.raises(InputError, match=r"expected daily rows with a calendar; found rows 31 days apart"):
        frequency_of(days("MS"), "XNYS")
    with pytest.raises(InputError, match=r"expected rows on sessions of XNYS; found 2001-02-19, when it was closed"):
        frequency_of(days("B"), "XNYS")
    assert frequency_of(days("D"), "24/7").calendar == "24/7"


@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_few_rows_are_no_gaps(n):
    dates = np.array(["2020-01-16", "2020-01-17", "2020-01-21", "2020-01-22", "2020-01-23", "2020-01-24"], "M8[D]")[:n]
    frequency = frequency_of(dates)
    assert len(missing_periods(dates, frequency)[1]) == 0
    assert (next_dates(dates, 3, frequency) > dates[-1]).all()


def test_period_names():
    day = np.array(["2001-08-15"], dtype="datetime64[D]")
    for frequency, name in (
        (Frequency("annual", "month", 12), "2001"),
        (Frequency("quarterly", "month", 3), "2001 Q3"),
        (Frequency("monthly", "month", 1), "2001-08"),
        (Frequency("weekly", "week", 1), "the week of 2001-08-13"),
        (Frequency("daily", "day", 1), "2001-08-15"),
    ):
        assert listed_periods(day, frequency) == name
