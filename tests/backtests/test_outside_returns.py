"""Checks of external returns: what is refused, how stamps become sessions, what is compounded."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from backtests.external_returns import align_returns, check_returns, session_dates
from signals.annualization import Periodicity
from signals.calendar import session_closes, sessions
from signals.common.errors import InputError

DAILY = Periodicity("daily", 252.0, "XNYS")


def days(calendar: str = "XNYS", first: str = "2016-01-04", last: str = "2016-12-30") -> pd.DatetimeIndex:
    return pd.DatetimeIndex(sessions(first, last, calendar).astype("datetime64[ns]"), tz="UTC", name="date")


def noise(index: pd.DatetimeIndex, seed: int = 0, scale: float = 0.01) -> pd.Series:
    return pd.Series(np.random.default_rng(seed).normal(0.0004, scale, len(index)), index=index, name="other")


# -- stamps ----------------------------------------------------------------------------------------------------------


def closes_of(calendar: str) -> pd.DatetimeIndex:
    index = days(calendar)
    return pd.DatetimeIndex(session_closes(index.tz_localize(None).to_numpy(), calendar), tz="UTC")


@pytest.mark.parametrize(
    ("stamps", "calendar"),
    [
        (days().tz_localize(None), "XNYS"),
        (days(), "XNYS"),
        (days().tz_localize(None).tz_localize("America/New_York"), "XNYS"),
        (days().tz_localize(None).tz_localize("Asia/Tokyo"), "XNYS"),
        (days().tz_localize(None).tz_localize("America/New_York").tz_convert("UTC"), "XNYS"),
        (days("XTKS").tz_localize(None).tz_localize("Asia/Tokyo").tz_convert("UTC"), "XTKS"),
        (days().tz_convert("America/New_York"), "XNYS"),
        (closes_of("XNYS"), "XNYS"),
        (closes_of("XLON").tz_convert("Europe/London"), "XLON"),
    ],
    ids=[
        *("naive", "UTC", "New York", "Tokyo", "of the exchange, in UTC", "of Tokyo, in UTC", "of UTC, in New York"),
        *("closes in UTC", "closes in London"),
    ],
)
def test_stamps_that_can_be_one_day_only(stamps, calendar):
    assert session_dates(stamps, calendar=calendar).equals(days(calendar))


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Tokyo", "Australia/Sydney"])
def test_midnights_of_another_zone_in_utc_are_refused_and_both_remedies_work(zone):
    moved = noise(days().tz_localize(None).tz_localize(zone).tz_convert("UTC"))
    with pytest.raises(InputError, match=r"at midnight; found .* call \.tz_convert\(zone\)"):
        check_returns(moved)
    assert check_returns(moved.tz_convert(zone)).index.equals(days())
    local = moved.set_axis(moved.index.tz_convert(zone).normalize())
    assert check_returns(local).index.equals(days())


@pytest.mark.parametrize("hour", [9, 16, 23])
def test_a_naive_time_of_day_is_refused(hour):
    late = noise(days().tz_localize(None) + pd.Timedelta(hours=hour))
    with pytest.raises(InputError, match=r"use index\.normalize\(\)"):
        check_returns(late)
    assert check_returns(late.set_axis(late.index.normalize())).index.equals(days())


# -- values ----------------------------------------------------------------------------------------------------------


def broken(kind: str) -> object:
    good = noise(days())
    if kind == "infinite":
        return good.where(np.arange(len(good)) != 50, np.inf)
    if kind == "a hole":
        return good.where(np.arange(len(good)) != 50, np.nan)
    if kind == "half-hours":
        return noise(pd.date_range("2016-01-04 09:30", periods=400, freq="30min"), scale=0.001)
    return {
        "prices": 80 * (1 + good).cumprod(),
        "wealth": (1 + good).cumprod(),
        "five prices": pd.Series([10.0, 11.0, 12.0, 11.0, 12.5], index=days()[:5]),
        "percent": 100 * good,
        "twice": pd.concat([good, good.iloc[[7]]]).sort_index(),
        "frame": good.to_frame(),
        "list": list(good),
        "text": good.astype(str),
        "flags": good > 0,
        "complex": good + 1j,
        "backwards": good[::-1],
        "undated": good.reset_index(drop=True),
        "periods": good.tz_localize(None).to_period("D"),
        "percent signs": good.map(lambda x: f"{100 * x:.6f} %"),
        "numbers as days": good.set_axis(good.index.strftime("%Y%m%d").astype(int)),
        "texts as days": good.set_axis(good.index.strftime("%Y-%m-%d")),
        "levels": pd.concat({"SPY": good}),
        "undated row": good.set_axis([*good.index[:-1], pd.NaT]),
    }[kind]


@pytest.mark.parametrize("of_account", [True, False])
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("prices", "looks like prices; use"),
        ("wealth", "looks like prices; use"),
        ("five prices", "looks like prices; use"),
        ("percent", "looks like percentages; divide by 100"),
        ("infinite", "found inf on 2016-03-16"),
        ("a hole", "found NaN on 2016-03-16"),
        ("twice", "found 2 on 2016-01-13"),
        ("half-hours", "found 29 on 2016-01-04"),
        ("frame", "found a DataFrame with 1 columns"),
        ("list", "found list"),
        ("text", "as numbers"),
        ("flags", "as numbers; found bool"),
        ("complex", "as numbers; found complex128"),
        ("backwards", "dates that go back"),
        ("undated", "int64"),
        ("periods", "to_timestamp"),
        ("percent signs", "as numbers; found"),
        ("numbers as days", "an index of int64"),
        ("texts as days", "an index of"),
        ("levels", "an index of object"),
        ("undated row", "found none in row 251"),
    ],
)
def test_what_is_no_series_of_returns_is_one_line(kind, words, of_account):
    with pytest.raises(InputError, match=words) as error:
        check_returns(broken(kind), what="benchmark returns", of_account=of_account)
    assert str(error.value).startswith("expected ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [
        ("prices", lambda s: s.pct_change().dropna()),
        ("percent", lambda s: s / 100),
        ("half-hours", lambda s: (1 + s).groupby(s.index.normalize()).prod() - 1),
        ("frame", lambda s: s.iloc[:, 0]),
        ("text", lambda s: s.astype(float)),
        ("backwards", lambda s: s.sort_index()),
        ("periods", lambda s: s.to_timestamp()),
        ("percent signs", lambda s: s.str.rstrip("% ").astype(float) / 100),
        ("numbers as days", lambda s: s.set_axis(pd.to_datetime(s.index.astype(str)))),
        ("texts as days", lambda s: s.set_axis(pd.to_datetime(s.index))),
        ("levels", lambda s: s.xs("SPY")),
    ],
)
def test_the_remedies_work(kind, remedy):
    corrected = check_returns(remedy(broken(kind)))
    assert len(corrected) > 5
    if kind not in ("half-hours", "periods"):
        np.testing.assert_allclose(corrected, noise(days()).reindex(corrected.index), rtol=0, atol=1e-7)


def test_returns_of_something_else_may_begin_and_end_unknown():
    other = noise(days())
    other.iloc[:3] = other.iloc[-2:] = np.nan
    assert check_returns(other, of_account=False).isna().sum() == 5
    with pytest.raises(InputError, match="found NaN on 2016-01-04"):
        check_returns(other)


@pytest.mark.parametrize("scale", [0.0001, 0.03, 0.08])
def test_calm_and_wild_returns_are_let_in(scale):
    assert len(check_returns(noise(days(), scale=scale))) == len(days())
    assert len(check_returns(pd.Series(0.0001, index=days()))) == len(days())  # interest


# -- alignment -------------------------------------------------------------------------------------------------------


def levels(other: pd.Series, own: pd.DatetimeIndex) -> pd.Series:
    """Reference: values of something at the account's dates, known from the day before its first return on."""
    wealth = (1 + other).cumprod()
    start = pd.Series([1.0], index=[other.index[0] - pd.Timedelta(days=1)])
    wealth = pd.concat([start, wealth])
    return wealth.reindex(wealth.index.union(own)).ffill().reindex(own).pct_change()


