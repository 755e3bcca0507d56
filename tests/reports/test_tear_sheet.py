"""The written report: complete, self-contained, escaped, repeatable, and honest when there is little to say."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import empyrical as ep
import pandas as pd
import pytest

from backtests.result import BacktestResult
from reports.common.run_data import RunData, read_run
from reports.metrics.signal_quality import measure_signals
from reports.narrative import serious_warnings, stamp_line
from reports.report import render, tear_sheet, write_metrics, write_report
from signals.common.errors import InputError
from signals.common.storage import read_json, write_json, write_parquet
from signals.evaluation.long_run_variance import mean_interval

STAMP = "one stamp"


class Page(HTMLParser):
    """Text, tags and addresses of a page; raises on unbalanced tags."""

    VOID = frozenset({"meta", "link", "img", "br", "source"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).replace("\xa0", " ").split())

    def addresses(self) -> list[str]:
        names = ("src", "srcset", "href", "action", "poster", "data")
        return [value for _, attrs in self.tags for name, value in attrs.items() if name in names and value]


@pytest.fixture(scope="module")
def page(run) -> Page:
    return Page(write_report(run.folder, stamp=STAMP).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def short_page(short_run) -> Page:
    return Page(write_report(short_run.folder, stamp=STAMP).read_text(encoding="utf-8"))


def test_only_the_stamp_changes_between_writes(run, page, tmp_path):
    first = (run.folder / "report.html").read_bytes()
    data = read_run(run.folder)
    before = [data.returns.copy(), data.positions.copy(), data.transactions.copy()]
    again = render(data, stamp=STAMP)
    assert again == first
    for frame, old in zip((data.returns, data.positions, data.transactions), before, strict=True):
        assert frame.equals(old)

    folder = tmp_path / "run"
    shutil.copytree(run.folder, folder)
    line = stamp_line(read_json(folder / "timings.json"))
    assert line.startswith("finished 2024-05-06T07:08:09Z · host box")
    assert write_report(folder).read_bytes().replace(line.encode(), STAMP.encode()) == first


def test_nothing_is_fetched_and_nothing_runs(page, short_page):
    for each in (page, short_page):
        assert all(address.startswith(("data:", "#")) for address in each.addresses())
        assert not {"script", "iframe", "object", "embed", "form"} & {tag for tag, _ in each.tags}
        assert not any(name.startswith("on") for _, attrs in each.tags for name in attrs)
        policy = next(attrs for tag, attrs in each.tags if attrs.get("http-equiv") == "Content-Security-Policy")
        assert policy["content"] == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_no_web_address_anywhere(run, page):
    html = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "http://" not in html
    assert "https://" not in html
    assert "url(" not in html
    assert "@import" not in html


def test_sections_in_order(page):
    ids = [attrs["id"] for tag, attrs in page.tags if tag == "section"]
    assert ids == [
        *(
            "summary",
            "statistics",
            "significance",
            "returns",
            "drawdowns",
            "positions",
            "trading",
            "signal",
            "settings",
        ),
    ]


def test_every_image_says_what_it_shows(page):
    images = [attrs for tag, attrs in page.tags if tag == "img"]
    assert len(images) == 27
    for image in images:
        assert image["alt"]
        assert image["src"].startswith("data:image/")
        assert int(image["width"]) > 0
        assert int(image["height"]) > 0


def test_simulated_is_said_first_and_last(page):
    before_title, _, _ = page.text.partition("traded")
    assert "Simulated The prices behind this report were made by a random-number generator" in before_title
    assert "Prices are simulated, so this is no evidence about any market." in page.text


def test_warnings_stand_before_every_figure(short_page):
    assert "Simulated" not in short_page.text
    assert short_page.text.index("flatters every figure") < short_page.text.index("It returned")


def test_first_paragraph_states_the_measured_figures(short_run, short_page):
    annual = ep.annual_return(short_run.returns)
    assert f"It returned {100 * annual:.1f}% a year".replace("-", "−") in short_page.text
    assert "10.0 bp commission and 5.0 bp slippage" in short_page.text
    assert "SPY bought and held" in short_page.text
    assert "equal-weight universe after the same costs" in short_page.text
    assert "mean AUC of 0.5" in short_page.text
    # long and short balance, so the difference to a long-only universe would be the wrong measure
    assert "it is evaluated by its alpha" in short_page.text


def test_tables_are_there(short_page):
    for title in (
        *("Return and risk", "Comparisons", "Annual returns", "Worst drawdowns"),
        *("Stress periods", "Top holdings", "Round trips", "Orders by outcome", "Skill of the scores"),
        *("Skill by fold", "Fold slices and training", "Versions", "Hashes (SHA-256)"),
    ):
        assert title in short_page.text, title
    assert "China devaluation" in short_page.text
    assert "not enough cash" in short_page.text
    assert "b" * 64 in short_page.text


def test_simulated_dates_meet_no_real_crises(page):
    assert "Stress periods" not in page.text


def test_metrics_file(short_run):
    metrics = write_metrics(short_run.folder)
    written = json.loads((short_run.folder / "metrics.json").read_bytes())
    assert written == metrics
    assert written["sharpe_ratio"] == ep.sharpe_ratio(short_run.returns)
    assert written["auc_low"] < written["auc"] < written["auc_high"]
    assert all(isinstance(value, str | int | float | None) for value in written.values())
    before = (short_run.folder / "metrics.json").read_bytes()
    write_metrics(short_run.folder)
    assert (short_run.folder / "metrics.json").read_bytes() == before


EVIL = "<script>alert('x')</script>"


def test_outside_text_is_escaped(make_run, tmp_path):
    made = make_run(
        tmp_path / "run", sessions=140, tickers=12, held=6, folds=1, odd_names=(EVIL, 'B"><img src=x>', "$x$")
    )
    config = made.folder / "config.toml"
    config.write_text(
        config.read_text().replace('name = "made"', f'name = "{EVIL}"').replace('"SPY"', f'"{EVIL}"'), encoding="utf-8"
    )
    manifest = read_json(made.folder / "manifest.json")
    manifest["warnings"] = [EVIL]
    manifest["backtest"]["stopped"] = f"Stopped: {EVIL}"
    manifest["versions"] = {EVIL: EVIL}
    manifest["inputs"] = {EVIL: {"sha256": EVIL, "meta": {"files": {EVIL: EVIL}}}}
    write_json(made.folder / "manifest.json", manifest)
    orders = pd.read_parquet(made.folder / "orders.parquet").assign(status=EVIL, reason=EVIL)
    write_parquet(made.folder / "orders.parquet", orders)
    html = write_report(made.folder, stamp=EVIL).read_text(encoding="utf-8")
    assert "<script" not in html
    assert "<img src=x" not in html
    page = Page(html)
    assert page.text.count(EVIL) >= 10


@pytest.mark.parametrize(
    "changes",
    [
        {"trade": False},
        {"sessions": 10, "folds": 1},
        {"benchmark": False},
        {"folds": 1, "seeds": 1},
        {"crash": True, "shorts": True, "sessions": 60},
        {"tickers": 3, "held": 1},
    ],
    ids=["no trades", "ten days", "no benchmark", "one fold one seed", "ruined", "three tickers"],
)
def test_unusual_runs(make_run, tmp_path, changes):
    made = make_run(tmp_path / "run", **{"sessions": 150, **changes})
    metrics = write_metrics(made.folder)
    html = write_report(made.folder, stamp=STAMP).read_text(encoding="utf-8")
    page = Page(html)
    assert not re.search(
        r"\b(nan|nat|none|inf)\b", re.sub(r"base64,[^\"]*|'none'|<style>.*</style>", "", html, flags=re.S), re.I
    )
    assert 'src="None"' not in html
    if changes.get("trade") is False:
        assert "made no trades" in page.text
        assert "No trades were made, so there is no result to evaluate." in page.text
        assert "not drawn: no trades were made" in page.text
        assert metrics["transactions"] == 0
    if changes.get("sessions") == 10:
        assert "Only 10 sessions" in page.text
        assert "needs 131 sessions; there are 10" in page.text
    if changes.get("benchmark") is False:
        assert "Against SPY" not in page.text
        assert metrics["alpha"] is None
        assert metrics["alpha_universe"] is not None
    if changes.get("crash"):
        assert (
            "The account was closed or lost all of its value; the other figures of this report are not meaningful."
            in page.text
        )
        assert "fell to zero or below" in page.text


def test_too_good_a_signal_is_shouted(make_run, tmp_path):
    made = make_run(tmp_path / "run", sessions=120, folds=1, simulated=False, skill=8.0)
    page = Page(write_report(made.folder).read_text(encoding="utf-8"))
    first_warning = page.text.partition("Warnings")[2].strip()
    assert first_warning.startswith("Implausibly high skill: look for look-ahead bias.")
    assert "look for look-ahead bias before using any other figure" in page.text


def test_the_horizon_of_the_configuration_reaches_metrics_and_report(make_run, tmp_path):
    made = make_run(tmp_path / "run", sessions=400)
    config = made.folder / "config.toml"
    text = config.read_text(encoding="utf-8")
    assert read_run(made.folder).horizon == 1
    one = write_metrics(made.folder)
    dates = one["signal_dates"]
    for horizon in (3, dates // 4 + 1):
        config.write_text(f"{text}\n[labels]\nhorizon = {horizon}\n", encoding="utf-8")
        run = read_run(made.folder)
        assert run.horizon == horizon
        metrics = write_metrics(made.folder)
        quality = measure_signals(run.signals, run.labels, horizon=horizon, seed_scores=run.seed_scores)
        auc = mean_interval(quality.by_date["auc"], horizon=horizon)
        assert metrics["auc"] == one["auc"]
        page = Page(write_report(made.folder, stamp=STAMP).read_text(encoding="utf-8"))
        if horizon == 3:
            assert (metrics["auc_low"], metrics["auc_high"]) == (auc.low, auc.high)
            assert "outcomes that overlap over 3 decision dates" in page.text
        else:
            assert metrics["auc_low"] is None
            assert page.text.count("too few independent dates") >= 5
            assert "There are too few independent dates to distinguish the scores from chance" in page.text


def test_positions_that_do_not_compound_are_noticed(run):
    """backtrader's own PyFolio analyzer keeps the last feed and cash only; nothing but this sum shows it."""
    data = read_run(run.folder)
    assert serious_warnings(data, None) == []
    cut = RunData(title="x", returns=data.returns, positions=data.positions.iloc[:, -2:])
    assert serious_warnings(cut, None)[0].startswith("Positions do not add up to the returns")


