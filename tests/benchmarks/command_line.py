"""Benchmarks of the command line: wall time of `--help`, and of the demo in a new environment."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.figures import Figure, Figures

__all__ = ["bench"]


def bench() -> Figures:
    """Time `--help` five times, the demo once, and the finished demo again."""
    command = str(Path(sys.executable).with_name("rnn-strategies"))
    environment = {name: value for name, value in os.environ.items() if "THREADS" not in name}

    def wall(*arguments: str, folder: str) -> float:
        began = time.perf_counter()
        # the demo of a benchmark must not be registered as a trial of the user
        own = environment | {"RNN_STRATEGIES_LEDGER": str(Path(folder, "ledger"))}
        subprocess.run([command, *arguments], cwd=folder, env=own, check=True, capture_output=True)
        return time.perf_counter() - began

    with tempfile.TemporaryDirectory() as folder:
        help_s = statistics.median(wall("--help", folder=folder) for _ in range(5))
        wall("init", "demo.toml", folder=folder)
        demo_s = wall("run", "demo.toml", folder=folder)
        again_s = wall("run", "demo.toml", folder=folder)
    return {
        "cli.help_s": Figure(help_s, "`--help`, wall time, median of 5"),
        "pipeline.demo_s": Figure(demo_s, "`run` on the demo configuration, report included, wall time"),
        "pipeline.demo_again_s": Figure(again_s, "the same again: nothing is computed"),
    }
