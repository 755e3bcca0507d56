from __future__ import annotations

import gzip
import hashlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signals.common.errors import InputError
from signals.data.prices import check_prices
from signals.dataset.universe import UniverseFilters, universe_at, universe_schedule
from signals.reference.membership import membership_warnings, read_membership

TEXT = "ticker,start,end\nAAA,2010-01-04,2010-01-12\nBBB,2010-01-06,\nAAA,2010-02-01,2010-02-10\nNA,2010-01-04,\n"


def write(tmp_path, text, name="members.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def refused(path):
    with pytest.raises(InputError) as caught:
        read_membership(path)
    line = str(caught.value)
    assert len(line.splitlines()) == 1
    assert line.startswith("expected ")
    assert "; found " in line
    return line


def test_spells_are_half_open(tmp_path):
    members = read_membership(write(tmp_path, TEXT))
    for day, expected in {
        "2010-01-03": set(),
        "2010-01-04": {"AAA", "NA"},
        "2010-01-06": {"AAA", "BBB", "NA"},
        "2010-01-11": {"AAA", "BBB", "NA"},
        "2010-01-12": {"BBB", "NA"},
        "2010-02-01": {"AAA", "BBB", "NA"},
        "2010-02-10": {"BBB", "NA"},
        "2030-01-01": {"BBB", "NA"},
    }.items():
        assert members.members_at(day) == expected, day
    assert members.tickers == ("AAA", "BBB", "NA")
    assert members.files == {"members.csv": hashlib.sha256(TEXT.encode()).hexdigest()}
    assert members.warnings == ()
    assert repr(members) == "Membership(3 tickers, 4 spells)"


def test_equivalent_tables_are_read_alike(tmp_path):
    expected = read_membership(write(tmp_path, TEXT))
    table = pd.read_csv(tmp_path / "members.csv", keep_default_na=False, dtype=str)
    (tmp_path / "m.csv.gz").write_bytes(gzip.compress(TEXT.encode()))
    table.to_parquet(tmp_path / "text.parquet")
    dated = table.assign(start=pd.to_datetime(table["start"]), end=pd.to_datetime(table["end"].replace("", None)))
    dated.to_parquet(tmp_path / "dated.parquet")
    others = dated.assign(name="Some Company", weight=0.1).rename(columns={"ticker": "Symbol", "start": "Start"})
    others.to_csv(tmp_path / "others.txt", sep=";", index=False)
    last = "ticker,start,last\nAAA,20100104,20100111\nBBB,20100106,\nAAA,20100201,20100209\nNA,20100104,\n"
    never = TEXT.replace(",\n", ",9999-12-31\n")
    sources = [
        tmp_path / "m.csv.gz",
        str(tmp_path / "text.parquet"),
        tmp_path / "dated.parquet",
        tmp_path / "others.txt",
        dated,
        table.sample(frac=1.0, random_state=0),
        write(tmp_path, never, "never.csv"),
        write(tmp_path, last, "last.csv"),
    ]
    for source in sources:
        got = read_membership(source)
        assert got.tickers == expected.tickers
        for name in ("code", "start", "end"):
            assert getattr(got.spells, name).tolist() == getattr(expected.spells, name).tolist(), (source, name)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "ticker,start,end\nA,2010-01-04,2010-01-04\n",
            "end after it starts; found A from 2010-01-04 until 2010-01-04",
        ),
        ("ticker,start,end\nA,2010-01-04,2009-01-05\n", "found A from 2010-01-04 until 2009-01-05 (1 such rows)"),
        ("ticker,start,last\nA,2010-01-04,2010-01-01\n", "to end after it starts"),
        (
            "ticker,start,end\nA,2010-01-04,\nB,2010-01-04,\nA,2011-01-04,\n",
            "found A from 2010-01-04 without end, and again from 2011-01-04 (1 such pairs)",
        ),
        (
            "ticker,start,end\nA,2010-01-04,2010-03-02\nA,2010-03-01,\n",
            "found A from 2010-01-04 until 2010-03-02, and again from 2010-03-01",
        ),
        ("ticker,start,end\nA,2010-01-04,\naapl.us,2010-01-04,\nAAPL,2010-01-04,\n", "found AAPL from 2010-01-04"),
        ("ticker\nA\n", "expected a column start in members.csv"),
        ("ticker,end\nA,2010-01-04\n", "expected a column start in members.csv"),
        ("name,start,end\nA,2010-01-04,\n", "expected a column ticker in members.csv"),
        ("ticker,symbol,start\nA,A,2010-01-04\n", "expected one column for ticker in members.csv"),
        ("ticker,start,end,last\nA,2010-01-04,,\n", "found both; drop one"),
        ("ticker,start,start\nA,2010-01-04,\n", "expected each column once in members.csv; found 'start' twice"),
        ("ticker,start,end\nA,,\n", "expected a start in every row of members.csv; found none for A in row 1"),
        ("ticker,start,end\n,2010-01-04,\n", "expected a ticker in every row of members.csv; found none in row 1"),
        ("ticker,start,end\nA,04/01/2010,\n", "found '04/01/2010' in row 1; write year-month-day"),
        ("ticker,start,end\nA,2010-01-04,soon\n", "found 'soon' in row 1"),
        ("ticker,start,end\nA,9999-12-31,\n", "found '9999-12-31' in row 1"),
        ("ticker,start,end\nA,2010-01-04 09:30:00,\n", "without a time, among index members in members.csv"),
        ("ticker,start,end\nA,2010-01-04,,x\n", "expected 3 values in every line of members.csv"),
        ("ticker,start,end\n", "expected index members in members.csv; found no rows"),
        ("", "expected a header line in members.csv"),
    ],
)
def test_malformed_tables(tmp_path, text, words):
    assert words in refused(write(tmp_path, text))


