"""Verification: unchanged runs pass, and every kind of tampering is found, even with updated hashes."""

from __future__ import annotations

import copy
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import rnn_strategies as rs
from rnn_strategies import cli
from rnn_strategies.runs.workspace import Home
from rnn_strategies.verify.verify import verify_run
from signals.common.errors import InputError, LockedError
from signals.common.storage import read_parquet, sha256_file, write_json, write_parquet

SUPPORT = Path(__file__).resolve().parents[1] / "support"
BACKTEST = ("returns.parquet", "positions.parquet", "transactions.parquet", "orders.parquet", "cash_flows.parquet")


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A finished run of two seeds with a benchmark, a sibling trial before it, and the home and ledger of both."""
    folder = tmp_path_factory.mktemp("verify")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RNN_STRATEGIES_LEDGER", str(folder / "ledger"))
        patch.syspath_prepend(str(SUPPORT))
        from configs import SMALL

        text = SMALL.replace("n_tickers = 40", "n_tickers = 12").replace("k = 8", "k = 3")
        text = text.replace('"2012-01-01"', '"2012-09-01"').replace('"2015-12-31"', '"2014-08-29"')
        text = text.replace("min_history = 60", "min_history = 40")
        text = text.replace("slippage = 0.0005", "slippage = 0.0005\ncash_interest_rate = 0.02")
        (folder / "c.toml").write_text(text + '[benchmark]\nticker = "SIM001"\n')
        home = Home(folder / "home")
        with patch.context() as quiet:
            quiet.setattr(
                "rnn_strategies.pipelines.panel_run.write_report", lambda run: (run / "report.html").write_text("-")
            )
            rs.run(folder / "c.toml", out=folder / "sibling", overrides=["strategy.k=5"], jobs=1, home=home)
        rs.run(folder / "c.toml", out=folder / "run", jobs=1, home=home)
    return folder


@pytest.fixture
def run(made, tmp_path, support, monkeypatch):
    """The same, to be spoilt: a copy of everything under other paths."""
    copy = tmp_path / "copy"
    shutil.copytree(made, copy)
    ledger = copy / "ledger" / "ledger.jsonl"
    ledger.write_text(ledger.read_text().replace(json.dumps(str(made))[1:-1], json.dumps(str(copy))[1:-1]))
    monkeypatch.setenv("RNN_STRATEGIES_LEDGER", str(copy / "ledger"))
    return copy / "run"


@pytest.fixture
def home(run):
    return Home(run.parent / "home")


@pytest.fixture
def drawn_before(run, monkeypatch):
    """Take the report for granted: drawing takes most of the time."""
    report = (run / "report.html").read_bytes()
    monkeypatch.setattr(
        "rnn_strategies.pipelines.panel_run.write_report", lambda to: (to / "report.html").write_bytes(report)
    )


@pytest.fixture
def no_drawing(monkeypatch):
    monkeypatch.setattr(
        "rnn_strategies.pipelines.panel_run.write_report", lambda run: (run / "report.html").write_text("-")
    )


def named(found):
    return {one.file for one in found.findings}


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


# -- runs as they are ------------------------------------------------------------------------------------------------


def test_an_untouched_run_passes_to_the_byte_of_its_report_and_nothing_is_written(run, home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = contents(tmp_path)
    found = verify_run(run, home=home)
    assert found.passed, found.text()
    assert found.warnings == ()
    assert (found.files, found.figures) == (17, len(json.loads((run / "metrics.json").read_bytes())))
    assert found.text().count("\n") == 0
    assert contents(tmp_path) == before


@pytest.mark.usefixtures("drawn_before")
def test_missing_networks_are_a_warning_and_results_of_scores_are_recomputed(run, home):
    shutil.rmtree(home.artifacts)
    found = verify_run(run, home=home)
    assert found.passed, found.text()
    assert ["not all networks are stored" in line for line in found.warnings] == [True]
    assert not home.artifacts.exists()
    edit(run, "folds.parquet", column="auc_volatility", row=0, change=lambda x: x + 0.01)
    from verified import match_hashes

    match_hashes(run)
    assert "folds.parquet" in named(verify_run(run, home=home))


@pytest.mark.usefixtures("drawn_before")
def test_without_prices_and_ledger_files_are_checked_against_each_other(run, tmp_path):
    """Prices that can be simulated again need no store; others do."""
    text = (run / "config.toml").read_text()
    assert 'source = "simulated"' in text
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RNN_STRATEGIES_LEDGER", str(tmp_path / "no ledger"))
        found = verify_run(run, home=Home(tmp_path / "nothing"))
    assert found.passed, found.text()
    assert any("ledger" in line for line in found.warnings)
    found = without_inputs(run, tmp_path)
    assert found.passed, found.text()
    assert any("prices are not stored" in line for line in found.warnings)


def without_inputs(run, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rnn_strategies.verify.inputs.REPEATABLE", ())
        patch.setenv("RNN_STRATEGIES_LEDGER", str(tmp_path / "no ledger"))
        return verify_run(run, home=Home(tmp_path / "nothing"))


@pytest.mark.usefixtures("drawn_before")
def test_results_of_other_versions_are_compared_to_nine_digits(run, home, monkeypatch):
    from rnn_strategies.runs.manifest import versions

    monkeypatch.setattr("rnn_strategies.verify.folder.versions", lambda: versions() | {"numpy": "9.9"})
    found = verify_run(run, home=home)
    assert found.passed, found.text()
    assert ["numpy" in line and "nine digits" in line for line in found.warnings] == [True]
    from verified import match_hashes

    edit(run, "returns.parquet", column="returns", row=30, change=lambda x: x * (1 + 1e-13))
    match_hashes(run)
    assert "returns.parquet" not in named(verify_run(run, home=home))
    edit(run, "returns.parquet", column="returns", row=30, change=lambda x: x + 1e-6)
    match_hashes(run)
    assert "returns.parquet" in named(verify_run(run, home=home))


@pytest.mark.usefixtures("drawn_before")
def test_file_that_does_not_belong_is_a_warning(run, home):
    (run / "notes.txt").write_text("mine")
    found = verify_run(run, home=home)
    assert found.passed
    assert found.warnings == ("notes.txt does not belong to the run and was not checked",)


@pytest.mark.usefixtures("no_drawing")
def test_a_table_that_the_report_would_show_must_be_of_the_run(made, run, tmp_path):
    single = rs.run(made / "c.toml", out=tmp_path / "one", overrides=["training.seeds=[0]"], jobs=1)
    from verified import assert_verified

    assert_verified(single.folder)
    shutil.copy(run / "seed_returns.parquet", single.folder)
    assert named(verify_run(single.folder)) == {"seed_returns.parquet"}


def test_missing_folder_raises_and_folder_without_run_is_a_finding(tmp_path):
    with pytest.raises(InputError, match="expected a run folder"):
        verify_run(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    assert named(verify_run(tmp_path / "empty")) == {"manifest.json"}


def test_locked_run_raises(run, home):
    from rnn_strategies.runs.workspace import locked

    with locked(run), pytest.raises(LockedError):
        verify_run(run, home=home)


# -- tampering -------------------------------------------------------------------------------------------------------


def edit(run, file, *, column, row, change):
    """Change one cell of a table, which is written as the run writes it."""
    table = read_parquet(run / file)
    values = table[column].to_numpy().copy()
    values[row] = change(values[row])
    write_table(run / file, table.assign(**{column: values}))


def write_table(path, table):
    write_parquet(path, table.set_index(table.columns[0]))


def rows(run, file, keep):
    table = read_parquet(run / file)
    write_table(run / file, keep(table).reset_index(drop=True))


def in_json(run, file, change):
    path = run / file
    content = json.loads(path.read_bytes())
    change(content)
    write_json(path, content)


def in_text(run, file, old, new):
    path = run / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def shift_a_date(run):
    edit(run, "signals.parquet", column="date", row=-1, change=lambda day: day + np.timedelta64(1, "D"))


def swap_seeds(run):
    rows(run, "seed_scores.parquet", lambda t: t.assign(seed=1 - t["seed"]).sort_values(["date", "ticker", "seed"]))


def lift_a_score_of_both(run):
    """One seed's score and what follows from it, so that mean and spread fit again."""
    seeds = read_parquet(run / "seed_scores.parquet")
    seeds.loc[0, "score"] += 0.2
    write_table(run / "seed_scores.parquet", seeds)
    signals = read_parquet(run / "signals.parquet")
    both = seeds["score"].to_numpy()[:2]
    signals.loc[0, "score"], signals.loc[0, "score_std"] = both.mean(), both.std()
    write_table(run / "signals.parquet", signals)


