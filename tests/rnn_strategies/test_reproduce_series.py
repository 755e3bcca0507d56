"""Reproduction of systems of series with small settings: networks of several presets and baselines in one table."""

from __future__ import annotations

import gzip
import json
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rnn_strategies import cli
from rnn_strategies.config import presets
from rnn_strategies.config.presets import FORECAST_PRESETS, write_preset
from rnn_strategies.reproduce import download, series, systems
from rnn_strategies.reproduce.series_systems import INDEX_FILE, SERIES_SYSTEMS
from signals.calendar import sessions
from signals.common.errors import InputError
from signals.common.storage import sha256_file, write_json

SMALL = """
name = "{name}"
[series]
path = "{path}"
vintage_note = "final"
publication_note = "at the close"
{series}
[forecast]
{forecast}
[model]
lookback = 6
units = [2]
[training]
trainer = "series_trainer:SeriesTrainer"
epochs = 2
batch_size = 20
[walk_forward]
test_start = "2013-01-01"
validation = "6M"
test = "6M"
"""
PRESETS = {
    "published-univariate": ("", 'error_units = "minmax"\nbaselines = ["persistence"]'),
    "improved-univariate": (
        "",
        'target = "change"\nerror_units = "minmax"\nbaselines = ["persistence", "drift", "mean"]',
    ),
    "improved-univariate-return": ('transform = "return"', 'baselines = ["persistence", "mean"]'),
}


@pytest.fixture
def world(tmp_path, monkeypatch, support):
    """Two years of an index that wanders, and presets that are small."""
    days = sessions("2012-01-03", "2013-12-31")
    close = 1000 * np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.01, len(days))))
    rows = [f"{day},{value:.2f}" for day, value in zip(days, close, strict=True)]
    data = tmp_path / "data"
    (data / INDEX_FILE).parent.mkdir(parents=True)
    (data / INDEX_FILE).write_bytes(gzip.compress("\n".join(["date,close", *rows]).encode()))

    def write(path, *, preset, data, force):
        more, forecast = PRESETS[preset]
        path.parent.mkdir(parents=True, exist_ok=True)
        text = SMALL.format(name=preset, path=Path(data) / INDEX_FILE, series=more, forecast=forecast)
        path.write_text(text)

    monkeypatch.setattr(series, "write_preset", write)
    return data


def reproduce(data, out, monkeypatch, capsys, *more):
    arguments = ["reproduce", "--data", str(data), "--only", "univariate-2018", "--out", str(out), "--jobs", "1", *more]
    monkeypatch.setattr(sys, "argv", ["rnn-strategies", *arguments])
    code = 0
    try:
        cli.main()
    except SystemExit as stop:
        code = stop.code or 0
    output = capsys.readouterr()
    return code, output.out, output.err


