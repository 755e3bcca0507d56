from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signals.calendar import session_closes, sessions
from signals.common.errors import InputError
from signals.reference.macro_series import REVISED, MacroTable, read_macro


def moments(*texts):
    return np.array(texts, dtype="datetime64[ns]")


def write(path, text):
    path.write_text(text)
    return path


def refused(path, words, **options):
    with pytest.raises(InputError, match="expected ") as caught:
        read_macro(path, **options)
    line = str(caught.value)
    assert "\n" not in line
    assert "; found " in line
    assert words in line
    return line


@pytest.fixture
def monthly(tmp_path):
    return write(
        tmp_path / "fred.csv",
        "observation_date,UMCSENT,INDPRO\n"
        "2020-01-01,99.8,101.5\n2020-02-01,101.0,101.7\n2020-03-01,89.1,.\n2020-04-01,71.8,84.2\n",
    )


def available(table, series):
    rows = table.observations[table.observations["series"] == series]
    return dict(
        zip(rows["period"].dt.strftime("%Y-%m-%d"), rows["available_at"].dt.strftime("%Y-%m-%d %H:%M"), strict=True)
    )


# -- when a figure was known -----------------------------------------------------------------------------------------


def test_a_figure_is_known_a_lag_after_the_end_of_its_period(monthly):
    table = read_macro(monthly, publication_lag="15D")
    assert table.names == ("INDPRO", "UMCSENT")
    assert available(table, "UMCSENT") == {
        "2020-01-01": "2020-02-16 00:00",
        "2020-02-01": "2020-03-16 00:00",
        "2020-03-01": "2020-04-16 00:00",
        "2020-04-01": "2020-05-16 00:00",
    }
    assert table.observations["available_at"].is_monotonic_increasing
    assert {str(t) for t in table.observations.dtypes} == {"object", "datetime64[ns]", "float64"}
    # the close of 14 February, and of 18 February: the 17th is a holiday
    known = table.as_of("UMCSENT", session_closes(np.array(["2020-02-14", "2020-02-18"], "datetime64[D]")))
    np.testing.assert_array_equal(known, [np.nan, 99.8])


def test_to_the_nanosecond(monthly):
    table = read_macro(monthly, publication_lag="15D")
    at = moments("2020-03-15T23:59:59.999999999", "2020-03-16T00:00:00")
    assert table.as_of("UMCSENT", at).tolist() == [99.8, 101.0]
    assert table.as_of("UMCSENT", at[::-1]).tolist() == [101.0, 99.8]
    assert table.as_of("UMCSENT", at, lag=1).tolist()[1] == 99.8
    assert np.isnan(table.as_of("UMCSENT", at, lag=1)[0])
    assert table.as_of("UMCSENT", at[:0]).tolist() == []


def test_missing_figures_keep_their_period_in_lags(monthly):
    table = read_macro(monthly, publication_lag="0D")
    at = moments("2020-04-15", "2020-05-15")
    assert table.as_of("INDPRO", at).tolist() == [101.7, 84.2]
    # a month before April is March, of which there is no figure
    assert np.isnan(table.as_of("INDPRO", at, lag=1)[1])
    assert table.as_of("INDPRO", at, lag=2).tolist()[1] == 101.7
    assert table.as_of("INDPRO", at, lag=1).tolist()[0] == 101.5


def test_lags_by_series(monthly):
    table = read_macro(monthly, publication_lag={"UMCSENT": "0D", "INDPRO": "1M"})
    assert available(table, "UMCSENT")["2020-01-01"] == "2020-02-01 00:00"
    assert available(table, "INDPRO")["2020-01-01"] == "2020-03-01 00:00"
    only = read_macro(monthly, publication_lag={"UMCSENT": "0D"})
    assert only.names == ("UMCSENT",)
    assert any("1 series ignored" in note for note in only.warnings)
    assert read_macro(monthly, publication_lag="2W", series=["INDPRO"]).names == ("INDPRO",)


def test_there_is_no_lag_by_default(monthly):
    assert "too early" in refused(monthly, 'lag like "45D"')


