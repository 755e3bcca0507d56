"""Self-contained HTML report of a run directory or of a `BacktestResult`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from reports.common.run_data import RunData, read_run, run_from_result
from reports.metrics.performance import Metrics, compute_metrics
from reports.metrics.round_trips import open_trips, round_trips
from reports.metrics.signal_quality import SignalQuality, measure_signals, signal_metrics
from reports.significance.measures import Significance, measure_significance, significance_metrics
from signals.common.storage import atomic_write, write_json

if TYPE_CHECKING:
    from backtests.result import BacktestResult
    from reports.charts.charting import Chart
    from reports.tables.table import Table

__all__ = ["tear_sheet", "write_metrics", "write_report"]

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class Section:
    """Section of the report: its charts, the reasons for charts that were not drawn, and its tables.

    `above` are tables placed before the charts; `filler` is the first table when it fills the empty column next to the
    last of an odd number of charts.
    """

    name: str
    title: str
    charts: tuple[Chart, ...]
    reasons: tuple[tuple[str, str], ...]
    filler: Table | None
    tables: tuple[Table, ...]
    above: tuple[Table, ...] = ()


def write_metrics(run_dir: Path) -> Metrics:
    """Compute `metrics.json` of a run directory from its files and write it.

    Parameters
    ----------
    run_dir : Path
        Folder with at least `returns.parquet`.

    Returns
    -------
    dict
        The figures of `compute_metrics`, `signal_metrics` and `significance_metrics`, as written to the file.

    Raises
    ------
    InputError
        When the folder holds no finished backtest, or a file is damaged.
    """
    run = read_run(run_dir)
    metrics = _metrics(run, _quality(run), measure_significance(run))
    write_json(Path(run_dir) / "metrics.json", metrics)
    return metrics


def write_report(run_dir: Path, *, stamp: str | None = None) -> Path:
    """Write `report.html` of a run directory.

    Parameters
    ----------
    run_dir : Path
        A finished run; see `reports.common.run_data.read_run` for what is read.
    stamp : str, optional
        Text on when and where the run was made, the only line that varies between equal runs; from `timings.json` by
        default. With equal files and an equal stamp the bytes are equal.

    Returns
    -------
    Path
        Path of the report.

    Raises
    ------
    InputError
        When the folder holds no finished backtest, a file is damaged, or the report cannot be written.
    """
    from reports.narrative import stamp_line

    run = read_run(run_dir)
    path = Path(run_dir) / "report.html"
    atomic_write(path, render(run, stamp=stamp_line(run.timings) if stamp is None else stamp))
    return path


def tear_sheet(
    result: BacktestResult | Any,
    *,
    path: Path | str,
    benchmark: pd.Series | None = None,
    universe: pd.Series | None = None,
    benchmark_name: str | None = None,
    title: str = "Backtest",
    calendar: str | None = None,
    periods_per_year: float | None = None,
) -> Path:
    """Write a report of a backtest result, of this package or of your own Cerebro, without signal files.

    Parameters
    ----------
    result : BacktestResult, list or strategy
        A result; or the list that `cerebro.run()` returned, or the strategy in it, whose `rs.AccountRecorder` analyzer
        is read. A strategy without this analyzer, but with backtrader's own `PyFolio` or `TimeReturn`, gives a report
        of returns only, with a warning.
    path : Path or str
        Where to write the HTML file.
    benchmark, universe : Series, optional
        Simple returns to compare with, as fractions; see `compute_metrics`. An account that traded nothing before its
        first close is compared with a benchmark bought at that close, as `[benchmark]` does. Where they cover a part of
        the run, that part is compared, and a note names its dates.
    benchmark_name : str, optional
        Name of the benchmark in the report; the name of the series by default.
    title : str
        Heading of the report.
    calendar, periods_per_year : optional
        Exchange calendar of daily returns, or sessions a year, where the result does not state its calendar; see
        `compute_metrics`.

    Returns
    -------
    Path
        Path of the file written. Sections without data are left out.

    Raises
    ------
    InputError
        When `result` holds no result, its returns are invalid (see `compute_metrics`), or the report cannot be
        written.

    Examples
    --------
    With `spy` a series of daily returns::

        tear_sheet(result, benchmark=spy, path="report.html", title="My strategy")
    """
    run = run_from_result(
        result,
        title=title,
        benchmark=benchmark,
        universe=universe,
        benchmark_name=benchmark_name,
        calendar=calendar,
        periods_per_year=periods_per_year,
    )
    path = Path(path)
    atomic_write(path, render(run))
    return path


def render(run: RunData, *, stamp: str = "") -> bytes:
    """Render a run as the bytes of the HTML file."""
    import jinja2

    from reports.narrative import headline_figures, serious_warnings, summary, verdict
    from reports.tables.performance_tables import (
        comparison_table,
        hash_table,
        statistics_table,
        trading_table,
        versions_table,
    )

    quality, significance = _quality(run), measure_significance(run)
    metrics = _metrics(run, quality, significance)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    comparison = comparison_table(metrics, run)
    traded = run.positions is not None or run.transactions is not None
    html = environment.get_template("report.html").render(
        run=run,
        metrics=metrics,
        warnings=serious_warnings(run, quality),
        summary=summary(run, metrics, quality),
        verdict=verdict(run, metrics, quality),
        headline=headline_figures(run, metrics, quality),
        statistics=[statistics_table(metrics, run)],
        comparisons=[table for table in (comparison, trading_table(metrics, run) if traded else None) if table],
        sections=[_significance_section(run, significance, metrics), *_sections(run, quality)],
        provenance=[table for table in (versions_table(run.manifest), hash_table(run.manifest)) if table],
        stamp=stamp,
        style=(_TEMPLATES / "report.css").read_text(encoding="utf-8"),
    )
    return html.encode("utf-8")


def _quality(run: RunData) -> SignalQuality | None:
    if run.signals is None or run.labels is None or run.labels.empty:
        return None  # skill cannot be measured without outcomes
    return measure_signals(
        run.signals,
        run.labels,
        horizon=run.horizon,
        seed_scores=run.seed_scores,
        folds=run.folds,
        simulated=run.simulated,
    )


def _metrics(run: RunData, quality: SignalQuality | None, significance: Significance) -> Metrics:
    figures = compute_metrics(
        run.returns,
        benchmark=run.benchmark,
        universe=run.universe,
        positions=run.positions,
        transactions=run.transactions,
        orders=run.orders,
        cash_flows=run.cash_flows,
        risk_free_rate=run.risk_free_rate,
        calendar=run.calendar,
        periods_per_year=run.periods_per_year,
    )
    return figures | signal_metrics(quality) | significance_metrics(significance)


def _significance_section(run: RunData, significance: Significance, metrics: Metrics) -> Section:
    from reports.charts.significance_figures import significance_charts
    from reports.tables.significance_tables import significance_table

    section = _section("significance", "Statistical significance", significance_charts(significance, run), [])
    return replace(section, above=(significance_table(significance, metrics, run),))


def _sections(run: RunData, quality: SignalQuality | None) -> list[Section]:
    from reports.charts.position_figures import position_charts, trading_charts
    from reports.charts.return_figures import drawdown_charts, return_charts
    from reports.charts.signal_figures import signal_charts
    from reports.tables import performance_tables, signal_tables
    from reports.tables.account_tables import account_table, flows_table
    from reports.tables.gains_table import gains_table

    trips = round_trips(run.transactions, run.cash_flows)
    still_open = open_trips(run.transactions, run.cash_flows, run.positions)
    sections: list[tuple[str, str, list[Chart], list[Table | None]]] = [
        ("returns", "Returns", return_charts(run), [performance_tables.annual_table(run)]),
    ]
    below: list[Table | None] = [performance_tables.drawdown_table(run), performance_tables.crisis_table(run)]
    sections.append(("drawdowns", "Drawdowns", drawdown_charts(run), below))
    if run.positions is not None:
        below = [performance_tables.holdings_table(run)]
        sections.append(("positions", "Positions and exposure", position_charts(run), below))
    if run.transactions is not None:
        below = [
            performance_tables.round_trip_table(trips, still_open),
            gains_table(run, trips, still_open),
            performance_tables.orders_table(run.orders),
            account_table(run),
            flows_table(run),
        ]
        sections.append(("trading", "Trading", trading_charts(run, trips), below))
    if quality is not None:
        below = [
            signal_tables.skill_table(quality),
            signal_tables.bucket_table(quality),
            signal_tables.year_skill_table(quality),
            signal_tables.fold_skill_table(quality),
            signal_tables.fold_slices_table(run.folds),
        ]
        charts = signal_charts(quality, run.history, run.folds, run.manifest.get("universe_sizes"), run.signals)
        sections.append(("signal", "Signal", charts, below))
    return [_section(name, title, charts, below) for name, title, charts, below in sections]


def _section(name: str, title: str, charts: list[Chart], below: list[Table | None]) -> Section:
    """Separate drawn charts from reasons, and choose the filler table."""
    drawn = tuple(chart for chart in charts if chart.uri)
    reasons = tuple((chart.title, chart.reason) for chart in charts if chart.reason)
    tables = tuple(table for table in below if table is not None)
    odd = sum(not chart.wide for chart in drawn) % 2 == 1
    filler = tables[0] if odd and tables and not tables[0].wide else None
    return Section(name, title, drawn, reasons, filler, tables[1:] if filler else tables)