def compound_again(run):
    """A better day, and the account after it as it would have been."""
    edit(run, "returns.parquet", column="returns", row=40, change=lambda x: x + 0.01)
    returns = read_parquet(run / "returns.parquet")["returns"].to_numpy()
    cash = json.loads((run / "manifest.json").read_bytes())["backtest"]["initial_cash"]
    table = read_parquet(run / "positions.parquet")
    held = table.drop(columns=["date", "cash"]).sum(axis=1).to_numpy()
    write_table(run / "positions.parquet", table.assign(cash=cash * (1 + returns).cumprod() - held))


def forge_everything(run):
    """Returns, and metrics made from them."""
    from reports.report import write_metrics

    compound_again(run)
    write_metrics(run)


def no_commission(run):
    rows(run, "transactions.parquet", lambda t: t.assign(commission=0.0))


def of_the_sibling(run):
    for file in (*BACKTEST, "metrics.json"):
        shutil.copy(run.parent / "sibling" / file, run)


def worse_benchmark(run):
    rows(run, "benchmark.parquet", lambda t: t.assign(benchmark=t["benchmark"] - 1e-4))


def without_the_sibling(run):
    own = json.loads((run / "manifest.json").read_bytes())["trial"]["id"]
    rows(run, "trials.parquet", lambda t: t[t["trial"] == own])
    in_json(run, "manifest.json", lambda m: m["trial"].update(started=1, finished=1))


