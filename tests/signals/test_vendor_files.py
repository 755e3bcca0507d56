"""Price files as vendors and tools write them: each is read right, or refused with a setting that then reads it."""

from __future__ import annotations

import io
import os
import re
import tomllib
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from signals.common.errors import InputError
from signals.sources.files import FilesSource

# -- the remedies that a message names -------------------------------------------------------------------------------

SETTINGS = [field.name for field in fields(FilesSource)]
VALUE = r""""(?:[^"\\]|\\.)*"|'[^']*'|\[[^\]]*\]|\{[^}]*\}|\d+"""
ASSIGNMENT = re.compile(rf"\b({'|'.join(SETTINGS)}) = ({VALUE})")


def remedies(message):
    """Settings that a message names, written as in TOML: one dict for each alternative."""
    found, end = [], None
    for match in ASSIGNMENT.finditer(message):
        setting = tomllib.loads(match[0])
        if end is not None and message[end : match.start()] == " and ":
            found[-1] |= setting
        else:
            found.append(setting)
        end = match.end()
    return found


def together(settings, more):
    """Settings with some more; the columns named by both are joined."""
    merged = settings | more
    if "column_names" in settings and "column_names" in more:
        merged["column_names"] = settings["column_names"] | more["column_names"]
    return merged


def readings(path, **settings):
    """Every price table that following the messages leads to, and the settings of each."""
    try:
        return [(FilesSource(path, **settings).load(), settings)]
    except InputError as error:
        message = str(error)
    ways = remedies(message)
    assert ways, f"no setting in: {message}"
    found = []
    for way in ways:
        merged = together(settings, way)
        assert merged != settings, f"followed, and asked for once more: {message}"
        try:
            found += readings(path, **merged)
        except AssertionError:
            # of two alternatives one may be wrong for the file; one alone may not
            if len(ways) == 1:
                raise
    assert found, f"no alternative of this reads the file: {message}"
    return found


def test_settings_are_parsed_from_a_message():
    assert remedies('x; set decimal = "," and thousands = ".", or header = 3') == [
        {"decimal": ",", "thousands": "."},
        {"header": 3},
    ]
    assert remedies('set column_names = { close = "Close/Last" }') == [{"column_names": {"close": "Close/Last"}}]
    assert remedies('set header = ["date", "close"]') == [{"header": ["date", "close"]}]
    assert remedies("get the file again") == []