def test_files_that_are_not_there(tmp_path, run):
    with pytest.raises(InputError, match=r"expected a finished backtest in .*; found no returns\.parquet; run"):
        write_report(tmp_path)
    folder = tmp_path / "bare"
    folder.mkdir()
    shutil.copy(run.folder / "returns.parquet", folder)
    page = Page(write_report(folder).read_text(encoding="utf-8"))
    assert [attrs["id"] for tag, attrs in page.tags if tag == "section"] == [
        *("summary", "statistics", "significance", "returns", "drawdowns", "settings"),
    ]
    assert "There is no comparison, so" in page.text


@pytest.mark.parametrize("name", ["returns.parquet", "positions.parquet", "manifest.json", "config.toml"])
def test_a_damaged_file_is_one_line_and_leaves_the_old_report(run, tmp_path, name):
    folder = tmp_path / "run"
    shutil.copytree(run.folder, folder)
    (folder / "report.html").write_text("the old one")
    path = folder / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] + b"\x00[")
    with pytest.raises(InputError, match=name) as error:
        write_report(folder)
    assert "\n" not in str(error.value)
    assert (folder / "report.html").read_text() == "the old one"


def result_of(made, **changes) -> BacktestResult:
    values = {
        "returns": made.returns,
        "positions": made.positions,
        "transactions": made.transactions,
        "orders": made.orders,
        "initial_cash": 1e6,
        "warnings": (),
        "stopped": None,
        "settings": {},
    }
    return BacktestResult(**(values | changes))


