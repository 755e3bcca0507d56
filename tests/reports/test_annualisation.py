"""Annual figures by the table of sessions a year, the same in every function, and equal to empyrical's."""

from __future__ import annotations

import html
import re
from types import SimpleNamespace

import empyrical as ep
import numpy as np
import pandas as pd
import pytest

import rnn_strategies as rs
from reports.common.run_data import RunData, run_from_result
from reports.metrics.performance import compute_metrics
from reports.significance.measures import measure_significance, significance_metrics
from signals.calendar import sessions
from signals.common.errors import InputError

YEARS = {
    ("XNYS", "D"): 252.0,
    ("XLON", "D"): 252.6,
    ("XTKS", "D"): 244.9,
    ("24/7", "D"): 365.0,
    ("XNYS", "W"): 52.0,
    ("XTKS", "W"): 52.0,
    ("24/7", "W"): 52.0,
    ("XLON", "M"): 12.0,
    ("24/7", "M"): 12.0,
}


def returns_on(calendar: str, rule: str, seed: int = 0) -> pd.Series:
    days = pd.DatetimeIndex(sessions("2014-01-01", "2017-12-31", calendar).astype("datetime64[ns]"))
    if rule != "D":
        days = pd.DatetimeIndex(days.to_series().groupby(days.to_period(rule)).last())
    values = np.random.default_rng(seed).normal(0.001, 0.02, len(days))
    return pd.Series(values, index=days.tz_localize("UTC").rename("date"), name="returns")


@pytest.mark.parametrize(("calendar", "rule"), list(YEARS))
def test_figures_are_empyricals_with_the_table_and_a_few_lines_of_pandas(calendar, rule):
    r, b, year = returns_on(calendar, rule), returns_on(calendar, rule, 1), YEARS[calendar, rule]
    m = compute_metrics(r, benchmark=b, calendar=calendar, risk_free_rate=0.03)
    rate = 1.03 ** (1 / year) - 1
    assert m["periods_per_year"] == year
    assert m["annual_return"] == ep.annual_return(r, annualization=year)
    assert m["annual_volatility"] == ep.annual_volatility(r, annualization=year)
    assert m["sharpe_ratio"] == ep.sharpe_ratio(r, risk_free=rate, annualization=year)
    assert m["sortino_ratio"] == ep.sortino_ratio(r, required_return=rate, annualization=year)
    assert m["calmar_ratio"] == ep.calmar_ratio(r, annualization=year)
    assert m["downside_risk"] == ep.downside_risk(r, required_return=rate, annualization=year)
    assert m["alpha"] == ep.alpha(r, b, risk_free=rate, annualization=year)
    assert m["annual_volatility"] == pytest.approx(r.std() * year**0.5)
    assert m["benchmark_annual_volatility"] == pytest.approx(b.std() * year**0.5)
    assert m["tracking_error"] == pytest.approx((r - b).std() * year**0.5)
    assert m["excess_return"] == pytest.approx((r - b).mean() * year)
    assert m["annual_return"] == pytest.approx((1 + r).prod() ** (year / len(r)) - 1)


@pytest.mark.parametrize(("calendar", "rule"), list(YEARS))
def test_measures_of_luck_use_the_same_year(calendar, rule):
    r, year = returns_on(calendar, rule), YEARS[calendar, rule]
    if len(r) < 60:
        r = pd.concat([r, r.set_axis(r.index + pd.DateOffset(years=4))])
    significance = measure_significance(RunData(title="x", returns=r, calendar=calendar))
    m = significance_metrics(significance)
    assert m["sharpe_ratio_standard_error"] == pytest.approx(significance.path.error * year**0.5)
    assert significance.periodicity.periods_per_year == year


def strategy_report(result: object, path: object, **options: object) -> str:
    page = rs.tear_sheet(result, path=path, **options).read_text()
    return html.unescape(re.sub(r"<[^>]+>", " ", re.sub(r"<style.*?</style>|data:[^\"]*", "", page, flags=re.S)))


def result_of(returns: pd.Series, **facts: object) -> SimpleNamespace:
    known = {"positions": None, "transactions": None, "orders": None, "warnings": (), "stopped": None, "settings": {}}
    return SimpleNamespace(returns=returns, **(known | facts))


@pytest.mark.parametrize(
    ("calendar", "rule", "words"),
    [
        ("24/7", "D", ("Daily returns, 365 sessions a year (24/7)", "over 182 sessions, times the root of 365")),
        ("XNYS", "D", ("Daily returns, 252 sessions a year,", "over 126 sessions, times the root of 252")),
        ("XTKS", "W", ("Weekly returns, 52 weeks a year", "over 26 weeks, times the root of 52", "Best week")),
        ("XNYS", "M", ("Monthly returns, 12 months a year", "over 6 months, times the root of 12", "Best month")),
    ],
)
def test_the_report_says_what_a_year_is(calendar, rule, words, tmp_path):
    text = strategy_report(result_of(returns_on(calendar, rule)), tmp_path / "r.html")
    for word in words:
        assert word in text


def test_the_calendar_goes_with_the_result_through_every_door():
    days = sessions("2016-01-04", "2016-12-30", "XTKS")
    close = 100 * np.exp(np.cumsum(np.random.default_rng(2).normal(0, 0.01, len(days))))
    index = pd.MultiIndex.from_product([days.astype("datetime64[ns]"), ["A"]], names=["date", "ticker"])
    frame = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), close) | {"volume": 1e6}, index=index)
    prices = rs.check_prices(frame, calendar="XTKS")
    score = pd.Series(1.0, index=index[::10], name="score")
    result = rs.run_backtest(
        prices, score, allocation=rs.TopK(k=1), broker=rs.BrokerSettings(cash=1e6, commission=0, slippage=0)
    )
    assert result.settings["calendar"] == "XTKS"
    assert compute_metrics(result.returns)["periods_per_year"] == 244.9
    assert run_from_result(result, title="x").periodicity.periods_per_year == 244.9
    bare = pd.Series(result.returns.to_numpy(), index=result.returns.index)
    with pytest.raises(InputError, match="give calendar"):
        compute_metrics(bare)
    assert compute_metrics(bare, calendar="XTKS") == compute_metrics(result.returns)
    assert compute_metrics(bare, periods_per_year=100)["annual_volatility"] == pytest.approx(bare.std() * 10)


def test_turnover_and_costs_a_year_follow_too():
    index = pd.date_range("2020-01-01", periods=3, tz="UTC", name="date")
    positions = pd.DataFrame({"A": [100.0] * 3, "cash": [0.0] * 3}, index=index)
    fills = pd.DataFrame({"amount": [1.0], "price": 100.0, "symbol": ["A"], "commission": [3.0]}, index=index[:1])
    done = {"executed": index[:1].tz_localize(None), "slippage": 0.0, "status": "completed"}
    flat = pd.Series(0.0, index=index)
    for year in (365.0, 12.0):
        m = compute_metrics(
            flat, positions=positions, transactions=fills, orders=pd.DataFrame(done), periods_per_year=year
        )
        assert m["annual_turnover"] == pytest.approx(year * 0.5 / 3)
        assert m["annual_cost"] == pytest.approx(year * 0.03 / 3)
