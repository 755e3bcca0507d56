"""`rnn-strategies audit`: every check over one configuration or run, a verdict each, and what cannot be proved."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from rnn_strategies.audit.dead_names import dead_names
from rnn_strategies.audit.explained import explained
from rnn_strategies.audit.futures import Inputs
from rnn_strategies.audit.look_ahead import days_to_try, look_ahead
from rnn_strategies.audit.promises import adjustments, folds
from rnn_strategies.audit.sensitivity import sensitivity
from rnn_strategies.audit.stages import observe, settings_of
from rnn_strategies.audit.survivorship import survivorship
from rnn_strategies.audit.verdict import Status, Verdict
from rnn_strategies.audit.warm_up import warm_up
from rnn_strategies.beside import read_beside
from rnn_strategies.pipeline import Run, open_run
from signals.errors import InputError, LookAheadError
from signals.events import Event, Listener, silent
from signals.prices import Prices
from signals.storage import write_json
from signals.walk_forward import prepare

__all__ = ["CHECKS", "Audit", "audit_run"]

CHECKS = (
    "folds",
    "adjustments",
    "look-ahead",
    "warm-up",
    "dead-names",
    "explained",
    "survivorship",
    "sensitivity",
)

ALWAYS_UNPROVED = (
    "That the prices are what was printed on the day: nobody here saw the tape.",
    "That nobody looked at the test years before choosing this configuration: the trial ledger counts only its own "
    "runs.",
)


@dataclass(frozen=True, slots=True)
class Audit:
    """All verdicts about one run.

    Parameters
    ----------
    name : str
        What was audited.
    verdicts : tuple of Verdict
        In the order of `CHECKS`.
    """

    name: str
    verdicts: tuple[Verdict, ...]

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return all(verdict.status is not Status.FAILED for verdict in self.verdicts)

    @property
    def unproved(self) -> tuple[str, ...]:
        """What none of the checks can prove."""
        return (*(line for verdict in self.verdicts for line in verdict.unproved), *ALWAYS_UNPROVED)

    def verdict(self, check: str) -> Verdict:
        """Give the verdict of one check.

        Raises
        ------
        InputError
            When it was not done.
        """
        for verdict in self.verdicts:
            if verdict.check == check:
                return verdict
        raise InputError(f"expected one of the checks that were done; found {check!r}")

    def text(self) -> str:
        """Everything in words, for a terminal."""
        lines = [f"audit of {self.name}", ""]
        for verdict in self.verdicts:
            lines.append(f"{verdict.status.upper():<8} {verdict.check}: {verdict.finding}")
            lines += [f"           {name}: {value}" for name, value in verdict.evidence]
            lines += [f"           {line}" for line in _columns(verdict.table)]
        lines += ["", "cannot be proved:", *(f"  - {line}" for line in self.unproved)]
        failed = [verdict.check for verdict in self.verdicts if verdict.status is Status.FAILED]
        noted = sum(verdict.status is Status.NOTED for verdict in self.verdicts)
        conclusion = f"FAILED: {', '.join(failed)}" if failed else "nothing failed"
        return "\n".join([*lines, "", f"{conclusion}; {noted} noted, {len(self.verdicts)} checks"])

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        write_json(path, {"name": self.name, "verdicts": [asdict(v) for v in self.verdicts], "unproved": self.unproved})


def audit_run(
    target: Path | str | Run,
    *,
    overrides: Sequence[str] = (),
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    days: int = 3,
    jobs: int | None = None,
    listener: Listener = silent,
) -> Audit:
    """Audit a configuration or a run.

    Parameters
    ----------
    target : Path, str or Run
        A configuration file, a run folder, or an opened run. Nothing in a run folder is changed.
    overrides : sequence of str
        `"table.key=value"` settings on top of a file.
    only, skip : sequence of str
        Names of checks to do, or to leave out.
    days : int
        Random days after which the future is replaced, beside those where leaks like to show.
    jobs : int, optional
        Training processes.
    listener : callable
        Told of progress.

    Returns
    -------
    Audit

    Raises
    ------
    InputError
        For an unknown check, or a target that cannot be computed at all.
    """
    for check in (*only, *skip):
        if check not in CHECKS:
            raise InputError(f"expected checks among {', '.join(CHECKS)}; found {check!r}")
    if days < 0:
        raise InputError(f"expected a number of days of at least 0; found {days}")
    wanted = [check for check in CHECKS if (not only or check in only) and check not in skip]
    run = target if isinstance(target, Run) else open_run(target, overrides=overrides, jobs=jobs, listener=listener)
    config = run.config
    settings = settings_of(config)
    inputs = Inputs(run.prices, read_beside(config.beside), _benchmark(run))
    compute = partial(observe, config, artifacts=run.home.artifacts, jobs=run.jobs)
    listener(Event("audit", "computing the run as it is"))
    try:
        observed = compute(inputs, listener=listener)
    except LookAheadError as error:
        refused = Verdict("look-ahead", Status.FAILED, str(error))
        rest = [
            Verdict(check, Status.SKIPPED, "The run cannot be computed while something looks ahead.")
            for check in wanted
            if check != "look-ahead"
        ]
        return Audit(config.name, (refused, *rest))
    seed = int(config.hash[:8], 16)
    checks: dict[str, Callable[[], Verdict]] = {
        "folds": lambda: folds(observed.prepared),
        "adjustments": lambda: adjustments(
            observed.prepared, inputs, lambda prices: prepare(prices, beside=inputs.beside, **settings), seed=seed
        ),
        "look-ahead": lambda: look_ahead(
            observed, inputs, compute, days_to_try(observed, inputs, days, seed), seed=seed
        ),
        "warm-up": lambda: warm_up(config, observed, inputs, artifacts=run.home.artifacts),
        "dead-names": lambda: dead_names(inputs.prices, data=observed.prepared.data, signals=observed.signals.signals),
        "explained": lambda: explained(
            observed.signals.signals,
            observed.signals.labels,
            observed.prepared.data,
            lookback=observed.prepared.lookback,
            folds=observed.signals.folds,
        ),
        "survivorship": lambda: survivorship(
            inputs.prices,
            universe_sizes=observed.signals.universe_sizes,
            filters=config.universe,
            membership=inputs.beside.membership,
            sectors=inputs.beside.sectors,
            signals=observed.signals.signals,
        ),
        "sensitivity": lambda: sensitivity(
            config,
            observed,
            inputs,
            artifacts=run.home.artifacts,
            jobs=run.jobs,
            record=run.record_variant,
            listener=listener,
        ),
    }
    verdicts = []
    for number, check in enumerate(wanted, start=1):
        listener(Event("audit", check, number, len(wanted)))
        began = time.perf_counter()
        verdicts.append(checks[check]())
        listener(Event("audit", f"{check} {verdicts[-1].status} after {time.perf_counter() - began:.0f} s"))
    return Audit(config.name, tuple(verdicts))


def _benchmark(run: Run) -> Prices | None:
    """Prices of a benchmark that has a source of its own."""
    if run.config.benchmark.get("ticker") is None or run.benchmark is run.prices:
        return None
    return run.benchmark


def _columns(table: Sequence[dict[str, str]]) -> list[str]:
    """Lines of a table, its columns under their names."""
    if not table:
        return []
    names = list(table[0])
    rows = [names, *([str(row.get(name, "")) for name in names] for row in table)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(names))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
