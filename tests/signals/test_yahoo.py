"""The yahoo source against a simulated Yahoo (tests/support/simulated_yahoo.py): no network, no downloaded number."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signals.common.errors import InputError, LockedError, ServiceError
from signals.data.corporate_actions import actions_frame, raw_panel
from signals.sources.registry import load_prices, open_source
from signals.sources.yahoo.cache import Action, cache_path, read_history
from signals.sources.yahoo.source import YahooSource, _actions

QUOTES = ["open", "high", "low", "close"]


@pytest.fixture
def sim(support, tmp_path_factory):
    """The simulated Yahoo's module, with yfinance kept away from the user's own caches and sessions."""
    import yfinance as yf
    from yfinance.data import YfData

    yf.set_tz_cache_location(str(tmp_path_factory.mktemp("yfinance")))
    import simulated_yahoo

    yield simulated_yahoo
    type(YfData)._instances.clear()


@pytest.fixture
def yahoo(sim):
    return sim.SimulatedYahoo(
        {
            "AAA": sim.Share(splits={"2020-08-31": 4.0}, dividends={"2019-05-10": 0.8, "2020-11-06": 0.2}),
            "BBB": sim.Share(seed=1, start="2019-06-03", dividends={"2021-03-01": 1.0}),
            "CCC": sim.Share(seed=2),
        }
    )


@pytest.fixture
def source(yahoo, tmp_path):
    """Function that makes a source on that Yahoo."""

    def make(tickers=("AAA",), start="2019-01-02", **options):
        options = {"cache": tmp_path / "cache", **options}
        return YahooSource(tickers, start, session=yahoo, sleep=yahoo.slept.append, clock=yahoo.clock, **options)

    return make


def assert_fails(source, kind=ServiceError):
    with pytest.raises(kind) as caught:
        source.load()
    line = str(caught.value)
    assert "\n" not in line
    assert "expected " in line
    assert "; found " in line
    return line


def bars(prices, ticker="AAA"):
    return prices.frame.xs(ticker, level="ticker")


def asked(yahoo):
    return [symbol for symbol, _ in yahoo.asked]


def assert_same_bits(new, old):
    pd.testing.assert_frame_equal(new.loc[old.index], old, check_exact=True)


# -- results of valid replies -----------------------------------------------------------------------------------------


def test_prices_are_adjusted_and_raw_is_as_it_was_traded(source, yahoo):
    prices = source().load()
    frame, share = bars(prices), yahoo.shares["AAA"]
    assert (prices.source, prices.raw_known, prices.volume_known, prices.simulated) == ("yahoo", True, True, False)
    assert frame.index.to_numpy().astype("datetime64[D]").tolist() == share.days.tolist()
    raw = frame[QUOTES].div(frame["adj_factor"], axis=0)
    for name in QUOTES:
        np.testing.assert_allclose(raw[name], getattr(share, name), rtol=1e-12)
    np.testing.assert_allclose(frame["volume"], share.volume, rtol=1e-12)
    # adjusted: a holder of one share on the first day, dividends reinvested at the close before
    split = share.close * np.cumprod(np.where(share.days == np.datetime64("2020-08-31"), 4.0, 1.0))
    total = split[1:] / split[:-1]
    for day, amount in share.dividends.items():
        place = int(np.searchsorted(share.days, np.datetime64(day)))
        total[place - 1] /= 1 - amount / share.close[place - 1]
    np.testing.assert_allclose(frame["close"].pct_change().to_numpy()[1:] + 1, total, rtol=1e-12)


def test_actions_are_stored_as_they_were_paid(source):
    made = source(["AAA", "BBB"])
    made.load()
    actions = made.actions()
    assert actions.index.names == ["date", "ticker"]
    rows = [
        (str(day.date()), ticker, dividend, split)
        for (day, ticker), (dividend, split) in zip(actions.index, actions.to_numpy(), strict=True)
    ]
    expected = [
        ("2019-05-10", "AAA", 0.8, 1.0), ("2020-08-31", "AAA", 0.0, 4.0), ("2020-11-06", "AAA", 0.2, 1.0),
        ("2021-03-01", "BBB", 1.0, 1.0),
    ]  # fmt: skip
    assert [row[:2] for row in rows] == [row[:2] for row in expected]
    np.testing.assert_allclose([row[2:] for row in rows], [row[2:] for row in expected], rtol=1e-12)
    assert source(["ZZZ"]).actions().empty


def test_prices_bring_their_splits_and_dividends_and_agree_with_them(source, yahoo):
    prices = source(["AAA", "BBB"], start="2019-05-13").load()
    rows = [(str(day.date()), ticker) for day, ticker in prices.actions.index]
    assert rows == [("2020-08-31", "AAA"), ("2020-11-06", "AAA"), ("2021-03-01", "BBB")]
    np.testing.assert_allclose(prices.actions, [[4.0, 0.0], [1.0, 0.2], [1.0, 1.0]], rtol=1e-12)
    assert not any("do not explain" in note for note in prices.warnings)
    raw = raw_panel(prices.panel())
    traded = raw.traded[:, 0]
    np.testing.assert_allclose(raw.close[traded, 0], yahoo.shares["AAA"].close[-traded.sum() :], rtol=1e-11)


def test_splits_that_do_not_fit_leave_prices_usable(source, monkeypatch):
    wrong = actions_frame([("2020-03-02", "AAA", 3.0, 0.0)])
    monkeypatch.setattr("signals.sources.yahoo.source._actions", lambda *_: wrong)
    prices = source().load()
    assert prices.actions is None
    (note,) = (note for note in prices.warnings if note.startswith("splits and dividends are not known"))
    assert "found one of 3 for 1 for AAA on 2020-03-02" in note


def test_dividends_on_the_day_of_a_split_are_per_new_share():
    day = np.datetime64("2020-08-31")
    both = (Action(np.datetime64("2020-08-29"), 0.5), Action(day, 0.2, 4.0))  # the first is a Saturday
    history = SimpleNamespace(ticker="AAA", actions=both)
    found = _actions([history], np.datetime64("2020-08-03"), np.datetime64("2020-09-30"), "XNYS")
    # 0.5 a share, then four for one and 0.2 on each of the four
    assert found.loc[(pd.Timestamp(day), "AAA")].tolist() == [4.0, pytest.approx(1.3)]


def test_it_is_a_source_by_name_with_an_end_and_several_tickers(yahoo, tmp_path):
    options = {"session": yahoo, "sleep": yahoo.slept.append, "clock": yahoo.clock, "cache": tmp_path}
    prices = load_prices(source="yahoo", tickers=["BBB", "AAA"], start="2019-01-02", end="2019-12-31", **options)
    assert prices.tickers == ("AAA", "BBB")
    assert (str(prices.first), str(prices.last)) == ("2019-01-02", "2019-12-31")
    assert any("1 ticker begins after 2019-01-02 (latest: BBB, 2019-06-03)" in note for note in prices.warnings)
    assert len(prices.files) == 2
    # later splits are known although the span ends before them
    assert bars(prices)["adj_factor"].iloc[0] < 0.26


def test_cache_folder_follows_the_environment_variable(yahoo, monkeypatch, tmp_path):
    monkeypatch.setenv("RNN_STRATEGIES_HOME", str(tmp_path / "home"))
    assert open_source(source="yahoo", tickers=["AAA"], start="2020-01-02").folder == tmp_path / "home" / "yahoo"
    monkeypatch.delenv("RNN_STRATEGIES_HOME")
    assert YahooSource(["AAA"], "2020-01-02").folder == Path(".rnn-strategies/yahoo")


def test_another_exchange_in_another_time_zone(sim, tmp_path):
    yahoo = sim.SimulatedYahoo({"7203.T": sim.Share(calendar="XTKS", currency="JPY")})
    options = {"session": yahoo, "sleep": yahoo.slept.append, "clock": yahoo.clock, "cache": tmp_path}
    prices = YahooSource(["7203.T"], "2019-01-04", calendar="XTKS", **options).load()
    assert bars(prices, "7203.T").index.to_numpy().astype("datetime64[D]").tolist() == [
        day for day in yahoo.shares["7203.T"].days if day >= np.datetime64("2019-01-04")
    ]
    assert yahoo.asked[0][1] == np.datetime64("2019-01-03T15:00")  # midnight in Tokyo


def test_one_request_per_ticker_and_a_pause_before_each(source, yahoo):
    source(["AAA", "BBB"], request_interval=0.5).load()
    assert asked(yahoo) == ["AAA", "BBB"]
    assert yahoo.slept == [0.5, 0.5]


def test_progress_is_reported(source):
    events = []
    source(["AAA", "BBB"], on_progress=events.append).load()
    assert [(event.stage, event.done, event.total) for event in events] == [("prices", 1, 2), ("prices", 2, 2)]
    assert events[0].message == "AAA: 757 bars"


def test_global_settings_of_yfinance_are_restored(source):
    import yfinance as yf

    assert yf.config.debug.hide_exceptions is True
    source().load()
    assert yf.config.debug.hide_exceptions is True


# -- the bar of today ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "last"),
    [
        ("2021-03-01T17:00", "2021-02-26"),  # the market is open
        ("2021-03-01T21:30", "2021-02-26"),  # it has closed, half an hour ago
        ("2021-03-01T22:00", "2021-03-01"),
        ("2021-03-06T12:00", "2021-03-05"),  # a Saturday
        ("2021-11-26T19:30", "2021-11-26"),  # a half day closed at 18:00
    ],
)
def test_unfinished_bar_is_never_stored(source, yahoo, now, last):
    yahoo.now = np.datetime64(now, "s")
    assert str(source().load().last) == last
    yahoo.now = np.datetime64("2021-12-31T23:00", "s")
    np.testing.assert_allclose(bars(source().load())["volume"], yahoo.shares["AAA"].volume, rtol=1e-12)


def test_a_split_that_takes_effect_today_is_known(source, yahoo):
    yahoo.now = np.datetime64("2020-08-31T17:00", "s")
    frame = bars(source().load())
    share = yahoo.shares["AAA"]
    np.testing.assert_allclose(frame["close"] / frame["adj_factor"], share.close[: len(frame)], rtol=1e-12)


# -- the cache -------------------------------------------------------------------------------------------------------


def test_full_cache_sends_no_request(source, yahoo):
    first = source(["AAA", "BBB"]).load()
    yahoo.asked.clear()
    yahoo.shares.clear()
    again = source(["BBB", "AAA"]).load()
    pd.testing.assert_frame_equal(again.frame, first.frame, check_exact=True)
    assert (again.warnings, again.files) == (first.warnings, first.files)
    assert asked(yahoo) == []
    # nor does an end in the past, years later
    yahoo.now = np.datetime64("2022-06-01T23:00", "s")
    source(["AAA"], end="2021-06-30").load()
    assert asked(yahoo) == []


def test_stale_cache_requests_its_tail_only_and_keeps_old_bars(source, yahoo):
    yahoo.now = np.datetime64("2020-08-01T12:00", "s")
    old = source(["AAA", "CCC"]).load().frame
    yahoo.asked.clear()
    yahoo.now = np.datetime64("2021-12-31T23:00", "s")
    new = source(["AAA", "CCC"]).load()
    assert_same_bits(new.frame, old)
    assert asked(yahoo) == ["AAA", "CCC"]
    assert yahoo.asked[0][1] == np.datetime64("2020-06-19T04:00")  # 30 bars before the end of July
    share = yahoo.shares["AAA"]
    assert len(bars(new)) == len(share.days)
    final = share.close * share.dividend_factor(yahoo.now) / share.later_splits(yahoo.now)
    np.testing.assert_allclose(bars(new)["close"].pct_change()[1:], final[1:] / final[:-1] - 1, rtol=1e-8)
    np.testing.assert_allclose(bars(new)["close"] / bars(new)["adj_factor"], share.close, rtol=1e-12)


def test_an_earlier_start_is_linked_in_front(source, yahoo):
    old = source(["AAA"], start="2020-10-01").load().frame
    new = source(["AAA"]).load()
    assert_same_bits(new.frame, old)
    share = yahoo.shares["AAA"]
    assert len(bars(new)) == len(share.days)
    final = share.close * share.dividend_factor(yahoo.now) / share.later_splits(yahoo.now)
    np.testing.assert_allclose(bars(new)["close"].pct_change()[1:], final[1:] / final[:-1] - 1, rtol=1e-8)
    # asked from before its listing: nothing earlier is left to ask for
    source(["BBB"], start="2019-05-01").load()
    yahoo.asked.clear()
    source(["BBB"], start="2019-01-02").load()
    assert asked(yahoo) == []


def test_interrupted_download_is_resumed(source, yahoo):
    class Killed(BaseException):
        pass

    def kill(event):
        if event.message.startswith("BBB"):
            raise Killed

    with pytest.raises(Killed):
        source(["AAA", "BBB", "CCC"], on_progress=kill).load()
    yahoo.asked.clear()
    left = source().folder / ".CCC.parquet.abc.tmp"
    left.write_bytes(b"half a fi")
    source(["AAA", "BBB", "CCC"]).load()
    assert asked(yahoo) == ["CCC"]
    assert not left.exists()


@pytest.mark.faults
@pytest.mark.parametrize("files", [1, 7, 20, 35])
def test_kill_9_leaves_whole_files_only(tmp_path, files):
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "import yfinance as yf; yf.set_tz_cache_location(sys.argv[2] + 'tz');"
        "from simulated_yahoo import *; from signals.sources.yahoo.source import YahooSource;"
        "names = [f'T{i}' for i in range(40)];"
        "y = SimulatedYahoo({n: Share(seed=i) for i, n in enumerate(names)});"
        "print(len(YahooSource(names, '2019-01-02', cache=sys.argv[2], session=y, sleep=lambda s: None,"
        " clock=y.clock).load().tickers))"
    )
    cache = tmp_path / "cache"
    command = [sys.executable, "-c", script, str(Path(__file__).resolve().parents[1] / "support"), str(cache)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while child.poll() is None and len(list(cache.glob("*.parquet"))) < files:
        time.sleep(0.002)
    child.kill()
    child.wait()
    there = list(cache.glob("*.parquet"))
    assert files <= len(there) < 40
    for path in there:
        assert read_history(cache, path.name.partition("-")[0]) is not None
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"40\n"
    assert not list(cache.glob(".*.tmp"))


def test_two_processes_do_not_update_one_cache_at_once(source, tmp_path, monkeypatch):
    monkeypatch.setattr("signals.sources.yahoo.refresh.PATIENCE", 0.05)
    (tmp_path / "cache").mkdir()
    with FileLock(tmp_path / "cache" / ".lock"):
        assert "another process" in assert_fails(source(), LockedError)
    source().load()
    with FileLock(tmp_path / "cache" / ".lock"):
        source().load()  # reading needs no lock


def test_a_damaged_file_is_named(source, tmp_path):
    source().load()
    path = cache_path(tmp_path / "cache", "AAA")
    path.write_bytes(path.read_bytes()[:-100])
    assert path.name in assert_fails(source(), InputError)
    path.unlink()
    assert len(source().load().frame) == 757


def test_a_cache_that_cannot_be_written(source, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"expected to write .*; found .*; free disk space"):
        source(cache=tmp_path / "file").load()


# -- what goes wrong at Yahoo ----------------------------------------------------------------------------------------


def test_unknown_ticker_is_reported_at_once_and_the_others_are_kept(source, yahoo, tmp_path):
    line = assert_fails(source(["AAA", "NOPE", "BBB"]))
    assert "NOPE (No data found, symbol may be delisted)" in line.replace("$NOPE: ", "")
    assert asked(yahoo).count("NOPE") <= 2  # yfinance itself asks again with another cookie
    assert sum(yahoo.slept) < 1
    yahoo.asked.clear()
    prices = source(["AAA", "NOPE", "BBB"], on_missing_ticker="skip").load()
    assert prices.tickers == ("AAA", "BBB")
    assert set(asked(yahoo)) == {"NOPE"}
    assert any("1 of 3 tickers left out: NOPE" in note for note in prices.warnings)
    report = json.loads((tmp_path / "cache" / "report.json").read_text())["tickers"]
    assert "delisted" in report["NOPE"]["status"]
    assert report["AAA"]["bars"] == 757
    assert report["AAA"]["status"] == "complete"
    assert_fails(source(["NOPE"], on_missing_ticker="skip"))  # nothing left


def test_delisted_ticker_keeps_its_bars(source, yahoo):
    yahoo.now = np.datetime64("2021-01-15T23:00", "s")
    old = source(["AAA", "CCC"]).load().frame
    del yahoo.shares["CCC"]
    yahoo.now = np.datetime64("2021-12-31T23:00", "s")
    prices = source(["AAA", "CCC"]).load()
    assert_same_bits(prices.frame, old)
    assert any("no longer at Yahoo" in note and "CCC" in note for note in prices.warnings)
    assert any("1 ticker ends before 2021-12-31 (earliest: CCC, 2021-01-15)" in note for note in prices.warnings)
    yahoo.asked.clear()
    again = source(["AAA", "CCC"]).load()
    assert asked(yahoo) == []
    assert again.warnings == prices.warnings


@pytest.mark.parametrize("status", ["429", "500", "502", "down", "timeout", "lost"])
def test_temporary_failures_are_retried(source, yahoo, sim, status):
    trouble = {
        "429": ("429", "Too Many Requests"),
        "500": sim.Answer("<html>Internal Server Error</html>", 500),
        "502": ("502", {"chart": {"result": None, "error": {"code": "Bad Gateway", "description": "try later"}}}),
        "down": sim.Answer("Will be right back"),
        "timeout": sim.requests.exceptions.Timeout("Operation timed out"),
        "lost": sim.requests.exceptions.ConnectionError("Connection reset by peer"),
    }[status]
    # an HTTP error is asked about twice by yfinance, with two kinds of cookie
    yahoo.trouble["AAA"] = [trouble] * (4 if status in ("429", "500", "502") else 2)
    events = []
    frame = source(on_progress=events.append).load().frame
    assert len(frame) == 757
    assert yahoo.slept == ([0.25, 15.0, 30.0] if status == "429" else [0.25, 1.0, 2.0])
    assert events[0].message.startswith("AAA: ")
    assert "trying again in" in events[0].message


def test_too_many_requests_stop_the_download_which_can_be_resumed(source, yahoo):
    yahoo.trouble["BBB"] = [("429", "Too Many Requests")] * 10
    line = assert_fails(source(["AAA", "BBB", "CCC"], on_missing_ticker="skip"))  # an outage is no missing ticker
    assert "BBB (too many requests (429), 5 times)" in line
    assert "1 of 3 tickers are up to date" in line
    assert "CCC" not in asked(yahoo)
    assert yahoo.slept == [0.25, 0.25, 15, 30, 60, 120]
    yahoo.trouble.clear()
    yahoo.asked.clear()
    assert source(["AAA", "BBB", "CCC"]).load().tickers == ("AAA", "BBB", "CCC")
    assert asked(yahoo) == ["BBB", "CCC"]


def test_unreachable_service_is_not_tried_for_every_ticker(source, yahoo, sim):
    for name in ("T1", "T2", "T3", "T4", "T5"):
        yahoo.shares[name] = yahoo.shares["CCC"]
        yahoo.trouble[name] = [sim.requests.exceptions.Timeout("Operation timed out")] * 5
    line = assert_fails(source(["T1", "T2", "T3", "T4", "T5"], max_attempts=2))
    assert "T1 (Timeout: Operation timed out, 2 times)" in line
    assert asked(yahoo) == ["T1", "T1", "T2", "T2", "T3", "T3"]


def test_a_single_time_out_is_an_error_too_and_the_rest_is_kept(source, yahoo, sim):
    yahoo.trouble["AAA"] = [sim.requests.exceptions.Timeout("Operation timed out")] * 5
    assert "1 of 2 tickers are up to date" in assert_fails(source(["AAA", "BBB"], on_missing_ticker="skip"))
    yahoo.trouble.clear()
    yahoo.asked.clear()
    source(["AAA", "BBB"]).load()
    assert asked(yahoo) == ["AAA"]


def clear(result):
    result["timestamp"] = []
    result["indicators"] = {
        "quote": [{n: [] for n in ("open", "high", "low", "close", "volume")}],
        "adjclose": [{"adjclose": []}],
    }
    result["events"] = {}


def without_quotes(result):
    result.pop("timestamp")
    result["indicators"] = {"quote": [{}], "adjclose": [{}]}


@pytest.mark.parametrize("empty", [clear, without_quotes, ("200", {"chart": {"result": [], "error": None}})])
def test_empty_reply_is_an_unknown_ticker(source, yahoo, empty):
    yahoo.trouble["AAA"] = [empty] * 5
    line = assert_fails(source())
    assert "AAA (" in line
    yahoo.trouble["AAA"] = [empty] * 2
    assert len(source().load().frame) == 757


def cut(first=0, last=None, step=1):
    def spoil(result):
        keep = slice(first, last, step)
        result["timestamp"] = result["timestamp"][keep]
        quote = result["indicators"]["quote"][0]
        for name in quote:
            quote[name] = quote[name][keep]
        adjusted = result["indicators"]["adjclose"][0]
        adjusted["adjclose"] = adjusted["adjclose"][keep]
        shown = set(result["timestamp"])
        for kind, events in result["events"].items():
            result["events"][kind] = {key: event for key, event in events.items() if event["date"] in shown}

    return spoil


@pytest.mark.parametrize(
    "partial",
    [cut(first=200), cut(last=-200), cut(step=2), cut(first=12), cut(last=-12)],
    ids=["beginning", "end", "holes", "12 bars at the beginning", "12 bars at the end"],
)
def test_partial_reply_is_refused_and_never_kept(source, yahoo, tmp_path, partial):
    yahoo.trouble["CCC"] = [partial]
    line = assert_fails(source(["CCC"]))
    assert "CCC (" in line
    assert "bars in 757 sessions" in line
    assert not cache_path(tmp_path / "cache", "CCC").exists()
    assert len(source(["CCC"]).load().frame) == 757


def test_a_partial_tail_is_refused_and_never_kept(source, yahoo, tmp_path):
    yahoo.now = np.datetime64("2021-11-15T23:00", "s")
    source(["CCC"]).load()
    before = cache_path(tmp_path / "cache", "CCC").read_bytes()
    yahoo.now = np.datetime64("2021-12-31T23:00", "s")
    yahoo.trouble["CCC"] = [cut(last=-5)]
    assert_fails(source(["CCC"]))
    assert cache_path(tmp_path / "cache", "CCC").read_bytes() == before
    assert source(["CCC"]).load().last == np.datetime64("2021-12-31")


def test_a_few_missing_bars_are_counted(source, yahoo, tmp_path):
    yahoo.shares["CCC"].holes = ("2020-03-03", "2020-03-04", "2021-12-31")
    made = source(["CCC"])
    prices = made.load()
    assert len(prices.frame) == 754
    assert any("2 sessions without a bar in 1 ticker (most: CCC, 2 of 756)" in note for note in prices.warnings)
    assert any("ends before 2021-12-31" in note for note in prices.warnings)
    row = made.report().loc["CCC"]
    assert (row["missing"], row["early_end"], row["status"]) == (2, 1, "short")
    # the bar of the last session was not there yet: the next call asks again
    yahoo.shares["CCC"].holes = ("2020-03-03", "2020-03-04")
    yahoo.asked.clear()
    assert len(source(["CCC"]).load().frame) == 755
    assert asked(yahoo) == ["CCC"]
    # min_coverage of the user applies to cached bars too
    assert_fails(source(["CCC"], min_coverage=1.0))


def renamed(old, new):
    def spoil(result):
        indicators = json.loads(json.dumps(result["indicators"]).replace(f'"{old}"', f'"{new}"'))
        result["indicators"] = indicators

    return spoil


@pytest.mark.parametrize(("old", "new"), [("close", "last"), ("open", "Open"), ("volume", "shares")])
def test_renamed_columns(source, yahoo, old, new):
    yahoo.trouble["AAA"] = [renamed(old, new)] * 5
    assert "a reply in another form" in assert_fails(source())


def test_missing_adjusted_closes_are_refused(source, yahoo):
    # yfinance silently takes closes instead
    yahoo.trouble["AAA"] = [renamed("adjclose", "adjusted")]
    assert "no prices adjusted for them" in assert_fails(source())


def test_a_split_without_its_adjustment(source, yahoo):
    def spoil(result):
        share = yahoo.shares["AAA"]
        scale = np.where(share.days < np.datetime64("2020-08-31"), 4.0, 1.0)
        for quotes in (result["indicators"]["quote"][0], result["indicators"]["adjclose"][0]):
            for name in quotes:
                if name != "volume":
                    quotes[name] = (np.array(quotes[name]) * scale).tolist()

    yahoo.trouble["AAA"] = [spoil]
    assert "a split of 4 on 2020-08-31 that its prices are not adjusted for" in assert_fails(source())
    # in a tail it shows in the overlap
    yahoo.now = np.datetime64("2020-08-28T23:00", "s")
    old = source().load().frame
    yahoo.now = np.datetime64("2020-09-10T23:00", "s")
    listed = dict(yahoo.shares["AAA"].splits)
    yahoo.trouble["AAA"] = [lambda result: result["events"].update(splits={})]
    assert "splits that do not fit" in assert_fails(source())
    assert yahoo.shares["AAA"].splits == listed
    assert_same_bits(source().load().frame, old)


@pytest.mark.parametrize(
    "garbage", ["[]", "5", '{"chart": 5}', "", "\x00", '{"chart": {"result": [{"meta": {}}], "error": null}}']
)
def test_malformed_replies_are_refused(source, yahoo, sim, garbage):
    yahoo.trouble["AAA"] = [sim.Answer(garbage)] * 5
    assert_fails(source(max_attempts=2))


def spoil_anywhere(data, node, depth=0):
    """Change one thing somewhere in a reply."""
    if isinstance(node, dict) and node and (depth == 0 or data.draw(st.integers(0, 5))):
        key = data.draw(st.sampled_from(sorted(node)))
        action = data.draw(st.sampled_from(["go on", "go on", "go on", "drop", "rename", "replace"]))
        if action == "go on" and isinstance(node[key], dict | list):
            spoil_anywhere(data, node[key], depth + 1)
        elif action == "drop":
            del node[key]
        elif action == "rename":
            node[f"{key}2"] = node.pop(key)
        else:
            node[key] = data.draw(JUNK)
    elif isinstance(node, list) and node:
        place = data.draw(st.integers(0, len(node) - 1))
        action = data.draw(st.sampled_from(["go on", "replace", "cut", "double"]))
        if action == "go on" and isinstance(node[place], dict | list):
            spoil_anywhere(data, node[place], depth + 1)
        elif action == "cut":
            del node[place:]
        elif action == "double":
            node.insert(place, node[place])
        else:
            node[place] = data.draw(JUNK)


JUNK = st.sampled_from([None, "", "x", 0, -1, 1e300, -5.5, 1262304000, [], {}, [1], {"a": 1}, True, float("nan")])


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_damaged_reply_is_prices_or_one_line_and_never_silently_short(sim, tmp_path_factory, data):
    share = sim.Share(start="2021-06-01", splits={"2021-08-02": 2.0}, dividends={"2021-09-01": 0.5})
    yahoo = sim.SimulatedYahoo({"AAA": share})
    yahoo.trouble["AAA"] = [lambda result: spoil_anywhere(data, result)]
    made = YahooSource(
        ["AAA"],
        "2021-01-04",
        cache=tmp_path_factory.mktemp("cache"),
        session=yahoo,
        sleep=yahoo.slept.append,
        clock=yahoo.clock,
        max_attempts=1,
    )
    try:
        prices = made.load()
    except (InputError, ServiceError) as error:
        line = str(error)
    else:
        line = ""
        short = len(share.days) - len(prices.frame)
        expected_warnings = ("without a bar", "begins after 2021-01-04", "ends before")
        assert not short or sum(any(words in note for words in expected_warnings) for note in prices.warnings)
    assert "\n" not in line


def test_log_messages_of_yfinance_are_not_printed(source, yahoo, capfd, monkeypatch, sim):
    get = yahoo.get

    def limited(url, **options):
        return sim.Answer("Too Many Requests", 429) if "getcrumb" in url else get(url, **options)

    monkeypatch.setattr(yahoo, "get", limited)
    assert len(source().load().frame) == 757
    assert capfd.readouterr() == ("", "")


def test_rows_without_numbers_are_left_out(source, yahoo):
    def blank(result):
        for quotes in (result["indicators"]["quote"][0], result["indicators"]["adjclose"][0]):
            for name in quotes:
                quotes[name][100] = None

    yahoo.trouble["CCC"] = [blank]
    prices = source(["CCC"]).load()
    assert len(prices.frame) == 756
    assert any("1 sessions without a bar" in note for note in prices.warnings)


def test_bar_with_a_missing_price_is_refused_by_check_prices(source, yahoo):
    def blank(result):
        result["indicators"]["quote"][0]["open"][100] = None

    yahoo.trouble["CCC"] = [blank]
    assert "expected a number as open; found open = nan for CCC on 2019-05-28" in assert_fails(
        source(["CCC"]), InputError
    )
    assert len(source(["CCC"], on_bad="repair").load().frame) == 756


def reverse(result):
    cut(first=None, step=-1)(result)


def twice(result):
    place = [*range(300), 299, 299, *range(300, len(result["timestamp"])), len(result["timestamp"]) - 1]
    result["timestamp"] = [result["timestamp"][i] for i in place]
    for quotes in (result["indicators"]["quote"][0], result["indicators"]["adjclose"][0]):
        for name in quotes:
            quotes[name] = [quotes[name][i] for i in place]


def midnight(result):
    """Time stamps at 23:00 of the evening before, as Yahoo has them around changes to daylight saving."""
    zone = np.array(result["timestamp"], "datetime64[s]").astype("datetime64[D]").astype("datetime64[s]").astype(int)
    result["timestamp"] = (zone + 4 * 3600).tolist()


@pytest.mark.parametrize("spoil", [reverse, twice, midnight])
def test_order_duplicates_and_times_of_day_change_nothing(source, yahoo, tmp_path, spoil):
    good = source(["CCC"], cache=tmp_path / "good").load()
    yahoo.trouble["CCC"] = [spoil]
    spoilt = source(["CCC"], cache=tmp_path / "spoilt").load()
    pd.testing.assert_frame_equal(spoilt.frame, good.frame, check_exact=True)


def test_a_reused_symbol_is_refused(source, yahoo, sim):
    yahoo.now = np.datetime64("2020-01-31T23:00", "s")
    source(["CCC"]).load()
    yahoo.shares["CCC"] = sim.Share(start="2020-03-02", seed=9)
    yahoo.now = np.datetime64("2021-12-31T23:00", "s")
    assert "perhaps a reused symbol" in assert_fails(source(["CCC"]))
    assert len(source(["CCC"], revisions="accept").load().frame) == len(yahoo.shares["CCC"].days)


def test_two_currencies_are_refused(source, yahoo, sim):
    yahoo.shares["LON"] = sim.Share(currency="GBp")
    assert "found GBp (LON), USD (AAA)" in assert_fails(source(["AAA", "LON"]), InputError)


def test_span_without_bars_is_refused(source):
    assert "BBB (no bars in " in assert_fails(source(["AAA", "BBB"], end="2019-03-29"))
    assert source(["AAA", "BBB"], end="2019-03-29", on_missing_ticker="skip").load().tickers == ("AAA",)


# -- revisions -------------------------------------------------------------------------------------------------------


@pytest.fixture
def revised(source, yahoo):
    """A cache whose bars of two days Yahoo has changed by 3 % since."""
    yahoo.now = np.datetime64("2021-11-30T23:00", "s")
    old = source(["AAA", "CCC"]).load().frame
    yahoo.now = np.datetime64("2021-12-31T23:00", "s")
    yahoo.shares["CCC"].corrections = {"2021-11-23": 1.03, "2021-11-30": 1.03}
    return old


def test_revised_bars_are_kept_and_reported(source, yahoo, revised):
    prices = source(["AAA", "CCC"]).load()
    assert_same_bits(prices.frame, revised)
    assert any("2 bars of 1 ticker revised by Yahoo" in n and "CCC on 2021-11-23: close" in n for n in prices.warnings)
    # one revised bar does not bend the link: what comes after is on the old level
    share = yahoo.shares["CCC"]
    np.testing.assert_allclose(bars(prices, "CCC")["close"], share.close, rtol=1e-12)
    assert source(["AAA", "CCC"]).load().warnings == prices.warnings


def test_only_revised_bars_are_replaced_on_request(source, yahoo, revised):
    source(["AAA", "CCC"]).load()
    prices = source(["AAA", "CCC"], revisions="accept").load()
    changed = (prices.frame.loc[revised.index] != revised).any(axis=1)
    assert changed[changed].index.tolist() == [
        (pd.Timestamp("2021-11-23"), "CCC"), (pd.Timestamp("2021-11-30"), "CCC"),
    ]  # fmt: skip
    np.testing.assert_allclose(
        bars(prices, "CCC").loc["2021-11-23", "close"],
        yahoo.shares["CCC"].close[yahoo.shares["CCC"].days == np.datetime64("2021-11-23")][0] * 1.03,
        rtol=1e-12,
    )
    assert not any("revised" in note for note in prices.warnings)
    assert not any("revised" in note for note in source(["AAA", "CCC"]).load().warnings)


def test_late_bar_is_reported_and_added_on_request(source, yahoo):
    yahoo.shares["CCC"].holes = ("2021-11-23",)
    yahoo.now = np.datetime64("2021-11-30T23:00", "s")
    source(["CCC"]).load()
    yahoo.shares["CCC"].holes = ("2021-11-22",)
    yahoo.now = np.datetime64("2021-12-31T23:00", "s")
    kept = source(["CCC"]).load()
    assert "2021-11-23" not in bars(kept, "CCC").index
    assert any("2 bars of 1 ticker revised" in n and "2021-11-22: now has no bar" in n for n in kept.warnings)
    taken = bars(source(["CCC"], revisions="accept").load(), "CCC")
    assert "2021-11-23" in taken.index
    assert "2021-11-22" not in taken.index


def test_dividend_missing_in_adjusted_prices_is_reported(source, yahoo):
    yahoo.now = np.datetime64("2020-10-30T23:00", "s")
    old = source().load().frame
    yahoo.now = np.datetime64("2021-12-31T23:00", "s")

    def unadjusted(result):
        result["indicators"]["adjclose"][0]["adjclose"] = result["indicators"]["quote"][0]["close"]

    yahoo.trouble["AAA"] = [unadjusted]
    prices = source().load()
    assert_same_bits(prices.frame, old)
    assert any("1 dividends of 1 ticker" in n and "AAA on 2020-11-06" in n for n in prices.warnings)


# -- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tickers": "AAPL"}, "a list"),
        ({"tickers": []}, "a list"),
        ({"tickers": ["BRK/B"]}, "BRK-B"),
        ({"tickers": ["../x"]}, "'../x'"),
        ({"tickers": ["A?range=1d"]}, "symbols"),
        ({"tickers": [""]}, "symbols"),
        ({"tickers": [7]}, "symbols"),
        ({"start": "2019"}, "date like"),
        ({"start": "2025-01-02", "end": "2024-01-02"}, "start on or before"),
        ({"start": "2030-01-02"}, "start on or before 2021-12-31"),
        ({"on_missing_ticker": "ignore"}, 'on_missing_ticker = "raise" or "skip"'),
        ({"revisions": "maybe"}, 'revisions = "keep" or "accept"'),
        ({"min_coverage": 1.5}, "min_coverage"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"request_interval": -1.0}, "request_interval"),
        ({"calendar": "nyse"}, "close: NYSE"),
        ({"on_bad": "ignore"}, "on_bad"),
    ],
)
def test_settings_are_checked(source, options, words):
    with pytest.raises(InputError, match="expected") as caught:
        source(**options).load()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_importing_the_source_imports_no_yfinance():
    code = "import sys, signals.sources.yahoo.source; print('yfinance' in sys.modules, 'curl_cffi' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
