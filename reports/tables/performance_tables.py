"""Report tables on performance: statistics, comparisons, trading, drawdowns, holdings, orders, provenance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from backtests.common.share_tolerances import SHARE_TOLERANCE
from backtests.gains import gains_by_ticker
from reports.common.number_format import DASH, UNKNOWN, bps, count, day, money, number, percent, points, small_percent
from reports.common.run_data import RunData
from reports.metrics.drawdowns import Drawdown, deepest_drawdowns
from reports.metrics.performance import Metrics, return_metrics, ruin_date
from reports.metrics.round_trips import summarise_open_trips, summarise_round_trips
from reports.metrics.stress_periods import crisis_returns
from reports.metrics.trading import position_weights
from reports.tables.table import Table
from signals.evaluation.long_run_variance import TOO_FEW_DATES

__all__ = [
    "annual_table",
    "comparison_table",
    "covered",
    "crisis_table",
    "drawdown_table",
    "hash_table",
    "holdings_table",
    "orders_table",
    "round_trip_table",
    "statistics_table",
    "trading_table",
    "versions_table",
]


_Formatter = Callable[[Any], str]

_STATISTICS: tuple[tuple[str, tuple[tuple[str, str, _Formatter], ...]], ...] = (
    (
        "Return",
        (
            ("Annual return", "annual_return", percent),
            ("Cumulative return", "cum_returns_final", percent),
            ("Best {noun}", "best_day", lambda v: percent(v, 2)),
            ("Worst {noun}", "worst_day", lambda v: percent(v, 2)),
            ("{Noun}s with a gain", "positive_days", percent),
        ),
    ),
    (
        "Risk",
        (
            ("Annual volatility", "annual_volatility", percent),
            ("Maximum drawdown", "max_drawdown", percent),
            ("Downside risk a year", "downside_risk", percent),
            ("Value at risk, 5% of {noun}s", "value_at_risk", lambda v: percent(v, 2)),
            ("Mean of the worst 5% of {noun}s", "conditional_value_at_risk", lambda v: percent(v, 2)),
        ),
    ),
    (
        "Return for risk",
        (
            ("Sharpe ratio", "sharpe_ratio", number),
            ("Sortino ratio", "sortino_ratio", number),
            ("Calmar ratio", "calmar_ratio", number),
            ("Omega ratio", "omega_ratio", number),
        ),
    ),
    (
        "Shape",
        (
            ("Stability (R² of log wealth)", "stability_of_timeseries", number),
            ("Skew", "skew", number),
            ("Excess kurtosis", "kurtosis", number),
            ("Tail ratio", "tail_ratio", number),
        ),
    ),
)


def statistics_table(metrics: Metrics, run: RunData) -> Table:
    """Table of return and risk of strategy, benchmark and universe; over common sessions where these are fewer."""
    period = run.periodicity
    rate = (1.0 + run.risk_free_rate) ** (1.0 / period.periods_per_year) - 1.0
    sides: list[tuple[str, Mapping[str, Any]]] = [("Strategy", metrics)]
    note = (
        f"{period.adjective.capitalize()} returns, {period.stated}, sample deviations (ddof 1), risk-free rate "
        f"{percent(metrics['risk_free_rate'], 2)} a year."
    )
    if run.universe is not None:
        note += " Universe: all names of the universe in equal weights, after the same costs."
    for name, prefix, other in (
        (run.benchmark_name, "benchmark_", run.benchmark),
        ("Universe", "universe_", run.universe),
    ):
        if other is None:
            continue
        if len(other) < len(run.returns):
            mine = run.returns.reindex(other.index)
            part = return_metrics(mine, daily_risk_free=rate, periods_per_year=period.periods_per_year)
            sides.append((f"Strategy, as {name}", part))
            note += f" {covered(name, other, run)}"
        sides.append((name, {key: metrics[f"{prefix}{key}"] for key in return_metrics(run.returns.iloc[:1])}))
    rows: list[tuple[str, ...]] = []
    for heading, lines in _STATISTICS:
        rows.append((heading,))
        for label, key, write in lines:
            named = label.format(noun=period.noun, Noun=period.noun.capitalize())
            rows.append((named, *(write(figures[key]) for _, figures in sides)))
    if any(figures["ruin_date"] for _, figures in sides):
        rows += [("End",), ("Closed by ruin on", *(day(figures["ruin_date"]) for _, figures in sides))]
    return Table("Return and risk", ("", *(name for name, _ in sides)), tuple(rows), note)


def covered(name: str, other: pd.Series, run: RunData) -> str:
    """Sentence on the part of the run that a comparison covers, with the date of its ruin if there was one.

    Parameters
    ----------
    name : str
        Name of the comparison.
    other : Series
        Its returns, on some of the sessions of the run.
    """
    counted = run.periodicity.counted
    dates = f"from {day(other.index[0])} to {day(other.index[-1])}"
    span = f"{count(len(other))} of {count(len(run.returns))} {counted}, {dates}"
    ruined = ruin_date(other)
    if ruined:
        return f"{name} was closed by ruin on {ruined}: it covers {span}, and is compared over these sessions."
    return f"{name} covers {span}, and is compared over these sessions."


def comparison_table(metrics: Metrics, run: RunData) -> Table | None:
    """Table of excess return, alpha, beta and related figures against each comparison; None without any."""
    sides = [
        (f"Against {name}", suffix)
        for name, suffix, other in (
            (run.benchmark_name, "", run.benchmark),
            ("universe", "_universe", run.universe),
        )
        if other is not None
    ]
    if not sides:
        return None

    def line(label: str, key: str, write: _Formatter) -> tuple[str, ...]:
        return (label, *(write(metrics[f"{key}{suffix}"]) for _, suffix in sides))

    def ends(key: str, suffix: str, write: _Formatter) -> str:
        low, high = metrics[f"{key}_low{suffix}"], metrics[f"{key}_high{suffix}"]
        if low is None and metrics[f"{key}{suffix}"] is not None:
            return TOO_FEW_DATES
        return f"{write(low)} to {write(high)}" if low is not None else DASH

    rows = (
        line("Excess return a year, points", "excess_return", points),
        ("… 95% interval", *(ends("excess_return", suffix, points) for _, suffix in sides)),
        line("Alpha a year", "alpha", percent),
        ("… 95% interval", *(ends("alpha", suffix, percent) for _, suffix in sides)),
        line("Beta", "beta", number),
        line("Correlation", "correlation", number),
        line("Tracking error a year", "tracking_error", percent),
        line("Information ratio", "information_ratio", number),
    )
    period = run.periodicity
    note = (
        f"Excess return: mean {period.adjective} difference times {period.periods_per_year:,.10g}. Each interval is "
        "the mean over sessions plus and minus Student's t times the equal-weighted cosine estimator of the standard "
        "error (Lazarus, Lewis, Stock and Watson 2018), which allows for dependence between neighbouring sessions."
    )
    for name, other in ((run.benchmark_name, run.benchmark), ("The universe", run.universe)):
        if other is not None and len(other) < len(run.returns):
            note += f" {covered(name, other, run)}"
    return Table("Comparisons", ("", *(name for name, _ in sides)), rows, note)


def trading_table(metrics: Metrics, run: RunData) -> Table:
    """Table of exposure, turnover and costs."""
    m, noun = metrics, run.periodicity.noun

    def cost(kind: str) -> str:
        total = m[f"{kind}_total"]
        return UNKNOWN if total is None and m["transactions"] else f"{money(total)} / {bps(m[f'{kind}_bps'])}"

    exposure = (
        ("Gross exposure, mean / maximum", f"{percent(m['gross_exposure_mean'])} / {percent(m['gross_exposure_max'])}"),
        ("Net exposure, mean", percent(m["net_exposure_mean"])),
        ("Net exposure, minimum / maximum", f"{percent(m['net_exposure_min'])} / {percent(m['net_exposure_max'])}"),
        ("Positions, mean / maximum", f"{number(m['holdings_mean'], 1)} / {count(m['holdings_max'])}"),
        ("Largest position", percent(m["largest_position_max"])),
    )
    costs = (
        ("Transactions", count(m["transactions"])),
        ("Turnover a year, one way", percent(m["annual_turnover"], 0)),
        (f"Turnover a {noun} (pyfolio)", percent(m["pyfolio_daily_turnover"])),
        ("Commission, total / of traded value", cost("commission")),
        ("Slippage, total / of traded value", cost("slippage")),
        (
            "Commission and slippage a year, of account value",
            UNKNOWN if m["annual_cost"] is None and m["transactions"] else small_percent(m["annual_cost"]),
        ),
    )
    rows = (("Exposure",), *exposure, ("Turnover and costs",), *costs)
    note = (
        "Money in account currency. One-way turnover: half of the traded value over the account value at the previous "
        "close; replacing all positions once counts 100%. pyfolio counts both ways, over the gross exposure."
    )
    return Table("Trading", ("", ""), rows, note)


_TRIPS: tuple[tuple[str, str, _Formatter], ...] = (
    ("Closed", "round_trips", count),
    ("With a net gain", "round_trip_win_rate", percent),
    ("Net gain, total", "round_trip_total_pnl", money),
    ("… of which dividends", "round_trip_dividends", money),
    ("Net gain, mean", "round_trip_mean_pnl", money),
    ("Net return, mean", "round_trip_mean_return", lambda v: percent(v, 2)),
    ("Net return, median", "round_trip_median_return", lambda v: percent(v, 2)),
    ("Profit factor", "round_trip_profit_factor", number),
    ("Holding, calendar days, mean", "round_trip_mean_holding_days", lambda v: number(v, 1)),
    ("Still open at the end", "open_trips", count),
    ("… unrealised net gain", "open_trips_pnl", money),
)


def round_trip_table(trips: pd.DataFrame, still_open: pd.DataFrame) -> Table | None:
    """Table of closed round trips and open positions, by side when both were traded; None without trades."""
    if trips.empty and still_open.empty:
        return None
    sides = sorted({*trips["side"], *still_open["side"]})
    columns = {"All": (trips, still_open)}
    if len(sides) > 1:
        columns |= {
            side.capitalize(): (trips[trips["side"] == side], still_open[still_open["side"] == side]) for side in sides
        }
    figures = [summarise_round_trips(closed) | summarise_open_trips(left) for closed, left in columns.values()]
    rows = tuple((label, *(write(side[key]) for side in figures)) for label, key, write in _TRIPS)
    note = (
        "First in, first out. Net gains are price gains plus dividends less commission; open positions are valued at "
        "the last close; returns are on the money invested. Account currency."
    )
    return Table("Round trips", ("", *columns), rows, note)


def drawdown_table(run: RunData) -> Table | None:
    """Table of the five deepest drawdowns; None without any."""
    drawdowns = deepest_drawdowns(run.returns, top=5)
    if not drawdowns:
        return None
    every_day = run.periodicity.calendar == "24/7"
    rows = tuple(
        (percent(drawdown.depth), day(drawdown.peak), day(drawdown.valley), *_recovered(drawdown, every_day=every_day))
        for drawdown in drawdowns
    )
    unit = "Days" if every_day else "Weekdays"
    return Table(
        "Worst drawdowns",
        ("Depth", "Peak", "Valley", "Recovery", unit),
        rows,
        f"{unit} from peak to recovery, both counted.",
        left=0,
    )


def _recovered(drawdown: Drawdown, *, every_day: bool) -> tuple[str, str]:
    """Date of recovery, and number of days from the peak to it."""
    if drawdown.recovery is None:
        return "not yet", DASH
    dates = pd.date_range(drawdown.peak, drawdown.recovery, freq="D" if every_day else "B")
    return day(drawdown.recovery), count(len(dates))


def _compared(run: RunData) -> dict[str, pd.Series]:
    """Return the returns of the strategy and its comparisons by column name."""
    series = {"Strategy": run.returns}
    if run.benchmark is not None:
        series[run.benchmark_name if run.benchmark_name != "Strategy" else "Benchmark"] = run.benchmark
    if run.universe is not None:
        series["Universe"] = run.universe
    return series


def annual_table(run: RunData) -> Table:
    """Table of compounded returns by calendar year."""
    series = _compared(run)
    years = {name: (1.0 + values).groupby(values.index.year).prod() - 1.0 for name, values in series.items()}
    sessions = run.returns.groupby(run.returns.index.year).size()
    partly = False
    for name, values in series.items():
        held = values.groupby(values.index.year).size().reindex(sessions.index, fill_value=0)
        whole = held.index[held == sessions]
        partly = partly or bool(((held > 0) & (held < sessions)).any())
        years[name] = years[name].reindex(whole)
    rows = tuple(
        (str(year), *(percent(values.get(year)) for values in years.values()), count(sessions[year]))
        for year in sorted(sessions.index)
    )
    note = f"A year is left out where not all of its {run.periodicity.counted} are covered." if partly else ""
    return Table("Annual returns", ("Year", *series, run.periodicity.counted.capitalize()), rows, note)


def crisis_table(run: RunData) -> Table | None:
    """Table of compounded returns over known stress periods; None when the run covers none of them.

    Simulated prices have no table, because their dates do not refer to market history.
    """
    if run.simulated:
        return None
    periods = crisis_returns(_compared(run))
    if periods.empty:
        return None
    rows = tuple(
        (str(name), str(row["start"]), str(row["end"]), *(percent(row[column]) for column in periods.columns[2:]))
        for name, row in periods.iterrows()
    )
    note = "From the close of the first day to the close of the last; a fixed list of periods."
    return Table("Stress periods", ("Period", "From", "To", *periods.columns[2:]), rows, note)


def holdings_table(run: RunData, *, top: int = 10) -> Table | None:
    """Table of the holdings with the largest mean absolute weight; None when nothing was held."""
    if run.positions is None:
        return None
    weights = position_weights(run.positions)
    days = (weights.abs() > SHARE_TOLERANCE).sum()
    mean = weights.abs().mean().sort_values(ascending=False, kind="stable")
    chosen = [name for name in mean.index[:top] if days[name] > 0]
    if not chosen:
        return None
    known = run.transactions is not None
    gains = gains_by_ticker(run.positions, run.transactions, run.cash_flows)["gain"] if known else pd.Series()
    rows = tuple(
        (
            str(name),
            percent(weights[name].mean(), 2),
            percent(weights[name].loc[weights[name].abs().idxmax()]),
            count(days[name]),
            money(gains.get(name)),
        )
        for name in chosen
    )
    note = (
        "Mean weight over all days, held or not. Gain: realised and unrealised, with dividends, after commission, in "
        "account currency."
    )
    return Table("Top holdings", ("Ticker", "Mean weight", "Largest", "Days held", "Gain"), rows, note)


def orders_table(orders: pd.DataFrame | None) -> Table | None:
    """Table of order counts by status, with the most frequent reason; None without orders."""
    if orders is None or orders.empty:
        return None
    rows = []
    for status, of_status in orders.groupby("status", sort=True):
        reasons = of_status["reason"].fillna("").astype(str)
        common = reasons[reasons != ""].mode()
        filled = float((of_status["filled"] / of_status["size"].where(of_status["size"] > 0)).mean())
        rows.append(
            (
                str(status),
                str(common.iloc[0]) if len(common) else DASH,
                count(len(of_status)),
                percent(len(of_status) / len(orders), 2),
                percent(filled),
            )
        )
    note = "Filled: mean over orders of shares filled over shares ordered."
    columns = ("Status", "Most frequent reason", "Orders", "Share", "Filled")
    return Table("Orders by outcome", columns, tuple(rows), note, left=2)


def versions_table(manifest: Mapping[str, Any]) -> Table | None:
    """Table of software versions in the manifest, with the trainer and why it was chosen; None without them."""
    rows = _flatten(manifest.get("versions") or {})
    trainer = manifest.get("trainer")
    if isinstance(trainer, Mapping):
        used = f"batch {trainer.get('batch_size')}, learning rate {trainer.get('learning_rate')}"
        used += f", loss {trainer['loss']}" if "loss" in trainer else ""
        rows.insert(0, ("trainer", f"{trainer.get('name')}: {trainer.get('reason')}; {used}"))
    return Table("Versions", ("Software", "Version"), tuple(rows), left=2) if rows else None


def hash_table(manifest: Mapping[str, Any]) -> Table | None:
    """Table of hashes of configuration, inputs and outputs in the manifest; None without them."""
    rows: list[tuple[str, ...]] = []
    if manifest.get("config_hash"):
        rows += [("Configuration",), ("all settings", str(manifest["config_hash"]))]
    inputs = manifest.get("inputs") or {}
    if inputs:
        rows.append(("Inputs",))
        for name, entry in sorted(inputs.items()):
            rows += _input_rows(str(name), entry)
    outputs = _flatten(manifest.get("outputs") or {})
    if outputs:
        rows += [("Outputs",), *outputs]
    return Table("Hashes (SHA-256)", ("File", "Hash"), tuple(rows), left=2) if rows else None


def _input_rows(name: str, entry: Any) -> list[tuple[str, str]]:
    """Rows of one input: its extent, the hash of its content, and its source files."""
    if not isinstance(entry, Mapping):
        return [(name, str(entry))]
    rows = []
    if {"rows", "tickers", "first", "last"} <= set(entry):
        span = f"{entry['first']} to {entry['last']}"
        rows.append((name, f"{count(entry['rows'])} rows, {count(entry['tickers'])} tickers, {span}"))
    if "sha256" in entry:
        rows.append((f"{name}, content", str(entry["sha256"])))
    files = (entry.get("meta") or {}).get("files") or {}
    return rows + [(str(file), str(digest)) for file, digest in sorted(files.items())]


def _flatten(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Nested mappings as (dotted name, text) pairs in sorted order."""
    if isinstance(value, Mapping):
        inner = sorted(value.items(), key=lambda item: str(item[0]))
        return [pair for key, below in inner for pair in _flatten(below, f"{prefix}.{key}" if prefix else str(key))]
    return [(prefix, str(value))]
