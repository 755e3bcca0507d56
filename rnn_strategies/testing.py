"""A pytest fixture for projects of one's own: the audit as a test.

In a `conftest.py`::

    pytest_plugins = ["rnn_strategies.testing"]

and in a test::

    def test_nothing_looks_ahead(audited):
        audited("my.toml", only=["folds", "look-ahead"])
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rnn_strategies.audit.audit import Audit, audit_run

__all__ = ["audited"]


@pytest.fixture
def audited() -> Callable[..., Audit]:
    """Give a function that audits a configuration or a run, and fails the test when a check fails.

    It takes the arguments of `rnn_strategies.audit_run` and returns the verdicts.
    """

    def run(target: Any, **options: Any) -> Audit:
        found = audit_run(target, **options)
        if not found.passed:
            pytest.fail(found.text(), pytrace=False)
        return found

    return run
