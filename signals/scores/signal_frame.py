"""The signal frame: scores by date and ticker, and its checks."""

from __future__ import annotations

import numpy as np
import pandas as pd

from signals.common.errors import InputError

__all__ = ["SIGNAL_COLUMNS", "check_signals", "signal_frame"]

SIGNAL_COLUMNS = ("score", "score_std", "fold", "trained_until")


def signal_frame(
    dates: np.ndarray,
    tickers: np.ndarray,
    *,
    score: np.ndarray,
    score_std: np.ndarray,
    fold: np.ndarray,
    trained_until: np.ndarray,
) -> pd.DataFrame:
    """Build a checked signal frame from arrays of equal length, sorted by (date, ticker)."""
    index = pd.MultiIndex.from_arrays(
        [np.asarray(dates, "datetime64[ns]"), pd.Index(tickers, dtype="str")], names=["date", "ticker"]
    )
    frame = pd.DataFrame(
        {
            "score": np.asarray(score, np.float64),
            "score_std": np.asarray(score_std, np.float64),
            "fold": np.asarray(fold, np.int32),
            "trained_until": np.asarray(trained_until, "datetime64[ns]"),
        },
        index=index,
    )
    return check_signals(frame.sort_index())


def check_signals(frame: pd.DataFrame) -> pd.DataFrame:
    """Check a signal frame.

    Parameters
    ----------
    frame : DataFrame indexed by (date, ticker)
        Columns `score`, `score_std`, `fold` (int32), `trained_until`. Scores are out of sample: `trained_until` never
        lies after `date`.

    Returns
    -------
    DataFrame
        The same frame.

    Raises
    ------
    InputError
        Naming the first row that is not valid.
    """
    if list(frame.index.names) != ["date", "ticker"]:
        raise InputError(f"expected signals indexed by date, ticker; found {list(frame.index.names)}")
    missing = [name for name in SIGNAL_COLUMNS if name not in frame.columns]
    if missing:
        raise InputError(f"expected signal columns {', '.join(SIGNAL_COLUMNS)}; missing {', '.join(missing)}")
    if not len(frame):
        raise InputError("expected at least one signal; found none; give more history or relax the universe filters")
    if not frame.index.is_unique:
        raise InputError(
            f"expected one signal per date and ticker; found two for {_name(frame.index[frame.index.duplicated()][0])}"
        )
    if not frame.index.is_monotonic_increasing:
        raise InputError("expected signals sorted by date, ticker; found them unsorted; call sort_index()")
    bad = ~np.isfinite(frame["score"].to_numpy())
    if bad.any():
        raise InputError(
            f"expected finite scores; found {int(bad.sum())} others, the first for {_name(frame.index[bad][0])}"
        )
    late = frame["trained_until"].to_numpy() > frame.index.get_level_values("date").to_numpy()
    if late.any():
        raise InputError(
            f"expected out-of-sample scores, trained_until not after date; found {int(late.sum())} of models trained "
            f"on later prices, the first for {_name(frame.index[late][0])}"
        )
    return frame


def _name(row: tuple[pd.Timestamp, str]) -> str:
    return f"{row[1]} on {row[0]:%Y-%m-%d}"