def test_published_and_improved_networks_are_in_one_table(world, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    code, output, err = reproduce(world, out, monkeypatch, capsys, "--seeds", "2")
    assert code == 0, err
    markdown = (out / "univariate-2018.md").read_text()
    assert markdown in output
    found = json.loads((out / "univariate-2018.json").read_text())["figures"]
    close, returns = (found["problems"][f"{what} of 2018"] for what in ("close", "return"))
    # both networks, and every baseline once
    assert [row["model"] for row in close["models"]] == [
        "published network",
        "residual network",
        "persistence",
        "drift",
        "mean",
    ]
    assert [row["model"] for row in returns["models"]] == ["return network", "persistence", "mean"]
    by_model = {row["model"]: row for row in close["models"]}
    assert (by_model["residual network"]["seeds"], by_model["drift"]["seeds"]) == (2, 1)
    # persistence by hand, in shares of the range of all rows
    frame = pd.read_csv(world / INDEX_FILE, parse_dates=["date"]).set_index("date")["close"]
    errors = (frame - frame.shift()).loc["2013"] / (frame.max() - frame.min())
    assert by_model["persistence"]["rmse"] == pytest.approx(np.sqrt((errors**2).mean()), rel=1e-12)
    level = np.corrcoef(frame.loc["2013"], frame.shift().loc["2013"])[0, 1]
    assert by_model["persistence"]["ic_level"] == pytest.approx(level, abs=1e-9)
    # without a pattern a network that predicts changes stays near persistence
    assert by_model["residual network"]["ratio"] == pytest.approx(
        by_model["residual network"]["rmse"] / by_model["persistence"]["rmse"]
    )
    assert 0.95 < by_model["residual network"]["ratio"] < 1.2
    for text in (
        f"SHA-256 {sha256_file(world / INDEX_FILE)}",
        "- vintage: final",
        "- release: at the close",
        "0.0150",
        "persistence",
        "1,781",
        "min-max scaled over all years",
        "predicts the change from the last value",
        "| residual network |",
        f"correlation of levels {level:.4f}",
    ):
        assert text in markdown, text
    assert str(tmp_path) not in (out / "univariate-2018.json").read_text()  # it contains no path of the machine
    # the last of the two half-years has facts of its own, and is in the table over all systems
    last = {row["model"]: row for row in close["folds"] if row["fold"] == 1}
    naive = np.sqrt((errors.loc["2013-07":] ** 2).mean())
    assert last["persistence"]["rmse"] == pytest.approx(naive, rel=1e-12)
    facts = json.loads((out / "univariate-2018.json").read_text())["facts"]
    best = min(("persistence", "drift", "mean"), key=lambda model: last[model]["rmse"])
    assert facts["best baseline by hindsight, close of 2018, the last"].startswith(
        f"{best}: {last[best]['rmse']:.4g} ("
    )
    assert facts["naive, close of 2018, the last"].startswith(f"persistence {naive:.4g}, correlation")
    assert facts["naive, close of 2018, the last"].endswith(f"; {naive / 0.0150:.3f} of the published error")
    summary = (out / "summary.md").read_text().splitlines()[-1]
    assert summary.startswith("| univariate-2018 | RMSE, last block |     0.015 |")
    assert f"({last['published network']['ratio']:.3f} of persistence)" in summary
    assert f"{naive:.4g} persistence" in summary
    assert "Not finished" not in markdown
    assert "downloaded" not in markdown

    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    code, again, err = reproduce(world, out, monkeypatch, capsys, "--seeds", "2")
    assert (code, again) == (0, output)
    assert err.count("already done") == 3
    assert {path: path.read_bytes() for path in before} == before


def test_downloaded_file_is_named_in_the_vintage_note(world, tmp_path, monkeypatch, capsys):
    record = {"source": "somewhere", "downloaded": "2026-01-02", "sha256": sha256_file(world / INDEX_FILE)}
    write_json(download._record(world / INDEX_FILE), record)
    code, output, err = reproduce(world, tmp_path / "out", monkeypatch, capsys, "--seeds", "1")
    assert code == 0, err
    assert "- vintage: downloaded on 2026-01-02 from somewhere" in output
    assert "- vintage: final" not in output
    # the folders behind the report say so too
    table = (tmp_path / "out" / "univariate-2018" / "residual-network" / "table.md").read_text()
    assert "downloaded on 2026-01-02 from somewhere" in table
    assert "figures as of: final" not in table
    assert "later revisions" in output


def test_missing_file_is_downloaded_with_the_option(world, tmp_path, monkeypatch, capsys):
    content, asked = (world / INDEX_FILE).read_bytes(), []
    (world / INDEX_FILE).unlink()
    code, _, err = reproduce(world, tmp_path / "out", monkeypatch, capsys, "--seeds", "1")
    assert (code, "download freely available files with --download" in err) == (2, True)

    def fetch(file, folder, *, on_progress):
        asked.append(file)
        (folder / file).write_bytes(content)

    monkeypatch.setattr(download, "download_file", fetch)
    for _ in range(2):  # what is there is not fetched again
        code, _, err = reproduce(world, tmp_path / "out", monkeypatch, capsys, "--seeds", "1", "--download")
        assert code == 0, err
    assert asked == [INDEX_FILE]


def test_every_system_names_its_files_and_presets():
    assert list(systems.SYSTEMS) == ["univariate-2018", "univariate-2019", "multivariate", "stacked", "seasonal"]
    for name, system in SERIES_SYSTEMS.items():
        assert systems.SYSTEMS[name].files == (() if system.file is None else (system.file,))
        labels = [label for problem in system.problems for label in problem.networks]
        assert len(set(labels)) == len(labels)


def test_every_preset_file_is_a_known_preset(monkeypatch, tmp_path, capsys):
    folder = files("rnn_strategies.presets")
    assert sorted(Path(path.name).stem for path in folder.iterdir() if path.name.endswith(".toml")) == sorted(
        (*presets.PRESETS, *FORECAST_PRESETS)
    )
    for preset, then in (("seasonal", "run"), ("improved-stacked", "run")):
        file = tmp_path / f"{preset}.toml"
        monkeypatch.setattr(sys, "argv", ["rnn-strategies", "init", str(file), "--preset", preset])
        with pytest.raises(SystemExit):
            cli.main()
        assert capsys.readouterr().out == f"{file}\nRun it with: rnn-strategies {then} {file}\n"
    with pytest.raises(InputError, match="found 'improved-staked'; did you mean 'improved-stacked'"):
        presets.preset_text("improved-staked", "data")


@pytest.mark.parametrize("name", SERIES_SYSTEMS)
def test_every_network_is_a_configuration(name, tmp_path):
    from rnn_strategies.config.forecast_config import load_forecast_config

    for problem in SERIES_SYSTEMS[name].problems:
        metrics = set()
        for preset, overrides in problem.networks.values():
            assert preset in FORECAST_PRESETS
            write_preset(tmp_path / "c.toml", preset=preset, data=str(tmp_path), force=True)
            config = load_forecast_config(tmp_path / "c.toml", overrides)
            cut = config.walk_forward
            metrics.add((config.forecast.metric, config.forecast.error_units, cut.test_start, cut.test))
            assert len(config.seeds) <= systems.SYSTEMS[name].seeds
        assert len(metrics) == 1  # one table holds them all
