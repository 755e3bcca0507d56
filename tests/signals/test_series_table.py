"""Tables of series: what the door lets in, and what can be made of them."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signals.errors import InputError
from signals.series.simulated import simulated_series
from signals.series.table import SeriesTable, read_series

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


def test_reads_csv_gzip_and_parquet_alike(write, tmp_path):
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


def test_takes_columns_in_order_and_days_both_inclusive(write):
    table = read_series(write(TEXT), ["b", "a"], start="2020-02-01", end="2020-03-01", vintage="v", release="r")
    assert table.names == ("b", "a")
    assert table.values.tolist() == [[20, 2], [40, 4]]
    assert (table.vintage, table.release) == ("v", "r")


def test_dates_may_have_another_name(write):
    assert read_series(write(TEXT.replace("date", "when")), date="when").names == ("a", "b")
    assert read_series(write(TEXT.replace("date", "Date"))).names == ("a", "b")


@pytest.mark.parametrize(
    ("text", "more", "said"),
    [
        (TEXT.replace("20\n", "\n"), {}, "expected a figure of b on 2020-02-01; found nan"),
        (TEXT.replace("20\n", "n.a.\n"), {}, "expected numbers of b in series.csv; found 'n.a.' on 2020-02-01"),
        (TEXT.replace("20\n", "inf\n"), {}, "expected a figure of b on 2020-02-01; found inf"),
        (TEXT.replace("2020-02-01", "2020-01-01"), {}, "expected one row a date, in order; found 2020-01-01 twice"),
        (TEXT.replace("2020-02-01", "2019-02-01"), {}, "in order; found 2019-02-01 after 2020-01-01"),
        (TEXT.replace("2020-02-01", "2/2020"), {}, "expected dates like 2011-01-03"),
        (TEXT, {"columns": ["aa"]}, "found 'aa'; did you mean 'a'?"),
        (TEXT, {"columns": ["date"]}, "found 'date'"),
        (TEXT, {"columns": ["a", "a"]}, "expected each series once"),
        (TEXT, {"date": "dat"}, "found 'dat'; did you mean 'date'?"),
        (TEXT.replace("date", "when"), {}, "expected a column of dates in series.csv; found 'when', 'a', 'b'"),
        (TEXT, {"start": "2021-01-01"}, "found none, of 2020-01-01 to 2020-03-01"),
        (TEXT, {"start": "soon"}, "expected series.start to be a date"),
        ("date\n2020-01-01\n", {}, "expected series beside the dates"),
    ],
)
def test_the_door_names_what_is_wrong(write, text, more, said):
    with pytest.raises(InputError) as error:
        read_series(write(text), **more)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.sampled_from(["2020-01-01", "2020-01-02", "x", "", "20200103"]), st.text(max_size=6)))
)
def test_any_file_is_a_table_or_one_clear_line(tmp_path_factory, rows):
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
        ("difference", 3, "expected series.periods from 1 to 2"),
        ("difference", 0, "expected series.periods of at least 1"),
        (["level", "level"], 1, "one for each of 1 series; found 2"),
    ],
)
def test_transforms_that_cannot_be(kind, periods, said):
    table = SeriesTable(months(3), np.array([[1.0], [0], [2]]), ("a",))
    with pytest.raises(InputError, match=said.replace("?", r"\?")):
        table.transformed(kind, periods)


def test_until_leaves_out_what_comes_later():
    table = SeriesTable(months(3), np.array([[1.0], [0], [2]]), ("a",))
    assert table.until("2020-02-01").values.tolist() == [[1], [0]]
    assert table.until("2020-02-01").digest() != table.digest()


def test_simulated_series_have_a_season_a_cycle_and_a_leader():
    table = simulated_series(seed=3, months=2400, noise=0.1)
    assert table.source == "simulated"
    assert (table.values == simulated_series(seed=3, months=2400, noise=0.1).values).all()
    values = table.values - table.values.mean(axis=0)
    month = np.arange(len(values)) % 12
    season = np.stack([values[month == m].mean(axis=0) for m in range(12)])
    assert (season[month].var(axis=0) / values.var(axis=0)).min() > 0.2  # the season says something ...
    years = np.stack([np.convolve(column, np.ones(12) / 12, "valid") for column in values.T])
    lead = [np.corrcoef(years[0, :-k], years[1, k:])[0, 1] for k in (1, 2, 3, 4, 5)]
    assert int(np.argmax(lead)) == 2  # ... the first series runs three months ahead of the others ...
    high, low = (values[11:][(years[0] > 1) == side][:, 0] for side in (True, False))
    assert high.std() > 1.2 * low.std()  # ... and the season is the stronger the higher the cycle
    with pytest.raises(InputError, match="at least 24 months"):
        simulated_series(months=5)


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
def test_columns_are_a_list_of_names(write, columns):
    with pytest.raises(InputError, match=r"expected series\.columns as a list of names"):
        read_series(write(TEXT), columns)


def test_a_gap_and_a_figure_beyond_reach_are_named():
    dates = months(40)
    whole, gap = np.r_[0:10, 11:40], np.r_[0:10, 13:40]  # one month that is missing is no gap yet
    assert len(SeriesTable(dates[whole], np.ones((39, 1)), ("a",))) == 39
    with pytest.raises(InputError, match="31 days apart, without gaps; found none between 2020-10-01 and 2021-02-01"):
        SeriesTable(dates[gap], np.ones((37, 1)), ("a",))
    values = np.ones((40, 1))
    values[5] = 1e300
    with pytest.raises(InputError, match=r"expected a figure of a on 2020-06-01; found 1e\+300"):
        SeriesTable(dates, values, ("a",))
