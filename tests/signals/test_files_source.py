from __future__ import annotations

import gzip
import hashlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signals.common.errors import InputError
from signals.sources.files import FilesSource
from signals.sources.registry import PriceSource, load_prices, open_source

QUOTES = ["open", "high", "low", "close"]


def load(path, **options):
    return FilesSource(path, **options).load()


def refused(path, **options):
    with pytest.raises(InputError) as caught:
        load(path, **options)
    line = str(caught.value)
    assert "\n" not in line
    assert "expected " in line
    assert "; found " in line
    return line


@pytest.fixture
def bars(make_bars):
    """Prices of two tickers whose factor is 1: what a file without factor gives back."""
    frame = make_bars()
    frame["adj_factor"] = 1.0
    return frame


def long_table(bars):
    return bars.drop(columns="adj_factor").reset_index()


def assert_prices_of(prices, bars, **flags):
    pd.testing.assert_frame_equal(prices.frame, bars, check_exact=True)
    for name, value in {"raw_known": False, "volume_known": True, "close_only": False, **flags}.items():
        assert getattr(prices, name) is value, name


# -- layouts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".txt", ".parquet"])
@pytest.mark.parametrize("order", [["date", "ticker"], ["ticker", "date"]])
def test_one_long_table(bars, tmp_path, suffix, order):
    path = tmp_path / f"prices{suffix}"
    table = long_table(bars).sort_values(order)
    if suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False)
    prices = load(path)
    assert_prices_of(prices, bars)
    assert prices.source == "files"
    assert not prices.simulated
    assert prices.warnings == ()
    assert prices.files == {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}


def test_names_as_pandas_and_yfinance_write_them(bars, tmp_path):
    path = tmp_path / "p.csv"
    table = long_table(bars)
    table.to_csv(path)  # with pandas' row numbers
    assert_prices_of(load(path), bars)
    table.rename(columns={"date": "Date", "ticker": "Symbol"}).rename(columns=str.title).to_csv(path, index=False)
    assert_prices_of(load(path), bars)
    path.write_text("\ufeff" + table.to_csv(index=False), encoding="utf-8")
    assert_prices_of(load(path), bars)
    table.to_csv(path, index=False, sep=";")
    assert_prices_of(load(path), bars)
    bars.drop(columns="adj_factor").to_parquet(tmp_path / "p.parquet")  # the index in pandas' own metadata
    assert_prices_of(load(tmp_path / "p.parquet"), bars)


def test_canonical_file_is_read_back(make_bars, tmp_path):
    from signals.data.prices import check_prices

    prices = check_prices(make_bars())
    prices.save(tmp_path / "own.parquet")
    assert_prices_of(load(tmp_path / "own.parquet"), prices.frame, raw_known=True)


def test_adjusted_close_with_close(bars, tmp_path):
    table = long_table(bars)
    table["Adj Close"] = table["close"] * 0.25
    path = tmp_path / "p.csv"
    table.to_csv(path, index=False)
    prices = load(path)
    expected = bars.copy()
    expected[QUOTES] *= 0.25
    expected["adj_factor"] = 0.25
    pd.testing.assert_frame_equal(prices.frame, expected, rtol=1e-14)
    assert prices.raw_known
    raw = prices.frame["close"] / prices.frame["adj_factor"]
    np.testing.assert_allclose(raw, bars["close"], rtol=1e-14)
    # the adjusted one alone is taken as it is
    alone = table.drop(columns=["close", *QUOTES[:3], "volume"])
    alone.to_csv(path, index=False)
    prices = load(path)
    np.testing.assert_allclose(prices.frame["close"], bars["close"] * 0.25, rtol=1e-14)
    assert (prices.raw_known, prices.close_only, prices.volume_known) == (False, True, False)


def test_bad_adjusted_closes_are_named(bars, tmp_path):
    table = long_table(bars)
    table["adj_close"] = table["close"]
    path = tmp_path / "p.csv"
    for value, words in ((np.nan, "a number as adj_factor; found adj_factor = nan"), (-1.0, "adj_factor = nan")):
        table.loc[5, "adj_close"] = value
        table.to_csv(path, index=False)
        assert f"{words} for BBB on 2010-01-06 (1 row)" in refused(path)
    prices = load(path, on_bad="repair")
    assert len(prices.frame) == len(bars) - 1
    table["adj_close"] = table["close"]
    table.loc[5, "close"] = 0.0
    table.to_csv(path, index=False)
    assert "expected close above 0; found close = 0 for BBB on 2010-01-06" in refused(path)


