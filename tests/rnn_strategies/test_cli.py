"""Command line: exit codes, errors of one line, and no partial files."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import rnn_strategies as rs
from rnn_strategies import cli


@pytest.fixture
def command(tmp_path, monkeypatch, capsys, support):
    """Run a command in an empty folder; returns exit code, stdout and stderr."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["rnn-strategies", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code or 0
        out = capsys.readouterr()
        return code, out.out, out.err

    return run


@pytest.fixture
def small(support):
    from configs import write_small

    return write_small(Path("small.toml"))


def test_init_run_and_every_stage(command):
    code, out, _ = command("init", "demo.toml")
    assert (code, out.splitlines()[0]) == (0, "demo.toml")
    quick = [
        "--set=training.trainer=linear_trainer:LinearTrainer",
        "--set=prices.end=2014-12-31",
        "--set=prices.n_tickers=30",
    ]
    code, out, err = command("run", "demo.toml", "--out", "first", "--jobs", "1", *quick)
    assert code == 0, err
    assert out.splitlines()[-1] == "first/report.html"
    assert "Sharpe ratio" in out
    assert "[signals 2/2]" in err
    for stage, result in (("signals", "signals.parquet"), ("backtest", "metrics.json"), ("report", "report.html")):
        code, out, err = command(stage, "first")
        assert (code, out) == (0, f"first/{result}\n"), err
    code, out, _ = command("run", "first")
    assert code == 0


def test_doctor_names_versions_and_backend(command):
    code, out, _ = command("doctor")
    assert code == 0
    assert "Keras backend" in out
    assert "backtrader               1.9.78.123" in out


def one_line(err):
    """Return the error, the one line that is not progress."""
    lines = [line for line in err.splitlines() if not line.startswith("[")]
    assert len(lines) == 1, err
    assert lines[0].startswith("rnn-strategies: ")
    assert "expected" in lines[0]
    assert "found" in lines[0] or "the system says" in lines[0]
    return lines[0]


def prices_frame():
    return rs.load_prices(
        source="simulated", seed=1, n_tickers=25, start="2013-01-01", end="2014-12-31"
    ).frame.reset_index()


def from_file(config, name):
    """Let a configuration read its prices from a file."""
    rest = config.read_text().split("[universe]")[1]
    config.write_text(f'[prices]\nsource = "files"\npath = "{name}"\n[universe]{rest}')


def spoil(frame, column, value):
    frame = frame.copy()
    frame.loc[frame.index[100], column] = value
    return frame


BAD_PRICES = {
    "NaN price": (lambda f: spoil(f, "open", np.nan), "open"),
    "negative price": (lambda f: spoil(f, "close", -3.0), "close"),
    "high below low": (lambda f: spoil(f, "high", 1e-6), "high"),
    "duplicate rows": (lambda f: pd.concat([f.iloc[:101], f.iloc[100:]]), "twice|duplicate|once"),
    "unsorted dates": (lambda f: pd.concat([f, f.iloc[[100]]]), "ascend"),
}


@pytest.mark.parametrize("case", BAD_PRICES)
def test_bad_prices_are_refused_naming_the_place(command, small, case):
    spoil_frame, words = BAD_PRICES[case]
    frame = spoil_frame(prices_frame())
    row = frame.iloc[100]
    frame.to_parquet("p.parquet")
    from_file(small, "p.parquet")
    code, _, err = command("run", small, "--out", "out")
    assert code == 2
    assert str(row["ticker"]) in one_line(err)
    assert f"{row['date']:%Y-%m-%d}" in err
    assert pd.Series([err]).str.contains(words).all(), err
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("broker.comission=0.001", "did you mean 'commission'"),
        ("training.epoch=3", "did you mean 'epochs'"),
        ("prices.n_tickres=30", "did you mean 'n_tickers'"),
        ("prices.end=2011-01-01", "2011-01-01"),
        ("walk_forward.test_start=2012-03-01", "history"),
        ("prices.end=2013-06-30", "expected prices beyond walk_forward.test_start"),
        ("benchmark.ticker=SPYX", "SPYX"),
        ("universe.include=['NOSUCH']", "NOSUCH"),
        ("strategy.allocation=TopKK", "did you mean 'TopK'"),
        ("strategy.kk=3", "kk"),
        ("labels.horizon=0", "horizon"),
        ("model.dense_units=-1", "model.dense_units of at least 0"),
        ("model.ticker_embedding_dim=-1", "model.ticker_embedding_dim of at least 0"),
        ("training.seeds=[4294967296]", "training.seeds"),
        ("training.trainer=os:path", "fit, predict and versions"),
        ("strategy.kind=os:path", "backtrader.Strategy"),
        ("strategy.kind=nowhere:Name", "nowhere"),
        ("strategy.max_weight=nan", "finite number"),
        ("broker.cash=true", "a number"),
        ("broker.cash='5'", "without quotes"),
        ("benchmark.path=x.csv", "benchmark.ticker"),
        ("prices.seed=-1", "seed"),
        ("name=" + "x" * 300, "at most 100 bytes"),
        ("training.trainer=no_such_module:Name", "no_such_module"),
    ],
)
def test_bad_settings_are_refused_in_one_line(command, small, setting, words):
    code, _, err = command("run", small, "--out", "out", *[f"--set={part}" for part in setting.split(" ")])
    assert code == 2, err
    assert words in one_line(err), err
    assert not Path("out").exists()


