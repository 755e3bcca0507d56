"""Runs with networks of the recurrent family: cells, labels, audit, verification, and messages."""

from __future__ import annotations

import json

import numpy as np
import pytest

import rnn_strategies as rs
from rnn_strategies.audit.audit import audit_run
from rnn_strategies.config.panel_config import load_config, parse_config
from rnn_strategies.verify.verify import verify_run
from signals.common.errors import InputError
from signals.execution.trainer_choice import choose_trainer
from signals.trainers.compiled import CompiledTrainer
from signals.trainers.keras_trainer import KerasTrainer
from signals.walk_forward.panel_walk_forward import compute_signals

EVERYTHING = """
[model]
lookback = 8
units = [4, 3]
dense_units = 0
sequence_loss = true
autoregressive_lags = 8
categorical_embeddings = { sector = 2, quarter = 2 }
year_onehot = true
[labels]
kind = "residual"
horizon = 2
quantiles = [0.25, 0.5, 0.75]
"""


@pytest.fixture(autouse=True)
def _no_drawing(monkeypatch):
    monkeypatch.setattr(
        "rnn_strategies.pipelines.panel_run.write_report", lambda folder: (folder / "report.html").write_text("-")
    )


@pytest.fixture
def write(support, tmp_path):
    """Write the small configuration with other tables, and a file of sectors beside it."""
    from configs import SMALL

    def write(tables, **training):
        head, tail = SMALL.split("[model]")
        text = head.replace("n_tickers = 40", "n_tickers = 15").replace('end = "2015-12-31"', 'end = "2014-11-28"')
        text = text.replace("[universe]", '[universe]\nsectors = "sectors.csv"')
        tail = tail[tail.index("[training]") :].replace("seeds = [0, 1]", "seeds = [0]")
        path = tmp_path / "c.toml"
        path.write_text(text + tail + tables)
        names = [f"SIM{i:03d}" for i in range(15)]
        rows = "".join(f"{name},{'ABC'[i % 3]},2010-01-01,\n" for i, name in enumerate(names))
        (tmp_path / "sectors.csv").write_text("ticker,sector,start,end\n" + rows)
        return load_config(path, [f"training.{key}={value}" for key, value in training.items()])

    return write


def messages_of(config, out):
    messages = []
    made = rs.run(config, out=out, jobs=1, on_progress=lambda event: messages.append(event.message))
    return made, messages


def test_a_run_with_everything_is_audited_and_verified(write, tmp_path):
    made, _ = messages_of(write(EVERYTHING), tmp_path / "run")
    found = verify_run(made.folder, home=made.home)
    assert found.passed, found.text()
    assert found.warnings == ()
    audit = audit_run(
        made.folder, only=["look-ahead", "warm-up", "baseline-attribution", "sensitivity"], cutoffs=1, jobs=1
    )
    assert audit.passed, audit.text()
    tried = [row["choice"] for row in audit.verdict("sensitivity").table]
    assert {"look-back 7 (seed 0)", "look-back 9 (seed 0)"} < set(tried)  # 8 autoregressive lags become 7
    assert "was not possible" not in audit.verdict("look-ahead").finding
    (meta, *_) = sorted(made.home.artifacts.glob("*/*/meta.json"))
    assert json.loads(meta.read_bytes())["groups"]["sector"] == ["A", "B", "C"]
    # another sector in the file: other inputs, other networks
    with open(tmp_path / "sectors.csv", "a") as file:
        file.write("SIM099,D,2010-01-01,\n")
    assert ["sectors.csv was changed after the run" in line for line in verify_run(made.folder).warnings] == [True]


def test_sectors_that_nobody_gives_are_asked_for(write, tmp_path):
    config = write(EVERYTHING)
    tables = config.tables | {"universe": config.tables["universe"] | {"sectors": None}}
    with pytest.raises(InputError, match=r"a file of sectors, because model.categorical_embeddings names sector"):
        rs.run(parse_config(tables), out=tmp_path / "run", jobs=1)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (
            "categorical_embeddings = { sectors = 4 }",
            r"of sector, month, quarter, weekday; found 'sectors'; did you mean 'sector'",
        ),
        (
            'categorical_embeddings = { sector = "4" }',
            "model.categorical_embeddings to be a valid number, without quotes",
        ),
        ("categorical_embeddings = { sector = true }", "model.categorical_embeddings to be a number"),
        ("categorical_embeddings = { year = 2 }", "use model.year_onehot"),
        ("categorical_embedings = { sector = 4 }", "did you mean 'categorical_embeddings'"),
        ('kind = "encoder_decodr"', "found 'encoder_decodr'; did you mean 'encoder_decoder'"),
        ('kind = "encoder_decoder"\nattention = "bahdanau"', "additive, dot, none; found 'bahdanau'"),
        ('kind = "encoder_decoder"\nteacher_focing_ratio = 0.5', "did you mean 'teacher_forcing_ratio'"),
        ("bidirectional = true\nsequence_loss = true", "earlier steps would look ahead"),
    ],
)
def test_mistakes_in_the_table_are_one_line(write, model, words):
    with pytest.raises(InputError, match=words) as caught:
        write(f"[model]\n{model}\n")
    assert "\n" not in str(caught.value)


