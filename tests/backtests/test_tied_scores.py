"""Tied scores: they are warned about, and what is held does not follow the alphabet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

import rnn_strategies as rs
from backtests.allocation_checks import unequal_ties
from backtests.allocations import Allocation

NAMES = list("ABCDEFGH")
DATES = 12


@dataclass(frozen=True, slots=True)
class FirstOfTheTied(Allocation):
    """As many people write it: the order of the tickers decides between equal scores."""

    def choose(self, scores):
        share = np.zeros_like(scores)
        share[np.argsort(-scores, kind="stable")[:2]] = 0.5
        return share


@dataclass(frozen=True, slots=True)
class OwnTop(rs.TopK):
    """A subclass of `TopK` that chooses by itself."""

    def choose(self, scores):
        share = np.zeros_like(scores)
        share[np.argsort(-scores, kind="stable")[: self.k]] = 1.0 / self.k
        return share


class NoAllocation:
    """Has what an allocation needs and derives from nothing."""

    can_be_short = False

    def target_weights(self, scores, weights, tradable):
        target = np.where(tradable, 0.0, weights)
        ranked = np.argsort(-np.where(tradable, scores, -np.inf), kind="stable")[:2]
        target[ranked] = 0.5
        return target


@dataclass(frozen=True, slots=True)
class SameForTheSame(Allocation):
    """Gives names with equal scores equal weights."""

    def choose(self, scores):
        return np.where(scores == scores.max(), 1.0 / np.count_nonzero(scores == scores.max()), 0.0)


SCORES = {
    # of A to H, on each date; how many dates are tied where it matters for two places, and for a quarter on each side
    "all equal": [0.7] * 8,
    "tied at the top": [0.1, 0.9, 0.9, 0.9, 0.3, 0.4, 0.2, 0.5],
    "tied at the bottom": [0.9, 0.8, 0.7, 0.1, 0.1, 0.1, 0.5, 0.6],
    "tied in the middle": [0.9, 0.8, 0.5, 0.5, 0.5, 0.5, 0.2, 0.1],
    "not tied": [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2],
}
TOP = {"all equal", "tied at the top"}
EITHER = {"all equal", "tied at the top", "tied at the bottom"}
ALLOCATIONS = {
    "top": (rs.TopK(k=2), TOP),
    "top, slowed": (rs.TopK(k=2, max_turnover=0.3), TOP),
    "top, limited": (rs.TopK(k=2, max_weight=0.3), TOP),
    "long and short": (rs.LongShortQuantile(quantile=0.25), EITHER),
}
OWN = {
    "own": FirstOfTheTied(),
    "own top": OwnTop(k=2),
    "own, slowed": FirstOfTheTied(max_turnover=0.5),
    "no allocation": NoAllocation(),
}


@pytest.fixture
def traded(make_prices, days):
    """Trade the same scores every day under other names; prices and scores go with the names' places."""
    closes = 50.0 * np.exp(np.cumsum(np.random.default_rng(7).normal(0, 0.01, (DATES + 3, 8)), axis=0))

    def run(allocation, values, names=NAMES, *, dates=DATES):
        prices = make_prices({name: closes[:, place] for place, name in enumerate(names)})
        index = pd.MultiIndex.from_product(
            [pd.DatetimeIndex(days(dates).astype("datetime64[ns]")), names], names=["date", "ticker"]
        )
        by_date = values if isinstance(values[0], list) else [values] * dates
        scores = pd.DataFrame({"score": np.ravel(by_date)}, index=index).sort_index()
        broker = rs.BrokerSettings(cash=1e6, commission=0.001, slippage=0.0, borrow_rate=0.0, fractional=True)
        return rs.run_backtest(prices, scores, allocation=allocation, broker=broker)

    return run


def tie_warnings(result):
    return [line for line in result.warnings if "decision dates" in line]


def held(result, names):
    """Account currency by place, whatever the name there."""
    return result.positions[list(names)].to_numpy()


@pytest.mark.parametrize("kind", SCORES)
@pytest.mark.parametrize("name", ALLOCATIONS)
def test_ties_that_matter_are_warned_about(name, kind, traded):
    allocation, matters = ALLOCATIONS[name]
    lines = tie_warnings(traded(allocation, SCORES[kind]))
    if kind not in matters:
        assert lines == []
        return
    (line,) = lines
    what = "all scores were equal" if kind == "all equal" else "scores were tied at the border of the selection"
    assert line.startswith(f"On {DATES} of {DATES} decision dates {what}: tied tickers shared the remaining places")
    assert ("tickers tied across both sides were left out" in line) == (name == "long and short")


def test_only_the_dates_with_ties_are_counted(traded):
    values = [SCORES["all equal"]] * 2 + [SCORES["tied at the top"]] * 3 + [SCORES["not tied"]] * (DATES - 5)
    (line,) = tie_warnings(traded(rs.TopK(k=2), values))
    border = "scores were tied at the border of the selection (on 2 of them all scores were equal)"
    assert line.startswith(f"On 5 of {DATES} decision dates {border}: tied tickers shared")


