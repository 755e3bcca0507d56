"""Installation: the supported Python versions, the complete hash-pinned lists, and newer releases on the index."""

from __future__ import annotations

import hashlib
import os
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
import venv
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OPTIONAL = ("jax", "torch")
CHECK = runpy.run_path(str(ROOT / ".ci" / "check_python.py"))


def pins_of(name: str) -> list[Requirement]:
    """Every pin of a list, with its marker."""
    text = (ROOT / name).read_text()
    return [Requirement(line.removesuffix("\\").strip()) for line in text.splitlines() if re.match(r"[\w.-]+==", line)]


def pinned(name: str, environment: dict[str, str]) -> dict[str, Version]:
    """Versions that a list pins in an environment, by normalised name."""
    found: dict[str, Version] = {}
    for pin in pins_of(name):
        if pin.marker is None or pin.marker.evaluate(environment):
            assert canonicalize_name(pin.name) not in found, f"{pin.name} is pinned twice in {name}"
            (specifier,) = pin.specifier
            found[canonicalize_name(pin.name)] = Version(specifier.version)
    return found


def recipe(target: str) -> list[str]:
    """Commands that make would run for a target in a fresh clone."""
    done = subprocess.run(
        ["make", "-n", "-W", "requirements.lock", target, "VENV=build/no-such-environment"],
        cwd=ROOT, capture_output=True, text=True, check=True, env=os.environ | {"MAKEFLAGS": ""},
    )  # fmt: skip
    return done.stdout.splitlines()


# -- Python versions --------------------------------------------------------------------------------------------------


def test_supported_versions_are_the_same_in_bounds_and_classifiers():
    bounds = SpecifierSet(PROJECT["requires-python"])
    classified = [c.rsplit(" ", 1)[1] for c in PROJECT["classifiers"] if re.search(r"Python :: 3\.\d+$", c)]
    assert classified == [f"3.{minor}" for minor in range(30) if f"3.{minor}" in bounds] == ["3.11", "3.12", "3.13"]


@pytest.mark.parametrize(
    ("version", "implementation", "free_threaded", "accepted"),
    [
        ((3, 10), "cpython", False, False),
        ((3, 11), "cpython", False, True),
        ((3, 12), "cpython", False, True),
        ((3, 13), "cpython", False, True),
        ((3, 13), "cpython", True, False),
        ((3, 14), "cpython", False, False),
        ((3, 11), "pypy", False, False),
        ((4, 0), "cpython", False, False),
    ],
)
def test_python_without_wheels_is_refused(version, implementation, free_threaded, accepted):
    refusal = CHECK["refusal"]((ROOT / "pyproject.toml").read_text(), version, implementation, free_threaded)
    assert (refusal is None) == accepted
    if not accepted:
        assert "expected CPython 3.11 to 3.13" in refusal
        assert f"found {implementation} {version[0]}.{version[1]}" in refusal
        assert "set PYTHON=" in refusal
        assert "\n" not in refusal


@pytest.mark.skipif(os.name == "nt", reason="needs make and a shell script")
def test_make_refuses_an_unsupported_python_in_one_line_before_it_makes_anything(tmp_path):
    python = tmp_path / "python3.14"
    pretended = (
        "import runpy, sys; sys.version_info = (3, 14, 0, 'final', 0); runpy.run_path(sys.argv[1], run_name='__main__')"
    )
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{pretended}" "$@"\n')
    python.chmod(0o755)
    done = subprocess.run(
        ["make", "install", f"PYTHON={python}", f"VENV={tmp_path / 'venv'}"],
        cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ | {"MAKEFLAGS": ""},
    )  # fmt: skip
    assert done.returncode != 0
    lines = [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("make")]
    assert len(lines) == 1
    assert "found cpython 3.14" in lines[0]
    assert not (tmp_path / "venv").exists()


# -- the lists --------------------------------------------------------------------------------------------------------


def test_lock_is_complete():
    """Every requirement of every locked package, extras included, is satisfied by a pin."""
    environment = default_environment()
    versions = pinned("requirements.lock", environment)
    dev = PROJECT["optional-dependencies"]["dev"]
    todo = [("rnn-strategies", Requirement(text)) for text in PROJECT["dependencies"] + dev]
    seen: set[tuple[str, str]] = set()
    while todo:
        wanted_by, requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        assert name in versions, f"{wanted_by} requires {requirement}, which no pin satisfies"
        assert requirement.specifier.contains(versions[name], prereleases=True), (wanted_by, str(requirement))
        for extra in {"", *requirement.extras}:
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            for text in distribution(name).requires or []:
                needed = Requirement(text)
                if needed.marker is None or needed.marker.evaluate({**environment, "extra": extra}):
                    todo.append((f"{name}[{extra}]" if extra else name, needed))
    # every pin is there for a reason, and is what is installed
    assert {name for name, _ in seen} == set(versions)
    for name, version in versions.items():
        assert Version(distribution(name).version) == version, name


