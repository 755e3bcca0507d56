"""What a check of the audit says: passed or not, in one sentence, with its evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["Status", "Verdict"]


class Status(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    NOTED = "noted"
    """Nothing is broken, but a reader must know it."""
    SKIPPED = "skipped"
    """The check does not apply, or what it needs is not there; the finding says why."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of one check.

    Parameters
    ----------
    check : str
        Its name, as in `--only` and `--skip`.
    status : Status
        How it ended.
    finding : str
        One sentence: what was found, with the names and dates that matter, and what to do about it.
    evidence : sequence of (str, str)
        What was measured, by name; the first lines are the ones that decide.
    table : sequence of dict of str to str
        More evidence where it is tabular: one dict per row, equal keys.
    unproved : sequence of str
        What this check cannot prove, one sentence each.
    """

    check: str
    status: Status
    finding: str
    evidence: Sequence[tuple[str, str]] = ()
    table: Sequence[dict[str, str]] = field(default=())
    unproved: Sequence[str] = ()
