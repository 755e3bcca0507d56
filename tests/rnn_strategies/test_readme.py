"""What the README shows is what happens."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[2] / "README.md"


def snippets(language):
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_python_snippets_run_one_after_the_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for code in snippets("python"):
        exec(compile(code, str(README), "exec"), names)
    assert Path("report.html").exists()
    assert len(names["own"].returns) > 200
    assert names["own"].positions.drop(columns="cash").to_numpy().max() > 0


def test_configuration_snippets_are_valid(tmp_path):
    from rnn_strategies.config import parse_config
    from rnn_strategies.forecast_config import parse_forecast_config

    whole = {
        "walk_forward": {"test_start": "2014-01-01"},
        "strategy": {"allocation": "TopK", "k": 5},
        "broker": {"cash": 1e6, "commission": 0.001, "slippage": 0.0005},
        "prices": {"source": "simulated"},
    }
    tables = [tomllib.loads(code) for code in snippets("toml")]
    assert len(tables) >= 6
    for table in tables:
        if "series" in table:
            parse_forecast_config(table, base=tmp_path)
        else:
            parse_config(whole | table, base=tmp_path)


def test_every_feature_and_label_is_listed():
    from signals.features import FEATURES
    from signals.labels import LABELS

    text = README.read_text(encoding="utf-8")
    for feature in FEATURES.values():
        assert f"`{feature.usage}`" in text, feature.usage
    for kind in LABELS:
        assert f"`{kind}`" in text, kind


def test_commands_exist():
    from rnn_strategies.cli import app

    known = {command.name or command.callback.__name__ for command in app.registered_commands}
    used = set(re.findall(r"^rnn-strategies (\w+)", "\n".join(snippets("sh")), flags=re.MULTILINE))
    assert used
    assert used <= known
    makefile = (README.parent / "Makefile").read_text()
    for target in re.findall(r"`?make (\w+)", README.read_text()):
        assert f"\n{target}:" in makefile, target


def test_no_placeholder_is_left():
    assert not re.search(r"@[A-Z]+@", README.read_text())


@pytest.mark.parametrize("name", ["LICENSE", "CHANGELOG.md", "pyproject.toml", "requirements.lock"])
def test_what_a_release_needs_is_there(name):
    assert (README.parent / name).stat().st_size > 0
