"""Environments of the other engines: one for each, under `build/peers`, from pinned requirements.

`make bench-peers` makes them. One that does not install leaves its reason, which the benchmarks then report.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.benchmarks.measure import ROOT

__all__ = ["HOME", "JOBS", "install", "python_of", "why_not"]

JOBS = Path(__file__).resolve().parent / "peer_jobs"
HOME = ROOT / "build" / "peers"


def install(names: Iterable[str]) -> None:
    """Create an environment for each; a failure is recorded with its reason and does not stop the others."""
    HOME.mkdir(parents=True, exist_ok=True)
    for name in names:
        folder, failed = HOME / name, HOME / f"{name}.failed"
        failed.unlink(missing_ok=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        done = subprocess.run(
            [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r",
             str(JOBS / f"requirements-{name}.txt")],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            reason = (errors or done.stderr.strip().splitlines() or ["pip printed nothing"])[-1]
            failed.write_text(reason + "\n")
        print(f"{name}: {'installed' if not done.returncode else reason}")


def python_of(name: str) -> Path | None:
    """Interpreter of a peer's environment, or None without one."""
    python = HOME / name / "bin" / "python"
    return python if python.exists() and not (HOME / f"{name}.failed").exists() else None


def why_not(name: str) -> str:
    """Reason why an environment is missing."""
    failed = HOME / f"{name}.failed"
    return failed.read_text().strip() if failed.exists() else "`make bench-peers` installs it"
