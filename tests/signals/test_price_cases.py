"""Kinds of faults in price data that were found in use: each is read right, or its remedy leads to the right prices."""

from __future__ import annotations

import gzip
import re
import zipfile

import numpy as np
import pandas as pd
import pytest

from signals.calendar import sessions
from signals.common.errors import InputError
from signals.data.prices import check_prices
from signals.sources.files import FilesSource

DAYS = pd.DatetimeIndex(sessions("2020-01-02", "2020-01-17").astype("datetime64[ns]"), name="Date")


def bars(base: float, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    close = np.round(base * np.cumprod(1 + rng.normal(0, 0.01, len(DAYS))), 2)
    opened = np.round(close * 1.002, 2)
    high, low = (np.round(f(opened, close) * by, 2) for f, by in ((np.maximum, 1.004), (np.minimum, 0.996)))
    volume = rng.integers(1000, 9000, len(DAYS)) * 1000
    return pd.DataFrame({"Open": opened, "High": high, "Low": low, "Close": close, "Volume": volume}, index=DAYS)


AAA, BBB = bars(100, 1), bars(50, 2)


def load(path, **settings):
    return FilesSource(path, **settings).load()


def refused(path, **settings) -> str:
    with pytest.raises(InputError) as error:
        load(path, **settings)
    assert "\n" not in str(error.value)
    return str(error.value)


def assert_closes(prices, **expected: pd.DataFrame) -> None:
    closes = prices.frame["close"].unstack("ticker")
    assert list(closes) == sorted(expected)
    for ticker, table in expected.items():
        np.testing.assert_allclose(closes[ticker].dropna(), table["Close"], rtol=1e-12)
        assert closes[ticker].dropna().index.equals(table.index.rename("date"))


# -- adjusted closes and factors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["Adj Close", "Adj. Close", "closeadj", "Close (adj)", "Adj Close**", "adjusted_close", "Adj_Close (USD)"]
)
def test_a_split_does_not_become_a_return_whatever_the_adjusted_close_is_called(tmp_path, name):
    split = np.where(np.arange(len(AAA)) < 4, 1.0, 0.5)
    raw = AAA[["Open", "High", "Low", "Close"]].mul(split, axis=0).assign(Volume=AAA.Volume)
    raw[name] = AAA.Close / 2
    raw.to_csv(tmp_path / "AAA.csv")
    prices = load(tmp_path)
    returns = prices.frame["close"].xs("AAA", level="ticker").pct_change().dropna()
    np.testing.assert_allclose(returns, AAA.Close.pct_change().dropna(), rtol=1e-9)
    np.testing.assert_allclose(prices.frame["close"] / prices.frame["adj_factor"], raw["Close"], rtol=1e-12)


@pytest.mark.parametrize("meaning", ["divide", "multiply", "none"])
def test_factor_without_splits_is_refused_with_a_remedy(tmp_path, meaning):
    factor = np.where(np.arange(len(AAA)) < 4, 0.5, 1.0)
    by = {"divide": 1 / factor, "multiply": factor, "none": 1.0}[meaning]
    table = AAA.rename(columns=str.lower).rename_axis("date")
    quotes = ["open", "high", "low", "close"]
    table[quotes] = table[quotes].mul(by, axis=0)
    table.assign(adj_factor=factor).to_csv(tmp_path / "AAA.csv")
    if meaning == "none":
        assert_closes(load(tmp_path), AAA=AAA)
        return
    message = refused(tmp_path)
    assert "AAA on 2020-01-08" in message
    remedy = re.search(r"(multiply|divide) open, high, low and close by adj_factor", message)[1]
    corrected = table[quotes].mul(factor if remedy == "multiply" else 1 / factor, axis=0)
    table.assign(**corrected, adj_factor=factor).to_csv(tmp_path / "AAA.csv")
    assert_closes(load(tmp_path), AAA=AAA)


