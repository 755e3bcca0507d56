"""`compute_metrics` against empyrical, pyfolio, hand-computed answers, and everything that makes ratios undefined."""

from __future__ import annotations

import json
import math
from pathlib import Path

import empyrical as ep
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from reports.common.run_data import RunData
from reports.metrics.performance import compute_metrics, json_number
from reports.metrics.trading import exposure_table, turnover, turnover_of_gross_book
from reports.tables.performance_tables import comparison_table
from signals.common.errors import InputError
from signals.evaluation.long_run_variance import mean_interval

EMPYRICAL = {
    **{
        name: getattr(ep, name)
        for name in (
            *("cum_returns_final", "annual_return", "annual_volatility", "sharpe_ratio", "sortino_ratio"),
            *("calmar_ratio", "omega_ratio", "max_drawdown", "downside_risk", "stability_of_timeseries"),
            *("tail_ratio", "value_at_risk", "conditional_value_at_risk"),
        )
    },
    "skew": stats.skew,
    "kurtosis": stats.kurtosis,
}


def days(n: int, start: str = "2020-01-01") -> pd.DatetimeIndex:
    return pd.bdate_range(start, periods=n, tz="UTC", name="date")


def series(values: object, start: str = "2020-01-01") -> pd.Series:
    array = np.asarray(values, dtype=float)
    return pd.Series(array, index=days(len(array), start), name="returns")


@pytest.mark.parametrize("name", sorted(EMPYRICAL))
def test_every_figure_is_empyricals(run, short_run, name):
    for made in (run, short_run):
        metrics = compute_metrics(
            made.returns, benchmark=made.benchmark["benchmark"], universe=made.benchmark["universe"]
        )
        assert metrics[name] == float(EMPYRICAL[name](made.returns))
        assert metrics[f"benchmark_{name}"] == float(EMPYRICAL[name](made.benchmark["benchmark"]))
        assert metrics[f"universe_{name}"] == float(EMPYRICAL[name](made.benchmark["universe"]))


def test_comparisons_are_empyricals(run):
    other = run.benchmark["benchmark"]
    metrics = compute_metrics(run.returns, benchmark=other, universe=run.benchmark["universe"])
    assert metrics["alpha"] == ep.alpha(run.returns, other)
    assert metrics["beta"] == ep.beta(run.returns, other)
    assert metrics["excess_sharpe"] == ep.excess_sharpe(run.returns, other)
    assert metrics["beta_universe"] == ep.beta(run.returns, run.benchmark["universe"])
    assert metrics["information_ratio"] == pytest.approx(ep.excess_sharpe(run.returns, other) * math.sqrt(252))
    assert metrics["excess_return_low"] < metrics["excess_return"] < metrics["excess_return_high"]
    assert metrics["alpha_low"] < metrics["alpha"] < metrics["alpha_high"]


@pytest.mark.parametrize(
    ("file", "column"),
    [("pyfolio-test-data/test_returns.csv.gz", 0), ("empyrical-test-data/returns.csv", 0)],
)
def test_figures_on_the_libraries_own_data(shared_data: Path, file, column):
    frame = pd.read_csv(shared_data / file, index_col=0, header=None, skiprows=0)
    frame.index = pd.DatetimeIndex(pd.to_datetime(frame.index, utc=True))
    returns = frame.iloc[:, column].astype(float)
    if file.startswith("empyrical"):
        returns /= 100  # that file is in per cent, and some of its days lose more than everything
    metrics = compute_metrics(returns)
    with np.errstate(all="ignore"):
        for name, function in EMPYRICAL.items():
            if (returns <= -1).any() and name in ("annual_return", "calmar_ratio", "stability_of_timeseries"):
                assert metrics[name] is None
                continue
            assert metrics[name] == json_number(function(returns)), name
    assert metrics["days"] == len(returns)


def test_by_hand():
    metrics = compute_metrics(series([0.1, -0.5, 0.0, 1.0]))
    assert metrics["cum_returns_final"] == pytest.approx(0.1)
    assert metrics["annual_return"] == pytest.approx(1.1 ** (252 / 4) - 1)
    assert metrics["max_drawdown"] == pytest.approx(-0.5)
    deviation = np.std([0.1, -0.5, 0.0, 1.0], ddof=1)
    assert metrics["annual_volatility"] == pytest.approx(deviation * math.sqrt(252))
    assert metrics["sharpe_ratio"] == pytest.approx(0.15 / deviation * math.sqrt(252))
    assert metrics["positive_days"] == 0.5
    assert (metrics["max_drawdown_peak"], metrics["max_drawdown_valley"]) == ("2020-01-01", "2020-01-02")
    assert metrics["max_drawdown_recovery"] == "2020-01-06"