@pytest.mark.parametrize("kind", SCORES)
@pytest.mark.parametrize("name", ALLOCATIONS)
def test_names_decide_nothing(name, kind, traded):
    """Whatever the places are called, and however the alphabet sorts them, the same is held of each."""
    allocation, _ = ALLOCATIONS[name]
    reference = held(traded(allocation, SCORES[kind]), NAMES)
    assert name == "long and short" or reference.any()
    for seed in range(3):
        names = [NAMES[j] for j in np.random.default_rng(seed).permutation(8)]
        renamed = traded(allocation, SCORES[kind], names)
        np.testing.assert_allclose(held(renamed, names), reference, rtol=1e-9, atol=1e-6)


def test_the_stated_rule_is_what_is_held(traded):
    """Two places, three names for them: each has a third of both; of eight equal ones each has an eighth."""
    weights = held(traded(rs.TopK(k=2), SCORES["tied at the top"]), NAMES)[-1] / 1e6
    assert weights[[1, 2, 3]] == pytest.approx([0.98 / 3] * 3, rel=0.05)
    assert not weights[[0, 4, 5, 6, 7]].any()
    weights = held(traded(rs.TopK(k=2), SCORES["all equal"]), NAMES)[-1] / 1e6
    assert weights == pytest.approx([0.98 / 8] * 8, rel=0.05)
    assert not held(traded(rs.LongShortQuantile(quantile=0.25), SCORES["all equal"]), NAMES).any()
    weights = held(traded(rs.LongShortQuantile(quantile=0.25), SCORES["tied at the bottom"]), NAMES)[-1] / 1e6
    assert weights[[3, 4, 5]] == pytest.approx([-0.49 / 3] * 3, rel=0.05)
    assert weights[[0, 1]] == pytest.approx([0.245] * 2, rel=0.05)


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("kind", ["all equal", "tied at the top"])
def test_an_allocation_that_follows_the_order_of_the_tickers_is_named(name, kind, traded):
    result = traded(OWN[name], SCORES[kind])
    (line,) = tie_warnings(result)
    assert f"{type(OWN[name]).__name__} gave different weights to tickers with equal scores" in line
    assert "such as the order of the tickers" in line
    assert "shared the places" not in line
    dates = int(line.split()[1])
    # a limit on turnover leaves only names with the same weight to compare
    assert dates == DATES if name != "own, slowed" else 1 <= dates <= DATES
    # and it does follow the alphabet: other names, another book
    backwards = NAMES[::-1]
    assert not np.allclose(held(traded(OWN[name], SCORES[kind], backwards), backwards), held(result, NAMES))


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("kind", ["tied at the bottom", "tied in the middle", "not tied"])
def test_nothing_is_said_where_ties_decide_nothing(name, kind, traded):
    assert tie_warnings(traded(OWN[name], SCORES[kind])) == []


@pytest.mark.parametrize("kind", SCORES)
@pytest.mark.parametrize(
    "allocation", [SameForTheSame(), rs.EqualWeight(), rs.Threshold(0.5), rs.ScoreWeighted(), rs.TopK(k=8)]
)
def test_equal_weights_for_equal_scores_need_no_warning(allocation, kind, traded):
    assert tie_warnings(traded(allocation, SCORES[kind])) == []


def test_the_warning_is_in_the_report(traded, tmp_path):
    result = traded(FirstOfTheTied(), SCORES["all equal"], dates=DATES)
    page = rs.tear_sheet(result, path=tmp_path / "report.html").read_text(encoding="utf-8")
    assert "FirstOfTheTied gave different weights to tickers with equal scores" in page


def test_groups_of_equal_scores_are_counted_whole():
    scores = np.array([0.1, 0.5, 0.1, 0.5, 0.5, 0.9])
    zero = np.zeros(6)
    assert unequal_ties(scores, np.array([0.0, 0.2, 0.0, 0.2, 0.2, 0.4]), zero) == 0
    assert unequal_ties(scores, np.array([0.0, 0.2, 0.0, 0.0, 0.2, 0.4]), zero) == 3
    assert unequal_ties(scores, np.array([0.1, 0.2, 0.0, 0.0, 0.2, 0.4]), zero) == 5
    # a turnover limit takes names that are held another way than names that are not
    weights = np.array([0.3, 0.0, 0.0, 0.0, 0.0, 0.0])
    target = np.array([0.2, 0.2, 0.1, 0.2, 0.2, 0.4])
    assert unequal_ties(scores, target, weights) == 2
    assert unequal_ties(scores, target, weights, slowed=True) == 0
    assert unequal_ties(scores[:1], target[:1], weights[:1]) == unequal_ties(scores[:0], target[:0], weights[:0]) == 0
