"""An allocation is held to its universe and to its contract, with date, tickers and values in one line."""

from __future__ import annotations

import numpy as np
import pytest

import rnn_strategies as rs
from backtests.allocation_checks import check_enough_names, check_target_weights, idle_cash_warning
from signals.common.errors import InputError


@pytest.fixture(scope="module")
def prices(random_prices):
    return random_prices(20, 80, seed=3)


@pytest.fixture(scope="module")
def signals(prices, random_scores):
    return random_scores(prices)


NAMES = ["AAA", "BBB", "CCC"]
HELD = np.array([0.4, 0.0, 0.2])
TRADED = np.array([True, True, False])


class Own:
    """An allocation of one's own that returns what it was given."""

    can_be_short = False

    def __init__(self, returned, **attributes):
        self.returned = returned
        for name, value in attributes.items():
            setattr(self, name, value)

    def target_weights(self, scores, weights, tradable):
        return self.returned(weights) if callable(self.returned) else self.returned


def check(allocation, returned, weights=HELD, tradable=TRADED):
    return check_target_weights(allocation, returned, weights, tradable, tickers=NAMES, day="2015-03-02")


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (
            [0.9, 0.4, 0.2],
            r"sum to at most 1 \(no gross is stated\); found 1.5 on 2015-03-02 \(0.9 for AAA, 0.4 for BBB",
        ),
        ([0.5, np.nan, 0.2], r"3 finite weights, one per ticker; found nan for BBB on 2015-03-02"),
        ([np.inf, 0.0, 0.2], r"found inf for AAA on 2015-03-02"),
        ([0.5, -0.1, 0.2], r"no negative weight, since can_be_short is False; found -0.1 for BBB on 2015-03-02"),
        ([0.5, 0.0, 0.3], r"keep the weight of a ticker without a bar; found 0.3 for CCC on 2015-03-02"),
        ([0.5, 0.5], r"found shape \(2,\) on 2015-03-02"),
        ({"AAA": 1.0}, r"3 finite weights, one per ticker; found shape"),
        (None, r"3 finite weights, one per ticker; found"),
    ],
)
def test_weights_outside_the_contract_are_refused(returned, message):
    with pytest.raises(InputError, match=message) as refused:
        check(Own(returned), returned)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("attributes", "returned"),
    [
        ({}, [0.5, 0.3, 0.2]),
        ({}, [0.5, 0.5, 0.0]),  # a name without a bar is not traded
        ({"gross": 2.0}, [0.9, 0.9, 0.2]),
        ({"gross": 2.0, "can_be_short": True}, [0.9, -0.9, 0.2]),
        ({}, [0.8 + 1e-12, 0.0, 0.2]),
    ],
)
def test_weights_within_the_contract_pass(attributes, returned):
    assert check(Own(returned, **attributes), returned).tolist() == returned


def test_a_book_above_its_limit_may_stay_or_shrink_but_not_grow():
    heavy = np.array([0.9, 0.5, 0.0])
    traded = np.ones(3, dtype=bool)
    assert check(Own(None), heavy, heavy, traded).tolist() == heavy.tolist()
    assert check(Own(None), heavy * 0.9, heavy, traded).sum() == pytest.approx(1.26)
    with pytest.raises(InputError, match="sum to at most 1"):
        check(Own(None), heavy * 1.1, heavy, traded)


def test_a_run_is_refused_on_the_day_and_the_stated_remedy_works(prices, signals, settings):
    def run(allocation):
        return rs.run_backtest(prices, signals, allocation=allocation, broker=settings())

    n = len(signals.index.get_level_values("ticker").unique())
    first = signals.index.get_level_values("date")[0]
    with pytest.raises(InputError, match=rf"found 1.5 on {first:%Y-%m-%d}"):
        run(Own(np.full(n, 1.5 / n)))
    run(Own(np.full(n, 1.5 / n), gross=1.5))
    run(Own(np.full(n, 1.0 / n)))

    class Doubled(rs.EqualWeight):
        def choose(self, scores):
            return np.full(len(scores), 2.0 / len(scores))

    with pytest.raises(InputError, match=r"expected Doubled.target_weights .* \(its gross\); found 2 on"):
        run(Doubled())


def test_one_name_cannot_be_ranked():
    with pytest.raises(
        InputError, match=r"at least 2 tickers for LongShortQuantile.*found one \(SPY\); use .*Threshold"
    ):
        check_enough_names(rs.LongShortQuantile(0.2), 1, names=["SPY"])
    with pytest.raises(InputError, match=r"k = 1 for TopK on one ticker; found k = 4 and one \(SPY\); .* gross = 0.25"):
        check_enough_names(rs.TopK(4), 1, names=["SPY"])
    for allocation in (rs.TopK(1), rs.Threshold(0.5), rs.ScoreWeighted(), rs.EqualWeight()):
        check_enough_names(allocation, 1, names=["SPY"])
    check_enough_names(rs.TopK(500), 200)
    check_enough_names(rs.LongShortQuantile(0.2), 2)


@pytest.mark.parametrize(
    ("allocation", "names", "words"),
    [
        (rs.TopK(500), 200, ("500 places", "200 tickers have", "most of the account stays", "40%", "k to at most 200")),
        (rs.TopK(10), 8, ("10 places", "20% of its gross limit stays in cash", "80%")),
        (rs.EqualWeight(max_weight=0.001), 300, ("at most 0.001", "most of the account stays", "30%", "max_weight")),
        (rs.LongShortQuantile(0.2, max_weight=0.1), 4, ("at most 0.1", "40%")),
    ],
)
def test_an_allocation_that_cannot_be_filled_states_what_stays_in_cash(allocation, names, words):
    text = idle_cash_warning(allocation, np.full(20, names))
    assert all(word in text for word in words), text


@pytest.mark.parametrize(
    "allocation", [rs.TopK(50), rs.EqualWeight(), rs.EqualWeight(max_weight=0.05), rs.Threshold(0.5)]
)
def test_an_allocation_that_can_be_filled_states_nothing(allocation):
    assert idle_cash_warning(allocation, np.full(20, 60)) == ""
    assert idle_cash_warning(Own(None), np.full(20, 60)) == ""


def test_the_warning_is_in_the_result_and_its_remedy_works(prices, signals, settings):
    wide = rs.run_backtest(prices, signals, allocation=rs.TopK(100, min_score=-np.inf), broker=settings())
    (text,) = [line for line in wide.warnings if "stays in cash" in line]
    k = int(text.split("set k to at most ")[1].split(",")[0])
    narrow = rs.run_backtest(prices, signals, allocation=rs.TopK(k, min_score=-np.inf), broker=settings())
    assert not [line for line in narrow.warnings if "stays in cash" in line]
    assert (
        narrow.positions.drop(columns="cash").sum(axis=1).max()
        > 5 * wide.positions.drop(columns="cash").sum(axis=1).max()
    )