def test_drawdown_from_the_first_day():
    metrics = compute_metrics(series([-0.2, 0.1, 0.0]))
    assert metrics["max_drawdown"] == pytest.approx(-0.2)
    assert metrics["max_drawdown_valley"] == "2020-01-01"
    assert metrics["max_drawdown_recovery"] is None


def test_risk_free_rate_is_yearly(run):
    metrics = compute_metrics(run.returns, risk_free_rate=0.05)
    daily = 1.05 ** (1 / 252) - 1
    assert metrics["risk_free_rate"] == 0.05
    assert metrics["sharpe_ratio"] == ep.sharpe_ratio(run.returns, risk_free=daily)
    assert metrics["sortino_ratio"] == ep.sortino_ratio(run.returns, required_return=daily)
    assert metrics["annual_return"] == ep.annual_return(run.returns)


def test_keys_do_not_depend_on_what_is_known(run):
    full = compute_metrics(
        run.returns,
        benchmark=run.benchmark["benchmark"],
        universe=run.benchmark["universe"],
        positions=run.positions,
        transactions=run.transactions,
    )
    bare = compute_metrics(run.returns)
    assert list(full) == list(bare)
    assert bare["alpha"] is None
    assert bare["common_days"] == 0
    assert bare["round_trips"] is None


@pytest.mark.parametrize(
    "values",
    [[0.01], [0.01, -0.02], [0.0] * 30, [0.001] * 300, [0.1, -1.0, 0.0], [0.1, -1.5, 0.2], [-2.0]],
    ids=["one", "two", "never moved", "constant", "lost all", "lost more", "lost more at once"],
)
def test_undefined_is_none_and_silent(values):
    returns = series(values)
    metrics = compute_metrics(returns, benchmark=returns, universe=-returns)
    text = json.dumps(metrics, allow_nan=False)
    assert "Infinity" not in text
    assert metrics["days"] == len(values)


def test_ruin():
    metrics = compute_metrics(series([0.1, -1.5, 0.2]))
    assert metrics["cum_returns_final"] == pytest.approx(1.1 * -0.5 * 1.2 - 1)
    assert metrics["annual_return"] is None
    assert metrics["stability_of_timeseries"] is None
    assert metrics["max_drawdown"] < -1


def test_partly_overlapping_benchmark(run):
    other = run.benchmark["benchmark"].iloc[100:]
    longer = pd.concat([other, series([0.5] * 5, start="2030-01-01")])
    metrics = compute_metrics(run.returns, benchmark=longer)
    assert metrics["common_days"] == len(other)
    assert metrics["beta"] == ep.beta(run.returns.iloc[100:], other)
    assert metrics["benchmark_cum_returns_final"] == ep.cum_returns_final(other)


def test_benchmark_that_never_overlaps(run):
    metrics = compute_metrics(run.returns, benchmark=series([0.1] * 5, start="2035-01-01"))
    assert metrics["common_days"] == 0
    assert metrics["benchmark_annual_return"] is None


@pytest.mark.parametrize("zone", [None, "America/New_York", "Asia/Tokyo"])
def test_a_session_is_the_local_day(run, zone):
    # midnight in New York or Tokyo is another UTC day or hour: alpha and beta would silently become NaN
    moved = run.benchmark["benchmark"].copy()
    moved.index = moved.index.tz_localize(None).tz_localize(zone)
    assert compute_metrics(run.returns, benchmark=moved) == compute_metrics(
        run.returns, benchmark=run.benchmark["benchmark"]
    )


@pytest.mark.parametrize(
    ("returns", "found"),
    [
        (series([]), "found none"),
        (series([0.1, np.nan]), "NaN on 2020-01-02"),
        (series([0.1, 0.2])[::-1], "dates that go back"),
        (pd.Series([0.1, 0.2]), "int64"),
    ],
    ids=["empty", "hole", "reversed", "undated"],
)
def test_bad_returns_are_refused_in_one_line(returns, found):
    with pytest.raises(InputError, match=found) as error:
        compute_metrics(returns)
    assert "\n" not in str(error.value)


