from __future__ import annotations

import gzip
import hashlib
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from signals.common.errors import InputError
from signals.dataset.universe import UniverseFilters, universe_at
from signals.sources.factor_files import read_factors
from signals.sources.files import FilesSource

QUOTES = ["open", "high", "low", "close"]
FACTORS = "20100107,0.9,0.5,10\n20100112,1,0.5\n20501231,1,1,0\n"


def refused(path, **options):
    with pytest.raises(InputError) as caught:
        FilesSource(path, **options).load()
    line = str(caught.value)
    assert len(line.splitlines()) == 1
    return line


@pytest.fixture
def folders(make_bars, tmp_path):
    """Raw bars of AAA and BBB, one file each, and factors of both."""
    raw, factors = tmp_path / "raw", tmp_path / "factors"
    raw.mkdir()
    factors.mkdir()
    for ticker, rows in make_bars().drop(columns="adj_factor").reset_index().groupby("ticker"):
        rows.drop(columns="ticker").to_csv(raw / f"{ticker}.csv", index=False)
        (factors / f"{ticker.lower()}.csv").write_text(FACTORS)
    return raw, factors


def test_factor_applies_up_to_and_including_its_date(folders, make_bars):
    raw, factors = folders
    prices = FilesSource(raw, factor_files=factors).load()
    bars = make_bars()
    expected = np.repeat([0.45] * 4 + [0.5] * 3 + [1.0] * 3, 2)  # 4 to 7 January, until the 12th, until the 15th
    np.testing.assert_allclose(prices.frame["adj_factor"], expected, rtol=1e-15)
    for name in QUOTES:
        np.testing.assert_array_equal(prices.frame[name], bars[name] * prices.frame["adj_factor"])
    np.testing.assert_array_equal(prices.frame["volume"], bars["volume"])
    assert prices.raw_known
    digest = hashlib.sha256(FACTORS.encode()).hexdigest()
    assert prices.files["factors/aaa.csv"] == prices.files["factors/bbb.csv"] == digest
    assert "adjusted prices are raw prices times the factors of 2 factor files" in prices.warnings
    wrong = "aaa.csv: 1 of 1 reference prices differ from the raw close of AAA by more than 1 %"
    assert any(note.startswith(wrong) for note in prices.warnings)


def test_only_requested_tickers_need_factors(folders):
    raw, factors = folders
    (factors / "bbb.csv").unlink()
    line = refused(raw, factor_files=factors)
    assert "like BBB_factors.csv; found none for BBB" in line
    assert FilesSource(raw, factor_files=factors, tickers=["AAA"]).load().tickers == ("AAA",)
    long = pd.concat([pd.read_csv(file).assign(ticker=file.stem) for file in sorted(raw.iterdir())])
    long.to_csv(raw.parent / "long.csv", index=False)
    assert FilesSource(raw.parent / "long.csv", factor_files=factors, tickers=["AAA"]).load().tickers == ("AAA",)
    one = FilesSource(raw / "AAA.csv", factor_files=factors / "aaa.csv").load()
    np.testing.assert_allclose(one.frame["adj_factor"].iloc[[0, -1]], [0.45, 1.0])
    assert "for 2 tickers; name their folder" in refused(raw, factor_files=factors / "aaa.csv")
    assert "found none; correct prices.factor_files" in refused(raw, factor_files=factors / "none")
    (factors / "AAA_factors.csv").write_text(FACTORS)
    assert FilesSource(raw, factor_files=factors, tickers=["AAA"]).load()  # the longer name is meant
    (factors / "aaa_factor.csv").write_text(FACTORS)
    assert "found AAA_factors.csv and aaa_factor.csv for AAA" in refused(raw, factor_files=factors, tickers=["AAA"])


def test_one_way_to_adjust(folders):
    raw, factors = folders
    for file in raw.iterdir():
        pd.read_csv(file).assign(adj_close=1.0).to_csv(file, index=False)
    assert "expected one way to adjust prices; found adj_close and factor files" in refused(raw, factor_files=factors)