# -- the folder of cases ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """What a folder of the cases holds.

    `tickers` maps each expected ticker to the series of the reference whose closes it has, times `factor`. `asks` says
    whether a setting is needed, `calendar` which one the dates follow, `rows` how many bars each ticker has, and
    `renamed` the tickers once the pattern of file names that a note proposes is set.
    """

    tickers: dict[str, str]
    factor: float = 1.0
    asks: bool = False
    calendar: str = "XNYS"
    rows: int = 10
    renamed: tuple[str, ...] = ()


ONE = {"AAA": "AAA"}
TWO = {"AAA": "AAA", "BBB": "BBB"}
CRYPTO = "24/7"

CASES = {
    "alpaca": Case(TWO, asks=True),
    "av_desc": Case({"daily_adjusted_AAA": "AAA"}, 0.9, renamed=("AAA",)),
    "av_sorted": Case(ONE, 0.9),
    "binance": Case({"BTCUSDT-1d-2020-01": "AAA"}, asks=True, calendar=CRYPTO, renamed=("BTCUSDT",)),
    "binance_dup": Case({"BTCUSDT-1d-2020-01": "BTC"}, asks=True, calendar=CRYPTO, rows=1, renamed=("BTCUSDT",)),
    "cdd_mended": Case({"BTC/USD": "AAA"}, calendar=CRYPTO),
    "eodhd": Case(ONE, 0.9),
    "euro_comma": Case(ONE, asks=True),
    "euro_ddmm": Case(ONE, asks=True),
    "euro_dmy_dash": Case(ONE, asks=True),
    "excel_us": Case(ONE, asks=True),
    "investing": Case({"AAA Historical Data": "AAA"}, asks=True, renamed=("AAA",)),
    "mixed": Case(TWO, asks=True),
    "mt5": Case({"AAA_DAILY": "AAA"}, renamed=("AAA",)),
    "mt5_iso": Case({"AAA_DAILY": "AAA"}, renamed=("AAA",)),
    "nasdaq": Case({"HistoricalData_123": "AAA"}, asks=True),
    "polygon": Case(TWO, asks=True, rows=3),
    "stooq_web": Case({"aaa_us_d": "AAA"}, renamed=("aaa",)),
    "thousands": Case({"CCC": "CCC"}, asks=True),
    "tiingo": Case(ONE, 0.9),
    "wiki_bulk": Case(TWO, 0.9),
    "wiki_single": Case(ONE, 0.5),
    "yahoo_old_null": Case(ONE, 0.9, rows=9),
    "yahoo_webtable_isodates": Case(ONE, 0.9),
    "yf_groupby": Case(TWO, 0.9),
    "yf_multi": Case(TWO, 0.9),
    "yf_parquet": Case(TWO, 0.9),
    "yf_single_multi": Case(ONE, 0.9),
    "yf_stack": Case(TWO, 0.9),
    "yf_stack_idx": Case(TWO, 0.9),
    "yf_wide": Case(TWO, 0.9),
    "yf_wide2": Case({"^GSPC": "AAA", "BRK-B": "BBB"}, 0.9),
    "yf_wide_failed": Case(TWO, 0.9),
    **dict.fromkeys(
        [
            "av_pandas",
            "av_pandas_sorted",
            "caps",
            "closename_0",
            "closename_1",
            "closename_2",
            "closename_3",
            "closename_4",
            "closename_5",
            "excel_blanklines",
            "excel_bom",
            "excel_trailing",
            "excel_utf16",
            "folder_allnull",
            "folder_headeronly",
            "gz",
            "huge",
            "int_dates",
            "investing_mended",
            "nasdaq_mended",
            "noname_index",
            "pipe",
            "rowno",
            "stooq_empty",
            "tradingview_day",
            "tsv",
            "unnamed",
            "yf_history",
            "yf_utc",
            "zip",
        ],
        Case(ONE),
    ),
    **dict.fromkeys(
        [
            "finrl",
            "kaggle_5yr",
            "pq_Int64",
            "pq_arrow",
            "pq_cat",
            "pq_date32",
            "pq_f32",
            "pq_idx",
            "pq_strdate",
            "stooq",
            "stooq_tree",
        ],
        Case(TWO),
    ),
    **{
        f"tickname_{name}": Case(TWO)
        for name in [
            "Company",
            "Name",
            "Stock",
            "Symbols",
            "TICKER",
            "act_symbol",
            "asset",
            "code",
            "instrument",
            "permno",
            "secid",
            "sid",
            "stock_id",
            "tic",
        ]
    },
    **{
        f"word_{word}_{layout}": Case({"AAA": "AAA", word: "BBB"}, asks=(word, layout) == ("CLOSE", "wide"))
        for word in ("CLOSE", "LOW", "NA", "OPEN", "PER", "TRUE")
        for layout in ("groupby", "parquet", "price", "wide")
    },
}

# Refused, since no setting can read them: what the message must name instead.
UNREADABLE = {
    "epoch_s": "date_format",  # thousands of seconds
    "stooq_limit": "Exceeded the daily hits limit",
    "stooq_nodata": "No data",
    "yahoo_live_dup": "AAA on 2020-01-15 more than once",
}


@pytest.fixture(scope="module")
def cases():
    """Folder of the cases, or a skip that names the variable to set."""
    default = Path(__file__).resolve().parents[3] / "shared" / "cases"
    folder = Path(os.environ.get("RNN_STRATEGIES_CASES", default)) / "files"
    if not folder.is_dir():
        pytest.skip(f"no cases in {folder.parent}; set RNN_STRATEGIES_CASES to the folder that holds files/")
    return folder


@pytest.fixture(scope="module")
def reference(cases):
    """Closes of every series, by plain pandas, and the sessions they are of."""
    table = pd.read_csv(cases / "yf_stack_idx" / "prices.csv", parse_dates=["Date"])
    closes = table.pivot(index="Date", columns="Ticker", values="Close")
    thousands = pd.read_csv(cases / "thousands" / "CCC.csv", thousands=",")
    closes["CCC"] = thousands["Close"].to_numpy()
    kline = next((cases / "binance_dup").iterdir()).read_text().split(",")
    closes["BTC"] = float(kline[4])
    return closes


def is_right(prices, case, reference):
    if set(prices.tickers) != set(case.tickers):
        return False
    for ticker, series in case.tickers.items():
        closes = prices.frame["close"].xs(ticker, level="ticker")
        if len(closes) != case.rows:
            return False
        expected = reference[series].iloc[: case.rows]
        if case.calendar == "XNYS":
            expected = reference[series].reindex(closes.index)
        tolerance = 1e-4 if case.factor != 1 else 1e-6  # adjusted closes are written with few digits
        if not np.allclose(closes, expected * case.factor, rtol=tolerance, atol=0):
            return False
    return True


def test_every_folder_has_an_expectation(cases):
    assert {folder.name for folder in cases.iterdir()} == CASES.keys() | UNREADABLE.keys()


@pytest.mark.parametrize("name", CASES)
def test_a_vendor_folder_is_read_right_or_by_the_settings_its_message_names(cases, reference, name):
    case = CASES[name]
    path = cases / name
    if not path.is_dir():
        pytest.skip(f"no case {name} in {cases}")
    if not case.asks:
        prices, settings = FilesSource(path, calendar=case.calendar).load(), {"calendar": case.calendar}
        assert is_right(prices, case, reference), prices.frame
    else:
        with pytest.raises(InputError, match=r"; found .*; .*set "):
            FilesSource(path, calendar=case.calendar).load()
        right = [(p, s) for p, s in readings(path, calendar=case.calendar) if is_right(p, case, reference)]
        assert len(right) == 1
        prices, settings = right[0]
    proposed = [way for note in prices.warnings for way in remedies(note)]
    assert bool(proposed) is bool(case.renamed)
    for way in proposed:
        assert FilesSource(path, **settings, **way).load().tickers == case.renamed


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_vendor_folder_that_no_setting_can_read_is_refused(cases, name):
    path = cases / name
    if not path.is_dir():
        pytest.skip(f"no case {name} in {cases}")
    with pytest.raises(InputError) as caught:
        _follow_all(path)
    assert UNREADABLE[name] in str(caught.value)


def _follow_all(path, **settings):
    """Read a file with the first setting of each message until there is none."""
    while True:
        try:
            return FilesSource(path, **settings).load()
        except InputError as error:
            ways = remedies(str(error))
            if not ways or together(settings, ways[0]) == settings:
                raise
            settings = together(settings, ways[0])


def test_a_file_without_the_duplicate_that_is_named_is_read(cases, reference, tmp_path):
    source = cases / "yahoo_live_dup" / "AAA.csv"
    if not source.is_file():
        pytest.skip(f"no {source}")
    table = pd.read_csv(source).drop_duplicates("Date", keep="first")
    table.to_csv(tmp_path / "AAA.csv", index=False)
    assert is_right(FilesSource(tmp_path).load(), Case(ONE, 0.9, rows=9), reference)


# -- small inputs of our own -----------------------------------------------------------------------------------------

# Sessions of New York with days both below and above 12; a day may be taken for a month, a month not for a day.
DAYS = pd.to_datetime(["2021-03-01", "2021-03-02", "2021-03-03", "2021-03-12", "2021-03-15", "2021-03-16"])
ISO = DAYS.strftime("%Y-%m-%d")
CLOSE = np.array([20.5, 21.25, 20.75, 22.0, 22.5, 21.75])
OPEN, HIGH, LOW = CLOSE - 0.25, CLOSE + 0.5, CLOSE - 0.75
VOLUME = np.array([1500, 2500, 1200, 3100, 2200, 1800])
QUOTES = {"Open": OPEN, "High": HIGH, "Low": LOW, "Close": CLOSE, "Volume": VOLUME}


def table(dates=ISO, date="Date", **columns):
    return pd.DataFrame({date: dates, **columns})


def stacked(column, *tickers):
    return pd.concat([table(**{column: ticker}, **QUOTES) for ticker in tickers])


def two_level(*tickers):
    """Frame as yfinance gives it: (field, ticker) columns."""
    frame = pd.concat({ticker: pd.DataFrame(QUOTES, index=DAYS.rename("Date")) for ticker in tickers}, axis=1)
    return frame.swaplevel(axis=1).sort_index(axis=1).rename_axis(columns=["Price", "Ticker"])


def dollars(values):
    """Dollars as Nasdaq writes them."""
    return [f"${value:.2f}" for value in values]


# Name: file, what is in it, how `to_csv` writes that, and the tickers that it holds.
INPUTS = {
    "Nasdaq: Close/Last with dollars, newest first": (
        "AAA.csv",
        table(
            DAYS.strftime("%m/%d/%Y"),
            **{"Close/Last": dollars(CLOSE), "Volume": VOLUME, "Open": dollars(OPEN), "High": dollars(HIGH)},
            Low=dollars(LOW),
        )[::-1],
        {},
        ["AAA"],
    ),
    "Bloomberg: PX_LAST": (
        "AAA.csv",
        table(DAYS.strftime("%m/%d/%Y"), PX_OPEN=OPEN, PX_HIGH=HIGH, PX_LOW=LOW, PX_LAST=CLOSE, PX_VOLUME=VOLUME),
        {},
        ["AAA"],
    ),
    "Alpha Vantage: 4. close": (
        "AAA.csv",
        table(**{"1. open": OPEN, "2. high": HIGH, "3. low": LOW, "4. close": CLOSE, "5. volume": VOLUME}),
        {},
        ["AAA"],
    ),
    "an unknown close beside open, high and low": (
        "AAA.csv",
        table(Open=OPEN, High=HIGH, Low=LOW, Fin=CLOSE, Volume=VOLUME),
        {},
        ["AAA"],
    ),
    "decimal commas, semicolons, dd.mm.yyyy": (
        "AAA.csv",
        table(DAYS.strftime("%d.%m.%Y"), **QUOTES),
        {"sep": ";", "decimal": ","},
        ["AAA"],
    ),
    "thousands": (
        "AAA.csv",
        table(**{name: [f"{1000 * value:,.2f}" for value in values] for name, values in QUOTES.items()}),
        {},
        ["AAA"],
    ),
    "dd/mm/yyyy": ("AAA.csv", table(DAYS.strftime("%d/%m/%Y"), **QUOTES), {}, ["AAA"]),
    "no header": ("AAA.csv", table(**QUOTES), {"header": False}, ["AAA"]),
    "no header, tickers": ("all.csv", stacked("Ticker", "AAA", "BBB"), {"header": False}, ["AAA", "BBB"]),
    "remarks before the header": (
        "AAA.csv",
        "# exported\n#\n" + table(**QUOTES).to_csv(index=False),
        {},
        ["AAA"],
    ),
    "seconds since 1970": ("AAA.csv", table(DAYS.astype("datetime64[s]").astype("int64"), **QUOTES), {}, ["AAA"]),
    "spreadsheet days": ("AAA.csv", table((DAYS - pd.Timestamp("1899-12-30")).days, **QUOTES), {}, ["AAA"]),
    "a ticker column of an unusual name": ("all.csv", stacked("secu", "AAA", "BBB"), {}, ["AAA", "BBB"]),
    "names of tickers that are words": (
        "all.csv",
        stacked("symbol", "LOW", "NA", "TRUE", "OPEN", "nan"),
        {},
        ["LOW", "NA", "OPEN", "TRUE", "nan"],
    ),
    "wide, with row numbers": ("w.csv", table(AAA=CLOSE, BBB=CLOSE), {"index": True}, ["AAA", "BBB"]),
    "wide, with row numbers twice": (
        "w.csv",
        pd.DataFrame({"Unnamed: 0.1": range(6), "Unnamed: 0": range(6)}).join(table(AAA=CLOSE, LOW=CLOSE)),
        {},
        ["AAA", "LOW"],
    ),
    "wide, with a ticker CLOSE": ("w.csv", table(AAA=CLOSE, CLOSE=CLOSE), {}, ["AAA", "CLOSE"]),
    "yfinance, flattened": (
        "w.csv",
        table(**{f"{field}_{ticker}": QUOTES[field] for ticker in ("AAA", "LOW") for field in QUOTES}),
        {},
        ["AAA", "LOW"],
    ),
    "yfinance, flattened to tuples": (
        "w.csv",
        table(**{str((field, ticker)): QUOTES[field] for ticker in ("AAA", "BBB") for field in QUOTES}),
        {},
        ["AAA", "BBB"],
    ),
    "yfinance, two header rows": ("w.csv", two_level("AAA", "NA").to_csv(), {}, ["AAA", "NA"]),
    "yfinance, parquet": ("w.parquet", two_level("AAA", "TRUE"), {}, ["AAA", "TRUE"]),
    "tabs": ("AAA.tsv", table(**QUOTES), {"sep": "\t"}, ["AAA"]),
    "zip with one file": ("AAA.zip", table(**QUOTES), {}, ["AAA"]),
    "a nested folder": ("us/tech/AAA.csv", table(**QUOTES), {}, ["AAA"]),
    "two closes": ("AAA.csv", table(close=CLOSE, **QUOTES), {}, ["AAA"]),
    "Last and Settle": (
        "AAA.csv",
        table(Open=OPEN, High=HIGH, Low=LOW, Last=CLOSE, Settle=CLOSE + 0.05, Volume=VOLUME),
        {},
        ["AAA"],
    ),
    "German names": (
        "AAA.csv",
        table(DAYS.strftime("%d.%m.%Y"), "Datum", Erster=OPEN, Hoch=HIGH, Tief=LOW, Schlusskurs=CLOSE, Stücke=VOLUME),
        {"sep": ";", "decimal": ","},
        ["AAA"],
    ),
    "Polish names": (
        "AAA.csv",
        table(ISO, "Data", Otwarcie=OPEN, Najwyzszy=HIGH, Najnizszy=LOW, Zamkniecie=CLOSE, Wolumen=VOLUME),
        {},
        ["AAA"],
    ),
    "French names": ("AAA.csv", table(date="date", ouv=OPEN, haut=HIGH, bas=LOW, clot=CLOSE), {}, ["AAA"]),
    "Chinese names": ("AAA.csv", table(ISO, "日期", 开盘=OPEN, 收盘=CLOSE, 最高=HIGH, 最低=LOW), {}, ["AAA"]),
    "names of a language that is not known": (
        "AAA.csv",
        table(Nyito=OPEN, Legmagasabb=HIGH, Legalacsonyabb=LOW, Zaro=CLOSE, Darab=VOLUME),
        {},
        ["AAA"],
    ),
    "bid and ask": (
        "EURUSD.csv",
        table(bid_open=OPEN, bid_high=HIGH, bid_low=LOW, bid_close=CLOSE, ask_open=OPEN, ask_close=CLOSE + 0.01),
        {},
        ["EURUSD"],
    ),
    "BidClose": ("EURUSD.csv", table(BidOpen=OPEN, BidClose=CLOSE, AskClose=CLOSE + 0.01), {}, ["EURUSD"]),
    "a close with its unit": ("AAA.csv", table(**{"Close USD": CLOSE}), {}, ["AAA"]),
    "MetaTrader 4: no header, a clock": (
        "AAA.csv",
        table(DAYS.strftime("%Y.%m.%d")).assign(time="00:00", **QUOTES),
        {"header": False},
        ["AAA"],
    ),
    "Barchart: a last line of words": (
        "AAA.csv",
        table(DAYS.strftime("%m/%d/%Y"), "Time", Open=OPEN, High=HIGH, Low=LOW, Last=CLOSE).to_csv(index=False)
        + '"Downloaded from Barchart.com as of 03-17-2021 09:15am CDT"\n',
        {},
        ["AAA"],
    ),
    "stamped at the close of the exchange": (
        "AAA.csv",
        table([f"{day.month}/{day.day}/{day.year} 16:00:00" for day in DAYS], **QUOTES),
        {},
        ["AAA"],
    ),
    "yfinance, two header rows read and written with row numbers": (
        "w.csv",
        pd.read_csv(io.StringIO(two_level("AAA", "BBB").to_csv())).to_csv(),
        {},
        ["AAA", "BBB"],
    ),
    "wide, lower case": ("w.csv", table(aapl=CLOSE, low=CLOSE, msft=CLOSE), {}, ["aapl", "low", "msft"]),
    "wide, with a volume": ("w.csv", table(AAA=CLOSE, BBB=CLOSE, Volume=VOLUME), {}, ["AAA", "BBB"]),
    "wide, of words in capitals": (
        "w.csv",
        table(AAA=CLOSE, **dict.fromkeys(["BAS", "DATA", "LAST", "VALUE", "TIME", "CODE"], CLOSE)),
        {},
        ["AAA", "BAS", "CODE", "DATA", "LAST", "TIME", "VALUE"],
    ),
    "two currencies": (
        "BTC.csv",
        table(
            **{
                f"{place}. {field.lower()} ({unit})": QUOTES[field] * rate
                for unit, place_of, rate in (("EUR", "a", 1), ("USD", "b", 1.2))
                for place, field in ((f"{n}{place_of}", f) for n, f in enumerate(("Open", "High", "Low", "Close"), 1))
            }
        ),
        {},
        ["BTC"],
    ),
    "ECB: a key, a value and a status": (
        "AAA.csv",
        table(date="TIME_PERIOD", KEY="EXR.D.USD.EUR.SP00.A", OBS_VALUE=CLOSE, OBS_STATUS="A"),
        {},
        ["AAA"],
    ),
    "an open beside the close, no high and low": ("AAA.csv", table(Open=OPEN, Close=CLOSE), {}, ["AAA"]),
    "an adjusted close of an unusual name": (
        "AAA.csv",
        table(**QUOTES, close_split_adj=CLOSE),
        {},
        ["AAA"],
    ),
}


def written(folder, name):
    """Write one of `INPUTS`; the path to read."""
    file, content, options, _ = INPUTS[name]
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        content.to_parquet(path)
        return path
    text = content if isinstance(content, str) else content.to_csv(**{"index": False, **options})
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("AAA.csv", text)
    else:
        path.write_text(text)
    return folder


@pytest.mark.parametrize("name", INPUTS)
def test_a_file_is_read_right_or_by_the_settings_its_message_names(tmp_path, name):
    scale = 1000 if name == "thousands" else 1
    found = readings(written(tmp_path, name))
    right = []
    for prices, settings in found:
        if list(prices.tickers) != INPUTS[name][-1]:
            continue
        closes = prices.frame["close"].unstack("ticker")
        if closes.index.equals(DAYS) and np.allclose(closes, scale * CLOSE[:, None], rtol=1e-12, atol=0):
            right.append(settings)
            if not prices.close_only:
                for field in ("open", "high", "low"):
                    values = prices.frame[field].unstack("ticker")
                    assert np.allclose(values, scale * QUOTES[field.title()][:, None], rtol=1e-12, atol=0)
    assert right, [(prices.tickers, settings) for prices, settings in found]


@pytest.mark.parametrize(
    "columns",
    [
        {"Open": OPEN, "High": HIGH, "Low": LOW, "Volume": VOLUME},
        {"open": OPEN, "high": HIGH, "low": LOW},
        {"AAA": CLOSE, "Volume": VOLUME},
        {"Volume": VOLUME},
    ],
    ids=lambda columns: "-".join(columns),
)
def test_fields_without_a_close_are_no_tickers(tmp_path, columns):
    table(**columns).to_csv(tmp_path / "AAA.csv", index=False)
    with pytest.raises(InputError, match=r"expected a close in AAA\.csv; found Date.*column_names"):
        FilesSource(tmp_path).load()


def test_tickers_in_lower_case_are_no_bars(tmp_path):
    """Four closes of stocks whose order never changes lie further apart than open, high, low and close do."""
    tickers = {"ko": 2 * CLOSE, "aapl": 9 * CLOSE, "f": 0.5 * CLOSE, "msft": 7 * CLOSE}
    table(**tickers).to_csv(tmp_path / "w.csv", index=False)
    assert FilesSource(tmp_path).load().tickers == ("aapl", "f", "ko", "msft")


def test_minute_bars_are_never_read_as_days(tmp_path):
    dates = pd.date_range("2021-03-01 09:30", periods=6, freq="min")
    for written_as in (dates.strftime("%Y-%m-%d %H:%M"), dates.strftime("%m/%d/%Y %H:%M:%S"), dates.astype("int64")):
        table(written_as, **QUOTES).to_csv(tmp_path / "AAA.csv", index=False)
        with pytest.raises(InputError) as caught:
            _follow_all(tmp_path)
        assert "date" in str(caught.value)


@pytest.mark.parametrize("columns", [QUOTES, {"AAA": CLOSE, "BBB": CLOSE}], ids=["long", "wide"])
def test_a_last_line_of_words_is_left_out_with_a_warning(tmp_path, columns):
    text = table(**columns).to_csv(index=False) + '"Downloaded from somewhere as of 2021-03-17"\n'
    (tmp_path / "AAA.csv").write_text(text)
    prices = FilesSource(tmp_path).load()
    assert prices.frame.index.get_level_values("date").unique().equals(DAYS.rename("date"))
    assert [note for note in prices.warnings if "Downloaded from somewhere" in note and "left out" in note]