@pytest.mark.parametrize(
    ("dates", "first_end", "second_end"),
    [
        (["2020-01-01", "2020-02-01"], "2020-02-01", "2020-03-01"),
        (["2020-01-31", "2020-02-29"], "2020-02-01", "2020-03-01"),  # dated by the last day
        (["2020-01-01", "2020-04-01"], "2020-04-01", "2020-07-01"),
        (["2019-01-01", "2020-01-01"], "2020-01-01", "2021-01-01"),
        (["2020-01-04", "2020-01-11"], "2020-01-11", "2020-01-18"),
        (["2020-01-03", "2020-01-06"], "2020-01-04", "2020-01-07"),  # Friday, Monday
    ],
)
def test_length_of_a_period_is_inferred_from_the_dates(tmp_path, dates, first_end, second_end):
    path = write(tmp_path / "x.csv", f"DATE,X\n{dates[0]},1\n{dates[1]},2\n")
    assert [v[:10] for v in available(read_macro(path, publication_lag="0D"), "X").values()] == [first_end, second_end]


def test_the_length_of_a_period_can_be_given_and_dates_can_be_ends(tmp_path):
    path = write(tmp_path / "x.csv", "DATE,X\n2020-01-01,1\n2020-02-01,2\n")
    assert (
        available(read_macro(path, publication_lag="0D", frequency="quarterly"), "X")["2020-01-01"]
        == "2020-04-01 00:00"
    )
    assert (
        available(read_macro(path, publication_lag="0D", frequency={"X": "annual"}), "X")["2020-01-01"]
        == "2021-01-01 00:00"
    )
    weekly = write(tmp_path / "w.csv", "DATE,X\n2020-01-04,1\n2020-01-11,2\n")
    assert available(read_macro(weekly, publication_lag="5D", dates="end"), "X")["2020-01-04"] == "2020-01-10 00:00"
    assert "choose one" in refused(path, "frequency", publication_lag="0D", frequency="fortnightly")
    assert "choose one" in refused(path, "dates", publication_lag="0D", dates="middle")
    single = write(tmp_path / "s.csv", "DATE,X\n2020-01-01,1\n")
    assert "set frequency" in refused(single, "two dates of X", publication_lag="0D")
    assert len(read_macro(single, publication_lag="0D", frequency="monthly").observations) == 1


def test_change_to_monthly_figures_changes_no_earlier_value(tmp_path):
    # as UMCSENT did in 1978
    quarters = [f"{year}-{month:02d}-01" for year in (1976, 1977) for month in (2, 5, 8, 11)]
    months = [f"1978-{month:02d}-01" for month in range(1, 13)]
    lines = [f"{day},{place}.5" for place, day in enumerate(quarters + months)]
    at = moments(*[f"{year}-{month:02d}-20" for year in (1976, 1977, 1978, 1979) for month in range(1, 13)])
    whole = read_macro(write(tmp_path / "whole.csv", "\n".join(["DATE,X", *lines])), publication_lag="10D")
    for rows in range(2, len(lines)):
        cut = read_macro(write(tmp_path / "cut.csv", "\n".join(["DATE,X", *lines[:rows]])), publication_lag="10D")
        until = cut.observations["available_at"].max()
        early = at[at <= until.to_numpy()]
        for lag in (0, 1, 4, 12):
            assert cut.as_of("X", early, lag=lag).tobytes() == whole.as_of("X", early, lag=lag).tobytes(), (rows, lag)
    assert whole.as_of("X", moments("1977-06-20"), lag=4)[0] == 0.5


# -- vintages --------------------------------------------------------------------------------------------------------

LONG = """series,date,value,available_at
GDP,2020-01-01,21.5,2020-04-29 12:30
GDP,2020-01-01,21.4,2020-05-28 12:30
GDP,2020-04-01,19.4,2020-07-30 12:30
GDP,2020-01-01,21.6,2020-07-30 12:30
U,2020-03-01,4.4,2020-04-03T12:30:00Z
U,2020-04-01,14.7,2020-05-08T08:30:00-04:00
"""