def test_the_table_of_a_kind_is_read_back_as_it_was_written(write, tmp_path):
    table = (
        '[model]\nkind = "encoder_decoder"\nunits = [6]\ncategorical_embeddings = { quarter = 2, sector = 3 '
        "}\nyear_onehot = true\n"
    )
    config = write(table)
    assert config.model == rs.EncoderDecoderSettings(
        units=(6,), categorical_embeddings={"quarter": 2, "sector": 3}, year_onehot=True
    )
    (tmp_path / "again.toml").write_text(config.to_toml())
    again = load_config(tmp_path / "again.toml")
    assert (again.hash, again.model) == (config.hash, config.model)
    assert list(again.model.categorical_embeddings) == ["quarter", "sector"]
    assert load_config(tmp_path / "again.toml", ["model.categorical_embeddings.sector=4"]).hash != config.hash


def test_what_leaves_the_fast_path_is_said_with_what_that_costs():
    for model in (rs.RecurrentSettings(recurrent_dropout=0.2), rs.RecurrentSettings(sequence_loss=True)):
        (line,) = choose_trainer(rs.TrainingSettings(), model).warnings
        assert line.startswith(
            "Training does not use the fast path, because the compiled trainer cannot train this network:"
        )
        assert "Keras takes about 5 times as long with batches of 1024" in line
        assert ("recurrent dropout doubles that" in line) == bool(model.recurrent_dropout)
    assert choose_trainer(rs.TrainingSettings(trainer="keras"), rs.RecurrentSettings(sequence_loss=True)).warnings == ()


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        'cell = "simple_rnn"\nrecurrent_dropout = 0.2\noutput_recurrence = true',
        'kind = "encoder_decoder"\ncategorical_embeddings = { sector = 2 }',
    ],
    ids=["fed back", "encoder-decoder"],
)
def test_a_run_by_keras_says_so_and_is_audited_and_verified(write, tmp_path, model):
    config = write(f"[model]\nlookback = 6\nunits = [3]\n{model}\n", trainer="auto")
    made, messages = messages_of(config, tmp_path / "run")
    assert any("does not use the fast path" in line for line in messages)
    assert any(
        "does not use the fast path" in line
        for line in json.loads((made.folder / "manifest.json").read_bytes())["warnings"]
    )
    found = verify_run(made.folder, home=made.home)
    assert found.passed, found.text()
    assert found.warnings == ()
    audit = audit_run(made.folder, only=["warm-up", "baseline-attribution"], jobs=1)
    assert audit.passed, audit.text()
    assert ["network" in row["what"] for row in audit.verdict("warm-up").table].count(True) == 1


# -- heads and cells -------------------------------------------------------------------------------------------------

HEADS = {
    "classification": rs.LabelSettings(),
    "thirds": rs.LabelSettings(kind="terciles"),
    "regression": rs.LabelSettings(kind="residual"),
    "quantiles": rs.LabelSettings(kind="return", quantiles=(0.1, 0.5, 0.9)),
}


@pytest.fixture(scope="module")
def prices():
    return rs.load_prices(source="simulated", seed=4, n_tickers=15, start="2012-06-01", end="2014-03-28")


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("cell", ["lstm", "gru", "simple_rnn", pytest.param("peephole_lstm", marks=pytest.mark.slow)])
def test_every_cell_with_every_head(prices, tmp_path, cell, head):
    trainer = KerasTrainer() if cell == "peephole_lstm" else CompiledTrainer()
    result = compute_signals(
        prices,
        walk_forward=rs.WalkForward(test_start="2014-01-01", validation="13W", test="26W"),
        universe=rs.UniverseFilters(min_history=30),
        labels=HEADS[head],
        model=rs.RecurrentSettings(lookback=6, cell=cell, units=(4, 3), ticker_embedding_dim=2, dense_units=4),
        training=rs.TrainingSettings(batch_size=128, learning_rate=0.01, epochs=2),
        seeds=[0],
        artifacts=tmp_path,
        trainer=trainer,
    )
    score = result.signals["score"]
    assert np.isfinite(score).all()
    assert score.std() > 0
    low, high = {"classification": (0, 1), "thirds": (-1, 1)}.get(head, (-0.5, 0.5))
    assert score.between(low, high).all()
    assert (result.quantiles is not None) == (head == "quantiles")
    assert result.folds["rank_ic"].notna().all()
