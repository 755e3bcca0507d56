"""The universe in the report: how many names it had when it was drawn, and how many were scored."""

from __future__ import annotations

import base64
import shutil

import pandas as pd
import pytest

from reports.charts.signal_figures import signal_charts
from reports.common.run_data import read_run
from reports.metrics.signal_quality import measure_signals
from reports.report import write_report
from signals.common.storage import read_json, write_json


@pytest.fixture(scope="module")
def scored(run):
    data = read_run(run.folder)
    quality = measure_signals(
        data.signals,
        data.labels,
        horizon=data.horizon,
        seed_scores=data.seed_scores,
        folds=data.folds,
        simulated=data.simulated,
    )
    return data, quality


def chart_of(scored, sizes, signals="kept"):
    data, quality = scored
    kept = data.signals if isinstance(signals, str) else signals
    charts = {chart.name: chart for chart in signal_charts(quality, data.history, data.folds, sizes, kept)}
    return charts["universe_size"]


def lines_of(scored, sizes, signals="kept"):
    """Data of the lines that the figure draws."""
    from reports.charts import signal_figures
    from reports.charts.charting import Figure

    axes = Figure().subplots()
    kept = scored[0].signals if isinstance(signals, str) else signals
    words = signal_figures._universe_size(axes, sizes, kept)
    return {line.get_label(): line for line in axes.lines}, words


def test_steps_and_scored_names(scored):
    data, _ = scored
    counts = data.signals.groupby(level="date").size()
    first, last = counts.index[0], counts.index[-1]
    sizes = {"2009-01-02": 0, str((first - pd.Timedelta(days=30)).date()): 40, str(last.date()): 1234}
    lines, words = lines_of(scored, sizes)
    assert list(lines["universe"].get_ydata()) == [40, 1234, 1234]  # not the empty one before history
    assert pd.Timestamp(lines["universe"].get_xdata()[0]) == first - pd.Timedelta(days=30)
    assert pd.Timestamp(lines["universe"].get_xdata()[-1]) == last
    assert list(lines["scored"].get_ydata()) == counts.tolist()
    assert words.startswith("Over time: universe of 40 to 1,234 tickers, ")
    chart = chart_of(scored, sizes)
    assert chart.alt == words
    assert base64.b64decode(chart.uri.split(",")[1]).count(b"<path") > 5
    assert chart == chart_of(scored, sizes)


def test_what_was_not_kept_is_not_drawn(scored):
    lines, words = lines_of(scored, None)
    assert set(lines) == {"scored"}
    assert words.endswith("tickers scored")
    lines, _ = lines_of(scored, {"2012-01-03": 10, "2013-01-02": 10}, signals=None)
    assert set(lines) == {"universe"}
    for sizes in (None, {}, {"2012-01-03": 0}):
        assert chart_of(scored, sizes, signals=None).reason == "neither universe sizes nor scores were recorded"


def test_it_is_in_the_report(run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run.folder, folder)
    manifest = read_json(folder / "manifest.json")
    days = read_run(folder).signals.index.get_level_values("date")
    write_json(folder / "manifest.json", manifest | {"universe_sizes": {str(days[0].date()): 321}})
    html = write_report(folder, stamp="").read_text(encoding="utf-8")
    assert 'id="chart-universe_size"' in html
    assert "universe of 321 tickers" in html