def test_vintages_are_point_in_time(tmp_path):
    table = read_macro(write(tmp_path / "long.csv", LONG))
    at = moments("2020-04-29T12:29", "2020-04-29T12:30", "2020-06-01", "2020-08-01")
    np.testing.assert_array_equal(table.as_of("GDP", at), [np.nan, 21.5, 21.4, 19.4])
    np.testing.assert_array_equal(table.as_of("GDP", at, lag=1), [np.nan, np.nan, np.nan, 21.6])
    assert table.as_of("U", moments("2020-05-08T12:29", "2020-05-08T12:30")).tolist() == [4.4, 14.7]
    assert REVISED not in table.warnings
    assert "GDP, U" in repr(table)
    # a late revision of an old period is not the latest period
    late = LONG + "GDP,2019-10-01,21.7,2020-09-01 12:30\n"
    assert read_macro(write(tmp_path / "late.csv", late)).as_of("GDP", moments("2020-09-02"))[0] == 19.4
    # vintages of a single series need no name
    alone = "\n".join(line.partition(",")[2] for line in LONG.splitlines()[:5])
    assert read_macro(write(tmp_path / "GDP.csv", alone)).as_of("GDP", at[1:2])[0] == 21.5


def test_a_publication_day_without_a_time_counts_from_its_end(tmp_path):
    path = write(tmp_path / "x.csv", "series,date,value,realtime_start\nX,2020-01-01,1,2020-02-14\n")
    table = read_macro(path)
    np.testing.assert_array_equal(table.as_of("X", moments("2020-02-14T21:00", "2020-02-15")), [np.nan, 1.0])
    assert any("end of that day" in note for note in table.warnings)
    frame = pd.DataFrame(
        {"series": ["X", "X"], "date": pd.to_datetime(["2020-01-01", "2020-02-01"]), "value": [1, 2.0]}
    )
    for column in (
        pd.to_datetime(["2020-02-14 00:00", "2020-03-13 12:30"]),
        pd.to_datetime(["2020-02-15 00:00", "2020-03-13 12:30"]).tz_localize("UTC"),
        pd.to_datetime(["2020-02-14 19:00", "2020-03-13 08:30"]).tz_localize("America/New_York"),
    ):
        frame["available_at"] = column
        frame.to_parquet(tmp_path / "x.parquet")
        found = read_macro(tmp_path / "x.parquet").observations["available_at"]
        assert found.dt.strftime("%m-%d %H:%M").tolist() == ["02-15 00:00", "03-13 12:30"]


def test_alfred_s_columns_are_vintages(tmp_path):
    path = write(
        tmp_path / "alfred.csv",
        "observation_date,GDP_20200429,GDP_20200528,GDP_20200730\n2019-10-01,21.7,21.7,21.7\n2020-01-01,21.5,21.4,21.5\n"
        "2020-04-01,.,.,19.4\n",
    )
    table = read_macro(path)
    assert table.names == ("GDP",)
    assert len(table.observations) == 5  # what did not change is no vintage
    at = moments("2020-04-29T21:00", "2020-04-30", "2020-05-29", "2020-07-31")
    np.testing.assert_array_equal(table.as_of("GDP", at), [np.nan, 21.5, 21.4, 19.4])
    np.testing.assert_array_equal(table.as_of("GDP", at, lag=1), [np.nan, 21.7, 21.7, 21.5])
    refused(path, "drop the lag", publication_lag="45D")


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(st.integers(0, 11), st.integers(0, 400), st.floats(-9, 9)), min_size=1, max_size=40),
    lag=st.integers(0, 4),
    cut=st.integers(0, 500),
)
def test_as_of_ignores_later_publications(rows, lag, cut):
    rows = list({(month, day): (month, day, value) for month, day, value in rows}.values())
    frame = pd.DataFrame(rows, columns=["month", "day", "value"])
    frame["period"] = (np.datetime64("2020-01", "M") + frame.pop("month").to_numpy() * np.timedelta64(1, "M")).astype(
        "datetime64[ns]"
    )
    frame["available_at"] = np.datetime64("2020-01-01", "ns") + frame.pop("day").to_numpy() * np.timedelta64(1, "D")
    frame.insert(0, "series", "X")
    frame = frame.sort_values(["available_at", "period"], ignore_index=True)
    table = MacroTable(frame, ("X",))
    at = np.datetime64("2020-01-01", "ns") + np.arange(0, 430, 7) * np.timedelta64(1, "D")
    found = table.as_of("X", at, lag=lag)
    for moment, value in zip(at, found, strict=True):
        known = frame[frame["available_at"] <= moment].groupby("period")["value"].last()
        step = np.diff(known.index.to_numpy().astype("datetime64[M]").astype(int)).min() if len(known) > 1 else 1
        if not len(known) or (lag and len(known) == 1):
            expected = np.nan
        else:
            latest = known.index[-1].to_numpy().astype("datetime64[M]")
            period = latest - lag * step * np.timedelta64(1, "M")
            expected = known.get(pd.Timestamp(period.astype("datetime64[ns]")), np.nan)
        np.testing.assert_equal(value, expected)
    until = np.datetime64("2020-01-01", "ns") + cut * np.timedelta64(1, "D")
    poisoned = frame.assign(value=np.where(frame["available_at"] > until, 1e9, frame["value"]))
    cut_off = frame[(frame["available_at"] <= until).to_numpy()]
    early = at[at <= until]
    for other in (poisoned, cut_off):
        assert MacroTable(other, ("X",)).as_of("X", early, lag=lag).tobytes() == found[: len(early)].tobytes()