def better_sibling(run):
    own = json.loads((run / "manifest.json").read_bytes())["trial"]["id"]
    rows(run, "trials.parquet", lambda t: t.assign(returns=t["returns"].where(t["trial"] == own, t["returns"] - 1e-3)))


def drop_an_order(run):
    table = read_parquet(run / "orders.parquet")
    first = table.index[table["filled"] > 0][0]
    write_table(run / "orders.parquet", table.drop(first))


def edit_config_and_hash(run):
    from rnn_strategies.config.panel_config import load_config

    in_text(run, "config.toml", "k = 3", "k = 4")
    in_json(run, "manifest.json", lambda m: m.update(config_hash=load_config(run / "config.toml").hash))


def other_prices(run):
    """Other prices, which are in the store too."""
    prices = rs.load_prices(source="simulated", seed=8, n_tickers=12, start="2012-09-01", end="2014-08-29")
    digest = Home(run.parent / "home").inputs.put(prices.save)
    in_json(run, "manifest.json", lambda m: m["inputs"]["prices"].update(sha256=digest))


def not_simulated(run):
    def change(manifest):
        manifest["simulated"] = manifest["inputs"]["prices"]["meta"]["simulated"] = False

    in_json(run, "manifest.json", change)


def other_picture(run):
    text = (run / "report.html").read_text()
    first, second = list(re.finditer(r'src="data:image/[^"]*"', text))[:2]
    (run / "report.html").write_text(text[: first.start()] + second.group() + text[first.end() :])


def same_figures_other_bytes(run):
    pd.read_parquet(run / "returns.parquet").to_parquet(run / "returns.parquet")


def cut_short(run):
    path = run / "labels.parquet"
    path.write_bytes(path.read_bytes()[:-20])


def in_the_store(run):
    digest = json.loads((run / "manifest.json").read_bytes())["inputs"]["prices"]["sha256"]
    path = Home(run.parent / "home").inputs.path(digest)
    table = pd.read_parquet(path)
    table.assign(close=table["close"] * 1.01).to_parquet(path)


def cell(file, column, row, by):
    return lambda run: edit(run, file, column=column, row=row, change=lambda x: x + by)