@pytest.mark.parametrize("python", ["3.11.0", "3.11.7", "3.12.1", "3.13.0"])
@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_each_list_pins_a_package_at_most_once_in_every_environment(python, platform):
    environment = {
        **default_environment(),
        "python_full_version": python,
        "python_version": python.rpartition(".")[0],
        "sys_platform": platform,
        "platform_system": {"linux": "Linux", "darwin": "Darwin", "win32": "Windows"}[platform],
        "os_name": "nt" if platform == "win32" else "posix",
    }
    locked = pinned("requirements.lock", environment)
    wanted = {canonicalize_name(Requirement(text).name) for text in PROJECT["dependencies"]}
    assert wanted <= set(locked)
    build = pinned("requirements-build.lock", environment)
    assert {"setuptools", "wheel"} <= set(build)
    assert build.items() <= locked.items()
    for extra in OPTIONAL:
        # an optional list adds to the lock and changes nothing in it
        added = pinned(f"requirements-{extra}.lock", environment)
        assert extra in added
        assert not set(added) & set(locked)


@pytest.mark.parametrize("extra", OPTIONAL)
def test_optional_list_is_complete(extra):
    environment = default_environment()
    versions = pinned("requirements.lock", environment) | pinned(f"requirements-{extra}.lock", environment)
    (text,) = PROJECT["optional-dependencies"][extra]
    assert Requirement(text).specifier.contains(versions[extra])
    for name in pinned(f"requirements-{extra}.lock", environment):
        try:
            needs = distribution(name).requires or []
        except PackageNotFoundError:
            continue  # not installed here; `pip check` looks at it when it is
        for needed in map(Requirement, needs):
            if needed.marker is None or needed.marker.evaluate({**environment, "extra": ""}):
                assert needed.specifier.contains(versions[canonicalize_name(needed.name)], prereleases=True), needed


def test_every_extra_has_a_list_of_its_own():
    lists = {path.name for path in ROOT.glob("requirements*.lock")}
    extras = set(PROJECT["optional-dependencies"]) - {"dev"}
    assert extras == set(OPTIONAL)
    assert lists == {
        "requirements.lock",
        "requirements-build.lock",
        *(f"requirements-{extra}.lock" for extra in extras),
    }


@pytest.mark.parametrize("path", sorted(ROOT.glob("requirements*.lock")), ids=lambda path: path.name)
def test_every_pin_has_a_hash_and_no_list_names_an_address(path):
    blocks = re.split(r"^(?=[\w.-]+==)", path.read_text(), flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in block for block in blocks)
    assert "://" not in path.read_text()


# -- what make runs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["demo", "test", "check"])
def test_make_installs_the_locked_lists_without_resolving_and_nothing_optional(target):
    installs = [shlex.split(line) for line in recipe(target) if "-m pip install" in line]
    assert [command[command.index("-r") + 1] for command in installs if "-r" in command] == [
        "requirements-build.lock",
        "requirements.lock",
    ]
    for command in installs:
        assert {"--no-deps", "--no-build-isolation"} <= set(command)
        assert "--require-hashes" in command or command[-2:] == ["-e", "."]
    assert any("-m pip check" in line for line in recipe(target))


def test_only_peewee_is_built_from_source():
    allowed = re.findall(r"--no-binary (\S+)", (ROOT / "Makefile").read_text())
    assert set(allowed) == {"peewee"}
    assert "--only-binary :all:" in (ROOT / "Makefile").read_text()


def wheel(
    folder: Path, name: str, version: str, *, requires: tuple[str, ...] = (), extras: tuple[str, ...] = ()
) -> Path:
    """Write a wheel with nothing but metadata."""
    info = f"{name}-{version}.dist-info"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {text}" for text in requires] + [f"Provides-Extra: {extra}" for extra in extras]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{info}/METADATA", "\n".join(lines) + "\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", f"{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return path


def test_newer_release_of_a_package_with_extras_on_the_index_changes_nothing(tmp_path):
    """Without `--no-deps`, pip 23.2 takes the newest release for `base[extra]`, finds no hash for it, and stops."""
    index = tmp_path / "index"
    files = [
        wheel(index / "top", "top", "1.0", requires=("base[extra]>=1",)),
        wheel(index / "base", "base", "1.0", extras=("extra",)),
        wheel(index / "base", "base", "2.0", extras=("extra",)),
    ]
    for folder in index.iterdir():
        links = "".join(f'<a href="{file.name}">{file.name}</a>' for file in files if file.parent == folder)
        (folder / "index.html").write_text(f"<!DOCTYPE html><html><body>{links}</body></html>")
    lock = tmp_path / "requirements.lock"
    lock.write_text(
        "".join(
            f"{file.name.split('-')[0]}==1.0 --hash=sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}\n"
            for file in files[:2]
        )
    )
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=True)
    (install,) = [line for line in recipe("install") if line.endswith("-r requirements.lock")]
    folder = "Scripts" if os.name == "nt" else "bin"
    _, _, arguments = install.partition("-m pip ")
    isolated = {k: v for k, v in os.environ.items() if not k.startswith("PIP_")} | {
        "PIP_INDEX_URL": index.as_uri(),
        "PIP_CONFIG_FILE": os.devnull,
    }
    pip = [str(environment / folder / "python"), "-m", "pip"]
    subprocess.run(
        [*pip, *shlex.split(arguments.replace("requirements.lock", str(lock)))], check=True, env=isolated, cwd=tmp_path
    )
    shown = subprocess.run([*pip, "freeze"], check=True, env=isolated, capture_output=True, text=True).stdout.split()
    assert shown == ["base==1.0", "top==1.0"]
    subprocess.run([*pip, "check"], check=True, env=isolated, capture_output=True)