@pytest.mark.parametrize(("factor", "returns"), [("CFACPR", "RET"), ("ajexdi", None)])
def test_factors_of_crsp_and_compustat_are_not_left_aside_where_they_change(tmp_path, factor, returns):
    split = np.where(np.arange(len(AAA)) < 4, 2.0, 1.0)
    names = {"Close": "PRC", "Open": "OPENPRC", "High": "ASKHI", "Low": "BIDLO", "Volume": "VOL"}
    table = AAA[["Open", "High", "Low", "Close"]].mul(split, axis=0).assign(Volume=AAA.Volume).rename(columns=names)
    table = table.rename_axis("date").assign(TICKER="AAA", **{factor: split})
    if returns is not None:
        table[returns] = AAA.Close.pct_change()
    table.to_csv(tmp_path / "all.csv")
    message = refused(tmp_path)
    true = AAA.Close.pct_change().dropna()
    if returns is not None:
        assert f'set return_column = "{returns}"' in message
        made = load(tmp_path, return_column=returns).frame["close"].pct_change().dropna()
        np.testing.assert_allclose(made, true, rtol=1e-9)
    assert f"the close divided by {factor}" in message
    table.assign(adj_close=table["PRC"] / split).to_csv(tmp_path / "all.csv")
    np.testing.assert_allclose(load(tmp_path).frame["close"].pct_change().dropna(), true, rtol=1e-9)
    table[factor] = 1.0  # a factor that never changes hides nothing
    table.to_csv(tmp_path / "all.csv")
    assert factor in " ".join(load(tmp_path).warnings)


# -- tickers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Name", "tic", "instrument", "asset", "Ticker"])
def test_two_securities_are_never_joined(tmp_path, name):
    first, second = AAA.iloc[:5], BBB.iloc[5:]
    pd.concat([first.assign(**{name: "AAA"}), second.assign(**{name: "BBB"})]).to_csv(tmp_path / "all.csv")
    assert_closes(load(tmp_path), AAA=first, BBB=second)


def test_tickers_in_an_unnamed_first_column_are_recognised(tmp_path):
    table = pd.concat({"AAA": AAA, "BBB": BBB}).reset_index("Date").rename_axis(None)
    table.to_csv(tmp_path / "all.csv")
    assert 'set ticker_column = "Unnamed: 0"' in refused(tmp_path)
    assert_closes(load(tmp_path, ticker_column="Unnamed: 0"), AAA=AAA, BBB=BBB)


# -- rows and columns in another place -------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [",", ";"])
def test_headers_that_are_repeated_inside_a_file_are_left_out(tmp_path, separator):
    text = "".join(table.assign(Ticker=name).to_csv(sep=separator) for name, table in (("AAA", AAA), ("BBB", BBB)))
    (tmp_path / "all.csv").write_text(text)
    prices = load(tmp_path)
    assert_closes(prices, AAA=AAA, BBB=BBB)
    assert "lines that repeat the header left out: 1" in prices.warnings


@pytest.mark.parametrize("line", [",USD,USD,USD,USD,shares", "Total,,,,,12300", "n/a,1,1,1,1,1"])
@pytest.mark.parametrize("place", [1, -1])
def test_rows_without_a_date_are_to_be_deleted(tmp_path, line, place):
    lines = AAA.to_csv().splitlines()
    lines.insert(place if place > 0 else len(lines), line)
    (tmp_path / "AAA.csv").write_text("\n".join(lines))
    message = refused(tmp_path)
    assert message.endswith("delete the rows that have no date")
    assert f"in row {1 if place > 0 else len(lines) - 1};" in message
    (tmp_path / "AAA.csv").write_text("\n".join(row for row in lines if row != line))
    assert_closes(load(tmp_path), AAA=AAA)


def test_a_table_with_dates_across_is_to_be_transposed(tmp_path):
    wide = pd.DataFrame({"AAA": AAA.Close, "BBB": BBB.Close})
    wide.index = wide.index.strftime("%Y-%m-%d")
    wide.T.rename_axis("ticker").to_csv(tmp_path / "w.csv")
    assert "transpose the table, so that each row is a day" in refused(tmp_path)
    pd.read_csv(tmp_path / "w.csv", index_col=0).T.rename_axis("Date").to_csv(tmp_path / "w.csv")
    assert_closes(load(tmp_path), AAA=AAA, BBB=BBB)