def test_only_closes_and_no_volume(bars, tmp_path):
    path = tmp_path / "p.csv"
    long_table(bars)[["date", "ticker", "close"]].to_csv(path, index=False)
    prices = load(path)
    assert (prices.close_only, prices.volume_known, prices.raw_known) == (True, False, False)
    assert prices.warnings == ("there are closes only, no open, high or low",)
    np.testing.assert_array_equal(prices.frame["open"], bars["close"])
    long_table(bars).drop(columns="volume").to_csv(path, index=False)
    assert_prices_of(load(path), bars.assign(volume=0.0), volume_known=False)
    long_table(bars).drop(columns=["high", "low"]).to_csv(path, index=False)
    assert "expected open, high, low and close, or close alone; found open, close" in refused(path)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("named", [True, False])
def test_one_wide_table_of_closes(bars, tmp_path, suffix, named):
    wide = bars["close"].unstack()
    wide.columns.name = None
    wide.index.name = "Date" if named else None
    wide.iloc[3, 0] = np.nan
    path = tmp_path / f"wide{suffix}"
    wide.to_csv(path) if suffix == ".csv" else wide.to_parquet(path)
    prices = load(path)
    expected = bars.drop(index=(pd.Timestamp("2010-01-07"), "AAA"))
    np.testing.assert_array_equal(prices.frame["close"], expected["close"])
    assert prices.frame.index.equals(expected.index)
    assert (prices.close_only, prices.volume_known, prices.raw_known) == (True, False, False)


@pytest.mark.parametrize("grouped", ["Price", "Ticker"])
@pytest.mark.parametrize("adjusted", [True, False])
@pytest.mark.parametrize("header", [2, 3])
def test_two_and_three_header_rows(bars, tmp_path, grouped, adjusted, header):
    """The frame `yfinance.download` gives for several tickers, written by `to_csv` or `to_parquet`."""
    fields = {name: bars[name].unstack() for name in [*QUOTES, "volume"]}
    if adjusted:
        fields["adj close"] = fields["close"] * 0.5
    frame = pd.concat({name.title(): table for name, table in fields.items()}, axis=1, names=["Price", "Ticker"])
    frame.index.name = "Date" if header == 3 else None
    frame.loc[frame.index[2], (slice(None), "AAA")] = np.nan  # AAA did not trade
    frame = pd.concat([frame, pd.concat({"Repaired?": fields["close"] * 0}, axis=1)], axis=1)
    if grouped == "Ticker":
        frame = frame.swaplevel(axis=1).sort_index(axis=1)
        frame.columns.names = ["Ticker", "Price"]
    else:
        frame.columns.names = ["Price", "Ticker"]
    expected = bars.drop(index=(pd.Timestamp("2010-01-06"), "AAA"))
    if adjusted:
        expected[QUOTES] *= 0.5
        expected["adj_factor"] = 0.5
    frame.to_csv(tmp_path / "yf.csv")
    frame.to_parquet(tmp_path / "yf.parquet")
    for name in ("yf.csv", "yf.parquet"):
        prices = load(tmp_path / name)
        assert_prices_of(prices, expected, raw_known=adjusted)
        assert prices.warnings == ("1 row without any price left out: did not trade",)


def test_a_folder_of_one_file_per_ticker(bars, tmp_path):
    for ticker, rows in long_table(bars).groupby("ticker"):
        rows.drop(columns="ticker").rename(columns=str.title).to_csv(tmp_path / f"{ticker}.csv", index=False)
    (tmp_path / "README.md").write_text("x")
    (tmp_path / ".hidden.csv").write_text("x")
    (tmp_path / "more").mkdir()
    prices = load(tmp_path)
    assert_prices_of(prices, bars)
    assert prices.warnings == ("ignored in the folder: README.md, more",)
    assert sorted(prices.files) == ["AAA.csv", "BBB.csv"]
    one = load(tmp_path, tickers=["BBB"])
    assert one.tickers == ("BBB",)
    assert sorted(one.files) == ["BBB.csv"]  # others need not even be read
    assert r"found 'BBC' (close: BBB)" in refused(tmp_path, tickers=["BBC"])
    # a single file of the folder is that ticker
    assert load(tmp_path / "AAA.csv").tickers == ("AAA",)


def test_a_folder_of_parts_of_one_long_table(bars, tmp_path):
    table = long_table(bars)
    table.iloc[:9].to_parquet(tmp_path / "part-0.parquet")
    table.iloc[9:].to_csv(tmp_path / "part-1.csv.gz", index=False)
    assert_prices_of(load(tmp_path), bars)
    table.iloc[8:].to_csv(tmp_path / "part-1.csv.gz", index=False)
    assert "expected one row per date and ticker; found AAA on 2010-01-08 more than once (1 row too many)" in refused(
        tmp_path
    )


