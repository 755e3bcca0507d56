"""The parts of the yahoo source: linking of downloads, coverage, cache files. All numbers are simulated."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signals.common.errors import InputError
from signals.data.panel import PRICE_COLUMNS
from signals.sources.yahoo.cache import Action, History, cache_path, read_history, write_history
from signals.sources.yahoo.client import InvalidReplyError, Reply, read_reply
from signals.sources.yahoo.coverage import coverage_of
from signals.sources.yahoo.linking import OVERLAP, extend, first_download


def day(text):
    return np.datetime64(text, "D")


@pytest.fixture
def sim(support):
    import simulated_yahoo

    return simulated_yahoo


def reply_of(share, now, since="2019-01-02"):
    """Reply that the client makes of a chart, without yfinance."""
    second = int(np.datetime64(since, "s").astype(np.int64))
    result = share.chart(np.datetime64(now, "s"), second)["chart"]["result"][0]
    stamps = np.array(result["timestamp"], "datetime64[s]").astype("datetime64[D]")
    events = [
        (np.datetime64(e["date"], "s").astype("datetime64[D]"), e.get("amount", 0.0), e.get("numerator", 1.0))
        for kind in ("dividends", "splits")
        for e in result["events"][kind].values()
    ]
    days = np.unique(np.array([e[0] for e in events], "datetime64[D]"))
    adjusted = result["indicators"]["adjclose"][0]["adjclose"]
    return Reply(
        days=stamps,
        quotes={n: np.array(v) for n, v in {**result["indicators"]["quote"][0], "adj_close": adjusted}.items()},
        action_days=days,
        dividends=np.array([sum(e[1] for e in events if e[0] == d) for d in days]),
        splits=np.array([np.prod([e[2] for e in events if e[0] == d]) for d in days]),
        listed=share.days[0],
        traded=share.days[share.opens <= np.datetime64(now, "s")][-1],
        currency="USD",
    )


# -- linking ---------------------------------------------------------------------------------------------------------

SESSIONS = 300
STARTS = "2019-01-02"


@st.composite
def lives(draw):
    """A company, and the sessions after which it is downloaded."""
    some_day = st.integers(2, SESSIONS - 1)
    splits = draw(st.dictionaries(some_day, st.sampled_from([2.0, 3.0, 1.5, 4.0, 0.1, 0.25]), max_size=4))
    dividends = draw(st.dictionaries(some_day, st.floats(0.001, 0.05), max_size=6))
    downloads = sorted(draw(st.sets(st.integers(40, SESSIONS - 1), min_size=1, max_size=8)))
    return draw(st.integers(0, 99)), splits, dividends, downloads


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(life=lives(), whole=st.booleans())
def test_any_downloads_keep_old_bits_and_give_the_final_returns(sim, life, whole):
    seed, splits, dividends, downloads = life
    plain = sim.Share(start=STARTS, end="2020-06-30", seed=seed)
    dates = plain.days[:SESSIONS]
    splits = {str(dates[k]): ratio for k, ratio in splits.items()}
    bare = sim.Share(start=STARTS, end="2020-06-30", seed=seed, splits=splits)
    # a dividend of some per cent of the price before
    paid = {str(dates[k]): part * bare.close[k - 1] for k, part in dividends.items()}
    share = sim.Share(start=STARTS, end="2020-06-30", seed=seed, splits=splits, dividends=paid)
    history = None
    for k in downloads:
        now, until = share.closes[k] + np.timedelta64(2, "h"), dates[k]
        if history is None:
            history = first_download("AAA", reply_of(share, now), day(STARTS), until)
        else:
            since = history.days[0] if whole else history.days[-OVERLAP:][0]
            longer = extend(history, reply_of(share, now, since), since, until)
            for name in PRICE_COLUMNS:
                assert longer.columns[name][: len(history.days)].tobytes() == history.columns[name].tobytes()
            assert not longer.revised
            history = longer
    assert history.days.tolist() == dates[: downloads[-1] + 1].tolist()
    final = first_download("AAA", reply_of(share, share.closes[downloads[-1]]), day(STARTS), dates[downloads[-1]])
    for name in ("open", "high", "low", "close"):
        # any two bars: the adjusted prices are the final ones but for one constant
        ratio = history.columns[name] / final.columns[name]
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-9)
    raw = history.columns["close"] / history.columns["adj_factor"]
    np.testing.assert_allclose(raw, share.close[: len(raw)], rtol=1e-12)
    np.testing.assert_allclose(history.columns["volume"], share.volume[: len(raw)], rtol=1e-12)
    kept = {str(a.day): (a.dividend, a.split) for a in history.actions}
    assert set(kept) == {d for d in {*splits, *paid} if d <= str(dates[downloads[-1]])}
    for when, (amount, ratio) in kept.items():
        np.testing.assert_allclose(amount, paid.get(when, 0.0), rtol=1e-12)
        assert ratio == splits.get(when, 1.0)


def test_seven_digits_are_no_revision(sim):
    share = sim.Share(end="2020-12-31", dividends={"2020-07-01": 1.0})

    def rounded(reply):
        return dataclasses.replace(
            reply, quotes={n: v.astype(np.float32).astype(float) for n, v in reply.quotes.items()}
        )

    history = first_download("AAA", rounded(reply_of(share, "2020-06-01T23:00")), day("2019-01-02"), day("2020-06-01"))
    later = rounded(reply_of(share, "2020-12-31T23:00"))
    longer = extend(history, later, day("2019-01-02"), day("2020-12-31"))
    assert not longer.revised
    final = first_download("AAA", later, day("2019-01-02"), day("2020-12-31"))
    ratio = longer.columns["close"] / final.columns["close"]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-6)


@pytest.mark.parametrize("name", ["open", "high", "low"])
def test_any_price_of_a_bar_can_be_revised(sim, name):
    share = sim.Share(end="2020-12-31")
    history = first_download("AAA", reply_of(share, "2020-06-01T23:00"), day("2019-01-02"), day("2020-06-01"))
    getattr(share, name)[share.days == day("2020-05-28")] *= 1.001
    reply = reply_of(share, "2020-06-30T23:00", str(history.days[-OVERLAP]))
    assert extend(history, reply, history.days[-OVERLAP], day("2020-06-30")).revised == {"2020-05-28": "bar"}
    share.volume *= 1.5  # corrected for days, and no revision
    getattr(share, name)[share.days == day("2020-05-28")] /= 1.001
    reply = reply_of(share, "2020-06-30T23:00", str(history.days[-OVERLAP]))
    assert not extend(history, reply, history.days[-OVERLAP], day("2020-06-30")).revised


def test_taking_revisions_changes_only_revised_bars(sim):
    share = sim.Share(end="2020-12-31", dividends={"2020-07-01": 1.0}, splits={"2020-08-03": 2.0})
    history = first_download("AAA", reply_of(share, "2020-06-01T23:00"), day("2019-01-02"), day("2020-06-01"))
    share.corrections = {"2019-03-01": 1.05, "2020-03-02": 0.9}
    taken = extend(
        history, reply_of(share, "2020-12-31T23:00"), day("2019-01-02"), day("2020-12-31"), revisions="accept"
    )
    changed = taken.columns["close"][: len(history.days)] != history.columns["close"]
    assert history.days[changed].tolist() == [day("2019-03-01"), day("2020-03-02")]
    factor = taken.columns["close"][: len(history.days)][changed] / history.columns["close"][changed]
    np.testing.assert_allclose(factor, [1.05, 0.9], rtol=1e-12)


def test_a_dividend_announced_late_is_a_revision_of_all_before_it(sim):
    share = sim.Share(end="2020-12-31")
    history = first_download("AAA", reply_of(share, "2020-06-01T23:00"), day("2019-01-02"), day("2020-06-01"))
    share.dividends = {"2020-05-28": 2.0}
    reply = reply_of(share, "2020-06-30T23:00", str(history.days[-OVERLAP]))
    kept = extend(history, reply, history.days[-OVERLAP], day("2020-06-30"))
    assert kept.columns["close"][: len(history.days)].tobytes() == history.columns["close"].tobytes()
    assert next(iter(kept.revised)) == "2020-05-28"  # the level of the last 21 bars is the one most of them agree on
    taken = extend(
        history, reply_of(share, "2020-06-30T23:00"), day("2019-01-02"), day("2020-06-30"), revisions="accept"
    )
    final = first_download("AAA", reply_of(share, "2020-06-30T23:00"), day("2019-01-02"), day("2020-06-30"))
    ratio = taken.columns["close"] / final.columns["close"]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-12)
    assert not taken.revised


def test_reply_with_an_unfinished_bar_alone_is_refused(sim):
    share = sim.Share(start="2020-06-01")
    with pytest.raises(InvalidReplyError, match="no bars up to 2020-05-29"):
        first_download("AAA", reply_of(share, "2020-06-01T17:00"), day("2019-01-02"), day("2020-05-29"))


# -- yfinance's table ------------------------------------------------------------------------------------------------


@pytest.fixture
def table():
    index = pd.DatetimeIndex(["2020-01-02", "2020-01-03", "2020-01-06"], tz="America/New_York", name="Date")
    columns = ["Open", "High", "Low", "Close", "Adj Close", "Volume", "Dividends", "Stock Splits"]
    row = [10.0, 11, 9, 10, 9, 100]
    return pd.DataFrame([[*row, 0, 0], [*row, 0.5, 0], [*row, 0, 2]], index=index, columns=columns)


def test_a_table_is_read_whatever_its_order_and_zone(table):
    for shuffled in (table, table[::-1], table.tz_localize(None), pd.concat([table, table[1:2]])):
        reply = read_reply(shuffled, {})
        assert reply.days.tolist() == [day("2020-01-02"), day("2020-01-03"), day("2020-01-06")]
        assert (reply.action_days.tolist(), reply.dividends.tolist(), reply.splits.tolist()) == (
            [day("2020-01-03"), day("2020-01-06")], [0.5, 0.0], [1.0, 2.0],
        )  # fmt: skip
        assert (reply.listed, reply.traded, reply.currency) == (None, None, "")


def test_a_dividend_on_a_day_without_a_bar_is_kept(table):
    table.iloc[1, :6] = np.nan
    reply = read_reply(table, {"currency": "USD"})
    assert len(reply.days) == 2
    assert reply.dividends.tolist() == [0.5, 0.0]


def test_invalid_tables_are_refused(table):
    with pytest.raises(InvalidReplyError, match="no columns Adj Close"):
        read_reply(table.drop(columns="Adj Close"), {})
    with pytest.raises(InvalidReplyError, match="labelled by"):
        read_reply(table.reset_index(drop=True), {})
    with pytest.raises(InvalidReplyError, match="two different bars on 2020-01-03"):
        read_reply(pd.concat([table, table[1:2] * 2]), {})
    with pytest.raises(InvalidReplyError, match="no numbers as Open"):
        read_reply(table.astype({"Open": object}).replace({"Open": 10.0}, "ten"), {})
    with pytest.raises(InvalidReplyError, match="no columns"):
        read_reply(pd.concat({"AAA": table}, axis=1), {})


# -- coverage --------------------------------------------------------------------------------------------------------


def test_coverage_distinguishes_new_delisted_and_truncated_tickers():
    span = day("2020-01-02"), day("2020-12-31")
    days = np.arange(day("2020-03-02"), day("2020-09-01"))  # with weekends, which are no sessions
    young = coverage_of("A", days, *span, "XNYS", listed=day("2020-03-02"), traded=day("2020-08-31"))
    assert (young.missing, young.late_start, young.early_end, young.bars) == (0, 40, 85, 128)
    unknown = coverage_of("A", days, *span, "XNYS")
    assert (unknown.missing, unknown.late_start) == (0, 40)
    short = coverage_of("A", days, *span, "XNYS", listed=day("1999-01-04"), traded=day("2021-01-05"))
    assert (short.expected, short.missing) == (253, 125)
    assert short.below(0.99)
    assert not young.below(1.0)
    none = coverage_of("A", days[:0], *span, "XNYS")
    assert (none.bars, none.first, none.share) == (0, None, 0.0)


def test_short_span_counts_as_a_year():
    days = np.array(["2020-01-02", "2020-01-06"], "datetime64[D]")
    found = coverage_of("A", days, day("2020-01-02"), day("2020-01-06"), "XNYS")
    assert (found.missing, found.expected) == (1, 3)
    assert not found.below(0.99)
    assert found.below(0.999)


# -- cache files -----------------------------------------------------------------------------------------------------

AWKWARD = [
    "BRK/B",
    "../x",
    "..",
    ".",
    "",
    "NA",
    "CON",
    "nul",
    "aa",
    "AA",
    "a/../../b",
    "C:\\x",
    "x\x00y",
    "é",
    "x" * 300,
]


def simple(ticker, n=3):
    days = np.arange(day("2020-01-06"), day("2020-01-06") + np.timedelta64(n, "D"))
    columns = {name: np.linspace(1, 2, n) for name in PRICE_COLUMNS}
    return History(ticker, days, columns, day("2020-01-01"), days[-1])


@settings(max_examples=200, deadline=None)
@given(ticker=st.one_of(st.sampled_from(AWKWARD), st.text(max_size=80), st.text("./\\:NACOU ", max_size=12)))
def test_cache_paths_stay_in_the_cache_folder(ticker):
    folder = Path("/cache/yahoo")
    path = cache_path(folder, ticker)
    assert path.parent == folder
    assert path.resolve().parent == folder.resolve()
    assert path.name.isascii()
    assert path.name.removesuffix(".parquet").replace("-", "").replace("_", "").isalnum()
    assert len(path.name) < 80
    assert path.name.split(".")[0].split("-")[-1]  # the hash: never a bare device name


@settings(max_examples=200, deadline=None)
@given(a=st.text(max_size=20), b=st.text(max_size=20))
def test_two_tickers_are_two_files_on_any_disk(a, b):
    same = cache_path(Path("c"), a).name.lower() == cache_path(Path("c"), b).name.lower()
    assert same == (a == b)


def test_unusual_tickers_have_separate_files(tmp_path):
    for place, ticker in enumerate(AWKWARD):
        write_history(tmp_path, simple(ticker, n=place + 1))
    assert len(list(tmp_path.iterdir())) == len(AWKWARD)
    for place, ticker in enumerate(AWKWARD):
        assert len(read_history(tmp_path, ticker).days) == place + 1


def test_history_is_read_back_to_the_bit(tmp_path):
    made = dataclasses.replace(
        simple("AAA"),
        actions=(Action(day("2020-01-07"), 0.1 + 0.2, 4.0),),
        currency="USD",
        listed=day("1999-01-04"),
        gone=True,
        revised={"2020-01-07": "now has a bar"},
        unadjusted=("2020-01-07",),
    )
    write_history(tmp_path, made)
    found = read_history(tmp_path, "AAA")
    for name in (f.name for f in dataclasses.fields(made) if f.name not in ("days", "columns")):
        assert getattr(found, name) == getattr(made, name), name
    assert found.days.tolist() == made.days.tolist()
    assert all(found.columns[n].tobytes() == made.columns[n].tobytes() for n in PRICE_COLUMNS)
    first = cache_path(tmp_path, "AAA").read_bytes()
    write_history(tmp_path, found)
    assert cache_path(tmp_path, "AAA").read_bytes() == first
    assert read_history(tmp_path, "BBB") is None


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_one_line(tmp_path, data):
    write_history(tmp_path, simple("AAA", n=50))
    path = cache_path(tmp_path, "AAA")
    whole = path.read_bytes()
    if data.draw(st.booleans()):
        spoilt = whole[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        place = data.draw(st.integers(0, len(whole) - 1))
        spoilt = whole[:place] + bytes([data.draw(st.integers(0, 255))]) + whole[place + 1 :]
    path.write_bytes(spoilt)
    line, found = path.name, None
    try:
        found = read_history(tmp_path, "AAA")
    except InputError as error:
        line = str(error)
    assert path.name in line
    assert "\n" not in line
    if found is not None:  # what is read in spite of it is what was written
        assert all(found.columns[n].tobytes() == simple("AAA", n=50).columns[n].tobytes() for n in PRICE_COLUMNS)


def test_a_file_of_another_ticker_or_schema_is_refused(tmp_path):
    write_history(tmp_path, simple("AAA"))
    cache_path(tmp_path, "AAA").rename(cache_path(tmp_path, "BBB"))
    with pytest.raises(InputError, match="damaged file"):
        read_history(tmp_path, "BBB")


# -- real corporate actions ------------------------------------------------------------------------------------------


class RealShare:
    """Real bars as traded and their factor file, answered as Yahoo would have at any moment."""

    def __init__(self, folder, name):
        bars = pd.read_csv(folder / f"{name}_daily_raw.csv.gz", parse_dates=["date"])
        self.days = bars["date"].to_numpy().astype("datetime64[D]")
        self.bars = bars.drop(columns="date")
        rows = pd.read_csv(folder / f"{name}_factors.csv", header=None)
        until = pd.to_datetime(rows[0].astype(str)).to_numpy().astype("datetime64[D]")
        # a row holds up to and including its date
        place = np.searchsorted(until, self.days)
        self.paid, self.split = rows[1].to_numpy()[place], rows[2].to_numpy()[place]

    def reply(self, last, first=0):
        seen = slice(first, last + 1)
        paid, split = self.paid[seen] / self.paid[last], self.split[seen] / self.split[last]
        quotes = {name: self.bars[name].to_numpy()[seen] * split for name in ("open", "high", "low", "close")}
        ratio = np.r_[1.0, split[1:] / split[:-1]]
        part = np.r_[0.0, 1 - paid[:-1] / paid[1:]]
        amount = np.r_[0.0, quotes["close"][:-1]] * part
        acted = (ratio != 1) | (part != 0)
        quotes |= {"adj_close": quotes["close"] * paid, "volume": self.bars["volume"].to_numpy()[seen] / split}
        days = self.days[seen]
        return Reply(days, quotes, days[acted], amount[acted], ratio[acted], self.days[0], days[-1], "USD")


@pytest.mark.parametrize("name", ["aapl", "spy", "ibm", "bac", "aig"])
def test_real_splits_and_dividends_link_as_in_the_factor_files(shared_data, name):
    share = RealShare(shared_data / "corporate-actions-sample", name)
    until = np.random.default_rng(7).choice(np.arange(100, len(share.days)), 60, replace=False)
    history = None
    for last in [*np.sort(until), len(share.days) - 1]:
        if history is None:
            history = first_download(name, share.reply(last), share.days[0], share.days[last])
            continue
        since = len(history.days) - OVERLAP
        longer = extend(history, share.reply(last, since), share.days[since], share.days[last])
        for column in PRICE_COLUMNS:
            assert longer.columns[column][: len(history.days)].tobytes() == history.columns[column].tobytes()
        history = longer
    assert not history.revised
    assert not history.unadjusted
    for column in ("open", "high", "low", "close"):
        ratio = history.columns[column] / (share.bars[column] * share.paid * share.split)
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-9)
        np.testing.assert_allclose(
            history.columns[column] / history.columns["adj_factor"], share.bars[column], rtol=1e-9
        )
    np.testing.assert_allclose(history.columns["volume"], share.bars["volume"], rtol=1e-9)
    if name == "aapl":
        splits = {str(action.day): round(action.split, 4) for action in history.actions if abs(action.split - 1) > 0.01}
        assert splits == {"2000-06-21": 2.0, "2005-02-28": 2.0, "2014-06-09": 7.0}