@pytest.mark.parametrize("dates", ["%Y-%m-%d", "%Y%m%d"])
def test_a_table_with_fields_below_each_other_is_to_be_pivoted(tmp_path, dates):
    long = pd.concat([AAA.assign(ticker="AAA"), BBB.assign(ticker="BBB")]).reset_index()
    long["Date"] = long["Date"].dt.strftime(dates)
    long.melt(["Date", "ticker"]).to_csv(tmp_path / "m.csv", index=False)
    message = refused(tmp_path)
    frame = pd.read_csv(tmp_path / "m.csv")
    remedy = re.search(r"pandas: (frame\.pivot\(.*\))$", message)[1]
    eval(remedy, {"frame": frame}).to_csv(tmp_path / "m.csv")
    assert_closes(load(tmp_path), AAA=AAA, BBB=BBB)


@pytest.mark.parametrize("exchanged", [1.0, 0.97])
def test_highs_below_lows_are_named_with_the_setting_that_exchanges_them(tmp_path, exchanged):
    table = AAA.rename(columns={"High": "Low", "Low": "High"})
    if exchanged < 1:  # one bar with a mistake is repaired as before
        table = AAA.copy()
        table.iloc[3, 1] = table.iloc[3, 2] * exchanged
    table.to_csv(tmp_path / "AAA.csv")
    message = refused(tmp_path)
    if exchanged < 1:
        assert "column_names" not in message
        return
    assert 'set column_names = { high = "Low", low = "High" }' in message
    prices = load(tmp_path, column_names={"high": "Low", "low": "High"})
    np.testing.assert_array_equal(prices.frame["high"], AAA["High"])


# -- empty columns and numbers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["Volume", "Adj Close"])
@pytest.mark.parametrize("cell", ["", "-", "null"])
def test_columns_without_any_value_are_left_aside(tmp_path, column, cell):
    AAA.assign(**{column: cell}).to_csv(tmp_path / "EURUSD.csv")
    prices = load(tmp_path)
    assert_closes(prices, EURUSD=AAA)
    assert prices.volume_known is (column != "Volume")
    assert any(note.startswith("columns without any value ignored: ") for note in prices.warnings)


def test_rows_of_an_unknown_volume_can_be_kept(tmp_path):
    AAA.assign(Volume=["-", *["1.5M"] * (len(AAA) - 1)]).to_csv(tmp_path / "AAA.csv")
    assert 'or column_names = { volume = "" } to keep them without volume' in refused(tmp_path)
    prices = load(tmp_path, column_names={"volume": ""})
    assert_closes(prices, AAA=AAA)
    assert not prices.volume_known


def test_days_that_were_numbers_with_a_point_are_days(tmp_path):
    AAA.set_axis(DAYS.strftime("%Y%m%d.0")).rename_axis("Date").to_csv(tmp_path / "AAA.csv")
    assert_closes(load(tmp_path), AAA=AAA)


def test_decimal_commas_between_commas_are_named_with_their_line(tmp_path):
    rows = [",".join([f"{day:%Y-%m-%d}", *(f"{x:.2f}".replace(".", ",") for x in row)]) for day, row in AAA.iterrows()]
    (tmp_path / "AAA.csv").write_text("\n".join(["Date,Open,High,Low,Close,Volume", *rows]))
    message = refused(tmp_path)
    assert "found 11 in line 2; put cells with a decimal or thousands comma in quotes" in message
    AAA.to_csv(tmp_path / "AAA.csv", decimal=",", quoting=1)
    assert_closes(load(tmp_path, decimal=","), AAA=AAA)


