"""Check of look-ahead: results up to a day must not change when later inputs are replaced or removed."""

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

# A custom feature is noted as unchanged when at least this many of its values after the day are known in both runs and
# more than this fraction of them is equal. (Some values of a feature without price inputs can change too, because a
# ticker that was removed keeps the value of an earlier bar.)
MIN_VALUES, MAX_UNCHANGED = 20, 0.9


def days_to_try(observed: Observed, inputs: Inputs, n_random: int, seed: int) -> list[np.datetime64]:
    """Select days on which look-ahead is likely to show, and some at random.

    Parameters
    ----------
    observed : Observed
        Results of the run.
    inputs : Inputs
        Inputs of the run.
    n_random : int
        Number of days selected at random among the sessions from the first score on.
    seed : int
        Seed of the random selection.

    Returns
    -------
    list of datetime64[D]
        Ascending: the day before a later fold, where training data end and scores begin; a decision date; with macro
        series the session with the shortest time from its close to a release; the random days.
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
        # only releases after the close of a decision date can matter
        decides = np.isin(np.arange(begin, late + 1), data.decisions)
        soon = np.where(decides, soon, np.iinfo(np.int64).max)
        chosen.add(begin + int(np.argmin(soon)))
    return [sessions[i] for i in sorted(chosen)]


def dates_to_rehearse(observed: Observed, n_random: int, seed: int) -> list[np.datetime64]:
    """Select decision dates for experiments without training: the middle of every fold, the last date, random ones.

    Returns
    -------
    list of datetime64[D]
        Ascending; `4 * n_random` of them are random.
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
    """Replace and remove all inputs after each day, and compare every stage of the run up to that day.

    Parameters
    ----------
    observed : Observed
        Results of the run.
    inputs : Inputs
        Inputs of the run.
    observe : callable
        Computes a run from other inputs.
    prepare : callable
        Computes the stages before training from other inputs.
    days : sequence of datetime64[D]
        Days after which inputs are replaced, and removed, for the whole run.
    rehearsed : sequence of datetime64[D]
        Days after which they are replaced for universe, features, labels and folds only, which takes much less time.
    seed : int
        Seed of the random replacements; 0 by default.

    Returns
    -------
    Verdict
        Failed with the first stage, column, date and ticker that changed. Noted when only rounding changed, when an
        experiment was not possible, and when a custom feature did not change although prices did.
    """
    evidence: list[tuple[str, str]] = []
    noted: list[str] = []
    unchanged = {name: (0, 0) for name in observed.prepared.data.features.names if ":" in name}
    experiments = [(day, name, True) for day in days for name in ("replaced", "removed")]
    experiments += [(day, "replaced", False) for day in rehearsed if day not in days]
    same = 0
    for day, name, whole in experiments:
        label = f"{day}, future {name}"
        try:
            other_inputs = poisoned(inputs, day, seed=seed) if name == "replaced" else cut(inputs, day)
            if whole:
                run = observe(other_inputs)
                other, difference = run.prepared, first_difference(observed, run, day)
            else:
                other = prepare(other_inputs)
                difference = first_prepared_difference(observed.prepared, other, day)
        except LookAheadError as error:
            return _failed(str(error), [*evidence, (label, "rejected")])
        except InputError as error:
            noted.append(f"the experiment of {label} was not possible ({error})")
            continue
        if difference is not None and not difference.rounding:
            return _failed(
                f"The run looks ahead. With the inputs after {day} {name}, the first to change was {difference}.",
                [*evidence, (label, str(difference))],
            )
        if difference is not None:
            noted.append(
                f"rounding depends on later inputs ({difference}), so networks can be retrained without need when data "
                "are added"
            )
        if name == "replaced":
            _count_unchanged(unchanged, observed.prepared, other, day)
        if whole:
            evidence.append((label, _equality(run, difference is not None)))
        else:
            same += 1
    if same:
        evidence.append((f"{same} more decision dates, future replaced", "the same to the bit up to the folds"))
    noted += [
        f"the feature {name!r} did not change where prices were replaced: it does not use prices, or caches values of "
        "earlier calls, which would hide look-ahead"
        for name, (same_values, values) in unchanged.items()
        if values >= MIN_VALUES and same_values > MAX_UNCHANGED * values
    ]
    unproved = _unproved(inputs)
    if noted:
        finding = f"No look-ahead was found, but {'; '.join(dict.fromkeys(noted))}."
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
        "Only these days were tested, each with one replacement of later inputs.",
        "Data that custom code reads by itself (a file, a clock, the network), or stores between calls, were not "
        "replaced.",
    ]
    reference_data = inputs.reference_data
    if reference_data.membership is not None:
        lines.append("That the dates of the membership file are those on which the changes were known.")
    if reference_data.sectors is not None and not reference_data.sectors.point_in_time:
        lines.append("The sector file has no dates: whether sectors were known at the time cannot be tested.")
    if reference_data.macro is not None:
        lines.append("That macro figures were published at `available_at`, or after features.macro.publication_lag.")
    return lines


def _count_unchanged(unchanged: dict[str, tuple[int, int]], one: Prepared, two: Prepared, day: np.datetime64) -> None:
    """Add up, for each custom feature, the values after a day that are equal in both runs, and all known values."""
    if not unchanged:
        return
    both = (one.data, two.data)
    columns = [{ticker: row for row, ticker in enumerate(data.panel.tickers)} for data in both]
    names = [ticker for ticker in one.data.panel.tickers if ticker in columns[1]]
    rows = [np.array([place[name] for name in names], dtype=np.intp) for place in columns]
    dates = np.intersect1d(one.data.dates[one.data.dates > day], two.data.dates)
    places = [np.searchsorted(data.dates, dates) for data in both]
    for f, name in enumerate(one.data.features.names):
        if name not in unchanged:
            continue
        a, b = (
            data.features.values[np.ix_(row, place)][:, :, f]
            for data, row, place in zip(both, rows, places, strict=True)
        )
        known = np.isfinite(a) & np.isfinite(b)
        same, values = unchanged[name]
        unchanged[name] = same + int((a == b)[known].sum()), values + int(known.sum())


def _failed(finding: str, evidence: Sequence[tuple[str, str]]) -> Verdict:
    return Verdict("look-ahead", Status.FAILED, finding, evidence)


def _equality(other: Observed, rounding: bool) -> str:
    networks = f"{other.signals.trained} models trained, {other.signals.reused} reused"
    return f"the same except for rounding ({networks})" if rounding else f"the same to the bit ({networks})"
