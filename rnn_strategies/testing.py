"""Pytest fixture for user projects that runs the audit as a test.

In a `conftest.py`::

    pytest_plugins = ["rnn_strategies.testing"]

and in a test::

    def test_nothing_looks_ahead(audit_run):
        audit_run("my.toml", only=["fold-checks", "look-ahead"])
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rnn_strategies.audit.audit import Audit
from rnn_strategies.audit.audit import audit_run as audit

__all__ = ["audit_run"]


@pytest.fixture
def audit_run() -> Callable[..., Audit]:
    """Return a function that audits a configuration or a run, and fails the test when a check fails.

    It takes the arguments of `rnn_strategies.audit_run` and returns the verdicts.
    """

    def run(target: Any, **options: Any) -> Audit:
        result = audit(target, **options)
        if not result.passed:
            pytest.fail(result.text(), pytrace=False)
        return result

    return run
