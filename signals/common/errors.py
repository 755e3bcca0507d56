"""What can go wrong, by who can mend it. The command line turns each class into an exit code."""

from __future__ import annotations

__all__ = ["CheckFailedError", "InputError", "LockedError", "LookAheadError", "RnnStrategiesError", "ServiceError"]


class RnnStrategiesError(Exception):
    """Base of every error raised on purpose; its text is one line: expected, found, what to do."""

    exit_code = 1


class CheckFailedError(RnnStrategiesError):
    """A promise the project makes about its own output does not hold (exit code 1)."""

    exit_code = 1


class InputError(RnnStrategiesError, ValueError):
    """A file, a setting or the machine (a full disk) has to be mended by the user (exit code 2)."""

    exit_code = 2


class LookAheadError(InputError):
    """Something of the user's own uses what was not known yet."""


class ServiceError(RnnStrategiesError):
    """An outside service failed (exit code 3)."""

    exit_code = 3


class LockedError(RnnStrategiesError):
    """Another process holds what is needed, or trading is halted (exit code 4)."""

    exit_code = 4
