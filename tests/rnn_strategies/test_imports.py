"""Imports at run time: which modules load heavy libraries, which import contracts cannot see."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import backtests
import reports
import rnn_strategies
import signals

HEAVY = {
    "pandas",
    "numpy",
    "keras",
    "tensorflow",
    "jax",
    "torch",
    "backtrader",
    "matplotlib",
    "pyfolio",
    "pydantic",
    "rich",
}


def loaded(code: str) -> set[str]:
    """Top-level modules a fresh interpreter holds after running some code."""
    program = f"{code}\nimport sys, json; print(json.dumps(sorted({{m.split('.')[0] for m in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("package", ["signals", "backtests", "reports", "rnn_strategies"])
def test_package_imports_no_heavy_library_before_use(package):
    assert loaded(f"import {package}") & HEAVY == set()


@pytest.mark.parametrize(
    ("code", "never"),
    [
        (
            "import signals; [getattr(signals, n) for n in signals.__all__]",
            {"backtrader", "matplotlib", "pyfolio", "keras"},
        ),
        ("import backtests; [getattr(backtests, n) for n in backtests.__all__]", {"keras", "tensorflow", "matplotlib"}),
        ("import reports; [getattr(reports, n) for n in reports.__all__]", {"backtrader", "keras", "tensorflow"}),
        ("import rnn_strategies.pipelines.panel_run", {"keras", "tensorflow", "matplotlib", "pyfolio"}),
    ],
)
def test_a_room_never_loads_what_it_must_not_know(code, never):
    assert loaded(code) & never == set()


def test_help_loads_nothing_heavy():
    code = "import sys; sys.argv = ['', '--help']\nfrom rnn_strategies.cli import app\napp(standalone_mode=False)"
    assert loaded(code) & HEAVY == set()


@pytest.mark.parametrize("package", [rnn_strategies, signals, backtests, reports])
def test_every_public_name_exists_and_is_listed_in_order(package):
    assert package.__all__ == sorted(package.__all__)
    for name in package.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        package.no_such_name  # noqa: B018


def test_package_of_the_same_name_elsewhere_is_refused(tmp_path):
    (tmp_path / "signals").mkdir()
    (tmp_path / "signals" / "__init__.py").write_text("")
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nimport rnn_strategies"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "belongs to another distribution or folder" in done.stderr.splitlines()[-1]