def test_stooq_files(bars, tmp_path):
    bulk, plain = tmp_path / "bulk", tmp_path / "plain"
    bulk.mkdir()
    plain.mkdir()
    for ticker, rows in long_table(bars).groupby("ticker"):
        day = rows["date"].dt.strftime("%Y%m%d")
        table = pd.DataFrame({"<TICKER>": f"{ticker}.US", "<PER>": "D", "<DATE>": day, "<TIME>": "000000"})
        for name in QUOTES:
            table[f"<{name.upper()}>"] = rows[name]
        table["<VOL>"], table["<OPENINT>"] = rows["volume"], 0
        table.to_csv(bulk / f"{ticker.lower()}.us.txt", index=False)
        rows = rows.drop(columns="ticker").rename(columns=str.title).assign(OpenInt=0)
        rows.to_csv(plain / f"{ticker.lower()}.us.txt", index=False)
    assert_prices_of(load(bulk), bars)
    assert_prices_of(load(plain), bars)
    assert load(bulk, tickers=["AAA"]).tickers == ("AAA",)
    path = bulk / "aaa.us.txt"
    path.write_text(path.read_text().replace(",D,", ",5,"))
    assert "expected daily bars (PER = D) in aaa.us.txt; found PER = 5" in refused(bulk)


def test_tickers_that_look_like_something_else(make_bars, tmp_path):
    names = ("005930", "1.0", "NA", "NaN", "TRUE", "nan", "null")
    bars = make_bars(tickers=names, days=3)
    bars["adj_factor"] = 1.0
    long_table(bars).to_csv(tmp_path / "long.csv", index=False)
    assert_prices_of(load(tmp_path / "long.csv"), bars)
    long_table(bars).to_parquet(tmp_path / "long.parquet")
    assert_prices_of(load(tmp_path / "long.parquet"), bars)
    bars["close"].unstack().to_csv(tmp_path / "wide.csv")
    assert load(tmp_path / "wide.csv").tickers == names
    # companies are called OPEN and LOW
    wide = bars["close"].unstack().iloc[:, :2].set_axis(["OPEN", "LOW"], axis=1)
    wide.to_csv(tmp_path / "wide2.csv")
    assert refused(tmp_path / "wide2.csv").startswith("expected a close in wide2.csv")
    wide["KO"] = 1.0
    wide.to_csv(tmp_path / "wide2.csv")
    assert load(tmp_path / "wide2.csv").tickers == ("KO", "LOW", "OPEN")


@pytest.mark.parametrize(
    "style",
    ["%Y-%m-%d", "%Y%m%d", "%Y-%m-%d 00:00:00", "%Y-%m-%dT00:00:00", "%Y-%m-%d 00:00:00-05:00", "%Y-%m-%d 00:00:00Z"],
)
def test_date_styles(bars, tmp_path, style):
    table = long_table(bars)
    table["date"] = table["date"].dt.strftime(style)
    table.to_csv(tmp_path / "p.csv", index=False)
    assert_prices_of(load(tmp_path / "p.csv"), bars)
    table.to_parquet(tmp_path / "p.parquet")
    assert_prices_of(load(tmp_path / "p.parquet"), bars)


@pytest.mark.parametrize("kind", ["datetime64[ms]", "date", "int", "America/New_York", "UTC", "category"])
def test_date_types_of_parquet(bars, tmp_path, kind):
    table = long_table(bars)
    if kind == "date":
        table["date"] = table["date"].dt.date
    elif kind == "int":
        table["date"] = table["date"].dt.strftime("%Y%m%d").astype(int)
    elif kind == "category":
        table = table.astype({"date": "category", "ticker": "category"})
    elif "[" in kind:
        table["date"] = table["date"].astype(kind)
    else:
        table["date"] = table["date"].dt.tz_localize(kind)
    table.to_parquet(tmp_path / "p.parquet")
    assert_prices_of(load(tmp_path / "p.parquet"), bars)


def test_new_york_midnight_written_as_utc_is_not_guessed(bars, tmp_path):
    table = long_table(bars)
    table["date"] = table["date"].dt.tz_localize("America/New_York").dt.tz_convert("UTC")
    table.to_parquet(tmp_path / "p.parquet")
    line = refused(tmp_path / "p.parquet")
    assert "found 2010-01-04 05:00:00" in line
    assert "a day in another time zone" in line


# -- choosing --------------------------------------------------------------------------------------------------------


