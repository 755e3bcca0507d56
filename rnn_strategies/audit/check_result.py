"""Result of a check of the audit: status, finding and evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["Status", "Verdict"]


class Status(StrEnum):
    """Status of a check."""

    PASSED = "passed"
    FAILED = "failed"
    NOTED = "noted"
    """The result is not wrong, but has a limitation that its reader needs to know."""
    SKIPPED = "skipped"
    """The check does not apply, or its inputs are missing; the finding gives the reason."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Result of one check.

    Parameters
    ----------
    check : str
        Name of the check, as in `--only` and `--skip`.
    status : Status
        Status of the check.
    finding : str
        The finding in one sentence, with the tickers and dates concerned, and the remedy.
    evidence : sequence of (str, str)
        Names and values of the measurements, those that determine the status first.
    table : sequence of dict of str to str
        Tabular evidence: one dict per row, equal keys.
    unproved : sequence of str
        Assumptions that this check cannot test, one sentence each.
    """

    check: str
    status: Status
    finding: str
    evidence: Sequence[tuple[str, str]] = ()
    table: Sequence[dict[str, str]] = field(default=())
    unproved: Sequence[str] = ()