def test_tear_sheet_of_somebodys_own_result(short_run, tmp_path):
    result = result_of(short_run, warnings=("Rejected orders of 3% of all value.",))
    benchmark = short_run.benchmark["benchmark"].rename("IWM")
    benchmark.index = benchmark.index.tz_localize(None)
    path = tear_sheet(result, benchmark=benchmark, path=tmp_path / "deep" / "mine.html", title="Mine & yours")
    assert path == tmp_path / "deep" / "mine.html"
    page = Page(path.read_text(encoding="utf-8"))
    assert [attrs["id"] for tag, attrs in page.tags if tag == "section"] == [
        *("summary", "statistics", "significance", "returns", "drawdowns", "positions", "trading", "settings"),
    ]
    assert "Mine & yours" in page.text
    assert "Rejected orders of 3%" in page.text
    assert "IWM" in page.text
    assert "universe" not in page.text.lower().replace("equal-weight universe", "")


def test_tear_sheet_with_nothing_but_returns_and_cash(short_run, tmp_path):
    still = short_run.positions[["cash"]] * 0 + 1e6
    result = result_of(
        short_run,
        returns=short_run.returns * 0.0,
        positions=still,
        transactions=short_run.transactions.iloc[:0],
        orders=short_run.orders.iloc[:0],
    )
    page = Page(tear_sheet(result, path=tmp_path / "x.html").read_text(encoding="utf-8"))
    assert "not drawn: no position was held" in page.text
    assert "not drawn: the account's return never changed" in page.text


def test_stopped_account_comes_first(short_run, tmp_path):
    result = result_of(short_run, stopped="Stopped on 2016-01-04 at a value of −12.", warnings=("Something else.",))
    page = Page(tear_sheet(result, path=tmp_path / "x.html").read_text(encoding="utf-8"))
    assert page.text.index("Stopped on 2016-01-04") < page.text.index("Something else.")
    assert "The account was ruined" in page.text


def test_reports_never_import_backtrader_or_keras(make_run, tmp_path):
    run = make_run(tmp_path / "run", sessions=40, folds=1, seeds=1)
    code = (
        "import sys, warnings; from pathlib import Path; from reports.report import write_report, write_metrics\n"
        "assert not {'matplotlib', 'pyfolio', 'empyrical'} & set(sys.modules), 'imported before they are needed'\n"
        f"write_metrics(Path({str(run.folder)!r})); write_report(Path({str(run.folder)!r}), stamp='')\n"
        "assert not {'backtrader', 'keras', 'tensorflow'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (run.folder / "report.html").exists()
