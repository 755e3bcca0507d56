"""Warnings about prices in every run: adjusted closes, survivorship bias, unadjusted splits, near-identical tickers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import rnn_strategies as rs
from rnn_strategies.audit.check_result import Status
from rnn_strategies.audit.fold_checks import adjustments_of_imported
from rnn_strategies.audit.survivorship import survivorship
from rnn_strategies.price_checks.adjusted_closes import missing_splits
from rnn_strategies.price_checks.ticker_bars import histories
from rnn_strategies.price_checks.ticker_lifetimes import lifetimes, survivorship_bias
from rnn_strategies.runs.data_warnings import price_warnings
from signals.calendar import sessions

QUOTES = ["open", "high", "low", "close"]


@pytest.fixture(scope="module")
def market():
    """Eleven years of sixty tickers with splits, listings and ends; raw prices are known."""
    return rs.load_prices(source="simulated", seed=1, n_tickers=60, split_rate=0.06, delisting_fraction=0.3)


def raw_frame(prices: rs.Prices) -> pd.DataFrame:
    """Prices as they were traded, without factors."""
    frame = prices.frame[[*QUOTES, "volume"]].copy()
    frame[QUOTES] = frame[QUOTES].div(prices.frame["adj_factor"], axis=0)
    return frame


def views(prices: rs.Prices) -> dict[str, rs.Prices]:
    """The same market as vendors deliver it: those with raw closes, and those whose closes are adjusted."""
    raw, adjusted = raw_frame(prices), prices.frame.drop(columns="adj_factor")
    dividends = prices.frame.assign(adj_factor=0.9)
    closes = {"close_only": True, "volume_known": False}
    return {
        "raw with factors": rs.check_prices(prices.frame),
        "raw without factors": rs.check_prices(raw),
        "raw closes alone": rs.check_prices(raw[["close"]], **closes),
        "raw with factors and actions": replace(prices, simulated=False),
        "adjusted without factors": rs.check_prices(adjusted),
        "adjusted closes alone": rs.check_prices(adjusted[["close"]], **closes),
        # what is called close is adjusted for splits, and the factor holds dividends only, as Yahoo delivers it
        "adjusted with factors for dividends": rs.check_prices(dividends),
    }


@pytest.fixture(scope="module")
def all_views(market):
    return views(market)


@pytest.mark.parametrize("view", ["raw with factors", "raw without factors", "raw closes alone"])
def test_raw_closes_show_their_splits(all_views, view):
    assert missing_splits(histories(all_views[view])) is None


def test_raw_closes_show_the_listed_splits(all_views):
    assert missing_splits(histories(all_views["raw with factors and actions"])) is None


@pytest.mark.parametrize(
    "view", ["adjusted without factors", "adjusted closes alone", "adjusted with factors for dividends"]
)
def test_adjusted_closes_are_named_in_the_report(all_views, view):
    prices = all_views[view]
    found = missing_splits(histories(prices))
    assert found is not None
    assert found.expected >= 5
    assert found.found == 0
    (text,) = [
        line for line in price_warnings(prices, rs.UniverseFilters(min_price=5)) if "later splits already" in line
    ]
    assert "and none is found" in text
    assert "universe.min_price looks ahead" in text
    assert text.startswith("Raw closes (close / adj_factor)" if prices.raw_known else "The closes")
    (without,) = [line for line in price_warnings(prices) if "later splits already" in line]
    assert "a filter on price would look ahead" in without


@pytest.mark.parametrize("view", ["raw with factors", "raw closes alone", "adjusted closes alone"])
def test_the_audit_of_imported_scores_looks_for_adjusted_closes(all_views, view):
    verdict = adjustments_of_imported(all_views[view])
    if view.startswith("raw"):
        assert verdict.status is Status.SKIPPED
        assert "No closes that are already adjusted" in verdict.finding
    else:
        assert verdict.status is Status.NOTED
        assert "adjusted for later splits already" in verdict.finding
    assert "imported" in verdict.finding
    assert "program that computed the scores" in verdict.unproved[0]


def test_listed_splits_that_the_closes_do_not_show_are_counted(market):
    frame = market.frame.assign(adj_factor=1.0)
    wrong = replace(market, frame=frame, simulated=False)
    found = missing_splits(histories(wrong))
    assert found.listed
    lives = lifetimes(market)
    first, last = (dict(zip(lives.tickers, days, strict=True)) for days in (lives.first, lives.last))
    split = market.actions["split"]
    # the list begins before a name is listed and goes on after it ended
    alive = np.array([first[ticker] < day.to_datetime64() <= last[ticker] for day, ticker in split.index])
    assert found.expected == ((np.abs(np.log(split)) > 0.2) & alive).sum()
    assert found.found == 0
    assert "that the corporate actions list none is visible in the closes" in str(found)


@pytest.mark.parametrize("calendar", ["XNYS", "XLON", "XTKS", "24/7"])
def test_a_session_that_every_ticker_lacks_is_named(calendar):
    days = pd.DatetimeIndex(sessions("2016-01-04", "2016-06-30", calendar).astype("datetime64[ns]"))
    index = pd.MultiIndex.from_product([days, ["A", "B"]], names=["date", "ticker"])
    frame = pd.DataFrame({"close": np.linspace(10, 20, len(index))}, index=index)
    options = {"calendar": calendar, "close_only": True, "volume_known": False}

    def lines(table):
        return [line for line in price_warnings(rs.check_prices(table, **options)) if line.startswith("No ticker has")]

    assert lines(frame) == []
    gone = days[[50, 51]]
    assert lines(frame.drop(gone[:1], level="date")) == [
        f"No ticker has a bar on 1 session of {calendar}: {gone[0]:%Y-%m-%d}. There are no "
        "decisions and no trades on such a day; if the market was open, the data are incomplete."
    ]
    (both,) = lines(frame.drop(gone, level="date"))
    assert f"on 2 sessions of {calendar}: {gone[0]:%Y-%m-%d}, {gone[1]:%Y-%m-%d}." in both
    assert lines(frame.drop(index=[(gone[0], "A")])) == []


def test_too_few_ticker_years_state_nothing(all_views):
    prices = all_views["adjusted without factors"]
    assert missing_splits(histories(prices.until("2009-12-31"))) is None
    assert missing_splits(histories(replace(prices, simulated=True))) is None


def test_instruments_that_never_split_are_left_alone():
    days = pd.date_range("2015-01-01", "2019-12-31", name="date")
    closes = 100 * np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.03, (len(days), 80)), axis=0))
    wide = pd.DataFrame(closes, index=days, columns=pd.Index([f"C{i:02d}" for i in range(80)], name="ticker"))
    coins = rs.check_prices(
        wide.stack().rename("close").to_frame(), calendar="24/7", close_only=True, volume_known=False
    )
    assert missing_splits(histories(coins)) is None


# -- survivors


def kept(market: rs.Prices, names: np.ndarray) -> rs.Prices:
    wanted = np.array(market.tickers, dtype=object)[names]
    return rs.check_prices(market.frame[market.frame.index.get_level_values("ticker").isin(wanted)])


def survivors(market: rs.Prices) -> rs.Prices:
    """The market without the tickers that end."""
    return kept(market, ~lifetimes(market).ended)


def from_start(market: rs.Prices) -> rs.Prices:
    """The market without the tickers that were listed later."""
    lives = lifetimes(market)
    return kept(market, lives.first == lives.begin)


@pytest.mark.parametrize(
    ("make", "status", "words"),
    [
        (survivors, Status.FAILED, "trade to the end of the file"),
        (from_start, Status.NOTED, "no ticker was listed later"),
        (lambda market: market, Status.PASSED, None),
    ],
)
def test_report_and_audit_use_one_test_of_survivorship(market, make, status, words):
    prices = make(market)
    verdict = survivorship(prices, universe_sizes={}, filters=rs.UniverseFilters())
    assert verdict.status is status
    warned = [line for line in price_warnings(prices) if "; survivorship bias makes" in line]
    bias = survivorship_bias(lifetimes(prices))
    if words is None:
        assert (bias, warned) == (None, [])
        return
    assert words in bias.finding
    assert [line[1 : len(bias.finding)] for line in warned] == [bias.finding[1:]]
    assert bias.finding[1:] in verdict.finding


# -- splits left in


@pytest.mark.parametrize("ratio", [2.0, 3.0, 7.0, 0.1])
def test_a_split_left_in_is_found_in_every_run(market, ratio):
    frame = raw_frame(market).drop(columns="volume").assign(volume=1e6)
    ticker = market.tickers[5]
    clean = market.frame.drop(columns="adj_factor")
    mine = clean.index.get_level_values("ticker") == ticker
    day = clean.index[mine][700][0]
    later = mine & (clean.index.get_level_values("date") >= day)
    broken = clean.copy()
    broken.loc[later, QUOTES] /= ratio
    (text,) = [line for line in price_warnings(rs.check_prices(broken)) if "overnight move" in line]
    assert f"{ticker} on {day:%Y-%m-%d}" in text
    assert not [line for line in price_warnings(rs.check_prices(clean)) if "overnight move" in line]
    # volume in shares of today, as adjusted files have it, does not hide it
    broken["volume"] = frame["volume"]
    assert [line for line in price_warnings(rs.check_prices(broken)) if f"{ticker} on {day:%Y-%m-%d}" in line]


def test_near_identical_tickers_are_in_notes_report_and_audit(market):
    from rnn_strategies.audit.delisted_names import dead_names

    copy = market.frame.xs(market.tickers[3], level="ticker", drop_level=False)
    copy = copy.rename(index={market.tickers[3]: "COPY"}, level="ticker")
    prices = rs.check_prices(pd.concat([market.frame, copy]).sort_index())
    for lines in (prices.warnings, price_warnings(prices), [dead_names(prices).finding]):
        assert [line for line in lines if f"COPY and {market.tickers[3]} (identical)" in line]


# -- real prices


@pytest.mark.parametrize(
    ("path", "options", "adjusted"),
    [
        ("us-etfs-daily/ohlcv.parquet", {}, True),
        ("us-stocks-daily/ohlcv_top600.parquet", {}, True),
        ("us-stocks-with-delisted/daily.parquet", {"return_column": "ret"}, False),
        ("corporate-actions-sample", {"file_names": "{ticker}_daily_raw"}, False),
    ],
)
def test_real_closes_are_recognised(shared_data, path, options, adjusted):
    prices = rs.load_prices(source="files", path=str(shared_data / path), on_bad="repair", **options)
    assert (missing_splits(histories(prices)) is not None) == adjusted


def test_real_raw_closes_without_factors_show_their_splits(shared_data):
    path = shared_data / "us-stocks-with-delisted" / "daily.parquet"
    table = pd.read_parquet(path, columns=["date", "ticker", *QUOTES, "volume"])
    frame = table.assign(date=pd.to_datetime(table["date"])).set_index(["date", "ticker"]).sort_index().astype(float)
    assert missing_splits(histories(rs.check_prices(frame, on_bad="repair"))) is None
    closes = rs.check_prices(frame[["close"]], close_only=True, volume_known=False, on_bad="repair")
    assert missing_splits(histories(closes)) is None
