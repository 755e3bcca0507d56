"""Peak memory of a process; standard library only."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

__all__ = ["peak_mb"]


def peak_mb() -> float:
    """Largest resident memory of this process so far, in MB of 10^6 bytes.

    Linux's own record, because `ru_maxrss` of a new process begins at the size of the one that started it.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) * 1024 / 1e6
