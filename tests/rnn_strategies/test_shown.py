"""Representations of results at a prompt and in a notebook."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

import rnn_strategies as rs
from rnn_strategies.pipelines.run_config import open_run
from signals.common.summary_card import Card


class Text(HTMLParser):
    """Words of a piece of HTML, and the tags they stand in."""

    def __init__(self, html):
        super().__init__()
        self.words, self.tags, self.open = [], set(), []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


PLAIN = {"div", "strong", "table", "tbody", "tr", "th", "td", "ul", "li"}


def test_a_card_is_escaped_and_says_the_same_both_ways():
    card = Card("<script>", [("a<b", "1 & 2"), ("longer", "x")], [f"remark {i} <i>" for i in range(7)])
    html = Text(card.html())
    assert html.tags <= PLAIN
    for words in ("<script>", "a<b", "1 & 2", "remark 4 <i>", "and 2 more"):
        assert words in "|".join(html.words)
        assert words in card.text()
    assert card.text().splitlines()[1:3] == ["  a<b     1 & 2", "  longer  x"]


@pytest.fixture(scope="module")
def traded():
    prices = rs.load_prices(source="simulated", seed=2, n_tickers=6, start="2014-01-01", end="2014-12-31")
    close = prices.frame["close"]
    scores = close[close.index.get_level_values("date").day_of_week == 4].rename("score")
    broker = rs.BrokerSettings(cash=1e6, commission=0.001, slippage=0.0005)
    return rs.run_backtest(prices, scores, allocation=rs.TopK(2), broker=broker)


def test_a_result(traded):
    lines = repr(traded).splitlines()
    assert lines[0] == "BacktestResult of TopK (simulated prices)"
    final = traded.positions.sum(axis=1).iloc[-1]
    assert f"1,000,000 to {final:,.0f} ({final / 1e6 - 1:+.2%})" in lines[2]
    wealth = np.r_[1.0, (1 + traded.returns).cumprod()]
    deepest = (wealth / np.maximum.accumulate(wealth) - 1).min()
    assert lines[3].split() == ["maximum", "drawdown", f"{deepest:.2%}"]
    assert f"{len(traded.transactions):,}" in repr(traded)
    assert len(lines) < 15
    html = Text(traded._repr_html_())
    assert html.tags <= PLAIN
    assert "maximum drawdown" in html.words


def test_a_result_with_nothing_in_it(traded):
    from dataclasses import replace

    nothing = replace(traded, returns=traded.returns.iloc[:0], positions=traded.positions.iloc[:0])
    assert repr(nothing).splitlines()[0] == "BacktestResult"
    still = replace(traded, transactions=traded.transactions.iloc[:0], orders=traded.orders.iloc[:0])
    assert re.search(r"orders +none", repr(still))


def test_a_run_at_every_stage(support, tmp_path, monkeypatch):
    from configs import write_small

    monkeypatch.setattr(
        "rnn_strategies.pipelines.panel_run.write_report", lambda folder: (folder / "report.html").write_text("-")
    )
    made = open_run(write_small(tmp_path / "a.toml", name='name = "a<b"'), out=tmp_path / "run", jobs=1)
    assert "nothing yet" in repr(made)
    made.compute_signals()
    assert re.search(r"done +signals\n", repr(made))
    assert re.search(r"scores +[\d,]+ from 2014", repr(made))
    made.compute_backtest()
    made.write_report()
    assert re.search(r"done +signals, backtest, report\n", repr(made))
    assert re.search(r"strategy +annual return [+-]", repr(made))
    assert "simulated" in repr(made)
    html = Text(made._repr_html_())
    assert html.tags <= PLAIN
    assert "Run a<b" in html.words
    (made.folder / "metrics.json").write_text("{")
    # damaged files must not keep a notebook from showing the run
    assert re.search(r"done +signals, report\n", repr(open_run(made.folder)))


def test_signals(traded):
    import pandas as pd

    from signals.walk_forward.results import SignalResult

    index = traded.positions.index.tz_localize(None)[:4]
    frame = pd.DataFrame(
        {"score": 0.5}, index=pd.MultiIndex.from_product([index, ["A", "B"]], names=["date", "ticker"])
    )
    folds = pd.DataFrame({"fold": [0, 0, 1, 1], "auc_ensemble": [0.5, 0.5, 0.6, 0.6], "rank_ic_ensemble": np.nan})
    shown = SignalResult(frame, frame, frame, folds, folds, {}, {}, trained=3, reused=1)
    assert "8 of 2 tickers on 4 dates" in repr(shown)
    assert "3 trained, 1 reused" in repr(shown)
    assert "0.550, mean over folds (2)" in repr(shown)
    assert "rank IC" not in repr(shown)
    assert Text(shown._repr_html_()).tags <= PLAIN
