"""Audit check `delisted-names`: bars without trades are found, and real bars are not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import rnn_strategies as rs
from rnn_strategies.audit.check_result import Status
from rnn_strategies.audit.delisted_names import dead_names
from rnn_strategies.price_checks.price_jumps import split_like_jumps
from rnn_strategies.price_checks.ticker_bars import histories, stale_bars, stretches
from signals.dataset.dataset import make_dataset
from signals.models.custom import CustomModel


@pytest.fixture
def worlds(support):
    import audit_worlds

    return audit_worlds


FAR = "2099-01-01"
LIVES = {
    "SIM020": ("2011-01-01", "2012-01-06"),
    "SIM021": ("2011-01-01", "2012-08-15"),
    "SIM022": ("2011-01-01", "2012-12-03"),
    "SIM023": ("2011-01-01", "2013-02-28"),
    "SIM024": ("2011-06-01", "2013-07-19"),
    "SIM025": ("2011-01-01", "2014-03-11"),
    "SIM026": ("2011-01-01", "2014-12-15"),
    "SIM027": ("2012-02-14", FAR),
    "SIM028": ("2013-01-10", FAR),
    "SIM029": ("2013-05-20", FAR),
    "SIM030": ("2013-09-09", FAR),
}


@pytest.fixture(scope="module")
def every():
    """Forty tickers that all live through four years."""
    return rs.load_prices(
        source="simulated",
        seed=5,
        n_tickers=40,
        start="2011-01-01",
        end="2014-12-31",
        delisting_fraction=0.0,
        listing_fraction=0.0,
    )


@pytest.fixture
def simulated(worlds, every):
    """The same with seven deaths and five listings."""
    return worlds.lived(every, LIVES)


def data_of(prices, *, start="2013-01-04", **filters):
    return make_dataset(
        prices,
        frequency="weekly",
        universe=rs.UniverseFilters(**filters),
        labels=rs.LabelSettings(price_basis="close_to_close" if prices.close_only else "open_to_open"),
        windows=CustomModel("sklearn.linear_model:LogisticRegression", lookback=8),
        walk_forward=rs.WalkForward(test_start=start),
    )


def evidence_of(verdict, name):
    return dict(verdict.evidence)[name]


# -- planted


@pytest.mark.parametrize("seed", range(4))
def test_clean_simulated_prices_pass(seed):
    prices = rs.load_prices(
        source="simulated", seed=seed, n_tickers=60, start="2010-01-01", end="2014-12-31", delisting_fraction=0.4
    )
    verdict = dead_names(prices, data=data_of(prices))
    assert verdict.status is Status.PASSED, verdict.finding
    assert int(evidence_of(verdict, "splits adjusted as they should be").replace(",", "")) > 0


@pytest.mark.parametrize("how", ["zero", "copy"])
@pytest.mark.parametrize("view", ["all", "without_volume", "closes_only"])
def test_dead_names_padded_to_the_end_fail_and_are_named(worlds, simulated, how, view):
    prices = worlds.padded(simulated, how=how)
    if view != "all":
        prices = getattr(worlds, view)(prices)
    ended = worlds.ends(simulated)
    data = data_of(prices)
    verdict = dead_names(prices, data=data)
    assert verdict.status is Status.FAILED
    names = {run.ticker: run for run in stretches(histories(prices), stale_bars(histories(prices)))}
    assert names.keys() <= set(ended.index)
    days = prices.frame.index.levels[0]
    for ticker, day in ended.items():
        left = int((days > day).sum())
        if left >= 21:
            # with quotes repeated from a real bar the first padded one may look like it or not
            assert left - 1 <= names[ticker].bars <= left + 1
            assert names[ticker].where == "tail"
    assert max(names, key=lambda name: names[name].bars) in verdict.finding
    assert "rows for training" in verdict.finding


def test_padded_rows_in_use_are_counted(worlds, simulated):
    prices = worlds.padded(simulated)
    data, ended = data_of(prices), worlds.ends(simulated)
    days = data.dates.astype("datetime64[ns]")
    expected = 0
    for column, ticker in enumerate(data.panel.tickers):
        if ticker in ended and (prices.frame.index.levels[0] > ended[ticker]).sum() >= 5:
            rows = data.eligible[column] & np.isfinite(data.labels.label[column])
            expected += int((rows & (days > np.datetime64(ended[ticker]))).sum())
    index = simulated.frame.index
    scored = pd.DataFrame({"score": 1.0}, index=prices.frame.index.difference(index).union(index[:1000]))
    verdict = dead_names(prices, data=data, signals=scored)
    assert evidence_of(verdict, "rows for training among them").startswith(f"{expected:,} of ")
    assert evidence_of(verdict, "scored rows among them").endswith(
        f"of {len(scored):,} rows ({(len(scored) - 1000) / len(scored):.1%})"
    )


def test_histories_filled_backwards_fail(worlds, simulated):
    prices = worlds.filled_backwards(simulated, 120)
    verdict = dead_names(prices, data=data_of(prices))
    assert verdict.status is Status.FAILED
    assert {row["where"] for row in verdict.table} == {"head"}
    assert max(int(row["bars"]) for row in verdict.table) == 120
    assert "before its first trade" in verdict.finding
    assert "after its last trade" not in verdict.finding


def test_unused_padded_rows_are_noted(worlds, simulated):
    prices = worlds.padded(simulated)
    alive = sorted(set(prices.tickers) - set(worlds.ends(simulated).index))
    verdict = dead_names(prices, data=data_of(prices, include=tuple(alive)))
    assert verdict.status is Status.NOTED
    assert "none of them used" in verdict.finding
    assert dead_names(prices).status is Status.NOTED  # their use is unknown


def test_one_short_halt_is_noted_and_three_are_padding(worlds, simulated):
    early = ["SIM022", "SIM023", "SIM024"]
    one = worlds.padded(simulated, sessions=9, tickers=early[:1])
    verdict = dead_names(one, data=data_of(one))
    assert verdict.status is Status.NOTED
    assert early[0] in verdict.finding
    three = worlds.padded(simulated, sessions=9, tickers=early)
    assert dead_names(three, data=data_of(three)).status is Status.FAILED


def idle_stock(trades, rng, days):
    """A stock that trades on some days only, and is quoted at its last price on the others."""
    traded = rng.random(days) < trades
    traded[0] = True
    moves = np.where(traded, rng.normal(0, 0.03, days), 0.0)
    close = np.round(20 * np.exp(np.cumsum(moves)), 2)
    return pd.DataFrame(
        {
            "open": close,
            "high": np.where(traded, close * 1.01, close),
            "low": np.where(traded, close * 0.99, close),
            "close": close,
            "volume": np.where(traded, rng.integers(1, 9, days) * 100.0, 0.0),
            "adj_factor": 1.0,
        }
    )


def test_illiquid_stocks_are_not_taken_for_padded(worlds, simulated):
    rng = np.random.default_rng(1)
    days = simulated.frame.index.levels[0]
    parts = [simulated.frame.reset_index().astype({"ticker": object})]
    for number, trades in enumerate(np.linspace(0.2, 0.9, 30)):
        parts.append(idle_stock(trades, rng, len(days)).assign(date=days, ticker=f"IDLE{number:02d}"))
    prices = worlds.rebuilt(simulated, pd.concat(parts).set_index(["date", "ticker"]))
    assert not stretches(histories(prices), stale_bars(histories(prices)))
    assert dead_names(prices, data=data_of(prices)).status in (Status.PASSED, Status.NOTED)


def test_zero_returns_of_tick_size_and_of_padding_are_distinguished(worlds, simulated):
    frame = simulated.frame.copy()
    # a price of about 3 that moves by whole cents
    scale = 10.0
    for name in worlds.QUOTES:
        frame[name] = np.maximum(np.round(frame[name] / scale, 2), 0.01)
    frame["adj_factor"] = 1.0
    verdict = dead_names(worlds.rebuilt(simulated, frame))
    share, explained = evidence_of(verdict, "returns of exactly zero").split(
        " of daily returns; a tick size of 0.01 explains "
    )
    share, explained = float(share.rstrip("%")), float(explained.rstrip("%"))
    assert share > 4
    assert 0.7 < explained / share < 1.4
    padded = dead_names(worlds.padded(simulated))
    assert "of daily returns are exactly zero" in padded.finding
    assert evidence_of(padded, "of these in padded ends") != "none"


TICKER, DAY = "SIM003", "2013-03-06"


@pytest.mark.parametrize("ratio", [2.0, 3.0, 7.0, 1.5, 0.1, 0.25])
def test_a_split_left_in_the_prices_is_noted(worlds, simulated, ratio):
    verdict = dead_names(worlds.split(simulated, TICKER, DAY, ratio, known="neither"))
    assert verdict.status is Status.NOTED
    assert f"{TICKER} on {DAY}" in verdict.finding
    assert not split_like_jumps(histories(simulated))


def test_adjusted_split_passes_and_doubly_adjusted_split_is_found(worlds, simulated):
    before = evidence_of(dead_names(simulated), "splits adjusted as they should be")
    verdict = dead_names(worlds.split(simulated, TICKER, DAY, 4.0, known="both"))
    assert verdict.status is Status.PASSED
    assert int(evidence_of(verdict, "splits adjusted as they should be")) == int(before) + 1
    (jump,) = split_like_jumps(histories(worlds.split(simulated, TICKER, DAY, 4.0, known="twice")))
    assert jump.ticker == TICKER
    assert str(jump.date) == DAY
    assert jump.doubled


def test_a_crash_is_no_split(worlds, simulated):
    frame = simulated.frame.copy()
    mine = frame.index.get_level_values("ticker") == TICKER
    day = frame.index.get_level_values("date")
    frame.loc[mine & (day >= DAY), worlds.QUOTES] /= 2.0
    frame.loc[mine & (day == DAY), "volume"] *= 12.0  # everybody wants out
    assert dead_names(worlds.rebuilt(simulated, frame)).status is Status.PASSED


def test_a_day_on_which_all_prices_halve_is_no_split(worlds, simulated):
    frame = simulated.frame.copy()
    after = frame.index.get_level_values("date") >= DAY
    frame.loc[after, worlds.QUOTES] /= 2.0
    frame.loc[after, "volume"] *= 2.0
    assert dead_names(worlds.rebuilt(simulated, frame)).status is Status.PASSED


@pytest.mark.parametrize(("times", "found"), [(12.0, True), (0.05, True), (1.1, False)])
def test_reused_symbol_is_noted(worlds, simulated, times, found):
    alive = [t for t in simulated.tickers if t not in worlds.ends(simulated).index]
    prices = worlds.handed_on(simulated, alive[0], alive[1], day="2013-06-03", times=times)
    verdict = dead_names(prices)
    assert (alive[0] in evidence_of(verdict, "reused symbols")) == found
    if found:
        assert verdict.status is Status.NOTED


# -- real


def test_real_etfs_have_notes_on_funds_of_one_index_only(shared_data):
    prices = rs.load_prices(source="files", path=shared_data / "us-etfs-daily" / "ohlcv.parquet", on_bad="repair")
    verdict = dead_names(prices, data=data_of(prices))
    assert verdict.status is Status.NOTED
    assert verdict.finding.startswith("5 pairs of tickers with the same or nearly the same returns: IVV and SPY")
    for name in ("padded ends of histories", "idle stretches inside histories", "reused symbols"):
        assert evidence_of(verdict, name) == "none"
    assert evidence_of(verdict, "moves that look like splits left in") == "none"


def test_600_real_stocks_have_notes_on_data_errors_only(shared_data):
    path = shared_data / "us-stocks-daily" / "ohlcv_top600.parquet"
    prices = rs.load_prices(source="files", path=path, on_bad="repair")
    verdict = dead_names(prices, data=data_of(prices, start="2011-01-07"))
    assert verdict.status is Status.NOTED
    for name in ("padded ends of histories", "idle stretches inside histories", "reused symbols"):
        assert evidence_of(verdict, name) == "none"
    jumps = split_like_jumps(histories(prices))
    # the price of one day, or a few, printed ten times too low, and ASML's exchange of 77 shares for 100
    assert {jump.ticker for jump in jumps} == {"ASML", "AVB", "DDS", "EIX", "HST", "NUE"}
    assert all(9.5 < jump.close < 10.5 for jump in jumps if jump.ticker != "ASML")


@pytest.fixture(scope="module")
def delisted(shared_data):
    return rs.load_prices(
        source="files",
        path=shared_data / "us-stocks-with-delisted" / "daily.parquet",
        return_column="ret",
        on_bad="repair",
    )


def test_real_delisted_stocks_are_not_taken_for_padded(delisted):
    verdict = dead_names(delisted, data=data_of(delisted, start="2016-03-04"))
    assert verdict.status is Status.NOTED
    # Code Rebel was suspended on 6 May 2016 and quoted at its last price until it was gone
    assert evidence_of(verdict, "padded ends of histories") == "CDRB (11 bars, 2016-05-06 to 2016-05-20)"
    # Hercules Offshore came back from bankruptcy with other shares
    assert evidence_of(verdict, "reused symbols").startswith("HERO (56 sessions from 2015-08-21 to 2015-11-10")
    assert evidence_of(verdict, "idle stretches inside histories") == "none"
    # Hertz and Energizer split off what the returns of the file do not know
    assert {jump.ticker for jump in split_like_jumps(histories(delisted))} >= {"HTZ", "ENR"}


def test_real_delisted_stocks_with_padding_fail(worlds, delisted):
    prices = worlds.padded(delisted)
    verdict = dead_names(prices, data=data_of(prices, start="2016-03-04"))
    assert verdict.status is Status.FAILED
    assert "508 tickers" in verdict.finding
    assert "22.5% of the rows for training (23,585)" in verdict.finding


def test_real_splits_show_in_raw_prices_and_not_in_adjusted_ones(shared_data):
    folder = shared_data / "corporate-actions-sample"
    raw = rs.load_prices(source="files", path=folder, file_names="{ticker}_daily_raw", on_bad="repair")
    found = {(jump.ticker, str(jump.date), str(jump.ratio)) for jump in split_like_jumps(histories(raw))}
    assert found == {
        ("aapl", "2000-06-21", "2"),
        ("aapl", "2005-02-28", "2"),
        ("aapl", "2014-06-09", "7"),
        ("aig", "1998-08-03", "3/2"),
        ("aig", "2000-07-31", "3/2"),
        ("aig", "2009-07-01", "1/17"),  # 1:20 on a day that fell by a fifth
        ("bac", "2004-08-30", "2"),
        ("ibm", "1999-05-27", "2"),
    }
    adjusted = rs.load_prices(
        source="files", path=folder, file_names="{ticker}_daily_raw", factor_files=folder, on_bad="repair"
    )
    verdict = dead_names(adjusted)
    assert verdict.status is Status.PASSED
    assert int(evidence_of(verdict, "splits adjusted as they should be")) >= 8


@pytest.mark.slow
def test_real_closes_of_six_thousand_tickers(shared_data):
    prices = rs.load_prices(source="files", path=shared_data / "us-stocks-daily" / "close_all.parquet", on_bad="repair")
    bars = histories(prices)
    runs = stretches(bars, stale_bars(bars))
    print([str(run) for run in runs])
    assert len(runs) < 40
    assert sum(run.where == "tail" for run in runs) <= 5
    assert len(split_like_jumps(bars)) < 200
