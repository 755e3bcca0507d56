"""What is shipped: four packages with their data files and types, no tests."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    (file,) = folder.glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        return archive.namelist(), archive.read(next(n for n in archive.namelist() if n.endswith("METADATA"))).decode()


def test_only_the_four_rooms_are_shipped_whole(wheel):
    names, metadata = wheel
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"rnn_strategies", "signals", "backtests", "reports"}
    for room in tops:
        assert f"{room}/py.typed" in names
        tracked = {
            str(path.relative_to(ROOT)) for path in (ROOT / room).rglob("*.*") if "__pycache__" not in path.parts
        }
        assert tracked <= set(names)
    assert not [name for name in names if name.startswith("tests/") or "/test_" in name or "conftest" in name]
    assert "License-Expression: GPL-3.0-or-later" in metadata
    assert "Requires-Python: >=3.11" in metadata


def test_every_dependency_has_both_bounds():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for requirement in project["dependencies"]:
        assert re.fullmatch(r"[\w-]+(>=[\d.]+,<[\d.]+|==[\d.]+)", requirement), requirement


def test_the_lock_pins_every_dependency_by_hash_and_names_no_address():
    lock = (ROOT / "requirements.lock").read_text()
    pinned = {
        line.split("==")[0].lower().replace("_", "-") for line in lock.splitlines() if re.match(r"[\w.-]+==", line)
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    assert {re.split(r"[><=]", name)[0].lower().replace("_", "-") for name in wanted} <= pinned
    assert "://" not in lock
    assert lock.count("--hash=sha256:") > len(pinned)


def test_tensorflow_is_never_imported_by_name():
    for room in ("rnn_strategies", "signals", "backtests", "reports"):
        for path in (ROOT / room).rglob("*.py"):
            assert not re.search(r"^\s*(import|from) tensorflow", path.read_text(), flags=re.MULTILINE), path
