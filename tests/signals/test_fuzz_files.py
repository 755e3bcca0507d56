"""Any content of a file gives checked prices (members, sectors, symbols) or an error of one line."""

from __future__ import annotations

import datetime as dt
import decimal
import gzip
import os
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from signals.common.errors import InputError
from signals.data.prices import check_prices
from signals.reference.membership import read_membership
from signals.reference.sectors import read_sectors
from signals.reference.security_ids import read_symbol_changes
from signals.sources.files import FilesSource

quick = settings(
    max_examples=int(os.environ.get("FUZZ", 100)),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


def words(text):
    return text.split()


TICKERS = ["", " ", "a\nb", "x" * 300, *words("AAA BRK/B ../x ..\\x NA TRUE nan 007 1e5 =SUM(A1) cash Ü 🚀")]
DATES = [
    *("", "2010-01-08T00:00:00Z", "2010-01-11 00:00:00-05:00", "2010-01-12 09:30", "Jan 4, 2010", "٢٠١٠-٠١-٠٤"),
    *words("2010-01-04 2010-01-05 20100106 01/07/2010 7.1.2010 2010-01-09 2010-02-30 1262563200 9999-12-31 NaT"),
]
NUMBERS = [
    *("", "9" * 400, "\x00"),
    *words("1 2.5 0 -1 1e308 1e309 1e-320 nan inf -inf 1,5 1_000 0x10 TRUE N/A 1.0.0 １ $5 5% (5)"),
]
NAMES = [
    *("", " ", "a\nb", "\x00", "x" * 300, "Adj Close"),
    *words("date Date ticker Symbol open high low close Close volume adj_factor time start end last id sector"),
    *words("<DATE> <PER> Price Ticker AAA"),
]

cells = st.one_of(st.sampled_from(TICKERS + DATES + NUMBERS), st.text(max_size=8))
headers = st.lists(st.one_of(st.sampled_from(NAMES), st.text(max_size=5)), min_size=1, max_size=9)
encodings = st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1", "cp1252", "utf-32"])


def outcome(call):
    """What a call gave, or the line it refused with."""
    try:
        return call(), ""
    except InputError as error:
        return None, str(error)


def assert_prices_or_line(prices, line):
    """Check the promise: valid prices that can be laid out, or one readable line."""
    event("refused" if prices is None else "taken")  # --hypothesis-show-statistics tells how often
    if prices is None:
        assert len(line.splitlines()) == 1, repr(line)
        assert "expected " in line
        assert len(line) < 3000
        return
    assert line == ""
    values = prices.frame.to_numpy()
    assert np.isfinite(values).all()
    assert (values[:, :4] > 0).all()
    assert prices.frame.index.is_unique
    assert prices.panel().traded.sum() == len(prices.frame)
    assert all(len(note.splitlines()) == 1 for note in prices.warnings), prices.warnings


def load(path, **options):
    return outcome(lambda: FilesSource(path, **options).load())


def quoted(cell, separator):
    return '"' + cell.replace('"', '""') + '"' if any(c in cell for c in f'{separator}"\n\r') else cell


@st.composite
def tables(draw, columns, rows):
    """Text of a good table with up to three things wrong with it, or a heap of cells."""
    lines = [list(columns), *map(list, rows)]
    if draw(st.integers(0, 4)) == 0:
        width = len(names := draw(headers))
        lines = [
            names,
            *(draw(st.lists(cells, min_size=width, max_size=width)) for _ in range(draw(st.integers(0, 4)))),
        ]
    for _ in range(draw(st.integers(0, 3))):
        line = draw(st.integers(0, len(lines) - 1))
        place = draw(st.integers(0, max(len(lines[line]) - 1, 0)))
        fault = draw(
            st.sampled_from(["cell", "cell", "cell", "cell", "name", "twice", "swap", "short", "long", "blank"])
        )
        if fault == "cell":
            lines[line][place : place + 1] = [draw(cells)]
        elif fault == "name":
            lines[0][min(place, len(lines[0]) - 1)] = draw(st.sampled_from(NAMES))
        elif fault == "twice":
            lines.insert(line, list(lines[line]))
        elif fault == "swap":
            lines[line], lines[-1] = lines[-1], lines[line]
        elif fault == "short":
            lines[line] = lines[line][:place] or [""]
        elif fault == "long":
            lines[line].insert(place, draw(cells))
        else:
            lines.insert(line, [""])
    separator = draw(st.sampled_from([",", ",", ";", "\t", "|"]))
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    text = end.join(separator.join(quoted(cell, separator) for cell in line) for line in lines)
    return text + draw(st.sampled_from(["", end, end * 3, "\x1a"]))


def write(path, text, encoding="utf-8"):
    content = text.encode(encoding, errors="replace")
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


GOOD_DATES = ["2010-01-04", "20100105", "2010-01-06 00:00:00", "2010-01-07"]
LONG = (
    ["date", "ticker", "close"],
    [[day, ticker, "2.5"] for day in GOOD_DATES[:3] for ticker in ("../x", "BRK/B", "NA", "TRUE")],
)
ADJUSTED = (["date", "close", "Adj Close"], [[day, "2.5", "1.25"] for day in GOOD_DATES])
ONE = (
    ["date", "open", "high", "low", "close", "volume"],
    [[day, "1", "3", "1", "2.5", "100"] for day in GOOD_DATES],
)


@quick
@given(text=tables(*LONG), encoding=encodings, suffix=st.sampled_from([".csv", ".csv.gz"]),
       on_bad=st.sampled_from(["raise", "repair"]))  # fmt: skip
@example(text="date,ticker,close\n" + "2010-01-04,AAA," + "9" * 5000, encoding="utf-8", suffix=".csv", on_bad="repair")
@example(text='"' + "x" * 200_000 + "\n", encoding="utf-8", suffix=".csv", on_bad="raise")
@example(text="date,ticker,close\n" + '"2010-01-04' + "x" * 300_000, encoding="utf-8", suffix=".csv", on_bad="raise")
@example(text="\x00\x00\x00", encoding="utf-8", suffix=".csv", on_bad="raise")
@example(text="date\x0b,ticker\x0c,clo\u2028se\n1,2,3\n", encoding="utf-8", suffix=".csv", on_bad="raise")
@example(text='date,ticker,close\n2010-01-04,"AAA\n2010-01-05,BBB,1\n', encoding="utf-8", suffix=".csv", on_bad="raise")
def test_long_tables(tmp_path, text, encoding, suffix, on_bad):
    assert_prices_or_line(*load(write(tmp_path / f"p{suffix}", text, encoding), on_bad=on_bad))


@quick
@given(text=tables(*ONE))
def test_one_ticker_files(tmp_path, text):
    assert_prices_or_line(*load(write(tmp_path / "AAA.csv", text)))


@quick
@given(text=tables(*ADJUSTED), factors=tables(["20100105", "0.5", "1", "2.5"], [["20501231", "1", "1"]]))
def test_adjusting(tmp_path, text, factors):
    path = write(tmp_path / "AAA.csv", text)
    write(tmp_path / "factors.txt", factors)
    for on_bad in ("raise", "repair"):
        assert_prices_or_line(*load(path, on_bad=on_bad))
        write(tmp_path / "BBB.csv", text.replace("Adj Close", "total"))
        assert_prices_or_line(*load(tmp_path / "BBB.csv", on_bad=on_bad, return_column="total"))
        assert_prices_or_line(*load(tmp_path / "BBB.csv", on_bad=on_bad, factor_files=tmp_path / "factors.txt"))


FIELDS = ["Close", "Open", "Adj Close", "Volume", "x", ""]


@quick
@given(data=st.data())
def test_wide_tables_and_two_header_rows(tmp_path, data):
    names = data.draw(st.lists(st.sampled_from(TICKERS), min_size=1, max_size=5))
    lines = [["Date", *names]]
    if data.draw(st.booleans()):
        fields = [data.draw(st.sampled_from(FIELDS if data.draw(st.booleans()) else FIELDS[:1])) for _ in names]
        lines = [["Price", *fields], ["Ticker", *names]]
        if data.draw(st.booleans()):
            lines.append(["Date"] + [""] * len(names))
    for day in GOOD_DATES[:3]:
        lines.append([day, *(data.draw(st.sampled_from(["1", "2.5", "3", "4", "5", *NUMBERS[:14]])) for _ in names)])
    text = "\n".join(",".join(quoted(cell, ",") for cell in line) for line in lines)
    assert_prices_or_line(*load(write(tmp_path / "wide.csv", text)))


# Each column in its valid form, and in others.
KINDS = {
    "date": [
        lambda n: pd.Series(pd.to_datetime(["2010-01-04", "2010-01-05", "2010-01-06"][:n])),
        lambda n: pd.Series(pd.to_datetime(["2010-01-04", "2010-01-05", "2010-01-06"][:n])).dt.tz_localize("UTC"),
        lambda n: pd.Series(pd.to_datetime(["2010-01-04 05:00", "2010-01-05 00:00", None][:n])),
        lambda n: pd.Series([dt.date(2010, 1, 4), dt.date(2010, 1, 5), dt.date(9999, 1, 1)][:n]),
        lambda n: pd.Series([20100104, 20100105, 20100106][:n]),
        lambda n: pd.Series([20100104.0, 5e18, float("nan")][:n]),
        lambda n: pd.Series(["2010-01-04", "NaT", "soon"][:n]).astype("category"),
        lambda n: pd.Series(np.array(["9999-12-31", "0001-01-01", "NaT"], "M8[s]")[:n]),
        lambda n: pd.Series([dt.timedelta(1)] * n),
        lambda n: pd.Series([{"y": 2010}] * n),
        lambda n: pd.Series([b"2010-01-04"] * n),
    ],
    "ticker": [
        lambda n: pd.Series(["../x", "NA", "TRUE"][:n]),
        lambda n: pd.Series(["BRK/B", "", None][:n]),
        lambda n: pd.Series(["AAA", "aaa.us", "AAA"][:n]).astype("category"),
        lambda n: pd.Series([5, 7, 5][:n]),
        lambda n: pd.Series([1.5, float("nan"), 2.0][:n]),
        lambda n: pd.Series([True, False, True][:n]),
        lambda n: pd.Series([b"AAA", b"\xff", None][:n]),
        lambda n: pd.Series([["A"]] * n),
        lambda n: pd.Series(["a\nb", " c ", "x" * 300][:n]),
    ],
    "close": [
        lambda n: pd.Series([1.0, 2.5, 3.0][:n]),
        lambda n: pd.Series([1, 2, 3][:n], dtype="int8"),
        lambda n: pd.Series([1, None, 3][:n], dtype="Int64"),
        lambda n: pd.Series([1.0, float("inf"), -1.0][:n], dtype="float32"),
        lambda n: pd.Series(["1", "2,5", ""][:n]),
        lambda n: pd.Series([decimal.Decimal("1.5")] * n),
        lambda n: pd.Series([True] * n),
        lambda n: pd.Series([None] * n, dtype=object),
        lambda n: pd.Series([[1.0]] * n),
        lambda n: pd.Series([b"1"] * n),
        lambda n: pd.Series([dt.timedelta(1)] * n),
        lambda n: pd.Series(["1"] * n).astype("category"),
        lambda n: pd.Series([2**64 - 1] * n, dtype="uint64"),
    ],
}


@quick
@given(data=st.data(), rows=st.integers(0, 3))
def test_parquet_of_any_types(tmp_path, data, rows):
    shape = data.draw(
        st.sampled_from(["date ticker close", "date close", "date ticker close volume", "date close high"])
    )
    frame = {}
    for name in shape.split():
        kinds = KINDS.get(name, KINDS["close"])
        frame[name] = data.draw(st.sampled_from(kinds if data.draw(st.booleans()) else kinds[:1]))(rows)
    table = pd.DataFrame(frame)
    if data.draw(st.integers(0, 3)) == 0:
        table = table.set_index(data.draw(st.sampled_from(list(table.columns))))
    path = tmp_path / "p.parquet"
    table.to_parquet(path)
    assert_prices_or_line(*load(path))


@quick
@given(content=st.binary(max_size=200), suffix=st.sampled_from([".csv", ".csv.gz", ".txt", ".txt.gz", ".parquet"]),
       frame=st.sampled_from(["none", "gzip", "parquet"]))  # fmt: skip
def test_any_bytes(tmp_path, content, suffix, frame):
    if frame == "gzip":
        content = gzip.compress(content)
    elif frame == "parquet":
        content = b"PAR1" + content + b"PAR1"
    path = tmp_path / f"p{suffix}"
    path.write_bytes(content)
    assert_prices_or_line(*load(path))
    for read in (read_membership, read_sectors, read_symbol_changes):
        made, line = outcome(lambda read=read: read(path))
        assert (made is None) == (len(line.splitlines()) == 1)


@quick
@given(data=st.data(), files=st.integers(1, 4))
def test_folders(tmp_path_factory, data, files):
    """Several files, some of them fit for nothing, some with other columns."""
    folder = tmp_path_factory.mktemp("folder")
    for number in range(files):
        name = data.draw(st.sampled_from(["AAA", "nan", "TRUE", "brk-b.us", "..", "a b", "CON", "-1"]))
        text = data.draw(tables(*ONE))
        write(folder / f"{name}{number}{data.draw(st.sampled_from(['.csv', '.txt', '.csv.gz', '.md']))}", text)
    assert_prices_or_line(*load(folder, on_bad="repair"))
    assert_prices_or_line(*load(folder, on_bad="repair", file_names="A{ticker}", factor_files=folder))
    assert_prices_or_line(*load(folder, tickers=["AAA0", "TRUE1"], start="2010-01-05", return_column="close"))


DAYS = [
    lambda n: pd.DatetimeIndex(["2010-01-04", "2010-01-05", "2010-01-06"][:n], name="date"),
    lambda n: pd.DatetimeIndex(["2010-01-04"] * n, name="date", tz="America/New_York"),
    lambda n: pd.DatetimeIndex(["2010-01-04 09:30", "NaT", "2262-01-01"][:n], name="date"),
    lambda n: pd.DatetimeIndex(np.array(["9999-12-31", "0001-01-01", "2010-01-04"], "M8[s]")[:n], name="date"),
    lambda n: pd.PeriodIndex(["2010-01-04"] * n, freq="D", name="date"),
    lambda n: pd.Index([3, 1, 2][:n], name="date"),
    lambda n: pd.Index(["2010-01-04", None, 5][:n], name="date", dtype=object),
    lambda n: pd.IntervalIndex.from_breaks(range(n + 1), name="date"),
]
LABELS = [
    ["B", "A", "../x"],
    ["A", "A", "A"],
    [None, "A", "B"],
    [1, 2, 3],
    [1.5, "x", None],
    [b"A", "B", "C"],
    ["", " a", "cash"],
    ["a\nb", "A", "x" * 3000],
]
USUAL = ["open", "high", "low", "close", "volume", "adj_factor"]
COLUMNS = [USUAL, USUAL[:5], ["close"], [*USUAL, "close"], [], [*USUAL, 3], [("close", "A")]]
CELLS = [1.0, 2.5, None, "1", True, decimal.Decimal(1), 1j, [1], pd.NA, pd.NaT, np.float32(2.5), "2010-01-04", 10**400]


@quick
@given(data=st.data(), rows=st.integers(0, 3))
def test_any_frame_is_prices_or_one_line(data, rows):
    """Frames of a notebook: a good one with some of its parts exchanged."""

    def pick(choices, odds=3):
        return choices[0] if data.draw(st.integers(0, odds)) else data.draw(st.sampled_from(choices))

    index = pick(DAYS)(rows)
    if data.draw(st.integers(0, 9)):
        index = pd.MultiIndex.from_arrays(
            [index, pd.Index(pick(LABELS)[:rows], dtype=object)], names=["date", "ticker"]
        )
    columns = pick(COLUMNS)
    frame = pd.DataFrame(1.0, index=index, columns=pd.Index(columns, dtype=object, tupleize_cols=False))
    if columns and rows and data.draw(st.booleans()):
        place = data.draw(st.integers(0, len(columns) - 1))
        odd = [data.draw(st.one_of(st.sampled_from(CELLS), st.floats(), st.integers())) for _ in range(rows)]
        frame = frame.astype(object)
        frame.isetitem(place, pd.Series(odd, index=index, dtype=object))
        if len(set(columns)) == len(columns):
            frame = frame.infer_objects()
    options = {
        "on_bad": pick(["repair", "raise", "both", None]),
        "close_only": data.draw(st.booleans()),
        "volume_known": data.draw(st.booleans()),
        "calendar": pick(["XNYS", "XLON", "24/7", "no", ""]),
    }
    assert_prices_or_line(*outcome(lambda: check_prices(frame, **options)))


MEMBERS = (
    ["ticker", "start", "end"],
    [["AAA", "2010-01-04", "2010-01-08"], ["BBB", "2010-01-06", ""], ["AAA", "2011-01-03", "9999-12-31"]],
)
SECTORS = (
    ["ticker", "sector", "start", "end"],
    [["AAA", "Tech", "2010-01-04", "2010-01-06"], ["AAA", "Energy", "2010-01-06", ""], ["BBB", "007", "", ""]],
)
SYMBOLS = (
    ["id", "ticker", "start", "end"],
    [["one", "AAA", "", "2010-01-08"], ["two", "AAA", "2010-01-08", ""], ["007", "BBB", "1990-01-02", ""]],
)


@quick
@given(text=tables(*MEMBERS), encoding=encodings)
def test_membership_tables(tmp_path, text, encoding):
    made, line = outcome(lambda: read_membership(write(tmp_path / "m.csv", text, encoding)))
    event("refused" if made is None else "taken")
    if made is None:
        assert len(line.splitlines()) == 1
        assert "expected " in line
    else:
        assert made.members_at("2010-01-07") <= set(made.tickers)


@quick
@given(text=tables(*SECTORS))
def test_sector_tables(tmp_path, text):
    made, line = outcome(lambda: read_sectors(write(tmp_path / "s.csv", text)))
    event("refused" if made is None else "taken")
    if made is None:
        assert len(line.splitlines()) == 1
    else:
        codes = made.codes(["AAA", "BBB"], ["2010-01-04", "2010-01-07"])
        assert codes.min() >= -1
        assert codes.max() < len(made.names)


@quick
@given(text=tables(*SYMBOLS), outside=st.sampled_from(["raise", "drop"]))
def test_symbol_tables(tmp_path, make_bars, text, outside):
    prices = check_prices(make_bars())
    made, line = outcome(lambda: read_symbol_changes(write(tmp_path / "s.csv", text), on_uncovered=outside))
    if made is not None:
        made, line = outcome(lambda: made.apply(prices))
        assert_prices_or_line(made, line)
    else:
        assert len(line.splitlines()) == 1


@pytest.mark.parametrize(
    "ticker", ["BRK/B", "../x", "..\\x", "NA", "TRUE", "CON", "a b", "=1+1", "%s", "{x}", "$HOME", "🚀"]
)
def test_tickers_are_only_names(make_bars, tmp_path, ticker):
    """No ticker is ever taken for a path, a number, a formula or a format."""
    frame = make_bars(tickers=("AAA", ticker)).drop(columns="adj_factor").reset_index()
    (tmp_path / "in").mkdir()
    frame.to_csv(tmp_path / "in" / "p.csv", index=False)
    frame.to_parquet(tmp_path / "in" / "p.parquet")
    before = sorted(tmp_path.rglob("*"))
    for name in ("p.csv", "p.parquet"):
        prices, line = load(tmp_path / "in" / name)
        assert line == ""
        assert prices.tickers == tuple(sorted(("AAA", ticker)))
        prices.save(tmp_path / "in" / "saved.parquet")
        assert type(prices).load(tmp_path / "in" / "saved.parquet", prices.meta()).tickers == prices.tickers
        (tmp_path / "in" / "saved.parquet").unlink()
    assert sorted(tmp_path.rglob("*")) == before


def test_decompression_bombs_are_refused(tmp_path):
    """Two gigabytes of one line in two megabytes of gzip; memory stays small."""
    path = tmp_path / "bomb.csv.gz"
    block = gzip.compress((b"2010-01-04,AAA,1." + b"0" * 1000 + b"\n") * 2**12)
    with open(path, "wb") as handle:
        handle.write(gzip.compress(b"date,ticker,close\n"))
        for _ in range(450):
            handle.write(block)
    code = f"""
        import resource
        from signals.common.errors import InputError
        from signals.sources.files import FilesSource
        resource.setrlimit(resource.RLIMIT_AS, (4 * 2**30, 4 * 2**30))
        try:
            FilesSource({str(path)!r}).load()
        except InputError as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "expected a gzip file of prices in bomb.csv.gz; found one that unpacks to more than 100 times" in done.stdout
    bomb = tmp_path / "bomb.parquet"
    rows = pa.repeat(1.0, 2**20)
    with pq.ParquetWriter(bomb, pa.schema({"date": pa.float64(), "close": pa.float64()})) as writer:
        for _ in range(128):
            writer.write_table(pa.table({"date": rows, "close": rows}))
    assert "134,217,728 rows" in load(bomb)[1]
    zeros = tmp_path / "zeros.csv.gz"
    with gzip.open(zeros, "wb") as handle:
        for _ in range(16):
            handle.write(bytes(2**20))
    line = load(zeros)[1]
    assert "found one of more than 2,097,152 characters; check that the file is a table" in line