def test_names_of_files(folders, tmp_path):
    raw, _ = folders
    both = tmp_path / "both"
    both.mkdir()
    for file in raw.iterdir():
        (both / f"daily_{file.stem}_raw.csv").write_bytes(file.read_bytes())
        (both / f"{file.stem}_factors.csv").write_text(FACTORS)
    (both / "daily__raw.csv").write_text("x")
    prices = FilesSource(both, file_names="daily_{ticker}_raw", factor_files=both).load()
    assert prices.tickers == ("AAA", "BBB")
    assert prices.warnings[0] == "ignored in the folder: AAA_factors.csv, BBB_factors.csv, daily__raw.csv"
    assert FilesSource(both, file_names="daily_{ticker}_raw", tickers=["AAA"]).load().tickers == ("AAA",)
    assert FilesSource(both / "daily_AAA_raw.csv", file_names="daily_{ticker}_raw").load().tickers == ("AAA",)
    assert "expected files named x_{ticker} and ending in .csv" in refused(both, file_names="x_{ticker}")
    for bad in ("{ticker}{ticker}", "daily", ""):
        assert "write {ticker} once" in refused(both, file_names=bad)
    # factors beside the prices are no prices, even without a pattern
    for file in raw.iterdir():
        (raw / f"{file.stem}_factors.csv").write_text(FACTORS)
    assert FilesSource(raw, factor_files=raw).load().tickers == ("AAA", "BBB")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected factors in aaa.csv; found no line"),
        ("20100107,1\n", "found '20100107,1' in line 1"),
        ("20100107,1,0\n", "found '20100107,1,0' in line 1"),
        ("20100107,1,nan\n", "in line 1"),
        ("20100107,inf,1\n", "in line 1"),
        ("20100107,1,1,1,1\n", "in line 1"),
        ("date,price,split\n20100107,1,1\n", "found 'date,price,split' in line 1"),
        ("20100107,1,1\n20100107,1,1\n", "expected ascending dates in aaa.csv; found 2010-01-07 after 2010-01-07"),
        ("20100107,1,1\n20100112,1,1\n", "found none for 2010-01-13 in aaa.csv, whose last line is of 2010-01-12"),
        ("20501231,1,1\x00\n", "in line 1"),
        ("2010-01-07 09:30:00,1,1\n", "in line 1"),
    ],
)
def test_malformed_factor_files(folders, text, words):
    raw, factors = folders
    (factors / "aaa.csv").write_text(text)
    assert words in refused(raw, factor_files=factors)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.one_of(st.binary(max_size=80), st.text("0123456789,.-\n\"'\x00eE", max_size=80).map(str.encode)))
@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_any_bytes_give_factors_or_one_line(tmp_path, content, suffix):
    path = tmp_path / f"aaa{suffix}"
    path.write_bytes(content)
    table, line = None, ""
    try:
        table = read_factors(path)
    except InputError as error:
        line = str(error)
    assert table is None or ((table.factor > 0).all() and (np.diff(table.days) > np.timedelta64(0, "D")).all())
    assert len(line.splitlines()) == (table is None)


# -- real splits and dividends ---------------------------------------------------------------------------------------

TICKERS = ("aapl", "aig", "bac", "ibm", "spy")


@pytest.fixture(scope="module")
def real(shared_data):
    folder = shared_data / "corporate-actions-sample"
    return FilesSource(folder, file_names="{ticker}_daily_raw", factor_files=folder).load()


