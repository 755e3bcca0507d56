"""kill -9 at any moment and the same command again: the files equal those of an undisturbed run byte for byte."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMPARED = ("signals.parquet", "returns.parquet", "orders.parquet", "metrics.json")


def start(config: Path, out: Path, home: Path, support: Path, jobs: int) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "RNN_STRATEGIES_HOME": str(home), "PYTHONPATH": str(support)}
    command = [
        sys.executable, "-c", "from rnn_strategies.cli import main; main()",
        "run", str(config), "--out", str(out), "--jobs", str(jobs),
    ]  # fmt: skip
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def kill_and_restart(config, folder, support, *, kills, jobs, seed):
    """Kill the whole process group `kills` times at random moments of an undisturbed run's length; compare bytes."""
    began = time.monotonic()
    assert start(config, folder / "calm", folder / "calm home", support, jobs).wait() == 0
    length = time.monotonic() - began
    rng = random.Random(seed)
    for _ in range(kills):
        process = start(config, folder / "out", folder / "home", support, jobs)
        time.sleep(rng.uniform(0.1, 0.95) * length)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert start(config, folder / "out", folder / "home", support, jobs).wait() == 0
    for name in COMPARED:
        assert (folder / "out" / name).read_bytes() == (folder / "calm" / name).read_bytes(), name
    assert not [path.name for path in (folder / "out").iterdir() if path.name.endswith(".tmp")]


def test_killed_once_with_a_quick_trainer(support, tmp_path):
    from configs import write_small

    kill_and_restart(write_small(tmp_path / "c.toml"), tmp_path, support, kills=1, jobs=1, seed=0)


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(4))
def test_killed_again_and_again(support, tmp_path, seed):
    from configs import write_small

    trainer = "keras" if seed < 2 else "compiled"
    config = write_small(tmp_path / "c.toml", trainer=f'trainer = "{trainer}"')
    kill_and_restart(config, tmp_path, support, kills=4, jobs=1 + seed % 2, seed=seed)