def test_start_end_and_tickers(bars, tmp_path):
    path = tmp_path / "p.csv"
    long_table(bars).to_csv(path, index=False)
    prices = load(path, tickers=["BBB"], start="2010-01-06", end="2010-01-09")
    assert prices.tickers == ("BBB",)
    assert (str(prices.first), str(prices.last)) == ("2010-01-06", "2010-01-08")
    pd.testing.assert_frame_equal(prices.frame, bars.loc["2010-01-06":"2010-01-09"].iloc[1::2], check_exact=True)
    assert "expected end on or after start; found start 2010-01-06 and end 2010-01-05" in refused(
        path, start="2010-01-06", end="2010-01-05"
    )
    line = refused(path, start="2011-01-01")
    assert "expected prices from 2011-01-01 to 2010-01-15; found them from 2010-01-04 to 2010-01-15" in line
    assert "expected start to be a date" in refused(path, start="soon")
    assert "found 'aaa' (close: AAA" in refused(path, tickers=["aaa"])
    assert "found 'AAA'; use a list" in refused(path, tickers="AAA")
    assert "at least one ticker" in refused(path, tickers=[])


def test_bad_rows_outside_the_request_are_ignored(bars, tmp_path):
    table = long_table(bars)
    table.loc[0, "close"] = -1.0
    table.to_csv(tmp_path / "p.csv", index=False)
    assert len(load(tmp_path / "p.csv", start="2010-01-05").frame) == 18
    assert "p.csv: expected close above 0; found close = -1 for AAA on 2010-01-04" in refused(tmp_path / "p.csv")


def test_rows_without_any_price_are_left_out(bars, tmp_path):
    table = long_table(bars)
    table.loc[[3, 8], [*QUOTES, "volume"]] = np.nan
    table.to_csv(tmp_path / "p.csv", index=False)
    prices = load(tmp_path / "p.csv")
    assert len(prices.frame) == 18
    assert prices.warnings == ("2 rows without any price left out: did not trade",)
    table.loc[10, "open"] = np.nan
    table.to_csv(tmp_path / "p.csv", index=False)
    assert "expected a number as open; found open = nan for AAA on 2010-01-11 (1 row)" in refused(tmp_path / "p.csv")
    table[QUOTES] = np.nan
    table.to_csv(tmp_path / "p.csv", index=False)
    assert "expected prices; found none in any row" in refused(tmp_path / "p.csv")


def test_other_columns_are_ignored_with_a_warning(bars, tmp_path):
    table = long_table(bars).assign(sector="tech", Dividends=0.0)
    table.to_csv(tmp_path / "p.csv", index=False)
    prices = load(tmp_path / "p.csv")
    assert_prices_of(prices, bars)
    assert prices.warnings == ("ignored columns: sector",)
    table.rename(columns={"sector": "sec\x1etor"}).to_csv(tmp_path / "p.csv", index=False)
    assert load(tmp_path / "p.csv").warnings == ("ignored columns: sec\\x1etor",)  # on one line, whatever is in it


def test_calendar_and_repair_are_passed_on(bars, tmp_path):
    table = long_table(bars)
    table.loc[19, "date"] = pd.Timestamp("2010-01-18")  # Martin Luther King Day
    table.loc[18, "high"] = 1.0
    path = tmp_path / "p.csv"
    table.sort_values("date").to_csv(path, index=False)
    assert "found a bar for BBB on 2010-01-18" in refused(path)
    prices = load(path, on_bad="repair")
    assert len(prices.frame) == 19
    assert len(prices.warnings) == 2
    assert load(path, calendar="XLON", on_bad="repair").calendar == "XLON"
    assert "found 'XNYX'" in refused(path, calendar="XNYX")
    assert "found 'maybe'" in refused(path, on_bad="maybe")


# -- total returns ---------------------------------------------------------------------------------------------------


@pytest.fixture
def returns_table(bars):
    """Raw prices with a 2:1 split of AAA and a dividend of BBB, total returns, two of them missing."""
    table = long_table(bars)
    split = (table["ticker"] == "AAA") & (table["date"] >= "2010-01-08")
    table.loc[split, QUOTES] /= 2
    ratio = table.groupby("ticker")["close"].pct_change()
    table["ret"] = ratio
    table.loc[(table["ticker"] == "AAA") & (table["date"] == "2010-01-08"), "ret"] = ratio[split].iloc[0] * 2 + 1
    table.loc[(table["ticker"] == "BBB") & (table["date"] == "2010-01-12"), "ret"] += 0.03
    table.loc[(table["ticker"] == "BBB") & (table["date"] == "2010-01-14"), "ret"] = np.nan
    return table