def test_as_of_refuses(monthly):
    table = read_macro(monthly, publication_lag="0D")
    with pytest.raises(InputError, match="close: UMCSENT"):
        table.as_of("UMCSEN", moments("2020-01-01"))
    with pytest.raises(InputError, match="later periods are unknown"):
        table.as_of("UMCSENT", moments("2020-01-01"), lag=-1)
    with pytest.raises(InputError, match="NaT"):
        table.as_of("UMCSENT", moments("NaT"))


# -- layouts and malformed files -------------------------------------------------------------------------------------


def test_fred_md(tmp_path):
    text = (
        "sasdate,RPI,INDPRO\nTransform:,5,5.0\n1/1/1959,2442.158,21.9665\n2/1/1959,2451.778,22.3966\n"
        "3/1/1959,2467.594,\n,,\n"
    )
    path = tmp_path / "md.csv.gz"
    path.write_bytes(gzip.compress(text.encode()))
    table = read_macro(path, publication_lag="45D")
    assert available(table, "RPI") == {
        "1959-01-01": "1959-03-18 00:00",
        "1959-02-01": "1959-04-15 00:00",
        "1959-03-01": "1959-05-16 00:00",
    }
    assert len(table.observations) == 5
    assert any("transformation codes are not applied" in note for note in table.warnings)
    assert REVISED in table.warnings
    assert set(table.files) == {"md.csv.gz"}


@pytest.mark.parametrize(
    ("text", "words", "options"),
    [
        ("", "header", {}),
        ("observation_date,X\n", "no rows", {}),
        ("sasdate,X\nTransform:,5\n", "no rows but codes", {}),
        ("when,X\n2020-01-01,1\n", "observation_date, sasdate or date", {}),
        ("DATE\n2020-01-01\n", "columns of series", {}),
        ("DATE,X\n01/02/2020,1\n", "'01/02/2020'", {}),
        ("sasdate,X\n13/1/2020,1\n", "2020-13-01", {}),
        ("DATE,X\n2020-01-01,abc\n", "'abc' in row 1", {}),
        ("DATE,X\n2020-01-01,1_000\n2020-02-01,1\n", "'1_000'", {}),
        ("DATE,X\n2020-01-01,1e999\n2020-02-01,1\n", "inf", {}),
        ("DATE,X\n2020-01-01,TRUE\n", "True", {}),
        ("DATE,X\n2020-01-01,1\n2020-01-01,2\n", "two of X for 2020-01-01", {"frequency": "monthly"}),
        ("DATE,X\n2020-01-01,.\n2020-02-01,.\n", "figures of X", {}),
        ("DATE,X,X\n2020-01-01,1,2\n", "'X' twice", {}),
        ("DATE,date,X\n2020-01-01,2020-01-01,1\n", "one column date", {}),
        ("DATE,X\n2020-01-01,1,2\n", "2 values in every line", {}),
        ("DATE,X\n,1\n2020-01-01,2\n", "found '' in row 1", {}),
        ("DATE,X\n2020-01-01,1\n2020-02-01,2\n", "like 45D", {"publication_lag": "-45D"}),
        ("DATE,X\n2020-01-01,1\n2020-02-01,2\n", "like 45D", {"publication_lag": 45}),
        ("DATE,X\n2020-01-01,1\n2020-02-01,2\n", "shorten it", {"publication_lag": "99999Y"}),
        ("DATE,XYZ\n2020-01-01,1\n2020-02-01,2\n", "close: XYZ", {"series": ["XYS"]}),
        ("DATE,X\n2020-01-01,1\n2020-02-01,2\n", "use a list", {"series": "X"}),
        ("DATE,X\n2020-01-01,1\n2020-02-01,2\n", "found 'Y'", {"publication_lag": {"Y": "1M"}}),
        (
            "DATE,X,Y\n2020-01-01,1,1\n2020-02-01,2,2\n",
            "none for Y",
            {"publication_lag": {"X": "1M"}, "series": ["X", "Y"]},
        ),
        ("series,date\nX,2020-01-01\n", "a column value", {}),
        ("series,date,value\nX,2020-01-01,1\n,2020-02-01,1\n", "a series in every row", {}),
        ("date,value,available_at\n2020-01-01,1,soon\n", "'soon' in row 1", {"publication_lag": None}),
        ("date,value,available_at\n2020-01-01,1,\n", "publication date in every row", {"publication_lag": None}),
        ("date,value,available_at\n2020-01-01,1,9999-01-01\n", "9999", {"publication_lag": None}),
        ("date,value,available_at\n2020-01-01,1,2020-02-30\n", "2020-02-30", {"publication_lag": None}),
        ("DATE,X_20201350\n2020-01-01,1\n", "SERIES_YYYYMMDD", {"publication_lag": None}),
    ],
)
def test_malformed_files_are_one_line(tmp_path, text, words, options):
    refused(write(tmp_path / "x.csv", text), words, **{"publication_lag": "45D", **options})


