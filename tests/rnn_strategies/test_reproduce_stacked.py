"""Reproduction of the stacked system with small settings: variations, resuming, and measures from the files."""

from __future__ import annotations

import json
import sys

import numpy as np
import pandas as pd
import pytest

from rnn_strategies import cli
from rnn_strategies.config.panel_config import load_config
from rnn_strategies.config.presets import write_preset
from rnn_strategies.reproduce import stacked, systems
from rnn_strategies.reproduce.variations import VARIATIONS
from signals.calendar import sessions
from signals.common.storage import sha256_file
from signals.dataset.universe import universe_at
from signals.models.custom import CustomModel
from signals.sources.registry import load_prices

SMALL = (
    "training.trainer=linear_trainer:LinearTrainer",
    "training.epochs=1",
    "model.lookback=8",
    "walk_forward.test_start=2012-01-01",
    "walk_forward.train=1Y",
    "walk_forward.validation=13W",
    "universe.min_history=20",
    "universe.zero_return_window=40",
)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Closes of 24 tickers that reverse week by week, and of one that hardly ever moves."""
    folder = tmp_path_factory.mktemp("world")
    days, rng = sessions("2010-06-01", "2013-12-31"), np.random.default_rng(0)
    steps = rng.normal(0, 0.02, (len(days), 25))
    steps[5:] -= 0.6 * steps[:-5]
    steps[:, 24] = np.where(rng.random(len(days)) < 0.1, steps[:, 24], 0.0)
    close = 20 * np.exp(np.cumsum(steps, axis=0))
    tickers = [f"T{i:02d}" for i in range(25)]
    frame = pd.DataFrame({"date": np.repeat(days, 25), "ticker": np.tile(tickers, len(days)), "close": close.ravel()})
    (folder / "us-stocks-daily").mkdir()
    frame.astype({"date": "datetime64[s]"}).to_parquet(folder / systems.STACKED_FILE)
    return folder


@pytest.fixture
def small(monkeypatch, support):
    """Make the system a small one: few models, short windows, no networks."""

    def choose(*keys):
        chosen = tuple(v for v in VARIATIONS if v.key in keys)
        monkeypatch.setattr(stacked, "VARIATIONS", chosen)
        monkeypatch.setattr(stacked, "FURTHER", SMALL)

    return choose


def reproduce(world, out, monkeypatch, capsys, *more):
    arguments = ["reproduce", "--data", str(world), "--only", "stacked", "--out", str(out), "--jobs", "1", *more]
    monkeypatch.setattr(sys, "argv", ["rnn-strategies", *arguments])
    code = 0
    try:
        cli.main()
    except SystemExit as stop:
        code = stop.code or 0
    said = capsys.readouterr()
    return code, said.out, said.err


def test_one_command_writes_the_table_and_a_repeat_trains_nothing(world, small, tmp_path, monkeypatch, capsys):
    small("lstm", "logistic", "lstm-regression", "published")
    out = tmp_path / "out"
    code, said, err = reproduce(world, out, monkeypatch, capsys, "--seeds", "2")
    assert code == 0, err
    markdown = (out / "stacked.md").read_text()
    assert markdown in said
    assert f"{out / 'stacked.json'}" in said
    summary = (out / "summary.md").read_text()
    assert said.endswith(f"{summary}\n{out / 'summary.md'}\n")
    assert summary.splitlines()[-1].startswith("| stacked | AUC, per date 2012-2013")
    assert len(summary.splitlines()) == 5
    figures = json.loads((out / "stacked.json").read_text())["figures"]
    assert list(figures["models"]) == sorted(["lstm", "logistic", "lstm-regression", "published"])
    lstm = figures["models"]["lstm"]
    assert sorted(lstm["years"]) == ["2012", "2013", "all"]
    assert len(lstm["years"]["all"]["auc_by_seed"]) == 2
    assert len(figures["models"]["logistic"]["years"]["all"]["auc_by_seed"]) == 1  # no chance in it
    assert lstm["parameters"] == 29_371 + 10 - 10 * (2_489 - 24)  # the published network on 24 tickers
    # the world reverses: whoever looks at the last week sees it, the other way round
    assert lstm["years"]["all"]["auc"] > 0.6
    assert figures["models"]["logistic"]["years"]["all"]["auc"] > 0.6
    assert figures["trivial"]["last_return"]["signs"] == [-1, -1]
    assert figures["trivial"]["last_return"]["years"]["all"]["auc"] > 0.6
    assert figures["trivial"]["last_sign"]["years"]["all"]["rank_ic_t"] > 5
    assert figures["models"]["published"]["pooled_auc_by_seed"][0] > 0.55
    # the ticker that hardly moves is not liquid; nobody else is missing
    assert figures["data"]["live_tickers"] == {"2012": 24, "2013": 24}
    assert figures["data"]["sha256"] == sha256_file(world / systems.STACKED_FILE)
    assert figures["data"]["sha256"] in markdown
    for text in ("0.63", "0.6815", "not out of sample", "survivorship bias", "29,371", "reversal", "LSTM, regression"):
        assert text in markdown
    assert "Not finished" not in markdown
    # every model is a run folder that other commands know
    assert (out / "stacked" / "lstm" / "manifest.json").exists()
    assert load_config(out / "stacked" / "lstm" / "config.toml").labels.kind == "above_median"

    files = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    code, again, err = reproduce(world, out, monkeypatch, capsys, "--seeds", "2")
    assert (code, again) == (0, said)
    assert "trained" not in err
    assert err.count("already done") == 4
    assert {path: path.read_bytes() for path in files} == files


def test_interrupted_run_resumes_and_states_that_it_is_not_finished(world, small, tmp_path, monkeypatch, capsys):
    small("lstm", "logistic")
    out, whole = tmp_path / "out", stacked._measure

    def stop(run):
        if run.folder.name == "logistic":
            raise KeyboardInterrupt
        return whole(run)

    monkeypatch.setattr(stacked, "_measure", stop)
    code, _, err = reproduce(world, out, monkeypatch, capsys, "--seeds", "1")
    assert code == 130, err
    assert "Not finished: 1 more models remain." in (out / "stacked.md").read_text()
    monkeypatch.setattr(stacked, "_measure", whole)
    code, _, err = reproduce(world, out, monkeypatch, capsys, "--seeds", "1")
    assert code == 0
    assert "trained" not in err
    assert "Not finished" not in (out / "stacked.md").read_text()


def test_missing_data_raises_before_training(world, small, tmp_path, monkeypatch, capsys):
    small("lstm")
    code, _, err = reproduce(tmp_path, tmp_path / "out", monkeypatch, capsys)
    assert code == 2
    assert err.count("\n") == 1
    assert f"expected {tmp_path / systems.STACKED_FILE} for stacked; found no such file" in err
    assert not (tmp_path / "out").exists()
    code, _, err = reproduce(world, tmp_path / "out", monkeypatch, capsys, "--only", "staked")
    assert (code, "did you mean 'stacked'?" in err) == (2, True)
    monkeypatch.setattr(sys, "argv", ["rnn-strategies", "reproduce", "--only", "stacked"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    assert "expected --data with the folder of us-stocks-daily/close_all.parquet" in capsys.readouterr().err


def test_naive_predictors_are_scored_on_the_rows_of_the_networks(world, small, tmp_path, monkeypatch, capsys):
    small("logistic")
    reproduce(world, tmp_path / "out", monkeypatch, capsys)
    figures = json.loads((tmp_path / "out" / "stacked.json").read_text())["figures"]
    rows = figures["models"]["logistic"]["years"]["all"]["rows"]
    assert rows > 2000
    assert {one["years"]["all"]["rows"] for one in figures["trivial"].values()} == {rows}
    folds = pd.read_parquet(tmp_path / "out" / "stacked" / "logistic" / "folds.parquet")
    # the engine's own table has some of them, by fold: each fold is a year here
    for name in ("last_return", "mean_return", "volatility", "ticker_mean"):
        for year, fold in (("2012", 0), ("2013", 1)):
            row, ours = folds[folds["fold"] == fold].iloc[0], figures["trivial"][name]
            sign = ours["signs"][fold]
            assert ours["years"][year]["auc"] - 0.5 == pytest.approx(sign * (row[f"auc_{name}"] - 0.5), abs=1e-12)
            assert ours["years"][year]["rank_ic"] == pytest.approx(sign * row[f"rank_ic_{name}"], abs=1e-12)


@pytest.mark.parametrize("variation", VARIATIONS, ids=lambda v: v.key)
def test_every_variation_is_a_configuration(variation, tmp_path):
    write_preset(tmp_path / "c.toml", preset=variation.preset, data="data")
    base, config = (load_config(tmp_path / "c.toml", more) for more in ((), variation.overrides))
    assert (config.universe, config.walk_forward) == (base.universe, base.walk_forward)
    assert config.labels.price_basis == "close_to_close"
    assert config.model.lookback == 52
    if isinstance(config.model, CustomModel):
        assert config.model.make(0)
        assert variation.key == "boosting" or variation.parameters


@pytest.mark.slow
def test_the_liquid_universe_is_wide_enough(shared_data, tmp_path):
    write_preset(tmp_path / "c.toml", preset="improved-stacked", data=str(shared_data))
    config = load_config(tmp_path / "c.toml")
    panel = load_prices(**config.prices).panel()
    for year in range(2014, 2018):
        assert len(universe_at(panel, f"{year}-01-01", config.universe)) >= 2000


def test_another_configuration_in_the_same_folder_is_refused(world, small, tmp_path, monkeypatch, capsys):
    small("logistic")
    assert reproduce(world, tmp_path / "out", monkeypatch, capsys, "--seeds", "1")[0] == 0
    code, _, err = reproduce(world, tmp_path / "out", monkeypatch, capsys, "--seeds", "2")
    assert code == 2
    assert "found a run of another one; choose another --out" in err
