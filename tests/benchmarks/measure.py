"""Measurements: CPU time of interleaved legs in one process, and time and memory of a new process."""

from __future__ import annotations

import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["ONE_THREAD", "ROOT", "Leg", "alone", "cpu_seconds", "fresh_process", "interleaved", "one_core"]

ROOT = Path(__file__).resolve().parents[2]

# One core per measured leg: ratios on shared machines are steadier, and walk-forward trains one thread per process.
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1"
)


@dataclass(frozen=True)
class Leg:
    """Measurement of one leg: median CPU seconds over its repetitions, and its last result."""

    seconds: float
    result: Any


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU seconds of one call."""
    return alone(work).seconds


def alone(work: Callable[[], object]) -> Leg:
    """Run a leg once. Objects of earlier legs are frozen, so that the garbage collector does not visit them."""
    gc.collect()
    gc.freeze()
    try:
        began = time.process_time()
        result = work()
        return Leg(time.process_time() - began, result)
    finally:
        gc.unfreeze()


def interleaved(
    legs: Mapping[str, Callable[[], object]], repetitions: int, *, once: Collection[str] = ()
) -> dict[str, Leg]:
    """Median CPU seconds of each leg, interleaved, so that load on the machine slows all of them.

    Legs of minutes, named in `once`, run in the first turn only.
    """
    taken: dict[str, list[float]] = {name: [] for name in legs}
    results: dict[str, Any] = {}
    for turn in range(repetitions):
        for name, work in legs.items():
            if turn and name in once:
                continue
            leg = alone(work)
            taken[name].append(leg.seconds)
            results[name] = leg.result
    return {name: Leg(statistics.median(taken[name]), results[name]) for name in legs}


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this process, its threads and the processes it starts on one core, where the system can."""
    if not (hasattr(os, "sched_setaffinity") and _THREADS.is_dir()):
        yield
        return
    allowed = os.sched_getaffinity(0)
    _keep_on({max(allowed)})
    try:
        yield
    finally:
        _keep_on(allowed)


def _keep_on(cores: set[int]) -> None:
    # the call is about one thread; libraries that are already loaded have threads of their own
    for thread in _THREADS.iterdir():
        with suppress(ProcessLookupError):  # the process has ended
            os.sched_setaffinity(int(thread.name), cores)


_THREADS = Path("/proc/self/task")


def fresh_process(
    command: Sequence[str], *, python: Path | None = None, timeout: float = 1800.0, cache: Path | None = None
) -> dict[str, Any]:
    """Run Python in a new process and return the JSON object that it prints last.

    What was compiled by earlier processes is out of its reach, so its first run is a first run; unless they are given
    one `cache` folder.

    Raises
    ------
    RuntimeError
        With the last line of what it complained, when it fails.
    """
    with tempfile.TemporaryDirectory() as own:
        kept = str(cache or own)
        environment = {**os.environ, **ONE_THREAD, "PYTHONWARNINGS": "ignore", "NUMBA_CACHE_DIR": kept}
        done = subprocess.run(
            [str(python or sys.executable), *command],
            cwd=ROOT, env=environment, capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        complaint = (done.stderr.strip().splitlines() or lines or ["no word"])[-1]
        raise RuntimeError(f"{' '.join(map(str, command))} ended with {done.returncode}: {complaint}")
    answer: dict[str, Any] = json.loads(lines[-1])
    return answer