# -- files whose content differs from the suffix ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind", "words", "right"),
    [
        ("AAA.csv", "gzip", "found a gzip file; let its name end in .gz", "AAA.csv.gz"),
        ("AAA.csv", "zip", "let its name end in .zip", "AAA.zip"),
        ("AAA.csv", "parquet", "let its name end in .parquet", "AAA.parquet"),
        ("AAA.csv.gz", "text", "take .gz off its name", "AAA.csv"),
    ],
)
def test_a_file_of_another_kind_than_its_name_says_is_to_be_renamed(tmp_path, name, kind, words, right):
    path = tmp_path / name
    if kind == "gzip":
        path.write_bytes(gzip.compress(AAA.to_csv().encode()))
    elif kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("AAA.csv", AAA.to_csv())
            archive.writestr("__MACOSX/._AAA.csv", "x")
    elif kind == "parquet":
        AAA.to_parquet(path)
    else:
        path.write_text(AAA.to_csv())
    assert words in refused(path)
    path.rename(tmp_path / right)
    assert_closes(load(tmp_path / right), AAA=AAA)


def test_a_zip_archive_of_two_files_is_read_when_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name, table in (("AAA", AAA), ("BBB", BBB)):
            archive.writestr(f"{name}.csv", table.to_csv())
    assert "found 2 (AAA.csv, BBB.csv); unpack it" in refused(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        archive.extractall(tmp_path / "all")
    assert_closes(load(tmp_path / "all"), AAA=AAA, BBB=BBB)


@pytest.mark.parametrize("suffix", [".us.txt", ".csv"])
def test_files_without_a_row_in_a_bulk_folder_are_named_at_once(tmp_path, suffix):
    AAA.to_csv(tmp_path / f"aaa{suffix}")
    for name in ("bbb", "ccc", "ddd"):
        (tmp_path / f"{name}{suffix}").write_text("")
    (note,) = [note for note in load(tmp_path).warnings if "without any row" in note]
    assert all(name in note for name in ("bbb", "ccc", "ddd"))


# -- bars with a time of day -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("calendar", "zone"), [("XNYS", "America/New_York"), ("XLON", "Europe/London")])
def test_a_column_of_closing_times_is_read_where_each_row_is_the_bar_of_its_day(tmp_path, calendar, zone):
    days = pd.DatetimeIndex(sessions("2020-01-06", "2020-01-17", calendar).astype("datetime64[ns]"), name="Date")
    table = AAA.iloc[: len(days)].set_axis(days)
    table.assign(Time="16:00").to_csv(tmp_path / "AAA.csv")
    assert f'set time_zone = "{zone}"' in refused(tmp_path, calendar=calendar)
    assert_closes(load(tmp_path, calendar=calendar, time_zone=zone), AAA=table)
    pd.concat([table.assign(Time="12:00"), table.assign(Time="16:00")]).to_csv(tmp_path / "AAA.csv")
    for settings in ({}, {"time_zone": zone}):
        assert "time_zone" not in refused(tmp_path, calendar=calendar, **settings)


# -- frames ----------------------------------------------------------------------------------------------------------


def pairs(*levels: str) -> pd.DataFrame:
    frame = pd.concat({"AAA": AAA, "BBB": BBB}, axis=1, names=["Ticker", "Price"])
    return frame if levels[0] == "Ticker" else frame.swaplevel(axis=1).sort_index(axis=1)


FRAMES = {
    "yfinance, by ticker": pairs("Ticker", "Price"),
    "yfinance, by field": pairs("Price", "Ticker"),
    "yfinance, with a time zone": pairs("Price", "Ticker").tz_localize("America/New_York"),
    "long": pd.concat([AAA.assign(Ticker="AAA"), BBB.assign(Ticker="BBB")]).reset_index(),
    "long, dates as index": pd.concat([AAA.assign(Ticker="AAA"), BBB.assign(Ticker="BBB")]),
    "ticker before date": pd.concat({"AAA": AAA, "BBB": BBB}, names=["Ticker"]),
}


def remedy_for(frame: pd.DataFrame) -> str | None:
    """What the message about a frame advises to write behind it; None when it is let in."""
    try:
        check_prices(frame)
    except InputError as error:
        return re.search(r"; use ([^;]*)$", str(error))[1]
    return None


@pytest.mark.parametrize("name", FRAMES)
def test_the_remedies_for_a_frame_lead_to_its_prices(name):
    frame = FRAMES[name]
    while (remedy := remedy_for(frame)) is not None:
        frame = eval(f"frame.{remedy}", {"frame": frame})
    assert_closes(check_prices(frame), AAA=AAA, BBB=BBB)
