"""Charts of returns and drawdowns: pyfolio's plots in the report style."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, PercentFormatter

from reports.charts.charting import (
    PALETTE,
    PERCENT,
    Chart,
    NothingToDrawError,
    chart_text,
    draw,
    name_lines,
    need_movement,
    need_sessions,
    pyfolio_plotting,
    rebased_wealth,
    started,
    wealth_of,
)
from reports.common.number_format import number, percent
from reports.common.run_data import RunData
from reports.metrics.performance import ruin_date

__all__ = ["drawdown_charts", "return_charts", "rolling_beta"]


def return_charts(run: RunData) -> list[Chart]:
    """Draw wealth, relative wealth, rolling figures, and returns by month and year."""
    period = run.periodicity
    window = f"{period.periods(6)} {period.counted}"
    years = run.returns.index.year.nunique()
    charts = [
        draw(
            "equity",
            lambda axes: _equity(axes, run),
            title="Growth of 1",
            note=f"After costs. {_log_note(run)}{_part_note(run)}Final values in brackets.",
            size=(12.1, 4.0),
            narrow=(5.2, 3.8),
        ),
        draw(
            "relative",
            lambda axes: _relative(axes, run),
            title="Relative wealth",
            note="Wealth of the strategy divided by the wealth of each comparison.",
        ),
    ]
    if run.benchmark is not None:
        charts.append(
            draw(
                "matched",
                lambda axes: _volatility_matched(axes, run),
                title=f"Growth of 1 at the volatility of {run.benchmark_name}",
                note="Strategy returns scaled to the benchmark's volatility over the whole period.",
            )
        )
    charts += [
        draw(
            "rolling_volatility",
            lambda axes: _rolling(axes, run, rolling_volatility, PERCENT, "Volatility a year"),
            title="Rolling volatility, six months",
            note=f"Standard deviation of {period.adjective} returns over {window}, times the root of "
            f"{period.periods_per_year:,.10g}.",
        ),
        draw(
            "rolling_sharpe",
            lambda axes: _rolling(axes, run, rolling_sharpe_ratio, None, "Sharpe ratio a year"),
            title="Rolling Sharpe ratio, six months",
            note=f"Over {window}, without a risk-free rate.",
        ),
    ]
    if run.benchmark is not None:
        charts.append(
            draw(
                "rolling_beta",
                lambda axes: _rolling_beta(axes, run),
                title=f"Rolling beta to {run.benchmark_name}",
                note=f"Slope of {period.adjective} returns on the benchmark's, over six and twelve months.",
            )
        )
    return [
        *charts,
        draw(
            "monthly_distribution",
            lambda axes: _monthly_distribution(axes, run.returns),
            title="Distribution of monthly returns",
            note="The dashed line is the mean.",
        ),
        draw(
            "monthly",
            lambda axes: _monthly_heatmap(axes, run.returns),
            title="Monthly returns, %",
            note="Months without a session are left blank.",
            size=(6.0, max(1.6, 0.75 + 0.31 * years)),
        ),
        draw(
            "annual",
            lambda axes: _annual_returns(axes, run.returns),
            title="Annual returns",
            note="The first and last year may be partial; the dashed line is the mean.",
            size=(6.0, max(1.6, 0.75 + 0.31 * years)),
        ),
        draw(
            "quantiles",
            lambda axes: _quantiles(axes, run),
            title="Return quantiles",
            note="Box: quartiles; whiskers: 1.5 times the box; points beyond.",
        ),
    ]


def drawdown_charts(run: RunData) -> list[Chart]:
    """Draw the underwater curve and the deepest drawdowns."""
    return [
        draw(
            "underwater",
            lambda axes: _underwater(axes, run.returns),
            title="Drawdown",
            note="Loss from the highest value so far.",
        ),
        draw(
            "drawdowns",
            lambda axes: _drawdown_periods(axes, run.returns),
            title="Five deepest drawdowns",
            note="From peak to recovery, or to the end where it has not recovered.",
        ),
    ]


def _needs_log(run: RunData) -> bool:
    wealth = wealth_of(run.returns)
    return bool(wealth.min() > 0 and wealth.max() / wealth.min() > 4)


def _log_note(run: RunData) -> str:
    return "Logarithmic scale. " if _needs_log(run) else ""


def _part_note(run: RunData) -> str:
    others = [other for other in (run.benchmark, run.universe) if other is not None]
    later = any(other.index[0] > run.returns.index[0] for other in others)
    return "A comparison that begins later starts at the wealth of the strategy. " if later else ""


def _equity(axes: Axes, run: RunData) -> str:
    plots = pyfolio_plotting()
    whole = run.benchmark is not None and len(run.benchmark) == len(run.returns)
    strategy = started(run.returns)
    factor = started(run.benchmark).rename("benchmark") if whole and run.benchmark is not None else None
    plots.plot_rolling_returns(strategy, factor_returns=factor, legend_loc=None, logy=_needs_log(run), ax=axes)
    shown = [("Benchmark", "benchmark", run.benchmark)] if factor is not None else []
    shown.append(("Strategy", "strategy", run.returns))
    shown.append(("", "ink", None))  # pyfolio's line at 1
    for name, role, other in (
        ("Benchmark", "benchmark", None if whole else run.benchmark),
        ("Equal-weight universe", "universe", run.universe),
    ):
        if other is not None:
            # plotted by pandas, because pyfolio has already set its date converter on these axes
            rebased_wealth(other, run.returns).plot(ax=axes, zorder=1.9)
            shown.append((name, role, other))
    entries: dict[str, tuple[Line2D, str]] = {}
    for line, (name, role, series) in zip(axes.lines, shown, strict=True):
        line.set(color=PALETTE[role], alpha=1.0, linewidth=1.7 if role == "strategy" else 1.3)
        if series is None:
            line.set(linewidth=0.8, alpha=0.6)
            continue
        label = chart_text(run.benchmark_name, width=24) if name == "Benchmark" else name
        entries[role] = (line, f"{label} ({number(rebased_wealth(series, run.returns).iloc[-1])}{_end(series)})")
    ordered = [entries[role] for role in ("strategy", "benchmark", "universe") if role in entries]
    axes.legend([line for line, _ in ordered], [text for _, text in ordered])
    axes.set_ylabel("Wealth, start = 1")
    axes.grid(visible=True, which="major")
    if axes.get_yscale() == "log":
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    return "Growth of 1: " + ", ".join(text for _, text in ordered)


def _end(returns: pd.Series) -> str:
    """Legend suffix of an account that was closed by ruin; empty otherwise."""
    ruined = ruin_date(returns)
    return f", closed by ruin on {ruined}" if ruined else ""


def _relative(axes: Axes, run: RunData) -> str:
    drawn = []
    for label, role, other in (
        (f"to {chart_text(run.benchmark_name)}", "benchmark", run.benchmark),
        ("to the equal-weight universe", "universe", run.universe),
    ):
        if other is None:
            continue
        ratio = wealth_of(run.returns.reindex(other.index)) / wealth_of(other).where(lambda wealth: wealth > 0)
        axes.plot(ratio.index, ratio.to_numpy(), color=PALETTE[role])
        drawn.append((f"{label} ({number(ratio.iloc[-1])})", role))
    if not drawn:
        raise NothingToDrawError("there is no comparison")
    axes.axhline(1.0, color=PALETTE["ink"], linewidth=0.8, linestyle="--", alpha=0.6)
    name_lines(axes, drawn)
    axes.set_ylabel("Ratio, start = 1")
    axes.xaxis_date()
    return "Relative wealth, final value: " + ", ".join(label for label, _ in drawn)


def _volatility_matched(axes: Axes, run: RunData) -> str:
    benchmark = run.benchmark
    if benchmark is None or len(benchmark) < len(run.returns):
        raise NothingToDrawError("the benchmark does not cover the whole period")
    need_sessions(run.returns, run.periodicity.periods(1), "matching volatilities")
    need_movement(run.returns)
    plots = pyfolio_plotting()
    plots.plot_rolling_returns(run.returns, benchmark.rename("benchmark"), volatility_match=True, ax=axes)
    name_lines(axes, [(chart_text(run.benchmark_name), "benchmark"), ("Strategy, scaled", "strategy")])
    axes.set_ylabel("Wealth, start = 1")
    return f"Growth of 1 with the strategy scaled to the volatility of {run.benchmark_name}"


def rolling_volatility(returns: pd.Series, window: int, periods_per_year: float) -> pd.Series:
    """Annual volatility over the last `window` returns; NaN before the first full window."""
    volatility: pd.Series = returns.rolling(window).std() * np.sqrt(periods_per_year)
    return volatility


def rolling_sharpe_ratio(returns: pd.Series, window: int, periods_per_year: float) -> pd.Series:
    """Annual Sharpe ratio over the last `window` returns, risk-free rate 0; NaN before the first full window."""
    rolling = returns.rolling(window)
    ratio: pd.Series = rolling.mean() / rolling.std() * np.sqrt(periods_per_year)
    return ratio


def _rolling(
    axes: Axes,
    run: RunData,
    figure: Callable[[pd.Series, int, float], pd.Series],
    formatter: PercentFormatter | None,
    label: str,
) -> str:
    # as pyfolio.plotting draws it; its own functions assume 252 sessions a year
    period = run.periodicity
    window = period.periods(6)
    need_sessions(run.returns, window + 5, "a six-month window")
    need_movement(run.returns)
    own = figure(run.returns, window, period.periods_per_year)
    own.plot(ax=axes, lw=2)
    names = [("Strategy", "strategy")]
    if run.benchmark is not None:
        figure(run.benchmark, window, period.periods_per_year).plot(ax=axes, lw=2)
        names.append((chart_text(run.benchmark_name), "benchmark"))
    axes.axhline(own.mean(), linestyle="--", lw=2)
    name_lines(axes, [*names, ("Strategy, mean", "light")])
    if formatter is not None:
        axes.yaxis.set_major_formatter(formatter)
    axes.set(xlabel="", ylabel=label)
    return f"{label} over rolling six months"


def rolling_beta(returns: pd.Series, benchmark: pd.Series, window: int) -> pd.Series:
    """Beta to `benchmark` over the last `window` sessions, with the same index; NaN before the first full window."""
    beta: pd.Series = returns.rolling(window).cov(benchmark) / benchmark.rolling(window).var()
    return beta


def _rolling_beta(axes: Axes, run: RunData) -> str:
    if run.benchmark is None:
        raise NothingToDrawError("there is no benchmark")
    both = run.returns.reindex(run.benchmark.index)
    half = run.periodicity.periods(6)
    need_sessions(both, half + 5, "a six-month window")
    need_movement(both)
    # the figures of pyfolio.plotting.plot_rolling_beta, which computes one regression per window
    for window in (half, run.periodicity.periods(12)):
        if len(both) > window:
            rolling_beta(both, run.benchmark, window).plot(ax=axes)
    lines = [("6 months", "strategy"), ("12 months", "benchmark")]
    axes.axhline(1.0, color=PALETTE["ink"], linewidth=0.8, linestyle="--", alpha=0.6)
    name_lines(axes, lines[: len(axes.lines) - 1])
    axes.set_ylabel("Beta")
    return f"Rolling beta to {run.benchmark_name}"


def _months(returns: pd.Series) -> pd.Series:
    index = returns.index
    return (1.0 + returns).groupby([index.year, index.month]).prod() - 1.0


def _monthly_heatmap(axes: Axes, returns: pd.Series) -> str:
    from matplotlib.colors import LinearSegmentedColormap

    need_movement(returns)
    table = _months(returns).unstack()
    if table.size < 2:
        raise NothingToDrawError("all returns fall into one month")
    pyfolio_plotting().plot_monthly_returns_heatmap(returns, ax=axes, linewidths=1.0, linecolor="white")
    # pyfolio fills months without sessions with 0.0 and draws them as flat months
    missing = table.isna().to_numpy().ravel()
    mesh = axes.collections[0]
    values = np.ma.masked_array(np.asarray(mesh.get_array()).ravel(), mask=missing)
    limit = max(float(np.abs(values.compressed()).max()), 1e-9)
    mesh.set_array(values.reshape(table.shape))
    mesh.set(
        cmap=LinearSegmentedColormap.from_list("returns", [PALETTE["loss"], "#ffffff", PALETTE["gain"]]),
        clim=(-1.4 * limit, 1.4 * limit),
    )
    for text, is_missing, value in zip(axes.texts, missing, 100 * table.to_numpy().ravel(), strict=True):
        text.set(color=PALETTE["ink"], fontsize=8.5, text="" if is_missing else number(value, 1))
    axes.set(xlabel="", ylabel="")
    axes.grid(visible=False)
    axes.tick_params(length=0, rotation=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    worst, best = float(_months(returns).min()), float(_months(returns).max())
    return f"Heat map of monthly returns, from {worst:.1%} to {best:.1%}"


def _annual_returns(axes: Axes, returns: pd.Series) -> str:
    need_movement(returns)
    if returns.index.year.nunique() < 2:
        raise NothingToDrawError("all returns fall into one calendar year")
    pyfolio_plotting().plot_annual_returns(returns, ax=axes, color=PALETTE["strategy"])
    axes.legend([axes.lines[0]], ["Mean"])
    axes.set(xlabel="Return", ylabel="")
    axes.grid(visible=False, axis="y")
    return "Bar chart of annual returns; the same figures are in the table"


def _monthly_distribution(axes: Axes, returns: pd.Series) -> str:
    months = _months(returns)
    if len(months) < 6:
        raise NothingToDrawError(f"a distribution needs six months; there are {len(months)}")
    need_movement(months)
    pyfolio_plotting().plot_monthly_returns_dist(returns, ax=axes)
    axes.legend([axes.lines[0]], [f"Mean {percent(months.mean())}"])
    axes.set(xlabel="Return of a month", ylabel="Months")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    return f"Histogram of {len(months)} monthly returns with mean {months.mean():.1%}"


def _quantiles(axes: Axes, run: RunData) -> str:
    returns, frequency = run.returns, run.periodicity.frequency
    if frequency != "daily":
        raise NothingToDrawError(f"daily, weekly and monthly returns need daily returns; these are {frequency}")
    if len(_months(returns)) < 3:
        raise NothingToDrawError("quantiles of monthly returns need three months")
    need_movement(returns)
    pyfolio_plotting().plot_return_quantiles(returns, ax=axes, fliersize=2.0, linewidth=1.0)
    for box, colour in zip(axes.patches, ("strategy", "gain", "universe"), strict=False):
        box.set(facecolor=PALETTE[colour], alpha=0.75)
    axes.yaxis.set_major_formatter(PERCENT)
    axes.set_ylabel("Return")
    axes.grid(visible=False, axis="x")
    low, high = np.quantile(returns, [0.05, 0.95])
    return f"Box plot of daily, weekly and monthly returns; 90% of days lie between {low:.2%} and {high:.2%}"


def _underwater(axes: Axes, returns: pd.Series) -> str:
    need_movement(returns)
    pyfolio_plotting().plot_drawdown_underwater(started(returns), ax=axes)
    for fill in axes.collections:
        fill.set_alpha(0.45)
    axes.set_ylabel("Below the peak")
    legend = axes.get_legend()
    if legend is not None:
        legend.remove()
    wealth = wealth_of(returns)
    deepest = float((wealth / wealth.cummax() - 1.0).min())
    axes.set_ylim(min(105 * deepest, -0.1), 0)
    return f"Drawdown over time; the deepest is {deepest:.1%}"


def _drawdown_periods(axes: Axes, returns: pd.Series) -> str:
    wealth = wealth_of(returns)
    if not (wealth < wealth.cummax()).any():
        raise NothingToDrawError("the account never fell below an earlier value")
    # pyfolio shades between a naive and an aware date, which matplotlib accepts only on a naive axis
    pyfolio_plotting().plot_drawdown_periods(started(returns).tz_localize(None), top=5, ax=axes)
    for fill in axes.collections:
        fill.set(facecolor=PALETTE["loss"], alpha=0.16, edgecolor="none")
    axes.lines[0].set_color(PALETTE["strategy"])
    legend = axes.get_legend()
    if legend is not None:
        legend.remove()
    axes.set_ylabel("Wealth, start = 1")
    return "Wealth with the five deepest drawdowns shaded; dates are in the table"
