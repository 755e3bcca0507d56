"""Runs with quantiles: their file, its entry in the manifest, and its verification."""

from __future__ import annotations

import json
import shutil

import pytest

import rnn_strategies as rs
from rnn_strategies.runs.workspace import Home
from rnn_strategies.verify.consistency import check_quantiles
from rnn_strategies.verify.verify import verify_run
from signals.common.errors import InputError
from signals.common.storage import read_parquet, write_parquet

LABELS = '[labels]\nkind = "return"\nquantiles = [0.1, 0.5, 0.9]\n'


@pytest.fixture(autouse=True)
def _no_drawing(monkeypatch):
    monkeypatch.setattr(
        "rnn_strategies.pipelines.panel_run.write_report", lambda folder: (folder / "report.html").write_text("-")
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quantiles")
    with pytest.MonkeyPatch.context() as patch:
        from pathlib import Path

        patch.syspath_prepend(str(Path(__file__).resolve().parents[1] / "support"))
        patch.setattr(
            "rnn_strategies.pipelines.panel_run.write_report", lambda run: (run / "report.html").write_text("-")
        )
        from configs import SMALL

        text = SMALL.replace("n_tickers = 40", "n_tickers = 12").replace("k = 8", "k = 3")
        text = text.replace('"2012-01-01"', '"2012-09-01"').replace('"2015-12-31"', '"2014-08-29"')
        (folder / "c.toml").write_text(text.replace("min_history = 60", "min_history = 40") + LABELS)
        rs.run(folder / "c.toml", out=folder / "run", jobs=1, home=Home(folder / "home"))
    return folder


@pytest.fixture
def run(made, tmp_path, support):
    shutil.copytree(made, tmp_path / "copy")
    return tmp_path / "copy" / "run"


@pytest.fixture
def home(run):
    return Home(run.parent / "home")


def spoil(run, file, column, row, by):
    """Change a figure and hide the traces."""
    from verified import match_hashes

    table = read_parquet(run / file)
    table.loc[row, column] += by
    write_parquet(run / file, table.set_index(table.columns[0]))
    match_hashes(run)


def named(found):
    return {one.file for one in found.findings}


def test_the_file_is_one_of_the_signals_stage_and_verified(run, home):
    outputs = json.loads((run / "manifest.json").read_bytes())["stages"]["signals"]["outputs"]
    assert "quantiles.parquet" in outputs
    found = verify_run(run, home=home)
    assert found.passed, found.text()
    assert of_the_run(found) == []


def of_the_run(found):
    """Give the notes without that on the ledger: each test has its own, and the run was made before all of them."""
    return [line for line in found.warnings if "the trial ledger has no record" not in line]


@pytest.mark.parametrize(
    ("file", "column", "row", "by"),
    [
        ("quantiles.parquet", "value", 5, 1e-6),
        ("folds.parquet", "pinball", 1, -1e-4),
    ],
)
def test_another_figure_is_named_though_the_hashes_match(run, home, file, column, row, by):
    spoil(run, file, column, row, by)
    assert named(verify_run(run, home=home)) >= {file}


def test_without_networks_consistent_quantiles_are_accepted(run, home):
    shutil.rmtree(home.artifacts)
    found = verify_run(run, home=home)
    assert found.passed, found.text()
    assert ["not all networks are stored" in line for line in of_the_run(found)] == [True]
    spoil(run, "quantiles.parquet", "value", 5, 1e-3)
    assert named(verify_run(run, home=home)) == {"folds.parquet"}


def test_without_prices_quantiles_are_checked_against_scores_labels_and_folds(run, tmp_path, monkeypatch):
    monkeypatch.setattr("rnn_strategies.verify.inputs.REPEATABLE", ())
    found = verify_run(run, home=Home(tmp_path / "nothing"))
    assert found.passed, found.text()
    spoil(run, "quantiles.parquet", "value", 1, 1e-9)
    assert named(verify_run(run, home=Home(tmp_path / "nothing"))) >= {"quantiles.parquet"}


def test_inconsistent_quantiles_are_found(made):
    frames = {
        name: read_parquet(made / "run" / f"{name}.parquet", index=["date", "ticker"]) for name in ("signals", "labels")
    }
    quantiles, folds = (read_parquet(made / "run" / f"{name}.parquet") for name in ("quantiles", "folds"))

    def findings_of(table, folds=folds):
        return [text for _, text in check_quantiles(frames["signals"]["score"], table, frames["labels"], folds)]

    def changed(row, by):
        values = quantiles["value"].to_numpy().copy()
        values[row] += by
        return quantiles.assign(value=values)

    assert findings_of(quantiles) == []
    assert "do not ascend" in findings_of(changed(0, 1.0))[0]
    assert "the score in signals.parquet is" in findings_of(changed(1, 1e-9))[0]
    assert "pinball_ensemble of fold 0" in findings_of(changed(2, 1e-3))[0]
    assert (
        "pinball_ensemble of fold 1"
        in findings_of(
            quantiles, folds.assign(pinball_ensemble=lambda f: f["pinball_ensemble"].where(f["fold"] == 0, 1.0))
        )[0]
    )
    assert "for every row of signals.parquet" in findings_of(quantiles.iloc[:-3])[0]
    assert "for every row of signals.parquet" in findings_of(quantiles.iloc[:-1])[0]
    assert "one value for every date, ticker and level" in findings_of(quantiles.iloc[[0, *range(len(quantiles))]])[0]
    assert "for every row of signals.parquet" in findings_of(quantiles[quantiles["level"] < 0.7])[0]


def test_missing_quantile_file_is_found(run, home):
    (run / "quantiles.parquet").unlink()
    found = verify_run(run, home=home).findings[0]
    assert (found.file, found.text) == ("quantiles.parquet", "is missing")


def test_imported_scores_reject_quantiles(made):
    scores = {"path": str(made / "run" / "signals.parquet")}
    with pytest.raises(InputError, match=r"no labels.quantiles with \[signals\]"):
        rs.load_config(made / "run" / "config.toml", imported=scores)
