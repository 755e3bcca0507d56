"""`make bench`: ratios of CPU times, both sides interleaved in one run, medians over repetitions.

Prints a table and writes build/bench.json, a flat object of numbers. Names follow the project's agreed list. With legs
named (`python -m tests.benchmarks.run backtests peers`) only these are run, and their numbers replaced in that file;
`--small` leaves out what takes minutes, for a look while developing.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import time

from tests.benchmarks.figures import Figures, table
from tests.benchmarks.measure import ONE_THREAD, ROOT

# Names agreed on for the project; others may be added.
AGREED = (
    "train.keras_vs_book",
    "train.compiled_vs_book",
    "train.compiled_vs_keras_1024",
    "train.compiled_vs_torch",
    "train.two_processes_vs_limit",
    "train.retrains_per_minute",
    "train.million_windows_mb",
    "predict.rows_per_second",
    "backtest.default_vs_naive",
    "backtest.2500_tickers_cpu_s",
    "backtest.2500_tickers_mb",
    "pipeline.demo_s",
    "cli.help_s",
)
# In this order: wall times first, before memory and caches are filled.
LEGS = (
    "command_line",
    "training",
    "training_family",
    "training_processes",
    "training_growth",
    "backtests",
    "growth",
    "peers",
)
RESIZED = ("training", "training_family", "training_processes", "training_growth", "backtests", "peers")


def main(arguments: list[str] | None = None) -> None:
    """Run the legs named, or all of them."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("legs", nargs="*", metavar="LEG", help=f"among {', '.join(LEGS)}; all by default")
    parser.add_argument("--small", action="store_true", help="small sizes only")
    chosen = parser.parse_args(arguments)
    if unknown := [leg for leg in chosen.legs if leg not in LEGS]:
        parser.error(f"expected legs among {', '.join(LEGS)}; found {unknown[0]}")
    # the thread counts must be set before numpy and keras are imported, hence the imports below
    os.environ.update(ONE_THREAD)
    figures: Figures = {}
    for leg in chosen.legs or LEGS:
        began = time.perf_counter()
        bench = importlib.import_module(f"tests.benchmarks.{leg}").bench
        figures |= bench(small=chosen.small) if leg in RESIZED else bench()
        print(f"{leg}: {time.perf_counter() - began:,.0f} s", file=sys.stderr)
    if missing := [name for name in AGREED if name not in figures and not chosen.legs]:
        print(f"not measured here: {', '.join(missing)}")
    cpu = platform.processor() or platform.machine()
    print(f"Python {platform.python_version()}, {cpu}, {os.cpu_count()} cores")
    print(table(figures))
    target = ROOT / "build" / "bench.json"
    target.parent.mkdir(exist_ok=True)
    kept = json.loads(target.read_text()) if chosen.legs and target.exists() else {}
    target.write_text(json.dumps(kept | {name: figure.value for name, figure in figures.items()}, indent=2) + "\n")
    print(target.relative_to(ROOT))


if __name__ == "__main__":
    main()
