"""Runs on several calendars: figures compared with pandas, benchmarks of runs and tear sheets, verification."""

from __future__ import annotations

import html
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import rnn_strategies as rs
from reports.common.run_data import read_run, run_from_result
from rnn_strategies.runs.backtest_variants import seed_returns
from rnn_strategies.runs.workspace import Home
from rnn_strategies.verify.verify import verify_run
from signals.calendar import decision_dates, sessions
from signals.common.errors import InputError
from signals.common.storage import read_json, write_json

YEARS = {"XNYS": 252.0, "XLON": 252.6, "XTKS": 244.9, "24/7": 365.0}
CASES = [
    ("XNYS", "monthly", 1, True),
    ("XLON", "weekly", 3, False),
    ("XTKS", "daily", 2, True),
    ("24/7", "weekly", 1, False),
    ("24/7", "monthly", 3, True),
]


@pytest.fixture
def home(tmp_path) -> Home:
    return Home(tmp_path / "home")


def write_inputs(folder: Path, calendar: str, frequency: str, names: int, *, fractional: bool = True) -> pd.Series:
    """Write prices that begin before the run, scores, a benchmark and a configuration; gives the benchmark's closes."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(calendar) + names)
    days = sessions("2015-09-01", "2016-06-30", calendar)
    tickers = ["AA", "BB", "CC"][:names]
    close = 60 * np.exp(np.cumsum(rng.normal(0.0005, 0.015, (len(days), names)), axis=0))
    opens = np.vstack([close[:1], close[:-1]]) * np.exp(rng.normal(0, 0.003, close.shape))
    pd.DataFrame(
        {
            "date": np.repeat(days, names).astype("datetime64[ns]"),
            "ticker": np.tile(tickers, len(days)),
            "open": opens.ravel(),
            "high": np.maximum(opens, close).ravel(),
            "low": np.minimum(opens, close).ravel(),
            "close": close.ravel(),
            "volume": 1e9,
        }
    ).to_csv(folder / "prices.csv", index=False)
    held = pd.Series(close[:, 0], index=pd.DatetimeIndex(days.astype("datetime64[ns]"), name="Date"), name="Close")
    held.to_csv(folder / "AA.csv")
    dates = decision_dates("2015-10-01", "2016-06-01", frequency, calendar)
    rows = len(dates) * names
    scores = {"date": np.repeat(dates, names), "ticker": np.tile(tickers, len(dates)), "score": rng.random(rows)}
    pd.DataFrame(scores).to_csv(folder / "scores.csv", index=False)
    (folder / "c.toml").write_text(
        f'name = "x"\n[signals]\npath = "scores.csv"\n[prices]\nsource = "files"\npath = "prices.csv"\n'
        f'calendar = "{calendar}"\n[labels]\nkind = "up"\n[strategy]\nallocation = "TopK"\nk = {max(1, names - 1)}\n'
        f"[broker]\ncash = 1e6\ncommission = 0.001\nslippage = 0.0005\nfractional = {str(fractional).lower()}\n"
        f'[benchmark]\nticker = "AA"\npath = "AA.csv"\n'
    )
    return held


def finished(folder: Path, home: Home) -> rs.Run:
    rs.import_scores(folder / "scores.csv", config=folder / "c.toml", out=folder / "run", home=home)
    return rs.run(folder / "run", home=home)


@pytest.mark.parametrize(("calendar", "frequency", "names", "fractional"), CASES)
def test_figures_of_a_run_are_those_of_a_few_lines_of_pandas(tmp_path, home, calendar, frequency, names, fractional):
    close = write_inputs(tmp_path, calendar, frequency, names, fractional=fractional)
    run = finished(tmp_path, home)
    m, year = run.metrics, YEARS[calendar]
    r = run.result.returns.tz_localize(None)
    b = close.reindex(r.index).pct_change().fillna(0.0)
    expected = {
        "periods_per_year": year,
        "annual_return": (1 + r).prod() ** (year / len(r)) - 1,
        "annual_volatility": r.std() * year**0.5,
        "sharpe_ratio": r.mean() / r.std() * year**0.5,
        "benchmark_annual_volatility": b.std() * year**0.5,
        "beta": r.cov(b) / b.var(),
        "correlation": r.corr(b),
        "tracking_error": (r - b).std() * year**0.5,
        "excess_return": (r - b).mean() * year,
        "benchmark_cum_returns_final": (1 + b).prod() - 1,
    }
    assert {name: m[name] for name in expected} == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert m["calendar"] == calendar

    # the same benchmark with the other functions, first day included: its returns begin before the run
    outside = close.pct_change()
    assert run_from_result(run.result, title="x", benchmark=outside).benchmark.equals(read_run(run.folder).benchmark)
    other = rs.compute_metrics(run.result.returns, benchmark=outside)
    known = [name for name in other if name in m and other[name] is not None and "universe" not in name]
    assert {name: other[name] for name in known if name.startswith(("benchmark_", "beta", "alpha", "common"))} == {
        name: m[name] for name in known if name.startswith(("benchmark_", "beta", "alpha", "common"))
    }


def test_a_run_on_another_calendar_is_verified_and_its_year_cannot_be_edited(tmp_path, home):
    write_inputs(tmp_path, "XTKS", "weekly", 2)
    run = finished(tmp_path, home)
    assert not verify_run(run.folder, home=home).findings
    metrics = read_json(run.folder / "metrics.json")
    write_json(run.folder / "metrics.json", metrics | {"periods_per_year": 252.0})
    assert "metrics.json" in str(verify_run(run.folder, home=home).findings)


def test_the_benchmark_follows_the_calendar_of_the_prices(tmp_path, home):
    write_inputs(tmp_path, "24/7", "weekly", 1)
    run = finished(tmp_path, home)
    assert run.benchmark.calendar == "24/7"
    assert run.metrics["correlation"] > 0.9


def test_a_benchmark_of_another_exchange_says_which_and_is_compounded(tmp_path, home):
    write_inputs(tmp_path, "XLON", "weekly", 1)
    days = sessions("2015-09-01", "2016-06-30", "XNYS")
    price = pd.Series(100 + np.arange(len(days)), index=pd.DatetimeIndex(days.astype("datetime64[ns]"), name="Date"))
    price.rename("Close").to_csv(tmp_path / "AA.csv")
    with pytest.raises(InputError, match=r"sessions of XLON.*set calendar to that of the exchange"):
        finished(tmp_path, home)
    config = tmp_path / "c.toml"
    config.write_text(config.read_text() + 'calendar = "XNYS"\n')
    made = rs.import_scores(tmp_path / "scores.csv", config=config, out=tmp_path / "new", home=home)
    run = rs.run(made.folder, home=home)
    held = read_run(run.folder).benchmark
    first, last = (price.asof(day.tz_localize(None)) for day in held.index[[0, -1]])
    assert (1 + held).prod() == pytest.approx(last / first)


def text_of(page: Path) -> str:
    return html.unescape(
        re.sub(r"<[^>]+>", " ", re.sub(r"<style.*?</style>|data:[^\"]*", "", page.read_text(), flags=re.S))
    )


@pytest.mark.parametrize(
    ("calendar", "theirs", "part"),
    [
        ("XNYS", "XNYS", ("2015-12-15", None)),
        ("XLON", "XLON", (None, "2016-03-15")),
        ("XTKS", "XNYS", ("2015-12-15", "2016-03-15")),
        ("24/7", "XNYS", (None, "2016-04-22")),
        ("24/7", "24/7", ("2015-12-12", "2016-04-23")),
    ],
)
def test_partial_benchmark_is_compared_over_its_part_in_run_and_tear_sheet(tmp_path, home, calendar, theirs, part):
    close = write_inputs(tmp_path, calendar, "weekly", 2)
    if theirs != calendar:
        days = pd.DatetimeIndex(sessions("2015-09-01", "2016-06-30", theirs).astype("datetime64[ns]"), name="Date")
        close = pd.Series(50 + np.arange(len(days)) + 5 * np.sin(np.arange(len(days))), index=days, name="Close")
    close = close[slice(*part)]
    close.to_csv(tmp_path / "AA.csv")
    config = tmp_path / "c.toml"
    config.write_text(config.read_text() + f'calendar = "{theirs}"\n')
    run = rs.import_scores(tmp_path / "scores.csv", config=config, out=tmp_path / "run", home=home)
    run.compute_backtest()
    m, returns = run.metrics, run.result.returns
    assert m["common_days"] < m["days"]
    warning = f"AA covers {m['common_days']} of {m['days']} sessions of the account"
    (line,) = [line for line in read_json(run.folder / "manifest.json")["backtest"]["warnings"] if warning in line]
    if calendar == "XTKS":
        run.write_report()
        assert text_of(run.report).count(line) == 1
        assert not verify_run(run.folder, home=home).findings

    # the same over the span, by a few lines of pandas: closes carried forward, returns between sessions of the run
    r = returns.tz_localize(None)
    held = close.reindex(close.index.union(r.index)).ffill().reindex(r.index)
    held[close.index[-1] + pd.Timedelta(days=3) :] = np.nan
    b = held.pct_change(fill_method=None)
    b.iloc[0] = 0.0 if np.isfinite(held.iloc[0]) else np.nan
    b = b.dropna()[m["common_start"] : m["common_end"]]
    mine = r.reindex(b.index)
    assert len(b) == m["common_days"]
    assert m["beta"] == pytest.approx(mine.cov(b) / b.var(), rel=1e-9)
    assert m["common_cum_returns_final"] == pytest.approx((1 + mine).prod() - 1, rel=1e-9)
    assert m["benchmark_cum_returns_final"] == pytest.approx((1 + b).prod() - 1, rel=1e-9)

    # the same with `tear_sheet`
    outside = run_from_result(run.result, title="x", benchmark=close.pct_change(), benchmark_name="AA")
    known = read_run(run.folder).benchmark
    pd.testing.assert_series_equal(outside.benchmark, known, rtol=1e-12, check_names=False, check_freq=False)
    assert line in outside.warnings


def test_a_benchmark_of_another_time_or_of_months_is_refused_before_anything_is_traded(tmp_path, home):
    close = write_inputs(tmp_path, "XNYS", "weekly", 2)
    close[:"2015-09-30"].to_csv(tmp_path / "AA.csv")
    with pytest.raises(InputError, match="give a longer file, or remove"):
        finished(tmp_path, home)
    close.groupby(close.index.to_period("M")).tail(1).to_csv(tmp_path / "AA.csv")
    with pytest.raises(InputError, match=r"expected daily prices of benchmark AA.*monthly"):
        finished(tmp_path, home)
    assert not (tmp_path / "run" / "returns.parquet").exists()


def test_a_file_of_every_day_is_offered_the_calendar_of_every_day():
    days = pd.date_range("2016-01-01", periods=20).astype("datetime64[ns]")
    index = pd.MultiIndex.from_product([days, ["A"]], names=["date", "ticker"])
    frame = pd.DataFrame({"close": 5.0}, index=index)
    options = {"close_only": True, "volume_known": False}
    with pytest.raises(InputError, match='set calendar = "24/7"'):
        rs.check_prices(frame, **options)
    assert rs.check_prices(frame, calendar="24/7", **options).calendar == "24/7"


def test_the_account_of_a_seed_that_was_closed_has_no_returns_after_that():
    days = sessions("2016-01-04", "2016-03-31")
    close = np.full((len(days), 2), 50.0)
    close[20:, 0] = 400.0  # ruins a short position
    index = pd.MultiIndex.from_product([days.astype("datetime64[ns]"), ["A", "B"]], names=["date", "ticker"])
    quotes = dict.fromkeys(("open", "high", "low", "close"), close.ravel())
    prices = rs.check_prices(pd.DataFrame(quotes | {"volume": 1e9}, index=index))
    signals = pd.DataFrame({"score": 0.0, "score_std": 0.0}, index=index[:2])
    scores = pd.DataFrame({"date": days[0], "ticker": ["A", "B"] * 2, "seed": [0, 0, 1, 1], "score": [1.0, 0, 0, 1]})
    config = SimpleNamespace(
        broker=rs.BrokerSettings(cash=1e5, commission=0.0, slippage=0.0, borrow_rate=0.0),
        allocation=rs.LongShortQuantile(quantile=0.5),
        strategy="SignalStrategy",
    )
    scores["date"] = scores["date"].astype("datetime64[ns]")
    alone = seed_returns(config, prices, signals, scores, [0, 1])
    assert alone["0"].notna().all()
    assert alone["1"].notna().sum() == 21
    assert (1 + alone["1"].dropna()).prod() <= 0