TAMPERING = {
    "a score": (cell("signals.parquet", "score", 7, 1e-9), "signals.parquet"),
    "a spread between seeds": (cell("signals.parquet", "score_std", 7, -1e-3), "signals.parquet"),
    "a date": (shift_a_date, "signals.parquet"),
    "a row of signals": (lambda run: rows(run, "signals.parquet", lambda t: t.drop(5)), "signals.parquet"),
    "a last day of training": (
        cell("signals.parquet", "trained_until", 9, np.timedelta64(-7, "D")),
        "signals.parquet",
    ),
    "seeds swapped": (swap_seeds, "seed_scores.parquet"),
    "a seed and the mean": (lift_a_score_of_both, "signals.parquet"),
    "a label": (
        lambda run: edit(run, "labels.parquet", column="label", row=3, change=lambda x: 1 - x),
        "labels.parquet",
    ),
    "an outcome": (cell("labels.parquet", "forward_return", 3, 0.02), "labels.parquet"),
    "the AUC of a fold": (cell("folds.parquet", "auc_ensemble", 0, 0.05), "folds.parquet"),
    "a loss": (cell("history.parquet", "validation_loss", 0, -0.1), "history.parquet"),
    "a return": (cell("returns.parquet", "returns", 40, 0.01), "returns.parquet"),
    "a return, compounded again": (compound_again, "returns.parquet"),
    "a return, with everything that follows": (forge_everything, "returns.parquet"),
    "a position": (cell("positions.parquet", "cash", 50, 1000.0), "positions.parquet"),
    "the price of a fill": (cell("transactions.parquet", "price", 2, -0.5), "transactions.parquet"),
    "commissions": (no_commission, "transactions.parquet"),
    "an order": (drop_an_order, "orders.parquet"),
    "the fate of an order": (
        lambda run: edit(run, "orders.parquet", column="status", row=4, change=lambda _: "cancelled"),
        "orders.parquet",
    ),
    "a cash flow": (cell("cash_flows.parquet", "amount", 3, 5.0), "cash_flows.parquet"),
    "a cash flow that never was": (
        lambda run: rows(run, "cash_flows.parquet", lambda t: pd.concat([t, t.iloc[[-1]].assign(kind="dividend")])),
        "cash_flows.parquet",
    ),
    "cash flows left out": (lambda run: (run / "cash_flows.parquet").unlink(), "cash_flows.parquet"),
    "the backtest of another run": (of_the_sibling, "returns.parquet"),
    "the benchmark": (worse_benchmark, "benchmark.parquet"),
    "the universe": (cell("benchmark.parquet", "universe", 30, -0.01), "benchmark.parquet"),
    "a seed alone": (cell("seed_returns.parquet", "1", 30, 0.01), "seed_returns.parquet"),
    "another trial": (better_sibling, "trials.parquet"),
    "the number of trials": (without_the_sibling, "manifest.json"),
    "a metric": (
        lambda run: in_json(run, "metrics.json", lambda m: m.update(sharpe_ratio=m["sharpe_ratio"] + 1)),
        "metrics.json",
    ),
    "a metric left out": (lambda run: in_json(run, "metrics.json", lambda m: m.pop("max_drawdown")), "metrics.json"),
    "a word of the report": (lambda run: in_text(run, "report.html", "Sharpe ratio", "Sharpe Ratio"), "report.html"),
    "a warning of the report": (
        lambda run: in_text(run, "report.html", "The prices of this run", "Nothing"),
        "report.html",
    ),
    "a picture of the report": (other_picture, "report.html"),
    "the last line of the report": (
        lambda run: in_text(run, "report.html", '<p class="stamp">', '<p class="stamp">audited by everybody · '),
        "report.html",
    ),
    "a setting": (lambda run: in_text(run, "config.toml", "k = 3", "k = 4"), "config.toml"),
    "a comment in the settings": (
        lambda run: (run / "config.toml").write_text("# fine\n" + (run / "config.toml").read_text()),
        "config.toml",
    ),
    "a setting and its hash": (edit_config_and_hash, "config.toml"),
    "a warning": (lambda run: in_json(run, "manifest.json", lambda m: m["warnings"].pop()), "manifest.json"),
    "cash at the beginning": (
        lambda run: in_json(run, "manifest.json", lambda m: m["backtest"].update(initial_cash=1e5)),
        "manifest.json",
    ),
    "sizes of the universe": (
        lambda run: in_json(run, "manifest.json", lambda m: m["universe_sizes"].update({"2014-01-03": 500})),
        "manifest.json",
    ),
    "a version": (
        lambda run: in_json(run, "manifest.json", lambda m: m["versions"].update(numpy="1.0")),
        "manifest.json",
    ),
    "that prices are simulated": (not_simulated, "manifest.json"),
    "other prices": (other_prices, "manifest.json"),
    "the stored prices": (in_the_store, "STORE"),
    "a file left out": (lambda run: (run / "orders.parquet").unlink(), "orders.parquet"),
    "the same in other bytes": (same_figures_other_bytes, "returns.parquet"),
    "a file cut short": (cut_short, "labels.parquet"),
    "no manifest": (lambda run: (run / "manifest.json").unlink(), "manifest.json"),
    "no manifest that can be read": (lambda run: (run / "manifest.json").write_text("[]"), "manifest.json"),
    "no report": (lambda run: (run / "report.html").unlink(), "report.html"),
}


