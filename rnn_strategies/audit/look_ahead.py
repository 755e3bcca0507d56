"""Proof by experiment: with another future, or none, nothing up to a day may change by a bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from rnn_strategies.audit.futures import Inputs, cut, poisoned
from rnn_strategies.audit.stages import Observed, first_difference
from rnn_strategies.audit.verdict import Status, Verdict
from signals.calendar import session_closes
from signals.errors import InputError, LookAheadError

__all__ = ["days_to_try", "look_ahead"]

Observe = Callable[[Inputs], Observed]


def days_to_try(observed: Observed, inputs: Inputs, n_random: int, seed: int) -> list[np.datetime64]:
    """Choose days that a leak is likely to show on, and some at random.

    Parameters
    ----------
    observed : Observed
        The run as it is.
    inputs : Inputs
        What it was computed from.
    n_random : int
        Days drawn at random among the sessions from the first score on.
    seed : int
        Of the draw.

    Returns
    -------
    list of datetime64[D]
        Ascending: the eve of a later fold, where learning and scoring meet; a decision date; with macro series the
        session whose close comes shortest before a release; the random ones.
    """
    data, folds = observed.prepared.data, observed.prepared.folds
    sessions = data.panel.dates
    begin = int(np.searchsorted(sessions, data.dates[folds[0].fold.test.start]))
    late = max(len(sessions) - 2, begin)
    rng = np.random.default_rng(seed)
    chosen = set(rng.integers(begin, late + 1, n_random).tolist())
    if len(folds) > 1:
        edge = folds[len(folds) // 2].fold.test.start
        chosen.add(max(int(data.decisions[edge]) - 1, begin))
    tested = [k for fold in folds for k in fold.fold.test if data.decisions[k] <= late]
    if tested:
        chosen.add(int(data.decisions[tested[len(tested) // 3]]))
    if inputs.beside.macro is not None:
        closes = session_closes(sessions[begin : late + 1], inputs.prices.calendar)
        released = np.sort(inputs.beside.macro.observations["available_at"].to_numpy().astype("datetime64[ns]"))
        after = np.searchsorted(released, closes, side="right")
        wait = np.where(
            after < len(released), released[np.minimum(after, len(released) - 1)] - closes, closes[0] - closes[0]
        )
        soon = np.where(after < len(released), wait.astype(np.int64), np.iinfo(np.int64).max)
        # a release counts only on a date that decides something
        decides = np.isin(np.arange(begin, late + 1), data.decisions)
        soon = np.where(decides, soon, np.iinfo(np.int64).max)
        chosen.add(begin + int(np.argmin(soon)))
    return [sessions[i] for i in sorted(chosen)]


def look_ahead(
    observed: Observed, inputs: Inputs, observe: Observe, days: Sequence[np.datetime64], *, seed: int = 0
) -> Verdict:
    """Poison, then cut, everything after each day, and compare every stage up to it.

    Parameters
    ----------
    observed : Observed
        The run as it is.
    inputs : Inputs
        What it was computed from.
    observe : callable
        Computes a run from other inputs.
    days : sequence of datetime64[D]
        Where the future is replaced.
    seed : int
        Of the other future.

    Returns
    -------
    Verdict
        Failed with the first stage, column, date and ticker that moved.
    """
    evidence: list[tuple[str, str]] = []
    rounding = None
    for day in days:
        for name in ("replaced", "removed"):
            try:
                other = observe(poisoned(inputs, day, seed=seed) if name == "replaced" else cut(inputs, day))
            except LookAheadError as error:
                return _failed(f"{error}", [*evidence, (f"{day}, future {name}", "refused")])
            except InputError as error:
                return _failed(
                    f"With the future after {day} {name} the run no longer computes, which only something that looks "
                    f"ahead can notice: {error}",
                    [*evidence, (f"{day}, future {name}", "an error")],
                )
            found = first_difference(observed, other, day)
            if found is not None and not found.rounding:
                return _failed(
                    f"Something looks ahead. With the inputs after {day} {name}, the first to change was {found}.",
                    [*evidence, (f"{day}, future {name}", str(found))],
                )
            rounding = rounding or found
            evidence.append((f"{day}, future {name}", _same(other, found is not None)))
    unproved = [
        "These days, not all days, were tried, with one other future each.",
        "What a program reads by itself (a file, a clock, the network) is not among the inputs that were replaced.",
    ]
    if inputs.beside.sectors is not None and not inputs.beside.sectors.point_in_time:
        unproved.append("The sector file has no dates: whether sectors were known then cannot be tried.")
    if rounding is not None:
        return Verdict(
            "look-ahead",
            Status.NOTED,
            f"Only rounding depends on later inputs ({rounding}): no look-ahead, but networks may train anew for "
            "nothing.",
            evidence,
            unproved=unproved,
        )
    return Verdict(
        "look-ahead",
        Status.PASSED,
        f"Universe, features, labels, folds, scores, orders and account up to {len(days)} days are bit-identical when "
        "all later inputs are replaced, and when they are removed.",
        evidence,
        unproved=unproved,
    )


def _failed(finding: str, evidence: Sequence[tuple[str, str]]) -> Verdict:
    return Verdict("look-ahead", Status.FAILED, finding, evidence)


def _same(other: Observed, rounding: bool) -> str:
    networks = f"{other.signals.trained} models trained, {other.signals.reused} reused"
    return f"the same but for rounding ({networks})" if rounding else f"the same to the bit ({networks})"