def test_invalid_files_are_refused(tmp_path):
    refused(tmp_path / "none.csv", "found none", publication_lag="45D")
    refused(write(tmp_path / "x.xlsx", "x"), "x.xlsx", publication_lag="45D")
    (tmp_path / "y.csv").write_bytes(b"DATE,X\n2020-01-01,\xff\n")
    refused(tmp_path / "y.csv", "UTF-8", publication_lag="45D")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_text_is_a_table_or_one_line(tmp_path, data):
    cell = st.sampled_from(
        ["DATE", "observation_date", "sasdate", "value", "series", "available_at", "X", "X_20200101", "2020-01-01",
         "1/1/2020", "2020-02-01T12:30Z", "", ".", "1.5", "1e400", "NA", "Transform:", "\x00", '"', "NaN", "2020-13-01"]
    )  # fmt: skip
    rows = data.draw(st.lists(st.lists(cell, min_size=1, max_size=4), max_size=6))
    text = data.draw(st.sampled_from([",", ";", "\t"])).join
    path = tmp_path / "x.csv"
    path.write_bytes("\n".join(text(row) for row in rows).encode(data.draw(st.sampled_from(["utf-8", "utf-16"]))))
    line = ""
    try:
        table = read_macro(path, publication_lag=data.draw(st.sampled_from([None, "45D"])))
        assert len(table.observations)
    except InputError as error:
        line = str(error)
    assert "\n" not in line


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200), suffix=st.sampled_from([".csv", ".csv.gz", ".parquet", ".txt"]))
def test_any_bytes_are_one_line(tmp_path, content, suffix):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    line = ""
    try:
        read_macro(path, publication_lag="45D")
    except InputError as error:
        line = str(error)
    assert "\n" not in line


# -- real data -------------------------------------------------------------------------------------------------------


def test_real_series_against_pandas(shared_data):
    path = shared_data / "us-macro-monthly" / "sentiment_ip_1978_2019.csv"
    lags = {"UMCSENT": "0D", "IPGMFN": "45D"}
    table = read_macro(path, publication_lag=lags)
    raw = pd.read_csv(path, index_col="date", parse_dates=True)
    assert raw.loc["1980-01":"1980-03", "UMCSENT"].tolist() == [67.0, 66.9, 56.5]
    closes = session_closes(sessions("1980-01-01", "2019-03-31"))
    for name, lag in lags.items():
        series = raw[name]
        series.index = series.index + pd.offsets.MonthBegin(1) + pd.Timedelta(lag)
        for k in (0, 1, 12):
            expected = series.shift(k).reindex(pd.DatetimeIndex(closes), method="ffill").to_numpy()
            assert table.as_of(name, closes, lag=k).tobytes() == expected.tobytes()
    # the figure for January 1980 was known in February, with the close of its first session
    at = session_closes(np.array(["1980-01-31", "1980-02-01"], "datetime64[D]"))
    assert table.as_of("UMCSENT", at).tolist() == [raw.loc["1979-12-01", "UMCSENT"], 67.0]


