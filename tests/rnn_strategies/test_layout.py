"""Layout of the packages: no circles of files or folders, and few modules directly under `signals`."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("signals", "backtests", "reports", "rnn_strategies")


def imports_by_file(root):
    """Files of the packages, each with those it imports, also inside functions and for type checkers only."""
    files = {}
    for package in PACKAGES:
        for path in (root / package).rglob("*.py"):
            parts = path.relative_to(root).with_suffix("").parts
            files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    imports = {}
    for path in files.values():
        found = imports.setdefault(path, set())
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"relative import in {path}"
                names = [
                    full if (full := f"{node.module}.{alias.name}") in files else node.module for alias in node.names
                ]
            else:
                continue
            found |= {files[name] for name in names if name in files} - {path}
    return imports


def assert_no_circle(graph, root):
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(str(path.relative_to(root)) for path in error.args[1]))


def by_folder(imports):
    folders = {}
    for path, imported in imports.items():
        folders.setdefault(path.parent, set()).update({other.parent for other in imported} - {path.parent})
    return folders


def test_no_circle_of_files():
    assert_no_circle(imports_by_file(ROOT), ROOT)


def test_no_circle_of_folders():
    assert_no_circle(by_folder(imports_by_file(ROOT)), ROOT)


@pytest.mark.parametrize(
    "statement",
    [
        "from signals.b.y import Y",
        "def f():\n    from signals.b import y",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import signals.b.y",
    ],
)
def test_circle_is_found_whatever_the_place_of_the_import(tmp_path, statement):
    for name, text in {"a/x.py": statement, "a/z.py": "", "b/y.py": "from signals.a import z"}.items():
        path = tmp_path / "signals" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    imports = imports_by_file(tmp_path)
    assert_no_circle(imports, tmp_path)
    with pytest.raises(pytest.fail.Exception, match=r"signals/a -> signals/b|signals/b -> signals/a"):
        assert_no_circle(by_folder(imports), tmp_path)
    (tmp_path / "signals" / "a" / "z.py").write_text(statement)
    with pytest.raises(pytest.fail.Exception, match=r"y\.py"):
        assert_no_circle(imports_by_file(tmp_path), tmp_path)


def test_at_most_eight_modules_directly_under_signals():
    assert len(list((ROOT / "signals").glob("*.py"))) <= 8
