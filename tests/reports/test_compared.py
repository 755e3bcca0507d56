"""What the account is compared with: the common span, accounts closed by ruin, one answer on drawdowns."""

from __future__ import annotations

import html
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import rnn_strategies as rs
from reports.common.run_data import RunData, run_from_result
from reports.metrics.drawdowns import deepest_drawdowns
from reports.metrics.performance import compute_metrics
from reports.narrative import headline_figures, serious_warnings, summary, verdict
from reports.significance.measures import measure_significance, significance_metrics
from reports.significance.seed_dispersion import closed_accounts
from reports.tables.performance_tables import annual_table, drawdown_table, statistics_table
from reports.tables.significance_tables import significance_table
from signals.common.errors import InputError

DAYS = pd.bdate_range("2016-01-04", periods=520, tz="UTC", name="date")


def noise(seed: int, n: int = len(DAYS), mean: float = 0.0005) -> pd.Series:
    return pd.Series(np.random.default_rng(seed).normal(mean, 0.01, n), index=DAYS[:n], name="returns")


def figures_of(run: RunData) -> dict:
    return compute_metrics(run.returns, benchmark=run.benchmark, universe=run.universe)


def result_of(returns: pd.Series) -> SimpleNamespace:
    return SimpleNamespace(
        returns=returns, positions=None, transactions=None, orders=None, warnings=(), stopped=None, settings={}
    )


def report(path, returns: pd.Series, **options: object) -> str:
    page = rs.tear_sheet(result_of(returns), path=path, **options).read_text()
    return html.unescape(re.sub(r"<[^>]+>", " ", re.sub(r"<style.*?</style>|data:[^\"]*", "", page, flags=re.S)))


# -- the common span -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", [slice(300, None), slice(None, 200), slice(100, 400)], ids=["late", "early", "middle"])
def test_a_benchmark_of_a_part_is_compared_over_that_part(part, tmp_path):
    own = noise(1)
    run = RunData(title="x", returns=own, benchmark=own.iloc[part], benchmark_name="itself")
    m = figures_of(run)
    assert m["common_annual_return"] == m["benchmark_annual_return"] != m["annual_return"]
    assert (m["common_start"], m["common_end"]) == tuple(f"{d:%Y-%m-%d}" for d in own.index[part][[0, -1]])
    _, figure, small = headline_figures(run, m, None)[0]
    assert small.startswith(f"itself {figure};")
    sentence = " ".join(summary(run, m, None))
    over = rf"Over the {len(own.iloc[part])} of 520 sessions that both cover, from .*, it returned "
    mine, theirs = re.search(over + r"(\S+) a year, against (\S+)", sentence).groups()
    assert mine == theirs == figure
    table = statistics_table(m, run)
    assert table.columns == ("", "Strategy", "Strategy, as itself", "itself")
    assert all(row[2] == row[3] for row in table.rows if len(row) > 1)
    assert f"itself covers {len(own.iloc[part])} of 520 sessions" in table.note
    assert "covers" in report(tmp_path / "r.html", own, benchmark=own.iloc[part], benchmark_name="itself")


def test_partly_covered_years_are_left_out_of_the_years():
    own = noise(1)
    rows = {row[0]: row for row in annual_table(RunData(title="x", returns=own, benchmark=own.iloc[100:])).rows}
    assert rows["2016"][2] == "–"
    assert rows["2017"][1] == rows["2017"][2]


def test_a_benchmark_of_another_time_is_left_out_and_named(tmp_path):
    other = noise(2).set_axis(DAYS + pd.DateOffset(years=10))
    run = run_from_result(result_of(noise(1)), title="x", benchmark=other, benchmark_name="SPY")
    assert run.benchmark is None
    (line,) = [
        line for line in serious_warnings(run, None) if line.startswith("SPY is left out: it covers none of the")
    ]
    assert "520 sessions of the account, from 2016-01-04" in line
    assert "It has data from 2026-01-04" in line


@pytest.mark.parametrize("kind", ["prices", "weekly", "frame", "infinite", "berlin"])
def test_the_report_refuses_what_the_metrics_refuse(kind, tmp_path):
    good = noise(2)
    bad = {
        "prices": 100 * (1 + good).cumprod(),
        "weekly": good.iloc[4::5],
        "frame": good.to_frame(),
        "infinite": good.where(good < good.max(), np.inf),
        "berlin": good.tz_localize(None).tz_localize("Europe/Berlin").tz_convert("UTC"),
    }[kind]
    lines = []
    for compare in (
        lambda: compute_metrics(noise(1), benchmark=bad),
        lambda: rs.tear_sheet(result_of(noise(1)), path=tmp_path / "r.html", benchmark=bad),
    ):
        with pytest.raises(InputError) as error:
            compare()
        lines.append(str(error.value))
    assert lines[0] == lines[1]
    assert not (tmp_path / "r.html").exists()


@pytest.mark.parametrize("hole", [1, 8, 9, 40])
def test_sessions_that_a_benchmark_lacks_are_no_zeros_where_they_are_more_than_a_holiday(hole, tmp_path):
    other = noise(2).drop(DAYS[200 : 200 + hole])
    comparisons = (
        lambda: compute_metrics(noise(1), benchmark=other),
        lambda: rs.tear_sheet(result_of(noise(1)), path=tmp_path / "r.html", benchmark=other),
    )
    if hole <= 8:
        assert comparisons[0]()["common_days"] == 520
        return
    first, last = DAYS[200], DAYS[199 + hole]
    for compare in comparisons:
        with pytest.raises(InputError, match=rf"none on {hole} in a row, from {first:%Y-%m-%d} to {last:%Y-%m-%d}"):
            compare()
    day = last + pd.Timedelta(days=1)
    assert compute_metrics(noise(1), benchmark=other[day:])["common_days"] == 520 - 200 - hole


