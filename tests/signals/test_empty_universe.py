"""A data set without a row names the filter, feature or length that leaves none, and the remedy works."""

from __future__ import annotations

import re

import pandas as pd
import pytest

import rnn_strategies as rs
from signals.common.errors import InputError
from signals.dataset.dataset import ReferenceData, make_dataset
from signals.models.custom import CustomModel
from signals.reference.membership import read_membership
from signals.reference.sectors import read_sectors


@pytest.fixture(scope="module")
def prices():
    return rs.load_prices(
        source="simulated",
        seed=4,
        n_tickers=6,
        start="2012-01-01",
        end="2014-12-31",
        listing_fraction=0.0,
        delisting_fraction=0.0,
    )


def dataset(prices, *, features=("return",), lookback=4, reference_data=None, **filters):
    return make_dataset(
        prices,
        frequency="weekly",
        universe=rs.UniverseFilters(**filters),
        labels=rs.LabelSettings(kind="up"),
        windows=CustomModel("sklearn.linear_model:LogisticRegression", lookback=lookback),
        walk_forward=rs.WalkForward(test_start="2014-01-03"),
        features=features,
        reference_data=reference_data or ReferenceData(),
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [("min_price", 1e5), ("min_dollar_volume", 1e12), ("min_history", 900), ("max_zero_returns", 0.0)],
)
def test_message_names_the_filter_that_leaves_no_row_and_its_remedy_works(prices, name, value):
    more = {"zero_return_window": 2000} if name == "max_zero_returns" else {}
    with pytest.raises(InputError, match=r"expected tickers in the universe; found none on any of its") as refused:
        dataset(prices, **({"exclude": ("OLD",), name: value} | more))
    text = str(refused.value)
    assert f"universe.{name} = {value:g} leaves none of 6 with a bar" in text
    best = float(re.search(r"(?:is|has) ([0-9.,e+]+)[ )]", text.split("(", 1)[1])[1].replace(",", ""))
    reached = best * 1.01 if name == "max_zero_returns" else int(best) if name == "min_history" else best * 0.99
    assert dataset(prices, **({name: reached} | more)).member.any()


def test_message_names_the_first_failing_filter_only(prices):
    with pytest.raises(InputError, match=r"universe.min_price = 100000 leaves none"):
        dataset(prices, min_history=20, min_price=1e5, max_zero_returns=0.9)


def test_message_names_a_membership_of_other_years(prices):
    old = read_membership(pd.DataFrame({"ticker": prices.tickers, "start": "1990-01-01", "end": "1995-01-01"}))
    with pytest.raises(
        InputError, match=r"universe.membership leaves none of 6 .*correct the dates of the membership file"
    ):
        dataset(prices, reference_data=ReferenceData(membership=old))


def test_message_names_exclude_when_all_tickers_are_excluded(prices):
    with pytest.raises(InputError, match=r"universe.exclude leaves none of 6 .*exclude fewer"):
        dataset(prices, exclude=prices.tickers)


@pytest.mark.parametrize("spelt", [str.lower, lambda name: f"{name} Inc"])
def test_message_names_sectors_with_other_spelling(prices, spelt):
    table = pd.DataFrame({"ticker": [spelt(name) for name in prices.tickers], "sector": ["A", "B"] * 3})
    with pytest.raises(InputError, match=r"expected universe.sectors to name some of the 6 tickers of the prices"):
        dataset(prices, features=("return minus sector",), reference_data=ReferenceData(sectors=read_sectors(table)))
    right = read_sectors(table.assign(ticker=list(prices.tickers)))
    assert dataset(
        prices, features=("return minus sector",), reference_data=ReferenceData(sectors=right)
    ).eligible.any()


def test_message_names_sectors_that_end_too_early(prices):
    table = pd.DataFrame({"ticker": prices.tickers, "sector": "A", "start": "1990-01-01", "end": "1995-01-01"})
    with pytest.raises(
        InputError, match=r"expected values of the feature 'return minus sector' .* no member .* sector"
    ):
        dataset(prices, features=("return minus sector",), reference_data=ReferenceData(sectors=read_sectors(table)))


def test_message_names_a_feature_that_is_never_known(prices):
    with pytest.raises(InputError, match=r"expected values of the feature 'momentum\(400, 4\)'"):
        dataset(prices, features=("return", "momentum(400, 4)"))


def test_message_names_a_window_longer_than_the_history(prices):
    with pytest.raises(
        InputError, match=r"expected 300 decision dates in a row .*\(model.lookback\); found at most 1\d\d"
    ):
        dataset(prices, lookback=300)