def test_real_fred_md(shared_data):
    path = shared_data / "us-macro-monthly" / "fred_md_vintage_2023_to_2019.csv.gz"
    table = read_macro(path, publication_lag="45D", series=["INDPRO", "UMCSENTx", "FEDFUNDS"])
    assert table.names == ("FEDFUNDS", "INDPRO", "UMCSENTx")
    assert any("124 series ignored" in note for note in table.warnings)
    other = read_macro(shared_data / "us-macro-monthly" / "sentiment_ip_1978_2019.csv", publication_lag="45D")
    at = session_closes(sessions("1985-01-01", "2018-12-31"))
    for name, same in (("INDPRO", "INDPRO"), ("UMCSENTx", "UMCSENT")):
        assert table.as_of(name, at).tobytes() == other.as_of(same, at).tobytes()
    whole = read_macro(path, publication_lag="45D")
    assert len(whole.names) == 127
    assert whole.as_of("INDPRO", at).tobytes() == table.as_of("INDPRO", at).tobytes()
    refused(path, "too early")


# -- what is missing ---------------------------------------------------------------------------------------------------


GAPS = {
    "MS": ("monthly", "2001-09", "changes from or to these periods are not known"),
    "QS": ("quarterly", "2006 Q1", "changes from or to these periods are not known"),
    "W-FRI": ("weekly", "the week of 2000-05-22", "changes count figures, over longer times there"),
    "B": ("daily", "2000-01-31", "changes count figures, over longer times there"),
    "YS": ("annual", "2021", "changes from or to these periods are not known"),
}


@pytest.mark.parametrize("freq", GAPS)
def test_periods_without_a_figure_give_a_warning(tmp_path, freq):
    dates = pd.date_range("2000-01-03", periods=60, freq=freq)
    frame = pd.DataFrame({"observation_date": dates, "X": np.arange(60.0), "Y": 1.0})
    frame.loc[20, "X"] = np.nan
    frame.to_csv(tmp_path / "x.csv", index=False)
    table = read_macro(tmp_path / "x.csv", publication_lag="1D")
    (note,) = [note for note in table.warnings if note != REVISED]
    name, _, change = GAPS[freq]
    period = pd.Period(dates[20], "M") if freq == "MS" else None
    assert note.startswith(f"x.csv: X ({name}) has no figure for 1 of 60 periods, ")
    assert note.endswith(change)
    assert period is None or str(period) in note


@pytest.mark.parametrize("kind", ["unnamed", "Unnamed: 0", "index", "parquet"])
def test_columns_that_number_the_rows_are_no_series(tmp_path, kind):
    frame = pd.DataFrame({"observation_date": pd.date_range("2000-01-01", periods=30, freq="MS"), "X": 1.0})
    path = tmp_path / ("x.parquet" if kind == "parquet" else "x.csv")
    if kind == "parquet":
        frame[frame.index >= 4].to_parquet(path)
    elif kind == "index":
        frame.reset_index().to_csv(path, index=False)
    else:
        frame.to_csv(path, index_label=None if kind == "unnamed" else kind)
    assert read_macro(path, publication_lag="1M").names == ("X",)


def test_headers_of_two_lines_are_read(tmp_path):
    index = pd.DatetimeIndex(sessions("2020-01-02", "2020-02-28"), name="Date")
    columns = pd.MultiIndex.from_product([["Close"], ["^VIX", "^TNX"]], names=["Price", "Ticker"])
    pd.DataFrame(np.ones((len(index), 2)), index, columns).to_csv(tmp_path / "x.csv")
    assert read_macro(tmp_path / "x.csv", publication_lag="1D").names == ("^TNX", "^VIX")
