"""Charts: bytes that repeat, nothing left behind in matplotlib, and a reason instead of an empty panel."""

from __future__ import annotations

import base64
import re

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from reports.charts import charting
from reports.charts.charting import Chart, NothingToDrawError, draw
from reports.charts.position_figures import position_charts, trading_charts
from reports.charts.return_figures import drawdown_charts, return_charts, rolling_beta
from reports.common.run_data import RunData, read_run
from reports.metrics.round_trips import round_trips
from reports.metrics.stress_periods import CRISES, crisis_returns


def svg(chart: Chart) -> str:
    assert chart.uri is not None, chart.reason
    kind, data = chart.uri.split(";base64,")
    assert kind == "data:image/svg+xml"
    return base64.b64decode(data).decode()


def by_name(charts: list[Chart]) -> dict[str, Chart]:
    return {chart.name: chart for chart in charts}


@pytest.fixture(scope="module")
def short_charts(short_run) -> dict[str, Chart]:
    run = read_run(short_run.folder)
    return by_name(
        return_charts(run)
        + drawdown_charts(run)
        + position_charts(run)
        + trading_charts(run, round_trips(run.transactions))
    )


def test_every_chart_of_a_full_run_is_drawn(short_charts):
    expected = {
        *("equity", "relative", "matched", "rolling_volatility", "rolling_sharpe", "rolling_beta", "monthly", "annual"),
        *("monthly_distribution", "quantiles", "underwater", "drawdowns", "exposure", "leverage", "long_short", "top"),
        *("concentration", "turnover", "volume", "costs", "trips"),
    }
    assert set(short_charts) == expected
    for chart in short_charts.values():
        assert chart.reason is None
        assert chart.alt
        assert chart.title
        assert "<path" in svg(chart)


def test_exposure_is_not_blank_on_gap_free_business_days(short_charts):
    # without x_compat pandas turns such an index into periods, and pyfolio's fills land outside the axes
    fills = re.findall(r'<g id="FillBetweenPolyCollection_\d+">.*?d="([^"]+)"', svg(short_charts["exposure"]), re.S)
    assert len(fills) == 2
    for path in fills:
        x = [float(value) for value in re.findall(r"[ML] ([\d.]+) ", path)]
        assert max(x) - min(x) > 250  # points, of a panel about 380 wide


def test_drawing_leaves_matplotlib_as_it_was(run):
    from matplotlib import pyplot as plt

    before = dict(mpl.rcParams)
    position_charts(read_run(run.folder))
    assert plt.get_fignums() == []
    assert dict(mpl.rcParams) == before


def test_same_data_same_bytes():
    def paint(axes):
        axes.plot([1, 2, 3], label="a line")
        axes.legend()

    charts = [draw("x", paint, title="x", note="") for _ in range(2)]
    assert charts[0] == charts[1]
    assert "<dc:date>" not in svg(charts[0])


def test_a_large_drawing_becomes_pixels(monkeypatch):
    monkeypatch.setattr(charting, "SVG_LIMIT", 1000)
    charts = [draw("x", lambda axes: axes.plot([1, 2]) and None, title="x", note="") for _ in range(2)]
    assert charts[0].uri.startswith("data:image/png;base64,")
    assert charts[0] == charts[1]


def test_refusal_is_a_reason_and_no_image():
    def paint(axes):
        raise NothingToDrawError("there is nothing")

    chart = draw("x", paint, title="x", note="")
    assert (chart.uri, chart.reason) == (None, "there is nothing")


def test_outside_names_are_drawn_as_text(run):
    odd = ("A$B$_^{", "_HIDDEN", "株式", "<script>alert(1)</script>", "a" * 60)
    most = run.positions.drop(columns="cash").mean().nlargest(len(odd)).index
    positions = run.positions[[*most, "cash"]].set_axis([*odd, "cash"], axis=1)
    data = RunData(title="x", returns=run.returns, positions=positions, benchmark_name="$x$")
    charts = by_name(position_charts(data))
    for name in odd:
        assert name in charts["top"].alt
    assert charting.chart_text("_HIDDEN").startswith(" ")


@pytest.mark.parametrize("sessions", [1, 2, 10, 40])
def test_short_runs_give_reasons(run, sessions):
    data = RunData(
        title="x",
        returns=run.returns.iloc[:sessions],
        positions=run.positions.iloc[:sessions],
        transactions=run.transactions[run.transactions.index <= run.returns.index[sessions - 1]],
        benchmark=run.benchmark["benchmark"].iloc[:sessions],
    )
    charts = by_name(
        return_charts(data)
        + drawdown_charts(data)
        + position_charts(data)
        + trading_charts(data, round_trips(data.transactions))
    )
    assert "needs 131 sessions" in charts["rolling_volatility"].reason
    for chart in charts.values():
        assert (chart.uri is None) == (chart.reason is not None)


def test_months_without_sessions_stay_blank(run):
    # pyfolio would print 0.0 there, as if the account had stood still
    gap = run.returns[(run.returns.index.month < 3) | (run.returns.index.month > 5)]
    drawn = svg(by_name(return_charts(RunData(title="x", returns=gap)))["monthly"])
    numbers = re.findall(r"<!-- (−?\d+\.\d) -->", drawn)
    assert len(numbers) == gap.groupby([gap.index.year, gap.index.month]).ngroups
    assert "<!-- – -->" not in drawn


def test_rolling_beta_is_pyfolios(run):
    charting.pyfolio_plotting()
    from pyfolio.timeseries import rolling_beta as theirs

    benchmark = run.benchmark["benchmark"]
    expected = theirs(run.returns, benchmark, rolling_window=126).dropna()
    # slices by label hold both ends, so pyfolio's window of 126 has 127 sessions
    ours = rolling_beta(run.returns, benchmark, 127).reindex(expected.index)
    assert len(expected) > 300
    np.testing.assert_allclose(ours, expected, rtol=1e-9)


def test_crises_are_fixed_and_in_order():
    starts = [start for _, start, _ in CRISES]
    assert starts == sorted(starts)
    assert all(start < end for _, start, end in CRISES)
    assert max(end for *_, end in CRISES) < "2026"


def test_crisis_returns_run_from_close_to_close():
    days = pd.bdate_range("2018-01-01", "2018-06-29", tz="UTC")
    returns = pd.Series(0.0, index=days)
    returns.loc["2018-01-26"] = 0.5  # the day of the peak itself does not count
    returns.loc["2018-01-29"] = -0.1
    returns.loc["2018-02-08"] = -0.1
    table = crisis_returns({"mine": returns, "partial": returns.loc["2018-02-01":]})
    assert table.index.tolist() == ["Volatility shock"]
    assert table["mine"].iloc[0] == pytest.approx(0.81 - 1)
    assert np.isnan(table["partial"].iloc[0])
