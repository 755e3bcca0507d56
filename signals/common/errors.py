"""Exceptions and their exit codes on the command line."""

from __future__ import annotations

__all__ = ["CheckFailedError", "InputError", "LockedError", "LookAheadError", "RnnStrategiesError", "ServiceError"]


class RnnStrategiesError(Exception):
    """Base class of the errors raised by this project; the message is one line: expected, found, what to do."""

    exit_code = 1


class CheckFailedError(RnnStrategiesError):
    """A check of the project's own output failed (exit code 1)."""

    exit_code = 1


class InputError(RnnStrategiesError, ValueError):
    """The user has to correct a file, a setting or the machine, such as a full disk (exit code 2)."""

    exit_code = 2


class LookAheadError(InputError):
    """A user's own feature, model or score uses data that were not known yet (exit code 2)."""


class ServiceError(RnnStrategiesError):
    """An outside service failed (exit code 3)."""

    exit_code = 3


class LockedError(RnnStrategiesError):
    """Another process holds the lock of a run folder, a cache or the trial ledger (exit code 4)."""

    exit_code = 4
