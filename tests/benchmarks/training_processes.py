"""Compiled trainer in separate processes: start-up time, memory, and parallel folds."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from tests.benchmarks.figures import Figure, Figures
from tests.benchmarks.measure import ONE_THREAD, ROOT, fresh_process

__all__ = ["bench"]

ALONE = ["-m", "tests.benchmarks.training_alone"]
BARE = ["-c", "print('{\"kb\":', next(l.split()[1] for l in open('/proc/self/status') if l.startswith('VmHWM')), '}')"]


def bench(*, small: bool = False) -> Figures:
    """Start it cold and warm, train a million windows, then compare two fold processes with two plain loops."""
    return _alone(100_000 if small else 1_000_000) | _side_by_side(*((40, 1, 4, 1) if small else (300, 2, 4, 5)))


def _alone(rows: int) -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        cold, warm = (fresh_process([*ALONE, "start"], cache=cache) for _ in range(2))
        if not cold["compiled"] or warm["compiled"]:
            raise SystemExit(f"expected the first start to compile and the second to load; found {cold}, {warm}")
        figures = {
            "train.compile_s": Figure(
                cold["seconds"], "first start of the compiled trainer with its imports, by the clock"
            ),
            "train.cached_start_s": Figure(warm["seconds"], "every later start"),
        }
        if not Path("/proc/self/status").exists():
            return figures
        bare = fresh_process(BARE)["kb"] * 1024 / 1e6
        found = fresh_process([*ALONE, "million", str(rows)], cache=cache)
        first = fresh_process([*ALONE, "million", str(rows)])
    words = f"peak above a bare interpreter ({bare:.0f} MB): {rows:,} windows of 52 from 2,500 tickers"
    return figures | {
        "train.million_windows_mb": Figure(found["mb"] - bare, f"{words}, {found['cpu_s']:.0f} CPU s for 2 epochs"),
        "train.million_windows_compiling_mb": Figure(first["mb"] - bare, "the same where it has to be compiled first"),
    }


def _side_by_side(tickers: int, folds: int, seeds: int, turns: int) -> Figures:
    from tests.benchmarks.training_walk import make_prices, make_tasks, rows_learnt, walk

    prices = make_prices(tickers, folds)
    tasks = make_tasks(prices, range(seeds))
    rows, each = rows_learnt(tasks), len(tasks[0].data.training)
    sizes = list(map(str, (tickers, folds, seeds)))
    with ExitStack() as stack:
        loops = [stack.enter_context(_serving("loop", *sizes, str(first), "2")) for first in range(2)]
        halves = [answer()["rows"] for _, answer in loops]
        assert sum(halves) == rows
        walk(prices, [0, 1], jobs=2)  # starts the worker processes, which later runs reuse
        ratios, limits = [], []
        for _ in range(turns):
            for ask, _ in loops:
                ask.write("\n")
                ask.flush()
            limits.append(sum(half / answer()["seconds"] for half, (_, answer) in zip(halves, loops, strict=True)))
            ratios.append(rows / walk(prices, range(seeds), jobs=2) / limits[-1])
    what = f"`compute_signals` in two processes against two plain loops of the same {len(tasks)} networks"
    spread = f"by the clock; {min(ratios):.2f} to {max(ratios):.2f} over {turns} turns"
    return {
        "train.two_processes_vs_limit": Figure(statistics.median(ratios), f"{what} ({each:,} rows each), {spread}"),
        "train.two_loops_rows_per_second": Figure(statistics.median(limits), "both plain loops together"),
    }


@contextmanager
def _serving(*arguments: str) -> Iterator[tuple[IO[str], Any]]:
    command = [sys.executable, *ALONE, *arguments]
    with subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **ONE_THREAD}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        output = process.stdout
        yield process.stdin, lambda: json.loads(output.readline())
        process.stdin.close()
