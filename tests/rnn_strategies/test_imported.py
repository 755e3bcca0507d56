"""Imported scores: import, backtest, report, export, and errors of one line."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import rnn_strategies as rs
from rnn_strategies import cli
from rnn_strategies.pipelines.run_config import open_run
from rnn_strategies.trials.trial_ledger import default_ledger
from signals.calendar import decision_dates
from signals.common.storage import read_json, read_parquet

CONFIG = """
name = "theirs"
[prices]
source = "files"
path = "prices.parquet"
[strategy]
allocation = "TopK"
k = 5
min_score = -1e9
[broker]
cash = 1_000_000
commission = 0.001
slippage = 0.0005
"""


@pytest.fixture(scope="session")
def market():
    """Prices with a death among them, and scores that know the coming week a little."""
    prices = rs.load_prices(source="simulated", seed=9, n_tickers=25, start="2013-01-01", end="2014-12-31")
    frame = prices.frame.reset_index()
    doomed = frame["ticker"].iloc[0]
    frame = frame[(frame["ticker"] != doomed) | (frame["date"] < "2014-06-16")]
    dates = decision_dates("2014-01-01", "2014-12-26")
    close = frame.pivot_table(index="date", columns="ticker", values="close").reindex(dates.astype("M8[ns]"))
    ahead = close.shift(-1) / close - 1
    noise = np.random.default_rng(4).normal(scale=0.05, size=close.shape)
    scores = (
        (ahead.fillna(0.0) + noise)
        .where(close.notna())
        .stack()
        .dropna()
        .rename("score")
        .rename_axis(["date", "ticker"])
    )
    return frame, scores, doomed


@pytest.fixture
def work(tmp_path, monkeypatch, market):
    """A folder as a user has it: prices, scores and a configuration."""
    frame, scores, _ = market
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    frame.to_parquet("prices.parquet")
    scores.reset_index().sample(frac=1, random_state=0).to_csv("scores.csv", index=False)
    Path("rnn-strategies.toml").write_text(CONFIG)
    return folder


@pytest.fixture
def command(monkeypatch, capsys):
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
def no_drawing(monkeypatch):
    monkeypatch.setattr(
        "rnn_strategies.pipelines.panel_run.write_report", lambda folder: (folder / "report.html").write_text("-")
    )


def refused(answer, words):
    """Hold an answer to exit code 2 and one line with some words in it."""
    code, _, err = answer
    lines = [line for line in err.splitlines() if not line.startswith("[")]
    assert code == 2, err
    assert len(lines) == 1, err
    assert lines[0].startswith("rnn-strategies: ")
    assert "expected" in lines[0]
    assert words in lines[0]


def test_import_backtest_report_one_by_one(work, command, market):
    _, scores, _ = market
    code, out, err = command("import", "scores.csv", "--out", "runs/mine")
    assert code == 0, err
    assert out == "runs/mine/signals.parquet\nNext command: rnn-strategies run runs/mine\n"
    Path("scores.csv").unlink()  # once imported, the file is not needed
    assert command("backtest", "runs/mine")[:2] == (0, "runs/mine/metrics.json\n")
    assert command("report", "runs/mine")[:2] == (0, "runs/mine/report.html\n")

    made = open_run("runs/mine")
    pd.testing.assert_series_equal(made.signals["score"], scores, check_exact=True, check_index_type=False)
    text = made.report.read_text()
    assert (
        "The scores were imported from scores.csv: whether they were computed without later prices cannot be checked"
        in text
    )
    assert 'id="signal"' in text
    assert "Learning curves</b> not drawn" in text
    # scores with look-ahead are implausibly good
    assert made.metrics["auc"] > 0.58
    assert "Implausibly high skill: look for look-ahead bias" in text
    assert "look for look-ahead bias before using any other figure" in text


def test_the_same_account_as_trading_the_scores_directly(work, command, market):
    _, scores, doomed = market
    command("import", "scores.csv", "--out", "mine")
    command("backtest", "mine")
    made = open_run("mine")
    direct = rs.run_backtest(
        rs.load_prices(source="files", path="prices.parquet"),
        scores,
        allocation=rs.TopK(5, min_score=-1e9),
        broker=rs.BrokerSettings(cash=1_000_000, commission=0.001, slippage=0.0005),
    )
    assert made.result.returns.tolist() == direct.returns.tolist()
    assert doomed in made.result.positions


def test_labels_are_returns_from_the_next_open(work, command, market):
    """Against plain pandas: open after the date to open after the next date, or the last close of the dead."""
    frame, scores, doomed = market
    command("import", "scores.csv", "--out", "mine")
    labels = read_parquet(Path("mine/labels.parquet"), index=["date", "ticker"])
    opens = frame.pivot_table(index="date", columns="ticker", values="open")
    entry = opens.shift(-1).reindex(scores.index.levels[0])
    plain = (entry.shift(-1) / entry - 1).stack().dropna().rename_axis(["date", "ticker"])
    both = labels["forward_return"].to_frame("ours").join(plain.rename("theirs"), how="inner")
    assert len(both) > 0.9 * len(scores)
    np.testing.assert_allclose(both["ours"], both["theirs"], rtol=0, atol=1e-12)
    last = scores.xs(doomed, level="ticker").index[-1]
    final = frame[(frame["ticker"] == doomed)].iloc[-1]["close"]
    bought = opens.loc[opens.index > last, doomed]
    if bought.notna().any():
        assert labels.loc[(last, doomed), "forward_return"] == pytest.approx(final / bought.dropna().iloc[0] - 1)
    else:  # its last bar is the decision date: there is nothing to buy at
        assert (last, doomed) not in labels.index
    # the last date has no date after it yet
    assert labels.index.get_level_values("date").max() < scores.index.levels[0][-1]
    assert (labels["label_end"] > labels.index.get_level_values("date")).all()


@pytest.mark.usefixtures("no_drawing")
def test_run_does_it_all_and_then_nothing(work, command):
    Path("mine.toml").write_text(CONFIG + '[signals]\npath = "scores.csv"\n')
    code, out, err = command("run", "mine.toml", "--out", "mine")
    assert code == 0, err
    assert out.splitlines()[-1] == "mine/report.html"
    before = {path.name: path.read_bytes() for path in Path("mine").iterdir()}
    code, _, err = command("run", "mine")
    assert err.count("already done") == 2
    assert {path.name: path.read_bytes() for path in Path("mine").iterdir()} == before
    command("import", "scores.csv", "--out", "step", "--config", "rnn-strategies.toml")
    command("backtest", "step")
    for name in ("signals.parquet", "labels.parquet", "returns.parquet", "metrics.json"):
        assert Path("step", name).read_bytes() == before[name]


@pytest.mark.usefixtures("no_drawing")
def test_scores_that_changed_are_imported_again(work, command):
    command("import", "scores.csv", "--out", "mine")
    command("run", "mine")
    first = Path("mine/returns.parquet").read_bytes()
    table = pd.read_csv("scores.csv")
    table["score"] *= -1
    table.to_csv("scores.csv", index=False)
    code, _, err = command("run", "mine")
    assert code == 0, err
    assert "reading scores.csv" in err
    assert Path("mine/returns.parquet").read_bytes() != first
    assert len(default_ledger().trials()) == 2
    assert {trial.kind for trial in default_ledger().trials().values()} == {"imported"}
    assert {trial.status for trial in default_ledger().trials().values()} == {"done"}


@pytest.mark.usefixtures("no_drawing")
def test_prices_that_grew_extend_a_run_whose_scores_are_gone(work, command, market):
    frame, _, _ = market
    frame[frame["date"] < "2014-12-27"].to_parquet("prices.parquet")
    command("import", "scores.csv", "--out", "mine")
    command("run", "mine")
    before = open_run("mine").result.returns
    Path("scores.csv").unlink()
    frame.to_parquet("prices.parquet")
    code, _, err = command("run", "mine")
    assert code == 0, err
    after = open_run("mine").result.returns
    assert len(after) > len(before)
    assert after[: len(before)].equals(before)


def test_what_a_configuration_says_of_networks_is_left_out(work, command):
    Path("whole.toml").write_text(CONFIG + '[model]\nlookback = 9\n[walk_forward]\ntest_start = "2014-01-01"\n')
    code, _, err = command("import", "scores.csv", "--config", "whole.toml", "--out", "mine")
    assert code == 0, err
    text = Path("mine/config.toml").read_text()
    assert "[model]" not in text
    assert "[walk_forward]" not in text
    assert open_run("mine").config.walk_forward is None
    Path("both.toml").write_text(Path("whole.toml").read_text() + '[signals]\npath = "scores.csv"\n')
    refused(command("run", "both.toml"), "expected no [model] with [signals]")


def test_a_run_of_networks_is_not_overwritten(work, command, support):
    from configs import write_small

    import rnn_strategies.pipelines.run_config as pipeline

    made = pipeline.open_run(write_small(Path("small.toml")), out="trained", jobs=1)
    made.compute_signals()
    before = (made.folder / "signals.parquet").read_bytes()
    refused(command("import", "scores.csv", "--out", "trained"), "found a run of another one")
    refused(command("import", "scores.csv", "--out", "trained", "--config", "rnn-strategies.toml"), "another one")
    assert (made.folder / "signals.parquet").read_bytes() == before


def rewrite(change):
    table = pd.read_csv("scores.csv", dtype={"date": str})
    change(table).to_csv("scores.csv", index=False)


@pytest.mark.parametrize("place", ["file", "override", "option"])
@pytest.mark.parametrize("value", ["drop", "raise"])
def test_what_happens_to_scores_without_prices_is_taken_from_wherever_it_is_set(work, command, place, value):
    with Path("scores.csv").open("a") as file:
        file.write("2014-06-06,NOSUCH,0.5\n")
    given = {"override": ["--set", f"signals.on_uncovered={value}"], "option": ["--on-uncovered", value]}.get(place, [])
    table = value if place == "file" else "drop" if value == "raise" else "raise"
    Path("rnn-strategies.toml").write_text(f'{CONFIG}[signals]\npath = "scores.csv"\non_uncovered = "{table}"\n')
    answer = command("import", "scores.csv", "--out", "mine", *given)
    if value == "drop":
        assert answer[0] == 0, answer[2]
        assert "1 row of scores have a ticker or date that the prices do not hold" in " ".join(
            read_json(Path("mine/manifest.json"))["warnings"]
        )
    else:
        refused(answer, 'or set on_uncovered = "drop"')


def test_scores_outside_the_prices(work, command):
    rewrite(lambda t: pd.concat([t, pd.DataFrame({"date": ["2014-01-03"], "ticker": ["NOSUCH"], "score": [1.0]})]))
    refused(command("import", "scores.csv", "--out", "mine"), "found 'NOSUCH'")
    refused(command("import", "scores.csv", "--out", "mine"), 'or set on_uncovered = "drop"')
    assert not Path("mine").exists()
    rewrite(lambda t: pd.concat([t, pd.DataFrame({"date": ["2015-02-06"], "ticker": ["SIM001"], "score": [1.0]})]))
    code, _, err = command("import", "scores.csv", "--out", "mine", "--on-uncovered", "drop")
    assert code == 0, err
    warnings = read_json(Path("mine/manifest.json"))["warnings"]
    assert (
        "2 rows of scores have a ticker or date that the prices do not hold and were dropped (1 tickers, such as "
        "NOSUCH)." in warnings
    )
    rewrite(lambda t: t[t["ticker"] != "NOSUCH"])
    refused(command("import", "scores.csv", "--out", "other"), "1 row outside, the first on 2015-02-06")


BAD = {
    "sundays": (lambda t: t.assign(date="2014-01-05"), "found two for"),
    "a sunday": (
        lambda t: t.replace({"date": {"2014-01-10": "2014-01-12"}}),
        "found 2014-01-12, a Sunday without trading",
    ),
    "nothing known": (lambda t: t.assign(ticker="X" + t["ticker"]), "expected one of the"),
    "twice": (lambda t: pd.concat([t, t.head(1)]), "one signal per date and ticker"),
    "words": (lambda t: t.astype({"score": object}).assign(score="up"), "finite numbers"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_scores_are_one_line_and_make_no_folder(work, command, case):
    change, words = BAD[case]
    rewrite(change)
    refused(command("import", "scores.csv", "--out", "mine"), words)
    assert not Path("mine").exists()


def test_what_is_missing_is_named(work, command):
    refused(command("import", "none.csv", "--out", "mine"), "none.csv; found none")
    refused(command("import", "scores.csv", "--out", "mine", "--on-uncovered", "ignore"), "'raise' or 'drop'")
    Path("rnn-strategies.toml").rename("elsewhere.toml")
    refused(command("import", "scores.csv", "--out", "mine"), "init --preset imported")
    Path("c.toml").write_text(CONFIG + '[signals]\npath = "none.csv"\n')
    refused(command("run", "c.toml"), "none.csv; found none")
    code, _, err = command("import", "scores.csv", "--config", "elsewhere.toml", "--out", "mine")
    assert code == 0, err
    # the folder's own configuration is enough to import again
    assert command("import", "scores.csv", "--out", "mine")[0] == 0


def test_closes_alone_need_their_labels_said(work, command, market):
    frame, _, _ = market
    frame[["date", "ticker", "close"]].to_parquet("prices.parquet")
    refused(command("import", "scores.csv", "--out", "mine"), "set price_basis = 'close_to_close'")
    code, _, err = command("import", "scores.csv", "--out", "mine", "--set", "labels.price_basis=close_to_close")
    assert code == 0, err


def test_one_date_alone_has_no_outcome_and_still_a_report(work, command):
    rewrite(lambda t: t[t["date"] == "2014-12-26"])
    assert command("import", "scores.csv", "--out", "mine")[0] == 0
    code, _, err = command("run", "mine")
    assert code == 0, err
    assert len(read_parquet(Path("mine/labels.parquet"))) == 0
    assert "No score has a known outcome yet" in Path("mine/report.html").read_text()


def test_the_preset_imports_as_it_is_written(work, command):
    Path("rnn-strategies.toml").unlink()
    code, out, _ = command("init", "--preset", "imported")
    assert (code, out.splitlines()[0]) == (0, "rnn-strategies.toml")
    assert "import SCORES" in out
    code, _, err = command("import", "scores.csv", "--out", "mine")
    assert code == 0, err


# -- export -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", [None, "alphalens", "qlib"])
def test_what_is_exported_imports_again(work, command, format):
    command("import", "scores.csv", "--out", "mine")
    for suffix in ("csv", "parquet"):
        options = ["--format", format] if format else []
        code, out, err = command("export", "mine", "--out", f"out.{suffix}", *options)
        assert (code, out) == (0, f"out.{suffix}\n"), err
        code, _, err = command("import", f"out.{suffix}", "--out", f"again-{suffix}")
        assert code == 0, err
        assert Path(f"again-{suffix}/signals.parquet").read_bytes() == Path("mine/signals.parquet").read_bytes()


def test_trained_scores_keep_folds_and_training_ends(work, command, support, no_drawing):
    from configs import write_small

    assert command("run", write_small(Path("small.toml")), "--out", "trained", "--jobs", "1")[0] == 0
    assert command("export", "trained", "--out", "out.csv")[0] == 0
    code, _, err = command("import", "out.csv", "--config", "small.toml", "--out", "again")
    assert code == 0, err
    assert Path("again/signals.parquet").read_bytes() == Path("trained/signals.parquet").read_bytes()
    assert command("run", "again")[0] == 0
    # same scores, prices and costs: the same account, to the byte
    assert Path("again/returns.parquet").read_bytes() == Path("trained/returns.parquet").read_bytes()
    old, new = (read_json(Path(name, "metrics.json")) for name in ("trained", "again"))
    assert new["sharpe_ratio"] == old["sharpe_ratio"]


def test_exports_do_not_replace_unasked(work, command):
    command("import", "scores.csv", "--out", "mine")
    command("export", "mine", "--out", "out.csv")
    refused(command("export", "mine", "--out", "out.csv"), "--force")
    assert command("export", "mine", "--out", "out.csv", "--force")[0] == 0
    refused(command("export", "mine", "--out", "out.xlsx"), "'xlsx'")
    refused(command("export", "none", "--out", "b.csv"), "no signals.parquet in none")
    shutil.copy("prices.parquet", "mine/signals.parquet")
    refused(command("export", "mine", "--out", "c.csv"), "signal columns")


def test_examples_come_from_the_command_line_too(work, command):
    assert command("init", "--example", "own_cerebro")[:2] == (0, "own_cerebro.ipynb\n")
    refused(command("init", "--example", "own_cerebro"), "--force")
    refused(command("init", "--example", "cerebro"), "expected --example to be one of")


# -- real prices ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_drawing")
def test_momentum_of_real_funds(work, command, shared_data):
    """Twelve-week momentum of 30 ETFs, computed here in plain pandas: no leak in sight, and it goes out as it came."""
    path = shared_data / "us-etfs-daily" / "ohlcv.parquet"
    close = pd.read_parquet(path).pivot_table(index="date", columns="ticker", values="close")
    dates = decision_dates("2010-01-01", "2017-11-03").astype("M8[ns]")
    weekly = close.set_axis(pd.to_datetime(close.index)).reindex(dates)
    scores = weekly.pct_change(12, fill_method=None).stack().dropna().rename("factor").rename_axis(["date", "asset"])
    scores.index = scores.index.set_levels(scores.index.levels[0].tz_localize("UTC"), level="date")
    scores.to_frame().to_parquet("momentum.parquet")
    Path("etf.toml").write_text(CONFIG.replace('"prices.parquet"', f'"{path}"\non_bad = "repair"'))
    code, _, err = command("import", "momentum.parquet", "--config", "etf.toml", "--out", "etf")
    assert code == 0, err
    assert command("run", "etf")[0] == 0
    made = open_run("etf")
    assert len(made.signals) == len(scores) > 10_000
    assert 0.45 < made.metrics["auc"] < 0.55
    assert made.metrics["signal_dates"] > 380
    made.result.check()
    assert command("export", "etf", "--out", "back.parquet", "--format", "alphalens")[0] == 0
    back = pd.read_parquet("back.parquet")["factor"]
    assert back.to_numpy().tobytes() == scores.sort_index().to_numpy().tobytes()