@pytest.mark.parametrize("theirs", ["XNYS", "XLON", "XTKS", "24/7"])
@pytest.mark.parametrize("ours", ["XNYS", "XLON", "XTKS", "24/7"])
def test_other_calendars_are_compounded_over_closed_sessions(ours, theirs):
    own = days(ours, "2016-03-01", "2016-09-30")
    other = noise(days(theirs))
    period = Periodicity("daily", 250.0, ours)
    found = align_returns(check_returns(other, of_account=False), own, period)
    assert found.index.equals(own)
    expected = levels(other, own)
    np.testing.assert_allclose(found.iloc[1:], expected.iloc[1:], rtol=0, atol=1e-14)
    if ours == theirs:
        assert found.equals(other.reindex(own))


@pytest.mark.parametrize(("rule", "frequency"), [("W", "weekly"), ("M", "monthly")])
def test_daily_returns_are_compounded_to_weeks_and_months(rule, frequency):
    index = days()
    own = pd.DatetimeIndex(index.to_series().groupby(index.tz_localize(None).to_period(rule)).last(), tz="UTC")[2:]
    other = noise(index)
    found = align_returns(other, own, Periodicity(frequency, 52.0))
    assert found.index.equals(own)
    whole = (1 + other[other.index <= own[-1]]).prod() / (1 + other[other.index < own[0]]).prod()
    before = other[
        (other.index > own[0] - pd.Timedelta(days=7 if rule == "W" else own[0].day)) & (other.index < own[0])
    ]
    assert (1 + found).prod() == pytest.approx(whole * (1 + before).prod())


