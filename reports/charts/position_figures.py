"""Charts of positions and trades: pyfolio's plots in the report style, and charts of costs and round trips."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import date2num
from matplotlib.ticker import FuncFormatter, MaxNLocator

from reports.charts.charting import (
    PALETTE,
    PERCENT,
    Chart,
    NothingToDrawError,
    chart_text,
    draw,
    name_lines,
    pyfolio_plotting,
    refuse,
    short_number,
)
from reports.common.run_data import RunData
from reports.metrics.trading import daily_costs, position_weights

__all__ = ["position_charts", "trading_charts"]


def position_charts(run: RunData) -> list[Chart]:
    """Draw exposure, leverage, number of holdings, top holdings and concentration."""
    held = run.positions.drop(columns="cash", errors="ignore") if run.positions is not None else None
    if run.positions is None or held is None or not (held.to_numpy() != 0).any():
        return [draw("exposure", refuse("no position was held"), title="Exposure, holdings and leverage", note="")]
    plots, positions, returns = pyfolio_plotting(), run.positions, run.returns
    alive = positions[positions.sum(axis=1) > 0]

    def simple(plot: Callable[..., object], *args: object, percent: bool, label: str) -> Callable[[Axes], str]:
        def paint(axes: Axes) -> str:
            plot(returns, *args, ax=axes)
            if percent:
                axes.yaxis.set_major_formatter(PERCENT)
            axes.set_ylabel(label)
            return f"{label} over time"

        return paint

    charts = [
        draw(
            "exposure",
            lambda axes: _exposure(axes, returns, alive),
            title="Exposure",
            note="Long, short and net positions at the close, as shares of account value.",
        ),
        draw(
            "leverage",
            simple(plots.plot_gross_leverage, alive, percent=True, label="Share of account value"),
            title="Gross leverage",
            note="Absolute positions over account value; the dashed line is the mean.",
        ),
    ]
    if (held.to_numpy() < 0).any():
        charts.append(
            draw(
                "long_short",
                simple(plots.plot_long_short_holdings, positions, percent=False, label="Positions"),
                title="Long and short holdings",
                note="Number of positions on each side at the close.",
            )
        )
    else:
        charts.append(
            draw(
                "holdings",
                lambda axes: _holdings(axes, returns, positions),
                title="Number of holdings",
                note="Number of tickers with a position at the close.",
            )
        )
    return [
        *charts,
        draw(
            "top",
            lambda axes: _top_positions(axes, run.returns, alive),
            title="Top ten holdings",
            note="Mean weight by month of the tickers with the largest mean absolute weight.",
        ),
        draw(
            "concentration",
            lambda axes: _concentration(axes, alive),
            title="Concentration",
            note="Largest and median position on each side, as shares of account value.",
        ),
    ]


def trading_charts(run: RunData, trips: pd.DataFrame) -> list[Chart]:
    """Draw turnover, volume, cumulative costs and the distribution of round trips."""
    fills = run.transactions
    if fills is None or fills.empty:
        return [draw("turnover", refuse("no trades were made"), title="Turnover, volume and costs", note="")]
    charts = []
    if run.positions is not None:
        charts.append(
            draw(
                "turnover",
                lambda axes: _turnover(axes, run),
                title="Daily turnover (pyfolio)",
                note="Purchases plus sales over the mean gross exposure of two days; replacing all positions counts "
                "200%. The first purchase may exceed the axis.",
            )
        )
    return [
        *charts,
        draw(
            "volume",
            lambda axes: _volume(axes, run.returns, fills),
            title="Shares traded a day",
            note="Adjusted shares on days with trades; the dashed line is their mean.",
        ),
        draw(
            "costs",
            lambda axes: _costs(axes, run, fills),
            title="Cumulative costs",
            note="Commission from the fills and slippage from the orders, in account currency.",
        ),
        draw(
            "trips",
            lambda axes: _trip_returns(axes, trips),
            title="Round trips: net return on the money invested",
            note="First in, first out, after commission; the lowest and highest 1% are counted in the outer bars.",
        ),
    ]


def _exposure(axes: Axes, returns: pd.Series, positions: pd.DataFrame) -> str:
    pyfolio_plotting().plot_exposures(returns, positions, ax=axes)
    held = positions.drop(columns="cash", errors="ignore").to_numpy()
    sides = {"Long": bool((held > 0).any()), "Short": bool((held < 0).any()), "Net": True}
    handles, labels = axes.get_legend_handles_labels()
    shown = [(handle, label) for handle, label in zip(handles, labels, strict=True) if sides[label]]
    axes.legend([handle for handle, _ in shown], [label for _, label in shown])
    axes.yaxis.set_major_formatter(PERCENT)
    axes.set_ylabel("Share of account value")
    return "Long, short and net exposure over time"


def _holdings(axes: Axes, returns: pd.Series, positions: pd.DataFrame) -> str:
    pyfolio_plotting().plot_holdings(returns, positions, ax=axes)
    name_lines(axes, [("daily", "light"), ("mean of the month", "universe"), ("mean of all days", "strategy")])
    _until_last_session(axes, returns)
    axes.set_ylabel("Positions")
    axes.set_ylim(bottom=0)
    return "Number of positions over time"


def _until_last_session(axes: Axes, returns: pd.Series) -> None:
    """Remove the mean of an incomplete last month, which pyfolio plots after the last session."""
    monthly = axes.lines[1]
    x, y = monthly.get_data(orig=False)
    inside = np.asarray(x) <= date2num(returns.index[-1].tz_localize(None))
    monthly.set_data(np.asarray(x)[inside], np.asarray(y)[inside])
    axes.relim()


def _top_positions(axes: Axes, returns: pd.Series, positions: pd.DataFrame) -> str:
    weights = position_weights(positions)
    mean = weights.abs().mean()
    top = mean[mean > 0].sort_values(ascending=False, kind="stable").index[:10]
    chosen = weights[top]
    if chosen.index[-1] - chosen.index[0] > pd.Timedelta(days=150):
        # daily weights of equally weighted tickers would overlap
        chosen = chosen.resample("MS").mean()
    names = [chart_text(name) for name in chosen.columns]
    allocation = chosen.set_axis(range(chosen.shape[1]), axis=1).assign(cash=0.0)
    pyfolio_plotting().show_and_plot_top_positions(
        returns, allocation, show_and_plot=0, legend_loc="upper left", ax=axes
    )
    for line in axes.lines:
        line.set_alpha(0.9)
    order = [int(str(line.get_label())) for line in axes.lines]
    axes.legend(axes.lines, [names[number] for number in order])
    axes.yaxis.set_major_formatter(PERCENT)
    axes.set_ylabel("Share of account value")
    return "Weights of the ten largest positions: " + ", ".join(str(name) for name in chosen.columns)


def _concentration(axes: Axes, positions: pd.DataFrame) -> str:
    plots = pyfolio_plotting()
    held = [name for name in positions.columns if name == "cash" or (positions[name] != 0).any()]
    plots.plot_max_median_position_concentration(positions[held], ax=axes)
    roles = ("gain", "universe", "light", "loss")
    names = ("largest long", "median long", "median short", "largest short")
    drawn = []
    for line, role, name in zip(list(axes.lines), roles, names, strict=True):
        if np.isnan(np.asarray(line.get_ydata(), dtype="float64")).all():
            line.remove()
            continue
        drawn.append((name, role))
    name_lines(axes, drawn)
    axes.yaxis.set_major_formatter(PERCENT)
    axes.set_ylabel("Share of account value")
    return "Largest and median position weights over time"


def _turnover(axes: Axes, run: RunData) -> str:
    if run.positions is None or not run.positions.drop(columns="cash", errors="ignore").to_numpy().any():
        raise NothingToDrawError("no position was held at any close")
    pyfolio_plotting().plot_turnover(run.returns, run.transactions, run.positions, ax=axes)
    name_lines(axes, [("daily", "light"), ("mean of the month", "universe"), ("mean of all days", "strategy")])
    _until_last_session(axes, run.returns)
    daily = np.nan_to_num(np.asarray(axes.lines[0].get_ydata(), dtype="float64"), posinf=0.0)
    later = daily[int(np.argmax(daily > 0)) + 1 :]
    top = float(later.max(initial=0.0)) or float(daily.max())
    axes.set_ylim(0, 1.05 * top)
    axes.yaxis.set_major_formatter(PERCENT)
    axes.set_ylabel("Turnover a day")
    return f"Daily turnover; after the first day it never exceeds {top:.0%} of the gross exposure"


def _volume(axes: Axes, returns: pd.Series, fills: pd.DataFrame) -> str:
    pyfolio_plotting().plot_daily_volume(returns, fills, ax=axes, color=PALETTE["strategy"])
    axes.yaxis.set_major_formatter(FuncFormatter(short_number))
    axes.set_ylabel("Shares")
    return "Shares traded a day"


def _costs(axes: Axes, run: RunData, fills: pd.DataFrame) -> str:
    costs = daily_costs(fills, run.orders, run.returns.index).cumsum()
    known = [kind for kind in costs if not costs[kind].isna().any()]
    unknown = " and ".join(kind for kind in costs if kind not in known)
    if not known:
        raise NothingToDrawError(f"{unknown} are unknown: they were not recorded")
    if not (costs[known].iloc[-1] != 0).any():
        charged = " and ".join(f"no {kind}" for kind in known)
        raise NothingToDrawError(
            f"{charged} {'were' if len(known) > 1 else 'was'} charged" + (f", and {unknown} is unknown" * bool(unknown))
        )
    shades = {"commission": PALETTE["strategy"], "slippage": PALETTE["light"]}
    axes.stackplot(
        costs.index, *(costs[kind] for kind in known),
        colors=[shades[kind] for kind in known], labels=known, linewidth=0,
    )  # fmt: skip
    axes.legend()
    axes.yaxis.set_major_formatter(FuncFormatter(short_number))
    axes.set_ylabel("Account currency")
    last = costs.iloc[-1]
    paid = ", ".join(f"{kind} {last[kind]:,.0f}" if kind in known else f"{kind} unknown" for kind in costs)
    return f"Costs paid by the end: {paid}"


def _trip_returns(axes: Axes, trips: pd.DataFrame) -> str:
    values = trips["net_return"].dropna()
    if len(values) < 5:
        raise NothingToDrawError(f"a distribution needs five round trips; there are {len(values)}")
    low, high = np.quantile(values, [0.01, 0.99])
    if not high > low:
        raise NothingToDrawError("all round trips have the same return")
    counts, edges = np.histogram(values.clip(low, high), bins=min(40, 5 + len(values) // 5))
    middles = (edges[:-1] + edges[1:]) / 2
    shades = [PALETTE["loss"] if middle < 0 else PALETTE["gain"] for middle in middles]
    axes.bar(middles, counts, width=np.diff(edges), color=shades)
    axes.axvline(0.0, color=PALETTE["ink"], linewidth=0.8)
    axes.xaxis.set_major_formatter(PERCENT)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.set(xlabel="Net return of a round trip", ylabel="Round trips")
    return f"Histogram of {len(values)} round trips, median {values.median():.2%}"
