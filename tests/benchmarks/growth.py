"""Growth of the cost of a backtest: one size is varied at a time, around 500 tickers × 504 sessions, weekly top 50."""

from __future__ import annotations

from tests.benchmarks.backtests import Job
from tests.benchmarks.figures import Figure, Figures
from tests.benchmarks.market import simulate
from tests.benchmarks.measure import interleaved

__all__ = ["bench"]

BASE = {"tickers": 500, "days": 504, "places": 50, "frequency": "weekly", "missing": 0.0}
VARIED = {
    "tickers": (125, 500, 2000),
    "days": (126, 504, 2520),
    "places": (10, 50, 250),
    "frequency": ("monthly", "weekly", "daily"),
    "missing": (0.0, 0.3, 0.6),
}


def bench() -> Figures:
    """CPU seconds of `run_backtest`, median of three, the sizes of one row interleaved."""
    figures: Figures = {}
    for name, values in VARIED.items():
        jobs = {}
        for value in values:
            setting = {**BASE, name: value}
            places = setting.pop("places")
            jobs[value] = Job(simulate(**setting), places)
            jobs[value].inputs  # noqa: B018 - prepared before the timing
        taken = interleaved({str(value): job.result for value, job in jobs.items()}, repetitions=3)
        for value in values:
            leg = taken[str(value)]
            held = (leg.result.positions.drop(columns="cash") != 0.0).sum(axis=1).mean()
            figures[f"growth.{name}_{value}_cpu_s"] = Figure(
                leg.seconds, f"{len(leg.result.orders):,} orders, {held:,.0f} names held on average"
            )
    return figures