def test_invalid_sources_are_refused(tmp_path):
    assert "expected a file" in refused(tmp_path / "none.csv")
    assert "found the folder" in refused(tmp_path)
    assert "expected a file ending in .csv" in refused(write(tmp_path, TEXT, "members.xlsx"))
    with pytest.raises(InputError, match="found int; give its path, or a DataFrame"):
        read_membership(3)
    with pytest.raises(InputError, match="found no rows"):
        read_membership(pd.DataFrame({"ticker": [], "start": []}))


def constant_panel(make_bars, tickers, days=30):
    frame = make_bars(tickers=tickers, days=days)
    frame["volume"] = np.tile(np.arange(1.0, len(tickers) + 1) * 1e6, days)
    return check_prices(frame)


def test_only_members_are_drawn_and_top_counts_among_them(make_bars, tmp_path):
    prices = constant_panel(make_bars, ("AAA", "BBB", "CCC", "NA"))
    panel, members = prices.panel(), read_membership(write(tmp_path, TEXT))
    assert universe_at(panel, "2010-01-08", UniverseFilters(), members) == ("AAA", "BBB", "NA")
    assert universe_at(panel, "2010-01-12", UniverseFilters(), members) == ("BBB", "NA")
    filters = UniverseFilters(max_tickers=2, dollar_volume_window=3, exclude=("NA",))
    schedule = universe_schedule(panel, ["2010-01-08", "2010-01-12"], filters, members)
    assert [names for _, names in schedule] == [("AAA", "BBB"), ("BBB",)]
    # a weekend stands for the Friday before, for prices and for members alike
    assert universe_at(panel, "2010-01-10", UniverseFilters(), members) == ("AAA", "BBB", "NA")
    other = read_membership(pd.DataFrame({"ticker": ["X", "Y"], "start": "2010-01-04"}))
    with pytest.raises(InputError, match=r"expected index members among the 4 tickers.*\(X, Y, …\)"):
        universe_at(panel, "2010-01-08", UniverseFilters(), other)


def test_members_without_prices_give_a_warning(make_bars, tmp_path):
    frame = make_bars(tickers=("AAA", "BBB"), days=30)
    late = frame.drop(index=[(day, "BBB") for day in frame.index.levels[0][:10]])
    panel, members = check_prices(late).panel(), read_membership(write(tmp_path, TEXT))
    (line,) = membership_warnings(panel, ["2010-01-08", "2010-02-01"], members)
    assert "Prices are missing for index members (BBB, NA): at worst 1 of 3 on 2010-01-08 have any." in line
    only = read_membership(pd.DataFrame({"ticker": ["AAA"], "start": "2010-01-04"}))
    assert membership_warnings(panel, ["2010-01-08"], only) == []


DAYS = pd.date_range("2010-01-01", periods=80).strftime("%Y-%m-%d").tolist()


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_rows_about_later_days_change_no_earlier_universe(data):
    """Later joins and ends of today's spells are invisible; against a plain loop over the rows."""
    rows, later = [], []
    cut = data.draw(st.integers(5, 75))
    for ticker in data.draw(st.sets(st.sampled_from("ABCDEFGHIJ"), min_size=1)):
        bounds = sorted(data.draw(st.sets(st.integers(0, 79), min_size=2, max_size=6)))
        for start, end in zip(bounds[::2], bounds[1::2], strict=False):
            open_end = end == bounds[-1] and data.draw(st.booleans())
            rows.append((ticker, DAYS[start], "" if open_end else DAYS[end]))
    for ticker, start, end in rows:
        if start <= DAYS[cut]:
            later.append((ticker, start, end if end and end <= DAYS[cut] else ""))
    later += [("AA", DAYS[79], ""), ("0", DAYS[cut + 1], "")]
    whole, seen = (read_membership(pd.DataFrame(table, columns=["ticker", "start", "end"])) for table in (rows, later))
    for day in DAYS[: cut + 1]:
        expected = {t for t, start, end in rows if start <= day and (not end or day < end)}
        assert whole.members_at(day) == expected
        assert seen.members_at(day) == expected
