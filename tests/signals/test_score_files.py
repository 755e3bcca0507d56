"""Score files: accepted and refused files, and export without loss."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signals.common.errors import InputError
from signals.scores.score_files import EXPORT_FORMATS, read_scores, write_scores
from signals.scores.signal_frame import SIGNAL_COLUMNS, check_signals, signal_frame
from signals.sources.registry import load_prices

ROWS = "2014-01-10,BBB,0.25\n2014-01-03,AAA,0.5\n2014-01-03,BBB,-1e-3\n"
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def write(tmp_path):
    def write(text, name="scores.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def frame_of(rows, **columns):
    dates, tickers, score = (np.array(column) for column in zip(*rows, strict=True))
    n = len(rows)
    return signal_frame(
        dates.astype("datetime64[D]"),
        tickers.astype(object),
        score=score.astype(float),
        score_std=columns.get("score_std", np.full(n, np.nan)),
        fold=columns.get("fold", np.zeros(n)),
        trained_until=columns.get("trained_until", np.full(n, "NaT", "datetime64[D]")),
    )


PLAIN = frame_of([("2014-01-03", "AAA", 0.5), ("2014-01-03", "BBB", -1e-3), ("2014-01-10", "BBB", 0.25)])


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("date,ticker,score\n" + ROWS, "scores.csv"),
        ("Date;Symbol;Score\n" + ROWS.replace(",", ";"), "scores.txt"),
        ("\ufeffscore,date,ticker\n0.25,20140110,BBB\n0.5,20140103, AAA \n-0.001,20140103,BBB\n", "scores.csv"),
        ("datetime,instrument,score\n" + ROWS.replace(",B", " 00:00:00,B"), "scores.csv"),
        ("date,asset,factor\n" + ROWS.replace(",A", "T00:00:00+00:00,A"), "scores.csv"),
        (",date,ticker,score\n0,2014-01-03,AAA,0.5\n1,2014-01-03,BBB,-1e-3\n2,2014-01-10,BBB,0.25\n", "scores.csv"),
        (gzip.compress(("date,ticker,score\n" + ROWS).encode()), "scores.csv.gz"),
    ],
    ids=["comma", "semicolon", "compact dates", "qlib", "alphalens", "row numbers", "gzip"],
)
def test_equivalent_layouts_are_read_alike(write, text, name):
    found = read_scores(write(text, name))
    pd.testing.assert_frame_equal(found.frame, PLAIN)
    assert found.warnings == ()
    assert found.name == name
    assert len(found.sha256) == 64


def test_equivalent_frames_are_read_alike(tmp_path):
    flat = PLAIN.reset_index()[["date", "ticker", "score"]].sample(frac=1, random_state=1)
    path = tmp_path / "scores.parquet"
    indexed = flat.set_index(["date", "ticker"])
    zoned = flat.assign(date=flat["date"].dt.tz_localize("Asia/Tokyo"))
    days = flat.assign(date=flat["date"].dt.date)
    categories = flat.assign(ticker=flat["ticker"].astype("category"))
    narrow = flat.assign(date=flat["date"].astype("datetime64[s]"), score=flat["score"].astype("float32"))
    for frame in (flat, indexed, zoned, days, categories):
        frame.to_parquet(path)
        pd.testing.assert_frame_equal(read_scores(path).frame, PLAIN)
    narrow.to_parquet(path)
    assert read_scores(path).frame["score"].tolist() == PLAIN["score"].astype("float32").astype(float).tolist()


def test_rows_without_a_score_are_left_out_and_counted(write):
    path = write("date,ticker,score,comment\n" + ROWS.replace("\n", ",x\n") + "2014-01-10,AAA,,\n2014-01-10,CCC,NaN,\n")
    found = read_scores(path)
    pd.testing.assert_frame_equal(found.frame, PLAIN)
    assert found.warnings == (
        "Columns of scores.csv that were not used: comment.",
        "2 rows of scores.csv had no score and were left out.",
    )


def test_tickers_stay_text(write):
    odd = ["NA", "TRUE", "007", "nan", "BRK/B", "../x", "=1+1", 'a"b', "Ü,é"]
    quoted = [ticker.replace('"', '""') for ticker in odd]
    text = "date,ticker,score\n" + "".join(f'2014-01-03,"{ticker}",{i}\n' for i, ticker in enumerate(quoted))
    for header in ("date,ticker,score", "date,asset,factor", "datetime,instrument,score"):
        frame = read_scores(write(text.replace("date,ticker,score", header))).frame
        assert set(frame.index.get_level_values("ticker")) == set(odd)


def test_tickers_of_digits_alone_keep_their_zeros(write):
    """Shenzhen and Tokyo; pandas makes numbers of a category that holds nothing else."""
    rows = "2014-01-03,000001,1\n2014-01-03,600000,2\n"
    assert read_scores(write(HEAD + rows)).frame.index.get_level_values("ticker").tolist() == ["000001", "600000"]
    prices = load_prices(source="files", path=str(write("date,ticker,close\n" + rows, "prices.csv")))
    assert prices.tickers == ("000001", "600000")


def test_optional_columns(write):
    head = "date,ticker,score,score_std,fold,trained_until\n"
    frame = read_scores(write(head + "2014-01-03,A,1,0.5,2,2013-12-31\n2014-01-03,B,2,,0,\n")).frame
    assert frame["score_std"].tolist()[0] == 0.5
    assert np.isnan(frame["score_std"].iloc[1])
    assert frame["fold"].tolist() == [2, 0]
    assert frame["trained_until"].tolist()[0] == pd.Timestamp("2013-12-31")
    assert pd.isna(frame["trained_until"].iloc[1])


HEAD = "date,ticker,score\n"
REFUSED = {
    "nothing": ("", "empty|header"),
    "header only": (HEAD, "expected scores in scores.csv; found no rows"),
    "other columns": ("date,ticker,close\n2014-01-03,A,1\n", "found no score among 'date', 'ticker', 'close'"),
    "two scores": ("date,ticker,score,factor\n2014-01-03,A,1,2\n", "one column for the score .* 'score' and 'factor'"),
    "twice": (
        HEAD + "2014-01-03,A,1\n2014-01-03,A,1\n",
        "one signal per date and ticker; found two for A on 2014-01-03",
    ),
    "american dates": (HEAD + "01/03/2014,A,1\n", "found '01/03/2014' in row 1; write year-month-day"),
    "mixed dates": (HEAD + "2014-01-03,A,1\n3.1.2014,B,1\n", "'3.1.2014' in row 2"),
    "no such day": (HEAD + "2014-02-30,A,1\n", "'2014-02-30' in row 1"),
    "a moment": (HEAD + "2014-01-03 16:00:00-05:00,A,1\n", "found 2014-01-03 16:00:00-05:00"),
    "no date": (HEAD + ",A,1\n", "found '' in row 1"),
    "no ticker": (HEAD + "2014-01-03,,1\n", "expected tickers as text|a ticker in every row"),
    "blank ticker": (HEAD + "2014-01-03,  ,1\n", "expected tickers as text"),
    "words": (HEAD + "2014-01-03,A,high\n", "finite numbers in column 'score' of scores.csv; found 'high' in row 1"),
    "infinite": (HEAD + "2014-01-03,A,inf\n", "finite numbers"),
    "flags": (HEAD + "2014-01-03,A,True\n2014-01-03,B,1\n", "finite numbers"),
    "no score at all": (HEAD + "2014-01-03,A,\n", "a score in at least one row"),
    "ragged": (HEAD + "2014-01-03,A,1,5,6\n", "3 values in every line"),
    "not utf-8": (HEAD.encode() + b"2014-01-03,\xff,1\n", "UTF-8"),
    "half a fold": ("date,ticker,score,fold\n2014-01-03,A,1,0.5\n", "fold as a whole number"),
    "no fold": ("date,ticker,score,fold\n2014-01-03,A,1,\n", "fold as a whole number"),
    "spread below zero": ("date,ticker,score,score_std\n2014-01-03,A,1,-1\n", "score_std of at least 0"),
    "trained later": ("date,ticker,score,trained_until\n2014-01-03,A,1,2014-01-04\n", "models trained on later prices"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_invalid_scores_are_refused_in_one_line(write, case):
    text, words = REFUSED[case]
    with pytest.raises(InputError, match=words) as error:
        read_scores(write(text))
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(("expected", "scores.csv: expected"))


def test_other_files_are_one_line(tmp_path, write):
    with pytest.raises(InputError, match=r"none\.csv; found none"):
        read_scores(tmp_path / "none.csv")
    with pytest.raises(InputError, match="ending in"):
        read_scores(write(HEAD, "scores.xlsx"))
    pd.DataFrame({"date": ["2014-01-03"], "ticker": [7], "score": [1.0]}).to_parquet(tmp_path / "n.parquet")
    with pytest.raises(InputError, match=r"expected tickers as text in n\.parquet; found '7' in row 1"):
        read_scores(tmp_path / "n.parquet")
    (tmp_path / "half.parquet").write_bytes((tmp_path / "n.parquet").read_bytes()[:-20])
    with pytest.raises(InputError, match="damaged"):
        read_scores(tmp_path / "half.parquet")


# -- there and back ---------------------------------------------------------------------------------------------------

FINITE = st.floats(allow_nan=False, allow_infinity=False)
TICKERS = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1, max_size=6)


@st.composite
def frames(draw):
    keys = draw(
        st.lists(
            st.tuples(st.dates(pd.Timestamp("1970-01-01").date(), pd.Timestamp("2100-01-01").date()), TICKERS),
            min_size=1,
            max_size=12,
            unique=True,
        )
    )
    n = len(keys)
    days = np.array([day for day, _ in keys], dtype="datetime64[D]")
    trained = [draw(st.one_of(st.none(), st.integers(0, 4000))) for _ in keys]
    return signal_frame(
        days,
        np.array([name for _, name in keys], dtype=object),
        score=np.array(draw(st.lists(FINITE, min_size=n, max_size=n))),
        score_std=np.abs(draw(st.lists(st.one_of(st.just(np.nan), FINITE), min_size=n, max_size=n))),
        fold=np.array(draw(st.lists(st.integers(0, 2**31 - 1), min_size=n, max_size=n))),
        trained_until=np.array(
            [np.datetime64("NaT", "D") if back is None else day - np.timedelta64(back, "D")
             for day, back in zip(days, trained, strict=True)]
        ),
    )  # fmt: skip


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@given(frame=frames())
@QUICK
def test_scores_are_read_back_to_the_bit(tmp_path, suffix, frame):
    path = write_scores(frame, tmp_path / f"out.{suffix}")
    back = read_scores(path)
    pd.testing.assert_frame_equal(back.frame, frame, check_exact=True)
    assert back.frame["score"].to_numpy().tobytes() == frame["score"].to_numpy().tobytes()
    assert list(back.frame.columns) == list(SIGNAL_COLUMNS)
    check_signals(back.frame)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("format", ["alphalens", "qlib"])
@given(frame=frames())
@QUICK
def test_scores_are_read_back_from_other_formats(tmp_path, format, suffix, frame):
    back = read_scores(write_scores(frame, tmp_path / f"out.{suffix}", format=format)).frame
    pd.testing.assert_series_equal(back["score"], frame["score"], check_exact=True)
    assert back["score_std"].isna().all()
    assert back["trained_until"].isna().all()


@pytest.mark.parametrize(
    ("format", "names", "column"),
    [("alphalens", ["date", "asset"], "factor"), ("qlib", ["datetime", "instrument"], "score")],
)
def test_exports_have_the_index_of_the_format(tmp_path, format, names, column):
    found = pd.read_parquet(write_scores(PLAIN, tmp_path / "out.parquet", format=format))
    assert list(found.index.names) == names
    assert list(found.columns) == [column]
    assert found.index.levels[0].dtype.kind == "M"
    assert found[column].tolist() == PLAIN["score"].tolist()
    text = write_scores(PLAIN, tmp_path / "out.csv", format=format).read_text()
    assert text.splitlines()[0] == ",".join([*names, column])
    assert text.splitlines()[1] == "2014-01-03,AAA,0.5"


def test_equal_scores_give_equal_bytes(tmp_path):
    for format, suffix in (("csv", "csv"), ("parquet", "parquet"), ("alphalens", "parquet"), ("qlib", "csv")):
        one = write_scores(PLAIN, tmp_path / f"a.{suffix}", format=format).read_bytes()
        assert write_scores(PLAIN.copy(), tmp_path / f"b.{suffix}", format=format).read_bytes() == one
        assert pd.__version__.encode() not in one


@pytest.mark.parametrize(
    ("format", "name", "words"),
    [
        ("xlsx", "a.csv", "a format among csv, parquet, alphalens, qlib; found 'xlsx'"),
        (None, "a.xlsx", "found 'xlsx'"),
        (None, "a", "found ''"),
        ("csv", "a.parquet", r"ending in \.csv for the format csv"),
        ("alphalens", "a.txt", r"ending in \.csv or \.parquet"),
    ],
)
def test_formats_and_names_have_to_fit(tmp_path, format, name, words):
    with pytest.raises(InputError, match=words):
        write_scores(PLAIN, tmp_path / name, format=format)
    assert not list(tmp_path.iterdir())


def test_only_signal_frames_are_written(tmp_path):
    for format in EXPORT_FORMATS:
        with pytest.raises(InputError, match="expected"):
            write_scores(PLAIN[["score"]], tmp_path / f"a.{'csv' if format == 'csv' else 'parquet'}", format=format)


# -- anything at all --------------------------------------------------------------------------------------------------

CELLS = st.one_of(
    st.sampled_from(["2014-01-03", "20140103", "03.01.2014", "", "NA", "TRUE", "BRK/B", "../x", "1e400", "-0", "inf"]),
    st.text(max_size=8),
    st.floats().map(str),
)
LINES = st.lists(st.lists(CELLS, min_size=1, max_size=6).map(",".join), max_size=8).map("\n".join)


def ends_well(path):
    message = ""
    try:
        check_signals(read_scores(path).frame)
    except InputError as error:
        message = str(error)
    assert "\n" not in message


@given(body=st.one_of(st.binary(max_size=200), LINES.map(lambda text: text.encode("utf-8", "surrogatepass"))))
@QUICK
def test_any_bytes_are_scores_or_one_line(tmp_path, body):
    for name in ("a.csv", "a.csv.gz", "a.parquet"):
        (tmp_path / name).write_bytes(body)
        ends_well(tmp_path / name)
    (tmp_path / "b.csv").write_bytes(HEAD.encode() + body)
    ends_well(tmp_path / "b.csv")


COLUMNS = st.sampled_from(
    ["date", "Date", "ticker", "asset", "score", "factor", "fold", "trained_until", "score_std", "x"]
)
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**62), 2**62), st.floats(), st.text(max_size=4),
    st.datetimes(pd.Timestamp("1680-01-01"), pd.Timestamp("2200-01-01")), st.binary(max_size=3),
)  # fmt: skip


@given(data=st.data())
@QUICK
def test_any_frame_is_scores_or_one_line(tmp_path, data):
    names = data.draw(st.lists(COLUMNS, min_size=1, max_size=6, unique=True))
    n = data.draw(st.integers(0, 4))
    kinds = st.sampled_from([st.booleans(), st.floats(), st.text(max_size=4), st.integers(-5, 5), VALUES])
    table = {}
    for name in names:
        kind = data.draw(kinds)
        table[name] = data.draw(st.lists(kind, min_size=n, max_size=n))
    try:
        pd.DataFrame(table).to_parquet(tmp_path / "a.parquet")
    except Exception:  # frames that Parquet cannot store cannot be input
        return
    ends_well(tmp_path / "a.parquet")