def test_adjusted_prices_are_chained_from_total_returns(returns_table, tmp_path):
    returns_table.to_csv(tmp_path / "p.csv", index=False)
    prices = load(tmp_path / "p.csv", return_column="ret")
    assert prices.raw_known
    assert prices.warnings == (
        "adjusted prices are chained from the total returns in 'ret'",
        "1 row without a total return: the raw close ratio is used",
    )
    close = prices.frame["close"]
    got = close.groupby("ticker").pct_change().dropna()
    table = returns_table.set_index(["date", "ticker"])
    want = table["ret"].fillna(table["close"].groupby("ticker").pct_change()).dropna()
    np.testing.assert_allclose(got, want.reindex(got.index), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(close / prices.frame["adj_factor"], table["close"], rtol=1e-14)
    assert prices.frame["adj_factor"].xs("AAA", level=1).round(9).tolist() == [1.0] * 4 + [2.0] * 6
    # without being asked for, returns are only named
    ignored = load(tmp_path / "p.csv")
    assert not ignored.raw_known
    assert ignored.warnings == ("ignored columns: ret",)


def test_later_rows_leave_chained_history_as_it_was(returns_table, tmp_path):
    returns_table.to_csv(tmp_path / "whole.csv", index=False)
    cut = returns_table[returns_table["date"] <= "2010-01-11"]
    cut.to_csv(tmp_path / "cut.csv", index=False)
    whole = load(tmp_path / "whole.csv", return_column="ret").until("2010-01-11")
    pd.testing.assert_frame_equal(load(tmp_path / "cut.csv", return_column="ret").frame, whole.frame, check_exact=True)


def test_bad_total_returns(returns_table, bars, tmp_path):
    path = tmp_path / "p.csv"
    returns_table.to_csv(path, index=False)
    assert "expected a column 'total' of total returns; found none" in refused(path, return_column="total")
    returns_table.assign(adj_close=1.0).to_csv(path, index=False)
    assert "expected one way to adjust prices; found adj_close and ret" in refused(path, return_column="ret")
    returns_table.loc[5, "ret"] = -1.0
    returns_table.to_csv(path, index=False)
    assert "expected total returns above -1 (-100 %); found -1 for BBB on 2010-01-06" in refused(
        path, return_column="ret"
    )
    long_table(bars).assign(adj_close=1.0, adj_factor=1.0).to_csv(path, index=False)
    assert "found adj_close and adj_factor" in refused(path)


# -- what is no price file -------------------------------------------------------------------------------------------


def test_missing_and_empty(tmp_path):
    assert f"expected a price file or folder {tmp_path / 'no.csv'}; found none" in refused(tmp_path / "no.csv")
    (tmp_path / "folder").mkdir()
    assert "expected files ending in .csv" in refused(tmp_path / "folder")
    (tmp_path / "folder" / "x.xlsx").write_bytes(b"x")
    assert "found 1 other entries" in refused(tmp_path / "folder")
    assert "expected a file ending in .csv" in refused(tmp_path / "folder" / "x.xlsx")
    (tmp_path / "a.csv").write_text("")
    assert "expected a header line in a.csv; found an empty file" in refused(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text("date,ticker,close\n")
    assert "expected prices in a.csv; found no rows" in refused(tmp_path / "a.csv")
    pd.DataFrame({"date": [], "ticker": [], "close": []}).to_parquet(tmp_path / "a.parquet")
    assert "expected prices in a.parquet; found no rows" in refused(tmp_path / "a.parquet")
    (tmp_path / "b.csv").write_text("Date,AAA,BBB\n2010-01-04,,\n")
    assert "expected prices in b.csv; found no number" in refused(tmp_path / "b.csv")


@pytest.mark.parametrize("keep", [0.3, 0.99])
def test_truncated_parquet_and_gzip(bars, tmp_path, keep):
    table = long_table(bars)
    table.to_parquet(tmp_path / "p.parquet")
    table.to_csv(tmp_path / "p.csv.gz", index=False)
    for name, words in (("p.parquet", "expected a Parquet file p.parquet"), ("p.csv.gz", "whole gzip file p.csv.gz")):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: int(len(whole) * keep)])
        line = refused(tmp_path / name)
        assert words in line
        assert "found a damaged one" in line


