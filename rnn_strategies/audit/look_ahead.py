"""Proof by experiment: with another future, or none, nothing up to a day may change by a bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from rnn_strategies.audit.check_result import Status, Verdict
from rnn_strategies.audit.perturbed_inputs import Inputs, cut, poisoned
from rnn_strategies.audit.snapshots import Observed, first_difference, first_prepared_difference
from signals.calendar import session_closes
from signals.common.errors import InputError, LookAheadError
from signals.walk_forward.panel_walk_forward import Prepared

__all__ = ["dates_to_rehearse", "days_to_try", "look_ahead"]

Observe = Callable[[Inputs], Observed]
Prepare = Callable[[Inputs], Prepared]

# Values behind a day that have to be there before it means anything that nearly none of them moved; some may even move
# in a feature that never looked, because a ticker that is gone shows the value of an earlier bar.
ENOUGH, MOST = 20, 0.9


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
    if inputs.reference_data.macro is not None:
        closes = session_closes(sessions[begin : late + 1], inputs.prices.calendar)
        released = np.sort(inputs.reference_data.macro.observations["available_at"].to_numpy().astype("datetime64[ns]"))
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


def dates_to_rehearse(observed: Observed, n_random: int, seed: int) -> list[np.datetime64]:
    """Choose decision dates for experiments that stop before training: the middle of every fold, the last, and more.

    Returns
    -------
    list of datetime64[D]
        Ascending; `4 * n_random` of them at random.
    """
    data = observed.prepared.data
    late = len(data.panel.dates) - 2
    tested = [[k for k in fold.fold.test if data.decisions[k] <= late] for fold in observed.prepared.folds]
    every = [k for dates in tested for k in dates]
    if not every:
        return []
    rng = np.random.default_rng([seed, 1])
    chosen = {dates[len(dates) // 2] for dates in tested if dates} | {every[-1]}
    chosen |= set(rng.choice(every, min(4 * n_random, len(every)), replace=False).tolist())
    return [data.dates[k] for k in sorted(chosen)]


def look_ahead(
    observed: Observed,
    inputs: Inputs,
    observe: Observe,
    prepare: Prepare,
    days: Sequence[np.datetime64],
    rehearsed: Sequence[np.datetime64] = (),
    *,
    seed: int = 0,
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
    prepare : callable
        Computes what is there before training.
    days : sequence of datetime64[D]
        Where the future is replaced, and removed, for the whole run.
    rehearsed : sequence of datetime64[D]
        Where it is replaced for universe, features, labels and folds only, which costs much less.
    seed : int
        Of the other future.

    Returns
    -------
    Verdict
        Failed with the first stage, column, date and ticker that moved. Noted when only rounding moved, when an
        experiment could not be done, and when a feature of one's own did not move where prices did.
    """
    evidence: list[tuple[str, str]] = []
    noted: list[str] = []
    unmoved = {name: (0, 0) for name in observed.prepared.data.features.names if ":" in name}
    experiments = [(day, name, True) for day in days for name in ("replaced", "removed")]
    experiments += [(day, "replaced", False) for day in rehearsed if day not in days]
    same = 0
    for day, name, whole in experiments:
        label = f"{day}, future {name}"
        try:
            other_inputs = poisoned(inputs, day, seed=seed) if name == "replaced" else cut(inputs, day)
            if whole:
                run = observe(other_inputs)
                other, found = run.prepared, first_difference(observed, run, day)
            else:
                other = prepare(other_inputs)
                found = first_prepared_difference(observed.prepared, other, day)
        except LookAheadError as error:
            return _failed(str(error), [*evidence, (label, "refused")])
        except InputError as error:
            noted.append(f"the experiment of {label} could not be done ({error})")
            continue
        if found is not None and not found.rounding:
            return _failed(
                f"Something looks ahead. With the inputs after {day} {name}, the first to change was {found}.",
                [*evidence, (label, str(found))],
            )
        if found is not None:
            noted.append(f"rounding depends on later inputs ({found}), so that networks may train anew for nothing")
        if name == "replaced":
            _count_unmoved(unmoved, observed.prepared, other, day)
        if whole:
            evidence.append((label, _same(run, found is not None)))
        else:
            same += 1
    if same:
        evidence.append((f"{same} more decision dates, future replaced", "the same to the bit up to the folds"))
    noted += [
        f"the feature {name!r} did not move where prices were replaced: it does not look at them, or remembers earlier "
        "calls, which would hide a look ahead"
        for name, (same_values, values) in unmoved.items()
        if values >= ENOUGH and same_values > MOST * values
    ]
    unproved = _unproved(inputs)
    if noted:
        finding = f"Nothing that looks ahead was found, but {'; '.join(dict.fromkeys(noted))}."
        return Verdict("look-ahead", Status.NOTED, finding, evidence, unproved=unproved)
    return Verdict(
        "look-ahead",
        Status.PASSED,
        f"Universe, features, labels, folds, scores, orders and account up to {len(days)} days are bit-identical when "
        "all later inputs are replaced, and when they are removed.",
        evidence,
        unproved=unproved,
    )


def _unproved(inputs: Inputs) -> list[str]:
    lines = [
        "These days, not all days, were tried, with one other future each.",
        "What a program reads by itself (a file, a clock, the network), or remembers between calls, is not among the "
        "inputs that were replaced.",
    ]
    reference_data = inputs.reference_data
    if reference_data.membership is not None:
        lines.append("That the dates of the membership file are those on which the changes were known.")
    if reference_data.sectors is not None and not reference_data.sectors.point_in_time:
        lines.append("The sector file has no dates: whether sectors were known then cannot be tried.")
    if reference_data.macro is not None:
        lines.append("That macro figures were published when `available_at` or the release lag says.")
    return lines


def _count_unmoved(unmoved: dict[str, tuple[int, int]], one: Prepared, two: Prepared, day: np.datetime64) -> None:
    """Add up, by feature of one's own, values behind a day that another future left as they were, and all of them."""
    if not unmoved:
        return
    both = (one.data, two.data)
    columns = [{ticker: row for row, ticker in enumerate(data.panel.tickers)} for data in both]
    names = [ticker for ticker in one.data.panel.tickers if ticker in columns[1]]
    rows = [np.array([place[name] for name in names], dtype=np.intp) for place in columns]
    dates = np.intersect1d(one.data.dates[one.data.dates > day], two.data.dates)
    places = [np.searchsorted(data.dates, dates) for data in both]
    for f, name in enumerate(one.data.features.names):
        if name not in unmoved:
            continue
        a, b = (
            data.features.values[np.ix_(row, place)][:, :, f]
            for data, row, place in zip(both, rows, places, strict=True)
        )
        known = np.isfinite(a) & np.isfinite(b)
        same, values = unmoved[name]
        unmoved[name] = same + int((a == b)[known].sum()), values + int(known.sum())


def _failed(finding: str, evidence: Sequence[tuple[str, str]]) -> Verdict:
    return Verdict("look-ahead", Status.FAILED, finding, evidence)


def _same(other: Observed, rounding: bool) -> str:
    networks = f"{other.signals.trained} models trained, {other.signals.reused} reused"
    return f"the same but for rounding ({networks})" if rounding else f"the same to the bit ({networks})"
