"""Sessions a year by calendar, and recognition of frequencies from dates."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from signals.annualization import Periodicity, frequency_of, periodicity_of, sessions_per_year
from signals.calendar import sessions
from signals.common.errors import InputError

CALENDARS = ("XNYS", "XLON", "XTKS", "XSHG", "24/7")


def dates(calendar: str, rule: str = "D", first: str = "2013-01-01", last: str = "2016-12-31") -> pd.DatetimeIndex:
    days = pd.DatetimeIndex(sessions(first, last, calendar).astype("datetime64[ns]"))
    return days if rule == "D" else pd.DatetimeIndex(days.to_series().groupby(days.to_period(rule)).last())


@pytest.mark.parametrize("name", ["XNYS", "NYSE", "XNAS", "ARCX"])
def test_new_york_has_252_sessions_under_all_its_names(name):
    assert sessions_per_year(name) == 252.0


@pytest.mark.parametrize("calendar", ["XLON", "XTKS", "XSHG"])
def test_other_calendars_have_their_mean_of_ten_years(calendar):
    counts = [len(sessions(f"{year}-01-01", f"{year}-12-31", calendar)) for year in range(2010, 2020)]
    assert sessions_per_year(calendar) == pytest.approx(np.mean(counts))


def test_every_day_is_365_though_ten_years_have_leap_days():
    assert sessions_per_year("24/7") == 365.0


def test_calendar_that_begins_later_is_counted_over_the_years_it_covers():
    assert 245 < sessions_per_year("XSAU") < 252


def test_an_unknown_calendar_names_close_ones():
    with pytest.raises(InputError, match="XNYS"):
        sessions_per_year("XNYC")


@pytest.mark.parametrize("calendar", CALENDARS)
@pytest.mark.parametrize(("rule", "frequency", "year"), [("W", "weekly", 52.0), ("M", "monthly", 12.0)])
def test_weeks_and_months_are_recognised_on_every_calendar(calendar, rule, frequency, year):
    for stated in (None, calendar):
        found = periodicity_of(dates(calendar, rule), calendar=stated)
        assert (found.frequency, found.periods_per_year) == (frequency, year)


@pytest.mark.parametrize("calendar", CALENDARS)
def test_daily_dates_on_a_stated_calendar(calendar):
    found = periodicity_of(dates(calendar), calendar=calendar)
    assert found == Periodicity("daily", sessions_per_year(calendar), calendar)


@pytest.mark.parametrize(
    ("index", "calendar"),
    [
        (dates("XNYS"), "XNYS"),
        (dates("XNYS")[:1], "XNYS"),
        (pd.bdate_range("2015-01-02", periods=300), "XNYS"),
        (pd.bdate_range("2015-01-02", periods=600).delete(np.arange(200, 330)), "XNYS"),
        (pd.date_range("2015-01-02", periods=300, tz="UTC"), "24/7"),
        (pd.date_range("2015-01-02", periods=300).delete([40, 200]), "24/7"),
    ],
    ids=["sessions", "one date", "weekdays", "weekdays with a long pause", "every day", "two days missing"],
)
def test_calendar_is_recognised_from_dates_alone(index, calendar):
    assert periodicity_of(index).calendar == calendar


@pytest.mark.parametrize("calendar", ["XLON", "XTKS", "XSHG"])
def test_sessions_of_another_exchange_require_its_calendar_and_the_remedy_works(calendar):
    with pytest.raises(InputError, match="give calendar") as error:
        periodicity_of(dates(calendar))
    assert "\n" not in str(error.value)
    assert periodicity_of(dates(calendar), calendar=calendar).calendar == calendar
    assert periodicity_of(dates(calendar), periods_per_year=245).periods_per_year == 245.0


@pytest.mark.parametrize(
    "index",
    [dates("XNYS")[::3], dates("XNYS", "Q"), dates("24/7")[::3], pd.bdate_range("2015-01-01", periods=90)[::2]],
    ids=["every third session", "quarters", "every third day", "every second weekday"],
)
def test_other_frequencies_are_refused_unless_the_periods_are_given(index):
    assert frequency_of(index) is None
    with pytest.raises(InputError, match="give periods_per_year"):
        periodicity_of(index)
    assert periodicity_of(index, periods_per_year=4) == Periodicity("other", 4.0)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), True, "252"])
def test_periods_a_year_are_a_number_above_zero(value):
    with pytest.raises(InputError, match="periods_per_year"):
        periodicity_of(dates("XNYS"), periods_per_year=value)


@pytest.mark.parametrize(
    ("period", "half"),
    [
        (Periodicity("daily", 252.0, "XNYS"), 126),
        (Periodicity("daily", 365.0, "24/7"), 182),
        (Periodicity("daily", 244.9, "XTKS"), 122),
        (Periodicity("weekly", 52.0), 26),
        (Periodicity("monthly", 12.0), 6),
    ],
)
def test_windows_in_months_follow_the_table(period, half):
    assert period.periods(6) == half
