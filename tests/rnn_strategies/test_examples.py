"""Example notebooks: all cells run, and `init` copies the files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import rnn_strategies as rs
from rnn_strategies.examples import EXAMPLES, write_example

RUNNER = Path(__file__).resolve().parents[1] / "support" / "run_notebook.py"


def notebook(name):
    return json.loads((Path(rs.__file__).parent / "examples" / f"{name}.ipynb").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """Copy a notebook to an empty folder, run it there; gives what each code cell showed, and the folder."""
    done = {}

    def play(name):
        if name not in done:
            folder = tmp_path_factory.mktemp(name)
            file = write_example(name, folder / f"{name}.ipynb")
            command = [sys.executable, str(RUNNER), file.name]
            run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            assert run.returncode == 0, run.stderr[-3000:]
            done[name] = json.loads(run.stdout), folder
        return done[name]

    return play


@pytest.mark.parametrize("name", EXAMPLES)
def test_notebook_has_no_outputs(name):
    found = notebook(name)
    assert (found["nbformat"], found["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in found["cells"]]
    assert len(set(ids)) == len(ids)
    assert {cell["cell_type"] for cell in found["cells"]} == {"markdown", "code"}
    assert "simulated" in "".join(found["cells"][0]["source"])
    for cell in found["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_cell_runs_in_an_empty_folder(played, name):
    shown, folder = played(name)
    assert len(shown) == sum(cell["cell_type"] == "code" for cell in notebook(name)["cells"])
    (report,) = folder.glob("*.html")
    text = report.read_text(encoding="utf-8")
    assert "The prices behind this report were made by a random-number generator" in text
    results = [cell["html"] for cell in shown if cell["html"] and "BacktestResult" in cell["html"]]
    assert len(results) == {"backtest_from_scratch": 1, "own_cerebro": 3}[name]
    assert all("simulated prices" in html for html in results)


def test_the_bars_of_a_notebook_are_updated_in_place(played):
    shown, _ = played("backtest_from_scratch")
    moving = [cell["displays"] for cell in shown if cell["displays"]]
    assert len(moving) == 2  # training and trading
    for displays in moving:
        assert "<progress" in displays[-1]["text/html"]
        assert len({display["display_id"] for display in displays}) == 1
        assert [display["update"] for display in displays] == [False] + [True] * (len(displays) - 1)


def test_examples_are_all_notebooks_of_the_folder():
    folder = Path(rs.__file__).parent / "examples"
    assert {path.stem for path in folder.glob("*.ipynb")} == set(EXAMPLES)
    assert not list(folder.glob("**/*checkpoint*"))


def test_copies_are_written_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert write_example("own_cerebro") == Path("own_cerebro.ipynb")
    with pytest.raises(rs.InputError, match="found one; choose another name or add --force"):
        write_example("own_cerebro")
    write_example("own_cerebro", force=True)
    with pytest.raises(rs.InputError, match="did you mean 'own_cerebro'"):
        write_example("own_cerebo")
    with pytest.raises(rs.InputError, match=r"with the suffix \.ipynb"):
        write_example("own_cerebro", Path("x.toml"))
