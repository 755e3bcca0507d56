"""Job of every engine, and its timing; it needs numpy only, because it runs in the environment of each peer.

Decide at the close of the last session of each week: the `PLACES` highest scores get `INVESTED / PLACES` of the
account each, everything else is sold. Trade at the next open, in whole shares, with commission and slippage. Where an
engine cannot do that, its module says what it does instead.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

__all__ = ["CASH", "COMMISSION", "INVESTED", "PLACES", "SLIPPAGE", "chosen", "do", "imported", "stamps"]

PLACES = 50
# Fraction of the account; the rest is a buffer, because the open differs from the close that orders are sized at.
INVESTED = 0.98
CASH = 1e8
COMMISSION = 0.001
SLIPPAGE = 0.0005

# A first run of this many seconds is measured alone: compilation and imports are a small part of it.
LONG = 60.0


def chosen(scores: np.ndarray, places: int = PLACES) -> np.ndarray:
    """Columns of the highest scores, shape (n_decisions, places)."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :places]


def stamps(days: np.ndarray) -> np.ndarray:
    """Sessions as nanoseconds, as pandas requires."""
    return days.astype("datetime64[ns]")


def do(
    version: str,
    prepare: Callable[[Mapping[str, np.ndarray]], Any],
    trade: Callable[[Any], tuple[float, Mapping[str, np.ndarray]]],
    began: float,
) -> None:
    """Prepare, trade cold, trade warm, write the fills and print one JSON object; paths come from the command line.

    Parameters
    ----------
    version : str
        Of the engine.
    prepare : callable
        The market's arrays into what the engine reads; not part of `warm_s`.
    trade : callable
        What `prepare` gave into final value and fills: `session`, `ticker` (positions in the panel), `shares`
        (negative when sold), `price`, `commission`.
    began : float
        CPU seconds of this process before the engine was imported.
    """
    from memory import peak_mb  # in the folder of this script; not needed where only constants are imported

    source, target = sys.argv[1:3]
    with np.load(source) as arrays:
        market = {name: arrays[name] for name in arrays.files}
    loaded = time.process_time()
    prepared = prepare(market)
    ready = time.process_time()
    value, fills = trade(prepared)
    first = time.process_time() - ready
    memory = peak_mb()
    warm = first
    if first < LONG:
        again = time.process_time()
        value, fills = trade(prepared)
        warm = time.process_time() - again
    np.savez(target, **fills)
    answer = {
        "version": version,
        "cold_s": began + first,
        "prepare_s": ready - loaded,
        "warm_s": warm,
        "mb": memory,
        "value": value,
        "fills": len(fills["shares"]),
    }
    print(json.dumps(answer))


def imported() -> float:
    """CPU seconds of this process so far, for `began`: what starting Python and importing the engine took."""
    return time.process_time()