def test_an_account_opened_at_its_first_close_is_compared_with_a_benchmark_bought_there():
    own, other = noise(1), noise(2)
    own.iloc[0] = 0.0
    assert run_from_result(result_of(own), title="x", benchmark=other).benchmark.iloc[0] == 0.0
    own.iloc[0] = 0.01  # it held something before
    assert run_from_result(result_of(own), title="x", benchmark=other).benchmark.iloc[0] == other.iloc[0]


# -- ruin ------------------------------------------------------------------------------------------------------------


def ruined(seed: int, at: int = 150) -> pd.Series:
    returns = noise(seed)
    returns.iloc[at] = -1.02
    returns.iloc[at + 1 :] = np.nan
    return returns


def test_a_universe_closed_by_ruin_ends_there_and_is_named():
    run = RunData(title="x", returns=noise(1), universe=ruined(2).dropna())
    m = figures_of(run)
    day = f"{DAYS[150]:%Y-%m-%d}"
    assert m["universe_ruin_date"] == day
    assert m["ruin_date"] is None
    assert m["common_days_universe"] == 151
    assert f"The equal-weight universe was closed by ruin on {day}: comparisons end on that day." in serious_warnings(
        run, None
    )
    assert "which was then closed by ruin" in " ".join(summary(run, m, None))
    table = statistics_table(m, run)
    assert ("Closed by ruin on", "–", "–", day) in table.rows
    assert "There is no comparison" in verdict(run, m, None)


def test_an_account_closed_by_ruin_says_so_in_its_figures():
    run = RunData(title="x", returns=ruined(1).dropna(), stopped="The account was ruined.")
    m = figures_of(run)
    assert m["ruin_date"] == f"{DAYS[150]:%Y-%m-%d}"
    assert m["annual_return"] is None
    assert ("Closed by ruin on", m["ruin_date"]) in statistics_table(m, run).rows


def test_seeds_closed_early_are_named_and_in_no_figure():
    lasting = pd.DataFrame({"0": noise(3), "1": noise(4), "2": noise(5)})
    called = noise(6)
    called.iloc[201:] = np.nan
    seeds = lasting.assign(**{"3": ruined(7), "4": called})
    run = RunData(title="x", returns=noise(1), seed_returns=seeds)
    closed = {seed: how for seed, (how, _) in closed_accounts(seeds, run.returns.index).items()}
    assert closed == {
        "3": f"closed by ruin on {DAYS[150]:%Y-%m-%d}",
        "4": f"closed by a margin call on {DAYS[200]:%Y-%m-%d}",
    }
    significance, without = (
        measure_significance(run),
        measure_significance(RunData(title="x", returns=noise(1), seed_returns=lasting)),
    )
    m, fewer = significance_metrics(significance), significance_metrics(without)
    assert m["sharpe_ratio_seeds_closed"] == 2
    assert {**m, "sharpe_ratio_seeds_closed": 0} == fewer
    rows = {row[0]: row for row in significance_table(significance, figures_of(run) | m, run).rows}
    assert rows["Seed 3"][2].startswith(f"Traded alone, its account was {closed['3']}")
    assert f"The account of seed 4, traded alone, was {closed['4']}." in serious_warnings(run, None)


def test_one_seed_that_lasts_is_no_fan_and_the_reason_names_the_others():
    run = RunData(title="x", returns=noise(1), seed_returns=pd.DataFrame({"0": noise(3), "1": ruined(4)}))
    reason = measure_significance(run).reasons["seeds"]
    assert reason == f"fewer than two seeds traded to the end; seed 1 was closed by ruin on {DAYS[150]:%Y-%m-%d}"


# -- drawdowns -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [-0.04, 0.03])
@pytest.mark.parametrize("seed", range(4))
def test_table_and_figures_name_the_same_sessions(seed, first):
    returns = noise(seed, 300)
    returns.iloc[0] = first
    run = RunData(title="x", returns=returns)
    m, table = figures_of(run), drawdown_table(run)
    assert table.rows[0][1:3] == (m["max_drawdown_peak"], m["max_drawdown_valley"])
    sessions = {f"{d:%Y-%m-%d}" for d in returns.index}
    assert all(row[1] in sessions and row[2] in sessions for row in table.rows)
    assert deepest_drawdowns(returns, top=1)[0].depth == pytest.approx(m["max_drawdown"])


def test_drawdowns_are_pyfolios():
    from reports.charts.charting import pyfolio_plotting, started

    pyfolio_plotting()
    from pyfolio.timeseries import gen_drawdown_table

    returns = noise(9)
    theirs = gen_drawdown_table(started(returns), top=5).dropna(subset=["Net drawdown in %"])
    theirs = theirs.sort_values("Net drawdown in %", ascending=False, kind="stable")
    ours = deepest_drawdowns(returns)
    np.testing.assert_allclose([-100 * one.depth for one in ours], theirs["Net drawdown in %"].astype(float))
    assert [one.valley for one in ours] == list(pd.DatetimeIndex(theirs["Valley date"]).tz_localize("UTC")) or [
        one.valley.tz_localize(None) for one in ours
    ] == list(pd.to_datetime(theirs["Valley date"]).dt.tz_localize(None))


def test_an_account_that_never_falls_has_none():
    assert drawdown_table(RunData(title="x", returns=noise(1).abs())) is None