def test_files_of_another_kind_than_their_suffix_are_refused(bars, tmp_path):
    (tmp_path / "p.parquet").write_text("date,ticker,close\n2010-01-04,AAA,1\n")
    assert "expected a Parquet file p.parquet; found a damaged one" in refused(tmp_path / "p.parquet")
    (tmp_path / "p.csv.gz").write_text("date,ticker,close\n2010-01-04,AAA,1\n")
    assert "expected a gzip file p.csv.gz; found another kind; take .gz off its name" in refused(tmp_path / "p.csv.gz")
    long_table(bars).to_parquet(tmp_path / "q.parquet")
    (tmp_path / "q.parquet").rename(tmp_path / "q.csv")
    assert refused(tmp_path / "q.csv")
    (tmp_path / "p.csv").write_bytes("date,ticker,close\n2010-01-04,Münch,1\n".encode("latin-1"))
    assert "expected text in UTF-8 in p.csv; found the byte 0xfc" in refused(tmp_path / "p.csv")
    (tmp_path / "p.csv").write_text(
        "date,ticker,close\n" + "2010-01-04,AAA,1\n" * 200_000 + "2010-01-04,M\udcfc,1\n", errors="surrogateescape"
    )
    assert "expected text in UTF-8 in p.csv" in refused(tmp_path / "p.csv")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "2010-01-04,AAA,1\n2010-01-05,AAA,1\n",
            "expected a header with a date column in p.csv; found 2010-01-04, AAA, 1",
        ),
        ("date,ticker,volume\n2010-01-04,AAA,1\n", "expected a close in p.csv; found date, ticker, volume"),
        ("date,ticker,close\n2010-01-04,AAA,1,2\n", "expected 3 values in every line of p.csv"),
        ("date,ticker,close\n2010-01-04,AAA,1\n2010-01-05,AAA,1,2\n", "expected 3 values in every line of p.csv"),
        ("date,ticker,close\n2010-01-04,AAA,one\n", "expected numbers in column close of p.csv; found 'one' in row 1"),
        ('date,ticker,close\n2010-01-04,AAA,"1,5"\n', "found '1,5' in row 1"),
        ("date,ticker,close\n2010-01-04,AAA,True\n", "expected numbers in column close"),
        (
            "date,ticker,close\n04/01/2010,AAA,1\n",
            "expected dates like 2011-01-03 in p.csv; found '04/01/2010' in row 1",
        ),
        ("date,ticker,close\n2010-02-30,AAA,1\n", "found '2010-02-30' in row 1"),
        ("date,ticker,close\n1262563200,AAA,1\n", "found '1262563200' in row 1"),
        ("date,ticker,close\n,AAA,1\n", "expected dates like 2011-01-03 in p.csv; found '' in row 1"),
        ("date,ticker,close\n2010-01-04,,1\n", "expected a ticker in every row of p.csv; found none in row 1"),
        ("date,ticker,close,close\n2010-01-04,AAA,1,1\n", "expected each column once in p.csv; found 'close' twice"),
        ("date,ticker,close,Close\n2010-01-04,AAA,1,1\n", "expected one column for close in p.csv"),
        ("date,ticker,close\n2010-01-04,cash,1\n", "expected no ticker named 'cash'"),
        ("date,ticker,close\n2010-01-04 09:30:00,AAA,1\n", "found 2010-01-04 09:30:00; minute and hourly bars"),
        (
            "date,time,ticker,close\n2010-01-04,09:30:00,AAA,1\n",
            "expected daily bars in p.csv; found the time 09:30:00",
        ),
        ("Date,AAA,BBB\n2010-01-04,1,x\n", "expected numbers in column BBB of p.csv; found 'x' in row 1"),
        ("date,ticker,close\n2010-01-05,AAA,1\n2010-01-04,AAA,1\n", "found 2010-01-04 after 2010-01-05 for AAA"),
        ("date,ticker,close\n2010-01-04,AAA,1\n2010-01-04,AAA,1\n", "found AAA on 2010-01-04 more than once"),
        ("date,ticker,close\n2010-01-09,AAA,1\n", "found a bar for AAA on 2010-01-09"),
        ("date,ticker,close\n0010-01-08,AAA,1\n", "expected dates like 2011-01-03 in p.csv; found '0010-01-08'"),
        ("date,ticker,close\n1950-01-09,AAA,1\n", "expected dates from 1962-01-01"),
        ("date,ticker,close\n2199-01-09,AAA,1\n", "found 2199-01-09; remove rows outside, or correct the date"),
    ],
)
def test_garbage_in_csv(tmp_path, text, words):
    (tmp_path / "p.csv").write_text(text)
    assert words in refused(tmp_path / "p.csv")