# what shares its way through the code with a kind that always runs
RARE = {
    "a spread between seeds", "a label", "a seed and the mean", "a return", "a return, compounded again", "a position",
    "commissions", "the fate of an order", "the universe", "a metric left out", "a word of the report",
    "sizes of the universe", "a comment in the settings", "a file cut short", "no manifest", "a last day of training",
    "no manifest that can be read", "an outcome", "a row of signals", "a warning", "a cash flow that never was",
    "cash flows left out",
}  # fmt: skip
KINDS = [pytest.param(kind, marks=pytest.mark.slow if kind in RARE else ()) for kind in TAMPERING]


def holds(found, run, file):
    """Hold findings to naming the file, in one line each; nothing but what was touched is blamed."""
    assert not found.passed, "nothing was noticed"
    if file == "STORE":
        digest = json.loads((run / "manifest.json").read_bytes())["inputs"]["prices"]["sha256"]
        file = str(Home(run.parent / "home").inputs.path(digest))
    assert file in named(found), found.text()
    assert len(found.text().splitlines()) == len(found.findings) + len(found.warnings)
    return named(found)


@pytest.mark.usefixtures("drawn_before")
@pytest.mark.parametrize("kind", KINDS)
def test_tampering_with_updated_hashes_is_found(run, home, kind):
    from verified import match_hashes

    spoil, file = TAMPERING[kind]
    before = contents(run)
    spoil(run)
    touched = {path.name for path in {*before, *contents(run)} if before.get(path) != contents(run).get(path)}
    if "manifest" not in kind:
        match_hashes(run)
    blamed = holds(verify_run(run, home=home), run, file)
    # metrics do not follow from what another trial is claimed to have returned
    if file != "STORE" and kind not in ("other prices", "another trial", "the number of trials"):
        assert blamed <= touched | {"manifest.json"}, blamed


@pytest.mark.slow
@pytest.mark.usefixtures("drawn_before")
@pytest.mark.parametrize("kind", TAMPERING)
def test_tampering_without_updated_hashes_is_found(run, home, kind):
    spoil, file = TAMPERING[kind]
    spoil(run)
    holds(verify_run(run, home=home), run, file)


@pytest.mark.usefixtures("drawn_before")
@pytest.mark.parametrize(
    ("kind", "file"),
    [
        ("a score", "signals.parquet"),
        ("a row of signals", "seed_scores.parquet"),
        ("a last day of training", "folds.parquet"),
        ("seeds swapped", "folds.parquet"),
        ("an outcome", "folds.parquet"),
        ("the AUC of a fold", "folds.parquet"),
        ("a loss", "history.parquet"),
        ("a return", "returns.parquet"),
        ("a return, compounded again", "returns.parquet"),
        ("a position", "returns.parquet"),
        ("the price of a fill", "returns.parquet"),
        ("commissions", "returns.parquet"),
        ("an order", "orders.parquet"),
        ("a cash flow", "returns.parquet"),
        ("a cash flow that never was", "returns.parquet"),
        ("cash flows left out", "cash_flows.parquet"),
        ("a seed alone", "metrics.json"),
        ("the benchmark", "metrics.json"),
        ("a metric", "metrics.json"),
        ("a file cut short", "labels.parquet"),
        ("a setting", "config.toml"),
        ("a setting and its hash", "config.toml"),
    ],
)
def test_tampering_is_found_without_the_inputs(run, tmp_path, kind, file):
    """Matched hashes, no prices, no networks, no ledger: the files of the run alone."""
    from verified import match_hashes

    TAMPERING[kind][0](run)
    match_hashes(run)
    found = without_inputs(run, tmp_path)
    assert file in named(found), found.text()


def test_a_report_is_drawn_again_and_a_figure_of_it_is_named(run, home):
    in_text(run, "report.html", "<td>", "<td>9")
    found = verify_run(run, home=home)
    assert named(found) == {"report.html"}
    assert re.search(r"report\.html: line \d+ is '.*9.*'; recomputed it is ", found.text())


@pytest.mark.usefixtures("drawn_before")
def test_different_figure_is_in_the_finding(run, home):
    edit(run, "returns.parquet", column="returns", row=40, change=lambda _: 0.5)
    day = read_parquet(run / "returns.parquet")["date"][40]
    found = verify_run(run, home=home)
    assert f"returns.parquet: returns on {day:%Y-%m-%d} is 0.5; recomputed " in found.text()


