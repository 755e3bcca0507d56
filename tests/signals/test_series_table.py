"""Tables of series: which files are accepted, and transforms."""

from __future__ import annotations

import gzip
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signals.calendar import sessions
from signals.common.errors import InputError
from signals.forecasting.series_table import SeriesTable, read_series
from signals.forecasting.simulated_series import simulated_series

TEXT = "date,a,b\n2020-01-01,1,10\n2020-02-01,2,20\n2020-03-01,4,40\n"


@pytest.fixture
def write(tmp_path):
    def made(text, name="series.csv"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return made


def months(n):
    return (np.datetime64("2020-01") + np.arange(n).astype("timedelta64[M]")).astype("datetime64[D]")


def test_csv_gzip_and_parquet_give_the_same_table(write, tmp_path):
    path = write(TEXT)
    zipped = tmp_path / "series.csv.gz"
    zipped.write_bytes(gzip.compress(TEXT.encode()))
    parquet = tmp_path / "series.parquet"
    pd.read_csv(path, parse_dates=["date"]).to_parquet(parquet)
    for one in (path, zipped, parquet):
        table = read_series(one)
        assert table.names == ("a", "b")
        assert table.dates.tolist() == months(3).tolist()
        assert table.values.tolist() == [[1, 10], [2, 20], [4, 40]]
        assert table.digest() == read_series(path).digest()
        assert table.source == one.name


def test_columns_keep_their_order_and_start_and_end_are_inclusive(write):
    table = read_series(
        write(TEXT), ["b", "a"], start="2020-02-01", end="2020-03-01", vintage_note="v", publication_note="r"
    )
    assert table.names == ("b", "a")
    assert table.values.tolist() == [[20, 2], [40, 4]]
    assert (table.vintage_note, table.publication_note) == ("v", "r")


def test_date_column_may_have_another_name(write):
    assert read_series(write(TEXT.replace("date", "when")), date="when").names == ("a", "b")
    assert read_series(write(TEXT.replace("date", "Date"))).names == ("a", "b")


@pytest.mark.parametrize(
    ("text", "more", "said"),
    [
        (TEXT.replace("20\n", "\n"), {}, "expected a figure of b on 2020-02-01; found nan"),
        (TEXT.replace("20\n", "n.a.\n"), {}, "expected numbers of b in series.csv; found 'n.a.' on 2020-02-01"),
        (TEXT.replace("20\n", "inf\n"), {}, "expected a figure of b on 2020-02-01; found inf"),
        (TEXT.replace("2020-02-01", "2020-01-01"), {}, "expected one row per date, in order; found 2020-01-01 twice"),
        (TEXT.replace("2020-02-01", "2019-02-01"), {}, "in order; found 2019-02-01 after 2020-01-01"),
        (TEXT.replace("2020-02-01", "2/2020"), {}, "expected dates like 2011-01-03"),
        (TEXT, {"columns": ["aa"]}, "found 'aa'; did you mean 'a'?"),
        (TEXT, {"columns": ["date"]}, "found 'date'"),
        (TEXT, {"columns": ["a", "a"]}, "expected each series once"),
        (TEXT, {"date": "dat"}, "found 'dat'; did you mean 'date'?"),
        (TEXT.replace("date", "when"), {}, "expected a column of dates in series.csv; found 'when', 'a', 'b'"),
        (TEXT, {"start": "2021-01-01"}, "found none, of 2020-01-01 to 2020-03-01"),
        (TEXT, {"start": "soon"}, "expected series.start to be a date"),
        ("date\n2020-01-01\n", {}, "expected columns of series besides the dates"),
    ],
)
def test_invalid_files_raise_errors_that_name_the_cause(write, text, more, said):
    with pytest.raises(InputError) as error:
        read_series(write(text), **more)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.sampled_from(["2020-01-01", "2020-01-02", "x", "", "20200103"]), st.text(max_size=6)))
)
def test_any_file_gives_a_table_or_a_one_line_error(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("fuzz") / "series.csv"
    frame = pd.DataFrame(rows, columns=["date", "a"])
    path.write_bytes(frame.to_csv(index=False).encode("utf-8", "surrogatepass"))
    said = ""
    try:
        table = read_series(path)
    except InputError as error:
        said = str(error)
    assert "\n" not in said
    if not said:
        assert np.isfinite(table.values).all()
        assert (np.diff(table.dates) > np.timedelta64(0, "D")).all()


def test_transforms():
    table = SeriesTable(months(4), np.array([[1.0, 2], [2, 3], [4, 5], [8, 9]]), ("a", "b"))
    assert table.transformed("level") is not None
    assert table.transformed("level").values.tolist() == table.values.tolist()
    np.testing.assert_allclose(table.transformed("log").values, np.log(table.values))
    difference = table.transformed("difference", 2)
    assert difference.values.tolist() == [[3, 3], [6, 6]]
    assert difference.dates.tolist() == months(4)[2:].tolist()
    np.testing.assert_allclose(table.transformed("log_difference").values[:, 0], np.log([2, 2, 2]))
    np.testing.assert_allclose(table.transformed("return").values[:, 0], [1, 1, 1])
    each = table.transformed(["level", "difference"])
    assert each.values.tolist() == [[2, 1], [4, 2], [8, 4]]


@pytest.mark.parametrize(
    ("kind", "periods", "said"),
    [
        ("retrun", 1, "did you mean 'return'?"),
        ("log", 1, "found 0 of a on 2020-02-01"),
        ("return", 1, "found 0 of a on 2020-02-01"),
        ("difference", 3, "expected series.transform_periods from 1 to 2"),
        ("difference", 0, "expected series.transform_periods of at least 1"),
        (["level", "level"], 1, "one for each of 1 series; found 2"),
    ],
)
def test_invalid_transforms_raise_an_error(kind, periods, said):
    table = SeriesTable(months(3), np.array([[1.0], [0], [2]]), ("a",))
    with pytest.raises(InputError, match=said.replace("?", r"\?")):
        table.transformed(kind, periods)


def test_until_drops_later_rows():
    table = SeriesTable(months(3), np.array([[1.0], [0], [2]]), ("a",))
    assert table.until("2020-02-01").values.tolist() == [[1], [0]]
    assert table.until("2020-02-01").digest() != table.digest()


def test_simulated_series_have_a_season_a_cycle_and_a_leader():
    table = simulated_series(seed=3, n_months=2400, noise=0.1)
    assert table.source == "simulated"
    assert (table.values == simulated_series(seed=3, n_months=2400, noise=0.1).values).all()
    values = table.values - table.values.mean(axis=0)
    month = np.arange(len(values)) % 12
    season = np.stack([values[month == m].mean(axis=0) for m in range(12)])
    assert (season[month].var(axis=0) / values.var(axis=0)).min() > 0.2  # the season has an effect ...
    years = np.stack([np.convolve(column, np.ones(12) / 12, "valid") for column in values.T])
    lead = [np.corrcoef(years[0, :-k], years[1, k:])[0, 1] for k in (1, 2, 3, 4, 5)]
    assert int(np.argmax(lead)) == 2  # ... the first series runs three months ahead of the others ...
    high, low = (values[11:][(years[0] > 1) == side][:, 0] for side in (True, False))
    assert high.std() > 1.2 * low.std()  # ... and the season is the stronger the higher the cycle
    with pytest.raises(InputError, match="at least 24 months"):
        simulated_series(n_months=5)


def test_real_series(shared_data):
    folder = shared_data / "us-macro-monthly"
    table = read_series(
        folder / "sentiment_ip_1978_2019.csv", ["UMCSENT", "IPGMFN"], start="1980-01-01", end="2017-12-31"
    )
    assert len(table) == 456
    assert table.values[0].tolist() == [67.0, 46.8853]
    prices = read_series(
        shared_data / "sp500-index" / "sp500_close_1990_2019.csv.gz", start="2010-01-01", end="2018-12-31"
    )
    assert len(prices) == 2264
    scaled = (prices.values - prices.values.min()) / np.ptp(prices.values)
    assert scaled.mean() == pytest.approx(0.437175, abs=1e-6)


@pytest.mark.parametrize("columns", ["a", [1]])
def test_columns_must_be_a_list_of_names(write, columns):
    with pytest.raises(InputError, match=r"expected series\.columns as a list of names"):
        read_series(write(TEXT), columns)


def test_gaps_and_figures_out_of_range_raise_an_error():
    dates = months(40)
    for missing, named in ((1, "2020-11;"), (2, "2020-11 and 2020-12;"), (5, "2020-11, 2020-12, 2021-01 and 2 more;")):
        rows = np.r_[0:10, 10 + missing : 40]
        with pytest.raises(InputError) as error:
            SeriesTable(dates[rows], np.ones((len(rows), 1)), ("a",))
        assert f"without gaps (monthly); found none for {named}" in str(error.value)
        assert f"series.start = '{dates[10 + missing]}'" in str(error.value)
    values = np.ones((40, 1))
    values[5] = 1e300
    with pytest.raises(InputError, match=r"expected a figure of a on 2020-06-01; found 1e\+300"):
        SeriesTable(dates, values, ("a",))


# -- missing figures and periods: what the messages advise works -------------------------------------------------------


def daily(n=60, start="2019-01-01"):
    return pd.DataFrame({"date": pd.bdate_range(start, periods=n), "rate": np.linspace(2.0, 3.0, n)})


def monthly(n=48, freq="MS"):
    return pd.DataFrame({"date": pd.date_range("2001-01-01", periods=n, freq=freq), "rate": np.linspace(1.0, 9.0, n)})


def advice(error):
    """Settings that a message names, as arguments of `read_series`."""
    import re

    text = str(error.value)
    assert "\n" not in text
    found = [{key: value} for key, value in re.findall(r"series\.(start|end|on_missing) = ['\"]([^'\"]+)['\"]", text)]
    if "start" in text and "end" in text and "and end with" in text:
        found = [{key: value for one in found for key, value in one.items()}]
    if 'or "fill"' in text:
        found.append({"on_missing": "fill"})
    return found


CASES = {
    "a month": (monthly(), [20], []),
    "two months": (monthly(), [20, 21], []),
    "two gaps": (monthly(), [10, 30], []),
    "a quarter": (monthly(40, "QS"), [17], []),
    "a year": (monthly(40, "YS"), [17], []),
    "a week": (monthly(80, "W-FRI"), [17], []),
    "a weekday": (daily(), [17], []),
    "days without a figure": (daily(), [], [0, 14, 33]),
    "days without a figure, and a day": (daily(), [50], [14]),
    "blanks at the beginning": (monthly(), [], [0, 1, 2]),
    "blanks at the end": (monthly(), [], [46, 47]),
    "blanks at both ends": (monthly(), [], [0, 47]),
    "a blank inside": (monthly(), [], [7]),
    "a blank and a gap": (monthly(), [30], [0, 7]),
}


@pytest.mark.parametrize("name", CASES)
def test_remedy_of_the_message_reads_the_file(tmp_path, name):
    frame, dropped, blank = CASES[name]
    expected = frame.copy()
    frame = frame.assign(rate=frame["rate"].where(~frame.index.isin(blank))).drop(index=dropped)
    frame.to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(InputError) as error:
        read_series(tmp_path / "x.csv")
    followed = advice(error)
    assert followed, error.value
    for more in followed:
        if dropped and blank and more.get("on_missing") != "fill":  # of two faults the second has its own advice
            with pytest.raises(InputError) as again:
                read_series(tmp_path / "x.csv", **more)
            more = more | next(one for one in advice(again) if one.keys() - more.keys())
        table = read_series(tmp_path / "x.csv", **more)
        known = pd.Series(table.values[:, 0], table.dates)
        given = frame.dropna().set_index("date")["rate"]
        shared = known.index.intersection(given.index)
        assert len(shared) > 8
        pd.testing.assert_series_equal(
            known[shared], given[shared], check_names=False, check_freq=False, check_index_type=False
        )
        if more.get("on_missing") == "fill":
            carried = given.reindex(expected["date"]).ffill().dropna()
            pd.testing.assert_series_equal(
                known,
                carried[carried.index.isin(known.index)],
                check_names=False,
                check_freq=False,
                check_index_type=False,
            )
            assert table.warnings
        assert table.digest() == replace(table, warnings=()).digest()


def test_dropped_and_filled_rows_are_counted(tmp_path):
    frame = monthly().assign(late=np.arange(48.0))
    frame.loc[:11, "late"] = np.nan
    frame.loc[20, "rate"] = np.nan
    frame.drop(index=[30, 31]).to_csv(tmp_path / "x.csv", index=False)
    table = read_series(tmp_path / "x.csv", on_missing="fill")
    assert table.dates[0] == np.datetime64("2002-01-01")
    assert len(table) == 36
    left, rate, late = table.warnings
    assert left == "x.csv: 12 rows before 2002-01-01 are left out: late begins there"
    assert "3 of 36 figures of rate are missing and carry the one before" in rate
    assert rate.endswith("2002-09, 2003-07 and 2003-08")
    assert "2 of 36 figures of late" in late
    daily().assign(rate=lambda d: d["rate"].where(d.index != 9)).to_csv(tmp_path / "d.csv", index=False)
    table = read_series(tmp_path / "d.csv", on_missing="drop")
    assert table.warnings == ("d.csv: 1 of 60 rows have no figure of rate and are left out (on_missing = drop)",)
    assert table.until("2019-02-01").frequency.name == "daily"


def test_dropped_month_is_a_gap(tmp_path):
    monthly().assign(rate=lambda d: d["rate"].where(d.index != 9)).to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(InputError, match=r"without gaps \(monthly\); found none for 2001-10; set series\.on_missing"):
        read_series(tmp_path / "x.csv", on_missing="drop")
    with pytest.raises(InputError, match=r"expected series\.on_missing among raise, drop, fill; found 'skip'"):
        read_series(tmp_path / "x.csv", on_missing="skip")


def test_changes_over_a_gap_follow_the_calendar(tmp_path):
    """A monthly rate of growth of 1 %: twelve months are 12 %, whatever was missing."""
    frame = monthly().assign(rate=100 * np.exp(0.01 * np.arange(48)))
    frame.drop(index=[20]).to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(InputError):
        read_series(tmp_path / "x.csv")
    late = read_series(tmp_path / "x.csv", start="2002-10-01").transformed("log_difference", 12)
    np.testing.assert_allclose(late.values, 0.12)


INDEXED = {
    "unnamed": lambda frame, path: frame.to_csv(path),
    "written twice": lambda frame, path: frame.to_csv(path, index_label="Unnamed: 0"),
    "called index": lambda frame, path: frame.reset_index().to_csv(path, index=False),
    "counted from 1": lambda frame, path: (
        frame.set_axis(range(1, len(frame) + 1)).reset_index().to_csv(path, index=False)
    ),
    "of some rows": lambda frame, path: frame[frame.index >= 5].to_csv(path),
    "parquet": lambda frame, path: frame[frame.index >= 5].to_parquet(path),
    "parquet, called Date": lambda frame, path: frame.rename_axis("Date").to_parquet(path),
}


@pytest.mark.parametrize("name", INDEXED)
@pytest.mark.parametrize("dated", ["date", "observation_date", "when"])
def test_row_number_columns_are_not_series(tmp_path, name, dated):
    path = tmp_path / ("x.parquet" if name.startswith("parquet") else "x.csv")
    INDEXED[name](monthly().rename(columns={"date": dated}), path)
    table = read_series(path, date="when" if dated == "when" else None)
    assert table.names == ("rate",)
    assert table.dates[-1] == np.datetime64("2004-12-01")


def test_series_named_index_is_read(tmp_path):
    monthly().rename(columns={"rate": "index"}).to_csv(tmp_path / "x.csv", index=False)
    assert read_series(tmp_path / "x.csv").names == ("index",)
    monthly().reset_index().to_csv(tmp_path / "y.csv", index=False)
    assert read_series(tmp_path / "y.csv", ["index"]).names == ("index",)  # asked for by name


@pytest.mark.parametrize("tickers", [["SPY"], ["SPY", "QQQ"]])
@pytest.mark.parametrize("kind", ["csv", "parquet", "one line"])
def test_two_line_headers_are_read(tmp_path, tickers, kind):
    index = pd.DatetimeIndex(sessions("2020-01-02", "2020-03-31"), name="Date")
    columns = pd.MultiIndex.from_product([["Close", "Volume"], tickers], names=["Price", "Ticker"])
    frame = pd.DataFrame(np.arange(1.0, len(index) * len(columns) + 1).reshape(len(index), -1), index, columns)
    path = tmp_path / ("x.parquet" if kind == "parquet" else "x.csv")
    if kind == "one line":
        frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    frame.to_parquet(path) if kind == "parquet" else frame.to_csv(path)
    table = read_series(path)
    expected = (
        {"SPY": ["Close", "Volume"]}
        if len(tickers) == 1
        else {"": ["SPY Close", "QQQ Close", "SPY Volume", "QQQ Volume"]}
    )
    assert sorted(table.names) == sorted(next(iter(expected.values())))
    np.testing.assert_array_equal(
        table.values[:, table.names.index(next(iter(expected.values()))[0])], frame.iloc[:, 0]
    )
    assert len(table) == len(index)