def test_files_with_other_columns_are_refused(bars, tmp_path):
    rows = long_table(bars).drop(columns="ticker").iloc[::2]
    rows.to_csv(tmp_path / "AAA.csv", index=False)
    rows[["date", "close"]].to_csv(tmp_path / "BBB.csv", index=False)
    line = refused(tmp_path)
    assert (
        "expected the same columns in every file of a folder; found open, high, low, close, volume in AAA.csv" in line
    )
    assert "and close in BBB.csv" in line


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), suffix=st.sampled_from([".csv", ".csv.gz", ".parquet"]))
def test_damaged_files_give_one_line_or_valid_prices(make_bars, tmp_path, data, suffix):
    """Whatever bytes are overwritten, cut or doubled: never a traceback, never an unchecked price."""
    table = make_bars(days=6).drop(columns="adj_factor").reset_index()
    path = tmp_path / f"p{suffix}"
    if suffix == ".parquet":
        table.to_parquet(path)
        content = bytearray(path.read_bytes())
    else:
        content = bytearray(table.to_csv(index=False).encode())
        content = bytearray(gzip.compress(bytes(content), mtime=0)) if suffix.endswith("gz") else content
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content) - 1))
        patch = data.draw(st.binary(max_size=6))
        content[place : place + data.draw(st.integers(0, 40))] = patch
    path.write_bytes(bytes(content))
    try:
        frame = load(path).frame
    except InputError as error:
        line = str(error)
    else:
        line = ""
        assert np.isfinite(frame.to_numpy()).all()
        assert frame.index.is_unique
    assert "\n" not in line


# -- the seam --------------------------------------------------------------------------------------------------------


def test_sources_by_name(bars, tmp_path):
    long_table(bars).to_csv(tmp_path / "p.csv", index=False)
    assert_prices_of(load_prices(source="files", path=tmp_path / "p.csv"), bars)
    assert load_prices(source="simulated", n_tickers=5, end="2007-03-01").simulated
    source = open_source(source="signals.sources.files:FilesSource", path=tmp_path / "p.csv")
    assert isinstance(source, PriceSource)
    assert_prices_of(source.load(), bars)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"source": "file"}, "found 'file' (close: files)"),
        ({"source": "ftp"}, "or 'package.module:Name'; found 'ftp'"),
        ({"source": 3}, "found 3"),
        ({"source": "files"}, "expected prices.path for the source files; found none; set it"),
        ({"source": "files", "paht": "x"}, "found 'paht' (close: path)"),
        ({"source": "simulated", "n_ticker": 3}, "found 'n_ticker' (close: n_tickers)"),
        ({"source": "no.such.module:Name"}, "expected a module 'no.such.module' for prices.source"),
        ({"source": "math:Name"}, "expected 'Name' in math for prices.source"),
        ({"source": "math:pi"}, "expected math:pi to be a class or function; found float"),
        ({"source": "builtins:dict"}, "expected builtins:dict to return an object with a load() method; found dict"),
    ],
)
def test_unknown_sources_and_options(options, words):
    with pytest.raises(InputError) as caught:
        load_prices(**options)
    assert words in str(caught.value)