def test_configuration_that_fails_does_not_occupy_the_folder(command, small):
    code, _, _ = command("run", small, "--out", "out", "--jobs", "1", "--set=walk_forward.test_start=2012-03-01")
    assert code == 2
    code, _, err = command("run", small, "--out", "out", "--jobs", "1")
    assert code == 0, err


def test_unsorted_dates_in_a_frame_are_refused():
    frame = prices_frame().set_index(["date", "ticker"]).iloc[::-1]
    with pytest.raises(rs.InputError, match="sort"):
        rs.check_prices(frame)


def test_a_missing_price_file_is_named(command, small):
    from_file(small, "none.parquet")
    code, _, err = command("run", small, "--out", "out")
    assert code == 2
    assert "none.parquet" in one_line(err)


def test_missing_commission_raises(command, small):
    small.write_text(small.read_text().replace("commission = 0.001\n", ""))
    code, _, err = command("run", small)
    assert code == 2
    assert "commission" in one_line(err)


def test_a_truncated_parquet_file_is_named(command, small):
    prices_frame().to_parquet("p.parquet")
    whole = Path("p.parquet").read_bytes()
    Path("p.parquet").write_bytes(whole[: len(whole) // 2])
    from_file(small, "p.parquet")
    code, _, err = command("run", small, "--out", "out")
    assert code == 2
    assert "p.parquet" in one_line(err)
    assert not Path("out").exists()


def test_full_disk_raises_and_leaves_no_partial_file(command, small, monkeypatch):
    import errno

    from signals.common import storage

    def no_room(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(storage.os, "fsync", no_room)
    code, _, err = command("run", small, "--out", "out", "--jobs", "1")
    assert code == 2
    assert "No space left on device" in one_line(err)
    left = [path.name for path in Path().rglob("*") if path.is_file()]
    assert sorted(left) == [".out.lock", "small.toml"]


def test_usage_errors_exit_with_2(command):
    code, _, err = command("run", "--frobnicate")
    assert code == 2
    assert err.count("\n") == 1
    assert "--frobnicate" in err


def test_an_interrupt_is_not_a_traceback(command, small, monkeypatch):
    def interrupted(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("rnn_strategies.pipelines.panel_run.compute_signals", interrupted)
    code, _, err = command("run", small, "--jobs", "1")
    assert code == 130
    assert err.splitlines()[-1].startswith("rnn-strategies: stopped; finished work is kept")


def test_version_is_that_of_the_package(command):
    assert command("--version") == (0, f"rnn-strategies {rs.__version__}\n", "")


@pytest.mark.parametrize("place", ["before", "behind"])
def test_quiet_prints_results_only_and_verbose_times_every_event(command, small, place):
    def given(option, *rest):
        return command(option, *rest) if place == "before" else command(*rest, option)

    code, out, err = given("--quiet", "run", small, "--out", "out", "--jobs", "1")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "out/report.html"
    code, _, err = given("-v", "report", "out")
    assert code == 0
    assert all(re.fullmatch(r" +\d+\.\d s \[report\] .*", line) for line in err.splitlines()), err
    assert err
    code, _, err = given("-q", "run", small, "-v", "--out", "out")
    assert code == 2
    assert "found both" in one_line(err)


@pytest.mark.parametrize(
    ("words", "expected"),
    [("rnn-strategies aud", ["audit"]), ("rnn-strategies init --preset improved-u", ["improved-univariate"])],
)
def test_shells_complete_commands_and_presets(words, expected):
    places = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    script = Path(sys.executable).with_name("rnn-strategies")
    done = subprocess.run(
        [script],
        env=os.environ | places | {"_RNN_STRATEGIES_COMPLETE": "complete_bash"},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split()[: len(expected)] == expected


def test_run_takes_a_configuration_of_series(command):
    Path("series.toml").write_text(
        '[series]\nsource = "simulated"\nn_months = 96\nstart = "1990-01-01"\n[model]\nlookback = 6\n'
        '[training]\ntrainer = "series_trainer:SeriesTrainer"\nseeds = [0]\n'
        '[walk_forward]\ntest_start = "1997-01-01"\nvalidation = "1Y"\ntest = "1Y"\n'
    )
    code, out, err = command("run", "series.toml", "--out", "out")
    assert code == 0, err
    assert Path("out/forecasts.parquet").exists()
    code, again, _ = command("run", "out")
    assert (code, again) == (0, out)
    code, _, err = command("run", "series.toml", "--out", "out", "--accept-revisions")
    assert code == 2
    assert "--accept-revisions" in one_line(err)
    code, _, err = command("backtest", "series.toml")
    assert code == 2
    assert "use `rnn-strategies run`" in one_line(err)


def test_the_installed_command_answers():
    script = Path(sys.executable).with_name("rnn-strategies")
    done = subprocess.run([script, "--help"], capture_output=True, text=True, check=True)
    for name in ("init", "run", "signals", "backtest", "report", "doctor"):
        assert f"  {name}" in done.stdout
