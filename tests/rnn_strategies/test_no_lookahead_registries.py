"""No look-ahead in any built-in feature, label, frequency and horizon: later inputs are replaced or removed.

Found by iterating over the registries: a new one is covered by existing.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

import rnn_strategies as rs
from signals.calendar import FREQUENCIES
from signals.dataset.dataset import ReferenceData
from signals.dataset.labels import LABELS
from signals.reference.membership import read_membership
from signals.reference.sectors import read_sectors
from signals.walk_forward.panel_walk_forward import compute_signals

DAYS = ("2014-03-12", "2014-04-30", "2014-07-02", "2014-10-17")
HORIZONS = (1, 4, 13)


@pytest.fixture(scope="module")
def prices():
    return rs.load_prices(
        source="simulated",
        seed=11,
        n_tickers=40,
        start="2011-01-01",
        end="2014-12-24",
        listing_fraction=0.3,
        delisting_fraction=0.3,
        missing_rate=0.02,
    )


@pytest.fixture
def worlds(support):
    import feature_worlds

    return feature_worlds


def reference_data(prices, worlds, day=None):
    """Members, sectors and macro figures; with a day, others from then on."""
    members = pd.DataFrame({"ticker": prices.tickers, "start": "2011-01-01", "end": ""})
    members.loc[::5, "end"] = "2014-06-01"
    sectors = pd.DataFrame(
        {"ticker": prices.tickers, "sector": [f"S{i % 3}" for i in range(len(prices.tickers))], "start": "2011-01-01"}
    )
    if day is not None:
        later = str(np.datetime64(day) + np.timedelta64(1, "D"))
        members.loc[members["end"] > later, "end"] = ""
        gone = (members["end"] == "") & (members.index % 2 == 0)
        members.loc[gone, "end"] = later
        members.loc[len(members)] = ["0NEW" + prices.tickers[0], later, ""]
        sectors["end"] = later
        moved = sectors.assign(sector="0-NEW", start=later, end="")
        sectors = pd.concat([sectors, moved])
    return ReferenceData(
        membership=read_membership(members),
        sectors=read_sectors(sectors),
        macro=worlds.macro_table(poisoned_after=day),
    )


def signals(prices, given, trainer, artifacts, *, frequency, features, labels):
    lookback = {"daily": 12, "weekly": 8, "monthly": 5}[frequency]
    # the months after a poisoned date may be too few, and too wild, for a fold of their own
    test = "2Y" if frequency == "monthly" else "26W"
    return compute_signals(
        prices,
        walk_forward=rs.WalkForward(test_start="2014-01-01", train="2Y", validation="26W", test=test),
        universe=rs.UniverseFilters(min_price=1.0, min_history=60, max_tickers=30),
        labels=labels,
        model=rs.RecurrentSettings(lookback=lookback, min_steps=lookback - 3),
        training=rs.TrainingSettings(),
        seeds=[0],
        artifacts=artifacts,
        trainer=trainer,
        frequency=frequency,
        features=features,
        reference_data=given,
    )


def until(result, day):
    scores = result.signals[result.signals.index.get_level_values("date") <= day]
    return scores, result.labels[result.labels["label_end"] <= day]


def compare(prices, worlds, trainer, tmp_path, days, **settings):
    whole = signals(prices, reference_data(prices, worlds), trainer, tmp_path / "whole", **settings)
    for day in days:
        others = {
            "poisoned": (worlds.poisoned(prices, day), reference_data(prices, worlds, day)),
            "cut": (prices.until(day), reference_data(prices, worlds)),
        }
        for name, (other, given) in others.items():
            again = signals(other, given, trainer, tmp_path / f"{name}-{day}", **settings)
            for one, two in zip(until(whole, day), until(again, day), strict=True):
                pd.testing.assert_frame_equal(one, two, check_exact=True, obj=f"{name} after {day}")
            assert len(until(whole, day)[0])
    assert len(until(whole, days[-1])[1])


@pytest.mark.parametrize("frequency", FREQUENCIES)
def test_every_feature_at_every_frequency(prices, worlds, linear_trainer, tmp_path, frequency):
    features = worlds.all_specs(usual=False)
    settings = {"frequency": frequency, "features": features, "labels": rs.LabelSettings(estimation_window=8)}
    compare(prices, worlds, linear_trainer, tmp_path, DAYS[1:3], **settings)


@pytest.mark.parametrize("kind", LABELS)
def test_every_label_with_a_horizon_that_is_not_the_rhythm(prices, worlds, linear_trainer, tmp_path, kind):
    settings = {
        "frequency": "weekly",
        "features": ["return", "return(4) minus sector", "macro(TEST)"],
        "labels": rs.LabelSettings(kind=kind, horizon=4, estimation_window=26),
    }
    compare(prices, worlds, linear_trainer, tmp_path, DAYS, **settings)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "frequency", "horizon"), list(product(LABELS, FREQUENCIES, HORIZONS)))
def test_every_label_frequency_and_horizon(prices, worlds, linear_trainer, tmp_path, kind, frequency, horizon):
    horizon = min(horizon, 3) if frequency == "monthly" else horizon
    settings = {
        "frequency": frequency,
        "features": worlds.all_specs(usual=False),
        "labels": rs.LabelSettings(kind=kind, horizon=horizon, estimation_window=8),
    }
    compare(prices, worlds, linear_trainer, tmp_path, DAYS, **settings)


def test_the_comparison_can_fail(prices, worlds, linear_trainer, tmp_path):
    """Macro figures released an hour before they were: the test above must notice."""
    settings = {"frequency": "weekly", "features": ["return", "macro(TEST)"], "labels": rs.LabelSettings()}
    day = DAYS[1]
    early = worlds.macro_table()
    one = signals(prices, reference_data(prices, worlds), linear_trainer, tmp_path / "a", **settings)
    shifted = early.observations.assign(available_at=early.observations["available_at"] - pd.Timedelta("8D"))
    given = ReferenceData(membership=reference_data(prices, worlds).membership, macro=type(early)(shifted, early.names))
    two = signals(prices, given, linear_trainer, tmp_path / "b", **settings)
    with pytest.raises(AssertionError):
        pd.testing.assert_frame_equal(until(one, day)[0], until(two, day)[0], check_exact=True)