def test_a_source_that_loads_something_else(tmp_path, monkeypatch):
    (tmp_path / "my_source_of_frames.py").write_text("class Mine:\n    def load(self):\n        return [1]\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match="to load Prices; found list; pass its frame through check_prices"):
        load_prices(source="my_source_of_frames:Mine")


# -- real files ------------------------------------------------------------------------------------------------------


def test_real_ohlcv_with_known_defects(shared_data):
    path = shared_data / "us-stocks-daily" / "ohlcv_top600.parquet"
    line = refused(path)
    assert "expected high at least open and close; found high = 1.8301 and 18.106 for FITB on 2008-03-28" in line
    assert 'set on_bad = "repair"' in line
    prices = load(path, on_bad="repair")
    assert len(prices.frame) == 1_641_839
    assert len(prices.tickers) == 600
    assert len(prices.warnings) == 3
    assert prices.warnings[0].startswith("10 rows with high widened")
    assert prices.warnings[1].startswith("19 rows with low widened")
    assert "of tickers with the same or nearly the same returns" in prices.warnings[2]
    panel = prices.panel()
    assert panel.close.shape == (2737, 600)
    assert panel.traded.sum() == len(prices.frame)


def test_real_total_returns_of_delisted_stocks(shared_data):
    path = shared_data / "us-stocks-with-delisted" / "daily.parquet"
    assert "dates that are sessions of XNYS; found a bar for QKLS on 2015-04-03 (3 rows)" in refused(path)
    prices = load(path, return_column="ret", on_bad="repair")
    assert prices.raw_known
    assert len(prices.frame) == 439_480
    source = pd.read_parquet(path).astype({"ticker": object})
    source["date"] = pd.to_datetime(source["date"])
    source = source.set_index(["date", "ticker"]).sort_index()
    got = prices.frame["close"].groupby("ticker").pct_change().dropna()
    want = source["ret"].astype(float).reindex(got.index)
    known = want.notna()
    # Good Friday's three rows are left out, and their returns are in the next day's
    next_day = got.index.get_level_values(0) == pd.Timestamp("2015-04-06")
    assert known.sum() > 438_000
    np.testing.assert_allclose(got[known & ~next_day], want[known & ~next_day], rtol=1e-9, atol=1e-12)
    raw = prices.frame["close"] / prices.frame["adj_factor"]
    np.testing.assert_allclose(raw, source["close"].astype(float).reindex(raw.index), rtol=1e-12)


def test_a_real_folder_of_etfs(shared_data, tmp_path):
    """One file per ticker, as CSV, gzipped and Parquet, gives the same prices as one table."""
    whole = load(shared_data / "us-etfs-daily" / "ohlcv.parquet", on_bad="repair")
    assert len(whole.tickers) == 30
    assert {"SPY", "QQQ", "GLD"} <= set(whole.tickers)
    table = pd.read_parquet(shared_data / "us-etfs-daily" / "ohlcv.parquet").astype({"ticker": object})
    for place, (ticker, rows) in enumerate(table.groupby("ticker")):
        rows = rows.drop(columns="ticker").rename(columns=str.title)
        if place % 3 == 0:
            rows.to_parquet(tmp_path / f"{ticker}.parquet")
        else:
            rows.to_csv(tmp_path / f"{ticker}.csv{'.gz' if place % 3 == 1 else ''}", index=False)
    parts = load(tmp_path, on_bad="repair")
    pd.testing.assert_frame_equal(parts.frame, whole.frame, check_exact=True)
    assert len(parts.files) == 30
    assert load(tmp_path, tickers=["SPY", "TLT"], on_bad="repair").tickers == ("SPY", "TLT")


def test_real_raw_bars_load_as_they_are(shared_data, tmp_path):
    for name in ("aapl", "spy"):
        raw = (shared_data / "corporate-actions-sample" / f"{name}_daily_raw.csv.gz").read_bytes()
        (tmp_path / f"{name.upper()}.csv.gz").write_bytes(raw)
    prices = load(tmp_path)
    assert prices.tickers == ("AAPL", "SPY")
    assert not prices.raw_known
    assert (str(prices.first), str(prices.last)) == ("1998-01-02", "2020-03-09")
    assert prices.frame.loc[(pd.Timestamp("1998-01-02"), "AAPL"), "close"] == 16.25


def test_real_files_without_daily_bars_are_refused(shared_data):
    minutes = "minute and hourly bars are not supported: aggregate them to days first"
    for path, found in (
        ("us-minute-bars/trade_bars.csv.gz", "2014-06-05 04:15:00"),
        ("crypto-fx/btcusd_minute.csv.gz", "2016-10-07 00:01:00"),
        ("crypto-fx/eurusd_hourly.csv.gz", "2017-04-19 09:00:00"),
    ):
        for on_bad in ("raise", "repair"):
            line = refused(shared_data / path, on_bad=on_bad)
            assert f"; found {found}; {minutes}" in line
    folder = shared_data / "backtrader-sample-datas"
    assert "found the time 09:05:00" in refused(folder / "2006-min-005.txt.gz")
    assert "expected 7 values in every line" in refused(folder / "2006-01-02-volume-min-001.txt.gz")
    assert "found 2015-09-23T20:57:42.146" in refused(folder / "ticksample.csv")
    assert "expected a header with a date column in aapl_factors.csv" in refused(
        shared_data / "corporate-actions-sample"
    )


def test_weekly_and_monthly_bars_give_a_warning(bars, tmp_path, shared_data):
    folder = shared_data / "backtrader-sample-datas"
    for name, gap in (("2006-week-001.txt", 5), ("2006-month-001.txt", 21)):
        (note,) = load(folder / name).warnings
        assert note.startswith(f"bars lie {gap} sessions apart: weekly or monthly bars are taken as daily ones")
    long_table(bars).iloc[::3].to_csv(tmp_path / "p.csv", index=False)
    assert load(tmp_path / "p.csv").warnings == ()


def test_real_yahoo_files(shared_data):
    prices = load(shared_data / "backtrader-sample-datas" / "orcl-1995-2014.txt.gz")
    assert prices.raw_known
    row = prices.frame.iloc[0]
    assert row["close"] == pytest.approx(1.883304, rel=1e-12)
    assert row["close"] / row["adj_factor"] == pytest.approx(2.117284, rel=1e-12)
    tweets = load(shared_data / "stocknet-tweets" / "prices.parquet")
    assert len(tweets.tickers) == 66
    assert tweets.warnings[0] == "2 rows without any price left out: did not trade"
    assert [note.split(":")[0] for note in tweets.warnings[1:]] == [
        "one pair of tickers with the same or nearly the same returns"
    ]