def test_sharpe_ratio_that_differs_from_the_ledger_is_found(run, home, tmp_path):
    """The ledger holds another Sharpe ratio than `metrics.json`."""
    from dataclasses import replace

    from rnn_strategies.trials.trial_ledger import default_ledger

    own = json.loads((run / "manifest.json").read_bytes())["trial"]["id"]
    ledger = default_ledger()
    ledger.finish(replace(ledger.trials()[own], sharpe=9.0))
    assert "metrics.json: sharpe_ratio is" in verify_run(run, home=home).text()


def test_edited_version_is_found_by_the_report(run, home):
    in_json(run, "manifest.json", lambda m: m["versions"].update({"rnn-strategies": "0.0.9"}))
    assert named(verify_run(run, home=home)) == {"report.html"}


# -- damage ----------------------------------------------------------------------------------------------------------


def places(value, path=()):
    """Every place of nested JSON; of a list the first only."""
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for key, part in inner:
        yield from places(part, (*path, key))


@pytest.mark.slow
@pytest.mark.usefixtures("drawn_before")
def test_any_change_of_the_manifest_is_a_finding_and_no_exception(run, home, tmp_path):
    manifest = json.loads((run / "manifest.json").read_bytes())
    gone = object()
    for path in places(manifest):
        for value in (None, "x", [], {}, 7, gone):
            changed = part = copy.deepcopy(manifest)
            for key in path[:-1]:
                part = part[key]
            if value is gone:
                del part[path[-1]]
            else:
                part[path[-1]] = value
            write_json(run / "manifest.json", changed)
            without_inputs(run, tmp_path)
            if value is None and changed != manifest and path[0] != "versions" and len(path) < 4:
                assert not verify_run(run, home=home).passed, path


