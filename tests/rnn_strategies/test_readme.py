"""README files: every snippet runs, and everything that they list exists."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
READMES = sorted(path for path in ROOT.rglob("README.md") if not {"build", ".venv"} & set(path.relative_to(ROOT).parts))
DOCUMENTS = [*READMES, ROOT / "CONTRIBUTING.md"]
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]


def snippets(path, language):
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.DOTALL)


WITH_PYTHON = [name for name in NAMES if snippets(ROOT / name, "python")]
WITH_TOML = [name for name in NAMES if snippets(ROOT / name, "toml")]


def test_documents_are_where_their_subject_is():
    packages = ("signals", "backtests", "reports", "rnn_strategies", "rnn_strategies/reproduce", "tests/benchmarks")
    assert {"README.md", "CONTRIBUTING.md", *(f"{package}/README.md" for package in packages)} <= set(NAMES)


def test_the_first_document_is_short():
    assert (ROOT / "README.md").stat().st_size <= 12_000


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """One folder for all documents, so that equal networks are trained once."""
    return tmp_path_factory.mktemp("readme")


@pytest.mark.parametrize("name", WITH_PYTHON)
def test_python_snippets_run_one_after_the_other(name, workspace, monkeypatch):
    monkeypatch.chdir(workspace)
    names: dict[str, object] = {}
    for code in snippets(ROOT / name, "python"):
        exec(compile(code, name, "exec"), names)
    if name == "README.md":
        assert Path("report.html").exists()
    if "own" in names:
        assert len(names["own"].returns) > 200
        assert names["own"].positions.drop(columns="cash").to_numpy().max() > 0


@pytest.mark.parametrize("name", WITH_TOML)
def test_configuration_snippets_are_valid(name, tmp_path):
    from rnn_strategies.config.forecast_config import parse_forecast_config
    from rnn_strategies.config.panel_config import parse_config

    whole = {
        "walk_forward": {"test_start": "2014-01-01"},
        "strategy": {"allocation": "TopK", "k": 5},
        "broker": {"cash": 1e6, "commission": 0.001, "slippage": 0.0005},
        "prices": {"source": "simulated"},
    }
    for code in snippets(ROOT / name, "toml"):
        table = tomllib.loads(code)
        if "series" in table:
            parse_forecast_config(table, base=tmp_path)
        else:
            parse_config(whole | table, base=tmp_path)


def test_every_feature_and_label_is_listed():
    from signals.dataset.labels import LABELS
    from signals.features import FEATURES

    text = (ROOT / "signals/README.md").read_text(encoding="utf-8")
    for feature in FEATURES.values():
        assert f"`{feature.usage}`" in text, feature.usage
    for kind in LABELS:
        assert f"`{kind}`" in text, kind


def test_every_rule_of_the_broker_is_listed():
    from backtests.common.broker_rules import RULES

    text = (ROOT / "backtests/README.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\| (`\w+`[^|]*)\|", text, flags=re.MULTILINE))))
    assert set(RULES) <= listed


def test_every_section_of_the_report_is_listed():
    code = (ROOT / "reports/report.py").read_text(encoding="utf-8")
    before = (r'_section\("\w+", ', r'append\(\("\w+", ', r'^        \("\w+", ')
    titles = [title for start in before for title in re.findall(rf'{start}"([A-Z][\w ]+)",', code, flags=re.MULTILINE)]
    text = (ROOT / "reports/README.md").read_text(encoding="utf-8")
    assert len(set(titles)) == 6
    for title in titles:
        assert f"| {title} |" in text, title


def test_every_check_of_the_audit_is_listed():
    from rnn_strategies.audit.audit import CHECKS

    text = (ROOT / "rnn_strategies/README.md").read_text(encoding="utf-8")
    for name in CHECKS:
        assert f"| `{name}` |" in text, name


@pytest.mark.parametrize("name", NAMES)
def test_commands_and_make_targets_exist(name):
    from rnn_strategies.cli import app

    known = {command.name or command.callback.__name__ for command in app.registered_commands}
    text = (ROOT / name).read_text(encoding="utf-8")
    assert set(re.findall(r"^(?:[^`\n]*`)?rnn-strategies ([a-z]+)", text, flags=re.MULTILINE)) <= known
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`make ([a-z-]+)", text):
        assert re.search(rf"^[a-z -]*\b{target}\b[a-z -]*:", makefile, flags=re.MULTILINE), target


@pytest.mark.parametrize("name", NAMES)
def test_links_to_files_and_headings_lead_somewhere(name):
    path = ROOT / name
    for link in re.findall(r"\]\(([^)]+)\)", path.read_text(encoding="utf-8")):
        if link.startswith("https://"):
            continue
        file, _, heading = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), link
        if heading:
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), flags=re.MULTILINE)
            assert heading in {re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in headings}, link


@pytest.mark.parametrize("name", NAMES)
def test_no_placeholder_is_left(name):
    assert not re.search(r"@[A-Z]+@", (ROOT / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["LICENSE", "CHANGELOG.md", "pyproject.toml", "requirements.lock"])
def test_what_a_release_needs_is_there(name):
    assert (ROOT / name).stat().st_size > 0
