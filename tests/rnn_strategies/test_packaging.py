"""Packaging: what the wheel contains, what it requires, and clashes of its top-level names."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import venv
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
    return file


def test_wheel_has_the_four_packages_whole_and_no_tests(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(next(n for n in names if n.endswith("METADATA"))).decode()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"rnn_strategies", "signals", "backtests", "reports"}
    for package in tops:
        assert f"{package}/py.typed" in names
        tracked = {
            str(path.relative_to(ROOT)) for path in (ROOT / package).rglob("*.*") if "__pycache__" not in path.parts
        }
        assert tracked <= set(names)
    assert not [name for name in names if name.startswith("tests/") or "/test_" in name or "conftest" in name]
    assert "License-Expression: GPL-3.0-or-later" in metadata
    (requires,) = re.findall(r"^Requires-Python: (.*)$", metadata, flags=re.MULTILINE)
    assert set(requires.split(",")) == {">=3.11", "<3.14"}


def fake_distribution(folder: Path, package: str) -> Path:
    """A wheel of another distribution whose top-level package has the name of one of ours."""
    path = folder / f"other_{package}-1.0-py3-none-any.whl"
    info = f"other_{package}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{package}/__init__.py", '"""Another package."""\n')
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: other-{package}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", f"{package}/__init__.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n")
    return path


@pytest.mark.parametrize("package", ["signals", "reports"])
@pytest.mark.parametrize("order", ["before", "after"])
def test_distribution_with_the_same_top_level_name_is_refused_by_name(wheel, tmp_path, package, order):
    """Installed into the same environment, pip lets one overwrite the other's files, in either order."""
    other = fake_distribution(tmp_path, package)
    site = tmp_path / "site"
    files = [other, wheel] if order == "before" else [wheel, other]
    for file in files:
        with zipfile.ZipFile(file) as archive:  # as pip lays the files of a pure wheel out
            archive.extractall(site)
    program = f"import sys; sys.path.insert(0, {str(site)!r})\nimport rnn_strategies; print(rnn_strategies.__file__)"
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    if order == "before":  # ours has been written over theirs, and is whole
        assert done.returncode == 0
        assert Path(done.stdout.strip()) == site / "rnn_strategies" / "__init__.py"
    else:
        line = done.stderr.splitlines()[-1]
        assert line.startswith(f"ImportError: expected the package {package!r} of rnn-strategies")
        assert "belongs to another distribution or folder" in line


@pytest.mark.slow
def test_wheel_installs_from_its_metadata_and_runs_the_demo_elsewhere(wheel, tmp_path):
    """Dependencies come from the index as the metadata bounds them, not from the lock."""
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=True)
    programs = environment / ("Scripts" if os.name == "nt" else "bin")
    clean = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "VIRTUAL_ENV"}} | {"NO_SQLITE": "1"}
    install = [str(programs / "python"), "-m", "pip", "install", "--quiet", str(wheel)]
    done = subprocess.run(install, capture_output=True, text=True, check=False, env=clean, cwd=tmp_path)
    if "Could not find a version" in done.stderr and "(from versions: none)" in done.stderr:
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr
    subprocess.run([str(programs / "python"), "-m", "pip", "check"], check=True, env=clean, cwd=tmp_path)
    command = str(programs / "rnn-strategies")
    for arguments in (["init", "demo.toml", "--preset", "demo"], ["run", "demo.toml", "--out", "run"]):
        done = subprocess.run(
            [command, *arguments], capture_output=True, text=True, check=False, env=clean, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "report.html").stat().st_size > 100_000
    where = [str(programs / "python"), "-c", "import signals; print(signals.__file__)"]
    shown = subprocess.run(where, capture_output=True, text=True, check=True, env=clean, cwd=tmp_path).stdout
    assert Path(shown.strip()).is_relative_to(environment)


def test_every_dependency_has_both_bounds():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for requirement in project["dependencies"]:
        assert re.fullmatch(r"[\w-]+(>=[\d.]+,<[\d.]+|==[\d.]+)", requirement), requirement


def test_tensorflow_is_never_imported_by_name():
    for package in ("rnn_strategies", "signals", "backtests", "reports"):
        for path in (ROOT / package).rglob("*.py"):
            assert not re.search(r"^\s*(import|from) tensorflow", path.read_text(), flags=re.MULTILINE), path