def test_exposure_and_turnover_agree_with_pyfolio(shared_data: Path, short_run):
    from reports.charts.charting import pyfolio_plotting

    pyfolio_plotting()
    from pyfolio.timeseries import gross_lev
    from pyfolio.txn import get_turnover

    folder = shared_data / "pyfolio-test-data"
    positions = pd.read_csv(folder / "test_pos.csv.gz", index_col=0)
    fills = pd.read_csv(folder / "test_txn.csv.gz", index_col=0)
    for frame in (positions, fills):
        frame.index = pd.DatetimeIndex(pd.to_datetime(frame.index, utc=True))
    for held, traded in ((positions, fills), (short_run.positions, short_run.transactions)):
        inside = traded[traded.index.isin(held.index)]
        theirs = get_turnover(held, inside).reindex(held.index).fillna(0.0)
        pd.testing.assert_series_equal(
            turnover_of_gross_book(held, inside), theirs, check_names=False, check_freq=False
        )
        table = exposure_table(held)
        pd.testing.assert_series_equal(table["gross"], gross_lev(held), check_names=False, check_freq=False)


def test_turnover_of_replacing_everything_is_one():
    index = days(2)
    positions = pd.DataFrame({"A": [100.0, 0.0], "B": [0.0, 100.0], "cash": [0.0, 0.0]}, index=index)
    fills = pd.DataFrame(
        {"amount": [1.0, -1.0, 1.0], "price": 100.0, "symbol": ["A", "A", "B"], "commission": [1.0, 0.0, 2.0]},
        index=index[[0, 1, 1]],
    )
    assert turnover(series([0.0, 0.0]), positions, fills).tolist() == [0.5, 1.0]
    metrics = compute_metrics(series([0.0, 0.0]), positions=positions, transactions=fills)
    assert metrics["annual_turnover"] == 252 * 0.75
    assert metrics["commission_total"] == 3.0
    assert metrics["commission_bps"] == pytest.approx(100.0)
    assert metrics["slippage_total"] is metrics["annual_cost"] is None  # slippage is unknown, not none
    done = pd.DataFrame({"executed": index.tz_localize(None), "slippage": [0.5, 0.0], "status": "filled"})
    metrics = compute_metrics(series([0.0, 0.0]), positions=positions, transactions=fills, orders=done)
    assert metrics["annual_cost"] == pytest.approx(252 * (0.015 + 0.02) / 2)


def test_costs_and_orders(run):
    metrics = compute_metrics(run.returns, positions=run.positions, transactions=run.transactions, orders=run.orders)
    assert metrics["commission_bps"] == pytest.approx(10.0)
    assert metrics["slippage_bps"] == pytest.approx(5.0, rel=1e-3)
    assert metrics["slippage_total"] == pytest.approx(run.orders["slippage"].sum())
    assert metrics["orders"] == len(run.orders) == metrics["orders_filled"] + metrics["orders_margin"]
    assert metrics["holdings_max"] <= 40


def test_shorts_show_in_exposure(short_run):
    metrics = compute_metrics(short_run.returns, positions=short_run.positions)
    assert metrics["short_exposure_mean"] < -0.4
    assert metrics["gross_exposure_mean"] == pytest.approx(
        metrics["long_exposure_mean"] - metrics["short_exposure_mean"]
    )
    assert abs(metrics["net_exposure_mean"]) < 0.1


def test_no_trades(run):
    still = run.positions * 0.0
    still["cash"] = 1e6
    metrics = compute_metrics(run.returns * 0.0, positions=still, transactions=run.transactions.iloc[:0])
    assert metrics["transactions"] == 0
    assert metrics["annual_turnover"] == 0.0
    assert metrics["round_trips"] == 0
    assert metrics["round_trip_win_rate"] is None
    assert metrics["commission_bps"] is None


def test_intervals_of_excess_and_alpha_are_those_of_means_over_sessions(run):
    other = run.benchmark["benchmark"]
    metrics = compute_metrics(run.returns, benchmark=other)
    excess = mean_interval(run.returns - other, horizon=1)
    assert excess.df == math.floor(0.4 * len(other) ** (2 / 3))
    ends = metrics["excess_return_low"], metrics["excess_return_high"]
    assert ends == pytest.approx((252 * excess.low, 252 * excess.high))
    alpha = mean_interval(run.returns - metrics["beta"] * other, horizon=1)
    assert metrics["alpha_low"] == pytest.approx((1 + alpha.low) ** 252 - 1)
    assert metrics["alpha_high"] == pytest.approx((1 + alpha.high) ** 252 - 1)


def test_three_sessions_are_too_few_for_an_interval():
    returns, other = series([0.01, -0.02, 0.03]), series([0.0, 0.01, 0.01])
    metrics = compute_metrics(returns, benchmark=other)
    assert metrics["excess_return"] is not None
    assert metrics["excess_return_low"] is None
    table = comparison_table(metrics, RunData(title="x", returns=returns, benchmark=other))
    assert table.rows[1] == ("… 95% interval", "too few independent dates")
    assert "equal-weighted cosine estimator" in table.note