@pytest.mark.slow
@pytest.mark.usefixtures("drawn_before")
def test_any_fault_of_a_table_is_a_finding_without_the_inputs(run, tmp_path):
    from verified import match_hashes

    shutil.copytree(run, tmp_path / "kept")
    for file in sorted(run.glob("*.parquet")):
        table = read_parquet(file)
        spoilt = {
            "empty": table.iloc[:0],
            "half": table.iloc[: len(table) // 2],
            "backwards": table.iloc[::-1],
            "twice": pd.concat([table, table.iloc[:1]]),
        }
        for name in table.columns[:16]:
            spoilt |= {f"no {name}": table.drop(columns=name)}
            # words that nothing else in a run repeats: only trading again shows them
            values = [float("nan")] if name in ("type", "reason", "status") else ["x", float("nan")]
            spoilt |= {f"{name} = {value}": table.assign(**{name: value}) for value in values}
        for what, wrong in spoilt.items():
            write_table(file, wrong)
            match_hashes(run)
            assert not without_inputs(run, tmp_path).passed, (file.name, what)
            for kept in (tmp_path / "kept").iterdir():
                shutil.copy(kept, run / kept.name)


# -- other kinds of runs -------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_drawing")
def test_custom_models_and_reference_files(made, tmp_path, support):
    from verified import assert_verified, match_hashes

    months = pd.date_range("2010-01-01", "2014-08-01", freq="MS")
    rates = pd.DataFrame({"observation_date": months.strftime("%Y-%m-%d"), "RATE": np.linspace(1, 3, len(months))})
    rates.to_csv(tmp_path / "rates.csv", index=False)
    text = (made / "c.toml").read_text()
    head, tail = text.split("[model]")
    tail = tail[tail.index("[training]") :]
    own = '[model]\nkind = "sklearn.linear_model:LogisticRegression"\nlookback = 8\n'
    own += '[features]\ninputs = ["return", "macro(RATE)"]\nmacro = {path = "rates.csv", publication_lag = "45D"}\n'
    (tmp_path / "c.toml").write_text(head + own + tail)
    run = rs.run(tmp_path / "c.toml", out=tmp_path / "run", jobs=1)
    found = assert_verified(run.folder)
    assert any("custom models are not stored" in line for line in found.warnings)
    with open(tmp_path / "rates.csv", "a") as file:
        file.write("2014-09-01,9\n")
    found = assert_verified(run.folder)  # what was read beside prices is another file now
    assert any(
        "rates.csv was changed after the run: the scores of the run were used" in line for line in found.warnings
    )
    edit(run.folder, "signals.parquet", column="score", row=2, change=lambda x: x + 0.1)
    match_hashes(run.folder)
    assert "signals.parquet" in named(verify_run(run.folder))


@pytest.mark.usefixtures("no_drawing")
def test_imported_scores(run, made, tmp_path, support, monkeypatch):
    from verified import assert_verified, match_hashes

    scores = read_parquet(run / "signals.parquet")[["date", "ticker", "score"]]
    early = scores.iloc[:1].assign(date=pd.Timestamp("2012-01-06"))
    pd.concat([early, scores]).to_csv(tmp_path / "scores.csv", index=False)
    text = (made / "c.toml").read_text()
    kept = text.split("[universe]")[0] + "[strategy]" + text.split("[strategy]")[1]
    (tmp_path / "i.toml").write_text(kept)
    imported = rs.import_scores(
        tmp_path / "scores.csv", config=tmp_path / "i.toml", out=tmp_path / "i", on_uncovered="drop"
    )
    imported.compute_backtest()
    imported.write_report()
    assert_verified(imported.folder)
    (tmp_path / "scores.csv").rename(tmp_path / "moved.csv")
    found = assert_verified(imported.folder)
    assert any("file of imported scores is missing" in line for line in found.warnings)
    untouched = contents(imported.folder)
    edit(imported.folder, "signals.parquet", column="score", row=4, change=lambda x: x + 0.1)
    assert named(verify_run(imported.folder)) == {"signals.parquet"}
    match_hashes(imported.folder)
    assert "signals.parquet" in named(verify_run(imported.folder))
    for path, content in untouched.items():
        path.write_bytes(content)
    (tmp_path / "moved.csv").rename(tmp_path / "scores.csv")
    edit(imported.folder, "labels.parquet", column="forward_return", row=4, change=lambda x: x + 0.1)
    match_hashes(imported.folder)
    assert named(verify_run(imported.folder)) == {"labels.parquet", "manifest.json"}


@pytest.mark.usefixtures("no_drawing")
def test_edited_or_missing_custom_strategy(made, tmp_path, support, monkeypatch):
    from verified import assert_verified

    module = tmp_path / "plug" / "verified_strategy.py"
    module.parent.mkdir()
    module.write_text("import backtrader as bt\n\n\nclass Own(bt.Strategy):\n    pass\n")
    own = ["strategy.kind=verified_strategy:Own"]
    with monkeypatch.context() as patch:
        patch.syspath_prepend(str(module.parent))
        run = rs.run(made / "c.toml", out=tmp_path / "run", overrides=own, jobs=1)
        assert_verified(run.folder)
        module.write_text(module.read_text() + "# edited\n")
        found = verify_run(run.folder)
        assert named(found) == {"manifest.json"}
        assert "custom code" in found.text()
    sys.modules.pop("verified_strategy")
    found = verify_run(run.folder)
    assert found.passed, found.text()
    assert any("the backtest could not be repeated" in line for line in found.warnings)


@pytest.mark.usefixtures("no_drawing")
def test_a_new_title_or_name_is_no_difference(made, tmp_path, support):
    from verified import assert_verified

    rs.run(made / "c.toml", out=tmp_path / "run", jobs=1)
    rs.run(made / "c.toml", out=tmp_path / "run", overrides=["report.title=Better", "name=other"], jobs=1)
    assert_verified(tmp_path / "run")


# -- the command -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("drawn_before")
def test_the_command_takes_several_runs_and_fails_when_one_differs(run, home, monkeypatch, capsys):
    monkeypatch.setenv("RNN_STRATEGIES_HOME", str(home.root))

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["rnn-strategies", "verify", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code or 0
        return code, *capsys.readouterr()

    code, out, err = command(run)
    assert code == 0, err
    assert re.fullmatch(rf"{run}: nothing differs \(17 files, \d+ figures in metrics\.json\)\n", out)
    before = sha256_file(run / "manifest.json")
    in_json(run, "metrics.json", lambda m: m.update(annual_return=9.0))
    code, out, _ = command(run, run)
    assert code == 1
    assert [line.split(" is ")[0] for line in out.splitlines()] == [f"{run}/metrics.json: annual_return"] * 2
    assert sha256_file(run / "manifest.json") == before
    code, _, err = command(run.parent / "none")
    assert code == 2
    assert "expected a run folder" in err