def by_period(rule: str, stamp: str) -> pd.Series:
    """Returns of whole weeks or months of New York, dated in one of the ways that people date them."""
    daily = noise(days())
    weeks = daily.index.tz_localize(None).to_period(rule)
    made = (1 + daily).groupby(weeks).prod() - 1
    sessions_of = daily.index.to_series().groupby(weeks)
    stamps = {
        "last session": pd.DatetimeIndex(sessions_of.last()).tz_localize(None),
        "last day": made.index.to_timestamp(how="end").normalize(),
        "first day": made.index.to_timestamp(how="start"),
        "first session": pd.DatetimeIndex(sessions_of.first()).tz_localize(None),
        "Friday": made.index.to_timestamp(how="start") + pd.Timedelta(days=4),
    }
    return made.set_axis(stamps[stamp].tz_localize("UTC").as_unit("ns").rename("date"))


@pytest.mark.parametrize(
    ("rule", "frequency", "theirs"),
    [
        *(("W", "weekly", stamp) for stamp in ("last session", "last day", "first day", "first session", "Friday")),
        *(("M", "monthly", stamp) for stamp in ("last session", "last day", "first day", "first session")),
    ],
)
@pytest.mark.parametrize("ours", ["last session", "last day"])
def test_weeks_and_months_go_together_however_they_are_dated(rule, frequency, theirs, ours):
    own = by_period(rule, ours)
    other = align_returns(by_period(rule, theirs), own.index, Periodicity(frequency, 52.0 if rule == "W" else 12.0))
    assert other.index.equals(own.index)
    np.testing.assert_array_equal(other, own)


def test_weeks_of_other_days_are_refused():
    own = by_period("W", "Friday")
    other = own.set_axis(own.index - pd.Timedelta(days=2))
    with pytest.raises(InputError, match="found Wednesdays for account weeks that end on Fridays; give daily returns"):
        align_returns(other, own.index, Periodicity("weekly", 52.0))


@pytest.mark.parametrize("rule", ["W", "M"])
def test_rarer_returns_than_those_of_the_account_are_refused(rule):
    index = days()
    rare = (1 + noise(index)).groupby(index.tz_localize(None).to_period(rule)).prod() - 1
    rare.index = pd.DatetimeIndex(index.to_series().groupby(index.tz_localize(None).to_period(rule)).last())
    with pytest.raises(InputError, match=r"expected daily returns of X, .*found (weekly|monthly) ones"):
        align_returns(rare, index, DAILY, what="returns of X")


def test_a_few_dates_without_some_sessions_are_refused_with_their_number():
    index = days()[:7]
    some = noise(index).iloc[[0, 1, 3, 4, 6]]
    some.index = some.index.tz_localize(None)
    with pytest.raises(InputError, match="found dates without 2 of 7 sessions"):
        align_returns(some, index, DAILY, what="returns of X")


def test_irregular_dates_are_refused():
    with pytest.raises(InputError, match="found dates usually 5 days apart"):
        align_returns(noise(days())[::3], days(), DAILY)


def test_only_the_common_span_is_left():
    own, other = days(), noise(days())
    assert align_returns(other.iloc[40:-30], own, DAILY).index.equals(own[40:-30])
    assert align_returns(other, own[40:-30], DAILY).index.equals(own[40:-30])
    assert align_returns(noise(days(first="2018-01-02", last="2018-06-29")), own, DAILY).empty


def test_a_first_value_counts_from_its_own_date_on():
    own = days()
    other = noise(own)
    other.iloc[40] = np.nan  # as pct_change leaves it
    found = align_returns(other.iloc[40:], own, DAILY)
    assert found.index.equals(own[41:])


@pytest.mark.parametrize("theirs", ["XNYS", "XLON", "XTKS", "24/7"])
def test_a_weekend_after_the_last_return_is_covered_where_the_exchange_is_closed_then(theirs):
    own = days("24/7", "2016-03-01", "2016-09-11")  # a Sunday
    other = noise(days(theirs, "2016-02-01", "2016-09-09"))
    found = align_returns(other, own, Periodicity("daily", 365.0, "24/7"))
    assert found.index.equals(own if theirs != "24/7" else own[:-2])
    if theirs != "24/7":
        assert found.iloc[-2:].tolist() == [0.0, 0.0]
        assert align_returns(other, days("24/7", "2016-03-01", "2016-09-12"), DAILY).index.equals(own)


def test_what_is_bought_at_the_first_close_earns_nothing_on_that_session():
    own = days()[60:]
    other = noise(days())
    found = align_returns(other, own, DAILY, bought_at_first_close=True)
    assert found.index.equals(own)
    assert found.iloc[0] == 0.0
    assert found.iloc[1:].equals(other.reindex(own).iloc[1:])
    later = align_returns(other[own[3] :], own, DAILY, bought_at_first_close=True)
    assert later.equals(other.reindex(own[3:]))
