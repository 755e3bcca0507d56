"""A task after which its process holds more memory, as after a larger fold than the first."""

from __future__ import annotations

import os
import time

HELD: list[bytearray] = []


def hoard(tasks, *, single_thread):
    """Keep 400 MB from the second task on; give the process and the task."""
    time.sleep(1.1)  # loky looks at the memory of a process once a second
    if sum(map(len, HELD)) < 4e8:
        HELD.append(bytearray(b"x") * (400_000_000 if HELD else 1))
    return [(os.getpid(), task) for task in tasks]