def test_real_adjusted_and_raw_prices_agree_with_the_factor_files(real, shared_data):
    folder = shared_data / "corporate-actions-sample"
    assert real.tickers == TICKERS
    assert real.raw_known
    for ticker in TICKERS:
        with gzip.open(folder / f"{ticker}_daily_raw.csv.gz", "rt") as handle:
            raw = pd.read_csv(handle, parse_dates=["date"]).set_index("date")
        table = pd.read_csv(folder / f"{ticker}_factors.csv", header=None, usecols=[0, 1, 2], names=["day", "p", "s"])
        table.index = pd.to_datetime(table["day"].astype(str))
        # the line that counts is the first dated on or after the bar
        factor = (table["p"] * table["s"]).reindex(raw.index.union(table.index)).bfill().reindex(raw.index)
        mine = real.frame.xs(ticker, level=1)
        assert len(mine) == len(raw) == 5580
        np.testing.assert_allclose(mine["adj_factor"], factor, rtol=1e-15)
        for name in QUOTES:
            np.testing.assert_allclose(mine[name], raw[name] * factor, rtol=1e-14)
            np.testing.assert_allclose(mine[name] / mine["adj_factor"], raw[name], rtol=1e-14)
        np.testing.assert_array_equal(mine["volume"], raw["volume"])


@pytest.mark.parametrize(
    ("ticker", "day", "ratio"),
    [
        ("aapl", "2000-06-21", 2),
        ("aapl", "2005-02-28", 2),
        ("aapl", "2014-06-09", 7),
        ("ibm", "1999-05-27", 2),
        ("bac", "2004-08-30", 2),
        ("aig", "2009-07-01", 1 / 20),
    ],
)
def test_real_splits_are_adjusted_without_a_jump(real, ticker, day, ratio):
    mine = real.frame.xs(ticker, level=1)
    place = mine.index.get_loc(pd.Timestamp(day))
    raw = mine["close"] / mine["adj_factor"]
    assert raw.iloc[place - 1] / raw.iloc[place] == pytest.approx(ratio, rel=0.3)  # AIG fell by a fifth as well
    assert mine["close"].iloc[place] / mine["close"].iloc[place - 1] == pytest.approx(1, abs=0.25)


def test_real_factors_of_another_security_give_a_warning(real):
    warnings = [note for note in real.warnings if "another security" in note]
    assert len(warnings) == 1
    assert warnings[0].startswith("bac_factors.csv: 4 of 84 reference prices differ")


SPLITS = {"aapl": "2014-06-09", "aig": "2009-07-01", "bac": "2004-08-30", "ibm": "1999-05-27", "spy": "2012-01-03"}


@settings(max_examples=30, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    factors=st.lists(st.floats(1e-4, 1e4), min_size=5, max_size=5),
    cells=st.lists(st.tuples(st.integers(70, 5500), st.integers(0, 4)), min_size=6, max_size=6),
)
def test_real_history_before_a_split_may_be_rescaled(real, factors, cells):
    """What a new split does to adjusted prices: no universe of any past day may notice."""
    panel = real.panel()
    scale = np.ones(panel.close.shape)
    for column, (ticker, factor) in enumerate(zip(TICKERS, factors, strict=True)):
        scale[panel.dates < np.datetime64(SPLITS[ticker]), column] = factor
    scaled = replace(panel, close=panel.close * scale, adj_factor=panel.adj_factor * scale)
    raw = np.round(panel.close / panel.adj_factor, 2)
    for t, column in cells:
        day = panel.dates[t]
        # thresholds equal to a price or a median, where the last bit decides
        price, recent = float(raw[t, column]), slice(t - 62, t + 1)
        dollars = float(np.median(raw[recent, column] * panel.volume[recent, column]))
        at_price, at_dollars = UniverseFilters(min_price=price), UniverseFilters(min_dollar_volume=dollars)
        for filters in (at_price, at_dollars, UniverseFilters(max_tickers=2, min_price=price)):
            assert universe_at(panel, day, filters) == universe_at(scaled, day, filters)
        assert TICKERS[column] in universe_at(scaled, day, at_price)
        assert TICKERS[column] in universe_at(scaled, day, at_dollars)
